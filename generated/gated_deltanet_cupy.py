"""Gated DeltaNet

Yang, Kautz & Hatamizadeh (2024), Gated delta networks: improving Mamba2 with delta rule, equation 10: S[t] = S[t-1]
(alpha (I - beta k kᵀ)) + beta v kᵀ. The decay alpha is parametrised as in Mamba2. One head, without short convolutions
and output projection; the query is not scaled.

The cell gated_deltanet as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive gated_deltanet``.
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

SIZES = ("D", "K", "H")
PARAMS = {
    "W_g": ("H", "D"),
    "w_alpha": (1, "D"),
    "w_beta": (1, "D"),
    "W_q": ("K", "D"),
    "W_k": ("K", "D"),
    "W_v": ("H", "D"),
    "b_alpha": (1,),
    "gain": ("H",),
    "a_log": (),
}
CONSTANTS = {}
START = {
    "W_g": "uniform",
    "w_alpha": "uniform",
    "w_beta": "uniform",
    "W_q": "uniform",
    "W_k": "uniform",
    "W_v": "uniform",
    "b_alpha": -3.0,
    "gain": 1.0,
    "a_log": 0.0,
}
INPUTS = {"x": ("D",)}
STATES = {"S": ("H", "K")}
LAGS = {}
OUTPUT = "y"
EQUATIONS = (
    '"""Gated DeltaNet\n'
    "\n"
    "Yang, Kautz & Hatamizadeh (2024), Gated delta networks: improving Mamba2 with delta rule, equation 10: S[t] = "
    "S[t-1]\n"
    "(alpha (I - beta k kᵀ)) + beta v kᵀ. The decay alpha is parametrised as in Mamba2. One head, without short "
    "convolutions\n"
    "and output projection; the query is not scaled.\n"
    '"""\n'
    "eps: const = 1e-6\n"
    "S: (H, K)\n"
    "beta: 1\n"
    "alpha: 1\n"
    "a[t] = silu(W_q @ x[t])                                            # features of the query\n"
    "b[t] = silu(W_k @ x[t])                                            # features of the key\n"
    "q[t] = a[t] / sqrt(dot(a[t], a[t]) + eps)                          # query\n"
    "k[t] = b[t] / sqrt(dot(b[t], b[t]) + eps)                          # key\n"
    "v[t] = silu(W_v @ x[t])                                            # value\n"
    "beta[t] = sigmoid(w_beta @ x[t])                                   # writing strength\n"
    "alpha[t] = exp(-exp(a_log) * softplus(w_alpha @ x[t] + b_alpha))   # decay\n"
    "e[t] = v[t] - alpha[t] * (S[t-1] @ k[t])                           # error of the recalled value\n"
    "S[t] = alpha[t] * S[t-1] + beta[t] * outer(e[t], k[t])             # memory\n"
    "o[t] = S[t] @ q[t]                                                 # recalled value\n"
    "y[t] = rmsnorm(o[t], gain) * silu(W_g @ x[t])                      # gated output\n"
    "a_log: scalar = 0\n"
    "b_alpha: 1 = -3\n"
    "gain: H = 1\n"
)
STAMP = "c5e78c22fa70c9da"


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
    return pack.sequence(rows, _shape(("H",), params.sizes), False), last, kept


def _forward_sweep(
    params: Params, inputs: Mapping[str, Any], state: Mapping[str, Any], pack: Packing, keep_tape: bool
) -> tuple[Any, dict[str, Any], Tape | None]:
    """All steps, first to last, of what ``forward`` has checked: y as rows, the last states and the tape."""
    batch = pack.batch
    given = _state_rows(state)
    dtype = params.flat.dtype
    K = params.sizes["K"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    kept_0 = pack.slots(0, 0, keep_tape)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    x_rows = pack.rows(inputs["x"])
    W_g_x_to_W_v_x = cp.empty((pack.size, 2*H + 2*K + 2), dtype)
    beta = cp.empty((pack.size, 1), dtype)
    a_alpha = cp.empty((pack.size, 1), dtype)
    sigmoid_W_g_x = cp.empty((pack.size, H), dtype)
    a_b = cp.empty((pack.size, 2*K), dtype)
    v = cp.empty((pack.size, H), dtype)
    alpha = cp.empty((pack.size, 1), dtype)
    sqrt_a_q_sqrt_a_k = cp.empty((pack.size, 2), dtype)
    q_k = cp.empty((pack.size, 2*K), dtype)
    e = cp.empty((batch, H), dtype)
    rms_o = cp.empty((pack.size, 1), dtype)
    y = cp.empty((pack.size, H), dtype)
    S_k = cp.empty((pack.size if keep_tape else batch, H), dtype)
    S = cp.empty((pack.size + batch, H*K), dtype)
    o = cp.empty((pack.size, H), dtype)
    exp_a_log = cp.empty((1,), dtype)
    a_log = params.stack("a_log", "a_log")
    b_alpha = params.stack("b_alpha", "b_alpha")
    gain = params.stack("gain", "gain")
    S[pack.first(1)] = pack.sort(given["S"]) if "S" in given else 0
    W_g_to_W_v_T = params.stack("W_g", "W_v").T
    kernels = _kernels(dtype)

    # exp_a_log = exp(a_log) (31)
    cp.exp(a_log, out=exp_a_log)
    # W_g_x[t] = W_g @ x[t] (34)
    # w_alpha_x[t] = w_alpha @ x[t] (31)
    # w_beta_x[t] = w_beta @ x[t] (10)
    # W_q_x[t] = W_q @ x[t] (21)
    # W_k_x[t] = W_k @ x[t] (23)
    # W_v_x[t] = W_v @ x[t] (29)
    cp.matmul(x_rows, W_g_to_W_v_T, out=W_g_x_to_W_v_x)
    # beta[t] = sigmoid(w_beta_x[t]) (writing strength) (10)
    # a_alpha[t] = w_alpha_x[t] + b_alpha (31)
    # softplus_a_alpha[t] = softplus(a_alpha[t]) (31)
    # exp_in_alpha[t] = -exp_a_log*softplus_a_alpha[t] (31)
    # alpha[t] = exp(exp_in_alpha[t]) (decay) (31)
    # sigmoid_W_q_x[t] = sigmoid(W_q_x[t]) (21)
    # sigmoid_W_k_x[t] = sigmoid(W_k_x[t]) (23)
    # a[t] = W_q_x[t]*sigmoid_W_q_x[t] (features of the query) (21)
    # b[t] = W_k_x[t]*sigmoid_W_k_x[t] (features of the key) (23)
    # product_a[t] = a[t]**2 (25)
    # product_b[t] = b[t]**2 (27)
    # dot_a[t] = sum(product_a[t]) (25)
    # dot_b[t] = sum(product_b[t]) (27)
    # sigmoid_W_v_x[t] = sigmoid(W_v_x[t]) (29)
    # sigmoid_W_g_x[t] = sigmoid(W_g_x[t]) (34)
    # v[t] = W_v_x[t]*sigmoid_W_v_x[t] (value) (29)
    # a_q[t] = dot_a[t] + eps (25)
    # a_k[t] = dot_b[t] + eps (27)
    # sqrt_a_q[t] = sqrt(a_q[t]) (25)
    # sqrt_a_k[t] = sqrt(a_k[t]) (27)
    # q[t] = a[t]/sqrt_a_q[t] (query) (25)
    # k[t] = b[t]/sqrt_a_k[t] (key) (27)
    _launch_rows(
        kernels.forward_1, pack.size, max(K, H), 256, H, K, W_g_x_to_W_v_x, beta, b_alpha, a_alpha, exp_a_log,
        alpha, a_b, sigmoid_W_g_x, v, sqrt_a_q_sqrt_a_k, q_k,
    )

    # all steps in one launch, unless one launch for each stage of each is better
    left = _run_steps(
        "forward_steps", params.sizes, pack, dtype, H, K, S, q_k, S_k, int(keep_tape), v, alpha, e, beta,
    )

    for t, n in enumerate(left):
        # S_k[t] = S[t-1] @ k[t] (12)
        # e[t] = v[t] - alpha[t]*S_k[t] (error of the recalled value) (12)
        # S[t] = alpha[t]*S[t-1] + beta[t]*e[t][:,None]*k[t][None,:] (memory) (13)
        _launch_rows(
            kernels.forward_2, n, max(32*H, H*K), 1024, H, K, S, at_1_0[t].start, q_k, at_0[t].start, S_k,
            kept_0[t].start, v, at_0[t].start, alpha, at_0[t].start, e, beta, at_0[t].start, S, at_1[t].start,
        )

    # o[t] = S[t] @ q[t] (recalled value) (14)
    # square_o[t] = o[t]**2 (34)
    # sum_square_o[t] = sum(square_o[t]) (34)
    # rms_squared_o[t] = sum_square_o[t]/H + 1e-05 (34)
    # rms_o[t] = sqrt(rms_squared_o[t]) (34)
    # y[t] = o[t]*gain*W_g_x[t]*sigmoid_W_g_x[t]/rms_o[t] (gated output) (34)
    _launch_rows(
        kernels.forward_3, pack.size, max(32*H, H), 256, H, K, S, 1 * batch, q_k, o, rms_o, gain,
        W_g_x_to_W_v_x, sigmoid_W_g_x, y,
    )

    S_last = S[pack.last(1, 1, True)]

    last = {
        "S": pack.unsort(S_last).reshape(batch, H, K),
    }
    arrays = {
        "S": S,
        "S_k": S_k,
        "W_g_x_to_W_v_x": W_g_x_to_W_v_x,
        "a_alpha": a_alpha,
        "beta": beta,
        "o": o,
        "rms_o": rms_o,
        "sqrt_a_q_sqrt_a_k": sqrt_a_q_sqrt_a_k,
        "x_rows": x_rows,
    }
    tape = Tape(pack, params.sizes, dtype, arrays) if keep_tape else None
    return y, last, tape


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
    K = params.sizes["K"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)

    dy_rows = pack.rows(dy)
    S = tape.arrays["S"]
    S_k = tape.arrays["S_k"]
    W_g_x_to_W_v_x = tape.arrays["W_g_x_to_W_v_x"]
    a_alpha = tape.arrays["a_alpha"]
    beta = tape.arrays["beta"]
    o = tape.arrays["o"]
    rms_o = tape.arrays["rms_o"]
    sqrt_a_q_sqrt_a_k = tape.arrays["sqrt_a_q_sqrt_a_k"]
    x_ = tape.arrays["x_rows"]
    dW_g_x_to_dW_v_x = cp.empty((pack.size, 2*H + 2*K + 2), dtype)
    memory = cp.empty(max(pack.size * K, pack.size * H*K), dtype)
    sigmoid_W_q_x = memory[: pack.size * K].reshape(pack.size, K)
    memory_ = cp.empty(max(pack.size * H, pack.size * K), dtype)
    sigmoid_W_g_x = memory_[: pack.size * H].reshape(pack.size, H)
    memory_2 = cp.empty(max(pack.size * K, pack.size * H), dtype)
    a = memory_2[: pack.size * K].reshape(pack.size, K)
    memory_3 = cp.empty(max(pack.size * H, pack.size * K), dtype)
    dgain_each = memory_3[: pack.size * H].reshape(pack.size, H)
    memory_4 = cp.empty(max(pack.size * H, pack.size * K), dtype)
    do = memory_4[: pack.size * H].reshape(pack.size, H)
    sigmoid_W_k_x = memory_[: pack.size * K].reshape(pack.size, K)
    q_k_2 = cp.empty((batch, 2*K), dtype)
    softplus_a_alpha = cp.empty((pack.size, 1), dtype)
    b = cp.empty((pack.size, K), dtype)
    dS = memory[: pack.size * H*K].reshape(pack.size, H*K)
    alpha = cp.empty((pack.size, 1), dtype)
    de = cp.empty((pack.size, H), dtype)
    dS_k = cp.empty((pack.size, H), dtype)
    e = memory_2[: pack.size * H].reshape(pack.size, H)
    dexp_a_log_each = cp.empty((pack.size, 1), dtype)
    dk = memory_3[: pack.size * K].reshape(pack.size, K)
    de_along = cp.empty((pack.size, H), dtype)
    dk_back = memory_4[: pack.size * K].reshape(pack.size, K)
    dq = b
    dx_ = cp.empty((pack.size, D), dtype)
    dS_via = cp.zeros((2 * batch, H*K), dtype)
    exp_a_log = cp.empty((1,), dtype)
    dexp_a_log_total = cp.empty((1,), dtype)
    a_log = params.stack("a_log", "a_log")
    gain = params.stack("gain", "gain")
    dgain = grads.stack("gain", "gain")
    W_g_to_W_v = params.stack("W_g", "W_v")
    dW_g_to_dW_v = grads.stack("W_g", "W_v")
    db_alpha = grads.stack("b_alpha", "b_alpha")
    da_log = grads.stack("a_log", "a_log")
    dS_via[pack.last(1, 1, False)] = pack.sort(given["S"]) if "S" in given else 0
    kernels = _kernels(dtype)
    ones = cp.ones((1, pack.size), dtype)

    # exp_a_log = exp(a_log) (31)
    cp.exp(a_log, out=exp_a_log)
    # sigmoid_W_q_x[t] = sigmoid(W_q_x[t]) (21)
    # a[t] = W_q_x[t]*sigmoid_W_q_x[t] (features of the query) (21)
    # sigmoid_W_g_x[t] = sigmoid(W_g_x[t]) (34)
    # dsigmoid_W_g_x[t] = dy[t]*o[t]*gain*W_g_x[t]/rms_o[t] (89)
    # dW_g_x[t] = dsigmoid_W_g_x[t]*sigmoid_W_g_x[t]*(1 - sigmoid_W_g_x[t]) + dy[t]*sigmoid_W_g_x[t]*o[t]*gain/rms_o[t]
    #     (89)
    # drms_o_each[t] = dy[t]*o[t]*gain*W_g_x[t]*sigmoid_W_g_x[t] (72)
    # dgain_each[t] = dy[t]*o[t]*W_g_x[t]*sigmoid_W_g_x[t]/rms_o[t] (104)
    # drms_o_sum[t] = sum(drms_o_each[t]) (72)
    # drms_o[t] = -drms_o_sum[t]/rms_o[t]**2 (72)
    # drms_squared_o[t] = drms_o[t]/(2*rms_o[t]) (72)
    # dsum_square_o[t] = drms_squared_o[t]/H (72)
    # do[t] = 2*dsum_square_o[t]*o[t] + dy[t]*gain*W_g_x[t]*sigmoid_W_g_x[t]/rms_o[t] (72)
    # dq[t] = S[t].T @ do[t] (83)
    # dsqrt_a_q_each[t] = dq[t]*a[t] (87)
    # dsqrt_a_q_sum[t] = sum(dsqrt_a_q_each[t]) (87)
    # dsqrt_a_q[t] = -dsqrt_a_q_sum[t]/sqrt_a_q[t]**2 (87)
    # da_q[t] = dsqrt_a_q[t]/(2*sqrt_a_q[t]) (87)
    # da[t] = 2*da_q[t]*a[t] + dq[t]/sqrt_a_q[t] (87)
    # dsigmoid_W_q_x[t] = da[t]*W_q_x[t] (89)
    # dW_q_x[t] = dsigmoid_W_q_x[t]*sigmoid_W_q_x[t]*(1 - sigmoid_W_q_x[t]) + da[t]*sigmoid_W_q_x[t] (89)
    _launch_rows(
        kernels.backward_1, pack.size, max(K, H), 256, H, K, W_g_x_to_W_v_x, sigmoid_W_q_x, a, sigmoid_W_g_x,
        dy_rows, o, gain, rms_o, dW_g_x_to_dW_v_x, dgain_each, do, S, 1 * batch, dq, sqrt_a_q_sqrt_a_k,
    )

    # all steps in one launch, unless one launch for each stage of each is better
    left = _run_steps(
        "backward_steps", params.sizes, pack, dtype, H, K, a_alpha, softplus_a_alpha, exp_a_log, alpha,
        W_g_x_to_W_v_x, sigmoid_W_k_x, a, sqrt_a_q_sqrt_a_k, q_k_2, b, do, dS_via, dS, de_along, beta, de, dS_k,
    )

    for t, n in reversed(list(enumerate(left))):
        # softplus_a_alpha[t] = softplus(a_alpha[t]) (31)
        # exp_in_alpha[t] = -exp_a_log*softplus_a_alpha[t] (31)
        # alpha[t] = exp(exp_in_alpha[t]) (decay) (31)
        # sigmoid_W_k_x[t] = sigmoid(W_k_x[t]) (23)
        # q[t] = a[t]/sqrt_a_q[t] (query) (25)
        # b[t] = W_k_x[t]*sigmoid_W_k_x[t] (features of the key) (23)
        # k[t] = b[t]/sqrt_a_k[t] (key) (27)
        # dS[t] = do[t][:,None]*q[t][None,:] + dS_via[t+1] (74)
        # de_along[t] = dS[t] @ k[t] (75)
        # de[t] = de_along[t]*beta[t] (75)
        # dS_k[t] = -de[t]*alpha[t] (74)
        # dS_via[t] = dS_k[t][:,None]*k[t][None,:] + dS[t]*alpha[t] (74)
        _launch_rows(
            kernels.backward_2, n, max(K, H*K, 32*H), 1024, H, K, a_alpha, at_0[t].start, softplus_a_alpha,
            at_0[t].start, exp_a_log, alpha, at_0[t].start, W_g_x_to_W_v_x, at_0[t].start, sigmoid_W_k_x,
            at_0[t].start, a, at_0[t].start, sqrt_a_q_sqrt_a_k, at_0[t].start, q_k_2, b, at_0[t].start, do,
            at_0[t].start, dS_via, ring_1[t].start, dS, at_0[t].start, de_along, at_0[t].start, beta, at_0[t].start,
            de, at_0[t].start, dS_k, at_0[t].start, dS_via, ring_1_0[t].start,
        )

    # dgain = sum of dgain_each[t] (104)
    cp.matmul(ones, dgain_each, out=dgain.reshape(1, -1))
    # sigmoid_W_v_x[t] = sigmoid(W_v_x[t]) (29)
    # dalpha_each_2[t] = de[t]*S_k[t] (76)
    # dsigmoid_W_v_x[t] = de[t]*W_v_x[t] (89)
    # v[t] = W_v_x[t]*sigmoid_W_v_x[t] (value) (29)
    # dW_v_x[t] = dsigmoid_W_v_x[t]*sigmoid_W_v_x[t]*(1 - sigmoid_W_v_x[t]) + de[t]*sigmoid_W_v_x[t] (89)
    # e[t] = v[t] - alpha[t]*S_k[t] (error of the recalled value) (12)
    # dbeta_each[t] = de_along[t]*e[t] (78)
    # dalpha_sum_2[t] = sum(dalpha_each_2[t]) (76)
    # dbeta_sum[t] = sum(dbeta_each[t]) (78)
    # dalpha_each[t] = dS[t]*S[t-1] (76)
    # dalpha_sum[t] = sum(dalpha_each[t]) (76)
    # dk_back[t] = S[t-1].T @ dS_k[t] (81)
    # dalpha[t] = dalpha_sum[t] - dalpha_sum_2[t] (76)
    # dexp_in_alpha[t] = dalpha[t]*alpha[t] (89)
    # dsoftplus_a_alpha[t] = -dexp_in_alpha[t]*exp_a_log (89)
    # dexp_a_log_each[t] = -dexp_in_alpha[t]*softplus_a_alpha[t] (100)
    # da_alpha[t] = dsoftplus_a_alpha[t]*sigmoid(a_alpha[t]) (89)
    # dw_beta_x[t] = dbeta_sum[t]*beta[t]*(1 - beta[t]) (89)
    # dk_along[t] = dS[t].T @ e[t] (81)
    # dk[t] = dk_along[t]*beta[t] + dk_back[t] (81)
    # dsqrt_a_k_each[t] = dk[t]*b[t] (85)
    # dsqrt_a_k_sum[t] = sum(dsqrt_a_k_each[t]) (85)
    # dsqrt_a_k[t] = -dsqrt_a_k_sum[t]/sqrt_a_k[t]**2 (85)
    # da_k[t] = dsqrt_a_k[t]/(2*sqrt_a_k[t]) (85)
    # db[t] = 2*da_k[t]*b[t] + dk[t]/sqrt_a_k[t] (85)
    # dsigmoid_W_k_x[t] = db[t]*W_k_x[t] (89)
    # dW_k_x[t] = dsigmoid_W_k_x[t]*sigmoid_W_k_x[t]*(1 - sigmoid_W_k_x[t]) + db[t]*sigmoid_W_k_x[t] (89)
    S_t1 = S[pack.past(1, 0)]
    _launch_rows(
        kernels.backward_3, pack.size, max(H, H*K, K), 1024, H, K, W_g_x_to_W_v_x, de, S_k, dW_g_x_to_dW_v_x,
        alpha, e, de_along, dS, S_t1, dS_k, dk_back, exp_a_log, softplus_a_alpha, dexp_a_log_each, a_alpha,
        beta, dk, b, sqrt_a_q_sqrt_a_k, sigmoid_W_k_x,
    )
    # dexp_a_log_total = sum of dexp_a_log_each[t] (100)
    cp.matmul(ones, dexp_a_log_each, out=dexp_a_log_total.reshape(1, -1))
    if need_x:
        # dx[t] = W_q.T @ dW_q_x[t] + W_k.T @ dW_k_x[t] + W_v.T @ dW_v_x[t] + w_beta.T @ dw_beta_x[t] + w_alpha.T @
        #     da_alpha[t] + W_g.T @ dW_g_x[t] (89)
        cp.matmul(dW_g_x_to_dW_v_x, W_g_to_W_v, out=dx_)
    # dW_g = sum of outer(dW_g_x[t], x[t]) (103)
    # dw_alpha = sum of outer(da_alpha[t], x[t]) (101)
    # dw_beta = sum of outer(dw_beta_x[t], x[t]) (99)
    # dW_q = sum of outer(dW_q_x[t], x[t]) (96)
    # dW_k = sum of outer(dW_k_x[t], x[t]) (97)
    # dW_v = sum of outer(dW_v_x[t], x[t]) (98)
    cp.matmul(dW_g_x_to_dW_v_x.T, x_, out=dW_g_to_dW_v)
    # db_alpha = sum of da_alpha[t] (102)
    da_alpha = dW_g_x_to_dW_v_x[:, H : H + 1]
    cp.matmul(ones, da_alpha, out=db_alpha.reshape(1, -1))
    # da_log = dexp_a_log_total*exp_a_log (100)
    cp.multiply(dexp_a_log_total, exp_a_log, out=da_log)

    dS_first = dS_via[pack.first(1)]

    dstate = {
        "S": pack.unsort(dS_first).reshape(batch, H, K),
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
    K = params.sizes["K"]
    H = params.sizes["H"]

    x_t_ = cp.ascontiguousarray(inputs["x"][1])
    W_g_x_to_W_v_x = cp.empty((batch, 2*H + 2*K + 2), dtype)
    beta = cp.empty((batch, 1), dtype)
    a_alpha = cp.empty((batch, 1), dtype)
    sigmoid_W_g_x = cp.empty((batch, H), dtype)
    a_b = cp.empty((batch, 2*K), dtype)
    v = cp.empty((batch, H), dtype)
    alpha = cp.empty((batch, 1), dtype)
    sqrt_a_q_sqrt_a_k = cp.empty((batch, 2), dtype)
    q_k = cp.empty((batch, 2*K), dtype)
    e = cp.empty((batch, H), dtype)
    rms_o = cp.empty((batch, 1), dtype)
    y = cp.empty((batch, H), dtype)
    S_k = cp.empty((batch, H), dtype)
    S = cp.empty((batch, H*K), dtype)
    o = cp.empty((batch, H), dtype)
    exp_a_log = cp.empty((1,), dtype)
    a_log = params.stack("a_log", "a_log")
    b_alpha = params.stack("b_alpha", "b_alpha")
    gain = params.stack("gain", "gain")
    S_before = given["S"] if "S" in given else cp.zeros((1, batch, H*K), dtype)
    W_g_to_W_v_T = params.stack("W_g", "W_v").T
    kernels = _kernels(dtype)
    S_t1 = S_before[0]

    # exp_a_log = exp(a_log) (31)
    cp.exp(a_log, out=exp_a_log)
    # W_g_x[t] = W_g @ x[t] (34)
    # w_alpha_x[t] = w_alpha @ x[t] (31)
    # w_beta_x[t] = w_beta @ x[t] (10)
    # W_q_x[t] = W_q @ x[t] (21)
    # W_k_x[t] = W_k @ x[t] (23)
    # W_v_x[t] = W_v @ x[t] (29)
    cp.matmul(x_t_, W_g_to_W_v_T, out=W_g_x_to_W_v_x)
    # beta[t] = sigmoid(w_beta_x[t]) (writing strength) (10)
    # a_alpha[t] = w_alpha_x[t] + b_alpha (31)
    # softplus_a_alpha[t] = softplus(a_alpha[t]) (31)
    # exp_in_alpha[t] = -exp_a_log*softplus_a_alpha[t] (31)
    # alpha[t] = exp(exp_in_alpha[t]) (decay) (31)
    # sigmoid_W_q_x[t] = sigmoid(W_q_x[t]) (21)
    # sigmoid_W_k_x[t] = sigmoid(W_k_x[t]) (23)
    # a[t] = W_q_x[t]*sigmoid_W_q_x[t] (features of the query) (21)
    # b[t] = W_k_x[t]*sigmoid_W_k_x[t] (features of the key) (23)
    # product_a[t] = a[t]**2 (25)
    # product_b[t] = b[t]**2 (27)
    # dot_a[t] = sum(product_a[t]) (25)
    # dot_b[t] = sum(product_b[t]) (27)
    # sigmoid_W_v_x[t] = sigmoid(W_v_x[t]) (29)
    # sigmoid_W_g_x[t] = sigmoid(W_g_x[t]) (34)
    # v[t] = W_v_x[t]*sigmoid_W_v_x[t] (value) (29)
    # a_q[t] = dot_a[t] + eps (25)
    # a_k[t] = dot_b[t] + eps (27)
    # sqrt_a_q[t] = sqrt(a_q[t]) (25)
    # sqrt_a_k[t] = sqrt(a_k[t]) (27)
    # q[t] = a[t]/sqrt_a_q[t] (query) (25)
    # k[t] = b[t]/sqrt_a_k[t] (key) (27)
    _launch_rows(
        kernels.forward_1, batch, max(K, H), 256, H, K, W_g_x_to_W_v_x, beta, b_alpha, a_alpha, exp_a_log,
        alpha, a_b, sigmoid_W_g_x, v, sqrt_a_q_sqrt_a_k, q_k,
    )
    # S_k[t] = S[t-1] @ k[t] (12)
    # e[t] = v[t] - alpha[t]*S_k[t] (error of the recalled value) (12)
    # S[t] = alpha[t]*S[t-1] + beta[t]*e[t][:,None]*k[t][None,:] (memory) (13)
    _launch_rows(
        kernels.forward_2, batch, max(32*H, H*K), 1024, H, K, S_t1, 0, q_k, 0, S_k, 0, v, 0, alpha, 0, e, beta,
        0, S, 0,
    )
    # o[t] = S[t] @ q[t] (recalled value) (14)
    # square_o[t] = o[t]**2 (34)
    # sum_square_o[t] = sum(square_o[t]) (34)
    # rms_squared_o[t] = sum_square_o[t]/H + 1e-05 (34)
    # rms_o[t] = sqrt(rms_squared_o[t]) (34)
    # y[t] = o[t]*gain*W_g_x[t]*sigmoid_W_g_x[t]/rms_o[t] (gated output) (34)
    _launch_rows(
        kernels.forward_3, batch, max(32*H, H), 256, H, K, S, 0, q_k, o, rms_o, gain, W_g_x_to_W_v_x,
        sigmoid_W_g_x, y,
    )

    state = {
        "S": S.reshape(batch, H, K),
    }
    return y, state


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
    K = sizes["K"]
    H = sizes["H"]
    rows = steps * batch
    untaped = item * (rows * (5*H + H*K + 6*K + 8) + batch * (2*H + H*K)) + 488 * steps
    untaped += item * (1)
    taped = item * (rows * (6*H + H*K + 6*K + 8) + batch * (H + H*K)) + 488 * steps
    taped += item * (1)
    back = item * (rows * (9*H + 2*H*K + 5*K + 13) + batch * (3*H*K + 2*K)) + 744 * steps
    back += item * (2)
    back += 3 * item * rows * max(H, K)
    back += item * rows * max(K, H)
    if uneven:
        untaped += rows * (item * (D + H) + 8)
        taped += rows * (item * (D + H) + 8)
        back += rows * (item * (2*D + H + H*K) + 16)
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
        width = math.prod(value.shape[1:])
        found[name] = cp.ascontiguousarray(value).reshape(1, len(value), width)
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


KERNELS = ("forward_1", "forward_2", "forward_3", "backward_1", "backward_2", "backward_3")
CUDA = r"""
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

__device__ inline void forward_1_row(
    const long long row,
    const long long H,
    const long long K,
    const real* W_g_x_to_W_v_x_t_rows,
    real* beta_t_rows,
    const real* b_alpha,
    real* a_alpha_t_rows,
    const real* exp_a_log,
    real* alpha_t_rows,
    real* a_b_t_rows,
    real* sigmoid_W_g_x_t_rows,
    real* v_t_rows,
    real* sqrt_a_q_sqrt_a_k_t_rows,
    real* q_k_t_rows) {
    const real eps = (real)1e-06;
    const real* W_g_x_to_W_v_x_t_row = W_g_x_to_W_v_x_t_rows + row * (2*H + 2*K + 2);
    real* beta_t_row = beta_t_rows + row;
    real* a_alpha_t_row = a_alpha_t_rows + row;
    real* alpha_t_row = alpha_t_rows + row;
    real* a_b_t_row = a_b_t_rows + row * (2*K);
    real* sigmoid_W_g_x_t_row = sigmoid_W_g_x_t_rows + row * H;
    real* v_t_row = v_t_rows + row * H;
    real* sqrt_a_q_sqrt_a_k_t_row = sqrt_a_q_sqrt_a_k_t_rows + row * 2;
    real* q_k_t_row = q_k_t_rows + row * (2*K);
    const real w_beta_x_t = W_g_x_to_W_v_x_t_row[H + 1];
    const real w_alpha_x_t = W_g_x_to_W_v_x_t_row[H];
    // beta[t] = sigmoid(w_beta_x[t]) (writing strength) (10)
    const real beta_t = sigmoid(w_beta_x_t);
    // a_alpha[t] = w_alpha_x[t] + b_alpha (31)
    const real a_alpha_t = w_alpha_x_t + b_alpha[0];
    // softplus_a_alpha[t] = softplus(a_alpha[t]) (31)
    const real softplus_a_alpha_t = softplus(a_alpha_t);
    // exp_in_alpha[t] = -exp_a_log*softplus_a_alpha[t] (31)
    const real exp_in_alpha_t = -exp_a_log[0] * softplus_a_alpha_t;
    // alpha[t] = exp(exp_in_alpha[t]) (decay) (31)
    const real alpha_t = exp(exp_in_alpha_t);
    if (threadIdx.x == 0) beta_t_row[0] = beta_t;
    if (threadIdx.x == 0) a_alpha_t_row[0] = a_alpha_t;
    if (threadIdx.x == 0) alpha_t_row[0] = alpha_t;
    real partial_dot_a = 0;
    real partial_dot_b = 0;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real W_q_x_t = W_g_x_to_W_v_x_t_row[H + 2 + unit];
        const real W_k_x_t = W_g_x_to_W_v_x_t_row[H + K + 2 + unit];
        // sigmoid_W_q_x[t] = sigmoid(W_q_x[t]) (21)
        const real sigmoid_W_q_x_t = sigmoid(W_q_x_t);
        // sigmoid_W_k_x[t] = sigmoid(W_k_x[t]) (23)
        const real sigmoid_W_k_x_t = sigmoid(W_k_x_t);
        // a[t] = W_q_x[t]*sigmoid_W_q_x[t] (features of the query) (21)
        const real a_t = W_q_x_t * sigmoid_W_q_x_t;
        // b[t] = W_k_x[t]*sigmoid_W_k_x[t] (features of the key) (23)
        const real b_t = W_k_x_t * sigmoid_W_k_x_t;
        // product_a[t] = a[t]**2 (25)
        const real product_a_t = a_t * a_t;
        // product_b[t] = b[t]**2 (27)
        const real product_b_t = b_t * b_t;
        partial_dot_a += product_a_t;
        partial_dot_b += product_b_t;
        a_b_t_row[unit] = a_t;
        a_b_t_row[K + unit] = b_t;
    }
    // dot_a[t] = sum(product_a[t]) (25)
    const real dot_a_t = block_sum(partial_dot_a);
    // dot_b[t] = sum(product_b[t]) (27)
    const real dot_b_t = block_sum(partial_dot_b);
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real W_v_x_t = W_g_x_to_W_v_x_t_row[H + 2*K + 2 + unit];
        const real W_g_x_t = W_g_x_to_W_v_x_t_row[unit];
        // sigmoid_W_v_x[t] = sigmoid(W_v_x[t]) (29)
        const real sigmoid_W_v_x_t = sigmoid(W_v_x_t);
        // sigmoid_W_g_x[t] = sigmoid(W_g_x[t]) (34)
        const real sigmoid_W_g_x_t = sigmoid(W_g_x_t);
        // v[t] = W_v_x[t]*sigmoid_W_v_x[t] (value) (29)
        const real v_t = W_v_x_t * sigmoid_W_v_x_t;
        sigmoid_W_g_x_t_row[unit] = sigmoid_W_g_x_t;
        v_t_row[unit] = v_t;
    }
    // a_q[t] = dot_a[t] + eps (25)
    const real a_q_t = dot_a_t + eps;
    // a_k[t] = dot_b[t] + eps (27)
    const real a_k_t = dot_b_t + eps;
    // sqrt_a_q[t] = sqrt(a_q[t]) (25)
    const real sqrt_a_q_t = sqrt(a_q_t);
    // sqrt_a_k[t] = sqrt(a_k[t]) (27)
    const real sqrt_a_k_t = sqrt(a_k_t);
    if (threadIdx.x == 0) sqrt_a_q_sqrt_a_k_t_row[0] = sqrt_a_q_t;
    if (threadIdx.x == 0) sqrt_a_q_sqrt_a_k_t_row[1] = sqrt_a_k_t;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real a_t = a_b_t_row[unit];
        const real b_t = a_b_t_row[K + unit];
        // q[t] = a[t]/sqrt_a_q[t] (query) (25)
        const real q_t = a_t / sqrt_a_q_t;
        // k[t] = b[t]/sqrt_a_k[t] (key) (27)
        const real k_t = b_t / sqrt_a_k_t;
        q_k_t_row[unit] = q_t;
        q_k_t_row[K + unit] = k_t;
    }
}

__device__ inline void forward_2_row(
    const long long row,
    const long long H,
    const long long K,
    const real* S_t1_rows,
    const real* q_k_t_rows,
    real* S_k_t_rows,
    const real* v_t_rows,
    const real* alpha_t_rows,
    real* e_t_rows,
    const real* beta_t_rows,
    real* S_t_rows) {
    const int lane = threadIdx.x % 32;
    const real* S_t1_row = S_t1_rows + row * (H*K);
    const real* q_k_t_row = q_k_t_rows + row * (2*K);
    real* S_k_t_row = S_k_t_rows + row * H;
    const real* v_t_row = v_t_rows + row * H;
    const real* alpha_t_row = alpha_t_rows + row;
    real* e_t_row = e_t_rows + row * H;
    const real* beta_t_row = beta_t_rows + row;
    real* S_t_row = S_t_rows + row * (H*K);
    const real alpha_t = alpha_t_row[0];
    for (int unit = threadIdx.x / 32; unit < H; unit += blockDim.x / 32) {
        const real v_t = v_t_row[unit];
        // S_k[t] = S[t-1] @ k[t] (12)
        real S_k_t = 0;
        for (int k = lane; k < K; k += 32) S_k_t += S_t1_row[unit*K + k] * q_k_t_row[K + k];
        S_k_t = warp_sum(S_k_t);
        // e[t] = v[t] - alpha[t]*S_k[t] (error of the recalled value) (12)
        const real e_t = v_t - alpha_t * S_k_t;
        __syncwarp();
        if (lane == 0) S_k_t_row[unit] = S_k_t;
        if (lane == 0) e_t_row[unit] = e_t;
    }
    __syncthreads();
    const real beta_t = beta_t_row[0];
    for (int unit = threadIdx.x; unit < H*K; unit += blockDim.x) {
        const int i = unit / (int)K;
        const int j = unit % (int)K;
        const real S_t1 = S_t1_row[unit];
        const real e_t_i = e_t_row[i];
        const real k_t_j = q_k_t_row[K + j];
        // S[t] = alpha[t]*S[t-1] + beta[t]*e[t][:,None]*k[t][None,:] (memory) (13)
        const real S_t = alpha_t * S_t1 + beta_t * e_t_i * k_t_j;
        S_t_row[unit] = S_t;
    }
}

__device__ inline void forward_3_row(
    const long long row,
    const long long H,
    const long long K,
    const real* S_t_rows,
    const real* q_k_t_rows,
    real* o_t_rows,
    real* rms_o_t_rows,
    const real* gain,
    const real* W_g_x_to_W_v_x_t_rows,
    const real* sigmoid_W_g_x_t_rows,
    real* y_t_rows) {
    const int lane = threadIdx.x % 32;
    const real* S_t_row = S_t_rows + row * (H*K);
    const real* q_k_t_row = q_k_t_rows + row * (2*K);
    real* o_t_row = o_t_rows + row * H;
    real* rms_o_t_row = rms_o_t_rows + row;
    const real* W_g_x_to_W_v_x_t_row = W_g_x_to_W_v_x_t_rows + row * (2*H + 2*K + 2);
    const real* sigmoid_W_g_x_t_row = sigmoid_W_g_x_t_rows + row * H;
    real* y_t_row = y_t_rows + row * H;
    real partial_sum_square_o = 0;
    for (int unit = threadIdx.x / 32; unit < H; unit += blockDim.x / 32) {
        // o[t] = S[t] @ q[t] (recalled value) (14)
        real o_t = 0;
        for (int k = lane; k < K; k += 32) o_t += S_t_row[unit*K + k] * q_k_t_row[k];
        o_t = warp_sum(o_t);
        // square_o[t] = o[t]**2 (34)
        const real square_o_t = o_t * o_t;
        __syncwarp();
        if (lane == 0) partial_sum_square_o += square_o_t;
        if (lane == 0) o_t_row[unit] = o_t;
    }
    // sum_square_o[t] = sum(square_o[t]) (34)
    const real sum_square_o_t = block_sum(partial_sum_square_o);
    __syncthreads();
    // rms_squared_o[t] = sum_square_o[t]/H + 1e-05 (34)
    const real rms_squared_o_t = sum_square_o_t / (real)H + (real)1e-05;
    // rms_o[t] = sqrt(rms_squared_o[t]) (34)
    const real rms_o_t = sqrt(rms_squared_o_t);
    if (threadIdx.x == 0) rms_o_t_row[0] = rms_o_t;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real o_t = o_t_row[unit];
        const real W_g_x_t = W_g_x_to_W_v_x_t_row[unit];
        const real sigmoid_W_g_x_t = sigmoid_W_g_x_t_row[unit];
        // y[t] = o[t]*gain*W_g_x[t]*sigmoid_W_g_x[t]/rms_o[t] (gated output) (34)
        const real y_t = o_t * gain[unit] * W_g_x_t * sigmoid_W_g_x_t / rms_o_t;
        y_t_row[unit] = y_t;
    }
}

__device__ inline void backward_1_row(
    const long long row,
    const long long H,
    const long long K,
    const real* W_g_x_to_W_v_x_t_rows,
    real* sigmoid_W_q_x_t_rows,
    real* a_t_rows,
    real* sigmoid_W_g_x_t_rows,
    const real* dy_t_rows,
    const real* o_t_rows,
    const real* gain,
    const real* rms_o_t_rows,
    real* dW_g_x_to_dW_v_x_t_rows,
    real* dgain_each_t_rows,
    real* do_t_rows,
    const real* S_t_rows,
    real* dq_t_rows,
    const real* sqrt_a_q_sqrt_a_k_t_rows) {
    const real* W_g_x_to_W_v_x_t_row = W_g_x_to_W_v_x_t_rows + row * (2*H + 2*K + 2);
    real* sigmoid_W_q_x_t_row = sigmoid_W_q_x_t_rows + row * K;
    real* a_t_row = a_t_rows + row * K;
    real* sigmoid_W_g_x_t_row = sigmoid_W_g_x_t_rows + row * H;
    const real* dy_t_row = dy_t_rows + row * H;
    const real* o_t_row = o_t_rows + row * H;
    const real* rms_o_t_row = rms_o_t_rows + row;
    real* dW_g_x_to_dW_v_x_t_row = dW_g_x_to_dW_v_x_t_rows + row * (2*H + 2*K + 2);
    real* dgain_each_t_row = dgain_each_t_rows + row * H;
    real* do_t_row = do_t_rows + row * H;
    const real* S_t_row = S_t_rows + row * (H*K);
    real* dq_t_row = dq_t_rows + row * K;
    const real* sqrt_a_q_sqrt_a_k_t_row = sqrt_a_q_sqrt_a_k_t_rows + row * 2;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real W_q_x_t = W_g_x_to_W_v_x_t_row[H + 2 + unit];
        // sigmoid_W_q_x[t] = sigmoid(W_q_x[t]) (21)
        const real sigmoid_W_q_x_t = sigmoid(W_q_x_t);
        // a[t] = W_q_x[t]*sigmoid_W_q_x[t] (features of the query) (21)
        const real a_t = W_q_x_t * sigmoid_W_q_x_t;
        sigmoid_W_q_x_t_row[unit] = sigmoid_W_q_x_t;
        a_t_row[unit] = a_t;
    }
    const real rms_o_t = rms_o_t_row[0];
    real partial_drms_o_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real W_g_x_t = W_g_x_to_W_v_x_t_row[unit];
        const real dy_t = dy_t_row[unit];
        const real o_t = o_t_row[unit];
        // sigmoid_W_g_x[t] = sigmoid(W_g_x[t]) (34)
        const real sigmoid_W_g_x_t = sigmoid(W_g_x_t);
        // dsigmoid_W_g_x[t] = dy[t]*o[t]*gain*W_g_x[t]/rms_o[t] (89)
        const real dsigmoid_W_g_x_t = dy_t * o_t * gain[unit] * W_g_x_t / rms_o_t;
        // dW_g_x[t] = dsigmoid_W_g_x[t]*sigmoid_W_g_x[t]*(1 - sigmoid_W_g_x[t]) +
        //     dy[t]*sigmoid_W_g_x[t]*o[t]*gain/rms_o[t] (89)
        const real dW_g_x_t = dsigmoid_W_g_x_t * sigmoid_W_g_x_t * (1 - sigmoid_W_g_x_t) + dy_t * sigmoid_W_g_x_t * o_t
            * gain[unit] / rms_o_t;
        // drms_o_each[t] = dy[t]*o[t]*gain*W_g_x[t]*sigmoid_W_g_x[t] (72)
        const real drms_o_each_t = dy_t * o_t * gain[unit] * W_g_x_t * sigmoid_W_g_x_t;
        // dgain_each[t] = dy[t]*o[t]*W_g_x[t]*sigmoid_W_g_x[t]/rms_o[t] (104)
        const real dgain_each_t = dy_t * o_t * W_g_x_t * sigmoid_W_g_x_t / rms_o_t;
        partial_drms_o_sum += drms_o_each_t;
        sigmoid_W_g_x_t_row[unit] = sigmoid_W_g_x_t;
        dW_g_x_to_dW_v_x_t_row[unit] = dW_g_x_t;
        dgain_each_t_row[unit] = dgain_each_t;
    }
    // drms_o_sum[t] = sum(drms_o_each[t]) (72)
    const real drms_o_sum_t = block_sum(partial_drms_o_sum);
    // drms_o[t] = -drms_o_sum[t]/rms_o[t]**2 (72)
    const real drms_o_t = -drms_o_sum_t / (rms_o_t * rms_o_t);
    // drms_squared_o[t] = drms_o[t]/(2*rms_o[t]) (72)
    const real drms_squared_o_t = drms_o_t / 2 / rms_o_t;
    // dsum_square_o[t] = drms_squared_o[t]/H (72)
    const real dsum_square_o_t = drms_squared_o_t / (real)H;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real o_t = o_t_row[unit];
        const real dy_t = dy_t_row[unit];
        const real W_g_x_t = W_g_x_to_W_v_x_t_row[unit];
        const real sigmoid_W_g_x_t = sigmoid_W_g_x_t_row[unit];
        // do[t] = 2*dsum_square_o[t]*o[t] + dy[t]*gain*W_g_x[t]*sigmoid_W_g_x[t]/rms_o[t] (72)
        const real do_t = 2 * dsum_square_o_t * o_t + dy_t * gain[unit] * W_g_x_t * sigmoid_W_g_x_t / rms_o_t;
        do_t_row[unit] = do_t;
    }
    __syncthreads();
    real partial_dsqrt_a_q_sum = 0;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real a_t = a_t_row[unit];
        // dq[t] = S[t].T @ do[t] (83)
        real dq_t = 0;
        for (int k = 0; k < H; ++k) dq_t += S_t_row[k*K + unit] * do_t_row[k];
        // dsqrt_a_q_each[t] = dq[t]*a[t] (87)
        const real dsqrt_a_q_each_t = dq_t * a_t;
        partial_dsqrt_a_q_sum += dsqrt_a_q_each_t;
        dq_t_row[unit] = dq_t;
    }
    // dsqrt_a_q_sum[t] = sum(dsqrt_a_q_each[t]) (87)
    const real dsqrt_a_q_sum_t = block_sum(partial_dsqrt_a_q_sum);
    const real sqrt_a_q_t = sqrt_a_q_sqrt_a_k_t_row[0];
    // dsqrt_a_q[t] = -dsqrt_a_q_sum[t]/sqrt_a_q[t]**2 (87)
    const real dsqrt_a_q_t = -dsqrt_a_q_sum_t / (sqrt_a_q_t * sqrt_a_q_t);
    // da_q[t] = dsqrt_a_q[t]/(2*sqrt_a_q[t]) (87)
    const real da_q_t = dsqrt_a_q_t / 2 / sqrt_a_q_t;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real a_t = a_t_row[unit];
        const real dq_t = dq_t_row[unit];
        const real W_q_x_t = W_g_x_to_W_v_x_t_row[H + 2 + unit];
        const real sigmoid_W_q_x_t = sigmoid_W_q_x_t_row[unit];
        // da[t] = 2*da_q[t]*a[t] + dq[t]/sqrt_a_q[t] (87)
        const real da_t = 2 * da_q_t * a_t + dq_t / sqrt_a_q_t;
        // dsigmoid_W_q_x[t] = da[t]*W_q_x[t] (89)
        const real dsigmoid_W_q_x_t = da_t * W_q_x_t;
        // dW_q_x[t] = dsigmoid_W_q_x[t]*sigmoid_W_q_x[t]*(1 - sigmoid_W_q_x[t]) + da[t]*sigmoid_W_q_x[t] (89)
        const real dW_q_x_t = dsigmoid_W_q_x_t * sigmoid_W_q_x_t * (1 - sigmoid_W_q_x_t) + da_t * sigmoid_W_q_x_t;
        dW_g_x_to_dW_v_x_t_row[H + 2 + unit] = dW_q_x_t;
    }
}

__device__ inline void backward_2_row(
    const long long row,
    const long long H,
    const long long K,
    const real* a_alpha_t_rows,
    real* softplus_a_alpha_t_rows,
    const real* exp_a_log,
    real* alpha_t_rows,
    const real* W_g_x_to_W_v_x_t_rows,
    real* sigmoid_W_k_x_t_rows,
    const real* a_t_rows,
    const real* sqrt_a_q_sqrt_a_k_t_rows,
    real* q_k_2_t_rows,
    real* b_t_rows,
    const real* do_t_rows,
    const real* dS_via_next_rows,
    real* dS_t_rows,
    real* de_along_t_rows,
    const real* beta_t_rows,
    real* de_t_rows,
    real* dS_k_t_rows,
    real* dS_via_t_rows) {
    const int lane = threadIdx.x % 32;
    const real* a_alpha_t_row = a_alpha_t_rows + row;
    real* softplus_a_alpha_t_row = softplus_a_alpha_t_rows + row;
    real* alpha_t_row = alpha_t_rows + row;
    const real* W_g_x_to_W_v_x_t_row = W_g_x_to_W_v_x_t_rows + row * (2*H + 2*K + 2);
    real* sigmoid_W_k_x_t_row = sigmoid_W_k_x_t_rows + row * K;
    const real* a_t_row = a_t_rows + row * K;
    const real* sqrt_a_q_sqrt_a_k_t_row = sqrt_a_q_sqrt_a_k_t_rows + row * 2;
    real* q_k_2_t_row = q_k_2_t_rows + row * (2*K);
    real* b_t_row = b_t_rows + row * K;
    const real* do_t_row = do_t_rows + row * H;
    const real* dS_via_next_row = dS_via_next_rows + row * (H*K);
    real* dS_t_row = dS_t_rows + row * (H*K);
    real* de_along_t_row = de_along_t_rows + row * H;
    const real* beta_t_row = beta_t_rows + row;
    real* de_t_row = de_t_rows + row * H;
    real* dS_k_t_row = dS_k_t_rows + row * H;
    real* dS_via_t_row = dS_via_t_rows + row * (H*K);
    const real a_alpha_t = a_alpha_t_row[0];
    const real sqrt_a_q_t = sqrt_a_q_sqrt_a_k_t_row[0];
    const real sqrt_a_k_t = sqrt_a_q_sqrt_a_k_t_row[1];
    // softplus_a_alpha[t] = softplus(a_alpha[t]) (31)
    const real softplus_a_alpha_t = softplus(a_alpha_t);
    // exp_in_alpha[t] = -exp_a_log*softplus_a_alpha[t] (31)
    const real exp_in_alpha_t = -exp_a_log[0] * softplus_a_alpha_t;
    // alpha[t] = exp(exp_in_alpha[t]) (decay) (31)
    const real alpha_t = exp(exp_in_alpha_t);
    if (threadIdx.x == 0) softplus_a_alpha_t_row[0] = softplus_a_alpha_t;
    if (threadIdx.x == 0) alpha_t_row[0] = alpha_t;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real W_k_x_t = W_g_x_to_W_v_x_t_row[H + K + 2 + unit];
        const real a_t = a_t_row[unit];
        // sigmoid_W_k_x[t] = sigmoid(W_k_x[t]) (23)
        const real sigmoid_W_k_x_t = sigmoid(W_k_x_t);
        // q[t] = a[t]/sqrt_a_q[t] (query) (25)
        const real q_t = a_t / sqrt_a_q_t;
        // b[t] = W_k_x[t]*sigmoid_W_k_x[t] (features of the key) (23)
        const real b_t = W_k_x_t * sigmoid_W_k_x_t;
        // k[t] = b[t]/sqrt_a_k[t] (key) (27)
        const real k_t = b_t / sqrt_a_k_t;
        sigmoid_W_k_x_t_row[unit] = sigmoid_W_k_x_t;
        q_k_2_t_row[unit] = q_t;
        b_t_row[unit] = b_t;
        q_k_2_t_row[K + unit] = k_t;
    }
    __syncthreads();
    for (int unit = threadIdx.x; unit < H*K; unit += blockDim.x) {
        const int i = unit / (int)K;
        const int j = unit % (int)K;
        const real do_t_i = do_t_row[i];
        const real q_t_j = q_k_2_t_row[j];
        const real dS_via_next = dS_via_next_row[unit];
        // dS[t] = do[t][:,None]*q[t][None,:] + dS_via[t+1] (74)
        const real dS_t = do_t_i * q_t_j + dS_via_next;
        dS_t_row[unit] = dS_t;
    }
    __syncthreads();
    const real beta_t = beta_t_row[0];
    for (int unit = threadIdx.x / 32; unit < H; unit += blockDim.x / 32) {
        // de_along[t] = dS[t] @ k[t] (75)
        real de_along_t = 0;
        for (int k = lane; k < K; k += 32) de_along_t += dS_t_row[unit*K + k] * q_k_2_t_row[K + k];
        de_along_t = warp_sum(de_along_t);
        // de[t] = de_along[t]*beta[t] (75)
        const real de_t = de_along_t * beta_t;
        // dS_k[t] = -de[t]*alpha[t] (74)
        const real dS_k_t = -de_t * alpha_t;
        __syncwarp();
        if (lane == 0) de_along_t_row[unit] = de_along_t;
        if (lane == 0) de_t_row[unit] = de_t;
        if (lane == 0) dS_k_t_row[unit] = dS_k_t;
    }
    __syncthreads();
    for (int unit = threadIdx.x; unit < H*K; unit += blockDim.x) {
        const int i = unit / (int)K;
        const int j = unit % (int)K;
        const real dS_k_t_i = dS_k_t_row[i];
        const real k_t_j = q_k_2_t_row[K + j];
        const real dS_t = dS_t_row[unit];
        // dS_via[t] = dS_k[t][:,None]*k[t][None,:] + dS[t]*alpha[t] (74)
        const real dS_via_t = dS_k_t_i * k_t_j + dS_t * alpha_t;
        dS_via_t_row[unit] = dS_via_t;
    }
}

__device__ inline void backward_3_row(
    const long long row,
    const long long H,
    const long long K,
    const real* W_g_x_to_W_v_x_t_rows,
    const real* de_t_rows,
    const real* S_k_t_rows,
    real* dW_g_x_to_dW_v_x_t_rows,
    const real* alpha_t_rows,
    real* e_t_rows,
    const real* de_along_t_rows,
    const real* dS_t_rows,
    const real* S_t1_rows,
    const real* dS_k_t_rows,
    real* dk_back_t_rows,
    const real* exp_a_log,
    const real* softplus_a_alpha_t_rows,
    real* dexp_a_log_each_t_rows,
    const real* a_alpha_t_rows,
    const real* beta_t_rows,
    real* dk_t_rows,
    const real* b_t_rows,
    const real* sqrt_a_q_sqrt_a_k_t_rows,
    const real* sigmoid_W_k_x_t_rows) {
    const real* W_g_x_to_W_v_x_t_row = W_g_x_to_W_v_x_t_rows + row * (2*H + 2*K + 2);
    const real* de_t_row = de_t_rows + row * H;
    const real* S_k_t_row = S_k_t_rows + row * H;
    real* dW_g_x_to_dW_v_x_t_row = dW_g_x_to_dW_v_x_t_rows + row * (2*H + 2*K + 2);
    const real* alpha_t_row = alpha_t_rows + row;
    real* e_t_row = e_t_rows + row * H;
    const real* de_along_t_row = de_along_t_rows + row * H;
    const real* dS_t_row = dS_t_rows + row * (H*K);
    const real* S_t1_row = S_t1_rows + row * (H*K);
    const real* dS_k_t_row = dS_k_t_rows + row * H;
    real* dk_back_t_row = dk_back_t_rows + row * K;
    const real* softplus_a_alpha_t_row = softplus_a_alpha_t_rows + row;
    real* dexp_a_log_each_t_row = dexp_a_log_each_t_rows + row;
    const real* a_alpha_t_row = a_alpha_t_rows + row;
    const real* beta_t_row = beta_t_rows + row;
    real* dk_t_row = dk_t_rows + row * K;
    const real* b_t_row = b_t_rows + row * K;
    const real* sqrt_a_q_sqrt_a_k_t_row = sqrt_a_q_sqrt_a_k_t_rows + row * 2;
    const real* sigmoid_W_k_x_t_row = sigmoid_W_k_x_t_rows + row * K;
    const real alpha_t = alpha_t_row[0];
    real partial_dalpha_sum_2 = 0;
    real partial_dbeta_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real W_v_x_t = W_g_x_to_W_v_x_t_row[H + 2*K + 2 + unit];
        const real de_t = de_t_row[unit];
        const real S_k_t = S_k_t_row[unit];
        const real de_along_t = de_along_t_row[unit];
        // sigmoid_W_v_x[t] = sigmoid(W_v_x[t]) (29)
        const real sigmoid_W_v_x_t = sigmoid(W_v_x_t);
        // dalpha_each_2[t] = de[t]*S_k[t] (76)
        const real dalpha_each_2_t = de_t * S_k_t;
        // dsigmoid_W_v_x[t] = de[t]*W_v_x[t] (89)
        const real dsigmoid_W_v_x_t = de_t * W_v_x_t;
        // v[t] = W_v_x[t]*sigmoid_W_v_x[t] (value) (29)
        const real v_t = W_v_x_t * sigmoid_W_v_x_t;
        // dW_v_x[t] = dsigmoid_W_v_x[t]*sigmoid_W_v_x[t]*(1 - sigmoid_W_v_x[t]) + de[t]*sigmoid_W_v_x[t] (89)
        const real dW_v_x_t = dsigmoid_W_v_x_t * sigmoid_W_v_x_t * (1 - sigmoid_W_v_x_t) + de_t * sigmoid_W_v_x_t;
        // e[t] = v[t] - alpha[t]*S_k[t] (error of the recalled value) (12)
        const real e_t = v_t - alpha_t * S_k_t;
        // dbeta_each[t] = de_along[t]*e[t] (78)
        const real dbeta_each_t = de_along_t * e_t;
        partial_dalpha_sum_2 += dalpha_each_2_t;
        partial_dbeta_sum += dbeta_each_t;
        dW_g_x_to_dW_v_x_t_row[H + 2*K + 2 + unit] = dW_v_x_t;
        e_t_row[unit] = e_t;
    }
    // dalpha_sum_2[t] = sum(dalpha_each_2[t]) (76)
    const real dalpha_sum_2_t = block_sum(partial_dalpha_sum_2);
    // dbeta_sum[t] = sum(dbeta_each[t]) (78)
    const real dbeta_sum_t = block_sum(partial_dbeta_sum);
    real partial_dalpha_sum = 0;
    for (int unit = threadIdx.x; unit < H*K; unit += blockDim.x) {
        const real dS_t = dS_t_row[unit];
        const real S_t1 = S_t1_row[unit];
        // dalpha_each[t] = dS[t]*S[t-1] (76)
        const real dalpha_each_t = dS_t * S_t1;
        partial_dalpha_sum += dalpha_each_t;
    }
    // dalpha_sum[t] = sum(dalpha_each[t]) (76)
    const real dalpha_sum_t = block_sum(partial_dalpha_sum);
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        // dk_back[t] = S[t-1].T @ dS_k[t] (81)
        real dk_back_t = 0;
        for (int k = 0; k < H; ++k) dk_back_t += S_t1_row[k*K + unit] * dS_k_t_row[k];
        dk_back_t_row[unit] = dk_back_t;
    }
    __syncthreads();
    const real softplus_a_alpha_t = softplus_a_alpha_t_row[0];
    const real a_alpha_t = a_alpha_t_row[0];
    const real beta_t = beta_t_row[0];
    // dalpha[t] = dalpha_sum[t] - dalpha_sum_2[t] (76)
    const real dalpha_t = dalpha_sum_t - dalpha_sum_2_t;
    // dexp_in_alpha[t] = dalpha[t]*alpha[t] (89)
    const real dexp_in_alpha_t = dalpha_t * alpha_t;
    // dsoftplus_a_alpha[t] = -dexp_in_alpha[t]*exp_a_log (89)
    const real dsoftplus_a_alpha_t = -dexp_in_alpha_t * exp_a_log[0];
    // dexp_a_log_each[t] = -dexp_in_alpha[t]*softplus_a_alpha[t] (100)
    const real dexp_a_log_each_t = -dexp_in_alpha_t * softplus_a_alpha_t;
    // da_alpha[t] = dsoftplus_a_alpha[t]*sigmoid(a_alpha[t]) (89)
    const real da_alpha_t = dsoftplus_a_alpha_t * sigmoid(a_alpha_t);
    // dw_beta_x[t] = dbeta_sum[t]*beta[t]*(1 - beta[t]) (89)
    const real dw_beta_x_t = dbeta_sum_t * beta_t * (1 - beta_t);
    if (threadIdx.x == 0) dexp_a_log_each_t_row[0] = dexp_a_log_each_t;
    if (threadIdx.x == 0) dW_g_x_to_dW_v_x_t_row[H] = da_alpha_t;
    if (threadIdx.x == 0) dW_g_x_to_dW_v_x_t_row[H + 1] = dw_beta_x_t;
    real partial_dsqrt_a_k_sum = 0;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real dk_back_t = dk_back_t_row[unit];
        const real b_t = b_t_row[unit];
        // dk_along[t] = dS[t].T @ e[t] (81)
        real dk_along_t = 0;
        for (int k = 0; k < H; ++k) dk_along_t += dS_t_row[k*K + unit] * e_t_row[k];
        // dk[t] = dk_along[t]*beta[t] + dk_back[t] (81)
        const real dk_t = dk_along_t * beta_t + dk_back_t;
        // dsqrt_a_k_each[t] = dk[t]*b[t] (85)
        const real dsqrt_a_k_each_t = dk_t * b_t;
        partial_dsqrt_a_k_sum += dsqrt_a_k_each_t;
        dk_t_row[unit] = dk_t;
    }
    // dsqrt_a_k_sum[t] = sum(dsqrt_a_k_each[t]) (85)
    const real dsqrt_a_k_sum_t = block_sum(partial_dsqrt_a_k_sum);
    const real sqrt_a_k_t = sqrt_a_q_sqrt_a_k_t_row[1];
    // dsqrt_a_k[t] = -dsqrt_a_k_sum[t]/sqrt_a_k[t]**2 (85)
    const real dsqrt_a_k_t = -dsqrt_a_k_sum_t / (sqrt_a_k_t * sqrt_a_k_t);
    // da_k[t] = dsqrt_a_k[t]/(2*sqrt_a_k[t]) (85)
    const real da_k_t = dsqrt_a_k_t / 2 / sqrt_a_k_t;
    for (int unit = threadIdx.x; unit < K; unit += blockDim.x) {
        const real b_t = b_t_row[unit];
        const real dk_t = dk_t_row[unit];
        const real W_k_x_t = W_g_x_to_W_v_x_t_row[H + K + 2 + unit];
        const real sigmoid_W_k_x_t = sigmoid_W_k_x_t_row[unit];
        // db[t] = 2*da_k[t]*b[t] + dk[t]/sqrt_a_k[t] (85)
        const real db_t = 2 * da_k_t * b_t + dk_t / sqrt_a_k_t;
        // dsigmoid_W_k_x[t] = db[t]*W_k_x[t] (89)
        const real dsigmoid_W_k_x_t = db_t * W_k_x_t;
        // dW_k_x[t] = dsigmoid_W_k_x[t]*sigmoid_W_k_x[t]*(1 - sigmoid_W_k_x[t]) + db[t]*sigmoid_W_k_x[t] (89)
        const real dW_k_x_t = dsigmoid_W_k_x_t * sigmoid_W_k_x_t * (1 - sigmoid_W_k_x_t) + db_t * sigmoid_W_k_x_t;
        dW_g_x_to_dW_v_x_t_row[H + K + 2 + unit] = dW_k_x_t;
    }
}
"""
LAUNCHES = r"""
extern "C" __global__ void forward_1(
    const long long H,
    const long long K,
    const real* __restrict__ W_g_x_to_W_v_x_t_rows,
    real* __restrict__ beta_t_rows,
    const real* __restrict__ b_alpha,
    real* __restrict__ a_alpha_t_rows,
    const real* __restrict__ exp_a_log,
    real* __restrict__ alpha_t_rows,
    real* a_b_t_rows,
    real* __restrict__ sigmoid_W_g_x_t_rows,
    real* __restrict__ v_t_rows,
    real* __restrict__ sqrt_a_q_sqrt_a_k_t_rows,
    real* __restrict__ q_k_t_rows) {
    const long long row = blockIdx.x;
    forward_1_row(row, H, K, W_g_x_to_W_v_x_t_rows, beta_t_rows, b_alpha, a_alpha_t_rows, exp_a_log, alpha_t_rows,
        a_b_t_rows, sigmoid_W_g_x_t_rows, v_t_rows, sqrt_a_q_sqrt_a_k_t_rows, q_k_t_rows);
}

extern "C" __global__ void __launch_bounds__(1024) forward_2(
    const long long H,
    const long long K,
    const real* S_t1_rows,
    const long long S_t1_at,
    const real* __restrict__ q_k_t_rows,
    const long long q_k_t_at,
    real* __restrict__ S_k_t_rows,
    const long long S_k_t_at,
    const real* __restrict__ v_t_rows,
    const long long v_t_at,
    const real* __restrict__ alpha_t_rows,
    const long long alpha_t_at,
    real* e_t_rows,
    const real* __restrict__ beta_t_rows,
    const long long beta_t_at,
    real* S_t_rows,
    const long long S_t_at) {
    const long long row = blockIdx.x;
    forward_2_row(row, H, K, S_t1_rows + S_t1_at * (H*K), q_k_t_rows + q_k_t_at * (2*K), S_k_t_rows + S_k_t_at * H,
        v_t_rows + v_t_at * H, alpha_t_rows + alpha_t_at, e_t_rows, beta_t_rows + beta_t_at, S_t_rows + S_t_at * (H*K));
}

extern "C" __global__ void forward_3(
    const long long H,
    const long long K,
    const real* __restrict__ S_t_rows,
    const long long S_t_at,
    const real* __restrict__ q_k_t_rows,
    real* o_t_rows,
    real* __restrict__ rms_o_t_rows,
    const real* __restrict__ gain,
    const real* __restrict__ W_g_x_to_W_v_x_t_rows,
    const real* __restrict__ sigmoid_W_g_x_t_rows,
    real* __restrict__ y_t_rows) {
    const long long row = blockIdx.x;
    forward_3_row(row, H, K, S_t_rows + S_t_at * (H*K), q_k_t_rows, o_t_rows, rms_o_t_rows, gain, W_g_x_to_W_v_x_t_rows,
        sigmoid_W_g_x_t_rows, y_t_rows);
}

extern "C" __global__ void backward_1(
    const long long H,
    const long long K,
    const real* __restrict__ W_g_x_to_W_v_x_t_rows,
    real* sigmoid_W_q_x_t_rows,
    real* a_t_rows,
    real* sigmoid_W_g_x_t_rows,
    const real* __restrict__ dy_t_rows,
    const real* __restrict__ o_t_rows,
    const real* __restrict__ gain,
    const real* __restrict__ rms_o_t_rows,
    real* __restrict__ dW_g_x_to_dW_v_x_t_rows,
    real* __restrict__ dgain_each_t_rows,
    real* do_t_rows,
    const real* __restrict__ S_t_rows,
    const long long S_t_at,
    real* dq_t_rows,
    const real* __restrict__ sqrt_a_q_sqrt_a_k_t_rows) {
    const long long row = blockIdx.x;
    backward_1_row(row, H, K, W_g_x_to_W_v_x_t_rows, sigmoid_W_q_x_t_rows, a_t_rows, sigmoid_W_g_x_t_rows, dy_t_rows,
        o_t_rows, gain, rms_o_t_rows, dW_g_x_to_dW_v_x_t_rows, dgain_each_t_rows, do_t_rows, S_t_rows + S_t_at * (H*K),
        dq_t_rows, sqrt_a_q_sqrt_a_k_t_rows);
}

extern "C" __global__ void __launch_bounds__(1024) backward_2(
    const long long H,
    const long long K,
    const real* __restrict__ a_alpha_t_rows,
    const long long a_alpha_t_at,
    real* __restrict__ softplus_a_alpha_t_rows,
    const long long softplus_a_alpha_t_at,
    const real* __restrict__ exp_a_log,
    real* __restrict__ alpha_t_rows,
    const long long alpha_t_at,
    const real* __restrict__ W_g_x_to_W_v_x_t_rows,
    const long long W_g_x_to_W_v_x_t_at,
    real* __restrict__ sigmoid_W_k_x_t_rows,
    const long long sigmoid_W_k_x_t_at,
    const real* __restrict__ a_t_rows,
    const long long a_t_at,
    const real* __restrict__ sqrt_a_q_sqrt_a_k_t_rows,
    const long long sqrt_a_q_sqrt_a_k_t_at,
    real* q_k_2_t_rows,
    real* __restrict__ b_t_rows,
    const long long b_t_at,
    const real* __restrict__ do_t_rows,
    const long long do_t_at,
    const real* dS_via_next_rows,
    const long long dS_via_next_at,
    real* dS_t_rows,
    const long long dS_t_at,
    real* __restrict__ de_along_t_rows,
    const long long de_along_t_at,
    const real* __restrict__ beta_t_rows,
    const long long beta_t_at,
    real* __restrict__ de_t_rows,
    const long long de_t_at,
    real* dS_k_t_rows,
    const long long dS_k_t_at,
    real* dS_via_t_rows,
    const long long dS_via_t_at) {
    const long long row = blockIdx.x;
    backward_2_row(row, H, K, a_alpha_t_rows + a_alpha_t_at, softplus_a_alpha_t_rows + softplus_a_alpha_t_at, exp_a_log,
        alpha_t_rows + alpha_t_at, W_g_x_to_W_v_x_t_rows + W_g_x_to_W_v_x_t_at * (2*H + 2*K + 2), sigmoid_W_k_x_t_rows +
        sigmoid_W_k_x_t_at * K, a_t_rows + a_t_at * K, sqrt_a_q_sqrt_a_k_t_rows + sqrt_a_q_sqrt_a_k_t_at * 2,
        q_k_2_t_rows, b_t_rows + b_t_at * K, do_t_rows + do_t_at * H, dS_via_next_rows + dS_via_next_at * (H*K),
        dS_t_rows + dS_t_at * (H*K), de_along_t_rows + de_along_t_at * H, beta_t_rows + beta_t_at, de_t_rows + de_t_at *
        H, dS_k_t_rows + dS_k_t_at * H, dS_via_t_rows + dS_via_t_at * (H*K));
}

extern "C" __global__ void __launch_bounds__(1024) backward_3(
    const long long H,
    const long long K,
    const real* __restrict__ W_g_x_to_W_v_x_t_rows,
    const real* __restrict__ de_t_rows,
    const real* __restrict__ S_k_t_rows,
    real* __restrict__ dW_g_x_to_dW_v_x_t_rows,
    const real* __restrict__ alpha_t_rows,
    real* e_t_rows,
    const real* __restrict__ de_along_t_rows,
    const real* __restrict__ dS_t_rows,
    const real* __restrict__ S_t1_rows,
    const real* __restrict__ dS_k_t_rows,
    real* dk_back_t_rows,
    const real* __restrict__ exp_a_log,
    const real* __restrict__ softplus_a_alpha_t_rows,
    real* __restrict__ dexp_a_log_each_t_rows,
    const real* __restrict__ a_alpha_t_rows,
    const real* __restrict__ beta_t_rows,
    real* dk_t_rows,
    const real* __restrict__ b_t_rows,
    const real* __restrict__ sqrt_a_q_sqrt_a_k_t_rows,
    const real* __restrict__ sigmoid_W_k_x_t_rows) {
    const long long row = blockIdx.x;
    backward_3_row(row, H, K, W_g_x_to_W_v_x_t_rows, de_t_rows, S_k_t_rows, dW_g_x_to_dW_v_x_t_rows, alpha_t_rows,
        e_t_rows, de_along_t_rows, dS_t_rows, S_t1_rows, dS_k_t_rows, dk_back_t_rows, exp_a_log,
        softplus_a_alpha_t_rows, dexp_a_log_each_t_rows, a_alpha_t_rows, beta_t_rows, dk_t_rows, b_t_rows,
        sqrt_a_q_sqrt_a_k_t_rows, sigmoid_W_k_x_t_rows);
}
"""


@functools.lru_cache(maxsize=None)
def _compiled(real: str, device: int) -> Any:
    """The kernels for one type of number, compiled when they are first needed (once per device)."""
    module = cp.RawModule(code=f"typedef {real} real;\n{CUDA}\n{LAUNCHES}", options=("--std=c++17",))
    return types.SimpleNamespace(**{name: module.get_function(name) for name in KERNELS})


def _kernels(dtype: Any) -> Any:
    return _compiled("float" if dtype == np.float32 else "double", cp.cuda.Device().id)


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
FIRST_PRODUCT = {"forward_steps": 1, "backward_steps": 1}
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
extern "C" __global__ void BOUNDS forward_steps(
    unsigned* meeting,
    const long long* offsets,
    const long long steps,
    const long long batch,
    const long long H,
    const long long K,
    real* S,
    real* q_k,
    real* S_k,
    const long long keep_tape,
    real* v,
    real* alpha,
    real* e,
    real* beta) {
    extern __shared__ __align__(16) real shared[];
    const Sequence sequence = {offsets, steps, batch};
    const Part me(batch);
    unsigned goal = 0;
    __syncthreads();
    for (long long t = 0; t < steps; ++t) {
        const long long next = t + 1 < steps ? t + 1 : t;
        const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
        {
            const long long first = me.first, rows = last - first;
            real* const S_t1 = S + (sequence.whole(1, t) + first)*H*K;
            real* const q_k_t = q_k + (sequence.whole(0, t) + first)*2*K;
            real* const S_k_t = S_k + (sequence.kept(0, t, keep_tape) + first)*H;
            real* const v_t = v + (sequence.whole(0, t) + first)*H;
            real* const alpha_t = alpha + (sequence.whole(0, t) + first)*1;
            real* const e_t = e + first*H;
            real* const beta_t = beta + (sequence.whole(0, t) + first)*1;
            real* const S_t = S + (sequence.whole(1, t + 1) + first)*H*K;
            for (int row = me.number; row < rows; row += PARTS)
                forward_2_row(row, H, K, S_t1, q_k_t, S_k_t, v_t, alpha_t, e_t, beta_t, S_t);
            __syncthreads();
        }
    }
}
""",
    "backward_steps": r"""
extern "C" __global__ void BOUNDS backward_steps(
    unsigned* meeting,
    const long long* offsets,
    const long long steps,
    const long long batch,
    const long long H,
    const long long K,
    real* a_alpha,
    real* softplus_a_alpha,
    real* exp_a_log,
    real* alpha,
    real* W_g_x_to_W_v_x,
    real* sigmoid_W_k_x,
    real* a,
    real* sqrt_a_q_sqrt_a_k,
    real* q_k_2,
    real* b,
    real* do_,
    real* dS_via,
    real* dS,
    real* de_along,
    real* beta,
    real* de,
    real* dS_k) {
    extern __shared__ __align__(16) real shared[];
    const Sequence sequence = {offsets, steps, batch};
    const Part me(batch);
    unsigned goal = 0;
    __syncthreads();
    for (long long t = steps - 1; t >= 0; --t) {
        const long long next = t > 0 ? t - 1 : 0;
        const long long last = me.end_of(sequence.count(t)), following = me.end_of(sequence.count(next));
        {
            const long long first = me.first, rows = last - first;
            real* const a_alpha_t = a_alpha + (sequence.whole(0, t) + first)*1;
            real* const softplus_a_alpha_t = softplus_a_alpha + (sequence.whole(0, t) + first)*1;
            real* const alpha_t = alpha + (sequence.whole(0, t) + first)*1;
            real* const W_g_x_to_W_v_x_t = W_g_x_to_W_v_x + (sequence.whole(0, t) + first)*(2*H + 2*K + 2);
            real* const sigmoid_W_k_x_t = sigmoid_W_k_x + (sequence.whole(0, t) + first)*K;
            real* const a_t = a + (sequence.whole(0, t) + first)*K;
            real* const sqrt_a_q_sqrt_a_k_t = sqrt_a_q_sqrt_a_k + (sequence.whole(0, t) + first)*2;
            real* const q_k_2_t = q_k_2 + first*2*K;
            real* const b_t = b + (sequence.whole(0, t) + first)*K;
            real* const do_t = do_ + (sequence.whole(0, t) + first)*H;
            real* const dS_via_next = dS_via + (sequence.ring(1, t + 1) + first)*H*K;
            real* const dS_t = dS + (sequence.whole(0, t) + first)*H*K;
            real* const de_along_t = de_along + (sequence.whole(0, t) + first)*H;
            real* const beta_t = beta + (sequence.whole(0, t) + first)*1;
            real* const de_t = de + (sequence.whole(0, t) + first)*H;
            real* const dS_k_t = dS_k + (sequence.whole(0, t) + first)*H;
            real* const dS_via_t = dS_via + (sequence.ring(1, t) + first)*H*K;
            for (int row = me.number; row < rows; row += PARTS)
                backward_2_row(row, H, K, a_alpha_t, softplus_a_alpha_t, exp_a_log, alpha_t, W_g_x_to_W_v_x_t,
                    sigmoid_W_k_x_t, a_t, sqrt_a_q_sqrt_a_k_t, q_k_2_t, b_t, do_t, dS_via_next, dS_t, de_along_t,
                    beta_t, de_t, dS_k_t, dS_via_t);
            __syncthreads();
        }
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
            meetings=0,
            products=(),
            units=(),
            rows=((sizes["H"], 1), (sizes["H"], sizes["K"])),
            launches=1
        ),
        "backward_steps": Step(
            meetings=0,
            products=(),
            units=(),
            rows=((sizes["K"], 1), (sizes["H"], sizes["K"]), (sizes["H"], 1), (sizes["H"], sizes["K"])),
            launches=1
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
