"""Train steps on a GPU relative to cuDNN's in float32, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

BASE = "torch.nn float32"
STYLES = {
    "symcell auto float32": ("symcell", "o", "#1f6feb"),
    "symcell plain float32": ("symcell, a launch for each stage", "s", "#1f6feb"),
    "symcell block float32": ("symcell, block", "P", "#cf222e"),
    "symcell persistent float32": ("symcell, persistent", "D", "#cf222e"),
    "torch.nn tf32": ("cuDNN, TF32", "_", "#57606a"),
    "torch.nn float16": ("cuDNN, float16", "x", "#57606a"),
    "torch loop": ("PyTorch loop", "^", "#8250df"),
    "torch.compile": ("torch.compile of its step", "v", "#bf8700"),
}
"""How contenders are called and drawn; others are not."""


def plot(results: Mapping[str, Any], path: Path) -> None:
    """A panel for each cell and T that cuDNN has, a column for each B and H; a logarithmic axis with cuDNN at 1."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in results["rows"]:
        if BASE in row["times"].get("train", {}):
            groups.setdefault((row["cell"], row["T"]), []).append(row)
    if not groups:
        return
    figure, panels = plt.subplots(
        len(groups), 1, figsize=(11, 2.9 * len(groups) + 0.8), squeeze=False, layout="constrained"
    )
    for panel, ((cell, steps), rows) in zip(panels[:, 0], groups.items(), strict=True):
        rows.sort(key=lambda row: (row["H"], row["B"]))
        for name, (label, marker, color) in STYLES.items():
            times = [row["times"]["train"] for row in rows]
            points = [(k, t[name]["median"] / t[BASE]["median"]) for k, t in enumerate(times) if name in t]
            if points:
                panel.scatter(*zip(*points, strict=True), marker=marker, color=color, label=label, s=42, zorder=3)
        panel.axhline(1, color="#1f2328", lw=1.2)
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        panel.set_title(f"{cell}, T = {steps}: train step, cuDNN float32 without TF32 = 1", fontsize=10)
        panel.set_xticks(range(len(rows)), [f"B {row['B']}\nH {row['H']}" for row in rows], fontsize=7)
        panel.grid(axis="y", color="#d0d7de", lw=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    legends = [panel.get_legend_handles_labels() for panel in panels[:, 0]]
    handles = {label: handle for legend in legends for handle, label in zip(*legend, strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"{results['machine']['name']} (lower is faster)", fontsize=12)
    figure.savefig(path, dpi=110)
    plt.close(figure)
