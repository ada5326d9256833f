"""RWKV-4, time mixing

Peng et al. (2023), RWKV: reinventing RNNs for the transformer era, section 3.1, in the stabilised form of its
appendix: a and b are numerator and denominator, p the exponent that both are scaled by. As in the published code the
decay is exp(w), so that it is positive.

The cell rwkv4 as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
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
    "mu_r": ("D",),
    "mu_k": ("D",),
    "mu_v": ("D",),
    "u": ("H",),
    "w": ("H",),
    "W_r": ("H", "D"),
    "W_k": ("H", "D"),
    "W_v": ("H", "D"),
    "W_o": ("D", "H"),
}
CONSTANTS = {}
START = {
    "mu_r": 0.5,
    "mu_k": 0.5,
    "mu_v": 0.5,
    "u": -1.2,
    "w": -1.0,
    "W_r": "uniform",
    "W_k": "uniform",
    "W_v": "uniform",
    "W_o": "uniform",
}
INPUTS = {"x": ("D",)}
STATES = {"x": ("D",), "p": ("H",), "a": ("H",), "b": ("H",)}
LAGS = {}
OUTPUT = "y"
EQUATIONS = (
    '"""RWKV-4, time mixing\n'
    "\n"
    "Peng et al. (2023), RWKV: reinventing RNNs for the transformer era, section 3.1, in the stabilised form of its\n"
    "appendix: a and b are numerator and denominator, p the exponent that both are scaled by. As in the published code "
    "the\n"
    "decay is exp(w), so that it is positive.\n"
    '"""\n'
    "r[t] = sigmoid(W_r @ (mu_r * x[t] + (1 - mu_r) * x[t-1]))               # receptance\n"
    "k[t] = W_k @ (mu_k * x[t] + (1 - mu_k) * x[t-1])                        # key\n"
    "v[t] = W_v @ (mu_v * x[t] + (1 - mu_v) * x[t-1])                        # value\n"
    "g[t] = maximum(p[t-1], u + k[t])                                        # exponent of the present mean\n"
    "n[t] = exp(p[t-1] - g[t]) * a[t-1] + exp(u + k[t] - g[t]) * v[t]        # present numerator\n"
    "d[t] = exp(p[t-1] - g[t]) * b[t-1] + exp(u + k[t] - g[t])               # present denominator\n"
    "p[t] = maximum(p[t-1] - exp(w), k[t])                                   # carried exponent\n"
    "a[t] = exp(p[t-1] - exp(w) - p[t]) * a[t-1] + exp(k[t] - p[t]) * v[t]   # numerator\n"
    "b[t] = exp(p[t-1] - exp(w) - p[t]) * b[t-1] + exp(k[t] - p[t])          # denominator\n"
    "y[t] = W_o @ (r[t] * n[t] / d[t])                                       # output\n"
    "y: D\n"
    "w: H = -1\n"
    "u: H = -1.2\n"
    "mu_r: D = 0.5\n"
    "mu_k: D = 0.5\n"
    "mu_v: D = 0.5\n"
)
STAMP = "baaa62b1496e7382"


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
    D = params.sizes["D"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    x_rows = cp.empty((pack.size + 1 * batch, D), dtype)
    x_rows[1 * batch :] = pack.rows(inputs["x"])
    memory = cp.empty(max(pack.size * 3*D, pack.size * H), dtype)
    a_r_a_k_a_v = memory[: pack.size * 3*D].reshape(pack.size, 3*D)
    r = cp.empty((pack.size, H), dtype)
    a_g = memory[: pack.size * H].reshape(pack.size, H)
    a_y = cp.empty((pack.size, H), dtype)
    k = cp.empty((pack.size, H), dtype)
    v = cp.empty((pack.size, H), dtype)
    p = cp.empty((pack.size + batch, H), dtype)
    a = cp.empty((pack.size + batch, H), dtype)
    b = cp.empty((pack.size + batch, H), dtype)
    y = cp.empty((pack.size, D), dtype)
    exp_w = cp.empty((H,), dtype)
    w = params.stack("w", "w")
    mu_r = params.stack("mu_r", "mu_r")
    mu_k = params.stack("mu_k", "mu_k")
    mu_v = params.stack("mu_v", "mu_v")
    u = params.stack("u", "u")
    x_rows[pack.first(1)] = pack.sort(given["x"]) if "x" in given else 0
    p[pack.first(1)] = pack.sort(given["p"]) if "p" in given else 0
    a[pack.first(1)] = pack.sort(given["a"]) if "a" in given else 0
    b[pack.first(1)] = pack.sort(given["b"]) if "b" in given else 0
    kernels = _kernels(dtype)
    W_r_T = params.stack("W_r", "W_r").T
    W_k_T = params.stack("W_k", "W_k").T
    W_v_T = params.stack("W_v", "W_v").T
    W_o_T = params.stack("W_o", "W_o").T

    # exp_w = exp(w)
    cp.exp(w, out=exp_w)
    # a_r[t] = mu_r*x[t] + (1 - mu_r)*x[t-1]
    # a_k[t] = mu_k*x[t] + (1 - mu_k)*x[t-1]
    # a_v[t] = mu_v*x[t] + (1 - mu_v)*x[t-1]
    x_t1 = x_rows[pack.past(1, 0)]
    _launch_units(kernels.forward_1, pack.size, D, D, mu_r, x_rows, 1 * batch, x_t1, a_r_a_k_a_v, mu_k, mu_v)
    # W_r_a_r[t] = W_r @ a_r[t]
    a_r = a_r_a_k_a_v[:, : D]
    W_r_a_r = r
    cp.matmul(a_r, W_r_T, out=W_r_a_r)
    # k[t] = W_k @ a_k[t] (key)
    a_k = a_r_a_k_a_v[:, D : 2*D]
    cp.matmul(a_k, W_k_T, out=k)
    # v[t] = W_v @ a_v[t] (value)
    a_v = a_r_a_k_a_v[:, 2*D :]
    cp.matmul(a_v, W_v_T, out=v)
    # r[t] = sigmoid(W_r_a_r[t]) (receptance)
    # a_g[t] = u + k[t]
    _launch_units(kernels.forward_2, pack.size, H, H, r, u, k, a_g)

    for t, n in enumerate(pack.counts):
        # a_p[t] = p[t-1] - exp_w
        # p[t] = maximum(a_p[t], k[t]) (carried exponent)
        # a_a[t] = p[t-1] - exp_w - p[t]
        # exp_in_a[t] = k[t] - p[t]
        # exp_a_a[t] = exp(a_a[t])
        # exp_exp_in_a[t] = exp(exp_in_a[t])
        # a[t] = exp_a_a[t]*a[t-1] + exp_exp_in_a[t]*v[t] (numerator)
        # b[t] = exp_a_a[t]*b[t-1] + exp_exp_in_a[t] (denominator)
        _launch_units(
            kernels.forward_3, n, H, H, p, at_1_0[t].start, exp_w, k, at_0[t].start, p, at_1[t].start, a,
            at_1_0[t].start, v, at_0[t].start, a, at_1[t].start, b, at_1_0[t].start, b, at_1[t].start,
        )

    # g[t] = maximum(p[t-1], a_g[t]) (exponent of the present mean)
    # a_n[t] = p[t-1] - g[t]
    # exp_in_n[t] = u + k[t] - g[t]
    # exp_a_n[t] = exp(a_n[t])
    # exp_exp_in_n[t] = exp(exp_in_n[t])
    # n[t] = exp_a_n[t]*a[t-1] + exp_exp_in_n[t]*v[t] (present numerator)
    # d[t] = exp_a_n[t]*b[t-1] + exp_exp_in_n[t] (present denominator)
    # a_y[t] = r[t]*n[t]/d[t]
    p_t1 = p[pack.past(1, 0)]
    a_t1 = a[pack.past(1, 0)]
    b_t1 = b[pack.past(1, 0)]
    _launch_units(kernels.forward_4, pack.size, H, H, p_t1, a_g, u, k, a_t1, v, b_t1, r, a_y)
    # y[t] = W_o @ a_y[t] (output)
    cp.matmul(a_y, W_o_T, out=y)

    x_last = x_rows[pack.last(1, 1, True)]
    p_last = p[pack.last(1, 1, True)]
    a_last = a[pack.last(1, 1, True)]
    b_last = b[pack.last(1, 1, True)]

    last = {
        "x": pack.unsort(x_last)[0],
        "p": pack.unsort(p_last)[0],
        "a": pack.unsort(a_last)[0],
        "b": pack.unsort(b_last)[0],
    }
    arrays = {
        "a": a,
        "b": b,
        "k": k,
        "p": p,
        "r": r,
        "v": v,
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
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    dy_rows = pack.rows(dy)
    a = tape.arrays["a"]
    b = tape.arrays["b"]
    k = tape.arrays["k"]
    p = tape.arrays["p"]
    r = tape.arrays["r"]
    v = tape.arrays["v"]
    x_ = tape.arrays["x_rows"]
    memory = cp.empty(max(pack.size * D, pack.size * 2*D), dtype)
    a_r = memory[: pack.size * D].reshape(pack.size, D)
    a_g = cp.empty((pack.size, H), dtype)
    memory_ = cp.empty(max(pack.size * 2*H, pack.size * 2*D), dtype)
    exp_a_n_exp_exp_in_n = memory_[: pack.size * 2*H].reshape(pack.size, 2*H)
    memory_2 = cp.empty(max(pack.size * H, pack.size * 2*H, pack.size * D), dtype)
    n_ = memory_2[: pack.size * H].reshape(pack.size, H)
    memory_3 = cp.empty(max(pack.size * H, pack.size * D), dtype)
    d = memory_3[: pack.size * H].reshape(pack.size, H)
    a_y = cp.empty((pack.size, H), dtype)
    dd = cp.empty((pack.size, H), dtype)
    dn = cp.empty((pack.size, H), dtype)
    dW_r_a_r = cp.empty((pack.size, H), dtype)
    memory_4 = cp.empty(max(pack.size * 2*H, pack.size * D), dtype)
    da_n_dexp_in_n = memory_4[: pack.size * 2*H].reshape(pack.size, 2*H)
    dg = cp.empty((pack.size, H), dtype)
    da_g = cp.empty((pack.size, H), dtype)
    du_each = cp.empty((pack.size, H), dtype)
    dmu_r_each = memory_3[: pack.size * D].reshape(pack.size, D)
    a_p = cp.empty((pack.size, H), dtype)
    da = cp.empty((pack.size, H), dtype)
    exp_exp_in_a = cp.empty((pack.size, H), dtype)
    dexp_in_a_da_a = memory_2[: pack.size * 2*H].reshape(pack.size, 2*H)
    dp = cp.empty((pack.size, H), dtype)
    da_p = cp.empty((pack.size, H), dtype)
    a_k_a_v = memory[: pack.size * 2*D].reshape(pack.size, 2*D)
    dexp_w_each = a_g
    dv = memory_3[: pack.size * H].reshape(pack.size, H)
    dk = a_y
    dmu_k_each_dmu_v_each = memory_[: pack.size * 2*D].reshape(pack.size, 2*D)
    dx_ = cp.empty((pack.size, D), dtype)
    da_y = a_p
    da_v = memory_4[: pack.size * D].reshape(pack.size, D)
    da_k = memory_2[: pack.size * D].reshape(pack.size, D)
    da_r = cp.empty((pack.size, D), dtype)
    dx_via = cp.zeros((pack.size + batch, D), dtype)
    dp_via = cp.zeros((2 * batch, H), dtype)
    da_via = cp.zeros((2 * batch, H), dtype)
    db_via = cp.zeros((2 * batch, H), dtype)
    exp_w = cp.empty((H,), dtype)
    dexp_w = cp.empty((H,), dtype)
    dx_via_sent = memory[: pack.size * D].reshape(pack.size, D)
    w = params.stack("w", "w")
    mu_r = params.stack("mu_r", "mu_r")
    u = params.stack("u", "u")
    W_o = params.stack("W_o", "W_o")
    W_r = params.stack("W_r", "W_r")
    dW_r = grads.stack("W_r", "W_r")
    dW_o = grads.stack("W_o", "W_o")
    dmu_r = grads.stack("mu_r", "mu_r")
    du = grads.stack("u", "u")
    mu_k = params.stack("mu_k", "mu_k")
    mu_v = params.stack("mu_v", "mu_v")
    dW_k = grads.stack("W_k", "W_k")
    dW_v = grads.stack("W_v", "W_v")
    W_v = params.stack("W_v", "W_v")
    W_k = params.stack("W_k", "W_k")
    dw = grads.stack("w", "w")
    dmu_k_to_dmu_v = grads.stack("mu_k", "mu_v")
    dx_via[pack.last(1, 1, True)] = pack.sort(given["x"]) if "x" in given else 0
    dp_via[pack.last(1, 1, False)] = pack.sort(given["p"]) if "p" in given else 0
    da_via[pack.last(1, 1, False)] = pack.sort(given["a"]) if "a" in given else 0
    db_via[pack.last(1, 1, False)] = pack.sort(given["b"]) if "b" in given else 0
    kernels = _kernels(dtype)
    ones = cp.ones((1, pack.size), dtype)

    # exp_w = exp(w)
    cp.exp(w, out=exp_w)
    # a_r[t] = mu_r*x[t] + (1 - mu_r)*x[t-1]
    x_t1 = x_[pack.past(1, 0)]
    _launch_units(kernels.backward_1, pack.size, D, D, mu_r, x_, 1 * batch, x_t1, a_r)
    # a_g[t] = u + k[t]
    # g[t] = maximum(p[t-1], a_g[t]) (exponent of the present mean)
    # a_n[t] = p[t-1] - g[t]
    # exp_in_n[t] = u + k[t] - g[t]
    # exp_a_n[t] = exp(a_n[t])
    # exp_exp_in_n[t] = exp(exp_in_n[t])
    # n[t] = exp_a_n[t]*a[t-1] + exp_exp_in_n[t]*v[t] (present numerator)
    # d[t] = exp_a_n[t]*b[t-1] + exp_exp_in_n[t] (present denominator)
    # a_y[t] = r[t]*n[t]/d[t]
    p_t1 = p[pack.past(1, 0)]
    a_t1 = a[pack.past(1, 0)]
    b_t1 = b[pack.past(1, 0)]
    _launch_units(
        kernels.backward_2, pack.size, H, H, u, k, a_g, p_t1, exp_a_n_exp_exp_in_n, a_t1, v, n_, b_t1, d, r,
        a_y,
    )
    # da_y[t] = W_o.T @ dy[t]
    cp.matmul(dy_rows, W_o, out=da_y)
    # dd[t] = -da_y[t]*r[t]*n[t]/d[t]**2
    # dn[t] = da_y[t]*r[t]/d[t]
    # dr[t] = da_y[t]*n[t]/d[t]
    # dexp_exp_in_n[t] = dn[t]*v[t] + dd[t]
    # dexp_a_n[t] = dn[t]*a[t-1] + dd[t]*b[t-1]
    # dW_r_a_r[t] = dr[t]*r[t]*(1 - r[t])
    # dexp_in_n[t] = dexp_exp_in_n[t]*exp_exp_in_n[t]
    # da_n[t] = dexp_a_n[t]*exp_a_n[t]
    # dg[t] = -da_n[t] - dexp_in_n[t]
    # da_g[t] = dg[t]*(greater(a_g[t], p[t-1])/2 + greater_equal(a_g[t], p[t-1])/2)
    # du_each[t] = da_g[t] + dexp_in_n[t]
    _launch_units(
        kernels.backward_3, pack.size, H, H, da_y, r, n_, d, dd, dn, v, a_t1, b_t1, dW_r_a_r,
        exp_a_n_exp_exp_in_n, da_n_dexp_in_n, dg, a_g, p_t1, da_g, du_each,
    )
    # da_r[t] = W_r.T @ dW_r_a_r[t]
    cp.matmul(dW_r_a_r, W_r, out=da_r)
    # dmu_r_each[t] = da_r[t]*(x[t] - x[t-1])
    _launch_units(kernels.backward_4, pack.size, D, D, da_r, x_, 1 * batch, x_t1, dmu_r_each)

    for t, n in reversed(list(enumerate(pack.counts))):
        # a_p[t] = p[t-1] - exp_w
        # a_a[t] = p[t-1] - exp_w - p[t]
        # exp_in_a[t] = k[t] - p[t]
        # db[t] = db_via[t+1]
        # da[t] = da_via[t+1]
        # exp_a_a[t] = exp(a_a[t])
        # exp_exp_in_a[t] = exp(exp_in_a[t])
        # dexp_exp_in_a[t] = da[t]*v[t] + db[t]
        # dexp_a_a[t] = da[t]*a[t-1] + db[t]*b[t-1]
        # dexp_in_a[t] = dexp_exp_in_a[t]*exp_exp_in_a[t]
        # da_a[t] = dexp_a_a[t]*exp_a_a[t]
        # da_via[t] = dn[t]*exp_a_n[t] + da[t]*exp_a_a[t]
        # db_via[t] = dd[t]*exp_a_n[t] + db[t]*exp_a_a[t]
        # dp[t] = -da_a[t] - dexp_in_a[t] + dp_via[t+1]
        # da_p[t] = dp[t]*(greater(a_p[t], k[t])/2 + greater_equal(a_p[t], k[t])/2)
        # dp_via[t] = dg[t]*(greater(p[t-1], a_g[t])/2 + greater_equal(p[t-1], a_g[t])/2) + da_n[t] + da_p[t] + da_a[t]
        _launch_units(
            kernels.backward_5, n, H, H, p, at_1_0[t].start, exp_w, a_p, at_0[t].start, p, at_1[t].start, k,
            at_0[t].start, db_via, ring_1[t].start, da_via, ring_1[t].start, da, at_0[t].start, exp_exp_in_a,
            at_0[t].start, v, at_0[t].start, a, at_1_0[t].start, b, at_1_0[t].start, dexp_in_a_da_a, at_0[t].start,
            dn, at_0[t].start, exp_a_n_exp_exp_in_n, at_0[t].start, da_via, ring_1_0[t].start, dd, at_0[t].start,
            db_via, ring_1_0[t].start, dp_via, ring_1[t].start, dp, at_0[t].start, da_p, at_0[t].start, dg,
            at_0[t].start, a_g, at_0[t].start, da_n_dexp_in_n, at_0[t].start, dp_via, ring_1_0[t].start,
        )

    # dW_r = sum of outer(dW_r_a_r[t], a_r[t])
    cp.matmul(dW_r_a_r.T, a_r, out=dW_r)
    # dW_o = sum of outer(dy[t], a_y[t])
    cp.matmul(dy_rows.T, a_y, out=dW_o)
    # dmu_r = sum of dmu_r_each[t]
    cp.matmul(ones, dmu_r_each, out=dmu_r.reshape(1, -1))
    # du = sum of du_each[t]
    cp.matmul(ones, du_each, out=du.reshape(1, -1))
    # a_k[t] = mu_k*x[t] + (1 - mu_k)*x[t-1]
    # a_v[t] = mu_v*x[t] + (1 - mu_v)*x[t-1]
    x_t1_ = x_[pack.past(1, 0)]
    _launch_units(kernels.backward_6, pack.size, D, D, mu_k, x_, 1 * batch, x_t1_, a_k_a_v, mu_v)
    # dexp_w_each[t] = -da_p[t] - da_a[t]
    # dv[t] = dn[t]*exp_exp_in_n[t] + da[t]*exp_exp_in_a[t]
    # dk[t] = da_g[t] + dexp_in_n[t] + dp[t]*(greater(k[t], a_p[t])/2 + greater_equal(k[t], a_p[t])/2) + dexp_in_a[t]
    _launch_units(
        kernels.backward_7, pack.size, H, H, da_p, dexp_in_a_da_a, dexp_w_each, dn, exp_a_n_exp_exp_in_n, da,
        exp_exp_in_a, dv, da_g, da_n_dexp_in_n, dp, k, a_p, dk,
    )
    # dexp_w = sum of dexp_w_each[t]
    cp.matmul(ones, dexp_w_each, out=dexp_w.reshape(1, -1))
    # dW_k = sum of outer(dk[t], a_k[t])
    a_k = a_k_a_v[:, : D]
    cp.matmul(dk.T, a_k, out=dW_k)
    # dW_v = sum of outer(dv[t], a_v[t])
    a_v = a_k_a_v[:, D :]
    cp.matmul(dv.T, a_v, out=dW_v)
    # da_v[t] = W_v.T @ dv[t]
    cp.matmul(dv, W_v, out=da_v)
    # da_k[t] = W_k.T @ dk[t]
    cp.matmul(dk, W_k, out=da_k)
    # dw = dexp_w*exp_w
    cp.multiply(dexp_w, exp_w, out=dw)
    # dmu_k_each[t] = da_k[t]*(x[t] - x[t-1])
    # dmu_v_each[t] = da_v[t]*(x[t] - x[t-1])
    # dx_via[t] = da_r[t]*(1 - mu_r) + da_k[t]*(1 - mu_k) + da_v[t]*(1 - mu_v)
    _launch_units(
        kernels.backward_8, pack.size, D, D, da_k, x_, 1 * batch, x_t1_, dmu_k_each_dmu_v_each, da_v, da_r,
        mu_r, mu_k, mu_v, dx_via_sent,
    )
    # dmu_k = sum of dmu_k_each[t]
    # dmu_v = sum of dmu_v_each[t]
    dmu_k_each_to_dmu_v_each = dmu_k_each_dmu_v_each
    cp.matmul(ones, dmu_k_each_to_dmu_v_each, out=dmu_k_to_dmu_v.reshape(1, -1))
    dx_via[pack.past(1, 0)] = dx_via_sent
    if need_x:
        # dx[t] = da_r[t]*mu_r + da_k[t]*mu_k + da_v[t]*mu_v + dx_via[t+1]
        _launch_units(
            kernels.backward_9, pack.size, D, D, da_r, mu_r, da_k, mu_k, da_v, mu_v, dx_via, 1 * batch, dx_,
        )

    dx_first = dx_via[pack.first(1)]
    dp_first = dp_via[pack.first(1)]
    da_first = da_via[pack.first(1)]
    db_first = db_via[pack.first(1)]

    dstate = {
        "x": pack.unsort(dx_first)[0],
        "p": pack.unsort(dp_first)[0],
        "a": pack.unsort(da_first)[0],
        "b": pack.unsort(db_first)[0],
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
    H = params.sizes["H"]

    x_t_ = cp.ascontiguousarray(inputs["x"][1])
    a_r_a_k_a_v = cp.empty((batch, 3*D), dtype)
    r = cp.empty((batch, H), dtype)
    a_g = cp.empty((batch, H), dtype)
    a_y = cp.empty((batch, H), dtype)
    k = cp.empty((batch, H), dtype)
    v = cp.empty((batch, H), dtype)
    p = cp.empty((batch, H), dtype)
    a = cp.empty((batch, H), dtype)
    b = cp.empty((batch, H), dtype)
    y = cp.empty((batch, D), dtype)
    exp_w = cp.empty((H,), dtype)
    w = params.stack("w", "w")
    mu_r = params.stack("mu_r", "mu_r")
    mu_k = params.stack("mu_k", "mu_k")
    mu_v = params.stack("mu_v", "mu_v")
    u = params.stack("u", "u")
    x_before = given["x"] if "x" in given else cp.zeros((1, batch, D), dtype)
    p_before = given["p"] if "p" in given else cp.zeros((1, batch, H), dtype)
    a_before = given["a"] if "a" in given else cp.zeros((1, batch, H), dtype)
    b_before = given["b"] if "b" in given else cp.zeros((1, batch, H), dtype)
    kernels = _kernels(dtype)
    x_t1 = x_before[0]
    W_r_T = params.stack("W_r", "W_r").T
    W_k_T = params.stack("W_k", "W_k").T
    W_v_T = params.stack("W_v", "W_v").T
    p_t1 = p_before[0]
    a_t1 = a_before[0]
    b_t1 = b_before[0]
    W_o_T = params.stack("W_o", "W_o").T

    # exp_w = exp(w)
    cp.exp(w, out=exp_w)
    # a_r[t] = mu_r*x[t] + (1 - mu_r)*x[t-1]
    # a_k[t] = mu_k*x[t] + (1 - mu_k)*x[t-1]
    # a_v[t] = mu_v*x[t] + (1 - mu_v)*x[t-1]
    _launch_units(kernels.forward_1, batch, D, D, mu_r, x_t_, 0, x_t1, a_r_a_k_a_v, mu_k, mu_v)
    # W_r_a_r[t] = W_r @ a_r[t]
    a_r_t = a_r_a_k_a_v[:, : D]
    W_r_a_r_t = r
    cp.matmul(a_r_t, W_r_T, out=W_r_a_r_t)
    # k[t] = W_k @ a_k[t] (key)
    a_k_t = a_r_a_k_a_v[:, D : 2*D]
    cp.matmul(a_k_t, W_k_T, out=k)
    # v[t] = W_v @ a_v[t] (value)
    a_v_t = a_r_a_k_a_v[:, 2*D :]
    cp.matmul(a_v_t, W_v_T, out=v)
    # r[t] = sigmoid(W_r_a_r[t]) (receptance)
    # a_g[t] = u + k[t]
    _launch_units(kernels.forward_2, batch, H, H, r, u, k, a_g)
    # a_p[t] = p[t-1] - exp_w
    # p[t] = maximum(a_p[t], k[t]) (carried exponent)
    # a_a[t] = p[t-1] - exp_w - p[t]
    # exp_in_a[t] = k[t] - p[t]
    # exp_a_a[t] = exp(a_a[t])
    # exp_exp_in_a[t] = exp(exp_in_a[t])
    # a[t] = exp_a_a[t]*a[t-1] + exp_exp_in_a[t]*v[t] (numerator)
    # b[t] = exp_a_a[t]*b[t-1] + exp_exp_in_a[t] (denominator)
    _launch_units(
        kernels.forward_3, batch, H, H, p_t1, 0, exp_w, k, 0, p, 0, a_t1, 0, v, 0, a, 0, b_t1, 0, b, 0,
    )
    # g[t] = maximum(p[t-1], a_g[t]) (exponent of the present mean)
    # a_n[t] = p[t-1] - g[t]
    # exp_in_n[t] = u + k[t] - g[t]
    # exp_a_n[t] = exp(a_n[t])
    # exp_exp_in_n[t] = exp(exp_in_n[t])
    # n[t] = exp_a_n[t]*a[t-1] + exp_exp_in_n[t]*v[t] (present numerator)
    # d[t] = exp_a_n[t]*b[t-1] + exp_exp_in_n[t] (present denominator)
    # a_y[t] = r[t]*n[t]/d[t]
    _launch_units(kernels.forward_4, batch, H, H, p_t1, a_g, u, k, a_t1, v, b_t1, r, a_y)
    # y[t] = W_o @ a_y[t] (output)
    cp.matmul(a_y, W_o_T, out=y)

    state = {
        "x": x_t_.copy(),
        "p": p,
        "a": a,
        "b": b,
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
    H = sizes["H"]
    rows = steps * batch
    untaped = item * (rows * (2*D + 7*H) + batch * (D + 3*H) + H) + 488 * steps
    untaped += item * rows * max(3*D, H)
    taped = item * (rows * (2*D + 7*H) + batch * (D + 3*H) + H) + 488 * steps
    taped += item * rows * max(3*D, H)
    back = item * (rows * (6*D + 19*H + 1) + batch * (2*D + 9*H) + 2*H) + 1016 * steps
    back += item * rows * max(2*H, 2*D)
    back += 2 * item * rows * max(2*H, D)
    back += item * rows * max(H, D)
    if packed:
        untaped += rows * (item * (D + 3*H) + 40)
        taped += rows * (item * (D + 3*H) + 40)
        back += rows * (item * (3*D + 3*H) + 48)
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


KERNELS = (
    "forward_1",
    "forward_2",
    "forward_3",
    "forward_4",
    "backward_1",
    "backward_2",
    "backward_3",
    "backward_4",
    "backward_5",
    "backward_6",
    "backward_7",
    "backward_8",
    "backward_9"
)
CUDA = r"""
__device__ inline real maximum(real u, real v) { return u > v || u != u ? u : v; }  // NaN wins, as in NumPy
__device__ inline real sigmoid(real v) { return 1 / (1 + exp(-v)); }

extern "C" __global__ void forward_1(
    long long rows,
    long long D,
    const real* __restrict__ mu_r,
    const real* __restrict__ x_t_rows,
    long long x_t_at,
    const real* __restrict__ x_t1_rows,
    real* __restrict__ a_r_a_k_a_v_t_rows,
    const real* __restrict__ mu_k,
    const real* __restrict__ mu_v) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= D) return;
    const real* x_t_row = x_t_rows + (x_t_at + row) * D;
    const real* x_t1_row = x_t1_rows + row * D;
    real* a_r_a_k_a_v_t_row = a_r_a_k_a_v_t_rows + row * (3*D);
    const real x_t = x_t_row[unit];
    const real x_t1 = x_t1_row[unit];
    // a_r[t] = mu_r*x[t] + (1 - mu_r)*x[t-1]
    const real a_r_t = mu_r[unit] * x_t + (1 - mu_r[unit]) * x_t1;
    // a_k[t] = mu_k*x[t] + (1 - mu_k)*x[t-1]
    const real a_k_t = mu_k[unit] * x_t + (1 - mu_k[unit]) * x_t1;
    // a_v[t] = mu_v*x[t] + (1 - mu_v)*x[t-1]
    const real a_v_t = mu_v[unit] * x_t + (1 - mu_v[unit]) * x_t1;
    a_r_a_k_a_v_t_row[unit] = a_r_t;
    a_r_a_k_a_v_t_row[D + unit] = a_k_t;
    a_r_a_k_a_v_t_row[2*D + unit] = a_v_t;
}

extern "C" __global__ void forward_2(
    long long rows,
    long long H,
    real* r_t_rows,
    const real* __restrict__ u,
    const real* __restrict__ k_t_rows,
    real* __restrict__ a_g_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    real* r_t_row = r_t_rows + row * H;
    const real* k_t_row = k_t_rows + row * H;
    real* a_g_t_row = a_g_t_rows + row * H;
    const real W_r_a_r_t = r_t_row[unit];
    const real k_t = k_t_row[unit];
    // r[t] = sigmoid(W_r_a_r[t]) (receptance)
    const real r_t = sigmoid(W_r_a_r_t);
    // a_g[t] = u + k[t]
    const real a_g_t = u[unit] + k_t;
    r_t_row[unit] = r_t;
    a_g_t_row[unit] = a_g_t;
}

extern "C" __global__ void forward_3(
    long long rows,
    long long H,
    const real* p_t1_rows,
    long long p_t1_at,
    const real* __restrict__ exp_w,
    const real* __restrict__ k_t_rows,
    long long k_t_at,
    real* p_t_rows,
    long long p_t_at,
    const real* a_t1_rows,
    long long a_t1_at,
    const real* __restrict__ v_t_rows,
    long long v_t_at,
    real* a_t_rows,
    long long a_t_at,
    const real* b_t1_rows,
    long long b_t1_at,
    real* b_t_rows,
    long long b_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* p_t1_row = p_t1_rows + (p_t1_at + row) * H;
    const real* k_t_row = k_t_rows + (k_t_at + row) * H;
    real* p_t_row = p_t_rows + (p_t_at + row) * H;
    const real* a_t1_row = a_t1_rows + (a_t1_at + row) * H;
    const real* v_t_row = v_t_rows + (v_t_at + row) * H;
    real* a_t_row = a_t_rows + (a_t_at + row) * H;
    const real* b_t1_row = b_t1_rows + (b_t1_at + row) * H;
    real* b_t_row = b_t_rows + (b_t_at + row) * H;
    const real p_t1 = p_t1_row[unit];
    const real k_t = k_t_row[unit];
    const real a_t1 = a_t1_row[unit];
    const real v_t = v_t_row[unit];
    const real b_t1 = b_t1_row[unit];
    // a_p[t] = p[t-1] - exp_w
    const real a_p_t = p_t1 - exp_w[unit];
    // p[t] = maximum(a_p[t], k[t]) (carried exponent)
    const real p_t = maximum(a_p_t, k_t);
    // a_a[t] = p[t-1] - exp_w - p[t]
    const real a_a_t = p_t1 - exp_w[unit] - p_t;
    // exp_in_a[t] = k[t] - p[t]
    const real exp_in_a_t = k_t - p_t;
    // exp_a_a[t] = exp(a_a[t])
    const real exp_a_a_t = exp(a_a_t);
    // exp_exp_in_a[t] = exp(exp_in_a[t])
    const real exp_exp_in_a_t = exp(exp_in_a_t);
    // a[t] = exp_a_a[t]*a[t-1] + exp_exp_in_a[t]*v[t] (numerator)
    const real a_t = exp_a_a_t * a_t1 + exp_exp_in_a_t * v_t;
    // b[t] = exp_a_a[t]*b[t-1] + exp_exp_in_a[t] (denominator)
    const real b_t = exp_a_a_t * b_t1 + exp_exp_in_a_t;
    p_t_row[unit] = p_t;
    a_t_row[unit] = a_t;
    b_t_row[unit] = b_t;
}

extern "C" __global__ void forward_4(
    long long rows,
    long long H,
    const real* __restrict__ p_t1_rows,
    const real* __restrict__ a_g_t_rows,
    const real* __restrict__ u,
    const real* __restrict__ k_t_rows,
    const real* __restrict__ a_t1_rows,
    const real* __restrict__ v_t_rows,
    const real* __restrict__ b_t1_rows,
    const real* __restrict__ r_t_rows,
    real* __restrict__ a_y_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* p_t1_row = p_t1_rows + row * H;
    const real* a_g_t_row = a_g_t_rows + row * H;
    const real* k_t_row = k_t_rows + row * H;
    const real* a_t1_row = a_t1_rows + row * H;
    const real* v_t_row = v_t_rows + row * H;
    const real* b_t1_row = b_t1_rows + row * H;
    const real* r_t_row = r_t_rows + row * H;
    real* a_y_t_row = a_y_t_rows + row * H;
    const real p_t1 = p_t1_row[unit];
    const real a_g_t = a_g_t_row[unit];
    const real k_t = k_t_row[unit];
    const real a_t1 = a_t1_row[unit];
    const real v_t = v_t_row[unit];
    const real b_t1 = b_t1_row[unit];
    const real r_t = r_t_row[unit];
    // g[t] = maximum(p[t-1], a_g[t]) (exponent of the present mean)
    const real g_t = maximum(p_t1, a_g_t);
    // a_n[t] = p[t-1] - g[t]
    const real a_n_t = p_t1 - g_t;
    // exp_in_n[t] = u + k[t] - g[t]
    const real exp_in_n_t = u[unit] + k_t - g_t;
    // exp_a_n[t] = exp(a_n[t])
    const real exp_a_n_t = exp(a_n_t);
    // exp_exp_in_n[t] = exp(exp_in_n[t])
    const real exp_exp_in_n_t = exp(exp_in_n_t);
    // n[t] = exp_a_n[t]*a[t-1] + exp_exp_in_n[t]*v[t] (present numerator)
    const real n_t = exp_a_n_t * a_t1 + exp_exp_in_n_t * v_t;
    // d[t] = exp_a_n[t]*b[t-1] + exp_exp_in_n[t] (present denominator)
    const real d_t = exp_a_n_t * b_t1 + exp_exp_in_n_t;
    // a_y[t] = r[t]*n[t]/d[t]
    const real a_y_t = r_t * n_t / d_t;
    a_y_t_row[unit] = a_y_t;
}

extern "C" __global__ void backward_1(
    long long rows,
    long long D,
    const real* __restrict__ mu_r,
    const real* __restrict__ x_t_rows,
    long long x_t_at,
    const real* __restrict__ x_t1_rows,
    real* __restrict__ a_r_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= D) return;
    const real* x_t_row = x_t_rows + (x_t_at + row) * D;
    const real* x_t1_row = x_t1_rows + row * D;
    real* a_r_t_row = a_r_t_rows + row * D;
    const real x_t = x_t_row[unit];
    const real x_t1 = x_t1_row[unit];
    // a_r[t] = mu_r*x[t] + (1 - mu_r)*x[t-1]
    const real a_r_t = mu_r[unit] * x_t + (1 - mu_r[unit]) * x_t1;
    a_r_t_row[unit] = a_r_t;
}

extern "C" __global__ void backward_2(
    long long rows,
    long long H,
    const real* __restrict__ u,
    const real* __restrict__ k_t_rows,
    real* __restrict__ a_g_t_rows,
    const real* __restrict__ p_t1_rows,
    real* __restrict__ exp_a_n_exp_exp_in_n_t_rows,
    const real* __restrict__ a_t1_rows,
    const real* __restrict__ v_t_rows,
    real* __restrict__ n_t_rows,
    const real* __restrict__ b_t1_rows,
    real* __restrict__ d_t_rows,
    const real* __restrict__ r_t_rows,
    real* __restrict__ a_y_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* k_t_row = k_t_rows + row * H;
    real* a_g_t_row = a_g_t_rows + row * H;
    const real* p_t1_row = p_t1_rows + row * H;
    real* exp_a_n_exp_exp_in_n_t_row = exp_a_n_exp_exp_in_n_t_rows + row * (2*H);
    const real* a_t1_row = a_t1_rows + row * H;
    const real* v_t_row = v_t_rows + row * H;
    real* n_t_row = n_t_rows + row * H;
    const real* b_t1_row = b_t1_rows + row * H;
    real* d_t_row = d_t_rows + row * H;
    const real* r_t_row = r_t_rows + row * H;
    real* a_y_t_row = a_y_t_rows + row * H;
    const real k_t = k_t_row[unit];
    const real p_t1 = p_t1_row[unit];
    const real a_t1 = a_t1_row[unit];
    const real v_t = v_t_row[unit];
    const real b_t1 = b_t1_row[unit];
    const real r_t = r_t_row[unit];
    // a_g[t] = u + k[t]
    const real a_g_t = u[unit] + k_t;
    // g[t] = maximum(p[t-1], a_g[t]) (exponent of the present mean)
    const real g_t = maximum(p_t1, a_g_t);
    // a_n[t] = p[t-1] - g[t]
    const real a_n_t = p_t1 - g_t;
    // exp_in_n[t] = u + k[t] - g[t]
    const real exp_in_n_t = u[unit] + k_t - g_t;
    // exp_a_n[t] = exp(a_n[t])
    const real exp_a_n_t = exp(a_n_t);
    // exp_exp_in_n[t] = exp(exp_in_n[t])
    const real exp_exp_in_n_t = exp(exp_in_n_t);
    // n[t] = exp_a_n[t]*a[t-1] + exp_exp_in_n[t]*v[t] (present numerator)
    const real n_t = exp_a_n_t * a_t1 + exp_exp_in_n_t * v_t;
    // d[t] = exp_a_n[t]*b[t-1] + exp_exp_in_n[t] (present denominator)
    const real d_t = exp_a_n_t * b_t1 + exp_exp_in_n_t;
    // a_y[t] = r[t]*n[t]/d[t]
    const real a_y_t = r_t * n_t / d_t;
    a_g_t_row[unit] = a_g_t;
    exp_a_n_exp_exp_in_n_t_row[unit] = exp_a_n_t;
    exp_a_n_exp_exp_in_n_t_row[H + unit] = exp_exp_in_n_t;
    n_t_row[unit] = n_t;
    d_t_row[unit] = d_t;
    a_y_t_row[unit] = a_y_t;
}

extern "C" __global__ void backward_3(
    long long rows,
    long long H,
    const real* __restrict__ da_y_t_rows,
    const real* __restrict__ r_t_rows,
    const real* __restrict__ n_t_rows,
    const real* __restrict__ d_t_rows,
    real* __restrict__ dd_t_rows,
    real* __restrict__ dn_t_rows,
    const real* __restrict__ v_t_rows,
    const real* __restrict__ a_t1_rows,
    const real* __restrict__ b_t1_rows,
    real* __restrict__ dW_r_a_r_t_rows,
    const real* __restrict__ exp_a_n_exp_exp_in_n_t_rows,
    real* __restrict__ da_n_dexp_in_n_t_rows,
    real* __restrict__ dg_t_rows,
    const real* __restrict__ a_g_t_rows,
    const real* __restrict__ p_t1_rows,
    real* __restrict__ da_g_t_rows,
    real* __restrict__ du_each_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* da_y_t_row = da_y_t_rows + row * H;
    const real* r_t_row = r_t_rows + row * H;
    const real* n_t_row = n_t_rows + row * H;
    const real* d_t_row = d_t_rows + row * H;
    real* dd_t_row = dd_t_rows + row * H;
    real* dn_t_row = dn_t_rows + row * H;
    const real* v_t_row = v_t_rows + row * H;
    const real* a_t1_row = a_t1_rows + row * H;
    const real* b_t1_row = b_t1_rows + row * H;
    real* dW_r_a_r_t_row = dW_r_a_r_t_rows + row * H;
    const real* exp_a_n_exp_exp_in_n_t_row = exp_a_n_exp_exp_in_n_t_rows + row * (2*H);
    real* da_n_dexp_in_n_t_row = da_n_dexp_in_n_t_rows + row * (2*H);
    real* dg_t_row = dg_t_rows + row * H;
    const real* a_g_t_row = a_g_t_rows + row * H;
    const real* p_t1_row = p_t1_rows + row * H;
    real* da_g_t_row = da_g_t_rows + row * H;
    real* du_each_t_row = du_each_t_rows + row * H;
    const real da_y_t = da_y_t_row[unit];
    const real r_t = r_t_row[unit];
    const real n_t = n_t_row[unit];
    const real d_t = d_t_row[unit];
    const real v_t = v_t_row[unit];
    const real a_t1 = a_t1_row[unit];
    const real b_t1 = b_t1_row[unit];
    const real exp_exp_in_n_t = exp_a_n_exp_exp_in_n_t_row[H + unit];
    const real exp_a_n_t = exp_a_n_exp_exp_in_n_t_row[unit];
    const real a_g_t = a_g_t_row[unit];
    const real p_t1 = p_t1_row[unit];
    // dd[t] = -da_y[t]*r[t]*n[t]/d[t]**2
    const real dd_t = -da_y_t * r_t * n_t / (d_t * d_t);
    // dn[t] = da_y[t]*r[t]/d[t]
    const real dn_t = da_y_t * r_t / d_t;
    // dr[t] = da_y[t]*n[t]/d[t]
    const real dr_t = da_y_t * n_t / d_t;
    // dexp_exp_in_n[t] = dn[t]*v[t] + dd[t]
    const real dexp_exp_in_n_t = dn_t * v_t + dd_t;
    // dexp_a_n[t] = dn[t]*a[t-1] + dd[t]*b[t-1]
    const real dexp_a_n_t = dn_t * a_t1 + dd_t * b_t1;
    // dW_r_a_r[t] = dr[t]*r[t]*(1 - r[t])
    const real dW_r_a_r_t = dr_t * r_t * (1 - r_t);
    // dexp_in_n[t] = dexp_exp_in_n[t]*exp_exp_in_n[t]
    const real dexp_in_n_t = dexp_exp_in_n_t * exp_exp_in_n_t;
    // da_n[t] = dexp_a_n[t]*exp_a_n[t]
    const real da_n_t = dexp_a_n_t * exp_a_n_t;
    // dg[t] = -da_n[t] - dexp_in_n[t]
    const real dg_t = -da_n_t - dexp_in_n_t;
    // da_g[t] = dg[t]*(greater(a_g[t], p[t-1])/2 + greater_equal(a_g[t], p[t-1])/2)
    const real da_g_t = dg_t * ((real)(a_g_t > p_t1) / 2 + (real)(a_g_t >= p_t1) / 2);
    // du_each[t] = da_g[t] + dexp_in_n[t]
    const real du_each_t = da_g_t + dexp_in_n_t;
    dd_t_row[unit] = dd_t;
    dn_t_row[unit] = dn_t;
    dW_r_a_r_t_row[unit] = dW_r_a_r_t;
    da_n_dexp_in_n_t_row[H + unit] = dexp_in_n_t;
    da_n_dexp_in_n_t_row[unit] = da_n_t;
    dg_t_row[unit] = dg_t;
    da_g_t_row[unit] = da_g_t;
    du_each_t_row[unit] = du_each_t;
}

extern "C" __global__ void backward_4(
    long long rows,
    long long D,
    const real* __restrict__ da_r_t_rows,
    const real* __restrict__ x_t_rows,
    long long x_t_at,
    const real* __restrict__ x_t1_rows,
    real* __restrict__ dmu_r_each_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= D) return;
    const real* da_r_t_row = da_r_t_rows + row * D;
    const real* x_t_row = x_t_rows + (x_t_at + row) * D;
    const real* x_t1_row = x_t1_rows + row * D;
    real* dmu_r_each_t_row = dmu_r_each_t_rows + row * D;
    const real da_r_t = da_r_t_row[unit];
    const real x_t = x_t_row[unit];
    const real x_t1 = x_t1_row[unit];
    // dmu_r_each[t] = da_r[t]*(x[t] - x[t-1])
    const real dmu_r_each_t = da_r_t * (x_t - x_t1);
    dmu_r_each_t_row[unit] = dmu_r_each_t;
}

extern "C" __global__ void backward_5(
    long long rows,
    long long H,
    const real* __restrict__ p_t1_rows,
    long long p_t1_at,
    const real* __restrict__ exp_w,
    real* __restrict__ a_p_t_rows,
    long long a_p_t_at,
    const real* __restrict__ p_t_rows,
    long long p_t_at,
    const real* __restrict__ k_t_rows,
    long long k_t_at,
    const real* db_via_next_rows,
    long long db_via_next_at,
    const real* da_via_next_rows,
    long long da_via_next_at,
    real* __restrict__ da_t_rows,
    long long da_t_at,
    real* __restrict__ exp_exp_in_a_t_rows,
    long long exp_exp_in_a_t_at,
    const real* __restrict__ v_t_rows,
    long long v_t_at,
    const real* __restrict__ a_t1_rows,
    long long a_t1_at,
    const real* __restrict__ b_t1_rows,
    long long b_t1_at,
    real* __restrict__ dexp_in_a_da_a_t_rows,
    long long dexp_in_a_da_a_t_at,
    const real* __restrict__ dn_t_rows,
    long long dn_t_at,
    const real* __restrict__ exp_a_n_exp_exp_in_n_t_rows,
    long long exp_a_n_exp_exp_in_n_t_at,
    real* da_via_t_rows,
    long long da_via_t_at,
    const real* __restrict__ dd_t_rows,
    long long dd_t_at,
    real* db_via_t_rows,
    long long db_via_t_at,
    const real* dp_via_next_rows,
    long long dp_via_next_at,
    real* __restrict__ dp_t_rows,
    long long dp_t_at,
    real* __restrict__ da_p_t_rows,
    long long da_p_t_at,
    const real* __restrict__ dg_t_rows,
    long long dg_t_at,
    const real* __restrict__ a_g_t_rows,
    long long a_g_t_at,
    const real* __restrict__ da_n_dexp_in_n_t_rows,
    long long da_n_dexp_in_n_t_at,
    real* dp_via_t_rows,
    long long dp_via_t_at) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* p_t1_row = p_t1_rows + (p_t1_at + row) * H;
    real* a_p_t_row = a_p_t_rows + (a_p_t_at + row) * H;
    const real* p_t_row = p_t_rows + (p_t_at + row) * H;
    const real* k_t_row = k_t_rows + (k_t_at + row) * H;
    const real* db_via_next_row = db_via_next_rows + (db_via_next_at + row) * H;
    const real* da_via_next_row = da_via_next_rows + (da_via_next_at + row) * H;
    real* da_t_row = da_t_rows + (da_t_at + row) * H;
    real* exp_exp_in_a_t_row = exp_exp_in_a_t_rows + (exp_exp_in_a_t_at + row) * H;
    const real* v_t_row = v_t_rows + (v_t_at + row) * H;
    const real* a_t1_row = a_t1_rows + (a_t1_at + row) * H;
    const real* b_t1_row = b_t1_rows + (b_t1_at + row) * H;
    real* dexp_in_a_da_a_t_row = dexp_in_a_da_a_t_rows + (dexp_in_a_da_a_t_at + row) * (2*H);
    const real* dn_t_row = dn_t_rows + (dn_t_at + row) * H;
    const real* exp_a_n_exp_exp_in_n_t_row = exp_a_n_exp_exp_in_n_t_rows + (exp_a_n_exp_exp_in_n_t_at + row) * (2*H);
    real* da_via_t_row = da_via_t_rows + (da_via_t_at + row) * H;
    const real* dd_t_row = dd_t_rows + (dd_t_at + row) * H;
    real* db_via_t_row = db_via_t_rows + (db_via_t_at + row) * H;
    const real* dp_via_next_row = dp_via_next_rows + (dp_via_next_at + row) * H;
    real* dp_t_row = dp_t_rows + (dp_t_at + row) * H;
    real* da_p_t_row = da_p_t_rows + (da_p_t_at + row) * H;
    const real* dg_t_row = dg_t_rows + (dg_t_at + row) * H;
    const real* a_g_t_row = a_g_t_rows + (a_g_t_at + row) * H;
    const real* da_n_dexp_in_n_t_row = da_n_dexp_in_n_t_rows + (da_n_dexp_in_n_t_at + row) * (2*H);
    real* dp_via_t_row = dp_via_t_rows + (dp_via_t_at + row) * H;
    const real p_t1 = p_t1_row[unit];
    const real p_t = p_t_row[unit];
    const real k_t = k_t_row[unit];
    const real db_via_next = db_via_next_row[unit];
    const real da_via_next = da_via_next_row[unit];
    const real v_t = v_t_row[unit];
    const real a_t1 = a_t1_row[unit];
    const real b_t1 = b_t1_row[unit];
    const real dn_t = dn_t_row[unit];
    const real exp_a_n_t = exp_a_n_exp_exp_in_n_t_row[unit];
    const real dd_t = dd_t_row[unit];
    const real dp_via_next = dp_via_next_row[unit];
    const real dg_t = dg_t_row[unit];
    const real a_g_t = a_g_t_row[unit];
    const real da_n_t = da_n_dexp_in_n_t_row[unit];
    // a_p[t] = p[t-1] - exp_w
    const real a_p_t = p_t1 - exp_w[unit];
    // a_a[t] = p[t-1] - exp_w - p[t]
    const real a_a_t = p_t1 - exp_w[unit] - p_t;
    // exp_in_a[t] = k[t] - p[t]
    const real exp_in_a_t = k_t - p_t;
    // db[t] = db_via[t+1]
    const real db_t = db_via_next;
    // da[t] = da_via[t+1]
    const real da_t = da_via_next;
    // exp_a_a[t] = exp(a_a[t])
    const real exp_a_a_t = exp(a_a_t);
    // exp_exp_in_a[t] = exp(exp_in_a[t])
    const real exp_exp_in_a_t = exp(exp_in_a_t);
    // dexp_exp_in_a[t] = da[t]*v[t] + db[t]
    const real dexp_exp_in_a_t = da_t * v_t + db_t;
    // dexp_a_a[t] = da[t]*a[t-1] + db[t]*b[t-1]
    const real dexp_a_a_t = da_t * a_t1 + db_t * b_t1;
    // dexp_in_a[t] = dexp_exp_in_a[t]*exp_exp_in_a[t]
    const real dexp_in_a_t = dexp_exp_in_a_t * exp_exp_in_a_t;
    // da_a[t] = dexp_a_a[t]*exp_a_a[t]
    const real da_a_t = dexp_a_a_t * exp_a_a_t;
    // da_via[t] = dn[t]*exp_a_n[t] + da[t]*exp_a_a[t]
    const real da_via_t = dn_t * exp_a_n_t + da_t * exp_a_a_t;
    // db_via[t] = dd[t]*exp_a_n[t] + db[t]*exp_a_a[t]
    const real db_via_t = dd_t * exp_a_n_t + db_t * exp_a_a_t;
    // dp[t] = -da_a[t] - dexp_in_a[t] + dp_via[t+1]
    const real dp_t = -da_a_t - dexp_in_a_t + dp_via_next;
    // da_p[t] = dp[t]*(greater(a_p[t], k[t])/2 + greater_equal(a_p[t], k[t])/2)
    const real da_p_t = dp_t * ((real)(a_p_t > k_t) / 2 + (real)(a_p_t >= k_t) / 2);
    // dp_via[t] = dg[t]*(greater(p[t-1], a_g[t])/2 + greater_equal(p[t-1], a_g[t])/2) + da_n[t] + da_p[t] + da_a[t]
    const real dp_via_t = dg_t * ((real)(p_t1 > a_g_t) / 2 + (real)(p_t1 >= a_g_t) / 2) + da_n_t + da_p_t + da_a_t;
    a_p_t_row[unit] = a_p_t;
    da_t_row[unit] = da_t;
    exp_exp_in_a_t_row[unit] = exp_exp_in_a_t;
    dexp_in_a_da_a_t_row[unit] = dexp_in_a_t;
    dexp_in_a_da_a_t_row[H + unit] = da_a_t;
    da_via_t_row[unit] = da_via_t;
    db_via_t_row[unit] = db_via_t;
    dp_t_row[unit] = dp_t;
    da_p_t_row[unit] = da_p_t;
    dp_via_t_row[unit] = dp_via_t;
}

extern "C" __global__ void backward_6(
    long long rows,
    long long D,
    const real* __restrict__ mu_k,
    const real* __restrict__ x_t_rows,
    long long x_t_at,
    const real* __restrict__ x_t1_rows,
    real* __restrict__ a_k_a_v_t_rows,
    const real* __restrict__ mu_v) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= D) return;
    const real* x_t_row = x_t_rows + (x_t_at + row) * D;
    const real* x_t1_row = x_t1_rows + row * D;
    real* a_k_a_v_t_row = a_k_a_v_t_rows + row * (2*D);
    const real x_t = x_t_row[unit];
    const real x_t1 = x_t1_row[unit];
    // a_k[t] = mu_k*x[t] + (1 - mu_k)*x[t-1]
    const real a_k_t = mu_k[unit] * x_t + (1 - mu_k[unit]) * x_t1;
    // a_v[t] = mu_v*x[t] + (1 - mu_v)*x[t-1]
    const real a_v_t = mu_v[unit] * x_t + (1 - mu_v[unit]) * x_t1;
    a_k_a_v_t_row[unit] = a_k_t;
    a_k_a_v_t_row[D + unit] = a_v_t;
}

extern "C" __global__ void backward_7(
    long long rows,
    long long H,
    const real* __restrict__ da_p_t_rows,
    const real* __restrict__ dexp_in_a_da_a_t_rows,
    real* __restrict__ dexp_w_each_t_rows,
    const real* __restrict__ dn_t_rows,
    const real* __restrict__ exp_a_n_exp_exp_in_n_t_rows,
    const real* __restrict__ da_t_rows,
    const real* __restrict__ exp_exp_in_a_t_rows,
    real* __restrict__ dv_t_rows,
    const real* __restrict__ da_g_t_rows,
    const real* __restrict__ da_n_dexp_in_n_t_rows,
    const real* __restrict__ dp_t_rows,
    const real* __restrict__ k_t_rows,
    const real* __restrict__ a_p_t_rows,
    real* __restrict__ dk_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= H) return;
    const real* da_p_t_row = da_p_t_rows + row * H;
    const real* dexp_in_a_da_a_t_row = dexp_in_a_da_a_t_rows + row * (2*H);
    real* dexp_w_each_t_row = dexp_w_each_t_rows + row * H;
    const real* dn_t_row = dn_t_rows + row * H;
    const real* exp_a_n_exp_exp_in_n_t_row = exp_a_n_exp_exp_in_n_t_rows + row * (2*H);
    const real* da_t_row = da_t_rows + row * H;
    const real* exp_exp_in_a_t_row = exp_exp_in_a_t_rows + row * H;
    real* dv_t_row = dv_t_rows + row * H;
    const real* da_g_t_row = da_g_t_rows + row * H;
    const real* da_n_dexp_in_n_t_row = da_n_dexp_in_n_t_rows + row * (2*H);
    const real* dp_t_row = dp_t_rows + row * H;
    const real* k_t_row = k_t_rows + row * H;
    const real* a_p_t_row = a_p_t_rows + row * H;
    real* dk_t_row = dk_t_rows + row * H;
    const real da_p_t = da_p_t_row[unit];
    const real da_a_t = dexp_in_a_da_a_t_row[H + unit];
    const real dn_t = dn_t_row[unit];
    const real exp_exp_in_n_t = exp_a_n_exp_exp_in_n_t_row[H + unit];
    const real da_t = da_t_row[unit];
    const real exp_exp_in_a_t = exp_exp_in_a_t_row[unit];
    const real da_g_t = da_g_t_row[unit];
    const real dexp_in_n_t = da_n_dexp_in_n_t_row[H + unit];
    const real dp_t = dp_t_row[unit];
    const real k_t = k_t_row[unit];
    const real a_p_t = a_p_t_row[unit];
    const real dexp_in_a_t = dexp_in_a_da_a_t_row[unit];
    // dexp_w_each[t] = -da_p[t] - da_a[t]
    const real dexp_w_each_t = -da_p_t - da_a_t;
    // dv[t] = dn[t]*exp_exp_in_n[t] + da[t]*exp_exp_in_a[t]
    const real dv_t = dn_t * exp_exp_in_n_t + da_t * exp_exp_in_a_t;
    // dk[t] = da_g[t] + dexp_in_n[t] + dp[t]*(greater(k[t], a_p[t])/2 + greater_equal(k[t], a_p[t])/2) + dexp_in_a[t]
    const real dk_t = da_g_t + dexp_in_n_t + dp_t * ((real)(k_t > a_p_t) / 2 + (real)(k_t >= a_p_t) / 2) + dexp_in_a_t;
    dexp_w_each_t_row[unit] = dexp_w_each_t;
    dv_t_row[unit] = dv_t;
    dk_t_row[unit] = dk_t;
}

extern "C" __global__ void backward_8(
    long long rows,
    long long D,
    const real* __restrict__ da_k_t_rows,
    const real* __restrict__ x_t_rows,
    long long x_t_at,
    const real* __restrict__ x_t1_rows,
    real* __restrict__ dmu_k_each_dmu_v_each_t_rows,
    const real* __restrict__ da_v_t_rows,
    const real* __restrict__ da_r_t_rows,
    const real* __restrict__ mu_r,
    const real* __restrict__ mu_k,
    const real* __restrict__ mu_v,
    real* __restrict__ dx_via_sent_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= D) return;
    const real* da_k_t_row = da_k_t_rows + row * D;
    const real* x_t_row = x_t_rows + (x_t_at + row) * D;
    const real* x_t1_row = x_t1_rows + row * D;
    real* dmu_k_each_dmu_v_each_t_row = dmu_k_each_dmu_v_each_t_rows + row * (2*D);
    const real* da_v_t_row = da_v_t_rows + row * D;
    const real* da_r_t_row = da_r_t_rows + row * D;
    real* dx_via_sent_t_row = dx_via_sent_t_rows + row * D;
    const real da_k_t = da_k_t_row[unit];
    const real x_t = x_t_row[unit];
    const real x_t1 = x_t1_row[unit];
    const real da_v_t = da_v_t_row[unit];
    const real da_r_t = da_r_t_row[unit];
    // dmu_k_each[t] = da_k[t]*(x[t] - x[t-1])
    const real dmu_k_each_t = da_k_t * (x_t - x_t1);
    // dmu_v_each[t] = da_v[t]*(x[t] - x[t-1])
    const real dmu_v_each_t = da_v_t * (x_t - x_t1);
    // dx_via[t] = da_r[t]*(1 - mu_r) + da_k[t]*(1 - mu_k) + da_v[t]*(1 - mu_v)
    const real dx_via_t = da_r_t * (1 - mu_r[unit]) + da_k_t * (1 - mu_k[unit]) + da_v_t * (1 - mu_v[unit]);
    dmu_k_each_dmu_v_each_t_row[unit] = dmu_k_each_t;
    dmu_k_each_dmu_v_each_t_row[D + unit] = dmu_v_each_t;
    dx_via_sent_t_row[unit] = dx_via_t;
}

extern "C" __global__ void backward_9(
    long long rows,
    long long D,
    const real* __restrict__ da_r_t_rows,
    const real* __restrict__ mu_r,
    const real* __restrict__ da_k_t_rows,
    const real* __restrict__ mu_k,
    const real* __restrict__ da_v_t_rows,
    const real* __restrict__ mu_v,
    const real* __restrict__ dx_via_next_rows,
    long long dx_via_next_at,
    real* __restrict__ dx_t_rows) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const int unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= rows || unit >= D) return;
    const real* da_r_t_row = da_r_t_rows + row * D;
    const real* da_k_t_row = da_k_t_rows + row * D;
    const real* da_v_t_row = da_v_t_rows + row * D;
    const real* dx_via_next_row = dx_via_next_rows + (dx_via_next_at + row) * D;
    real* dx_t_row = dx_t_rows + row * D;
    const real da_r_t = da_r_t_row[unit];
    const real da_k_t = da_k_t_row[unit];
    const real da_v_t = da_v_t_row[unit];
    const real dx_via_next = dx_via_next_row[unit];
    // dx[t] = da_r[t]*mu_r + da_k[t]*mu_k + da_v[t]*mu_v + dx_via[t+1]
    const real dx_t = da_r_t * mu_r[unit] + da_k_t * mu_k[unit] + da_v_t * mu_v[unit] + dx_via_next;
    dx_t_row[unit] = dx_t;
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
