"""A picture as a ``tikzpicture``; needs the package ``tikz`` and nothing else."""

from __future__ import annotations

from itertools import pairwise

from symcell.derivation.figures.picture import LOSS, Box, Label, Line, Look, Picture, Point, Sign, Stroke, Symbol, Text
from symcell.derivation.tex import TexPrinter

TEXT_WIDTH = 440.0
"""Points of a line of the article."""
SCALE = 0.78
_SIGNS = {"⊙": r"\odot", "…": r"\dots", "∗": r"\ast"}
_STYLES = {
    Stroke.MATRIX: "blue!65!black",
    Stroke.UNITWISE: "orange!65!black",
    Stroke.ADDED: "green!45!black",
    Stroke.FLOW: "black",
    Stroke.GRADIENT: "red!70!black",
}
_ROUND = {Look.INPUT, Look.BEFORE, Look.LOSS}
_FILLED = {Look.STATE, Look.OUTPUT}


def draw_tikz(picture: Picture, printer: TexPrinter, width: float = TEXT_WIDTH) -> str:
    """The picture no wider than ``width`` points; labels are in the size that goes with it."""
    scale = min(SCALE, width / picture.width)
    fonts = (r"\small", r"\footnotesize") if scale > 0.68 else (r"\scriptsize", r"\tiny")
    head = rf"\begin{{tikzpicture}}[x={scale:.3f}pt,y=-{scale:.3f}pt,>=latex,inner sep=0pt]"
    parts = [head, rf"\useasboundingbox (0,0) rectangle ({_n(picture.width)},{_n(picture.height)});"]
    parts += [_line(line) for line in picture.lines]
    parts += [_box(box, printer, scale, fonts[0]) for box in picture.boxes]
    parts += [_text(text, printer, fonts[1]) for text in picture.texts]
    return "\n".join((*parts, r"\end{tikzpicture}"))


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _at(point: Point) -> str:
    return f"({_n(point[0])},{_n(point[1])})"


def _line(line: Line) -> str:
    dashed = ",densely dashed" if line.stroke is Stroke.GRADIENT else ""
    colour = _STYLES[line.stroke] if line.head else "black!55"
    return rf"\draw[{'->,' if line.head else ''}{colour}{dashed}] {_path(line.points, line.curved)};"


def _path(points: tuple[Point, ...], curved: bool) -> str:
    out = _at(points[0])
    for (x0, y0), (x1, y1) in pairwise(points):
        if curved and abs(y1 - y0) > 0.05:
            middle = (x0 + x1) / 2
            out += f" .. controls {_at((middle, y0))} and {_at((middle, y1))} .. {_at((x1, y1))}"
        else:
            out += f" -- {_at((x1, y1))}"
    return out


def _box(box: Box, printer: TexPrinter, scale: float, font: str) -> str:
    style = "rounded corners=3pt"
    if box.look in _ROUND:
        style = f"rounded corners={min(15.0, box.height / 2) * scale:.1f}pt"
    style += ",thick,fill=black!10" if box.look in _FILLED else ",fill=black!3" if box.look is Look.STEP else ""
    size = f"minimum width={box.width * scale:.1f}pt,minimum height={box.height * scale:.1f}pt"
    return rf"\node[draw,{style},{size},font={font}] at {_at((box.x, box.y))} {{${_label(box.label, printer)}$}};"


def _text(text: Text, printer: TexPrinter, font: str) -> str:
    anchor = {"middle": "center", "end": "east", "start": "west"}[text.anchor]
    colour = _STYLES[text.stroke] if text.stroke else "black"
    return (rf"\node[anchor={anchor},text={colour},font={font}] at {_at((text.x, text.y))} "
            rf"{{${_label(text.label, printer)}$}};")  # fmt: skip


def _label(label: Label, printer: TexPrinter) -> str:
    return r"\,".join(_part(part, printer) for part in label)


def _part(part: Symbol | Sign, printer: TexPrinter) -> str:
    if isinstance(part, Sign):
        return _SIGNS.get(part.text, part.text.replace("−", "-"))
    if part.name == LOSS and part.lag is not None:
        return rf"\ell_{{{printer.when(part.lag)}}}"
    if part.lag is None:
        return printer.name(part.name)
    return printer.delta(part.name, part.lag) if part.delta else printer.timed(part.name, part.lag)
