"""Numbers of 16 bits: the types there are, cases of which every number is one, and how alike results are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from symcell.cell import CellError
from symcell.emulate.numbers import named
from symcell.verify.case import Array, Case, Result

HALVES = ("float16", "bfloat16")

SHARE = 1 / 20
"""Of all numbers of a case so many may differ between two targets without a word. Both round the same values at the
same places, so a number differs only where sums in another order, or another tanh, fall on two sides of a boundary, and
what follows from it: of shipped cells one in 50 at most. Where one of them leaves out a rounding it is one in five."""


def number_type(dtype: str) -> Any:
    """A type by its name. Raises CellError where it is bfloat16's, and its package is missing."""
    try:
        return named(dtype)
    except ImportError as problem:
        raise CellError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from problem


def checked(dtypes: Sequence[str]) -> tuple[str, ...]:
    """Names of 16-bit types, each once. Raises ValueError for others, CellError for one that is missing here."""
    for dtype in dtypes:
        if dtype not in HALVES:
            raise ValueError(f"dtypes: expected some of {', '.join(HALVES)}, got {dtype!r}")
        number_type(dtype)
    return tuple(dtype for dtype in HALVES if dtype in dtypes)


def rounded(case: Case, dtype: str) -> Case:
    """The case with every number rounded to a type."""

    def one(array: Array) -> Array:
        return np.asarray(array).astype(number_type(dtype)).astype(float)

    def several(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {name: one(array) for name, array in arrays.items()}

    return replace(case, params=several(case.params), x=several(case.x), state=several(case.state), dy=one(case.dy),
                   dlast=several(case.dlast), arrays=several(case.arrays))  # fmt: skip


@dataclass(frozen=True)
class Alike:
    """How many of all numbers of two results differ, and by how many steps of the type at most (``ulps``)."""

    differ: int
    total: int
    ulps: int

    @property
    def ok(self) -> bool:
        return self.differ <= SHARE * self.total

    def __str__(self) -> str:
        return f"{self.differ} of {self.total} numbers differ, by {self.ulps} ULP at most"


def alike(one: Result, other: Result) -> Alike:
    """Two results of one case, of the same type of 16 bits, bit by bit. Numbers that are none are alike."""
    apart = [_steps(found, other.tensors()[name]) for name, found in one.tensors().items()]
    steps = np.concatenate([np.zeros(0, int), *apart])
    return Alike(int(np.count_nonzero(steps)), steps.size, int(steps.max(initial=0)))


def _steps(one: Array, other: Array) -> Array:
    """How many numbers of the type lie between two, by position."""
    places = []
    for array in (one, other):
        bits = np.ascontiguousarray(array).view(np.int16).astype(int).ravel()
        place = np.where(bits < 0, -(bits & 0x7FFF), bits)
        places.append(np.where(np.isnan(np.asarray(array, float)).ravel(), 0x10000, place))
    return np.abs(places[0] - places[1])
