"""``symcell derive``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import click

from symcell.cli import arguments

FORMATS = ("text", "latex", "markdown")
SUFFIXES = {".tex": "latex", ".md": "markdown"}


@click.command()
@arguments.cell
@click.option("--format", "-f", "style", type=click.Choice(FORMATS),
              help="The default follows the suffix of --out, else it is text.")  # fmt: skip
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
def derive(cell: str, style: str | None, out: Path | None) -> None:
    """Derive back-propagation through time, every formula numbered."""
    found = arguments.load(cell)
    from symcell.derivation import derive as derive_
    from symcell.generate import files

    style = style or SUFFIXES.get(out.suffix.lower() if out else "", "text")
    text = derive_(found).render(cast(Literal["text", "latex", "markdown"], style))
    if out is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{'written' if files.write_if_changed(out, text.encode()) else 'unchanged'}: {out}")
