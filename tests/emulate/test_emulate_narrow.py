"""Numbers of 16 bits as CuPy 14 has them: arrays, sums and products in float32, kernels, ``cublas.gemmEx``."""

from __future__ import annotations

import inspect
import types
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from symcell.emulate import CompilerNotFoundError, EmulatorError, load
from symcell.templating import environment

TYPES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
CODES = {"float32": 0, "float16": 2, "bfloat16": 14}
ONE, ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def cp() -> Any:
    return load("import cupy as cp", "narrow").cp


def drawn(cp: Any, shape: tuple[int, ...], dtype: str) -> Any:
    return cp.asarray(rng.standard_normal(shape).astype(TYPES.get(dtype, dtype)))


def wide(array: Any) -> Any:
    return array.get().astype(np.float64)


# arrays


@pytest.mark.parametrize("dtype", TYPES)
def test_arrays(cp: Any, dtype: str) -> None:
    kind = TYPES[dtype]
    a = cp.zeros((2, 3), kind)
    a[...] = cp.asarray(np.full((2, 3), 1 + 2**-11 + 2**-20, np.float32))
    assert a.dtype == kind
    assert (a.itemsize, a.nbytes) == (2, 12)
    rounded = {"float16": 1 + 2**-10, "bfloat16": 1}[dtype]
    np.testing.assert_array_equal(wide(a), rounded)
    assert np.isnan(wide(cp.empty(2, kind))).all()
    assert a.astype(np.float32).dtype == np.float32
    a.fill(0)
    assert not wide(a).any()


@pytest.mark.parametrize("dtype", TYPES)
def test_sums_and_products_are_float32_inside(cp: Any, dtype: str) -> None:
    """Ones are added up: in 16 bits the sum would stop growing."""
    ones = cp.ones((1, 5000), TYPES[dtype])
    for found in (ones.sum(), cp.sum(ones), cp.matmul(ones, ones.T)):
        assert found.dtype == TYPES[dtype]
        assert wide(found).item() == np.float64(np.float32(5000).astype(TYPES[dtype]))


def test_what_is_unknown_of_bfloat16_is_refused(cp: Any) -> None:
    a = drawn(cp, (2, 3), "bfloat16")
    calls = (
        lambda: a * 0.5, lambda: a.mean(), lambda: cp.linalg.norm(a), lambda: cp.where(a > 0, a, a),
        lambda: cp.cumsum(a),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(EmulatorError, match="bfloat16"):
            call()
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cp.empty(2, ml_dtypes.float8_e5m2)


# gemmEx


def gemm(cp: Any, left: Any, right: Any, out: Any, add: bool = False, **change: int) -> None:
    """``out = left @ right`` of row-major windows: in column-major order the transposes, swapped."""
    (rows, inner), columns = left.shape, right.shape[1]
    names = inspect.signature(cp.cuda.cublas.gemmEx).parameters
    beta = (ONE if add else ZERO).ctypes.data
    values = [
        cp.cuda.Device().cublas_handle, 0, 0, columns, rows, inner, ONE.ctypes.data,
        right.data.ptr, CODES[right.dtype.name], right.strides[0] // right.itemsize,
        left.data.ptr, CODES[left.dtype.name], left.strides[0] // left.itemsize,
        beta, out.data.ptr, CODES[out.dtype.name], out.strides[0] // out.itemsize,
        cp.cuda.cublas.CUBLAS_COMPUTE_32F, cp.cuda.cublas.CUBLAS_GEMM_DEFAULT,
    ]  # fmt: skip
    arguments = dict(zip(names, values, strict=True)) | change
    cp.cuda.cublas.gemmEx(*arguments.values())


@pytest.mark.parametrize(("dtype", "out"), [(d, o) for d in TYPES for o in (d, "float32")])
def test_gemm_ex_of_windows(cp: Any, dtype: str, out: str) -> None:
    left, right = drawn(cp, (6, 9), dtype)[1:5, 2:7], drawn(cp, (5, 8), dtype)[:, 1:4]
    result = cp.ones((6, 7), TYPES.get(out, out))
    before = wide(result)
    gemm(cp, left, right, result[1:5, 2:5], add=True)
    wanted = wide(left) @ wide(right) + 1
    np.testing.assert_allclose(wide(result)[1:5, 2:5], wanted, rtol=1e-6 if out == "float32" else 2**-8, atol=1e-6)
    untouched = np.ones((6, 7), bool)
    untouched[1:5, 2:5] = False
    np.testing.assert_array_equal(wide(result)[untouched], before[untouched])


def test_gemm_ex_with_beta_zero_only_writes(cp: Any) -> None:
    left, right, out = drawn(cp, (2, 3), "float16"), drawn(cp, (3, 2), "float16"), cp.empty((2, 2), np.float32)
    gemm(cp, left, right, out)
    np.testing.assert_allclose(wide(out), wide(left) @ wide(right), rtol=1e-6)
    gemm(cp, left[:, :0], right[:0], out)
    assert not wide(out).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lda": 1}, "CUBLAS_STATUS_INVALID_VALUE"), ({"Atype": 14}, "NOT_SUPPORTED"), ({"Ctype": 14}, "NOT_SUPPORTED"),
        ({"handle": 0}, "NOT_INITIALIZED"), ({"m": -1}, "INVALID_VALUE"), ({"n": 5}, "leaves the array"),
        ({"C": 64}, "begins in none"), ({"computeType": 64}, "COMPUTE_32F"), ({"transa": 7}, "INVALID_VALUE"),
    ],
)  # fmt: skip
def test_gemm_ex_refuses(cp: Any, change: dict[str, int], message: str) -> None:
    left, right, out = drawn(cp, (2, 3), "float16"), drawn(cp, (3, 2), "float16"), cp.empty((2, 2), np.float32)
    with pytest.raises(EmulatorError, match=message):
        gemm(cp, left, right, out, **change)


# kernels

KERNEL = """
extern "C" __global__ void twice(const stored* x, stored* y, float* z) {
    z[threadIdx.x] = rounded(x[threadIdx.x] * 2.0f + 1e-3f);
    y[threadIdx.x] = z[threadIdx.x];
}
"""


@pytest.mark.parametrize("dtype", TYPES)
def test_kernels_store_rounded_numbers(dtype: str) -> None:
    """Every number of the type, and what lies between two: to nearest even, overflow to inf, NaN to NaN."""
    storage = environment("cupy").get_template("cupy/storage.cu.j2").render()
    define = {"float16": "STORED_F16", "bfloat16": "STORED_BF16"}[dtype]
    code = f"typedef float real;\n#define {define}\n{storage}\n{KERNEL}"
    cp: types.ModuleType = load("import cupy as cp", "kernels").cp
    bits = np.arange(1 << 16, dtype=np.uint16).view(TYPES[dtype]).reshape(-1, 1024)
    try:
        kernel = cp.RawModule(code=code).get_function("twice")
    except CompilerNotFoundError as error:
        pytest.skip(str(error))
    for row in bits:
        x, y, z = cp.asarray(row), cp.empty(1024, TYPES[dtype]), cp.empty(1024, np.float32)
        kernel((1,), (1024,), (x, y, z))
        with np.errstate(all="ignore"):
            wanted = (row.astype(np.float32) * np.float32(2) + np.float32(1e-3)).astype(TYPES[dtype])
        np.testing.assert_array_equal(y.get().astype(np.float32), wanted.astype(np.float32))
        np.testing.assert_array_equal(z.get(), wanted.astype(np.float32))
    with pytest.raises(TypeError, match="is an array of float32"):
        kernel((1,), (1024,), (z, y, z))
