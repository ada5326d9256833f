"""The arithmetic operators: sums, products, quotients and powers; those of constants alone have a value."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from sympy import Expr, Float, Integer

from symcell.language import arithmetic
from symcell.language.matrices import MatrixReader
from symcell.language.reader import negated, unsigned
from symcell.language.tree import Broken, Negative, Number, Product, Raised, Ratio, Total, Tree

Signed = tuple[int, Tree]
"""A term of a sum with its sign."""


class OperatorReader(MatrixReader):
    """Reads ``+ - * / **``."""

    def signed(self, node: ast.expr) -> Tree:
        negative, inner = unsigned(node)
        tree = self.expression(inner)
        if not negative or isinstance(tree, Broken):
            return tree
        span = self.place.span(node)
        if isinstance(tree, Number):
            return negated(span, tree)
        return tree.argument if isinstance(tree, Negative) else Negative(span, tree)

    def total(self, node: ast.expr) -> Tree:
        (_, first), *rest = self.spine(node, (ast.Add, ast.Sub))
        read = [(1, first, self.expression(first))]
        read += [(-1 if isinstance(op, ast.Sub) else 1, right, self.expression(right)) for op, right in rest]
        span = self.place.span(node)
        signed = [negated(tree.span, tree) if sign < 0 and isinstance(tree, Number) else tree for sign, _, tree in read]
        value, count, plain = self.leading([right for _, right, _ in read], signed, arithmetic.add)
        if value is None:
            return Broken(span)
        if plain and count > 1:
            terms: list[Signed] = [(1, Number(span, value))]
        else:
            terms = _terms(read[0][2])
            terms += [_normal_sign(sign, tree) for sign, _, tree in read[1:count]]
        terms += [_normal_sign(sign, tree) for sign, _, tree in read[max(count, 1) :]]
        if count == len(read):
            return Number(span, value, None if plain else Total(span, tuple(terms)))
        return Total(span, tuple(terms))

    def product(self, node: ast.expr) -> Tree:
        (_, first), *rest = self.spine(node, (ast.Mult,))
        nodes = [first, *(right for _, right in rest)]
        factors = [self.expression(part) for part in nodes]
        span = self.place.span(node)
        value, count, plain = self.leading(nodes, factors, arithmetic.multiply)
        if value is None:
            return Broken(span)
        if plain and count > 1:
            factors = [Number(span, value), *factors[count:]]
            if len(factors) == 1:
                return factors[0]
        sign, head = _normal_sign(1, factors[0])
        tree: Tree = Product(span, (*_factors(head), *factors[1:]))
        tree = tree if sign > 0 else Negative(span, tree)
        return Number(span, value, tree) if count == len(nodes) else tree

    def leading(self, nodes: Sequence[ast.expr], trees: Sequence[Tree],
                combine: Callable[[Expr, Expr], Expr]) -> tuple[Expr | None, int, bool]:  # fmt: skip
        """The value of the constants that come first (None where it has none, which is reported), how many they are,
        and whether that value says all that the text does."""
        count = next((k for k, tree in enumerate(trees) if not isinstance(tree, Number)), len(trees))
        total = trees[0]
        plain = not isinstance(total, Number) or total.written is None
        for node, tree in zip(nodes[1:count], trees[1:count], strict=True):
            if isinstance(total, Number) and isinstance(tree, Number):
                plain = plain and tree.written is None
                total = self.folded(node, combine, tree, total, tree)
        if count and not isinstance(total, Number):
            return None, count, False
        value = total.value if isinstance(total, Number) else Integer(0)
        return value, count, plain and (count < 2 or not isinstance(value, Float))

    def ratio(self, node: ast.BinOp) -> Tree:
        above, below, span = self.expression(node.left), self.expression(node.right), self.place.span(node)
        if isinstance(below, Number) and arithmetic.double(below.value) == 0:
            return self.wrong(node.right, "this divides by zero", "a constant is a finite real number")
        sign, top = _normal_sign(1, above)
        tree: Tree = Ratio(span, top, below)
        tree = tree if sign > 0 else Negative(span, tree)
        if isinstance(above, Number) and isinstance(below, Number):
            return self.folded(node, arithmetic.divide, tree, above, below)
        return tree

    def raised(self, node: ast.BinOp) -> Tree:
        base, exponent, span = self.expression(node.left), self.expression(node.right), self.place.span(node)
        if not isinstance(exponent, Number):
            return Raised(span, base, exponent)
        if isinstance(base, Number):
            return self.folded(node, arithmetic.power, Raised(span, base, exponent), base, exponent)
        value = exponent.value
        if value == 0:
            return self.wrong(node.right, "the power 0 is 1 whatever its base", "write 1")
        if exponent.written is not None:
            return Raised(span, base, exponent)
        if isinstance(value, Float) and float(value).is_integer() and abs(value) <= arithmetic.SMALL:
            value = Integer(int(value))
        return base if value == 1 else Raised(span, base, Number(exponent.span, value))


def _normal_sign(sign: int, tree: Tree) -> Signed:
    """A sign in front of what is written, so that ``a + -b`` is ``a - b`` and ``-2 * a`` is ``-(2 * a)``."""
    if isinstance(tree, Negative):
        return -sign, tree.argument
    if isinstance(tree, Number) and (
        isinstance(tree.written, Negative) or (tree.written is None and arithmetic.double(tree.value) < 0)
    ):
        return -sign, negated(tree.span, tree)
    return sign, tree


def _terms(tree: Tree) -> list[Signed]:
    """The terms of a sum at the head of a sum."""
    inner = tree.written if isinstance(tree, Number) and tree.written is not None else tree
    return list(inner.terms) if isinstance(inner, Total) else [(1, tree)]


def _factors(tree: Tree) -> Sequence[Tree]:
    """The factors of a product at the head of a product."""
    inner = tree.written if isinstance(tree, Number) and tree.written is not None else tree
    return inner.factors if isinstance(inner, Product) else (tree,)
