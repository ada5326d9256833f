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
from symcell.pipeline import TARGETS
from symcell.verify.report import CellReport, Column, Report, Row

__all__ = ["CellReport", "Column", "Report", "Row", "verify"]

Subject = Cell | str | os.PathLike[str]


def verify(
    cells: Subject | Sequence[Subject],
    *,
    targets: Sequence[str] = (),
    seed: int = 0,
    dtypes: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Verify a cell, or several one by one; ``print(report)`` says what was found, ``report.ok`` whether all is well.

    A cell is a :class:`symcell.Cell`, a name or the path of a ``.cell`` file, of which freshly emitted modules are
    tried; or the path of an emitted module, ``NAME.py``, which is tried itself, as it stands, hand-edited or not: it is
    **imported**, so its code runs; its second derivatives are tried too, if it has any. ``targets``: those that are
    tried, every one where none is named. ``seed``, from 0: of the random numbers. ``dtypes``: types of 16 bits that
    are tried too, ``float16`` and ``bfloat16``, at numbers that these hold exactly. ``progress`` is told each one's
    name before it starts. Raises CellError for what is no cell, for a file that cannot be read, holds no equations,
    does not import or is of another target, and where no target that is named can run here, or bfloat16's package is
    missing; ValueError for a target or type that is unknown and a negative seed.
    """
    from symcell.verify.cell import verify_cell
    from symcell.verify.halves import checked
    from symcell.verify.trial import subject

    if unknown := [target for target in targets if target not in TARGETS]:
        raise ValueError(f"targets: expected some of {', '.join(TARGETS)}, got {unknown[0]!r}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    halves = checked(dtypes)
    several = [cells] if isinstance(cells, Cell | str | os.PathLike) else list(cells)
    subjects = [subject(one, targets) for one in several]
    reports = []
    for number, one in enumerate(subjects, 1):
        if progress is not None:
            progress(f"{one.title} ({number} of {len(subjects)})")
        reports.append(verify_cell(one, seed, halves))
    return Report(tuple(reports))
