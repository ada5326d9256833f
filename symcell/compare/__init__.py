"""Cells side by side: equations, states, gates, parameters, cost, time and memory, and the ways through a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as File

from symcell.cell import Cell
from symcell.compare.gates import Gate, gates
from symcell.compare.measuring import measured
from symcell.compare.model import Comparison, Equation, GateUse, Measured, Path, Profile, Shown, Work
from symcell.compare.profiles import profile
from symcell.language import as_cell

__all__ = ["Comparison", "Equation", "Gate", "GateUse", "Measured", "Path", "Profile", "Shown", "Work", "compare",
           "gates"]  # fmt: skip

WORK = Work("numpy", 64, 16, 64, 64)
"""What is measured where nothing else is asked for: a fraction of a second for each cell."""


def compare(
    *cells: Cell | str | File,
    target: str = WORK.target,
    measure: bool | Work = False,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Comparison:
    """Cells side by side; ``print`` shows them.

    ``target``: whose costs they are. ``measure``: run them too, True at a modest size, or what is said. ``progress`` is
    told whose turn it is, how many are done and how many there are. Raises CellError for what is no cell, ValueError
    for none at all and for a target that is unknown or, where it is measured, cannot run on the CPU.
    """
    if not cells:
        raise ValueError("cells: expected at least one")
    found = [as_cell(cell) for cell in cells]
    profiles = tuple(profile(cell, target) for cell in found)
    if measure is False:
        return Comparison(profiles, target)
    work = replace(WORK, target=target) if measure is True else measure
    if work.target == "cupy":
        raise ValueError("measure: expected a target that runs on the CPU, numpy or c, got 'cupy'")
    times, notes = measured(found, work, progress=progress)
    return Comparison(tuple(replace(p, measured=m) for p, m in zip(profiles, times, strict=True)), target, work, notes)
