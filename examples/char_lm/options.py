"""What a run is: every choice that its curve depends on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Options:
    """A model, its data and its training; kept in the checkpoint, so that a run goes on as it began.

    ``cell``: a name, a path, or ``nn.LSTM``, ``nn.GRU``, ``nn.RNN``. ``like``: a module of PyTorch's that is the same
    cell, whose initial weights are taken. ``frozen``: how the names of recurrent parameters begin that are not learned.
    ``batch`` streams are read side by side, ``steps`` characters at a time: so far gradients go back. ``rate`` rises
    over ``warmup`` updates and falls to a tenth along a cosine. ``line`` updates are a line of the log; after ``every``
    so many, some whole lines, the model is validated and saved.
    """

    cell: str = "lstm"
    like: str = ""
    frozen: str = ""
    embedding: int = 64
    hidden: int = 128
    layers: int = 2
    dropout: float = 0.1
    batch: int = 32
    steps: int = 50
    updates: int = 1000
    rate: float = 5e-3
    warmup: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    line: int = 10
    every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("every", "updates"):
            if getattr(self, name) % self.line:
                raise ValueError(f"{name} is {getattr(self, name)}: a multiple of line, which is {self.line}")

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Which choices are others there, and what they are here and there."""
        mine = asdict(self)
        return [
            f"{name} is {mine.get(name)!r} here and {other.get(name)!r} there"
            for name in mine | dict(other)
            if mine.get(name) != other.get(name)
        ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each choice: ``--weight-decay 0.1``."""
    for field in fields(Options):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default, metavar="VALUE",
                            help=f"{field.default!r}" if field.default != "" else "none")  # fmt: skip


def from_arguments(asked: argparse.Namespace) -> Options:
    return Options(**{field.name: getattr(asked, field.name) for field in fields(Options)})


def to_arguments(options: Options) -> list[str]:
    """The command line that asks for these options."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in asdict(options).items() if value != ""]
