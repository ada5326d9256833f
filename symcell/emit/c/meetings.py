"""Where threads have to meet: before stages that touch memory which others may still be working on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from symcell.program.access import reads, writes
from symcell.program.model import Program, Ref, Stage


@dataclass
class Meetings:
    """The stages since the threads of a function last met."""

    program: Program
    since: list[Stage] = field(default_factory=list)

    def before(self, stages: Iterable[Stage], always: bool) -> bool:
        """Whether threads meet before these stages: ``always``, or where they could come too early."""
        stages = list(stages)
        meet = always or any(self._collide(earlier, stage) for earlier in self.since for stage in stages)
        self.since = [*(() if meet else self.since), *stages]
        return meet

    def _collide(self, earlier: Stage, stage: Stage) -> bool:
        return _meet(self._cells(writes(earlier)), self._cells((*reads(stage), *writes(stage)))) or _meet(
            self._cells(reads(earlier)), self._cells(writes(stage))
        )

    def _cells(self, refs: Iterable[Ref]) -> set[tuple[str, str, int]]:
        """Memory: the slot, and which buffer's members lie there."""
        return set(self._all_cells(refs))

    def _all_cells(self, refs: Iterable[Ref]) -> Iterator[tuple[str, str, int]]:
        for ref in refs:
            slot = self.program.buffers[ref.buffer].slot or ref.buffer
            yield from ((slot, ref.buffer, member) for member in range(ref.first, ref.first + ref.count))


def _meet(one: set[tuple[str, str, int]], other: set[tuple[str, str, int]]) -> bool:
    """Whether two sets name the same members, or two buffers of one slot."""
    owners = {(slot, buffer) for slot, buffer, _ in one}
    return bool(one & other) or any(slot == s and buffer != b for slot, buffer in owners for s, b, _ in other)
