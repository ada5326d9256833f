"""The adjoint of the adjoint: Hessian-vector products against differences of gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
from feature_cells import FEATURES

import symcell
from symcell.adjoint import Adjoint, adjoint
from symcell.cell import Cell, Size
from symcell.graph import (
    Graph,
)
from symcell.interpret import EXACT, Run, run
from symcell.lower import lower
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case
from symcell.verify.reference import reference, run_forward


class Second:
    """A Hessian-vector product by the adjoint of the adjoint: seeded with a direction, it gives the tangents of what
    came in, and what flows back to the parameters directly and by way of the values of the forward sweep."""

    def __init__(self, cell: Cell, case: Case, direction: dict[str, Any]) -> None:
        self.cell, self.case = cell, case
        forward = lower(cell)
        self.first = adjoint(forward)
        self.second = adjoint(self.first.graph)
        self.once = run_forward(cell, case, forward, EXACT)
        varying = self._with_start(self.once.varying, cell.states)
        varying |= {(self.first.seeds[cell.output], t): EXACT.array(case.dy[t]) for t in range(case.steps)}
        back = self._run(self.first.graph, varying, self.once.fixed)
        fixed = {**self.once.fixed, **back.fixed}
        varying |= back.varying
        for of, gradient in self.first.gradients.items():
            seed = self.second.seeds[gradient]
            if of in direction:
                fixed[seed] = EXACT.array(direction[of].reshape(back.fixed[gradient].shape))
            else:
                varying |= {(seed, t): self._zero(self.first.forward.size(of)) for t in range(case.steps)}
        self.twice = self._run(self.second.graph, varying, fixed)

    def _zero(self, size: Size) -> Any:
        return EXACT.array(np.zeros((self.case.batch, size.value(self.case.sizes))))

    def _with_start(self, varying: Any, depths: Any) -> dict[Any, Any]:
        before = {(n, t): self._zero(self.cell.size_of(n)) for n, depth in depths.items() for t in range(-depth, 0)}
        return {**varying, **before}

    def _run(self, graph: Graph, varying: Any, fixed: Any) -> Run:
        return run(graph, varying, fixed, {}, steps=self.case.steps, batch=self.case.batch, sizes=self.case.sizes)

    def tangents(self) -> list[Any]:
        """The tangent of y along the direction, step by step."""
        found = self.second.gradients[self.first.seeds[self.cell.output]]
        return [self.twice.varying[found, t] for t in range(self.case.steps)]

    def product(self) -> dict[str, Any]:
        """The Hessian of the loss times the direction."""
        forward = self.first.forward
        made = [op.out for op in forward.steps if op.out in self.second.gradients]
        through = adjoint(replace(forward, outputs=tuple(made)))
        varying = self._with_start(self.once.varying, self.cell.states)
        fixed = dict(self.once.fixed)
        for of in made:
            found = self.second.gradients[of]
            if forward.values[of].fixed:
                fixed[through.seeds[of]] = self.twice.fixed[found]
            else:
                varying |= {(through.seeds[of], t): self.twice.varying[found, t] for t in range(self.case.steps)}
        back = self._run(through.graph, varying, fixed)
        return {p: self._total(p, back, through) for p in self.case.params}

    def _total(self, name: str, back: Run, through: Adjoint) -> Any:
        shape = np.shape(self.case.params[name])
        total = EXACT.array(np.zeros(shape))
        for sweep, derived in ((back, through), (self.twice, self.second)):
            if name in derived.gradients:
                total = total + sweep.fixed[derived.gradients[name]].reshape(shape)
        return total


@pytest.mark.parametrize(
    "name",
    ["rnn", "gru", "lstm", "indrnn", "narx", "antisymmetric", "layernorm_lstm", "joined", "scalars", "over_units"],
)
def test_second_derivatives(name: str) -> None:
    """Hessian-vector products equal differences of gradients, and tangents those of the forward sweep."""
    cell = symcell.load(name) if name not in FEATURES else symcell.parse(FEATURES[name], name=name)
    case = random_case(cell, Kind("second", 3, 2, given=False), sizes={"D": 2, "H": 3})
    rng = np.random.default_rng(5)
    direction = {p: np.asarray(rng.normal(size=np.shape(v))) for p, v in case.params.items()}
    with mpmath.workdps(40):
        second = Second(cell, case, direction)
        assert second.second.graph.check().direction == 1
        step = mpmath.mpf("1e-12")
        both = []
        for sign in (1, -1):
            params = {p: EXACT.array(v) + EXACT.array(direction[p]) * (sign * step) for p, v in case.params.items()}
            both.append(reference(cell, replace(case, params=params), digits=40))
        tangents = (both[0].y - both[1].y) / (2 * step)
        assert np.max(np.abs(tangents - np.stack(second.tangents()))) < 1e-18
        for p, found in second.product().items():
            wanted = (both[0].params[p] - both[1].params[p]) / (2 * step)
            assert np.max(np.abs(found - wanted)) < 1e-16, p
