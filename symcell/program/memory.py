"""A program's buffers as arrays that really share the memory of their slots.

Memory is poisoned with NaN when it is allocated, when another buffer takes its slot, and at every step where a buffer
holds one step only: what is read before it is written, or after its slot went to another, is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from symcell.cell import units
from symcell.program.access import ProgramError, whole
from symcell.program.model import Program, Ref
from symcell.program.packing import Array, Packing


class Memory:
    """``given``: the arrays of buffers that the program does not make, (rows, width) or (1, width) where fixed."""

    def __init__(
        self, program: Program, packing: Packing, sizes: Mapping[str, int], given: Mapping[str, Array], kept: bool
    ) -> None:
        self.program, self.packing, self.sizes, self.kept = program, packing, sizes, kept
        self.arrays = dict(given)
        self.rooms: dict[str, Array] = {}
        self.owner: dict[str, str] = {}
        own = [b for b in program.buffers.values() if b.name not in given]
        for buffer in own:
            slot = buffer.slot or buffer.name
            need = self._rows(buffer.name) * buffer.width.value(sizes)
            if need >= self.rooms.get(slot, np.zeros(0)).size:
                self.rooms[slot] = np.full(need, np.nan)
        for buffer in own:
            if buffer.zeroed:
                self.take(buffer.name)[:] = 0

    def _rows(self, name: str) -> int:
        buffer = self.program.buffers[name]
        fixed = buffer.extent == "fixed"
        return 1 if fixed else self.packing.room(buffer.depth, whole(self.program, name, self.kept))

    def take(self, name: str) -> Array:
        """A buffer's array, to be written to."""
        if name in self.arrays:
            return self.arrays[name]
        buffer = self.program.buffers[name]
        slot, rows, width = buffer.slot or name, self._rows(name), buffer.width.value(self.sizes)
        if self.owner.get(slot) != name:
            self.owner[slot] = name
            self.rooms[slot][:] = np.nan
        return self.rooms[slot][: rows * width].reshape(rows, width)

    def array(self, name: str) -> Array:
        """A buffer's array, to be read: NaN where its slot belongs to another buffer now."""
        buffer = self.program.buffers[name]
        if name in self.arrays or self.owner.get(buffer.slot or name) == name:
            return self.take(name)
        return np.full((self._rows(name), buffer.width.value(self.sizes)), np.nan)

    def forget(self) -> None:
        """Poison what holds one step only."""
        for name, buffer in self.program.buffers.items():
            single = buffer.depth == 0 and buffer.extent in ("local", "ring", "tape")
            if name not in self.arrays and single and not whole(self.program, name, self.kept):
                slot = buffer.slot or name
                if self.owner.get(slot) == name:
                    self.rooms[slot][:] = np.nan

    def columns(self, ref: Ref) -> slice:
        buffer = self.program.buffers[ref.buffer]
        start = buffer.offset(ref.first).value(self.sizes)
        return slice(start, start + sum(m.width.value(self.sizes) for m in self.program.window(ref)))

    def index(self, ref: Ref, t: int | None) -> Array | slice:
        """The rows of a reference at step ``t``, or at all steps (None)."""
        buffer = self.program.buffers[ref.buffer]
        if buffer.extent == "fixed":
            return slice(None)
        every = whole(self.program, ref.buffer, self.kept)
        if t is not None:
            return self.packing.step(t, ref.shift, buffer.depth, every)
        if not every:
            raise ProgramError(f"{ref.buffer} has no rows for every step")
        return self.packing.sequence(ref.shift, buffer.depth)

    def read(self, ref: Ref, t: int | None) -> Array:
        """(rows, width)."""
        return self.array(ref.buffer)[self.index(ref, t)][:, self.columns(ref)]

    def write(self, ref: Ref, t: int | None, value: Array) -> None:
        array, index, columns = self.take(ref.buffer), self.index(ref, t), self.columns(ref)
        rows = array[index]
        rows[:, columns] = np.broadcast_to(value, rows[:, columns].shape)
        array[index] = rows

    def stacked(self, ref: Ref, t: int | None) -> Array:
        """(rows, members, *shape)."""
        member = self.program.window(ref)[0]
        rows = self.read(ref, t)
        return rows.reshape(len(rows), ref.count, *(n.value(self.sizes) for n in member.shape))

    def width(self, ref: Ref) -> int:
        return sum(units(m.shape).value(self.sizes) for m in self.program.window(ref))
