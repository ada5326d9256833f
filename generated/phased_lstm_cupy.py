"""Phased LSTM

Neil, Pfeiffer & Liu (2016), Phased LSTM: accelerating recurrent network training for long or event-based sequences,
section 2. A time gate k lets a unit change for a part r_on of its period exp(rho) and leaks alpha otherwise (set alpha
to 0 for use); the time of each step is an input, the phase of each unit s.

The cell phased_lstm as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import cupy as cp
import numpy as np

SIZES = ("D", "H")
PARAMS = {
    "W_i": ("H", "D"),
    "W_f": ("H", "D"),
    "W_o": ("H", "D"),
    "W_c": ("H", "D"),
    "U_i": ("H", "H"),
    "U_f": ("H", "H"),
    "U_o": ("H", "H"),
    "U_c": ("H", "H"),
    "s": ("H",),
    "rho": ("H",),
    "p_i": ("H",),
    "p_f": ("H",),
    "b_i": ("H",),
    "b_f": ("H",),
    "b_c": ("H",),
    "p_o": ("H",),
    "b_o": ("H",),
}
CONSTANTS = {}
START = {
    "W_i": "uniform",
    "W_f": "uniform",
    "W_o": "uniform",
    "W_c": "uniform",
    "U_i": "uniform",
    "U_f": "uniform",
    "U_o": "uniform",
    "U_c": "uniform",
    "s": ("uniform", 4.0),
    "rho": 2.0,
    "p_i": "uniform",
    "p_f": "uniform",
    "b_i": "uniform",
    "b_f": 1.0,
    "b_c": "uniform",
    "p_o": "uniform",
    "b_o": "uniform",
}
INPUTS = {"time": (1,), "x": ("D",)}
STATES = {"h": ("H",), "c": ("H",)}
LAGS = {}
OUTPUT = "h"
EQUATIONS = (
    '"""Phased LSTM\n'
    "\n"
    "Neil, Pfeiffer & Liu (2016), Phased LSTM: accelerating recurrent network training for long or event-based "
    "sequences,\n"
    "section 2. A time gate k lets a unit change for a part r_on of its period exp(rho) and leaks alpha otherwise (set "
    "alpha\n"
    "to 0 for use); the time of each step is an input, the phase of each unit s.\n"
    '"""\n'
    "r_on: const = 0.05\n"
    "alpha: const = 0.001\n"
    "time: 1\n"
    "phi[t] = mod(time[t] - s, exp(rho)) / exp(rho)                        # phase within the period\n"
    "j[t] = where(phi[t] < r_on, 2 - 2 * phi[t] / r_on, alpha * phi[t])    # time gate, closing or closed\n"
    "k[t] = where(phi[t] < r_on / 2, 2 * phi[t] / r_on, j[t])              # time gate\n"
    "i[t] = sigmoid(W_i @ x[t] + U_i @ h[t-1] + p_i * c[t-1] + b_i)        # input gate\n"
    "f[t] = sigmoid(W_f @ x[t] + U_f @ h[t-1] + p_f * c[t-1] + b_f)        # forget gate\n"
    "d[t] = f[t] * c[t-1] + i[t] * tanh(W_c @ x[t] + U_c @ h[t-1] + b_c)   # proposed cell state\n"
    "c[t] = k[t] * d[t] + (1 - k[t]) * c[t-1]                              # cell state\n"
    "o[t] = sigmoid(W_o @ x[t] + U_o @ h[t-1] + p_o * d[t] + b_o)          # output gate\n"
    "h[t] = k[t] * o[t] * tanh(d[t]) + (1 - k[t]) * h[t-1]                 # hidden state\n"
    "b_f: H = 1\n"
    "rho: H = 2\n"
    "s: H = uniform(4)\n"
)
STAMP = "b447e5a4898d9f51"


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
        return Params(self.flat.copy(), self.sizes)

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
    flat = np.concatenate(parts).astype(kind)
    return Params(cp.asarray(flat), sizes)


def _start(start: Any, shape: tuple[int, ...], sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """Where a parameter starts, by its entry in ``START``."""
    if start == "uniform":
        bound = 1 / math.sqrt(_length("H", sizes))  # in ±1/√n
        return rng.uniform(-bound, bound, shape)
    if isinstance(start, tuple) and start[0] == "uniform":
        return rng.uniform(-start[1], start[1], shape)
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
    """

    def __init__(self, steps: int, batch: int, lengths: np.ndarray | None) -> None:
        self.steps, self.batch = steps, batch
        self.order = self.back = self.index = None
        self.ends = np.full(batch, steps)
        counts = np.full(steps, batch)
        if lengths is not None:
            order = np.argsort(-lengths, kind="stable")
            self.ends = lengths[order]
            counts = np.count_nonzero(self.ends[None, :] > np.arange(self.ends.max(initial=0))[:, None], axis=1)
            self.order, self.back = cp.asarray(order), cp.asarray(np.argsort(order, kind="stable"))
            rows = [t * batch + order[:n] for t, n in enumerate(counts)]
            self.index = cp.asarray(np.concatenate([np.zeros(0, int), *rows]))
        self.counts = [int(n) for n in counts]
        self.offsets = [0, *(int(n) for n in np.cumsum(counts))]
        self.size = self.offsets[-1]

    def starts(self, depth: int, whole: bool) -> list[int]:
        """The first row of each slot of a buffer: ``depth`` slots before the sequence and one for every step, or, where
        it does not hold the whole, depth + 1 that are used again and again."""
        if not whole:
            return [k % (depth + 1) * self.batch for k in range(depth + len(self.offsets))]
        return [k * self.batch for k in range(depth)] + [depth * self.batch + start for start in self.offsets]

    def slots(self, depth: int, shift: int, whole: bool) -> list[slice]:
        """By step t, its rows in slot t + ``shift`` of such a buffer."""
        return [slice(first, first + n) for first, n in zip(self.starts(depth, whole)[shift:], self.counts)]

    def past(self, depth: int, shift: int) -> Any:
        """The same rows of all steps, of a buffer that holds the whole, as an index."""
        if self.order is None:
            return slice(shift * self.batch, shift * self.batch + self.size)
        rows = [first + np.arange(n) for first, n in zip(self.starts(depth, True)[shift:], self.counts)]
        return cp.asarray(np.concatenate([np.zeros(0, int), *rows]))

    def rows(self, x: Any) -> Any:
        """(T, B, *shape) as rows, padding left out."""
        flat = x.reshape(self.steps * self.batch, math.prod(x.shape[2:]))
        return cp.ascontiguousarray(flat if self.index is None else flat[self.index])

    def sequence(self, rows: Any) -> Any:
        """Rows as a new (T, B, n), zero in the padding."""
        shape = (self.steps, self.batch, rows.shape[1])
        if self.index is None:
            return rows.reshape(shape).copy()
        y = cp.zeros((self.steps * self.batch, rows.shape[1]), rows.dtype)
        y[self.index] = rows
        return y.reshape(shape)

    def sort(self, state: Any) -> Any:
        """(steps, B, n) with the samples in the order of their rows."""
        return state if self.order is None else state[:, self.order]

    def unsort(self, state: Any) -> Any:
        """The same the other way."""
        return state if self.back is None else state[:, self.back]

    def first(self, count: int) -> Any:
        """The rows of a buffer's first slots, which lie before the sequence, as an index (count, B)."""
        return cp.arange(count * self.batch).reshape(count, self.batch)

    def last(self, depth: int, count: int, whole: bool) -> Any:
        """The rows of ``count`` slots of a buffer from each sample's own end on, as an index (count, B)."""
        step = self.ends + np.arange(count)[:, None]
        return cp.asarray(np.array(self.starts(depth, whole))[step] + np.arange(self.batch))


def forward(
    params: Mapping[str, Any],
    x: Any,
    state: Mapping[str, Any] | None = None,
    lengths: Any = None,
    *,
    keep_tape: bool = True,
    checkpoint: int | str | None = None,
    budget: float | None = None,
) -> tuple[Any, dict[str, Any], Tape | Checkpoints | None]:
    """Run the cell over a batch of sequences.

    x: (T, B, size), by name where there are several inputs; a matrix is (T, B, rows, columns). state: the states
    before the first step, by name, each (B, size), or (k, B, size) where k steps are carried (``LAGS``); one that is
    missing is its learned start, or zero. lengths: (B,) integers; what lies behind a sequence's end is not read.
    checkpoint: the tape holds states alone, every so many steps (``"sqrt"``: √T), and ``backward`` runs the pieces
    between them once more. budget: the bytes that both may hold at once besides what goes in and comes out; the tape
    is whole if that fits, else of as few states as fit. Without a tape both cut the run into pieces all the same.
    Returns y (T, B, size), zero behind the end; the states after each sequence's own last step; and the tape for
    ``backward`` (None where keep_tape is false). Raises ValueError or TypeError for an argument that does not fit.
    """
    checked = _inputs("x", x)
    params = _params(params, checked, {}, None, state)
    steps, batch = _check_inputs(checked, ("T", "B"), params)
    given = _check_state("state", state, batch, params)
    ends = _check_lengths(lengths, steps, batch)
    inputs = {name: value for name, (_, value) in checked.items()}
    every = _every(checkpoint, budget, params, steps, batch, ends is not None, keep_tape)
    if every is not None:
        tape = Checkpoints(every, steps, batch, ends, params.sizes, params.flat.dtype, inputs, [])
        return _forward_pieces(params, tape, given, keep_tape)
    return _forward_sweep(params, inputs, given, Packing(steps, batch, ends), keep_tape)


def _forward_sweep(
    params: Params, inputs: Mapping[str, Any], state: Mapping[str, Any], pack: Packing, keep_tape: bool
) -> tuple[Any, dict[str, Any], Tape | None]:
    """All steps, first to last, of what ``forward`` has checked."""
    batch = pack.batch
    given = _state_rows(state)
    dtype = params.flat.dtype
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    kept_0 = pack.slots(0, 0, keep_tape)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)
    kept_1_0 = pack.slots(1, 0, keep_tape)
    kept_1 = pack.slots(1, 1, keep_tape)

    time_rows = pack.rows(inputs["time"])
    x_rows = pack.rows(inputs["x"])
    a_i_in_to_a_d_in = cp.empty((pack.size, 4*H), dtype)
    i_f_o_tanh_a_d = cp.empty((pack.size if keep_tape else batch, 4*H), dtype)
    k = cp.empty((pack.size, H), dtype)
    c = cp.empty((pack.size + batch if keep_tape else 2 * batch, H), dtype)
    h = cp.empty((pack.size + batch, H), dtype)
    exp_rho = cp.empty((H,), dtype)
    rho = params.stack("rho", "rho")
    s = params.stack("s", "s")
    b_i = params.stack("b_i", "b_i")
    b_f = params.stack("b_f", "b_f")
    b_c = params.stack("b_c", "b_c")
    b_o = params.stack("b_o", "b_o")
    p_i = params.stack("p_i", "p_i")
    p_f = params.stack("p_f", "p_f")
    p_o = params.stack("p_o", "p_o")
    h[pack.first(1)] = pack.sort(given["h"]) if "h" in given else 0
    c[pack.first(1)] = pack.sort(given["c"]) if "c" in given else 0
    kernels = _kernels(dtype)
    W_i_to_W_c_T = params.stack("W_i", "W_c").T
    U_i_to_U_c_T = params.stack("U_i", "U_c").T

    # exp_rho = exp(rho)
    cp.exp(rho, out=exp_rho)
    # a_phi[t] = time[t] - s
    # mod_a_phi[t] = mod(a_phi[t], exp_rho)
    # phi[t] = mod_a_phi[t]/exp_rho (phase within the period)
    # a_j[t] = 2 - 2*phi[t]/r_on
    # where_in_j[t] = alpha*phi[t]
    # a_k[t] = 2*phi[t]/r_on
    # j[t] = where(greater(r_on, phi[t]), a_j[t], where_in_j[t]) (time gate, closing or closed)
    # k[t] = where(greater(r_on/2, phi[t]), a_k[t], j[t]) (time gate)
    _launch_units(kernels.forward_1, pack.size, H, H, time_rows, s, exp_rho, k)
    # W_i_x[t] = W_i @ x[t]
    # W_f_x[t] = W_f @ x[t]
    # W_o_x[t] = W_o @ x[t]
    # W_c_x[t] = W_c @ x[t]
    W_i_x_to_W_c_x = a_i_in_to_a_d_in
    cp.matmul(x_rows, W_i_to_W_c_T, out=W_i_x_to_W_c_x)
    # a_i_in[t] = W_i_x[t] + b_i
    # a_f_in[t] = W_f_x[t] + b_f
    # a_d_in[t] = W_c_x[t] + b_c
    # a_o_in[t] = W_o_x[t] + b_o
    _launch_units(kernels.forward_2, pack.size, H, H, a_i_in_to_a_d_in, b_i, b_f, b_c, b_o)

    for t, n in enumerate(pack.counts):
        # U_i_h[t] = U_i @ h[t-1]
        # U_f_h[t] = U_f @ h[t-1]
        # U_o_h[t] = U_o @ h[t-1]
        # U_c_h[t] = U_c @ h[t-1]
        h_t1 = h[at_1_0[t]]
        U_i_h_to_U_c_h_t = i_f_o_tanh_a_d[kept_0[t]]
        cp.matmul(h_t1, U_i_to_U_c_T, out=U_i_h_to_U_c_h_t)
        # a_i[t] = U_i_h[t] + p_i*c[t-1] + a_i_in[t]
        # a_f[t] = U_f_h[t] + p_f*c[t-1] + a_f_in[t]
        # a_d[t] = U_c_h[t] + a_d_in[t]
        # i[t] = sigmoid(a_i[t]) (input gate)
        # f[t] = sigmoid(a_f[t]) (forget gate)
        # tanh_a_d[t] = tanh(a_d[t])
        # d[t] = f[t]*c[t-1] + i[t]*tanh_a_d[t] (proposed cell state)
        # c[t] = k[t]*d[t] + (1 - k[t])*c[t-1] (cell state)
        # a_o[t] = U_o_h[t] + p_o*d[t] + a_o_in[t]
        # tanh_d[t] = tanh(d[t])
        # o[t] = sigmoid(a_o[t]) (output gate)
        # h[t] = k[t]*o[t]*tanh_d[t] + (1 - k[t])*h[t-1] (hidden state)
        _launch_units(
            kernels.forward_3, n, H, H, i_f_o_tanh_a_d, kept_0[t].start, p_i, c, kept_1_0[t].start,
            a_i_in_to_a_d_in, at_0[t].start, p_f, k, at_0[t].start, c, kept_1[t].start, p_o, h, at_1_0[t].start, h,
            at_1[t].start,
        )

    h_last = h[pack.last(1, 1, True)]
    c_last = c[pack.last(1, 1, keep_tape)]
    h_ = h[batch :]

    last = {
        "h": pack.unsort(h_last)[0],
        "c": pack.unsort(c_last)[0],
    }
    arrays = {
        "c": c,
        "i_f_o_tanh_a_d": i_f_o_tanh_a_d,
        "h": h,
        "x_rows": x_rows,
        "time_rows": time_rows,
    }
    tape = Tape(pack, params.sizes, dtype, arrays) if keep_tape else None
    return pack.sequence(h_), last, tape


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
    steps, batch, dtype = tape.steps, tape.batch, tape.dtype
    shape = _shape(("H",), params.sizes)
    if dy is None:
        dy = cp.broadcast_to(cp.zeros((), dtype), (steps, batch, *shape))
    _array("dy", dy, (steps, batch), shape, dtype)
    given = _check_state("dlast", dlast, batch, params)
    sweep = _backward_pieces if isinstance(tape, Checkpoints) else _backward_sweep
    grads, dx, dstate = sweep(params, tape, dy, given, need_x)
    return Grads(grads, dx or None, dstate)


def _backward_sweep(
    params: Params, tape: Tape, dy: Any, dlast: Mapping[str, Any], need_x: bool
) -> tuple[Params, dict[str, Any], dict[str, Any]]:
    """All steps, last to first, of what ``backward`` has checked: gradients by parameters, inputs and states."""
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
    c = tape.arrays["c"]
    i_f_o_tanh_a_d = tape.arrays["i_f_o_tanh_a_d"]
    h = tape.arrays["h"]
    x_ = tape.arrays["x_rows"]
    time = tape.arrays["time_rows"]
    da_i_da_f_da_o_da_d = cp.empty((pack.size, 4*H), dtype)
    a_phi = cp.empty((pack.size, H), dtype)
    d = cp.empty((pack.size, H), dtype)
    dh = cp.empty((pack.size, H), dtype)
    dc = cp.empty((pack.size, H), dtype)
    mod_a_phi = cp.empty((pack.size, H), dtype)
    tanh_d = cp.empty((pack.size, H), dtype)
    phi = cp.empty((pack.size, H), dtype)
    dp_i_each_dp_f_each = cp.empty((pack.size, 2*H), dtype)
    dp_o_each = cp.empty((pack.size, H), dtype)
    dexp_rho_each = cp.empty((pack.size, H), dtype)
    ds_each = cp.empty((pack.size, H), dtype)
    dtime = cp.empty((pack.size, 1), dtype)
    dx_ = cp.empty((pack.size, D), dtype)
    dh_back = cp.zeros((2 * batch, H), dtype)
    dc_via = cp.zeros((2 * batch, H), dtype)
    dh_via = cp.zeros((2 * batch, H), dtype)
    exp_rho = cp.empty((H,), dtype)
    dexp_rho = cp.empty((H,), dtype)
    rho = params.stack("rho", "rho")
    s = params.stack("s", "s")
    p_o = params.stack("p_o", "p_o")
    p_i = params.stack("p_i", "p_i")
    p_f = params.stack("p_f", "p_f")
    U_i_to_U_c = params.stack("U_i", "U_c")
    dp_i_to_dp_f = grads.stack("p_i", "p_f")
    ds = grads.stack("s", "s")
    dp_o = grads.stack("p_o", "p_o")
    W_i_to_W_c = params.stack("W_i", "W_c")
    dW_i_to_dW_c = grads.stack("W_i", "W_c")
    dU_i_to_dU_c = grads.stack("U_i", "U_c")
    db_i_to_db_f = grads.stack("b_i", "b_f")
    db_c = grads.stack("b_c", "b_c")
    db_o = grads.stack("b_o", "b_o")
    drho = grads.stack("rho", "rho")
    dh_back[pack.last(1, 1, False)] = pack.sort(given["h"]) if "h" in given else 0
    dc_via[pack.last(1, 1, False)] = pack.sort(given["c"]) if "c" in given else 0
    kernels = _kernels(dtype)
    ones = cp.ones((1, pack.size), dtype)

    # exp_rho = exp(rho)
    cp.exp(rho, out=exp_rho)

    for t, n in reversed(list(enumerate(pack.counts))):
        # a_phi[t] = time[t] - s
        # d[t] = f[t]*c[t-1] + i[t]*tanh_a_d[t] (proposed cell state)
        # dh[t] = dy[t] + dh_back[t+1] + dh_via[t+1]
        # dc[t] = dc_via[t+1]
        # mod_a_phi[t] = mod(a_phi[t], exp_rho)
        # tanh_d[t] = tanh(d[t])
        # phi[t] = mod_a_phi[t]/exp_rho (phase within the period)
        # a_j[t] = 2 - 2*phi[t]/r_on
        # where_in_j[t] = alpha*phi[t]
        # a_k[t] = 2*phi[t]/r_on
        # j[t] = where(greater(r_on, phi[t]), a_j[t], where_in_j[t]) (time gate, closing or closed)
        # k[t] = where(greater(r_on/2, phi[t]), a_k[t], j[t]) (time gate)
        # dtanh_d[t] = dh[t]*k[t]*o[t]
        # do[t] = dh[t]*k[t]*tanh_d[t]
        # dh_via[t] = dh[t]*(1 - k[t])
        # da_o[t] = do[t]*o[t]*(1 - o[t])
        # dd[t] = dc[t]*k[t] + da_o[t]*p_o + dtanh_d[t]*(1 - tanh_d[t]**2)
        # dtanh_a_d[t] = dd[t]*i[t]
        # df[t] = dd[t]*c[t-1]
        # di[t] = dd[t]*tanh_a_d[t]
        # da_d[t] = dtanh_a_d[t]*(1 - tanh_a_d[t]**2)
        # da_f[t] = df[t]*f[t]*(1 - f[t])
        # da_i[t] = di[t]*i[t]*(1 - i[t])
        # dc_via[t] = da_i[t]*p_i + da_f[t]*p_f + dd[t]*f[t] + dc[t]*(1 - k[t])
        _launch_units(
            kernels.backward_1, n, H, H, time, at_0[t].start, s, a_phi, at_0[t].start, i_f_o_tanh_a_d,
            at_0[t].start, c, at_1_0[t].start, d, at_0[t].start, dy_rows, at_0[t].start, dh_back, ring_1[t].start,
            dh_via, ring_1[t].start, dh, at_0[t].start, dc_via, ring_1[t].start, dc, at_0[t].start, exp_rho,
            mod_a_phi, at_0[t].start, tanh_d, at_0[t].start, phi, at_0[t].start, dh_via, ring_1_0[t].start,
            da_i_da_f_da_o_da_d, at_0[t].start, p_o, p_i, p_f, dc_via, ring_1_0[t].start,
        )
        # dh_back[t] = U_i.T @ da_i[t] + U_f.T @ da_f[t] + U_c.T @ da_d[t] + U_o.T @ da_o[t]
        da_i_to_da_d_t = da_i_da_f_da_o_da_d[at_0[t]]
        dh_back_t = dh_back[ring_1_0[t]]
        cp.matmul(da_i_to_da_d_t, U_i_to_U_c, out=dh_back_t)

    # dk[t] = dc[t]*(d[t] - c[t-1]) + dh[t]*(o[t]*tanh_d[t] - h[t-1])
    # dp_i_each[t] = da_i[t]*c[t-1]
    # dp_f_each[t] = da_f[t]*c[t-1]
    # dp_o_each[t] = da_o[t]*d[t]
    # da_k[t] = dk[t]*greater(r_on/2, phi[t])
    # dj[t] = dk[t]*(1 - greater(r_on/2, phi[t]))
    # dwhere_in_j[t] = dj[t]*(1 - greater(r_on, phi[t]))
    # da_j[t] = dj[t]*greater(r_on, phi[t])
    # dphi[t] = -2*da_j[t]/r_on + alpha*dwhere_in_j[t] + 2*da_k[t]/r_on
    # dmod_a_phi[t] = dphi[t]/exp_rho
    # dexp_rho_each[t] = dmod_a_phi[t]*(-a_phi[t] + mod_a_phi[t])/exp_rho - dphi[t]*mod_a_phi[t]/exp_rho**2
    # ds_each[t] = -dmod_a_phi[t]
    # dtime_sum[t] = sum(dmod_a_phi[t])
    # dtime[t] = dtime_sum[t]
    c_t1 = c[pack.past(1, 0)]
    h_t1 = h[pack.past(1, 0)]
    _launch_rows(
        kernels.backward_2, pack.size, max(H, 1), 256, H, dc, d, c_t1, dh, i_f_o_tanh_a_d, tanh_d, h_t1,
        da_i_da_f_da_o_da_d, dp_i_each_dp_f_each, dp_o_each, phi, exp_rho, a_phi, mod_a_phi, dexp_rho_each,
        ds_each, dtime,
    )
    # dp_i = sum of dp_i_each[t]
    # dp_f = sum of dp_f_each[t]
    dp_i_each_to_dp_f_each = dp_i_each_dp_f_each
    cp.matmul(ones, dp_i_each_to_dp_f_each, out=dp_i_to_dp_f.reshape(1, -1))
    # ds = sum of ds_each[t]
    cp.matmul(ones, ds_each, out=ds.reshape(1, -1))
    # dp_o = sum of dp_o_each[t]
    cp.matmul(ones, dp_o_each, out=dp_o.reshape(1, -1))
    # dexp_rho = sum of dexp_rho_each[t]
    cp.matmul(ones, dexp_rho_each, out=dexp_rho.reshape(1, -1))
    if need_x:
        # dx[t] = W_i.T @ da_i[t] + W_f.T @ da_f[t] + W_c.T @ da_d[t] + W_o.T @ da_o[t]
        da_i_to_da_d = da_i_da_f_da_o_da_d
        cp.matmul(da_i_to_da_d, W_i_to_W_c, out=dx_)
    # dW_i = sum of outer(da_i[t], x[t])
    # dW_f = sum of outer(da_f[t], x[t])
    # dW_o = sum of outer(da_o[t], x[t])
    # dW_c = sum of outer(da_d[t], x[t])
    da_i_to_da_d_ = da_i_da_f_da_o_da_d
    cp.matmul(da_i_to_da_d_.T, x_, out=dW_i_to_dW_c)
    # dU_i = sum of outer(da_i[t], h[t-1])
    # dU_f = sum of outer(da_f[t], h[t-1])
    # dU_o = sum of outer(da_o[t], h[t-1])
    # dU_c = sum of outer(da_d[t], h[t-1])
    cp.matmul(da_i_to_da_d_.T, h_t1, out=dU_i_to_dU_c)
    # db_i = sum of da_i[t]
    # db_f = sum of da_f[t]
    da_i_to_da_f = da_i_da_f_da_o_da_d[:, : 2*H]
    cp.matmul(ones, da_i_to_da_f, out=db_i_to_db_f.reshape(1, -1))
    # db_c = sum of da_d[t]
    da_d = da_i_da_f_da_o_da_d[:, 3*H :]
    cp.matmul(ones, da_d, out=db_c.reshape(1, -1))
    # db_o = sum of da_o[t]
    da_o = da_i_da_f_da_o_da_d[:, 2*H : 3*H]
    cp.matmul(ones, da_o, out=db_o.reshape(1, -1))
    # drho = dexp_rho*exp_rho
    cp.multiply(dexp_rho, exp_rho, out=drho)

    dh_first = cp.zeros((1, batch, H), dtype)
    dh_first += dh_back[pack.first(1)]
    dh_first += dh_via[pack.first(1)]
    dc_first = dc_via[pack.first(1)]

    dstate = {
        "h": pack.unsort(dh_first)[0],
        "c": pack.unsort(dc_first)[0],
    }
    if not need_x:
        return grads, {}, dstate
    dx = {
        "time": pack.sequence(dtime),
        "x": pack.sequence(dx_),
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

    time_t = cp.ascontiguousarray(inputs["time"][1])
    x_t_ = cp.ascontiguousarray(inputs["x"][1])
    a_i_in_to_a_d_in = cp.empty((batch, 4*H), dtype)
    i_f_o_tanh_a_d = cp.empty((batch, 4*H), dtype)
    k = cp.empty((batch, H), dtype)
    c = cp.empty((batch, H), dtype)
    h = cp.empty((batch, H), dtype)
    exp_rho = cp.empty((H,), dtype)
    rho = params.stack("rho", "rho")
    s = params.stack("s", "s")
    b_i = params.stack("b_i", "b_i")
    b_f = params.stack("b_f", "b_f")
    b_c = params.stack("b_c", "b_c")
    b_o = params.stack("b_o", "b_o")
    p_i = params.stack("p_i", "p_i")
    p_f = params.stack("p_f", "p_f")
    p_o = params.stack("p_o", "p_o")
    h_before = given["h"] if "h" in given else cp.zeros((1, batch, H), dtype)
    c_before = given["c"] if "c" in given else cp.zeros((1, batch, H), dtype)
    kernels = _kernels(dtype)
    W_i_to_W_c_T = params.stack("W_i", "W_c").T
    h_t1 = h_before[0]
    U_i_to_U_c_T = params.stack("U_i", "U_c").T
    c_t1 = c_before[0]

    # exp_rho = exp(rho)
    cp.exp(rho, out=exp_rho)
    # a_phi[t] = time[t] - s
    # mod_a_phi[t] = mod(a_phi[t], exp_rho)
    # phi[t] = mod_a_phi[t]/exp_rho (phase within the period)
    # a_j[t] = 2 - 2*phi[t]/r_on
    # where_in_j[t] = alpha*phi[t]
    # a_k[t] = 2*phi[t]/r_on
    # j[t] = where(greater(r_on, phi[t]), a_j[t], where_in_j[t]) (time gate, closing or closed)
    # k[t] = where(greater(r_on/2, phi[t]), a_k[t], j[t]) (time gate)
    _launch_units(kernels.forward_1, batch, H, H, time_t, s, exp_rho, k)
    # W_i_x[t] = W_i @ x[t]
    # W_f_x[t] = W_f @ x[t]
    # W_o_x[t] = W_o @ x[t]
    # W_c_x[t] = W_c @ x[t]
    W_i_x_to_W_c_x_t = a_i_in_to_a_d_in
    cp.matmul(x_t_, W_i_to_W_c_T, out=W_i_x_to_W_c_x_t)
    # a_i_in[t] = W_i_x[t] + b_i
    # a_f_in[t] = W_f_x[t] + b_f
    # a_d_in[t] = W_c_x[t] + b_c
    # a_o_in[t] = W_o_x[t] + b_o
    _launch_units(kernels.forward_2, batch, H, H, a_i_in_to_a_d_in, b_i, b_f, b_c, b_o)
    # U_i_h[t] = U_i @ h[t-1]
    # U_f_h[t] = U_f @ h[t-1]
    # U_o_h[t] = U_o @ h[t-1]
    # U_c_h[t] = U_c @ h[t-1]
    U_i_h_to_U_c_h_t = i_f_o_tanh_a_d
    cp.matmul(h_t1, U_i_to_U_c_T, out=U_i_h_to_U_c_h_t)
    # a_i[t] = U_i_h[t] + p_i*c[t-1] + a_i_in[t]
    # a_f[t] = U_f_h[t] + p_f*c[t-1] + a_f_in[t]
    # a_d[t] = U_c_h[t] + a_d_in[t]
    # i[t] = sigmoid(a_i[t]) (input gate)
    # f[t] = sigmoid(a_f[t]) (forget gate)
    # tanh_a_d[t] = tanh(a_d[t])
    # d[t] = f[t]*c[t-1] + i[t]*tanh_a_d[t] (proposed cell state)
    # c[t] = k[t]*d[t] + (1 - k[t])*c[t-1] (cell state)
    # a_o[t] = U_o_h[t] + p_o*d[t] + a_o_in[t]
    # tanh_d[t] = tanh(d[t])
    # o[t] = sigmoid(a_o[t]) (output gate)
    # h[t] = k[t]*o[t]*tanh_d[t] + (1 - k[t])*h[t-1] (hidden state)
    _launch_units(
        kernels.forward_3, batch, H, H, i_f_o_tanh_a_d, 0, p_i, c_t1, 0, a_i_in_to_a_d_in, 0, p_f, k, 0, c, 0,
        p_o, h_t1, 0, h, 0,
    )

    state = {
        "h": h,
        "c": c,
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
    sizes: dict[str, int]
    dtype: Any
    inputs: dict[str, Any]
    starts: list[dict[str, Any]]

    @property
    def nbytes(self) -> int:
        """Bytes stored for the backward pass, the inputs included."""
        return sum(array.nbytes for arrays in (self.inputs, *self.starts) for array in arrays.values())

    def piece(self, number: int) -> tuple[slice, dict[str, Any], Packing]:
        """Which steps a piece has, its inputs, and which rows each step works on."""
        start = number * self.every
        steps = min(self.every, self.steps - start)
        lengths = None if self.lengths is None else np.clip(self.lengths - start, 0, steps)
        if lengths is not None and (lengths == steps).all():
            lengths = None
        where = slice(start, start + steps)
        return where, {name: x[where] for name, x in self.inputs.items()}, Packing(steps, self.batch, lengths)


def _forward_pieces(
    params: Params, tape: Checkpoints, state: dict[str, Any], keep_tape: bool
) -> tuple[Any, dict[str, Any], Checkpoints | None]:
    """``forward`` piece by piece, each from the states that the one before it left."""
    y = cp.empty((tape.steps, tape.batch, *_shape(("H",), params.sizes)), tape.dtype)
    state = {name: value.copy() for name, value in state.items()}
    for number in range(max(1, -(-tape.steps // tape.every))):
        if keep_tape:
            tape.starts.append(state)
        where, inputs, pack = tape.piece(number)
        y[where], state, _ = _forward_sweep(params, inputs, state, pack, False)
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
        dx[name][where] = part
    return dstate


def _every(
    checkpoint: Any, budget: Any, params: Params, steps: int, batch: int, packed: bool, keep_tape: bool
) -> int | None:
    """The steps between states that are kept, as ``forward`` was asked for them; None for a whole tape."""
    if budget is not None:
        if checkpoint is not None:
            raise ValueError(f"budget: expected none beside checkpoint = {checkpoint!r}, got {budget!r}")
        return _within(budget, params, steps, batch, packed, keep_tape)
    if checkpoint is None:
        return None
    if isinstance(checkpoint, str) and checkpoint == "sqrt":
        return math.isqrt(max(steps, 1) - 1) + 1
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, (int, np.integer)) or checkpoint < 1:
        raise ValueError(f'checkpoint: expected None, "sqrt" or a number of steps from 1 on, got {checkpoint!r}')
    return int(checkpoint)


def _within(budget: Any, params: Params, steps: int, batch: int, packed: bool, keep_tape: bool) -> int | None:
    """The most steps between states with which all fits in ``budget`` bytes; None where a whole tape does."""
    if isinstance(budget, bool) or not isinstance(budget, (int, float, np.integer, np.floating)) or budget != budget:
        raise ValueError(f"budget: expected a number of bytes, got {budget!r}")
    root = math.isqrt(steps) + 1
    # more steps than these make no fewer pieces
    lengths = {-(-steps // count) for count in range(2, root + 1)} | set(range(1, root + 1))
    needs = {}
    for every in (None, *sorted(lengths, reverse=True)):
        needs[every] = _need(every, params, steps, batch, packed, keep_tape)
        if needs[every] <= budget:
            return every
    raise ValueError(f"budget: expected {min(needs.values())} bytes at least, got {budget!r}")


def _need(every: int | None, params: Params, steps: int, batch: int, packed: bool, keep_tape: bool) -> int:
    """The bytes that ``forward`` and ``backward`` hold at most besides what goes in and comes out."""
    item = params.flat.dtype.itemsize
    length = steps if every is None else min(every, steps)
    untaped, taped, back = _held(params.sizes, length, batch, item, packed)
    states = item * batch * sum(LAGS.get(name, 1) * math.prod(params.shapes[name]) for name in STATES)
    if every is None:
        return states + (max(taped, back) if keep_tape else untaped)
    # of a piece: what it returns, the states before and behind it, and these on their way
    y = item * length * batch * math.prod(_shape(("H",), params.sizes)) + 3 * states
    dx = item * length * batch * sum(math.prod(params.shapes[name]) for name in INPUTS) + 3 * states
    if not keep_tape:
        return untaped + y
    kept = states * max(1, -(-steps // every))
    return kept + max(taped + y, back + dx + params.flat.nbytes)


def _held(sizes: Mapping[str, int], steps: int, batch: int, item: int, packed: bool) -> tuple[int, int, int]:
    """Bytes of the arrays in a sweep over so many steps: forward without a tape, forward with one, backward beside it.
    ``packed``: sequences end early, so that rows are copied together."""
    D = sizes["D"]
    H = sizes["H"]
    rows = steps * batch
    untaped = item * (rows * 6*H + batch * 7*H + H) + 488 * steps
    taped = item * (rows * 11*H + batch * 2*H + H) + 488 * steps
    back = item * (rows * (D + 22*H + 2) + batch * 8*H + 2*H) + 880 * steps
    if packed:
        untaped += rows * (item * (D + 1) + 8)
        taped += rows * (item * (D + 1) + 8)
        back += rows * (item * (D + 3*H + 1) + 24)
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


def _array(name: str, value: Any, lead: tuple[int | str, ...], shape: tuple[int, ...], dtype: Any) -> Any:
    """``value`` if it is an array of the shape (*lead, *shape), where letters as ``lead`` stand for any lengths, and of
    this type (None: of any)."""
    if not isinstance(value, cp.ndarray):
        raise TypeError(f"{name}: expected a CuPy array (cp.asarray makes one), got {type(value).__name__}")
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
        raise TypeError(f"{name}: expected a dict with keys from {', '.join(known)}, got {type(value).__name__}")
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


KERNELS = ("forward_1", "forward_2", "forward_3", "backward_1", "backward_2")
CUDA = r"""
__device__ inline real mod(real a, real b) {
    const real r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
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

extern "C" __global__ void forward_1(
    long long rows,
    long long H,
    const real* __restrict__ time_t_rows,
    const real* __restrict__ s,
    const real* __restrict__ exp_rho,
    real* __restrict__ k_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real r_on = (real)0.05;
    const real alpha = (real)0.001;
    const real* time_t_row = time_t_rows + row;
    real* k_t_row = k_t_rows + row * H;
    const real time_t = time_t_row[0];
    // a_phi[t] = time[t] - s
    const real a_phi_t = time_t - s[unit];
    // mod_a_phi[t] = mod(a_phi[t], exp_rho)
    const real mod_a_phi_t = mod(a_phi_t, exp_rho[unit]);
    // phi[t] = mod_a_phi[t]/exp_rho (phase within the period)
    const real phi_t = mod_a_phi_t / exp_rho[unit];
    // a_j[t] = 2 - 2*phi[t]/r_on
    const real a_j_t = 2 - 2 * phi_t / r_on;
    // where_in_j[t] = alpha*phi[t]
    const real where_in_j_t = alpha * phi_t;
    // a_k[t] = 2*phi[t]/r_on
    const real a_k_t = 2 * phi_t / r_on;
    // j[t] = where(greater(r_on, phi[t]), a_j[t], where_in_j[t]) (time gate, closing or closed)
    const real j_t = (r_on > phi_t ? a_j_t : where_in_j_t);
    // k[t] = where(greater(r_on/2, phi[t]), a_k[t], j[t]) (time gate)
    const real k_t = ((r_on / 2) > phi_t ? a_k_t : j_t);
    k_t_row[unit] = k_t;
}

extern "C" __global__ void forward_2(
    long long rows,
    long long H,
    real* a_i_in_to_a_d_in_t_rows,
    const real* __restrict__ b_i,
    const real* __restrict__ b_f,
    const real* __restrict__ b_c,
    const real* __restrict__ b_o) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    real* a_i_in_to_a_d_in_t_row = a_i_in_to_a_d_in_t_rows + row * (4*H);
    const real W_i_x_t = a_i_in_to_a_d_in_t_row[unit];
    const real W_f_x_t = a_i_in_to_a_d_in_t_row[H + unit];
    const real W_c_x_t = a_i_in_to_a_d_in_t_row[3*H + unit];
    const real W_o_x_t = a_i_in_to_a_d_in_t_row[2*H + unit];
    // a_i_in[t] = W_i_x[t] + b_i
    const real a_i_in_t = W_i_x_t + b_i[unit];
    // a_f_in[t] = W_f_x[t] + b_f
    const real a_f_in_t = W_f_x_t + b_f[unit];
    // a_d_in[t] = W_c_x[t] + b_c
    const real a_d_in_t = W_c_x_t + b_c[unit];
    // a_o_in[t] = W_o_x[t] + b_o
    const real a_o_in_t = W_o_x_t + b_o[unit];
    a_i_in_to_a_d_in_t_row[unit] = a_i_in_t;
    a_i_in_to_a_d_in_t_row[H + unit] = a_f_in_t;
    a_i_in_to_a_d_in_t_row[3*H + unit] = a_d_in_t;
    a_i_in_to_a_d_in_t_row[2*H + unit] = a_o_in_t;
}

extern "C" __global__ void forward_3(
    long long rows,
    long long H,
    real* i_f_o_tanh_a_d_t_rows,
    long long i_f_o_tanh_a_d_t_at,
    const real* __restrict__ p_i,
    const real* c_t1_rows,
    long long c_t1_at,
    const real* __restrict__ a_i_in_to_a_d_in_t_rows,
    long long a_i_in_to_a_d_in_t_at,
    const real* __restrict__ p_f,
    const real* __restrict__ k_t_rows,
    long long k_t_at,
    real* c_t_rows,
    long long c_t_at,
    const real* __restrict__ p_o,
    const real* h_t1_rows,
    long long h_t1_at,
    real* h_t_rows,
    long long h_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    real* i_f_o_tanh_a_d_t_row = i_f_o_tanh_a_d_t_rows + (i_f_o_tanh_a_d_t_at + row) * (4*H);
    const real* c_t1_row = c_t1_rows + (c_t1_at + row) * H;
    const real* a_i_in_to_a_d_in_t_row = a_i_in_to_a_d_in_t_rows + (a_i_in_to_a_d_in_t_at + row) * (4*H);
    const real* k_t_row = k_t_rows + (k_t_at + row) * H;
    real* c_t_row = c_t_rows + (c_t_at + row) * H;
    const real* h_t1_row = h_t1_rows + (h_t1_at + row) * H;
    real* h_t_row = h_t_rows + (h_t_at + row) * H;
    const real U_i_h_t = i_f_o_tanh_a_d_t_row[unit];
    const real c_t1 = c_t1_row[unit];
    const real a_i_in_t = a_i_in_to_a_d_in_t_row[unit];
    const real U_f_h_t = i_f_o_tanh_a_d_t_row[H + unit];
    const real a_f_in_t = a_i_in_to_a_d_in_t_row[H + unit];
    const real U_c_h_t = i_f_o_tanh_a_d_t_row[3*H + unit];
    const real a_d_in_t = a_i_in_to_a_d_in_t_row[3*H + unit];
    const real k_t = k_t_row[unit];
    const real U_o_h_t = i_f_o_tanh_a_d_t_row[2*H + unit];
    const real a_o_in_t = a_i_in_to_a_d_in_t_row[2*H + unit];
    const real h_t1 = h_t1_row[unit];
    // a_i[t] = U_i_h[t] + p_i*c[t-1] + a_i_in[t]
    const real a_i_t = U_i_h_t + p_i[unit] * c_t1 + a_i_in_t;
    // a_f[t] = U_f_h[t] + p_f*c[t-1] + a_f_in[t]
    const real a_f_t = U_f_h_t + p_f[unit] * c_t1 + a_f_in_t;
    // a_d[t] = U_c_h[t] + a_d_in[t]
    const real a_d_t = U_c_h_t + a_d_in_t;
    // i[t] = sigmoid(a_i[t]) (input gate)
    const real i_t = sigmoid(a_i_t);
    // f[t] = sigmoid(a_f[t]) (forget gate)
    const real f_t = sigmoid(a_f_t);
    // tanh_a_d[t] = tanh(a_d[t])
    const real tanh_a_d_t = tanh(a_d_t);
    // d[t] = f[t]*c[t-1] + i[t]*tanh_a_d[t] (proposed cell state)
    const real d_t = f_t * c_t1 + i_t * tanh_a_d_t;
    // c[t] = k[t]*d[t] + (1 - k[t])*c[t-1] (cell state)
    const real c_t = k_t * d_t + (1 - k_t) * c_t1;
    // a_o[t] = U_o_h[t] + p_o*d[t] + a_o_in[t]
    const real a_o_t = U_o_h_t + p_o[unit] * d_t + a_o_in_t;
    // tanh_d[t] = tanh(d[t])
    const real tanh_d_t = tanh(d_t);
    // o[t] = sigmoid(a_o[t]) (output gate)
    const real o_t = sigmoid(a_o_t);
    // h[t] = k[t]*o[t]*tanh_d[t] + (1 - k[t])*h[t-1] (hidden state)
    const real h_t = k_t * o_t * tanh_d_t + (1 - k_t) * h_t1;
    i_f_o_tanh_a_d_t_row[unit] = i_t;
    i_f_o_tanh_a_d_t_row[H + unit] = f_t;
    i_f_o_tanh_a_d_t_row[3*H + unit] = tanh_a_d_t;
    c_t_row[unit] = c_t;
    i_f_o_tanh_a_d_t_row[2*H + unit] = o_t;
    h_t_row[unit] = h_t;
}

extern "C" __global__ void backward_1(
    long long rows,
    long long H,
    const real* __restrict__ time_t_rows,
    long long time_t_at,
    const real* __restrict__ s,
    real* __restrict__ a_phi_t_rows,
    long long a_phi_t_at,
    const real* __restrict__ i_f_o_tanh_a_d_t_rows,
    long long i_f_o_tanh_a_d_t_at,
    const real* __restrict__ c_t1_rows,
    long long c_t1_at,
    real* __restrict__ d_t_rows,
    long long d_t_at,
    const real* __restrict__ dy_t_rows,
    long long dy_t_at,
    const real* __restrict__ dh_back_next_rows,
    long long dh_back_next_at,
    const real* dh_via_next_rows,
    long long dh_via_next_at,
    real* __restrict__ dh_t_rows,
    long long dh_t_at,
    const real* dc_via_next_rows,
    long long dc_via_next_at,
    real* __restrict__ dc_t_rows,
    long long dc_t_at,
    const real* __restrict__ exp_rho,
    real* __restrict__ mod_a_phi_t_rows,
    long long mod_a_phi_t_at,
    real* __restrict__ tanh_d_t_rows,
    long long tanh_d_t_at,
    real* __restrict__ phi_t_rows,
    long long phi_t_at,
    real* dh_via_t_rows,
    long long dh_via_t_at,
    real* __restrict__ da_i_da_f_da_o_da_d_t_rows,
    long long da_i_da_f_da_o_da_d_t_at,
    const real* __restrict__ p_o,
    const real* __restrict__ p_i,
    const real* __restrict__ p_f,
    real* dc_via_t_rows,
    long long dc_via_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real r_on = (real)0.05;
    const real alpha = (real)0.001;
    const real* time_t_row = time_t_rows + (time_t_at + row);
    real* a_phi_t_row = a_phi_t_rows + (a_phi_t_at + row) * H;
    const real* i_f_o_tanh_a_d_t_row = i_f_o_tanh_a_d_t_rows + (i_f_o_tanh_a_d_t_at + row) * (4*H);
    const real* c_t1_row = c_t1_rows + (c_t1_at + row) * H;
    real* d_t_row = d_t_rows + (d_t_at + row) * H;
    const real* dy_t_row = dy_t_rows + (dy_t_at + row) * H;
    const real* dh_back_next_row = dh_back_next_rows + (dh_back_next_at + row) * H;
    const real* dh_via_next_row = dh_via_next_rows + (dh_via_next_at + row) * H;
    real* dh_t_row = dh_t_rows + (dh_t_at + row) * H;
    const real* dc_via_next_row = dc_via_next_rows + (dc_via_next_at + row) * H;
    real* dc_t_row = dc_t_rows + (dc_t_at + row) * H;
    real* mod_a_phi_t_row = mod_a_phi_t_rows + (mod_a_phi_t_at + row) * H;
    real* tanh_d_t_row = tanh_d_t_rows + (tanh_d_t_at + row) * H;
    real* phi_t_row = phi_t_rows + (phi_t_at + row) * H;
    real* dh_via_t_row = dh_via_t_rows + (dh_via_t_at + row) * H;
    real* da_i_da_f_da_o_da_d_t_row = da_i_da_f_da_o_da_d_t_rows + (da_i_da_f_da_o_da_d_t_at + row) * (4*H);
    real* dc_via_t_row = dc_via_t_rows + (dc_via_t_at + row) * H;
    const real time_t = time_t_row[0];
    const real f_t = i_f_o_tanh_a_d_t_row[H + unit];
    const real c_t1 = c_t1_row[unit];
    const real i_t = i_f_o_tanh_a_d_t_row[unit];
    const real tanh_a_d_t = i_f_o_tanh_a_d_t_row[3*H + unit];
    const real dy_t = dy_t_row[unit];
    const real dh_back_next = dh_back_next_row[unit];
    const real dh_via_next = dh_via_next_row[unit];
    const real dc_via_next = dc_via_next_row[unit];
    const real o_t = i_f_o_tanh_a_d_t_row[2*H + unit];
    // a_phi[t] = time[t] - s
    const real a_phi_t = time_t - s[unit];
    // d[t] = f[t]*c[t-1] + i[t]*tanh_a_d[t] (proposed cell state)
    const real d_t = f_t * c_t1 + i_t * tanh_a_d_t;
    // dh[t] = dy[t] + dh_back[t+1] + dh_via[t+1]
    const real dh_t = dy_t + dh_back_next + dh_via_next;
    // dc[t] = dc_via[t+1]
    const real dc_t = dc_via_next;
    // mod_a_phi[t] = mod(a_phi[t], exp_rho)
    const real mod_a_phi_t = mod(a_phi_t, exp_rho[unit]);
    // tanh_d[t] = tanh(d[t])
    const real tanh_d_t = tanh(d_t);
    // phi[t] = mod_a_phi[t]/exp_rho (phase within the period)
    const real phi_t = mod_a_phi_t / exp_rho[unit];
    // a_j[t] = 2 - 2*phi[t]/r_on
    const real a_j_t = 2 - 2 * phi_t / r_on;
    // where_in_j[t] = alpha*phi[t]
    const real where_in_j_t = alpha * phi_t;
    // a_k[t] = 2*phi[t]/r_on
    const real a_k_t = 2 * phi_t / r_on;
    // j[t] = where(greater(r_on, phi[t]), a_j[t], where_in_j[t]) (time gate, closing or closed)
    const real j_t = (r_on > phi_t ? a_j_t : where_in_j_t);
    // k[t] = where(greater(r_on/2, phi[t]), a_k[t], j[t]) (time gate)
    const real k_t = ((r_on / 2) > phi_t ? a_k_t : j_t);
    // dtanh_d[t] = dh[t]*k[t]*o[t]
    const real dtanh_d_t = dh_t * k_t * o_t;
    // do[t] = dh[t]*k[t]*tanh_d[t]
    const real do_t = dh_t * k_t * tanh_d_t;
    // dh_via[t] = dh[t]*(1 - k[t])
    const real dh_via_t = dh_t * (1 - k_t);
    // da_o[t] = do[t]*o[t]*(1 - o[t])
    const real da_o_t = do_t * o_t * (1 - o_t);
    // dd[t] = dc[t]*k[t] + da_o[t]*p_o + dtanh_d[t]*(1 - tanh_d[t]**2)
    const real dd_t = dc_t * k_t + da_o_t * p_o[unit] + dtanh_d_t * (1 - tanh_d_t * tanh_d_t);
    // dtanh_a_d[t] = dd[t]*i[t]
    const real dtanh_a_d_t = dd_t * i_t;
    // df[t] = dd[t]*c[t-1]
    const real df_t = dd_t * c_t1;
    // di[t] = dd[t]*tanh_a_d[t]
    const real di_t = dd_t * tanh_a_d_t;
    // da_d[t] = dtanh_a_d[t]*(1 - tanh_a_d[t]**2)
    const real da_d_t = dtanh_a_d_t * (1 - tanh_a_d_t * tanh_a_d_t);
    // da_f[t] = df[t]*f[t]*(1 - f[t])
    const real da_f_t = df_t * f_t * (1 - f_t);
    // da_i[t] = di[t]*i[t]*(1 - i[t])
    const real da_i_t = di_t * i_t * (1 - i_t);
    // dc_via[t] = da_i[t]*p_i + da_f[t]*p_f + dd[t]*f[t] + dc[t]*(1 - k[t])
    const real dc_via_t = da_i_t * p_i[unit] + da_f_t * p_f[unit] + dd_t * f_t + dc_t * (1 - k_t);
    a_phi_t_row[unit] = a_phi_t;
    d_t_row[unit] = d_t;
    dh_t_row[unit] = dh_t;
    dc_t_row[unit] = dc_t;
    mod_a_phi_t_row[unit] = mod_a_phi_t;
    tanh_d_t_row[unit] = tanh_d_t;
    phi_t_row[unit] = phi_t;
    dh_via_t_row[unit] = dh_via_t;
    da_i_da_f_da_o_da_d_t_row[2*H + unit] = da_o_t;
    da_i_da_f_da_o_da_d_t_row[3*H + unit] = da_d_t;
    da_i_da_f_da_o_da_d_t_row[H + unit] = da_f_t;
    da_i_da_f_da_o_da_d_t_row[unit] = da_i_t;
    dc_via_t_row[unit] = dc_via_t;
}

extern "C" __global__ void backward_2(
    long long H,
    const real* __restrict__ dc_t_rows,
    const real* __restrict__ d_t_rows,
    const real* __restrict__ c_t1_rows,
    const real* __restrict__ dh_t_rows,
    const real* __restrict__ i_f_o_tanh_a_d_t_rows,
    const real* __restrict__ tanh_d_t_rows,
    const real* __restrict__ h_t1_rows,
    const real* __restrict__ da_i_da_f_da_o_da_d_t_rows,
    real* __restrict__ dp_i_each_dp_f_each_t_rows,
    real* __restrict__ dp_o_each_t_rows,
    const real* __restrict__ phi_t_rows,
    const real* __restrict__ exp_rho,
    const real* __restrict__ a_phi_t_rows,
    const real* __restrict__ mod_a_phi_t_rows,
    real* __restrict__ dexp_rho_each_t_rows,
    real* __restrict__ ds_each_t_rows,
    real* __restrict__ dtime_t_rows) {
    const long long row = blockIdx.x;
    const real r_on = (real)0.05;
    const real alpha = (real)0.001;
    const real* dc_t_row = dc_t_rows + row * H;
    const real* d_t_row = d_t_rows + row * H;
    const real* c_t1_row = c_t1_rows + row * H;
    const real* dh_t_row = dh_t_rows + row * H;
    const real* i_f_o_tanh_a_d_t_row = i_f_o_tanh_a_d_t_rows + row * (4*H);
    const real* tanh_d_t_row = tanh_d_t_rows + row * H;
    const real* h_t1_row = h_t1_rows + row * H;
    const real* da_i_da_f_da_o_da_d_t_row = da_i_da_f_da_o_da_d_t_rows + row * (4*H);
    real* dp_i_each_dp_f_each_t_row = dp_i_each_dp_f_each_t_rows + row * (2*H);
    real* dp_o_each_t_row = dp_o_each_t_rows + row * H;
    const real* phi_t_row = phi_t_rows + row * H;
    const real* a_phi_t_row = a_phi_t_rows + row * H;
    const real* mod_a_phi_t_row = mod_a_phi_t_rows + row * H;
    real* dexp_rho_each_t_row = dexp_rho_each_t_rows + row * H;
    real* ds_each_t_row = ds_each_t_rows + row * H;
    real* dtime_t_row = dtime_t_rows + row;
    real partial_dtime_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real dc_t = dc_t_row[unit];
        const real d_t = d_t_row[unit];
        const real c_t1 = c_t1_row[unit];
        const real dh_t = dh_t_row[unit];
        const real o_t = i_f_o_tanh_a_d_t_row[2*H + unit];
        const real tanh_d_t = tanh_d_t_row[unit];
        const real h_t1 = h_t1_row[unit];
        const real da_i_t = da_i_da_f_da_o_da_d_t_row[unit];
        const real da_f_t = da_i_da_f_da_o_da_d_t_row[H + unit];
        const real da_o_t = da_i_da_f_da_o_da_d_t_row[2*H + unit];
        const real phi_t = phi_t_row[unit];
        const real a_phi_t = a_phi_t_row[unit];
        const real mod_a_phi_t = mod_a_phi_t_row[unit];
        // dk[t] = dc[t]*(d[t] - c[t-1]) + dh[t]*(o[t]*tanh_d[t] - h[t-1])
        const real dk_t = dc_t * (d_t - c_t1) + dh_t * (o_t * tanh_d_t - h_t1);
        // dp_i_each[t] = da_i[t]*c[t-1]
        const real dp_i_each_t = da_i_t * c_t1;
        // dp_f_each[t] = da_f[t]*c[t-1]
        const real dp_f_each_t = da_f_t * c_t1;
        // dp_o_each[t] = da_o[t]*d[t]
        const real dp_o_each_t = da_o_t * d_t;
        // da_k[t] = dk[t]*greater(r_on/2, phi[t])
        const real da_k_t = dk_t * (real)((r_on / 2) > phi_t);
        // dj[t] = dk[t]*(1 - greater(r_on/2, phi[t]))
        const real dj_t = dk_t * (1 - (real)((r_on / 2) > phi_t));
        // dwhere_in_j[t] = dj[t]*(1 - greater(r_on, phi[t]))
        const real dwhere_in_j_t = dj_t * (1 - (real)(r_on > phi_t));
        // da_j[t] = dj[t]*greater(r_on, phi[t])
        const real da_j_t = dj_t * (real)(r_on > phi_t);
        // dphi[t] = -2*da_j[t]/r_on + alpha*dwhere_in_j[t] + 2*da_k[t]/r_on
        const real dphi_t = -2 * da_j_t / r_on + alpha * dwhere_in_j_t + 2 * da_k_t / r_on;
        // dmod_a_phi[t] = dphi[t]/exp_rho
        const real dmod_a_phi_t = dphi_t / exp_rho[unit];
        // dexp_rho_each[t] = dmod_a_phi[t]*(-a_phi[t] + mod_a_phi[t])/exp_rho - dphi[t]*mod_a_phi[t]/exp_rho**2
        const real dexp_rho_each_t = dmod_a_phi_t * (-a_phi_t + mod_a_phi_t) / exp_rho[unit] - dphi_t * mod_a_phi_t /
            (exp_rho[unit] * exp_rho[unit]);
        // ds_each[t] = -dmod_a_phi[t]
        const real ds_each_t = -dmod_a_phi_t;
        partial_dtime_sum += dmod_a_phi_t;
        dp_i_each_dp_f_each_t_row[unit] = dp_i_each_t;
        dp_i_each_dp_f_each_t_row[H + unit] = dp_f_each_t;
        dp_o_each_t_row[unit] = dp_o_each_t;
        dexp_rho_each_t_row[unit] = dexp_rho_each_t;
        ds_each_t_row[unit] = ds_each_t;
    }
    // dtime_sum[t] = sum(dmod_a_phi[t])
    const real dtime_sum_t = block_sum(partial_dtime_sum);
    // dtime[t] = dtime_sum[t]
    const real dtime_t = dtime_sum_t;
    if (threadIdx.x == 0) dtime_t_row[0] = dtime_t;
}
"""


@functools.lru_cache(maxsize=None)
def _compiled(real: str, device: int) -> Any:
    """The kernels for one type of number, compiled when they are first needed (once per device)."""
    module = cp.RawModule(code=f"typedef {real} real;\n{CUDA}", options=("--std=c++17",))
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
