"""A report as tables for the terminal: nothing is cut, columns go on in another table where they are too wide."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from symcell.verify.report import CellReport, Column, Report, Row

GAP = 2
"""Between columns."""
NAMES = 6
"""Columns of a terminal that the tensors' names take at least."""
ENTRY = 5
"""That an error takes at least: ``3e-16``."""
ROOM = 40
"""Below so many columns nothing is readable, and lines may wrap."""


def render(report: Report, width: int, legend: bool = False) -> RenderableType:
    """A table for each cell, or several where one is too wide, and its verdict; then, if asked for, what the columns
    mean."""
    width = max(width, ROOM)
    parts: list[RenderableType] = []
    for cell in report.cells:
        parts.append(Text(cell.cell, style="bold"))
        parts += [table for columns in _bands(cell, width) for table in (Text(), _table(cell, columns))]
        parts += [Text(), Text(f"{cell.cell}: {cell.summary()}", style="green" if cell.ok else "bold red")]
        parts += [Padding(Text(note, style="dim"), (0, 0, 0, 2)) for note in _notes(cell)]
        parts.append(Text())
    if legend:
        parts += [*_legend(report), Text()]
    good = sum(cell.ok for cell in report.cells)
    verdict = f"{good} of {len(report.cells)} cells verified"
    return Group(*parts, Text(verdict, style="bold green" if report.ok else "bold red"))


def _bands(cell: CellReport, width: int) -> list[list[Column]]:
    """The columns in as few groups as fit beside the tensors' names, and of about one width."""
    free = width - max([NAMES, *(len(row.tensor) for row in cell.rows)])
    wide = {column.title: GAP + _wide(cell, column) for column in _made(cell)}
    bands = _packed(cell, wide, free)
    while len(narrower := _packed(cell, wide, free - 1)) == len(bands) and free > max(wide.values(), default=0):
        bands, free = narrower, free - 1
    return bands


def _packed(cell: CellReport, wide: dict[str, int], free: int) -> list[list[Column]]:
    """The columns in their order, one group after another filled."""
    bands: list[list[Column]] = [[]]
    for column in _made(cell):
        if bands[-1] and sum(wide[c.title] for c in (*bands[-1], column)) > free:
            bands.append([])
        bands[-1].append(column)
    return bands


def _wide(cell: CellReport, column: Column) -> int:
    return max(ENTRY, *map(len, column.head), *(_entry(row, column, None).cell_len for row in cell.rows))


def _made(cell: CellReport) -> list[Column]:
    """The comparisons that were made; the notes say what was left out."""
    return [column for column in cell.columns if not column.missing]


def _notes(cell: CellReport) -> list[str]:
    """What else to know of a cell: its notes, and the witnesses that could not be asked."""
    missing: dict[str, list[str]] = {}
    for column in cell.columns:
        if column.missing:
            missing.setdefault(column.missing, []).append(column.name)
    return [*cell.notes, *(f"left out: {', '.join(names)} ({why})" for why, names in missing.items())]


def _table(cell: CellReport, columns: list[Column]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), collapse_padding=True)
    table.add_column("\ntensor", no_wrap=True, min_width=NAMES)
    for column in columns:
        table.add_column("\n".join(column.head), justify="right", no_wrap=True, min_width=ENTRY)
    worst = {c.title: cell.worst(c) for c in columns}
    for row in cell.rows:
        table.add_row(row.tensor, *(_entry(row, column, worst[column.title]) for column in columns))
    return table


def _legend(report: Report) -> list[RenderableType]:
    """What each column compares and the error that passes, and why that much; or why it was left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for name, column in {c.name: c for cell in report.cells for c in cell.columns}.items():
        passes = f"at most {column.tolerance.text()}: {column.tolerance.reason}"
        said = f"left out: {column.missing}" if column.missing else passes
        table.add_row(Text(name, style="dim"), Text(f"{column.title}\n{said}", style="dim"))
    heading = "Each number is the largest difference over the tensor's largest entry; ULP are those of the type."
    return [Text(heading, style="dim"), Text(), table]


def _entry(row: Row, column: Column, worst: float | None) -> Text:
    if column.title not in row.errors:
        return Text("")
    value = row.errors[column.title]
    if not value <= column.tolerance.limit:
        return Text(f"{number(value, column)} !", style="bold red")
    return Text(number(value, column), style="bold" if value == worst and value else "")


def number(value: float, column: Column) -> str:
    """An error in its column's unit: ``3e-16``, or ``1.2`` ULP."""
    return column.tolerance.text(value).removesuffix(" ULP") if value else "0"
