"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from symcell.cell import Cell


class CellArgument(click.ParamType):
    """A CELL as text: it is read when the command runs, and what is wrong with it is told in the language's own words."""

    name = "cell"


class SizeOption(click.ParamType):
    """``D=8``: a size's name and a positive integer."""

    name = "NAME=N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        name, equals, number = str(value).partition("=")
        if not equals or not number.isdecimal() or not 0 < int(number[:20]) < 10**12:
            self.fail(f"{value!r}: expected a size's name and a positive integer, such as H=64", param, ctx)
        return name.strip(), int(number)


class TargetOption(click.ParamType):
    """One of the targets, which are looked up when one is given."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from symcell.pipeline import TARGETS

        if value not in TARGETS:
            self.fail(f"{value!r} is none of {', '.join(TARGETS)}", param, ctx)
        return str(value)


cell = click.argument("cell", metavar="CELL", type=CellArgument())
cells = click.argument("cells", metavar="[CELL]...", nargs=-1, type=CellArgument())
DIRECTORY = click.Path(path_type=Path, file_okay=False)


def load(argument: str) -> Cell:
    """The cell of a CELL argument. Raises CellError."""
    from symcell.generate import find

    return find(argument).cell
