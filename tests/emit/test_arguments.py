"""Arguments that do not fit: each is refused with an error that names it, what came and what was expected."""

from __future__ import annotations

import types
from collections.abc import Callable

import numpy as np
import pytest

from symcell.cell import Cell


class _Foreign:
    class ndarray:  # noqa: N801
        """Looks by its name like CuPy's array."""

        __module__ = "cupy"


Shipped = Callable[[str], tuple[Cell, types.ModuleType]]


def bad_calls(m: types.ModuleType) -> dict[str, tuple[Callable[[], object], type[Exception], str]]:
    """By name: a call, what it raises, and what the message says."""
    zeros = m.cp.zeros if hasattr(m, "cp") else np.zeros
    params = m.init_params(D=3, H=5, dtype="float64")
    x = zeros((4, 2, 3))
    h = zeros((2, 5))
    _, _, tape = m.forward(params, x)
    dy = zeros((4, 2, 5))
    # an array of the other package, whose class has the same name
    other, named = (np.zeros((4, 2, 3)), "numpy") if hasattr(m, "cp") else (_Foreign.ndarray(), "cupy")
    without = {k: v for k, v in params.items() if k != "W_i"}
    return {
        "size missing": (lambda: m.init_params(D=3), TypeError, "expected the sizes D, H, got D"),
        "size unknown": (lambda: m.init_params(D=3, H=5, K=1), TypeError, "expected the sizes D, H, got D, H, K"),
        "size zero": (lambda: m.init_params(D=0, H=5), ValueError, "D: expected a positive integer, got 0"),
        "size a float": (lambda: m.init_params(D=3, H=5.0), ValueError, "H: expected a positive integer, got 5.0"),
        "size a truth": (lambda: m.init_params(D=3, H=True), ValueError, "H: expected a positive integer, got True"),
        "type of number": (
            lambda: m.init_params(D=3, H=5, dtype="int32"),
            TypeError,
            "dtype: expected float32, float64, float16 or bfloat16, got int32",
        ),
        "no type": (lambda: m.init_params(D=3, H=5, dtype="nonsense"), TypeError, "dtype: .*nonsense"),
        "params a list": (lambda: m.forward([1], x), TypeError, "params: expected a dict"),
        "params lacking": (lambda: m.forward(without, x), ValueError, "params: missing key 'W_i'"),
        "params too many": (lambda: m.forward({**params, "V": x}, x), ValueError, "params: unknown key 'V'"),
        "params misshapen": (
            lambda: m.forward({**params, "b_i": zeros(4)}, x),
            ValueError,
            r'params\["b_i"\]: expected the shape \(5,\), got \(4,\)',
        ),
        "params mixed": (
            lambda: m.forward({**params, "b_i": params["b_i"].astype("float32")}, x),
            TypeError,
            "params: .*float32, float64",
        ),
        "params no array": (
            lambda: m.forward({**params, "b_i": [0.0] * 5}, x),
            TypeError,
            r'params\["b_i"\]: expected .*array',
        ),
        "x a list": (lambda: m.forward(params, [[[1.0] * 3]]), TypeError, "x: expected .*array.*, got list"),
        "x of another package": (
            lambda: m.forward(params, other),
            TypeError,
            rf"x: expected .*array.*, got {named}\.ndarray",
        ),
        "x two axes": (
            lambda: m.forward(params, zeros((4, 3))),
            ValueError,
            r"x: expected the shape \(T, B, 3\), got \(4, 3\)",
        ),
        "x too wide": (
            lambda: m.forward(params, zeros((4, 2, 4))),
            ValueError,
            r"x: expected the shape \(T, B, 3\), got \(4, 2, 4\)",
        ),
        "x of another type": (
            lambda: m.forward(params, x.astype("float32")),
            TypeError,
            "x: expected float64.*got float32",
        ),
        "x of integers": (lambda: m.forward(params, x.astype("int64")), TypeError, "x: expected float64.*got int64"),
        "x by a wrong name": (lambda: m.forward(params, {"z": x}), ValueError, "x: unknown key 'z'"),
        "state unknown": (lambda: m.forward(params, x, {"z": h}), ValueError, "state: unknown key 'z'"),
        "state no dict": (lambda: m.forward(params, x, h), TypeError, "state: expected a dict"),
        "state misshapen": (
            lambda: m.forward(params, x, {"h": zeros((3, 5))}),
            ValueError,
            r'state\["h"\]: expected the shape \(2, 5\), got \(3, 5\)',
        ),
        "state of another type": (
            lambda: m.forward(params, x, {"h": h.astype("float32")}),
            TypeError,
            r'state\["h"\]: expected float64',
        ),
        "state no array": (
            lambda: m.forward(params, x, {"h": [[0.0] * 5] * 2}),
            TypeError,
            r'state\["h"\]: expected .*array',
        ),
        "lengths too few": (
            lambda: m.forward(params, x, lengths=np.array([1])),
            ValueError,
            "lengths: expected 2 integers",
        ),
        "lengths too long": (
            lambda: m.forward(params, x, lengths=np.array([1, 5])),
            ValueError,
            "lengths: expected numbers from 0 to T = 4, got 1 to 5",
        ),
        "lengths below zero": (
            lambda: m.forward(params, x, lengths=np.array([-1, 4])),
            ValueError,
            "lengths: expected numbers from 0 to T = 4",
        ),
        "lengths of floats": (
            lambda: m.forward(params, x, lengths=np.array([1.0, 2.0])),
            ValueError,
            "lengths: expected 2 integers, got float64",
        ),
        "lengths of truths": (
            lambda: m.forward(params, x, lengths=np.array([True, False])),
            ValueError,
            "lengths: expected 2 integers, got bool",
        ),
        "lengths a number": (lambda: m.forward(params, x, lengths=3), ValueError, "lengths: expected 2 integers"),
        "no tape": (lambda: m.backward(params, None, dy), TypeError, "tape: expected the tape"),
        "another thing as tape": (lambda: m.backward(params, (x,), dy), TypeError, "tape: expected the tape"),
        "dy misshapen": (
            lambda: m.backward(params, tape, zeros((3, 2, 5))),
            ValueError,
            r"dy: expected the shape \(4, 2, 5\), got \(3, 2, 5\)",
        ),
        "dy of another type": (
            lambda: m.backward(params, tape, dy.astype("float32")),
            TypeError,
            "dy: expected float64",
        ),
        "dy a number": (lambda: m.backward(params, tape, 1.0), TypeError, "dy: expected .*array.*, got float"),
        "dlast unknown": (lambda: m.backward(params, tape, dy, {"z": h}), ValueError, "dlast: unknown key 'z'"),
        "dlast misshapen": (
            lambda: m.backward(params, tape, dy, {"c": zeros((2, 4))}),
            ValueError,
            r'dlast\["c"\]: expected the shape',
        ),
        "dlast no array": (
            lambda: m.backward(params, tape, dy, {"c": 1.0}),
            TypeError,
            r'dlast\["c"\]: expected .*array',
        ),
        "step with three axes": (
            lambda: m.step(params, x),
            ValueError,
            r"x_t: expected the shape \(B, 3\), got \(4, 2, 3\)",
        ),
        "step too wide": (lambda: m.step(params, zeros((2, 4))), ValueError, r"x_t: expected the shape \(B, 3\)"),
        "step by a wrong name": (lambda: m.step(params, {"z": x[0]}), ValueError, "x_t: unknown key 'z'"),
        "step of another type": (lambda: m.step(params, x[0].astype("float32")), TypeError, "x_t: expected float64"),
        "step from a wrong state": (
            lambda: m.step(params, x[0], {"h": zeros((3, 5))}),
            ValueError,
            r'state\["h"\]: expected the shape \(2, 5\), got \(3, 5\)',
        ),
    }


def test_arguments_that_do_not_fit(shipped: Shipped) -> None:
    _, module = shipped("lstm")
    for what, (call, kind, message) in bad_calls(module).items():
        with pytest.raises(kind, match=message) as caught:
            call()
        assert caught.type is kind, what


def test_a_tape_of_other_sizes(shipped: Shipped) -> None:
    """A tape goes with parameters of its own sizes and type."""
    _, module = shipped("rnn")
    zeros = module.cp.zeros if hasattr(module, "cp") else np.zeros
    _, _, tape = module.forward(module.init_params(D=3, H=5, dtype="float64"), zeros((4, 2, 3)))
    for params in (module.init_params(D=3, H=6, dtype="float64"), module.init_params(D=4, H=5, dtype="float64"),
                   module.init_params(D=3, H=5, dtype="float32")):  # fmt: skip
        h = params.sizes["H"]
        with pytest.raises((ValueError, TypeError), match=r"tape|params"):
            module.backward(params, tape, zeros((4, 2, h), params.flat.dtype))
