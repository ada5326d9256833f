"""Adam (Kingma & Ba, 2015) on flat buffers, with clipping by the norm of the whole gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Adam:
    """Every buffer is updated in place. An emitted cell needs one buffer only: ``params.flat``."""

    def __init__(self, xp: Any, buffers: Sequence[Any], beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.xp, self.buffers, self.beta1, self.beta2 = xp, list(buffers), beta1, beta2
        self.mean = [xp.zeros_like(b) for b in buffers]
        self.square = [xp.zeros_like(b) for b in buffers]
        self.updates = 0

    def step(self, gradients: Sequence[Any], rate: float) -> None:
        """One update of every buffer: θ −= rate · m̂ / (√v̂ + ε)."""
        self.updates += 1
        debias1 = 1 - self.beta1**self.updates
        debias2 = 1 - self.beta2**self.updates
        for value, grad, mean, square in zip(self.buffers, gradients, self.mean, self.square, strict=True):
            mean += (1 - self.beta1) * (grad - mean)
            square += (1 - self.beta2) * (grad * grad - square)
            value -= rate / debias1 * mean / (self.xp.sqrt(square / debias2) + 1e-8)


def clip(xp: Any, gradients: Sequence[Any], limit: float) -> list[Any]:
    """The gradients scaled so that the norm of all of them together is at most ``limit``."""
    norm = xp.sqrt(sum((g * g).sum() for g in gradients))
    scale = xp.minimum(1, limit / (norm + 1e-12)).astype(gradients[0].dtype)
    return [g * scale for g in gradients]


def schedule(update: int, updates: int, rate: float) -> float:
    """The learning rate: constant for the first half of the budget, then falling to zero in a straight line."""
    return rate * min(1.0, 2 * (1 - update / updates))
