"""``symcell verify``."""

from __future__ import annotations

import click

from symcell.cli import arguments
from symcell.cli.terminal import print_json, print_rich, progress, width


def _dtypes(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        from symcell.verify.halves import HALVES  # takes a second, which completion has not

        if value not in HALVES:
            raise click.BadParameter(f"{value!r} is none of {', '.join(HALVES)}", context, param)
    return values


@click.command()
@arguments.cells
@arguments.targets
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random numbers.")
@click.option("--dtype", "dtypes", metavar="NAME", multiple=True, callback=_dtypes,
              help="float16 or bfloat16, to be tried too; may be repeated.")  # fmt: skip
@click.option("--legend", is_flag=True, help="Say what each column compares, and what passes.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing of what is right.")
@arguments.json
def verify(
    cells: tuple[str, ...],
    targets: tuple[str, ...],
    seed: int,
    dtypes: tuple[str, ...],
    legend: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check emitted kernels against the derived formulas.

    A CELL that is a module, NAME.py, is tried as it stands: its own code runs, against the equations that it holds.
    Without a CELL every shipped cell is verified. Exit status 1 if anything is off.
    """
    from symcell.generate import shipped
    from symcell.verify import Report, verify as verify_

    found = list(cells) or [f.argument for f in shipped()]
    started = 0
    with progress("verifying", shown=not quiet) as advance:

        def tell(name: str) -> None:
            nonlocal started
            advance(name.partition(" ")[0], started, len(found))
            started += 1

        report = verify_(found, targets=targets, seed=seed, dtypes=dtypes, progress=tell)
    if as_json:
        print_json(report.data())
    elif not quiet:
        print_rich(report.render(width(), legend=legend))
        if not legend:
            click.echo("(--legend says what the columns compare)")
    elif not report.ok:
        print_rich(Report(tuple(cell for cell in report.cells if not cell.ok)).render(width(), legend=legend))
    if not report.ok:
        raise SystemExit(1)
