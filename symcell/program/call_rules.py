"""Bodies that are written as calls: each finds what it reads where it reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from symcell.graph import Pointwise
from symcell.program.access import title
from symcell.program.model import Fixed, Kernel, Mask, Out, Place, Program, Ref, Statement, Temp
from symcell.symbolic.nodes import At, Param


def calls_find_their_operands(program: Program) -> Iterator[str]:
    for region, stage in program.stages():
        parts = stage.statements() if isinstance(stage, Kernel) else [stage] if isinstance(stage, Fixed) else []
        for part in parts:
            yield from (f"{region.kind}, {title(stage)}: {problem}" for problem in _part(program, part))


def _part(program: Program, part: Statement | Fixed) -> Iterator[str]:
    wanted = isinstance(part.op, Pointwise) and (isinstance(part, Fixed) or not program.profile.registers)
    if bool(part.calls) != wanted:
        yield f"{part.op.out} has {'no calls' if wanted else 'calls'}"
    if part.out is None and not program.profile.registers:
        yield f"{part.op.out} has no place in memory"
    missing = list(_missing(part))
    yield from missing
    if part.calls and not missing:
        yield from _overwritten(_in_slots(program, part))


def _places(part: Statement | Fixed) -> Iterator[Place]:
    for call in part.calls:
        yield from (a for a in call.args if isinstance(a, Temp | Out | Mask))
        yield call.out


def _missing(part: Statement | Fixed) -> Iterator[str]:
    for place in _places(part):
        if isinstance(place, Temp) and not 0 <= place.number < len(part.work):
            yield f"{part.op.out} uses temporary {place.number} of {len(part.work)}"
        if (isinstance(place, Mask) and part.mask is None) or (isinstance(place, Out) and part.out is None):
            yield f"{part.op.out} has no room for {type(place).__name__.lower()}"


def _in_slots(program: Program, part: Statement | Fixed) -> Statement | Fixed:
    """The part with the operand whose memory the result takes where the result lies."""
    out = program.buffers[part.out.buffer] if part.out is not None else None

    def seen(ref: Ref) -> Ref:
        buffer = program.buffers[ref.buffer]
        shares = out is not None and out.slot and buffer.slot == out.slot and buffer.width == out.width
        return replace(ref, buffer=out.name) if shares and out is not None else ref

    return replace(part, reads={operand: seen(ref) for operand, ref in part.reads.items()})


def _overwritten(part: Statement | Fixed) -> Iterator[str]:
    """Run the calls over what each place holds: an operand, or the intermediate result that was written there."""
    places: dict[Place, Ref | None] = {Out(): part.out, Mask(): part.mask}
    places |= {Temp(k): ref for k, ref in enumerate(part.work)}
    holds: dict[tuple[str, int, int], Place] = {}
    for call in part.calls:
        stands = (call.out,) if call.function == "select" else ()
        for arg in (*call.args, *stands):
            if isinstance(arg, At | Param) and arg in part.reads:
                if any(cell in holds for cell in cells(part.reads[arg])):
                    yield f"{part.op.out}: {arg} is read when {holds[_first(part.reads[arg], holds)]} stands there"
            elif isinstance(arg, Temp | Out | Mask):
                ref = places[arg]
                if ref is None or any(holds.get(cell) != arg for cell in cells(ref)):
                    yield f"{part.op.out}: {arg} is read where something else stands, or nothing"
        ref = places[call.out]
        holds |= dict.fromkeys(cells(ref) if ref is not None else (), call.out)
    if part.out is not None and any(holds.get(cell) != Out() for cell in cells(part.out)):
        yield f"{part.op.out}: its calls do not leave the result in its place"


def _first(ref: Ref, holds: dict[tuple[str, int, int], Place]) -> tuple[str, int, int]:
    return next(cell for cell in cells(ref) if cell in holds)


def cells(ref: Ref) -> Iterator[tuple[str, int, int]]:
    """The members of a reference, each with its buffer and slot."""
    for k in range(ref.first, ref.first + ref.count):
        yield ref.buffer, k, ref.shift
