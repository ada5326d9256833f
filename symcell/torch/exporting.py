"""Recurrent as an ONNX model."""

from __future__ import annotations

import os
from typing import Any

import torch


def to_onnx(recurrent: Any, path: str | os.PathLike[str], lengths: bool) -> None:
    """See ``Recurrent.to_onnx``."""
    from symcell.onnx import save, stack

    used = recurrent._regularized.usage
    arrays = [arrays_of(recurrent, suffix) for suffix in recurrent.suffixes]
    directions = 1 + recurrent.bidirectional
    layers = [arrays[k : k + directions] for k in range(0, len(arrays), directions)]
    rates = {mask.name: recurrent._regularized.rates[mask.name] for mask in used.masks}
    model = stack(used.cell, layers, recurrent.sizes[::directions], recurrent._main, lengths=lengths,
                  batch_first=recurrent.batch_first, always=rates)  # fmt: skip
    save(model, path)


def arrays_of(recurrent: Any, suffix: str) -> dict[str, Any]:
    """Parameters and constant arrays of one layer and direction on the host."""
    found = {}
    for name in (*recurrent.cell.parameters, *recurrent.cell.arrays):
        value = getattr(recurrent, f"{name}{suffix}").detach().cpu()
        found[name] = value.to(torch.float64 if value.dtype == torch.float64 else torch.float32).numpy()
    return found
