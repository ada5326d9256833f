"""Recurrent matrices and gate biases are found by what they do, in cells of every make."""

from __future__ import annotations

import numpy as np
import pytest

import symcell
from symcell.flow.handles import gates, recurrent_matrices
from symcell.flow.subject import random_inputs, subject
from symcell.flow.sweeps import directions, scaled
from symcell.lower import lower


@pytest.mark.parametrize(("name", "matrices", "biases"), [
    ("rnn", "U", {}),
    ("gru_original", "U_r, U_z, U_n", {"h": "b_z"}),
    ("lstm", "U_i, U_f, U_g, U_o", {"c": "b_f"}),
    ("antisymmetric", "W", {}),
    ("highway", "R_a1, R_g1, R_a2, R_g2, R_a3, R_g3", {"h": "b_g3, b_g2, b_g1"}),
    ("mlstm", "", {"C": "b_f", "n": "b_f"}),
    ("rwkv4", "", {"a": "", "b": ""}),
    ("cornn", "U, W", {}),
])  # fmt: skip
def test_what_can_be_turned(name: str, matrices: str, biases: dict[str, str]) -> None:
    cell = symcell.load(name)
    graph = lower(cell)
    assert ", ".join(r.name for r in recurrent_matrices(cell, graph)) == matrices
    assert {g.state: ", ".join(g.biases) for g in gates(cell, graph)} == biases


def test_a_bias_that_closes_the_way_is_lowered() -> None:
    text = "z[t] = sigmoid(W_z @ x[t] + U_z @ h[t-1] + b_z)\nh[t] = z[t]*tanh(W @ x[t]) + (1 - z[t])*h[t-1]"
    cell = symcell.parse(text, name="update")
    one = subject(cell, {"D": 2, "H": 3}, 0)
    x = random_inputs(one.graph, cell, one.sizes, 5, 2, 0)
    (gate,) = gates(cell, one.graph)
    assert directions(one, gate, x) == {"b_z": -1}


def test_only_the_columns_that_meet_the_state_are_scaled() -> None:
    cell = symcell.parse("h[t] = tanh(W @ [h[t-1], x[t]] + b)", name="joined")
    one = subject(cell, {"D": 2, "H": 3}, 0)
    found = scaled(one, recurrent_matrices(cell, one.graph), 2.0)
    np.testing.assert_array_equal(found["W"], one.arrays["W"] * [2, 2, 2, 1, 1])
