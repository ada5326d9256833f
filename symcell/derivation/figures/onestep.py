"""The graph of one step as a picture: what enters on the left, each value in a column behind what it reads.

How a value is read stands where its arrow arrives: the matrices that it goes through, ⊙ for a factor or an argument of
a function, + for a term of the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from symcell.derivation.figures.layers import Layout, layered
from symcell.derivation.figures.model import Arrow, Node, Role, StepGraph, Through
from symcell.derivation.figures.names import label_width
from symcell.derivation.figures.picture import Box, Label, Line, Look, Picture, Sign, Stroke, Symbol, Text

FONT = 15.0
SMALL = 13.5
PORT = 19.0
"""Between two arrows that arrive at one box."""
MARGIN = 6.0
CURVE = 52.0
STUB = 16.0
MOST = (26, 70)
"""Nodes and arrows of the largest graph that is drawn in full."""


def one_step(graph: StepGraph, names: Mapping[str, str]) -> Picture:
    """The picture of one step; the values of a cell that is too large for it are drawn as one box."""
    return _Drawing(graph if fits(graph) else collapsed(graph), names).picture()


def fits(graph: StepGraph) -> bool:
    return len(graph.nodes) <= MOST[0] and len(graph.arrows) <= MOST[1]


def collapsed(graph: StepGraph) -> StepGraph:
    """The graph with all that is neither a state nor given in one node, named after its first and its last value.

    Of too many states and inputs the first few of each role stay, with the arrows between what stays.
    """
    inner = [n for n in graph.nodes if n.role is Role.VALUE]
    kept = [n for n in graph.nodes if n.role is not Role.VALUE]
    if len(kept) > MOST[0]:
        kept = _first_of_each_role(kept)
    nodes = (*kept, Node(f"{inner[0].name}\0{inner[-1].name}", 0, Role.VALUE)) if inner else tuple(kept)
    place = {n: k for k, n in enumerate(nodes)} | dict.fromkeys(inner, len(kept))
    ways: dict[tuple[int, int], Through] = {}
    order = list(Through)
    for arrow in graph.arrows:
        ends = [place.get(graph.nodes[k]) for k in (arrow.source, arrow.target)]
        source, target = ends
        if source is None or target is None:
            continue
        late = source < len(kept) and nodes[source].lag == 0 and nodes[source].role is not Role.INPUT
        if source != target and not (late and target == len(kept)):
            way = ways.get((source, target), arrow.through)
            ways[source, target] = min(way, arrow.through, key=order.index)
    return StepGraph(nodes, tuple(Arrow(a, b, t) for (a, b), t in ways.items() if t), graph.inputs, graph.states,
                     graph.output)  # fmt: skip


def _first_of_each_role(nodes: Sequence[Node]) -> list[Node]:
    shown: list[Node] = []
    for role in Role:
        shown += [n for n in nodes if n.role is role][:4]
    return shown


def symbols(name: str, lag: int) -> Label:
    """The label of a node: one symbol, or the first and the last of several."""
    first, _, last = name.partition("\0")
    return (Symbol(first, lag), Sign("…"), Symbol(last, lag)) if last and last != first else (Symbol(first, lag),)


@dataclass(frozen=True)
class _Column:
    """``zone``: where the labels of arriving arrows begin; ``left``, ``right``: the boxes."""

    zone: float
    left: float
    right: float


class _Drawing:
    def __init__(self, graph: StepGraph, names: Mapping[str, str]) -> None:
        self.graph, self.names = graph, names
        self.arriving: list[list[int]] = [[] for _ in graph.nodes]
        for k, arrow in enumerate(graph.arrows):
            self.arriving[arrow.target].append(k)
        self.labels = [symbols(n.name, n.lag) for n in graph.nodes]
        self.signs = [_way(a) for a in graph.arrows]
        self.heights = [max(30.0, PORT * len(a) + 4) for a in self.arriving]
        given = [k for k, n in enumerate(graph.nodes) if n.role in (Role.INPUT, Role.BEFORE)]
        edges = [(a.source, a.target) for a in graph.arrows]
        self.layout: Layout = layered(self.heights, edges, given)
        self.columns = self.across()

    def across(self) -> list[_Column]:
        """Where the columns are, from left to right."""
        count = max(self.layout.columns, default=0) + 1
        members = [[k for k, c in enumerate(self.layout.columns) if c == column] for column in range(count)]
        widths = [max((self.box_width(k) for k in m), default=0.0) for m in members]
        zones = [max((label_width(self.signs[e], self.names, SMALL) for k in m for e in self.arriving[k]), default=0.0)
                 for m in members]  # fmt: skip
        gaps = [MARGIN if not k else CURVE + zone + 8 + STUB for k, zone in enumerate(zones)]
        lefts = list(accumulate((g + w for g, w in zip(gaps[1:], widths, strict=False)), initial=gaps[0]))
        return [_Column(left - STUB - zone - 8, left, left + width)
                for left, zone, width in zip(lefts, zones, widths, strict=True)]  # fmt: skip

    def box_width(self, node: int) -> float:
        return max(34.0, label_width(self.labels[node], self.names, FONT) + 16)

    def y(self, height: float) -> float:
        return height + MARGIN

    def picture(self) -> Picture:
        lines, texts = [], []
        for node, arrows in enumerate(self.arriving):
            for port, k in zip(self.ports(node), sorted(arrows, key=self.comes_from), strict=True):
                lines += self.lines(k, port)
                texts.append(self.text(k, port))
        boxes = tuple(self.box(k) for k in range(len(self.graph.nodes)))
        height = self.layout.extent + 2 * MARGIN
        return Picture(self.columns[-1].right + MARGIN, height, boxes, tuple(lines), tuple(texts))

    def box(self, node: int) -> Box:
        column = self.columns[self.layout.columns[node]]
        middle = (column.left + column.right) / 2
        look = Look(self.graph.nodes[node].role.value)
        return Box(middle, self.y(self.layout.heights[node]), column.right - column.left, self.heights[node],
                   self.labels[node], look)  # fmt: skip

    def ports(self, node: int) -> list[float]:
        count, middle = len(self.arriving[node]), self.y(self.layout.heights[node])
        return [middle + PORT * (k - (count - 1) / 2) for k in range(count)]

    def comes_from(self, edge: int) -> tuple[float, int]:
        lanes = self.layout.lanes[edge]
        return (lanes[-1] if lanes else self.layout.heights[self.graph.arrows[edge].source], edge)

    def lines(self, edge: int, port: float) -> list[Line]:
        """From the source to the label, and on to the box."""
        arrow = self.graph.arrows[edge]
        first, last = self.layout.columns[arrow.source], self.layout.columns[arrow.target]
        points = [(self.columns[first].right, self.y(self.layout.heights[arrow.source]))]
        for column, lane in enumerate(self.layout.lanes[edge], first + 1):
            points += [(self.columns[column].zone, self.y(lane)), (self.columns[column].right, self.y(lane))]
        target = self.columns[last]
        start = target.left - STUB - label_width(self.signs[edge], self.names, SMALL) - 4
        points.append((target.zone, port))
        stroke = Stroke(arrow.through.value)
        to_label = Line((*points, (start, port)), stroke, curved=True, head=False)
        return [to_label, Line(((target.left - STUB + 2, port), (target.left, port)), stroke)]

    def text(self, edge: int, port: float) -> Text:
        arrow = self.graph.arrows[edge]
        x = self.columns[self.layout.columns[arrow.target]].left - STUB
        return Text(x - 1, port, self.signs[edge], Stroke(arrow.through.value), "end")


def _way(arrow: Arrow) -> Label:
    match arrow.through:
        case Through.MATRIX if arrow.matrices:
            return tuple(Symbol(m) for m in arrow.matrices)
        case Through.MATRIX:
            return (Sign("∗"),)
        case Through.UNITWISE:
            return (Sign("⊙"),)
        case Through.ADDED:
            return (Sign("+"),)
