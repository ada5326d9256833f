"""Handwritten digits (scikit-learn's 8×8 images) read as sequences: 8 rows from top to bottom, 8 pixels each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .model import cross_entropy
from .tasks import Batch, Task

BATCH = 50
EPOCHS = 30
HELD_OUT = 360


def task(seed: int = 0) -> Task:
    """1437 digits to learn from, and 360 held out, every class in proportion."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    rows = (data.images / 16).astype("float32")
    classes = data.target
    x, x_test, y, y_test = train_test_split(rows, classes, test_size=HELD_OUT, stratify=classes, random_state=seed)
    test = sequences(x_test), y_test
    per_epoch = len(x) // BATCH
    return Task(
        name="digits", inputs=8, outputs=10, span=0, hidden=64, updates=EPOCHS * per_epoch, every=per_epoch, rate=0.01,
        loss=cross_entropy, score=accuracy, batches=lambda rng: batches(rng, x, y), watch=test, test=test,
    )  # fmt: skip


def sequences(images: np.ndarray) -> np.ndarray:
    """(B, row, pixel) as sequences of rows: (T, B, D)."""
    return np.ascontiguousarray(images.transpose(1, 0, 2))


def batches(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Iterator[Batch]:
    """Every digit once in a random order, then again in another one."""
    while True:
        order = rng.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield sequences(x[chosen]), y[chosen]


def accuracy(scores: np.ndarray, target: np.ndarray) -> float:
    """The share of digits whose largest score is the right one."""
    return float((scores.argmax(axis=1) == target).mean())
