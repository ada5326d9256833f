"""Values as references: in which buffer of a program a value lies, and at which slot it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from symcell.graph import Operand
from symcell.program.model import Buffer, Ref
from symcell.symbolic.nodes import At

PARAMS, DIRECTIONS, GRADS = "<params>", "<directions>", "<grads>"


@dataclass
class Places:
    """The buffers that one program can see, and where every value is; ``used`` collects those that it refers to.

    ``varying``: buffer and member of each varying value. ``carried_back``: buffers of a backward sweep's own carried
    values, which are kept in the slot of their own step; all others keep step t in slot t + depth.
    """

    buffers: dict[str, Buffer]
    varying: Mapping[str, tuple[str, int]]
    fixed: Mapping[str, tuple[str, int]]
    carried_back: frozenset[str] = frozenset()
    used: dict[str, None] = field(default_factory=dict)

    def add(self, buffer: Buffer) -> Buffer:
        """A buffer of the builder's own (a temporary), unless it is there already."""
        return self.buffers.setdefault(buffer.name, buffer)

    def at(self, buffer: str, first: int = 0, count: int = 1, lag: int = 0) -> Ref:
        """Members of a buffer of varying values at ``t - lag``."""
        self.used[buffer] = None
        depth = self.buffers[buffer].depth
        return Ref(buffer, first, count, -lag if buffer in self.carried_back else depth - lag)

    def fixed_at(self, buffer: str, first: int = 0, count: int = 1) -> Ref:
        self.used[buffer] = None
        return Ref(buffer, first, count)

    def where(self, operand: Operand) -> tuple[str, int]:
        """Buffer and member of an operand."""
        return (self.varying if isinstance(operand, At) else self.fixed)[operand.signal]

    def of(self, operand: Operand, count: int = 1) -> Ref:
        """An operand, and the ``count - 1`` members that lie behind it."""
        buffer, first = self.where(operand)
        if isinstance(operand, At):
            return self.at(buffer, first, count, operand.lag)
        return self.fixed_at(buffer, first, count)

    def window(self, operands: Iterable[Operand]) -> Ref:
        """Operands that lie side by side in this order, all at one lag."""
        operands = tuple(operands)
        found = [self.where(o) for o in operands]
        buffer, first = found[0]
        if found != [(buffer, first + k) for k in range(len(found))]:
            raise AssertionError(f"{operands} do not lie side by side: {found}")
        return self.of(operands[0], len(operands))

    def aligned(self, ref: Ref) -> bool:
        """Whether a whole sequence of this reference is one run of rows."""
        return ref.shift == self.buffers[ref.buffer].depth
