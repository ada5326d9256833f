"""When values are rounded on a target without registers: as where they leave a kernel of a target that has them.

Such a kernel has in registers what it computes, and rounds what it stores: whoever reads that from memory reads what
was rounded. Where every equation is a call of its own, a value is rounded in its place, between the calls that would
find it in a register and those that would not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

from symcell.graph import Graph, lag_of, name_of
from symcell.plan.phases import kernel_plans
from symcell.plan.stages import Fused, Schedule, Step
from symcell.plan.storing import left
from symcell.program.model import Copy, Kernel, Program, Ref, Region
from symcell.program.storage import settled
from symcell.symbolic.nodes import At


@dataclass(frozen=True)
class Rounding:
    """``left``: values that are stored where there are registers. ``near``: for each value those that are computed from
    it while it is in a register."""

    left: frozenset[str]
    near: Mapping[str, Set[str]]

    @staticmethod
    def of(schedule: Schedule, outside: Iterable[str]) -> Rounding:
        """``outside``: values that something besides the sweep's own steps reads."""
        near: dict[str, set[str]] = {}
        for _, stage in schedule.all():
            if isinstance(stage, Fused):
                near |= near_readers(stage.steps, schedule.graph)
        return Rounding(left(schedule, outside), near)


def near_readers(steps: tuple[Step, ...], graph: Graph) -> dict[str, set[str]]:
    """For the values of one stage those that are computed from them while they are in a register."""
    near: dict[str, set[str]] = {}
    for plan in kernel_plans(steps, graph):
        for phase in plan.phases:
            registers = plan.registers(phase)
            for op in (*phase.scalars, *phase.body, *phase.reductions):
                for operand in op.operands():
                    if phase.finds(op, operand, registers):
                        near.setdefault(operand.signal, set()).add(op.out)
    return near


def near_first(groups: list[tuple[Step, ...]], graph: Graph) -> list[tuple[Step, ...]]:
    """The steps of one stage in groups, in an order in which those that find a value in a register come before those
    that do not; as they are, where there is no such order."""
    place = {op.out: k for k, ops in enumerate(groups) for op in ops}
    near = near_readers(tuple(op for ops in groups for op in ops), graph)
    readers: dict[str, set[str]] = {}
    for op in (op for ops in groups for op in ops):
        for operand in op.operands():
            if name_of(operand) in place and not lag_of(operand):
                readers.setdefault(name_of(operand), set()).add(op.out)
    after: dict[int, set[int]] = {k: set() for k in range(len(groups))}
    for name, found in readers.items():
        first = {place[reader] for reader in near.get(name, ())}
        for reader in found:
            behind = {place[name]} | (set() if reader in near.get(name, ()) else first)
            after[place[reader]] |= behind - {place[reader]}
    order: list[int] = []
    while len(order) < len(groups):
        ready = (k for k in after if k not in order and after[k] <= {*order})
        if (found_next := next(ready, None)) is None:
            return groups
        order.append(found_next)
    return [groups[k] for k in order]


def with_rounding(program: Program, rounding: Rounding) -> Program:
    """The program, each kernel with what is rounded behind it."""
    regions = tuple(_rounding(program, region, rounding) for region in program.regions)
    return replace(program, regions=regions)


def _rounding(program: Program, region: Region, rounding: Rounding) -> Region:
    stages = list(region.stages)
    kernels = [(k, stage) for k, stage in enumerate(stages) if isinstance(stage, Kernel)]
    readers: dict[str, list[tuple[int, str]]] = {}
    for k, kernel in kernels:
        for statement in kernel.statements():
            for op in statement.ops:
                for operand in op.operands():
                    if isinstance(operand, At) and not operand.lag:
                        readers.setdefault(operand.signal, []).append((k, op.out))
    sent = {stage.source.buffer for stage in stages if isinstance(stage, Copy)}
    behind: dict[int, list[Ref]] = {}
    for k, kernel in kernels:
        for name, ref in _made(kernel):
            if name in rounding.left and settled(program, ref):
                near = rounding.near.get(name, frozenset()) if ref.buffer not in sent else frozenset()
                behind.setdefault(_place(k, readers.get(name, []), near), []).append(ref)
    for k, kernel in kernels:
        stages[k] = replace(kernel, rounds=tuple(behind.get(k, ())))
    return replace(region, stages=tuple(stages))


def _made(kernel: Kernel) -> Iterable[tuple[str, Ref]]:
    for statement in kernel.statements():
        if statement.out is not None:
            for k, op in enumerate(statement.ops):
                yield op.out, replace(statement.out, first=statement.out.first + k, count=1)


def _place(made: int, readers: Iterable[tuple[int, str]], near: Set[str]) -> int:
    """The kernel behind which a value is rounded that the one at ``made`` computes: the last that would find it in a
    register, but before any that would not."""
    readers = list(readers)
    last = max((k for k, name in readers if name in near), default=made)
    first = min((k for k, name in readers if name not in near and k > made), default=last + 1)
    return max(made, max((k for k, _ in readers if k < first and k <= last), default=made))
