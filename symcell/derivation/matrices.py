"""Products of vectors laid along the axes of a matrix, as people write them: u vᵀ, diag(a) C, C diag(b)."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Expr

from symcell.derivation.nodes import ONES, Laid
from symcell.derivation.sizes import Dims
from symcell.graph import Operand
from symcell.symbolic.nodes import ColumnScaled, OuterProduct, RowScaled


def laid(expr: Expr, operand: Operand) -> Expr:
    """What stands in place of an operand, laid as that is."""
    return expr if operand.axis is None else Laid(expr, sympy.Integer(operand.axis))


def assembled(expr: Expr, dims: Callable[[Expr], Dims]) -> Expr:
    """``expr`` with its laid factors gathered into outer products and scaled rows and columns."""
    if not expr.has(Laid):
        return expr
    if isinstance(expr, sympy.Mul | Laid):
        return _product(sympy.Mul.make_args(expr), dims)
    return expr.func(*(assembled(a, dims) for a in expr.args))


def _product(factors: tuple[Expr, ...], dims: Callable[[Expr], Dims]) -> Expr:
    along: tuple[list[Expr], list[Expr]] = ([], [])
    matrices: list[Expr] = []
    scalars: list[Expr] = []
    for factor in factors:
        axes = {int(part.args[1]) for part in factor.atoms(Laid)}
        if len(axes) == 1:
            along[axes.pop()].append(factor.xreplace({part: part.args[0] for part in factor.atoms(Laid)}))
        elif axes:
            matrices.append(assembled(factor, dims))
        else:
            (matrices if len(dims(factor)) == 2 else scalars).append(factor)
    rows, columns = (sympy.Mul(*found) if found else None for found in along)
    scale, matrix = sympy.Mul(*scalars), sympy.Mul(*matrices)
    if not matrices:
        return scale * OuterProduct(ONES if rows is None else rows, ONES if columns is None else columns)
    if columns is not None:
        matrix = ColumnScaled(matrix, columns)
    return scale * (matrix if rows is None else RowScaled(rows, matrix))
