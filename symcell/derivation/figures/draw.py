"""A figure of a document in the languages of the forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from symcell.derivation.figures import mermaid, onestep, rails, svg, text, tikz, unrolled
from symcell.derivation.figures.model import StepGraph
from symcell.derivation.figures.picture import Picture
from symcell.derivation.tex import TexPrinter
from symcell.derivation.text import TextPrinter

Kind: TypeAlias = Literal["step", "unrolled"]


def picture(kind: Kind, graph: StepGraph, names: Mapping[str, str]) -> Picture:
    """The figure with its layout. ``names``: what values are called in print where that is not their own name."""
    return (onestep.one_step if kind == "step" else unrolled.unrolled)(graph, names)


def draw_svg(kind: Kind, graph: StepGraph, names: Mapping[str, str], title: str, ident: str) -> str:
    """One ``<svg>`` element, coloured by CSS variables; ``title`` is read to who cannot see it, ``ident`` is a name of
    its own in the page."""
    return svg.draw_svg(picture(kind, graph, names), names, title, ident)


def draw_tikz(kind: Kind, graph: StepGraph, printer: TexPrinter, width: float = tikz.TEXT_WIDTH) -> str:
    """One ``tikzpicture`` no wider than ``width`` points; the document needs the package ``tikz``."""
    return tikz.draw_tikz(picture(kind, graph, printer.names), printer, width)


def draw_text(kind: Kind, graph: StepGraph, printer: TextPrinter, columns: int = rails.WIDTH) -> str:
    """Lines of characters, no longer than ``columns``."""
    return (rails.text_step if kind == "step" else text.text_unrolled)(graph, printer, columns)


def draw_mermaid(kind: Kind, graph: StepGraph, names: Mapping[str, str]) -> str:
    """A mermaid flowchart, without the fence around it."""
    return (mermaid.mermaid_step if kind == "step" else mermaid.mermaid_unrolled)(graph, names)
