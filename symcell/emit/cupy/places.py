"""Where things lie for a kernel that runs all steps: its parameters, and expressions of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from symcell.cell import Size
from symcell.emit.c_family.arguments import Argument, Length
from symcell.emit.c_family.names import Names
from symcell.emit.cupy.kernels import KernelView, functions_of
from symcell.emit.python.views import RegionViews
from symcell.program.model import Buffer, Ref
from symcell.symbolic import functions as fn

RESERVED = (
    "sequence", "me", "first", "last", "rows", "t", "next", "before", "begin", "count", "item", "shared", "meeting",
    "offsets", "steps", "batch", "keep_tape", "Sequence", "Product", "Part", "meet", "fetch", "part_of",
    "real4", "read4", "THREADS", "WARPS", "PARTS",
)  # fmt: skip
"""What kernels of all steps call their own things."""


@dataclass
class Places:
    """``parameters``: by name, the declaration of each and its value as Python, in the order of asking."""

    views: RegionViews
    kernels: Iterable[KernelView]
    parameters: dict[str, tuple[str, str]] = field(default_factory=dict)
    _names: Names = field(init=False)

    def __post_init__(self) -> None:
        own = (name for kernel in self.kernels for name in functions_of(kernel.name))
        self._names = Names((*fn.c_names(), *RESERVED, *own))

    def number(self, name: str, value: str) -> str:
        """A parameter of this very name: an integer."""
        self.parameters.setdefault(name, (f"const long long {name}", value))
        return name

    def argument(self, argument: Argument, step: str, local: dict[str, str]) -> str:
        """What a kernel's function is called with at a step. ``local``: pointers by what they are called, to which this
        may add one."""
        if isinstance(argument, Length):
            return self.length(Size.of(argument.size))
        code = self.row(argument.ref, step)
        if code.isidentifier():
            return code
        name = self._names.get(("local", code), argument.name.removesuffix("_rows") + ("" if step == "t" else "_ahead"))
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
            return self._pointer(("fixed", ref.buffer, ref.first), member, scope.fixed(Ref(ref.buffer, ref.first)))
        array = self._pointer(("buffer", ref.buffer), ref.buffer, scope.variable(ref.buffer))
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

    def _pointer(self, key: Hashable, hint: str, value: str) -> str:
        name = self._names.get(key, hint)
        self.parameters.setdefault(name, (f"real* {name}", value))
        return name

    def _size(self, size: str) -> str:
        name = self._names.get(("size", size), size)
        return self.number(name, self.views.scope.size(Size.of(size)))
