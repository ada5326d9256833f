"""Graph and adjoint → Plan: what runs when, in which kernel, and where everything lies in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from symcell.adjoint import Adjoint
from symcell.cell import Cell, Size
from symcell.graph import Graph
from symcell.plan.homes import Home, Homes, assign
from symcell.plan.layout import cotangent_chains, parameter_order, settle
from symcell.plan.schedule import Schedule, hoist, schedule
from symcell.plan.stash import stash, with_recomputation

ZERO = Size()


@dataclass(frozen=True, eq=False)
class Plan:
    """How a cell is computed, forward and backward; ``print(plan)`` is its cost report.

    ``parameters``: the order of the flat buffer. ``stash``: values stored at every step for the backward sweep.
    ``owner``: gradient values that are computed straight into a parameter's place in the flat buffer of gradients.
    """

    cell: Cell
    adjoint: Adjoint
    forward: Schedule
    backward: Schedule
    parameters: tuple[str, ...]
    stash: tuple[str, ...]
    forward_homes: Homes
    backward_homes: Homes
    owner: Mapping[str, str]

    def __str__(self) -> str:
        from symcell.plan.report import report

        return report(self)

    __repr__ = __str__


def plan(cell: Cell, graph: Graph, adjoint: Adjoint) -> Plan:
    """Schedule both sweeps of a cell and lay out their memory."""
    stored = stash(adjoint)
    recomputing, again = with_recomputation(adjoint, stored)
    forward, backward = schedule(hoist(graph)), schedule(recomputing, again)
    chains = cotangent_chains(backward)
    flat = parameter_order(adjoint, forward, chains)
    owner = _owners(adjoint)
    forward, backward = (_settle(s, flat, chains, owner) for s in (forward, backward))
    given = {name: Home(name, ZERO) for name in graph.given}
    forward_homes = assign(forward, stored, (cell.output,), [], given)
    seen = {**{n: forward_homes.of[n] for n in recomputing.given if n in forward_homes.of},
            **{s: Home(s, ZERO) for s in adjoint.seeds.values()}}  # fmt: skip
    returned = [v for k, v in adjoint.gradients.items() if k in graph.given]
    backward_homes = assign(backward, (), returned, chains, seen)
    return Plan(cell, adjoint, forward, backward, flat, stored, forward_homes, backward_homes, owner)


def _owners(adjoint: Adjoint) -> dict[str, str]:
    """Gradient values that can be written in place: each made by a step of its own, for one parameter."""
    made = adjoint.graph.producer()
    fixed = [(v, p) for p, v in adjoint.gradients.items() if p in adjoint.forward.fixed]
    values = [v for v, _ in fixed]
    return {v: p for v, p in fixed if v in made and values.count(v) == 1}


def _settle(what: Schedule, flat: tuple[str, ...], chains: list[list[str]], owner: Mapping[str, str]) -> Schedule:
    before, loop, after, finish = (
        settle(what.graph, stages, flat, chains, dict(owner))
        for stages in (what.before, what.loop, what.after, what.finish)
    )
    return replace(what, before=before, loop=loop, after=after, finish=finish)
