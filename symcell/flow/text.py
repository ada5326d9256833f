"""A study in the terminal: plain text, at most 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from symcell.flow.gradients import KEPT
from symcell.flow.model import CellFlow, Claim, Setting, Stage, Sweep

if TYPE_CHECKING:
    from symcell.flow.report import Report

WIDTH = 80
WAYS = {
    "additive": "comes back as it is",
    "scaled": "comes back scaled, the same at every step",
    "gated": "comes back gated, unit by unit",
    "elementwise": "comes back unit by unit, through a function",
    "matrix": "comes back through matrices alone",
}
"""What a claim's word says of its state."""


def text(report: Report, width: int = WIDTH) -> str:
    """The whole study; formulas wrap at ``width``."""
    blocks = [_head(report, width), _norms(report), _singular(report), *(_claims(c, width) for c in report.cells)]
    blocks += [block for cell in report.cells for block in _sweeps(cell, width)]
    return "\n\n".join([*blocks, _costs(report)]) + "\n"


def _head(report: Report, width: int) -> str:
    title = f"Gradients over {report.steps} steps: {', '.join(c.name for c in report.cells)}"
    said = (
        "The loss L is a random direction of the output at the last step T; norms are medians over samples and "
        f"directions. memory: the first lag from which on ‖∂L/∂s[T-lag]‖ stays below {100 * KEPT:g} % of its largest. "
        "rate: its factor a step. radius: the spectral radius of the mean one-step Jacobian ∂s[t]/∂s[t-1]. spread: "
        "the root of that of its mean squares, entry by entry: what is left where signs and saturation cancel in the "
        "mean. Numbers in parentheses are those of the derivation, symcell derive CELL."
    )
    return "\n".join([*_wrapped(title, width, ""), "=" * min(len(title), width), "", *textwrap.wrap(said, width)])


def _norms(report: Report) -> str:
    lags = list(dict.fromkeys((1, max(2, report.steps // 10), report.steps)))
    heads = ["", *(f"lag {lag}" for lag in lags), "memory", "rate", "radius", "spread"]
    rows = []
    for cell in report.cells:
        rows.append([cell.name, *[""] * (len(heads) - 1)])
        for stage in cell.stages:
            norms = (_short(stage.whole.middle[lag - 1]) for lag in lags)
            factors = (f"{v:.3f}" for v in (stage.rate, stage.radius, stage.spread))
            rows.append([f"  {stage.name}", *norms, _memory(stage.memory, report.steps), *factors])
    losses = [
        f"  {cell.name}, {stage.name}: loss {stage.loss[0]:.3g} before, {stage.loss[1]:.3g} after"
        for cell in report.cells for stage in cell.stages if stage.loss is not None
    ]  # fmt: skip
    return "\n".join(["‖∂L/∂s[T-lag]‖, all states together", *_table(heads, rows, left=1), *losses])


def _singular(report: Report) -> str:
    heads = ["", "lag", "largest", "median", "smallest"]
    rows = []
    for cell in report.cells:
        rows.append([cell.name, *[""] * (len(heads) - 1)])
        for stage in cell.stages:
            for product in [p for p in stage.singular if p.lag in (1, 10, 100)]:
                values = product.values
                named = [_short(values[0]), _short(values[len(values) // 2]), _short(values[-1])]
                rows.append([f"  {stage.name}", str(product.lag), *named])
    return "\n".join(["Singular values of ∂s[T]/∂s[T-lag], the product of one-step Jacobians",
                      *_table(heads, rows, left=1)])  # fmt: skip


def _claims(cell: CellFlow, width: int) -> str:
    lines = [f"{cell.name}: what the derivation says, and what is measured"]
    for claim in cell.stages[0].claims:
        number = "" if claim.number is None else f"({claim.number})  "
        lines += ["", *_wrapped(number + claim.formula, width)]
        lines += textwrap.wrap(f"{claim.state} {WAYS[claim.word]}: {_said(claim)}", width - 2, initial_indent="  ",
                               subsequent_indent="  ")  # fmt: skip
        rows = [[stage.name, f"{one.rate:.3f}", f"{one.measured:.3f}"] for stage, one in _each(cell, claim.state)]
        lines += _table(["a step", _prediction(claim), f"‖∂L/∂{claim.state}[T-lag]‖"], rows, left=1)
    return "\n".join(lines)


def _each(cell: CellFlow, state: str) -> Iterator[tuple[Stage, Claim]]:
    for stage in cell.stages:
        yield from ((stage, claim) for claim in stage.claims if claim.state == state)


def _said(claim: Claim) -> str:
    if claim.kind == "geometric":
        return "its gradient vanishes or explodes geometrically, at a rate near the larger of radius and spread."
    return "along this way alone its gradient is multiplied by the product over time of what stands on the diagonal."


def _prediction(claim: Claim) -> str:
    if claim.kind == "geometric":
        return "radius or spread"
    return f"product of {claim.diagonal}" if len(claim.diagonal) <= 24 else "product of the diagonal"


def _sweeps(cell: CellFlow, width: int) -> Iterator[str]:
    for sweep in cell.sweeps:
        lines = _wrapped(_turned(cell, sweep), width, indent="")
        settings = sweep.settings
        rows = [
            ["rate", *(f"{s.rate:.3f}" for s in settings)],
            [_beside(cell, sweep), *(f"{_stands(cell, sweep, s):.3f}" for s in settings)],
            *([] if _beside(cell, sweep) != "radius" else [["spread", *(f"{s.spread:.3f}" for s in settings)]]),
            ["memory", *(_memory(s.memory, len(cell.stages[0].lags)) for s in settings)],
        ]
        yield "\n".join([*lines, *_table([_axis(sweep), *(f"{s.value:g}" for s in settings)], rows, left=1)])


def _turned(cell: CellFlow, sweep: Sweep) -> str:
    names = ", ".join(sweep.parameters)
    if sweep.kind == "gain":
        return f"{cell.name}: the recurrent matrices {names} times a gain"
    up = ", ".join(p for p in sweep.parameters if not p.startswith("-"))
    down = ", ".join(p[1:] for p in sweep.parameters if p.startswith("-"))
    said = " and ".join([*([f"added to {up}"] if up else []), *([f"taken from {down}"] if down else [])])
    return f"{cell.name}: {said}, which opens the way of {sweep.state}"


def _axis(sweep: Sweep) -> str:
    return "gain" if sweep.kind == "gain" else "by"


def _beside(cell: CellFlow, sweep: Sweep) -> str:
    claim = next((c for c in cell.stages[0].claims if c.state == sweep.state), None)
    if claim is None or claim.kind == "geometric":
        return "radius"
    return f"∏ {claim.diagonal}" if len(claim.diagonal) <= 10 else "∏ diagonal"


def _stands(cell: CellFlow, sweep: Sweep, setting: Setting) -> float:
    return setting.radius if _beside(cell, sweep) == "radius" else setting.predicted


def _costs(report: Report) -> str:
    most = max(report.cells, key=lambda c: c.cost.parameters)
    first = report.cells[0].cost
    heads = ["", "parameters", f"of {most.name}'s", "time", "memory"]
    rows = [
        [c.name, f"{c.cost.parameters:,}", f"{c.cost.parameters / max(1, most.cost.parameters):.3f}",
         f"{1e3 * c.cost.seconds:.1f} ms", f"{c.cost.bytes / 2**20:.1f} MiB"]
        for c in report.cells
    ]  # fmt: skip
    said = f"Cost: forward and backward of the NumPy module, float32, T = {first.steps}, B = {first.batch}"
    counts = (f"{c.name}: {c.cost.formula or 0} at {', '.join(f'{n} = {v}' for n, v in c.sizes.items())}"
              for c in report.cells)  # fmt: skip
    return "\n".join([said, *_table(heads, rows, left=1), *(line for c in counts for line in _wrapped(c, WIDTH))])


# small things


def _wrapped(line: str, width: int, indent: str = "  ") -> list[str]:
    return textwrap.wrap(line, width - 2, initial_indent=indent, subsequent_indent=indent + "    ",
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _short(value: float) -> str:
    """At most seven characters."""
    return "0" if value == 0 else f"{value:.2g}" if 1e-3 <= value < 1e4 else f"{value:.0e}"


def _memory(found: int | None, steps: int) -> str:
    return f"> {steps}" if found is None else str(found)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Columns two blanks apart, the first ``left`` of them flush left."""
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(len(heads))]
    return ["  " + "  ".join(f"{text:<{w}}" if k < left else f"{text:>{w}}"
                             for k, (text, w) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in [heads, *rows]]  # fmt: skip
