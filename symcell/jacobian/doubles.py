"""float64 for :mod:`symcell.interpret`: the NumPy form of each function in the table, as emitted modules have it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from symcell.interpret import Arithmetic
from symcell.symbolic import functions as fn


def _function(function: type[fn.Elementwise]) -> Callable[..., Any]:
    """A function of arrays that broadcast; quiet where emitted modules are."""
    compute: list[Callable[..., None]] = []

    def apply(*args: Any) -> Any:
        if not compute:
            compute.append(_compiled(function, len(args)))
        arrays = np.broadcast_arrays(*(np.asarray(a, float) for a in args))
        out = np.empty(arrays[0].shape)
        with np.errstate(all="ignore"):
            compute[0](*arrays, out, np.empty(out.shape, bool))
        return out

    return apply


def _compiled(function: type[fn.Elementwise], count: int) -> Callable[..., None]:
    """The table's own lines for a function (never a user's text)."""
    names = [f"v{k}" for k in range(count)]
    lines = fn.calls(function, names, "out", "mask")
    text = [*fn.python_helpers([function]), f"def compute({', '.join([*names, 'out', 'mask'])}):"]
    space: dict[str, Any] = {"np": np, "Any": Any, "Callable": Callable}
    exec("\n".join([*text, *(f"    {line}" for line in lines)]), space)
    return space["compute"]


@cache
def doubles() -> Arithmetic:
    """Numbers are floats, arrays float64."""
    functions = {f: _function(f) for f in fn.FUNCTIONS if f.row.numpy}
    return Arithmetic(float, functions, np.float64)
