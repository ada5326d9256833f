"""Section 4: one step as a graph, and three of them unrolled."""

from __future__ import annotations

from symcell.derivation.build.source import Source
from symcell.derivation.figures import step_graph
from symcell.derivation.model import Figure, Group, Section, say


def graph_section(source: Source) -> Section:
    graph = step_graph(source.cell)
    figures = (Figure("step", graph, say("graph.step")), Figure("unrolled", graph, say("graph.unrolled")))
    return Section("graph", say("graph.title"), (Group(None, figures),))
