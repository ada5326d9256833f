"""Cells side by side: gates by what they do, ways through a step, numbers in proportion."""

from __future__ import annotations

import json

import pytest

import symcell
from symcell.compare import Work, compare, gates
from symcell.compare.model import proportion
from symcell.compare.page import markdown, page
from symcell.compare.ranges import Ranges
from symcell.compare.text import text

INF = float("inf")


def gated(text: str) -> list[tuple[str, str, str]]:
    return [(g.name, str(g.factor), str(g.gated)) for g in gates(symcell.parse(text, name="cell"))]


@pytest.mark.parametrize(("text", "found"), [
    ("h[t] = z[t]*h[t-1] + (1 - z[t])*x[t]\nz[t] = sigmoid(x[t])",
     [("z", "z[t]", "h[t-1]"), ("z", "1 - z[t]", "x[t]")]),
    ("h[t] = hard_sigmoid(x[t]) * h[t-1]", [("", "hard_sigmoid(x[t])", "h[t-1]")]),
    ("h[t] = exp(-softplus(x[t])) * h[t-1]", [("", "exp(-softplus(x[t]))", "h[t-1]")]),
    ("h[t] = tanh(x[t]) * h[t-1]", []),
    ("h[t] = sigmoid(x[t] + h[t-1])", []),
    ("h[t] = sigmoid(a) * h[t-1] + x[t]", []),
    ("h[t] = exp(x[t]) * h[t-1]", []),
    ("h[t] = 2 * sigmoid(x[t]) * tanh(h[t-1])", [("", "sigmoid(x[t])", "2*tanh(h[t-1])")]),
])  # fmt: skip
def test_a_gate_is_a_varying_share_that_multiplies_what_varies(text: str, found: list[tuple[str, str, str]]) -> None:
    assert gated(text + "\nx: H") == found


def test_shipped_gates() -> None:
    names = {name: compare(name).profiles[0].gate_names for name in ("rnn", "gru", "lstm")}
    assert names == {"rnn": (), "gru": ("r", "z"), "lstm": ("f", "i", "o")}


@pytest.mark.parametrize(("body", "low", "high"), [
    ("sigmoid(x[t])", 0, 1), ("1 - 2*sigmoid(x[t])", -1, 1), ("tanh(x[t])**2", 0, 1), ("relu(x[t])", 0, INF),
    ("clip(x[t], 0, 3) / 3", 0, 1), ("maximum(tanh(x[t]), 0)", 0, 1), ("1 / (1 + exp(x[t]))", 0, 1),
    ("softmax(x[t])", 0, 1), ("x[t] - x[t]", -INF, INF), ("1 / tanh(x[t])", -INF, INF),
])  # fmt: skip
def test_ranges(body: str, low: float, high: float) -> None:
    cell = symcell.parse(f"h[t] = {body}", name="cell")
    assert Ranges(cell).of(cell.equation("h").rhs) == (low, high)


def test_three_cells() -> None:
    """The claim of every lecture: GRU and LSTM have 3 and 4 times the parameters; what passes ungated, and what not."""
    found = compare("rnn", "gru", "lstm")
    assert proportion(found.ratio("parameters")) == "1 : 3 : 4"
    ways = [{(p.target.text, p.source.text, p.kind) for p in profile.paths} for profile in found.profiles]
    assert ways[0] == {("h[t]", "h[t-1]", "matrix")}
    assert ("h[t]", "h[t-1]", "gated") in ways[1]
    assert ("c[t]", "c[t-1]", "gated") in ways[2]
    said = str(found)
    assert "Parameters of rnn : gru : lstm are as 1 : 3 : 4." in said
    assert max(map(len, said.splitlines())) <= 80


def test_many_cells_go_on_in_bands_and_nothing_is_cut() -> None:
    found = compare("rnn", "mamba", "gru", "nas")
    for width in (60, 80, 200):
        said = text(found, width)
        assert max(map(len, said.splitlines())) <= width
        flat = "".join(said.split())
        for profile in found.profiles:
            assert f"{profile.cost('parameters'):,}" in said
            assert f"{profile.cost('FLOPs backward'):,}" in flat


def test_measuring_runs_each_and_says_what_it_measured() -> None:
    from symcell.bench.timing import Pace
    from symcell.compare.measuring import measured

    cells = [symcell.load(name) for name in ("rnn", "lstm")]
    quick = Pace(rounds=1, least=1, budget=0.0, rest=0.0, turn=1e-4)
    times, notes = measured(cells, Work("numpy", 2, 1, 3, 4), with_memory=False, pace=quick)
    assert all(m is not None and m.seconds > 0 and m.memory is None for m in times)
    assert not notes


def test_every_form_holds_the_users_words_as_text() -> None:
    mine = '"""A <b>cell</b> | $x$"""\nh[t] = tanh(x[t] + h[t-1])   # <i>label</i>\nx: H'
    found = compare(symcell.parse(mine, name="mine"), "rnn")
    assert "<b>" not in page(found)
    assert "A &lt;b&gt;cell&lt;/b&gt; | $x$" in page(found)
    assert "<b>" not in markdown(found)
    json.dumps(found.to_dict())
