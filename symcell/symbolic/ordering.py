"""One order of terms and factors, for derivations, comments and code: the order of the page.

SymPy's sums and products have no order of their own. A step of the graph records its operands in the order in which the
page has them (:attr:`symcell.graph.Pointwise.order`); whoever writes a body out takes its terms and factors from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge
from itertools import groupby, islice

import sympy
from sympy import Expr, Symbol

from symcell.symbolic.functions.conditions import Predicate, Where
from symcell.symbolic.nodes import Count

Key = tuple[int, ...]

_LENGTH = 8
"""How many operands of an expression are looked at: terms that agree in so many stand as SymPy has them."""


class Order:
    """Where each operand stands on the page. Make one for a body, and hand it to :func:`terms` and :func:`factors`.

    Operands that ``operands`` lacks come last, by name.
    """

    def __init__(self, operands: Sequence[Symbol] = ()) -> None:
        self._places = {operand: k for k, operand in enumerate(operands)}
        self._known: dict[Expr, Key] = {}

    def key(self, expr: Expr) -> Key:
        """The places of an expression's first operands, ascending; ``()`` where it has none, being constant."""
        found = self._known.get(expr)
        if found is None:
            found = self._known[expr] = self._key(expr)
        return found

    def _key(self, expr: Expr) -> Key:
        if expr.args:
            places = merge(*(self.key(a) for a in expr.args))
            return tuple(islice((place for place, _ in groupby(places)), _LENGTH))
        if expr in self._places:
            return (self._places[expr],)
        return (len(self._places),) if hasattr(expr, "signal") else ()


def terms(expr: Expr, order: Order) -> list[tuple[bool, Expr]]:
    """The terms of a sum as (whether it is subtracted, the term without its sign), in the order of the page.

    Constants stand last, but first where the sum would begin with a sign: ``v + 0.5``, ``1 - z``.
    """
    signed = [_unsigned(term) for term in sympy.Add.make_args(expr)]
    varying = sorted((t for t in signed if order.key(t[1])), key=lambda t: order.key(t[1]))
    constant = [t for t in signed if not order.key(t[1])]
    if not varying or not varying[0][0]:
        return [*varying, *constant]
    leading = [t for t in constant if not t[0]]
    return [*leading, *varying, *(t for t in constant if t[0])]


def _unsigned(term: Expr) -> tuple[bool, Expr]:
    negative = bool(term.as_coeff_Mul()[0].is_negative)
    return negative, -term if negative else term


def factors(expr: Expr, order: Order) -> tuple[Expr, list[Expr], list[Expr]]:
    """A product as its number, its other factors, and what it is divided by (as positive powers), in the page's order.

    ``-2*a/b**3`` is ``(-2, [a], [b**3])``. Of factors of the same operands, sums come last: ``z*(1 - z)``.
    """
    number, rest = expr.as_coeff_Mul()
    above: list[Expr] = []
    below: list[Expr] = []
    for part in sorted(sympy.Mul.make_args(rest), key=lambda a: (order.key(a), isinstance(a, sympy.Add))):
        inverse = isinstance(part, sympy.Pow) and part.exp.is_number and part.exp.is_negative
        (below if inverse else above).append(1 / part if inverse else part)
    return number, [] if above == [1] else above, below


def text(expr: Expr, order: Order) -> str:
    """A body as the page would have it: ``f[t]*c[t-1] + i[t]*g[t]``."""
    if isinstance(expr, sympy.Add):
        return _sum_text(expr, order)
    if isinstance(expr, sympy.Float):
        return repr(float(expr))
    if expr.is_number and not expr.has(sympy.Function):
        return str(expr)
    if isinstance(expr, sympy.Mul) or (isinstance(expr, sympy.Pow) and expr.exp.is_number and expr.exp.is_negative):
        return _product_text(expr, order)
    if isinstance(expr, sympy.Pow):
        return f"{_factor_text(expr.base, order, tight=True)}**{_factor_text(expr.exp, order, tight=True)}"
    if isinstance(expr, Where) and isinstance(expr.args[0], Predicate):
        condition, then, otherwise = expr.args
        left, right = (text(a, order) for a in condition.args)
        return f"where({left} {condition.operator} {right}, {text(then, order)}, {text(otherwise, order)})"
    if expr.args:
        name = getattr(expr, "text", type(expr).__name__.lower())
        return f"{name}({', '.join(text(a, order) for a in expr.args)})"
    if isinstance(expr, Count):
        return f"({expr.size})" if len(expr.size.terms) > 1 else str(expr.size)
    return str(expr.name)


def _sum_text(expr: Expr, order: Order) -> str:
    out = ""
    for negative, term in terms(expr, order):
        sign = (" - " if negative else " + ") if out else ("-" if negative else "")
        out += sign + (f"({text(term, order)})" if isinstance(term, sympy.Add) else text(term, order))
    return out


def _product_text(expr: Expr, order: Order) -> str:
    number, above, below = factors(expr, order)
    sign, number = ("-", -number) if number.is_negative else ("", number)
    top, bottom = number.as_numer_denom() if number.is_Rational else (number, sympy.Integer(1))
    upper = [*([] if top == 1 and above else [top]), *above]
    lower = [*([] if bottom == 1 else [bottom]), *below]
    dividend = "*".join(_factor_text(a, order) for a in upper)
    divisor = "*".join(_factor_text(a, order) for a in lower)
    if not lower:
        return sign + dividend
    alone = len(lower) == 1 and not isinstance(lower[0], sympy.Mul)
    return f"{sign}{dividend}/{divisor if alone else f'({divisor})'}"


def _factor_text(expr: Expr, order: Order, *, tight: bool = False) -> str:
    """A factor; ``tight``: as a base or an exponent."""
    loose: tuple[type, ...] = (sympy.Add, sympy.Mul, sympy.Pow) if tight else (sympy.Add,)
    wrapped = isinstance(expr, loose) or (expr.is_Number and (expr.is_negative or (tight and not expr.is_Integer)))
    return f"({text(expr, order)})" if wrapped else text(expr, order)
