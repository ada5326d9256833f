"""Which varying values have a place in memory: on a target with registers, those read outside their kernel."""

from __future__ import annotations

from collections.abc import Iterable

from symcell.graph import Graph, Op, Outer, name_of
from symcell.plan.phases import KernelPlan, kernel_plans
from symcell.plan.stages import Fused, Schedule
from symcell.program.model import Profile


def stored(schedule: Schedule, profile: Profile, outside: Iterable[str]) -> frozenset[str]:
    """The values with a place in memory. ``outside``: those that something besides the sweep's own steps reads."""
    if not profile.registers:
        return frozenset(_varying(schedule.graph))
    return left(schedule, outside, by_rows=profile.on_chip)


def _varying(graph: Graph) -> set[str]:
    return {op.out for op in graph.steps if not graph.values[op.out].fixed and not isinstance(op, Outer)}


def left(schedule: Schedule, outside: Iterable[str], *, by_rows: bool = False) -> frozenset[str]:
    """The values that have a place in memory where there are registers; ``by_rows``: as for their kernels."""
    graph = schedule.graph
    made = _varying(graph)
    readers = readers_of(graph.steps)
    kept = set(outside)
    for _, stage in schedule.all():
        if isinstance(stage, Fused):
            for plan in kernel_plans(stage.steps, graph, by_rows=by_rows):
                made -= {op.out for op in plan.steps}
                kept |= leaving(plan, graph, readers, kept)
    return frozenset(made | kept)


def leaving(plan: KernelPlan, graph: Graph, readers: dict[str, set[str]], outside: Iterable[str]) -> set[str]:
    """The values of a kernel that are stored: read outside it, carried, or read by other units of it."""
    outside = set(outside)
    mine = {op.out for op in plan.steps}
    found = {n for n in mine if n in outside or n in graph.carried or not readers.get(n, set()) <= mine}
    return found | plan.crossing


def readers_of(steps: Iterable[Op]) -> dict[str, set[str]]:
    """For each value the values computed from it."""
    readers: dict[str, set[str]] = {}
    for op in steps:
        for operand in op.operands():
            readers.setdefault(name_of(operand), set()).add(op.out)
    return readers
