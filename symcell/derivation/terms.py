"""Sums of products of operators as people write them: what all products end in stands behind the sum, diagonals with
the same factors behind them are one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import sympy
from sympy import Expr

from symcell.derivation.nodes import IDENTITY, Chain, Diagonal, Vec
from symcell.symbolic.nodes import Hadamard, Minus, Sum


@dataclass(frozen=True)
class Term:
    """``scale``: a number, as SymPy has it; ``factors``: of a product, from the left."""

    scale: Expr
    factors: tuple[Expr, ...]


def summed(terms: Sequence[Term], arrange: Callable[[Expr], Expr], one: Expr = IDENTITY) -> Expr:
    """The sum, written out. ``one``: an empty product."""
    tail = _common([term.factors for term in terms]) if len(terms) > 1 else ()
    heads = [Term(t.scale, t.factors[: len(t.factors) - len(tail)]) for t in terms]
    written = [_product(term, arrange, IDENTITY if tail else one) for term in _gathered(heads, arrange)]
    whole = _sum(written)
    return Chain(whole, *tail) if tail else whole


def _common(products: Iterable[tuple[Expr, ...]]) -> tuple[Expr, ...]:
    """The factors that all products end in."""
    tail: tuple[Expr, ...] = ()
    for last in zip(*(reversed(product) for product in products), strict=False):
        if len(set(last)) > 1:
            break
        tail = (last[0], *tail)
    return tail


def _gathered(terms: Iterable[Term], arrange: Callable[[Expr], Expr]) -> list[Term]:
    groups: dict[tuple[object, ...], list[Term]] = {}
    for k, term in enumerate(terms):
        key = ("diagonal", *term.factors[1:]) if _is_diagonal(term.factors[:1]) else (k,)
        groups.setdefault(key, []).append(term)
    return [group[0] if len(group) == 1 else _one(group, arrange) for group in groups.values()]


def _one(group: Sequence[Term], arrange: Callable[[Expr], Expr]) -> Term:
    inner = _sum([_signed(t.scale, partial(times, right=t.factors[0].args[0]), arrange) for t in group])
    return Term(sympy.Integer(1), (Diagonal(inner), *group[0].factors[1:]))


def _is_diagonal(first: tuple[Expr, ...]) -> bool:
    return bool(first) and isinstance(first[0], Diagonal) and not isinstance(first[0].args[0], Vec)


def _product(term: Term, arrange: Callable[[Expr], Expr], one: Expr) -> Expr:
    """A product with its numbers in front, or within a diagonal that it begins with."""

    def written(scale: Expr) -> Expr:
        factors = term.factors or (() if one == 1 else (one,))
        if scale != 1 and _is_diagonal(factors[:1]):
            factors = (Diagonal(times(scale, factors[0].args[0])), *factors[1:])
        elif scale != 1:
            factors = (scale, *factors)
        return Chain(*factors) if len(factors) > 1 else factors[0] if factors else sympy.Integer(1)

    return _signed(term.scale, written, arrange)


def _signed(scale: Expr, written: Callable[[Expr], Expr], arrange: Callable[[Expr], Expr]) -> Expr:
    """What is written for a positive scale, under a :class:`Minus` for a negative one."""
    negative = bool(scale.as_coeff_Mul()[0].is_negative)
    whole = written(arrange(-scale if negative else scale))
    return Minus(whole) if negative else whole


def times(left: Expr, right: Expr) -> Expr:
    """Two elementwise expressions as one product."""
    parts = [a for e in (left, right) for a in (e.args if isinstance(e, Hadamard) else (e,)) if a != 1]
    return sympy.Integer(1) if not parts else parts[0] if len(parts) == 1 else Hadamard(*parts)


def _sum(terms: list[Expr]) -> Expr:
    if isinstance(terms[0], Minus):
        first = next((t for t in terms if not isinstance(t, Minus)), terms[0])
        terms = [first, *(t for t in terms if t is not first)]
    return terms[0] if len(terms) == 1 else Sum(*terms)
