"""PyTorch's LSTM and the cell ``lstm`` from the same initial weights, and a cell of one's own, side by side."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from symcell.bench import Pace
from symcell.bench.machine import this_machine
from symcell.bench.report import save
from symcell.bench.timing import interleaved

from . import log
from .options import Options, to_arguments
from .plot import plot
from .text import Text
from .train import Trainer

HERE = Path(__file__).parent
REPORT, PICTURE = "report.json", "curves.png"


@dataclass(frozen=True)
class Run:
    """``title``: for people; ``folder``: of its log and checkpoint; the options that are not as they are by default."""

    title: str
    folder: str
    options: dict[str, Any] = field(default_factory=dict)


RUNS = (
    Run("torch.nn.LSTM", "nn_lstm", {"cell": "nn.LSTM", "frozen": "bias_hh"}),
    Run('Recurrent("lstm")', "lstm", {"cell": "lstm", "like": "nn.LSTM"}),
    Run('Recurrent("mycell.cell")', "mycell", {"cell": str(HERE / "mycell.cell")}),
)
"""PyTorch adds two biases where one would do: to learn both moves their sum twice as far, which is another curve."""


@dataclass(frozen=True)
class Result:
    """``bits``: the least on the held-out text; ``speed``: characters a second, by the median update; ``memory``: the
    most bytes; ``apart``: the most that the losses differ from the first run's, in bits, where they should not."""

    title: str
    bits: float
    speed: float
    memory: int | None
    apart: float | None


def compare(out: Path, updates: int, console: Console) -> None:
    """Each run in a process of its own, so that its memory is its own; what was stopped goes on. Their speed is that of
    updates in turn, in one process, so that a busy machine slows all alike."""
    for run in RUNS:
        wanted = Options(updates=updates, **run.options)
        command = [sys.executable, "-m", "examples.char_lm", "train", "--out", str(out / run.folder)]
        subprocess.run([*command, *to_arguments(wanted)], cwd=HERE.parents[1], check=True)
    found = results(out, speeds())
    options = {k: v for k, v in asdict(Options(updates=updates)).items() if k not in ("cell", "like", "frozen")}
    save(out / REPORT, {"machine": this_machine(), "options": options, "runs": [asdict(r) for r in found]})
    draw(out)
    show(found, console)


def speeds() -> dict[str, float]:
    """Characters a second of every run, by its title."""
    trainers = {run.title: Trainer(Options(**run.options), Text.read(), torch.device("cpu")) for run in RUNS}
    times = interleaved({title: trainer.update for title, trainer in trainers.items()}, Pace(15, 9, 20.0))
    characters = Options.batch * Options.steps
    return {title: 1e3 * characters / statistics.median(spent) for title, spent in times.items()}


def logs(out: Path) -> dict[str, list[log.Line]]:
    """The log of every run, by its title."""
    return {run.title: log.read(out / run.folder / log.NAME) for run in RUNS}


def results(out: Path, speed: Mapping[str, float]) -> list[Result]:
    found = logs(out)
    first = found[RUNS[0].title]
    same = {run.title for run in RUNS if run.options.get("like") == RUNS[0].options["cell"]}
    return [result(title, lines, speed[title], first if title in same else None) for title, lines in found.items()]


def result(title: str, lines: list[log.Line], speed: float, beside: list[log.Line] | None) -> Result:
    """What a log comes to; ``beside``: one that should be the same curve."""
    bits = min(line.valid for line in lines if line.valid is not None)
    memory = max((line.memory for line in lines if line.memory is not None), default=None)
    apart = max(abs(a.bits - b.bits) for a, b in zip(lines, beside, strict=True)) if beside else None
    return Result(title, bits, speed, memory, apart)


def read(out: Path) -> list[Result]:
    """The report that :func:`compare` has left."""
    return [Result(**run) for run in json.loads((out / REPORT).read_text("utf-8"))["runs"]]


def draw(out: Path) -> None:
    """The picture, of the logs and the report that are there."""
    plot(out / PICTURE, logs(out), read(out))


COLUMNS = ("recurrent layers", "bits, held out", "characters/s", "peak memory, MB", "losses apart")


def cells(r: Result) -> tuple[str, ...]:
    """A line of the table."""
    memory = "" if r.memory is None else f"{r.memory / 1e6:.0f}"
    return r.title, f"{r.bits:.3f}", f"{r.speed:,.0f}", memory, "" if r.apart is None else f"{r.apart:.1g}"


def show(found: list[Result], console: Console) -> None:
    table = Table()
    for k, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if k else "left", no_wrap=not k)
    for r in found:
        table.add_row(*cells(r))
    console.print(table)


def markdown(found: list[Result]) -> str:
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *map(cells, found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
