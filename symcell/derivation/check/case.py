"""One short sequence of random numbers through a cell, and what its formulas are held against.

Forward values, cotangents and gradients are those of the graphs, interpreted at 50 digits; differences are central ones
of the interpreted forward sweep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import numpy as np

from symcell.adjoint import Adjoint
from symcell.derivation.backward import Backward
from symcell.derivation.check.sequence import Sequence
from symcell.graph import Graph, lag_of, name_of
from symcell.interpret import EXACT, Run, run

Array = Any

BATCH = 2
STEP = mpmath.mpf(10) ** -20
"""Of central differences: their error is about its square."""


@dataclass(frozen=True, eq=False)
class Case:
    """``backward``: the displayed derivation; ``emitted``: the adjoint of the cell as its user wrote it.

    Sizes are small and different from each other. A state that has a learned start begins there, any other with random
    numbers.
    """

    backward: Backward
    emitted: Adjoint
    seed: int = 1

    @property
    def graph(self) -> Graph:
        return self.backward.forward.graph

    @cached_property
    def steps(self) -> int:
        """One more than any state reaches back, and three at least."""
        return max(3, *(1 + depth for depth in self.backward.forward.cell.states.values()), 0)

    @cached_property
    def sizes(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.backward.forward.cell.sizes, 2)}

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(size.value(self.sizes) for size in self.graph.shape(name))

    def draw(self, stream: str, *shape: int) -> Array:
        """Numbers in ±1, the same for the same name."""
        rng = np.random.default_rng([self.seed, *stream.encode()])
        return EXACT.array(rng.uniform(-1, 1, shape))

    # forward

    @cached_property
    def fixed(self) -> dict[str, Array]:
        return {name: self.draw(name, *self.shape(name)) for name in self.graph.fixed}

    @cached_property
    def given(self) -> dict[tuple[str, int], Array]:
        return {(n, t): self.draw(f"{n} {t}", BATCH, *self.shape(n)) for n in self.graph.given
                for t in range(self.steps)}  # fmt: skip

    @cached_property
    def boundary(self) -> dict[str, Array]:
        """The states that are given from before."""
        return {e.name: self.draw(f"{e.name} before", e.depth, BATCH, *self.shape(e.value))
                for e in self.graph.entries if e.start is None}  # fmt: skip

    def forward_of(self, graph: Graph, fixed: Mapping[str, Array], given: Mapping[tuple[str, int], Array],
                   boundary: Mapping[str, Array]) -> Run:  # fmt: skip
        return run(graph, given, fixed, boundary, steps=self.steps, batch=BATCH, sizes=self.sizes)

    @cached_property
    def forward(self) -> Run:
        return self.forward_of(self.graph, self.fixed, self.given, self.boundary)

    # what arrives from outside

    @cached_property
    def seeds(self) -> dict[tuple[str, int], Array]:
        output = self.backward.forward.cell.output
        return {(output, t): self.draw(f"loss {t}", BATCH, *self.shape(output)) for t in range(self.steps)}

    @cached_property
    def arriving(self) -> dict[tuple[str, int], Array]:
        """By state and step."""
        found: dict[tuple[str, int], Array] = {}
        for leaving in self.graph.exits:
            (state,) = leaving.values
            for t in range(self.steps - leaving.depth, self.steps):
                found[state, t] = self.draw(f"{state} last {t}", BATCH, *self.shape(state))
        return found

    # backward

    def reverse_of(self, back: Adjoint, forward: Run) -> Run:
        held = dict(forward.varying)
        for output, seed in back.seeds.items():
            held |= {(seed, t): self.seeds[output, t] for t in range(self.steps)}
        entering = {}
        for leaving in back.forward.exits:
            (state,) = leaving.values
            if leaving.name in back.entering:
                steps = range(self.steps - leaving.depth, self.steps)
                entering[back.entering[leaving.name]] = np.stack([self.arriving[state, t] for t in steps])
        fixed = {**self.fixed, **forward.fixed}
        return run(back.graph, held, fixed, entering, steps=self.steps, batch=BATCH, sizes=self.sizes)

    @cached_property
    def reverse(self) -> Run:
        return self.reverse_of(self.backward.adjoint, self.forward)

    @cached_property
    def emitted_gradients(self) -> dict[str, Array]:
        """The gradients of the cell as its user wrote it."""
        graph = self.emitted.forward
        forward = self.forward_of(graph, self.fixed, self.given, self.boundary)
        reverse = self.reverse_of(self.emitted, forward)
        return {name: reverse.fixed[held] for name, held in self.emitted.gradients.items() if held in reverse.fixed}

    @cached_property
    def deltas(self) -> dict[tuple[str, int], Array]:
        """δ of each displayed value at each step, and of states before the first one (step -1 and earlier)."""
        found: dict[tuple[str, int], Array] = {}
        for value in self.backward.deltas:
            operand = self.backward.adjoint.cotangents.get(value)
            if operand is None:  # no way leads on from it but the one to its last state
                zero = self.shaped(value, None)
                found |= {(value, t): self.arriving.get((value, t), zero) for t in range(self.steps)}
                continue
            for t in range(self.steps):
                array = self.reverse.varying.get((name_of(operand), t - lag_of(operand)))
                found[value, t] = self.shaped(value, array)
        return found | self.before

    @cached_property
    def before(self) -> dict[tuple[str, int], Array]:
        adjoint = self.backward.adjoint
        entries = {e.value: e.name for e in self.graph.entries}
        found: dict[tuple[str, int], Array] = {}
        for end in self.backward.ends:
            left = self.reverse.edges[adjoint.leaving[entries.get(end.value, end.value)]]
            for k, array in enumerate(left):
                found[end.value, k - len(left)] = self.shaped(end.value, array)
        return found

    def shaped(self, value: str, array: Array | None) -> Array:
        shape = (BATCH, *self.shape(value))
        if array is None:
            return EXACT.array(np.zeros(shape))
        array = np.asarray(array)
        if array.ndim > len(shape):
            return array.reshape(len(array), *shape[1:])
        return np.broadcast_to(array.reshape(array.shape + (1,) * (len(shape) - array.ndim)), shape)

    # formulas

    def sequence(self, varying: Mapping[tuple[str, int], Array] | None = None) -> Sequence:
        """The values that formulas are evaluated with; ``varying``: other forward values than this case has."""
        held = self.forward.varying if varying is None else varying
        now = {k: v for k, v in held.items() if k[1] >= 0}
        before = {k: v for k, v in held.items() if k[1] < 0}
        zeros = {n: self.shaped(n, None) for n, v in self.graph.values.items() if not v.fixed}
        known = {**self.fixed, **self.forward.fixed}
        return Sequence(Run(now, known, {}), self.steps, self.sizes, self.seeds, before, zeros, dict(self.deltas),
                        arriving=self.arriving)  # fmt: skip

    # differences

    def loss(self, graph: Graph, fixed: Mapping[str, Array], given: Mapping[tuple[str, int], Array],
             boundary: Mapping[str, Array]) -> Any:  # fmt: skip
        """A loss of which what arrives are the derivatives."""
        found = self.forward_of(graph, fixed, given, boundary).varying
        parts = [np.sum(found[key] * seed) for key, seed in (*self.seeds.items(), *self.arriving.items())]
        return sum(parts)

    @cached_property
    def direction(self) -> tuple[Any, Any]:
        """The derivative of the loss in one random direction of all parameters, inputs and initial states: by the
        gradients, and by differences of the cell as its user wrote it."""
        graph = self.emitted.forward
        fixed = {n: self.draw(f"{n} way", *a.shape) for n, a in self.fixed.items() if not graph.values[n].constant}
        given = {k: self.draw(f"{k} way", *a.shape) for k, a in self.given.items()}
        boundary = {n: self.draw(f"{n} way", *a.shape) for n, a in self.boundary.items()}

        def moved(by: Any) -> Any:
            return self.loss(graph, _moved(self.fixed, fixed, by), _moved(self.given, given, by),
                             _moved(self.boundary, boundary, by))  # fmt: skip

        zero = EXACT.array(np.zeros(()))
        total = sum(np.sum(self.emitted_gradients.get(n, zero) * way) for n, way in fixed.items())
        total += sum(np.sum(self.deltas[k] * way) for k, way in given.items() if k in self.deltas)
        for entry in self.graph.entries:
            for k in range(entry.depth if entry.name in boundary else 0):
                delta = self.before.get((entry.value, k - entry.depth), zero)
                total += np.sum(delta * boundary[entry.name][k])
        return total, (moved(STEP) - moved(-STEP)) / (2 * STEP)


def _moved(held: Mapping[Any, Array], ways: Mapping[Any, Array], by: Any) -> dict[Any, Array]:
    return {**held, **{key: held[key] + by * way for key, way in ways.items()}}
