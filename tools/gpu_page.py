"""Writes docs/gpu.md: what a cell's loop would take on a GPU, beside what others published and what was measured.

    python tools/gpu_page.py            exit status 1 if the page is stale
    python tools/gpu_page.py --write    write it anew

Measurements are those of benchmarks/gpu.py, from benchmarks/results/gpu_*.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import gpu_assumed
import gpu_kernels
import gpu_predicted
from gpu_predicted import forecast_of, times_of
from markdown_table import table

from symcell.generate import files
from symcell.predict import DEVICES, Device

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gpu.md"
RESULTS = ROOT / "benchmarks" / "results"


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page; ``results``: of devices on which was measured."""
    found = [*gpu_predicted.steps(), gpu_predicted.published(), *map(_measured, results), gpu_kernels.registers()]
    parts = [_start(), *found, gpu_assumed.assumed(), _devices()]
    return "\n\n".join(parts) + "\n"


def _start() -> str:
    return """# The loop over time on a GPU

<!-- written by tools/gpu_page.py -->

A CuPy module runs its loop over time in one of these ways, by its `STRATEGY`:

- **plain**: a launch for every stage of every step; what the host takes for that is the limit.
- **block**: one kernel for the whole loop, each block alone with its samples, where all weights fit into one.
- **persistent**: one kernel for the whole loop, units shared out over blocks that keep their weights in shared memory
  and meet once a step or more: at a barrier of the grid, or in a cluster of 2, 4 or 8.
- **graph**: a launch from one meeting of blocks to the next, many of them in a graph that the host launches at once,
  for any sizes: blocks need not all be on the device, and read their weights from the cache or memory. What that takes
  is assumed, not measured, so a module takes it by itself only where launches one by one should be slower by a third.
- **auto**, unless another is asked for: the one of these that the module expects to be the quickest on the device.

States, what kernels hand on and what a matrix state's kernels read stay in a block's shared memory beside the weights
for the whole loop, as far as there is room.

`symcell plan CELL --device h100 --sizes T=1024,B=16,D=768,H=768` says for any cell what its module will do and how long
that takes: it asks the module, whose rule is the only one there is (`symcell/predict/`). The rule was fitted to what
steps of five cells took on an H100 in float32, and on another device it ranks the ways and no more. `python
benchmarks/gpu.py` measures on a GPU."""


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

{table(("part of a step", "median", "spread"), basics)}

Milliseconds forward / train step (forward + backward). symcell: float32, the quickest way there is, whose name follows;
predicted: of that way, by the module's rule; error: ‖a − b‖ / ‖b‖ of y and of the worst gradient against
PyTorch in float64.{_off(results["rows"], known)}

{table(heads, rows)}"""


def _off(rows: Sequence[Mapping[str, Any]], gpu: Device | None) -> str:
    """How far predictions of the module's own choice are from what was measured."""
    found = []
    for row in rows if gpu else ():
        measured = row["times"].get("forward", {}).get("symcell auto float32")
        if measured and gpu:
            (forward, *_) = times_of(forecast_of(row["cell"], gpu, row["T"], row["B"], row["H"], "float32"), "auto")
            found.append(abs(forward / measured["median"] - 1))
    if not found:
        return ""
    return f"""
Forward, by the module's own choice, predictions are {median(found):.0%} off in the median of {len(found)} cases, and
{max(found):.0%} at most."""


def _row(row: Mapping[str, Any], gpu: Device | None) -> tuple[str, ...]:
    forward, train = (row["times"][measure] for measure in ("forward", "train"))
    ours = min((n for n in train if n.startswith("symcell") and n.endswith("float32")), default="",
               key=lambda n: train[n]["median"])  # fmt: skip
    strategy = ours.split()[1] if ours else ""

    def pair(name: str) -> str:
        return f"{forward[name]['median']:.3g} / {train[name]['median']:.3g}" if name in train else "–"

    predicted = "–"
    if gpu and ours:
        found = forecast_of(row["cell"], gpu, row["T"], row["B"], row["H"], "float32")
        times = times_of(found, strategy)
        predicted = f"{times[0]:.3g} / {sum(times):.3g}" if times else "–"
    errors = row["errors"].get(ours, {})
    off = " / ".join(f"{value:.0e}" for value in errors.values()) or "–"
    others = (*(f"torch.nn {kind}" for kind in ("float32", "tf32", "float16")), "torch loop")
    sizes = (f"{row[k]}" for k in "TBH")
    return (row["cell"], *sizes, f"{pair(ours)} {strategy}", predicted, *map(pair, others), off)


def _devices() -> str:
    fields = {"processors": "multiprocessors", "shared": "shared memory a block, KB", "fp32": "float32, TFLOP/s",
              "fp16": "16 bits on matrix units, TFLOP/s",
              "memory": "memory, GB/s"}  # fmt: skip
    scale = {"shared": 1024}
    rows = [("compute capability", *(".".join(map(str, d.capability)) for d in DEVICES.values()))]
    rows += [(text, *(f"{getattr(d, name) / scale.get(name, 1):g}" for d in DEVICES.values()))
             for name, text in fields.items()]  # fmt: skip
    sources = dict.fromkeys(source for d in DEVICES.values() for source in d.sources.values())
    found = table(("", *(d.title for d in DEVICES.values())), rows)
    return f"## The devices\n\n{found}\n\nClusters exist from 9.0 on. Sources: {'; '.join(sources)}."


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
