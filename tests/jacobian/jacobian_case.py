"""A sequence of random numbers through a cell, its one-step Jacobian, and that Jacobian by differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from symcell.cell import Cell, Shape
from symcell.jacobian import one_step
from symcell.jacobian.numbers import Numbers
from symcell.jacobian.values import forward_values
from symcell.lower import lower

STEPS, BATCH, STEP = 4, 2, 1e-6


class Case:
    def __init__(self, cell: Cell) -> None:
        self.cell, self.graph = cell, lower(cell)
        self.sizes = {name: k for k, name in enumerate(cell.sizes, 2)}
        rng = np.random.default_rng(0)

        def draw(shape: Shape, *lead: int) -> Any:
            return 0.7 * rng.normal(size=(*lead, *(s.value(self.sizes) for s in shape)))

        self.fixed = {n: draw(p.shape) for n, p in cell.parameters.items()}
        self.fixed |= {n: draw(shape) for n, shape in cell.arrays.items()}
        self.x = {n: draw(shape, STEPS, BATCH) for n, shape in cell.inputs.items()}
        state = {n: draw(cell.shape_of(n), depth, BATCH) for n, depth in cell.states.items()}
        self.step = one_step(cell, self.graph)
        self.values = forward_values(self.graph, self.x, self.fixed, self.sizes, state)
        self.numbers = Numbers(self.step, self.values)

    def before(self, t: int) -> dict[str, Any]:
        """The state before step ``t``, as it is passed: (k, B, *shape)."""
        values = self.values
        return {n: values.varying[n][values.depth + t - k : values.depth + t] for n, k in self.cell.states.items()}

    def after(self, state: dict[str, Any], t: int) -> Any:
        """The whole state after one step from ``state``, (B, N)."""
        one = {n: array[t : t + 1] for n, array in self.x.items()}
        values = forward_values(self.graph, one, self.fixed, self.sizes, state)
        parts = [values.varying[s.signal][values.depth - s.lag + 1] for s in self.step.sources]
        return np.concatenate([part.reshape(BATCH, -1) for part in parts], axis=1)

    def by_differences(self, t: int) -> Any:
        """(B, N, N)."""
        out = np.zeros((BATCH, self.numbers.layout.total, self.numbers.layout.total))
        for source in self.step.sources:
            columns = self.numbers.layout.of(source.signal, source.lag - 1)
            for unit in range(self.numbers.layout.size[source.signal]):
                moved = [self._moved(source, unit, t, sign * STEP) for sign in (1, -1)]
                out[:, :, columns.start + unit] = (moved[0] - moved[1]) / (2 * STEP)
        return out

    def _moved(self, source: Any, unit: int, t: int, by: float) -> Any:
        state = {n: array.copy() for n, array in self.before(t).items()}
        state[source.signal][-source.lag].reshape(BATCH, -1)[:, unit] += by
        return self.after(state, t)
