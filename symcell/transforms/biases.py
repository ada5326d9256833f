"""A cell without its biases, as ``bias=False`` leaves them out of PyTorch's modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import sympy

from symcell.cell import Cell, CellError
from symcell.symbolic.nodes import MatVec, Param, Sum
from symcell.transforms.transformed import remade


def without_biases(cell: Cell) -> Cell:
    """The cell without the parameters that are added to a matrix product and stand nowhere else: ``b`` of
    ``W @ x[t] + U @ h[t-1] + b``. Raises CellError for a cell that has none."""
    gone = biases(cell)
    if not gone:
        raise CellError(f"{cell.name} has no biases: no parameter is only ever added to a matrix product")
    equations = (sympy.Eq(e.lhs, _without(e.rhs, gone), evaluate=False) for e in cell.equations)
    return remade(cell, "without_biases", equations, {}, {}, gone)


def biases(cell: Cell) -> frozenset[str]:
    """The names of these parameters."""
    added = Counter(name for equation in cell.equations for name in _added(equation.rhs))
    read = Counter(
        atom.signal for equation in cell.equations for atom in sympy.preorder_traversal(equation.rhs)
        if isinstance(atom, Param)
    )  # fmt: skip
    starts = set(cell.initial.values())
    return frozenset(p for p in cell.parameters if added[p] and added[p] == read[p] and p not in starts)


def _added(expression: sympy.Basic) -> Iterator[str]:
    for node in sympy.preorder_traversal(expression):
        if isinstance(node, Sum) and any(isinstance(term, MatVec) for term in node.args):
            yield from (term.signal for term in node.args if isinstance(term, Param))


def _without(expression: sympy.Basic, gone: frozenset[str]) -> sympy.Basic:
    if not expression.args or isinstance(expression, sympy.MatrixExpr):
        return expression
    parts = [_without(part, gone) for part in expression.args]
    if not isinstance(expression, Sum):
        return expression.func(*parts)
    left = [part for part in parts if not (isinstance(part, Param) and part.signal in gone)]
    return Sum(*left) if len(left) > 1 else left[0]
