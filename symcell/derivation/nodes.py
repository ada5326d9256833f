"""What a derivation adds to the vocabulary of a cell: cotangents, Jacobians, outer products, sums over time."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr, Symbol

from symcell.cell import Size
from symcell.symbolic.nodes import At, Hadamard, Node


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


class Entry(Node):
    """``M_ij``, an entry of a matrix; args are the matrix and the letters of its row and its column."""


class Outer(Node):
    """``u vᵀ``."""


class Beside(Node):
    """Matrices one beside the other: blocks of columns."""


class TransposeOf(Node):
    """The transpose of something that is not a SymPy matrix: a gradient, a vector standing as a row."""


class Scaled(Hadamard):
    """A product of numbers that are the same for all units and, last, of what they scale: ``β e kᵀ``."""


class Inner(Node):
    """``⟨u, v⟩``: the sum over all units (of matrices: over all entries) of the product of two values."""


class Pullback(Node):
    """What a composite sends back to its argument, ``F′(u)ᵀ δv`` of ``v = F(u)``; args are F(u), v, δv and how many
    units u has.

    :func:`symcell.derivation.composites.pulled_back` spells it out.
    """


class Above(Node):
    """``[u > v]``: 1 where u > v, 0 where u < v, and ½ at a tie."""


class Prime(Node):
    """``F′(u)``, the derivative of a function in its argument, applied: unit by unit, or of one over units a matrix."""


class DeltaOf(Node):
    """δ of an expression at whatever step: what lemmas are written with, whose values have no time."""


class Total(Node):
    """The sum over all steps and samples."""


class InitialTotal(Node):
    """The sum over the steps before the first one, and over all samples."""


class When(Node):
    """An expression read at another moment than t (args: the expression and a symbol of that moment: ``T``, ``0``,
    ``t+k``): its lags count from there."""

    def __new__(cls, expr: Any, moment: str | Symbol) -> Any:
        return Node.__new__(cls, expr, Symbol(moment) if isinstance(moment, str) else moment)


class Samples(Node):
    """The sum over all samples."""


class Over(Node):
    """The sum of an expression (the first argument) over letters (the others)."""


class StepLoss(Node):
    """The loss of the output at one step, as a function of its argument; bare without one."""


class LastLoss(Node):
    """The loss of the last states, as a function of its arguments; bare without one."""


class By(Node):
    """``∂a/∂v`` of a number ``a`` (the first argument) by a value: a column of the value's shape."""


class Rows(Node):
    """The matrix that has one row for each step and each sample: the vector that the argument is there."""


class Blocks(Node):
    """A matrix of blocks: how many columns it has, then its blocks row by row."""

    @property
    def rows(self) -> tuple[tuple[Expr, ...], ...]:
        width, entries = int(self.args[0]), self.args[1:]
        return tuple(tuple(entries[k : k + width]) for k in range(0, len(entries), width))

    @classmethod
    def stacked(cls, *rows: tuple[Expr, ...]) -> Any:
        """From rows of equal length."""
        return cls(len(rows[0]), *(entry for row in rows for entry in row))


class Product(Node):
    """A product of matrices with dots in the middle: those before them, and those behind them (args: how many stand
    before, then all)."""


class Laid(Node):
    """A vector laid along an axis (args: the vector, 0 or 1) of the matrix that it stands beside: a factor of a product
    that :func:`symcell.derivation.matrices.assembled` has yet to write as a matrix."""


class Diagonal(Node):
    """The diagonal matrix of a vector."""


class Chain(Node):
    """A product of Jacobians; the factors are matrices, :class:`Diagonal` and rows."""


class Kronecker(Node):
    """``A ⊗ B``: what takes a matrix X to B X Aᵀ, written for X with its columns one below the other."""


class Vec(Node):
    """``vec(X)``: the columns of a matrix one below the other."""


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
