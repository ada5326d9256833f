"""Where things lie for a kernel that runs all steps: its parameters, and expressions of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from symcell.cell import Size
from symcell.emit.c_family.arguments import Argument, Length
from symcell.emit.c_family.names import Names
from symcell.emit.cupy.kernels import KernelView, functions_of, number_type
from symcell.emit.python.views import RegionViews
from symcell.program.model import Buffer, Ref, Storage
from symcell.symbolic import functions as fn

RESERVED = (
    "sequence", "me", "first", "last", "rows", "t", "next", "before", "begin", "count", "item", "shared", "meeting",
    "offsets", "steps", "batch", "keep_tape", "Sequence", "Product", "Part", "meet", "fetch", "part_of",
    "MatrixProduct", "F16", "Bf16", "Tf32", "Columns",
    "real4", "read4", "aligned_rows", "stored", "narrowed", "widened", "rounded", "NARROW", "THREADS", "WARPS", "PARTS",
    "stop", "DEBUG", "PATIENCE", "WATCH", "WAITS", "Watch", "call", "done", "turn", "packed", "weights", "PACKED",
    "ahead", "row_of", "bring", "leave", "commit", "arrived", "send", "ROOM_ROWS", "ROOMS", "Bytes16",
    "GRANTED", "SWEEPS",
)  # fmt: skip
"""What kernels of all steps call their own things."""


@dataclass
class Places:
    """``parameters``: by name, the declaration of each and its value as Python, in the order of asking; ``sizes``:
    those of them that are sizes of the cell, and which."""

    views: RegionViews
    kernels: Iterable[KernelView]
    parameters: dict[str, tuple[str, str]] = field(default_factory=dict)
    _pointers: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)
    _names: Names = field(init=False)

    def __post_init__(self) -> None:
        own = (name for kernel in self.kernels for name in functions_of(kernel.name))
        self._names = Names((*fn.c_names(), *RESERVED, *own))

    def number(self, name: str, value: str) -> str:
        """A parameter of this very name: an integer."""
        self.parameters.setdefault(name, (f"const long long {name}", value))
        return name

    def others(self) -> tuple[tuple[str, str, str], ...]:
        """The pointers among the parameters, what those of another sweep are called, and how these are declared."""
        named = ((name, self._names.get(("other", name), f"other_{name}")) for name in self._pointers)
        return tuple((name, other, f"{self._pointers[name]} {other}") for name, other in named)

    def argument(self, argument: Argument, step: str, local: dict[str, str]) -> str:
        """What a kernel's function is called with at a step. ``local``: pointers by what they are called, to which this
        may add one."""
        if isinstance(argument, Length):
            return self.length(Size.of(argument.size))
        hint = argument.name.removesuffix("_rows") + ("" if step == "t" else "_ahead")
        return self.pointer(argument.ref, hint, step, local)

    def pointer(self, ref: Ref, hint: str, step: str, local: dict[str, str]) -> str:
        """What the first row in hand of a reference's slot is called, of those in ``local``; ``hint``: if it has none
        yet."""
        code = self.row(ref, step)
        if code.isidentifier():
            return code
        name = self._names.get(("local", code), hint)
        local[name] = code
        return name

    def length(self, size: Size) -> str:
        """A size as C code that may be multiplied."""
        texts = []
        for names, count in size.terms:
            factors = [str(count)] if count != 1 or not names else []
            texts.append("*".join([*factors, *(self._size(n) for n in names)]))
        text = " + ".join(texts) or "0"
        return f"({text})" if len(texts) > 1 else text

    def rows(self, ref: Ref) -> tuple[str, str]:
        """The first of a reference's numbers in the first row in hand, and how far apart rows are."""
        return self.row(ref), self.length(self.views.scope.program.buffers[ref.buffer].width)

    def row(self, ref: Ref, step: str = "t") -> str:
        """The first of a reference's numbers in the first row in hand at a step; or of a fixed value."""
        scope = self.views.scope
        buffer = scope.program.buffers[ref.buffer]
        if buffer.extent == "fixed":
            member = scope.program.window(ref)[0].name
            fixed = scope.fixed(Ref(ref.buffer, ref.first))
            return self._pointer(("fixed", ref.buffer, ref.first), member, buffer.storage, fixed)
        array = self._pointer(("buffer", ref.buffer), ref.buffer, buffer.storage, scope.variable(ref.buffer))
        width, offset = self.length(buffer.width), self.length(buffer.offset(ref.first))
        start = self._start(buffer, f"{step} + {ref.shift}" if ref.shift else step)
        row = f"({start} + first)" if start else "first"
        return f"{array} + {row}*{width}" + (f" + {offset}" if offset != "0" else "")

    def _start(self, buffer: Buffer, slot: str) -> str:
        """The first row of a slot; empty for a buffer that holds one step."""
        whole = self.views.scope.whole(buffer)
        if buffer.extent == "local" or (buffer.extent == "ring" and not buffer.depth):
            return ""
        if whole == "keep_tape":
            return f"sequence.kept({buffer.depth}, {slot}, {self.number('keep_tape', 'int(keep_tape)')})"
        return f"sequence.{'whole' if whole == 'True' else 'ring'}({buffer.depth}, {slot})"

    def _pointer(self, key: Hashable, hint: str, storage: Storage, value: str) -> str:
        name = self._names.get(key, hint)
        kind = self._pointers.setdefault(name, f"{number_type(storage)}*")
        self.parameters.setdefault(name, (f"{kind} {name}", value))
        return name

    def _size(self, size: str) -> str:
        name = self._names.get(("size", size), size)
        self.sizes[name] = size
        return self.number(name, self.views.scope.size(Size.of(size)))
