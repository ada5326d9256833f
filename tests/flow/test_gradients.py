"""The flow by the derived Jacobian: it is what back-propagation sends back, and rates and memory are what they say."""

from __future__ import annotations

import numpy as np
import pytest

import symcell
from symcell.flow.gradients import DIRECTIONS, flow_of, marks, memory, rate
from symcell.flow.subject import random_inputs, subject

STEPS, BATCH = 7, 2
CELLS = ("deltanet", "lstm", "narx")


@pytest.mark.parametrize("name", CELLS)
def test_it_is_what_the_generated_module_sends_back(name: str) -> None:
    """∂L/∂s[0] of every state, by the module's own backward sweep: no Jacobian takes part there."""
    cell = symcell.load(name)
    one = subject(cell, dict.fromkeys(cell.sizes, 3), 0)
    x = random_inputs(one.graph, cell, one.sizes, STEPS, BATCH, 0)
    flow = flow_of(one, x, 5)
    params = one.module.Params.from_dict(one.arrays)
    y, _, _ = one.module.forward(params, x["x"])
    units = int(np.prod(y.shape[2:]))
    directions = np.random.default_rng([5, 2]).normal(size=(BATCH, DIRECTIONS, units))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    for k in range(2):
        dy = np.zeros_like(y)
        dy[-1] = directions[:, k].reshape(y.shape[1:])
        _, _, tape = one.module.forward(params, x["x"])
        grads = one.module.backward(params, tape, dy)
        for state in cell.states:
            found = flow.deltas[-1, :, k, flow.layout.of(state)]
            wanted = np.asarray(grads.state[state])
            newest = wanted[-1] if cell.states[state] > 1 else wanted
            np.testing.assert_allclose(found, newest.reshape(BATCH, -1), atol=1e-12)


def test_singular_values_are_those_of_the_product() -> None:
    cell = symcell.load("gru")
    one = subject(cell, {"D": 3, "H": 4}, 0)
    x = random_inputs(one.graph, cell, one.sizes, STEPS, 1, 0)
    flow = flow_of(one, x, 0)
    assert [p.lag for p in flow.singular] == [1, 2, 5, 7] == list(marks(7))
    delta = flow.deltas[-1, 0]
    assert np.linalg.norm(delta, axis=-1).max() <= flow.singular[-1].values[0] * (1 + 1e-12)


def test_the_rate_of_a_geometric_sequence() -> None:
    assert rate([3 * 0.7**k for k in range(50)]) == pytest.approx(0.7)
    assert rate([2e-200 * 1.5**k for k in range(50)]) == pytest.approx(1.5)
    assert rate([0.5, *[0.0] * 9]) == 0
    assert rate([0.0] * 9) == 0
    fast_then_slow = [0.1**k + 1e-3 * 0.9**k for k in range(100)]
    assert rate(fast_then_slow) == pytest.approx(0.9, abs=1e-3)
    assert rate([1.0, 0.5, *[0.0] * 500]) == pytest.approx(0.5)


def test_memory_is_the_first_lag_that_stays_below_one_percent() -> None:
    assert memory([1, 0.5, 0.011, 0.009, 0.0]) == 4
    assert memory([1, 0.001, 0.5, 0.001, 0.001]) == 4
    assert memory([1, 2, 4, 8]) is None
    assert memory([0.0, 0.0]) == 1
    assert memory([1.0, float("inf"), 1.0, 1.0]) == 3


def test_states_that_overflow() -> None:
    cell = symcell.parse("h[t] = x[t] + U @ h[t-1]", name="linear")
    one = subject(cell, {"H": 2}, 0).with_arrays({"U": np.full((2, 2), 1e9)})
    with np.errstate(over="ignore", invalid="ignore"):
        flow = flow_of(one, random_inputs(one.graph, cell, one.sizes, 60, 1, 0), 0)
    assert flow.radius == rate(flow.norms()[:, 0]) == float("inf")
    assert memory(flow.norms()[:, 0]) is None
