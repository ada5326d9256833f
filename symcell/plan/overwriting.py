"""Results computed in the place of what nothing reads afterwards: over whole sequences that halves what is alive.

Only where every equation is calls over arrays: these are arranged so that an operand is read before its place is
written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from symcell.graph import Pointwise
from symcell.program.access import reads, writes
from symcell.program.calls import calls
from symcell.program.model import Buffer, Kernel, Ref, Region, Stage, Statement
from symcell.symbolic.nodes import At

Moves = dict[int, str]
"""For the position of a stage, counted over all regions, the buffer that its result may be computed in."""


def overwriting(
    regions: tuple[Region, ...], buffers: Mapping[str, Buffer], lasting: Iterable[str]
) -> tuple[tuple[Region, ...], Moves]:
    """The regions with such stages' calls arranged, and which stages they are."""
    finder = _Finder(regions, buffers, frozenset(lasting))
    made, moves, position = [], {}, 0
    for region in regions:
        stages: list[Stage] = []
        for stage in region.stages:
            found = finder.moved(stage, position) if region.kind == "sequence" else None
            if found is not None:
                stage, moves[position] = found
            stages.append(stage)
            position += 1
        made.append(replace(region, stages=tuple(stages)))
    return tuple(made), moves


@dataclass
class _Finder:
    regions: tuple[Region, ...]
    buffers: Mapping[str, Buffer]
    lasting: frozenset[str]

    def __post_init__(self) -> None:
        self.last: dict[str, int] = {}
        self.writers: dict[str, int] = {}
        stages = [stage for region in self.regions for stage in region.stages]
        for k, stage in enumerate(stages):
            for ref in (*reads(stage), *writes(stage)):
                self.last[ref.buffer] = k
            for ref in writes(stage):
                self.writers[ref.buffer] = self.writers.get(ref.buffer, 0) + 1

    def moved(self, stage: Stage, position: int) -> tuple[Stage, str] | None:
        """The stage with its calls arranged to overwrite an operand, and that operand's buffer, if there is one."""
        if not isinstance(stage, Kernel):
            return None
        statements = list(stage.statements())
        statement = statements[0]
        if len(statements) > 1 or not statement.calls or not self._alone(statement.out):
            return None
        for operand, ref in statement.reads.items():
            fits = isinstance(operand, At) and not operand.lag and operand.axis is None and self._free(ref, position)
            if fits and isinstance(operand, At) and self._like(statement, ref):
                arranged = self._arranged(statement, operand)
                if arranged is not None:
                    phase = replace(stage.phases[0], body=(arranged,))
                    return replace(stage, phases=(phase,)), ref.buffer
        return None

    def _alone(self, out: Ref | None) -> bool:
        """Whether a result fills a buffer of its own, which nothing else writes."""
        return out is not None and self._whole(out) and self.writers[out.buffer] == 1

    def _free(self, ref: Ref, position: int) -> bool:
        return self._whole(ref) and self.last[ref.buffer] == position and ref.buffer not in self.lasting

    def _whole(self, ref: Ref) -> bool:
        buffer = self.buffers[ref.buffer]
        plain = buffer.origin == "own" and buffer.extent == "whole" and not buffer.depth and not buffer.zeroed
        return plain and ref.first == 0 and ref.count == len(buffer.members)

    def _like(self, statement: Statement, ref: Ref) -> bool:
        assert statement.out is not None
        mine, other = (self.buffers[r.buffer] for r in (statement.out, ref))
        return [m.shape for m in mine.members] == [m.shape for m in other.members]

    def _arranged(self, statement: Statement, operand: At) -> Statement | None:
        assert isinstance(statement.op, Pointwise)
        assert statement.out is not None
        here = {o for o, ref in statement.reads.items() if isinstance(o, At) and ref == statement.out}
        found = calls(statement.op.body, statement.op.order, frozenset({*here, operand}))
        if found.temporaries > len(statement.work) or (found.mask and statement.mask is None):
            return None
        return replace(statement, calls=found.calls, work=statement.work[: found.temporaries])
