"""Matrix products: what may stand left of @, and what right of it."""

from __future__ import annotations

import ast

from sympy import Integer

from symcell.language import arithmetic
from symcell.language.names import FUNCTIONS, check_name
from symcell.language.reader import MAX_NESTING, Reader, unsigned
from symcell.language.source import Span
from symcell.language.tree import (
    Broken,
    Diagonal,
    Joined,
    MatrixName,
    MatrixTotal,
    Multiplied,
    Negative,
    Number,
    Ratio,
    Transposed,
    Tree,
)


class MatrixReader(Reader):
    """Reads ``W @ v``, ``C[t] @ v``, ``diag(v) @ M`` and ``M @ diag(v)``."""

    def multiplied(self, node: ast.expr) -> Tree:
        """``W @ v``; ``W @ U @ v`` is W @ (U @ v), and ``-W @ v`` is -(W @ v)."""
        nodes = [part for _, part in self.spine(node, (ast.MatMult,))]
        last = nodes[-1]
        if self._depth + len(nodes) > MAX_NESTING:
            return self.wrong(last, f"more than {MAX_NESTING} products in one another", "give a part its own equation")
        count = next((k for k, part in enumerate(reversed(nodes)) if not _is_diag(part)), len(nodes))
        if count == len(nodes):
            return self.wrong(nodes[0], "diag stands beside a matrix", "write diag(u * v) @ M")
        self._depth += len(nodes) - 1
        lefts, (base, *diagonals) = nodes[: -1 - count], nodes[-1 - count :]
        negative, inner = unsigned(base) if diagonals else (False, base)
        tree = self.expression(inner) if diagonals else self.right(base, lefts[-1])
        for part in diagonals:
            tree = Multiplied(self._between(inner, part), tree, self.diagonal(part))
        self._depth -= len(nodes) - 1
        for left in reversed(lefts):
            minus, inner = unsigned(left)
            negative ^= minus
            tree = Multiplied(self._between(inner, last), self.nested(self.left, inner), tree)
        return Negative(self.place.span(node), tree) if negative else tree

    def _between(self, first: ast.expr, last: ast.expr) -> Span:
        start, end = self.place.span(first), self.place.span(last)
        return Span(start.line, start.column, end.end_line, end.end_column)

    def left(self, node: ast.expr) -> Tree:
        """What stands left of @: ``diag``, a sum of parameters, or an expression that is a matrix."""
        if _is_diag(node):
            return self.diagonal(node)
        return self.varying(node) if _varies(node) else self.matrix(node)

    def diagonal(self, node: ast.expr) -> Tree:
        """``diag(v)`` beside @."""
        if (
            not isinstance(node, ast.Call)
            or len(node.args) != 1
            or node.keywords
            or isinstance(node.args[0], ast.List | ast.Starred)
        ):
            return self.wrong(node, "diag takes one vector", "write diag(v) @ M or M @ diag(v)")
        return Diagonal(self.place.span(node), self.expression(node.args[0]))

    def varying(self, node: ast.expr) -> Tree:
        """A matrix that varies, or its transpose."""
        if isinstance(node, ast.Attribute) and node.attr == "T":
            inner = self.nested(self.varying, node.value)
            return inner.argument if isinstance(inner, Transposed) else Transposed(self.place.span(node), inner)
        return self.expression(node)

    def right(self, node: ast.expr, left: ast.expr) -> Tree:
        """What stands right of @: a vector, several that are joined, or a matrix beside ``diag``."""
        if isinstance(node, ast.List) and (_varies(left) or _is_diag(left)):
            text = self.problems.source.excerpt(self.place.span(unsigned(left)[1]))
            advice = f"write {text} @ u + M[t] @ v, with a matrix for each part"
            return self.wrong(node, "vectors are joined only right of a matrix that is a parameter", advice)
        return self.vector(node)

    def vector(self, node: ast.expr) -> Tree:
        """One vector, or several that are joined."""
        if not isinstance(node, ast.List):
            return self.expression(node)
        if not node.elts:
            return self.wrong(node, "nothing is joined here", "write W @ [u, v]")
        parts = tuple(self.expression(part) for part in node.elts)
        return Joined(self.place.span(node), parts) if len(parts) > 1 else parts[0]

    def matrix(self, node: ast.expr) -> Tree:
        """What stands left of @: a parameter, its transpose, a sum of such or a number times it."""
        span = self.place.span(node)
        match node:
            case ast.Name(id=name) if name not in self.constants and name != "pi":
                return MatrixName(span, name) if check_name(name, span, self.problems) else Broken(span)
            case ast.Attribute(value=value, attr="T"):
                return Transposed(span, self.nested(self.matrix, value))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return MatrixTotal(span, ((Number(span, Integer(-1)), self.nested(self.matrix, operand)),))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.nested(self.matrix, operand)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                (_, first), *rest = self.spine(node, (ast.Add, ast.Sub))
                signed = [(1, first), *((-1 if isinstance(op, ast.Sub) else 1, right) for op, right in rest)]
                read = (self.nested(self.matrix, term) for _, term in signed)
                signs = (Number(span, Integer(sign)) for sign, _ in signed)
                return MatrixTotal(span, tuple(zip(signs, read, strict=True)))
            case ast.BinOp(op=ast.Mult() | ast.Div() as op, left=left, right=right):
                return self.scaled(node, op, left, right)
        return self.no_matrix(node)

    def scaled(self, node: ast.expr, op: ast.operator, left: ast.expr, right: ast.expr) -> Tree:
        """``2*W``, ``W*2`` or ``W/2``."""
        if isinstance(op, ast.Mult) and self.is_number(left):
            left, right = right, left
        if not self.is_number(right):
            advice = "brackets decide: a[t] * (W @ v), not a[t] * W @ v"
            return self.wrong(node, "left of @ a matrix can be multiplied only by a number", advice)
        factor = self.expression(right)
        if isinstance(op, ast.Div) and isinstance(factor, Number):
            one, span = Number(factor.span, Integer(1)), self.place.span(right)
            factor = self.folded(right, arithmetic.divide, Ratio(span, one, factor), one, factor)
        if not isinstance(factor, Number):
            return Broken(factor.span)
        if factor.value == 0:
            return self.wrong(right, "this makes the matrix zero", "leave the product out")
        return MatrixTotal(self.place.span(node), ((factor, self.nested(self.matrix, left)),))

    def is_number(self, node: ast.expr) -> bool:
        """Whether an expression is made of numbers and constants alone."""
        names = (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        return all(name == "pi" or name in self.constants or name in FUNCTIONS for name in names)

    def no_matrix(self, node: ast.expr) -> Tree:
        text = self.problems.source.excerpt(self.place.span(node))
        match node:
            case ast.BinOp(op=ast.MatMult()):
                return self.wrong(node, "a product of matrices has to reach a vector", "write W @ (U @ v)")
            case ast.Constant() | ast.Name():
                return self.wrong(node, f"{text} is a number; left of @ stands a matrix", f"write {text} * v")
            case ast.List():
                return self.wrong(node, "left of @ stands a matrix", "write W @ [u, v]")
        advice = "a matrix is W, W.T, a sum of such or a number times one"
        return self.wrong(node, f"{text} is no matrix, so it cannot stand left of @", advice)


def _is_diag(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "diag"


def _varies(node: ast.expr) -> bool:
    """Whether an expression reads a value in time or makes a matrix of vectors, so that it is no sum of parameters."""
    return any(
        isinstance(part, ast.Subscript)
        or (isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "outer")
        for part in ast.walk(node)
    )
