"""Train steps relative to torch.nn's, as a picture."""

from __future__ import annotations

from pathlib import Path

from symcell.bench import Report, Row
from symcell.bench.contenders import LOOP, MODULE, PRODUCTS

STYLES = {
    "numpy": ("symcell, NumPy", "o", "#1f6feb"),
    "c": ("symcell, C", "D", "#cf222e"),
    LOOP: ("PyTorch loop", "^", "#8250df"),
    "jax scan": ("JAX scan", "v", "#bf8700"),
    PRODUCTS: ("matrix products alone", "_", "#57606a"),
}
"""How contenders are called and drawn."""


def plot(report: Report, path: Path) -> None:
    """A panel for each cell that torch.nn has, a column for each size; a logarithmic axis with torch.nn at 1."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    rows = [row for row in report.rows if row.measure == "train" and MODULE in row.values]
    cells = list(dict.fromkeys(row.cell for row in rows))
    figure, panels = plt.subplots(
        1, len(cells), figsize=(3.6 * len(cells) + 0.6, 4.6), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, cell in zip(panels[0], cells, strict=True):
        several = [row for row in rows if row.cell == cell]
        for name, (label, marker, color) in STYLES.items():
            points = [(k, row.ratio(MODULE, name)) for k, row in enumerate(several) if name in row.values]
            wide = {"s": 260, "linewidths": 2} if marker == "_" else {"s": 42, "edgecolors": "white", "linewidths": 0.8}
            if points:
                panel.scatter(*zip(*points, strict=True), marker=marker, color=color, label=label, zorder=3, **wide)
        panel.axhline(1, color="#1f2328", lw=1.2, zorder=2)
        panel.set_yscale("log")
        panel.set_title(f"{cell}  (torch.nn.{cell.upper()} = 1)", fontsize=11)
        panel.set_xticks(range(len(several)), [_label(row) for row in several], fontsize=8)
        panel.set_xlim(-0.5, len(several) - 0.5)
        panel.grid(axis="y", color="#d0d7de", lw=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    first = panels[0][0]
    low, high = first.get_ylim()
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
    first.yaxis.set_major_locator(FixedLocator(ticks))
    first.yaxis.set_minor_locator(NullLocator())
    first.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    first.set_ylabel("time relative to torch.nn (log; lower is faster)")
    handles = {
        label: handle for panel in panels[0] for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles), frameon=False)
    where = ", ".join([f"{report.machine['cores']} cores", *report.machine["vector"]])
    figure.suptitle(f"Train step (forward + backward), float32, {where}", fontsize=12)
    figure.savefig(path, dpi=120)


def _label(row: Row) -> str:
    return f"T {row.steps}\nB {row.batch}\nH {row.hidden}"
