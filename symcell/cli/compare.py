"""``symcell compare``."""

from __future__ import annotations

from pathlib import Path

import click

from symcell.cli import arguments, pages
from symcell.cli.terminal import print_json, progress, width

COUNT = click.IntRange(min=1)


@click.command(short_help="Show cells side by side: equations, gates, cost, measured time.")
@click.argument("cells", metavar="CELL...", nargs=-1, required=True, shell_complete=arguments.complete_cell)
@click.option("--target", type=click.Choice(("numpy", "c")), default="numpy", show_default=True,
              help="Whose costs to count, and what to run.")  # fmt: skip
@click.option("--measure/--no-measure", default=True, help="Run a train step of each (default: yes).")
@click.option("--steps", type=COUNT, default=64, show_default=True, help="Steps T that are measured.")
@click.option("--batch", type=COUNT, default=16, show_default=True, help="Samples B that are measured.")
@click.option("--inputs", type=COUNT, help="Inputs D that are measured (default: as many as units).")
@click.option("--hidden", type=COUNT, default=64, show_default=True, help="Units H that are measured.")
@pages.form
@pages.out
@arguments.json
def compare(
    cells: tuple[str, ...],
    target: str,
    measure: bool,
    steps: int,
    batch: int,
    inputs: int | None,
    hidden: int,
    style: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Cells side by side: equations, states, gates, parameters, cost, measured time and memory, and which ways from a
    state to the next are additive, gated or through a matrix.
    """
    pages.check(style, out, as_json)
    found = [arguments.load(cell) for cell in cells]
    from symcell.compare import Work, compare as compare_
    from symcell.compare.page import markdown, page
    from symcell.compare.text import lines, text

    work = Work(target, steps, batch, inputs or hidden, hidden) if measure else False
    with progress("measuring", shown=measure) as advance:
        made = compare_(*found, target=target, measure=work, progress=advance)
    if as_json:
        print_json(made.to_dict())
        return
    forms = {"text": lambda: text(made) + "\n", "html": lambda: page(made), "markdown": lambda: markdown(made)}
    pages.deliver(style, out, lines(made, width()), forms)
