"""SymPy's sums and products as people compute them: signs apart from terms, divisors apart from factors."""

from __future__ import annotations

import sympy
from sympy import Expr


def fraction(expr: sympy.Mul) -> tuple[Expr, list[Expr], list[Expr]]:
    """A product as its numeric factor, the other factors, and what it is divided by (positive powers)."""
    factor, rest = expr.as_coeff_Mul()
    above: list[Expr] = []
    below: list[Expr] = []
    for part in sympy.Mul.make_args(rest):
        inverse = isinstance(part, sympy.Pow) and part.exp.is_number and part.exp.is_negative
        (below if inverse else above).append(1 / part if inverse else part)
    return factor, above, below


def signed_terms(expr: sympy.Add) -> list[tuple[bool, Expr]]:
    """The terms of a sum, each with whether it is subtracted."""
    negative = [bool(term.as_coeff_Mul()[0].is_negative) for term in expr.args]
    return [(minus, -term if minus else term) for minus, term in zip(negative, expr.args, strict=True)]
