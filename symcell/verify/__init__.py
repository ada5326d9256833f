"""Does an emitted cell compute what its equations say? Several witnesses that share as little as possible.

The reference interprets the graph and its adjoint at 50 digits. Against it stand: every target in float64 and float32,
the targets against each other, complex-step derivatives of the forward sweep alone, central differences of the kernels
themselves, and PyTorch: autograd over the equations as written, and its own modules where one is the same cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symcell.cell import Cell
from symcell.verify.report import CellReport, Column, Report, Row

__all__ = ["CellReport", "Column", "Report", "Row", "verify"]


def verify(cells: Sequence[Cell], *, progress: Callable[[str], None] | None = None) -> Report:
    """Verify cells one by one; ``progress`` is told each one's name before it starts."""
    from symcell.verify.cell import verify_cell

    reports = []
    for number, cell in enumerate(cells, 1):
        if progress is not None:
            progress(f"{cell.name} ({number} of {len(cells)})")
        reports.append(verify_cell(cell))
    return Report(tuple(reports))
