"""SymPy expressions from syntax trees, once every size is known."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Expr, Float, Integer, MatrixExpr

from symcell.cell import Shape
from symcell.language.tree import (
    Apply,
    Comparison,
    Joined,
    MatrixName,
    MatrixTotal,
    Multiplied,
    Name,
    Negative,
    Number,
    Product,
    Raised,
    Ratio,
    Read,
    Total,
    Transposed,
    Tree,
)
from symcell.symbolic.functions import (
    ELEMENTWISE,
    OVER_UNITS,
    Equal,
    Greater,
    GreaterEqual,
    NotEqual,
    Power,
    Predicate,
)
from symcell.symbolic.nodes import At, Hadamard, Join, MatVec, Minus, Param, Quotient, Sum

COMPARISONS: dict[str, type[Predicate]] = {">": Greater, ">=": GreaterEqual, "==": Equal, "!=": NotEqual}

ShapeOf = Callable[[str], Shape]


def build(tree: Tree, shape_of: ShapeOf) -> Expr:
    """The expression of a tree; ``shape_of`` gives the shape of each matrix. Raises ValueError for a zero matrix."""

    def parts(trees: tuple[Tree, ...]) -> list[Expr]:
        return [build(part, shape_of) for part in trees]

    match tree:
        case Number(value=value):
            return value
        case Read(name=name, lag=lag):
            return At(name, lag)
        case Name(name=name):
            return Param(name)
        case Negative(argument=argument):
            return Minus(build(argument, shape_of))
        case Total(terms=terms):
            return Sum(*(_term(sign, build(term, shape_of)) for sign, term in terms))
        case Product(factors=factors):
            return Hadamard(*parts(factors))
        case Ratio():
            return Quotient(*parts(tree.parts))
        case Raised():
            return _raised(*parts(tree.parts))
        case Comparison(sign=sign):
            return COMPARISONS[sign](*parts(tree.parts))
        case Apply(function=function, arguments=arguments):
            kind = ELEMENTWISE.get(function) or OVER_UNITS[function]
            return kind(*parts(arguments))
        case Multiplied(matrix=matrix, vector=vector):
            return MatVec(build_matrix(matrix, shape_of), build(vector, shape_of))
        case Joined(vectors=vectors):
            return Join(*parts(vectors))
    raise TypeError(f"{type(tree).__name__} is no expression")


def _term(sign: int, term: Expr) -> Expr:
    return term if sign > 0 else Minus(term)


def _raised(base: Expr, exponent: Expr) -> Expr:
    """A power with a number as exponent is SymPy's own, unless SymPy would merge it with another one wrongly."""
    if not isinstance(exponent, Integer | sympy.Rational | Float) and exponent != sympy.pi:
        return Power(base, exponent)
    if isinstance(base, sympy.Pow) and not (isinstance(exponent, Integer) and isinstance(base.exp, Integer)):
        return Power(base, exponent)
    return sympy.Pow(base, exponent)


def build_matrix(tree: Tree, shape_of: ShapeOf) -> MatrixExpr:
    """The matrix expression of a tree; ValueError if it is zero."""
    match tree:
        case MatrixName(name=name):
            rows, columns = shape_of(name)
            return sympy.MatrixSymbol(name, rows.symbol(), columns.symbol())
        case Transposed(argument=argument):
            return build_matrix(argument, shape_of).T
        case MatrixTotal(terms=terms):
            total = sympy.MatAdd(*(factor * build_matrix(term, shape_of) for factor, term in terms)).doit()
            if total.is_ZeroMatrix:
                raise ValueError("this matrix is zero")
            return total
    raise TypeError(f"{type(tree).__name__} is no matrix")
