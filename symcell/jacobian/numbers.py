"""The blocks in numbers: every chain of local derivatives applied to all directions of its source, in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symcell.jacobian.blocks import Block, Chain, OneStep
from symcell.jacobian.local import Applied, Edge, Multiplied, Picked, Scaled, Summed
from symcell.jacobian.values import Values
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Param

Array = Any
"""A NumPy array of float64."""


@dataclass(frozen=True)
class Layout:
    """Where each state at each lag stands in the whole state (s[t], s[t-1], … of all states): ``start`` and size.

    A matrix stands there row by row.
    """

    start: Mapping[tuple[str, int], int]
    size: Mapping[str, int]
    total: int

    def of(self, state: str, lag: int = 0) -> slice:
        """The places of a state ``lag`` steps before the newest one."""
        first = self.start[state, lag]
        return slice(first, first + self.size[state])


def layout(step: OneStep, sizes: Mapping[str, int]) -> Layout:
    """The whole state of a cell, by the names of its states in the order of the text."""
    start: dict[tuple[str, int], int] = {}
    size: dict[str, int] = {}
    total = 0
    for source in step.sources:
        size[source.signal] = int(np.prod([s.value(sizes) for s in step.graph.shape(source.signal)]))
        start[source.signal, source.lag - 1] = total
        total += size[source.signal]
    return Layout(start, size, total)


@dataclass
class Numbers:
    """A one-step Jacobian along one sequence of values."""

    step: OneStep
    values: Values
    layout: Layout = field(init=False)
    _slopes: dict[Edge, Array] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.layout = layout(self.step, self.values.sizes)

    def block(self, target: str, source: At, t: int) -> Array:
        """``∂target[t]/∂source`` at step ``t`` (from 0), (B, units of the target, units of the source)."""
        return _flat(self._from(source, t)[target], self.values.batch)

    def jacobian(self, t: int) -> Array:
        """The derivative of the whole state after step ``t`` by that before it, (B, N, N)."""
        out = np.zeros((self.values.batch, self.layout.total, self.layout.total))
        for source in self.step.sources:
            columns = self.layout.of(source.signal, source.lag - 1)
            found = self._from(source, t)
            for target in self.step.targets:
                if target in found and (target, 0) in self.layout.start:
                    out[:, self.layout.of(target), columns] = _flat(found[target], self.values.batch)
            if (source.signal, source.lag) in self.layout.start:
                out[:, self.layout.of(source.signal, source.lag), columns] = np.eye(self.layout.size[source.signal])
        return out

    def jacobians(self) -> Iterator[Array]:
        """Those of all steps, from the last one to the first."""
        return (self.jacobian(t) for t in reversed(range(self.values.steps)))

    # from a source up

    def _from(self, source: At, t: int) -> dict[str, Array]:
        """The blocks by one source: (B or 1, units of the source, *shape of the target)."""
        shape = self.values.shape(source.signal)
        units = int(np.prod(shape))
        start = np.eye(units).reshape(1, units, *shape)
        found: dict[str, Array] = {}
        met: dict[tuple[Edge, ...], Array] = {}
        for (target, by), block in self.step.blocks.items():
            if by == source:
                found[target] = self._sum(block, start, found, met, t)
        return found

    def _sum(self, block: Block, start: Array, found: Mapping[str, Array], met: dict[Any, Array], t: int) -> Array:
        parts = [self._along(chain, start, found, met, t) for chain in block.chains]
        return sum(parts[1:], parts[0])

    def _along(self, chain: Chain, start: Array, found: Mapping[str, Array], met: dict[Any, Array], t: int) -> Array:
        """One chain; what several chains begin with is computed once."""
        moved = start if chain.through is None else found[chain.through]
        for k in reversed(range(len(chain.edges))):
            key = (*chain.edges[k:], chain.through)
            if key not in met:
                met[key] = self._apply(chain.edges[k], moved, t)
            moved = met[key]
        return moved

    def _apply(self, edge: Edge, moved: Array, t: int) -> Array:
        """One local derivative: from (B or 1, n, *shape of its operand) to (B or 1, n, *shape of its result)."""
        shape = self.values.shape(edge.out)
        match edge.factor:
            case Scaled() as factor:
                out = self._at(edge, t)[:, None] * _unitwise(moved, factor.axis, len(shape))
            case Multiplied():
                out = moved @ np.swapaxes(self._matrix(edge, t), -1, -2)
            case Applied(transposed=transposed):
                vector = self._at(edge, t)[:, None]
                out = (moved * (vector[..., :, None] if transposed else vector[..., None, :])).sum(
                    2 if transposed else 3
                )
            case Summed(axis):
                out = moved.sum(axis=tuple(range(2, moved.ndim)) if axis is None else 2 + axis)
            case Picked() as factor:
                weighed = self._at(edge, t)[:, None] * moved
                axis = factor.step.axis
                out = weighed.sum(axis=tuple(range(2, moved.ndim)) if axis is None else 2 + axis)
        out = out.reshape((*out.shape[:2], *shape)) if out.size == np.prod((*out.shape[:2], *shape)) else out
        return np.broadcast_to(out, (*out.shape[:2], *shape))

    # what edges multiply by

    def _at(self, edge: Edge, t: int) -> Array:
        """At one step: (B or 1, …)."""
        if edge not in self._slopes:
            self._slopes[edge] = self._along_time(edge)
        found = self._slopes[edge]
        return found[t] if len(found) > 1 else found[0]

    def _along_time(self, edge: Edge) -> Array:
        """For all steps: (T or 1, B or 1, …)."""
        match edge.factor:
            case Scaled(slope=slope):
                return self.values.evaluate(slope, len(edge.shape))
            case Applied(vector=vector):
                return self.values.of(vector)
            case Picked(step=step):
                out = Param(step.out) if isinstance(step.arg, Param) else At(step.out)
                attained = self.values.evaluate(fn.Equal(step.arg, out), len(edge.inner))
                axes = tuple(range(2, attained.ndim)) if step.axis is None else 2 + step.axis
                return attained / attained.sum(axis=axes, keepdims=True)
        raise TypeError(f"no numbers of {edge.factor}")

    def _matrix(self, edge: Edge, t: int) -> Array:
        """(rows, columns), or (B, rows, columns) where it varies."""
        assert isinstance(edge.factor, Multiplied)
        matrix = edge.factor.matrix
        if isinstance(matrix.of, At):
            found = self.values.of(matrix.of)[t]
        else:
            found = self.values.fixed[matrix.name]
            if matrix.block is not None:
                start = matrix.block.start.value(self.values.sizes)
                found = found[:, start : start + matrix.block.width.value(self.values.sizes)]
        return np.swapaxes(found, -1, -2) if matrix.transposed else found


def _unitwise(moved: Array, axis: int | None, rank: int) -> Array:
    """Directions of an operand beside those of a result of ``rank`` axes."""
    if axis is not None:
        return np.expand_dims(moved, 3 - axis)
    return moved if moved.ndim == rank + 2 else moved.reshape((*moved.shape[:2], *(1,) * rank))


def _flat(moved: Array, batch: int) -> Array:
    """(B, units of the target, units of the source)."""
    flat = moved.reshape(*moved.shape[:2], -1)
    return np.broadcast_to(np.swapaxes(flat, 1, 2), (batch, flat.shape[2], flat.shape[1]))
