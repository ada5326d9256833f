"""One run of a cell over tensors, as an emitted module does it: nothing here is seen by autograd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from symcell.torch.arrays import Arrays, arrays_of, host_integers
from symcell.torch.kernel import Kernel, Sizes
from symcell.torch.untraced import untraced
from symcell.torch.weights import Held, flat_of


@dataclass(frozen=True, eq=False)
class Call:
    """What a run needs besides tensors.

    Its tensors are, in order: the parameters, the constant arrays, the inputs, and the ``states`` that are given.
    ``lengths``: (B,) integers in descending order, where the inputs are packed rows (sum(lengths), *shape); None where
    they are (T, B, *shape). ``checkpoint``: as ``forward`` takes it. ``held``: remembers the parameters as the module
    has them. ``traced``: it goes through the operators, which a graph can hold. ``packing``: the module's, once
    there is a tape.
    """

    kernel: Kernel
    sizes: Sizes
    states: tuple[str, ...] = ()
    lengths: Tensor | None = None
    taped: bool = True
    checkpoint: int | str | None = None
    held: Held = field(default_factory=Held)
    traced: bool = False
    packing: list[Any] = field(default_factory=list)

    @property
    def results(self) -> int:
        """How many tensors a run returns before those of the tape: the output and the last states."""
        return 1 + len(self.kernel.states)

    def split(self, tensors: Sequence[Any]) -> Operands:
        """Tensors, or their gradients, in this call's order."""
        kernel = self.kernel
        n = len(kernel.parameters)
        rest = iter(tensors[n:])
        constants, inputs, states = ({name: next(rest) for name in names}
                                     for names in (kernel.constants, kernel.inputs, self.states))  # fmt: skip
        return Operands(tensors[:n], constants, inputs, states)

    @property
    def operands(self) -> int:
        """How many tensors it takes."""
        kernel = self.kernel
        return sum(map(len, (kernel.parameters, kernel.constants, kernel.inputs, self.states)))


class Operands(NamedTuple):
    """What a call works on: parameters in the kernel's order, all else by name."""

    params: Sequence[Any]
    constants: dict[str, Any]
    inputs: dict[str, Any]
    states: dict[str, Any]

    @property
    def kind(self) -> torch.dtype:
        """The type of numbers that a module is given; parameters may be of another, under autocast."""
        found: torch.dtype = next(iter(self.inputs.values())).dtype
        return found

    @property
    def device(self) -> torch.device:
        found: torch.device = next(iter(self.inputs.values())).device
        return found


# forward


@untraced
def run(call: Call, tensors: Sequence[Tensor], taped: bool) -> list[Tensor]:
    """The output, the last states, and, where it is ``taped``, what is on the tape."""
    of = call.split(tensors)
    arrays = arrays_of(call.kernel, of.device)
    with arrays.running():
        if not taped and call.lengths is None and next(iter(of.inputs.values())).shape[0] == 1:
            return _step(call, of, arrays)
        return results_of(call, _forward(call, of, arrays, taped), arrays)


def results_of(call: Call, found: tuple[Any, dict[str, Any], Any], arrays: Arrays) -> list[Tensor]:
    """What ``forward`` returned, as tensors."""
    y, last, tape = found
    results = [arrays.tensor(y), *(arrays.tensor(last[name]) for name in call.kernel.states)]
    return results if tape is None else [*results, *_kept(call, tape, arrays)]


def _forward(call: Call, of: Operands, arrays: Arrays, taped: bool) -> tuple[Any, dict[str, Any], Any]:
    found: tuple[Any, dict[str, Any], Any] = call.kernel.module.forward(
        *arguments_of(call, of, arrays), keep_tape=taped, **options_of(call)
    )
    return found


def arguments_of(call: Call, of: Operands, arrays: Arrays) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """What ``forward`` works on: parameters, inputs, states."""
    params = params_for(call, of, arrays)
    return params, _arrays(of.inputs, arrays), _arrays(of.states, arrays)


def options_of(call: Call) -> dict[str, Any]:
    """How ``forward`` is to run."""
    options: dict[str, Any] = {} if call.lengths is None else {"lengths": host_integers(call.lengths), "packed": True}
    if call.checkpoint is not None:
        options["checkpoint"] = call.checkpoint
    return options


def _step(call: Call, of: Operands, arrays: Arrays) -> list[Tensor]:
    """A sequence of one step, which needs no tape."""
    x = {name: arrays.array(tensor[0]) for name, tensor in of.inputs.items()}
    y, last = call.kernel.module.step(params_for(call, of, arrays), x, _arrays(of.states, arrays))
    return [arrays.tensor(y).unsqueeze(0), *(arrays.tensor(last[name]) for name in call.kernel.states)]


def params_of(
    kernel: Kernel,
    module: Any,
    sizes: Sizes,
    held: Held,
    params: Sequence[Tensor],
    constants: Mapping[str, Tensor],
    arrays: Arrays | None,
    kind: torch.dtype,
) -> Any:
    """The parameters as a module has them: from one call to the next the same where they lie at the same place.

    ``arrays``: None for those of the CPU. ``kind``: the type of numbers, to which parameters of others are brought.
    Raises ValueError for a parameter of another shape than the cell's.
    """

    def make(flat: Tensor) -> Any:
        for name, tensor in zip(kernel.parameters, params, strict=True):
            shape = kernel.shape(kernel.cell.parameters[name].shape, sizes)
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name}: expected a parameter of the shape {shape}, got {tuple(tensor.shape)}")
        known = arrays or arrays_of(kernel, flat.device)
        return module.Params(
            known.array(flat.to(kind)), dict(sizes), *([_arrays(constants, known)] if constants else [])
        )

    ordered = [params[place] for place in kernel.places]
    if constants or not ordered or kernel.emulated or ordered[0].dtype != kind:  # copies, good for this call
        like = next(iter((*ordered, *constants.values())), torch.empty(0, dtype=kind))
        return make(flat_of(ordered) if ordered else like.new_empty(0))
    return held.params(module, ordered, make)


def params_for(call: Call, of: Operands, arrays: Arrays, module: Any = None) -> Any:
    """A call's parameters as a module has them: as the kernel's own has, where none is named."""
    kernel = call.kernel
    module = module or kernel.module
    return params_of(kernel, module, call.sizes, call.held, of.params, of.constants, arrays, of.kind)


def _arrays(tensors: Mapping[str, Tensor], arrays: Arrays) -> dict[str, Any]:
    return {name: arrays.array(tensor) for name, tensor in tensors.items()}


# the tape


def _kept(call: Call, tape: Any, arrays: Arrays) -> list[Tensor]:
    """What is on a tape, without the inputs."""
    if call.checkpoint is not None:
        return [arrays.tensor(start[name]) for start in tape.starts for name in sorted(start)]
    kernel = call.kernel
    if not kernel.tape:
        kernel.tape[:] = tape.arrays  # at once: several threads may come here
    call.packing.append(tape.pack)
    found = zip(tape.arrays.values(), kernel.tape_inputs(), strict=True)
    return [arrays.tensor(array) for array, name in found if name is None]


def tape_of(call: Call, of: Operands, kept: Sequence[Tensor], arrays: Arrays, params: Any) -> Any:
    """The tape again."""
    module = call.kernel.module
    pack = _packing(call, of)
    inputs = _arrays(of.inputs, arrays)
    rest = iter(kept)
    known = {"sizes": dict(call.sizes), "dtype": params.flat.dtype}
    if call.checkpoint is not None:
        names = [sorted(call.states), *[sorted(call.kernel.states)] * len(kept)]
        starts = [{name: arrays.array(tensor) for name, tensor in zip(each, rest, strict=False)} for each in names]
        every = module._every(call.checkpoint, None, params, pack.steps, pack.batch, call.lengths is not None, True)
        pieces = max(1, -(-pack.steps // every))
        ends = None if pack.order is None else pack.ends
        packed = call.lengths is not None
        return module.Checkpoints(
            every, pack.steps, pack.batch, ends, packed, inputs=inputs, starts=starts[:pieces], **known
        )
    known["arrays"] = {
        name: arrays.array(next(rest)) if whose is None else pack.rows(inputs[whose])
        for name, whose in zip(call.kernel.tape, call.kernel.tape_inputs(), strict=True)
    }
    if "given" in module.Tape._fields:
        known["given"] = frozenset(call.states)
    return module.Tape(pack, **known)


def _packing(call: Call, of: Operands) -> Any:
    """Which rows each step works on: as the forward run had it, or found again."""
    if call.packing:
        return call.packing[0]
    packing = call.kernel.module.Packing
    if call.lengths is None:
        steps, batch = next(iter(of.inputs.values())).shape[:2]
        return packing(steps, batch, None, False)
    lengths = host_integers(call.lengths)
    steps = int(lengths.max(initial=0))
    return packing(steps, len(lengths), None if (lengths == steps).all() else lengths, True)


# backward


@untraced
def back(
    call: Call,
    tensors: Sequence[Tensor],
    kept: Sequence[Tensor],
    dy: Tensor | None,
    dlast: Sequence[Tensor | None],
    need_inputs: bool,
) -> list[Tensor | None]:
    """The gradients by the call's tensors; the steps are run again first where nothing was ``kept``."""
    of = call.split(tensors)
    arrays = arrays_of(call.kernel, of.device)
    with arrays.running():
        params = params_for(call, of, arrays)
        tape = tape_of(call, of, kept, arrays, params) if kept else _forward(call, of, arrays, True)[2]
        grads = call.kernel.module.backward(params, tape, *seeds_of(call, dy, dlast, arrays), need_x=need_inputs)
        return gradients_of(call, grads, tensors, arrays)


def seeds_of(call: Call, dy: Tensor | None, dlast: Sequence[Tensor | None], arrays: Arrays) -> tuple[Any, Any]:
    """What ``backward`` starts from."""
    return _array(dy, arrays), _given(call, dlast, arrays)


def _array(tensor: Tensor | None, arrays: Arrays) -> Any:
    return None if tensor is None else arrays.array(tensor.contiguous())


def _given(call: Call, last: Sequence[Tensor | None], arrays: Arrays) -> dict[str, Any]:
    found = zip(call.kernel.states, last, strict=True)
    return {name: _array(tensor, arrays) for name, tensor in found if tensor is not None}


def gradients_of(call: Call, grads: Any, tensors: Sequence[Tensor], arrays: Arrays) -> list[Tensor | None]:
    """By the call's tensors, each of the type of that."""
    kernel = call.kernel
    names, by_input, params = kernel.inputs, grads.x, grads.params
    if len(names) == 1 or by_input is None:
        by_input = dict.fromkeys(names, by_input)
    found = [params[name] for name in kernel.parameters]
    found += [None for _ in kernel.constants]
    found += [by_input[name] for name in names]
    found += [grads.state[name] for name in call.states]
    return [
        None if array is None else arrays.tensor(array).to(tensor.dtype)
        for array, tensor in zip(found, tensors, strict=True)
    ]


# tangents and second derivatives


@untraced
def tangent(call: Call, tensors: Sequence[Tensor], dots: Sequence[Tensor | None]) -> list[Tensor]:
    """The derivatives of the output and the last states in the direction ``dots`` of the tensors (None: zero)."""
    of = call.split(tensors)
    arrays = arrays_of(call.kernel, of.device)
    with arrays.running():
        _, _, y_dot, last_dot, _ = _jvp(call, of, dots, arrays, False)
        return [arrays.tensor(y_dot), *(arrays.tensor(last_dot[name]) for name in call.kernel.states)]


@untraced
def second(
    call: Call,
    tensors: Sequence[Tensor],
    dots: Sequence[Tensor | None],
    dy: Tensor | None,
    dlast: Sequence[Tensor | None],
) -> list[Tensor]:
    """The output's and the last states' derivatives in the direction ``dots``, and the gradients, by the call's
    tensors, of their products with ``dy`` and ``dlast``."""
    of = call.split(tensors)
    arrays = arrays_of(call.kernel, of.device)
    module = call.kernel.twice
    with arrays.running():
        _, _, y_dot, last_dot, tape = _jvp(call, of, dots, arrays, True)
        params = params_for(call, of, arrays, call.kernel.twice)
        grads = module.second(params, tape, _array(dy, arrays), _given(call, dlast, arrays))
        found = [arrays.tensor(y_dot), *(arrays.tensor(last_dot[name]) for name in call.kernel.states)]
        return [*found, *gradients_of(call, grads, tensors, arrays)]


def _jvp(call: Call, of: Operands, dots: Sequence[Tensor | None], arrays: Arrays, taped: bool) -> Any:
    by = call.split(dots)
    options = {} if call.lengths is None else {"lengths": host_integers(call.lengths), "packed": True}
    return call.kernel.twice.jvp(
        params_for(call, of, arrays, call.kernel.twice), _arrays(of.inputs, arrays), _arrays(of.states, arrays),
        params_dot=_dots(dict(zip(call.kernel.parameters, by.params, strict=True)), of.kind, arrays),
        x_dot=_all_or_none(by.inputs, of.inputs, arrays),
        state_dot=_dots(by.states, of.kind, arrays), keep_tape=taped, **options,
    )  # fmt: skip


def _dots(dots: Mapping[str, Tensor | None], kind: torch.dtype, arrays: Arrays) -> dict[str, Any]:
    return {name: _array(dot.to(kind), arrays) for name, dot in dots.items() if dot is not None}


def _all_or_none(dots: Mapping[str, Tensor | None], inputs: Mapping[str, Tensor], arrays: Arrays) -> Any:
    if all(dot is None for dot in dots.values()):
        return None
    return {name: _array(torch.zeros_like(inputs[name]) if dot is None else dot, arrays) for name, dot in dots.items()}
