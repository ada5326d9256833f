"""Truncated back-propagation through time: streams of text, a state that is carried on, checkpoints on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from . import checkpoint, log
from .checkpoint import CheckpointError
from .evaluate import bits_per_character
from .memory import Peak
from .model import State, build, detached, equations
from .optimizer import optimizer, scheduler
from .options import Options
from .text import Text

VALIDATION_STREAMS = 8

Tell = Callable[[log.Line], None]


class Trainer:
    """A model and everything that changes while it is trained. ``done``: how many updates have been made."""

    def __init__(self, options: Options, text: Text, device: torch.device) -> None:
        self.options, self.text, self.device = options, text, device
        self.model = build(options, len(text.vocabulary)).to(device)
        self.adam = optimizer(self.model, options)
        self.schedule = scheduler(self.adam, options)
        self.streams = text.training(options.batch)
        self.held_out = text.validation(VALIDATION_STREAMS)
        self.state: State = None
        self.done = 0
        self.seconds = 0.0

    def update(self) -> tuple[float, float, float]:
        """One update, on the next piece of text: bits per character, the gradient's norm before clipping, the rate."""
        start = time.perf_counter()
        k = self.done % self.streams.pieces(self.options.steps)
        x, target = (part.to(self.device) for part in self.streams.piece(k, self.options.steps))
        self.adam.zero_grad(set_to_none=True)
        scores, state = self.model(x, self.state if k else None)
        loss = functional.cross_entropy(scores, target.flatten())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        rate = self.schedule.get_last_lr()[0]
        self.adam.step()
        self.schedule.step()
        self.state = detached(state)
        self.done += 1
        bits, gradient = loss.item() / math.log(2), norm.item()
        self.seconds += time.perf_counter() - start
        return bits, gradient, rate

    def validate(self) -> float:
        return bits_per_character(self.model, self.held_out, self.device)

    def save(self, file: Path) -> None:
        """Model, optimizer and rate, where in the text it is and the state carried there, the generators, the time."""
        content = {
            "options": asdict(self.options), "equations": equations(self.options), "text": self.text.fingerprint,
            "done": self.done, "seconds": self.seconds, "state": self.state, "model": self.model.state_dict(),
            "optimizer": self.adam.state_dict(), "schedule": self.schedule.state_dict(),
            "generator": torch.get_rng_state(),
            "generators": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }  # fmt: skip
        checkpoint.save(file, content)

    def resume(self, file: Path) -> None:
        """Go on from a checkpoint. Raises CheckpointError for one of another run, and for one that cannot be read."""
        content = checkpoint.load(file)
        self._same_run(file, content)
        self.model.load_state_dict(content["model"])
        self.adam.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        self.done, self.seconds = content["done"], content["seconds"]
        self.state = _on(content["state"], self.device)
        torch.set_rng_state(content["generator"])
        if content["generators"] and self.device.type == "cuda":
            torch.cuda.set_rng_state_all(content["generators"])

    def _same_run(self, file: Path, content: dict[str, Any]) -> None:
        found = self.options.differences(content["options"])
        if content["equations"] != equations(self.options):
            found.append(f"the equations of {self.options.cell} have changed")
        if content["text"] != self.text.fingerprint:
            found.append("the text is another")
        if found:
            raise CheckpointError(
                f"{file} is of another run: {'; '.join(found)}. Ask for what it was, or another --out"
            )

    def warm(self) -> None:
        """Compile and load what the first update would, so that it is as long as the others; nothing changes by it."""
        x, _ = self.streams.piece(0, 2)
        with torch.random.fork_rng():
            scores, _ = self.model(x[:, :1].to(self.device))
            scores.sum().backward()
        self.adam.zero_grad(set_to_none=True)


def _on(state: State, device: torch.device) -> State:
    return state.to(device) if isinstance(state, torch.Tensor) else tuple(part.to(device) for part in state)


def train(options: Options, out: Path, device: torch.device, tell: Tell) -> Trainer:
    """Train until all updates are made, from the directory's checkpoint if there is one; ``tell`` hears every line of
    the log. Raises CheckpointError if the checkpoint is of another run."""
    trainer = Trainer(options, Text.read(), device)
    file = out / checkpoint.NAME
    if file.exists():
        trainer.resume(file)
    out.mkdir(parents=True, exist_ok=True)
    lines = log.Log(out / log.NAME, trainer.done)
    trainer.warm()
    peak = Peak(device)
    try:
        while trainer.done < options.updates:
            bits, gradients, rates = zip(*(trainer.update() for _ in range(options.line)), strict=True)
            due = trainer.done % options.every == 0 or trainer.done == options.updates
            valid = trainer.validate() if due else None
            line = log.Line(trainer.done, mean(bits), valid, mean(gradients), rates[-1], trainer.seconds, peak.bytes())
            lines.add(line)
            tell(line)
            if due:
                trainer.save(file)
    finally:
        lines.close()
    return trainer
