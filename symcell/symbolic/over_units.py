"""The functions over the units of one sample, and the base that they share with those of one unit."""

from __future__ import annotations

from typing import Any, ClassVar

import sympy
from sympy import Expr


class UnitFunction(sympy.Function):
    """Base of all functions: knows its name in the language and in LaTeX, never simplifies itself."""

    text: ClassVar[str]
    tex: ClassVar[str] = ""

    @classmethod
    def eval(cls, *args: Expr) -> None:
        return None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        name = self.tex or rf"\operatorname{{{self.text}}}".replace("_", r"\_")
        body = rf"{name}\left({', '.join(printer._print(a) for a in self.args)}\right)"
        return body if exp is None else rf"{body}^{{{exp}}}"

    def _sympystr(self, printer: Any) -> str:
        return f"{self.text}({', '.join(printer._print(a) for a in self.args)})"


class OverUnits(UnitFunction):
    """A function over all units of one sample."""


class UnitSum(OverUnits):
    text, nargs = "sum", 1


class UnitMean(OverUnits):
    text, nargs = "mean", 1


class UnitVar(OverUnits):
    """The mean squared distance from the mean (divided by the count)."""

    text, nargs = "var", 1


class UnitMax(OverUnits):
    text, tex, nargs = "max", r"\max", 1


class UnitNorm(OverUnits):
    """The Euclidean norm."""

    text, nargs = "norm", 1

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\left\|{printer._print(self.args[0])}\right\|"
        return body if exp is None else rf"{body}^{{{exp}}}"


class Softmax(OverUnits):
    text, nargs = "softmax", 1


class Dot(OverUnits):
    text, nargs = "dot", 2


class LayerNorm(OverUnits):
    """``layernorm(v, gain, bias)``: (v - mean)/sqrt(var + 1e-5) * gain + bias (Ba, Kiros & Hinton 2016)."""

    text, tex, nargs = "layernorm", r"\operatorname{LayerNorm}", (1, 2, 3)


class RmsNorm(OverUnits):
    """``rmsnorm(v, gain)``: v/sqrt(mean(v^2) + 1e-5) * gain (Zhang & Sennrich 2019)."""

    text, tex, nargs = "rmsnorm", r"\operatorname{RMSNorm}", (1, 2)


NORM_EPSILON = 1e-5

OVER_UNITS: dict[str, type[OverUnits]] = {
    c.text: c for c in (UnitSum, UnitMean, UnitVar, UnitMax, UnitNorm, Softmax, Dot, LayerNorm, RmsNorm)
}
"""The language's functions over the units of one sample, by name."""
