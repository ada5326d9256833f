"""When each buffer's memory is its own: buffers of one slot must not meet."""

from __future__ import annotations

import math
from collections.abc import Iterator

from symcell.program.access import reads, scratch, writes
from symcell.program.model import Kernel, Program, Stage

Span = tuple[float, float]
"""From one stage to another, both included, counted over the whole program."""


def lifetimes(program: Program) -> dict[str, list[Span]]:
    """When every buffer is in use.

    From the first stage that touches it to the last; what holds more than one step lives through a whole loop that
    touches it, what is filled before the first stage lives from then on, and what is returned or taped until after the
    last. What is but room for temporaries lives in single stages.
    """
    rooms: dict[str, set[Span]] = {}
    found: dict[str, Span] = {}
    position = 0
    for region in program.regions:
        loop = (position, position + len(region.stages) - 1)
        for stage in region.stages:
            begins = position + (0.5 if _by_calls(stage) else 0)
            for ref, first in (*((r, position) for r in reads(stage)), *((r, begins) for r in writes(stage))):
                lasts = region.kind == "steps" and not _of_one_step(program, ref.buffer)
                found[ref.buffer] = _joined(found.get(ref.buffer), loop if lasts else (first, first))
            for ref in scratch(stage):
                rooms.setdefault(ref.buffer, set()).add((position, begins))
            position += 1
    for name in (*(b.name for b in program.buffers.values() if b.zeroed), *(e.buffer for e in program.enters)):
        found[name] = _joined(found.get(name), (-1, -1))
    results = (r.buffer for r in program.results.values() if r is not None)
    for name in (*results, *program.tape, *(name for e in program.leaves for name, _ in e.buffers)):
        found[name] = _joined(found.get(name), (math.inf, math.inf))
    names = dict.fromkeys((*found, *rooms))
    return {name: sorted({*rooms.get(name, ()), *([found[name]] if name in found else [])}) for name in names}


def _by_calls(stage: Stage) -> bool:
    """Whether a stage is one equation as calls, which may overwrite an operand once it is read: whether they do so in
    time is a rule of its own (:mod:`symcell.program.call_rules`)."""
    return isinstance(stage, Kernel) and all(s.calls for s in stage.statements())


def _of_one_step(program: Program, name: str) -> bool:
    buffer = program.buffers[name]
    return buffer.extent == "local" or (buffer.extent in ("ring", "tape") and buffer.depth == 0)


def _joined(one: Span | None, other: Span) -> Span:
    return other if one is None else (min(one[0], other[0]), max(one[1], other[1]))


def meet(one: list[Span], other: list[Span]) -> bool:
    return any(a <= d and c <= b for a, b in one for c, d in other)


def slots_are_disjoint(program: Program) -> Iterator[str]:
    alive = lifetimes(program)
    shared: dict[str, list[str]] = {}
    for name, buffer in program.buffers.items():
        if buffer.origin == "own" and buffer.slot and name in alive:
            shared.setdefault(buffer.slot, []).append(name)
    for slot, names in shared.items():
        for k, name in enumerate(names):
            for other in names[:k]:
                if meet(alive[name], alive[other]):
                    yield f"{other} and {name} share the memory {slot} at one time"
        if len({program.buffers[n].storage for n in names}) > 1:
            yield f"the memory {slot} holds numbers of two kinds"
