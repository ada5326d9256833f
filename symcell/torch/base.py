"""What Recurrent and RecurrentCell share: a cell's parameters for some layers and directions, and its kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from symcell.cell import Cell
from symcell.torch import runs
from symcell.torch.batches import Batch
from symcell.torch.calls import Call
from symcell.torch.kernel import Kernel, kernel_of, states_of
from symcell.torch.masks import Rates, regularized
from symcell.torch.weights import Held, begin, lay_out
from symcell.transforms import with_output, with_resets
from symcell.verify.targets import compiler_missing

TARGETS = ("auto", "numpy", "c", "cupy")
_NO_SCRIPT = "TorchScript cannot hold the cells of symcell: use torch.compile, or torch.export to save a program"


class Instance(NamedTuple):
    """An instance's number, and what it runs over: inputs and given states."""

    number: int
    inputs: Mapping[str, Tensor]
    states: Mapping[str, Tensor]


class Weights(nn.Module):
    """Parameters of one cell, ``sizes[k]`` those of its ``k``-th instance; their names end in ``suffixes[k]``.

    An instance's parameters are views of one storage, in the order in which its kernels read them.
    """

    def __init__(
        self,
        cell: Cell,
        sizes: Iterable[Mapping[str, int]],
        suffixes: Iterable[str],
        target: str,
        zoneout: Rates,
        recurrent_dropout: Rates,
        constants: Mapping[str, Any] | None,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        if target not in TARGETS:
            raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {target!r}")
        self.cell, self.target = cell, target
        self.zoneout, self.recurrent_dropout = zoneout, recurrent_dropout
        self._regularized = regularized(cell, zoneout, recurrent_dropout)
        self.sizes = tuple(dict(each) for each in sizes)
        self.suffixes = tuple(suffixes)
        self._helds = [Held() for _ in self.sizes]
        self.states = states_of(cell)
        self._lags = dict(cell.states)
        self._depth = max(self._lags.values(), default=0)
        self._shapes = tuple(self._shapes_of(numbers) for numbers in self.sizes)
        self._resettable = {
            training: with_resets(self._regularized.variant(training).cell) for training in (True, False)
        }
        self._kernels = self._all_kernels()
        self.at_once = {training: self._is_at_once(training) for training in (True, False)}
        self._step_shapes: dict[tuple[int, bool], list[tuple[int, ...]]] = {}
        flat = self._kernel("cpu", cell).flat
        self._names = tuple(tuple(f"{name}{suffix}" for name in cell.parameters) for suffix in self.suffixes)
        self._arrays = tuple(tuple(f"{name}{suffix}" for name in cell.arrays) for suffix in self.suffixes)
        self._flat_names = tuple(tuple(f"{name}{suffix}" for name in flat) for suffix in self.suffixes)
        self._register(constants or {}, device, dtype)
        self._lay_out()
        self.reset_parameters()

    def _register(self, constants: Mapping[str, Any], device: Any, dtype: Any) -> None:
        """Parameters without values, and constant arrays."""
        cell = self.cell
        unknown = set(constants) - set(cell.arrays)
        if unknown:
            raise ValueError(f"constants: {cell.name} has no constant array {', '.join(sorted(unknown))}")
        for numbers, suffix in zip(self.sizes, self.suffixes, strict=True):
            for name, parameter in cell.parameters.items():
                self._check_free(f"{name}{suffix}")
                empty = torch.empty([size.value(numbers) for size in parameter.shape], device=device, dtype=dtype)
                self.register_parameter(f"{name}{suffix}", nn.Parameter(empty))
            for name, named in cell.arrays.items():
                self._check_free(f"{name}{suffix}")
                array = _constant(cell, name, tuple(size.value(numbers) for size in named), constants)
                kind = dtype or torch.get_default_dtype()
                self.register_buffer(f"{name}{suffix}", array.to(device=device, dtype=kind))

    def _check_free(self, name: str) -> None:
        if hasattr(self, name) or name in _LATER:
            raise ValueError(
                f"{self.cell.name}: {name!r} is a parameter here and an attribute of the module: give it another name"
            )

    def _shapes_of(self, numbers: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Of one step of each input, masks among them, and each state."""
        cell = self._regularized.training.cell
        return {name: tuple(n.value(numbers) for n in cell.shape_of(name)) for name in (*cell.inputs, *cell.states)}

    def _is_at_once(self, training: bool) -> bool:
        """Whether a step is the steps of its kernels for one input each, and nothing besides."""
        masked = self._regularized.variant(training).masks
        host = self._kernels[training, False, self.cell.output, "cpu"].target != "cupy"
        return host and not masked and not self.cell.arrays and len(self.cell.inputs) == 1

    def _all_kernels(self) -> dict[tuple[bool, bool, str, str], Kernel]:
        """By whether it trains, whether states are reset, what it shows, and the kind of device."""
        found: dict[tuple[bool, bool, str, str], Kernel] = {}
        for training in (True, False):
            cell = self._regularized.variant(training).cell
            for resets, known in ((False, cell), (True, self._resettable[training].cell)):
                for name in (cell.output, *(name for name in cell.states if name in cell.signals)):
                    shown = with_output(known, name)
                    kinds = ("cpu", "cuda", "meta")
                    found |= {(training, resets, name, kind): self._kernel(kind, shown) for kind in kinds}
        return found

    # parameters

    def reset_parameters(self) -> None:
        """Start anew: each parameter as the cell says, drawn from PyTorch's generator."""
        for numbers, suffix in zip(self.sizes, self.suffixes, strict=True):
            for name in self.cell.parameters:
                begin(self.cell, name, getattr(self, f"{name}{suffix}"), numbers)

    def flatten_parameters(self) -> None:
        """For code that calls it on PyTorch's modules; nothing to do here."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._names]

    def _lay_out(self) -> None:
        if torch._C._are_functorch_transforms_active():
            return  # parameters made there have no memory of their own
        for names in self._flat_names:
            found = [self._parameters.get(name) for name in names]
            plain = [p for p in found if p is not None]
            if len(plain) == len(found):  # else a parametrization computes some
                lay_out(plain)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        result = super()._apply(fn, recurse)
        self._lay_out()
        return result

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lay_out()

    def _tensors(self, number: int) -> list[Tensor]:
        """The parameters and constant arrays of one instance, as they are now."""
        known = self._parameters
        found = [known[name] if name in known else getattr(self, name) for name in self._names[number]]
        return [*found, *[getattr(self, name) for name in self._arrays[number]]]

    def is_learned(self) -> bool:
        """Whether anything has a gradient by a parameter."""
        return True in [getattr(self, name).requires_grad for names in self._names for name in names]

    def __prepare_scriptable__(self) -> Any:
        raise NotImplementedError(_NO_SCRIPT)

    # runs

    def _like(self, input: Any) -> Any:
        """A tensor of the type and on the device of the parameters; the input, where there are none."""
        if torch.jit.is_tracing():
            raise NotImplementedError(_NO_SCRIPT)
        for name in (*self._names[0], *self._arrays[0]):
            return getattr(self, name)
        first = next(iter(input.values()), None) if isinstance(input, Mapping) else input
        return first.data if isinstance(first, PackedSequence) else first

    def _generator(self, seed: int | None, device: torch.device) -> Any:
        """What masks are drawn with; None: PyTorch's own generator."""
        if seed is None:
            return None
        return torch.Generator("cpu" if device.type == "meta" else device).manual_seed(seed)

    def _run(
        self,
        instances: Sequence[Instance],
        batch: Batch,
        shown: tuple[str, ...],
        generator: Any,
        checkpoint: int | str | None = None,
    ) -> list[tuple[dict[str, Tensor], list[Tensor]]]:
        """Instances over sequences, at once where their module can: of each the signals that are ``shown``, the output
        first, and the last states."""
        names = (*self.cell.parameters, *self.cell.arrays)
        weights = [dict(zip(names, self._tensors(instance.number), strict=True)) for instance in instances]
        like = next(iter((*weights[0].values(), *instances[0].inputs.values())))
        parts = [self._completed(instance, batch, like, generator) for instance in instances]
        found: list[dict[str, Tensor]] = [{} for _ in parts]
        last: list[dict[str, Tensor]] = [{} for _ in parts]
        for name in shown:
            kernel = self._shown(name, batch, like)
            calls, tensors = [], []
            for (number, inputs, states), named in zip(parts, weights, strict=True):
                calls.append(Call(kernel, self.sizes[number], tuple(states), batch.lengths, checkpoint=checkpoint,
                                  held=self._helds[number]))  # fmt: skip
                fixed = [named[p] for p in (*kernel.parameters, *kernel.constants)]
                tensors.append([*fixed, *(inputs[x].contiguous() for x in kernel.inputs), *states.values()])
            for place, (y, *ends) in enumerate(runs.in_kind(calls, tensors)):
                found[place][name] = y
                last[place] = last[place] or dict(zip(kernel.states, ends, strict=True))
        return [(ys, self._ended(part.number, ends, batch)) for part, ys, ends in zip(parts, found, last, strict=True)]

    def _completed(self, instance: Instance, batch: Batch, like: Tensor, generator: Any) -> Instance:
        """With masks among its inputs, and, where states are reset, their starts."""
        number, inputs, states = instance
        if self._regularized.variant(self.training).masks:
            drawn = self._regularized.masks(self.training, self._shapes[number], batch, like, generator)
            inputs = {**inputs, **drawn}
        if batch.keeps is not None:
            known = self._resettable[self.training]
            inputs = {**inputs, **{name: batch.keeps[lag] for lag, name in known.keeps.items()}}
            states = {**self._begun(number, batch.samples, known.starts), **states}
        return Instance(number, inputs, states)

    def _shown(self, name: str, batch: Batch, like: Tensor) -> Kernel:
        """The kernel that shows a signal on the device of a tensor."""
        resets = batch.keeps is not None
        known = self._kernels.get((self.training, resets, name, like.device.type))
        return known or self._kernels[self.training, resets, name, "cpu"]  # which says what devices there are

    def _ended(self, number: int, last: Mapping[str, Tensor], batch: Batch) -> list[Tensor]:
        """The last states in their order."""
        if batch.keeps is not None:
            last = {name: self._forgotten(number, name, state, batch.keeps) for name, state in last.items()}
        return [last[name] for name in self.states]

    def _forgotten(self, number: int, name: str, state: Tensor, keeps: Mapping[int, Tensor]) -> Tensor:
        """The last steps of a state (k, B, *shape), at their start where they lie behind a reset."""
        lags = self._lags[name]
        if lags == 1:
            return state
        kept = torch.stack([*(keeps[lag][-1] for lag in range(lags - 1, 0, -1)), torch.ones_like(keeps[1][-1])])
        kept = kept.view(*kept.shape[:2], *[1] * (state.dim() - 2))
        start = self._resettable[self.training].starts.get(name)
        begun = torch.zeros((), dtype=state.dtype, device=state.device)
        if start is not None:
            begun = getattr(self, f"{start}{self.suffixes[number]}").to(state.dtype)
        return torch.where(kept > 0, state, begun)

    def _begun(self, number: int, batch: int, starts: Mapping[str, str]) -> dict[str, Tensor]:
        """States at their learned starts."""
        suffix = self.suffixes[number]
        return {s: getattr(self, f"{p}{suffix}").expand(self._state_shape(s, batch)) for s, p in starts.items()}

    def step_shapes(self, batch: int, layered: bool) -> list[tuple[int, ...]]:
        """Of the one input of a step and of the states, with an axis for the instances in front where ``layered``."""
        found = self._step_shapes.get((batch, layered))
        if found is None:
            (name,) = self.cell.inputs
            lead = [len(self.sizes)] if layered else []
            found = [(batch, *self._shapes[0][name]), *((*lead, *self._state_shape(s, batch)) for s in self.states)]
            self._step_shapes[batch, layered] = found
        return found

    def _kernel(self, device_type: str, cell: Cell) -> Kernel:
        target = self.target
        if target == "auto":
            target = "cupy" if device_type == "cuda" else _on_the_host()
        return kernel_of(cell, target)

    def _state_shape(self, name: str, batch: int) -> tuple[int, ...]:
        lags = self._lags[name]
        return (*([lags] if lags > 1 else []), batch, *self._shapes[0][name])

    def extra_repr(self) -> str:
        told = [repr(self._given_name), str(self.input_size), str(self.hidden_size)]
        told += [f"{name}={number}" for name, number in self._given_sizes.items()]
        for name, default in _DEFAULTS.items():
            value = getattr(self, name, default)
            if value != default:
                told.append(f"{name}={value!r}")
        return ", ".join(told)


_DEFAULTS = {
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "target": "auto",
    "checkpoint": None,
    "zoneout": 0.0,
    "recurrent_dropout": 0.0,
}
_LATER = ("input_size", "hidden_size", "bias", "_main", "_given_name", "_given_sizes")
"""Attributes that the modules give themselves after their parameters."""


@functools.cache
def _on_the_host() -> str:
    """The fastest target for tensors of the CPU here."""
    return "numpy" if compiler_missing() else "c"


def _constant(cell: Cell, name: str, shape: tuple[int, ...], constants: Mapping[str, Any]) -> Tensor:
    if name not in constants:
        raise TypeError(f"{cell.name} has the constant array {name} {shape}: expected constants={{{name!r}: ...}}")
    given = constants[name]
    found = given.detach().clone() if isinstance(given, Tensor) else torch.tensor(given)
    if tuple(found.shape) != shape:
        raise ValueError(f"constants[{name!r}]: expected the shape {shape}, got {tuple(found.shape)}")
    return found
