"""A study in pictures, as PNG and SVG: colours that the colour-blind can tell apart, and lines that print can."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from symcell.flow.curves import gradients, overview, singular, sweeps, turned

if TYPE_CHECKING:
    from symcell.flow.report import Report

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "symcell",
    "figure.facecolor": "white",
}
PICTURES: dict[str, Callable[[Any, Any], None]] = {
    "overview": overview, "gradients": gradients, "singular": singular, "sweeps": sweeps, "turned": turned,
}  # fmt: skip
"""Each drawn on a figure by name."""


def needed() -> None:
    """Raises ImportError, saying what to do, where matplotlib is missing."""
    try:
        import matplotlib.figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'symcell[plot]', or leave them out") from error
    assert matplotlib.figure


def pictures(report: Report) -> Iterator[tuple[str, bytes]]:
    """File names and contents of all that there is to draw. The same report gives the same bytes."""
    needed()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    for name, draw in PICTURES.items():
        if name in ("sweeps", "turned") and not any(cell.sweeps for cell in report.cells):
            continue
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # the font lacks letters of a cell's names
            figure = Figure(layout="constrained")
            draw(figure, report)
            for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
                out = io.BytesIO()
                figure.savefig(out, format=kind, dpi=150, metadata=metadata)
                yield f"{name}.{kind}", out.getvalue()
