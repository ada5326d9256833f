"""AdamW (Loshchilov & Hutter, 2019) and its rate: a short rise, then half a cosine."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from .options import Options

LAST = 0.1
"""The rate at the end, in terms of the highest."""


def optimizer(model: nn.Module, options: Options) -> torch.optim.AdamW:
    """Weights decay where they are matrices; biases and gains do not."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=options.rate)


def scheduler(adam: torch.optim.AdamW, options: Options) -> LambdaLR:
    return LambdaLR(adam, lambda update: factor(update, options))


def factor(update: int, options: Options) -> float:
    """The rate of an update, counted from 0, in terms of the highest."""
    if update < options.warmup:
        return (update + 1) / options.warmup
    done = min(1.0, (update - options.warmup) / max(1, options.updates - options.warmup))
    return LAST + (1 - LAST) * (1 + math.cos(math.pi * done)) / 2
