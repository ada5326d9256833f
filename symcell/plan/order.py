"""The stages of whole sequences in the order that needs little memory: what is summed is summed at once.

A greedy list schedule: of the stages that may run next, one that frees as much as it takes; else the first in the order
in which they were planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from symcell.plan.prices import price
from symcell.program.access import reads, writes
from symcell.program.model import Buffer, EdgeSum, Stage


def weight(buffer: Buffer) -> int:
    """How much a buffer takes, in nominal numbers for each row."""
    return sum(price(member.shape) for member in buffer.members)


def in_order(stages: Sequence[Stage], buffers: Mapping[str, Buffer], lasting: Iterable[str]) -> tuple[Stage, ...]:
    """The stages of one region reordered. ``lasting``: buffers that something else than these stages reads."""
    waiting = _dependencies(stages)
    touched = [{r.buffer for r in (*reads(s), *writes(s))} for s in stages]
    users: dict[str, set[int]] = {}
    for k, names in enumerate(touched):
        for name in names:
            users.setdefault(name, set()).add(k)
    kept = set(lasting)
    counted = {n for n in users if buffers[n].origin == "own" and buffers[n].extent == "whole" and n not in kept}
    weights = {n: weight(buffers[n]) for n in sorted(counted)}
    mine = [sorted(names & counted) for names in touched]
    begun: set[str] = set()
    done: list[int] = []

    def taken(k: int) -> int:
        """What a stage takes more than it frees."""
        return sum(((n not in begun) - (len(users[n]) == 1)) * weights[n] for n in mine[k])

    while len(done) < len(stages):
        ready = sorted(k for k, before in waiting.items() if not before)
        first = min(ready, key=lambda k: (min(taken(k), 1), k))
        done.append(first)
        del waiting[first]
        for before in waiting.values():
            before.discard(first)
        begun |= touched[first]
        for name in touched[first]:
            users[name].discard(first)
    return tuple(stages[k] for k in done)


def _dependencies(stages: Sequence[Stage]) -> dict[int, set[int]]:
    """For each stage those that must come before it: that write what it reads, or use what it overwrites."""
    before: dict[int, set[int]] = {k: set() for k in range(len(stages))}
    written: dict[tuple[str, int], int] = {}
    read: dict[tuple[str, int], list[int]] = {}
    for k, stage in enumerate(stages):
        if isinstance(stage, EdgeSum):
            before[k] |= set(range(k))  # of buffers that it does not name
        for ref in reads(stage):
            for member in range(ref.first, ref.first + ref.count):
                cell = (ref.buffer, member)
                if cell in written:
                    before[k].add(written[cell])
                read.setdefault(cell, []).append(k)
        for ref in writes(stage):
            for member in range(ref.first, ref.first + ref.count):
                cell = (ref.buffer, member)
                before[k] |= {*read.pop(cell, ()), *([written[cell]] if cell in written else [])} - {k}
                written[cell] = k
    return before
