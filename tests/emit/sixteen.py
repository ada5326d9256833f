"""Types of 16 bits, as NumPy and ml_dtypes have them: what C that rounds to them is held to."""

from __future__ import annotations

import ml_dtypes
import numpy as np

SIXTEEN = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


@np.errstate(all="ignore")
def rounded(values: np.ndarray, stored: str) -> np.ndarray:
    """The numbers of a type nearest to some of float32, as such."""
    return values.astype(SIXTEEN[stored]).astype(np.float32)
