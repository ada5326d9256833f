"""Random cases for any cell: all lengths differ, so that swapped axes are caught; float32 holds all numbers exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from symcell.cell import Cell
from symcell.verify.case import Array, Case, lengths_of, state_shape

ATTEMPTS = 10
"""How many random points are tried for a cell that is not defined everywhere, each smaller in scale than the last."""


@dataclass(frozen=True)
class Kind:
    """What a case tries. ``given``: states and the gradients by the last ones are passed."""

    title: str
    steps: int
    batch: int
    given: bool = True
    lengths: tuple[int, ...] | None = None


KINDS = (
    Kind("given states", 4, 2),
    Kind("own start", 3, 1, given=False),
    Kind("one step", 1, 2),
    Kind("lengths", 4, 3, lengths=(2, 4, 0)),
)
"""The cases that every cell is verified on; the first is where numbers are differenced."""


def sizes_of(cell: Cell, start: int = 5) -> dict[str, int]:
    """A number for each of the cell's sizes, all different."""
    return dict(zip(sorted(cell.sizes, reverse=True), count(start, 2), strict=False))


def random_case(
    cell: Cell, kind: Kind, seed: int = 0, *, sizes: Mapping[str, int] | None = None, scale: float = 0.5
) -> Case:
    """Normal random numbers, those of parameters, constant arrays and states times ``scale``."""
    sizes = dict(sizes or sizes_of(cell))
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1) -> Array:
        return np.float64(np.float32(scale * rng.standard_normal(shape)))

    params = {p: normal(*lengths_of(value.shape, sizes), scale=scale) for p, value in cell.parameters.items()}
    x = {
        name: normal(kind.steps, kind.batch, *lengths_of(shape, sizes), scale=2 * scale)
        for name, shape in cell.inputs.items()
    }
    shapes = {name: state_shape(cell, name, kind.batch, sizes) for name in cell.states}
    state = {name: normal(*shape, scale=scale) for name, shape in shapes.items()} if kind.given else {}
    dlast = {name: normal(*shape) for name, shape in shapes.items()} if kind.given else {}
    dy = normal(kind.steps, kind.batch, *lengths_of(cell.shape_of(cell.output), sizes))
    arrays = {name: normal(*lengths_of(shape, sizes), scale=scale) for name, shape in cell.arrays.items()}
    lengths = None if kind.lengths is None else np.array(kind.lengths)
    return Case(sizes, params, x, state, dy, dlast, arrays, lengths)


def positive(case: Case) -> Case:
    """The same numbers without their signs, but for the gradients that arrive."""
    groups = (case.params, case.x, case.state, case.arrays)
    params, x, state, arrays = ({k: abs(v) for k, v in group.items()} for group in groups)
    return replace(case, params=params, x=x, state=state, arrays=arrays)


def case_where(cell: Cell, kind: Kind, defined: Callable[[Case], bool], seed: int = 0) -> Case | None:
    """The first random case at which the cell is defined; positive numbers are tried too. None where there is none.

    Other seeds give other cases, all of them.
    """
    for attempt in range(ATTEMPTS):
        case = random_case(cell, kind, seed * ATTEMPTS + attempt, scale=0.5 / (1 + attempt // 3))
        for candidate in (case, positive(case)):
            if defined(candidate):
                return candidate
    return None
