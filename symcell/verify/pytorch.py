"""PyTorch as a witness: autograd on a loop through the equations, and PyTorch's own modules where one is the same cell.

Nothing here uses a graph, an adjoint or a plan: the loop walks the cell's equations as they were written.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import sympy

from symcell.cell import Cell
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Constant,
    Flipped,
    Hadamard,
    Join,
    MatVec,
    Minus,
    OuterProduct,
    Param,
    Quotient,
    RowScaled,
    Sum,
)
from symcell.verify.case import Case, Result, lengths_of, loss, state_shape

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
    """A case's arrays as tensors, which collect gradients but for the constant ones; ``state`` holds every state, given
    or not."""

    def __init__(self, cell: Cell, case: Case) -> None:
        self.arrays = {k: _tensor(v) for k, v in case.arrays.items()}
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

        inside = replace(case, dy=_tensor(case.dy), dlast={k: _tensor(v) for k, v in case.dlast.items()})
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
    """The equations of a cell, step by step. Every value has the samples in front: (B, n), (B, rows, columns);
    a fixed one (1, n), (1, rows, columns); a fixed scalar has no axis, one of a sample and a reduction are (B, 1)."""

    def __init__(self, cell: Cell, case: Case, leaves: Leaves) -> None:
        self.cell, self.case = cell, case
        self.fixed = {**leaves.params, **leaves.arrays}
        self.functions = _functions()
        self.values: dict[tuple[str, int], Tensor] = {(k, t): v for k, xs in leaves.x.items() for t, v in enumerate(xs)}
        for name, depth in cell.states.items():
            for j in range(depth):
                self.values[name, j - depth] = leaves.state[name][j]

    def sequence(self) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        steps, batch = self.case.steps, self.case.batch
        for t in range(steps):
            for signal in self.cell.order:
                value = torch.as_tensor(self.value(self.cell.equation(signal).rhs, t), dtype=torch.float64)
                shape = lengths_of(self.cell.shape_of(signal), self.case.sizes)
                self.values[signal, t] = _lifted(value, 1 + len(shape)).expand(batch, *shape)
        y = [self.values[self.cell.output, t] for t in range(steps)]
        last = {
            name: torch.stack([self.values[name, steps - depth + j] for j in range(depth)])
            for name, depth in self.cell.states.items()
        }
        return torch.stack(y) if y else torch.zeros(self.case.dy.shape, dtype=torch.float64), last

    def value(self, expr: Any, t: int) -> Any:
        """An expression at step ``t``."""
        if isinstance(expr, At):
            return self.values[expr.signal, t - expr.lag]
        if isinstance(expr, Param | sympy.MatrixSymbol):
            return _batched(self.fixed[expr.signal if isinstance(expr, Param) else expr.name])
        if isinstance(expr, Constant):
            return float(expr.value)
        if (expr.is_number and not expr.args) or isinstance(expr, sympy.Rational):
            return float(expr)
        if type(expr) in _SHAPING:
            return self.shaping(expr, t)
        args = [self.value(a, t) for a in expr.args]
        if not isinstance(expr, fn.OverUnits):
            axes = max((a.ndim for a in args if hasattr(a, "ndim")), default=0)
            args = [_lifted(a, axes) if hasattr(a, "ndim") else a for a in args]
        return self.functions[expr.func](*args)

    def shaping(self, expr: Any, t: int) -> Tensor:
        """What is not computed element by element."""
        import torch

        if isinstance(expr, Join):
            return torch.cat([self.value(a, t).expand(self.case.batch, -1) for a in expr.args], dim=-1)
        if isinstance(expr, Flipped):
            return self.value(expr.args[0], t).mT
        first, second = (self.matrix(a) if isinstance(a, sympy.MatrixExpr) else self.value(a, t) for a in expr.args)
        if isinstance(expr, MatVec):
            return (first @ second[..., None])[..., 0]
        if isinstance(expr, OuterProduct):
            return first[:, :, None] * second[:, None, :]
        return first[:, :, None] * second if isinstance(expr, RowScaled) else first * second[:, None, :]

    def matrix(self, expr: Any) -> Tensor:
        """A fixed matrix as it is written."""
        if isinstance(expr, sympy.MatrixSymbol):
            return _batched(self.fixed[expr.name])
        if isinstance(expr, sympy.Transpose):
            return self.matrix(expr.arg).mT
        if isinstance(expr, sympy.MatMul):
            factor, (rest,) = expr.as_coeff_matrices()
            return self.value(factor, 0) * self.matrix(rest)
        assert isinstance(expr, sympy.MatAdd), expr
        parts = [self.matrix(a) for a in expr.args]
        return sum(parts[1:], parts[0])


_SHAPING = (Join, Flipped, MatVec, OuterProduct, RowScaled, ColumnScaled)


def _batched(array: Tensor) -> Tensor:
    return array[None] if array.ndim else array


def _lifted(value: Tensor, axes: int) -> Tensor:
    """A number of each sample beside matrices: (B, 1) as (B, 1, 1)."""
    return value[..., None] if value.ndim == 2 and axes == 3 and value.shape[1] == 1 else value


def _on_tensors(torch: Any, parts: tuple[str, ...]) -> Callable[..., Tensor]:
    """A function by its expression in PyTorch, a part for each argument if there are several; it takes numbers and
    conditions too."""

    @functools.cache
    def code(count: int) -> types.CodeType:
        chosen = parts[0] if len(parts) == 1 else "".join(parts[:count])
        return compile(chosen.format(*(f"v{k}" for k in range(count))), "<a function in PyTorch>", "eval")

    def call(*args: Any) -> Tensor:
        tensors = {f"v{k}": torch.as_tensor(v, dtype=torch.float64) for k, v in enumerate(args)}
        return eval(code(len(args)), {"torch": torch, **tensors})

    return call


def _functions() -> dict[Any, Callable[..., Any]]:
    """What each class of the language's vocabulary is in PyTorch."""
    import torch

    def tensor(v: Any) -> Tensor:
        return torch.as_tensor(v, dtype=torch.float64)

    def product(*factors: Any) -> Any:
        out = factors[0]
        for factor in factors[1:]:
            out = out * factor
        return out

    basic = {f: _on_tensors(torch, (f.row.torch,)) for f in fn.FUNCTIONS}
    return (
        basic
        | {f: _on_tensors(torch, f.torch) for f in fn.OVER_UNITS.values()}
        | {
            sympy.Pow: lambda u, v: torch.pow(tensor(u), float(v)),
            Sum: lambda *terms: sum(terms[1:], terms[0]),
            sympy.Add: lambda *terms: sum(terms[1:], terms[0]),
            Minus: lambda v: -v,
            Hadamard: product,
            sympy.Mul: product,
            Quotient: lambda u, v: u / v,
        }
    )
