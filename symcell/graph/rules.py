"""The rules of a graph: what :meth:`symcell.graph.Graph.check` holds each to."""

from __future__ import annotations

from collections.abc import Iterator

from symcell.cell import Shape, is_one
from symcell.graph.kinds import (
    Block,
    Combine,
    Contraction,
    Edge,
    Entry,
    Exit,
    Op,
    Operand,
    Outer,
    Pointwise,
    Reduce,
    Total,
    lag_of,
    name_of,
)
from symcell.graph.steps import Steps
from symcell.symbolic.nodes import At, Param


def problems(graph: Steps) -> Iterator[str]:
    """What is wrong with a graph, each as a sentence that names the step."""
    known = {*graph.given, *graph.fixed}
    made = graph.producer()
    if len(made) != len(graph.steps) or known & made.keys():
        yield "a value is assigned twice"
    for op in graph.steps:
        unread = list(_unreadable(graph, op, known, made))
        yield from unread
        known.add(op.out)
        if not unread:
            yield from _misshapen(graph, op)
    for output in graph.outputs:
        if output not in known:
            yield f"nothing makes the output {output}"
    yield from _boundary(graph, known)
    yield from _ahead(graph)


def _unreadable(graph: Steps, op: Op, known: set[str], made: dict[str, Op]) -> Iterator[str]:
    for operand in op.operands():
        name, lag = name_of(operand), lag_of(operand)
        fixed = isinstance(operand, Param)
        if name not in graph.values or (name not in known and name not in made):
            yield f"{op}: nothing makes {name}"
        elif graph.values[name].fixed != fixed:
            yield f"{op}: {name} is read as {'fixed' if fixed else 'varying'}"
        elif name in graph.given and not abs(lag) <= graph.given[name]:
            yield f"{op}: {operand} reaches further back than the {graph.given[name]} steps given"
        elif name in made and not lag and name not in known:
            yield f"{op}: {name} is read before it is made"
    if isinstance(op, Total) and isinstance(op.arg, Edge) and not any(op.arg.name == e.name for e in graph.exits):
        yield f"{op}: nothing leaves as {op.arg}"


def _ahead(graph: Steps) -> Iterator[str]:
    for part in graph.components():
        inside = {op.out for op in part.steps}
        for op in part.steps if part.cyclic else ():
            for operand in op.operands():
                if name_of(operand) in inside and lag_of(operand) * graph.direction < 0:
                    yield f"{op}: {operand} lies ahead of the sweep"


def _boundary(graph: Steps, known: set[str]) -> Iterator[str]:
    seen = {e.name: e.depth for e in graph.entries}
    for name in [*seen, *(e.name for e in graph.exits)]:
        if name in graph.values:
            yield f"{name}: a boundary value has a name of its own"
    left = [e.name for e in graph.exits]
    if len({*left, *seen}) != len(left) + len(seen):
        yield "a boundary value is named twice"
    edges: tuple[Entry | Exit, ...] = (*graph.entries, *graph.exits)
    for edge in edges:
        values = (edge.value,) if isinstance(edge, Entry) else edge.values
        if edge.depth < 1 or not values:
            yield f"{edge.name}: a boundary value has a step at least"
        if any(v not in known or graph.values[v].fixed for v in values):
            yield f"{edge.name}: only values that vary cross the boundary"
        elif len({graph.shape(v) for v in values}) > 1:
            yield f"{edge.name}: values of different shapes"
    for entry in graph.entries:
        if entry.start is None:
            continue
        if entry.start not in known or not graph.values[entry.start].fixed:
            yield f"{entry.name}: its start {entry.start} is no fixed value"
        elif not _broadcasts(graph.shape(entry.start), None, graph.shape(entry.value)):
            yield f"{entry.name}: its start {entry.start} has the wrong shape"


def _broadcasts(shape: Shape, axis: int | None, result: Shape) -> bool:
    """Whether an operand of ``shape``, laid along ``axis``, can be read unit by unit for a result."""
    if axis is not None:
        return len(shape) == 1 and len(result) == 2 and shape[0] == result[axis]
    return shape == result or is_one(shape)


def _laid(op: Op) -> Iterator[Operand]:
    return (o for o in op.operands() if o.axis is not None)


def _misshapen(graph: Steps, op: Op) -> Iterator[str]:
    out = graph.values[op.out]
    varying = any(isinstance(o, At) for o in op.operands())
    if isinstance(op, Total | Combine):
        if not out.fixed:
            yield f"{op}: {op.out} must be fixed"
    elif out.fixed and varying:
        yield f"{op}: {op.out} must be varying"
    if isinstance(op, Combine) and varying:
        yield f"{op}: only fixed matrices are combined"
    if not isinstance(op, Pointwise) and any(_laid(op)):
        yield f"{op}: only a pointwise step lays a vector along an axis"
    match op:
        case Pointwise():
            yield from _pointwise(graph, op, out.shape)
        case Reduce():
            yield from _reduce(graph, op, out.shape)
        case Contraction():
            yield from _contraction(graph, op, out.shape)
        case Outer():
            sides = (graph.shape(name_of(op.left)), graph.shape(name_of(op.right)))
            if any(len(s) != 1 for s in sides) or out.shape != (*sides[0], *sides[1]):
                yield f"{op}: {op.out} has the wrong shape"
        case Total():
            exits = [e for e in graph.exits if e.name == op.arg.name]
            if out.shape != graph.shape(exits[0].values[0] if isinstance(op.arg, Edge) else name_of(op.arg)):
                yield f"{op}: {op.out} has the wrong shape"
        case Combine():
            yield from _combine(graph, op, out.shape)


def _pointwise(graph: Steps, op: Pointwise, result: Shape) -> Iterator[str]:
    for operand in op.operands():
        shape = graph.shape(name_of(operand))
        if not _broadcasts(shape, operand.axis, result):
            yield f"{op}: {op.out} is {_text(result)}, {operand} is {_text(shape)}"


def _reduce(graph: Steps, op: Reduce, result: Shape) -> Iterator[str]:
    shape = graph.shape(name_of(op.arg))
    if op.axis is None:
        if result != ():
            yield f"{op}: a reduction over all units is a scalar"
    elif len(shape) != 2 or op.axis not in (0, 1) or result != (shape[1 - op.axis],):
        yield f"{op}: {op.out} is {_text(result)}, {op.arg} is {_text(shape)}"


def _contraction(graph: Steps, op: Contraction, result: Shape) -> Iterator[str]:
    for matrix, vector in op.terms:
        if len(graph.shape(matrix.name)) != 2:
            yield f"{op}: {matrix} is no matrix"
            continue
        yield from _beyond(graph, op, matrix.name, matrix.block)
        if matrix.block is not None and isinstance(matrix.of, At):
            yield f"{op}: a block of {matrix.name}, which varies"
        rows, columns = graph.matrix_shape(matrix)
        shape = graph.shape(name_of(vector))
        if (result, shape) != ((rows,), (columns,)):
            yield f"{op}: {matrix} is {rows}×{columns}, {vector} is {_text(shape)}"


def _combine(graph: Steps, op: Combine, result: Shape) -> Iterator[str]:
    for term in op.terms:
        yield from _beyond(graph, op, term.matrix.name, term.matrix.block)
        yield from _beyond(graph, op, op.out, term.into)
        wanted = result if term.into is None else (result[0], term.into.width)
        if graph.matrix_shape(term.matrix) != wanted:
            yield f"{op}: {term} does not fit"


def _beyond(graph: Steps, op: Op, name: str, block: Block | None) -> Iterator[str]:
    columns = graph.shape(name)[1]
    if block is not None and not (block.start + block.width).within(columns):
        yield f"{op}: {name} has {columns} columns, and those from {block.start} for {block.width} are read"


def _text(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a scalar"
