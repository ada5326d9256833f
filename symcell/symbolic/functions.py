"""The functions of the language as SymPy classes, each with its derivative; those over units come along.

No function simplifies itself, and each derivative is written in a form that neither overflows nor cancels, through the
function's own output where it can be (σ′ = σ(1-σ)). At a kink the derivative is the one PyTorch takes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sympy
from sympy import Expr, Integer

from symcell.symbolic.nodes import SUMS, Hadamard, Quotient, wrap
from symcell.symbolic.over_units import (
    NORM_EPSILON as NORM_EPSILON,
    OVER_UNITS as OVER_UNITS,
    Dot as Dot,
    LayerNorm as LayerNorm,
    OverUnits as OverUnits,
    RmsNorm as RmsNorm,
    Softmax as Softmax,
    UnitFunction as UnitFunction,
    UnitMax as UnitMax,
    UnitMean as UnitMean,
    UnitNorm as UnitNorm,
    UnitSum as UnitSum,
    UnitVar as UnitVar,
)


class Elementwise(UnitFunction):
    """A function applied to every unit by itself.

    ``nargs`` is its number of arguments; ``derivative(k)`` the partial derivative by argument ``k`` (from 0).
    """

    def derivative(self, k: int) -> Expr:
        raise NotImplementedError(f"{self.text} has no derivative")

    def fdiff(self, argindex: int = 1) -> Expr:
        return self.derivative(argindex - 1)


class Sigmoid(Elementwise):
    text, tex, nargs = "sigmoid", r"\sigma", 1

    def derivative(self, k: int) -> Expr:
        return self * (1 - self)


class Tanh(Elementwise):
    text, tex, nargs = "tanh", r"\tanh", 1

    def derivative(self, k: int) -> Expr:
        return 1 - self**2


class Relu(Elementwise):
    """max(v, 0); derivative 0 at 0."""

    text, nargs = "relu", 1

    def derivative(self, k: int) -> Expr:
        return Greater(self.args[0], 0)


class Exp(Elementwise):
    text, tex, nargs = "exp", r"\exp", 1

    def derivative(self, k: int) -> Expr:
        return self


class Log(Elementwise):
    text, tex, nargs = "log", r"\log", 1

    def derivative(self, k: int) -> Expr:
        return 1 / self.args[0]


class Sqrt(Elementwise):
    text, nargs = "sqrt", 1

    def derivative(self, k: int) -> Expr:
        return 1 / (2 * self)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\sqrt{{{printer._print(self.args[0])}}}"
        return body if exp is None else rf"{body}^{{{exp}}}"


class EuclideanRoot(Sqrt):
    """The square root that ends a Euclidean norm: its derivative is 0 at 0, as in ``torch.linalg.vector_norm``."""

    text = "euclidean_root"

    def derivative(self, k: int) -> Expr:
        return Where(Equal(self, 0), 0, 1 / (2 * self))


class Abs(Elementwise):
    text, nargs = "abs", 1

    def derivative(self, k: int) -> Expr:
        return Sign(self.args[0])

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\left|{printer._print(self.args[0])}\right|"
        return body if exp is None else rf"{body}^{{{exp}}}"


class Sin(Elementwise):
    text, tex, nargs = "sin", r"\sin", 1

    def derivative(self, k: int) -> Expr:
        return Cos(self.args[0])


class Cos(Elementwise):
    text, tex, nargs = "cos", r"\cos", 1

    def derivative(self, k: int) -> Expr:
        return -Sin(self.args[0])


class Erf(Elementwise):
    text, nargs = "erf", 1

    def derivative(self, k: int) -> Expr:
        return 2 / sympy.sqrt(sympy.pi) * Exp(-self.args[0] ** 2)


class NormalCdf(Elementwise):
    """Φ(v) = erfc(-v/√2)/2, the standard normal distribution: gelu(v) = v Φ(v)."""

    text, tex, nargs = "normal_cdf", r"\Phi", 1

    def derivative(self, k: int) -> Expr:
        return Exp(-self.args[0] ** 2 / 2) / sympy.sqrt(2 * sympy.pi)


class Softplus(Elementwise):
    """log(1 + e^v), computed as max(v, 0) + log1p(e^-|v|)."""

    text, nargs = "softplus", 1

    def derivative(self, k: int) -> Expr:
        return Sigmoid(self.args[0])


class Elu(Elementwise):
    """v where v > 0, else e^v - 1 (α = 1)."""

    text, nargs = "elu", 1

    def derivative(self, k: int) -> Expr:
        return Exp(Minimum(self.args[0], 0))


class Softsign(Elementwise):
    text, nargs = "softsign", 1

    def derivative(self, k: int) -> Expr:
        return (1 + Abs(self.args[0])) ** -2


class HardSigmoid(Elementwise):
    """clip(v/6 + 1/2, 0, 1); derivative 0 at the two corners, as in PyTorch."""

    text, nargs = "hard_sigmoid", 1

    def derivative(self, k: int) -> Expr:
        return Greater(self.args[0], -3) * Greater(3, self.args[0]) / 6


class HardTanh(Elementwise):
    """clip(v, -1, 1); derivative 0 at the two corners, as in PyTorch."""

    text, nargs = "hard_tanh", 1

    def derivative(self, k: int) -> Expr:
        return Greater(self.args[0], -1) * Greater(1, self.args[0])


class Sign(Elementwise):
    text, nargs = "sign", 1

    def derivative(self, k: int) -> Expr:
        return Integer(0)


class Maximum(Elementwise):
    """The larger of two; at a tie the derivative is 1/2 to each side."""

    text, tex, nargs = "maximum", r"\max", 2

    def derivative(self, k: int) -> Expr:
        mine, other = self.args[k], self.args[1 - k]
        return (Greater(mine, other) + GreaterEqual(mine, other)) / 2


class Minimum(Elementwise):
    """The smaller of two; at a tie the derivative is 1/2 to each side."""

    text, tex, nargs = "minimum", r"\min", 2

    def derivative(self, k: int) -> Expr:
        mine, other = self.args[k], self.args[1 - k]
        return (Greater(other, mine) + GreaterEqual(other, mine)) / 2


class Clip(Elementwise):
    """min(max(v, low), high); derivatives as ``torch.clamp``'s: 1 on the bounds themselves."""

    text, nargs = "clip", 3

    def derivative(self, k: int) -> Expr:
        value, low, high = self.args
        return (
            GreaterEqual(value, low) * GreaterEqual(high, value),
            Greater(high, low) * Greater(low, value),
            Maximum(Greater(low, high), Greater(value, high)),
        )[k]


class Power(Elementwise):
    """u ** v with an exponent that is not a number; derivatives as ``torch.pow``'s."""

    text, nargs = "power", 2

    def derivative(self, k: int) -> Expr:
        base, exponent = self.args
        if k == 0:
            return Where(Equal(exponent, 0), 0, exponent * Power(base, exponent - 1))
        return Where(Equal(self, 0) * GreaterEqual(exponent, 0), 0, self * Log(base))

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        base = wrap(printer._print(self.args[0]), self.args[0], (*SUMS, Hadamard, Quotient, Power))
        body = rf"{base}^{{{printer._print(self.args[1])}}}"
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class Predicate(Elementwise):
    """A comparison: 1 where it holds, else 0; its derivative is 0."""

    nargs = 2
    sign: ClassVar[str]

    def derivative(self, k: int) -> Expr:
        return Integer(0)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        left, right = (printer._print(a) for a in self.args)
        return rf"\left[{left} {self.sign} {right}\right]"


class Greater(Predicate):
    text, sign = "greater", ">"


class GreaterEqual(Predicate):
    text, sign = "greater_equal", r"\ge"


class Equal(Predicate):
    text, sign = "equal", "="


class NotEqual(Predicate):
    text, sign = "not_equal", r"\ne"


class Where(Elementwise):
    """``where(condition, then, otherwise)``: the condition is a :class:`Predicate` (or a product of them)."""

    text, nargs = "where", 3

    def derivative(self, k: int) -> Expr:
        condition = self.args[0]
        return (Integer(0), condition, 1 - condition)[k]

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        condition, then, otherwise = (printer._print(a) for a in self.args)
        body = rf"\begin{{cases}}{then} & {condition} \\ {otherwise} & \text{{otherwise}}\end{{cases}}"
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class Detached(Elementwise):
    """Its argument, held constant under differentiation (the shift inside a softmax, on which nothing depends)."""

    text, nargs = "detached", 1

    def derivative(self, k: int) -> Expr:
        return Integer(0)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return printer._print(self.args[0])


class Silu(Elementwise):
    text, nargs = "silu", 1


class Gelu(Elementwise):
    text, nargs = "gelu", 1


class LeakyRelu(Elementwise):
    """``leaky_relu(v, slope)``; the slope is always written as the second argument here."""

    text, nargs = "leaky_relu", 2


class LogSigmoid(Elementwise):
    text, nargs = "log_sigmoid", 1


def expand(expr: Expr) -> Expr:
    """A composed function (silu, gelu, leaky_relu, log_sigmoid) in terms of the basic ones; anything else unchanged."""
    match expr:
        case Silu():
            return expr.args[0] * Sigmoid(expr.args[0])
        case Gelu():
            return expr.args[0] * NormalCdf(expr.args[0])
        case LogSigmoid():
            return -Softplus(-expr.args[0])
        case LeakyRelu():
            value, slope = expr.args
            return Where(Greater(value, 0), value, slope * value)
    return expr


ELEMENTWISE: dict[str, type[Elementwise]] = {
    c.text: c
    for c in (
        Sigmoid, Tanh, Relu, Exp, Log, Sqrt, Abs, Sin, Cos, Erf, Softplus, Silu, Gelu, Elu, LeakyRelu, Softsign,
        LogSigmoid, HardSigmoid, HardTanh, Sign, Maximum, Minimum, Clip, Where,
    )
}  # fmt: skip
"""The language's elementwise functions by name."""
