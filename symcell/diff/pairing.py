"""Which names of a cell are those of an older one: equal ones, and those that have been renamed.

Equations of one name are laid over each other: where they are alike but for names that only one of the cells has, these
names are each other's. What is left over is paired by its own equation, if there is only one that it can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy

from symcell.cell import Cell, Shape, Size
from symcell.symbolic.nodes import At, Constant, Count, Param


@dataclass(frozen=True)
class Pairs:
    """For names and sizes of the newer cell, those of the older one; what is new is missing."""

    names: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)

    @property
    def renamed(self) -> dict[str, str]:
        """Old names and what they are called now, where that is another name."""
        both = (*self.names.items(), *self.sizes.items())
        return {old: new for new, old in both if old != new}


def kinds(cell: Cell) -> dict[str, str]:
    """What each name of a cell is."""
    groups: tuple[tuple[str, Iterable[str]], ...] = (
        ("signal", cell.signals), ("input", cell.inputs), ("parameter", cell.parameters),
        ("array", cell.arrays), ("constant", cell.constants),
    )  # fmt: skip
    return {name: kind for kind, names in groups for name in names}


def pairs(old: Cell, new: Cell) -> Pairs:
    """Names and sizes of ``new`` by those of ``old``."""
    search = _Search(old, new)
    search.run()
    return Pairs(search.names, search.sizes)


class _Search:
    def __init__(self, old: Cell, new: Cell) -> None:
        self.old, self.new = old, new
        self.kinds = (kinds(old), kinds(new))
        self.names = {n: n for n, kind in self.kinds[1].items() if self.kinds[0].get(n) == kind}
        self.sizes = {s: s for s in new.sizes if s in old.sizes}

    def run(self) -> None:
        while self.by_equations() or self.by_what_is_left():
            pass
        self.initial_states()
        self.by_shapes()

    def by_equations(self) -> bool:
        """Names that equations of one signal are made of; whether there were any."""
        found = False
        for name, there in list(self.names.items()):
            if name in self.new.signals:
                found |= self.laid_over(there, name)
        return found

    def by_what_is_left(self) -> bool:
        """A signal whose equation can be that of one other signal alone."""
        left = [s for s in self.old.signals if s not in self.names.values()]
        fits = {n: [s for s in left if self.trial(s, n) is not None] for n in self.new.signals if n not in self.names}
        for name, several in fits.items():
            if len(several) == 1 and sum(several[0] in others for others in fits.values()) == 1:
                self.laid_over(several[0], name)
                self.names[name] = several[0]
                return True
        return False

    def laid_over(self, old: str, new: str) -> bool:
        found = self.trial(old, new)
        self.names |= found or {}
        return bool(found)

    def trial(self, old: str, new: str) -> dict[str, str] | None:
        """New pairs under which two equations are the same; None where there are none that do it."""
        found: dict[str, str] = {}
        if len(self.old.shape_of(old)) != len(self.new.shape_of(new)):
            return None
        return found if self.alike(self.old.equation(old).rhs, self.new.equation(new).rhs, found) else None

    def alike(self, old: Any, new: Any, found: dict[str, str]) -> bool:
        if type(old) is not type(new):
            return False
        match old:
            case At():
                return (old.lag, old.axis) == (new.lag, new.axis) and self.bound(old.signal, new.signal, found)
            case Param():
                return bool(old.axis == new.axis) and self.bound(old.signal, new.signal, found)
            case Constant():
                return bool(old.value == new.value) and self.bound(old.name, new.name, found)
            case sympy.MatrixSymbol():
                return self.bound(str(old.name), str(new.name), found)
            case Count():
                return len(old.size.terms) == len(new.size.terms)
        if not old.args or not new.args:
            return bool(old == new)
        same = len(old.args) == len(new.args)
        return same and all(self.alike(a, b, found) for a, b in zip(old.args, new.args, strict=True))

    def bound(self, old: str, new: str, found: dict[str, str]) -> bool:
        known = {**self.names, **found}
        if new in known:
            return known[new] == old
        if old in known.values() or self.kinds[0][old] != self.kinds[1][new]:
            return False
        found[new] = old
        return True

    def initial_states(self) -> None:
        """Learned starts of one state."""
        for state, start in self.new.initial.items():
            there = self.old.initial.get(self.names.get(state, ""))
            if there is not None:
                found: dict[str, str] = {}
                self.bound(there, start, found)
                self.names |= found

    def by_shapes(self) -> None:
        """Sizes that only one of the cells has, where their names stand in the same place."""
        for new, old in self.names.items():
            for here, there in zip(_shape(self.new, new), _shape(self.old, old), strict=False):
                for mine, theirs in _named(here, there):
                    if mine not in self.sizes and theirs not in self.sizes.values():
                        self.sizes[mine] = theirs


def _shape(cell: Cell, name: str) -> Shape:
    if name in cell.parameters:
        return cell.parameters[name].shape
    return {**cell.signals, **cell.inputs, **cell.arrays}.get(name, ())


def _named(one: Size, other: Size) -> Iterator[tuple[str, str]]:
    if len(one.names) == 1 == len(other.names):
        yield one.names[0], other.names[0]
