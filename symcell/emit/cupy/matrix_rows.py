"""A phase that goes over a matrix row by row, as lines of CUDA: lanes of a warp share a row, each has some columns.

An element is made, stored and added to totals along its row in one turn of a loop, and no thread waits for others than
those of its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from symcell.emit.c_family.expressions import Atom
from symcell.emit.c_family.rowwise import PhaseLines, Rowwise
from symcell.emit.c_family.units import INDEX, START, Line, Loop, Units, grown
from symcell.graph import Contraction, Op, Pointwise, Reduce
from symcell.program.model import Phase, Program, Statement
from symcell.program.storage import settled
from symcell.symbolic.nodes import At


@dataclass
class _InRow(Loop):
    """Lines for a row or its columns. ``stored``: values in registers that are stored as parameters are, or would be
    where a register did not have them: who counts as reading them from memory finds them as they are there."""

    stored: frozenset[str] = frozenset()

    def operand(self, statement: Statement, atom: Atom, index: str = "") -> str:
        found = super().operand(statement, atom, index)
        as_stored = isinstance(atom, At) and atom in statement.as_stored and atom.signal in self.stored
        return f"rounded({found})" if as_stored else found


@dataclass(frozen=True)
class ColumnsView:
    """A loop over the columns of a row: what stands ``before`` it, in it, and ``after`` it, where totals along the row
    become known to all of its lanes."""

    before: tuple[Line, ...]
    body: tuple[Line, ...]
    after: tuple[Line, ...]


@dataclass(frozen=True)
class RowsView:
    """What is done with each row: numbers are read (``loads``), as many ``columns`` (C code) are gone through, and then
    come the ``last`` lines. ``totals``: along rows. ``around``: the lines around all of it."""

    loads: tuple[Line, ...]
    columns: str
    loops: tuple[ColumnsView, ...]
    last: tuple[Line, ...]
    totals: tuple[Op, ...]
    around: PhaseLines


class MatrixRows:
    """Prints one phase; ``steps``: of a kernel that computes one step, whose own values last no longer."""

    def __init__(self, units: Units, rows: Rowwise, phase: Phase, *, steps: bool) -> None:
        self._units, self._rows, self._phase = units, rows, phase
        index = {None: INDEX[0], 0: INDEX[0]}
        stored = (s for s in phase.body if (settled(self._program, s.out) if s.out else not steps))
        self._row = _InRow(units, rows.begun(phase), index=index, stored=frozenset(s.op.out for s in stored))
        self._sums: list[tuple[Line, Line, Line]] = []

    def view(self) -> RowsView:
        loops = tuple(self._loops())
        last = list(self._drained())
        last += [self._alone(self._reduction(s, self._row)) for s in self._phase.reductions if self._turn(s) is None]
        stores = [Line(f"if (lane == 0) {store}") for store in self._row.stores]
        # all lanes have read what one may write over
        met = [Line("__syncwarp(row_mask(lanes));")] if stores and self._row.loads else []
        around = self._rows.ended(self._phase, self._row, self._sums)
        body = (s for s in self._phase.body if self._phase.of_row(s) and not self._of_row(s))
        totals = tuple(statement.op for statement in body)
        return RowsView(tuple(self._row.loads), self._across, loops, (*last, *met, *stores), totals, around)

    def _loops(self) -> Iterator[ColumnsView]:
        body, turns = self._phase.body, self._phase.turns
        elements = {turn for s, turn in zip(body, turns, strict=True) if not self._of_row(s)}
        elements |= {turn for s in self._phase.reductions if (turn := self._turn(s)) is not None}
        before: list[Line] = []
        for number in sorted({*turns, *elements}):
            loop = self._columns()
            made = (self._statement(s, loop) for s, turn in zip(body, turns, strict=True) if turn == number)
            totals = [ends for ends in made if ends is not None]
            before += self._drained()
            loop.lines += [self._reduction(s, loop) for s in self._phase.reductions if self._turn(s) == number]
            if number in elements:
                begun, ended = (begun for begun, _ in totals), (ended for _, ended in totals)
                lines = (*loop.loads, *loop.lines, *map(Line, loop.stores))
                yield ColumnsView((*before, *begun), lines, tuple(ended))
                before = []
        self._row.lines = [*before, *self._row.lines]

    @property
    def _across(self) -> str:
        return self._units.length(self._phase.span[1])

    def _columns(self) -> Loop:
        index = {**INDEX, None: f"{INDEX[0]}*{self._across} + {INDEX[1]}"}
        outside = frozenset({"0", INDEX[0]})
        return _InRow(self._units, self._row, index=index, outside=outside, stored=self._row.stored)

    @property
    def _program(self) -> Program:
        return self._units.program

    def _statement(self, statement: Statement, loop: Loop) -> tuple[Line, Line] | None:
        """Prints a statement where it belongs; of a total, where it begins, and where all lanes know it."""
        if self._of_row(statement):
            self._row.compute(statement)
            return None
        if not self._phase.of_row(statement):
            loop.compute(statement)
            return None
        op = statement.op
        name, kind = self._units.name(op), kind_of(op)
        self._units.registers[op.out] = name
        self._row.stores += self._units.store(statement, INDEX[0])
        loop.lines += [Line(grown(kind, name, value)) for value in self._values(statement, loop)]
        begun = Line(f"real {name} = {START[kind]};", self._units.equation(op))
        return begun, Line(f"{name} = row_{kind}({name}, lanes);")

    def _values(self, statement: Statement, loop: Loop) -> Iterator[str]:
        """What a total grows by at a column."""
        op = statement.op
        if isinstance(op, Reduce):
            yield loop.operand(statement, op.arg)
        for matrix, vector in op.terms if isinstance(op, Contraction) else ():
            yield f"{loop.operand(statement, matrix.of)} * {loop.operand(statement, vector, INDEX[1])}"

    def _reduction(self, statement: Statement, loop: Loop) -> Line:
        self._sums.append(self._rows.reduction(statement, loop))
        return self._sums[-1][1]

    def _turn(self, statement: Statement) -> int | None:
        """The loop over columns that a reduction over all units belongs to; None: it is one over rows."""
        op = statement.op
        assert isinstance(op, Reduce)
        if len(self._program.graph.shape(op.arg.signal)) < len(self._phase.span):
            return None
        pairs = zip(self._phase.body, self._phase.turns, strict=True)
        return next((turn for s, turn in pairs if s.op.out == op.arg.signal and op.arg not in statement.reads), 0)

    def _of_row(self, statement: Statement) -> bool:
        """Whether all lanes of a row compute a statement."""
        return self._phase.of_row(statement) and isinstance(statement.op, Pointwise)

    def _drained(self) -> Iterator[Line]:
        yield from self._row.lines
        self._row.lines = []

    @staticmethod
    def _alone(line: Line) -> Line:
        return Line(f"if (lane == 0) {line.code}", line.comment)


def kind_of(op: Op) -> str:
    """How a step puts numbers together."""
    return op.kind if isinstance(op, Reduce) else "sum"
