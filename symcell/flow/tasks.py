"""Two tasks that ask for memory, as sequences of a few features that are laid over a cell's inputs at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
SYMBOLS, COPIED = 8, 3
"""How many symbols there are to copy, and how many are copied."""


@dataclass(frozen=True)
class Task:
    """``draw(rng, T, B)``: features (T, B, features) and targets; ``loss(scores, targets)``: the mean loss of scores
    (T, B, scores) and its gradient."""

    name: str
    features: int
    scores: int
    draw: Callable[[np.random.Generator, int, int], tuple[Array, Array]]
    loss: Callable[[Array, Array], tuple[float, Array]]


def _adding(rng: np.random.Generator, steps: int, batch: int) -> tuple[Array, Array]:
    """Hochreiter & Schmidhuber (1997): the sum of two marked numbers, one in each half of the sequence."""
    numbers, marks = rng.uniform(size=(steps, batch)), np.zeros((steps, batch))
    half = max(1, steps // 2)
    for first, end in ((0, half), (half, steps)):
        marks[rng.integers(first, max(end, first + 1), batch).clip(max=steps - 1), np.arange(batch)] = 1
    return np.stack([numbers - 0.5, marks], axis=2), (numbers * marks).sum(axis=0)


def _squared(scores: Array, targets: Array) -> tuple[float, Array]:
    gradient = np.zeros_like(scores)
    error = scores[-1, :, 0] - targets
    gradient[-1, :, 0] = 2 * error / len(error)
    return float((error**2).mean()), gradient


def _copying(rng: np.random.Generator, steps: int, batch: int) -> tuple[Array, Array]:
    """The first few symbols are asked for at the end, after a mark."""
    copied = min(COPIED, steps // 2)
    symbols = rng.integers(SYMBOLS, size=(copied, batch))
    features = np.zeros((steps, batch, SYMBOLS + 1))
    features[np.arange(copied)[:, None], np.arange(batch), symbols] = 1
    features[steps - copied, :, SYMBOLS] = 1
    return features, symbols


def _entropy(scores: Array, targets: Array) -> tuple[float, Array]:
    gradient = np.zeros_like(scores)
    asked = scores[len(scores) - len(targets) :]
    shifted = np.exp(asked - asked.max(axis=2, keepdims=True))
    chance = shifted / shifted.sum(axis=2, keepdims=True)
    right = np.take_along_axis(chance, targets[..., None], axis=2)
    found = -np.log(np.maximum(right, 1e-30)).mean()
    np.put_along_axis(chance, targets[..., None], right - 1, axis=2)
    gradient[len(scores) - len(targets) :] = chance / targets.size
    return float(found), gradient


TASKS = {
    "adding": Task("adding", 2, 1, _adding, _squared),
    "copy": Task("copy", SYMBOLS + 1, SYMBOLS, _copying, _entropy),
}
"""By name."""
