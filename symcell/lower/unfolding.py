"""``matrix @ vector`` without forming a matrix that need not be formed: ``outer(u, v) @ q`` is ``u * dot(v, q)``."""

from __future__ import annotations

from sympy import Expr

from symcell.cell import is_one
from symcell.lower.shapes import Shapes
from symcell.symbolic.nodes import (
    ColumnScaled,
    Flipped,
    Hadamard,
    MatVec,
    Minus,
    OuterProduct,
    Quotient,
    RowScaled,
    Sum,
)
from symcell.symbolic.over_units import Dot


def unfolded(shapes: Shapes, matrix: Expr, vector: Expr, flipped: bool = False) -> Expr:
    """The product of a matrix expression (``flipped``: of its transpose) and a vector, as a written expression.

    Sums of matrices are taken apart, scalings by vectors and scalars move to the vector or the result. The result is a
    :class:`MatVec` of the matrix itself, or of its :class:`Flipped`, where there is nothing to move.
    """

    def again(inner: Expr, of: Expr = vector, turn: bool = flipped) -> Expr:
        return unfolded(shapes, inner, of, turn)

    match matrix:
        case Flipped():
            return again(matrix.args[0], turn=not flipped)
        case Minus():
            return Minus(again(matrix.args[0]))
        case Sum() if all(len(shapes.of(a)) == 2 for a in matrix.args):
            return Sum(*(again(a) for a in matrix.args))
        case RowScaled():
            scale, inner = matrix.args
            return again(inner, Hadamard(scale, vector)) if flipped else Hadamard(scale, again(inner))
        case ColumnScaled():
            inner, scale = matrix.args
            return Hadamard(scale, again(inner)) if flipped else again(inner, Hadamard(scale, vector))
        case OuterProduct():
            left, right = matrix.args[::-1] if flipped else matrix.args
            return Hadamard(left, Dot(right, vector))
        case Hadamard():
            scalars = [a for a in matrix.args if _is_scalar(shapes, a)]
            others = [a for a in matrix.args if not _is_scalar(shapes, a)]
            if scalars:
                return Hadamard(*scalars, again(Hadamard(*others) if len(others) > 1 else others[0]))
        case Quotient() if _is_scalar(shapes, matrix.args[1]):
            return Quotient(again(matrix.args[0]), matrix.args[1])
    return MatVec(Flipped(matrix) if flipped else matrix, vector)


def _is_scalar(shapes: Shapes, expr: Expr) -> bool:
    return is_one(shapes.of(expr))
