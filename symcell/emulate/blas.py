"""``cupy.cuda.cublas`` on the host: ``gemmEx``, which takes addresses and leading dimensions, on NumPy's arrays.

The signature and the constants are those of CuPy's cupy_backends/cuda/libs/cublas.pyx and .pxd; what is refused is what
the cuBLAS documentation lists for cublasGemmEx, and every number that lies in no array.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from symcell.emulate.errors import EmulatorError
from symcell.emulate.memory import MEMORY
from symcell.emulate.numbers import named

HANDLE = 0xB1A5
"""What stands for a handle: ``Device().cublas_handle``."""
CONSTANTS = {"CUBLAS_OP_N": 0, "CUBLAS_OP_T": 1, "CUBLAS_GEMM_DEFAULT": -1, "CUBLAS_COMPUTE_32F": 68}
FLOAT32, FLOAT16, BFLOAT16 = 0, 2, 14
"""cudaDataType_t: CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF."""
TYPES = frozenset(
    ((FLOAT32, FLOAT32), (FLOAT16, FLOAT16), (FLOAT16, FLOAT32), (BFLOAT16, BFLOAT16), (BFLOAT16, FLOAT32))
)
"""Types of (A and B, C) that CUBLAS_COMPUTE_32F takes with scale factors of float32."""


def _dtype(code: int) -> Any:
    return named({FLOAT32: "float32", FLOAT16: "float16", BFLOAT16: "bfloat16"}[code])


@dataclass(frozen=True)
class Matrix:
    """A matrix in column-major order, columns ``leading`` numbers apart."""

    name: str
    address: int
    dtype: Any
    rows: int
    columns: int
    leading: int

    def array(self) -> Any:
        """It as an array. Raises EmulatorError where it leaves the array in which it begins, or has another type."""
        if self.leading < max(1, self.rows):
            raise EmulatorError(
                f"gemmEx: {self.name} has {self.rows} rows and the leading dimension {self.leading} "
                "(CUBLAS_STATUS_INVALID_VALUE)"
            )
        if not self.rows or not self.columns:
            return np.zeros((self.rows, self.columns), self.dtype)
        count = self.leading * (self.columns - 1) + self.rows
        found = MEMORY.holding(self.address)
        if found is None or self.address + count * self.dtype.itemsize > found.ctypes.data + found.nbytes:
            raise EmulatorError(f"gemmEx: {self.name} leaves the array that it begins in, or begins in none")
        if found.dtype != self.dtype:  # which nobody would notice on a device
            raise EmulatorError(f"gemmEx: {self.name} is said to be {self.dtype} and lies in an array of {found.dtype}")
        place = (ctypes.c_char * (count * self.dtype.itemsize)).from_address(self.address)
        strides = (self.dtype.itemsize, self.leading * self.dtype.itemsize)
        return np.ndarray((self.rows, self.columns), self.dtype, place, strides=strides)


def _scale(address: int) -> np.float32:
    return np.float32(ctypes.c_float.from_address(address).value)


def gemmEx(  # noqa: N802 (CuPy's name)
    handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, A: int, Atype: int, lda: int, B: int,
    Btype: int, ldb: int, beta: int, C: int, Ctype: int, ldc: int, computeType: int, algo: int,
) -> None:  # fmt: skip
    """``C = alpha * op(A) @ op(B) + beta * C`` in column-major order, op(A) m by k and op(B) k by n, summed in float32
    and rounded once; alpha and beta are addresses on the host. With beta = 0, C is only written."""
    if handle != HANDLE:
        raise EmulatorError("gemmEx: the handle is none of Device().cublas_handle (CUBLAS_STATUS_NOT_INITIALIZED)")
    if computeType != CONSTANTS["CUBLAS_COMPUTE_32F"] or algo != CONSTANTS["CUBLAS_GEMM_DEFAULT"]:
        raise EmulatorError("gemmEx: the emulator has CUBLAS_COMPUTE_32F and CUBLAS_GEMM_DEFAULT alone")
    if Atype != Btype or (Atype, Ctype) not in TYPES:
        raise EmulatorError(f"gemmEx: no product of types {Atype} and {Btype} to {Ctype} (CUBLAS_STATUS_NOT_SUPPORTED)")
    if min(m, n, k) < 0 or transa not in (0, 1) or transb not in (0, 1):
        raise EmulatorError(f"gemmEx: operations {transa}, {transb}, sizes {m}, {n}, {k} (CUBLAS_STATUS_INVALID_VALUE)")
    left = Matrix("A", A, _dtype(Atype), *((k, m) if transa else (m, k)), lda).array()
    right = Matrix("B", B, _dtype(Btype), *((n, k) if transb else (k, n)), ldb).array()
    out = Matrix("C", C, _dtype(Ctype), m, n, ldc).array()
    wide = [np.asarray(matrix, np.float32) for matrix in (left.T if transa else left, right.T if transb else right)]
    with np.errstate(all="ignore"):
        made = _scale(alpha) * np.matmul(*wide)
        factor = _scale(beta)
        out[...] = made if factor == 0 else made + factor * np.asarray(out, np.float32)
