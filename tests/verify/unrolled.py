"""A cell unrolled into scalar SymPy expressions, straight from its equations: no graph, no adjoint, no NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy
from sympy import Expr, Piecewise

from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Join, MatVec, Param, written

Units = list[Expr]
HALF = sympy.Rational(1, 2)


def _mean(v: Units) -> Expr:
    return sympy.Add(*v) / len(v)


def _variance(v: Units) -> Expr:
    return _mean([(a - _mean(v)) ** 2 for a in v])


SCALAR: dict[Any, Callable[..., Expr]] = {
    fn.Sigmoid: lambda v: 1 / (1 + sympy.exp(-v)),
    fn.Tanh: sympy.tanh,
    fn.Relu: lambda v: Piecewise((v, v > 0), (0, True)),
    fn.Exp: sympy.exp,
    fn.Log: sympy.log,
    fn.Sqrt: sympy.sqrt,
    fn.Abs: lambda v: Piecewise((v, v > 0), (-v, True)),
    fn.Sin: sympy.sin,
    fn.Cos: sympy.cos,
    fn.Erf: sympy.erf,
    fn.Softplus: lambda v: sympy.log(1 + sympy.exp(v)),
    fn.Silu: lambda v: v / (1 + sympy.exp(-v)),
    fn.Gelu: lambda v: v * (1 + sympy.erf(v / sympy.sqrt(2))) / 2,
    fn.Elu: lambda v: Piecewise((v, v > 0), (sympy.exp(v) - 1, True)),
    fn.LeakyRelu: lambda v, slope: Piecewise((v, v > 0), (slope * v, True)),
    fn.Softsign: lambda v: Piecewise((v / (1 + v), v > 0), (v / (1 - v), True)),
    fn.LogSigmoid: lambda v: -sympy.log(1 + sympy.exp(-v)),
    fn.HardSigmoid: lambda v: Piecewise((0, v < -3), (1, v > 3), (v / 6 + HALF, True)),
    fn.HardTanh: lambda v: Piecewise((-1, v < -1), (1, v > 1), (v, True)),
    fn.Sign: lambda v: Piecewise((1, v > 0), (-1, v < 0), (0, True)),
    fn.Maximum: lambda u, v: Piecewise((u, u > v), (v, True)),
    fn.Minimum: lambda u, v: Piecewise((u, u < v), (v, True)),
    fn.Clip: lambda v, low, high: Piecewise((low, v < low), (high, v > high), (v, True)),
    fn.Power: lambda u, v: u**v,
    fn.Where: lambda c, u, v: Piecewise((u, c), (v, True)),
    fn.Greater: lambda u, v: u > v,
    fn.GreaterEqual: lambda u, v: u >= v,
    fn.Equal: lambda u, v: sympy.Eq(u, v),
    fn.NotEqual: lambda u, v: sympy.Ne(u, v),
    sympy.Add: lambda *v: sympy.Add(*v),
    sympy.Mul: lambda *v: sympy.Mul(*v),
    sympy.Pow: lambda u, v: u**v,
}
"""The language's functions of one unit in plain SymPy."""

OVER_UNITS: dict[Any, Callable[..., Units]] = {
    fn.UnitSum: lambda v: [sympy.Add(*v)],
    fn.UnitMean: lambda v: [_mean(v)],
    fn.UnitVar: lambda v: [_variance(v)],
    fn.UnitMax: lambda v: [_largest(v)],
    fn.UnitNorm: lambda v: [sympy.sqrt(sympy.Add(*(a**2 for a in v)))],
    fn.Softmax: lambda v: [sympy.exp(a) / sympy.Add(*map(sympy.exp, v)) for a in v],
    fn.Dot: lambda u, v: [sympy.Add(*each(sympy.Mul, u, v))],
    fn.LayerNorm: lambda v, *rest: _gained(
        [(a - _mean(v)) / sympy.sqrt(_variance(v) + sympy.Float(1e-5)) for a in v], *rest
    ),
    fn.RmsNorm: lambda v, *rest: _gained(
        [a / sympy.sqrt(_mean([b**2 for b in v]) + sympy.Float(1e-5)) for a in v], *rest
    ),
}
"""The functions over the units of one sample, from their definitions."""


def _largest(v: Units) -> Expr:
    out = v[0]
    for a in v[1:]:
        out = Piecewise((out, out > a), (a, True))
    return out


def _gained(v: Units, gain: Sequence[Expr] = (sympy.Integer(1),), bias: Sequence[Expr] = (sympy.Integer(0),)) -> Units:
    return each(lambda a, g, b: a * g + b, v, list(gain), list(bias))


def each(function: Callable[..., Expr], *args: Units) -> Units:
    """A function unit by unit; a single unit serves all."""
    width = max(map(len, args))
    return [function(*(a[j if len(a) > 1 else 0] for a in args)) for j in range(width)]


class Walker:
    """Expressions of one time step as lists of scalar expressions. ``read`` gives the units of a signal or input,
    ``parameter`` a parameter's units or its rows."""

    def __init__(self, read: Callable[[At], Units], parameter: Callable[[str], Any]) -> None:
        self.read, self.parameter = read, parameter

    def units(self, expr: Expr) -> Units:
        expr = written(expr)
        if isinstance(expr, At):
            return self.read(expr)
        if isinstance(expr, Param):
            return self.parameter(expr.name)
        if isinstance(expr, MatVec):
            vector = self.units(expr.args[1])
            return [sympy.Add(*map(sympy.Mul, row, vector)) for row in self.rows(expr.args[0])]
        if isinstance(expr, Join):
            return [u for part in expr.args for u in self.units(part)]
        if not expr.args:
            return [sympy.Rational(expr) if expr.is_Float else expr]
        args = [self.units(a) for a in expr.args]
        if isinstance(expr, fn.OverUnits):
            return OVER_UNITS[type(expr)](*args)
        return each(SCALAR[expr.func], *args)

    def rows(self, expr: Any) -> list[Units]:
        if isinstance(expr, sympy.MatrixSymbol):
            return self.parameter(expr.name)
        if isinstance(expr, sympy.Transpose):
            return [list(column) for column in zip(*self.rows(expr.arg), strict=True)]
        if isinstance(expr, sympy.MatMul):
            factor, (rest,) = expr.as_coeff_matrices()
            return [[factor * a for a in row] for row in self.rows(rest)]
        parts = [self.rows(a) for a in expr.args]
        return [[sympy.Add(*entries) for entries in zip(*rows, strict=True)] for rows in zip(*parts, strict=True)]
