"""A derivation as data: numbered formulas in groups in sections, each formula holding its expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sympy import Expr


@dataclass(frozen=True)
class Condition:
    """Where a formula holds: ``last`` (the last ``depth`` steps) or ``first`` (as many states before the first)."""

    end: str
    depth: int


@dataclass(frozen=True, eq=False)
class Formula:
    """``left = right``, with its number, the numbers of those it came from, and the user's label."""

    number: int
    left: Expr
    right: Expr
    label: str = ""
    cites: tuple[int, ...] = ()
    condition: Condition | None = None


@dataclass(frozen=True, eq=False)
class Group:
    heading: str
    formulas: tuple[Formula, ...]


@dataclass(frozen=True, eq=False)
class Section:
    """``key``: ``forward``, ``local``, ``recursion`` or ``parameters``."""

    key: str
    title: str
    groups: tuple[Group, ...]

    @property
    def formulas(self) -> tuple[Formula, ...]:
        return tuple(f for group in self.groups for f in group.formulas)


@dataclass(frozen=True, eq=False)
class ShapeLine:
    """Values of one shape: ``varying`` ones are read at ``t``."""

    names: tuple[str, ...]
    shape: tuple[Expr, ...]
    varying: bool


@dataclass(frozen=True, eq=False)
class Document:
    """All that a rendering needs. ``title`` and ``description`` are the user's text.

    Formulas call every value by its name in the graph; ``names`` says what an intermediate is called in print.
    """

    title: str
    name: str
    description: str
    output: str
    names: Mapping[str, str]
    shapes: tuple[ShapeLine, ...]
    sections: tuple[Section, ...]

    def formulas(self) -> Iterator[Formula]:
        for section in self.sections:
            yield from section.formulas

    def section(self, key: str) -> Section:
        return next(s for s in self.sections if s.key == key)
