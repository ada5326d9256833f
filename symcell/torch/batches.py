"""Sequences as a layer works on them: (T, B, *shape), or the rows of a packed batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

Returned = Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class Batch:
    """``inputs`` by name: (T, B, *shape), or with ``lengths`` (B,), in descending order, rows (sum(lengths), *shape).

    ``samples``: B. ``steps``: T. ``returned``: gives an output the form in which the caller passed the input.
    ``sort``, ``unsort``: the order of the caller's states in that of the samples here, and back (None: the same).
    ``single``: the caller's tensors have no batch axis. ``keeps``: where states are reset, by lag whether what is so
    many steps old is still there (T, B, 1), 1 or 0.
    """

    inputs: Mapping[str, Tensor]
    samples: int
    steps: int
    returned: Returned
    lengths: Tensor | None = None
    sort: Tensor | None = None
    unsort: Tensor | None = None
    single: bool = False
    keeps: Mapping[int, Tensor] | None = None
    _turned: list[Tensor] = field(default_factory=list)

    def reversed(self, rows: Tensor) -> Tensor:
        """Each sequence from its own last step to its first."""
        if self.lengths is None:
            return rows.flip(0)
        if not self._turned:
            self._turned.append(turned(self.lengths, self.steps, rows.shape[0]).to(rows.device))
        return _placed(rows, self._turned[0])

    def at_every_step(self, each: Tensor, lead: tuple[int, ...]) -> Tensor:
        """What each sample has (B, *shape), at all of its steps."""
        if self.lengths is None:
            return each.expand(*lead, *each.shape[1:])
        _, sample, _ = _places(self.lengths, self.steps, lead[0])
        return each[sample.to(each.device)]

    def ended(self, state: Tensor, axis: int) -> Tensor:
        """The last state of the caller's samples."""
        return state if self.unsort is None else state.index_select(axis, self.unsort)


def _places(lengths: Tensor, steps: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """By row its step and its sample; by step its first row."""
    every = torch.arange(steps)
    counts = (lengths > every[:, None]).sum(1)
    first = counts.cumsum(0) - counts
    step = every.repeat_interleave(counts, output_size=rows)
    return step, torch.arange(rows) - first[step], first


def turned(lengths: Tensor, steps: int, rows: int) -> Tensor:
    """For each packed row the row of the same sequence that is as far from its other end."""
    step, sample, first = _places(lengths, steps, rows)
    return first[lengths[sample] - 1 - step] + sample


def _placed(rows: Tensor, places: Tensor) -> Tensor:
    """Row k at the place ``places[k]``, all places once: its gradient, unlike that of indexing, adds nothing up."""
    return torch.empty_like(rows).index_copy(0, places, rows)


def packed_batch(packed: Mapping[str, PackedSequence], main: str) -> Batch:
    """Of PackedSequences. Raises ValueError where they are packed in different ways."""
    chief = packed[main]
    sizes = chief.batch_sizes
    for name, other in packed.items():
        if other is not chief and not torch.equal(other.batch_sizes, sizes):
            raise ValueError(f"input[{name!r}]: expected the batch sizes of {main!r}, as sequences are packed together")
    order = chief.sorted_indices
    samples = int(sizes[0]) if order is None else len(order)  # of a length, unlike a number, graphs know what it equals
    lengths = (sizes[:, None] > torch.arange(samples)).sum(0)

    def returned(rows: Tensor) -> PackedSequence:
        return PackedSequence(rows, sizes, chief.sorted_indices, chief.unsorted_indices)

    inputs = {name: each.data for name, each in packed.items()}
    return Batch(inputs, samples, len(sizes), returned, lengths, order, chief.unsorted_indices)


def plain_batch(inputs: Mapping[str, Tensor], ranks: Mapping[str, int], main: str, batch_first: bool) -> Batch:
    """Of tensors (T, B, *shape), (B, T, *shape) where ``batch_first``, or (T, *shape)."""
    single = inputs[main].dim() == 1 + ranks[main]
    if single:
        whole = {name: x.unsqueeze(1) for name, x in inputs.items()}
        return Batch(whole, 1, whole[main].shape[0], lambda y: y.squeeze(1), single=True)
    if batch_first:
        inputs = {name: x.transpose(0, 1) for name, x in inputs.items()}
    steps, samples = inputs[main].shape[:2]
    return Batch(inputs, samples, steps, (lambda y: y.transpose(0, 1)) if batch_first else (lambda y: y))


def reset_batch(batch: Batch, resets: Any, batch_first: bool, depth: int, like: Tensor) -> Batch:
    """A plain batch whose states are set to their start before the steps at which ``resets`` is true; ``depth``:
    how many steps back they are read. Raises TypeError or ValueError for what does not fit."""
    if batch.lengths is not None:
        raise TypeError("resets: expected input as tensors (T, B, ...), got a PackedSequence")
    if not isinstance(resets, torch.Tensor) or resets.dtype != torch.bool:
        came = resets.dtype if isinstance(resets, torch.Tensor) else type(resets).__name__
        raise TypeError(f"resets: expected a tensor of torch.bool, got {came}")
    given = tuple(resets.shape)
    truths = (
        resets.unsqueeze(1) if batch.single else resets.transpose(0, 1) if batch_first and resets.dim() == 2 else resets
    )
    lead = tuple(next(iter(batch.inputs.values())).shape[:2])
    if tuple(truths.shape) != lead:
        raise ValueError(f"resets: expected a truth for each step, {lead} of (T, B), got the shape {given}")
    if truths.device != like.device:
        raise RuntimeError(f"resets: expected a tensor on {like.device} as the parameters, got one on {truths.device}")
    return replace(batch, keeps=_keeps(truths.logical_not().to(like.dtype).unsqueeze(-1), depth))


def _keeps(kept: Tensor, depth: int) -> dict[int, Tensor]:
    """By lag whether no reset lies between: ``kept`` (T, B, 1) is 0 where there is one."""
    found, product = {}, kept
    for lag in range(1, depth + 1):
        if lag > 1:
            before = kept.new_ones((min(lag - 1, len(kept)), *kept.shape[1:]))
            product = product * torch.cat([before, kept[: max(len(kept) - lag + 1, 0)]])
        found[lag] = product
    return found
