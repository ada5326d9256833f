"""A cell unrolled into scalar SymPy expressions, straight from its equations: no graph, no adjoint.

NumPy's arrays of objects hold the expressions of one sample: (), (n,) or (rows, columns).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Piecewise

from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Constant,
    Flipped,
    Hadamard,
    Join,
    MatVec,
    Minus,
    OuterProduct,
    Param,
    Quotient,
    RowScaled,
    Sum,
)

Array = Any
HALF = sympy.Rational(1, 2)


def _mean(v: Array) -> Expr:
    return sympy.Add(*v) / len(v)


def _variance(v: Array) -> Expr:
    return _mean([(a - _mean(v)) ** 2 for a in v])


class whole(sympy.Function):  # noqa: N801 (lambdify calls it by its name)
    """The largest integer that is not above; its derivative is 0."""

    def fdiff(self, argindex: int = 1) -> Expr:
        return sympy.Integer(0)


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
    fn.ELEMENTWISE["floor"]: whole,
    fn.ELEMENTWISE["mod"]: lambda u, v: u - v * whole(u / v),
    fn.ELEMENTWISE["mish"]: lambda v: v * sympy.tanh(sympy.log(1 + sympy.exp(v))),
    fn.ELEMENTWISE["tanhshrink"]: lambda v: v - sympy.tanh(v),
    fn.Where: lambda c, u, v: Piecewise((u, c), (v, True)),
    fn.Greater: lambda u, v: u > v,
    fn.GreaterEqual: lambda u, v: u >= v,
    fn.Less: lambda u, v: u < v,
    fn.LessEqual: lambda u, v: u <= v,
    fn.Equal: lambda u, v: sympy.Eq(u, v),
    fn.NotEqual: lambda u, v: sympy.Ne(u, v),
    sympy.Add: lambda *v: sympy.Add(*v),
    sympy.Mul: lambda *v: sympy.Mul(*v),
    sympy.Pow: lambda u, v: u**v,
    Sum: lambda *v: sympy.Add(*v),
    Minus: lambda v: -v,
    Hadamard: lambda *v: sympy.Mul(*v),
    Quotient: lambda u, v: u / v,
}
"""The language's functions of one unit in plain SymPy."""

OVER_UNITS: dict[Any, Callable[..., Any]] = {
    fn.UnitSum: lambda v: [sympy.Add(*v)],
    fn.UnitMean: lambda v: [_mean(v)],
    fn.UnitVar: lambda v: [_variance(v)],
    fn.UnitMax: lambda v: [_largest(v)],
    fn.UnitNorm: lambda v: [sympy.sqrt(sympy.Add(*(a**2 for a in v)))],
    fn.Softmax: lambda v: [sympy.exp(a) / sympy.Add(*map(sympy.exp, v)) for a in v],
    fn.Dot: lambda u, v: [sympy.Add(*(a * b for a, b in zip(*np.broadcast_arrays(u, v), strict=True)))],
    fn.LayerNorm: lambda v, gain=1, bias=0: (
        np.array([(a - _mean(v)) / sympy.sqrt(_variance(v) + sympy.Float(1e-5)) for a in v]) * gain + bias
    ),
    fn.RmsNorm: lambda v, gain=1: (
        np.array([a / sympy.sqrt(_mean([b**2 for b in v]) + sympy.Float(1e-5)) for a in v]) * gain
    ),
}
"""The functions over the units of one sample, from their definitions."""


def _largest(v: Array) -> Expr:
    out = v[0]
    for a in v[1:]:
        out = Piecewise((out, out > a), (a, True))
    return out


def each(function: Callable[..., Expr], *args: Array) -> Array:
    """A function unit by unit; a single unit serves all."""
    out = np.empty(np.broadcast_shapes(*(np.shape(a) for a in args)), object)
    for index, entries in zip(np.ndindex(out.shape), np.broadcast(*args, np.zeros(1)), strict=False):
        out[index] = function(*entries[:-1])
    return out


class Walker:
    """Expressions of one time step as arrays of scalar expressions. ``read`` gives a signal or an input, ``fixed`` a
    parameter or a constant array."""

    def __init__(self, read: Callable[[At], Array], fixed: Callable[[str], Array]) -> None:
        self.read, self.fixed = read, fixed

    def value(self, expr: Expr) -> Array:
        if isinstance(expr, At):
            return self.read(expr)
        if isinstance(expr, Param):
            return self.fixed(expr.signal)
        if isinstance(expr, sympy.MatrixExpr):
            return self.matrix(expr)
        if isinstance(expr, Constant):
            return _one(sympy.Rational(expr.value) if expr.value.is_Float else expr.value)
        if not expr.args:
            return _one(sympy.Rational(expr) if expr.is_Float else expr)
        args = [self.value(a) for a in expr.args]
        if type(expr) in SHAPING:
            return np.asarray(SHAPING[type(expr)](*args), object)
        if isinstance(expr, fn.OverUnits):
            return np.asarray(OVER_UNITS[type(expr)](*map(np.atleast_1d, args)), object)
        return each(SCALAR[expr.func], *args)

    def matrix(self, expr: Any) -> Array:
        if isinstance(expr, sympy.MatrixSymbol):
            return self.fixed(expr.name)
        if isinstance(expr, sympy.Transpose):
            return self.matrix(expr.arg).T
        if isinstance(expr, sympy.MatMul):
            factor, (rest,) = expr.as_coeff_matrices()
            return factor * self.matrix(rest)
        parts = [self.matrix(a) for a in expr.args]
        return sum(parts[1:], parts[0])


def _one(number: Any) -> Array:
    out = np.empty((), object)
    out[()] = number
    return out


SHAPING: dict[Any, Callable[..., Array]] = {
    MatVec: lambda m, v: m @ v,
    Join: lambda *parts: np.concatenate(parts),
    Flipped: lambda m: m.T,
    OuterProduct: np.outer,
    RowScaled: lambda v, m: v[:, None] * m,
    ColumnScaled: lambda m, v: m * v[None, :],
}
"""What is not computed unit by unit."""
