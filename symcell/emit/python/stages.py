"""A program's stages as lines of Python: products, sums and copies here, kernels by the target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from symcell.emit.comments import equation, numbered
from symcell.emit.python.blocks import Block
from symcell.emit.python.edges import leave
from symcell.emit.python.fixed import cut, lines as fixed_lines
from symcell.emit.python.scope import Scope, joined
from symcell.emit.python.views import RegionViews
from symcell.graph import Block as Columns, Contraction, Outer, Total
from symcell.program.model import Copy, EdgeSum, Fixed, Gemm, Gradient, Kernel, Ref, Stage, Sums
from symcell.program.storage import rounds, settled
from symcell.symbolic.nodes import At

KernelLines = Callable[[Kernel, RegionViews], Block]
"""Prints the lines that run a kernel on the rows of the region that the views belong to. Arrays are asked of the views;
:meth:`RegionViews.flush`, their definitions, stands in front of the lines."""


def block(stage: Stage, views: RegionViews, kernel: KernelLines) -> Block:
    """The lines of one stage."""
    scope = views.scope
    match stage:
        case Kernel():
            return kernel(stage, views)
        case Gemm():
            return _gemm(stage, views)
        case Gradient():
            return _gradient(stage, views)
        case Sums():
            return _sums(stage, views)
        case Fixed():
            return Block((equation(scope.program, stage.op, fixed=True),), tuple(_fixed(stage, scope)))
        case Copy():
            return _copy(stage, views)
        case EdgeSum():
            return _edge_sum(stage, views)


def _fixed(stage: Fixed, scope: Scope) -> Iterator[str]:
    yield from fixed_lines(scope, stage)
    if scope.program.profile.wide and scope.program.buffers[stage.out.buffer].storage == "stored":
        yield scope.round(scope.fixed(stage.out))


# products


def matrix(scope: Scope, ref: Ref, columns: Columns | None, transposed: bool) -> str:
    """Stacked matrices, cut to some of their columns, as rows are multiplied by them: a variable."""
    if columns is None and transposed:
        return scope.fixed(ref)
    hint = joined([m.name for m in scope.program.window(ref)]) + ("_part" if columns else "")
    code = scope.fixed_code(ref) + cut(scope, columns) + ("" if transposed else ".T")
    return scope.define(("matrix", ref, columns, transposed), hint + ("" if transposed else "_T"), code)


def _gemm(stage: Gemm, views: RegionViews) -> Block:
    scope = views.scope
    outs = [op.out for op in stage.ops]
    first = stage.ops[0]
    assert isinstance(first, Contraction)
    operands = [vector for _, vector in first.terms]
    if scope.program.buffers[stage.left.buffer].extent == "fixed":
        left = f"{scope.fixed(stage.left)}[None, :]"
    else:
        lag = operands[0].lag if isinstance(operands[0], At) else 0
        left = views.rows(stage.left, [operands[0].signal] if stage.left.count == 1 else (), lag)
    right = matrix(scope, stage.matrix, stage.columns, stage.transposed)
    out = views.rows(stage.out, outs if len(outs) == stage.out.count else ())
    matmul = scope.module.products.matmul(scope, rounds(scope.program, views.kind == "sequence", stage.left))
    product = f"{matmul}({left}, {right}, out="
    if stage.accumulate and stage.work is not None:
        work = views.rows(stage.work)
        lines = [f"{product}{work})", f"{scope.xp}.add({out}, {work}, out={out})"]
    else:
        lines = [f"{product}{out})"]
    if scope.program.profile.wide and settled(scope.program, stage.out):
        lines += rounding(scope, [scope.round(out)])
    sign = " += " if stage.accumulate else " = "
    texts = tuple(equation(scope.program, op).replace(" = ", sign, 1) for op in stage.ops)
    return Block(texts, (*views.flush(), *lines))


def _gradient(stage: Gradient, views: RegionViews) -> Block:
    scope = views.scope
    made = scope.program.graph.producer()
    found = [made[op.arg.signal] for op in stage.ops if isinstance(op, Total) and isinstance(op.arg, At)]
    outers = [op for op in found if isinstance(op, Outer)]
    first = outers[0]
    left = views.rows(stage.left, [o.left.signal for o in outers], _lag(first.left))
    right = views.rows(stage.right, [first.right.signal], _lag(first.right))
    out = scope.fixed(stage.out, [op.out for op in stage.ops])
    # a total of an outer product, each
    matmul = scope.module.products.matmul(scope, rounds(scope.program, True, stage.left))
    if rounds(scope.program, True, stage.right):
        right = scope.module.products.rounded(right, scope)
    pairs = zip(stage.ops, outers, strict=True)
    texts = tuple(numbered(scope.program, op, f"{op.out} = sum of outer({o.left}, {o.right})") for op, o in pairs)
    return Block(texts, (*views.flush(), f"{matmul}({left}.T, {right}, out={out})"))


def rounding(scope: Scope, lines: Iterable[str]) -> list[str]:
    """Lines that round, where parameters are of 16 bits."""
    narrow = scope.define("narrow", "narrow", "dtype.itemsize == 2")
    return [f"if {narrow}:", *(f"    {line}" for line in lines)]


def _lag(operand: object) -> int:
    return operand.lag if isinstance(operand, At) else 0


def _sums(stage: Sums, views: RegionViews) -> Block:
    scope = views.scope
    totals = [op for op in stage.ops if isinstance(op, Total)]
    args = [op.arg for op in totals if isinstance(op.arg, At)]
    value = views.rows(stage.arg, [a.signal for a in args] if len(args) == stage.arg.count else (), _lag(args[0]))
    out = scope.fixed(stage.out, [op.out for op in stage.ops])
    texts = tuple(numbered(scope.program, op, f"{op.out} = sum of {op.arg}") for op in totals)
    matmul = scope.module.products.matmul(scope, False)
    if rounds(scope.program, True, stage.arg):
        value = scope.module.products.rounded(value, scope)
    product = f"{matmul}({scope.ones(views.count)}, {value}, out={out}.reshape(1, -1))"
    return Block(texts, (*views.flush(), product))


# copies, and what leaves at the edge


def _copy(stage: Copy, views: RegionViews) -> Block:
    scope = views.scope
    target = scope.program.buffers[stage.out.buffer]
    sign = "+=" if stage.add else "="
    if target.extent == "fixed":
        source, out = scope.fixed(stage.source), scope.fixed(stage.out)
        shape = scope.program.window(stage.source)[0].shape
        same = shape == scope.program.window(stage.out)[0].shape
        return Block((), (f"{out}[...] {sign} {source if same else f'{source}.reshape({out}.shape)'}",))
    source = views.rows(stage.source)
    if views.kind != "sequence" or stage.out.shift == target.depth:
        out = views.rows(stage.out)
        return Block((), (*views.flush(), f"{out}[...] {sign} {source}"))
    array = scope.variable(stage.out.buffer)
    if stage.out.count < len(target.members):
        start = target.offset(stage.out.first)
        stop = target.offset(stage.out.first + stage.out.count)
        array += f"[:, {scope.size(start)} : {scope.size(stop)}]"
    return Block((), (*views.flush(), f"{array}[{views.past(target, stage.out.shift)}] {sign} {source}"))


def _edge_sum(stage: EdgeSum, views: RegionViews) -> Block:
    scope = views.scope
    out = scope.fixed(stage.out, [stage.op.out])
    leaving = leave(stage.state, views)
    scope.module.features.add("given")
    what = f"{stage.op.out} = sum of what reaches {stage.state} before the first step, unless that was given"
    text = numbered(scope.program, stage.op, what)
    total = f'{out}[...] = 0 if "{stage.state}" in tape.given else {leaving}.sum(axis=(0, 1)).reshape({out}.shape)'
    return Block((text,), (*views.flush(), total))
