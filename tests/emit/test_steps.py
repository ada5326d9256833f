"""``step`` keeps memory between calls, and nothing shows it: not in results, parameters, pickles or other threads."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import symcell
from symcell.cell import Cell
from symcell.verify.targets import to_device, to_host

Compile = Callable[[Cell], types.ModuleType]

CELLS = {
    "fixed values": """
        A: const(H, H)
        h[t] = tanh(W @ x[t] + (U - U.T) @ h[t-1] + sigmoid(zeta) * (A @ h[t-1]) + b)
        zeta: scalar
        h[0] = h_0
    """,
    "lags and a matrix": """
        x: D
        h: H
        C: (H, K)
        C[t] = 0.5 * C[t-1] + outer(h[t-1], V @ x[t-2])
        h[t] = tanh(U @ h[t-1] + R @ h[t-3] + C[t] @ q)
        C[0] = C_0
    """,
    "a matrix as input and output": """
        x: (H, K)
        y: (H, K)
        y[t] = tanh(x[t] + a * y[t-1])
        a: scalar
    """,
    "two inputs": """
        x: D
        z: H
        h[t] = tanh(W @ x[t] + U @ h[t-1] + z[t])
    """,
}


def parse(name: str) -> Cell:
    text = "\n".join(line.strip() for line in CELLS[name].strip().splitlines())
    return symcell.parse(text, name=name.replace(" ", "_"))


class Stepped:
    """A module with parameters, and random inputs and states for it."""

    def __init__(self, module: types.ModuleType, size: int = 6) -> None:
        self.module = module
        self.sizes = dict.fromkeys(module.SIZES, size)
        self.rng = np.random.default_rng(7)
        constants = {name: self.normal(*self.shape(named)) for name, named in module.CONSTANTS.items()}
        self.params = module.init_params(**self.sizes, **constants)

    def shape(self, named: tuple[Any, ...]) -> tuple[int, ...]:
        return tuple(self.sizes.get(size, size) for size in named)

    def normal(self, *shape: int) -> Any:
        return to_device(self.module, self.rng.standard_normal(shape), "float32")

    def inputs(self, batch: int = 3) -> Any:
        found = {name: self.normal(batch, *self.shape(named)) for name, named in self.module.INPUTS.items()}
        return found if len(found) > 1 else next(iter(found.values()))

    def state(self, batch: int = 3) -> dict[str, Any]:
        lead = {name: (self.module.LAGS[name],) if name in self.module.LAGS else () for name in self.module.STATES}
        return {name: self.normal(*lead[name], batch, *self.shape(named)) for name, named in self.module.STATES.items()}

    def host(self, results: tuple[Any, dict[str, Any]]) -> dict[str, np.ndarray]:
        """Results as copies on the host."""
        return {k: to_host(self.module, v).copy() for k, v in {"output": results[0], **results[1]}.items()}

    def step(self, params: Any, x: Any, state: Any = None) -> dict[str, np.ndarray]:
        return self.host(self.module.step(params, x, state))


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert_array_equal(one[name], other[name], strict=True)


@pytest.fixture(params=CELLS)
def stepped(request: pytest.FixtureRequest, compiled: Compile) -> Stepped:
    return Stepped(compiled(parse(request.param)))


def test_parameters_changed_in_place_count(stepped: Stepped) -> None:
    """Each in turn, constant arrays, starts and those behind fixed values too; then all at once."""
    x, state = stepped.inputs(), stepped.state()
    for given in (state, None):
        for name in stepped.params:
            before = stepped.step(stepped.params, x, given)
            stepped.params[name][...] = stepped.params[name] * 0.5 + 0.25
            now = stepped.step(stepped.params, x, given)
            same(now, stepped.step(stepped.params.copy(), x, given))
            if given is None and not name.endswith("_0"):
                continue  # what works on states alone does not show where they start at zero
            if given is None or not name.endswith("_0"):
                assert any(not np.array_equal(now[key], before[key]) for key in now), name
        stepped.params.flat[:] = 0.125
        same(stepped.step(stepped.params, x, given), stepped.step(stepped.params.copy(), x, given))


def test_results_stay_as_they_are(stepped: Stepped) -> None:
    """Later steps do not write to the results of earlier ones, nor read what a caller writes to them."""
    x, state = stepped.inputs(), stepped.state()
    first = stepped.module.step(stepped.params, x, state)
    kept = stepped.host(first)
    stepped.module.step(stepped.params, stepped.inputs(), first[1])
    same(stepped.host(first), kept)
    for array in (first[0], *first[1].values()):
        array[...] = np.nan
    same(stepped.step(stepped.params, x, state), kept)


def test_a_call_knows_nothing_of_the_one_before(stepped: Stepped) -> None:
    """A state that is not passed is its start, and batches may be of any size, in any order."""
    for batch in (3, 1, 3, 0, 2, 2):
        x, state = stepped.inputs(batch), stepped.state(batch)
        for given in (state, None, dict([*state.items()][1:]), {}):
            same(stepped.step(stepped.params, x, given), stepped.step(stepped.params.copy(), x, given))


def test_arrays_of_any_layout(stepped: Stepped) -> None:
    """Read-only arrays, and views whose numbers lie apart."""

    def apart(array: np.ndarray) -> np.ndarray:
        wide = stepped.normal(*array.shape[:-1], 2 * array.shape[-1])
        wide[..., ::2] = array
        return wide[..., ::2]

    if stepped.module.__name__.endswith("_cupy"):
        pytest.skip("CuPy's arrays cannot be made read-only")
    x, state = stepped.inputs(), stepped.state()
    wanted = stepped.step(stepped.params, x, state)
    laid = {k: apart(v) for k, v in x.items()} if isinstance(x, dict) else apart(x)
    laid_state = {k: apart(v) for k, v in state.items()}
    same(stepped.step(stepped.params, laid, laid_state), wanted)
    for array in (*(x.values() if isinstance(x, dict) else [x]), *state.values()):
        array.flags.writeable = False
    same(stepped.step(stepped.params, x, state), wanted)


def test_parameters_in_a_dict(stepped: Stepped) -> None:
    x, state = stepped.inputs(), stepped.state()
    plain = dict(stepped.params)
    for _ in range(2):
        same(stepped.step(plain, x, state), stepped.step(stepped.params, x, state))
        for array in plain.values():
            array[...] *= 0.5


def test_copies_and_pickles_take_nothing_along(stepped: Stepped) -> None:
    x, state = stepped.inputs(), stepped.state()
    before = pickle.dumps(stepped.params)
    wanted = stepped.step(stepped.params, x, state)
    assert pickle.dumps(stepped.params) == before
    shallow = copy.copy(stepped.params)
    for again in (pickle.loads(before), copy.deepcopy(stepped.params), shallow, stepped.params.copy()):
        same(stepped.step(again, x, state), wanted)
        if again is not shallow:
            again.flat[:] = 0  # memory of its own
        same(stepped.step(stepped.params, x, state), wanted)


def test_what_does_not_fit_is_refused_as_at_the_first_call(stepped: Stepped) -> None:
    x, state = stepped.inputs(), stepped.state()
    some = next(iter(state))
    one = x if not isinstance(x, dict) else x["x"]
    bad: list[tuple[Any, Any]] = [
        (None, state), ([1.0], state), ({"nobody": one}, state), ({}, state), (one[:, :-1], state), (one[None], state),
        (x, {**state, "nobody": one}), (x, {some: None}), (x, {some: state[some][..., :-1]}), (x, {some: one[0]}),
        (x, ()), (x, []), (x, 0), (x, {some: state[some].astype("float64")}), (one.astype("float64"), state),
        (x, stepped.state(4)), (x, {**state, some: to_host(stepped.module, state[some]).astype(">f8")}),
    ]  # fmt: skip
    wanted = stepped.step(stepped.params, x, state)
    for x_t, given in bad:
        with pytest.raises((ValueError, TypeError)) as fresh:
            stepped.module.step(stepped.params.copy(), x_t, given)
        with pytest.raises(type(fresh.value), match=f"^{re.escape(str(fresh.value))}$"):
            stepped.module.step(stepped.params, x_t, given)
        same(stepped.step(stepped.params, x, state), wanted)


HOST = ("numpy", "c")


@pytest.fixture
def on_host(stepped: Stepped, way: str) -> Stepped:
    if way not in HOST:
        pytest.skip("keeps nothing between calls")
    return stepped


def test_threads_share_parameters(on_host: Stepped) -> None:
    """Several threads step at once, each through its own sequence."""
    module, params, sequences = on_host.module, on_host.params, []
    for k in range(4):
        batch = 1 + k % 2
        sequences.append((on_host.state(batch), [on_host.inputs(batch) for _ in range(50)]))
    start = threading.Barrier(len(sequences))
    found: dict[int, list[Any]] = {}

    def run(k: int, params: Any, wait: bool) -> list[Any]:
        state, inputs = sequences[k]
        results = []
        if wait:
            start.wait()
        for x in inputs:
            y, state = module.step(params, x, state)
            results.append((y, state))
        return results

    threads = [threading.Thread(target=lambda k=k: found.update({k: run(k, params, True)})) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        for one, other in zip(found[k], run(k, params.copy(), False), strict=True):
            same(on_host.host(one), on_host.host(other))


def test_a_call_within_a_call_has_memory_of_its_own(on_host: Stepped) -> None:
    """As by another thread, at the worst moment: behind the arguments' copying and before the results'."""
    params = on_host.params
    x, state, others = on_host.inputs(), on_host.state(), (on_host.inputs(), on_host.state())
    wanted, between = on_host.step(params, x, state), on_host.step(params, *others)
    (stepper,) = params._steppers

    def run() -> Any:
        same(on_host.step(params, *others), between)
        return stepper.run()

    params._steppers[:] = [stepper._replace(run=run)]
    same(on_host.step(params, x, state), wanted)


def test_what_is_kept_is_bounded_and_goes_with_the_parameters(on_host: Stepped) -> None:
    """One stepper for the calls that came one by one, and no reference cycle that waits for the collector."""
    for batch in (1, 2, 3, 2, 1):
        on_host.module.step(on_host.params, on_host.inputs(batch), on_host.state(batch))
    assert [stepper.batch for stepper in on_host.params._steppers] == [1]
    flat = weakref.ref(on_host.params.flat)
    gc.disable()
    try:
        del on_host.params
        assert flat() is None
    finally:
        gc.enable()


def test_parameters_begin_on_a_cache_line(on_host: Stepped) -> None:
    """Vectors that lie across two lines take twice as long to load: that was half of a small step."""
    params = on_host.params
    for made in (params, params.copy(), on_host.module.Params.from_dict(dict(params), **on_host.sizes)):
        assert made.flat.ctypes.data % 64 == 0
        assert made.flat.flags.c_contiguous
