"""Two sweeps of a CuPy module at once, emulated: each as it is by itself, and what a launch then does for both."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import symcell
from symcell.emulate import Device, load
from symcell.pipeline import source
from symcell.verify import targets
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case

REASON = targets.emulator_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

CELLS = ("lstm", "layernorm_lstm", "deltanet")
"""Products; sums over units of all blocks; states that are matrices."""
LENGTHS = (4, 1, 2, 0, 3)
text = functools.cache(lambda name: source(symcell.load(name), "cupy"))


def device(multiprocessors: int) -> Device:
    return Device(multiprocessors=multiprocessors, capability=(8, 0))


@functools.cache
def module(name: str, strategy: str, multiprocessors: int, races: bool = False) -> types.ModuleType:
    made = load(text(name), name, device=device(multiprocessors), races=races)
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    return made


def arguments(made: types.ModuleType, case: Case, dtype: str) -> tuple[Any, Any, Any, Any, Any]:
    """Of a case on the device: parameters, input, states, the gradients by the output and the last states."""
    send = functools.partial(targets.to_device, made, dtype=dtype)
    params = made.Params.from_dict({name: send(value) for name, value in case.params.items()}, **case.sizes)
    state, dlast = ({name: send(targets.outside(value)) for name, value in states.items()}
                    for states in (case.state, case.dlast))  # fmt: skip
    x = {name: send(value) for name, value in case.x.items()}
    return params, x if len(x) > 1 else x["x"], state, send(case.dy), dlast


def cases(name: str, lengths: Any = None) -> tuple[Case, Case]:
    """Two of the same sizes, with other numbers."""
    cell = symcell.load(name)
    return tuple(random_case(cell, Kind("few", 4, 5, lengths=lengths), seed=seed) for seed in (1, 2))  # type: ignore[return-value]


def numbers(made: types.ModuleType, forward: Any, grads: Any) -> list[Any]:
    """All results of a run and its gradients on the host."""
    y, last, _ = forward
    found = [y, *last.values(), grads.params.flat, grads.x, *grads.state.values()]
    return [targets.to_host(made, value) for value in found]


def together(
    made: types.ModuleType, name: str, lengths: Any = None, dtype: str = "float64", **options: Any
) -> list[Any]:
    pair = (arguments(made, case, dtype) for case in cases(name, lengths))
    params, x, state, dy, dlast = zip(*pair, strict=True)
    forward = made.forward_both(params, x, state, lengths, **options)
    grads = made.backward_both(params, tuple(found[2] for found in forward), dy, dlast)
    return [value for each in zip(forward, grads, strict=True) for value in numbers(made, *each)]


def alone(made: types.ModuleType, name: str, lengths: Any = None, dtype: str = "float64", **options: Any) -> list[Any]:
    results = []
    for case in cases(name, lengths):
        params, x, state, dy, dlast = arguments(made, case, dtype)
        forward = made.forward(params, x, state, lengths, **options)
        results += numbers(made, forward, made.backward(params, forward[2], dy, dlast))
    return results


def same(found: list[Any], expected: list[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def launches(made: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where each launch of all steps is noted: its kernel, and of how many sweeps."""
    seen, launch = [], made._launch_steps

    def noted(name: str, shares: Any, *rest: Any) -> bool:
        seen.append((name, shares.sweeps))
        launched: bool = launch(name, shares, *rest)
        return launched

    monkeypatch.setattr(made, "_launch_steps", noted)
    return seen


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("name", CELLS)
def test_one_launch_is_what_two_are(name: str, lengths: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit what a device of half as many multiprocessors computes by itself."""
    made = module(name, "persistent", 4)
    seen = launches(made, monkeypatch)
    found = together(made, name, lengths)
    assert seen == [("forward_steps", 2), ("backward_steps", 2)]
    same(found, alone(module(name, "persistent", 2), name, lengths))


def test_blocks_that_wait_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made = module("lstm", "block", 2)
    seen = launches(made, monkeypatch)
    found = together(made, "lstm", LENGTHS)
    assert seen == [("forward_steps", 2), ("backward_steps", 2)]
    same(found, alone(module("lstm", "block", 1), "lstm", LENGTHS))


def test_pieces_between_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a launch for both: two forward, then back through one, which has run again before."""
    made = module("lstm", "persistent", 4)
    seen = launches(made, monkeypatch)
    found = together(made, "lstm", checkpoint=2)
    assert seen == [*[("forward_steps", 2)] * 2, *[("forward_steps", 2), ("backward_steps", 2)] * 2]
    same(found, alone(module("lstm", "persistent", 2), "lstm", checkpoint=2))


def test_in_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    made = module("lstm", "persistent", 4)
    seen = launches(made, monkeypatch)
    found = together(made, "lstm", LENGTHS, "float16")
    assert seen == [("forward_steps", 2), ("backward_steps", 2)]
    assert {value.dtype for value in found} == {np.dtype("float16")}
    same(found, alone(module("lstm", "persistent", 2), "lstm", LENGTHS, "float16"))


def test_nothing_races() -> None:
    """Neither has a counter, or a number, of the other's."""
    together(module("lstm", "persistent", 4, races=True), "lstm", LENGTHS)


@pytest.mark.parametrize(("strategy", "multiprocessors"), [("plain", 4), ("persistent", 3)])
def test_one_after_the_other(strategy: str, multiprocessors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where steps are launches of their own, or half of the device is a single block."""
    made = module("lstm", strategy, multiprocessors)
    seen = launches(made, monkeypatch)
    found = together(made, "lstm")
    assert [sweeps for _, sweeps in seen] == ([] if strategy == "plain" else [1, 1, 1, 1])
    same(found, alone(made, "lstm"))


def test_half_a_device_must_not_take_twice_as_long() -> None:
    """As steps mostly wait, two take little longer than one; of many units half a device has no room for the matrix."""
    made = load(text("lstm"), "lstm", device=Device(132))
    for units, wanted in ((256, 2), (1536, None)):
        step = made._work("forward_steps", {"D": 8, "H": units})
        alone, both = made._shares("auto", step, 4, "float32", 0), made._shares_of_both("auto", step, 4, "float32", 0)
        assert alone.sweeps == 1
        assert (both and both.sweeps) == wanted
        assert both is None or alone.expected <= both.expected < 2 * alone.expected


@pytest.mark.parametrize("fault", ["sizes", "steps", "pair"])
def test_runs_that_are_not_alike(fault: str) -> None:
    made = module("lstm", "persistent", 4)
    one, other = (made.init_params(D=2, H=hidden) for hidden in (3, 4 if fault == "sizes" else 3))
    x, longer = (made.cp.zeros((steps, 2, 2), np.float32) for steps in (3, 4 if fault == "steps" else 3))
    if fault == "pair":
        with pytest.raises(TypeError, match="params: expected a pair, one for each of two runs, got Params"):
            made.forward_both(one, (x, longer))
    else:
        with pytest.raises(ValueError, match=r"expected two runs alike, got .*3 steps of 2 samples, and "):
            made.forward_both((one, other), (x, longer))
