"""A cell that is studied: its graph, its generated module, sizes, parameters and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from symcell.cell import Cell
from symcell.graph import Contraction, Graph, name_of
from symcell.jacobian import OneStep, one_step
from symcell.jacobian.values import Values, forward_values
from symcell.lower import lower
from symcell.pipeline import compile

Array = Any
UNITS, MATRIX_UNITS = 64, 8
"""Every size of a cell, and of one whose state is a matrix, where nobody says."""


@dataclass(frozen=True, eq=False)
class Subject:
    """``step``: its one-step Jacobian, with the output's blocks. ``arrays``: parameters and constant arrays by name."""

    cell: Cell
    graph: Graph
    step: OneStep
    module: ModuleType
    sizes: Mapping[str, int]
    arrays: Mapping[str, Array]

    def run(self, x: Mapping[str, Array]) -> Values:
        """The forward values of some inputs, from the initial state."""
        return forward_values(self.graph, x, self.arrays, self.sizes)

    def with_arrays(self, changed: Mapping[str, Array]) -> Subject:
        """The same with other numbers in some arrays."""
        return replace(self, arrays={**self.arrays, **changed})


def subject(cell: Cell, sizes: Mapping[str, int], seed: int, held: Mapping[str, Array] | None = None) -> Subject:
    """A cell at its initial parameters, or at those that are ``held``.

    ``sizes``: those that are not said otherwise. Raises ValueError for sizes that the cell does not have or that do not
    fit what is held, and for constant arrays that nobody gives.
    """
    unknown = [name for name in sizes if name not in cell.sizes]
    if unknown:
        raise ValueError(f"{cell.name}: no size {', '.join(unknown)}; it has {', '.join(cell.sizes) or 'none'}")
    module = compile(cell)
    graph = lower(cell)
    default = MATRIX_UNITS if any(len(cell.shape_of(s)) == 2 for s in cell.states) else UNITS
    if held is None:
        found = {name: sizes.get(name, default) for name in cell.sizes}
        params = _initial(cell, module, found, seed)
    else:
        params = _fitting(cell, module, held, sizes)
        found = {name: params.sizes.get(name, sizes.get(name, default)) for name in cell.sizes}
    arrays = {name: np.array(params[name], float) for name in (*cell.parameters, *cell.arrays)}
    return Subject(cell, graph, one_step(cell, graph, output=True), module, found, arrays)


def _initial(cell: Cell, module: ModuleType, sizes: Mapping[str, int], seed: int) -> Any:
    if cell.arrays:
        names = ", ".join(cell.arrays)
        raise ValueError(f"{cell.name}: the constant arrays {names} are the caller's: give them with the parameters, "
                         f"--params {cell.name}=FILE")  # fmt: skip
    return module.init_params(seed=seed, dtype="float64", **sizes)


def _fitting(cell: Cell, module: ModuleType, held: Mapping[str, Array], sizes: Mapping[str, int]) -> Any:
    try:
        params = module.Params.from_dict({n: np.array(a, float) for n, a in held.items()})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{cell.name}: the parameters do not fit: {error}") from error
    for name, size in sizes.items():
        if params.sizes.get(name, size) != size:
            raise ValueError(f"{cell.name}: {name}={size}: the parameters are of {name}={params.sizes[name]}")
    return params


def random_inputs(
    graph: Graph, cell: Cell, sizes: Mapping[str, int], steps: int, batch: int, seed: int
) -> dict[str, Array]:
    """Inputs (T, B, *shape) by name: standard normal where a matrix takes them; where they are read unit by unit alone,
    as masks and times are, uniform between 0 and 1."""
    rng = np.random.default_rng([seed, 1])
    mixed = {name_of(v) for op in graph.steps if isinstance(op, Contraction) for _, v in op.terms}
    out = {}
    for name, shape in cell.inputs.items():
        full = (steps, batch, *(size.value(sizes) for size in shape))
        out[name] = rng.normal(size=full) if name in mixed else rng.uniform(size=full)
    return out
