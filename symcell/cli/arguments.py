"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from symcell import shipped

if TYPE_CHECKING:
    from symcell.cell import Cell


def _sizes(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """``D=8`` and ``H=64`` as a dict."""
    found: dict[str, int] = {}
    for value in values:
        name, _, number = (part.strip() for part in value.partition("="))
        if not (number.isascii() and number.isdecimal() and len(number) <= 12 and int(number)):
            raise click.BadParameter(f"{value!r}: expected a size and a positive integer, such as H=64", context, param)
        if found.setdefault(name, int(number)) != int(number):
            raise click.BadParameter(f"{name} is given twice", context, param)
    return found


def complete_cell(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell may complete a CELL to: files of cells here and shipped cells, or a path."""
    if "/" in incomplete or os.sep in incomplete or "." in incomplete:
        return [CompletionItem(incomplete, type="file")]
    local = sorted(path.stem for path in Path().glob("*.cell") if path.is_file())
    found = dict.fromkeys((*local, *shipped.names()))
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def comma_sizes(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """``T=256,B=16`` as a dict."""
    return _sizes(context, param, tuple(part for value in values for part in value.split(",")))


def _targets(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """The targets in their usual order, all of them where none is given."""
    if context.resilient_parsing:  # a shell completes, and waits
        return values
    from symcell.pipeline import TARGETS

    for value in values:
        if value not in TARGETS:
            raise click.BadParameter(f"{value!r} is none of {', '.join(TARGETS)}", context, param)
    return tuple(t for t in TARGETS if t in values or not values)


cell = click.argument("cell", metavar="CELL", shell_complete=complete_cell)
cells = click.argument("cells", metavar="[CELL]...", nargs=-1, shell_complete=complete_cell)
sizes = click.option("--size", "sizes", metavar="NAME=N", multiple=True, callback=_sizes,
                     help="Count the parameters at this size, such as --size H=64 (default: 256).")  # fmt: skip
targets = click.option("--target", "targets", metavar="NAME", multiple=True, callback=_targets,
                       help="numpy, cupy, ...; may be repeated (default: every target).")  # fmt: skip
json = click.option("--json", "as_json", is_flag=True, help="Print data for programs in place of text.")
DIRECTORY = click.Path(path_type=Path, file_okay=False)


def load(argument: str) -> Cell:
    """The cell of a CELL argument. Raises CellError."""
    from symcell.generate import find

    return find(argument).cell
