"""Functions with kinks or steps. At a kink the derivative is the one PyTorch takes."""

from __future__ import annotations

from typing import Any

import mpmath
import sympy
from sympy import Expr, Integer

from symcell.symbolic.functions.conditions import Greater, GreaterEqual, Where
from symcell.symbolic.functions.table import TRANSCENDENTAL, Elementwise, Row, called, real


class Relu(Elementwise):
    """max(v, 0); derivative 0 at 0."""

    text, nargs = "relu", 1
    row = Row(
        exact=lambda v: v if real(v) > 0 else v * 0,
        torch="torch.relu({0})",
        numpy=("np.maximum({0}, 0, out={o})",),
        overwrites=(0,),
        c="relu",
        definition="real relu(real v) { return v < 0 ? 0 : v; }",
        onnx="Relu({0})",
    )

    def defined(self) -> Expr:
        return Where(Greater(self.args[0], 0), self.args[0], 0)

    def derivative(self, k: int) -> Expr:
        return Greater(self.args[0], 0)


class Abs(Elementwise):
    text, nargs = "abs", 1
    row = Row(
        exact=lambda v: v if real(v) >= 0 else -v,
        torch="torch.abs({0})",
        numpy=called("absolute"),
        overwrites=(0,),
        c="fabs",
        stepped=lambda v: v if real(v) > 0 else -v if real(v) < 0 else mpmath.mpf(0),
        native=sympy.Abs,
        onnx="Abs({0})",
    )

    def derivative(self, k: int) -> Expr:
        return Sign(self.args[0])


class Sign(Elementwise):
    text, nargs = "sign", 1
    row = Row(
        exact=lambda v: mpmath.mpf((real(v) > 0) - (real(v) < 0)),
        torch="torch.sign({0})",
        numpy=called("sign"),
        overwrites=(0,),
        c="sign",
        definition="real sign(real v) { return v > 0 ? 1 : v < 0 ? -1 : v; }",
        native=sympy.sign,
        onnx="Sign({0})",
    )

    def derivative(self, k: int) -> Expr:
        return Integer(0)


class Maximum(Elementwise):
    """The larger of two; at a tie the derivative is 1/2 to each side."""

    text, tex, nargs = "maximum", r"\max", 2
    row = Row(
        exact=lambda u, v: u if real(u) >= real(v) else v,
        torch="torch.maximum({0}, {1})",
        numpy=called("maximum", 2),
        overwrites=(0, 1),
        c="maximum",
        definition="real maximum(real u, real v) { return u > v || u != u ? u : v; }  // NaN wins, as in NumPy",
        stepped=lambda u, v: (u + v) / 2 if real(u) == real(v) else max(u, v, key=real),
        onnx="Max({0}, {1})",
    )

    def derivative(self, k: int) -> Expr:
        mine, other = self.args[k], self.args[1 - k]
        return (Greater(mine, other) + GreaterEqual(mine, other)) / 2


class Minimum(Elementwise):
    """The smaller of two; at a tie the derivative is 1/2 to each side."""

    text, tex, nargs = "minimum", r"\min", 2
    row = Row(
        exact=lambda u, v: u if real(u) <= real(v) else v,
        torch="torch.minimum({0}, {1})",
        numpy=called("minimum", 2),
        overwrites=(0, 1),
        c="minimum",
        definition="real minimum(real u, real v) { return u < v || u != u ? u : v; }",
        stepped=lambda u, v: (u + v) / 2 if real(u) == real(v) else min(u, v, key=real),
        onnx="Min({0}, {1})",
    )

    def derivative(self, k: int) -> Expr:
        mine, other = self.args[k], self.args[1 - k]
        return (Greater(other, mine) + GreaterEqual(other, mine)) / 2


def _exact_clip(v: Any, low: Any, high: Any) -> Any:
    return min(max(v, low, key=real), high, key=real)


class Clip(Elementwise):
    """min(max(v, low), high); derivatives as ``torch.clamp``'s: 1 on the bounds themselves."""

    text, nargs = "clip", 3
    row = Row(
        exact=_exact_clip,
        torch="torch.clamp({0}, {1}, {2})",
        numpy=("np.maximum({0}, {1}, out={o})", "np.minimum({o}, {2}, out={o})"),
        overwrites=(0, 1),
        c="clip",
        definition="real clip(real v, real low, real high) { return minimum(maximum(v, low), high); }",
        needs=(Minimum, Maximum),
        cost=2,
        stepped=lambda v, low, high: real(low) if real(v) < real(low) == real(high) else _exact_clip(v, low, high),
        onnx="Min(Max({0}, {1}), {2})",
    )

    def defined(self) -> Expr:
        value, low, high = self.args
        return Minimum(Maximum(value, low), high)

    def derivative(self, k: int) -> Expr:
        value, low, high = self.args
        return (
            GreaterEqual(value, low) * GreaterEqual(high, value),
            Greater(high, low) * Greater(low, value),
            Maximum(Greater(low, high), Greater(value, high)),
        )[k]


class HardSigmoid(Elementwise):
    """clip(v/6 + 1/2, 0, 1), computed as clip((v + 3)/6, 0, 1); derivative 0 at the two corners, as in PyTorch."""

    text, nargs = "hard_sigmoid", 1
    row = Row(
        exact=lambda v: v * 0 if real(v) <= -3 else v * 0 + 1 if real(v) >= 3 else (v + 3) / 6,
        torch="torch.nn.functional.hardtanh(({0} + 3) / 6, 0.0, 1.0)",  # hardsigmoid's own 1/6 is a float32
        numpy=(
            "np.add({0}, 3, out={o})",
            "np.divide({o}, 6, out={o})",
            "np.maximum({o}, 0, out={o})",
            "np.minimum({o}, 1, out={o})",
        ),
        overwrites=(0,),
        c="hard_sigmoid",
        definition="real hard_sigmoid(real v) { return clip((v + 3) / 6, 0, 1); }",
        needs=(Clip,),
        cost=4,
        onnx="Min(Max(Div(Add({0}, 3), 6), 0), 1)",
    )

    def defined(self) -> Expr:
        return Clip(self.args[0] / 6 + sympy.Rational(1, 2), 0, 1)

    def derivative(self, k: int) -> Expr:
        return Greater(self.args[0], -3) * Greater(3, self.args[0]) / 6


class HardTanh(Elementwise):
    """clip(v, -1, 1); derivative 0 at the two corners, as in PyTorch."""

    text, nargs = "hard_tanh", 1
    row = Row(
        exact=lambda v: v * 0 - 1 if real(v) <= -1 else v * 0 + 1 if real(v) >= 1 else v,
        torch="torch.nn.functional.hardtanh({0})",
        numpy=("np.maximum({0}, -1, out={o})", "np.minimum({o}, 1, out={o})"),
        overwrites=(0,),
        c="hard_tanh",
        definition="real hard_tanh(real v) { return clip(v, -1, 1); }",
        needs=(Clip,),
        cost=2,
        onnx="Min(Max({0}, -1), 1)",
    )

    def defined(self) -> Expr:
        return Clip(self.args[0], -1, 1)

    def derivative(self, k: int) -> Expr:
        return Greater(self.args[0], -1) * Greater(1, self.args[0])


class Floor(Elementwise):
    """The largest integer that is not above v; derivative 0."""

    text, nargs = "floor", 1
    row = Row(lambda v: mpmath.floor(real(v)), "torch.floor({0})", called("floor"), (0,), c="floor", native=sympy.floor,
              onnx="Floor({0})")  # fmt: skip

    def derivative(self, k: int) -> Expr:
        return Integer(0)


def _exact_mod(a: Any, b: Any) -> Any:
    rest = real(a) % real(b)
    return rest + (a - real(a)) + (b - real(b)) * (rest - real(a)) / real(b)


class Mod(Elementwise):
    """a - b⌊a/b⌋, which has the sign of b; its derivative by b is -⌊a/b⌋ = (mod(a, b) - a)/b, as torch.remainder's."""

    text, nargs = "mod", 2
    row = Row(
        exact=_exact_mod,
        torch="torch.remainder({0}, {1})",
        numpy=called("remainder", 2),
        overwrites=(0, 1),
        c="mod",
        definition="""real mod(real a, real b) {
    const real r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}""",
        cost=TRANSCENDENTAL,
        native=sympy.Mod,
        onnx="Sub({0}, Mul({1}, Floor(Div({0}, {1}))))",
    )

    def defined(self) -> Expr:
        value, divisor = self.args
        return value - divisor * Floor(value / divisor)

    def derivative(self, k: int) -> Expr:
        value, divisor = self.args
        return Integer(1) if k == 0 else (self - value) / divisor
