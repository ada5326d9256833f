"""The memory that a train step of emitted NumPy takes is what the report says."""

from __future__ import annotations

import gc
import tracemalloc
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from planned_cells import cell, planned

import symcell
from symcell.program.report import peak_memory

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


@pytest.mark.parametrize("name", symcell.names())
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
