"""cupy.matmul and cupy.cublas.gemm: layouts, beta, empty sizes, and the assertions of the real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symcell.emulate import EmulatorError
from symcell.emulate.gemm import gemm, matmul

rng = np.random.default_rng(0)
WIDE = rng.standard_normal((9, 20))


def operands(m: int, n: int, k: int) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """The same sizes in several layouts: contiguous, transposed, a slice of rows, a slice of columns."""
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    rows, columns = rng.standard_normal((m + 2, k))[1:-1], rng.standard_normal((m, k + 3))[:, 1:-2]
    return [(a, b), (np.asfortranarray(a), np.asfortranarray(b)), (rows, b), (columns, b)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gemm_in_every_layout(dtype: str) -> None:
    for a64, b64 in operands(4, 5, 3):
        a, b = a64.astype(dtype), b64.astype(dtype)
        out = np.ones((6, 5), dtype)
        gemm("N", "N", a, b, out=out[1:5], alpha=2.0, beta=3.0)
        np.testing.assert_allclose(out[1:5], 2 * a64 @ b64 + 3, rtol=1e-5)
        np.testing.assert_array_equal(out[[0, 5]], 1)
        np.testing.assert_allclose(gemm("T", "N", a.T, b), a64 @ b64, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(gemm("N", "T", a, b.T), a64 @ b64, rtol=1e-4, atol=1e-6)


def test_gemm_with_beta_zero_only_writes() -> None:
    a, b = operands(2, 2, 2)[0]
    out = np.full((2, 2), np.nan)
    np.testing.assert_allclose(gemm("N", "N", a, b, out=out), a @ b)
    assert np.isnan(gemm("N", "N", a, b, out=np.full((2, 2), np.nan), beta=1.0)).all()


def test_gemm_without_out_is_in_fortran_order() -> None:
    assert gemm("N", "N", *operands(3, 4, 5)[0]).flags.f_contiguous


def test_gemm_asserts_as_cupy_does() -> None:
    a, b = operands(2, 3, 4)[0]
    with pytest.raises(AssertionError):
        gemm("N", "N", a, b.T)
    with pytest.raises(AssertionError):
        gemm("N", "N", a, b.astype(np.float32))
    with pytest.raises(AssertionError):
        gemm("N", "N", a, b, out=np.zeros((3, 2)))
    with pytest.raises(AssertionError):
        gemm("N", "N", a, b, out=np.zeros((2, 3), np.float32))
    with pytest.raises(AssertionError):
        gemm("N", "N", a, b[0])
    with pytest.raises(TypeError, match="dtype"):
        gemm("N", "N", a.astype(int), b.astype(int))
    with pytest.raises(TypeError, match="trans"):
        gemm("X", "N", a, b)


@pytest.mark.parametrize("sizes", [(0, 2, 3), (2, 3, 0)])
def test_gemm_of_an_empty_matrix_fails_as_cublas_does(sizes: tuple[int, int, int]) -> None:
    m, n, k = sizes
    with pytest.raises(EmulatorError, match="CUBLAS_STATUS_INVALID_VALUE"):
        gemm("N", "N", np.zeros((m, k)), np.zeros((k, n)), out=np.zeros((m, n)))


@pytest.mark.parametrize("sizes", [(4, 5, 3), (0, 2, 3), (2, 0, 3), (2, 3, 0), (1, 1, 1)])
def test_matmul_in_every_layout(sizes: tuple[int, int, int]) -> None:
    for a, b in operands(*sizes):
        out = np.full((sizes[0], sizes[1]), np.nan)
        assert matmul(a, b, out=out) is not None
        np.testing.assert_allclose(out, a @ b)


def test_matmul_checks_out() -> None:
    a, b = operands(2, 3, 4)[0]
    with pytest.raises(ValueError, match="Output operand"):
        matmul(a, b, out=np.zeros((3, 2)))
    with pytest.raises(TypeError, match="cast"):
        matmul(a, b, out=np.zeros((2, 3), np.int64))
    with pytest.raises(TypeError, match="ndarray"):
        matmul(a, b, out=[[0.0] * 3] * 2)
