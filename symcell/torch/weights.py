"""Where parameters lie: each is a view of one storage for all of a cell's, so that kernels read them in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from symcell.cell import Cell, Parameter, Start


def flat_of(parameters: Sequence[Tensor]) -> Tensor:
    """All parameters one after the other: their own memory where they lie like that, else a copy."""
    if adjacent(parameters):
        total = sum(p.numel() for p in parameters)
        return parameters[0].detach().as_strided((total,), (1,))
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def adjacent(parameters: Sequence[Tensor]) -> bool:
    """Whether they lie one after the other in one storage, as in :func:`lay_out`."""
    first, last = parameters[0], parameters[-1]
    place = first.data_ptr()
    size = first.element_size()
    for parameter in parameters:
        if parameter.data_ptr() != place or not parameter.is_contiguous() or parameter.dtype != first.dtype:
            return False
        place += parameter.numel() * size
    return first.untyped_storage().data_ptr() == last.untyped_storage().data_ptr()


def lay_out(parameters: Sequence[Tensor]) -> None:
    """Give parameters one storage, each a view of it; left as they are where they cannot have one: parameters of
    several types or devices, one that occurs twice, and those of no plain tensors (FSDP's)."""
    plain = all(type(p.data) is torch.Tensor for p in parameters)
    if not plain or len({id(p) for p in parameters}) < len(parameters) or len(parameters) < 1:
        return
    if len({(p.dtype, p.device) for p in parameters}) > 1 or adjacent_or_empty(parameters):
        return
    with torch.no_grad():
        flat = torch.cat([p.data.reshape(-1) for p in parameters])
        start = 0
        for parameter in parameters:
            part = flat[start : start + parameter.numel()]
            parameter.data = part.view(parameter.shape)
            start += parameter.numel()


def adjacent_or_empty(parameters: Sequence[Tensor]) -> bool:
    return parameters[0].device.type == "meta" or adjacent(parameters)


class Held:
    """What stays of one call for the next: the parameters as the module has them, with the memory for its steps.

    It is neither copied nor pickled: a copy begins anew.
    """

    def __init__(self) -> None:
        self._found: tuple[Any, Any] = (None, None)  # one value, as several threads may run a module

    def params(self, module: Any, parameters: Sequence[Tensor], make: Callable[[Tensor], Any]) -> Any:
        """``make(flat)`` of these parameters; what it made last where they lie where they lay."""
        where = [module, parameters[0].dtype]
        where += [p.data_ptr() for p in parameters]
        where += [p.shape for p in parameters if p.is_contiguous()]
        known, params = self._found
        if where != known:
            flat = flat_of(parameters)
            params = make(flat)
            if flat.data_ptr() == parameters[0].data_ptr():  # else they are a copy, good for this call
                self._found = where, params
        return params

    def __deepcopy__(self, memo: object) -> Held:
        return Held()

    def __reduce__(self) -> tuple[type[Held], tuple[()]]:
        return Held, ()


def begin(cell: Cell, name: str, tensor: Tensor, sizes: Mapping[str, int]) -> None:
    """Fill a parameter with what it starts from, drawn from PyTorch's generator."""
    parameter: Parameter = cell.parameters[name]
    start = parameter.start
    with torch.no_grad():
        if not isinstance(start, Start):
            tensor.fill_(start)
        else:
            _STARTS[start.kind](tensor, start.scale, cell.spread.value(sizes))


def _uniform(tensor: Tensor, scale: float | None, spread: int) -> None:
    bound = 1 / math.sqrt(spread) if scale is None else scale
    tensor.uniform_(-bound, bound)


def _normal(tensor: Tensor, scale: float | None, spread: int) -> None:
    tensor.normal_(0, 1 if scale is None else scale)


def _glorot(tensor: Tensor, scale: float | None, spread: int) -> None:
    bound = math.sqrt(6 / sum(tensor.shape))  # Glorot & Bengio (2010)
    tensor.uniform_(-bound, bound)


def _orthogonal(tensor: Tensor, scale: float | None, spread: int) -> None:
    wide = torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.dtype  # what PyTorch can do
    tensor.copy_(torch.nn.init.orthogonal_(torch.empty_like(tensor, dtype=wide)))


_STARTS: Mapping[str, Any] = {
    "zeros": lambda tensor, scale, spread: tensor.zero_(),
    "ones": lambda tensor, scale, spread: tensor.fill_(1),
    "identity": lambda tensor, scale, spread: torch.nn.init.eye_(tensor),
    "orthogonal": _orthogonal,
    "uniform": _uniform,
    "normal": _normal,
    "glorot": _glorot,
}
