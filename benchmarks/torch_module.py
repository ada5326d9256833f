"""symcell.torch.Recurrent on the CPU: over the emitted module that it calls, beside PyTorch's modules, and by itself.

    python benchmarks/torch_module.py              # half an hour; writes benchmarks/results/torch_module.json and .png
    python benchmarks/torch_module.py --quick      # some minutes, at sizes too small for what is claimed
    python benchmarks/torch_module.py --only step  # some of the claims
    python benchmarks/torch_module.py --summary    # the results as Markdown
    python benchmarks/torch_module.py --plot       # the picture again

Each case has its contenders interleaved in this process; a busy machine spoils the numbers all the same. The compiled
loop alone runs in processes of its own, with empty caches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from symcell.bench import Pace
from symcell.bench.machine import this_machine
from symcell.bench.report import mean, save
from symcell.bench.timing import interleaved

RESULTS = Path(__file__).parent / "results"
PACE = Pace(rounds=9, least=5, budget=10.0)
QUICK = Pace(rounds=3, least=3, rest=0.02)
COMPILED = "compiled loop"
SECONDS = 1800.0
"""For the compiled loop, at most; where it takes longer it counts as this long."""


@dataclass(frozen=True)
class Row:
    """One case: milliseconds by name (medians over rounds), and what is claimed of ``of``: it takes at most ``bound``
    times as long as ``over``, or ``bound`` milliseconds where that is None."""

    group: str
    name: str
    of: str
    over: str | None
    bound: float
    values: Mapping[str, float]
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def value(self) -> float:
        return self.values[self.of] / (self.values[self.over] if self.over else 1)

    @property
    def holds(self) -> bool:
        return self.value <= self.bound


def measured(pace: Pace, quick: bool, only: Sequence[str], seconds: float) -> Iterator[Row]:
    """Every case, printed when it is there; one that cannot run is named and left out."""
    from torch_cases import cases

    for case in cases(quick):
        if only and case.group not in only:
            continue
        try:
            times = interleaved(case.make(), pace)
        except Exception as error:  # whatever it is, the other cases are wanted
            print(f"{case.group}: {case.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        values = {name: statistics.median(several) for name, several in times.items()}
        yield told(Row(case.group, case.name, case.of, case.over, case.bound, values, times))
    if not only or COMPILED in only:
        yield told(compiled(quick, seconds))


def told(row: Row) -> Row:
    values = "   ".join(f"{name} {value:.4g}" for name, value in row.values.items())
    print(f"{'✓' if row.holds else '✗'} {row.group}: {row.name}   {values} ms   {shown(row)} {row.note}", flush=True)
    return row


def shown(row: Row) -> str:
    """The value beside its bound."""
    return f"{row.value:.2f} (≤ {row.bound:g})" if row.over else f"{1e3 * row.value:.0f} µs (≤ {1e3 * row.bound:g})"


def compiled(quick: bool, seconds: float) -> Row:
    """100 train steps and what is compiled before, beside torch.compile of a loop over the same equations."""
    from torch_compile import CELL, COUNTED, fresh

    steps, batch, hidden = (8, 4, 32) if quick else (256, 32, 128)
    begun = time.perf_counter()
    spent = {who: fresh(who, steps, batch, hidden, seconds) for who in ("ours", "torch")}
    names = {"ours": "Recurrent", "torch": "torch.compile"}
    values = {names[who]: 1e3 * (each.total if each else seconds) for who, each in spent.items()}
    late = [names[who] for who, each in spent.items() if each is None]
    parts = {names[who]: [1e3 * each.first, 1e3 * each.each] for who, each in spent.items() if each}
    note = f"{', '.join(late)}: not ready after {seconds:.0f} s" if late else ""
    print(f"  ({time.perf_counter() - begun:.0f} s)", flush=True)
    name = f"{CELL}, T {steps}, B {batch}, H {hidden}: compile and {COUNTED} steps"
    return Row(COMPILED, name, "Recurrent", "torch.compile", 0.2, values, parts, note)


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {group: [row for row in rows if row.group == group] for group in dict.fromkeys(row.group for row in rows)}


def means(rows: Sequence[Row]) -> dict[str, float]:
    """Geometric means of the ratios that a claim is about."""
    found = {group: mean(row.value for row in several if row.over) for group, several in groups(rows).items()}
    return {group: round(value, 3) for group, value in found.items() if value}


def summary(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = ["| | case | ms | beside | ms | ratio, or µs |", "| --- | --- | ---: | --- | ---: | ---: |"]
    for row in rows:
        over = f"{row.over} | {row.values[row.over]:.3g}" if row.over else " | "
        lines.append(f"| {row.group} | {row.name} | {row.values[row.of]:.3g} | {over} | {shown(row)} |")
    lines += ["", *(f"{group}: {value} in the geometric mean" for group, value in means(rows).items())]
    return "\n".join(lines) + "\n"


def write(path: Path, rows: Sequence[Row], quick: bool) -> None:
    data = {
        "machine": this_machine(), "quick": quick, "means": means(rows),
        "rows": [{**asdict(row), "values": _digits(row.values), "value": _digit(row.value), "holds": row.holds,
                  "samples": {name: [_digit(v) for v in several] for name, several in row.samples.items()}}
                 for row in rows],
    }  # fmt: skip
    save(path, data)


def read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows, and the machine that they are from."""
    data = json.loads(path.read_text("utf-8"))
    rows = [Row(**{k: v for k, v in row.items() if k not in ("value", "holds")}) for row in data["rows"]]
    return rows, data["machine"]


def _digits(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _digit(value) for name, value in values.items()}


def _digit(value: float) -> float:
    """Four digits: the rest is noise."""
    return float(f"{value:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--rounds", type=int, help="of each case, at most")
    parser.add_argument("--only", action="append", default=[], metavar="GROUP", help="one of the claims, or several")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for the compiled loop, at most")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the directory to write to")
    parser.add_argument("--summary", action="store_true", help="print the results that are there, and measure nothing")
    parser.add_argument("--plot", action="store_true", help="draw the results that are there, and measure nothing")
    asked = parser.parse_args()
    path = asked.out / "torch_module.json"
    if not (asked.summary or asked.plot):
        pace = QUICK if asked.quick else PACE
        rows = list(measured(replace(pace, rounds=asked.rounds or pace.rounds), asked.quick, asked.only, asked.seconds))
        asked.out.mkdir(exist_ok=True, parents=True)
        write(path, rows, asked.quick)
    rows, machine = read(path)
    if asked.summary:
        sys.stdout.write(summary(rows))
    else:
        from plot_torch import plot

        plot(rows, machine, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
