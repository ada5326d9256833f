"""What a step costs a device in arithmetic and on the wire, counted from the plan of a cell.

    python -m examples.distributed.cost                    # the table of docs/pytorch.md
    python -m examples.distributed.cost --cell gru --batch 8

An all-reduce by a ring of n devices sends 2 (n - 1)/n of the gradient's bytes from each, all but twice the gradient
where there are many: that bound is shown. FLOPs are those of forward and backward, on the device's own samples.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import symcell
from symcell.program.report import parameter_count, rows

BYTES = 4
"""Of a number on the wire: float32."""

SIZES = (128, 256, 512, 1024, 2048)


@dataclass(frozen=True)
class Link:
    """Devices of a kind and what connects them: ``flops`` a second that a device's products reach, ``bytes`` a second
    that leave it."""

    name: str
    flops: float
    bytes: float


LINKS = (
    Link("two cores, 1 Gbit/s Ethernet", 0.1e12, 0.125e9),
    Link("16 cores, 10 Gbit/s Ethernet", 1e12, 1.25e9),
    Link("GPU at 50 TFLOP/s, 100 Gbit/s network", 50e12, 12.5e9),
    Link("GPU at 50 TFLOP/s, PCIe 5 × 16", 50e12, 50e9),
    Link("GPU at 50 TFLOP/s, NVLink", 50e12, 400e9),
)
"""Round numbers: what matters is their ratio."""


@dataclass(frozen=True)
class Step:
    """One update of a layer: ``steps`` T of ``batch`` B samples a device, every size of the cell ``hidden``."""

    cell: str
    steps: int
    batch: int
    hidden: int

    @property
    def parameters(self) -> int:
        return int(self._value(parameter_count(symcell.load(self.cell))))

    @property
    def flops(self) -> int:
        """Of a device, forward and backward."""
        programs = symcell.plan(self.cell, "c").programs.values()
        each = sum(row.cost.flops for program in programs for row in rows(program))
        return int(self._value(each)) * self.steps * self.batch

    @property
    def bytes(self) -> int:
        """That a device sends: almost twice its gradient."""
        return 2 * BYTES * self.parameters

    def _value(self, formula: Any) -> Any:
        return formula.subs(dict.fromkeys(formula.free_symbols, self.hidden))

    def samples(self, link: Link) -> float:
        """How many steps and samples, T · B, a device needs so that its arithmetic takes as long as the wire."""
        return self.bytes / link.bytes * link.flops / (self.flops / (self.steps * self.batch))


def table(cell: str, steps: int, batch: int) -> str:
    """Two Markdown tables: what a step costs by the number of units, and when the wire is no bottleneck."""
    found = [Step(cell, steps, batch, hidden) for hidden in SIZES]
    lines = [
        f"| {cell}, T = {steps}, B = {batch} a device | parameters | GFLOPs a step | MB a step | FLOPs a byte |",
        "| ---: | ---: | ---: | ---: | ---: |",
        *(f"| H = {s.hidden} | {s.parameters:,} | {s.flops / 1e9:,.1f} | {s.bytes / 1e6:,.1f} | "
          f"{s.flops / s.bytes:,.0f} |" for s in found),
        "",
        "| devices, and what connects them | FLOPs in a byte's time | T · B a device, at least |",
        "| --- | ---: | ---: |",
        *(f"| {link.name} | {link.flops / link.bytes:,.0f} | {_round(found[1].samples(link)):,} |" for link in LINKS),
    ]  # fmt: skip
    return "\n".join(lines)


def _round(value: float) -> int:
    """Two digits."""
    return int(float(f"{value:.2g}"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.distributed.cost", description="What a step costs.")
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    asked = parser.parse_args()
    print(table(asked.cell, asked.steps, asked.batch))


if __name__ == "__main__":
    main()
