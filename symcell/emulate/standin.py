"""The stand-in for the ``cupy`` package: what CuPy 14 has, as far as the emulator has it, and nothing else."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from symcell.emulate import blas, cuda, driver, functions, random, versions
from symcell.emulate.array import Array
from symcell.emulate.device import Device
from symcell.emulate.memory import MemoryPool, OutOfMemoryError
from symcell.emulate.raw import Settings, classes


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
    drivers = _Package("cupy.cuda.driver", driver.names())
    memory = _Package("cupy.cuda.memory", {"OutOfMemoryError": OutOfMemoryError})
    products = _Package("cupy.cuda.cublas", {"gemmEx": blas.gemmEx, **blas.CONSTANTS})
    parts = {"cublas": products, "driver": drivers, "memory": memory, "runtime": runtime}
    below = {
        "cupy.cuda": _Package("cupy.cuda", {**cuda.names(settings.device), **parts}),
        "cupy.linalg": _Package("cupy.linalg", {}, lambda name: functions.attribute(f"linalg.{name}")),
        "cupy.random": _Package("cupy.random", random.names()),
    }
    special: dict[str, Any] = {
        "get_array_module": lambda *args: cupy if any(isinstance(a, Array) for a in args) else np,
        "ndarray": Array,
        "get_default_memory_pool": MemoryPool,
        "__version__": "14 (symcell.emulate)",
        **{name.partition(".")[2]: package for name, package in below.items()},
        **classes(settings),
    }
    cupy: _Package = _Package("cupy", special, _on(settings.device))
    cublas = _Package("cupy.cublas", {"gemm": functions.attribute("cublas.gemm")})
    inside = {f"cupy.cuda.{name}": package for name, package in parts.items()}
    return {"cupy": cupy, **inside, "cupy.cublas": cublas, **below}


def _on(device: Device) -> Callable[[str], Any]:
    """CuPy's functions of arrays, which need a device to run."""

    def attribute(name: str) -> Any:
        found = functions.attribute(name)
        if not callable(found) or isinstance(found, type) or versions.available(device):
            return found
        return lambda *args, **kwargs: versions.check(device)

    return attribute
