"""A cell's emitted modules as PyTorch drives them: which arrays they take and return, in order, and of what shapes."""

from __future__ import annotations

import functools
import hashlib
import os
import types
from collections.abc import Callable, Mapping
from typing import Any

import torch

from symcell import pipeline
from symcell.cell import Cell, Shape
from symcell.program.model import Buffer, Plan
from symcell.threads import VARIABLE

Sizes = Mapping[str, int]
"""The cell's named sizes in numbers."""


def states_of(cell: Cell) -> tuple[str, ...]:
    """The names of a cell's states: the output first if it is carried, the others in the cell's order."""
    return tuple(sorted(cell.states, key=lambda name: name != cell.output))


class Kernel:
    """A cell for one target: its modules are compiled when they are first needed, once in a process.

    ``key`` names it in an operator's arguments; :func:`kernel` of it finds it again. ``emulated``: a CuPy module runs
    on the CPU, for tests. ``sizes``, ``parameters``, ``constants``, ``inputs``, ``states``: names, in the order in
    which all take and return what they name.
    """

    def __init__(self, cell: Cell, target: str, emulated: bool) -> None:
        self.cell, self.target, self.emulated = cell, target, emulated
        equations = hashlib.sha256(cell.text.encode()).hexdigest()[:12]
        self.key = f"{cell.name}-{equations}-{target}{'-emulated' * emulated}"
        self.sizes = cell.sizes
        self.parameters = tuple(cell.parameters)
        self.constants = tuple(cell.arrays)
        self.inputs = tuple(cell.inputs)
        self.states = states_of(cell)
        self.tape: list[str] = []
        """The names of what a tape holds, in order: known once the module has made one."""

    def __repr__(self) -> str:
        return f"<Kernel {self.key}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return kernel_of, (self.cell, self.target, self.emulated)

    def __deepcopy__(self, memo: object) -> Kernel:
        return self

    @functools.cached_property
    def plan(self) -> Plan:
        return pipeline.plan(self.cell, self.target)

    @functools.cached_property
    def module(self) -> types.ModuleType:
        """``forward``, ``backward`` and ``step``."""
        return self._compiled(1)

    @functools.cached_property
    def twice(self) -> types.ModuleType:
        """The same and ``jvp`` and ``second``."""
        return self._compiled(2)

    def _compiled(self, order: int) -> types.ModuleType:
        strategy = "plain" if self.emulated else None
        module = pipeline.compile(self.cell, self.target, order=order, emulate=self.emulated, strategy=strategy)
        if self.target == "c":
            module._processors = _as_pytorch(module._processors)  # type: ignore[attr-defined]
        return module

    @functools.cached_property
    def flat(self) -> tuple[str, ...]:
        """The parameters in the order in which they lie in ``params.flat``."""
        return self.plan.parameters

    @functools.cached_property
    def places(self) -> tuple[int, ...]:
        """Where the parameters of ``flat`` are among ``parameters``."""
        return tuple(self.parameters.index(name) for name in self.flat)

    # shapes

    def shape(self, named: Shape, sizes: Sizes) -> tuple[int, ...]:
        return tuple(size.value(sizes) for size in named)

    def output_shape(self, sizes: Sizes) -> tuple[int, ...]:
        return self.shape(self.cell.shape_of(self.cell.output), sizes)

    def state_shape(self, name: str, batch: int, sizes: Sizes) -> tuple[int, ...]:
        """(B, *shape), or (k, B, *shape) where k steps are carried."""
        lags = self.cell.states[name]
        return (*([lags] if lags > 1 else []), batch, *self.shape(self.cell.shape_of(name), sizes))

    def tape_inputs(self) -> list[str | None]:
        """For each array on the tape the input whose rows it is as they stand, or None."""
        return [b.name if b.origin == "input" and not b.depth else None for b in self._taped()]

    def tape_arrays(
        self, rows: int, batch: int, sizes: Sizes, dtype: torch.dtype
    ) -> list[tuple[tuple[int, int], torch.dtype]]:
        """Shape and type of what a tape of so many rows holds besides inputs, for numbers of a type."""
        kinds = {"bool": torch.bool, "stored": dtype, "real": computed_in(dtype)}
        return [
            ((rows + b.depth * batch, b.width.value(sizes)), kinds[b.storage])
            for b, whose in zip(self._taped(), self.tape_inputs(), strict=True)
            if whose is None
        ]

    def _taped(self) -> list[Buffer]:
        forward = self.plan.forward
        return [forward.buffers[name] for name in forward.tape]


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """The type of numbers in which a module computes with those of a type."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _as_pytorch(own: Callable[[], int]) -> Callable[[], int]:
    """How many threads a C module runs on: what :func:`symcell.set_threads` says, else as many as PyTorch."""
    return lambda: own() if os.environ.get(VARIABLE) else torch.get_num_threads()


_KERNELS: dict[str, Kernel] = {}
_MADE: dict[tuple[Cell, str, bool], Kernel] = {}


def kernel_of(cell: Cell, target: str, emulated: bool = False) -> Kernel:
    """The one kernel of a cell for a target."""
    known = _MADE.get((cell, target, emulated))
    if known is None:
        made = Kernel(cell, target, emulated)
        known = _MADE.setdefault((cell, target, emulated), _KERNELS.setdefault(made.key, made))
    return known


def kernel(key: str) -> Kernel:
    """The kernel of this key. Raises LookupError where nothing in this process has made it."""
    try:
        return _KERNELS[key]
    except KeyError:
        raise LookupError(
            f"no cell of this process has the kernel {key!r}: make a Recurrent of that cell first, or load the program "
            "where one is"
        ) from None
