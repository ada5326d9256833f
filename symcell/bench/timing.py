"""Timings side by side: one process, round after round, so that a busy machine slows all alike."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Run = Callable[[], object]


@dataclass(frozen=True)
class Pace:
    """How long to measure, in seconds.

    ``rounds``: at most; after ``least`` of them, no more than fit into ``budget``. ``rest``: before each turn, so that
    the threads of the one before, which wait for work by spinning, have gone to sleep. ``turn``: a quicker run is
    repeated until its turn is about this long.
    """

    rounds: int = 9
    least: int = 5
    budget: float = 15.0
    rest: float = 0.15
    turn: float = 0.02


STEADY = Pace()


def interleaved(
    contenders: Mapping[str, Run],
    pace: Pace = STEADY,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, list[float]]:
    """Milliseconds of one run of each, once per round. Each round begins with another contender; all have been run
    before, which is not counted."""
    repeats = {name: _repeats(run, pace.turn, clock) for name, run in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    begun = clock()
    for k in range(pace.rounds):
        if k >= pace.least and clock() - begun >= pace.budget:
            break
        for name in itertools.islice(itertools.cycle(contenders), k, k + len(contenders)):
            if pace.rest:
                sleep(pace.rest)
            times[name].append(1e3 * _turn(contenders[name], repeats[name], clock))
    return times


def _repeats(run: Run, turn: float, clock: Callable[[], float]) -> int:
    """How often a run fits into a turn, found while warming up: a slow one runs once, a quick one several times."""
    for _ in range(3):
        spent = _turn(run, 1, clock)
        if spent >= 10 * turn:
            break
    return max(1, math.ceil(turn / max(spent, 1e-6)))


def _turn(run: Run, repeats: int, clock: Callable[[], float]) -> float:
    """Seconds of one run, the mean of some."""
    start = clock()
    for _ in range(repeats):
        run()
    return (clock() - start) / repeats
