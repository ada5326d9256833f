"""One emitted function while it is being printed: its variables, and what its template has to provide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import sympy

from symcell.cell import Shape, Size
from symcell.emit.python.names import RESERVED, Identifiers, size_code
from symcell.program.model import Buffer, Plan, Program, Ref, Role, Storage
from symcell.program.stretches import ROWS
from symcell.symbolic.nodes import Constant, Count

Kind = Role | Literal["step"]
"""Which function: one for each program, and the forward program for a single step (``step``)."""


class Products(Protocol):
    """How a target multiplies arrays of rows by fixed arrays, which rounds to 16 bits where the parameters have so
    many."""

    def matmul(self, scope: Scope, rounds: bool) -> str:
        """A function of a left and a right array and ``out=``, as code. ``rounds``: the left one is to be rounded."""

    def rounded(self, array: str, scope: Scope) -> str:
        """An array with its numbers rounded, as code."""


@dataclass
class Module:
    """What the functions of a module ask of its templates. ``xp``: the array package's name; ``keeps``: whether
    ``step`` keeps its memory between calls; ``products``: how rows are multiplied; ``features``: parts of the templates
    by name; ``functions``: those of the table that calls over arrays name (they may need definitions); ``tape``: what
    the buffers on the tape are called there."""

    plan: Plan
    xp: str
    keeps: bool
    products: Products
    features: set[str] = field(default_factory=set)
    functions: set[type[sympy.Function]] = field(default_factory=set)
    tape: dict[str, str] = field(default_factory=dict)


@dataclass
class Scope:
    """A function's variables. ``setup``: lines that stand before all regions, in order; ``arrays``: those of fixed
    arrays, which stand before what enters, too; ``early``: those that stand before the buffers are made; ``computes``:
    whether it names the type that is computed in."""

    module: Module
    program: Program
    kind: Kind
    names: Identifiers = field(default_factory=lambda: Identifiers(RESERVED))
    sizes: dict[str, str] = field(default_factory=dict)
    slots: dict[tuple[int, str, int], str] = field(default_factory=dict)
    setup: list[str] = field(default_factory=list)
    arrays: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    counted: bool = False
    computes: bool = False
    _known: dict[object, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stretches = None if self.kind == "step" else self.program.stretches
        # the sizes keep their names where a value has the same one
        for name in self.module.plan.cell.sizes:
            self.names.get(("size", name), name)

    @property
    def xp(self) -> str:
        return self.module.xp

    @property
    def keeps(self) -> bool:
        """Whether the function's memory is that of the calls before: what it returns are copies."""
        return self.kind == "step" and self.module.keeps

    def type_of(self, storage: Storage) -> str:
        """The type of an array that the function makes, as code."""
        if storage == "stored" and self.program.profile.wide:
            storage = "real"
        return self.real if storage == "real" else {"stored": "dtype", "bool": "bool"}[storage]

    @property
    def real(self) -> str:
        """The type that is computed in, which the function then names."""
        self.computes = True
        return "real"

    def round(self, array: str) -> str:
        """The line that rounds an array's numbers to the parameters' type, where a sweep works on copies."""
        self.module.features.add("round")
        return f"_round({array}, dtype)"

    @property
    def indent(self) -> int:
        """How far in the lines of a call stand: where memory is kept, in a function inside the one that makes it."""
        return 8 if self.keeps else 4

    def size(self, size: Size) -> str:
        """A length, as code."""
        return size_code(size, self._size)

    def _size(self, name: str) -> str:
        if name not in self.sizes:
            self.sizes[name] = self.names.get(("size", name), name)
        return self.sizes[name]

    def factor(self, size: Size) -> str:
        """A length as code that may be multiplied."""
        code = self.size(size)
        return f"({code})" if len(size.terms) > 1 else code

    def define(self, key: object, hint: str, code: str, lines: list[str] | None = None) -> str:
        """A variable that is set once, before all regions (in ``setup``, unless ``lines`` says where)."""
        if key not in self._known:
            self._known[key] = self.names.fresh(hint)
            (self.setup if lines is None else lines).append(f"{self._known[key]} = {code}")
        return self._known[key]

    def variable(self, name: str) -> str:
        """The variable of a buffer, which the function then allocates or unpacks."""
        buffer = self.program.buffers[name]
        self.used.add(name)
        outside = buffer.origin in ("input", "seed")
        suffix = "" if not outside else "_t" if self.kind == "step" else "_rows"
        return self.names.get(("buffer", name), name + suffix)

    def columns(self, ref: Ref) -> str:
        """Some members of a buffer in all of its rows, as code."""
        buffer, array = self.program.buffers[ref.buffer], self.variable(ref.buffer)
        if ref.count == len(buffer.members):
            return array
        start, stop = self.size(buffer.offset(ref.first)), self.size(buffer.offset(ref.first + ref.count))
        return f"{array}[:, {'' if start == '0' else start + ' '}: {stop}]"

    def whole(self, buffer: Buffer) -> str:
        """Whether a buffer holds all steps, as code."""
        if buffer.extent == "tape" and buffer.origin == "own":
            return "keep_tape"
        return str(buffer.extent in ("whole", "tape"))

    def in_stretches(self, buffer: Buffer) -> bool:
        """Whether only one stretch's rows of a buffer are kept."""
        return self.stretches is not None and buffer.name in self.stretches.buffers

    def stretch(self) -> str:
        """How many steps a stretch has, as a variable."""
        self.module.features.add("stretch")
        return self.define("stretch", "stretch", f"pack.stretch({ROWS})", self.early)

    def slot_list(self, buffer: Buffer, shift: int) -> str:
        """The variable of a list: by step, the rows of a buffer that a reference of this shift names, as slices."""
        whole = self.whole(buffer)
        key = (buffer.depth, whole, shift)
        if key not in self.slots:
            hint = {"True": "at", "False": "ring", "keep_tape": "kept"}[whole]
            hint += f"_{buffer.depth}" + ("" if shift == buffer.depth else f"_{shift}")
            self.slots[key] = self.names.fresh(hint)
            self.module.features.add("slots")
        return self.slots[key]

    # numbers

    def scalar(self, expr: sympy.Expr) -> str:
        """A number, a named constant or a count, or an expression of such, as Python that rounds to the same double."""
        if expr.is_Integer:
            return str(int(expr))
        if isinstance(expr, Count):
            return self.factor(expr.size)
        if isinstance(expr, Constant):
            return self.define(("constant", expr), expr.name, repr(float(expr.value)))
        if not expr.free_symbols:
            return repr(float(expr))
        if isinstance(expr, sympy.Pow):
            return f"float({self.scalar(expr.base)}) ** {self.scalar(expr.exp)}"
        sign = " + " if isinstance(expr, sympy.Add) else " * "
        return f"({sign.join(self.scalar(a) for a in expr.args)})"

    # fixed values

    def shape(self, shape: Shape) -> str:
        """The shape of a fixed array, as code; a scalar is one number long."""
        dims = [self.size(size) for size in shape] or ["1"]
        return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"

    def fixed(self, ref: Ref, values: Sequence[str] = ()) -> str:
        """Fixed arrays that lie side by side, as a variable: one in its own shape; several vectors as one, several
        matrices one below the other. ``values``: what they are called."""
        code = self.fixed_code(ref)
        if code.isidentifier():
            return code
        hint = joined(values or [m.name for m in self.program.window(ref)])
        return self.define(("fixed", ref), hint, code, self.arrays)

    def fixed_code(self, ref: Ref) -> str:
        """The same as code: the variable, where there is one."""
        buffer = self.program.buffers[ref.buffer]
        member = self.program.window(ref)[0]
        if ("fixed", ref) in self._known:
            return self._known["fixed", ref]
        if buffer.origin in ("params", "directions", "grads"):
            names = self.module.plan.parameters[ref.first : ref.first + ref.count]
            return f'{buffer.origin}.stack("{names[0]}", "{names[-1]}")'
        if buffer.origin == "constant":
            return f'params["{member.name}"]'
        variable = self.variable(ref.buffer)
        if len(buffer.members) == 1:
            return variable
        start, stop = buffer.offset(ref.first), buffer.offset(ref.first + ref.count)
        code = f"{variable}[{self.size(start)} : {self.size(stop)}]"
        return code + (f".reshape(-1, {self.size(member.shape[1])})" if len(member.shape) == 2 else "")

    def ones(self, count: str) -> str:
        """A row of ones: a product with it sums over rows."""
        return self.define(("ones", count), "ones", f"{self.xp}.ones((1, {count}), {self.type_of('stored')})")


def joined(values: Sequence[str]) -> str:
    """What to call values that lie side by side: ``i_to_o``."""
    return values[0] if len(values) == 1 else f"{values[0]}_to_{values[-1]}"
