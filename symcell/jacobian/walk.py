"""How a step's values depend on the states before it: the graph of local derivatives, cut to what lies between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from symcell.cell import Cell
from symcell.graph import Graph
from symcell.jacobian.local import Edge, Folded, edges
from symcell.symbolic.nodes import At


@dataclass(frozen=True, eq=False)
class Between:
    """``into``: by value, in the order of the steps, the edges that lead on from the source towards a state.

    ``source``: the state before the step, ``At(state, lag)``.
    """

    source: At
    into: Mapping[str, tuple[Edge, ...]]
    readers: Mapping[str, int]
    """For each value how many edges lead on from it."""


def recurrent(cell: Cell) -> tuple[str, ...]:
    """The states that the cell computes (an input that is read at an earlier step is none)."""
    return tuple(s for s in cell.states if s in cell.signals)


def between(cell: Cell, graph: Graph, folded: Mapping[str, Folded] | None = None) -> tuple[Between, ...]:
    """What lies between each state before a step, at each lag, and the states that the step computes."""
    local = tuple(edges(graph, folded))
    states = recurrent(cell)
    needed = _needed(local, {*states, cell.output})
    sources = [At(state, lag) for state in states for lag in range(1, cell.states[state] + 1)]
    return tuple(_from(source, [e for e in local if e.out in needed]) for source in sources)


def _needed(local: tuple[Edge, ...], ends: set[str]) -> set[str]:
    """The values that a state or the output depends on within a step."""
    needed = set(ends)
    for edge in reversed(local):
        if edge.out in needed and not edge.operand.lag:
            needed.add(edge.operand.signal)
    return needed


def _from(source: At, local: list[Edge]) -> Between:
    into: dict[str, list[Edge]] = {}
    readers: dict[str, int] = {}
    for edge in local:
        inside = not edge.operand.lag and edge.operand.signal in into
        if edge.operand == source or inside:
            into.setdefault(edge.out, []).append(edge)
            if inside:
                readers[edge.operand.signal] = readers.get(edge.operand.signal, 0) + 1
    return Between(source, {name: tuple(found) for name, found in into.items()}, readers)
