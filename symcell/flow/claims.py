"""What the derivation says of each state's own way through time, held against the measured gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Add, Expr

from symcell.derivation.forward import read_forward
from symcell.derivation.nodes import Partial, Vec
from symcell.derivation.onestep import block_formulas, displayed
from symcell.derivation.tex import TexPrinter
from symcell.derivation.text import TextPrinter
from symcell.flow.direct import diagonal, own_kind
from symcell.flow.gradients import Flow, curve, norms, rate
from symcell.flow.model import Claim
from symcell.flow.subject import Subject
from symcell.jacobian.paths import Kind, paths_of
from symcell.pipeline import derive
from symcell.symbolic.nodes import At


@dataclass(frozen=True)
class Stated:
    """A block as the derivation states it: its number there (None where it is too long to be stated), text, LaTeX."""

    number: int | None
    text: str
    tex: str


class Claims:
    """The claims of one cell: what they say is looked up once, and held against any flow."""

    def __init__(self, subject: Subject) -> None:
        self.cell, self.graph = subject.cell, subject.graph
        self.forward = read_forward(self.cell, self.graph)
        states = [s for s in subject.step.targets if s in self.cell.states]
        self.kinds = {state: own_kind(self.cell, self.graph, state) for state in states}
        back = [s for s in states if (s, At(s, 1)) in subject.step.blocks]
        self.states = [s for s in back if self.kinds[s] is not None] or back
        self.stated = self._stated() if self.states else {}
        self.diagonals = {s: self._diagonal(s, kind) for s, kind in self.kinds.items() if kind is not None}

    def _stated(self) -> dict[str, Stated]:
        """The blocks ∂s[t]/∂s[t-1], as they stand in the derivation."""
        found, derivation = {}, derive(self.cell)
        text, tex = TextPrinter(derivation.names), TexPrinter(derivation.names, False)
        stated = {f.left: f for f in derivation.formulas()}
        for state in self.states:
            left = Partial(*(Vec(v) if len(self.graph.shape(state)) == 2 else v for v in (At(state), At(state, 1))))
            right = stated[left].right if left in stated else self._long(left)
            found[state] = Stated(stated[left].number if left in stated else None,
                                  f"{text.plain(left)} = {text.plain(right)}",
                                  f"{tex.plain(left)} = {tex.plain(right)}")  # fmt: skip
        return found

    def _long(self, left: Expr) -> Expr:
        """A block that the derivation leaves out."""
        return next(f.right for f in block_formulas(self.forward) if f.left == left)

    def _diagonal(self, state: str, kind: Kind) -> str:
        ways = [w for w in paths_of(self.cell, self.graph) if w.target == state and w.source == At(state, 1)]
        factors = [w.factor for w in ways if w.kind <= max(kind, Kind.GATED)]
        if any(factor is None for factor in factors):
            return "the diagonal"
        printer = TextPrinter(self.forward.display_names())
        return printer.plain(displayed(self.forward, Add(*factors)))

    def of(self, flow: Flow) -> Iterator[Claim]:
        """Each claim beside what a flow measures."""
        for state in self.states:
            kind, measured = self.kinds[state], curve(flow.norms(state)).middle
            if kind is None:
                predicted = tuple(measured[0] * flow.geometric**k for k in range(len(measured)))
                yield self._claim(state, None, "", predicted, flow.geometric, measured)
            else:
                alone = alone_through(flow, state, diagonal(self.cell, flow.values, state))
                along = curve(norms(alone)).middle
                yield self._claim(state, kind, self.diagonals[state], along, rate(along), measured)

    def _claim(self, state: str, kind: Kind | None, diagonal: str, predicted: tuple[float, ...], expected: float,
               measured: tuple[float, ...]) -> Claim:  # fmt: skip
        stated = self.stated[state]
        return Claim(
            state=state,
            kind="geometric" if kind is None else "gated",
            word=(Kind.MATRIX if kind is None else kind).word,
            diagonal=diagonal,
            number=stated.number,
            formula=stated.text,
            tex=stated.tex,
            predicted=predicted,
            rate=float(expected),
            measured=rate(measured),
        )


def alone_through(flow: Flow, state: str, diagonal: Any) -> Any:
    """∂L/∂s[T-lag] if from lag 1 on the state came back by its own way alone: (T, B, directions, units)."""
    found = flow.deltas[..., flow.layout.of(state)].copy()
    flat = diagonal.reshape(*diagonal.shape[:2], -1)
    for lag in range(2, len(found) + 1):
        step = flat[-lag] if len(flat) > 1 else flat[0]
        found[lag - 1] = found[lag - 2] * step[:, None]
    return np.asarray(found)
