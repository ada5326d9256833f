"""The functions over the units of one sample, and the base that they share with those of one unit."""

from __future__ import annotations

from typing import Any, ClassVar

import sympy
from sympy import Expr

from symcell.symbolic.typeset import latex

NORM_EPSILON = 1e-5
"""Added under the root of both norms' denominators."""


class UnitFunction(sympy.Function):
    """Base of all functions: knows its name in the language and in LaTeX, never simplifies itself."""

    text: ClassVar[str]
    tex: ClassVar[str] = ""
    _latex = latex

    @classmethod
    def eval(cls, *args: Expr) -> None:
        return None

    def _sympystr(self, printer: Any) -> str:
        return f"{self.text}({', '.join(printer._print(a) for a in self.args)})"


class OverUnits(UnitFunction):
    """A function over all units of one sample; the lowering defines it by sums and maxima.

    ``to_one``: its result is one value, not a vector. ``torch``: PyTorch's counterpart on the last axis, an expression
    of the tensors {0}, {1}, …: a part for each argument, of which those of missing arguments are left out.
    """

    to_one: ClassVar[bool] = True
    torch: ClassVar[tuple[str, ...]]


class UnitSum(OverUnits):
    text, nargs = "sum", 1
    torch = ("{0}.sum(-1, keepdim=True)",)


class UnitMean(OverUnits):
    text, nargs = "mean", 1
    torch = ("{0}.mean(-1, keepdim=True)",)


class UnitVar(OverUnits):
    """The mean squared distance from the mean (divided by the count)."""

    text, nargs = "var", 1
    torch = ("{0}.var(-1, correction=0, keepdim=True)",)


class UnitMax(OverUnits):
    text, tex, nargs = "max", r"\max", 1
    torch = ("{0}.amax(-1, keepdim=True)",)


class UnitNorm(OverUnits):
    """The Euclidean norm: the root of the sum of squares (in float32 that overflows from 1e19 on, as in PyTorch)."""

    text, nargs = "norm", 1
    torch = ("torch.linalg.vector_norm({0}, dim=-1, keepdim=True)",)


class Softmax(OverUnits):
    text, nargs, to_one = "softmax", 1, False
    torch = ("torch.softmax({0}, -1)",)


class Dot(OverUnits):
    text, nargs = "dot", 2
    torch = ("({0} * ", "{1}).sum(-1, keepdim=True)")


class LayerNorm(OverUnits):
    """``layernorm(v, gain, bias)``: (v - mean)/sqrt(var + 1e-5) * gain + bias (Ba, Kiros & Hinton 2016)."""

    text, tex, nargs = "layernorm", r"\operatorname{LayerNorm}", (1, 2, 3)
    to_one = False
    torch = (f"torch.nn.functional.layer_norm({{0}}, {{0}}.shape[-1:], eps={NORM_EPSILON})", " * {1}", " + {2}")


class RmsNorm(OverUnits):
    """``rmsnorm(v, gain)``: v/sqrt(mean(v^2) + 1e-5) * gain (Zhang & Sennrich 2019)."""

    text, tex, nargs = "rmsnorm", r"\operatorname{RMSNorm}", (1, 2)
    to_one = False
    torch = (f"torch.nn.functional.rms_norm({{0}}, {{0}}.shape[-1:], eps={NORM_EPSILON})", " * {1}")


OVER_UNITS: dict[str, type[OverUnits]] = {
    c.text: c for c in (UnitSum, UnitMean, UnitVar, UnitMax, UnitNorm, Softmax, Dot, LayerNorm, RmsNorm)
}
"""The language's functions over the units of one sample, by name."""
