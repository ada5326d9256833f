"""``cupy.ndarray`` on the host: a NumPy array inside, and CuPy's habits outside.

It is no ``numpy.ndarray``: as in CuPy nothing turns it into one but ``get()`` and ``asnumpy``, and arithmetic with a
NumPy array is a TypeError. Elements and reductions are arrays of no axis, never NumPy scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from symcell.emulate.memory import MEMORY
from symcell.emulate.numbers import floating, number
from symcell.emulate.operators import complete
from symcell.emulate.place import Place
from symcell.emulate.streams import no_kernel, to_host

Host = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Flags:
    """What CuPy knows of an array's layout."""

    c_contiguous: bool
    f_contiguous: bool
    owndata: bool

    @property
    def fnc(self) -> bool:
        """In Fortran order and not in C order."""
        return self.f_contiguous and not self.c_contiguous


@dataclass(frozen=True)
class MemoryPointer:
    """A place in the memory ``mem`` of an array; ``ptr + n`` is n bytes further on."""

    mem: Host
    offset: int

    @property
    def ptr(self) -> int:
        """The address."""
        return int(self.mem.ctypes.data) + self.offset

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.offset + offset)

    def __sub__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.offset - offset)


class Array:
    """An array on the emulated device."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: Any = "C"
    ) -> None:
        """Uninitialised, as in CuPy (see ``unwritten``), or a view of the memory behind ``memptr``."""
        if memptr is None:
            self._host = unwritten(np.ndarray(shape, number(np.dtype(dtype)), strides=strides, order=order))
        else:
            place = memptr.mem.ravel(order="K").view(np.uint8)
            self._host = np.ndarray(shape, number(np.dtype(dtype)), place, memptr.offset, strides, order)
        MEMORY.device(self._host)

    def __array__(self, *args: Any, **kwargs: Any) -> Host:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's functions of arrays on the device are CuPy's of the same name."""
        if method != "__call__":
            return NotImplemented
        out = kwargs.pop("out", None)
        return _function(ufunc.__name__)(*inputs, **kwargs, **({} if out is None else {"out": out[0]}))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _function(function.__name__)(*args, **kwargs)

    # what an array is

    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    shape = property(lambda self: self._host.shape)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    T = property(lambda self: wrap(self._host.T))
    mT = property(lambda self: wrap(np.swapaxes(self._host, -1, -2)))  # noqa: N815 (NumPy's name)
    real = property(lambda self: wrap(self._host.real))
    imag = property(lambda self: wrap(self._host.imag))
    base = property(lambda self: None if self._host.base is None else wrap(self._host.base))

    @property
    def device(self) -> Place:
        """The device that it lies on."""
        return Place(MEMORY.device(self._host))

    @property
    def flags(self) -> Flags:
        """The layout."""
        flags = self._host.flags
        return Flags(flags.c_contiguous, flags.f_contiguous, flags.owndata)

    @property
    def data(self) -> MemoryPointer:
        """Where it lies in the memory that it is a view of."""
        owner = self._host
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        return MemoryPointer(owner, self._host.ctypes.data - owner.ctypes.data)

    # to and from the host

    def _read(self) -> Host:
        """The numbers, for the host."""
        to_host()
        return self._host

    def get(self, stream: Any = None, order: Any = "C", out: Any = None, blocking: bool = True) -> Host:
        """A copy as a NumPy array, or ``out`` filled with it."""
        if out is None:
            return np.array(self._read(), order=order)
        out[...] = self._read()
        return out

    def set(self, arr: Any, stream: Any = None) -> None:
        """Copies a NumPy array of the same shape and dtype into this one."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.shape != self.shape or arr.dtype != self.dtype:
            raise ValueError(f"set() takes {self.shape} {self.dtype}, not {arr.shape} {arr.dtype}")
        to_host()
        self._host[...] = arr

    def item(self) -> Any:
        """The only element as a Python number."""
        return self._read().item()

    def tolist(self) -> Any:
        """Python lists of Python numbers."""
        return self._read().tolist()

    def __bool__(self) -> bool:
        return bool(self._read())

    def __int__(self) -> int:
        return int(self._read().item())

    def __float__(self) -> float:
        return float(self._read().item())

    def __complex__(self) -> complex:
        return complex(self._read().item())

    def __index__(self) -> int:
        return self._read().__index__()

    def __repr__(self) -> str:
        return repr(self._read())

    def __str__(self) -> str:
        return str(self._read())

    def __format__(self, spec: str) -> str:
        return format(self._read().item(), spec) if self.ndim == 0 else format(self._host, spec)

    def __reduce__(self) -> Any:
        return wrap, (self.get(),)

    def __copy__(self) -> Array:
        return wrap(self._host.copy())

    # elements

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        """A view or a copy as in NumPy; one element is a view of no axis."""
        key = unwrap(key)
        found = self._host[key]
        if not isinstance(found, np.ndarray):
            found = self._host[(*key, Ellipsis) if isinstance(key, tuple) else (key, Ellipsis)]
        return wrap(found)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Copies an array of the device, or fills with a number."""
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        if isinstance(value, list | tuple):
            raise TypeError(f"only cupy.ndarray or scalars can be assigned, not {type(value).__name__}")
        no_kernel("copies")
        with np.errstate(all="ignore"):
            self._host[unwrap(key)] = unwrap(value)


Array.__name__ = Array.__qualname__ = "ndarray"
Array.__module__ = "cupy"


def _function(name: str) -> Callable[..., Any]:
    from symcell.emulate.functions import function

    return function(name)


def wrap(value: Any) -> Any:
    """NumPy results as the stand-in's: arrays and NumPy's numbers become arrays, containers are walked."""
    if isinstance(value, np.ndarray | np.generic):
        made = Array.__new__(Array)
        made._host = np.asarray(value)
        number(made._host.dtype)
        MEMORY.device(made._host)
        return made
    if isinstance(value, tuple | list):
        return type(value)(*map(wrap, value)) if hasattr(value, "_fields") else type(value)(map(wrap, value))
    return value


def unwrap(value: Any) -> Any:
    """The stand-in's arrays as NumPy's, in containers too."""
    if isinstance(value, Array):
        return value._host
    if isinstance(value, tuple | list):
        return type(value)(map(unwrap, value))
    return value


def unwritten(array: Host) -> Host:
    """Fills an uninitialised array with what shows when it is read: NaN, the largest integer."""
    if floating(array.dtype):
        array.fill(np.nan)
    elif array.dtype.kind in "iu":
        array.fill(np.iinfo(array.dtype).max)
    return array


complete(Array, wrap, unwrap, _function)
