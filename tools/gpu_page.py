"""Writes docs/gpu.md: what a cell's loop would take on a GPU, beside what others published and what was measured.

    python tools/gpu_page.py            exit status 1 if the page is stale
    python tools/gpu_page.py --write    write it anew

Measurements are those of benchmarks/gpu.py, from benchmarks/results/gpu_*.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import symcell
from symcell.generate import files
from symcell.predict import ASSUMPTIONS, DEVICES, Device, Forecast, device, forecasts
from symcell.program.model import Plan, Role

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gpu.md"
RESULTS = ROOT / "benchmarks" / "results"
UNITS, BATCHES = (128, 256, 512, 768, 1024, 2048), (1, 16, 64, 256)
DTYPES = ("float32", "float64")
PUBLISHED = (
    ("torch.nn.LSTM (cuDNN), float16, with its input product", 2.01, 5.19),
    ("FlashRNN fused, bfloat16, without", 4.87, 13.6),
    ("FlashRNN alternating, bfloat16, without", 10.8, 26.5),
    ("Haste, float32", 18.4, 43.9),
    ("PyTorch loop", 147.0, 484.0),
)
"""Milliseconds forward, and forward and backward, of an LSTM: B 16, T 1024, D = H = 768, on an H100."""
WAYS = {"launches": ("plain",), "one kernel": ("block", "persistent")}
"""How a loop may run, each by the strategies of which the quickest is told."""
AT = {"T": 1024, "B": 16, "H": 768}


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page; ``results``: of devices on which was measured."""
    parts = [_start(), *_steps(device("h100")), _published(), *map(_measured, results), _assumed(), _devices()]
    return "\n\n".join(parts) + "\n"


@cache
def _plan(cell: str) -> Plan:
    return symcell.plan(cell, "cupy")


def _forecasts(cell: str, gpu: Device, steps: int, batch: int, units: int, dtype: str) -> dict[Role, Forecast]:
    plan = _plan(cell)
    return forecasts(plan, gpu, dict.fromkeys(plan.cell.sizes, units), steps=steps, batch=batch, dtype=dtype)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: int = 1) -> str:
    """A Markdown table; the columns from ``right`` on are flush right."""
    marks = ("---" if k < right else "--:" for k in range(len(heads)))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, tuple(marks), *rows))


def _start() -> str:
    return """# The loop over time on a GPU

<!-- written by tools/gpu_page.py -->

A CuPy module runs its loop over time in one of these ways, by its `STRATEGY`:

- **plain**: a launch for every stage of every step; what the host takes for that is the limit.
- **block**: one kernel for the whole loop, each block alone with its samples, where all weights fit into one.
- **persistent**: one kernel for the whole loop, units shared out over blocks that keep their weights in shared memory
  and meet once a step or more: at a barrier of the grid, or in a cluster of 2, 4 or 8.
- **auto**, unless another is asked for: the one of these that the module expects to be the quickest on the device.

`symcell plan CELL --device h100 --sizes T=1024,B=16,D=768,H=768` says for any cell what its module will do and how long
that takes: it asks the module, whose rule is the only one there is (`symcell/predict/`). The rule was fitted to what
steps of five cells took on an H100: within 7 % in the median and 27 % at most at those sizes, and on another device it
ranks the ways and no more. `python benchmarks/gpu.py` measures on a GPU."""


def _steps(gpu: Device) -> Iterator[str]:
    yield f"## Predicted: a step of an LSTM on an {gpu.title}"
    yield """Microseconds forward / backward, by the rule with which a module chooses; **bold**: what it does by itself;
–: what does not fit."""
    for dtype in DTYPES:
        rows = []
        for units in UNITS:
            found = [_forecasts("lstm", gpu, 1024, batch, units, dtype) for batch in BATCHES]
            rows += [(f"{units}", name, *(_both(f, options) for f in found)) for name, options in WAYS.items()]
        heads = (f"H, {dtype}", "", *(f"B = {batch}" for batch in BATCHES))
        yield _table(heads, rows, 2)


def _both(found: Mapping[Role, Forecast], options: Sequence[str]) -> str:
    """The quickest of some strategies, forward / backward."""
    return " / ".join(_quickest(forecast, options) for forecast in found.values())


def _quickest(forecast: Forecast, options: Sequence[str]) -> str:
    steps = [step for step in map(forecast.step, options) if step is not None]
    if not steps:
        return "–"
    return f"**{min(steps):.1f}**" if min(steps) == forecast.step("auto") else f"{min(steps):.1f}"


def _published() -> str:
    rows = [(name, f"{forward:.3g}", f"{both:.3g}") for name, forward, both in PUBLISHED]
    found = _forecasts("lstm", device("h100"), AT["T"], AT["B"], AT["H"], "float32")
    for name in ("plain", "auto"):
        times = _times(found, name)
        if times:
            rows.append((f"symcell {name}, float32: predicted", f"{times[0]:.3g}", f"{sum(times):.3g}"))
    return f"""## Beside what is published

Milliseconds of an LSTM on an H100, B = {AT["B"]}, T = {AT["T"]}, D = H = {AT["H"]}. Others' are from the figure in
[FlashRNN's](https://github.com/NX-AI/flashrnn) README; PyTorch uses cuDNN's persistent kernel for float16 alone
(`aten/src/ATen/native/cudnn/RNN.cpp`).

{_table(("", "forward", "forward + backward"), rows)}"""


def _times(found: Mapping[Role, Forecast], strategy: str) -> list[float]:
    """Milliseconds of each program; none where the device has no room for the strategy."""
    times = [total for total in (forecast.total(strategy) for forecast in found.values()) if total is not None]
    return times if len(times) == len(found) else []


def _measured(results: Mapping[str, Any]) -> str:
    """What was measured on one device, with predictions for the ones that are known."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    basics = [(b["what"], f"{b['value']:.4g} {b['unit']}", f"{b['least']:.4g} … {b['most']:.4g}")
              for b in results["basics"] if "value" in b]  # fmt: skip
    known = next((gpu for gpu in DEVICES.values() if gpu.name in machine["name"].lower().replace(" ", "")), None)
    rows = [_row(row, known) for row in results["rows"] if row["times"].get("train")]
    heads = ("cell", "T", "B", "H", "symcell", "predicted", "cuDNN float32", "TF32", "float16", "loop", "error")
    return f"""## Measured on an {machine["name"]}

{machine["host"]["date"]}; driver {machine["driver"]}; {versions}. Medians; the spread is that of the rounds.

{_table(("part of a step", "median", "spread"), basics)}

Milliseconds forward / train step (forward + backward). symcell: float32, the quickest way there is, whose name follows;
predicted: of that way, by the module's rule; error: ‖a − b‖ / ‖b‖ of y and of the worst gradient against
PyTorch in float64.

{_table(heads, rows)}"""


def _row(row: Mapping[str, Any], gpu: Device | None) -> tuple[str, ...]:
    forward, train = (row["times"][measure] for measure in ("forward", "train"))
    ours = min((n for n in train if n.startswith("symcell") and n.endswith("float32")), default="",
               key=lambda n: train[n]["median"])  # fmt: skip
    strategy = ours.split()[1] if ours else ""

    def pair(name: str) -> str:
        return f"{forward[name]['median']:.3g} / {train[name]['median']:.3g}" if name in train else "–"

    predicted = "–"
    if gpu and ours:
        found = _forecasts(row["cell"], gpu, row["T"], row["B"], row["H"], "float32")
        times = _times(found, strategy)
        predicted = f"{times[0]:.3g} / {sum(times):.3g}" if times else "–"
    errors = row["errors"].get(ours, {})
    off = " / ".join(f"{value:.0e}" for value in errors.values()) or "–"
    others = (*(f"torch.nn {kind}" for kind in ("float32", "tf32", "float16")), "torch loop")
    sizes = (f"{row[k]}" for k in "TBH")
    return (row["cell"], *sizes, f"{pair(ours)} {strategy}", predicted, *map(pair, others), off)


def _assumed() -> str:
    rows = [(text.text, f"{text.value:g}") for text in ASSUMPTIONS.values()]
    return f"""## What predictions assume

Of a step: the constants of the module that follow its kernels, from `MEETING` on. Of what runs over the whole sequence:

{_table(("", "value"), rows)}"""


def _devices() -> str:
    fields = {"processors": "multiprocessors", "shared": "shared memory a block, KB", "fp32": "float32, TFLOP/s",
              "memory": "memory, GB/s"}  # fmt: skip
    scale = {"shared": 1024}
    rows = [("compute capability", *(".".join(map(str, d.capability)) for d in DEVICES.values()))]
    rows += [(text, *(f"{getattr(d, name) / scale.get(name, 1):g}" for d in DEVICES.values()))
             for name, text in fields.items()]  # fmt: skip
    sources = dict.fromkeys(source for d in DEVICES.values() for source in d.sources.values())
    table = _table(("", *(d.title for d in DEVICES.values())), rows)
    return f"## The devices\n\n{table}\n\nClusters exist from 9.0 on. Sources: {'; '.join(sources)}."


def measurements() -> list[dict[str, Any]]:
    """What benchmarks/gpu.py has written, by the files' names; only runs of the whole."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("gpu_*.json"))]
    return [results for results in found if results["options"]["kind"] == "whole"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    text = page(measurements())
    stale = files.read(PAGE) != text.encode()
    if write and stale:
        files.write(PAGE, text.encode())
    return int(stale and not write)


if __name__ == "__main__":
    sys.exit(main())
