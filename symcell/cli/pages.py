"""Reports of more than one cell: in a terminal, as a page, as Markdown or as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from symcell.cli.derive import STDOUT, chosen
from symcell.cli.terminal import console, visible

if TYPE_CHECKING:
    from symcell.diff.text import Line

FORMATS = ("text", "html", "markdown")
SUFFIXES = {".txt": "text", ".html": "html", ".htm": "html", ".md": "markdown"}
STYLES = {"": "", "head": "bold", "added": "green", "removed": "red", "changed": "yellow", "soft": "dim"}
"""How a line is coloured, by what it says."""

form = click.option("--format", "-f", "style", type=click.Choice(FORMATS),
                    help="The default follows the suffix of --out, else it is text.")  # fmt: skip
out = click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), metavar="FILE",
                   help="Write to this file (.txt, .html or .md); - is standard output.")  # fmt: skip


def check(style: str | None, out: Path | None, as_json: bool = False) -> None:
    """Refuse what contradicts itself before anything is computed."""
    if as_json and (style or out not in (None, STDOUT)):
        raise click.UsageError("--json prints to standard output: expected neither --format nor --out beside it")
    chosen(style, out, SUFFIXES)


def coloured(lines: Iterable[Line]) -> None:
    """Lines as long as they are; colours on a terminal alone."""
    from rich.text import Text

    to = console()
    for line in lines:
        to.print(Text(visible(line.text), style=STYLES[line.style]), soft_wrap=True)


def deliver(style: str | None, out: Path | None, lines: Iterable[Line], forms: Mapping[str, Callable[[], str]]) -> None:
    """Show ``lines``, or write the form that is asked for."""
    kind = chosen(style, out, SUFFIXES)
    if out in (None, STDOUT):
        if kind == "text":
            coloured(lines)
        else:
            click.echo(forms[kind](), nl=False)
        return
    from symcell.generate import files

    assert out is not None
    click.echo(f"{'written' if files.write_if_changed(out, forms[kind]().encode()) else 'unchanged'}: {out}")
