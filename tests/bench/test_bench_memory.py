"""Peak memory is what a train step adds to a process, at its worst moment."""

from __future__ import annotations

import numpy as np
import pytest

import symcell
from symcell.bench import memory
from symcell.bench.contenders import Contender, contenders_of
from symcell.bench.work import Work, sized
from symcell.program.peak import peak_memory

MB = 1_000_000
pytestmark = pytest.mark.skipif(memory.missing() is not None, reason=memory.missing() or "")


def work(steps: int, batch: int, hidden: int) -> Work:
    cell = symcell.load("rnn")
    return Work(cell, steps, batch, sized(cell, hidden, hidden))


def stepping(work, measure, numbers):
    """80 MB before a step, which do not count; in it 48 MB that are freed, then 16 MB."""
    before = np.ones(10 * MB)

    def run():
        freed = np.ones(6 * MB)
        del freed
        return before, np.ones(2 * MB)

    assert measure == "train"
    return run


def failing(work, measure, numbers):
    raise RuntimeError("it cannot run")


def test_the_worst_moment_counts_and_what_stood_before_does_not() -> None:
    found = memory.peak(Contender("stepping", stepping), work(1, 1, 1))
    assert 47 * MB < found < 52 * MB


def test_a_failure_comes_back() -> None:
    with pytest.raises(RuntimeError, match="it cannot run"):
        memory.peak(Contender("failing", failing), work(1, 1, 1))


def test_an_emitted_module_takes_what_its_plan_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # each of its threads has megabytes of its own
    what = work(64, 64, 256)
    (emitted,) = (c for c in contenders_of(what.cell, ("numpy",)) if c.name == "numpy")
    planned = peak_memory(symcell.plan(what.cell), what.sizes, what.steps, what.batch, 4)
    assert memory.peak(emitted, what) == pytest.approx(planned, rel=0.25)
