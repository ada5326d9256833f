"""Fused steps as kernels of a target with registers: what runs unit by unit, and where the units of a row meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from symcell.cell import ONE, Shape, units
from symcell.graph import Contraction, Graph, Operand, Pointwise, Reduce, lag_of, name_of
from symcell.plan.matrix_rows import by_matrix, local, spaces, turns
from symcell.plan.stages import Step
from symcell.symbolic.nodes import At


@dataclass(frozen=True)
class PhasePlan:
    """The steps of a :class:`symcell.program.model.Phase`, and its ``turns``. ``elements``: where it has these, what
    its body makes with the span's shape."""

    span: Shape
    scalars: tuple[Step, ...]
    body: tuple[Step, ...]
    reductions: tuple[Step, ...]
    barrier: bool
    turns: tuple[int, ...] = ()
    elements: frozenset[str] = frozenset()

    def finds(self, op: Step, operand: Operand, registers: frozenset[str]) -> TypeGuard[At]:
        """Whether a step of it finds an operand in one of these ``registers``; one that walks reads other units'."""
        here = isinstance(operand, At) and not operand.lag and name_of(operand) in registers
        if self.turns:
            return here and local(op, operand) and name_of(operand) not in self.passed_on(op)
        walks = isinstance(op, Contraction) or (isinstance(op, Reduce) and op.axis is not None)
        return here and operand.axis is None and not walks

    def passed_on(self, op: Step) -> set[str]:
        """The elements of a matrix that are made in an earlier loop over columns than a step is in."""
        turn = {step.out: number for step, number in zip(self.body, self.turns, strict=False)}
        return {name for name in self.elements if turn[name] < turn.get(op.out, 0)}


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

    def registers(self, phase: PhasePlan) -> frozenset[str]:
        """What registers hold in a phase: what is computed in it, and the scalars of all."""
        scalars = {op.out for p in self.phases for op in (*p.scalars, *p.reductions)}
        return frozenset(scalars | {op.out for op in phase.body})


_Owner = tuple[Shape, bool]
"""The units of a phase, and whether they are rows of a matrix that each have several threads."""


def kernel_plans(steps: tuple[Step, ...], graph: Graph, *, by_rows: bool = False) -> list[KernelPlan]:
    """The steps as kernels: one where units of a row meet, else one for each shape. ``by_rows``: what stays within the
    rows of a matrix is one phase."""
    rows = _Rows(steps, graph, spaces(steps, graph) if by_rows else {})
    if rows.meet():
        return [rows.plan()]
    shapes = dict.fromkeys(graph.shape(op.out) for op in steps)
    groups = [tuple(op for op in steps if graph.shape(op.out) == shape) for shape in shapes]
    return [
        KernelPlan((PhasePlan(shape, (), group, (), False),), False, frozenset())
        for shape, group in zip(shapes, groups, strict=True)
    ]


class _Rows:
    """Sorts the steps of a kernel into levels: a step comes a level after what it reads across units. ``spaces``: the
    matrices in whose rows steps stay."""

    def __init__(self, steps: tuple[Step, ...], graph: Graph, spaces: Mapping[str, Shape]) -> None:
        self.steps, self.graph, self.spaces = steps, graph, spaces
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
        if self._together(op, operand) and local(op, operand):
            return False
        if isinstance(op, Pointwise) or (isinstance(op, Reduce) and op.axis is None):
            return operand.axis is not None or self.graph.shape(name_of(operand)) != self.span(op)
        return True

    def _together(self, op: Step, operand: Operand) -> bool:
        """Whether both stay within the rows of one matrix."""
        return op.out in self.spaces and self.spaces[op.out] == self.spaces.get(name_of(operand))

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
        owners: dict[str, _Owner] = {}
        for level in sorted(set(self.level.values())):
            here = [op for op in self.steps if self.level[op.out] == level]
            scalars = tuple(op for op in here if isinstance(op, Pointwise) and self._register(op.out))
            rest = [op for op in here if op not in scalars]
            rows = by_matrix(rest, self.spaces, self.graph)
            found = {op.out: (rows.get(op.out, self.span(op)), op.out in rows) for op in rest}
            pairs = [(op, o) for op in here for o in self._inside(op)]
            moved = any(self._moved(name_of(o), owners, found.get(op.out)) for op, o in pairs)
            barrier = moved or any(self._across(op, o) for op, o in pairs)
            for k, (span, by_rows) in enumerate(dict.fromkeys(found.values()) or [((), False)]):
                mine = [op for op in rest if found[op.out] == (span, by_rows)]
                reductions = tuple(op for op in mine if isinstance(op, Reduce) and op.axis is None)
                turn = turns([op for op in mine if op not in reductions]) if by_rows else {}
                body = tuple(sorted((op for op in mine if op not in reductions), key=lambda op: turn.get(op.out, 0)))
                phases.append(PhasePlan(span, () if k else scalars, body, reductions, barrier and not k,
                                        tuple(turn[op.out] for op in body if turn),
                                        frozenset(n for n in turn if self.graph.shape(n) == span)))  # fmt: skip
            owners |= found
        return KernelPlan(tuple(phases), True, self._crossing(phases))

    def _moved(self, name: str, owners: Mapping[str, _Owner], owner: _Owner | None) -> bool:
        """Whether what an earlier phase left is another thread's here, since a warp has rows in one of both."""
        if name not in owners or self._register(name) or not (owners[name][1] or (owner and owner[1])):
            return False
        return owners[name] != owner or self.graph.shape(name) != owners[name][0]

    def _crossing(self, phases: Sequence[PhasePlan]) -> frozenset[str]:
        found = set()
        for op in self.steps:
            for o in self._inside(op):
                later = self.level[name_of(o)] < self.level[op.out]
                if not self._register(name_of(o)) and (later or self._across(op, o)):
                    found.add(name_of(o))
        read = ((phase.passed_on(op), o) for phase in phases for op in phase.body for o in self._inside(op))
        return frozenset(found | {name_of(o) for passed_on, o in read if name_of(o) in passed_on})
