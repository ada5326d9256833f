"""A picture as SVG: colours are CSS variables with a fallback, so it follows a page in light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import pairwise

from symcell.derivation.figures.names import split
from symcell.derivation.figures.onestep import FONT, SMALL
from symcell.derivation.figures.picture import Box, Label, Line, Look, Picture, Point, Sign, Stroke, Symbol, Text

_COLOURS = {
    Stroke.MATRIX: "var(--matrix,#1f6feb)",
    Stroke.UNITWISE: "var(--unitwise,#b35900)",
    Stroke.ADDED: "var(--added,#1a7f37)",
    Stroke.FLOW: "currentColor",
    Stroke.GRADIENT: "var(--gradient,#cf222e)",
}
_ROUND = {Look.INPUT, Look.BEFORE, Look.LOSS}
FAMILY = "'STIX Two Math','Latin Modern Math','Cambria Math','STIX Two Text',Georgia,serif"


def draw_svg(picture: Picture, names: Mapping[str, str], title: str, ident: str) -> str:
    """``title``: what the picture shows, for who cannot see it; ``ident``: a name of its own in the page."""
    parts = [_head(picture, title, ident)]
    parts += [_line(line, ident) for line in picture.lines]
    parts += [_box(box, names) for box in picture.boxes]
    parts += [_text(text, names) for text in picture.texts]
    return "\n".join((*parts, "</svg>"))


def _head(picture: Picture, title: str, ident: str) -> str:
    markers = "".join(
        f'<marker id="{ident}-{s.value}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.6 8 4 0 7.4z" style="fill:{c}"/></marker>'
        for s, c in _COLOURS.items()
    )
    width, height = _n(picture.width), _n(picture.height)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'<svg class="graph" xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{ident}-title" {size} '
        f'style="--natural:{width}px" '
        f'font-family="{FAMILY}"><title id="{ident}-title">{escape(title)}</title><defs>{markers}</defs>'
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _line(line: Line, ident: str) -> str:
    path = _path(line.points, line.curved)
    head = f' marker-end="url(#{ident}-{line.stroke.value})"' if line.head else ""
    dash = ' stroke-dasharray="5 3"' if line.stroke is Stroke.GRADIENT else ""
    colour = _COLOURS[line.stroke] if line.head else "var(--wire,rgba(127,127,127,.85))"
    return f'<path d="{path}" fill="none" style="stroke:{colour}" stroke-width="1.3"{dash}{head}/>'


def _path(points: tuple[Point, ...], curved: bool) -> str:
    out = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for (x0, y0), (x1, y1) in pairwise(points):
        bent = curved and abs(y1 - y0) > 0.05
        middle = _n((x0 + x1) / 2)
        out += f"C{middle} {_n(y0)} {middle} {_n(y1)} {_n(x1)} {_n(y1)}" if bent else f"L{_n(x1)} {_n(y1)}"
    return out


def _box(box: Box, names: Mapping[str, str]) -> str:
    radius = _n(min(15.0, box.height / 2) if box.look in _ROUND else 5.0)
    x, y = _n(box.x - box.width / 2), _n(box.y - box.height / 2)
    shape = f'x="{x}" y="{y}" width="{_n(box.width)}" height="{_n(box.height)}" rx="{radius}"'
    fill = {Look.STATE: "var(--state,rgba(127,127,127,.22))", Look.OUTPUT: "var(--state,rgba(127,127,127,.22))",
            Look.STEP: "var(--value,rgba(127,127,127,.08))"}.get(box.look, "none")  # fmt: skip
    width = "1.8" if box.look in (Look.STATE, Look.OUTPUT) else "1"
    rect = f'<rect class="{box.look.value}" {shape} style="fill:{fill};stroke:currentColor" stroke-width="{width}"/>'
    return rect + _label(box.x, box.y, box.label, names, FONT, "middle", "currentColor")


def _text(text: Text, names: Mapping[str, str]) -> str:
    colour = _COLOURS[text.stroke] if text.stroke else "currentColor"
    return _label(text.x, text.y, text.label, names, SMALL, text.anchor, colour)


def _label(x: float, y: float, label: Label, names: Mapping[str, str], size: float, anchor: str, colour: str) -> str:
    if not label:
        return ""
    spans = "".join(_part(part, names, size, k > 0) for k, part in enumerate(label))
    place = f'x="{_n(x)}" y="{_n(y + 0.33 * size)}" font-size="{_n(size)}" text-anchor="{anchor}"'
    return f'<text {place} style="fill:{colour}">{spans}</text>'


def _part(part: Symbol | Sign, names: Mapping[str, str], size: float, behind: bool) -> str:
    """One symbol; what stands behind a subscript goes back up to the line."""
    gap = f' dx="{_n(0.2 * size)}"' if behind else ""
    if isinstance(part, Sign):
        return f"<tspan{gap}>{escape(part.text)}</tspan>"
    head, subscript = split(part, names)
    first = f'<tspan{gap} font-style="italic">{escape(head)}</tspan>'
    if not subscript:
        return first
    low, small = _n(0.24 * size), _n(0.72 * size)
    return (f'{first}<tspan dy="{low}" font-size="{small}" font-style="italic">{escape(subscript)}</tspan>'
            f'<tspan dy="-{low}">\u200b</tspan>')  # fmt: skip
