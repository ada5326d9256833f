"""Sweeps in stretches of steps: what a loop over time needs and what follows from it is computed stretch by stretch, so
that of values which nothing else reads only one stretch's rows are kept.

Around the loop lie stages over whole sequences: its *head*, products by inputs say, and its *tail*, such as gradients
by matrices, which are added up. A stretch runs through head, loop and tail before the next one begins. So no stage may
look ahead to steps that the sweep has yet to reach, and none may need a sum that is not complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from symcell.program.access import reads, references, writes
from symcell.program.model import Gemm, Gradient, Kernel, Program, Ref, Stage, Sums

ROWS = 512
"""About how many rows a stretch has: enough that sums over it are fast, few enough that they stay in a cache."""

Numbered = tuple[int, Stage]
"""A stage and its position, counted over all regions."""


@dataclass(frozen=True)
class Stretches:
    """``loop``: the number of the region that is one. ``head``, ``tail``: how many stages before and behind it belong
    to a stretch. ``first``, ``last``: positions of its stages, counted over all regions. ``buffers``: those of which
    only one stretch's rows are kept."""

    loop: int
    head: int
    tail: int
    first: int
    last: int
    buffers: frozenset[str]

    def has(self, position: int) -> bool:
        """Whether the stage at this position is part of a stretch."""
        return self.first <= position <= self.last


def steps_of(steps: int, batch: int) -> int:
    """How many steps a stretch has at most."""
    return min(steps, max(1, ROWS // max(batch, 1)))


def stretches(program: Program) -> Stretches | None:
    """The stretches of a program whose profile asks for them; None where they would save nothing."""
    loops = [k for k, region in enumerate(program.regions) if region.kind == "steps"]
    if not program.profile.stretches or len(loops) != 1:
        return None
    around = _Around(program, loops[0])
    tail = next((n for n in range(len(around.after), 0, -1) if around.allows(0, n)), 0)
    head = next((n for n in range(len(around.before), 0, -1) if around.allows(n, tail)), 0)
    buffers = around.passing(head, tail)
    if not buffers:
        return None
    inside = around.inside(head, tail)
    return Stretches(loops[0], head, tail, inside[0][0], inside[-1][0], buffers)


class _Around:
    """A loop, and the neighbouring stages ``before`` it and ``after`` it that could be part of stretches."""

    def __init__(self, program: Program, loop: int) -> None:
        self.program = program
        regions, start = [], 0
        for region in program.regions:
            regions.append(list(enumerate(region.stages, start)))
            start += len(region.stages)
        self.direction = program.regions[loop].direction
        self.stages = [numbered for found in regions for numbered in found]
        self.loop = regions[loop]
        self.looped = {position for position, _ in self.loop}
        before, after = regions[loop - 1] if loop else [], regions[loop + 1] if loop + 1 < len(regions) else []
        self.before = [*_leading(before[::-1])][::-1]
        self.after = [*_leading(after)]

    def inside(self, head: int, tail: int) -> list[Numbered]:
        """The stages of a stretch."""
        return [*self.before[len(self.before) - head :], *self.loop, *self.after[:tail]]

    def allows(self, head: int, tail: int) -> bool:
        """Whether these stages may run stretch by stretch."""
        writers: dict[tuple[str, int], list[tuple[int, Ref]]] = {}
        for position, stage in self.inside(head, tail):
            for ref in writes(stage):
                for member in range(ref.first, ref.first + ref.count):
                    writers.setdefault((ref.buffer, member), []).append((position, ref))
        for position, stage in self.inside(head, tail):
            for ref in reads(stage):
                for member in range(ref.first, ref.first + ref.count):
                    if not self._in_time(position, ref, writers.get((ref.buffer, member), [])):
                        return False
        return True

    def _in_time(self, position: int, ref: Ref, writers: Sequence[tuple[int, Ref]]) -> bool:
        """Whether a reading finds what these stages of a stretch leave, as if each had run over all steps."""
        if writers and self.program.buffers[ref.buffer].extent == "fixed":
            return False
        for writer, out in writers:
            ahead = (ref.shift - out.shift) * self.direction
            stepwise = position in self.looped and writer in self.looped
            if not stepwise and (ahead > 0 or (ahead < 0 and writer > position)):
                return False
        return True

    def passing(self, head: int, tail: int) -> frozenset[str]:
        """The buffers whose rows only stages of their own stretch touch."""
        lasting = {*self.program.tape, *(r.buffer for r in self.program.results.values() if r)}
        lasting |= {name for leaving in self.program.leaves for name, _ in leaving.buffers}
        inside = self.inside(head, tail)
        positions = {position for position, _ in inside}
        outside = {r.buffer for position, stage in self.stages if position not in positions for r in references(stage)}
        beside = {r.buffer for position, stage in inside if position not in self.looped for r in references(stage)}
        return frozenset(
            name
            for name in beside - outside - lasting
            if (b := self.program.buffers[name]).origin == "own" and b.extent == "whole" and not (b.depth or b.zeroed)
        )


def _leading(stages: Sequence[Numbered]) -> Iterator[Numbered]:
    """The first ones that work on rows, or sum over them."""
    for position, stage in stages:
        if not isinstance(stage, Kernel | Gemm | Gradient | Sums):
            return
        yield position, stage
