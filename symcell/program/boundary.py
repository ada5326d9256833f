"""What enters a sweep before its first step and leaves after its last, on a program's memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from symcell.cell import Shape, units
from symcell.program.access import whole
from symcell.program.memory import Memory
from symcell.program.model import Enter, Leave
from symcell.program.packing import Array


def enter(memory: Memory, enter: Enter, state: Mapping[str, Array]) -> None:
    """Fill a buffer's slots outside the sequence. ``state``: (batch, *shape) or (depth, batch, *shape) by name."""
    name, packing = enter.buffer, memory.packing
    buffer = memory.program.buffers[name]
    every = whole(memory.program, name, memory.kept)
    place = packing.first if memory.program.ahead else packing.behind
    rows = place(enter.depth, buffer.depth, every)
    passed = _passed(memory, enter, state) if enter.state in state else 0
    starts = enter.start is not None and (enter.unless not in state if enter.unless else enter.state not in state)
    memory.take(name)[rows] = passed + (memory.read(enter.start, None)[None] if enter.start and starts else 0)


def _passed(memory: Memory, enter: Enter, state: Mapping[str, Array]) -> Array:
    width = memory.program.buffers[enter.buffer].width.value(memory.sizes)
    batch = memory.packing.batch
    array = np.asarray(state[enter.state], float).reshape(-1, batch, width)[-enter.depth :]
    return array[:, list(memory.packing.order)]


def leave(memory: Memory, leave: Leave) -> Array:
    """What the caller gets back for a state, in the caller's order of samples: (depth, batch, *shape)."""
    packing = memory.packing
    out = np.zeros((leave.depth, packing.batch, units(leave.shape).value(memory.sizes)))
    for name, depth in leave.buffers:
        buffer = memory.program.buffers[name]
        place = packing.behind if memory.program.ahead else packing.first
        rows = place(depth, buffer.depth, whole(memory.program, name, memory.kept))
        out[leave.depth - depth :] += memory.array(name)[rows]
    back = np.empty_like(out)
    back[:, list(packing.order)] = out
    return back.reshape(leave.depth, packing.batch, *extents(leave.shape, memory.sizes))


def extents(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(size.value(sizes) for size in shape)
