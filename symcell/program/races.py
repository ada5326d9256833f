"""No stage reads what it overwrites elsewhere, and no thread of a kernel what another may not have written yet.

Within a kernel every unit of a row has a thread of its own. A statement of a body reads *its own unit* where an operand
has the result's shape and is read unit by unit; everything else (a scalar from memory, a vector along an axis, the
operands of a reduction or contraction) may be another thread's. Where a warp has a row of a matrix, all that is laid
along its rows is its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from symcell.graph import Operand, Pointwise, lag_of
from symcell.program.access import reads, title, writes
from symcell.program.call_rules import cells
from symcell.program.model import Copy, Gemm, Gradient, Kernel, Phase, Program, Stage, Statement, Sums

Cell = tuple[str, int, int]


def no_races(program: Program) -> Iterator[str]:
    for region, stage in program.stages():
        where = f"{region.kind}, {title(stage)}"
        if isinstance(stage, Kernel):
            yield from (f"{where}: {p}" for p in _registers(stage))
            if program.profile.registers:
                yield from (f"{where}: {p}" for p in _memory(program, stage))
        elif isinstance(stage, Gemm | Gradient | Sums | Copy):
            yield from (f"{where}: {p}" for p in _in_place(stage))
        if region.kind == "sequence":
            yield from (f"{where}: {p}" for p in _across_steps(stage))


def _in_place(stage: Gemm | Gradient | Sums | Copy) -> Iterator[str]:
    sources = {Gemm: ("left", "matrix"), Gradient: ("left", "right"), Sums: ("arg",), Copy: ("source",)}[type(stage)]
    out = set(cells(stage.out))
    for source in sources:
        ref = getattr(stage, source)
        if out & set(cells(ref)):
            yield f"it writes to {ref.buffer} while it reads there"


def _across_steps(stage: Stage) -> Iterator[str]:
    """Over a whole sequence all steps run at once: what is written must not be read as another step's."""
    out = {(ref.buffer, k): ref.shift for ref in writes(stage) for k in range(ref.first, ref.first + ref.count)}
    for ref in reads(stage):
        for k in range(ref.first, ref.first + ref.count):
            if out.get((ref.buffer, k), ref.shift) != ref.shift:
                yield f"{ref.buffer} is read at one step while it is written at another"


def _registers(kernel: Kernel) -> Iterator[str]:
    """Operands without a place in memory: made by the same thread, or a scalar that every thread has."""
    if not kernel.rowwise and len(kernel.phases) > 1:
        yield "units that do not meet cannot have phases"
    everywhere: set[str] = set()
    for phase in kernel.phases:
        mine: set[str] = set()
        for statement in phase.scalars:
            yield from _found(statement, everywhere, set())
            everywhere |= {op.out for op in statement.ops}
        for number, statement in enumerate(phase.body):
            yield from _found(statement, everywhere, mine & _at_hand(phase, number), _of_rows(phase))
            mine |= {op.out for op in statement.ops}
        for statement in phase.reductions:
            yield from _found(statement, everywhere, mine)
        everywhere |= {op.out for s in phase.reductions for op in s.ops}


def _at_hand(phase: Phase, number: int) -> set[str]:
    """What the thread of a unit has in registers when it comes to a statement: in rows of a matrix, elements only as
    long as the same loop over columns."""
    turns = phase.turns or (0,) * len(phase.body)
    pairs = zip(phase.body, turns, strict=True)
    return {s.op.out for s, turn in pairs if turn == turns[number] or phase.of_row(s)}


def _of_rows(phase: Phase) -> set[str]:
    """Values with one unit a row, which are known to all threads that have the row."""
    return {s.op.out for s in phase.body if phase.of_row(s)}


def _found(
    statement: Statement, everywhere: set[str], mine: set[str], of_rows: Collection[str] = ()
) -> Iterator[str]:
    for operand in statement.op.operands():
        if operand in statement.reads:
            continue
        if lag_of(operand) or operand.signal not in everywhere | mine:
            yield f"{statement.op.out} reads {operand}, which is in no register of its thread"
        elif operand.signal in mine and operand.axis not in ((None, 0) if operand.signal in of_rows else (None,)):
            yield f"{statement.op.out} reads {operand} from registers of other threads"


@dataclass(frozen=True)
class _Touch:
    """A place in memory that a statement of a kernel reads or writes. ``span``: the units whose threads do, each its
    own; None: any thread."""

    order: int
    phase: int
    span: object
    what: str


def _memory(program: Program, kernel: Kernel) -> Iterator[str]:
    stored: dict[Cell, list[_Touch]] = {}
    loaded: dict[Cell, list[_Touch]] = {}
    order = 0
    for number, phase in enumerate(kernel.phases):
        for statement in (*phase.scalars, *phase.body, *phase.reductions):
            order += 1
            for operand, ref in statement.reads.items():
                touch = _Touch(order, number, _own(program, phase, number, statement, operand), str(operand))
                for cell in cells(ref):
                    loaded.setdefault(cell, []).append(touch)
            for cell in cells(statement.out) if statement.out is not None else ():
                span = _stored_by(phase, number, statement)
                stored.setdefault(cell, []).append(_Touch(order, number, span, statement.op.out))
    for cell, stores in stored.items():
        for store in stores:
            for load in loaded.get(cell, ()):
                if not _ordered(kernel, store, load):
                    yield f"{load.what} is read in {cell[0]}, where another unit writes {store.what}"


def _stored_by(phase: Phase, number: int, statement: Statement) -> object:
    """The units that store a result, each its own. Those of rows of a matrix belong to other threads than those of the
    same shape elsewhere, and to several ones where there is one for each row."""
    if statement not in phase.body:
        return None
    return (phase.span, "row", number) if phase.of_row(statement) else (phase.span, "rows" if phase.turns else "")


def _own(program: Program, phase: Phase, number: int, statement: Statement, operand: Operand) -> object:
    """The units of which each reads its own."""
    if statement in (*phase.scalars, *phase.reductions):
        return None
    shape = program.graph.shape(operand.signal)
    if phase.turns:
        along = shape == phase.span[:1] and isinstance(statement.op, Pointwise)
        of_row = along and operand.axis == (None if phase.of_row(statement) else 0)
        return (phase.span, "row", number) if of_row else (phase.span, "rows") if shape == phase.span else None
    own = isinstance(statement.op, Pointwise) and operand.axis is None and shape == phase.span
    return (phase.span, "") if own else None


def _ordered(kernel: Kernel, store: _Touch, load: _Touch) -> bool:
    if store.span is not None and store.span == load.span:
        return True
    first, last = sorted((store.phase, load.phase))
    return any(phase.barrier for phase in kernel.phases[first + 1 : last + 1])
