"""What a kernel is called with: sizes, and pointers to the rows that it works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from symcell.cell import Size
from symcell.emit.c_family.names import Names, timed
from symcell.program.access import memory
from symcell.program.model import Kernel, Program, Ref, Storage


@dataclass(frozen=True)
class Length:
    """A named size."""

    name: str
    size: str


@dataclass(frozen=True)
class Pointer:
    """An array in which the rows of a reference lie one after the other; or a fixed array.

    ``written``: the kernel writes through it. ``alone``: what the kernel writes there it neither reads nor reaches by
    another pointer. ``storage``: what numbers there are.
    """

    name: str
    ref: Ref
    written: bool
    alone: bool
    storage: Storage


Argument = Length | Pointer


class Arguments:
    """The sizes and pointers that a kernel is called with, each once, in the order in which its code comes to need
    them: a pointer to rows is one to the first that the kernel works on.

    ``direct``: numbers are found from there, else by ``rows``: declarations of pointers to the row in hand. ``stored``:
    the type of numbers that are stored as parameters are.
    """

    def __init__(
        self, kernel: Kernel, program: Program, names: Names, *, direct: bool = False, stored: str = "real"
    ) -> None:
        self._program, self._names, self._direct, self._stored = program, names, direct, stored
        self._found: dict[str, Argument] = {}
        self._pointers: dict[Ref, str] = {}
        self.rows: list[str] = []
        statements = tuple(kernel.statements())
        self._outs = dict.fromkeys(_slot(s.out) for s in statements if s.out is not None)
        self._reads = frozenset(r for s in statements for r in s.reads.values())
        self._read = frozenset(memory(program, ref) for ref in self._reads)
        self._written = [memory(program, out) for out in self._outs]

    def __iter__(self) -> Iterator[Argument]:
        return iter(self._found.values())

    def reread(self, out: Ref) -> bool:
        """Whether the kernel reads from where a result goes: the same member, or another buffer in its memory."""
        others = (r for r in self._reads if memory(self._program, r) == memory(self._program, out))
        return any(r.buffer != out.buffer or (r.shift, r.first) == (out.shift, out.first) for r in others)

    def length(self, size: Size) -> str:
        """A size as C code, its named parts being arguments."""
        texts = []
        for names, count in size.terms:
            factors = [str(count)] if count != 1 or not names else []
            texts.append("*".join([*factors, *(self._size(n) for n in names)]))
        return " + ".join(texts) or "0"

    def _size(self, size: str) -> str:
        name = self._names.get(("size", size), size)
        self._found.setdefault(name, Length(name, size))
        return name

    def element(self, ref: Ref, lag: int, index: str) -> str:
        """The number at ``index`` in a reference's first member, in the row in hand; ``lag``: of the value there."""
        buffer = self._program.buffers[ref.buffer]
        if buffer.extent == "fixed":
            return f"{self._pointer(self._program.window(ref)[0].name, Ref(ref.buffer, ref.first))}[{index}]"
        column = self.length(buffer.offset(ref.first))
        place = index if column == "0" else column if index == "0" else f"{column} + {index}"
        if self._direct:
            return f"{self._base(_slot(ref), lag)}[row{self.stride(ref)} + {place}]"
        return f"{self._row(_slot(ref), lag)}[{place}]"

    def _pointer(self, hint: str, ref: Ref) -> str:
        name, place = self._names.get(("pointer", ref), hint), memory(self._program, ref)
        writers = self._written.count(place)
        alone = not writers or (writers == 1 and place not in self._read)
        storage = self._program.buffers[ref.buffer].storage
        self._found.setdefault(name, Pointer(name, ref, ref in self._outs, alone, storage))
        return name

    def _row(self, ref: Ref, lag: int) -> str:
        """The pointer to the row in hand of a buffer at a shift, declared once."""
        if ref not in self._pointers:
            self._pointers[ref] = self._names.get(("row", ref), f"{self._hint(ref, lag)}_row")
            base = self._base(ref, lag)
            const = "" if ref in self._outs else "const "
            kind = self._stored if self._program.buffers[ref.buffer].storage == "stored" else "real"
            self.rows.append(f"{const}{kind}* {self._pointers[ref]} = {base} + row{self.stride(ref)};")
        return self._pointers[ref]

    def _base(self, ref: Ref, lag: int) -> str:
        """The pointer to the rows of a buffer at a shift."""
        return self._pointer(f"{self._hint(ref, lag)}_rows", ref)

    def _hint(self, ref: Ref, lag: int) -> str:
        return timed(self._program.buffers[ref.buffer].name.partition("[")[0], lag)

    def stride(self, ref: Ref) -> str:
        """How many numbers a row of a reference's buffer has, as a factor behind a number of rows."""
        stride = self.length(self._program.buffers[ref.buffer].width)
        return f" * ({stride})" if "+" in stride or "*" in stride else "" if stride == "1" else f" * {stride}"


def _slot(ref: Ref) -> Ref:
    """A reference to all members of a buffer's slot."""
    return Ref(ref.buffer, shift=ref.shift)
