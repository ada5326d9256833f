"""What callers pass to Recurrent, checked as PyTorch's modules do: the same types of exceptions."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from symcell.torch.batches import Batch, packed_batch, plain_batch

Shapes = Mapping[str, tuple[int, ...]]


def check_options(
    input_size: Any, hidden_size: Any, num_layers: Any, bias: Any, batch_first: Any, dropout: Any, bidirectional: Any
) -> None:
    """Raises TypeError or ValueError, like torch.nn.LSTM."""
    for name, value in (("bias", bias), ("batch_first", batch_first), ("bidirectional", bidirectional)):
        if not isinstance(value, bool) and (name != "bidirectional" or value not in (0, 1)):
            raise TypeError(f"{name}: expected a bool, got {type(value).__name__} {value!r}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}: expected an int, got {type(value).__name__} {value!r}")
        if value < 1:
            raise ValueError(f"{name}: expected a number greater than zero, got {value}")
    probability("dropout", dropout)
    if dropout and num_layers == 1:
        warnings.warn(
            f"dropout stands after all layers but the last: dropout={dropout} does nothing with num_layers=1",
            stacklevel=3,
        )


def check_checkpoint(value: Any) -> None:
    """Raises ValueError for what ``forward`` of an emitted module does not take."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if value is not None and value != "sqrt" and not number:
        raise ValueError(f'checkpoint: expected None, "sqrt" or a number of steps from 1 on, got {value!r}')


def probability(name: str, value: Any) -> float:
    """Raises ValueError for what is none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name}: expected a probability from 0 to 1, got {value!r}")
    return float(value)


@dataclass(frozen=True)
class Form:
    """What a caller's tensors look like: the axes in front of those of one step, and which exception says that the
    number of axes (``rank``), or the type of numbers (``kind``), is another one, as it does in PyTorch."""

    leads: tuple[tuple[str, ...], ...]
    rank: type[Exception] = ValueError
    kind: type[Exception] = ValueError


_STEPS_FIRST = Form((("T", "B"), ("T",)))
_BATCH_FIRST = Form((("B", "T"), ("T",)))
_PACKED = Form((("N",),), rank=RuntimeError)
_STEP = Form((("B",), ()), kind=RuntimeError)


def casts(device: torch.device) -> bool:
    """Whether tensors of a device are cast as autocast says."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def batch_of(cell: str, input: Any, main: str, shapes: Shapes, batch_first: bool, like: Tensor) -> Batch:
    """The input(s) as a batch. ``shapes``: of one step of each. ``like``: a parameter. Raises ValueError, RuntimeError
    or TypeError, as torch.nn.LSTM does in the same case."""
    inputs = _by_name(cell, input, main, shapes)
    if isinstance(inputs[main], PackedSequence):
        for name, x in inputs.items():
            if not isinstance(x, PackedSequence):
                wanted = "a PackedSequence, as the others are"
                raise TypeError(f"{_label(name, shapes)}: expected {wanted}, got {type(x).__name__}")
            _check_rows(name, x.data, shapes, _PACKED, like)
        return packed_batch(inputs, main)
    form = _BATCH_FIRST if batch_first else _STEPS_FIRST
    _check_all(inputs, main, shapes, form, like)
    batch = plain_batch(inputs, {name: len(shape) for name, shape in shapes.items()}, main, batch_first)
    if not batch.inputs[main].shape[0]:
        given = tuple(inputs[main].shape)
        raise RuntimeError(f"{_label(main, shapes)}: expected at least one step, got the shape {given}")
    return batch


def step_of(cell: str, input: Any, main: str, shapes: Shapes, like: Tensor) -> Batch:
    """The input(s) of one step as a batch of one step. Raises as torch.nn.LSTMCell does in the same case."""
    inputs = _by_name(cell, input, main, shapes)
    _check_all(inputs, main, shapes, _STEP, like)
    single = inputs[main].dim() == len(shapes[main])
    batched = {name: x[None, None] if single else x[None] for name, x in inputs.items()}
    samples = batched[main].shape[1]
    return Batch(batched, samples, 1, (lambda y: y[0, 0]) if single else (lambda y: y[0]), single=single)


def _by_name(cell: str, input: Any, main: str, known: Shapes) -> dict[str, Any]:
    if not isinstance(input, Mapping):
        if len(known) > 1:
            raise TypeError(
                f"{cell} has the inputs {', '.join(known)}: expected a dict by name, got {type(input).__name__}"
            )
        return {main: input}
    if set(input) != set(known):
        raise ValueError(f"input: expected the names {', '.join(known)}, got {', '.join(map(str, input))}")
    return {name: input[name] for name in known}


def _label(name: str, shapes: Shapes) -> str:
    return "input" if len(shapes) == 1 else f"input[{name!r}]"


def _check_all(inputs: Mapping[str, Any], main: str, shapes: Shapes, form: Form, like: Tensor) -> None:
    """Tensors that have the same axes in front."""
    for name, x in inputs.items():
        _check_rows(name, x, shapes, form, like)
    if len(inputs) == 1:
        return
    lead = _lead(inputs[main], shapes[main])
    for name, x in inputs.items():
        if _lead(x, shapes[name]) != lead:
            wanted = f"{_axes((*lead, *shapes[name]))}, as input[{main!r}] begins with {_axes(lead)}"
            raise ValueError(f"input[{name!r}]: expected {wanted}, got {tuple(x.shape)}")


def _lead(x: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x.shape[: x.dim() - len(shape)])


def _axes(names: Sequence[Any]) -> str:
    return f"({', '.join(map(str, names))}{',' * (len(names) == 1)})"


def _check_rows(name: str, x: Any, shapes: Shapes, form: Form, like: Tensor) -> None:
    shape = shapes[name]
    if not _fits(x, shape, form, like):
        _refuse(_label(name, shapes), x, shape, form, like)


def _fits(x: Any, shape: tuple[int, ...], form: Form, like: Tensor) -> bool:
    """Whether all is as it should be: what most calls are, without a word made."""
    return bool(
        isinstance(x, Tensor)
        and x.dtype == like.dtype
        and like.is_floating_point()
        and x.device == like.device
        and x.layout == torch.strided
        and not x.is_nested
        and any(x.dim() == len(lead) + len(shape) for lead in form.leads)
        and x.shape[-len(shape) :] == shape
    )


def _refuse(label: str, x: Any, shape: tuple[int, ...], form: Form, like: Tensor) -> None:
    """Raises what is wrong; nothing is where only the type differs, and autocast is on."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{label}: expected a tensor, got {type(x).__name__}")
    _check_layout(label, x)
    wanted = " or ".join(_axes((*lead, *shape)) for lead in form.leads)
    if x.dim() not in [len(lead) + len(shape) for lead in form.leads]:
        raise form.rank(f"{label}: expected {wanted}, got {x.dim()} axes: {tuple(x.shape)}")
    if x.shape[-len(shape) :] != shape:
        raise RuntimeError(f"{label}: expected {wanted}, got {tuple(x.shape)}")
    if x.device != like.device:
        raise RuntimeError(f"{label}: expected a tensor on {like.device} as the parameters, got one on {x.device}")
    if not like.is_floating_point():
        raise RuntimeError(f"expected parameters of a floating-point type, got {like.dtype}: use module.float()")
    if x.dtype != like.dtype and not casts(like.device):
        raise form.kind(
            f"{label}: expected {like.dtype} as the parameters, got {x.dtype}: use x.to({like.dtype}) or "
            f"module.to({x.dtype})"
        )


def _check_layout(label: str, x: Tensor) -> None:
    if x.layout != torch.strided or x.is_nested:
        came = "a nested one" if x.is_nested else f"one of the layout {x.layout}"
        raise RuntimeError(f"{label}: expected a dense tensor, got {came}")


def states_of(
    names: Sequence[str],
    hx: Any,
    shapes: Shapes,
    axes: Mapping[str, int],
    batch: Batch,
    like: Tensor,
    wrong_rank: type[Exception] = RuntimeError,
) -> dict[str, Tensor]:
    """The initial states that are given, by name, (instances, …, B, *shape) in the order of the batch's samples.

    ``shapes``: those of each with B in it; ``axes``: where that is. Raises RuntimeError or TypeError, as torch.nn.LSTM
    does, and ``wrong_rank`` for a number of axes that fits no input.
    """
    found = {}
    for name, state in _given(names, hx).items():
        label = _state_label(names, name, hx)
        if not isinstance(state, Tensor):
            raise TypeError(f"{label}: expected a tensor, got {type(state).__name__}")
        _check_layout(label, state)
        axis = axes[name]
        wanted = (*shapes[name][:axis], *shapes[name][axis + batch.single :])
        if tuple(state.shape) != wanted:
            fits = state.dim() in (len(shapes[name]), len(shapes[name]) - 1)
            why = " for an input without a batch" if batch.single else ""
            wrong = RuntimeError if fits else wrong_rank
            raise wrong(f"{label}: expected the shape {wanted}{why}, got {tuple(state.shape)}")
        if state.dtype != like.dtype and not casts(like.device):
            raise RuntimeError(f"{label}: expected {like.dtype} as the parameters, got {state.dtype}")
        if state.device != like.device:
            raise RuntimeError(f"{label}: expected a tensor on {like.device} as the parameters, got {state.device}")
        state = state.unsqueeze(axis) if batch.single else state
        found[name] = state if batch.sort is None else state.index_select(axis, batch.sort)
    return found


def _state_label(names: Sequence[str], name: str, hx: Any) -> str:
    if isinstance(hx, Mapping):
        return f"hx[{name!r}]"
    return "hx" if len(names) == 1 else f"hx[{list(names).index(name)}] ({name})"


def _given(names: Sequence[str], hx: Any) -> dict[str, Any]:
    if hx is None:
        return {}
    if isinstance(hx, Mapping):
        unknown = [name for name in hx if name not in names]
        if unknown:
            raise ValueError(f"hx: expected states among {', '.join(names)}, got {', '.join(map(str, unknown))}")
        return dict(hx)
    if len(names) == 1:
        return {names[0]: hx}
    wanted = f"a tuple of the states ({', '.join(names)})"
    if not isinstance(hx, tuple | list):
        raise TypeError(f"hx: expected {wanted}, got {type(hx).__name__}")
    if len(hx) != len(names):
        raise RuntimeError(f"hx: expected {wanted}, got {len(hx)} of them")
    return dict(zip(names, hx, strict=True))
