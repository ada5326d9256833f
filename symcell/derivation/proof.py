"""Whether two expressions in sums over the units of vectors are equal, for vectors of every length.

Sums over units are linear: each is taken apart into sums of products of vectors, which are numbers. What is left is a
rational function of the vectors' entries, of those numbers and of roots, and is zero or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy
from sympy import Expr, Symbol

from symcell.derivation.nodes import DeltaOf, Inner
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import Count, written

_COUNT = Symbol("count", positive=True)


def equal(one: Expr, other: Expr, rules: Mapping[Expr, Expr], *vectors: Expr) -> bool:
    """``rules``: what names stand for; the square of a name, for the square of a root. ``vectors``: what has units."""
    return _Proof(rules, vectors).vanishes(one, other)


class _Proof:
    def __init__(self, rules: Mapping[Expr, Expr], vectors: tuple[Expr, ...]) -> None:
        self.rules = {k: v for k, v in rules.items() if not isinstance(k, sympy.Pow)}
        squares = {k.args[0]: v for k, v in rules.items() if isinstance(k, sympy.Pow)}
        self.numbers: dict[Expr, Symbol] = {}
        self.vectors = {v: Symbol(f"vector{k}") for k, v in enumerate(vectors)}
        self.roots = {root: Symbol(f"root{k}", positive=True) for k, root in enumerate(squares)}
        self.squares = {self.roots[root]: self.flat(square) for root, square in squares.items()}

    def vanishes(self, one: Expr, other: Expr) -> bool:
        numerator, _ = sympy.fraction(sympy.together(self.flat(one) - self.flat(other)))
        left = sympy.expand(numerator)
        for root, square in self.squares.items():
            left = sympy.expand(sum((c * square ** (k // 2) * root ** (k % 2)
                                     for (k,), c in sympy.Poly(left, root).terms()), sympy.Integer(0)))  # fmt: skip
            left = sympy.expand(sympy.fraction(sympy.together(left))[0])
        return bool(left == 0)

    def flat(self, expr: Expr) -> Expr:
        """In symbols for vectors, roots and sums of products of vectors."""
        return self.replaced(written(expr))

    def replaced(self, e: Any) -> Expr:
        if e in self.vectors:
            return self.vectors[e]
        if e in self.roots:
            return self.roots[e]
        if e in self.rules:
            return self.flat(self.rules[e])
        match e:
            case Count():
                return _COUNT
            case fn.Where():
                return self.replaced(e.args[2])
            case Inner():
                return self.total(self.replaced(e.args[0]) * self.replaced(e.args[1]))
            case fn.UnitSum():
                return self.total(self.replaced(e.args[0]))
            case fn.UnitMean():
                return self.total(self.replaced(e.args[0])) / _COUNT
            case fn.Exp():
                return self.vectors.setdefault(e, Symbol(f"vector{len(self.vectors)}"))
            case fn.Sqrt() | fn.EuclideanRoot():
                return self.root(self.replaced(e.args[0]))
            case sympy.Add() | sympy.Mul() | sympy.Pow():
                return e.func(*(self.replaced(a) for a in e.args))
            case DeltaOf():
                return self.numbers.setdefault(e, Symbol(f"number{len(self.numbers)}"))
            case _ if e.is_number:
                return sympy.nsimplify(e)
        raise NotImplementedError(f"a proof over {type(e).__name__}")

    def root(self, square: Expr) -> Expr:
        for root, known in self.squares.items():
            if sympy.expand(known - square) == 0:
                return root
        root = Symbol(f"root{len(self.squares)}", positive=True)
        self.squares[root] = square
        return root

    def total(self, expr: Expr) -> Expr:
        """The sum over units of an expression: of each of its terms, what is one number in front."""
        out: Expr = sympy.Integer(0)
        own = set(self.vectors.values())
        for term in sympy.Add.make_args(sympy.expand(expr)):
            same, varying = term.as_independent(*own, as_Add=False)
            out += same * (_COUNT if varying == 1 else Symbol(f"sum({varying})"))
        return out
