"""Two cells on the same random numbers: what a proof says is tried too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from symcell.cell import Cell, Shape
from symcell.interpret import run
from symcell.lower import lower

STEPS, BATCH = 3, 2
TOLERANCE = 1e-9
"""How far results may be apart, of 1 or of themselves: float64, and a few hundred sums in another order."""

Numbers = Mapping[str, Any]


def sizes_for(cell: Cell) -> dict[str, int]:
    """Small lengths, all different, for the sizes of a cell."""
    return {name: k for k, name in enumerate(cell.sizes, 2)}


def draw(shape: Shape, sizes: Mapping[str, int], lead: tuple[int, ...], rng: np.random.Generator) -> Any:
    return rng.normal(scale=0.7, size=(*lead, *(s.value(sizes) for s in shape)))


def numbers_for(cell: Cell, sizes: Mapping[str, int], seed: int = 0) -> tuple[Numbers, Numbers, Numbers]:
    """Parameters and constant arrays, inputs (T, B, …), and states (k, B, …) but those with a learned start."""
    rng = np.random.default_rng(seed)
    fixed = {n: draw(p.shape, sizes, (), rng) for n, p in cell.parameters.items()}
    fixed |= {n: draw(shape, sizes, (), rng) for n, shape in cell.arrays.items()}
    x = {n: draw(shape, sizes, (STEPS, BATCH), rng) for n, shape in cell.inputs.items()}
    state = {n: draw(cell.shape_of(n), sizes, (k, BATCH), rng) for n, k in cell.states.items() if n not in cell.initial}
    return fixed, x, state


def outcome(cell: Cell, sizes: Mapping[str, int], fixed: Numbers, x: Numbers, state: Numbers) -> dict[str, Any]:
    """The output (T, B, …) under "" and the last states by name, in float64."""
    graph = lower(cell)
    given = {(n, t): array[t] for n, array in x.items() for t in range(STEPS)}
    boundary = {e.name: state[e.value] for e in graph.entries if e.value in state}
    with mpmath.workprec(53):
        found = run(graph, given, fixed, boundary, steps=STEPS, batch=BATCH, sizes=sizes)
    y = np.stack([found.varying[cell.output, t] for t in range(STEPS)])
    return {"": _floats(y), **{e.values[0]: _floats(found.edges[e.name]) for e in graph.exits}}


def _floats(array: Any) -> Any:
    return np.vectorize(lambda z: float(mpmath.re(z)), otypes=[float])(array) if array.size else array.astype(float)


def apart(found: Any, wanted: Any) -> bool:
    """Whether two results differ by more than rounding."""
    return not np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
