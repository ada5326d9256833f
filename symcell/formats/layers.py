"""A layer of another library as a cell with its parameters, one set for each direction, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symcell.arrays import Array, join
from symcell.cell import Cell
from symcell.equivalence import Difference
from symcell.formats.arrays import sizes_of
from symcell.formats.layouts import ForeignModule, Library
from symcell.formats.reading import library as library_of
from symcell.formats.recognising import Known, known
from symcell.language import as_cell

Given = Mapping[str, Array] | Sequence[Array]
"""Arrays by name, or in the library's order (``layer.get_weights()``)."""


@dataclass(frozen=True)
class Layer:
    """A layer: how it is a cell, the cell's parameters for each direction, and the cell's sizes in numbers."""

    known: Known
    params: tuple[dict[str, Array], ...]
    sizes: Mapping[str, int]

    @property
    def cell(self) -> Cell:
        return self.known.equal.other


def as_known(module: ForeignModule, cell: Cell | str | None) -> Known:
    """A layer as a cell: the one that is given, else the shipped one. Raises ValueError where that is another function,
    CellError for what is no cell."""
    found = known(module, as_cell(module.shipped if cell is None else cell))
    if isinstance(found, Difference):
        raise ValueError(f"cell: expected the function of {module.title}; {found}")
    return found


def from_arrays(
    library: str,
    name: str,
    arrays: Given,
    options: Mapping[str, object] | None = None,
    cell: Cell | str | None = None,
) -> Layer:
    """Read a layer's arrays, NumPy's or PyTorch's.

    library: one of :data:`LIBRARIES`; name: its layer (``"LSTM"``). arrays: by name or in the library's order; where
    both directions are in one array (ONNX), with that axis. options: the layer's arguments or attributes
    (``layer.get_config()``), as far as they are not the defaults. cell: what to read it as; default: a shipped one.

    Raises ValueError for a layer that is not known, arrays that do not fit, or a cell that is another function.
    """
    home = library_of(library)
    module = home.module(name, {**_present(home, name, arrays), **(options or {})})
    found = as_known(module, cell)
    parts = _apart(home, module, _by_name(module, arrays))
    sizes = sizes_of(module, parts[0])
    params = tuple(found.to_cell(part) for part in parts)
    return Layer(found, params, {found.equal.sizes[size]: length for size, length in sizes.items()})


def to_arrays(
    library: str,
    name: str,
    cell: Cell | str,
    params: Mapping[str, Array] | Sequence[Mapping[str, Array]],
    options: Mapping[str, object] | None = None,
) -> dict[str, Array]:
    """The way back: a cell's parameters as a layer's arrays, by name, in the library's order.

    params: for both directions, a sequence of two, where the library has both in one array. Raises ValueError for a
    layer that is not known, or one that is another function.
    """
    home = library_of(library)
    module = home.module(name, options or {})
    found = as_known(module, cell)
    left = [array for option, several in module.optional.items() if not (options or {}).get(option, True)
            for array in several]  # fmt: skip
    each = [params] if isinstance(params, Mapping) else list(params)
    parts = [found.from_cell(one, left) for one in each]
    if not home.together:
        if len(parts) != 1:
            raise ValueError(f"params: {home.name} has the directions apart: expected one mapping, got {len(parts)}")
        return parts[0]
    return {array: join([part[array][None] for part in parts], 0) for array in parts[0]}


def _present(home: Library, name: str, arrays: Given) -> dict[str, bool]:
    """Which arrays are there, where that says which equations these are."""
    modules = [m for m in home.modules if m.name == name]
    told = {array for m in modules for array in m.arrays if any(array in other.options for other in modules)}
    return {array: array in arrays for array in told} if isinstance(arrays, Mapping) else {}


def _by_name(module: ForeignModule, arrays: Given) -> dict[str, Array]:
    if isinstance(arrays, Mapping):
        return dict(arrays)
    for names in (tuple(module.arrays), tuple(n for n in module.arrays if n not in module.missing)):
        if len(names) == len(arrays):
            return dict(zip(names, arrays, strict=True))
    raise ValueError(f"{module.title}: expected {len(module.arrays)} arrays ({', '.join(module.arrays)}), "
                     f"got {len(arrays)}")  # fmt: skip


def _apart(home: Library, module: ForeignModule, arrays: Mapping[str, Array]) -> list[dict[str, Array]]:
    """The arrays of each direction."""
    arrays = {n: np.asarray(a) if not hasattr(a, "shape") else a for n, a in arrays.items()}
    if not home.together:
        return [arrays]
    counts = {name: int(array.shape[0]) if array.shape else 0 for name, array in arrays.items()}
    if len(set(counts.values())) != 1 or not {*counts.values()} <= {1, 2}:
        raise ValueError(f"{module.title}: expected arrays with 1 or 2 directions as their first axis, got {counts}")
    return [{name: array[k] for name, array in arrays.items()} for k in range(next(iter(counts.values())))]
