"""What runs over a whole sequence at once, as numbers at given sizes, and how long it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sympy

from symcell.predict.devices import Device
from symcell.program.access import reads, writes
from symcell.program.costs import cost
from symcell.program.model import Program, Stage, Storage
from symcell.program.storage import item


@dataclass(frozen=True)
class Assumption:
    """A number, and what it stands for."""

    value: float
    text: str


ASSUMPTIONS: Mapping[str, Assumption] = {
    "launch": Assumption(20, "µs of the host's for a launch over a whole sequence"),
    "products": Assumption(0.8, "of the device's rate for their type that products over a whole sequence reach"),
    "streams": Assumption(0.85, "of the memory's rate that kernels over a whole sequence reach"),
}


@dataclass(frozen=True)
class Whole:
    """What a program does outside its loops over time, for one step and sample: ``flops``; ``numbers`` moved that have
    16 bits where parameters have, and others (``wide``); in so many ``launches``."""

    flops: int
    numbers: int
    launches: int
    wide: int = 0

    def time(self, device: Device, *, steps: int, batch: int, itemsize: int) -> float:
        """Microseconds over T ``steps`` of ``batch`` B samples, in numbers that are stored in ``itemsize`` bytes."""
        rows = steps * batch
        # float64: half of float32's rate on the data-centre chips
        rate = device.fp16 if itemsize == 2 else device.fp32 * 4 / itemsize
        work = rows * self.flops / (rate * 1e6 * ASSUMPTIONS["products"].value)
        size = self.numbers * item("stored", itemsize) + self.wide * item("real", itemsize)
        moved = rows * size / (device.memory * 1e3 * ASSUMPTIONS["streams"].value)
        return work + moved + self.launches * ASSUMPTIONS["launch"].value


def whole(program: Program, sizes: Mapping[str, int]) -> Whole:
    """What a program does outside its loops, at these sizes. Raises KeyError where one is missing."""
    stages = [stage for region in program.regions if region.kind != "steps" for stage in region.stages]
    costs = [cost(program, stage) for stage in stages]
    numbers = [_number(c.numbers, sizes) for c in costs]
    wide = sum(round(moved * _wide(program, stage, sizes)) for moved, stage in zip(numbers, stages, strict=True))
    flops = sum(_number(c.flops, sizes) for c in costs)
    return Whole(flops, sum(numbers) - wide, sum(c.launches for c in costs), wide)


def _wide(program: Program, stage: Stage, sizes: Mapping[str, int]) -> float:
    """Which share of the numbers that a stage moves lies in buffers that are never of 16 bits."""
    found: Counter[Storage] = Counter()
    for ref in {*reads(stage), *writes(stage)}:
        buffer = program.buffers[ref.buffer]
        if buffer.extent != "fixed":
            found[buffer.storage] += sum(member.width.value(sizes) for member in program.window(ref))
    return found["real"] / found.total() if found.total() else 0


def _number(formula: sympy.Expr, sizes: Mapping[str, int]) -> int:
    return int(formula.subs({symbol: sizes[symbol.name] for symbol in formula.free_symbols}))
