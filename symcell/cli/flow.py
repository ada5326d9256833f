"""``symcell flow``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from symcell.cli import arguments
from symcell.cli.terminal import console, line, progress, visible

if TYPE_CHECKING:
    from symcell.cell import Cell
    from symcell.flow import Report


@click.command(short_help="Show what gradients do over time, and why gated cells remember.")
@click.argument("cells", metavar="CELL...", nargs=-1, required=True, shell_complete=arguments.complete_cell)
@click.option("--T", "steps", type=click.IntRange(min=2), default=200, show_default=True, help="Steps of a sequence.")
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True, help="Sequences.")
@click.option("--size", "sizes", metavar="NAME=N", multiple=True, callback=arguments.comma_sizes,
              help="A size, such as --size H=32 (default: 64; 8 for a cell whose state is a matrix).")  # fmt: skip
@click.option("--params", "files", metavar="[CELL=]FILE", multiple=True,
              help="Look at these parameters too: .npz by name, or what symcell.checkpoint saves.")  # fmt: skip
@click.option("--train", metavar="TASK", help="Train for a few seconds on this task and look again: adding or copy.")
@click.option("--updates", type=click.IntRange(min=1), default=400, show_default=True, help="Of the training.")
@click.option("--no-sweeps", is_flag=True, help="Leave out recurrent gain and gate bias.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--out", "-o", type=arguments.DIRECTORY, help="Write numbers (CSV, JSON) and plots (PNG, SVG) here.")
@click.option("--no-plots", is_flag=True, help="With --out: numbers alone.")
@arguments.json
def flow(
    cells: tuple[str, ...],
    steps: int,
    batch: int,
    sizes: dict[str, int],
    files: tuple[str, ...],
    train: str | None,
    updates: int,
    no_sweeps: bool,
    seed: int,
    out: Path | None,
    no_plots: bool,
    as_json: bool,
) -> None:
    """Show what gradients do over time, by the derived one-step Jacobian.

    Norms of ∂L/∂s over the lag, singular values of products of Jacobians, memory, and the rates beside what the
    derivation says: at initialisation, at given parameters, after a short training, and over the recurrent gain and
    the gates' biases. No cell is known by name: matrices and gates are found in the equations.
    """
    found = [arguments.load(cell) for cell in cells]
    from symcell.flow import flow as flow_, plots

    if out is not None and not no_plots:
        _asked(plots.needed)
    params = _params(found, files)
    with progress("studying") as advance:
        report = _asked(flow_, found, steps=steps, batch=batch, sizes=sizes, params=params, train=train,
                        updates=updates, sweeps=not no_sweeps, seed=seed, progress=advance)  # fmt: skip
    if as_json:
        click.echo(report.json(), nl=False)
    else:
        from symcell.flow.text import text

        to = console()
        click.echo(text(report, min(to.width, 100) if to.is_terminal else 80), nl=False)
    if out is not None:
        _write(report, out, plot=not no_plots, quiet=as_json)


def _asked(function: Any, *args: Any, **kwargs: Any) -> Any:
    """A call whose complaints are the user's to read."""
    try:
        return function(*args, **kwargs)
    except (ValueError, ImportError) as error:
        from symcell.cell import CellError

        if isinstance(error, CellError):
            raise
        raise click.UsageError(str(error)) from error


def _params(cells: list[Cell], files: tuple[str, ...]) -> dict[str, Any]:
    """By cell the arrays of its file: ``NAME=FILE``, or ``FILE`` alone where there is one cell."""
    from symcell.flow.files import read

    found: dict[str, Any] = {}
    for given in files:
        name, mark, path = given.partition("=")
        cell = next((c for c in cells if mark and c.name == name), None)
        if cell is None and len(cells) > 1:
            names = ", ".join(c.name for c in cells)
            raise click.BadParameter(f"{given!r}: expected CELL=FILE, with one of {names}", param_hint="--params")
        chosen, file = (cell, path) if cell is not None else (cells[0], given)
        if chosen.name in found:
            raise click.BadParameter(f"{chosen.name} is given twice", param_hint="--params")
        found[chosen.name] = _asked(read, Path(file), chosen)
    return found


def _write(report: Report, out: Path, *, plot: bool, quiet: bool) -> None:
    from symcell.flow.files import save

    for path in save(report, out, plot=plot):
        if not quiet:
            line(f"written: {visible(str(path))}", "green")
