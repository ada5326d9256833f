"""Reading the picture of one step from a cell's equations: one node a value, one arrow a way in which it is read."""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Expr

from symcell.cell import Cell
from symcell.derivation.figures.model import Arrow, Node, Role, StepGraph, Through
from symcell.symbolic.nodes import At, MatVec, Minus, Sum

_SUMS = (Sum, Minus, sympy.Add)

Read = tuple[At, Through, tuple[str, ...]]
"""A value that is read, how, and the matrices between it and the value that reads."""


def step_graph(cell: Cell) -> StepGraph:
    """One step of ``cell`` at the level of its equations: composites (a layer norm) are part of the value they make."""
    reads = {name: tuple(dict.fromkeys(_reads(cell.equation(name).rhs))) for name in cell.order}
    keys = list(dict.fromkeys((*_outside(cell, reads), *((name, 0) for name in cell.order))))
    place = {key: k for k, key in enumerate(keys)}
    arrows = (
        Arrow(place[at.signal, at.lag], place[name, 0], through, matrices)
        for name, read in reads.items()
        for at, through, matrices in read
    )
    nodes = tuple(Node(name, lag, _role(cell, name, lag)) for name, lag in keys)
    return StepGraph(nodes, tuple(arrows), tuple(cell.inputs), tuple(cell.states), cell.output)


def _outside(cell: Cell, reads: dict[str, tuple[Read, ...]]) -> Iterator[tuple[str, int]]:
    """What enters the step: inputs and states, those of the latest step first."""
    seen = {(at.signal, at.lag) for read in reads.values() for at, _, _ in read}
    for name in (*cell.inputs, *cell.signals):
        yield from sorted((n, lag) for n, lag in seen if n == name and (lag or name in cell.inputs))


def _role(cell: Cell, name: str, lag: int) -> Role:
    if name in cell.inputs:
        return Role.INPUT
    if lag:
        return Role.BEFORE
    if name in cell.states:
        return Role.STATE
    return Role.OUTPUT if name == cell.output else Role.VALUE


def _reads(expr: Expr, through: Through = Through.ADDED, matrices: tuple[str, ...] = ()) -> Iterator[Read]:
    if isinstance(expr, At):
        yield At(expr.signal, expr.lag), through, matrices
    elif isinstance(expr, MatVec):
        yield from _product(expr.args[0], expr.args[1], through, matrices)
    elif not isinstance(expr, sympy.MatrixExpr):
        inner = Through.UNITWISE if through is Through.ADDED and not isinstance(expr, _SUMS) else through
        for arg in expr.args:
            yield from _reads(arg, inner, matrices)


def _product(matrix: Expr, vector: Expr, through: Through, matrices: tuple[str, ...]) -> Iterator[Read]:
    """A fixed matrix is gone through; one that varies is itself read, and both are factors."""
    factor = Through.MATRIX if through is Through.MATRIX else Through.UNITWISE
    if isinstance(matrix, sympy.MatrixExpr):
        names = sorted({str(m.name) for m in matrix.atoms(sympy.MatrixSymbol)})
        yield from _reads(vector, Through.MATRIX, (*matrices, *names))
    else:
        yield from _reads(matrix, factor, matrices)
        yield from _reads(vector, factor, matrices)
