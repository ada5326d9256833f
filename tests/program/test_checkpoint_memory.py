"""What a plan says of memory with checkpoints is what emitted modules count with, and what NumPy then takes."""

from __future__ import annotations

import functools
import gc
import tracemalloc
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from planned_cells import SOME_PLANS, cell, emitted, planned

import symcell
from symcell.cell import units
from symcell.program.checkpoints import every
from symcell.program.model import Plan

STEPS, BATCH, UNITS = 100, 12, 64
CELLS = ["lstm", "narx", "lmu", "mingru", *(pytest.param(n, marks=pytest.mark.whole)
                                           for n in ("mlstm", "mamba", "layernorm_lstm"))]  # fmt: skip
"""With a cell state, with lags, with constant arrays, with a scan."""
OBJECTS = 150_000
"""Bytes that a call takes however long the sequence is, which no plan counts: Python's objects, NumPy's buffers."""


@pytest.mark.parametrize(("name", "target"), SOME_PLANS)
def test_modules_count_what_the_plan_says(name: str, target: str) -> None:
    plan = planned(name, target)
    space: dict[str, Any] = {}
    source = emitted(name, target).replace("import cupy as cp", "from unittest.mock import MagicMock\ncp = MagicMock()")
    exec(compile(source, name, "exec"), space)
    sizes = {size: 3 + 4 * k for k, size in enumerate(plan.cell.sizes)}
    numbers = sum(units(p.shape).value(sizes) for p in plan.cell.parameters.values())
    for params in (space["Params"](np.zeros(numbers, kind), sizes) for kind in (np.float32, np.float16)):
        item = params.flat.itemsize
        for steps, batch in ((1, 1), (50, 1), (40, 7)):
            for checkpoint in (None, 1, 9, 60, "sqrt"):
                need = space["_need"](every(checkpoint, steps), params, steps, batch, False, True)
                assert need == plan.memory(steps, batch, checkpoint=checkpoint, itemsize=item, **sizes).peak


def test_memory_of_a_plan() -> None:
    """Against numbers counted by hand: states h and c before each of three pieces; and one more forward sweep."""
    plan = planned("lstm", "numpy")
    few = plan.memory(10, 2, checkpoint=4, itemsize=8, D=3, H=5)
    assert (few.every, few.tape) == (4, 3 * 2 * 2 * 5 * 8)
    products = 2 * 4 * 5 * (3 + 5)
    assert products < few.flops / (10 * 2) < products + 70 * 5
    whole = plan.memory(10, 2, itemsize=8, D=3, H=5)
    assert (whole.every, whole.flops) == (None, 0)
    assert whole.tape == 8 * 2 * (10 * 4 * 5 + 11 * 2 * 5)
    assert plan.memory(10, 2, checkpoint="sqrt", D=3, H=5).every == 4
    assert [every("sqrt", steps) for steps in (0, 1, 4, 5, 9, 100_000)] == [1, 1, 2, 3, 3, 317]


def test_memory_of_what_does_not_fit() -> None:
    plan = planned("lstm", "numpy")
    with pytest.raises(ValueError, match="sizes: expected D, H, got D"):
        plan.memory(10, 2, D=3)
    for checkpoint in (0, -1, True, 2.0, "cbrt"):
        with pytest.raises(ValueError, match='checkpoint: expected None, "sqrt" or a number of steps from 1 on, got'):
            plan.memory(10, 2, checkpoint=checkpoint, D=3, H=5)  # type: ignore[arg-type]


@functools.cache
def compiled(name: str) -> ModuleType:
    return symcell.compile(cell(name))


@functools.cache
def drawn(module: ModuleType, dtype: str = "float32") -> tuple[Any, Any, Any]:
    """Parameters, inputs and a gradient by the output."""
    rng = np.random.default_rng(0)
    sizes = dict.fromkeys(module.SIZES, UNITS)

    def normal(*shape: Any) -> Any:
        return rng.standard_normal([sizes.get(s, s) for s in shape]).astype(dtype)

    constants = {name: normal(*shape) for name, shape in module.CONSTANTS.items()}
    inputs = {name: normal(STEPS, BATCH, *shape) for name, shape in module.INPUTS.items()}
    params = module.init_params(dtype=dtype, **sizes, **constants)
    x = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    y, _, tape = module.forward(params, x)
    module.backward(params, tape, y)  # what is made at the first call is there from then on
    return params, x, np.ones_like(y)


def besides(module: ModuleType, params: Any, x: Any, dy: Any, **options: Any) -> int:
    """The most bytes in use at one time beyond what goes in and comes out."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    y, last, tape = module.forward(params, x, **options)
    grads = module.backward(params, tape, dy)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    dx = grads.x.values() if isinstance(grads.x, dict) else [grads.x]
    out = [y, *last.values(), grads.params.flat, *dx, *grads.state.values()]
    return peak - before - sum(array.nbytes for array in out)


def said(plan: Plan, checkpoint: int | str | None, itemsize: int = 4) -> int:
    sizes = dict.fromkeys(plan.cell.sizes, UNITS)
    return plan.memory(STEPS, BATCH, checkpoint=checkpoint, itemsize=itemsize, **sizes).peak


@pytest.mark.parametrize("name", CELLS)
def test_a_train_step_takes_what_the_plan_says(name: str) -> None:
    module, plan = compiled(name), planned(name, "numpy")
    arguments = drawn(module)
    found = {}
    for checkpoint in (None, "sqrt", 40):
        found[checkpoint] = besides(module, *arguments, checkpoint=checkpoint)
        most = said(plan, checkpoint)
        assert 0.75 * most < found[checkpoint] < 1.01 * most + OBJECTS, checkpoint
    assert found["sqrt"] < found[40] < found[None]


@pytest.mark.parametrize("name", CELLS)
def test_copies_of_what_is_of_16_bits_are_counted(name: str) -> None:
    """NumPy computes on these; they are not all there at once, so that is what it takes at most."""
    module, plan = compiled(name), planned(name, "numpy")
    arguments = drawn(module, "float16")
    for checkpoint in (None, "sqrt"):
        most = said(plan, checkpoint, 2)
        found = besides(module, *arguments, checkpoint=checkpoint)
        assert 0.5 * most < found < 1.01 * most + OBJECTS, checkpoint


@pytest.mark.parametrize("name", CELLS)
def test_a_budget_is_kept(name: str) -> None:
    """With and without lengths, where rows are copied together (the whole tape without is the test above's)."""
    module, plan = compiled(name), planned(name, "numpy")
    arguments = drawn(module)
    lengths = np.array([*[STEPS] * (BATCH - 1), STEPS - 1])
    few, whole = (said(plan, checkpoint) * 1.5 for checkpoint in ("sqrt", None))
    for budget, options in ((few, {}), (few, {"lengths": lengths}), (whole, {"lengths": lengths})):
        assert besides(module, *arguments, budget=budget, **options) < budget + OBJECTS
