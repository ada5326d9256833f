"""How many units an expression has, and reductions with what is the same for all units taken out of them."""

from __future__ import annotations

import sympy
from sympy import Expr

from symcell.derivation.nodes import Cotangent
from symcell.graph import Graph
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, MatVec, Param


def size_of(graph: Graph, expr: Expr) -> Expr:
    """The size of a vector expression over displayed values of the forward ``graph``."""
    if isinstance(expr, MatVec):
        return expr.args[0].shape[0]
    if isinstance(expr, fn.UnitSum | fn.UnitMax):
        return sympy.Integer(1)
    if isinstance(expr, At | Param | Cotangent):
        return graph.size(_name(expr)).symbol()
    sizes = [size_of(graph, a) for a in expr.args if not isinstance(a, sympy.MatrixExpr)]
    return next((s for s in sizes if s != 1), sympy.Integer(1))


def _name(value: At | Param | Cotangent) -> str:
    if isinstance(value, At):
        return value.signal
    return value.name if isinstance(value, Param) else value.value


def unit_sum(graph: Graph, expr: Expr) -> Expr:
    """The sum over units, with factors that are the same for all units in front of it."""
    factors = sympy.Mul.make_args(expr)
    same = [f for f in factors if size_of(graph, f) == 1]
    if len(same) == len(factors):
        return fn.UnitSum(expr)
    return sympy.Mul(*same) * fn.UnitSum(sympy.Mul(*(f for f in factors if f not in same)))
