"""What units find of the step before in shared memory, and leave there for the next one, as CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symcell.cell import Size, units
from symcell.emit.cupy.carries import Carry
from symcell.emit.cupy.places import Places
from symcell.program.model import Program


@dataclass(frozen=True)
class Carried:
    """A value that a unit finds in room ``room`` in the step after it was left there: an operand's name where it is
    ``found``, CUDA of the value where it is left."""

    room: int
    value: str


class CarriedUnits:
    """Prints what the kernels of a region carry; rooms are numbered from 1 on."""

    def __init__(self, program: Program, places: Places, carries: Sequence[Carry]) -> None:
        self._program, self._places = program, places
        self._carries = list(enumerate(carries, 1))

    def sizes(self) -> list[tuple[Size, Size]]:
        """By room: the units of a row, as the first axis and those for each of it."""
        return [(units(carry.span[:1]), units(carry.span[1:])) for _, carry in self._carries]

    def found(self, place: int) -> tuple[Carried, ...]:
        """What the units of the kernel at ``place`` find of the step before."""
        readers = [(number, reader) for number, carry in self._carries for reader in carry.readers]
        return tuple(Carried(number, name) for number, (reader, name) in readers if reader == place)

    def left(self, place: int) -> tuple[Carried, ...]:
        """What they leave for the next one."""
        return tuple(
            Carried(number, f"{'out' if carry.made else 'in'}.{carry.value}")
            for number, carry in self._carries
            if carry.source == place
        )

    def spared(self, place: int) -> tuple[tuple[str, ...], str]:
        """What a kernel's units leave that memory need not have after each step, and the condition under which it must:
        where it has no room, at a sample's end, behind the last step, or on a tape."""
        spared, ends = list[str](), ["next == t", "first + row >= following"]
        for number, carry in self._carries:
            if carry.source == place and carry.out is not None:
                buffer = self._program.buffers[carry.out.buffer]
                whole = self._places.views.scope.whole(buffer)
                if whole == "True" or buffer.depth > 1:
                    continue
                kept = [self._places.number("keep_tape", "int(keep_tape)")] if whole == "keep_tape" else []
                spared, ends = [*spared, carry.value], [f"ROOM_{number} < 0", *kept, *ends]
        return tuple(spared), " || ".join(dict.fromkeys(ends)) if spared else ""
