"""The rules of differentiation, one per kind of step: from the cotangent of a result to those of its operands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sympy import Expr, Symbol

from symcell.adjoint.parts import Parts
from symcell.graph import (
    Combine,
    Contraction,
    Edge,
    Matrix,
    Op,
    Operand,
    Outer,
    Pointwise,
    Reduce,
    Term,
    Total,
    name_of,
)
from symcell.symbolic.nodes import At, Param


def sent_to(op: Op, partials: Mapping[str, Mapping[Symbol, Expr]]) -> Iterable[Operand]:
    """The operands that a step's cotangent flows to."""
    return (o for o in op.operands() if not isinstance(op, Pointwise) or o in partials[op.out])


def _pointwise(sweep: Parts, op: Pointwise, cotangent: Operand) -> None:
    """δu += δout ∂body/∂u, the derivative written through values that the forward sweep has computed."""
    shape = sweep.values[op.out].shape
    places = {o: k for k, o in enumerate((cotangent, *op.operands()))}
    for operand in sent_to(op, sweep.partials):
        expr = cotangent * sweep.slope(op, operand)
        order = sorted(expr.atoms(At, Param), key=lambda o: (places.get(o, len(places)), o.name))
        sweep.send(operand, shape, expr, order)


def _contraction(sweep: Parts, op: Contraction, cotangent: Operand) -> None:
    """δv += Mᵀ δout and δM += δout vᵀ (its transpose where M is read transposed)."""
    for matrix, vector in op.terms:
        sweep.send_product(vector, matrix.T, cotangent)
        left, right = (vector, cotangent) if matrix.transposed else (cotangent, vector)
        if isinstance(matrix.of, At):
            rows, columns = left.along(0), right.along(1)
            sweep.send(matrix.of, sweep.values[matrix.name].shape, rows * columns, (rows, columns))
        else:
            sweep.send_outer(matrix, left, right)


def _reduce(sweep: Parts, op: Reduce, cotangent: Operand) -> None:
    """A sum passes its cotangent to every unit; a maximum shares it among the units that attain it (torch.amax)."""
    shape = sweep.values[name_of(op.arg)].shape
    axis = None if op.axis is None else 1 - op.axis
    arriving = cotangent.along(axis)
    if op.kind == "sum":
        sweep.send(op.arg, shape, arriving, (arriving,))
        return
    attains, total = sweep.attaining(op)
    count = total.along(axis)
    sweep.send(op.arg, shape, arriving * attains / count, (arriving, attains, count))


def _outer(sweep: Parts, op: Outer, cotangent: Operand) -> None:
    """δleft += G right and δright += Gᵀ left, G being the cotangent of the outer product."""
    sweep.send_product(op.left, Matrix(cotangent), op.right)
    sweep.send_product(op.right, Matrix(cotangent).T, op.left)


def _total(sweep: Parts, op: Total, cotangent: Operand) -> None:
    """What is summed receives the cotangent of the sum at every step; what leaves the sweep receives it there."""
    if isinstance(op.arg, Edge):
        sweep.edges.setdefault(op.arg.name, []).append((cotangent, op.unless))
    else:
        sweep.send(op.arg, sweep.values[op.out].shape, cotangent, (cotangent,))


def _combine(sweep: Parts, op: Combine, cotangent: Operand) -> None:
    """δM += factor * G or factor * Gᵀ: the columns of G that M was added into, into the columns of M that were read."""
    for term in op.terms:
        source = Matrix(cotangent, False, term.into)
        source = source.T if term.matrix.transposed else source
        sweep.send_matrix(term.matrix.name, Term(term.factor, source, term.matrix.block))


RULES: dict[type[Any], Callable[[Any, Any, Operand], None]] = {
    Pointwise: _pointwise,
    Contraction: _contraction,
    Reduce: _reduce,
    Outer: _outer,
    Total: _total,
    Combine: _combine,
}
