"""The runs of :mod:`symcell.torch.calls` as operators, below autograd: for graphs that are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symcell.torch.calls import Call
from symcell.torch.tensors import Maybe


def about(call: Call, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
    """The arguments that all operators begin with."""
    sizes = [call.sizes[name] for name in call.kernel.sizes]
    states = [call.kernel.states.index(name) for name in call.states]
    return call.kernel.key, sizes, states, call.lengths, str(call.checkpoint or ""), list(tensors)


def run(call: Call, tensors: Sequence[Tensor], taped: bool) -> list[Tensor]:
    return _below("run", *about(call, tensors), taped)


def back(
    call: Call, tensors: Sequence[Tensor], kept: Sequence[Tensor], dy: Maybe, dlast: Sequence[Maybe], inputs: bool
) -> list[Maybe]:
    return _spread(call, _below("back", *about(call, tensors), [dy, *dlast], list(kept), inputs), inputs)


def tangent(call: Call, tensors: Sequence[Tensor], dots: Sequence[Maybe]) -> list[Tensor]:
    return _below("tangent", *about(call, tensors), list(dots))


def second(
    call: Call, tensors: Sequence[Tensor], dots: Sequence[Maybe], dy: Maybe, dlast: Sequence[Maybe]
) -> list[Maybe]:
    found = _below("second", *about(call, tensors), list(dots), [dy, *dlast])
    return [*found[: call.results], *_spread(call, found[call.results :], True)]


def _below(name: str, *args: Any) -> list[Tensor]:
    with torch._C._AutoDispatchBelowAutograd():
        found: list[Tensor] = getattr(torch.ops.symcell, name)(*args)
    return found


def _spread(call: Call, grads: Sequence[Tensor], inputs: bool) -> list[Maybe]:
    """Gradients in the call's order, None where an operator has none."""
    kernel = call.kernel
    rest = iter(grads)
    return [
        *(next(rest) for _ in kernel.parameters),
        *(None for _ in kernel.constants),
        *(next(rest) if inputs else None for _ in kernel.inputs),
        *rest,
    ]
