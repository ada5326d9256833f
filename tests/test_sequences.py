"""Sequences cut at resets, run as packed rows, against a loop that sets states where it is told to."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np
import pytest
from feature_cells import FEATURES
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import symcell
from symcell.cell import Cell
from symcell.sequences import cut_at_resets

CELLS = ("gru", "narx", "learned_start", "input_lags")
SIZE = 2

Arrays = dict[str, Any]


@functools.cache
def built(name: str) -> tuple[Cell, types.ModuleType]:
    cell = symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)
    return cell, symcell.compile(cell)


class Batch:
    """A batch to run in two ways: numbers for the inputs, the given states and what comes back."""

    def __init__(self, name: str, resets: Any, lengths: Any, seed: int) -> None:
        self.cell, self.module = built(name)
        self.resets, self.lengths = resets, lengths
        self.steps, self.batch = resets.shape
        draw = np.random.default_rng(seed).standard_normal
        sizes = dict.fromkeys(self.module.SIZES, SIZE)
        self.params = self.module.init_params(dtype="float64", **sizes)
        self.params.flat[...] = draw(self.params.flat.shape)
        self.x, self.dy = draw((self.steps, self.batch, SIZE)), draw((self.steps, self.batch, SIZE))
        self.state = {k: draw(self.shape(k, self.batch)) for k in self.module.STATES}
        self.dlast = {k: draw(self.shape(k, self.batch)) for k in self.module.STATES}

    def shape(self, state: str, count: int) -> tuple[int, ...]:
        return (self.module.LAGS.get(state, 1), count, SIZE)

    def start(self, state: str) -> Any:
        return self.params[self.cell.initial[state]] if state in self.cell.initial else 0.0

    def outside(self, states: Arrays) -> Arrays:
        return {k: v if k in self.module.LAGS else v[0] for k, v in states.items()}

    def inside(self, states: Arrays) -> Arrays:
        return {k: v if k in self.module.LAGS else v[None] for k, v in states.items()}


def in_a_loop(run: Batch) -> Arrays:
    """Step by step and sample by sample, forward and back."""
    found = {"y": np.zeros_like(run.dy), "x": np.zeros_like(run.x), "params": np.zeros_like(run.params.flat)}
    last = {k: np.empty_like(v) for k, v in run.state.items()}
    dstate = {k: np.empty_like(v) for k, v in run.state.items()}
    grads = run.module.Params(found["params"], run.params.sizes)
    for b in range(run.batch):
        state = {k: v[:, [b]] for k, v in run.state.items()}
        tapes = []
        for t in range(run.lengths[b]):
            if run.resets[t, b]:
                state = {k: np.zeros_like(v) + run.start(k) for k, v in state.items()}
            y, after, tape = run.module.forward(run.params, run.x[[t], b : b + 1], run.outside(state))
            found["y"][t, b], state = y[0, 0], run.inside(after)
            tapes.append(tape)
        gradient = {k: v[:, [b]] for k, v in run.dlast.items()}
        for k in last:
            last[k][:, [b]] = state[k]
        for t in reversed(range(run.lengths[b])):
            back = run.module.backward(run.params, tapes[t], run.dy[[t], b : b + 1], run.outside(gradient))
            found["x"][t, b], gradient = back.x[0, 0], run.inside(back.state)
            grads.flat += back.params.flat
            if run.resets[t, b]:
                for k, name in run.cell.initial.items():
                    grads[name][...] += gradient[k].sum(axis=(0, 1))
                gradient = {k: np.zeros_like(v) for k, v in gradient.items()}
        for k in dstate:
            dstate[k][:, [b]] = gradient[k]
    return found | {f"last {k}": v for k, v in last.items()} | {f"dstate {k}": v for k, v in dstate.items()}


def cut(run: Batch) -> Arrays:
    """As ``Segments`` says."""
    cut = cut_at_resets(run.resets, run.lengths)
    count, padded = len(cut.lengths), run.steps * run.batch
    states = {k: np.zeros(run.shape(k, count)) + run.start(k) for k in run.state}
    dlast = {k: np.zeros(run.shape(k, count)) for k in run.state}
    for k in states:
        states[k][:, cut.first[cut.carried]] = run.state[k][:, cut.carried]
        dlast[k][:, cut.last] = run.dlast[k]
    y, last, tape = run.module.forward(
        run.params, run.x.reshape(padded, SIZE)[cut.rows], run.outside(states), cut.lengths, packed=True
    )
    grads = run.module.backward(run.params, tape, run.dy.reshape(padded, SIZE)[cut.rows], run.outside(dlast))
    found = {"y": np.zeros((padded, SIZE)), "x": np.zeros((padded, SIZE)), "params": grads.params.flat}
    found["y"][cut.rows], found["x"][cut.rows] = y, grads.x
    found = {k: v if k == "params" else v.reshape(run.dy.shape) for k, v in found.items()}
    for k, v in run.inside(grads.state).items():
        found[f"dstate {k}"] = np.zeros_like(run.state[k])
        found[f"dstate {k}"][:, cut.carried] = v[:, cut.first[cut.carried]]
        if k in run.cell.initial:
            grads.params[run.cell.initial[k]][...] += v[:, cut.fresh].sum(axis=(0, 1))
    return found | {f"last {k}": v[:, cut.last] for k, v in run.inside(last).items()}


@st.composite
def masks(draw: st.DrawFn) -> tuple[Any, Any]:
    """Resets and lengths, from none to everywhere."""
    steps, batch = draw(st.integers(0, 6)), draw(st.integers(0, 4))
    flags = draw(st.lists(st.booleans(), min_size=steps * batch, max_size=steps * batch))
    lengths = draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    return np.array(flags, bool).reshape(steps, batch), np.array(lengths, int)


@pytest.mark.parametrize("name", CELLS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(masks=masks(), seed=st.integers(0, 99))
def test_equals_a_loop(name: str, masks: tuple[Any, Any], seed: int) -> None:
    """Outputs, last states and every gradient: lags of states and inputs, and learned starts, too."""
    run = Batch(name, *masks, seed)
    wanted, found = in_a_loop(run), cut(run)
    assert set(found) == set(wanted)
    for tensor, value in wanted.items():
        assert_allclose(found[tensor], value, rtol=1e-10, atol=1e-11, err_msg=tensor)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(masks=masks())
def test_every_step_is_in_one_segment(masks: tuple[Any, Any]) -> None:
    resets, lengths = masks
    cut = cut_at_resets(resets, lengths)
    steps, batch = resets.shape
    running = np.arange(steps)[:, None] < lengths
    assert_array_equal(np.sort(cut.rows), np.flatnonzero(running))
    assert (np.diff(cut.lengths) <= 0).all()
    assert cut.lengths.sum() == lengths.sum()
    for array, count in ((cut.first, batch), (cut.last, batch), (cut.carried, batch), (cut.starts, len(cut.lengths))):
        assert array.shape == (count,)
    assert_array_equal(cut.samples[cut.first], np.arange(batch))
    assert_array_equal(cut.samples[cut.last], np.arange(batch))
    assert_array_equal(cut.starts[cut.first], np.zeros(batch))
    assert_array_equal((cut.starts + cut.lengths)[cut.last], lengths)
    inner = cut.starts > 0
    assert resets[cut.starts[inner], cut.samples[inner]].all()
    assert inner.sum() == (resets & running)[1:].sum()


def test_without_lengths_all_steps_count() -> None:
    resets = np.array([[False, True], [True, False], [False, False]])
    cut = cut_at_resets(resets)
    assert cut.lengths.tolist() == [3, 2, 1]
    assert cut.rows.tolist() == [1, 2, 0, 3, 4, 5]
    assert cut.carried.tolist() == [True, False]
    assert cut.fresh.tolist() == [True, True, False]
    assert (cut.first.tolist(), cut.last.tolist()) == ([2, 0], [1, 0])


@pytest.mark.parametrize(
    ("resets", "lengths", "kind", "message"),
    [
        ([[True]], None, TypeError, "resets: expected a NumPy array, got list"),
        (np.ones((3, 2)), None, ValueError, r"expected truths of shape \(T, B\), got float64 of shape \(3, 2\)"),
        (np.ones(3, bool), None, ValueError, r"resets: expected truths .* got bool of shape \(3,\)"),
        (np.ones((3, 2), bool), [3], ValueError, r"lengths: expected 2 integers, got int64 of shape \(1,\)"),
        (np.ones((3, 2), bool), [3.0, 1.0], ValueError, "lengths: expected 2 integers, got float64"),
        (np.ones((3, 2), bool), [4, -1], ValueError, "lengths: expected numbers from 0 to T = 3, got -1 to 4"),
    ],
)
def test_refused(resets: Any, lengths: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        cut_at_resets(resets, lengths)
