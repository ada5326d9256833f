"""A run, its gradient, its tangent and its second derivative as differentiable functions: eager mode and torch.func.

Each is derived from the equations: ``Run`` by ``Backward``, that by ``Second`` (the adjoint of the tangent), forward
mode by ``Tangent``. Third derivatives are an error. Under ``vmap`` a run over data folds them into the batch; what has
gradients by the parameters runs for each entry by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from symcell.torch import legacy, recorded
from symcell.torch.calls import Call
from symcell.torch.tensors import Maybe
from symcell.torch.untraced import untraced


@untraced
class Run(Function):
    """``forward``: (call, *tensors) → output, last states, tape."""

    @staticmethod
    def forward(call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(_engine(call).run(call, tensors, call.taped))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.call, *tensors = inputs
        tape = output[ctx.call.results :]
        ctx.tape = len(tape)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*tape)
        ctx.save_for_backward(*tensors, *tape)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Maybe) -> tuple[Any, ...]:
        call = ctx.call
        saved = ctx.saved_tensors
        tensors, tape = saved[: call.operands], saved[call.operands :]
        dresults = grads[: call.results]
        if all(grad is None for grad in dresults):
            return (None, *(None for _ in tensors))
        need = wanted(call, ctx.needs_input_grad[1:])
        if torch.is_grad_enabled():
            return None, *Backward.apply(call, need, *tensors, *dresults, *tape)
        return None, *_engine(call).back(call, tensors, tape, dresults[0], dresults[1:], need)

    @staticmethod
    def jvp(ctx: Any, _: None, *dots: Maybe) -> tuple[Any, ...]:
        call = ctx.call
        tensors = ctx.saved_tensors[: call.operands]
        return *Tangent.apply(call, *tensors, *dots), *(None for _ in range(ctx.tape))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Call, *tensors: Tensor) -> tuple[Any, Any]:
        """The tape is left out: ``Backward`` runs the steps again for each entry."""
        untaped = replace(call, taped=False)
        fixed = len(call.kernel.parameters) + len(call.kernel.constants)
        if call.lengths is None and all(dim is None for dim in in_dims[1 : 1 + fixed]):
            return _folded(info.batch_size, in_dims[1:], untaped, tensors)
        return _each(Run, info.batch_size, in_dims, untaped, *tensors)


@untraced
class Backward(Function):
    """``backward``: (call, need_inputs, *tensors, *gradients by the results, *tape) → gradients by the tensors."""

    @staticmethod
    def forward(call: Call, need: bool, *rest: Any) -> tuple[Maybe, ...]:
        tensors, dresults, tape = _parts(call, rest)
        return tuple(_engine(call).back(call, tensors, tape, dresults[0], dresults[1:], need))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Maybe, ...]) -> None:
        ctx.call, _, *rest = inputs
        ctx.tape = len(rest) - ctx.call.operands - ctx.call.results
        ctx.set_materialize_grads(False)
        kept = rest[: ctx.call.operands + ctx.call.results]
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)

    @staticmethod
    def backward(ctx: Any, *dots: Maybe) -> tuple[Any, ...]:
        call = ctx.call
        tensors, dresults, _ = _parts(call, ctx.saved_tensors)
        nothing = (None, None)
        tape = (None,) * ctx.tape
        if all(dot is None for dot in dots):
            return *nothing, *(None for _ in (*tensors, *dresults)), *tape
        found = Second.apply(call, *tensors, *dots, *dresults)
        ddresults, dtensors = found[: call.results], found[call.results :]
        return _needed(ctx, (*nothing, *dtensors, *ddresults, *tape))

    @staticmethod
    def jvp(ctx: Any, _: None, __: None, *dots: Maybe) -> tuple[Any, ...]:
        """Linear in the gradients by the results; in the tensors the Hessian, which is symmetric."""
        call = ctx.call
        tensors, dresults, _tape = _parts(call, ctx.saved_tensors)
        by_tensors, by_results, _tape = _parts(call, dots)
        found: list[Maybe] = [None] * call.operands
        if any(dot is not None for dot in by_tensors):
            found = _sum(found, Second.apply(call, *tensors, *by_tensors, *dresults)[call.results :])
        if any(dot is not None for dot in by_results):
            found = _sum(found, Backward.apply(replace(call, taped=False), True, *tensors, *by_results))
        return tuple(found)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Call, need: bool, *rest: Any) -> tuple[Any, Any]:
        kept = call.operands + call.results
        return _each(Backward, info.batch_size, in_dims[: 2 + kept], call, need, *rest[:kept])


@untraced
class Tangent(Function):
    """``jvp``: (call, *tensors, *directions) → derivatives of the output and the last states."""

    @staticmethod
    def forward(call: Call, *both: Any) -> tuple[Tensor, ...]:
        return tuple(_engine(call).tangent(call, both[: call.operands], both[call.operands :]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.call, *both = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*both)

    @staticmethod
    def backward(ctx: Any, *dresults: Maybe) -> tuple[Any, ...]:
        """By the directions, in which it is linear, the gradient; by the tensors the second derivative."""
        call = ctx.call
        tensors, dots = ctx.saved_tensors[: call.operands], ctx.saved_tensors[call.operands :]
        if all(grad is None for grad in dresults):
            return (None,) * (1 + 2 * call.operands)
        by_tensors = Second.apply(call, *tensors, *dots, *dresults)[call.results :]
        by_dots = Backward.apply(replace(call, taped=False), True, *tensors, *dresults)
        return _needed(ctx, (None, *by_tensors, *by_dots))

    @staticmethod
    def jvp(ctx: Any, *dots: Maybe) -> tuple[Any, ...]:
        raise NotImplementedError(_TWICE)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Call, *both: Any) -> tuple[Any, Any]:
        return _each(Tangent, info.batch_size, in_dims, call, *both)


@untraced
class Second(Function):
    """``jvp`` and ``second``: (call, *tensors, *directions, *gradients by the results) → derivatives of the results in
    the directions, gradients of those (times the last) by the tensors."""

    @staticmethod
    def forward(call: Call, *rest: Any) -> tuple[Maybe, ...]:
        n = call.operands
        tensors, dots, (dy, *dlast) = rest[:n], rest[n : 2 * n], rest[2 * n :]
        return tuple(_engine(call).second(call, tensors, dots, dy, dlast))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Maybe, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Maybe) -> Any:
        raise NotImplementedError(_THRICE)

    @staticmethod
    def jvp(ctx: Any, *dots: Maybe) -> Any:
        raise NotImplementedError(_THRICE)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Call, *rest: Any) -> tuple[Any, Any]:
        return _each(Second, info.batch_size, in_dims, call, *rest)


_TWICE = "symcell derives one tangent: forward mode over forward mode is not there; torch.func.jacrev over jvp is"
_THRICE = "symcell derives first and second derivatives; a third one of a recurrent cell is not there"


def _engine(call: Call) -> Any:
    return recorded if call.traced else legacy


def _parts(call: Call, rest: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """Tensors, gradients by the results, tape."""
    n = call.operands
    return rest[:n], rest[n : n + call.results], rest[n + call.results :]


def _needed(ctx: Any, grads: Sequence[Maybe]) -> tuple[Maybe, ...]:
    """Without those by what was None, or has no gradient."""
    return tuple(grad if need else None for grad, need in zip(grads, ctx.needs_input_grad, strict=True))


def wanted(call: Call, needed: Sequence[bool]) -> bool:
    """Whether any gradient by an input is needed."""
    return any(call.split(needed).inputs.values())


def _sum(one: Sequence[Maybe], other: Sequence[Maybe]) -> list[Maybe]:
    return [b if a is None else a if b is None else a + b for a, b in zip(one, other, strict=True)]


# vmap


def _each(function: Any, count: int, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
    """A function for each entry by itself, its results stacked."""
    found = [function.apply(*(_entry(a, dim, k) for a, dim in zip(args, in_dims, strict=True))) for k in range(count)]
    results = tuple(None if each[0] is None else torch.stack(each) for each in zip(*found, strict=True))
    return results, tuple(None if result is None else 0 for result in results)


def _entry(value: Any, dim: int | None, number: int) -> Any:
    return value if dim is None else value.select(dim, number)


def _folded(count: int, in_dims: Sequence[int | None], call: Call, tensors: Sequence[Tensor]) -> tuple[Any, Any]:
    """All entries as one batch: the parameters are the same for each."""
    of, dims = call.split(tensors), call.split(in_dims)
    inputs = {name: _fold(t, dims.inputs[name], 1, count) for name, t in of.inputs.items()}
    states = {name: _fold(t, dims.states[name], _axis(call, name), count) for name, t in of.states.items()}
    found = Run.apply(call, *of.params, *of.constants.values(), *inputs.values(), *states.values())
    axes = [1, *(_axis(call, name) for name in call.kernel.states)]
    results = tuple(_unfold(t, axis, count)
                    for t, axis in zip(found, axes, strict=True))  # fmt: skip
    return results, tuple(axes)


def _axis(call: Call, state: str) -> int:
    """Where the batch is in a state."""
    return int(call.kernel.cell.states[state] > 1)


def _fold(tensor: Tensor, dim: int | None, axis: int, count: int) -> Tensor:
    """Entries before the samples, in one axis."""
    if dim is None:
        moved = tensor.unsqueeze(axis).expand(*tensor.shape[:axis], count, *tensor.shape[axis:])
    else:
        moved = tensor.movedim(dim, axis)
    return moved.reshape(*moved.shape[:axis], count * moved.shape[axis + 1], *moved.shape[axis + 2 :])


def _unfold(tensor: Tensor, axis: int, count: int) -> Tensor:
    shape = tensor.shape
    return tensor.reshape(*shape[:axis], count, shape[axis] // max(count, 1), *shape[axis + 1 :])
