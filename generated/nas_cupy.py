"""Cell found by neural architecture search

Zoph & Le (2017), Neural architecture search with reinforcement learning, figure 8; as in TensorFlow's NASCell without
projection and biases.

The cell nas as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive nas``.

Work is done on the current device, where all arrays must lie, and on its current stream. CuPy's arrays know of no
stream: for one that another stream still writes, let the current stream wait for that one first (``wait_event``). Of
tensors of other packages ``cp.from_dlpack`` sees to that itself; ``cp.asarray`` does not for PyTorch's.
"""

from __future__ import annotations

import collections
import functools
import math
import os
import traceback
import types
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import cupy as cp
import numpy as np

SIZES = ("D", "H")
PARAMS = {
    "W_4": ("H", "D"),
    "W_6": ("H", "D"),
    "W_0": ("H", "D"),
    "W_2": ("H", "D"),
    "W_5": ("H", "D"),
    "W_7": ("H", "D"),
    "W_1": ("H", "D"),
    "W_3": ("H", "D"),
    "U_3": ("H", "H"),
    "U_4": ("H", "H"),
    "U_6": ("H", "H"),
    "U_0": ("H", "H"),
    "U_2": ("H", "H"),
    "U_5": ("H", "H"),
    "U_7": ("H", "H"),
    "U_1": ("H", "H"),
}
CONSTANTS = {}
START = {
    "W_4": "uniform",
    "W_6": "uniform",
    "W_0": "uniform",
    "W_2": "uniform",
    "W_5": "uniform",
    "W_7": "uniform",
    "W_1": "uniform",
    "W_3": "uniform",
    "U_3": "uniform",
    "U_4": "uniform",
    "U_6": "uniform",
    "U_0": "uniform",
    "U_2": "uniform",
    "U_5": "uniform",
    "U_7": "uniform",
    "U_1": "uniform",
}
INPUTS = {"x": ("D",)}
STATES = {"h": ("H",), "c": ("H",)}
LAGS = {}
OUTPUT = "h"
EQUATIONS = (
    '"""Cell found by neural architecture search\n'
    "\n"
    "Zoph & Le (2017), Neural architecture search with reinforcement learning, figure 8; as in TensorFlow's NASCell "
    "without\n"
    "projection and biases.\n"
    '"""\n'
    "a0[t] = sigmoid(W_0 @ x[t] + U_0 @ h[t-1])    # first layer, node 0\n"
    "a1[t] = relu(W_1 @ x[t] + U_1 @ h[t-1])       # first layer, node 1\n"
    "a2[t] = sigmoid(W_2 @ x[t] + U_2 @ h[t-1])    # first layer, node 2\n"
    "a3[t] = relu((W_3 @ x[t]) * (U_3 @ h[t-1]))   # first layer, node 3\n"
    "a4[t] = tanh(W_4 @ x[t] + U_4 @ h[t-1])       # first layer, node 4\n"
    "a5[t] = sigmoid(W_5 @ x[t] + U_5 @ h[t-1])    # first layer, node 5\n"
    "a6[t] = tanh(W_6 @ x[t] + U_6 @ h[t-1])       # first layer, node 6\n"
    "a7[t] = sigmoid(W_7 @ x[t] + U_7 @ h[t-1])    # first layer, node 7\n"
    "s0[t] = tanh(a0[t] * a1[t])                   # second layer, node 0\n"
    "s1[t] = tanh(a2[t] + a3[t])                   # second layer, node 1\n"
    "s2[t] = tanh(a4[t] * a5[t])                   # second layer, node 2\n"
    "s3[t] = sigmoid(a6[t] + a7[t])                # second layer, node 3\n"
    "c[t] = tanh(s0[t] + c[t-1]) * s1[t]           # cell state\n"
    "h[t] = tanh(c[t] * tanh(s2[t] + s3[t]))       # hidden state\n"
)
STAMP = "d6cac43cebad49da"


class Params(Mapping[str, Any]):
    """The parameters by name: views of one contiguous buffer ``flat``, in the order of ``PARAMS``."""

    def __init__(self, flat: Any, sizes: Mapping[str, int]) -> None:
        self.flat = flat
        self.sizes = dict(sizes)
        self.shapes = {name: _shape(named, self.sizes) for name, named in {**INPUTS, **STATES}.items()}
        self._start: dict[str, int] = {}
        self._views: dict[str, Any] = {}
        self._stacks: dict[tuple[str, str], Any] = {}
        start = 0
        for name, named in PARAMS.items():
            shape = _shape(named, self.sizes)
            stop = start + math.prod(shape)
            self._start[name] = start
            self._views[name] = flat[start:stop].reshape(shape)
            start = stop

    @classmethod
    def from_dict(cls, arrays: Mapping[str, Any], **sizes: int) -> Params:
        """A copy of any mapping from names to arrays; a size that none of them shows is passed by name.

        Raises ValueError or TypeError for what does not fit.
        """
        packed = _params(arrays, {}, sizes, None)
        return packed.copy() if packed is arrays else packed

    def __getitem__(self, name: str) -> Any:
        return self._views[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Copy ``value`` into the place of an array."""
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError(f'params["{name}"]: expected a CuPy array (cp.asarray makes one), got numpy.ndarray')
        self._views[name][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        return f"Params({', '.join(f'{name}{list(view.shape)}' for name, view in self.items())}, {self.flat.dtype})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Params, (self.flat, self.sizes)

    def copy(self) -> Params:
        """The same numbers in a buffer of their own."""
        flat = cp.empty(self.flat.size, self.flat.dtype)
        flat[...] = self.flat
        return Params(flat, self.sizes)

    def stack(self, first: str, last: str) -> Any:
        """All parameters from ``first`` to ``last``, one below the other: (rows, columns), or (n,) for vectors."""
        if (first, last) not in self._stacks:
            rows = self.flat[self._start[first] : self._start[last] + self._views[last].size]
            matrix = self._views[first].ndim == 2
            self._stacks[first, last] = rows.reshape(-1, self._views[first].shape[1]) if matrix else rows
        return self._stacks[first, last]


class Grads(NamedTuple):
    """Gradients: ``params`` laid out like the parameters, ``x`` like the input(s), ``state`` like the initial state."""

    params: Params
    x: Any
    state: dict[str, Any]


class Tape(NamedTuple):
    """What ``forward`` hands to ``backward``. It refers to the inputs: leave them unchanged in between."""

    pack: Packing
    sizes: dict[str, int]
    dtype: Any
    arrays: dict[str, Any]

    @property
    def steps(self) -> int:
        return self.pack.steps

    @property
    def batch(self) -> int:
        return self.pack.batch

    @property
    def lead(self) -> tuple[int, ...]:
        return self.pack.lead

    @property
    def nbytes(self) -> int:
        """Bytes stored for the backward pass, the inputs included."""
        return sum(array.nbytes for array in self.arrays.values())


def init_params(*, seed: int = 0, dtype: str = "float32", **sizes: int) -> Params:
    """Fresh parameters; every size in ``SIZES`` is a keyword, a positive integer.

    dtype: float32, float64, float16 or bfloat16 (with ml_dtypes). Raises TypeError or ValueError for a size that is
    missing, unknown or not positive.
    """
    for name in (*SIZES, *sizes):
        if name not in sizes or name not in SIZES:
            raise TypeError(f"init_params: expected the sizes {', '.join(SIZES)}, got {', '.join(sizes) or 'none'}")
        if isinstance(sizes[name], bool) or not hasattr(sizes[name], "__index__") or sizes[name] < 1:
            raise ValueError(f"{name}: expected a positive integer, got {sizes[name]!r}")
    kind = _float_type("dtype", dtype)
    _device()
    rng = np.random.default_rng(seed)
    parts = [_start(START[name], _shape(shape, sizes), sizes, rng).reshape(-1) for name, shape in PARAMS.items()]
    values = np.concatenate(parts).astype(kind)
    flat = cp.empty(values.size, kind)
    flat[...] = cp.asarray(values)
    return Params(flat, sizes)


def _start(start: Any, shape: tuple[int, ...], sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """Where a parameter starts, by its entry in ``START``."""
    bound = 1 / math.sqrt(_length("H", sizes))  # in ±1/√n
    return rng.uniform(-bound, bound, shape)


def _shape(shape: tuple[int | str, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A shape of ``PARAMS`` or the like in numbers."""
    return tuple(_length(size, sizes) for size in shape)


def _length(size: int | str, sizes: Mapping[str, int]) -> int:
    """A size such as 4 or "H" as a number."""
    return sizes[size] if isinstance(size, str) else size


def _float_type(name: str, dtype: Any) -> Any:
    """float32, float64, float16 or bfloat16 as a NumPy type; a TypeError that names the argument for anything else."""
    try:
        kind = _bfloat16(name) if isinstance(dtype, str) and dtype == "bfloat16" else np.dtype(dtype)
    except TypeError:
        kind = None
    known = tuple(map(np.dtype, ("float32", "float64", "float16")))
    if kind is None or (kind not in known and kind.name != "bfloat16"):
        raise TypeError(
            f"{name}: expected float32, float64, float16 or bfloat16, got {dtype if kind is None else kind}"
        )
    return kind


def _bfloat16(name: str) -> Any:
    """The type that NumPy itself does not have. Raises ImportError that says where it is to be had."""
    try:
        import ml_dtypes
    except ImportError as problem:
        raise ImportError(f"{name}: bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from problem
    return np.dtype(ml_dtypes.bfloat16)


def _real(dtype: Any) -> Any:
    """The type that is computed in: float32 where numbers are kept in 16 bits, else the same."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def _as(array: Any, dtype: Any) -> Any:
    """An array in a type: itself, or a copy where it is of another; to nearest, and infinite where that is too much."""
    return array if array.dtype == dtype else array.astype(dtype)


def _cast(params: Params, dtype: Any) -> Params:
    """Parameters in a type: themselves, or a copy where they are of another."""
    if params.flat.dtype == dtype:
        return params
    flat = cp.empty(params.flat.size, dtype)
    flat[...] = params.flat
    return Params(flat, params.sizes)


class Packing:
    """Which rows each step works on.

    The samples are sorted by length, longest first, so those that still run at step t are the first ``counts[t]``.
    Their rows follow each other step by step; padding is neither read nor computed. Without lengths: plain (T*B) rows.
    ``packed``: what comes and goes is such rows, of samples in this order. ``lead``: its axes, (N,) or else (T, B).
    """

    def __init__(self, steps: int, batch: int, lengths: np.ndarray | None, packed: bool = False) -> None:
        self.steps, self.batch = steps, batch
        self.order = self.back = self.index = None
        self.ends = np.full(batch, steps)
        self.counts = [batch] * steps
        self.offsets = [t * batch for t in range(steps + 1)]
        if lengths is not None:
            order = np.argsort(-lengths, kind="stable")
            self.ends = lengths[order]
            counts = np.count_nonzero(self.ends[None, :] > np.arange(self.ends.max(initial=0))[:, None], axis=1)
            self.order, self.back = cp.asarray(order), cp.asarray(np.argsort(order, kind="stable"))
            if not packed:
                rows = [t * batch + order[:n] for t, n in enumerate(counts)]
                self.index = cp.asarray(np.concatenate([np.zeros(0, int), *rows]))
            self.counts = [int(n) for n in counts]
            self.offsets = [0, *(int(n) for n in np.cumsum(counts))]
        self.size = self.offsets[-1]
        self.lead = (self.size,) if packed else (steps, batch)

    def starts(self, depth: int, whole: bool) -> list[int]:
        """The first row of each slot of a buffer: ``depth`` slots before the sequence and one for every step, or, where
        it does not hold the whole, depth + 1 that are used again and again."""
        if not whole:
            return [k % (depth + 1) * self.batch for k in range(depth + len(self.offsets))]
        return [k * self.batch for k in range(depth)] + [depth * self.batch + start for start in self.offsets]

    def slots(self, depth: int, shift: int, whole: bool) -> Slots:
        """By step t, its rows in slot t + ``shift`` of such a buffer; found when they are asked for."""
        return Slots(self, depth, shift, whole)

    def past(self, depth: int, shift: int) -> Any:
        """The same rows of all steps, of a buffer that holds the whole, as an index."""
        if self.order is None:
            return slice(shift * self.batch, shift * self.batch + self.size)
        rows = [first + np.arange(n) for first, n in zip(self.starts(depth, True)[shift:], self.counts)]
        return cp.asarray(np.concatenate([np.zeros(0, int), *rows]))

    def rows(self, x: Any) -> Any:
        """(T, B, *shape) as rows, padding left out; what is packed as it is."""
        flat = x.reshape(math.prod(self.lead), math.prod(x.shape[len(self.lead) :]))
        return cp.ascontiguousarray(flat if self.index is None else flat[self.index])

    def sequence(self, rows: Any, shape: tuple[int, ...], kept: bool) -> Any:
        """Rows as (T, B, *shape), zero in the padding, or packed: themselves if they can be handed over as they are,
        but a copy where they are ``kept`` for something else."""
        whole = (*self.lead, *shape)
        if self.index is None:
            return (rows.copy() if kept else cp.ascontiguousarray(rows)).reshape(whole)
        y = cp.zeros((self.steps * self.batch, rows.shape[1]), rows.dtype)
        y[self.index] = rows
        return y.reshape(whole)

    def sort(self, state: Any) -> Any:
        """(steps, B, n) with the samples in the order of their rows."""
        return state if self.order is None else state[:, self.order]

    def unsort(self, state: Any) -> Any:
        """The same the other way, as an array of its own."""
        return state.copy() if self.back is None else state[:, self.back]

    def first(self, count: int) -> Any:
        """The rows of a buffer's first slots, which lie before the sequence, as an index (count, B)."""
        if count == 1:
            return None, slice(0, self.batch)
        return cp.arange(count * self.batch).reshape(count, self.batch)

    def last(self, depth: int, count: int, whole: bool) -> Any:
        """The rows of ``count`` slots of a buffer from each sample's own end on, as an index (count, B)."""
        slot = self.steps if whole else self.steps % (depth + 1)
        if self.order is None and count == 1:
            return None, slice(slot * self.batch, (slot + 1) * self.batch)
        if self.order is None:
            rows = cp.arange(self.steps * self.batch, (self.steps + count) * self.batch).reshape(count, self.batch)
            return rows if whole else rows % max(1, (depth + 1) * self.batch)
        step = self.ends + np.arange(count)[:, None]
        return cp.asarray(np.array(self.starts(depth, whole))[step] + np.arange(self.batch))


class Slots(NamedTuple):
    """Rows by step: see ``Packing.slots``."""

    pack: Packing
    depth: int
    shift: int
    whole: bool

    def __getitem__(self, t: Any) -> slice:  # type: ignore[override]
        slot, batch = t + self.shift, self.pack.batch
        if not self.whole:
            first = slot % (self.depth + 1) * batch
        else:
            first = slot * batch if slot < self.depth else self.depth * batch + self.pack.offsets[slot - self.depth]
        return slice(first, first + self.pack.counts[t])


def forward(
    params: Mapping[str, Any],
    x: Any,
    state: Mapping[str, Any] | None = None,
    lengths: Any = None,
    *,
    packed: bool = False,
    keep_tape: bool = True,
    checkpoint: int | str | None = None,
    budget: float | None = None,
) -> tuple[Any, dict[str, Any], Tape | Checkpoints | None]:
    """Run the cell over a batch of sequences.

    x: (T, B, size), by name where there are several inputs; a matrix is (T, B, rows, columns). state: the states
    before the first step, by name, each (B, size), or (k, B, size) where k steps are carried (``LAGS``); one that is
    missing is its learned start, or zero. lengths: (B,) integers; what lies behind a sequence's end is not read.
    packed: x, and y as well, is (N, size), the rows of a PyTorch PackedSequence: step after step, one for each sample
    that still runs. ``lengths`` then begins with the longest, and N is their sum; states are in the order of lengths.
    checkpoint: the tape holds states alone, every so many steps (``"sqrt"``: √T), and ``backward`` runs the pieces
    between them once more. budget: the bytes that both may hold at once besides what goes in and comes out; the tape
    is whole if that fits, else of as few states as fit. Without a tape both cut the run into pieces all the same.
    Returns y (T, B, size), zero behind the end; the states after each sequence's own last step; and the tape for
    ``backward`` (None where keep_tape is false). Raises ValueError or TypeError for an argument that does not fit, and
    MemoryError that says what would need less.
    """
    return _alone(_forward(params, x, state, lengths, packed, keep_tape, checkpoint, budget))


def _forward(
    params: Mapping[str, Any], x: Any, state: Mapping[str, Any] | None, lengths: Any,
    packed: bool, keep_tape: bool, checkpoint: int | str | None, budget: float | None,
) -> Sweep[tuple[Any, dict[str, Any], Tape | Checkpoints | None]]:
    """``forward``, which stops wherever all steps may run in one launch."""
    checked = _inputs("x", x)
    params = _params(params, checked, {}, None, state)
    steps, batch, ends = _check_sequences(checked, lengths, packed, params)
    given = _check_state("state", state, batch, params)
    inputs = {name: value for name, (_, value) in checked.items()}
    every = _every(checkpoint, budget, params, steps, batch, ends is not None, keep_tape)
    try:
        if every is None:
            pack = Packing(steps, batch, ends, packed)
            return (yield from _forward_whole(params, inputs, given, pack, keep_tape))
        asked = every, steps, batch, ends, packed, params.sizes, params.flat.dtype, inputs
        return (yield from _forward_pieces(params, Checkpoints(*asked, []), given, keep_tape))
    except TROUBLES as problem:
        need = every, params, steps, batch, ends is not None, keep_tape
        raise _too_large("forward", problem, *need) from problem


def _forward_whole(
    params: Params, inputs: Mapping[str, Any], state: Mapping[str, Any], pack: Packing, keep_tape: bool
) -> Sweep[tuple[Any, dict[str, Any], Tape | None]]:
    """``forward`` in one sweep."""
    rows, last, tape = yield from _forward_sweep(params, inputs, state, pack, keep_tape)
    dtype = params.flat.dtype
    rows = pack.sequence(_as(rows, dtype), _shape(("H",), params.sizes), keep_tape)
    return rows, {name: _as(value, dtype) for name, value in last.items()}, tape


def _forward_sweep(
    params: Params, inputs: Mapping[str, Any], state: Mapping[str, Any], pack: Packing, keep_tape: bool
) -> Sweep[tuple[Any, dict[str, Any], Tape | None]]:
    """All steps, first to last, of what ``forward`` has checked: y as rows, the last states and the tape.

    What comes is of the parameters' type, but for states between two sweeps: these, and what is returned, may be of
    the type that is computed in.
    """
    batch = pack.batch
    given = _state_rows(state)
    dtype, real = params.flat.dtype, _real(params.flat.dtype)
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    kept_0 = pack.slots(0, 0, keep_tape)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    x_rows = pack.rows(inputs["x"])
    W_4_x_to_W_3_x = cp.empty((pack.size, 8*H), dtype)
    U_3_h_to_a_a1 = cp.empty((pack.size if keep_tape else batch, 8*H), dtype)
    tanh_a_c = cp.empty((pack.size if keep_tape else batch, H), dtype)
    c = cp.empty((2 * batch, H), real)
    h = cp.empty((pack.size + batch, H), dtype)
    U_3 = params.stack("U_3", "U_3")
    h[pack.first(1)] = pack.sort(given["h"]) if "h" in given else 0
    c[pack.first(1)] = pack.sort(given["c"]) if "c" in given else 0
    W_4_to_W_3_T = params.stack("W_4", "W_3").T
    matmul = _matmul(dtype)
    U_3_to_U_1_T = params.stack("U_3", "U_1").T
    kernels = _kernels(dtype)

    # W_4_x[t] = W_4 @ x[t] (34)
    # W_6_x[t] = W_6 @ x[t] (38)
    # W_0_x[t] = W_0 @ x[t] (25)
    # W_2_x[t] = W_2 @ x[t] (29)
    # W_5_x[t] = W_5 @ x[t] (36)
    # W_7_x[t] = W_7 @ x[t] (40)
    # W_1_x[t] = W_1 @ x[t] (27)
    # W_3_x[t] = W_3 @ x[t] (31)
    matmul(x_rows, W_4_to_W_3_T, out=W_4_x_to_W_3_x)

    # all steps in one launch, unless one launch for each stage of each is better
    left = yield (
        "forward_steps", params.sizes, pack, dtype, U_3, H, U_3_h_to_a_a1, int(keep_tape), h, W_4_x_to_W_3_x, c,
        tanh_a_c,
    )

    for t, n in enumerate(left):
        # U_3_h[t] = U_3 @ h[t-1] (32)
        # U_4_h[t] = U_4 @ h[t-1] (34)
        # U_6_h[t] = U_6 @ h[t-1] (38)
        # U_0_h[t] = U_0 @ h[t-1] (25)
        # U_2_h[t] = U_2 @ h[t-1] (29)
        # U_5_h[t] = U_5 @ h[t-1] (36)
        # U_7_h[t] = U_7 @ h[t-1] (40)
        # U_1_h[t] = U_1 @ h[t-1] (27)
        h_t1 = h[at_1_0[t]]
        U_3_h_to_U_1_h_t = U_3_h_to_a_a1[kept_0[t]]
        matmul(h_t1, U_3_to_U_1_T, out=U_3_h_to_U_1_h_t)
        # a_a0[t] = W_0_x[t] + U_0_h[t] (25)
        # a_a1[t] = W_1_x[t] + U_1_h[t] (27)
        # a_a2[t] = W_2_x[t] + U_2_h[t] (29)
        # a_a3[t] = W_3_x[t]*U_3_h[t] (33)
        # a_a4[t] = W_4_x[t] + U_4_h[t] (34)
        # a_a5[t] = W_5_x[t] + U_5_h[t] (36)
        # a_a6[t] = W_6_x[t] + U_6_h[t] (38)
        # a_a7[t] = W_7_x[t] + U_7_h[t] (40)
        # a0[t] = sigmoid(a_a0[t]) (first layer, node 0) (26)
        # a1[t] = relu(a_a1[t]) (first layer, node 1) (28)
        # a2[t] = sigmoid(a_a2[t]) (first layer, node 2) (30)
        # a3[t] = relu(a_a3[t]) (first layer, node 3) (33)
        # a4[t] = tanh(a_a4[t]) (first layer, node 4) (35)
        # a5[t] = sigmoid(a_a5[t]) (first layer, node 5) (37)
        # a6[t] = tanh(a_a6[t]) (first layer, node 6) (39)
        # a7[t] = sigmoid(a_a7[t]) (first layer, node 7) (41)
        # a_s0[t] = a0[t]*a1[t] (14)
        # a_s1[t] = a2[t] + a3[t] (42)
        # a_s2[t] = a4[t]*a5[t] (16)
        # a_s3[t] = a6[t] + a7[t] (44)
        # s0[t] = tanh(a_s0[t]) (second layer, node 0) (14)
        # s1[t] = tanh(a_s1[t]) (second layer, node 1) (43)
        # s2[t] = tanh(a_s2[t]) (second layer, node 2) (16)
        # s3[t] = sigmoid(a_s3[t]) (second layer, node 3) (45)
        # a_c[t] = s0[t] + c[t-1] (46)
        # a_h[t] = s2[t] + s3[t] (48)
        # tanh_a_c[t] = tanh(a_c[t]) (47)
        # tanh_a_h[t] = tanh(a_h[t]) (49)
        # c[t] = tanh_a_c[t]*s1[t] (cell state) (47)
        # tanh_in_h[t] = c[t]*tanh_a_h[t] (49)
        # h[t] = tanh(tanh_in_h[t]) (hidden state) (49)
        _launch_units(
            kernels.forward_1, n, H, H, W_4_x_to_W_3_x, at_0[t].start, U_3_h_to_a_a1, kept_0[t].start, c,
            ring_1_0[t].start, tanh_a_c, kept_0[t].start, c, ring_1[t].start, h, at_1[t].start,
        )

    h_last = h[pack.last(1, 1, True)]
    c_last = c[pack.last(1, 1, False)]
    h_ = h[batch :]

    last = {
        "h": pack.unsort(h_last)[0],
        "c": pack.unsort(c_last)[0],
    }
    tape = None
    if keep_tape:
        arrays = {
            "U_3_h_to_a_a1": U_3_h_to_a_a1,
            "W_4_x_to_W_3_x": W_4_x_to_W_3_x,
            "h": h,
            "tanh_a_c": tanh_a_c,
            "x_rows": x_rows,
        }
        tape = Tape(pack, params.sizes, dtype, arrays)
    return h_, last, tape


def backward(
    params: Mapping[str, Any],
    tape: Tape | Checkpoints,
    dy: Any,
    dlast: Mapping[str, Any] | None = None,
    *,
    need_x: bool = True,
) -> Grads:
    """Back-propagate through the steps that ``forward`` taped.

    dy: like y, the gradient of the loss by it (None for zero). dlast: its gradients by the last states, by name.
    Returns the gradients by the parameters, the input(s) (None where need_x is false) and the initial states. Raises
    ValueError or TypeError for an argument that does not fit, MemoryError as ``forward`` does.
    """
    return _alone(_backward(params, tape, dy, dlast, need_x))


def _backward(
    params: Mapping[str, Any], tape: Tape | Checkpoints, dy: Any, dlast: Mapping[str, Any] | None, need_x: bool
) -> Sweep[Grads]:
    """``backward``, which stops wherever all steps may run in one launch."""
    if not isinstance(tape, (Tape, Checkpoints)):
        raise TypeError(f"tape: expected the tape that forward returned, got {type(tape).__name__}")
    _check_tape(tape)
    params = _params(params, {}, tape.sizes, tape.dtype)
    if params.sizes != tape.sizes or params.flat.dtype != tape.dtype:
        raise ValueError(
            f"params: expected {tape.sizes} in {tape.dtype} as on the tape, got {params.sizes} in {params.flat.dtype}"
        )
    lead, dtype = tape.lead, tape.dtype
    shape = _shape(("H",), params.sizes)
    if dy is None:
        dy = cp.broadcast_to(cp.zeros((), dtype), (*lead, *shape))
    _array("dy", dy, lead, shape, dtype)
    given = _check_state("dlast", dlast, tape.batch, params)
    pieces = isinstance(tape, Checkpoints)
    try:
        run = _backward_pieces if pieces else _backward_whole
        grads, dx, dstate = yield from run(params, tape, dy, given, need_x)
    except TROUBLES as problem:
        uneven = (tape.lengths if pieces else tape.pack.order) is not None
        need = tape.every if pieces else None, params, tape.steps, tape.batch, uneven, True
        raise _too_large("backward", problem, *need) from problem
    grads, dstate = _cast(grads, dtype), {name: _as(value, dtype) for name, value in dstate.items()}
    return Grads(grads, dx.get("x"), dstate)


def _backward_whole(
    params: Params, tape: Tape, dy: Any, dlast: Mapping[str, Any], need_x: bool
) -> Sweep[tuple[Params, dict[str, Any], dict[str, Any]]]:
    """``backward`` in one sweep."""
    grads, rows, dstate = yield from _backward_sweep(params, tape, dy, dlast, need_x)
    parts = {name: _as(part, tape.dtype) for name, part in rows.items()}
    return grads, {name: tape.pack.sequence(part, params.shapes[name], False) for name, part in parts.items()}, dstate


def _backward_sweep(
    params: Params, tape: Tape, dy: Any, dlast: Mapping[str, Any], need_x: bool
) -> Sweep[tuple[Params, dict[str, Any], dict[str, Any]]]:
    """All steps, last to first, of what ``backward`` has checked: gradients by parameters, inputs (as rows), states.

    What comes and is returned is of the types that ``_forward_sweep`` has; the gradients by parameters are of the type
    that is computed in.
    """
    pack, dtype, real = tape.pack, tape.dtype, _real(tape.dtype)
    batch = pack.batch
    given = _state_rows(dlast)
    grads = Params(cp.zeros(params.flat.shape, real), params.sizes)
    D = params.sizes["D"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1 = pack.slots(1, 1, True)

    dy_rows = pack.rows(dy)
    U_3_h_to_a_a1 = tape.arrays["U_3_h_to_a_a1"]
    W_4_x_to_W_3_x = tape.arrays["W_4_x_to_W_3_x"]
    h = tape.arrays["h"]
    tanh_a_c = tape.arrays["tanh_a_c"]
    x_ = tape.arrays["x_rows"]
    dU_3_h_to_dW_3_x = cp.empty((pack.size, 9*H), dtype)
    da_a3 = cp.empty((pack.size, H), dtype)
    dx_ = cp.empty((pack.size, D), dtype)
    dh_back = cp.zeros((2 * batch, H), real)
    dc_via = cp.zeros((2 * batch, H), real)
    U_3 = params.stack("U_3", "U_3")
    U_3_to_U_1 = params.stack("U_3", "U_1")
    W_4_to_W_3 = params.stack("W_4", "W_3")
    dW_4_to_dW_3 = grads.stack("W_4", "W_3")
    dU_3_to_dU_1 = grads.stack("U_3", "U_1")
    dh_back[pack.last(1, 1, False)] = pack.sort(given["h"]) if "h" in given else 0
    dc_via[pack.last(1, 1, False)] = pack.sort(given["c"]) if "c" in given else 0
    kernels = _kernels(dtype)
    dU_3_h_to_da_a1 = dU_3_h_to_dW_3_x[:, : 8*H]
    matmul = _matmul(dtype)

    # all steps in one launch, unless one launch for each stage of each is better
    left = yield (
        "backward_steps", params.sizes, pack, dtype, H, U_3_h_to_a_a1, W_4_x_to_W_3_x, dy_rows, dh_back, h,
        tanh_a_c, dc_via, da_a3, dU_3_h_to_dW_3_x, U_3,
    )

    for t, n in reversed(list(enumerate(left))):
        # a1[t] = relu(a_a1[t]) (first layer, node 1) (28)
        # a_a3[t] = W_3_x[t]*U_3_h[t] (33)
        # a_s2[t] = a4[t]*a5[t] (16)
        # a_s3[t] = a6[t] + a7[t] (44)
        # dh[t] = dy[t] + dh_back[t+1] (99)
        # a3[t] = relu(a_a3[t]) (first layer, node 3) (33)
        # a_s0[t] = a0[t]*a1[t] (14)
        # s2[t] = tanh(a_s2[t]) (second layer, node 2) (16)
        # s3[t] = sigmoid(a_s3[t]) (second layer, node 3) (45)
        # dtanh_in_h[t] = dh[t]*(1 - h[t]**2) (102)
        # s0[t] = tanh(a_s0[t]) (second layer, node 0) (14)
        # a_s1[t] = a2[t] + a3[t] (42)
        # a_h[t] = s2[t] + s3[t] (48)
        # s1[t] = tanh(a_s1[t]) (second layer, node 1) (43)
        # tanh_a_h[t] = tanh(a_h[t]) (49)
        # c[t] = tanh_a_c[t]*s1[t] (cell state) (47)
        # dc[t] = dtanh_in_h[t]*tanh_a_h[t] + dc_via[t+1] (102)
        # dtanh_a_h[t] = dtanh_in_h[t]*c[t] (100)
        # dtanh_a_c[t] = dc[t]*s1[t] (103)
        # ds1[t] = dc[t]*tanh_a_c[t] (107)
        # da_h[t] = dtanh_a_h[t]*(1 - tanh_a_h[t]**2) (100)
        # da_c[t] = dtanh_a_c[t]*(1 - tanh_a_c[t]**2) (103)
        # da_s1[t] = ds1[t]*(1 - s1[t]**2) (108)
        # da_s3[t] = da_h[t]*s3[t]*(1 - s3[t]) (105)
        # da_s2[t] = da_h[t]*(1 - s2[t]**2) (114)
        # da_s0[t] = da_c[t]*(1 - s0[t]**2) (123)
        # da_a3[t] = da_s1[t]*greater(a_a3[t], 0) (119)
        # da_a2[t] = da_s1[t]*a2[t]*(1 - a2[t]) (122)
        # dc_via[t] = da_c[t] (102)
        # da_a7[t] = da_s3[t]*a7[t]*(1 - a7[t]) (111)
        # da_a6[t] = da_s3[t]*(1 - a6[t]**2) (113)
        # da5[t] = da_s2[t]*a4[t] (114)
        # da4[t] = da_s2[t]*a5[t] (116)
        # dU_3_h[t] = da_a3[t]*W_3_x[t] (119)
        # da1[t] = da_s0[t]*a0[t] (123)
        # da0[t] = da_s0[t]*a1[t] (125)
        # da_a5[t] = da5[t]*a5[t]*(1 - a5[t]) (115)
        # da_a4[t] = da4[t]*(1 - a4[t]**2) (117)
        # da_a1[t] = da1[t]*greater(a_a1[t], 0) (124)
        # da_a0[t] = da0[t]*a0[t]*(1 - a0[t]) (126)
        _launch_units(
            kernels.backward_1, n, H, H, U_3_h_to_a_a1, at_0[t].start, W_4_x_to_W_3_x, at_0[t].start, dy_rows,
            at_0[t].start, dh_back, ring_1[t].start, h, at_1[t].start, tanh_a_c, at_0[t].start, dc_via,
            ring_1[t].start, da_a3, at_0[t].start, dU_3_h_to_dW_3_x, at_0[t].start, dc_via, ring_1_0[t].start,
        )
        # dh_back[t] = U_0.T @ da_a0[t] + U_1.T @ da_a1[t] + U_2.T @ da_a2[t] + U_3.T @ dU_3_h[t] + U_4.T @ da_a4[t] +
        #     U_5.T @ da_a5[t] + U_6.T @ da_a6[t] + U_7.T @ da_a7[t] (99)
        dU_3_h_to_da_a1_t = dU_3_h_to_da_a1[at_0[t]]
        dh_back_t = dh_back[ring_1_0[t]]
        matmul(dU_3_h_to_da_a1_t, U_3_to_U_1, out=dh_back_t)

    # dW_3_x[t] = da_a3[t]*U_3_h[t] (120)
    _launch_units(kernels.backward_2, pack.size, H, H, da_a3, U_3_h_to_a_a1, dU_3_h_to_dW_3_x)
    if need_x:
        # dx[t] = W_0.T @ da_a0[t] + W_1.T @ da_a1[t] + W_2.T @ da_a2[t] + W_3.T @ dW_3_x[t] + W_4.T @ da_a4[t] + W_5.T
        #     @ da_a5[t] + W_6.T @ da_a6[t] + W_7.T @ da_a7[t] (127)
        da_a4_to_dW_3_x = dU_3_h_to_dW_3_x[:, H :]
        matmul(da_a4_to_dW_3_x, W_4_to_W_3, out=dx_)
    # dW_4 = sum of outer(da_a4[t], x[t]) (143)
    # dW_6 = sum of outer(da_a6[t], x[t]) (147)
    # dW_0 = sum of outer(da_a0[t], x[t]) (135)
    # dW_2 = sum of outer(da_a2[t], x[t]) (139)
    # dW_5 = sum of outer(da_a5[t], x[t]) (145)
    # dW_7 = sum of outer(da_a7[t], x[t]) (149)
    # dW_1 = sum of outer(da_a1[t], x[t]) (137)
    # dW_3 = sum of outer(dW_3_x[t], x[t]) (141)
    da_a4_to_dW_3_x_ = dU_3_h_to_dW_3_x[:, H :]
    matmul(da_a4_to_dW_3_x_.T, x_, out=dW_4_to_dW_3)
    # dU_3 = sum of outer(dU_3_h[t], h[t-1]) (142)
    # dU_4 = sum of outer(da_a4[t], h[t-1]) (144)
    # dU_6 = sum of outer(da_a6[t], h[t-1]) (148)
    # dU_0 = sum of outer(da_a0[t], h[t-1]) (136)
    # dU_2 = sum of outer(da_a2[t], h[t-1]) (140)
    # dU_5 = sum of outer(da_a5[t], h[t-1]) (146)
    # dU_7 = sum of outer(da_a7[t], h[t-1]) (150)
    # dU_1 = sum of outer(da_a1[t], h[t-1]) (138)
    dU_3_h_to_da_a1_ = dU_3_h_to_dW_3_x[:, : 8*H]
    h_t1 = h[pack.past(1, 0)]
    matmul(dU_3_h_to_da_a1_.T, h_t1, out=dU_3_to_dU_1)

    dh_first = dh_back[pack.first(1)]
    dc_first = dc_via[pack.first(1)]

    dstate = {
        "h": pack.unsort(dh_first)[0],
        "c": pack.unsort(dc_first)[0],
    }
    if not need_x:
        return grads, {}, dstate
    dx = {
        "x": dx_,
    }
    return grads, dx, dstate


Launch = tuple[Any, ...]
"""What runs all steps: the arguments of ``_run_steps``."""
Result = TypeVar("Result")
Sweep = Generator[Launch, list[int] | None, Result]
"""A sweep that stops at each launch of all steps, and is sent the steps that are left."""


def forward_both(
    params: tuple[Mapping[str, Any], Mapping[str, Any]],
    x: tuple[Any, Any],
    state: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] = (None, None),
    lengths: Any = None,
    *,
    packed: bool = False,
    keep_tape: bool = True,
    checkpoint: int | str | None = None,
    budget: float | None = None,
) -> tuple[Any, Any]:
    """``forward`` twice, for two directions of a layer: their steps share launches where that is quicker.

    params, x, state: of either, a pair; all else is the same for both, and so are the shapes. The second x runs from
    its first step on, too: for the other direction in time pass it reversed. Returns what ``forward`` does, twice.
    Raises like it, and ValueError for two that differ in their sizes, types of numbers or steps.
    """
    pairs = zip(_pair("params", params), _pair("x", x), _pair("state", state))
    one, other = (_forward(*each, lengths, packed, keep_tape, checkpoint, budget) for each in pairs)
    return _together(one, other)


def backward_both(
    params: tuple[Mapping[str, Any], Mapping[str, Any]],
    tape: tuple[Tape | Checkpoints, Tape | Checkpoints],
    dy: tuple[Any, Any],
    dlast: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] = (None, None),
    *,
    need_x: bool = True,
) -> tuple[Grads, Grads]:
    """``backward`` twice, through two runs that ``forward_both`` taped; pairs, results and errors like there."""
    pairs = zip(_pair("params", params), _pair("tape", tape), _pair("dy", dy), _pair("dlast", dlast))
    one, other = (_backward(*each, need_x) for each in pairs)
    return _together(one, other)


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name}: expected a pair, one for each of two runs, got {type(value).__name__}")
    return value[0], value[1]


def _alone(sweep: Sweep[Result]) -> Result:
    """A sweep whose launches are its own."""
    left = None
    while True:
        try:
            asked = sweep.send(left)
        except StopIteration as done:
            return done.value
        try:
            left = _run_steps(*asked)
        except TROUBLES as problem:
            sweep.throw(problem)  # which knows what all of it needs


def _together(one: Sweep[Result], other: Sweep[Result]) -> tuple[Result, Result]:
    """Two sweeps from launch to launch: they have as many, as what decides that is the same for both."""
    left: tuple[list[int] | None, list[int] | None] = None, None
    while True:
        asked, found = [], []
        for sweep, steps in ((one, left[0]), (other, left[1])):
            try:
                asked.append(sweep.send(steps))
            except StopIteration as done:
                found.append(done.value)
        if found:
            return found[0], found[1]
        try:
            left = _run_both(*asked)
        except TROUBLES as problem:
            one.throw(problem)


def step(
    params: Mapping[str, Any], x_t: Any, state: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """One step: x_t (B, size), by name where there are several inputs, and a state as ``forward`` takes it.

    Returns y_t (B, size) and the next state. Raises ValueError or TypeError for an argument that does not fit.
    """
    inputs = _inputs("x_t", x_t)
    params = _params(params, inputs, {}, None, state)
    (batch,) = _check_inputs(inputs, ("B",), params)
    given = _state_rows(_check_state("state", state, batch, params))
    dtype, real = params.flat.dtype, _real(params.flat.dtype)
    H = params.sizes["H"]

    x_t_ = cp.ascontiguousarray(inputs["x"][1])
    W_4_x_to_W_3_x = cp.empty((batch, 8*H), dtype)
    U_3_h_to_a_a1 = cp.empty((batch, 8*H), dtype)
    tanh_a_c = cp.empty((batch, H), dtype)
    c = cp.empty((batch, H), real)
    h = cp.empty((batch, H), dtype)
    h_before = given["h"] if "h" in given else cp.zeros((1, batch, H), dtype)
    c_before = _as(given["c"], real) if "c" in given else cp.zeros((1, batch, H), real)
    W_4_to_W_3_T = params.stack("W_4", "W_3").T
    matmul = _matmul(dtype)
    h_t1 = h_before[0]
    U_3_to_U_1_T = params.stack("U_3", "U_1").T
    kernels = _kernels(dtype)
    c_t1 = c_before[0]

    # W_4_x[t] = W_4 @ x[t] (34)
    # W_6_x[t] = W_6 @ x[t] (38)
    # W_0_x[t] = W_0 @ x[t] (25)
    # W_2_x[t] = W_2 @ x[t] (29)
    # W_5_x[t] = W_5 @ x[t] (36)
    # W_7_x[t] = W_7 @ x[t] (40)
    # W_1_x[t] = W_1 @ x[t] (27)
    # W_3_x[t] = W_3 @ x[t] (31)
    matmul(x_t_, W_4_to_W_3_T, out=W_4_x_to_W_3_x)
    # U_3_h[t] = U_3 @ h[t-1] (32)
    # U_4_h[t] = U_4 @ h[t-1] (34)
    # U_6_h[t] = U_6 @ h[t-1] (38)
    # U_0_h[t] = U_0 @ h[t-1] (25)
    # U_2_h[t] = U_2 @ h[t-1] (29)
    # U_5_h[t] = U_5 @ h[t-1] (36)
    # U_7_h[t] = U_7 @ h[t-1] (40)
    # U_1_h[t] = U_1 @ h[t-1] (27)
    U_3_h_to_U_1_h_t = U_3_h_to_a_a1
    matmul(h_t1, U_3_to_U_1_T, out=U_3_h_to_U_1_h_t)
    # a_a0[t] = W_0_x[t] + U_0_h[t] (25)
    # a_a1[t] = W_1_x[t] + U_1_h[t] (27)
    # a_a2[t] = W_2_x[t] + U_2_h[t] (29)
    # a_a3[t] = W_3_x[t]*U_3_h[t] (33)
    # a_a4[t] = W_4_x[t] + U_4_h[t] (34)
    # a_a5[t] = W_5_x[t] + U_5_h[t] (36)
    # a_a6[t] = W_6_x[t] + U_6_h[t] (38)
    # a_a7[t] = W_7_x[t] + U_7_h[t] (40)
    # a0[t] = sigmoid(a_a0[t]) (first layer, node 0) (26)
    # a1[t] = relu(a_a1[t]) (first layer, node 1) (28)
    # a2[t] = sigmoid(a_a2[t]) (first layer, node 2) (30)
    # a3[t] = relu(a_a3[t]) (first layer, node 3) (33)
    # a4[t] = tanh(a_a4[t]) (first layer, node 4) (35)
    # a5[t] = sigmoid(a_a5[t]) (first layer, node 5) (37)
    # a6[t] = tanh(a_a6[t]) (first layer, node 6) (39)
    # a7[t] = sigmoid(a_a7[t]) (first layer, node 7) (41)
    # a_s0[t] = a0[t]*a1[t] (14)
    # a_s1[t] = a2[t] + a3[t] (42)
    # a_s2[t] = a4[t]*a5[t] (16)
    # a_s3[t] = a6[t] + a7[t] (44)
    # s0[t] = tanh(a_s0[t]) (second layer, node 0) (14)
    # s1[t] = tanh(a_s1[t]) (second layer, node 1) (43)
    # s2[t] = tanh(a_s2[t]) (second layer, node 2) (16)
    # s3[t] = sigmoid(a_s3[t]) (second layer, node 3) (45)
    # a_c[t] = s0[t] + c[t-1] (46)
    # a_h[t] = s2[t] + s3[t] (48)
    # tanh_a_c[t] = tanh(a_c[t]) (47)
    # tanh_a_h[t] = tanh(a_h[t]) (49)
    # c[t] = tanh_a_c[t]*s1[t] (cell state) (47)
    # tanh_in_h[t] = c[t]*tanh_a_h[t] (49)
    # h[t] = tanh(tanh_in_h[t]) (hidden state) (49)
    _launch_units(
        kernels.forward_1, batch, H, H, W_4_x_to_W_3_x, 0, U_3_h_to_a_a1, 0, c_t1, 0, tanh_a_c, 0, c, 0, h, 0,
    )

    state = {
        "h": _as(h, dtype),
        "c": _as(c, dtype),
    }
    return _as(h.copy(), dtype), state


class Checkpoints(NamedTuple):
    """What ``forward`` hands to ``backward`` where it keeps states alone: ``starts``, those before every piece.

    A piece has ``every`` steps. It refers to the inputs: leave them unchanged in between, and the parameters, too.
    """

    every: int
    steps: int
    batch: int
    lengths: np.ndarray | None
    packed: bool
    sizes: dict[str, int]
    dtype: Any
    inputs: dict[str, Any]
    starts: list[dict[str, Any]]

    @property
    def nbytes(self) -> int:
        """Bytes stored for the backward pass, the inputs included."""
        return sum(array.nbytes for arrays in (self.inputs, *self.starts) for array in arrays.values())

    @property
    def lead(self) -> tuple[int, ...]:
        """The leading axes of what comes and goes: see ``Packing``."""
        return (self._before(self.steps),) if self.packed else (self.steps, self.batch)

    def _before(self, step: int) -> int:
        """What lies before a step along the first axis: so many steps, or rows."""
        if not self.packed:
            return step
        return step * self.batch if self.lengths is None else int(np.minimum(self.lengths, step).sum())

    def piece(self, number: int) -> tuple[slice, dict[str, Any], Packing]:
        """Where a piece lies along the first axis, its inputs, and which rows each step works on."""
        start = number * self.every
        steps = min(self.every, self.steps - start)
        lengths = None if self.lengths is None else np.clip(self.lengths - start, 0, steps)
        if lengths is not None and (lengths == steps).all():
            lengths = None
        where = slice(self._before(start), self._before(start + steps))
        pack = Packing(steps, self.batch, lengths, self.packed)
        return where, {name: x[where] for name, x in self.inputs.items()}, pack


def _forward_pieces(
    params: Params, tape: Checkpoints, state: dict[str, Any], keep_tape: bool
) -> Sweep[tuple[Any, dict[str, Any], Checkpoints | None]]:
    """``forward`` piece by piece, each from the states that the one before it left."""
    shape = _shape(("H",), params.sizes)
    y = cp.empty((*tape.lead, *shape), tape.dtype)
    state = {name: value.astype(_real(tape.dtype)) for name, value in state.items()}
    for number in range(max(1, -(-tape.steps // tape.every))):
        if keep_tape:
            tape.starts.append(state)
        where, inputs, pack = tape.piece(number)
        rows, state, _ = yield from _forward_sweep(params, inputs, state, pack, False)
        y[where] = pack.sequence(_as(rows, tape.dtype), shape, False)
    return y, {name: _as(value, tape.dtype) for name, value in state.items()}, tape if keep_tape else None


def _backward_pieces(
    params: Params, tape: Checkpoints, dy: Any, dstate: dict[str, Any], need_x: bool
) -> Sweep[tuple[Params, dict[str, Any], dict[str, Any]]]:
    """``backward`` piece by piece, from the last one on."""
    grads = Params(cp.zeros(params.flat.shape, _real(tape.dtype)), params.sizes)
    dx = {name: cp.empty(x.shape, tape.dtype) for name, x in tape.inputs.items()} if need_x else {}
    for number in reversed(range(len(tape.starts))):
        dstate = yield from _backward_piece(params, tape, number, dy, dstate, grads, dx)
    return grads, dx, dstate


def _backward_piece(
    params: Params, tape: Checkpoints, number: int, dy: Any, dstate: dict[str, Any], grads: Params, dx: dict[str, Any]
) -> Sweep[dict[str, Any]]:
    """Run a piece again, this time with a tape, and go back through it: adds to ``grads``, fills its part of ``dx``."""
    where, inputs, pack = tape.piece(number)
    _, _, taped = yield from _forward_sweep(params, inputs, tape.starts[number], pack, True)
    more, parts, dstate = yield from _backward_sweep(params, taped, dy[where], dstate, bool(dx))
    grads.flat += more.flat
    for name, part in parts.items():
        dx[name][where] = pack.sequence(_as(part, tape.dtype), params.shapes[name], False)
    return dstate


def _every(
    checkpoint: Any, budget: Any, params: Params, steps: int, batch: int, uneven: bool, keep_tape: bool
) -> int | None:
    """The steps between states that are kept, as ``forward`` was asked for them; None for a whole tape."""
    if budget is not None:
        if checkpoint is not None:
            raise ValueError(f"budget: expected none beside checkpoint = {checkpoint!r}, got {budget!r}")
        return _within(budget, params, steps, batch, uneven, keep_tape)
    if checkpoint is None:
        return None
    if isinstance(checkpoint, str) and checkpoint == "sqrt":
        return math.isqrt(max(steps, 1) - 1) + 1
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, (int, np.integer)) or checkpoint < 1:
        raise ValueError(f'checkpoint: expected None, "sqrt" or a number of steps from 1 on, got {checkpoint!r}')
    return int(checkpoint)


def _within(budget: Any, params: Params, steps: int, batch: int, uneven: bool, keep_tape: bool) -> int | None:
    """The most steps between states with which all fits in ``budget`` bytes; None where a whole tape does."""
    if isinstance(budget, bool) or not isinstance(budget, (int, float, np.integer, np.floating)) or budget != budget:
        raise ValueError(f"budget: expected a number of bytes, got {budget!r}")
    root = math.isqrt(steps) + 1
    # more steps than these make no fewer pieces
    lengths = {-(-steps // count) for count in range(2, root + 1)} | set(range(1, root + 1))
    needs = {}
    for every in (None, *sorted(lengths, reverse=True)):
        needs[every] = _need(every, params, steps, batch, uneven, keep_tape)
        if needs[every] <= budget:
            return every
    raise ValueError(f"budget: expected {min(needs.values())} bytes at least, got {budget!r}")


def _too_large(call: str, problem: Exception, *need: Any) -> MemoryError:
    """What to say where memory ran out, in a call of these ``_need`` (or unknown). What the call had made until then is
    given back."""
    if getattr(problem, "status", OUT_OF_MEMORY) != OUT_OF_MEMORY:
        raise problem
    traceback.clear_frames(problem.__traceback__)
    if not need:
        return MemoryError(f"{call}: memory ran out; fewer samples or steps at once need less. {problem}")
    every, params, steps, batch, *rest = need
    whole, pieces = (_need(k, params, steps, batch, *rest) for k in (every, math.isqrt(max(steps, 1) - 1) + 1))
    advice = "fewer samples or steps at once need less"
    if pieces < whole:
        advice = f'checkpoint="sqrt" makes that {pieces:,}, and budget= keeps it below the bytes that you name'
    expected = f"expected {whole:,} bytes of memory besides what goes in and comes out, for T = {steps} and B = {batch}"
    return MemoryError(f"{call}: {expected}; {advice}. {problem}")


def _need(every: int | None, params: Params, steps: int, batch: int, uneven: bool, keep_tape: bool) -> int:
    """The bytes that ``forward`` and ``backward`` hold at most besides what goes in and comes out."""
    item, real = params.flat.dtype.itemsize, _real(params.flat.dtype).itemsize
    length = steps if every is None else min(every, steps)
    untaped, taped, back = _held(params.sizes, length, batch, item, uneven)
    states = real * batch * sum(LAGS.get(name, 1) * math.prod(params.shapes[name]) for name in STATES)
    if every is None:
        return states + (max(taped, back) if keep_tape else untaped)
    # of a piece: what it returns, the states before and behind it, and these on their way
    y = item * length * batch * math.prod(_shape(("H",), params.sizes))
    dx = item * length * batch * sum(math.prod(params.shapes[name]) for name in INPUTS)
    if not keep_tape:
        return 3 * states + untaped + y
    kept = states * max(1, -(-steps // every))
    return kept + 3 * states + max(taped, back + dx + real * params.flat.size)


def _held(sizes: Mapping[str, int], steps: int, batch: int, item: int, uneven: bool) -> tuple[int, int, int]:
    """Bytes of the arrays in a sweep over so many steps: forward without a tape, forward with one, backward beside it.
    ``uneven``: sequences end early, so that rows are copied together."""
    real = max(item, 4)
    D = sizes["D"]
    H = sizes["H"]
    rows = steps * batch
    untaped = item * (rows * 8*H + batch * 10*H) + 760 * steps
    untaped += real * (batch * 2*H)
    taped = item * (rows * 18*H + batch * H) + 760 * steps
    taped += real * (batch * 2*H)
    back = item * (rows * 28*H + batch * H) + 880 * steps
    back += real * (batch * 4*H)
    if item < 4:
        back += real * (8*D*H + 8*H*H)
    if uneven:
        untaped += rows * (item * (D + H) + 8)
        taped += rows * (item * D + 8)
        back += rows * (item * (2*D + 2*H) + 16)
    return untaped, taped, back


def _kind(value: Any) -> str:
    """The name of a value's type, with its package where that is not Python's own: ``numpy.ndarray``."""
    package = type(value).__module__.partition(".")[0]
    return type(value).__name__ if package == "builtins" else f"{package}.{type(value).__name__}"


def _array(name: str, value: Any, lead: tuple[int | str, ...], shape: tuple[int, ...], dtype: Any) -> Any:
    """``value`` if it is an array of the shape (*lead, *shape), where letters as ``lead`` stand for any lengths, and of
    this type (None: of any)."""
    if not isinstance(value, cp.ndarray):
        raise TypeError(f"{name}: expected a CuPy array (cp.asarray makes one), got {_kind(value)}")
    free = lead[:1] in (("T",), ("B",))
    if value.shape != (*(value.shape[: len(lead)] if free else lead), *shape):
        wanted = str((*lead, *shape)).replace("'", "")
        raise ValueError(f"{name}: expected the shape {wanted}, got {tuple(value.shape)}")
    if dtype is not None and value.dtype != dtype:
        raise TypeError(f"{name}: expected {dtype}, the type of the parameters, got {value.dtype}")
    _check_device(name, value)
    return value


def _mapping(name: str, value: Any, known: Iterable[str], every: bool) -> Mapping[str, Any]:
    """``value`` if it is a mapping with known keys only (all of them, where ``every``)."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a dict with keys from {', '.join(known)}, got {_kind(value)}")
    for key in value:
        if key not in known:
            raise ValueError(f"{name}: unknown key {key!r}, expected {', '.join(known) or 'none'}")
    for key in known if every else ():
        if key not in value:
            raise ValueError(f"{name}: missing key {key!r}")
    return value


def _params(
    params: Any, inputs: Mapping[str, tuple[str, Any]], sizes: Mapping[str, int], kind: Any, state: Any = None
) -> Params:
    """``params`` as :class:`Params`: itself, or a checked copy of any mapping from names to arrays.

    Named sizes are those given, or show in the arrays, the inputs and the states. ``kind``: the type of number where
    there is no parameter to tell it.
    """
    if isinstance(params, Params):
        _check_device("params", params.flat)
        return params
    known = PARAMS
    _mapping("params", params, known, True)
    arrays = [(f'params["{name}"]', params[name], shape) for name, shape in known.items()]
    others = [(label, value, INPUTS[name]) for name, (label, value) in inputs.items()]
    if isinstance(state, Mapping):
        others += [(f'state["{name}"]', value, STATES[name]) for name, value in state.items() if name in STATES]
    for label, value, _ in (*arrays, *others):
        _array(label, value, getattr(value, "shape", ()), (), None)
    found = _sizes([(value.shape[-len(shape) :], shape) for _, value, shape in (*arrays, *others) if shape], sizes)
    for label, value, shape in arrays:
        _array(label, value, (), _shape(shape, found), None)
    kinds = {_float_type(label, value.dtype) for label, value, _ in arrays[: len(PARAMS)]}
    if not kinds:
        kinds = {kind} if kind else {_float_type(label, value.dtype) for label, value in inputs.values()}
    if len(kinds) > 1:
        raise TypeError(f"params: expected arrays of one type, got {', '.join(sorted(map(str, kinds)))}")
    kind = next(iter(kinds), np.dtype("float32"))
    flat = cp.empty(sum(math.prod(_shape(shape, found)) for shape in PARAMS.values()), kind)
    packed = Params(flat, found)
    for name in PARAMS:
        packed[name] = params[name]
    return packed


def _sizes(shapes: list[tuple[tuple[int, ...], tuple[int | str, ...]]], sizes: Mapping[str, int]) -> dict[str, int]:
    """The named sizes, from some shapes in numbers and in names."""
    found = dict(sizes)
    for shape, named in shapes:
        for n, size in zip(shape, named):
            if size in SIZES:
                found.setdefault(size, int(n))
    for name in SIZES:
        if name not in found:
            advice = f"Params.from_dict(..., {name}=...) tells it"
            raise ValueError(f"params: expected arrays that show the size {name}; {advice}")
    return {name: found[name] for name in SIZES}


def _inputs(argument: str, x: Any) -> dict[str, tuple[str, Any]]:
    """The inputs by name, each with what to call it in an error."""
    if len(INPUTS) == 1 and not isinstance(x, Mapping):
        return {name: (argument, x) for name in INPUTS}
    _mapping(argument, x, INPUTS, True)
    return {name: (f'{argument}["{name}"]', x[name]) for name in INPUTS}


def _check_inputs(inputs: Mapping[str, tuple[str, Any]], lead: tuple[Any, ...], params: Params) -> tuple[int, ...]:
    """The lengths of the inputs' leading axes, which are alike, once each has been found to fit."""
    count = len(lead)
    for name, (label, value) in inputs.items():
        _array(label, value, lead, params.shapes[name], params.flat.dtype)
        lead = value.shape[:count]
    return lead


def _check_state(argument: str, state: Any, batch: int, params: Params) -> dict[str, Any]:
    """The given states by name: every key known, every shape right."""
    if state is None:
        return {}
    given = dict(_mapping(argument, state, STATES, False))
    for name, value in given.items():
        _array(f'{argument}["{name}"]', value, (batch,), params.shapes[name], params.flat.dtype)
    return given


def _state_rows(states: Mapping[str, Any]) -> dict[str, Any]:
    """States as rows (steps, B, n)."""
    found = {}
    for name, value in states.items():
        found[name] = cp.ascontiguousarray(value)[None]
    return found


def _check_sequences(
    inputs: Mapping[str, tuple[str, Any]], lengths: Any, packed: bool, params: Params
) -> tuple[int, int, np.ndarray | None]:
    """T, B and the lengths (None where every sequence is T long), once inputs and lengths have been found to fit."""
    if not packed:
        steps, batch = _check_inputs(inputs, ("T", "B"), params)
        return steps, batch, _check_lengths(lengths, steps, batch)
    if lengths is None:
        raise ValueError("lengths: expected those of the packed sequences, got None")
    found = _lengths(lengths)
    steps = int(found.max()) if found.size and found.dtype.kind in "iu" else 0
    ends = _check_lengths(found, steps, found.size)
    for one, other in zip(found.tolist(), found.tolist()[1:]):
        if other > one:
            raise ValueError(f"lengths: expected the longest first where rows are packed, got {other} behind {one}")
    _check_inputs(inputs, (int(found.sum()),), params)
    return steps, found.size, ends


def _lengths(lengths: Any) -> np.ndarray:
    """``lengths`` as an array of NumPy's."""
    try:
        return cp.asnumpy(lengths)
    except (TypeError, ValueError) as problem:
        raise TypeError(f"lengths: expected integers, got {_kind(lengths)} ({problem})") from None


def _check_lengths(lengths: Any, steps: int, batch: int) -> np.ndarray | None:
    """``lengths`` as integers (B,) between 0 and T; None where every sequence is T long."""
    if lengths is None:
        return None
    found = _lengths(lengths)
    if found.shape != (batch,) or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"lengths: expected {batch} integers, got {found.dtype} of shape {found.shape}")
    found = found.astype(int)
    if found.size and (found.min() < 0 or found.max() > steps):
        raise ValueError(f"lengths: expected numbers from 0 to T = {steps}, got {found.min()} to {found.max()}")
    return None if (found == steps).all() else found


LEAST_CAPABILITY = 70
"""The compute capability that kernels need, times ten: from there on blocks can wait for each other through memory."""

TROUBLES, OUT_OF_MEMORY = (MemoryError, cp.cuda.runtime.CUDARuntimeError, cp.cuda.driver.CUDADriverError), 2
"""What is raised where memory runs out; the ``status`` that CUDA's errors then have, of those that have one."""


def _device() -> int:
    """The number of the current device, once it has been found to be one that kernels run on.

    Raises RuntimeError that says what there is instead, and what to do about it.
    """
    try:
        device = cp.cuda.runtime.getDevice()
    except cp.cuda.runtime.CUDARuntimeError as problem:
        raise RuntimeError(f"device: expected a CUDA device, got none: {_missing()}. {problem}") from problem
    _check_capability(device)
    return device


def _missing() -> str:
    """Why there is no device, and what to do."""
    driver, built = cp.cuda.runtime.driverGetVersion(), cp.cuda.runtime.runtimeGetVersion()
    if not driver:
        return "there is no driver of NVIDIA's; without one, the modules of this cell for NumPy and C run"
    if driver // 1000 < built // 1000:
        found, needed = (f"{version // 1000}.{version % 1000 // 10}" for version in (driver, built))
        return (
            f"the driver is for CUDA {found}, and this CuPy for {needed}; update the driver, or install "
            f"cupy-cuda{driver // 1000}x in its place"
        )
    return "none is visible; see what nvidia-smi lists, and CUDA_VISIBLE_DEVICES"


@functools.lru_cache(maxsize=None)
def _check_capability(device: int) -> None:
    found = int(cp.cuda.Device(device).compute_capability)
    if found < LEAST_CAPABILITY:
        raise RuntimeError(
            f"device {device}: expected compute capability {LEAST_CAPABILITY / 10}, got {found / 10}; work on another "
            'device, "with cp.cuda.Device(n):", or with the module of this cell for NumPy or C'
        )


def _check_device(name: str, value: Any) -> None:
    """ValueError for an array on another device than the current one, where the work is done."""
    device, found = _device(), value.device.id
    if found != device:
        raise ValueError(
            f"{name}: expected an array on the current device, {device}, got one on device {found}; call this within "
            f'"with cp.cuda.Device({found}):", or copy the array by cp.asarray within "with cp.cuda.Device({device}):"'
        )


def _check_tape(tape: Any) -> None:
    """The same for what ``forward`` has kept."""
    for value in (tape.inputs if isinstance(tape, Checkpoints) else tape.arrays).values():
        _check_device("tape", value)


SCALES = np.array([1, 0], np.float32)
ONE, ZERO = SCALES.ctypes.data, SCALES.ctypes.data + SCALES.itemsize
"""Where cuBLAS reads what it scales by."""
GEMM_TYPES = {"float32": 0, "float16": 2, "bfloat16": 14}
"""The names of types in cuBLAS."""


def _matmul(dtype: Any) -> Any:
    """What multiplies matrices of parameters of this type."""
    return cp.matmul if dtype.itemsize > 2 else functools.partial(_product, dtype)


def _product(dtype: Any, left: Any, right: Any, *, out: Any) -> None:
    """``out = left @ right`` of numbers rounded to this type of 16 bits, summed in float32. Windows are not copied."""
    left, right = (matrix if matrix.dtype == dtype else matrix.astype(dtype) for matrix in (left, right))
    (rows, inner), columns = left.shape, right.shape[1]
    if not inner or not out.size:
        out[...] = 0
        return
    # where arrays have rows cuBLAS has columns: it multiplies transposes, in the other order
    kind, (turn_right, right_step), (turn_left, left_step) = GEMM_TYPES[dtype.name], _laid(right), _laid(left)
    cp.cuda.cublas.gemmEx(
        cp.cuda.Device().cublas_handle, turn_right, turn_left, columns, rows, inner,
        ONE, right.data.ptr, kind, right_step, left.data.ptr, kind, left_step,
        ZERO, out.data.ptr, GEMM_TYPES[out.dtype.name], _laid(out)[1],
        cp.cuda.cublas.CUBLAS_COMPUTE_32F, cp.cuda.cublas.CUBLAS_GEMM_DEFAULT,
    )


def _laid(matrix: Any) -> tuple[int, int]:
    """Whether cuBLAS must transpose a matrix (1, else 0), and how far apart its rows are, or its columns."""
    down, across = (step // matrix.itemsize for step in matrix.strides)
    if across == 1 or matrix.shape[1] == 1:
        return 0, max(down, matrix.shape[1])
    return 1, max(across, matrix.shape[0])


KERNELS = ("forward_1", "backward_1", "backward_2")
CUDA = r"""
// How numbers lie in memory: in 16 bits where STORED_F16 or STORED_BF16 is defined, else as they are computed with.
#if defined(STORED_F16) || defined(STORED_BF16)
#define NARROW 1
// The bits of the nearest number, of two the even one; and the number of some bits.
__device__ __forceinline__ unsigned short narrowed(float x) {
#if defined(STORED_F16) && defined(__CUDA_ARCH__)
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#elif defined(STORED_F16)
    return (unsigned short)symcell_emulator::to_f16(x);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#else
    const unsigned bits = __float_as_uint(x);
    return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
#endif
}
__device__ __forceinline__ float widened(unsigned short bits) {
#if defined(STORED_BF16)
    return __uint_as_float((unsigned)bits << 16);
#elif defined(__CUDA_ARCH__)
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    return symcell_emulator::from_f16(bits);
#endif
}
struct stored {
    unsigned short bits;
    __device__ __forceinline__ operator float() const { return widened(bits); }
    __device__ __forceinline__ stored& operator=(float x) {
        bits = narrowed(x);
        return *this;
    }
};
// What a product takes for a number: it rounds to what can be stored.
__device__ __forceinline__ real rounded(real x) { return widened(narrowed(x)); }
#else
#define NARROW 0
typedef real stored;
__device__ __forceinline__ real rounded(real x) { return x; }
#endif

__device__ inline real relu(real v) { return v < 0 ? 0 : v; }
__device__ inline real sigmoid(real v) { return 1 / (1 + exp(-v)); }

struct forward_1_in {
    real W_0_x_t, U_0_h_t, W_1_x_t, U_1_h_t, W_2_x_t, U_2_h_t, W_3_x_t, U_3_h_t, W_4_x_t, U_4_h_t, W_5_x_t, U_5_h_t,
        W_6_x_t, U_6_h_t, W_7_x_t, U_7_h_t, c_t1;
};

// What a unit of forward_1 reads.
__device__ inline forward_1_in forward_1_read(
    const long long row,
    const int unit,
    const long long H,
    const stored* W_4_x_to_W_3_x_t_rows,
    stored* U_3_h_to_a_a1_t_rows,
    const real* c_t1_rows,
    stored* tanh_a_c_t_rows,
    real* c_t_rows,
    stored* h_t_rows) {
    forward_1_in in;
    in.W_0_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 2*H + unit];
    in.U_0_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 3*H + unit];
    in.W_1_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 6*H + unit];
    in.U_1_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 7*H + unit];
    in.W_2_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 3*H + unit];
    in.U_2_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 4*H + unit];
    in.W_3_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 7*H + unit];
    in.U_3_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + unit];
    in.W_4_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + unit];
    in.U_4_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + H + unit];
    in.W_5_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 4*H + unit];
    in.U_5_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 5*H + unit];
    in.W_6_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + H + unit];
    in.U_6_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 2*H + unit];
    in.W_7_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 5*H + unit];
    in.U_7_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 6*H + unit];
    in.c_t1 = c_t1_rows[row * H + unit];
    return in;
}

// What a unit leaves for the step to come.
struct forward_1_out {
    real c_t;
};

__device__ inline forward_1_out forward_1_unit(
    const long long row,
    const int unit,
    const long long H,
    const stored* W_4_x_to_W_3_x_t_rows,
    stored* U_3_h_to_a_a1_t_rows,
    const real* c_t1_rows,
    stored* tanh_a_c_t_rows,
    real* c_t_rows,
    stored* h_t_rows,
    const forward_1_in& in,
    const bool kept = true) {
    // a_a0[t] = W_0_x[t] + U_0_h[t] (25)
    const real a_a0_t = in.W_0_x_t + in.U_0_h_t;
    // a_a1[t] = W_1_x[t] + U_1_h[t] (27)
    const real a_a1_t = in.W_1_x_t + in.U_1_h_t;
    // a_a2[t] = W_2_x[t] + U_2_h[t] (29)
    const real a_a2_t = in.W_2_x_t + in.U_2_h_t;
    // a_a3[t] = W_3_x[t]*U_3_h[t] (33)
    const real a_a3_t = in.W_3_x_t * in.U_3_h_t;
    // a_a4[t] = W_4_x[t] + U_4_h[t] (34)
    const real a_a4_t = in.W_4_x_t + in.U_4_h_t;
    // a_a5[t] = W_5_x[t] + U_5_h[t] (36)
    const real a_a5_t = in.W_5_x_t + in.U_5_h_t;
    // a_a6[t] = W_6_x[t] + U_6_h[t] (38)
    const real a_a6_t = in.W_6_x_t + in.U_6_h_t;
    // a_a7[t] = W_7_x[t] + U_7_h[t] (40)
    const real a_a7_t = in.W_7_x_t + in.U_7_h_t;
    // a0[t] = sigmoid(a_a0[t]) (first layer, node 0) (26)
    const real a0_t = sigmoid(a_a0_t);
    // a1[t] = relu(a_a1[t]) (first layer, node 1) (28)
    const real a1_t = relu(a_a1_t);
    // a2[t] = sigmoid(a_a2[t]) (first layer, node 2) (30)
    const real a2_t = sigmoid(a_a2_t);
    // a3[t] = relu(a_a3[t]) (first layer, node 3) (33)
    const real a3_t = relu(a_a3_t);
    // a4[t] = tanh(a_a4[t]) (first layer, node 4) (35)
    const real a4_t = tanh(a_a4_t);
    // a5[t] = sigmoid(a_a5[t]) (first layer, node 5) (37)
    const real a5_t = sigmoid(a_a5_t);
    // a6[t] = tanh(a_a6[t]) (first layer, node 6) (39)
    const real a6_t = tanh(a_a6_t);
    // a7[t] = sigmoid(a_a7[t]) (first layer, node 7) (41)
    const real a7_t = sigmoid(a_a7_t);
    // a_s0[t] = a0[t]*a1[t] (14)
    const real a_s0_t = a0_t * a1_t;
    // a_s1[t] = a2[t] + a3[t] (42)
    const real a_s1_t = a2_t + a3_t;
    // a_s2[t] = a4[t]*a5[t] (16)
    const real a_s2_t = a4_t * a5_t;
    // a_s3[t] = a6[t] + a7[t] (44)
    const real a_s3_t = a6_t + a7_t;
    // s0[t] = tanh(a_s0[t]) (second layer, node 0) (14)
    const real s0_t = tanh(a_s0_t);
    // s1[t] = tanh(a_s1[t]) (second layer, node 1) (43)
    const real s1_t = tanh(a_s1_t);
    // s2[t] = tanh(a_s2[t]) (second layer, node 2) (16)
    const real s2_t = tanh(a_s2_t);
    // s3[t] = sigmoid(a_s3[t]) (second layer, node 3) (45)
    const real s3_t = sigmoid(a_s3_t);
    // a_c[t] = s0[t] + c[t-1] (46)
    const real a_c_t = s0_t + in.c_t1;
    // a_h[t] = s2[t] + s3[t] (48)
    const real a_h_t = s2_t + s3_t;
    // tanh_a_c[t] = tanh(a_c[t]) (47)
    const real tanh_a_c_t = tanh(a_c_t);
    // tanh_a_h[t] = tanh(a_h[t]) (49)
    const real tanh_a_h_t = tanh(a_h_t);
    // c[t] = tanh_a_c[t]*s1[t] (cell state) (47)
    const real c_t = tanh_a_c_t * s1_t;
    // tanh_in_h[t] = c[t]*tanh_a_h[t] (49)
    const real tanh_in_h_t = c_t * tanh_a_h_t;
    // h[t] = tanh(tanh_in_h[t]) (hidden state) (49)
    const real h_t = tanh(tanh_in_h_t);
    U_3_h_to_a_a1_t_rows[row * (8*H) + 7*H + unit] = a_a1_t;
    U_3_h_to_a_a1_t_rows[row * (8*H) + 3*H + unit] = a0_t;
    U_3_h_to_a_a1_t_rows[row * (8*H) + 4*H + unit] = a2_t;
    U_3_h_to_a_a1_t_rows[row * (8*H) + H + unit] = a4_t;
    U_3_h_to_a_a1_t_rows[row * (8*H) + 5*H + unit] = a5_t;
    U_3_h_to_a_a1_t_rows[row * (8*H) + 2*H + unit] = a6_t;
    U_3_h_to_a_a1_t_rows[row * (8*H) + 6*H + unit] = a7_t;
    tanh_a_c_t_rows[row * H + unit] = tanh_a_c_t;
    if (kept) c_t_rows[row * H + unit] = c_t;
    h_t_rows[row * H + unit] = h_t;
    return {c_t};
}

struct backward_1_in {
    real a_a1_t, W_3_x_t, U_3_h_t, a4_t, a5_t, a6_t, a7_t, dy_t, dh_back_next, a0_t, h_t, a2_t, tanh_a_c_t, dc_via_next;
};

// What a unit of backward_1 reads.
__device__ inline backward_1_in backward_1_read(
    const long long row,
    const int unit,
    const long long H,
    const stored* U_3_h_to_a_a1_t_rows,
    const stored* W_4_x_to_W_3_x_t_rows,
    const stored* dy_t_rows,
    const real* dh_back_next_rows,
    const stored* h_t_rows,
    const stored* tanh_a_c_t_rows,
    const real* dc_via_next_rows,
    stored* da_a3_t_rows,
    stored* dU_3_h_to_dW_3_x_t_rows,
    real* dc_via_t_rows) {
    backward_1_in in;
    in.a_a1_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 7*H + unit];
    in.W_3_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 7*H + unit];
    in.U_3_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + unit];
    in.a4_t = U_3_h_to_a_a1_t_rows[row * (8*H) + H + unit];
    in.a5_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 5*H + unit];
    in.a6_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 2*H + unit];
    in.a7_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 6*H + unit];
    in.dy_t = dy_t_rows[row * H + unit];
    in.dh_back_next = dh_back_next_rows[row * H + unit];
    in.a0_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 3*H + unit];
    in.h_t = h_t_rows[row * H + unit];
    in.a2_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 4*H + unit];
    in.tanh_a_c_t = tanh_a_c_t_rows[row * H + unit];
    in.dc_via_next = dc_via_next_rows[row * H + unit];
    return in;
}

// What a unit leaves for the step to come.
struct backward_1_out {
    real dc_via_t;
};

__device__ inline backward_1_out backward_1_unit(
    const long long row,
    const int unit,
    const long long H,
    const stored* U_3_h_to_a_a1_t_rows,
    const stored* W_4_x_to_W_3_x_t_rows,
    const stored* dy_t_rows,
    const real* dh_back_next_rows,
    const stored* h_t_rows,
    const stored* tanh_a_c_t_rows,
    const real* dc_via_next_rows,
    stored* da_a3_t_rows,
    stored* dU_3_h_to_dW_3_x_t_rows,
    real* dc_via_t_rows,
    const backward_1_in& in,
    const bool kept = true) {
    // a1[t] = relu(a_a1[t]) (first layer, node 1) (28)
    const real a1_t = relu(in.a_a1_t);
    // a_a3[t] = W_3_x[t]*U_3_h[t] (33)
    const real a_a3_t = in.W_3_x_t * in.U_3_h_t;
    // a_s2[t] = a4[t]*a5[t] (16)
    const real a_s2_t = in.a4_t * in.a5_t;
    // a_s3[t] = a6[t] + a7[t] (44)
    const real a_s3_t = in.a6_t + in.a7_t;
    // dh[t] = dy[t] + dh_back[t+1] (99)
    const real dh_t = in.dy_t + in.dh_back_next;
    // a3[t] = relu(a_a3[t]) (first layer, node 3) (33)
    const real a3_t = relu(a_a3_t);
    // a_s0[t] = a0[t]*a1[t] (14)
    const real a_s0_t = in.a0_t * a1_t;
    // s2[t] = tanh(a_s2[t]) (second layer, node 2) (16)
    const real s2_t = tanh(a_s2_t);
    // s3[t] = sigmoid(a_s3[t]) (second layer, node 3) (45)
    const real s3_t = sigmoid(a_s3_t);
    // dtanh_in_h[t] = dh[t]*(1 - h[t]**2) (102)
    const real dtanh_in_h_t = dh_t * (1 - in.h_t * in.h_t);
    // s0[t] = tanh(a_s0[t]) (second layer, node 0) (14)
    const real s0_t = tanh(a_s0_t);
    // a_s1[t] = a2[t] + a3[t] (42)
    const real a_s1_t = in.a2_t + a3_t;
    // a_h[t] = s2[t] + s3[t] (48)
    const real a_h_t = s2_t + s3_t;
    // s1[t] = tanh(a_s1[t]) (second layer, node 1) (43)
    const real s1_t = tanh(a_s1_t);
    // tanh_a_h[t] = tanh(a_h[t]) (49)
    const real tanh_a_h_t = tanh(a_h_t);
    // c[t] = tanh_a_c[t]*s1[t] (cell state) (47)
    const real c_t = in.tanh_a_c_t * s1_t;
    // dc[t] = dtanh_in_h[t]*tanh_a_h[t] + dc_via[t+1] (102)
    const real dc_t = dtanh_in_h_t * tanh_a_h_t + in.dc_via_next;
    // dtanh_a_h[t] = dtanh_in_h[t]*c[t] (100)
    const real dtanh_a_h_t = dtanh_in_h_t * c_t;
    // dtanh_a_c[t] = dc[t]*s1[t] (103)
    const real dtanh_a_c_t = dc_t * s1_t;
    // ds1[t] = dc[t]*tanh_a_c[t] (107)
    const real ds1_t = dc_t * in.tanh_a_c_t;
    // da_h[t] = dtanh_a_h[t]*(1 - tanh_a_h[t]**2) (100)
    const real da_h_t = dtanh_a_h_t * (1 - tanh_a_h_t * tanh_a_h_t);
    // da_c[t] = dtanh_a_c[t]*(1 - tanh_a_c[t]**2) (103)
    const real da_c_t = dtanh_a_c_t * (1 - in.tanh_a_c_t * in.tanh_a_c_t);
    // da_s1[t] = ds1[t]*(1 - s1[t]**2) (108)
    const real da_s1_t = ds1_t * (1 - s1_t * s1_t);
    // da_s3[t] = da_h[t]*s3[t]*(1 - s3[t]) (105)
    const real da_s3_t = da_h_t * s3_t * (1 - s3_t);
    // da_s2[t] = da_h[t]*(1 - s2[t]**2) (114)
    const real da_s2_t = da_h_t * (1 - s2_t * s2_t);
    // da_s0[t] = da_c[t]*(1 - s0[t]**2) (123)
    const real da_s0_t = da_c_t * (1 - s0_t * s0_t);
    // da_a3[t] = da_s1[t]*greater(a_a3[t], 0) (119)
    const real da_a3_t = da_s1_t * (real)(a_a3_t > 0);
    // da_a2[t] = da_s1[t]*a2[t]*(1 - a2[t]) (122)
    const real da_a2_t = da_s1_t * in.a2_t * (1 - in.a2_t);
    // dc_via[t] = da_c[t] (102)
    const real dc_via_t = da_c_t;
    // da_a7[t] = da_s3[t]*a7[t]*(1 - a7[t]) (111)
    const real da_a7_t = da_s3_t * in.a7_t * (1 - in.a7_t);
    // da_a6[t] = da_s3[t]*(1 - a6[t]**2) (113)
    const real da_a6_t = da_s3_t * (1 - in.a6_t * in.a6_t);
    // da5[t] = da_s2[t]*a4[t] (114)
    const real da5_t = da_s2_t * in.a4_t;
    // da4[t] = da_s2[t]*a5[t] (116)
    const real da4_t = da_s2_t * in.a5_t;
    // dU_3_h[t] = da_a3[t]*W_3_x[t] (119)
    const real dU_3_h_t = da_a3_t * in.W_3_x_t;
    // da1[t] = da_s0[t]*a0[t] (123)
    const real da1_t = da_s0_t * in.a0_t;
    // da0[t] = da_s0[t]*a1[t] (125)
    const real da0_t = da_s0_t * a1_t;
    // da_a5[t] = da5[t]*a5[t]*(1 - a5[t]) (115)
    const real da_a5_t = da5_t * in.a5_t * (1 - in.a5_t);
    // da_a4[t] = da4[t]*(1 - a4[t]**2) (117)
    const real da_a4_t = da4_t * (1 - in.a4_t * in.a4_t);
    // da_a1[t] = da1[t]*greater(a_a1[t], 0) (124)
    const real da_a1_t = da1_t * (real)(in.a_a1_t > 0);
    // da_a0[t] = da0[t]*a0[t]*(1 - a0[t]) (126)
    const real da_a0_t = da0_t * in.a0_t * (1 - in.a0_t);
    da_a3_t_rows[row * H + unit] = da_a3_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + 4*H + unit] = da_a2_t;
    if (kept) dc_via_t_rows[row * H + unit] = dc_via_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + 6*H + unit] = da_a7_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + 2*H + unit] = da_a6_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + unit] = dU_3_h_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + 5*H + unit] = da_a5_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + H + unit] = da_a4_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + 7*H + unit] = da_a1_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + 3*H + unit] = da_a0_t;
    return {dc_via_t};
}

struct backward_2_in {
    real da_a3_t, U_3_h_t;
};

// What a unit of backward_2 reads.
__device__ inline backward_2_in backward_2_read(
    const long long row,
    const int unit,
    const long long H,
    const stored* da_a3_t_rows,
    const stored* U_3_h_to_a_a1_t_rows,
    stored* dU_3_h_to_dW_3_x_t_rows) {
    backward_2_in in;
    in.da_a3_t = da_a3_t_rows[row * H + unit];
    in.U_3_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + unit];
    return in;
}

__device__ inline void backward_2_unit(
    const long long row,
    const int unit,
    const long long H,
    const stored* da_a3_t_rows,
    const stored* U_3_h_to_a_a1_t_rows,
    stored* dU_3_h_to_dW_3_x_t_rows,
    const backward_2_in& in) {
    // dW_3_x[t] = da_a3[t]*U_3_h[t] (120)
    const real dW_3_x_t = in.da_a3_t * in.U_3_h_t;
    dU_3_h_to_dW_3_x_t_rows[row * (9*H) + 8*H + unit] = dW_3_x_t;
}
"""
LAUNCHES = r"""
extern "C" __global__ void forward_1(
    long long rows,
    const long long H,
    const stored* __restrict__ W_4_x_to_W_3_x_t_rows,
    const long long W_4_x_to_W_3_x_t_at,
    stored* U_3_h_to_a_a1_t_rows,
    const long long U_3_h_to_a_a1_t_at,
    const real* c_t1_rows,
    const long long c_t1_at,
    stored* __restrict__ tanh_a_c_t_rows,
    const long long tanh_a_c_t_at,
    real* c_t_rows,
    const long long c_t_at,
    stored* __restrict__ h_t_rows,
    const long long h_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    forward_1_unit(row, unit, H, W_4_x_to_W_3_x_t_rows + W_4_x_to_W_3_x_t_at * (8*H), U_3_h_to_a_a1_t_rows +
        U_3_h_to_a_a1_t_at * (8*H), c_t1_rows + c_t1_at * H, tanh_a_c_t_rows + tanh_a_c_t_at * H, c_t_rows + c_t_at * H,
        h_t_rows + h_t_at * H, forward_1_read(row, unit, H, W_4_x_to_W_3_x_t_rows + W_4_x_to_W_3_x_t_at * (8*H),
        U_3_h_to_a_a1_t_rows + U_3_h_to_a_a1_t_at * (8*H), c_t1_rows + c_t1_at * H, tanh_a_c_t_rows + tanh_a_c_t_at * H,
        c_t_rows + c_t_at * H, h_t_rows + h_t_at * H));
}

extern "C" __global__ void backward_1(
    long long rows,
    const long long H,
    const stored* __restrict__ U_3_h_to_a_a1_t_rows,
    const long long U_3_h_to_a_a1_t_at,
    const stored* __restrict__ W_4_x_to_W_3_x_t_rows,
    const long long W_4_x_to_W_3_x_t_at,
    const stored* __restrict__ dy_t_rows,
    const long long dy_t_at,
    const real* __restrict__ dh_back_next_rows,
    const long long dh_back_next_at,
    const stored* __restrict__ h_t_rows,
    const long long h_t_at,
    const stored* __restrict__ tanh_a_c_t_rows,
    const long long tanh_a_c_t_at,
    const real* dc_via_next_rows,
    const long long dc_via_next_at,
    stored* __restrict__ da_a3_t_rows,
    const long long da_a3_t_at,
    stored* __restrict__ dU_3_h_to_dW_3_x_t_rows,
    const long long dU_3_h_to_dW_3_x_t_at,
    real* dc_via_t_rows,
    const long long dc_via_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    backward_1_unit(row, unit, H, U_3_h_to_a_a1_t_rows + U_3_h_to_a_a1_t_at * (8*H), W_4_x_to_W_3_x_t_rows +
        W_4_x_to_W_3_x_t_at * (8*H), dy_t_rows + dy_t_at * H, dh_back_next_rows + dh_back_next_at * H, h_t_rows + h_t_at
        * H, tanh_a_c_t_rows + tanh_a_c_t_at * H, dc_via_next_rows + dc_via_next_at * H, da_a3_t_rows + da_a3_t_at * H,
        dU_3_h_to_dW_3_x_t_rows + dU_3_h_to_dW_3_x_t_at * (9*H), dc_via_t_rows + dc_via_t_at * H, backward_1_read(row,
        unit, H, U_3_h_to_a_a1_t_rows + U_3_h_to_a_a1_t_at * (8*H), W_4_x_to_W_3_x_t_rows + W_4_x_to_W_3_x_t_at * (8*H),
        dy_t_rows + dy_t_at * H, dh_back_next_rows + dh_back_next_at * H, h_t_rows + h_t_at * H, tanh_a_c_t_rows +
        tanh_a_c_t_at * H, dc_via_next_rows + dc_via_next_at * H, da_a3_t_rows + da_a3_t_at * H, dU_3_h_to_dW_3_x_t_rows
        + dU_3_h_to_dW_3_x_t_at * (9*H), dc_via_t_rows + dc_via_t_at * H));
}

extern "C" __global__ void backward_2(
    long long rows,
    const long long H,
    const stored* __restrict__ da_a3_t_rows,
    const stored* __restrict__ U_3_h_to_a_a1_t_rows,
    stored* __restrict__ dU_3_h_to_dW_3_x_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    backward_2_unit(row, unit, H, da_a3_t_rows, U_3_h_to_a_a1_t_rows, dU_3_h_to_dW_3_x_t_rows, backward_2_read(row,
        unit, H, da_a3_t_rows, U_3_h_to_a_a1_t_rows, dU_3_h_to_dW_3_x_t_rows));
}
"""


NUMBERS = {
    "float32": "typedef float real;",
    "float64": "typedef double real;",
    "float16": "typedef float real;\n#define STORED_F16",
    "bfloat16": "typedef float real;\n#define STORED_BF16",
}
"""By type, what CUDA computes with, and how such numbers are stored where that is another type."""


@functools.lru_cache(maxsize=None)
def _compiled(dtype: str, device: int) -> Any:
    """The kernels for one type of number, compiled when they are first needed (once per device)."""
    module = cp.RawModule(code=f"{NUMBERS[dtype]}\n{CUDA}\n{LAUNCHES}", options=("--std=c++17",))
    return types.SimpleNamespace(**{name: module.get_function(name) for name in KERNELS})


def _kernels(dtype: Any) -> Any:
    return _compiled(dtype.name, _device())


def _launch_units(kernel: Any, rows: int, units: int, *args: Any) -> None:
    """One thread per unit of every row: a block has several short rows, or part of a long one."""
    if rows:
        wide = min(units, 256)
        tall = 256 // wide
        kernel((-(-rows // tall), -(-units // wide)), (wide, tall), (rows, *args))


STRATEGIES = ("auto", "plain", "block", "persistent", "graph")
STRATEGY = "auto"
"""How the steps of a sweep run: ``plain``: launch by launch; ``block``: in one launch, each block with its own samples;
``persistent``: in one launch, blocks share the units of a step; ``graph``: the same as launches between the meetings of
blocks, of which the host launches many at once, and with the matrices held once more; ``auto``: what is expected to be
quickest."""
TF32 = os.environ.get("CUPY_TF32") == "1"
"""Whether products of steps may round float32 numbers to TF32 (10 bits of fraction) and run on matrix units: where
CuPy's own products may. From compute capability 8.0 on."""
DEBUG = os.environ.get("SYMCELL_DEBUG") == "1"
"""Whether blocks that wait for each other give up at some time, and a RuntimeError names the one that never came.
Blocks then wait through memory alone, and the host waits for every launch. Set it before the first call."""
PATIENCE = 1 << 21
"""How often such a block looks before it gives up: for some seconds."""
LAUNCH_SECONDS = 1.0
"""What is expected to take longer is cut into several launches: a device that has a display, too, ends long ones."""
THREADS = 256
FIRST_PRODUCT = {"forward_steps": 1, "backward_steps": 2}
"""By kernel that runs all steps, the number of its first product."""
ROUNDED_PRODUCTS = (1,)
"""Products whose results belong to arrays of the parameters' type: kernels find them rounded to that, if it has 16
bits, in shared memory, too."""
ROUNDED_PRODUCT = r"""
// A product whose totals are rounded as where they are stored.
template <class Plain>
struct RoundedProduct : Plain {
    static __device__ real total(const real* partial, int sample, int row) {
        return rounded(Plain::total(partial, sample, row));
    }
};
"""
SHARING = r"""
enum { WARPS = THREADS / 32 };

// What is so whenever the kernel runs.
#ifdef __CUDA_ARCH__
#define GRANTED(condition) __builtin_assume(condition)
#else
#define GRANTED(condition)
#endif

// Where the rows of steps lie, in buffers of ``depth`` more slots at the beginning: those of ``slot``.
struct Sequence {
    const long long* offsets;
    long long steps, batch;
    __device__ long long count(long long t) const { return offsets ? offsets[t + 1] - offsets[t] : batch; }
    __device__ long long whole(int depth, long long slot) const {
        if (slot < depth) return slot * batch;
        return depth * batch + (offsets ? offsets[slot - depth] : (slot - depth) * batch);
    }
    __device__ long long ring(int depth, long long slot) const { return (int)slot % (depth + 1) * batch; }
    __device__ long long kept(int depth, long long slot, long long keep_tape) const {
        return keep_tape ? whole(depth, slot) : ring(depth, slot);
    }
};

__host__ __device__ constexpr int part_of(long long units) { return ((int)units + PARTS - 1) / PARTS; }

// What a block works on: the samples of its group, and of the units of each the part with its number.
struct Part {
    long long first, last;
    int number;
    __device__ explicit Part(long long batch) {
        const long long group = ((int)batch + (int)gridDim.x - 1) / (int)gridDim.x;
        first = blockIdx.x * group;
        last = first + group < batch ? first + group : batch;
        number = blockIdx.y;
    }
    __device__ int begin(int units) const { return smaller(number * part_of(units), units); }
    __device__ int end(int units) const { return smaller((number + 1) * part_of(units), units); }
    __device__ long long end_of(long long rows) const { return rows < last ? rows : last; }
    static __device__ int smaller(int a, int b) { return a < b ? a : b; }
};

#ifdef DEBUG
// How long a block waits at a meeting. Behind the counters of all groups stands the group, from 1 on, of which a block
// has looked PATIENCE times: from then on nobody waits. Then, by block, the last meeting that it came to before.
struct Watch {
    unsigned* given_up;
    long long looks;
    __device__ Watch(unsigned* meeting, unsigned number) {
        const unsigned group = blockIdx.z * gridDim.x + blockIdx.x;
        given_up = meeting + 32 * (gridDim.z - blockIdx.z) * gridDim.x;
        looks = 0;
        if (!atomicAdd(given_up, 0u)) atomicExch(given_up + 1 + group * PARTS + blockIdx.y, number);
    }
    __device__ bool waits() {
        if (++looks > PATIENCE) atomicCAS(given_up, 0u, 1 + blockIdx.z * gridDim.x + blockIdx.x);
        return !atomicAdd(given_up, 0u);
    }
};
#define WATCH Watch watch(meeting, goal / PARTS);
#define WAITS &&watch.waits()
#else
#define WATCH
#define WAITS
#endif

// All blocks of a group are here, and what they have written is seen by all; ``goal`` counts who has come since launch.
// A block's own threads have met before.
__device__ inline void meet(unsigned* meeting, unsigned& goal) {
#if CLUSTERS && defined(__CUDA_ARCH__)
    asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory");
    return;
#endif
    if (PARTS > 1) {
        if (threadIdx.x == 0) {
            unsigned* arrived = meeting + 32 * blockIdx.x;
            goal += PARTS;
            WATCH
#ifdef __CUDA_ARCH__
            asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
            unsigned now;
            do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(arrived) : "memory");
            while ((int)(now - goal) < 0 WAITS);
#else
            __atomic_fetch_add(arrived, 1u, __ATOMIC_RELEASE);
            while ((int)(__atomic_load_n(arrived, __ATOMIC_ACQUIRE) - goal) < 0 WAITS) __nanosleep(20);
#endif
        }
        __syncthreads();
    }
}

// A number is on its way to the cache.
template <class Number>
__device__ inline void fetch(const Number* number) {
#ifdef __CUDA_ARCH__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(number));
#endif
}

// Where a row is of which a block may have a copy in its own shared memory: there, in one of as many places as slots
// need, or, if ROOM is negative, where it lies in memory.
template <int ROOM, class T>
__device__ inline T* row_of(real* shared, T* rows, long long row, long long width, long long slot) {
    if constexpr (ROOM < 0) return rows + row * width;
    return (T*)(shared + ROOM) + (slot * ROOM_ROWS + row / PARTS) * ((width + 7) / 8 * 8);
}

// Bytes on their way from memory to shared memory: they are there when they have arrived.
template <int BYTES>
__device__ inline void send(void* to, const void* from) {
#if __CUDA_ARCH__ >= 800
    const unsigned place = (unsigned)__cvta_generic_to_shared(to);
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(place), "l"(from) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(place), "l"(from), "n"(BYTES) : "memory");
#endif
}

__device__ inline void commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// All that was committed has arrived for the threads that sent it, but for the last.
__device__ inline void arrived() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group 1;" ::: "memory");
#endif
}

struct alignas(16) Bytes16 {
    unsigned of[4];
};

// A block's rows, from row ``start`` on, come from memory to shared memory. ``turn``: rows of several buffers are sent
// by different warps.
template <int ROOM, class T>
__device__ inline void bring(
    real* shared, const T* rows, const Part& me, long long start, long long stop, long long width, long long slot,
    int turn) {
    if constexpr (ROOM >= 0)
        for (int row = me.number; row < stop; row += PARTS) {
            if (row < start) continue;
            const T* from = rows + row * width;
            T* to = row_of<ROOM>(shared, (T*)from, row, width, slot);
            const int first = (threadIdx.x + 32 * turn) % THREADS;
#if __CUDA_ARCH__ >= 800
            enum { EACH = 16 / sizeof(T) };
            if (((size_t)from | (size_t)width * sizeof(T)) % 16 == 0) {
                for (int k = first * EACH; k < width; k += THREADS * EACH) send<16>(to + k, from + k);
                continue;
            }
            if constexpr (sizeof(T) >= 4) {
                for (int k = first; k < width; k += THREADS) send<sizeof(T)>(to + k, from + k);
                continue;
            }
#endif
            for (int k = first; k < width; k += THREADS) to[k] = from[k];
        }
}

// The same rows, from shared memory to memory.
template <int ROOM, class T>
__device__ inline void leave(
    real* shared, T* rows, const Part& me, long long start, long long stop, long long width, long long slot) {
    if constexpr (ROOM >= 0)
        for (int row = me.number; row < stop; row += PARTS) {
            if (row < start) continue;
            T* to = rows + row * width;
            const T* from = row_of<ROOM>(shared, to, row, width, slot);
            if (((size_t)to | (size_t)width * sizeof(T)) % 16 == 0) {
                const int count = (int)(width * sizeof(T) / 16);
                for (int k = threadIdx.x; k < count; k += THREADS) ((Bytes16*)to)[k] = ((const Bytes16*)from)[k];
                continue;
            }
            for (int k = threadIdx.x; k < width; k += THREADS) to[k] = from[k];
        }
}

struct alignas(16) real4 {
    real of[4];
};

// Four numbers that other blocks may have written, of a row of ``length`` from ``k`` on, as a product takes them; zero
// behind its end. ``aligned``: all four can be read at once.
__device__ inline real4 read4(const real* row, int k, int length, bool aligned) {
    real4 found;
    if (aligned && k + 4 <= length) {
        if constexpr (sizeof(real) == 4) {
            const float4 v = __ldcg((const float4*)(row + k));
            found.of[0] = v.x, found.of[1] = v.y, found.of[2] = v.z, found.of[3] = v.w;
        } else {
            const double2 v = __ldcg((const double2*)(row + k)), w = __ldcg((const double2*)(row + k) + 1);
            found.of[0] = v.x, found.of[1] = v.y, found.of[2] = w.x, found.of[3] = w.y;
        }
    } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) found.of[j] = k + j < length ? __ldcg(row + k + j) : 0;
    }
#if NARROW
#pragma unroll
    for (int j = 0; j < 4; ++j) found.of[j] = rounded(found.of[j]);
#endif
    return found;
}
#if NARROW
__device__ inline real4 read4(const stored* row, int k, int length, bool aligned) {
    real4 found;
    if (aligned && k + 4 <= length) {
        const uint2 v = __ldcg((const uint2*)(row + k));
        found.of[0] = widened(v.x & 0xffffu), found.of[1] = widened(v.x >> 16);
        found.of[2] = widened(v.y & 0xffffu), found.of[3] = widened(v.y >> 16);
        return found;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j)
        found.of[j] = k + j < length ? widened(__ldcg((const unsigned short*)row + k + j)) : 0;
    return found;
}
#endif

// Whether so many ``bytes`` of rows can be read at once.
template <class Number>
__device__ inline bool aligned_rows(const Number* row, long long stride, int bytes) {
    return ((size_t)row | (size_t)stride * sizeof(Number)) % bytes == 0;
}

// Rows of a matrix that a block has, from its own ``row`` on: ``count`` groups of its part of ``width`` columns.
template <class From>
struct Columns {
    const From* matrix;
    long long inner_stride, column_stride, start;
    int row, count, width, part, begin, end;
    __device__ Columns(
        const From* matrix, long long inner_stride, long long column_stride, const Part& me, long long start, int row,
        int count, int width)
        : matrix(matrix), inner_stride(inner_stride), column_stride(column_stride), start(start), row(row),
          count(count), width(width), part(part_of(width)), begin(me.begin(width)), end(me.end(width)) {}
    __device__ bool has(int r) const { return r >= row && r < row + count * part; }
    // A row's number ``k`` of ``length``; zero where there is none.
    __device__ real at(int r, int k, int length) const {
        const int unit = begin + (r - row) % part;
        const long long column = start + (long long)((r - row) / part) * width + unit;
        return k < length && unit < end ? (real)matrix[k * inner_stride + column * column_stride] : (real)0;
    }
};

// What warps make of a block's ``ROWS`` rows of a matrix: partial[warp][sample][row], each over some of the numbers of
// a row, which so many warps SPLIT.
template <int ROWS, int SPLIT = WARPS>
struct Slice {
    // A row, or where it is one of the ``next`` ones behind which the last may be, that one.
    static __device__ int within(int row, int next) { return next <= ROWS || row < ROWS ? row : ROWS - 1; }
    // What the warps have of a row for a sample, together.
    static __device__ real total(const real* partial, int sample, int row) {
        real sum = partial[sample * ROWS + row];
#pragma unroll
        for (int warp = 1; warp < SPLIT; ++warp) sum += partial[(warp * AT_ONCE + sample) * ROWS + row];
        return sum;
    }
    // The totals, to where they go: ``count`` groups of this block's part of ``width`` columns.
    template <bool ADD, class To>
    static __device__ void put(
        To* out, long long stride, const real* partial, int rows, const Part& me, int row, int count, int width) {
        const int part = part_of(width), begin = me.begin(width), size = me.end(width) - begin;
        for (int item = threadIdx.x; item < rows * count * part; item += THREADS) {
            const int sample = item / (count * part), r = item % (count * part);
            if (r % part >= size) continue;
            To* to = out + sample * stride + r / part * width + begin + r % part;
            *to = total(partial, sample, row + r) + (ADD ? (real)*to : 0);
        }
    }
};

__host__ __device__ constexpr int at_least_one(int a, int b) { return (a < b ? a : b) > 1 ? (a < b ? a : b) : 1; }

// What a lane has of a row.
template <class Piece>
__device__ inline void take(Piece& to, const real* from) {
    to = *(const Piece*)from;
}

// A product with up to AT_ONCE samples. The lanes of a warp share its numbers (K_LANES), the samples (SAMPLE_LANES, of
// ``SAMPLES`` each) and the rows, which are so far apart that lanes meet no bank twice.
__host__ __device__ constexpr int apart(int inner, int k_lanes) {
    return (inner + 31) / 32 * 32 + (k_lanes < 8 ? 4 * k_lanes : 0);
}

// Of the ``INNER`` numbers of a row those of the first ``HELD`` turns stay in registers, the others in shared memory:
// those of a turn at least.
template <int ROWS, int INNER, int HELD, int K_LANES, int SAMPLE_LANES, int SAMPLES>
struct Product : Slice<ROWS> {
    enum {
        ROW_LANES = 32 / (K_LANES * SAMPLE_LANES),
        TALL = (ROWS + ROW_LANES - 1) / ROW_LANES,
        TURN = WARPS * K_LANES * 4,  // numbers that all warps take at once
        TURN_WIDTH = apart(TURN, K_LANES),
        INSIDE = HELD * TURN,
        WIDTH = apart(INNER - INSIDE, K_LANES),
        AHEAD = at_least_one(4 / SAMPLES, (INNER + TURN - 1) / TURN)  // turns that are read before they are needed
    };
    struct Held {
        real4 of[HELD ? HELD : 1][TALL];
    };
    // What a block has of some columns. What registers hold comes by way of shared memory, a turn at a time, in rows of
    // its own width. The code that takes one is there once, whichever turn it is: a copy for each takes the compiler
    // time, and registers.
    template <class From>
    static __device__ void load(Held& held, real* weights, const Columns<From>& from) {
#pragma unroll 1
        for (int turn = 0; turn < HELD; ++turn) {
            for (int item = threadIdx.x; item < from.count * from.part * TURN; item += THREADS) {
                const int r = from.row + item / TURN, k = item % TURN;
                weights[r * TURN_WIDTH + k] = from.at(r, turn * TURN + k, INNER);
            }
            __syncthreads();
            const int lane = threadIdx.x % 32, k = (threadIdx.x / 32 * K_LANES + lane % K_LANES) * 4;
#pragma unroll
            for (int to = 0; to < HELD; ++to)
#pragma unroll
                for (int r = 0; r < TALL; ++r) {
                    const int row = r * ROW_LANES + lane / K_LANES % ROW_LANES;
                    if (to == turn && from.has(row)) take(held.of[to][r], weights + row * TURN_WIDTH + k);
                }
            __syncthreads();
        }
        for (int item = threadIdx.x; item < from.count * from.part * WIDTH; item += THREADS) {
            const int r = from.row + item / WIDTH;
            weights[r * WIDTH + item % WIDTH] = from.at(r, INSIDE + item % WIDTH, INNER);
        }
    }
    // The next numbers of each of a lane's samples.
    template <class Left>
    static __device__ void read(real4* to, const Left* first, long long stride, int rows, int k, bool aligned) {
#pragma unroll
        for (int s = 0; s < SAMPLES; ++s) {
            const bool there = s * SAMPLE_LANES < rows && k < INNER;
            to[s] = there ? read4(first + s * SAMPLE_LANES * stride, k, INNER, aligned) : real4{};
        }
    }
    static __device__ void add(real (&sum)[SAMPLES][TALL], int r, const real4& w, const real4 (&v)[SAMPLES]) {
#pragma unroll
        for (int s = 0; s < SAMPLES; ++s)
#pragma unroll
            for (int j = 0; j < 4; ++j) sum[s][r] += w.of[j] * v[s].of[j];
    }
    // partial[warp][sample][row] of ``left`` with the matrix.
    template <class Left>
    static __device__ void multiply(
        real* partial, const Held& held, const real* weights, const Left* left, long long stride, int rows) {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const int k_lane = lane % K_LANES, row_lane = lane / K_LANES % ROW_LANES;
        const int sample_lane = lane / (K_LANES * ROW_LANES);
        const bool aligned = aligned_rows(left, stride, sizeof(Left) == 2 ? 8 : 16);
        const Left* first = left + sample_lane * stride;
        real sum[SAMPLES][TALL] = {};
        const int begin = (warp * K_LANES + k_lane) * 4;
        real4 next[AHEAD][SAMPLES];
#pragma unroll
        for (int turn = 0; turn < AHEAD; ++turn)
            read(next[turn], first, stride, rows - sample_lane, begin + turn * TURN, aligned);
#pragma unroll
        for (int turn = 0; turn < HELD; ++turn) {
            real4 v[SAMPLES];
#pragma unroll
            for (int s = 0; s < SAMPLES; ++s) v[s] = next[turn % AHEAD][s];
            const int k = begin + (turn + AHEAD) * TURN;
            read(next[turn % AHEAD], first, stride, rows - sample_lane, k, aligned);
#pragma unroll
            for (int r = 0; r < TALL; ++r) add(sum, r, held.of[turn][r], v);
        }
        for (int start = begin + INSIDE; start < INNER; start += AHEAD * TURN)
#pragma unroll
            for (int turn = 0; turn < AHEAD; ++turn) {
                const int k = start + turn * TURN, now = (HELD + turn) % AHEAD;
                if (k >= INNER) break;
                real4 v[SAMPLES];
#pragma unroll
                for (int s = 0; s < SAMPLES; ++s) v[s] = next[now][s];
                read(next[now], first, stride, rows - sample_lane, k + AHEAD * TURN, aligned);
#pragma unroll
                for (int r = 0; r < TALL; ++r) {
                    const int row = Slice<ROWS>::within(r * ROW_LANES + row_lane, (r + 1) * ROW_LANES);
                    add(sum, r, *(const real4*)(weights + row * WIDTH + k - INSIDE), v);
                }
            }
#pragma unroll
        for (int s = 0; s < SAMPLES; ++s)
#pragma unroll
            for (int r = 0; r < TALL; ++r) {
#pragma unroll
                for (int k = 1; k < K_LANES; k *= 2) sum[s][r] += __shfl_xor_sync(0xffffffffu, sum[s][r], k);
                const int row = r * ROW_LANES + row_lane, sample = s * SAMPLE_LANES + sample_lane;
                if (k_lane == 0 && row < ROWS) partial[(warp * AT_ONCE + sample) * ROWS + row] = sum[s][r];
            }
    }
};
"""
"""What kernels of all steps call."""
MATRIX_UNITS = r"""
// Numbers of 16 bits, two in a register (the first in its lower half), and of 19 bits (tf32).
__device__ __forceinline__ unsigned pack_f16(float first, float second) {
#ifdef __CUDA_ARCH__
    unsigned short low, high;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(low) : "f"(first));
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(high) : "f"(second));
    return low | (unsigned)high << 16;
#else
    return symcell_emulator::to_f16(first) | symcell_emulator::to_f16(second) << 16;
#endif
}
__device__ __forceinline__ float unpack_f16(unsigned short bits) {
#ifdef __CUDA_ARCH__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    return symcell_emulator::from_f16(bits);
#endif
}
__device__ __forceinline__ float unpack_bf16(unsigned short bits) { return __uint_as_float((unsigned)bits << 16); }
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__device__ __forceinline__ unsigned pack_bf16(float first, float second) {
#ifdef __CUDA_ARCH__
    unsigned both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
#else
    return symcell_emulator::to_bf16(first) | symcell_emulator::to_bf16(second) << 16;
#endif
}
__device__ __forceinline__ unsigned to_tf32(float x) {
#ifdef __CUDA_ARCH__
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
#else
    return symcell_emulator::to_tf32(x);
#endif
}
#endif

// D += A B by a whole warp. With g = lane / 4 and t = lane % 4, a lane has
//   d: (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1) of D, 16 by 8;
//   16 bits: a: (g, 2t ..) (g + 8, 2t ..) (g, 2t + 8 ..) (g + 8, 2t + 8 ..) of A, 16 by 16, two neighbours in each,
//            b: (2t .., g) (2t + 8 .., g) of B, 16 by 8;
//   tf32:    a: (g, t) (g + 8, t) (g, t + 4) (g + 8, t + 4) of A, 16 by 8; b: (t, g) (t + 4, g) of B, 8 by 8.
__device__ __forceinline__ void mma_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifndef __CUDA_ARCH__
    symcell_emulator::mma(symcell_emulator::F16, d, a, b);
#elif __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 { %0, %1, %2, %3}, { %4, %5, %6, %7}, { %8, %9}, "
                 "{ %0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else  // of half the length, twice
    for (int k = 0; k < 2; k++)
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 { %0, %1, %2, %3}, { %4, %5}, { %6}, "
                     "{ %0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[2 * k]), "r"(a[2 * k + 1]), "r"(b[k]));
#endif
}
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef __CUDA_ARCH__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 { %0, %1, %2, %3}, { %4, %5, %6, %7}, { %8, %9}, "
                 "{ %0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    symcell_emulator::mma(symcell_emulator::BF16, d, a, b);
#endif
}
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef __CUDA_ARCH__
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 { %0, %1, %2, %3}, { %4, %5, %6, %7}, { %8, %9}, "
                 "{ %0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    symcell_emulator::mma(symcell_emulator::TF32, d, a, b);
#endif
}
#endif

// What a matrix unit multiplies: a word has so many numbers, rounded.
struct F16 {
    enum { NUMBERS = 2 };
    static __device__ unsigned word(float first, float second) { return pack_f16(first, second); }
    static __device__ void add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_f16(d, a, b); }
};
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
struct Bf16 {
    enum { NUMBERS = 2 };
    static __device__ unsigned word(float first, float second) { return pack_bf16(first, second); }
    static __device__ void add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_bf16(d, a, b); }
};
struct Tf32 {  // 10 bits of fraction
    enum { NUMBERS = 1 };
    static __device__ unsigned word(float first, float) { return to_tf32(first); }
    static __device__ void add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_tf32(d, a, b); }
};
#endif

struct alignas(16) Words {
    unsigned of[4];
};

// Neighbours in a row as they lie in memory, so many as a lane takes of it at a time.
template <class Left, int TAKEN>
struct Raw {
    Words of[TAKEN * sizeof(Left) / 16];
    // Of a row of ``length`` from ``k`` on, which other blocks may have written; zero behind its end.
    __device__ void read(const Left* row, int k, int length, bool aligned) {
        if (aligned && k + TAKEN <= length) {
#pragma unroll
            for (int i = 0; i < (int)(TAKEN * sizeof(Left) / 16); ++i) {
                const uint4 v = __ldcg((const uint4*)(row + k) + i);
                of[i].of[0] = v.x, of[i].of[1] = v.y, of[i].of[2] = v.z, of[i].of[3] = v.w;
            }
        } else {
#pragma unroll
            for (int j = 0; j < TAKEN; ++j) {
                const bool there = k + j < length;
                if constexpr (sizeof(Left) == 2) {
                    const unsigned bits = there ? __ldcg((const unsigned short*)(row + k + j)) : 0;
                    of[0].of[j / 2] = j % 2 ? of[0].of[j / 2] | bits << 16 : bits;
                } else {
                    of[j / 4].of[j % 4] = there ? __ldcg((const unsigned*)(row + k + j)) : 0;
                }
            }
        }
    }
    // The same as a matrix unit takes them.
    template <class Kind>
    __device__ Words words() const {
        if constexpr (sizeof(Left) == 2) {
            return of[0];
        } else {
            Words found;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int j = i * Kind::NUMBERS, k = j + Kind::NUMBERS - 1;
                found.of[i] = Kind::word(__uint_as_float(of[j / 4].of[j % 4]), __uint_as_float(of[k / 4].of[k % 4]));
            }
            return found;
        }
    }
};

// The same as Product on matrix units, which multiply rounded numbers and add in float32. Lane 4 g + t of a warp takes
// four words of neighbours at a time, of rows g and g + 8 of a tile and of sample g: two steps of the unit, since the
// order in which numbers are summed is free. SPLIT warps share a tile, each with some of its numbers; the others have
// other tiles. In shared memory, where a row is an even number of pieces that lanes take at a time, pairs of them lie
// the other way round in odd rows, so that lanes meet no bank twice.
template <class Kind, int ROWS, int INNER, int HELD, int AHEAD, int SPLIT>
struct MatrixProduct : Slice<ROWS, SPLIT> {
    enum {
        APART = 16 * (WARPS / SPLIT),  // rows between a warp's tiles
        TALL = (ROWS + APART - 1) / APART,
        WIDE = AT_ONCE / 8,
        TAKEN = 4 * Kind::NUMBERS,
        PIECE = 4 * TAKEN,
        TURN = SPLIT * PIECE,  // numbers that the warps of a row take at once
        TURN_WORDS = 16 * SPLIT,
        TURN_WIDTH = TURN_WORDS + 16,
        INSIDE = HELD * TURN < INNER ? HELD * TURN : INNER,
        PIECES = at_least_one(INNER, (INNER - INSIDE + PIECE - 1) / PIECE),  // of a row in shared memory
        TURNED = PIECES % 2 ? 0 : 16,
        WIDTH = PIECES * 16  // words
    };
    struct Held {
        Words of[HELD ? HELD : 1][2 * TALL];
    };
    // A row of a tile: its upper or lower half's.
    static __device__ int row_of_lane(int half) {
        return half / 2 * APART + threadIdx.x / 32 / SPLIT * 16 + half % 2 * 8 + threadIdx.x % 32 / 4;
    }
    // Whether there are such rows for some warp.
    static __host__ __device__ constexpr bool some(int half) { return half / 2 * APART + half % 2 * 8 < ROWS; }
    // Where a warp begins in what all of a row take at once, and its lanes in that.
    static __device__ int piece() { return threadIdx.x / 32 % SPLIT; }
    // So many words of some columns' rows, from their number ``k`` on. ``turned``: which bit of a word's place is the
    // other one in odd rows.
    template <class From>
    static __device__ void fill(
        real* weights, const Columns<From>& from, int k, int words, int width, int turned) {
        for (int item = threadIdx.x; item < from.count * from.part * words; item += THREADS) {
            const int r = from.row + item / words, next = k + item % words * Kind::NUMBERS;
            const real second = Kind::NUMBERS == 2 ? from.at(r, next + 1, INNER) : 0;
            const int place = item % words ^ (r % 2 ? turned : 0);
            ((unsigned*)weights)[r * width + place] = Kind::word(from.at(r, next, INNER), second);
        }
    }
    // What a block has of some columns: see Product.
    template <class From>
    static __device__ void load(Held& held, real* weights, const Columns<From>& from) {
#pragma unroll 1
        for (int turn = 0; turn < HELD; ++turn) {
            fill(weights, from, turn * TURN, TURN_WORDS, TURN_WIDTH, 0);
            __syncthreads();
            const real* here = weights + 16 * piece() + 4 * (threadIdx.x % 4);
#pragma unroll
            for (int to = 0; to < HELD; ++to)
#pragma unroll
                for (int half = 0; half < 2 * TALL; ++half)
                    if (some(half) && to == turn && from.has(row_of_lane(half)))
                        take(held.of[to][half], here + row_of_lane(half) * TURN_WIDTH);
            __syncthreads();
        }
        if (INSIDE < INNER) fill(weights, from, INSIDE, WIDTH, WIDTH, TURNED);
    }
    // What a lane takes of the half of a tile. Where there is no row, any will do.
    static __device__ Words in_shared(const real* here, int half) {
        if (!some(half)) return {};
        const int row = row_of_lane(half);
        const bool whole = (half / 2 + 1) * APART <= ROWS;
        return *(const Words*)(here + (whole || row < ROWS ? row : ROWS - 1) * WIDTH);
    }
    template <class Left>
    static __device__ void read(
        Raw<Left, TAKEN>* to, const Left* first, long long stride, int rows, int k, bool aligned) {
#pragma unroll
        for (int s = 0; s < WIDE; ++s)
            if (8 * s < rows && k < INNER)
                to[s].read(first + 8 * s * stride, k, INNER, aligned);
            else
                to[s] = {};
    }
    // A tile of rows, of which ``w`` and ``x`` have the upper and the lower half, with all samples.
    static __device__ void add(float (&sum)[WIDE][4], const Words& w, const Words& x, const Words (&v)[WIDE]) {
        const unsigned one[4] = {w.of[0], x.of[0], w.of[1], x.of[1]}, two[4] = {w.of[2], x.of[2], w.of[3], x.of[3]};
#pragma unroll
        for (int s = 0; s < WIDE; ++s) {
            const unsigned early[2] = {v[s].of[0], v[s].of[1]}, late[2] = {v[s].of[2], v[s].of[3]};
            Kind::add(sum[s], one, early);
            Kind::add(sum[s], two, late);
        }
    }
    template <class Left>
    static __device__ void multiply(
        real* partial, const Held& held, const real* weights, const Left* left, long long stride, int rows) {
        const int warp = piece(), g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
        const bool aligned = aligned_rows(left, stride, 16);
        const Left* first = left + g * stride;
        float sum[TALL][WIDE][4] = {};
        constexpr int DEEP = TAKEN * sizeof(Left) > 16 ? (AHEAD + 1) / 2 : AHEAD;
        Raw<Left, TAKEN> next[DEEP][WIDE];
#pragma unroll
        for (int turn = 0; turn < DEEP; ++turn)
            read(next[turn], first, stride, rows - g, warp * PIECE + t * TAKEN + turn * TURN, aligned);
#pragma unroll
        for (int turn = 0; turn < HELD; ++turn) {
            Words v[WIDE];
#pragma unroll
            for (int s = 0; s < WIDE; ++s) v[s] = next[turn % DEEP][s].template words<Kind>();
            const int k = warp * PIECE + t * TAKEN + (turn + DEEP) * TURN;
            read(next[turn % DEEP], first, stride, rows - g, k, aligned);
#pragma unroll
            for (int r = 0; r < TALL; ++r)
                add(sum[r], held.of[turn][2 * r], some(2 * r + 1) ? held.of[turn][2 * r + 1] : Words{}, v);
        }
#pragma unroll 1
        for (int start = warp * PIECE + INSIDE; start < INNER; start += DEEP * TURN)
#pragma unroll
            for (int turn = 0; turn < DEEP; ++turn) {
                const int k = start + turn * TURN + t * TAKEN, now = (HELD + turn) % DEEP;
                if (start + turn * TURN >= INNER) break;  // the same for all lanes
                Words v[WIDE];
#pragma unroll
                for (int s = 0; s < WIDE; ++s) v[s] = next[now][s].template words<Kind>();
                read(next[now], first, stride, rows - g, k + DEEP * TURN, aligned);
                const real* here = weights + ((k - INSIDE) / Kind::NUMBERS ^ (g % 2 ? TURNED : 0));
#pragma unroll
                for (int r = 0; r < TALL; ++r)
                    add(sum[r], in_shared(here, 2 * r), in_shared(here, 2 * r + 1), v);
            }
#pragma unroll
        for (int r = 0; r < TALL; ++r)
#pragma unroll
            for (int s = 0; s < WIDE; ++s)
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const int row = row_of_lane(2 * r + j / 2);
                    if (row < ROWS) partial[(warp * AT_ONCE + 8 * s + 2 * t + j % 2) * ROWS + row] = sum[r][s][j];
                }
    }
};
"""
"""What they call besides where products run on matrix units."""
THREAD = r"""
// Where weights leave few registers, a thread asks for its number whenever it is needed: what follows from it would
// stay in registers all along.
#ifdef __CUDA_ARCH__
struct Thread {
    unsigned x;
    __device__ Thread() { asm volatile("mov.u32 %0, %%tid.x;" : "=r"(x)); }
};
#define threadIdx Thread()
#endif
"""
"""What is before all that where weights leave few registers."""
STEPS = {
    "forward_steps": r"""
// What a unit of forward_1 reads that is there before the step's products, and is not in shared memory.
__device__ inline forward_1_in forward_1_early(
    const long long row,
    const int unit,
    const long long H,
    const stored* W_4_x_to_W_3_x_t_rows,
    stored* U_3_h_to_a_a1_t_rows,
    const real* c_t1_rows,
    stored* tanh_a_c_t_rows,
    real* c_t_rows,
    stored* h_t_rows,
    const bool before) {
    forward_1_in in = {};
    in.W_0_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 2*H + unit];
    in.W_1_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 6*H + unit];
    in.W_2_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 3*H + unit];
    in.W_3_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 7*H + unit];
    in.W_4_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + unit];
    in.W_5_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 4*H + unit];
    in.W_6_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + H + unit];
    in.W_7_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 5*H + unit];
    if (ROOM_1 < 0 || !before) in.c_t1 = c_t1_rows[row * H + unit];
    return in;
}

// What it will read in the next step is on its way to the cache.
__device__ inline void forward_1_ahead(
    const long long row,
    const int unit,
    const long long H,
    const stored* W_4_x_to_W_3_x_t_rows,
    stored* U_3_h_to_a_a1_t_rows,
    const real* c_t1_rows,
    stored* tanh_a_c_t_rows,
    real* c_t_rows,
    stored* h_t_rows) {
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + 2*H + unit]);
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + 6*H + unit]);
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + 3*H + unit]);
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + 7*H + unit]);
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + unit]);
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + 4*H + unit]);
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + H + unit]);
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + 5*H + unit]);
}

extern "C" __global__ void BOUNDS forward_steps(
    unsigned* meeting,
    const long long* offsets,
    const long long done,
    const long long stop,
    const long long steps,
    const long long batch,
    stored* vU_3,
    const long long H,
    stored* U_3_h_to_a_a1,
    const long long keep_tape,
    stored* h,
    stored* W_4_x_to_W_3_x,
    real* c,
    stored* tanh_a_c,
    stored* other_vU_3,
    stored* other_U_3_h_to_a_a1,
    stored* other_h,
    stored* other_W_4_x_to_W_3_x,
    real* other_c,
    stored* other_tanh_a_c) {
    if (SWEEPS > 1 && blockIdx.z) {  // the other of two sweeps
        meeting += 32 * gridDim.x;
        vU_3 = other_vU_3;
        U_3_h_to_a_a1 = other_U_3_h_to_a_a1;
        h = other_h;
        W_4_x_to_W_3_x = other_W_4_x_to_W_3_x;
        c = other_c;
        tanh_a_c = other_tanh_a_c;
    }
    GRANTED(blockDim.x == THREADS);
    GRANTED(H == SIZE_1);
    extern __shared__ __align__(16) real shared[];
    const Sequence sequence = {offsets, steps, batch};
    const Part me(batch);
    unsigned goal = 0;
    long long before = 0;  // samples of the step before, as far as this launch knows them
    PRODUCT_1::Held PRODUCT_1_held = {};
    PRODUCT_1::load(PRODUCT_1_held, shared + WEIGHTS_1, Columns(vU_3, 1, H, me, 0, 0, 8, (int)H));
    __syncthreads();
    // the steps of this launch: the first ``done`` are over, in the order in which they run, and it goes on to ``stop``
    for (long long t = done; t < stop; ++t) {
        const long long next = t + 1 < stop ? t + 1 : t;
        const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
        for (long long first = me.first; first < last; first += AT_ONCE) {
            const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
            auto* const W_4_x_to_W_3_x_t = W_4_x_to_W_3_x + (sequence.whole(0, t) + first)*8*H;
            auto* const U_3_h_to_a_a1_t = U_3_h_to_a_a1 + (sequence.kept(0, t, keep_tape) + first)*8*H;
            auto* const c_t1 = c + (sequence.ring(1, t) + first)*H;
            auto* const tanh_a_c_t = tanh_a_c + (sequence.kept(0, t, keep_tape) + first)*H;
            auto* const c_t = c + (sequence.ring(1, t + 1) + first)*H;
            auto* const h_t = h + (sequence.whole(1, t + 1) + first)*H;
            auto* const W_4_x_to_W_3_x_t_ahead = W_4_x_to_W_3_x + (sequence.whole(0, next) + first)*8*H;
            auto* const U_3_h_to_a_a1_t_ahead = U_3_h_to_a_a1 + (sequence.kept(0, next, keep_tape) + first)*8*H;
            auto* const c_t1_ahead = c + (sequence.ring(1, next) + first)*H;
            auto* const tanh_a_c_t_ahead = tanh_a_c + (sequence.kept(0, next, keep_tape) + first)*H;
            auto* const c_t_ahead = c + (sequence.ring(1, next + 1) + first)*H;
            auto* const h_t_ahead = h + (sequence.whole(1, next + 1) + first)*H;
            forward_1_in forward_1_known = {};
            {
                const int begin = me.begin((int)H);
                const int count = me.end((int)H) - begin;
                const int row = count ? threadIdx.x / count : 0, unit = count ? begin + threadIdx.x % count : 0;
                if (count && row < rows)
                    forward_1_known = forward_1_early(row, unit, H, W_4_x_to_W_3_x_t, U_3_h_to_a_a1_t, c_t1, tanh_a_c_t,
                        c_t, h_t, first - me.first + row < before);
                if (count && first + row < following)
                    forward_1_ahead(row, unit, H, W_4_x_to_W_3_x_t_ahead, U_3_h_to_a_a1_t_ahead, c_t1_ahead,
                        tanh_a_c_t_ahead, c_t_ahead, h_t_ahead);
            }
            // U_3_h[t] = U_3 @ h[t-1] (32)
            // U_4_h[t] = U_4 @ h[t-1] (34)
            // U_6_h[t] = U_6 @ h[t-1] (38)
            // U_0_h[t] = U_0 @ h[t-1] (25)
            // U_2_h[t] = U_2 @ h[t-1] (29)
            // U_5_h[t] = U_5 @ h[t-1] (36)
            // U_7_h[t] = U_7 @ h[t-1] (40)
            // U_1_h[t] = U_1 @ h[t-1] (27)
            PRODUCT_1::multiply(shared + PARTIAL_1, PRODUCT_1_held, shared + WEIGHTS_1, h + (sequence.whole(1, t) +
                first)*H, H, (int)rows);
            __syncthreads();
            PRODUCT_1::put<false>(U_3_h_to_a_a1 + (sequence.kept(0, t, keep_tape) + first)*8*H, 8*H, shared + PARTIAL_1,
                (int)rows, me, 0, 8, (int)H);
            __syncthreads();
            {
                const int begin = me.begin((int)H);
                const int count = me.end((int)H) - begin;
                for (int item = threadIdx.x; item < (int)rows * count; item += THREADS) {
                    const int row = item / count, unit = begin + item % count;
                    const int sample = (int)(first - me.first) + row, at = sample * count + unit - begin;
                    forward_1_in in = forward_1_known;
                    if (item >= THREADS)
                        in = forward_1_early(row, unit, H, W_4_x_to_W_3_x_t, U_3_h_to_a_a1_t, c_t1, tanh_a_c_t, c_t,
                            h_t, sample < before);
                    in.U_0_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 3 * part_of(H) + unit - begin);
                    in.U_1_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 7 * part_of(H) + unit - begin);
                    in.U_2_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 4 * part_of(H) + unit - begin);
                    in.U_3_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, unit - begin);
                    in.U_4_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 1 * part_of(H) + unit - begin);
                    in.U_5_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 5 * part_of(H) + unit - begin);
                    in.U_6_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 2 * part_of(H) + unit - begin);
                    in.U_7_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 6 * part_of(H) + unit - begin);
                    if (ROOM_1 >= 0 && sample < before) in.c_t1 = shared[ROOM_1 + at];
                    const forward_1_out out = forward_1_unit(row, unit, H, W_4_x_to_W_3_x_t, U_3_h_to_a_a1_t, c_t1,
                        tanh_a_c_t, c_t, h_t, in, ROOM_1 < 0 || next == t || first + row >= following);
                    if (ROOM_1 >= 0) shared[ROOM_1 + at] = out.c_t;
                }
            }
            __syncthreads();
        }
        before = last - me.first;
        meet(meeting, goal);
    }
}
""",
    "backward_steps": r"""
// What a unit of backward_1 reads that is there before the step's products, and is not in shared memory.
__device__ inline backward_1_in backward_1_early(
    const long long row,
    const int unit,
    const long long H,
    const stored* U_3_h_to_a_a1_t_rows,
    const stored* W_4_x_to_W_3_x_t_rows,
    const stored* dy_t_rows,
    const real* dh_back_next_rows,
    const stored* h_t_rows,
    const stored* tanh_a_c_t_rows,
    const real* dc_via_next_rows,
    stored* da_a3_t_rows,
    stored* dU_3_h_to_dW_3_x_t_rows,
    real* dc_via_t_rows,
    const bool before) {
    backward_1_in in = {};
    in.a_a1_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 7*H + unit];
    in.W_3_x_t = W_4_x_to_W_3_x_t_rows[row * (8*H) + 7*H + unit];
    in.U_3_h_t = U_3_h_to_a_a1_t_rows[row * (8*H) + unit];
    in.a4_t = U_3_h_to_a_a1_t_rows[row * (8*H) + H + unit];
    in.a5_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 5*H + unit];
    in.a6_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 2*H + unit];
    in.a7_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 6*H + unit];
    in.dy_t = dy_t_rows[row * H + unit];
    in.dh_back_next = dh_back_next_rows[row * H + unit];
    in.a0_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 3*H + unit];
    in.h_t = h_t_rows[row * H + unit];
    in.a2_t = U_3_h_to_a_a1_t_rows[row * (8*H) + 4*H + unit];
    in.tanh_a_c_t = tanh_a_c_t_rows[row * H + unit];
    if (ROOM_1 < 0 || !before) in.dc_via_next = dc_via_next_rows[row * H + unit];
    return in;
}

// What it will read in the next step is on its way to the cache.
__device__ inline void backward_1_ahead(
    const long long row,
    const int unit,
    const long long H,
    const stored* U_3_h_to_a_a1_t_rows,
    const stored* W_4_x_to_W_3_x_t_rows,
    const stored* dy_t_rows,
    const real* dh_back_next_rows,
    const stored* h_t_rows,
    const stored* tanh_a_c_t_rows,
    const real* dc_via_next_rows,
    stored* da_a3_t_rows,
    stored* dU_3_h_to_dW_3_x_t_rows,
    real* dc_via_t_rows) {
    fetch(&U_3_h_to_a_a1_t_rows[row * (8*H) + 7*H + unit]);
    fetch(&W_4_x_to_W_3_x_t_rows[row * (8*H) + 7*H + unit]);
    fetch(&U_3_h_to_a_a1_t_rows[row * (8*H) + unit]);
    fetch(&U_3_h_to_a_a1_t_rows[row * (8*H) + H + unit]);
    fetch(&U_3_h_to_a_a1_t_rows[row * (8*H) + 5*H + unit]);
    fetch(&U_3_h_to_a_a1_t_rows[row * (8*H) + 2*H + unit]);
    fetch(&U_3_h_to_a_a1_t_rows[row * (8*H) + 6*H + unit]);
    fetch(&dy_t_rows[row * H + unit]);
    fetch(&U_3_h_to_a_a1_t_rows[row * (8*H) + 3*H + unit]);
    fetch(&h_t_rows[row * H + unit]);
    fetch(&U_3_h_to_a_a1_t_rows[row * (8*H) + 4*H + unit]);
    fetch(&tanh_a_c_t_rows[row * H + unit]);
}

extern "C" __global__ void BOUNDS backward_steps(
    unsigned* meeting,
    const long long* offsets,
    const long long done,
    const long long stop,
    const long long steps,
    const long long batch,
    const long long H,
    stored* U_3_h_to_a_a1,
    stored* W_4_x_to_W_3_x,
    stored* dy,
    real* dh_back,
    stored* h,
    stored* tanh_a_c,
    real* dc_via,
    stored* da_a3,
    stored* dU_3_h_to_dW_3_x,
    stored* vU_3,
    stored* other_U_3_h_to_a_a1,
    stored* other_W_4_x_to_W_3_x,
    stored* other_dy,
    real* other_dh_back,
    stored* other_h,
    stored* other_tanh_a_c,
    real* other_dc_via,
    stored* other_da_a3,
    stored* other_dU_3_h_to_dW_3_x,
    stored* other_vU_3) {
    if (SWEEPS > 1 && blockIdx.z) {  // the other of two sweeps
        meeting += 32 * gridDim.x;
        U_3_h_to_a_a1 = other_U_3_h_to_a_a1;
        W_4_x_to_W_3_x = other_W_4_x_to_W_3_x;
        dy = other_dy;
        dh_back = other_dh_back;
        h = other_h;
        tanh_a_c = other_tanh_a_c;
        dc_via = other_dc_via;
        da_a3 = other_da_a3;
        dU_3_h_to_dW_3_x = other_dU_3_h_to_dW_3_x;
        vU_3 = other_vU_3;
    }
    GRANTED(blockDim.x == THREADS);
    GRANTED(H == SIZE_1);
    extern __shared__ __align__(16) real shared[];
    const Sequence sequence = {offsets, steps, batch};
    const Part me(batch);
    unsigned goal = 0;
    long long before = 0;  // samples of the step before, as far as this launch knows them
    PRODUCT_2::Held PRODUCT_2_held = {};
    PRODUCT_2::load(PRODUCT_2_held, shared + WEIGHTS_2, Columns(vU_3, H, 1, me, 0, 0, 1, (int)H));
    __syncthreads();
    // the steps of this launch: the first ``done`` are over, in the order in which they run, and it goes on to ``stop``
    for (long long t = steps - 1 - done; t >= steps - stop; --t) {
        const long long next = t > steps - stop ? t - 1 : t;
        const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
        for (long long first = me.first; first < last; first += AT_ONCE) {
            const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
            auto* const U_3_h_to_a_a1_t = U_3_h_to_a_a1 + (sequence.whole(0, t) + first)*8*H;
            auto* const W_4_x_to_W_3_x_t = W_4_x_to_W_3_x + (sequence.whole(0, t) + first)*8*H;
            auto* const dy_t = dy + (sequence.whole(0, t) + first)*H;
            auto* const dh_back_next = dh_back + (sequence.ring(1, t + 1) + first)*H;
            auto* const h_t = h + (sequence.whole(1, t + 1) + first)*H;
            auto* const tanh_a_c_t = tanh_a_c + (sequence.whole(0, t) + first)*H;
            auto* const dc_via_next = dc_via + (sequence.ring(1, t + 1) + first)*H;
            auto* const da_a3_t = da_a3 + (sequence.whole(0, t) + first)*H;
            auto* const dU_3_h_to_dW_3_x_t = dU_3_h_to_dW_3_x + (sequence.whole(0, t) + first)*9*H;
            auto* const dc_via_t = dc_via + (sequence.ring(1, t) + first)*H;
            auto* const U_3_h_to_a_a1_t_ahead = U_3_h_to_a_a1 + (sequence.whole(0, next) + first)*8*H;
            auto* const W_4_x_to_W_3_x_t_ahead = W_4_x_to_W_3_x + (sequence.whole(0, next) + first)*8*H;
            auto* const dy_t_ahead = dy + (sequence.whole(0, next) + first)*H;
            auto* const dh_back_next_ahead = dh_back + (sequence.ring(1, next + 1) + first)*H;
            auto* const h_t_ahead = h + (sequence.whole(1, next + 1) + first)*H;
            auto* const tanh_a_c_t_ahead = tanh_a_c + (sequence.whole(0, next) + first)*H;
            auto* const dc_via_next_ahead = dc_via + (sequence.ring(1, next + 1) + first)*H;
            auto* const da_a3_t_ahead = da_a3 + (sequence.whole(0, next) + first)*H;
            auto* const dU_3_h_to_dW_3_x_t_ahead = dU_3_h_to_dW_3_x + (sequence.whole(0, next) + first)*9*H;
            auto* const dc_via_t_ahead = dc_via + (sequence.ring(1, next) + first)*H;
            backward_1_in backward_1_known = {};
            {
                const int begin = me.begin((int)H);
                const int count = me.end((int)H) - begin;
                const int row = count ? threadIdx.x / count : 0, unit = count ? begin + threadIdx.x % count : 0;
                if (count && row < rows)
                    backward_1_known = backward_1_early(row, unit, H, U_3_h_to_a_a1_t, W_4_x_to_W_3_x_t, dy_t,
                        dh_back_next, h_t, tanh_a_c_t, dc_via_next, da_a3_t, dU_3_h_to_dW_3_x_t, dc_via_t, first -
                        me.first + row < before);
                if (count && first + row < following)
                    backward_1_ahead(row, unit, H, U_3_h_to_a_a1_t_ahead, W_4_x_to_W_3_x_t_ahead, dy_t_ahead,
                        dh_back_next_ahead, h_t_ahead, tanh_a_c_t_ahead, dc_via_next_ahead, da_a3_t_ahead,
                        dU_3_h_to_dW_3_x_t_ahead, dc_via_t_ahead);
            }
            {
                const int begin = me.begin((int)H);
                const int count = me.end((int)H) - begin;
                for (int item = threadIdx.x; item < (int)rows * count; item += THREADS) {
                    const int row = item / count, unit = begin + item % count;
                    const int sample = (int)(first - me.first) + row, at = sample * count + unit - begin;
                    backward_1_in in = backward_1_known;
                    if (item >= THREADS)
                        in = backward_1_early(row, unit, H, U_3_h_to_a_a1_t, W_4_x_to_W_3_x_t, dy_t, dh_back_next, h_t,
                            tanh_a_c_t, dc_via_next, da_a3_t, dU_3_h_to_dW_3_x_t, dc_via_t, sample < before);
                    if (ONE_PIECE && row < before) in.dh_back_next =
                        PRODUCT_2::total(shared + PARTIAL_2, row, unit - begin);
                    if (ROOM_1 >= 0 && sample < before) in.dc_via_next = shared[ROOM_1 + at];
                    const backward_1_out out = backward_1_unit(row, unit, H, U_3_h_to_a_a1_t, W_4_x_to_W_3_x_t, dy_t,
                        dh_back_next, h_t, tanh_a_c_t, dc_via_next, da_a3_t, dU_3_h_to_dW_3_x_t, dc_via_t, in, ROOM_1 <
                        0 || next == t || first + row >= following);
                    if (ROOM_1 >= 0) shared[ROOM_1 + at] = out.dc_via_t;
                }
            }
            __syncthreads();
        }
        meet(meeting, goal);
        for (long long first = me.first; first < last; first += AT_ONCE) {
            const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
            // dh_back[t] = U_0.T @ da_a0[t] + U_1.T @ da_a1[t] + U_2.T @ da_a2[t] + U_3.T @ dU_3_h[t] + U_4.T @
            //     da_a4[t] + U_5.T @ da_a5[t] + U_6.T @ da_a6[t] + U_7.T @ da_a7[t] (99)
            PRODUCT_2::multiply(shared + PARTIAL_2, PRODUCT_2_held, shared + WEIGHTS_2, dU_3_h_to_dW_3_x +
                (sequence.whole(0, t) + first)*9*H, 9*H, (int)rows);
            __syncthreads();
            PRODUCT_2::put<false>(dh_back + (sequence.ring(1, t) + first)*H, H, shared + PARTIAL_2, (int)rows, me, 0, 1,
                (int)H);
            __syncthreads();
        }
        before = last - me.first;
    }
}
""",
}
"""Kernels that run all steps, by name, from their parameters on: every block has its part of the units, for the samples
of its group."""


UNITS = {"Tf32": 1, "F16": 2, "Bf16": 2}
"""What matrix units take numbers as, and how many of these a word has."""
ITEMSIZES = {"float16": (4, 2), "bfloat16": (4, 2), "float32": (4, 4), "float64": (8, 8)}
"""By type: bytes of a number as it is computed with, and as it is stored."""
REGISTERS = {"matrix": 198, "float": 210, "double": 184}
"""Of a thread's 255 registers those that may hold weights and what multiplying takes, on matrix units and without them:
so many that the compiler spills none, as a rule, of any architecture's."""
HELD_REGISTERS = {"matrix": (156, 108), "float": (148, 108), "double": (120, 72)}
"""Of these that may hold weights: of kernels whose units are by themselves, and where some work on whole rows, too."""
SPARE_REGISTERS = {"": 138, "Tf32": 112, "F16": 138, "Bf16": 138}
"""As REGISTERS, where weights may lie in shared memory as well, by what matrix units take numbers as."""
MOST_SUMS = {4: 64, 8: 24}
"""Sums of a lane at most, by the bytes of one."""
MOST_HELD = 20
"""Turns of a product in registers: each is code of its own, which takes the compiler time."""
MOST_TOGETHER = 128
"""Rows of a matrix that all warps of a block share at most, each with some of their numbers, on matrix units: of more,
partial sums would take much of its shared memory."""


class Slice(NamedTuple):
    """What a block has of a product: so many ``rows`` of the matrix, of ``inner`` numbers each. ``unit``: what matrix
    units take numbers as, one of UNITS, or none (empty). Of a row the numbers of ``held`` turns lie in registers, the
    others in shared memory. ``lanes``: of matrix units, the turns that are read ahead, and how many warps share a row;
    else, how many lanes of a warp share a row, and the samples, and the samples of each."""

    unit: str
    rows: int
    inner: int
    held: int
    lanes: tuple[int, ...]

    @property
    def code(self) -> str:
        """Its type in CUDA."""
        numbers = ", ".join(map(str, (self.rows, self.inner, self.held, *self.lanes)))
        return f"MatrixProduct<{self.unit}, {numbers}>" if self.unit else f"Product<{numbers}>"

    @property
    def split(self) -> int:
        """The warps that share a row; others of the block have other rows."""
        return self.lanes[1] if self.unit else THREADS // 32

    @property
    def turn(self) -> int:
        """Numbers of a row that its warps take at once."""
        return self.split * (16 * UNITS[self.unit] if self.unit else 4 * self.lanes[0])

    @property
    def tall(self) -> int:
        """Rows of a lane; on matrix units, tiles of 16."""
        if self.unit:
            return -(-self.rows // (16 * (THREADS // 32 // self.split)))
        return -(-self.rows // (32 // (self.lanes[0] * self.lanes[1])))

    @property
    def halves(self) -> int:
        """Of matrix units: halves of a lane's tiles that have rows."""
        return min(2 * self.tall, -(-self.rows // 8))

    @property
    def left(self) -> int:
        """Numbers of a row that lie in shared memory."""
        return max(0, self.inner - self.held * self.turn)

    @property
    def may_hold_more(self) -> bool:
        """Whether another turn may lie in registers; without matrix units, the last stays in shared memory."""
        return self.left >= (1 if self.unit else self.turn) and self.held < MOST_HELD

    @property
    def weights(self) -> int:
        """Numbers (``real``) that the matrix takes of shared memory."""
        if self.unit:
            return self.rows * max(1, -(-self.left // (16 * UNITS[self.unit]))) * 16
        return self.rows * (-(-self.left // 32) * 32 + (4 * self.lanes[0] if self.lanes[0] < 8 else 0))

    @property
    def passing(self) -> int:
        """Numbers that what registers hold takes of shared memory, on its way to them."""
        wide = self.turn // UNITS[self.unit] + 16 if self.unit else self.turn + 4 * self.lanes[0]
        return self.rows * wide if self.held else 0

    def sums(self, at_once: int) -> int:
        """Numbers that a lane sums up."""
        return self.tall * (at_once // 2 if self.unit else self.lanes[2])

    def registers(self, at_once: int, itemsize: int) -> tuple[int, int]:
        """Registers of a thread: those that hold of the matrix; those that multiplying takes besides."""
        if self.unit:
            read = max(2, self.lanes[0]) + 1  # two: one of numbers that are rounded when they are there
            return 4 * self.halves * self.held, self.sums(at_once) + at_once // 2 * read
        each, ahead = self.lanes[2], max(1, min(4 // self.lanes[2], -(-self.inner // self.turn)))
        return self.tall * self.held * itemsize, (self.sums(at_once) + 4 * each * (ahead + 2)) * itemsize // 4

    def reading(self, itemsize: int) -> int:
        """Registers for what comes from shared memory, of all of a lane's rows."""
        return 8 * self.tall if self.unit else self.tall * itemsize


def _layout(products: tuple[Slice, ...], at_once: int, itemsize: int) -> tuple[list[int], list[int], int]:
    """Where in shared memory the weights of each product begin, and its partial sums, counted in numbers that are
    computed with, of ``itemsize`` bytes; how many bytes there are."""
    weights, partial, stop = [], [], 0
    for product in products:
        weights.append(stop)
        partial.append(stop + -(-product.weights // 4) * 4)
        stop = partial[-1] + -(-product.split * at_once * product.rows // 4) * 4
    passing = [start + product.passing for start, product in zip(weights, products)]  # what is behind is not there yet
    return weights, partial, max([stop, *passing]) * itemsize


def _unit(dtype: str, tf32: bool, capability: int) -> str:
    """What matrix units of a device take numbers as, one of UNITS; empty where products run without them."""
    wanted = {"float16": ("F16", 75), "bfloat16": ("Bf16", 80), "float32": ("Tf32", 80) if tf32 else ("", 0)}
    unit, since = wanted.get(dtype, ("", 0))
    return unit if capability >= since else ""


def _tiles(
    rows: list[int], inner: list[int], samples: int, unit: str, itemsize: int, room: int | None,
    limits: tuple[bool, bool],
) -> Iterator[tuple[int, tuple[Slice, ...]]]:
    """How many samples a block works on at once, and what it has of its products: the usual way, with all weights in
    shared memory (``room`` None); or, with ``room`` bytes there, those in which registers hold what has none. A lane's
    sums must fit its registers: MOST_SUMS do. ``limits``: see ``_in_registers``."""
    hold, many = room is not None, max(rows, default=0) > MOST_TOGETHER
    for at_once, tries in _lanes(samples, unit, hold, limits[1], many):
        for lanes in tries:
            sliced = [_slice(unit, tall, length, lanes, at_once, itemsize) for tall, length in zip(rows, inner)]
            made = tuple(product for product in sliced if product is not None)
            if len(made) < len(rows):
                continue
            products = made if room is None else _in_registers(made, at_once, itemsize, room, *limits)
            yield at_once, products
            if room is None:
                return
            if _layout(products, at_once, itemsize)[2] <= room:
                break


def _lanes(
    samples: int, unit: str, hold: bool, must: bool, many: bool
) -> Iterator[tuple[int, Iterable[list[tuple[int, ...]]]]]:
    """Samples that a block works on at once, and the lanes of slices with so many: several tries, each of which names
    them in the order in which a product takes the first that does. ``hold``: registers are to hold weights; ``must``:
    there is no other room, and less is read ahead, which takes registers and the compiler time; ``many``: these have
    more rows than all warps of a block should share."""
    warps = THREADS // 32
    if unit:
        for wide in (4, 2, 1):
            if wide == 1 or 8 * wide < samples + 8:
                ahead = min(4 if must else 8, 16 // wide)
                yield 8 * wide, [[(n, split)] for split in ((warps, warps // 2, warps // 4, 1) if many else (warps,))
                                 for n in ((ahead, ahead // 2, ahead // 4) if hold else (ahead,)) if n]
        return
    shapes = [(1, 1), (1, 2), (1, 4), (2, 4), (4, 4)]
    usual = next(k for k, (lanes, each) in enumerate(shapes) if lanes * each >= min(samples, 16))
    for lanes, each in shapes[usual::-1] if hold else [shapes[usual]]:
        starts = (8, 4, 2, 1, 16, 32) if hold else (8,)
        yield lanes * each, [[(k, lanes, each) for k in (start, 8, 4, 2, 1) if k <= start and k * lanes <= 32]
                             for start in starts]


def _slice(
    unit: str, rows: int, inner: int, lanes: Iterable[tuple[int, ...]], at_once: int, itemsize: int
) -> Slice | None:
    """What a block has of a product, with the first of some lanes with which a lane's sums have room; None without."""
    for lane in lanes:
        made = Slice(unit, rows, inner, 0, lane)
        if unit:
            made = made._replace(lanes=(min(lane[0], -(-inner // made.turn)), lane[1]))
        if made.sums(at_once) <= MOST_SUMS[itemsize]:
            return made
    return None


def _in_registers(
    products: tuple[Slice, ...], at_once: int, itemsize: int, room: int, by_rows: bool, must: bool
) -> tuple[Slice, ...]:
    """The products with as much of each in registers as leaves the others' ``room`` bytes of shared memory, or as
    registers have room for. ``by_rows``: whether some kernel works on whole rows; ``must``: whether there is no other
    room."""
    kind = "matrix" if products and products[0].unit else "float" if itemsize == 4 else "double"
    most = REGISTERS[kind] if must else SPARE_REGISTERS[products[0].unit if products else ""]
    while products and _layout(products, at_once, itemsize)[2] > room:
        longest = max(products, key=lambda product: product.left * product.rows if product.may_hold_more else 0)
        more = tuple(p._replace(held=p.held + 1) if p is longest else p for p in products)
        held, needed = zip(*(product.registers(at_once, itemsize) for product in more))
        needed = [besides + must * p.reading(itemsize) for p, besides in zip(more, needed)]
        full = must and sum(held) > HELD_REGISTERS[kind][by_rows]
        if full or not longest.may_hold_more or sum(held) + max(needed) > most:
            break
        products = more
    return products


MEETING = {"": 0.05, "cluster": 0.4, "grid": 1.15}
PASS, PHASE, PRODUCT = 0.3, 1.4, 1.45
MULTIPLIED, CACHE, CLUSTERED = 110e3, 6.5e6, 0.93
"""What a step costs on an H100, fitted to steps of five cells there, of 1 to 256 samples with 128 to 1024 units, in
float32. In microseconds: a meeting, by how blocks wait; threads once over their units; a phase of a row, for its sums;
a product, whatever its size. In a microsecond: numbers that a multiprocessor multiplies, and bytes that all read of the
cache. And the share of multiprocessors that clusters of more than two blocks use."""
UNIT_PRODUCT, UNIT_CACHE, UNIT_RATE, UNMEASURED = 1.17, 9.6e6, 3.5, 1.25
"""The same of matrix units, which no step was measured with. A product: what one of a single sample costs in float32,
as it reads its operand in one round, too, and has as few sums; bytes read of the cache: as many as all blocks read of
64 KB there; and how many times as many numbers of TF32 (of 16 bits, twice that) are multiplied, a fifth of what the
units can. Then, how many times as long a step is taken to be whose products have weights in registers without them."""
HOST, NODE, OPERATIONS, BYTES, HALVES = 21, 5, 18e6, 1.7e6, 8
"""The same of launches: microseconds of one, of the host's and of the device's; what a product over all samples
computes in float32 and reads in a microsecond. Assumed, not measured: how many times as much it computes in 16 bits
(of large products, 15 times as much was measured)."""


class Step(NamedTuple):
    """What a step has to do: how often blocks meet; by product, what it sums over, and the counts and widths of its
    results; by kernel, the units of a row as (first axis, for each of these) where these are shared, and where rows
    are, the same by phase; how many launches it is otherwise; what may have room in shared memory: ``rows`` of so many
    numbers, in so many places, or ``units``, as above, and whether numbers are there as they are stored; the sizes of
    the cell that it depends on."""

    meetings: int
    products: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    units: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, int], ...]
    launches: int
    rooms: tuple[tuple[str, int, int, bool], ...]
    sizes: tuple[int, ...]


class Shares(NamedTuple):
    """How blocks share the steps of a sweep: ``groups`` of samples, each of ``parts`` blocks that share units; so many
    samples at once, which may be all of a group; whether blocks wait for each other by ``grid``, by ``cluster`` or not
    (empty), or are launched by ``graph`` from meeting to meeting; what a block has of each product; the microseconds
    expected of a step; how many sweeps have blocks of their own in the launch; how many samples a group has, and the
    numbers of each value that has room in a block's shared memory (0: it has none); the sizes of
    the cell."""

    groups: int
    parts: int
    at_once: int
    one_piece: bool
    waits: str
    products: tuple[Slice, ...]
    expected: float
    sweeps: int = 1
    samples: int = 1
    rooms: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()

    def layout(self, itemsize: int) -> tuple[list[int], list[int], int]:
        """Where things of products lie in shared memory: see ``_layout``."""
        return _layout(self.products, self.at_once, itemsize)

    def crowded(self, itemsize: int) -> bool:
        """Whether weights leave so few registers that threads should keep nothing else there."""
        held, besides = zip((0, 0), *(p.registers(self.at_once, itemsize) for p in self.products))
        unit = self.products[0].unit if self.products else ""
        return sum(held) > 0 and sum(held) + max(besides) > SPARE_REGISTERS[unit]

    def places(self, itemsize: int) -> tuple[list[int], int]:
        """Where in shared memory each value that has room there begins, behind the products (-1: it has none); how many
        bytes there are."""
        starts, stop = [], -(-self.layout(itemsize)[2] // itemsize // 4) * 4
        for size in self.rooms:
            starts.append(stop if size else -1)
            stop += size
        return starts, stop * itemsize


@functools.lru_cache(maxsize=256)
def _shares(
    strategy: str, step: Step, batch: int, dtype: str, device: int, tf32: bool = False, sweeps: int = 1,
    held: int | None = None,
) -> Shares | None:
    """How blocks share a step; None where launching every stage by itself is expected to be quicker, or must be.
    ``sweeps``: as many share the multiprocessors, in one launch. ``held``: the blocks that run at the same time, where
    these are fewer than multiprocessors; 0 where no two may wait for each other.

    Raises ValueError for an unknown strategy, RuntimeError for one that the device has no room for.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"STRATEGY: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if strategy == "plain":
        return None
    limits = cp.cuda.Device(device).attributes
    real, stored = ITEMSIZES[dtype]
    # what threads know of each other's when they meet over a row has room of its own: 32 sums, 32 largest values
    besides = 2 * 32 * real
    room = limits["MaxSharedMemoryPerBlockOptin"] - besides
    processors = max(1, (held or limits["MultiProcessorCount"]) // sweeps)
    capability = int(cp.cuda.Device(device).compute_capability)
    unit = _unit(dtype, tf32, capability) if step.products else ""
    if strategy == "graph":
        best = _in_graph(step, batch, unit, (real, stored), limits)
        if best is None:
            raise RuntimeError(f"STRATEGY: graph needs more bytes of shared memory than a block has, {room + besides}")
        return best
    most = processors if limits["CooperativeLaunch"] and held != 0 and strategy != "block" else 1
    clusters = (2, 4, 8) if capability >= 90 and not DEBUG else ()
    found: list[Shares] = []
    fitting: list[Shares] = []
    for left in (None, room, 0) if unit else (None, room):
        must = left is not None and not fitting
        # without matrix units registers hold weights only where they must, and with them all that have room
        if left is None or unit or not fitting:
            for parts in range(2 if strategy == "persistent" else 1, most + 1):
                found += _shared_by(parts, processors, parts in clusters, unit, step, batch, (real, stored), left, must)
            fitting = [shares for shares in found if shares.layout(real)[2] <= room]
    best = min(fitting, key=lambda shares: shares.expected, default=None)
    plain = sweeps * _plain(step, batch, stored, limits["MultiProcessorCount"])
    if strategy == "auto" and (best is None or best.expected >= plain):
        best = _in_graph(step, batch, unit, (real, stored), limits)
        return best if best and best.expected * DOUBT < plain else None
    if best is None:
        least = min((shares.layout(real)[2] for shares in found), default=0)
        needs = f"{least + besides} bytes of shared memory in a block, which has {room + besides}"
        if not found:
            able = most > 1 or strategy == "block"
            needs = "more registers than a block has" if able else "a device of cooperative launches"
        raise RuntimeError(f"STRATEGY: {strategy} needs {needs}")
    return _with_rooms(best._replace(sweeps=sweeps), step, batch, (real, stored), room)


@functools.lru_cache(maxsize=256)
def _shares_of_both(
    strategy: str, step: Step, batch: int, dtype: str, device: int, tf32: bool = False, held: int | None = None
) -> Shares | None:
    """How two sweeps share a device, in one launch; None where they are quicker one after the other, or must be."""
    alone = _shares(strategy, step, batch, dtype, device, tf32, held=held)
    if alone is None or alone.waits == "graph":
        return None
    try:
        both = _shares(strategy, step, batch, dtype, device, tf32, 2, held)
    except RuntimeError:  # half a device has no room
        return None
    at_once = both is not None and both.waits != "graph" and both.expected < 2 * alone.expected
    return both if at_once else None


def _with_rooms(shares: Shares, step: Step, batch: int, sizes: tuple[int, int], room: int) -> Shares:
    """The same with room in shared memory for what may have it, as long as ``room`` bytes are enough for all.
    ``sizes``: bytes of a number as it is computed with, in which rooms are counted, and as it is stored."""
    (real, stored), samples, rooms = sizes, -(-batch // shares.groups), []
    left = room // real - -(-shares.layout(real)[2] // real // 4) * 4
    for share, width, times, as_stored in step.rooms:
        if share == "rows":
            size = times * -(-samples // shares.parts) * (-(-width // 8) * 8)
        else:
            size = -(-samples * -(-width // shares.parts) * times // 4) * 4
        size = size * stored // real if as_stored else size
        rooms.append(size if size <= left else 0)
        left -= rooms[-1]
    return shares._replace(samples=samples, rooms=tuple(rooms), sizes=step.sizes)


def _shared_by(
    parts: int, processors: int, cluster: bool, unit: str, step: Step, batch: int, sizes: tuple[int, int],
    room: int | None, must: bool = False,
) -> Iterator[Shares]:
    """What so many blocks to a group make of a step: in the usual way, or with weights in registers where ``room``
    bytes of shared memory are not enough; ``must``: whether these never are. ``sizes``: bytes of a number as it is
    computed with, and as it is stored."""
    usable = int(processors * CLUSTERED) if cluster and parts > 2 else processors
    groups = max(1, min(usable // parts, batch))
    samples = -(-batch // groups)
    groups = -(-batch // samples)
    rows = [sum(count * -(-width // parts) for count, width in results) for _, results in step.products]
    waits = "" if parts == 1 or not step.meetings else "cluster" if cluster else "grid"
    inner, limits = [length for length, _ in step.products], (bool(step.rows), must)
    for at_once, products in _tiles(rows, inner, samples, unit, sizes[0], room, limits):
        made = Shares(groups, parts, at_once, at_once >= samples, waits, products, 0, samples=samples)
        yield made._replace(expected=_expected(made, step, batch, unit, sizes))


def _expected(shares: Shares, step: Step, batch: int, unit: str, sizes: tuple[int, int]) -> float:
    """The microseconds of a step.

    What matrix units cost is assumed, not measured: they take twice as many numbers of 16 bits as of TF32 in the same
    time, and read weights that registers hold in no time. So is it that without them, where what registers hold leaves
    samples fewer lanes, a step costs UNMEASURED times as much.
    """
    real, stored = sizes
    at_once, parts, samples = shares.at_once, shares.parts, shares.samples
    pieces = -(-samples // at_once)
    spans = sum(-(-min(at_once, samples) * -(-first // parts) * across // THREADS) for first, across in step.units)
    expected = step.meetings * MEETING[shares.waits] + pieces * spans * PASS + -(-samples // parts) * _phases(step)
    for product in shares.products:
        expected += pieces * _multiplied(product, at_once, stored if unit else real)
        expected += batch * parts * product.inner * stored / (UNIT_CACHE if unit else CACHE)
    doubtful = not unit and any(product.held for product in shares.products)
    return expected * UNMEASURED if doubtful else expected


def _multiplied(product: Slice, at_once: int, itemsize: int) -> float:
    """The microseconds of a block's part of a product with so many samples; a weight has ``itemsize`` bytes there."""
    row = product.rows * itemsize / 4
    if not product.unit:
        return PRODUCT + row * product.inner * (at_once + 1) / MULTIPLIED  # and once to read the matrix
    turns = at_once / (UNIT_RATE * UNITS[product.unit])
    return UNIT_PRODUCT + row * (product.inner * turns + product.left) / MULTIPLIED


def _phases(step: Step) -> float:
    """The microseconds of a block with a row of what is shared by rows."""
    return sum(PHASE + PASS * -(-first * across // THREADS) for first, across in step.rows)


def _plain(step: Step, batch: int, itemsize: int, processors: int) -> float:
    """The microseconds of a step whose stages are launches of their own: the host's, or the device's."""
    device = step.launches * NODE + -(-batch // processors) * _phases(step)
    rate = OPERATIONS * (HALVES if itemsize == 2 else 4 / itemsize)
    for inner, results in step.products:
        rows = sum(count * width for count, width in results)
        idle = (inner / rows) ** 0.25  # a narrow result leaves multiprocessors idle
        device += 2 * batch * inner * rows / rate * idle + inner * rows * itemsize / BYTES
    return max(step.launches * HOST, device)


def _work(name: str, sizes: Mapping[str, int]) -> Step:
    """What a step of a sweep has to do."""
    return {
        "forward_steps": Step(
            meetings=1,
            products=((sizes["H"], ((8, sizes["H"]),)),),
            units=((sizes["H"], 1),),
            rows=(),
            launches=2,
            rooms=(("units", sizes["H"], 1, False),),
            sizes=(sizes["H"],)
        ),
        "backward_steps": Step(
            meetings=1,
            products=((8*sizes["H"], ((1, sizes["H"]),)),),
            units=((sizes["H"], 1),),
            rows=(),
            launches=2,
            rooms=(("units", sizes["H"], 1, False),),
            sizes=(sizes["H"],)
        ),
    }[name]


def _run_steps(name: str, sizes: Mapping[str, int], pack: Packing, dtype: Any, *args: Any) -> list[int]:
    """All steps of a sweep in one launch, where the device can do that and is quicker so.

    Returns the steps that are left: all, each as its number of samples, or none.
    """
    device, step = _device(), _work(name, sizes)
    while pack.size:  # fewer blocks wait for each other each time that the device refuses
        held = _HELD.get(device)
        shares = _shares(STRATEGY, step, pack.batch, dtype.name, device, TF32, held=held)
        if shares is None:
            break
        if _launch_steps(name, shares, pack, dtype, args, args, step):
            return []
    return pack.counts


def _run_both(one: Launch, other: Launch) -> tuple[list[int], list[int]]:
    """The same for two sweeps: in one launch, where each does with half of the multiprocessors what would take longer
    one after the other. Raises ValueError for sweeps over other steps or sizes."""
    name, sizes, pack, dtype, *args = one
    _, other_sizes, other_pack, other_dtype, *others = other
    if (sizes, pack.counts, dtype) != (other_sizes, other_pack.counts, other_dtype):
        raise ValueError(
            f"expected two runs alike, got {sizes} in {dtype} over {pack.steps} steps of {pack.batch} samples, and "
            f"{other_sizes} in {other_dtype} over {other_pack.steps} of {other_pack.batch}"
        )
    device, step = _device(), _work(name, sizes)
    held = _HELD.get(device)
    shares = _shares_of_both(STRATEGY, step, pack.batch, dtype.name, device, TF32, held=held) if pack.size else None
    if shares is None or not _launch_steps(name, shares, pack, dtype, args, others, step):
        return _run_steps(*one), _run_steps(*other)
    return [], []


def _launch_steps(
    name: str, shares: Shares, pack: Packing, dtype: Any, args: Any, others: Any, step: Step
) -> bool:
    """All steps of one sweep, or of two; ``others``: what the other one has in place of ``args``.

    False where the device does not hold the blocks that wait for each other: then none has run.
    """
    device, steps = _device(), len(pack.counts)
    offsets = None if pack.order is None else cp.asarray(np.array(pack.offsets))
    if shares.waits == "graph":
        _by_graph(name, shares, dtype, device, offsets, steps, pack.batch, *args)
        return True
    kernel, shared = _steps_kernel(name, shares, dtype.name, device)
    own = [array for array in others if isinstance(array, cp.ndarray)]
    grid = (shares.groups, shares.parts, shares.sweeps)
    blocks, counters = math.prod(grid), 32 * shares.groups * shares.sweeps
    most = max(1, int(LAUNCH_SECONDS * 1e6 / shares.expected))
    for done in range(0, steps, most):
        meeting = cp.zeros(counters + (1 + blocks if DEBUG else 0), np.uint32)
        where = (meeting, offsets, done, min(done + most, steps), steps, pack.batch)
        try:
            kernel(grid, (THREADS,), (*where, *args, *own), shared_mem=shared)
        except (ValueError, cp.cuda.driver.CUDADriverError) as problem:
            if done or not _refused(name, blocks, device, problem):
                raise
            return False
        if DEBUG and shares.waits:
            _check_meetings(name, step, shares, done, cp.asnumpy(meeting[counters:]))
    return True


@functools.lru_cache(maxsize=64)
def _steps_kernel(name: str, shares: Shares, dtype: str, device: int) -> tuple[Any, int]:
    """The kernel for these sizes, compiled when it is first needed, and the bytes of shared memory of a block."""
    itemsize, _ = ITEMSIZES[dtype]
    weights, partial, _ = shares.layout(itemsize)
    rooms, shared = shares.places(itemsize)
    code = _steps_code(name, shares, dtype, STEPS[name], weights, partial, ROOMS=int(max(rooms, default=-1) >= 0),
                       **{f"ROOM_{k}": place for k, place in enumerate(rooms, 1)})
    module = cp.RawModule(code=code, options=("--std=c++17",), enable_cooperative_groups=shares.waits == "grid")
    kernel = module.get_function(name)
    kernel.max_dynamic_shared_size_bytes = shared
    return kernel, shared


def _steps_code(
    name: str, shares: Shares, dtype: str, source: str, weights: list[int], partial: list[int], **more: Any
) -> str:
    """The CUDA of kernels that run steps of a sweep, for these sizes. ``weights``, ``partial``: where what a block has
    of each product's matrix begins, and its partial sums; ``more``: what else is defined for the ``source``."""
    cluster = f" __cluster_dims__(1, {shares.parts}, 1)" if shares.waits == "cluster" else ""
    given = {"THREADS": THREADS, "PARTS": shares.parts, "AT_ONCE": shares.at_once, "ONE_PIECE": int(shares.one_piece),
             "CLUSTERS": int(shares.waits == "cluster"), "SWEEPS": shares.sweeps,
             "ROOM_ROWS": -(-shares.samples // shares.parts), "ROOMS": 0}
    given |= {f"ROOM_{k}": -1 for k in range(1, len(shares.rooms) + 1)}
    given |= {f"SIZE_{k}": size for k, size in enumerate(shares.sizes, 1)} | more
    for k, product in enumerate(shares.products):
        number = FIRST_PRODUCT[name] + k
        rounds = ITEMSIZES[dtype][1] == 2 and number in ROUNDED_PRODUCTS
        code = f"RoundedProduct<{product.code}>" if rounds else product.code
        given |= {f"PRODUCT_{number}": code, f"WEIGHTS_{number}": weights[k], f"PARTIAL_{number}": partial[k]}
    given |= {"DEBUG": 1, "PATIENCE": PATIENCE} if DEBUG else {}
    head = "\n".join(f"#define {key} {value}" for key, value in given.items())
    steps = source.replace("BOUNDS", f"__launch_bounds__({THREADS}, 1){cluster}")
    units = MATRIX_UNITS if any(product.unit for product in shares.products) else ""
    units += ROUNDED_PRODUCT if "RoundedProduct<" in head else ""
    head += f"\n{THREAD}" if shares.crowded(ITEMSIZES[dtype][0]) else ""
    return f"{NUMBERS[dtype]}\n{head}\n{CUDA}\n{SHARING}\n{units}\n{steps}"


TOO_LARGE = (720, 912)
"""What the driver says of blocks that cannot all run at the same time: of a cooperative launch, of a cluster."""
_HELD: dict[int, int] = {}
"""By device the blocks that it holds at once, where a launch was refused because it holds fewer than it has
multiprocessors: under MPS, say. 0: no two."""


def _refused(name: str, blocks: int, device: int, problem: Exception) -> bool:
    """Whether a launch was refused as its blocks, which wait for each other, would not all run at the same time: CuPy
    asks how many do, and the driver knows what others have of the device. Then fewer do from now on, which is said
    once.

    Raises RuntimeError where the strategy was asked for.
    """
    if getattr(problem, "status", None) not in TOO_LARGE and "exceeds the limit" not in str(problem):
        return False
    if STRATEGY != "auto":
        raise RuntimeError(
            f"STRATEGY: {STRATEGY} needs {blocks} blocks that run at the same time, and the device has no room for all "
            f'of them; "auto" takes what it has room for ({problem})'
        ) from problem
    _HELD[device] = 0 if blocks < 4 else blocks // 2
    warnings.warn(
        f"kernel {name}: device {device} has no room for {blocks} blocks at the same time, as others share it; from "
        f"now on {_HELD[device] or 'none'} wait for each other, which is slower ({problem})",
        RuntimeWarning,
        stacklevel=2,
    )
    return True


def _check_meetings(name: str, step: Step, shares: Shares, done: int, found: np.ndarray) -> None:
    """RuntimeError where a block has waited for others in vain. ``found``: what ``Watch`` keeps; ``done``: the steps
    before the launch."""
    if not found[0]:
        return
    sweep, group = divmod(int(found[0]) - 1, shares.groups)
    reached = found[1:].reshape(-1, shares.parts)[found[0] - 1].tolist()
    missing = [str(block) for block, number in enumerate(reached) if number < max(reached)]
    at, meeting = divmod(max(reached) - 1, step.meetings)
    which = f"group {group} of sweep {sweep}" if shares.sweeps > 1 else f"group {group}"
    raise RuntimeError(
        f"kernel {name}: block {', '.join(missing) or 'any'} of the {shares.parts} of {which} never came to meeting "
        f"{meeting + 1} of {step.meetings} in step {done + at}, counted from 0 in the order in which steps run"
    )


TURNS, LAUNCH, NEAR, DOUBT = 16, 1.2, 128 << 10, 1.3
"""Steps that a graph has: it is launched as often as a sweep has so many; microseconds of a launch in one; bytes that a
multiprocessor keeps near itself of what its block has read; how much quicker than launches one by one a graph must be
expected to be, since that is assumed, not measured."""


class Replay(NamedTuple):
    """What a graph has of a sweep: the launches of a step; whether a sweep has one ``more`` than steps, as what is left
    of the last one goes with the first part of the next; the words of the structure that all launches read."""

    launches: int
    more: int
    words: int


REPLAYS = {
    "forward_steps": Replay(launches=1, more=0, words=13),
    "backward_steps": Replay(launches=1, more=1, words=16),
}
GRAPHS = {
    "forward_steps": r"""
// What all launches of a sweep have in common: ``done`` steps are over, ``packed`` has what blocks have of matrices.
struct forward_steps_call {
    long long done;
    real* packed;
    const long long* offsets;
    long long steps, batch;
    stored* vU_3;
    long long H;
    stored* U_3_h_to_a_a1;
    long long keep_tape;
    stored* h;
    stored* W_4_x_to_W_3_x;
    real* c;
    stored* tanh_a_c;
};
static_assert(sizeof(forward_steps_call) == 8 * 13, "a word for each");

extern "C" __global__ void BOUNDS forward_steps_begin(
    forward_steps_call* call,
    real* packed,
    const long long* offsets,
    const long long steps,
    const long long batch,
    stored* vU_3,
    const long long H,
    stored* U_3_h_to_a_a1,
    const long long keep_tape,
    stored* h,
    stored* W_4_x_to_W_3_x,
    real* c,
    stored* tanh_a_c) {
    const Part me(batch);
    if (threadIdx.x == 0 && me.number == 0)
        *call = {0, packed, offsets, steps, batch, vU_3, H, U_3_h_to_a_a1, keep_tape, h, W_4_x_to_W_3_x, c, tanh_a_c};
    real* const weights = packed + (long long)me.number * PACKED;
    PRODUCT_1::Held PRODUCT_1_held = {};
    PRODUCT_1::load(PRODUCT_1_held, weights + WEIGHTS_1, Columns(vU_3, 1, H, me, 0, 0, 8, (int)H));
}

// Step ``done`` + ``turn`` from where blocks meet to where they meet next.
extern "C" __global__ void BOUNDS forward_steps_leg_1(
    const forward_steps_call* call, const long long turn) {
    extern __shared__ __align__(16) real shared[];
    const long long done = call->done + turn, steps = call->steps, batch = call->batch;
    if (done >= steps) return;
    const Sequence sequence = {call->offsets, steps, batch};
    const Part me(batch);
    const real* const weights = call->packed + (long long)me.number * PACKED;
    stored* const vU_3 = call->vU_3;
    long long const H = call->H;
    stored* const U_3_h_to_a_a1 = call->U_3_h_to_a_a1;
    long long const keep_tape = call->keep_tape;
    stored* const h = call->h;
    stored* const W_4_x_to_W_3_x = call->W_4_x_to_W_3_x;
    real* const c = call->c;
    stored* const tanh_a_c = call->tanh_a_c;
    GRANTED(blockDim.x == THREADS);
    GRANTED(H == SIZE_1);
    long long before = 0;  // samples of the step before, where the launch has seen them
    const long long t = done, next = t + 1 < steps ? t + 1 : t;
    const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
    for (long long first = me.first; first < last; first += AT_ONCE) {
        const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
        auto* const W_4_x_to_W_3_x_t = W_4_x_to_W_3_x + (sequence.whole(0, t) + first)*8*H;
        auto* const U_3_h_to_a_a1_t = U_3_h_to_a_a1 + (sequence.kept(0, t, keep_tape) + first)*8*H;
        auto* const c_t1 = c + (sequence.ring(1, t) + first)*H;
        auto* const tanh_a_c_t = tanh_a_c + (sequence.kept(0, t, keep_tape) + first)*H;
        auto* const c_t = c + (sequence.ring(1, t + 1) + first)*H;
        auto* const h_t = h + (sequence.whole(1, t + 1) + first)*H;
        auto* const W_4_x_to_W_3_x_t_ahead = W_4_x_to_W_3_x + (sequence.whole(0, next) + first)*8*H;
        auto* const U_3_h_to_a_a1_t_ahead = U_3_h_to_a_a1 + (sequence.kept(0, next, keep_tape) + first)*8*H;
        auto* const c_t1_ahead = c + (sequence.ring(1, next) + first)*H;
        auto* const tanh_a_c_t_ahead = tanh_a_c + (sequence.kept(0, next, keep_tape) + first)*H;
        auto* const c_t_ahead = c + (sequence.ring(1, next + 1) + first)*H;
        auto* const h_t_ahead = h + (sequence.whole(1, next + 1) + first)*H;
        forward_1_in forward_1_known = {};
        {
            const int begin = me.begin((int)H);
            const int count = me.end((int)H) - begin;
            const int row = count ? threadIdx.x / count : 0, unit = count ? begin + threadIdx.x % count : 0;
            if (count && row < rows)
                forward_1_known = forward_1_early(row, unit, H, W_4_x_to_W_3_x_t, U_3_h_to_a_a1_t, c_t1, tanh_a_c_t,
                    c_t, h_t, first - me.first + row < before);
            if (count && first + row < following)
                forward_1_ahead(row, unit, H, W_4_x_to_W_3_x_t_ahead, U_3_h_to_a_a1_t_ahead, c_t1_ahead,
                    tanh_a_c_t_ahead, c_t_ahead, h_t_ahead);
        }
        // U_3_h[t] = U_3 @ h[t-1] (32)
        // U_4_h[t] = U_4 @ h[t-1] (34)
        // U_6_h[t] = U_6 @ h[t-1] (38)
        // U_0_h[t] = U_0 @ h[t-1] (25)
        // U_2_h[t] = U_2 @ h[t-1] (29)
        // U_5_h[t] = U_5 @ h[t-1] (36)
        // U_7_h[t] = U_7 @ h[t-1] (40)
        // U_1_h[t] = U_1 @ h[t-1] (27)
        PRODUCT_1::multiply(shared + PARTIAL_1, PRODUCT_1::Held{}, weights + WEIGHTS_1, h + (sequence.whole(1, t) +
            first)*H, H, (int)rows);
        __syncthreads();
        PRODUCT_1::put<false>(U_3_h_to_a_a1 + (sequence.kept(0, t, keep_tape) + first)*8*H, 8*H, shared + PARTIAL_1,
            (int)rows, me, 0, 8, (int)H);
        __syncthreads();
        {
            const int begin = me.begin((int)H);
            const int count = me.end((int)H) - begin;
            for (int item = threadIdx.x; item < (int)rows * count; item += THREADS) {
                const int row = item / count, unit = begin + item % count;
                const int sample = (int)(first - me.first) + row, at = sample * count + unit - begin;
                forward_1_in in = forward_1_known;
                if (item >= THREADS)
                    in = forward_1_early(row, unit, H, W_4_x_to_W_3_x_t, U_3_h_to_a_a1_t, c_t1, tanh_a_c_t, c_t, h_t,
                        sample < before);
                in.U_0_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 3 * part_of(H) + unit - begin);
                in.U_1_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 7 * part_of(H) + unit - begin);
                in.U_2_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 4 * part_of(H) + unit - begin);
                in.U_3_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, unit - begin);
                in.U_4_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 1 * part_of(H) + unit - begin);
                in.U_5_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 5 * part_of(H) + unit - begin);
                in.U_6_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 2 * part_of(H) + unit - begin);
                in.U_7_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 6 * part_of(H) + unit - begin);
                if (ROOM_1 >= 0 && sample < before) in.c_t1 = shared[ROOM_1 + at];
                const forward_1_out out = forward_1_unit(row, unit, H, W_4_x_to_W_3_x_t, U_3_h_to_a_a1_t, c_t1,
                    tanh_a_c_t, c_t, h_t, in, ROOM_1 < 0 || next == t || first + row >= following);
                if (ROOM_1 >= 0) shared[ROOM_1 + at] = out.c_t;
            }
        }
        __syncthreads();
    }
}

extern "C" __global__ void forward_steps_end(forward_steps_call* call, const long long turns) { call->done += turns; }
""",
    "backward_steps": r"""
// What all launches of a sweep have in common: ``done`` steps are over, ``packed`` has what blocks have of matrices.
struct backward_steps_call {
    long long done;
    real* packed;
    const long long* offsets;
    long long steps, batch;
    long long H;
    stored* U_3_h_to_a_a1;
    stored* W_4_x_to_W_3_x;
    stored* dy;
    real* dh_back;
    stored* h;
    stored* tanh_a_c;
    real* dc_via;
    stored* da_a3;
    stored* dU_3_h_to_dW_3_x;
    stored* vU_3;
};
static_assert(sizeof(backward_steps_call) == 8 * 16, "a word for each");

extern "C" __global__ void BOUNDS backward_steps_begin(
    backward_steps_call* call,
    real* packed,
    const long long* offsets,
    const long long steps,
    const long long batch,
    const long long H,
    stored* U_3_h_to_a_a1,
    stored* W_4_x_to_W_3_x,
    stored* dy,
    real* dh_back,
    stored* h,
    stored* tanh_a_c,
    real* dc_via,
    stored* da_a3,
    stored* dU_3_h_to_dW_3_x,
    stored* vU_3) {
    const Part me(batch);
    if (threadIdx.x == 0 && me.number == 0)
        *call = {0, packed, offsets, steps, batch, H, U_3_h_to_a_a1, W_4_x_to_W_3_x, dy, dh_back, h, tanh_a_c, dc_via,
            da_a3, dU_3_h_to_dW_3_x, vU_3};
    real* const weights = packed + (long long)me.number * PACKED;
    PRODUCT_2::Held PRODUCT_2_held = {};
    PRODUCT_2::load(PRODUCT_2_held, weights + WEIGHTS_2, Columns(vU_3, H, 1, me, 0, 0, 1, (int)H));
}

// Step ``done`` + ``turn`` from where blocks meet to where they meet next.
extern "C" __global__ void BOUNDS backward_steps_leg_1(
    const backward_steps_call* call, const long long turn) {
    extern __shared__ __align__(16) real shared[];
    const long long done = call->done + turn, steps = call->steps, batch = call->batch;
    if (done >= steps + 1) return;
    const Sequence sequence = {call->offsets, steps, batch};
    const Part me(batch);
    const real* const weights = call->packed + (long long)me.number * PACKED;
    long long const H = call->H;
    stored* const U_3_h_to_a_a1 = call->U_3_h_to_a_a1;
    stored* const W_4_x_to_W_3_x = call->W_4_x_to_W_3_x;
    stored* const dy = call->dy;
    real* const dh_back = call->dh_back;
    stored* const h = call->h;
    stored* const tanh_a_c = call->tanh_a_c;
    real* const dc_via = call->dc_via;
    stored* const da_a3 = call->da_a3;
    stored* const dU_3_h_to_dW_3_x = call->dU_3_h_to_dW_3_x;
    stored* const vU_3 = call->vU_3;
    GRANTED(blockDim.x == THREADS);
    GRANTED(H == SIZE_1);
    long long before = 0;  // samples of the step before, where the launch has seen them
    if (done > 0) {
        const long long t = steps - 1 - (done - 1), next = t > 0 ? t - 1 : 0;
        const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
        for (long long first = me.first; first < last; first += AT_ONCE) {
            const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
            // dh_back[t] = U_0.T @ da_a0[t] + U_1.T @ da_a1[t] + U_2.T @ da_a2[t] + U_3.T @ dU_3_h[t] + U_4.T @
            //     da_a4[t] + U_5.T @ da_a5[t] + U_6.T @ da_a6[t] + U_7.T @ da_a7[t] (99)
            PRODUCT_2::multiply(shared + PARTIAL_2, PRODUCT_2::Held{}, weights + WEIGHTS_2, dU_3_h_to_dW_3_x +
                (sequence.whole(0, t) + first)*9*H, 9*H, (int)rows);
            __syncthreads();
            PRODUCT_2::put<false>(dh_back + (sequence.ring(1, t) + first)*H, H, shared + PARTIAL_2, (int)rows, me, 0, 1,
                (int)H);
            __syncthreads();
        }
        before = last - me.first;
    }
    if (done == steps) return;
    const long long t = steps - 1 - done, next = t > 0 ? t - 1 : 0;
    const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
    for (long long first = me.first; first < last; first += AT_ONCE) {
        const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
        auto* const U_3_h_to_a_a1_t = U_3_h_to_a_a1 + (sequence.whole(0, t) + first)*8*H;
        auto* const W_4_x_to_W_3_x_t = W_4_x_to_W_3_x + (sequence.whole(0, t) + first)*8*H;
        auto* const dy_t = dy + (sequence.whole(0, t) + first)*H;
        auto* const dh_back_next = dh_back + (sequence.ring(1, t + 1) + first)*H;
        auto* const h_t = h + (sequence.whole(1, t + 1) + first)*H;
        auto* const tanh_a_c_t = tanh_a_c + (sequence.whole(0, t) + first)*H;
        auto* const dc_via_next = dc_via + (sequence.ring(1, t + 1) + first)*H;
        auto* const da_a3_t = da_a3 + (sequence.whole(0, t) + first)*H;
        auto* const dU_3_h_to_dW_3_x_t = dU_3_h_to_dW_3_x + (sequence.whole(0, t) + first)*9*H;
        auto* const dc_via_t = dc_via + (sequence.ring(1, t) + first)*H;
        auto* const U_3_h_to_a_a1_t_ahead = U_3_h_to_a_a1 + (sequence.whole(0, next) + first)*8*H;
        auto* const W_4_x_to_W_3_x_t_ahead = W_4_x_to_W_3_x + (sequence.whole(0, next) + first)*8*H;
        auto* const dy_t_ahead = dy + (sequence.whole(0, next) + first)*H;
        auto* const dh_back_next_ahead = dh_back + (sequence.ring(1, next + 1) + first)*H;
        auto* const h_t_ahead = h + (sequence.whole(1, next + 1) + first)*H;
        auto* const tanh_a_c_t_ahead = tanh_a_c + (sequence.whole(0, next) + first)*H;
        auto* const dc_via_next_ahead = dc_via + (sequence.ring(1, next + 1) + first)*H;
        auto* const da_a3_t_ahead = da_a3 + (sequence.whole(0, next) + first)*H;
        auto* const dU_3_h_to_dW_3_x_t_ahead = dU_3_h_to_dW_3_x + (sequence.whole(0, next) + first)*9*H;
        auto* const dc_via_t_ahead = dc_via + (sequence.ring(1, next) + first)*H;
        backward_1_in backward_1_known = {};
        {
            const int begin = me.begin((int)H);
            const int count = me.end((int)H) - begin;
            const int row = count ? threadIdx.x / count : 0, unit = count ? begin + threadIdx.x % count : 0;
            if (count && row < rows)
                backward_1_known = backward_1_early(row, unit, H, U_3_h_to_a_a1_t, W_4_x_to_W_3_x_t, dy_t, dh_back_next,
                    h_t, tanh_a_c_t, dc_via_next, da_a3_t, dU_3_h_to_dW_3_x_t, dc_via_t, first - me.first + row <
                    before);
            if (count && first + row < following)
                backward_1_ahead(row, unit, H, U_3_h_to_a_a1_t_ahead, W_4_x_to_W_3_x_t_ahead, dy_t_ahead,
                    dh_back_next_ahead, h_t_ahead, tanh_a_c_t_ahead, dc_via_next_ahead, da_a3_t_ahead,
                    dU_3_h_to_dW_3_x_t_ahead, dc_via_t_ahead);
        }
        {
            const int begin = me.begin((int)H);
            const int count = me.end((int)H) - begin;
            for (int item = threadIdx.x; item < (int)rows * count; item += THREADS) {
                const int row = item / count, unit = begin + item % count;
                const int sample = (int)(first - me.first) + row, at = sample * count + unit - begin;
                backward_1_in in = backward_1_known;
                if (item >= THREADS)
                    in = backward_1_early(row, unit, H, U_3_h_to_a_a1_t, W_4_x_to_W_3_x_t, dy_t, dh_back_next, h_t,
                        tanh_a_c_t, dc_via_next, da_a3_t, dU_3_h_to_dW_3_x_t, dc_via_t, sample < before);
                if (ONE_PIECE && row < before) in.dh_back_next =
                    PRODUCT_2::total(shared + PARTIAL_2, row, unit - begin);
                if (ROOM_1 >= 0 && sample < before) in.dc_via_next = shared[ROOM_1 + at];
                const backward_1_out out = backward_1_unit(row, unit, H, U_3_h_to_a_a1_t, W_4_x_to_W_3_x_t, dy_t,
                    dh_back_next, h_t, tanh_a_c_t, dc_via_next, da_a3_t, dU_3_h_to_dW_3_x_t, dc_via_t, in, ROOM_1 < 0 ||
                    next == t || first + row >= following);
                if (ROOM_1 >= 0) shared[ROOM_1 + at] = out.dc_via_t;
            }
        }
        __syncthreads();
    }
}

extern "C" __global__ void backward_steps_end(backward_steps_call* call, const long long turns) { call->done += turns; }
""",
}
"""The kernels of these graphs, by name, but for what those of STEPS have in front: a step from meeting to meeting. They
read what a call has passed to ``…_begin``, and how many steps are over, in memory; so a graph serves any number of
steps, wherever arrays lie."""


class Recorded(NamedTuple):
    """A graph of ``TURNS`` steps, the kernel that it must follow, and where both have their structure: ``call``. Who
    has it may use it from ``free`` on."""

    begin: Any
    graph: Any
    call: Any
    free: Any


def _by_graph(name: str, shares: Shares, dtype: Any, device: int, offsets: Any, steps: int, *args: Any) -> None:
    """All steps of a sweep by a graph; ``args``: of the sweep's kernel, behind its ``steps``.

    No two calls have the same graph at a time, in whatever threads and streams they run. What fails is dropped.
    """
    unused = _recorded(name, shares, dtype.name, device)
    try:
        found = unused.pop()
    except IndexError:
        found = _record(name, shares, dtype.name, device)
    stream = cp.cuda.get_current_stream()
    stream.wait_event(found.free)
    real = _real(dtype)
    packed = cp.empty(shares.parts * _image(shares, real.itemsize)[2], real)
    found.begin((1, shares.parts), (THREADS,), (found.call, packed, offsets, steps, *args))
    for _ in range(0, steps + REPLAYS[name].more, TURNS):
        found.graph.launch(stream)
    found.free.record(stream)
    unused.append(found)


@functools.lru_cache(maxsize=16)
def _recorded(name: str, shares: Shares, dtype: str, device: int) -> collections.deque[Recorded]:
    """Graphs of a sweep that no call has just now."""
    return collections.deque(maxlen=4)


def _record(name: str, shares: Shares, dtype: str, device: int) -> Recorded:
    """A new graph. Its structure is no memory of the pool, which may hand on what a graph still reads."""
    begin, legs, end, shared = _graph_kernels(name, shares, dtype, device)
    words = REPLAYS[name].words
    call = cp.ndarray((words,), np.int64, cp.cuda.MemoryPointer(cp.cuda.Memory(8 * words), 0))
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            for turn in range(TURNS):
                for leg in legs:
                    leg((shares.groups, shares.parts), (THREADS,), (call, turn), shared_mem=shared)
            end((1,), (1,), (call, TURNS))
        finally:
            graph = stream.end_capture()
    return Recorded(begin, graph, call, cp.cuda.Event(disable_timing=True))


@functools.lru_cache(maxsize=64)
def _graph_kernels(name: str, shares: Shares, dtype: str, device: int) -> tuple[Any, list[Any], Any, int]:
    """The kernels of a graph for these sizes, loaded: what comes first, those of a step, what counts steps; and the
    bytes of shared memory of a block."""
    weights, partial, packed, shared = _image(shares, ITEMSIZES[dtype][0])
    reading, _, _ = STEPS[name].partition('\nextern "C"')  # what stands in front of the kernel
    code = _steps_code(name, shares, dtype, reading + GRAPHS[name], weights, partial, PACKED=packed)
    module = cp.RawModule(code=code, options=("--std=c++17",))
    legs = [module.get_function(f"{name}_leg_{k + 1}") for k in range(REPLAYS[name].launches)]
    for leg in legs:
        leg.max_dynamic_shared_size_bytes = shared
    return module.get_function(f"{name}_begin"), legs, module.get_function(f"{name}_end"), shared


def _image(shares: Shares, itemsize: int) -> tuple[list[int], list[int], int, int]:
    """Where what blocks have of matrices lies in memory, one block's behind the other's: where in a block's part those
    of each product begin; where in shared memory its partial sums do; the numbers of such a part; the bytes of shared
    memory."""
    starts, partial, shared = shares.layout(itemsize)
    weights, sums, stop = [], [], 0
    for start, behind in zip(starts, partial):
        weights.append(stop)
        stop += behind - start
        sums.append(behind - stop)
    return weights, sums, stop, shared - stop * itemsize


def _in_graph(
    step: Step, batch: int, unit: str, sizes: tuple[int, int], limits: Mapping[str, int]
) -> Shares | None:
    """How blocks share the launches of a graph; None where no share fits the device."""
    widths = [width for _, results in step.products for _, width in results] or [first for first, _ in step.units]
    widest = max(widths, default=1)
    cuts = sorted({-(-widest // units) for units in range(1, widest + 1)})
    found = [_by_nodes(parts, step, batch, unit, sizes, limits) for parts in cuts]
    room = limits["MaxSharedMemoryPerBlockOptin"] - 2 * 32 * sizes[0]
    fitting = [shares for shares in found if shares and _image(shares, sizes[0])[3] <= room]
    return min(fitting, key=lambda shares: shares.expected, default=None)


def _by_nodes(
    parts: int, step: Step, batch: int, unit: str, sizes: tuple[int, int], limits: Mapping[str, int]
) -> Shares | None:
    """What so many blocks to a group make of a step. None as in ``_shared_by``.

    A launch takes LAUNCH; what its blocks take is assumed, not measured: what those of a persistent kernel do, one
    after another where they are more than multiprocessors; besides, weights are read at the rate of CACHE, or of BYTES
    where they are more than half of what the cache holds, and for all pieces of a group's samples anew where a block
    has more of them than NEAR.
    """
    processors = limits["MultiProcessorCount"]
    found = next(_shared_by(parts, processors, False, unit, step, batch, sizes, None), None)
    if found is None:
        return None
    left = sum(inner for inner, _ in step.products) * batch * parts * sizes[1] / (UNIT_CACHE if unit else CACHE)
    turns = -(-found.groups * parts // processors)
    blocks = turns * (found.expected - step.meetings * MEETING[found.waits] - left) + left
    numbers = sum(inner * count * width for inner, results in step.products for count, width in results)
    weights = numbers * sizes[bool(unit)]
    pieces = -(-batch // (found.groups * found.at_once)) if weights > NEAR * parts else 1
    read = found.groups * pieces * weights / (CACHE if 2 * weights <= limits["L2CacheSize"] else BYTES)
    return found._replace(
        waits="graph", samples=1, rooms=(0,) * len(step.rooms), sizes=step.sizes,
        expected=max(1, step.meetings) * LAUNCH + blocks + read,
    )
