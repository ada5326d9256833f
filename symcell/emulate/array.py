"""``cupy.ndarray`` on the host: a NumPy array that keeps CuPy's habits where emitted code could rely on NumPy's."""

from __future__ import annotations

import types
from typing import Any

import numpy as np


class _AnyArray(type):
    """Makes every NumPy array an instance, so that an emulated module takes plain NumPy arrays."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, np.ndarray)


class Array(np.ndarray[Any, Any], metaclass=_AnyArray):
    """An array whose elements and reductions are 0-d arrays, never NumPy scalars; ``get()`` brings it to the host."""

    def __new__(cls, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: Any = "C") -> Any:
        """Uninitialised, as in CuPy; see ``unwritten``."""
        made = np.ndarray.__new__(cls, shape, dtype, buffer=memptr, strides=strides, order=order)
        return made if memptr is not None else unwritten(made)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Keeps 0-d results arrays."""
        return array.view(Array)

    def __getitem__(self, key: Any) -> Any:
        """A view or a copy as in NumPy; one element is a 0-d view."""
        found = super().__getitem__(key)
        if isinstance(found, np.ndarray):
            return found
        return super().__getitem__((*key, Ellipsis) if isinstance(key, tuple) else (key, Ellipsis))

    @property
    def data(self) -> Any:
        """``.data.ptr``, the address of the first element."""
        return types.SimpleNamespace(ptr=self.ctypes.data, device_id=0)

    def get(self, stream: Any = None, order: Any = "C", out: Any = None, blocking: bool = True) -> np.ndarray[Any, Any]:
        """A copy as a plain NumPy array, or ``out`` filled with it."""
        if out is None:
            return np.array(self, order=order, subok=False)
        out[...] = self
        return out

    def set(self, values: Any, stream: Any = None) -> None:
        """Copies a NumPy array of the same shape and dtype into this one."""
        if values.shape != self.shape or values.dtype != self.dtype:
            raise ValueError(f"set() takes {self.shape} {self.dtype}, not {values.shape} {values.dtype}")
        self[...] = values


Array.__name__ = Array.__qualname__ = "ndarray"


def wrap(value: Any) -> Any:
    """NumPy results as the stand-in's: arrays are viewed, scalars become 0-d arrays, containers are walked."""
    if isinstance(value, np.ndarray):
        return value if type(value) is Array else value.view(Array)
    if isinstance(value, np.generic):
        return np.asarray(value).view(Array)
    if isinstance(value, tuple | list):
        return type(value)(*map(wrap, value)) if hasattr(value, "_fields") else type(value)(map(wrap, value))
    return value


def unwritten(array: Any) -> Any:
    """Fills an uninitialised array with what shows when it is read: NaN, the largest integer."""
    kind = array.dtype.kind
    if kind in "fc":
        array.fill(np.nan)
    elif kind in "iu":
        array.fill(np.iinfo(array.dtype).max)
    return array
