"""Resets of any cell: a run with them is the runs of what lies between, each from its start."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np
import pytest
from feature_cells import FEATURES
from numpy.testing import assert_allclose, assert_array_equal

import symcell
from symcell.transforms import Resettable, with_resets

STEPS, BATCH = 6, 2
SAMPLE = ("lstm", "mlstm", "narx", "rwkv4", "learned_start", "learned_lags", "input_lags", "matrix_start")
NAMES = [
    pytest.param(name, marks=() if name in SAMPLE else pytest.mark.whole) for name in (*symcell.names(), *FEATURES)
]


@functools.cache
def made(name: str) -> tuple[types.ModuleType, types.ModuleType, Resettable]:
    cell = symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)
    found = with_resets(cell)
    return symcell.compile(cell), symcell.compile(found.cell), found


def sizes_of(module: types.ModuleType) -> dict[str, int]:
    return {size: 2 + k for k, size in enumerate(sorted(module.SIZES))}


def drawn(module: types.ModuleType, shapes: dict[str, Any], lead: tuple[int, ...], seed: int) -> dict[str, Any]:
    sizes = sizes_of(module)
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.items():
        lags = (module.LAGS[name],) if lead == (BATCH,) and name in module.LAGS else ()
        found[name] = np.asarray(0.5 * rng.standard_normal((*lags, *lead, *module._shape(shape, sizes))))
    return found


def keeps(resets: Any, lag: int) -> Any:
    """Whether none of the last ``lag`` steps was reset, step after step."""
    return np.array([not resets[max(t - lag + 1, 0) : t + 1].any() for t in range(len(resets))], float)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_with_resets_is_the_runs_between(name: str) -> None:
    plain, reset, found = made(name)
    arrays = drawn(plain, {**plain.PARAMS, **plain.CONSTANTS}, (), 1)
    params = again = arrays
    if plain.PARAMS:
        params, again = (module.Params.from_dict(arrays, **sizes_of(plain)) for module in (plain, reset))
    x = drawn(plain, plain.INPUTS, (STEPS, BATCH), 2)
    state = drawn(plain, plain.STATES, (BATCH,), 3)
    resets = np.array([False, False, True, False, True, False])
    given = {k: np.broadcast_to(keeps(resets, lag)[:, None, None], (STEPS, BATCH, 1)) for lag, k in found.keeps.items()}
    y, last, _ = reset.forward(again, {**x, **given}, state)
    ys, before = [], state
    for start, stop in ((0, 2), (2, 4), (4, STEPS)):
        part, end, _ = plain.forward(params, {n: v[start:stop] for n, v in x.items()}, before)
        ys.append(part)
        before = {}
    assert_allclose(y, np.concatenate(ys), rtol=1e-12, atol=1e-12)
    if max(plain.LAGS.values(), default=1) == 1:  # else the last states reach back behind the reset
        for state_name, value in end.items():
            assert_allclose(last[state_name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_names_and_order_stay(name: str) -> None:
    plain, reset, found = made(name)
    assert set(plain.PARAMS) == set(reset.PARAMS)
    assert tuple(plain.STATES) == tuple(reset.STATES)
    assert all(plain.PARAMS[p] == reset.PARAMS[p] for p in plain.PARAMS)
    assert set(found.starts.values()) <= set(reset.PARAMS)


def test_what_has_overflowed_is_gone() -> None:
    _, reset, _ = made("lstm")
    params = reset.init_params(D=2, H=3, dtype="float64")
    x, keep = np.ones((2, 1, 2)), np.zeros((2, 1, 1))
    hot = {"h": np.full((1, 3), np.nan), "c": np.full((1, 3), np.inf)}
    y, _, tape = reset.forward(params, {"x": x, "keep": keep}, hot)
    cold, _, _ = reset.forward(params, {"x": x, "keep": keep})
    assert_array_equal(y, cold)
    grads = reset.backward(params, tape, np.ones_like(y))
    assert np.isfinite(grads.params.flat).all()


def test_a_cell_without_a_past_is_left_alone() -> None:
    cell = symcell.parse("h[t] = tanh(W @ x[t])", name="forward")
    assert with_resets(cell) == Resettable(cell, {}, {})
