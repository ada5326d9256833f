"""All contenders compute the same thing from the same numbers, so that comparing their times means something."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from feature_cells import FEATURES

import symcell
from symcell.bench import contenders as who
from symcell.bench.contenders import LOOP, MODULE, PRODUCTS, contenders_of, torch_module
from symcell.bench.work import Work, numbers, sized
from symcell.cell import Cell

SHIPPED = ("rnn", "gru", "lstm", "layernorm_lstm", "mlstm", "lmu", "narx", "qrnn", "zoneout_lstm")
FEATURED = ("learned_start", "learned_lags", "two_inputs", "matrix_start", "matrix_input_and_output", "read_out")


def load(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


def work(cell: Cell) -> Work:
    return Work(cell, 5, 3, sized(cell, 4, 6))


def found(y: Any) -> np.ndarray:
    return np.asarray(y.detach() if hasattr(y, "detach") else y)


@pytest.mark.parametrize("name", [*SHIPPED, *FEATURED])
@pytest.mark.parametrize("measure", ["train", "inference", "step"])
def test_they_agree(name: str, measure: str) -> None:
    pytest.importorskip("torch")
    cell = load(name)
    given = numbers(work(cell))
    outputs = {c.name: found(c.make(work(cell), measure, given)()) for c in contenders_of(cell) if c.name != PRODUCTS}
    first = outputs.pop("numpy")
    assert first.shape[: 1 if measure == "step" else 2] == ((3,) if measure == "step" else (5, 3))
    assert first.any()
    assert LOOP in outputs
    for y in outputs.values():
        np.testing.assert_allclose(y, first, rtol=1e-4, atol=1e-5)


def test_who_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    for name, known in (("gru", True), ("layernorm_lstm", False)):
        names = [c.name for c in contenders_of(symcell.load(name), ("numpy",))]
        assert names == ["numpy", *([MODULE] if known else []), LOOP, PRODUCTS]
    assert who.COMPILED in [c.name for c in contenders_of(symcell.load("gru"), compiled=True)]
    monkeypatch.setattr(who.pytorch, "missing", lambda: "PyTorch is not installed")
    assert [c.name for c in contenders_of(symcell.load("gru"), ("numpy",))] == ["numpy", PRODUCTS]


def test_every_target_of_the_cpu_takes_part() -> None:
    assert "numpy" in who.CPU_TARGETS
    assert "cupy" not in who.CPU_TARGETS
    assert set(who.CPU_TARGETS) | {"cupy"} == set(symcell.pipeline.TARGETS)


def test_a_module_is_recognised_by_its_equations() -> None:
    torch = pytest.importorskip("torch")
    text = str(symcell.load("gru"))
    for old, new in (("r[t]", "reset[t]"), ("n[t]", "m[t]"), ("h[t", "state[t"), ("W_z", "V")):
        text = text.replace(old, new)
    cell = symcell.parse(f"output: state\n{text}", name="mine")
    given = numbers(work(cell))
    with torch.no_grad():
        module = torch_module(work(cell), "inference", given)()
    (emitted,) = (c for c in contenders_of(cell, ("numpy",)) if c.name == "numpy")
    np.testing.assert_allclose(found(module), emitted.make(work(cell), "inference", given)(), atol=1e-5)
    with pytest.raises(ValueError, match="no module that is mlstm"):
        torch_module(work(symcell.load("mlstm")), "train", numbers(work(symcell.load("mlstm"))))


def test_gradients_of_one_train_step_do_not_add_to_those_of_the_last() -> None:
    torch = pytest.importorskip("torch")
    leaf = torch.ones(3, requires_grad=True)
    run = who._train(lambda: 2 * leaf, [leaf], torch.ones(3))
    run()
    run()
    assert leaf.grad.tolist() == [2, 2, 2]


def test_they_pickle() -> None:
    """Memory is measured in another process."""
    cell = symcell.load("lstm")
    for contender in contenders_of(cell, compiled=True):
        again = pickle.loads(pickle.dumps(contender))
        assert again.name == contender.name
        if isinstance(contender.make, partial):
            assert again.make.keywords == contender.make.keywords


def test_sizes_of_a_cell() -> None:
    assert sized(symcell.load("lstm"), 3, 8) == {"D": 3, "H": 8}
    assert sized(symcell.load("sru"), 3, 8) == {"H": 8}  # its inputs are as many as its units
    assert sized(symcell.load("zoneout_lstm"), 3, 8) == {"D": 3, "H": 8}


def test_numbers_are_the_same_each_time_and_float32() -> None:
    one, other = numbers(work(load("learned_lags"))), numbers(work(load("learned_lags")))
    for group in ("params", "x", "state"):
        for name, value in getattr(one, group).items():
            assert value.dtype == np.float32
            assert (value == getattr(other, group)[name]).all()
    assert (numbers(work(symcell.load("layernorm_lstm"))).params["a_i"] == 1).all()
