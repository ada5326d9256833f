"""Layouts are read strictly, and arrays follow them both ways, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from symcell.formats import LIBRARIES, ForeignModule, LayoutError, library, named, pieces, read, sizes_of, stacked

MODULES = {m.title: m for name in LIBRARIES for m in library(name).modules}
every_module = pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))


def parameters(module: ForeignModule, sizes: dict[str, int], seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found = {
        n: rng.standard_normal([s.value(sizes) for s in p.shape]).astype("float32")
        for n, p in module.cell.parameters.items()
    }
    for value in found.values():
        value.flat[0] = -0.0  # must stay what it is
    return found


def sized(module: ForeignModule, *lengths: int) -> dict[str, int]:
    return dict(zip(module.cell.sizes, lengths, strict=False))


@every_module
@settings(max_examples=10)
@given(lengths=st.tuples(*[st.integers(1, 5)] * 3), seed=st.integers(0, 99))
def test_there_and_back_bit_by_bit(module: ForeignModule, lengths: tuple[int, ...], seed: int) -> None:
    sizes = sized(module, *lengths)
    params = parameters(module, sizes, seed)
    arrays = stacked(module, params)
    assert sizes_of(module, arrays) == sizes
    back = named(module, arrays)
    assert {k: v.tobytes() for k, v in back.items()} == {k: v.tobytes() for k, v in params.items()}
    assert all(v.dtype == "float32" and v.flags.c_contiguous for v in back.values())
    again = stacked(module, back)
    assert {k: v.tobytes() for k, v in again.items()} == {k: v.tobytes() for k, v in arrays.items()}


@every_module
def test_what_stands_in_several_places_is_their_sum(module: ForeignModule) -> None:
    arrays = {k: np.ones_like(v) for k, v in stacked(module, parameters(module, sized(module, 2, 3, 4))).items()}
    places = pieces(module, arrays)
    for name, value in named(module, arrays).items():
        assert (value == len(places[name])).all()
        assert not np.shares_memory(value, places[name][0])


@every_module
def test_arrays_that_may_be_missing_are_zero(module: ForeignModule) -> None:
    params = parameters(module, sized(module, 2, 3, 4))
    found = named(module, stacked(module, params, leave_out=module.missing))
    for name, value in found.items():
        assert value.shape == params[name].shape
        assert not value.any() if name in module.unread else np.array_equal(value, params[name])
    assert module.unread


def torch_module() -> ForeignModule:
    return library("torch").module("LSTM", {"proj_size": 0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_hh": np.zeros((12, 4))}, r"weight_hh: expected 4\*H×H, H = 3, D = 2; got 12×4"),
        ({"weight_ih": np.zeros((13, 2))}, r"weight_ih: expected 4\*H×D; got 13×2"),
        ({"bias_hh": np.zeros(())}, r"bias_hh: expected 4\*H, H = 3, D = 2; got a number"),
        ({"bias": np.zeros(12)}, "bias: unknown; it has weight_ih, weight_hh, bias_ih, bias_hh"),
        ({"weight_hh": None}, "weight_hh: missing; it has weight_ih"),
    ],
)
def test_arrays_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    module = torch_module()
    arrays = stacked(module, parameters(module, {"D": 2, "H": 3})) | change
    with pytest.raises(ValueError, match=rf"^torch LSTM\(proj_size=0\): {message}"):
        named(module, {k: v for k, v in arrays.items() if v is not None})


def test_modules_are_found_by_their_options() -> None:
    keras = library("keras")
    assert keras.module("GRU", {"reset_after": False, "units": 4}).arrays["bias"].several is False
    assert keras.module("GRU", {}).arrays["bias"].several is True
    assert "P" in library("torch").module("LSTM", {"proj_size": 3}).cell.sizes
    with pytest.raises(ValueError, match=r"torch RNN with \{'nonlinearity': 'sin'\}: no equations are known"):
        library("torch").module("RNN", {"nonlinearity": "sin"})
    with pytest.raises(ValueError, match="torch CNN: expected one of RNN, LSTM, GRU"):
        library("torch").module("CNN", {})
    with pytest.raises(ValueError, match="library: expected one of keras, onnx, torch, got 'caffe'"):
        library("caffe")


GOOD = """
library = "mine"
[[module]]
name = "Net"
cell = "net"
equations = "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)"
states = ["h"]
sizes = { width = "H" }
optional = { biased = ["bias"] }
[module.arrays]
matrix = { columns = ["W"] }
again = { rows = ["U"] }
bias = { rows = ["b"] }
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('["W"]', '["V"]', "matrix: V is no parameter of the equations"),
        ('["W"]', '["W", "b"]', "matrix: what is stacked has one shape"),
        ('["W"]', "[]", "matrix: expected names"),
        ('["W"]', '[["W"], ["W", "W"]]', "matrix: expected names, or lists of names of one length"),
        ('columns = ["W"]', 'pages = ["W"]', "matrix: expected { rows = "),
        ('again = { rows = ["U"] }', "", "no array holds U"),
        ('["h"]', '["c"]', "states: expected h in some order, got c"),
        ('"H"', '"K"', "sizes: K: the equations have D, H"),
        ('["bias"]', '["biases"]', "optional: biases: no such array"),
        ("tanh(W", "tanh(W(", "Net.cell:1"),
        ("states", "stats", "states: expected list, got None"),
        ('library = "mine"', 'library = "mine"\nlicence = 1', "unknown: licence"),
        ('name = "Net"', 'name = "Net"\nkind = 1', r"module 0 \(Net\): unknown: kind"),
        ("library =", "library", "mine.toml: "),
    ],
)
def test_slips_in_a_layout_file(before: str, after: str, message: str) -> None:
    assert read(GOOD, "mine.toml").modules[0].title == "mine Net"
    assert before in GOOD
    with pytest.raises(LayoutError, match=message) as caught:
        read(GOOD.replace(before, after, 1), "mine.toml")
    assert str(caught.value).startswith("mine.toml")
