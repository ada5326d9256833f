"""Steps of one formula on neighbouring members as one: three gates' sigmoids are one call, three times as wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import sympy

from symcell.cell import Shape
from symcell.graph import Contraction, Graph, Operand, Pointwise, lag_of, name_of
from symcell.plan.places import Places
from symcell.plan.stages import Step
from symcell.symbolic.nodes import At, Param

Where = tuple[object, int]
"""A line of memory and the position in it."""


def slabs(steps: Sequence[Step], graph: Graph, places: Places) -> list[tuple[Step, ...]]:
    """The steps of one stage in groups whose results lie side by side, in an order that respects what they read."""
    grouper = _Grouper(graph, places)
    group = {op.out: k for k, op in enumerate(steps)}
    for run in grouper.candidates(steps):
        group = _merged(steps, group, run)
    order = _order(steps, group)
    assert order is not None
    members: dict[int, list[Step]] = {}
    for op in steps:
        members.setdefault(group[op.out], []).append(op)
    return [tuple(sorted(members[k], key=lambda op: grouper.place(At(op.out))[1])) for k in order]


def _merged(steps: Sequence[Step], group: dict[str, int], run: list[Step]) -> dict[str, int]:
    """The groups with a run joined; in pieces, where some of it is computed from other parts of it."""
    start = 0
    while start < len(run) - 1:
        stop = _furthest(steps, group, run, start)
        group, start = _joined(group, run[start:stop]), stop
    return group


def _joined(group: dict[str, int], run: list[Step]) -> dict[str, int]:
    return group | dict.fromkeys((op.out for op in run), group[run[0].out])


def _furthest(steps: Sequence[Step], group: dict[str, int], run: list[Step], start: int) -> int:
    """Up to where the run's steps from ``start`` on can be joined. What can be joined can be in part, too, so there is
    no need to try every place."""
    low, high = start + 1, len(run) + 1
    middle = high - 1  # most often all of it can
    while high - low > 1:
        if _order(steps, _joined(group, run[start:middle])) is not None:
            low = middle
        else:
            high = middle
        middle = (low + high) // 2
    return low


def _order(steps: Sequence[Step], group: Mapping[str, int]) -> list[int] | None:
    """The groups in an order in which each comes after those it reads; None where there is no such order."""
    needs: dict[int, dict[int, None]] = {k: {} for k in sorted(set(group.values()))}
    for op in steps:
        for operand in op.operands():
            if name_of(operand) in group and lag_of(operand) == 0:
                needs[group[op.out]][group[name_of(operand)]] = None
    if any(k in before for k, before in needs.items()):
        return None
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError:
        return None


class _Grouper:
    def __init__(self, graph: Graph, places: Places) -> None:
        self.graph, self.places = graph, places

    def place(self, operand: Operand) -> Where:
        buffer, index = self.places.where(operand)
        return (buffer, lag_of(operand)), index

    def candidates(self, steps: Sequence[Step]) -> list[list[Step]]:
        """Runs of neighbours with one formula."""
        runs: list[list[Step]] = []
        ending: dict[Where, list[list[Step]]] = {}
        simple = [op for op in steps if not isinstance(op, Contraction)]
        for op in sorted(simple, key=lambda op: (str(self.place(At(op.out))[0]), self.place(At(op.out))[1])):
            line, index = self.place(At(op.out))
            run = next((r for r in ending.get((line, index - 1), ()) if self._joins(r[-1], op)), None)
            if run is None:
                runs.append(run := [])
            run.append(op)
            ending.setdefault((line, index), []).append(run)
        return [run for run in runs if len(run) > 1]

    def _joins(self, before: Step, op: Step) -> bool:
        if type(before) is not type(op) or self.graph.shape(before.out) != self.graph.shape(op.out):
            return False
        return any(self._normal(before, moving) == self._normal(op, moving) for moving in (True, False))

    def _normal(self, op: Step, moving: bool) -> object:
        """The step with every operand named by where it lies relative to the result; ``moving``: those of other shapes
        too, else these are shared by all."""
        index = self.place(At(op.out))[1]
        names: dict[Operand, sympy.Expr] = {}
        shapes: list[tuple[str, Shape]] = []
        for operand in op.operands():
            line, k = self.place(operand)
            same = self.graph.shape(name_of(operand)) == self.graph.shape(op.out) and operand.axis is None
            where = f"{line} {operand.axis} {k - index if same or moving else f'at {k}'}"
            names[operand] = Param(where)
            shapes.append((where, self.graph.shape(name_of(operand))))
        if isinstance(op, Pointwise):
            return op.body.xreplace(names), sorted(shapes, key=str)
        assert not isinstance(op, Contraction)
        return op.kind, op.axis, shapes
