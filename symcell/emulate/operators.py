"""The operators and methods of the stand-in's array: CuPy's functions, with what CuPy refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symcell.emulate import numbers
from symcell.emulate.errors import EmulatorError
from symcell.emulate.record import record
from symcell.emulate.streams import no_kernel

Lookup = Callable[[str], Callable[..., Any]]
Change = Callable[[Any], Any]


def refuse(values: Any) -> None:
    """TypeError where a NumPy array stands among arguments, as CuPy has it."""
    for value in values:
        if isinstance(value, np.ndarray):
            raise TypeError(f"Unsupported type {type(value)}")
        if isinstance(value, tuple | list):
            refuse(value)


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
_SIGNS = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}
NUMBERS = (int, float, complex, np.generic)
"""Scalars that CuPy's functions take beside arrays."""


VIEWS = ("diagonal", "ravel", "reshape", "squeeze", "swapaxes", "transpose", "view")
"""Methods that launch nothing, as a rule."""


def _operator(function: Lookup, name: str, swapped: bool, inside: bool) -> Callable[[Any, Any], Any]:
    def apply(self: Any, other: Any) -> Any:
        refuse((other,))
        if not isinstance(other, (type(self), *NUMBERS)):
            return NotImplemented
        if inside:
            function(name)(self, other, out=self)
            return self
        return function(name)(*((other, self) if swapped else (self, other)))

    return apply


def _sign(function: Lookup, name: str) -> Callable[[Any], Any]:
    return lambda self: function(name)(self)


def _method(name: str, wrap: Change, unwrap: Change, function: Lookup) -> Callable[..., Any]:
    signature = record()[f"ndarray.{name}"]
    assert signature is not None

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        signature.bind(*args, **kwargs)
        if name not in VIEWS:
            no_kernel(name)
        refuse((*args, *kwargs.values()))
        if numbers.is_bfloat16(self.dtype) and name not in numbers.METHODS:
            raise EmulatorError(f"the emulator does not know what CuPy makes of bfloat16 in ndarray.{name}")
        if name == "sum" and numbers.narrow(self.dtype):
            return function("sum")(self, *args, **kwargs)
        with np.errstate(all="ignore"):
            found = getattr(self._host, name)(*unwrap(args), **{k: unwrap(v) for k, v in kwargs.items()})
        return self if found is self._host else wrap(found)

    call.__name__ = name
    return call


def complete(array: type[Any], wrap: Change, unwrap: Change, function: Lookup) -> None:
    """Give the array class its operators, and every method that CuPy shares with NumPy and that is no more than a call.

    ``wrap`` and ``unwrap`` lead from NumPy's arrays to this class and back; ``function`` finds CuPy's by name.
    """
    for short, name in _OPERATORS.items():
        for prefix, swapped, inside in (("", False, False), ("r", True, False), ("i", False, True)):
            setattr(array, f"__{prefix}{short}__", _operator(function, name, swapped, inside))
    for short, name in _COMPARISONS.items():
        setattr(array, f"__{short}__", _operator(function, name, False, False))
    for short, name in _SIGNS.items():
        setattr(array, f"__{short}__", _sign(function, name))
    for name, signature in record().items():
        owner, _, method = name.partition(".")
        if owner == "ndarray" and method and signature is not None and method not in vars(array):
            setattr(array, method, _method(method, wrap, unwrap, function))
