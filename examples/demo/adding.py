"""The adding problem (Hochreiter & Schmidhuber 1997, experiment 4): remember two numbers over 100 steps, and add them.

Every step shows a number, uniform in 0 … 1, and a marker that is 1 at two steps: one in the first half of the sequence,
one in the second. The target is the sum of the two marked numbers. Always answering 1 has the squared error 1/6, the
variance of that sum: a network that does not carry the first number to the end stays there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .model import squared_error
from .tasks import Batch, Task

STEPS = 100
BATCH = 50
BASELINE = 1 / 6
STOP = 0.002


def task(seed: int = 0) -> Task:
    """New sequences in every batch; two sets of 2000 are held out, one to watch and one for the final number."""
    held_out = np.random.default_rng(seed + 1000)
    return Task(
        name="adding", inputs=2, outputs=1, span=STEPS, hidden=32, updates=1200, every=50, rate=0.01,
        loss=squared_error, score=mean_squared_error, batches=batches, watch=sequences(held_out, 2000),
        test=sequences(held_out, 2000), enough=lambda score: score < STOP,
    )  # fmt: skip


def sequences(rng: np.random.Generator, count: int, steps: int = STEPS) -> Batch:
    """``count`` sequences of (number, marker), (T, B, 2), and the sum of the two marked numbers of each, (B,)."""
    x = np.zeros((steps, count, 2), "float32")
    x[:, :, 0] = rng.random((steps, count))
    first, second = rng.integers(0, steps // 2, count), rng.integers(steps // 2, steps, count)
    sample = np.arange(count)
    x[first, sample, 1] = x[second, sample, 1] = 1
    return x, x[first, sample, 0] + x[second, sample, 0]


def batches(rng: np.random.Generator) -> Iterator[Batch]:
    while True:
        yield sequences(rng, BATCH)


def mean_squared_error(scores: np.ndarray, target: np.ndarray) -> float:
    return float(np.square(scores[:, 0] - target).mean())
