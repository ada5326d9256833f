"""Pictures of a step and of its unrolling: what they show is what the equations say, and nothing lies on anything."""

import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from large_cell import large

from symcell.derivation.figures import draw_mermaid, draw_svg, draw_text, draw_tikz, step_graph
from symcell.derivation.figures.draw import picture
from symcell.derivation.figures.model import Role, Through
from symcell.derivation.figures.onestep import collapsed, fits
from symcell.derivation.tex import TexPrinter
from symcell.derivation.text import TextPrinter, width
from symcell.language import load, names, parse

SAMPLE = ("cornn", "lstm", "mlstm", "nas", "narx", "rwkv4")
EVERY = [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in names()]
KINDS = ("step", "unrolled")


def ways(graph):
    keys = [(n.name, n.lag) for n in graph.nodes]
    return {(keys[a.source], keys[a.target][0], a.through, a.matrices) for a in graph.arrows}


def test_how_values_enter():
    lstm = ways(step_graph(load("lstm")))
    assert (("x", 0), "i", Through.MATRIX, ("W_i",)) in lstm
    assert (("h", 1), "f", Through.MATRIX, ("U_f",)) in lstm
    assert (("c", 1), "c", Through.UNITWISE, ()) in lstm
    assert len(lstm) == 8 + 4 + 2
    cornn = {(through, matrices) for source, target, through, matrices in ways(step_graph(load("cornn")))
             if (source, target) == (("z", 1), "z")}  # fmt: skip
    assert cornn == {(Through.ADDED, ()), (Through.UNITWISE, ()), (Through.MATRIX, ("U",))}
    delta = ways(step_graph(load("deltanet")))
    assert {w for w in delta if w[:2] == (("S", 1), "S")} == {(("S", 1), "S", Through.ADDED, ())}


def test_roles():
    roles = {(n.name, n.lag): n.role for n in step_graph(load("deltanet")).nodes}
    assert roles["x", 0] is Role.INPUT
    assert roles["S", 1] is Role.BEFORE
    assert roles["S", 0] is Role.STATE
    assert roles["y", 0] is Role.OUTPUT
    assert roles["e", 0] is Role.VALUE


def _apart(a, b):
    return abs(a.x - b.x) > (a.width + b.width) / 2 + 1 or abs(a.y - b.y) > (a.height + b.height) / 2 + 1


@pytest.mark.parametrize("name", EVERY)
def test_nothing_lies_on_anything(name):
    graph = step_graph(load(name))
    for kind in KINDS:
        made = picture(kind, graph, {})
        assert made == picture(kind, step_graph(load(name)), {})
        assert all(_apart(a, b) for a, b in combinations(made.boxes, 2))
        for box in made.boxes:
            assert box.width / 2 <= box.x <= made.width - box.width / 2
            assert box.height / 2 <= box.y <= made.height - box.height / 2
        places = [(round(t.x, 3), round(t.y, 3), t.anchor) for t in made.texts]
        assert len(set(places)) == len(places)
    step = picture("step", graph, {})
    lefts = {round(box.x - box.width / 2, 3) for box in step.boxes}
    assert all(round(line.points[-1][0], 3) in lefts for line in step.lines if line.head)


@pytest.mark.parametrize("name", EVERY)
def test_every_arrow_is_drawn_in_every_language(name):
    graph = step_graph(load(name))
    text = draw_text("step", graph, TextPrinter({}))
    assert max(map(width, text.splitlines())) <= 80
    assert max(width(line) for line in draw_text("unrolled", graph, TextPrinter({})).splitlines()) <= 80
    if "●" in text:
        assert text.count("●") == len({(a.source, a.target) for a in graph.arrows})
    assert draw_mermaid("step", graph, {}).count("-->") == len(graph.arrows)
    tikz = draw_tikz("step", graph, TexPrinter({}, False))
    assert tikz.count("->,") == len(graph.arrows)
    assert tikz.count("{") == tikz.count("}")
    svg = ET.fromstring(draw_svg("step", graph, {}, "<a & b>", "one"))
    assert svg[0].text == "<a & b>"
    assert len([e for e in svg.iter() if e.get("marker-end")]) == len(graph.arrows)


def test_the_text_of_lstm():
    assert draw_text("step", step_graph(load("lstm")), TextPrinter({})).splitlines()[-3:] == [
        "       ●─⊙───────────●─⊙────●─⊙────●─⊙────┼────▶ c[t]",
        "                                          │      │",
        "                                          ●─⊙────●─⊙──▶ h[t]",
    ]


def test_a_large_cell_has_a_small_picture():
    graph = step_graph(parse(large(400), name="large"))
    assert not fits(graph)
    assert len(collapsed(graph).nodes) == 4
    for kind in KINDS:
        made = picture(kind, graph, {})
        assert made.width < 700
        assert len(made.boxes) < 12
        assert len(draw_text(kind, graph, TextPrinter({})).splitlines()) < 50
        assert len(draw_mermaid(kind, graph, {}).splitlines()) < 30


def test_a_cell_of_states_alone_that_are_too_many_to_draw():
    states = range(51)
    lines = [f"s{k}[t] = tanh(w{k}*x[t] + s{k}[t-1])" for k in states]
    graph = step_graph(parse("\n".join([*lines, "y[t] = " + " + ".join(f"s{k}[t]" for k in states)]), name="many"))
    small = collapsed(graph)
    own = {(a.name, b.name) for a, b in ((graph.nodes[a.source], graph.nodes[a.target]) for a in graph.arrows)}
    shown = {(small.nodes[a.source].name, small.nodes[a.target].name) for a in small.arrows}
    assert {("x", "s0"), ("s0", "y")} <= shown <= own
    assert len(picture("step", graph, {}).boxes) == len(small.nodes) <= 26


def test_names_that_mean_something_elsewhere():
    graph = step_graph(parse("beta_end[t] = tanh(W_subgraph @ x[t] + U @ beta_end[t-1])\noutput: beta_end", name="odd"))
    assert 'n0 -- "W<sub>subgraph</sub>" --> n2' in draw_mermaid("step", graph, {})
    assert r"\beta_{\mathrm{end},t}" in draw_tikz("step", graph, TexPrinter({}, False))
    assert ">β</tspan>" in draw_svg("step", graph, {}, "", "one")
