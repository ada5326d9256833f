"""A cell's parameters, checked, with the sizes that they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from symcell.cell import Cell
from symcell.lengths import shown


@dataclass(frozen=True)
class Instance:
    """One set of a cell's parameters and constant arrays, and its sizes in numbers."""

    fixed: Mapping[str, Any]
    sizes: Mapping[str, int]


def checked(cell: Cell, params: Mapping[str, Any], given: Mapping[str, int]) -> Instance:
    """Raises ValueError for arrays that are missing, unknown or of wrong shapes, TypeError for other types."""
    shapes = {**{n: p.shape for n, p in cell.parameters.items()}, **cell.arrays}
    if set(params) != set(shapes):
        raise ValueError(f"params: expected {', '.join(shapes)}, got {', '.join(params)}")
    arrays = {name: np.asarray(params[name]) for name in shapes}
    kinds = {array.dtype for array in arrays.values()}
    if len(kinds) > 1 or not kinds <= {np.dtype("float32"), np.dtype("float64")}:
        raise TypeError(f"params: expected arrays of float32 or of float64, got {', '.join(sorted(map(str, kinds)))}")
    for name, array in arrays.items():
        if array.ndim != len(shapes[name]):
            text = "×".join(map(str, shapes[name])) or "a number"
            raise ValueError(f"params[{name!r}]: expected {text}, got the shape {array.shape}")
    seen = [(size, length) for name, shape in shapes.items() for size, length in zip(shape, arrays[name].shape,
                                                                                     strict=True)]  # fmt: skip
    sizes = shown(seen, {**getattr(params, "sizes", {}), **given})
    if missing := [name for name in cell.sizes if name not in sizes]:
        raise ValueError(f"sizes: no array of {cell.name} shows {', '.join(missing)}: expected sizes={{...}} with it")
    for name, shape in shapes.items():
        wanted = tuple(size.value(sizes) for size in shape)
        if arrays[name].shape != wanted:
            raise ValueError(f"params[{name!r}]: expected the shape {wanted}, got {arrays[name].shape}")
    return Instance(arrays, {name: sizes[name] for name in cell.sizes})
