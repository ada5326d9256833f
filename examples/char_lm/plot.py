"""The curves of several runs side by side, with their speed and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .log import Line

if TYPE_CHECKING:
    from .compare import Result

COLORS = ("#8a8a8a", "#d55e00", "#0072b2")  # told apart by color-blind readers too
LOOKS: Any = ({"linewidth": 4.5, "alpha": 0.7}, {"linewidth": 1.6}, {"linewidth": 1.6})
"""The first is wide, so that one that lies on it shows."""

STYLE: Any = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e6e6e6",
}  # fmt: skip


def plot(file: Path, logs: Mapping[str, Sequence[Line]], results: Sequence[Result]) -> None:
    """Bits per character by update, on the text that is trained on and on what is held out; speed and peak memory."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 4, figsize=(14, 4.2), layout="constrained", width_ratios=(1, 1, 0.5, 0.5))
        trained, held_out, speed, memory = axes
        for (title, lines), color, look in zip(logs.items(), COLORS, LOOKS, strict=True):
            style = {"color": color, "label": title, **look}
            trained.plot([line.update for line in lines], [line.bits for line in lines], **style)
            valid = [(line.update, line.valid) for line in lines if line.valid is not None]
            held_out.plot(*zip(*valid, strict=True), **style)
        trained.set(title="Training text", xlabel="update", ylabel="bits per character")
        held_out.set(title="Held-out text", xlabel="update", ylabel="bits per character")
        low = min(line.valid or line.bits for lines in logs.values() for line in lines)
        for panel in (trained, held_out):
            panel.set_ylim(low - 0.1, 4)
        held_out.legend(frameon=False)
        bars(speed, "Characters a second", [r.speed for r in results], "{:,.0f}")
        bars(memory, "Peak memory, MB", [(r.memory or 0) / 1e6 for r in results], "{:.0f}")
        figure.savefig(file, dpi=110)
        plt.close(figure)


def bars(axes: Any, title: str, values: Sequence[float], text: str) -> None:
    drawn = axes.bar(range(len(values)), values, color=COLORS, width=0.7)
    axes.bar_label(drawn, [text.format(value) for value in values], padding=2, fontsize=9)
    axes.set(title=title, ylim=(0, 1.1 * max(values)))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(False)
