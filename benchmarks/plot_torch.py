"""The ratios that the module's benchmark found, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch_module import Row

TITLES = {
    "overhead": "over the emitted module",
    "call": "a call with nothing to do, in terms of its bound",
    "torch.nn": "beside torch.nn",
    "packed": "packed beside unpacked",
    "resets": "resets beside none",
    "step": "a step beside nn.LSTMCell",
    "double backward": "double backward beside backward",
    "compiled loop": "compile and 100 steps beside torch.compile",
}
COLORS = {True: "#1f6feb", False: "#cf222e"}
"""Of a claim that holds, and of one that does not."""


def plot(rows: Sequence[Row], machine: Mapping[str, Any], path: Path) -> None:
    """A line for each case, a block for each claim: the ratio on a logarithmic axis, and a tick where its bound is."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    several = {group: [row for row in rows if row.group == group] for group in TITLES}
    several = {group: found for group, found in several.items() if found}
    heights = [len(found) + 1.4 for found in several.values()]
    figure, panels = plt.subplots(
        len(several), 1, figsize=(9, 0.21 * sum(heights) + 1), sharex=True, squeeze=False, height_ratios=heights,
        layout="constrained",
    )  # fmt: skip
    for panel, (group, found) in zip(panels[:, 0], several.items(), strict=True):
        _block(panel, TITLES[group], found)
    last = panels[-1, 0]
    last.set_xscale("log")
    last.xaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 4]))
    last.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    last.xaxis.set_minor_formatter(NullFormatter())
    where = ", ".join([f"{machine['cores']} cores", *machine["vector"]])
    figure.suptitle(f"Recurrent: time in terms of another's; bars are bounds. float32, {where}", fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _block(panel: Any, title: str, rows: Sequence[Row]) -> None:
    for k, row in enumerate(rows):
        value, bound = (row.value, row.bound) if row.over else (row.value / row.bound, 1.0)
        panel.plot([min(value, bound), max(value, bound)], [k, k], color="#d0d7de", lw=1, zorder=1)
        panel.scatter(bound, k, marker="|", color="#57606a", s=60, zorder=2)
        panel.scatter(value, k, color=COLORS[row.holds], s=26, edgecolors="white", linewidths=0.8, zorder=3)
    panel.axvline(1, color="#1f2328", lw=0.8, zorder=0)
    panel.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    panel.set_ylim(len(rows) - 0.3, -0.7)
    panel.set_title(title, fontsize=10, loc="left")
    panel.grid(axis="x", color="#eaeef2", lw=0.6)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
