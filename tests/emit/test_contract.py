"""What modules of particular cells promise: matrices, constant arrays, starts, sizes that few arrays show, pickles."""

from __future__ import annotations

import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import symcell
from symcell.cell import Cell
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case
from symcell.verify.reference import reference
from symcell.verify.targets import forward, outside, run, to_device, to_host
from symcell.verify.tolerances import error, real

Compile = Callable[[Cell], types.ModuleType]

CELLS = {
    "matrix memory": """
        x: D
        C: (H, K)
        C[t] = C[t-1] + outer(W @ x[t], k[t])
        k[t] = V @ x[t]
        h[t] = C[t] @ (Q @ x[t])
    """,
    "a matrix as input and output": """
        x: (H, K)
        y: (H, K)
        y[t] = tanh(x[t] + a * y[t-2])
        a: scalar
    """,
    "a constant array": """
        A: const(N, N)
        B: const(N)
        m: N
        m[t] = A @ m[t-1] + B * sum(w * x[t])
        h[t] = tanh(W @ m[t] + U @ h[t-1])
    """,
    "lags": """
        h[t] = tanh(W @ x[t-2] + U @ h[t-1] + V @ h[t-3])
    """,
    "learned starts": """
        h: H
        C: (H, K)
        C[t] = 0.5 * C[t-1] + outer(h[t-1], k[t])
        k[t] = V @ x[t]
        h[t] = tanh(U @ h[t-1] + C[t] @ q)
        h[0] = h_0
        C[0] = C_0
    """,
    "sizes in states alone": """
        x: D
        m: P
        h[t] = tanh(W @ x[t] + h[t-1] * sum(m[t-1]))
        m[t] = 0.5 * m[t-1]
    """,
    "sizes called T and B": """
        x: B
        h: T
        h[t] = tanh(W @ x[t] + U @ h[t-1])
    """,
    "no parameters": """
        x: H
        h[t] = tanh(x[t] + h[t-1])
    """,
    "joined sizes": """
        x: D
        h: H
        u: 2
        u[t] = W @ [x[t], h[t-1]]
        h[t] = tanh(V @ [u[t], h[t-1], x[t]] + v)
    """,
}


def parse(name: str) -> Cell:
    text = "\n".join(line.strip() for line in CELLS[name].strip().splitlines())
    return symcell.parse(text, name=name.replace(" ", "_"))


def given(module: types.ModuleType, case: Case, dtype: str = "float64") -> tuple[Any, dict[str, Any]]:
    """Inputs and states of a case as the module takes them."""
    x = {k: to_device(module, v, dtype) for k, v in case.x.items()}
    state = {k: to_device(module, outside(v), dtype) for k, v in case.state.items()}
    return x if len(x) > 1 else next(iter(x.values())), state


def parameters(module: types.ModuleType, case: Case, dtype: str = "float64") -> dict[str, Any]:
    """Parameters and constant arrays of a case as a plain dict."""
    return {k: to_device(module, v, dtype) for k, v in (*case.params.items(), *case.arrays.items())}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("lengths", [None, (2, 4, 0)])
def test_equals_the_reference(compiled: Compile, name: str, lengths: tuple[int, ...] | None) -> None:
    cell = parse(name)
    module = compiled(cell)
    for start in (True, False):
        case = random_case(cell, Kind("contract", 4, 3, start, lengths))
        exact, found = reference(cell, case, digits=20), run(module, case, "float64")
        assert {k: np.shape(v) for k, v in found.tensors().items()} == {
            k: np.shape(v) for k, v in exact.tensors().items()
        }
        for tensor, value in found.tensors().items():
            assert error(value, real(exact.tensors()[tensor]), 1) < 1e-12, tensor


@pytest.mark.parametrize("name", CELLS)
def test_steps_equal_forward(compiled: Compile, name: str) -> None:
    cell = parse(name)
    module = compiled(cell)
    for start in (True, False):
        case = random_case(cell, Kind("contract", 5, 2, start))
        params, y, last, _ = forward(module, case, "float64")
        x, state = given(module, case)
        for t in range(case.steps):
            x_t = {k: v[t] for k, v in x.items()} if isinstance(x, dict) else x[t]
            y_t, state = module.step(params, x_t, state)
            assert error(to_host(module, y_t), to_host(module, y)[t], 1) < 1e-13
        assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in last.items()}
        for k, v in state.items():
            assert error(to_host(module, v), to_host(module, last[k]), 1) < 1e-13


@pytest.mark.parametrize("name", CELLS)
def test_gradients_by_inputs_may_be_left_out(compiled: Compile, name: str) -> None:
    cell = parse(name)
    module = compiled(cell)
    case = random_case(cell, Kind("contract", 4, 3))
    params, _, _, tape = forward(module, case, "float64")
    dy = to_device(module, case.dy)
    all_, some = module.backward(params, tape, dy), module.backward(params, tape, dy, need_x=False)
    assert some.x is None
    assert_array_equal(to_host(module, some.params.flat), to_host(module, all_.params.flat))
    for k, v in all_.state.items():
        assert_array_equal(to_host(module, some.state[k]), to_host(module, v))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("lengths", [None, (2, 4, 0)])
def test_what_is_returned_belongs_to_the_caller(
    compiled: Compile, name: str, lengths: tuple[int, ...] | None
) -> None:
    """Who writes to it changes neither the inputs nor the tape, which serves a second time, nor any other result."""
    cell = parse(name)
    module = compiled(cell)
    case = random_case(cell, Kind("contract", 4, 3, True, lengths))
    before = [value.copy() for value in case.x.values()]
    params, y, last, tape = forward(module, case, "float64")
    x, state = given(module, case)
    dy = to_device(module, case.dy)
    first = module.backward(params, tape, dy)
    results = [y, *last.values(), first.params.flat, *first.state.values()]
    results += first.x.values() if isinstance(first.x, dict) else [first.x]
    wanted = [to_host(module, value).copy() for value in results]
    for k, value in enumerate(results):
        assert_array_equal(to_host(module, value), wanted[k])
        value[...] = np.nan
    second = module.backward(params, tape, dy)
    assert_array_equal(to_host(module, second.params.flat), wanted[1 + len(last)])
    again, *_ = module.forward(params, x, state, case.lengths, keep_tape=False)
    assert_array_equal(to_host(module, again), wanted[0])
    again[...] = np.nan
    for value, kept in zip(x.values() if isinstance(x, dict) else [x], before, strict=True):
        assert_array_equal(to_host(module, value), kept)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_mapping_holds_parameters(compiled: Compile, name: str, dtype: str) -> None:
    """A dict gives what Params give, in its own type; so does a dict of one step."""
    cell = parse(name)
    module = compiled(cell)
    case = random_case(cell, Kind("contract", 4, 3))
    _, y, _, tape = forward(module, case, dtype)
    params, (x, state) = parameters(module, case, dtype), given(module, case, dtype)
    y_dict, _, tape_dict = module.forward(params, x, state)
    assert y_dict.dtype == np.dtype(dtype)
    assert_array_equal(to_host(module, y_dict), to_host(module, y))
    grads = module.backward(params, tape_dict, to_device(module, case.dy, dtype))
    packed = module.Params.from_dict(params, **case.sizes)
    if module.PARAMS:
        wanted = module.backward(packed, tape, to_device(module, case.dy, dtype))
        assert_array_equal(to_host(module, grads.params.flat), to_host(module, wanted.params.flat))
        assert packed.flat.dtype == np.dtype(dtype)
    assert packed.sizes == dict(case.sizes)
    assert tuple(packed) == (*module.PARAMS, *module.CONSTANTS)


def test_a_size_that_nothing_shows(compiled: Compile) -> None:
    cell = parse("sizes in states alone")
    module = compiled(cell)
    case = random_case(cell, Kind("contract", 4, 3))
    params, (x, state) = parameters(module, case), given(module, case)
    with pytest.raises(ValueError, match=r"the size P; Params\.from_dict\(\.\.\., P=\.\.\.\)"):
        module.forward(params, x)
    y, last, _ = module.forward(module.Params.from_dict(params, P=7), x)
    assert last["m"].shape == (3, 7)
    assert y.shape == module.forward(params, x, state)[0].shape


def test_lags_and_shapes_are_told_apart(compiled: Compile) -> None:
    module = compiled(parse("lags"))
    assert module.STATES == {"h": ("H",), "x": ("D",)}
    assert module.LAGS == {"h": 3, "x": 2}
    matrix = compiled(parse("a matrix as input and output"))
    assert matrix.INPUTS == {"x": ("H", "K")}
    assert matrix.STATES == {"y": ("H", "K")}
    assert matrix.LAGS == {"y": 2}


def test_constant_arrays(compiled: Compile) -> None:
    module = compiled(parse("a constant array"))
    assert module.CONSTANTS == {"A": ("N", "N"), "B": ("N",)}
    a, b = to_device(module, np.eye(4)), to_device(module, np.ones(4))
    sizes = dict.fromkeys(module.SIZES, 4)
    params = module.init_params(A=a, B=b, **sizes)
    assert_array_equal(to_host(module, params["A"]), np.eye(4, dtype="float32"))
    assert params["A"].dtype == params.flat.dtype
    assert params.flat.size == sum(params[p].size for p in module.PARAMS)
    params["A"][...] = 3.0
    assert_array_equal(to_host(module, a), np.eye(4))
    with pytest.raises(TypeError, match=r"expected the array B of shape \(4,\), got none"):
        module.init_params(A=a, **sizes)
    with pytest.raises(ValueError, match=r"A: expected the shape \(4, 4\), got \(4,\)"):
        module.init_params(A=b, B=b, **sizes)
    with pytest.raises(TypeError, match=r"A: expected .*array.*, got list"):
        module.init_params(A=[[1.0]], B=b, **sizes)
    with pytest.raises(ValueError, match="params: missing key 'A'"):
        module.forward({k: v for k, v in params.items() if k != "A"}, to_device(module, np.zeros((1, 1, 4), "float32")))
    wrong = {**params, "B": to_device(module, np.ones(3))}
    with pytest.raises(ValueError, match=r'params\["B"\]: expected the shape \(4,\), got \(3,\)'):
        module.forward(wrong, to_device(module, np.zeros((1, 1, 4), "float32")))


STARTS = {
    "zeros": lambda v: (v == 0).all(),
    "ones": lambda v: (v == 1).all(),
    "0.25": lambda v: (v == 0.25).all(),
    "identity": lambda v: (v == np.eye(*v.shape)).all(),
    "normal": lambda v: 0.9 < v.std() < 1.1,
    "normal(0.02)": lambda v: 0.018 < v.std() < 0.022,
    "uniform": lambda v: 0.11 < np.abs(v).max() <= 0.125,
    "uniform(0.5)": lambda v: 0.45 < np.abs(v).max() <= 0.5 and (v < 0).any(),
    "glorot": lambda v: 0.2 < np.abs(v).max() <= np.sqrt(6 / 128),
    "orthogonal": lambda v: np.allclose(v @ v.T, np.eye(64), atol=1e-5),
}


@pytest.mark.parametrize("start", STARTS)
def test_where_parameters_start(compiled: Compile, start: str) -> None:
    module = compiled(symcell.parse(f"U: (H, H) = {start}\nh[t] = tanh(W @ x[t] + U @ h[t-1])", name="starts"))
    value = to_host(module, module.init_params(D=2, H=64, seed=3)["U"])
    assert STARTS[start](value)


@pytest.mark.parametrize("name", ["lags", "a constant array"])
def test_pickles(compiled: Compile, name: str) -> None:
    """Params come back from a pickle with the module they belong to, though it was never a file."""
    cell = parse(name)
    module = compiled(cell)
    case = random_case(cell, Kind("contract", 2, 2))
    params = module.Params.from_dict(parameters(module, case))
    again = pickle.loads(pickle.dumps(params))
    assert again.sizes == params.sizes
    assert tuple(again) == tuple(params)
    for key in params:
        assert_array_equal(to_host(module, again[key]), to_host(module, params[key]))
    x, state = given(module, case)
    assert_array_equal(
        to_host(module, module.forward(again, x, state)[0]), to_host(module, module.forward(params, x, state)[0])
    )


def test_pickles_are_read_elsewhere(tmp_path: Path) -> None:
    """Another process, which has compiled nothing yet, reads the Params of a compiled module."""
    module = symcell.compile(parse("lags"))
    params = module.init_params(D=2, H=3, seed=1)
    path = tmp_path / "params.pickle"
    path.write_bytes(pickle.dumps(params))
    program = "import pickle, sys; print(float(pickle.load(open(sys.argv[1], 'rb')).flat.sum()))"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) == float(params.flat.sum())
