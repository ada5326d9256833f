"""What a train step holds in memory if states alone are kept, every so many steps, and the rest is computed again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import sympy

from symcell.cell import units
from symcell.program.costs import NOTHING, cost
from symcell.program.held import sweeps
from symcell.program.memory_use import bytes_of
from symcell.program.model import Plan
from symcell.program.storage import item


@dataclass(frozen=True)
class MemoryUse:
    """A train step's memory in bytes, and what it costs.

    ``every``: steps between the states that are kept; None: all is on the tape. ``peak``: held at most besides what the
    caller hands in and gets (inputs, parameters, y, last states, gradients), each sequence being T long; a call's own
    0.1 MB, whatever T is, are not counted. ``tape``: held between forward and backward. ``flops``: operations that are
    done again.
    """

    every: int | None
    peak: int
    tape: int
    flops: int


def every(checkpoint: int | str | None, steps: int) -> int | None:
    """The steps between states that an emitted module's ``checkpoint`` asks for; ``"sqrt"``: √T, rounded up.

    Raises ValueError for what is none of these.
    """
    if checkpoint is None:
        return None
    if checkpoint == "sqrt":
        return math.isqrt(max(steps, 1) - 1) + 1
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, int) or checkpoint < 1:
        raise ValueError(f'checkpoint: expected None, "sqrt" or a number of steps from 1 on, got {checkpoint!r}')
    return checkpoint


def memory(
    plan: Plan, sizes: Mapping[str, int], steps: int, batch: int, itemsize: int, checkpoint: int | str | None = None
) -> MemoryUse:
    """What a train step over so many steps and samples holds; the same numbers by which an emitted module meets a
    budget. Raises ValueError for sizes that are not the cell's, or no such checkpoint."""
    cell = plan.cell
    if set(sizes) != set(cell.sizes):
        raise ValueError(f"sizes: expected {', '.join(cell.sizes) or 'none'}, got {', '.join(sizes) or 'none'}")
    found, length = sweeps(plan), every(checkpoint, steps)
    real = item("real", itemsize)
    states = real * batch * sum(e.depth * units(e.shape).value(sizes) for e in plan.forward.leaves)
    if length is None:
        most = max(held.bytes(sizes, steps, batch, itemsize) for held in (found.taped, found.backward))
        return MemoryUse(None, most + states, bytes_of(found.tape, sizes, steps, batch, itemsize), 0)
    short = min(length, steps)
    taped, back = (held.bytes(sizes, short, batch, itemsize) for held in (found.taped, found.backward))
    rows = itemsize * short * batch
    dx = rows * sum(units(shape).value(sizes) for shape in cell.inputs.values())
    grads = real * sum(units(p.shape).value(sizes) for p in cell.parameters.values())
    kept = states * max(1, -(-steps // length))
    # of a piece: what it returns, the states before and behind it, and these on their way
    most = kept + 3 * states + max(taped, back + dx + grads)
    flops = again(plan)
    each = int(flops.subs({size: sizes[size.name] for size in flops.free_symbols}))
    return MemoryUse(length, most, kept, each * steps * batch)


def again(plan: Plan) -> sympy.Expr:
    """The operations per step and sample of one more forward sweep."""
    return sum((cost(plan.forward, stage) for _, stage in plan.forward.stages()), NOTHING).flops
