"""What is called equivalent is, however it is written; what is not is told apart, with a reason."""

from __future__ import annotations

import itertools
import re
from random import Random

import numpy as np
import pytest
import random_cells
from feature_cells import FEATURES

import symcell
from symcell.cell import Cell, CellError
from symcell.equivalence import Difference, Equivalence, compare, trial

LSTM = """
i[t] = sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)
f[t] = sigmoid(W_f @ x[t] + U_f @ h[t-1] + b_f)
g[t] = tanh(W_g @ x[t] + U_g @ h[t-1] + b_g)
o[t] = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o)
c[t] = f[t] * c[t-1] + i[t] * g[t]
h[t] = o[t] * tanh(c[t])
"""
GRU = """
r[t] = sigmoid(W_r @ x[t] + U_r @ h[t-1] + b_r)
z[t] = sigmoid(W_z @ x[t] + U_z @ h[t-1] + b_z)
n[t] = tanh(W_n @ x[t] + b_n + r[t] * (U_n @ h[t-1] + c_n))
h[t] = (1 - z[t]) * n[t] + z[t] * h[t-1]
"""


def cell(text: str, name: str = "cell") -> Cell:
    return symcell.parse(text, name=name)


def renamed(given: Cell, seed: int) -> Cell:
    """The same cell under other names, its lines in another order."""
    random = Random(seed)
    names = [*given.signals, *given.inputs, *given.parameters, *given.arrays, *given.constants, *given.sizes]
    fresh = dict(zip(names, random.sample([f"v_{k}" for k in range(len(names))], len(names)), strict=True))
    word = re.compile(r"\b(?<![\w.])\w+\b", re.UNICODE)
    lines = [word.sub(lambda m: fresh.get(m[0], m[0]), line) for line in given.body.splitlines() if line.strip()]
    declared = [f"{fresh[n]}: {'(' if len(s) == 2 else ''}{', '.join(_length(z, fresh) for z in s)}"
                f"{')' if len(s) == 2 else ''}"
                for n, s in (*given.signals.items(), *given.inputs.items()) if s]  # fmt: skip
    stated = {line.partition(":")[0].strip() for line in lines if ":" in line.partition("#")[0].partition("[")[0]}
    lines += [line for line in declared if line.partition(":")[0] not in stated]
    random.shuffle(lines)
    if "output" not in stated:
        lines.append(f"output: {fresh[given.output]}")
    return cell("\n".join(lines), "renamed")


def _length(size: object, fresh: dict[str, str]) -> str:
    return re.sub(r"\w+", lambda m: fresh.get(m[0], m[0]), str(size))


@pytest.mark.parametrize("name", symcell.names())
def test_names_and_order_do_not_matter(name: str) -> None:
    given = symcell.load(name)
    found = compare(given, renamed(given, 1))
    assert isinstance(found, Equivalence), found
    assert isinstance(compare(renamed(given, 2), given), Equivalence)


@pytest.mark.parametrize(("one", "other"), [("x[t] < b", "b > x[t]"), ("b >= x[t]", "x[t] <= b")])
def test_a_comparison_may_be_turned_round(one: str, other: str) -> None:
    text = "h[t] = where({}, U @ h[t-1], x[t])"
    assert isinstance(compare(cell(text.format(one)), cell(text.format(other))), Equivalence)
    strict = other.replace("<=", "<").replace(" > ", " >= ")
    assert isinstance(compare(cell(text.format(one)), cell(text.format(strict))), Difference)


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_of_the_language_is_compared(name: str) -> None:
    given = cell(FEATURES[name])
    found = compare(given, cell(FEATURES[name], "again"))
    assert isinstance(found, Equivalence), found
    assert {n: found.names[n] for n in given.states} == {n: n for n in given.states}


@pytest.mark.parametrize(
    "update",
    [
        "h[t] = n[t] + z[t] * (h[t-1] - n[t])",
        "h[t] = n[t] - z[t]*n[t] + h[t-1]*z[t]",
        "d[t] = h[t-1] - n[t]\nh[t] = z[t]*d[t] + n[t]",
        "k[t] = 1 - z[t]\nh[t] = h[t-1] - k[t]*h[t-1] + n[t]*k[t]",
        "h[t] = (2*n[t] - 2*z[t]*n[t] + 2*z[t]*h[t-1]) / 2",
    ],
)
def test_an_update_written_otherwise(update: str) -> None:
    other = GRU.replace("h[t] = (1 - z[t]) * n[t] + z[t] * h[t-1]", update)
    assert other != GRU
    assert isinstance(compare(cell(GRU), cell(other)), Equivalence)


def test_gates_as_sums_of_their_own_and_linear_maps_apart() -> None:
    other = GRU.replace("r[t] = sigmoid(W_r @ x[t] + U_r @ h[t-1] + b_r)",
                        "a[t] = U_r @ h[t-1] + b_r\nr[t] = sigmoid(a[t] + W_r @ x[t])")  # fmt: skip
    assert isinstance(compare(cell(GRU), cell(other)), Equivalence)
    one = cell("h: H\nx: H\nh[t] = tanh(W @ (x[t] - 2*h[t-1]) + b)")
    two = cell("h: H\nx: H\nh[t] = tanh(W @ x[t] + b - 2*(W @ h[t-1]))")
    assert isinstance(compare(one, two), Equivalence)


def test_split_biases_are_one() -> None:
    split = GRU.replace("+ b_r", "+ k + l").replace("+ b_n", "+ p + q + s")
    found = compare(cell(split), cell(GRU))
    assert isinstance(found, Equivalence)
    assert dict(found.sums[0]) == {"k": ("k", "l"), "p": ("p", "q", "s")}
    assert (found.names["k"], found.names["p"]) == ("b_r", "b_n")
    params = {n: np.full(3, float(j)) for j, n in enumerate(found.one.parameters)}
    there = found.to_other(params)
    assert there.keys() == found.other.parameters.keys()
    assert (there["b_n"] == params["p"] + params["q"] + params["s"]).all()
    back = found.to_one(there)
    assert back.keys() == params.keys()
    assert (back["p"] == there["b_n"]).all()
    assert not back["q"].any()
    # a bias that stands elsewhere too is no part of a sum
    assert isinstance(compare(cell(split.replace("z[t] * h[t-1]", "z[t] * h[t-1] * q")), cell(GRU)), Difference)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("g[t] = tanh", "g[t] = sigmoid", "the state c of cell has no counterpart in almost"),
        ("+ i[t] * g[t]", "- i[t] * g[t]", "the state c of cell has no counterpart"),
        ("o[t] * tanh(c[t])", "o[t] * tanh(c[t-1])", "the state h of cell has no counterpart"),
        ("U_o @ h[t-1]", "U_i @ h[t-1]", r"cell has 12 parameters .*, almost has 11 parameters"),
        ("+ b_g", "+ 2*b_g", "no counterpart"),
        ("o[t] * tanh(c[t])", "o[t] * tanh(c[t])\nh[0] = s", r"cell has 12 parameters .*, almost has 13"),
        ("o[t] * tanh(c[t])", "o[t] * tanh(c[t])\nx: H\nh: H\nc: H", "cell has 2 sizes .*, almost has 1 size"),
        ("o[t] * tanh(c[t])", "o[t] * tanh(c[t])\ny[t] = c[t]", "the outputs are computed differently"),
        ("+ b_f", "+ b_f + z[t]", "cell has 1 input .*, almost has 2 inputs"),
        ("+ b_f", "+ b_f + h[t-2]", "has no counterpart"),
        ("+ b_f", "+ b_f + 0.001", "no counterpart"),
    ],
)
def test_almost_the_same(before: str, after: str, reason: str) -> None:
    assert before in LSTM
    found = compare(cell(LSTM), cell(LSTM.replace(before, after, 1), "almost"))
    assert isinstance(found, Difference)
    assert re.search(reason, str(found)), found


def test_parts_that_are_alike_are_tried_not_permuted() -> None:
    """Twelve factors of one kind: 12! orders, of which one try is enough."""
    text = "h[t] = " + " * ".join(f"sigmoid(W_{k} @ x[t] + U_{k} @ h[t-1])" for k in range(12))
    found = compare(cell(text), renamed(cell(text), 3))
    assert isinstance(found, Equivalence)
    assert all(found.names[f"W_{k}"] != found.names[f"U_{k}"] for k in range(12))


def test_graphs_that_colours_cannot_tell_apart() -> None:
    """The 4×4 rook's graph and Shrikhande's: strongly regular with the same numbers, and not isomorphic."""
    places = list(itertools.product(range(4), repeat=2))
    steps = {(0, 1), (1, 0), (1, 1), (0, 3), (3, 0), (3, 3)}
    rook = [(p, q) for p, q in itertools.combinations(places, 2) if p[0] == q[0] or p[1] == q[1]]
    other = [(p, q) for p, q in itertools.combinations(places, 2)
             if ((p[0] - q[0]) % 4, (p[1] - q[1]) % 4) in steps]  # fmt: skip
    one, two = (
        cell("x: H\nh: H\nh[t] = x[t] + h[t-1] * ("
             + " + ".join(f"a{p[0]}{p[1]} * a{q[0]}{q[1]}" for p, q in edges) + ")")
        for edges in (rook, other)
    )  # fmt: skip
    assert isinstance(compare(one, renamed(one, 6)), Equivalence)
    assert isinstance(compare(two, renamed(two, 7)), Equivalence)
    assert isinstance(compare(one, two), Difference)


def test_what_is_paired_within_stays_paired() -> None:
    """Colours alone cannot tell two crossed pairs from two straight ones."""
    straight = "h: H\nx: H\nh[t] = tanh(a*x[t] + b*h[t-1]) * tanh(c*x[t] + d*h[t-1]) + tanh(a*h[t-1]) * tanh(c*h[t-1])"
    crossed = straight.replace("tanh(a*h[t-1]) * tanh(c*h[t-1])", "tanh(a*h[t-1]) * tanh(d*h[t-1])")
    assert isinstance(compare(cell(straight), renamed(cell(straight), 4)), Equivalence)
    assert isinstance(compare(cell(straight), cell(crossed)), Difference)


@pytest.mark.parametrize("seed", range(30))
def test_random_cells_and_slips_in_them(seed: int) -> None:
    """A cell is itself; one with a sign turned is called equal only where other numbers say so too."""
    try:
        given = cell(text := random_cells.cell(seed))
    except CellError:  # a size was left open
        given = cell(text := random_cells.cell(seed, whole=True))
    assert isinstance(compare(given, cell(text, "again")), Equivalence)
    places = [m.start() for m in re.finditer(r" [+-] ", text)]
    for place in Random(seed).sample(places, min(3, len(places))):
        turned = text[:place] + (" - " if text[place + 1] == "+" else " + ") + text[place + 3 :]
        try:
            other = cell(turned, "turned")
            found = compare(given, other)
        except CellError:
            continue
        if isinstance(found, Equivalence):
            fixed, x, state = trial.numbers_for(given, sizes := trial.sizes_for(given), seed=99)
            wanted = trial.outcome(given, sizes, fixed, x, state)
            got = trial.outcome(other, {found.sizes[n]: k for n, k in sizes.items()}, found.to_other(fixed),
                                found.values_to_other(x), found.values_to_other(state))  # fmt: skip
            assert not trial.apart(got[""], wanted[""])


def test_numbers_have_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "apart", lambda found, wanted: True)
    found = compare(cell(LSTM), cell(LSTM))
    assert isinstance(found, Difference)
    assert "differ on random numbers" in found.reason


JOINED = re.sub(r"W_(.) @ x\[t\] \+ U_. @ h\[t-1\]", r"W_\1 @ [h[t-1], x[t]]", LSTM)


def test_matrices_of_joined_vectors_are_matrices_side_by_side() -> None:
    """One matrix for [h, x] is two; its columns are cut and joined."""
    assert "U_" not in JOINED
    for turned in (False, True):
        found = compare(cell(JOINED), cell(LSTM)) if turned else compare(cell(LSTM), cell(JOINED))
        assert isinstance(found, Equivalence), found
        one = {n: np.arange(3 * 8.0).reshape(3, 8)[: len(p.shape) * 9, :5] if len(p.shape) == 2 else np.ones(3)
               for n, p in cell(JOINED).parameters.items()}  # fmt: skip
        apart = found.to_other(one) if turned else found.to_one(one)
        assert {n: v.shape for n, v in apart.items() if n.endswith("_i")} == {"U_i": (3, 3), "W_i": (3, 2), "b_i": (3,)}
        assert np.array_equal(np.concatenate([apart["U_g"], apart["W_g"]], 1), one["W_g"])
        back = found.to_one(apart) if turned else found.to_other(apart)
        assert {n: v.tobytes() for n, v in back.items()} == {n: v.tobytes() for n, v in one.items()}


@pytest.mark.parametrize("other", ["[x[t], h[t-1]]", "[h[t-1], x[t-1]]"])
def test_joined_otherwise(other: str) -> None:
    found = compare(cell(JOINED), cell(JOINED.replace("[h[t-1], x[t]]", other), "other"))
    assert isinstance(found, Equivalence) == (other == "[x[t], h[t-1]]")
    if isinstance(found, Equivalence):  # columns change places
        params = {n: np.arange(15.0).reshape(3, 5) if len(p.shape) == 2 else np.ones(3) for n, p in
                  found.one.parameters.items()}  # fmt: skip
        assert np.array_equal(found.to_other(params)["W_o"], params["W_o"][:, [3, 4, 0, 1, 2]])


def test_one_matrix_that_is_applied_twice_is_one() -> None:
    text = "h: H\nx: H\nh[t] = tanh(W @ [h[t-1], x[t]] + W @ [x[t], h[t-1]])"
    assert isinstance(compare(cell(text), cell(text.replace("+ W", "+ V"))), Difference)
    assert isinstance(compare(cell(text), renamed(cell(text), 5)), Equivalence)


def test_a_bias_taken_for_zero() -> None:
    text = "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)"
    found = compare(cell(text), cell(text.replace(" + b", "")), zero=("b",))
    assert isinstance(found, Equivalence)
    assert found.to_other({"W": np.ones((2, 2)), "U": np.ones((2, 2))}).keys() == {"W", "U"}
    assert isinstance(compare(cell(text), cell(text.replace(" + b", ""))), Difference)
