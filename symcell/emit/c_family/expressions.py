"""SymPy bodies as C expressions over one unit, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sympy
from sympy import Expr

from symcell.symbolic.functions import Detached, Elementwise, Predicate, Where
from symcell.symbolic.nodes import At, Constant, Count, Param
from symcell.symbolic.ordering import Order, factors, terms

Atom = At | Param | Constant | Count

ADD, SUBTRACT, MULTIPLY, UNARY = 1, 2, 3, 4
"""How tightly the place of an expression binds; SUBTRACT is the place behind a minus sign."""


def number(expr: Expr) -> str:
    """A number as a C literal of type ``real``; a small integer stays one, which converts exactly."""
    if expr.is_Integer and abs(int(expr)) < 2**23:
        return str(int(expr))
    return f"(real){float(expr)!r}"


class CPrinter:
    """Writes one body. ``operand`` says what an atom is called in the code; ``order``: the operands as on the page."""

    def __init__(self, operand: Callable[[Atom], str], order: Iterable[At | Param] = ()) -> None:
        self._operand, self._order = operand, Order(tuple(order))

    def text(self, expr: Expr, level: int = 0) -> str:
        """``expr`` in C, in brackets where it binds less tightly than ``level``."""
        if isinstance(expr, Atom):
            return self._operand(expr)
        if isinstance(expr, Elementwise):
            return self._call(expr, level)
        if not expr.has(Elementwise, At, Param, Constant, Count):
            text = number(expr)
            return f"({text})" if text.startswith("-") and level >= SUBTRACT else text
        if isinstance(expr, sympy.Add):
            return _bracket(self._sum(expr), level > ADD)
        if isinstance(expr, sympy.Mul):
            return _bracket(self._product(expr), level > MULTIPLY)
        return self._power(expr, level)

    def _call(self, expr: Elementwise, level: int) -> str:
        if isinstance(expr, Where):
            return self._choice(*expr.args)
        if isinstance(expr, Detached):
            return self.text(expr.args[0], level)
        form = expr.row.c
        if "{" in form:
            return form.format(*(self.text(a, UNARY) for a in expr.args))
        return f"{form}({', '.join(map(self._argument, expr.args))})"

    def _argument(self, expr: Expr) -> str:
        """An argument of a function: an integer would leave the choice between float and double open."""
        text = self.text(expr)
        return f"(real){text}" if expr.is_Integer and not text.startswith("(real)") else text

    def _choice(self, condition: Expr, then: Expr, otherwise: Expr) -> str:
        if isinstance(condition, Predicate):
            left, right = (self.text(a, UNARY) for a in condition.args)
            test = f"{left} {condition.operator} {right}"
        else:
            test = f"{self.text(condition, UNARY)} != 0"
        return f"({test} ? {self._argument(then)} : {self._argument(otherwise)})"

    def _sum(self, expr: sympy.Add) -> str:
        out = ""
        for minus, term in terms(expr, self._order):
            text = self.text(term, SUBTRACT if minus else ADD)
            sign = (" - " if minus else " + ") if out else ("-" if minus else "")
            out += sign + text
        return out

    def _product(self, expr: sympy.Mul) -> str:
        factor, above, below = factors(expr, self._order)
        minus, factor = bool(factor.is_negative), abs(factor)
        # without a factor above the line, 1 / 2 would be a division of integers
        top, bottom = factor.as_numer_denom() if factor.is_Rational and above else (factor, sympy.Integer(1))
        over = [*([] if top == 1 and above else [top]), *above]
        under = [*([] if bottom == 1 else [bottom]), *below]
        out = " * ".join(self.text(a, MULTIPLY) for a in over)
        out += "".join(f" / {self.text(b, UNARY)}" for b in under)
        return f"-{out}" if minus else out

    def _power(self, expr: Expr, level: int) -> str:
        base, exponent = expr.args
        if exponent.is_number and exponent.is_negative:
            return _bracket(f"1 / {self.text(base**-exponent, UNARY)}", level >= MULTIPLY)
        if exponent in (2, 3, 4):
            # compilers compute the base once, and have no better pow
            return _bracket(" * ".join([self.text(base, UNARY)] * int(exponent)), level >= MULTIPLY)
        if exponent.is_number and float(exponent) == 0.5:
            return f"sqrt({self._argument(base)})"
        return f"pow({self._argument(base)}, {self._argument(exponent)})"


def _bracket(text: str, needed: bool) -> str:
    return f"({text})" if needed else text
