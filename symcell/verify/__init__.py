"""Does an emitted cell compute what its equations say? Several witnesses that share as little as possible.

The reference interprets the graph and its adjoint at 50 digits. Against it stand: every target in float64 and float32,
the targets against each other, each target's program interpreted, complex-step derivatives of the forward sweep alone,
central differences of the kernels themselves, and PyTorch: autograd over the equations as written, and its own modules
where one is the same cell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from symcell.cell import Cell
from symcell.verify.report import CellReport, Column, Report, Row

__all__ = ["CellReport", "Column", "Report", "Row", "verify"]

Subject = Cell | str | os.PathLike[str]


def verify(cells: Subject | Sequence[Subject], *, progress: Callable[[str], None] | None = None) -> Report:
    """Verify a cell, or several one by one; ``print(report)`` says what was found, ``report.ok`` whether all is well.

    A cell is a :class:`symcell.Cell`, a name or the path of a ``.cell`` file, of which freshly emitted modules are
    tried; or the path of an emitted module, ``NAME.py``, which is tried itself, as it stands, hand-edited or not: it is
    **imported**, so its code runs; its second derivatives are tried too, if it has any. ``progress`` is told each one's
    name before it starts. Raises CellError for what is no cell and for a file that cannot be read, holds no equations
    or does not import.
    """
    from symcell.verify.cell import verify_cell
    from symcell.verify.trial import subject

    several = [cells] if isinstance(cells, Cell | str | os.PathLike) else list(cells)
    subjects = [subject(one) for one in several]
    reports = []
    for number, one in enumerate(subjects, 1):
        if progress is not None:
            progress(f"{one.title} ({number} of {len(subjects)})")
        reports.append(verify_cell(one))
    return Report(tuple(reports))
