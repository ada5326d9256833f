"""Predictions of a plan as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from symcell.predict.choice import WAITS, Loop, Way
from symcell.predict.counts import ASSUMPTIONS
from symcell.predict.devices import Device
from symcell.predict.forecast import TYPES, Forecast, checked, forecasts
from symcell.program.model import Plan

WIDTH = 80


def report(
    plan: Plan,
    device: Device,
    sizes: Mapping[str, int],
    *,
    steps: int,
    batch: int,
    dtype: str = "float32",
    strategy: str = "auto",
) -> str:
    """What a cell's CuPy module will do on a device, at most 80 columns wide; ``strategy``: the module's STRATEGY.

    Raises as :func:`~symcell.predict.forecasts` does, ValueError for an unknown strategy, and RuntimeError for one
    that the device has no room for.
    """
    checked(strategy)
    found = forecasts(plan, device, sizes, steps=steps, batch=batch, dtype=dtype)
    for role, forecast in found.items():
        if forecast.refused(strategy):
            raise RuntimeError(f"{role} on {device.title}: {forecast.refused(strategy)}")
    at = ", ".join(f"{name} = {value}" for name, value in {"T": steps, "B": batch, **sizes}.items())
    lines = textwrap.wrap(f"{plan.cell.name} on {device.title}, {dtype}, {at}: predicted, not measured", WIDTH)
    for role, forecast in found.items():
        lines += ["", *_program(role, forecast, strategy, TYPES[dtype], batch)]
    return "\n".join([*lines, "", *_notes(strategy, dtype)])


def _program(role: str, forecast: Forecast, strategy: str, itemsize: int, batch: int) -> Iterator[str]:
    total = forecast.total(strategy)
    yield f"{role}: {total:.3g} ms in all, {forecast.besides / 1e3:.2g} of them outside the steps"
    flops, moved = batch * forecast.work.flops / 1e6, batch * forecast.work.size(itemsize) / 1e6
    work = f"{flops:.3g} MFLOP; {moved:.3g} MB read and written, as launches of their own do"
    yield from _wrapped(f"a step: {work}", "  ")
    for loop in forecast.loops:
        yield from _wrapped(f"{loop.name}: {_work(loop, itemsize)}", "  ")
        yield f"  {'strategy':11}{'µs a step':>9}{'steps, ms':>10}"
        taken = loop.chosen if strategy == "auto" else strategy
        for way in sorted(loop.ways.values(), key=lambda way: way.strategy != taken):
            yield from _row(loop, way, way.strategy == taken, forecast.steps)


def _work(loop: Loop, itemsize: int) -> str:
    """What a step has to do, in words."""
    products = [f"{inner}×{sum(many * width for many, width in out)}" for inner, out in loop.work.products]
    text = f"products {', '.join(products)} ({loop.weights * itemsize / 1e6:.3g} MB of weights)" if products else ""
    parts = (text or "no products", f"stages {loop.work.launches}", f"meetings of blocks {loop.work.meetings}")
    return ", ".join(parts)


def _row(loop: Loop, way: Way, taken: bool, steps: int) -> Iterator[str]:
    times = ("–", "–") if way.step is None else (f"{way.step:.1f}", f"{steps * way.step / 1e3:.3g}")
    start = f"{'*' if taken else ' '} {way.strategy:11}{times[0]:>9}{times[1]:>10}   "
    if way.step is None:
        text = f"does not fit: {way.refused}"
    else:
        text = _shares(way) if way.parts else f"{loop.work.launches} launches a step"
        text = text if taken else f"{_against(loop, way)}: {text}"
    yield from textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))


def _against(loop: Loop, way: Way) -> str:
    """Why a strategy with a time is not taken."""
    if way.strategy == loop.chosen:
        return "what auto takes"
    taken = loop.ways[loop.chosen].step
    quicker = way.step is not None and taken is not None and way.step < taken
    return "not by as much as it would have to be, being assumed" if quicker else "not quicker"


def _shares(way: Way) -> str:
    """How blocks share a step, in words."""
    text = f"{way.groups} groups × {way.parts} blocks {WAITS[way.waits]}, {way.at_once} samples at once"
    text = f"{text}, {way.shared} bytes of shared memory a block"
    return f"{text}, {way.cache / 1e6:.3g} MB read of the cache" if way.cache else text


NARROW = (
    " In 16 bits nothing was fitted. Assumed: matrix units multiply twice as many numbers as of TF32 in a time, and a "
    "fifth of what an H100's can; a product takes besides what one of a single sample takes in float32; its operand is "
    "read as 16 bits, also where it lies in memory in float32, as fast as all blocks were measured to read 64 KB; "
    "weights in registers are read in no time; all else of a step takes what it takes in float32."
)


def _notes(strategy: str, dtype: str) -> Iterator[str]:
    asked = "is told to" if strategy != "auto" else "will"
    yield from _wrapped(
        f"* what the module {asked} do (its STRATEGY is {strategy!r}). Microseconds of a step are the module's own "
        "rule, fitted to an H100: on another device they rank the ways, and no more. Assumed outside the steps: "
        + "; ".join(f"{a.value:g} {a.text}" for a in ASSUMPTIONS.values()) + "."
        + NARROW * (TYPES[dtype] == 2), "")  # fmt: skip


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  " if indent else "  ")
