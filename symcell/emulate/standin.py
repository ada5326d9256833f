"""The stand-in for the ``cupy`` package: what CuPy 14 has, as far as the emulator has it, and nothing else."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from symcell.emulate import cuda, functions, random
from symcell.emulate.array import Array
from symcell.emulate.raw import Settings, classes, resident_blocks


class _Package(types.ModuleType):
    """A module whose names are given, and whose other names come from ``fallback``."""

    def __init__(self, name: str, names: Mapping[str, Any], fallback: Callable[[str], Any] | None = None) -> None:
        super().__init__(name)
        self.__dict__.update(names, __path__=[])
        self._fallback = fallback

    def __getattr__(self, name: str) -> Any:
        if self._fallback is None or name.startswith("__"):
            raise AttributeError(f"the emulator's {self.__name__!r} has no {name!r}")
        value = self._fallback(name)
        setattr(self, name, value)
        return value


def packages(settings: Settings) -> dict[str, types.ModuleType]:
    """The stand-in packages for one emulated module, by their full names."""
    runtime = _Package("cupy.cuda.runtime", cuda.runtime(settings.device))
    driver = _Package("cupy.cuda.driver", {"occupancyMaxActiveBlocksPerMultiprocessor": resident_blocks})
    below = {
        "cupy.cuda": _Package("cupy.cuda", {**cuda.names(settings.device), "driver": driver, "runtime": runtime}),
        "cupy.linalg": _Package("cupy.linalg", {}, lambda name: functions.attribute(f"linalg.{name}")),
        "cupy.random": _Package("cupy.random", random.names()),
    }
    special: dict[str, Any] = {
        "get_array_module": lambda *args: cupy if any(isinstance(a, Array) for a in args) else np,
        "ndarray": Array,
        "get_default_memory_pool": cuda.MemoryPool,
        "__version__": "14 (symcell.emulate)",
        **{name.partition(".")[2]: package for name, package in below.items()},
        **classes(settings),
    }
    cupy: _Package = _Package("cupy", special, functions.attribute)
    cublas = _Package("cupy.cublas", {"gemm": functions.attribute("cublas.gemm")})
    return {"cupy": cupy, "cupy.cuda.driver": driver, "cupy.cuda.runtime": runtime, "cupy.cublas": cublas, **below}
