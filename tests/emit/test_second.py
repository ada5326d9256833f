"""Modules of order 2, on every target: ``jvp`` and ``second``."""

from __future__ import annotations

import functools
import pickle
import re
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from feature_cells import AT_A_POLE, FEATURES
from numpy.testing import assert_array_equal

import symcell
from symcell.adjoint import adjoint
from symcell.cell import Cell
from symcell.emulate import Device, load as emulated
from symcell.lower import lower
from symcell.pipeline import TARGETS, plan, source
from symcell.verify import second, targets
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case, sizes_of
from symcell.verify.second import Direction
from symcell.verify.targets import to_device, to_host
from symcell.verify.tolerances import FLOAT32_ULP, error, real, scale_of

LIMIT = {"float64": 1e-11, "float32": 2048 * FLOAT32_ULP}
KINDS = {"given": Kind("given", 4, 3), "lengths": Kind("lengths", 5, 4, lengths=(2, 5, 0, 3))}
SAMPLE = [(name, "float64") for name in ("learned_lags", "input_lags", "matrix_start", "constant_arrays", "two_inputs",
                                         "normalised", "kinks")]  # fmt: skip
CASES = [
    pytest.param(name, dtype, marks=() if name == "lstm" or (name, dtype) in SAMPLE else pytest.mark.whole)
    for name in (*symcell.names(), *FEATURES)
    if name not in AT_A_POLE
    for dtype in LIMIT
]


Twice = Callable[[Cell], types.ModuleType]


@functools.cache
def load(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


@functools.cache
def wanted(name: str, kind: str) -> tuple[Case, Direction, Result]:
    cell = load(name)
    case = random_case(cell, KINDS[kind], sizes=sizes_of(cell, 3))
    towards = second.random_direction(case)
    return case, towards, second.differenced(cell, case, adjoint(lower(cell)), towards)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_equals_how_gradients_move(twice: Twice, name: str, dtype: str) -> None:
    module = twice(load(name))
    for kind in KINDS:
        case, towards, exact = wanted(name, kind)
        found, beside = second.run(module, case, towards, dtype)
        assert {v.dtype for v in found.tensors().values()} == {np.dtype(dtype)}
        for group, values in ((exact.values(), found.values()), (exact.gradients(), found.gradients())):
            reals = {k: real(v) for k, v in group.items()}
            assert set(values) == set(reals)
            for tensor, value in values.items():
                apart = error(value, reals[tensor], scale_of(reals[tensor], reals))
                assert apart <= LIMIT[dtype], f"{kind}, {tensor}: {apart:.1e} off\n{value}\nwanted\n{reals[tensor]}"
        plain = targets.run(module, case, dtype)
        for tensor, value in beside.values().items():
            assert error(value, plain.values()[tensor], 1.0) <= LIMIT[dtype], f"{kind}, {tensor} beside its tangent"


@pytest.mark.parametrize("name", ["lstm", "learned_start", "learned_lags", "matrix_start"])
def test_equals_how_gradients_move_from_its_own_start(twice: Twice, name: str) -> None:
    """A learned start moves and is differentiated where no state is passed, and nowhere else."""
    module, cell = twice(load(name)), load(name)
    case = random_case(cell, Kind("own start", 3, 3, given=False, lengths=(3, 1, 0)), sizes=sizes_of(cell, 3))
    towards = second.random_direction(case)
    exact = second.differenced(cell, case, adjoint(lower(cell)), towards)
    found, _ = second.run(module, case, towards, "float64")
    for tensor, value in found.tensors().items():
        assert error(value, real(exact.tensors()[tensor]), 1.0) <= LIMIT["float64"], tensor


class Calls:
    """A module of order 2 and what its functions are called with, as its own arrays. ``moves``: a direction for all
    states too, passed or not."""

    def __init__(self, name: str, twice: Twice, kind: Kind) -> None:
        self.module, cell = twice(load(name)), load(name)
        self.case = case = random_case(cell, kind, sizes=sizes_of(cell, 3))
        self.params = targets.parameters(self.module, case, "float64")
        self.x, self.state = (self.sent(group) for group in (case.x, case.state))
        self.dy, self.dlast = self.own(case.dy), self.sent(case.dlast)
        self.moves = [self.direction(cell, seed) for seed in (1, 2)]

    def own(self, value: Any) -> Any:
        return to_device(self.module, value, "float64")

    def sent(self, group: Any) -> dict[str, Any]:
        return {k: self.own(v if k in self.module.INPUTS else targets.outside(v)) for k, v in group.items()}

    def direction(self, cell: Cell, seed: int) -> dict[str, dict[str, Any]]:
        every = random_case(cell, Kind("all", self.case.steps, self.case.batch), sizes=self.case.sizes)
        towards = second.random_direction(every, seed)
        params = {k: self.own(v) for k, v in towards.params.items()}
        return {"params_dot": params, "x_dot": self.sent(towards.x), "state_dot": self.sent(towards.state)}

    def jvp(self, **options: Any) -> Any:
        return self.module.jvp(self.params, self.x, self.state, self.case.lengths, **options)

    def along(self, grads: Any, move: dict[str, dict[str, Any]]) -> float:
        """⟨grads, move⟩."""
        x = grads.x if isinstance(grads.x, dict) else {next(iter(self.module.INPUTS)): grads.x}
        pairs = [(grads.params[k], v) for k, v in move["params_dot"].items()]
        pairs += [(x[k], v) for k, v in move["x_dot"].items()]
        pairs += [(grads.state[k], v) for k, v in move["state_dot"].items()]
        return float(sum(np.sum(to_host(self.module, a) * to_host(self.module, b)) for a, b in pairs))


CONTRACT = ("lstm", "learned_lags", "two_inputs", "matrix_start", "input_lags", "constant_arrays")
STARTS = {
    "given": Kind("given", 4, 3),
    "own start": Kind("own start", 4, 3, given=False),
    "lengths": Kind("lengths", 4, 4, given=False, lengths=(2, 4, 0, 1)),
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", CONTRACT)
def test_jvp_is_what_backward_transposes(twice: Twice, name: str, start: str) -> None:
    """⟨dy, y_dot⟩ + ⟨dlast, last_dot⟩ = ⟨gradients, direction⟩, also where a state moves that is not passed."""
    calls = Calls(name, twice, STARTS[start])
    _, _, y_dot, last_dot, tape = calls.jvp(**calls.moves[0])
    assert tape is None
    *_, tape = calls.module.forward(calls.params, calls.x, calls.state, calls.case.lengths)
    grads = calls.module.backward(calls.params, tape, calls.dy, calls.dlast)
    host = functools.partial(to_host, calls.module)
    found = np.sum(host(calls.dy) * host(y_dot))
    found += sum(np.sum(host(last_dot[k]) * host(v)) for k, v in calls.dlast.items())
    assert found == pytest.approx(calls.along(grads, calls.moves[0]), rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", CONTRACT)
def test_second_derivatives_are_symmetric(twice: Twice, name: str, start: str) -> None:
    """⟨u, H w⟩ = ⟨w, H u⟩."""
    calls = Calls(name, twice, STARTS[start])
    products = []
    for move in calls.moves:
        *_, tape = calls.jvp(**move, keep_tape=True)
        products.append(calls.module.second(calls.params, tape, calls.dy, calls.dlast))
    one, other = calls.along(products[0], calls.moves[1]), calls.along(products[1], calls.moves[0])
    assert one == pytest.approx(other, rel=1e-11, abs=1e-11)
    assert one


def same(module: types.ModuleType, one: Any, other: Any) -> None:
    """Two results of ``jvp`` or ``second`` are equal to the last bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            same(module, value, other[key])
    else:
        assert_array_equal(to_host(module, one), to_host(module, other))


@pytest.mark.parametrize("name", CONTRACT)
def test_what_is_missing_does_not_move(twice: Twice, name: str) -> None:
    calls = Calls(name, twice, Kind("given", 3, 2))
    zeros = {group: {k: v * 0 for k, v in found.items()} for group, found in calls.moves[0].items()}
    still, nothing = calls.jvp(), calls.jvp(**zeros)
    for one, other in zip(still[:4], nothing[:4], strict=True):
        same(calls.module, one, other)
    assert not to_host(calls.module, still[2]).any()
    some = {group: dict(list(found.items())[:1]) for group, found in calls.moves[0].items()}
    filled = {group: {**zeros[group], **found} for group, found in some.items()}
    for one, other in zip(calls.jvp(**some)[:4], calls.jvp(**filled)[:4], strict=True):
        same(calls.module, one, other)


@pytest.mark.parametrize("name", CONTRACT)
def test_results_belong_to_the_caller(twice: Twice, name: str) -> None:
    """Who writes to them changes neither the tape, which serves a second time, nor other results or arguments."""
    calls = Calls(name, twice, Kind("given", 4, 3))
    module, move = calls.module, calls.moves[0]
    arguments = [calls.params.flat, calls.dy, *calls.x.values(), *calls.state.values(), *calls.dlast.values()]
    arguments += [v for group in move.values() for v in group.values()]
    before = [to_host(module, v).copy() for v in arguments]
    y, last, y_dot, last_dot, tape = calls.jvp(**move, keep_tape=True)
    first = module.second(calls.params, tape, calls.dy, calls.dlast)
    results = [y, y_dot, *last.values(), *last_dot.values(), first.params.flat, *first.state.values()]
    results += first.x.values() if isinstance(first.x, dict) else [first.x]
    wanted = [to_host(module, v).copy() for v in results]
    for k, value in enumerate(results):
        assert_array_equal(to_host(module, value), wanted[k])
        value[...] = np.nan
    again = module.second(calls.params, tape, calls.dy, calls.dlast, need_x=False)
    assert again.x is None
    assert_array_equal(to_host(module, again.params.flat), wanted[2 * (1 + len(last))])
    for value, kept in zip(arguments, before, strict=True):
        assert_array_equal(to_host(module, value), kept)
    assert tape.nbytes > calls.params.flat.nbytes


@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (3, 0), (0, 0)])
def test_nothing_to_do(twice: Twice, steps: int, batch: int) -> None:
    for name in ("lstm", "learned_lags"):
        calls = Calls(name, twice, Kind("empty", steps, batch))
        y, last, y_dot, last_dot, tape = calls.jvp(**calls.moves[0], keep_tape=True)
        assert y.shape == y_dot.shape == (steps, batch, *calls.case.dy.shape[2:])
        same(calls.module, last, calls.state if not steps else last)
        same(calls.module, last_dot, calls.moves[0]["state_dot"] if not steps else last_dot)
        grads = calls.module.second(calls.params, tape, calls.dy, calls.dlast)
        assert not to_host(calls.module, grads.params.flat).any()


def test_a_direction_may_be_params(twice: Twice) -> None:
    """What ``init_params`` or ``backward`` gives is a direction as it is; constant arrays have none."""
    for name in ("lstm", "constant_arrays"):
        calls = Calls(name, twice, Kind("given", 3, 2))
        given = calls.moves[0]["params_dot"]
        packed = calls.params.copy()
        for key, value in given.items():
            packed[key] = value
        for one, other in zip(calls.jvp(params_dot=packed)[:4], calls.jvp(params_dot=given)[:4], strict=True):
            same(calls.module, one, other)


def test_arguments_that_do_not_fit(twice: Twice) -> None:
    calls = Calls("lstm", twice, Kind("given", 4, 2))
    module, move = calls.module, calls.moves[0]
    h, k = calls.case.sizes["H"], calls.case.sizes["D"]
    *_, tape = calls.jvp(keep_tape=True)
    *_, first = module.forward(calls.params, calls.x)
    zeros = calls.own(np.zeros((4, 2, 1)))
    other = module.init_params(D=k, H=h + 1, dtype="float64")
    bad: list[tuple[Any, type[Exception], str]] = [
        (lambda: calls.jvp(params_dot=[1]), TypeError, "params_dot: expected a dict"),
        (lambda: calls.jvp(params_dot={"V": zeros}), ValueError, "params_dot: unknown key 'V'"),
        (lambda: calls.jvp(params_dot={"b_i": zeros}), ValueError, r'params_dot\["b_i"\]: expected the shape'),
        (lambda: calls.jvp(params_dot={"b_i": [0.0] * h}), TypeError, r'params_dot\["b_i"\]: expected a .*array'),
        (lambda: calls.jvp(params_dot=other), ValueError, "params_dot: expected .*, got "),
        (lambda: calls.jvp(params_dot={"b_i": move["params_dot"]["b_i"].astype("float32")}), TypeError,
         r'params_dot\["b_i"\]: expected float64.*got float32'),
        (lambda: calls.jvp(x_dot=zeros), ValueError, "x_dot: expected the shape"),
        (lambda: calls.jvp(x_dot=1.0), TypeError, "x_dot: expected .*array.*, got float"),
        (lambda: calls.jvp(x_dot={"z": zeros}), ValueError, "x_dot: unknown key 'z'"),
        (lambda: calls.jvp(state_dot={"z": zeros}), ValueError, "state_dot: unknown key 'z'"),
        (lambda: calls.jvp(state_dot={"h": zeros}), ValueError, r'state_dot\["h"\]: expected the shape'),
        (lambda: module.second(calls.params, first, calls.dy), TypeError, "tape: expected the tape that jvp returned"),
        (lambda: module.second(calls.params, None, calls.dy), TypeError, "tape: expected the tape that jvp returned"),
        (lambda: module.backward(calls.params, tape, calls.dy), TypeError, "tape: expected the tape that forward"),
        (lambda: module.second(other, tape, calls.dy), ValueError, "params: expected .* as on the tape"),
        (lambda: module.second(calls.params, tape, zeros), ValueError, "dy: expected the shape"),
        (lambda: module.second(calls.params, tape, calls.dy, {"z": zeros}), ValueError, "dlast: unknown key 'z'"),
    ]  # fmt: skip
    for call, kind, message in bad:
        with pytest.raises(kind, match=message):
            call()


# all steps in one launch

DEVICES = {"block": Device(multiprocessors=1), "persistent": Device(multiprocessors=2, capability=(8, 0))}
"""One block has all samples; two have a part of the units each, and wait for each other through memory."""


@pytest.mark.skipif(targets.emulator_missing() is not None, reason="no C++ compiler")
@pytest.mark.parametrize("strategy", DEVICES)
@pytest.mark.parametrize("name", ["lstm", "layernorm_lstm", "narx"])
def test_kernels_that_run_all_steps(name: str, strategy: str) -> None:
    """Tangents and second derivatives have them too: no stage of a step is a launch of its own."""
    case = random_case(load(name), Kind("few", 4, 5, lengths=(4, 1, 2, 0, 3)))
    towards = second.random_direction(case)
    wanted, _ = second.run(symcell.compile(load(name), order=2), case, towards, "float64")
    module = emulated(source(load(name), "cupy", order=2), name, device=DEVICES[strategy])
    asked, ask = [], module._run_steps

    def watched(name: str, *arguments: Any) -> Any:
        left = ask(name, *arguments)
        asked.append((name, list(left)))
        return left

    module.STRATEGY, module._run_steps = strategy, watched  # type: ignore[attr-defined]
    found, _ = second.run(module, case, towards, "float64")
    assert asked == [("tangent_steps", []), ("second_steps", [])]
    for tensor, value in found.tensors().items():
        assert error(value, wanted.tensors()[tensor], 1.0) <= LIMIT["float64"], tensor


# what is emitted


@pytest.mark.parametrize("order", [0, 3, True, "2", None])
def test_other_orders(order: Any) -> None:
    for make in (symcell.compile, source, plan):
        with pytest.raises(ValueError, match="order: expected 1 or 2"):
            make("rnn", "numpy", order=order)


@pytest.mark.parametrize("target", TARGETS)
def test_the_text_of_both_orders(target: str) -> None:
    """Order 1 has nothing of order 2, and another fingerprint; what is emitted is the same each time."""
    one, two = (source("rnn", target, order=k) for k in (1, 2))
    assert source("rnn", target) == one
    assert source("rnn", target, order=2) == two
    assert "x_dot" not in one
    stamps = {re.search(r'^STAMP = "(\w+)"$', text, re.MULTILINE)[1] for text in (one, two)}  # type: ignore[index]
    assert len(stamps) == 2


def test_params_pickle() -> None:
    module = symcell.compile("rnn", order=2)
    params = module.init_params(D=2, H=3)
    again = pickle.loads(pickle.dumps(params))
    assert type(again) is module.Params
    assert_array_equal(again.flat, params.flat)
    plain = symcell.compile("rnn")
    assert type(pickle.loads(pickle.dumps(plain.init_params(D=2, H=3)))) is plain.Params


def test_names_that_tangents_would_have() -> None:
    """A cell may call its own values so."""
    text = "h_dot[t] = tanh(W_dot @ x[t] + U @ h[t-1])\nh[t] = 0.5*h_dot[t-1] + jvp\ny[t] = h[t]*directions"
    cell = symcell.parse(text, name="dotted")
    module = symcell.compile(cell, order=2)
    case = random_case(cell, Kind("given", 4, 3))
    towards = second.random_direction(case)
    exact = second.differenced(cell, case, adjoint(lower(cell)), towards)
    found, _ = second.run(module, case, towards, "float64")
    for tensor, value in found.tensors().items():
        assert error(value, real(exact.tensors()[tensor]), 1.0) <= LIMIT["float64"], tensor
