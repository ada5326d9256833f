"""SymPy bodies as C expressions over one unit: shared by every target that is compiled."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Expr

from symcell.emit.arithmetic import fraction, signed_terms
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Param

CALLS: dict[type[fn.Elementwise], str] = {
    fn.Sigmoid: "sigmoid",
    fn.Tanh: "tanh",
    fn.Relu: "relu",
    fn.Exp: "exp",
    fn.Log: "log",
    fn.Sqrt: "sqrt",
    fn.EuclideanRoot: "sqrt",
    fn.Abs: "fabs",
    fn.Sin: "sin",
    fn.Cos: "cos",
    fn.Erf: "erf",
    fn.NormalCdf: "normal_cdf",
    fn.Softplus: "softplus",
    fn.Elu: "elu",
    fn.Softsign: "softsign",
    fn.HardSigmoid: "hard_sigmoid",
    fn.HardTanh: "hard_tanh",
    fn.Sign: "sign",
    fn.Maximum: "maximum",
    fn.Minimum: "minimum",
    fn.Clip: "clip",
    fn.Power: "pow",
}
"""The C function of each function; those that C lacks are defined in the target's prelude."""

COMPARE: dict[type[fn.Elementwise], str] = {fn.Greater: ">", fn.GreaterEqual: ">=", fn.Equal: "==", fn.NotEqual: "!="}

ADD, SUBTRACT, MULTIPLY, UNARY = 1, 2, 3, 4
"""How tightly the place of an expression binds; SUBTRACT is the place behind a minus sign."""


def number(expr: Expr) -> str:
    """A number as a C literal of type ``real``; a small integer stays one, which converts exactly."""
    if expr.is_Integer and abs(int(expr)) < 2**23:
        return str(int(expr))
    return f"(real){float(expr)!r}"


def c_code(expr: Expr, operand: Callable[[At | Param | Count], str], level: int = 0) -> str:
    """``expr`` in C, in brackets where it binds less tightly than ``level``."""
    if isinstance(expr, At | Param | Count):
        return operand(expr)
    if isinstance(expr, fn.Detached):
        return c_code(expr.args[0], operand, level)
    if expr.is_number and not expr.has(fn.Elementwise):
        text = number(expr)
        return f"({text})" if text.startswith("-") and level >= SUBTRACT else text
    if isinstance(expr, sympy.Add):
        return _bracket(_sum(expr, operand), level > ADD)
    if isinstance(expr, sympy.Mul):
        return _bracket(_product(expr, operand), level > MULTIPLY)
    if isinstance(expr, sympy.Pow):
        return _power(expr, operand, level)
    if type(expr) in COMPARE:
        left, right = (c_code(a, operand, UNARY) for a in expr.args)
        return f"(real)({left} {COMPARE[type(expr)]} {right})"
    if isinstance(expr, fn.Where):
        condition, then, otherwise = expr.args
        test = c_code(condition, operand, UNARY)
        return f"({test} != 0 ? {c_code(then, operand, UNARY)} : {c_code(otherwise, operand, UNARY)})"
    # an integer would leave the choice between the float and the double overload open
    args = (f"(real){number(a)}" if a.is_Integer else c_code(a, operand) for a in expr.args)
    return f"{CALLS[type(expr)]}({', '.join(args)})"


def _bracket(text: str, needed: bool) -> str:
    return f"({text})" if needed else text


def _sum(expr: sympy.Add, operand: Callable[[At | Param | Count], str]) -> str:
    terms = sorted(signed_terms(expr), key=lambda t: t[0])
    minus, first = terms[0]
    out = c_code(-first if minus else first, operand, ADD)
    for minus, term in terms[1:]:
        out += f" - {c_code(term, operand, SUBTRACT)}" if minus else f" + {c_code(term, operand, ADD)}"
    return out


def _product(expr: sympy.Mul, operand: Callable[[At | Param | Count], str]) -> str:
    factor, above, below = fraction(expr)
    if factor.is_Rational and factor.q != 1 and abs(factor.p) == 1:
        below.append(sympy.Integer(factor.q))
        factor = sympy.Integer(factor.p)
    texts = [c_code(a, operand, MULTIPLY) for a in above]
    if factor not in (1, -1):
        texts.insert(0, c_code(factor, operand, MULTIPLY))
    out = " * ".join(texts) or "1"
    for part in below:
        out += f" / {c_code(part, operand, UNARY)}"
    return f"-{out}" if factor == -1 else out


def _power(expr: sympy.Pow, operand: Callable[[At | Param | Count], str], level: int) -> str:
    base, exponent = expr.args
    if exponent == 2 and isinstance(base, At | Param):
        return _bracket(f"{operand(base)} * {operand(base)}", level >= MULTIPLY)
    if exponent == -1 or exponent == -2:
        return _bracket(f"1 / {c_code(base**-exponent, operand, UNARY)}", level >= MULTIPLY)
    if float(exponent) == 0.5:
        return f"sqrt({c_code(base, operand)})"
    return f"pow({c_code(base, operand)}, (real){number(exponent)})".replace("(real)(real)", "(real)")
