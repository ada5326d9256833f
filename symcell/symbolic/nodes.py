"""Atoms and written nodes: names, values in time, sums and products that keep the order in which they were written.

Vectors and varying matrices are scalar-like expressions ("any one unit"), so SymPy's own ``diff`` applies to them; what
mixes units (a matrix product, a vector laid along an axis of a matrix) is an opaque node.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sympy
from sympy import Expr, Symbol
from sympy.printing.precedence import PRECEDENCE

from symcell.symbolic.typeset import latex


class At(Symbol):
    """A signal or input read at ``t - lag``; a negative lag reads the future (in an adjoint).

    ``axis``: None where the value is read unit by unit; 0 or 1 where a vector is laid along the rows or the columns of
    a matrix and repeated along the other axis (``u[t][:,None]``, ``v[t][None,:]``), as in ``outer(u, v)`` = u vᵀ.
    """

    __slots__ = ("axis", "lag", "signal")
    signal: str
    lag: int
    axis: int | None

    _latex = latex

    def __new__(cls, signal: str, lag: int = 0, axis: int | None = None) -> At:
        when = "t" if lag == 0 else f"t{-lag:+d}"
        obj: At = Symbol.__xnew__(cls, f"{signal}[{when}]{_laid(axis)}")
        obj.signal, obj.lag, obj.axis = signal, lag, axis
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[str, int, int | None], dict[str, Any]]:
        return (self.signal, self.lag, self.axis), {}

    def along(self, axis: int | None) -> At:
        """The same value, laid along another axis."""
        return At(self.signal, self.lag, axis)


def _laid(axis: int | None) -> str:
    return "" if axis is None else ("[:,None]", "[None,:]")[axis]


class Param(Symbol):
    """A fixed value: one for all steps and samples. ``axis`` as in :class:`At`."""

    __slots__ = ("axis", "signal")
    signal: str
    axis: int | None

    _latex = latex

    def __new__(cls, signal: str, axis: int | None = None) -> Param:
        obj: Param = Symbol.__xnew__(cls, f"{signal}{_laid(axis)}")
        obj.signal, obj.axis = signal, axis
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[str, int | None], dict[str, Any]]:
        return (self.signal, self.axis), {}

    def along(self, axis: int | None) -> Param:
        """The same value, laid along another axis."""
        return Param(self.signal, axis)


class Constant(Symbol):
    """A number that has a name in the cell's text; ``value`` is SymPy's number."""

    __slots__ = ("value",)
    value: Any

    _latex = latex

    def __new__(cls, name: str, value: Any) -> Constant:
        obj: Constant = Symbol.__xnew__(cls, name)
        obj.value = sympy.sympify(value)
        return obj

    def _hashable_content(self) -> tuple[Any, ...]:
        """The value too: SymPy remembers results by equality, across cells that use one name for two numbers."""
        return (*super()._hashable_content(), self.value)

    def __getnewargs_ex__(self) -> tuple[tuple[str, Any], dict[str, Any]]:
        return (self.name, self.value), {}


class Node(Expr):
    """An expression node that keeps its arguments as they were written."""

    is_commutative = True

    _latex = latex

    def __new__(cls, *args: Any) -> Any:
        return Expr.__new__(cls, *(sympy.sympify(a) for a in args))

    def _sympystr(self, printer: Any) -> str:
        return f"{type(self).__name__.lower()}({', '.join(printer._print(a) for a in self.args)})"


class MatVec(Node):
    """``matrix @ vector``: args are a matrix and a vector expression.

    The matrix is a SymPy matrix expression where it is fixed (MatrixSymbols, sums, transposes); where it varies, it is
    an elementwise expression like any other, perhaps under :class:`Flipped`.
    """

    precedence: ClassVar[int] = PRECEDENCE["Mul"]

    def _sympystr(self, printer: Any) -> str:
        matrix, vector = self.args
        left = printer._print(matrix)
        left = f"({left})" if isinstance(matrix, (sympy.MatAdd, *COMPOSED)) else left
        return f"{left} @ {_wrap_str(printer._print(vector), vector)}"


def _wrap_str(text: str, expr: Expr) -> str:
    return text if expr.is_Atom or isinstance(expr, sympy.Function | Join) else f"({text})"


class Flipped(Node):
    """The transpose of a matrix that varies: ``C[t].T``. A fixed one is SymPy's own ``Transpose``."""

    def _sympystr(self, printer: Any) -> str:
        return f"{_wrap_str(printer._print(self.args[0]), self.args[0])}.T"


class OuterProduct(Node):
    """``outer(u, v)``: the matrix u vᵀ."""

    precedence: ClassVar[int] = PRECEDENCE["Mul"]

    def _sympystr(self, printer: Any) -> str:
        return f"outer({', '.join(printer._print(a) for a in self.args)})"


class RowScaled(Node):
    """``diag(vector) @ matrix``: args are the vector and the matrix (an expression, elementwise or a Param)."""

    precedence: ClassVar[int] = PRECEDENCE["Mul"]

    def _sympystr(self, printer: Any) -> str:
        vector, matrix = self.args
        return f"diag({printer._print(vector)}) @ {_wrap_str(printer._print(matrix), matrix)}"


class ColumnScaled(Node):
    """``matrix @ diag(vector)``: args are the matrix and the vector."""

    precedence: ClassVar[int] = PRECEDENCE["Mul"]

    def _sympystr(self, printer: Any) -> str:
        matrix, vector = self.args
        return f"{_wrap_str(printer._print(matrix), matrix)} @ diag({printer._print(vector)})"


class Join(Node):
    """``[u, v]``: the vectors one after the other."""

    def _sympystr(self, printer: Any) -> str:
        return f"[{', '.join(printer._print(a) for a in self.args)}]"


class Sum(Node):
    """A sum in the order it was written; a term under :class:`Minus` is subtracted."""

    precedence: ClassVar[int] = PRECEDENCE["Add"]

    def native(self) -> Expr:
        return sympy.Add(*self.args)

    def _sympystr(self, printer: Any) -> str:
        return _signed([(a, printer._print(a.args[0] if isinstance(a, Minus) else a)) for a in self.args])


def _signed(terms: list[tuple[Any, str]]) -> str:
    out = ""
    for term, text in terms:
        inner = term.args[0] if isinstance(term, Minus) else term
        part = f"({text})" if isinstance(inner, SUMS) else text
        sign = "-" if isinstance(term, Minus) else "+"
        out += f" {sign} {part}" if out else (f"-{part}" if sign == "-" else part)
    return out


class Minus(Node):
    """``-u``."""

    precedence: ClassVar[int] = PRECEDENCE["Add"]

    def native(self) -> Expr:
        return -self.args[0]

    def _sympystr(self, printer: Any) -> str:
        text = printer._print(self.args[0])
        return f"-({text})" if isinstance(self.args[0], SUMS) else f"-{text}"


class Hadamard(Node):
    """An elementwise product in the order it was written."""

    precedence: ClassVar[int] = PRECEDENCE["Mul"]

    def native(self) -> Expr:
        return sympy.Mul(*self.args)

    def _sympystr(self, printer: Any) -> str:
        kinds = (*SUMS, Hadamard, Quotient, MatVec, RowScaled, ColumnScaled)
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

    def _sympystr(self, printer: Any) -> str:
        above, below = self.args
        top = printer._print(above)
        top = f"({top})" if isinstance(above, SUMS) else top
        return f"{top}/{_wrap_str(printer._print(below), below)}"


SUMS: tuple[type, ...] = (Sum, Minus, sympy.Add)
COMPOSED: tuple[type, ...] = (*SUMS, Hadamard, Quotient, MatVec, OuterProduct, RowScaled, ColumnScaled)


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

    _latex = latex

    def __new__(cls, size: Any) -> Count:
        obj: Count = Symbol.__xnew__(cls, f"#{size}")
        obj.size = size
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[Any], dict[str, Any]]:
        return (self.size,), {}

    def _sympystr(self, printer: Any) -> str:
        return str(self.size)
