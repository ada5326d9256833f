"""What every reader of expressions needs: places, constants, how deep it is, and where mistakes go."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from sympy import Expr, Float

from symcell.language import arithmetic
from symcell.language.problems import Problems
from symcell.language.source import Span
from symcell.language.statements import Place
from symcell.language.tree import Broken, Negative, Number, Tree

MAX_NESTING = 100


@dataclass
class Constants:
    """The constants of a text: numbers with their values, where they are declared and which are used; and arrays."""

    values: dict[str, Expr] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    arrays: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        return name in self.values


class Reader:
    """Reads the expressions of one statement; mistakes go to ``problems`` and leave a Broken tree."""

    def __init__(self, place: Place, constants: Constants, problems: Problems) -> None:
        self.place, self.constants, self.problems = place, constants, problems
        self._depth = 0

    def wrong(self, node: ast.expr, message: str, advice: str = "") -> Tree:
        span = self.place.span(node)
        self.problems.add(span, message, advice)
        return Broken(span)

    def nested(self, read: Callable[[ast.expr], Tree], node: ast.expr) -> Tree:
        """Reads one level further down."""
        if self._depth >= MAX_NESTING:
            message = f"this expression nests more than {MAX_NESTING} deep"
            return self.wrong(node, message, "name a part in an equation of its own")
        self._depth += 1
        try:
            return read(node)
        finally:
            self._depth -= 1

    def expression(self, node: ast.expr) -> Tree:
        """Anything that has a value: a number, a scalar, a vector or a matrix."""
        raise NotImplementedError

    def spine(self, node: ast.expr, kinds: tuple[type[ast.operator], ...]) -> list[tuple[ast.operator, ast.expr]]:
        """``a + b - c`` as a, then (+, b), (-, c); the first comes with the outermost operator, which says nothing."""
        terms: list[tuple[ast.operator, ast.expr]] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, kinds):
            terms.append((node.op, node.right))
            node = node.left
        return [(terms[-1][0], node), *reversed(terms)]

    def number(self, node: ast.expr, value: object) -> Tree:
        try:
            return Number(self.place.span(node), arithmetic.number(value))
        except ValueError as error:
            return self.wrong(node, str(error), "numbers are finite and real")

    def folded(self, node: ast.expr, function: Callable[..., Expr], written: Tree, *values: Number) -> Tree:
        """The value of a function at constants; ``written`` is kept where it says more than the value."""
        try:
            value = function(*(v.value for v in values))
        except ValueError as error:
            return self.wrong(node, str(error), "a constant is a finite real number")
        plain = not isinstance(value, Float) and all(v.written is None for v in values)
        return Number(self.place.span(node), value, None if plain else written)


def negated(span: Span, tree: Number) -> Number:
    """A constant with the other sign."""
    if tree.written is None:
        return Number(span, -tree.value)
    if isinstance(tree.written, Negative):
        inner = tree.written.argument
        return inner if isinstance(inner, Number) else Number(span, -tree.value, inner)
    return Number(span, -tree.value, Negative(span, tree))


def unsigned(node: ast.expr) -> tuple[bool, ast.expr]:
    """Whether the signs before an expression make it negative, and what they stand before."""
    negative = False
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        negative ^= isinstance(node.op, ast.USub)
        node = node.operand
    return negative, node
