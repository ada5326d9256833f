"""What the pictures show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symcell.flow.model import CellFlow, Stage, Sweep

if TYPE_CHECKING:
    from symcell.flow.report import Report

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito (2008), Color universal design."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LOWEST = 1e-12
"""Norms are drawn from here."""


def overview(figure: Any, report: Report) -> None:
    """All cells on one axis for each stage, each from 1 at lag 1."""
    names = list(dict.fromkeys(stage.name for cell in report.cells for stage in cell.stages))
    figure.set_size_inches(4.6 * len(names) + 0.4, 3.9)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for k, cell in enumerate(report.cells):
            for stage in (s for s in cell.stages if s.name == name):
                first = stage.whole.middle[0] or 1.0
                _line(panel, stage.lags, [v / first for v in stage.whole.middle], k, _safe(cell.name))
        _lag_axis(panel, report.steps)
        panel.set_title(name)
    panels[0].set_ylabel("‖∂L/∂s[T-lag]‖, 1 at lag 1")
    _limits(panels)
    _legend(figure, panels)
    figure.suptitle("How much of a gradient is left, all states together", fontsize=10.5)


def gradients(figure: Any, report: Report) -> None:
    """A row for each cell, a column for each of its stages: each state's norm, and what the derivation predicts."""
    columns = max(len(cell.stages) for cell in report.cells)
    rows = len(report.cells)
    figure.set_size_inches(5.2 * columns + 0.4, 3.0 * rows + 0.6)
    grid = figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False)
    for panels, cell in zip(grid, report.cells, strict=True):
        for panel in panels[len(cell.stages) :]:
            panel.set_axis_off()
        for panel, stage in zip(panels, cell.stages, strict=False):
            _states(panel, stage)
            _lag_axis(panel, report.steps)
            panel.set_title(f"{_safe(cell.name)}, {stage.name}", loc="left")
            panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), handlelength=2.6)
        panels[0].set_ylabel("norm")
    _limits([panel for panels in grid for panel in panels])
    figure.suptitle("Gradients by the state, and what the derivation predicts (dashed)", fontsize=10.5)


def _states(panel: Any, stage: Stage) -> None:
    for k, (name, curve) in enumerate(stage.states.items()):
        colour = COLOURS[k % len(COLOURS)]
        _line(panel, stage.lags, curve.middle, k, f"‖∂L/∂{_safe(name)}‖")
        panel.fill_between(stage.lags, _drawn(curve.low), _drawn(curve.high), color=colour, alpha=0.15, linewidth=0)
        for claim in (c for c in stage.claims if c.state == name):
            geometric = claim.kind == "geometric"
            label = f"{_safe(name)}: {'geometric' if geometric else 'product of ' + _short(claim.diagonal)}"
            panel.plot(stage.lags, _drawn(claim.predicted), color=colour, linestyle=(0, (4, 2)), linewidth=1.1,
                       label=label, zorder=4)  # fmt: skip


def singular(figure: Any, report: Report) -> None:
    """A panel for each cell and stage: all singular values of the product of Jacobians, at some lags."""
    columns = max(len(cell.stages) for cell in report.cells)
    rows = len(report.cells)
    figure.set_size_inches(4.4 * columns + 0.4, 2.7 * rows + 0.7)
    grid = figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False)
    for panels, cell in zip(grid, report.cells, strict=True):
        for panel in panels[len(cell.stages) :]:
            panel.set_axis_off()
        for panel, stage in zip(panels, cell.stages, strict=False):
            lags = [p.lag for p in stage.singular]
            for product in stage.singular:
                panel.scatter([product.lag] * len(product.values), _drawn(product.values), s=6, alpha=0.35,
                              color="#7f7f7f", linewidths=0)  # fmt: skip
            named = (("largest", 0), ("median", 0.5), ("smallest", 1))
            for k, (label, part) in enumerate(named):
                values = [p.values[round(part * (len(p.values) - 1))] for p in stage.singular]
                panel.plot(lags, _drawn(values), color=COLOURS[k], marker=MARKERS[k], markersize=4, label=label)
            _lag_axis(panel, report.steps)
            panel.set_xscale("log")
            panel.set_title(f"{_safe(cell.name)}, {stage.name}", loc="left")
        panels[0].set_ylabel("singular value")
    _limits([panel for panels in grid for panel in panels])
    _legend(figure, grid.ravel())
    figure.suptitle("Singular values of ∂s[T]/∂s[T-lag], the product of one-step Jacobians", fontsize=10.5)


def turned(figure: Any, report: Report) -> None:
    """The gradient over the lag at every setting of the sweeps: a row for each kind, a column for each cell."""
    kinds = [k for k in ("gain", "bias") if any(s.kind == k for c in report.cells for s in c.sweeps)]
    cells = [c for c in report.cells if c.sweeps]
    figure.set_size_inches(4.0 * len(cells) + 0.8, 3.3 * len(kinds) + 0.5)
    grid = figure.subplots(len(kinds), len(cells), squeeze=False, sharey=True, sharex=True)
    for panels, kind in zip(grid, kinds, strict=True):
        for panel, cell in zip(panels, cells, strict=True):
            sweep = next((s for s in cell.sweeps if s.kind == kind), None)
            if sweep is None:
                panel.set_axis_off()
                continue
            for k, setting in enumerate(sweep.settings):
                shade = _shade(k / max(1, len(sweep.settings) - 1))
                sign = "×" if kind == "gain" else "\u2212" if setting.value < 0 else "+"
                label = f"{sign} {abs(setting.value):g}"
                panel.plot(range(1, report.steps + 1), _drawn(setting.norms), color=shade, label=label)
            _lag_axis(panel, report.steps)
            panel.set_title(_swept(cell, sweep), loc="left")
            panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), handlelength=1.2)
    _outer(grid, "‖∂L/∂s[T-lag]‖")
    _limits([panel for panels in grid for panel in panels])
    figure.suptitle("The gradient as recurrent matrices are scaled (×) and gates' biases are raised (+)", fontsize=10.5)


def _outer(grid: Any, said: str) -> None:
    """Numbers and words along the outer panels, where some are left out."""
    for panels in grid:
        first = next(panel for panel in panels if panel.axison)
        first.tick_params(labelleft=True)
        first.set_ylabel(said)
    for panels in grid.T:
        last = [panel for panel in panels if panel.axison][-1:]
        for panel in last:
            panel.tick_params(labelbottom=True)
            panel.set_xlabel("lag")


def _shade(part: float) -> Any:
    """A colour map that is even to every eye, without its palest end."""
    import matplotlib as mpl

    return mpl.colormaps["viridis"](0.92 * part)


def sweeps(figure: Any, report: Report) -> None:
    """Rates and memory over the gain of the recurrent matrices and over the gates' biases."""
    kinds = [k for k in ("gain", "bias") if any(s.kind == k for c in report.cells for s in c.sweeps)]
    figure.set_size_inches(4.8 * len(kinds) + 0.4, 6.0)
    grid = figure.subplots(2, len(kinds), squeeze=False, sharey="row")
    for k, kind in enumerate(kinds):
        rates, memories = grid[0][k], grid[1][k]
        for number, cell, sweep in _of_kind(report, kind):
            values = [s.value for s in sweep.settings]
            _marked(rates, values, [s.rate for s in sweep.settings], number, _swept(cell, sweep), "-")
            _marked(rates, values, [s.predicted for s in sweep.settings], number, "", (0, (4, 2)))
            known = [s.memory or report.steps for s in sweep.settings]
            _marked(memories, values, known, number, "", "-")
        rates.axhline(1, color="#404040", linewidth=0.8)
        memories.axhline(report.steps, color="#404040", linewidth=0.8, linestyle=":")
        memories.set_yscale("log")
        said = "gain of the recurrent matrices" if kind == "gain" else "added to the gates' biases"
        rates.set_title(f"over the {said}" if kind == "gain" else "over the gates' biases")
        memories.set_xlabel(said)
        handles, labels = rates.get_legend_handles_labels()
        memories.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
    grid[0][0].set_ylabel("factor a step (dashed: predicted)")
    grid[1][0].set_ylabel(f"memory (dotted: the {report.steps} steps)")
    figure.suptitle("What the gain and the gates do to the gradient", fontsize=10.5)


def _of_kind(report: Report, kind: str) -> Iterator[tuple[int, CellFlow, Sweep]]:
    for k, cell in enumerate(report.cells):
        yield from ((k, cell, sweep) for sweep in cell.sweeps if sweep.kind == kind)


def _swept(cell: CellFlow, sweep: Sweep) -> str:
    names = ", ".join(p.replace("-", "\u2212") for p in sweep.parameters[:4]) + (
        ", …" if len(sweep.parameters) > 4 else ""
    )
    return _safe(f"{cell.name}: {names}")


def _marked(panel: Any, at: Sequence[float], values: Sequence[float], k: int, label: str, style: Any) -> None:
    size, width = (4, 1.6) if style == "-" else (0, 1.1)
    panel.plot(at, values, color=COLOURS[k % 7], marker=MARKERS[k % 7], markersize=size, linestyle=style,
               linewidth=width, label=label or None)  # fmt: skip


def _line(panel: Any, lags: Sequence[int], values: Iterable[float], k: int, label: str) -> None:
    """A curve with a few marks, not all in one place."""
    every = max(1, len(lags) // 8)
    panel.plot(lags, _drawn(values), color=COLOURS[k % 7], marker=MARKERS[k % 7], markersize=4.2,
               markevery=(min(k * every // 4, len(lags) - 1), every), label=label)  # fmt: skip


def _drawn(values: Iterable[float]) -> Any:
    """What a logarithmic axis can show: zero is left out."""
    found = np.array(list(values), float)
    return np.where(np.isfinite(found) & (found > 0), found, np.nan)


def _lag_axis(panel: Any, steps: int) -> None:
    panel.set_yscale("log")
    panel.set_xlim(1, steps)
    panel.set_xlabel("lag")
    panel.label_outer()


def _limits(panels: Iterable[Any]) -> None:
    """One height for all: down to :data:`LOWEST`, up to the highest curve."""
    panels = [panel for panel in panels if panel.axison]
    top = max((panel.dataLim.ymax for panel in panels if np.isfinite(panel.dataLim.ymax)), default=1.0)
    low = min((panel.dataLim.minposy for panel in panels if np.isfinite(panel.dataLim.minposy)), default=LOWEST)
    panels[0].set_ylim(max(low / 3, LOWEST), min(max(3 * top, 3.0), 1e12))


def _legend(figure: Any, panels: Iterable[Any]) -> None:
    known = {label: h for panel in panels for h, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(known.values(), known, loc="outside lower center", ncols=min(len(known), 6), handlelength=2.6)


def _short(text: str) -> str:
    return _safe(text if len(text) <= 24 else "the diagonal")


def _safe(text: str) -> str:
    """A user's text, which no dollar sign turns into mathematics; the font has no bold one."""
    return text.replace("$", r"\$").replace("\N{MATHEMATICAL BOLD DIGIT ONE}", "1")
