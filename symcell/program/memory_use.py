"""How much memory the buffers of a program take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import sympy

from symcell.cell import Size
from symcell.program.access import whole
from symcell.program.model import Buffer, Program, Storage
from symcell.program.storage import item
from symcell.program.stretches import ROWS, steps_of

STEPS, BATCH = sympy.symbols("T B", integer=True, positive=True)


@dataclass(frozen=True)
class Piece:
    """An array: ``width`` numbers in each row of ``steps`` whole sequences, of ``slots`` steps and of ``stretches``;
    ``fixed``: just so many numbers. ``storage``: of which kind."""

    width: Size
    steps: int = 0
    slots: int = 0
    stretches: int = 0
    fixed: bool = False
    storage: Storage = "stored"

    def numbers(self) -> sympy.Expr:
        """About how many numbers it holds, as a formula in the sizes, the steps T and the samples B."""
        rows = (self.steps * STEPS + self.slots) * BATCH + self.stretches * sympy.Min(ROWS, STEPS * BATCH)
        return (1 if self.fixed else rows) * self.width.symbol()

    def bytes(self, sizes: Mapping[str, int], steps: int, batch: int, itemsize: int) -> int:
        held = self.steps * steps + self.slots + self.stretches * steps_of(steps, batch)
        rows = 1 if self.fixed else held * batch
        return rows * self.width.value(sizes) * item(self.storage, itemsize)


def slots(program: Program) -> dict[str, tuple[Buffer, ...]]:
    """The pieces of memory that a program allocates, and the buffers that lie in each. An input that is read at earlier
    steps is copied behind room for these."""
    found: dict[str, tuple[Buffer, ...]] = {}
    for buffer in program.buffers.values():
        if buffer.origin == "own" or (buffer.origin == "input" and buffer.depth):
            slot = buffer.slot or buffer.name
            found[slot] = (*found.get(slot, ()), buffer)
    return found


def piece(program: Program, buffer: Buffer, kept: bool = True) -> Piece:
    """A buffer as an array."""
    if buffer.extent == "fixed":
        return Piece(buffer.width, fixed=True, storage=buffer.storage)
    found = program.stretches
    if found and buffer.name in found.buffers:
        return Piece(buffer.width, stretches=1, storage=buffer.storage)
    every = whole(program, buffer.name, kept)
    return Piece(buffer.width, int(every), buffer.depth + (not every), storage=buffer.storage)


Room = tuple[Piece, ...]
"""Arrays of which one stands at a time: memory for the largest."""


def own(program: Program, kept: bool = True, without: Iterable[str] = ()) -> Iterator[Room]:
    """What a program allocates for its own buffers; of those named in ``without``, the steps before the first alone."""
    for buffers in slots(program).values():
        if buffers[0].name not in without:
            yield tuple(piece(program, b, kept) for b in buffers)
        elif buffers[0].depth:
            yield (Piece(buffers[0].width, slots=buffers[0].depth),)


def handed_over(program: Program, kept: bool = True) -> frozenset[str]:
    """The buffers that a sweep hands to the caller as they are, where all sequences are of one length: results that are
    a whole buffer, have their memory alone, and are not on a tape that is ``kept``."""
    alone = {buffers[0].name for buffers in slots(program).values() if len(buffers) == 1}
    whole = {r.buffer for r in program.results.values() if r and r.count == len(program.buffers[r.buffer].members)}
    taped = program.tape if program.ahead and kept else ()
    return frozenset(n for n in whole & alone - set(taped) if program.buffers[n].origin == "own")


def allocated(
    program: Program, sizes: Mapping[str, int], steps: int, batch: int, itemsize: int, kept: bool = True
) -> int:
    """The bytes of all buffers that a program makes, those of one slot counted once."""
    return bytes_of(own(program, kept), sizes, steps, batch, itemsize)


def bytes_of(rooms: Iterable[Room], sizes: Mapping[str, int], steps: int, batch: int, itemsize: int) -> int:
    """The bytes of some rooms."""
    return sum(max(p.bytes(sizes, steps, batch, itemsize) for p in room) for room in rooms)
