"""Buffers whose lifetimes do not meet share memory: the slots of a program."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace

from symcell.plan.order import weight
from symcell.plan.overwriting import Moves
from symcell.program.access import reads, scratch, writes
from symcell.program.model import Buffer, Kernel, Ref, Region, Stage

Span = tuple[int, int]


def with_slots(
    buffers: Mapping[str, Buffer],
    regions: tuple[Region, ...],
    lasting: Iterable[str],
    moves: Moves,
    paced: bool,
    together: Span | None = None,
) -> dict[str, Buffer]:
    """The buffers with their slots. ``lasting``: those that are read when all stages have run. ``moves``: stages whose
    result may lie where an operand did. ``paced``: see :class:`Profile`. ``together``: the first and the last stage of
    those that run in stretches."""
    spans = _spans(regions, moves)
    kept = set(lasting)
    slots: dict[object, dict[str, list[Span]]] = {}
    found: dict[str, Buffer] = {}
    for buffer in sorted(buffers.values(), key=lambda b: -weight(b)):
        found[buffer.name] = buffer
        mine = spans.get(buffer.name, [])
        if together and buffer.extent == "whole":
            mine = _joined(mine, (2 * together[0], 2 * together[1] + 1))
        if buffer.origin != "own":
            continue
        slot = buffer.name
        if not (buffer.name in kept or buffer.zeroed or buffer.extent in ("fixed", "tape", "ring")):
            width = buffer.width if paced and buffer.extent == "local" else None
            rooms = slots.setdefault((buffer.extent, buffer.depth, buffer.storage, width), {})
            slot = next((name for name, taken in rooms.items() if not _meet(mine, taken)), slot)
            rooms[slot] = sorted(rooms.get(slot, []) + mine)
        found[buffer.name] = replace(buffer, slot=slot)
    return {name: found[name] for name in buffers}


def _meet(mine: list[Span], taken: list[Span]) -> bool:
    """Whether any two spans share a stage; those taken are sorted and apart from each other."""
    for first, last in mine:
        k = bisect_right(taken, (last, _LATEST)) - 1
        if k >= 0 and taken[k][1] >= first:
            return True
    return False


_LATEST = 2**62


def _joined(spans: list[Span], other: Span) -> list[Span]:
    """Spans that do not meet, those that meet ``other`` made one with it: that much is used again and again."""
    met = [s for s in spans if s[0] <= other[1] and s[1] >= other[0]]
    if not met:
        return spans
    one = (min(first for first, _ in (*met, other)), max(last for _, last in (*met, other)))
    return sorted([*(s for s in spans if s not in met), one])


def _spans(regions: tuple[Region, ...], moves: Moves) -> dict[str, list[Span]]:
    """When each buffer is in use, in half stages: from its first use to its last; a whole loop where it lives across
    the steps of one; a temporary of a statement at each statement by itself.

    A stage that overwrites an operand has read it in its first half and writes its result in the second.
    """
    uses: dict[str, list[int]] = {}
    rooms: dict[str, list[Span]] = {}
    loops: list[Span] = []
    position = 0
    for region in regions:
        start = position
        for stage in region.stages:
            moved = moves.get(position // 2)
            for ref in scratch(stage):
                rooms.setdefault(ref.buffer, []).append((position, position + 1))
            for ref in (*reads(stage), *writes(stage)):
                first = position + (moved is not None and ref == _out(stage))
                last = position + (ref.buffer != moved)
                uses.setdefault(ref.buffer, []).extend((first, last))
            position += 2
        if region.kind == "steps":
            loops.append((start, position - 1))
    spans = dict(rooms)
    for name, found in uses.items():
        first, last = min(found), max(found)
        for begin, end in loops:
            outside = first < begin or last > end
            if outside and any(begin <= at <= end for at in found):
                first, last = min(first, begin), max(last, end)
        spans[name] = [(first, last)]
    return spans


def _out(stage: Stage) -> Ref | None:
    return next(stage.statements()).out if isinstance(stage, Kernel) else None
