"""Atoms and written nodes: names, values in time, sums and products that keep the order in which they were written.

Vectors over units are scalar-like expressions ("any one unit"), so SymPy's own ``diff`` applies to them; only a matrix
product mixes units, and it is the opaque node :class:`MatVec`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sympy
from sympy import Expr, Symbol
from sympy.printing.precedence import PRECEDENCE


def tex_name(name: str) -> str:
    """``W_i`` as ``W_{i}``; a name of several letters stays one word."""
    head, _, tail = name.partition("_")
    if not head:
        return rf"\mathrm{{{name}}}".replace("_", r"\_")
    tex = sympy.latex(Symbol(head)) if head.isascii() else rf"\mathit{{{head}}}"
    if len(head) > 1 and tex == head:
        tex = rf"\mathit{{{head}}}"
    return rf"{tex}_{{{_subscript(tail)}}}" if tail else tex


def _subscript(tail: str) -> str:
    return tail.replace("_", r"\_") if len(tail) == 1 or tail.isdigit() else rf"\mathrm{{{tail}}}".replace("_", r"\_")


def tex_timed(name: str, lag: int) -> str:
    """The value of ``name`` at ``t - lag`` in LaTeX: ``h_{t-1}``, ``a_{i,t}``."""
    when = "t" if lag == 0 else f"t{-lag:+d}"
    base = tex_name(name)
    return f"{base[:-1]},{when}}}" if base.endswith("}") and "_{" in base else f"{base}_{{{when}}}"


class At(Symbol):
    """A signal or input read at ``t - lag``; a negative lag reads the future (in an adjoint)."""

    __slots__ = ("lag", "signal")
    signal: str
    lag: int

    def __new__(cls, signal: str, lag: int = 0) -> At:
        when = "t" if lag == 0 else f"t{-lag:+d}"
        obj: At = Symbol.__xnew__(cls, f"{signal}[{when}]")
        obj.signal, obj.lag = signal, lag
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[str, int], dict[str, Any]]:
        return (self.signal, self.lag), {}

    def _latex(self, printer: Any) -> str:
        return tex_timed(self.signal, self.lag)


class Param(Symbol):
    """A learned vector or scalar: one value for all steps and samples."""

    __slots__ = ()

    def __new__(cls, name: str) -> Param:
        obj: Param = Symbol.__xnew__(cls, name)
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.name,), {}

    def _latex(self, printer: Any) -> str:
        return tex_name(self.name)


class Node(Expr):
    """An expression node that keeps its arguments as they were written."""

    is_commutative = True

    def __new__(cls, *args: Any) -> Any:
        return Expr.__new__(cls, *(sympy.sympify(a) for a in args))

    def _sympystr(self, printer: Any) -> str:
        return f"{type(self).__name__.lower()}({', '.join(printer._print(a) for a in self.args)})"


def wrap(text: str, expr: Expr, kinds: tuple[type, ...]) -> str:
    return rf"\left({text}\right)" if isinstance(expr, kinds) else text


class MatVec(Node):
    """``matrix @ vector``: args are a SymPy matrix expression and a vector expression."""

    precedence: ClassVar[int] = PRECEDENCE["Mul"]

    def _latex(self, printer: Any) -> str:
        matrix, vector = self.args
        left = wrap(printer._print(matrix), matrix, (sympy.MatAdd,))
        return rf"{left} {wrap(printer._print(vector), vector, (*SUMS, Hadamard, Quotient))}"

    def _sympystr(self, printer: Any) -> str:
        matrix, vector = self.args
        left = printer._print(matrix)
        left = f"({left})" if isinstance(matrix, sympy.MatAdd) else left
        return f"{left} @ {_wrap_str(printer._print(vector), vector)}"


def _wrap_str(text: str, expr: Expr) -> str:
    return text if expr.is_Atom or isinstance(expr, sympy.Function | Join) else f"({text})"


class Join(Node):
    """``[u, v]``: the vectors one after the other."""

    def _latex(self, printer: Any) -> str:
        return r"\left[" + r";\, ".join(printer._print(a) for a in self.args) + r"\right]"

    def _sympystr(self, printer: Any) -> str:
        return f"[{', '.join(printer._print(a) for a in self.args)}]"


class Sum(Node):
    """A sum in the order it was written; a term under :class:`Minus` is subtracted."""

    precedence: ClassVar[int] = PRECEDENCE["Add"]

    def native(self) -> Expr:
        return sympy.Add(*self.args)

    def _latex(self, printer: Any) -> str:
        return _signed([(a, printer._print(a.args[0] if isinstance(a, Minus) else a)) for a in self.args], SUMS, True)

    def _sympystr(self, printer: Any) -> str:
        return _signed([(a, printer._print(a.args[0] if isinstance(a, Minus) else a)) for a in self.args], SUMS, False)


def _signed(terms: list[tuple[Any, str]], kinds: tuple[type, ...], tex: bool) -> str:
    out = ""
    for term, text in terms:
        inner = term.args[0] if isinstance(term, Minus) else term
        if isinstance(inner, kinds):
            text = rf"\left({text}\right)" if tex else f"({text})"
        sign = "-" if isinstance(term, Minus) else "+"
        out += f" {sign} {text}" if out else (f"-{text}" if sign == "-" else text)
    return out


class Minus(Node):
    """``-u``."""

    precedence: ClassVar[int] = PRECEDENCE["Add"]

    def native(self) -> Expr:
        return -self.args[0]

    def _latex(self, printer: Any) -> str:
        return "-" + wrap(printer._print(self.args[0]), self.args[0], SUMS)

    def _sympystr(self, printer: Any) -> str:
        text = printer._print(self.args[0])
        return f"-({text})" if isinstance(self.args[0], SUMS) else f"-{text}"


class Hadamard(Node):
    """An elementwise product in the order it was written."""

    precedence: ClassVar[int] = PRECEDENCE["Mul"]

    def native(self) -> Expr:
        return sympy.Mul(*self.args)

    def _latex(self, printer: Any) -> str:
        out = ""
        for previous, factor in zip((None, *self.args), self.args, strict=False):
            text = wrap(printer._print(factor), factor, SUMS)
            text = rf"\left({text}\right)" if previous is not None and _is_negative(factor) else text
            glue = "" if previous is None else (r"\, " if previous.is_number else r" \odot ")
            out += glue + text
        return out

    def _sympystr(self, printer: Any) -> str:
        kinds = (*SUMS, Hadamard, Quotient)
        return "*".join(
            f"({t})" if isinstance(a, kinds) or (k and _is_negative(a)) else t
            for k, a, t in ((k, a, printer._print(a)) for k, a in enumerate(self.args))
        )


def _is_negative(expr: Expr) -> bool:
    return bool(expr.is_Number and expr.is_negative)


class Quotient(Node):
    """An elementwise quotient."""

    precedence: ClassVar[int] = PRECEDENCE["Mul"]

    def native(self) -> Expr:
        return self.args[0] / self.args[1]

    def _latex(self, printer: Any) -> str:
        return rf"\frac{{{printer._print(self.args[0])}}}{{{printer._print(self.args[1])}}}"

    def _sympystr(self, printer: Any) -> str:
        above, below = self.args
        top = printer._print(above)
        top = f"({top})" if isinstance(above, SUMS) else top
        return f"{top}/{_wrap_str(printer._print(below), below)}"


SUMS: tuple[type, ...] = (Sum, Minus, sympy.Add)


def written(expr: Expr) -> Expr:
    """The expression with its written sums, products and quotients turned into SymPy's own."""
    if not expr.args or isinstance(expr, sympy.MatrixExpr):
        return expr
    rebuilt = expr.func(*(written(a) for a in expr.args))
    return rebuilt.native() if isinstance(rebuilt, Sum | Minus | Hadamard | Quotient) else rebuilt


class Count(Symbol):
    """How many units a vector has, as a number inside an expression (``size`` is a :class:`symcell.cell.Size`)."""

    __slots__ = ("size",)
    size: Any

    def __new__(cls, size: Any) -> Count:
        obj: Count = Symbol.__xnew__(cls, f"#{size}")
        obj.size = size
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[Any], dict[str, Any]]:
        return (self.size,), {}

    def _latex(self, printer: Any) -> str:
        return printer._print(self.size.symbol())

    def _sympystr(self, printer: Any) -> str:
        return str(self.size)
