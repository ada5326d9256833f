"""Any cell's inference as an ONNX model: a ``Scan`` over its step, for onnxruntime and what else reads ONNX.

    symcell.onnx.export("lstm", params, "net.onnx")        # params: by name, as an emitted module has them

A Recurrent is exported by its own ``to_onnx``. Needs onnx (the extra ``onnx``); checked against onnxruntime.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import onnx
except ImportError as error:
    raise ImportError("the export to ONNX needs onnx: pip install 'symcell[onnx]'") from error

from symcell.cell import Cell
from symcell.language import as_cell
from symcell.onnx.instances import Instance, checked
from symcell.onnx.stack import Stack

__all__ = ["export", "model", "save", "stack"]


def export(cell: Cell | str | Path, params: Mapping[str, Any], path: str | os.PathLike[str], **options: Any) -> None:
    """Write the model of a cell with its parameters; see :func:`model`. Raises OSError where it cannot be written."""
    save(model(cell, params, **options), path)


def save(made: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model. Raises OSError where it cannot be written."""
    onnx.save_model(made, os.fspath(path))


def model(
    cell: Cell | str | Path, params: Mapping[str, Any], *, lengths: bool = True, sizes: Mapping[str, int] | None = None
) -> onnx.ModelProto:
    """The model of a cell with its parameters and constant arrays (NumPy's, float32 or float64).

    Inputs: each of the cell's by its name, (T, B, …); then, each with a default, the state before the first step
    ``NAME_first``, (B, …), or (k, B, …) where k steps are carried, and the sequences' ``lengths`` (B,), int64 (not
    where ``lengths`` is False). Outputs: ``y`` (T, B, …), 0 past a sequence's end, and the last states ``NAME_last``.
    T and B are free. sizes: those that no array shows. onnxruntime needs a step at least, and has no erf in float64.

    Raises ValueError or TypeError for parameters that do not fit, CellError for what is no cell.
    """
    found = as_cell(cell)
    return Stack(found, [[checked(found, params, sizes or {})]], lengths=lengths, whole=False).model()


def stack(
    cell: Cell, layers: Sequence[Sequence[Mapping[str, Any]]], sizes: Sequence[Mapping[str, int]], main: str,
    *, lengths: bool = True, batch_first: bool = False, always: Mapping[str, float] | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """The model of several layers, each of one or two directions, as torch.nn.LSTM has them.

    layers: the parameters by layer and direction; sizes: of each layer. main: the input that the layer below feeds.
    always: inputs that are one number in every place. The states are (layers·directions, B, …), or
    (layers·directions, k, B, …). The rest as in :func:`model`.
    """
    instances = [[Instance(dict(one), dict(numbers)) for one in layer]
                 for layer, numbers in zip(layers, sizes, strict=True)]  # fmt: skip
    return Stack(cell, instances, main=main, lengths=lengths, batch_first=batch_first,
                 always=always).model()  # fmt: skip
