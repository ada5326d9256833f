"""What Jupyter shows of cells, graphs, plans and derivations."""

import xml.etree.ElementTree as ET

import pytest

import symcell
from symcell.pipeline import derive, graphs, plan


@pytest.fixture(scope="module")
def shown():
    cell = symcell.load("lstm")
    return {"cell": cell, "graph": graphs(cell)[0], "plan": plan(cell), "derivation": derive(cell)}


@pytest.mark.parametrize(("kind", "said"), [("cell", r"\odot"), ("graph", "c[t-1]"), ("plan", "operations"),
                                            ("derivation", r"\odot")])  # fmt: skip
def test_every_object_has_three_pictures(shown, kind, said):
    thing = shown[kind]
    assert said in thing._repr_markdown_()
    assert said in thing._repr_latex_().replace(r"\_", "_")
    page = thing._repr_html_()
    assert (said in page) or ("⊙" in page)
    if kind != "derivation":
        ET.fromstring(f"<div>{page}</div>")


def test_a_cell_is_its_equations(shown):
    assert shown["cell"]._repr_markdown_().count("&=") == len(shown["cell"].equations)
    assert shown["cell"]._repr_html_().count("<math") == len(shown["cell"].equations)
