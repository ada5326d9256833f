"""What a train step of each cell takes: in turn, in one process, so that a busy machine slows all alike."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from symcell.bench import memory
from symcell.bench.contenders import Contender, emitted
from symcell.bench.timing import Pace, Run, interleaved
from symcell.bench.work import Work, numbers, sized
from symcell.cell import Cell
from symcell.compare.model import Measured, Work as Size

QUICK = Pace(rounds=25, least=5, budget=2.0, rest=0.02, turn=0.01)
"""Two seconds of rounds."""


def measured(
    cells: Sequence[Cell], size: Size, *, with_memory: bool = True, pace: Pace = QUICK,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> tuple[list[Measured | None], tuple[str, ...]]:  # fmt: skip
    """The time and memory of each, None for one that cannot run here; and why something is missing."""
    contender = Contender(size.target, functools.partial(emitted, target=size.target))
    works = [Work(cell, size.steps, size.batch, sized(cell, size.inputs, size.hidden)) for cell in cells]
    notes: dict[str, None] = {}
    runs: dict[str, Run] = {}
    for k, work in enumerate(works):
        progress(work.cell.name, k, len(works))
        try:
            run = contender.make(work, "train", numbers(work))
            run()
            runs[str(k)] = run
        except Exception as problem:  # whatever a target lacks here: a compiler, memory
            said = str(problem).strip().partition("\n")[0][:200]
            notes[f"{work.cell.name} was not measured: {said or type(problem).__name__}"] = None
    times = interleaved(runs, pace)
    if with_memory and (why := memory.missing()):
        notes[why] = None
        with_memory = False
    found = [
        Measured(min(times[str(k)]) / 1e3, memory.peak(contender, work) if with_memory else None)
        if str(k) in times else None
        for k, work in enumerate(works)
    ]  # fmt: skip
    return found, tuple(notes)
