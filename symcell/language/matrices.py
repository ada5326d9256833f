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
    Joined,
    MatrixName,
    MatrixTotal,
    Multiplied,
    Negative,
    Number,
    Transposed,
    Tree,
)


class MatrixReader(Reader):
    """Reads ``W @ v``."""

    def multiplied(self, node: ast.expr) -> Tree:
        """``W @ v``; ``W @ U @ v`` is W @ (U @ v), and ``-W @ v`` is -(W @ v)."""
        *matrices, (_, last) = self.spine(node, (ast.MatMult,))
        if self._depth + len(matrices) > MAX_NESTING:
            return self.wrong(last, f"more than {MAX_NESTING} products in one another", "give a part its own equation")
        self._depth += len(matrices)
        vector = self.vector(last)
        self._depth -= len(matrices)
        negative = False
        for _, left in reversed(matrices):
            minus, inner = unsigned(left)
            negative ^= minus
            start, end = self.place.span(left), self.place.span(last)
            span = Span(start.line, start.column, end.end_line, end.end_column)
            vector = Multiplied(span, self.nested(self.matrix, inner), vector)
        return Negative(self.place.span(node), vector) if negative else vector

    def vector(self, node: ast.expr) -> Tree:
        """What stands right of @: a vector, or several that are joined."""
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
                return MatrixTotal(span, ((Integer(-1), self.nested(self.matrix, operand)),))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.nested(self.matrix, operand)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                (_, first), *rest = self.spine(node, (ast.Add, ast.Sub))
                signed = [(1, first), *((-1 if isinstance(op, ast.Sub) else 1, right) for op, right in rest)]
                return MatrixTotal(span, tuple((Integer(s), self.nested(self.matrix, term)) for s, term in signed))
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
        if not isinstance(factor, Number):
            return Broken(factor.span)
        if isinstance(op, ast.Div):
            factor = self.folded(right, lambda value: arithmetic.divide(Integer(1), value), factor)
        if not isinstance(factor, Number) or factor.value == 0:
            return self.wrong(right, "this makes the matrix zero", "leave the product out")
        return MatrixTotal(self.place.span(node), ((factor.value, self.nested(self.matrix, left)),))

    def is_number(self, node: ast.expr) -> bool:
        """Whether an expression is made of numbers and constants alone."""
        names = (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        return all(name == "pi" or name in self.constants or name in FUNCTIONS for name in names)

    def no_matrix(self, node: ast.expr) -> Tree:
        text = self.problems.source.excerpt(self.place.span(node))
        match node:
            case ast.Subscript():
                advice = f"write W @ {text}; matrices that change with time are a later step of the language"
                return self.wrong(node, f"{text} is a vector; left of @ stands a matrix", advice)
            case ast.BinOp(op=ast.MatMult()):
                return self.wrong(node, "a product of matrices has to reach a vector", "write W @ (U @ v)")
            case ast.Constant() | ast.Name():
                return self.wrong(node, f"{text} is a number; left of @ stands a matrix", f"write {text} * v")
            case ast.List():
                return self.wrong(node, "left of @ stands a matrix", "write W @ [u, v]")
        advice = "a matrix is W, W.T, a sum of such or a number times one"
        return self.wrong(node, f"{text} is no matrix, so it cannot stand left of @", advice)
