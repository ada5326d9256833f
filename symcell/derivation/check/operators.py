"""Evaluates the formulas of a one-step Jacobian as they stand, knowing nothing of the graph they were made from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy

from symcell.derivation import nodes as nd
from symcell.derivation.check.sequence import Sequence
from symcell.derivation.composites import OVER_UNITS
from symcell.derivation.sizes import dims_of
from symcell.graph import Graph
from symcell.interpret import EXACT
from symcell.symbolic.nodes import Hadamard, Minus, Sum, written

Array = Any  # a NumPy array

_OPERATORS = (nd.Partial, nd.Chain, nd.Diagonal, nd.TransposeOf, nd.Outer, nd.Kronecker, sympy.MatrixExpr)


@dataclass
class Operators:
    """``known``: the blocks so far, by their left sides, (B, units of the target, units of the source)."""

    sequence: Sequence
    graph: Graph
    t: int
    known: dict[Any, Array] = field(default_factory=dict)

    def units(self, value: Any) -> int:
        name = (value.args[0] if isinstance(value, nd.Vec) else value).signal
        return int(np.prod([s.value(self.sequence.sizes) for s in self.graph.shape(name)]))

    def define(self, left: Any, right: Any) -> Array:
        rows, columns = map(self.units, left.args)
        found = self.of(right, rows, columns)
        self.known[left] = np.broadcast_to(found, (len(found), rows, columns))
        return self.known[left]

    def of(self, e: Any, rows: int, columns: int) -> Array:
        """(B or 1, rows, columns), or what broadcasts to it; a side whose length an identity leaves open is given."""
        match e:
            case Sum():
                return sum(self.of(a, rows, columns) for a in e.args)
            case Minus():
                return -self.of(e.args[0], rows, columns)
            case nd.Partial():
                return self.known[e]
            case nd.Chain():
                return self.chain(e.args, rows, columns)
            case Hadamard() if e.has(nd.TransposeOf):
                scaled = [self.of(a, rows, columns) for a in e.args]
                return math.prod(scaled[1:], start=scaled[0])
            case nd.Diagonal():
                inner = self.column(e.args[0])
                return inner * np.eye(inner.shape[1])
            case nd.TransposeOf() if e.args[0] == nd.ONES:
                return np.ones((1, 1, columns))
            case nd.TransposeOf():
                return self.column(e.args[0]).swapaxes(1, 2)
            case nd.Outer():
                u, v = (np.ones((1, n, 1)) if a == nd.ONES else self.column(a)
                        for a, n in zip(e.args, (rows, columns), strict=True))  # fmt: skip
                return u @ v.swapaxes(1, 2)
            case nd.Prime() if isinstance(e.args[0], OVER_UNITS):
                return self.composite(e.args[0])
            case nd.Kronecker():
                return self.kronecker(e.args[0], e.args[1], rows, columns)
            case sympy.MatrixExpr():
                return self.sequence.matrix(e, self.t)
        if e == nd.IDENTITY:
            return np.eye(columns)[None]
        if e == nd.ONES:
            return np.ones((1, rows, 1))
        if not isinstance(e, nd.Vec) and len(dims_of(self.graph, e)) == 2:
            return self.sequence.value(e, self.t)
        return self.column(e)

    def composite(self, applied: Any) -> Array:
        """The derivative of a normalisation or a softmax, row by row: what it sends back for each unit's own."""
        units = self.column(applied.args[0]).shape[1]
        rows = []
        for unit in [np.ones(1)] if applied.to_one else np.eye(units):
            self.sequence.seeds["unit", self.t] = EXACT.array(unit[None])
            pulled = nd.Pullback(applied, applied, nd.Bar("unit"), sympy.Integer(units))
            rows.append(self.sequence.value(pulled, self.t))
        return np.stack(rows, axis=1)

    def chain(self, factors: Any, rows: int, columns: int) -> Array:
        """From the right; a number scales, and what is one long may stand for ones."""
        done: list[Array] = []
        for place, factor in reversed(list(enumerate(factors))):
            between = done[0].shape[1] if done else columns
            if factor == nd.IDENTITY or self.is_number(factor):
                scale = 1 if factor == nd.IDENTITY else self.column(factor)
                done = [(done[0] if done else np.eye(columns)[None]) * scale]
                continue
            above = self.end(factors[:place][::-1], 1) if factor.has(nd.ONES) else 0
            found = self.of(factor, above or rows, between)
            wide = done and found.shape[2] == 1 < between
            found = found * np.ones(between) if wide else found
            done = [found @ done[0]] if done else [found]
        return done[0]

    def is_number(self, factor: Any) -> bool:
        composite = isinstance(factor, nd.Prime) and isinstance(factor.args[0], OVER_UNITS)
        operator = isinstance(factor, (*_OPERATORS, Sum, nd.Vec)) and not self.plain(factor)
        return not composite and not operator and factor != nd.ONES and dims_of(self.graph, factor) == ()

    @staticmethod
    def plain(factor: Any) -> bool:
        """Whether a sum is one of numbers unit by unit and not of operators."""
        parts = [a.args[0] if isinstance(a, Minus) else a for a in factor.args] if isinstance(factor, Sum) else []
        return bool(parts) and not any(isinstance(p, _OPERATORS) or p == nd.IDENTITY for p in parts)

    def kronecker(self, left: Any, right: Any, rows: int, columns: int) -> Array:
        """A side whose length is open gets what the other leaves of the whole."""
        wide = self.side(left, 1) or columns // (self.side(right, 1) or 1)
        square = 0 if right.has(nd.ONES) else columns // wide
        high = self.side(right, 0) or square or rows // (self.side(left, 0) or wide)
        a, b = self.of(left, rows // high, wide), self.of(right, high, columns // wide)
        out = a[:, :, None, :, None] * b[:, None, :, None, :]
        return out.reshape(len(out), a.shape[1] * b.shape[1], a.shape[2] * b.shape[2])

    def side(self, e: Any, axis: int) -> int:
        """How many rows (``axis`` 0) or columns (1) an operator has; 0 where multiples of I and ones leave it open."""
        match e:
            case nd.Chain():
                return self.end(e.args[:: -1 if axis else 1], axis)
            case Sum() | Minus() if not self.plain(e):
                return next((found for a in e.args if (found := self.side(a, axis))), 0)
            case nd.Outer():
                return 0 if e.args[axis] == nd.ONES else self.column(e.args[axis]).shape[1]
            case nd.Kronecker():
                return self.side(e.args[0], axis) * self.side(e.args[1], axis)
        if e == nd.IDENTITY or self.is_number(e):
            return 0
        if e in (nd.ONES, nd.TransposeOf(nd.ONES)):
            return int((e == nd.ONES) == axis)
        return int(self.of(e, 1, 1).shape[1 + axis])

    def end(self, factors: Any, axis: int) -> int:
        """The side of a product at its outermost factor; what is square and open passes on that of the next."""
        for factor in factors:
            if (found := self.side(factor, axis)) or factor.has(nd.ONES):
                return found
        return 0

    def column(self, e: Any) -> Array:
        """(B or 1, units, 1); the columns of a matrix one below the other."""
        if isinstance(e, nd.Vec):
            found = self.sequence.value(e.args[0], self.t)
            return found.swapaxes(1, 2).reshape(len(found), -1, 1)
        found = self.sequence.value(written(e) if e != nd.ONES else e, self.t)
        return found.reshape(len(found), -1, 1)


def by_columns(matrix: Array, target: tuple[int, ...], source: tuple[int, ...]) -> Array:
    """A derivative with both of its matrices row by row, as one with them column by column."""
    found = matrix.reshape(len(matrix), *target, *source)
    turned = found.transpose(0, *(1 + k for k in reversed(range(len(target)))),
                             *(1 + len(target) + k for k in reversed(range(len(source)))))  # fmt: skip
    return turned.reshape(matrix.shape)
