"""Products of linear operators as people write them: diagonals merge, scalars go in front, rank one is ``u vᵀ``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import sympy
from sympy import Expr

from symcell.derivation.nodes import IDENTITY, ONES, Chain, Diagonal, Kronecker, Outer, TransposeOf
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import Hadamard, Minus, Quotient

Arrange = Callable[[Expr], Expr]
"""Writes an elementwise expression out in order."""


@dataclass(frozen=True)
class Factor:
    """One operator. ``diagonal`` of a vector, ``column`` (from a number to a vector), ``row`` (back), or ``matrix``;
    ``parts``: the factors of the expression in the order in which they were met."""

    kind: Literal["diagonal", "column", "row", "matrix"]
    parts: tuple[Expr, ...]

    @property
    def expr(self) -> Expr:
        return sympy.Mul(*self.parts)


def merged(factors: Iterable[Factor]) -> tuple[tuple[Expr, ...], tuple[Factor, ...]]:
    """A product with neighbours multiplied out where that is elementwise; and its numbers, taken out to the front."""
    scale: list[Expr] = []
    out: list[Factor] = []
    for factor in factors:
        out.append(factor)
        while len(out) > 1 and (pair := _pair(*out[-2:])) is not None:
            del out[-2:]
            if pair.kind == "matrix":
                scale += pair.parts
            else:
                out.append(pair)
    return tuple(scale), tuple(out)


def _pair(left: Factor, right: Factor) -> Factor | None:
    """Two neighbours as one factor; an inner product is a number, here a "matrix" of one."""
    parts = (*left.parts, *right.parts)
    match left.kind, right.kind:
        case ("diagonal", "diagonal" | "column"):
            return replace(right, parts=parts)
        case ("row", "diagonal"):
            return replace(left, parts=parts)
        case ("row", "column"):
            return Factor("matrix", (fn.UnitSum(sympy.Mul(*parts)),))
    return None


def multiplied(parts: Iterable[Expr], arrange: Arrange) -> Expr:
    """A product unit by unit, in the order in which its factors were met; ones are left out beside others."""
    met = [part for part in parts if part != ONES]
    flat = [f for part in met for f in sympy.Mul.make_args(part)]
    if not flat:
        return ONES
    written = [arrange(part) for part in met]
    if len(set(flat)) < len(flat) or any(isinstance(w, Quotient | Minus) for w in written):
        return arrange(sympy.Mul(*flat))
    factors = [f for w in written for f in (w.args if isinstance(w, Hadamard) else (w,))]
    return Hadamard(*factors) if len(factors) > 1 else factors[0]


def written(factors: Iterable[Factor], arrange: Arrange) -> list[Expr]:
    """Factors as a chain's: a column before a row is an outer product."""
    out: list[Expr] = []
    rest = list(factors)
    while rest:
        factor = rest.pop(0)
        if factor.kind == "column" and rest and rest[0].kind == "row":
            row = rest.pop(0)
            out.append(Outer(multiplied(factor.parts, arrange), multiplied(row.parts, arrange)))
        elif factor.kind == "diagonal":
            out.append(Diagonal(multiplied(factor.parts, arrange)))
        elif factor.kind == "row":
            out.append(TransposeOf(multiplied(factor.parts, arrange)))
        elif factor.kind == "column":
            out.append(multiplied(factor.parts, arrange))
        else:
            out.append(factor.parts[0])
    return out


def kronecker(columns: Iterable[Factor], rows: Iterable[Factor], arrange: Arrange) -> Expr | None:
    """``columns ⊗ rows``, what acts on a matrix from its right and from its left; None for the identity."""
    sides = [written(factors, arrange) for factors in (columns, rows)]
    if not any(sides):
        return None
    return Kronecker(*(Chain(*s) if len(s) > 1 else s[0] if s else IDENTITY for s in sides))
