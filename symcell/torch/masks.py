"""Zoneout and variational dropout of a module: its cell with masks among the inputs, and how these are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from symcell.cell import Cell
from symcell.torch.arguments import probability
from symcell.torch.batches import Batch
from symcell.transforms import Mask, Transformed, with_recurrent_dropout, with_zoneout

Rates = float | Mapping[str, float]
"""One rate for all states that can have it, or rates by state."""


@dataclass(frozen=True)
class Regularized:
    """A cell's variants: as it trains and as it is used. ``rates``: by mask."""

    training: Transformed
    usage: Transformed
    rates: Mapping[str, float]

    def variant(self, training: bool) -> Transformed:
        return self.training if training else self.usage

    def masks(
        self, training: bool, shapes: Mapping[str, tuple[int, ...]], batch: Batch, like: Tensor, generator: Any
    ) -> dict[str, Tensor]:
        """The masks of a sweep by name, as its inputs. ``shapes``: of one step of each."""
        return {
            mask.name: _drawn(mask, self.rates[mask.name], training, shapes[mask.name], batch, like, generator)
            for mask in self.variant(training).masks
        }


def regularized(cell: Cell, zoneout: Rates, dropout: Rates) -> Regularized:
    """The variants of a cell for these rates; the cell itself where they are zero.

    Raises ValueError for what is no probability, CellError for states that cannot have it.
    """
    zones, drops = _by_state("zoneout", zoneout), _by_state("recurrent_dropout", dropout)
    usage = Transformed(cell, ())
    if zones is not None:
        usage = with_zoneout(usage, zones or None)
    training = usage if drops is None else with_recurrent_dropout(usage, drops or None)
    given = {"zoneout": (zoneout, zones), "recurrent dropout": (dropout, drops)}
    rates = {}
    for mask in training.masks:
        rate, by_state = given[mask.kind]
        rates[mask.name] = float(by_state[mask.state] if by_state else rate)  # type: ignore[arg-type]
    return Regularized(training, usage, rates)


def _by_state(name: str, rates: Rates) -> dict[str, float] | None:
    """Rates by state; none for one rate for all; None where there is nothing to do."""
    if not isinstance(rates, Mapping):
        return {} if probability(name, rates) else None
    found = {state: probability(f"{name}[{state!r}]", rate) for state, rate in rates.items()}
    return {state: rate for state, rate in found.items() if rate} or None


def _drawn(
    mask: Mask, rate: float, training: bool, shape: tuple[int, ...], batch: Batch, like: Tensor, generator: Any
) -> Tensor:
    x = next(iter(batch.inputs.values()))
    lead = tuple(x.shape[: 1 if batch.lengths is not None else 2])
    if mask.kind == "zoneout":
        whole = torch.full((*lead, *shape), rate, dtype=like.dtype, device=like.device)
        return torch.bernoulli(whole, generator=generator) if training else whole
    kept = torch.full((batch.samples, *shape), 1 - rate, dtype=like.dtype, device=like.device)
    each = torch.bernoulli(kept, generator=generator) / (1 - rate) if rate < 1 else kept
    return batch.at_every_step(each, lead)
