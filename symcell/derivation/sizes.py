"""What shape an expression has, and reductions with what is the same for all units taken out of them."""

from __future__ import annotations

import sympy
from sympy import Expr

from symcell.derivation import nodes as nd
from symcell.derivation.nodes import Cotangent, Outer
from symcell.graph import Graph
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, ColumnScaled, Flipped, MatVec, OuterProduct, Param, RowScaled

Dims = tuple[Expr, ...]
"""The sizes of an expression as formulas: none for one unit, one for a vector, two for a matrix."""


def dims_of(graph: Graph, expr: Expr) -> Dims:
    """The shape of an expression over displayed values of the forward ``graph``; axes of one unit count as none."""
    match expr:
        case MatVec():
            return _wide((matrix_dims(graph, expr.args[0])[0],))
        case fn.OverUnits() if expr.to_one:
            return ()
        case nd.Inner():
            return ()
        case nd.Pullback():
            return dims_of(graph, expr.args[0].args[0])
        case OuterProduct() | Outer():
            return tuple(d for a in expr.args for d in (dims_of(graph, a) or (sympy.Integer(1),)))
        case RowScaled():
            return dims_of(graph, expr.args[1])
        case ColumnScaled():
            return dims_of(graph, expr.args[0])
        case Flipped():
            return dims_of(graph, expr.args[0])[::-1]
        case At() | Param() | Cotangent():
            return _wide(tuple(s.symbol() for s in graph.shape(_name(expr))))
    found = [dims_of(graph, a) for a in expr.args if not isinstance(a, sympy.MatrixExpr)]
    return max(found, key=len, default=())


def matrix_dims(graph: Graph, matrix: Expr) -> Dims:
    """The shape of what stands left of ``@``, fixed or varying."""
    return tuple(matrix.shape) if isinstance(matrix, sympy.MatrixExpr) else dims_of(graph, matrix)


def _wide(dims: Dims) -> Dims:
    return () if all(d == 1 for d in dims) else dims


_FIXED = (nd.Gradient, nd.GradientOf, nd.Beside, nd.TransposeOf, nd.Chain, nd.Diagonal, nd.Unit, nd.Laid, nd.Partial)


def is_scalar(graph: Graph, expr: Expr) -> bool:
    """Whether an expression is the same for all units."""
    return not isinstance(expr, sympy.MatrixExpr) and not expr.has(*_FIXED) and not dims_of(graph, expr)


def size_of(graph: Graph, expr: Expr) -> Expr:
    """How many units an expression has."""
    return sympy.Mul(*dims_of(graph, expr))


def _name(value: At | Param | Cotangent) -> str:
    return value.value if isinstance(value, Cotangent) else value.signal


def unit_sum(graph: Graph, expr: Expr) -> Expr:
    """The sum over units, with factors that are the same for all units in front of it."""
    factors = sympy.Mul.make_args(expr)
    same = [f for f in factors if size_of(graph, f) == 1]
    if len(same) == len(factors):
        return fn.UnitSum(expr)
    return sympy.Mul(*same) * fn.UnitSum(sympy.Mul(*(f for f in factors if f not in same)))
