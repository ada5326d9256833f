"""Between which numbers a value lies, whatever its inputs, states and parameters are: arithmetic of intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import sympy

from symcell.cell import Cell
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, ColumnScaled, Constant, Hadamard, Minus, Quotient, RowScaled, Sum

Range = tuple[float, float]
ANYTHING: Range = (-math.inf, math.inf)
WITHIN = 1e-12
"""By how much rounding may move an end."""

_BASIC: dict[type[Any], Range] = {
    fn.Tanh: (-1, 1), fn.Sin: (-1, 1), fn.Cos: (-1, 1), fn.Erf: (-1, 1), fn.Sign: (-1, 1), fn.Softmax: (0, 1),
    fn.UnitNorm: (0, math.inf), fn.UnitVar: (0, math.inf), fn.Abs: (0, math.inf), fn.Sqrt: (0, math.inf),
    fn.Relu: (0, math.inf),
}  # fmt: skip
"""Functions whose range is not that of what they are defined by."""


class Ranges:
    """Ranges of the values of one cell. A state before the first step is taken to lie where its equation puts it."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.known: dict[str, Range] = {}

    def of(self, expr: Any) -> Range:
        """The range of an expression; :data:`ANYTHING` where nothing is known."""
        low, high = self._of(expr)
        return (-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high)

    def is_share(self, expr: Any) -> bool:
        """Whether a value lies in [0, 1], and in no single point of it."""
        low, high = self.of(expr)
        return -WITHIN <= low < high <= 1 + WITHIN

    def _of(self, expr: Any) -> Range:
        if getattr(expr, "is_number", False):
            return float(expr), float(expr)
        if type(expr) in _BASIC:
            return _BASIC[type(expr)]
        match expr:
            case At():
                return self.signal(expr.signal)
            case Constant():
                return float(expr.value), float(expr.value)
            case Minus():
                low, high = self.of(expr.args[0])
                return -high, -low
            case fn.Exp():
                return tuple(map(_exp, self.of(expr.args[0])))  # type: ignore[return-value]
            case fn.Log():
                low, high = self.of(expr.args[0])
                return (math.log(low) if low > 0 else -math.inf, math.log(high) if 0 < high < math.inf else math.inf)
            case fn.Maximum() | fn.Minimum():
                return _both(max if isinstance(expr, fn.Maximum) else min, *map(self.of, expr.args))
            case fn.Where():
                return _hull(*map(self.of, expr.args[1:]))
            case fn.Predicate():
                return 0, 1
            case fn.UnitMean() | fn.UnitMax() | fn.Detached():
                return self.of(expr.args[0])
            case Sum() | sympy.Add():
                ranges = [self.of(a) for a in expr.args]
                return sum(low for low, _ in ranges), sum(high for _, high in ranges)
            case Hadamard() | sympy.Mul() | RowScaled() | ColumnScaled():
                return _product([self.of(a) for a in expr.args])
            case Quotient():
                return _product([self.of(expr.args[0]), _reciprocal(self.of(expr.args[1]))])
            case sympy.Pow() if expr.args[1].is_Integer:
                return _power(self.of(expr.args[0]), int(expr.args[1]))
            case fn.Elementwise() if (meant := expr.defined()) is not None:
                return self.of(meant)
        return ANYTHING

    def signal(self, name: str) -> Range:
        if name not in self.cell.signals:
            return ANYTHING
        if name not in self.known:
            self.known[name] = ANYTHING  # of what it reads of itself nothing is known
            self.known[name] = self.of(self.cell.equation(name).rhs)
        return self.known[name]


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _both(choose: Callable[[float, float], float], one: Range, other: Range) -> Range:
    return choose(one[0], other[0]), choose(one[1], other[1])


def _hull(*ranges: Range) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _product(ranges: Sequence[Range]) -> Range:
    found: Range = (1, 1)
    for low, high in ranges:
        ends = [0.0 if 0 in (a, b) else a * b for a in found for b in (low, high)]
        found = min(ends), max(ends)
    return found


def _reciprocal(of: Range) -> Range:
    low, high = of
    if low < 0 < high:
        return ANYTHING
    return (1 / high if high else -math.inf, 1 / low if low else math.inf)


def _power(base: Range, exponent: int) -> Range:
    if exponent < 0:
        return _reciprocal(_power(base, -exponent))
    ends = base[0] ** exponent, base[1] ** exponent
    low, high = min(ends), max(ends)
    return (0 if exponent % 2 == 0 and base[0] < 0 < base[1] else low), high
