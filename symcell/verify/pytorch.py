"""PyTorch as a witness: autograd on a loop through the equations, and PyTorch's own modules where one is the same cell.

Nothing here uses a graph, an adjoint or a plan: the loop is written from the cell's equations as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from symcell.cell import Cell
from symcell.verify.case import Case, Result, loss, state_shape
from symcell.verify.torch_loop import Loop, Tensor


def missing() -> str | None:
    """Why PyTorch cannot be asked, or None where it can."""
    return None if find_spec("torch") else "PyTorch is not installed"


def run(cell: Cell, case: Case) -> Result:
    """A case (without ``lengths``) by autograd in float64, one Python loop over the steps."""
    import torch

    leaves = Leaves(cell, case)
    loop = Loop(cell, case.sizes, "float64")
    outputs, last = loop.sequence({**leaves.params, **leaves.arrays}, leaves.x, leaves.state)
    return leaves.result(case, torch.stack(outputs) if outputs else _tensor(np.zeros(case.dy.shape)), last)


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
