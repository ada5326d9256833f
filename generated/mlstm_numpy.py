"""Matrix LSTM

Beck, Pöppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter & Hochreiter (2024), xLSTM: extended long
short-term memory, equations 19 to 27, stabilised as in 15 to 17. The memory C stores values H long under keys K long;
m keeps the exponential gate within range and leaves h as it would be without. One head; the factor 1/√K of the keys is
part of W_k and b_k; the block around the cell (projections, convolution, norm) is left out.

The cell mlstm as NumPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive mlstm``.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

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
STAMP = "7548ee1c29f1b6d6"


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
    rows = pack.sequence(_as(rows, dtype), _shape(("H",), params.sizes), False)
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
    K = params.sizes["K"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)
    kept_1_0 = pack.slots(1, 0, keep_tape)
    kept_1 = pack.slots(1, 1, keep_tape)

    x_rows = _as(pack.rows(inputs["x"]), real)
    a_l_v_o_a_k_q = np.empty((pack.size, 2*H + 2*K + 2), real)
    memory = np.empty(max(pack.size, pack.size * K), real)
    l = memory[: pack.size].reshape(pack.size, 1)
    memory_ = np.empty(max(batch, batch * H*K, batch * K), real)
    a_m = memory_[: batch].reshape(batch, 1)
    i_f = np.empty((batch, 2), real)
    product_n = memory[: pack.size * K].reshape(pack.size, K)
    dot_n = np.empty((pack.size, 1), real)
    exp_a_h = memory[: pack.size].reshape(pack.size, 1)
    abs_dot_n = np.empty((pack.size, 1), real)
    maximum_abs_dot_n = memory[: pack.size].reshape(pack.size, 1)
    h = np.empty((pack.size, H), real)
    m = np.empty((pack.size + batch, 1), real)
    C = np.empty((pack.size + batch if keep_tape else 2 * batch, H*K), real)
    n_ = np.empty((pack.size + batch, K), real)
    C_q = np.empty((pack.size, H), real)
    work1 = memory_[: batch * H*K].reshape(batch, H*K)
    work1_ = memory_[: batch * K].reshape(batch, K)
    b_k_to_b_q = params.stack("b_k", "b_q")
    b_v_to_b_o = params.stack("b_v", "b_o")
    b_i = params.stack("b_i", "b_i")
    b_f = params.stack("b_f", "b_f")
    m[pack.first(1)] = pack.sort(given["m"]) if "m" in given else 0
    C[pack.first(1)] = pack.sort(given["C"]) if "C" in given else 0
    n_[pack.first(1)] = pack.sort(given["n"]) if "n" in given else 0
    w_f_to_W_q_T = params.stack("w_f", "W_q").T
    narrow = dtype.itemsize == 2
    a_ = a_l_v_o_a_k_q[:, 2*H + 1 : 2*H + 2]
    C_HxK = C.reshape(-1, H, K)
    v_Hx1 = a_l_v_o_a_k_q[:, 1 : H + 1].reshape(-1, H, 1)
    k_1xK = a_l_v_o_a_k_q[:, 2*H + 2 : 2*H + K + 2].reshape(-1, 1, K)
    k = a_l_v_o_a_k_q[:, 2*H + 2 : 2*H + K + 2]
    C_q_Hx1 = C_q.reshape(-1, H, 1)
    q_Kx1 = a_l_v_o_a_k_q[:, 2*H + K + 2 :].reshape(-1, K, 1)

    # w_f_x[t] = w_f @ x[t] (25)
    # W_v_x[t] = W_v @ x[t] (9)
    # W_o_x[t] = W_o @ x[t] (27)
    # w_i_x[t] = w_i @ x[t] (10)
    # W_k_x[t] = W_k @ x[t] (8)
    # W_q_x[t] = W_q @ x[t] (7)
    w_f_x_to_W_q_x = a_l_v_o_a_k_q
    np.matmul(x_rows, w_f_to_W_q_T, out=w_f_x_to_W_q_x)
    if narrow:
        _round(w_f_x_to_W_q_x, dtype)
    # k[t] = W_k_x[t] + b_k (key) (8)
    # q[t] = W_q_x[t] + b_q (query) (7)
    W_k_x_to_W_q_x = a_l_v_o_a_k_q[:, 2*H + 2 :]
    k_to_q = W_k_x_to_W_q_x
    np.add(W_k_x_to_W_q_x, b_k_to_b_q, out=k_to_q)
    if narrow:
        _round(k_to_q, dtype)
    # v[t] = W_v_x[t] + b_v (value) (9)
    # a_o[t] = W_o_x[t] + b_o (27)
    W_v_x_to_W_o_x = a_l_v_o_a_k_q[:, 1 : 2*H + 1]
    v_to_a_o = W_v_x_to_W_o_x
    np.add(W_v_x_to_W_o_x, b_v_to_b_o, out=v_to_a_o)
    if narrow:
        v = a_l_v_o_a_k_q[:, 1 : H + 1]
        _round(v, dtype)
    # a[t] = w_i_x[t] + b_i (logarithm of the input gate) (10)
    w_i_x = a_l_v_o_a_k_q[:, 2*H + 1 : 2*H + 2]
    a = w_i_x
    np.add(w_i_x, b_i, out=a)
    if narrow:
        _round(a, dtype)
    # a_l[t] = -w_f_x[t] - b_f (25)
    w_f_x = a_l_v_o_a_k_q[:, : 1]
    a_l = w_f_x
    np.add(w_f_x, b_f, out=a_l)
    np.multiply(a_l, -1, out=a_l)
    # o[t] = sigmoid(a_o[t]) (output gate) (27)
    a_o = a_l_v_o_a_k_q[:, H + 1 : 2*H + 1]
    o = a_o
    np.subtract(0, a_o, out=o)
    np.exp(o, out=o)
    np.add(o, 1, out=o)
    np.divide(1, o, out=o)
    if narrow:
        _round(o, dtype)
    # softplus_a_l[t] = softplus(a_l[t]) (25)
    softplus_a_l = l
    _in_parts(_softplus, a_l, softplus_a_l)
    if narrow:
        _round(a_l, dtype)
    # l[t] = -softplus_a_l[t] (logarithm of the forget gate) (25)
    l_ = softplus_a_l
    np.multiply(softplus_a_l, -1, out=l_)
    if narrow:
        _round(l_, dtype)

    samples = -1
    for t, n in enumerate(pack.counts):
        if n != samples:
            samples = n
            a_m_t = a_m[:n]
            a_i_t = i_f[:n, : 1]
            a_f_t = i_f[:n, 1 :]
            a_i_to_a_f_t = i_f[:n]
            i_to_f_t = a_i_to_a_f_t
            f_t = i_f[:n, 1 :].reshape(-1, 1, 1)
            i_t = i_f[:n, : 1].reshape(-1, 1, 1)
            work1_t = work1[:n].reshape(-1, H, K)
            f_t_ = a_f_t
            i_t_ = a_i_t
            work1_t_ = work1_[:n]
        # a_m[t] = l[t] + m[t-1] (29)
        l_t = l[at_0[t]]
        m_t1 = m[at_1_0[t]]
        np.add(l_t, m_t1, out=a_m_t)
        # m[t] = maximum(a_m[t], a[t]) (stabiliser) (29)
        a_t = a_[at_0[t]]
        m_t = m[at_1[t]]
        np.maximum(a_m_t, a_t, out=m_t)
        # a_i[t] = a[t] - m[t] (31)
        np.subtract(a_t, m_t, out=a_i_t)
        # a_f[t] = l[t] + m[t-1] - m[t] (33)
        np.add(l_t, m_t1, out=a_f_t)
        np.subtract(a_f_t, m_t, out=a_f_t)
        # i[t] = exp(a_i[t]) (stabilised input gate) (31)
        # f[t] = exp(a_f[t]) (stabilised forget gate) (33)
        np.exp(a_i_to_a_f_t, out=i_to_f_t)
        # C[t] = f[t]*C[t-1] + i[t]*v[t][:,None]*k[t][None,:] (memory) (16)
        C_t1 = C_HxK[kept_1_0[t]]
        v_t = v_Hx1[at_0[t]]
        k_t = k_1xK[at_0[t]]
        C_t = C_HxK[kept_1[t]]
        np.multiply(f_t, C_t1, out=C_t)
        np.multiply(i_t, v_t, out=work1_t)
        np.multiply(work1_t, k_t, out=work1_t)
        np.add(C_t, work1_t, out=C_t)
        # n[t] = f[t]*n[t-1] + i[t]*k[t] (normaliser) (17)
        n_t1 = n_[at_1_0[t]]
        k_t_ = k[at_0[t]]
        n_t = n_[at_1[t]]
        np.multiply(f_t_, n_t1, out=n_t)
        np.multiply(i_t_, k_t_, out=work1_t_)
        np.add(n_t, work1_t_, out=n_t)
        # C_q[t] = C[t] @ q[t] (37)
        C_q_t = C_q_Hx1[at_0[t]]
        q_t = q_Kx1[at_0[t]]
        np.matmul(C_t, q_t, out=C_q_t)
        if narrow:
            C_q_t_ = C_q[at_0[t]]
            _round(C_q_t_, dtype)

    # product_n[t] = n[t]*q[t] (37)
    n_2 = n_[batch :]
    q = a_l_v_o_a_k_q[:, 2*H + K + 2 :]
    np.multiply(n_2, q, out=product_n)
    # dot_n[t] = sum(product_n[t]) (37)
    np.add.reduce(product_n, axis=1, keepdims=True, out=dot_n)
    # a_h[t] = -m[t] (37)
    m_ = m[batch :]
    a_h = exp_a_h
    np.multiply(m_, -1, out=a_h)
    # exp_a_h[t] = exp(a_h[t]) (37)
    exp_a_h_ = a_h
    np.exp(a_h, out=exp_a_h_)
    # abs_dot_n[t] = abs(dot_n[t]) (37)
    np.absolute(dot_n, out=abs_dot_n)
    if narrow:
        _round(dot_n, dtype)
    # maximum_abs_dot_n[t] = maximum(abs_dot_n[t], exp_a_h[t]) (37)
    np.maximum(abs_dot_n, exp_a_h_, out=maximum_abs_dot_n)
    # h[t] = o[t]*C_q[t]/maximum_abs_dot_n[t] (hidden state) (37)
    o_ = a_l_v_o_a_k_q[:, H + 1 : 2*H + 1]
    np.multiply(o_, C_q, out=h)
    np.divide(h, maximum_abs_dot_n, out=h)
    if narrow:
        _round(h, dtype)

    m_last = m[pack.last(1, 1, True)]
    C_last = C[pack.last(1, 1, keep_tape)]
    n_last = n_[pack.last(1, 1, True)]

    last = {
        "m": pack.unsort(m_last)[0],
        "C": pack.unsort(C_last).reshape(batch, H, K),
        "n": pack.unsort(n_last)[0],
    }
    tape = None
    if keep_tape:
        arrays = {
            "C": C,
            "C_q": _as(C_q, dtype),
            "a_l_v_o_a_k_q": _as(a_l_v_o_a_k_q, dtype),
            "dot_n": _as(dot_n, dtype),
            "n_": n_,
            "x_rows": _as(x_rows, dtype),
            "m": m,
        }
        tape = Tape(pack, params.sizes, dtype, arrays)
    return h, last, tape


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
    K = params.sizes["K"]
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    dy_rows = _as(pack.rows(dy), real)
    C = tape.arrays["C"]
    C_q = _as(tape.arrays["C_q"], real)
    a_l_v_o_a_k_q = _as(tape.arrays["a_l_v_o_a_k_q"], real)
    dot_n = _as(tape.arrays["dot_n"], real)
    n_ = tape.arrays["n_"]
    x_ = _as(tape.arrays["x_rows"], real)
    m = tape.arrays["m"]
    memory = np.empty(max(pack.size * (2*H + 2*K + 2), pack.size * H), real)
    dw_f_x_dv_da_o_da_dk_dq = memory[: pack.size * (2*H + 2*K + 2)].reshape(pack.size, 2*H + 2*K + 2)
    memory_ = np.empty(max(pack.size, pack.size * K, pack.size * H), real)
    abs_dot_n = memory_[: pack.size].reshape(pack.size, 1)
    dmaximum_abs_dot_n_each = memory[: pack.size * H].reshape(pack.size, H)
    memory_2 = np.empty(max(pack.size, pack.size * H, pack.size * K), real)
    exp_a_h = memory_2[: pack.size].reshape(pack.size, 1)
    memory_3 = np.empty(max(pack.size, pack.size * H), real)
    dmaximum_abs_dot_n_sum = memory_3[: pack.size].reshape(pack.size, 1)
    memory_4 = np.empty(max(pack.size, pack.size * K), real)
    maximum_abs_dot_n = memory_4[: pack.size].reshape(pack.size, 1)
    memory_5 = np.empty(max(pack.size, pack.size * 2), real)
    dmaximum_abs_dot_n = memory_5[: pack.size].reshape(pack.size, 1)
    dC_q = memory_3[: pack.size * H].reshape(pack.size, H)
    da_h = np.empty((pack.size, 1), real)
    ddot_n = np.empty((pack.size, 1), real)
    dn = memory_[: pack.size * K].reshape(pack.size, K)
    memory_6 = np.empty(max(batch * H*K, batch * H, batch), real)
    dC = memory_6[: batch * H*K].reshape(batch, H*K)
    memory_7 = np.empty(max(batch, batch * 4), real)
    l = memory_7[: batch].reshape(batch, 1)
    i = np.empty((pack.size, 1), real)
    df_each = np.empty((batch, H*K), real)
    df_each_2 = np.empty((batch, K), real)
    di_each_2 = np.empty((batch, K), real)
    a_m = np.empty((pack.size, 1), real)
    df_sum_to_di_sum = memory_7[: batch * 4].reshape(batch, 4)
    di_each = memory_6[: batch * H].reshape(batch, H)
    f = np.empty((batch, 1), real)
    da_i_da_f = memory_5[: pack.size * 2].reshape(pack.size, 2)
    dm = np.empty((pack.size, 1), real)
    da_m = np.empty((pack.size, 1), real)
    di_along = memory_2[: pack.size * H].reshape(pack.size, H)
    dk_along = memory_4[: pack.size * K].reshape(pack.size, K)
    dx_ = np.empty((pack.size, D), real)
    dm_via = np.zeros((2 * batch, 1), real)
    dC_via = np.zeros((2 * batch, H*K), real)
    dn_via = np.zeros((2 * batch, K), real)
    work1 = da_m
    work1_ = memory_[: pack.size * H].reshape(pack.size, H)
    work1_2 = memory_2[: pack.size * K].reshape(pack.size, K)
    work1_3 = memory_6[: batch].reshape(batch, 1)
    db_f = grads.stack("b_f", "b_f")
    w_f_to_W_q = params.stack("w_f", "W_q")
    dw_f_to_dW_q = grads.stack("w_f", "W_q")
    db_k_to_db_q = grads.stack("b_k", "b_q")
    db_v_to_db_i = grads.stack("b_v", "b_i")
    dm_via[pack.last(1, 1, False)] = pack.sort(given["m"]) if "m" in given else 0
    dC_via[pack.last(1, 1, False)] = pack.sort(given["C"]) if "C" in given else 0
    dn_via[pack.last(1, 1, False)] = pack.sort(given["n"]) if "n" in given else 0
    narrow = dtype.itemsize == 2
    a_l = a_l_v_o_a_k_q[:, : 1]
    a = a_l_v_o_a_k_q[:, 2*H + 1 : 2*H + 2]
    q = a_l_v_o_a_k_q[:, 2*H + K + 2 :]
    dC_q_Hx1 = dC_q.reshape(-1, H, 1)
    q_1xK = a_l_v_o_a_k_q[:, 2*H + K + 2 :].reshape(-1, 1, K)
    dC_via_HxK = dC_via.reshape(-1, H, K)
    k = a_l_v_o_a_k_q[:, 2*H + 2 : 2*H + K + 2]
    da_f = da_i_da_f[:, 1 :]
    di_along_Hx1 = di_along.reshape(-1, H, 1)
    k_Kx1 = a_l_v_o_a_k_q[:, 2*H + 2 : 2*H + K + 2].reshape(-1, K, 1)
    dk_along_Kx1 = dk_along.reshape(-1, K, 1)
    v_Hx1 = a_l_v_o_a_k_q[:, 1 : H + 1].reshape(-1, H, 1)
    v = a_l_v_o_a_k_q[:, 1 : H + 1]
    da_i = da_i_da_f[:, : 1]
    ones = np.ones((1, pack.size), real)
    matmul = _products(dtype)

    # abs_dot_n[t] = abs(dot_n[t]) (37)
    np.absolute(dot_n, out=abs_dot_n)
    # a_h[t] = -m[t] (37)
    m_ = m[batch :]
    a_h = exp_a_h
    np.multiply(m_, -1, out=a_h)
    # exp_a_h[t] = exp(a_h[t]) (37)
    exp_a_h_ = a_h
    np.exp(a_h, out=exp_a_h_)
    # dmaximum_abs_dot_n_each[t] = dy[t]*o[t]*C_q[t] (82)
    o = a_l_v_o_a_k_q[:, H + 1 : 2*H + 1]
    np.multiply(dy_rows, o, out=dmaximum_abs_dot_n_each)
    np.multiply(dmaximum_abs_dot_n_each, C_q, out=dmaximum_abs_dot_n_each)
    # dmaximum_abs_dot_n_sum[t] = sum(dmaximum_abs_dot_n_each[t]) (82)
    np.add.reduce(dmaximum_abs_dot_n_each, axis=1, keepdims=True, out=dmaximum_abs_dot_n_sum)
    # maximum_abs_dot_n[t] = maximum(abs_dot_n[t], exp_a_h[t]) (37)
    np.maximum(abs_dot_n, exp_a_h_, out=maximum_abs_dot_n)
    # dmaximum_abs_dot_n[t] = -dmaximum_abs_dot_n_sum[t]/maximum_abs_dot_n[t]**2 (82)
    np.square(maximum_abs_dot_n, out=dmaximum_abs_dot_n)
    np.divide(dmaximum_abs_dot_n_sum, dmaximum_abs_dot_n, out=dmaximum_abs_dot_n)
    np.multiply(dmaximum_abs_dot_n, -1, out=dmaximum_abs_dot_n)
    # dC_q[t] = dy[t]*o[t]/maximum_abs_dot_n[t] (84)
    np.multiply(dy_rows, o, out=dC_q)
    np.divide(dC_q, maximum_abs_dot_n, out=dC_q)
    if narrow:
        _round(dC_q, dtype)
    # do[t] = dy[t]*C_q[t]/maximum_abs_dot_n[t] (92)
    do = dw_f_x_dv_da_o_da_dk_dq[:, H + 1 : 2*H + 1]
    np.multiply(dy_rows, C_q, out=do)
    np.divide(do, maximum_abs_dot_n, out=do)
    # dexp_a_h[t] = dmaximum_abs_dot_n[t]*(greater(exp_a_h[t], abs_dot_n[t])/2 + greater_equal(exp_a_h[t],
    #     abs_dot_n[t])/2) (90)
    dexp_a_h = da_h
    np.greater(exp_a_h_, abs_dot_n, out=dexp_a_h)
    np.divide(dexp_a_h, 2, out=dexp_a_h)
    np.greater_equal(exp_a_h_, abs_dot_n, out=work1)
    np.divide(work1, 2, out=work1)
    np.add(dexp_a_h, work1, out=dexp_a_h)
    np.multiply(dmaximum_abs_dot_n, dexp_a_h, out=dexp_a_h)
    # dabs_dot_n[t] = dmaximum_abs_dot_n[t]*(greater(abs_dot_n[t], exp_a_h[t])/2 + greater_equal(abs_dot_n[t],
    #     exp_a_h[t])/2) (82)
    dabs_dot_n = ddot_n
    np.greater(abs_dot_n, exp_a_h_, out=dabs_dot_n)
    np.divide(dabs_dot_n, 2, out=dabs_dot_n)
    np.greater_equal(abs_dot_n, exp_a_h_, out=work1)
    np.divide(work1, 2, out=work1)
    np.add(dabs_dot_n, work1, out=dabs_dot_n)
    np.multiply(dmaximum_abs_dot_n, dabs_dot_n, out=dabs_dot_n)
    # da_h[t] = dexp_a_h[t]*exp_a_h[t] (90)
    da_h_ = dexp_a_h
    np.multiply(dexp_a_h, exp_a_h_, out=da_h_)
    if narrow:
        _round(da_h_, dtype)
    # dq_back[t] = C[t].T @ dC_q[t] (99)
    dq_back = dw_f_x_dv_da_o_da_dk_dq[:, 2*H + K + 2 :].reshape(-1, K, 1)
    C_ = C[batch :].reshape(-1, H, K)
    dC_q_ = dC_q.reshape(-1, H, 1)
    np.matmul(C_.transpose(0, 2, 1), dC_q_, out=dq_back)
    # da_o[t] = do[t]*o[t]*(1 - o[t]) (100)
    da_o = do
    np.multiply(do, o, out=da_o)
    np.subtract(1, o, out=work1_)
    np.multiply(da_o, work1_, out=da_o)
    if narrow:
        _round(da_o, dtype)
    # ddot_n[t] = dabs_dot_n[t]*sign(dot_n[t]) (82)
    ddot_n_ = dabs_dot_n
    np.sign(dot_n, out=work1)
    np.multiply(dabs_dot_n, work1, out=ddot_n_)
    # dq[t] = ddot_n[t]*n[t] + dq_back[t] (99)
    dq_back_ = dw_f_x_dv_da_o_da_dk_dq[:, 2*H + K + 2 :]
    n_2 = n_[batch :]
    dq = dq_back_
    np.multiply(ddot_n_, n_2, out=work1_2)
    np.add(work1_2, dq_back_, out=dq)
    if narrow:
        _round(ddot_n_, dtype)
        _round(dq, dtype)

    samples = -1
    for t, n in reversed(list(enumerate(pack.counts))):
        if n != samples:
            samples = n
            softplus_a_l_t = l[:n]
            dC_t = dC[:n].reshape(-1, H, K)
            l_t = softplus_a_l_t
            df_each_2_t = df_each_2[:n]
            di_each_2_t = di_each_2[:n]
            dC_t_ = dC[:n]
            df_each_t = df_each[:n]
            a_f_t = f[:n]
            df_sum_2_t = df_sum_to_di_sum[:n, 1 : 2]
            di_sum_2_t = df_sum_to_di_sum[:n, 2 : 3]
            df_sum_t = df_sum_to_di_sum[:n, : 1]
            f_t = a_f_t
            di_each_t = di_each[:n]
            di_sum_t = df_sum_to_di_sum[:n, 3 :]
            work1_t = work1_3[:n]
        # softplus_a_l[t] = softplus(a_l[t]) (25)
        a_l_t = a_l[at_0[t]]
        _in_parts(_softplus, a_l_t, softplus_a_l_t)
        # a_i[t] = a[t] - m[t] (31)
        a_t = a[at_0[t]]
        m_t = m[at_1[t]]
        a_i_t = i[at_0[t]]
        np.subtract(a_t, m_t, out=a_i_t)
        # dn[t] = ddot_n[t]*q[t] + dn_via[t+1] (82)
        ddot_n_t = ddot_n[at_0[t]]
        dn_via_next = dn_via[ring_1[t]]
        q_t = q[at_0[t]]
        dn_t = dn[at_0[t]]
        np.multiply(ddot_n_t, q_t, out=dn_t)
        np.add(dn_t, dn_via_next, out=dn_t)
        # dC[t] = dC_q[t][:,None]*q[t][None,:] + dC_via[t+1] (84)
        dC_q_t = dC_q_Hx1[at_0[t]]
        q_t_ = q_1xK[at_0[t]]
        dC_via_next = dC_via_HxK[ring_1[t]]
        np.multiply(dC_q_t, q_t_, out=dC_t)
        np.add(dC_t, dC_via_next, out=dC_t)
        # l[t] = -softplus_a_l[t] (logarithm of the forget gate) (25)
        np.multiply(softplus_a_l_t, -1, out=l_t)
        # i[t] = exp(a_i[t]) (stabilised input gate) (31)
        i_t = a_i_t
        np.exp(a_i_t, out=i_t)
        # df_each_2[t] = dn[t]*n[t-1] (85)
        n_t1 = n_[at_1_0[t]]
        np.multiply(dn_t, n_t1, out=df_each_2_t)
        # di_each_2[t] = dn[t]*k[t] (87)
        k_t = k[at_0[t]]
        np.multiply(dn_t, k_t, out=di_each_2_t)
        # df_each[t] = dC[t]*C[t-1] (85)
        C_t1 = C[at_1_0[t]]
        np.multiply(dC_t_, C_t1, out=df_each_t)
        # a_m[t] = l[t] + m[t-1] (29)
        m_t1 = m[at_1_0[t]]
        a_m_t = a_m[at_0[t]]
        np.add(l_t, m_t1, out=a_m_t)
        # a_f[t] = l[t] + m[t-1] - m[t] (33)
        np.add(l_t, m_t1, out=a_f_t)
        np.subtract(a_f_t, m_t, out=a_f_t)
        # df_sum_2[t] = sum(df_each_2[t]) (85)
        np.add.reduce(df_each_2_t, axis=1, keepdims=True, out=df_sum_2_t)
        # di_sum_2[t] = sum(di_each_2[t]) (87)
        np.add.reduce(di_each_2_t, axis=1, keepdims=True, out=di_sum_2_t)
        # df_sum[t] = sum(df_each[t]) (85)
        np.add.reduce(df_each_t, axis=1, keepdims=True, out=df_sum_t)
        # f[t] = exp(a_f[t]) (stabilised forget gate) (33)
        np.exp(a_f_t, out=f_t)
        # df[t] = df_sum[t] + df_sum_2[t] (85)
        df_t = da_f[at_0[t]]
        np.add(df_sum_t, df_sum_2_t, out=df_t)
        # dC_via[t] = dC[t]*f[t] (84)
        dC_via_t = dC_via[ring_1_0[t]]
        np.multiply(dC_t_, f_t, out=dC_via_t)
        # di_along[t] = dC[t] @ k[t] (97)
        di_along_t = di_along_Hx1[at_0[t]]
        k_t_ = k_Kx1[at_0[t]]
        np.matmul(dC_t, k_t_, out=di_along_t)
        # dk_along[t] = dC[t].T @ v[t] (98)
        dk_along_t = dk_along_Kx1[at_0[t]]
        v_t = v_Hx1[at_0[t]]
        np.matmul(dC_t.transpose(0, 2, 1), v_t, out=dk_along_t)
        if narrow:
            dk_along_t_ = dk_along[at_0[t]]
            _round(dk_along_t_, dtype)
        # di_each[t] = di_along[t]*v[t] (87)
        di_along_t_ = di_along[at_0[t]]
        v_t_ = v[at_0[t]]
        np.multiply(di_along_t_, v_t_, out=di_each_t)
        if narrow:
            _round(di_along_t_, dtype)
        # di_sum[t] = sum(di_each[t]) (87)
        np.add.reduce(di_each_t, axis=1, keepdims=True, out=di_sum_t)
        # dn_via[t] = dn[t]*f[t] (82)
        dn_via_t = dn_via[ring_1_0[t]]
        np.multiply(dn_t, f_t, out=dn_via_t)
        if narrow:
            _round(dn_t, dtype)
        # da_f[t] = df[t]*f[t] (90)
        da_f_t = df_t
        np.multiply(df_t, f_t, out=da_f_t)
        # di[t] = di_sum[t] + di_sum_2[t] (87)
        di_t = da_i[at_0[t]]
        np.add(di_sum_t, di_sum_2_t, out=di_t)
        # da_i[t] = di[t]*i[t] (90)
        da_i_t = di_t
        np.multiply(di_t, i_t, out=da_i_t)
        if narrow:
            _round(i_t, dtype)
        # dm[t] = -da_i[t] - da_f[t] - da_h[t] + dm_via[t+1] (90)
        da_h_t = da_h[at_0[t]]
        dm_via_next = dm_via[ring_1[t]]
        dm_t = dm[at_0[t]]
        np.subtract(dm_via_next, da_i_t, out=dm_t)
        np.subtract(dm_t, da_f_t, out=dm_t)
        np.subtract(dm_t, da_h_t, out=dm_t)
        if narrow:
            _round(da_i_t, dtype)
        # da_m[t] = dm[t]*(greater(a_m[t], a[t])/2 + greater_equal(a_m[t], a[t])/2) (94)
        da_m_t = da_m[at_0[t]]
        np.greater(a_m_t, a_t, out=da_m_t)
        np.divide(da_m_t, 2, out=da_m_t)
        np.greater_equal(a_m_t, a_t, out=work1_t)
        np.divide(work1_t, 2, out=work1_t)
        np.add(da_m_t, work1_t, out=da_m_t)
        np.multiply(dm_t, da_m_t, out=da_m_t)
        if narrow:
            _round(a_m_t, dtype)
            _round(dm_t, dtype)
        # dm_via[t] = da_m[t] + da_f[t] (90)
        dm_via_t = dm_via[ring_1_0[t]]
        np.add(da_m_t, da_f_t, out=dm_via_t)
        if narrow:
            _round(da_f_t, dtype)
            _round(da_m_t, dtype)

    # dl[t] = da_m[t] + da_f[t] (94)
    da_f_ = da_i_da_f[:, 1 :]
    dl = dw_f_x_dv_da_o_da_dk_dq[:, : 1]
    np.add(da_m, da_f_, out=dl)
    # da[t] = dm[t]*(greater(a[t], a_m[t])/2 + greater_equal(a[t], a_m[t])/2) + da_i[t] (96)
    da_i_ = da_i_da_f[:, : 1]
    a_ = a_l_v_o_a_k_q[:, 2*H + 1 : 2*H + 2]
    da = dw_f_x_dv_da_o_da_dk_dq[:, 2*H + 1 : 2*H + 2]
    np.greater(a_, a_m, out=da)
    np.divide(da, 2, out=da)
    np.greater_equal(a_, a_m, out=work1)
    np.divide(work1, 2, out=work1)
    np.add(da, work1, out=da)
    np.multiply(dm, da, out=da)
    np.add(da, da_i_, out=da)
    if narrow:
        _round(da, dtype)
    # dsoftplus_a_l[t] = -dl[t] (100)
    dsoftplus_a_l = dl
    np.multiply(dl, -1, out=dsoftplus_a_l)
    # da_l[t] = dsoftplus_a_l[t]*sigmoid(a_l[t]) (100)
    a_l_ = a_l_v_o_a_k_q[:, : 1]
    da_l = dl
    np.subtract(0, a_l_, out=work1)
    np.exp(work1, out=work1)
    np.add(work1, 1, out=work1)
    np.divide(1, work1, out=work1)
    np.multiply(dsoftplus_a_l, work1, out=da_l)
    # dw_f_x[t] = -da_l[t] (100)
    dw_f_x = dl
    np.multiply(da_l, -1, out=dw_f_x)
    if narrow:
        _round(dw_f_x, dtype)
    # db_f = sum of dw_f_x[t] (118)
    np.matmul(ones, _rounded(dw_f_x, dtype), out=db_f.reshape(1, -1))
    # dv[t] = di_along[t]*i[t] (97)
    dv = dw_f_x_dv_da_o_da_dk_dq[:, 1 : H + 1]
    np.multiply(di_along, i, out=dv)
    if narrow:
        _round(dv, dtype)
    # dk[t] = dk_along[t]*i[t] + dn[t]*i[t] (98)
    dk = dw_f_x_dv_da_o_da_dk_dq[:, 2*H + 2 : 2*H + K + 2]
    np.multiply(dk_along, i, out=dk)
    np.multiply(dn, i, out=work1_2)
    np.add(dk, work1_2, out=dk)
    if narrow:
        _round(dk, dtype)
    if need_x:
        # dx[t] = W_q.T @ dq[t] + W_k.T @ dk[t] + W_v.T @ dv[t] + w_i.T @ da[t] + w_f.T @ dw_f_x[t] + W_o.T @ da_o[t]
        #     (100)
        dw_f_x_to_dq = dw_f_x_dv_da_o_da_dk_dq
        matmul(dw_f_x_to_dq, w_f_to_W_q, out=dx_)
        if narrow:
            _round(dx_, dtype)
    # dw_f = sum of outer(dw_f_x[t], x[t]) (117)
    # dW_v = sum of outer(dv[t], x[t]) (113)
    # dW_o = sum of outer(da_o[t], x[t]) (119)
    # dw_i = sum of outer(da[t], x[t]) (115)
    # dW_k = sum of outer(dk[t], x[t]) (111)
    # dW_q = sum of outer(dq[t], x[t]) (109)
    dw_f_x_to_dq_ = dw_f_x_dv_da_o_da_dk_dq
    matmul(dw_f_x_to_dq_.T, x_, out=dw_f_to_dW_q)
    # db_k = sum of dk[t] (112)
    # db_q = sum of dq[t] (110)
    dk_to_dq = dw_f_x_dv_da_o_da_dk_dq[:, 2*H + 2 :]
    np.matmul(ones, _rounded(dk_to_dq, dtype), out=db_k_to_db_q.reshape(1, -1))
    # db_v = sum of dv[t] (114)
    # db_o = sum of da_o[t] (120)
    # db_i = sum of da[t] (116)
    dv_to_da = dw_f_x_dv_da_o_da_dk_dq[:, 1 : 2*H + 2]
    np.matmul(ones, _rounded(dv_to_da, dtype), out=db_v_to_db_i.reshape(1, -1))

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
    K = params.sizes["K"]
    H = params.sizes["H"]

    x_t_ = np.empty((batch, D), real)
    a_l_v_o_a_k_q = np.empty((batch, 2*H + 2*K + 2), real)
    l = np.empty((batch, 1), real)
    a_m = np.empty((batch, 1), real)
    i_f = np.empty((batch, 2), real)
    product_n = np.empty((batch, K), real)
    dot_n = np.empty((batch, 1), real)
    exp_a_h = np.empty((batch, 1), real)
    abs_dot_n = np.empty((batch, 1), real)
    maximum_abs_dot_n = np.empty((batch, 1), real)
    h = np.empty((batch, H), real)
    m = np.empty((batch, 1), real)
    C = np.empty((batch, H*K), real)
    n_ = np.empty((batch, K), real)
    C_q = np.empty((batch, H), real)
    work1 = np.empty((batch, H*K), real)
    work1_ = np.empty((batch, K), real)
    b_k_to_b_q = params.stack("b_k", "b_q")
    b_v_to_b_o = params.stack("b_v", "b_o")
    b_i = params.stack("b_i", "b_i")
    b_f = params.stack("b_f", "b_f")
    m_before = np.empty((1, batch, 1), real)
    C_before = np.empty((1, batch, H*K), real)
    n_before = np.empty((1, batch, K), real)
    w_f_to_W_q_T = params.stack("w_f", "W_q").T
    narrow = dtype.itemsize == 2
    m_t1 = m_before[0]
    C_t1 = C_before[0]
    n_t1 = n_before[0]

    @np.errstate(all="ignore")
    def run() -> tuple[Any, dict[str, Any]]:
        # w_f_x[t] = w_f @ x[t] (25)
        # W_v_x[t] = W_v @ x[t] (9)
        # W_o_x[t] = W_o @ x[t] (27)
        # w_i_x[t] = w_i @ x[t] (10)
        # W_k_x[t] = W_k @ x[t] (8)
        # W_q_x[t] = W_q @ x[t] (7)
        w_f_x_to_W_q_x_t = a_l_v_o_a_k_q
        np.matmul(x_t_, w_f_to_W_q_T, out=w_f_x_to_W_q_x_t)
        if narrow:
            _round(w_f_x_to_W_q_x_t, dtype)
        # k[t] = W_k_x[t] + b_k (key) (8)
        # q[t] = W_q_x[t] + b_q (query) (7)
        W_k_x_to_W_q_x_t = a_l_v_o_a_k_q[:, 2*H + 2 :]
        k_to_q_t = W_k_x_to_W_q_x_t
        np.add(W_k_x_to_W_q_x_t, b_k_to_b_q, out=k_to_q_t)
        if narrow:
            _round(k_to_q_t, dtype)
        # v[t] = W_v_x[t] + b_v (value) (9)
        # a_o[t] = W_o_x[t] + b_o (27)
        W_v_x_to_W_o_x_t = a_l_v_o_a_k_q[:, 1 : 2*H + 1]
        v_to_a_o_t = W_v_x_to_W_o_x_t
        np.add(W_v_x_to_W_o_x_t, b_v_to_b_o, out=v_to_a_o_t)
        if narrow:
            v_t = a_l_v_o_a_k_q[:, 1 : H + 1]
            _round(v_t, dtype)
        # a[t] = w_i_x[t] + b_i (logarithm of the input gate) (10)
        w_i_x_t = a_l_v_o_a_k_q[:, 2*H + 1 : 2*H + 2]
        a_t = w_i_x_t
        np.add(w_i_x_t, b_i, out=a_t)
        if narrow:
            _round(a_t, dtype)
        # a_l[t] = -w_f_x[t] - b_f (25)
        w_f_x_t = a_l_v_o_a_k_q[:, : 1]
        a_l_t = w_f_x_t
        np.add(w_f_x_t, b_f, out=a_l_t)
        np.multiply(a_l_t, -1, out=a_l_t)
        # o[t] = sigmoid(a_o[t]) (output gate) (27)
        a_o_t = a_l_v_o_a_k_q[:, H + 1 : 2*H + 1]
        o_t = a_o_t
        np.subtract(0, a_o_t, out=o_t)
        np.exp(o_t, out=o_t)
        np.add(o_t, 1, out=o_t)
        np.divide(1, o_t, out=o_t)
        if narrow:
            _round(o_t, dtype)
        # softplus_a_l[t] = softplus(a_l[t]) (25)
        softplus_a_l_t = l
        _in_parts(_softplus, a_l_t, softplus_a_l_t)
        if narrow:
            _round(a_l_t, dtype)
        # l[t] = -softplus_a_l[t] (logarithm of the forget gate) (25)
        l_t = softplus_a_l_t
        np.multiply(softplus_a_l_t, -1, out=l_t)
        if narrow:
            _round(l_t, dtype)
        # a_m[t] = l[t] + m[t-1] (29)
        np.add(l_t, m_t1, out=a_m)
        # m[t] = maximum(a_m[t], a[t]) (stabiliser) (29)
        np.maximum(a_m, a_t, out=m)
        # a_i[t] = a[t] - m[t] (31)
        a_i_t = i_f[:, : 1]
        np.subtract(a_t, m, out=a_i_t)
        # a_f[t] = l[t] + m[t-1] - m[t] (33)
        a_f_t = i_f[:, 1 :]
        np.add(l_t, m_t1, out=a_f_t)
        np.subtract(a_f_t, m, out=a_f_t)
        # i[t] = exp(a_i[t]) (stabilised input gate) (31)
        # f[t] = exp(a_f[t]) (stabilised forget gate) (33)
        a_i_to_a_f_t = i_f
        i_to_f_t = a_i_to_a_f_t
        np.exp(a_i_to_a_f_t, out=i_to_f_t)
        # C[t] = f[t]*C[t-1] + i[t]*v[t][:,None]*k[t][None,:] (memory) (16)
        f_t = i_f[:, 1 :].reshape(-1, 1, 1)
        C_t1_ = C_t1.reshape(-1, H, K)
        i_t = i_f[:, : 1].reshape(-1, 1, 1)
        v_t_ = a_l_v_o_a_k_q[:, 1 : H + 1].reshape(-1, H, 1)
        k_t = a_l_v_o_a_k_q[:, 2*H + 2 : 2*H + K + 2].reshape(-1, 1, K)
        work1_t = work1.reshape(-1, H, K)
        C_t = C.reshape(-1, H, K)
        np.multiply(f_t, C_t1_, out=C_t)
        np.multiply(i_t, v_t_, out=work1_t)
        np.multiply(work1_t, k_t, out=work1_t)
        np.add(C_t, work1_t, out=C_t)
        # n[t] = f[t]*n[t-1] + i[t]*k[t] (normaliser) (17)
        f_t_ = a_f_t
        i_t_ = a_i_t
        k_t_ = a_l_v_o_a_k_q[:, 2*H + 2 : 2*H + K + 2]
        np.multiply(f_t_, n_t1, out=n_)
        np.multiply(i_t_, k_t_, out=work1_)
        np.add(n_, work1_, out=n_)
        # C_q[t] = C[t] @ q[t] (37)
        C_q_t = C_q.reshape(-1, H, 1)
        q_t = a_l_v_o_a_k_q[:, 2*H + K + 2 :].reshape(-1, K, 1)
        np.matmul(C_t, q_t, out=C_q_t)
        if narrow:
            _round(C_q, dtype)
        # product_n[t] = n[t]*q[t] (37)
        q_t_ = a_l_v_o_a_k_q[:, 2*H + K + 2 :]
        np.multiply(n_, q_t_, out=product_n)
        # dot_n[t] = sum(product_n[t]) (37)
        np.add.reduce(product_n, axis=1, keepdims=True, out=dot_n)
        # a_h[t] = -m[t] (37)
        a_h_t = exp_a_h
        np.multiply(m, -1, out=a_h_t)
        # exp_a_h[t] = exp(a_h[t]) (37)
        exp_a_h_t = a_h_t
        np.exp(a_h_t, out=exp_a_h_t)
        # abs_dot_n[t] = abs(dot_n[t]) (37)
        np.absolute(dot_n, out=abs_dot_n)
        if narrow:
            _round(dot_n, dtype)
        # maximum_abs_dot_n[t] = maximum(abs_dot_n[t], exp_a_h[t]) (37)
        np.maximum(abs_dot_n, exp_a_h_t, out=maximum_abs_dot_n)
        # h[t] = o[t]*C_q[t]/maximum_abs_dot_n[t] (hidden state) (37)
        np.multiply(o_t, C_q, out=h)
        np.divide(h, maximum_abs_dot_n, out=h)
        if narrow:
            _round(h, dtype)

        state = {
            "m": m.copy(),
            "C": C.reshape(batch, H, K).copy(),
            "n": n_.copy(),
        }
        return h.copy(), state

    inputs = [
        ("x", x_t_),
    ]
    states = [
        ("m", m_before[0], 0),
        ("C", C_before.reshape(batch, H, K), 0),
        ("n", n_before[0], 0),
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
    K = sizes["K"]
    H = sizes["H"]
    rows = steps * batch
    untaped = real * (rows * (3*H + 4*K + 5) + batch * (3*H*K + K + 3)) + 488 * steps
    taped = real * (rows * (3*H + H*K + 4*K + 5) + batch * (2*H*K + K + 3)) + 488 * steps
    back = item * (rows * (3*H + 2*K + 3)) + 1016 * steps
    back += real * (rows * (3*H + H*K + 4*K + 12) + batch * (5*H*K + 5*K + 8))
    back += real * rows * max(K, H)
    back += real * rows * max(H, K)
    if item < 4:
        untaped += item * (rows * (2*H + 2*K + 2))
        untaped += real * (rows * (D + H))
        untaped += real * (2*D + 2*D*H + 2*D*K + 2*H + 2*K + 2)
        taped += item * (rows * (D + 5*H + 4*K + 5))
        taped += real * (rows * (D + H))
        taped += real * (2*D + 2*D*H + 2*D*K + 2*H + 2*K + 2)
        back += real * (rows * (2*D + 8*H + 6*K + 7))
        back += real * (4*D + 4*D*H + 4*D*K + 4*H + 4*K + 4)
        back += item * rows * max(H, K, D)
    if uneven:
        untaped += rows * (real * (D + H) + 8)
        taped += rows * (real * (D + H) + 8)
        back += rows * (real * (2*D + H) + 8)
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
        width = math.prod(value.shape[1:])
        found[name] = np.ascontiguousarray(value).reshape(1, len(value), width)
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


def _in_parts(function: Any, v: Any, out: Any) -> None:
    """out[...] = function(v), a few thousand numbers at a time: intermediate results stay in the cache."""
    v = np.broadcast_to(np.asarray(v, out.dtype), out.shape)
    if out.size <= 16384:
        out[...] = function(v)
        return
    rows = max(1, 16384 * len(out) // out.size)
    for k in range(0, len(out), rows):
        out[k : k + rows] = function(v[k : k + rows])


def _softplus(v: Any) -> Any:
    """log(1 + e^v) = max(v, 0) + log(1 + e^-|v|)."""
    return np.maximum(v, 0) + np.log1p(np.exp(-np.absolute(v)))
