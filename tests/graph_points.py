"""A graph as a function of all that comes from outside of it, and its adjoint held against differences.

The loss is a random linear form in the outputs and in what leaves at the boundary. The graph may itself be an adjoint.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import mpmath
import numpy as np

from symcell.adjoint import adjoint
from symcell.cell import Shape
from symcell.graph import Entry, Graph, lag_of, name_of
from symcell.interpret import EXACT, Run, run

DIGITS = 60
STEP = "1e-20"
TOLERANCE = 1e-28


@dataclass(frozen=True)
class Point:
    """Values of everything that comes from outside: ``given`` by (name, t), ``fixed`` and ``boundary`` by name."""

    given: Mapping[tuple[str, int], Any]
    fixed: Mapping[str, Any]
    boundary: Mapping[str, Any]

    def moved(self, kind: str, key: Any, direction: Any) -> Point:
        """The point with one value changed."""
        values = getattr(self, kind)
        return replace(self, **{kind: {**values, key: values[key] + direction}})


@dataclass
class Trial:
    """A graph at a random point. ``unpassed``: boundary values that callers leave out."""

    graph: Graph
    sizes: Mapping[str, int]
    steps: int = 3
    batch: int = 2
    seed: int = 0
    unpassed: tuple[str, ...] = ()
    point: Point = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        graph = self.graph
        given = {(n, t): self.normal(n) for n, depth in graph.given.items() for t in self._times(n, depth)}
        fixed = {n: self.normal(n) for n in graph.fixed}
        depths: dict[str, tuple[str, int]] = {}
        for e in graph.entries:
            depths[e.name] = max(depths.get(e.name, (e.value, 0)), (e.value, e.depth), key=lambda d: d[1])
        boundary = {
            n: EXACT.array(np.stack([self.normal(value) for _ in range(depth)]))
            for n, (value, depth) in depths.items()
            if n not in self.unpassed
        }
        self.point = Point(given, fixed, boundary)
        self.derived = adjoint(graph)
        self.weights = {o: [self.normal(o) for _ in self._span(o)] for o in graph.outputs}
        self.leaving = {
            e.name: EXACT.array(np.stack([self.normal(e.values[0]) for _ in range(e.depth)])) for e in graph.exits
        }

    def _times(self, name: str, depth: int) -> range:
        """Where a given value is read: outside of the sequence too, unless it enters there."""
        entered = any(e.value == name for e in self.graph.entries)
        reads = [lag_of(o) for op in self.graph.steps for o in op.operands() if name_of(o) == name]
        before = 0 if entered else max([0, *reads])
        behind = 0 if entered else -min([0, *reads])
        assert depth >= max(before, behind)
        return range(-before, self.steps + behind)

    def _span(self, name: str) -> range:
        return range(1 if self.graph.values[name].fixed else self.steps)

    def normal(self, name: str) -> Any:
        value = self.graph.values[name]
        lead = () if value.fixed else (self.batch,)
        return EXACT.array(self.rng.normal(size=(*lead, *self.shape(value.shape))))

    def shape(self, shape: Shape) -> tuple[int, ...]:
        return tuple(s.value(self.sizes) for s in shape)

    def twice(self) -> Trial:
        """The adjoint as a graph of its own, at the values that this one's sweep has."""
        with mpmath.workdps(DIGITS):
            found = self.run(self.point)
        second = Trial(self.derived.graph, self.sizes, self.steps, self.batch, self.seed + 1, self.unpassed)
        given = {k: found.varying.get(k, v) for k, v in second.point.given.items()}
        fixed = {k: found.fixed.get(k, v) for k, v in second.point.fixed.items()}
        second.point = replace(second.point, given=given, fixed=fixed)
        return second

    def run(self, point: Point) -> Run:
        return run(self.graph, point.given, point.fixed, point.boundary, **self._extent())

    def _extent(self) -> dict[str, Any]:
        return {"steps": self.steps, "batch": self.batch, "sizes": self.sizes}

    def loss(self, point: Point) -> Any:
        found = self.run(point)
        total = mpmath.mpf(0)
        for output, weights in self.weights.items():
            values = (
                [found.fixed[output]]
                if output in found.fixed
                else [found.varying[output, t] for t in self._span(output)]
            )
            total += sum(np.sum(v * w) for v, w in zip(values, weights, strict=True))
        return total + sum(np.sum(found.edges[e] * w) for e, w in self.leaving.items())

    def backward(self) -> Run:
        found, derived = self.run(self.point), self.derived
        given, fixed = dict(found.varying), dict(found.fixed)
        for output, weights in self.weights.items():
            seed = derived.seeds[output]
            if output in found.fixed:
                fixed[seed] = weights[0]
            else:
                given |= {(seed, t): w for t, w in enumerate(weights)}
        boundary = {**self.point.boundary, **{derived.entering[e]: w for e, w in self.leaving.items()}}
        return run(derived.graph, given, fixed, boundary, **self._extent())

    def gradients(self) -> dict[tuple[str, Any], Any]:
        """The derivative by each value at the point, by the adjoint; None where nothing is said of it."""
        back, derived = self.backward(), self.derived
        out: dict[tuple[str, Any], Any] = {}
        for n in self.point.fixed:
            out["fixed", n] = back.fixed[derived.gradients[n]] if n in derived.gradients else None
        for n, t in self.point.given:
            if 0 <= t < self.steps:
                out["given", (n, t)] = back.varying[derived.gradients[n], t] if n in derived.gradients else None
            else:
                edge = back.edges.get(derived.leaving.get(n, ""))
                place = t if t < 0 else t - self.steps
                out["given", (n, t)] = edge[place] if edge is not None and -len(edge) <= place < len(edge) else None
        for n in self.point.boundary:
            out["boundary", n] = back.edges[derived.leaving[n]] if n in derived.leaving else None
        return out

    def check(self, by: Collection[str] | None = None) -> None:
        """Every derivative against a central difference in a random direction; ``by``: of these names alone."""
        with mpmath.workdps(DIGITS):
            found = self.gradients()
            step = mpmath.mpf(STEP)
            for (kind, key), gradient in found.items():
                if by is not None and (key[0] if kind == "given" else key) not in by:
                    continue
                value = getattr(self.point, kind)[key]
                if kind == "fixed" and self.graph.values[key].constant:
                    assert gradient is None, f"a gradient by {key}, which is constant"
                    continue
                direction = EXACT.array(self.rng.normal(size=np.shape(value)))
                ahead, behind = (self.loss(self.point.moved(kind, key, direction * s)) for s in (step, -step))
                wanted = (ahead - behind) / (2 * step)
                got = 0 if gradient is None else np.sum(gradient * direction)
                assert abs(got - wanted) < TOLERANCE * (1 + abs(wanted)), (kind, key, got, wanted)


def entry_names(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e.name for e in entries))
