"""Functions without a kink. Derivatives go through the function's own output where they can (σ′ = σ(1-σ))."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import sympy
from sympy import Expr

from symcell.symbolic.functions.conditions import Equal, GreaterEqual, Where
from symcell.symbolic.functions.table import TRANSCENDENTAL, Elementwise, Row, called, real


class Sigmoid(Elementwise):
    """1/(1 + e^-v); 0 where e^-v overflows, which is less than the smallest normal number away from the truth."""

    text, tex, plain, nargs = "sigmoid", r"\sigma", "σ", 1
    row = Row(
        exact=lambda v: 1 / (1 + mpmath.exp(-v)),
        torch="torch.sigmoid({0})",
        numpy=(
            "np.subtract(0, {0}, out={o})",
            "np.exp({o}, out={o})",
            "np.add({o}, 1, out={o})",
            "np.divide(1, {o}, out={o})",
        ),
        overwrites=(0,),
        c="sigmoid",
        definition="real sigmoid(real v) { return 1 / (1 + exp(-v)); }",
        cost=TRANSCENDENTAL,
        onnx="Sigmoid({0})",
    )

    def defined(self) -> Expr:
        return 1 / (1 + Exp(-self.args[0]))

    def derivative(self, k: int) -> Expr:
        return self * (1 - self)


class Tanh(Elementwise):
    text, tex, nargs = "tanh", r"\tanh", 1
    row = Row(mpmath.tanh, "torch.tanh({0})", called("tanh"), (0,), c="tanh", cost=TRANSCENDENTAL, native=sympy.tanh,
              onnx="Tanh({0})")  # fmt: skip

    def defined(self) -> Expr:
        up, down = Exp(self.args[0]), Exp(-self.args[0])
        return (up - down) / (up + down)

    def derivative(self, k: int) -> Expr:
        return 1 - self**2


class Exp(Elementwise):
    text, tex, nargs = "exp", r"\exp", 1
    row = Row(mpmath.exp, "torch.exp({0})", called("exp"), (0,), c="exp", cost=TRANSCENDENTAL, native=sympy.exp,
              onnx="Exp({0})")  # fmt: skip

    def derivative(self, k: int) -> Expr:
        return self


class Log(Elementwise):
    text, tex, nargs = "log", r"\log", 1
    row = Row(mpmath.log, "torch.log({0})", called("log"), (0,), c="log", cost=TRANSCENDENTAL, native=sympy.log,
              onnx="Log({0})")  # fmt: skip

    def derivative(self, k: int) -> Expr:
        return 1 / self.args[0]


class Sqrt(Elementwise):
    text, nargs = "sqrt", 1
    row = Row(mpmath.sqrt, "torch.sqrt({0})", called("sqrt"), (0,), c="sqrt", cost=TRANSCENDENTAL, onnx="Sqrt({0})")

    def derivative(self, k: int) -> Expr:
        return 1 / (2 * self)


class EuclideanRoot(Sqrt):
    """The square root that ends a Euclidean norm: its derivative is 0 at 0, as in ``torch.linalg.vector_norm``."""

    text, spoken, plain = "euclidean_root", False, "sqrt"
    row = replace(Sqrt.row, stepped=lambda v: mpmath.sqrt(v) if real(v) > mpmath.eps else mpmath.mpf(0))

    def derivative(self, k: int) -> Expr:
        return Where(Equal(self, 0), 0, 1 / (2 * self))


class Sin(Elementwise):
    text, tex, nargs = "sin", r"\sin", 1
    row = Row(mpmath.sin, "torch.sin({0})", called("sin"), (0,), c="sin", cost=TRANSCENDENTAL, native=sympy.sin,
              onnx="Sin({0})")  # fmt: skip

    def derivative(self, k: int) -> Expr:
        return Cos(self.args[0])


class Cos(Elementwise):
    text, tex, nargs = "cos", r"\cos", 1
    row = Row(mpmath.cos, "torch.cos({0})", called("cos"), (0,), c="cos", cost=TRANSCENDENTAL, native=sympy.cos,
              onnx="Cos({0})")  # fmt: skip

    def derivative(self, k: int) -> Expr:
        return -Sin(self.args[0])


class Power(Elementwise):
    """u ** v with an exponent that is not a number; derivatives as ``torch.pow``'s, 0 by v at 0**0."""

    text, nargs, spoken = "power", 2, False
    row = Row(
        exact=lambda u, v: u**v,
        torch="torch.pow({0}, {1})",
        numpy=called("power", 2),
        overwrites=(0, 1),
        c="pow",
        cost=2 * TRANSCENDENTAL,
        onnx="Pow({0}, {1})",
    )

    def derivative(self, k: int) -> Expr:
        base, exponent = self.args
        if k == 0:
            return Where(Equal(exponent, 0), 0, exponent * Power(base, exponent - 1))
        return Where(Equal(base, 0) * GreaterEqual(exponent, 0), 0, self * Log(base))

