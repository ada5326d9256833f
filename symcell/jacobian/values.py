"""A sequence's forward values in float64, as a sweep over the graph gives them, read for all steps at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from symcell.graph import Graph, Operand
from symcell.interpret import evaluate, run
from symcell.jacobian.doubles import doubles
from symcell.symbolic.nodes import At, Param

Array = Any
"""A NumPy array of float64."""


@dataclass(frozen=True, eq=False)
class Values:
    """``varying``: by name (depth + T, B, *shape), the steps before the first one in front; ``fixed``: by name."""

    graph: Graph
    sizes: Mapping[str, int]
    steps: int
    batch: int
    depth: int
    varying: Mapping[str, Array]
    fixed: Mapping[str, Array]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one step of a value."""
        return tuple(size.value(self.sizes) for size in self.graph.shape(name))

    def of(self, operand: Operand) -> Array:
        """A value at every step: (T, B, *shape), or (1, 1, *shape) where it is fixed."""
        if isinstance(operand, Param):
            return self.fixed[operand.signal][None, None]
        start = self.depth - operand.lag
        return self.varying[operand.signal][start : start + self.steps]

    def unitwise(self, operand: Operand, rank: int) -> Array:
        """A value with two axes in front and ``rank`` more: laid along one of them, or of one unit."""
        found = self.of(operand)
        if operand.axis is not None:
            return np.expand_dims(found, 3 - operand.axis)
        return found if found.ndim == rank + 2 else found.reshape((*found.shape[:2], *(1,) * rank))

    def evaluate(self, expr: Any, rank: int) -> Array:
        """An expression of the graph's values, (T or 1, B or 1, …), with ``rank`` axes of units at the end."""
        operands = {o: self.unitwise(o, rank) for o in expr.atoms(At, Param)}
        found = np.asarray(evaluate(expr, operands, doubles(), self.sizes), float)
        return found if found.ndim else found.reshape((1,) * (rank + 2))


def forward_values(
    graph: Graph,
    x: Mapping[str, Array],
    fixed: Mapping[str, Array],
    sizes: Mapping[str, int],
    state: Mapping[str, Array] | None = None,
) -> Values:
    """Run a forward graph. ``x``: by input (T, B, *shape); ``fixed``: parameters and constant arrays; ``state``: by
    name (k, B, *shape), the steps before the first in the order of time (zero, or its learned start, where missing)."""
    steps, batch = next(iter(x.values())).shape[:2]
    boundary = {e.name: state[e.value] for e in graph.entries if state and e.value in state}
    given = {(name, t): array[t] for name, array in x.items() for t in range(steps)}
    found = run(graph, given, fixed, boundary, steps=steps, batch=batch, sizes=sizes, arithmetic=doubles())
    depth = max((e.depth for e in graph.entries), default=0)
    depth = max(depth, *(d for d in graph.given.values()), *graph.carried.values(), 0)

    def stacked(name: str) -> Array:
        zero = np.zeros((batch, *(s.value(sizes) for s in graph.shape(name))))
        return np.stack([found.varying.get((name, t), zero) for t in range(-depth, steps)])

    varying = {name: stacked(name) for name, value in graph.values.items() if not value.fixed}
    return Values(graph, sizes, steps, batch, depth, varying, found.fixed)
