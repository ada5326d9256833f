"""``symcell verify``."""

from __future__ import annotations

import click

from symcell.cli import arguments
from symcell.cli.terminal import console, print_rich, progress


@click.command()
@arguments.cells
def verify(cells: tuple[str, ...]) -> None:
    """Check emitted kernels against the derived formulas.

    A CELL that is a module, NAME.py, is tried as it stands: its own code runs, against the equations that it holds.
    Without a CELL every shipped cell is verified. Exit status 1 if anything is off.
    """
    from symcell.generate import shipped
    from symcell.verify import verify as verify_

    found = list(cells) or [f.argument for f in shipped()]
    started = 0
    with progress("verifying") as advance:

        def tell(name: str) -> None:
            nonlocal started
            advance(name.partition(" ")[0], started, len(found))
            started += 1

        report = verify_(found, progress=tell)
    to = console()
    print_rich(report.render(to.width if to.is_terminal else 100))
    if not report.ok:
        raise SystemExit(1)
