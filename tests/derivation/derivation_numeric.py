"""Evaluates displayed formulas as they stand, step by step, knowing nothing of the graphs they were made from.

Values have samples first: (B,) a number, (B, n) a vector, (B, m, n) a matrix; what is fixed has one sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy

from symcell.derivation import nodes as nd
from symcell.interpret import EXACT, Run
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Constant,
    Count,
    Flipped,
    MatVec,
    OuterProduct,
    Param,
    RowScaled,
    written,
)

Array = Any


def _alike(arrays: list[Array]) -> list[Array]:
    """Arrays with as many axes as the one that has most: what has fewer stands for all units."""
    rank = max(a.ndim for a in arrays)
    return [a.reshape(a.shape + (1,) * (rank - a.ndim)) for a in arrays]


def _vector(array: Array) -> Array:
    return array.reshape(len(array), -1)


@dataclass
class Sequence:
    """A sequence's forward values, what arrives from outside, and the cotangents and gradients computed so far."""

    forward: Run
    steps: int
    sizes: dict[str, int]
    seeds: dict[tuple[str, int], Array]
    boundary: dict[tuple[str, int], Array]
    zeros: dict[str, Array]
    deltas: dict[tuple[str, int], Array] = field(default_factory=dict)
    gradients: dict[Any, Array] = field(default_factory=dict)

    def value(self, formula: sympy.Expr, t: int | None) -> Array:
        return self.of(written(formula), t)

    def of(self, e: Any, t: Any) -> Array:
        match e:
            case nd.Delta() | nd.Bar():
                held = self.deltas if isinstance(e, nd.Delta) else self.seeds
                when = t - e.lag
                return self.zeros[e.value] if when >= self.steps else held[e.value, when]
            case At():
                when = min(t - e.lag, self.steps - 1)  # later values stand beside a δ that is 0: any finite one will do
                known = self.forward.varying if when >= 0 else self.boundary
                return known[e.signal, when] if when >= 0 else known.get((e.signal, when), self.zeros[e.signal])
            case Param():
                return self.forward.fixed[e.signal][None]
            case nd.Gradient() | nd.GradientOf():
                return self.gradients[e][None]
            case Count():
                return np.array([EXACT.number(sympy.Integer(e.size.value(self.sizes)))])
            case Constant():
                return np.array([EXACT.number(e.value)])
            case nd.Unit():
                return EXACT.array(np.ones((1, 1)))
            case MatVec() if e.args[1] == nd.ONES:
                return self.matrix(e.args[0], t).sum(axis=2)
            case MatVec():
                return (self.matrix(e.args[0], t) * _vector(self.of(e.args[1], t))[:, None, :]).sum(axis=2)
            case fn.UnitSum() | fn.UnitMax():
                inner = self.of(e.args[0], t)
                axes = tuple(range(1, inner.ndim))
                return inner.sum(axis=axes) if isinstance(e, fn.UnitSum) else inner.max(axis=axes)
            case nd.Outer() | OuterProduct():
                left, right = (_vector(self.of(a, t)) for a in e.args)
                return left[:, :, None] * right[:, None, :]
            case RowScaled():
                return _vector(self.of(e.args[0], t))[:, :, None] * self.of(e.args[1], t)
            case ColumnScaled():
                return self.of(e.args[0], t) * _vector(self.of(e.args[1], t))[:, None, :]
            case nd.Total():
                return np.asarray(sum(self.of(e.args[0], s).sum(axis=0) for s in range(self.steps)))[None]
            case nd.Beside():
                return np.concatenate([self.of(a, t) for a in e.args], axis=2)
            case nd.TransposeOf() | Flipped():
                return self.of(e.args[0], t).swapaxes(1, 2)
            case sympy.Add() | sympy.Mul():
                first, *others = _alike([self.of(a, t) for a in e.args])
                for other in others:
                    first = first + other if isinstance(e, sympy.Add) else first * other
                return first
            case sympy.Pow():
                return EXACT.functions[fn.Power](*_alike([self.of(a, t) for a in e.args]))
        if e.is_number and not isinstance(e, fn.UnitFunction):
            return np.array([EXACT.number(e)])
        return EXACT.functions[type(e)](*_alike([self.of(a, t) for a in e.args]))

    def matrix(self, m: Any, t: Any) -> Array:
        match m:
            case sympy.MatrixSymbol():
                return self.forward.fixed[str(m.name)][None]
            case sympy.Transpose():
                return self.matrix(m.arg, t).swapaxes(1, 2)
            case sympy.MatAdd():
                return sum(self.matrix(a, t) for a in m.args)
            case sympy.MatMul():
                return EXACT.number(m.args[0]) * self.matrix(m.args[1], t)
            case nd.Columns():
                start, width = (int(s.subs(self.named(s))) for s in m.args[1:])
                return self.matrix(m.args[0], t)[:, :, start : start + width]
        return self.of(m, t)

    def named(self, size: Any) -> dict[Any, int]:
        return {s: self.sizes[s.name] for s in size.free_symbols}
