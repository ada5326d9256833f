"""Bits per character of a text that was not trained on."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from .model import State
from .text import Streams

STEPS = 256


def bits_per_character(model: nn.Module, streams: Streams, device: torch.device) -> float:
    """The mean over all characters of the streams, each read from its beginning with a state that is carried on."""
    training = model.training
    model.eval()
    state: State = None
    total, count = 0.0, 0
    with torch.no_grad():
        for k in range(streams.pieces(STEPS)):
            x, target = (part.to(device) for part in streams.piece(k, STEPS))
            scores, state = model(x, state)
            total += functional.cross_entropy(scores, target.flatten(), reduction="sum").item()
            count += target.numel()
    model.train(training)
    return total / count / math.log(2)
