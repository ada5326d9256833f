"""Long short-term memory

Hochreiter & Schmidhuber (1997); forget gate: Gers, Schmidhuber & Cummins (2000). Same cell as torch.nn.LSTM.

The cell lstm as NumPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive lstm``.
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
STAMP = "6317bfc3ef2c1948"


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
    a_i_in_to_a_g_in = np.empty((pack.size, 4*H), real)
    i_f_o_g = np.empty((pack.size if keep_tape else batch, 4*H), real)
    c = np.empty((pack.size + batch if keep_tape else 2 * batch, H), real)
    h = np.empty((pack.size + batch, H), real)
    work1 = np.empty((batch, H), real)
    b_i_to_b_g = params.stack("b_i", "b_g")
    h[pack.first(1)] = pack.sort(given["h"]) if "h" in given else 0
    c[pack.first(1)] = pack.sort(given["c"]) if "c" in given else 0
    W_i_to_W_g_T = params.stack("W_i", "W_g").T
    narrow = dtype.itemsize == 2
    U_i_to_U_g_T = params.stack("U_i", "U_g").T
    matmul = _products(dtype)
    i_to_o = i_f_o_g[:, : 3*H]
    g = i_f_o_g[:, 3*H :]
    f = i_f_o_g[:, H : 2*H]
    i = i_f_o_g[:, : H]
    i_to_f = i_f_o_g[:, : 2*H]
    o = i_f_o_g[:, 2*H : 3*H]

    # W_i_x[t] = W_i @ x[t] (16)
    # W_f_x[t] = W_f @ x[t] (18)
    # W_o_x[t] = W_o @ x[t] (22)
    # W_g_x[t] = W_g @ x[t] (20)
    W_i_x_to_W_g_x = a_i_in_to_a_g_in
    np.matmul(x_rows, W_i_to_W_g_T, out=W_i_x_to_W_g_x)
    if narrow:
        _round(W_i_x_to_W_g_x, dtype)
    # a_i_in[t] = W_i_x[t] + b_i (16)
    # a_f_in[t] = W_f_x[t] + b_f (18)
    # a_o_in[t] = W_o_x[t] + b_o (22)
    # a_g_in[t] = W_g_x[t] + b_g (20)
    a_i_in_to_a_g_in_ = W_i_x_to_W_g_x
    np.add(W_i_x_to_W_g_x, b_i_to_b_g, out=a_i_in_to_a_g_in_)
    if narrow:
        _round(a_i_in_to_a_g_in_, dtype)

    samples = -1
    for t, n in enumerate(pack.counts):
        if n != samples:
            samples = n
            work1_t = work1[:n]
        # U_i_h[t] = U_i @ h[t-1] (16)
        # U_f_h[t] = U_f @ h[t-1] (18)
        # U_o_h[t] = U_o @ h[t-1] (22)
        # U_g_h[t] = U_g @ h[t-1] (20)
        h_t1 = h[at_1_0[t]]
        U_i_h_to_U_g_h_t = i_f_o_g[kept_0[t]]
        matmul(h_t1, U_i_to_U_g_T, out=U_i_h_to_U_g_h_t)
        if narrow:
            _round(U_i_h_to_U_g_h_t, dtype)
        # a_i[t] = U_i_h[t] + a_i_in[t] (16)
        # a_f[t] = U_f_h[t] + a_f_in[t] (18)
        # a_o[t] = U_o_h[t] + a_o_in[t] (22)
        # a_g[t] = U_g_h[t] + a_g_in[t] (20)
        a_i_in_to_a_g_in_t = a_i_in_to_a_g_in[at_0[t]]
        a_i_to_a_g_t = U_i_h_to_U_g_h_t
        np.add(U_i_h_to_U_g_h_t, a_i_in_to_a_g_in_t, out=a_i_to_a_g_t)
        # i[t] = sigmoid(a_i[t]) (input gate) (17)
        # f[t] = sigmoid(a_f[t]) (forget gate) (19)
        # o[t] = sigmoid(a_o[t]) (output gate) (23)
        a_i_to_a_o_t = i_to_o[kept_0[t]]
        i_to_o_t = a_i_to_a_o_t
        np.subtract(0, a_i_to_a_o_t, out=i_to_o_t)
        np.exp(i_to_o_t, out=i_to_o_t)
        np.add(i_to_o_t, 1, out=i_to_o_t)
        np.divide(1, i_to_o_t, out=i_to_o_t)
        # g[t] = tanh(a_g[t]) (candidate) (21)
        a_g_t = g[kept_0[t]]
        g_t = a_g_t
        np.tanh(a_g_t, out=g_t)
        # c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state) (10)
        f_t = f[kept_0[t]]
        c_t1 = c[kept_1_0[t]]
        i_t = i[kept_0[t]]
        c_t = c[kept_1[t]]
        np.multiply(f_t, c_t1, out=c_t)
        np.multiply(i_t, g_t, out=work1_t)
        np.add(c_t, work1_t, out=c_t)
        if narrow:
            i_to_f_t = i_to_f[kept_0[t]]
            _round(i_to_f_t, dtype)
            _round(g_t, dtype)
        # tanh_c[t] = tanh(c[t]) (11)
        tanh_c_t = h[at_1[t]]
        np.tanh(c_t, out=tanh_c_t)
        # h[t] = o[t]*tanh_c[t] (hidden state) (11)
        o_t = o[kept_0[t]]
        h_t = tanh_c_t
        np.multiply(o_t, tanh_c_t, out=h_t)
        if narrow:
            _round(h_t, dtype)
            _round(o_t, dtype)

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
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    dy_rows = _as(pack.rows(dy), real)
    c = tape.arrays["c"]
    i_f_o_g = _as(tape.arrays["i_f_o_g"], real)
    h = _as(tape.arrays["h"], real)
    x_ = _as(tape.arrays["x_rows"], real)
    da_i_da_f_da_o_da_g = np.empty((pack.size, 4*H), real)
    memory = np.empty(max(batch * H, batch * 3*H), real)
    tanh_c = memory[: batch * H].reshape(batch, H)
    dh = np.empty((batch, H), real)
    dc = np.empty((batch, H), real)
    dx_ = np.empty((pack.size, D), real)
    dh_back = np.zeros((2 * batch, H), real)
    dc_via = np.zeros((2 * batch, H), real)
    work1 = dh
    work1_ = memory[: batch * 3*H].reshape(batch, 3*H)
    U_i_to_U_g = params.stack("U_i", "U_g")
    W_i_to_W_g = params.stack("W_i", "W_g")
    dW_i_to_dW_g = grads.stack("W_i", "W_g")
    dU_i_to_dU_g = grads.stack("U_i", "U_g")
    db_i_to_db_g = grads.stack("b_i", "b_g")
    dh_back[pack.last(1, 1, False)] = pack.sort(given["h"]) if "h" in given else 0
    dc_via[pack.last(1, 1, False)] = pack.sort(given["c"]) if "c" in given else 0
    o = i_f_o_g[:, 2*H : 3*H]
    da_o = da_i_da_f_da_o_da_g[:, 2*H : 3*H]
    i = i_f_o_g[:, : H]
    da_g = da_i_da_f_da_o_da_g[:, 3*H :]
    da_f = da_i_da_f_da_o_da_g[:, H : 2*H]
    g = i_f_o_g[:, 3*H :]
    da_i = da_i_da_f_da_o_da_g[:, : H]
    f = i_f_o_g[:, H : 2*H]
    narrow = dtype.itemsize == 2
    da_i_to_da_o = da_i_da_f_da_o_da_g[:, : 3*H]
    i_to_o = i_f_o_g[:, : 3*H]
    matmul = _products(dtype)
    ones = np.ones((1, pack.size), real)

    samples = -1
    for t, n in reversed(list(enumerate(pack.counts))):
        if n != samples:
            samples = n
            tanh_c_t = tanh_c[:n]
            dh_t = dh[:n]
            dtanh_c_t = dc[:n]
            work1_t = work1[:n]
            dc_t = dtanh_c_t
            work1_t_ = work1_[:n]
        # tanh_c[t] = tanh(c[t]) (11)
        c_t = c[at_1[t]]
        np.tanh(c_t, out=tanh_c_t)
        # dh[t] = dy[t] + dh_back[t+1] (47)
        dy_t = dy_rows[at_0[t]]
        dh_back_next = dh_back[ring_1[t]]
        np.add(dy_t, dh_back_next, out=dh_t)
        # dtanh_c[t] = dh[t]*o[t] (49)
        o_t = o[at_0[t]]
        np.multiply(dh_t, o_t, out=dtanh_c_t)
        # do[t] = dh[t]*tanh_c[t] (50)
        do_t = da_o[at_0[t]]
        np.multiply(dh_t, tanh_c_t, out=do_t)
        # dc[t] = dtanh_c[t]*(1 - tanh_c[t]**2) + dc_via[t+1] (49)
        dc_via_next = dc_via[ring_1[t]]
        np.square(tanh_c_t, out=work1_t)
        np.subtract(1, work1_t, out=work1_t)
        np.multiply(dtanh_c_t, work1_t, out=dc_t)
        np.add(dc_t, dc_via_next, out=dc_t)
        # dg[t] = dc[t]*i[t] (52)
        i_t = i[at_0[t]]
        dg_t = da_g[at_0[t]]
        np.multiply(dc_t, i_t, out=dg_t)
        # df[t] = dc[t]*c[t-1] (54)
        c_t1 = c[at_1_0[t]]
        df_t = da_f[at_0[t]]
        np.multiply(dc_t, c_t1, out=df_t)
        # di[t] = dc[t]*g[t] (56)
        g_t = g[at_0[t]]
        di_t = da_i[at_0[t]]
        np.multiply(dc_t, g_t, out=di_t)
        # dc_via[t] = dc[t]*f[t] (49)
        f_t = f[at_0[t]]
        dc_via_t = dc_via[ring_1_0[t]]
        np.multiply(dc_t, f_t, out=dc_via_t)
        # da_g[t] = dg[t]*(1 - g[t]**2) (53)
        da_g_t = dg_t
        np.square(g_t, out=work1_t)
        np.subtract(1, work1_t, out=work1_t)
        np.multiply(dg_t, work1_t, out=da_g_t)
        if narrow:
            _round(da_g_t, dtype)
        # da_i[t] = di[t]*i[t]*(1 - i[t]) (57)
        # da_f[t] = df[t]*f[t]*(1 - f[t]) (55)
        # da_o[t] = do[t]*o[t]*(1 - o[t]) (51)
        di_to_do_t = da_i_to_da_o[at_0[t]]
        i_to_o_t = i_to_o[at_0[t]]
        da_i_to_da_o_t = di_to_do_t
        np.multiply(di_to_do_t, i_to_o_t, out=da_i_to_da_o_t)
        np.subtract(1, i_to_o_t, out=work1_t_)
        np.multiply(da_i_to_da_o_t, work1_t_, out=da_i_to_da_o_t)
        if narrow:
            _round(da_i_to_da_o_t, dtype)
        # dh_back[t] = U_i.T @ da_i[t] + U_f.T @ da_f[t] + U_g.T @ da_g[t] + U_o.T @ da_o[t] (47)
        da_i_to_da_g_t = da_i_da_f_da_o_da_g[at_0[t]]
        dh_back_t = dh_back[ring_1_0[t]]
        matmul(da_i_to_da_g_t, U_i_to_U_g, out=dh_back_t)

    if need_x:
        # dx[t] = W_i.T @ da_i[t] + W_f.T @ da_f[t] + W_g.T @ da_g[t] + W_o.T @ da_o[t] (58)
        da_i_to_da_g = da_i_da_f_da_o_da_g
        np.matmul(da_i_to_da_g, W_i_to_W_g, out=dx_)
        if narrow:
            _round(dx_, dtype)
    # dW_i = sum of outer(da_i[t], x[t]) (66)
    # dW_f = sum of outer(da_f[t], x[t]) (69)
    # dW_o = sum of outer(da_o[t], x[t]) (75)
    # dW_g = sum of outer(da_g[t], x[t]) (72)
    da_i_to_da_g_ = da_i_da_f_da_o_da_g
    np.matmul(da_i_to_da_g_.T, x_, out=dW_i_to_dW_g)
    # dU_i = sum of outer(da_i[t], h[t-1]) (67)
    # dU_f = sum of outer(da_f[t], h[t-1]) (70)
    # dU_o = sum of outer(da_o[t], h[t-1]) (76)
    # dU_g = sum of outer(da_g[t], h[t-1]) (73)
    h_t1 = h[pack.past(1, 0)]
    np.matmul(da_i_to_da_g_.T, h_t1, out=dU_i_to_dU_g)
    # db_i = sum of da_i[t] (68)
    # db_f = sum of da_f[t] (71)
    # db_o = sum of da_o[t] (77)
    # db_g = sum of da_g[t] (74)
    np.matmul(ones, da_i_to_da_g_, out=db_i_to_db_g.reshape(1, -1))

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
    work1 = np.empty((batch, H), real)
    b_i_to_b_g = params.stack("b_i", "b_g")
    h_before = np.empty((1, batch, H), real)
    c_before = np.empty((1, batch, H), real)
    W_i_to_W_g_T = params.stack("W_i", "W_g").T
    narrow = dtype.itemsize == 2
    h_t1 = h_before[0]
    U_i_to_U_g_T = params.stack("U_i", "U_g").T
    matmul = _products(dtype)
    c_t1 = c_before[0]

    @np.errstate(all="ignore")
    def run() -> tuple[Any, dict[str, Any]]:
        # W_i_x[t] = W_i @ x[t] (16)
        # W_f_x[t] = W_f @ x[t] (18)
        # W_o_x[t] = W_o @ x[t] (22)
        # W_g_x[t] = W_g @ x[t] (20)
        W_i_x_to_W_g_x_t = a_i_in_to_a_g_in
        np.matmul(x_t_, W_i_to_W_g_T, out=W_i_x_to_W_g_x_t)
        if narrow:
            _round(W_i_x_to_W_g_x_t, dtype)
        # a_i_in[t] = W_i_x[t] + b_i (16)
        # a_f_in[t] = W_f_x[t] + b_f (18)
        # a_o_in[t] = W_o_x[t] + b_o (22)
        # a_g_in[t] = W_g_x[t] + b_g (20)
        a_i_in_to_a_g_in_t = W_i_x_to_W_g_x_t
        np.add(W_i_x_to_W_g_x_t, b_i_to_b_g, out=a_i_in_to_a_g_in_t)
        if narrow:
            _round(a_i_in_to_a_g_in_t, dtype)
        # U_i_h[t] = U_i @ h[t-1] (16)
        # U_f_h[t] = U_f @ h[t-1] (18)
        # U_o_h[t] = U_o @ h[t-1] (22)
        # U_g_h[t] = U_g @ h[t-1] (20)
        U_i_h_to_U_g_h_t = i_f_o_g
        matmul(h_t1, U_i_to_U_g_T, out=U_i_h_to_U_g_h_t)
        if narrow:
            _round(U_i_h_to_U_g_h_t, dtype)
        # a_i[t] = U_i_h[t] + a_i_in[t] (16)
        # a_f[t] = U_f_h[t] + a_f_in[t] (18)
        # a_o[t] = U_o_h[t] + a_o_in[t] (22)
        # a_g[t] = U_g_h[t] + a_g_in[t] (20)
        a_i_to_a_g_t = U_i_h_to_U_g_h_t
        np.add(U_i_h_to_U_g_h_t, a_i_in_to_a_g_in_t, out=a_i_to_a_g_t)
        # i[t] = sigmoid(a_i[t]) (input gate) (17)
        # f[t] = sigmoid(a_f[t]) (forget gate) (19)
        # o[t] = sigmoid(a_o[t]) (output gate) (23)
        a_i_to_a_o_t = i_f_o_g[:, : 3*H]
        i_to_o_t = a_i_to_a_o_t
        np.subtract(0, a_i_to_a_o_t, out=i_to_o_t)
        np.exp(i_to_o_t, out=i_to_o_t)
        np.add(i_to_o_t, 1, out=i_to_o_t)
        np.divide(1, i_to_o_t, out=i_to_o_t)
        # g[t] = tanh(a_g[t]) (candidate) (21)
        a_g_t = i_f_o_g[:, 3*H :]
        g_t = a_g_t
        np.tanh(a_g_t, out=g_t)
        # c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state) (10)
        f_t = i_f_o_g[:, H : 2*H]
        i_t = i_f_o_g[:, : H]
        np.multiply(f_t, c_t1, out=c)
        np.multiply(i_t, g_t, out=work1)
        np.add(c, work1, out=c)
        if narrow:
            i_to_f_t = i_f_o_g[:, : 2*H]
            _round(i_to_f_t, dtype)
            _round(g_t, dtype)
        # tanh_c[t] = tanh(c[t]) (11)
        tanh_c_t = h
        np.tanh(c, out=tanh_c_t)
        # h[t] = o[t]*tanh_c[t] (hidden state) (11)
        o_t = i_f_o_g[:, 2*H : 3*H]
        h_t = tanh_c_t
        np.multiply(o_t, tanh_c_t, out=h_t)
        if narrow:
            _round(h_t, dtype)
            _round(o_t, dtype)

        state = {
            "h": h.copy(),
            "c": c.copy(),
        }
        return h_t.copy(), state

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
    untaped = real * (rows * 4*H + batch * 8*H) + 488 * steps
    taped = real * (rows * 10*H + batch * 3*H) + 488 * steps
    back = item * (rows * 5*H + batch * H) + 1016 * steps
    back += real * (rows * (5*H + 1) + batch * 10*H)
    if item < 4:
        untaped += item * (rows * 4*H)
        untaped += real * (rows * (D + H) + batch * H)
        untaped += real * (4*D*H + 4*H + 4*H*H)
        taped += item * (rows * (D + 9*H) + batch * H)
        taped += real * (rows * D)
        taped += real * (4*D*H + 4*H + 4*H*H)
        back += item * (rows * D)
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
