"""Stages of a region in groups that threads run without waiting for each other: piece by piece of their rows."""

from __future__ import annotations

from collections.abc import Iterable

from symcell.emit.c.places import Places
from symcell.program.access import reads, writes
from symcell.program.model import Gemm, Kernel, Program, Ref, Stage

Numbered = tuple[int, Stage]
"""A stage and its place in the region."""


def runs(places: Places, stages: Iterable[Numbered]) -> list[list[Numbered]]:
    """Neighbours that may run one after the other on a piece of the rows, and then on the next piece.

    A stage begins a new run where it reads rows of other steps that the run has written or writes rows that the run has
    read at other steps, where it needs all rows (a sum), or where memory passes from one buffer to another.
    """
    found: list[list[Numbered]] = []
    for numbered in stages:
        if found and all(_joins(places, before, numbered[1]) for _, before in found[-1]):
            found[-1].append(numbered)
        else:
            found.append([numbered])
    return found


def _joins(places: Places, before: Stage, stage: Stage) -> bool:
    if not (isinstance(before, Kernel | Gemm) and isinstance(stage, Kernel | Gemm)):
        return False
    program = places.views.scope.program
    single = places.views.kind == "single"
    pairs = [*((w, r) for w in writes(before) for r in (*reads(stage), *writes(stage))),
             *((r, w) for r in reads(before) for w in writes(stage))]  # fmt: skip
    return not any(_apart(program, one, other, single) for one, other in pairs)


def _apart(program: Program, one: Ref, other: Ref, single: bool) -> bool:
    """Whether two references to one memory name different rows of it, or cut it into different rows."""
    if _memory(program, one, single) != _memory(program, other, single):
        return False
    return one.buffer != other.buffer or one.shift != other.shift


def _memory(program: Program, ref: Ref, single: bool) -> object:
    """What memory a reference lies in; in ``step`` every buffer has its own, and every earlier step."""
    buffer = program.buffers[ref.buffer]
    return (buffer.name, ref.shift) if single else (buffer.slot or buffer.name)
