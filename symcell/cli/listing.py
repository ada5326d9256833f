"""``symcell list``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from symcell.cli.terminal import console, print_table

if TYPE_CHECKING:
    from symcell.cell import Cell

ROOM = 110
"""From how many columns on there is room for formulas."""


@click.command("list")
def list_() -> None:
    """List the shipped cells and the .cell files here."""
    from symcell.cell import CellError
    from symcell.language import load, names

    heads = ["cell", "title", "states", "sizes", "parameters", "at 256"]
    rows = []
    local = sorted(path for path in Path().glob("*.cell") if path.is_file())
    for path in local:
        try:
            rows.append(_row(path.name, load(path)))
        except CellError as error:
            rows.append([path.name, f"(a mistake: {str(error).splitlines()[0]})", "", "", "", ""])
    hidden = {path.stem for path in local}
    rows += [_row(name, load(name)) for name in names() if name not in hidden]
    if console().width < ROOM:
        heads, rows = _without(heads, rows, "parameters")
    print_table(heads, rows, right=("at 256",), cut="title")
    click.echo("at 256: how many numbers the parameters are where every size is 256")


def _row(name: str, cell: Cell) -> list[str]:
    from symcell.program.report import formula, nominal, parameter_count

    count = parameter_count(cell)
    states = ", ".join(s if k == 1 else f"{s} ({k} lags)" for s, k in cell.states.items())
    return [name, cell.title, states, ", ".join(cell.sizes), formula(count), nominal(count)]


def _without(heads: list[str], rows: list[list[str]], head: str) -> tuple[list[str], list[list[str]]]:
    k = heads.index(head)
    return [*heads[:k], *heads[k + 1 :]], [[*row[:k], *row[k + 1 :]] for row in rows]
