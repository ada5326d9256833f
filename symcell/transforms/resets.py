"""Resets in the midst of sequences, as in reinforcement learning, where an episode ends within them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sympy

from symcell.cell import ONE, Cell, Shape
from symcell.symbolic.functions.conditions import Greater, Where
from symcell.symbolic.nodes import At, Param
from symcell.transforms.transformed import names_in, read, remade


@dataclass(frozen=True)
class Resettable:
    """A cell whose states can be set to their start before any step.

    ``keeps``: for each lag at which something is read the input that says whether what is so old is still there: 1, or
    0 where a reset lies in between, of shape (1,). ``starts``: for each state with a learned start its parameter, which
    is one like others here: who passes no state passes that.
    """

    cell: Cell
    keeps: Mapping[int, str]
    starts: Mapping[str, str]


def with_resets(cell: Cell) -> Resettable:
    """The cell with, in place of every value s of k steps ago, ``s_kept[t] = where(keep_k[t] > 0, s[t-k], start)``, the
    start being its learned one, or 0: what has overflowed is gone, too.

    Parameters keep their names, states their order. A cell that reads nothing of earlier steps is left as it is.
    """
    found = {(name, lag) for e in cell.equations for name, lag in read(e.rhs) if lag}
    past = [(name, lag) for name, depth in cell.states.items() for lag in range(1, depth + 1) if (name, lag) in found]
    if not past:
        return Resettable(cell, {}, {})
    names = names_in(cell)
    keeps = {lag: names.fresh("keep" if lag == 1 else f"keep_{lag}") for lag in sorted({lag for _, lag in past})}
    kept = {(name, lag): names.fresh(f"{name}_kept" if lag == 1 else f"{name}_kept{lag}") for name, lag in past}
    reads = {At(name, lag, axis): At(new, 0, axis) for (name, lag), new in kept.items() for axis in (None, 0, 1)}
    shapes: dict[str, Shape] = dict.fromkeys(keeps.values(), (ONE,))
    shapes |= {new: cell.shape_of(name) for (name, _), new in kept.items()}
    equations = [*_kept(cell, keeps, kept)]
    equations += [sympy.Eq(e.lhs, e.rhs.xreplace(reads), evaluate=False) for e in cell.equations]
    made = remade(cell, "resets", equations, shapes, {}, [f"{state}[0]" for state in cell.initial])
    return Resettable(made, keeps, dict(cell.initial))


def _kept(cell: Cell, keeps: Mapping[int, str], kept: Mapping[tuple[str, int], str]) -> Iterator[sympy.Eq]:
    for (name, lag), new in kept.items():
        start = Param(cell.initial[name]) if name in cell.initial else sympy.Integer(0)
        yield sympy.Eq(At(new), Where(Greater(At(keeps[lag]), 0), At(name, lag), start), evaluate=False)
