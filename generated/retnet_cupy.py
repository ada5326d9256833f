"""Retention

Sun, Dong, Huang, Ma, Xia, Xue, Wang & Wei (2023), Retentive network: a successor to transformer for large language
models, equations 6 (recurrent form) and 8 (gate). One head, which decays by gamma = 1 - 2**-5; without the rotation of
queries and keys by position (xPos); over one head, group normalisation is layer normalisation.

The cell retnet as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
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
    "W_g": ("H", "D"),
    "W_k": ("K", "D"),
    "W_q": ("K", "D"),
    "W_v": ("H", "D"),
    "W_o": ("D", "H"),
}
CONSTANTS = {}
START = {"W_g": "uniform", "W_k": "uniform", "W_q": "uniform", "W_v": "uniform", "W_o": "uniform"}
INPUTS = {"x": ("D",)}
STATES = {"S": ("K", "H")}
LAGS = {}
OUTPUT = "y"
EQUATIONS = (
    '"""Retention\n'
    "\n"
    "Sun, Dong, Huang, Ma, Xia, Xue, Wang & Wei (2023), Retentive network: a successor to transformer for large "
    "language\n"
    "models, equations 6 (recurrent form) and 8 (gate). One head, which decays by gamma = 1 - 2**-5; without the "
    "rotation of\n"
    "queries and keys by position (xPos); over one head, group normalisation is layer normalisation.\n"
    '"""\n'
    "gamma: const = 0.96875\n"
    "S: (K, H)\n"
    "q[t] = W_q @ x[t]                                   # query\n"
    "k[t] = W_k @ x[t]                                   # key\n"
    "v[t] = W_v @ x[t]                                   # value\n"
    "S[t] = gamma * S[t-1] + outer(k[t], v[t])           # memory\n"
    "o[t] = S[t].T @ q[t]                                # retention\n"
    "y[t] = W_o @ (silu(W_g @ x[t]) * layernorm(o[t]))   # gated output\n"
    "y: D\n"
)
STAMP = "673d05574a041f2b"


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
    bound = 1 / math.sqrt(_length("H", sizes))  # in ±1/√n
    return rng.uniform(-bound, bound, shape)


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
    D = params.sizes["D"]
    K = params.sizes["K"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    x_rows = pack.rows(inputs["x"])
    W_g_x_k_q_v = cp.empty((pack.size, 2*H + 2*K), dtype)
    sigmoid_W_g_x = cp.empty((pack.size, H), dtype)
    centred_o = cp.empty((pack.size, H), dtype)
    std_o = cp.empty((pack.size, 1), dtype)
    a_y = cp.empty((pack.size, H), dtype)
    S = cp.empty((pack.size + batch, H*K), dtype)
    o = cp.empty((pack.size, H), dtype)
    y = cp.empty((pack.size, D), dtype)
    S[pack.first(1)] = pack.sort(given["S"]) if "S" in given else 0
    W_g_to_W_v_T = params.stack("W_g", "W_v").T
    kernels = _kernels(dtype)
    W_o_T = params.stack("W_o", "W_o").T

    # W_g_x[t] = W_g @ x[t]
    # k[t] = W_k @ x[t] (key)
    # q[t] = W_q @ x[t] (query)
    # v[t] = W_v @ x[t] (value)
    W_g_x_to_v = W_g_x_k_q_v
    cp.matmul(x_rows, W_g_to_W_v_T, out=W_g_x_to_v)
    # sigmoid_W_g_x[t] = sigmoid(W_g_x[t])
    _launch_units(kernels.forward_1, pack.size, H, H, K, W_g_x_k_q_v, sigmoid_W_g_x)

    for t, n in enumerate(pack.counts):
        # S[t] = gamma*S[t-1] + k[t][:,None]*v[t][None,:] (memory)
        _launch_units(
            kernels.forward_2, n, H*K, H, K, S, at_1_0[t].start, W_g_x_k_q_v, at_0[t].start, S, at_1[t].start,
        )

    # o[t] = S[t].T @ q[t] (retention)
    # sum_o[t] = sum(o[t])
    # centred_o[t] = o[t] - sum_o[t]/H
    # square_o[t] = centred_o[t]**2
    # sum_square_o[t] = sum(square_o[t])
    # std_squared_o[t] = sum_square_o[t]/H + 1e-05
    # std_o[t] = sqrt(std_squared_o[t])
    # a_y[t] = W_g_x[t]*sigmoid_W_g_x[t]*centred_o[t]/std_o[t]
    _launch_rows(
        kernels.forward_3, pack.size, H, 256, H, K, S, 1 * batch, W_g_x_k_q_v, o, centred_o, std_o,
        sigmoid_W_g_x, a_y,
    )
    # y[t] = W_o @ a_y[t] (gated output)
    cp.matmul(a_y, W_o_T, out=y)

    S_last = S[pack.last(1, 1, True)]

    last = {
        "S": pack.unsort(S_last).reshape(batch, K, H),
    }
    arrays = {
        "S": S,
        "W_g_x_k_q_v": W_g_x_k_q_v,
        "centred_o": centred_o,
        "std_o": std_o,
        "x_rows": x_rows,
    }
    tape = Tape(pack, params.sizes, dtype, arrays) if keep_tape else None
    return pack.sequence(y), last, tape


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
    shape = _shape(("D",), params.sizes)
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

    dy_rows = pack.rows(dy)
    S = tape.arrays["S"]
    W_g_x_k_q_v = tape.arrays["W_g_x_k_q_v"]
    centred_o = tape.arrays["centred_o"]
    std_o = tape.arrays["std_o"]
    x_ = tape.arrays["x_rows"]
    dW_g_x_to_dv_along = cp.empty((pack.size, 2*H + 2*K), dtype)
    memory = cp.empty(max(pack.size * H, pack.size * H*K), dtype)
    sigmoid_W_g_x = memory[: pack.size * H].reshape(pack.size, H)
    a_y = cp.empty((pack.size, H), dtype)
    dcentred_o = cp.empty((pack.size, H), dtype)
    do = cp.empty((pack.size, H), dtype)
    dS = memory[: pack.size * H*K].reshape(pack.size, H*K)
    da_y = cp.empty((pack.size, H), dtype)
    dx_ = cp.empty((pack.size, D), dtype)
    dS_via = cp.zeros((2 * batch, H*K), dtype)
    W_o = params.stack("W_o", "W_o")
    dW_o = grads.stack("W_o", "W_o")
    W_g_to_W_v = params.stack("W_g", "W_v")
    dW_g_to_dW_v = grads.stack("W_g", "W_v")
    dS_via[pack.last(1, 1, False)] = pack.sort(given["S"]) if "S" in given else 0
    kernels = _kernels(dtype)

    # sigmoid_W_g_x[t] = sigmoid(W_g_x[t])
    # a_y[t] = W_g_x[t]*sigmoid_W_g_x[t]*centred_o[t]/std_o[t]
    _launch_units(kernels.backward_1, pack.size, H, H, K, W_g_x_k_q_v, sigmoid_W_g_x, centred_o, std_o, a_y)
    # da_y[t] = W_o.T @ dy[t]
    cp.matmul(dy_rows, W_o, out=da_y)
    # dstd_o_each[t] = da_y[t]*W_g_x[t]*sigmoid_W_g_x[t]*centred_o[t]
    # dsigmoid_W_g_x[t] = da_y[t]*W_g_x[t]*centred_o[t]/std_o[t]
    # dW_g_x[t] = dsigmoid_W_g_x[t]*sigmoid_W_g_x[t]*(1 - sigmoid_W_g_x[t]) +
    #     da_y[t]*sigmoid_W_g_x[t]*centred_o[t]/std_o[t]
    # dstd_o_sum[t] = sum(dstd_o_each[t])
    # dstd_o[t] = -dstd_o_sum[t]/std_o[t]**2
    # dstd_squared_o[t] = dstd_o[t]/(2*std_o[t])
    # dsum_square_o[t] = dstd_squared_o[t]/H
    # dcentred_o[t] = 2*dsum_square_o[t]*centred_o[t] + da_y[t]*W_g_x[t]*sigmoid_W_g_x[t]/std_o[t]
    # dsum_o_sum[t] = sum(dcentred_o[t])
    # dsum_o[t] = -dsum_o_sum[t]/H
    # do[t] = dsum_o[t] + dcentred_o[t]
    # dq[t] = S[t] @ do[t]
    _launch_rows(
        kernels.backward_2, pack.size, max(H, 32*K), 256, H, K, da_y, W_g_x_k_q_v, sigmoid_W_g_x, centred_o,
        std_o, dW_g_x_to_dv_along, dcentred_o, do, S, 1 * batch,
    )

    for t, n in reversed(list(enumerate(pack.counts))):
        # dS[t] = q[t][:,None]*do[t][None,:] + dS_via[t+1]
        # dS_via[t] = gamma*dS[t]
        _launch_units(
            kernels.backward_3, n, H*K, H, K, W_g_x_k_q_v, at_0[t].start, do, at_0[t].start, dS_via,
            ring_1[t].start, dS, at_0[t].start, dS_via, ring_1_0[t].start,
        )

    # dW_o = sum of outer(dy[t], a_y[t])
    cp.matmul(dy_rows.T, a_y, out=dW_o)
    # dv_along[t] = dS[t].T @ k[t]
    _launch_units(kernels.backward_4, pack.size, H, H, K, dS, W_g_x_k_q_v, dW_g_x_to_dv_along)
    # dk_along[t] = dS[t] @ v[t]
    _launch_units(kernels.backward_5, pack.size, 32*K, H, K, dS, W_g_x_k_q_v, dW_g_x_to_dv_along)
    if need_x:
        # dx[t] = W_q.T @ dq[t] + W_k.T @ dk_along[t] + W_v.T @ dv_along[t] + W_g.T @ dW_g_x[t]
        cp.matmul(dW_g_x_to_dv_along, W_g_to_W_v, out=dx_)
    # dW_g = sum of outer(dW_g_x[t], x[t])
    # dW_k = sum of outer(dk_along[t], x[t])
    # dW_q = sum of outer(dq[t], x[t])
    # dW_v = sum of outer(dv_along[t], x[t])
    cp.matmul(dW_g_x_to_dv_along.T, x_, out=dW_g_to_dW_v)

    dS_first = dS_via[pack.first(1)]

    dstate = {
        "S": pack.unsort(dS_first).reshape(batch, K, H),
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
    D = params.sizes["D"]
    K = params.sizes["K"]
    H = params.sizes["H"]

    x_t_ = cp.ascontiguousarray(inputs["x"][1])
    W_g_x_k_q_v = cp.empty((batch, 2*H + 2*K), dtype)
    sigmoid_W_g_x = cp.empty((batch, H), dtype)
    centred_o = cp.empty((batch, H), dtype)
    std_o = cp.empty((batch, 1), dtype)
    a_y = cp.empty((batch, H), dtype)
    S = cp.empty((batch, H*K), dtype)
    o = cp.empty((batch, H), dtype)
    y = cp.empty((batch, D), dtype)
    S_before = given["S"] if "S" in given else cp.zeros((1, batch, H*K), dtype)
    W_g_to_W_v_T = params.stack("W_g", "W_v").T
    kernels = _kernels(dtype)
    S_t1 = S_before[0]
    W_o_T = params.stack("W_o", "W_o").T

    # W_g_x[t] = W_g @ x[t]
    # k[t] = W_k @ x[t] (key)
    # q[t] = W_q @ x[t] (query)
    # v[t] = W_v @ x[t] (value)
    W_g_x_to_v_t = W_g_x_k_q_v
    cp.matmul(x_t_, W_g_to_W_v_T, out=W_g_x_to_v_t)
    # sigmoid_W_g_x[t] = sigmoid(W_g_x[t])
    _launch_units(kernels.forward_1, batch, H, H, K, W_g_x_k_q_v, sigmoid_W_g_x)
    # S[t] = gamma*S[t-1] + k[t][:,None]*v[t][None,:] (memory)
    _launch_units(kernels.forward_2, batch, H*K, H, K, S_t1, 0, W_g_x_k_q_v, 0, S, 0)
    # o[t] = S[t].T @ q[t] (retention)
    # sum_o[t] = sum(o[t])
    # centred_o[t] = o[t] - sum_o[t]/H
    # square_o[t] = centred_o[t]**2
    # sum_square_o[t] = sum(square_o[t])
    # std_squared_o[t] = sum_square_o[t]/H + 1e-05
    # std_o[t] = sqrt(std_squared_o[t])
    # a_y[t] = W_g_x[t]*sigmoid_W_g_x[t]*centred_o[t]/std_o[t]
    _launch_rows(
        kernels.forward_3, batch, H, 256, H, K, S, 0, W_g_x_k_q_v, o, centred_o, std_o, sigmoid_W_g_x, a_y,
    )
    # y[t] = W_o @ a_y[t] (gated output)
    cp.matmul(a_y, W_o_T, out=y)

    state = {
        "S": S.reshape(batch, K, H),
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
    y = cp.empty((tape.steps, tape.batch, *_shape(("D",), params.sizes)), tape.dtype)
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
    y = item * length * batch * math.prod(_shape(("D",), params.sizes)) + 3 * states
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
    untaped = item * (rows * (D + 6*H + H*K + 2*K + 1) + batch * H*K) + 488 * steps
    taped = item * (rows * (D + 6*H + H*K + 2*K + 1) + batch * H*K) + 488 * steps
    back = item * (rows * (D + 9*H + 2*H*K + 4*K + 1) + batch * 3*H*K) + 744 * steps
    if packed:
        untaped += rows * (item * D + 8)
        taped += rows * (item * D + 8)
        back += rows * (item * 2*D + 8)
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


KERNELS = ("forward_1", "forward_2", "forward_3", "backward_1", "backward_2", "backward_3", "backward_4", "backward_5")
CUDA = r"""
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
    long long K,
    const real* __restrict__ W_g_x_k_q_v_t_rows,
    real* __restrict__ sigmoid_W_g_x_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* W_g_x_k_q_v_t_row = W_g_x_k_q_v_t_rows + row * (2*H + 2*K);
    real* sigmoid_W_g_x_t_row = sigmoid_W_g_x_t_rows + row * H;
    const real W_g_x_t = W_g_x_k_q_v_t_row[unit];
    // sigmoid_W_g_x[t] = sigmoid(W_g_x[t])
    const real sigmoid_W_g_x_t = sigmoid(W_g_x_t);
    sigmoid_W_g_x_t_row[unit] = sigmoid_W_g_x_t;
}

extern "C" __global__ void forward_2(
    long long rows,
    long long H,
    long long K,
    const real* S_t1_rows,
    long long S_t1_at,
    const real* __restrict__ W_g_x_k_q_v_t_rows,
    long long W_g_x_k_q_v_t_at,
    real* S_t_rows,
    long long S_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H*K) return;
    const int i = unit / (int)H;
    const int j = unit % (int)H;
    const real gamma_ = (real)0.96875;
    const real* S_t1_row = S_t1_rows + (S_t1_at + row) * (H*K);
    const real* W_g_x_k_q_v_t_row = W_g_x_k_q_v_t_rows + (W_g_x_k_q_v_t_at + row) * (2*H + 2*K);
    real* S_t_row = S_t_rows + (S_t_at + row) * (H*K);
    const real S_t1 = S_t1_row[unit];
    const real k_t_i = W_g_x_k_q_v_t_row[H + i];
    const real v_t_j = W_g_x_k_q_v_t_row[H + 2*K + j];
    // S[t] = gamma*S[t-1] + k[t][:,None]*v[t][None,:] (memory)
    const real S_t = gamma_ * S_t1 + k_t_i * v_t_j;
    S_t_row[unit] = S_t;
}

extern "C" __global__ void forward_3(
    long long H,
    long long K,
    const real* __restrict__ S_t_rows,
    long long S_t_at,
    const real* __restrict__ W_g_x_k_q_v_t_rows,
    real* o_t_rows,
    real* centred_o_t_rows,
    real* __restrict__ std_o_t_rows,
    const real* __restrict__ sigmoid_W_g_x_t_rows,
    real* __restrict__ a_y_t_rows) {
    const long long row = blockIdx.x;
    const real* S_t_row = S_t_rows + (S_t_at + row) * (H*K);
    const real* W_g_x_k_q_v_t_row = W_g_x_k_q_v_t_rows + row * (2*H + 2*K);
    real* o_t_row = o_t_rows + row * H;
    real* centred_o_t_row = centred_o_t_rows + row * H;
    real* std_o_t_row = std_o_t_rows + row;
    const real* sigmoid_W_g_x_t_row = sigmoid_W_g_x_t_rows + row * H;
    real* a_y_t_row = a_y_t_rows + row * H;
    real partial_sum_o = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // o[t] = S[t].T @ q[t] (retention)
        real o_t = 0;
        for (int k = 0; k < K; ++k) o_t += S_t_row[k*H + unit] * W_g_x_k_q_v_t_row[H + K + k];
        partial_sum_o += o_t;
        o_t_row[unit] = o_t;
    }
    // sum_o[t] = sum(o[t])
    const real sum_o_t = block_sum(partial_sum_o);
    real partial_sum_square_o = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real o_t = o_t_row[unit];
        // centred_o[t] = o[t] - sum_o[t]/H
        const real centred_o_t = o_t - sum_o_t / (real)H;
        // square_o[t] = centred_o[t]**2
        const real square_o_t = centred_o_t * centred_o_t;
        partial_sum_square_o += square_o_t;
        centred_o_t_row[unit] = centred_o_t;
    }
    // sum_square_o[t] = sum(square_o[t])
    const real sum_square_o_t = block_sum(partial_sum_square_o);
    // std_squared_o[t] = sum_square_o[t]/H + 1e-05
    const real std_squared_o_t = sum_square_o_t / (real)H + (real)1e-05;
    // std_o[t] = sqrt(std_squared_o[t])
    const real std_o_t = sqrt(std_squared_o_t);
    if (threadIdx.x == 0) std_o_t_row[0] = std_o_t;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real W_g_x_t = W_g_x_k_q_v_t_row[unit];
        const real sigmoid_W_g_x_t = sigmoid_W_g_x_t_row[unit];
        const real centred_o_t = centred_o_t_row[unit];
        // a_y[t] = W_g_x[t]*sigmoid_W_g_x[t]*centred_o[t]/std_o[t]
        const real a_y_t = W_g_x_t * sigmoid_W_g_x_t * centred_o_t / std_o_t;
        a_y_t_row[unit] = a_y_t;
    }
}

extern "C" __global__ void backward_1(
    long long rows,
    long long H,
    long long K,
    const real* __restrict__ W_g_x_k_q_v_t_rows,
    real* __restrict__ sigmoid_W_g_x_t_rows,
    const real* __restrict__ centred_o_t_rows,
    const real* __restrict__ std_o_t_rows,
    real* __restrict__ a_y_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* W_g_x_k_q_v_t_row = W_g_x_k_q_v_t_rows + row * (2*H + 2*K);
    real* sigmoid_W_g_x_t_row = sigmoid_W_g_x_t_rows + row * H;
    const real* centred_o_t_row = centred_o_t_rows + row * H;
    const real* std_o_t_row = std_o_t_rows + row;
    real* a_y_t_row = a_y_t_rows + row * H;
    const real W_g_x_t = W_g_x_k_q_v_t_row[unit];
    const real centred_o_t = centred_o_t_row[unit];
    const real std_o_t = std_o_t_row[0];
    // sigmoid_W_g_x[t] = sigmoid(W_g_x[t])
    const real sigmoid_W_g_x_t = sigmoid(W_g_x_t);
    // a_y[t] = W_g_x[t]*sigmoid_W_g_x[t]*centred_o[t]/std_o[t]
    const real a_y_t = W_g_x_t * sigmoid_W_g_x_t * centred_o_t / std_o_t;
    sigmoid_W_g_x_t_row[unit] = sigmoid_W_g_x_t;
    a_y_t_row[unit] = a_y_t;
}

extern "C" __global__ void backward_2(
    long long H,
    long long K,
    const real* __restrict__ da_y_t_rows,
    const real* __restrict__ W_g_x_k_q_v_t_rows,
    const real* __restrict__ sigmoid_W_g_x_t_rows,
    const real* __restrict__ centred_o_t_rows,
    const real* __restrict__ std_o_t_rows,
    real* __restrict__ dW_g_x_to_dv_along_t_rows,
    real* dcentred_o_t_rows,
    real* do_t_rows,
    const real* __restrict__ S_t_rows,
    long long S_t_at) {
    const long long row = blockIdx.x;
    const int lane = threadIdx.x % 32;
    const real* da_y_t_row = da_y_t_rows + row * H;
    const real* W_g_x_k_q_v_t_row = W_g_x_k_q_v_t_rows + row * (2*H + 2*K);
    const real* sigmoid_W_g_x_t_row = sigmoid_W_g_x_t_rows + row * H;
    const real* centred_o_t_row = centred_o_t_rows + row * H;
    const real* std_o_t_row = std_o_t_rows + row;
    real* dW_g_x_to_dv_along_t_row = dW_g_x_to_dv_along_t_rows + row * (2*H + 2*K);
    real* dcentred_o_t_row = dcentred_o_t_rows + row * H;
    real* do_t_row = do_t_rows + row * H;
    const real* S_t_row = S_t_rows + (S_t_at + row) * (H*K);
    const real std_o_t = std_o_t_row[0];
    real partial_dstd_o_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real da_y_t = da_y_t_row[unit];
        const real W_g_x_t = W_g_x_k_q_v_t_row[unit];
        const real sigmoid_W_g_x_t = sigmoid_W_g_x_t_row[unit];
        const real centred_o_t = centred_o_t_row[unit];
        // dstd_o_each[t] = da_y[t]*W_g_x[t]*sigmoid_W_g_x[t]*centred_o[t]
        const real dstd_o_each_t = da_y_t * W_g_x_t * sigmoid_W_g_x_t * centred_o_t;
        // dsigmoid_W_g_x[t] = da_y[t]*W_g_x[t]*centred_o[t]/std_o[t]
        const real dsigmoid_W_g_x_t = da_y_t * W_g_x_t * centred_o_t / std_o_t;
        // dW_g_x[t] = dsigmoid_W_g_x[t]*sigmoid_W_g_x[t]*(1 - sigmoid_W_g_x[t]) +
        //     da_y[t]*sigmoid_W_g_x[t]*centred_o[t]/std_o[t]
        const real dW_g_x_t = dsigmoid_W_g_x_t * sigmoid_W_g_x_t * (1 - sigmoid_W_g_x_t) + da_y_t * sigmoid_W_g_x_t *
            centred_o_t / std_o_t;
        partial_dstd_o_sum += dstd_o_each_t;
        dW_g_x_to_dv_along_t_row[unit] = dW_g_x_t;
    }
    // dstd_o_sum[t] = sum(dstd_o_each[t])
    const real dstd_o_sum_t = block_sum(partial_dstd_o_sum);
    // dstd_o[t] = -dstd_o_sum[t]/std_o[t]**2
    const real dstd_o_t = -dstd_o_sum_t / (std_o_t * std_o_t);
    // dstd_squared_o[t] = dstd_o[t]/(2*std_o[t])
    const real dstd_squared_o_t = dstd_o_t / 2 / std_o_t;
    // dsum_square_o[t] = dstd_squared_o[t]/H
    const real dsum_square_o_t = dstd_squared_o_t / (real)H;
    real partial_dsum_o_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_o_t = centred_o_t_row[unit];
        const real da_y_t = da_y_t_row[unit];
        const real W_g_x_t = W_g_x_k_q_v_t_row[unit];
        const real sigmoid_W_g_x_t = sigmoid_W_g_x_t_row[unit];
        // dcentred_o[t] = 2*dsum_square_o[t]*centred_o[t] + da_y[t]*W_g_x[t]*sigmoid_W_g_x[t]/std_o[t]
        const real dcentred_o_t = 2 * dsum_square_o_t * centred_o_t + da_y_t * W_g_x_t * sigmoid_W_g_x_t / std_o_t;
        partial_dsum_o_sum += dcentred_o_t;
        dcentred_o_t_row[unit] = dcentred_o_t;
    }
    // dsum_o_sum[t] = sum(dcentred_o[t])
    const real dsum_o_sum_t = block_sum(partial_dsum_o_sum);
    // dsum_o[t] = -dsum_o_sum[t]/H
    const real dsum_o_t = -dsum_o_sum_t / (real)H;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real dcentred_o_t = dcentred_o_t_row[unit];
        // do[t] = dsum_o[t] + dcentred_o[t]
        const real do_t = dsum_o_t + dcentred_o_t;
        do_t_row[unit] = do_t;
    }
    __syncthreads();
    for (int unit = threadIdx.x / 32; unit < K; unit += blockDim.x / 32) {
        // dq[t] = S[t] @ do[t]
        real dq_t = 0;
        for (int k = lane; k < H; k += 32) dq_t += S_t_row[unit*H + k] * do_t_row[k];
        dq_t = warp_sum(dq_t);
        if (lane == 0) dW_g_x_to_dv_along_t_row[H + K + unit] = dq_t;
    }
}

extern "C" __global__ void backward_3(
    long long rows,
    long long H,
    long long K,
    const real* __restrict__ W_g_x_k_q_v_t_rows,
    long long W_g_x_k_q_v_t_at,
    const real* __restrict__ do_t_rows,
    long long do_t_at,
    const real* dS_via_next_rows,
    long long dS_via_next_at,
    real* __restrict__ dS_t_rows,
    long long dS_t_at,
    real* dS_via_t_rows,
    long long dS_via_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H*K) return;
    const int i = unit / (int)H;
    const int j = unit % (int)H;
    const real gamma_ = (real)0.96875;
    const real* W_g_x_k_q_v_t_row = W_g_x_k_q_v_t_rows + (W_g_x_k_q_v_t_at + row) * (2*H + 2*K);
    const real* do_t_row = do_t_rows + (do_t_at + row) * H;
    const real* dS_via_next_row = dS_via_next_rows + (dS_via_next_at + row) * (H*K);
    real* dS_t_row = dS_t_rows + (dS_t_at + row) * (H*K);
    real* dS_via_t_row = dS_via_t_rows + (dS_via_t_at + row) * (H*K);
    const real q_t_i = W_g_x_k_q_v_t_row[H + K + i];
    const real do_t_j = do_t_row[j];
    const real dS_via_next = dS_via_next_row[unit];
    // dS[t] = q[t][:,None]*do[t][None,:] + dS_via[t+1]
    const real dS_t = q_t_i * do_t_j + dS_via_next;
    // dS_via[t] = gamma*dS[t]
    const real dS_via_t = gamma_ * dS_t;
    dS_t_row[unit] = dS_t;
    dS_via_t_row[unit] = dS_via_t;
}

extern "C" __global__ void backward_4(
    long long rows,
    long long H,
    long long K,
    const real* __restrict__ dS_t_rows,
    const real* __restrict__ W_g_x_k_q_v_t_rows,
    real* __restrict__ dW_g_x_to_dv_along_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* dS_t_row = dS_t_rows + row * (H*K);
    const real* W_g_x_k_q_v_t_row = W_g_x_k_q_v_t_rows + row * (2*H + 2*K);
    real* dW_g_x_to_dv_along_t_row = dW_g_x_to_dv_along_t_rows + row * (2*H + 2*K);
    // dv_along[t] = dS[t].T @ k[t]
    real dv_along_t = 0;
    for (int k = 0; k < K; ++k) dv_along_t += dS_t_row[k*H + unit] * W_g_x_k_q_v_t_row[H + k];
    dW_g_x_to_dv_along_t_row[H + 2*K + unit] = dv_along_t;
}

extern "C" __global__ void backward_5(
    long long rows,
    long long H,
    long long K,
    const real* __restrict__ dS_t_rows,
    const real* __restrict__ W_g_x_k_q_v_t_rows,
    real* __restrict__ dW_g_x_to_dv_along_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = (blockIdx.y * blockDim.x + threadIdx.x) / 32;
    const int lane = threadIdx.x % 32;
    if (row >= rows || unit >= K) return;
    const real* dS_t_row = dS_t_rows + row * (H*K);
    const real* W_g_x_k_q_v_t_row = W_g_x_k_q_v_t_rows + row * (2*H + 2*K);
    real* dW_g_x_to_dv_along_t_row = dW_g_x_to_dv_along_t_rows + row * (2*H + 2*K);
    // dk_along[t] = dS[t] @ v[t]
    real dk_along_t = 0;
    for (int k = lane; k < H; k += 32) dk_along_t += dS_t_row[unit*H + k] * W_g_x_k_q_v_t_row[H + 2*K + k];
    dk_along_t = warp_sum(dk_along_t);
    if (lane == 0) dW_g_x_to_dv_along_t_row[H + unit] = dk_along_t;
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
