"""How many numbers a cell's parameters are."""

from __future__ import annotations

import sympy

from symcell.cell import Cell


def parameter_count(cell: Cell) -> sympy.Expr:
    """A polynomial in the cell's sizes."""
    shapes = (p.shape for p in cell.parameters.values())
    return sympy.expand(sympy.Add(*(sympy.Mul(*(n.symbol() for n in shape)) for shape in shapes)))
