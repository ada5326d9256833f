"""Light GRU

Ravanelli, Brakel, Omologo & Bengio (2018), Light gated recurrent units for speech recognition. Layer normalisation
stands where the paper normalises over the batch.

The cell ligru as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive ligru``.
"""

from __future__ import annotations

import functools
import math
import os
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import cupy as cp
import numpy as np

SIZES = ("D", "H")
PARAMS = {
    "W_z": ("H", "D"),
    "W_n": ("H", "D"),
    "U_n": ("H", "H"),
    "U_z": ("H", "H"),
    "g_z": ("H",),
    "g_n": ("H",),
    "b_n": ("H",),
    "b_z": ("H",),
}
CONSTANTS = {}
START = {
    "W_z": "uniform",
    "W_n": "uniform",
    "U_n": "orthogonal",
    "U_z": "orthogonal",
    "g_z": 1.0,
    "g_n": 1.0,
    "b_n": 0.0,
    "b_z": 0.0,
}
INPUTS = {"x": ("D",)}
STATES = {"h": ("H",)}
LAGS = {}
OUTPUT = "h"
EQUATIONS = (
    '"""Light GRU\n'
    "\n"
    "Ravanelli, Brakel, Omologo & Bengio (2018), Light gated recurrent units for speech recognition. Layer "
    "normalisation\n"
    "stands where the paper normalises over the batch.\n"
    '"""\n'
    "z[t] = sigmoid(layernorm(W_z @ x[t], g_z, b_z) + U_z @ h[t-1])   # update gate\n"
    "n[t] = relu(layernorm(W_n @ x[t], g_n, b_n) + U_n @ h[t-1])      # candidate\n"
    "h[t] = z[t] * h[t-1] + (1 - z[t]) * n[t]                         # hidden state\n"
    "U_z: (H, H) = orthogonal\n"
    "U_n: (H, H) = orthogonal\n"
    "g_z: H = 1\n"
    "b_z: H = 0\n"
    "g_n: H = 1\n"
    "b_n: H = 0\n"
)
STAMP = "3e8071e26d102d3a"


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

    dtype: float32 or float64. Raises TypeError or ValueError for a size that is missing, unknown or not positive.
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
    flat = cp.empty(values.size, kind)
    flat[...] = cp.asarray(values)
    return Params(flat, sizes)


def _start(start: Any, shape: tuple[int, ...], sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """Where a parameter starts, by its entry in ``START``."""
    if start == "uniform":
        bound = 1 / math.sqrt(_length("H", sizes))  # in ±1/√n
        return rng.uniform(-bound, bound, shape)
    if start == "orthogonal":
        q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))  # Saxe, McClelland & Ganguli (2014)
        q = q * np.sign(np.diagonal(r))
        return q if shape[0] >= shape[1] else q.T
    return np.full(shape, start, float)


def _shape(shape: tuple[int | str, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A shape of ``PARAMS`` or the like in numbers."""
    return tuple(_length(size, sizes) for size in shape)


def _length(size: int | str, sizes: Mapping[str, int]) -> int:
    """A size such as 4 or "H" as a number."""
    return sizes[size] if isinstance(size, str) else size


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
    ``backward`` (None where keep_tape is false). Raises ValueError or TypeError for an argument that does not fit.
    """
    checked = _inputs("x", x)
    params = _params(params, checked, {}, None, state)
    steps, batch, ends = _check_sequences(checked, lengths, packed, params)
    given = _check_state("state", state, batch, params)
    inputs = {name: value for name, (_, value) in checked.items()}
    every = _every(checkpoint, budget, params, steps, batch, ends is not None, keep_tape)
    if every is not None:
        tape = Checkpoints(every, steps, batch, ends, packed, params.sizes, params.flat.dtype, inputs, [])
        return _forward_pieces(params, tape, given, keep_tape)
    pack = Packing(steps, batch, ends, packed)
    rows, last, kept = _forward_sweep(params, inputs, given, pack, keep_tape)
    return pack.sequence(rows, _shape(("H",), params.sizes), keep_tape), last, kept


def _forward_sweep(
    params: Params, inputs: Mapping[str, Any], state: Mapping[str, Any], pack: Packing, keep_tape: bool
) -> tuple[Any, dict[str, Any], Tape | None]:
    """All steps, first to last, of what ``forward`` has checked: y as rows, the last states and the tape."""
    batch = pack.batch
    given = _state_rows(state)
    dtype = params.flat.dtype
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    kept_0 = pack.slots(0, 0, keep_tape)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    x_rows = pack.rows(inputs["x"])
    W_z_x_W_n_x = cp.empty((pack.size, 2*H), dtype)
    a_n_z = cp.empty((pack.size if keep_tape else batch, 2*H), dtype)
    centred_W_n_x_to_centred_W_z_x = cp.empty((pack.size, 2*H), dtype)
    std_W_n_x_std_W_z_x = cp.empty((pack.size, 2), dtype)
    a_n_in_a_z_in = cp.empty((pack.size, 2*H), dtype)
    h = cp.empty((pack.size + batch, H), dtype)
    g_z = params.stack("g_z", "g_z")
    b_z = params.stack("b_z", "b_z")
    g_n = params.stack("g_n", "g_n")
    b_n = params.stack("b_n", "b_n")
    U_n = params.stack("U_n", "U_n")
    h[pack.first(1)] = pack.sort(given["h"]) if "h" in given else 0
    W_z_to_W_n_T = params.stack("W_z", "W_n").T
    kernels = _kernels(dtype)
    U_n_to_U_z_T = params.stack("U_n", "U_z").T

    # W_z_x[t] = W_z @ x[t] (14)
    # W_n_x[t] = W_n @ x[t] (18)
    W_z_x_to_W_n_x = W_z_x_W_n_x
    cp.matmul(x_rows, W_z_to_W_n_T, out=W_z_x_to_W_n_x)
    # sum_W_z_x[t] = sum(W_z_x[t]) (14)
    # sum_W_n_x[t] = sum(W_n_x[t]) (18)
    # centred_W_z_x[t] = W_z_x[t] - sum_W_z_x[t]/H (14)
    # centred_W_n_x[t] = W_n_x[t] - sum_W_n_x[t]/H (18)
    # square_W_z_x[t] = centred_W_z_x[t]**2 (14)
    # square_W_n_x[t] = centred_W_n_x[t]**2 (18)
    # sum_square_W_z_x[t] = sum(square_W_z_x[t]) (14)
    # sum_square_W_n_x[t] = sum(square_W_n_x[t]) (18)
    # std_squared_W_z_x[t] = sum_square_W_z_x[t]/H + 1e-05 (14)
    # std_squared_W_n_x[t] = sum_square_W_n_x[t]/H + 1e-05 (18)
    # std_W_z_x[t] = sqrt(std_squared_W_z_x[t]) (14)
    # std_W_n_x[t] = sqrt(std_squared_W_n_x[t]) (18)
    # a_z_in[t] = centred_W_z_x[t]*g_z/std_W_z_x[t] + b_z (14)
    # a_n_in[t] = centred_W_n_x[t]*g_n/std_W_n_x[t] + b_n (18)
    _launch_rows(
        kernels.forward_1, pack.size, H, 256, H, W_z_x_W_n_x, centred_W_n_x_to_centred_W_z_x,
        std_W_n_x_std_W_z_x, g_z, b_z, a_n_in_a_z_in, g_n, b_n,
    )

    # all steps in one launch, unless one launch for each stage of each is better
    left = _run_steps(
        "forward_steps", params.sizes, pack, dtype, U_n, H, a_n_z, int(keep_tape), h, a_n_in_a_z_in,
    )

    for t, n in enumerate(left):
        # U_n_h[t] = U_n @ h[t-1] (18)
        # U_z_h[t] = U_z @ h[t-1] (14)
        h_t1 = h[at_1_0[t]]
        U_n_h_to_U_z_h_t = a_n_z[kept_0[t]]
        cp.matmul(h_t1, U_n_to_U_z_T, out=U_n_h_to_U_z_h_t)
        # a_z[t] = U_z_h[t] + a_z_in[t] (14)
        # a_n[t] = U_n_h[t] + a_n_in[t] (18)
        # z[t] = sigmoid(a_z[t]) (update gate) (14)
        # n[t] = relu(a_n[t]) (candidate) (18)
        # h[t] = z[t]*h[t-1] + (1 - z[t])*n[t] (hidden state) (7)
        _launch_units(
            kernels.forward_2, n, H, H, a_n_z, kept_0[t].start, a_n_in_a_z_in, at_0[t].start, h, at_1_0[t].start, h,
            at_1[t].start,
        )

    h_last = h[pack.last(1, 1, True)]
    h_ = h[batch :]

    last = {
        "h": pack.unsort(h_last)[0],
    }
    arrays = {
        "a_n_z": a_n_z,
        "centred_W_n_x_to_centred_W_z_x": centred_W_n_x_to_centred_W_z_x,
        "h": h,
        "std_W_n_x_std_W_z_x": std_W_n_x_std_W_z_x,
        "x_rows": x_rows,
    }
    tape = Tape(pack, params.sizes, dtype, arrays) if keep_tape else None
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
    ValueError or TypeError for an argument that does not fit.
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
        dy = cp.broadcast_to(cp.zeros((), dtype), (*lead, *shape))
    _array("dy", dy, lead, shape, dtype)
    given = _check_state("dlast", dlast, tape.batch, params)
    if isinstance(tape, Checkpoints):
        grads, dx, dstate = _backward_pieces(params, tape, dy, given, need_x)
    else:
        grads, rows, dstate = _backward_sweep(params, tape, dy, given, need_x)
        dx = {name: tape.pack.sequence(part, params.shapes[name], False) for name, part in rows.items()}
    return Grads(grads, dx.get("x"), dstate)


def _backward_sweep(
    params: Params, tape: Tape, dy: Any, dlast: Mapping[str, Any], need_x: bool
) -> tuple[Params, dict[str, Any], dict[str, Any]]:
    """All steps, last to first, of what ``backward`` has checked: gradients by parameters, inputs (as rows), states."""
    pack, dtype = tape.pack, tape.dtype
    batch = pack.batch
    given = _state_rows(dlast)
    grads = Params(cp.zeros(params.flat.shape, dtype), params.sizes)
    D = params.sizes["D"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)

    dy_rows = pack.rows(dy)
    a_n_z = tape.arrays["a_n_z"]
    centred_W_n_x_to_centred_W_z_x = tape.arrays["centred_W_n_x_to_centred_W_z_x"]
    h = tape.arrays["h"]
    std_W_n_x_std_W_z_x = tape.arrays["std_W_n_x_std_W_z_x"]
    x_ = tape.arrays["x_rows"]
    dW_z_x_dW_n_x = cp.empty((pack.size, 2*H), dtype)
    da_n_da_z = cp.empty((pack.size, 2*H), dtype)
    dg_z_each_dg_n_each = cp.empty((pack.size, 2*H), dtype)
    dcentred_W_z_x_to_dcentred_W_n_x = cp.empty((pack.size, 2*H), dtype)
    dx_ = cp.empty((pack.size, D), dtype)
    dh_back = cp.zeros((2 * batch, H), dtype)
    dh_via = cp.zeros((2 * batch, H), dtype)
    U_n = params.stack("U_n", "U_n")
    U_n_to_U_z = params.stack("U_n", "U_z")
    g_n = params.stack("g_n", "g_n")
    g_z = params.stack("g_z", "g_z")
    dg_z_to_dg_n = grads.stack("g_z", "g_n")
    W_z_to_W_n = params.stack("W_z", "W_n")
    dW_z_to_dW_n = grads.stack("W_z", "W_n")
    dU_n_to_dU_z = grads.stack("U_n", "U_z")
    db_n_to_db_z = grads.stack("b_n", "b_z")
    dh_back[pack.last(1, 1, False)] = pack.sort(given["h"]) if "h" in given else 0
    kernels = _kernels(dtype)
    ones = cp.ones((1, pack.size), dtype)

    # all steps in one launch, unless one launch for each stage of each is better
    left = _run_steps(
        "backward_steps", params.sizes, pack, dtype, H, a_n_z, dy_rows, dh_back, dh_via, h, da_n_da_z, U_n,
    )

    for t, n in reversed(list(enumerate(left))):
        # n[t] = relu(a_n[t]) (candidate) (18)
        # dh[t] = dy[t] + dh_back[t+1] + dh_via[t+1] (43)
        # dn[t] = dh[t]*(1 - z[t]) (44)
        # dz[t] = dh[t]*(h[t-1] - n[t]) (48)
        # dh_via[t] = dh[t]*z[t] (43)
        # da_n[t] = dn[t]*greater(a_n[t], 0) (65)
        # da_z[t] = dz[t]*z[t]*(1 - z[t]) (61)
        _launch_units(
            kernels.backward_1, n, H, H, a_n_z, at_0[t].start, dy_rows, at_0[t].start, dh_back, ring_1[t].start,
            dh_via, ring_1[t].start, h, at_1_0[t].start, dh_via, ring_1_0[t].start, da_n_da_z, at_0[t].start,
        )
        # dh_back[t] = U_z.T @ da_z[t] + U_n.T @ da_n[t] (43)
        da_n_to_da_z_t = da_n_da_z[at_0[t]]
        dh_back_t = dh_back[ring_1_0[t]]
        cp.matmul(da_n_to_da_z_t, U_n_to_U_z, out=dh_back_t)

    # dstd_W_n_x_each[t] = da_n[t]*centred_W_n_x[t]*g_n (52)
    # dstd_W_z_x_each[t] = da_z[t]*centred_W_z_x[t]*g_z (52)
    # dg_z_each[t] = da_z[t]*centred_W_z_x[t]/std_W_z_x[t] (60)
    # dg_n_each[t] = da_n[t]*centred_W_n_x[t]/std_W_n_x[t] (64)
    # dstd_W_n_x_sum[t] = sum(dstd_W_n_x_each[t]) (52)
    # dstd_W_z_x_sum[t] = sum(dstd_W_z_x_each[t]) (52)
    # dstd_W_n_x[t] = -dstd_W_n_x_sum[t]/std_W_n_x[t]**2 (52)
    # dstd_W_z_x[t] = -dstd_W_z_x_sum[t]/std_W_z_x[t]**2 (52)
    # dstd_squared_W_n_x[t] = dstd_W_n_x[t]/(2*std_W_n_x[t]) (52)
    # dstd_squared_W_z_x[t] = dstd_W_z_x[t]/(2*std_W_z_x[t]) (52)
    # dsum_square_W_n_x[t] = dstd_squared_W_n_x[t]/H (52)
    # dsum_square_W_z_x[t] = dstd_squared_W_z_x[t]/H (52)
    # dcentred_W_n_x[t] = 2*dsum_square_W_n_x[t]*centred_W_n_x[t] + da_n[t]*g_n/std_W_n_x[t] (52)
    # dcentred_W_z_x[t] = 2*dsum_square_W_z_x[t]*centred_W_z_x[t] + da_z[t]*g_z/std_W_z_x[t] (52)
    # dsum_W_n_x_sum[t] = sum(dcentred_W_n_x[t]) (52)
    # dsum_W_z_x_sum[t] = sum(dcentred_W_z_x[t]) (52)
    # dsum_W_n_x[t] = -dsum_W_n_x_sum[t]/H (52)
    # dsum_W_z_x[t] = -dsum_W_z_x_sum[t]/H (52)
    # dW_n_x[t] = dsum_W_n_x[t] + dcentred_W_n_x[t] (52)
    # dW_z_x[t] = dsum_W_z_x[t] + dcentred_W_z_x[t] (52)
    _launch_rows(
        kernels.backward_2, pack.size, H, 256, H, da_n_da_z, centred_W_n_x_to_centred_W_z_x, g_n, g_z,
        std_W_n_x_std_W_z_x, dg_z_each_dg_n_each, dcentred_W_z_x_to_dcentred_W_n_x, dW_z_x_dW_n_x,
    )
    # dg_z = sum of dg_z_each[t] (60)
    # dg_n = sum of dg_n_each[t] (64)
    dg_z_each_to_dg_n_each = dg_z_each_dg_n_each
    cp.matmul(ones, dg_z_each_to_dg_n_each, out=dg_z_to_dg_n.reshape(1, -1))
    if need_x:
        # dx[t] = W_z.T @ dW_z_x[t] + W_n.T @ dW_n_x[t] (52)
        dW_z_x_to_dW_n_x = dW_z_x_dW_n_x
        cp.matmul(dW_z_x_to_dW_n_x, W_z_to_W_n, out=dx_)
    # dW_z = sum of outer(dW_z_x[t], x[t]) (59)
    # dW_n = sum of outer(dW_n_x[t], x[t]) (63)
    dW_z_x_to_dW_n_x_ = dW_z_x_dW_n_x
    cp.matmul(dW_z_x_to_dW_n_x_.T, x_, out=dW_z_to_dW_n)
    # dU_n = sum of outer(da_n[t], h[t-1]) (66)
    # dU_z = sum of outer(da_z[t], h[t-1]) (62)
    da_n_to_da_z = da_n_da_z
    h_t1 = h[pack.past(1, 0)]
    cp.matmul(da_n_to_da_z.T, h_t1, out=dU_n_to_dU_z)
    # db_n = sum of da_n[t] (65)
    # db_z = sum of da_z[t] (61)
    cp.matmul(ones, da_n_to_da_z, out=db_n_to_db_z.reshape(1, -1))

    dh_first = cp.zeros((1, batch, H), dtype)
    dh_first += dh_back[pack.first(1)]
    dh_first += dh_via[pack.first(1)]

    dstate = {
        "h": pack.unsort(dh_first)[0],
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
    inputs = _inputs("x_t", x_t)
    params = _params(params, inputs, {}, None, state)
    (batch,) = _check_inputs(inputs, ("B",), params)
    given = _state_rows(_check_state("state", state, batch, params))
    dtype = params.flat.dtype
    H = params.sizes["H"]

    x_t_ = cp.ascontiguousarray(inputs["x"][1])
    W_z_x_W_n_x = cp.empty((batch, 2*H), dtype)
    a_n_z = cp.empty((batch, 2*H), dtype)
    centred_W_n_x_to_centred_W_z_x = cp.empty((batch, 2*H), dtype)
    std_W_n_x_std_W_z_x = cp.empty((batch, 2), dtype)
    a_n_in_a_z_in = cp.empty((batch, 2*H), dtype)
    h = cp.empty((batch, H), dtype)
    g_z = params.stack("g_z", "g_z")
    b_z = params.stack("b_z", "b_z")
    g_n = params.stack("g_n", "g_n")
    b_n = params.stack("b_n", "b_n")
    h_before = given["h"] if "h" in given else cp.zeros((1, batch, H), dtype)
    W_z_to_W_n_T = params.stack("W_z", "W_n").T
    kernels = _kernels(dtype)
    h_t1 = h_before[0]
    U_n_to_U_z_T = params.stack("U_n", "U_z").T

    # W_z_x[t] = W_z @ x[t] (14)
    # W_n_x[t] = W_n @ x[t] (18)
    W_z_x_to_W_n_x_t = W_z_x_W_n_x
    cp.matmul(x_t_, W_z_to_W_n_T, out=W_z_x_to_W_n_x_t)
    # sum_W_z_x[t] = sum(W_z_x[t]) (14)
    # sum_W_n_x[t] = sum(W_n_x[t]) (18)
    # centred_W_z_x[t] = W_z_x[t] - sum_W_z_x[t]/H (14)
    # centred_W_n_x[t] = W_n_x[t] - sum_W_n_x[t]/H (18)
    # square_W_z_x[t] = centred_W_z_x[t]**2 (14)
    # square_W_n_x[t] = centred_W_n_x[t]**2 (18)
    # sum_square_W_z_x[t] = sum(square_W_z_x[t]) (14)
    # sum_square_W_n_x[t] = sum(square_W_n_x[t]) (18)
    # std_squared_W_z_x[t] = sum_square_W_z_x[t]/H + 1e-05 (14)
    # std_squared_W_n_x[t] = sum_square_W_n_x[t]/H + 1e-05 (18)
    # std_W_z_x[t] = sqrt(std_squared_W_z_x[t]) (14)
    # std_W_n_x[t] = sqrt(std_squared_W_n_x[t]) (18)
    # a_z_in[t] = centred_W_z_x[t]*g_z/std_W_z_x[t] + b_z (14)
    # a_n_in[t] = centred_W_n_x[t]*g_n/std_W_n_x[t] + b_n (18)
    _launch_rows(
        kernels.forward_1, batch, H, 256, H, W_z_x_W_n_x, centred_W_n_x_to_centred_W_z_x, std_W_n_x_std_W_z_x,
        g_z, b_z, a_n_in_a_z_in, g_n, b_n,
    )
    # U_n_h[t] = U_n @ h[t-1] (18)
    # U_z_h[t] = U_z @ h[t-1] (14)
    U_n_h_to_U_z_h_t = a_n_z
    cp.matmul(h_t1, U_n_to_U_z_T, out=U_n_h_to_U_z_h_t)
    # a_z[t] = U_z_h[t] + a_z_in[t] (14)
    # a_n[t] = U_n_h[t] + a_n_in[t] (18)
    # z[t] = sigmoid(a_z[t]) (update gate) (14)
    # n[t] = relu(a_n[t]) (candidate) (18)
    # h[t] = z[t]*h[t-1] + (1 - z[t])*n[t] (hidden state) (7)
    _launch_units(kernels.forward_2, batch, H, H, a_n_z, 0, a_n_in_a_z_in, 0, h_t1, 0, h, 0)

    state = {
        "h": h,
    }
    return h.copy(), state


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
    y = cp.empty((*tape.lead, *shape), tape.dtype)
    state = {name: value.copy() for name, value in state.items()}
    for number in range(max(1, -(-tape.steps // tape.every))):
        if keep_tape:
            tape.starts.append(state)
        where, inputs, pack = tape.piece(number)
        rows, state, _ = _forward_sweep(params, inputs, state, pack, False)
        y[where] = pack.sequence(rows, shape, False)
    return y, state, tape if keep_tape else None


def _backward_pieces(
    params: Params, tape: Checkpoints, dy: Any, dstate: dict[str, Any], need_x: bool
) -> tuple[Params, dict[str, Any], dict[str, Any]]:
    """``backward`` piece by piece, from the last one on."""
    grads = Params(cp.zeros(params.flat.shape, tape.dtype), params.sizes)
    dx = {name: cp.empty(x.shape, tape.dtype) for name, x in tape.inputs.items()} if need_x else {}
    for number in reversed(range(len(tape.starts))):
        dstate = _backward_piece(params, tape, number, dy, dstate, grads, dx)
    return grads, dx, dstate


def _backward_piece(
    params: Params, tape: Checkpoints, number: int, dy: Any, dstate: dict[str, Any], grads: Params, dx: dict[str, Any]
) -> dict[str, Any]:
    """Run a piece again, this time with a tape, and go back through it: adds to ``grads``, fills its part of ``dx``."""
    where, inputs, pack = tape.piece(number)
    taped = _forward_sweep(params, inputs, tape.starts[number], pack, True)[2]
    more, parts, dstate = _backward_sweep(params, taped, dy[where], dstate, bool(dx))
    grads.flat += more.flat
    for name, part in parts.items():
        dx[name][where] = pack.sequence(part, params.shapes[name], False)
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


def _need(every: int | None, params: Params, steps: int, batch: int, uneven: bool, keep_tape: bool) -> int:
    """The bytes that ``forward`` and ``backward`` hold at most besides what goes in and comes out."""
    item = params.flat.dtype.itemsize
    length = steps if every is None else min(every, steps)
    untaped, taped, back = _held(params.sizes, length, batch, item, uneven)
    states = item * batch * sum(LAGS.get(name, 1) * math.prod(params.shapes[name]) for name in STATES)
    if every is None:
        return states + (max(taped, back) if keep_tape else untaped)
    # of a piece: what it returns, the states before and behind it, and these on their way
    y = item * length * batch * math.prod(_shape(("H",), params.sizes))
    dx = item * length * batch * sum(math.prod(params.shapes[name]) for name in INPUTS)
    if not keep_tape:
        return 3 * states + untaped + y
    kept = states * max(1, -(-steps // every))
    return kept + 3 * states + max(taped, back + dx + params.flat.nbytes)


def _held(sizes: Mapping[str, int], steps: int, batch: int, item: int, uneven: bool) -> tuple[int, int, int]:
    """Bytes of the arrays in a sweep over so many steps: forward without a tape, forward with one, backward beside it.
    ``uneven``: sequences end early, so that rows are copied together."""
    D = sizes["D"]
    H = sizes["H"]
    rows = steps * batch
    untaped = item * (rows * (6*H + 2) + batch * 3*H) + 488 * steps
    taped = item * (rows * (9*H + 2) + batch * H) + 488 * steps
    back = item * (rows * (13*H + 3) + batch * 5*H) + 880 * steps
    if uneven:
        untaped += rows * (item * (D + H) + 8)
        taped += rows * (item * D + 8)
        back += rows * (item * (2*D + 2*H) + 16)
    return untaped, taped, back


def _float_type(name: str, dtype: Any) -> Any:
    """float32 or float64 as a NumPy type; a TypeError that names the argument for anything else."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind not in (np.dtype("float32"), np.dtype("float64")):
        raise TypeError(f"{name}: expected float32 or float64, got {dtype if kind is None else kind}")
    return kind


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
    found = cp.asnumpy(lengths)
    steps = int(found.max()) if found.size and found.dtype.kind in "iu" else 0
    ends = _check_lengths(found, steps, found.size)
    for one, other in zip(found.tolist(), found.tolist()[1:]):
        if other > one:
            raise ValueError(f"lengths: expected the longest first where rows are packed, got {other} behind {one}")
    _check_inputs(inputs, (int(found.sum()),), params)
    return steps, found.size, ends


def _check_lengths(lengths: Any, steps: int, batch: int) -> np.ndarray | None:
    """``lengths`` as integers (B,) between 0 and T; None where every sequence is T long."""
    if lengths is None:
        return None
    found = cp.asnumpy(lengths)
    if found.shape != (batch,) or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"lengths: expected {batch} integers, got {found.dtype} of shape {found.shape}")
    found = found.astype(int)
    if found.size and (found.min() < 0 or found.max() > steps):
        raise ValueError(f"lengths: expected numbers from 0 to T = {steps}, got {found.min()} to {found.max()}")
    return None if (found == steps).all() else found


KERNELS = ("forward_1", "forward_2", "backward_1", "backward_2")
CUDA = r"""
__device__ inline real relu(real v) { return v < 0 ? 0 : v; }
__device__ inline real sigmoid(real v) { return 1 / (1 + exp(-v)); }

// The sum of one value per thread of a warp, known to all of them.
__device__ inline real warp_sum(real value) {
    for (int k = 16; k > 0; k /= 2) value += __shfl_xor_sync(0xffffffffu, value, k);
    return value;
}

// The sum of one value per thread of a block, known to all of them; a block is whole warps.
__device__ inline real block_sum(real value) {
    __shared__ real warps[32];
    value = warp_sum(value);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = warps[0];
    for (int k = 1; k < blockDim.x / 32; ++k) value += warps[k];
    __syncthreads();
    return value;
}

__device__ inline void forward_1_row(
    const long long row,
    const long long H,
    const real* W_z_x_W_n_x_t_rows,
    real* centred_W_n_x_to_centred_W_z_x_t_rows,
    real* std_W_n_x_std_W_z_x_t_rows,
    const real* g_z,
    const real* b_z,
    real* a_n_in_a_z_in_t_rows,
    const real* g_n,
    const real* b_n) {
    const real* W_z_x_W_n_x_t_row = W_z_x_W_n_x_t_rows + row * (2*H);
    real* centred_W_n_x_to_centred_W_z_x_t_row = centred_W_n_x_to_centred_W_z_x_t_rows + row * (2*H);
    real* std_W_n_x_std_W_z_x_t_row = std_W_n_x_std_W_z_x_t_rows + row * 2;
    real* a_n_in_a_z_in_t_row = a_n_in_a_z_in_t_rows + row * (2*H);
    real partial_sum_W_z_x = 0;
    real partial_sum_W_n_x = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real W_z_x_t = W_z_x_W_n_x_t_row[unit];
        const real W_n_x_t = W_z_x_W_n_x_t_row[H + unit];
        partial_sum_W_z_x += W_z_x_t;
        partial_sum_W_n_x += W_n_x_t;
    }
    // sum_W_z_x[t] = sum(W_z_x[t]) (14)
    const real sum_W_z_x_t = block_sum(partial_sum_W_z_x);
    // sum_W_n_x[t] = sum(W_n_x[t]) (18)
    const real sum_W_n_x_t = block_sum(partial_sum_W_n_x);
    real partial_sum_square_W_z_x = 0;
    real partial_sum_square_W_n_x = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real W_z_x_t = W_z_x_W_n_x_t_row[unit];
        const real W_n_x_t = W_z_x_W_n_x_t_row[H + unit];
        // centred_W_z_x[t] = W_z_x[t] - sum_W_z_x[t]/H (14)
        const real centred_W_z_x_t = W_z_x_t - sum_W_z_x_t / (real)H;
        // centred_W_n_x[t] = W_n_x[t] - sum_W_n_x[t]/H (18)
        const real centred_W_n_x_t = W_n_x_t - sum_W_n_x_t / (real)H;
        // square_W_z_x[t] = centred_W_z_x[t]**2 (14)
        const real square_W_z_x_t = centred_W_z_x_t * centred_W_z_x_t;
        // square_W_n_x[t] = centred_W_n_x[t]**2 (18)
        const real square_W_n_x_t = centred_W_n_x_t * centred_W_n_x_t;
        partial_sum_square_W_z_x += square_W_z_x_t;
        partial_sum_square_W_n_x += square_W_n_x_t;
        centred_W_n_x_to_centred_W_z_x_t_row[H + unit] = centred_W_z_x_t;
        centred_W_n_x_to_centred_W_z_x_t_row[unit] = centred_W_n_x_t;
    }
    // sum_square_W_z_x[t] = sum(square_W_z_x[t]) (14)
    const real sum_square_W_z_x_t = block_sum(partial_sum_square_W_z_x);
    // sum_square_W_n_x[t] = sum(square_W_n_x[t]) (18)
    const real sum_square_W_n_x_t = block_sum(partial_sum_square_W_n_x);
    // std_squared_W_z_x[t] = sum_square_W_z_x[t]/H + 1e-05 (14)
    const real std_squared_W_z_x_t = sum_square_W_z_x_t / (real)H + (real)1e-05;
    // std_squared_W_n_x[t] = sum_square_W_n_x[t]/H + 1e-05 (18)
    const real std_squared_W_n_x_t = sum_square_W_n_x_t / (real)H + (real)1e-05;
    // std_W_z_x[t] = sqrt(std_squared_W_z_x[t]) (14)
    const real std_W_z_x_t = sqrt(std_squared_W_z_x_t);
    // std_W_n_x[t] = sqrt(std_squared_W_n_x[t]) (18)
    const real std_W_n_x_t = sqrt(std_squared_W_n_x_t);
    if (threadIdx.x == 0) std_W_n_x_std_W_z_x_t_row[1] = std_W_z_x_t;
    if (threadIdx.x == 0) std_W_n_x_std_W_z_x_t_row[0] = std_W_n_x_t;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_W_z_x_t = centred_W_n_x_to_centred_W_z_x_t_row[H + unit];
        const real centred_W_n_x_t = centred_W_n_x_to_centred_W_z_x_t_row[unit];
        // a_z_in[t] = centred_W_z_x[t]*g_z/std_W_z_x[t] + b_z (14)
        const real a_z_in_t = centred_W_z_x_t * g_z[unit] / std_W_z_x_t + b_z[unit];
        // a_n_in[t] = centred_W_n_x[t]*g_n/std_W_n_x[t] + b_n (18)
        const real a_n_in_t = centred_W_n_x_t * g_n[unit] / std_W_n_x_t + b_n[unit];
        a_n_in_a_z_in_t_row[H + unit] = a_z_in_t;
        a_n_in_a_z_in_t_row[unit] = a_n_in_t;
    }
}

struct forward_2_in {
    real U_z_h_t, a_z_in_t, U_n_h_t, a_n_in_t, h_t1;
};

// What a unit of forward_2 reads.
__device__ inline forward_2_in forward_2_read(
    const long long row,
    const int unit,
    const long long H,
    real* a_n_z_t_rows,
    const real* a_n_in_a_z_in_t_rows,
    const real* h_t1_rows,
    real* h_t_rows) {
    forward_2_in in;
    in.U_z_h_t = a_n_z_t_rows[row * (2*H) + H + unit];
    in.a_z_in_t = a_n_in_a_z_in_t_rows[row * (2*H) + H + unit];
    in.U_n_h_t = a_n_z_t_rows[row * (2*H) + unit];
    in.a_n_in_t = a_n_in_a_z_in_t_rows[row * (2*H) + unit];
    in.h_t1 = h_t1_rows[row * H + unit];
    return in;
}

__device__ inline void forward_2_unit(
    const long long row,
    const int unit,
    const long long H,
    real* a_n_z_t_rows,
    const real* a_n_in_a_z_in_t_rows,
    const real* h_t1_rows,
    real* h_t_rows,
    const forward_2_in& in) {
    // a_z[t] = U_z_h[t] + a_z_in[t] (14)
    const real a_z_t = in.U_z_h_t + in.a_z_in_t;
    // a_n[t] = U_n_h[t] + a_n_in[t] (18)
    const real a_n_t = in.U_n_h_t + in.a_n_in_t;
    // z[t] = sigmoid(a_z[t]) (update gate) (14)
    const real z_t = sigmoid(a_z_t);
    // n[t] = relu(a_n[t]) (candidate) (18)
    const real n_t = relu(a_n_t);
    // h[t] = z[t]*h[t-1] + (1 - z[t])*n[t] (hidden state) (7)
    const real h_t = z_t * in.h_t1 + (1 - z_t) * n_t;
    a_n_z_t_rows[row * (2*H) + unit] = a_n_t;
    a_n_z_t_rows[row * (2*H) + H + unit] = z_t;
    h_t_rows[row * H + unit] = h_t;
}

struct backward_1_in {
    real a_n_t, dy_t, dh_back_next, dh_via_next, z_t, h_t1;
};

// What a unit of backward_1 reads.
__device__ inline backward_1_in backward_1_read(
    const long long row,
    const int unit,
    const long long H,
    const real* a_n_z_t_rows,
    const real* dy_t_rows,
    const real* dh_back_next_rows,
    const real* dh_via_next_rows,
    const real* h_t1_rows,
    real* dh_via_t_rows,
    real* da_n_da_z_t_rows) {
    backward_1_in in;
    in.a_n_t = a_n_z_t_rows[row * (2*H) + unit];
    in.dy_t = dy_t_rows[row * H + unit];
    in.dh_back_next = dh_back_next_rows[row * H + unit];
    in.dh_via_next = dh_via_next_rows[row * H + unit];
    in.z_t = a_n_z_t_rows[row * (2*H) + H + unit];
    in.h_t1 = h_t1_rows[row * H + unit];
    return in;
}

__device__ inline void backward_1_unit(
    const long long row,
    const int unit,
    const long long H,
    const real* a_n_z_t_rows,
    const real* dy_t_rows,
    const real* dh_back_next_rows,
    const real* dh_via_next_rows,
    const real* h_t1_rows,
    real* dh_via_t_rows,
    real* da_n_da_z_t_rows,
    const backward_1_in& in) {
    // n[t] = relu(a_n[t]) (candidate) (18)
    const real n_t = relu(in.a_n_t);
    // dh[t] = dy[t] + dh_back[t+1] + dh_via[t+1] (43)
    const real dh_t = in.dy_t + in.dh_back_next + in.dh_via_next;
    // dn[t] = dh[t]*(1 - z[t]) (44)
    const real dn_t = dh_t * (1 - in.z_t);
    // dz[t] = dh[t]*(h[t-1] - n[t]) (48)
    const real dz_t = dh_t * (in.h_t1 - n_t);
    // dh_via[t] = dh[t]*z[t] (43)
    const real dh_via_t = dh_t * in.z_t;
    // da_n[t] = dn[t]*greater(a_n[t], 0) (65)
    const real da_n_t = dn_t * (real)(in.a_n_t > 0);
    // da_z[t] = dz[t]*z[t]*(1 - z[t]) (61)
    const real da_z_t = dz_t * in.z_t * (1 - in.z_t);
    dh_via_t_rows[row * H + unit] = dh_via_t;
    da_n_da_z_t_rows[row * (2*H) + unit] = da_n_t;
    da_n_da_z_t_rows[row * (2*H) + H + unit] = da_z_t;
}

__device__ inline void backward_2_row(
    const long long row,
    const long long H,
    const real* da_n_da_z_t_rows,
    const real* centred_W_n_x_to_centred_W_z_x_t_rows,
    const real* g_n,
    const real* g_z,
    const real* std_W_n_x_std_W_z_x_t_rows,
    real* dg_z_each_dg_n_each_t_rows,
    real* dcentred_W_z_x_to_dcentred_W_n_x_t_rows,
    real* dW_z_x_dW_n_x_t_rows) {
    const real* da_n_da_z_t_row = da_n_da_z_t_rows + row * (2*H);
    const real* centred_W_n_x_to_centred_W_z_x_t_row = centred_W_n_x_to_centred_W_z_x_t_rows + row * (2*H);
    const real* std_W_n_x_std_W_z_x_t_row = std_W_n_x_std_W_z_x_t_rows + row * 2;
    real* dg_z_each_dg_n_each_t_row = dg_z_each_dg_n_each_t_rows + row * (2*H);
    real* dcentred_W_z_x_to_dcentred_W_n_x_t_row = dcentred_W_z_x_to_dcentred_W_n_x_t_rows + row * (2*H);
    real* dW_z_x_dW_n_x_t_row = dW_z_x_dW_n_x_t_rows + row * (2*H);
    const real std_W_z_x_t = std_W_n_x_std_W_z_x_t_row[1];
    const real std_W_n_x_t = std_W_n_x_std_W_z_x_t_row[0];
    real partial_dstd_W_n_x_sum = 0;
    real partial_dstd_W_z_x_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real da_n_t = da_n_da_z_t_row[unit];
        const real centred_W_n_x_t = centred_W_n_x_to_centred_W_z_x_t_row[unit];
        const real da_z_t = da_n_da_z_t_row[H + unit];
        const real centred_W_z_x_t = centred_W_n_x_to_centred_W_z_x_t_row[H + unit];
        // dstd_W_n_x_each[t] = da_n[t]*centred_W_n_x[t]*g_n (52)
        const real dstd_W_n_x_each_t = da_n_t * centred_W_n_x_t * g_n[unit];
        // dstd_W_z_x_each[t] = da_z[t]*centred_W_z_x[t]*g_z (52)
        const real dstd_W_z_x_each_t = da_z_t * centred_W_z_x_t * g_z[unit];
        // dg_z_each[t] = da_z[t]*centred_W_z_x[t]/std_W_z_x[t] (60)
        const real dg_z_each_t = da_z_t * centred_W_z_x_t / std_W_z_x_t;
        // dg_n_each[t] = da_n[t]*centred_W_n_x[t]/std_W_n_x[t] (64)
        const real dg_n_each_t = da_n_t * centred_W_n_x_t / std_W_n_x_t;
        partial_dstd_W_n_x_sum += dstd_W_n_x_each_t;
        partial_dstd_W_z_x_sum += dstd_W_z_x_each_t;
        dg_z_each_dg_n_each_t_row[unit] = dg_z_each_t;
        dg_z_each_dg_n_each_t_row[H + unit] = dg_n_each_t;
    }
    // dstd_W_n_x_sum[t] = sum(dstd_W_n_x_each[t]) (52)
    const real dstd_W_n_x_sum_t = block_sum(partial_dstd_W_n_x_sum);
    // dstd_W_z_x_sum[t] = sum(dstd_W_z_x_each[t]) (52)
    const real dstd_W_z_x_sum_t = block_sum(partial_dstd_W_z_x_sum);
    // dstd_W_n_x[t] = -dstd_W_n_x_sum[t]/std_W_n_x[t]**2 (52)
    const real dstd_W_n_x_t = -dstd_W_n_x_sum_t / (std_W_n_x_t * std_W_n_x_t);
    // dstd_W_z_x[t] = -dstd_W_z_x_sum[t]/std_W_z_x[t]**2 (52)
    const real dstd_W_z_x_t = -dstd_W_z_x_sum_t / (std_W_z_x_t * std_W_z_x_t);
    // dstd_squared_W_n_x[t] = dstd_W_n_x[t]/(2*std_W_n_x[t]) (52)
    const real dstd_squared_W_n_x_t = dstd_W_n_x_t / 2 / std_W_n_x_t;
    // dstd_squared_W_z_x[t] = dstd_W_z_x[t]/(2*std_W_z_x[t]) (52)
    const real dstd_squared_W_z_x_t = dstd_W_z_x_t / 2 / std_W_z_x_t;
    // dsum_square_W_n_x[t] = dstd_squared_W_n_x[t]/H (52)
    const real dsum_square_W_n_x_t = dstd_squared_W_n_x_t / (real)H;
    // dsum_square_W_z_x[t] = dstd_squared_W_z_x[t]/H (52)
    const real dsum_square_W_z_x_t = dstd_squared_W_z_x_t / (real)H;
    real partial_dsum_W_n_x_sum = 0;
    real partial_dsum_W_z_x_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_W_n_x_t = centred_W_n_x_to_centred_W_z_x_t_row[unit];
        const real da_n_t = da_n_da_z_t_row[unit];
        const real centred_W_z_x_t = centred_W_n_x_to_centred_W_z_x_t_row[H + unit];
        const real da_z_t = da_n_da_z_t_row[H + unit];
        // dcentred_W_n_x[t] = 2*dsum_square_W_n_x[t]*centred_W_n_x[t] + da_n[t]*g_n/std_W_n_x[t] (52)
        const real dcentred_W_n_x_t = 2 * dsum_square_W_n_x_t * centred_W_n_x_t + da_n_t * g_n[unit] / std_W_n_x_t;
        // dcentred_W_z_x[t] = 2*dsum_square_W_z_x[t]*centred_W_z_x[t] + da_z[t]*g_z/std_W_z_x[t] (52)
        const real dcentred_W_z_x_t = 2 * dsum_square_W_z_x_t * centred_W_z_x_t + da_z_t * g_z[unit] / std_W_z_x_t;
        partial_dsum_W_n_x_sum += dcentred_W_n_x_t;
        partial_dsum_W_z_x_sum += dcentred_W_z_x_t;
        dcentred_W_z_x_to_dcentred_W_n_x_t_row[H + unit] = dcentred_W_n_x_t;
        dcentred_W_z_x_to_dcentred_W_n_x_t_row[unit] = dcentred_W_z_x_t;
    }
    // dsum_W_n_x_sum[t] = sum(dcentred_W_n_x[t]) (52)
    const real dsum_W_n_x_sum_t = block_sum(partial_dsum_W_n_x_sum);
    // dsum_W_z_x_sum[t] = sum(dcentred_W_z_x[t]) (52)
    const real dsum_W_z_x_sum_t = block_sum(partial_dsum_W_z_x_sum);
    // dsum_W_n_x[t] = -dsum_W_n_x_sum[t]/H (52)
    const real dsum_W_n_x_t = -dsum_W_n_x_sum_t / (real)H;
    // dsum_W_z_x[t] = -dsum_W_z_x_sum[t]/H (52)
    const real dsum_W_z_x_t = -dsum_W_z_x_sum_t / (real)H;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real dcentred_W_n_x_t = dcentred_W_z_x_to_dcentred_W_n_x_t_row[H + unit];
        const real dcentred_W_z_x_t = dcentred_W_z_x_to_dcentred_W_n_x_t_row[unit];
        // dW_n_x[t] = dsum_W_n_x[t] + dcentred_W_n_x[t] (52)
        const real dW_n_x_t = dsum_W_n_x_t + dcentred_W_n_x_t;
        // dW_z_x[t] = dsum_W_z_x[t] + dcentred_W_z_x[t] (52)
        const real dW_z_x_t = dsum_W_z_x_t + dcentred_W_z_x_t;
        dW_z_x_dW_n_x_t_row[H + unit] = dW_n_x_t;
        dW_z_x_dW_n_x_t_row[unit] = dW_z_x_t;
    }
}
"""
LAUNCHES = r"""
extern "C" __global__ void forward_1(
    const long long H,
    const real* __restrict__ W_z_x_W_n_x_t_rows,
    real* centred_W_n_x_to_centred_W_z_x_t_rows,
    real* __restrict__ std_W_n_x_std_W_z_x_t_rows,
    const real* __restrict__ g_z,
    const real* __restrict__ b_z,
    real* __restrict__ a_n_in_a_z_in_t_rows,
    const real* __restrict__ g_n,
    const real* __restrict__ b_n) {
    const long long row = blockIdx.x;
    forward_1_row(row, H, W_z_x_W_n_x_t_rows, centred_W_n_x_to_centred_W_z_x_t_rows, std_W_n_x_std_W_z_x_t_rows, g_z,
        b_z, a_n_in_a_z_in_t_rows, g_n, b_n);
}

extern "C" __global__ void forward_2(
    long long rows,
    const long long H,
    real* a_n_z_t_rows,
    const long long a_n_z_t_at,
    const real* __restrict__ a_n_in_a_z_in_t_rows,
    const long long a_n_in_a_z_in_t_at,
    const real* h_t1_rows,
    const long long h_t1_at,
    real* h_t_rows,
    const long long h_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    forward_2_unit(row, unit, H, a_n_z_t_rows + a_n_z_t_at * (2*H), a_n_in_a_z_in_t_rows + a_n_in_a_z_in_t_at * (2*H),
        h_t1_rows + h_t1_at * H, h_t_rows + h_t_at * H, forward_2_read(row, unit, H, a_n_z_t_rows + a_n_z_t_at * (2*H),
        a_n_in_a_z_in_t_rows + a_n_in_a_z_in_t_at * (2*H), h_t1_rows + h_t1_at * H, h_t_rows + h_t_at * H));
}

extern "C" __global__ void backward_1(
    long long rows,
    const long long H,
    const real* __restrict__ a_n_z_t_rows,
    const long long a_n_z_t_at,
    const real* __restrict__ dy_t_rows,
    const long long dy_t_at,
    const real* __restrict__ dh_back_next_rows,
    const long long dh_back_next_at,
    const real* dh_via_next_rows,
    const long long dh_via_next_at,
    const real* __restrict__ h_t1_rows,
    const long long h_t1_at,
    real* dh_via_t_rows,
    const long long dh_via_t_at,
    real* __restrict__ da_n_da_z_t_rows,
    const long long da_n_da_z_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    backward_1_unit(row, unit, H, a_n_z_t_rows + a_n_z_t_at * (2*H), dy_t_rows + dy_t_at * H, dh_back_next_rows +
        dh_back_next_at * H, dh_via_next_rows + dh_via_next_at * H, h_t1_rows + h_t1_at * H, dh_via_t_rows + dh_via_t_at
        * H, da_n_da_z_t_rows + da_n_da_z_t_at * (2*H), backward_1_read(row, unit, H, a_n_z_t_rows + a_n_z_t_at * (2*H),
        dy_t_rows + dy_t_at * H, dh_back_next_rows + dh_back_next_at * H, dh_via_next_rows + dh_via_next_at * H,
        h_t1_rows + h_t1_at * H, dh_via_t_rows + dh_via_t_at * H, da_n_da_z_t_rows + da_n_da_z_t_at * (2*H)));
}

extern "C" __global__ void backward_2(
    const long long H,
    const real* __restrict__ da_n_da_z_t_rows,
    const real* __restrict__ centred_W_n_x_to_centred_W_z_x_t_rows,
    const real* __restrict__ g_n,
    const real* __restrict__ g_z,
    const real* __restrict__ std_W_n_x_std_W_z_x_t_rows,
    real* __restrict__ dg_z_each_dg_n_each_t_rows,
    real* dcentred_W_z_x_to_dcentred_W_n_x_t_rows,
    real* __restrict__ dW_z_x_dW_n_x_t_rows) {
    const long long row = blockIdx.x;
    backward_2_row(row, H, da_n_da_z_t_rows, centred_W_n_x_to_centred_W_z_x_t_rows, g_n, g_z,
        std_W_n_x_std_W_z_x_t_rows, dg_z_each_dg_n_each_t_rows, dcentred_W_z_x_to_dcentred_W_n_x_t_rows,
        dW_z_x_dW_n_x_t_rows);
}
"""


@functools.lru_cache(maxsize=None)
def _compiled(real: str, device: int) -> Any:
    """The kernels for one type of number, compiled when they are first needed (once per device)."""
    module = cp.RawModule(code=f"typedef {real} real;\n{CUDA}\n{LAUNCHES}", options=("--std=c++17",))
    return types.SimpleNamespace(**{name: module.get_function(name) for name in KERNELS})


def _kernels(dtype: Any) -> Any:
    return _compiled("float" if dtype == np.float32 else "double", cp.cuda.Device().id)


def _launch_units(kernel: Any, rows: int, units: int, *args: Any) -> None:
    """One thread per unit of every row: a block has several short rows, or part of a long one."""
    if rows:
        wide = min(units, 256)
        tall = 256 // wide
        kernel((-(-rows // tall), -(-units // wide)), (wide, tall), (rows, *args))


def _launch_rows(kernel: Any, rows: int, units: int, most: int, *args: Any) -> None:
    """One block per row, of whole warps and ``most`` threads at most."""
    if rows:
        kernel((rows,), (min(-(-units // 32) * 32, most),), args)


STRATEGIES = ("auto", "plain", "block", "persistent")
STRATEGY = "auto"
"""How the steps of a sweep run: ``plain``: launch by launch; ``block``: in one launch, each block with its own samples;
``persistent``: in one launch, blocks share the units of a step; ``auto``: what is expected to be quickest."""
TF32 = os.environ.get("CUPY_TF32") == "1"
"""Whether products of steps may round float32 numbers to TF32 (10 bits of fraction) and run on matrix units: where
CuPy's own products may. From compute capability 8.0 on."""
THREADS = 256
FIRST_PRODUCT = {"forward_steps": 1, "backward_steps": 2}
"""By kernel that runs all steps, the number of its first product."""
SHARING = r"""
enum { WARPS = THREADS / 32 };

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
#ifdef __CUDA_ARCH__
            asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
            unsigned now;
            do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(arrived) : "memory");
            while ((int)(now - goal) < 0);
#else
            __atomic_fetch_add(arrived, 1u, __ATOMIC_RELEASE);
            while ((int)(__atomic_load_n(arrived, __ATOMIC_ACQUIRE) - goal) < 0) __nanosleep(20);
#endif
        }
        __syncthreads();
    }
}

// A number is on its way to the cache.
__device__ inline void fetch(const real* number) {
#ifdef __CUDA_ARCH__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(number));
#endif
}

struct alignas(16) real4 {
    real of[4];
};

// Four numbers that other blocks may have written, of a row of ``length`` from ``k`` on; zero behind its end.
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
        return found;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) found.of[j] = k + j < length ? __ldcg(row + k + j) : 0;
    return found;
}

struct Exact {
    static __device__ real of(real number) { return number; }
};

// What a block has of a matrix, ``ROWS`` rows of ``INNER`` numbers, ``APART`` numbers apart in shared memory; and what
// warps make of it there: partial[warp][sample][row], each over some of the numbers. ``Kind`` is what numbers become.
template <int ROWS, int INNER, int APART, class Kind>
struct Slice {
    // Rows of the matrix: ``count`` groups of this block's part of ``width`` columns.
    static __device__ void load(
        real* weights, const real* matrix, long long inner_stride, long long column_stride, const Part& me,
        long long start, int row, int count, int width) {
        const int part = part_of(width), begin = me.begin(width), end = me.end(width);
        for (int item = threadIdx.x; item < count * part * APART; item += THREADS) {
            const int r = item / APART, k = item % APART, unit = begin + r % part;
            const long long column = start + (long long)(r / part) * width + unit;
            const bool there = k < INNER && unit < end;
            weights[(row + r) * APART + k] = there ? Kind::of(matrix[k * inner_stride + column * column_stride]) : 0;
        }
    }
    // What the warps have of a row for a sample, together.
    static __device__ real total(const real* partial, int sample, int row) {
        real sum = partial[sample * ROWS + row];
#pragma unroll
        for (int warp = 1; warp < WARPS; ++warp) sum += partial[(warp * AT_ONCE + sample) * ROWS + row];
        return sum;
    }
    // The totals, to where they go: ``count`` groups of this block's part of ``width`` columns.
    template <bool ADD>
    static __device__ void put(
        real* out, long long stride, const real* partial, int rows, const Part& me, int row, int count, int width) {
        const int part = part_of(width), begin = me.begin(width), size = me.end(width) - begin;
        for (int item = threadIdx.x; item < rows * count * part; item += THREADS) {
            const int sample = item / (count * part), r = item % (count * part);
            if (r % part >= size) continue;
            real* to = out + sample * stride + r / part * width + begin + r % part;
            *to = total(partial, sample, row + r) + (ADD ? *to : 0);
        }
    }
};

__host__ __device__ constexpr int at_least_one(int a, int b) { return (a < b ? a : b) > 1 ? (a < b ? a : b) : 1; }

// A product with up to AT_ONCE samples. The lanes of a warp share its numbers (K_LANES), the samples (SAMPLE_LANES, of
// ``SAMPLES`` each) and the rows, which are so far apart that lanes meet no bank twice.
__host__ __device__ constexpr int apart(int inner, int k_lanes) {
    return (inner + 31) / 32 * 32 + (k_lanes < 8 ? 4 * k_lanes : 0);
}

template <int ROWS, int INNER, int K_LANES, int SAMPLE_LANES, int SAMPLES>
struct Product : Slice<ROWS, INNER, apart(INNER, K_LANES), Exact> {
    enum {
        ROW_LANES = 32 / (K_LANES * SAMPLE_LANES),
        TALL = (ROWS + ROW_LANES - 1) / ROW_LANES,
        WIDTH = apart(INNER, K_LANES),
        TURN = WARPS * K_LANES * 4,  // numbers that all warps take at once
        AHEAD = at_least_one(4 / SAMPLES, (INNER + TURN - 1) / TURN)  // turns that are read before they are needed
    };
    // The next numbers of each of a lane's samples.
    static __device__ void read(real4* to, const real* first, long long stride, int rows, int k, bool aligned) {
#pragma unroll
        for (int s = 0; s < SAMPLES; ++s) {
            const bool there = s * SAMPLE_LANES < rows && k < INNER;
            to[s] = there ? read4(first + s * SAMPLE_LANES * stride, k, INNER, aligned) : real4{};
        }
    }
    // partial[warp][sample][row] of ``left`` with the matrix.
    static __device__ void multiply(real* partial, const real* weights, const real* left, long long stride, int rows) {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const int k_lane = lane % K_LANES, row_lane = lane / K_LANES % ROW_LANES;
        const int sample_lane = lane / (K_LANES * ROW_LANES);
        const bool aligned = ((size_t)left | (size_t)stride * sizeof(real)) % 16 == 0;
        const real* first = left + sample_lane * stride;
        real sum[SAMPLES][TALL] = {};
        const int begin = (warp * K_LANES + k_lane) * 4;
        real4 next[AHEAD][SAMPLES];
#pragma unroll
        for (int turn = 0; turn < AHEAD; ++turn)
            read(next[turn], first, stride, rows - sample_lane, begin + turn * TURN, aligned);
        for (int start = begin; start < INNER; start += AHEAD * TURN)
#pragma unroll
            for (int turn = 0; turn < AHEAD; ++turn) {
                const int k = start + turn * TURN;
                if (k >= INNER) break;
                real4 v[SAMPLES];
#pragma unroll
                for (int s = 0; s < SAMPLES; ++s) v[s] = next[turn][s];
                read(next[turn], first, stride, rows - sample_lane, k + AHEAD * TURN, aligned);
#pragma unroll
                for (int r = 0; r < TALL; ++r) {
                    const real4 w = *(const real4*)(weights + (r * ROW_LANES + row_lane) * WIDTH + k);
#pragma unroll
                    for (int s = 0; s < SAMPLES; ++s)
#pragma unroll
                        for (int j = 0; j < 4; ++j) sum[s][r] += w.of[j] * v[s].of[j];
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

struct Tf32 {
    static __device__ real of(real number) { return __uint_as_float(to_tf32(number)); }
};

// The same as Product on matrix units, which multiply numbers rounded to TF32 (10 bits of fraction) and add in float32.
// A warp takes 16 of the numbers at a time; lane 4 g + t has four neighbours of each of rows g and g + 8 of a tile, and
// of sample g: two steps of the unit, since the order in which numbers are summed is free.
template <int ROWS, int INNER>
struct MatrixProduct : Slice<ROWS, INNER, apart(INNER, 4), Tf32> {
    enum {
        TALL = (ROWS + 15) / 16,
        WIDE = AT_ONCE / 8,
        WIDTH = apart(INNER, 4),
        TURN = WARPS * 16,
        AHEAD = at_least_one(16 / WIDE < 8 ? 16 / WIDE : 8, (INNER + TURN - 1) / TURN)
    };
    static __device__ void read(real4* to, const real* first, long long stride, int rows, int k, bool aligned) {
#pragma unroll
        for (int s = 0; s < WIDE; ++s)
            to[s] = 8 * s < rows && k < INNER ? read4(first + 8 * s * stride, k, INNER, aligned) : real4{};
    }
    static __device__ void multiply(real* partial, const real* weights, const real* left, long long stride, int rows) {
        const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
        const bool aligned = ((size_t)left | (size_t)stride * sizeof(real)) % 16 == 0;
        real sum[TALL][WIDE][4] = {};
        const real* first = left + g * stride;
        real4 next[AHEAD][WIDE];
#pragma unroll
        for (int turn = 0; turn < AHEAD; ++turn)
            read(next[turn], first, stride, rows - g, warp * 16 + 4 * t + turn * TURN, aligned);
        for (int start = warp * 16; start < INNER; start += AHEAD * TURN)
#pragma unroll
            for (int turn = 0; turn < AHEAD; ++turn) {
                const int k = start + turn * TURN + 4 * t;
                if (start + turn * TURN >= INNER) break;  // the same for all lanes
                unsigned v[WIDE][4];
#pragma unroll
                for (int s = 0; s < WIDE; ++s)
#pragma unroll
                    for (int j = 0; j < 4; ++j) v[s][j] = to_tf32(next[turn][s].of[j]);
                read(next[turn], first, stride, rows - g, k + AHEAD * TURN, aligned);
#pragma unroll
                for (int r = 0; r < TALL; ++r) {
                    const uint4 w = *(const uint4*)(weights + (16 * r + g) * WIDTH + k);
                    const uint4 x = *(const uint4*)(weights + (16 * r + g + 8) * WIDTH + k);
                    const unsigned one[4] = {w.x, x.x, w.y, x.y}, two[4] = {w.z, x.z, w.w, x.w};
#pragma unroll
                    for (int s = 0; s < WIDE; ++s) {
                        const unsigned early[2] = {v[s][0], v[s][1]}, late[2] = {v[s][2], v[s][3]};
                        mma_tf32(sum[r][s], one, early);
                        mma_tf32(sum[r][s], two, late);
                    }
                }
            }
#pragma unroll
        for (int r = 0; r < TALL; ++r)
#pragma unroll
            for (int s = 0; s < WIDE; ++s)
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const int row = 16 * r + g + j / 2 * 8;
                    if (row < ROWS) partial[(warp * AT_ONCE + 8 * s + 2 * t + j % 2) * ROWS + row] = sum[r][s][j];
                }
    }
};
"""
"""What they call besides where products run on matrix units."""
STEPS = {
    "forward_steps": r"""
// What a unit of forward_2 reads that is there before the step's products.
__device__ inline forward_2_in forward_2_early(
    const long long row,
    const int unit,
    const long long H,
    real* a_n_z_t_rows,
    const real* a_n_in_a_z_in_t_rows,
    const real* h_t1_rows,
    real* h_t_rows) {
    forward_2_in in = {};
    in.a_z_in_t = a_n_in_a_z_in_t_rows[row * (2*H) + H + unit];
    in.a_n_in_t = a_n_in_a_z_in_t_rows[row * (2*H) + unit];
    in.h_t1 = h_t1_rows[row * H + unit];
    return in;
}

// What it will read in the next step is on its way to the cache.
__device__ inline void forward_2_ahead(
    const long long row,
    const int unit,
    const long long H,
    real* a_n_z_t_rows,
    const real* a_n_in_a_z_in_t_rows,
    const real* h_t1_rows,
    real* h_t_rows) {
    fetch(&a_n_in_a_z_in_t_rows[row * (2*H) + H + unit]);
    fetch(&a_n_in_a_z_in_t_rows[row * (2*H) + unit]);
}

extern "C" __global__ void BOUNDS forward_steps(
    unsigned* meeting,
    const long long* offsets,
    const long long steps,
    const long long batch,
    real* U_n,
    const long long H,
    real* a_n_z,
    const long long keep_tape,
    real* h,
    real* a_n_in_a_z_in) {
    extern __shared__ __align__(16) real shared[];
    const Sequence sequence = {offsets, steps, batch};
    const Part me(batch);
    unsigned goal = 0;
    PRODUCT_1::load(shared + WEIGHTS_1, U_n, 1, H, me, 0, 0, 2, (int)H);
    __syncthreads();
    for (long long t = 0; t < steps; ++t) {
        const long long next = t + 1 < steps ? t + 1 : t;
        const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
        for (long long first = me.first; first < last; first += AT_ONCE) {
            const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
            real* const a_n_z_t = a_n_z + (sequence.kept(0, t, keep_tape) + first)*2*H;
            real* const a_n_in_a_z_in_t = a_n_in_a_z_in + (sequence.whole(0, t) + first)*2*H;
            real* const h_t1 = h + (sequence.whole(1, t) + first)*H;
            real* const h_t = h + (sequence.whole(1, t + 1) + first)*H;
            real* const a_n_z_t_ahead = a_n_z + (sequence.kept(0, next, keep_tape) + first)*2*H;
            real* const a_n_in_a_z_in_t_ahead = a_n_in_a_z_in + (sequence.whole(0, next) + first)*2*H;
            real* const h_t1_ahead = h + (sequence.whole(1, next) + first)*H;
            real* const h_t_ahead = h + (sequence.whole(1, next + 1) + first)*H;
            forward_2_in forward_2_known = {};
            {
                const int begin = me.begin((int)H);
                const int count = me.end((int)H) - begin;
                const int row = count ? threadIdx.x / count : 0, unit = count ? begin + threadIdx.x % count : 0;
                if (count && row < rows)
                    forward_2_known = forward_2_early(row, unit, H, a_n_z_t, a_n_in_a_z_in_t, h_t1, h_t);
                if (count && first + row < following)
                    forward_2_ahead(row, unit, H, a_n_z_t_ahead, a_n_in_a_z_in_t_ahead, h_t1_ahead, h_t_ahead);
            }
            // U_n_h[t] = U_n @ h[t-1] (18)
            // U_z_h[t] = U_z @ h[t-1] (14)
            PRODUCT_1::multiply(shared + PARTIAL_1, shared + WEIGHTS_1, h + (sequence.whole(1, t) + first)*H, H,
                (int)rows);
            __syncthreads();
            {
                const int begin = me.begin((int)H);
                const int count = me.end((int)H) - begin;
                for (int item = threadIdx.x; item < (int)rows * count; item += THREADS) {
                    const int row = item / count, unit = begin + item % count;
                    forward_2_in in = forward_2_known;
                    if (item >= THREADS)
                        in = forward_2_early(row, unit, H, a_n_z_t, a_n_in_a_z_in_t, h_t1, h_t);
                    in.U_z_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, 1 * part_of(H) + unit - begin);
                    in.U_n_h_t = PRODUCT_1::total(shared + PARTIAL_1, row, unit - begin);
                    forward_2_unit(row, unit, H, a_n_z_t, a_n_in_a_z_in_t, h_t1, h_t, in);
                }
            }
            __syncthreads();
        }
        meet(meeting, goal);
    }
}
""",
    "backward_steps": r"""
// What a unit of backward_1 reads that is there before the step's products.
__device__ inline backward_1_in backward_1_early(
    const long long row,
    const int unit,
    const long long H,
    const real* a_n_z_t_rows,
    const real* dy_t_rows,
    const real* dh_back_next_rows,
    const real* dh_via_next_rows,
    const real* h_t1_rows,
    real* dh_via_t_rows,
    real* da_n_da_z_t_rows) {
    backward_1_in in = {};
    in.a_n_t = a_n_z_t_rows[row * (2*H) + unit];
    in.dy_t = dy_t_rows[row * H + unit];
    in.dh_back_next = dh_back_next_rows[row * H + unit];
    in.dh_via_next = dh_via_next_rows[row * H + unit];
    in.z_t = a_n_z_t_rows[row * (2*H) + H + unit];
    in.h_t1 = h_t1_rows[row * H + unit];
    return in;
}

// What it will read in the next step is on its way to the cache.
__device__ inline void backward_1_ahead(
    const long long row,
    const int unit,
    const long long H,
    const real* a_n_z_t_rows,
    const real* dy_t_rows,
    const real* dh_back_next_rows,
    const real* dh_via_next_rows,
    const real* h_t1_rows,
    real* dh_via_t_rows,
    real* da_n_da_z_t_rows) {
    fetch(&a_n_z_t_rows[row * (2*H) + unit]);
    fetch(&dy_t_rows[row * H + unit]);
    fetch(&a_n_z_t_rows[row * (2*H) + H + unit]);
    fetch(&h_t1_rows[row * H + unit]);
}

extern "C" __global__ void BOUNDS backward_steps(
    unsigned* meeting,
    const long long* offsets,
    const long long steps,
    const long long batch,
    const long long H,
    real* a_n_z,
    real* dy,
    real* dh_back,
    real* dh_via,
    real* h,
    real* da_n_da_z,
    real* U_n) {
    extern __shared__ __align__(16) real shared[];
    const Sequence sequence = {offsets, steps, batch};
    const Part me(batch);
    unsigned goal = 0;
    long long before = 0;  // samples of the step before
    PRODUCT_2::load(shared + WEIGHTS_2, U_n, H, 1, me, 0, 0, 1, (int)H);
    __syncthreads();
    for (long long t = steps - 1; t >= 0; --t) {
        const long long next = t > 0 ? t - 1 : 0;
        const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
        for (long long first = me.first; first < last; first += AT_ONCE) {
            const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
            real* const a_n_z_t = a_n_z + (sequence.whole(0, t) + first)*2*H;
            real* const dy_t = dy + (sequence.whole(0, t) + first)*H;
            real* const dh_back_next = dh_back + (sequence.ring(1, t + 1) + first)*H;
            real* const dh_via_next = dh_via + (sequence.ring(1, t + 1) + first)*H;
            real* const h_t1 = h + (sequence.whole(1, t) + first)*H;
            real* const dh_via_t = dh_via + (sequence.ring(1, t) + first)*H;
            real* const da_n_da_z_t = da_n_da_z + (sequence.whole(0, t) + first)*2*H;
            real* const a_n_z_t_ahead = a_n_z + (sequence.whole(0, next) + first)*2*H;
            real* const dy_t_ahead = dy + (sequence.whole(0, next) + first)*H;
            real* const dh_back_next_ahead = dh_back + (sequence.ring(1, next + 1) + first)*H;
            real* const dh_via_next_ahead = dh_via + (sequence.ring(1, next + 1) + first)*H;
            real* const h_t1_ahead = h + (sequence.whole(1, next) + first)*H;
            real* const dh_via_t_ahead = dh_via + (sequence.ring(1, next) + first)*H;
            real* const da_n_da_z_t_ahead = da_n_da_z + (sequence.whole(0, next) + first)*2*H;
            backward_1_in backward_1_known = {};
            {
                const int begin = me.begin((int)H);
                const int count = me.end((int)H) - begin;
                const int row = count ? threadIdx.x / count : 0, unit = count ? begin + threadIdx.x % count : 0;
                if (count && row < rows)
                    backward_1_known = backward_1_early(row, unit, H, a_n_z_t, dy_t, dh_back_next, dh_via_next, h_t1,
                        dh_via_t, da_n_da_z_t);
                if (count && first + row < following)
                    backward_1_ahead(row, unit, H, a_n_z_t_ahead, dy_t_ahead, dh_back_next_ahead, dh_via_next_ahead,
                        h_t1_ahead, dh_via_t_ahead, da_n_da_z_t_ahead);
            }
            {
                const int begin = me.begin((int)H);
                const int count = me.end((int)H) - begin;
                for (int item = threadIdx.x; item < (int)rows * count; item += THREADS) {
                    const int row = item / count, unit = begin + item % count;
                    backward_1_in in = backward_1_known;
                    if (item >= THREADS)
                        in = backward_1_early(row, unit, H, a_n_z_t, dy_t, dh_back_next, dh_via_next, h_t1, dh_via_t,
                            da_n_da_z_t);
                    if (ONE_PIECE && row < before) in.dh_back_next =
                        PRODUCT_2::total(shared + PARTIAL_2, row, unit - begin);
                    backward_1_unit(row, unit, H, a_n_z_t, dy_t, dh_back_next, dh_via_next, h_t1, dh_via_t, da_n_da_z_t,
                        in);
                }
            }
            __syncthreads();
        }
        meet(meeting, goal);
        for (long long first = me.first; first < last; first += AT_ONCE) {
            const long long rows = last - first < AT_ONCE ? last - first : AT_ONCE;
            // dh_back[t] = U_z.T @ da_z[t] + U_n.T @ da_n[t] (43)
            PRODUCT_2::multiply(shared + PARTIAL_2, shared + WEIGHTS_2, da_n_da_z + (sequence.whole(0, t) + first)*2*H,
                2*H, (int)rows);
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


MEETING = {"": 0.05, "cluster": 0.4, "grid": 1.15}
PASS, PHASE, PRODUCT = 0.3, 1.4, 1.45
MULTIPLIED, MATRIX_RATE, CACHE, CLUSTERED = 110e3, 3.5, 6.5e6, 0.93
"""What a step costs on an H100, fitted to steps of five cells there, of 1 to 256 samples with 128 to 1024 units. In
microseconds: a meeting, by how blocks wait; threads once over their units; a phase of a row, for its sums; a product,
whatever its size. In a microsecond: numbers that a multiprocessor multiplies
(on matrix units so many times as many), and bytes that all read of the cache. And
the share of multiprocessors that clusters of more than two blocks use."""
HOST, NODE, OPERATIONS, BYTES = 21, 5, 18e6, 1.7e6
"""The same of launches: microseconds of one, of the host's and of the device's; what a product over all samples
computes and reads in a microsecond."""


class Step(NamedTuple):
    """What a step has to do: how often blocks meet; by product, what it sums over, and the counts and widths of its
    results; by kernel, the units of a row as (first axis, for each of these) where these are shared, and where rows
    are, the same by phase; how many launches it is otherwise."""

    meetings: int
    products: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    units: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, int], ...]
    launches: int


class Shares(NamedTuple):
    """How blocks share the steps of a sweep: ``groups`` of samples, each of ``parts`` blocks that share units; so many
    samples at once, which may be all of a group; whether blocks wait for each other by ``grid``, by ``cluster`` or not
    (empty); by product what a block has of it, as its template's arguments; the microseconds expected of a step."""

    groups: int
    parts: int
    at_once: int
    one_piece: bool
    waits: str
    tf32: bool
    products: tuple[tuple[int, ...], ...]
    expected: float

    def layout(self, itemsize: int) -> tuple[list[int], list[int], int]:
        """Where in shared memory the weights of each product begin, and its partial sums; how many bytes there are."""
        weights, partial, stop = [], [], 0
        for rows, inner, *lanes in self.products:
            k_lanes, tile = (4, 16) if self.tf32 else (lanes[0], 32 // (lanes[0] * lanes[1]))
            width = -(-inner // 32) * 32 + (4 * k_lanes if k_lanes < 8 else 0)
            weights.append(stop)
            partial.append(stop + -(-rows // tile) * tile * width)
            stop = partial[-1] + -(-THREADS // 32 * self.at_once * rows // 4) * 4
        return weights, partial, stop * itemsize


def _work(name: str, sizes: Mapping[str, int]) -> Step:
    """What a step of a sweep has to do."""
    return {
        "forward_steps": Step(
            meetings=1,
            products=((sizes["H"], ((2, sizes["H"]),)),),
            units=((sizes["H"], 1),),
            rows=(),
            launches=2
        ),
        "backward_steps": Step(
            meetings=1,
            products=((2*sizes["H"], ((1, sizes["H"]),)),),
            units=((sizes["H"], 1),),
            rows=(),
            launches=2
        ),
    }[name]


def _run_steps(name: str, sizes: Mapping[str, int], pack: Packing, dtype: Any, *args: Any) -> list[int]:
    """All steps of a sweep in one launch, where the device can do that and is quicker so.

    Returns the steps that are left: all, each as its number of samples, or none.
    """
    device = cp.cuda.Device()
    shares = _shares(STRATEGY, _work(name, sizes), pack.batch, dtype.itemsize, device.id, TF32) if pack.size else None
    if shares is None:
        return pack.counts
    kernel, shared = _steps_kernel(name, shares, dtype.name, device.id)
    offsets = None if pack.order is None else cp.asarray(np.array(pack.offsets))
    meeting = cp.zeros(32 * shares.groups, np.uint32)
    grid = (shares.groups, shares.parts)
    kernel(grid, (THREADS,), (meeting, offsets, len(pack.counts), pack.batch, *args), shared_mem=shared)
    return []


@functools.lru_cache(maxsize=64)
def _steps_kernel(name: str, shares: Shares, dtype: str, device: int) -> tuple[Any, int]:
    """The kernel for these sizes, compiled when it is first needed, and the bytes of shared memory of a block."""
    weights, partial, shared = shares.layout(np.dtype(dtype).itemsize)
    cluster = f" __cluster_dims__(1, {shares.parts}, 1)" if shares.waits == "cluster" else ""
    given = {"THREADS": THREADS, "PARTS": shares.parts, "AT_ONCE": shares.at_once, "ONE_PIECE": int(shares.one_piece),
             "CLUSTERS": int(shares.waits == "cluster")}
    for k, product in enumerate(shares.products):
        number = FIRST_PRODUCT[name] + k
        kind = "MatrixProduct" if shares.tf32 else "Product"
        given |= {f"PRODUCT_{number}": f"{kind}<{', '.join(map(str, product))}>", f"WEIGHTS_{number}": weights[k],
                  f"PARTIAL_{number}": partial[k]}
    head = "\n".join(f"#define {key} {value}" for key, value in given.items())
    real = "float" if dtype == "float32" else "double"
    steps = STEPS[name].replace("BOUNDS", f"__launch_bounds__({THREADS}, 1){cluster}")
    units = MATRIX_UNITS if shares.tf32 else ""
    code = f"typedef {real} real;\n{head}\n{CUDA}\n{SHARING}\n{units}\n{steps}"
    module = cp.RawModule(code=code, options=("--std=c++17",), enable_cooperative_groups=shares.waits == "grid")
    kernel = module.get_function(name)
    kernel.max_dynamic_shared_size_bytes = shared
    return kernel, shared


@functools.lru_cache(maxsize=256)
def _shares(
    strategy: str, step: Step, batch: int, itemsize: int, device: int, tf32: bool = False
) -> Shares | None:
    """How blocks share a step; None where launching every stage by itself is expected to be quicker, or must be.

    Raises ValueError for an unknown strategy, RuntimeError for one that the device has no room for.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"STRATEGY: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if strategy == "plain":
        return None
    limits = cp.cuda.Device(device).attributes
    # what threads know of each other's when they meet over a row has room of its own: 32 sums, 32 largest values
    processors, room, besides = limits["MultiProcessorCount"], limits["MaxSharedMemoryPerBlockOptin"], 2 * 32 * itemsize
    capability = int(cp.cuda.Device(device).compute_capability)
    tf32 = tf32 and itemsize == 4 and capability >= 80 and bool(step.products)
    most = processors if limits["CooperativeLaunch"] and strategy != "block" else 1
    found = [
        _shared_by(parts, processors, capability >= 90 and parts in (2, 4, 8), tf32, step, batch, itemsize)
        for parts in range(2 if strategy == "persistent" else 1, most + 1)
    ]
    several = [shares for shares in found if shares]
    fitting = [shares for shares in several if shares.layout(itemsize)[2] + besides <= room]
    best = min(fitting, key=lambda shares: shares.expected, default=None)
    if strategy == "auto":
        return best if best and best.expected < _plain(step, batch, itemsize, processors) else None
    if best is None:
        least = min((shares.layout(itemsize)[2] for shares in several), default=0)
        needs = f"{least + besides} bytes of shared memory in a block, which has {room}"
        if not several:
            needs = "more registers than a block has" if found else "a device of cooperative launches"
        raise RuntimeError(f"STRATEGY: {strategy} needs {needs}")
    return best


def _shared_by(
    parts: int, processors: int, cluster: bool, tf32: bool, step: Step, batch: int, itemsize: int
) -> Shares | None:
    """What so many blocks to a group make of a step. None where a block would have more rows than its registers have
    room for."""
    usable = int(processors * CLUSTERED) if cluster and parts > 2 else processors
    groups = max(1, min(usable // parts, batch))
    samples = -(-batch // groups)
    groups = -(-batch // samples)
    rows = [sum(count * -(-width // parts) for count, width in results) for _, results in step.products]
    inner = [length for length, _ in step.products]
    tiles = _tiles(rows, inner, samples, tf32, itemsize)
    if tiles is None:
        return None
    at_once, products = tiles
    pieces = -(-samples // at_once)
    waits = "" if parts == 1 or not step.meetings else "cluster" if cluster else "grid"
    spans = sum(-(-min(at_once, samples) * -(-first // parts) * across // THREADS) for first, across in step.units)
    expected = step.meetings * MEETING[waits] + pieces * spans * PASS + -(-samples // parts) * _phases(step)
    for tall, length in zip(rows, inner):
        turns = at_once / MATRIX_RATE if tf32 else at_once
        multiplied = tall * length * (turns + 1) * itemsize / 4 / MULTIPLIED  # and once to read the matrix
        expected += pieces * (PRODUCT + multiplied) + batch * parts * length * itemsize / CACHE
    return Shares(groups, parts, at_once, pieces == 1, waits, tf32, products, expected)


def _tiles(
    rows: list[int], inner: list[int], samples: int, tf32: bool, itemsize: int
) -> tuple[int, tuple[tuple[int, ...], ...]] | None:
    """How many samples a block works on at once, and its products as their templates' arguments; None where the sums
    of a lane would not fit its registers: 256 bytes of them do."""
    if tf32:
        for wide in (4, 2, 1):  # tiles of 16 rows and 8 samples, of which a lane has four numbers
            if (wide == 1 or 8 * wide < samples + 8) and all(-(-tall // 16) * wide <= 16 for tall in rows):
                return 8 * wide, tuple(zip(rows, inner))
        return None
    sample_lanes, each = next((n, s) for n, s in ((1, 1), (1, 2), (1, 4), (2, 4), (4, 4)) if n * s >= min(samples, 16))
    made = []
    for tall, length in zip(rows, inner):
        lanes = [k for k in (8, 4, 2, 1) if -(-tall * k * sample_lanes // 32) * each <= 256 // itemsize]
        if not lanes:
            return None
        made.append((tall, length, lanes[0], sample_lanes, each))
    return sample_lanes * each, tuple(made)


def _phases(step: Step) -> float:
    """The microseconds of a block with a row of what is shared by rows."""
    return sum(PHASE + PASS * -(-first * across // THREADS) for first, across in step.rows)


def _plain(step: Step, batch: int, itemsize: int, processors: int) -> float:
    """The microseconds of a step whose stages are launches of their own: the host's, or the device's."""
    device = step.launches * NODE + -(-batch // processors) * _phases(step)
    for inner, results in step.products:
        rows = sum(count * width for count, width in results)
        idle = (inner / rows) ** 0.25  # a narrow result leaves multiprocessors idle
        device += (2 * batch * inner * rows / OPERATIONS * idle * itemsize / 4) + inner * rows * itemsize / BYTES
    return max(step.launches * HOST, device)
