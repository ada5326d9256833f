"""A cell in textbook form: each composite that reads what varies becomes a signal, and so does what it is taken of.

``i[t] = sigmoid(layernorm(W_i @ x[t], a_i) + b_i)`` is put down as w_i = W_i x, ŵ_i = layernorm(w_i) and
i = σ(a_i ⊙ ŵ_i + b_i): the cell is the same function, and its adjoint holds the cotangents of both. As an argument is
read by its composite alone, its cotangent is what the composite sends back: one formula for each kind of composite.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

import sympy
from sympy import Expr

from symcell.cell import Cell, Shape, Size, is_one
from symcell.derivation.composites import is_composed, is_composite
from symcell.derivation.textbook import Occurrence, Textbook, letters, lower_case
from symcell.fresh import Names
from symcell.language import parse
from symcell.lower.shapes import Shapes
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Hadamard, MatVec, Sum, written
from symcell.transforms.transformed import names_in, remade


def textbook(cell: Cell) -> Textbook:
    """``cell`` in textbook form. What is fixed (``norm(b)``) or of one unit stays as it is."""
    rewriter = _Rewriter(cell)
    equations = [e for equation in cell.equations for e in rewriter.equation(equation)]
    if not rewriter.occurrences:
        return Textbook(cell, cell)
    made = remade(cell, "textbook", equations, rewriter.shapes, {})
    return Textbook(made, cell, tuple(rewriter.occurrences), rewriter.printed)


class _Rewriter:
    def __init__(self, cell: Cell) -> None:
        self.names = names_in(cell)
        known = {**cell.inputs, **cell.signals, **{n: p.shape for n, p in cell.parameters.items()}, **cell.arrays}
        self.known = Shapes(known)
        self.letters = letters(cell) or ["aux"]
        self.shapes: dict[str, Shape] = {}
        self.printed: dict[str, str] = {}
        self.occurrences: list[Occurrence] = []
        self.seen: dict[Expr, Expr] = {}
        self.made: list[sympy.Eq] = []
        self.signal = ""

    def equation(self, equation: sympy.Eq) -> Iterator[sympy.Eq]:
        """An equation, behind those of the signals that it needs."""
        self.signal, self.made = equation.lhs.signal, []
        right = self.rewritten(equation.rhs, whole=True)
        yield from self.made
        yield sympy.Eq(equation.lhs, right, evaluate=False)

    def rewritten(self, expr: Any, whole: bool = False) -> Any:
        if not expr.args or isinstance(expr, sympy.MatrixExpr):
            return expr
        if is_composite(expr) and self.deserves(expr):
            return self.composite(expr, whole)
        return expr.func(*(self.rewritten(a) for a in expr.args))

    def deserves(self, expr: Any) -> bool:
        argument = expr.args[0]
        if len(self.known.of(argument)) > 1 or not written(argument).atoms(At):
            return False
        if is_composed(expr):
            return all(a.is_number or isinstance(a, Constant) for a in expr.args[1:])
        return not is_one(self.known.of(argument))

    def composite(self, expr: Any, whole: bool) -> Expr:
        """A gain and a bias stand outside of what is named."""
        rest: tuple[Expr, ...] = expr.args[1:]
        constants, around = (rest, ()) if is_composed(expr) else ((), rest)
        key = expr.func(self.rewritten(expr.args[0]), *constants)
        normal: Expr
        if key in self.seen:
            normal = self.seen[key]
        elif whole and not around:
            argument, plain = self.argument(key)
            self.seen[key] = At(self.signal)
            return self.use(key, argument, self.signal, plain, inside=False)
        else:
            argument, plain = self.argument(key)
            value = self.value(key, argument, plain)
            applied = self.use(key, argument, value, plain, inside=is_composed(key))
            self.made.append(sympy.Eq(At(value), applied, evaluate=False))
            normal = self.seen[key] = At(value)
        gain, *bias = (self.rewritten(a) for a in around) if around else (sympy.Integer(1),)
        gained = Hadamard(gain, normal) if around else normal
        return Sum(gained, *bias) if bias else gained

    def use(self, key: Any, argument: str, value: str, plain: bool, inside: bool) -> Expr:
        applied: Expr = key.func(At(argument), *key.args[1:])
        self.occurrences.append(Occurrence(applied, argument, value, self.signal, plain, inside))
        return applied

    # names

    def argument(self, key: Any) -> tuple[str, bool]:
        """The signal that a function is taken of, and whether that is a plain value."""
        of = key.args[0]
        inside = {o.value for o in self.occurrences if o.inside}
        plain = isinstance(of, At) and of.signal not in inside
        name = self.names.fresh(*([f"{of.signal}_read"] if plain else self.argument_names(of)))
        self.declare(name, self.known.of(of))
        self.made.append(sympy.Eq(At(name), of, evaluate=False))
        return name, plain

    def argument_names(self, of: Any) -> Iterator[str]:
        """``w_i`` for ``W_i @ x[t]``; else a free letter with the signal's name."""
        if isinstance(of, MatVec) and isinstance(of.args[0], sympy.MatrixSymbol):
            yield from lower_case(str(of.args[0].name))
        yield from (f"{letter}_{self.signal}" for letter in self.letters)

    def value(self, key: Any, argument: str, plain: bool) -> str:
        of = key.args[0].signal if plain and not key.args[0].lag else "" if plain else argument
        name, shown = self.value_names(key, of, argument)
        self.declare(name, () if key.func in (fn.UnitNorm, fn.UnitVar) else self.shapes[argument])
        if shown != name:
            self.printed[name] = shown
        return name

    def value_names(self, key: Any, of: str, argument: str) -> tuple[str, str]:
        if is_composed(key):
            return (hidden := self.names.fresh(f"{key.text}_{argument}")), hidden
        head, mark, tail = of.partition("_")
        if isinstance(key, fn.LayerNorm | fn.RmsNorm) and len(head) == 1:
            return self.names.fresh(f"{of}_hat"), unicodedata.normalize("NFC", f"{head}\u0302{mark}{tail}")
        own = {fn.Softmax: "p", fn.UnitNorm: "rho", fn.UnitVar: "nu"}.get(type(key), "n")
        return (name := self.names.fresh(own, f"{own}_{self.signal}")), name

    def declare(self, name: str, shape: Shape) -> None:
        self.known.names[name] = self.shapes[name] = shape or (Size.of(1),)


def samples(book: Textbook) -> Iterator[Cell]:
    """For each kind of composite over units the cell that is it alone, ``v = F(u)``: what its lemma is derived from."""
    cell = book.source
    taken = {*cell.signals, *cell.inputs, *cell.parameters, *cell.arrays, *cell.constants, *cell.sizes}
    units = Names(taken).fresh("N", "P", "Q", "units")
    return (sample(kind, units) for kind in book.kinds)


def sample(function: type[fn.OverUnits], units: str = "N") -> Cell:
    """The cell that is a composite alone, of a vector with so many units."""
    size = "1" if function.to_one else units
    return parse(f"u: {units}\nv: {size}\noutput: v\nv[t] = {function.text}(u[t])\n", name=function.text)
