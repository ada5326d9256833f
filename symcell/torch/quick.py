"""Plain runs, straight to the emitted modules: a step of a stream, or a short sequence, takes no longer than its call.

Plain are tensors of the CPU that fit a module of one direction and one input, where nothing is drawn, recorded or
transformed. All else, and what does not fit, goes the long way (None here), which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from symcell.torch import runs
from symcell.torch.calls import Call, params_of

if TYPE_CHECKING:
    from symcell.torch.base import Weights

Arrays = Sequence[np.ndarray[Any, Any]]
Results = tuple[Tensor, list[Tensor]]


def step(net: Weights, x: Any, hx: Any, layered: bool) -> Results | None:
    """The output and the states after a step of all instances, one after the other, without gradients; ``layered``: the
    states have an axis for the instances."""
    tensors = (x, *hx) if isinstance(hx, tuple) else (x, hx)
    if torch.is_grad_enabled() or not _plain(net, tensors):
        return None
    if [t.shape for t in tensors] != net.step_shapes(x.shape[0], layered):
        return None
    y, *states = _arrays(tensors)
    return _all(net, y, states if layered else [state[None] for state in states], layered, _one_step, x.dtype)


def sweep(net: Weights, x: Any, hx: Any) -> Results | None:
    """The same over sequences (T, B, *shape), with gradients; the states have an axis for the instances."""
    tensors = (x,) if hx is None else (x, *hx) if isinstance(hx, tuple) else (x, hx)
    if not _plain(net, tensors) or x.dim() < 3 or not len(x):
        return None
    first, *wanted = net.step_shapes(x.shape[1], True)
    if x.shape[2:] != first[1:] or (hx is not None and [t.shape for t in tensors[1:]] != wanted):
        return None
    if torch.is_grad_enabled() and (True in [t.requires_grad for t in tensors] or net.is_learned()):
        return _taped(net, x, tensors[1:])
    y, *states = _arrays(tensors)
    return _all(net, y, states, True, _all_steps, x.dtype)


def _plain(net: Weights, tensors: Sequence[Any]) -> bool:
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() or torch.is_autocast_enabled("cpu"):
        return False
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0 or not net.at_once[net.training]:
        return False
    if not {*map(type, tensors)} <= _TYPES:
        return False
    like = net._like(tensors[0])
    return type(like) in _TYPES and {(t.dtype, t.is_cpu, t.layout) for t in (like, *tensors)} in _KINDS


_TYPES = {torch.Tensor, torch.nn.Parameter}
_KINDS = ({(torch.float32, True, torch.strided)}, {(torch.float64, True, torch.strided)})


def _arrays(tensors: Sequence[Tensor]) -> list[Any]:
    return [t.detach().numpy() if t.requires_grad else t.numpy() for t in tensors]


def _taped(net: Weights, x: Tensor, given: Sequence[Tensor]) -> Results:
    """All steps of the instances one after the other, to be differentiated."""
    kernel = net._kernels[net.training, False, net.cell.output, "cpu"]
    states = net.states if given else ()
    ends = []
    for number, sizes in enumerate(net.sizes):
        call = Call(kernel, sizes, states, held=net._helds[number])
        weights = [w if w.dtype == x.dtype else w.to(x.dtype) for w in net._tensors(number)]
        x, *last = runs.differentiable(call, [*weights, x.contiguous(), *[s[number] for s in given]])
        ends.append(last)
    return x, [torch.stack(each) if len(each) > 1 else each[0].unsqueeze(0) for each in zip(*ends, strict=True)]


def _all(net: Weights, y: Any, befores: Arrays, layered: bool, run: Callable[..., Any], kind: Any) -> Results:
    """The instances one after the other. ``kind``: the type of numbers."""
    kernel = net._kernels[net.training, False, net.cell.output, "cpu"]
    ends = []
    for number, sizes in enumerate(net.sizes):
        params = params_of(kernel, kernel.module, sizes, net._helds[number], net._tensors(number), {}, None, kind)
        before = {name: state[number] for name, state in zip(net.states, befores, strict=False)}
        y, last = run(kernel.module, params, {kernel.inputs[0]: y}, before)
        ends.append([last[name] for name in net.states])
    after = ends[0] if not layered else [state[None] for state in ends[0]] if len(ends) == 1 else _stacked(ends)
    return torch.from_numpy(y), [torch.from_numpy(state) for state in after]


def _one_step(module: Any, params: Any, x: Any, states: Any) -> Any:
    return module.step(params, x, states)


def _all_steps(module: Any, params: Any, x: Any, states: Any) -> Any:
    return module.forward(params, x, states, keep_tape=False)[:2]


def _stacked(ends: list[list[Any]]) -> list[Any]:
    return [np.stack(states) for states in zip(*ends, strict=True)]
