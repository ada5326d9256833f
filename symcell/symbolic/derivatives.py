"""Partial derivatives of bodies: the rules for sums, products and powers, and each function's own.

The results are SymPy's. Its own ``diff`` is not used because it looks at a whole sum for every symbol in it, which a
sum of n gates pays n times.
"""

from __future__ import annotations

import sympy
from sympy import Expr, Integer, Symbol


def partials(body: Expr) -> dict[Symbol, Expr]:
    """The derivatives of ``body`` by the symbols in it; those that are zero are left out."""
    collected: dict[Symbol, list[Expr]] = {}
    for term in sympy.Add.make_args(body):
        for symbol in sorted(term.free_symbols, key=lambda s: s.name):
            collected.setdefault(symbol, []).append(derivative(term, symbol))
    summed = {symbol: sympy.Add(*parts) for symbol, parts in collected.items()}
    return {symbol: total for symbol, total in summed.items() if total != 0}


def derivative(expr: Expr, symbol: Symbol) -> Expr:
    """The derivative of an elementwise expression."""
    if expr == symbol:
        return Integer(1)
    if symbol not in expr.free_symbols:
        return Integer(0)
    inner = [derivative(a, symbol) for a in expr.args]
    if isinstance(expr, sympy.Add):
        return sympy.Add(*inner)
    if isinstance(expr, sympy.Mul):
        factors = expr.args
        return sympy.Add(*(sympy.Mul(*factors[:k], d, *factors[k + 1 :]) for k, d in enumerate(inner) if d != 0))
    if isinstance(expr, sympy.Pow):
        base, exponent = expr.args
        by_base = exponent * base ** (exponent - 1) * inner[0]
        return by_base if inner[1] == 0 else by_base + expr * sympy.log(base) * inner[1]
    return sympy.Add(*(expr.fdiff(k) * d for k, d in enumerate(inner, 1) if d != 0))
