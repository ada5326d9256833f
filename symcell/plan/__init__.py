"""Graph and adjoint → Plan: what runs when, in which kernel, and where everything lies in memory."""

from __future__ import annotations

from collections.abc import Mapping

from symcell.adjoint import Adjoint
from symcell.cell import Cell
from symcell.graph import Graph, Total
from symcell.plan.homes import assign
from symcell.plan.layout import cotangent_chains, parameter_order, vector_stacks
from symcell.plan.normal import hoisted, normal
from symcell.plan.places import GRADS, PARAMS
from symcell.plan.programs import backward_program, fixed_buffers, forward_program
from symcell.plan.schedule import schedule
from symcell.plan.settle import settled
from symcell.plan.stash import stash, with_recomputation
from symcell.plan.storing import stored
from symcell.program.model import Plan, Profile
from symcell.symbolic.nodes import At


def plan(cell: Cell, graph: Graph, adjoint: Adjoint, profile: Profile) -> Plan:
    """Plan both sweeps of a cell for a target: its programs, and the order of its parameters in memory."""
    stash_ = stash(adjoint)
    recomputing, again = with_recomputation(adjoint, stash_)
    forward, backward = schedule(hoisted(normal(graph))), schedule(normal(recomputing), again)
    chains = cotangent_chains(backward)
    flat = parameter_order(adjoint, tuple(cell.parameters), forward, chains)
    owner = _owners(adjoint, cell)
    forward, backward = (settled(s, flat, chains, owner) for s in (forward, backward))
    taken = {PARAMS, GRADS, *graph.values, *adjoint.graph.values}
    made = graph.producer()
    wanted = [n for n in backward.graph.given if n in graph.given or n in made]
    kept = stored(forward, profile, {*graph.outputs, *wanted, *(v for e in graph.exits for v in e.values)})
    ahead = assign(forward, stash_, graph.outputs, [], taken, kept, profile.registers, {})
    returned = [v for k, v in adjoint.gradients.items() if k in graph.given]
    kept = stored(backward, profile, {*returned, *(v for e in adjoint.graph.exits for v in e.values)})
    back = assign(backward, (), returned, chains, taken | set(ahead.buffers), kept, profile.registers,
                  _summed(adjoint, owner, flat))  # fmt: skip
    fixed = fixed_buffers(cell, flat)
    first = forward_program(cell, forward, ahead, fixed, profile, wanted)
    homes = {**ahead.of, **{x: (x, 0) for x in graph.given}}
    second = backward_program(cell, adjoint, backward, back, fixed, profile, first, homes, owner)
    return Plan(cell, {"forward": first, "backward": second}, flat, stash_, tuple(sorted(again)))


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
