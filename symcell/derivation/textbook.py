"""What a cell in textbook form is (:func:`symcell.transforms.textbook` brings it there), and what it calls values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sympy import Expr

from symcell.cell import Cell
from symcell.symbolic import functions as fn

LETTERS = "azserqpluv"
"""What intermediate values are called, the first choice first."""


@dataclass(frozen=True)
class Occurrence:
    """A use of a composite: ``value = applied``, the function of ``At(argument)``; both are signals.

    ``signal``: the signal of the user's whose equation it stands in. ``plain``: the argument is a value that has a name
    of its own. ``inside``: the value is part of an expression and has no line of its own.
    """

    applied: Expr
    argument: str
    value: str
    signal: str
    plain: bool
    inside: bool


@dataclass(frozen=True, eq=False)
class Textbook:
    """``cell``: the cell in textbook form; ``source``: as the user wrote it (the same where there is no composite).

    ``names``: what new signals are called in print, where not by their own names.
    """

    cell: Cell
    source: Cell
    occurrences: tuple[Occurrence, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[type[fn.OverUnits], ...]:
        """The kinds of composites over units, in the order of the text."""
        kinds = (type(o.applied) for o in self.occurrences if isinstance(o.applied, fn.OverUnits))
        return tuple(dict.fromkeys(kinds))

    def origin(self, signal: str) -> str:
        """The signal of the user's from whose equation a signal comes."""
        made = {n: o.signal for o in self.occurrences for n in (o.argument, o.value)}
        return signal if signal in self.source.signals else made[signal]


def letters(cell: Cell) -> list[str]:
    """Letters that begin no name of the cell, in the order of choice; ``z_i`` is free for each signal ``i``."""
    taken = {*cell.signals, *cell.inputs, *cell.parameters, *cell.arrays, *cell.constants, *cell.sizes}
    used = {n for n in taken if len(n) == 1}
    return [x for x in LETTERS if x not in used and not any(f"{x}_{s}" in taken for s in cell.signals)]


def lower_case(matrix: str) -> Iterator[str]:
    """``w_i`` for ``W_i``, where that is another name."""
    head, mark, tail = matrix.partition("_")
    if len(head) == 1 and head.lower() != head:
        yield f"{head.lower()}{mark}{tail}"
