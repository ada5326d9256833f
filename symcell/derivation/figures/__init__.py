"""Pictures of a cell: one step as a graph, and its unrolling over time; as SVG, TikZ, text and mermaid."""

from symcell.derivation.figures.draw import draw_mermaid, draw_svg, draw_text, draw_tikz
from symcell.derivation.figures.step import step_graph

__all__ = ["draw_mermaid", "draw_svg", "draw_text", "draw_tikz", "step_graph"]
