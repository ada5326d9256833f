"""The cell unrolled over time as a picture: three steps, states going right, gradients coming back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from symcell.derivation.figures.model import Role, StepGraph
from symcell.derivation.figures.names import label_width, when
from symcell.derivation.figures.picture import LOSS, Box, Label, Line, Look, Picture, Sign, Stroke, Symbol, Text

SMALL = 13.0
STEPS = (1, 0, -1)
SHOWN = 3
"""More states than that are one line."""
ROW = 25.0
BOX = 84.0
RISE = 46.0
CIRCLE = 32.0
END = 34.0
_DOTS = Sign("…")


def unrolled(graph: StepGraph, names: Mapping[str, str]) -> Picture:
    """Steps t−1, t and t+1: inputs from below, the loss above, states between, gradients dashed against the arrows."""
    return _Drawing(graph, names).picture()


def carried(graph: StepGraph, lag: int) -> list[Label]:
    """What goes from step ``t-lag`` to the next one: a label for each state, or one for all."""
    labels = [_history(name, lag, _depth(graph, name)) for name in graph.states]
    return labels if len(labels) <= SHOWN else [(*labels[0], *labels[1], _DOTS, *labels[-1])]


def gradients(graph: StepGraph, lag: int) -> list[Label]:
    """What comes back for :func:`carried`."""
    return [tuple(Symbol(p.name, p.lag, delta=True) if isinstance(p, Symbol) else p for p in label)
            for label in carried(graph, lag)]  # fmt: skip


def given(names: Sequence[str], lag: int) -> Label:
    """Inputs of one step, as one label."""
    shown = tuple(Symbol(name, lag) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else (*shown[:2], _DOTS)


def _depth(graph: StepGraph, name: str) -> int:
    return max((n.lag for n in graph.nodes if n.name == name and n.role is Role.BEFORE), default=1)


def _history(name: str, lag: int, depth: int) -> Label:
    first = Symbol(name, lag)
    return (first,) if depth == 1 else (first, *((_DOTS,) if depth > 2 else ()), Symbol(name, lag + depth - 1))


class _Drawing:
    def __init__(self, graph: StepGraph, names: Mapping[str, str]) -> None:
        self.graph, self.names = graph, names
        self.rows = len(carried(graph, 1))
        self.height = max(60.0, 2 * ROW * self.rows + 10)
        widest = max((label_width(label, names, SMALL) for label in gradients(graph, 1)), default=0.0)
        self.gap = max(70.0, widest + 26)
        inputs = label_width(given(graph.inputs, 1), names, SMALL + 2) + 16
        self.wide = max(BOX, inputs)
        self.top = CIRCLE + RISE + 6

    def x(self, step: int) -> float:
        """The middle of a step's box."""
        return END + self.wide / 2 + step * (self.wide + self.gap)

    def picture(self) -> Picture:
        boxes: list[Box] = []
        lines: list[Line] = []
        texts: list[Text] = []
        for k, lag in enumerate(STEPS):
            boxes += self.step(k, lag)
            lines += self.upright(k)
            texts.append(Text(self.x(k) - 8, self.top - RISE / 2, (Symbol(self.graph.output, lag),), None, "end"))
        for k in range(len(STEPS) + 1):
            lines += self.between(k)
        for k, lag in enumerate(STEPS[:-1]):
            texts += self.told(k, lag)
        width = self.x(len(STEPS) - 1) + self.wide / 2 + END
        return Picture(width, self.top + self.height + RISE + CIRCLE + 6, tuple(boxes), tuple(lines), tuple(texts))

    def step(self, k: int, lag: int) -> list[Box]:
        x, bottom = self.x(k), self.top + self.height
        inputs = given(self.graph.inputs, lag)
        width = max(CIRCLE + 8, label_width(inputs, self.names, SMALL + 2) + 16)
        return [
            Box(x, self.top + self.height / 2, self.wide, self.height, (Sign(when(lag)),), Look.STEP),
            Box(x, bottom + RISE + CIRCLE / 2, width, CIRCLE, inputs, Look.INPUT),
            Box(x, 6 + CIRCLE / 2, CIRCLE + 12, CIRCLE, (Symbol(LOSS, lag),), Look.LOSS),
        ]

    def upright(self, k: int) -> Iterator[Line]:
        x, bottom = self.x(k), self.top + self.height
        ends = (self.top, self.top - RISE)
        yield Line(((x - 4, ends[0]), (x - 4, ends[1])), Stroke.FLOW)
        yield Line(((x + 6, ends[1]), (x + 6, ends[0])), Stroke.GRADIENT)
        yield Line(((x - 4, bottom + RISE), (x - 4, bottom)), Stroke.FLOW)
        yield Line(((x + 6, bottom), (x + 6, bottom + RISE)), Stroke.GRADIENT)

    def heights(self) -> Iterator[tuple[float, float]]:
        """Where each state's two lines run: forth and back."""
        above = self.top + (self.height - 2 * ROW * self.rows) / 2
        for row in range(self.rows):
            yield above + 2 * ROW * row + 0.72 * ROW, above + 2 * ROW * row + 1.6 * ROW

    def between(self, k: int) -> Iterator[Line]:
        """The lines on the left of step ``k``; behind the last step they go out."""
        left = self.x(k - 1) + self.wide / 2 if k else 2.0
        right = self.x(k) - self.wide / 2 if k < len(STEPS) else left + END - 2
        for forth, back in self.heights():
            yield Line(((left, forth), (right, forth)), Stroke.FLOW)
            yield Line(((right, back), (left, back)), Stroke.GRADIENT)

    def told(self, k: int, lag: int) -> Iterator[Text]:
        middle = self.x(k) + (self.wide + self.gap) / 2
        labels = zip(carried(self.graph, lag), gradients(self.graph, lag), self.heights(), strict=True)
        for there, back, (y, z) in labels:
            yield Text(middle, y - 10, there)
            yield Text(middle, z - 10, back, Stroke.GRADIENT)
