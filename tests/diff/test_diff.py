"""What a change of a cell changes: read off cells where anyone can say it."""

from __future__ import annotations

import json
import re

import pytest

import symcell
from symcell.diff import diff
from symcell.diff.page import markdown, page
from symcell.diff.pairing import pairs

GATED = """i[t] = sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)   # input gate
f[t] = sigmoid(W_f @ x[t] + U_f @ h[t-1] + b_f)
c[t] = f[t] * c[t-1] + i[t] * tanh(V @ x[t])
h[t] = tanh(c[t])
"""


def cell(text: str = GATED, name: str = "old", **renamed: str) -> symcell.Cell:
    """A cell, in which names are called otherwise, all at once."""
    words = "|".join(map(re.escape, renamed)) or "$^"
    return symcell.parse(re.sub(rf"\b({words})\b", lambda m: renamed[m[0]], text), name=name)


@pytest.mark.parametrize("other", [
    cell(),
    cell("# a comment\n\n" + GATED.replace("input gate", "gate")),
    cell("\n".join(reversed(GATED.splitlines()))),
    cell(i="f", f="i", W_i="A", U_i="B", b_i="b", V="Z", h="y", x="u"),
    cell(GATED + "h: N\nx: K\n"),
    cell(c="ζ", V="Γ"),
], ids=["equal", "comments", "order", "names", "sizes", "unicode"])  # fmt: skip
def test_what_is_the_same_cell_has_no_difference(other: symcell.Cell) -> None:
    found = diff(cell(), other)
    assert found.same
    assert found.verdict in ("equal", "renamed")
    assert not found.equations.changes
    assert not found.gradients
    assert not found.costs


def test_names_are_told_and_what_follows_is_in_the_old_ones() -> None:
    found = diff(cell(), cell(GATED.replace("tanh(c[t])", "c[t]"), i="ein", W_i="A", c="store"))
    assert found.names == {"i": "ein", "W_i": "A", "c": "store"}
    assert [(b.old.plain, b.new.plain) for b in found.equations.changes] == [("h[t] = tanh(c[t])", "h[t] = c[t]")]
    changed = {f.title: [b.new.left for b in f.changes] for f in found.gradients}
    assert changed["error signals δ"] == ["δc[T]", "δc[t]"]
    assert not changed["parameter gradients"]


def test_a_name_in_the_way_is_no_other_names_counterpart() -> None:
    """The old ``i`` is now ``gate``, and a parameter is called ``i``: both must stand side by side."""
    new = cell(GATED.replace("i[t]", "gate[t]").replace("tanh(V", "i * tanh(V"), name="new")
    found = diff(cell(), new)
    assert {b.kind for b in found.equations.changes} == {"changed"}
    assert [f.name for f in found.facts if f.what == "parameter" and f.texts.kind == "added"] == ["i_2"]


ONE_GATE = "z[t] = sigmoid(W_z @ x[t] + U_z @ h[t-1] + b_z)\nh[t] = relu(z[t] * h[t-1])\n"


@pytest.mark.parametrize(("old", "new"), [("gru", "lstm"), ("lstm", "one"), ("one", "lstm"), ("read", "earlier")])
def test_what_could_be_any_of_several_is_not_paired(old: str, new: str) -> None:
    """Nor is what is read at another step."""
    mine = {"one": ONE_GATE, "read": "h[t] = a[t]\na[t] = tanh(x[t])", "earlier": "h[t] = b[t-1]\nb[t] = relu(x[t])"}
    first, second = (cell(mine[n], n) if n in mine else symcell.load(n) for n in (old, new))
    assert all(name == there for name, there in pairs(first, second).names.items())


def test_another_order_of_terms_is_the_same_function_and_says_which_equation() -> None:
    text = GATED.replace("f[t] * c[t-1] + i[t] * tanh(V @ x[t])", "i[t]*tanh(V @ x[t]) + c[t-1]*f[t]")
    found = diff(cell(), cell(text))
    assert (found.verdict, found.same) == ("rewritten", True)
    assert [b.old.left for b in found.equations.changes] == ["c[t]"]


@pytest.mark.parametrize(("line", "what"), [("b_f: H = 1", ("parameter", "b_f")), ("h[0] = h_0", ("state", "h"))])
def test_a_start_is_a_difference(line: str, what: tuple[str, str]) -> None:
    found = diff(cell(), cell(f"{GATED}{line}\n"))
    assert not found.same
    assert what in {(f.what, f.name) for f in found.facts}


def test_a_constant_is_a_difference() -> None:
    text = GATED.replace("tanh(c[t])", "tanh(c[t]) * a") + "a: const = "
    assert not diff(cell(text + "2"), cell(text + "3")).same


def test_costs_and_stages_are_those_of_the_plans() -> None:
    found = diff(cell(), cell(GATED.replace("tanh(V @ x[t])", "tanh(V @ x[t] + b)")))
    costs = {(c.what, c.targets): c.numbers() for c in found.costs}
    assert costs["parameters", ()] == tuple(n * 256 * 256 + 2 * 256 + extra for n, extra in ((5, 0), (5, 256)))
    assert {s.target for s in found.stages} == {"numpy", "c", "cupy"}
    for stages in found.stages:
        added = {name for b in stages.changes if b.new for name in b.new.made if not b.old or name not in b.old.made}
        assert "db" in added, stages.target


def test_every_form_holds_the_users_words_as_text() -> None:
    label = "<script>alert(1)</script> $x$ ```"
    new = cell(GATED.replace("tanh(c[t])", "c[t]").replace("input gate", label), name="new")
    found = diff(cell(), new)
    assert "<script>" not in page(found)
    assert "&lt;script&gt;" in page(found)
    assert f"label i: input gate → {label}" in " ".join(str(found).split())
    assert re.match("````+diff\n", markdown(found))
    assert json.loads(json.dumps(found.to_dict()))["notes"][0]["new"] == label
    assert max(map(len, str(found).splitlines())) <= 80
