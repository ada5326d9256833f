"""The lines of a lemma in numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import sympy

from symcell.derivation import nodes as nd
from symcell.derivation.check.case import STEP, Case
from symcell.derivation.check.sequence import Sequence
from symcell.derivation.model import Formula
from symcell.interpret import EXACT, Run
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import Param, written

UNITS = 4


class Lemma:
    """A vector of random numbers through a composite, and what comes back, line by line."""

    def __init__(self, case: Case, text: str) -> None:
        self.case, self.kind = case, fn.OVER_UNITS[text]
        self.argument = Param("u")
        self.u = case.draw(f"{text} u", 1, UNITS)
        self.value: Any = None
        self.sequence = Sequence(Run({}, {}, {}), 1, defaultdict(lambda: UNITS), {}, {}, {})
        self.sequence.letters[self.argument] = self.u

    def line(self, formula: Formula) -> Iterator[tuple[Any, Any]]:
        left = written(formula.left)
        if not isinstance(left, nd.DeltaOf):
            self.value = left
        elif nd.DeltaOf(self.value) not in self.sequence.letters:
            defined = self.sequence.letters[self.value]
            yield defined, self.of(self.u)
            self.sequence.letters[nd.DeltaOf(self.value)] = self.case.draw("delta", *defined.shape)
        found = self.sequence.value(formula.right, 0)
        for side in formula.via:
            yield self.sequence.value(side, 0), found
        self.hold(left, found)
        yield found, self.differences() if left == nd.DeltaOf(self.argument) else found

    def hold(self, left: Any, found: Any) -> None:
        """A left side, and for a square its root."""
        self.sequence.letters[left] = found
        if isinstance(left, sympy.Pow):
            self.sequence.letters[left.base] = EXACT.functions[fn.Sqrt](found)

    def of(self, u: Any) -> Any:
        self.sequence.letters[self.argument] = u
        found = self.sequence.of(self.kind(self.argument), 0)
        self.sequence.letters[self.argument] = self.u
        return found

    def differences(self) -> Any:
        """δu by differences of ⟨δv, F(u)⟩."""
        back = self.sequence.letters[nd.DeltaOf(self.value)]

        def moved(unit: int, by: Any) -> Any:
            u = self.u.copy()
            u[0, unit] += by
            return (back * self.of(u)).sum()

        return np.array([[(moved(k, STEP) - moved(k, -STEP)) / (2 * STEP) for k in range(UNITS)]])
