"""Which layer of a library computes a cell, and the cell's parameters as that layer's arrays."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from symcell.arrays import Array
from symcell.cell import Cell
from symcell.equivalence import Difference, Equivalence, Side, compare_sides, side
from symcell.formats.arrays import named, stacked
from symcell.formats.layouts import ForeignModule
from symcell.formats.reading import library


@dataclass(frozen=True)
class Known:
    """A cell that is a layer of another library: ``equal`` says what the layer's names are called in the cell."""

    module: ForeignModule
    equal: Equivalence

    @property
    def names(self) -> Mapping[str, str]:
        """What the layer's parameters, inputs and signals are called in the cell."""
        return self.equal.names

    def home(self, name: str) -> str:
        """The cell's parameter in which one of the layer's is: itself or some columns of it."""
        called = self.names[name]
        pieces = self.equal.pieces[1].items()
        return next((whole for whole, several in pieces if called in (p.name for p in several)), called)

    @property
    def sizes(self) -> dict[str, str]:
        """What the layer's arguments for sizes are called in the cell: ``{"hidden_size": "H"}``."""
        return {argument: self.equal.sizes[size] for argument, size in self.module.sizes.items()}

    @property
    def states(self) -> tuple[str, ...]:
        """The cell's states in the order in which the layer takes them."""
        return tuple(self.names[state] for state in self.module.states)

    @property
    def left_out(self) -> frozenset[str]:
        """The arrays that the layer must not have."""
        return self.module.missing if self.equal.zero else frozenset()

    def to_cell(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The cell's parameters from the layer's arrays. Raises ValueError for arrays that do not fit, or that hold
        what the cell has no place for."""
        params = named(self.module, arrays)
        for name in sorted(self.equal.zero):
            if bool((params[name] != 0).any()):
                raise ValueError(f"{self.equal.other.name} has no place for {name} of {self.module.title}: it is not 0")
        return self.equal.to_other(params)

    def from_cell(self, params: Mapping[str, Array], leave_out: Iterable[str] = ()) -> dict[str, Array]:
        """The layer's arrays from the cell's parameters, but those called in ``leave_out``."""
        return stacked(self.module, self.equal.to_one(params), {*leave_out, *self.left_out})


def recognise(cell: Cell, name: str) -> Known | None:
    """The layer of a library that computes a cell, with or without its biases; None if none does."""
    mine = side(cell)
    for module in library(name).modules:
        found = known(module, cell, mine)
        if isinstance(found, Known):
            return found
    return None


def known(module: ForeignModule, cell: Cell, mine: Side | None = None) -> Known | Difference:
    """A cell as this layer, or else what is different; ``mine``: the cell's side, if it is at hand."""
    mine = mine or side(cell)
    first: Difference | None = None
    for zero in dict.fromkeys((frozenset[str](), module.unread)):
        found = compare_sides(_side(module.library, module.title, zero), mine, zero)
        if isinstance(found, Equivalence):
            return Known(module, found)
        first = first or found
    assert first is not None
    return first


@functools.cache
def _side(name: str, title: str, zero: frozenset[str]) -> Side:
    (module,) = (m for m in library(name).modules if m.title == title)
    return side(module.cell, zero)
