"""Numbers of 16 bits: the types there are, and cases of which every number is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from symcell.cell import CellError
from symcell.verify.case import Array, Case

HALVES = ("float16", "bfloat16")


def number_type(dtype: str) -> Any:
    """A type by its name. Raises CellError where it is bfloat16's, and its package is missing."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    try:
        import ml_dtypes
    except ImportError as problem:
        raise CellError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from problem
    return np.dtype(ml_dtypes.bfloat16)


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
