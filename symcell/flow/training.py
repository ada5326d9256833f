"""A short training of the generated NumPy module, so that gradients can be looked at where a cell has learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symcell.flow.subject import Subject
from symcell.flow.tasks import Task

Array = Any
LENGTH, BATCH, UPDATES, RATE = 40, 32, 400, 3e-3
"""Steps of a sequence, sequences an update, updates and learning rate."""
SHOWN = 20
"""The losses before and after are means over so many updates."""


@dataclass
class Adam:
    """Kingma & Ba (2015), with the gradient's norm held to 1."""

    rate: float = RATE
    count: int = 0
    moments: list[tuple[Array, Array]] = field(default_factory=list)

    def update(self, arrays: list[Array], gradients: list[Array]) -> None:
        self.moments = self.moments or [(np.zeros_like(a), np.zeros_like(a)) for a in arrays]
        self.count += 1
        norm = np.sqrt(sum(float((g * g).sum()) for g in gradients))
        for array, gradient, (first, second) in zip(arrays, gradients, self.moments, strict=True):
            held = gradient / max(1.0, norm)
            first += 0.1 * (held - first)
            second += 0.001 * (held * held - second)
            step = first / (1 - 0.9**self.count) / (np.sqrt(second / (1 - 0.999**self.count)) + 1e-8)
            array -= self.rate * step


def embedding(subject: Subject, task: Task, seed: int) -> Array:
    """(features, units): how a task's features are laid over the cell's one input, a vector. Raises ValueError for a
    cell with other inputs."""
    cell = subject.cell
    if len(cell.inputs) != 1 or any(len(shape) != 1 for shape in cell.inputs.values()):
        raise ValueError(f"{cell.name}: training takes a cell with one input that is a vector; "
                         f"its inputs are {', '.join(cell.inputs) or 'none'}")  # fmt: skip
    (shape,) = cell.inputs.values()
    return np.random.default_rng([seed, 3]).normal(size=(task.features, shape[0].value(subject.sizes)))


def task_inputs(subject: Subject, task: Task, steps: int, batch: int, seed: int) -> dict[str, Array]:
    """Inputs of a task (T, B, units), by name."""
    features, _ = task.draw(np.random.default_rng([seed, 4]), steps, batch)
    (name,) = subject.cell.inputs
    return {name: features @ embedding(subject, task, seed)}


def trained(
    subject: Subject, task: Task, seed: int, *, updates: int = UPDATES, tell: Callable[[int], None] = lambda done: None
) -> tuple[Subject, tuple[float, float]]:
    """The cell after a training, and its losses at the beginning and the end."""
    module, rng = subject.module, np.random.default_rng([seed, 5])
    held = {name: array.astype(np.float32) for name, array in subject.arrays.items()}
    params = module.Params.from_dict(held)
    lay = embedding(subject, task, seed)
    units = int(np.prod([s.value(subject.sizes) for s in subject.cell.shape_of(subject.cell.output)]))
    weights, bias = rng.normal(size=(units, task.scores)) / np.sqrt(units), np.zeros(task.scores)
    adam, losses = Adam(), []
    for done in range(updates):
        features, targets = task.draw(rng, LENGTH, BATCH)
        y, _, tape = module.forward(params, (features @ lay).astype(np.float32))
        flat = y.reshape(LENGTH, BATCH, units)
        loss, scores = task.loss(flat @ weights + bias, targets)
        dy = (scores @ weights.T).reshape(y.shape).astype(np.float32)
        found = module.backward(params, tape, dy, need_x=False).params.flat
        by_weights = np.einsum("tbu,tbs->us", flat, scores, optimize=True)
        adam.update([params.flat, weights, bias], [found, by_weights, scores.sum(axis=(0, 1))])
        losses.append(loss)
        tell(done + 1)
    arrays = {name: np.array(params[name], float) for name in subject.cell.parameters}
    ends = float(np.mean(losses[:SHOWN])), float(np.mean(losses[-SHOWN:]))
    return subject.with_arrays(arrays), ends
