"""Both directions of a layer at once: two runs of one kernel whose steps share launches, where its module does that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from symcell.torch import calls
from symcell.torch.arrays import arrays_of
from symcell.torch.calls import Call
from symcell.torch.functions import Backward, wanted
from symcell.torch.tensors import Maybe
from symcell.torch.untraced import untraced

Tensors = Sequence[Tensor]


def are_together(pair: Sequence[Call], tensors: Sequence[Tensors]) -> bool:
    """Whether two runs can be one: over sequences of several steps, by a module that has ``forward_both``."""
    one, other = pair
    if one.kernel is not other.kernel or one.kernel.target != "cupy" or not hasattr(one.kernel.module, "forward_both"):
        return False
    return one.lengths is not None or next(iter(one.split(tensors[0]).inputs.values())).shape[0] > 1


@untraced
def run(pair: Sequence[Call], tensors: Sequence[Tensors], taped: bool) -> list[list[Tensor]]:
    """:func:`symcell.torch.calls.run` of either."""
    operands = [call.split(each) for call, each in zip(pair, tensors, strict=True)]
    arrays = arrays_of(pair[0].kernel, operands[0].device)
    with arrays.running():
        given = [calls.arguments_of(call, of, arrays) for call, of in zip(pair, operands, strict=True)]
        params, inputs, states = zip(*given, strict=True)
        found = pair[0].kernel.module.forward_both(params, inputs, states, keep_tape=taped, **calls.options_of(pair[0]))
        return [calls.results_of(call, each, arrays) for call, each in zip(pair, found, strict=True)]


@untraced
def back(
    pair: Sequence[Call],
    tensors: Sequence[Tensors],
    kept: Sequence[Tensors],
    dresults: Sequence[Sequence[Maybe]],
    need_inputs: bool,
) -> list[list[Maybe]]:
    """:func:`symcell.torch.calls.back` of either, through what is ``kept``."""
    arrays = arrays_of(pair[0].kernel, pair[0].split(tensors[0]).device)
    with arrays.running():
        given = []
        for call, each, tape, (dy, *dlast) in zip(pair, tensors, kept, dresults, strict=True):
            of = call.split(each)
            params = calls.params_for(call, of, arrays)
            taped = calls.tape_of(call, of, tape, arrays, params)
            given.append((params, taped, *calls.seeds_of(call, dy, dlast, arrays)))
        found = pair[0].kernel.module.backward_both(*zip(*given, strict=True), need_x=need_inputs)
        return [calls.gradients_of(*each, arrays) for each in zip(pair, found, tensors, strict=True)]


@untraced
class RunBoth(Function):
    """``forward_both`` in eager mode: (call, call, *tensors of the one, *of the other) → results of the one, results of
    the other, tapes."""

    @staticmethod
    def forward(ctx: Any, one: Call, other: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        n, m = one.operands, one.results
        found = run((one, other), (tensors[:n], tensors[n:]), True)
        tapes = [each[m:] for each in found]
        ctx.pair, ctx.taped = (one, other), len(tapes[0])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *tapes[0], *tapes[1])
        return *found[0][:m], *found[1][:m]

    @staticmethod
    def backward(ctx: Any, *grads: Maybe) -> tuple[Any, ...]:
        one, other = pair = ctx.pair
        n, m, saved = one.operands, one.results, ctx.saved_tensors
        tensors, rest = (saved[:n], saved[n : 2 * n]), saved[2 * n :]
        tapes, dresults = (rest[: ctx.taped], rest[ctx.taped :]), (grads[:m], grads[m:])
        need = [wanted(call, ctx.needs_input_grad[start : start + n]) for call, start in ((one, 2), (other, 2 + n))]
        if torch.is_grad_enabled():  # they are differentiated again: each direction by itself
            first, second = (
                Backward.apply(call, needs, *each, *seeds, *tape)
                for call, needs, each, seeds, tape in zip(pair, need, tensors, dresults, tapes, strict=True)
            )
            return None, None, *first, *second
        return None, None, *(grad for found in back(pair, tensors, tapes, dresults, any(need)) for grad in found)


def differentiable(pair: Sequence[Call], tensors: Sequence[Tensors]) -> list[list[Tensor]]:
    """:func:`run` with gradients, of plain tensors in eager mode: output and last states of either."""
    found = _apply(*pair, *tensors[0], *tensors[1])
    return [list(found[: pair[0].results]), list(found[pair[0].results :])]


_apply = super(Function, RunBoth).apply
"""As :mod:`symcell.torch.runs` calls functions: without what is for torch.func."""
