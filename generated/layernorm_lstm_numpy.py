"""LSTM with layer normalisation

Ba, Kiros & Hinton (2016), Layer normalization (supplementary material): the input and the recurrent product of each
gate are normalised by themselves, and so is the cell state on its way out.

The cell layernorm_lstm as NumPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive layernorm_lstm``.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

SIZES = ("D", "H")
PARAMS = {
    "W_i": ("H", "D"),
    "W_f": ("H", "D"),
    "W_g": ("H", "D"),
    "W_o": ("H", "D"),
    "U_i": ("H", "H"),
    "U_f": ("H", "H"),
    "U_g": ("H", "H"),
    "U_o": ("H", "H"),
    "a_i": ("H",),
    "a_f": ("H",),
    "a_g": ("H",),
    "a_o": ("H",),
    "d_i": ("H",),
    "d_f": ("H",),
    "d_g": ("H",),
    "d_o": ("H",),
    "b_i": ("H",),
    "b_f": ("H",),
    "b_g": ("H",),
    "b_o": ("H",),
    "a_c": ("H",),
    "b_c": ("H",),
}
CONSTANTS = {}
START = {
    "W_i": "uniform",
    "W_f": "uniform",
    "W_g": "uniform",
    "W_o": "uniform",
    "U_i": "uniform",
    "U_f": "uniform",
    "U_g": "uniform",
    "U_o": "uniform",
    "a_i": 1.0,
    "a_f": 1.0,
    "a_g": 1.0,
    "a_o": 1.0,
    "d_i": 1.0,
    "d_f": 1.0,
    "d_g": 1.0,
    "d_o": 1.0,
    "b_i": 0.0,
    "b_f": 1.0,
    "b_g": 0.0,
    "b_o": 0.0,
    "a_c": 1.0,
    "b_c": 0.0,
}
INPUTS = {"x": ("D",)}
STATES = {"h": ("H",), "c": ("H",)}
LAGS = {}
OUTPUT = "h"
EQUATIONS = (
    '"""LSTM with layer normalisation\n'
    "\n"
    "Ba, Kiros & Hinton (2016), Layer normalization (supplementary material): the input and the recurrent product of "
    "each\n"
    "gate are normalised by themselves, and so is the cell state on its way out.\n"
    '"""\n'
    "i[t] = sigmoid(layernorm(W_i @ x[t], a_i) + layernorm(U_i @ h[t-1], d_i) + b_i)   # input gate\n"
    "f[t] = sigmoid(layernorm(W_f @ x[t], a_f) + layernorm(U_f @ h[t-1], d_f) + b_f)   # forget gate\n"
    "g[t] = tanh(layernorm(W_g @ x[t], a_g) + layernorm(U_g @ h[t-1], d_g) + b_g)      # candidate\n"
    "o[t] = sigmoid(layernorm(W_o @ x[t], a_o) + layernorm(U_o @ h[t-1], d_o) + b_o)   # output gate\n"
    "c[t] = f[t] * c[t-1] + i[t] * g[t]                                                # cell state\n"
    "h[t] = o[t] * tanh(layernorm(c[t], a_c, b_c))                                     # hidden state\n"
    "\n"
    "a_i: H = 1\n"
    "a_f: H = 1\n"
    "a_g: H = 1\n"
    "a_o: H = 1\n"
    "a_c: H = 1\n"
    "d_i: H = 1\n"
    "d_f: H = 1\n"
    "d_g: H = 1\n"
    "d_o: H = 1\n"
    "b_i: H = 0\n"
    "b_f: H = 1\n"
    "b_g: H = 0\n"
    "b_o: H = 0\n"
    "b_c: H = 0\n"
)
STAMP = "700608f1fedbd3c9"


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
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    kept_0 = pack.slots(0, 0, keep_tape)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)
    kept_1_0 = pack.slots(1, 0, keep_tape)
    kept_1 = pack.slots(1, 1, keep_tape)

    x_rows = _as(pack.rows(inputs["x"]), real)
    W_i_x_W_f_x_W_g_x_W_o_x = np.empty((pack.size, 4*H), real)
    memory = np.empty(max(batch * 4*H, batch * H), real)
    U_i_h_U_f_h_U_g_h_U_o_h = memory[: batch * 4*H].reshape(batch, 4*H)
    sum_W_i_x_to_sum_W_o_x = np.empty((pack.size, 4), real)
    centred_W_i_x_to_centred_W_o_x = np.empty((pack.size, 4*H), real)
    square_W_i_x_to_square_W_o_x = W_i_x_W_f_x_W_g_x_W_o_x
    std_W_i_x_to_std_W_o_x = np.empty((pack.size, 4), real)
    sigmoid_in_i_in_to_sigmoid_in_o_in = W_i_x_W_f_x_W_g_x_W_o_x
    memory_ = np.empty(max(batch * 4, batch * H), real)
    sum_U_i_h_to_sum_U_o_h = memory_[: batch * 4].reshape(batch, 4)
    centred_U_i_h_to_centred_U_o_h = np.empty((pack.size if keep_tape else batch, 4*H), real)
    square_U_i_h_to_square_U_o_h = memory[: batch * 4*H].reshape(batch, 4*H)
    square_c = memory[: batch * H].reshape(batch, H)
    std_U_i_h_to_std_U_o_h = np.empty((pack.size if keep_tape else batch, 4), real)
    std_c = np.empty((pack.size if keep_tape else batch, 1), real)
    i = memory[: batch * H].reshape(batch, H)
    g = memory_[: batch * H].reshape(batch, H)
    tanh_a_h = memory[: batch * H].reshape(batch, H)
    sum_c = np.empty((pack.size if keep_tape else batch, 1), real)
    centred_c = memory_[: batch * H].reshape(batch, H)
    c = np.empty((pack.size + batch if keep_tape else 2 * batch, H), real)
    h = np.empty((pack.size + batch, H), real)
    work1 = np.empty((batch, H), real)
    a_i_to_a_o = params.stack("a_i", "a_o")
    b_i_to_b_o = params.stack("b_i", "b_o")
    d_i = params.stack("d_i", "d_i")
    d_f = params.stack("d_f", "d_f")
    d_g = params.stack("d_g", "d_g")
    d_o = params.stack("d_o", "d_o")
    a_c = params.stack("a_c", "a_c")
    b_c = params.stack("b_c", "b_c")
    h[pack.first(1)] = pack.sort(given["h"]) if "h" in given else 0
    c[pack.first(1)] = pack.sort(given["c"]) if "c" in given else 0
    W_i_to_W_o_T = params.stack("W_i", "W_o").T
    narrow = dtype.itemsize == 2
    U_i_to_U_o_T = params.stack("U_i", "U_o").T
    matmul = _products(dtype)
    centred_U_i_h_to_centred_U_o_h_4xH = centred_U_i_h_to_centred_U_o_h.reshape(-1, 4, H)
    centred_U_i_h = centred_U_i_h_to_centred_U_o_h[:, : H]
    std_U_i_h = std_U_i_h_to_std_U_o_h[:, : 1]
    sigmoid_in_i_in = sigmoid_in_i_in_to_sigmoid_in_o_in[:, : H]
    centred_U_f_h = centred_U_i_h_to_centred_U_o_h[:, H : 2*H]
    std_U_f_h = std_U_i_h_to_std_U_o_h[:, 1 : 2]
    sigmoid_in_f_in = sigmoid_in_i_in_to_sigmoid_in_o_in[:, H : 2*H]
    centred_U_g_h = centred_U_i_h_to_centred_U_o_h[:, 2*H : 3*H]
    std_U_g_h = std_U_i_h_to_std_U_o_h[:, 2 : 3]
    tanh_in_g_in = sigmoid_in_i_in_to_sigmoid_in_o_in[:, 2*H : 3*H]
    centred_U_o_h = centred_U_i_h_to_centred_U_o_h[:, 3*H :]
    std_U_o_h = std_U_i_h_to_std_U_o_h[:, 3 :]
    sigmoid_in_o_in = sigmoid_in_i_in_to_sigmoid_in_o_in[:, 3*H :]

    # W_i_x[t] = W_i @ x[t] (21)
    # W_f_x[t] = W_f @ x[t] (27)
    # W_g_x[t] = W_g @ x[t] (33)
    # W_o_x[t] = W_o @ x[t] (39)
    W_i_x_to_W_o_x = W_i_x_W_f_x_W_g_x_W_o_x
    np.matmul(x_rows, W_i_to_W_o_T, out=W_i_x_to_W_o_x)
    if narrow:
        _round(W_i_x_to_W_o_x, dtype)
    # sum_W_i_x[t] = sum(W_i_x[t]) (21)
    # sum_W_f_x[t] = sum(W_f_x[t]) (27)
    # sum_W_g_x[t] = sum(W_g_x[t]) (33)
    # sum_W_o_x[t] = sum(W_o_x[t]) (39)
    W_i_x_to_W_o_x_ = W_i_x_W_f_x_W_g_x_W_o_x.reshape(-1, 4, H)
    np.add.reduce(W_i_x_to_W_o_x_, axis=2, out=sum_W_i_x_to_sum_W_o_x)
    # centred_W_i_x[t] = W_i_x[t] - sum_W_i_x[t]/H (21)
    # centred_W_f_x[t] = W_f_x[t] - sum_W_f_x[t]/H (27)
    # centred_W_g_x[t] = W_g_x[t] - sum_W_g_x[t]/H (33)
    # centred_W_o_x[t] = W_o_x[t] - sum_W_o_x[t]/H (39)
    sum_W_i_x_to_sum_W_o_x_ = sum_W_i_x_to_sum_W_o_x.reshape(-1, 4, 1)
    centred_W_i_x_to_centred_W_o_x_ = centred_W_i_x_to_centred_W_o_x.reshape(-1, 4, H)
    np.divide(sum_W_i_x_to_sum_W_o_x_, H, out=centred_W_i_x_to_centred_W_o_x_)
    np.subtract(W_i_x_to_W_o_x_, centred_W_i_x_to_centred_W_o_x_, out=centred_W_i_x_to_centred_W_o_x_)
    # square_W_i_x[t] = centred_W_i_x[t]**2 (21)
    # square_W_f_x[t] = centred_W_f_x[t]**2 (27)
    # square_W_g_x[t] = centred_W_g_x[t]**2 (33)
    # square_W_o_x[t] = centred_W_o_x[t]**2 (39)
    np.square(centred_W_i_x_to_centred_W_o_x, out=square_W_i_x_to_square_W_o_x)
    if narrow:
        _round(centred_W_i_x_to_centred_W_o_x, dtype)
    # sum_square_W_i_x[t] = sum(square_W_i_x[t]) (21)
    # sum_square_W_f_x[t] = sum(square_W_f_x[t]) (27)
    # sum_square_W_g_x[t] = sum(square_W_g_x[t]) (33)
    # sum_square_W_o_x[t] = sum(square_W_o_x[t]) (39)
    sum_square_W_i_x_to_sum_square_W_o_x = std_W_i_x_to_std_W_o_x
    square_W_i_x_to_square_W_o_x_ = square_W_i_x_to_square_W_o_x.reshape(-1, 4, H)
    np.add.reduce(square_W_i_x_to_square_W_o_x_, axis=2, out=sum_square_W_i_x_to_sum_square_W_o_x)
    # std_squared_W_i_x[t] = sum_square_W_i_x[t]/H + 1e-05 (21)
    # std_squared_W_f_x[t] = sum_square_W_f_x[t]/H + 1e-05 (27)
    # std_squared_W_g_x[t] = sum_square_W_g_x[t]/H + 1e-05 (33)
    # std_squared_W_o_x[t] = sum_square_W_o_x[t]/H + 1e-05 (39)
    std_squared_W_i_x_to_std_squared_W_o_x = sum_square_W_i_x_to_sum_square_W_o_x
    np.divide(sum_square_W_i_x_to_sum_square_W_o_x, H, out=std_squared_W_i_x_to_std_squared_W_o_x)
    np.add(std_squared_W_i_x_to_std_squared_W_o_x, 1e-05, out=std_squared_W_i_x_to_std_squared_W_o_x)
    # std_W_i_x[t] = sqrt(std_squared_W_i_x[t]) (21)
    # std_W_f_x[t] = sqrt(std_squared_W_f_x[t]) (27)
    # std_W_g_x[t] = sqrt(std_squared_W_g_x[t]) (33)
    # std_W_o_x[t] = sqrt(std_squared_W_o_x[t]) (39)
    std_W_i_x_to_std_W_o_x_ = sum_square_W_i_x_to_sum_square_W_o_x
    np.sqrt(std_squared_W_i_x_to_std_squared_W_o_x, out=std_W_i_x_to_std_W_o_x_)
    # sigmoid_in_i_in[t] = centred_W_i_x[t]*a_i/std_W_i_x[t] + b_i (21)
    # sigmoid_in_f_in[t] = centred_W_f_x[t]*a_f/std_W_f_x[t] + b_f (27)
    # tanh_in_g_in[t] = centred_W_g_x[t]*a_g/std_W_g_x[t] + b_g (33)
    # sigmoid_in_o_in[t] = centred_W_o_x[t]*a_o/std_W_o_x[t] + b_o (39)
    std_W_i_x_to_std_W_o_x_2 = std_W_i_x_to_std_W_o_x.reshape(-1, 4, 1)
    sigmoid_in_i_in_to_sigmoid_in_o_in_ = sigmoid_in_i_in_to_sigmoid_in_o_in.reshape(-1, 4, H)
    np.multiply(centred_W_i_x_to_centred_W_o_x_, a_i_to_a_o.reshape(4, H), out=sigmoid_in_i_in_to_sigmoid_in_o_in_)
    np.divide(sigmoid_in_i_in_to_sigmoid_in_o_in_, std_W_i_x_to_std_W_o_x_2, out=sigmoid_in_i_in_to_sigmoid_in_o_in_)
    np.add(sigmoid_in_i_in_to_sigmoid_in_o_in_, b_i_to_b_o.reshape(4, H), out=sigmoid_in_i_in_to_sigmoid_in_o_in_)
    if narrow:
        _round(sigmoid_in_i_in_to_sigmoid_in_o_in, dtype)
        _round(std_W_i_x_to_std_W_o_x_, dtype)

    samples = -1
    for t, n in enumerate(pack.counts):
        if n != samples:
            samples = n
            U_i_h_to_U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h[:n]
            sum_U_i_h_to_sum_U_o_h_t = sum_U_i_h_to_sum_U_o_h[:n]
            U_i_h_to_U_o_h_t_ = U_i_h_U_f_h_U_g_h_U_o_h[:n].reshape(-1, 4, H)
            sum_U_i_h_to_sum_U_o_h_t_ = sum_U_i_h_to_sum_U_o_h[:n].reshape(-1, 4, 1)
            square_U_i_h_to_square_U_o_h_t = square_U_i_h_to_square_U_o_h[:n]
            square_U_i_h_to_square_U_o_h_t_ = square_U_i_h_to_square_U_o_h[:n].reshape(-1, 4, H)
            sigmoid_in_i_t = i[:n]
            tanh_in_g_t = g[:n]
            i_t = sigmoid_in_i_t
            g_t = tanh_in_g_t
            work1_t = work1[:n]
            centred_c_t = centred_c[:n]
            square_c_t = square_c[:n]
            a_h_t = tanh_a_h[:n]
            tanh_a_h_t = a_h_t
        # U_i_h[t] = U_i @ h[t-1] (21)
        # U_f_h[t] = U_f @ h[t-1] (27)
        # U_g_h[t] = U_g @ h[t-1] (33)
        # U_o_h[t] = U_o @ h[t-1] (39)
        h_t1 = h[at_1_0[t]]
        matmul(h_t1, U_i_to_U_o_T, out=U_i_h_to_U_o_h_t)
        # sum_U_i_h[t] = sum(U_i_h[t]) (21)
        # sum_U_f_h[t] = sum(U_f_h[t]) (27)
        # sum_U_g_h[t] = sum(U_g_h[t]) (33)
        # sum_U_o_h[t] = sum(U_o_h[t]) (39)
        np.add.reduce(U_i_h_to_U_o_h_t_, axis=2, out=sum_U_i_h_to_sum_U_o_h_t)
        # centred_U_i_h[t] = U_i_h[t] - sum_U_i_h[t]/H (21)
        # centred_U_f_h[t] = U_f_h[t] - sum_U_f_h[t]/H (27)
        # centred_U_g_h[t] = U_g_h[t] - sum_U_g_h[t]/H (33)
        # centred_U_o_h[t] = U_o_h[t] - sum_U_o_h[t]/H (39)
        centred_U_i_h_to_centred_U_o_h_t = centred_U_i_h_to_centred_U_o_h_4xH[kept_0[t]]
        np.divide(sum_U_i_h_to_sum_U_o_h_t_, H, out=centred_U_i_h_to_centred_U_o_h_t)
        np.subtract(U_i_h_to_U_o_h_t_, centred_U_i_h_to_centred_U_o_h_t, out=centred_U_i_h_to_centred_U_o_h_t)
        # square_U_i_h[t] = centred_U_i_h[t]**2 (21)
        # square_U_f_h[t] = centred_U_f_h[t]**2 (27)
        # square_U_g_h[t] = centred_U_g_h[t]**2 (33)
        # square_U_o_h[t] = centred_U_o_h[t]**2 (39)
        centred_U_i_h_to_centred_U_o_h_t_ = centred_U_i_h_to_centred_U_o_h[kept_0[t]]
        np.square(centred_U_i_h_to_centred_U_o_h_t_, out=square_U_i_h_to_square_U_o_h_t)
        if narrow:
            _round(centred_U_i_h_to_centred_U_o_h_t_, dtype)
        # sum_square_U_i_h[t] = sum(square_U_i_h[t]) (21)
        # sum_square_U_f_h[t] = sum(square_U_f_h[t]) (27)
        # sum_square_U_g_h[t] = sum(square_U_g_h[t]) (33)
        # sum_square_U_o_h[t] = sum(square_U_o_h[t]) (39)
        sum_square_U_i_h_to_sum_square_U_o_h_t = std_U_i_h_to_std_U_o_h[kept_0[t]]
        np.add.reduce(square_U_i_h_to_square_U_o_h_t_, axis=2, out=sum_square_U_i_h_to_sum_square_U_o_h_t)
        # std_squared_U_i_h[t] = sum_square_U_i_h[t]/H + 1e-05 (21)
        # std_squared_U_f_h[t] = sum_square_U_f_h[t]/H + 1e-05 (27)
        # std_squared_U_g_h[t] = sum_square_U_g_h[t]/H + 1e-05 (33)
        # std_squared_U_o_h[t] = sum_square_U_o_h[t]/H + 1e-05 (39)
        std_squared_U_i_h_to_std_squared_U_o_h_t = sum_square_U_i_h_to_sum_square_U_o_h_t
        np.divide(sum_square_U_i_h_to_sum_square_U_o_h_t, H, out=std_squared_U_i_h_to_std_squared_U_o_h_t)
        np.add(std_squared_U_i_h_to_std_squared_U_o_h_t, 1e-05, out=std_squared_U_i_h_to_std_squared_U_o_h_t)
        # std_U_i_h[t] = sqrt(std_squared_U_i_h[t]) (21)
        # std_U_f_h[t] = sqrt(std_squared_U_f_h[t]) (27)
        # std_U_g_h[t] = sqrt(std_squared_U_g_h[t]) (33)
        # std_U_o_h[t] = sqrt(std_squared_U_o_h[t]) (39)
        std_U_i_h_to_std_U_o_h_t = sum_square_U_i_h_to_sum_square_U_o_h_t
        np.sqrt(std_squared_U_i_h_to_std_squared_U_o_h_t, out=std_U_i_h_to_std_U_o_h_t)
        # sigmoid_in_i[t] = centred_U_i_h[t]*d_i/std_U_i_h[t] + sigmoid_in_i_in[t] (21)
        centred_U_i_h_t = centred_U_i_h[kept_0[t]]
        std_U_i_h_t = std_U_i_h[kept_0[t]]
        sigmoid_in_i_in_t = sigmoid_in_i_in[at_0[t]]
        np.multiply(centred_U_i_h_t, d_i, out=sigmoid_in_i_t)
        np.divide(sigmoid_in_i_t, std_U_i_h_t, out=sigmoid_in_i_t)
        np.add(sigmoid_in_i_t, sigmoid_in_i_in_t, out=sigmoid_in_i_t)
        if narrow:
            _round(std_U_i_h_t, dtype)
        # sigmoid_in_f[t] = centred_U_f_h[t]*d_f/std_U_f_h[t] + sigmoid_in_f_in[t] (27)
        centred_U_f_h_t = centred_U_f_h[kept_0[t]]
        std_U_f_h_t = std_U_f_h[kept_0[t]]
        sigmoid_in_f_in_t = sigmoid_in_f_in[at_0[t]]
        sigmoid_in_f_t = c[kept_1[t]]
        np.multiply(centred_U_f_h_t, d_f, out=sigmoid_in_f_t)
        np.divide(sigmoid_in_f_t, std_U_f_h_t, out=sigmoid_in_f_t)
        np.add(sigmoid_in_f_t, sigmoid_in_f_in_t, out=sigmoid_in_f_t)
        if narrow:
            _round(std_U_f_h_t, dtype)
        # tanh_in_g[t] = centred_U_g_h[t]*d_g/std_U_g_h[t] + tanh_in_g_in[t] (33)
        centred_U_g_h_t = centred_U_g_h[kept_0[t]]
        std_U_g_h_t = std_U_g_h[kept_0[t]]
        tanh_in_g_in_t = tanh_in_g_in[at_0[t]]
        np.multiply(centred_U_g_h_t, d_g, out=tanh_in_g_t)
        np.divide(tanh_in_g_t, std_U_g_h_t, out=tanh_in_g_t)
        np.add(tanh_in_g_t, tanh_in_g_in_t, out=tanh_in_g_t)
        if narrow:
            _round(std_U_g_h_t, dtype)
        # sigmoid_in_o[t] = centred_U_o_h[t]*d_o/std_U_o_h[t] + sigmoid_in_o_in[t] (39)
        centred_U_o_h_t = centred_U_o_h[kept_0[t]]
        std_U_o_h_t = std_U_o_h[kept_0[t]]
        sigmoid_in_o_in_t = sigmoid_in_o_in[at_0[t]]
        sigmoid_in_o_t = h[at_1[t]]
        np.multiply(centred_U_o_h_t, d_o, out=sigmoid_in_o_t)
        np.divide(sigmoid_in_o_t, std_U_o_h_t, out=sigmoid_in_o_t)
        np.add(sigmoid_in_o_t, sigmoid_in_o_in_t, out=sigmoid_in_o_t)
        if narrow:
            _round(std_U_o_h_t, dtype)
        # i[t] = sigmoid(sigmoid_in_i[t]) (input gate) (21)
        np.subtract(0, sigmoid_in_i_t, out=i_t)
        np.exp(i_t, out=i_t)
        np.add(i_t, 1, out=i_t)
        np.divide(1, i_t, out=i_t)
        # f[t] = sigmoid(sigmoid_in_f[t]) (forget gate) (27)
        f_t = sigmoid_in_f_t
        np.subtract(0, sigmoid_in_f_t, out=f_t)
        np.exp(f_t, out=f_t)
        np.add(f_t, 1, out=f_t)
        np.divide(1, f_t, out=f_t)
        # g[t] = tanh(tanh_in_g[t]) (candidate) (33)
        np.tanh(tanh_in_g_t, out=g_t)
        # o[t] = sigmoid(sigmoid_in_o[t]) (output gate) (39)
        o_t = sigmoid_in_o_t
        np.subtract(0, sigmoid_in_o_t, out=o_t)
        np.exp(o_t, out=o_t)
        np.add(o_t, 1, out=o_t)
        np.divide(1, o_t, out=o_t)
        if narrow:
            h_t = sigmoid_in_o_t
            _round(h_t, dtype)
        # c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state) (10)
        c_t1 = c[kept_1_0[t]]
        c_t = sigmoid_in_f_t
        np.multiply(f_t, c_t1, out=c_t)
        np.multiply(i_t, g_t, out=work1_t)
        np.add(c_t, work1_t, out=c_t)
        # sum_c[t] = sum(c[t]) (42)
        sum_c_t = sum_c[kept_0[t]]
        np.add.reduce(c_t, axis=1, keepdims=True, out=sum_c_t)
        # centred_c[t] = c[t] - sum_c[t]/H (42)
        np.divide(sum_c_t, H, out=centred_c_t)
        np.subtract(c_t, centred_c_t, out=centred_c_t)
        if narrow:
            _round(sum_c_t, dtype)
        # square_c[t] = centred_c[t]**2 (42)
        np.square(centred_c_t, out=square_c_t)
        # sum_square_c[t] = sum(square_c[t]) (42)
        sum_square_c_t = std_c[kept_0[t]]
        np.add.reduce(square_c_t, axis=1, keepdims=True, out=sum_square_c_t)
        # std_squared_c[t] = sum_square_c[t]/H + 1e-05 (42)
        std_squared_c_t = sum_square_c_t
        np.divide(sum_square_c_t, H, out=std_squared_c_t)
        np.add(std_squared_c_t, 1e-05, out=std_squared_c_t)
        # std_c[t] = sqrt(std_squared_c[t]) (42)
        std_c_t = sum_square_c_t
        np.sqrt(std_squared_c_t, out=std_c_t)
        # a_h[t] = centred_c[t]*a_c/std_c[t] + b_c (42)
        np.multiply(centred_c_t, a_c, out=a_h_t)
        np.divide(a_h_t, std_c_t, out=a_h_t)
        np.add(a_h_t, b_c, out=a_h_t)
        if narrow:
            _round(std_c_t, dtype)
        # tanh_a_h[t] = tanh(a_h[t]) (42)
        np.tanh(a_h_t, out=tanh_a_h_t)
        # h[t] = o[t]*tanh_a_h[t] (hidden state) (42)
        h_t_ = sigmoid_in_o_t
        np.multiply(o_t, tanh_a_h_t, out=h_t_)
        if narrow:
            _round(h_t_, dtype)

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
            "centred_U_i_h_to_centred_U_o_h": _as(centred_U_i_h_to_centred_U_o_h, dtype),
            "centred_W_i_x_to_centred_W_o_x": _as(centred_W_i_x_to_centred_W_o_x, dtype),
            "h": _as(h, dtype),
            "std_U_i_h_to_std_U_o_h": _as(std_U_i_h_to_std_U_o_h, dtype),
            "std_W_i_x_to_std_W_o_x": _as(std_W_i_x_to_std_W_o_x, dtype),
            "std_c": _as(std_c, dtype),
            "x_rows": _as(x_rows, dtype),
            "sum_c": _as(sum_c, dtype),
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
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    dy_rows = _as(pack.rows(dy), real)
    c = tape.arrays["c"]
    centred_U_i_h_to_centred_U_o_h = _as(tape.arrays["centred_U_i_h_to_centred_U_o_h"], real)
    centred_W_i_x_to_centred_W_o_x = _as(tape.arrays["centred_W_i_x_to_centred_W_o_x"], real)
    h = _as(tape.arrays["h"], real)
    std_U_i_h_to_std_U_o_h = _as(tape.arrays["std_U_i_h_to_std_U_o_h"], real)
    std_W_i_x_to_std_W_o_x = _as(tape.arrays["std_W_i_x_to_std_W_o_x"], real)
    std_c = _as(tape.arrays["std_c"], real)
    x_ = _as(tape.arrays["x_rows"], real)
    sum_c = _as(tape.arrays["sum_c"], real)
    memory = np.empty(max(pack.size * 4*H, pack.size * H, pack.size * 4), real)
    dU_i_h_to_dU_o_h = memory[: pack.size * 4*H].reshape(pack.size, 4*H)
    dW_i_x_to_dW_o_x = memory[: pack.size * 4*H].reshape(pack.size, 4*H)
    memory_ = np.empty(max(pack.size * H, pack.size * 2*H), real)
    centred_c = memory_[: pack.size * H].reshape(pack.size, H)
    memory_2 = np.empty(max(batch * H, batch * 2*H, batch * 3, batch), real)
    dh = memory_2[: batch * H].reshape(batch, H)
    memory_3 = np.empty(max(batch * 3*H, batch * 3), real)
    i_o_f = memory_3[: batch * 3*H].reshape(batch, 3*H)
    memory_4 = np.empty(max(batch * 2*H, batch * 3), real)
    g_tanh_a_h = memory_4[: batch * 2*H].reshape(batch, 2*H)
    da_h = np.empty((pack.size, H), real)
    dstd_c_each_to_dstd_U_o_h_each = memory_2[: batch * 2*H].reshape(batch, 2*H)
    dstd_U_i_h_each_to_dstd_U_g_h_each = memory_3[: batch * 3*H].reshape(batch, 3*H)
    memory_5 = np.empty(max(pack.size * 3*H, pack.size * 4), real)
    dsigmoid_in_i_to_dsigmoid_in_o = memory_5[: pack.size * 3*H].reshape(pack.size, 3*H)
    dsum_square_c_to_dsum_square_U_o_h = np.empty((batch, 2), real)
    dsum_square_U_i_h_to_dsum_square_U_g_h = memory_2[: batch * 3].reshape(batch, 3)
    dcentred_c_to_dcentred_U_o_h = memory_2[: batch * 2*H].reshape(batch, 2*H)
    dcentred_U_i_h_to_dcentred_U_g_h = memory_3[: batch * 3*H].reshape(batch, 3*H)
    dsum_c_dsum_U_o_h = dsum_square_c_to_dsum_square_U_o_h
    dsum_U_i_h_to_dsum_U_g_h = memory_4[: batch * 3].reshape(batch, 3)
    dc = np.empty((batch, H), real)
    dtanh_in_g = np.empty((pack.size, H), real)
    dstd_W_i_x_each_to_dstd_W_o_x_each = memory[: pack.size * 4*H].reshape(pack.size, 4*H)
    da_i_each_to_da_o_each = memory[: pack.size * 4*H].reshape(pack.size, 4*H)
    dd_i_each_to_dd_o_each = memory[: pack.size * 4*H].reshape(pack.size, 4*H)
    da_c_each = memory[: pack.size * H].reshape(pack.size, H)
    dsum_square_W_i_x_to_dsum_square_W_o_x = np.empty((pack.size, 4), real)
    dcentred_W_i_x_to_dcentred_W_o_x = memory[: pack.size * 4*H].reshape(pack.size, 4*H)
    dsum_W_i_x_to_dsum_W_o_x = memory_5[: pack.size * 4].reshape(pack.size, 4)
    dx_ = np.empty((pack.size, D), real)
    dh_back = np.zeros((2 * batch, H), real)
    dc_via = np.zeros((2 * batch, H), real)
    work1 = dc
    work1_ = memory_2[: batch].reshape(batch, 1)
    work1_2 = memory_3[: batch * 3].reshape(batch, 3)
    work1_3 = memory_4[: batch * 2*H].reshape(batch, 2*H)
    work1_4 = memory[: pack.size * 4].reshape(pack.size, 4)
    work1_5 = memory_[: pack.size * H].reshape(pack.size, H)
    work1_6 = memory_[: pack.size * 2*H].reshape(pack.size, 2*H)
    a_i = params.stack("a_i", "a_i")
    d_i = params.stack("d_i", "d_i")
    b_i = params.stack("b_i", "b_i")
    a_f = params.stack("a_f", "a_f")
    d_f = params.stack("d_f", "d_f")
    b_f = params.stack("b_f", "b_f")
    a_g = params.stack("a_g", "a_g")
    d_g = params.stack("d_g", "d_g")
    b_g = params.stack("b_g", "b_g")
    a_o = params.stack("a_o", "a_o")
    d_o = params.stack("d_o", "d_o")
    b_o = params.stack("b_o", "b_o")
    a_c = params.stack("a_c", "a_c")
    b_c = params.stack("b_c", "b_c")
    d_i_to_d_f = params.stack("d_i", "d_f")
    U_i_to_U_o = params.stack("U_i", "U_o")
    dU_i_to_dU_o = grads.stack("U_i", "U_o")
    a_i_to_a_f = params.stack("a_i", "a_f")
    db_i_to_db_f = grads.stack("b_i", "b_f")
    db_o = grads.stack("b_o", "b_o")
    db_g = grads.stack("b_g", "b_g")
    da_i_to_da_o = grads.stack("a_i", "a_o")
    dd_i_to_dd_o = grads.stack("d_i", "d_o")
    da_c = grads.stack("a_c", "a_c")
    db_c = grads.stack("b_c", "b_c")
    W_i_to_W_o = params.stack("W_i", "W_o")
    dW_i_to_dW_o = grads.stack("W_i", "W_o")
    dh_back[pack.last(1, 1, False)] = pack.sort(given["h"]) if "h" in given else 0
    dc_via[pack.last(1, 1, False)] = pack.sort(given["c"]) if "c" in given else 0
    centred_W_i_x = centred_W_i_x_to_centred_W_o_x[:, : H]
    std_W_i_x = std_W_i_x_to_std_W_o_x[:, : 1]
    centred_U_i_h = centred_U_i_h_to_centred_U_o_h[:, : H]
    std_U_i_h = std_U_i_h_to_std_U_o_h[:, : 1]
    centred_W_f_x = centred_W_i_x_to_centred_W_o_x[:, H : 2*H]
    std_W_f_x = std_W_i_x_to_std_W_o_x[:, 1 : 2]
    centred_U_f_h = centred_U_i_h_to_centred_U_o_h[:, H : 2*H]
    std_U_f_h = std_U_i_h_to_std_U_o_h[:, 1 : 2]
    centred_W_g_x = centred_W_i_x_to_centred_W_o_x[:, 2*H : 3*H]
    std_W_g_x = std_W_i_x_to_std_W_o_x[:, 2 : 3]
    centred_U_g_h = centred_U_i_h_to_centred_U_o_h[:, 2*H : 3*H]
    std_U_g_h = std_U_i_h_to_std_U_o_h[:, 2 : 3]
    centred_W_o_x = centred_W_i_x_to_centred_W_o_x[:, 3*H :]
    std_W_o_x = std_W_i_x_to_std_W_o_x[:, 3 :]
    centred_U_o_h = centred_U_i_h_to_centred_U_o_h[:, 3*H :]
    std_U_o_h = std_U_i_h_to_std_U_o_h[:, 3 :]
    dsigmoid_in_o = dsigmoid_in_i_to_dsigmoid_in_o[:, 2*H :]
    narrow = dtype.itemsize == 2
    dU_o_h = dU_i_h_to_dU_o_h[:, 3*H :]
    dsigmoid_in_f = dsigmoid_in_i_to_dsigmoid_in_o[:, H : 2*H]
    dsigmoid_in_i = dsigmoid_in_i_to_dsigmoid_in_o[:, : H]
    dsigmoid_in_i_to_dsigmoid_in_f = dsigmoid_in_i_to_dsigmoid_in_o[:, : 2*H]
    centred_U_i_h_to_centred_U_f_h = centred_U_i_h_to_centred_U_o_h[:, : 2*H]
    std_U_i_h_to_std_U_g_h = std_U_i_h_to_std_U_o_h[:, : 3]
    dsigmoid_in_i_to_dsigmoid_in_f_2xH = dsigmoid_in_i_to_dsigmoid_in_o[:, : 2*H].reshape(-1, 2, H)
    centred_U_i_h_to_centred_U_f_h_2xH = centred_U_i_h_to_centred_U_o_h[:, : 2*H].reshape(-1, 2, H)
    std_U_i_h_to_std_U_f_h_2x1 = std_U_i_h_to_std_U_o_h[:, : 2].reshape(-1, 2, 1)
    dU_i_h_to_dU_g_h_3xH = dU_i_h_to_dU_o_h[:, : 3*H].reshape(-1, 3, H)
    dU_i_h_to_dU_g_h = dU_i_h_to_dU_o_h[:, : 3*H]
    matmul = _products(dtype)
    ones = np.ones((1, pack.size), real)

    samples = -1
    for t, n in reversed(list(enumerate(pack.counts))):
        if n != samples:
            samples = n
            work1_t = work1[:n]
            sigmoid_in_i_t = i_o_f[:n, : H]
            sigmoid_in_f_t = i_o_f[:n, 2*H :]
            tanh_in_g_t = g_tanh_a_h[:n, : H]
            sigmoid_in_o_t = i_o_f[:n, H : 2*H]
            dh_t = dh[:n]
            sigmoid_in_i_to_sigmoid_in_f_t = i_o_f[:n]
            i_to_f_t = sigmoid_in_i_to_sigmoid_in_f_t
            a_h_t = g_tanh_a_h[:n, H :]
            o_t = sigmoid_in_o_t
            tanh_in_g_to_a_h_t = g_tanh_a_h[:n]
            g_to_tanh_a_h_t = tanh_in_g_to_a_h_t
            tanh_a_h_t = a_h_t
            dstd_c_each_t = dstd_c_each_to_dstd_U_o_h_each[:n, : H]
            dstd_U_o_h_each_t = dstd_c_each_to_dstd_U_o_h_each[:n, H :]
            dstd_c_sum_to_dstd_U_o_h_sum_t = dsum_square_c_to_dsum_square_U_o_h[:n]
            dstd_c_each_to_dstd_U_o_h_each_t = dstd_c_each_to_dstd_U_o_h_each[:n].reshape(-1, 2, H)
            dstd_c_sum_t = dsum_square_c_to_dsum_square_U_o_h[:n, : 1]
            work1_t_ = work1_[:n]
            dstd_c_t = dstd_c_sum_t
            dstd_U_o_h_sum_t = dsum_square_c_to_dsum_square_U_o_h[:n, 1 :]
            dstd_U_o_h_t = dstd_U_o_h_sum_t
            dstd_squared_c_t = dstd_c_sum_t
            dstd_squared_U_o_h_t = dstd_U_o_h_sum_t
            dstd_squared_c_to_dstd_squared_U_o_h_t = dstd_c_sum_to_dstd_U_o_h_sum_t
            dsum_square_c_to_dsum_square_U_o_h_t = dstd_c_sum_to_dstd_U_o_h_sum_t
            dsum_square_c_t = dstd_c_sum_t
            dcentred_c_t = dcentred_c_to_dcentred_U_o_h[:n, : H]
            dsum_square_U_o_h_t = dstd_U_o_h_sum_t
            dcentred_U_o_h_t = dcentred_c_to_dcentred_U_o_h[:n, H :]
            dsum_c_sum_to_dsum_U_o_h_sum_t = dsum_c_dsum_U_o_h[:n]
            dcentred_c_to_dcentred_U_o_h_t = dcentred_c_to_dcentred_U_o_h[:n].reshape(-1, 2, H)
            dsum_c_to_dsum_U_o_h_t = dsum_c_sum_to_dsum_U_o_h_sum_t
            dsum_c_t = dsum_c_dsum_U_o_h[:n, : 1]
            dc_t = dc[:n]
            dsum_U_o_h_t = dsum_c_dsum_U_o_h[:n, 1 :]
            i_t = sigmoid_in_i_t
            g_t = tanh_in_g_t
            f_t = sigmoid_in_f_t
            dstd_U_g_h_each_t = dstd_U_i_h_each_to_dstd_U_g_h_each[:n, 2*H :]
            dstd_U_i_h_each_to_dstd_U_f_h_each_t = dstd_U_i_h_each_to_dstd_U_g_h_each[:n, : 2*H]
            dstd_U_i_h_sum_to_dstd_U_g_h_sum_t = dsum_square_U_i_h_to_dsum_square_U_g_h[:n]
            dstd_U_i_h_each_to_dstd_U_g_h_each_t = dstd_U_i_h_each_to_dstd_U_g_h_each[:n].reshape(-1, 3, H)
            work1_t_2 = work1_2[:n]
            dstd_U_i_h_to_dstd_U_g_h_t = dstd_U_i_h_sum_to_dstd_U_g_h_sum_t
            dstd_squared_U_i_h_to_dstd_squared_U_g_h_t = dstd_U_i_h_sum_to_dstd_U_g_h_sum_t
            dsum_square_U_i_h_to_dsum_square_U_g_h_t = dstd_U_i_h_sum_to_dstd_U_g_h_sum_t
            dsum_square_U_g_h_t = dsum_square_U_i_h_to_dsum_square_U_g_h[:n, 2 :]
            dcentred_U_g_h_t = dcentred_U_i_h_to_dcentred_U_g_h[:n, 2*H :]
            dsum_square_U_i_h_to_dsum_square_U_f_h_t = dsum_square_U_i_h_to_dsum_square_U_g_h[:n, : 2].reshape(-1, 2, 1)
            work1_t_3 = work1_3[:n].reshape(-1, 2, H)
            dcentred_U_i_h_to_dcentred_U_f_h_t = dcentred_U_i_h_to_dcentred_U_g_h[:n, : 2*H].reshape(-1, 2, H)
            dsum_U_i_h_sum_to_dsum_U_g_h_sum_t = dsum_U_i_h_to_dsum_U_g_h[:n]
            dcentred_U_i_h_to_dcentred_U_g_h_t = dcentred_U_i_h_to_dcentred_U_g_h[:n].reshape(-1, 3, H)
            dsum_U_i_h_to_dsum_U_g_h_t = dsum_U_i_h_sum_to_dsum_U_g_h_sum_t
            dsum_U_i_h_to_dsum_U_g_h_t_ = dsum_U_i_h_to_dsum_U_g_h[:n].reshape(-1, 3, 1)
        # sigmoid_in_i[t] = centred_W_i_x[t]*a_i/std_W_i_x[t] + centred_U_i_h[t]*d_i/std_U_i_h[t] + b_i (21)
        centred_W_i_x_t = centred_W_i_x[at_0[t]]
        std_W_i_x_t = std_W_i_x[at_0[t]]
        centred_U_i_h_t = centred_U_i_h[at_0[t]]
        std_U_i_h_t = std_U_i_h[at_0[t]]
        np.multiply(centred_W_i_x_t, a_i, out=sigmoid_in_i_t)
        np.divide(sigmoid_in_i_t, std_W_i_x_t, out=sigmoid_in_i_t)
        np.multiply(centred_U_i_h_t, d_i, out=work1_t)
        np.divide(work1_t, std_U_i_h_t, out=work1_t)
        np.add(sigmoid_in_i_t, work1_t, out=sigmoid_in_i_t)
        np.add(sigmoid_in_i_t, b_i, out=sigmoid_in_i_t)
        # sigmoid_in_f[t] = centred_W_f_x[t]*a_f/std_W_f_x[t] + centred_U_f_h[t]*d_f/std_U_f_h[t] + b_f (27)
        centred_W_f_x_t = centred_W_f_x[at_0[t]]
        std_W_f_x_t = std_W_f_x[at_0[t]]
        centred_U_f_h_t = centred_U_f_h[at_0[t]]
        std_U_f_h_t = std_U_f_h[at_0[t]]
        np.multiply(centred_W_f_x_t, a_f, out=sigmoid_in_f_t)
        np.divide(sigmoid_in_f_t, std_W_f_x_t, out=sigmoid_in_f_t)
        np.multiply(centred_U_f_h_t, d_f, out=work1_t)
        np.divide(work1_t, std_U_f_h_t, out=work1_t)
        np.add(sigmoid_in_f_t, work1_t, out=sigmoid_in_f_t)
        np.add(sigmoid_in_f_t, b_f, out=sigmoid_in_f_t)
        # tanh_in_g[t] = centred_W_g_x[t]*a_g/std_W_g_x[t] + centred_U_g_h[t]*d_g/std_U_g_h[t] + b_g (33)
        centred_W_g_x_t = centred_W_g_x[at_0[t]]
        std_W_g_x_t = std_W_g_x[at_0[t]]
        centred_U_g_h_t = centred_U_g_h[at_0[t]]
        std_U_g_h_t = std_U_g_h[at_0[t]]
        np.multiply(centred_W_g_x_t, a_g, out=tanh_in_g_t)
        np.divide(tanh_in_g_t, std_W_g_x_t, out=tanh_in_g_t)
        np.multiply(centred_U_g_h_t, d_g, out=work1_t)
        np.divide(work1_t, std_U_g_h_t, out=work1_t)
        np.add(tanh_in_g_t, work1_t, out=tanh_in_g_t)
        np.add(tanh_in_g_t, b_g, out=tanh_in_g_t)
        # sigmoid_in_o[t] = centred_W_o_x[t]*a_o/std_W_o_x[t] + centred_U_o_h[t]*d_o/std_U_o_h[t] + b_o (39)
        centred_W_o_x_t = centred_W_o_x[at_0[t]]
        std_W_o_x_t = std_W_o_x[at_0[t]]
        centred_U_o_h_t = centred_U_o_h[at_0[t]]
        std_U_o_h_t = std_U_o_h[at_0[t]]
        np.multiply(centred_W_o_x_t, a_o, out=sigmoid_in_o_t)
        np.divide(sigmoid_in_o_t, std_W_o_x_t, out=sigmoid_in_o_t)
        np.multiply(centred_U_o_h_t, d_o, out=work1_t)
        np.divide(work1_t, std_U_o_h_t, out=work1_t)
        np.add(sigmoid_in_o_t, work1_t, out=sigmoid_in_o_t)
        np.add(sigmoid_in_o_t, b_o, out=sigmoid_in_o_t)
        # centred_c[t] = c[t] - sum_c[t]/H (42)
        c_t = c[at_1[t]]
        sum_c_t = sum_c[at_0[t]]
        centred_c_t = centred_c[at_0[t]]
        np.divide(sum_c_t, H, out=centred_c_t)
        np.subtract(c_t, centred_c_t, out=centred_c_t)
        # dh[t] = dy[t] + dh_back[t+1] (90)
        dy_t = dy_rows[at_0[t]]
        dh_back_next = dh_back[ring_1[t]]
        np.add(dy_t, dh_back_next, out=dh_t)
        # i[t] = sigmoid(sigmoid_in_i[t]) (input gate) (21)
        # o[t] = sigmoid(sigmoid_in_o[t]) (output gate) (39)
        # f[t] = sigmoid(sigmoid_in_f[t]) (forget gate) (27)
        np.subtract(0, sigmoid_in_i_to_sigmoid_in_f_t, out=i_to_f_t)
        np.exp(i_to_f_t, out=i_to_f_t)
        np.add(i_to_f_t, 1, out=i_to_f_t)
        np.divide(1, i_to_f_t, out=i_to_f_t)
        # a_h[t] = centred_c[t]*a_c/std_c[t] + b_c (42)
        std_c_t = std_c[at_0[t]]
        np.multiply(centred_c_t, a_c, out=a_h_t)
        np.divide(a_h_t, std_c_t, out=a_h_t)
        np.add(a_h_t, b_c, out=a_h_t)
        # dtanh_a_h[t] = dh[t]*o[t] (148)
        dtanh_a_h_t = da_h[at_0[t]]
        np.multiply(dh_t, o_t, out=dtanh_a_h_t)
        # g[t] = tanh(tanh_in_g[t]) (candidate) (33)
        # tanh_a_h[t] = tanh(a_h[t]) (42)
        np.tanh(tanh_in_g_to_a_h_t, out=g_to_tanh_a_h_t)
        # da_h[t] = dtanh_a_h[t]*(1 - tanh_a_h[t]**2) (148)
        da_h_t = dtanh_a_h_t
        np.square(tanh_a_h_t, out=work1_t)
        np.subtract(1, work1_t, out=work1_t)
        np.multiply(dtanh_a_h_t, work1_t, out=da_h_t)
        # do[t] = dh[t]*tanh_a_h[t] (95)
        do_t = dsigmoid_in_o[at_0[t]]
        np.multiply(dh_t, tanh_a_h_t, out=do_t)
        # dstd_c_each[t] = da_h[t]*centred_c[t]*a_c (94)
        np.multiply(da_h_t, centred_c_t, out=dstd_c_each_t)
        np.multiply(dstd_c_each_t, a_c, out=dstd_c_each_t)
        if narrow:
            _round(centred_c_t, dtype)
            _round(da_h_t, dtype)
        # dsigmoid_in_o[t] = do[t]*o[t]*(1 - o[t]) (146)
        dsigmoid_in_o_t = do_t
        np.multiply(do_t, o_t, out=dsigmoid_in_o_t)
        np.subtract(1, o_t, out=work1_t)
        np.multiply(dsigmoid_in_o_t, work1_t, out=dsigmoid_in_o_t)
        # dstd_U_o_h_each[t] = dsigmoid_in_o[t]*centred_U_o_h[t]*d_o (90)
        np.multiply(dsigmoid_in_o_t, centred_U_o_h_t, out=dstd_U_o_h_each_t)
        np.multiply(dstd_U_o_h_each_t, d_o, out=dstd_U_o_h_each_t)
        if narrow:
            _round(dsigmoid_in_o_t, dtype)
        # dstd_c_sum[t] = sum(dstd_c_each[t]) (94)
        # dstd_U_o_h_sum[t] = sum(dstd_U_o_h_each[t]) (90)
        np.add.reduce(dstd_c_each_to_dstd_U_o_h_each_t, axis=2, out=dstd_c_sum_to_dstd_U_o_h_sum_t)
        # dstd_c[t] = -dstd_c_sum[t]/std_c[t]**2 (94)
        np.square(std_c_t, out=work1_t_)
        np.divide(dstd_c_sum_t, work1_t_, out=dstd_c_t)
        np.multiply(dstd_c_t, -1, out=dstd_c_t)
        # dstd_U_o_h[t] = -dstd_U_o_h_sum[t]/std_U_o_h[t]**2 (90)
        np.square(std_U_o_h_t, out=work1_t_)
        np.divide(dstd_U_o_h_sum_t, work1_t_, out=dstd_U_o_h_t)
        np.multiply(dstd_U_o_h_t, -1, out=dstd_U_o_h_t)
        # dstd_squared_c[t] = dstd_c[t]/(2*std_c[t]) (94)
        np.divide(dstd_c_t, std_c_t, out=dstd_squared_c_t)
        np.divide(dstd_squared_c_t, 2, out=dstd_squared_c_t)
        # dstd_squared_U_o_h[t] = dstd_U_o_h[t]/(2*std_U_o_h[t]) (90)
        np.divide(dstd_U_o_h_t, std_U_o_h_t, out=dstd_squared_U_o_h_t)
        np.divide(dstd_squared_U_o_h_t, 2, out=dstd_squared_U_o_h_t)
        # dsum_square_c[t] = dstd_squared_c[t]/H (94)
        # dsum_square_U_o_h[t] = dstd_squared_U_o_h[t]/H (90)
        np.divide(dstd_squared_c_to_dstd_squared_U_o_h_t, H, out=dsum_square_c_to_dsum_square_U_o_h_t)
        # dcentred_c[t] = 2*dsum_square_c[t]*centred_c[t] + da_h[t]*a_c/std_c[t] (94)
        np.multiply(2, dsum_square_c_t, out=dcentred_c_t)
        np.multiply(dcentred_c_t, centred_c_t, out=dcentred_c_t)
        np.multiply(da_h_t, a_c, out=work1_t)
        np.divide(work1_t, std_c_t, out=work1_t)
        np.add(dcentred_c_t, work1_t, out=dcentred_c_t)
        # dcentred_U_o_h[t] = 2*dsum_square_U_o_h[t]*centred_U_o_h[t] + dsigmoid_in_o[t]*d_o/std_U_o_h[t] (90)
        np.multiply(2, dsum_square_U_o_h_t, out=dcentred_U_o_h_t)
        np.multiply(dcentred_U_o_h_t, centred_U_o_h_t, out=dcentred_U_o_h_t)
        np.multiply(dsigmoid_in_o_t, d_o, out=work1_t)
        np.divide(work1_t, std_U_o_h_t, out=work1_t)
        np.add(dcentred_U_o_h_t, work1_t, out=dcentred_U_o_h_t)
        # dsum_c_sum[t] = sum(dcentred_c[t]) (94)
        # dsum_U_o_h_sum[t] = sum(dcentred_U_o_h[t]) (90)
        np.add.reduce(dcentred_c_to_dcentred_U_o_h_t, axis=2, out=dsum_c_sum_to_dsum_U_o_h_sum_t)
        # dsum_c[t] = -dsum_c_sum[t]/H (94)
        # dsum_U_o_h[t] = -dsum_U_o_h_sum[t]/H (90)
        np.divide(dsum_c_sum_to_dsum_U_o_h_sum_t, H, out=dsum_c_to_dsum_U_o_h_t)
        np.multiply(dsum_c_to_dsum_U_o_h_t, -1, out=dsum_c_to_dsum_U_o_h_t)
        # dc[t] = dsum_c[t] + dcentred_c[t] + dc_via[t+1] (94)
        dc_via_next = dc_via[ring_1[t]]
        np.add(dsum_c_t, dcentred_c_t, out=dc_t)
        np.add(dc_t, dc_via_next, out=dc_t)
        # dU_o_h[t] = dsum_U_o_h[t] + dcentred_U_o_h[t] (90)
        dU_o_h_t = dU_o_h[at_0[t]]
        np.add(dsum_U_o_h_t, dcentred_U_o_h_t, out=dU_o_h_t)
        if narrow:
            _round(dU_o_h_t, dtype)
        # dg[t] = dc[t]*i[t] (101)
        dg_t = dtanh_in_g[at_0[t]]
        np.multiply(dc_t, i_t, out=dg_t)
        # df[t] = dc[t]*c[t-1] (107)
        c_t1 = c[at_1_0[t]]
        df_t = dsigmoid_in_f[at_0[t]]
        np.multiply(dc_t, c_t1, out=df_t)
        # di[t] = dc[t]*g[t] (113)
        di_t = dsigmoid_in_i[at_0[t]]
        np.multiply(dc_t, g_t, out=di_t)
        # dc_via[t] = dc[t]*f[t] (94)
        dc_via_t = dc_via[ring_1_0[t]]
        np.multiply(dc_t, f_t, out=dc_via_t)
        # dtanh_in_g[t] = dg[t]*(1 - g[t]**2) (141)
        dtanh_in_g_t = dg_t
        np.square(g_t, out=work1_t)
        np.subtract(1, work1_t, out=work1_t)
        np.multiply(dg_t, work1_t, out=dtanh_in_g_t)
        # dsigmoid_in_f[t] = df[t]*f[t]*(1 - f[t]) (136)
        dsigmoid_in_f_t = df_t
        np.multiply(df_t, f_t, out=dsigmoid_in_f_t)
        np.subtract(1, f_t, out=work1_t)
        np.multiply(dsigmoid_in_f_t, work1_t, out=dsigmoid_in_f_t)
        # dsigmoid_in_i[t] = di[t]*i[t]*(1 - i[t]) (131)
        dsigmoid_in_i_t = di_t
        np.multiply(di_t, i_t, out=dsigmoid_in_i_t)
        np.subtract(1, i_t, out=work1_t)
        np.multiply(dsigmoid_in_i_t, work1_t, out=dsigmoid_in_i_t)
        # dstd_U_g_h_each[t] = dtanh_in_g[t]*centred_U_g_h[t]*d_g (90)
        np.multiply(dtanh_in_g_t, centred_U_g_h_t, out=dstd_U_g_h_each_t)
        np.multiply(dstd_U_g_h_each_t, d_g, out=dstd_U_g_h_each_t)
        if narrow:
            _round(dtanh_in_g_t, dtype)
        # dstd_U_i_h_each[t] = dsigmoid_in_i[t]*centred_U_i_h[t]*d_i (90)
        # dstd_U_f_h_each[t] = dsigmoid_in_f[t]*centred_U_f_h[t]*d_f (90)
        dsigmoid_in_i_to_dsigmoid_in_f_t = dsigmoid_in_i_to_dsigmoid_in_f[at_0[t]]
        centred_U_i_h_to_centred_U_f_h_t = centred_U_i_h_to_centred_U_f_h[at_0[t]]
        np.multiply(
            dsigmoid_in_i_to_dsigmoid_in_f_t,
            centred_U_i_h_to_centred_U_f_h_t,
            out=dstd_U_i_h_each_to_dstd_U_f_h_each_t
        )
        np.multiply(dstd_U_i_h_each_to_dstd_U_f_h_each_t, d_i_to_d_f, out=dstd_U_i_h_each_to_dstd_U_f_h_each_t)
        if narrow:
            _round(dsigmoid_in_i_to_dsigmoid_in_f_t, dtype)
        # dstd_U_i_h_sum[t] = sum(dstd_U_i_h_each[t]) (90)
        # dstd_U_f_h_sum[t] = sum(dstd_U_f_h_each[t]) (90)
        # dstd_U_g_h_sum[t] = sum(dstd_U_g_h_each[t]) (90)
        np.add.reduce(dstd_U_i_h_each_to_dstd_U_g_h_each_t, axis=2, out=dstd_U_i_h_sum_to_dstd_U_g_h_sum_t)
        # dstd_U_i_h[t] = -dstd_U_i_h_sum[t]/std_U_i_h[t]**2 (90)
        # dstd_U_f_h[t] = -dstd_U_f_h_sum[t]/std_U_f_h[t]**2 (90)
        # dstd_U_g_h[t] = -dstd_U_g_h_sum[t]/std_U_g_h[t]**2 (90)
        std_U_i_h_to_std_U_g_h_t = std_U_i_h_to_std_U_g_h[at_0[t]]
        np.square(std_U_i_h_to_std_U_g_h_t, out=work1_t_2)
        np.divide(dstd_U_i_h_sum_to_dstd_U_g_h_sum_t, work1_t_2, out=dstd_U_i_h_to_dstd_U_g_h_t)
        np.multiply(dstd_U_i_h_to_dstd_U_g_h_t, -1, out=dstd_U_i_h_to_dstd_U_g_h_t)
        # dstd_squared_U_i_h[t] = dstd_U_i_h[t]/(2*std_U_i_h[t]) (90)
        # dstd_squared_U_f_h[t] = dstd_U_f_h[t]/(2*std_U_f_h[t]) (90)
        # dstd_squared_U_g_h[t] = dstd_U_g_h[t]/(2*std_U_g_h[t]) (90)
        np.divide(dstd_U_i_h_to_dstd_U_g_h_t, std_U_i_h_to_std_U_g_h_t, out=dstd_squared_U_i_h_to_dstd_squared_U_g_h_t)
        np.divide(dstd_squared_U_i_h_to_dstd_squared_U_g_h_t, 2, out=dstd_squared_U_i_h_to_dstd_squared_U_g_h_t)
        # dsum_square_U_i_h[t] = dstd_squared_U_i_h[t]/H (90)
        # dsum_square_U_f_h[t] = dstd_squared_U_f_h[t]/H (90)
        # dsum_square_U_g_h[t] = dstd_squared_U_g_h[t]/H (90)
        np.divide(dstd_squared_U_i_h_to_dstd_squared_U_g_h_t, H, out=dsum_square_U_i_h_to_dsum_square_U_g_h_t)
        # dcentred_U_g_h[t] = 2*dsum_square_U_g_h[t]*centred_U_g_h[t] + dtanh_in_g[t]*d_g/std_U_g_h[t] (90)
        np.multiply(2, dsum_square_U_g_h_t, out=dcentred_U_g_h_t)
        np.multiply(dcentred_U_g_h_t, centred_U_g_h_t, out=dcentred_U_g_h_t)
        np.multiply(dtanh_in_g_t, d_g, out=work1_t)
        np.divide(work1_t, std_U_g_h_t, out=work1_t)
        np.add(dcentred_U_g_h_t, work1_t, out=dcentred_U_g_h_t)
        # dcentred_U_i_h[t] = 2*dsum_square_U_i_h[t]*centred_U_i_h[t] + dsigmoid_in_i[t]*d_i/std_U_i_h[t] (90)
        # dcentred_U_f_h[t] = 2*dsum_square_U_f_h[t]*centred_U_f_h[t] + dsigmoid_in_f[t]*d_f/std_U_f_h[t] (90)
        dsigmoid_in_i_to_dsigmoid_in_f_t_ = dsigmoid_in_i_to_dsigmoid_in_f_2xH[at_0[t]]
        centred_U_i_h_to_centred_U_f_h_t_ = centred_U_i_h_to_centred_U_f_h_2xH[at_0[t]]
        std_U_i_h_to_std_U_f_h_t = std_U_i_h_to_std_U_f_h_2x1[at_0[t]]
        np.multiply(2, dsum_square_U_i_h_to_dsum_square_U_f_h_t, out=dcentred_U_i_h_to_dcentred_U_f_h_t)
        np.multiply(
            dcentred_U_i_h_to_dcentred_U_f_h_t,
            centred_U_i_h_to_centred_U_f_h_t_,
            out=dcentred_U_i_h_to_dcentred_U_f_h_t
        )
        np.multiply(dsigmoid_in_i_to_dsigmoid_in_f_t_, d_i_to_d_f.reshape(2, H), out=work1_t_3)
        np.divide(work1_t_3, std_U_i_h_to_std_U_f_h_t, out=work1_t_3)
        np.add(dcentred_U_i_h_to_dcentred_U_f_h_t, work1_t_3, out=dcentred_U_i_h_to_dcentred_U_f_h_t)
        # dsum_U_i_h_sum[t] = sum(dcentred_U_i_h[t]) (90)
        # dsum_U_f_h_sum[t] = sum(dcentred_U_f_h[t]) (90)
        # dsum_U_g_h_sum[t] = sum(dcentred_U_g_h[t]) (90)
        np.add.reduce(dcentred_U_i_h_to_dcentred_U_g_h_t, axis=2, out=dsum_U_i_h_sum_to_dsum_U_g_h_sum_t)
        # dsum_U_i_h[t] = -dsum_U_i_h_sum[t]/H (90)
        # dsum_U_f_h[t] = -dsum_U_f_h_sum[t]/H (90)
        # dsum_U_g_h[t] = -dsum_U_g_h_sum[t]/H (90)
        np.divide(dsum_U_i_h_sum_to_dsum_U_g_h_sum_t, H, out=dsum_U_i_h_to_dsum_U_g_h_t)
        np.multiply(dsum_U_i_h_to_dsum_U_g_h_t, -1, out=dsum_U_i_h_to_dsum_U_g_h_t)
        # dU_i_h[t] = dsum_U_i_h[t] + dcentred_U_i_h[t] (90)
        # dU_f_h[t] = dsum_U_f_h[t] + dcentred_U_f_h[t] (90)
        # dU_g_h[t] = dsum_U_g_h[t] + dcentred_U_g_h[t] (90)
        dU_i_h_to_dU_g_h_t = dU_i_h_to_dU_g_h_3xH[at_0[t]]
        np.add(dsum_U_i_h_to_dsum_U_g_h_t_, dcentred_U_i_h_to_dcentred_U_g_h_t, out=dU_i_h_to_dU_g_h_t)
        if narrow:
            dU_i_h_to_dU_g_h_t_ = dU_i_h_to_dU_g_h[at_0[t]]
            _round(dU_i_h_to_dU_g_h_t_, dtype)
        # dh_back[t] = U_i.T @ dU_i_h[t] + U_f.T @ dU_f_h[t] + U_g.T @ dU_g_h[t] + U_o.T @ dU_o_h[t] (90)
        dU_i_h_to_dU_o_h_t = dU_i_h_to_dU_o_h[at_0[t]]
        dh_back_t = dh_back[ring_1_0[t]]
        matmul(dU_i_h_to_dU_o_h_t, U_i_to_U_o, out=dh_back_t)

    # dU_i = sum of outer(dU_i_h[t], h[t-1]) (128)
    # dU_f = sum of outer(dU_f_h[t], h[t-1]) (133)
    # dU_g = sum of outer(dU_g_h[t], h[t-1]) (138)
    # dU_o = sum of outer(dU_o_h[t], h[t-1]) (143)
    h_t1 = h[pack.past(1, 0)]
    np.matmul(dU_i_h_to_dU_o_h.T, h_t1, out=dU_i_to_dU_o)
    # dstd_W_o_x_each[t] = dsigmoid_in_o[t]*centred_W_o_x[t]*a_o (119)
    dsigmoid_in_o_ = dsigmoid_in_i_to_dsigmoid_in_o[:, 2*H :]
    centred_W_o_x_ = centred_W_i_x_to_centred_W_o_x[:, 3*H :]
    dstd_W_o_x_each = dstd_W_i_x_each_to_dstd_W_o_x_each[:, 3*H :]
    np.multiply(dsigmoid_in_o_, centred_W_o_x_, out=dstd_W_o_x_each)
    np.multiply(dstd_W_o_x_each, a_o, out=dstd_W_o_x_each)
    # dstd_W_i_x_each[t] = dsigmoid_in_i[t]*centred_W_i_x[t]*a_i (119)
    # dstd_W_f_x_each[t] = dsigmoid_in_f[t]*centred_W_f_x[t]*a_f (119)
    dsigmoid_in_i_to_dsigmoid_in_f_ = dsigmoid_in_i_to_dsigmoid_in_o[:, : 2*H]
    centred_W_i_x_to_centred_W_f_x = centred_W_i_x_to_centred_W_o_x[:, : 2*H]
    dstd_W_i_x_each_to_dstd_W_f_x_each = dstd_W_i_x_each_to_dstd_W_o_x_each[:, : 2*H]
    np.multiply(dsigmoid_in_i_to_dsigmoid_in_f_, centred_W_i_x_to_centred_W_f_x, out=dstd_W_i_x_each_to_dstd_W_f_x_each)
    np.multiply(dstd_W_i_x_each_to_dstd_W_f_x_each, a_i_to_a_f, out=dstd_W_i_x_each_to_dstd_W_f_x_each)
    # db_i = sum of dsigmoid_in_i[t] (131)
    # db_f = sum of dsigmoid_in_f[t] (136)
    np.matmul(ones, dsigmoid_in_i_to_dsigmoid_in_f_, out=db_i_to_db_f.reshape(1, -1))
    # db_o = sum of dsigmoid_in_o[t] (146)
    np.matmul(ones, dsigmoid_in_o_, out=db_o.reshape(1, -1))
    # dstd_W_g_x_each[t] = dtanh_in_g[t]*centred_W_g_x[t]*a_g (119)
    centred_W_g_x_ = centred_W_i_x_to_centred_W_o_x[:, 2*H : 3*H]
    dstd_W_g_x_each = dstd_W_i_x_each_to_dstd_W_o_x_each[:, 2*H : 3*H]
    np.multiply(dtanh_in_g, centred_W_g_x_, out=dstd_W_g_x_each)
    np.multiply(dstd_W_g_x_each, a_g, out=dstd_W_g_x_each)
    # dstd_W_i_x_sum[t] = sum(dstd_W_i_x_each[t]) (119)
    # dstd_W_f_x_sum[t] = sum(dstd_W_f_x_each[t]) (119)
    # dstd_W_g_x_sum[t] = sum(dstd_W_g_x_each[t]) (119)
    # dstd_W_o_x_sum[t] = sum(dstd_W_o_x_each[t]) (119)
    dstd_W_i_x_sum_to_dstd_W_o_x_sum = dsum_square_W_i_x_to_dsum_square_W_o_x
    dstd_W_i_x_each_to_dstd_W_o_x_each_ = dstd_W_i_x_each_to_dstd_W_o_x_each.reshape(-1, 4, H)
    np.add.reduce(dstd_W_i_x_each_to_dstd_W_o_x_each_, axis=2, out=dstd_W_i_x_sum_to_dstd_W_o_x_sum)
    # dstd_W_i_x[t] = -dstd_W_i_x_sum[t]/std_W_i_x[t]**2 (119)
    # dstd_W_f_x[t] = -dstd_W_f_x_sum[t]/std_W_f_x[t]**2 (119)
    # dstd_W_g_x[t] = -dstd_W_g_x_sum[t]/std_W_g_x[t]**2 (119)
    # dstd_W_o_x[t] = -dstd_W_o_x_sum[t]/std_W_o_x[t]**2 (119)
    dstd_W_i_x_to_dstd_W_o_x = dstd_W_i_x_sum_to_dstd_W_o_x_sum
    np.square(std_W_i_x_to_std_W_o_x, out=work1_4)
    np.divide(dstd_W_i_x_sum_to_dstd_W_o_x_sum, work1_4, out=dstd_W_i_x_to_dstd_W_o_x)
    np.multiply(dstd_W_i_x_to_dstd_W_o_x, -1, out=dstd_W_i_x_to_dstd_W_o_x)
    # dstd_squared_W_i_x[t] = dstd_W_i_x[t]/(2*std_W_i_x[t]) (119)
    # dstd_squared_W_f_x[t] = dstd_W_f_x[t]/(2*std_W_f_x[t]) (119)
    # dstd_squared_W_g_x[t] = dstd_W_g_x[t]/(2*std_W_g_x[t]) (119)
    # dstd_squared_W_o_x[t] = dstd_W_o_x[t]/(2*std_W_o_x[t]) (119)
    dstd_squared_W_i_x_to_dstd_squared_W_o_x = dstd_W_i_x_sum_to_dstd_W_o_x_sum
    np.divide(dstd_W_i_x_to_dstd_W_o_x, std_W_i_x_to_std_W_o_x, out=dstd_squared_W_i_x_to_dstd_squared_W_o_x)
    np.divide(dstd_squared_W_i_x_to_dstd_squared_W_o_x, 2, out=dstd_squared_W_i_x_to_dstd_squared_W_o_x)
    # dsum_square_W_i_x[t] = dstd_squared_W_i_x[t]/H (119)
    # dsum_square_W_f_x[t] = dstd_squared_W_f_x[t]/H (119)
    # dsum_square_W_g_x[t] = dstd_squared_W_g_x[t]/H (119)
    # dsum_square_W_o_x[t] = dstd_squared_W_o_x[t]/H (119)
    dsum_square_W_i_x_to_dsum_square_W_o_x_ = dstd_W_i_x_sum_to_dstd_W_o_x_sum
    np.divide(dstd_squared_W_i_x_to_dstd_squared_W_o_x, H, out=dsum_square_W_i_x_to_dsum_square_W_o_x_)
    # db_g = sum of dtanh_in_g[t] (141)
    np.matmul(ones, dtanh_in_g, out=db_g.reshape(1, -1))
    # da_i_each[t] = dsigmoid_in_i[t]*centred_W_i_x[t]/std_W_i_x[t] (129)
    # da_f_each[t] = dsigmoid_in_f[t]*centred_W_f_x[t]/std_W_f_x[t] (134)
    dsigmoid_in_i_to_dsigmoid_in_f_2 = dsigmoid_in_i_to_dsigmoid_in_o[:, : 2*H].reshape(-1, 2, H)
    centred_W_i_x_to_centred_W_f_x_ = centred_W_i_x_to_centred_W_o_x[:, : 2*H].reshape(-1, 2, H)
    std_W_i_x_to_std_W_f_x = std_W_i_x_to_std_W_o_x[:, : 2].reshape(-1, 2, 1)
    da_i_each_to_da_f_each = da_i_each_to_da_o_each[:, : 2*H].reshape(-1, 2, H)
    np.multiply(dsigmoid_in_i_to_dsigmoid_in_f_2, centred_W_i_x_to_centred_W_f_x_, out=da_i_each_to_da_f_each)
    np.divide(da_i_each_to_da_f_each, std_W_i_x_to_std_W_f_x, out=da_i_each_to_da_f_each)
    if narrow:
        da_i_each_to_da_f_each_ = da_i_each_to_da_o_each[:, : 2*H]
        _round(da_i_each_to_da_f_each_, dtype)
    # da_g_each[t] = dtanh_in_g[t]*centred_W_g_x[t]/std_W_g_x[t] (139)
    std_W_g_x_ = std_W_i_x_to_std_W_o_x[:, 2 : 3]
    da_g_each = da_i_each_to_da_o_each[:, 2*H : 3*H]
    np.multiply(dtanh_in_g, centred_W_g_x_, out=da_g_each)
    np.divide(da_g_each, std_W_g_x_, out=da_g_each)
    if narrow:
        _round(da_g_each, dtype)
    # da_o_each[t] = dsigmoid_in_o[t]*centred_W_o_x[t]/std_W_o_x[t] (144)
    std_W_o_x_ = std_W_i_x_to_std_W_o_x[:, 3 :]
    da_o_each = da_i_each_to_da_o_each[:, 3*H :]
    np.multiply(dsigmoid_in_o_, centred_W_o_x_, out=da_o_each)
    np.divide(da_o_each, std_W_o_x_, out=da_o_each)
    if narrow:
        _round(da_o_each, dtype)
    # da_i = sum of da_i_each[t] (129)
    # da_f = sum of da_f_each[t] (134)
    # da_g = sum of da_g_each[t] (139)
    # da_o = sum of da_o_each[t] (144)
    np.matmul(ones, _rounded(da_i_each_to_da_o_each, dtype), out=da_i_to_da_o.reshape(1, -1))
    # dd_i_each[t] = dsigmoid_in_i[t]*centred_U_i_h[t]/std_U_i_h[t] (130)
    # dd_f_each[t] = dsigmoid_in_f[t]*centred_U_f_h[t]/std_U_f_h[t] (135)
    centred_U_i_h_to_centred_U_f_h_ = centred_U_i_h_to_centred_U_o_h[:, : 2*H].reshape(-1, 2, H)
    std_U_i_h_to_std_U_f_h = std_U_i_h_to_std_U_o_h[:, : 2].reshape(-1, 2, 1)
    dd_i_each_to_dd_f_each = dd_i_each_to_dd_o_each[:, : 2*H].reshape(-1, 2, H)
    np.multiply(dsigmoid_in_i_to_dsigmoid_in_f_2, centred_U_i_h_to_centred_U_f_h_, out=dd_i_each_to_dd_f_each)
    np.divide(dd_i_each_to_dd_f_each, std_U_i_h_to_std_U_f_h, out=dd_i_each_to_dd_f_each)
    if narrow:
        dd_i_each_to_dd_f_each_ = dd_i_each_to_dd_o_each[:, : 2*H]
        _round(dd_i_each_to_dd_f_each_, dtype)
    # dd_g_each[t] = dtanh_in_g[t]*centred_U_g_h[t]/std_U_g_h[t] (140)
    centred_U_g_h_ = centred_U_i_h_to_centred_U_o_h[:, 2*H : 3*H]
    std_U_g_h_ = std_U_i_h_to_std_U_o_h[:, 2 : 3]
    dd_g_each = dd_i_each_to_dd_o_each[:, 2*H : 3*H]
    np.multiply(dtanh_in_g, centred_U_g_h_, out=dd_g_each)
    np.divide(dd_g_each, std_U_g_h_, out=dd_g_each)
    if narrow:
        _round(dd_g_each, dtype)
    # dd_o_each[t] = dsigmoid_in_o[t]*centred_U_o_h[t]/std_U_o_h[t] (145)
    centred_U_o_h_ = centred_U_i_h_to_centred_U_o_h[:, 3*H :]
    std_U_o_h_ = std_U_i_h_to_std_U_o_h[:, 3 :]
    dd_o_each = dd_i_each_to_dd_o_each[:, 3*H :]
    np.multiply(dsigmoid_in_o_, centred_U_o_h_, out=dd_o_each)
    np.divide(dd_o_each, std_U_o_h_, out=dd_o_each)
    if narrow:
        _round(dd_o_each, dtype)
    # dd_i = sum of dd_i_each[t] (130)
    # dd_f = sum of dd_f_each[t] (135)
    # dd_g = sum of dd_g_each[t] (140)
    # dd_o = sum of dd_o_each[t] (145)
    np.matmul(ones, _rounded(dd_i_each_to_dd_o_each, dtype), out=dd_i_to_dd_o.reshape(1, -1))
    # da_c_each[t] = da_h[t]*centred_c[t]/std_c[t] (147)
    np.multiply(da_h, centred_c, out=da_c_each)
    np.divide(da_c_each, std_c, out=da_c_each)
    if narrow:
        _round(da_c_each, dtype)
    # da_c = sum of da_c_each[t] (147)
    np.matmul(ones, _rounded(da_c_each, dtype), out=da_c.reshape(1, -1))
    # db_c = sum of da_h[t] (148)
    np.matmul(ones, da_h, out=db_c.reshape(1, -1))
    # dcentred_W_o_x[t] = 2*dsum_square_W_o_x[t]*centred_W_o_x[t] + dsigmoid_in_o[t]*a_o/std_W_o_x[t] (119)
    dsum_square_W_o_x = dsum_square_W_i_x_to_dsum_square_W_o_x[:, 3 :]
    dcentred_W_o_x = dcentred_W_i_x_to_dcentred_W_o_x[:, 3*H :]
    np.multiply(2, dsum_square_W_o_x, out=dcentred_W_o_x)
    np.multiply(dcentred_W_o_x, centred_W_o_x_, out=dcentred_W_o_x)
    np.multiply(dsigmoid_in_o_, a_o, out=work1_5)
    np.divide(work1_5, std_W_o_x_, out=work1_5)
    np.add(dcentred_W_o_x, work1_5, out=dcentred_W_o_x)
    # dcentred_W_i_x[t] = 2*dsum_square_W_i_x[t]*centred_W_i_x[t] + dsigmoid_in_i[t]*a_i/std_W_i_x[t] (119)
    # dcentred_W_f_x[t] = 2*dsum_square_W_f_x[t]*centred_W_f_x[t] + dsigmoid_in_f[t]*a_f/std_W_f_x[t] (119)
    dsum_square_W_i_x_to_dsum_square_W_f_x = dsum_square_W_i_x_to_dsum_square_W_o_x[:, : 2].reshape(-1, 2, 1)
    work1_7 = work1_6.reshape(-1, 2, H)
    dcentred_W_i_x_to_dcentred_W_f_x = dcentred_W_i_x_to_dcentred_W_o_x[:, : 2*H].reshape(-1, 2, H)
    np.multiply(2, dsum_square_W_i_x_to_dsum_square_W_f_x, out=dcentred_W_i_x_to_dcentred_W_f_x)
    np.multiply(dcentred_W_i_x_to_dcentred_W_f_x, centred_W_i_x_to_centred_W_f_x_, out=dcentred_W_i_x_to_dcentred_W_f_x)
    np.multiply(dsigmoid_in_i_to_dsigmoid_in_f_2, a_i_to_a_f.reshape(2, H), out=work1_7)
    np.divide(work1_7, std_W_i_x_to_std_W_f_x, out=work1_7)
    np.add(dcentred_W_i_x_to_dcentred_W_f_x, work1_7, out=dcentred_W_i_x_to_dcentred_W_f_x)
    # dcentred_W_g_x[t] = 2*dsum_square_W_g_x[t]*centred_W_g_x[t] + dtanh_in_g[t]*a_g/std_W_g_x[t] (119)
    dsum_square_W_g_x = dsum_square_W_i_x_to_dsum_square_W_o_x[:, 2 : 3]
    dcentred_W_g_x = dcentred_W_i_x_to_dcentred_W_o_x[:, 2*H : 3*H]
    np.multiply(2, dsum_square_W_g_x, out=dcentred_W_g_x)
    np.multiply(dcentred_W_g_x, centred_W_g_x_, out=dcentred_W_g_x)
    np.multiply(dtanh_in_g, a_g, out=work1_5)
    np.divide(work1_5, std_W_g_x_, out=work1_5)
    np.add(dcentred_W_g_x, work1_5, out=dcentred_W_g_x)
    # dsum_W_i_x_sum[t] = sum(dcentred_W_i_x[t]) (119)
    # dsum_W_f_x_sum[t] = sum(dcentred_W_f_x[t]) (119)
    # dsum_W_g_x_sum[t] = sum(dcentred_W_g_x[t]) (119)
    # dsum_W_o_x_sum[t] = sum(dcentred_W_o_x[t]) (119)
    dsum_W_i_x_sum_to_dsum_W_o_x_sum = dsum_W_i_x_to_dsum_W_o_x
    dcentred_W_i_x_to_dcentred_W_o_x_ = dcentred_W_i_x_to_dcentred_W_o_x.reshape(-1, 4, H)
    np.add.reduce(dcentred_W_i_x_to_dcentred_W_o_x_, axis=2, out=dsum_W_i_x_sum_to_dsum_W_o_x_sum)
    if narrow:
        _round(dcentred_W_i_x_to_dcentred_W_o_x, dtype)
    # dsum_W_i_x[t] = -dsum_W_i_x_sum[t]/H (119)
    # dsum_W_f_x[t] = -dsum_W_f_x_sum[t]/H (119)
    # dsum_W_g_x[t] = -dsum_W_g_x_sum[t]/H (119)
    # dsum_W_o_x[t] = -dsum_W_o_x_sum[t]/H (119)
    dsum_W_i_x_to_dsum_W_o_x_ = dsum_W_i_x_sum_to_dsum_W_o_x_sum
    np.divide(dsum_W_i_x_sum_to_dsum_W_o_x_sum, H, out=dsum_W_i_x_to_dsum_W_o_x_)
    np.multiply(dsum_W_i_x_to_dsum_W_o_x_, -1, out=dsum_W_i_x_to_dsum_W_o_x_)
    # dW_i_x[t] = dsum_W_i_x[t] + dcentred_W_i_x[t] (119)
    # dW_f_x[t] = dsum_W_f_x[t] + dcentred_W_f_x[t] (119)
    # dW_g_x[t] = dsum_W_g_x[t] + dcentred_W_g_x[t] (119)
    # dW_o_x[t] = dsum_W_o_x[t] + dcentred_W_o_x[t] (119)
    dsum_W_i_x_to_dsum_W_o_x_2 = dsum_W_i_x_to_dsum_W_o_x.reshape(-1, 4, 1)
    dW_i_x_to_dW_o_x_ = dW_i_x_to_dW_o_x.reshape(-1, 4, H)
    np.add(dsum_W_i_x_to_dsum_W_o_x_2, dcentred_W_i_x_to_dcentred_W_o_x_, out=dW_i_x_to_dW_o_x_)
    if narrow:
        _round(dW_i_x_to_dW_o_x, dtype)
    if need_x:
        # dx[t] = W_i.T @ dW_i_x[t] + W_f.T @ dW_f_x[t] + W_g.T @ dW_g_x[t] + W_o.T @ dW_o_x[t] (119)
        matmul(dW_i_x_to_dW_o_x, W_i_to_W_o, out=dx_)
        if narrow:
            _round(dx_, dtype)
    # dW_i = sum of outer(dW_i_x[t], x[t]) (127)
    # dW_f = sum of outer(dW_f_x[t], x[t]) (132)
    # dW_g = sum of outer(dW_g_x[t], x[t]) (137)
    # dW_o = sum of outer(dW_o_x[t], x[t]) (142)
    matmul(dW_i_x_to_dW_o_x.T, x_, out=dW_i_to_dW_o)

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
    W_i_x_W_f_x_W_g_x_W_o_x = np.empty((batch, 4*H), real)
    U_i_h_U_f_h_U_g_h_U_o_h = np.empty((batch, 4*H), real)
    sum_W_i_x_to_sum_W_o_x = np.empty((batch, 4), real)
    centred_W_i_x_to_centred_W_o_x = np.empty((batch, 4*H), real)
    square_W_i_x_to_square_W_o_x = np.empty((batch, 4*H), real)
    std_W_i_x_to_std_W_o_x = np.empty((batch, 4), real)
    sigmoid_in_i_in_to_sigmoid_in_o_in = np.empty((batch, 4*H), real)
    sum_U_i_h_to_sum_U_o_h = np.empty((batch, 4), real)
    centred_U_i_h_to_centred_U_o_h = np.empty((batch, 4*H), real)
    square_U_i_h_to_square_U_o_h = np.empty((batch, 4*H), real)
    square_c = np.empty((batch, H), real)
    std_U_i_h_to_std_U_o_h = np.empty((batch, 4), real)
    std_c = np.empty((batch, 1), real)
    i = np.empty((batch, H), real)
    g = np.empty((batch, H), real)
    tanh_a_h = np.empty((batch, H), real)
    sum_c = np.empty((batch, 1), real)
    centred_c = np.empty((batch, H), real)
    c = np.empty((batch, H), real)
    h = np.empty((batch, H), real)
    work1 = np.empty((batch, H), real)
    a_i_to_a_o = params.stack("a_i", "a_o")
    b_i_to_b_o = params.stack("b_i", "b_o")
    d_i = params.stack("d_i", "d_i")
    d_f = params.stack("d_f", "d_f")
    d_g = params.stack("d_g", "d_g")
    d_o = params.stack("d_o", "d_o")
    a_c = params.stack("a_c", "a_c")
    b_c = params.stack("b_c", "b_c")
    h_before = np.empty((1, batch, H), real)
    c_before = np.empty((1, batch, H), real)
    W_i_to_W_o_T = params.stack("W_i", "W_o").T
    narrow = dtype.itemsize == 2
    h_t1 = h_before[0]
    U_i_to_U_o_T = params.stack("U_i", "U_o").T
    matmul = _products(dtype)
    c_t1 = c_before[0]

    @np.errstate(all="ignore")
    def run() -> tuple[Any, dict[str, Any]]:
        # W_i_x[t] = W_i @ x[t] (21)
        # W_f_x[t] = W_f @ x[t] (27)
        # W_g_x[t] = W_g @ x[t] (33)
        # W_o_x[t] = W_o @ x[t] (39)
        W_i_x_to_W_o_x_t = W_i_x_W_f_x_W_g_x_W_o_x
        np.matmul(x_t_, W_i_to_W_o_T, out=W_i_x_to_W_o_x_t)
        if narrow:
            _round(W_i_x_to_W_o_x_t, dtype)
        # sum_W_i_x[t] = sum(W_i_x[t]) (21)
        # sum_W_f_x[t] = sum(W_f_x[t]) (27)
        # sum_W_g_x[t] = sum(W_g_x[t]) (33)
        # sum_W_o_x[t] = sum(W_o_x[t]) (39)
        W_i_x_to_W_o_x_t_ = W_i_x_W_f_x_W_g_x_W_o_x.reshape(-1, 4, H)
        np.add.reduce(W_i_x_to_W_o_x_t_, axis=2, out=sum_W_i_x_to_sum_W_o_x)
        # centred_W_i_x[t] = W_i_x[t] - sum_W_i_x[t]/H (21)
        # centred_W_f_x[t] = W_f_x[t] - sum_W_f_x[t]/H (27)
        # centred_W_g_x[t] = W_g_x[t] - sum_W_g_x[t]/H (33)
        # centred_W_o_x[t] = W_o_x[t] - sum_W_o_x[t]/H (39)
        sum_W_i_x_to_sum_W_o_x_t = sum_W_i_x_to_sum_W_o_x.reshape(-1, 4, 1)
        centred_W_i_x_to_centred_W_o_x_t = centred_W_i_x_to_centred_W_o_x.reshape(-1, 4, H)
        np.divide(sum_W_i_x_to_sum_W_o_x_t, H, out=centred_W_i_x_to_centred_W_o_x_t)
        np.subtract(W_i_x_to_W_o_x_t_, centred_W_i_x_to_centred_W_o_x_t, out=centred_W_i_x_to_centred_W_o_x_t)
        # square_W_i_x[t] = centred_W_i_x[t]**2 (21)
        # square_W_f_x[t] = centred_W_f_x[t]**2 (27)
        # square_W_g_x[t] = centred_W_g_x[t]**2 (33)
        # square_W_o_x[t] = centred_W_o_x[t]**2 (39)
        np.square(centred_W_i_x_to_centred_W_o_x, out=square_W_i_x_to_square_W_o_x)
        if narrow:
            _round(centred_W_i_x_to_centred_W_o_x, dtype)
        # sum_square_W_i_x[t] = sum(square_W_i_x[t]) (21)
        # sum_square_W_f_x[t] = sum(square_W_f_x[t]) (27)
        # sum_square_W_g_x[t] = sum(square_W_g_x[t]) (33)
        # sum_square_W_o_x[t] = sum(square_W_o_x[t]) (39)
        sum_square_W_i_x_to_sum_square_W_o_x_t = std_W_i_x_to_std_W_o_x
        square_W_i_x_to_square_W_o_x_t = square_W_i_x_to_square_W_o_x.reshape(-1, 4, H)
        np.add.reduce(square_W_i_x_to_square_W_o_x_t, axis=2, out=sum_square_W_i_x_to_sum_square_W_o_x_t)
        # std_squared_W_i_x[t] = sum_square_W_i_x[t]/H + 1e-05 (21)
        # std_squared_W_f_x[t] = sum_square_W_f_x[t]/H + 1e-05 (27)
        # std_squared_W_g_x[t] = sum_square_W_g_x[t]/H + 1e-05 (33)
        # std_squared_W_o_x[t] = sum_square_W_o_x[t]/H + 1e-05 (39)
        std_squared_W_i_x_to_std_squared_W_o_x_t = sum_square_W_i_x_to_sum_square_W_o_x_t
        np.divide(sum_square_W_i_x_to_sum_square_W_o_x_t, H, out=std_squared_W_i_x_to_std_squared_W_o_x_t)
        np.add(std_squared_W_i_x_to_std_squared_W_o_x_t, 1e-05, out=std_squared_W_i_x_to_std_squared_W_o_x_t)
        # std_W_i_x[t] = sqrt(std_squared_W_i_x[t]) (21)
        # std_W_f_x[t] = sqrt(std_squared_W_f_x[t]) (27)
        # std_W_g_x[t] = sqrt(std_squared_W_g_x[t]) (33)
        # std_W_o_x[t] = sqrt(std_squared_W_o_x[t]) (39)
        std_W_i_x_to_std_W_o_x_t = sum_square_W_i_x_to_sum_square_W_o_x_t
        np.sqrt(std_squared_W_i_x_to_std_squared_W_o_x_t, out=std_W_i_x_to_std_W_o_x_t)
        # sigmoid_in_i_in[t] = centred_W_i_x[t]*a_i/std_W_i_x[t] + b_i (21)
        # sigmoid_in_f_in[t] = centred_W_f_x[t]*a_f/std_W_f_x[t] + b_f (27)
        # tanh_in_g_in[t] = centred_W_g_x[t]*a_g/std_W_g_x[t] + b_g (33)
        # sigmoid_in_o_in[t] = centred_W_o_x[t]*a_o/std_W_o_x[t] + b_o (39)
        std_W_i_x_to_std_W_o_x_t_ = std_W_i_x_to_std_W_o_x.reshape(-1, 4, 1)
        sigmoid_in_i_in_to_sigmoid_in_o_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in.reshape(-1, 4, H)
        np.multiply(
            centred_W_i_x_to_centred_W_o_x_t,
            a_i_to_a_o.reshape(4, H),
            out=sigmoid_in_i_in_to_sigmoid_in_o_in_t
        )
        np.divide(
            sigmoid_in_i_in_to_sigmoid_in_o_in_t,
            std_W_i_x_to_std_W_o_x_t_,
            out=sigmoid_in_i_in_to_sigmoid_in_o_in_t
        )
        np.add(sigmoid_in_i_in_to_sigmoid_in_o_in_t, b_i_to_b_o.reshape(4, H), out=sigmoid_in_i_in_to_sigmoid_in_o_in_t)
        if narrow:
            _round(sigmoid_in_i_in_to_sigmoid_in_o_in, dtype)
            _round(std_W_i_x_to_std_W_o_x_t, dtype)
        # U_i_h[t] = U_i @ h[t-1] (21)
        # U_f_h[t] = U_f @ h[t-1] (27)
        # U_g_h[t] = U_g @ h[t-1] (33)
        # U_o_h[t] = U_o @ h[t-1] (39)
        U_i_h_to_U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h
        matmul(h_t1, U_i_to_U_o_T, out=U_i_h_to_U_o_h_t)
        # sum_U_i_h[t] = sum(U_i_h[t]) (21)
        # sum_U_f_h[t] = sum(U_f_h[t]) (27)
        # sum_U_g_h[t] = sum(U_g_h[t]) (33)
        # sum_U_o_h[t] = sum(U_o_h[t]) (39)
        U_i_h_to_U_o_h_t_ = U_i_h_U_f_h_U_g_h_U_o_h.reshape(-1, 4, H)
        np.add.reduce(U_i_h_to_U_o_h_t_, axis=2, out=sum_U_i_h_to_sum_U_o_h)
        # centred_U_i_h[t] = U_i_h[t] - sum_U_i_h[t]/H (21)
        # centred_U_f_h[t] = U_f_h[t] - sum_U_f_h[t]/H (27)
        # centred_U_g_h[t] = U_g_h[t] - sum_U_g_h[t]/H (33)
        # centred_U_o_h[t] = U_o_h[t] - sum_U_o_h[t]/H (39)
        sum_U_i_h_to_sum_U_o_h_t = sum_U_i_h_to_sum_U_o_h.reshape(-1, 4, 1)
        centred_U_i_h_to_centred_U_o_h_t = centred_U_i_h_to_centred_U_o_h.reshape(-1, 4, H)
        np.divide(sum_U_i_h_to_sum_U_o_h_t, H, out=centred_U_i_h_to_centred_U_o_h_t)
        np.subtract(U_i_h_to_U_o_h_t_, centred_U_i_h_to_centred_U_o_h_t, out=centred_U_i_h_to_centred_U_o_h_t)
        # square_U_i_h[t] = centred_U_i_h[t]**2 (21)
        # square_U_f_h[t] = centred_U_f_h[t]**2 (27)
        # square_U_g_h[t] = centred_U_g_h[t]**2 (33)
        # square_U_o_h[t] = centred_U_o_h[t]**2 (39)
        np.square(centred_U_i_h_to_centred_U_o_h, out=square_U_i_h_to_square_U_o_h)
        if narrow:
            _round(centred_U_i_h_to_centred_U_o_h, dtype)
        # sum_square_U_i_h[t] = sum(square_U_i_h[t]) (21)
        # sum_square_U_f_h[t] = sum(square_U_f_h[t]) (27)
        # sum_square_U_g_h[t] = sum(square_U_g_h[t]) (33)
        # sum_square_U_o_h[t] = sum(square_U_o_h[t]) (39)
        sum_square_U_i_h_to_sum_square_U_o_h_t = std_U_i_h_to_std_U_o_h
        square_U_i_h_to_square_U_o_h_t = square_U_i_h_to_square_U_o_h.reshape(-1, 4, H)
        np.add.reduce(square_U_i_h_to_square_U_o_h_t, axis=2, out=sum_square_U_i_h_to_sum_square_U_o_h_t)
        # std_squared_U_i_h[t] = sum_square_U_i_h[t]/H + 1e-05 (21)
        # std_squared_U_f_h[t] = sum_square_U_f_h[t]/H + 1e-05 (27)
        # std_squared_U_g_h[t] = sum_square_U_g_h[t]/H + 1e-05 (33)
        # std_squared_U_o_h[t] = sum_square_U_o_h[t]/H + 1e-05 (39)
        std_squared_U_i_h_to_std_squared_U_o_h_t = sum_square_U_i_h_to_sum_square_U_o_h_t
        np.divide(sum_square_U_i_h_to_sum_square_U_o_h_t, H, out=std_squared_U_i_h_to_std_squared_U_o_h_t)
        np.add(std_squared_U_i_h_to_std_squared_U_o_h_t, 1e-05, out=std_squared_U_i_h_to_std_squared_U_o_h_t)
        # std_U_i_h[t] = sqrt(std_squared_U_i_h[t]) (21)
        # std_U_f_h[t] = sqrt(std_squared_U_f_h[t]) (27)
        # std_U_g_h[t] = sqrt(std_squared_U_g_h[t]) (33)
        # std_U_o_h[t] = sqrt(std_squared_U_o_h[t]) (39)
        std_U_i_h_to_std_U_o_h_t = sum_square_U_i_h_to_sum_square_U_o_h_t
        np.sqrt(std_squared_U_i_h_to_std_squared_U_o_h_t, out=std_U_i_h_to_std_U_o_h_t)
        # sigmoid_in_i[t] = centred_U_i_h[t]*d_i/std_U_i_h[t] + sigmoid_in_i_in[t] (21)
        centred_U_i_h_t = centred_U_i_h_to_centred_U_o_h[:, : H]
        std_U_i_h_t = std_U_i_h_to_std_U_o_h[:, : 1]
        sigmoid_in_i_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in[:, : H]
        sigmoid_in_i_t = i
        np.multiply(centred_U_i_h_t, d_i, out=sigmoid_in_i_t)
        np.divide(sigmoid_in_i_t, std_U_i_h_t, out=sigmoid_in_i_t)
        np.add(sigmoid_in_i_t, sigmoid_in_i_in_t, out=sigmoid_in_i_t)
        if narrow:
            _round(std_U_i_h_t, dtype)
        # sigmoid_in_f[t] = centred_U_f_h[t]*d_f/std_U_f_h[t] + sigmoid_in_f_in[t] (27)
        centred_U_f_h_t = centred_U_i_h_to_centred_U_o_h[:, H : 2*H]
        std_U_f_h_t = std_U_i_h_to_std_U_o_h[:, 1 : 2]
        sigmoid_in_f_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in[:, H : 2*H]
        sigmoid_in_f_t = c
        np.multiply(centred_U_f_h_t, d_f, out=sigmoid_in_f_t)
        np.divide(sigmoid_in_f_t, std_U_f_h_t, out=sigmoid_in_f_t)
        np.add(sigmoid_in_f_t, sigmoid_in_f_in_t, out=sigmoid_in_f_t)
        if narrow:
            _round(std_U_f_h_t, dtype)
        # tanh_in_g[t] = centred_U_g_h[t]*d_g/std_U_g_h[t] + tanh_in_g_in[t] (33)
        centred_U_g_h_t = centred_U_i_h_to_centred_U_o_h[:, 2*H : 3*H]
        std_U_g_h_t = std_U_i_h_to_std_U_o_h[:, 2 : 3]
        tanh_in_g_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in[:, 2*H : 3*H]
        tanh_in_g_t = g
        np.multiply(centred_U_g_h_t, d_g, out=tanh_in_g_t)
        np.divide(tanh_in_g_t, std_U_g_h_t, out=tanh_in_g_t)
        np.add(tanh_in_g_t, tanh_in_g_in_t, out=tanh_in_g_t)
        if narrow:
            _round(std_U_g_h_t, dtype)
        # sigmoid_in_o[t] = centred_U_o_h[t]*d_o/std_U_o_h[t] + sigmoid_in_o_in[t] (39)
        centred_U_o_h_t = centred_U_i_h_to_centred_U_o_h[:, 3*H :]
        std_U_o_h_t = std_U_i_h_to_std_U_o_h[:, 3 :]
        sigmoid_in_o_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in[:, 3*H :]
        sigmoid_in_o_t = h
        np.multiply(centred_U_o_h_t, d_o, out=sigmoid_in_o_t)
        np.divide(sigmoid_in_o_t, std_U_o_h_t, out=sigmoid_in_o_t)
        np.add(sigmoid_in_o_t, sigmoid_in_o_in_t, out=sigmoid_in_o_t)
        if narrow:
            _round(std_U_o_h_t, dtype)
        # i[t] = sigmoid(sigmoid_in_i[t]) (input gate) (21)
        i_t = sigmoid_in_i_t
        np.subtract(0, sigmoid_in_i_t, out=i_t)
        np.exp(i_t, out=i_t)
        np.add(i_t, 1, out=i_t)
        np.divide(1, i_t, out=i_t)
        # f[t] = sigmoid(sigmoid_in_f[t]) (forget gate) (27)
        f_t = sigmoid_in_f_t
        np.subtract(0, sigmoid_in_f_t, out=f_t)
        np.exp(f_t, out=f_t)
        np.add(f_t, 1, out=f_t)
        np.divide(1, f_t, out=f_t)
        # g[t] = tanh(tanh_in_g[t]) (candidate) (33)
        g_t = tanh_in_g_t
        np.tanh(tanh_in_g_t, out=g_t)
        # o[t] = sigmoid(sigmoid_in_o[t]) (output gate) (39)
        o_t = sigmoid_in_o_t
        np.subtract(0, sigmoid_in_o_t, out=o_t)
        np.exp(o_t, out=o_t)
        np.add(o_t, 1, out=o_t)
        np.divide(1, o_t, out=o_t)
        if narrow:
            h_t = sigmoid_in_o_t
            _round(h_t, dtype)
        # c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state) (10)
        c_t = sigmoid_in_f_t
        np.multiply(f_t, c_t1, out=c_t)
        np.multiply(i_t, g_t, out=work1)
        np.add(c_t, work1, out=c_t)
        # sum_c[t] = sum(c[t]) (42)
        np.add.reduce(c_t, axis=1, keepdims=True, out=sum_c)
        # centred_c[t] = c[t] - sum_c[t]/H (42)
        np.divide(sum_c, H, out=centred_c)
        np.subtract(c_t, centred_c, out=centred_c)
        if narrow:
            _round(sum_c, dtype)
        # square_c[t] = centred_c[t]**2 (42)
        np.square(centred_c, out=square_c)
        # sum_square_c[t] = sum(square_c[t]) (42)
        sum_square_c_t = std_c
        np.add.reduce(square_c, axis=1, keepdims=True, out=sum_square_c_t)
        # std_squared_c[t] = sum_square_c[t]/H + 1e-05 (42)
        std_squared_c_t = sum_square_c_t
        np.divide(sum_square_c_t, H, out=std_squared_c_t)
        np.add(std_squared_c_t, 1e-05, out=std_squared_c_t)
        # std_c[t] = sqrt(std_squared_c[t]) (42)
        std_c_t = sum_square_c_t
        np.sqrt(std_squared_c_t, out=std_c_t)
        # a_h[t] = centred_c[t]*a_c/std_c[t] + b_c (42)
        a_h_t = tanh_a_h
        np.multiply(centred_c, a_c, out=a_h_t)
        np.divide(a_h_t, std_c_t, out=a_h_t)
        np.add(a_h_t, b_c, out=a_h_t)
        if narrow:
            _round(std_c_t, dtype)
        # tanh_a_h[t] = tanh(a_h[t]) (42)
        tanh_a_h_t = a_h_t
        np.tanh(a_h_t, out=tanh_a_h_t)
        # h[t] = o[t]*tanh_a_h[t] (hidden state) (42)
        h_t_ = sigmoid_in_o_t
        np.multiply(o_t, tanh_a_h_t, out=h_t_)
        if narrow:
            _round(h_t_, dtype)

        state = {
            "h": h.copy(),
            "c": c.copy(),
        }
        return h_t_.copy(), state

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
    H = sizes["H"]
    rows = steps * batch
    untaped = real * (rows * (8*H + 8) + batch * (12*H + 6)) + 488 * steps
    untaped += real * batch * max(4, H)
    taped = real * (rows * (14*H + 14) + batch * 7*H) + 488 * steps
    taped += real * batch * max(4, H)
    back = item * (rows * (9*H + 10) + batch * H) + 1016 * steps
    back += real * (rows * (9*H + 5) + batch * (9*H + 2))
    back += 2 * real * batch * max(2*H, 3)
    back += real * rows * max(3*H, 4)
    if item < 4:
        untaped += item * (rows * 4*H)
        untaped += real * (rows * (D + H) + batch * H)
        untaped += real * (4*D*H + 14*H + 4*H*H)
        taped += item * (rows * (D + 13*H + 10) + batch * H)
        taped += real * (rows * D)
        taped += real * (4*D*H + 14*H + 4*H*H)
        back += real * (rows * (2*D + 18*H + 10) + batch * H)
        back += real * (8*D*H + 28*H + 8*H*H)
        back += item * rows * max(4*H, D)
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
