"""The one-step Jacobian in numbers is what differences say, of every cell: states of several lags, matrices, kinks."""

from __future__ import annotations

import numpy as np
import pytest
from feature_cells import FEATURES
from jacobian_case import Case

import symcell
from symcell.symbolic.nodes import At

SAMPLE = ("deltanet", "gru", "layernorm_lstm", "lmu", "lstm", "mamba", "narx", "slstm")
CELLS = [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in symcell.names()]
CORNERS = ("joined_gates", "kinks", "over_units", "shared_matrix", "signal_lags")
FEATURED = [pytest.param(n, marks=() if n in CORNERS else pytest.mark.whole) for n in FEATURES]


@pytest.mark.parametrize("name", CELLS)
def test_it_is_what_differences_say(name: str) -> None:
    _check(Case(symcell.load(name)))


@pytest.mark.parametrize("name", FEATURED)
def test_corners_of_the_language(name: str) -> None:
    _check(Case(symcell.parse(FEATURES[name], name=name)))


def _check(case: Case) -> None:
    for t in (0, 2):
        found, wanted = case.numbers.jacobian(t), case.by_differences(t)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-8 * max(1, np.abs(wanted).max(initial=0)))


def test_a_block_by_itself() -> None:
    case = Case(symcell.load("lstm"))
    block = case.numbers.block("c", At("c", 1), 1)
    gate = case.values.of(At("f"))[1]
    np.testing.assert_array_equal(block, np.eye(gate.shape[1]) * gate[:, None])
