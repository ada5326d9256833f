"""Evaluates displayed formulas as they stand, step by step, knowing nothing of the graphs they were made from.

Values have samples first: (B,) a number, (B, n) a vector, (B, m, n) a matrix; what is fixed has one sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy

from symcell.derivation import nodes as nd
from symcell.derivation.composites import pulled_back
from symcell.interpret import EXACT, Run
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Constant,
    Count,
    Flipped,
    Join,
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


def _over_units(function: Any, u: Array) -> Array:
    """A function over units from its definition."""
    root = EXACT.functions[fn.Sqrt]
    epsilon = EXACT.number(sympy.Float(fn.NORM_EPSILON))
    centred = u - u.mean(axis=1, keepdims=True)
    match function:
        case fn.LayerNorm():
            return centred / root((centred**2).mean(axis=1, keepdims=True) + epsilon)
        case fn.RmsNorm():
            return u / root((u**2).mean(axis=1, keepdims=True) + epsilon)
        case fn.Softmax():
            powers = EXACT.functions[fn.Exp](u)
            return powers / powers.sum(axis=1, keepdims=True)
        case fn.UnitNorm():
            return root((u**2).sum(axis=1))
        case fn.UnitVar():
            return (centred**2).mean(axis=1)
    raise NotImplementedError(function.text)


@dataclass
class Sequence:
    """A sequence's forward values, what arrives from outside, and the cotangents and gradients computed so far.

    Steps count from 0, so that T is ``steps - 1`` and the step before the first is -1. ``arriving``: what comes from
    outside at the last states; ``letters``: what formulas that speak in general call a value.
    """

    forward: Run
    steps: int
    sizes: dict[str, int]
    seeds: dict[tuple[str, int], Array]
    boundary: dict[tuple[str, int], Array]
    zeros: dict[str, Array]
    deltas: dict[tuple[str, int], Array] = field(default_factory=dict)
    gradients: dict[Any, Array] = field(default_factory=dict)
    arriving: dict[tuple[str, int], Array] = field(default_factory=dict)
    letters: dict[Any, Array] = field(default_factory=dict)

    def value(self, formula: sympy.Expr, t: int | None) -> Array:
        return self.of(written(formula), t)

    def of(self, e: Any, t: Any) -> Array:
        if e in self.letters:
            return self.letters[e]
        match e:
            case nd.When():
                return self.of(e.args[0], {"T": self.steps - 1, "0": -1}[e.args[1].name])
            case nd.Last():
                return self.arriving.get((e.value, t - e.lag), self.zeros[e.value])
            case nd.Rows():
                rows = [_vector(self.of(e.args[0], s)) for s in range(self.steps)]
                batch = max(len(r) for r in rows)
                return np.concatenate([np.broadcast_to(r, (batch, r.shape[1])) for r in rows])[None]
            case nd.Chain():
                first, *others = (self.factor(a, t) for a in e.args)
                for other in others:
                    first = first @ other
                return first
            case nd.Blocks():
                return np.concatenate(
                    [np.concatenate([self.block(a, t) for a in row], axis=2) for row in e.rows], axis=1
                )
            case Join():
                parts = [_vector(self.of(a, t)) for a in e.args]
                batch = max(map(len, parts))
                return np.concatenate([np.broadcast_to(p, (batch, p.shape[1])) for p in parts], axis=1)
            case nd.Samples():
                return self.of(e.args[0], t).sum(axis=0)[None]
            case nd.InitialTotal():
                before = sorted({when for _, when in self.deltas if when < 0})
                return np.asarray(sum(self.of(e.args[0], s).sum(axis=0) for s in before))[None]
            case nd.Delta() | nd.Bar():
                held = self.deltas if isinstance(e, nd.Delta) else self.seeds
                when = t - e.lag
                return held[e.value, when] if 0 <= when < self.steps else held.get((e.value, when), self.zeros[e.value])
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
            case fn.UnitMean():
                inner = self.of(e.args[0], t)
                return inner.mean(axis=tuple(range(1, inner.ndim))) if inner.ndim > 1 else inner
            case nd.Inner():
                left, right = _alike([self.of(a, t) for a in e.args])
                return (left * right).sum(axis=tuple(range(1, left.ndim)))
            case nd.Above():
                above, tie = fn.Greater(*e.args), fn.GreaterEqual(*e.args)
                return self.of(above / 2 + tie / 2, t)
            case nd.Pullback():
                return self.value(pulled_back(e), t)
            case nd.Prime():
                return self.of(e.args[0].derivative(0), t)
            case fn.Dot():
                left, right = (self.of(a, t) for a in e.args)
                return (left * right).sum(axis=1)
            case fn.OverUnits():
                return self.gained(_over_units(e, self.of(e.args[0], t)), e.args[1:], t)
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

    def gained(self, normal: Array, around: Any, t: Any) -> Array:
        """A normalised value with its gain and its bias."""
        for k, expr in enumerate(around):
            first, other = _alike([normal, self.of(expr, t)])
            normal = first + other if k else first * other
        return normal

    def factor(self, e: Any, t: Any) -> Array:
        """A factor of a product of matrices."""
        return self.matrix(e, t) if isinstance(e, sympy.MatrixExpr) else self.of(e, t)

    def block(self, e: Any, t: Any) -> Array:
        """A block: a matrix, or a vector as one column."""
        if isinstance(e, sympy.MatrixExpr):
            return self.matrix(e, t)
        found = self.of(e, t)
        return found if found.ndim == 3 else _vector(found)[:, :, None]

    def named(self, size: Any) -> dict[Any, int]:
        return {s: self.sizes[s.name] for s in size.free_symbols}
