"""What printers and reports ask of the table: the definitions that used functions need, and what a body costs."""

from __future__ import annotations

from collections.abc import Iterable

import sympy
from sympy import Expr

from symcell.symbolic.functions.table import FUNCTIONS, TRANSCENDENTAL, Elementwise


def used(bodies: Iterable[Expr]) -> tuple[type[Elementwise], ...]:
    """The functions in some bodies, in the table's order."""
    found = {type(node) for body in bodies for node in body.atoms(Elementwise)}
    return tuple(f for f in FUNCTIONS if f in found)


def prelude(used: Iterable[type[sympy.Function]], qualifier: str = "static inline") -> tuple[str, ...]:
    """C definitions of the functions among ``used`` that C lacks, each after those it calls, over the type ``real``."""
    needed = set()
    waiting = list(used)
    while waiting:
        function = waiting.pop()
        if function not in needed and issubclass(function, Elementwise):
            needed.add(function)
            waiting += function.row.needs
    # a row can only name rows above it, so the table's order is one of dependency
    return tuple(f"{qualifier} {f.row.definition}" for f in FUNCTIONS if f in needed and f.row.definition)


def python_helpers(used: Iterable[type[sympy.Function]], package: str = "np") -> tuple[str, ...]:
    """Python definitions that the calls of the functions among ``used`` need; ``package``: ``np`` or ``cp``."""
    asked = set(used)
    texts = dict.fromkeys(text for f in FUNCTIONS if f in asked for text in f.row.python)
    return tuple(text.replace("np.", f"{package}.") for text in texts)


def calls(function: type[Elementwise], arguments: Iterable[str], out: str, mask: str, package: str = "np") -> list[str]:
    """The lines that compute a function of arrays into ``out``."""
    lines = (line.replace("np.", f"{package}.", 1) for line in function.row.numpy)
    return [line.format(*arguments, o=out, m=mask) for line in lines]


def c_names() -> tuple[str, ...]:
    """The names that the table takes in C: those of functions, its own and C's."""
    return tuple(sorted({f.row.c for f in FUNCTIONS if f.row.c.isidentifier()}))


def cost(body: Expr) -> int:
    """What a scalar body costs per unit, in additions: a sign is free, a quotient is one operation."""
    inside = sum(cost(a) for a in body.args)
    if isinstance(body, sympy.Add):
        return inside + len(body.args) - 1
    if isinstance(body, sympy.Mul):
        factors = [a for a in body.args if a != -1]
        divisors = sum(_is_division(a) for a in factors)
        # each divisor has counted its own division; a product of divisors alone has 1 above the line
        return inside + max(len(factors) - 1 - divisors, 0)
    if isinstance(body, sympy.Pow):
        exponent = abs(body.exp)
        if exponent == 1:
            return inside + 1
        return inside + _is_division(body) + (TRANSCENDENTAL if exponent != 2 else 1)
    return inside + (type(body).row.cost if isinstance(body, Elementwise) else 0)


def _is_division(expr: Expr) -> bool:
    return isinstance(expr, sympy.Pow) and bool(expr.exp.is_number and expr.exp.is_negative)
