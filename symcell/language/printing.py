"""SymPy expressions in the words of the cell language, so that a parser reads the same expression back."""

from __future__ import annotations

from functools import reduce
from typing import Any

import sympy
from sympy import Expr, MatrixExpr
from sympy.core.function import AppliedUndef

from symcell.cell import CellError
from symcell.language.build import COMPARISONS
from symcell.language.names import FUNCTIONS, is_identifier
from symcell.symbolic import functions
from symcell.symbolic.nodes import At, Hadamard, Join, MatVec, Minus, Node, Quotient, Sum

SUM, TERM, POWER, ATOM = range(4)
Printed = tuple[str, int]
"""A text, and how tightly what it holds together binds."""

_SIGNS = {kind: sign for sign, kind in COMPARISONS.items()}
_RELATIONS = {
    sympy.Gt: ">",
    sympy.Ge: ">=",
    sympy.Lt: "<",
    sympy.Le: "<=",
    sympy.Eq: "==",
    sympy.Ne: "!=",
}
_PLAIN = {
    sympy.exp: "exp",
    sympy.log: "log",
    sympy.tanh: "tanh",
    sympy.sin: "sin",
    sympy.cos: "cos",
    sympy.Abs: "abs",
    sympy.erf: "erf",
    sympy.sign: "sign",
}


def to_text(expr: Expr) -> str:
    """The expression in the cell language; CellError, naming the part, where the language has no word for it."""
    try:
        return _print(expr)[0]
    except RecursionError:
        raise CellError("this expression nests too deep for the cell language: name a part of it") from None
    except (OverflowError, ValueError) as error:
        raise error if isinstance(error, CellError) else CellError(f"a number is no double: {error}") from None


def no_word(expr: object) -> CellError:
    text = str(expr)
    text = text if len(text) <= 80 else text[:79] + "…"
    return CellError(f"the cell language has no word for {text} ({type(expr).__name__})")


def time_read(expr: Any) -> tuple[str, int] | None:
    """The name and lag of ``At``, ``Function('h')(t-1)`` or ``IndexedBase('h')[t-1]``; None for anything else.

    Raises CellError where the index is no earlier time.
    """
    if isinstance(expr, At):
        name, lag = expr.signal, expr.lag
    elif isinstance(expr, sympy.Indexed) and len(expr.indices) == 1:
        name, lag = str(expr.base.label), _lag(expr.indices[0], expr)
    elif isinstance(expr, AppliedUndef) and len(expr.args) == 1 and expr.func.__name__ not in FUNCTIONS:
        name, lag = expr.func.__name__, _lag(expr.args[0], expr)
    else:
        return None
    if lag < 0:
        raise CellError(f"{expr} reads the future: write the equation one step earlier")
    return _name(name, expr), lag


def _lag(index: Expr, expr: object) -> int:
    times = [s for s in index.free_symbols if isinstance(s, sympy.Symbol) and s.name == "t"]
    if len(times) == 1 and isinstance(lag := sympy.expand(times[0] - index), sympy.Integer):
        return int(lag)
    raise CellError(f"{expr}: the index of a name is t or t minus a whole number")


def _name(name: str, expr: object) -> str:
    if is_identifier(name):
        return name
    raise CellError(f"{name[:80]!r} cannot be a name in the cell language: use letters, digits and _")


def _wrapped(printed: Printed, least: int) -> str:
    text, level = printed
    return text if level >= least else f"({text})"


def _print(expr: Any) -> Printed:
    if not isinstance(expr, Expr):
        raise no_word(expr)
    read = time_read(expr)
    if read is not None:
        name, lag = read
        return (f"{name}[t-{lag}]" if lag else f"{name}[t]"), ATOM
    if expr.is_number and not expr.has(sympy.Function, Node):
        return _number(expr)
    match expr:
        case sympy.Symbol(name=name):
            return _name(name, expr), ATOM
        case Sum():
            return _sum(expr.args)
        case sympy.Add():
            return _sum(expr.as_ordered_terms())
        case Minus(args=(inner,)):
            return "-" + _wrapped(_print(inner), TERM), SUM
        case Hadamard():
            return _product(expr.args), TERM
        case sympy.Mul():
            return _plain_product(expr)
        case Quotient(args=(above, below)):
            return f"{_factor(above, True)} / {_wrapped(_print(below), POWER)}", TERM
        case sympy.Pow() | functions.Power():
            base, exponent = expr.as_base_exp() if isinstance(expr, sympy.Pow) else expr.args
            return f"{_wrapped(_print(base), ATOM)} ** {_wrapped(_print(exponent), ATOM)}", POWER
        case MatVec(args=(matrix, vector)):
            left = matrix_text(matrix)
            return f"{_wrapped(left, ATOM)} @ {_wrapped(_joined(vector), ATOM)}", TERM
    return _call(expr), ATOM


def _number(expr: Expr) -> Printed:
    """A constant; a negative one and a fraction bind as loosely as what they are written with."""
    if not expr.is_finite or not expr.is_real:
        raise no_word(expr)
    match expr:
        case sympy.Integer():
            text, level = str(abs(int(expr))), ATOM
        case sympy.Rational():
            text, level = f"{abs(int(expr.p))}/{int(expr.q)}", TERM
        case sympy.Float() | sympy.NumberSymbol() if expr != sympy.pi:
            text, level = repr(abs(float(expr))), ATOM
        case _:
            coefficient, rest = expr.as_coeff_Mul()
            if rest != sympy.pi:
                text, level = repr(abs(float(expr))), ATOM
            elif abs(coefficient) == 1:
                text, level = "pi", ATOM
            else:
                text, level = f"{_number(abs(coefficient))[0]}*pi", TERM
    return (f"-{text}", SUM) if expr.is_negative else (text, level)


def _sum(terms: Any) -> Printed:
    out = ""
    for term in terms:
        negative = isinstance(term, Minus)
        inner = term.args[0] if negative else term
        if not negative and isinstance(term, sympy.Mul) and term.as_coeff_Mul()[0].is_negative:
            negative, inner = True, -term
        text = _wrapped(_print(inner), TERM)
        if not out:
            out = f"-{text}" if negative else _print(inner)[0] if inner.is_number else text
        else:
            out += f" - {text}" if negative else f" + {text}"
    return out, SUM


def _factor(expr: Expr, first: bool) -> str:
    """A factor of a written product: only the first one may hold a product or a quotient without brackets."""
    if isinstance(expr, MatVec):
        return _wrapped(_print(expr), ATOM)
    if first and expr.is_number:
        return _print(expr)[0]
    return _wrapped(_print(expr), TERM if first else POWER)


def _product(factors: Any) -> str:
    return " * ".join(_factor(factor, first=k == 0) for k, factor in enumerate(factors))


def _plain_product(expr: Expr) -> Printed:
    """SymPy's own product: the sign first, negative powers below the line."""
    coefficient, rest = expr.as_coeff_Mul()
    if coefficient.is_negative:
        return "-" + _wrapped(_print(-expr), TERM), SUM
    above, below = [] if coefficient == 1 else [coefficient], []
    for factor in rest.as_ordered_factors():
        base, exponent = factor.as_base_exp()
        if isinstance(factor, sympy.Pow) and exponent.is_Rational and exponent.is_negative:
            below.append(base**-exponent)
        else:
            above.append(factor)
    text = _product(above or [sympy.Integer(1)])
    return (" / ".join([text, *(_wrapped(_print(b), POWER) for b in below)])), TERM


def _joined(vector: Expr) -> Printed:
    if isinstance(vector, Join):
        return f"[{', '.join(_print(part)[0] for part in vector.args)}]", ATOM
    return _print(vector)


def matrix_text(matrix: Any) -> Printed:
    """A matrix expression left of @."""
    match matrix:
        case sympy.MatrixSymbol(name=name):
            return _name(name, matrix), ATOM
        case sympy.Transpose(arg=inner):
            return _wrapped(matrix_text(inner), ATOM) + ".T", ATOM
        case sympy.MatAdd():
            terms = [matrix_text(term)[0] for term in matrix.args]
            return reduce(lambda a, b: f"{a} - {b[1:]}" if b.startswith("-") else f"{a} + {b}", terms), SUM
        case sympy.MatMul():
            coefficient, rest = matrix.as_coeff_mmul()
            factors = rest.args if isinstance(rest, sympy.MatMul) else (rest,)
            texts = [_wrapped(matrix_text(f), ATOM) for f in factors]
            if len(texts) > 1:
                return _scaled_chain(coefficient, texts, matrix)
            if coefficient == -1:
                return f"-{texts[0]}", SUM
            text, level = _number(coefficient)
            return f"{text}*{texts[0]}", SUM if text.startswith("-") else level and TERM
    raise no_word(matrix)


def _scaled_chain(coefficient: Expr, texts: list[str], matrix: MatrixExpr) -> Printed:
    if coefficient != 1:
        raise no_word(matrix)
    return " @ ".join(texts), TERM


def _call(expr: Any) -> str:
    """A function of the language, SymPy's own or an undefined one of the same name."""
    name = getattr(type(expr), "text", None) or _PLAIN.get(type(expr)) or expr.func.__name__
    match expr:
        case functions.Where(args=(condition, then, otherwise)):
            return f"where({_condition(condition)}, {_print(then)[0]}, {_print(otherwise)[0]})"
        case sympy.Piecewise():
            return _piecewise(list(expr.args), expr)
        case sympy.Max() | sympy.Min():
            word = "maximum" if isinstance(expr, sympy.Max) else "minimum"
            return reduce(lambda a, b: f"{word}({a}, {b})", (_print(a)[0] for a in expr.args))
        case functions.UnitFunction() | AppliedUndef() if name in FUNCTIONS:
            return f"{name}({', '.join(_print(a)[0] for a in expr.args)})"
    if type(expr) in _PLAIN and len(expr.args) == 1:
        return f"{name}({_print(expr.args[0])[0]})"
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
