"""A scalar body as calls over whole arrays that write into given room: nothing is allocated.

For targets without registers. A call is data (:class:`symcell.program.model.Call`), the same for every language of that
kind. Negation is a product with -1 or a subtraction from: never an operation of its own, which NumPy 2.1 to 2.4 get
wrong in place on arrays of one column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy
from sympy import Expr

from symcell.graph import Operand
from symcell.program.model import Arg, Call, Mask, Out, Place, Temp
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Param
from symcell.symbolic.ordering import Order, factors, terms


@dataclass(frozen=True)
class Calls:
    """A body's calls, how many temporaries they need, and whether they need room for a condition."""

    calls: tuple[Call, ...]
    temporaries: int
    mask: bool


def calls(body: Expr, order: tuple[Operand, ...] = (), moved: frozenset[At] = frozenset()) -> Calls:
    """The calls that compute ``body``, in order; the last writes the result.

    Terms and factors are taken in the order of the page, ``order`` being the body's operands in that order. ``moved``:
    operands in whose place the result is computed. They are read before it is written; where that cannot be arranged
    they are copied out of the way first.
    """
    writer = _Writer(order, moved)
    value = writer.into(body, Out())
    if value != Out():
        writer.write("copy", (value,), Out())
    made = writer.made
    for operand in sorted(moved, key=lambda a: a.name):
        made = _saved(made, operand, Temp(writer.high)) if _lost(made, operand) else made
    room = [p.number + 1 for c in made for p in (*c.args, c.out) if isinstance(p, Temp)]
    masked = any(isinstance(c.out, Mask) or needs_mask(c.function) for c in made)
    return Calls(tuple(made), max(room, default=0), masked)


def needs_mask(function: Any) -> bool:
    """Whether a function's own form over arrays needs room for a condition."""
    elementwise = isinstance(function, type) and issubclass(function, fn.Elementwise)
    return elementwise and any("{m}" in line for line in function.row.numpy)


def overwrites(function: Any, position: int) -> bool:
    """Whether a call's result may stand where its argument number ``position`` stands."""
    return function != "select" if isinstance(function, str) else position in function.row.overwrites


def _lost(made: Sequence[Call], operand: At) -> bool:
    """Whether an operand that stands in the result's place is read when it has been overwritten."""
    written = False
    for call in made:
        for position, arg in enumerate(call.args):
            if arg == operand and (written or (call.out == Out() and not overwrites(call.function, position))):
                return True
        written |= call.out == Out()
    return False


def _saved(made: Sequence[Call], operand: At, place: Temp) -> list[Call]:
    """The calls, with a copy of the operand read in its stead."""
    read = [replace(c, args=tuple(place if a == operand else a for a in c.args)) for c in made]
    return [Call("copy", (operand,), place), *read]


@dataclass(frozen=True)
class _Part:
    """A term of a sum or a factor of a product: ``inverse`` where it is subtracted or divided by."""

    inverse: bool
    expr: Expr


class _Writer:
    """Collects calls. Temporaries are taken and given back like a stack: ``depth`` are taken, ``high`` were at most."""

    def __init__(self, order: tuple[Operand, ...], moved: frozenset[At]) -> None:
        self.order, self.moved = Order(order), moved
        self.made: list[Call] = []
        self.depth = self.high = 0

    def write(self, function: type[sympy.Function] | str, args: tuple[Arg, ...], out: Place) -> None:
        self.made.append(Call(function, args, out))

    def temporary(self) -> Temp:
        self.depth += 1
        self.high = max(self.high, self.depth)
        return Temp(self.depth - 1)

    def value(self, expr: Expr) -> Arg:
        """Where the value of ``expr`` stands: an operand, a number, or a temporary it has been computed into."""
        simple = _simple(expr)
        return simple if simple is not None else self.into(expr, self.temporary())

    def into(self, expr: Expr, out: Place) -> Arg:
        """Compute ``expr`` into ``out`` unless it stands somewhere already; where it stands."""
        simple = _simple(expr)
        if simple is not None:
            return simple
        taken = self.depth
        if isinstance(expr, fn.Detached):
            self.into(expr.args[0], out)
        elif isinstance(expr, sympy.Add):
            self._add(expr, out)
        elif isinstance(expr, sympy.Mul):
            self._multiply(expr, out)
        elif isinstance(expr, sympy.Pow):
            self._power(expr, out)
        elif isinstance(expr, fn.Where):
            self._where(expr, out)
        else:
            self._function(expr, out)
        self.depth = taken
        return out

    def _moves(self, expr: Expr) -> bool:
        return bool(self.moved) and bool(expr.atoms(At) & self.moved)

    def _lead(self, parts: Sequence[_Part]) -> int:
        """The part to be computed into the result's own place: what must be read first, else the first that is to be
        computed at all, if it is one of the first two."""
        moving = (k for k, p in enumerate(parts) if self._moves(p.expr))
        early = (k for k, p in enumerate(parts[:2]) if _simple(p.expr) is None)
        return next(moving, next(early, 0))

    def _add(self, expr: sympy.Add, out: Place) -> None:
        parts = [_Part(minus, term) for minus, term in terms(expr, self.order)]
        negated = all(p.inverse for p in parts)
        if negated:
            parts = [_Part(False, p.expr) for p in parts]
        self._chain(parts, out, ("add", "subtract"))
        if negated:
            self.write("multiply", (out, sympy.Integer(-1)), out)

    def _multiply(self, expr: sympy.Mul, out: Place) -> None:
        scale, above, below = factors(expr, self.order)
        parts = [_Part(False, a) for a in above] + [_Part(True, b) for b in below]
        if above and scale.is_Rational and abs(scale.p) == 1:
            if scale != 1:
                last = scale if scale.q == 1 else 1 / scale
                parts.append(_Part(scale.q != 1, last))
        else:
            parts.insert(0, _Part(False, scale))
        self._chain(parts, out, ("multiply", "divide"))

    def _chain(self, parts: Sequence[_Part], out: Place, functions: tuple[str, str]) -> None:
        """Join parts one after the other, in their order as far as it can be; ``functions``: straight and inverse."""
        straight, inverse = functions
        lead = self._lead(parts)
        total = self.into(parts[lead].expr, out)
        others = [k for k in range(len(parts)) if k != lead]
        if parts[lead].inverse:
            partner = next((k for k in others if not parts[k].inverse), None)
            if partner is None:
                self.write("reciprocal", (total,), out)
            else:
                others.remove(partner)
                self.write(inverse, (self.value(parts[partner].expr), total), out)
            total = out
        for k in others:
            taken = self.depth
            value = self.value(parts[k].expr)
            pair = (value, total) if k < lead and not parts[k].inverse else (total, value)
            self.write(inverse if parts[k].inverse else straight, pair, out)
            self.depth, total = taken, out
        if total != out:
            self.write("copy", (total,), out)

    def _power(self, expr: sympy.Pow, out: Place) -> None:
        base, exponent = expr.args
        if not (exponent.is_number and abs(exponent) in _ROOTS):
            self.write("power", (self.into(base, out), self.value(exponent)), out)
            return
        names = _ROOTS[abs(exponent)]
        value = self.value(base) if "multiply" in names else self.into(base, out)
        total = value
        for name in names:
            self.write(name, (total, value) if name == "multiply" else (total,), out)
            total = out
        if exponent.is_negative:
            self.write("reciprocal", (total,), out)

    def _function(self, expr: Expr, out: Place) -> None:
        kind = type(expr)
        first, *others = expr.args
        value = self.into(first, out) if overwrites(kind, 0) else self.value(first)
        self.write(kind, (value, *(self.value(other) for other in others)), out)

    def _where(self, expr: Expr, out: Place) -> None:
        condition, then, otherwise = expr.args
        taken = self.value(then)
        masked = any(needs_mask(type(e)) or isinstance(e, fn.Where) for e in sympy.preorder_traversal(otherwise))
        other = self.value(otherwise) if masked else None
        if isinstance(condition, fn.Predicate):
            self.write(type(condition), tuple(self.value(a) for a in condition.args), Mask())
        else:
            self.write(fn.NotEqual, (self.value(condition), sympy.Integer(0)), Mask())
        if other is None:
            other = self.into(otherwise, out)
        if other != out:
            self.write("copy", (other,), out)
        self.write("select", (Mask(), taken), out)


_ROOTS: dict[Expr, tuple[str, ...]] = {
    sympy.Integer(1): (),
    sympy.Integer(2): ("square",),
    sympy.Integer(3): ("square", "multiply"),
    sympy.Integer(4): ("square", "square"),
    sympy.Rational(1, 2): ("sqrt",),
}
"""Powers by cheaper means, by the size of the exponent; ``multiply`` is by the base."""


def _simple(expr: Expr) -> Arg | None:
    """An expression that needs no call: an operand, or a number (of named constants and counts, perhaps)."""
    if isinstance(expr, fn.Detached):
        return _simple(expr.args[0])
    if isinstance(expr, At | Param) or not expr.has(At, Param, fn.Elementwise):
        return expr
    return None
