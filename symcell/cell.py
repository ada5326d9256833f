"""A recurrent cell as a value: its equations in SymPy, and what each of its names is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

import sympy


@dataclass(frozen=True)
class Diagnostic:
    """One mistake in a cell's text: where (both from 1), what is wrong, and what to do."""

    line: int
    column: int
    message: str
    advice: str = ""


class CellError(ValueError):
    """Something is wrong with a cell: the message gives file, line and column, the line with a caret, and what to do.

    ``diagnostics`` holds the mistakes one by one where the cell's text is at fault; it is empty where there is no text
    to point into (a file that cannot be read, an equation that the language has no words for).
    """

    def __init__(self, message: str, diagnostics: Iterable[Diagnostic] = ()) -> None:
        super().__init__(message)
        self.diagnostics = tuple(diagnostics)


@dataclass(frozen=True)
class Size:
    """A length: a sum of named sizes and a fixed number. ``H``, ``4``, ``D+H`` (two joined vectors).

    ``names`` is sorted, so that equal lengths compare equal.
    """

    names: tuple[str, ...] = ()
    fixed: int = 0

    @staticmethod
    def of(size: str | int) -> Size:
        return Size((size,)) if isinstance(size, str) else Size((), size)

    def __add__(self, other: Size) -> Size:
        return Size(tuple(sorted(self.names + other.names)), self.fixed + other.fixed)

    def within(self, other: Size) -> bool:
        """Whether ``other`` is at least this long, whatever the named sizes are."""
        return Counter(self.names) <= Counter(other.names) and self.fixed <= other.fixed

    def __str__(self) -> str:
        return "+".join((*self.names, *([str(self.fixed)] if self.fixed or not self.names else [])))

    def plain(self) -> str | int:
        """As it stands in an emitted module's ``PARAMS``: a name, a sum of names, or a number."""
        return str(self) if self.names else self.fixed

    def value(self, sizes: Mapping[str, int]) -> int:
        return sum(sizes[n] for n in self.names) + self.fixed

    def symbol(self) -> sympy.Expr:
        counts = Counter(self.names)
        return sympy.Add(*(k * sympy.Symbol(n, integer=True, positive=True) for n, k in counts.items()), self.fixed)


_V = TypeVar("_V")

ONE = Size((), 1)
Shape = tuple[Size, ...]
"""``()`` a scalar parameter, ``(n,)`` a vector, ``(n, m)`` a matrix; a scalar signal has the shape ``(ONE,)``."""

INITIALISERS = ("zeros", "ones", "uniform", "glorot", "orthogonal")


@dataclass(frozen=True)
class Parameter:
    """A learned array: its shape, and where it starts: a number or one of :data:`INITIALISERS`."""

    shape: Shape
    start: float | str = "uniform"


def _frozen(items: Mapping[str, _V]) -> Mapping[str, _V]:
    return MappingProxyType(dict(items))


@dataclass(frozen=True, eq=False)
class Cell:
    """The equations of one time step, checked: every name has a role and a shape.

    Made by :func:`symcell.load`, :func:`symcell.parse`, or from SymPy equations by :func:`symcell.from_equations`.

    ``equations`` are in the order of the text; each is ``Eq(At(name), expression)`` of :mod:`symcell.symbolic`, where
    constants have been replaced by their numbers. ``order`` is an order in which they can be computed.
    """

    name: str
    text: str
    equations: tuple[sympy.Eq, ...]
    order: tuple[str, ...]
    inputs: Mapping[str, Size]
    signals: Mapping[str, Size]
    states: Mapping[str, int]
    parameters: Mapping[str, Parameter]
    output: str
    sizes: tuple[str, ...]
    title: str = ""
    description: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)
    initial: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("inputs", "signals", "states", "parameters", "constants", "initial", "labels", "lines"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))

    def equation(self, signal: str) -> sympy.Eq:
        """The equation that defines ``signal``; KeyError if none does."""
        for eq in self.equations:
            if eq.lhs.signal == signal:
                return eq
        raise KeyError(signal)

    def size_of(self, value: str) -> Size:
        """The size of a signal or an input."""
        return self.signals[value] if value in self.signals else self.inputs[value]
