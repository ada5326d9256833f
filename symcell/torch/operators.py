"""The runs as operators of ``torch.ops.symcell``: what a graph of torch.compile, torch.export or make_fx holds.

    run     a cell over sequences: output, last states, tape
    back    the gradients by its tensors
    tangent, second    as in :mod:`symcell.torch.functions`, which differentiates these operators, too

No result is missing: a gradient by what has none (constant arrays) is left out, all others are zeros at worst.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from symcell.torch import calls, functions
from symcell.torch.calls import Call
from symcell.torch.kernel import kernel
from symcell.torch.tensors import Maybe

Results = Sequence[Maybe]

_ABOUT = "str kernel, SymInt[] sizes, int[] states, Tensor? lengths, str checkpoint, Tensor[] tensors"


# what they compute


def _run(call: Call, tensors: Sequence[Tensor], taped: bool) -> Results:
    return calls.run(call, tensors, taped)


def _back(call: Call, tensors: Sequence[Tensor], dresults: Results, tape: Sequence[Tensor], inputs: bool) -> Results:
    return calls.back(call, tensors, tape, dresults[0], dresults[1:], inputs)


def _tangent(call: Call, tensors: Sequence[Tensor], dots: Results) -> Results:
    return calls.tangent(call, tensors, dots)


def _second(call: Call, tensors: Sequence[Tensor], dots: Results, dresults: Results) -> Results:
    return calls.second(call, tensors, dots, dresults[0], dresults[1:])


# how they are differentiated: by the functions of eager mode, whose own runs are these operators again


def _run_autograd(call: Call, tensors: Sequence[Tensor], taped: bool) -> Results:
    return functions.Run.apply(replace(call, taped=taped), *tensors)


def _back_autograd(
    call: Call, tensors: Sequence[Tensor], dresults: Results, tape: Sequence[Tensor], inputs: bool
) -> Results:
    return functions.Backward.apply(call, inputs, *tensors, *dresults, *tape)


def _tangent_autograd(call: Call, tensors: Sequence[Tensor], dots: Results) -> Results:
    return functions.Tangent.apply(call, *tensors, *dots)


def _second_autograd(call: Call, tensors: Sequence[Tensor], dots: Results, dresults: Results) -> Results:
    return functions.Second.apply(call, *tensors, *dots, *dresults)


# what they return, in shapes


def _run_fake(call: Call, tensors: Sequence[Tensor], taped: bool) -> Results:
    results = _results(call, tensors)
    if not taped:
        return results
    lead, batch, like = _lead(call, tensors)
    rows = lead[0] * lead[1] if len(lead) == 2 else lead[0]
    tape = call.kernel.tape_arrays(rows, batch, call.sizes, like.dtype)
    return [*results, *(like.new_empty(shape, dtype=dtype) for shape, dtype in tape)]


def _back_fake(
    call: Call, tensors: Sequence[Tensor], dresults: Results, tape: Sequence[Tensor], inputs: bool
) -> Results:
    return _gradients(call, tensors, inputs)


def _tangent_fake(call: Call, tensors: Sequence[Tensor], dots: Results) -> Results:
    return _results(call, tensors)


def _second_fake(call: Call, tensors: Sequence[Tensor], dots: Results, dresults: Results) -> Results:
    return [*_results(call, tensors), *_gradients(call, tensors, True)]


def _results(call: Call, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Like the output and the last states."""
    lead, batch, like = _lead(call, tensors)
    known = call.kernel
    y = like.new_empty((*lead, *known.output_shape(call.sizes)))
    return [y, *(like.new_empty(known.state_shape(name, batch, call.sizes)) for name in known.states)]


def _lead(call: Call, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], Any, Tensor]:
    """The leading axes of the inputs, the batch, and a tensor of the kind."""
    x = next(iter(call.split(tensors).inputs.values()))
    if call.lengths is None:
        return tuple(x.shape[:2]), x.shape[1], x
    return tuple(x.shape[:1]), call.lengths.shape[0], x


def _gradients(call: Call, tensors: Sequence[Tensor], inputs: bool) -> list[Tensor]:
    of = call.split(tensors)
    found = (*of.params, *(of.inputs.values() if inputs else ()), *of.states.values())
    return [tensor.new_empty(tensor.shape) for tensor in found]


# the registry


def _operator(function: Callable[..., Results]) -> Callable[..., list[Tensor]]:
    """A function of a call as one of the operator's arguments."""

    def run(
        key: str, sizes: Sequence[int], states: Sequence[int], lengths: Maybe, checkpoint: str, *rest: Any
    ) -> list[Tensor]:
        known = kernel(key)
        every = int(checkpoint) if checkpoint.isdecimal() else checkpoint or None
        named = dict(zip(known.cell.sizes, sizes, strict=True))
        call = Call(known, named, tuple(known.states[k] for k in states), lengths, checkpoint=every, traced=True)
        return [result.contiguous() for result in function(call, *rest) if result is not None]

    return run


def _vmapped(operator: Callable[..., list[Tensor]]) -> Callable[..., Any]:
    """An operator under vmap: each entry by itself."""

    def run(info: Any, in_dims: Any, *args: Any) -> tuple[list[Tensor], list[int]]:
        flat, spec = tree_flatten(args)
        dims, _ = tree_flatten(in_dims)
        found = []
        for k in range(info.batch_size):
            each = [a if dim is None else a.select(dim, k) for a, dim in zip(flat, dims, strict=True)]
            found.append(operator(*tree_unflatten(each, spec)))
        results = [torch.stack(parts) for parts in zip(*found, strict=True)]
        return results, [0] * len(results)

    return run


_LIBRARY = torch.library.Library("symcell", "DEF")
for _name, _takes, _compute, _autograd, _fake in (
    ("run", "bool taped", _run, _run_autograd, _run_fake),
    ("back", "Tensor?[] dresults, Tensor[] tape, bool inputs", _back, _back_autograd, _back_fake),
    ("tangent", "Tensor?[] dots", _tangent, _tangent_autograd, _tangent_fake),
    ("second", "Tensor?[] dots, Tensor?[] dresults", _second, _second_autograd, _second_fake),
):
    _LIBRARY.define(f"{_name}({_ABOUT}, {_takes}) -> Tensor[]")
    for _device in ("CPU", "CUDA"):
        _LIBRARY.impl(_name, _operator(_compute), _device)
    _LIBRARY.impl(_name, _operator(_autograd), "Autograd")
    torch.library.register_fake(f"symcell::{_name}", _operator(_fake), lib=_LIBRARY)
    torch.library.register_vmap(f"symcell::{_name}", _vmapped(getattr(torch.ops.symcell, _name)), lib=_LIBRARY)
