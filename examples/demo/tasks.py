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
    """``batches(rng)`` is endless. ``score`` is what is reported of held-out ``test`` data, measured every ``every`` updates.

    Training ends after ``updates`` updates, or when the score of ``watch`` has reached ``enough``; ``test`` is then
    measured once, so that the reported number has not been chosen.
    """

    name: str
    inputs: int
    outputs: int
    steps: int
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
