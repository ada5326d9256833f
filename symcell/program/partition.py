"""How blocks share the steps of a sweep: which of a stage's units or rows each has, and where blocks must meet.

Every block has the samples of its group, and of each span of units its own part, cut along the first axis: a unit's
values then stay with one block from stage to stage. A product reads whole rows, so its operand must be complete: the
blocks of a group meet before it. A kernel in which the units of a row meet is shared by rows instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from symcell.cell import ONE, Shape, units
from symcell.graph import Contraction, Operand, Reduce
from symcell.program.access import memory, references
from symcell.program.model import Gemm, Kernel, Program, Ref, Region, Stage, Statement

Share = Literal["units", "rows"]
"""A block has its part of the units of every row, or some rows whole."""

Reach = Literal["units", "rows", "all"]
"""What of a reference a block touches: its part of the units, its rows, or everything."""


@dataclass(frozen=True)
class Run:
    """Neighbouring stages of a step that are shared alike, with their places in the region. ``meets``: blocks meet
    before it, or, where it is the first, at the end of a step."""

    share: Share
    stages: tuple[tuple[int, Stage], ...]
    meets: bool


@dataclass(frozen=True)
class _Access:
    """``step``: counted from some step on."""

    ref: Ref
    reach: Reach
    write: bool
    step: int


def share(stage: Stage) -> Share:
    """How blocks share a stage."""
    return "rows" if isinstance(stage, Kernel) and (stage.rowwise or _walks(stage)) else "units"


def runs(program: Program, region: Region) -> tuple[Run, ...]:
    """The stages of one step as blocks run them."""
    meets = meetings(program, region)
    numbered = list(enumerate(region.stages))
    cuts = [k for k, stage in numbered if k == 0 or k in meets or share(stage) != share(region.stages[k - 1])]
    return tuple(
        Run(share(region.stages[start]), tuple(numbered[start:stop]), start in meets)
        for start, stop in pairwise([*cuts, len(numbered)])
    )


def meetings(program: Program, region: Region) -> frozenset[int]:
    """The stages before which blocks meet: those that touch what other blocks have written since they last met, or
    write what others have touched. As many steps are looked at as values go back, and one more."""
    found: set[int] = set()
    since: list[_Access] = []
    refs = [ref for stage in region.stages for ref in references(stage)]
    deepest = max((program.buffers[ref.buffer].depth for ref in refs), default=0)
    for step in range(deepest + 2):
        for k, stage in enumerate(region.stages):
            accesses = list(_accesses(program, stage, step * region.direction))
            if k in found or any(_apart(program, one, other) for one in since for other in accesses):
                found.add(k)
                since = []
            since += accesses
    return frozenset(found)


def _apart(program: Program, one: _Access, other: _Access) -> bool:
    """Whether one block may need what another one does, at least one of them writing."""
    if not (one.write or other.write) or memory(program, one.ref) != memory(program, other.ref):
        return False
    if one.ref.buffer != other.ref.buffer:
        return True
    together = _slot(program, one) == _slot(program, other) and _overlap(one.ref, other.ref)
    return together and (one.reach != other.reach or one.reach == "all")


def _overlap(one: Ref, other: Ref) -> bool:
    return one.first < other.first + other.count and other.first < one.first + one.count


def _slot(program: Program, access: _Access) -> int:
    """The slot of its buffer that an access names."""
    buffer = program.buffers[access.ref.buffer]
    slot = access.step + access.ref.shift
    return slot if buffer.extent == "whole" or buffer.origin == "tape" else slot % (buffer.depth + 1)


def _accesses(program: Program, stage: Stage, step: int) -> Iterator[_Access]:
    if isinstance(stage, Gemm):
        yield _Access(stage.left, "all", write=False, step=step)
        yield _Access(stage.out, "units", write=True, step=step)
        return
    if not isinstance(stage, Kernel):
        raise NotImplementedError(f"a step has no {type(stage).__name__}")
    by_rows = share(stage) == "rows"
    for phase in stage.phases:
        for statement in (*phase.scalars, *phase.body, *phase.reductions):
            for operand, ref in statement.reads.items():
                if program.buffers[ref.buffer].extent != "fixed":
                    reach: Reach = "rows" if by_rows else _reach(phase.span, operand, program.window(ref)[0].shape)
                    yield _Access(ref, reach, write=False, step=step)
            if statement.out is not None:
                written: Reach = "rows" if by_rows else _written(phase.span, statement)
                yield _Access(statement.out, written, write=True, step=step)


def _reach(span: Shape, operand: Operand, shape: Shape) -> Reach:
    """What of an operand a block's part of a span reads."""
    axis = getattr(operand, "axis", None)
    if axis is None:
        return "units" if _alike(shape, span) else "all"
    return "units" if axis == 0 else "all"


def _written(span: Shape, statement: Statement) -> Reach:
    return "units" if _alike(statement.shape, span) else "all"


def _alike(one: Shape, other: Shape) -> bool:
    """Whether blocks cut two shapes alike."""
    return one == other or units(one) == units(other) == ONE


def _walks(kernel: Kernel) -> bool:
    """Whether units of a kernel walk over matrices: they read what other units have."""
    ops: Sequence[object] = [statement.op for statement in kernel.statements()]
    return any(isinstance(op, Contraction) or (isinstance(op, Reduce) and op.axis is not None) for op in ops)
