"""``symcell derive``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from symcell.cli import arguments

if TYPE_CHECKING:
    from symcell.derivation import Derivation, Steps
    from symcell.derivation.forms import Format

FORMATS = ("text", "html", "latex", "markdown", "pdf")
SUFFIXES = {".txt": "text", ".html": "html", ".htm": "html", ".tex": "latex", ".md": "markdown", ".pdf": "pdf"}
STDOUT = Path("-")
WIDEST = 112
"""Wider lines are not read well."""


def chosen(style: str | None, out: Path | None, suffixes: Mapping[str, str] = SUFFIXES) -> str:
    """The form, by ``--format`` or by the suffix of ``--out``; they must not contradict each other."""
    if out is None or out == STDOUT:
        return style or "text"
    meant = suffixes.get(out.suffix.lower())
    if style is None and meant is None:
        raise click.BadParameter(f"{out}: expected a name that ends in {', '.join(suffixes)}, or --format with it",
                                 param_hint="--out")  # fmt: skip
    if style and meant and style != meant:
        raise click.BadParameter(f"{out} is the name of a file in the format {meant}, and --format says {style}",
                                 param_hint="--out")  # fmt: skip
    return style or meant or "text"


def columns(out: Path | None) -> int | None:
    """The width of the terminal that will show the text; None in a pipe and for a file."""
    if out in (None, STDOUT) and sys.stdout.isatty():
        return min(shutil.get_terminal_size().columns, WIDEST)
    return None


@click.command()
@arguments.cell
@click.option("--format", "-f", "style", type=click.Choice(FORMATS),
              help="The default follows the suffix of --out, else it is text.")  # fmt: skip
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), metavar="FILE",
              help="Write to this file (.txt, .html, .tex, .md or .pdf); - is standard output.")  # fmt: skip
@click.option("--lang", type=click.Choice(("en", "ko")), default="en", help="The language of the prose.")
@click.option("--steps", type=click.Choice(("brief", "full")), default="brief",
              help="full: with every local derivative and what lies between.")  # fmt: skip
@click.option("--check", is_flag=True, help="Append a certificate: every formula in numbers, at 50 digits.")
@click.option("--fragment", is_flag=True, help="LaTeX to \\input, or HTML to put, into a document of yours.")
def derive(
    cell: str, style: str | None, out: Path | None, lang: str, steps: Steps, check: bool, fragment: bool
) -> None:
    """Derive back-propagation through time, every formula numbered.

    A PDF needs pdflatex or lualatex.
    """
    form = chosen(style, out)
    if fragment and form not in ("latex", "html"):
        raise click.BadParameter(f"latex and html have fragments, and the format is {form}", param_hint="--fragment")
    if form == "pdf" and (out is None or (out == STDOUT and sys.stdout.isatty())):
        raise click.BadParameter("a PDF is not for a terminal: expected --out NAME.pdf", param_hint="--format")
    found = arguments.load(cell)
    from symcell import pipeline

    data = rendered(pipeline.derive(found, steps, check=check), form, lang, fragment, columns(out))
    if out is None or out == STDOUT:
        click.echo(data, nl=False)
    else:
        from symcell.generate import files

        click.echo(f"{'written' if files.write_if_changed(out, data) else 'unchanged'}: {out}")


def rendered(derivation: Derivation, form: str, lang: str, fragment: bool, width: int | None) -> bytes:
    from symcell.derivation import TexError

    if form != "pdf":
        style = cast("Format", form)
        return derivation.render(style, lang, fragment=fragment, width=width).encode()
    try:
        return derivation.pdf(lang)
    except TexError as error:
        raise click.ClickException(str(error)) from error
