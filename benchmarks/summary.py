"""The results of cpu.py as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from symcell.bench import Report, Row
from symcell.bench.contenders import LOOP, MODULE, PRODUCTS
from symcell.bench.report import mean
from symcell.bench.table import number
from symcell.pipeline import TARGETS

HEADS = {MODULE: "`torch.nn`", LOOP: "PyTorch loop", "jax scan": "JAX scan", PRODUCTS: "products alone"}
TITLES = {
    "train": "train step, ms",
    "step": "one step of a stream, ms",
    "memory": "peak memory of a train step, MB",
}


def summary(report: Report) -> str:
    """Where it was measured, the geometric means, and a table of all rows."""
    notes = "; ".join(report.notes)
    parts = [_where(report), _means(report.rows), _table(report.rows), f"Notes: {notes}." if notes else ""]
    return "\n\n".join(filter(None, parts)) + "\n"


def _where(report: Report) -> str:
    machine = report.machine
    versions = machine["versions"]
    libraries = [f"{title} {versions[name]}" for name, title in
                 (("numpy", "NumPy"), ("torch", "PyTorch"), ("jax", "JAX")) if name in versions]  # fmt: skip
    vector = f" with {' and '.join(machine['vector'])}" if machine["vector"] else ""
    return f"{machine['cpu']}, {machine['cores']} cores{vector}; {', '.join(libraries)}; {machine['date']}:"


def _means(rows: Sequence[Row]) -> str:
    trained = [row for row in rows if row.measure == "train"]
    lines = []
    for target in TARGETS:
        several = [(f"`nn.{cell.upper()}`", mean(r.ratio(MODULE, target) for r in trained if r.cell == cell))
                   for cell in dict.fromkeys(row.cell for row in trained)]  # fmt: skip
        loop = mean(row.ratio(LOOP, target) for row in trained)
        scan = mean(row.ratio("jax scan", target) for row in trained)
        found = [*several, ("the PyTorch loop", loop), ("the JAX scan", scan)]
        texts = [f"{value:.2f} of {name}" for name, value in found if value]
        if texts:
            lines.append(f"- train step, target `{target}`, geometric means: {', '.join(texts)}")
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    order = [name for name in (*TARGETS, *HEADS) if name in names]
    heads = ["", "T, B, D, H", *(HEADS.get(name, f"`{name}`") for name in order), "best to `torch.nn`"]
    lines = [f"| {' | '.join(heads)} |", f"| --- | --- |{' ---: |' * (len(heads) - 2)}"]
    for measure, title in TITLES.items():
        several = [row for row in rows if row.measure == measure]
        if several:
            lines.append(f"| **{title}** |{' |' * (len(heads) - 1)}")
        lines += [_line(row, order) for row in several]
    return "\n".join(lines)


def _line(row: Row, order: Sequence[str]) -> str:
    values = [number(row.values.get(name)) for name in order]
    ratio = row.ratio(MODULE)
    cells = [row.cell, ", ".join(map(str, row.sizes)), *values, "–" if ratio is None else f"{ratio:.2f}"]
    return f"| {' | '.join(cells)} |"
