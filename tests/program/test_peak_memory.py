"""The memory that a train step takes is what the report says: NumPy's arrays, and all that a process with C takes."""

from __future__ import annotations

import functools
import gc
import tracemalloc
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from planned_cells import cell, planned
from sampled import sampled

import symcell
from symcell.bench import memory
from symcell.bench.contenders import Contender, emitted
from symcell.bench.work import Work
from symcell.program.report import peak_memory
from symcell.verify.targets import compiler_missing

STEPS, BATCH, UNITS = 40, 16, 64


def measured(module: ModuleType, params: Any, x: Any, dy: Any) -> int:
    """The most bytes in use at one time beyond what was there before."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    y, last, tape = module.forward(params, x)
    grads = module.backward(params, tape, dy)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(y) == len(dy)
    assert grads.params.flat.size == params.flat.size
    assert last is not None
    return peak - before


@pytest.mark.parametrize("name", sampled())
def test_peak_of_a_train_step(name: str) -> None:
    module = symcell.compile(cell(name))
    sizes = dict.fromkeys(module.SIZES, UNITS)
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    shapes = {n: [sizes.get(s, s) for s in shape] for n, shape in module.INPUTS.items()}
    inputs = {n: drawn(STEPS, BATCH, *shape) for n, shape in shapes.items()}
    constants = {n: drawn(*(sizes.get(s, s) for s in shape)) for n, shape in module.CONSTANTS.items()}
    params = module.init_params(**sizes, **constants)
    x = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    y, _, tape = module.forward(params, x)
    dy = drawn(*y.shape)
    module.backward(params, tape, dy)
    del y, tape
    expected = peak_memory(planned(name, "numpy"), sizes, STEPS, BATCH, 4)
    assert measured(module, params, x, dy) == pytest.approx(expected, rel=0.1)


THREAD = 400_000
"""Bytes that a thread takes whatever it computes: its stack, with a piece of a product's rows, and its heap."""


@pytest.mark.skipif(bool(memory.missing() or compiler_missing()), reason="needs Linux and a C compiler")
@pytest.mark.parametrize("name", [*(pytest.param(n, marks=pytest.mark.whole) for n in ("rnn", "gru")), "lstm", "mamba"])
def test_peak_of_a_process_with_c(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands outside of Python's arrays is counted too: packed matrices, and room for sums."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")  # memory that is freed leaves the process at once
    monkeypatch.setenv("SYMCELL_NUM_THREADS", "2")
    work = Work(cell(name), 96, 16, {size: 16 if size in ("N", "R") else 256 for size in cell(name).sizes})
    found = memory.peak(Contender("c", functools.partial(emitted, target="c")), work)
    said = peak_memory(planned(name, "c"), work.sizes, work.steps, work.batch, 4)
    assert 0.85 * said < found < said + 2 * THREAD
