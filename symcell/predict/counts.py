"""What runs over a whole sequence at once, as numbers at given sizes, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy

from symcell.predict.devices import Device
from symcell.program.costs import cost
from symcell.program.model import Program


@dataclass(frozen=True)
class Assumption:
    """A number, and what it stands for."""

    value: float
    text: str


ASSUMPTIONS: Mapping[str, Assumption] = {
    "launch": Assumption(20, "µs of the host's for a launch over a whole sequence"),
    "products": Assumption(0.8, "of the float32 rate that products over a whole sequence reach"),
    "streams": Assumption(0.85, "of the memory's rate that kernels over a whole sequence reach"),
}


@dataclass(frozen=True)
class Whole:
    """What a program does outside its loops over time: ``flops`` and ``numbers`` moved, for one step and sample, in so
    many ``launches``."""

    flops: int
    numbers: int
    launches: int

    def time(self, device: Device, *, steps: int, batch: int, itemsize: int) -> float:
        """Microseconds over T ``steps`` of ``batch`` B samples, in numbers of ``itemsize`` bytes."""
        rows = steps * batch
        # float64: half of float32's rate on the data-centre chips
        work = rows * self.flops / (device.fp32 * 1e6 * (4 / itemsize) * ASSUMPTIONS["products"].value)
        moved = rows * self.numbers * itemsize / (device.memory * 1e3 * ASSUMPTIONS["streams"].value)
        return work + moved + self.launches * ASSUMPTIONS["launch"].value


def whole(program: Program, sizes: Mapping[str, int]) -> Whole:
    """What a program does outside its loops, at these sizes. Raises KeyError where one is missing."""
    costs = [cost(program, s) for region in program.regions if region.kind != "steps" for s in region.stages]
    flops, numbers = (sum(_number(formula, sizes) for formula in formulas)
                      for formulas in ((c.flops for c in costs), (c.numbers for c in costs)))  # fmt: skip
    return Whole(flops, numbers, sum(c.launches for c in costs))


def _number(formula: sympy.Expr, sizes: Mapping[str, int]) -> int:
    return int(formula.subs({symbol: sizes[symbol.name] for symbol in formula.free_symbols}))
