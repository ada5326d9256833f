"""Hardware as a fixture: one test body over every way to run a target."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import pytest

import symcell
from symcell.cell import Cell
from symcell.verify import targets

WAYS = ("numpy", "c", "cupy-emulated", pytest.param("cupy", marks=pytest.mark.gpu))


@functools.cache
def _load(name: str) -> Cell:
    return symcell.load(name)


@functools.cache
def build(cell: Cell, way: str, order: int = 1) -> types.ModuleType:
    """A cell's module for one of WAYS, kept; the test is skipped where that cannot run."""
    missing = {"c": targets.compiler_missing, "cupy-emulated": targets.emulator_missing, "cupy": targets.gpu_missing}
    reason = missing.get(way, lambda: None)()
    if reason:
        pytest.skip(reason)
    if way == "cupy-emulated":  # kernels of all steps are compiled for every size: test_cupy_steps.py has its few sizes
        return symcell.compile(cell, target="cupy", emulate=True, strategy="plain", order=order)
    return symcell.compile(cell, target=way, order=order)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def compiled(way: str, soon: None) -> Callable[[Cell], types.ModuleType]:
    """A function: a cell to its module, as the test's target runs it."""
    return lambda cell: build(cell, way)


@pytest.fixture
def twice(way: str, soon: None) -> Callable[[Cell], types.ModuleType]:
    """A function: a cell to its module of order 2."""
    return lambda cell: build(cell, way, 2)


@pytest.fixture
def shipped(way: str) -> Callable[[str], tuple[Cell, types.ModuleType]]:
    """A function: a shipped cell's name to the cell and its module."""
    return lambda name: (_load(name), build(_load(name), way))
