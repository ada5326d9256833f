"""Training one emitted cell on one task."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from .backend import Backend
from .model import Model
from .optimizer import Adam, clip, schedule
from .tasks import Batch, Task


@dataclass(frozen=True)
class Run:
    """``score`` is the final one; ``curve`` the scores on the way, by update; ``losses`` one per update."""

    cell: str
    task: str
    hidden: int
    parameters: int
    score: float
    updates: int
    seconds: float
    curve: list[tuple[int, float]] = field(repr=False)
    losses: list[float] = field(repr=False)


Tell = Callable[[int, float], None]


def train(name: str, cell: ModuleType, task: Task, backend: Backend, seed: int, progress: Tell) -> Run:
    """Train until the task is solved or its budget of updates is spent. ``progress`` is told the update and score."""
    xp = backend.xp
    rng = np.random.default_rng(seed)
    model = Model(cell, xp, task.inputs, task.hidden, task.outputs, task.span, seed)
    adam = Adam(xp, model.buffers)
    batches = task.batches(rng)
    curve = [(0, evaluate(model, task, task.watch, backend))]
    losses: list[float] = []
    start = time.perf_counter()
    for update in range(1, task.updates + 1):
        x, target = next(batches)
        loss, gradients = model.gradients(xp.asarray(x), xp.asarray(target), task.loss)
        adam.step(clip(xp, gradients, 1.0), schedule(update - 1, task.updates, task.rate))
        losses.append(loss)
        if update % task.every == 0:
            curve.append((update, evaluate(model, task, task.watch, backend)))
            progress(update, curve[-1][1])
            if task.enough(curve[-1][1]):
                break
    seconds = time.perf_counter() - start
    score = evaluate(model, task, task.test, backend)
    return Run(name, task.name, task.hidden, int(model.params.flat.size), score, update, seconds, curve, losses)


def evaluate(model: Model, task: Task, data: Batch, backend: Backend) -> float:
    """The score on held-out sequences."""
    x, target = data
    return task.score(backend.host(model.scores(backend.xp.asarray(x))), target)


def stash(cell: ModuleType, inputs: int, hidden: int, backend: Backend) -> int:
    """Bytes that one more step of one sample adds to the tape, without the input that it refers to."""
    params = cell.init_params(D=inputs, H=hidden, dtype="float32")
    x = backend.xp.zeros((2, 1, inputs), "float32")
    (_, _, two), (_, _, one) = cell.forward(params, x), cell.forward(params, x[:1])
    return int(two.nbytes - one.nbytes - x[0].nbytes)
