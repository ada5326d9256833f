"""Products with the rules of CuPy 14: ``cupy.matmul(a, b, out=)`` and ``cupy.cublas.gemm``, on NumPy's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from symcell.emulate.errors import EmulatorError
from symcell.emulate.numbers import narrow

_TRANS = {"N": False, 0: False, "T": True, 1: True, "H": True, 2: True}


def matmul(a: Any, b: Any, out: Any = None, **kwargs: Any) -> Any:
    """``a @ b``. With ``out``, its shape must be exact; CuPy casts to its dtype with the rule same_kind. Of 16 bits:
    summed in float32, and rounded, before anything is cast."""
    if not all(isinstance(operand, np.ndarray) for operand in (a, b)):
        raise TypeError("matmul takes arrays of one axis at least, not numbers")
    if out is not None and not isinstance(out, np.ndarray):
        raise TypeError("`out` must be a cupy.ndarray")
    if not (narrow(a.dtype) or narrow(b.dtype)):
        return np.matmul(a, b, out=out, **kwargs)
    made = np.matmul(*(np.asarray(operand, np.float32) for operand in (a, b)), **kwargs)
    made = made.astype(np.promote_types(a.dtype, b.dtype))
    if out is None:
        return made
    if out.shape != made.shape:
        raise ValueError(f"Output operand has the shape {out.shape}, not {made.shape}")
    np.copyto(out, made, casting="same_kind")
    return out


def _leading(operand: Any) -> int:
    """The leading dimension that CuPy gives to cuBLAS: rows of a Fortran, columns of a C-contiguous matrix.

    Neither: CuPy first copies it to Fortran order, so it has rows.
    """
    f_contiguous, c_contiguous = operand.flags.f_contiguous, operand.flags.c_contiguous
    return int(operand.shape[1] if c_contiguous and not f_contiguous else operand.shape[0])


def _check_sizes(a: Any, b: Any, out: Any) -> None:
    """cuBLAS refuses a leading dimension of 0, before it looks at m, n and k; CuPy does not test for it."""
    if 0 in map(_leading, (a, b, out)):
        raise EmulatorError(
            f"cublas.gemm of {a.shape} and {b.shape} to {out.shape}: CuPy passes a leading dimension of 0, and cuBLAS "
            "fails with CUBLAS_STATUS_INVALID_VALUE; test for an empty matrix before the call"
        )


def gemm(transa: Any, transb: Any, a: Any, b: Any, out: Any = None, alpha: Any = 1.0, beta: Any = 0.0) -> Any:
    """``out = alpha * op(a) @ op(b) + beta * out``, where op transposes for "T".

    a, b and out are 2-D with one dtype, float32 or float64 (complex is not emulated); AssertionError otherwise, as in
    CuPy. With beta = 0, out is only written, so that NaN in it does not spread. Without out, the result is in Fortran
    order.
    """
    if not all(isinstance(operand, np.ndarray) for operand in (a, b)):
        raise TypeError("gemm takes cupy.ndarray")
    assert a.ndim == b.ndim == 2
    assert a.dtype == b.dtype
    if a.dtype.char not in "fd":
        raise TypeError("invalid dtype")
    if transa not in _TRANS or transb not in _TRANS:
        raise TypeError(f"invalid trans (actual: {transa}, {transb})")
    left, right = (a.T if _TRANS[transa] else a), (b.T if _TRANS[transb] else b)
    (m, k), n = left.shape, right.shape[1]
    assert right.shape[0] == k
    if out is None:
        out, beta = np.empty((m, n), a.dtype, order="F"), 0.0
    assert out.ndim == 2
    assert out.shape == (m, n)
    assert out.dtype == a.dtype
    _check_sizes(a, b, out)
    scaled = np.asarray(alpha, a.dtype) * np.matmul(left, right)
    out[...] = scaled if beta == 0 else scaled + np.asarray(beta, a.dtype) * out
    return out
