"""Local derivatives of a graph's steps, typed: what the adjoint's and the tangent's rules multiply by, one an operand.

They come from the records that both sweeps are made from (:class:`symcell.adjoint.making.Making`: each body's partial
derivatives, written through values that the sweep has computed), so no second derivation takes part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr

from symcell.adjoint.making import Making
from symcell.cell import Shape, is_one
from symcell.graph import Contraction, Graph, Matrix, Operand, Pointwise, Reduce, name_of
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Scaled:
    """``dout = slope dv``, unit by unit; ``dv`` is of the result's shape, of one unit, or laid along ``axis``.

    ``nonlinear``: whether the slope depends on the operand itself, as that of an activation does.
    """

    slope: Expr
    axis: int | None
    nonlinear: bool

    @property
    def is_identity(self) -> bool:
        return bool(self.slope == 1)


@dataclass(frozen=True)
class Multiplied:
    """``dout = matrix dv``."""

    matrix: Matrix


@dataclass(frozen=True)
class Applied:
    """``dout = dM vector``, or ``dMᵀ vector`` (``transposed``), of a matrix M that varies."""

    vector: Operand
    transposed: bool


@dataclass(frozen=True)
class Summed:
    """``dout``: the sum of ``dv`` over all units, or along one axis of a matrix."""

    axis: int | None


@dataclass(frozen=True)
class Picked:
    """``dout``: the mean of ``dv`` over the units that attain a maximum, as in the adjoint."""

    step: Reduce


@dataclass(frozen=True)
class Folded:
    """The steps ``members`` and the one behind them as one, ``applied``: a function of ``At(argument)`` alone.

    ``unitwise``: whether each unit of the result depends on its own unit of the argument only.
    """

    argument: str
    applied: Expr
    members: frozenset[str]
    unitwise: bool


Factor = Scaled | Multiplied | Applied | Summed | Picked | Folded


@dataclass(frozen=True)
class Edge:
    """The derivative of the value ``out`` by ``operand``, one of those that its step reads.

    ``shape``, ``inner``: of ``out`` and of the operand.
    """

    out: str
    operand: At
    factor: Factor
    shape: Shape
    inner: Shape

    @property
    def mixes(self) -> bool:
        """Whether a unit of ``out`` depends on other units of the operand than its own."""
        scaled = isinstance(self.factor, Scaled) and self.factor.axis is None
        same = self.shape == self.inner or (is_one(self.shape) and is_one(self.inner))
        return not (scaled and same)


def edges(graph: Graph, folded: Mapping[str, Folded] | None = None) -> Iterator[Edge]:
    """The local derivatives by all varying operands, in the order of the steps; those that are zero are left out.

    ``folded``: values whose steps are taken for one.
    """
    making = Making(graph, ())
    known = folded or {}
    inside = {name for of in known.values() for name in of.members}
    for op in graph.steps:
        if op.out in inside:
            continue
        if op.out in known:
            of = known[op.out]
            yield Edge(op.out, At(of.argument), of, graph.shape(op.out), graph.shape(of.argument))
            continue
        for operand, factor in _factors(making, op):
            if isinstance(operand, At):
                yield Edge(op.out, operand.along(None), factor, graph.shape(op.out), graph.shape(name_of(operand)))


def _factors(making: Making, op: object) -> Iterator[tuple[Operand, Factor]]:
    match op:
        case Pointwise():
            partials = making.partials[op.out]
            for operand in op.operands():
                if operand in partials:
                    nonlinear = operand in partials[operand].free_symbols
                    yield operand, Scaled(making.slope(op, operand), operand.axis, nonlinear)
        case Contraction():
            for matrix, vector in op.terms:
                yield vector, Multiplied(matrix)
                yield matrix.of, Applied(vector, matrix.transposed)
        case Reduce(kind="sum"):
            yield op.arg, Summed(op.axis)
        case Reduce():
            yield op.arg, Picked(op)


def is_fixed(slope: Expr) -> bool:
    """Whether a slope is the same at all steps: of parameters and constants alone."""
    return not slope.atoms(At)


def reads(factor: Factor) -> set[sympy.Symbol]:
    """The values that a factor is computed from."""
    match factor:
        case Scaled():
            return factor.slope.atoms(At, Param)
        case Multiplied():
            return {factor.matrix.of}
        case Applied():
            return {factor.vector}
        case Picked():
            return {factor.step.arg, At(factor.step.out)}
        case Folded():
            return {At(factor.argument)}
    return set()
