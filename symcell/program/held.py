"""What one sweep over some steps holds in memory besides what goes in and comes out: whole, or a piece of a run that
keeps states alone (checkpoints)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from symcell.cell import ONE, Size
from symcell.program.access import references, writes
from symcell.program.memory_use import Piece, Room, bytes_of, handed_over, own, piece
from symcell.program.model import Buffer, Fixed, Gemm, Gradient, Kernel, Plan, Program, Ref, Stage, Storage, Sums
from symcell.program.packs import packed
from symcell.program.storage import REAL, item, rounds, settled, side_by_side

INDEX = 8
"""Bytes of a row's number."""

ENTRY, STEP, LOOP = 136, 80, 120
"""Bytes of Python's objects for a step: its slice in a list of slots; its place in the packing; a backward loop's."""


@dataclass(frozen=True)
class Held:
    """``rooms``: arrays, as in :mod:`symcell.program.memory_use`. Where sequences end early, each row besides takes
    ``copied`` numbers and ``indices`` row numbers, because rows are copied together. ``objects``: bytes a step.
    ``widened``: arrays besides where numbers are of 16 bits and sweeps work on copies of them. ``copies``: what the
    copied numbers are."""

    rooms: tuple[Room, ...]
    copied: Size
    indices: int
    objects: int
    widened: tuple[Room, ...] = ()
    copies: Storage = "stored"

    def bytes(self, sizes: Mapping[str, int], steps: int, batch: int, itemsize: int, packed: bool = False) -> int:
        """How many bytes that is; ``packed``: sequences end early."""
        rooms = self.rooms + (self.widened if itemsize < REAL else ())
        arrays = bytes_of(rooms, sizes, steps, batch, itemsize)
        row = item(self.copies, itemsize) * self.copied.value(sizes) + INDEX * self.indices if packed else 0
        return arrays + row * steps * batch + self.objects * steps


@dataclass(frozen=True)
class Sweeps:
    """What stands at the end of the forward sweep ``untaped`` and ``taped``, and of the ``backward`` one, with that
    ``tape``."""

    untaped: Held
    taped: Held
    backward: Held
    tape: tuple[Room, ...]


def sweeps(plan: Plan) -> Sweeps:
    """What the sweeps of a plan hold."""
    forward, backward = plan.forward, plan.backward
    inputs = [b for b in _inputs(forward) if not b.depth]
    untaped, taped = (_held(forward, kept, inputs, (), STEP) for kept in (False, True))

    tape = [forward.buffers[name] for name in forward.tape]
    rooms = tuple((piece(forward, b),) for b in tape if b.origin == "own" or b.depth)
    seeds = [b for b in backward.buffers.values() if b.origin == "seed"]
    copied = [*(b for b in inputs if b.name in forward.tape), *seeds]
    return Sweeps(untaped, taped, _held(backward, True, copied, rooms, STEP + LOOP), rooms)


def _held(program: Program, kept: bool, copied: list[Buffer], rooms: tuple[Room, ...], objects: int) -> Held:
    """A program's own buffers beside some ``rooms``. ``copied``: those that it copies where sequences end early; there
    results are copies too."""
    given, gathers = handed_over(program, kept), list(_gathered(program))
    widths = (b.width for b in (*copied, *gathers, *(program.buffers[name] for name in sorted(given))))
    mine = (*own(program, kept, given), *packed(program), *_ones(program))
    results = [piece(program, program.buffers[name]) for name in sorted(given)]
    grads = [piece(program, b) for b in program.buffers.values() if b.origin == "grads"]
    copies: Storage = "stored"
    widened: tuple[Room, ...] = tuple((one,) for one in (*grads, *results) if one.storage == "real")
    if program.profile.wide:
        copies = "real"
        mine = tuple(tuple(_wide(one) for one in room) for room in mine)
        widened = (*_copies(program, kept), *((_wide(one),) for one in (*grads, *results)))
    lists = ENTRY * _slot_lists(program)
    return Held((*rooms, *mine), sum(widths, Size()), 1 + len(gathers), objects + lists, widened, copies)


def _wide(array: Piece) -> Piece:
    return replace(array, storage="real") if array.storage == "stored" else array


def _copies(program: Program, kept: bool) -> Iterator[Room]:
    """The copies that a sweep works on, and those of 16 bits that it makes of its tape; and room for what its products
    over all steps round, which is a copy of each type, and for what is rounded in its place, which is one."""
    for buffer in program.buffers.values():
        if buffer.origin in ("params", "directions", "constant"):
            yield (Piece(buffer.width, fixed=True, storage="real"),)
        elif buffer.origin in ("input", "seed", "tape") and buffer.storage == "stored" and not (
            buffer.origin == "input" and buffer.depth  # one of its own buffers
        ):
            yield (_wide(piece(program, buffer)),)
    if program.ahead and kept:
        taped = (program.buffers[name] for name in program.tape)
        yield from ((piece(program, b),) for b in taped if b.storage == "stored")
    both = (_rounded(program), Piece(Size(), steps=2, storage="real"))
    one = (_rounded_in_place(program), Piece(Size(), steps=1))
    for refs, copy in (both, one):
        widths = dict.fromkeys(sum((m.width for m in program.window(ref)), Size()) for ref in refs)
        if widths:
            yield tuple(replace(copy, width=width) for width in widths)


def _rounded(program: Program) -> Iterator[Ref]:
    """What products over all steps round, one at a time."""
    for region in program.regions:
        for stage in region.stages if region.kind == "sequence" else ():
            operands = {Gemm: ("left",), Gradient: ("left", "right"), Sums: ("arg",)}.get(type(stage), ())
            refs = [getattr(stage, name) for name in operands]
            varying = (ref for ref in refs if program.buffers[ref.buffer].extent != "fixed")
            yield from (ref for ref in varying if rounds(program, True, ref))


def _rounded_in_place(program: Program) -> Iterator[Ref]:
    """What is rounded in its place over all steps, where that makes a copy."""
    for region in program.regions:
        for stage in region.stages if region.kind == "sequence" and not program.profile.registers else ():
            placed = stage.rounds if isinstance(stage, Kernel) else writes(stage) if isinstance(stage, Gemm) else ()
            yield from side_by_side(ref for ref in placed if settled(program, ref))


def _inputs(program: Program) -> Iterator[Buffer]:
    """Inputs that the program reads or hands on."""
    used = {ref.buffer for _, stage in program.stages() for ref in references(stage)} | set(program.tape)
    yield from (b for name, b in program.buffers.items() if b.origin == "input" and name in used)


def _gathered(program: Program) -> Iterator[Buffer]:
    """Buffers whose rows of another step stages over whole sequences copy together, once for each such step."""
    seen: set[tuple[str, int]] = set()
    for region, stage in program.stages():
        for ref in references(stage) if region.kind == "sequence" else ():
            if _moved(program, stage, ref) and (ref.buffer, ref.shift) not in seen:
                seen.add((ref.buffer, ref.shift))
                yield program.buffers[ref.buffer]


def _moved(program: Program, stage: Stage, ref: Ref) -> bool:
    buffer = program.buffers[ref.buffer]
    return not isinstance(stage, Fixed) and buffer.extent != "fixed" and ref.shift != buffer.depth


def _ones(program: Program) -> tuple[Room, ...]:
    """The row of ones by which sums over a whole sequence are products of a library's."""
    summed = any(isinstance(stage, Sums) for region, stage in program.stages() if region.kind == "sequence")
    return ((Piece(ONE, steps=1),),) if summed and not program.profile.packs else ()


def _slot_lists(program: Program) -> int:
    """How many lists say where each step's rows stand."""
    found = set()
    for region, stage in program.stages():
        if region.kind != "steps":
            continue
        for ref in references(stage):
            buffer = program.buffers[ref.buffer]
            if buffer.extent in ("whole", "tape") or (buffer.extent == "ring" and buffer.depth):
                found.add((buffer.depth, buffer.extent == "ring", buffer.origin == "own", ref.shift))
    return len(found)
