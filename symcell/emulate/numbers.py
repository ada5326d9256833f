"""Which numbers CuPy has: NumPy's, and ``ml_dtypes.bfloat16``, of which less works."""

from __future__ import annotations

from typing import Any

import numpy as np

BFLOAT16 = frozenset((
    "absolute", "add", "array", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray", "asnumpy", "astype",
    "broadcast_to", "concatenate", "copyto", "cos", "cosh", "divide", "empty", "empty_like", "equal", "exp", "expm1",
    "full", "full_like", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal", "log",
    "log1p", "logical_and", "matmul", "maximum", "minimum", "multiply", "negative", "not_equal", "ones", "ones_like",
    "positive", "ravel", "reciprocal", "reshape", "sin", "sqrt", "stack", "subtract", "sum", "tanh", "transpose",
    "true_divide", "zeros", "zeros_like",
))  # fmt: skip
"""Functions that take bfloat16 in CuPy 14 (those that copy, and ``bf16_loop`` in its ufuncs) and here give the same."""
METHODS = frozenset(("astype", "copy", "fill", "ravel", "reshape", "squeeze", "sum", "transpose", "view"))
"""The same of methods."""


def named(name: str) -> Any:
    """A type by its name. Raises ImportError for bfloat16 where its package is missing."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes  # only for who asks for it

    return np.dtype(ml_dtypes.bfloat16)


def is_bfloat16(dtype: Any) -> bool:
    """Whether a type is ``ml_dtypes.bfloat16``: to NumPy it is of kind V."""
    return bool(dtype.name == "bfloat16")


def narrow(dtype: Any) -> bool:
    """Whether a type is one of the two whose products and sums CuPy adds up in float32."""
    return bool(dtype == np.float16) or is_bfloat16(dtype)


def number(dtype: Any) -> Any:
    """The type, if CuPy has arrays of it. Raises ValueError."""
    if not (dtype.kind in "biufc" and dtype.isbuiltin != 2) and not is_bfloat16(dtype):
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def floating(dtype: Any) -> bool:
    """Whether numbers of the type have a NaN."""
    return dtype.kind in "fc" or is_bfloat16(dtype)
