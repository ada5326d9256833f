"""The same updates on any number of devices: each has its share of the streams, cut once more for accumulation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn import functional

from examples.char_lm.model import State, build, detached
from examples.char_lm.optimizer import optimizer, scheduler
from examples.char_lm.options import Options
from examples.char_lm.text import Streams, Text

from .engine import ENGINES, Engine
from .group import Group


@dataclass(frozen=True)
class Update:
    """``bits``: per character, the mean over all streams; ``gradient``: the norm before clipping."""

    number: int
    bits: float
    gradient: float


class Trainer:
    """``accumulate``: in how many parts a device takes its share of a batch, one after the other; memory is that of one
    part. Raises ValueError where the streams cannot be shared equally."""

    def __init__(self, options: Options, text: Text, group: Group, engine: str, accumulate: int = 1) -> None:
        self.options, self.group = options, group
        share = text.training(options.batch).part(group.rank, group.size)
        self.parts: list[Streams] = [share.part(k, accumulate) for k in range(accumulate)]
        self.states: list[State] = [None] * accumulate
        model = build(options, len(text.vocabulary)).to(group.device)
        torch.manual_seed(options.seed + 1 + group.rank)  # each device drops out units of its own
        self.engine: Engine = ENGINES[engine](model, group)
        self.adam = optimizer(self.engine.module, options)
        self.schedule = scheduler(self.adam, options)

    def updates(self) -> Iterator[Update]:
        """Train, and give each update when it is made."""
        for k in range(self.options.updates):
            loss = self._gradients(k % self.parts[0].pieces(self.options.steps))
            norm = nn.utils.clip_grad_norm_(self.engine.module.parameters(), self.options.clip)
            self.adam.step()
            self.schedule.step()
            self.adam.zero_grad(set_to_none=True)
            yield Update(k + 1, self.group.mean(loss) / math.log(2), _whole(norm).item())

    def _gradients(self, piece: int) -> Any:
        """The loss of this device's streams; gradients are in the parameters, averaged over all devices."""
        loss: Any = 0.0
        for k, part in enumerate(self.parts):
            x, target = (numbers.to(self.group.device) for numbers in part.piece(piece, self.options.steps))
            with self.engine.gathering(k == len(self.parts) - 1):
                scores, state = self.engine.module(x, self.states[k] if piece else None)
                mean = functional.cross_entropy(scores, target.flatten()) / len(self.parts)
                mean.backward()
            self.states[k] = detached(state)
            loss = loss + mean.detach()
        return loss


def _whole(norm: Any) -> Any:
    """FSDP's norm is a tensor whose parts lie on several devices."""
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
