"""Emitted modules on the CPU beside torch.nn, PyTorch loops, JAX scans and their bare matrix products.

    python benchmarks/cpu.py              # up to ten minutes; writes benchmarks/results/cpu.json and cpu.png
    python benchmarks/cpu.py --quick      # a minute, at small sizes
    python benchmarks/cpu.py --summary    # the results as Markdown, as README has them
    python benchmarks/cpu.py --plot       # cpu.png again, from cpu.json

All contenders run interleaved in one process, as many threads as each takes by itself; a busy machine spoils the
numbers all the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax_cells
from plot_cpu import plot
from summary import summary

import symcell
from symcell.bench import GRID, Contender, Pace, Report, Row, Size, bench
from symcell.bench.contenders import LOOP, MODULE, PRODUCTS
from symcell.bench.report import mean
from symcell.cell import Cell

RESULTS = Path(__file__).parent / "results"
PACE = Pace(rounds=7, least=4, budget=12.0)
BASIC = ("rnn", "gru", "lstm")


@dataclass(frozen=True)
class Job:
    """Cells measured at some sizes."""

    cells: Sequence[str]
    sizes: Sequence[Size]
    measure: str


WHOLE = (
    Job(BASIC, GRID, "train"),
    Job(("layernorm_lstm",), (Size(128, 32, 128, 128), Size(128, 32, 256, 256)), "train"),
    Job(("mlstm",), (Size(128, 8, 64, 64), Size(128, 32, 64, 64)), "train"),
    Job(BASIC, (Size(1, 1, 128, 128),), "step"),
    Job(BASIC, (Size(128, 32, 256, 256), Size(512, 16, 256, 256)), "memory"),
)
QUICK = (
    Job(BASIC, (Size(32, 1, 64, 64), Size(32, 16, 64, 64)), "train"),
    Job(("layernorm_lstm", "mlstm"), (Size(16, 16, 32, 32),), "train"),
    Job(BASIC, (Size(1, 1, 64, 64),), "step"),
    Job(("lstm",), (Size(64, 16, 64, 64),), "memory"),
)


def scans(size: Size) -> Callable[[Cell], Sequence[Contender]]:
    """JAX scans, where there are enough samples for them to be contenders."""
    return jax_cells.contender if size.batch >= 16 else lambda cell: ()


def measured(jobs: Iterable[Job], pace: Pace) -> Iterator[Report]:
    """The jobs one after the other, each row printed when it is there."""
    for job in jobs:
        for name in job.cells:
            for size in job.sizes:
                start = time.perf_counter()
                report = bench([symcell.load(name)], [size], [job.measure], extra=scans(size), pace=pace)
                for row in report.rows:
                    values = "   ".join(f"{key} {value:.4g}" for key, value in row.values.items())
                    spent = time.perf_counter() - start
                    print(f"{row.cell} {row.measure} {row.sizes} {row.unit}   {values}   ({spent:.0f} s)", flush=True)
                yield report


def joined(reports: Sequence[Report], *more: str) -> Report:
    """All rows as one report, which has ``more`` notes."""
    notes = dict.fromkeys([*more, *(note for report in reports for note in report.notes)])
    if jax_cells.missing():
        notes[f"{jax_cells.missing()}: left out"] = None
    return replace(reports[0], rows=tuple(r for report in reports for r in report.rows), notes=tuple(notes))


def means(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Geometric means over the sizes of a cell's train steps: the best emitted module in terms of each contender."""
    trained = [row for row in rows if row.measure == "train"]
    found: dict[str, dict[str, float]] = {}
    for cell in dict.fromkeys(row.cell for row in trained):
        several = {over: mean(row.ratio(over) for row in trained if row.cell == cell)
                   for over in (MODULE, LOOP, jax_cells.NAME, PRODUCTS)}  # fmt: skip
        found[cell] = {over: round(value, 3) for over, value in several.items() if value}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--rounds", type=int, default=PACE.rounds)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the directory to write to")
    parser.add_argument("--summary", action="store_true", help="print the results that are there, and measure nothing")
    parser.add_argument("--plot", action="store_true", help="draw the results that are there, and measure nothing")
    asked = parser.parse_args()
    path = asked.out / "cpu.json"
    if not (asked.summary or asked.plot):
        jobs, pace = (QUICK, Pace(3, 3)) if asked.quick else (WHOLE, replace(PACE, rounds=asked.rounds))
        report = joined(list(measured(jobs, pace)), *(["a quick run, at small sizes"] if asked.quick else []))
        asked.out.mkdir(exist_ok=True, parents=True)
        report.save(path, means=means(report.rows))
    report = Report.load(path)
    if asked.summary:
        sys.stdout.write(summary(report))
    else:
        plot(report, asked.out / "cpu.png")


if __name__ == "__main__":
    main()
