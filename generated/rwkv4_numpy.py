"""RWKV-4, time mixing

Peng et al. (2023), RWKV: reinventing RNNs for the transformer era, section 3.1, in the stabilised form of its
appendix: a and b are numerator and denominator, p the exponent that both are scaled by. As in the published code the
decay is exp(w), so that it is positive.

The cell rwkv4 as NumPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive rwkv4``.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

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
STAMP = "236ab447dc365b90"


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
    flat = _buffer(params.flat.size, dtype)
    flat[...] = params.flat
    return Params(flat, params.sizes)


def _round(array: Any, dtype: Any) -> None:
    """Round an array's numbers to a type, where it is of another."""
    if array.dtype != dtype:
        array[...] = array.astype(dtype)


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
    rows = pack.sequence(_as(rows, dtype), _shape(("D",), params.sizes), False)
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
    at_0 = pack.slots(0, 0, True)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    x_rows = np.empty((pack.size + 1 * batch, D), real)
    x_rows[1 * batch :] = pack.rows(inputs["x"])
    memory = np.empty(max(pack.size * 3*D, pack.size * H, pack.size * 2*H), real)
    a_r_a_k_a_v = memory[: pack.size * 3*D].reshape(pack.size, 3*D)
    r = np.empty((pack.size, H), real)
    a_g = memory[: pack.size * H].reshape(pack.size, H)
    memory_ = np.empty(max(batch * H, batch * 2*H), real)
    a_p = memory_[: batch * H].reshape(batch, H)
    exp_a_a_exp_exp_in_a = memory_[: batch * 2*H].reshape(batch, 2*H)
    memory_2 = np.empty(max(pack.size * H, pack.size * D), real)
    g = memory_2[: pack.size * H].reshape(pack.size, H)
    exp_a_n_exp_exp_in_n = memory[: pack.size * 2*H].reshape(pack.size, 2*H)
    n_ = memory_2[: pack.size * H].reshape(pack.size, H)
    a_y = np.empty((pack.size, H), real)
    k = np.empty((pack.size, H), real)
    v = np.empty((pack.size, H), real)
    p = np.empty((pack.size + batch, H), real)
    a = np.empty((pack.size + batch, H), real)
    b = np.empty((pack.size + batch, H), real)
    y = np.empty((pack.size, D), real)
    exp_w = np.empty((H,), real)
    work1 = memory_2[: pack.size * D].reshape(pack.size, D)
    work1_ = np.empty((batch, H), real)
    work1_2 = a_y
    w = params.stack("w", "w")
    mu_r = params.stack("mu_r", "mu_r")
    mu_k = params.stack("mu_k", "mu_k")
    mu_v = params.stack("mu_v", "mu_v")
    u = params.stack("u", "u")
    x_rows[pack.first(1)] = pack.sort(given["x"]) if "x" in given else 0
    p[pack.first(1)] = pack.sort(given["p"]) if "p" in given else 0
    a[pack.first(1)] = pack.sort(given["a"]) if "a" in given else 0
    b[pack.first(1)] = pack.sort(given["b"]) if "b" in given else 0
    narrow = dtype.itemsize == 2
    W_r_T = params.stack("W_r", "W_r").T
    matmul = _products(dtype)
    W_k_T = params.stack("W_k", "W_k").T
    W_v_T = params.stack("W_v", "W_v").T
    W_o_T = params.stack("W_o", "W_o").T

    # exp_w = exp(w) (35)
    np.exp(w, out=exp_w)
    # a_r[t] = mu_r*x[t] + (1 - mu_r)*x[t-1] (23)
    x_ = x_rows[batch :]
    x_t1 = x_rows[pack.past(1, 0)]
    a_r = a_r_a_k_a_v[:, : D]
    np.multiply(mu_r, x_, out=a_r)
    np.subtract(1, mu_r, out=work1)
    np.multiply(work1, x_t1, out=work1)
    np.add(a_r, work1, out=a_r)
    if narrow:
        _round(a_r, dtype)
    # a_k[t] = mu_k*x[t] + (1 - mu_k)*x[t-1] (25)
    a_k = a_r_a_k_a_v[:, D : 2*D]
    np.multiply(mu_k, x_, out=a_k)
    np.subtract(1, mu_k, out=work1)
    np.multiply(work1, x_t1, out=work1)
    np.add(a_k, work1, out=a_k)
    if narrow:
        _round(a_k, dtype)
    # a_v[t] = mu_v*x[t] + (1 - mu_v)*x[t-1] (27)
    a_v = a_r_a_k_a_v[:, 2*D :]
    np.multiply(mu_v, x_, out=a_v)
    np.subtract(1, mu_v, out=work1)
    np.multiply(work1, x_t1, out=work1)
    np.add(a_v, work1, out=a_v)
    if narrow:
        _round(a_v, dtype)
    # W_r_a_r[t] = W_r @ a_r[t] (24)
    W_r_a_r = r
    matmul(a_r, W_r_T, out=W_r_a_r)
    if narrow:
        _round(W_r_a_r, dtype)
    # k[t] = W_k @ a_k[t] (key) (26)
    matmul(a_k, W_k_T, out=k)
    if narrow:
        _round(k, dtype)
    # v[t] = W_v @ a_v[t] (value) (28)
    matmul(a_v, W_v_T, out=v)
    if narrow:
        _round(v, dtype)
    # r[t] = sigmoid(W_r_a_r[t]) (receptance) (24)
    r_ = W_r_a_r
    np.subtract(0, W_r_a_r, out=r_)
    np.exp(r_, out=r_)
    np.add(r_, 1, out=r_)
    np.divide(1, r_, out=r_)
    if narrow:
        _round(r_, dtype)
    # a_g[t] = u + k[t] (29)
    np.add(u, k, out=a_g)
    if narrow:
        _round(a_g, dtype)

    samples = -1
    for t, n in enumerate(pack.counts):
        if n != samples:
            samples = n
            a_p_t = a_p[:n]
            a_a_t = exp_a_a_exp_exp_in_a[:n, : H]
            exp_in_a_t = exp_a_a_exp_exp_in_a[:n, H :]
            a_a_to_exp_in_a_t = exp_a_a_exp_exp_in_a[:n]
            exp_a_a_to_exp_exp_in_a_t = a_a_to_exp_in_a_t
            exp_a_a_t = a_a_t
            exp_exp_in_a_t = exp_in_a_t
            work1_t = work1_[:n]
        # a_p[t] = p[t-1] - exp_w (35)
        p_t1 = p[at_1_0[t]]
        np.subtract(p_t1, exp_w, out=a_p_t)
        # p[t] = maximum(a_p[t], k[t]) (carried exponent) (36)
        k_t = k[at_0[t]]
        p_t = p[at_1[t]]
        np.maximum(a_p_t, k_t, out=p_t)
        # a_a[t] = p[t-1] - exp_w - p[t] (37)
        np.subtract(p_t1, exp_w, out=a_a_t)
        np.subtract(a_a_t, p_t, out=a_a_t)
        # exp_in_a[t] = k[t] - p[t] (38)
        np.subtract(k_t, p_t, out=exp_in_a_t)
        # exp_a_a[t] = exp(a_a[t]) (39)
        # exp_exp_in_a[t] = exp(exp_in_a[t]) (39)
        np.exp(a_a_to_exp_in_a_t, out=exp_a_a_to_exp_exp_in_a_t)
        # a[t] = exp_a_a[t]*a[t-1] + exp_exp_in_a[t]*v[t] (numerator) (39)
        a_t1 = a[at_1_0[t]]
        v_t = v[at_0[t]]
        a_t = a[at_1[t]]
        np.multiply(exp_a_a_t, a_t1, out=a_t)
        np.multiply(exp_exp_in_a_t, v_t, out=work1_t)
        np.add(a_t, work1_t, out=a_t)
        # b[t] = exp_a_a[t]*b[t-1] + exp_exp_in_a[t] (denominator) (40)
        b_t1 = b[at_1_0[t]]
        b_t = b[at_1[t]]
        np.multiply(exp_a_a_t, b_t1, out=b_t)
        np.add(b_t, exp_exp_in_a_t, out=b_t)

    # g[t] = maximum(p[t-1], a_g[t]) (exponent of the present mean) (30)
    p_t1_ = p[pack.past(1, 0)]
    np.maximum(p_t1_, a_g, out=g)
    # a_n[t] = p[t-1] - g[t] (31)
    a_n = exp_a_n_exp_exp_in_n[:, : H]
    np.subtract(p_t1_, g, out=a_n)
    # exp_in_n[t] = u + k[t] - g[t] (32)
    exp_in_n = exp_a_n_exp_exp_in_n[:, H :]
    np.add(u, k, out=exp_in_n)
    np.subtract(exp_in_n, g, out=exp_in_n)
    # exp_a_n[t] = exp(a_n[t]) (33)
    # exp_exp_in_n[t] = exp(exp_in_n[t]) (33)
    a_n_to_exp_in_n = exp_a_n_exp_exp_in_n
    exp_a_n_to_exp_exp_in_n = a_n_to_exp_in_n
    np.exp(a_n_to_exp_in_n, out=exp_a_n_to_exp_exp_in_n)
    # n[t] = exp_a_n[t]*a[t-1] + exp_exp_in_n[t]*v[t] (present numerator) (33)
    exp_a_n = a_n
    a_t1_ = a[pack.past(1, 0)]
    exp_exp_in_n = exp_in_n
    np.multiply(exp_a_n, a_t1_, out=n_)
    np.multiply(exp_exp_in_n, v, out=work1_2)
    np.add(n_, work1_2, out=n_)
    # d[t] = exp_a_n[t]*b[t-1] + exp_exp_in_n[t] (present denominator) (34)
    b_t1_ = b[pack.past(1, 0)]
    d = a_y
    np.multiply(exp_a_n, b_t1_, out=d)
    np.add(d, exp_exp_in_n, out=d)
    # a_y[t] = r[t]*n[t]/d[t] (17)
    a_y_ = d
    np.divide(r, d, out=a_y_)
    np.multiply(n_, a_y_, out=a_y_)
    if narrow:
        _round(a_y_, dtype)
    # y[t] = W_o @ a_y[t] (output) (17)
    matmul(a_y_, W_o_T, out=y)
    if narrow:
        _round(y, dtype)

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
    tape = None
    if keep_tape:
        arrays = {
            "a": a,
            "b": b,
            "k": _as(k, dtype),
            "p": p,
            "r": _as(r, dtype),
            "v": _as(v, dtype),
            "x_rows": _as(x_rows, dtype),
        }
        tape = Tape(pack, params.sizes, dtype, arrays)
    return y, last, tape


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
    shape = _shape(("D",), params.sizes)
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
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    dy_rows = _as(pack.rows(dy), real)
    a = tape.arrays["a"]
    b = tape.arrays["b"]
    k = _as(tape.arrays["k"], real)
    p = tape.arrays["p"]
    r = _as(tape.arrays["r"], real)
    v = _as(tape.arrays["v"], real)
    x_ = _as(tape.arrays["x_rows"], real)
    memory = np.empty(max(pack.size * D, pack.size * 2*D), real)
    a_r = memory[: pack.size * D].reshape(pack.size, D)
    memory_ = np.empty(max(pack.size * H, pack.size * D), real)
    a_g = memory_[: pack.size * H].reshape(pack.size, H)
    memory_2 = np.empty(max(pack.size * H, pack.size * 2*H), real)
    g = memory_2[: pack.size * H].reshape(pack.size, H)
    memory_3 = np.empty(max(pack.size * 2*H, pack.size * 2*D, pack.size * D), real)
    exp_a_n_exp_exp_in_n_2 = memory_3[: pack.size * 2*H].reshape(pack.size, 2*H)
    n_ = memory_2[: pack.size * H].reshape(pack.size, H)
    memory_4 = np.empty(max(pack.size * H, pack.size * 2*H, pack.size * D), real)
    d = memory_4[: pack.size * H].reshape(pack.size, H)
    memory_5 = np.empty(max(pack.size * H, pack.size * D), real)
    a_y = memory_5[: pack.size * H].reshape(pack.size, H)
    dd = np.empty((pack.size, H), real)
    dn = np.empty((pack.size, H), real)
    dW_r_a_r = np.empty((pack.size, H), real)
    da_n_dexp_in_n = memory_2[: pack.size * 2*H].reshape(pack.size, 2*H)
    dg = np.empty((pack.size, H), real)
    da_g = np.empty((pack.size, H), real)
    du_each = np.empty((pack.size, H), real)
    dmu_r_each = np.empty((pack.size, D), real)
    a_p = np.empty((pack.size, H), real)
    db = np.empty((batch, H), real)
    da = np.empty((pack.size, H), real)
    exp_a_a = np.empty((batch, H), real)
    exp_exp_in_a = np.empty((pack.size, H), real)
    da_a_dexp_in_a = memory_4[: pack.size * 2*H].reshape(pack.size, 2*H)
    dp = np.empty((pack.size, H), real)
    da_p = np.empty((pack.size, H), real)
    a_k_a_v = memory[: pack.size * 2*D].reshape(pack.size, 2*D)
    dexp_w_each = memory_[: pack.size * H].reshape(pack.size, H)
    dv = memory_2[: pack.size * H].reshape(pack.size, H)
    dk = memory_5[: pack.size * H].reshape(pack.size, H)
    dmu_k_each_dmu_v_each = memory_3[: pack.size * 2*D].reshape(pack.size, 2*D)
    dx_ = np.empty((pack.size, D), real)
    da_y = dn
    da_v = memory_4[: pack.size * D].reshape(pack.size, D)
    da_k = memory_[: pack.size * D].reshape(pack.size, D)
    da_r = np.empty((pack.size, D), real)
    dx_via = np.zeros((pack.size + batch, D), real)
    dp_via = np.zeros((2 * batch, H), real)
    da_via = np.zeros((2 * batch, H), real)
    db_via = np.zeros((2 * batch, H), real)
    exp_w = np.empty((H,), real)
    dexp_w = np.empty((H,), real)
    work1 = memory_5[: pack.size * D].reshape(pack.size, D)
    work1_ = du_each
    work1_2 = np.empty((batch, H), real)
    work2 = dd
    dx_via_sent = memory_3[: pack.size * D].reshape(pack.size, D)
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
    W_k = params.stack("W_k", "W_k")
    dw = grads.stack("w", "w")
    dW_v = grads.stack("W_v", "W_v")
    W_v = params.stack("W_v", "W_v")
    dmu_k_to_dmu_v = grads.stack("mu_k", "mu_v")
    dx_via[pack.last(1, 1, True)] = pack.sort(given["x"]) if "x" in given else 0
    dp_via[pack.last(1, 1, False)] = pack.sort(given["p"]) if "p" in given else 0
    da_via[pack.last(1, 1, False)] = pack.sort(given["a"]) if "a" in given else 0
    db_via[pack.last(1, 1, False)] = pack.sort(given["b"]) if "b" in given else 0
    narrow = dtype.itemsize == 2
    matmul = _products(dtype)
    dexp_in_a = da_a_dexp_in_a[:, H :]
    da_a = da_a_dexp_in_a[:, : H]
    exp_a_n_ = exp_a_n_exp_exp_in_n_2[:, : H]
    da_n_ = da_n_dexp_in_n[:, : H]
    ones = np.ones((1, pack.size), real)

    # exp_w = exp(w) (35)
    np.exp(w, out=exp_w)
    # a_r[t] = mu_r*x[t] + (1 - mu_r)*x[t-1] (23)
    x_2 = x_[batch :]
    x_t1 = x_[pack.past(1, 0)]
    np.multiply(mu_r, x_2, out=a_r)
    np.subtract(1, mu_r, out=work1)
    np.multiply(work1, x_t1, out=work1)
    np.add(a_r, work1, out=a_r)
    if narrow:
        _round(a_r, dtype)
    # a_g[t] = u + k[t] (29)
    np.add(u, k, out=a_g)
    # g[t] = maximum(p[t-1], a_g[t]) (exponent of the present mean) (30)
    p_t1 = p[pack.past(1, 0)]
    np.maximum(p_t1, a_g, out=g)
    if narrow:
        _round(a_g, dtype)
    # a_n[t] = p[t-1] - g[t] (31)
    a_n = exp_a_n_exp_exp_in_n_2[:, : H]
    np.subtract(p_t1, g, out=a_n)
    # exp_in_n[t] = u + k[t] - g[t] (32)
    exp_in_n = exp_a_n_exp_exp_in_n_2[:, H :]
    np.add(u, k, out=exp_in_n)
    np.subtract(exp_in_n, g, out=exp_in_n)
    # exp_a_n[t] = exp(a_n[t]) (33)
    # exp_exp_in_n[t] = exp(exp_in_n[t]) (33)
    a_n_to_exp_in_n = exp_a_n_exp_exp_in_n_2
    exp_a_n_to_exp_exp_in_n = a_n_to_exp_in_n
    np.exp(a_n_to_exp_in_n, out=exp_a_n_to_exp_exp_in_n)
    # n[t] = exp_a_n[t]*a[t-1] + exp_exp_in_n[t]*v[t] (present numerator) (33)
    exp_a_n = a_n
    a_t1 = a[pack.past(1, 0)]
    exp_exp_in_n = exp_in_n
    np.multiply(exp_a_n, a_t1, out=n_)
    np.multiply(exp_exp_in_n, v, out=work1_)
    np.add(n_, work1_, out=n_)
    # d[t] = exp_a_n[t]*b[t-1] + exp_exp_in_n[t] (present denominator) (34)
    b_t1 = b[pack.past(1, 0)]
    np.multiply(exp_a_n, b_t1, out=d)
    np.add(d, exp_exp_in_n, out=d)
    if narrow:
        _round(exp_a_n_to_exp_exp_in_n, dtype)
    # a_y[t] = r[t]*n[t]/d[t] (17)
    np.multiply(r, n_, out=a_y)
    np.divide(a_y, d, out=a_y)
    if narrow:
        _round(a_y, dtype)
        _round(d, dtype)
        _round(n_, dtype)
    # da_y[t] = W_o.T @ dy[t] (97)
    np.matmul(dy_rows, W_o, out=da_y)
    if narrow:
        _round(da_y, dtype)
    # dd[t] = -da_y[t]*r[t]*n[t]/d[t]**2 (97)
    np.multiply(da_y, r, out=dd)
    np.multiply(dd, n_, out=dd)
    np.square(d, out=work1_)
    np.divide(dd, work1_, out=dd)
    np.multiply(dd, -1, out=dd)
    # dr[t] = da_y[t]*n[t]/d[t] (107)
    dr = dW_r_a_r
    np.multiply(da_y, n_, out=dr)
    np.divide(dr, d, out=dr)
    # dn[t] = da_y[t]*r[t]/d[t] (98)
    np.multiply(da_y, r, out=dn)
    np.divide(dn, d, out=dn)
    # dexp_exp_in_n[t] = dn[t]*v[t] + dd[t] (99)
    dexp_exp_in_n = da_n_dexp_in_n[:, H :]
    np.multiply(dn, v, out=dexp_exp_in_n)
    np.add(dexp_exp_in_n, dd, out=dexp_exp_in_n)
    # dexp_a_n[t] = dn[t]*a[t-1] + dd[t]*b[t-1] (100)
    dexp_a_n = da_n_dexp_in_n[:, : H]
    np.multiply(dn, a_t1, out=dexp_a_n)
    np.multiply(dd, b_t1, out=work1_)
    np.add(dexp_a_n, work1_, out=dexp_a_n)
    if narrow:
        _round(dd, dtype)
        _round(dn, dtype)
    # dW_r_a_r[t] = dr[t]*r[t]*(1 - r[t]) (108)
    dW_r_a_r_ = dr
    np.multiply(dr, r, out=dW_r_a_r_)
    np.subtract(1, r, out=work1_)
    np.multiply(dW_r_a_r_, work1_, out=dW_r_a_r_)
    if narrow:
        _round(dW_r_a_r_, dtype)
    # da_n[t] = dexp_a_n[t]*exp_a_n[t] (100)
    # dexp_in_n[t] = dexp_exp_in_n[t]*exp_exp_in_n[t] (99)
    dexp_a_n_to_dexp_exp_in_n = da_n_dexp_in_n
    da_n_to_dexp_in_n = dexp_a_n_to_dexp_exp_in_n
    np.multiply(dexp_a_n_to_dexp_exp_in_n, exp_a_n_to_exp_exp_in_n, out=da_n_to_dexp_in_n)
    # dg[t] = -da_n[t] - dexp_in_n[t] (101)
    da_n = dexp_a_n
    dexp_in_n = dexp_exp_in_n
    np.add(da_n, dexp_in_n, out=dg)
    np.multiply(dg, -1, out=dg)
    if narrow:
        _round(da_n, dtype)
    # da_g[t] = dg[t]*(greater(a_g[t], p[t-1])/2 + greater_equal(a_g[t], p[t-1])/2) (102)
    np.greater(a_g, p_t1, out=da_g)
    np.divide(da_g, 2, out=da_g)
    np.greater_equal(a_g, p_t1, out=work1_)
    np.divide(work1_, 2, out=work1_)
    np.add(da_g, work1_, out=da_g)
    np.multiply(dg, da_g, out=da_g)
    if narrow:
        _round(dg, dtype)
    # du_each[t] = da_g[t] + dexp_in_n[t] (126)
    np.add(da_g, dexp_in_n, out=du_each)
    if narrow:
        _round(da_g, dtype)
        _round(dexp_in_n, dtype)
        _round(du_each, dtype)
    # da_r[t] = W_r.T @ dW_r_a_r[t] (108)
    matmul(dW_r_a_r_, W_r, out=da_r)
    if narrow:
        _round(da_r, dtype)
    # dmu_r_each[t] = da_r[t]*(x[t] - x[t-1]) (121)
    np.subtract(x_2, x_t1, out=dmu_r_each)
    np.multiply(da_r, dmu_r_each, out=dmu_r_each)
    if narrow:
        _round(dmu_r_each, dtype)

    samples = -1
    for t, n in reversed(list(enumerate(pack.counts))):
        if n != samples:
            samples = n
            a_a_t = exp_a_a[:n]
            db_t = db[:n]
            exp_a_a_t = a_a_t
            work1_t = work1_2[:n]
        # a_p[t] = p[t-1] - exp_w (35)
        p_t1_ = p[at_1_0[t]]
        a_p_t = a_p[at_0[t]]
        np.subtract(p_t1_, exp_w, out=a_p_t)
        # a_a[t] = p[t-1] - exp_w - p[t] (37)
        p_t = p[at_1[t]]
        np.subtract(p_t1_, exp_w, out=a_a_t)
        np.subtract(a_a_t, p_t, out=a_a_t)
        # exp_in_a[t] = k[t] - p[t] (38)
        k_t = k[at_0[t]]
        exp_in_a_t = exp_exp_in_a[at_0[t]]
        np.subtract(k_t, p_t, out=exp_in_a_t)
        # db[t] = db_via[t+1] (89)
        db_via_next = db_via[ring_1[t]]
        np.copyto(db_t, db_via_next)
        # da[t] = da_via[t+1] (91)
        da_via_next = da_via[ring_1[t]]
        da_t = da[at_0[t]]
        np.copyto(da_t, da_via_next)
        # exp_a_a[t] = exp(a_a[t]) (39)
        np.exp(a_a_t, out=exp_a_a_t)
        # exp_exp_in_a[t] = exp(exp_in_a[t]) (39)
        exp_exp_in_a_t = exp_in_a_t
        np.exp(exp_in_a_t, out=exp_exp_in_a_t)
        # dexp_exp_in_a[t] = da[t]*v[t] + db[t] (92)
        v_t = v[at_0[t]]
        dexp_exp_in_a_t = dexp_in_a[at_0[t]]
        np.multiply(da_t, v_t, out=dexp_exp_in_a_t)
        np.add(dexp_exp_in_a_t, db_t, out=dexp_exp_in_a_t)
        # dexp_a_a[t] = da[t]*a[t-1] + db[t]*b[t-1] (93)
        a_t1_ = a[at_1_0[t]]
        b_t1_ = b[at_1_0[t]]
        dexp_a_a_t = da_a[at_0[t]]
        np.multiply(da_t, a_t1_, out=dexp_a_a_t)
        np.multiply(db_t, b_t1_, out=work1_t)
        np.add(dexp_a_a_t, work1_t, out=dexp_a_a_t)
        # da_via[t] = dn[t]*exp_a_n[t] + da[t]*exp_a_a[t] (91)
        dn_t = dn[at_0[t]]
        exp_a_n_t = exp_a_n_[at_0[t]]
        da_via_t = da_via[ring_1_0[t]]
        np.multiply(dn_t, exp_a_n_t, out=da_via_t)
        np.multiply(da_t, exp_a_a_t, out=work1_t)
        np.add(da_via_t, work1_t, out=da_via_t)
        if narrow:
            _round(da_t, dtype)
        # db_via[t] = dd[t]*exp_a_n[t] + db[t]*exp_a_a[t] (89)
        dd_t = dd[at_0[t]]
        db_via_t = db_via[ring_1_0[t]]
        np.multiply(dd_t, exp_a_n_t, out=db_via_t)
        np.multiply(db_t, exp_a_a_t, out=work1_t)
        np.add(db_via_t, work1_t, out=db_via_t)
        # dexp_in_a[t] = dexp_exp_in_a[t]*exp_exp_in_a[t] (92)
        dexp_in_a_t = dexp_exp_in_a_t
        np.multiply(dexp_exp_in_a_t, exp_exp_in_a_t, out=dexp_in_a_t)
        if narrow:
            _round(exp_exp_in_a_t, dtype)
        # da_a[t] = dexp_a_a[t]*exp_a_a[t] (93)
        da_a_t = dexp_a_a_t
        np.multiply(dexp_a_a_t, exp_a_a_t, out=da_a_t)
        # dp[t] = -da_a[t] - dexp_in_a[t] + dp_via[t+1] (95)
        dp_via_next = dp_via[ring_1[t]]
        dp_t = dp[at_0[t]]
        np.subtract(dp_via_next, da_a_t, out=dp_t)
        np.subtract(dp_t, dexp_in_a_t, out=dp_t)
        if narrow:
            _round(dexp_in_a_t, dtype)
        # da_p[t] = dp[t]*(greater(a_p[t], k[t])/2 + greater_equal(a_p[t], k[t])/2) (96)
        da_p_t = da_p[at_0[t]]
        np.greater(a_p_t, k_t, out=da_p_t)
        np.divide(da_p_t, 2, out=da_p_t)
        np.greater_equal(a_p_t, k_t, out=work1_t)
        np.divide(work1_t, 2, out=work1_t)
        np.add(da_p_t, work1_t, out=da_p_t)
        np.multiply(dp_t, da_p_t, out=da_p_t)
        if narrow:
            _round(a_p_t, dtype)
            _round(dp_t, dtype)
        # dp_via[t] = dg[t]*(greater(p[t-1], a_g[t])/2 + greater_equal(p[t-1], a_g[t])/2) + da_n[t] + da_p[t] + da_a[t]
        #     (95)
        dg_t = dg[at_0[t]]
        da_n_t = da_n_[at_0[t]]
        a_g_t = a_g[at_0[t]]
        dp_via_t = dp_via[ring_1_0[t]]
        np.greater(p_t1_, a_g_t, out=dp_via_t)
        np.divide(dp_via_t, 2, out=dp_via_t)
        np.greater_equal(p_t1_, a_g_t, out=work1_t)
        np.divide(work1_t, 2, out=work1_t)
        np.add(dp_via_t, work1_t, out=dp_via_t)
        np.multiply(dg_t, dp_via_t, out=dp_via_t)
        np.add(dp_via_t, da_n_t, out=dp_via_t)
        np.add(dp_via_t, da_p_t, out=dp_via_t)
        np.add(dp_via_t, da_a_t, out=dp_via_t)
        if narrow:
            _round(da_a_t, dtype)
            _round(da_p_t, dtype)

    # dW_r = sum of outer(dW_r_a_r[t], a_r[t]) (120)
    matmul(dW_r_a_r.T, _rounded(a_r, dtype), out=dW_r)
    # dW_o = sum of outer(dy[t], a_y[t]) (128)
    np.matmul(dy_rows.T, _rounded(a_y, dtype), out=dW_o)
    # dmu_r = sum of dmu_r_each[t] (121)
    np.matmul(ones, _rounded(dmu_r_each, dtype), out=dmu_r.reshape(1, -1))
    # du = sum of du_each[t] (126)
    np.matmul(ones, _rounded(du_each, dtype), out=du.reshape(1, -1))
    # a_k[t] = mu_k*x[t] + (1 - mu_k)*x[t-1] (25)
    x_3 = x_[batch :]
    x_t1_ = x_[pack.past(1, 0)]
    a_k = a_k_a_v[:, : D]
    np.multiply(mu_k, x_3, out=a_k)
    np.subtract(1, mu_k, out=work1)
    np.multiply(work1, x_t1_, out=work1)
    np.add(a_k, work1, out=a_k)
    if narrow:
        _round(a_k, dtype)
    # a_v[t] = mu_v*x[t] + (1 - mu_v)*x[t-1] (27)
    a_v = a_k_a_v[:, D :]
    np.multiply(mu_v, x_3, out=a_v)
    np.subtract(1, mu_v, out=work1)
    np.multiply(work1, x_t1_, out=work1)
    np.add(a_v, work1, out=a_v)
    if narrow:
        _round(a_v, dtype)
    # dexp_w_each[t] = -da_p[t] - da_a[t] (127)
    da_a_ = da_a_dexp_in_a[:, : H]
    np.add(da_p, da_a_, out=dexp_w_each)
    np.multiply(dexp_w_each, -1, out=dexp_w_each)
    if narrow:
        _round(dexp_w_each, dtype)
    # dk[t] = da_g[t] + dexp_in_n[t] + dp[t]*(greater(k[t], a_p[t])/2 + greater_equal(k[t], a_p[t])/2) + dexp_in_a[t]
    #     (105)
    dexp_in_n_ = da_n_dexp_in_n[:, H :]
    dexp_in_a_ = da_a_dexp_in_a[:, H :]
    np.add(da_g, dexp_in_n_, out=dk)
    np.greater(k, a_p, out=work1_)
    np.divide(work1_, 2, out=work1_)
    np.greater_equal(k, a_p, out=work2)
    np.divide(work2, 2, out=work2)
    np.add(work1_, work2, out=work1_)
    np.multiply(dp, work1_, out=work1_)
    np.add(dk, work1_, out=dk)
    np.add(dk, dexp_in_a_, out=dk)
    if narrow:
        _round(dk, dtype)
    # dexp_w = sum of dexp_w_each[t] (127)
    np.matmul(ones, _rounded(dexp_w_each, dtype), out=dexp_w.reshape(1, -1))
    # dW_k = sum of outer(dk[t], a_k[t]) (122)
    matmul(dk.T, _rounded(a_k, dtype), out=dW_k)
    # da_k[t] = W_k.T @ dk[t] (106)
    matmul(dk, W_k, out=da_k)
    if narrow:
        _round(da_k, dtype)
    # dw = dexp_w*exp_w (127)
    np.multiply(dexp_w, exp_w, out=dw)
    # dv[t] = dn[t]*exp_exp_in_n[t] + da[t]*exp_exp_in_a[t] (103)
    exp_exp_in_n_ = exp_a_n_exp_exp_in_n_2[:, H :]
    np.multiply(dn, exp_exp_in_n_, out=dv)
    np.multiply(da, exp_exp_in_a, out=work1_)
    np.add(dv, work1_, out=dv)
    if narrow:
        _round(dv, dtype)
    # dW_v = sum of outer(dv[t], a_v[t]) (124)
    matmul(dv.T, _rounded(a_v, dtype), out=dW_v)
    # da_v[t] = W_v.T @ dv[t] (104)
    matmul(dv, W_v, out=da_v)
    if narrow:
        _round(da_v, dtype)
    # dmu_k_each[t] = da_k[t]*(x[t] - x[t-1]) (123)
    dmu_k_each = dmu_k_each_dmu_v_each[:, : D]
    np.subtract(x_3, x_t1_, out=dmu_k_each)
    np.multiply(da_k, dmu_k_each, out=dmu_k_each)
    if narrow:
        _round(dmu_k_each, dtype)
    # dmu_v_each[t] = da_v[t]*(x[t] - x[t-1]) (125)
    dmu_v_each = dmu_k_each_dmu_v_each[:, D :]
    np.subtract(x_3, x_t1_, out=dmu_v_each)
    np.multiply(da_v, dmu_v_each, out=dmu_v_each)
    if narrow:
        _round(dmu_v_each, dtype)
    # dmu_k = sum of dmu_k_each[t] (123)
    # dmu_v = sum of dmu_v_each[t] (125)
    dmu_k_each_to_dmu_v_each = dmu_k_each_dmu_v_each
    np.matmul(ones, _rounded(dmu_k_each_to_dmu_v_each, dtype), out=dmu_k_to_dmu_v.reshape(1, -1))
    # dx_via[t] = da_r[t]*(1 - mu_r) + da_k[t]*(1 - mu_k) + da_v[t]*(1 - mu_v) (110)
    np.subtract(1, mu_r, out=dx_via_sent)
    np.multiply(da_r, dx_via_sent, out=dx_via_sent)
    np.subtract(1, mu_k, out=work1)
    np.multiply(da_k, work1, out=work1)
    np.add(dx_via_sent, work1, out=dx_via_sent)
    np.subtract(1, mu_v, out=work1)
    np.multiply(da_v, work1, out=work1)
    np.add(dx_via_sent, work1, out=dx_via_sent)
    if narrow:
        _round(dx_via_sent, dtype)
    dx_via[pack.past(1, 0)] = dx_via_sent
    if need_x:
        # dx[t] = da_r[t]*mu_r + da_k[t]*mu_k + da_v[t]*mu_v + dx_via[t+1] (110)
        dx_via_next = dx_via[batch :]
        np.multiply(da_r, mu_r, out=dx_)
        np.multiply(da_k, mu_k, out=work1)
        np.add(dx_, work1, out=dx_)
        np.multiply(da_v, mu_v, out=work1)
        np.add(dx_, work1, out=dx_)
        np.add(dx_, dx_via_next, out=dx_)
        if narrow:
            _round(dx_, dtype)

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
    a_r_a_k_a_v = np.empty((batch, 3*D), real)
    r = np.empty((batch, H), real)
    a_g = np.empty((batch, H), real)
    a_p = np.empty((batch, H), real)
    exp_a_a_exp_exp_in_a = np.empty((batch, 2*H), real)
    g = np.empty((batch, H), real)
    exp_a_n_exp_exp_in_n = np.empty((batch, 2*H), real)
    n_ = np.empty((batch, H), real)
    a_y = np.empty((batch, H), real)
    k = np.empty((batch, H), real)
    v = np.empty((batch, H), real)
    p = np.empty((batch, H), real)
    a = np.empty((batch, H), real)
    b = np.empty((batch, H), real)
    y = np.empty((batch, D), real)
    exp_w = np.empty((H,), real)
    work1 = np.empty((batch, D), real)
    work1_ = np.empty((batch, H), real)
    work1_2 = np.empty((batch, H), real)
    w = params.stack("w", "w")
    mu_r = params.stack("mu_r", "mu_r")
    mu_k = params.stack("mu_k", "mu_k")
    mu_v = params.stack("mu_v", "mu_v")
    u = params.stack("u", "u")
    x_before = np.empty((1, batch, D), real)
    p_before = np.empty((1, batch, H), real)
    a_before = np.empty((1, batch, H), real)
    b_before = np.empty((1, batch, H), real)
    x_t1 = x_before[0]
    narrow = dtype.itemsize == 2
    W_r_T = params.stack("W_r", "W_r").T
    matmul = _products(dtype)
    W_k_T = params.stack("W_k", "W_k").T
    W_v_T = params.stack("W_v", "W_v").T
    p_t1 = p_before[0]
    a_t1 = a_before[0]
    b_t1 = b_before[0]
    W_o_T = params.stack("W_o", "W_o").T

    @np.errstate(all="ignore")
    def run() -> tuple[Any, dict[str, Any]]:
        # exp_w = exp(w) (35)
        np.exp(w, out=exp_w)
        # a_r[t] = mu_r*x[t] + (1 - mu_r)*x[t-1] (23)
        a_r_t = a_r_a_k_a_v[:, : D]
        np.multiply(mu_r, x_t_, out=a_r_t)
        np.subtract(1, mu_r, out=work1)
        np.multiply(work1, x_t1, out=work1)
        np.add(a_r_t, work1, out=a_r_t)
        if narrow:
            _round(a_r_t, dtype)
        # a_k[t] = mu_k*x[t] + (1 - mu_k)*x[t-1] (25)
        a_k_t = a_r_a_k_a_v[:, D : 2*D]
        np.multiply(mu_k, x_t_, out=a_k_t)
        np.subtract(1, mu_k, out=work1)
        np.multiply(work1, x_t1, out=work1)
        np.add(a_k_t, work1, out=a_k_t)
        if narrow:
            _round(a_k_t, dtype)
        # a_v[t] = mu_v*x[t] + (1 - mu_v)*x[t-1] (27)
        a_v_t = a_r_a_k_a_v[:, 2*D :]
        np.multiply(mu_v, x_t_, out=a_v_t)
        np.subtract(1, mu_v, out=work1)
        np.multiply(work1, x_t1, out=work1)
        np.add(a_v_t, work1, out=a_v_t)
        if narrow:
            _round(a_v_t, dtype)
        # W_r_a_r[t] = W_r @ a_r[t] (24)
        W_r_a_r_t = r
        matmul(a_r_t, W_r_T, out=W_r_a_r_t)
        if narrow:
            _round(W_r_a_r_t, dtype)
        # k[t] = W_k @ a_k[t] (key) (26)
        matmul(a_k_t, W_k_T, out=k)
        if narrow:
            _round(k, dtype)
        # v[t] = W_v @ a_v[t] (value) (28)
        matmul(a_v_t, W_v_T, out=v)
        if narrow:
            _round(v, dtype)
        # r[t] = sigmoid(W_r_a_r[t]) (receptance) (24)
        r_t = W_r_a_r_t
        np.subtract(0, W_r_a_r_t, out=r_t)
        np.exp(r_t, out=r_t)
        np.add(r_t, 1, out=r_t)
        np.divide(1, r_t, out=r_t)
        if narrow:
            _round(r_t, dtype)
        # a_g[t] = u + k[t] (29)
        np.add(u, k, out=a_g)
        if narrow:
            _round(a_g, dtype)
        # a_p[t] = p[t-1] - exp_w (35)
        np.subtract(p_t1, exp_w, out=a_p)
        # p[t] = maximum(a_p[t], k[t]) (carried exponent) (36)
        np.maximum(a_p, k, out=p)
        # a_a[t] = p[t-1] - exp_w - p[t] (37)
        a_a_t = exp_a_a_exp_exp_in_a[:, : H]
        np.subtract(p_t1, exp_w, out=a_a_t)
        np.subtract(a_a_t, p, out=a_a_t)
        # exp_in_a[t] = k[t] - p[t] (38)
        exp_in_a_t = exp_a_a_exp_exp_in_a[:, H :]
        np.subtract(k, p, out=exp_in_a_t)
        # exp_a_a[t] = exp(a_a[t]) (39)
        # exp_exp_in_a[t] = exp(exp_in_a[t]) (39)
        a_a_to_exp_in_a_t = exp_a_a_exp_exp_in_a
        exp_a_a_to_exp_exp_in_a_t = a_a_to_exp_in_a_t
        np.exp(a_a_to_exp_in_a_t, out=exp_a_a_to_exp_exp_in_a_t)
        # a[t] = exp_a_a[t]*a[t-1] + exp_exp_in_a[t]*v[t] (numerator) (39)
        exp_a_a_t = a_a_t
        exp_exp_in_a_t = exp_in_a_t
        np.multiply(exp_a_a_t, a_t1, out=a)
        np.multiply(exp_exp_in_a_t, v, out=work1_)
        np.add(a, work1_, out=a)
        # b[t] = exp_a_a[t]*b[t-1] + exp_exp_in_a[t] (denominator) (40)
        np.multiply(exp_a_a_t, b_t1, out=b)
        np.add(b, exp_exp_in_a_t, out=b)
        # g[t] = maximum(p[t-1], a_g[t]) (exponent of the present mean) (30)
        np.maximum(p_t1, a_g, out=g)
        # a_n[t] = p[t-1] - g[t] (31)
        a_n_t = exp_a_n_exp_exp_in_n[:, : H]
        np.subtract(p_t1, g, out=a_n_t)
        # exp_in_n[t] = u + k[t] - g[t] (32)
        exp_in_n_t = exp_a_n_exp_exp_in_n[:, H :]
        np.add(u, k, out=exp_in_n_t)
        np.subtract(exp_in_n_t, g, out=exp_in_n_t)
        # exp_a_n[t] = exp(a_n[t]) (33)
        # exp_exp_in_n[t] = exp(exp_in_n[t]) (33)
        a_n_to_exp_in_n_t = exp_a_n_exp_exp_in_n
        exp_a_n_to_exp_exp_in_n_t = a_n_to_exp_in_n_t
        np.exp(a_n_to_exp_in_n_t, out=exp_a_n_to_exp_exp_in_n_t)
        # n[t] = exp_a_n[t]*a[t-1] + exp_exp_in_n[t]*v[t] (present numerator) (33)
        exp_a_n_t = a_n_t
        exp_exp_in_n_t = exp_in_n_t
        np.multiply(exp_a_n_t, a_t1, out=n_)
        np.multiply(exp_exp_in_n_t, v, out=work1_2)
        np.add(n_, work1_2, out=n_)
        # d[t] = exp_a_n[t]*b[t-1] + exp_exp_in_n[t] (present denominator) (34)
        d_t = a_y
        np.multiply(exp_a_n_t, b_t1, out=d_t)
        np.add(d_t, exp_exp_in_n_t, out=d_t)
        # a_y[t] = r[t]*n[t]/d[t] (17)
        a_y_t = d_t
        np.divide(r_t, d_t, out=a_y_t)
        np.multiply(n_, a_y_t, out=a_y_t)
        if narrow:
            _round(a_y_t, dtype)
        # y[t] = W_o @ a_y[t] (output) (17)
        matmul(a_y_t, W_o_T, out=y)
        if narrow:
            _round(y, dtype)

        state = {
            "x": x_t_.copy(),
            "p": p.copy(),
            "a": a.copy(),
            "b": b.copy(),
        }
        return y.copy(), state

    inputs = [
        ("x", x_t_),
    ]
    states = [
        ("x", x_before[0], 0),
        ("p", p_before[0], 0),
        ("a", a_before[0], 0),
        ("b", b_before[0], 0),
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
            wide[...] = own
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
    shape = _shape(("D",), params.sizes)
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
    y = item * length * batch * math.prod(_shape(("D",), params.sizes))
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
    untaped = real * (rows * (D + 7*H) + batch * (D + 6*H)) + 488 * steps
    untaped += real * (H)
    untaped += real * rows * max(3*D, 2*H)
    untaped += real * rows * max(H, D)
    taped = real * (rows * (D + 7*H) + batch * (D + 6*H)) + 488 * steps
    taped += real * (H)
    taped += real * rows * max(3*D, 2*H)
    taped += real * rows * max(H, D)
    back = item * (rows * (D + 3*H) + batch * D) + 1016 * steps
    back += real * (rows * (5*D + 16*H + 1) + batch * (D + 12*H))
    back += real * (2*H)
    back += 2 * real * rows * max(H, D)
    back += real * rows * max(2*H, 2*D)
    back += real * rows * max(2*H, D)
    if item < 4:
        untaped += real * (rows * D)
        untaped += real * (3*D + 4*D*H + 2*H)
        untaped += real * rows * max(2*D, 2*H)
        untaped += item * rows * max(D, H)
        taped += item * (rows * (D + 3*H) + batch * D)
        taped += real * (rows * D)
        taped += real * (3*D + 4*D*H + 2*H)
        taped += real * rows * max(2*D, 2*H)
        taped += item * rows * max(D, H)
        back += real * (rows * (3*D + 3*H) + batch * D)
        back += real * (6*D + 8*D*H + 4*H)
        back += real * rows * max(2*H, 4*D)
        back += item * rows * max(D, 2*H)
    if uneven:
        untaped += rows * (real * (2*D + 3*H) + 40)
        taped += rows * (real * (2*D + 3*H) + 40)
        back += rows * (real * (4*D + 3*H) + 48)
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


def _products(dtype: Any) -> Callable[..., Any]:
    """``np.matmul``; where numbers are kept in 16 bits, one whose left operand is rounded to these first."""
    if dtype == _real(dtype):
        return np.matmul

    def matmul(left: Any, right: Any, out: Any) -> Any:
        return np.matmul(_rounded(left, dtype), right, out=out)

    return matmul


def _rounded(array: Any, dtype: Any) -> Any:
    """An array's numbers rounded to a type: itself where it is of that type, else a copy."""
    return array if array.dtype == dtype else array.astype(dtype).astype(array.dtype)
