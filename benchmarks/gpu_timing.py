"""Time on the device, by CUDA events, and how long the whole may take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symcell.bench.timing import Pace, interleaved

TURN = 0.01
"""Seconds that a turn of a quick run is repeated for."""
PACE = Pace(rounds=9, least=3, budget=1.5, rest=0.0, turn=TURN)
QUICK = Pace(rounds=5, least=3, budget=0.7, rest=0.0, turn=TURN)


class DeviceClock:
    """Seconds by events of the current stream, each waited for. Only neighbouring events are subtracted: an event's
    float32 milliseconds would be rough after minutes."""

    def __init__(self) -> None:
        import cupy as cp

        self._cuda: Any = cp.cuda
        self._last = self._now()
        self._total = 0.0

    def _now(self) -> Any:
        event = self._cuda.Event()
        event.record()
        event.synchronize()
        return event

    def __call__(self) -> float:
        event = self._now()
        self._total += self._cuda.get_elapsed_time(self._last, event) / 1e3
        self._last = event
        return self._total


def timed(runs: Mapping[str, Callable[[], object]], pace: Pace) -> dict[str, list[float]]:
    """Milliseconds of each run on the device, once per round, in turn; all have been run before."""
    return interleaved(runs, pace, DeviceClock(), time.sleep)


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Median and spread."""
    return {"median": statistics.median(samples), "least": min(samples), "most": max(samples)}


class Budget:
    """Seconds that everything may take, from now on."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()
