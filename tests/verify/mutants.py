"""Every small mistake that a derived backward sweep could hold: one changed step each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import sympy

from symcell.adjoint import Adjoint
from symcell.graph import (
    Combine,
    Contraction,
    Edge,
    Graph,
    Matrix,
    Op,
    Operand,
    Outer,
    Pointwise,
    Reduce,
    Total,
    name_of,
)
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Mutant:
    """``what`` was done at ``out``; ``now``: what stands there; ``graph``: the whole sweep with it."""

    what: str
    out: str
    now: str
    graph: Graph

    def __str__(self) -> str:
        return f"{self.what}: {self.now}"

    def inside(self, derived: Adjoint) -> Adjoint:
        return replace(derived, graph=self.graph)


def mutants(graph: Graph) -> Iterator[Mutant]:
    """All mutants of all steps and of the boundary; none equals what it stands for."""
    for op in graph.steps:
        seen: set[Op] = {replace(op, order=()) if isinstance(op, Pointwise) else op}
        for what, step in MUTATIONS[type(op)](graph, op):
            if step not in seen:
                seen.add(step)
                steps = tuple(step if other.out == op.out else other for other in graph.steps)
                yield Mutant(what, op.out, str(step), replace(graph, steps=steps))
    yield from _boundary(graph)


def _boundary(graph: Graph) -> Iterator[Mutant]:
    """What enters enters elsewhere or not at all; what leaves leaves without one of its parts."""
    for k, entry in enumerate(graph.entries):
        before, after = graph.entries[:k], graph.entries[k + 1 :]
        yield Mutant("nothing enters", entry.value, str(entry), replace(graph, entries=before + after))
        for j, other in enumerate(after):
            if graph.shape(other.value) == graph.shape(entry.value) and other.depth == entry.depth:
                swapped = replace(entry, name=other.name), replace(other, name=entry.name)
                entries = (*before, swapped[0], *after[:j], swapped[1], *after[j + 1 :])
                yield Mutant("entries swapped", entry.value, str(swapped), replace(graph, entries=entries))
    for k, leaving in enumerate(graph.exits):
        before_, after_ = graph.exits[:k], graph.exits[k + 1 :]
        for value in leaving.values:
            rest = replace(leaving, values=tuple(v for v in leaving.values if v != value))
            if rest.values:
                yield Mutant("a part stays", value, str(rest), replace(graph, exits=(*before_, rest, *after_)))


def _shifted(graph: Graph, operand: Operand) -> Iterator[Operand]:
    """The operand one step earlier and one step later."""
    if isinstance(operand, At):
        yield At(operand.signal, operand.lag + 1, operand.axis)
        yield At(operand.signal, operand.lag - 1, operand.axis)


def _others(graph: Graph, operand: Operand) -> Iterator[Operand]:
    """Two other values that would fit in the operand's place."""
    found = 0
    for name, value in graph.values.items():
        fits = value.shape == graph.values[name_of(operand)].shape and value.fixed == isinstance(operand, Param)
        if fits and name != name_of(operand) and (name in graph.given or name in graph.fixed):
            yield Param(name, operand.axis) if value.fixed else At(name, 0, operand.axis)
            found += 1
            if found == 2:
                return


def _matrices(graph: Graph, matrix: Matrix) -> Iterator[Matrix]:
    """The matrix transposed where it is square, and another of its shape."""
    rows, columns = graph.matrix_shape(matrix)
    if rows == columns:
        yield replace(matrix, transposed=not matrix.transposed)
    for found in (*_shifted(graph, matrix.of), *_others(graph, matrix.of)):
        yield replace(matrix, of=found)


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
            if graph.shape(name_of(one)) == graph.shape(name_of(other)) and one.axis == other.axis:
                yield "operands swapped", Pointwise(op.out, op.body.xreplace({one: other, other: one}))
        for other in _others(graph, one):
            yield "operand replaced", Pointwise(op.out, op.body.xreplace({one: other}))
        for other in _shifted(graph, one):
            yield "lag shifted", Pointwise(op.out, op.body.xreplace({one: other}))


def _contraction(graph: Graph, op: Contraction) -> Iterator[tuple[str, Op]]:
    for k, (matrix, vector) in enumerate(op.terms):
        before, after = op.terms[:k], op.terms[k + 1 :]
        if before or after:
            yield "term dropped", Contraction(op.out, before + after)
        else:
            yield "product dropped", Pointwise(op.out, sympy.Integer(0))
        for other in _matrices(graph, matrix):
            yield "matrix replaced", Contraction(op.out, (*before, (other, vector), *after))
        for found in (*_shifted(graph, vector), *_others(graph, vector)):
            yield "vector replaced", Contraction(op.out, (*before, (matrix, found), *after))
        for j, (_, second) in enumerate(op.terms[k + 1 :], k + 1):
            swapped = list(op.terms)
            swapped[k], swapped[j] = (matrix, second), (op.terms[j][0], vector)
            yield "gates swapped", Contraction(op.out, tuple(swapped))


def _reduce(graph: Graph, op: Reduce) -> Iterator[tuple[str, Op]]:
    yield "sum and maximum swapped", replace(op, kind="max" if op.kind == "sum" else "sum")
    for found in (*_shifted(graph, op.arg), *_others(graph, op.arg)):
        yield "operand replaced", replace(op, arg=found)
    if op.axis is not None:
        yield "the other axis", replace(op, axis=1 - op.axis)


def _outer(graph: Graph, op: Outer) -> Iterator[tuple[str, Op]]:
    yield "factors swapped", replace(op, left=op.right, right=op.left)
    for found in (*_shifted(graph, op.left), *_others(graph, op.left)):
        yield "left replaced", replace(op, left=found)
    for found in (*_shifted(graph, op.right), *_others(graph, op.right)):
        yield "right replaced", replace(op, right=found)


def _total(graph: Graph, op: Total) -> Iterator[tuple[str, Op]]:
    if isinstance(op.arg, Edge):
        yield "never taken", replace(op, arg=At(next(e for e in graph.exits if e.name == op.arg.name).values[0]))
        return
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


MUTATIONS: dict[type, Any] = {
    Pointwise: _pointwise,
    Contraction: _contraction,
    Reduce: _reduce,
    Outer: _outer,
    Total: _total,
    Combine: _combine,
}
