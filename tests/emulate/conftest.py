"""Fixtures for the emulator's tests: a kernel from CUDA source, without a module around it."""

from __future__ import annotations

from typing import Any

import pytest

from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages


@pytest.fixture
def kernel() -> Any:
    """A function: (source, name, order, options of RawModule) to the kernel."""

    def build(code: str, name: str, order: Any = "forward", **options: Any) -> Any:
        cupy: Any = packages(Settings(order=order))["cupy"]
        return cupy.RawModule(code=code, **options).get_function(name)

    return build
