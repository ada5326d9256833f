"""``python -m examples.char_lm train | sample | compare``; see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from symcell import CellError

from . import checkpoint, options as choices
from .checkpoint import CheckpointError
from .compare import compare, draw, markdown, read
from .log import Line
from .options import Options
from .sample import sample
from .text import Text
from .train import Trainer, train

MEGABYTE = 10**6


def main() -> int:
    asked = parser().parse_args()
    console = Console(highlight=False, soft_wrap=True)
    try:
        asked.run(asked, console)
    except (CellError, CheckpointError, ValueError) as error:
        console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m examples.char_lm", description="A character language model.")
    commands = made.add_subparsers(required=True)
    trained = commands.add_parser("train", help="train a model, from its last checkpoint if there is one")
    trained.set_defaults(run=_train)
    choices.add_arguments(trained)
    sampled = commands.add_parser("sample", help="text from a trained model")
    sampled.set_defaults(run=_sample)
    sampled.add_argument("--prompt", default="Alice ")
    sampled.add_argument("--length", type=int, default=500)
    sampled.add_argument("--temperature", type=float, default=0.7)
    sampled.add_argument("--seed", type=int, default=0)
    compared = commands.add_parser("compare", help="PyTorch's LSTM, the cell lstm and mycell.cell, side by side")
    compared.set_defaults(run=_compare)
    compared.add_argument("--updates", type=int, default=Options.updates)
    drawn = commands.add_parser("plot", help="draw what compare has left")
    drawn.set_defaults(run=_plot)
    told = commands.add_parser("table", help="what compare has found, as Markdown")
    told.set_defaults(run=_table)
    for command in (trained, sampled, compared, drawn, told):
        command.add_argument("--out", type=Path, required=True, help="the directory of the run, or runs")
    for command in (trained, sampled):
        command.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu, or cuda")
    return made


def _train(asked: argparse.Namespace, console: Console) -> None:
    wanted = choices.from_arguments(asked)
    shown = TextColumn("{task.fields[shown]}")
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), shown,
                  console=console) as bars:  # fmt: skip
        bar = bars.add_task(wanted.cell, total=wanted.updates, shown="")
        valid = float("nan")

        def tell(line: Line) -> None:
            nonlocal valid
            valid = valid if line.valid is None else line.valid
            speed = line.update * wanted.batch * wanted.steps / line.seconds
            held = "" if line.memory is None else f", {line.memory / MEGABYTE:.0f} MB"
            shown = f"{line.bits:.3f} bits, {valid:.3f} held out, {speed:,.0f} characters/s{held}"
            bars.update(bar, completed=line.update, shown=shown)

        train(wanted, asked.out, asked.device, tell)
    console.print(f"{asked.out / checkpoint.NAME} and {asked.out / 'log.csv'}")


def _sample(asked: argparse.Namespace, console: Console) -> None:
    file = asked.out / checkpoint.NAME
    if not file.exists():
        raise CheckpointError(f"{file} is not there: train first")
    trainer = Trainer(Options(**checkpoint.load(file)["options"]), Text.read(), asked.device)
    trainer.resume(file)
    text = sample(trainer.model, trainer.text, asked.prompt, asked.length, asked.temperature, asked.seed)
    console.print(text, markup=False)


def _compare(asked: argparse.Namespace, console: Console) -> None:
    compare(asked.out, asked.updates, console)


def _plot(asked: argparse.Namespace, console: Console) -> None:
    draw(asked.out)


def _table(asked: argparse.Namespace, console: Console) -> None:
    console.print(markdown(read(asked.out)), markup=False)


if __name__ == "__main__":
    sys.exit(main())
