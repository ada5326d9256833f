"""How much memory a train step takes at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import sympy

from symcell.cell import Size, units
from symcell.program.memory_use import Piece, Room, bytes_of, handed_over, own, piece
from symcell.program.model import Plan, Program
from symcell.program.packs import packed


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
    """What stands at the moments when most does: the end of the forward program; behind it, where y has been copied out
    of the tape; the end of the backward program, whose buffers stand beside the tape and what forward has returned; and
    behind it, where gradients by the inputs have been copied out of buffers that they share."""
    forward, backward = plan.forward, plan.backward
    last, first = tuple(_states(forward)), tuple(_states(backward))
    y = tuple(_sequences(forward))
    taped = [forward.buffers[name] for name in forward.tape]
    tape = tuple((piece(forward, b),) for b in taped if b.origin == "own" or b.depth)
    grads = tuple((piece(backward, b),) for b in backward.buffers.values() if b.origin == "grads")
    dx = {r.buffer: backward.buffers[r.buffer] for r in backward.results.values() if r}
    copied = tuple(_sequences(backward, handed_over(backward)))
    returned = (*tape, *y, *last)
    return (
        (*own(forward), *packed(forward), *last),
        returned,
        (*returned, *own(backward), *packed(backward), *grads, *first),
        (*returned, *((piece(backward, b),) for b in dx.values()), *grads, *first, *copied),
    )


def _sequences(program: Program, without: Iterable[str] = ()) -> Iterator[Room]:
    """A program's results as the caller gets them, but those that are one of the buffers ``without``."""
    for ref in program.results.values():
        if ref is not None and ref.buffer not in without:
            yield (Piece(sum((m.width for m in program.window(ref)), Size()), steps=1),)


def _states(program: Program) -> Iterator[Room]:
    """The states at the edge that a program hands back."""
    for leaving in program.leaves:
        yield (Piece(units(leaving.shape), slots=leaving.depth),)
