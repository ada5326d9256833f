"""The predictions of docs/gpu.md: what a step takes on a device, by the rule with which modules choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from markdown_table import table

import symcell
from symcell.predict import Device, Forecast, device, forecasts
from symcell.program.model import Plan, Role

UNITS, BATCHES = (128, 256, 512, 768, 1024, 2048), (1, 16, 64, 256)
DTYPES = ("float32", "float16", "float64")
ELSEWHERE = ("a100", "h200", "rtx4090")
"""Devices of which the module's own choice alone is told."""
PUBLISHED = (
    ("torch.nn.LSTM (cuDNN), float16, with its input product", 2.01, 5.19),
    ("FlashRNN fused, bfloat16, without", 4.87, 13.6),
    ("FlashRNN alternating, bfloat16, without", 10.8, 26.5),
    ("Haste, float32", 18.4, 43.9),
    ("PyTorch loop", 147.0, 484.0),
)
"""Milliseconds forward, and forward and backward, of an LSTM: B 16, T 1024, D = H = 768, on an H100."""
WAYS = {"launches": ("plain",), "one kernel": ("block", "persistent"), "graph": ("graph",)}
"""How a loop may run, each by the strategies of which the quickest is told."""
AT = {"T": 1024, "B": 16, "H": 768}


@cache
def plan_of(cell: str) -> Plan:
    return symcell.plan(cell, "cupy")


def forecast_of(cell: str, gpu: Device, steps: int, batch: int, units: int, dtype: str) -> dict[Role, Forecast]:
    return _forecast(cell, gpu.name, steps, batch, units, dtype)


@cache
def _forecast(cell: str, gpu: str, steps: int, batch: int, units: int, dtype: str) -> dict[Role, Forecast]:
    plan = plan_of(cell)
    return forecasts(plan, device(gpu), dict.fromkeys(plan.cell.sizes, units), steps=steps, batch=batch, dtype=dtype)


def steps() -> Iterator[str]:
    """A step of an LSTM: on an H100 by every way, elsewhere by the module's own choice."""
    yield from _steps(device("h100"))
    yield from map(_chosen, map(device, ELSEWHERE))


def _steps(gpu: Device) -> Iterator[str]:
    yield f"## Predicted: a step of an LSTM on an {gpu.title}"
    yield """Microseconds forward / backward, by the rule with which a module chooses; **bold**: what it does by itself;
–: what does not fit."""
    for dtype in DTYPES:
        rows = []
        for units in UNITS:
            found = [forecast_of("lstm", gpu, 1024, batch, units, dtype) for batch in BATCHES]
            rows += [(f"{units}", name, *(_both(f, options) for f in found)) for name, options in WAYS.items()]
        heads = (f"H, {dtype}", "", *(f"B = {batch}" for batch in BATCHES))
        yield table(heads, rows, 2)


def _chosen(gpu: Device) -> str:
    """What the module does by itself on a device."""
    rows = []
    for dtype in DTYPES[:2]:
        for units in UNITS:
            found = [forecast_of("lstm", gpu, 1024, batch, units, dtype) for batch in BATCHES]
            rows.append((f"{units}", dtype, *(_both(f, ("auto",)).replace("**", "") for f in found)))
    article = "an" if gpu.title[0] in "AH" else "a"
    return f"""### On {article} {gpu.title}

By the module's own choice there; its rule was fitted to an H100, so that this ranks sizes and no more.

{table(("H", "", *(f"B = {batch}" for batch in BATCHES)), rows, 2)}"""


def _both(found: Mapping[Role, Forecast], options: Sequence[str]) -> str:
    """The quickest of some strategies, forward / backward."""
    return " / ".join(_quickest(forecast, options) for forecast in found.values())


def _quickest(forecast: Forecast, options: Sequence[str]) -> str:
    steps = [step for step in map(forecast.step, options) if step is not None]
    if not steps:
        return "–"
    return f"**{min(steps):.1f}**" if min(steps) == forecast.step("auto") else f"{min(steps):.1f}"


def published() -> str:
    rows = [(name, f"{forward:.3g}", f"{both:.3g}") for name, forward, both in PUBLISHED]
    for name, dtype in (("plain", "float32"), ("auto", "float32"), ("auto", "float16")):
        found = forecast_of("lstm", device("h100"), AT["T"], AT["B"], AT["H"], dtype)
        if times := times_of(found, name):
            rows.append((f"symcell {name}, {dtype}: predicted", f"{times[0]:.3g}", f"{sum(times):.3g}"))
    return f"""## Beside what is published

Milliseconds of an LSTM on an H100, B = {AT["B"]}, T = {AT["T"]}, D = H = {AT["H"]}. Others' are from the figure in
[FlashRNN's](https://github.com/NX-AI/flashrnn) README; PyTorch uses cuDNN's persistent kernel for float16 alone
(`aten/src/ATen/native/cudnn/RNN.cpp`).

{table(("", "forward", "forward + backward"), rows)}"""


def times_of(found: Mapping[Role, Forecast], strategy: str) -> list[float]:
    """Milliseconds of each program; none where the device has no room for the strategy."""
    times = [total for total in (forecast.total(strategy) for forecast in found.values()) if total is not None]
    return times if len(times) == len(found) else []
