"""Steps of one formula on neighbouring columns as one: three gates' sigmoids are one call, three times as wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import sympy

from symcell.cell import ONE
from symcell.emit.rows import Sweep
from symcell.graph import Graph, Operand, Pointwise, Reduce, lag_of, name_of
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Slab:
    """Pointwise steps computed together: their results and their operands lie side by side."""

    steps: tuple[Pointwise | Reduce, ...]


@dataclass(frozen=True)
class Places:
    """Where operands lie: a line of memory and the position in it."""

    sweep: Sweep
    parameters: Sequence[str]

    @property
    def graph(self) -> Graph:
        return self.sweep.graph

    def of(self, operand: Operand) -> tuple[str, int]:
        name = name_of(operand)
        if isinstance(operand, Param):
            return ("flat", self.parameters.index(name)) if name in self.parameters else (f"fixed {name}", 0)
        buffer, index = self.sweep.place(name)
        return f"{buffer}[{lag_of(operand)}]", index


def slabs(steps: Sequence[Pointwise | Reduce], places: Places) -> list[Slab]:
    """Group the steps of one kernel, in an order that respects what they read."""
    group = {op.out: k for k, op in enumerate(steps)}
    for run in _candidates(steps, places):
        merged = {**group, **dict.fromkeys((op.out for op in run), group[run[0].out])}
        if _order(steps, merged) is not None:
            group = merged
    order = _order(steps, group)
    assert order is not None
    members = [[op for op in steps if group[op.out] == k] for k in order]
    return [Slab(tuple(sorted(ops, key=lambda op: places.of(At(op.out))))) for ops in members]


def _candidates(steps: Sequence[Pointwise | Reduce], places: Places) -> list[list[Pointwise]]:
    """Runs of neighbours with one formula."""
    runs: list[list[Pointwise]] = []
    for op in sorted((op for op in steps if isinstance(op, Pointwise)), key=lambda op: places.of(At(op.out))):
        open_run = next((r for r in runs if _joins(r[-1], op, places)), None)
        if open_run is None:
            runs.append([op])
        else:
            open_run.append(op)
    return [run for run in runs if len(run) > 1]


def _order(steps: Sequence[Pointwise | Reduce], group: Mapping[str, int]) -> list[int] | None:
    """The groups in an order in which each comes after those it reads; None where there is no such order."""
    needs: dict[int, set[int]] = {k: set() for k in group.values()}
    for op in steps:
        for operand in op.operands():
            if name_of(operand) in group and lag_of(operand) == 0:
                needs[group[op.out]].add(group[name_of(operand)])
    if any(k in before for k, before in needs.items()):
        return None
    try:
        return list(TopologicalSorter({k: sorted(before) for k, before in sorted(needs.items())}).static_order())
    except CycleError:
        return None


def _joins(before: Pointwise, op: Pointwise, places: Places) -> bool:
    (line, k), (other, m) = places.of(At(before.out)), places.of(At(op.out))
    same_size = places.graph.size(before.out) == places.graph.size(op.out) != ONE
    return same_size and line == other and m == k + 1 and _normal(before, k, places) == _normal(op, m, places)


def _normal(op: Pointwise, index: int, places: Places) -> sympy.Expr:
    """The body with every operand named by where it lies relative to the result."""
    size = places.graph.size(op.out)
    blank: dict[Operand, Operand] = {}
    for operand in op.operands():
        line, k = places.of(operand)
        if places.graph.size(name_of(operand)) == size:
            blank[operand] = Param(f"{line} {k - index:+d}")
        else:
            blank[operand] = Param(f"{line} at {k}")
    return op.body.xreplace(blank)
