"""``symcell plan``."""

from __future__ import annotations

import click

from symcell.cli import arguments

DEFAULT = {"T": 256, "B": 16}
UNITS = 256


def _device(context: click.Context, param: click.Parameter, value: str) -> str:
    if context.resilient_parsing:
        return value
    from symcell.predict import DEVICES

    if value not in DEVICES:
        raise click.BadParameter(f"{value!r} is none of {', '.join(DEVICES)}")
    return value


def _dtype(context: click.Context, param: click.Parameter, value: str) -> str:
    if context.resilient_parsing:
        return value
    from symcell.predict import TYPES

    if value not in TYPES:
        raise click.BadParameter(f"{value!r} is none of {', '.join(TYPES)}")
    return value


def _strategy(context: click.Context, param: click.Parameter, value: str) -> str:
    if context.resilient_parsing:
        return value
    from symcell.predict import STRATEGIES

    if value not in ("auto", *STRATEGIES):
        raise click.BadParameter(f"{value!r} is none of auto, {', '.join(STRATEGIES)}")
    return value


@click.command(short_help="Say how a CuPy module would run on a GPU, and how long it takes.")
@arguments.cell
@click.option("--device", metavar="NAME", default="h100", callback=_device, help="a100, h100, ... (default: h100).")
@click.option("--sizes", metavar="T=N,B=N,...", multiple=True, callback=arguments.comma_sizes,
              help="Steps T, samples B and the cell's sizes (default: 256, 16 and 256).")  # fmt: skip
@click.option("--dtype", metavar="NAME", default="float32", callback=_dtype,
              help="float16, bfloat16, float32 or float64.")  # fmt: skip
@click.option("--strategy", metavar="NAME", default="auto", callback=_strategy,
              help="auto, plain, block, persistent or graph: the module's STRATEGY.")  # fmt: skip
def plan(cell: str, device: str, sizes: dict[str, int], dtype: str, strategy: str) -> None:
    """Say how a cell's CuPy module would run its loop over time on a GPU, and how long that takes.

    The module itself is asked: what is shown is what it would do there. A size of the cell's that is called T or B
    counts for both.
    """
    from symcell.pipeline import plan as plan_of
    from symcell.predict import device as device_of
    from symcell.predict.report import report

    found = arguments.load(cell)
    known = (*DEFAULT, *(size for size in found.sizes if size not in DEFAULT))
    for name in sizes:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint="--sizes")
    steps, batch = (sizes.get(name, value) for name, value in DEFAULT.items())
    own = {size: sizes.get(size, DEFAULT.get(size, UNITS)) for size in found.sizes}
    try:
        text = report(plan_of(found, "cupy"), device_of(device), own, steps=steps, batch=batch, dtype=dtype,
                      strategy=strategy)  # fmt: skip
    except RuntimeError as why:
        raise click.ClickException(str(why)) from None
    click.echo(text)
