"""What a program has to do, as numbers at given sizes: over a whole sequence at once, and how long that takes; in the
steps of its loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy

from symcell.predict.devices import Device
from symcell.program.access import reads, writes
from symcell.program.costs import cost
from symcell.program.model import Program, Region, Stage, Storage
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

    def size(self, itemsize: int) -> int:
        """Bytes moved, where numbers of parameters have ``itemsize``."""
        return self.numbers * item("stored", itemsize) + self.wide * item("real", itemsize)

    def time(self, device: Device, *, steps: int, batch: int, itemsize: int) -> float:
        """Microseconds over T ``steps`` of ``batch`` B samples, in numbers that are stored in ``itemsize`` bytes."""
        rows = steps * batch
        # float64: half of float32's rate on the data-centre chips
        rate = device.fp16 if itemsize == 2 else device.fp32 * 4 / itemsize
        work = rows * self.flops / (rate * 1e6 * ASSUMPTIONS["products"].value)
        moved = rows * self.size(itemsize) / (device.memory * 1e3 * ASSUMPTIONS["streams"].value)
        return work + moved + self.launches * ASSUMPTIONS["launch"].value


def whole(program: Program, sizes: Mapping[str, int]) -> Whole:
    """What a program does outside its loops, at these sizes. Raises KeyError where one is missing."""
    return _counted(program, [r for r in program.regions if r.kind != "steps"], sizes)


def stepwise(program: Program, sizes: Mapping[str, int]) -> Whole:
    """The same of its loops, as launches of their own do it. Raises KeyError where a size is missing."""
    return _counted(program, [r for r in program.regions if r.kind == "steps"], sizes)


def _counted(program: Program, regions: Sequence[Region], sizes: Mapping[str, int]) -> Whole:
    stages = [stage for region in regions for stage in region.stages]
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
