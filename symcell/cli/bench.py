"""``symcell bench``."""

from __future__ import annotations

from pathlib import Path

import click

from symcell.cli import arguments
from symcell.cli.terminal import print_json, print_rich, progress

COUNT = click.IntRange(min=1)


def _on_cpu(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """The targets that run on the CPU, all of them where none is given."""
    if context.resilient_parsing:
        return values
    from symcell.bench import CPU_TARGETS

    for value in values:
        if value not in CPU_TARGETS:
            raise click.BadParameter(f"{value!r}: expected one of {', '.join(CPU_TARGETS)}, which run on the CPU")
    return tuple(t for t in CPU_TARGETS if t in values or not values)


def _measures(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    if context.resilient_parsing:
        return values
    from symcell.bench import MEASURES

    for value in values:
        if value not in MEASURES:
            raise click.BadParameter(f"{value!r} is none of {', '.join(MEASURES)}")
    return tuple(m for m in MEASURES if m in values or not values)


@click.command()
@arguments.cells
@click.option(
    "--target",
    "targets",
    metavar="NAME",
    multiple=True,
    callback=_on_cpu,
    help="numpy, ...; may be repeated (default: every target that runs on the CPU).",
)
@click.option(
    "--measure",
    "measures",
    metavar="NAME",
    multiple=True,
    callback=_measures,
    help="train, inference, step or memory; may be repeated (default: all).",
)
@click.option("--steps", type=COUNT, default=128, show_default=True, help="Steps T of a sequence.")
@click.option("--batch", type=COUNT, default=32, show_default=True, help="Samples B.")
@click.option("--inputs", type=COUNT, help="Inputs D (default: as many as units).")
@click.option("--hidden", type=COUNT, default=128, show_default=True, help="Units H.")
@click.option("--grid", is_flag=True, help="The six sizes that cells are compared at, in place of one.")
@click.option("--rounds", type=COUNT, default=9, show_default=True, help="Rounds at most; slow cells get five.")
@click.option("--compile", "compiled", is_flag=True, help="torch.compile of the PyTorch loop too: minutes a size.")
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write the data to this file too.")
@arguments.json
def bench(
    cells: tuple[str, ...],
    targets: tuple[str, ...],
    measures: tuple[str, ...],
    steps: int,
    batch: int,
    inputs: int | None,
    hidden: int,
    grid: bool,
    rounds: int,
    compiled: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Time emitted kernels beside PyTorch and bare products.

    The products are those of the cell's matrices alone, the floor of what multiplies as BLAS does.
    Without a CELL those shipped cells run that torch.nn has too. Peak memory is by how much a fresh process grows.
    """
    from symcell.bench import GRID, Pace, Size, bench as bench_, known_to_torch
    from symcell.bench.timing import STEADY

    found = [arguments.load(cell) for cell in cells or known_to_torch()]
    sizes = GRID if grid else (Size(steps, batch, inputs or hidden, hidden),)
    pace = Pace(rounds, min(rounds, STEADY.least))
    with progress("measuring") as advance:
        report = bench_(found, sizes, measures, targets=targets, compiled=compiled, pace=pace, progress=advance)
    if out is not None:
        report.save(out)
    if as_json:
        print_json(report.data())
    else:
        print_rich(report.render())
