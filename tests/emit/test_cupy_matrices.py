"""Loops over the rows of matrices, emulated: the numbers are NumPy's at every size, and no step's matrix is kept
without need."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np
import pytest

import symcell
from symcell.emit.cupy.source import kernels_of
from symcell.emulate import Device, load
from symcell.pipeline import plan, source
from symcell.verify import targets
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case
from symcell.verify.tolerances import TOLERANCES, error, scale_of

REASON = targets.emulator_missing()
emulated = pytest.mark.skipif(REASON is not None, reason=REASON or "")

CELLS = ("mlstm", "deltanet", "gated_deltanet", "gla", "mamba")
WHOLE = [pytest.param(name, marks=[] if name == "mlstm" else pytest.mark.whole) for name in CELLS]
SIZES = {"few columns": (5, 3), "one row": (1, 40), "half a warp": (33, 17), "one column": (7, 1), "warps": (64, 64)}
"""Rows and columns: of a matrix with fewer columns than a warp has lanes, several rows share a warp."""
RAGGED = Kind("ragged", 4, 5, lengths=(4, 1, 2, 0, 3))
LONG = Kind("long", 40, 2)
NORMED = {"gla": ("one row",), "gated_deltanet": ("one row", "one column"), "deltanet": ("one column",)}
"""Where a single number is normalised, so that gradients are what rounding leaves: in 16 bits these say nothing."""


def case_of(name: str, kind: Kind, rows: int, columns: int) -> Case:
    """A case with matrices of so many rows and columns; the other sizes are small."""
    cell = symcell.load(name)
    lengths = dict(zip(cell.signals[_state(name)], (rows, columns), strict=True))
    sizes = {size: next((n for of, n in lengths.items() if of.names == (size,)), 3) for size in cell.sizes}
    return random_case(cell, kind, sizes=sizes)


def _state(name: str) -> str:
    cell = symcell.load(name)
    return next(state for state in cell.states if len(cell.signals[state]) == 2)


numpy_module = functools.cache(lambda name: symcell.compile(name, "numpy"))


@functools.cache
def module(name: str, strategy: str = "plain", **how: Any) -> types.ModuleType:
    """Emulated; launch by launch, kernels are compiled once for all sizes."""
    made = load(source(symcell.load(name), "cupy"), name, device=Device(multiprocessors=1), **how)
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    return made


def agree(found: Result, expected: Result, limit: float) -> None:
    for group, values in ((expected.values(), found.values()), (expected.gradients(), found.gradients())):
        for tensor, value in group.items():
            apart = error(values[tensor], value, scale_of(value, group))
            assert apart <= limit, f"{tensor}: {apart:.1e} off"


@emulated
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", WHOLE)
def test_equals_numpy(name: str, size: str) -> None:
    case = case_of(name, RAGGED, *SIZES[size])
    agree(targets.run(module(name), case, "float64"), targets.run(numpy_module(name), case, "float64"), 1e-11)
    if size not in NORMED.get(name, ()):
        half = targets.run(numpy_module(name), case, "float16")
        agree(targets.run(module(name), case, "float16"), half, TOLERANCES["float16"].limit)


@emulated
@pytest.mark.whole
@pytest.mark.parametrize("size", ["few columns", "half a warp"])
@pytest.mark.parametrize("name", CELLS)
def test_nothing_races(name: str, size: str) -> None:
    """In one launch, states in shared memory: no thread reads what another has not yet left."""
    case = case_of(name, RAGGED, *SIZES[size])
    found = targets.run(module(name, "block", races=True), case, "float64")
    agree(found, targets.run(numpy_module(name), case, "float64"), 1e-11)


@emulated
@pytest.mark.parametrize("name", ["mlstm"])
def test_inference_needs_no_room_for_every_step(name: str) -> None:
    """Less memory is enough than a matrix of each step takes, with which a tape is made."""
    made, case = module(name), case_of(name, LONG, 33, 17)
    pool = made.cp.get_default_memory_pool()
    targets.forward(made, case, "float32", keep_tape=False)
    limit = LONG.steps * LONG.batch * 33 * 17 * 4
    pool.set_limit(pool.used_bytes() + limit)
    try:
        _, y, *_ = targets.forward(made, case, "float32", keep_tape=False)
        with pytest.raises(MemoryError):
            targets.forward(made, case, "float32")
    finally:
        pool.set_limit(0)
    expected = targets.run(numpy_module(name), case, "float64").y
    assert np.abs(targets.to_host(made, y) - expected).max() < 1e-4


@pytest.mark.parametrize("name", CELLS)
def test_a_row_is_walked_by_lanes_that_make_its_elements(name: str) -> None:
    """In the loops of every kernel that goes over a matrix row by row, elements are made and totalled together."""
    programs = plan(name, "cupy").programs.values()
    passes = [rows for view in kernels_of(programs) for rows in view.passes]
    assert passes
    for rows in passes:
        assert all(loop.body for loop in rows.loops)
        assert len(rows.loops) <= 2
    made = [op.out for rows in passes for op in rows.totals]
    walked = [op.out for view in kernels_of(programs) for phase in view.phases for op in phase.walks]
    assert not set(made) & set(walked)
