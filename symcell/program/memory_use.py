"""How much memory programs allocate, and a train step at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import sympy

from symcell.cell import Size, units
from symcell.program.access import whole
from symcell.program.model import Buffer, Plan, Program

STEPS, BATCH = sympy.symbols("T B", integer=True, positive=True)


@dataclass(frozen=True)
class Piece:
    """An array: ``width`` numbers in each row of ``steps`` whole sequences and of ``slots`` steps; ``fixed``: just so
    many numbers."""

    width: Size
    steps: int = 0
    slots: int = 0
    fixed: bool = False
    bool: bool = False

    def numbers(self) -> sympy.Expr:
        """How many numbers it holds, as a formula in the sizes, the steps T and the samples B."""
        rows = 1 if self.fixed else (self.steps * STEPS + self.slots) * BATCH
        return rows * self.width.symbol()

    def bytes(self, sizes: Mapping[str, int], steps: int, batch: int, itemsize: int) -> int:
        rows = 1 if self.fixed else (self.steps * steps + self.slots) * batch
        return rows * self.width.value(sizes) * (1 if self.bool else itemsize)


def slots(program: Program) -> dict[str, tuple[Buffer, ...]]:
    """The pieces of memory that a program allocates, and the buffers that lie in each. An input that is read at earlier
    steps is copied behind room for these."""
    found: dict[str, tuple[Buffer, ...]] = {}
    for buffer in program.buffers.values():
        if buffer.origin == "own" or (buffer.origin == "input" and buffer.depth):
            slot = buffer.slot or buffer.name
            found[slot] = (*found.get(slot, ()), buffer)
    return found


def piece(program: Program, buffer: Buffer, kept: bool = True) -> Piece:
    """A buffer as an array."""
    if buffer.extent == "fixed":
        return Piece(buffer.width, fixed=True, bool=buffer.storage == "bool")
    every = whole(program, buffer.name, kept)
    return Piece(buffer.width, int(every), buffer.depth + (not every), bool=buffer.storage == "bool")


Room = tuple[Piece, ...]
"""Arrays of which one stands at a time: memory for the largest."""


def own(program: Program, kept: bool = True) -> Iterator[Room]:
    """What a program allocates for its own buffers."""
    for buffers in slots(program).values():
        yield tuple(piece(program, b, kept) for b in buffers)


def allocated(
    program: Program, sizes: Mapping[str, int], steps: int, batch: int, itemsize: int, kept: bool = True
) -> int:
    """The bytes of all buffers that a program makes, those of one slot counted once."""
    return bytes_of(own(program, kept), sizes, steps, batch, itemsize)


def bytes_of(rooms: Iterable[Room], sizes: Mapping[str, int], steps: int, batch: int, itemsize: int) -> int:
    """The bytes of some rooms."""
    return sum(max(p.bytes(sizes, steps, batch, itemsize) for p in room) for room in rooms)


def peak_memory(plan: Plan, sizes: Mapping[str, int], steps: int, batch: int, itemsize: int) -> int:
    """The most bytes that forward and backward have allocated at one time, the results included: y, the last states,
    and all gradients. Inputs, parameters and the gradient by y are the caller's; all sequences are of one length."""
    return max(bytes_of(rooms, sizes, steps, batch, itemsize) for rooms in moments(plan))


def peak_formula(plan: Plan, nominal: int, steps: int, batch: int) -> sympy.Expr:
    """The numbers held at the worst moment at nominal sizes, as a formula in the sizes, T and B."""
    sizes = dict.fromkeys(plan.cell.sizes, nominal)
    worst = max(moments(plan), key=lambda rooms: bytes_of(rooms, sizes, steps, batch, 4))
    largest = [max(room, key=lambda p: p.bytes(sizes, steps, batch, 4)) for room in worst]
    return sympy.expand(sympy.Add(*(p.numbers() for p in largest)))


def moments(plan: Plan) -> tuple[tuple[Room, ...], ...]:
    """What stands at the two moments when most does: the end of the forward program, where y has been copied out of its
    buffers; and the end of the backward one, whose buffers stand beside the tape and what forward has returned, and
    where the gradients by the inputs have been copied out."""
    forward, backward = plan.forward, plan.backward
    returned = tuple(_results(forward))
    taped = [forward.buffers[name] for name in forward.tape]
    tape = tuple((piece(forward, b),) for b in taped if b.origin == "own" or b.depth)
    grads = tuple((piece(backward, b),) for b in backward.buffers.values() if b.origin == "grads")
    return (
        (*own(forward), *returned),
        (*tape, *returned, *own(backward), *grads, *_results(backward)),
    )


def _results(program: Program) -> Iterator[Room]:
    """What a program hands back besides the gradients by parameters: sequences and states at the edge."""
    for ref in program.results.values():
        if ref is not None:
            yield (Piece(sum((m.width for m in program.window(ref)), Size()), steps=1),)
    for leaving in program.leaves:
        yield (Piece(units(leaving.shape), slots=leaving.depth),)
