"""The training curves of both tasks as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .adding import BASELINE
from .table import SOLVED
from .train import Run

COLORS = {"rnn": "#8a8a8a", "gru": "#0072b2", "lstm": "#d55e00"}  # told apart by color-blind readers too
NAMES = {"rnn": "simple RNN", "gru": "GRU", "lstm": "LSTM"}
STYLE: Any = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e6e6e6",
}  # fmt: skip
DARK = "#444444"


def plot(file: Path, runs: Sequence[Run], digits_batches: int) -> None:
    """Accuracy on held-out digits by epoch, and the squared error of the adding problem by update."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
        for run in runs:
            axes, scale = (left, digits_batches) if run.task == "digits" else (right, 1)
            updates, scores = zip(*run.curve, strict=True)
            axes.plot([u / scale for u in updates], scores, color=COLORS[run.cell], linewidth=2, label=NAMES[run.cell])
            axes.plot(updates[-1] / scale, scores[-1], "o", color=COLORS[run.cell], markersize=5)
        left.set(title="Handwritten digits, row by row", xlabel="epoch", ylabel="accuracy on held-out digits")
        left.set_ylim(0.5, 1.005)
        left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        left.legend(loc="lower right", frameon=False)
        right.set(title="Adding problem, 100 steps", xlabel="update", ylabel="squared error on held-out sequences")
        right.set(yscale="log", ylim=(5e-4, 2))
        end = right.get_xlim()[1]
        for height, line, text, points in ((BASELINE, "--", "always answering 1", -13), (SOLVED, ":", "solved", 4)):
            right.axhline(height, color=DARK, linewidth=1, linestyle=line)
            right.annotate(text, (end, height), (0, points), textcoords="offset points", ha="right", color=DARK)
        figure.savefig(file, dpi=150)
        plt.close(figure)
