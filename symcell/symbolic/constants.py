"""What constants come to: functions and powers of numbers and of named numbers alone."""

from __future__ import annotations

from typing import Any

import mpmath
import sympy
from sympy import Expr, Float, Integer, Rational

from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param, written


def number(expr: Expr) -> Expr | None:
    """The value of an expression of constants alone; None for any other, and where it is no finite real number."""
    if expr.has(At, Param, Count):
        return None
    value = written(settled(expr))
    value = value.xreplace({constant: constant.value for constant in value.atoms(Constant)})
    return value if value.is_number and value.is_finite and value.is_real else None


def settled(expr: Any) -> Any:
    """``expr`` with a number for each function of constants, and SymPy's power for each constant exponent.

    Constants elsewhere keep their names, but for factors of fixed matrices.
    """
    if isinstance(expr, sympy.MatAdd | sympy.MatMul):
        return expr.func(*(_of_matrix(a) for a in expr.args)).doit()
    if not expr.args or isinstance(expr, sympy.MatrixExpr):
        return expr
    args = [settled(a) for a in expr.args]
    if isinstance(expr, fn.Elementwise) and not isinstance(expr, fn.Predicate):
        values = [number(a) for a in args]
        if all(value is not None for value in values):
            exact = type(expr).row.exact(*(mpmath.mpmathify(value) for value in values))
            return Float(float(exact))
        if isinstance(expr, fn.Power) and values[1] is not None:
            return raised(args[0], values[1])
    return expr.func(*args)


def _of_matrix(part: Any) -> Any:
    """A term or a factor of a fixed matrix."""
    value = None if isinstance(part, sympy.MatrixExpr) else number(part)
    return settled(part) if value is None else value


def raised(base: Expr, exponent: Expr) -> Expr:
    """A power with a number as exponent is SymPy's own, unless SymPy would merge it with another one wrongly."""
    if not isinstance(exponent, Integer | Rational | Float) and exponent != sympy.pi:
        return fn.Power(base, exponent)
    if base.is_number or (
        isinstance(base, sympy.Pow) and not (isinstance(exponent, Integer) and isinstance(base.exp, Integer))
    ):
        return fn.Power(base, exponent)
    return sympy.Pow(base, exponent)
