"""LSTM with layer normalisation

Ba, Kiros & Hinton (2016), Layer normalization (supplementary material): the input and the recurrent product of each
gate are normalised by themselves, and so is the cell state on its way out.

The cell layernorm_lstm as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
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
STAMP = "e249ebca4987294c"


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
    H = params.sizes["H"]
    at_0 = pack.slots(0, 0, True)
    kept_0 = pack.slots(0, 0, keep_tape)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)
    kept_1_0 = pack.slots(1, 0, keep_tape)
    kept_1 = pack.slots(1, 1, keep_tape)

    x_rows = pack.rows(inputs["x"])
    W_i_x_W_f_x_W_g_x_W_o_x = cp.empty((pack.size, 4*H), dtype)
    U_i_h_U_f_h_U_g_h_U_o_h = cp.empty((batch, 4*H), dtype)
    centred_W_i_x_to_centred_W_o_x = cp.empty((pack.size, 4*H), dtype)
    std_W_i_x_to_std_W_o_x = cp.empty((pack.size, 4), dtype)
    sigmoid_in_i_in_to_sigmoid_in_o_in = cp.empty((pack.size, 4*H), dtype)
    centred_U_i_h_to_centred_U_o_h = cp.empty((pack.size if keep_tape else batch, 4*H), dtype)
    std_U_i_h_to_std_U_o_h = cp.empty((pack.size if keep_tape else batch, 4), dtype)
    std_c = cp.empty((pack.size if keep_tape else batch, 1), dtype)
    sum_c = cp.empty((pack.size if keep_tape else batch, 1), dtype)
    centred_c = cp.empty((batch, H), dtype)
    h = cp.empty((pack.size + batch, H), dtype)
    c = cp.empty((pack.size + batch if keep_tape else 2 * batch, H), dtype)
    a_i = params.stack("a_i", "a_i")
    b_i = params.stack("b_i", "b_i")
    a_f = params.stack("a_f", "a_f")
    b_f = params.stack("b_f", "b_f")
    a_g = params.stack("a_g", "a_g")
    b_g = params.stack("b_g", "b_g")
    a_o = params.stack("a_o", "a_o")
    b_o = params.stack("b_o", "b_o")
    d_i = params.stack("d_i", "d_i")
    d_f = params.stack("d_f", "d_f")
    d_g = params.stack("d_g", "d_g")
    d_o = params.stack("d_o", "d_o")
    a_c = params.stack("a_c", "a_c")
    b_c = params.stack("b_c", "b_c")
    h[pack.first(1)] = pack.sort(given["h"]) if "h" in given else 0
    c[pack.first(1)] = pack.sort(given["c"]) if "c" in given else 0
    W_i_to_W_o_T = params.stack("W_i", "W_o").T
    kernels = _kernels(dtype)
    U_i_to_U_o_T = params.stack("U_i", "U_o").T

    # W_i_x[t] = W_i @ x[t]
    # W_f_x[t] = W_f @ x[t]
    # W_g_x[t] = W_g @ x[t]
    # W_o_x[t] = W_o @ x[t]
    W_i_x_to_W_o_x = W_i_x_W_f_x_W_g_x_W_o_x
    cp.matmul(x_rows, W_i_to_W_o_T, out=W_i_x_to_W_o_x)
    # sum_W_i_x[t] = sum(W_i_x[t])
    # sum_W_f_x[t] = sum(W_f_x[t])
    # sum_W_g_x[t] = sum(W_g_x[t])
    # sum_W_o_x[t] = sum(W_o_x[t])
    # centred_W_i_x[t] = W_i_x[t] - sum_W_i_x[t]/H
    # centred_W_f_x[t] = W_f_x[t] - sum_W_f_x[t]/H
    # centred_W_g_x[t] = W_g_x[t] - sum_W_g_x[t]/H
    # centred_W_o_x[t] = W_o_x[t] - sum_W_o_x[t]/H
    # square_W_i_x[t] = centred_W_i_x[t]**2
    # square_W_f_x[t] = centred_W_f_x[t]**2
    # square_W_g_x[t] = centred_W_g_x[t]**2
    # square_W_o_x[t] = centred_W_o_x[t]**2
    # sum_square_W_i_x[t] = sum(square_W_i_x[t])
    # sum_square_W_f_x[t] = sum(square_W_f_x[t])
    # sum_square_W_g_x[t] = sum(square_W_g_x[t])
    # sum_square_W_o_x[t] = sum(square_W_o_x[t])
    # std_squared_W_i_x[t] = sum_square_W_i_x[t]/H + 1e-05
    # std_squared_W_f_x[t] = sum_square_W_f_x[t]/H + 1e-05
    # std_squared_W_g_x[t] = sum_square_W_g_x[t]/H + 1e-05
    # std_squared_W_o_x[t] = sum_square_W_o_x[t]/H + 1e-05
    # std_W_i_x[t] = sqrt(std_squared_W_i_x[t])
    # std_W_f_x[t] = sqrt(std_squared_W_f_x[t])
    # std_W_g_x[t] = sqrt(std_squared_W_g_x[t])
    # std_W_o_x[t] = sqrt(std_squared_W_o_x[t])
    # sigmoid_in_i_in[t] = centred_W_i_x[t]*a_i/std_W_i_x[t] + b_i
    # sigmoid_in_f_in[t] = centred_W_f_x[t]*a_f/std_W_f_x[t] + b_f
    # tanh_in_g_in[t] = centred_W_g_x[t]*a_g/std_W_g_x[t] + b_g
    # sigmoid_in_o_in[t] = centred_W_o_x[t]*a_o/std_W_o_x[t] + b_o
    _launch_rows(
        kernels.forward_1, pack.size, H, 256, H, W_i_x_W_f_x_W_g_x_W_o_x, centred_W_i_x_to_centred_W_o_x,
        std_W_i_x_to_std_W_o_x, a_i, b_i, sigmoid_in_i_in_to_sigmoid_in_o_in, a_f, b_f, a_g, b_g, a_o, b_o,
    )

    samples = -1
    for t, n in enumerate(pack.counts):
        if n != samples:
            samples = n
            U_i_h_to_U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h[:n]
        # U_i_h[t] = U_i @ h[t-1]
        # U_f_h[t] = U_f @ h[t-1]
        # U_g_h[t] = U_g @ h[t-1]
        # U_o_h[t] = U_o @ h[t-1]
        h_t1 = h[at_1_0[t]]
        cp.matmul(h_t1, U_i_to_U_o_T, out=U_i_h_to_U_o_h_t)
        # sum_U_i_h[t] = sum(U_i_h[t])
        # sum_U_f_h[t] = sum(U_f_h[t])
        # sum_U_g_h[t] = sum(U_g_h[t])
        # sum_U_o_h[t] = sum(U_o_h[t])
        # centred_U_i_h[t] = U_i_h[t] - sum_U_i_h[t]/H
        # centred_U_f_h[t] = U_f_h[t] - sum_U_f_h[t]/H
        # centred_U_g_h[t] = U_g_h[t] - sum_U_g_h[t]/H
        # centred_U_o_h[t] = U_o_h[t] - sum_U_o_h[t]/H
        # square_U_i_h[t] = centred_U_i_h[t]**2
        # square_U_f_h[t] = centred_U_f_h[t]**2
        # square_U_g_h[t] = centred_U_g_h[t]**2
        # square_U_o_h[t] = centred_U_o_h[t]**2
        # sum_square_U_i_h[t] = sum(square_U_i_h[t])
        # sum_square_U_f_h[t] = sum(square_U_f_h[t])
        # sum_square_U_g_h[t] = sum(square_U_g_h[t])
        # sum_square_U_o_h[t] = sum(square_U_o_h[t])
        # std_squared_U_i_h[t] = sum_square_U_i_h[t]/H + 1e-05
        # std_squared_U_f_h[t] = sum_square_U_f_h[t]/H + 1e-05
        # std_squared_U_g_h[t] = sum_square_U_g_h[t]/H + 1e-05
        # std_squared_U_o_h[t] = sum_square_U_o_h[t]/H + 1e-05
        # std_U_i_h[t] = sqrt(std_squared_U_i_h[t])
        # std_U_f_h[t] = sqrt(std_squared_U_f_h[t])
        # std_U_g_h[t] = sqrt(std_squared_U_g_h[t])
        # std_U_o_h[t] = sqrt(std_squared_U_o_h[t])
        # sigmoid_in_i[t] = centred_U_i_h[t]*d_i/std_U_i_h[t] + sigmoid_in_i_in[t]
        # sigmoid_in_f[t] = centred_U_f_h[t]*d_f/std_U_f_h[t] + sigmoid_in_f_in[t]
        # tanh_in_g[t] = centred_U_g_h[t]*d_g/std_U_g_h[t] + tanh_in_g_in[t]
        # sigmoid_in_o[t] = centred_U_o_h[t]*d_o/std_U_o_h[t] + sigmoid_in_o_in[t]
        # i[t] = sigmoid(sigmoid_in_i[t]) (input gate)
        # f[t] = sigmoid(sigmoid_in_f[t]) (forget gate)
        # g[t] = tanh(tanh_in_g[t]) (candidate)
        # o[t] = sigmoid(sigmoid_in_o[t]) (output gate)
        # c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state)
        # sum_c[t] = sum(c[t])
        # centred_c[t] = c[t] - sum_c[t]/H
        # square_c[t] = centred_c[t]**2
        # sum_square_c[t] = sum(square_c[t])
        # std_squared_c[t] = sum_square_c[t]/H + 1e-05
        # std_c[t] = sqrt(std_squared_c[t])
        # a_h[t] = centred_c[t]*a_c/std_c[t] + b_c
        # tanh_a_h[t] = tanh(a_h[t])
        # h[t] = o[t]*tanh_a_h[t] (hidden state)
        _launch_rows(
            kernels.forward_2, n, H, 256, H, U_i_h_U_f_h_U_g_h_U_o_h, centred_U_i_h_to_centred_U_o_h,
            kept_0[t].start, std_U_i_h_to_std_U_o_h, kept_0[t].start, d_i, sigmoid_in_i_in_to_sigmoid_in_o_in,
            at_0[t].start, d_f, d_g, d_o, h, at_1[t].start, c, kept_1_0[t].start, c, kept_1[t].start, sum_c,
            kept_0[t].start, centred_c, std_c, kept_0[t].start, a_c, b_c,
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
        "centred_U_i_h_to_centred_U_o_h": centred_U_i_h_to_centred_U_o_h,
        "centred_W_i_x_to_centred_W_o_x": centred_W_i_x_to_centred_W_o_x,
        "h": h,
        "std_U_i_h_to_std_U_o_h": std_U_i_h_to_std_U_o_h,
        "std_W_i_x_to_std_W_o_x": std_W_i_x_to_std_W_o_x,
        "std_c": std_c,
        "x_rows": x_rows,
        "sum_c": sum_c,
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
    c = tape.arrays["c"]
    centred_U_i_h_to_centred_U_o_h = tape.arrays["centred_U_i_h_to_centred_U_o_h"]
    centred_W_i_x_to_centred_W_o_x = tape.arrays["centred_W_i_x_to_centred_W_o_x"]
    h = tape.arrays["h"]
    std_U_i_h_to_std_U_o_h = tape.arrays["std_U_i_h_to_std_U_o_h"]
    std_W_i_x_to_std_W_o_x = tape.arrays["std_W_i_x_to_std_W_o_x"]
    std_c = tape.arrays["std_c"]
    x_ = tape.arrays["x_rows"]
    sum_c = tape.arrays["sum_c"]
    dU_i_h_to_dU_o_h = cp.empty((pack.size, 4*H), dtype)
    dW_i_x_to_dW_o_x = dU_i_h_to_dU_o_h
    centred_c = cp.empty((pack.size, H), dtype)
    i_f = cp.empty((batch, 2*H), dtype)
    g = cp.empty((batch, H), dtype)
    da_h = cp.empty((pack.size, H), dtype)
    dsigmoid_in_i_to_dsigmoid_in_o = cp.empty((pack.size, 3*H), dtype)
    dcentred_c_to_dcentred_U_o_h = cp.empty((batch, 2*H), dtype)
    dcentred_U_i_h_to_dcentred_U_g_h = cp.empty((batch, 3*H), dtype)
    dtanh_in_g = cp.empty((pack.size, H), dtype)
    da_i_each_to_da_o_each = cp.empty((pack.size, 4*H), dtype)
    dd_i_each_to_dd_o_each = cp.empty((pack.size, 4*H), dtype)
    da_c_each = cp.empty((pack.size, H), dtype)
    dcentred_W_i_x_to_dcentred_W_o_x = cp.empty((pack.size, 4*H), dtype)
    dx_ = cp.empty((pack.size, D), dtype)
    dh_back = cp.zeros((2 * batch, H), dtype)
    dc_via = cp.zeros((2 * batch, H), dtype)
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
    U_i_to_U_o = params.stack("U_i", "U_o")
    dU_i_to_dU_o = grads.stack("U_i", "U_o")
    da_i_to_da_o = grads.stack("a_i", "a_o")
    dd_i_to_dd_o = grads.stack("d_i", "d_o")
    db_g = grads.stack("b_g", "b_g")
    da_c = grads.stack("a_c", "a_c")
    db_c = grads.stack("b_c", "b_c")
    W_i_to_W_o = params.stack("W_i", "W_o")
    dW_i_to_dW_o = grads.stack("W_i", "W_o")
    db_i_to_db_f = grads.stack("b_i", "b_f")
    db_o = grads.stack("b_o", "b_o")
    dh_back[pack.last(1, 1, False)] = pack.sort(given["h"]) if "h" in given else 0
    dc_via[pack.last(1, 1, False)] = pack.sort(given["c"]) if "c" in given else 0
    kernels = _kernels(dtype)
    ones = cp.ones((1, pack.size), dtype)

    for t, n in reversed(list(enumerate(pack.counts))):
        # sigmoid_in_i[t] = centred_W_i_x[t]*a_i/std_W_i_x[t] + centred_U_i_h[t]*d_i/std_U_i_h[t] + b_i
        # sigmoid_in_f[t] = centred_W_f_x[t]*a_f/std_W_f_x[t] + centred_U_f_h[t]*d_f/std_U_f_h[t] + b_f
        # tanh_in_g[t] = centred_W_g_x[t]*a_g/std_W_g_x[t] + centred_U_g_h[t]*d_g/std_U_g_h[t] + b_g
        # sigmoid_in_o[t] = centred_W_o_x[t]*a_o/std_W_o_x[t] + centred_U_o_h[t]*d_o/std_U_o_h[t] + b_o
        # centred_c[t] = c[t] - sum_c[t]/H
        # dh[t] = dy[t] + dh_back[t+1]
        # i[t] = sigmoid(sigmoid_in_i[t]) (input gate)
        # f[t] = sigmoid(sigmoid_in_f[t]) (forget gate)
        # g[t] = tanh(tanh_in_g[t]) (candidate)
        # o[t] = sigmoid(sigmoid_in_o[t]) (output gate)
        # a_h[t] = centred_c[t]*a_c/std_c[t] + b_c
        # tanh_a_h[t] = tanh(a_h[t])
        # dtanh_a_h[t] = dh[t]*o[t]
        # da_h[t] = dtanh_a_h[t]*(1 - tanh_a_h[t]**2)
        # do[t] = dh[t]*tanh_a_h[t]
        # dstd_c_each[t] = da_h[t]*centred_c[t]*a_c
        # dsigmoid_in_o[t] = do[t]*o[t]*(1 - o[t])
        # dstd_U_o_h_each[t] = dsigmoid_in_o[t]*centred_U_o_h[t]*d_o
        # dstd_c_sum[t] = sum(dstd_c_each[t])
        # dstd_U_o_h_sum[t] = sum(dstd_U_o_h_each[t])
        # dstd_c[t] = -dstd_c_sum[t]/std_c[t]**2
        # dstd_squared_c[t] = dstd_c[t]/(2*std_c[t])
        # dstd_U_o_h[t] = -dstd_U_o_h_sum[t]/std_U_o_h[t]**2
        # dsum_square_c[t] = dstd_squared_c[t]/H
        # dstd_squared_U_o_h[t] = dstd_U_o_h[t]/(2*std_U_o_h[t])
        # dsum_square_U_o_h[t] = dstd_squared_U_o_h[t]/H
        # dcentred_c[t] = 2*dsum_square_c[t]*centred_c[t] + da_h[t]*a_c/std_c[t]
        # dcentred_U_o_h[t] = 2*dsum_square_U_o_h[t]*centred_U_o_h[t] + dsigmoid_in_o[t]*d_o/std_U_o_h[t]
        # dsum_c_sum[t] = sum(dcentred_c[t])
        # dsum_U_o_h_sum[t] = sum(dcentred_U_o_h[t])
        # dsum_c[t] = -dsum_c_sum[t]/H
        # dsum_U_o_h[t] = -dsum_U_o_h_sum[t]/H
        # dc[t] = dsum_c[t] + dcentred_c[t] + dc_via[t+1]
        # dU_o_h[t] = dsum_U_o_h[t] + dcentred_U_o_h[t]
        # dg[t] = dc[t]*i[t]
        # df[t] = dc[t]*c[t-1]
        # di[t] = dc[t]*g[t]
        # dc_via[t] = dc[t]*f[t]
        # dtanh_in_g[t] = dg[t]*(1 - g[t]**2)
        # dsigmoid_in_f[t] = df[t]*f[t]*(1 - f[t])
        # dsigmoid_in_i[t] = di[t]*i[t]*(1 - i[t])
        # dstd_U_g_h_each[t] = dtanh_in_g[t]*centred_U_g_h[t]*d_g
        # dstd_U_f_h_each[t] = dsigmoid_in_f[t]*centred_U_f_h[t]*d_f
        # dstd_U_i_h_each[t] = dsigmoid_in_i[t]*centred_U_i_h[t]*d_i
        # dstd_U_g_h_sum[t] = sum(dstd_U_g_h_each[t])
        # dstd_U_f_h_sum[t] = sum(dstd_U_f_h_each[t])
        # dstd_U_i_h_sum[t] = sum(dstd_U_i_h_each[t])
        # dstd_U_g_h[t] = -dstd_U_g_h_sum[t]/std_U_g_h[t]**2
        # dstd_U_f_h[t] = -dstd_U_f_h_sum[t]/std_U_f_h[t]**2
        # dstd_U_i_h[t] = -dstd_U_i_h_sum[t]/std_U_i_h[t]**2
        # dstd_squared_U_g_h[t] = dstd_U_g_h[t]/(2*std_U_g_h[t])
        # dstd_squared_U_f_h[t] = dstd_U_f_h[t]/(2*std_U_f_h[t])
        # dstd_squared_U_i_h[t] = dstd_U_i_h[t]/(2*std_U_i_h[t])
        # dsum_square_U_g_h[t] = dstd_squared_U_g_h[t]/H
        # dsum_square_U_f_h[t] = dstd_squared_U_f_h[t]/H
        # dsum_square_U_i_h[t] = dstd_squared_U_i_h[t]/H
        # dcentred_U_g_h[t] = 2*dsum_square_U_g_h[t]*centred_U_g_h[t] + dtanh_in_g[t]*d_g/std_U_g_h[t]
        # dcentred_U_f_h[t] = 2*dsum_square_U_f_h[t]*centred_U_f_h[t] + dsigmoid_in_f[t]*d_f/std_U_f_h[t]
        # dcentred_U_i_h[t] = 2*dsum_square_U_i_h[t]*centred_U_i_h[t] + dsigmoid_in_i[t]*d_i/std_U_i_h[t]
        # dsum_U_g_h_sum[t] = sum(dcentred_U_g_h[t])
        # dsum_U_f_h_sum[t] = sum(dcentred_U_f_h[t])
        # dsum_U_i_h_sum[t] = sum(dcentred_U_i_h[t])
        # dsum_U_g_h[t] = -dsum_U_g_h_sum[t]/H
        # dsum_U_f_h[t] = -dsum_U_f_h_sum[t]/H
        # dsum_U_i_h[t] = -dsum_U_i_h_sum[t]/H
        # dU_g_h[t] = dsum_U_g_h[t] + dcentred_U_g_h[t]
        # dU_f_h[t] = dsum_U_f_h[t] + dcentred_U_f_h[t]
        # dU_i_h[t] = dsum_U_i_h[t] + dcentred_U_i_h[t]
        _launch_rows(
            kernels.backward_1, n, H, 256, H, centred_W_i_x_to_centred_W_o_x, at_0[t].start, a_i,
            std_W_i_x_to_std_W_o_x, at_0[t].start, centred_U_i_h_to_centred_U_o_h, at_0[t].start, d_i,
            std_U_i_h_to_std_U_o_h, at_0[t].start, b_i, a_f, d_f, b_f, a_g, d_g, b_g, a_o, d_o, b_o, c,
            at_1[t].start, sum_c, at_0[t].start, centred_c, at_0[t].start, dy_rows, at_0[t].start, dh_back,
            ring_1[t].start, i_f, g, a_c, std_c, at_0[t].start, b_c, da_h, at_0[t].start,
            dsigmoid_in_i_to_dsigmoid_in_o, at_0[t].start, dcentred_c_to_dcentred_U_o_h, dc_via, ring_1[t].start,
            dU_i_h_to_dU_o_h, at_0[t].start, c, at_1_0[t].start, dc_via, ring_1_0[t].start, dtanh_in_g,
            at_0[t].start, dcentred_U_i_h_to_dcentred_U_g_h,
        )
        # dh_back[t] = U_i.T @ dU_i_h[t] + U_f.T @ dU_f_h[t] + U_g.T @ dU_g_h[t] + U_o.T @ dU_o_h[t]
        dU_i_h_to_dU_o_h_t = dU_i_h_to_dU_o_h[at_0[t]]
        dh_back_t = dh_back[ring_1_0[t]]
        cp.matmul(dU_i_h_to_dU_o_h_t, U_i_to_U_o, out=dh_back_t)

    # dU_i = sum of outer(dU_i_h[t], h[t-1])
    # dU_f = sum of outer(dU_f_h[t], h[t-1])
    # dU_g = sum of outer(dU_g_h[t], h[t-1])
    # dU_o = sum of outer(dU_o_h[t], h[t-1])
    h_t1 = h[pack.past(1, 0)]
    cp.matmul(dU_i_h_to_dU_o_h.T, h_t1, out=dU_i_to_dU_o)
    # dstd_W_o_x_each[t] = dsigmoid_in_o[t]*centred_W_o_x[t]*a_o
    # dstd_W_g_x_each[t] = dtanh_in_g[t]*centred_W_g_x[t]*a_g
    # dstd_W_f_x_each[t] = dsigmoid_in_f[t]*centred_W_f_x[t]*a_f
    # dstd_W_i_x_each[t] = dsigmoid_in_i[t]*centred_W_i_x[t]*a_i
    # da_i_each[t] = dsigmoid_in_i[t]*centred_W_i_x[t]/std_W_i_x[t]
    # dd_i_each[t] = dsigmoid_in_i[t]*centred_U_i_h[t]/std_U_i_h[t]
    # da_f_each[t] = dsigmoid_in_f[t]*centred_W_f_x[t]/std_W_f_x[t]
    # dd_f_each[t] = dsigmoid_in_f[t]*centred_U_f_h[t]/std_U_f_h[t]
    # da_g_each[t] = dtanh_in_g[t]*centred_W_g_x[t]/std_W_g_x[t]
    # dd_g_each[t] = dtanh_in_g[t]*centred_U_g_h[t]/std_U_g_h[t]
    # da_o_each[t] = dsigmoid_in_o[t]*centred_W_o_x[t]/std_W_o_x[t]
    # dd_o_each[t] = dsigmoid_in_o[t]*centred_U_o_h[t]/std_U_o_h[t]
    # da_c_each[t] = da_h[t]*centred_c[t]/std_c[t]
    # dstd_W_o_x_sum[t] = sum(dstd_W_o_x_each[t])
    # dstd_W_g_x_sum[t] = sum(dstd_W_g_x_each[t])
    # dstd_W_f_x_sum[t] = sum(dstd_W_f_x_each[t])
    # dstd_W_i_x_sum[t] = sum(dstd_W_i_x_each[t])
    # dstd_W_o_x[t] = -dstd_W_o_x_sum[t]/std_W_o_x[t]**2
    # dstd_W_g_x[t] = -dstd_W_g_x_sum[t]/std_W_g_x[t]**2
    # dstd_W_f_x[t] = -dstd_W_f_x_sum[t]/std_W_f_x[t]**2
    # dstd_W_i_x[t] = -dstd_W_i_x_sum[t]/std_W_i_x[t]**2
    # dstd_squared_W_o_x[t] = dstd_W_o_x[t]/(2*std_W_o_x[t])
    # dstd_squared_W_g_x[t] = dstd_W_g_x[t]/(2*std_W_g_x[t])
    # dstd_squared_W_f_x[t] = dstd_W_f_x[t]/(2*std_W_f_x[t])
    # dstd_squared_W_i_x[t] = dstd_W_i_x[t]/(2*std_W_i_x[t])
    # dsum_square_W_o_x[t] = dstd_squared_W_o_x[t]/H
    # dsum_square_W_g_x[t] = dstd_squared_W_g_x[t]/H
    # dsum_square_W_f_x[t] = dstd_squared_W_f_x[t]/H
    # dsum_square_W_i_x[t] = dstd_squared_W_i_x[t]/H
    # dcentred_W_o_x[t] = 2*dsum_square_W_o_x[t]*centred_W_o_x[t] + dsigmoid_in_o[t]*a_o/std_W_o_x[t]
    # dcentred_W_g_x[t] = 2*dsum_square_W_g_x[t]*centred_W_g_x[t] + dtanh_in_g[t]*a_g/std_W_g_x[t]
    # dcentred_W_f_x[t] = 2*dsum_square_W_f_x[t]*centred_W_f_x[t] + dsigmoid_in_f[t]*a_f/std_W_f_x[t]
    # dcentred_W_i_x[t] = 2*dsum_square_W_i_x[t]*centred_W_i_x[t] + dsigmoid_in_i[t]*a_i/std_W_i_x[t]
    # dsum_W_o_x_sum[t] = sum(dcentred_W_o_x[t])
    # dsum_W_g_x_sum[t] = sum(dcentred_W_g_x[t])
    # dsum_W_f_x_sum[t] = sum(dcentred_W_f_x[t])
    # dsum_W_i_x_sum[t] = sum(dcentred_W_i_x[t])
    # dsum_W_o_x[t] = -dsum_W_o_x_sum[t]/H
    # dsum_W_g_x[t] = -dsum_W_g_x_sum[t]/H
    # dsum_W_f_x[t] = -dsum_W_f_x_sum[t]/H
    # dsum_W_i_x[t] = -dsum_W_i_x_sum[t]/H
    # dW_o_x[t] = dsum_W_o_x[t] + dcentred_W_o_x[t]
    # dW_g_x[t] = dsum_W_g_x[t] + dcentred_W_g_x[t]
    # dW_f_x[t] = dsum_W_f_x[t] + dcentred_W_f_x[t]
    # dW_i_x[t] = dsum_W_i_x[t] + dcentred_W_i_x[t]
    _launch_rows(
        kernels.backward_2, pack.size, H, 256, H, dsigmoid_in_i_to_dsigmoid_in_o,
        centred_W_i_x_to_centred_W_o_x, a_o, dtanh_in_g, a_g, a_f, a_i, std_W_i_x_to_std_W_o_x,
        da_i_each_to_da_o_each, centred_U_i_h_to_centred_U_o_h, std_U_i_h_to_std_U_o_h, dd_i_each_to_dd_o_each,
        da_h, centred_c, std_c, da_c_each, dcentred_W_i_x_to_dcentred_W_o_x, dW_i_x_to_dW_o_x,
    )
    # da_i = sum of da_i_each[t]
    # da_f = sum of da_f_each[t]
    # da_g = sum of da_g_each[t]
    # da_o = sum of da_o_each[t]
    cp.matmul(ones, da_i_each_to_da_o_each, out=da_i_to_da_o.reshape(1, -1))
    # dd_i = sum of dd_i_each[t]
    # dd_f = sum of dd_f_each[t]
    # dd_g = sum of dd_g_each[t]
    # dd_o = sum of dd_o_each[t]
    cp.matmul(ones, dd_i_each_to_dd_o_each, out=dd_i_to_dd_o.reshape(1, -1))
    # db_g = sum of dtanh_in_g[t]
    cp.matmul(ones, dtanh_in_g, out=db_g.reshape(1, -1))
    # da_c = sum of da_c_each[t]
    cp.matmul(ones, da_c_each, out=da_c.reshape(1, -1))
    # db_c = sum of da_h[t]
    cp.matmul(ones, da_h, out=db_c.reshape(1, -1))
    if need_x:
        # dx[t] = W_i.T @ dW_i_x[t] + W_f.T @ dW_f_x[t] + W_g.T @ dW_g_x[t] + W_o.T @ dW_o_x[t]
        cp.matmul(dW_i_x_to_dW_o_x, W_i_to_W_o, out=dx_)
    # dW_i = sum of outer(dW_i_x[t], x[t])
    # dW_f = sum of outer(dW_f_x[t], x[t])
    # dW_g = sum of outer(dW_g_x[t], x[t])
    # dW_o = sum of outer(dW_o_x[t], x[t])
    cp.matmul(dW_i_x_to_dW_o_x.T, x_, out=dW_i_to_dW_o)
    # db_i = sum of dsigmoid_in_i[t]
    # db_f = sum of dsigmoid_in_f[t]
    dsigmoid_in_i_to_dsigmoid_in_f = dsigmoid_in_i_to_dsigmoid_in_o[:, : 2*H]
    cp.matmul(ones, dsigmoid_in_i_to_dsigmoid_in_f, out=db_i_to_db_f.reshape(1, -1))
    # db_o = sum of dsigmoid_in_o[t]
    dsigmoid_in_o = dsigmoid_in_i_to_dsigmoid_in_o[:, 2*H :]
    cp.matmul(ones, dsigmoid_in_o, out=db_o.reshape(1, -1))

    dh_first = dh_back[pack.first(1)]
    dc_first = dc_via[pack.first(1)]

    dstate = {
        "h": pack.unsort(dh_first)[0],
        "c": pack.unsort(dc_first)[0],
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
    H = params.sizes["H"]

    x_t_ = cp.ascontiguousarray(inputs["x"][1])
    W_i_x_W_f_x_W_g_x_W_o_x = cp.empty((batch, 4*H), dtype)
    U_i_h_U_f_h_U_g_h_U_o_h = cp.empty((batch, 4*H), dtype)
    centred_W_i_x_to_centred_W_o_x = cp.empty((batch, 4*H), dtype)
    std_W_i_x_to_std_W_o_x = cp.empty((batch, 4), dtype)
    sigmoid_in_i_in_to_sigmoid_in_o_in = cp.empty((batch, 4*H), dtype)
    centred_U_i_h_to_centred_U_o_h = cp.empty((batch, 4*H), dtype)
    std_U_i_h_to_std_U_o_h = cp.empty((batch, 4), dtype)
    std_c = cp.empty((batch, 1), dtype)
    sum_c = cp.empty((batch, 1), dtype)
    centred_c = cp.empty((batch, H), dtype)
    h = cp.empty((batch, H), dtype)
    c = cp.empty((batch, H), dtype)
    a_i = params.stack("a_i", "a_i")
    b_i = params.stack("b_i", "b_i")
    a_f = params.stack("a_f", "a_f")
    b_f = params.stack("b_f", "b_f")
    a_g = params.stack("a_g", "a_g")
    b_g = params.stack("b_g", "b_g")
    a_o = params.stack("a_o", "a_o")
    b_o = params.stack("b_o", "b_o")
    d_i = params.stack("d_i", "d_i")
    d_f = params.stack("d_f", "d_f")
    d_g = params.stack("d_g", "d_g")
    d_o = params.stack("d_o", "d_o")
    a_c = params.stack("a_c", "a_c")
    b_c = params.stack("b_c", "b_c")
    h_before = given["h"] if "h" in given else cp.zeros((1, batch, H), dtype)
    c_before = given["c"] if "c" in given else cp.zeros((1, batch, H), dtype)
    W_i_to_W_o_T = params.stack("W_i", "W_o").T
    kernels = _kernels(dtype)
    h_t1 = h_before[0]
    U_i_to_U_o_T = params.stack("U_i", "U_o").T
    c_t1 = c_before[0]

    # W_i_x[t] = W_i @ x[t]
    # W_f_x[t] = W_f @ x[t]
    # W_g_x[t] = W_g @ x[t]
    # W_o_x[t] = W_o @ x[t]
    W_i_x_to_W_o_x_t = W_i_x_W_f_x_W_g_x_W_o_x
    cp.matmul(x_t_, W_i_to_W_o_T, out=W_i_x_to_W_o_x_t)
    # sum_W_i_x[t] = sum(W_i_x[t])
    # sum_W_f_x[t] = sum(W_f_x[t])
    # sum_W_g_x[t] = sum(W_g_x[t])
    # sum_W_o_x[t] = sum(W_o_x[t])
    # centred_W_i_x[t] = W_i_x[t] - sum_W_i_x[t]/H
    # centred_W_f_x[t] = W_f_x[t] - sum_W_f_x[t]/H
    # centred_W_g_x[t] = W_g_x[t] - sum_W_g_x[t]/H
    # centred_W_o_x[t] = W_o_x[t] - sum_W_o_x[t]/H
    # square_W_i_x[t] = centred_W_i_x[t]**2
    # square_W_f_x[t] = centred_W_f_x[t]**2
    # square_W_g_x[t] = centred_W_g_x[t]**2
    # square_W_o_x[t] = centred_W_o_x[t]**2
    # sum_square_W_i_x[t] = sum(square_W_i_x[t])
    # sum_square_W_f_x[t] = sum(square_W_f_x[t])
    # sum_square_W_g_x[t] = sum(square_W_g_x[t])
    # sum_square_W_o_x[t] = sum(square_W_o_x[t])
    # std_squared_W_i_x[t] = sum_square_W_i_x[t]/H + 1e-05
    # std_squared_W_f_x[t] = sum_square_W_f_x[t]/H + 1e-05
    # std_squared_W_g_x[t] = sum_square_W_g_x[t]/H + 1e-05
    # std_squared_W_o_x[t] = sum_square_W_o_x[t]/H + 1e-05
    # std_W_i_x[t] = sqrt(std_squared_W_i_x[t])
    # std_W_f_x[t] = sqrt(std_squared_W_f_x[t])
    # std_W_g_x[t] = sqrt(std_squared_W_g_x[t])
    # std_W_o_x[t] = sqrt(std_squared_W_o_x[t])
    # sigmoid_in_i_in[t] = centred_W_i_x[t]*a_i/std_W_i_x[t] + b_i
    # sigmoid_in_f_in[t] = centred_W_f_x[t]*a_f/std_W_f_x[t] + b_f
    # tanh_in_g_in[t] = centred_W_g_x[t]*a_g/std_W_g_x[t] + b_g
    # sigmoid_in_o_in[t] = centred_W_o_x[t]*a_o/std_W_o_x[t] + b_o
    _launch_rows(
        kernels.forward_1, batch, H, 256, H, W_i_x_W_f_x_W_g_x_W_o_x, centred_W_i_x_to_centred_W_o_x,
        std_W_i_x_to_std_W_o_x, a_i, b_i, sigmoid_in_i_in_to_sigmoid_in_o_in, a_f, b_f, a_g, b_g, a_o, b_o,
    )
    # U_i_h[t] = U_i @ h[t-1]
    # U_f_h[t] = U_f @ h[t-1]
    # U_g_h[t] = U_g @ h[t-1]
    # U_o_h[t] = U_o @ h[t-1]
    U_i_h_to_U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h
    cp.matmul(h_t1, U_i_to_U_o_T, out=U_i_h_to_U_o_h_t)
    # sum_U_i_h[t] = sum(U_i_h[t])
    # sum_U_f_h[t] = sum(U_f_h[t])
    # sum_U_g_h[t] = sum(U_g_h[t])
    # sum_U_o_h[t] = sum(U_o_h[t])
    # centred_U_i_h[t] = U_i_h[t] - sum_U_i_h[t]/H
    # centred_U_f_h[t] = U_f_h[t] - sum_U_f_h[t]/H
    # centred_U_g_h[t] = U_g_h[t] - sum_U_g_h[t]/H
    # centred_U_o_h[t] = U_o_h[t] - sum_U_o_h[t]/H
    # square_U_i_h[t] = centred_U_i_h[t]**2
    # square_U_f_h[t] = centred_U_f_h[t]**2
    # square_U_g_h[t] = centred_U_g_h[t]**2
    # square_U_o_h[t] = centred_U_o_h[t]**2
    # sum_square_U_i_h[t] = sum(square_U_i_h[t])
    # sum_square_U_f_h[t] = sum(square_U_f_h[t])
    # sum_square_U_g_h[t] = sum(square_U_g_h[t])
    # sum_square_U_o_h[t] = sum(square_U_o_h[t])
    # std_squared_U_i_h[t] = sum_square_U_i_h[t]/H + 1e-05
    # std_squared_U_f_h[t] = sum_square_U_f_h[t]/H + 1e-05
    # std_squared_U_g_h[t] = sum_square_U_g_h[t]/H + 1e-05
    # std_squared_U_o_h[t] = sum_square_U_o_h[t]/H + 1e-05
    # std_U_i_h[t] = sqrt(std_squared_U_i_h[t])
    # std_U_f_h[t] = sqrt(std_squared_U_f_h[t])
    # std_U_g_h[t] = sqrt(std_squared_U_g_h[t])
    # std_U_o_h[t] = sqrt(std_squared_U_o_h[t])
    # sigmoid_in_i[t] = centred_U_i_h[t]*d_i/std_U_i_h[t] + sigmoid_in_i_in[t]
    # sigmoid_in_f[t] = centred_U_f_h[t]*d_f/std_U_f_h[t] + sigmoid_in_f_in[t]
    # tanh_in_g[t] = centred_U_g_h[t]*d_g/std_U_g_h[t] + tanh_in_g_in[t]
    # sigmoid_in_o[t] = centred_U_o_h[t]*d_o/std_U_o_h[t] + sigmoid_in_o_in[t]
    # i[t] = sigmoid(sigmoid_in_i[t]) (input gate)
    # f[t] = sigmoid(sigmoid_in_f[t]) (forget gate)
    # g[t] = tanh(tanh_in_g[t]) (candidate)
    # o[t] = sigmoid(sigmoid_in_o[t]) (output gate)
    # c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state)
    # sum_c[t] = sum(c[t])
    # centred_c[t] = c[t] - sum_c[t]/H
    # square_c[t] = centred_c[t]**2
    # sum_square_c[t] = sum(square_c[t])
    # std_squared_c[t] = sum_square_c[t]/H + 1e-05
    # std_c[t] = sqrt(std_squared_c[t])
    # a_h[t] = centred_c[t]*a_c/std_c[t] + b_c
    # tanh_a_h[t] = tanh(a_h[t])
    # h[t] = o[t]*tanh_a_h[t] (hidden state)
    _launch_rows(
        kernels.forward_2, batch, H, 256, H, U_i_h_U_f_h_U_g_h_U_o_h, centred_U_i_h_to_centred_U_o_h, 0,
        std_U_i_h_to_std_U_o_h, 0, d_i, sigmoid_in_i_in_to_sigmoid_in_o_in, 0, d_f, d_g, d_o, h, 0, c_t1, 0, c,
        0, sum_c, 0, centred_c, std_c, 0, a_c, b_c,
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
    untaped = item * (rows * (13*H + 4) + batch * (12*H + 6)) + 488 * steps
    taped = item * (rows * (18*H + 10) + batch * 7*H) + 488 * steps
    back = item * (rows * (D + 33*H + 11) + batch * 14*H) + 1016 * steps
    if packed:
        untaped += rows * (item * D + 8)
        taped += rows * (item * D + 8)
        back += rows * (item * (D + 2*H) + 16)
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


KERNELS = ("forward_1", "forward_2", "backward_1", "backward_2")
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
    long long H,
    const real* __restrict__ W_i_x_W_f_x_W_g_x_W_o_x_t_rows,
    real* centred_W_i_x_to_centred_W_o_x_t_rows,
    real* __restrict__ std_W_i_x_to_std_W_o_x_t_rows,
    const real* __restrict__ a_i,
    const real* __restrict__ b_i,
    real* __restrict__ sigmoid_in_i_in_to_sigmoid_in_o_in_t_rows,
    const real* __restrict__ a_f,
    const real* __restrict__ b_f,
    const real* __restrict__ a_g,
    const real* __restrict__ b_g,
    const real* __restrict__ a_o,
    const real* __restrict__ b_o) {
    const long long row = blockIdx.x;
    const real* W_i_x_W_f_x_W_g_x_W_o_x_t_row = W_i_x_W_f_x_W_g_x_W_o_x_t_rows + row * (4*H);
    real* centred_W_i_x_to_centred_W_o_x_t_row = centred_W_i_x_to_centred_W_o_x_t_rows + row * (4*H);
    real* std_W_i_x_to_std_W_o_x_t_row = std_W_i_x_to_std_W_o_x_t_rows + row * 4;
    real* sigmoid_in_i_in_to_sigmoid_in_o_in_t_row = sigmoid_in_i_in_to_sigmoid_in_o_in_t_rows + row * (4*H);
    real partial_sum_W_i_x = 0;
    real partial_sum_W_f_x = 0;
    real partial_sum_W_g_x = 0;
    real partial_sum_W_o_x = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real W_i_x_t = W_i_x_W_f_x_W_g_x_W_o_x_t_row[unit];
        const real W_f_x_t = W_i_x_W_f_x_W_g_x_W_o_x_t_row[H + unit];
        const real W_g_x_t = W_i_x_W_f_x_W_g_x_W_o_x_t_row[2*H + unit];
        const real W_o_x_t = W_i_x_W_f_x_W_g_x_W_o_x_t_row[3*H + unit];
        partial_sum_W_i_x += W_i_x_t;
        partial_sum_W_f_x += W_f_x_t;
        partial_sum_W_g_x += W_g_x_t;
        partial_sum_W_o_x += W_o_x_t;
    }
    // sum_W_i_x[t] = sum(W_i_x[t])
    const real sum_W_i_x_t = block_sum(partial_sum_W_i_x);
    // sum_W_f_x[t] = sum(W_f_x[t])
    const real sum_W_f_x_t = block_sum(partial_sum_W_f_x);
    // sum_W_g_x[t] = sum(W_g_x[t])
    const real sum_W_g_x_t = block_sum(partial_sum_W_g_x);
    // sum_W_o_x[t] = sum(W_o_x[t])
    const real sum_W_o_x_t = block_sum(partial_sum_W_o_x);
    real partial_sum_square_W_i_x = 0;
    real partial_sum_square_W_f_x = 0;
    real partial_sum_square_W_g_x = 0;
    real partial_sum_square_W_o_x = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real W_i_x_t = W_i_x_W_f_x_W_g_x_W_o_x_t_row[unit];
        const real W_f_x_t = W_i_x_W_f_x_W_g_x_W_o_x_t_row[H + unit];
        const real W_g_x_t = W_i_x_W_f_x_W_g_x_W_o_x_t_row[2*H + unit];
        const real W_o_x_t = W_i_x_W_f_x_W_g_x_W_o_x_t_row[3*H + unit];
        // centred_W_i_x[t] = W_i_x[t] - sum_W_i_x[t]/H
        const real centred_W_i_x_t = W_i_x_t - sum_W_i_x_t / (real)H;
        // centred_W_f_x[t] = W_f_x[t] - sum_W_f_x[t]/H
        const real centred_W_f_x_t = W_f_x_t - sum_W_f_x_t / (real)H;
        // centred_W_g_x[t] = W_g_x[t] - sum_W_g_x[t]/H
        const real centred_W_g_x_t = W_g_x_t - sum_W_g_x_t / (real)H;
        // centred_W_o_x[t] = W_o_x[t] - sum_W_o_x[t]/H
        const real centred_W_o_x_t = W_o_x_t - sum_W_o_x_t / (real)H;
        // square_W_i_x[t] = centred_W_i_x[t]**2
        const real square_W_i_x_t = centred_W_i_x_t * centred_W_i_x_t;
        // square_W_f_x[t] = centred_W_f_x[t]**2
        const real square_W_f_x_t = centred_W_f_x_t * centred_W_f_x_t;
        // square_W_g_x[t] = centred_W_g_x[t]**2
        const real square_W_g_x_t = centred_W_g_x_t * centred_W_g_x_t;
        // square_W_o_x[t] = centred_W_o_x[t]**2
        const real square_W_o_x_t = centred_W_o_x_t * centred_W_o_x_t;
        partial_sum_square_W_i_x += square_W_i_x_t;
        partial_sum_square_W_f_x += square_W_f_x_t;
        partial_sum_square_W_g_x += square_W_g_x_t;
        partial_sum_square_W_o_x += square_W_o_x_t;
        centred_W_i_x_to_centred_W_o_x_t_row[unit] = centred_W_i_x_t;
        centred_W_i_x_to_centred_W_o_x_t_row[H + unit] = centred_W_f_x_t;
        centred_W_i_x_to_centred_W_o_x_t_row[2*H + unit] = centred_W_g_x_t;
        centred_W_i_x_to_centred_W_o_x_t_row[3*H + unit] = centred_W_o_x_t;
    }
    // sum_square_W_i_x[t] = sum(square_W_i_x[t])
    const real sum_square_W_i_x_t = block_sum(partial_sum_square_W_i_x);
    // sum_square_W_f_x[t] = sum(square_W_f_x[t])
    const real sum_square_W_f_x_t = block_sum(partial_sum_square_W_f_x);
    // sum_square_W_g_x[t] = sum(square_W_g_x[t])
    const real sum_square_W_g_x_t = block_sum(partial_sum_square_W_g_x);
    // sum_square_W_o_x[t] = sum(square_W_o_x[t])
    const real sum_square_W_o_x_t = block_sum(partial_sum_square_W_o_x);
    // std_squared_W_i_x[t] = sum_square_W_i_x[t]/H + 1e-05
    const real std_squared_W_i_x_t = sum_square_W_i_x_t / (real)H + (real)1e-05;
    // std_squared_W_f_x[t] = sum_square_W_f_x[t]/H + 1e-05
    const real std_squared_W_f_x_t = sum_square_W_f_x_t / (real)H + (real)1e-05;
    // std_squared_W_g_x[t] = sum_square_W_g_x[t]/H + 1e-05
    const real std_squared_W_g_x_t = sum_square_W_g_x_t / (real)H + (real)1e-05;
    // std_squared_W_o_x[t] = sum_square_W_o_x[t]/H + 1e-05
    const real std_squared_W_o_x_t = sum_square_W_o_x_t / (real)H + (real)1e-05;
    // std_W_i_x[t] = sqrt(std_squared_W_i_x[t])
    const real std_W_i_x_t = sqrt(std_squared_W_i_x_t);
    // std_W_f_x[t] = sqrt(std_squared_W_f_x[t])
    const real std_W_f_x_t = sqrt(std_squared_W_f_x_t);
    // std_W_g_x[t] = sqrt(std_squared_W_g_x[t])
    const real std_W_g_x_t = sqrt(std_squared_W_g_x_t);
    // std_W_o_x[t] = sqrt(std_squared_W_o_x[t])
    const real std_W_o_x_t = sqrt(std_squared_W_o_x_t);
    if (threadIdx.x == 0) std_W_i_x_to_std_W_o_x_t_row[0] = std_W_i_x_t;
    if (threadIdx.x == 0) std_W_i_x_to_std_W_o_x_t_row[1] = std_W_f_x_t;
    if (threadIdx.x == 0) std_W_i_x_to_std_W_o_x_t_row[2] = std_W_g_x_t;
    if (threadIdx.x == 0) std_W_i_x_to_std_W_o_x_t_row[3] = std_W_o_x_t;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_W_i_x_t = centred_W_i_x_to_centred_W_o_x_t_row[unit];
        const real centred_W_f_x_t = centred_W_i_x_to_centred_W_o_x_t_row[H + unit];
        const real centred_W_g_x_t = centred_W_i_x_to_centred_W_o_x_t_row[2*H + unit];
        const real centred_W_o_x_t = centred_W_i_x_to_centred_W_o_x_t_row[3*H + unit];
        // sigmoid_in_i_in[t] = centred_W_i_x[t]*a_i/std_W_i_x[t] + b_i
        const real sigmoid_in_i_in_t = centred_W_i_x_t * a_i[unit] / std_W_i_x_t + b_i[unit];
        // sigmoid_in_f_in[t] = centred_W_f_x[t]*a_f/std_W_f_x[t] + b_f
        const real sigmoid_in_f_in_t = centred_W_f_x_t * a_f[unit] / std_W_f_x_t + b_f[unit];
        // tanh_in_g_in[t] = centred_W_g_x[t]*a_g/std_W_g_x[t] + b_g
        const real tanh_in_g_in_t = centred_W_g_x_t * a_g[unit] / std_W_g_x_t + b_g[unit];
        // sigmoid_in_o_in[t] = centred_W_o_x[t]*a_o/std_W_o_x[t] + b_o
        const real sigmoid_in_o_in_t = centred_W_o_x_t * a_o[unit] / std_W_o_x_t + b_o[unit];
        sigmoid_in_i_in_to_sigmoid_in_o_in_t_row[unit] = sigmoid_in_i_in_t;
        sigmoid_in_i_in_to_sigmoid_in_o_in_t_row[H + unit] = sigmoid_in_f_in_t;
        sigmoid_in_i_in_to_sigmoid_in_o_in_t_row[2*H + unit] = tanh_in_g_in_t;
        sigmoid_in_i_in_to_sigmoid_in_o_in_t_row[3*H + unit] = sigmoid_in_o_in_t;
    }
}

extern "C" __global__ void forward_2(
    long long H,
    const real* __restrict__ U_i_h_U_f_h_U_g_h_U_o_h_t_rows,
    real* centred_U_i_h_to_centred_U_o_h_t_rows,
    long long centred_U_i_h_to_centred_U_o_h_t_at,
    real* __restrict__ std_U_i_h_to_std_U_o_h_t_rows,
    long long std_U_i_h_to_std_U_o_h_t_at,
    const real* __restrict__ d_i,
    const real* __restrict__ sigmoid_in_i_in_to_sigmoid_in_o_in_t_rows,
    long long sigmoid_in_i_in_to_sigmoid_in_o_in_t_at,
    const real* __restrict__ d_f,
    const real* __restrict__ d_g,
    const real* __restrict__ d_o,
    real* h_t_rows,
    long long h_t_at,
    const real* c_t1_rows,
    long long c_t1_at,
    real* c_t_rows,
    long long c_t_at,
    real* __restrict__ sum_c_t_rows,
    long long sum_c_t_at,
    real* centred_c_t_rows,
    real* __restrict__ std_c_t_rows,
    long long std_c_t_at,
    const real* __restrict__ a_c,
    const real* __restrict__ b_c) {
    const long long row = blockIdx.x;
    const real* U_i_h_U_f_h_U_g_h_U_o_h_t_row = U_i_h_U_f_h_U_g_h_U_o_h_t_rows + row * (4*H);
    real* centred_U_i_h_to_centred_U_o_h_t_row =
        centred_U_i_h_to_centred_U_o_h_t_rows + (centred_U_i_h_to_centred_U_o_h_t_at + row) * (4*H);
    real* std_U_i_h_to_std_U_o_h_t_row = std_U_i_h_to_std_U_o_h_t_rows + (std_U_i_h_to_std_U_o_h_t_at + row) * 4;
    const real* sigmoid_in_i_in_to_sigmoid_in_o_in_t_row =
        sigmoid_in_i_in_to_sigmoid_in_o_in_t_rows + (sigmoid_in_i_in_to_sigmoid_in_o_in_t_at + row) * (4*H);
    real* h_t_row = h_t_rows + (h_t_at + row) * H;
    const real* c_t1_row = c_t1_rows + (c_t1_at + row) * H;
    real* c_t_row = c_t_rows + (c_t_at + row) * H;
    real* sum_c_t_row = sum_c_t_rows + (sum_c_t_at + row);
    real* centred_c_t_row = centred_c_t_rows + row * H;
    real* std_c_t_row = std_c_t_rows + (std_c_t_at + row);
    real partial_sum_U_i_h = 0;
    real partial_sum_U_f_h = 0;
    real partial_sum_U_g_h = 0;
    real partial_sum_U_o_h = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real U_i_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t_row[unit];
        const real U_f_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t_row[H + unit];
        const real U_g_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t_row[2*H + unit];
        const real U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t_row[3*H + unit];
        partial_sum_U_i_h += U_i_h_t;
        partial_sum_U_f_h += U_f_h_t;
        partial_sum_U_g_h += U_g_h_t;
        partial_sum_U_o_h += U_o_h_t;
    }
    // sum_U_i_h[t] = sum(U_i_h[t])
    const real sum_U_i_h_t = block_sum(partial_sum_U_i_h);
    // sum_U_f_h[t] = sum(U_f_h[t])
    const real sum_U_f_h_t = block_sum(partial_sum_U_f_h);
    // sum_U_g_h[t] = sum(U_g_h[t])
    const real sum_U_g_h_t = block_sum(partial_sum_U_g_h);
    // sum_U_o_h[t] = sum(U_o_h[t])
    const real sum_U_o_h_t = block_sum(partial_sum_U_o_h);
    real partial_sum_square_U_i_h = 0;
    real partial_sum_square_U_f_h = 0;
    real partial_sum_square_U_g_h = 0;
    real partial_sum_square_U_o_h = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real U_i_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t_row[unit];
        const real U_f_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t_row[H + unit];
        const real U_g_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t_row[2*H + unit];
        const real U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t_row[3*H + unit];
        // centred_U_i_h[t] = U_i_h[t] - sum_U_i_h[t]/H
        const real centred_U_i_h_t = U_i_h_t - sum_U_i_h_t / (real)H;
        // centred_U_f_h[t] = U_f_h[t] - sum_U_f_h[t]/H
        const real centred_U_f_h_t = U_f_h_t - sum_U_f_h_t / (real)H;
        // centred_U_g_h[t] = U_g_h[t] - sum_U_g_h[t]/H
        const real centred_U_g_h_t = U_g_h_t - sum_U_g_h_t / (real)H;
        // centred_U_o_h[t] = U_o_h[t] - sum_U_o_h[t]/H
        const real centred_U_o_h_t = U_o_h_t - sum_U_o_h_t / (real)H;
        // square_U_i_h[t] = centred_U_i_h[t]**2
        const real square_U_i_h_t = centred_U_i_h_t * centred_U_i_h_t;
        // square_U_f_h[t] = centred_U_f_h[t]**2
        const real square_U_f_h_t = centred_U_f_h_t * centred_U_f_h_t;
        // square_U_g_h[t] = centred_U_g_h[t]**2
        const real square_U_g_h_t = centred_U_g_h_t * centred_U_g_h_t;
        // square_U_o_h[t] = centred_U_o_h[t]**2
        const real square_U_o_h_t = centred_U_o_h_t * centred_U_o_h_t;
        partial_sum_square_U_i_h += square_U_i_h_t;
        partial_sum_square_U_f_h += square_U_f_h_t;
        partial_sum_square_U_g_h += square_U_g_h_t;
        partial_sum_square_U_o_h += square_U_o_h_t;
        centred_U_i_h_to_centred_U_o_h_t_row[unit] = centred_U_i_h_t;
        centred_U_i_h_to_centred_U_o_h_t_row[H + unit] = centred_U_f_h_t;
        centred_U_i_h_to_centred_U_o_h_t_row[2*H + unit] = centred_U_g_h_t;
        centred_U_i_h_to_centred_U_o_h_t_row[3*H + unit] = centred_U_o_h_t;
    }
    // sum_square_U_i_h[t] = sum(square_U_i_h[t])
    const real sum_square_U_i_h_t = block_sum(partial_sum_square_U_i_h);
    // sum_square_U_f_h[t] = sum(square_U_f_h[t])
    const real sum_square_U_f_h_t = block_sum(partial_sum_square_U_f_h);
    // sum_square_U_g_h[t] = sum(square_U_g_h[t])
    const real sum_square_U_g_h_t = block_sum(partial_sum_square_U_g_h);
    // sum_square_U_o_h[t] = sum(square_U_o_h[t])
    const real sum_square_U_o_h_t = block_sum(partial_sum_square_U_o_h);
    // std_squared_U_i_h[t] = sum_square_U_i_h[t]/H + 1e-05
    const real std_squared_U_i_h_t = sum_square_U_i_h_t / (real)H + (real)1e-05;
    // std_squared_U_f_h[t] = sum_square_U_f_h[t]/H + 1e-05
    const real std_squared_U_f_h_t = sum_square_U_f_h_t / (real)H + (real)1e-05;
    // std_squared_U_g_h[t] = sum_square_U_g_h[t]/H + 1e-05
    const real std_squared_U_g_h_t = sum_square_U_g_h_t / (real)H + (real)1e-05;
    // std_squared_U_o_h[t] = sum_square_U_o_h[t]/H + 1e-05
    const real std_squared_U_o_h_t = sum_square_U_o_h_t / (real)H + (real)1e-05;
    // std_U_i_h[t] = sqrt(std_squared_U_i_h[t])
    const real std_U_i_h_t = sqrt(std_squared_U_i_h_t);
    // std_U_f_h[t] = sqrt(std_squared_U_f_h[t])
    const real std_U_f_h_t = sqrt(std_squared_U_f_h_t);
    // std_U_g_h[t] = sqrt(std_squared_U_g_h[t])
    const real std_U_g_h_t = sqrt(std_squared_U_g_h_t);
    // std_U_o_h[t] = sqrt(std_squared_U_o_h[t])
    const real std_U_o_h_t = sqrt(std_squared_U_o_h_t);
    if (threadIdx.x == 0) std_U_i_h_to_std_U_o_h_t_row[0] = std_U_i_h_t;
    if (threadIdx.x == 0) std_U_i_h_to_std_U_o_h_t_row[1] = std_U_f_h_t;
    if (threadIdx.x == 0) std_U_i_h_to_std_U_o_h_t_row[2] = std_U_g_h_t;
    if (threadIdx.x == 0) std_U_i_h_to_std_U_o_h_t_row[3] = std_U_o_h_t;
    real partial_sum_c = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_U_i_h_t = centred_U_i_h_to_centred_U_o_h_t_row[unit];
        const real sigmoid_in_i_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in_t_row[unit];
        const real centred_U_f_h_t = centred_U_i_h_to_centred_U_o_h_t_row[H + unit];
        const real sigmoid_in_f_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in_t_row[H + unit];
        const real centred_U_g_h_t = centred_U_i_h_to_centred_U_o_h_t_row[2*H + unit];
        const real tanh_in_g_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in_t_row[2*H + unit];
        const real centred_U_o_h_t = centred_U_i_h_to_centred_U_o_h_t_row[3*H + unit];
        const real sigmoid_in_o_in_t = sigmoid_in_i_in_to_sigmoid_in_o_in_t_row[3*H + unit];
        const real c_t1 = c_t1_row[unit];
        // sigmoid_in_i[t] = centred_U_i_h[t]*d_i/std_U_i_h[t] + sigmoid_in_i_in[t]
        const real sigmoid_in_i_t = centred_U_i_h_t * d_i[unit] / std_U_i_h_t + sigmoid_in_i_in_t;
        // sigmoid_in_f[t] = centred_U_f_h[t]*d_f/std_U_f_h[t] + sigmoid_in_f_in[t]
        const real sigmoid_in_f_t = centred_U_f_h_t * d_f[unit] / std_U_f_h_t + sigmoid_in_f_in_t;
        // tanh_in_g[t] = centred_U_g_h[t]*d_g/std_U_g_h[t] + tanh_in_g_in[t]
        const real tanh_in_g_t = centred_U_g_h_t * d_g[unit] / std_U_g_h_t + tanh_in_g_in_t;
        // sigmoid_in_o[t] = centred_U_o_h[t]*d_o/std_U_o_h[t] + sigmoid_in_o_in[t]
        const real sigmoid_in_o_t = centred_U_o_h_t * d_o[unit] / std_U_o_h_t + sigmoid_in_o_in_t;
        // i[t] = sigmoid(sigmoid_in_i[t]) (input gate)
        const real i_t = sigmoid(sigmoid_in_i_t);
        // f[t] = sigmoid(sigmoid_in_f[t]) (forget gate)
        const real f_t = sigmoid(sigmoid_in_f_t);
        // g[t] = tanh(tanh_in_g[t]) (candidate)
        const real g_t = tanh(tanh_in_g_t);
        // o[t] = sigmoid(sigmoid_in_o[t]) (output gate)
        const real o_t = sigmoid(sigmoid_in_o_t);
        // c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state)
        const real c_t = f_t * c_t1 + i_t * g_t;
        partial_sum_c += c_t;
        h_t_row[unit] = o_t;
        c_t_row[unit] = c_t;
    }
    // sum_c[t] = sum(c[t])
    const real sum_c_t = block_sum(partial_sum_c);
    if (threadIdx.x == 0) sum_c_t_row[0] = sum_c_t;
    real partial_sum_square_c = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real c_t = c_t_row[unit];
        // centred_c[t] = c[t] - sum_c[t]/H
        const real centred_c_t = c_t - sum_c_t / (real)H;
        // square_c[t] = centred_c[t]**2
        const real square_c_t = centred_c_t * centred_c_t;
        partial_sum_square_c += square_c_t;
        centred_c_t_row[unit] = centred_c_t;
    }
    // sum_square_c[t] = sum(square_c[t])
    const real sum_square_c_t = block_sum(partial_sum_square_c);
    // std_squared_c[t] = sum_square_c[t]/H + 1e-05
    const real std_squared_c_t = sum_square_c_t / (real)H + (real)1e-05;
    // std_c[t] = sqrt(std_squared_c[t])
    const real std_c_t = sqrt(std_squared_c_t);
    if (threadIdx.x == 0) std_c_t_row[0] = std_c_t;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_c_t = centred_c_t_row[unit];
        const real o_t = h_t_row[unit];
        // a_h[t] = centred_c[t]*a_c/std_c[t] + b_c
        const real a_h_t = centred_c_t * a_c[unit] / std_c_t + b_c[unit];
        // tanh_a_h[t] = tanh(a_h[t])
        const real tanh_a_h_t = tanh(a_h_t);
        // h[t] = o[t]*tanh_a_h[t] (hidden state)
        const real h_t = o_t * tanh_a_h_t;
        h_t_row[unit] = h_t;
    }
}

extern "C" __global__ void backward_1(
    long long H,
    const real* __restrict__ centred_W_i_x_to_centred_W_o_x_t_rows,
    long long centred_W_i_x_to_centred_W_o_x_t_at,
    const real* __restrict__ a_i,
    const real* __restrict__ std_W_i_x_to_std_W_o_x_t_rows,
    long long std_W_i_x_to_std_W_o_x_t_at,
    const real* __restrict__ centred_U_i_h_to_centred_U_o_h_t_rows,
    long long centred_U_i_h_to_centred_U_o_h_t_at,
    const real* __restrict__ d_i,
    const real* __restrict__ std_U_i_h_to_std_U_o_h_t_rows,
    long long std_U_i_h_to_std_U_o_h_t_at,
    const real* __restrict__ b_i,
    const real* __restrict__ a_f,
    const real* __restrict__ d_f,
    const real* __restrict__ b_f,
    const real* __restrict__ a_g,
    const real* __restrict__ d_g,
    const real* __restrict__ b_g,
    const real* __restrict__ a_o,
    const real* __restrict__ d_o,
    const real* __restrict__ b_o,
    const real* __restrict__ c_t_rows,
    long long c_t_at,
    const real* __restrict__ sum_c_t_rows,
    long long sum_c_t_at,
    real* centred_c_t_rows,
    long long centred_c_t_at,
    const real* __restrict__ dy_t_rows,
    long long dy_t_at,
    const real* __restrict__ dh_back_next_rows,
    long long dh_back_next_at,
    real* i_f_t_rows,
    real* g_t_rows,
    const real* __restrict__ a_c,
    const real* __restrict__ std_c_t_rows,
    long long std_c_t_at,
    const real* __restrict__ b_c,
    real* da_h_t_rows,
    long long da_h_t_at,
    real* dsigmoid_in_i_to_dsigmoid_in_o_t_rows,
    long long dsigmoid_in_i_to_dsigmoid_in_o_t_at,
    real* dcentred_c_to_dcentred_U_o_h_t_rows,
    const real* dc_via_next_rows,
    long long dc_via_next_at,
    real* __restrict__ dU_i_h_to_dU_o_h_t_rows,
    long long dU_i_h_to_dU_o_h_t_at,
    const real* __restrict__ c_t1_rows,
    long long c_t1_at,
    real* dc_via_t_rows,
    long long dc_via_t_at,
    real* dtanh_in_g_t_rows,
    long long dtanh_in_g_t_at,
    real* dcentred_U_i_h_to_dcentred_U_g_h_t_rows) {
    const long long row = blockIdx.x;
    const real* centred_W_i_x_to_centred_W_o_x_t_row =
        centred_W_i_x_to_centred_W_o_x_t_rows + (centred_W_i_x_to_centred_W_o_x_t_at + row) * (4*H);
    const real* std_W_i_x_to_std_W_o_x_t_row = std_W_i_x_to_std_W_o_x_t_rows + (std_W_i_x_to_std_W_o_x_t_at + row) * 4;
    const real* centred_U_i_h_to_centred_U_o_h_t_row =
        centred_U_i_h_to_centred_U_o_h_t_rows + (centred_U_i_h_to_centred_U_o_h_t_at + row) * (4*H);
    const real* std_U_i_h_to_std_U_o_h_t_row = std_U_i_h_to_std_U_o_h_t_rows + (std_U_i_h_to_std_U_o_h_t_at + row) * 4;
    const real* c_t_row = c_t_rows + (c_t_at + row) * H;
    const real* sum_c_t_row = sum_c_t_rows + (sum_c_t_at + row);
    real* centred_c_t_row = centred_c_t_rows + (centred_c_t_at + row) * H;
    const real* dy_t_row = dy_t_rows + (dy_t_at + row) * H;
    const real* dh_back_next_row = dh_back_next_rows + (dh_back_next_at + row) * H;
    real* i_f_t_row = i_f_t_rows + row * (2*H);
    real* g_t_row = g_t_rows + row * H;
    const real* std_c_t_row = std_c_t_rows + (std_c_t_at + row);
    real* da_h_t_row = da_h_t_rows + (da_h_t_at + row) * H;
    real* dsigmoid_in_i_to_dsigmoid_in_o_t_row =
        dsigmoid_in_i_to_dsigmoid_in_o_t_rows + (dsigmoid_in_i_to_dsigmoid_in_o_t_at + row) * (3*H);
    real* dcentred_c_to_dcentred_U_o_h_t_row = dcentred_c_to_dcentred_U_o_h_t_rows + row * (2*H);
    const real* dc_via_next_row = dc_via_next_rows + (dc_via_next_at + row) * H;
    real* dU_i_h_to_dU_o_h_t_row = dU_i_h_to_dU_o_h_t_rows + (dU_i_h_to_dU_o_h_t_at + row) * (4*H);
    const real* c_t1_row = c_t1_rows + (c_t1_at + row) * H;
    real* dc_via_t_row = dc_via_t_rows + (dc_via_t_at + row) * H;
    real* dtanh_in_g_t_row = dtanh_in_g_t_rows + (dtanh_in_g_t_at + row) * H;
    real* dcentred_U_i_h_to_dcentred_U_g_h_t_row = dcentred_U_i_h_to_dcentred_U_g_h_t_rows + row * (3*H);
    const real std_W_i_x_t = std_W_i_x_to_std_W_o_x_t_row[0];
    const real std_U_i_h_t = std_U_i_h_to_std_U_o_h_t_row[0];
    const real std_W_f_x_t = std_W_i_x_to_std_W_o_x_t_row[1];
    const real std_U_f_h_t = std_U_i_h_to_std_U_o_h_t_row[1];
    const real std_W_g_x_t = std_W_i_x_to_std_W_o_x_t_row[2];
    const real std_U_g_h_t = std_U_i_h_to_std_U_o_h_t_row[2];
    const real std_W_o_x_t = std_W_i_x_to_std_W_o_x_t_row[3];
    const real std_U_o_h_t = std_U_i_h_to_std_U_o_h_t_row[3];
    const real sum_c_t = sum_c_t_row[0];
    const real std_c_t = std_c_t_row[0];
    real partial_dstd_c_sum = 0;
    real partial_dstd_U_o_h_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_W_i_x_t = centred_W_i_x_to_centred_W_o_x_t_row[unit];
        const real centred_U_i_h_t = centred_U_i_h_to_centred_U_o_h_t_row[unit];
        const real centred_W_f_x_t = centred_W_i_x_to_centred_W_o_x_t_row[H + unit];
        const real centred_U_f_h_t = centred_U_i_h_to_centred_U_o_h_t_row[H + unit];
        const real centred_W_g_x_t = centred_W_i_x_to_centred_W_o_x_t_row[2*H + unit];
        const real centred_U_g_h_t = centred_U_i_h_to_centred_U_o_h_t_row[2*H + unit];
        const real centred_W_o_x_t = centred_W_i_x_to_centred_W_o_x_t_row[3*H + unit];
        const real centred_U_o_h_t = centred_U_i_h_to_centred_U_o_h_t_row[3*H + unit];
        const real c_t = c_t_row[unit];
        const real dy_t = dy_t_row[unit];
        const real dh_back_next = dh_back_next_row[unit];
        // sigmoid_in_i[t] = centred_W_i_x[t]*a_i/std_W_i_x[t] + centred_U_i_h[t]*d_i/std_U_i_h[t] + b_i
        const real sigmoid_in_i_t =
            centred_W_i_x_t * a_i[unit] / std_W_i_x_t + centred_U_i_h_t * d_i[unit] / std_U_i_h_t + b_i[unit];
        // sigmoid_in_f[t] = centred_W_f_x[t]*a_f/std_W_f_x[t] + centred_U_f_h[t]*d_f/std_U_f_h[t] + b_f
        const real sigmoid_in_f_t =
            centred_W_f_x_t * a_f[unit] / std_W_f_x_t + centred_U_f_h_t * d_f[unit] / std_U_f_h_t + b_f[unit];
        // tanh_in_g[t] = centred_W_g_x[t]*a_g/std_W_g_x[t] + centred_U_g_h[t]*d_g/std_U_g_h[t] + b_g
        const real tanh_in_g_t =
            centred_W_g_x_t * a_g[unit] / std_W_g_x_t + centred_U_g_h_t * d_g[unit] / std_U_g_h_t + b_g[unit];
        // sigmoid_in_o[t] = centred_W_o_x[t]*a_o/std_W_o_x[t] + centred_U_o_h[t]*d_o/std_U_o_h[t] + b_o
        const real sigmoid_in_o_t =
            centred_W_o_x_t * a_o[unit] / std_W_o_x_t + centred_U_o_h_t * d_o[unit] / std_U_o_h_t + b_o[unit];
        // centred_c[t] = c[t] - sum_c[t]/H
        const real centred_c_t = c_t - sum_c_t / (real)H;
        // dh[t] = dy[t] + dh_back[t+1]
        const real dh_t = dy_t + dh_back_next;
        // i[t] = sigmoid(sigmoid_in_i[t]) (input gate)
        const real i_t = sigmoid(sigmoid_in_i_t);
        // f[t] = sigmoid(sigmoid_in_f[t]) (forget gate)
        const real f_t = sigmoid(sigmoid_in_f_t);
        // g[t] = tanh(tanh_in_g[t]) (candidate)
        const real g_t = tanh(tanh_in_g_t);
        // o[t] = sigmoid(sigmoid_in_o[t]) (output gate)
        const real o_t = sigmoid(sigmoid_in_o_t);
        // a_h[t] = centred_c[t]*a_c/std_c[t] + b_c
        const real a_h_t = centred_c_t * a_c[unit] / std_c_t + b_c[unit];
        // tanh_a_h[t] = tanh(a_h[t])
        const real tanh_a_h_t = tanh(a_h_t);
        // dtanh_a_h[t] = dh[t]*o[t]
        const real dtanh_a_h_t = dh_t * o_t;
        // da_h[t] = dtanh_a_h[t]*(1 - tanh_a_h[t]**2)
        const real da_h_t = dtanh_a_h_t * (1 - tanh_a_h_t * tanh_a_h_t);
        // do[t] = dh[t]*tanh_a_h[t]
        const real do_t = dh_t * tanh_a_h_t;
        // dstd_c_each[t] = da_h[t]*centred_c[t]*a_c
        const real dstd_c_each_t = da_h_t * centred_c_t * a_c[unit];
        // dsigmoid_in_o[t] = do[t]*o[t]*(1 - o[t])
        const real dsigmoid_in_o_t = do_t * o_t * (1 - o_t);
        // dstd_U_o_h_each[t] = dsigmoid_in_o[t]*centred_U_o_h[t]*d_o
        const real dstd_U_o_h_each_t = dsigmoid_in_o_t * centred_U_o_h_t * d_o[unit];
        partial_dstd_c_sum += dstd_c_each_t;
        partial_dstd_U_o_h_sum += dstd_U_o_h_each_t;
        centred_c_t_row[unit] = centred_c_t;
        i_f_t_row[unit] = i_t;
        i_f_t_row[H + unit] = f_t;
        g_t_row[unit] = g_t;
        da_h_t_row[unit] = da_h_t;
        dsigmoid_in_i_to_dsigmoid_in_o_t_row[2*H + unit] = dsigmoid_in_o_t;
    }
    // dstd_c_sum[t] = sum(dstd_c_each[t])
    const real dstd_c_sum_t = block_sum(partial_dstd_c_sum);
    // dstd_U_o_h_sum[t] = sum(dstd_U_o_h_each[t])
    const real dstd_U_o_h_sum_t = block_sum(partial_dstd_U_o_h_sum);
    // dstd_c[t] = -dstd_c_sum[t]/std_c[t]**2
    const real dstd_c_t = -dstd_c_sum_t / (std_c_t * std_c_t);
    // dstd_squared_c[t] = dstd_c[t]/(2*std_c[t])
    const real dstd_squared_c_t = dstd_c_t / 2 / std_c_t;
    // dstd_U_o_h[t] = -dstd_U_o_h_sum[t]/std_U_o_h[t]**2
    const real dstd_U_o_h_t = -dstd_U_o_h_sum_t / (std_U_o_h_t * std_U_o_h_t);
    // dsum_square_c[t] = dstd_squared_c[t]/H
    const real dsum_square_c_t = dstd_squared_c_t / (real)H;
    // dstd_squared_U_o_h[t] = dstd_U_o_h[t]/(2*std_U_o_h[t])
    const real dstd_squared_U_o_h_t = dstd_U_o_h_t / 2 / std_U_o_h_t;
    // dsum_square_U_o_h[t] = dstd_squared_U_o_h[t]/H
    const real dsum_square_U_o_h_t = dstd_squared_U_o_h_t / (real)H;
    real partial_dsum_c_sum = 0;
    real partial_dsum_U_o_h_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_c_t = centred_c_t_row[unit];
        const real da_h_t = da_h_t_row[unit];
        const real centred_U_o_h_t = centred_U_i_h_to_centred_U_o_h_t_row[3*H + unit];
        const real dsigmoid_in_o_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[2*H + unit];
        // dcentred_c[t] = 2*dsum_square_c[t]*centred_c[t] + da_h[t]*a_c/std_c[t]
        const real dcentred_c_t = 2 * dsum_square_c_t * centred_c_t + da_h_t * a_c[unit] / std_c_t;
        // dcentred_U_o_h[t] = 2*dsum_square_U_o_h[t]*centred_U_o_h[t] + dsigmoid_in_o[t]*d_o/std_U_o_h[t]
        const real dcentred_U_o_h_t =
            2 * dsum_square_U_o_h_t * centred_U_o_h_t + dsigmoid_in_o_t * d_o[unit] / std_U_o_h_t;
        partial_dsum_c_sum += dcentred_c_t;
        partial_dsum_U_o_h_sum += dcentred_U_o_h_t;
        dcentred_c_to_dcentred_U_o_h_t_row[unit] = dcentred_c_t;
        dcentred_c_to_dcentred_U_o_h_t_row[H + unit] = dcentred_U_o_h_t;
    }
    // dsum_c_sum[t] = sum(dcentred_c[t])
    const real dsum_c_sum_t = block_sum(partial_dsum_c_sum);
    // dsum_U_o_h_sum[t] = sum(dcentred_U_o_h[t])
    const real dsum_U_o_h_sum_t = block_sum(partial_dsum_U_o_h_sum);
    // dsum_c[t] = -dsum_c_sum[t]/H
    const real dsum_c_t = -dsum_c_sum_t / (real)H;
    // dsum_U_o_h[t] = -dsum_U_o_h_sum[t]/H
    const real dsum_U_o_h_t = -dsum_U_o_h_sum_t / (real)H;
    real partial_dstd_U_g_h_sum = 0;
    real partial_dstd_U_f_h_sum = 0;
    real partial_dstd_U_i_h_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real dcentred_c_t = dcentred_c_to_dcentred_U_o_h_t_row[unit];
        const real dc_via_next = dc_via_next_row[unit];
        const real dcentred_U_o_h_t = dcentred_c_to_dcentred_U_o_h_t_row[H + unit];
        const real i_t = i_f_t_row[unit];
        const real c_t1 = c_t1_row[unit];
        const real g_t = g_t_row[unit];
        const real f_t = i_f_t_row[H + unit];
        const real centred_U_g_h_t = centred_U_i_h_to_centred_U_o_h_t_row[2*H + unit];
        const real centred_U_f_h_t = centred_U_i_h_to_centred_U_o_h_t_row[H + unit];
        const real centred_U_i_h_t = centred_U_i_h_to_centred_U_o_h_t_row[unit];
        // dc[t] = dsum_c[t] + dcentred_c[t] + dc_via[t+1]
        const real dc_t = dsum_c_t + dcentred_c_t + dc_via_next;
        // dU_o_h[t] = dsum_U_o_h[t] + dcentred_U_o_h[t]
        const real dU_o_h_t = dsum_U_o_h_t + dcentred_U_o_h_t;
        // dg[t] = dc[t]*i[t]
        const real dg_t = dc_t * i_t;
        // df[t] = dc[t]*c[t-1]
        const real df_t = dc_t * c_t1;
        // di[t] = dc[t]*g[t]
        const real di_t = dc_t * g_t;
        // dc_via[t] = dc[t]*f[t]
        const real dc_via_t = dc_t * f_t;
        // dtanh_in_g[t] = dg[t]*(1 - g[t]**2)
        const real dtanh_in_g_t = dg_t * (1 - g_t * g_t);
        // dsigmoid_in_f[t] = df[t]*f[t]*(1 - f[t])
        const real dsigmoid_in_f_t = df_t * f_t * (1 - f_t);
        // dsigmoid_in_i[t] = di[t]*i[t]*(1 - i[t])
        const real dsigmoid_in_i_t = di_t * i_t * (1 - i_t);
        // dstd_U_g_h_each[t] = dtanh_in_g[t]*centred_U_g_h[t]*d_g
        const real dstd_U_g_h_each_t = dtanh_in_g_t * centred_U_g_h_t * d_g[unit];
        // dstd_U_f_h_each[t] = dsigmoid_in_f[t]*centred_U_f_h[t]*d_f
        const real dstd_U_f_h_each_t = dsigmoid_in_f_t * centred_U_f_h_t * d_f[unit];
        // dstd_U_i_h_each[t] = dsigmoid_in_i[t]*centred_U_i_h[t]*d_i
        const real dstd_U_i_h_each_t = dsigmoid_in_i_t * centred_U_i_h_t * d_i[unit];
        partial_dstd_U_g_h_sum += dstd_U_g_h_each_t;
        partial_dstd_U_f_h_sum += dstd_U_f_h_each_t;
        partial_dstd_U_i_h_sum += dstd_U_i_h_each_t;
        dU_i_h_to_dU_o_h_t_row[3*H + unit] = dU_o_h_t;
        dc_via_t_row[unit] = dc_via_t;
        dtanh_in_g_t_row[unit] = dtanh_in_g_t;
        dsigmoid_in_i_to_dsigmoid_in_o_t_row[H + unit] = dsigmoid_in_f_t;
        dsigmoid_in_i_to_dsigmoid_in_o_t_row[unit] = dsigmoid_in_i_t;
    }
    // dstd_U_g_h_sum[t] = sum(dstd_U_g_h_each[t])
    const real dstd_U_g_h_sum_t = block_sum(partial_dstd_U_g_h_sum);
    // dstd_U_f_h_sum[t] = sum(dstd_U_f_h_each[t])
    const real dstd_U_f_h_sum_t = block_sum(partial_dstd_U_f_h_sum);
    // dstd_U_i_h_sum[t] = sum(dstd_U_i_h_each[t])
    const real dstd_U_i_h_sum_t = block_sum(partial_dstd_U_i_h_sum);
    // dstd_U_g_h[t] = -dstd_U_g_h_sum[t]/std_U_g_h[t]**2
    const real dstd_U_g_h_t = -dstd_U_g_h_sum_t / (std_U_g_h_t * std_U_g_h_t);
    // dstd_U_f_h[t] = -dstd_U_f_h_sum[t]/std_U_f_h[t]**2
    const real dstd_U_f_h_t = -dstd_U_f_h_sum_t / (std_U_f_h_t * std_U_f_h_t);
    // dstd_U_i_h[t] = -dstd_U_i_h_sum[t]/std_U_i_h[t]**2
    const real dstd_U_i_h_t = -dstd_U_i_h_sum_t / (std_U_i_h_t * std_U_i_h_t);
    // dstd_squared_U_g_h[t] = dstd_U_g_h[t]/(2*std_U_g_h[t])
    const real dstd_squared_U_g_h_t = dstd_U_g_h_t / 2 / std_U_g_h_t;
    // dstd_squared_U_f_h[t] = dstd_U_f_h[t]/(2*std_U_f_h[t])
    const real dstd_squared_U_f_h_t = dstd_U_f_h_t / 2 / std_U_f_h_t;
    // dstd_squared_U_i_h[t] = dstd_U_i_h[t]/(2*std_U_i_h[t])
    const real dstd_squared_U_i_h_t = dstd_U_i_h_t / 2 / std_U_i_h_t;
    // dsum_square_U_g_h[t] = dstd_squared_U_g_h[t]/H
    const real dsum_square_U_g_h_t = dstd_squared_U_g_h_t / (real)H;
    // dsum_square_U_f_h[t] = dstd_squared_U_f_h[t]/H
    const real dsum_square_U_f_h_t = dstd_squared_U_f_h_t / (real)H;
    // dsum_square_U_i_h[t] = dstd_squared_U_i_h[t]/H
    const real dsum_square_U_i_h_t = dstd_squared_U_i_h_t / (real)H;
    real partial_dsum_U_g_h_sum = 0;
    real partial_dsum_U_f_h_sum = 0;
    real partial_dsum_U_i_h_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_U_g_h_t = centred_U_i_h_to_centred_U_o_h_t_row[2*H + unit];
        const real dtanh_in_g_t = dtanh_in_g_t_row[unit];
        const real centred_U_f_h_t = centred_U_i_h_to_centred_U_o_h_t_row[H + unit];
        const real dsigmoid_in_f_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[H + unit];
        const real centred_U_i_h_t = centred_U_i_h_to_centred_U_o_h_t_row[unit];
        const real dsigmoid_in_i_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[unit];
        // dcentred_U_g_h[t] = 2*dsum_square_U_g_h[t]*centred_U_g_h[t] + dtanh_in_g[t]*d_g/std_U_g_h[t]
        const real dcentred_U_g_h_t =
            2 * dsum_square_U_g_h_t * centred_U_g_h_t + dtanh_in_g_t * d_g[unit] / std_U_g_h_t;
        // dcentred_U_f_h[t] = 2*dsum_square_U_f_h[t]*centred_U_f_h[t] + dsigmoid_in_f[t]*d_f/std_U_f_h[t]
        const real dcentred_U_f_h_t =
            2 * dsum_square_U_f_h_t * centred_U_f_h_t + dsigmoid_in_f_t * d_f[unit] / std_U_f_h_t;
        // dcentred_U_i_h[t] = 2*dsum_square_U_i_h[t]*centred_U_i_h[t] + dsigmoid_in_i[t]*d_i/std_U_i_h[t]
        const real dcentred_U_i_h_t =
            2 * dsum_square_U_i_h_t * centred_U_i_h_t + dsigmoid_in_i_t * d_i[unit] / std_U_i_h_t;
        partial_dsum_U_g_h_sum += dcentred_U_g_h_t;
        partial_dsum_U_f_h_sum += dcentred_U_f_h_t;
        partial_dsum_U_i_h_sum += dcentred_U_i_h_t;
        dcentred_U_i_h_to_dcentred_U_g_h_t_row[2*H + unit] = dcentred_U_g_h_t;
        dcentred_U_i_h_to_dcentred_U_g_h_t_row[H + unit] = dcentred_U_f_h_t;
        dcentred_U_i_h_to_dcentred_U_g_h_t_row[unit] = dcentred_U_i_h_t;
    }
    // dsum_U_g_h_sum[t] = sum(dcentred_U_g_h[t])
    const real dsum_U_g_h_sum_t = block_sum(partial_dsum_U_g_h_sum);
    // dsum_U_f_h_sum[t] = sum(dcentred_U_f_h[t])
    const real dsum_U_f_h_sum_t = block_sum(partial_dsum_U_f_h_sum);
    // dsum_U_i_h_sum[t] = sum(dcentred_U_i_h[t])
    const real dsum_U_i_h_sum_t = block_sum(partial_dsum_U_i_h_sum);
    // dsum_U_g_h[t] = -dsum_U_g_h_sum[t]/H
    const real dsum_U_g_h_t = -dsum_U_g_h_sum_t / (real)H;
    // dsum_U_f_h[t] = -dsum_U_f_h_sum[t]/H
    const real dsum_U_f_h_t = -dsum_U_f_h_sum_t / (real)H;
    // dsum_U_i_h[t] = -dsum_U_i_h_sum[t]/H
    const real dsum_U_i_h_t = -dsum_U_i_h_sum_t / (real)H;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real dcentred_U_g_h_t = dcentred_U_i_h_to_dcentred_U_g_h_t_row[2*H + unit];
        const real dcentred_U_f_h_t = dcentred_U_i_h_to_dcentred_U_g_h_t_row[H + unit];
        const real dcentred_U_i_h_t = dcentred_U_i_h_to_dcentred_U_g_h_t_row[unit];
        // dU_g_h[t] = dsum_U_g_h[t] + dcentred_U_g_h[t]
        const real dU_g_h_t = dsum_U_g_h_t + dcentred_U_g_h_t;
        // dU_f_h[t] = dsum_U_f_h[t] + dcentred_U_f_h[t]
        const real dU_f_h_t = dsum_U_f_h_t + dcentred_U_f_h_t;
        // dU_i_h[t] = dsum_U_i_h[t] + dcentred_U_i_h[t]
        const real dU_i_h_t = dsum_U_i_h_t + dcentred_U_i_h_t;
        dU_i_h_to_dU_o_h_t_row[2*H + unit] = dU_g_h_t;
        dU_i_h_to_dU_o_h_t_row[H + unit] = dU_f_h_t;
        dU_i_h_to_dU_o_h_t_row[unit] = dU_i_h_t;
    }
}

extern "C" __global__ void backward_2(
    long long H,
    const real* __restrict__ dsigmoid_in_i_to_dsigmoid_in_o_t_rows,
    const real* __restrict__ centred_W_i_x_to_centred_W_o_x_t_rows,
    const real* __restrict__ a_o,
    const real* __restrict__ dtanh_in_g_t_rows,
    const real* __restrict__ a_g,
    const real* __restrict__ a_f,
    const real* __restrict__ a_i,
    const real* __restrict__ std_W_i_x_to_std_W_o_x_t_rows,
    real* __restrict__ da_i_each_to_da_o_each_t_rows,
    const real* __restrict__ centred_U_i_h_to_centred_U_o_h_t_rows,
    const real* __restrict__ std_U_i_h_to_std_U_o_h_t_rows,
    real* __restrict__ dd_i_each_to_dd_o_each_t_rows,
    const real* __restrict__ da_h_t_rows,
    const real* __restrict__ centred_c_t_rows,
    const real* __restrict__ std_c_t_rows,
    real* __restrict__ da_c_each_t_rows,
    real* dcentred_W_i_x_to_dcentred_W_o_x_t_rows,
    real* __restrict__ dW_i_x_to_dW_o_x_t_rows) {
    const long long row = blockIdx.x;
    const real* dsigmoid_in_i_to_dsigmoid_in_o_t_row = dsigmoid_in_i_to_dsigmoid_in_o_t_rows + row * (3*H);
    const real* centred_W_i_x_to_centred_W_o_x_t_row = centred_W_i_x_to_centred_W_o_x_t_rows + row * (4*H);
    const real* dtanh_in_g_t_row = dtanh_in_g_t_rows + row * H;
    const real* std_W_i_x_to_std_W_o_x_t_row = std_W_i_x_to_std_W_o_x_t_rows + row * 4;
    real* da_i_each_to_da_o_each_t_row = da_i_each_to_da_o_each_t_rows + row * (4*H);
    const real* centred_U_i_h_to_centred_U_o_h_t_row = centred_U_i_h_to_centred_U_o_h_t_rows + row * (4*H);
    const real* std_U_i_h_to_std_U_o_h_t_row = std_U_i_h_to_std_U_o_h_t_rows + row * 4;
    real* dd_i_each_to_dd_o_each_t_row = dd_i_each_to_dd_o_each_t_rows + row * (4*H);
    const real* da_h_t_row = da_h_t_rows + row * H;
    const real* centred_c_t_row = centred_c_t_rows + row * H;
    const real* std_c_t_row = std_c_t_rows + row;
    real* da_c_each_t_row = da_c_each_t_rows + row * H;
    real* dcentred_W_i_x_to_dcentred_W_o_x_t_row = dcentred_W_i_x_to_dcentred_W_o_x_t_rows + row * (4*H);
    real* dW_i_x_to_dW_o_x_t_row = dW_i_x_to_dW_o_x_t_rows + row * (4*H);
    const real std_W_i_x_t = std_W_i_x_to_std_W_o_x_t_row[0];
    const real std_U_i_h_t = std_U_i_h_to_std_U_o_h_t_row[0];
    const real std_W_f_x_t = std_W_i_x_to_std_W_o_x_t_row[1];
    const real std_U_f_h_t = std_U_i_h_to_std_U_o_h_t_row[1];
    const real std_W_g_x_t = std_W_i_x_to_std_W_o_x_t_row[2];
    const real std_U_g_h_t = std_U_i_h_to_std_U_o_h_t_row[2];
    const real std_W_o_x_t = std_W_i_x_to_std_W_o_x_t_row[3];
    const real std_U_o_h_t = std_U_i_h_to_std_U_o_h_t_row[3];
    const real std_c_t = std_c_t_row[0];
    real partial_dstd_W_o_x_sum = 0;
    real partial_dstd_W_g_x_sum = 0;
    real partial_dstd_W_f_x_sum = 0;
    real partial_dstd_W_i_x_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real dsigmoid_in_o_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[2*H + unit];
        const real centred_W_o_x_t = centred_W_i_x_to_centred_W_o_x_t_row[3*H + unit];
        const real dtanh_in_g_t = dtanh_in_g_t_row[unit];
        const real centred_W_g_x_t = centred_W_i_x_to_centred_W_o_x_t_row[2*H + unit];
        const real dsigmoid_in_f_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[H + unit];
        const real centred_W_f_x_t = centred_W_i_x_to_centred_W_o_x_t_row[H + unit];
        const real dsigmoid_in_i_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[unit];
        const real centred_W_i_x_t = centred_W_i_x_to_centred_W_o_x_t_row[unit];
        const real centred_U_i_h_t = centred_U_i_h_to_centred_U_o_h_t_row[unit];
        const real centred_U_f_h_t = centred_U_i_h_to_centred_U_o_h_t_row[H + unit];
        const real centred_U_g_h_t = centred_U_i_h_to_centred_U_o_h_t_row[2*H + unit];
        const real centred_U_o_h_t = centred_U_i_h_to_centred_U_o_h_t_row[3*H + unit];
        const real da_h_t = da_h_t_row[unit];
        const real centred_c_t = centred_c_t_row[unit];
        // dstd_W_o_x_each[t] = dsigmoid_in_o[t]*centred_W_o_x[t]*a_o
        const real dstd_W_o_x_each_t = dsigmoid_in_o_t * centred_W_o_x_t * a_o[unit];
        // dstd_W_g_x_each[t] = dtanh_in_g[t]*centred_W_g_x[t]*a_g
        const real dstd_W_g_x_each_t = dtanh_in_g_t * centred_W_g_x_t * a_g[unit];
        // dstd_W_f_x_each[t] = dsigmoid_in_f[t]*centred_W_f_x[t]*a_f
        const real dstd_W_f_x_each_t = dsigmoid_in_f_t * centred_W_f_x_t * a_f[unit];
        // dstd_W_i_x_each[t] = dsigmoid_in_i[t]*centred_W_i_x[t]*a_i
        const real dstd_W_i_x_each_t = dsigmoid_in_i_t * centred_W_i_x_t * a_i[unit];
        // da_i_each[t] = dsigmoid_in_i[t]*centred_W_i_x[t]/std_W_i_x[t]
        const real da_i_each_t = dsigmoid_in_i_t * centred_W_i_x_t / std_W_i_x_t;
        // dd_i_each[t] = dsigmoid_in_i[t]*centred_U_i_h[t]/std_U_i_h[t]
        const real dd_i_each_t = dsigmoid_in_i_t * centred_U_i_h_t / std_U_i_h_t;
        // da_f_each[t] = dsigmoid_in_f[t]*centred_W_f_x[t]/std_W_f_x[t]
        const real da_f_each_t = dsigmoid_in_f_t * centred_W_f_x_t / std_W_f_x_t;
        // dd_f_each[t] = dsigmoid_in_f[t]*centred_U_f_h[t]/std_U_f_h[t]
        const real dd_f_each_t = dsigmoid_in_f_t * centred_U_f_h_t / std_U_f_h_t;
        // da_g_each[t] = dtanh_in_g[t]*centred_W_g_x[t]/std_W_g_x[t]
        const real da_g_each_t = dtanh_in_g_t * centred_W_g_x_t / std_W_g_x_t;
        // dd_g_each[t] = dtanh_in_g[t]*centred_U_g_h[t]/std_U_g_h[t]
        const real dd_g_each_t = dtanh_in_g_t * centred_U_g_h_t / std_U_g_h_t;
        // da_o_each[t] = dsigmoid_in_o[t]*centred_W_o_x[t]/std_W_o_x[t]
        const real da_o_each_t = dsigmoid_in_o_t * centred_W_o_x_t / std_W_o_x_t;
        // dd_o_each[t] = dsigmoid_in_o[t]*centred_U_o_h[t]/std_U_o_h[t]
        const real dd_o_each_t = dsigmoid_in_o_t * centred_U_o_h_t / std_U_o_h_t;
        // da_c_each[t] = da_h[t]*centred_c[t]/std_c[t]
        const real da_c_each_t = da_h_t * centred_c_t / std_c_t;
        partial_dstd_W_o_x_sum += dstd_W_o_x_each_t;
        partial_dstd_W_g_x_sum += dstd_W_g_x_each_t;
        partial_dstd_W_f_x_sum += dstd_W_f_x_each_t;
        partial_dstd_W_i_x_sum += dstd_W_i_x_each_t;
        da_i_each_to_da_o_each_t_row[unit] = da_i_each_t;
        dd_i_each_to_dd_o_each_t_row[unit] = dd_i_each_t;
        da_i_each_to_da_o_each_t_row[H + unit] = da_f_each_t;
        dd_i_each_to_dd_o_each_t_row[H + unit] = dd_f_each_t;
        da_i_each_to_da_o_each_t_row[2*H + unit] = da_g_each_t;
        dd_i_each_to_dd_o_each_t_row[2*H + unit] = dd_g_each_t;
        da_i_each_to_da_o_each_t_row[3*H + unit] = da_o_each_t;
        dd_i_each_to_dd_o_each_t_row[3*H + unit] = dd_o_each_t;
        da_c_each_t_row[unit] = da_c_each_t;
    }
    // dstd_W_o_x_sum[t] = sum(dstd_W_o_x_each[t])
    const real dstd_W_o_x_sum_t = block_sum(partial_dstd_W_o_x_sum);
    // dstd_W_g_x_sum[t] = sum(dstd_W_g_x_each[t])
    const real dstd_W_g_x_sum_t = block_sum(partial_dstd_W_g_x_sum);
    // dstd_W_f_x_sum[t] = sum(dstd_W_f_x_each[t])
    const real dstd_W_f_x_sum_t = block_sum(partial_dstd_W_f_x_sum);
    // dstd_W_i_x_sum[t] = sum(dstd_W_i_x_each[t])
    const real dstd_W_i_x_sum_t = block_sum(partial_dstd_W_i_x_sum);
    // dstd_W_o_x[t] = -dstd_W_o_x_sum[t]/std_W_o_x[t]**2
    const real dstd_W_o_x_t = -dstd_W_o_x_sum_t / (std_W_o_x_t * std_W_o_x_t);
    // dstd_W_g_x[t] = -dstd_W_g_x_sum[t]/std_W_g_x[t]**2
    const real dstd_W_g_x_t = -dstd_W_g_x_sum_t / (std_W_g_x_t * std_W_g_x_t);
    // dstd_W_f_x[t] = -dstd_W_f_x_sum[t]/std_W_f_x[t]**2
    const real dstd_W_f_x_t = -dstd_W_f_x_sum_t / (std_W_f_x_t * std_W_f_x_t);
    // dstd_W_i_x[t] = -dstd_W_i_x_sum[t]/std_W_i_x[t]**2
    const real dstd_W_i_x_t = -dstd_W_i_x_sum_t / (std_W_i_x_t * std_W_i_x_t);
    // dstd_squared_W_o_x[t] = dstd_W_o_x[t]/(2*std_W_o_x[t])
    const real dstd_squared_W_o_x_t = dstd_W_o_x_t / 2 / std_W_o_x_t;
    // dstd_squared_W_g_x[t] = dstd_W_g_x[t]/(2*std_W_g_x[t])
    const real dstd_squared_W_g_x_t = dstd_W_g_x_t / 2 / std_W_g_x_t;
    // dstd_squared_W_f_x[t] = dstd_W_f_x[t]/(2*std_W_f_x[t])
    const real dstd_squared_W_f_x_t = dstd_W_f_x_t / 2 / std_W_f_x_t;
    // dstd_squared_W_i_x[t] = dstd_W_i_x[t]/(2*std_W_i_x[t])
    const real dstd_squared_W_i_x_t = dstd_W_i_x_t / 2 / std_W_i_x_t;
    // dsum_square_W_o_x[t] = dstd_squared_W_o_x[t]/H
    const real dsum_square_W_o_x_t = dstd_squared_W_o_x_t / (real)H;
    // dsum_square_W_g_x[t] = dstd_squared_W_g_x[t]/H
    const real dsum_square_W_g_x_t = dstd_squared_W_g_x_t / (real)H;
    // dsum_square_W_f_x[t] = dstd_squared_W_f_x[t]/H
    const real dsum_square_W_f_x_t = dstd_squared_W_f_x_t / (real)H;
    // dsum_square_W_i_x[t] = dstd_squared_W_i_x[t]/H
    const real dsum_square_W_i_x_t = dstd_squared_W_i_x_t / (real)H;
    real partial_dsum_W_o_x_sum = 0;
    real partial_dsum_W_g_x_sum = 0;
    real partial_dsum_W_f_x_sum = 0;
    real partial_dsum_W_i_x_sum = 0;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real centred_W_o_x_t = centred_W_i_x_to_centred_W_o_x_t_row[3*H + unit];
        const real dsigmoid_in_o_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[2*H + unit];
        const real centred_W_g_x_t = centred_W_i_x_to_centred_W_o_x_t_row[2*H + unit];
        const real dtanh_in_g_t = dtanh_in_g_t_row[unit];
        const real centred_W_f_x_t = centred_W_i_x_to_centred_W_o_x_t_row[H + unit];
        const real dsigmoid_in_f_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[H + unit];
        const real centred_W_i_x_t = centred_W_i_x_to_centred_W_o_x_t_row[unit];
        const real dsigmoid_in_i_t = dsigmoid_in_i_to_dsigmoid_in_o_t_row[unit];
        // dcentred_W_o_x[t] = 2*dsum_square_W_o_x[t]*centred_W_o_x[t] + dsigmoid_in_o[t]*a_o/std_W_o_x[t]
        const real dcentred_W_o_x_t =
            2 * dsum_square_W_o_x_t * centred_W_o_x_t + dsigmoid_in_o_t * a_o[unit] / std_W_o_x_t;
        // dcentred_W_g_x[t] = 2*dsum_square_W_g_x[t]*centred_W_g_x[t] + dtanh_in_g[t]*a_g/std_W_g_x[t]
        const real dcentred_W_g_x_t =
            2 * dsum_square_W_g_x_t * centred_W_g_x_t + dtanh_in_g_t * a_g[unit] / std_W_g_x_t;
        // dcentred_W_f_x[t] = 2*dsum_square_W_f_x[t]*centred_W_f_x[t] + dsigmoid_in_f[t]*a_f/std_W_f_x[t]
        const real dcentred_W_f_x_t =
            2 * dsum_square_W_f_x_t * centred_W_f_x_t + dsigmoid_in_f_t * a_f[unit] / std_W_f_x_t;
        // dcentred_W_i_x[t] = 2*dsum_square_W_i_x[t]*centred_W_i_x[t] + dsigmoid_in_i[t]*a_i/std_W_i_x[t]
        const real dcentred_W_i_x_t =
            2 * dsum_square_W_i_x_t * centred_W_i_x_t + dsigmoid_in_i_t * a_i[unit] / std_W_i_x_t;
        partial_dsum_W_o_x_sum += dcentred_W_o_x_t;
        partial_dsum_W_g_x_sum += dcentred_W_g_x_t;
        partial_dsum_W_f_x_sum += dcentred_W_f_x_t;
        partial_dsum_W_i_x_sum += dcentred_W_i_x_t;
        dcentred_W_i_x_to_dcentred_W_o_x_t_row[3*H + unit] = dcentred_W_o_x_t;
        dcentred_W_i_x_to_dcentred_W_o_x_t_row[2*H + unit] = dcentred_W_g_x_t;
        dcentred_W_i_x_to_dcentred_W_o_x_t_row[H + unit] = dcentred_W_f_x_t;
        dcentred_W_i_x_to_dcentred_W_o_x_t_row[unit] = dcentred_W_i_x_t;
    }
    // dsum_W_o_x_sum[t] = sum(dcentred_W_o_x[t])
    const real dsum_W_o_x_sum_t = block_sum(partial_dsum_W_o_x_sum);
    // dsum_W_g_x_sum[t] = sum(dcentred_W_g_x[t])
    const real dsum_W_g_x_sum_t = block_sum(partial_dsum_W_g_x_sum);
    // dsum_W_f_x_sum[t] = sum(dcentred_W_f_x[t])
    const real dsum_W_f_x_sum_t = block_sum(partial_dsum_W_f_x_sum);
    // dsum_W_i_x_sum[t] = sum(dcentred_W_i_x[t])
    const real dsum_W_i_x_sum_t = block_sum(partial_dsum_W_i_x_sum);
    // dsum_W_o_x[t] = -dsum_W_o_x_sum[t]/H
    const real dsum_W_o_x_t = -dsum_W_o_x_sum_t / (real)H;
    // dsum_W_g_x[t] = -dsum_W_g_x_sum[t]/H
    const real dsum_W_g_x_t = -dsum_W_g_x_sum_t / (real)H;
    // dsum_W_f_x[t] = -dsum_W_f_x_sum[t]/H
    const real dsum_W_f_x_t = -dsum_W_f_x_sum_t / (real)H;
    // dsum_W_i_x[t] = -dsum_W_i_x_sum[t]/H
    const real dsum_W_i_x_t = -dsum_W_i_x_sum_t / (real)H;
    for (int unit = threadIdx.x; unit < H; unit += blockDim.x) {
        const real dcentred_W_o_x_t = dcentred_W_i_x_to_dcentred_W_o_x_t_row[3*H + unit];
        const real dcentred_W_g_x_t = dcentred_W_i_x_to_dcentred_W_o_x_t_row[2*H + unit];
        const real dcentred_W_f_x_t = dcentred_W_i_x_to_dcentred_W_o_x_t_row[H + unit];
        const real dcentred_W_i_x_t = dcentred_W_i_x_to_dcentred_W_o_x_t_row[unit];
        // dW_o_x[t] = dsum_W_o_x[t] + dcentred_W_o_x[t]
        const real dW_o_x_t = dsum_W_o_x_t + dcentred_W_o_x_t;
        // dW_g_x[t] = dsum_W_g_x[t] + dcentred_W_g_x[t]
        const real dW_g_x_t = dsum_W_g_x_t + dcentred_W_g_x_t;
        // dW_f_x[t] = dsum_W_f_x[t] + dcentred_W_f_x[t]
        const real dW_f_x_t = dsum_W_f_x_t + dcentred_W_f_x_t;
        // dW_i_x[t] = dsum_W_i_x[t] + dcentred_W_i_x[t]
        const real dW_i_x_t = dsum_W_i_x_t + dcentred_W_i_x_t;
        dW_i_x_to_dW_o_x_t_row[3*H + unit] = dW_o_x_t;
        dW_i_x_to_dW_o_x_t_row[2*H + unit] = dW_g_x_t;
        dW_i_x_to_dW_o_x_t_row[H + unit] = dW_f_x_t;
        dW_i_x_to_dW_o_x_t_row[unit] = dW_i_x_t;
    }
}
"""


@functools.lru_cache(maxsize=None)
def _compiled(real: str, device: int) -> Any:
    """The kernels for one type of number, compiled when they are first needed (once per device)."""
    module = cp.RawModule(code=f"typedef {real} real;\n{CUDA}", options=("--std=c++17",))
    return types.SimpleNamespace(**{name: module.get_function(name) for name in KERNELS})


def _kernels(dtype: Any) -> Any:
    return _compiled("float" if dtype == np.float32 else "double", cp.cuda.Device().id)


def _launch_rows(kernel: Any, rows: int, units: int, most: int, *args: Any) -> None:
    """One block per row, of whole warps and ``most`` threads at most."""
    if rows:
        kernel((rows,), (min(-(-units // 32) * 32, most),), args)
