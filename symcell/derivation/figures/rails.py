"""One step in characters: a rail a value, running down from where it is made to where it is last read."""

from __future__ import annotations

from collections.abc import Sequence

from symcell.derivation.figures.model import Arrow, StepGraph, Through
from symcell.derivation.figures.onestep import fits
from symcell.derivation.text import TextPrinter, width

WIDTH = 80
_CROSSED = {"│": "┼", "●": "●", "─": "─", " ": "─"}


def text_step(graph: StepGraph, printer: TextPrinter, columns: int = WIDTH) -> str:
    """One step: a row a value, joined to the rails of what it reads by its matrices, ⊙ (factor) or + (term).

    A graph that is too wide for ``columns`` is told as a list of what each value reads.
    """
    if fits(graph):
        for reuse in (False, True):
            rails = _Rails(graph, printer, reuse)
            if rails.width <= columns:
                return rails.draw()
    return _listed(graph, printer, columns)


class _Rails:
    def __init__(self, graph: StepGraph, printer: TextPrinter, reuse: bool) -> None:
        """``reuse``: a value takes over the rail of one that nothing reads any more."""
        self.graph, self.reuse = graph, reuse
        self.names = [printer.timed(n.name, n.lag) for n in graph.nodes]
        self.arriving: list[list[Arrow]] = [[a for a in graph.arrows if a.target == k] for k in range(len(graph.nodes))]
        self.last = {a.source: a.target for a in graph.arrows}
        self.ways = [_way(a, printer) for a in graph.arrows]
        self.rail = self.rails()
        self.step = max(4 + max(map(width, self.ways), default=1), 1 + max(map(width, self.names)), self.beside())
        self.width = self.step * max(self.rail.values()) + max(map(width, self.names)) + 1

    def entering(self) -> int:
        """How many nodes stand before the first value."""
        return next((k for k, a in enumerate(self.arriving) if a), len(self.arriving))

    def rails(self) -> dict[int, int]:
        """A rail for each node: the first one that is free."""
        if not self.reuse:
            return {node: node for node in range(len(self.graph.nodes))}
        rail: dict[int, int] = {}
        for node in range(len(self.graph.nodes)):
            ends = [n for n in rail if self.last.get(n, -1) >= node]
            taken = {rail[n] for n in ends}
            rail[node] = next(r for r in range(len(rail) + 1) if r not in taken)
        return rail

    def beside(self) -> int:
        """The room that a value needs which reads the rail on its right."""
        pairs = zip(self.graph.arrows, self.ways, strict=True)
        return max((width(self.names[a.target]) + 1 + width(way) for a, way in pairs
                    if self.rail[a.source] == self.rail[a.target] + 1), default=0)  # fmt: skip

    def draw(self) -> str:
        entering = self.entering()
        lines = [self.put({self.rail[k]: self.names[k] for k in range(entering)})]
        for node in range(entering, len(self.names)):
            lines += [self.upright(node), self.row(node)]
        return "\n".join(line.rstrip() for line in lines)

    def put(self, cells: dict[int, str]) -> str:
        line = ""
        for rail, text in sorted(cells.items()):
            line += " " * (rail * self.step - width(line)) + text
        return line

    def alive(self, node: int) -> list[int]:
        """The rails that pass the row of ``node``."""
        return [self.rail[n] for n in range(node) if self.last.get(n, -1) >= node]

    def upright(self, node: int) -> str:
        return self.put(dict.fromkeys(self.alive(node), "│"))

    def row(self, node: int) -> str:
        """The value at its rail, joined to what it reads; a rail that is not read is crossed."""
        reads: dict[int, list[str]] = {}
        for arrow, way in zip(self.graph.arrows, self.ways, strict=True):
            if arrow.target == node:
                reads.setdefault(self.rail[arrow.source], []).append(way)
        own, name = self.rail[node], self.names[node]
        low, high = min((*reads, own)), max((*reads, own))
        cells = dict.fromkeys(self.alive(node), "│")
        chars = list(self.put(cells).ljust(self.width + self.step))
        for k in range(low * self.step, high * self.step):
            chars[k] = _CROSSED[chars[k]]
        for rail, ways in reads.items():
            self.join(chars, rail, "·".join(ways), right=rail < own)
        left = low < own
        text = ("▶ " if left else "") + name + ("◀" if high > own else "")
        start = own * self.step - (2 if left else 0)
        chars[start : start + len(text)] = list(text)
        return "".join(chars)

    def join(self, chars: list[str], rail: int, way: str, right: bool) -> None:
        """A dot on the rail, and how it is read on the side of the value."""
        at = rail * self.step
        chars[at] = "●"
        start = at + 2 if right else at - len(way)
        chars[start : start + len(way)] = list(way)


def _way(arrow: Arrow, printer: TextPrinter) -> str:
    match arrow.through:
        case Through.MATRIX:
            return " ".join(printer.name(m) for m in arrow.matrices) or "∗"
        case Through.UNITWISE:
            return "⊙"
        case Through.ADDED:
            return "+"


def _listed(graph: StepGraph, printer: TextPrinter, columns: int) -> str:
    """``h[t] ◀ U h[t-1], ⊙ c[t]``: a line a value, continued below where it is long; the first and last of many."""
    names = [printer.timed(n.name, n.lag) for n in graph.nodes]
    reads: dict[int, list[str]] = {}
    for arrow in graph.arrows:
        reads.setdefault(arrow.target, []).append(f"{_way(arrow, printer)} {names[arrow.source]}")
    left = max((width(names[k]) for k in reads), default=0)
    lines = []
    for k, parts in reads.items():
        rows = wrapped(parts, columns - left - 3)
        lines.append("\n".join(f"{names[k] if not i else '':{left}} {'◀' if not i else ' '} {row}"
                               for i, row in enumerate(rows)))  # fmt: skip
    if len(lines) > 40:
        lines[12:-12] = [f"{'…':{left}}"]
    return "\n".join(lines)


def wrapped(parts: Sequence[str], room: int) -> list[str]:
    """Parts with commas between them, in lines of at most ``room`` columns where they fit."""
    rows = [""]
    for part in parts:
        joined = f"{rows[-1]}, {part}" if rows[-1] else part
        if width(joined) > room and rows[-1]:
            rows[-1] += ","
            rows.append(part)
        else:
            rows[-1] = joined
    return rows
