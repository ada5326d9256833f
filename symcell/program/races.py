"""No stage reads what it overwrites elsewhere, and no thread of a kernel what another may not have written yet.

Within a kernel every unit of a row has a thread of its own. A statement of a body reads *its own unit* where an operand
has the result's shape and is read unit by unit; everything else (a scalar from memory, a vector along an axis, the
operands of a reduction or contraction) may be another thread's.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        for statement in phase.body:
            yield from _found(statement, everywhere, mine)
            mine |= {op.out for op in statement.ops}
        for statement in phase.reductions:
            yield from _found(statement, everywhere, mine)
        everywhere |= {op.out for s in phase.reductions for op in s.ops}


def _found(statement: Statement, everywhere: set[str], mine: set[str]) -> Iterator[str]:
    for operand in statement.op.operands():
        if operand in statement.reads:
            continue
        if lag_of(operand) or operand.signal not in everywhere | mine:
            yield f"{statement.op.out} reads {operand}, which is in no register of its thread"
        elif operand.signal in mine and operand.axis is not None:
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
                touch = _Touch(order, number, _own(program, phase, statement, operand), str(operand))
                for cell in cells(ref):
                    loaded.setdefault(cell, []).append(touch)
            for cell in cells(statement.out) if statement.out is not None else ():
                span = phase.span if statement in phase.body else None
                stored.setdefault(cell, []).append(_Touch(order, number, span, statement.op.out))
    for cell, stores in stored.items():
        for store in stores:
            for load in loaded.get(cell, ()):
                if not _ordered(kernel, store, load):
                    yield f"{load.what} is read in {cell[0]}, where another unit writes {store.what}"


def _own(program: Program, phase: Phase, statement: Statement, operand: Operand) -> object:
    """The units of which each reads its own."""
    unitwise = isinstance(statement.op, Pointwise) and statement in phase.body and operand.axis is None
    return phase.span if unitwise and program.graph.shape(operand.signal) == phase.span else None


def _ordered(kernel: Kernel, store: _Touch, load: _Touch) -> bool:
    if store.span is not None and store.span == load.span:
        return True
    first, last = sorted((store.phase, load.phase))
    return any(phase.barrier for phase in kernel.phases[first + 1 : last + 1])
