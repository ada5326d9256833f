"""Parameters in safetensors files, with the equations that they belong to.

    checkpoint.save("net.safetensors", module, params)      # module: an emitted one
    params = checkpoint.load("net.safetensors", module)     # refused where its equations are others

Modules of PyTorch are saved by ``symcell.torch.save``. Needs safetensors (the extra ``checkpoint``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from symcell.cell import Cell
from symcell.checkpoint.files import File, Place, opened, write
from symcell.checkpoint.header import LARGEST, Header, difference, fingerprint
from symcell.language import parse

__all__ = [
    "LARGEST",
    "TYPES",
    "File",
    "Header",
    "difference",
    "fingerprint",
    "load",
    "opened",
    "refuse_others",
    "save",
    "write",
]


TYPES = ("F16", "BF16", "F32", "F64")
"""The types of numbers that a file may have, as safetensors call them."""


def save(path: Place, module: ModuleType, params: Mapping[str, Any]) -> None:
    """Save the parameters (and constant arrays) of an emitted module.

    Raises what the module raises for parameters that do not fit, OSError where the file cannot be written, ImportError
    without safetensors.
    """
    held = params if isinstance(params, module.Params) else module.Params.from_dict(params)
    arrays = {name: np.array(_host(held[name]), order="C") for name in (*module.PARAMS, *_constants(module))}
    write(path, arrays, Header(_cell(module), held.sizes), "np")


def load(path: Place, module: ModuleType) -> Any:
    """The ``Params`` of an emitted module out of a file.

    Raises ValueError for a file that is no checkpoint, of other equations, or whose tensors do not fit; OSError where
    it cannot be read; ImportError without safetensors.
    """
    cell = _cell(module)
    with opened(path, "np") as file:
        refuse_others(file, cell)
        shaped = {**{n: p.shape for n, p in cell.parameters.items()}, **cell.arrays}
        expected = {name: tuple(size.value(file.header.sizes) for size in shape) for name, shape in shaped.items()}
        return module.Params.from_dict(_own(module, file.read(expected, TYPES)), **file.header.sizes)


def refuse_others(file: File, cell: Cell) -> None:
    """Raises ValueError where a file is of other equations."""
    different = difference(file.header.cell, cell)
    if different:
        raise ValueError(
            f"{file.path}: the equations in the file (cell {file.header.cell.name}) and those of {cell.name} differ: "
            f"{different}. Load it with the cell that it was saved with (symcell.torch.load(path) takes the file's own "
            "equations), or, where both are one function under other names, convert the arrays with "
            "symcell.torch.equivalent"
        )


def _cell(module: ModuleType) -> Cell:
    """The cell of an emitted module, which is called ``NAME_TARGET``."""
    name = module.__name__.rpartition(".")[2].rpartition("_")[0]
    return parse(module.EQUATIONS, name=name if name.isidentifier() else "cell")


def _constants(module: ModuleType) -> tuple[str, ...]:
    return tuple(getattr(module, "CONSTANTS", ()))


def _host(array: Any) -> Any:
    """An array of the device as one of NumPy."""
    return array if isinstance(array, np.ndarray) else array.get()


def _own(module: ModuleType, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays as the module takes them."""
    device = getattr(module, "cp", None)
    return {name: array if device is None else device.asarray(array) for name, array in arrays.items()}
