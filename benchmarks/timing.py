"""What the benchmarks share: timings side by side in one run, and the machine that they were taken on."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def interleaved(
    contenders: dict[str, Callable[[], None]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """The median time of each in milliseconds; all run once per round, after two rounds of warming up."""
    times: dict[str, list[float]] = {key: [] for key in contenders}
    for k in range(rounds + 2):
        for key, run in contenders.items():
            start = clock()
            run()
            if k > 1:
                times[key].append((clock() - start) * 1e3)
    return {key: statistics.median(values) for key, values in times.items()}


def machine() -> dict[str, Any]:
    """The processor, and the versions of what runs on it."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())  # fmt: skip
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    return {"cpu": model, "cores": os.cpu_count(), "date": datetime.date.today().isoformat(), **versions}


def save(name: str, report: dict[str, Any]) -> None:
    """Write a result as benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
