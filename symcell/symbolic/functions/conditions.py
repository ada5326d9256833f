"""Comparisons and the choice between two values, and a value held constant; none depends on its condition smoothly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import mpmath
from sympy import Expr, Integer

from symcell.symbolic.functions.table import Elementwise, Row, called, real


class Predicate(Elementwise):
    """A comparison: 1 where it holds, else 0; its derivative is 0. ``operator``: its sign in C and PyTorch."""

    nargs, spoken = 2, False
    sign: ClassVar[str]
    operator: ClassVar[str]

    def derivative(self, k: int) -> Expr:
        return Integer(0)


def _compared(ufunc: str, operator: str, onnx: str, holds: Callable[[Any, Any], bool]) -> Row:
    return Row(
        exact=lambda u, v: mpmath.mpf(1) if holds(real(u), real(v)) else mpmath.mpf(0),
        torch=f"{{0}} {operator} {{1}}",
        numpy=called(ufunc, 2),
        overwrites=(0, 1),
        c=f"(real)({{0}} {operator} {{1}})",
        onnx=f"Number({onnx})",
    )


class Greater(Predicate):
    text, sign, operator = "greater", ">", ">"
    row = _compared("greater", ">", "Greater({0}, {1})", lambda u, v: u > v)


class GreaterEqual(Predicate):
    text, sign, operator = "greater_equal", r"\ge", ">="
    row = _compared("greater_equal", ">=", "GreaterOrEqual({0}, {1})", lambda u, v: u >= v)


class Less(Predicate):
    text, sign, operator = "less", "<", "<"
    row = _compared("less", "<", "Less({0}, {1})", lambda u, v: u < v)


class LessEqual(Predicate):
    text, sign, operator = "less_equal", r"\le", "<="
    row = _compared("less_equal", "<=", "LessOrEqual({0}, {1})", lambda u, v: u <= v)


class Equal(Predicate):
    text, sign, operator = "equal", "=", "=="
    row = _compared("equal", "==", "Equal({0}, {1})", lambda u, v: u == v)


class NotEqual(Predicate):
    text, sign, operator = "not_equal", r"\ne", "!="
    row = _compared("not_equal", "!=", "Not(Equal({0}, {1}))", lambda u, v: u != v)


class Where(Elementwise):
    """``where(condition, then, otherwise)``: the condition is a :class:`Predicate` (or a product of them)."""

    text, nargs = "where", 3
    row = Row(
        exact=lambda c, u, v: u if c != 0 else v,
        torch="torch.where({0} != 0, {1}, {2})",
        numpy=(
            "np.not_equal({0}, 0, out={m})",
            "np.copyto({o}, {2})",
            "np.copyto({o}, {1}, where={m})",
        ),
        c="({0} != 0 ? {1} : {2})",
        onnx="Where(Not(Equal({0}, 0)), {1}, {2})",
    )

    def derivative(self, k: int) -> Expr:
        condition = self.args[0]
        return (Integer(0), condition, 1 - condition)[k]


class Detached(Elementwise):
    """Its argument, held constant under differentiation (the shift inside a softmax, on which nothing depends)."""

    text, nargs, spoken = "detached", 1, False
    row = Row(lambda v: v, "{0}.detach()", ("np.copyto({o}, {0})",), (0,), c="{0}", cost=0, onnx="{0}")

    def derivative(self, k: int) -> Expr:
        return Integer(0)

