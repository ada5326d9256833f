"""A benchmark as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from symcell.bench.contenders import COMPILED, LOOP, MODULE, PRODUCTS
from symcell.bench.report import TITLES, Report, Row

HEADS = {MODULE: "torch\nnn", LOOP: "torch\nloop", COMPILED: "torch\ncompile", PRODUCTS: "\nfloor"}
RATIOS = ((MODULE, "to\nnn"), (PRODUCTS, "to\nfloor"))
LEGEND = (
    "T, B, D, H: steps, samples, inputs, units; float32, medians of several rounds",
    "torch loop: the equations as they stand; floor: matrix products alone, by BLAS",
    "to nn, to floor: the best emitted module in terms of these",
)


def render(report: Report) -> RenderableType:
    """One table for each cell and measure, at most 80 columns wide; what the columns mean, and what was left out."""
    parts: list[RenderableType] = []
    for (cell, measure), rows in groupby(report.rows, key=lambda row: (row.cell, row.measure)):
        found = list(rows)
        parts += [Text(f"{cell}: {TITLES[measure]}, {found[0].unit}", style="bold"), _table(found), Text()]
    machine = report.machine
    where = ", ".join([machine["cpu"], f"{machine['cores']} cores", *machine["vector"]])
    notes = (f"note: {note}" for note in report.notes)
    return Group(*parts, *(Text(line, style="dim") for line in (*LEGEND, where, *notes)))


def _table(rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    ratios = [(over, head) for over, head in RATIOS if any(row.ratio(over) for row in rows)]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\nT, B, D, H", no_wrap=True)
    for name in names:
        table.add_column(HEADS.get(name, f"\n{name}"), justify="right", no_wrap=True, min_width=6)
    for _, head in ratios:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        best = row.ours
        values = (Text(number(row.values.get(name)), style="bold" if name == best else "") for name in names)
        table.add_row(",".join(map(str, row.sizes)), *values, *(_ratio(row.ratio(over)) for over, _ in ratios))
    return table


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    if value is None:
        return "–"
    whole = len(str(int(value))) if value >= 1 else 0
    return f"{value:.{max(0, 3 - whole)}f}"


def _ratio(value: float | None) -> Text:
    return Text("–" if value is None else f"{value:.2f}", style="green" if value is not None and value < 1 else "")
