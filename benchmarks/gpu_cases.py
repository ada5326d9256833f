"""What is measured on a GPU, the most telling first: cells at sizes, until the time is up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import symcell
from symcell.bench.work import Work, sized

LARGE = 2048
"""Units from which on launches are measured beside graphs of them: not all sizes fit on chip."""


@dataclass(frozen=True)
class Case:
    """A cell over ``steps`` T of ``batch`` B samples, with D inputs and H units. ``loop``: beside a PyTorch loop too,
    which takes a launch for every operation of every step; ``closely``: symcell's own by every strategy and in every
    precision, as are those of LARGE by launches and graphs."""

    cell: str
    steps: int
    batch: int
    inputs: int
    hidden: int
    loop: bool = False
    closely: bool = False

    @property
    def ways(self) -> tuple[tuple[str, str], ...]:
        """How symcell's modules run where nothing else is asked for: strategies and precisions."""
        if not (self.closely or self.hidden >= LARGE):
            return ("auto", "float32"), ("auto", "float16")
        several = ("auto", "plain", "graph", *(("persistent",) if self.closely else ()))
        more = ("tf32", "float16", "bfloat16") if self.closely else ("float16",)
        return (*((strategy, "float32") for strategy in several), *(("auto", precision) for precision in more))

    def __str__(self) -> str:
        return f"{self.cell} T={self.steps} B={self.batch} D={self.inputs} H={self.hidden}"

    def work(self) -> Work:
        """The same with a number for each of the cell's sizes. Raises CellError for what is no cell."""
        cell = symcell.load(self.cell)
        return Work(cell, self.steps, self.batch, sized(cell, self.inputs, self.hidden))


def square(cell: str, steps: int, batch: int, units: int, *, loop: bool = False, closely: bool = False) -> Case:
    """As many inputs as units."""
    return Case(cell, steps, batch, units, units, loop, closely)


BATCHES = (1, 16, 64, 256)
UNITS = (128, 256, 512, 768, 1024, 2048)
FIRST = (
    square("lstm", 256, 16, 128, loop=True),
    square("lstm", 256, 16, 512, loop=True, closely=True),
    square("lstm", 256, 1, 1024),
    square("lstm", 256, 16, 1024),
    square("lstm", 256, 64, 1024, closely=True),
    square("lstm", 1024, 16, 768),
    square("gru", 256, 16, 512, loop=True, closely=True),
    square("gru", 256, 16, 1024),
    square("rnn", 256, 16, 512, loop=True),
)
"""Where it is decided whether a loop of symcell's is a good one."""
OWN = tuple(
    square(cell, 256, 16, units, loop=True)
    for units in (512, 1024)
    for cell in ("layernorm_lstm", "peephole_lstm", "gru_original", "highway")
)
"""Cells that no library has."""
MATRIX = tuple(square(cell, 256, 16, units, loop=True) for units in (64, 128) for cell in ("mlstm", "deltanet"))
"""Cells whose state is a matrix."""
COMPILED = square("lstm", 256, 16, 512)
"""Where torch.compile is tried: it takes long."""
QUICK = (
    square("lstm", 64, 16, 128, loop=True),
    square("lstm", 256, 16, 512, closely=True),
    square("gru", 256, 16, 512),
    square("layernorm_lstm", 64, 16, 128, loop=True),
    square("mlstm", 64, 8, 64, loop=True),
)


def grid(cell: str, steps: int, units: tuple[int, ...] = UNITS, batches: tuple[int, ...] = BATCHES) -> Iterator[Case]:
    """All pairs of units and batches, small ones first."""
    for hidden, batch in sorted(product(units, batches), key=lambda pair: pair[0] * pair[1]):
        yield square(cell, steps, batch, hidden)


def whole() -> tuple[Case, ...]:
    """Everything, in the order of what it tells."""
    few = (128, 512, 1024)
    several = (
        *FIRST,
        *OWN,
        *MATRIX,
        *grid("lstm", 256),
        *grid("gru", 256, few),
        *grid("rnn", 256, few),
        *grid("lstm", 1024, few, (1, 16, 64)),
        *grid("gru", 1024, few, (1, 16, 64)),
    )
    seen: dict[tuple[object, ...], Case] = {}
    for case in several:
        seen.setdefault((case.cell, case.steps, case.batch, case.inputs, case.hidden), case)
    return tuple(seen.values())
