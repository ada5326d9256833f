"""From SymPy's own sums and products, which have no order, to written ones in the order a textbook would choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import sympy
from sympy import Expr

from symcell.derivation.nodes import (
    Above,
    Bar,
    Cotangent,
    Delta,
    Gradient,
    GradientOf,
    Inner,
    Last,
    Outer,
    Pullback,
    Scaled,
    Total,
)
from symcell.derivation.sizes import is_scalar, size_of
from symcell.graph import Graph
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Hadamard, MatVec, Minus, OuterProduct, Param, Quotient, Sum


def _unknown(expr: Expr) -> None:
    return None


class Ranks(dict[str, int]):
    """Where each name stands in the text it is compared with.

    ``is_scalar``: whether an expression is the same for all units; ``size``: how many units it has, None where unknown.
    ``text``: whether the names are in the order of an equation that its user wrote.
    """

    def __init__(
        self,
        names: Iterable[str],
        is_scalar: Callable[[Expr], bool] = lambda e: bool(e.is_number),
        size: Callable[[Expr], Expr | None] = _unknown,
        text: bool = False,
    ) -> None:
        super().__init__({name: k for k, name in enumerate(dict.fromkeys(names))})
        self.is_scalar, self.size, self.text = is_scalar, size, text

    @classmethod
    def of(cls, names: Iterable[str], graph: Graph, text: bool = False) -> Ranks:
        """Of names in expressions over the values of a graph."""
        return cls(names, lambda e: bool(e.is_number) or is_scalar(graph, e), lambda e: size_of(graph, e), text)


_GRADIENTS = (Cotangent, Gradient, GradientOf, Total, Outer, Pullback)
_PRODUCTS = (MatVec, Outer, OuterProduct)


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
        if isinstance(base, fn.Sqrt) and exponent.is_odd:  # not a root with an exponent beside it
            base, exponent = base.args[0], exponent / 2
        return sympy.Pow(arranged(base, ranks), arranged(exponent, ranks), evaluate=False)
    if isinstance(expr, fn.UnitSum) and (inner := _inner(expr.args[0], ranks)) is not None:
        return arranged(inner, ranks)
    args = [arranged(a, ranks) for a in expr.args]
    if isinstance(expr, Hadamard):
        return _scaled(args, ranks)
    if isinstance(expr, fn.Dot):
        return Inner(*args)
    if isinstance(expr, Total) and isinstance(args[0], Minus):
        return Minus(Total(args[0].args[0]))
    return _outside(expr.func, args, ranks) if isinstance(expr, _PRODUCTS) else expr.func(*args)


def _inner(expr: Expr, ranks: Ranks) -> Expr | None:
    """The sum over units of a product of two values (beside numbers) as an inner product; None for any other."""
    factors = sympy.Mul.make_args(expr)
    same = [a for a in factors if ranks.is_scalar(a)]
    others = [a for a in factors if a not in same]
    if len(others) == 1 and isinstance(others[0], sympy.Pow) and others[0].args[1] == 2:
        others = [others[0].args[0]] * 2
    if len(others) < 2 or any(isinstance(a, sympy.Pow) for a in others):
        return None
    first, *rest = sorted(others, key=lambda a: factor_key(a, ranks))
    if len(rest) > 1 and not first.atoms(Cotangent):
        return None
    return sympy.Mul(*same) * Inner(first, sympy.Mul(*rest))


def _outside(kind: Any, args: list[Expr], ranks: Ranks) -> Expr:
    """A product of a matrix or of two vectors, with signs and numbers of its factors in front of it."""
    scalars: list[Expr] = []
    negative, inner = False, []
    for arg in args:
        if isinstance(arg, Minus):
            negative, arg = not negative, arg.args[0]
        if isinstance(arg, Scaled) and not (kind is MatVec and ranks.is_scalar(arg)):
            *front, arg = arg.args
            scalars += front
        inner.append(arg)
    made = _scaled([*scalars, kind(*inner)], ranks)
    return Minus(made) if negative else made


def _ties(expr: Expr) -> Expr:
    """A sum with halves of u > v and u ≥ v as one."""
    found = [g for g in expr.atoms(fn.Greater) if g / 2 in expr.args and fn.GreaterEqual(*g.args) / 2 in expr.args]
    return expr + sum((Above(*g.args) - g / 2 - fn.GreaterEqual(*g.args) / 2 for g in found), sympy.Integer(0))


def _sum(expr: Expr, ranks: Ranks) -> Expr:
    if not isinstance(expr := _ties(expr), sympy.Add):
        return arranged(expr, ranks)
    numbers = [Minus(-a) if a.is_negative else a for a in expr.args if a.is_number]
    terms = sorted((a for a in expr.args if not a.is_number), key=lambda a: term_key(a, ranks))
    written = [arranged(a, ranks) for a in terms]
    if not any(isinstance(a, Minus) for a in written):
        return Sum(*written, *numbers)
    first = [] if numbers else [a for a in written if not isinstance(a, Minus)][:1]
    return Sum(*numbers, *first, *(a for a in written if a not in first))


def _minus(expr: Expr) -> Expr:
    return expr.args[0] if isinstance(expr, Minus) else Minus(expr)


def _product(expr: Expr, ranks: Ranks) -> Expr:
    expr = _mean(expr, ranks)
    if not isinstance(expr, sympy.Mul):
        return arranged(expr, ranks)
    coefficient, rest = expr.as_coeff_Mul()
    if coefficient.is_Float and abs(coefficient) == 1:
        coefficient = sympy.Integer(coefficient)
    if coefficient.is_negative:
        return _minus(arranged(-expr, ranks))
    above: list[Expr] = []
    below: list[Expr] = []
    for factor in sorted(sympy.Mul.make_args(rest), key=lambda a: factor_key(a, ranks)):
        inverse = isinstance(factor, sympy.Pow) and factor.args[1].is_number and factor.args[1].is_negative
        (below if inverse else above).append(1 / factor if inverse else factor)
    rational = coefficient.is_Rational
    numerator, denominator = coefficient.as_numer_denom() if rational else (coefficient, sympy.Integer(1))
    top = _scaled([*([numerator] if numerator != 1 else []), *(arranged(a, ranks) for a in above)], ranks)
    bottom = _scaled([*([denominator] if denominator != 1 else []), *(arranged(a, ranks) for a in below)], ranks)
    return Quotient(top, bottom) if bottom != 1 else top


def _mean(expr: Expr, ranks: Ranks) -> Expr:
    """A product in which a sum over units divided by their number is a mean."""
    for total in expr.args:
        for count in expr.args if isinstance(total, fn.UnitSum) else ():
            if isinstance(1 / count, Count) and (1 / count).size.symbol() == ranks.size(total.args[0]):
                return expr / total / count * fn.UnitMean(total.args[0])
    return expr


def _scaled(factors: list[Expr], ranks: Ranks) -> Expr:
    """A product in this order, but for the factors that are the same for all units: these come first."""
    flat = [b for a in factors for b in (a.args if isinstance(a, Hadamard) else (a,))]
    same = [a for a in flat if ranks.is_scalar(a)]
    others = [a for a in flat if a not in same]
    if not same or len(flat) < 2:
        return Hadamard(*flat) if len(flat) > 1 else flat[0] if flat else sympy.Integer(1)
    numbers = [a for a in same if a.is_number]
    same = [*numbers, *(a for a in same if not a.is_number)]
    return Scaled(*same, *([Hadamard(*others) if len(others) > 1 else others[0]] if others else []))


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


def _last_place(expr: Any, ranks: Ranks) -> int:
    """Where a term ends: terms of a text may share names that stood before them all, the z of z + tanh(W y + U z)."""
    return max((ranks.get(n, len(ranks)) for n in names_in(expr)), default=-1)


def term_key(term: Expr, ranks: Ranks) -> tuple[Any, ...]:
    """What arrives from outside, then this step, then later ones; within those, as the names stand in the text."""
    outside = bool(term.atoms(Bar)) and not term.atoms(Delta)
    last = bool(term.atoms(Last))
    reach = max((-a.lag for a in term.atoms(Cotangent)), default=0)
    own = _last_place(term, ranks) if ranks.text else _place(term, ranks)
    where = (_place_of_cotangent(term, ranks), own)
    lag = 0 if term.is_Atom else min((a.lag for a in term.atoms(At)), default=0)
    return (last, not outside, reach, *where, not term.is_Atom, lag, sympy.srepr(term))


def _place_of_cotangent(expr: Expr, ranks: Ranks) -> int:
    return min((ranks.get(a.value, len(ranks)) for a in expr.atoms(Cotangent)), default=-1)


def factor_key(factor: Expr, ranks: Ranks) -> tuple[Any, ...]:
    """The cotangent, then plain factors as they stand in the text (what is fixed first), comparisons, and sums."""
    carries = any(isinstance(p, _GRADIENTS) for p in sympy.preorder_traversal(factor))
    kind = (isinstance(factor, sympy.Add), isinstance(factor, fn.Predicate))
    varies = ranks.text and bool(factor.atoms(At))
    return (not carries, varies, *kind, _place(factor, ranks), sympy.srepr(factor))
