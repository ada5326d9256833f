"""Fused steps as kernels of a target with registers: what runs unit by unit, and where the units of a row meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from symcell.cell import ONE, Shape, units
from symcell.graph import Graph, Operand, Pointwise, Reduce, lag_of, name_of
from symcell.plan.stages import Step


@dataclass(frozen=True)
class PhasePlan:
    """The steps of a :class:`symcell.program.model.Phase`."""

    span: Shape
    scalars: tuple[Step, ...]
    body: tuple[Step, ...]
    reductions: tuple[Step, ...]
    barrier: bool


@dataclass(frozen=True)
class KernelPlan:
    """The steps of one kernel. ``crossing``: values that other units or later phases read from memory."""

    phases: tuple[PhasePlan, ...]
    rowwise: bool
    crossing: frozenset[str]

    @property
    def steps(self) -> Iterator[Step]:
        for phase in self.phases:
            yield from (*phase.scalars, *phase.body, *phase.reductions)


def kernel_plans(steps: tuple[Step, ...], graph: Graph) -> list[KernelPlan]:
    """The steps as kernels: one where units of a row meet, else one for each shape."""
    rows = _Rows(steps, graph)
    if rows.meet():
        return [rows.plan()]
    shapes = dict.fromkeys(graph.shape(op.out) for op in steps)
    groups = [tuple(op for op in steps if graph.shape(op.out) == shape) for shape in shapes]
    return [
        KernelPlan((PhasePlan(shape, (), group, (), False),), False, frozenset())
        for shape, group in zip(shapes, groups, strict=True)
    ]


class _Rows:
    """Sorts the steps of a kernel into levels: a step comes a level after what it reads across units."""

    def __init__(self, steps: tuple[Step, ...], graph: Graph) -> None:
        self.steps, self.graph = steps, graph
        self.made = {op.out: op for op in steps}
        self.level: dict[str, int] = {}
        for op in steps:
            levels = [self.level[name_of(o)] + self._behind(op, o) for o in self._inside(op)]
            self.level[op.out] = max(levels, default=0)

    def _inside(self, op: Step) -> list[Operand]:
        return [o for o in op.operands() if name_of(o) in self.made and not lag_of(o)]

    def _register(self, name: str) -> bool:
        """Whether every thread knows a value: one unit, computed by all or reduced over all."""
        op = self.made[name]
        if isinstance(op, Reduce):
            return op.axis is None
        return isinstance(op, Pointwise) and units(self.graph.shape(name)) == ONE

    def span(self, op: Step) -> Shape:
        """The units that the loop of a step walks over."""
        over_all = isinstance(op, Reduce) and op.axis is None
        return self.graph.shape(name_of(op.arg) if over_all and isinstance(op, Reduce) else op.out)

    def _across(self, op: Step, operand: Operand) -> bool:
        """Whether a unit of ``op`` reads an operand made in this kernel where another unit wrote it."""
        if self._register(name_of(operand)):
            return False
        if isinstance(op, Pointwise) and self._register(op.out):
            return True  # every thread computes it
        if isinstance(op, Pointwise) or (isinstance(op, Reduce) and op.axis is None):
            return operand.axis is not None or self.graph.shape(name_of(operand)) != self.span(op)
        return True

    def _behind(self, op: Step, operand: Operand) -> int:
        source = self.made[name_of(operand)]
        reduced = isinstance(source, Reduce) and source.axis is None
        return int(reduced or self._across(op, operand))

    def meet(self) -> bool:
        over_row = any(isinstance(op, Reduce) and op.axis is None for op in self.steps)
        spread = any(self.graph.shape(name_of(o)) != self.span(op) or o.axis is not None
                     for op in self.steps for o in self._inside(op))  # fmt: skip
        return over_row or spread or any(self._across(op, o) for op in self.steps for o in self._inside(op))

    def plan(self) -> KernelPlan:
        phases: list[PhasePlan] = []
        for level in sorted(set(self.level.values())):
            here = [op for op in self.steps if self.level[op.out] == level]
            scalars = tuple(op for op in here if isinstance(op, Pointwise) and self._register(op.out))
            rest = [op for op in here if op not in scalars]
            barrier = any(self._across(op, o) for op in here for o in self._inside(op))
            for k, span in enumerate(dict.fromkeys(self.span(op) for op in rest) or {(): None}):
                mine = [op for op in rest if self.span(op) == span]
                reductions = tuple(op for op in mine if isinstance(op, Reduce) and op.axis is None)
                body = tuple(op for op in mine if op not in reductions)
                phases.append(PhasePlan(span, () if k else scalars, body, reductions, barrier and not k))
        return KernelPlan(tuple(phases), True, self._crossing())

    def _crossing(self) -> frozenset[str]:
        found = set()
        for op in self.steps:
            for o in self._inside(op):
                later = self.level[name_of(o)] < self.level[op.out]
                if not self._register(name_of(o)) and (later or self._across(op, o)):
                    found.add(name_of(o))
        return frozenset(found)
