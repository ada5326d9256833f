"""From SymPy's own sums and products, which have no order, to written ones in the order a textbook would choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy
from sympy import Expr

from symcell.derivation.nodes import Bar, Cotangent, Delta, Gradient, GradientOf, Last, Outer, Total
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Hadamard, Minus, Param, Quotient, Sum

Ranks = Mapping[str, int]
"""Where each name stands in the text it is compared with."""

_GRADIENTS = (Cotangent, Gradient, GradientOf, Total, Outer)


def arranged(expr: Expr, ranks: Ranks) -> Expr:
    """``expr`` with its sums, products and quotients written out in order: cotangents first, sums last."""
    if isinstance(expr, sympy.MatrixExpr) or not expr.args:
        return expr
    if isinstance(expr, sympy.Add):
        return _sum(expr, ranks)
    if isinstance(expr, sympy.Mul):
        return _product(expr, ranks)
    if isinstance(expr, sympy.Pow):
        base, exponent = expr.args
        if exponent.is_number and exponent.is_negative:
            return Quotient(sympy.Integer(1), arranged(base ** (-exponent), ranks))
        return sympy.Pow(arranged(base, ranks), arranged(exponent, ranks), evaluate=False)
    return expr.func(*(arranged(a, ranks) for a in expr.args))


def _sum(expr: Expr, ranks: Ranks) -> Expr:
    numbers = [a for a in expr.args if a.is_number]
    terms = sorted((a for a in expr.args if not a.is_number), key=lambda a: term_key(a, ranks))
    if any(_negative(a) for a in terms):
        positive = [a for a in terms if not _negative(a)]
        terms = [*numbers, *terms] if numbers or not positive or not _negative(terms[0]) else _positive_first(terms)
    else:
        terms = [*terms, *numbers]
    return Sum(*(Minus(arranged(-a, ranks)) if _negative(a) else arranged(a, ranks) for a in terms))


def _positive_first(terms: list[Expr]) -> list[Expr]:
    first = next(a for a in terms if not _negative(a))
    return [first, *(a for a in terms if a is not first)]


def _negative(term: Expr) -> bool:
    return bool(term.as_coeff_Mul()[0].is_negative)


def _product(expr: Expr, ranks: Ranks) -> Expr:
    coefficient, rest = expr.as_coeff_Mul()
    if coefficient.is_Float and abs(coefficient) == 1:
        coefficient = sympy.Integer(coefficient)
    if coefficient.is_negative:
        return Minus(arranged(-expr, ranks))
    above: list[Expr] = []
    below: list[Expr] = []
    for factor in sorted(sympy.Mul.make_args(rest), key=lambda a: factor_key(a, ranks)):
        inverse = isinstance(factor, sympy.Pow) and factor.args[1].is_number and factor.args[1].is_negative
        (below if inverse else above).append(1 / factor if inverse else factor)
    rational = coefficient.is_Rational
    numerator, denominator = coefficient.as_numer_denom() if rational else (coefficient, sympy.Integer(1))
    top = _flat([*([numerator] if numerator != 1 else []), *(arranged(a, ranks) for a in above)])
    bottom = _flat([*([denominator] if denominator != 1 else []), *(arranged(a, ranks) for a in below)])
    return Quotient(top, bottom) if bottom != 1 else top


def _flat(factors: list[Expr]) -> Expr:
    if len(factors) < 2:
        return factors[0] if factors else sympy.Integer(1)
    return Hadamard(*(b for a in factors for b in (a.args if isinstance(a, Hadamard) else (a,))))


def names_in(expr: Any) -> list[str]:
    """The names in an expression, in the order in which they are written."""
    out: list[str] = []
    for part in sympy.preorder_traversal(expr):
        if isinstance(part, At):
            out.append(part.signal)
        elif isinstance(part, Cotangent | Gradient):
            out.append(part.value)
        elif isinstance(part, Param):
            out.append(part.signal)
        elif isinstance(part, sympy.MatrixSymbol):
            out.append(str(part.name))
    return out


def _place(expr: Any, ranks: Ranks) -> int:
    return min((ranks.get(n, len(ranks)) for n in names_in(expr)), default=-1)


def term_key(term: Expr, ranks: Ranks) -> tuple[Any, ...]:
    """What arrives from outside, then this step, then later ones; within those, as the names stand in the text."""
    outside = bool(term.atoms(Bar)) and not term.atoms(Delta)
    last = bool(term.atoms(Last))
    reach = max((-a.lag for a in term.atoms(Cotangent)), default=0)
    where = (_place_of_cotangent(term, ranks), _place(term, ranks))
    return (last, not outside, reach, *where, not term.is_Atom, sympy.srepr(term))


def _place_of_cotangent(expr: Expr, ranks: Ranks) -> int:
    return min((ranks.get(a.value, len(ranks)) for a in expr.atoms(Cotangent)), default=-1)


def factor_key(factor: Expr, ranks: Ranks) -> tuple[Any, ...]:
    """The cotangent, then plain factors as they stand in the text, comparisons, and sums."""
    carries = any(isinstance(p, _GRADIENTS) for p in sympy.preorder_traversal(factor))
    kind = (isinstance(factor, sympy.Add), isinstance(factor, fn.Predicate))
    return (not carries, *kind, _place(factor, ranks), sympy.srepr(factor))
