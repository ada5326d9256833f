"""The adjoint of the adjoint, boundary and learned starts included, against differences of the adjoint."""

from __future__ import annotations

import pytest
from feature_cells import FEATURES
from graph_points import Trial, entry_names

import symcell
from symcell.lower import lower

SIZES = {"D": 2, "H": 3, "K": 2, "P": 2, "E": 3, "N": 2}


def trial(name: str, *, passed: bool = True, steps: int = 2) -> Trial:
    cell = symcell.load(name) if name not in FEATURES else symcell.parse(FEATURES[name], name=name)
    graph = lower(cell)
    unpassed = () if passed else entry_names(graph.entries)
    return Trial(graph, SIZES, steps=steps, unpassed=unpassed)


@pytest.mark.parametrize(
    "name",
    ["rnn", "gru", "lstm", "indrnn", "narx", "antisymmetric", "layernorm_lstm", "joined", "scalars", "normalised",
     "input_lags", "learned_lags", "signal_lags", "shared_matrix", "fixed_values", "sent_on_from_one_step",
     "matrix_memory", "delta_rule", "matrix_lags", "matrix_start", "matrix_scalars", "scaled_rows_and_columns",
     "matrix_input_and_output", "constant_arrays", "constant_matrix_elementwise"],
)  # fmt: skip
def test_second_derivatives(name: str) -> None:
    """Every output and every boundary value of the adjoint, by everything that comes into it."""
    twice = trial(name).twice()
    assert twice.derived.graph.check().direction == 1
    twice.check()


@pytest.mark.parametrize("passed", [True, False])
def test_a_learned_start_is_differentiated_where_it_is_used(passed: bool) -> None:
    """The gradient of a start that callers have replaced is zero, and so are its derivatives."""
    first = trial("learned_lags", passed=passed)
    twice = first.twice()
    start = first.derived.gradients["h_0"]
    assert start in twice.graph.outputs
    if passed:
        arriving = dict(twice.point.boundary) | first.point.boundary
        twice.point = type(twice.point)(twice.point.given, twice.point.fixed, arriving)
    twice.check()


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_sequences_shorter_than_a_state_is_deep(steps: int) -> None:
    first = trial("learned_lags", steps=steps)
    first.check()
    first.twice().check()
