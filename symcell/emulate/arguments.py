"""Kernel arguments: what CuPy would pass for a Python object, checked against what the kernel declares.

CuPy checks nothing: it hands the driver one pointer per argument, and the driver copies as many bytes as the kernel's
parameter has. A Python float for a ``float`` parameter is then the first half of a double. Here that raises TypeError.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symcell.emulate.array import Array, unwrap
from symcell.emulate.numbers import narrow
from symcell.emulate.operators import refuse

_KIND_NAMES = {"f": "float", "i": "int", "u": "uint", "b": "bool"}


@dataclass(frozen=True)
class Parameter:
    """A kernel's parameter as the compiler sees it.

    ``kind`` is p (pointer), f, i, u, b or s (anything else); ``pointee`` the kind that a pointer points to, v for void;
    ``size`` the bytes of the parameter, of the pointee for a pointer; ``writes`` whether that is not const.
    """

    name: str
    kind: str
    pointee: str
    size: int
    writes: bool

    @property
    def declared(self) -> str:
        """The type in NumPy's words: ``pointer to float32``, ``int64``."""
        kind = self.pointee if self.kind == "p" else self.kind
        bits = "" if kind == "b" else str(8 * self.size)
        scalar = "void" if kind == "v" else _KIND_NAMES.get(kind, "struct") + bits
        return f"pointer to {scalar}" if self.kind == "p" else scalar


def parameters(names: Sequence[str], table: bytes) -> tuple[Parameter, ...]:
    """The parameters from the table that the compiler filled: four bytes each (see cuda_host_entry.h)."""
    rows = [table[i : i + 4] for i in range(0, len(table), 4)]
    given = names if len(names) == len(rows) else [f"#{i}" for i in range(len(rows))]
    return tuple(
        Parameter(name, chr(row[0]), chr(row[1]), row[2], bool(row[3])) for name, row in zip(given, rows, strict=True)
    )


def _array(parameter: Parameter, value: np.ndarray[Any, Any], where: str) -> bytes:
    dtype = value.dtype
    if parameter.kind != "p":
        raise TypeError(f"{where} is an array of {dtype}, which is passed as a pointer")
    fits = dtype.itemsize == parameter.size and (
        dtype.kind == parameter.pointee or (dtype.kind in "iub" and parameter.pointee in "iub")
    )
    if parameter.pointee == "s":  # a number of 16 bits is a structure
        fits = parameter.size != 2 or narrow(dtype)
    if parameter.pointee != "v" and not fits:
        raise TypeError(f"{where} is an array of {dtype}")
    if parameter.writes and not value.flags.writeable:
        raise TypeError(f"{where} may be written, and the array is read-only; make it const if it is only read")
    return value.ctypes.data.to_bytes(8, "little")


def _scalar(value: object, where: str) -> np.ndarray[Any, Any]:
    """A scalar with the type that CuPy gives it: int64 (uint64 from 2**63), float64, bool, or its own NumPy type."""
    if isinstance(value, bool | np.generic):
        return np.asarray(value)
    if isinstance(value, float):
        return np.asarray(value, np.float64)
    if isinstance(value, int):
        return np.asarray(value, np.uint64 if value >= 1 << 63 else np.int64)
    raise TypeError(f"{where} has the type {type(value).__name__}, which CuPy cannot pass to a kernel")


def _value(parameter: Parameter, value: object, where: str) -> bytes:
    if isinstance(value, Array):
        return _array(parameter, unwrap(value), where)
    refuse((value,))
    if value is None:
        if parameter.kind != "p":
            raise TypeError(f"{where} is None, which is passed as a null pointer")
        return bytes(8)
    scalar = _scalar(value, where)
    same_kind = scalar.dtype.kind == parameter.kind or {scalar.dtype.kind, parameter.kind} == {"i", "u"}
    if not same_kind or scalar.dtype.itemsize != parameter.size:
        raise TypeError(f"{where} is a {type(value).__name__}, which is passed as {scalar.dtype}")
    return scalar.tobytes()


def pack(kernel: str, declared: Sequence[Parameter], args: Sequence[object]) -> ctypes.Array[ctypes.c_void_p]:
    """The ``void *args[]`` of a launch: a pointer to each argument's bytes, which it keeps alive.

    Raises TypeError for a wrong number of arguments, or one that is not what the kernel declares.
    """
    if len(args) != len(declared):
        raise TypeError(f"kernel {kernel} takes {len(declared)} arguments, not {len(args)}")
    buffers = []
    for i, (parameter, value) in enumerate(zip(declared, args, strict=True)):
        where = f"argument {i} of kernel {kernel} ({parameter.declared} {parameter.name})"
        buffers.append(ctypes.create_string_buffer(_value(parameter, value, where)))
    packed = (ctypes.c_void_p * max(1, len(buffers)))(*(ctypes.addressof(buffer) for buffer in buffers))
    packed.keep_alive = buffers  # type: ignore[attr-defined]
    return packed
