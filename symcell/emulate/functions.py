"""CuPy's functions of arrays: NumPy's, taking what CuPy takes.

Each call is held to the recorded signature of CuPy's function. A NumPy array is refused where CuPy refuses it
(everywhere but in ``asarray`` and the like), a list where CuPy wants an array.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from symcell.emulate import gemm, numbers
from symcell.emulate.array import Array, unwrap, unwritten, wrap
from symcell.emulate.errors import EmulatorError
from symcell.emulate.memory import current
from symcell.emulate.operators import NUMBERS, refuse
from symcell.emulate.record import record
from symcell.emulate.streams import current_stream, no_kernel, to_host

HOST = frozenset(
    ("isscalar", "ndim", "shape", "size", "result_type", "can_cast", "common_type", "min_scalar_type", "empty_like",
     "zeros_like", "ones_like", "full_like", "array_repr", "array_str", "iterable")
)  # fmt: skip
"""Functions that take NumPy arrays and lists, too."""
ARRAYS = ("a", "x", "condition", "arr", "m", "v")
"""What CuPy calls an argument of which it uses the methods: it must be an array."""
TYPES = (np.generic, np.dtype, np.finfo, np.iinfo)


@functools.cache
def function(name: str) -> Callable[..., Any]:
    """CuPy's function ``name``, dotted below a module. Raises AttributeError for what CuPy has not."""
    found = attribute(name)
    assert callable(found)
    return found


@functools.cache
def attribute(name: str) -> Any:
    """What CuPy has under a name that it shares with NumPy. Raises AttributeError for every other."""
    if name not in record():
        raise AttributeError(f"module 'cupy' has no attribute {name!r} (CuPy 14, and what the emulator knows of it)")
    if name in CONVERSIONS:
        return CONVERSIONS[name]
    if name in SPECIAL:
        return _checked(name, SPECIAL[name])
    value = functools.reduce(getattr, name.split("."), np)
    if isinstance(value, type):
        usable = issubclass(value, (*TYPES, Exception, np.ndindex))
    else:
        usable = callable(value) or value is None or isinstance(value, float) or name in ("s_", "index_exp")
    if not usable:
        raise AttributeError(f"the emulator has no {name!r}")
    return _checked(name, value) if callable(value) and not isinstance(value, type) else value


def _checked(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    signature = record()[name]

    @functools.wraps(call)
    def checked(*args: Any, **kwargs: Any) -> Any:
        bound = {} if signature is None else signature.bind(*args, **kwargs).arguments
        if name not in HOST:
            _captured(name)
            _strict(name, bound, args, kwargs)
            _here((*args, *kwargs.values()))
            _known(name, (*args, *kwargs.values()))
            _known_pair(name, bound.get("x1"), bound.get("x2"))
        with np.errstate(all="ignore"):
            found = call(*unwrap(args), **{key: unwrap(value) for key, value in kwargs.items()})
        for value in (*args, *kwargs.values()):
            if isinstance(value, Array) and found is value._host:
                return value
        return wrap(found)

    return checked


def _captured(name: str) -> None:
    """What does not go into a graph: cuBLAS, says CuPy."""
    if name in ("matmul", "dot", "tensordot", "einsum", "cublas.gemm") and current_stream().capture:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    if name not in ("empty", "reshape", "broadcast_to"):
        no_kernel(name)


def _here(values: Any) -> None:
    """ValueError for an array on another device than the current one, as from CuPy where the one cannot read the
    other's memory."""
    for value in values:
        if isinstance(value, Array) and value.device.id != current.device:
            raise ValueError(
                "Array device must be same as the current device: "
                f"array device = {value.device.id} while current = {current.device}"
            )
        if isinstance(value, tuple | list):
            _here(value)


def _known(name: str, values: Any) -> None:
    """EmulatorError for bfloat16 where CuPy has none, or makes something else of it than NumPy."""
    for value in values:
        if isinstance(value, tuple | list):
            _known(name, value)
        elif isinstance(value, Array) and numbers.is_bfloat16(value.dtype) and name not in numbers.BFLOAT16:
            raise EmulatorError(f"the emulator does not know what CuPy makes of bfloat16 in {name}")


def _known_pair(name: str, one: Any, other: Any) -> None:
    """EmulatorError for bfloat16 with a fraction of Python's: NumPy makes float32 of that, CuPy perhaps not."""
    for array, scalar in ((one, other), (other, one)):
        mixed = isinstance(scalar, float | np.floating) and isinstance(array, Array)
        if mixed and numbers.is_bfloat16(array.dtype):
            raise EmulatorError(f"the emulator does not know what CuPy makes of bfloat16 and {scalar!r} in {name}")


def _strict(name: str, bound: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """TypeError for what CuPy does not take as an array."""
    refuse((*args, *kwargs.values()))
    for parameter, value in bound.items():
        if parameter in ("x1", "x2") and not isinstance(value, (Array, *NUMBERS)):
            raise TypeError(f"Unsupported type {type(value)}")
        if parameter in ARRAYS and not isinstance(value, Array):
            raise TypeError(f"{name}: {parameter} must be a cupy.ndarray, not {type(value).__name__}")
    out = bound.get("out")
    if not all(isinstance(o, Array) for o in (out if isinstance(out, tuple) else [] if out is None else [out])):
        raise TypeError("return arrays must be of ArrayType (cupy.ndarray)")


def _asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> Any:
    """An array of the device as it is where it fits; everything else is copied."""
    if isinstance(a, Array) and not copy and a.device.id == current.device:
        host = np.asarray(a._host, dtype, order)
        return a if host is a._host else wrap(host)
    no_kernel("copies") if isinstance(a, Array) else to_host()
    return wrap(np.array(unwrap(a), dtype, order=order or "K"))


def _array(obj: Any, dtype: Any = None, copy: Any = True, order: Any = "K", subok: bool = False, ndmin: int = 0,
           *, blocking: bool = False) -> Any:  # fmt: skip
    made = _asarray(obj, dtype, order, copy=copy)
    return made if made.ndim >= ndmin else wrap(np.array(made._host, ndmin=ndmin))


def _asnumpy(a: Any, stream: Any = None, order: Any = "C", out: Any = None, *, blocking: bool = True) -> Any:
    if isinstance(a, Array):
        return a.get(order=order, out=out)
    return np.asarray(unwrap(a), order=order)


CONVERSIONS: dict[str, Callable[..., Any]] = {
    "array": _array,
    "asarray": _asarray,
    "asanyarray": _asarray,
    "ascontiguousarray": lambda a, dtype=None: _array(a, dtype, None, "C", ndmin=1),
    "asfortranarray": lambda a, dtype=None: _array(a, dtype, None, "F", ndmin=1),
    "asnumpy": _asnumpy,
}
"""Between the host and the device."""


def _empty(shape: Any, dtype: Any = float, order: Any = "C") -> Any:
    return unwritten(np.empty(shape, dtype, order))


def _empty_like(prototype: Any, dtype: Any = None, order: Any = "K", subok: Any = None, shape: Any = None) -> Any:
    return unwritten(np.empty_like(prototype, dtype, order, shape=shape))


def _sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    """As in CuPy, numbers of 16 bits are added up in float32, and the sum is rounded."""
    if dtype is None and numbers.narrow(a.dtype):
        found = np.asarray(np.sum(a, axis, np.float32, None, keepdims)).astype(a.dtype)
        if out is None:
            return found
        out[...] = found
        return out
    return np.sum(a, axis, dtype, out, keepdims)


def _stacked(name: str) -> Callable[..., Any]:
    """A function of several arrays, which must all be arrays."""

    def join(tup: Any, *args: Any, **kwargs: Any) -> Any:
        if not all(isinstance(item, np.ndarray) for item in tup):
            raise TypeError("Only cupy arrays can be concatenated")
        return getattr(np, name)(tup, *args, **kwargs)

    return join


SPECIAL: dict[str, Callable[..., Any]] = {
    "empty": _empty,
    "empty_like": _empty_like,
    "matmul": gemm.matmul,
    "sum": _sum,
    "cublas.gemm": gemm.gemm,
    **{name: _stacked(name) for name in ("concatenate", "stack", "hstack", "vstack", "dstack", "column_stack")},
}
"""Functions that differ from NumPy's; they get NumPy arrays, and what they give is wrapped."""
