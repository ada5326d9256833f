"""What the forward sweep stores for the backward sweep: a minimum cut between storing and recomputing.

A value that the adjoint reads can be stored, or computed again from values that are. Matrix products and reductions are
never computed again. The cheapest set to store separates what must be stored anyway from what the adjoint reads, with
each value's size as its price (a max-flow problem, as in Jain et al. 2020, "Checkmate", without the schedule).
"""

from __future__ import annotations

from dataclasses import replace

import networkx as nx

from symcell.adjoint import Adjoint
from symcell.cell import Size
from symcell.graph import Graph, Pointwise, lag_of, name_of
from symcell.symbolic.nodes import At

NOMINAL_UNITS = 256
"""What a named size counts for when prices of stored values are compared."""


def price(size: Size) -> int:
    """How much storing a value of this size costs, in nominal numbers per sample and step."""
    return NOMINAL_UNITS * len(size.names) + size.fixed


def stash(adjoint: Adjoint) -> tuple[str, ...]:
    """The values of the forward graph to store at every step, in the order they are computed."""
    forward = adjoint.forward
    made = forward.producer()
    wanted = {n for n in adjoint.graph.given if n in made}
    forced = {n for n, depth in adjoint.graph.given.items() if depth and n in made}
    network = nx.DiGraph()
    network.add_nodes_from(("source", "sink"))
    pending, seen = sorted(wanted), set(wanted)
    for name in pending:
        network.add_edge((name, "read"), "sink")
    while pending:
        name = pending.pop()
        op = made[name]
        cost = 0 if name in forced else price(forward.size(name))
        network.add_edge((name, "made"), (name, "read"), capacity=cost)
        if not isinstance(op, Pointwise):
            network.add_edge("source", (name, "made"))
            continue
        for operand in op.operands():
            of = name_of(operand)
            if not isinstance(operand, At) or of not in made:
                continue
            node = (of, "read") if not lag_of(operand) or of in forced else (of, "past")
            network.add_edge(node, (name, "made"))
            if node[1] == "past":
                _store_past(network, of, price(forward.size(of)))
            elif of not in seen:
                seen.add(of)
                pending.append(of)
    _, (_, sink_side) = nx.minimum_cut(network, "source", "sink")
    stored = {n for n in seen if (n, "read") in sink_side and (n, "made") not in sink_side}
    stored |= {n for n, side in sink_side_nodes(network) if side == "past" and (n, "past") in sink_side}
    stored |= forced
    return tuple(op.out for op in forward.steps if op.out in stored)


def sink_side_nodes(network: nx.DiGraph) -> list[tuple[str, str]]:
    return [n for n in network if isinstance(n, tuple)]


def _store_past(network: nx.DiGraph, name: str, cost: int) -> None:
    """A value read at an earlier step can only be stored: its initial values cannot be computed again."""
    network.add_edge("source", (name, "stored"))
    network.add_edge((name, "stored"), (name, "past"), capacity=cost)


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
