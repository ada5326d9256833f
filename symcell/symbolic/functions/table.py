"""What a function of one unit is: a SymPy class with one row of the table, which says all that anything asks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import sympy
from sympy import Expr

from symcell.symbolic.over_units import UnitFunction


@dataclass(frozen=True)
class Row:
    """One function in numbers and in every language.

    ``exact``: its value over mpmath numbers, real or complex; a condition looks at the real part. ``stepped``: the same
    for a step along the imaginary axis from a kink whose derivative lies between those of its sides, if it has such.

    ``numpy``: calls in order, with {0}, {1}, … for the arguments (arrays or numbers), {o} for the result (an array) and
    {m} for a bool array of its shape; ``overwrites``: the arguments whose own array {o} may be. ``python``: what the
    calls need defined, in NumPy; CuPy takes the same text.

    ``c``: the name of a function, or an expression of {0}, {1}, … (each an atom or in brackets); ``definition``: that
    function in C without its qualifiers, where C lacks it, over the type ``real``; ``needs``: the functions it calls.

    ``torch``: PyTorch's counterpart as an expression of the tensors {0}, {1}, …

    ``onnx``: calls of ONNX's operators of {0}, {1}, … and numbers; ``Number`` makes 1 and 0 of a truth.

    ``cost``: in additions. ``native``: SymPy's own function of this meaning, which equations may be given in.

    A function that :meth:`Elementwise.composed` spells out has no NumPy, C or ONNX of its own.
    """

    exact: Callable[..., Any]
    torch: str
    numpy: tuple[str, ...] = ()
    overwrites: tuple[int, ...] = ()
    python: tuple[str, ...] = ()
    c: str = ""
    definition: str = ""
    needs: tuple[type[Elementwise], ...] = ()
    cost: int = 1
    stepped: Callable[..., Any] | None = None
    native: type[sympy.Function] | None = None
    onnx: str = ""


TRANSCENDENTAL = 10
"""The cost of an exponential and its like: a vectorised polynomial."""

FUNCTIONS: list[type[Elementwise]] = []
"""Every function with a row, in the order of definition."""


class Elementwise(UnitFunction):
    """A function applied to every unit by itself.

    ``nargs`` is its number of arguments; ``derivative(k)`` the partial derivative by argument ``k`` (from 0);
    ``spoken``: whether a cell's text may call it; ``plain``: what plain formulas call it, where not by its name.
    """

    row: ClassVar[Row]
    spoken: ClassVar[bool] = True
    plain: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "row" in cls.__dict__:
            FUNCTIONS.append(cls)

    def composed(self) -> Expr | None:
        """This value in terms of other functions, as accurate as a form of its own; None where it has such a form."""
        return None

    def defined(self) -> Expr | None:
        """What it is, in terms of simpler functions, as a textbook says it; None where it needs no saying."""
        return self.composed()

    def derivative(self, k: int) -> Expr:
        """The partial derivative by argument ``k``, here through the composed form."""
        places = [sympy.Dummy() for _ in self.args]
        body = type(self)(*places).composed()
        if body is None:
            raise NotImplementedError(f"{self.text} has no derivative")
        return body.diff(places[k]).xreplace(dict(zip(places, self.args, strict=True)))

    def fdiff(self, argindex: int = 1) -> Expr:
        return self.derivative(argindex - 1)


def real(z: Any) -> Any:
    """The part of a number on which conditions are decided (complex numbers: complex-step differentiation)."""
    return z.real if hasattr(z, "real") else z


def called(name: str, count: int = 1) -> tuple[str, ...]:
    """The one NumPy call of a ufunc."""
    return (f"np.{name}({', '.join(f'{{{k}}}' for k in range(count))}, out={{o}})",)


def expand(expr: Expr) -> Expr:
    """A composed function (silu, gelu, …) in terms of the basic ones; anything else unchanged."""
    body = expr.composed() if isinstance(expr, Elementwise) else None
    return expr if body is None else body


IN_PARTS = '''def _in_parts(function: Any, v: Any, out: Any) -> None:
    """out[...] = function(v), a few thousand numbers at a time: intermediate results stay in the cache."""
    v = np.broadcast_to(np.asarray(v, out.dtype), out.shape)
    if out.size <= 16384:
        out[...] = function(v)
        return
    rows = max(1, 16384 * len(out) // out.size)
    for k in range(0, len(out), rows):
        out[k : k + rows] = function(v[k : k + rows])'''
"""How a row's ``python`` applies a function of its own, written for whole arrays, into given memory."""
