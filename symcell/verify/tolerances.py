"""How far apart two witnesses may be, and why: the whole table in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mpmath
import numpy as np

from symcell.verify.case import Array

FLOAT32_ULP = 2.0**-23
"""The spacing of float32 at 1."""

SMALL = 1e-2
"""A tensor is measured by its largest entry, but by no less than this part of the largest entry of all gradients (or of
all values): a gradient that is zero but for rounding has no relative error to speak of."""


@dataclass(frozen=True)
class Tolerance:
    """The largest error that passes, in its unit, and the reason; ``spacing``: that of the type at 1, which is the
    unit of an error in ULP; ``small``: the part of the largest entry of all that a tensor is measured by at least."""

    limit: float
    unit: Literal["relative", "ulp"]
    reason: str
    spacing: float = FLOAT32_ULP
    small: float = SMALL

    def text(self, value: float | None = None) -> str:
        """An error (or the limit itself) with its unit: ``3e-16``, ``1.2 ULP``."""
        if self.unit == "relative":
            return f"{self.limit if value is None else value:.0e}"
        return f"{self.limit:.0f} ULP" if value is None else f"{value:.1f} ULP" if value < 1e4 else f"{value:.0e} ULP"


HALVES = (
    "float32 between parameters, operands of products, a tape and results of 16 bits: 8.5 of these at most in shipped "
    "cells, where gates cancel out, and 5 elsewhere"
)

TOLERANCES = {
    "float64": Tolerance(1e-12, "relative", "thousands of roundings of 1e-16 each, in short sequences of small sizes"),
    "float32": Tolerance(256, "ulp", "the same roundings in units of 1.2e-7, each function within a few"),
    "apart": Tolerance(1e-12, "relative", "both targets are within the tolerance of float64"),
    "derived": Tolerance(
        1e-30, "relative", "50 digits on both sides; the step, 1e-30 (at a kink 1e-25), enters squared"
    ),
    "complex": Tolerance(1e-12, "relative", "the witness is exact, so what remains is the kernels' own rounding"),
    "central": Tolerance(1e-6, "relative", "a step of 1e-5: third derivatives times 1e-10, and rounding over 1e-5"),
    "float16": Tolerance(16, "ulp", HALVES, 2.0**-10, 0.1),
    "bfloat16": Tolerance(16, "ulp", HALVES, 2.0**-7, 0.1),
    "second": Tolerance(1e-11, "relative", "as in float64, through formulas several times as long"),
    "torch": Tolerance(1e-12, "relative", "float64 on both sides"),
}
"""By kind of witness."""


def real(values: Array) -> Array:
    """mpmath numbers as float64; what is not real is NaN, as it is in floating point."""
    return np.array([_real(v) for v in np.ravel(values)], float).reshape(np.shape(values))


def _real(value: object) -> float:
    return float("nan") if isinstance(value, mpmath.mpc | complex) else float(value)  # type: ignore[arg-type]


def largest(array: Array) -> float:
    """The largest magnitude in an array, 0 where it is empty."""
    return float(np.max(np.abs(array), initial=0))


def scale_of(tensor: Array, group: dict[str, Array], small: float = SMALL) -> float:
    """What errors of ``tensor`` are divided by."""
    return max(largest(tensor), small * max(map(largest, group.values()), default=0)) or 1.0


def error(found: Array, wanted: Array, scale: float) -> float:
    """The largest difference over ``scale``; infinite where shapes differ or only one of the two is a number."""
    if np.shape(found) != np.shape(wanted):
        return float("inf")
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    both = np.isnan(found) & np.isnan(wanted) | (found == wanted)
    with np.errstate(all="ignore"):
        apart = largest(np.where(both, 0, found - wanted)) / scale
    return apart if np.isfinite(apart) else float("inf")
