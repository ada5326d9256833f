"""Where the rows lie that a block's kernels work on: in memory, or in the block's shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symcell.cell import Size
from symcell.emit.c_family.arguments import Argument, Length
from symcell.emit.cupy.places import Places
from symcell.emit.cupy.rooms import Room
from symcell.program.model import Program, Ref


@dataclass(frozen=True)
class Brought:
    """Rows that come into room ``number``, as C code: from ``rows``, of ``width`` numbers, those of the ``slot`` in
    hand that are not there yet; and, of what is given, from ``ahead`` those of the step to come (else empty)."""

    number: int
    rows: str
    width: str
    slot: str
    ahead: str = ""


@dataclass(frozen=True)
class Left:
    """Rows that leave a room for memory, from row ``start`` on."""

    number: int
    rows: str
    width: str
    slot: str
    start: str


class Rows:
    """Prints the rows of a region: ``rooms`` are numbered behind the ``before`` that others have."""

    def __init__(self, program: Program, places: Places, rooms: Sequence[Room], before: int = 0) -> None:
        self._program, self._places = program, places
        self._rooms = list(enumerate(rooms, before + 1))

    def sizes(self) -> list[tuple[Size, int, bool]]:
        """By room: the numbers of a row, the places for one, and whether numbers are there as they are stored."""
        buffers = [(self._program.buffers[room.now.buffer], room) for _, room in self._rooms]
        return [(buffer.width, room.copies, buffer.storage == "stored") for buffer, room in buffers]

    def arguments(self, arguments: Sequence[Argument], pointers: dict[str, str]) -> tuple[str, ...] | None:
        """What a kernel's function is called with for ``row``, as if that were the first of all; None where no
        argument may have room."""
        if not any(self._find(argument.ref) for argument in arguments if not isinstance(argument, Length)):
            return None
        return tuple(self._argument(argument, pointers) for argument in arguments)

    def brought(self, run: int, pointers: dict[str, str]) -> tuple[Brought, ...]:
        """What comes before a run."""
        return tuple(
            self._brought(number, room, pointers)
            for number, room in self._numbered(run, "enters")
            if room.given or room.old is not None
        )

    def left(self, run: int, pointers: dict[str, str]) -> tuple[Left, ...]:
        """What goes behind a run."""
        return tuple(
            Left(number, self._base(room.now, "t", pointers), self._width(room.now), self._slot(room, room.now), start)
            for number, room in self._numbered(run, "leaves")
            for start in [self._start(room)]
        )

    def _numbered(self, run: int, edge: str) -> list[tuple[int, Room]]:
        return [(number, room) for number, room in self._rooms if getattr(room, edge) == run]

    def _find(self, ref: Ref) -> tuple[int, Room] | None:
        found = (pair for pair in self._rooms if _all(ref) in (pair[1].now, pair[1].old))
        return next(found, None)

    def _argument(self, argument: Argument, pointers: dict[str, str]) -> str:
        base = self._places.argument(argument, "t", pointers)
        if isinstance(argument, Length) or self._program.buffers[argument.ref.buffer].extent == "fixed":
            return base
        width, found = self._width(argument.ref), self._find(argument.ref)
        if found is None:
            return f"{base} + row" + (f"*{width}" if width != "1" else "")
        number, room = found
        return f"row_of<ROOM_{number}>(shared, {base}, row, {width}, {self._slot(room, argument.ref)})"

    def _brought(self, number: int, room: Room, pointers: dict[str, str]) -> Brought:
        ref = room.now if room.old is None else room.old
        ahead = self._base(ref, "next", pointers) if room.given else ""
        return Brought(number, self._base(ref, "t", pointers), self._width(ref), self._slot(room, ref), ahead)

    def _base(self, ref: Ref, step: str, pointers: dict[str, str]) -> str:
        hint = ref.buffer if step == "t" else f"{self._base(ref, 't', pointers)}_ahead"
        return self._places.pointer(ref, hint, step, pointers)

    def _width(self, ref: Ref) -> str:
        return self._places.length(self._program.buffers[ref.buffer].width)

    def _slot(self, room: Room, ref: Ref) -> str:
        """Which of a row's places."""
        return "0" if room.copies == 1 else "t % 2" if _all(ref) == room.now else "(t + 1) % 2"

    def _start(self, room: Room) -> str:
        """The first row that must be in memory: all where something else reads it or it is kept, else those that end
        with this step."""
        whole = self._places.views.scope.whole(self._program.buffers[room.now.buffer])
        if room.asked or whole == "True":
            return "0"
        return "ahead" if whole == "False" else f"{self._places.number('keep_tape', 'int(keep_tape)')} ? 0 : ahead"


def _all(ref: Ref) -> Ref:
    """A reference to all members of a slot."""
    return Ref(ref.buffer, shift=ref.shift)
