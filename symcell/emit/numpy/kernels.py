"""A kernel as NumPy calls: one statement, computed over whole arrays."""

from __future__ import annotations

from dataclasses import dataclass

from symcell.cell import Shape
from symcell.emit.comments import equation
from symcell.emit.python import ufuncs
from symcell.emit.python.blocks import Block, RegionView
from symcell.emit.python.regions import by_stages, one_step
from symcell.emit.python.scope import Scope
from symcell.emit.python.stages import rounding
from symcell.emit.python.views import RegionViews
from symcell.graph import Contraction, Operand, Pointwise, Reduce
from symcell.program.model import Arg, Kernel, Mask, Out, Ref, Statement, Temp
from symcell.program.storage import side_by_side
from symcell.symbolic.nodes import At


@dataclass(frozen=True)
class Numpy:
    """How this target runs kernels."""

    name: str = "numpy"
    xp: str = "np"
    keeps: bool = True

    def sweep(self, scope: Scope) -> list[RegionView]:
        return by_stages(scope, self.kernel)

    def single(self, views: RegionViews) -> list[Block]:
        return one_step(views, self.kernel)

    def kernel(self, kernel: Kernel, views: RegionViews) -> Block:
        (statement,) = kernel.statements()
        match statement.op:
            case Pointwise():
                lines = _pointwise(statement, views)
            case Reduce():
                lines = _reduce(statement, statement.op, views)
            case Contraction():
                lines = _contraction(statement, statement.op, views)
            case _:
                raise NotImplementedError(str(statement.op))
        texts = tuple(equation(views.scope.program, op) for op in statement.ops)
        if kernel.rounds:
            inside = views.branch()
            calls = [views.scope.round(inside.rows(ref)) for ref in side_by_side(kernel.rounds)]
            lines += rounding(views.scope, (*inside.flush(), *calls))
        return Block(texts, (*views.flush(), *lines))

    def matmul(self, scope: Scope, rounds: bool) -> str:
        if not rounds:
            return f"{self.xp}.matmul"
        scope.module.features.update(("products", "rounded"))
        return scope.define("matmul", "matmul", "_products(dtype)")

    def rounded(self, array: str, scope: Scope) -> str:
        scope.module.features.add("rounded")
        return f"_rounded({array}, dtype)"

    def view(self) -> None:
        return None


def _out(statement: Statement) -> Ref:
    assert statement.out is not None
    return statement.out


def _names(statement: Statement) -> list[str]:
    return [op.out for op in statement.ops]


def _pointwise(statement: Statement, views: RegionViews) -> list[str]:
    """Rows of numbers; where operands of other shapes are laid along its axes: rows of the result's shape."""
    window = views.scope.program.window
    laid = any(o.axis is not None or (ref.count > 1 and window(ref)[0].shape != statement.shape)
               for o, ref in statement.reads.items())  # fmt: skip
    dims = _dims(statement, views) if laid else None
    arrays: dict[Arg, str] = {}
    for operand, ref in statement.reads.items():
        arrays[operand] = _operand(operand, ref, statement, dims, views)
    rooms: dict[Arg, Ref] = {Temp(k): ref for k, ref in enumerate(statement.work)}
    if statement.mask is not None:
        rooms[Mask()] = statement.mask
    for place, ref in rooms.items():
        arrays[place] = views.rows(ref) if dims is None else views.shaped(ref, dims)
    out = _out(statement)
    arrays[Out()] = views.rows(out, _names(statement)) if dims is None else views.shaped(out, dims, _names(statement))
    return ufuncs.lines(views.scope, statement.calls, arrays)


def _dims(statement: Statement, views: RegionViews) -> tuple[str, ...]:
    """The shape of a row of the result."""
    count = len(statement.ops)
    sizes = tuple(views.scope.size(size) for size in statement.shape)
    return (str(count), *sizes) if count > 1 else sizes


def _operand(operand: Operand, ref: Ref, statement: Statement, dims: tuple[str, ...] | None, views: RegionViews) -> str:
    scope = views.scope
    last = _last(operand, statement) if ref.count > 1 else None
    fixed = scope.program.buffers[ref.buffer].extent == "fixed"
    shape = scope.program.window(ref)[0].shape
    if dims is None:
        array = views.operand(operand, ref, last)
        # a row of numbers, like the rows it meets
        return f"{array}.reshape(-1)" if fixed and len(shape) == 2 else array
    laid = _laid(operand, shape, statement, ref.count, views)
    if not fixed:
        return views.shaped(ref, laid, views.names(operand, ref, last), operand.lag if isinstance(operand, At) else 0)
    return f"{scope.fixed(ref, views.names(operand, ref, last))}.reshape({', '.join(laid)})"


def _laid(operand: Operand, shape: Shape, statement: Statement, count: int, views: RegionViews) -> tuple[str, ...]:
    """The shape of a row of an operand, such that it broadcasts to the result's."""
    lead = (str(count),) if len(statement.ops) > 1 else ()
    sizes = [views.scope.size(size) for size in shape]
    if operand.axis == 0:
        return (*lead, sizes[0], "1")
    if operand.axis == 1:
        return (*lead, "1", sizes[0])
    return (*lead, *["1"] * (len(statement.shape) - len(sizes)), *sizes)


def _last(operand: Operand, statement: Statement) -> Operand | None:
    """What stands in the last equation where ``operand`` stands in the first."""
    first, last = statement.ops[0], statement.ops[-1]
    assert isinstance(first, Pointwise)
    assert isinstance(last, Pointwise)
    if operand in first.order and len(first.order) == len(last.order):
        return last.order[first.order.index(operand)]
    return None


def _reduce(statement: Statement, op: Reduce, views: RegionViews) -> list[str]:
    """Over all units of a row, or of each of a row's equations; or along an axis of a matrix."""
    ufunc = f"{views.scope.xp}.{'add' if op.kind == 'sum' else 'maximum'}.reduce"
    ref = statement.reads[op.arg]
    several = len(statement.ops) > 1
    if several and op.axis is not None:
        width = views.scope.size(views.scope.program.window(ref)[0].shape[1 - op.axis])
        out = views.shaped(_out(statement), (str(ref.count), width), _names(statement))
    else:
        out = views.rows(_out(statement), _names(statement))
    if op.axis is None and not several:
        return [f"{ufunc}({views.operand(op.arg, ref)}, axis=1, keepdims=True, out={out})"]
    member = views.scope.program.window(ref)[0]
    shape = (member.width,) if op.axis is None else member.shape
    dims = (*([str(ref.count)] if several else []), *(views.scope.size(size) for size in shape))
    names = [o.arg.signal for o in statement.ops if isinstance(o, Reduce)]
    argument = views.shaped(ref, dims, names, op.arg.lag if isinstance(op.arg, At) else 0)
    return [f"{ufunc}({argument}, axis={1 + several + (op.axis or 0)}, out={out})"]


def _matrix(operand: Operand, ref: Ref, views: RegionViews) -> str:
    """A matrix operand in its own shape: (rows of the sequence, rows, columns), or (rows, columns) where fixed."""
    if views.scope.program.buffers[ref.buffer].extent == "fixed":
        return views.operand(operand, ref)
    shape = views.scope.program.window(ref)[0].shape
    dims = tuple(views.scope.size(size) for size in shape)
    return views.shaped(ref, dims, [operand.signal], operand.lag if isinstance(operand, At) else 0)


def _contraction(statement: Statement, op: Contraction, views: RegionViews) -> list[str]:
    """Products of matrices with vectors, one of each a row."""
    xp = views.scope.xp
    ref = _out(statement)
    width = views.scope.size(statement.shape[0])
    out = views.shaped(ref, (width, "1"), _names(statement))
    lines: list[str] = []
    for matrix, vector in op.terms:
        left = _matrix(matrix.of, statement.reads[matrix.of], views)
        if matrix.transposed:
            fixed = views.scope.program.buffers[statement.reads[matrix.of].buffer].extent == "fixed"
            left += ".T" if fixed else ".transpose(0, 2, 1)"
        right = _column(vector, statement.reads[vector], views)
        if not lines:
            lines.append(f"{xp}.matmul({left}, {right}, out={out})")
            continue
        if statement.work:
            work = views.shaped(statement.work[0], (width, "1"))
            lines += [f"{xp}.matmul({left}, {right}, out={work})", f"{xp}.add({out}, {work}, out={out})"]
        else:
            lines.append(f"{xp}.add({out}, {xp}.matmul({left}, {right}), out={out})")
    return lines


def _column(vector: Operand, ref: Ref, views: RegionViews) -> str:
    if views.scope.program.buffers[ref.buffer].extent == "fixed":
        return f"{views.operand(vector, ref)}[:, None]"
    width = views.scope.size(views.scope.program.window(ref)[0].width)
    return views.shaped(ref, (width, "1"), [vector.signal], vector.lag if isinstance(vector, At) else 0)
