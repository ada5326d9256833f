"""``symcell diff``."""

from __future__ import annotations

from pathlib import Path

import click

from symcell.cli import arguments, pages
from symcell.cli.terminal import print_json, width


@click.command(short_help="Say what differs between two cells: equations, gradients, costs.")
@click.argument("old", metavar="OLD", shell_complete=arguments.complete_cell)
@click.argument("new", metavar="NEW", shell_complete=arguments.complete_cell)
@arguments.targets
@pages.form
@pages.out
@arguments.json
def diff(old: str, new: str, targets: tuple[str, ...], style: str | None, out: Path | None, as_json: bool) -> None:
    """What is different about the cell NEW: equations, gradients, parameters, costs and kernels.

    Names do not matter: what has only been renamed is told as that. Exit status 0 if both are the same function with
    the same parameters, 1 if not, 2 for trouble.
    """
    pages.check(style, out, as_json)
    cells = arguments.load(old), arguments.load(new)
    from symcell.diff import diff as diff_
    from symcell.diff.page import markdown, page
    from symcell.diff.text import lines, text

    found = diff_(*cells, targets=targets)
    if as_json:
        print_json(found.to_dict())
    else:
        forms = {"text": lambda: text(found) + "\n", "html": lambda: page(found), "markdown": lambda: markdown(found)}
        pages.deliver(style, out, lines(found, width()), forms)
    if not found.same:
        raise SystemExit(1)
