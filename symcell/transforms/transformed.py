"""What a transform of a cell gives: a cell with masks among its inputs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sympy

from symcell.cell import Cell, CellError, Shape
from symcell.fresh import Names
from symcell.language import as_cell, declarations_of, from_equations
from symcell.symbolic.nodes import At

Kind = Literal["zoneout", "recurrent dropout"]


@dataclass(frozen=True)
class Mask:
    """An input that is a mask: of the shape of ``state``, which it is laid over."""

    name: str
    state: str
    kind: Kind


@dataclass(frozen=True)
class Transformed:
    """A cell with masks among its inputs.

    Its parameters, states and output are those of the cell it was made from, by name, shape, start and order: weights
    move between the two as they are. Whoever trains it draws the masks, and needs no gradient by them.
    """

    cell: Cell
    masks: tuple[Mask, ...]


Subject = Cell | Transformed | str | os.PathLike[str]


def taken_apart(subject: Subject) -> tuple[Cell, tuple[Mask, ...]]:
    """The cell, and the masks that it has so far."""
    return (subject.cell, subject.masks) if isinstance(subject, Transformed) else (as_cell(subject), ())


def names_in(cell: Cell) -> Names:
    """Names that the cell does not use yet."""
    return Names([*cell.inputs, *cell.signals, *cell.parameters, *cell.constants, *cell.arrays, *cell.sizes])


def chosen(
    states: Iterable[str] | None, possible: Sequence[str], cell: Cell, what: Kind, reason: str
) -> tuple[str, ...]:
    """The states that are asked for, in the cell's order; all that are possible for None.

    Raises CellError where none is possible, for the ``reason`` given, or one is asked for that is not.
    """
    if not possible:
        raise CellError(f"{what} makes no sense for {cell.name}: {reason}")
    asked = list(possible if states is None else [states] if isinstance(states, str) else states)
    for state in asked:
        if state not in possible:
            raise CellError(f"states: expected some of {', '.join(possible)} for {what} of {cell.name}, got {state!r}")
    if not asked:
        raise CellError(f"states: expected some of {', '.join(possible)} for {what} of {cell.name}, got none")
    return tuple(state for state in possible if state in asked)


def remade(
    cell: Cell,
    suffix: str,
    equations: Iterable[sympy.Eq],
    shapes: dict[str, Shape],
    labels: dict[str, str],
    gone: Collection[str] = (),
) -> Cell:
    """The cell with other equations, new inputs and signals of these ``shapes``, and without the names ``gone``."""
    places = {name: place for place, name in enumerate([*cell.arrays, *cell.parameters])}
    declared = {name: text for name, text in declarations_of(cell).items() if name not in gone}
    title = cell.title + (f"\n\n{cell.description}" if cell.description else "")
    return from_equations(
        f"{cell.name}_{suffix}",
        (sympy.Eq(equation.lhs, _ordered(equation.rhs, places), evaluate=False) for equation in equations),
        declarations=declared | {name: _text(shape) for name, shape in shapes.items()},
        labels={**cell.labels, **labels},
        title=title,
    )


def _ordered(expression: sympy.Expr, places: Mapping[str, int]) -> sympy.Expr:
    """With sums of matrices, which SymPy sorts, in the order of their names: parameters are in that of their use."""
    if not expression.args or isinstance(expression, sympy.MatrixSymbol):
        return expression
    parts = [_ordered(part, places) for part in expression.args]
    if isinstance(expression, sympy.MatAdd):
        parts.sort(key=lambda term: min(places[matrix.name] for matrix in term.atoms(sympy.MatrixSymbol)))
    return expression.func(*parts)


def _text(shape: Shape) -> str:
    """A shape as a declaration."""
    texts = ", ".join(map(str, shape))
    return f"({texts})" if len(shape) > 1 else texts


def read(expression: sympy.Expr) -> set[tuple[str, int]]:
    """What an expression reads in time: names and lags."""
    return {(part.signal, part.lag) for part in expression.atoms(At)}
