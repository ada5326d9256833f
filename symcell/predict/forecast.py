"""How long each program of a plan takes on a device, by the way its loops run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from symcell.pipeline import emitter
from symcell.predict.choice import STRATEGIES, Loop, loaded, loops
from symcell.predict.counts import Whole, stepwise, whole
from symcell.predict.devices import Device
from symcell.program.model import Plan, Role

TYPES: Mapping[str, int] = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes of a number as it is stored, by type."""


@dataclass(frozen=True)
class Forecast:
    """A program at given sizes. ``besides``: µs of what runs over the whole sequence at once; ``work``: what its loops
    do for a step and sample."""

    loops: tuple[Loop, ...]
    steps: int
    besides: float
    work: Whole

    def step(self, strategy: str = "auto") -> float | None:
        """Microseconds of a step; None where the device has no room for the strategy."""
        found = [loop.ways[loop.chosen if strategy == "auto" else strategy].step for loop in self.loops]
        known = [step for step in found if step is not None]
        return sum(known) if len(known) == len(found) else None

    def total(self, strategy: str = "auto") -> float | None:
        """Milliseconds of all steps and what runs besides; None as above."""
        step = self.step(strategy)
        return None if step is None else (self.steps * step + self.besides) / 1e3

    def refused(self, strategy: str) -> str:
        """Why the device has no room for a strategy; empty where it has."""
        reasons = (loop.ways[strategy].refused for loop in self.loops if strategy in loop.ways)
        return next(filter(None, reasons), "")


def forecasts(
    plan: Plan, device: Device, sizes: Mapping[str, int], *, steps: int, batch: int, dtype: str = "float32"
) -> dict[Role, Forecast]:
    """Each program of a plan for CuPy over T ``steps`` of ``batch`` B samples. Raises ValueError for a type that is
    none of TYPES, or where ``sizes`` are not the cell's."""
    if dtype not in TYPES:
        raise ValueError(f"dtype: expected one of {', '.join(TYPES)}, got {dtype!r}")
    if set(sizes) != set(plan.cell.sizes):
        raise ValueError(f"sizes: expected {', '.join(plan.cell.sizes)}, got {', '.join(sizes) or 'none'}")
    module = loaded(emitter("cupy").emit(plan), plan.cell.name, device.stand_in())
    itemsize = TYPES[dtype]
    return {
        role: Forecast(
            tuple(loops(module, role, sizes, batch, dtype)),
            steps,
            whole(program, sizes).time(device, steps=steps, batch=batch, itemsize=itemsize),
            stepwise(program, sizes),
        )
        for role, program in plan.programs.items()
    }


def checked(strategy: str) -> str:
    """A strategy's name, ``auto`` included. Raises ValueError for another."""
    if strategy not in ("auto", *STRATEGIES):
        raise ValueError(f"strategy: expected one of auto, {', '.join(STRATEGIES)}, got {strategy!r}")
    return strategy
