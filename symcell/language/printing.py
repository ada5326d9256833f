"""SymPy expressions in the words of the cell language, so that a parser reads the same expression back."""

from __future__ import annotations

from functools import reduce
from typing import Any

import sympy
from sympy import Expr, MatrixExpr
from sympy.core.function import AppliedUndef

from symcell.cell import CellError
from symcell.language.build import COMPARISONS
from symcell.language.names import FUNCTIONS
from symcell.language.words import (
    ATOM,
    POWER,
    SUM,
    TERM,
    Printed,
    is_literal,
    name_text,
    no_word,
    number_text,
    time_read,
    wrapped,
)
from symcell.symbolic import functions
from symcell.symbolic.nodes import (
    ColumnScaled,
    Flipped,
    Hadamard,
    Join,
    MatVec,
    Minus,
    OuterProduct,
    Quotient,
    RowScaled,
    Sum,
)

_SIGNS = {kind: sign for sign, kind in COMPARISONS.items()}
_RELATIONS = {
    sympy.Gt: ">",
    sympy.Ge: ">=",
    sympy.Lt: "<",
    sympy.Le: "<=",
    sympy.Eq: "==",
    sympy.Ne: "!=",
}
_PLAIN = {f.row.native: f for f in functions.FUNCTIONS if f.row.native is not None}


def to_text(expr: Expr) -> str:
    """The expression in the cell language; CellError, naming the part, where the language has no word for it."""
    try:
        return _print(expr)[0]
    except RecursionError:
        raise CellError("this expression nests too deep for the cell language: name a part of it") from None
    except (OverflowError, ValueError) as error:
        raise error if isinstance(error, CellError) else CellError(f"a number is no double: {error}") from None


def _print(expr: Any) -> Printed:
    if not isinstance(expr, Expr):
        raise no_word(expr)
    read = time_read(expr)
    if read is not None:
        name, lag = read
        return (f"{name}[t-{lag}]" if lag else f"{name}[t]"), ATOM
    if is_literal(expr):
        return number_text(expr)
    match expr:
        case sympy.Symbol(name=name):
            return name_text(name, expr), ATOM
        case Sum():
            return _sum(expr.args)
        case sympy.Add():
            return _sum(expr.as_ordered_terms())
        case Minus(args=(inner,)):
            return "-" + wrapped(_print(inner), TERM), SUM
        case Hadamard():
            return _product(expr.args), TERM
        case sympy.Mul():
            return _plain_product(expr)
        case Quotient(args=(above, below)):
            return f"{_factor(above, True)} / {wrapped(_print(below), POWER)}", TERM
        case sympy.Pow() | functions.Power():
            base, exponent = expr.as_base_exp() if isinstance(expr, sympy.Pow) else expr.args
            return f"{wrapped(_print(base), ATOM)} ** {wrapped(_print(exponent), ATOM)}", POWER
        case MatVec(args=(matrix, vector)):
            left = matrix_text(matrix) if isinstance(matrix, MatrixExpr) else _varying(matrix)
            return f"{wrapped(left, ATOM)} @ {wrapped(_joined(vector), ATOM)}", TERM
        case RowScaled(args=(vector, matrix)):
            return f"diag({_print(vector)[0]}) @ {wrapped(_print(matrix), ATOM)}", TERM
        case ColumnScaled(args=(matrix, vector)):
            return f"{wrapped(_print(matrix), ATOM)} @ diag({_print(vector)[0]})", TERM
    return _call(expr), ATOM


def _sum(terms: Any) -> Printed:
    out = ""
    for term in terms:
        negative = isinstance(term, Minus)
        inner = term.args[0] if negative else term
        if not negative and isinstance(term, sympy.Mul) and term.as_coeff_Mul()[0].is_negative:
            negative, inner = True, -term
        text = wrapped(_print(inner), TERM)
        if not out:
            out = f"-{text}" if negative else _print(inner)[0] if is_literal(inner) else text
        else:
            out += f" - {text}" if negative else f" + {text}"
    return out, SUM


def _factor(expr: Expr, first: bool) -> str:
    """A factor of a written product: only the first one may hold a product or a quotient without brackets."""
    if isinstance(expr, MatVec | RowScaled | ColumnScaled):
        return wrapped(_print(expr), ATOM)
    if first and is_literal(expr):
        return _print(expr)[0]
    return wrapped(_print(expr), TERM if first else POWER)


def _product(factors: Any) -> str:
    return " * ".join(_factor(factor, first=k == 0) for k, factor in enumerate(factors))


def _plain_product(expr: Expr) -> Printed:
    """SymPy's own product: the sign first, negative powers below the line."""
    coefficient, rest = expr.as_coeff_Mul()
    if coefficient.is_negative:
        return "-" + wrapped(_print(-expr), TERM), SUM
    above, below = [] if coefficient == 1 else [coefficient], []
    for factor in rest.as_ordered_factors():
        base, exponent = factor.as_base_exp()
        if isinstance(factor, sympy.Pow) and exponent.is_Rational and exponent.is_negative:
            below.append(base**-exponent)
        else:
            above.append(factor)
    text = _product(above or [sympy.Integer(1)])
    return (" / ".join([text, *(wrapped(_print(b), POWER) for b in below)])), TERM


def _joined(vector: Expr) -> Printed:
    if isinstance(vector, Join):
        return f"[{', '.join(_print(part)[0] for part in vector.args)}]", ATOM
    return _print(vector)


def _varying(matrix: Expr) -> Printed:
    """A matrix that varies, left of @."""
    if isinstance(matrix, Flipped):
        return wrapped(_print(matrix.args[0]), ATOM) + ".T", ATOM
    return _print(matrix)


def matrix_text(matrix: Any) -> Printed:
    """A matrix expression left of @."""
    match matrix:
        case sympy.MatrixSymbol(name=name):
            return name_text(name, matrix), ATOM
        case sympy.Transpose(arg=inner):
            return wrapped(matrix_text(inner), ATOM) + ".T", ATOM
        case sympy.MatAdd():
            terms = [matrix_text(term)[0] for term in matrix.args]
            return reduce(lambda a, b: f"{a} - {b[1:]}" if b.startswith("-") else f"{a} + {b}", terms), SUM
        case sympy.MatMul():
            numbers = [a for a in matrix.args if not isinstance(a, MatrixExpr)]
            texts = [wrapped(matrix_text(f), ATOM) for f in matrix.args if isinstance(f, MatrixExpr)]
            if len(texts) > 1:
                return _scaled_chain(sympy.Mul(*numbers), texts, matrix)
            coefficient = sympy.Mul(*numbers)
            if coefficient == -1:
                return f"-{texts[0]}", SUM
            text, level = _plain_number(coefficient)
            if level == SUM and not coefficient.is_number:
                text = f"({text})"
            return f"{text}*{texts[0]}", SUM if text.startswith("-") else TERM
    raise no_word(matrix)


def _plain_number(expr: Expr) -> Printed:
    """A factor of a matrix: a number, or a constant by its name."""
    return number_text(expr) if expr.is_number else _print(expr)


def _scaled_chain(coefficient: Expr, texts: list[str], matrix: MatrixExpr) -> Printed:
    if coefficient != 1:
        raise no_word(matrix)
    return " @ ".join(texts), TERM


def _call(expr: Any) -> str:
    """A function of the language, SymPy's own or an undefined one of the same name."""
    kind = _PLAIN.get(type(expr), type(expr))
    name = getattr(kind, "text", None) or expr.func.__name__
    match expr:
        case functions.Where(args=(condition, then, otherwise)):
            return f"where({_condition(condition)}, {_print(then)[0]}, {_print(otherwise)[0]})"
        case sympy.Piecewise():
            return _piecewise(list(expr.args), expr)
        case sympy.Max() | sympy.Min():
            word = "maximum" if isinstance(expr, sympy.Max) else "minimum"
            return reduce(lambda a, b: f"{word}({a}, {b})", (_print(a)[0] for a in expr.args))
        case OuterProduct():
            return f"outer({', '.join(_print(a)[0] for a in expr.args)})"
        case functions.UnitFunction() | AppliedUndef() if name in FUNCTIONS:
            return f"{name}({', '.join(_print(a)[0] for a in expr.args)})"
    if type(expr) in _PLAIN and len(expr.args) in kind.nargs:
        return f"{name}({', '.join(_print(a)[0] for a in expr.args)})"
    raise no_word(expr)


def _piecewise(branches: list[Any], expr: Expr) -> str:
    (value, condition), *rest = branches
    if condition == sympy.true:
        return _print(value)[0]
    if not rest:
        raise CellError(f"{str(expr)[:80]} says nothing for the remaining values: end it with (value, True)")
    return f"where({_condition(condition)}, {_print(value)[0]}, {_piecewise(rest, expr)})"


def _condition(condition: Any) -> str:
    sign = _SIGNS.get(type(condition)) or _RELATIONS.get(type(condition))
    if sign is None:
        raise no_word(condition)
    left, right = condition.args
    return f"{_print(left)[0]} {sign} {_print(right)[0]}"
