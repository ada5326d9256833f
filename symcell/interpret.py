"""Run a graph as it stands, one step at a time: the reference that emitted kernels are held against.

The same walk serves float64, complex128 and mpmath at any number of digits: arrays are NumPy arrays (of objects for
mpmath), and an :class:`Arithmetic` says what the functions are. Nothing here shares code with the emitters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy

from symcell.cell import Size
from symcell.graph import Combine, Graph, Matrix, Op, Operand, Outer, Pointwise, Product, Reduce, Total
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Param

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


def _real(z: Any) -> Any:
    """The part of a number on which comparisons are decided (complex numbers: complex-step differentiation)."""
    return z.real if isinstance(z, mpmath.mpc | complex) else z


def _pick(condition: Callable[..., Any]) -> Callable[..., Any]:
    return lambda u, v: mpmath.mpf(1) if condition(_real(u), _real(v)) else mpmath.mpf(0)


_SCALAR: dict[type[Any], Callable[..., Any]] = {
    fn.Sigmoid: lambda v: 1 / (1 + mpmath.exp(-v)),
    fn.Tanh: mpmath.tanh,
    fn.Relu: lambda v: v if _real(v) > 0 else v * 0,
    fn.Exp: mpmath.exp,
    fn.Log: mpmath.log,
    fn.Sqrt: mpmath.sqrt,
    fn.EuclideanRoot: mpmath.sqrt,
    fn.Abs: lambda v: v if _real(v) >= 0 else -v,
    fn.Sin: mpmath.sin,
    fn.Cos: mpmath.cos,
    fn.Erf: mpmath.erf,
    fn.NormalCdf: lambda v: mpmath.erfc(-v / mpmath.sqrt(2)) / 2,
    fn.Softplus: lambda v: mpmath.log1p(mpmath.exp(v)) if _real(v) < 0 else v + mpmath.log1p(mpmath.exp(-v)),
    fn.Elu: lambda v: v if _real(v) > 0 else mpmath.expm1(v),
    fn.Softsign: lambda v: v / (1 + (v if _real(v) >= 0 else -v)),
    fn.HardSigmoid: lambda v: v * 0 if _real(v) <= -3 else v * 0 + 1 if _real(v) >= 3 else v / 6 + mpmath.mpf(1) / 2,
    fn.HardTanh: lambda v: v * 0 - 1 if _real(v) <= -1 else v * 0 + 1 if _real(v) >= 1 else v,
    fn.Sign: lambda v: mpmath.mpf((_real(v) > 0) - (_real(v) < 0)),
    fn.Maximum: lambda u, v: u if _real(u) >= _real(v) else v,
    fn.Minimum: lambda u, v: u if _real(u) <= _real(v) else v,
    fn.Clip: lambda v, low, high: min(max(v, low, key=_real), high, key=_real),
    fn.Power: lambda u, v: u**v,
    fn.Detached: lambda v: v,
    fn.Greater: _pick(lambda u, v: u > v),
    fn.GreaterEqual: _pick(lambda u, v: u >= v),
    fn.Equal: _pick(lambda u, v: u == v),
    fn.NotEqual: _pick(lambda u, v: u != v),
    fn.Where: lambda c, u, v: u if c != 0 else v,
}


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


EXACT = Arithmetic(_mp_number, {k: _elementwise(f) for k, f in _SCALAR.items()}, object)
"""mpmath numbers, real or complex, at the working precision of ``mpmath.mp``."""


@dataclass(frozen=True)
class Run:
    """What a sweep computed: varying values by (name, t), fixed ones by name."""

    varying: Mapping[tuple[str, int], Array]
    fixed: Mapping[str, Array]


def run(
    graph: Graph,
    given: Mapping[tuple[str, int], Array],
    fixed: Mapping[str, Array],
    boundary: Mapping[tuple[str, int], Array],
    *,
    steps: int,
    batch: int,
    sizes: Mapping[str, int],
    arithmetic: Arithmetic = EXACT,
) -> Run:
    """Sweep ``graph`` over ``t = 0 … steps-1``.

    ``given[name, t]`` and ``boundary[name, t]`` are (batch, size): given values, and carried values outside the
    sequence (zero where missing). ``fixed[name]`` is the parameter's array. Vectors are kept as (batch, n), (1, n).
    """
    state = _Sweep(graph, dict(given), dict(fixed), boundary, steps, batch, sizes, arithmetic)
    for part in graph.components():
        for t in range(steps)[:: graph.direction]:
            for op in part.steps:
                if not graph.values[op.out].fixed:
                    state.varying[op.out, t] = state.compute(op, t)
        for op in part.steps:
            if graph.values[op.out].fixed:
                state.fixed[op.out] = state.compute(op, None)
    return Run(state.varying, state.fixed)


@dataclass
class _Sweep:
    graph: Graph
    varying: dict[tuple[str, int], Array]
    fixed: dict[str, Array]
    boundary: Mapping[tuple[str, int], Array]
    steps: int
    batch: int
    sizes: Mapping[str, int]
    arithmetic: Arithmetic

    def zeros(self, *shape: int) -> Array:
        return self.arithmetic.array(np.zeros(shape))

    def length(self, size: Size) -> int:
        return size.value(self.sizes)

    def read(self, operand: Operand, t: int | None) -> Array:
        """An operand as (batch, n) or (1, n)."""
        if isinstance(operand, Param):
            return np.reshape(self.fixed[operand.name], (1, -1))
        assert t is not None
        key = (operand.signal, t - operand.lag)
        if key in self.varying:
            return self.varying[key]
        if 0 <= key[1] < self.steps:
            raise KeyError(key)
        zero = self.zeros(self.batch, self.length(self.graph.size(operand.signal)))
        return self.boundary.get(key, zero)

    def matrix(self, matrix: Matrix) -> Array:
        array = self.fixed[matrix.name]
        if matrix.block is not None:
            start = self.length(matrix.block.start)
            array = array[:, start : start + self.length(matrix.block.width)]
        return array.T if matrix.transposed else array

    def compute(self, op: Op, t: int | None) -> Array:
        match op:
            case Pointwise():
                value = self.evaluate(op.body, t)
                rows = 1 if t is None else self.batch
                shape = (rows, self.length(self.graph.size(op.out)))
                return np.array(np.broadcast_to(self.arithmetic.array(value), shape))
            case Product():
                return sum((self.read(v, t) @ self.matrix(m).T for m, v in op.terms[1:]),
                           self.read(op.terms[0][1], t) @ self.matrix(op.terms[0][0]).T)  # fmt: skip
            case Reduce():
                arg = self.read(op.arg, t)
                if op.kind == "sum":
                    return arg.sum(axis=1, keepdims=True)
                picked = np.argmax(np.vectorize(lambda z: float(_real(z)))(arg), axis=1) if arg.size else []
                return np.take_along_axis(arg, np.reshape(picked, (-1, 1)).astype(int), axis=1)
            case Outer():
                if t is None and isinstance(op.left, Param):
                    return self.read(op.left, None).T @ self.read(op.right, None)
                zero = self.zeros(*(self.length(s) for s in self.graph.values[op.out].shape))
                return sum((self.read(op.left, s).T @ self.read(op.right, s) for s in range(self.steps)), zero)
            case Total():
                zero = self.zeros(1, self.length(self.graph.size(op.out)))
                return sum((self.read(op.arg, s).sum(axis=0, keepdims=True) for s in range(self.steps)), zero)
            case Combine():
                return self.combine(op)

    def combine(self, op: Combine) -> Array:
        out = self.zeros(*(self.length(s) for s in self.graph.values[op.out].shape))
        for term in op.terms:
            start = 0 if term.into is None else self.length(term.into.start)
            part = self.arithmetic.number(term.factor) * self.matrix(term.matrix)
            out[:, start : start + part.shape[1]] = out[:, start : start + part.shape[1]] + part
        return out

    def evaluate(self, expr: sympy.Expr, t: int | None) -> Array:
        """A body as an array; sub-expressions are computed as SymPy holds them."""
        if isinstance(expr, At | Param):
            return self.read(expr, t)
        if isinstance(expr, Count):
            return self.arithmetic.number(sympy.Integer(self.length(expr.size)))
        if expr.is_Number or isinstance(expr, sympy.NumberSymbol):
            return self.arithmetic.number(expr)
        args = [self.evaluate(a, t) for a in expr.args]
        if isinstance(expr, sympy.Add):
            return sum(args[1:], args[0])
        if isinstance(expr, sympy.Mul):
            product = args[0]
            for factor in args[1:]:
                product = product * factor
            return product
        if isinstance(expr, sympy.Pow):
            return self.arithmetic.functions[fn.Power](*args)
        return self.arithmetic.functions[type(expr)](*args)
