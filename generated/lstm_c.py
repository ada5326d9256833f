"""Long short-term memory

Hochreiter & Schmidhuber (1997); forget gate: Gers, Schmidhuber & Cummins (2000). Same cell as torch.nn.LSTM.

The cell lstm as C code: ``init_params``, ``forward``, ``backward`` and ``step``.
The system's C compiler builds it when it is first needed.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive lstm``.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import hashlib
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

SIZES = ("D", "H")
PARAMS = {
    "W_i": ("H", "D"),
    "W_f": ("H", "D"),
    "W_o": ("H", "D"),
    "W_g": ("H", "D"),
    "U_i": ("H", "H"),
    "U_f": ("H", "H"),
    "U_o": ("H", "H"),
    "U_g": ("H", "H"),
    "b_i": ("H",),
    "b_f": ("H",),
    "b_o": ("H",),
    "b_g": ("H",),
}
CONSTANTS = {}
START = {
    "W_i": "uniform",
    "W_f": "uniform",
    "W_o": "uniform",
    "W_g": "uniform",
    "U_i": "uniform",
    "U_f": "uniform",
    "U_o": "uniform",
    "U_g": "uniform",
    "b_i": "uniform",
    "b_f": "uniform",
    "b_o": "uniform",
    "b_g": "uniform",
}
INPUTS = {"x": ("D",)}
STATES = {"h": ("H",), "c": ("H",)}
LAGS = {}
OUTPUT = "h"
EQUATIONS = (
    '"""Long short-term memory\n'
    "\n"
    "Hochreiter & Schmidhuber (1997); forget gate: Gers, Schmidhuber & Cummins (2000). Same cell as torch.nn.LSTM.\n"
    '"""\n'
    "i[t] = sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)   # input gate\n"
    "f[t] = sigmoid(W_f @ x[t] + U_f @ h[t-1] + b_f)   # forget gate\n"
    "g[t] = tanh(W_g @ x[t] + U_g @ h[t-1] + b_g)      # candidate\n"
    "o[t] = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o)   # output gate\n"
    "c[t] = f[t] * c[t-1] + i[t] * g[t]                # cell state\n"
    "h[t] = o[t] * tanh(c[t])                          # hidden state\n"
)
STAMP = "9eda4be3cf0a3205"


class Params(Mapping[str, Any]):
    """The parameters by name: views of one contiguous buffer ``flat``, in the order of ``PARAMS``."""

    def __init__(self, flat: Any, sizes: Mapping[str, int]) -> None:
        self.flat = flat
        self.sizes = dict(sizes)
        self.shapes = {name: _shape(named, self.sizes) for name, named in {**INPUTS, **STATES}.items()}
        self._start: dict[str, int] = {}
        self._views: dict[str, Any] = {}
        self._stacks: dict[tuple[str, str], Any] = {}
        self._steppers: list[_Stepper] = []
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
        flat = _buffer(self.flat.size, self.flat.dtype)
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
    rng = np.random.default_rng(seed)
    parts = [_start(START[name], _shape(shape, sizes), sizes, rng).reshape(-1) for name, shape in PARAMS.items()]
    values = np.concatenate(parts).astype(kind)
    flat = _buffer(values.size, kind)
    flat[...] = np.asarray(values)
    return Params(flat, sizes)


def _buffer(size: int, dtype: Any) -> np.ndarray:
    """Room for so many numbers that begins on a cache line: a vector across two of them takes twice as long to load."""
    memory = np.empty(size + 64, dtype)
    first = -memory.ctypes.data % 64 // memory.itemsize
    return memory[first : first + size]


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
    if array.dtype == dtype:
        return array
    found = np.empty(array.shape, dtype)
    _copy(found, array)
    return found


def _cast(params: Params, dtype: Any) -> Params:
    """Parameters in a type: themselves, or a copy where they are of another."""
    if params.flat.dtype == dtype:
        return params
    flat = _buffer(params.flat.size, dtype)
    _copy(flat, params.flat)
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
            self.order, self.back = np.asarray(order), np.asarray(np.argsort(order, kind="stable"))
            if not packed:
                rows = [t * batch + order[:n] for t, n in enumerate(counts)]
                self.index = np.asarray(np.concatenate([np.zeros(0, int), *rows]))
            self.counts = [int(n) for n in counts]
            self.offsets = [0, *(int(n) for n in np.cumsum(counts))]
        self.size = self.offsets[-1]
        self.lead = (self.size,) if packed else (steps, batch)

    def stretch(self, rows: int) -> int:
        """How many steps have about so many rows: one at least, but no more than there are."""
        return min(self.steps, max(1, rows // max(self.batch, 1)))

    def starts(self, depth: int, whole: bool) -> list[int]:
        """The first row of each slot of a buffer: ``depth`` slots before the sequence and one for every step, or, where
        it does not hold the whole, depth + 1 that are used again and again."""
        if not whole:
            return [k % (depth + 1) * self.batch for k in range(depth + len(self.offsets))]
        return [k * self.batch for k in range(depth)] + [depth * self.batch + start for start in self.offsets]

    def past(self, depth: int, shift: int) -> Any:
        """The same rows of all steps, of a buffer that holds the whole, as an index."""
        if self.order is None:
            return slice(shift * self.batch, shift * self.batch + self.size)
        rows = [first + np.arange(n) for first, n in zip(self.starts(depth, True)[shift:], self.counts)]
        return np.asarray(np.concatenate([np.zeros(0, int), *rows]))

    def rows(self, x: Any) -> Any:
        """(T, B, *shape) as rows, padding left out; what is packed as it is."""
        flat = x.reshape(math.prod(self.lead), math.prod(x.shape[len(self.lead) :]))
        return np.ascontiguousarray(flat if self.index is None else flat[self.index])

    def sequence(self, rows: Any, shape: tuple[int, ...], kept: bool) -> Any:
        """Rows as (T, B, *shape), zero in the padding, or packed: themselves if they can be handed over as they are,
        but a copy where they are ``kept`` for something else."""
        whole = (*self.lead, *shape)
        if self.index is None:
            return (rows.copy() if kept else np.ascontiguousarray(rows)).reshape(whole)
        y = np.zeros((self.steps * self.batch, rows.shape[1]), rows.dtype)
        y[self.index] = rows
        return y.reshape(whole)

    def sort(self, state: Any) -> Any:
        """(steps, B, n) with the samples in the order of their rows."""
        return state if self.order is None else state[:, self.order]

    def unsort(self, state: Any) -> Any:
        """The same the other way."""
        return state if self.back is None else state[:, self.back]

    def first(self, count: int) -> Any:
        """The rows of a buffer's first slots, which lie before the sequence, as an index (count, B)."""
        return np.arange(count * self.batch).reshape(count, self.batch)

    def last(self, depth: int, count: int, whole: bool) -> Any:
        """The rows of ``count`` slots of a buffer from each sample's own end on, as an index (count, B)."""
        step = self.ends + np.arange(count)[:, None]
        return np.asarray(np.array(self.starts(depth, whole))[step] + np.arange(self.batch))


@np.errstate(all="ignore")
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
    checked = _inputs("x", x)
    params = _params(params, checked, {}, None, state)
    steps, batch, ends = _check_sequences(checked, lengths, packed, params)
    given = _check_state("state", state, batch, params)
    inputs = {name: value for name, (_, value) in checked.items()}
    every = _every(checkpoint, budget, params, steps, batch, ends is not None, keep_tape)
    try:
        if every is None:
            pack = Packing(steps, batch, ends, packed)
            return _forward_whole(params, inputs, given, pack, keep_tape)
        asked = every, steps, batch, ends, packed, params.sizes, params.flat.dtype, inputs
        return _forward_pieces(params, Checkpoints(*asked, []), given, keep_tape)
    except MemoryError as problem:
        need = every, params, steps, batch, ends is not None, keep_tape
        raise _too_large("forward", problem, *need) from problem


def _forward_whole(
    params: Params, inputs: Mapping[str, Any], state: Mapping[str, Any], pack: Packing, keep_tape: bool
) -> tuple[Any, dict[str, Any], Tape | None]:
    """``forward`` in one sweep."""
    rows, last, tape = _forward_sweep(params, inputs, state, pack, keep_tape)
    dtype = params.flat.dtype
    rows = pack.sequence(_as(rows, dtype), _shape(("H",), params.sizes), keep_tape)
    return rows, {name: _as(value, dtype) for name, value in last.items()}, tape


def _forward_sweep(
    params: Params, inputs: Mapping[str, Any], state: Mapping[str, Any], pack: Packing, keep_tape: bool
) -> tuple[Any, dict[str, Any], Tape | None]:
    """All steps, first to last, of what ``forward`` has checked: y as rows, the last states and the tape.

    What comes is of the parameters' type, but for states between two sweeps: these, and what is returned, may be of
    the type that is computed in.
    """
    batch = pack.batch
    given = _state_rows(state)
    dtype, real = params.flat.dtype, _real(params.flat.dtype)
    params = _cast(params, real)
    D = params.sizes["D"]
    H = params.sizes["H"]

    x_rows = _as(pack.rows(inputs["x"]), real)
    stretch = pack.stretch(512)
    a_i_in_to_a_g_in = np.empty((stretch * batch, 4*H), real)
    i_f_o_g = np.empty((pack.size if keep_tape else batch, 4*H), real)
    c = np.empty((pack.size + batch if keep_tape else 2 * batch, H), real)
    h = np.empty((pack.size + batch, H), real)
    W_i = params.stack("W_i", "W_i")
    b_i = params.stack("b_i", "b_i")
    b_f = params.stack("b_f", "b_f")
    b_g = params.stack("b_g", "b_g")
    b_o = params.stack("b_o", "b_o")
    U_i = params.stack("U_i", "U_i")
    h[pack.first(1)] = pack.sort(given["h"]) if "h" in given else 0
    c[pack.first(1)] = pack.sort(given["c"]) if "c" in given else 0
    counts = np.array(pack.counts, np.int64)
    kept_0 = np.array(pack.starts(0, keep_tape), np.int64)
    starts_1 = np.array(pack.starts(1, True), np.int64)
    starts_0 = np.array(pack.starts(0, True), np.int64)
    kept_1 = np.array(pack.starts(1, keep_tape), np.int64)

    # in C: W_i_x … h (23)
    _Call(
        _compiled(dtype).run_forward,
        [
            pack.size, W_i, D, H, a_i_in_to_a_g_in, x_rows, b_i, b_f, b_g, b_o, len(pack.counts), counts, U_i,
            kept_0, i_f_o_g, starts_1, h, starts_0, kept_1, c, stretch,
        ],
        pack.size * (8*D*H + 62*H + 8*H*H),
    )()

    h_last = h[pack.last(1, 1, True)]
    c_last = c[pack.last(1, 1, keep_tape)]
    h_ = h[batch :]

    last = {
        "h": pack.unsort(h_last)[0],
        "c": pack.unsort(c_last)[0],
    }
    tape = None
    if keep_tape:
        arrays = {
            "c": c,
            "i_f_o_g": _as(i_f_o_g, dtype),
            "h": _as(h, dtype),
            "x_rows": _as(x_rows, dtype),
        }
        tape = Tape(pack, params.sizes, dtype, arrays)
    return h_, last, tape


@np.errstate(all="ignore")
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
    if not isinstance(tape, (Tape, Checkpoints)):
        raise TypeError(f"tape: expected the tape that forward returned, got {type(tape).__name__}")
    params = _params(params, {}, tape.sizes, tape.dtype)
    if params.sizes != tape.sizes or params.flat.dtype != tape.dtype:
        raise ValueError(
            f"params: expected {tape.sizes} in {tape.dtype} as on the tape, got {params.sizes} in {params.flat.dtype}"
        )
    lead, dtype = tape.lead, tape.dtype
    shape = _shape(("H",), params.sizes)
    if dy is None:
        dy = np.broadcast_to(np.zeros((), dtype), (*lead, *shape))
    _array("dy", dy, lead, shape, dtype)
    given = _check_state("dlast", dlast, tape.batch, params)
    pieces = isinstance(tape, Checkpoints)
    try:
        run = _backward_pieces if pieces else _backward_whole
        grads, dx, dstate = run(params, tape, dy, given, need_x)
    except MemoryError as problem:
        uneven = (tape.lengths if pieces else tape.pack.order) is not None
        need = tape.every if pieces else None, params, tape.steps, tape.batch, uneven, True
        raise _too_large("backward", problem, *need) from problem
    grads, dstate = _cast(grads, dtype), {name: _as(value, dtype) for name, value in dstate.items()}
    return Grads(grads, dx.get("x"), dstate)


def _backward_whole(
    params: Params, tape: Tape, dy: Any, dlast: Mapping[str, Any], need_x: bool
) -> tuple[Params, dict[str, Any], dict[str, Any]]:
    """``backward`` in one sweep."""
    grads, rows, dstate = _backward_sweep(params, tape, dy, dlast, need_x)
    parts = {name: _as(part, tape.dtype) for name, part in rows.items()}
    return grads, {name: tape.pack.sequence(part, params.shapes[name], False) for name, part in parts.items()}, dstate


def _backward_sweep(
    params: Params, tape: Tape, dy: Any, dlast: Mapping[str, Any], need_x: bool
) -> tuple[Params, dict[str, Any], dict[str, Any]]:
    """All steps, last to first, of what ``backward`` has checked: gradients by parameters, inputs (as rows), states.

    What comes and is returned is of the types that ``_forward_sweep`` has; the gradients by parameters are of the type
    that is computed in.
    """
    pack, dtype, real = tape.pack, tape.dtype, _real(tape.dtype)
    params = _cast(params, real)
    batch = pack.batch
    given = _state_rows(dlast)
    grads = Params(np.zeros(params.flat.shape, real), params.sizes)
    D = params.sizes["D"]
    H = params.sizes["H"]

    dy_rows = _as(pack.rows(dy), real)
    c = tape.arrays["c"]
    i_f_o_g = _as(tape.arrays["i_f_o_g"], real)
    h = _as(tape.arrays["h"], real)
    x_ = _as(tape.arrays["x_rows"], real)
    stretch = pack.stretch(512)
    da_i_da_f_da_o_da_g = np.empty((stretch * batch, 4*H), real)
    dx_ = np.empty((pack.size, D), real)
    dh_back = np.zeros((2 * batch, H), real)
    dc_via = np.zeros((2 * batch, H), real)
    U_i = params.stack("U_i", "U_i")
    W_i = params.stack("W_i", "W_i")
    W_i_ = grads.stack("W_i", "W_i")
    U_i_ = grads.stack("U_i", "U_i")
    b_i = grads.stack("b_i", "b_i")
    dh_back[pack.last(1, 1, False)] = pack.sort(given["h"]) if "h" in given else 0
    dc_via[pack.last(1, 1, False)] = pack.sort(given["c"]) if "c" in given else 0
    counts = np.array(pack.counts, np.int64)
    starts_1 = np.array(pack.starts(1, True), np.int64)
    starts_0 = np.array(pack.starts(0, True), np.int64)
    ring_1 = np.array(pack.starts(1, False), np.int64)
    past_1_0 = _past(pack, 1, 0)

    # in C: tanh_c … db_g (27)
    _Call(
        _compiled(dtype).run_backward,
        [
            pack.size, len(pack.counts), counts, H, starts_1, c, starts_0, dy_rows, ring_1, dh_back, i_f_o_g,
            dc_via, da_i_da_f_da_o_da_g, D, U_i, W_i, dx_, x_, W_i_, h, past_1_0[0], past_1_0[1], U_i_, b_i,
            stretch, int(need_x),
        ],
        pack.size * (16*D*H + 37*H + 16*H*H),
    )()

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


def step(
    params: Mapping[str, Any], x_t: Any, state: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """One step: x_t (B, size), by name where there are several inputs, and a state as ``forward`` takes it.

    Returns y_t (B, size) and the next state. Raises ValueError or TypeError for an argument that does not fit.
    """
    inputs = {"x": x_t} if type(x_t) is np.ndarray else x_t
    given = {} if state is None else state
    try:
        stepper = params._steppers.pop() if isinstance(params, Params) else None
    except IndexError:  # none was made yet, or other threads have them all
        stepper = None
    if stepper is None or not stepper.fits(inputs, given):
        checked = _inputs("x_t", x_t)
        params = _params(params, checked, {}, None, state)
        (batch,) = _check_inputs(checked, ("B",), params)
        given = _check_state("state", state, batch, params)
        inputs = {name: value for name, (_, value) in checked.items()}
        if stepper is None or stepper.batch != batch:
            stepper = _stepper(params, batch)
    for name, place in stepper.inputs:
        place[...] = inputs[name]
    for name, place, start in stepper.states:
        place[...] = given.get(name, start)
    results = stepper.run()
    params._steppers.append(stepper)
    return results


class _Stepper(NamedTuple):
    """What ``step`` keeps from call to call for ``batch`` samples, as to find memory takes longer than a small step:
    where it copies the inputs and states to, each with its start, and ``run``, which returns copies of its results.

    It belongs to one call at a time. It refers to the parameters, which may change in place, and not to their Params.
    """

    batch: int
    dtype: Any
    expected: tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]
    inputs: list[tuple[str, Any]]
    states: list[tuple[str, Any, Any]]
    run: Callable[[], tuple[Any, dict[str, Any]]]

    def fits(self, inputs: Any, states: Any) -> bool:
        """Whether these are dicts of plain arrays, all of the shapes and the type that are expected. If not, it takes
        thorough checks to say what is wrong, if anything is."""
        if type(inputs) is not dict or type(states) is not dict or len(inputs) != len(INPUTS):
            return False
        for arrays, shapes in zip((inputs, states), self.expected):
            for name, value in arrays.items():
                if type(value) is not np.ndarray or value.dtype != self.dtype or value.shape != shapes.get(name):
                    return False
        return True


def _stepper(params: Params, batch: int) -> _Stepper:
    """The memory for one step of so many samples."""
    own, dtype, real = [params.flat], params.flat.dtype, _real(params.flat.dtype)
    params = _cast(params, real)
    D = params.sizes["D"]
    H = params.sizes["H"]

    x_t_ = np.empty((batch, D), real)
    a_i_in_to_a_g_in = np.empty((batch, 4*H), real)
    i_f_o_g = np.empty((batch, 4*H), real)
    c = np.empty((batch, H), real)
    h = np.empty((batch, H), real)
    W_i = params.stack("W_i", "W_i")
    b_i = params.stack("b_i", "b_i")
    b_f = params.stack("b_f", "b_f")
    b_g = params.stack("b_g", "b_g")
    b_o = params.stack("b_o", "b_o")
    U_i = params.stack("U_i", "U_i")
    h_before = np.empty((1, batch, H), real)
    c_before = np.empty((1, batch, H), real)
    h_t1 = h_before[0]
    c_t1 = c_before[0]
    run_step = _Call(
        _compiled(dtype).run_step,
        [
            batch, W_i, D, H, a_i_in_to_a_g_in, x_t_, b_i, b_f, b_g, b_o, U_i, i_f_o_g, h_t1, c_t1, c, h,
        ],
        batch * (8*D*H + 62*H + 8*H*H),
    )

    def run() -> tuple[Any, dict[str, Any]]:
        # in C: W_i_x … h (23)
        run_step()

        state = {
            "h": h.copy(),
            "c": c.copy(),
        }
        return h.copy(), state

    inputs = [
        ("x", x_t_),
    ]
    states = [
        ("h", h_before[0], 0),
        ("c", c_before[0], 0),
    ]
    expected = (
        {name: (batch, *params.shapes[name]) for name in INPUTS},
        {name: (batch, *params.shapes[name]) for name in STATES},
    )
    if real != dtype:
        run = _narrowed(run, list(zip([params.flat], own)), dtype)
    return _Stepper(batch, dtype, expected, inputs, states, run)


def _narrowed(run: Callable[[], Any], copies: list[tuple[Any, Any]], dtype: Any) -> Callable[[], Any]:
    """``run``, which reads ``copies`` of arrays in the type that it computes in, with results of another type."""

    @np.errstate(all="ignore")
    def narrowed() -> tuple[Any, dict[str, Any]]:
        for wide, own in copies:
            _copy(wide, own)
        y, state = run()
        return y.astype(dtype), {name: value.astype(dtype) for name, value in state.items()}

    return narrowed


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
) -> tuple[Any, dict[str, Any], Checkpoints | None]:
    """``forward`` piece by piece, each from the states that the one before it left."""
    shape = _shape(("H",), params.sizes)
    y = np.empty((*tape.lead, *shape), tape.dtype)
    state = {name: value.astype(_real(tape.dtype)) for name, value in state.items()}
    for number in range(max(1, -(-tape.steps // tape.every))):
        if keep_tape:
            tape.starts.append(state)
        where, inputs, pack = tape.piece(number)
        rows, state, _ = _forward_sweep(params, inputs, state, pack, False)
        y[where] = pack.sequence(_as(rows, tape.dtype), shape, False)
    return y, {name: _as(value, tape.dtype) for name, value in state.items()}, tape if keep_tape else None


def _backward_pieces(
    params: Params, tape: Checkpoints, dy: Any, dstate: dict[str, Any], need_x: bool
) -> tuple[Params, dict[str, Any], dict[str, Any]]:
    """``backward`` piece by piece, from the last one on."""
    grads = Params(np.zeros(params.flat.shape, _real(tape.dtype)), params.sizes)
    dx = {name: np.empty(x.shape, tape.dtype) for name, x in tape.inputs.items()} if need_x else {}
    for number in reversed(range(len(tape.starts))):
        dstate = _backward_piece(params, tape, number, dy, dstate, grads, dx)
    return grads, dx, dstate


def _backward_piece(
    params: Params, tape: Checkpoints, number: int, dy: Any, dstate: dict[str, Any], grads: Params, dx: dict[str, Any]
) -> dict[str, Any]:
    """Run a piece again, this time with a tape, and go back through it: adds to ``grads``, fills its part of ``dx``."""
    where, inputs, pack = tape.piece(number)
    _, _, taped = _forward_sweep(params, inputs, tape.starts[number], pack, True)
    more, parts, dstate = _backward_sweep(params, taped, dy[where], dstate, bool(dx))
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
    some = min(steps, max(1, 512 // max(batch, 1))) * batch
    rows = steps * batch
    untaped = real * (batch * 7*H + some * 4*H) + 488 * steps
    untaped += real * (31*D + 4*D*H + 31*H + 4*H*H)
    taped = real * (rows * 6*H + batch * 2*H + some * 4*H) + 488 * steps
    taped += real * (31*D + 4*D*H + 31*H + 4*H*H)
    back = item * (rows * 5*H + batch * H) + 1016 * steps
    back += real * (rows * H + batch * 5*H + some * 4*H)
    back += real * (4*D*H + 1272*H + 4*H*H)
    if item < 4:
        untaped += real * (rows * (D + H) + batch * H)
        untaped += real * (4*D*H + 4*H + 4*H*H)
        taped += item * (rows * (D + 5*H) + batch * H)
        taped += real * (rows * D)
        taped += real * (4*D*H + 4*H + 4*H*H)
        back += real * (rows * (2*D + 6*H) + batch * H)
        back += real * (8*D*H + 8*H + 8*H*H)
    if uneven:
        untaped += rows * (real * (D + H) + 8)
        taped += rows * (real * D + 8)
        back += rows * (real * (2*D + 2*H) + 16)
    return untaped, taped, back


def _kind(value: Any) -> str:
    """The name of a value's type, with its package where that is not Python's own: ``numpy.ndarray``."""
    package = type(value).__module__.partition(".")[0]
    return type(value).__name__ if package == "builtins" else f"{package}.{type(value).__name__}"


def _array(name: str, value: Any, lead: tuple[int | str, ...], shape: tuple[int, ...], dtype: Any) -> Any:
    """``value`` if it is an array of the shape (*lead, *shape), where letters as ``lead`` stand for any lengths, and of
    this type (None: of any)."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {_kind(value)}")
    free = lead[:1] in (("T",), ("B",))
    if value.shape != (*(value.shape[: len(lead)] if free else lead), *shape):
        wanted = str((*lead, *shape)).replace("'", "")
        raise ValueError(f"{name}: expected the shape {wanted}, got {tuple(value.shape)}")
    if dtype is not None and value.dtype != dtype:
        raise TypeError(f"{name}: expected {dtype}, the type of the parameters, got {value.dtype}")
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
    flat = _buffer(sum(math.prod(_shape(shape, found)) for shape in PARAMS.values()), kind)
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
        found[name] = np.ascontiguousarray(value)[None]
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
        return np.asarray(lengths)
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


def _threads(work: int = 1 << 62) -> int:
    """How many threads a call of so many operations runs on: ``$SYMCELL_NUM_THREADS``, else ``$OMP_NUM_THREADS`` (the
    first number of its list), else the processors that this process may use; fewer where there is little to do."""
    worth = 1 + work // 4_000_000  # a thread takes about as long to begin
    return worth if worth == 1 else min(worth, _processors())


def _processors() -> int:
    """The number of threads that the environment asks for, else of processors. Raises ValueError for a variable that is
    no such number."""
    for variable in ("SYMCELL_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable)
        if value:
            number = value.partition(",")[0].strip() if variable == "OMP_NUM_THREADS" else value.strip()
            if not (number.isdecimal() and len(number) < 10 and int(number)):
                raise ValueError(f"{variable} is {value!r}, expected a number of threads, 1 or more")
            return int(number)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Call:
    """``int function(long long *record, long long threads)`` with its record: ``members`` are numbers and arrays, of
    which C gets the addresses (zero for None). ``work``: how many operations it takes, about.

    It runs without the interpreter's lock, any number of times: the arrays are kept.
    """

    def __init__(self, function: Any, members: Sequence[Any], work: int) -> None:
        self._function, self._members, self._work = function, members, work
        self._record = array.array("q", [_at(m) if m is None or isinstance(m, np.ndarray) else m for m in members])
        self._address = self._record.buffer_info()[0]

    def __call__(self) -> None:
        if self._function(self._address, _threads(self._work)):
            raise MemoryError(f"{_CELL}: there is no memory for {self._function.__name__}'s work")


def _at(numbers: Any) -> int:
    """Where an array's numbers lie; zero for None."""
    if numbers is None:
        return 0
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(numbers))  # several times as quick, where it can be had
    except (TypeError, ValueError):  # read-only, or empty
        return numbers.__array_interface__["data"][0]


def _compiled(dtype: Any) -> ctypes.CDLL:
    """The C functions for parameters of one type."""
    return _library({"float32": "float", "float64": "double"}.get(dtype.name, dtype.name))


def _copy(to: np.ndarray, array: np.ndarray) -> None:
    """Copies numbers of 16 bits into an array of float32, or back: several times as quick as NumPy has float16."""
    if not (to.flags.c_contiguous and array.flags.c_contiguous):
        to[...] = array
    elif to.itemsize > array.itemsize:
        _Call(_compiled(array.dtype).widen, [array, to, to.size], to.size)()
    else:
        _Call(_compiled(to.dtype).narrow, [to, array, to.size], to.size)()


def _past(pack: Packing, depth: int, shift: int) -> tuple[int, Any]:
    """The rows of slot t + ``shift`` of all steps: from which on they follow each other, or an index of them."""
    found = pack.past(depth, shift)
    return (found.start, None) if isinstance(found, slice) else (0, found)


FUNCTIONS = ("run_forward", "run_backward", "run_step")
SOURCE_C = r"""
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined __clang__  // it warns of each loop that it was asked to vectorise and could not
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

#include <pthread.h>
#include <sched.h>

/* A team: the threads of one call. The caller is member 0; the others are made for the call and joined before it
   returns, so that nothing is left behind for a fork or for another call to trip over. */
enum { MOST_MEMBERS = 256 };

struct team;

struct member {
    long long number, count;
    struct team *team;
};

struct team {
    void (*part)(void *record, struct member *me);
    void *record;
    int failing;                                   /* somebody has failed by now */
    int failed;                                    /* somebody had failed at the last meeting */
    __attribute__((aligned(64))) long long count;  /* 0 until it is known: the gate that new members wait at */
    __attribute__((aligned(64))) long long arrived;
    __attribute__((aligned(64))) long long meetings;
};

/* Waits until *place is no longer value: a short while awake, then behind whoever else wants the processor. */
static void wait_while(long long *place, long long value) {
    for (int tries = 0; __atomic_load_n(place, __ATOMIC_ACQUIRE) == value;) {
        if (tries == 200) {
            sched_yield();
            continue;
        }
        ++tries;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb");
#endif
    }
}

/* Nobody leaves before all have come; what any member wrote before is then seen by all. */
__attribute__((unused)) static void meet(struct member *me) {
    struct team *team = me->team;
    if (me->count == 1) return;
    const long long meetings = __atomic_load_n(&team->meetings, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) < me->count) {
        wait_while(&team->meetings, meetings);
        return;
    }
    team->failed = __atomic_load_n(&team->failing, __ATOMIC_RELAXED);
    __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&team->meetings, meetings + 1, __ATOMIC_RELEASE);
}

/* Makes the call fail. Who fails goes on to the next meeting, where the others wait. */
__attribute__((unused)) static void fail(struct member *me) {
    __atomic_store_n(&me->team->failing, 1, __ATOMIC_RELAXED);
}

/* Whether somebody failed before the last meeting: the same for all members, so that all may return together. */
__attribute__((unused)) static int failed(const struct member *me) {
    return me->count == 1 ? __atomic_load_n(&me->team->failing, __ATOMIC_RELAXED) : me->team->failed;
}

static void *take_part(void *argument) {
    struct member *me = argument;
    wait_while(&me->team->count, 0);
    me->count = __atomic_load_n(&me->team->count, __ATOMIC_RELAXED);
    me->team->part(me->team->record, me);
    return 0;
}

/* Runs part on as many threads as asked for, on fewer where the system gives no more; nonzero when a member failed. */
static int run_team(void (*part)(void *record, struct member *me), void *record, long long threads) {
    struct team team = {.part = part, .record = record};
    struct member members[MOST_MEMBERS];
    pthread_t others[MOST_MEMBERS];
    long long count = 1;
    members[0] = (struct member){.number = 0, .team = &team};
    for (; count < threads && count < MOST_MEMBERS; ++count) {
        members[count] = (struct member){.number = count, .team = &team};
        if (pthread_create(&others[count], 0, take_part, &members[count])) break;
    }
    __atomic_store_n(&team.count, count, __ATOMIC_RELEASE);
    take_part(&members[0]);
    for (long long k = 1; k < count; ++k) pthread_join(others[k], 0);
    return team.failing;
}

/* Vectors as wide as the processor's registers; `vector` in registers, `vector_at` in memory, aligned like a number. */
#if defined __AVX512F__
#define VECTOR_BYTES 64
#elif defined __AVX__
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#if defined __AVX512F__ || defined __aarch64__
#define MANY_REGISTERS 1  /* 32 vector registers, not 16 */
#else
#define MANY_REGISTERS 0
#endif
#define LANES ((int)(VECTOR_BYTES / sizeof(real)))
#define MAY_BE_UNUSED __attribute__((unused))
#define INLINE static inline __attribute__((always_inline, unused))
#define PRAGMA(text) _Pragma(#text)
#if defined __clang__
#define UNROLL(times) PRAGMA(unroll)
#else
#define UNROLL(times) PRAGMA(GCC unroll times)
#endif
typedef real vector __attribute__((vector_size(VECTOR_BYTES)));
typedef real vector_at __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

INLINE vector load(const real *from) { return *(const vector_at *)from; }
INLINE void store(real *to, vector value) { *(vector_at *)to = value; }
INLINE long long smaller(long long a, long long b) { return a < b ? a : b; }

/* Where arrays are of 16 bits (STORED_FLOAT16 or STORED_BFLOAT16 is defined, and real is float), what products and sums
 * read is rounded to that type: to the nearest number, of two the even one; what is too large is infinite. */
#if defined STORED_FLOAT16 || defined STORED_BFLOAT16
#define ROUNDS 1
typedef uint32_t words __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t signs __attribute__((vector_size(VECTOR_BYTES)));

/* some where the lanes of `which` are -1, else other */
INLINE words either(signs which, words some, words other) { return ((words)which & some) | (~(words)which & other); }

#ifdef STORED_FLOAT16
#define CUT 13  /* bits of the fraction that the type does not have */
#define LEAST 0x38800000  /* the least number of full precision, 2^-14, and the largest number, 65504 */
#define LARGEST 0x477fe000
#else
#define CUT 16
#endif

INLINE vector as_stored(vector value) {
    const words bits = (words)value, size = bits & 0x7fffffffu;
    words found = (size + ((1u << (CUT - 1)) - 1) + (size >> CUT & 1)) & ~((1u << CUT) - 1);
#ifdef STORED_FLOAT16
    found = either((signs)found > LARGEST, (words){0} + 0x7f800000u, found);
    found = either((signs)size < LEAST, (words)((vector)size + 0.5f - 0.5f), found);  /* a multiple of 2^-24 */
#endif
    found = either((signs)size > 0x7f800000, size | 0x400000u, found);  /* not a number, and its bits are not all cut */
    return (vector)(found | (bits ^ size));
}

/* The same for one number: loops over these become vectors. */
INLINE real number_as_stored(real value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t size = bits & 0x7fffffffu;
    uint32_t found = (size + ((1u << (CUT - 1)) - 1) + (size >> CUT & 1)) & ~((1u << CUT) - 1);
#ifdef STORED_FLOAT16
    found = found > LARGEST ? 0x7f800000u : found;
    real small;
    memcpy(&small, &size, sizeof small);
    small = small + 0.5f - 0.5f;
    uint32_t multiple;
    memcpy(&multiple, &small, sizeof multiple);
    found = size < LEAST ? multiple : found;
#endif
    found = (size > 0x7f800000u ? size | 0x400000u : found) | (bits ^ size);
    memcpy(&value, &found, sizeof value);
    return value;
}

MAY_BE_UNUSED static void round_row(real *numbers, long long count) {
    long long n = 0;
    for (; n + LANES <= count; n += LANES) store(numbers + n, as_stored(load(numbers + n)));
    for (; n < count; n++) numbers[n] = number_as_stored(numbers[n]);
}

MAY_BE_UNUSED static void round_rows(real *numbers, long long stride, long long rows, long long count) {
    for (long long r = 0; r < rows; r++) round_row(numbers + r * stride, count);
}
#else
#define ROUNDS 0
#define as_stored(value) (value)
#define number_as_stored(value) (value)
#define round_row(numbers, count) ((void)0)
#define round_rows(numbers, stride, rows, count) ((void)0)
#endif

/* Matrix products. All strides and counts are in numbers of type real.
 *
 * A tile of TILE_ROWS x TILE_COLUMNS sums stays in registers while BLOCK terms are added, in their order;
 * then it is added to the output. So a number does not depend on how rows or columns are shared out among calls.
 * One packed panel (BLOCK x TILE_COLUMNS) fits the level-1 cache, CHUNK_ROWS rows of the left the level-2 cache. */
#if MANY_REGISTERS
#define TILE_ROWS 12
#elif defined __AVX__
#define TILE_ROWS 6
#else
#define TILE_ROWS 4
#endif
#define TILE_COLUMNS (2 * LANES)
#define BLOCK 256
#define CHUNK_ROWS 96
#define LEFT_STRIDE (BLOCK + 64 / (int)sizeof(real))  /* no power of two: rows would share few sets of the cache */
#define MOST_PANELS 4
#define FEW_ROWS 3  /* so few rows take several panels at once: one panel's chains alone would wait for each other */

#define EACH_ROW UNROLL(16) for (int r = 0; r < height; r++)
#define EACH_VECTOR UNROLL(8) for (int v = 0; v < 2 * wide; v++)

MAY_BE_UNUSED static long long panels(long long columns) { return (columns + TILE_COLUMNS - 1) / TILE_COLUMNS; }

MAY_BE_UNUSED static long long packed_size(long long inner, long long columns) {
    return panels(columns) * TILE_COLUMNS * inner;
}

/* to[k][j] = from[k * inner_stride + j * column_stride] for j < width, zero behind; to has TILE_COLUMNS columns. */
static void pack_panel(real *to, const real *from, long long inner_stride, long long column_stride, long long inner,
                       long long width) {
    if (width < TILE_COLUMNS)
        for (long long n = 0; n < inner * TILE_COLUMNS; n++) to[n] = 0;
    if (column_stride == 1 && width == TILE_COLUMNS)
        for (long long k = 0; k < inner; k++)
            for (int v = 0; v < TILE_COLUMNS; v += LANES)
                store(to + k * TILE_COLUMNS + v, load(from + k * inner_stride + v));
    else
        for (long long start = 0; start < inner; start += 16) {  /* a cache line of each column, while it is there */
            const long long stop = smaller(start + 16, inner);
            for (long long j = 0; j < width; j++)
                for (long long k = start; k < stop; k++)
                    to[k * TILE_COLUMNS + j] = from[k * inner_stride + j * column_stride];
        }
}

/* to[panel][k][j] = from[k * inner_stride + (panel * TILE_COLUMNS + j) * column_stride], zero behind the last column;
 * panels first..last-1 only, so that threads can share the work. */
MAY_BE_UNUSED static void pack(real *to, const real *from, long long inner_stride, long long column_stride,
                               long long inner, long long columns, long long first, long long last) {
    for (long long p = first; p < last; p++)
        pack_panel(to + p * TILE_COLUMNS * inner, from + p * TILE_COLUMNS * column_stride, inner_stride, column_stride,
                   inner, smaller(columns - p * TILE_COLUMNS, TILE_COLUMNS));
}

/* One tile: out[r][n] (+)= sum over k of left[r * left_stride + k * left_step] * right[k * right_step + n], where a
 * panel of TILE_COLUMNS columns follows the one before it at panel_stride. height and wide (panels) are constants to
 * the compiler; of the tile rows x columns numbers are written. */
INLINE void tile(real *out, long long out_stride, const real *left, long long left_stride, long long left_step,
                 const real *right, long long right_step, long long panel_stride, long long inner, long long rows,
                 long long columns, int accumulate, const char *ahead, long long ahead_step, const int height,
                 const int wide) {
    vector sum[TILE_ROWS][2 * MOST_PANELS], terms[2 * MOST_PANELS];
    EACH_ROW EACH_VECTOR {
        sum[r][v] = (vector){0};
        if (height > FEW_ROWS) __builtin_prefetch(out + r * out_stride + v * LANES, 1);
    }
    for (long long k = 0; k < inner; k++, left += left_step, right += right_step) {
        EACH_VECTOR terms[v] = load(right + v / 2 * panel_stride + v % 2 * LANES);
        EACH_ROW EACH_VECTOR sum[r][v] += left[r * left_stride] * terms[v];
        if (height > FEW_ROWS) __builtin_prefetch(ahead + k * ahead_step, 0, 2);
    }
    if (rows == height && columns >= wide * TILE_COLUMNS) {
        if (accumulate)
            EACH_ROW EACH_VECTOR store(out + r * out_stride + v * LANES,
                                       load(out + r * out_stride + v * LANES) + sum[r][v]);
        else
            EACH_ROW EACH_VECTOR store(out + r * out_stride + v * LANES, sum[r][v]);
        return;
    }
    real part[TILE_ROWS][2 * MOST_PANELS * LANES];
    EACH_ROW EACH_VECTOR store(&part[r][v * LANES], sum[r][v]);
    for (long long r = 0; r < rows; r++)
        for (long long n = 0; n < smaller(columns, wide * TILE_COLUMNS); n++)
            out[r * out_stride + n] = accumulate ? out[r * out_stride + n] + part[r][n] : part[r][n];
}

/* Up to TILE_ROWS rows times `wide` panels (more than one for few rows only): the kernel of that size. */
#define TILE(height, wide)                                                                                             \
    case height + 16 * wide:                                                                                           \
        tile(out, out_stride, left, left_stride, 1, right, right_step, panel_stride, inner, height, columns,           \
             accumulate, ahead, ahead_step, height, wide);                                                             \
        return;
static __attribute__((noinline)) void tile_of_rows(real *out, long long out_stride,
                                                   const real *left, long long left_stride,
                                                   const real *right, long long right_step, long long panel_stride,
                                                   long long inner, long long rows, long long columns, int accumulate,
                                                   const char *ahead, long long ahead_step, int wide) {
    switch (rows + 16 * wide) {
        TILE(1, 1) TILE(1, 2) TILE(1, 4) TILE(2, 1) TILE(2, 2) TILE(3, 1) TILE(3, 2)
#if MANY_REGISTERS
        TILE(2, 4)
#endif
    default: break;
    }
    left_stride = LEFT_STRIDE;  /* more than FEW_ROWS: from a copy, at a distance that the compiler knows */
    switch (rows + 16 * wide) {
        TILE(4, 1)
#if TILE_ROWS > 4
        TILE(5, 1) TILE(6, 1)
#endif
#if TILE_ROWS > 6
        TILE(7, 1) TILE(8, 1) TILE(9, 1) TILE(10, 1) TILE(11, 1) TILE(12, 1)
#endif
    default: break;
    }
}
#undef TILE

/* How many of the panels left so few rows take at once, so that enough sums are under way. */
static int panels_at_once(long long rows, long long left) {
    if (rows > FEW_ROWS || left < 2) return 1;
    return left >= 4 && rows <= (MANY_REGISTERS ? 2 : 1) ? 4 : 2;
}

/* Panels next to one another at panel_stride, at most CHUNK_ROWS rows and BLOCK terms; tiles of about as many rows. */
static void multiply_block(real *out, long long out_stride, const real *left, long long left_stride, const real *right,
                           long long right_step, long long panel_stride, long long rows, long long inner,
                           long long columns, int accumulate) {
    const long long tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const long long step = panel_stride ? (long long)sizeof(real) * TILE_COLUMNS / tiles : 0;
    int wide;
    for (long long n = 0; n < columns; n += wide * TILE_COLUMNS, right += wide * panel_stride) {
        wide = panels_at_once(rows, panels(columns - n));
        const char *next = (const char *)(right + panel_stride);
        for (long long t = 0, r = 0, height; t < tiles; t++, r += height) {
            height = (rows - r + tiles - t - 1) / (tiles - t);
            tile_of_rows(out + r * out_stride + n, out_stride, left + r * left_stride, left_stride, right, right_step,
                         panel_stride, inner, height, columns - n, accumulate, next + t * inner * step, step, wide);
        }
    }
}

static void clear(real *out, long long out_stride, long long rows, long long columns) {
    for (long long r = 0; r < rows; r++)
        for (long long n = 0; n < columns; n++) out[r * out_stride + n] = 0;
}

/* Rows at LEFT_STRIDE, rounded where arrays are of 16 bits. */
INLINE void copy_rows(real *copy, const real *left, long long left_stride, long long height, long long terms) {
    for (long long r = 0; r < height; r++) {
        memcpy(copy + r * LEFT_STRIDE, left + r * left_stride, terms * sizeof(real));
        round_row(copy + r * LEFT_STRIDE, terms);
    }
}

/* Rows and terms cut into chunks and blocks; what a block reads of the left side is copied where many rows share it,
 * or where it is rounded.
 * Of panels that are packed, packed_step is TILE_COLUMNS; else (0) they are packed here, block by block, but whole
 * panels whose columns lie next to each other are read where they are. */
static void multiply_chunks(real *out, long long out_stride, const real *left, long long left_stride,
                            const real *matrix, long long inner_stride, long long column_stride, int packed,
                            long long rows, long long inner, long long columns, int accumulate) {
    if (inner <= 0 && !accumulate) clear(out, out_stride, rows, columns);
    real copy[CHUNK_ROWS * LEFT_STRIDE] __attribute__((aligned(64)));
    real panel[BLOCK * TILE_COLUMNS] __attribute__((aligned(64)));
    const long long whole = packed ? columns : column_stride == 1 ? columns / TILE_COLUMNS * TILE_COLUMNS : 0;
    for (long long first = 0; first < rows; first += CHUNK_ROWS)
        for (long long k = 0; k < inner; k += BLOCK) {
            const long long height = smaller(rows - first, CHUNK_ROWS), terms = smaller(inner - k, BLOCK);
            const real *block = left + first * left_stride + k;
            long long block_stride = left_stride;
            if (ROUNDS || height > FEW_ROWS) {
                copy_rows(copy, block, left_stride, height, terms);
                block = copy, block_stride = LEFT_STRIDE;
            }
            real *const to = out + first * out_stride;
            multiply_block(to, out_stride, block, block_stride, matrix + k * inner_stride, inner_stride,
                           packed ? inner * TILE_COLUMNS : TILE_COLUMNS, height, terms, whole, accumulate || k > 0);
            for (long long n = whole; n < columns; n += TILE_COLUMNS) {
                const long long width = smaller(columns - n, TILE_COLUMNS);
                pack_panel(panel, matrix + k * inner_stride + n * column_stride, inner_stride, column_stride, terms,
                           width);
                multiply_block(to + n, out_stride, block, block_stride, panel, TILE_COLUMNS, 0, height, terms, width,
                               accumulate || k > 0);
            }
        }
}

/* out[r][n] (+)= sum over k of left[r][k] * packed[k][n] */
MAY_BE_UNUSED static void multiply(real *out, long long out_stride, const real *left, long long left_stride,
                                   const real *packed, long long rows, long long inner, long long columns,
                                   int accumulate) {
    multiply_chunks(out, out_stride, left, left_stride, packed, TILE_COLUMNS, 1, 1, rows, inner, columns, accumulate);
}

/* Products with a matrix as it lies, for few rows: columns whose terms lie side by side are summed a register at a
 * time, DOT_ROWS rows and four columns at once; whatever the rows are cut into, a number is summed in one order. */
#define DOT_ROWS (MANY_REGISTERS ? 4 : 2)

/* Each four numbers of a register that follow each other (doubles: two) are a part. halves(a, b) adds neighbours within
 * parts: those of a, then those of b (doubles: a part has one of each). */
#if REAL_IS_FLOAT
typedef int order __attribute__((vector_size(VECTOR_BYTES)));
#if VECTOR_BYTES == 64
#define EVEN 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30
#define ODD 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31
#elif VECTOR_BYTES == 32
#define EVEN 0, 2, 8, 10, 4, 6, 12, 14
#define ODD 1, 3, 9, 11, 5, 7, 13, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#endif
#else
typedef long long order __attribute__((vector_size(VECTOR_BYTES)));
#if VECTOR_BYTES == 64
#define EVEN 0, 8, 2, 10, 4, 12, 6, 14
#define ODD 1, 9, 3, 11, 5, 13, 7, 15
#elif VECTOR_BYTES == 32
#define EVEN 0, 4, 2, 6
#define ODD 1, 5, 3, 7
#else
#define EVEN 0, 2
#define ODD 1, 3
#endif
#endif
#if defined __clang__ || __GNUC__ >= 12
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, ...) __builtin_shuffle(a, b, (order){__VA_ARGS__})
#endif
INLINE vector halves(vector a, vector b) { return PICK(a, b, EVEN) + PICK(a, b, ODD); }

typedef real part __attribute__((vector_size(16)));
typedef real part_at __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
#define PART (16 / (int)sizeof(real))

/* The sum of a register's parts. */
INLINE part parts(vector value) {
    union {
        vector whole;
        part each[VECTOR_BYTES / 16];
    } both = {value};
#if VECTOR_BYTES == 64
    return (both.each[0] + both.each[2]) + (both.each[1] + both.each[3]);
#elif VECTOR_BYTES == 32
    return both.each[0] + both.each[1];
#else
    return both.each[0];
#endif
}

/* to[n] (+)= the sum of the numbers of sum[n], n < 4. */
INLINE void four_totals(real *to, const vector *sum, int accumulate) {
    vector first = halves(sum[0], sum[1]), second = halves(sum[2], sum[3]);
    if (PART == 4) first = halves(first, second);
    UNROLL(2) for (int n = 0; n < 4 / PART; n++) {
        part found = parts(n ? second : first);
        part_at *at = (part_at *)(to + n * PART);
        *at = accumulate ? (part)*at + found : found;
    }
}

/* Dot products of `height` rows with `width` columns, both constants to the compiler, whose terms lie side by side. */
INLINE void dots(real *out, long long out_stride, const real *left, long long left_stride, const real *matrix,
                 long long column_stride, long long inner, int accumulate, const int height, const int width) {
    vector sum[DOT_ROWS][8];
    const long long even = inner / LANES * LANES;
    UNROLL(4) for (int r = 0; r < height; r++)
        UNROLL(8) for (int n = 0; n < width; n++) sum[r][n] = (vector){0};
    for (long long k = 0; k < even; k += LANES)
        UNROLL(8) for (int n = 0; n < width; n++) {
            const vector terms = load(matrix + n * column_stride + k);
            UNROLL(4) for (int r = 0; r < height; r++) sum[r][n] += load(left + r * left_stride + k) * terms;
        }
    UNROLL(4) for (int r = 0; r < height; r++) {
        real *to = out + r * out_stride;
        if (width == 1) {
            vector all[4] = {sum[r][0], {0}, {0}, {0}};
            real totals[4];
            four_totals(totals, all, 0);
            to[0] = accumulate ? to[0] + totals[0] : totals[0];
        } else
            UNROLL(2) for (int n = 0; n < width; n += 4) four_totals(to + n, sum[r] + n, accumulate);
        for (long long k = even; k < inner; k++)
            UNROLL(8) for (int n = 0; n < width; n++)
                to[n] += left[r * left_stride + k] * matrix[n * column_stride + k];
    }
}

#define DOTS(height, width)                                                                                            \
    dots(out + r * out_stride + n, out_stride, left + r * left_stride, left_stride, matrix + n * column_stride,        \
         column_stride, inner, accumulate, height, width)
#define DOTS_OF_ROWS(width)                                                                                            \
    for (; r + DOT_ROWS <= rows; r += DOT_ROWS) DOTS(DOT_ROWS, width);                                                 \
    if (DOT_ROWS > 2 && r + 2 <= rows) {                                                                               \
        DOTS(2, width);                                                                                                \
        r += 2;                                                                                                        \
    }                                                                                                                  \
    if (r < rows) DOTS(1, width)
static void multiply_dots(real *out, long long out_stride, const real *left, long long left_stride, const real *matrix,
                          long long column_stride, long long rows, long long inner, long long columns, int accumulate) {
    long long n = 0;
    if (rows == 1)
        for (const long long r = 0; n + 8 <= columns; n += 8) DOTS(1, 8);
    for (; n + 4 <= columns; n += 4) {
        long long r = 0;
        DOTS_OF_ROWS(4);
    }
    for (; n < columns; n++) {
        long long r = 0;
        DOTS_OF_ROWS(1);
    }
}
#undef DOTS
#undef DOTS_OF_ROWS

#if ROUNDS
/* The same with rounded rows, which are copied chunk by chunk. */
static void multiply_rounded_dots(real *out, long long out_stride, const real *left, long long left_stride,
                                  const real *matrix, long long column_stride, long long rows, long long inner,
                                  long long columns, int accumulate) {
    real copy[CHUNK_ROWS * LEFT_STRIDE] __attribute__((aligned(64)));
    for (long long first = 0; first < rows; first += CHUNK_ROWS)
        for (long long k = 0; k < inner; k += BLOCK) {
            const long long height = smaller(rows - first, CHUNK_ROWS), terms = smaller(inner - k, BLOCK);
            copy_rows(copy, left + first * left_stride + k, left_stride, height, terms);
            multiply_dots(out + first * out_stride, out_stride, copy, LEFT_STRIDE, matrix + k, column_stride, height,
                          terms, columns, accumulate || k > 0);
        }
}
#endif

/* out[r][n] (+)= sum over k of left[r][k] * matrix[k * inner_stride + n * column_stride], for up to
 * some dozens of rows: nothing is packed but what lies across both ways, and columns behind the last whole panel. */
MAY_BE_UNUSED static void multiply_plain(real *out, long long out_stride, const real *left, long long left_stride,
                                         const real *matrix, long long inner_stride, long long column_stride,
                                         long long rows, long long inner, long long columns, int accumulate) {
    if (inner_stride == 1 && inner > 1)
#if ROUNDS
        multiply_rounded_dots(out, out_stride, left, left_stride, matrix, column_stride, rows, inner, columns,
                              accumulate);
#else
        multiply_dots(out, out_stride, left, left_stride, matrix, column_stride, rows, inner, columns, accumulate);
#endif
    else
        multiply_chunks(out, out_stride, left, left_stride, matrix, inner_stride, column_stride, 0, rows, inner,
                        columns, accumulate);
}

/* Gradients and sums over all rows. */

INLINE const real *row_of(const real *base, long long stride, const long long *index, long long r) {
    return base + (index ? index[r] : r) * stride;
}

/* to[r][j] = from[row r][j], rounded where arrays are of 16 bits, for j < width, zero behind; to has `wide` columns (a
 * constant to the compiler). */
INLINE void gather(real *to, const real *from, long long stride, const long long *index, long long first,
                   long long rows, long long width, const int wide) {
    real *at = to;
    for (long long r = 0; r < rows; r++, at += wide) {
        const real *row = row_of(from, stride, index, first + r);
        if (width >= wide)
            memcpy(at, row, wide * sizeof(real));
        else
            for (long long j = 0; j < wide; j++) at[j] = j < width ? row[j] : 0;
    }
    round_row(to, rows * wide);
}

static void gradient_tile(real *out, long long out_stride, const real *left, const real *right, long long terms,
                          long long rows, long long columns, int accumulate) {
    tile(out, out_stride, left, 1, TILE_ROWS, right, TILE_COLUMNS, 0, terms, rows, columns, accumulate,
         (const char *)right, 0,
         TILE_ROWS, 1);
}

/* Numbers of type real, for each thread: BLOCK rows of its columns of the left side, and one panel of the right. */
MAY_BE_UNUSED static long long gradient_scratch(long long count, long long columns) {
    (void)columns;
    return BLOCK * (TILE_COLUMNS + (count + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS);
}

/* out[i][j] (+)= sum over r < rows of left[row_l(r)][i] * right[row_r(r)][j], first <= i < last;
 * row_x(r) = index_x[r + first_x], or r + first_x. */
MAY_BE_UNUSED static void gradient(real *out, long long out_stride, const real *left, long long left_stride,
                                   const long long *left_index, long long left_first, const real *right,
                                   long long right_stride, const long long *right_index, long long right_first,
                                   long long rows, long long first, long long last, int accumulate, long long columns,
                                   real *scratch) {
    if (rows <= 0 && !accumulate) clear(out + first * out_stride, out_stride, last - first, columns);
    real *const panel = scratch, *const packed = scratch + BLOCK * TILE_COLUMNS;
    for (long long r = 0; r < rows; r += BLOCK) {
        const long long terms = smaller(rows - r, BLOCK);
        for (long long q = 0; q < terms; q += 16)
            for (long long i = first; i < last; i += TILE_ROWS)
                gather(packed + (i - first) * BLOCK + q * TILE_ROWS, left + i, left_stride, left_index,
                       left_first + r + q, smaller(terms - q, 16), last - i, TILE_ROWS);
        for (long long j = 0; j < columns; j += TILE_COLUMNS) {
            gather(panel, right + j, right_stride, right_index, right_first + r, terms, columns - j, TILE_COLUMNS);
            for (long long i = first; i < last; i += TILE_ROWS)
                gradient_tile(out + i * out_stride + j, out_stride, packed + (i - first) * BLOCK, panel, terms,
                              smaller(last - i, TILE_ROWS), columns - j, accumulate || r > 0);
        }
    }
}

/* A block's sums of `vectors` (a constant to the compiler) vectors of columns. */
INLINE void sum_vectors(real *out, const real *arg, long long stride, const long long *index, long long first,
                        long long rows, int accumulate, const int vectors) {
    vector sum[8];
    UNROLL(8) for (int v = 0; v < vectors; v++) sum[v] = (vector){0};
    for (long long r = first; r < first + rows; r++)
        UNROLL(8) for (int v = 0; v < vectors; v++)
            sum[v] += as_stored(load(row_of(arg, stride, index, r) + v * LANES));
    UNROLL(8) for (int v = 0; v < vectors; v++)
        store(out + v * LANES, accumulate ? load(out + v * LANES) + sum[v] : sum[v]);
}

/* out[j] (+)= sum over r < rows of arg[row(r)][j] for j in [first, last), row(r) = index[r + start], or r + start:
 * blocks of rows summed on their own, then added. */
MAY_BE_UNUSED static void sums(real *out, const real *arg, long long stride, const long long *index, long long start,
                               long long rows, long long first, long long last, int accumulate) {
    if (rows <= 0 && !accumulate) clear(out + first, 0, 1, last - first);
    for (long long r = 0; r < rows; r += BLOCK) {
        const long long from = start + r, terms = smaller(rows - r, BLOCK);
        const int more = accumulate || r > 0;
        long long j = first;
        for (; j + 8 * LANES <= last; j += 8 * LANES)
            sum_vectors(out + j, arg + j, stride, index, from, terms, more, 8);
        for (; j + LANES <= last; j += LANES) sum_vectors(out + j, arg + j, stride, index, from, terms, more, 1);
        for (; j < last; j++) {
            real sum = 0;
            for (long long s = from; s < from + terms; s++) sum += number_as_stored(row_of(arg, stride, index, s)[j]);
            out[j] = more ? out[j] + sum : sum;
        }
    }
}

enum { PIECE = 96 };  // rows in hand at a time

MAY_BE_UNUSED static long long larger(long long one, long long other) { return one > other ? one : other; }

static inline long long rounded(long long numbers) { return (numbers + 63) / 64 * 64; }

// Room for so many numbers, or NULL; aligned to a cache line.
MAY_BE_UNUSED static real *room(long long numbers) {
    return aligned_alloc(64, (size_t)rounded(numbers + 1) * sizeof(real));
}

// What one member of a team does of ``count``: from ``lo`` to ``hi``.
MAY_BE_UNUSED static void share(long long count, const struct member *me, long long *lo, long long *hi) {
    *lo = count * me->number / me->count;
    *hi = count * (me->number + 1) / me->count;
}

// The first sample such that those before it have ``wanted`` rows together.
MAY_BE_UNUSED static long long sample(const long long *counts, long long steps, long long wanted) {
    long long lo = 0, hi = steps ? counts[0] : 0;
    while (lo < hi) {
        const long long middle = (lo + hi) / 2;
        long long rows = 0;
        for (long long t = 0; t < steps; ++t) rows += smaller(counts[t], middle);
        if (rows < wanted) lo = middle + 1;
        else hi = middle;
    }
    return lo;
}

// The samples of one member, so that all have about as many rows: samples stand in order, the longest first.
MAY_BE_UNUSED static void share_samples(
    const long long *counts, long long steps, const struct member *me, long long *lo, long long *hi) {
    long long rows = 0;
    for (long long t = 0; t < steps; ++t) rows += counts[t];
    *lo = me->number ? sample(counts, steps, rows * me->number / me->count) : 0;
    *hi = steps ? counts[0] : 0;
    if (me->number + 1 < me->count) *hi = sample(counts, steps, rows * (me->number + 1) / me->count);
}

// How many stretches of so many steps there are: one at least, so that sums over nothing are zero.
MAY_BE_UNUSED static long long stretches(long long steps, long long length) {
    return steps > length ? (steps + length - 1) / length : 1;
}

// How many rows from ``first`` on are in hand next: of one step ``t``, unless every sequence is of one length.
MAY_BE_UNUSED static long long piece(
    long long uniform, const long long *offsets, long long *t, long long first, long long end) {
    const long long stop = smaller(first + PIECE, end);
    if (uniform) return stop - first;
    while (offsets[*t + 1] <= first) ++*t;
    return smaller(stop, offsets[*t + 1]) - first;
}

#if ROUNDS
/* Arrays of 16 bits as numbers to compute with, and back. */
typedef uint16_t shorts __attribute__((vector_size(VECTOR_BYTES / 2)));

INLINE vector widened(shorts bits) {
    const words both = __builtin_convertvector(bits, words);
#ifdef STORED_FLOAT16
    const words size = both & 0x7fffu, sign = (both ^ size) << 16;
    const words full = (size << 13) + 0x38000000u, infinite = full + 0x38000000u;
    words found = either((signs)full >= 0x47800000, infinite, full);
    found = either((signs)size < 0x400, (words)((vector)(size | 0x3f000000u) - 0.5f), found);
    return (vector)(found | sign);
#else
    return (vector)(both << 16);
#endif
}

/* A number that as_stored gives, in its 16 bits. */
INLINE shorts narrowed(vector value) {
    const words bits = (words)value;
#ifdef STORED_FLOAT16
    const words size = bits & 0x7fffffffu, sign = (bits ^ size) >> 16;
    words found = either((signs)size > LARGEST, (size >> 13 & 0x3ffu) | 0x7c00u, (size - 0x38000000u) >> 13);
    found = either((signs)size < LEAST, (words)((vector)size + 0.5f) - 0x3f000000u, found);
    return __builtin_convertvector(found | sign, shorts);
#else
    return __builtin_convertvector(bits >> 16, shorts);
#endif
}

struct conversion {
    uint16_t *narrow;
    real *wide;
    long long count;
};

INLINE void widen_some(const struct conversion *a, long long first, size_t count) {
    shorts bits = {0};
    memcpy(&bits, a->narrow + first, count * sizeof(uint16_t));
    const vector found = widened(bits);
    memcpy(a->wide + first, &found, count * sizeof(real));
}

INLINE void narrow_some(const struct conversion *a, long long first, size_t count) {
    vector value = {0};
    memcpy(&value, a->wide + first, count * sizeof(real));
    const shorts bits = narrowed(as_stored(value));
    memcpy(a->narrow + first, &bits, count * sizeof(uint16_t));
}

static void widen_part(void *given, struct member *me) {
    const struct conversion *a = given;
    long long n, hi;
    share(a->count, me, &n, &hi);
    for (; n + LANES <= hi; n += LANES) widen_some(a, n, LANES);
    if (n < hi) widen_some(a, n, (size_t)(hi - n));
}

static void narrow_part(void *given, struct member *me) {
    const struct conversion *a = given;
    long long n, hi;
    share(a->count, me, &n, &hi);
    for (; n + LANES <= hi; n += LANES) narrow_some(a, n, LANES);
    if (n < hi) narrow_some(a, n, (size_t)(hi - n));
}

int widen(long long *record, long long threads) { return run_team(widen_part, record, threads); }

int narrow(long long *record, long long threads) { return run_team(narrow_part, record, threads); }
#endif

/* C's own functions over real; those without a suffix are over double. */
#if defined(REAL_IS_FLOAT) && REAL_IS_FLOAT
#define copysign copysignf
#define cos cosf
#define fabs fabsf
#define floor floorf
#define fmod fmodf
#define pow powf
#define sin sinf
#define sqrt sqrtf
#else
#undef REAL_IS_FLOAT
#define REAL_IS_FLOAT 0
#endif
/* The bits of a number, which hold its exponent from bit REAL_MANTISSA on. */
#if REAL_IS_FLOAT
typedef uint32_t real_word;
enum { REAL_MANTISSA = 23, REAL_BIAS = 127 };
#else
typedef uint64_t real_word;
enum { REAL_MANTISSA = 52, REAL_BIAS = 1023 };
#endif

INLINE real_word real_bits(real v) {
    const union { real value; real_word word; } same = {.value = v};
    return same.word;
}

INLINE real real_of_bits(real_word word) {
    const union { real_word word; real value; } same = {.word = word};
    return same.value;
}
/* e^v = 4^m e^r where m is the integer nearest v / (2 log 2), so |r| <= log 2 (Cody and Waite, Software Manual for the
   Elementary Functions, 1980); two factors 2^m neither overflow nor vanish before the product does. The steps are m
   above an offset so large that no digit is left behind the point and that the lowest bits are the exponent of 2^m. */
#if REAL_IS_FLOAT
#define REAL_OFFSET 0x1.8000fep23f
#else
#define REAL_OFFSET 0x1.80000000003ffp52
#endif

INLINE real real_exp_steps(real v) { return v * (real)0.7213475204444817 + REAL_OFFSET; }

/* 2^m */
INLINE real real_exp_scale(real steps) { return real_of_bits(real_bits(steps) << REAL_MANTISSA); }

/* r; 2 log 2 is in two parts, so that m times the first is exact */
INLINE real real_exp_reduced(real v, real steps) {
    const real m = steps - REAL_OFFSET;
#if REAL_IS_FLOAT
    return v - m * 1.38629150390625f - m * 2.8572136e-6f;
#else
    return v - m * 1.3862943611197807 - m * 1.0995846037416742e-13;
#endif
}

/* e^r - 1 = r + r^2 p(r), minimax of degree 6 (2^-29 of the result) and 12 (2^-57) */
INLINE real real_exp_rest(real r) {
#if REAL_IS_FLOAT
    real p = 2.4839612e-5f;
    p = p * r + 2.0091228e-4f;
    p = p * r + 1.3889753e-3f;
    p = p * r + 8.332661e-3f;
    p = p * r + 4.1666646e-2f;
    p = p * r + 1.6666672e-1f;
    p = p * r + 0.5f;
#else
    real p = 1.1468736206783956e-11;
    p = p * r + 1.618608966923114e-10;
    p = p * r + 2.0877499537879755e-9;
    p = p * r + 2.505128576487623e-8;
    p = p * r + 2.755731342922523e-7;
    p = p * r + 2.755732184008955e-6;
    p = p * r + 2.480158731989977e-5;
    p = p * r + 1.9841269837069664e-4;
    p = p * r + 1.3888888888862515e-3;
    p = p * r + 8.333333333336428e-3;
    p = p * r + 4.1666666666666824e-2;
    p = p * r + 0.1666666666666666;
    p = p * r + 0.5;
#endif
    return r * r * p + r;
}
INLINE real real_exp(real v) {
    // between these bounds the result goes from 0 to infinity
    const real low = REAL_IS_FLOAT ? -104 : -746, high = REAL_IS_FLOAT ? 89 : 710;
    const real x = v < low ? low : v > high ? high : v;
    const real steps = real_exp_steps(x);
    const real scale = real_exp_scale(steps);
    return (real_exp_rest(real_exp_reduced(x, steps)) * scale + scale) * scale;
}
#define exp real_exp
/* v + v^3 q(v^2) where |v| < 0.55, minimax of degree 4 (2^-29) and 9 (2^-55); beyond, 1 - 2 x / (1 + x), x = e^-2|v| */
INLINE real real_tanh(real v) {
    const real x = exp(-2 * fabs(v)), far = 1 - 2 * x / (1 + x);
    const real w = v * v;
#if REAL_IS_FLOAT
    real q = -6.246141e-3f;
    q = q * w + 2.105254e-2f;
    q = q * w - 5.3847857e-2f;
    q = q * w + 1.3332546e-1f;
    q = q * w - 3.3333316e-1f;
#else
    real q = 5.101139621471932e-5;
    q = q * w - 2.1028801151282874e-4;
    q = q * w + 5.791283269384497e-4;
    q = q * w - 1.4532138668294206e-3;
    q = q * w + 3.5917191204172267e-3;
    q = q * w - 8.863194433376341e-3;
    q = q * w + 2.1869485969591373e-2;
    q = q * w - 5.3968253875863084e-2;
    q = q * w + 0.1333333333316827;
    q = q * w - 0.3333333333333231;
#endif
    const real near = v * (w * q) + v;
    return copysign(fabs(v) < (real)0.55 ? near : far, v);  // where v is -0, near is 0
}
#define tanh real_tanh
/* 1 / (1 + e^-v), or e^v / (1 + e^v) where v < 0 */
INLINE real sigmoid(real v) {
    const real x = exp(-fabs(v));
    return (v < 0 ? x : 1) / (1 + x);
}

static void forward_1(
    const long long rows,
    const long long H,
    real *a_i_in_to_a_g_in_t_rows,
    const real *restrict b_i,
    const real *restrict b_f,
    const real *restrict b_g,
    const real *restrict b_o) {
    for (long long row = 0; row < rows; ++row) {
        real* a_i_in_to_a_g_in_t_row = a_i_in_to_a_g_in_t_rows + row * (4*H);
        #pragma omp simd
        for (long long unit = 0; unit < H; ++unit) {
            const real W_i_x_t = a_i_in_to_a_g_in_t_row[unit];
            const real W_f_x_t = a_i_in_to_a_g_in_t_row[H + unit];
            const real W_g_x_t = a_i_in_to_a_g_in_t_row[3*H + unit];
            const real W_o_x_t = a_i_in_to_a_g_in_t_row[2*H + unit];
            // a_i_in[t] = W_i_x[t] + b_i (16)
            const real a_i_in_t = W_i_x_t + b_i[unit];
            // a_f_in[t] = W_f_x[t] + b_f (18)
            const real a_f_in_t = W_f_x_t + b_f[unit];
            // a_g_in[t] = W_g_x[t] + b_g (20)
            const real a_g_in_t = W_g_x_t + b_g[unit];
            // a_o_in[t] = W_o_x[t] + b_o (22)
            const real a_o_in_t = W_o_x_t + b_o[unit];
            a_i_in_to_a_g_in_t_row[unit] = number_as_stored(a_i_in_t);
            a_i_in_to_a_g_in_t_row[H + unit] = number_as_stored(a_f_in_t);
            a_i_in_to_a_g_in_t_row[3*H + unit] = number_as_stored(a_g_in_t);
            a_i_in_to_a_g_in_t_row[2*H + unit] = number_as_stored(a_o_in_t);
        }
    }
}

static void forward_2(
    const long long rows,
    const long long H,
    real *i_f_o_g_t_rows,
    const real *restrict a_i_in_to_a_g_in_t_rows,
    const real *c_t1_rows,
    real *c_t_rows,
    real *restrict h_t_rows) {
    for (long long row = 0; row < rows; ++row) {
        real* i_f_o_g_t_row = i_f_o_g_t_rows + row * (4*H);
        const real* a_i_in_to_a_g_in_t_row = a_i_in_to_a_g_in_t_rows + row * (4*H);
        const real* c_t1_row = c_t1_rows + row * H;
        real* c_t_row = c_t_rows + row * H;
        real* h_t_row = h_t_rows + row * H;
        #pragma omp simd
        for (long long unit = 0; unit < H; ++unit) {
            const real U_i_h_t = i_f_o_g_t_row[unit];
            const real a_i_in_t = a_i_in_to_a_g_in_t_row[unit];
            const real U_f_h_t = i_f_o_g_t_row[H + unit];
            const real a_f_in_t = a_i_in_to_a_g_in_t_row[H + unit];
            const real U_g_h_t = i_f_o_g_t_row[3*H + unit];
            const real a_g_in_t = a_i_in_to_a_g_in_t_row[3*H + unit];
            const real U_o_h_t = i_f_o_g_t_row[2*H + unit];
            const real a_o_in_t = a_i_in_to_a_g_in_t_row[2*H + unit];
            const real c_t1 = c_t1_row[unit];
            // a_i[t] = U_i_h[t] + a_i_in[t] (16)
            const real a_i_t = U_i_h_t + a_i_in_t;
            // a_f[t] = U_f_h[t] + a_f_in[t] (18)
            const real a_f_t = U_f_h_t + a_f_in_t;
            // a_g[t] = U_g_h[t] + a_g_in[t] (20)
            const real a_g_t = U_g_h_t + a_g_in_t;
            // a_o[t] = U_o_h[t] + a_o_in[t] (22)
            const real a_o_t = U_o_h_t + a_o_in_t;
            // i[t] = sigmoid(a_i[t]) (input gate) (17)
            const real i_t = sigmoid(a_i_t);
            // f[t] = sigmoid(a_f[t]) (forget gate) (19)
            const real f_t = sigmoid(a_f_t);
            // g[t] = tanh(a_g[t]) (candidate) (21)
            const real g_t = tanh(a_g_t);
            // o[t] = sigmoid(a_o[t]) (output gate) (23)
            const real o_t = sigmoid(a_o_t);
            // c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state) (10)
            const real c_t = f_t * c_t1 + i_t * g_t;
            // tanh_c[t] = tanh(c[t]) (11)
            const real tanh_c_t = tanh(c_t);
            // h[t] = o[t]*tanh_c[t] (hidden state) (11)
            const real h_t = o_t * tanh_c_t;
            i_f_o_g_t_row[unit] = number_as_stored(i_t);
            i_f_o_g_t_row[H + unit] = number_as_stored(f_t);
            i_f_o_g_t_row[3*H + unit] = number_as_stored(g_t);
            i_f_o_g_t_row[2*H + unit] = number_as_stored(o_t);
            c_t_row[unit] = c_t;
            h_t_row[unit] = number_as_stored(h_t);
        }
    }
}

static void backward_1(
    const long long rows,
    const long long H,
    const real *restrict c_t_rows,
    const real *restrict dy_t_rows,
    const real *restrict dh_back_next_rows,
    const real *restrict i_f_o_g_t_rows,
    const real *dc_via_next_rows,
    real *restrict da_i_da_f_da_o_da_g_t_rows,
    const real *restrict c_t1_rows,
    real *dc_via_t_rows) {
    for (long long row = 0; row < rows; ++row) {
        const real* c_t_row = c_t_rows + row * H;
        const real* dy_t_row = dy_t_rows + row * H;
        const real* dh_back_next_row = dh_back_next_rows + row * H;
        const real* i_f_o_g_t_row = i_f_o_g_t_rows + row * (4*H);
        const real* dc_via_next_row = dc_via_next_rows + row * H;
        real* da_i_da_f_da_o_da_g_t_row = da_i_da_f_da_o_da_g_t_rows + row * (4*H);
        const real* c_t1_row = c_t1_rows + row * H;
        real* dc_via_t_row = dc_via_t_rows + row * H;
        #pragma omp simd
        for (long long unit = 0; unit < H; ++unit) {
            const real c_t = c_t_row[unit];
            const real dy_t = dy_t_row[unit];
            const real dh_back_next = dh_back_next_row[unit];
            const real o_t = i_f_o_g_t_row[2*H + unit];
            const real dc_via_next = dc_via_next_row[unit];
            const real i_t = i_f_o_g_t_row[unit];
            const real c_t1 = c_t1_row[unit];
            const real g_t = i_f_o_g_t_row[3*H + unit];
            const real f_t = i_f_o_g_t_row[H + unit];
            // tanh_c[t] = tanh(c[t]) (11)
            const real tanh_c_t = tanh(c_t);
            // dh[t] = dy[t] + dh_back[t+1] (47)
            const real dh_t = dy_t + dh_back_next;
            // dtanh_c[t] = dh[t]*o[t] (49)
            const real dtanh_c_t = dh_t * o_t;
            // do[t] = dh[t]*tanh_c[t] (50)
            const real do_t = dh_t * tanh_c_t;
            // dc[t] = dtanh_c[t]*(1 - tanh_c[t]**2) + dc_via[t+1] (49)
            const real dc_t = dtanh_c_t * (1 - tanh_c_t * tanh_c_t) + dc_via_next;
            // da_o[t] = do[t]*o[t]*(1 - o[t]) (51)
            const real da_o_t = do_t * o_t * (1 - o_t);
            // dg[t] = dc[t]*i[t] (52)
            const real dg_t = dc_t * i_t;
            // df[t] = dc[t]*c[t-1] (54)
            const real df_t = dc_t * c_t1;
            // di[t] = dc[t]*g[t] (56)
            const real di_t = dc_t * g_t;
            // dc_via[t] = dc[t]*f[t] (49)
            const real dc_via_t = dc_t * f_t;
            // da_g[t] = dg[t]*(1 - g[t]**2) (53)
            const real da_g_t = dg_t * (1 - g_t * g_t);
            // da_f[t] = df[t]*f[t]*(1 - f[t]) (55)
            const real da_f_t = df_t * f_t * (1 - f_t);
            // da_i[t] = di[t]*i[t]*(1 - i[t]) (57)
            const real da_i_t = di_t * i_t * (1 - i_t);
            da_i_da_f_da_o_da_g_t_row[2*H + unit] = number_as_stored(da_o_t);
            dc_via_t_row[unit] = dc_via_t;
            da_i_da_f_da_o_da_g_t_row[3*H + unit] = number_as_stored(da_g_t);
            da_i_da_f_da_o_da_g_t_row[H + unit] = number_as_stored(da_f_t);
            da_i_da_f_da_o_da_g_t_row[unit] = number_as_stored(da_i_t);
        }
    }
}

struct run_forward {
    long long total;
    real *W_i;
    long long D;
    long long H;
    real *a_i_in_to_a_g_in;
    real *x;
    real *b_i;
    real *b_f;
    real *b_g;
    real *b_o;
    long long steps;
    const long long *counts;
    real *U_i;
    const long long *kept_0;
    real *i_f_o_g;
    const long long *starts_1;
    real *h;
    const long long *starts_0;
    const long long *kept_1;
    real *c;
    long long stretch;
};

struct run_forward_call {
    const struct run_forward *a;
    real *packed_W_i_to_W_g;
    real *packed_U_i_to_U_g;
};

static void run_forward_part(void *given, struct member *me) {
    const struct run_forward_call *call = given;
    const struct run_forward *a = call->a;
    long long lo, hi;
    share(panels(4*a->H), me, &lo, &hi);
    pack(call->packed_W_i_to_W_g, a->W_i, 1, a->D, a->D, 4*a->H, lo, hi);
    share(panels(4*a->H), me, &lo, &hi);
    pack(call->packed_U_i_to_U_g, a->U_i, 1, a->H, a->H, 4*a->H, lo, hi);
    meet(me);
    long long mine, others;
    share_samples(a->counts, a->steps, me, &mine, &others);
    for (long long number = 0, count = stretches(a->steps, a->stretch); number < count; ++number) {
        const long long start = number * a->stretch;
        const long long stop = smaller(start + a->stretch, a->steps);
        const long long base = a->starts_0[start], total = a->starts_0[stop] - base;
        if (number) meet(me);
        share(total, me, &lo, &hi);
        lo += base;
        hi += base;
        for (long long first = lo, rows; first < hi; first += rows) {
            rows = smaller(PIECE, hi - first);
            // W_i_x[t] = W_i @ x[t] (16)
            // W_f_x[t] = W_f @ x[t] (18)
            // W_o_x[t] = W_o @ x[t] (22)
            // W_g_x[t] = W_g @ x[t] (20)
            multiply(
                a->a_i_in_to_a_g_in + (first - base)*4*a->H, 4*a->H, a->x + first*a->D, a->D,
                call->packed_W_i_to_W_g, rows, a->D, 4*a->H, 0);
            round_rows(a->a_i_in_to_a_g_in + (first - base)*4*a->H, 4*a->H, rows, 4*a->H);
            forward_1(rows, a->H, a->a_i_in_to_a_g_in + (first - base)*4*a->H, a->b_i, a->b_f, a->b_g, a->b_o);
        }
        meet(me);
        lo = mine;
        hi = others;
        for (long long t = start; t < stop; ++t) {
            const long long last = smaller(a->counts[t], hi);
            for (long long first = lo, rows; first < last; first += rows) {
                rows = smaller(PIECE, last - first);
                // U_i_h[t] = U_i @ h[t-1] (16)
                // U_f_h[t] = U_f @ h[t-1] (18)
                // U_o_h[t] = U_o @ h[t-1] (22)
                // U_g_h[t] = U_g @ h[t-1] (20)
                multiply(
                    a->i_f_o_g + (a->kept_0[t] + first)*4*a->H, 4*a->H, a->h + (a->starts_1[t] + first)*a->H, a->H,
                    call->packed_U_i_to_U_g, rows, a->H, 4*a->H, 0);
                round_rows(a->i_f_o_g + (a->kept_0[t] + first)*4*a->H, 4*a->H, rows, 4*a->H);
                forward_2(
                    rows, a->H, a->i_f_o_g + (a->kept_0[t] + first)*4*a->H,
                    a->a_i_in_to_a_g_in + (a->starts_0[t] - base + first)*4*a->H, a->c + (a->kept_1[t] + first)*a->H,
                    a->c + (a->kept_1[t + 1] + first)*a->H, a->h + (a->starts_1[t + 1] + first)*a->H);
            }
        }
    }
}

int run_forward(long long *record, long long threads) {
    const struct run_forward *a = (const struct run_forward *)record;
    struct run_forward_call call = {.a = a};
    long long numbers = 0;
    numbers += rounded(packed_size(a->D, 4*a->H));
    numbers += rounded(packed_size(a->H, 4*a->H));
    real *memory = room(numbers), *next = memory;
    if (!memory) return 1;
    call.packed_W_i_to_W_g = next;
    next += rounded(packed_size(a->D, 4*a->H));
    call.packed_U_i_to_U_g = next;
    const int failed = run_team(run_forward_part, &call, threads);
    free(memory);
    return failed;
}

struct run_backward {
    long long total;
    long long steps;
    const long long *counts;
    long long H;
    const long long *starts_1;
    real *c;
    const long long *starts_0;
    real *dy;
    const long long *ring_1;
    real *dh_back;
    real *i_f_o_g;
    real *dc_via;
    real *da_i_da_f_da_o_da_g;
    long long D;
    real *U_i;
    real *W_i;
    real *dx;
    real *x;
    real *W_i_;
    real *h;
    long long past_1_0_first;
    const long long *past_1_0;
    real *U_i_;
    real *b_i;
    long long stretch;
    long long need_x;
};

struct run_backward_call {
    const struct run_backward *a;
    real *packed_U_i_to_U_g;
    real *packed_W_i_to_W_g;
};

static void run_backward_part(void *given, struct member *me) {
    const struct run_backward_call *call = given;
    const struct run_backward *a = call->a;
    long long lo, hi;
    long long numbers = 0;
    share(4*a->H, me, &lo, &hi);
    numbers = larger(numbers, gradient_scratch(hi - lo, a->D));
    share(4*a->H, me, &lo, &hi);
    numbers = larger(numbers, gradient_scratch(hi - lo, a->H));
    real *const scratch = room(numbers);
    if (!scratch) fail(me);
    share(panels(a->H), me, &lo, &hi);
    pack(call->packed_U_i_to_U_g, a->U_i, a->H, 1, 4*a->H, a->H, lo, hi);
    share(panels(a->D), me, &lo, &hi);
    if (a->need_x) pack(call->packed_W_i_to_W_g, a->W_i, a->D, 1, 4*a->H, a->D, lo, hi);
    meet(me);
    long long mine, others;
    share_samples(a->counts, a->steps, me, &mine, &others);
    for (long long number = 0, count = stretches(a->steps, a->stretch); number < count; ++number) {
        const long long start = (count - 1 - number) * a->stretch;
        const long long stop = smaller(start + a->stretch, a->steps);
        const long long base = a->starts_0[start], total = a->starts_0[stop] - base;
        if (number) meet(me);
        lo = mine;
        hi = others;
        for (long long t = stop - 1; t >= start; --t) {
            const long long last = smaller(a->counts[t], hi);
            for (long long first = lo, rows; first < last; first += rows) {
                rows = smaller(PIECE, last - first);
                backward_1(
                    rows, a->H, a->c + (a->starts_1[t + 1] + first)*a->H, a->dy + (a->starts_0[t] + first)*a->H,
                    a->dh_back + (a->ring_1[t + 1] + first)*a->H, a->i_f_o_g + (a->starts_0[t] + first)*4*a->H,
                    a->dc_via + (a->ring_1[t + 1] + first)*a->H,
                    a->da_i_da_f_da_o_da_g + (a->starts_0[t] - base + first)*4*a->H,
                    a->c + (a->starts_1[t] + first)*a->H, a->dc_via + (a->ring_1[t] + first)*a->H);
                // dh_back[t] = U_i.T @ da_i[t] + U_f.T @ da_f[t] + U_g.T @ da_g[t] + U_o.T @ da_o[t] (47)
                multiply(
                    a->dh_back + (a->ring_1[t] + first)*a->H, a->H,
                    a->da_i_da_f_da_o_da_g + (a->starts_0[t] - base + first)*4*a->H, 4*a->H, call->packed_U_i_to_U_g,
                    rows, 4*a->H, a->H, 0);
            }
        }
        meet(me);
        share(total, me, &lo, &hi);
        lo += base;
        hi += base;
        for (long long first = lo, rows; first < hi; first += rows) {
            rows = smaller(PIECE, hi - first);
            if (a->need_x) {
                // dx[t] = W_i.T @ da_i[t] + W_f.T @ da_f[t] + W_g.T @ da_g[t] + W_o.T @ da_o[t] (58)
                multiply(
                    a->dx + first*a->D, a->D, a->da_i_da_f_da_o_da_g + (first - base)*4*a->H, 4*a->H,
                    call->packed_W_i_to_W_g, rows, 4*a->H, a->D, 0);
                round_rows(a->dx + first*a->D, a->D, rows, a->D);
            }
        }
        share(4*a->H, me, &lo, &hi);
        if (scratch) {
            // dW_i = sum of outer(da_i[t], x[t]) (66)
            // dW_f = sum of outer(da_f[t], x[t]) (69)
            // dW_o = sum of outer(da_o[t], x[t]) (75)
            // dW_g = sum of outer(da_g[t], x[t]) (72)
            gradient(
                a->W_i_, a->D, a->da_i_da_f_da_o_da_g, 4*a->H, NULL, 0, a->x, a->D, NULL, base, total, lo, hi,
                number > 0, a->D, scratch);
        }
        share(4*a->H, me, &lo, &hi);
        if (scratch) {
            // dU_i = sum of outer(da_i[t], h[t-1]) (67)
            // dU_f = sum of outer(da_f[t], h[t-1]) (70)
            // dU_o = sum of outer(da_o[t], h[t-1]) (76)
            // dU_g = sum of outer(da_g[t], h[t-1]) (73)
            gradient(
                a->U_i_, a->H, a->da_i_da_f_da_o_da_g, 4*a->H, NULL, 0, a->h + a->past_1_0_first*a->H, a->H,
                a->past_1_0, base, total, lo, hi, number > 0, a->H, scratch);
        }
        share(4*a->H, me, &lo, &hi);
        // db_i = sum of da_i[t] (68)
        // db_f = sum of da_f[t] (71)
        // db_o = sum of da_o[t] (77)
        // db_g = sum of da_g[t] (74)
        sums(a->b_i, a->da_i_da_f_da_o_da_g, 4*a->H, NULL, 0, total, lo, hi, number > 0);
    }
    free(scratch);
}

int run_backward(long long *record, long long threads) {
    const struct run_backward *a = (const struct run_backward *)record;
    struct run_backward_call call = {.a = a};
    long long numbers = 0;
    numbers += rounded(packed_size(4*a->H, a->H));
    numbers += rounded(packed_size(4*a->H, a->D));
    real *memory = room(numbers), *next = memory;
    if (!memory) return 1;
    call.packed_U_i_to_U_g = next;
    next += rounded(packed_size(4*a->H, a->H));
    call.packed_W_i_to_W_g = next;
    const int failed = run_team(run_backward_part, &call, threads);
    free(memory);
    return failed;
}

struct run_step {
    long long total;
    real *W_i;
    long long D;
    long long H;
    real *a_i_in_to_a_g_in;
    real *x;
    real *b_i;
    real *b_f;
    real *b_g;
    real *b_o;
    real *U_i;
    real *i_f_o_g;
    real *h_1;
    real *c_1;
    real *c;
    real *h;
};

struct run_step_call {
    const struct run_step *a;
};

static void run_step_part(void *given, struct member *me) {
    const struct run_step_call *call = given;
    const struct run_step *a = call->a;
    long long lo, hi;
    share(a->total, me, &lo, &hi);
    for (long long first = lo, rows; first < hi; first += rows) {
        rows = smaller(PIECE, hi - first);
        // W_i_x[t] = W_i @ x[t] (16)
        // W_f_x[t] = W_f @ x[t] (18)
        // W_o_x[t] = W_o @ x[t] (22)
        // W_g_x[t] = W_g @ x[t] (20)
        multiply_plain(
            a->a_i_in_to_a_g_in + first*4*a->H, 4*a->H, a->x + first*a->D, a->D, a->W_i, 1, a->D, rows, a->D,
            4*a->H, 0);
        round_rows(a->a_i_in_to_a_g_in + first*4*a->H, 4*a->H, rows, 4*a->H);
        forward_1(rows, a->H, a->a_i_in_to_a_g_in + first*4*a->H, a->b_i, a->b_f, a->b_g, a->b_o);
    }
    meet(me);
    share(a->total, me, &lo, &hi);
    for (long long first = lo, rows; first < hi; first += rows) {
        rows = smaller(PIECE, hi - first);
        // U_i_h[t] = U_i @ h[t-1] (16)
        // U_f_h[t] = U_f @ h[t-1] (18)
        // U_o_h[t] = U_o @ h[t-1] (22)
        // U_g_h[t] = U_g @ h[t-1] (20)
        multiply_plain(
            a->i_f_o_g + first*4*a->H, 4*a->H, a->h_1 + first*a->H, a->H, a->U_i, 1, a->H, rows, a->H, 4*a->H,
            0);
        round_rows(a->i_f_o_g + first*4*a->H, 4*a->H, rows, 4*a->H);
        forward_2(
            rows, a->H, a->i_f_o_g + first*4*a->H, a->a_i_in_to_a_g_in + first*4*a->H, a->c_1 + first*a->H,
            a->c + first*a->H, a->h + first*a->H);
    }
}

int run_step(long long *record, long long threads) {
    const struct run_step *a = (const struct run_step *)record;
    struct run_step_call call = {.a = a};
    const int failed = run_team(run_step_part, &call, threads);
    return failed;
}
"""

_CELL = "lstm"
_FLAGS = (
    *("-O2", "-std=gnu11", "-fPIC", "-shared", "-pthread"),
    *("-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"),
)
_TYPES = {
    "float": "typedef float real;\n#define REAL_IS_FLOAT 1\n",
    "double": "typedef double real;\n",
    "float16": "typedef float real;\n#define REAL_IS_FLOAT 1\n#define STORED_FLOAT16 1\n",
    "bfloat16": "typedef float real;\n#define REAL_IS_FLOAT 1\n#define STORED_BFLOAT16 1\n",
}  # how the source begins
_LIBRARIES: dict[str, ctypes.CDLL] = {}
_LOCKS: dict[int, threading.Lock] = {}  # by process: a child never waits for what its parent locked


def _library(real: str) -> ctypes.CDLL:
    """The C functions for a kind of number in ``_TYPES``: compiled, or found in the cache, at the first use."""
    if real not in _LIBRARIES:
        with _LOCKS.setdefault(os.getpid(), threading.Lock()):
            if real not in _LIBRARIES:
                _LIBRARIES[real] = _built(real)
    return _LIBRARIES[real]


def _built(real: str) -> ctypes.CDLL:
    source = _TYPES[real] + SOURCE_C
    compiler, processor, more = _compiler(), _processor(), _words("SYMCELL_CFLAGS")
    version = _called([*compiler, "--version"]).stdout
    choices = [[*_FLAGS, *tuned, *more] for tuned in _tuned(processor)]
    key = _digest(repr((source, compiler, version, processor, choices[0])).encode())
    library = _found(key)
    if library is not None:
        return library
    folder = tempfile.mkdtemp(prefix="symcell-")
    try:
        path = os.path.join(folder, "cell.so")
        _compile(source, path, compiler, choices)
        try:
            return _opened(_kept(path, key))
        except OSError as error:
            warnings.warn(
                f"{_CELL} is compiled again in each process, as the cache {_place()} cannot be used: {error}. Set "
                "SYMCELL_CACHE to a directory that can be written to and that code may be loaded from.",
                RuntimeWarning,
                stacklevel=2,
            )
            return _opened(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # a library that is loaded needs its file no more


def _opened(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    for name in (*FUNCTIONS, *(("widen", "narrow") if hasattr(library, "widen") else ())):
        function = getattr(library, name)
        function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_longlong), ctypes.c_int
    return library


def _place() -> str:
    """The user's directory of compiled code: ``$SYMCELL_CACHE``, ``$XDG_CACHE_HOME/symcell``, or symcell below the
    system's place for caches."""
    base = os.environ.get("XDG_CACHE_HOME") or ("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    return os.path.expanduser(os.environ.get("SYMCELL_CACHE") or os.path.join(base, "symcell"))


def _cache() -> str:
    """That directory, made if need be. OSError where there can be none, RuntimeError where others can write to it."""
    folder = _place()
    if folder.startswith("~"):
        raise OSError("there is no such home directory")
    folder = os.path.abspath(folder)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    status = os.stat(folder)
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise RuntimeError(
            f"the directory of compiled code, {folder}, is one that others can write to, so what lies there is not to "
            f"be trusted: empty it, own it and run chmod go-w on it, or set SYMCELL_CACHE to a directory of your own"
        )
    return folder


def _found(key: str) -> ctypes.CDLL | None:
    """The library kept under this key. Its name ends in its checksum: to load half a file may end the process."""
    with contextlib.suppress(OSError):
        folder = _cache()
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.startswith(key) and name == _name(key, path):
                with contextlib.suppress(OSError, AttributeError):
                    return _opened(path)
    return None


def _kept(path: str, key: str) -> str:
    """Copies a library into the cache, where it appears as a whole or not at all; its path there."""
    folder = _cache()
    handle, beside = tempfile.mkstemp(dir=folder, suffix=".tmp")
    try:
        with open(handle, "wb") as file, open(path, "rb") as made:
            shutil.copyfileobj(made, file)
        target = os.path.join(folder, _name(key, path))
        os.replace(beside, target)
    finally:
        with contextlib.suppress(FileNotFoundError):  # where the rename has moved it
            os.unlink(beside)
    return target


def _name(key: str, path: str) -> str:
    with open(path, "rb") as file:
        return f"{key}-{_digest(file.read())}.so"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _compiler() -> list[str]:
    """The C compiler as the words of a command: ``$CC``, else the first of cc, gcc and clang on the path."""
    if os.name != "posix":
        raise RuntimeError(f"{_CELL} as C code is for Linux and macOS, not {sys.platform}; {_CELL}_numpy runs there")
    chosen = _words("CC")
    tried = [chosen] if chosen else [["cc"], ["gcc"], ["clang"]]
    for first, *rest in tried:
        path = shutil.which(first)
        if path:
            return [os.path.abspath(path), *rest]
    names = f"CC is {os.environ['CC']!r}" if chosen else "tried " + ", ".join(first for first, *_ in tried)
    raise RuntimeError(
        f"no C compiler was found ({names}), and {_CELL} needs one. Install one (Debian: apt install gcc; macOS: "
        f"xcode-select --install) or name yours in CC; the NumPy target, {_CELL}_numpy, needs none."
    )


def _words(variable: str) -> list[str]:
    value = os.environ.get(variable, "")
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"{variable} is {value!r}, expected words as in a shell: {error}") from None


def _processor() -> str:
    """What a compiler sees of this processor: a home may be shared by several machines."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = sorted({line for line in file if line.startswith(("flags", "Features", "CPU part"))})
    except OSError:
        lines = [platform.processor()]
    return " ".join([platform.machine(), *lines])


def _tuned(processor: str) -> list[list[str]]:
    """Flags for this processor, the best first; a compiler that refuses them is asked with the next."""
    native = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    wide = [[native, "-mprefer-vector-width=512"]] if "avx512f" in processor.split() else []
    return [*wide, [native], []]


def _compile(source: str, path: str, compiler: list[str], choices: list[list[str]]) -> None:
    for flags in choices:
        command = [*compiler, *flags, "-o", path, "-x", "c", "-", "-lm"]
        done = _called(command, source)
        if done.returncode == 0 and os.path.exists(path):
            return
    log = done.stdout.strip() or f"it ended with status {done.returncode} and said nothing"
    raise RuntimeError(f"the C compiler refused the code of {_CELL}. {shlex.join(command)} says:\n{log}")


def _called(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command with ``text`` as its input; what it says, errors too, is its ``stdout``."""
    try:
        return subprocess.run(
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise RuntimeError(f"the C compiler {command[0]} cannot be run: {error}") from error
