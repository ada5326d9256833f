"""How fast is an emitted cell? Beside PyTorch's own module, a PyTorch loop, and the bare matrix products.

All contenders get the same numbers and run in turn, round after round, in one process, with as many threads as their
libraries take by themselves; medians are compared. ``torch._higher_order_ops.scan`` is no contender: it was about five
times slower than the loop, and does not compile where gradients are asked for.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from symcell.bench import memory
from symcell.bench.contenders import CPU_TARGETS, PRODUCTS, Contender, Run, contenders_of
from symcell.bench.machine import this_machine
from symcell.bench.report import TITLES, Report, Row
from symcell.bench.timing import STEADY, Pace, interleaved
from symcell.bench.work import Work, numbers, sized
from symcell.cell import Cell
from symcell.language import load, names
from symcell.verify import pytorch, torch_cells

__all__ = ["CPU_TARGETS", "GRID", "MEASURES", "Contender", "Pace", "Report", "Row", "Size", "bench", "known_to_torch"]

MEASURES = tuple(TITLES)


@dataclass(frozen=True)
class Size:
    """T steps of B samples with D inputs and H units."""

    steps: int
    batch: int
    inputs: int
    hidden: int


GRID = tuple(
    Size(steps, batch, width, width)
    for steps, batch, width in (
        (128, 1, 128), (128, 32, 128), (512, 16, 256), (128, 32, 256), (128, 64, 512), (64, 64, 1024),
    )
)  # fmt: skip
"""The sizes at which cells are compared."""


def known_to_torch() -> list[str]:
    """The shipped cells that are modules of torch.nn too."""
    return [name for name in names() if torch_cells.recognise(load(name))]


def bench(
    cells: Iterable[Cell],
    sizes: Sequence[Size],
    measures: Sequence[str] = MEASURES,
    *,
    targets: Sequence[str] = CPU_TARGETS,
    compiled: bool = False,
    extra: Callable[[Cell], Sequence[Contender]] = lambda cell: (),
    pace: Pace = STEADY,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Report:
    """Measure cells at some sizes: ``train``, ``inference``, ``step`` (of B samples, and of one) and ``memory``.

    ``extra``: more contenders for a cell. ``compiled``: ``torch.compile`` of the loop too. ``progress`` is told, before
    each row, what it is, how many are done and how many there are. A contender that cannot run is left out, and the
    report's notes say why.
    """
    notes = dict.fromkeys([f"{why}: left out" for why in (pytorch.missing(),) if why])
    if "memory" in measures and (why := memory.missing()):
        notes[why] = None
        measures = [m for m in measures if m != "memory"]
    jobs = [(cell, measure, size) for cell in cells for measure in measures for size in _distinct(sizes, measure)]
    rows: list[Row] = []
    for cell, measure, size in jobs:
        progress(f"{cell.name}, {measure}", len(rows), len(jobs))
        several = [*contenders_of(cell, targets, compiled=compiled), *extra(cell)]
        rows.append(_row(cell, measure, size, several, pace, notes))
    return Report(tuple(rows), this_machine(), tuple(notes))


def _distinct(sizes: Sequence[Size], measure: str) -> Iterator[Size]:
    """The sizes that a measure has; a stream runs step by step, also with one sample alone."""
    if measure != "step":
        yield from sizes
        return
    yield from dict.fromkeys(Size(1, batch, s.inputs, s.hidden) for s in sizes for batch in (s.batch, 1))


def _row(cell: Cell, measure: str, size: Size, several: Sequence[Contender], pace: Pace, notes: dict[str, None]) -> Row:
    work = Work(cell, size.steps, size.batch, sized(cell, size.inputs, size.hidden))
    values, samples = (
        _memory(work, several, notes) if measure == "memory" else _times(work, measure, several, pace, notes)
    )
    return Row(cell.name, measure, size.steps, size.batch, size.inputs, size.hidden, values, samples)


Found = tuple[dict[str, float], dict[str, list[float]]]


def _times(work: Work, measure: str, several: Sequence[Contender], pace: Pace, notes: dict[str, None]) -> Found:
    given, runs = numbers(work), dict[str, Run]()
    for contender in several:
        try:
            run = contender.make(work, measure, given)
            run()
            runs[contender.name] = run
        except Exception as problem:
            notes[_reason(contender, work, problem)] = None
    samples = interleaved(runs, pace)
    return {name: statistics.median(times) for name, times in samples.items()}, samples


def _memory(work: Work, several: Sequence[Contender], notes: dict[str, None]) -> Found:
    values: dict[str, float] = {}
    for contender in several:
        if contender.name == PRODUCTS:
            continue
        try:
            values[contender.name] = memory.peak(contender, work) / 1e6
        except Exception as problem:
            notes[_reason(contender, work, problem)] = None
    return values, {}


def _reason(contender: Contender, work: Work, problem: Exception) -> str:
    said = str(problem).strip().partition("\n")[0][:200]
    return f"{contender.name} left out of {work.cell.name}: {said or type(problem).__name__}"
