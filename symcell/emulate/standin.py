"""The stand-in for the ``cupy`` package: a few names are special, every other one is NumPy's, on the stand-in's arrays.

A name that NumPy has and CuPy 14 lacks raises AttributeError, so that emitted code cannot rely on it.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from symcell.emulate import gemm
from symcell.emulate.array import Array, unwritten, wrap
from symcell.emulate.raw import Settings, classes

# The public names that CuPy 14 shares with NumPy; a test compares them with an installed CuPy.
SHARED_NAMES = frozenset((Path(__file__).parent / "cupy_names.txt").read_text().split())


class _Package(types.ModuleType):
    """A module whose names are given, and whose other names come from ``fallback``."""

    def __init__(self, name: str, names: dict[str, Any], fallback: Callable[[str], Any] | None = None) -> None:
        super().__init__(name)
        self.__dict__.update(names, __path__=[])
        self._fallback = fallback

    def __getattr__(self, name: str) -> Any:
        if self._fallback is None or name.startswith("__"):
            raise AttributeError(f"the emulator's {self.__name__!r} has no {name!r}")
        value = self._fallback(name)
        setattr(self, name, value)
        return value


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrap(function(*args, **kwargs))

    return call


def _from_numpy(name: str) -> Any:
    if name not in SHARED_NAMES:
        raise AttributeError(f"module 'cupy' has no attribute {name!r} (CuPy 14, and what the emulator knows of it)")
    value = getattr(np, name)
    return _wrapped(value) if callable(value) and not isinstance(value, type) else value


def _empty(shape: Any, dtype: Any = float, order: Any = "C") -> Any:
    return unwritten(wrap(np.empty(shape, dtype, order)))


def _empty_like(prototype: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> Any:
    return unwritten(wrap(np.empty_like(prototype, dtype, order, shape=shape)))


def _asnumpy(a: Any, stream: Any = None, order: Any = "C", out: Any = None, *, blocking: bool = True) -> Any:
    return wrap(np.asarray(a)).get(order=order, out=out)


class _Stream:
    """A stream: kernels run at once, so there is nothing to wait for."""

    ptr = 0
    null: Any

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.id = id(self)

    def synchronize(self) -> None:
        """Returns at once."""

    def use(self) -> _Stream:
        """The stream itself."""
        return self

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


_Stream.null = _Stream(null=True)


class _Device:
    """The one emulated device."""

    id = 0
    compute_capability = "90"
    attributes = {"MultiProcessorCount": 132, "MaxThreadsPerBlock": 1024, "WarpSize": 32}

    def __init__(self, device: int | None = None) -> None:
        if device not in (None, 0):
            raise ValueError(f"there is one emulated device, 0; not {device}")

    def synchronize(self) -> None:
        """Returns at once."""

    def use(self) -> None:
        """There is no other."""

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class _MemoryPool:
    """A pool that holds nothing."""

    def used_bytes(self) -> int:
        """0."""
        return 0

    total_bytes = used_bytes

    def free_all_blocks(self, stream: object = None) -> None:
        """Returns at once."""


@contextlib.contextmanager
def _errstate(**kwargs: Any) -> Iterator[None]:
    yield


def _cuda() -> _Package:
    runtime = {"getDeviceCount": lambda: 1, "getDevice": lambda: 0, "deviceSynchronize": lambda: None}
    names = {
        "Device": _Device,
        "Stream": _Stream,
        "get_current_stream": lambda: _Stream.null,
        "is_available": lambda: True,
        "runtime": _Package("cupy.cuda.runtime", runtime),
    }
    return _Package("cupy.cuda", names)


def packages(settings: Settings) -> dict[str, types.ModuleType]:
    """The stand-in packages for one emulated module, by their full names."""
    cuda, cublas = _cuda(), _Package("cupy.cublas", {"gemm": gemm.gemm})
    special: dict[str, Any] = {
        "get_array_module": lambda *args: cupy,
        "ndarray": Array,
        "empty": _empty,
        "empty_like": _empty_like,
        "asnumpy": _asnumpy,
        "matmul": gemm.matmul,
        "errstate": _errstate,
        "get_default_memory_pool": _MemoryPool,
        "cuda": cuda,
        "__version__": "14 (symcell.emulate)",
        **classes(settings),
    }
    cupy: _Package = _Package("cupy", special, _from_numpy)
    return {"cupy": cupy, "cupy.cuda": cuda, "cupy.cuda.runtime": cuda.runtime, "cupy.cublas": cublas}
