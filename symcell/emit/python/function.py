"""A program as the body of one emitted function."""

from __future__ import annotations

from symcell.cell import Shape, units
from symcell.emit.python import memory
from symcell.emit.python.blocks import Block, FunctionView, RegionView, grouped
from symcell.emit.python.dialect import Dialect
from symcell.emit.python.edges import after, before, enter, kept, leave, read_before, returned
from symcell.emit.python.regions import fitted_lines
from symcell.emit.python.scope import Module, Scope
from symcell.emit.python.text import literal
from symcell.emit.python.views import RegionViews
from symcell.program.model import Buffer, Program, Ref


def sweep(program: Program, module: Module, dialect: Dialect) -> FunctionView:
    """A function that runs a program over whole sequences."""
    scope = Scope(module, program, program.role)
    enters = tuple(enter(found, scope) for found in program.enters)
    regions = dialect.sweep(scope)
    views = RegionViews(scope, "sequence")
    left = tuple((literal(found.state), returned(found, leave(found.state, views), scope)) for found in program.leaves)
    results = tuple((literal(name), _rows(name, ref, views)) for name, ref in program.results.items())
    regions.append(RegionView("", (), grouped([Block((), fitted_lines(views.flush(), 4))])))
    if program.ahead:
        module.tape = {name: scope.variable(name) for name in program.tape}
    handed = module.tape.items() if program.ahead else ()
    pairs = (f"{literal(v)}: {_converted(v, program.buffers[name], scope, 'dtype')}," for name, v in handed)
    tape = fitted_lines(pairs, 12)
    shared = tuple(_shared(ref, program) for ref in program.results.values()) if program.ahead else ()
    return _view(scope, enters, regions, left, results, tape, shared)


def single(program: Program, module: Module, dialect: Dialect) -> FunctionView:
    """``step``: the forward program for one step, without packing and tape. What was computed in earlier steps is read
    where the caller passes it."""
    scope = Scope(module, program, "step")
    views = RegionViews(scope, "single")
    blocks = dialect.single(views)
    left = tuple((literal(found.state), after(found, scope)) for found in program.leaves)
    results = tuple((literal(name), _step(name, ref, views)) for name, ref in program.results.items() if ref)
    blocks.append(Block((), fitted_lines(views.flush(), scope.indent)))
    states = read_before(scope)
    lines = tuple(before(found, scope) for found in states)
    places = tuple(kept(found, scope) for found in states) if scope.keeps else ()
    return _view(scope, lines, [RegionView("", (), grouped(blocks))], left, results, (), (), places)


def _shape(shape: Shape, scope: Scope) -> str:
    return ", ".join(scope.size(size) for size in shape)


def _rows(name: str, ref: Ref | None, views: RegionViews) -> str:
    """A result as rows: (rows, columns)."""
    if ref is not None:
        return views.rows(ref)
    scope = views.scope
    return f"{scope.xp}.zeros((pack.size, {scope.size(units(scope.module.plan.cell.shape_of(name)))}), dtype)"


def _shared(ref: Ref | None, program: Program) -> str:
    """Whether the rows of an output belong to the tape or to the caller, who may write to y, as code."""
    if ref is None or program.buffers[ref.buffer].origin != "own":
        return "True"
    return str(ref.buffer in program.tape and "keep_tape")


def _converted(array: str, buffer: Buffer, scope: Scope, kind: str = "") -> str:
    """A tape's array in a type, or that which is computed in, as code; where sweeps work on copies, what is stored
    changes its type on the tape."""
    wanted = scope.program.profile.wide and buffer.storage == "stored"
    return f"_as({array}, {kind or scope.real})" if wanted else array


def _step(name: str, ref: Ref, views: RegionViews) -> str:
    """The output as ``step`` returns it: (B, *shape), an array of its own."""
    scope = views.scope
    shape = scope.module.plan.cell.shape_of(name)
    code = views.rows(ref, [name])
    if len(shape) == 2:
        code += f".reshape(batch, {_shape(shape, scope)})"
    returned = {buffer for found in scope.program.leaves for buffer, _ in found.buffers}
    own = not scope.keeps and ref.buffer not in returned and ref.count == len(scope.program.buffers[ref.buffer].members)
    return code if own else f"{code}.copy()"


def _width(buffer: Buffer, scope: Scope) -> str:
    """The columns of an input's rows, where the function has to know."""
    matrix = len(buffer.members[0].shape) == 2
    ahead = scope.program.ahead and buffer.depth > 0
    needed = matrix or scope.keeps if scope.kind == "step" else ahead
    return scope.size(buffer.width) if needed else ""


def _view(
    scope: Scope,
    enters: tuple[str, ...],
    regions: list[RegionView],
    left: tuple[tuple[str, str], ...],
    results: tuple[tuple[str, str], ...],
    tape: tuple[str, ...],
    shared: tuple[str, ...],
    kept: tuple[tuple[str, str, str], ...] = (),
) -> FunctionView:
    used = [b for name, b in scope.program.buffers.items() if name in scope.used]
    inputs = tuple(
        (scope.variable(b.name), literal(b.name), _width(b, scope), b.depth)
        for b in used if b.origin in ("input", "seed")
    )  # fmt: skip
    places = [(b, f"tape.arrays[{literal(scope.module.tape[b.name])}]") for b in used if b.origin == "tape"]
    taken = (f"{scope.variable(b.name)} = {_converted(place, b, scope)}" for b, place in places)
    taped = fitted_lines(taken, 4)
    made = memory.lines(scope)
    return FunctionView(
        sizes=tuple((scope.sizes[s], literal(s)) for s in scope.module.plan.cell.sizes if s in scope.sizes),
        slots=tuple((v, f"{depth}, {shift}, {whole}") for (depth, whole, shift), v in sorted(scope.slots.items())),
        inputs=inputs, taped=taped, memory=fitted_lines(made, 4), enters=fitted_lines(enters, 4), kept=kept,
        arrays=fitted_lines(scope.arrays, 4),
        setup=fitted_lines(scope.setup, 4), regions=tuple(regions), left=left, results=results, shared=shared,
        tape=tape, computes=scope.computes,
    )  # fmt: skip
