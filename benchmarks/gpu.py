"""Emitted CuPy modules on a GPU beside cuDNN, PyTorch loops and torch.compile; what the GPU takes for the parts.

    PYTHONPATH=. python3 benchmarks/gpu.py             # eight minutes; writes benchmarks/results/gpu_DEVICE.json, .png
    PYTHONPATH=. python3 benchmarks/gpu.py --quick     # a minute; gpu_quick_DEVICE.json
    python3 benchmarks/gpu.py --dry-run                # what would run; compiles all kernels, needs no GPU
    python3 benchmarks/gpu.py --cell gru -B 8 -B 32 -H 640 --steps 512 --no-tests   # gpu_own_DEVICE.json

symcell need not be installed. First the tests that need a GPU run, then the parts of a step are measured (a barrier of
the grid, a graph's node, a launch, a product), then cells, the most telling sizes first, until the time is up: what was
left out is listed. Every contender is compared with PyTorch in float64 before it is timed. Results are written after
every case, the whole file or nothing.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import from_checkout
import gpu_cases
import gpu_machine
from gpu_cases import Case
from gpu_contenders import PRECISIONS, STRATEGIES, Contender, contenders_of
from gpu_kernels import CUDA, OPTIONS
from gpu_measure import Row, built, compiled, compiled_elsewhere, measured, why
from gpu_report import failures, file_of, record, table
from gpu_timing import PACE, QUICK, Budget
from within import within

import symcell
from symcell.bench.report import save

RESULTS = Path(__file__).parent / "results"
SECONDS, QUICK_SECONDS = 460, 55
TESTS = "test_contract or lstm or gru or mlstm or deltanet"
"""Which of the tests that need a GPU run: a sample."""
TEST_SECONDS, COMPILE_SECONDS, LEAST = 110, 75, 5


def say(text: str) -> None:
    print(text, flush=True)


@dataclass
class Results:
    """What is known so far, and where it is written."""

    path: Path
    machine: dict[str, Any]
    options: dict[str, Any]
    tests: dict[str, Any] = field(default_factory=dict)
    basics: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        more = {name: getattr(self, name) for name in ("options", "tests", "basics", "skipped")}
        save(self.path, record(self.machine, more, self.rows))


def tests(seconds: float) -> dict[str, Any]:
    """A sample of the tests that need a GPU, in processes of their own."""
    folders = [str(from_checkout.ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "pytest", "-p", "from_checkout", "-m", "gpu", "-k", TESTS, "-W", "default",
               "-n", str(min(8, os.cpu_count() or 1)), "--no-header", "--tb=short", "tests/emit"]  # fmt: skip
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}
    start = time.monotonic()
    done = within(seconds, command, cwd=from_checkout.ROOT, env=env)
    lines = done.text.strip().splitlines()
    status = "out of time" if done.status is None else done.status
    output = lines[-40:] if status else []  # what failed; the rest says where this machine keeps its packages
    return {"status": status, "seconds": round(time.monotonic() - start), "last": lines[-1:], "output": output}


@cache
def _contenders(cell: str, loop: bool, ways: tuple[tuple[str, str], ...]) -> list[Contender]:
    return contenders_of(symcell.load(cell), loop=loop, ways=ways)


def several(case: Case, asked: argparse.Namespace) -> list[Contender]:
    """Who is measured at a case."""
    own = tuple(product(asked.strategy or ("auto",), asked.dtype or ("float32",)))
    return _contenders(case.cell, case.loop, own if asked.strategy or asked.dtype else case.ways)


def chosen(asked: argparse.Namespace) -> tuple[Case, ...]:
    """The cases that the options name; without any, the sample for a quick or a whole run."""
    if asked.kind != "own":
        return gpu_cases.QUICK if asked.quick else gpu_cases.whole()
    several = product(asked.cell or ["lstm"], asked.steps or [256], asked.hidden or [512], asked.batch or [16])
    return tuple(Case(c, t, b, asked.inputs or h, h, loop=asked.loop) for c, t, h, b in several)


def dry_run(cases: Sequence[Case], asked: argparse.Namespace) -> int:
    """Build every case and compile every kernel; say what would be measured. The number of failures."""
    from symcell.emit.cupy import cuda_source
    from symcell.emulate import nvrtc

    wrong = 0
    for case in cases:
        for contender in several(case, asked):
            built(case, contender)
        say(f"{case}: {', '.join(c.name for c in several(case, asked))}")
    missing = nvrtc.unavailable()
    sources = {"parts of a step": CUDA}
    for name in () if missing else dict.fromkeys(case.cell for case in cases):
        sources[name] = f"typedef float real;\n{cuda_source(symcell.plan(name, 'cupy'))}"
    for name, source in {} if missing else sources.items():
        try:
            say(f"{name}: {len(nvrtc.compile_cubin(source, 'sm_90', OPTIONS))} bytes for sm_90")
        except nvrtc.NvrtcError as problem:
            wrong += 1
            say(f"{name}: {problem}")
    say(f"{len(cases)} cases, {asked.seconds} s at most" + (f"; no kernel compiled: {missing}" if missing else ""))
    return wrong


def run(cases: Sequence[Case], asked: argparse.Namespace) -> Results:
    """Everything, in order, within the time."""
    budget = Budget(asked.seconds)
    machine = gpu_machine.device()
    say(f"{machine['name']}, driver {machine['driver']}, {machine['libraries']}")
    options = {name: getattr(asked, name) for name in ("kind", "seconds", "strategy", "dtype")}
    results = Results(file_of(asked.out, machine["name"], asked.kind), machine, options)
    if asked.tests:
        results.tests = tests(min(TEST_SECONDS, budget.left() / 3))
        say("\n".join(["tests:", *results.tests["output"]]))
    results.write()
    if asked.basics:
        for found in gpu_machine.basics(quick=asked.quick):
            results.basics.append(found.data())
            say(str(found))
        results.write()
    measure_all(cases, asked, results, budget)
    return results


def measure_all(cases: Sequence[Case], asked: argparse.Namespace, results: Results, budget: Budget) -> None:
    """Cases in order; torch.compile of a loop behind the first ones."""
    late = 0 if asked.quick or not asked.compile else COMPILE_SECONDS
    pace = QUICK if asked.quick else PACE
    for case in cases:
        left = budget.left() - late
        if left < LEAST:
            results.skipped.append(str(case))
            continue
        start = time.monotonic()
        try:
            results.rows.append(measured(case, several(case, asked), pace))
        except Exception as problem:
            results.rows.append(Row(case, failed={"case": why(problem)}))
        results.write()
        say(f"{told(results.rows[-1])}   ({time.monotonic() - start:.0f} s, {budget.left():.0f} left)")
    if late:
        results.rows.append(compiled_elsewhere(gpu_cases.COMPILED, max(LEAST, min(late, budget.left()))))
        say(told(results.rows[-1]))
    results.write()


def told(row: Row) -> str:
    """A case in one line of a log."""
    parts = []
    for name in row.times.get("train", {}):
        forward, train = (row.times[m][name]["median"] for m in ("forward", "train"))
        worst = max(row.errors.get(name, {"": float("nan")}).values())
        parts.append(f"{name} {forward:.3g}/{train:.3g} ms off {worst:.0e}")
    return f"{row.case}: " + "; ".join([*parts, *(f"{k} FAILED {v}" for k, v in row.failed.items())])


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, conflict_handler="resolve"
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a few small cases, in a minute")
    add("--dry-run", action="store_true", help="build all cases, compile all kernels, measure nothing: needs no GPU")
    add("--no-tests", dest="tests", action="store_false", help="run no tests first")
    add("--no-basics", dest="basics", action="store_false", help="measure cells alone")
    add("--no-compile", dest="compile", action="store_false", help="leave torch.compile out")
    add("--seconds", type=int, help=f"what everything may take (default: {SECONDS}; quick: {QUICK_SECONDS})")
    add("--cell", action="append", help="a cell's name or path; this and what follows make a grid of its own")
    add("--steps", "-T", action="append", type=int, help="steps T (default: 256)")
    add("--batch", "-B", action="append", type=int, help="samples B (default: 16)")
    add("--hidden", "-H", action="append", type=int, help="units H (default: 512)")
    add("--inputs", "-D", type=int, help="inputs D (default: as many as units)")
    add("--loop", action="store_true", help="in such a grid, a PyTorch loop too")
    add("--strategy", action="append", choices=STRATEGIES,
        help="how modules run their loop (default: auto, and all of them in a few cases)")  # fmt: skip
    add("--dtype", action="append", choices=PRECISIONS,
        help="of symcell's numbers (default: float32, float16; tf32, bfloat16 too in a few cases)")  # fmt: skip
    add("--out", type=Path, default=RESULTS, help="the directory to write to")
    add("--compiled", nargs=5, metavar=("CELL", "T", "B", "D", "H"), help=argparse.SUPPRESS)
    return parser


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    asked = options().parse_args(arguments)
    asked.strategy = tuple(asked.strategy or ())
    asked.dtype = tuple(asked.dtype or ())
    asked.seconds = asked.seconds or (QUICK_SECONDS if asked.quick else SECONDS)
    if asked.quick:
        asked.tests = False
    own = asked.cell or asked.batch or asked.hidden or asked.steps or asked.inputs
    asked.kind = "own" if own else "quick" if asked.quick else "whole"
    return asked


def main() -> int:
    asked = parsed()
    if asked.compiled:
        name, *sizes = asked.compiled
        say(json.dumps(compiled(Case(name, *map(int, sizes)), QUICK).data()))
        return 0
    cases = chosen(asked)
    if asked.dry_run:
        return int(dry_run(cases, asked) > 0)
    # a kernel that never ends cannot be interrupted: what is written by then is all there is
    faulthandler.dump_traceback_later(asked.seconds + 60, exit=True)
    results = run(cases, asked)
    faulthandler.cancel_dump_traceback_later()
    say(table(results.rows))
    say(failures(results.rows))
    if results.skipped:
        say(f"left out for lack of time, {len(results.skipped)}: {'; '.join(results.skipped)}")
    say(f"tests: {' '.join(results.tests.get('last', ['none']))}; written: {results.path}")
    try:
        from plot_gpu import plot

        plot(json.loads(results.path.read_text("utf-8")), results.path.with_suffix(".png"))
    except ImportError as problem:
        say(f"no picture: {problem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
