"""What the demo found: the table, the claims and the report file."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .adding import BASELINE
from .backend import Backend
from .train import Run

ACCURACY = 0.95
SOLVED = 0.01
FAILED = 0.1
GATED = ("gru", "lstm")


@dataclass(frozen=True)
class Claim:
    text: str
    holds: bool


def claims(runs: Sequence[Run]) -> list[Claim]:
    """What the demo claims of these runs; it fails if one does not hold."""
    score = {(run.cell, run.task): run.score for run in runs}
    reads = f"reads at least {ACCURACY:.0%} of the held-out digits"
    solves = f"solves the adding problem (squared error below {SOLVED})"
    fails = f"does not (it stays above {FAILED}; always answering 1 gives {BASELINE:.3f})"
    return [
        *(Claim(f"{c} {reads}: {score[c, 'digits']:.1%}", score[c, "digits"] >= ACCURACY) for c in GATED),
        *(Claim(f"{c} {solves}: {score[c, 'adding']:.4f}", score[c, "adding"] < SOLVED) for c in GATED),
        Claim(f"rnn {fails}: {score['rnn', 'adding']:.4f}", score["rnn", "adding"] > FAILED),
    ]


def show(console: Console, runs: Sequence[Run], stash: Mapping[str, int]) -> None:
    """The table, and how GRU and LSTM compare."""
    table = Table(title="Trained with the emitted modules", title_style="bold", title_justify="left")
    for column in ("cell", "digits accuracy", "adding MSE", "training s", "parameters", "stash bytes"):
        table.add_column(column, justify="left" if column == "cell" else "right")
    of = {(run.cell, run.task): run for run in runs}
    for cell in stash:
        digits, adding = of[cell, "digits"], of[cell, "adding"]
        seconds = digits.seconds + adding.seconds
        table.add_row(cell, f"{digits.score:.1%}", f"{adding.score:.4f}", f"{seconds:.1f}", f"{digits.parameters:,}",
                      f"{stash[cell]:,}")  # fmt: skip
    console.print()
    console.print(table)
    hidden = of["lstm", "digits"].hidden
    parameters = of["gru", "digits"].parameters / of["lstm", "digits"].parameters
    gru, lstm = (stash[cell] // (4 * hidden) for cell in GATED)
    console.print(f"""\
Training time is that of both tasks; a solved one ends early. Parameters and stash are those of the digits, D = 8 and
H = {hidden}; the stash is what one step of one sample keeps for the backward pass, its input aside.

parameters  GRU : LSTM = {4 * parameters:.2f} : 4   three blocks W, U, b to four, and GRU has one more bias, c_n
stash       GRU : LSTM = {4 * stash["gru"] / stash["lstm"]:.2f} : 4   {gru} numbers a unit (r, z, n, h, and what r \
multiplies) to {lstm} (i, f, g, o, c, h)""")


def write(
    file: Path, runs: Sequence[Run], stash: Mapping[str, int], found: Sequence[Claim], backend: Backend, seed: int
) -> None:
    """Everything that was measured, as JSON."""
    import numpy

    import symcell

    report: dict[str, Any] = {
        "made_with": {"symcell": symcell.__version__, "numpy": numpy.__version__, "python": platform.python_version(),
                      "target": backend.target, "device": backend.device, "seed": seed},
        "claims": [asdict(claim) for claim in found],
        "stash_bytes_per_step_and_sample": dict(stash),
        "runs": [asdict(run) for run in runs],
    }  # fmt: skip
    file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
