"""Graphs → Plan: what runs when, in which kernel, and where everything lies in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from symcell.adjoint import Adjoint
from symcell.cell import Cell
from symcell.graph import Graph, Total
from symcell.plan.homes import assign
from symcell.plan.layout import cotangent_chains, parameter_order, vector_stacks
from symcell.plan.normal import hoisted, normal
from symcell.plan.places import DIRECTIONS, GRADS, PARAMS
from symcell.plan.programs import backward_program, forward_program
from symcell.plan.rounding import Rounding, with_rounding
from symcell.plan.schedule import schedule
from symcell.plan.settle import settled
from symcell.plan.signature import Signature
from symcell.plan.stages import Schedule
from symcell.plan.stash import stash, with_recomputation
from symcell.plan.storing import stored
from symcell.program.model import Plan, Profile, Program, Role
from symcell.symbolic.nodes import At
from symcell.tangent import Tangent


def plan(
    cell: Cell, graph: Graph, adjoint: Adjoint, profile: Profile, twice: tuple[Tangent, Adjoint] | None = None
) -> Plan:
    """Plan the sweeps of a cell for a target: its programs, and the order of its parameters in memory.

    ``twice``: the tangent and its adjoint, where second derivatives are wanted.
    """
    first = _Sweeps.of(adjoint)
    flat = parameter_order(adjoint, tuple(cell.parameters), first.forward, first.chains)
    programs = first.programs(Signature(cell, ("forward", "backward"), flat), profile)
    if twice is None:
        return Plan(cell, programs, flat, first.stash, tuple(sorted(first.again)))
    tangent, second = twice
    dots = {n: tangent.dots[n] for n in (*flat, *cell.inputs, *cell.states, cell.output)}
    signature = Signature(cell, ("tangent", "second"), flat, dots)
    programs |= _Sweeps.of(second, signature.lines).programs(signature, profile)
    return Plan(cell, programs, flat, first.stash, tuple(sorted(first.again)), dots)


@dataclass(frozen=True)
class _Sweeps:
    """A sweep and the one back, scheduled. ``stash``: what the first stores at every step; ``again``: what the second
    computes again. ``chains``: values of the second that are to lie side by side."""

    adjoint: Adjoint
    forward: Schedule
    backward: Schedule
    stash: tuple[str, ...]
    again: frozenset[str]
    chains: list[list[str]]

    @staticmethod
    def of(adjoint: Adjoint, lines: Mapping[str, int] | None = None) -> _Sweeps:
        """``lines``: the places of parameters in memory, where these are settled."""
        stash_ = stash(adjoint)
        recomputing, again = with_recomputation(adjoint, stash_)
        forward, backward = schedule(hoisted(normal(adjoint.forward))), schedule(normal(recomputing), again)
        return _Sweeps(adjoint, forward, backward, stash_, again, cotangent_chains(backward, lines))

    def programs(self, signature: Signature, profile: Profile) -> dict[Role, Program]:
        """Both programs, with places in memory."""
        adjoint, graph, cell = self.adjoint, self.adjoint.forward, signature.cell
        owner = _owners(adjoint, cell)
        forward, backward = (settled(s, signature.lines, self.chains, owner) for s in (self.forward, self.backward))
        taken = {PARAMS, DIRECTIONS, GRADS, *graph.values, *adjoint.graph.values}
        made = graph.producer()
        wanted = [n for n in backward.graph.given if n in graph.given or n in made]
        outside = {*graph.outputs, *wanted, *(v for e in graph.exits for v in e.values)}
        kept = stored(forward, profile, outside)
        ahead = assign(forward, self.stash, graph.outputs, [], taken, kept, profile.registers, {})
        returned = [v for k, v in adjoint.gradients.items() if k in graph.given]
        lasting = {*returned, *(v for e in adjoint.graph.exits for v in e.values)}
        kept = stored(backward, profile, lasting)
        back = assign(backward, (), returned, self.chains, taken | set(ahead.buffers), kept, profile.registers,
                      _summed(adjoint, owner, signature.flat))  # fmt: skip
        first = forward_program(signature, forward, ahead, profile, wanted)
        homes = {**ahead.of, **{x: (x, 0) for x in graph.given}}
        second = backward_program(signature, adjoint, backward, back, profile, first, homes, owner)
        if not profile.registers:
            first = with_rounding(first, Rounding.of(forward, outside))
            second = with_rounding(second, Rounding.of(backward, lasting))
        return {first.role: first, second.role: second}


def _summed(adjoint: Adjoint, owner: Mapping[str, str], flat: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """For each value whose total is the gradient by a parameter, the parameter's stack and its place among all."""
    stack = {p: k for k, names in enumerate(vector_stacks(adjoint, flat)) for p in names}
    totals = (op for op in adjoint.graph.steps if isinstance(op, Total) and op.out in owner)
    return {op.arg.signal: (stack.get(owner[op.out], -1), flat.index(owner[op.out]))
            for op in totals if isinstance(op.arg, At)}  # fmt: skip


def _owners(adjoint: Adjoint, cell: Cell) -> Mapping[str, str]:
    """Gradient values that can be written in place: each made by a step of its own, for one parameter."""
    made = adjoint.graph.producer()
    pairs = [(v, p) for p, v in adjoint.gradients.items() if p in cell.parameters]
    values = [v for v, _ in pairs]
    return {v: p for v, p in pairs if v in made and values.count(v) == 1}
