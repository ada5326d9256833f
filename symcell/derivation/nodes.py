"""What a derivation adds to the vocabulary of a cell: cotangents, Jacobians, outer products, sums over time."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr, Symbol

from symcell.cell import Size
from symcell.symbolic.nodes import At, Node


class Cotangent(Symbol):
    """A gradient by the value of ``value`` at ``t - lag``; a negative lag lies in the future."""

    __slots__ = ("lag", "value")
    value: str
    lag: int

    def __new__(cls, value: str, lag: int = 0) -> Any:
        obj: Any = Symbol.__xnew__(cls, f"{cls.__name__} {value} {lag}")
        obj.value, obj.lag = value, lag
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[str, int], dict[str, Any]]:
        return (self.value, self.lag), {}


class Delta(Cotangent):
    """δv: the gradient of the loss by a value, over every path."""

    __slots__ = ()


class Bar(Cotangent):
    """The gradient that arrives from outside at the output of one step (``dy``)."""

    __slots__ = ()


class Last(Cotangent):
    """The gradient that arrives from outside at a last state (``dlast``)."""

    __slots__ = ()


class Gradient(Symbol):
    """∂L/∂p of a parameter, or of a fixed value that has a name."""

    __slots__ = ("value",)
    value: str

    def __new__(cls, value: str) -> Any:
        obj: Any = Symbol.__xnew__(cls, f"Gradient {value}")
        obj.value = value
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.value,), {}


class GradientOf(Node):
    """∂L/∂M of a matrix that has no name of its own (``W - W.T``, some columns of ``W``)."""


class Partial(Node):
    """∂u/∂v of two values: a left side."""


class Columns(sympy.MatrixExpr):
    """The columns ``start … start+width`` of a matrix."""

    def __new__(cls, matrix: Any, start: Any, width: Any) -> Any:
        return sympy.MatrixExpr.__new__(cls, matrix, sympy.sympify(start), sympy.sympify(width))

    @property
    def shape(self) -> tuple[Any, Any]:
        return (self.args[0].shape[0], self.args[2])

    @staticmethod
    def of(matrix: sympy.MatrixExpr, start: Size, width: Size) -> sympy.MatrixExpr:
        return Columns(matrix, start.symbol(), width.symbol())


class Outer(Node):
    """``u vᵀ``."""


class Beside(Node):
    """Matrices one beside the other: blocks of columns."""


class TransposeOf(Node):
    """The transpose of something that is not a SymPy matrix: a gradient, a vector standing as a row."""


class Total(Node):
    """The sum over all steps and samples."""


class InitialTotal(Node):
    """The sum over the steps before the first one, and over all samples."""


class Laid(Node):
    """A vector laid along an axis (args: the vector, 0 or 1) of the matrix that it stands beside: a factor of a product
    that :func:`symcell.derivation.matrices.assembled` has yet to write as a matrix."""


class Diagonal(Node):
    """The diagonal matrix of a vector."""


class Chain(Node):
    """A product of Jacobians; the factors are matrices, :class:`Diagonal` and rows."""


class Unit(Symbol):
    """``1``, the vector of ones, and ``I``, the identity."""

    __slots__ = ()

    def __new__(cls, name: str) -> Any:
        return Symbol.__xnew__(cls, f"unit {name}")

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.name.removeprefix("unit "),), {}


ONES = Unit("1")
IDENTITY = Unit("I")


def shifted(expr: Expr, by: int) -> Expr:
    """``expr`` read ``by`` steps earlier (later where negative)."""
    if not by:
        return expr
    moves: dict[Expr, Expr] = {a: At(a.signal, a.lag + by, a.axis) for a in expr.atoms(At)}
    moves |= {a: type(a)(a.value, a.lag + by) for a in expr.atoms(Cotangent)}
    return expr.xreplace(moves)
