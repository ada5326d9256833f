"""The rules of differentiation, one per kind of step: from the tangents of its operands to that of its result.

A rule gives the step that computes ``out``, of whose operands one at least has a tangent; what else it takes it has
appended to the sweep's steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sympy

from symcell.graph import Combine, Contraction, Edge, Op, Operand, Outer, Pointwise, Reduce, Term, Total, name_of
from symcell.symbolic.nodes import At, Param
from symcell.tangent.dots import Dots


def _pointwise(sweep: Dots, op: Pointwise, out: str) -> Pointwise:
    """u̇ = Σ ∂body/∂v v̇, the derivative written through values that the sweep has computed."""
    terms = {dot: sweep.slope(op, of) * dot for of, dot in sweep.pairs(sweep.sources(op))}
    body = sympy.Add(*terms.values())
    return Pointwise(out, body, _order(body, terms, op))


def _order(body: sympy.Expr, dots: Mapping[Operand, Any], op: Pointwise) -> tuple[Operand, ...]:
    """Tangents first, then what the step itself reads, then results."""
    found = body.atoms(At, Param)
    known = dict.fromkeys(o for o in (*dots, *op.operands()) if o in found)
    return (*known, *sorted(found - known.keys(), key=lambda o: o.name))


def _contraction(sweep: Dots, op: Contraction, out: str) -> Op:
    """(Mv)˙ = M v̇ + Ṁ v, each a product of its own, so that those of one vector stack."""
    products: list[tuple[str, Any]] = []
    for matrix, vector in op.terms:
        dot, moving = sweep.of(vector), sweep.matrix(matrix)
        products += [(name_of(vector), (matrix, dot))] if dot is not None else []
        products += [(matrix.name, (moving, vector))] if moving is not None else []
    if len(products) == 1:
        return Contraction(out, (products[0][1],))
    value = sweep.values[op.out]
    parts = [
        sweep.step(f"{op.out}_by_{by}", Contraction("", (term,)), value.shape, _fixed(term)) for by, term in products
    ]
    return Pointwise(out, sympy.Add(*parts), tuple(dict.fromkeys(parts)))


def _fixed(term: tuple[Any, Operand]) -> bool:
    matrix, vector = term
    return isinstance(matrix.of, Param) and isinstance(vector, Param)


def _reduce(sweep: Dots, op: Reduce, out: str) -> Op:
    """A sum's tangent is the sum of tangents; a maximum's the mean of those of the units that attain it."""
    dot = sweep.of(op.arg)
    assert dot is not None
    if op.kind == "sum":
        return replace(op, out=out, arg=dot)
    attains, count = sweep.attaining(op)
    fixed = isinstance(op.arg, Param)
    shape = sweep.values[name_of(op.arg)].shape
    moved = sweep.assign(f"{op.out}_moved", attains * dot, shape, fixed, (dot, attains))
    total = sweep.reduce(f"{op.out}_moved_sum", moved, op.axis)
    return Pointwise(out, total / count, (total, count))


def _outer(sweep: Dots, op: Outer, out: str) -> Pointwise:
    """(l rᵀ)˙ = l̇ rᵀ + l ṙᵀ."""
    left, right = sweep.of(op.left), sweep.of(op.right)
    pairs = [*([(left, op.right)] if left is not None else []), *([(op.left, right)] if right is not None else [])]
    laid = [(one.along(0), other.along(1)) for one, other in pairs]
    return Pointwise(out, sympy.Add(*(one * other for one, other in laid)), tuple(o for pair in laid for o in pair))


def _total(sweep: Dots, op: Total, out: str) -> Total:
    """What is summed, and what leaves the sweep, has a tangent of its own."""
    if isinstance(op.arg, Edge):
        return replace(op, out=out, arg=Edge(sweep.boundary[op.arg.name]))
    dot = sweep.of(op.arg)
    assert isinstance(dot, At)
    return replace(op, out=out, arg=dot)


def _combine(sweep: Dots, op: Combine, out: str) -> Combine:
    """The same linear combination of tangents."""
    moving = ((t, sweep.matrix(t.matrix)) for t in op.terms)
    return Combine(out, tuple(Term(t.factor, matrix, t.into) for t, matrix in moving if matrix is not None))


RULES: dict[type[Any], Callable[[Dots, Any, str], Op]] = {
    Pointwise: _pointwise,
    Contraction: _contraction,
    Reduce: _reduce,
    Outer: _outer,
    Total: _total,
    Combine: _combine,
}
