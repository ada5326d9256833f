"""Where the functions of the table are put to the test: ordinary arguments, kinks and extremes, per function."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from symcell.symbolic import functions as fn

Array = Any
Function = type[fn.Elementwise]

DIGITS = 60

ORDINARY = (
    *(-36.6, -11.3, -5.2, -3.1, -1.7, -1.0 + 2**-20, -0.51, -0.2, -1e-3, -1e-9),
    *(1e-12, 2e-4, 0.33, 0.9, 1.4, 2.2, 4.6, 9.7, 33.0),
)
EXTREME = (-1e30, -700.0, -104.0, -88.0, -1e-30, -1e-40, -0.0, 0.0, 1e-40, 1e-30, 88.0, 700.0, 1e30)
KINKS = (-3.0, -1.0, 0.0, 1.0, 3.0)

DOMAIN: dict[Function, Callable[..., bool]] = {
    fn.Log: lambda v: v > 0,
    fn.Sqrt: lambda v: v >= 0,
    fn.EuclideanRoot: lambda v: v >= 0,
    fn.Power: lambda u, v: u > 0 or (u == 0 and v >= 0),
    fn.ELEMENTWISE["mod"]: lambda a, b: b != 0 and abs(a) < 1e9 * abs(b),
}
"""Where a function is defined; elsewhere it need not be tried."""


def name(function: Function) -> str:
    """A test's label."""
    return function.text


def arity(function: Function) -> int:
    (count,) = function.nargs
    return count


def points(function: Function, values: tuple[float, ...], dtype: Any = np.float64) -> list[tuple[float, ...]]:
    """Arguments made of ``values``, as numbers of ``dtype``, where the function is defined."""
    few = values if arity(function) == 1 else values[:: arity(function) - 1]
    inside = DOMAIN.get(function, lambda *_: True)
    rounded = [float(dtype(v)) for v in few]
    choices = [rounded] * arity(function)
    if function is fn.Where:
        choices[0] = [0.0, 1.0]
    return [p for p in itertools.product(*choices) if inside(*p)]


def exact(function: Function, point: tuple[float, ...]) -> Any:
    """The value at one point, to ``DIGITS`` digits."""
    with mpmath.workdps(DIGITS):
        return function.row.exact(*map(mpmath.mpf, point))


def value(expr: Any, at: dict[Any, Any]) -> Any:
    """A SymPy body of numbers and functions in mpmath."""
    if expr in at:
        return at[expr]
    if isinstance(expr, fn.Elementwise):
        try:
            return type(expr).row.exact(*(value(a, at) for a in expr.args))
        except ZeroDivisionError:  # in a branch that is not taken
            return mpmath.nan
    if expr.is_Add:
        return mpmath.fsum(value(a, at) for a in expr.args)
    if expr.is_Mul:
        return mpmath.fprod(value(a, at) for a in expr.args)
    if expr.is_Pow:
        return mpmath.power(value(expr.base, at), value(expr.exp, at))
    return mpmath.mpmathify(expr._to_mpmath(mpmath.mp.prec))


def ulps(found: Array, wanted: list[Any], dtype: Any) -> Array:
    """Distances in units in the last place of ``dtype``; below its smallest normal number, in units of that one's."""
    info = np.finfo(dtype)
    out = []
    for got, want in zip(found.tolist(), wanted, strict=True):
        if abs(want) > float(info.max):
            out.append(0.0 if np.isinf(got) and (got > 0) == (want > 0) else np.inf)
            continue
        unit = float(np.spacing(dtype(max(float(abs(want)), float(info.tiny)))))
        out.append(float(abs(mpmath.mpf(got) - want) / unit) if np.isfinite(got) else np.inf)
    return np.array(out)
