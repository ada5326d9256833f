"""``symcell source``."""

from __future__ import annotations

from pathlib import Path

import click

from symcell.cli import arguments


@click.command(short_help="Print one module that stands alone, or write it to a file.")
@arguments.cell
@click.option("--target", metavar="NAME", default="numpy", help="numpy, c or cupy (default: numpy).")
@click.option("--order", type=click.IntRange(1, 2), default=1, help="2 for second derivatives: jvp and second.")
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
def source(cell: str, target: str, order: int, out: Path | None) -> None:
    """Print one module that stands alone, or write it to a file of any name."""
    from symcell.generate import files
    from symcell.pipeline import TARGETS, source as source_

    if target not in TARGETS:
        raise click.BadParameter(f"{target!r} is none of {', '.join(TARGETS)}", param_hint="--target")
    text = source_(arguments.load(cell), target, order=order)
    if out is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{'written' if files.write_if_changed(out, text.encode()) else 'unchanged'}: {out}")
