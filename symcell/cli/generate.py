"""``symcell generate``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from symcell.cli import arguments
from symcell.cli.terminal import line, progress

STYLES = {"written": "green", "unchanged": "dim", "forgotten": "yellow"}


@click.command()
@arguments.cells
@arguments.targets
@click.option("--out", "directory", type=arguments.DIRECTORY, default="generated", show_default=True, help="Where to.")
def generate(cells: tuple[str, ...], targets: tuple[str, ...], directory: Path) -> None:
    """Write modules that stand alone (default: of every shipped cell).

    Only files that change are written, and each is whole at any time. MANIFEST.json says what each was made from, for
    `symcell check`.
    """
    from symcell.generate import find, generate as generate_, shipped

    found = [find(cell) for cell in cells] if cells else shipped()
    with progress("generating") as advance:
        done = generate_(found, directory, targets, advance)
    for written in done:
        line(f"{written.state + ':':<10} {written.path}", STYLES[written.state])
    counts = Counter(written.state for written in done)
    line(f"{', '.join(f'{counts[state]} {state}' for state in STYLES if counts[state])} in {directory}")
