"""Widths and shapes of a program's references agree with the equations that they stand for."""

from __future__ import annotations

from collections.abc import Iterator

from symcell.cell import ONE, Shape, Size, units
from symcell.program.access import title
from symcell.program.model import Copy, EdgeSum, Fixed, Gemm, Gradient, Kernel, Phase, Program, Ref, Statement, Sums


def shapes_agree(program: Program) -> Iterator[str]:
    for region, stage in program.stages():
        match stage:
            case Kernel():
                found = _kernel(program, stage)
            case Gemm():
                found = _gemm(program, stage)
            case Gradient():
                found = _gradient(program, stage)
            case Sums():
                found = _widths(program, stage.out, stage.arg)
            case Copy():
                found = _widths(program, stage.out, stage.source)
            case Fixed():
                found = _fixed(program, stage)
            case EdgeSum():
                found = iter(())
        yield from (f"{region.kind}, {title(stage)}: {problem}" for problem in found)


def widths(program: Program, ref: Ref) -> list[Size]:
    return [member.width for member in program.window(ref)]


def total(program: Program, ref: Ref) -> Size:
    return sum(widths(program, ref), Size())


def _widths(program: Program, out: Ref, source: Ref) -> Iterator[str]:
    if widths(program, out) != widths(program, source):
        yield f"{_text(program, source)} into {_text(program, out)}"


def _text(program: Program, ref: Ref) -> str:
    return f"{ref.buffer} of {', '.join(map(str, widths(program, ref)))}"


def _gemm(program: Program, stage: Gemm) -> Iterator[str]:
    shapes = [member.shape for member in program.window(stage.matrix)]
    if any(len(shape) != 2 or shape[1] != shapes[0][1] for shape in shapes):
        yield f"{stage.matrix.buffer} has no matrices that stack there"
        return
    rows = [shape[0] for shape in shapes]
    columns = [shapes[0][1] if stage.columns is None else stage.columns.width]
    left, out = (rows, columns) if stage.transposed else (columns, rows)
    for ref, wanted in ((stage.left, left), (stage.out, out)):
        if widths(program, ref) != wanted:
            yield f"{_text(program, ref)} where the product has {', '.join(map(str, wanted))}"
    if stage.work is not None and total(program, stage.work) != total(program, stage.out):
        yield f"room {_text(program, stage.work)} for {_text(program, stage.out)}"


def _gradient(program: Program, stage: Gradient) -> Iterator[str]:
    columns = total(program, stage.right)
    wanted = [rows * columns for rows in widths(program, stage.left)]
    if widths(program, stage.out) != wanted:
        yield f"{_text(program, stage.out)} where the product has {', '.join(map(str, wanted))}"


def _fixed(program: Program, stage: Fixed) -> Iterator[str]:
    yield from _part(program, stage, 1, program.graph.shape(stage.op.out))


def _kernel(program: Program, kernel: Kernel) -> Iterator[str]:
    for phase in kernel.phases:
        for statement in (*phase.scalars, *phase.body, *phase.reductions):
            for op in statement.ops:
                if program.graph.shape(op.out) != statement.shape:
                    yield f"{op.out} has not the statement's shape"
            yield from _part(program, statement, len(statement.ops), statement.shape)
        yield from _places_in_phase(phase)


def _places_in_phase(phase: Phase) -> Iterator[str]:
    if phase.turns and len(phase.turns) != len(phase.body):
        yield f"{len(phase.turns)} turns of {len(phase.body)} statements"
    for statement in phase.body:
        if units(statement.shape) != units(phase.span[:1] if phase.of_row(statement) else phase.span):
            yield f"{statement.op.out} has not the units of its phase"
    for statement in (*phase.scalars, *phase.reductions):
        if units(statement.shape) != ONE:
            yield f"{statement.op.out} is no scalar"


def _part(program: Program, part: Statement | Fixed, count: int, shape: Shape) -> Iterator[str]:
    wide = units(shape)
    if part.out is not None and widths(program, part.out) != [wide] * count:
        yield f"{_text(program, part.out)} for {count} results of {wide}"
    for operand, ref in part.reads.items():
        one = units(program.graph.shape(operand.signal))
        if ref.count not in (1, count) or widths(program, ref) != [one] * ref.count:
            yield f"{operand} of {one} is read from {_text(program, ref)}"
    for room in (*part.work, *([part.mask] if part.mask is not None else [])):
        if total(program, room) != wide * Size.of(count):
            yield f"room {_text(program, room)} for {count} results of {wide}"
