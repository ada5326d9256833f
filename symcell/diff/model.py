"""What is different about a cell, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import sympy

from symcell.cell import Cell
from symcell.derivation.breaking import unmarked
from symcell.program.report import NOMINAL

Kind = Literal["added", "removed", "changed"]
_V = TypeVar("_V")


Verdict = Literal["equal", "renamed", "rewritten", "different"]


@dataclass(frozen=True)
class Both(Generic[_V]):
    """Something of the old cell and of the new one; None where there is no such thing."""

    old: _V | None
    new: _V | None

    @property
    def kind(self) -> Kind:
        return "added" if self.old is None else "removed" if self.new is None else "changed"

    def sides(self) -> Iterator[tuple[str, _V]]:
        """What there is, the old one under "-", the new one under "+"."""
        yield from ((sign, v) for sign, v in (("-", self.old), ("+", self.new)) if v is not None)


@dataclass(frozen=True)
class Shown:
    """A formula in print, ``left = text``: ``text`` has the marks of :mod:`symcell.derivation.breaking`; ``tex`` is the
    whole formula. ``number``: its number in the cell's derivation, if it has one there. ``condition``: for which steps
    it holds, where not for all; ``when``: that in LaTeX."""

    left: str
    text: str
    tex: str
    number: int | None = None
    condition: str = ""
    when: str = ""

    @property
    def plain(self) -> str:
        """On one line."""
        return f"{self.left} = {unmarked(self.text)}" + (f"   for {self.condition}" if self.condition else "")


@dataclass(frozen=True)
class Formulas:
    """Formulas of one kind. ``unchanged``: how many are the same in both."""

    title: str
    changes: tuple[Both[Shown], ...]
    unchanged: int


@dataclass(frozen=True)
class Fact:
    """A line of text about something that has a name: a parameter, a size, an output, a label."""

    what: str
    name: str
    texts: Both[str]


@dataclass(frozen=True)
class Costs:
    """A cost of a sweep or of the whole cell. ``targets``: those for which it is just this (none: it is no matter of a
    target). A formula in the sizes of the cell is a number where every size is :data:`NOMINAL`."""

    what: str
    targets: tuple[str, ...]
    amounts: Both[sympy.Expr]

    def numbers(self) -> tuple[int, int]:
        return _at(self.amounts.old), _at(self.amounts.new)

    @property
    def changed(self) -> bool:
        return bool(self.amounts.old != self.amounts.new)


def _at(amount: sympy.Expr | None) -> int:
    return 0 if amount is None else int(amount.subs(dict.fromkeys(amount.free_symbols, NOMINAL)))


@dataclass(frozen=True)
class Stage:
    """A stage of an emitted module. ``kind``: fused, calls, product, sum, copy or fixed; ``where``: each step, before,
    after or once; ``made``: for each value that it computes, the equation."""

    sweep: str
    where: str
    kind: str
    made: Mapping[str, str]


@dataclass(frozen=True)
class Stages:
    """The stages of one target that have changed."""

    target: str
    changes: tuple[Both[Stage], ...]
    unchanged: int

    def alike(self, other: Stages) -> bool:
        """Whether the same has changed for another target."""
        return (self.changes, self.unchanged) == (other.changes, other.unchanged)


@dataclass(frozen=True, eq=False)
class Difference:
    """What a change of a cell changes; ``print`` shows all of it.

    ``verdict``: ``equal`` (the same equations; comments aside), ``renamed`` (the same cell, names aside), ``rewritten``
    (the same function, which has been proved, of other equations) or ``different``; ``reason``: of a difference, the
    first that the proof met with. ``names``: old names that are called otherwise in ``new``; all that is shown of both
    cells is in the names of ``old``.
    """

    old: Cell
    new: Cell
    verdict: Verdict
    reason: str
    names: Mapping[str, str]
    equations: Formulas
    gradients: tuple[Formulas, ...]
    facts: tuple[Fact, ...]
    costs: tuple[Costs, ...]
    stages: tuple[Stages, ...]
    notes: tuple[Fact, ...]
    """Of what is told to people alone: title, description and labels."""

    @property
    def same(self) -> bool:
        """Whether both are the same function with the same parameters and starts, names and spelling aside."""
        return self.verdict != "different" and not self.facts

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON can hold."""
        from symcell.diff.data import data

        return data(self)

    def __str__(self) -> str:
        from symcell.diff.text import text

        return text(self)

    def __repr__(self) -> str:
        return f"<Difference of {self.old.name} and {self.new.name}: {self.verdict}>"

    def _repr_html_(self) -> str:
        from symcell.diff.page import fragment

        return fragment(self)
