"""A train step of NumPy modules written by an earlier version beside today's, cell by cell.

    python benchmarks/numpy_before_after.py FOLDER      # writes benchmarks/results/numpy_before_after.json

FOLDER holds the earlier modules, NAME_numpy.py each. Both run in turn, round after round, on the same numbers; medians
are compared, and the geometric mean of their ratios is taken over all cells and shapes. The clock is the processor's
time of one thread, which depends little on what else the machine does.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # before NumPy is imported

import numpy as np  # noqa: E402

import symcell  # noqa: E402
from symcell.bench.machine import this_machine  # noqa: E402
from symcell.bench.report import save  # noqa: E402
from symcell.bench.timing import Pace, interleaved  # noqa: E402

RESULTS = Path(__file__).parent / "results"
SHAPES = ((64, 1, 64), (64, 32, 128), (16, 64, 256))
"""Steps, samples, and what every size is."""


def loaded(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"before_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def step(module: types.ModuleType, sizes: dict[str, int], weights: Any, x: Any, dy: Any) -> Callable[[], None]:
    """One forward and backward pass."""
    params = module.init_params(**sizes)
    for name in params:
        params[name] = weights[name]

    def run() -> None:
        _, _, tape = module.forward(params, x)
        module.backward(params, tape, dy)

    return run


def contenders(before: types.ModuleType, after: types.ModuleType, shape: tuple[int, int, int]) -> dict[str, Any]:
    steps, batch, width = shape
    rng = np.random.default_rng(0)
    sizes = dict.fromkeys(after.SIZES, width)
    params = after.init_params(**sizes)
    inputs = {
        n: rng.standard_normal((steps, batch, *(sizes.get(s, s) for s in shape))).astype(np.float32)
        for n, shape in after.INPUTS.items()
    }
    x = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    y, _, _ = after.forward(params, x)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    return {"before": step(before, sizes, params, x, dy), "after": step(after, sizes, params, x, dy)}


def measure(folder: Path, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for path in sorted(folder.glob("*_numpy.py")):
        name = path.stem.removesuffix("_numpy")
        before, after = loaded(path), symcell.compile(name)
        for shape in SHAPES:
            pace = Pace(rounds, least=rounds, rest=0)
            times = interleaved(contenders(before, after, shape), pace, time.process_time)
            medians = {name: statistics.median(several) for name, several in times.items()}
            ratio = medians["after"] / medians["before"]
            rows.append({"cell": name, "shape": list(shape), "ms": medians, "ratio": ratio})
            print(
                f"{name:16} {shape!s:14} {medians['before']:8.2f} ms  {medians['after']:8.2f} ms  {ratio:.3f}",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the earlier modules are")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    rows = measure(asked.folder, asked.rounds)
    mean = statistics.geometric_mean(r["ratio"] for r in rows)
    worst = max(rows, key=lambda r: r["ratio"])
    print(f"geometric mean {mean:.3f}, worst {worst['ratio']:.3f} ({worst['cell']}, {tuple(worst['shape'])})")
    found = {"machine": this_machine(), "rounds": asked.rounds, "mean": mean, "rows": rows}
    save(RESULTS / "numpy_before_after.json", found)


if __name__ == "__main__":
    main()
