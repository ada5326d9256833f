"""Layers of Keras and operators of ONNX compute what their layouts say: run beside cells with the same arrays."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symcell
from symcell.formats import from_arrays, library, to_arrays

NEAR = {"rtol": 2e-5, "atol": 2e-6}
T, B, D, H = 5, 3, 4, 6


def run(cell: Any, params: Mapping[str, Any], x: Any, state: Mapping[str, Any]) -> tuple[Any, Any]:
    y, last, _ = symcell.compile(cell).forward(params, x, state)
    return y, last


# Keras


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if "keras" not in sys.modules:
        pytest.importorskip("torch")
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setenv("KERAS_BACKEND", "torch")
            patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
            pytest.importorskip("keras")
    return sys.modules["keras"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LSTM", {}),
        ("GRU", {}),
        ("GRU", {"reset_after": False}),
        ("SimpleRNN", {}),
        ("SimpleRNN", {"activation": "relu"}),
        ("GRU", {"use_bias": False}),
        ("LSTM", {"use_bias": False}),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_keras_layers(keras: Any, name: str, options: dict[str, Any]) -> None:
    layer = getattr(keras.layers, name)(
        H, return_sequences=True, return_state=True, bias_initializer="random_normal", **options
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((B, T, D)).astype("float32")
    y, *ends = (keras.ops.convert_to_numpy(v) for v in layer(x))
    read = from_arrays("keras", name, layer.get_weights(), layer.get_config())
    found, last = run(read.cell, read.params[0], x.swapaxes(0, 1), {})
    np.testing.assert_allclose(found.swapaxes(0, 1), y, **NEAR)
    for state, end in zip(read.known.states, ends, strict=True):
        np.testing.assert_allclose(last[state], end, **NEAR)
    written = to_arrays("keras", name, read.cell, read.params[0], layer.get_config())
    layer.set_weights(list(written.values()))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)[0]), y, **NEAR)


def test_layers_that_no_equations_are_known_for() -> None:
    with pytest.raises(ValueError, match=r"keras GRU with .*'activation': 'selu'.*: no equations are known"):
        from_arrays("keras", "GRU", [], {"activation": "selu"})
    with pytest.raises(
        ValueError, match=r"keras LSTM\(.*\): expected 3 arrays \(kernel, recurrent_kernel, bias\), got 5"
    ):
        from_arrays("keras", "LSTM", [np.zeros((2, 2))] * 5)
    with pytest.raises(ValueError, match=r"cell: expected the function of keras SimpleRNN"):
        from_arrays("keras", "SimpleRNN", [], cell="ugrnn")


# ONNX


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("module", library("onnx").modules, ids=lambda m: m.title)
def test_onnx_operators(module: Any, directions: int, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(1)
    cell = symcell.load(module.shipped)
    sizes = {"D": D, "H": H}
    params = [
        {
            n: rng.standard_normal([s.value(sizes) for s in p.shape]).astype("float32")
            for n, p in cell.parameters.items()
        }
        for _ in range(directions)
    ]
    options = dict(module.options)
    arrays = to_arrays("onnx", module.name, cell, params, options)
    x = rng.standard_normal((T, B, D)).astype("float32")
    starts = {s: rng.standard_normal((directions, B, H)).astype("float32") for s in module.states}
    # its inputs are X, W, R, B, sequence_lens, initial_h, initial_c, P
    places = ["X", "W", "R", "B", "", *(f"initial_{s}" for s in module.states), *(["P"] if "P" in arrays else [])]
    feeds = {"X": x, **arrays, **{f"initial_{s}": v for s, v in starts.items()}}
    known = {"linear_before_reset", "input_forget"}
    attributes = {k: v for k, v in options.items() if k in known}
    attributes["activations"] = list(options["activations"]) * directions
    outs = ["Y", *(f"Y_{s}" for s in module.states)]
    node = onnx.helper.make_node(module.name, places, outs, hidden_size=H,
                                 direction="forward" if directions == 1 else "bidirectional", **attributes)  # fmt: skip
    declared = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, a.shape) for n, a in feeds.items()]
    results = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in outs]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "one", declared, results),
                                   opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)  # fmt: skip
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y, *ends = session.run(None, feeds)
    told = {k: v for k, v in attributes.items() if k != "input_forget"}  # whether there are peepholes is seen
    read = from_arrays("onnx", module.name, arrays, told)
    assert read.sizes == sizes
    for k, found in enumerate(read.params):
        assert all(np.array_equal(found[n], params[k][n]) for n in params[k])
        order = slice(None, None, -1 if k else 1)
        mine, last = run(read.cell, found, x[order].copy(), {s: v[k] for s, v in starts.items()})
        np.testing.assert_allclose(mine[order], y[:, k], **NEAR)
        for state, end in zip(module.states, ends, strict=True):
            np.testing.assert_allclose(last[state], end[k], **NEAR)


def test_onnx_directions_are_an_axis() -> None:
    arrays = {"W": np.zeros((1, 4, 2)), "R": np.zeros((2, 4, 4))}
    with pytest.raises(ValueError, match="expected arrays with 1 or 2 directions as their first axis"):
        from_arrays("onnx", "RNN", arrays)
    cell = symcell.load("rnn")
    params = {n: np.zeros((2,) * len(p.shape)) for n, p in cell.parameters.items()}
    with pytest.raises(ValueError, match="keras has the directions apart: expected one mapping, got 2"):
        to_arrays("keras", "SimpleRNN", cell, [params, params])


@pytest.mark.parametrize("module", [m for name in ("keras", "onnx", "torch") for m in library(name).modules],
                         ids=lambda m: m.title)  # fmt: skip
def test_the_shipped_cell_of_a_layer_is_its_equations(module: Any) -> None:
    from symcell.formats import as_known

    assert as_known(module, None).left_out == frozenset()
