"""Cells side by side, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

from symcell.cell import Cell
from symcell.program.report import NOMINAL


@dataclass(frozen=True)
class Shown:
    """Mathematics in print; ``text`` has the marks of :mod:`symcell.derivation.breaking`."""

    text: str
    tex: str


@dataclass(frozen=True)
class Equation:
    left: Shown
    right: Shown
    label: str


@dataclass(frozen=True)
class GateUse:
    """``factor`` multiplies ``gated`` in the equation of ``signal``; ``name`` as in
    :class:`symcell.compare.gates.Gate`."""

    name: str
    factor: Shown
    gated: Shown
    signal: str


@dataclass(frozen=True)
class Path:
    """All ways of one kind from ``source`` to ``target``: ``factor``, their sum, if it can be shown, and the matrices
    on them. ``kind``: additive, scaled, gated, elementwise or matrix (:class:`symcell.jacobian.Kind`)."""

    target: Shown
    source: Shown
    kind: str
    factor: Shown | None
    matrices: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """The least time of a train step in some rounds, in seconds, and by how many bytes a process of its own grows
    (None where that is not known)."""

    seconds: float
    memory: int | None


@dataclass(frozen=True)
class Work:
    """What was measured: T steps of B samples, D inputs and H units, in float32, on a target."""

    target: str
    steps: int
    batch: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        sizes = f"T = {self.steps}, B = {self.batch}, D = {self.inputs}, H = {self.hidden}"
        return f"{self.target}, {sizes}, float32, forward and backward"


@dataclass(frozen=True, eq=False)
class Profile:
    """One cell. ``costs``: per step and sample, as formulas in its sizes."""

    cell: Cell
    equations: tuple[Equation, ...]
    gates: tuple[GateUse, ...]
    paths: tuple[Path, ...]
    costs: Mapping[str, sympy.Expr]
    measured: Measured | None = None

    @property
    def gate_names(self) -> tuple[str, ...]:
        """Each gate once; one without a name by its formula."""
        from symcell.derivation.breaking import unmarked

        return tuple(dict.fromkeys(g.name or unmarked(g.factor.text) for g in self.gates))

    def cost(self, what: str) -> int:
        """A cost as a number, where every size is 256."""
        amount = self.costs[what]
        return int(amount.subs(dict.fromkeys(amount.free_symbols, NOMINAL)))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Cells side by side; ``print`` shows them. ``target``: whose costs they are; ``work``: what was measured;
    ``notes``: why something was not."""

    profiles: tuple[Profile, ...]
    target: str
    work: Work | None = None
    notes: tuple[str, ...] = ()

    def ratio(self, what: str) -> tuple[Fraction | None, ...]:
        """A cost of each cell in terms of the first one's that is not 0."""
        values = [profile.cost(what) for profile in self.profiles]
        base = next((v for v in values if v), 0)
        return tuple(Fraction(v, base) if base else None for v in values)

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON can hold."""
        from symcell.compare.data import data

        return data(self)

    def __str__(self) -> str:
        from symcell.compare.text import text

        return text(self)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(p.cell.name for p in self.profiles)}>"

    def _repr_html_(self) -> str:
        from symcell.compare.page import fragment

        return fragment(self)


def proportion(ratios: Sequence[Fraction | None]) -> str:
    """``1 : 3 : 4``; two digits where they are not whole."""
    return " : ".join("–" if r is None else f"{float(r):.2f}".rstrip("0").rstrip(".") for r in ratios)
