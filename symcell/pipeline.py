"""The whole line on one page: text → Cell → Graph → adjoint → Plan → source → module."""

from __future__ import annotations

import builtins
import linecache
import types
from collections.abc import Callable
from importlib import import_module

from symcell.adjoint import adjoint
from symcell.cell import Cell
from symcell.lower import lower
from symcell.plan import Plan, plan

TARGETS = ("numpy", "cupy")
"""The languages a cell can be emitted in; each has a module ``symcell.emit.TARGET`` with ``emit(plan) -> str``."""


def plan_of(cell: Cell) -> Plan:
    """Lower a cell, derive its adjoint and plan both sweeps. Raises TypeError for what is no cell."""
    if not isinstance(cell, Cell):
        raise TypeError(f"cell: expected a Cell, as symcell.load and symcell.parse give it, got {type(cell).__name__}")
    graph = lower(cell)
    return plan(cell, graph, adjoint(graph))


def emitter(target: str) -> Callable[[Plan], str]:
    """The function that writes a plan in a target's language. Raises ValueError for an unknown target."""
    if target not in TARGETS:
        raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {target!r}")
    return import_module(f"symcell.emit.{target}").emit


def source(cell: Cell, target: str) -> str:
    """The standalone module of a cell, as text."""
    return emitter(target)(plan_of(cell))


def compile(cell: Cell, target: str = "numpy", *, emulate: bool = False) -> types.ModuleType:
    """The emitted module of a cell, in memory: the same source that ``symcell generate`` writes.

    ``emulate=True`` runs a CuPy module on the CPU, its kernels compiled by the host's C++ compiler. Raises ValueError
    for an unknown target or one that cannot be emulated, ImportError where the target's library is missing.
    """
    text = source(cell, target)
    name = f"{cell.name}_{target}"
    if emulate:
        if target != "cupy":
            raise ValueError(f"emulate: only the target cupy can be emulated, got {target!r}")
        from symcell.emulate import load

        return load(text, name)
    return _module(text, name)


def _module(text: str, name: str) -> types.ModuleType:
    filename = f"<symcell {name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    module = types.ModuleType(name)
    module.__file__ = filename
    try:
        exec(builtins.compile(text, filename, "exec"), module.__dict__)
    except ModuleNotFoundError as error:
        hint = "pip install 'symcell[cupy]' (CUDA 13) or 'symcell[cupy-cuda12]'; emulate=True runs it on the CPU"
        raise ImportError(f"the target cupy needs CuPy: {hint}" if error.name == "cupy" else str(error)) from error
    return module
