"""The blocks of the one-step Jacobian and their product over time, against differences of the sweep itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from symcell.derivation import nodes as nd
from symcell.derivation.check.case import BATCH, STEP, Case
from symcell.derivation.check.operators import Operators, by_columns
from symcell.derivation.model import Formula
from symcell.interpret import Run, run
from symcell.symbolic.nodes import At

Array = Any


class OneStep:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.formulas: list[Formula] = []

    @property
    def t(self) -> int:
        """The last step."""
        return self.case.steps - 1

    def block(self, formula: Formula) -> Iterator[tuple[Array, Array]]:
        self.formulas.append(formula)
        operators = self.evaluated(self.t)
        _, target, source, lag = formula.key
        wanted = self.differences(At(source, int(lag)), self.t, (At(target),))
        found = operators.known[formula.left]
        yield found, by_columns(wanted, self.case.shape(target), self.case.shape(source))

    def evaluated(self, t: int) -> Operators:
        operators = Operators(self.case.sequence(), self.case.graph, t)
        for formula in self.formulas:
            operators.define(formula.left, formula.right)
        return operators

    def product(self) -> Iterator[tuple[Array, Array]]:
        """Over the last two steps."""
        last, before = (self.whole(self.evaluated(t)) for t in (self.t, self.t - 1))
        wanted = [self.by_columns(self.differences(At(s.signal, s.lag + 1), self.t - 1, self.carried(), 2), s)
                  for s in self.carried()]  # fmt: skip
        yield last @ before, np.concatenate(wanted, axis=2)

    def carried(self) -> tuple[At, ...]:
        """All that a step hands on to the next one."""
        cell = self.case.backward.forward.cell
        return tuple(At(state, lag) for state, depth in cell.states.items() if state in cell.signals
                     for lag in range(depth))  # fmt: skip

    def whole(self, operators: Operators) -> Array:
        """The blocks in their places; what a state of several lags hands on unchanged is the identity."""
        carried = self.carried()
        rows = [np.concatenate([self.place(operators, to, of) for of in carried], axis=2) for to in carried]
        return np.concatenate(rows, axis=1)

    def place(self, operators: Operators, target: At, source: At) -> Array:
        rows, columns = operators.units(target), operators.units(source)
        if target.lag:
            same = target.signal == source.signal and target.lag == source.lag + 1
            return np.broadcast_to(np.eye(rows, columns) * same, (BATCH, rows, columns))
        left = nd.Partial(self.vec(target), self.vec(At(source.signal, source.lag + 1)))
        return np.broadcast_to(operators.known.get(left, np.zeros(1)), (BATCH, rows, columns))

    def vec(self, value: At) -> Any:
        return nd.Vec(value) if len(self.case.shape(value.signal)) == 2 else value

    def by_columns(self, whole: Array, source: At) -> Array:
        parts, start = [], 0
        for target in self.carried():
            size = int(np.prod(self.case.shape(target.signal)))
            part = whole[:, start : start + size]
            parts.append(by_columns(part, self.case.shape(target.signal), self.case.shape(source.signal)))
            start += size
        return np.concatenate(parts, axis=1)

    # differences

    def differences(self, source: At, t: int, targets: tuple[At, ...], steps: int = 1) -> Array:
        """The derivative of some values after ``steps`` steps from ``t`` on by one before them, (B, units, units)."""
        size = int(np.prod(self.case.shape(source.signal)))

        def moved(unit: int, by: Any) -> Array:
            found = self.from_before(t, steps, source, unit, by).varying
            parts = [found[target.signal, steps - 1 - target.lag] for target in targets]
            return np.concatenate([part.reshape(BATCH, -1) for part in parts], axis=1)

        return np.stack([(moved(u, STEP) - moved(u, -STEP)) / (2 * STEP) for u in range(size)], axis=2)

    def from_before(self, t: int, steps: int, source: At, unit: int, by: Any) -> Run:
        """Some steps from ``t`` on, with one unit of one state before them moved."""
        case = self.case
        held = dict(case.forward.varying)
        at = (source.signal, t - source.lag)
        held[at] = np.array(held[at])
        held[at].reshape(BATCH, -1)[:, unit] += by
        boundary = {e.name: np.stack([held[e.value, t - k] for k in range(e.depth, 0, -1)]) for e in case.graph.entries}
        given = {(n, s - t): held[n, s] for n in case.graph.given for s in range(-case.steps, t + steps)
                 if (n, s) in held}  # fmt: skip
        fixed = {**case.fixed}
        return run(case.graph, given, fixed, boundary, steps=steps, batch=BATCH, sizes=case.sizes)
