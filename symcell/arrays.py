"""The few things that are done with NumPy arrays and PyTorch tensors alike, without asking which they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any
"""A NumPy array or a PyTorch tensor."""


def total(parts: Sequence[Array]) -> Array:
    """A copy of the sum; what is all zero is left out, so that -0.0 stays as it is."""
    found = parts[0]
    for part in parts[1:]:
        if _matters(found) and _matters(part):
            found = found + part
        elif _matters(part):
            found = part
    return join([found], 0)


def _matters(part: Array) -> bool:
    """Whether anything is added: a number that is not 0, or a gradient that flows."""
    return getattr(part, "requires_grad", False) or bool((part != 0).any())


def join(parts: Sequence[Array], axis: int) -> Array:
    """Arrays one after the other, along an axis; a copy of one alone. A number has no axis and is copied."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=axis) if parts[0].ndim else parts[0].copy()
    import torch

    return torch.cat(tuple(parts), axis) if parts[0].ndim else parts[0].clone()


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of the type, and on the device, of another array."""
    return np.zeros(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_zeros(shape)
