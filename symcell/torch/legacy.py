"""Runs for the older vmap, which ``is_grads_batched`` and ``vectorize`` of torch.autograd go through.

Its tensors have no memory of their own, and it asks no function for a rule: each entry runs by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from symcell.torch import calls
from symcell.torch.calls import Call
from symcell.torch.tensors import Maybe


def run(call: Call, tensors: Sequence[Tensor], taped: bool) -> list[Tensor]:
    return calls.run(call, tensors, taped)


def back(
    call: Call, tensors: Sequence[Tensor], kept: Sequence[Tensor], dy: Maybe, dlast: Sequence[Maybe], inputs: bool
) -> list[Maybe]:
    return _by_entry(lambda dy, *dlast: calls.back(call, tensors, kept, dy, dlast, inputs), (dy, *dlast))


def tangent(call: Call, tensors: Sequence[Tensor], dots: Sequence[Maybe]) -> list[Maybe]:
    return _by_entry(lambda *dots: list(calls.tangent(call, tensors, dots)), dots)


def second(
    call: Call, tensors: Sequence[Tensor], dots: Sequence[Maybe], dy: Maybe, dlast: Sequence[Maybe]
) -> list[Maybe]:
    n = len(dots)
    return _by_entry(
        lambda *each: list(calls.second(call, tensors, each[:n], each[n], each[n + 1 :])), (*dots, dy, *dlast)
    )


def _by_entry(function: Callable[..., list[Maybe]], given: Sequence[Maybe]) -> list[Maybe]:
    """A function of tensors; where some are batched, for each of their entries, and its results batched again."""
    if not any(map(_is_batched, given)):
        return function(*given)
    level = _level()
    split = [torch._remove_batch_dim(t, level, 1, 0) if _is_batched(t) else t for t in given]
    count = next(len(t) for t, batched in zip(split, given, strict=True) if t is not None and _is_batched(batched))
    found = [
        function(*(t[k] if t is not None and _is_batched(b) else t for t, b in zip(split, given, strict=True)))
        for k in range(count)
    ]
    return [_joined(each, level) for each in zip(*found, strict=True)]


def _joined(each: Sequence[Any], level: int) -> Maybe:
    batched: Maybe = None if each[0] is None else torch._add_batch_dim(torch.stack(each), 0, level)
    return batched


def _is_batched(tensor: Maybe) -> bool:
    return tensor is not None and is_legacy_batchedtensor(tensor)


def _level() -> int:
    """How deep the vmap is that runs now: a counter of PyTorch's tells it only when it moves."""
    depth: int = torch._C._vmapmode_increment_nesting()
    torch._C._vmapmode_decrement_nesting()
    return max(depth - 1, 1)
