"""Packed rows, the layout of a PyTorch PackedSequence, in and out: the same bits as from padded sequences."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from feature_cells import FEATURES
from numpy.testing import assert_array_equal

import symcell
from symcell.cell import Cell
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case
from symcell.verify.targets import outside, to_device, to_host

Compile = Callable[[Cell], types.ModuleType]
Shipped = Callable[[str], tuple[Cell, types.ModuleType]]

CELLS = ("lstm", "gru", "narx", "mlstm")
FEATURED = ("two_inputs", "matrix_input_and_output", "matrix_lags", "input_lags", "learned_start", "feed_forward")

LENGTHS = {
    "uneven": (6, (6, 4, 4, 1)),
    "some empty": (5, (5, 2, 0, 0)),
    "all alike": (4, (4, 4, 4)),
    "one": (3, (3,)),
    "empty ones": (0, (0, 0)),
    "none": (0, ()),
}
OPTIONS: tuple[dict[str, Any], ...] = (
    {}, {"keep_tape": False}, {"checkpoint": 1}, {"checkpoint": 4}, {"checkpoint": "sqrt"},
    {"checkpoint": 2, "keep_tape": False}, {"budget": 10**9},
)  # fmt: skip


@functools.cache
def featured(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name)


def pack(value: Any, lengths: tuple[int, ...]) -> Any:
    """(T, B, …) as rows: step after step, those of the samples that still run."""
    running = np.arange(len(value))[:, None] < np.array(lengths, int)
    return np.ascontiguousarray(value[running])


def run(module: types.ModuleType, case: Case, x: Mapping[str, Any], dy: Any, **options: Any) -> dict[str, Any]:
    """All results by name; ``options`` go to ``forward``."""
    send = functools.partial(to_device, module, dtype="float64")
    params = {k: send(v) for k, v in (*case.params.items(), *case.arrays.items())}
    packed = module.Params.from_dict(params, **case.sizes)
    x = {k: send(v) for k, v in x.items()}
    state, dlast = ({k: send(outside(v)) for k, v in group.items()} for group in (case.state, case.dlast))
    given = x if len(x) > 1 else next(iter(x.values()))
    y, last, tape = module.forward(packed, given, state, case.lengths, **options)
    found = {"y": y, **{f"last {k}": v for k, v in last.items()}}
    if tape is not None:
        grads = module.backward(packed, tape, send(dy), dlast)
        dx = grads.x if len(x) > 1 else dict.fromkeys(x, grads.x)
        found |= {f"d{k}": v for k, v in dx.items()} | {f"start {k}": v for k, v in grads.state.items()}
        found["params"] = grads.params.flat
    return {k: to_host(module, v) for k, v in found.items()}


def same(cell: Cell, module: types.ModuleType, given: bool) -> None:
    for steps, lengths in LENGTHS.values():
        case = random_case(cell, Kind("packed", steps, len(lengths), given, lengths))
        rows = {k: pack(v, lengths) for k, v in case.x.items()}
        for options in OPTIONS:
            padded = run(module, case, case.x, case.dy, **options)
            found = run(module, case, rows, pack(case.dy, lengths), packed=True, **options)
            assert set(found) == set(padded)
            for name, value in padded.items():
                wanted = pack(value, lengths) if name in ("y", *(f"d{k}" for k in case.x)) else value
                assert_array_equal(found[name], wanted, err_msg=f"{name}, {lengths}, {options}", strict=True)


@pytest.mark.parametrize("name", CELLS)
def test_shipped_cells(shipped: Shipped, name: str) -> None:
    same(*shipped(name), given=True)


@pytest.mark.parametrize("name", FEATURED)
def test_every_kind_of_cell(compiled: Compile, name: str) -> None:
    """Several inputs, matrices, lags of states and inputs, learned starts."""
    same(featured(name), compiled(featured(name)), given=False)


def test_rows_are_used_as_they_are(shipped: Shipped) -> None:
    """The tape holds the caller's rows, and what is returned is none of the tape's."""
    _, module = shipped("lstm")
    x = to_device(module, np.ones((7, 3)))
    params = module.init_params(D=3, H=4, dtype="float64")
    y, _, tape = module.forward(params, x, lengths=[4, 2, 1], packed=True)
    dy = to_device(module, np.ones((7, 4)))
    before = to_host(module, module.backward(params, tape, dy).params.flat).copy()
    y[...] = np.nan
    assert_array_equal(to_host(module, module.backward(params, tape, dy).params.flat), before)
    x[...] = 7
    assert any(to_host(module, a == 7).all() for a in tape.arrays.values() if a.shape == x.shape)


def test_the_layout_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    lengths, x = (6, 4, 4, 1), np.arange(6 * 4 * 3.0).reshape(6, 4, 3)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.from_numpy(x), torch.tensor(lengths))
    assert_array_equal(pack(x, lengths), packed.data.numpy())


@pytest.mark.parametrize(
    ("rows", "lengths", "message"),
    [
        (7, None, "lengths: expected those of the packed sequences, got None"),
        (7, [2, 4, 1], "lengths: expected the longest first where rows are packed, got 4 behind 2"),
        (7, [4, 3, -1], "lengths: expected numbers from 0 to T = 4, got -1 to 4"),
        (7, [4.0, 2.0, 1.0], "lengths: expected 3 integers, got float64 of shape"),
        (7, 7, r"lengths: expected 1 integers, got int64 of shape \(\)"),
        (8, [4, 2, 1], r"x: expected the shape \(7, 3\), got \(8, 3\)"),
    ],
)
def test_refused(shipped: Shipped, rows: int, lengths: Any, message: str) -> None:
    _, module = shipped("lstm")
    x = to_device(module, np.ones((rows, 3)))
    with pytest.raises(ValueError, match=message):
        module.forward(module.init_params(D=3, H=4, dtype="float64"), x, lengths=lengths, packed=True)


def test_gradients_that_are_not_rows_are_refused(shipped: Shipped) -> None:
    _, module = shipped("lstm")
    params = module.init_params(D=3, H=4, dtype="float64")
    for checkpoint in (None, 2):
        _, _, tape = module.forward(
            params, to_device(module, np.ones((7, 3))), lengths=[4, 2, 1], packed=True, checkpoint=checkpoint
        )
        with pytest.raises(ValueError, match=r"dy: expected the shape \(7, 4\), got \(4, 3, 4\)"):
            module.backward(params, tape, to_device(module, np.ones((4, 3, 4))))
