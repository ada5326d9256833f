"""Rows: which of them each step works on, for sequences of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Packing:
    """Samples sorted by length, longest first. ``order``: the caller's number of each; ``ends``: its length;
    ``counts``: how many still run, step by step."""

    steps: int
    batch: int
    order: tuple[int, ...]
    ends: tuple[int, ...]
    counts: tuple[int, ...]

    @staticmethod
    def of(steps: int, batch: int, lengths: Sequence[int] | None) -> Packing:
        """The packing of ``batch`` sequences of ``lengths`` (``steps`` each where None)."""
        found = [steps] * batch if lengths is None else [int(n) for n in lengths]
        order = sorted(range(batch), key=lambda b: -found[b])
        counts = tuple(sum(n > t for n in found) for t in range(steps))
        return Packing(steps, batch, tuple(order), tuple(found[b] for b in order), counts)

    def room(self, depth: int, whole: bool) -> int:
        """How many rows a buffer has: for every step, or ``depth`` + 1 slots."""
        return depth * self.batch + sum(self.counts) if whole else (depth + 1) * self.batch

    def start(self, slot: int, depth: int, whole: bool) -> int:
        """The first row of a slot."""
        if not whole:
            return slot % (depth + 1) * self.batch
        return min(slot, depth) * self.batch + sum(self.counts[: max(slot - depth, 0)])

    def step(self, t: int, shift: int, depth: int, whole: bool) -> Array:
        """The rows on which step ``t`` works."""
        first = self.start(t + shift, depth, whole)
        return np.arange(first, first + self.counts[t])

    def sequence(self, shift: int, depth: int) -> Array:
        """The rows on which all steps work, one after the other (of a buffer with rows for every step)."""
        return _joined([self.step(t, shift, depth, True) for t in range(self.steps)])

    def first(self, slots: int, depth: int, whole: bool) -> Array:
        """The rows of the first ``slots`` slots, (slots, batch)."""
        starts = [self.start(k, depth, whole) for k in range(slots)]
        return np.array(starts, int).reshape(slots, 1) + np.arange(self.batch)

    def behind(self, slots: int, depth: int, whole: bool) -> Array:
        """The rows of ``slots`` slots from each sample's own end on, (slots, batch)."""
        rows = [[self.start(end + k, depth, whole) + b for b, end in enumerate(self.ends)] for k in range(slots)]
        return np.array(rows, int).reshape(slots, self.batch)

    def rows(self, x: Array) -> Array:
        """(T, B, …) as rows, padding left out."""
        flat = x.reshape(self.steps * self.batch, -1) if x.size else np.zeros((self.steps * self.batch, _width(x)))
        return flat[self._index()]

    def unpacked(self, rows: Array) -> Array:
        """Rows as (T, B, width), zero in the padding."""
        out = np.zeros((self.steps * self.batch, rows.shape[1]))
        out[self._index()] = rows
        return out.reshape(self.steps, self.batch, rows.shape[1])

    def _index(self) -> Array:
        return _joined([t * self.batch + np.array(self.order[:n], int) for t, n in enumerate(self.counts)])


def _joined(parts: list[Array]) -> Array:
    return np.concatenate([np.zeros(0, int), *parts])


def _width(x: Array) -> int:
    return int(np.prod(x.shape[2:]))
