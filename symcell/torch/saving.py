"""Recurrent in a safetensors file and out of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from symcell.cell import Cell
from symcell.checkpoint import LARGEST, TYPES, File, Header, opened, refuse_others, write
from symcell.language import as_cell
from symcell.torch.arguments import probability
from symcell.torch.recurrent import Recurrent
from symcell.torch.sizes import named_sizes
from symcell.transforms import without_biases

_ARGUMENTS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional",
              "checkpoint", "zoneout", "recurrent_dropout")  # fmt: skip
"""What is kept of how a module was made; where it runs is for the one who loads it to say."""


def save(path: str | os.PathLike[str], module: Recurrent) -> None:
    """Save a module: all layers and directions under the names of ``state_dict()``, with its equations.

    The file appears under its name only when it is complete. Raises TypeError for other modules, OSError where it
    cannot be written, ImportError without safetensors (the extra ``checkpoint``).
    """
    if not isinstance(module, Recurrent):
        raise TypeError(f"module: expected a Recurrent, got {type(module).__name__}")
    arguments = {name: getattr(module, name) for name in _ARGUMENTS} | {"sizes": module._given_sizes}
    sizes = dict.fromkeys(module._given.sizes, 1) | module.sizes[0]  # a size of biases alone may be missing
    header = Header(module._given, sizes, arguments)
    tensors = {name: value.detach().contiguous().clone() for name, value in module.state_dict().items()}
    write(path, tensors, header, "pt")


def load(
    path: str | os.PathLike[str], cell: Cell | str | Path | None = None, *, device: Any = None, target: str = "auto"
) -> Recurrent:
    """The module in a file, as it was made, with the file's own equations. ``cell``: those that it must have.

    Raises ValueError, naming the file, for one that is no checkpoint of a Recurrent, that has other equations, or whose
    tensors do not fit; OSError where it cannot be read; ImportError without safetensors.
    """
    with opened(path, "pt") as file:
        if cell is not None:
            refuse_others(file, as_cell(cell))
        arguments = _arguments(file)
        with _naming(path):
            expected = _expected(file, arguments)
        tensors = file.read(expected, TYPES)
        kind = next(iter(tensors.values()), torch.empty(0)).dtype
        with _naming(path):
            made = _made(file, arguments, tensors, {"device": device, "dtype": kind, "target": target})
    made.load_state_dict(tensors)
    return made


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """What is wrong with the arguments in a file is a ValueError that names it."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: arguments: {error}") from error


def _arguments(file: File) -> dict[str, Any]:
    """Checked as far as the shapes of the tensors depend on them; the rest is Recurrent's to check."""
    found = dict(file.header.arguments)
    if not found:
        raise ValueError(f"{file.path}: expected a Recurrent, and this is of an emitted module: use checkpoint.load")
    if set(found) != {*_ARGUMENTS, "sizes"}:
        raise ValueError(f"{file.path}: arguments: expected {', '.join(_ARGUMENTS)}, sizes; got {', '.join(found)}")
    for name, most in (("input_size", LARGEST), ("hidden_size", LARGEST), ("num_layers", max(1, len(file.shapes)))):
        if isinstance(found[name], bool) or not isinstance(found[name], int) or not 1 <= found[name] <= most:
            raise ValueError(f"{file.path}: {name}: expected from 1 to {most}, got {str(found[name])[:40]}")
    if not isinstance(found["sizes"], dict) or not all(isinstance(found[n], bool) for n in ("bias", "bidirectional")):
        raise ValueError(f"{file.path}: arguments: sizes, bias or bidirectional of a wrong type")
    return found


def _expected(file: File, arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors, before anything is made of these numbers."""
    given = file.header.cell
    cell = given if arguments["bias"] else without_biases(given)
    directions = 1 + arguments["bidirectional"]
    hidden, others = arguments["hidden_size"], arguments["sizes"]
    sizes = [named_sizes(cell, arguments["input_size"], hidden, others)]
    above = directions * cell.shape_of(cell.output)[-1].value(sizes[0])
    sizes += [named_sizes(cell, above, hidden, others)] * (arguments["num_layers"] - 1)
    if sizes[0] != {name: file.header.sizes[name] for name in cell.sizes}:
        raise ValueError(f"sizes: {dict(file.header.sizes)} contradict input_size and hidden_size")
    shaped = {**{n: p.shape for n, p in cell.parameters.items()}, **cell.arrays}
    return {
        f"{name}_l{layer}{'_reverse' * direction}": tuple(size.value(numbers) for size in shape)
        for layer, numbers in enumerate(sizes)
        for direction in range(directions)
        for name, shape in shaped.items()
    }


def _made(file: File, arguments: Mapping[str, Any], tensors: Mapping[str, Tensor], own: Mapping[str, Any]) -> Recurrent:
    given = file.header.cell
    constants = {name: tensors[f"{name}_l0"] for name in given.arrays}
    options = {**arguments, "dropout": 0.0}  # set later: that one layer has no place for it was said before
    sizes = options.pop("sizes")
    made = Recurrent(given, **options, **sizes, constants=constants or None, **own)
    made.dropout = probability("dropout", arguments["dropout"])
    return made
