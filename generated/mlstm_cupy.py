"""Matrix LSTM

Beck, Pöppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter & Hochreiter (2024), xLSTM: extended long
short-term memory, equations 19 to 27, stabilised as in 15 to 17. The memory C stores values H long under keys K long;
m keeps the exponential gate within range and leaves h as it would be without. One head; the factor 1/√K of the keys is
part of W_k and b_k; the block around the cell (projections, convolution, norm) is left out.

The cell mlstm as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
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

SIZES = ("D", "K", "H")
PARAMS = {
    "w_f": (1, "D"),
    "W_v": ("H", "D"),
    "W_o": ("H", "D"),
    "w_i": (1, "D"),
    "W_k": ("K", "D"),
    "W_q": ("K", "D"),
    "b_k": ("K",),
    "b_q": ("K",),
    "b_v": ("H",),
    "b_o": ("H",),
    "b_i": (1,),
    "b_f": (1,),
}
CONSTANTS = {}
START = {
    "w_f": "uniform",
    "W_v": "uniform",
    "W_o": "uniform",
    "w_i": "uniform",
    "W_k": "uniform",
    "W_q": "uniform",
    "b_k": "uniform",
    "b_q": "uniform",
    "b_v": "uniform",
    "b_o": "uniform",
    "b_i": 0.0,
    "b_f": 3.0,
}
INPUTS = {"x": ("D",)}
STATES = {"m": (1,), "C": ("H", "K"), "n": ("K",)}
LAGS = {}
OUTPUT = "h"
EQUATIONS = (
    '"""Matrix LSTM\n'
    "\n"
    "Beck, Pöppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter & Hochreiter (2024), xLSTM: extended "
    "long\n"
    "short-term memory, equations 19 to 27, stabilised as in 15 to 17. The memory C stores values H long under keys K "
    "long;\n"
    "m keeps the exponential gate within range and leaves h as it would be without. One head; the factor 1/√K of the "
    "keys is\n"
    "part of W_k and b_k; the block around the cell (projections, convolution, norm) is left out.\n"
    '"""\n'
    "C: (H, K)\n"
    "n: K\n"
    "m: 1\n"
    "q[t] = W_q @ x[t] + b_q                                                   # query\n"
    "k[t] = W_k @ x[t] + b_k                                                   # key\n"
    "v[t] = W_v @ x[t] + b_v                                                   # value\n"
    "a[t] = w_i @ x[t] + b_i                                                   # logarithm of the input gate\n"
    "l[t] = log_sigmoid(w_f @ x[t] + b_f)                                      # logarithm of the forget gate\n"
    "o[t] = sigmoid(W_o @ x[t] + b_o)                                          # output gate\n"
    "m[t] = maximum(l[t] + m[t-1], a[t])                                       # stabiliser\n"
    "i[t] = exp(a[t] - m[t])                                                   # stabilised input gate\n"
    "f[t] = exp(l[t] + m[t-1] - m[t])                                          # stabilised forget gate\n"
    "C[t] = f[t] * C[t-1] + i[t] * outer(v[t], k[t])                           # memory\n"
    "n[t] = f[t] * n[t-1] + i[t] * k[t]                                        # normaliser\n"
    "h[t] = o[t] * (C[t] @ q[t]) / maximum(abs(dot(n[t], q[t])), exp(-m[t]))   # hidden state\n"
    "b_i: 1 = 0\n"
    "b_f: 1 = 3\n"
)
STAMP = "bdbace4cdda1cb82"


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
    K = params.sizes["K"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    x_rows = pack.rows(inputs["x"])
    w_f_x_v_o_w_i_x_k_q = cp.empty((pack.size, 2*H + 2*K + 2), dtype)
    a = cp.empty((pack.size, 1), dtype)
    a_l = cp.empty((pack.size, 1), dtype)
    l = cp.empty((pack.size, 1), dtype)
    dot_n = cp.empty((pack.size, 1), dtype)
    h = cp.empty((pack.size, H), dtype)
    m = cp.empty((pack.size + batch, 1), dtype)
    C = cp.empty((pack.size + batch, H*K), dtype)
    n_ = cp.empty((pack.size + batch, K), dtype)
    C_q = cp.empty((pack.size, H), dtype)
    b_q = params.stack("b_q", "b_q")
    b_k = params.stack("b_k", "b_k")
    b_v = params.stack("b_v", "b_v")
    b_o = params.stack("b_o", "b_o")
    b_i = params.stack("b_i", "b_i")
    b_f = params.stack("b_f", "b_f")
    m[pack.first(1)] = pack.sort(given["m"]) if "m" in given else 0
    C[pack.first(1)] = pack.sort(given["C"]) if "C" in given else 0
    n_[pack.first(1)] = pack.sort(given["n"]) if "n" in given else 0
    w_f_to_W_q_T = params.stack("w_f", "W_q").T
    kernels = _kernels(dtype)

    # w_f_x[t] = w_f @ x[t]
    # W_v_x[t] = W_v @ x[t]
    # W_o_x[t] = W_o @ x[t]
    # w_i_x[t] = w_i @ x[t]
    # W_k_x[t] = W_k @ x[t]
    # W_q_x[t] = W_q @ x[t]
    w_f_x_to_W_q_x = w_f_x_v_o_w_i_x_k_q
    cp.matmul(x_rows, w_f_to_W_q_T, out=w_f_x_to_W_q_x)
    # q[t] = W_q_x[t] + b_q (query)
    # k[t] = W_k_x[t] + b_k (key)
    _launch_units(kernels.forward_1, pack.size, K, H, K, w_f_x_v_o_w_i_x_k_q, b_q, b_k)
    # v[t] = W_v_x[t] + b_v (value)
    # a_o[t] = W_o_x[t] + b_o
    # o[t] = sigmoid(a_o[t]) (output gate)
    _launch_units(kernels.forward_2, pack.size, H, H, K, w_f_x_v_o_w_i_x_k_q, b_v, b_o)
    # a[t] = w_i_x[t] + b_i (logarithm of the input gate)
    # a_l[t] = -w_f_x[t] - b_f
    # softplus_a_l[t] = softplus(a_l[t])
    # l[t] = -softplus_a_l[t] (logarithm of the forget gate)
    _launch_units(kernels.forward_3, pack.size, 1, H, K, w_f_x_v_o_w_i_x_k_q, b_i, a, b_f, a_l, l)

    for t, n in enumerate(pack.counts):
        # a_m[t] = l[t] + m[t-1]
        # m[t] = maximum(a_m[t], a[t]) (stabiliser)
        # a_i[t] = a[t] - m[t]
        # a_f[t] = l[t] + m[t-1] - m[t]
        # i[t] = exp(a_i[t]) (stabilised input gate)
        # f[t] = exp(a_f[t]) (stabilised forget gate)
        # C[t] = f[t]*C[t-1] + i[t]*v[t][:,None]*k[t][None,:] (memory)
        # n[t] = f[t]*n[t-1] + i[t]*k[t] (normaliser)
        _launch_rows(
            kernels.forward_4, n, max(H*K, K), 1024, H, K, l, at_0[t].start, m, at_1_0[t].start, a, at_0[t].start,
            m, at_1[t].start, C, at_1_0[t].start, w_f_x_v_o_w_i_x_k_q, at_0[t].start, C, at_1[t].start, n_,
            at_1_0[t].start, n_, at_1[t].start,
        )

    # a_h[t] = -m[t]
    # exp_a_h[t] = exp(a_h[t])
    # C_q[t] = C[t] @ q[t]
    # product_n[t] = n[t]*q[t]
    # dot_n[t] = sum(product_n[t])
    # abs_dot_n[t] = abs(dot_n[t])
    # maximum_abs_dot_n[t] = maximum(abs_dot_n[t], exp_a_h[t])
    # h[t] = o[t]*C_q[t]/maximum_abs_dot_n[t] (hidden state)
    _launch_rows(
        kernels.forward_5, pack.size, max(32*H, K, H), 256, H, K, m, 1 * batch, C, 1 * batch,
        w_f_x_v_o_w_i_x_k_q, C_q, n_, 1 * batch, dot_n, h,
    )

    m_last = m[pack.last(1, 1, True)]
    C_last = C[pack.last(1, 1, True)]
    n_last = n_[pack.last(1, 1, True)]

    last = {
        "m": pack.unsort(m_last)[0],
        "C": pack.unsort(C_last).reshape(batch, H, K),
        "n": pack.unsort(n_last)[0],
    }
    arrays = {
        "C": C,
        "C_q": C_q,
        "a": a,
        "a_l": a_l,
        "dot_n": dot_n,
        "w_f_x_v_o_w_i_x_k_q": w_f_x_v_o_w_i_x_k_q,
        "n_": n_,
        "x_rows": x_rows,
        "m": m,
    }
    tape = Tape(pack, params.sizes, dtype, arrays) if keep_tape else None
    return pack.sequence(h), last, tape


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
    return Grads(grads, dx.get("x"), dstate)


def _backward_sweep(
    params: Params, tape: Tape, dy: Any, dlast: Mapping[str, Any], need_x: bool
) -> tuple[Params, dict[str, Any], dict[str, Any]]:
    """All steps, last to first, of what ``backward`` has checked: gradients by parameters, inputs and states."""
    pack, dtype = tape.pack, tape.dtype
    batch = pack.batch
    given = _state_rows(dlast)
    grads = Params(cp.zeros(params.flat.shape, dtype), params.sizes)
    D = params.sizes["D"]
    K = params.sizes["K"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    dy_rows = pack.rows(dy)
    C = tape.arrays["C"]
    C_q = tape.arrays["C_q"]
    a = tape.arrays["a"]
    a_l = tape.arrays["a_l"]
    dot_n = tape.arrays["dot_n"]
    w_f_x_v_o_w_i_x_k_q = tape.arrays["w_f_x_v_o_w_i_x_k_q"]
    n_ = tape.arrays["n_"]
    x_ = tape.arrays["x_rows"]
    m = tape.arrays["m"]
    dw_f_x_dv_da_o_da_dk_dq = cp.empty((pack.size, 2*H + 2*K + 2), dtype)
    dC_q = cp.empty((pack.size, H), dtype)
    da_h = cp.empty((pack.size, 1), dtype)
    ddot_n = cp.empty((pack.size, 1), dtype)
    dn = cp.empty((pack.size, K), dtype)
    dC = cp.empty((pack.size, H*K), dtype)
    i = cp.empty((pack.size, 1), dtype)
    a_m = cp.empty((pack.size, 1), dtype)
    da_i_da_f = cp.empty((pack.size, 2), dtype)
    dm = cp.empty((pack.size, 1), dtype)
    da_m = cp.empty((pack.size, 1), dtype)
    di_along = cp.empty((pack.size, H), dtype)
    dx_ = cp.empty((pack.size, D), dtype)
    dm_via = cp.zeros((2 * batch, 1), dtype)
    dC_via = cp.zeros((2 * batch, H*K), dtype)
    dn_via = cp.zeros((2 * batch, K), dtype)
    db_f = grads.stack("b_f", "b_f")
    w_f_to_W_q = params.stack("w_f", "W_q")
    dw_f_to_dW_q = grads.stack("w_f", "W_q")
    db_k_to_db_q = grads.stack("b_k", "b_q")
    db_v_to_db_i = grads.stack("b_v", "b_i")
    dm_via[pack.last(1, 1, False)] = pack.sort(given["m"]) if "m" in given else 0
    dC_via[pack.last(1, 1, False)] = pack.sort(given["C"]) if "C" in given else 0
    dn_via[pack.last(1, 1, False)] = pack.sort(given["n"]) if "n" in given else 0
    kernels = _kernels(dtype)
    ones = cp.ones((1, pack.size), dtype)

    # abs_dot_n[t] = abs(dot_n[t])
    # a_h[t] = -m[t]
    # exp_a_h[t] = exp(a_h[t])
    # maximum_abs_dot_n[t] = maximum(abs_dot_n[t], exp_a_h[t])
    # dmaximum_abs_dot_n_each[t] = dy[t]*o[t]*C_q[t]
    # dC_q[t] = dy[t]*o[t]/maximum_abs_dot_n[t]
    # do[t] = dy[t]*C_q[t]/maximum_abs_dot_n[t]
    # da_o[t] = do[t]*o[t]*(1 - o[t])
    # dmaximum_abs_dot_n_sum[t] = sum(dmaximum_abs_dot_n_each[t])
    # dmaximum_abs_dot_n[t] = -dmaximum_abs_dot_n_sum[t]/maximum_abs_dot_n[t]**2
    # dexp_a_h[t] = dmaximum_abs_dot_n[t]*(greater(exp_a_h[t], abs_dot_n[t])/2 + greater_equal(exp_a_h[t],
    #     abs_dot_n[t])/2)
    # dabs_dot_n[t] = dmaximum_abs_dot_n[t]*(greater(abs_dot_n[t], exp_a_h[t])/2 + greater_equal(abs_dot_n[t],
    #     exp_a_h[t])/2)
    # da_h[t] = dexp_a_h[t]*exp_a_h[t]
    # ddot_n[t] = dabs_dot_n[t]*sign(dot_n[t])
    # dq_back[t] = C[t].T @ dC_q[t]
    # dq[t] = ddot_n[t]*n[t] + dq_back[t]
    _launch_rows(
        kernels.backward_1, pack.size, max(H, K), 256, H, K, dot_n, m, 1 * batch, dy_rows, w_f_x_v_o_w_i_x_k_q,
        C_q, dC_q, dw_f_x_dv_da_o_da_dk_dq, da_h, ddot_n, C, 1 * batch, n_, 1 * batch,
    )

    for t, n in reversed(list(enumerate(pack.counts))):
        # softplus_a_l[t] = softplus(a_l[t])
        # a_i[t] = a[t] - m[t]
        # l[t] = -softplus_a_l[t] (logarithm of the forget gate)
        # i[t] = exp(a_i[t]) (stabilised input gate)
        # a_m[t] = l[t] + m[t-1]
        # a_f[t] = l[t] + m[t-1] - m[t]
        # f[t] = exp(a_f[t]) (stabilised forget gate)
        # dn[t] = ddot_n[t]*q[t] + dn_via[t+1]
        # df_each_2[t] = dn[t]*n[t-1]
        # di_each_2[t] = dn[t]*k[t]
        # dn_via[t] = dn[t]*f[t]
        # df_sum_2[t] = sum(df_each_2[t])
        # di_sum_2[t] = sum(di_each_2[t])
        # dC[t] = dC_q[t][:,None]*q[t][None,:] + dC_via[t+1]
        # df_each[t] = dC[t]*C[t-1]
        # dC_via[t] = dC[t]*f[t]
        # df_sum[t] = sum(df_each[t])
        # df[t] = df_sum[t] + df_sum_2[t]
        # da_f[t] = df[t]*f[t]
        # di_along[t] = dC[t] @ k[t]
        # di_each[t] = di_along[t]*v[t]
        # di_sum[t] = sum(di_each[t])
        # di[t] = di_sum[t] + di_sum_2[t]
        # da_i[t] = di[t]*i[t]
        # dm[t] = -da_i[t] - da_f[t] - da_h[t] + dm_via[t+1]
        # da_m[t] = dm[t]*(greater(a_m[t], a[t])/2 + greater_equal(a_m[t], a[t])/2)
        # dm_via[t] = da_m[t] + da_f[t]
        _launch_rows(
            kernels.backward_2, n, max(K, H*K, 32*H, 1), 1024, H, K, a_l, at_0[t].start, a, at_0[t].start, m,
            at_1[t].start, i, at_0[t].start, m, at_1_0[t].start, a_m, at_0[t].start, ddot_n, at_0[t].start,
            w_f_x_v_o_w_i_x_k_q, at_0[t].start, dn_via, ring_1[t].start, dn, at_0[t].start, n_, at_1_0[t].start,
            dn_via, ring_1_0[t].start, dC_q, at_0[t].start, dC_via, ring_1[t].start, dC, at_0[t].start, C,
            at_1_0[t].start, dC_via, ring_1_0[t].start, da_i_da_f, at_0[t].start, di_along, at_0[t].start, da_h,
            at_0[t].start, dm_via, ring_1[t].start, dm, at_0[t].start, da_m, at_0[t].start, dm_via,
            ring_1_0[t].start,
        )

    # dl[t] = da_m[t] + da_f[t]
    # da[t] = dm[t]*(greater(a[t], a_m[t])/2 + greater_equal(a[t], a_m[t])/2) + da_i[t]
    # dsoftplus_a_l[t] = -dl[t]
    # da_l[t] = dsoftplus_a_l[t]*sigmoid(a_l[t])
    # dw_f_x[t] = -da_l[t]
    _launch_units(
        kernels.backward_3, pack.size, 1, H, K, da_m, da_i_da_f, dm, a, a_m, dw_f_x_dv_da_o_da_dk_dq, a_l,
    )
    # db_f = sum of dw_f_x[t]
    dw_f_x = dw_f_x_dv_da_o_da_dk_dq[:, : 1]
    cp.matmul(ones, dw_f_x, out=db_f.reshape(1, -1))
    # dv[t] = di_along[t]*i[t]
    _launch_units(kernels.backward_4, pack.size, H, H, K, di_along, i, dw_f_x_dv_da_o_da_dk_dq)
    # dk_along[t] = dC[t].T @ v[t]
    # dk[t] = dk_along[t]*i[t] + dn[t]*i[t]
    _launch_units(
        kernels.backward_5, pack.size, K, H, K, dC, w_f_x_v_o_w_i_x_k_q, i, dn, dw_f_x_dv_da_o_da_dk_dq,
    )
    if need_x:
        # dx[t] = W_q.T @ dq[t] + W_k.T @ dk[t] + W_v.T @ dv[t] + w_i.T @ da[t] + w_f.T @ dw_f_x[t] + W_o.T @ da_o[t]
        dw_f_x_to_dq = dw_f_x_dv_da_o_da_dk_dq
        cp.matmul(dw_f_x_to_dq, w_f_to_W_q, out=dx_)
    # dw_f = sum of outer(dw_f_x[t], x[t])
    # dW_v = sum of outer(dv[t], x[t])
    # dW_o = sum of outer(da_o[t], x[t])
    # dw_i = sum of outer(da[t], x[t])
    # dW_k = sum of outer(dk[t], x[t])
    # dW_q = sum of outer(dq[t], x[t])
    dw_f_x_to_dq_ = dw_f_x_dv_da_o_da_dk_dq
    cp.matmul(dw_f_x_to_dq_.T, x_, out=dw_f_to_dW_q)
    # db_k = sum of dk[t]
    # db_q = sum of dq[t]
    dk_to_dq = dw_f_x_dv_da_o_da_dk_dq[:, 2*H + 2 :]
    cp.matmul(ones, dk_to_dq, out=db_k_to_db_q.reshape(1, -1))
    # db_v = sum of dv[t]
    # db_o = sum of da_o[t]
    # db_i = sum of da[t]
    dv_to_da = dw_f_x_dv_da_o_da_dk_dq[:, 1 : 2*H + 2]
    cp.matmul(ones, dv_to_da, out=db_v_to_db_i.reshape(1, -1))

    dm_first = dm_via[pack.first(1)]
    dC_first = dC_via[pack.first(1)]
    dn_first = dn_via[pack.first(1)]

    dstate = {
        "m": pack.unsort(dm_first)[0],
        "C": pack.unsort(dC_first).reshape(batch, H, K),
        "n": pack.unsort(dn_first)[0],
    }
    if not need_x:
        return grads, {}, dstate
    dx = {
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
    K = params.sizes["K"]
    H = params.sizes["H"]

    x_t_ = cp.ascontiguousarray(inputs["x"][1])
    w_f_x_v_o_w_i_x_k_q = cp.empty((batch, 2*H + 2*K + 2), dtype)
    a = cp.empty((batch, 1), dtype)
    a_l = cp.empty((batch, 1), dtype)
    l = cp.empty((batch, 1), dtype)
    dot_n = cp.empty((batch, 1), dtype)
    h = cp.empty((batch, H), dtype)
    m = cp.empty((batch, 1), dtype)
    C = cp.empty((batch, H*K), dtype)
    n_ = cp.empty((batch, K), dtype)
    C_q = cp.empty((batch, H), dtype)
    b_q = params.stack("b_q", "b_q")
    b_k = params.stack("b_k", "b_k")
    b_v = params.stack("b_v", "b_v")
    b_o = params.stack("b_o", "b_o")
    b_i = params.stack("b_i", "b_i")
    b_f = params.stack("b_f", "b_f")
    m_before = given["m"] if "m" in given else cp.zeros((1, batch, 1), dtype)
    C_before = given["C"] if "C" in given else cp.zeros((1, batch, H*K), dtype)
    n_before = given["n"] if "n" in given else cp.zeros((1, batch, K), dtype)
    w_f_to_W_q_T = params.stack("w_f", "W_q").T
    kernels = _kernels(dtype)
    m_t1 = m_before[0]
    C_t1 = C_before[0]
    n_t1 = n_before[0]

    # w_f_x[t] = w_f @ x[t]
    # W_v_x[t] = W_v @ x[t]
    # W_o_x[t] = W_o @ x[t]
    # w_i_x[t] = w_i @ x[t]
    # W_k_x[t] = W_k @ x[t]
    # W_q_x[t] = W_q @ x[t]
    w_f_x_to_W_q_x_t = w_f_x_v_o_w_i_x_k_q
    cp.matmul(x_t_, w_f_to_W_q_T, out=w_f_x_to_W_q_x_t)
    # q[t] = W_q_x[t] + b_q (query)
    # k[t] = W_k_x[t] + b_k (key)
    _launch_units(kernels.forward_1, batch, K, H, K, w_f_x_v_o_w_i_x_k_q, b_q, b_k)
    # v[t] = W_v_x[t] + b_v (value)
    # a_o[t] = W_o_x[t] + b_o
    # o[t] = sigmoid(a_o[t]) (output gate)
    _launch_units(kernels.forward_2, batch, H, H, K, w_f_x_v_o_w_i_x_k_q, b_v, b_o)
    # a[t] = w_i_x[t] + b_i (logarithm of the input gate)
    # a_l[t] = -w_f_x[t] - b_f
    # softplus_a_l[t] = softplus(a_l[t])
    # l[t] = -softplus_a_l[t] (logarithm of the forget gate)
    _launch_units(kernels.forward_3, batch, 1, H, K, w_f_x_v_o_w_i_x_k_q, b_i, a, b_f, a_l, l)
    # a_m[t] = l[t] + m[t-1]
    # m[t] = maximum(a_m[t], a[t]) (stabiliser)
    # a_i[t] = a[t] - m[t]
    # a_f[t] = l[t] + m[t-1] - m[t]
    # i[t] = exp(a_i[t]) (stabilised input gate)
    # f[t] = exp(a_f[t]) (stabilised forget gate)
    # C[t] = f[t]*C[t-1] + i[t]*v[t][:,None]*k[t][None,:] (memory)
    # n[t] = f[t]*n[t-1] + i[t]*k[t] (normaliser)
    _launch_rows(
        kernels.forward_4, batch, max(H*K, K), 1024, H, K, l, 0, m_t1, 0, a, 0, m, 0, C_t1, 0,
        w_f_x_v_o_w_i_x_k_q, 0, C, 0, n_t1, 0, n_, 0,
    )
    # a_h[t] = -m[t]
    # exp_a_h[t] = exp(a_h[t])
    # C_q[t] = C[t] @ q[t]
    # product_n[t] = n[t]*q[t]
    # dot_n[t] = sum(product_n[t])
    # abs_dot_n[t] = abs(dot_n[t])
    # maximum_abs_dot_n[t] = maximum(abs_dot_n[t], exp_a_h[t])
    # h[t] = o[t]*C_q[t]/maximum_abs_dot_n[t] (hidden state)
    _launch_rows(
        kernels.forward_5, batch, max(32*H, K, H), 256, H, K, m, 0, C, 0, w_f_x_v_o_w_i_x_k_q, C_q, n_, 0,
        dot_n, h,
    )

    state = {
        "m": m,
        "C": C.reshape(batch, H, K),
        "n": n_,
    }
    return h, state


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
    K = sizes["K"]
    H = sizes["H"]
    rows = steps * batch
    untaped = item * (rows * (4*H + H*K + 3*K + 7) + batch * (H*K + K + 1)) + 488 * steps
    taped = item * (rows * (4*H + H*K + 3*K + 7) + batch * (H*K + K + 1)) + 488 * steps
    back = item * (rows * (D + 7*H + 2*H*K + 6*K + 17) + batch * (3*H*K + 3*K + 3)) + 1016 * steps
    if packed:
        untaped += rows * (item * D + 8)
        taped += rows * (item * D + 8)
        back += rows * (item * (D + H) + 8)
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
        width = math.prod(value.shape[1:])
        found[name] = cp.ascontiguousarray(value).reshape(1, len(value), width)
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


KERNELS = (
    "forward_1",
    "forward_2",
    "forward_3",
    "forward_4",
    "forward_5",
    "backward_1",
    "backward_2",
    "backward_3",
    "backward_4",
    "backward_5"
)
CUDA = r"""
__device__ inline real sign(real v) { return v > 0 ? 1 : v < 0 ? -1 : v; }
__device__ inline real maximum(real u, real v) { return u > v || u != u ? u : v; }  // NaN wins, as in NumPy
__device__ inline real sigmoid(real v) { return 1 / (1 + exp(-v)); }
__device__ inline real softplus(real v) { return (v > 0 ? v : 0) + log1p(exp(v > 0 ? -v : v)); }

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
    long long K,
    real* w_f_x_v_o_w_i_x_k_q_t_rows,
    const real* __restrict__ b_q,
    const real* __restrict__ b_k) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= K) return;
    real* w_f_x_v_o_w_i_x_k_q_t_row = w_f_x_v_o_w_i_x_k_q_t_rows + row * (2*H + 2*K + 2);
    const real W_q_x_t = w_f_x_v_o_w_i_x_k_q_t_row[2*H + K + 2 + unit];
    const real W_k_x_t = w_f_x_v_o_w_i_x_k_q_t_row[2*H + 2 + unit];
    // q[t] = W_q_x[t] + b_q (query)
    const real q_t = W_q_x_t + b_q[unit];
    // k[t] = W_k_x[t] + b_k (key)
    const real k_t = W_k_x_t + b_k[unit];
    w_f_x_v_o_w_i_x_k_q_t_row[2*H + K + 2 + unit] = q_t;
    w_f_x_v_o_w_i_x_k_q_t_row[2*H + 2 + unit] = k_t;
}

extern "C" __global__ void forward_2(
    long long rows,
    long long H,
    long long K,
    real* w_f_x_v_o_w_i_x_k_q_t_rows,
    const real* __restrict__ b_v,
    const real* __restrict__ b_o) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    real* w_f_x_v_o_w_i_x_k_q_t_row = w_f_x_v_o_w_i_x_k_q_t_rows + row * (2*H + 2*K + 2);
    const real W_v_x_t = w_f_x_v_o_w_i_x_k_q_t_row[1 + unit];
    const real W_o_x_t = w_f_x_v_o_w_i_x_k_q_t_row[H + 1 + unit];
    // v[t] = W_v_x[t] + b_v (value)
    const real v_t = W_v_x_t + b_v[unit];
    // a_o[t] = W_o_x[t] + b_o
    const real a_o_t = W_o_x_t + b_o[unit];
    // o[t] = sigmoid(a_o[t]) (output gate)
    const real o_t = sigmoid(a_o_t);
    w_f_x_v_o_w_i_x_k_q_t_row[1 + unit] = v_t;
    w_f_x_v_o_w_i_x_k_q_t_row[H + 1 + unit] = o_t;
}

extern "C" __global__ void forward_3(
    long long rows,
    long long H,
    long long K,
    const real* __restrict__ w_f_x_v_o_w_i_x_k_q_t_rows,
    const real* __restrict__ b_i,
    real* __restrict__ a_t_rows,
    const real* __restrict__ b_f,
    real* __restrict__ a_l_t_rows,
    real* __restrict__ l_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= 1) return;
    const real* w_f_x_v_o_w_i_x_k_q_t_row = w_f_x_v_o_w_i_x_k_q_t_rows + row * (2*H + 2*K + 2);
    real* a_t_row = a_t_rows + row;
    real* a_l_t_row = a_l_t_rows + row;
    real* l_t_row = l_t_rows + row;
    const real w_i_x_t = w_f_x_v_o_w_i_x_k_q_t_row[2*H + 1];
    const real w_f_x_t = w_f_x_v_o_w_i_x_k_q_t_row[0];
    // a[t] = w_i_x[t] + b_i (logarithm of the input gate)
    const real a_t = w_i_x_t + b_i[0];
    // a_l[t] = -w_f_x[t] - b_f
    const real a_l_t = -w_f_x_t - b_f[0];
    // softplus_a_l[t] = softplus(a_l[t])
    const real softplus_a_l_t = softplus(a_l_t);
    // l[t] = -softplus_a_l[t] (logarithm of the forget gate)
    const real l_t = -softplus_a_l_t;
    a_t_row[0] = a_t;
    a_l_t_row[0] = a_l_t;
    l_t_row[0] = l_t;
}

extern "C" __global__ void __launch_bounds__(1024) forward_4(
    long long H,
    long long K,
    const real* __restrict__ l_t_rows,
    long long l_t_at,
    const real* m_t1_rows,
    long long m_t1_at,
    const real* __restrict__ a_t_rows,
    long long a_t_at,
    real* m_t_rows,
    long long m_t_at,
    const real* C_t1_rows,
    long long C_t1_at,
    const real* __restrict__ w_f_x_v_o_w_i_x_k_q_t_rows,
    long long w_f_x_v_o_w_i_x_k_q_t_at,
    real* C_t_rows,
    long long C_t_at,
    const real* n_t1_rows,
    long long n_t1_at,
    real* n_t_rows,
    long long n_t_at) {
    const long long row = blockIdx.x;
    const real* l_t_row = l_t_rows + (l_t_at + row);
    const real* m_t1_row = m_t1_rows + (m_t1_at + row);
    const real* a_t_row = a_t_rows + (a_t_at + row);
    real* m_t_row = m_t_rows + (m_t_at + row);
    const real* C_t1_row = C_t1_rows + (C_t1_at + row) * (H*K);
    const real* w_f_x_v_o_w_i_x_k_q_t_row =
        w_f_x_v_o_w_i_x_k_q_t_rows + (w_f_x_v_o_w_i_x_k_q_t_at + row) * (2*H + 2*K + 2);
    real* C_t_row = C_t_rows + (C_t_at + row) * (H*K);
    const real* n_t1_row = n_t1_rows + (n_t1_at + row) * K;
    real* n_t_row = n_t_rows + (n_t_at + row) * K;
    const real l_t = l_t_row[0];
    const real m_t1 = m_t1_row[0];
    const real a_t = a_t_row[0];
    // a_m[t] = l[t] + m[t-1]
    const real a_m_t = l_t + m_t1;
    // m[t] = maximum(a_m[t], a[t]) (stabiliser)
    const real m_t = maximum(a_m_t, a_t);
    // a_i[t] = a[t] - m[t]
    const real a_i_t = a_t - m_t;
    // a_f[t] = l[t] + m[t-1] - m[t]
    const real a_f_t = l_t + m_t1 - m_t;
    // i[t] = exp(a_i[t]) (stabilised input gate)
    const real i_t = exp(a_i_t);
    // f[t] = exp(a_f[t]) (stabilised forget gate)
    const real f_t = exp(a_f_t);
    if (threadIdx.x == 0) m_t_row[0] = m_t;
    for (int unit = threadIdx.x; unit < H*K; unit += blockDim.x) {
        const int i = unit / (int)K;
        const int j = unit % (int)K;
        const real C_t1 = C_t1_row[unit];
        const real v_t_i = w_f_x_v_o_w_i_x_k_q_t_row[1 + i];
        const real k_t_j = w_f_x_v_o_w_i_x_k_q_t_row[2*H + 2 + j];
        // C[t] = f[t]*C[t-1] + i[t]*v[t][:,None]*k[t][None,:] (memory)
        const real C_t = f_t * C_t1 + i_t * v_t_i * k_t_j;
        C_t_row[unit] = C_t;
    }
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real n_t1 = n_t1_row[unit];
        const real k_t = w_f_x_v_o_w_i_x_k_q_t_row[2*H + 2 + unit];
        // n[t] = f[t]*n[t-1] + i[t]*k[t] (normaliser)
        const real n_t = f_t * n_t1 + i_t * k_t;
        n_t_row[unit] = n_t;
    }
}

extern "C" __global__ void forward_5(
    long long H,
    long long K,
    const real* __restrict__ m_t_rows,
    long long m_t_at,
    const real* __restrict__ C_t_rows,
    long long C_t_at,
    const real* __restrict__ w_f_x_v_o_w_i_x_k_q_t_rows,
    real* C_q_t_rows,
    const real* __restrict__ n_t_rows,
    long long n_t_at,
    real* __restrict__ dot_n_t_rows,
    real* __restrict__ h_t_rows) {
    const long long row = blockIdx.x;
    const int lane = threadIdx.x % 32;
    const real* m_t_row = m_t_rows + (m_t_at + row);
    const real* C_t_row = C_t_rows + (C_t_at + row) * (H*K);
    const real* w_f_x_v_o_w_i_x_k_q_t_row = w_f_x_v_o_w_i_x_k_q_t_rows + row * (2*H + 2*K + 2);
    real* C_q_t_row = C_q_t_rows + row * H;
    const real* n_t_row = n_t_rows + (n_t_at + row) * K;
    real* dot_n_t_row = dot_n_t_rows + row;
    real* h_t_row = h_t_rows + row * H;
    const real m_t = m_t_row[0];
    // a_h[t] = -m[t]
    const real a_h_t = -m_t;
    // exp_a_h[t] = exp(a_h[t])
    const real exp_a_h_t = exp(a_h_t);
    for (int unit = threadIdx.x / 32; unit < H; unit += blockDim.x / 32) {
        // C_q[t] = C[t] @ q[t]
        real C_q_t = 0;
        for (int k = lane; k < K; k += 32) C_q_t += C_t_row[unit*K + k] * w_f_x_v_o_w_i_x_k_q_t_row[2*H + K + 2 + k];
        C_q_t = warp_sum(C_q_t);
        if (lane == 0) C_q_t_row[unit] = C_q_t;
    }
    __syncthreads();
    real partial_dot_n = 0;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real n_t = n_t_row[unit];
        const real q_t = w_f_x_v_o_w_i_x_k_q_t_row[2*H + K + 2 + unit];
        // product_n[t] = n[t]*q[t]
        const real product_n_t = n_t * q_t;
        partial_dot_n += product_n_t;
    }
    // dot_n[t] = sum(product_n[t])
    const real dot_n_t = block_sum(partial_dot_n);
    if (threadIdx.x == 0) dot_n_t_row[0] = dot_n_t;
    // abs_dot_n[t] = abs(dot_n[t])
    const real abs_dot_n_t = fabs(dot_n_t);
    // maximum_abs_dot_n[t] = maximum(abs_dot_n[t], exp_a_h[t])
    const real maximum_abs_dot_n_t = maximum(abs_dot_n_t, exp_a_h_t);
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real o_t = w_f_x_v_o_w_i_x_k_q_t_row[H + 1 + unit];
        const real C_q_t = C_q_t_row[unit];
        // h[t] = o[t]*C_q[t]/maximum_abs_dot_n[t] (hidden state)
        const real h_t = o_t * C_q_t / maximum_abs_dot_n_t;
        h_t_row[unit] = h_t;
    }
}

extern "C" __global__ void backward_1(
    long long H,
    long long K,
    const real* __restrict__ dot_n_t_rows,
    const real* __restrict__ m_t_rows,
    long long m_t_at,
    const real* __restrict__ dy_t_rows,
    const real* __restrict__ w_f_x_v_o_w_i_x_k_q_t_rows,
    const real* __restrict__ C_q_t_rows,
    real* dC_q_t_rows,
    real* __restrict__ dw_f_x_dv_da_o_da_dk_dq_t_rows,
    real* __restrict__ da_h_t_rows,
    real* __restrict__ ddot_n_t_rows,
    const real* __restrict__ C_t_rows,
    long long C_t_at,
    const real* __restrict__ n_t_rows,
    long long n_t_at) {
    const long long row = blockIdx.x;
    const real* dot_n_t_row = dot_n_t_rows + row;
    const real* m_t_row = m_t_rows + (m_t_at + row);
    const real* dy_t_row = dy_t_rows + row * H;
    const real* w_f_x_v_o_w_i_x_k_q_t_row = w_f_x_v_o_w_i_x_k_q_t_rows + row * (2*H + 2*K + 2);
    const real* C_q_t_row = C_q_t_rows + row * H;
    real* dC_q_t_row = dC_q_t_rows + row * H;
    real* dw_f_x_dv_da_o_da_dk_dq_t_row = dw_f_x_dv_da_o_da_dk_dq_t_rows + row * (2*H + 2*K + 2);
    real* da_h_t_row = da_h_t_rows + row;
    real* ddot_n_t_row = ddot_n_t_rows + row;
    const real* C_t_row = C_t_rows + (C_t_at + row) * (H*K);
    const real* n_t_row = n_t_rows + (n_t_at + row) * K;
    const real dot_n_t = dot_n_t_row[0];
    const real m_t = m_t_row[0];
    // abs_dot_n[t] = abs(dot_n[t])
    const real abs_dot_n_t = fabs(dot_n_t);
    // a_h[t] = -m[t]
    const real a_h_t = -m_t;
    // exp_a_h[t] = exp(a_h[t])
    const real exp_a_h_t = exp(a_h_t);
    // maximum_abs_dot_n[t] = maximum(abs_dot_n[t], exp_a_h[t])
    const real maximum_abs_dot_n_t = maximum(abs_dot_n_t, exp_a_h_t);
    real partial_dmaximum_abs_dot_n_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real dy_t = dy_t_row[unit];
        const real o_t = w_f_x_v_o_w_i_x_k_q_t_row[H + 1 + unit];
        const real C_q_t = C_q_t_row[unit];
        // dmaximum_abs_dot_n_each[t] = dy[t]*o[t]*C_q[t]
        const real dmaximum_abs_dot_n_each_t = dy_t * o_t * C_q_t;
        // dC_q[t] = dy[t]*o[t]/maximum_abs_dot_n[t]
        const real dC_q_t = dy_t * o_t / maximum_abs_dot_n_t;
        // do[t] = dy[t]*C_q[t]/maximum_abs_dot_n[t]
        const real do_t = dy_t * C_q_t / maximum_abs_dot_n_t;
        // da_o[t] = do[t]*o[t]*(1 - o[t])
        const real da_o_t = do_t * o_t * (1 - o_t);
        partial_dmaximum_abs_dot_n_sum += dmaximum_abs_dot_n_each_t;
        dC_q_t_row[unit] = dC_q_t;
        dw_f_x_dv_da_o_da_dk_dq_t_row[H + 1 + unit] = da_o_t;
    }
    // dmaximum_abs_dot_n_sum[t] = sum(dmaximum_abs_dot_n_each[t])
    const real dmaximum_abs_dot_n_sum_t = block_sum(partial_dmaximum_abs_dot_n_sum);
    __syncthreads();
    // dmaximum_abs_dot_n[t] = -dmaximum_abs_dot_n_sum[t]/maximum_abs_dot_n[t]**2
    const real dmaximum_abs_dot_n_t = -dmaximum_abs_dot_n_sum_t / (maximum_abs_dot_n_t * maximum_abs_dot_n_t);
    // dexp_a_h[t] = dmaximum_abs_dot_n[t]*(greater(exp_a_h[t], abs_dot_n[t])/2 + greater_equal(exp_a_h[t],
    //     abs_dot_n[t])/2)
    const real dexp_a_h_t =
        dmaximum_abs_dot_n_t * ((real)(exp_a_h_t > abs_dot_n_t) / 2 + (real)(exp_a_h_t >= abs_dot_n_t) / 2);
    // dabs_dot_n[t] = dmaximum_abs_dot_n[t]*(greater(abs_dot_n[t], exp_a_h[t])/2 + greater_equal(abs_dot_n[t],
    //     exp_a_h[t])/2)
    const real dabs_dot_n_t =
        dmaximum_abs_dot_n_t * ((real)(abs_dot_n_t > exp_a_h_t) / 2 + (real)(abs_dot_n_t >= exp_a_h_t) / 2);
    // da_h[t] = dexp_a_h[t]*exp_a_h[t]
    const real da_h_t = dexp_a_h_t * exp_a_h_t;
    // ddot_n[t] = dabs_dot_n[t]*sign(dot_n[t])
    const real ddot_n_t = dabs_dot_n_t * sign(dot_n_t);
    if (threadIdx.x == 0) da_h_t_row[0] = da_h_t;
    if (threadIdx.x == 0) ddot_n_t_row[0] = ddot_n_t;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real n_t = n_t_row[unit];
        // dq_back[t] = C[t].T @ dC_q[t]
        real dq_back_t = 0;
        for (int k = 0; k < H; ++k) dq_back_t += C_t_row[k*K + unit] * dC_q_t_row[k];
        // dq[t] = ddot_n[t]*n[t] + dq_back[t]
        const real dq_t = ddot_n_t * n_t + dq_back_t;
        dw_f_x_dv_da_o_da_dk_dq_t_row[2*H + K + 2 + unit] = dq_t;
    }
}

extern "C" __global__ void __launch_bounds__(1024) backward_2(
    long long H,
    long long K,
    const real* __restrict__ a_l_t_rows,
    long long a_l_t_at,
    const real* __restrict__ a_t_rows,
    long long a_t_at,
    const real* __restrict__ m_t_rows,
    long long m_t_at,
    real* __restrict__ i_t_rows,
    long long i_t_at,
    const real* __restrict__ m_t1_rows,
    long long m_t1_at,
    real* __restrict__ a_m_t_rows,
    long long a_m_t_at,
    const real* __restrict__ ddot_n_t_rows,
    long long ddot_n_t_at,
    const real* __restrict__ w_f_x_v_o_w_i_x_k_q_t_rows,
    long long w_f_x_v_o_w_i_x_k_q_t_at,
    const real* dn_via_next_rows,
    long long dn_via_next_at,
    real* __restrict__ dn_t_rows,
    long long dn_t_at,
    const real* __restrict__ n_t1_rows,
    long long n_t1_at,
    real* dn_via_t_rows,
    long long dn_via_t_at,
    const real* __restrict__ dC_q_t_rows,
    long long dC_q_t_at,
    const real* dC_via_next_rows,
    long long dC_via_next_at,
    real* dC_t_rows,
    long long dC_t_at,
    const real* __restrict__ C_t1_rows,
    long long C_t1_at,
    real* dC_via_t_rows,
    long long dC_via_t_at,
    real* __restrict__ da_i_da_f_t_rows,
    long long da_i_da_f_t_at,
    real* __restrict__ di_along_t_rows,
    long long di_along_t_at,
    const real* __restrict__ da_h_t_rows,
    long long da_h_t_at,
    const real* dm_via_next_rows,
    long long dm_via_next_at,
    real* __restrict__ dm_t_rows,
    long long dm_t_at,
    real* __restrict__ da_m_t_rows,
    long long da_m_t_at,
    real* dm_via_t_rows,
    long long dm_via_t_at) {
    const long long row = blockIdx.x;
    const int lane = threadIdx.x % 32;
    const real* a_l_t_row = a_l_t_rows + (a_l_t_at + row);
    const real* a_t_row = a_t_rows + (a_t_at + row);
    const real* m_t_row = m_t_rows + (m_t_at + row);
    real* i_t_row = i_t_rows + (i_t_at + row);
    const real* m_t1_row = m_t1_rows + (m_t1_at + row);
    real* a_m_t_row = a_m_t_rows + (a_m_t_at + row);
    const real* ddot_n_t_row = ddot_n_t_rows + (ddot_n_t_at + row);
    const real* w_f_x_v_o_w_i_x_k_q_t_row =
        w_f_x_v_o_w_i_x_k_q_t_rows + (w_f_x_v_o_w_i_x_k_q_t_at + row) * (2*H + 2*K + 2);
    const real* dn_via_next_row = dn_via_next_rows + (dn_via_next_at + row) * K;
    real* dn_t_row = dn_t_rows + (dn_t_at + row) * K;
    const real* n_t1_row = n_t1_rows + (n_t1_at + row) * K;
    real* dn_via_t_row = dn_via_t_rows + (dn_via_t_at + row) * K;
    const real* dC_q_t_row = dC_q_t_rows + (dC_q_t_at + row) * H;
    const real* dC_via_next_row = dC_via_next_rows + (dC_via_next_at + row) * (H*K);
    real* dC_t_row = dC_t_rows + (dC_t_at + row) * (H*K);
    const real* C_t1_row = C_t1_rows + (C_t1_at + row) * (H*K);
    real* dC_via_t_row = dC_via_t_rows + (dC_via_t_at + row) * (H*K);
    real* da_i_da_f_t_row = da_i_da_f_t_rows + (da_i_da_f_t_at + row) * 2;
    real* di_along_t_row = di_along_t_rows + (di_along_t_at + row) * H;
    const real* da_h_t_row = da_h_t_rows + (da_h_t_at + row);
    const real* dm_via_next_row = dm_via_next_rows + (dm_via_next_at + row);
    real* dm_t_row = dm_t_rows + (dm_t_at + row);
    real* da_m_t_row = da_m_t_rows + (da_m_t_at + row);
    real* dm_via_t_row = dm_via_t_rows + (dm_via_t_at + row);
    const real a_l_t = a_l_t_row[0];
    const real a_t = a_t_row[0];
    const real m_t = m_t_row[0];
    const real m_t1 = m_t1_row[0];
    const real ddot_n_t = ddot_n_t_row[0];
    // softplus_a_l[t] = softplus(a_l[t])
    const real softplus_a_l_t = softplus(a_l_t);
    // a_i[t] = a[t] - m[t]
    const real a_i_t = a_t - m_t;
    // l[t] = -softplus_a_l[t] (logarithm of the forget gate)
    const real l_t = -softplus_a_l_t;
    // i[t] = exp(a_i[t]) (stabilised input gate)
    const real i_t = exp(a_i_t);
    // a_m[t] = l[t] + m[t-1]
    const real a_m_t = l_t + m_t1;
    // a_f[t] = l[t] + m[t-1] - m[t]
    const real a_f_t = l_t + m_t1 - m_t;
    // f[t] = exp(a_f[t]) (stabilised forget gate)
    const real f_t = exp(a_f_t);
    if (threadIdx.x == 0) i_t_row[0] = i_t;
    if (threadIdx.x == 0) a_m_t_row[0] = a_m_t;
    real partial_df_sum_2 = 0;
    real partial_di_sum_2 = 0;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real q_t = w_f_x_v_o_w_i_x_k_q_t_row[2*H + K + 2 + unit];
        const real dn_via_next = dn_via_next_row[unit];
        const real n_t1 = n_t1_row[unit];
        const real k_t = w_f_x_v_o_w_i_x_k_q_t_row[2*H + 2 + unit];
        // dn[t] = ddot_n[t]*q[t] + dn_via[t+1]
        const real dn_t = ddot_n_t * q_t + dn_via_next;
        // df_each_2[t] = dn[t]*n[t-1]
        const real df_each_2_t = dn_t * n_t1;
        // di_each_2[t] = dn[t]*k[t]
        const real di_each_2_t = dn_t * k_t;
        // dn_via[t] = dn[t]*f[t]
        const real dn_via_t = dn_t * f_t;
        partial_df_sum_2 += df_each_2_t;
        partial_di_sum_2 += di_each_2_t;
        dn_t_row[unit] = dn_t;
        dn_via_t_row[unit] = dn_via_t;
    }
    // df_sum_2[t] = sum(df_each_2[t])
    const real df_sum_2_t = block_sum(partial_df_sum_2);
    // di_sum_2[t] = sum(di_each_2[t])
    const real di_sum_2_t = block_sum(partial_di_sum_2);
    real partial_df_sum = 0;
    for (int unit = threadIdx.x; unit < H*K; unit += blockDim.x) {
        const int i = unit / (int)K;
        const int j = unit % (int)K;
        const real dC_q_t_i = dC_q_t_row[i];
        const real q_t_j = w_f_x_v_o_w_i_x_k_q_t_row[2*H + K + 2 + j];
        const real dC_via_next = dC_via_next_row[unit];
        const real C_t1 = C_t1_row[unit];
        // dC[t] = dC_q[t][:,None]*q[t][None,:] + dC_via[t+1]
        const real dC_t = dC_q_t_i * q_t_j + dC_via_next;
        // df_each[t] = dC[t]*C[t-1]
        const real df_each_t = dC_t * C_t1;
        // dC_via[t] = dC[t]*f[t]
        const real dC_via_t = dC_t * f_t;
        partial_df_sum += df_each_t;
        dC_t_row[unit] = dC_t;
        dC_via_t_row[unit] = dC_via_t;
    }
    // df_sum[t] = sum(df_each[t])
    const real df_sum_t = block_sum(partial_df_sum);
    __syncthreads();
    // df[t] = df_sum[t] + df_sum_2[t]
    const real df_t = df_sum_t + df_sum_2_t;
    // da_f[t] = df[t]*f[t]
    const real da_f_t = df_t * f_t;
    if (threadIdx.x == 0) da_i_da_f_t_row[1] = da_f_t;
    real partial_di_sum = 0;
    for (int unit = threadIdx.x / 32; unit < H; unit += blockDim.x / 32) {
        const real v_t = w_f_x_v_o_w_i_x_k_q_t_row[1 + unit];
        // di_along[t] = dC[t] @ k[t]
        real di_along_t = 0;
        for (int k = lane; k < K; k += 32) di_along_t += dC_t_row[unit*K + k] * w_f_x_v_o_w_i_x_k_q_t_row[2*H + 2 + k];
        di_along_t = warp_sum(di_along_t);
        // di_each[t] = di_along[t]*v[t]
        const real di_each_t = di_along_t * v_t;
        if (lane == 0) partial_di_sum += di_each_t;
        if (lane == 0) di_along_t_row[unit] = di_along_t;
    }
    // di_sum[t] = sum(di_each[t])
    const real di_sum_t = block_sum(partial_di_sum);
    __syncthreads();
    const real da_h_t = da_h_t_row[0];
    const real dm_via_next = dm_via_next_row[0];
    // di[t] = di_sum[t] + di_sum_2[t]
    const real di_t = di_sum_t + di_sum_2_t;
    // da_i[t] = di[t]*i[t]
    const real da_i_t = di_t * i_t;
    // dm[t] = -da_i[t] - da_f[t] - da_h[t] + dm_via[t+1]
    const real dm_t = -da_i_t - da_f_t - da_h_t + dm_via_next;
    // da_m[t] = dm[t]*(greater(a_m[t], a[t])/2 + greater_equal(a_m[t], a[t])/2)
    const real da_m_t = dm_t * ((real)(a_m_t > a_t) / 2 + (real)(a_m_t >= a_t) / 2);
    // dm_via[t] = da_m[t] + da_f[t]
    const real dm_via_t = da_m_t + da_f_t;
    if (threadIdx.x == 0) da_i_da_f_t_row[0] = da_i_t;
    if (threadIdx.x == 0) dm_t_row[0] = dm_t;
    if (threadIdx.x == 0) da_m_t_row[0] = da_m_t;
    if (threadIdx.x == 0) dm_via_t_row[0] = dm_via_t;
}

extern "C" __global__ void backward_3(
    long long rows,
    long long H,
    long long K,
    const real* __restrict__ da_m_t_rows,
    const real* __restrict__ da_i_da_f_t_rows,
    const real* __restrict__ dm_t_rows,
    const real* __restrict__ a_t_rows,
    const real* __restrict__ a_m_t_rows,
    real* __restrict__ dw_f_x_dv_da_o_da_dk_dq_t_rows,
    const real* __restrict__ a_l_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= 1) return;
    const real* da_m_t_row = da_m_t_rows + row;
    const real* da_i_da_f_t_row = da_i_da_f_t_rows + row * 2;
    const real* dm_t_row = dm_t_rows + row;
    const real* a_t_row = a_t_rows + row;
    const real* a_m_t_row = a_m_t_rows + row;
    real* dw_f_x_dv_da_o_da_dk_dq_t_row = dw_f_x_dv_da_o_da_dk_dq_t_rows + row * (2*H + 2*K + 2);
    const real* a_l_t_row = a_l_t_rows + row;
    const real da_m_t = da_m_t_row[0];
    const real da_f_t = da_i_da_f_t_row[1];
    const real dm_t = dm_t_row[0];
    const real a_t = a_t_row[0];
    const real a_m_t = a_m_t_row[0];
    const real da_i_t = da_i_da_f_t_row[0];
    const real a_l_t = a_l_t_row[0];
    // dl[t] = da_m[t] + da_f[t]
    const real dl_t = da_m_t + da_f_t;
    // da[t] = dm[t]*(greater(a[t], a_m[t])/2 + greater_equal(a[t], a_m[t])/2) + da_i[t]
    const real da_t = dm_t * ((real)(a_t > a_m_t) / 2 + (real)(a_t >= a_m_t) / 2) + da_i_t;
    // dsoftplus_a_l[t] = -dl[t]
    const real dsoftplus_a_l_t = -dl_t;
    // da_l[t] = dsoftplus_a_l[t]*sigmoid(a_l[t])
    const real da_l_t = dsoftplus_a_l_t * sigmoid(a_l_t);
    // dw_f_x[t] = -da_l[t]
    const real dw_f_x_t = -da_l_t;
    dw_f_x_dv_da_o_da_dk_dq_t_row[2*H + 1] = da_t;
    dw_f_x_dv_da_o_da_dk_dq_t_row[0] = dw_f_x_t;
}

extern "C" __global__ void backward_4(
    long long rows,
    long long H,
    long long K,
    const real* __restrict__ di_along_t_rows,
    const real* __restrict__ i_t_rows,
    real* __restrict__ dw_f_x_dv_da_o_da_dk_dq_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* di_along_t_row = di_along_t_rows + row * H;
    const real* i_t_row = i_t_rows + row;
    real* dw_f_x_dv_da_o_da_dk_dq_t_row = dw_f_x_dv_da_o_da_dk_dq_t_rows + row * (2*H + 2*K + 2);
    const real di_along_t = di_along_t_row[unit];
    const real i_t = i_t_row[0];
    // dv[t] = di_along[t]*i[t]
    const real dv_t = di_along_t * i_t;
    dw_f_x_dv_da_o_da_dk_dq_t_row[1 + unit] = dv_t;
}

extern "C" __global__ void backward_5(
    long long rows,
    long long H,
    long long K,
    const real* __restrict__ dC_t_rows,
    const real* __restrict__ w_f_x_v_o_w_i_x_k_q_t_rows,
    const real* __restrict__ i_t_rows,
    const real* __restrict__ dn_t_rows,
    real* __restrict__ dw_f_x_dv_da_o_da_dk_dq_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= K) return;
    const real* dC_t_row = dC_t_rows + row * (H*K);
    const real* w_f_x_v_o_w_i_x_k_q_t_row = w_f_x_v_o_w_i_x_k_q_t_rows + row * (2*H + 2*K + 2);
    const real* i_t_row = i_t_rows + row;
    const real* dn_t_row = dn_t_rows + row * K;
    real* dw_f_x_dv_da_o_da_dk_dq_t_row = dw_f_x_dv_da_o_da_dk_dq_t_rows + row * (2*H + 2*K + 2);
    const real i_t = i_t_row[0];
    const real dn_t = dn_t_row[unit];
    // dk_along[t] = dC[t].T @ v[t]
    real dk_along_t = 0;
    for (int k = 0; k < H; ++k) dk_along_t += dC_t_row[k*K + unit] * w_f_x_v_o_w_i_x_k_q_t_row[1 + k];
    // dk[t] = dk_along[t]*i[t] + dn[t]*i[t]
    const real dk_t = dk_along_t * i_t + dn_t * i_t;
    dw_f_x_dv_da_o_da_dk_dq_t_row[2*H + 2 + unit] = dk_t;
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
