"""What comes into a pair of programs from outside, and what leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from symcell.cell import Cell
from symcell.plan.places import DIRECTIONS, PARAMS
from symcell.program.model import Buffer, Member, Role


@dataclass(frozen=True)
class Signature:
    """A program that makes a tape and the one that reads it, as a cell's callers see them.

    ``flat``: the parameters in the order of the flat buffer. ``dots``: the tangents of parameters, inputs and states by
    name, where the programs have them: those of the parameters lie in a buffer of the same layout.
    """

    cell: Cell
    roles: tuple[Role, Role]
    flat: tuple[str, ...]
    dots: Mapping[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> dict[str, int]:
        """The place of each fixed value from outside, with a gap between values that lie in two buffers."""
        gap = len(self.flat) + 1
        dotted = {self.dots[p]: gap + k for k, p in enumerate(self.flat) if p in self.dots}
        return {**{p: k for k, p in enumerate(self.flat)}, **dotted}

    @property
    def fixed(self) -> dict[str, Buffer]:
        """The buffers of fixed values that both programs see."""
        shapes = {p: self.cell.parameters[p].shape for p in self.flat}
        found = {PARAMS: Buffer(PARAMS, tuple(Member(p, s) for p, s in shapes.items()), "fixed", origin="params")}
        if self.dots:
            members = tuple(Member(self.dots[p], s) for p, s in shapes.items())
            found[DIRECTIONS] = Buffer(DIRECTIONS, members, "fixed", origin="directions")
        arrays = self.cell.arrays.items()
        return found | {a: Buffer(a, (Member(a, s),), "fixed", origin="constant") for a, s in arrays}

    @property
    def undotted(self) -> dict[str, str]:
        """What each tangent is the tangent of."""
        return {dot: name for name, dot in self.dots.items()}
