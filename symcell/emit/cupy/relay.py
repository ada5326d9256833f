"""What a block hands on to itself within a step and to the next one: products that stay in shared memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from symcell.graph import Pointwise
from symcell.program.access import memory, reads, writes
from symcell.program.model import Gemm, Kernel, Program, Ref, Region
from symcell.program.partition import Run

Source = tuple[int, int, bool]
"""A product's place in the region, the member of its result, and whether it is of the step before."""


@dataclass
class Relay:
    """Where the operands of a region's kernels come from, if their units are shared: by the kernel's place in the
    region and the operand's reference."""

    program: Program
    region: Region
    runs: Sequence[Run]
    _sources: dict[tuple[int, Ref], Source] = field(default_factory=dict)
    _late: set[tuple[int, Ref]] = field(default_factory=set)
    _kept: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        last = self.runs[-1] if self.runs else None
        ahead: dict[Ref, Source] = {}
        if last is not None and last.share == "units" and not self.runs[0].meets:
            made = self._follow(last, {})
            ahead = {self.next(ref): (place, member, True) for ref, (place, member, _) in made.items()}
        for run in self.runs:
            left = self._follow(run, ahead if run is self.runs[0] else {})
            self._kept |= {place for place, _, before in left.values() if not before}

    def source(self, place: int, ref: Ref) -> Source | None:
        """The product in shared memory that an operand of the kernel at ``place`` is."""
        return self._sources.get((place, ref))

    def asked(self, place: int) -> bool:
        """Whether any kernel finds a product in shared memory."""
        return any(source[0] == place for source in self._sources.values())

    def late(self, place: int, ref: Ref) -> bool:
        """Whether an operand is written by an earlier stage of the kernel's own run."""
        return (place, ref) in self._late

    def stored(self, place: int) -> bool:
        """Whether a product must go to memory: somebody else needs it than the kernels it is handed to."""
        stage = self.region.stages[place]
        assert isinstance(stage, Gemm)
        return stage.accumulate or place in self._kept

    def untouched(self, ref: Ref) -> bool:
        """Whether no stage of the region writes what a reference lies in, so that it can be fetched steps before."""
        buffer = self.program.buffers[ref.buffer]
        if buffer.extent in ("fixed", "local", "ring"):
            return False
        written = (memory(self.program, out) for stage in self.region.stages for out in writes(stage))
        return memory(self.program, ref) not in set(written)

    def _follow(self, run: Run, handed: dict[Ref, Source]) -> dict[Ref, Source]:
        """The stages of a run in order: what they find, and the products that are left in memory's place at its end."""
        handed = dict(handed) if run.share == "units" else {}
        written: list[Ref] = []
        for place, stage in run.stages:
            if isinstance(stage, Gemm):
                if stage.accumulate:
                    self._kept |= {p for ref, (p, _, _) in handed.items() if self.meet(ref, stage.out)}
                handed = {ref: source for ref, source in handed.items() if not self.meet(ref, stage.out)}
                if not stage.accumulate and run.share == "units":
                    handed |= {ref: (place, k, False) for k, ref in enumerate(_members(stage.out))}
                written.append(stage.out)
                continue
            assert isinstance(stage, Kernel)
            apart = set(_apart(self.program, stage))
            for ref in reads(stage):
                if ref in handed and ref not in apart:
                    self._sources[place, ref] = handed[ref]
                elif any(self.meet(ref, out) for out in written):
                    self._late.add((place, ref))
                    self._kept |= {p for other, (p, _, _) in handed.items() if self.meet(ref, other)}
            outs = list(writes(stage))
            handed = {ref: found for ref, found in handed.items() if not any(self.meet(ref, out) for out in outs)}
            written += outs
        return handed

    def next(self, ref: Ref) -> Ref:
        """The same memory as it is named in the step that comes next."""
        buffer = self.program.buffers[ref.buffer]
        one = buffer.extent == "local" or (buffer.extent == "ring" and not buffer.depth)
        return ref if one else Ref(ref.buffer, ref.first, ref.count, ref.shift - self.region.direction)

    def meet(self, one: Ref, other: Ref) -> bool:
        """Whether two references of one step may share memory."""
        if memory(self.program, one) != memory(self.program, other):
            return False
        if one.buffer != other.buffer:
            return True
        return one.first < other.first + other.count and other.first < one.first + one.count


def _apart(program: Program, kernel: Kernel) -> Iterator[Ref]:
    """What units of a kernel read of others than themselves."""
    for phase in kernel.phases:
        for statement in (*phase.scalars, *phase.body, *phase.reductions):
            for operand, ref in statement.reads.items():
                own = program.window(ref)[0].shape == phase.span and getattr(operand, "axis", None) is None
                if not own or not isinstance(statement.op, Pointwise):
                    yield ref


def _members(ref: Ref) -> Iterator[Ref]:
    """A reference to each member of a reference."""
    for k in range(ref.count):
        yield Ref(ref.buffer, ref.first + k, 1, ref.shift)


