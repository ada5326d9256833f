"""Are two cells the same function, up to names, the order of terms and how a bias is split?

Their steps are brought into a normal form (:mod:`symcell.equivalence.forms`), names are matched by where they stand,
and the forms must be equal; then both are run on the same random numbers. What comes out converts parameters both ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from symcell.arrays import Array, join, total, zeros
from symcell.cell import Cell
from symcell.equivalence import trial
from symcell.equivalence.colours import Labels, Painter
from symcell.equivalence.forms import Piece
from symcell.equivalence.matching import Difference, Match, Side, match, side
from symcell.lengths import shown

__all__ = ["Difference", "Equivalence", "Side", "compare", "compare_sides", "side"]

_V = TypeVar("_V")
Pieces = Mapping[str, tuple[Piece, ...]]
"""Of parameters, their pieces side by side."""


@dataclass(frozen=True)
class Equivalence:
    """Two cells that are the same function.

    ``names``: what the parameters, inputs, states and other signals of ``one`` are called in ``other`` (a signal that
    the other cell does not have is missing); ``sizes``: likewise. ``sums``: for each of the two the parameters that
    count by their sum alone, by the first of each group, which stands for it in ``names``. ``zero``: parameters of
    ``one`` that are zero here, and have no counterpart. ``pieces``: for each of the two, the parameters that stand in
    ``names`` in pieces, ``W[:, 0:H]`` and the columns behind it.
    """

    one: Cell
    other: Cell
    names: Mapping[str, str]
    sizes: Mapping[str, str]
    sums: tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]
    zero: frozenset[str] = frozenset()
    pieces: tuple[Pieces, Pieces] = ({}, {})

    def to_other(self, params: Mapping[str, Array]) -> dict[str, Array]:
        """Parameters (and constant arrays) of ``one`` as those of ``other``, copied; of a sum the first gets all.

        Arrays are NumPy's or PyTorch's. KeyError where one is missing.
        """
        pairs = dict(self._pairs())
        moved = _moved(_cut(self.one, params, self.pieces[0]), pairs, *self.sums)
        return _joined(moved, self.pieces[1])

    def to_one(self, params: Mapping[str, Array]) -> dict[str, Array]:
        """The way back: parameters of ``other`` as those of ``one``, but those called in ``zero``."""
        pairs = {there: here for here, there in self._pairs()}
        moved = _moved(_cut(self.other, params, self.pieces[1]), pairs, *self.sums[::-1])
        return _joined(moved, self.pieces[0])

    def _pairs(self) -> Iterator[tuple[str, str]]:
        """The names of parameters, their pieces, and constant arrays."""
        pieces = (piece.name for several in self.pieces[0].values() for piece in several)
        fixed = (*self.one.parameters, *pieces, *self.one.arrays)
        return ((name, self.names[name]) for name in fixed if name in self.names)

    def values_to_other(self, values: Mapping[str, _V]) -> dict[str, _V]:
        """Anything by the names of inputs or states of ``one``, by those of ``other``."""
        return {self.names[name]: value for name, value in values.items()}


def _moved(
    params: Mapping[str, Array],
    pairs: Mapping[str, str],
    summed: Mapping[str, tuple[str, ...]],
    split: Mapping[str, tuple[str, ...]],
) -> dict[str, Array]:
    moved = {}
    for name, there in pairs.items():
        moved[there] = total([params[n] for n in summed.get(name, (name,))])
        moved |= {n: zeros(tuple(moved[there].shape), moved[there]) for n in split.get(there, ())[1:]}
    return moved


def _cut(cell: Cell, params: Mapping[str, Array], pieces: Pieces) -> Mapping[str, Array]:
    """Parameters with those that are read in pieces cut."""
    if not pieces:
        return params
    shaped = {n: p.shape for n, p in cell.parameters.items() if n in params}
    sizes = shown(pair for n, shape in shaped.items() for pair in zip(shape, params[n].shape, strict=True))
    cut = {n: value for n, value in params.items() if n not in pieces}
    for name, several in pieces.items():
        start = 0
        for piece in several:
            width = piece.width.value(sizes)
            cut[piece.name] = params[name][:, start : start + width]
            start += width
    return cut


def _joined(params: dict[str, Array], pieces: Pieces) -> dict[str, Array]:
    whole = {name: join([params[piece.name] for piece in several], 1) for name, several in pieces.items()}
    cut = {piece.name for several in pieces.values() for piece in several}
    return {name: value for name, value in params.items() if name not in cut} | whole


def compare(one: Cell, other: Cell, *, zero: Iterable[str] = ()) -> Equivalence | Difference:
    """Whether two cells are the same function; ``zero``: parameters of ``one`` that are taken for zero."""
    return compare_sides(side(one, frozenset(zero)), side(other), frozenset(zero))


def compare_sides(one: Side, other: Side, zero: frozenset[str] = frozenset()) -> Equivalence | Difference:
    """:func:`compare` for cells that are compared with many."""
    found = match(one, other)
    if isinstance(found, Difference):
        return found
    equal = _equivalence(one, other, found, zero)
    return _tried(equal) or equal


def _equivalence(one: Side, other: Side, found: Match, zero: frozenset[str]) -> Equivalence:
    names = {a[1]: b[1] for a, b in found.names.items() if a[0] != "size"}
    sizes = {a[1]: b[1] for a, b in found.names.items() if a[0] == "size"}
    return Equivalence(one.cell, other.cell, {**_signals(one, other, found), **names}, sizes, found.sums, zero,
                       (one.forms.pieces, other.forms.pieces))  # fmt: skip


def _signals(one: Side, other: Side, found: Match) -> dict[str, str]:
    """Signals that are the same, the states among them; each stands for one."""
    label = Labels()
    marks = {b: label(b) for b in found.names.values()}
    up = Painter(one.forms, label, one.hidden).made_of({a: marks[b] for a, b in found.names.items()}, whole=True)
    there = Painter(other.forms, label, other.hidden).made_of(marks, whole=True)
    first, second = (
        {n: number for n, number in s.forms.signals.items() if n not in s.cell.states} for s in (one, other)
    )  # fmt: skip
    signals: dict[str, str] = {}
    for name in sorted(first, key=lambda n: n != one.cell.output):
        same = [n for n, number in second.items() if there[number] == up[first[name]] and n not in signals.values()]
        if same:
            signals[name] = min(same, key=lambda n: (n == other.cell.output) != (name == one.cell.output))
    return signals


def _tried(equal: Equivalence) -> Difference | None:
    """What differs when both cells run on the same numbers."""
    one, other = equal.one, equal.other
    sizes = trial.sizes_for(one)
    fixed, x, state = trial.numbers_for(one, sizes)
    fixed = {n: v * 0 if n in equal.zero else v for n, v in fixed.items()}
    wanted = trial.outcome(one, sizes, fixed, x, state)
    theirs = {equal.sizes[n]: k for n, k in sizes.items()}
    found = trial.outcome(
        other, theirs, equal.to_other(fixed), equal.values_to_other(x), equal.values_to_other(state)
    )  # fmt: skip
    for name, value in wanted.items():
        if trial.apart(found[equal.names[name] if name else ""], value):
            what = f"the last state {name}" if name else f"the output {one.output}"
            return Difference(f"{what} of {one.name} and that of {other.name} differ on random numbers")
    return None
