"""Rows that a block has in shared memory while it runs all steps: what its kernels hand on, and what they read.

Of the rows that kernels share, a block has the same ones in every step. What only they write need not go through memory
to come back: it is stored from shared memory, where memory must have it at all. What no stage of the region writes is
brought a step before it is read. Which of these have room is known when sizes are; the others stay in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from symcell.graph import Pointwise
from symcell.program.access import memory, references, writes
from symcell.program.model import Kernel, Phase, Program, Ref, Region, Statement
from symcell.program.partition import Run


@dataclass(frozen=True)
class Room:
    """Rows of a buffer in shared memory: of the slot that a step works on (``now``), and, in their place or besides, of
    the slot ``old`` that the step before has left (None: no kernel reads that). ``given``: no stage writes them; they
    are brought from memory, for the step to come too. ``copies``: places for a row. ``enters``, ``leaves``: numbers of
    the runs before which missing rows are brought, and behind which they are stored (None: there are none). ``asked``:
    stages that are shared by units read them, from memory.
    """

    now: Ref
    old: Ref | None
    given: bool
    copies: int
    enters: int | None
    leaves: int | None
    asked: bool


@dataclass(frozen=True)
class _Touch:
    """A kernel's access, in a phase of a run. ``epoch`` grows whenever all threads of a block meet; ``own``: of every
    unit, a thread touches what no other does in this phase, all that it reads before all that it writes in the same
    ``turn``."""

    ref: Ref
    write: bool
    run: int
    phase: int
    epoch: int
    own: bool
    turn: int


def rooms(program: Program, region: Region, runs: Sequence[Run]) -> tuple[Room, ...]:
    """What may have room: first what goes from step to step, then what is given, then what a step makes and reads."""
    touches = list(_touches(program, runs))
    written = {memory(program, out) for stage in region.stages for out in writes(stage)}
    others = [stage for run in runs if run.share == "units" for _, stage in run.stages]
    taken = {memory(program, out) for stage in others for out in writes(stage)}
    asked = {memory(program, ref) for stage in others for ref in references(stage)}
    found: list[Room] = []
    for name in dict.fromkeys(touch.ref.buffer for touch in touches):
        own = [touch for touch in touches if touch.ref.buffer == name]
        place = memory(program, own[0].ref)
        if place not in written:
            found += _given(own)
        elif place not in taken:
            found += _made(program, region.direction, own, asked=place in asked)
    return tuple(sorted(found, key=lambda room: (room.old is None, not room.given)))


def _given(touches: list[_Touch]) -> Iterator[Room]:
    for slot in dict.fromkeys(_slot(touch.ref) for touch in touches):
        first = next(touch.run for touch in touches if _slot(touch.ref) == slot)
        yield Room(slot, None, given=True, copies=2, enters=first, leaves=None, asked=False)


def _made(program: Program, direction: int, touches: list[_Touch], *, asked: bool) -> Iterator[Room]:
    """The room for what kernels write: where they write all of a row, and read it in that step or in the next one."""
    buffer = program.buffers[touches[0].ref.buffer]
    written, read = [t for t in touches if t.write], [t for t in touches if not t.write]
    slots = dict.fromkeys(_slot(touch.ref) for touch in written)
    if len(slots) != 1 or buffer.depth > 1 or not read or len({touch.run for touch in written}) != 1:
        return
    now = next(iter(slots))
    back = Ref(now.buffer, shift=now.shift - direction)
    older = [touch for touch in read if _slot(touch.ref) == back]
    whole = set(range(len(buffer.members))) == {k for touch in written for k in _members(touch.ref)}
    if not whole or not all(touch in older or _behind(touch, touches) for touch in read):
        return
    copies = 1 if all(_before(one, other) for one in older for other in written) else 2
    yield Room(
        now, back if older else None, given=False, copies=copies, enters=min((t.run for t in touches), default=0),
        leaves=None if buffer.extent == "local" and not asked else written[0].run, asked=asked,
    )  # fmt: skip


def _behind(read: _Touch, touches: list[_Touch]) -> bool:
    """Whether all that is read has been written in the same step."""
    before = itertools.takewhile(lambda touch: touch is not read, touches)
    made = {k for touch in before if touch.write and _slot(touch.ref) == _slot(read.ref) for k in _members(touch.ref)}
    return set(_members(read.ref)) <= made


def _before(read: _Touch, write: _Touch) -> bool:
    """Whether a value is read by all who need it before another takes its place."""
    if not set(_members(read.ref)) & set(_members(write.ref)):
        return True
    alike = read.phase == write.phase and read.own and write.own
    return read.epoch < write.epoch or (alike and read.turn <= write.turn)


def _touches(program: Program, runs: Sequence[Run]) -> Iterator[_Touch]:
    """The accesses to rows, in order, of kernels that share these."""
    epoch = phases = 0
    for number, run in enumerate(runs):
        for _, stage in run.stages if run.share == "rows" else ():
            assert isinstance(stage, Kernel)
            epoch += 1
            for phase in stage.phases:
                epoch, phases = epoch + phase.barrier, phases + 1
                for ref, write, own, turn in _accesses(program, phase):
                    if program.buffers[ref.buffer].extent != "fixed":
                        yield _Touch(ref, write, number, phases, epoch, own, turn)
                epoch += bool(phase.reductions)


def _accesses(program: Program, phase: Phase) -> Iterator[tuple[Ref, bool, bool, int]]:
    """Reference, whether it is written, whether every unit has its own, and in which turn."""
    turns = dict(zip(map(id, phase.body), phase.turns or (0,) * len(phase.body), strict=True))
    for statement in (*phase.scalars, *phase.body, *phase.reductions):
        turn = turns.get(id(statement), 0)
        for operand, ref in statement.reads.items():
            shape = program.window(ref)[0].shape
            whole = getattr(operand, "axis", None) is None and shape == phase.span
            yield ref, False, id(statement) in turns and whole and _unitwise(phase, statement), turn
        if statement.out is not None:
            yield statement.out, True, id(statement) in turns and statement.shape == phase.span, turn


def _unitwise(phase: Phase, statement: Statement) -> bool:
    """Whether what a statement reads of the shape of its phase it reads unit by unit."""
    return bool(phase.turns) or isinstance(statement.op, Pointwise)


def _slot(ref: Ref) -> Ref:
    """A reference to all members of a buffer's slot."""
    return Ref(ref.buffer, shift=ref.shift)


def _members(ref: Ref) -> range:
    return range(ref.first, ref.first + ref.count)
