"""What a unit's thread finds of the step before in shared memory: a value that it made there, or read.

Where units are shared, a block has the same ones of every sample in every step, and a thread the same of these wherever
kernels have as many units to a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symcell.cell import Shape
from symcell.emit.c_family.units import INDEX, Load
from symcell.emit.cupy.kernels import KernelView
from symcell.emit.cupy.relay import Relay
from symcell.program.access import reads, writes
from symcell.program.model import Kernel, Ref, Region
from symcell.program.partition import Run


@dataclass(frozen=True)
class Carry:
    """A number of every unit from step to step: kernel ``source`` makes or reads it, which calls it ``value`` (``made``
    or a member of its operands); the kernels at ``readers`` have it as an operand in the step that follows, under these
    names. Kernels go by their places in the region. ``out``: where it goes in memory, if no stage but these reads it
    there (None: it is not made, or others do)."""

    source: int
    value: str
    made: bool
    out: Ref | None
    readers: tuple[tuple[int, str], ...]
    span: Shape


def carries(
    region: Region, runs: Sequence[Run], views: Mapping[str, KernelView], relay: Relay
) -> tuple[Carry, ...]:
    """The values of a region that need not be read again."""
    kernels = {
        place: stage
        for run in runs if run.share == "units"
        for place, stage in run.stages if isinstance(stage, Kernel) and not views[stage.name].phases[0].lanes
    }  # fmt: skip
    search = _Search(region, kernels, views, relay)
    found: dict[tuple[int, str, bool], list[tuple[int, str]]] = {}
    for place, kernel in kernels.items():
        for load in views[kernel.name].loads:
            source = search.source(place, load)
            if source is not None:
                found.setdefault(source, []).append((place, load.name))
    return tuple(
        Carry(source, value, made, search.out(source, value, readers), tuple(readers), search.span(source))
        for (source, value, made), readers in found.items()
    )


@dataclass(frozen=True)
class _Search:
    region: Region
    kernels: Mapping[int, Kernel]
    views: Mapping[str, KernelView]
    relay: Relay

    def source(self, place: int, load: Load) -> tuple[int, str, bool] | None:
        """Where the step before has had an operand in hand, of the very unit: a kernel, and what it is called there."""
        if load.index != INDEX[None] or self.relay.source(place, load.ref) or not self._early(place):
            return None
        found = self._read(load.ref) if self.relay.untouched(load.ref) else self._made(load.ref)
        if found is None or found[0] < place:  # it would be written over before it is read
            return None
        return found if self.span(found[0]) == self.span(place) else None

    def _early(self, place: int) -> bool:
        """Whether all operands are there before the products of the kernel's run."""
        loads = self.views[self.kernels[place].name].loads
        sources = [self.relay.source(place, load.ref) for load in loads]
        asked = [load.ref for load, source in zip(loads, sources, strict=True) if source is None or source[2]]
        return not any(self.relay.late(place, ref) for ref in asked)

    def _read(self, ref: Ref) -> tuple[int, str, bool] | None:
        for place, kernel in self.kernels.items():
            for load in self.views[kernel.name].loads:
                if self.relay.next(load.ref) == ref and load.index == INDEX[None]:
                    return place, load.name, False
        return None

    def _made(self, ref: Ref) -> tuple[int, str, bool] | None:
        """The last that a step writes there."""
        for place in reversed(range(len(self.region.stages))):
            if any(self.relay.meet(self.relay.next(out), ref) for out in writes(self.region.stages[place])):
                return self._written(place, ref) if place in self.kernels else None
        return None

    def _written(self, place: int, ref: Ref) -> tuple[int, str, bool] | None:
        kernel = self.kernels[place]
        for statement in kernel.statements():
            if statement.shape == self.span(place) and self._leaves(statement.out, ref):
                return place, self.views[kernel.name].results[statement.op.out], True
        return None

    def out(self, source: int, value: str, readers: list[tuple[int, str]]) -> Ref | None:
        """Where a value goes that none but the readers reads in memory."""
        results = self.views[self.kernels[source].name].results
        for statement in self.kernels[source].statements():
            if statement.out is not None and results[statement.op.out] == value:
                return statement.out if self._alone(statement.out, {place for place, _ in readers}) else None
        return None

    def _alone(self, out: Ref, readers: set[int]) -> bool:
        """Whether kernels at these places alone read a result, as that of the step before, each once."""
        found = [
            (place, ref)
            for place, stage in enumerate(self.region.stages)
            for ref in set(reads(stage)) if self.relay.meet(out, ref)
        ]  # fmt: skip
        return {place for place, _ in found} == readers and all(ref == self.relay.next(out) for _, ref in found)

    def _leaves(self, out: Ref | None, ref: Ref) -> bool:
        return out is not None and self.relay.next(out) == ref

    def span(self, place: int) -> Shape:
        """The units of a kernel."""
        return self.kernels[place].phases[0].span
