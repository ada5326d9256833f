"""The unrolled cell in characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from symcell.derivation.figures.model import StepGraph
from symcell.derivation.figures.picture import LOSS, Label, Sign, Symbol
from symcell.derivation.figures.rails import WIDTH, wrapped
from symcell.derivation.figures.unrolled import STEPS, carried, given, gradients
from symcell.derivation.text import TextPrinter, width

INNER = 9
"""Columns inside a step's box."""


def text_unrolled(graph: StepGraph, printer: TextPrinter, columns: int = WIDTH) -> str:
    """Steps t−1, t and t+1: inputs from below, the loss above, gradients dashed against the arrows."""
    forth = [[_told(label, printer) for label in carried(graph, lag)] for lag in STEPS[:-1]]
    back = [[_told(label, printer) for label in gradients(graph, lag)] for lag in STEPS[:-1]]
    gap = max((width(text) for step in (*forth, *back) for text in step), default=0) + 4
    if 2 * gap + 3 * (INNER + 2) + 10 > columns:
        return _states(graph, printer, columns)
    rows = [row for k in range(len(forth[0])) for row in _between([f[k] for f in forth], [b[k] for b in back], gap)]
    losses = _centred([_told((Symbol(LOSS, lag),), printer) for lag in STEPS], gap)
    outputs = _centred([_told((Symbol(graph.output, lag),), printer) + " │ ↓" for lag in STEPS], gap)
    inputs = _centred([_told(given(graph.inputs, lag), printer) for lag in STEPS], gap)
    body = [_row(k == len(rows) // 2 - 1, row) for k, row in enumerate(rows)]
    edge = [" " * 5 + (" " * gap).join([left + "─" * INNER + right] * len(STEPS)) for left, right in ("┌┐", "└┘")]
    stems = _centred(["↑ ╎"] * len(STEPS), gap)
    lines = [losses, stems, outputs, edge[0], *body, edge[1], stems, inputs]
    return "\n".join(line.rstrip() for line in lines)


def _states(graph: StepGraph, printer: TextPrinter, columns: int) -> str:
    """What a narrow terminal gets: the steps in one line, then what each one hands on."""
    names = [printer.timed(name, 0) for name in graph.states]
    return "\n".join(("t-1 ──▶ t ──▶ t+1", *wrapped(names, columns - 4)))


def _between(forth: Sequence[str], back: Sequence[str], gap: int) -> Iterator[tuple[str, ...]]:
    """The four rows of a state: its symbol, its arrow, its gradient's symbol and arrow, between the boxes."""
    there, home = "─" * (gap - 1) + "▶", "◀" + "╌" * (gap - 1)
    yield ("     ", *(name.center(gap) for name in forth), "")
    yield ("  ──▶", there, there, "──▶")
    yield ("     ", *(name.center(gap) for name in back), "")
    yield ("  ◀╌╌", home, home, "◀╌╌")


def _row(told: bool, cells: tuple[str, ...]) -> str:
    """One row of the boxes; ``told``: the steps stand in it."""
    boxes = [f"│{name if told else '':^{INNER}}│" for name in ("t-1", "t", "t+1")]
    return cells[0] + "".join(box + cell for box, cell in zip(boxes, cells[1:], strict=True))


def _centred(texts: Sequence[str], gap: int) -> str:
    """A text above or below each box; one with a line in it has the line where the box's arrow is."""
    line, first = "", 5 + (INNER + 2) // 2
    for k, text in enumerate(texts):
        anchor = text.index("│") + 1 if "│" in text else width(text) // 2
        line += " " * (first + k * (INNER + 2 + gap) - anchor - width(line)) + text
    return line


def _told(label: Label, printer: TextPrinter) -> str:
    parts = [p.text if isinstance(p, Sign) else printer.delta(p.name, p.lag or 0) if p.delta
             else printer.timed(p.name, p.lag or 0) for p in label]  # fmt: skip
    return " ".join(parts)
