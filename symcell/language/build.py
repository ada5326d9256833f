"""SymPy expressions from syntax trees, once every size is known."""

from __future__ import annotations

from collections.abc import Callable, Container

import sympy
from sympy import Expr, MatrixExpr

from symcell.cell import Shape
from symcell.language.ranks import is_matrix
from symcell.language.tree import (
    Apply,
    Comparison,
    ConstantName,
    Diagonal,
    Joined,
    MatrixName,
    MatrixTotal,
    Multiplied,
    Name,
    Negative,
    Number,
    Outer,
    Product,
    Raised,
    Ratio,
    Read,
    Total,
    Transposed,
    Tree,
    is_fixed_matrix,
)
from symcell.symbolic.constants import raised, settled
from symcell.symbolic.functions import (
    ELEMENTWISE,
    OVER_UNITS,
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    NotEqual,
    Predicate,
)
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Constant,
    Flipped,
    Hadamard,
    Join,
    MatVec,
    Minus,
    Node,
    OuterProduct,
    Param,
    Quotient,
    RowScaled,
    Sum,
    written,
)

_NODES: dict[type[Tree], type[Node]] = {Ratio: Quotient, Joined: Join, Outer: OuterProduct}
COMPARISONS: dict[str, type[Predicate]] = {
    ">": Greater, ">=": GreaterEqual, "<": Less, "<=": LessEqual, "==": Equal, "!=": NotEqual,
}  # fmt: skip
"""By how they are written: a comparison keeps its sides."""


class Builder:
    """Builds expressions; ``shape_of`` gives the shape of a name, ``matrices`` are the names that are matrices."""

    def __init__(self, shape_of: Callable[[str], Shape], matrices: Container[str]) -> None:
        self.shape_of, self.matrices = shape_of, matrices

    def build(self, tree: Tree) -> Expr:
        """The expression of a tree, with every node as it was written. Raises ValueError for a zero matrix."""
        match tree:
            case Number(value=value, written=text):
                return value if text is None else self.build(text)
            case ConstantName(name=name, value=value):
                return Constant(name, value)
            case Read(name=name, lag=lag):
                return At(name, lag)
            case Name(name=name):
                return Param(name)
            case Negative(argument=argument):
                return Minus(self.build(argument))
            case Total(terms=terms):
                return Sum(*(_term(sign, self.build(term)) for sign, term in terms))
            case Product():
                return _product(*self.parts(tree))
            case Comparison(sign=sign):
                return COMPARISONS[sign](*self.parts(tree))
            case Apply(function=function):
                return (ELEMENTWISE.get(function) or OVER_UNITS[function])(*self.parts(tree))
            case Multiplied():
                return self.multiplied(tree)
            case Raised():
                return raised(*self.parts(tree))
        if type(tree) in _NODES:
            return _NODES[type(tree)](*self.parts(tree))
        raise TypeError(f"{type(tree).__name__} is no expression")

    def parts(self, tree: Tree) -> list[Expr]:
        return [self.build(part) for part in tree.parts]

    def multiplied(self, tree: Multiplied) -> Expr:
        match tree:
            case Multiplied(left=Diagonal(vector=vector), right=right):
                if is_matrix(right, self.matrices):
                    return RowScaled(self.build(vector), self.build(right))
                return _product(self.build(vector), self.build(right))
            case Multiplied(left=left, right=Diagonal(vector=vector)):
                return ColumnScaled(self.build(left), self.build(vector))
            case Multiplied(left=left, right=right) if is_fixed_matrix(left):
                return MatVec(self.fixed(left), self.build(right))
            case Multiplied(left=Transposed(argument=argument), right=right):
                return MatVec(Flipped(self.build(argument)), self.build(right))
        return MatVec(self.build(tree.left), self.build(tree.right))

    def fixed(self, tree: Tree) -> MatrixExpr:
        """The matrix expression of a fixed matrix; ValueError if it is zero."""
        match tree:
            case MatrixName(name=name):
                rows, columns = self.shape_of(name)
                return sympy.MatrixSymbol(name, rows.symbol(), columns.symbol())
            case Transposed(argument=argument):
                return self.fixed(argument).T
            case MatrixTotal(terms=terms):
                total = sympy.MatAdd(*(self.factor(factor) * self.fixed(term) for factor, term in terms)).doit()
                if total.is_ZeroMatrix or settled(total).is_ZeroMatrix:
                    raise ValueError("this matrix is zero")
                return total
        raise TypeError(f"{type(tree).__name__} is no matrix")

    def factor(self, number: Number) -> Expr:
        """A factor of a fixed matrix, in which constants keep their names."""
        return number.value if number.written is None else written(self.build(number))


def _product(first: Expr, *others: Expr) -> Expr:
    """A product of vectors, as it would have been written without ``diag`` and brackets around its first factors."""
    if isinstance(first, Minus):
        return Minus(_product(first.args[0], *others))
    return Hadamard(*(first.args if isinstance(first, Hadamard) else (first,)), *others)


def _term(sign: int, term: Expr) -> Expr:
    return term if sign > 0 else Minus(term)
