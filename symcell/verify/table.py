"""A report as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from symcell.verify.report import CellReport, Column, Report, Row


def render(report: Report, width: int) -> RenderableType:
    """One table per cell and its verdict, then what the columns mean."""
    parts: list[RenderableType] = []
    for cell in report.cells:
        parts += [_table(cell, columns, width) for columns in _bands(cell, width)]
        parts += [Text(f"{cell.cell}: {cell.summary()}", style="green" if cell.ok else "bold red")]
        parts += [Text(f"  {note}", style="dim") for note in cell.notes]
        parts.append(Text())
    legend = {" ".join(c.head): c for cell in report.cells for c in cell.columns}
    parts.append(_legend(legend, width))
    good = sum(cell.ok for cell in report.cells)
    verdict = f"{good} of {len(report.cells)} cells verified"
    return Group(*parts, Text(verdict, style="bold green" if report.ok else "bold red"))


def _bands(cell: CellReport, width: int) -> list[list[Column]]:
    """The columns in groups, each as wide as a table may be beside the tensors' names."""
    names = max((len(row.tensor) for row in cell.rows), default=0)
    bands: list[list[Column]] = [[]]
    free = width - max(names, 6) - 3
    left = free
    for column in _made(cell):
        entries = (_entry(row, column, None).cell_len for row in cell.rows)
        wide = max(*(len(line) for line in column.head), *entries, 5) + 3
        if wide > left and bands[-1]:
            bands.append([])
            left = free
        bands[-1].append(column)
        left -= wide
    return bands


def _made(cell: CellReport) -> list[Column]:
    """The comparisons that were made; the legend says what was left out."""
    return [column for column in cell.columns if not column.missing]


def _table(cell: CellReport, columns: list[Column], width: int) -> Table:
    title = cell.cell if columns == _made(cell)[: len(columns)] else None
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1)
    )
    table.add_column("\ntensor", no_wrap=True, min_width=6)
    for column in columns:
        table.add_column("\n".join(column.head), justify="right", no_wrap=True, min_width=5 if width >= 60 else None)
    worst = {c.title: cell.worst(c) for c in cell.columns}
    for row in cell.rows:
        table.add_row(row.tensor, *(_entry(row, column, worst[column.title]) for column in columns))
    return table


def _legend(columns: Mapping[str, Column], width: int) -> Table:
    """What each column compares and, where there is room, the error that passes, and why that much; or why it was left
    out."""
    table = Table.grid(padding=(0, 2))
    for head, column in columns.items():
        passes = f"at most {column.tolerance.text()}: {column.tolerance.reason}"
        if width >= 100:
            texts = [head, column.title, f"left out: {column.missing}" if column.missing else passes]
        else:
            texts = [head, f"left out: {column.missing}" if column.missing else column.title]
        table.add_row(*(Text(text, style="dim") for text in texts))
    return table


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
