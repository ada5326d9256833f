"""PyTorch as a witness: autograd on a loop through the equations, and PyTorch's own modules where one is the same cell.

Nothing here uses a graph, an adjoint or a plan: the loop walks the cell's equations as they were written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import sympy

from symcell.cell import Cell
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Hadamard, Join, MatVec, Minus, Param, Quotient, Sum
from symcell.verify.case import Case, Result, loss, state_shape

Tensor = Any
"""A ``torch.Tensor``: PyTorch need not be installed, to the type checker either."""


def missing() -> str | None:
    """Why PyTorch cannot be asked, or None where it can."""
    return None if find_spec("torch") else "PyTorch is not installed"


def run(cell: Cell, case: Case) -> Result:
    """A case (without ``lengths``) by autograd in float64, one Python loop over the steps."""
    leaves = Leaves(cell, case)
    y, last = _Loop(cell, case, leaves).sequence()
    return leaves.result(case, y, last)


class Leaves:
    """A case's arrays as tensors that collect gradients; ``state`` holds every state, given or not."""

    def __init__(self, cell: Cell, case: Case) -> None:
        self.params = {k: _tensor(v).requires_grad_() for k, v in case.params.items()}
        self.x = {k: _tensor(v).requires_grad_() for k, v in case.x.items()}
        self.state = {name: self._start(cell, case, name) for name in cell.states}

    def _start(self, cell: Cell, case: Case, name: str) -> Tensor:
        shape = state_shape(cell, name, case.batch, case.sizes)
        if name not in case.state and name in cell.initial:
            return self.params[cell.initial[name]].expand(shape)
        return _tensor(case.state.get(name, np.zeros(shape))).requires_grad_()

    def result(self, case: Case, y: Tensor, last: Mapping[str, Tensor]) -> Result:
        """Differentiate the loss by every leaf."""
        import torch

        inside = Case(case.sizes, {}, {}, {}, _tensor(case.dy), {k: _tensor(v) for k, v in case.dlast.items()})
        total = loss(inside, y, last) + torch.zeros((), dtype=torch.float64, requires_grad=True)
        groups = (self.params, self.x, self.state)
        leaves = [v for group in groups for v in group.values()]
        found = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True) if leaves else ()
        named = iter(g.numpy() for g in found)
        params, x, state = ({k: next(named) for k in group} for group in groups)
        return Result(y.detach().numpy(), {k: v.detach().numpy() for k, v in last.items()}, params, x, state)


def _tensor(array: Any) -> Tensor:
    import torch

    return torch.tensor(np.asarray(array, float), dtype=torch.float64)


class _Loop:
    """The equations of a cell, evaluated step by step; values are (batch, n), before the sequence too."""

    def __init__(self, cell: Cell, case: Case, leaves: Leaves) -> None:
        self.cell, self.case, self.params = cell, case, leaves.params
        self.functions = _functions()
        self.values: dict[tuple[str, int], Tensor] = {(k, t): v for k, xs in leaves.x.items() for t, v in enumerate(xs)}
        for name, depth in cell.states.items():
            start = leaves.state[name]
            for j in range(depth):
                self.values[name, j - depth] = start[j] if depth > 1 else start

    def sequence(self) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        steps, batch = self.case.steps, self.case.batch
        for t in range(steps):
            for signal in self.cell.order:
                value = self.unit(self.cell.equation(signal).rhs, t)
                width = self.cell.size_of(signal).value(self.case.sizes)
                self.values[signal, t] = torch.as_tensor(value, dtype=torch.float64).expand(batch, width)
        y = [self.values[self.cell.output, t] for t in range(steps)]
        last = {}
        for name, depth in self.cell.states.items():
            values = [self.values[name, steps - depth + j] for j in range(depth)]
            last[name] = torch.stack(values) if depth > 1 else values[0]
        return torch.stack(y) if y else torch.zeros(self.case.dy.shape, dtype=torch.float64), last

    def unit(self, expr: Any, t: int) -> Any:
        """An expression over units at step ``t``."""
        if isinstance(expr, At):
            return self.values[expr.signal, t - expr.lag]
        if isinstance(expr, Param):
            return self.params[expr.name]
        if (expr.is_number and not expr.args) or isinstance(expr, sympy.Rational):
            return float(expr)
        if isinstance(expr, MatVec):
            return self.vector(expr.args[1], t) @ self.matrix(expr.args[0]).T
        args = [self.unit(a, t) for a in expr.args]
        if isinstance(expr, fn.OverUnits):
            return self.functions[type(expr)](*args)
        return self.functions[expr.func](*args)

    def vector(self, expr: Any, t: int) -> Any:
        import torch

        if isinstance(expr, Join):
            parts = [self.unit(a, t).expand(self.case.batch, -1) for a in expr.args]
            return torch.cat(parts, dim=-1)
        return self.unit(expr, t)

    def matrix(self, expr: Any) -> Tensor:
        if isinstance(expr, sympy.MatrixSymbol):
            return self.params[expr.name]
        if isinstance(expr, sympy.Transpose):
            return self.matrix(expr.arg).T
        if isinstance(expr, sympy.MatMul):
            factor, (rest,) = expr.as_coeff_matrices()
            return float(factor) * self.matrix(rest)
        assert isinstance(expr, sympy.MatAdd), expr
        parts = [self.matrix(a) for a in expr.args]
        return sum(parts[1:], parts[0])


def _on_tensors(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Tensor]:
    """A function of tensors as one that takes numbers too."""
    import torch

    return lambda v: function(torch.as_tensor(v, dtype=torch.float64))


def _functions() -> dict[Any, Callable[..., Any]]:
    """What each class of the language's vocabulary is in PyTorch."""
    import torch
    from torch.nn import functional

    def tensor(v: Any) -> Tensor:
        return torch.as_tensor(v, dtype=torch.float64)

    def product(*factors: Any) -> Any:
        out = factors[0]
        for factor in factors[1:]:
            out = out * factor
        return out

    def clip(v: Any, low: Any, high: Any) -> Any:
        return torch.clamp(tensor(v), tensor(low), tensor(high))

    def layernorm(v: Tensor, gain: Any = 1.0, bias: Any = 0.0) -> Tensor:
        return functional.layer_norm(v, v.shape[-1:], eps=fn.NORM_EPSILON) * gain + bias

    def rmsnorm(v: Tensor, gain: Any = 1.0) -> Tensor:
        return functional.rms_norm(v, v.shape[-1:], eps=fn.NORM_EPSILON) * gain

    one_argument: dict[Any, Callable[[Tensor], Tensor]] = {
        fn.Sigmoid: torch.sigmoid, fn.Tanh: torch.tanh, fn.Relu: torch.relu, fn.Exp: torch.exp, fn.Log: torch.log,
        fn.Sqrt: torch.sqrt, fn.Abs: torch.abs, fn.Sin: torch.sin, fn.Cos: torch.cos, fn.Erf: torch.erf,
        fn.Softplus: lambda v: functional.softplus(v, threshold=700), fn.Elu: functional.elu,
        fn.Softsign: functional.softsign, fn.HardTanh: functional.hardtanh,
        fn.HardSigmoid: lambda v: functional.hardtanh(v / 6 + 0.5, 0.0, 1.0),  # hardsigmoid's own 1/6 is a float32
        fn.Sign: torch.sign, fn.Silu: functional.silu, fn.Gelu: functional.gelu, fn.LogSigmoid: functional.logsigmoid,
    }  # fmt: skip
    return {of: _on_tensors(f) for of, f in one_argument.items()} | {
        fn.LeakyRelu: lambda v, slope: functional.leaky_relu(tensor(v), float(slope)),
        fn.Maximum: lambda u, v: torch.maximum(tensor(u), tensor(v)),
        fn.Minimum: lambda u, v: torch.minimum(tensor(u), tensor(v)),
        fn.Clip: clip,
        fn.Power: lambda u, v: torch.pow(tensor(u), tensor(v)),
        sympy.Pow: lambda u, v: torch.pow(tensor(u), float(v)),
        fn.Greater: lambda u, v: tensor(u) > tensor(v),
        fn.GreaterEqual: lambda u, v: tensor(u) >= tensor(v),
        fn.Equal: lambda u, v: tensor(u) == tensor(v),
        fn.NotEqual: lambda u, v: tensor(u) != tensor(v),
        fn.Where: lambda c, u, v: torch.where(c, tensor(u), tensor(v)),
        Sum: lambda *terms: sum(terms[1:], terms[0]),
        sympy.Add: lambda *terms: sum(terms[1:], terms[0]),
        Minus: lambda v: -v,
        Hadamard: product,
        sympy.Mul: product,
        Quotient: lambda u, v: u / v,
        fn.UnitSum: lambda v: v.sum(-1, keepdim=True),
        fn.UnitMean: lambda v: v.mean(-1, keepdim=True),
        fn.UnitVar: lambda v: v.var(-1, correction=0, keepdim=True),
        fn.UnitMax: lambda v: v.amax(-1, keepdim=True),
        fn.UnitNorm: lambda v: torch.linalg.vector_norm(v, dim=-1, keepdim=True),
        fn.Softmax: lambda v: torch.softmax(v, -1),
        fn.Dot: lambda u, v: (u * v).sum(-1, keepdim=True),
        fn.LayerNorm: layernorm,
        fn.RmsNorm: rmsnorm,
    }
