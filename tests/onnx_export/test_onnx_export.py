"""An exported model computes what the emitted module computes, in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_cells
from feature_cells import FEATURES

import symcell
from symcell.cell import Cell, CellError
from symcell.symbolic import functions as fn

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
import symcell.onnx as export  # noqa: E402

T, B = 5, 3
LENGTHS = np.array([5, 2, 0])
HAS_NO_FLOAT64 = ("smooth", "constant_arguments")  # erf


class Case:
    """A cell with numbers for all that it takes."""

    def __init__(self, cell: Cell, dtype: str, seed: int = 0) -> None:
        self.cell, self.dtype, self.rng = cell, dtype, np.random.default_rng(seed)
        self.sizes = dict(zip(cell.sizes, (3, 4, 5, 2, 6), strict=False))
        self.fixed = {n: self.draw(p.shape) for n, p in cell.parameters.items()}
        self.fixed |= {n: self.draw(shape) for n, shape in cell.arrays.items()}
        self.x = {n: self.draw(shape, T, B) for n, shape in cell.inputs.items()}
        lead = {n: (k, B) if k > 1 else (B,) for n, k in cell.states.items()}
        self.state = {n: self.draw(cell.shape_of(n), *lead[n]) for n in cell.states}

    def draw(self, shape: Any, *lead: int) -> Any:
        return np.asarray(self.rng.normal(scale=0.5, size=(*lead, *(s.value(self.sizes) for s in shape))), self.dtype)

    def wanted(self, state: Any, lengths: Any) -> dict[str, Any]:
        module = symcell.compile(self.cell)
        params = module.Params.from_dict(self.fixed, **self.sizes)
        y, last, _ = module.forward(params, self.x, state, lengths)
        return {"y": y, **{f"{n}_last": value for n, value in last.items()}}

    def feeds(self, state: Any, lengths: Any) -> dict[str, Any]:
        found = {**self.x, **{f"{n}_first": value for n, value in (state or {}).items()}}
        return found if lengths is None else {**found, "lengths": lengths}


def session(model: Any) -> Any:
    return runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def results(made: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    return dict(zip((o.name for o in made.get_outputs()), made.run(None, feeds), strict=True))


def compared(case: Case, near: float) -> None:
    made = session(export.model(case.cell, case.fixed, sizes=case.sizes))
    for state in (None, case.state):
        for lengths in (None, LENGTHS):
            wanted = case.wanted(state, lengths)
            found = results(made, case.feeds(state, lengths))
            assert found.keys() == wanted.keys()
            for name, value in wanted.items():
                np.testing.assert_allclose(found[name], value, rtol=near, atol=near, err_msg=name)


@pytest.mark.parametrize("name", symcell.names())
def test_every_shipped_cell(name: str) -> None:
    compared(Case(symcell.load(name), "float32"), 5e-6)


@pytest.mark.parametrize("name", FEATURES)
def test_the_whole_language(name: str) -> None:
    cell = symcell.parse(FEATURES[name], name="cell")
    if name in HAS_NO_FLOAT64 or not cell.parameters:
        compared(Case(cell, "float32"), 5e-6)
    else:
        compared(Case(cell, "float64"), 1e-12)


@pytest.mark.parametrize("seed", range(16))
def test_random_cells(seed: int) -> None:
    try:
        cell = symcell.parse(random_cells.cell(seed), name="cell")
    except CellError:  # a size was left open
        cell = symcell.parse(random_cells.cell(seed, whole=True), name="cell")
    if not cell.parameters or any(f"{name}(" in cell.text for name in ("erf", "gelu")):
        pytest.skip("this runs in float32 alone, which is too coarse for random cells")
    compared(Case(cell, "float64", seed), 1e-9)


def test_every_function_has_operators() -> None:
    """Near and far from 0, in float32."""
    near = [-3, -1.5, -0.5, -1e-3, 0, 1e-3, 0.5, 1, 2.5, 3]
    values = np.array([-900, -90, -20, *near, 20, 80, 900], "float32")[:, None, None]
    for function in fn.FUNCTIONS:
        if function.composed is fn.Elementwise.composed:
            assert function.row.onnx, function
        if not function.spoken or 1 not in (function.nargs or ()):
            continue
        text = {"log": "log(1 + abs(x[t]))", "sqrt": "sqrt(abs(x[t]))", "exp": "exp(-abs(x[t]))"}
        cell = symcell.parse(f"x: 1\nb: 1\nh[t] = b + {text.get(function.text, f'{function.text}(x[t])')}", name="cell")
        fixed = {"b": np.zeros(1, "float32")}
        found = results(session(export.model(cell, fixed)), {"x": values})["y"]
        wanted = symcell.compile(cell).forward(fixed, values)[0]
        np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=3e-7, err_msg=function.text)


@pytest.mark.parametrize(("steps", "samples"), [(1, 0), (7, 1), (2, 9)])
def test_steps_and_samples_are_free(steps: int, samples: int) -> None:
    case = Case(symcell.load("lstm"), "float32")
    made = session(export.model(case.cell, case.fixed))
    x = case.draw(case.cell.inputs["x"], steps, samples)
    found = results(made, {"x": x})
    y, last, _ = symcell.compile(case.cell).forward(case.fixed, x)
    np.testing.assert_allclose(found["y"], y, rtol=5e-6, atol=5e-6)
    np.testing.assert_allclose(found["c_last"], last["c"], rtol=5e-6, atol=5e-6)
    assert found["y"].shape == (steps, samples, 4)


def test_what_the_model_says_of_itself(tmp_path: Path) -> None:
    case = Case(symcell.load("lstm"), "float32")
    export.export("lstm", case.fixed, tmp_path / "net.onnx", lengths=False)
    model = onnx.load(tmp_path / "net.onnx")
    assert [i.name for i in model.graph.input] == ["x", "h_first", "c_first"]
    assert [o.name for o in model.graph.output] == ["y", "h_last", "c_last"]
    assert model.doc_string == case.cell.text
    assert model.SerializeToString() == export.model("lstm", case.fixed, lengths=False).SerializeToString()
    made = session(model)
    np.testing.assert_allclose(results(made, {"x": case.x["x"]})["y"], case.wanted(None, None)["y"], atol=5e-6)


def test_parameters_that_do_not_fit() -> None:
    case = Case(symcell.load("rnn"), "float32")
    with pytest.raises(ValueError, match="params: expected W, U, b, got W"):
        export.model("rnn", {"W": case.fixed["W"]})
    with pytest.raises(ValueError, match=r"params\['U'\]: expected the shape \(4, 4\), got \(4, 5\)"):
        export.model("rnn", {**case.fixed, "U": np.zeros((4, 5), "float32")})
    with pytest.raises(ValueError, match=r"params\['b'\]: expected H, got the shape \(4, 1\)"):
        export.model("rnn", {**case.fixed, "b": np.zeros((4, 1), "float32")})
    with pytest.raises(TypeError, match="params: expected arrays of float32 or of float64, got float32, float64"):
        export.model("rnn", {**case.fixed, "b": np.zeros(4)})
    open_size = symcell.parse(FEATURES["a_size_of_states_alone"], name="cell")
    with pytest.raises(ValueError, match="sizes: no array of cell shows K"):
        export.model(open_size, Case(open_size, "float32").fixed)
