"""``python -m examples.distributed``, alone or under ``torchrun``; see the package."""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import astuple, fields
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.char_lm import options as choices
from examples.char_lm.text import Text

from .engine import ENGINES, weights
from .group import Group, joined
from .train import Trainer, Update

LOG, WEIGHTS = "log.csv", "weights.pt"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.distributed", description=__doc__)
    choices.add_arguments(parser)
    parser.set_defaults(dropout=0.0)  # devices would draw other masks than one does
    parser.add_argument("--engine", choices=ENGINES, default="none")
    parser.add_argument("--accumulate", type=int, default=1, help="parts in which a device takes its share of a batch")
    parser.add_argument("--out", type=Path, required=True, help="the directory for the log and the weights")
    asked = parser.parse_args()
    with joined() as group:
        trainer = Trainer(choices.from_arguments(asked), Text.read(), group, asked.engine, asked.accumulate)
        found = followed(trainer, group)
        whole = weights(trainer.engine)
        if group.rank == 0:
            asked.out.mkdir(parents=True, exist_ok=True)
            write(asked.out / LOG, found)
            torch.save(whole, asked.out / WEIGHTS)


def followed(trainer: Trainer, group: Group) -> list[Update]:
    """All updates; the first process shows how far they are."""
    found: list[Update] = []
    options = trainer.options
    start = time.perf_counter()
    shown = TextColumn("{task.fields[shown]}")
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), shown,
                  console=Console(highlight=False), disable=group.rank > 0) as bars:  # fmt: skip
        bar = bars.add_task(f"{options.cell} on {group.size} × {group.device.type}", total=options.updates, shown="")
        for update in trainer.updates():
            found.append(update)
            speed = len(found) * options.batch * options.steps / (time.perf_counter() - start)
            bars.update(bar, completed=len(found), shown=f"{update.bits:.3f} bits, {speed:,.0f} characters/s")
    return found


def write(file: Path, found: list[Update]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in fields(Update)])
        writer.writerows(map(astuple, found))


if __name__ == "__main__":
    main()
