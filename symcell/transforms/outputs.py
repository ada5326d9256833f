"""A cell that shows another of its signals."""

from __future__ import annotations

from symcell.cell import Cell, CellError
from symcell.language import declarations_of, from_equations


def with_output(cell: Cell, signal: str) -> Cell:
    """The cell with ``signal`` as its output; itself where that is its output already. Raises CellError for what is no
    signal of the cell."""
    if signal == cell.output:
        return cell
    if signal not in cell.signals:
        raise CellError(f"{cell.name} has no signal {signal!r}: expected one of {', '.join(cell.signals)}")
    return from_equations(
        f"{cell.name}_{signal}",
        cell.equations,
        declarations={**declarations_of(cell), "output": signal},
        labels=cell.labels,
        title=cell.title,
    )
