"""Which way a run goes: the module at once, a differentiable function, or an operator in a graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from symcell.torch import calls, functions, operators, recorded
from symcell.torch.calls import Call

__all__ = ["operators", "run"]


def run(call: Call, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The output and the last states of a run over the call's tensors."""
    if _recorded(tensors):
        taped = call.checkpoint is None and _has_gradient(tensors)
        found = torch.ops.symcell.run(*recorded.about(call, tensors), taped)
        return list(found[: call.results])
    if torch._C._are_functorch_transforms_active():
        return list(functions.Run.apply(call, *tensors)[: call.results])
    if _has_gradient(tensors) or forward_ad._current_level >= 0:
        return differentiable(call, tensors)
    return calls.run(call, tensors, False)


def differentiable(call: Call, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same, of plain tensors in eager mode."""
    return list(_apply(call, *tensors)[: call.results])


_apply = super(torch.autograd.Function, functions.Run).apply
"""``Run.apply`` without what it does for torch.func, which takes twice as long as the rest."""


def _recorded(tensors: Sequence[Tensor]) -> bool:
    """Whether somebody watches the operators that are called: a compiler, a mode, or the tensors themselves."""
    if torch.compiler.is_compiling():
        return True
    if torch._C._len_torch_dispatch_stack():
        return True
    return not {*map(type, tensors)} <= _PLAIN or tensors[-1].is_meta


_PLAIN = {torch.Tensor, torch.nn.Parameter}


def _has_gradient(tensors: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and True in [t.requires_grad for t in tensors]
