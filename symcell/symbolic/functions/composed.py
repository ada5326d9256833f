"""Functions that are others put together: no target knows them, since :func:`expand` spells them out first."""

from __future__ import annotations

import mpmath
from sympy import Expr

from symcell.symbolic.functions.activations import Softplus
from symcell.symbolic.functions.conditions import Greater, Where
from symcell.symbolic.functions.error import NormalCdf
from symcell.symbolic.functions.smooth import Log, Sigmoid, Tanh
from symcell.symbolic.functions.table import Elementwise, Row, real


class Silu(Elementwise):
    """v σ(v)."""

    text, nargs = "silu", 1
    row = Row(lambda v: v / (1 + mpmath.exp(-v)), "torch.nn.functional.silu({0})")

    def composed(self) -> Expr:
        return self.args[0] * Sigmoid(self.args[0])


class Gelu(Elementwise):
    """v Φ(v), the exact form."""

    text, nargs = "gelu", 1
    row = Row(lambda v: v * mpmath.erfc(-v / mpmath.sqrt(2)) / 2, "torch.nn.functional.gelu({0})")

    def composed(self) -> Expr:
        return self.args[0] * NormalCdf(self.args[0])


class Mish(Elementwise):
    """v tanh(softplus(v)) (Misra 2019)."""

    text, nargs = "mish", 1
    row = Row(lambda v: v * mpmath.tanh(mpmath.log1p(mpmath.exp(v))), "torch.nn.functional.mish({0})")

    def composed(self) -> Expr:
        return self.args[0] * Tanh(Softplus(self.args[0]))


class LogSigmoid(Elementwise):
    """log σ(v) = -softplus(-v)."""

    text, nargs = "log_sigmoid", 1
    row = Row(
        lambda v: -mpmath.log1p(mpmath.exp(-v)) if real(v) > 0 else v - mpmath.log1p(mpmath.exp(v)),
        "torch.nn.functional.logsigmoid({0})",
    )

    def composed(self) -> Expr:
        return -Softplus(-self.args[0])

    def defined(self) -> Expr:
        return Log(Sigmoid(self.args[0]))


class LeakyRelu(Elementwise):
    """``leaky_relu(v, slope)``; the slope is always written as the second argument here."""

    text, nargs = "leaky_relu", 2
    row = Row(
        lambda v, slope: v if real(v) > 0 else slope * v,
        "torch.where({0} > 0, {0}, {1} * {0})",
    )

    def composed(self) -> Expr:
        value, slope = self.args
        return Where(Greater(value, 0), value, slope * value)
