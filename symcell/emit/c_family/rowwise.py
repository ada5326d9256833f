"""A kernel whose rows' units meet, as lines of C: by phase, what stands before, in and after a loop over units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from symcell.emit.c_family.units import ALONE, START, Line, Loop, Units, Walk, grown
from symcell.graph import Reduce
from symcell.program.model import Phase, Statement


class Meeting(Protocol):
    """How a language lets those who compute a row's units meet."""

    def joined(self, kind: str, partial: str) -> str:
        """The reduction of all parts, known to everyone, as an expression."""

    def stores(self, statements: tuple[Statement, ...]) -> list[Line]:
        """The lines that store scalars which everyone has computed."""


@dataclass(frozen=True)
class PhaseLines:
    """``before`` the ``loop`` over units, and ``after`` it; at the end of each turn it grows reductions by ``sums``:
    their parts are the variables ``partials``, each with its kind."""

    before: tuple[Line, ...]
    loop: Loop
    sums: tuple[Line, ...]
    partials: tuple[tuple[str, str], ...]
    after: tuple[Line, ...]


class Rowwise:
    """Prints the phases of one kernel in order: what is read and computed outside of loops is known to later ones."""

    def __init__(self, units: Units, meeting: Meeting) -> None:
        self._units, self._meeting = units, meeting
        self._scalars = units.loop(())

    def phase(self, phase: Phase, walk: Walk = ALONE) -> PhaseLines:
        loop = self._units.loop(phase.body, self.begun(phase), walk=walk)
        return self.ended(phase, loop, [self.reduction(statement, loop) for statement in phase.reductions])

    def begun(self, phase: Phase) -> Loop:
        """What is outside of the phase's loops, with its scalars computed."""
        for statement in phase.scalars:
            self._scalars.compute(statement)
            self._units.everywhere.add(statement.op.out)
        return self._scalars

    def ended(self, phase: Phase, loop: Loop, reductions: Sequence[tuple[Line, Line, Line]]) -> PhaseLines:
        """The lines around a ``loop`` that is complete."""
        scalars = self._scalars
        before = [*scalars.loads, *scalars.lines, *self._meeting.stores(phase.scalars)]
        scalars.loads, scalars.lines, scalars.stores = [], [], []
        return PhaseLines(
            (*before, *(begun for begun, _, _ in reductions)),
            loop,
            tuple(sums for _, sums, _ in reductions),
            tuple((s.op.kind, self._partial(s.op)) for s in phase.reductions if isinstance(s.op, Reduce)),
            (*(total for _, _, total in reductions), *self._meeting.stores(phase.reductions)),
        )

    def _partial(self, op: Reduce) -> str:
        return self._units.names.get(("partial", op.out), f"partial_{op.out}")

    def reduction(self, statement: Statement, loop: Loop) -> tuple[Line, Line, Line]:
        """A reduction over all units: where a part begins, its next value, and the result of all parts."""
        op, units = statement.op, self._units
        assert isinstance(op, Reduce)
        partial = self._partial(op)
        value = loop.operand(statement, op.arg)
        result = units.names.get(("value", op.out, 0, None), f"{op.out}_t")
        units.registers[op.out] = result
        units.everywhere.add(op.out)
        return (
            Line(f"real {partial} = {START[op.kind]};"),
            Line(grown(op.kind, partial, value)),
            Line(f"const real {result} = {self._meeting.joined(op.kind, partial)};", units.equation(op)),
        )
