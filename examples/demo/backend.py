"""Where to train: the emitted CuPy modules if there is a CUDA device, else the emitted NumPy modules."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Backend:
    """``target`` names the emitted modules, ``xp`` is their array library, ``device`` says what runs them."""

    target: str
    xp: Any
    device: str

    def host(self, array: Any) -> Any:
        """The array as a NumPy array."""
        return array.get() if hasattr(array, "get") else array


def find() -> Backend:
    """CuPy if it is installed and sees a device, else NumPy."""
    try:
        import cupy

        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        return Backend("cupy", cupy, name)
    except Exception:  # no CuPy, no driver or no device: each has its own exception
        import numpy

        return Backend("numpy", numpy, "CPU")


def load(file: Path) -> ModuleType:
    """An emitted module, imported from its file alone."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module
