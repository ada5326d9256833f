"""What a network is trained on. ``digits.py`` and ``adding.py`` each make one task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .model import Loss

Batch = tuple[np.ndarray, np.ndarray]
"""Sequences (T, B, D) and their targets (B,)."""


@dataclass(frozen=True)
class Task:
    """``score`` measures held-out data: ``watch`` every ``every`` updates, ``test`` at the end. ``batches`` never end.

    Training ends after ``updates`` updates, or when the score of ``watch`` is ``enough``; ``test`` is measured only
    then, so the reported number has not been chosen. ``span``: for how many steps gates shall remember at the start;
    0 leaves the biases as the module starts them.
    """

    name: str
    inputs: int
    outputs: int
    span: int
    hidden: int
    updates: int
    every: int
    rate: float
    loss: Loss
    score: Callable[[Any, np.ndarray], float]
    batches: Callable[[np.random.Generator], Iterator[Batch]]
    watch: Batch
    test: Batch
    enough: Callable[[float], bool] = lambda score: False
