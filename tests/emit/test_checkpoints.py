"""States kept every so many steps, the rest computed again: the same results from a smaller tape."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from feature_cells import FEATURES
from numpy.testing import assert_allclose, assert_array_equal

import symcell
from symcell.cell import Cell
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case
from symcell.verify.targets import forward, outside, to_device, to_host
from symcell.verify.tolerances import error

Shipped = Callable[[str], tuple[Cell, types.ModuleType]]
Compile = Callable[[Cell], types.ModuleType]

STEPS = 7
EVERY = (1, 2, 3, STEPS, STEPS + 5, "sqrt")

SHIPPED = ("lstm", "narx", "lmu", "mlstm", "gated_deltanet", "projected_lstm")
FEATURED = (
    "input_lags", "two_inputs", "learned_start", "learned_lags", "matrix_start", "matrix_lags", "feed_forward",
    "no_parameters", "matrix_input_and_output", "fixed_values", "unread_state", "unread_input", "signal_lags",
    "sizes_named_t_and_b", "constant_signal",
)  # fmt: skip


@functools.cache
def featured(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name)


def train(module: types.ModuleType, case: Case, dtype: str = "float64", **options: Any) -> Result:
    """Forward and backward, as NumPy arrays."""
    params, y, last, tape = forward(module, case, dtype, **options)
    dlast = {name: to_device(module, outside(value), dtype) for name, value in case.dlast.items()}
    grads = module.backward(params, tape, to_device(module, case.dy, dtype), dlast)
    dx = grads.x if len(module.INPUTS) > 1 else dict.fromkeys(module.INPUTS, grads.x)

    def host(group: Mapping[str, Any]) -> dict[str, Any]:
        return {name: to_host(module, value) for name, value in group.items()}

    return Result(to_host(module, y), host(last), host(grads.params), host(dx), host(grads.state))


def same(module: types.ModuleType, case: Case) -> None:
    """All results are what the whole tape gives, up to rounding; also where a piece is longer than the sequence."""
    whole = train(module, case).tensors()
    for checkpoint in EVERY:
        found = train(module, case, checkpoint=checkpoint).tensors()
        assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in whole.items()}
        for tensor, value in found.items():
            assert error(value, whole[tensor], 1) < 1e-12, (tensor, checkpoint)


KINDS = (
    Kind("given", STEPS, 2),
    Kind("own start", STEPS, 3, given=False),
    Kind("lengths", STEPS, 4, lengths=(2, STEPS, 0, 5)),
    Kind("lengths from the start", STEPS, 3, given=False, lengths=(4, 0, 6)),
)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_cells(shipped: Shipped, name: str) -> None:
    cell, module = shipped(name)
    for kind in KINDS:
        same(module, random_case(cell, kind))


@pytest.mark.parametrize("name", FEATURED)
def test_every_kind_of_cell(compiled: Compile, name: str) -> None:
    """Several inputs, matrices, lags, learned starts (whose gradient comes from the first piece alone), no states."""
    cell = featured(name)
    module = compiled(cell)
    for kind in KINDS:
        same(module, random_case(cell, kind))


@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0), (0, 0), (1, 1)])
def test_no_steps_and_no_samples(shipped: Shipped, steps: int, batch: int) -> None:
    cell, module = shipped("lstm")
    for given in (True, False):
        case = random_case(cell, Kind("none", steps, batch, given))
        whole = train(module, case).tensors()
        for options in ({"checkpoint": 2}, {"checkpoint": "sqrt"}, {"budget": 10**6}):
            found = train(module, case, **options).tensors()
            for tensor, value in found.items():
                assert value.shape == whole[tensor].shape
                assert error(value, whole[tensor], 1) < 1e-12, tensor


def test_outputs_are_the_same_numbers(shipped: Shipped, way: str) -> None:
    """Pieces run the steps that the whole runs: states and outputs do not even differ by rounding; but where cuBLAS has
    the products over whole sequences, it chooses by their length."""
    cell, module = shipped("gru")
    same = functools.partial(assert_allclose, rtol=0, atol=1e-6) if way == "cupy" else assert_array_equal
    case = random_case(cell, Kind("alike", 8, 4), sizes={"D": 8, "H": 16})
    _, y, last, _ = forward(module, case, "float32")
    for options in ({"checkpoint": 4}, {"checkpoint": 2, "keep_tape": False}):
        _, pieces, states, tape = forward(module, case, "float32", **options)
        same(to_host(module, pieces), to_host(module, y))
        for name, value in last.items():
            same(to_host(module, states[name]), to_host(module, value))
        assert (tape is None) == (not options.get("keep_tape", True))


def test_gradients_by_inputs_may_be_left_out(compiled: Compile) -> None:
    module = compiled(featured("two_inputs"))
    case = random_case(featured("two_inputs"), Kind("case", 5, 2))
    params, _, _, tape = forward(module, case, "float64", checkpoint=2)
    dy = to_device(module, case.dy)
    every, some = module.backward(params, tape, dy), module.backward(params, tape, dy, need_x=False)
    assert some.x is None
    assert set(every.x) == {"x", "z"}
    assert_array_equal(to_host(module, some.params.flat), to_host(module, every.params.flat))


def test_no_gradient_by_the_output(shipped: Shipped) -> None:
    cell, module = shipped("lstm")
    case = random_case(cell, Kind("case", 5, 2))
    dlast = {name: to_device(module, outside(value)) for name, value in case.dlast.items()}
    params, _, _, whole = forward(module, case, "float64")
    _, _, _, tape = forward(module, case, "float64", checkpoint=2)
    grads, wanted = (module.backward(params, t, None, dlast) for t in (tape, whole))
    assert error(to_host(module, grads.params.flat), to_host(module, wanted.params.flat), 1) < 1e-12


def test_a_tape_of_states(shipped: Shipped) -> None:
    """It counts the inputs and the states before each piece, which belong to it: callers may write to theirs."""
    cell, module = shipped("lstm")
    case = random_case(cell, Kind("case", 7, 2))
    params, _, _, whole = forward(module, case, "float64")
    x, state = (to_device(module, case.x["x"]), {k: to_device(module, v[0]) for k, v in case.state.items()})
    _, _, tape = module.forward(params, x, state, checkpoint=3)
    assert tape.nbytes == 8 * 2 * (7 * case.sizes["D"] + 3 * 2 * case.sizes["H"])
    assert tape.nbytes < whole.nbytes / 2
    for value in state.values():
        value[...] = 0
    dy = to_device(module, case.dy)
    found, wanted = module.backward(params, tape, dy), module.backward(params, whole, dy)
    assert error(to_host(module, found.params.flat), to_host(module, wanted.params.flat), 1) < 1e-12


def test_any_mapping_holds_parameters(shipped: Shipped) -> None:
    cell, module = shipped("lmu")
    case = random_case(cell, Kind("case", 5, 2))
    params = {k: to_device(module, v) for k, v in (*case.params.items(), *case.arrays.items())}
    x, dy = to_device(module, case.x["x"]), to_device(module, case.dy)
    _, _, whole = module.forward(params, x)
    _, _, tape = module.forward(params, x, checkpoint=2)
    found, wanted = module.backward(params, tape, dy), module.backward(params, whole, dy)
    assert error(to_host(module, found.params.flat), to_host(module, wanted.params.flat), 1) < 1e-12


REFUSED = {
    "zero": ({"checkpoint": 0}, 'checkpoint: expected None, "sqrt" or a number of steps from 1 on, got 0'),
    "negative": ({"checkpoint": -3}, "checkpoint: expected .* got -3"),
    "a truth": ({"checkpoint": True}, "checkpoint: expected .* got True"),
    "a float": ({"checkpoint": 2.0}, "checkpoint: expected .* got 2.0"),
    "another word": ({"checkpoint": "cbrt"}, "checkpoint: expected .* got 'cbrt'"),
    "both": ({"checkpoint": 2, "budget": 10**9}, "budget: expected none beside checkpoint = 2, got 1000000000"),
    "budget a word": ({"budget": "1 GB"}, "budget: expected a number of bytes, got '1 GB'"),
    "budget a truth": ({"budget": True}, "budget: expected a number of bytes, got True"),
    "budget not a number": ({"budget": float("nan")}, "budget: expected a number of bytes, got nan"),
    "budget too small": ({"budget": 100}, r"budget: expected \d+ bytes at least, got 100"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(shipped: Shipped, name: str) -> None:
    cell, module = shipped("lstm")
    options, message = REFUSED[name]
    for keep_tape in (True, False):
        with pytest.raises(ValueError, match=message):
            forward(module, random_case(cell, Kind("case", 5, 2)), "float64", keep_tape=keep_tape, **options)


def test_the_least_budget_is_named(shipped: Shipped) -> None:
    """The bytes that the message names are enough, and one less is not."""
    cell, module = shipped("lstm")
    case = random_case(cell, Kind("case", 200, 2, given=False))
    for keep_tape in (True, False):
        with pytest.raises(ValueError, match=r"expected \d+ bytes") as raised:
            forward(module, case, "float64", keep_tape=keep_tape, budget=0)
        least = int(str(raised.value).split()[2])
        forward(module, case, "float64", keep_tape=keep_tape, budget=least)
        with pytest.raises(ValueError, match=f"expected {least} bytes at least, got {least - 1}"):
            forward(module, case, "float64", keep_tape=keep_tape, budget=least - 1)


def test_a_budget_takes_the_whole_tape_or_the_fewest_pieces(shipped: Shipped) -> None:
    cell, module = shipped("lstm")
    case = random_case(cell, Kind("case", 200, 2, given=False))
    plan = symcell.plan(cell, module.__name__.partition("_")[2])

    def need(checkpoint: int | None) -> int:
        return plan.memory(200, 2, checkpoint=checkpoint, itemsize=8, **case.sizes).peak

    assert isinstance(forward(module, case, "float64", budget=need(None))[3], module.Tape)
    assert isinstance(forward(module, case, "float64", budget=1e12)[3], module.Tape)
    for every, pieces in ((100, 2), (67, 3), (40, 5)):
        tape = forward(module, case, "float64", budget=need(every))[3]
        assert (tape.every, len(tape.starts)) == (every, pieces)
        assert forward(module, case, "float64", budget=need(every) - 1)[3].every < every
