"""Programs run as they stand compute what they say, and show what is wrong with their memory as NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_programs import changed, normalising, numbers, planned, restaged

from symcell.program.interpret import Result, run
from symcell.program.model import Copy, Kernel, Plan, Program, Ref

STEPS, BATCH, WIDE, HIGH = 4, 3, 2, 5
PARAMS = {"b": numbers(HIGH, seed=1), "W": numbers(HIGH, WIDE, seed=2), "U": numbers(HIGH, HIGH, seed=3) / 2}
X, DY = numbers(STEPS, BATCH, WIDE, seed=4), numbers(STEPS, BATCH, HIGH, seed=5)
STATE, DLAST = {"h": numbers(1, BATCH, HIGH, seed=6)}, {"h": numbers(1, BATCH, HIGH, seed=7)}


def by_hand(params: dict[str, Any], x: Any, state: Any, lengths: Any) -> tuple[Any, Any]:
    """The network sample by sample."""
    y, last = np.zeros((STEPS, BATCH, HIGH)), np.zeros((1, BATCH, HIGH))
    for b in range(BATCH):
        h = state["h"][0, b]
        for t in range(STEPS if lengths is None else lengths[b]):
            h = y[t, b] = np.tanh(params["W"] @ x[t, b] + params["U"] @ h + params["b"])
        last[0, b] = h
    return y, last


@pytest.mark.parametrize("lengths", [None, (2, 4, 1), (0, 3, 3)])
@pytest.mark.parametrize("keep_tape", [True, False])
def test_forward(plan: Plan, lengths: Any, keep_tape: bool) -> None:
    result = run(plan, PARAMS, {"x": X}, STATE, lengths, keep_tape=keep_tape)
    y, last = by_hand(PARAMS, X, STATE, lengths)
    np.testing.assert_allclose(result.y, y, rtol=0, atol=1e-14)
    np.testing.assert_allclose(result.last["h"], last, rtol=0, atol=1e-14)


@pytest.mark.parametrize("lengths", [None, (2, 4, 1), (0, 3, 3)])
def test_backward_is_the_derivative(plan: Plan, lengths: Any) -> None:
    """Central differences of <dy, y> + <dlast, last> in a random direction of everything at once."""
    grads = run(plan, PARAMS, {"x": X}, STATE, lengths, DY, DLAST).grads
    assert grads is not None
    way = {n: numbers(*a.shape, seed=9 + k) for k, (n, a) in enumerate({**PARAMS, "x": X, "h": STATE["h"]}.items())}

    def loss(far: float) -> float:
        y, last = by_hand({n: PARAMS[n] + far * way[n] for n in PARAMS}, X + far * way["x"],
                          {"h": STATE["h"] + far * way["h"]}, lengths)  # fmt: skip
        return float((DY * y).sum() + (DLAST["h"] * last).sum())

    found = {**grads.params, "x": grads.x["x"], "h": grads.state["h"]}
    assert sum((found[n] * way[n]).sum() for n in way) == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-8)


def forward_only(plan: Plan, program: Program) -> Result:
    return run(replace(plan, programs={**plan.programs, "forward": program}), PARAMS, {"x": X}, keep_tape=False)


def test_phases_and_registers() -> None:
    """A kernel of several phases hands its scalars on."""
    x = numbers(STEPS, BATCH, HIGH)
    y = run(planned("y", forward=normalising()), {}, {"x": x}, keep_tape=False).y
    centred = x - x.mean(-1, keepdims=True)
    np.testing.assert_allclose(y, centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1), rtol=1e-14)


def test_missing_write_is_nan(plan: Plan) -> None:
    """The step's own result is never computed: what the product left there, with no tanh, is no poison; a missing
    product is."""
    assert np.isnan(forward_only(plan, restaged(plan.forward, 0, 0, None)).y).all()


def test_memory_that_went_to_another_is_nan(plan: Plan) -> None:
    """A buffer that takes the memory of one that is still needed."""
    taken = changed(changed(plan.forward, "h", slot="one"), "a_in", slot="one")
    assert np.isnan(forward_only(plan, taken).y[1:]).all()


def test_a_ring_of_too_few_slots_is_wrong(plan: Plan) -> None:
    """What a step of the backward sweep carries is read in the next one: a ring of one slot is not enough for that."""
    ring = changed(plan.backward, "dh_back", extent="local", depth=0)
    grads = run(replace(plan, programs={**plan.programs, "backward": ring}), PARAMS, {"x": X}, dy=DY).grads
    assert grads is not None
    assert np.isnan(grads.x["x"]).all()


def test_what_holds_one_step_is_forgotten(plan: Plan) -> None:
    """A step that reads what the step before left in a buffer of one step reads NaN."""
    kernel = plan.backward.regions[0].stages[1]
    assert isinstance(kernel, Kernel)
    statement = kernel.phases[0].body[0]
    stale = replace(statement, calls=statement.calls[2:])
    stages = restaged(plan.backward, 0, 1, replace(kernel, phases=(replace(kernel.phases[0], body=(stale,)),)))
    result = run(replace(plan, programs={**plan.programs, "backward": stages}), PARAMS, {"x": X}, dy=DY)
    assert result.grads is not None
    assert np.isnan(result.grads.x["x"]).all()


def test_copies_add(plan: Plan) -> None:
    """A gradient of two parts: the second is added to the first."""
    program = plan.backward
    extra = replace(
        program.regions[1], stages=(*program.regions[1].stages, Copy(Ref("grads"), Ref("params"), add=True))
    )
    added = replace(program, regions=(program.regions[0], extra))
    plain = run(plan, PARAMS, {"x": X}, dy=DY).grads
    found = run(replace(plan, programs={**plan.programs, "backward": added}), PARAMS, {"x": X}, dy=DY).grads
    assert plain is not None
    assert found is not None
    np.testing.assert_allclose(found.params["b"], plain.params["b"] + PARAMS["b"], rtol=1e-14)
