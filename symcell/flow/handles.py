"""What of a cell can be turned: its recurrent matrices and its gates' biases, found by what they do in the Jacobian."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from symcell.adjoint.making import Making
from symcell.cell import Cell
from symcell.graph import Block, Combine, Graph, Pointwise
from symcell.jacobian.local import Edge, Multiplied, Scaled
from symcell.jacobian.paths import Kind, kind_of
from symcell.jacobian.walk import Between, between, recurrent
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Recurrent:
    """A parameter that multiplies what comes from an earlier step; ``block``: these columns of it alone."""

    name: str
    block: Block | None


def recurrent_matrices(cell: Cell, graph: Graph) -> tuple[Recurrent, ...]:
    """The parameters that are applied to an earlier state, or to what is made of it unit by unit, as ``r * h[t-1]``."""
    found: dict[Recurrent, None] = {}
    states = set(recurrent(cell))
    for part in between(cell, graph):
        leading = _leading(part, states)
        for edge in (e for e in _first_matrices(part) if e.out in leading):
            assert isinstance(edge.factor, Multiplied)
            matrix = edge.factor.matrix
            for name in _parameters(graph, matrix.name):
                if name in cell.parameters:
                    found[Recurrent(name, matrix.block if name == matrix.name else None)] = None
    return tuple(found)


def _leading(part: Between, states: set[str]) -> set[str]:
    """The values that a state depends on within the step."""
    leading = set(states)
    for name in reversed(tuple(part.into)):
        if name in leading:
            leading |= {edge.operand.signal for edge in part.into[name] if not edge.operand.lag}
    return leading


def _first_matrices(part: Between) -> Iterator[Edge]:
    """The products that meet the source before any other mixing of units."""
    unmixed: set[str] = set()
    for name, into in part.into.items():
        for edge in into:
            if edge.operand != part.source and edge.operand.signal not in unmixed:
                continue
            if kind_of(edge) < Kind.MATRIX:
                unmixed.add(name)
            elif isinstance(edge.factor, Multiplied):
                yield edge


def _parameters(graph: Graph, name: str) -> Iterator[str]:
    """The parameters that a fixed matrix is made of."""
    op = graph.producer().get(name)
    if isinstance(op, Combine):
        for term in op.terms:
            yield from _parameters(graph, term.matrix.name)
    else:
        yield name


@dataclass(frozen=True)
class Gate:
    """A state that comes back gated, and the biases of its gates: parameters added within an activation that makes a
    gate, whichever way they move it."""

    state: str
    biases: tuple[str, ...]


def gates(cell: Cell, graph: Graph) -> tuple[Gate, ...]:
    """The states that come back gated from one step to the next, in the order of the text."""
    making = Making(graph, ())
    found = []
    for part in between(cell, graph):
        if part.source.lag == 1:
            values = dict.fromkeys(v for edge in _gated(part) for v in _of_this_step(edge))
            biases = dict.fromkeys(b for v in values for b in _biases(making, v) if b in cell.parameters)
            if values:
                found.append(Gate(part.source.signal, tuple(biases)))
    return tuple(found)


def _gated(part: Between) -> Iterator[Edge]:
    """The edges on the gated ways from a state back to itself."""
    reached: dict[str, list[Edge]] = {}
    for name, into in part.into.items():
        for edge in into:
            if (edge.operand == part.source or edge.operand.signal in reached) and kind_of(edge) <= Kind.GATED:
                reached.setdefault(name, []).append(edge)
    pending, seen = [part.source.signal], set()
    while pending:
        for edge in reached.get(pending.pop(), ()):
            if edge not in seen:
                seen.add(edge)
                pending += [edge.operand.signal] if edge.operand != part.source else []
                if kind_of(edge) == Kind.GATED:
                    yield edge


def _of_this_step(edge: Edge) -> Iterator[str]:
    slope = edge.factor.slope if isinstance(edge.factor, Scaled) else None
    yield from sorted(a.signal for a in slope.atoms(At) if not a.lag) if slope is not None else ()


def _biases(making: Making, value: str) -> Iterator[str]:
    """The parameters that are added to a value, or within the functions of one argument that it is made by."""
    op = making.producers.get(value)
    if not isinstance(op, Pointwise):
        return
    alone = isinstance(op.body, fn.Elementwise) and len(op.body.args) == 1
    for operand, partial in making.partials[op.out].items():
        if not (alone or partial.is_number):
            continue
        if isinstance(operand, Param):
            yield operand.signal
        elif isinstance(operand, At) and not operand.lag:
            yield from _biases(making, operand.signal)
