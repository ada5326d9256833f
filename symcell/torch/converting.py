"""PyTorch's recurrent modules as Recurrent and back, and other libraries' layers by their arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from symcell import formats
from symcell.cell import Cell
from symcell.equivalence import Difference, Equivalence, compare
from symcell.formats import ForeignModule, Known, Layer
from symcell.language import as_cell
from symcell.torch import exporting
from symcell.torch.sizes import main_input

_TORCH = formats.library("torch")


def equivalent(cell: Cell | str | Path, other: Any) -> Known | Equivalence | None:
    """Whether a cell is the same function as another one, up to names, the order of gates and how biases are split.

    other: torch.nn.LSTM, GRU or RNN, an instance of one, or another cell (a Cell, name or path). What is returned
    converts parameters: of one layer and direction of a module by ``to_cell`` and ``from_cell`` (its arrays are called
    ``weight_ih``, ``weight_hh``, …), of another cell by ``to_other`` and ``to_one``. None where they are different
    functions, or not known to be the same; :func:`difference` says why.
    """
    found = _compared(as_cell(cell), other)
    return None if isinstance(found, Difference) else found


def difference(cell: Cell | str | Path, other: Any) -> str | None:
    """Why a cell is not :func:`equivalent` to another one; None where it is."""
    found = _compared(as_cell(cell), other)
    return str(found) if isinstance(found, Difference) else None


def _compared(cell: Cell, other: Any) -> Known | Equivalence | Difference:
    if isinstance(other, Cell | str | Path):
        return compare(cell, as_cell(other))
    first: Difference | None = None
    for module in _candidates(other):
        found = formats.known(module, cell)
        if isinstance(found, Known):
            return found
        first = first or found
    assert first is not None
    return first


def _candidates(module: Any) -> list[ForeignModule]:
    """The layouts of a module, or those of its class."""
    if isinstance(module, nn.Module):
        return [layout_of(module)]
    found = [m for m in _TORCH.modules if getattr(nn, m.name) is module]
    if not found:
        known = ", ".join(dict.fromkeys(f"torch.nn.{m.name}" for m in _TORCH.modules))
        raise TypeError(f"expected {known}, an instance of one, or a cell, got {module!r}")
    return found


def layout_of(module: nn.Module) -> ForeignModule:
    """What a module of torch.nn computes. Raises TypeError for other modules."""
    for candidate in _TORCH.modules:
        kind = getattr(nn, candidate.name)
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return _TORCH.module(candidate.name, vars(module))
    known = ", ".join(dict.fromkeys(f"torch.nn.{m.name}" for m in _TORCH.modules))
    raise TypeError(f"module: expected one of {known}, got {type(module).__name__}")


class Converted:
    """What a Recurrent can be made of and made into."""

    @classmethod
    def from_torch(cls, module: nn.Module, cell: Cell | str | Path | None = None, **arguments: Any) -> Self:
        """A torch.nn.LSTM, GRU or RNN with a copy of its parameters: all layers and directions, its type and device,
        its dropout and mode. cell: one that is the same function; default: the shipped one. arguments: Recurrent's own
        (``target``, ``checkpoint``, …).

        Raises TypeError for other modules, ValueError for a cell that is another function.
        """
        known, options = options_from(module, cell)
        make: Any = cls
        made: Self = make(known.equal.other, **{**options, **arguments})
        fill_from(made, module, known)
        return made

    @classmethod
    def from_arrays(
        cls,
        library: str,
        name: str,
        arrays: Mapping[str, Any] | Sequence[Any],
        options: Mapping[str, object] | None = None,
        cell: Cell | str | None = None,
        **arguments: Any,
    ) -> Self:
        """One layer of another library from its arrays: ``Recurrent.from_arrays("keras", "LSTM", layer.get_weights(),
        layer.get_config())``, or ``("onnx", "GRU", {"W": …, "R": …, "B": …}, {"linear_before_reset": 1})`` with both
        directions. The rest, and errors, as in :func:`symcell.formats.from_arrays`; arguments: Recurrent's own.
        """
        layer = formats.from_arrays(library, name, arrays, options, cell)
        make: Any = cls
        made: Self = make(layer.cell, **{**options_of(layer), **arguments})
        fill(made, layer.params)
        return made

    def to_torch(self) -> nn.Module:
        """The torch.nn.LSTM, GRU or RNN with the same outputs, with a copy of the parameters. Raises ValueError where
        there is none, saying for each what is different."""
        return to_torch(self)

    def to_arrays(self, library: str, name: str, options: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The way back from :meth:`from_arrays`: NumPy arrays by the library's names, in its order
        (``layer.set_weights(list(arrays.values()))``).

        Raises ValueError for more than one layer, a library that keeps directions apart where there are two, or a layer
        that is another function.
        """
        return to_arrays(self, library, name, options)

    def to_onnx(self, path: str | os.PathLike[str], *, lengths: bool = True) -> None:
        """Write the module as it is used (``eval()``) as an ONNX model, all layers and directions; half types become
        float32. Its inputs and outputs are those of :func:`symcell.onnx.stack`.

        Raises ImportError without onnx (the extra ``onnx``), OSError where the file cannot be written.
        """
        exporting.to_onnx(self, path, lengths)


def options_from(module: nn.Module, cell: Cell | str | Path | None) -> tuple[Known, dict[str, Any]]:
    """How a module of torch.nn is a cell, and what to make a Recurrent of it with.

    Raises TypeError for other modules, ValueError for a cell that is another function.
    """
    known = formats.as_known(layout_of(module), None if cell is None else as_cell(cell))
    lengths = {size: getattr(module, argument) for argument, size in known.sizes.items()}
    weight = next(module.parameters())
    options = {
        "input_size": module.input_size,
        **_sizes(known.equal.other, lengths),
        **{name: getattr(module, name) for name in ("num_layers", "batch_first", "bidirectional")},
        "bias": module.bias or bool(known.left_out),
        "device": weight.device,
        "dtype": weight.dtype,
    }
    return known, options


def _sizes(cell: Cell, lengths: Mapping[str, int]) -> dict[str, int]:
    """``hidden_size``, and the sizes that neither it nor ``input_size`` says."""
    said = (str(cell.spread), str(cell.inputs[main_input(cell)][-1]))
    return {"hidden_size": cell.spread.value(lengths), **{n: k for n, k in lengths.items() if n not in said}}


def fill_from(recurrent: Any, module: nn.Module, known: Known) -> None:
    """Give a Recurrent the parameters of a module, as they are now, and what else the module's arguments do not say."""
    for number, suffix in enumerate(recurrent.suffixes):
        arrays = _arrays(module, known, *divmod(number, 1 + module.bidirectional))
        _fill(recurrent, suffix, known, {name: array.detach() for name, array in arrays.items()})
        frozen = {name for name, array in arrays.items() if not array.requires_grad}
        for name, several in _homes(known, arrays).items():
            getattr(recurrent, f"{name}{suffix}").requires_grad_(not several <= frozen)
    recurrent.dropout = float(module.dropout)
    recurrent.train(module.training)


def _arrays(module: nn.Module, known: Known, layer: int, direction: int) -> dict[str, Tensor]:
    names = {array: _TORCH.called(array, layer, direction) for array in known.module.arrays}
    return {array: getattr(module, name) for array, name in names.items() if hasattr(module, name)}


def _homes(known: Known, arrays: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """The arrays that hold each of the cell's parameters."""
    found: dict[str, set[str]] = {}
    for array in arrays:
        for name in known.module.arrays[array].names:
            if name in known.names:
                found.setdefault(known.home(name), set()).add(array)
    return found


def _fill(recurrent: Any, suffix: str, known: Known, arrays: Mapping[str, Tensor]) -> None:
    if any(array.is_meta for array in arrays.values()):
        return
    with torch.no_grad():
        for name, value in known.to_cell(arrays).items():
            place = getattr(recurrent, f"{name}{suffix}", None)
            if place is not None:
                place.copy_(value)


def to_torch(recurrent: Any) -> nn.Module:
    """The module of torch.nn with the same outputs. Raises ValueError where there is none."""
    known = _known(recurrent.cell)
    sizes = recurrent.sizes[0]
    weight = next(recurrent.parameters())
    biased = not known.left_out and (recurrent.bias or _has_biases(recurrent, known))
    kind = getattr(nn, known.module.name)
    module: nn.Module = kind(
        num_layers=recurrent.num_layers,
        bias=biased,
        batch_first=recurrent.batch_first,
        bidirectional=recurrent.bidirectional,
        device=weight.device,
        dtype=weight.dtype,
        **known.module.options,
        **{argument: sizes[size] for argument, size in known.sizes.items()},
    )
    for number, suffix in enumerate(recurrent.suffixes):
        params = {name: _parameter(recurrent, name, suffix, number) for name in recurrent.cell.parameters}
        left = () if biased else known.module.missing
        if not weight.is_meta:
            _copy(module, known.from_cell(params, left), *divmod(number, 1 + recurrent.bidirectional))
    module.dropout = recurrent.dropout
    return module.train(recurrent.training)


def _known(cell: Cell) -> Known:
    reasons = []
    for module in _TORCH.modules:
        found = formats.known(module, cell)
        if isinstance(found, Known):
            return found
        reasons.append(f"{module.title}: {found}")
    raise ValueError(f"no module of torch.nn is {cell.name}:\n  " + "\n  ".join(reasons))


def _has_biases(recurrent: Any, known: Known) -> bool:
    """Whether any of the parameters that a module without biases lacks is not 0."""
    names = [known.home(name) for name in known.module.unread]
    held = (getattr(recurrent, f"{name}{suffix}", None) for name in names for suffix in recurrent.suffixes)
    return any(bool((p != 0).any()) for p in held if p is not None and not p.is_meta)


def _parameter(recurrent: Any, name: str, suffix: str, number: int) -> Tensor:
    found = getattr(recurrent, f"{name}{suffix}", None)
    if found is not None:
        return found.detach()
    shape = (size.value(recurrent.sizes[number]) for size in recurrent.cell.parameters[name].shape)
    return next(recurrent.parameters()).new_zeros(tuple(shape))


def _copy(module: nn.Module, arrays: Mapping[str, Tensor], layer: int, direction: int) -> None:
    with torch.no_grad():
        for array, value in arrays.items():
            getattr(module, _TORCH.called(array, layer, direction)).copy_(value)


def to_arrays(recurrent: Any, library: str, name: str, options: Mapping[str, object] | None) -> dict[str, Any]:
    """See :meth:`Converted.to_arrays`."""
    if recurrent.num_layers > 1:
        raise ValueError(f"to_arrays: expected one layer, got {recurrent.num_layers}: convert each by itself")
    each = [exporting.arrays_of(recurrent, suffix) for suffix in recurrent.suffixes]
    return formats.to_arrays(library, name, recurrent.cell, each, options)


def options_of(layer: Layer) -> dict[str, Any]:
    """What to make a Recurrent of another library's layer with."""
    cell = layer.cell
    like = torch.as_tensor(next(iter(layer.params[0].values())))
    return {
        "input_size": cell.inputs[main_input(cell)][-1].value(layer.sizes),
        **_sizes(cell, layer.sizes),
        "bidirectional": len(layer.params) > 1,
        "dtype": like.dtype,
        "device": like.device,
    }


def fill(recurrent: Any, params: Sequence[Mapping[str, Any]]) -> None:
    """Give a Recurrent of one layer these parameters, one mapping a direction."""
    with torch.no_grad():
        for suffix, named in zip(recurrent.suffixes, params, strict=True):
            for name, value in named.items():
                getattr(recurrent, f"{name}{suffix}").copy_(torch.as_tensor(value))
