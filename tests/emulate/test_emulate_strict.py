"""The stand-in refuses what CuPy refuses, and has what users call around emitted modules."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages

HOST = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def cp() -> Any:
    return packages(Settings())["cupy"]


REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda cp, x: cp.add(x, HOST),
    "add first": lambda cp, x: cp.add(HOST, x),
    "a number in an array": lambda cp, x: cp.add(x, np.array(1.0)),
    "out": lambda cp, x: cp.add(x, x, out=HOST.copy()),
    "matmul": lambda cp, x: cp.matmul(x, HOST.T),
    "matmul out": lambda cp, x: cp.matmul(x, x.T, out=np.empty((2, 2))),
    "operator": lambda cp, x: x + HOST,
    "operator of NumPy": lambda cp, x: HOST * x,
    "in place": lambda cp, x: x.__iadd__(HOST),
    "matrix product": lambda cp, x: x @ HOST.T,
    "comparison": lambda cp, x: x == HOST,
    "list": lambda cp, x: x * [1.0, 2.0, 3.0],
    "list in a function": lambda cp, x: cp.exp([1.0]),
    "sum of a list": lambda cp, x: cp.sum([1.0]),
    "sum": lambda cp, x: cp.sum(HOST),
    "exp": lambda cp, x: cp.exp(HOST),
    "concatenate": lambda cp, x: cp.concatenate([x, HOST]),
    "stack": lambda cp, x: cp.stack([x, HOST]),
    "where": lambda cp, x: cp.where(x > 1, x, HOST),
    "where of a number": lambda cp, x: cp.where(True, x, x),
    "norm": lambda cp, x: cp.linalg.norm(HOST),
    "method": lambda cp, x: x.dot(HOST.T),
    "allclose": lambda cp, x: cp.allclose(x, HOST),
    "set": lambda cp, x: x.set([[1.0]]),
    "an argument that CuPy lacks": lambda cp, x: cp.sum(x, initial=1.0),
    "where of a ufunc": lambda cp, x: cp.add(x, x, where=x > 1),
    "a method's argument that CuPy lacks": lambda cp, x: x.sum(where=x > 1),
    "too many arguments": lambda cp, x: cp.zeros((2,), float, "C", 1),
    "NumPy's conversion": lambda cp, x: np.asarray(x),
    "NumPy's float": lambda cp, x: np.float64(x),
    "NumPy's comparison": lambda cp, x: np.testing.assert_allclose(x, HOST),
    "NumPy's assignment": lambda cp, x: HOST.copy().__setitem__(..., x),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cupy_refuses_is_a_type_error(cp: Any, what: str) -> None:
    with pytest.raises(TypeError):
        REFUSED[what](cp, cp.asarray(HOST))


def test_assignment_takes_the_devices_arrays_and_numbers(cp: Any) -> None:
    x = cp.zeros((2, 3))
    for value in (cp.asarray(HOST), np.float32(2), 3, np.array(4.0)):
        x[...] = value
    assert (x == 4).all()
    with pytest.raises(ValueError, match=r"non-scalar numpy\.ndarray"):
        x[...] = HOST
    with pytest.raises(TypeError):
        x[0] = [1, 2, 3]


def test_no_other_dtypes(cp: Any) -> None:
    for make, args in ((cp.array, (["a"],)), (cp.zeros, (2, object)), (cp.ndarray, (2, "U1"))):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            make(*args)


def test_to_and_from_the_device_is_a_copy(cp: Any) -> None:
    host = HOST.copy()
    for made in (cp.asarray(host), cp.array(host), cp.ascontiguousarray(host), cp.asfortranarray(host)):
        made[0, 0] = 9
        assert host[0, 0] == 0
    x = cp.asarray(host)
    assert cp.asarray(x) is x
    assert cp.array(x) is not x
    assert cp.asarray(x, cp.float32).dtype == np.float32
    assert cp.asfortranarray(x).flags.f_contiguous
    assert type(cp.asnumpy(x)) is np.ndarray
    assert cp.asarray([x[0, 0], x[0, 1]]).shape == (2,)


def test_numpys_functions_of_the_devices_arrays_stay_on_it(cp: Any) -> None:
    x = cp.asarray(HOST)
    for found in (np.exp(x), np.float64(2) * x, np.sum(x), np.concatenate([x, x]), np.add(x, x, out=cp.empty_like(x))):
        assert isinstance(found, cp.ndarray)
    with pytest.raises(AttributeError):
        np.busday_count(x, x)


def test_what_users_call(cp: Any) -> None:
    """Losses, optimizers and checks as they are written around a module."""
    x, y = cp.asarray(HOST), cp.ones_like(cp.asarray(HOST))
    assert float(cp.mean((x - y) ** 2)) == pytest.approx(np.mean((HOST - 1) ** 2))
    assert float(cp.linalg.norm(x)) == pytest.approx(np.linalg.norm(HOST))
    assert cp.allclose(cp.tanh(x), cp.asarray(np.tanh(HOST)))
    assert int(cp.argmax(x)) == 5
    assert cp.where(x > 2, x, 0).sum() == 12
    assert cp.stack([x, y]).shape == (2, 2, 3)
    assert cp.concatenate([x, y], axis=1).shape == (2, 6)
    assert cp.full((2,), 3.0).tolist() == [3.0, 3.0]
    assert cp.arange(3, dtype=cp.float32).dtype == np.float32
    assert cp.einsum("ij,ij->", x, y) == 15
    assert cp.clip(x, 1, 2).max() == 2
    x -= 0.5 * y
    x *= cp.sqrt(x**2 + 1) / (abs(x) + 1)
    assert x.dtype == np.float64
    assert [float(row.sum()) for row in y] == [3, 3]
    assert f"{y.sum():.1f}" == "6.0"
    assert not cp.isnan(-x / 2).any()
    assert x[cp.asarray([1, 0])].shape == x[[1, 0]].shape == x[np.array([1, 0])].shape == (2, 3)
    assert cp.log(cp.zeros(1)) == -np.inf  # and no warning: a device gives none


def test_random_numbers(cp: Any) -> None:
    cp.random.seed(1)
    first = cp.random.randn(2, 3)
    cp.random.seed(1)
    assert (cp.random.randn(2, 3) == first).all()
    rng = cp.random.default_rng(0)
    for made in (rng.standard_normal((2, 3), dtype=cp.float32), cp.random.uniform(-1, 1, (2, 3), dtype=cp.float32),
                 cp.random.normal(0, 1, (2, 3), cp.float32), cp.random.rand(2, 3, dtype=cp.float32)):  # fmt: skip
        assert isinstance(made, cp.ndarray)
        assert (made.shape, made.dtype) == ((2, 3), np.float32)
    assert cp.random.randint(0, 5, 10).max() < 5
    with pytest.raises(TypeError):
        rng.uniform(np.zeros(2), 1)


def test_a_view_of_memory(cp: Any) -> None:
    """One allocation, several arrays in it, as emitted modules lay out their workspace."""
    room = cp.zeros(10)
    part = cp.ndarray((2, 3), cp.float64, room.data + 8 * 2)
    part[...] = 7
    assert room.tolist() == [0, 0, 7, 7, 7, 7, 7, 7, 0, 0]
    assert part.data.ptr == room.data.ptr + 16
    assert room[3:].data.ptr == room.data.ptr + 24
    with pytest.raises((TypeError, ValueError)):
        cp.ndarray((9,), cp.float64, room.data + 16)


def test_arrays_pickle_and_copy(cp: Any) -> None:
    x = cp.asarray(HOST)
    for other in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x), x.copy()):
        assert isinstance(other, cp.ndarray)
        assert (other == x).all()
        other[0, 0] = 5
        assert x[0, 0] == 0
    with pytest.raises(TypeError):
        hash(x)
