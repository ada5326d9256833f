"""Which way a run goes: the module at once, a differentiable function, or an operator in a graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from symcell.torch import both, calls, functions, operators, recorded
from symcell.torch.arguments import casts
from symcell.torch.calls import Call

__all__ = ["in_kind", "operators"]


TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""Those of emitted modules."""


def in_kind(instances: Sequence[Call], tensors: Sequence[list[Tensor]]) -> list[list[Tensor]]:
    """The runs of a layer's instances over numbers of the parameters' type, or of autocast's: what is not of it is
    brought to it, parameters where they are read. Types that modules do not have are computed with in float32."""
    first = tensors[0][0]
    cast = casts(first.device) and first.dtype != torch.float64  # which autocast leaves alone
    kind = torch.get_autocast_dtype(first.device.type) if cast else first.dtype
    own = kind if kind in TYPES else torch.float32
    given = []
    for call, each in zip(instances, tensors, strict=True):
        fixed = len(call.kernel.parameters)
        given.append([*each[:fixed], *(t if t.dtype == own else t.to(own) for t in each[fixed:])])
    return [each if kind == own else [t.to(kind) for t in each] for each in run_all(instances, given)]


def run_all(instances: Sequence[Call], tensors: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """The runs of a layer's instances: of both directions at once, or one after the other."""
    every = [t for each in tensors for t in each]
    plain = not (_recorded(every) or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0)
    if len(instances) == 2 and plain and both.are_together(instances, tensors):
        return both.differentiable(instances, tensors) if _has_gradient(every) else both.run(instances, tensors, False)
    return [run(call, each) for call, each in zip(instances, tensors, strict=True)]


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
