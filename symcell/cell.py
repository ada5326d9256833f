"""A recurrent cell as a value: its equations in SymPy, and what each of its names is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

import sympy

from symcell.notebook import Formulas


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
    """A length: a sum of products of named sizes and integers. ``H``, ``4``, ``D+H`` (two joined vectors), ``H*K``.

    ``terms`` are (names, how often), the names of each sorted, the terms sorted with the constant (no names) last, none
    with the count 0: so equal lengths compare equal. Made by :meth:`of`, ``+`` and ``*``.
    """

    terms: tuple[tuple[tuple[str, ...], int], ...] = ()

    @staticmethod
    def of(size: str | int) -> Size:
        return Size((((size,), 1),)) if isinstance(size, str) else _normal({(): size})

    @property
    def names(self) -> tuple[str, ...]:
        """The names that occur in it, sorted, each once."""
        return tuple(sorted({name for names, _ in self.terms for name in names}))

    @property
    def fixed(self) -> int:
        """The number that is added to what has a name."""
        return dict(self.terms).get((), 0)

    def __add__(self, other: Size) -> Size:
        total = Counter(dict(self.terms))
        total.update(dict(other.terms))
        return _normal(total)

    def __mul__(self, other: Size) -> Size:
        total: Counter[tuple[str, ...]] = Counter()
        for left, k in self.terms:
            for right, m in other.terms:
                total[tuple(sorted(left + right))] += k * m
        return _normal(total)

    def within(self, other: Size) -> bool:
        """Whether ``other`` is at least this long, whatever the named sizes are."""
        counts = dict(other.terms)
        return all(k <= counts.get(names, 0) for names, k in self.terms)

    def __str__(self) -> str:
        texts = ("*".join((*([str(k)] if k != 1 or not names else []), *names)) for names, k in self.terms)
        return "+".join(texts) or "0"

    def plain(self) -> str | int:
        """As it stands in an emitted module's ``PARAMS``: a name, a sum of products of names, or a number."""
        return str(self) if self.names else self.fixed

    def value(self, sizes: Mapping[str, int]) -> int:
        return sum(k * math.prod(sizes[n] for n in names) for names, k in self.terms)

    def symbol(self) -> sympy.Expr:
        symbols = {n: sympy.Symbol(n, integer=True, positive=True) for n in self.names}
        return sympy.Add(*(k * sympy.Mul(*(symbols[n] for n in names)) for names, k in self.terms))


def _normal(counts: Mapping[tuple[str, ...], int]) -> Size:
    return Size(tuple(sorted(((n, k) for n, k in counts.items() if k), key=lambda term: (not term[0], term[0]))))


_V = TypeVar("_V")

ONE = Size.of(1)
Shape = tuple[Size, ...]
"""``()`` a scalar, ``(n,)`` a vector, ``(n, m)`` a matrix; of what is fixed and of what varies in time alike."""


def shape_text(shape: Shape) -> str:
    """``H``, ``H×D``, ``H×(D+H)``; ``scalar``."""
    return "×".join(f"({n})" if "+" in str(n) and len(shape) > 1 else str(n) for n in shape) or "scalar"


def units(shape: Shape) -> Size:
    """How many numbers an array of this shape holds."""
    return math.prod(shape, start=ONE)


def is_one(shape: Shape) -> bool:
    """Whether an array of this shape holds one number."""
    return all(size == ONE for size in shape)


INITIALISERS = ("zeros", "ones", "identity", "uniform", "normal", "glorot", "orthogonal")


@dataclass(frozen=True)
class Start:
    """How a parameter starts: one of :data:`INITIALISERS`; ``scale`` is the half-width of ``uniform`` or the standard
    deviation of ``normal``, None for the default (uniform in ±1/√H, normal(1))."""

    kind: str = "uniform"
    scale: float | None = None

    def __str__(self) -> str:
        return self.kind if self.scale is None else f"{self.kind}({self.scale!r})"


@dataclass(frozen=True)
class Parameter:
    """A learned array: its shape, and where it starts: a number in every place, or a :class:`Start`."""

    shape: Shape
    start: float | Start = Start()


def _frozen(items: Mapping[str, _V]) -> Mapping[str, _V]:
    return MappingProxyType(dict(items))


@dataclass(frozen=True, eq=False, repr=False)
class Cell(Formulas):
    """The equations of one time step, checked: every name has a role and a shape.

    Made by :func:`symcell.load`, :func:`symcell.parse`, or from SymPy equations by :func:`symcell.from_equations`.

    ``equations`` are in the order of the text; each is ``Eq(At(name), expression)`` of :mod:`symcell.symbolic`.
    ``order`` is an order in which they can be computed. ``inputs``, ``signals``: shapes, of one axis at least.
    ``states``: how many steps of each are carried. ``constants``: numbers by name, which stand in the equations as
    :class:`symcell.symbolic.nodes.Constant`. ``arrays``: shapes of the constant arrays that the caller sets.
    Cells of one name and one text are equal.
    """

    name: str
    text: str
    equations: tuple[sympy.Eq, ...]
    order: tuple[str, ...]
    inputs: Mapping[str, Shape]
    signals: Mapping[str, Shape]
    states: Mapping[str, int]
    parameters: Mapping[str, Parameter]
    output: str
    sizes: tuple[str, ...]
    title: str = ""
    description: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, Shape] = field(default_factory=dict)
    initial: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    body: str = ""
    """The text behind its docstring, which is what ``print`` shows."""

    def __post_init__(self) -> None:
        for name in ("inputs", "signals", "states", "parameters", "constants", "arrays", "initial",
                     "labels", "lines"):  # fmt: skip
            object.__setattr__(self, name, _frozen(getattr(self, name)))

    def __eq__(self, other: object) -> bool:
        return (self.name, self.text) == (other.name, other.text) if isinstance(other, Cell) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.text))

    def __str__(self) -> str:
        return self.body

    def __repr__(self) -> str:
        count = f"{len(self.equations)} equation{'' if len(self.equations) == 1 else 's'}"
        sizes = f"sizes {', '.join(self.sizes)}" if self.sizes else "no open sizes"
        return f"<Cell {self.name}: {count}, {sizes}>"

    def _formulas(self) -> Iterator[tuple[str, str]]:
        for eq in self.equations:
            yield sympy.latex(eq.lhs), sympy.latex(eq.rhs)

    def __deepcopy__(self, memo: object) -> Cell:
        return self

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Cell], tuple[dict[str, Any]]]:
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return _rebuilt, ({name: dict(v) if isinstance(v, Mapping) else v for name, v in values},)

    def equation(self, signal: str) -> sympy.Eq:
        """The equation that defines ``signal``; KeyError if none does."""
        for eq in self.equations:
            if eq.lhs.signal == signal:
                return eq
        raise KeyError(signal)

    @property
    def spread(self) -> Size:
        """The size n of the default start, uniform in ±1/√n: H where a size has that name, else the output's."""
        return Size.of("H") if "H" in self.sizes else self.shape_of(self.output)[0]

    def shape_of(self, value: str) -> Shape:
        """The shape of a signal or an input at one step."""
        return self.signals[value] if value in self.signals else self.inputs[value]


def _rebuilt(values: dict[str, Any]) -> Cell:
    """A cell out of a pickle, which cannot hold read-only mappings."""
    return Cell(**values)
