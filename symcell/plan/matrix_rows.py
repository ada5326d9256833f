"""Steps that stay within a row of a matrix: its elements, totals along it, and values with one unit for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

from symcell.cell import ONE, Shape, units
from symcell.graph import Contraction, Graph, Operand, Pointwise, Reduce, lag_of, name_of
from symcell.plan.stages import Step


def spaces(steps: Sequence[Step], graph: Graph) -> dict[str, Shape]:
    """The shape of the matrix in whose rows each step stays; steps that stay in none are left out.

    A value with one unit a row is one of them where it is laid along the rows of a matrix that is made here, or is
    computed from totals along rows; so are values that it is computed with, and sums over all its units.
    """
    found = {op.out: shape for op in steps if (shape := _space(op, graph)) is not None}
    vectors = {op.out for op in steps if op.out not in found and _vector(op, graph)}
    links = [(op.out, name_of(o)) for op in steps for o in op.operands() if _linked(op, o, graph)]
    pairs = [pair for link in links for pair in permutations(link)]
    while joining := [(one, other) for one, other in pairs if one in vectors - found.keys() and other in found]:
        for one, other in joining:
            found.setdefault(one, found[other])
    return found


def local(op: Step, operand: Operand) -> bool:
    """Whether a step that stays within rows reads only what is of its own row, of an operand that does, too."""
    if isinstance(op, Pointwise):
        return operand.axis in (None, 0)
    return not isinstance(op, Contraction) or any(matrix.of == operand for matrix, _ in op.terms)


def by_matrix(steps: Sequence[Step], found: Mapping[str, Shape], graph: Graph) -> dict[str, Shape]:
    """The steps that are one loop over the rows of a matrix, with its shape: where one of them works on elements, and
    another on values with one unit a row. ``found``: :func:`spaces`."""
    ranks: dict[Shape, set[int]] = {}
    for op in steps:
        if op.out in found:
            name = name_of(op.arg) if isinstance(op, Reduce) and op.axis is None else op.out
            ranks.setdefault(found[op.out], set()).add(len(graph.shape(name)))
    return {op.out: found[op.out] for op in steps if op.out in found and len(ranks[found[op.out]]) == 2}


def turns(steps: Sequence[Step]) -> dict[str, int]:
    """Of steps in the rows of one matrix, in order, the loop over a row's columns that each is in, counted from 0; of
    values with one unit a row, the loop that they come before."""
    made = {op.out: op for op in steps}
    found: dict[str, int] = {}
    for op in steps:
        sources = [made[name_of(o)] for o in op.operands() if name_of(o) in made and not lag_of(o)]
        found[op.out] = max((found[source.out] + _total(source) for source in sources), default=0)
    return found


def _total(op: Step) -> bool:
    """Whether a step's result is known only at the end of a row."""
    return isinstance(op, Contraction) or (isinstance(op, Reduce) and op.axis is not None)


def _space(op: Step, graph: Graph) -> Shape | None:
    """The matrix whose elements a step makes or sums, or along whose rows it walks."""
    shapes = {graph.shape(op.out)}
    if isinstance(op, Reduce):
        shapes = {graph.shape(name_of(op.arg))} if op.axis != 0 else set()
    elif isinstance(op, Contraction):
        across = any(matrix.transposed for matrix, _ in op.terms)
        shapes = set() if across else {graph.shape(matrix.name) for matrix, _ in op.terms}
    shape = shapes.pop() if len(shapes) == 1 else ()
    return shape if len(shape) == 2 and units(shape) != ONE else None


def _vector(op: Step, graph: Graph) -> bool:
    """Whether a step may make values with one unit for each row of a matrix, or sum them."""
    shape = graph.shape(name_of(op.arg) if isinstance(op, Reduce) else op.out)
    return len(shape) == 1 and units(shape) != ONE and not _total(op)


def _linked(op: Step, operand: Operand, graph: Graph) -> bool:
    """Whether a step reads an operand of one unit a row within that row."""
    shape, own = graph.shape(name_of(operand)), graph.shape(op.out)
    if lag_of(operand) or len(shape) != 1 or units(shape) == ONE or _total(op):
        return False
    return len(own) == 2 and operand.axis == 0 if operand.axis is not None else isinstance(op, Reduce) or own == shape
