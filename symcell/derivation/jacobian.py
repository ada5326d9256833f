"""Local derivatives: the Jacobian of one displayed step by one value that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy
from sympy import Expr

from symcell.derivation.arrange import Ranks, arranged
from symcell.derivation.composites import gradient_row, is_composed, is_composite
from symcell.derivation.nodes import IDENTITY, ONES, Chain, Diagonal, Prime, Scaled, TransposeOf
from symcell.derivation.sizes import dims_of, size_of
from symcell.graph import Graph
from symcell.symbolic import functions as fn
from symcell.symbolic.derivatives import derivative
from symcell.symbolic.nodes import At, Count, MatVec, Minus, Sum

_MIXING = (MatVec, fn.UnitSum, fn.UnitMax)
"""What mixes units, beside the composites."""
_Path = tuple[Any, ...]


class Jacobians:
    """``outputs``: what a function application is called where the forward sweep has it already (σ(a) is i)."""

    def __init__(self, graph: Graph, outputs: Mapping[Expr, Expr]) -> None:
        self.graph, self.outputs = graph, outputs

    def of(self, body: Expr, by: At, ranks: Ranks) -> Expr | None:
        """``∂body/∂by``: an elementwise expression where it is diagonal, else a sum of products; None where zero.

        A path is the factors of one product, from the body down to ``by``; an empty one is the identity.
        """
        if self.is_matrix(body) or self.is_matrix(by) or any(m.args[0].has(by) for m in body.atoms(MatVec)):
            return None  # no matrix of numbers: the recursion says what such a step sends back
        paths = [_merged(p) for p in self.paths(body, by)]
        if not paths:
            return None
        if len(paths) == 1 and len(paths[0]) == 1 and isinstance(paths[0][0], Diagonal):
            return arranged(paths[0][0].args[0], ranks)
        matrix = self.size(body) != 1 and self.size(by) != 1
        terms = [_product((*p, IDENTITY) if matrix and self.is_scalar(p) else p, ranks) for p in paths]
        return terms[0] if len(terms) == 1 else Sum(*terms)

    def is_scalar(self, path: _Path) -> bool:
        """Whether a path is a multiple of the identity."""
        plain = not any(isinstance(f, sympy.MatrixExpr | Diagonal | TransposeOf) or f == ONES for f in path)
        return plain and all(self.size(f) == 1 for f in path)

    def is_matrix(self, expr: Expr) -> bool:
        return len(dims_of(self.graph, expr)) == 2

    def size(self, expr: Expr) -> Expr:
        return size_of(self.graph, expr)

    def paths(self, body: Expr, by: At) -> list[_Path]:
        if body == by:
            return [()]
        places = {node: sympy.Symbol(f"#{k}") for k, node in enumerate(_outermost(body))}
        back = {symbol: node for node, symbol in places.items()}
        flat, size = body.xreplace(places), self.size(body)
        found = [(*self.head(flat, by, back, size, self.size(by)),)] if flat.has(by) else []
        found = [p for p in found if p != (None,)]
        for node, symbol in places.items():
            if by in node.atoms(At):
                head = self.head(flat, symbol, back, size, self.size(node))
                found += [(*head, *tail) for tail in self.through(node, by) if head != (None,)]
        return found

    def head(self, flat: Expr, by: Expr, back: Mapping[Expr, Expr], size: Expr, inner: Expr) -> _Path:
        """The elementwise part of a path: ``(None,)`` where it vanishes."""
        partial = derivative(flat, by).xreplace(back).xreplace(self.outputs)
        if partial == 0:
            return (None,)
        scalar = () if partial == 1 else (partial,)
        if self.size(partial) == 1:
            return scalar if size == inner else (*scalar, ONES)
        return (Diagonal(partial),) if size == inner else (partial,)

    def through(self, node: Expr, by: At) -> list[_Path]:
        """The paths through a product or a reduction."""
        inner = node.args[0 if is_composite(node) else -1]
        tails = self.paths(inner, by)
        if isinstance(node, MatVec):
            return [(node.args[0], *tail) for tail in tails]
        if is_composed(node):
            return [(Prime(node) if self.size(node) == 1 else Diagonal(Prime(node)), *tail) for tail in tails]
        if is_composite(node):
            row = gradient_row(node, Count(self.graph.shape(inner.signal)[0]))
            return [(Prime(node) if row is None else TransposeOf(row), *tail) for tail in tails]
        if isinstance(node, fn.UnitMax):
            attains = fn.Equal(inner, node)
            return [(TransposeOf(attains / fn.UnitSum(attains)), *tail) for tail in tails]
        return [(TransposeOf(tail[0].args[0]),) if len(tail) == 1 and isinstance(tail[0], Diagonal)
                else (TransposeOf(ONES), *tail) for tail in tails]  # fmt: skip


def _merged(path: _Path) -> _Path:
    """A path with diagonal matrices beside each other as one."""
    out: list[Any] = []
    for factor in path:
        if out and isinstance(factor, Diagonal) and isinstance(out[-1], Diagonal):
            factor = Diagonal(out.pop().args[0] * factor.args[0])
        out.append(factor)
    return tuple(out)


def _outermost(expr: Expr) -> list[Expr]:
    """The products and reductions in an expression that lie in no other one, each once."""
    found: dict[Expr, None] = {}
    walk = sympy.preorder_traversal(expr)
    for part in walk:
        if isinstance(part, _MIXING) or is_composite(part):
            found[part] = None
            walk.skip()
    return sorted(found, key=sympy.srepr)


def _product(path: _Path, ranks: Ranks) -> Expr:
    factors = [arranged(f, ranks) for f in path]
    if not factors:
        return sympy.Integer(1)
    factors = [f for a in factors for f in _row(a)]
    first = factors[0]
    inner = first.args[0] if isinstance(first, Diagonal) else first
    if isinstance(inner, Minus) or (inner.is_number and inner.is_negative):
        positive = inner.args[0] if isinstance(inner, Minus) else -inner
        factors[0] = Diagonal(positive) if isinstance(first, Diagonal) else positive
        if positive == 1 and len(factors) > 1:
            factors = factors[1:]
        return Minus(factors[0] if len(factors) == 1 else Chain(*factors))
    return factors[0] if len(factors) == 1 else Chain(*factors)


def _row(factor: Expr) -> tuple[Expr, ...]:
    """A row with its numbers in front of it: 2 aᵀ."""
    if isinstance(factor, TransposeOf) and isinstance(factor.args[0], Scaled):
        *numbers, vector = factor.args[0].args
        return (Scaled(*numbers, TransposeOf(vector)),)
    return (factor,)
