"""What a stage reads and writes: every reference in it."""

from __future__ import annotations

from collections.abc import Iterator

from symcell.program.model import (
    Copy,
    EdgeSum,
    Fixed,
    Gemm,
    Gradient,
    Kernel,
    Program,
    Ref,
    Stage,
    Statement,
    Sums,
)


class ProgramError(AssertionError):
    """A program breaks a rule: a fault of the planner that made it, never of the user's cell."""


def reads(stage: Stage) -> Iterator[Ref]:
    """References to values that the stage needs."""
    match stage:
        case Kernel():
            for statement in stage.statements():
                yield from statement.reads.values()
        case Gemm():
            yield from (stage.left, stage.matrix)
            if stage.accumulate:
                yield stage.out
        case Gradient():
            yield from (stage.left, stage.right)
        case Sums():
            yield stage.arg
        case Fixed():
            yield from stage.reads.values()
        case Copy():
            yield stage.source
            if stage.add:
                yield stage.out


def writes(stage: Stage) -> Iterator[Ref]:
    """References to what the stage computes."""
    if isinstance(stage, Kernel):
        yield from (s.out for s in stage.statements() if s.out is not None)
    else:
        yield stage.out


def scratch(stage: Stage) -> Iterator[Ref]:
    """Room that means nothing before the stage and nothing after it."""
    match stage:
        case Kernel():
            for statement in stage.statements():
                yield from _room(statement)
        case Fixed():
            yield from _room(stage)
        case Gemm() if stage.work is not None:
            yield stage.work


def _room(part: Statement | Fixed) -> Iterator[Ref]:
    yield from part.work
    if part.mask is not None:
        yield part.mask


def references(stage: Stage) -> Iterator[Ref]:
    """All of them."""
    yield from reads(stage)
    yield from writes(stage)
    yield from scratch(stage)


def made(stage: Stage) -> tuple[str, ...]:
    """The names of the values that the stage computes."""
    match stage:
        case Kernel():
            return tuple(op.out for s in stage.statements() for op in s.ops)
        case Copy():
            return ()
        case Fixed() | EdgeSum():
            return (stage.op.out,)
    return tuple(op.out for op in stage.ops)


def title(stage: Stage) -> str:
    """What a message calls a stage: its kind and the values that it computes."""
    names = made(stage) or (stage.out.buffer if isinstance(stage, Copy) else "",)
    return f"{type(stage).__name__.lower()} {', '.join(names)}"


def memory(program: Program, ref: Ref) -> str:
    """What memory a reference's buffer lies in: its own, or a slot that it shares."""
    buffer = program.buffers[ref.buffer]
    return f"slot {buffer.slot}" if buffer.slot else f"buffer {buffer.name}"


def whole(program: Program, buffer: str, kept: bool = True) -> bool:
    """Whether a buffer has rows for every step (``kept``: the tape is kept)."""
    found = program.buffers[buffer]
    return found.extent == "whole" or (found.extent == "tape" and (kept or found.origin == "tape"))
