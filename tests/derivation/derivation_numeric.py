"""Evaluates displayed formulas as they stand, step by step, knowing nothing of the graphs they were made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy

from symcell.derivation import nodes as nd
from symcell.interpret import EXACT, Run
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, MatVec, Param, written

Array = Any


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
                return np.reshape(self.forward.fixed[e.name], (1, -1))
            case nd.Gradient():
                return self.gradients[e]
            case nd.GradientOf():
                return self.gradients[e]
            case Count():
                return EXACT.number(sympy.Integer(e.size.value(self.sizes)))
            case MatVec():
                return self.of(e.args[1], t) @ self.matrix(e.args[0]).T
            case fn.UnitSum():
                return self.of(e.args[0], t).sum(axis=1, keepdims=True)
            case fn.UnitMax():
                return self.of(e.args[0], t).max(axis=1, keepdims=True)
            case nd.Outer():
                return self.of(e.args[0], t).T @ self.of(e.args[1], t)
            case nd.Total():
                parts = [self.of(e.args[0], s) for s in range(self.steps)]
                outer = isinstance(e.args[0], nd.Outer)
                return sum(p if outer else p.sum(axis=0, keepdims=True) for p in parts)
            case nd.Beside():
                return np.concatenate([self.of(a, t) for a in e.args], axis=1)
            case nd.TransposeOf():
                return self.of(e.args[0], t).T
            case sympy.Add():
                return sum((self.of(a, t) for a in e.args[1:]), self.of(e.args[0], t))
            case sympy.Mul():
                out = self.of(e.args[0], t)
                for a in e.args[1:]:
                    out = out * self.of(a, t)
                return out
            case sympy.Pow():
                return EXACT.functions[fn.Power](*(self.of(a, t) for a in e.args))
        if e.is_number and not isinstance(e, fn.UnitFunction):
            return EXACT.number(e)
        return EXACT.functions[type(e)](*(self.of(a, t) for a in e.args))

    def matrix(self, m: Any) -> Array:
        match m:
            case sympy.MatrixSymbol():
                return self.forward.fixed[str(m.name)]
            case sympy.Transpose():
                return self.matrix(m.arg).T
            case sympy.MatAdd():
                return sum(self.matrix(a) for a in m.args)
            case sympy.MatMul():
                return EXACT.number(m.args[0]) * self.matrix(m.args[1])
            case nd.Columns():
                start, width = (int(s.subs(self.named(s))) for s in m.args[1:])
                return self.matrix(m.args[0])[:, start : start + width]
        raise NotImplementedError(type(m))

    def named(self, size: Any) -> dict[Any, int]:
        return {s: self.sizes[s.name] for s in size.free_symbols}
