"""What was found on a GPU, as a file and as a table for the end of a log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu_contenders import COMPILED, LOOP
from gpu_measure import MEASURES, Row

HEADS = {
    "torch.nn float32": "nn f32",
    "torch.nn tf32": "nn tf32",
    "torch.nn float16": "nn f16",
    "torch.nn bfloat16": "nn bf16",
    LOOP: "loop",
    COMPILED: "compile",
}


def file_of(folder: Path, device: str, kind: str = "whole") -> Path:
    """Where the results of a device are: ``gpu_h100_80gb_hbm3.json``, ``gpu_quick_…`` where they are not the whole."""
    name = re.sub(r"[^a-z0-9]+", "_", device.lower().removeprefix("nvidia")).strip("_")
    return folder / f"gpu_{'' if kind == 'whole' else f'{kind}_'}{name}.json"


def head(name: str) -> str:
    """A contender's name for a narrow column."""
    if name in HEADS:
        return HEADS[name]
    _, strategy, dtype = name.split(" ")
    return strategy if dtype == "float32" else f"{strategy} {dtype}"


def table(rows: Sequence[Row]) -> str:
    """A line for each case and measure: milliseconds, how our best compares with cuDNN's float32 and float16, and how
    far off it is."""
    lines = []
    for measure in MEASURES:
        names = list(dict.fromkeys(n for row in rows for n in row.times.get(measure, {})))
        if not names:
            continue
        widths = [max(7, len(head(name))) for name in names]
        heads = [head(name).rjust(w) for name, w in zip(names, widths, strict=True)]
        lines += ["", f"{measure}, ms: {'forward, nothing kept' if measure == 'forward' else 'forward + backward'}"]
        lines.append(f"{'cell':15}{'T':>5}{'B':>4}{'H':>5} " + " ".join(heads) + "  /f32  /f16    y off   d off")
        lines += [_line(row, measure, names, widths) for row in rows if row.times.get(measure)]
    return "\n".join(lines)


def _line(row: Row, measure: str, names: Sequence[str], widths: Sequence[int]) -> str:
    case, times = row.case, {name: found["median"] for name, found in row.times[measure].items()}
    values = (f"{_number(times.get(name)):>{w}}" for name, w in zip(names, widths, strict=True))
    ours = min((name for name in times if name.startswith("symcell")), key=times.__getitem__, default="")
    ratios = (_ratio(times.get(ours), times.get(f"torch.nn {dtype}")) for dtype in ("float32", "float16"))
    errors = row.errors.get(ours, {})
    y, worst = errors.get("y"), max((v for k, v in errors.items() if k != "y"), default=None)
    off = (f"{'–' if v is None else format(v, '.0e'):>8}" for v in (y, worst))
    start = f"{case.cell[:15]:15}{case.steps:5}{case.batch:4}{case.hidden:5} "
    return start + " ".join(values) + "".join(f"{r:>6}" for r in ratios) + " " + "".join(off)


def _number(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return "–"
    whole = len(str(int(value))) if value >= 1 else 1
    return f"{value:.{max(0, 3 - whole)}f}"


def _ratio(value: float | None, over: float | None) -> str:
    return "–" if value is None or not over else _number(value / over)


def failures(rows: Iterable[Row]) -> str:
    """What failed and why, the same reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, reason in row.failed.items():
            reasons.setdefault((name, reason[:160]), []).append(str(row.case))
    return "\n".join(f"{name}: {reason} ({cases[0]}{f', {len(cases) - 1} more' if len(cases) > 1 else ''})"
                     for (name, reason), cases in reasons.items())  # fmt: skip


def record(machine: Mapping[str, Any], more: Mapping[str, Any], rows: Iterable[Row]) -> dict[str, Any]:
    """All of it, for JSON."""
    return {"machine": machine, "unit": "ms", **more, "rows": [row.data() for row in rows]}
