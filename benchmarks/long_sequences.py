"""A train step over one long sequence: memory and time with states kept every √T steps, beside the whole tape.

    python benchmarks/long_sequences.py [--target cupy]     # writes benchmarks/results/long_sequences_TARGET.json

An LSTM of 256 units with 256 inputs, one sample, 100,000 steps, float32. Each way runs in a process of its own, whose
largest resident memory is read at its end; what stood there before the step (the module, the inputs, a short step to
warm up) is given beside it. Both run three times in turn; the fastest of each is kept. For CuPy the bytes of its memory
pool are given, too.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from symcell.bench.machine import this_machine
from symcell.bench.report import save

RESULTS = Path(__file__).parent / "results"

STEPS, BATCH, UNITS = 100_000, 1, 256
ROUNDS = 3
WAYS: dict[str, str | None] = {"whole tape": None, "sqrt": "sqrt"}
MB = 1e6


def resident() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def measured(target: str, checkpoint: str | None) -> dict[str, float]:
    """Memory in MB and seconds of one train step in this process."""
    module = import_module(f"symcell.generated.lstm_{target}")
    xp = module.cp if target == "cupy" else np
    params = module.init_params(D=UNITS, H=UNITS)
    x, dy = (xp.asarray(np.random.default_rng(k).standard_normal((STEPS, BATCH, UNITS), np.float32)) for k in (0, 1))

    def step(count: int) -> None:
        y, _, tape = module.forward(params, x[:count], checkpoint=checkpoint)
        grads = module.backward(params, tape, dy[:count])
        assert y.shape == grads.x.shape
        if target == "cupy":
            xp.cuda.Stream.null.synchronize()

    step(100)
    before, start = resident(), time.perf_counter()
    step(STEPS)
    found = {"seconds": time.perf_counter() - start, "before": before, "peak": resident()}
    return found | ({"device": xp.get_default_memory_pool().total_bytes() / MB} if target == "cupy" else {})


def fresh(target: str, way: str) -> dict[str, float]:
    """The same in a new process."""
    command = [sys.executable, __file__, "--target", target, "--one", way]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="numpy", help="whose module (default: numpy)")
    parser.add_argument("--one", choices=WAYS, help="run one way in this process")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.target, WAYS[asked.one])))
        return
    import symcell

    plan = symcell.plan("lstm", asked.target)
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, found in runs.items():
            found.append(fresh(asked.target, way))
    rows: list[dict[str, Any]] = []
    for way, checkpoint in WAYS.items():
        said = plan.memory(STEPS, BATCH, checkpoint=checkpoint, D=UNITS, H=UNITS).peak / MB
        rows.append({"way": way, "plan": said, **min(runs[way], key=lambda run: run["seconds"])})
        print("   ".join(f"{k} {v:,.1f}" if isinstance(v, float) else f"{v:10}" for k, v in rows[-1].items()))
    sizes = {"T": STEPS, "B": BATCH, "D": UNITS, "H": UNITS}
    found = {"machine": this_machine(), "sizes": sizes, "unit": "MB", "rows": rows}
    save(RESULTS / f"long_sequences_{asked.target}.json", found)


if __name__ == "__main__":
    main()
