"""Everything is written before it is read, and what is read is the value and the step that the equation means.

A member that was written at shift w and is read at shift s holds the value of w - s steps before. So a reading says
how far back it looks; that must be the operand's lag, the sweep must have been there, and the slots outside the
sequence must have been filled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from symcell.graph import Contraction, Edge, Operand, Outer, Total, lag_of
from symcell.program.access import made, reads, title
from symcell.program.model import (
    Copy,
    Fixed,
    Gemm,
    Gradient,
    Kernel,
    Program,
    Ref,
    Region,
    Stage,
    Statement,
    Sums,
)
from symcell.symbolic.nodes import At

Cell = tuple[str, int]
"""A member of a buffer."""


@dataclass(frozen=True)
class Held:
    """What a member holds: a value, by the shift at which it was written."""

    value: str
    shift: int


def written_before_read(program: Program) -> Iterator[str]:
    yield from _Walk(program).problems()


def handed_over(forward: Program, backward: Program) -> Iterator[str]:
    """What the backward program reads from the tape, the forward one has left there."""
    walk = _Walk(forward)
    for _ in walk.problems():
        pass
    for region, stage in backward.stages():
        for ref in reads(stage):
            found = backward.buffers[ref.buffer]
            for k in range(ref.first, ref.first + ref.count) if found.origin == "tape" else ():
                held = walk.holds.get((ref.buffer, k))
                if held is None or held.value != found.members[k].name:
                    yield f"{region.kind}, {title(stage)}: the tape does not hold {found.members[k].name}"


class _Walk:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.holds: dict[Cell, Held] = {}
        self.entered = {e.buffer: e.depth for e in program.enters}
        self.finished: dict[Cell, Held] = {}
        self.direction = 0
        for name, buffer in program.buffers.items():
            if buffer.origin not in ("own", "grads"):
                self.holds |= {(name, k): Held(m.name, buffer.depth) for k, m in enumerate(buffer.members)}

    def problems(self) -> Iterator[str]:
        for region in self.program.regions:
            self.finished = self._after(region) if region.kind == "steps" else {}
            self.direction = region.direction if region.kind == "steps" else 0
            for stage in region.stages:
                yield from (f"{region.kind}, {title(stage)}: {problem}" for problem in self.stage(stage))
        self.finished, self.direction = {}, 0
        for name, result in self.program.results.items():
            if result is not None:
                yield from (f"the result {name}: {p}" for p in self.read(result, (name,) if self._named(name) else ()))
        for name, buffer in self.program.buffers.items():
            if buffer.origin == "grads" and not buffer.zeroed:
                missing = [m.name for k, m in enumerate(buffer.members) if (name, k) not in self.holds]
                yield from (f"the gradient by {m} is never written" for m in missing)
        for leaving in self.program.leaves:
            for name, _ in leaving.buffers:
                if (name, 0) not in self.holds:
                    yield f"what leaves for {leaving.state}: {name} is never written"

    def _named(self, name: str) -> bool:
        return self.program.ahead

    def _after(self, region: Region) -> dict[Cell, Held]:
        """What members hold when a step is over."""
        found: dict[Cell, Held] = {}
        for stage in region.stages:
            for ref, names in _results(stage, self.holds):
                found |= {(ref.buffer, ref.first + k): Held(name, ref.shift) for k, name in enumerate(names)}
        return found

    def stage(self, stage: Stage) -> Iterator[str]:
        if isinstance(stage, Kernel):
            for statement in stage.statements():
                yield from self.statement(statement)
            return
        for ref, meant in _meant(stage, self.program):
            yield from self.read(ref, meant)
        for ref, names in _results(stage, self.holds):
            self.write(ref, names)

    def statement(self, statement: Statement) -> Iterator[str]:
        for operand, ref in statement.reads.items():
            yield from self.read(ref, (operand,))
        if statement.out is not None:
            self.write(statement.out, tuple(op.out for op in statement.ops))

    def write(self, ref: Ref, names: tuple[str, ...]) -> None:
        for k, name in enumerate(names):
            self.holds[ref.buffer, ref.first + k] = Held(name, ref.shift)

    def read(self, ref: Ref, meant: tuple[Operand | str, ...]) -> Iterator[str]:
        """``meant``: the operands (or values) that the first members may be."""
        for k in range(ref.first, ref.first + ref.count):
            now, then = self.holds.get((ref.buffer, k)), self.finished.get((ref.buffer, k))
            held = now if now is not None and now.shift == ref.shift else then or now
            if held is None:
                if not self.program.buffers[ref.buffer].zeroed:
                    yield f"{ref.buffer}, member {k}, is read before it is written"
                continue
            yield from self._in_time(ref, k, held, now)
            position = k - ref.first
            operand = meant[min(position, len(meant) - 1)] if meant and (position == 0 or len(meant) > 1) else None
            if operand is not None:
                yield from self._as_meant(ref, held, operand)

    def _in_time(self, ref: Ref, k: int, held: Held, now: Held | None) -> Iterator[str]:
        back = held.shift - ref.shift
        if self.program.buffers[ref.buffer].extent == "fixed":
            return
        swept = (ref.buffer, k) not in self.finished
        if back == 0:
            if now is None or now.shift != held.shift:
                yield f"{ref.buffer}, member {k}, is read before it is written"
        elif not swept and back * self.direction < 0:
            yield f"{ref.buffer} is read {abs(back)} steps ahead of the sweep"
        elif self._outside(ref.buffer) < abs(back):
            yield f"{ref.buffer} is read {abs(back)} steps outside the sequence, where nothing enters"

    def _outside(self, name: str) -> int:
        buffer = self.program.buffers[name]
        if buffer.zeroed or buffer.origin == "tape" or (buffer.origin == "input" and not self.program.ahead):
            return buffer.depth
        return self.entered.get(name, 0)

    def _as_meant(self, ref: Ref, held: Held, operand: Operand | str) -> Iterator[str]:
        name = operand if isinstance(operand, str) else operand.signal
        if held.value != name:
            yield f"{ref.buffer} holds {held.value} where {name} is read"
        elif isinstance(operand, At) and lag_of(operand) != held.shift - ref.shift:
            yield f"{operand} is read {held.shift - ref.shift} steps back"


def _results(stage: Stage, holds: Mapping[Cell, Held]) -> Iterator[tuple[Ref, tuple[str, ...]]]:
    """What a stage leaves where."""
    if isinstance(stage, Kernel):
        for statement in stage.statements():
            if statement.out is not None:
                yield statement.out, tuple(op.out for op in statement.ops)
    elif isinstance(stage, Copy):
        cells = ((stage.source.buffer, stage.source.first + k) for k in range(stage.source.count))
        yield stage.out, tuple(holds[c].value if c in holds else "" for c in cells)
    else:
        yield stage.out, made(stage)


def _meant(stage: Stage, program: Program) -> Iterator[tuple[Ref, tuple[Operand | str, ...]]]:
    """What a stage other than a kernel reads, and which values the equations mean."""
    match stage:
        case Fixed():
            for operand, ref in stage.reads.items():
                yield ref, (operand,)
        case Sums():
            yield stage.arg, tuple(op.arg for op in stage.ops if isinstance(op, Total) and not isinstance(op.arg, Edge))
        case Gradient():
            outers = list(_outers(stage, program))
            yield stage.left, tuple(o.left for o in outers)
            yield stage.right, tuple(o.right for o in outers[:1])
        case Gemm():
            yield stage.left, tuple(_vectors(stage, program))
            yield stage.matrix, ()
        case _:
            for ref in reads(stage):
                yield ref, ()


def _outers(stage: Gradient, program: Program) -> Iterator[Outer]:
    made_by = program.graph.producer()
    for op in stage.ops:
        outer = made_by.get(op.arg.signal) if isinstance(op, Total) and isinstance(op.arg, At) else None
        if isinstance(outer, Outer):
            yield outer


def _vectors(stage: Gemm, program: Program) -> Iterator[Operand]:
    """The vectors that the product's rows hold, one for each of its matrices where it is transposed."""
    names = [m.name for m in program.window(stage.matrix)]
    for name in names if stage.transposed else names[:1]:
        terms = [t for op in stage.ops if isinstance(op, Contraction) for t in op.terms]
        yield from [v for m, v in terms if m.name == name and m.transposed == stage.transposed][:1]
