"""Every small mistake that a derived backward sweep could hold: one changed step each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import sympy

from symcell.adjoint import Adjoint
from symcell.graph import Combine, Graph, Matrix, Op, Operand, Outer, Pointwise, Product, Reduce, Total, lag_of, name_of
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Mutant:
    """``what`` was done to the step that makes ``out``, and what stands there now."""

    what: str
    out: str
    step: Op

    def __str__(self) -> str:
        return f"{self.what}: {self.step}"

    def inside(self, derived: Adjoint) -> Adjoint:
        steps = tuple(self.step if op.out == self.out else op for op in derived.graph.steps)
        return replace(derived, graph=replace(derived.graph, steps=steps))


def mutants(graph: Graph) -> Iterator[Mutant]:
    """All mutants of all steps; none equals the step it stands for."""
    for op in graph.steps:
        seen = {op}
        for what, step in MUTATIONS[type(op)](graph, op):
            if step not in seen:
                seen.add(step)
                yield Mutant(what, op.out, step)


def _shifted(graph: Graph, operand: Operand) -> Iterator[Operand]:
    """The operand one step earlier and one step later."""
    if isinstance(operand, At):
        yield At(operand.signal, operand.lag + 1)
        yield At(operand.signal, operand.lag - 1)


def _others(graph: Graph, operand: Operand) -> Iterator[Operand]:
    """Two other values that would fit in the operand's place."""
    found = 0
    for name, value in graph.values.items():
        fits = value.shape == graph.values[name_of(operand)].shape and value.fixed == isinstance(operand, Param)
        if fits and name != name_of(operand) and (name in graph.given or name in graph.fixed):
            yield Param(name) if value.fixed else At(name, 0)
            found += 1
            if found == 2:
                return


def _matrices(graph: Graph, matrix: Matrix) -> Iterator[Matrix]:
    """The matrix transposed where it is square, and another of its shape."""
    rows, columns = graph.matrix_shape(matrix)
    if rows == columns:
        yield replace(matrix, transposed=not matrix.transposed)
    shape = graph.values[matrix.name].shape
    yield from (replace(matrix, name=n) for n, v in graph.values.items() if v.shape == shape and n in graph.fixed)


def _pointwise(graph: Graph, op: Pointwise) -> Iterator[tuple[str, Op]]:
    terms = sympy.Add.make_args(op.body)
    for term in terms:
        yield "sign flipped", Pointwise(op.out, op.body - 2 * term)
        yield "term dropped", Pointwise(op.out, op.body - term)
        for factor in sympy.Mul.make_args(term):
            yield "factor dropped", Pointwise(op.out, op.body - term + term / factor)
    operands = op.operands()
    for k, one in enumerate(operands):
        for other in operands[k + 1 :]:
            if graph.size(name_of(one)) == graph.size(name_of(other)):
                yield "operands swapped", Pointwise(op.out, op.body.xreplace({one: other, other: one}))
        for other in _others(graph, one):
            yield "operand replaced", Pointwise(op.out, op.body.xreplace({one: other}))
        for other in _shifted(graph, one):
            yield "lag shifted", Pointwise(op.out, op.body.xreplace({one: other}))


def _product(graph: Graph, op: Product) -> Iterator[tuple[str, Op]]:
    for k, (matrix, vector) in enumerate(op.terms):
        before, after = op.terms[:k], op.terms[k + 1 :]
        if before or after:
            yield "term dropped", Product(op.out, before + after)
        else:
            yield "product dropped", Pointwise(op.out, sympy.Integer(0))
        for other in _matrices(graph, matrix):
            yield "matrix replaced", Product(op.out, (*before, (other, vector), *after))
        for found in (*_shifted(graph, vector), *_others(graph, vector)):
            yield "vector replaced", Product(op.out, (*before, (matrix, found), *after))
        for j, (_, second) in enumerate(op.terms[k + 1 :], k + 1):
            swapped = list(op.terms)
            swapped[k], swapped[j] = (matrix, second), (op.terms[j][0], vector)
            yield "gates swapped", Product(op.out, tuple(swapped))


def _reduce(graph: Graph, op: Reduce) -> Iterator[tuple[str, Op]]:
    yield "sum and maximum swapped", replace(op, kind="max" if op.kind == "sum" else "sum")
    for found in (*_shifted(graph, op.arg), *_others(graph, op.arg)):
        yield "operand replaced", replace(op, arg=found)


def _outer(graph: Graph, op: Outer) -> Iterator[tuple[str, Op]]:
    yield "factors swapped", replace(op, left=op.right, right=op.left)
    for found in (*_shifted(graph, op.left), *_others(graph, op.left)):
        yield "left replaced", replace(op, left=found)
    for found in (*_shifted(graph, op.right), *_others(graph, op.right)):
        yield "right replaced", replace(op, right=found)


def _total(graph: Graph, op: Total) -> Iterator[tuple[str, Op]]:
    for found in (*_shifted(graph, op.arg), *_others(graph, op.arg)):
        yield "operand replaced", replace(op, arg=found)


def _combine(graph: Graph, op: Combine) -> Iterator[tuple[str, Op]]:
    for k, term in enumerate(op.terms):
        before, after = op.terms[:k], op.terms[k + 1 :]
        yield "sign flipped", Combine(op.out, (*before, replace(term, factor=-term.factor), *after))
        yield "term dropped", Combine(op.out, before + after)
        for other in _matrices(graph, term.matrix):
            yield "matrix replaced", Combine(op.out, (*before, replace(term, matrix=other), *after))
        if term.into is not None:
            yield (
                "columns shifted",
                Combine(op.out, (*before, replace(term, into=replace(term.into, start=term.into.width)), *after)),
            )


MUTATIONS = {Pointwise: _pointwise, Product: _product, Reduce: _reduce, Outer: _outer, Total: _total, Combine: _combine}


def reaches(operand: Operand) -> int:
    """How far from its own step an operand reads."""
    return abs(lag_of(operand))
