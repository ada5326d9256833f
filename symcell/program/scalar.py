"""Bodies and calls over float64 arrays, by the plain definitions of the table of functions.

Arrays are (rows, members, *shape); what is fixed has one row, and what every equation of a statement reads one member.
NaN is never lost in a condition, so that poisoned memory shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy

from symcell.graph import Operand
from symcell.program.model import Arg, Call, Place
from symcell.program.packing import Array
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param

Read = Callable[[Operand], Array]


def number(expr: sympy.Expr, sizes: Mapping[str, int]) -> float:
    """A number of a body: a literal, a named constant, a count of units, or arithmetic over these."""
    if isinstance(expr, Constant):
        return number(expr.value, sizes)
    if isinstance(expr, Count):
        return float(expr.size.value(sizes))
    if expr.is_Number or isinstance(expr, sympy.NumberSymbol):
        return float(expr)
    return float(value(expr, _nothing, sizes))


def _nothing(operand: Operand) -> Array:
    raise KeyError(operand)


def value(expr: sympy.Expr, read: Read, sizes: Mapping[str, int]) -> Any:
    """A body; sub-expressions are computed as SymPy holds them."""
    if isinstance(expr, At | Param):
        return read(expr)
    if not expr.args:
        return number(expr, sizes)
    args = [value(a, read, sizes) for a in expr.args]
    if isinstance(expr, sympy.Add):
        return sum(args[1:], args[0])
    if isinstance(expr, sympy.Mul):
        return math.prod(args[1:], start=args[0])
    if isinstance(expr, sympy.Pow):
        return np.power(args[0], args[1], dtype=float)
    return apply(type(expr), args)


def apply(function: type[sympy.Function], args: list[Any]) -> Array:
    """A function of the table, number by number."""

    def one(*numbers: float) -> float:
        decisive = numbers[:1] if function is fn.Where else numbers
        if any(math.isnan(n) for n in decisive):
            return math.nan
        try:
            return float(function.row.exact(*numbers))
        except (ZeroDivisionError, ValueError, TypeError):
            return math.nan

    return np.asarray(np.frompyfunc(one, len(args), 1)(*args), dtype=float)


ARITHMETIC: Mapping[str, Callable[..., Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negative": np.negative,
    "reciprocal": lambda u: np.divide(1.0, u),
    "square": lambda u: np.multiply(u, u),
    "sqrt": np.sqrt,
    "power": lambda u, v: np.power(u, v, dtype=float),
    "copy": lambda u: u,
}
"""Arithmetic's own calls. Conditions are 1 and 0 here."""


def perform(call: Call, read: Read, places: Callable[[Place], Array], sizes: Mapping[str, int]) -> Array:
    """The result of one call; ``places`` holds the intermediate results."""

    def arg(of: Arg) -> Any:
        if isinstance(of, At | Param):
            return read(of)
        return number(of, sizes) if isinstance(of, sympy.Expr) else places(of)

    args = [arg(a) for a in call.args]
    if call.function == "select":
        mask, then = args
        return np.where(np.isnan(mask), np.nan, np.where(mask != 0, then, places(call.out)))
    if isinstance(call.function, str):
        return np.asarray(ARITHMETIC[call.function](*args), dtype=float)
    return apply(call.function, args)


def laid(array: Array, axis: int | None, dimensions: int) -> Array:
    """An operand as a result of ``dimensions`` axes reads it: along an axis of a matrix, or repeated where it has one
    unit."""
    if axis is not None:
        return np.expand_dims(array, 3 - axis)
    missing = dimensions - (array.ndim - 2)
    return array.reshape(*array.shape[: array.ndim + min(missing, 0)], *(1,) * max(missing, 0))
