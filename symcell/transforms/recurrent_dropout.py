"""Variational dropout of recurrent connections, Gal & Ghahramani (2016): one mask for all steps of a sequence."""

from __future__ import annotations

from collections.abc import Iterable

import sympy

from symcell.cell import Cell
from symcell.symbolic.nodes import At, Hadamard, MatVec
from symcell.transforms.transformed import Mask, Subject, Transformed, chosen, names_in, read, remade, taken_apart


def with_recurrent_dropout(cell: Subject, states: Iterable[str] | None = None) -> Transformed:
    """The cell with dropout of some states, or of all that are so read, where a matrix multiplies them a step later.

    For each such state s there is a mask, an input of its shape (``drop_s``, or another name where that is taken), and
    ``U @ s[t-1]`` becomes ``U @ (drop_s[t] * s[t-1])``, also where s stands in an expression right of @, and for every
    lag. What reads s unit by unit is left alone. For training draw one mask a sequence, 0 with the rate p of dropout
    and 1 / (1 - p) else, and give it at every step; to use the cell give 1 in every place.

    Raises CellError for a cell that multiplies no earlier state by a matrix, and for states that are not so read.
    """
    base, masks = taken_apart(cell)
    reason = "no matrix multiplies a state of an earlier step"
    dropped = chosen(states, _multiplied(base), base, "recurrent dropout", reason)
    names = names_in(base)
    drops = {state: names.fresh(f"drop_{state}") for state in dropped}
    reads = {At(s, lag + 1): Hadamard(At(drops[s]), At(s, lag + 1)) for s in dropped for lag in range(base.states[s])}
    equations = [sympy.Eq(equation.lhs, _masked(equation.rhs, reads), evaluate=False) for equation in base.equations]
    shapes = {drops[state]: base.shape_of(state) for state in dropped}
    found = tuple(Mask(name, state, "recurrent dropout") for state, name in drops.items())
    return Transformed(remade(base, "recurrent_dropout", equations, shapes, {}), masks + found)


def _multiplied(cell: Cell) -> list[str]:
    """The states that equations define and that stand right of @ at an earlier step."""
    parts = (part for equation in cell.equations for part in sympy.preorder_traversal(equation.rhs))
    found = {name for part in parts if isinstance(part, MatVec) for name, lag in read(part.args[1]) if lag}
    return [state for state in cell.states if state in found and state in cell.signals]


def _masked(expression: sympy.Expr, reads: dict[At, sympy.Expr]) -> sympy.Expr:
    """The expression with masks over what its products by matrices read."""
    if isinstance(expression, MatVec):
        matrix, vector = expression.args
        return MatVec(_masked(matrix, reads), vector.xreplace(reads))
    if not expression.args or isinstance(expression, sympy.MatrixExpr):
        return expression
    return expression.func(*(_masked(part, reads) for part in expression.args))
