"""A program as the body of one emitted function."""

from __future__ import annotations

from collections.abc import Iterable

from symcell.cell import Shape
from symcell.emit.python import memory
from symcell.emit.python.blocks import Block, FunctionView, RegionView, grouped
from symcell.emit.python.dialect import Dialect
from symcell.emit.python.edges import after, before, enter, leave, returned
from symcell.emit.python.scope import Module, Scope
from symcell.emit.python.stages import block
from symcell.emit.python.text import code_lines, comment_lines, literal
from symcell.emit.python.views import RegionViews
from symcell.program.model import Buffer, Program, Ref, Region


def sweep(program: Program, module: Module, dialect: Dialect) -> FunctionView:
    """``forward`` or ``backward``."""
    scope = Scope(module, program, program.role)
    enters = tuple(enter(found, scope) for found in program.enters)
    regions = [_region(region, RegionViews(scope, region.kind), dialect) for region in program.regions]
    views = RegionViews(scope, "sequence")
    left = tuple((literal(found.state), returned(found, leave(found.state, views), scope)) for found in program.leaves)
    results = tuple((literal(name), _sequence(name, ref, views)) for name, ref in program.results.items())
    regions.append(RegionView("", (), grouped([Block((), _fitted(views.flush(), 4))])))
    if program.role == "forward":
        module.tape = {name: scope.variable(name) for name in program.tape}
    handed = module.tape.values() if program.role == "forward" else ()
    tape = tuple((literal(variable), variable) for variable in handed)
    return _view(scope, enters, regions, left, results, tape)


def single(program: Program, module: Module, dialect: Dialect) -> FunctionView:
    """``step``: the forward program for one step, without packing and tape. What was computed in earlier steps is read
    where the caller passes it."""
    scope = Scope(module, program, "step")
    views = RegionViews(scope, "single")
    blocks = [fitted(block(stage, views, dialect), 4) for region in program.regions for stage in region.stages]
    left = tuple((literal(found.state), after(found, scope)) for found in program.leaves)
    results = tuple((literal(name), _step(name, ref, views)) for name, ref in program.results.items() if ref)
    blocks.append(Block((), _fitted(views.flush(), 4)))
    starts = tuple(line for found in program.enters for line in before(found, scope))
    return _view(scope, starts, [RegionView("", (), grouped(blocks))], left, results, ())


def _region(region: Region, views: RegionViews, dialect: Dialect) -> RegionView:
    blocks: list[Block] = []
    branch = views
    for k, stage in enumerate(region.stages):
        only = k in region.inputs_only
        if only and k - 1 not in region.inputs_only:
            branch = views.branch()
        found = block(stage, branch if only else views, dialect)
        blocks.append(fitted(found, 4 + 4 * (region.kind == "steps") + 4 * only, only))
    if region.kind == "sequence":
        return RegionView("", (), grouped(blocks))
    head = {
        (True, 1): "for t, n in enumerate(pack.counts):",
        (True, -1): "for t, n in reversed(list(enumerate(pack.counts))):",
        (False, 1): "for t in range(len(pack.counts)):",
        (False, -1): "for t in reversed(range(len(pack.counts))):",
    }[views.scope.counted or bool(views.narrowed), region.direction]
    return RegionView(head, _fitted(views.narrowed, 12), grouped(blocks))


def fitted(found: Block, indent: int, inputs_only: bool = False) -> Block:
    """A block whose lines are short enough to stand ``indent`` characters in."""
    texts = (line for text in found.comments for line in comment_lines(text, indent))
    return Block(tuple(texts), _fitted(found.lines, indent), inputs_only)


def _fitted(lines: Iterable[str], indent: int) -> tuple[str, ...]:
    return tuple(short for line in lines for short in code_lines(line, indent))


def _shape(shape: Shape, scope: Scope) -> str:
    return ", ".join(scope.size(size) for size in shape)


def _sequence(name: str, ref: Ref | None, views: RegionViews) -> str:
    """A result as the caller gets it: (T, B, *shape)."""
    scope = views.scope
    shape = scope.module.plan.cell.shape_of(name)
    if ref is None:
        return f"{scope.xp}.zeros((steps, batch, {_shape(shape, scope)}), dtype)"
    rows = views.rows(ref)
    return f"pack.sequence({rows})" + (f".reshape(steps, batch, {_shape(shape, scope)})" if len(shape) == 2 else "")


def _step(name: str, ref: Ref, views: RegionViews) -> str:
    """The output as ``step`` returns it: (B, *shape), an array of its own."""
    scope = views.scope
    shape = scope.module.plan.cell.shape_of(name)
    code = views.rows(ref, [name])
    if len(shape) == 2:
        code += f".reshape(batch, {_shape(shape, scope)})"
    returned = {buffer for found in scope.program.leaves for buffer, _ in found.buffers}
    own = ref.buffer not in returned and ref.count == len(scope.program.buffers[ref.buffer].members)
    return code if own else f"{code}.copy()"


def _width(buffer: Buffer, scope: Scope) -> str:
    """The columns of an input's rows, where the function has to know."""
    matrix = len(buffer.members[0].shape) == 2
    needed = {"forward": buffer.depth > 0, "backward": False, "step": matrix}[scope.kind]
    return scope.size(buffer.width) if needed else ""


def _view(
    scope: Scope,
    enters: tuple[str, ...],
    regions: list[RegionView],
    left: tuple[tuple[str, str], ...],
    results: tuple[tuple[str, str], ...],
    tape: tuple[tuple[str, str], ...],
) -> FunctionView:
    used = [b for name, b in scope.program.buffers.items() if name in scope.used]
    inputs = tuple(
        (scope.variable(b.name), literal(b.name), _width(b, scope), b.depth)
        for b in used if b.origin in ("input", "seed")
    )  # fmt: skip
    taped = tuple((scope.variable(b.name), literal(scope.module.tape[b.name])) for b in used if b.origin == "tape")
    made = memory.lines(scope)
    return FunctionView(
        sizes=tuple((scope.sizes[s], literal(s)) for s in scope.module.plan.cell.sizes if s in scope.sizes),
        slots=tuple((v, f"{depth}, {shift}, {whole}") for (depth, whole, shift), v in sorted(scope.slots.items())),
        inputs=inputs, taped=taped, memory=_fitted(made, 4), enters=_fitted(enters, 4),
        arrays=_fitted(scope.arrays, 4),
        setup=_fitted(scope.setup, 4), regions=tuple(regions), left=left, results=results, tape=tape,
    )  # fmt: skip
