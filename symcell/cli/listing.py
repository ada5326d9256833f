"""``symcell list``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from symcell.cli import arguments
from symcell.cli.terminal import console, print_json, print_table

if TYPE_CHECKING:
    from symcell.cell import Cell

ROOM = 110
"""From how many columns on there is room for formulas."""
HEADS = ("cell", "title", "states", "sizes", "parameters", "at 256")


@click.command("list")
@arguments.json
def list_(as_json: bool) -> None:
    """List the shipped cells and the .cell files here."""
    from symcell.cell import CellError
    from symcell.language import load, names

    found: dict[str, Cell | CellError] = {}
    for path in sorted(path for path in Path().glob("*.cell") if path.is_file()):
        try:
            found[path.name] = load(path)
        except CellError as error:
            found[path.name] = error
    hidden = {Path(file).stem for file in found}
    found |= {name: load(name) for name in names() if name not in hidden}
    if as_json:
        print_json({"cells": [_data(name, cell) for name, cell in found.items()]})
        return
    rows = [_row(name, cell) for name, cell in found.items()]
    wide = console().width >= ROOM
    heads = [head for head in HEADS if wide or head != "parameters"]
    print_table(heads, [[row[head] for head in heads] for row in rows], right=("at 256",), wrap="title")
    click.echo("at 256: how many numbers the parameters are where every size is 256")


def _row(name: str, cell: Cell | Exception) -> dict[str, str]:
    from symcell.program.report import formula, nominal, parameter_count

    if isinstance(cell, Exception):
        return {**dict.fromkeys(HEADS, ""), "cell": name, "title": f"(a mistake: {_first(cell)})"}
    count = parameter_count(cell)
    states = ", ".join(s if k == 1 else f"{s} ({k} lags)" for s, k in cell.states.items())
    texts = (name, cell.title, states, ", ".join(cell.sizes), formula(count), nominal(count))
    return dict(zip(HEADS, texts, strict=True))


def _data(name: str, cell: Cell | Exception) -> dict[str, Any]:
    """A row for programs; a file that has a mistake has it as ``error``."""
    from symcell.program.data import amount
    from symcell.program.report import NOMINAL, parameter_count

    file = name if name.endswith(".cell") else None
    if isinstance(cell, Exception):
        return {"name": Path(name).stem, "file": file, "error": str(cell)}
    return {
        "name": cell.name,
        "file": file,
        "title": cell.title,
        "states": dict(cell.states),
        "sizes": list(cell.sizes),
        "at": dict.fromkeys(cell.sizes, NOMINAL),
        "count": amount(parameter_count(cell), dict.fromkeys(cell.sizes, NOMINAL)),
    }


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
