"""The syntax of an expression as read from the text: what stands where, before roles and sizes are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sympy import Expr

from symcell.language.source import Span


@dataclass(frozen=True, slots=True)
class Tree:
    """Anything in an expression; ``span`` is where it stands in the text."""

    span: Span

    @property
    def parts(self) -> tuple[Tree, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Broken(Tree):
    """A place where a mistake has been reported."""


@dataclass(frozen=True, slots=True)
class Number(Tree):
    """A constant: its value, and how the text writes it where that says more (a name, ``0.7*0.06``, ``sqrt(2)``)."""

    value: Expr
    written: Tree | None = None


@dataclass(frozen=True, slots=True)
class ConstantName(Tree):
    """A number by the name that a declaration gives it; stands in :class:`Number` only."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Read(Tree):
    """``name[t-lag]``."""

    name: str
    lag: int


@dataclass(frozen=True, slots=True)
class Name(Tree):
    """A parameter or a constant array used elementwise."""

    name: str


@dataclass(frozen=True, slots=True)
class Total(Tree):
    """A sum; each term with its sign."""

    terms: tuple[tuple[int, Tree], ...]

    @property
    def parts(self) -> tuple[Tree, ...]:
        return tuple(term for _, term in self.terms)


@dataclass(frozen=True, slots=True)
class Negative(Tree):
    argument: Tree

    @property
    def parts(self) -> tuple[Tree, ...]:
        return (self.argument,)


@dataclass(frozen=True, slots=True)
class Product(Tree):
    factors: tuple[Tree, ...]

    @property
    def parts(self) -> tuple[Tree, ...]:
        return self.factors


@dataclass(frozen=True, slots=True)
class Ratio(Tree):
    above: Tree
    below: Tree

    @property
    def parts(self) -> tuple[Tree, ...]:
        return (self.above, self.below)


@dataclass(frozen=True, slots=True)
class Raised(Tree):
    base: Tree
    exponent: Tree

    @property
    def parts(self) -> tuple[Tree, ...]:
        return (self.base, self.exponent)


@dataclass(frozen=True, slots=True)
class Apply(Tree):
    """A function of the language at its arguments."""

    function: str
    arguments: tuple[Tree, ...]

    @property
    def parts(self) -> tuple[Tree, ...]:
        return self.arguments


@dataclass(frozen=True, slots=True)
class Comparison(Tree):
    """``left sign right`` with the sign one of ``> >= == !=`` (the others are turned round)."""

    sign: str
    left: Tree
    right: Tree

    @property
    def parts(self) -> tuple[Tree, ...]:
        return (self.left, self.right)


@dataclass(frozen=True, slots=True)
class Joined(Tree):
    vectors: tuple[Tree, ...]

    @property
    def parts(self) -> tuple[Tree, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class Multiplied(Tree):
    """``left @ right``: a matrix at a vector, or at either side a :class:`Diagonal`."""

    left: Tree
    right: Tree

    @property
    def parts(self) -> tuple[Tree, ...]:
        return (self.left, self.right)


@dataclass(frozen=True, slots=True)
class Diagonal(Tree):
    """``diag(vector)``, beside @ only."""

    vector: Tree

    @property
    def parts(self) -> tuple[Tree, ...]:
        return (self.vector,)


@dataclass(frozen=True, slots=True)
class Outer(Tree):
    """``outer(left, right)``: the matrix of all products."""

    left: Tree
    right: Tree

    @property
    def parts(self) -> tuple[Tree, ...]:
        return (self.left, self.right)


@dataclass(frozen=True, slots=True)
class MatrixName(Tree):
    """A fixed matrix left of @."""

    name: str


@dataclass(frozen=True, slots=True)
class Transposed(Tree):
    argument: Tree

    @property
    def parts(self) -> tuple[Tree, ...]:
        return (self.argument,)


@dataclass(frozen=True, slots=True)
class MatrixTotal(Tree):
    """A sum of fixed matrices; each term with its factor."""

    terms: tuple[tuple[Number, Tree], ...]

    @property
    def parts(self) -> tuple[Tree, ...]:
        return tuple(term for _, term in self.terms)


def is_fixed_matrix(tree: Tree) -> bool:
    """Whether what stands left of @ is made of parameters, their transposes and sums alone."""
    while isinstance(tree, Transposed):
        tree = tree.argument
    return isinstance(tree, MatrixName | MatrixTotal)


def walk(tree: Tree) -> Iterator[Tree]:
    """The tree and all below it, in the order of the text."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.parts))
