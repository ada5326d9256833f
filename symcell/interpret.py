"""Run a graph as it stands, one step at a time: the reference that emitted kernels are held against.

The same walk serves float64, complex128 and mpmath at any number of digits: arrays are NumPy arrays (of objects for
mpmath), and an :class:`Arithmetic` says what the functions are. Nothing here shares code with the emitters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy

from symcell.cell import Size
from symcell.graph import (
    Combine,
    Contraction,
    Edge,
    Entry,
    Exit,
    Graph,
    Matrix,
    Op,
    Operand,
    Outer,
    Pointwise,
    Reduce,
    Total,
)
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param

Array = Any
"""A NumPy array: float64, complex128, or objects (mpmath numbers)."""


@dataclass(frozen=True)
class Arithmetic:
    """How numbers are made and functions computed; ``functions`` maps a SymPy class to a function of arrays."""

    number: Callable[[sympy.Expr], Any]
    functions: Mapping[type[Any], Callable[..., Array]]
    dtype: Any

    def array(self, values: Array) -> Array:
        """``values`` as an array of this arithmetic's numbers."""
        if self.dtype is not object:
            return np.asarray(values, dtype=self.dtype)
        return np.vectorize(_exact, otypes=[object])(values) if np.size(values) else np.asarray(values, dtype=object)


def _exact(value: Any) -> Any:
    return value if isinstance(value, mpmath.mpf | mpmath.mpc) else mpmath.mpmathify(value)


def _elementwise(function: Callable[..., Any]) -> Callable[..., Array]:
    """A function of numbers as a function of arrays; a partial that is not finite (log 0, 1/0) becomes NaN."""

    def guarded(*args: Any) -> Any:
        try:
            return function(*args)
        except (ZeroDivisionError, ValueError):
            return mpmath.nan

    def apply(*args: Array) -> Array:
        nargs = len(args)
        return np.frompyfunc(guarded, nargs, 1)(*args)

    return apply


def _mp_number(expr: sympy.Expr) -> Any:
    return mpmath.mpmathify(expr._to_mpmath(mpmath.mp.prec))


EXACT = Arithmetic(_mp_number, {f: _elementwise(f.row.exact) for f in fn.FUNCTIONS}, object)
"""mpmath numbers, real or complex, at the working precision of ``mpmath.mp``."""


@dataclass(frozen=True)
class Run:
    """What a sweep computed: varying values by (name, t), fixed ones by name, and what left by name of the exit.

    ``varying`` holds what was given too, and the boundary values at their places outside of the sequence: so it can be
    given to the adjoint's sweep as it stands.
    """

    varying: Mapping[tuple[str, int], Array]
    fixed: Mapping[str, Array]
    edges: Mapping[str, Array]


def run(
    graph: Graph,
    given: Mapping[tuple[str, int], Array],
    fixed: Mapping[str, Array],
    boundary: Mapping[str, Array],
    *,
    steps: int,
    batch: int,
    sizes: Mapping[str, int],
    arithmetic: Arithmetic = EXACT,
) -> Run:
    """Sweep ``graph`` over ``t = 0 … steps-1``.

    ``given[name, t]`` are (batch, *shape); outside of the sequence zero where missing. ``fixed[name]`` is the array as
    it is. ``boundary[name]``, by the name of an entry, is (depth, batch, *shape).
    """
    sweep = _Sweep(graph, dict(given), dict(fixed), boundary, steps, batch, sizes, arithmetic)
    sweep.enter()
    for part in graph.components():
        for t in range(steps)[:: graph.direction]:
            for op in part.steps:
                if not graph.values[op.out].fixed:
                    sweep.varying[op.out, t] = sweep.compute(op, t)
        for op in part.steps:
            if graph.values[op.out].fixed:
                sweep.fixed[op.out] = sweep.compute(op, None)
                sweep.enter(op.out)
    return Run(sweep.varying, sweep.fixed, {e.name: sweep.leave(e.name) for e in graph.exits})


@dataclass
class _Sweep:
    graph: Graph
    varying: dict[tuple[str, int], Array]
    fixed: dict[str, Array]
    boundary: Mapping[str, Array]
    steps: int
    batch: int
    sizes: Mapping[str, int]
    arithmetic: Arithmetic

    # values

    def length(self, size: Size) -> int:
        return size.value(self.sizes)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(map(self.length, self.graph.values[name].shape))

    def zeros(self, *shape: int) -> Array:
        return self.arithmetic.array(np.zeros(shape))

    def read(self, operand: Operand, t: int | None) -> Array:
        """A value: a fixed one as it is, a varying one as (batch, *shape); zero where nothing is known of it."""
        if isinstance(operand, Param):
            return np.asarray(self.fixed[operand.signal])
        assert t is not None
        found = self.varying.get((operand.signal, t - operand.lag))
        return self.zeros(self.batch, *self.shape(operand.signal)) if found is None else found

    # the boundary

    def early(self, edge: Entry | Exit) -> bool:
        """Whether this is the boundary before the sequence rather than the one behind it."""
        ahead = self.graph.direction > 0
        return (ahead if isinstance(edge, Entry) else not ahead) != edge.far

    def enter(self, start: str | None = None) -> None:
        """Put what enters in its places; those entries whose ``start`` is this value."""
        for entry in self.graph.entries:
            made = entry.start not in self.fixed and entry.start is not None
            if made or (start is not None and entry.start != start):
                continue
            passed = self.boundary.get(entry.name)
            array = self.zeros(entry.depth, self.batch, *self.shape(entry.value))
            if passed is not None:
                array = array + (passed[-entry.depth :] if self.early(entry) else passed[: entry.depth])
            if entry.start is not None and (entry.unless not in self.boundary if entry.adds else passed is None):
                array = array + self.fixed[entry.start]
            first = -entry.depth if self.early(entry) else self.steps
            self.varying |= {(entry.value, first + k): array[k] for k in range(entry.depth)}

    def leave(self, name: str) -> Array:
        """What leaves: of each value its last steps, in the places next to the sequence."""
        leaving = next(e for e in self.graph.exits if e.name == name)
        out = self.zeros(leaving.depth, self.batch, *self.shape(leaving.values[0]))
        for value in leaving.values:
            depth = self.graph.depth(leaving, value)
            last = (self.graph.direction > 0) != leaving.far
            first = self.steps - depth if last else 0
            found = [self.read(At(value), first + k) for k in range(depth)]
            place = leaving.depth - depth if self.early(leaving) else 0
            out[place : place + depth] = out[place : place + depth] + np.stack(found)
        return out

    # steps

    def compute(self, op: Op, t: int | None) -> Array:
        """A step's result: (batch, *shape) where it varies."""
        match op:
            case Pointwise():
                return self.pointwise(op, t)
            case Contraction():
                parts = [self.contraction(self.matrix(m, t), self.read(v, t)) for m, v in op.terms]
                return self.varied(sum(parts[1:], parts[0]), op.out)
            case Reduce():
                return self.reduce(op, t)
            case Outer():
                left, right = self.read(op.left, t), self.read(op.right, t)
                return self.varied(left[..., :, None] * right[..., None, :], op.out)
            case Total():
                return self.total(op)
            case Combine():
                return self.combine(op)

    def varied(self, array: Array, name: str) -> Array:
        """An array as a value: with an axis for the samples, if it varies."""
        lead = () if self.graph.values[name].fixed else (self.batch,)
        return np.broadcast_to(array, (*lead, *self.shape(name))).copy()

    def matrix(self, matrix: Matrix, t: int | None) -> Array:
        found = self.read(matrix.of, t)
        if matrix.block is not None:
            start = self.length(matrix.block.start)
            found = found[..., start : start + self.length(matrix.block.width)]
        return np.swapaxes(found, -1, -2) if matrix.transposed else found

    @staticmethod
    def contraction(matrix: Array, vector: Array) -> Array:
        if matrix.ndim == 2:
            return vector @ matrix.T
        return (matrix * vector[..., None, :]).sum(axis=-1)

    def reduce(self, op: Reduce, t: int | None) -> Array:
        arg = self.read(op.arg, t)
        lead = 0 if isinstance(op.arg, Param) else 1
        if op.axis is None:
            arg, axis = arg.reshape((*arg.shape[:lead], -1)), lead
        else:
            axis = lead + op.axis
        if op.kind == "sum":
            return self.varied(arg.sum(axis=axis), op.out)
        if not arg.size:
            return self.zeros(*arg.shape[:axis], *arg.shape[axis + 1 :])
        picked = np.argmax(np.vectorize(lambda z: float(fn.real(z)))(arg), axis=axis)
        return np.take_along_axis(arg, np.expand_dims(picked, axis), axis=axis).squeeze(axis)

    def total(self, op: Total) -> Array:
        zero = self.zeros(*self.shape(op.out))
        if isinstance(op.arg, Edge):
            return zero if op.unless in self.boundary else zero + self.leave(op.arg.name).sum(axis=(0, 1))
        return sum((self.read(op.arg, s).sum(axis=0) for s in range(self.steps)), zero)

    def combine(self, op: Combine) -> Array:
        out = self.zeros(*self.shape(op.out))
        for term in op.terms:
            start = 0 if term.into is None else self.length(term.into.start)
            part = self.arithmetic.number(term.factor) * self.matrix(term.matrix, None)
            out[:, start : start + part.shape[1]] = out[:, start : start + part.shape[1]] + part
        return out

    def pointwise(self, op: Pointwise, t: int | None) -> Array:
        rank = len(self.graph.shape(op.out))
        operands = {o: self.unitwise(o, rank, t) for o in op.operands()}
        found = np.asarray(self.evaluate(op.body, operands))
        return self.varied(found if t is not None else found.reshape(found.shape[1:]), op.out)

    def unitwise(self, operand: Operand, rank: int, t: int | None) -> Array:
        """An operand with an axis for the samples and ``rank`` more, laid along one of them or of one unit."""
        found = self.read(operand, t)
        found = found[None] if isinstance(operand, Param) else found
        if operand.axis is not None:
            return np.expand_dims(found, 2 - operand.axis)
        own = found.ndim - 1
        return found if own == rank else found.reshape((found.shape[0], *(1,) * rank))

    def evaluate(self, expr: sympy.Expr, operands: Mapping[Operand, Array]) -> Array:
        return evaluate(expr, operands, self.arithmetic, self.sizes)


def evaluate(
    expr: sympy.Expr, operands: Mapping[Operand, Array], arithmetic: Arithmetic, sizes: Mapping[str, int]
) -> Array:
    """A body as an array, of operands that broadcast; sub-expressions are computed as SymPy holds them."""
    if isinstance(expr, At | Param):
        return operands[expr]
    if isinstance(expr, Count):
        return arithmetic.number(sympy.Integer(expr.size.value(sizes)))
    if isinstance(expr, Constant):
        return arithmetic.number(expr.value)
    if expr.is_Number or isinstance(expr, sympy.NumberSymbol):
        return arithmetic.number(expr)
    args = [evaluate(a, operands, arithmetic, sizes) for a in expr.args]
    if isinstance(expr, sympy.Add):
        return sum(args[1:], args[0])
    if isinstance(expr, sympy.Mul):
        return math.prod(args[1:], start=args[0])
    if isinstance(expr, sympy.Pow):
        return arithmetic.functions[fn.Power](*args)
    return arithmetic.functions[type(expr)](*args)
