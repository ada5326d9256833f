"""How many bytes a module's sweeps hold, as lines of Python: what a budget is held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from symcell.cell import Size
from symcell.emit.python.names import RESERVED, Identifiers, size_code
from symcell.emit.python.text import code_lines, literal
from symcell.program.held import INDEX, Held, sweeps
from symcell.program.memory_use import Piece, Room
from symcell.program.model import Plan, Storage
from symcell.program.storage import REAL
from symcell.program.stretches import ROWS

RESULTS = ("untaped", "taped", "back")
LOCALS = ("item", "real", "sizes", "some", "uneven")
FACTORS: Mapping[Storage, str] = {"stored": "item", "real": "real", "bool": ""}
"""The bytes of a number of each kind, as code."""


def lines(plan: Plan) -> tuple[str, ...]:
    """The body of ``_held``, whose arguments are ``sizes``, ``steps``, ``batch``, ``item`` and ``uneven``."""
    code = _Code()
    sweep = sweeps(plan)
    found = dict(zip(RESULTS, (sweep.untaped, sweep.taped, sweep.backward), strict=True))
    sums = [line for name, held in found.items() for line in code.lines(name, held)]
    halves = [f"    {name} += {term}" for name, held in found.items() for term in code.more(held.widened)]
    if halves:
        halves.insert(0, f"if item < {REAL}:")
    uneven = [f"    {name} += rows * ({code.row(held)})" for name, held in found.items()]
    sizes = [f"{code.variables[n]} = sizes[{literal(n)}]" for n in plan.cell.sizes if n in code.variables]
    if code.stretched:
        sizes.append(f"some = min(steps, max(1, {ROWS} // max(batch, 1))) * batch")
    if any("real *" in line for line in (*sums, *halves, *uneven)):
        sizes.insert(0, f"real = max(item, {REAL})")
    body = [*sizes, "rows = steps * batch", *sums, *halves, "if uneven:", *uneven, f"return {', '.join(RESULTS)}"]
    return tuple(short for line in body for short in code_lines(line, 4))


@dataclass
class _Code:
    """Numbers of bytes as code. ``variables``: those that hold the sizes. ``stretched``: some arrays have rows for a
    stretch alone, which the variable ``some`` counts."""

    variables: dict[str, str] = field(default_factory=dict)
    names: Identifiers = field(default_factory=lambda: Identifiers(RESERVED | {*LOCALS, *RESULTS}))
    stretched: bool = False

    def lines(self, name: str, held: Held) -> Iterator[str]:
        """What stands where no rows are copied: what adds up, then rooms that several arrays use in turn."""
        first, *more = self.more(held.rooms) or ["0"]
        yield f"{name} = {first} + {held.objects} * steps"
        yield from (f"{name} += {term}" for term in more)

    def more(self, rooms: Iterable[Room]) -> list[str]:
        """Terms that add up to the bytes of some rooms: what has rows before what has not."""
        found = Counter(largest(room) for room in rooms)
        alone = [room[0] for room in found.elements() if len(room) == 1]
        terms = []
        for fixed, (storage, factor) in product((False, True), FACTORS.items()):
            if numbers := self._sum(p for p in alone if p.storage == storage and p.fixed == fixed):
                terms.append(f"{factor} * ({numbers})" if factor else f"({numbers})")
        for room, count in found.items():
            if len(room) > 1:
                factors = [*([str(count)] if count > 1 else []), *filter(None, [FACTORS[room[0].storage]])]
                terms.append(" * ".join([*factors, self._most(room)]))
        return terms

    def row(self, held: Held) -> str:
        """What copied rows take besides, each."""
        copied = f"{FACTORS[held.copies]} * {self._factor(held.copied)} + " if held.copied.terms else ""
        return f"{copied}{INDEX * held.indices}"

    def _most(self, room: Room) -> str:
        """The largest of some arrays; of those that all have rows, or samples, alone: that many times the widest."""
        for index, factor in enumerate(("rows", "batch", "some")):
            if all(not piece.fixed and parts(piece)[index] == sum(parts(piece), Size()) for piece in room):
                self.stretched |= factor == "some"
                return f"{factor} * max({', '.join(self._size(parts(piece)[index]) for piece in room)})"
        return f"max({', '.join(self._sum([piece]) for piece in room)})"

    def _sum(self, pieces: Iterable[Piece]) -> str:
        """Arrays added up: so many numbers for each row, for each sample, and besides; empty for none."""
        widths, fixed = [Size(), Size(), Size()], Size()
        for piece in pieces:
            if piece.fixed:
                fixed += piece.width
            else:
                widths = [one + other for one, other in zip(widths, parts(piece), strict=True)]
        self.stretched |= bool(widths[2].terms)
        counted = zip(("rows", "batch", "some"), widths, strict=True)
        products = [f"{factor} * {self._factor(n)}" for factor, n in counted if n.terms]
        return " + ".join([*products, *([self._size(fixed)] if fixed.terms else [])])

    def _factor(self, size: Size) -> str:
        text = self._size(size)
        return f"({text})" if " " in text else text

    def _size(self, size: Size) -> str:
        return size_code(size, lambda name: self.variables.setdefault(name, self.names.get(name, name)))


def parts(piece: Piece) -> tuple[Size, Size, Size]:
    """The numbers of an array for each row, each sample (where it is fixed: in all) and each row of a stretch."""
    if piece.fixed:
        return Size(), piece.width, Size()
    steps, slots, stretches = (piece.width * Size.of(n) for n in (piece.steps, piece.slots, piece.stretches))
    return steps, slots, stretches


def largest(room: Room) -> Room:
    """The arrays of which no other is as large whatever the sizes, steps and samples are."""
    kept: list[Piece] = []
    for piece in dict.fromkeys(room):
        if not any(_within(piece, other) for other in kept):
            kept = [other for other in kept if not _within(other, piece)] + [piece]
    return tuple(kept)


def _within(piece: Piece, other: Piece) -> bool:
    return piece.fixed == other.fixed and all(map(_below, parts(piece), parts(other)))


def _below(size: Size, other: Size) -> bool:
    """Whether a length is at most the other, since no size is below one: each product of it lies in one of the
    other's."""
    left = dict(other.terms)
    for names, count in size.terms:
        found = next((n for n, k in left.items() if k >= count and not Counter(names) - Counter(n)), None)
        if found is None:
            return False
        left[found] -= count
    return True
