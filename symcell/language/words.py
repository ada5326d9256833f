"""What has one word in the cell language: names, values in time, numbers; and the error where there is none."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr
from sympy.core.function import AppliedUndef

from symcell.cell import CellError
from symcell.language.names import FUNCTIONS, is_identifier
from symcell.symbolic.nodes import At, Constant, Node

SUM, TERM, POWER, ATOM = range(4)
Printed = tuple[str, int]
"""A text, and how tightly what it holds together binds."""


def constants_in(expr: Expr) -> dict[str, str]:
    """The named numbers of an expression in order of appearance, each with its value in the cell language."""
    found = (part for part in sympy.preorder_traversal(expr) if isinstance(part, Constant))
    return {name_text(constant.name, constant): number_text(constant.value)[0] for constant in found}


def no_word(expr: object) -> CellError:
    text = str(expr)
    text = text if len(text) <= 80 else text[:79] + "…"
    hint = "; a product with a matrix is symcell.MatVec(W, v)" if isinstance(expr, sympy.MatrixExpr) else ""
    return CellError(f"the cell language has no word for {text} ({type(expr).__name__}){hint}")


def time_read(expr: Any) -> tuple[str, int] | None:
    """The name and lag of ``At``, ``Function('h')(t-1)`` or ``IndexedBase('h')[t-1]``; None for anything else.

    Raises CellError where the index is no earlier time.
    """
    if isinstance(expr, At):
        if expr.axis is not None:
            raise no_word(expr)
        name, lag = expr.signal, expr.lag
    elif isinstance(expr, sympy.Indexed) and len(expr.indices) == 1:
        name, lag = str(expr.base.label), _lag(expr.indices[0], expr)
    elif isinstance(expr, AppliedUndef) and len(expr.args) == 1 and expr.func.__name__ not in FUNCTIONS:
        name, lag = expr.func.__name__, _lag(expr.args[0], expr)
    else:
        return None
    if lag < 0:
        raise CellError(f"{expr} reads the future: write the equation one step earlier")
    return name_text(name, expr), lag


def _lag(index: Expr, expr: object) -> int:
    times = [s for s in index.free_symbols if isinstance(s, sympy.Symbol) and s.name == "t"]
    if len(times) == 1 and isinstance(lag := sympy.expand(times[0] - index), sympy.Integer):
        return int(lag)
    raise CellError(f"{expr}: the index of a name is t or t minus a whole number")


def name_text(name: str, expr: object) -> str:
    if is_identifier(name):
        return name
    raise CellError(f"{name[:80]!r} cannot be a name in the cell language: use letters, digits and _")


def wrapped(printed: Printed, least: int) -> str:
    text, level = printed
    return text if level >= least else f"({text})"


def is_literal(expr: Expr) -> bool:
    """Whether an expression is a number that is written as one, no function or sum of numbers."""
    return bool(expr.is_number) and not expr.has(sympy.Function, Node)


def number_text(expr: Expr) -> Printed:
    """A constant; a negative one and a fraction bind as loosely as what they are written with."""
    if not expr.is_finite or not expr.is_real:
        raise no_word(expr)
    match expr:
        case sympy.Integer():
            text, level = str(abs(int(expr))), ATOM
        case sympy.Rational():
            text, level = f"{abs(int(expr.p))}/{int(expr.q)}", TERM
        case sympy.Float() | sympy.NumberSymbol() if expr != sympy.pi:
            text, level = repr(abs(float(expr))), ATOM
        case _:
            coefficient, rest = expr.as_coeff_Mul()
            if rest != sympy.pi:
                text, level = repr(abs(float(expr))), ATOM
            elif abs(coefficient) == 1:
                text, level = "pi", ATOM
            else:
                text, level = f"{number_text(abs(coefficient))[0]}*pi", TERM
    return (f"-{text}", SUM) if expr.is_negative else (text, level)
