"""Every formula of a derivation in numbers, against what it claims to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import mpmath
import numpy as np

from symcell.derivation.check.case import BATCH, Case
from symcell.derivation.check.formulas import Formulas, is_general
from symcell.derivation.model import Document, Formula

DIGITS = 50

Witness = Literal["forward", "adjoint", "differences", "function", "instances"]
"""What a formula is held against: the forward sweep, the adjoint's sweep, differences at 50 digits, a function of the
table, or, for one that speaks in general, the formulas that are its instances."""


@dataclass(frozen=True)
class Checked:
    """``error``: the largest one, relative to the largest entry."""

    number: int
    witness: Witness
    error: float


@dataclass(frozen=True)
class Certificate:
    """``rows``: one for each formula, in order. ``direction``: the error of the gradient of everything, in one random
    direction, against differences of the whole loss. ``steps``, ``batch``: of the sequence of random numbers."""

    rows: tuple[Checked, ...]
    direction: float
    steps: int
    batch: int

    @property
    def worst(self) -> Checked:
        return max(self.rows, key=lambda row: row.error)


def certified(document: Document, case: Case) -> Certificate:
    """Evaluate every formula of a full derivation at 50 digits.

    Raises KeyError or ValueError for a formula that nothing checks.
    """
    with mpmath.workdps(DIGITS):
        direction = error(*case.direction)
        formulas = Formulas(case)
        rows = tuple(_rows(document.formulas(), formulas, direction))
    return Certificate(rows, direction, case.steps, BATCH)


def _rows(formulas: Iterable[Formula], check: Formulas, direction: float) -> Iterator[Checked]:
    general: list[Formula] = []
    found: dict[int, Checked] = {}
    for formula in formulas:
        if is_general(formula):
            general.append(formula)
            continue
        worst = max(error(*pair) for pair in check.compared(formula))
        found[formula.number] = Checked(formula.number, check.witness(formula), worst)
    worst = max([direction, *(row.error for row in found.values())])
    for formula in general:
        found[formula.number] = Checked(formula.number, "instances", worst)
    return iter(found[number] for number in sorted(found))


def error(found: Any, wanted: Any) -> float:
    """The largest difference, relative to the largest entry where that is larger than 1e-30."""
    found, wanted = np.broadcast_arrays(np.asarray(found, dtype=object), np.asarray(wanted, dtype=object))
    if not found.size:
        return 0.0
    off = max(abs(a - b) for a, b in zip(found.flat, wanted.flat, strict=True))
    return float(off / max(*(abs(b) for b in wanted.flat), mpmath.mpf("1e-30")))
