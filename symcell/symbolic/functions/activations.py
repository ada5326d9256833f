"""Activations that only whole formulas give accurately: near 0, far from it, or both."""

from __future__ import annotations

from typing import Any

import mpmath
from sympy import Expr

from symcell.symbolic.functions.conditions import Greater, Where
from symcell.symbolic.functions.piecewise import Abs, Minimum
from symcell.symbolic.functions.smooth import Exp, Log, Sigmoid, Tanh
from symcell.symbolic.functions.table import IN_PARTS, TRANSCENDENTAL, Elementwise, Row, real

_SOFTPLUS = '''def _softplus(v: Any) -> Any:
    """log(1 + e^v) = max(v, 0) + log(1 + e^-|v|)."""
    return np.maximum(v, 0) + np.log1p(np.exp(-np.absolute(v)))'''


class Softplus(Elementwise):
    """log(1 + e^v), computed as max(v, 0) + log1p(e^-|v|)."""

    text, nargs = "softplus", 1
    row = Row(
        exact=lambda v: mpmath.log1p(mpmath.exp(v)) if real(v) < 0 else v + mpmath.log1p(mpmath.exp(-v)),
        torch="torch.nn.functional.softplus({0}, threshold=700)",
        numpy=("_in_parts(_softplus, {0}, {o})",),
        overwrites=(0,),
        python=(IN_PARTS, _SOFTPLUS),
        c="softplus",
        definition="real softplus(real v) { return (v > 0 ? v : 0) + log1p(exp(v > 0 ? -v : v)); }",
        cost=2 * TRANSCENDENTAL,
        onnx="Where(Greater({0}, 40), {0}, Softplus(Min({0}, 40)))",  # onnxruntime's overflows
    )

    def defined(self) -> Expr:
        return Log(1 + Exp(self.args[0]))

    def derivative(self, k: int) -> Expr:
        return Sigmoid(self.args[0])


class Elu(Elementwise):
    """v where v > 0, else e^v - 1 (α = 1); in NumPy max(v, expm1(min(v, 0))), since e^v - 1 ≥ v."""

    text, nargs = "elu", 1
    row = Row(
        exact=lambda v: v if real(v) > 0 else mpmath.expm1(v),
        torch="torch.nn.functional.elu({0})",
        numpy=(
            "np.minimum({0}, 0, out={o})",
            "np.expm1({o}, out={o})",
            "np.maximum({0}, {o}, out={o})",
        ),
        c="elu",
        definition="real elu(real v) { return v > 0 ? v : expm1(v); }",
        cost=TRANSCENDENTAL,
        onnx="Elu({0})",
    )

    def defined(self) -> Expr:
        return Where(Greater(self.args[0], 0), self.args[0], Exp(self.args[0]) - 1)

    def derivative(self, k: int) -> Expr:
        return Exp(Minimum(self.args[0], 0))


class Softsign(Elementwise):
    text, nargs = "softsign", 1
    row = Row(
        exact=lambda v: v / (1 + (v if real(v) >= 0 else -v)),
        torch="torch.nn.functional.softsign({0})",
        numpy=("np.absolute({0}, out={o})", "np.add({o}, 1, out={o})", "np.divide({0}, {o}, out={o})"),
        c="softsign",
        definition="real softsign(real v) { return v / (1 + fabs(v)); }",
        cost=3,
        onnx="Div({0}, Add(1, Abs({0})))",
    )

    def defined(self) -> Expr:
        return self.args[0] / (1 + Abs(self.args[0]))

    def derivative(self, k: int) -> Expr:
        return (1 + Abs(self.args[0])) ** -2


_TANHSHRINK = '''def _tanhshrink(v: Any) -> Any:
    """v - tanh(v); where |v| < 1, tanh(v) = v/(1 + r) with Lambert's continued fraction r = v²/(3 + v²/(5 + ...))."""
    square = np.minimum(v * v, 1)
    rest = square / 19
    for odd in range(17, 1, -2):
        rest = square / (odd + rest)
    return np.where(square < 1, v * (rest / (1 + rest)), v - np.tanh(v))'''


def _exact_tanhshrink(v: Any) -> Any:
    with mpmath.extraprec(max(0, -2 * int(mpmath.mag(v))) if v else 0):
        return v - mpmath.tanh(v)


class Tanhshrink(Elementwise):
    """v - tanh(v), which cancels near 0: there through the continued fraction of tanh (DLMF 4.39.1)."""

    text, nargs = "tanhshrink", 1
    row = Row(
        exact=_exact_tanhshrink,
        torch="torch.nn.functional.tanhshrink({0})",
        numpy=("_in_parts(_tanhshrink, {0}, {o})",),
        overwrites=(0,),
        python=(IN_PARTS, _TANHSHRINK),
        c="tanhshrink",
        definition="""real tanhshrink(real v) {
    // where |v| < 1, v - tanh(v) cancels: tanh(v) = v / (1 + r) with Lambert's r = v^2 / (3 + v^2 / (5 + ...))
    const real square = v * v, far = v - tanh(v);
    real r = square / (17 + square / 19);
    r = square / (13 + square / (15 + r));
    r = square / (9 + square / (11 + r));
    r = square / (5 + square / (7 + r));
    r = square / (3 + r);
    return square < 1 ? v * (r / (1 + r)) : far;
}""",
        cost=3 * TRANSCENDENTAL,
        onnx="Sub({0}, Tanh({0}))",
    )

    def defined(self) -> Expr:
        return self.args[0] - Tanh(self.args[0])

    def derivative(self, k: int) -> Expr:
        return Tanh(self.args[0]) ** 2
