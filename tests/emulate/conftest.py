"""Fixtures for the emulator's tests: a kernel from CUDA source, without a module around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symcell.emulate.array import wrap
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages


@pytest.fixture
def kernel() -> Any:
    """A function: (source, name, order, what is watched, options of RawModule) to the kernel, which takes NumPy arrays.

    They are handed over as arrays on the device that share their memory, so that a test sees what was written.
    """

    def build(code: str, name: str, order: Any = "forward", watch: Any = "nothing", **options: Any) -> Any:
        cupy: Any = packages(Settings(watch, order))["cupy"]
        found = cupy.RawModule(code=code, **options).get_function(name)

        class Shared(type(found)):  # type: ignore[misc]
            def __call__(self, grid: Any, block: Any, args: Any, **more: Any) -> None:
                super().__call__(grid, block, tuple(wrap(a) if isinstance(a, np.ndarray) else a for a in args), **more)

        found.__class__ = Shared
        return found

    return build
