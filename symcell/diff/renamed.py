"""A cell under other names: the same equations, nothing computed anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import sympy

from symcell.cell import Cell, Shape, Size, units
from symcell.symbolic.nodes import At, Constant, Count, Param

_V = TypeVar("_V")


def renamed(cell: Cell, names: Mapping[str, str], sizes: Mapping[str, str]) -> Cell:
    """``cell`` with its values and sizes called otherwise, all at once; what is not mentioned keeps its name.

    Its text, which is still in the old names, says so in its first line: it is no cell to be read again.
    """
    names = {name: there for name, there in names.items() if name != there}
    sizes = {name: there for name, there in sizes.items() if name != there}
    if not names and not sizes:
        return cell
    return _Renaming(names, sizes).cell(cell)


class _Renaming:
    def __init__(self, names: Mapping[str, str], sizes: Mapping[str, str]) -> None:
        self.names, self.sizes = names, sizes

    def cell(self, cell: Cell) -> Cell:
        what = ", ".join(f"{name} is {there}" for name, there in (*self.names.items(), *self.sizes.items()))
        return replace(
            cell,
            text=f"# {what}\n{cell.text}",
            equations=tuple(self.equation(e) for e in cell.equations),
            order=tuple(map(self.name, cell.order)),
            inputs=self.shapes(cell.inputs),
            signals=self.shapes(cell.signals),
            states=self.keys(cell.states),
            parameters={self.name(n): replace(p, shape=self.shape(p.shape)) for n, p in cell.parameters.items()},
            output=self.name(cell.output),
            sizes=tuple(self.sizes.get(s, s) for s in cell.sizes),
            constants=self.keys(cell.constants),
            arrays=self.shapes(cell.arrays),
            initial={self.name(n): self.name(start) for n, start in cell.initial.items()},
            labels=self.keys(cell.labels),
            lines=self.keys(cell.lines),
        )

    def name(self, name: str) -> str:
        return self.names.get(name, name)

    def keys(self, items: Mapping[str, _V]) -> dict[str, _V]:
        return {self.name(n): value for n, value in items.items()}

    def shapes(self, items: Mapping[str, Shape]) -> dict[str, Shape]:
        return {self.name(n): self.shape(shape) for n, shape in items.items()}

    def shape(self, shape: Shape) -> Shape:
        return tuple(map(self.size, shape))

    def size(self, size: Size) -> Size:
        terms = [units((Size.of(k), *(Size.of(self.sizes.get(n, n)) for n in names))) for names, k in size.terms]
        return sum(terms, Size())

    def equation(self, equation: sympy.Eq) -> sympy.Eq:
        return sympy.Eq(self.expr(equation.lhs), self.expr(equation.rhs), evaluate=False)

    def expr(self, expr: Any) -> Any:
        """Rebuilt from its leaves: SymPy sorts what it sorts by the new names."""
        match expr:
            case At():
                return At(self.name(expr.signal), expr.lag, expr.axis)
            case Param():
                return Param(self.name(expr.signal), expr.axis)
            case Constant():
                return Constant(self.name(expr.name), expr.value)
            case Count():
                return Count(self.size(expr.size))
            case sympy.MatrixSymbol():
                return sympy.MatrixSymbol(self.name(str(expr.name)), *map(self.length, expr.shape))
        if not expr.args:
            return expr
        return expr.func(*map(self.expr, expr.args))

    def length(self, length: sympy.Expr) -> sympy.Expr:
        there = {s: Size.of(self.sizes.get(s.name, s.name)).symbol() for s in length.free_symbols}
        return length.xreplace(there)
