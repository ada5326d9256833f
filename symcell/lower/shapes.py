"""The shape of an expression as it is written, before anything cancels: ``0*x[t]`` is as long as ``x``."""

from __future__ import annotations

from collections.abc import Iterable

import sympy
from sympy import Expr

from symcell.cell import ONE, Shape, Size, is_one
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Flipped,
    Join,
    MatVec,
    OuterProduct,
    Param,
    RowScaled,
)
from symcell.symbolic.over_units import OverUnits


def broadcast(shapes: Iterable[Shape]) -> Shape:
    """The shape of an elementwise expression of these: what has one unit gives way to what has more."""
    return max(shapes, key=lambda s: (not is_one(s), len(s)), default=())


class Shapes:
    """Shapes of written expressions over values of these ``names``; each sub-expression is looked at once."""

    def __init__(self, names: dict[str, Shape]) -> None:
        self.names = names
        self._known: dict[Expr, Shape] = {}

    def of(self, expr: Expr) -> Shape:
        found = self._known.get(expr)
        if found is None:
            found = self._known[expr] = self._of(expr)
        return found

    def _of(self, expr: Expr) -> Shape:
        match expr:
            case At() | Param():
                return self.names[expr.signal]
            case MatVec():
                return (self.matrix(expr.args[0])[0],)
            case Join():
                return (sum((self.length(a) for a in expr.args), Size()),)
            case OuterProduct():
                return (self.length(expr.args[0]), self.length(expr.args[1]))
            case RowScaled():
                return self.matrix(expr.args[1])
            case ColumnScaled():
                return self.matrix(expr.args[0])
            case Flipped() | sympy.MatrixExpr():
                return self.matrix(expr)
            case OverUnits() if expr.to_one:
                return ()
        return broadcast(self.of(a) for a in expr.args)

    def length(self, vector: Expr) -> Size:
        """How many units a vector has; a scalar has one."""
        return next(iter(self.of(vector)), ONE)

    def matrix(self, expr: Expr) -> Shape:
        """Rows and columns of what stands left of ``@``: fixed or varying."""
        match expr:
            case sympy.MatrixSymbol():
                return self.names[str(expr.name)]
            case sympy.Transpose() | Flipped():
                return self.matrix(expr.args[0])[::-1]
            case sympy.MatrixExpr():
                return self.matrix(next(a for a in expr.args if isinstance(a, sympy.MatrixExpr)))
        return self.of(expr)
