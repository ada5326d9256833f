"""What the forward sweep stores for the backward sweep: a minimum cut between storing and recomputing.

A value that the adjoint reads can be stored, or computed again from values that are. Matrix products and reductions are
never computed again. The cheapest set to store separates what must be stored anyway from what the adjoint reads, with
each value's size as its price (a max-flow problem, as in Jain et al. 2020, "Checkmate", without the schedule). A value
that formulas computed again read both now and at an earlier step is priced for each: there the cut is an upper bound.
"""

from __future__ import annotations

from dataclasses import replace

import networkx as nx

from symcell.adjoint import Adjoint
from symcell.graph import Graph, Pointwise, lag_of, name_of
from symcell.plan.prices import price
from symcell.symbolic.functions import Equal
from symcell.symbolic.nodes import At


def stash(adjoint: Adjoint) -> tuple[str, ...]:
    """The values of the forward graph to store at every step, in the order they are computed."""
    forward = adjoint.forward
    made = forward.producer()
    forced = {n for n, depth in adjoint.graph.given.items() if depth and n in made} | _compared(adjoint)
    network = _network(forward, [n for n in sorted(adjoint.graph.given) if n in made], forced)
    _, (_, sink_side) = nx.minimum_cut(network, SOURCE, SINK)
    cut = {name for (name, before), (_, after) in network.edges if _cut(name, before, after, sink_side)}
    return tuple(op.out for op in forward.steps if op.out in cut | forced)


def _compared(adjoint: Adjoint) -> set[str]:
    """Values that a derived sweep tests for equality: those that attain a maximum, and the maximum.

    Computed again they could differ by a rounding, and none would be equal.
    """
    tests = {e for op in adjoint.graph.steps if isinstance(op, Pointwise) for e in op.body.atoms(Equal)}
    # a tangent has such steps of its own
    tests |= {op.body for op in adjoint.forward.steps if isinstance(op, Pointwise) and isinstance(op.body, Equal)}
    made = adjoint.forward.producer()
    return {a.signal for e in tests for a in e.atoms(At) if a.signal in made}


SOURCE, SINK = ("", "source"), ("", "sink")
Node = tuple[str, str]
"""A value and its side of the price for storing it: "made" before it, "read" behind it; "kept" before and "past" behind
it for a value read at an earlier step, which cannot be computed again for want of its initial values."""


def _cut(name: str, before: str, after: str, sink_side: set[Node]) -> bool:
    priced = (before, after) in (("made", "read"), ("kept", "past"))
    return priced and (name, before) not in sink_side and (name, after) in sink_side


def _network(forward: Graph, wanted: list[str], forced: set[str]) -> nx.DiGraph:
    """What must flow from values that are stored or made anew to those that the backward sweep wants."""
    made = forward.producer()
    network = nx.DiGraph()
    network.add_nodes_from((SOURCE, SINK))
    network.add_edges_from(((name, "read"), SINK) for name in wanted)
    pending, seen = list(wanted), set(wanted)
    while pending:
        name = pending.pop()
        op = made[name]
        network.add_edge((name, "made"), (name, "read"), capacity=0 if name in forced else price(forward.shape(name)))
        if not isinstance(op, Pointwise):
            network.add_edge(SOURCE, (name, "made"))
            continue
        for operand in op.operands():
            of = name_of(operand)
            if not isinstance(operand, At) or of not in made:
                continue
            if lag_of(operand) and of not in forced:
                network.add_edge(SOURCE, (of, "kept"))
                network.add_edge((of, "kept"), (of, "past"), capacity=price(forward.shape(of)))
                network.add_edge((of, "past"), (name, "made"))
                continue
            network.add_edge((of, "read"), (name, "made"))
            if of not in seen:
                seen.add(of)
                pending.append(of)
    return network


def with_recomputation(adjoint: Adjoint, stored: tuple[str, ...]) -> tuple[Graph, frozenset[str]]:
    """The backward sweep with the steps that compute again what was not stored, and the names of those values."""
    forward, graph = adjoint.forward, adjoint.graph
    made = forward.producer()
    again: set[str] = set()
    pending = [n for n in (*graph.given, *graph.fixed) if n in made and n not in stored]
    while pending:
        name = pending.pop()
        if name not in again:
            again.add(name)
            pending += [name_of(o) for o in made[name].operands() if name_of(o) in made and name_of(o) not in stored]
    steps = tuple(op for op in forward.steps if op.out in again) + graph.steps
    values = {**graph.values, **{n: v for n, v in forward.values.items() if n in again}}
    given = {n: d for n, d in graph.given.items() if n not in again}
    fixed = dict.fromkeys(n for n in graph.fixed if n not in again)
    for op in forward.steps:
        if op.out in again:
            for operand in op.operands():
                name = name_of(operand)
                values[name] = forward.values[name]
                if isinstance(operand, At):
                    if name not in again:
                        given[name] = max(given.get(name, 0), operand.lag)
                elif name not in again:
                    fixed[name] = None
    merged = replace(graph, values=values, given=given, fixed=tuple(fixed), steps=steps)
    return merged.check(), frozenset(again)
