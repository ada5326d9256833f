"""What is measured: a cell at a size, and the numbers that every contender is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from symcell.cell import Cell, Shape

Array = Any


@dataclass(frozen=True)
class Work:
    """``steps`` T of ``batch`` B sequences through a cell; ``sizes``: a number for each of its sizes."""

    cell: Cell
    steps: int
    batch: int
    sizes: Mapping[str, int]

    def over(self, steps: int, batch: int) -> Work:
        """The same cell over another number of steps and samples."""
        return replace(self, steps=steps, batch=batch)


def sized(cell: Cell, inputs: int, hidden: int) -> dict[str, int]:
    """A number for each size of a cell: ``inputs`` for what only inputs have, ``hidden`` for all others."""
    inside = {name for shape in cell.signals.values() for size in shape for name in size.names}
    outside = {name for shape in cell.inputs.values() for size in shape for name in size.names} - inside
    return {name: inputs if name in outside else hidden for name in cell.sizes}


@dataclass(frozen=True, eq=False)
class Numbers:
    """Arrays of float32 by name: parameters, constant arrays, inputs (T, B, *shape), states (k, B, *shape), and the
    gradient by y (T, B, *shape)."""

    params: Mapping[str, Array]
    arrays: Mapping[str, Array]
    x: Mapping[str, Array]
    state: Mapping[str, Array]
    dy: Array


def numbers(work: Work, seed: int = 0) -> Numbers:
    """Numbers for a work, the same each time. Matrices are drawn such that a state neither dies nor explodes at once;
    what the cell starts with one number has that."""
    cell, rng = work.cell, np.random.default_rng(seed)

    def normal(lead: tuple[int, ...], shape: Shape, scale: float = 1.0) -> Array:
        lengths = (*lead, *(size.value(work.sizes) for size in shape))
        return scale * rng.standard_normal(lengths, np.float32)

    def fixed(shape: Shape) -> Array:
        return normal((), shape, 0.7 / math.sqrt(shape[-1].value(work.sizes) if shape else 1))

    params = {}
    for name, parameter in cell.parameters.items():
        start = parameter.start
        drawn = fixed(parameter.shape)
        params[name] = np.full_like(drawn, start) if isinstance(start, int | float) else np.asarray(drawn, np.float32)
    rows = (work.steps, work.batch)
    return Numbers(
        params,
        {name: np.asarray(fixed(shape), np.float32) for name, shape in cell.arrays.items()},
        {name: normal(rows, shape) for name, shape in cell.inputs.items()},
        {name: normal((k, work.batch), cell.shape_of(name), 0.1) for name, k in cell.states.items()},
        normal(rows, cell.shape_of(cell.output)),
    )
