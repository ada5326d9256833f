"""PyTorch's recurrent modules and this package's, of the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from symcell import formats, load
from symcell.torch import Recurrent, RecurrentCell
from symcell.verify.torch_cells import recognise


@dataclass(frozen=True)
class Kind:
    """A module of torch.nn and the cell that computes the same, with what only one of them is given."""

    module: type[nn.Module]
    cell: str
    options: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


KINDS = {
    "LSTM": Kind(nn.LSTM, "lstm"),
    "GRU": Kind(nn.GRU, "gru"),
    "RNN": Kind(nn.RNN, "rnn"),
    "RNN relu": Kind(nn.RNN, "rnn_relu", {"nonlinearity": "relu"}),
    "LSTM with projections": Kind(nn.LSTM, "projected_lstm", {"proj_size": 2}, {"P": 2}),
}


@dataclass(frozen=True)
class Twins:
    """The same function twice: ``theirs`` of torch.nn, ``ours``."""

    theirs: nn.Module
    ours: Recurrent | RecurrentCell

    @property
    def both(self) -> tuple[nn.Module, nn.Module]:
        return self.theirs, self.ours

    def parts(self, of: Callable[[Tensor], Any]) -> Iterator[tuple[Tensor, list[Any]]]:
        """A parameter of ours, and what it is the sum of, ``of`` parameters of theirs."""
        known = recognise(load(self.ours._given_name))
        assert known is not None
        called = formats.library("torch").called
        one_step = isinstance(self.ours, RecurrentCell)
        directions = 1 if one_step else 1 + self.ours.bidirectional
        for number, suffix in enumerate(self.ours.suffixes):
            names = {array: called(array, *divmod(number, directions)) for array in known.module.arrays}
            if one_step:
                names = {array: name.removesuffix("_l0") for array, name in names.items()}
            held = {k: of(getattr(self.theirs, name)) for k, name in names.items() if hasattr(self.theirs, name)}
            pieces = formats.pieces(known.module, {k: v for k, v in held.items() if v is not None})
            for name, several in pieces.items():
                if hasattr(self.ours, f"{known.names[name]}{suffix}"):
                    yield getattr(self.ours, f"{known.names[name]}{suffix}"), several

    def copy(self) -> None:
        """Give ours the weights of theirs."""
        with torch.no_grad():
            for mine, several in self.parts(lambda whole: whole):
                mine.copy_(sum(several))

    def gradients(self) -> Iterator[tuple[Tensor | None, Tensor]]:
        """Pairs of what should be the same: by ours, and by each of those that it is the sum of."""
        for mine, several in self.parts(lambda whole: whole.grad):
            for each in several:
                yield mine.grad, each


def twins(kind: str, layers: int = 1, target: str = "numpy", dtype: Any = torch.float64, **options: Any) -> Twins:
    """A pair with D = 3 and H = 4."""
    of = KINDS[kind]
    theirs = of.module(3, 4, layers, dtype=dtype, **of.options, **options)
    ours = Recurrent(of.cell, 3, 4, layers, dtype=dtype, target=target, **of.sizes, **options)
    found = Twins(theirs, ours)
    found.copy()
    return found


def flat(results: Any) -> list[Tensor]:
    """All tensors of what a module returns; the rows of what is packed."""
    if isinstance(results, Tensor):
        return [results]
    if isinstance(results, nn.utils.rnn.PackedSequence):
        return [results.data]
    if isinstance(results, dict):
        return [tensor for each in results.values() for tensor in flat(each)]
    return [tensor for each in results for tensor in flat(each)]
