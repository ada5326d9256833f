"""Resets in the midst of sequences, as in reinforcement learning: what lies between two is a sequence of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Segments:
    """The steps of B samples, cut where states are set to their start: S segments, the longest first.

    ``lengths`` (S,): steps of each segment, for ``forward(..., lengths=..., packed=True)`` of an emitted module.
    ``rows`` (N,): where the packed rows lie among the T*B rows of the padded (T, B, …). ``samples``, ``starts`` (S,):
    whose steps a segment has, and from which on. ``first``, ``last`` (B,): a sample's first and last segment.
    ``carried`` (B,): whether the first begins with the state that the caller gives, as no reset stands at step 0.

    Every sample has a segment; it is empty where the sample is. How a batch runs (``start``: the learned start of a
    state or zero; with k lags a state has an axis more in front, (k, S, …), and so have all indices below)::

        state_of_segments = np.broadcast_to(start, (S, H)).copy()
        state_of_segments[cut.first[cut.carried]] = state[cut.carried]
        y_rows, last, tape = forward(params, x.reshape(T * B, D)[cut.rows], {"h": state_of_segments}, cut.lengths,
                                     packed=True)
        y = np.zeros((T * B, H)); y[cut.rows] = y_rows            # y.reshape(T, B, H)
        last_of_samples = last["h"][cut.last]

    and back::

        dlast_of_segments = np.zeros((S, H)); dlast_of_segments[cut.last] = dlast
        grads = backward(params, tape, dy.reshape(T * B, H)[cut.rows], {"h": dlast_of_segments})
        dx = np.zeros((T * B, D)); dx[cut.rows] = grads.x         # dx.reshape(T, B, D)
        dstate = np.zeros((B, H)); dstate[cut.carried] = grads.state["h"][cut.first[cut.carried]]
        dstart = grads.state["h"][cut.fresh].sum(axis=0)          # to be added to grads.params["h_0"]
    """

    lengths: Indices
    rows: Indices
    samples: Indices
    starts: Indices
    first: Indices
    last: Indices
    carried: NDArray[np.bool_]

    @property
    def fresh(self) -> NDArray[np.bool_]:
        """(S,): whether a segment begins with the start of the states."""
        found = np.ones(len(self.lengths), bool)
        found[self.first[self.carried]] = False
        return found


def cut_at_resets(resets: NDArray[np.bool_], lengths: NDArray[np.integer] | None = None) -> Segments:
    """The segments between resets.

    resets: (T, B), true where the states are set to their start before a step. lengths: (B,) integers from 0 to T, or
    None where every sample has all steps; resets behind a sample's end mean nothing. Takes time and memory in
    proportion to T*B. Raises TypeError or ValueError for an argument that does not fit.
    """
    resets, ends = _checked(resets, lengths)
    steps, batch = resets.shape
    begins = np.zeros((max(steps, 1), batch), bool)
    begins[:steps] = resets & (np.arange(steps)[:, None] < ends)
    begins[:1] = True
    samples, starts = np.nonzero(begins.T)  # sample after sample
    final = np.append(samples[1:] != samples[:-1], True)[: len(samples)]
    stops = np.append(starts[1:], 0)[: len(samples)]
    stops[final] = ends
    order = np.argsort(starts - stops, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    samples, starts, longest = samples[order], starts[order], (stops - starts)[order]
    return Segments(
        lengths=longest,
        rows=_rows(samples, starts, longest, batch),
        samples=samples,
        starts=starts,
        first=place[np.roll(final, 1)],
        last=place[final],
        carried=~(resets[0] & (ends > 0)) if steps else np.ones(batch, bool),
    )


def _rows(samples: Indices, starts: Indices, lengths: Indices, batch: int) -> Indices:
    """Step after step, the padded rows of the segments that still run, which are the first ``counts[t]``."""
    steps = np.arange(lengths.max(initial=0))
    counts = len(lengths) - np.searchsorted(lengths[::-1], steps, side="right")
    step = np.repeat(steps, counts)
    segment = np.arange(len(step)) - np.repeat(np.cumsum(counts) - counts, counts)
    return (starts[segment] + step) * batch + samples[segment]


def _checked(resets: object, lengths: object) -> tuple[NDArray[np.bool_], Indices]:
    """The resets, and the length of every sample."""
    if not isinstance(resets, np.ndarray):
        raise TypeError(f"resets: expected a NumPy array, got {type(resets).__name__}")
    if resets.dtype != bool or resets.ndim != 2:
        raise ValueError(f"resets: expected truths of shape (T, B), got {resets.dtype} of shape {resets.shape}")
    steps, batch = resets.shape
    if lengths is None:
        return resets, np.full(batch, steps, np.intp)
    found = np.asarray(lengths)
    if found.shape != (batch,) or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"lengths: expected {batch} integers, got {found.dtype} of shape {found.shape}")
    if found.size and (found.min() < 0 or found.max() > steps):
        raise ValueError(f"lengths: expected numbers from 0 to T = {steps}, got {found.min()} to {found.max()}")
    return resets, found.astype(np.intp)
