"""LSTM with layer normalisation

Ba, Kiros & Hinton (2016), Layer normalization (supplementary material): the input and the recurrent product of each
gate are normalised by themselves, and so is the cell state on its way out.

The cell layernorm_lstm as NumPy code: ``init_params``, ``forward``, ``backward`` and ``step``. Written by symcell 0.1.0 from the
equations in ``EQUATIONS``; change those and generate it again rather than edit it here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
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
    "d_i": ("H",),
    "b_i": ("H",),
    "a_f": ("H",),
    "d_f": ("H",),
    "b_f": ("H",),
    "a_g": ("H",),
    "d_g": ("H",),
    "b_g": ("H",),
    "a_o": ("H",),
    "d_o": ("H",),
    "b_o": ("H",),
    "a_c": ("H",),
    "b_c": ("H",),
}
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
    "d_i": 1.0,
    "b_i": 0.0,
    "a_f": 1.0,
    "d_f": 1.0,
    "b_f": 1.0,
    "a_g": 1.0,
    "d_g": 1.0,
    "b_g": 0.0,
    "a_o": 1.0,
    "d_o": 1.0,
    "b_o": 0.0,
    "a_c": 1.0,
    "b_c": 0.0,
}
INPUTS = {"x": ("D",)}
STATES = {"h": ("H",), "c": ("H",)}
LEARNED = {}
OUTPUT = "h"
EQUATIONS = (
    '"""LSTM with layer normalisation\n'
    "\n"
    "Ba, Kiros & Hinton (2016), Layer normalization (supplementary material): the input and the recurrent product of each\n"
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
STAMP = "d39a4bca8540ed9f"


class Params(Mapping[str, Any]):
    """The parameters by name: views of one contiguous buffer ``flat``, in the order of ``PARAMS``."""

    def __init__(self, flat: Any, sizes: Mapping[str, int]) -> None:
        self.flat = flat
        self.sizes = dict(sizes)
        self._start: dict[str, int] = {}
        self._views: dict[str, Any] = {}
        start = 0
        for name, shape in PARAMS.items():
            shape = tuple(_length(size, self.sizes) for size in shape)
            stop = start + math.prod(shape)
            self._start[name] = start
            self._views[name] = flat[start:stop].reshape(shape)
            start = stop

    def __getitem__(self, name: str) -> Any:
        return self._views[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Copy ``value`` into the parameter's place."""
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
        stop = self._start[last] + self._views[last].size
        rows = self.flat[self._start[first] : stop]
        return rows.reshape(-1, self._views[first].shape[1]) if self._views[first].ndim == 2 else rows


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
    start_learned: tuple[str, ...]
    arrays: tuple[Any, ...]

    @property
    def nbytes(self) -> int:
        """Bytes stored for the backward pass, the inputs included."""
        return sum(array.nbytes for array in self.arrays)


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
    parts = [_start(START[name], tuple(_length(n, sizes) for n in shape), sizes, rng) for name, shape in PARAMS.items()]
    flat = np.concatenate([np.zeros(0), *(part.reshape(-1) for part in parts)])
    return Params(np.asarray(flat.astype(kind)), sizes)


def _start(start: float | str, shape: tuple[int, ...], sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """Where a parameter starts: a number, zeros, ones, uniform in ±1/√n, glorot (2010) or orthogonal (Saxe 2013)."""
    if not isinstance(start, str):
        return np.full(shape, start)
    if start in ("zeros", "ones"):
        return np.full(shape, float(start == "ones"))
    if start == "orthogonal":
        normal = rng.standard_normal((max(shape), min(shape)))
        q, r = np.linalg.qr(normal)
        q = q * np.sign(np.diagonal(r))
        return q if shape[0] >= shape[1] else q.T
    bound = math.sqrt(6 / sum(shape)) if start == "glorot" else 1 / math.sqrt(_length("H", sizes))
    return rng.uniform(-bound, bound, shape)


def _length(size: int | str, sizes: Mapping[str, int]) -> int:
    """A size of ``PARAMS``, such as 4, "H" or "D+H", as a number."""
    return sum(int(part) if part.isdecimal() else sizes[part] for part in str(size).split("+"))


class Packing:
    """Which rows each step works on.

    The samples are sorted by length, longest first, so those that still run at step t are the first ``counts[t]``; their
    rows follow each other step by step, and padding is neither read nor computed. Without lengths: plain (T*B) rows.
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
            self.order, self.back = np.asarray(order), np.asarray(np.argsort(order, kind="stable"))
            rows = [t * batch + order[:n] for t, n in enumerate(counts)]
            self.index = np.asarray(np.concatenate([np.zeros(0, int), *rows]))
        self.counts = [int(n) for n in counts]
        self.offsets = [0, *(int(n) for n in np.cumsum(counts))]
        self.size = self.offsets.pop()

    def room(self, depth: int, whole: bool) -> int:
        """How many rows a buffer needs that is read up to ``depth`` steps away: for all steps, or for those in reach."""
        return depth * self.batch + self.size if whole else (depth + 1) * self.batch

    def starts(self, depth: int, whole: bool) -> list[int]:
        """The first row of every step of such a buffer, from ``depth`` steps before the sequence on."""
        if not whole:
            return [k % (depth + 1) * self.batch for k in range(depth + len(self.counts) + 1)]
        return [k * self.batch for k in range(depth)] + [depth * self.batch + start for start in (*self.offsets, self.size)]

    def past(self, depth: int, lag: int) -> Any:
        """The rows ``lag`` steps before each row of the sequence, as an index."""
        first = (depth - lag) * self.batch
        if self.order is None:
            return slice(first, first + self.size)
        starts = self.starts(depth, True)
        rows = [np.arange(starts[t + depth - lag], starts[t + depth - lag] + n) for t, n in enumerate(self.counts)]
        return np.asarray(np.concatenate([np.zeros(0, int), *rows]))

    def rows(self, x: Any) -> Any:
        """(T, B, n) as rows, padding left out."""
        flat = x.reshape(self.steps * self.batch, x.shape[2])
        return np.ascontiguousarray(flat if self.index is None else flat[self.index])

    def sequence(self, rows: Any) -> Any:
        """Rows as a new (T, B, n), zero in the padding."""
        shape = (self.steps, self.batch, rows.shape[1])
        if self.index is None:
            return rows.reshape(shape).copy()
        y = np.zeros((self.steps * self.batch, rows.shape[1]), rows.dtype)
        y[self.index] = rows
        return y.reshape(shape)

    def sort(self, state: Any) -> Any:
        """(…, B, n) with the samples in the order of their rows."""
        return state if self.order is None else state[..., self.order, :]

    def unsort(self, state: Any) -> Any:
        return state if self.back is None else state[..., self.back, :]

    def first(self, starts: list[int], depth: int) -> Any:
        """The rows of the ``depth`` steps before the sequence, as an index (depth, B)."""
        return np.asarray(np.array(starts[:depth])[:, None] + np.arange(self.batch))

    def last(self, starts: list[int], depth: int) -> Any:
        """The rows of each sample's own last ``depth`` steps (of a buffer shifted by ``depth``), as an index (depth, B)."""
        step = self.ends + np.arange(depth)[:, None]
        return np.asarray(np.array(starts)[step] + np.arange(self.batch))


@np.errstate(all="ignore")
def forward(
    params: Mapping[str, Any], x: Any, state: Mapping[str, Any] | None = None, lengths: Any = None, *, keep_tape: bool = True
) -> tuple[Any, dict[str, Any], Tape | None]:
    """Run the cell over a batch of sequences.

    x: (T, B, size), by name where there are several inputs. state: the states before the first step,
    by name, each (B, size), or (k, B, size) where k steps are carried; one that is missing is its learned
    start, or zero. lengths: (B,) integers; what lies behind a sequence's end is not read.
    Returns y (T, B, size), zero behind the end; the states after each sequence's own last step; and the tape for
    ``backward`` (None where keep_tape is false). Raises ValueError or TypeError for an argument that does not fit.
    """
    inputs = _inputs(x)
    params = _params(params, inputs, {})
    steps, batch = _check_inputs(params, inputs)
    given = _check_state("state", state, batch, params)
    pack = Packing(steps, batch, _check_lengths(lengths, steps, batch))
    dtype = params.flat.dtype
    D = params.sizes["D"]
    H = params.sizes["H"]
    ring_0 = pack.starts(0, False)
    at_0 = pack.starts(0, True)
    kept_0 = pack.starts(0, keep_tape)
    at_1 = pack.starts(1, True)
    kept_1 = pack.starts(1, keep_tape)

    x_rows = pack.rows(inputs["x"][1])
    W_i_x_W_f_x_W_g_x_W_o_x = np.empty((pack.room(0, True), 4*H), dtype)
    U_i_h_U_f_h_U_g_h_U_o_h = np.empty((pack.room(0, False), 4*H), dtype)
    sum_U_i_h = np.empty((pack.room(0, False), 1), dtype)
    centred_U_i_h = np.empty((pack.room(0, keep_tape), H), dtype)
    a_i_2 = np.empty((pack.room(0, False), H), dtype)
    sqrt_a_i_3 = np.empty((pack.room(0, keep_tape), 1), dtype)
    sum_W_i_x = np.empty((pack.room(0, True), 1), dtype)
    centred_W_i_x = np.empty((pack.room(0, True), H), dtype)
    a_i_4 = np.empty((pack.room(0, True), H), dtype)
    sqrt_a_i_5 = np.empty((pack.room(0, True), 1), dtype)
    a_i_6_in = np.empty((pack.room(0, True), H), dtype)
    i = np.empty((pack.room(0, False), H), dtype)
    sum_U_f_h = np.empty((pack.room(0, False), 1), dtype)
    centred_U_f_h = np.empty((pack.room(0, keep_tape), H), dtype)
    a_f_2 = np.empty((pack.room(0, False), H), dtype)
    sqrt_a_f_3 = np.empty((pack.room(0, keep_tape), 1), dtype)
    sum_W_f_x = np.empty((pack.room(0, True), 1), dtype)
    centred_W_f_x = np.empty((pack.room(0, True), H), dtype)
    a_f_4 = np.empty((pack.room(0, True), H), dtype)
    sqrt_a_f_5 = np.empty((pack.room(0, True), 1), dtype)
    a_f_6_in = np.empty((pack.room(0, True), H), dtype)
    c = np.empty((pack.room(1, keep_tape), H), dtype)
    sum_U_g_h = np.empty((pack.room(0, False), 1), dtype)
    centred_U_g_h = np.empty((pack.room(0, keep_tape), H), dtype)
    a_g_2 = np.empty((pack.room(0, False), H), dtype)
    sqrt_a_g_3 = np.empty((pack.room(0, keep_tape), 1), dtype)
    sum_W_g_x = np.empty((pack.room(0, True), 1), dtype)
    centred_W_g_x = np.empty((pack.room(0, True), H), dtype)
    a_g_4 = np.empty((pack.room(0, True), H), dtype)
    sqrt_a_g_5 = np.empty((pack.room(0, True), 1), dtype)
    a_g_6_in = np.empty((pack.room(0, True), H), dtype)
    g = np.empty((pack.room(0, False), H), dtype)
    sum_U_o_h = np.empty((pack.room(0, False), 1), dtype)
    centred_U_o_h = np.empty((pack.room(0, keep_tape), H), dtype)
    a_o_2 = np.empty((pack.room(0, False), H), dtype)
    sqrt_a_o_3 = np.empty((pack.room(0, keep_tape), 1), dtype)
    sum_W_o_x = np.empty((pack.room(0, True), 1), dtype)
    centred_W_o_x = np.empty((pack.room(0, True), H), dtype)
    a_o_4 = np.empty((pack.room(0, True), H), dtype)
    sqrt_a_o_5 = np.empty((pack.room(0, True), 1), dtype)
    a_o_6_in = np.empty((pack.room(0, True), H), dtype)
    h = np.empty((pack.room(1, True), H), dtype)
    sum_c = np.empty((pack.room(0, keep_tape), 1), dtype)
    centred_c = np.empty((pack.room(0, False), H), dtype)
    a_h = np.empty((pack.room(0, False), H), dtype)
    sqrt_a_h_2 = np.empty((pack.room(0, keep_tape), 1), dtype)
    tanh_a_h_3 = np.empty((pack.room(0, False), H), dtype)
    h[pack.first(at_1, 1)] = _start_of("h", given, params, pack)
    c[pack.first(kept_1, 1)] = _start_of("c", given, params, pack)
    W_i_to_W_o = params.stack("W_i", "W_o")
    work1 = np.empty((pack.size, H), dtype)
    a_i = params.stack("a_i", "a_i")
    b_i = params.stack("b_i", "b_i")
    a_f = params.stack("a_f", "a_f")
    b_f = params.stack("b_f", "b_f")
    a_g = params.stack("a_g", "a_g")
    b_g = params.stack("b_g", "b_g")
    a_o = params.stack("a_o", "a_o")
    b_o = params.stack("b_o", "b_o")
    U_i_to_U_o = params.stack("U_i", "U_o")
    work1_ = np.empty((batch, H), dtype)
    d_i = params.stack("d_i", "d_i")
    d_f = params.stack("d_f", "d_f")
    d_g = params.stack("d_g", "d_g")
    d_o = params.stack("d_o", "d_o")
    a_c = params.stack("a_c", "a_c")
    b_c = params.stack("b_c", "b_c")

    # W_i_x[t] = W_i @ x[t]
    # W_f_x[t] = W_f @ x[t]
    # W_g_x[t] = W_g @ x[t]
    # W_o_x[t] = W_o @ x[t]
    np.matmul(x_rows, W_i_to_W_o.T, out=W_i_x_W_f_x_W_g_x_W_o_x)
    # sum_W_i_x[t] = sum(W_i_x[t])
    W_i_x = W_i_x_W_f_x_W_g_x_W_o_x[:, : H]
    np.add.reduce(W_i_x, axis=1, keepdims=True, out=sum_W_i_x)
    # sum_W_f_x[t] = sum(W_f_x[t])
    W_f_x = W_i_x_W_f_x_W_g_x_W_o_x[:, H : 2*H]
    np.add.reduce(W_f_x, axis=1, keepdims=True, out=sum_W_f_x)
    # sum_W_g_x[t] = sum(W_g_x[t])
    W_g_x = W_i_x_W_f_x_W_g_x_W_o_x[:, 2*H : 3*H]
    np.add.reduce(W_g_x, axis=1, keepdims=True, out=sum_W_g_x)
    # sum_W_o_x[t] = sum(W_o_x[t])
    W_o_x = W_i_x_W_f_x_W_g_x_W_o_x[:, 3*H :]
    np.add.reduce(W_o_x, axis=1, keepdims=True, out=sum_W_o_x)
    # centred_W_i_x[t] = W_i_x[t] - sum_W_i_x[t]/H
    np.divide(sum_W_i_x, H, out=work1)
    np.subtract(W_i_x, work1, out=centred_W_i_x)
    # centred_W_f_x[t] = W_f_x[t] - sum_W_f_x[t]/H
    np.divide(sum_W_f_x, H, out=work1)
    np.subtract(W_f_x, work1, out=centred_W_f_x)
    # centred_W_g_x[t] = W_g_x[t] - sum_W_g_x[t]/H
    np.divide(sum_W_g_x, H, out=work1)
    np.subtract(W_g_x, work1, out=centred_W_g_x)
    # centred_W_o_x[t] = W_o_x[t] - sum_W_o_x[t]/H
    np.divide(sum_W_o_x, H, out=work1)
    np.subtract(W_o_x, work1, out=centred_W_o_x)
    # a_i_4[t] = centred_W_i_x[t]**2
    np.square(centred_W_i_x, out=a_i_4)
    # a_f_4[t] = centred_W_f_x[t]**2
    np.square(centred_W_f_x, out=a_f_4)
    # a_g_4[t] = centred_W_g_x[t]**2
    np.square(centred_W_g_x, out=a_g_4)
    # a_o_4[t] = centred_W_o_x[t]**2
    np.square(centred_W_o_x, out=a_o_4)
    # sum_a_i_4[t] = sum(a_i_4[t])
    np.add.reduce(a_i_4, axis=1, keepdims=True, out=sqrt_a_i_5)
    # sum_a_f_4[t] = sum(a_f_4[t])
    np.add.reduce(a_f_4, axis=1, keepdims=True, out=sqrt_a_f_5)
    # sum_a_g_4[t] = sum(a_g_4[t])
    np.add.reduce(a_g_4, axis=1, keepdims=True, out=sqrt_a_g_5)
    # sum_a_o_4[t] = sum(a_o_4[t])
    np.add.reduce(a_o_4, axis=1, keepdims=True, out=sqrt_a_o_5)
    # a_i_5[t] = sum_a_i_4[t]/H + 1.0e-5
    np.divide(sqrt_a_i_5, H, out=sqrt_a_i_5)
    np.add(sqrt_a_i_5, 1e-05, out=sqrt_a_i_5)
    # a_f_5[t] = sum_a_f_4[t]/H + 1.0e-5
    np.divide(sqrt_a_f_5, H, out=sqrt_a_f_5)
    np.add(sqrt_a_f_5, 1e-05, out=sqrt_a_f_5)
    # a_g_5[t] = sum_a_g_4[t]/H + 1.0e-5
    np.divide(sqrt_a_g_5, H, out=sqrt_a_g_5)
    np.add(sqrt_a_g_5, 1e-05, out=sqrt_a_g_5)
    # a_o_5[t] = sum_a_o_4[t]/H + 1.0e-5
    np.divide(sqrt_a_o_5, H, out=sqrt_a_o_5)
    np.add(sqrt_a_o_5, 1e-05, out=sqrt_a_o_5)
    # sqrt_a_i_5[t] = sqrt(a_i_5[t])
    np.sqrt(sqrt_a_i_5, out=sqrt_a_i_5)
    # sqrt_a_f_5[t] = sqrt(a_f_5[t])
    np.sqrt(sqrt_a_f_5, out=sqrt_a_f_5)
    # sqrt_a_g_5[t] = sqrt(a_g_5[t])
    np.sqrt(sqrt_a_g_5, out=sqrt_a_g_5)
    # sqrt_a_o_5[t] = sqrt(a_o_5[t])
    np.sqrt(sqrt_a_o_5, out=sqrt_a_o_5)
    # a_i_6_in[t] = centred_W_i_x[t]*a_i/sqrt_a_i_5[t] + b_i
    np.multiply(centred_W_i_x, a_i, out=a_i_6_in)
    np.divide(a_i_6_in, sqrt_a_i_5, out=a_i_6_in)
    np.add(a_i_6_in, b_i, out=a_i_6_in)
    # a_f_6_in[t] = centred_W_f_x[t]*a_f/sqrt_a_f_5[t] + b_f
    np.multiply(centred_W_f_x, a_f, out=a_f_6_in)
    np.divide(a_f_6_in, sqrt_a_f_5, out=a_f_6_in)
    np.add(a_f_6_in, b_f, out=a_f_6_in)
    # a_g_6_in[t] = centred_W_g_x[t]*a_g/sqrt_a_g_5[t] + b_g
    np.multiply(centred_W_g_x, a_g, out=a_g_6_in)
    np.divide(a_g_6_in, sqrt_a_g_5, out=a_g_6_in)
    np.add(a_g_6_in, b_g, out=a_g_6_in)
    # a_o_6_in[t] = centred_W_o_x[t]*a_o/sqrt_a_o_5[t] + b_o
    np.multiply(centred_W_o_x, a_o, out=a_o_6_in)
    np.divide(a_o_6_in, sqrt_a_o_5, out=a_o_6_in)
    np.add(a_o_6_in, b_o, out=a_o_6_in)

    for t, n in enumerate(pack.counts):
        # U_i_h[t] = U_i @ h[t-1]
        # U_f_h[t] = U_f @ h[t-1]
        # U_g_h[t] = U_g @ h[t-1]
        # U_o_h[t] = U_o @ h[t-1]
        h_t1 = h[at_1[t] : at_1[t] + n]
        U_i_h_U_f_h_U_g_h_U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h[:n]
        np.matmul(h_t1, U_i_to_U_o.T, out=U_i_h_U_f_h_U_g_h_U_o_h_t)
        # sum_U_i_h[t] = sum(U_i_h[t])
        sum_U_i_h_t = sum_U_i_h[:n]
        U_i_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t[:, : H]
        np.add.reduce(U_i_h_t, axis=1, keepdims=True, out=sum_U_i_h_t)
        # sum_U_f_h[t] = sum(U_f_h[t])
        sum_U_f_h_t = sum_U_f_h[:n]
        U_f_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t[:, H : 2*H]
        np.add.reduce(U_f_h_t, axis=1, keepdims=True, out=sum_U_f_h_t)
        # sum_U_g_h[t] = sum(U_g_h[t])
        sum_U_g_h_t = sum_U_g_h[:n]
        U_g_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t[:, 2*H : 3*H]
        np.add.reduce(U_g_h_t, axis=1, keepdims=True, out=sum_U_g_h_t)
        # sum_U_o_h[t] = sum(U_o_h[t])
        sum_U_o_h_t = sum_U_o_h[:n]
        U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h_t[:, 3*H :]
        np.add.reduce(U_o_h_t, axis=1, keepdims=True, out=sum_U_o_h_t)
        # centred_U_i_h[t] = U_i_h[t] - sum_U_i_h[t]/H
        centred_U_i_h_t = centred_U_i_h[kept_0[t] : kept_0[t] + n]
        work1__t = work1_[:n]
        np.divide(sum_U_i_h_t, H, out=work1__t)
        np.subtract(U_i_h_t, work1__t, out=centred_U_i_h_t)
        # centred_U_f_h[t] = U_f_h[t] - sum_U_f_h[t]/H
        centred_U_f_h_t = centred_U_f_h[kept_0[t] : kept_0[t] + n]
        np.divide(sum_U_f_h_t, H, out=work1__t)
        np.subtract(U_f_h_t, work1__t, out=centred_U_f_h_t)
        # centred_U_g_h[t] = U_g_h[t] - sum_U_g_h[t]/H
        centred_U_g_h_t = centred_U_g_h[kept_0[t] : kept_0[t] + n]
        np.divide(sum_U_g_h_t, H, out=work1__t)
        np.subtract(U_g_h_t, work1__t, out=centred_U_g_h_t)
        # centred_U_o_h[t] = U_o_h[t] - sum_U_o_h[t]/H
        centred_U_o_h_t = centred_U_o_h[kept_0[t] : kept_0[t] + n]
        np.divide(sum_U_o_h_t, H, out=work1__t)
        np.subtract(U_o_h_t, work1__t, out=centred_U_o_h_t)
        # a_i_2[t] = centred_U_i_h[t]**2
        a_i_2_t = a_i_2[:n]
        np.square(centred_U_i_h_t, out=a_i_2_t)
        # a_f_2[t] = centred_U_f_h[t]**2
        a_f_2_t = a_f_2[:n]
        np.square(centred_U_f_h_t, out=a_f_2_t)
        # a_g_2[t] = centred_U_g_h[t]**2
        a_g_2_t = a_g_2[:n]
        np.square(centred_U_g_h_t, out=a_g_2_t)
        # a_o_2[t] = centred_U_o_h[t]**2
        a_o_2_t = a_o_2[:n]
        np.square(centred_U_o_h_t, out=a_o_2_t)
        # sum_a_i_2[t] = sum(a_i_2[t])
        sqrt_a_i_3_t = sqrt_a_i_3[kept_0[t] : kept_0[t] + n]
        np.add.reduce(a_i_2_t, axis=1, keepdims=True, out=sqrt_a_i_3_t)
        # sum_a_f_2[t] = sum(a_f_2[t])
        sqrt_a_f_3_t = sqrt_a_f_3[kept_0[t] : kept_0[t] + n]
        np.add.reduce(a_f_2_t, axis=1, keepdims=True, out=sqrt_a_f_3_t)
        # sum_a_g_2[t] = sum(a_g_2[t])
        sqrt_a_g_3_t = sqrt_a_g_3[kept_0[t] : kept_0[t] + n]
        np.add.reduce(a_g_2_t, axis=1, keepdims=True, out=sqrt_a_g_3_t)
        # sum_a_o_2[t] = sum(a_o_2[t])
        sqrt_a_o_3_t = sqrt_a_o_3[kept_0[t] : kept_0[t] + n]
        np.add.reduce(a_o_2_t, axis=1, keepdims=True, out=sqrt_a_o_3_t)
        # a_i_3[t] = sum_a_i_2[t]/H + 1.0e-5
        np.divide(sqrt_a_i_3_t, H, out=sqrt_a_i_3_t)
        np.add(sqrt_a_i_3_t, 1e-05, out=sqrt_a_i_3_t)
        # a_f_3[t] = sum_a_f_2[t]/H + 1.0e-5
        np.divide(sqrt_a_f_3_t, H, out=sqrt_a_f_3_t)
        np.add(sqrt_a_f_3_t, 1e-05, out=sqrt_a_f_3_t)
        # a_g_3[t] = sum_a_g_2[t]/H + 1.0e-5
        np.divide(sqrt_a_g_3_t, H, out=sqrt_a_g_3_t)
        np.add(sqrt_a_g_3_t, 1e-05, out=sqrt_a_g_3_t)
        # a_o_3[t] = sum_a_o_2[t]/H + 1.0e-5
        np.divide(sqrt_a_o_3_t, H, out=sqrt_a_o_3_t)
        np.add(sqrt_a_o_3_t, 1e-05, out=sqrt_a_o_3_t)
        # sqrt_a_i_3[t] = sqrt(a_i_3[t])
        np.sqrt(sqrt_a_i_3_t, out=sqrt_a_i_3_t)
        # sqrt_a_f_3[t] = sqrt(a_f_3[t])
        np.sqrt(sqrt_a_f_3_t, out=sqrt_a_f_3_t)
        # sqrt_a_g_3[t] = sqrt(a_g_3[t])
        np.sqrt(sqrt_a_g_3_t, out=sqrt_a_g_3_t)
        # sqrt_a_o_3[t] = sqrt(a_o_3[t])
        np.sqrt(sqrt_a_o_3_t, out=sqrt_a_o_3_t)
        # a_i_6[t] = a_i_6_in[t] + centred_U_i_h[t]*d_i/sqrt_a_i_3[t]
        i_t = i[:n]
        a_i_6_in_t = a_i_6_in[at_0[t] : at_0[t] + n]
        np.multiply(centred_U_i_h_t, d_i, out=i_t)
        np.divide(i_t, sqrt_a_i_3_t, out=i_t)
        np.add(i_t, a_i_6_in_t, out=i_t)
        # a_f_6[t] = a_f_6_in[t] + centred_U_f_h[t]*d_f/sqrt_a_f_3[t]
        c_t = c[kept_1[t + 1] : kept_1[t + 1] + n]
        a_f_6_in_t = a_f_6_in[at_0[t] : at_0[t] + n]
        np.multiply(centred_U_f_h_t, d_f, out=c_t)
        np.divide(c_t, sqrt_a_f_3_t, out=c_t)
        np.add(c_t, a_f_6_in_t, out=c_t)
        # a_g_6[t] = a_g_6_in[t] + centred_U_g_h[t]*d_g/sqrt_a_g_3[t]
        g_t = g[:n]
        a_g_6_in_t = a_g_6_in[at_0[t] : at_0[t] + n]
        np.multiply(centred_U_g_h_t, d_g, out=g_t)
        np.divide(g_t, sqrt_a_g_3_t, out=g_t)
        np.add(g_t, a_g_6_in_t, out=g_t)
        # a_o_6[t] = a_o_6_in[t] + centred_U_o_h[t]*d_o/sqrt_a_o_3[t]
        h_t = h[at_1[t + 1] : at_1[t + 1] + n]
        a_o_6_in_t = a_o_6_in[at_0[t] : at_0[t] + n]
        np.multiply(centred_U_o_h_t, d_o, out=h_t)
        np.divide(h_t, sqrt_a_o_3_t, out=h_t)
        np.add(h_t, a_o_6_in_t, out=h_t)
        # i[t] = sigmoid(a_i_6[t]) (input gate)
        np.negative(i_t, out=i_t)
        np.exp(i_t, out=i_t)
        np.add(i_t, 1, out=i_t)
        np.reciprocal(i_t, out=i_t)
        # f[t] = sigmoid(a_f_6[t]) (forget gate)
        np.negative(c_t, out=c_t)
        np.exp(c_t, out=c_t)
        np.add(c_t, 1, out=c_t)
        np.reciprocal(c_t, out=c_t)
        # g[t] = tanh(a_g_6[t]) (candidate)
        np.tanh(g_t, out=g_t)
        # o[t] = sigmoid(a_o_6[t]) (output gate)
        np.negative(h_t, out=h_t)
        np.exp(h_t, out=h_t)
        np.add(h_t, 1, out=h_t)
        np.reciprocal(h_t, out=h_t)
        # c[t] = c[t-1]*f[t] + g[t]*i[t] (cell state)
        c_t1 = c[kept_1[t] : kept_1[t] + n]
        np.multiply(c_t, c_t1, out=c_t)
        np.multiply(g_t, i_t, out=work1__t)
        np.add(c_t, work1__t, out=c_t)
        # sum_c[t] = sum(c[t])
        sum_c_t = sum_c[kept_0[t] : kept_0[t] + n]
        np.add.reduce(c_t, axis=1, keepdims=True, out=sum_c_t)
        # centred_c[t] = c[t] - sum_c[t]/H
        centred_c_t = centred_c[:n]
        np.divide(sum_c_t, H, out=work1__t)
        np.subtract(c_t, work1__t, out=centred_c_t)
        # a_h[t] = centred_c[t]**2
        a_h_t = a_h[:n]
        np.square(centred_c_t, out=a_h_t)
        # sum_a_h[t] = sum(a_h[t])
        sqrt_a_h_2_t = sqrt_a_h_2[kept_0[t] : kept_0[t] + n]
        np.add.reduce(a_h_t, axis=1, keepdims=True, out=sqrt_a_h_2_t)
        # a_h_2[t] = sum_a_h[t]/H + 1.0e-5
        np.divide(sqrt_a_h_2_t, H, out=sqrt_a_h_2_t)
        np.add(sqrt_a_h_2_t, 1e-05, out=sqrt_a_h_2_t)
        # sqrt_a_h_2[t] = sqrt(a_h_2[t])
        np.sqrt(sqrt_a_h_2_t, out=sqrt_a_h_2_t)
        # a_h_3[t] = centred_c[t]*a_c/sqrt_a_h_2[t] + b_c
        tanh_a_h_3_t = tanh_a_h_3[:n]
        np.multiply(centred_c_t, a_c, out=tanh_a_h_3_t)
        np.divide(tanh_a_h_3_t, sqrt_a_h_2_t, out=tanh_a_h_3_t)
        np.add(tanh_a_h_3_t, b_c, out=tanh_a_h_3_t)
        # tanh_a_h_3[t] = tanh(a_h_3[t])
        np.tanh(tanh_a_h_3_t, out=tanh_a_h_3_t)
        # h[t] = o[t]*tanh_a_h_3[t] (hidden state)
        np.multiply(h_t, tanh_a_h_3_t, out=h_t)

    h_all = h[1 * batch :]

    last = {
        "h": _state_of("h", h[pack.last(at_1, 1)], pack),
        "c": _state_of("c", c[pack.last(kept_1, 1)], pack),
    }
    learned = tuple(name for name in LEARNED if name not in given)
    tape = Tape(pack, params.sizes, dtype, learned, (c, centred_U_f_h, centred_U_g_h, centred_U_i_h, centred_U_o_h, centred_W_f_x, centred_W_g_x, centred_W_i_x, centred_W_o_x, h, sqrt_a_f_3, sqrt_a_f_5, sqrt_a_g_3, sqrt_a_g_5, sqrt_a_h_2, sqrt_a_i_3, sqrt_a_i_5, sqrt_a_o_3, sqrt_a_o_5, sum_c, x_rows,)) if keep_tape else None
    return pack.sequence(h_all), last, tape


@np.errstate(all="ignore")
def backward(params: Mapping[str, Any], tape: Tape, dy: Any, dlast: Mapping[str, Any] | None = None) -> Grads:
    """Back-propagate through the steps that ``forward`` taped.

    dy: (T, B, size), the gradient of the loss by y (None for zero). dlast: its gradients by the last states, by name.
    Returns the gradients by the parameters, the input(s) and the initial states. Raises ValueError or TypeError for an
    argument that does not fit.
    """
    if not isinstance(tape, Tape):
        raise TypeError(f"tape: expected the tape that forward returned, got {type(tape).__name__}")
    params = _params(params, {}, tape.sizes)
    if params.sizes != tape.sizes or params.flat.dtype != tape.dtype:
        raise ValueError(f"params: expected {tape.sizes} in {tape.dtype} as on the tape, got {params.sizes} in {params.flat.dtype}")
    pack, dtype = tape.pack, tape.dtype
    steps, batch = pack.steps, pack.batch
    size = _length("H", params.sizes)
    dy = np.zeros((steps, batch, size), dtype) if dy is None else _array("dy", dy, (steps, batch, size), dtype)
    given = _check_state("dlast", dlast, batch, params)
    grads = Params(np.zeros(params.flat.shape, dtype), params.sizes)
    D = params.sizes["D"]
    H = params.sizes["H"]
    ring_0 = pack.starts(0, False)
    at_0 = pack.starts(0, True)
    ring_1 = pack.starts(1, False)
    at_1 = pack.starts(1, True)

    dy_rows = pack.rows(dy)
    (c_rows, centred_U_f_h_rows, centred_U_g_h_rows, centred_U_i_h_rows, centred_U_o_h_rows, centred_W_f_x_rows, centred_W_g_x_rows, centred_W_i_x_rows, centred_W_o_x_rows, h_rows, sqrt_a_f_3_rows, sqrt_a_f_5_rows, sqrt_a_g_3_rows, sqrt_a_g_5_rows, sqrt_a_h_2_rows, sqrt_a_i_3_rows, sqrt_a_i_5_rows, sqrt_a_o_3_rows, sqrt_a_o_5_rows, sum_c_rows, x_rows,) = tape.arrays
    i = np.zeros((pack.room(0, False), H), dtype)
    g = np.zeros((pack.room(0, False), H), dtype)
    centred_c = np.zeros((pack.room(0, True), H), dtype)
    tanh_a_h_3 = np.zeros((pack.room(0, False), H), dtype)
    dU_i_h_to_dU_o_h = np.zeros((pack.room(0, True), 4*H), dtype)
    dW_i_x_to_dW_o_x = np.zeros((pack.room(0, True), 4*H), dtype)
    f = np.zeros((pack.room(0, False), H), dtype)
    o = np.zeros((pack.room(0, False), H), dtype)
    dh = np.zeros((pack.room(0, False), H), dtype)
    da_h_3 = np.zeros((pack.room(0, True), H), dtype)
    dsqrt_a_h_2_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_a_h = np.zeros((pack.room(0, False), 1), dtype)
    dcentred_c = np.zeros((pack.room(0, False), H), dtype)
    dsum_c_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_c_sum = np.zeros((pack.room(0, False), 1), dtype)
    dc = np.zeros((pack.room(0, False), H), dtype)
    da_o_6 = np.zeros((pack.room(0, True), H), dtype)
    dsqrt_a_o_5_each = np.zeros((pack.room(0, True), H), dtype)
    dsum_a_o_4 = np.zeros((pack.room(0, True), 1), dtype)
    dcentred_W_o_x = np.zeros((pack.room(0, True), H), dtype)
    dsum_W_o_x_each = np.zeros((pack.room(0, True), H), dtype)
    dsum_W_o_x_sum = np.zeros((pack.room(0, True), 1), dtype)
    dsqrt_a_o_3_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_a_o_2 = np.zeros((pack.room(0, False), 1), dtype)
    dcentred_U_o_h = np.zeros((pack.room(0, False), H), dtype)
    dsum_U_o_h_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_U_o_h_sum = np.zeros((pack.room(0, False), 1), dtype)
    da_g_6 = np.zeros((pack.room(0, True), H), dtype)
    dsqrt_a_g_5_each = np.zeros((pack.room(0, True), H), dtype)
    dsum_a_g_4 = np.zeros((pack.room(0, True), 1), dtype)
    dcentred_W_g_x = np.zeros((pack.room(0, True), H), dtype)
    dsum_W_g_x_each = np.zeros((pack.room(0, True), H), dtype)
    dsum_W_g_x_sum = np.zeros((pack.room(0, True), 1), dtype)
    dsqrt_a_g_3_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_a_g_2 = np.zeros((pack.room(0, False), 1), dtype)
    dcentred_U_g_h = np.zeros((pack.room(0, False), H), dtype)
    dsum_U_g_h_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_U_g_h_sum = np.zeros((pack.room(0, False), 1), dtype)
    da_f_6 = np.zeros((pack.room(0, True), H), dtype)
    dsqrt_a_f_5_each = np.zeros((pack.room(0, True), H), dtype)
    dsum_a_f_4 = np.zeros((pack.room(0, True), 1), dtype)
    dcentred_W_f_x = np.zeros((pack.room(0, True), H), dtype)
    dsum_W_f_x_each = np.zeros((pack.room(0, True), H), dtype)
    dsum_W_f_x_sum = np.zeros((pack.room(0, True), 1), dtype)
    dsqrt_a_f_3_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_a_f_2 = np.zeros((pack.room(0, False), 1), dtype)
    dcentred_U_f_h = np.zeros((pack.room(0, False), H), dtype)
    dsum_U_f_h_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_U_f_h_sum = np.zeros((pack.room(0, False), 1), dtype)
    da_i_6 = np.zeros((pack.room(0, True), H), dtype)
    dsqrt_a_i_5_each = np.zeros((pack.room(0, True), H), dtype)
    dsum_a_i_4 = np.zeros((pack.room(0, True), 1), dtype)
    dcentred_W_i_x = np.zeros((pack.room(0, True), H), dtype)
    dsum_W_i_x_each = np.zeros((pack.room(0, True), H), dtype)
    dsum_W_i_x_sum = np.zeros((pack.room(0, True), 1), dtype)
    dsqrt_a_i_3_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_a_i_2 = np.zeros((pack.room(0, False), 1), dtype)
    dcentred_U_i_h = np.zeros((pack.room(0, False), H), dtype)
    dsum_U_i_h_each = np.zeros((pack.room(0, False), H), dtype)
    dsum_U_i_h_sum = np.zeros((pack.room(0, False), 1), dtype)
    dx_ = np.zeros((pack.room(0, True), D), dtype)
    da_i_each = np.zeros((pack.room(0, True), H), dtype)
    dd_i_each = np.zeros((pack.room(0, True), H), dtype)
    da_f_each = np.zeros((pack.room(0, True), H), dtype)
    dd_f_each = np.zeros((pack.room(0, True), H), dtype)
    da_g_each = np.zeros((pack.room(0, True), H), dtype)
    dd_g_each = np.zeros((pack.room(0, True), H), dtype)
    da_o_each = np.zeros((pack.room(0, True), H), dtype)
    dd_o_each = np.zeros((pack.room(0, True), H), dtype)
    da_c_each = np.zeros((pack.room(0, True), H), dtype)
    dh_back = np.zeros((pack.room(1, False), H), dtype)
    dc_via = np.zeros((pack.room(1, False), H), dtype)
    if "h" in given:
        dh_back[pack.last(ring_1, 1)] = pack.sort(_steps_of(given["h"]))
    if "c" in given:
        dc_via[pack.last(ring_1, 1)] = pack.sort(_steps_of(given["c"]))
    d_i = params.stack("d_i", "d_i")
    work1 = np.empty((batch, H), dtype)
    a_i = params.stack("a_i", "a_i")
    b_i = params.stack("b_i", "b_i")
    d_f = params.stack("d_f", "d_f")
    a_f = params.stack("a_f", "a_f")
    b_f = params.stack("b_f", "b_f")
    d_g = params.stack("d_g", "d_g")
    a_g = params.stack("a_g", "a_g")
    b_g = params.stack("b_g", "b_g")
    d_o = params.stack("d_o", "d_o")
    a_o = params.stack("a_o", "a_o")
    b_o = params.stack("b_o", "b_o")
    a_c = params.stack("a_c", "a_c")
    b_c = params.stack("b_c", "b_c")
    work2 = np.empty((batch, H), dtype)
    U_i_to_U_o = params.stack("U_i", "U_o")
    work1_ = np.empty((pack.size, H), dtype)
    W_i_to_W_o = params.stack("W_i", "W_o")
    ones = np.ones((1, pack.size), dtype)

    for t, n in reversed(list(enumerate(pack.counts))):
        # a_i_6[t] = centred_U_i_h[t]*d_i/sqrt_a_i_3[t] + centred_W_i_x[t]*a_i/sqrt_a_i_5[t] + b_i
        i_t = i[:n]
        centred_U_i_h_t = centred_U_i_h_rows[at_0[t] : at_0[t] + n]
        sqrt_a_i_3_t = sqrt_a_i_3_rows[at_0[t] : at_0[t] + n]
        work1_t = work1[:n]
        centred_W_i_x_t = centred_W_i_x_rows[at_0[t] : at_0[t] + n]
        sqrt_a_i_5_t = sqrt_a_i_5_rows[at_0[t] : at_0[t] + n]
        np.multiply(centred_U_i_h_t, d_i, out=i_t)
        np.divide(i_t, sqrt_a_i_3_t, out=i_t)
        np.multiply(centred_W_i_x_t, a_i, out=work1_t)
        np.divide(work1_t, sqrt_a_i_5_t, out=work1_t)
        np.add(i_t, work1_t, out=i_t)
        np.add(i_t, b_i, out=i_t)
        # a_f_6[t] = centred_U_f_h[t]*d_f/sqrt_a_f_3[t] + centred_W_f_x[t]*a_f/sqrt_a_f_5[t] + b_f
        f_t = f[:n]
        centred_U_f_h_t = centred_U_f_h_rows[at_0[t] : at_0[t] + n]
        sqrt_a_f_3_t = sqrt_a_f_3_rows[at_0[t] : at_0[t] + n]
        centred_W_f_x_t = centred_W_f_x_rows[at_0[t] : at_0[t] + n]
        sqrt_a_f_5_t = sqrt_a_f_5_rows[at_0[t] : at_0[t] + n]
        np.multiply(centred_U_f_h_t, d_f, out=f_t)
        np.divide(f_t, sqrt_a_f_3_t, out=f_t)
        np.multiply(centred_W_f_x_t, a_f, out=work1_t)
        np.divide(work1_t, sqrt_a_f_5_t, out=work1_t)
        np.add(f_t, work1_t, out=f_t)
        np.add(f_t, b_f, out=f_t)
        # a_g_6[t] = centred_U_g_h[t]*d_g/sqrt_a_g_3[t] + centred_W_g_x[t]*a_g/sqrt_a_g_5[t] + b_g
        g_t = g[:n]
        centred_U_g_h_t = centred_U_g_h_rows[at_0[t] : at_0[t] + n]
        sqrt_a_g_3_t = sqrt_a_g_3_rows[at_0[t] : at_0[t] + n]
        centred_W_g_x_t = centred_W_g_x_rows[at_0[t] : at_0[t] + n]
        sqrt_a_g_5_t = sqrt_a_g_5_rows[at_0[t] : at_0[t] + n]
        np.multiply(centred_U_g_h_t, d_g, out=g_t)
        np.divide(g_t, sqrt_a_g_3_t, out=g_t)
        np.multiply(centred_W_g_x_t, a_g, out=work1_t)
        np.divide(work1_t, sqrt_a_g_5_t, out=work1_t)
        np.add(g_t, work1_t, out=g_t)
        np.add(g_t, b_g, out=g_t)
        # a_o_6[t] = centred_U_o_h[t]*d_o/sqrt_a_o_3[t] + centred_W_o_x[t]*a_o/sqrt_a_o_5[t] + b_o
        o_t = o[:n]
        centred_U_o_h_t = centred_U_o_h_rows[at_0[t] : at_0[t] + n]
        sqrt_a_o_3_t = sqrt_a_o_3_rows[at_0[t] : at_0[t] + n]
        centred_W_o_x_t = centred_W_o_x_rows[at_0[t] : at_0[t] + n]
        sqrt_a_o_5_t = sqrt_a_o_5_rows[at_0[t] : at_0[t] + n]
        np.multiply(centred_U_o_h_t, d_o, out=o_t)
        np.divide(o_t, sqrt_a_o_3_t, out=o_t)
        np.multiply(centred_W_o_x_t, a_o, out=work1_t)
        np.divide(work1_t, sqrt_a_o_5_t, out=work1_t)
        np.add(o_t, work1_t, out=o_t)
        np.add(o_t, b_o, out=o_t)
        # centred_c[t] = c[t] - sum_c[t]/H
        centred_c_t = centred_c[at_0[t] : at_0[t] + n]
        c_t = c_rows[at_1[t + 1] : at_1[t + 1] + n]
        sum_c_t = sum_c_rows[at_0[t] : at_0[t] + n]
        np.divide(sum_c_t, H, out=work1_t)
        np.subtract(c_t, work1_t, out=centred_c_t)
        # dh[t] = dh_back[t+1] + dy[t]
        dh_t = dh[:n]
        dh_back_next = dh_back[ring_1[t + 1] : ring_1[t + 1] + n]
        dy_t = dy_rows[at_0[t] : at_0[t] + n]
        np.add(dh_back_next, dy_t, out=dh_t)
        # i[t] = sigmoid(a_i_6[t]) (input gate)
        np.negative(i_t, out=i_t)
        np.exp(i_t, out=i_t)
        np.add(i_t, 1, out=i_t)
        np.reciprocal(i_t, out=i_t)
        # f[t] = sigmoid(a_f_6[t]) (forget gate)
        np.negative(f_t, out=f_t)
        np.exp(f_t, out=f_t)
        np.add(f_t, 1, out=f_t)
        np.reciprocal(f_t, out=f_t)
        # g[t] = tanh(a_g_6[t]) (candidate)
        np.tanh(g_t, out=g_t)
        # o[t] = sigmoid(a_o_6[t]) (output gate)
        np.negative(o_t, out=o_t)
        np.exp(o_t, out=o_t)
        np.add(o_t, 1, out=o_t)
        np.reciprocal(o_t, out=o_t)
        # a_h_3[t] = centred_c[t]*a_c/sqrt_a_h_2[t] + b_c
        tanh_a_h_3_t = tanh_a_h_3[:n]
        sqrt_a_h_2_t = sqrt_a_h_2_rows[at_0[t] : at_0[t] + n]
        np.multiply(centred_c_t, a_c, out=tanh_a_h_3_t)
        np.divide(tanh_a_h_3_t, sqrt_a_h_2_t, out=tanh_a_h_3_t)
        np.add(tanh_a_h_3_t, b_c, out=tanh_a_h_3_t)
        # dtanh_a_h_3[t] = dh[t]*o[t]
        da_h_3_t = da_h_3[at_0[t] : at_0[t] + n]
        np.multiply(dh_t, o_t, out=da_h_3_t)
        # tanh_a_h_3[t] = tanh(a_h_3[t])
        np.tanh(tanh_a_h_3_t, out=tanh_a_h_3_t)
        # da_h_3[t] = dtanh_a_h_3[t]*(1 - tanh_a_h_3[t]**2)
        work2_t = work2[:n]
        np.square(tanh_a_h_3_t, out=work2_t)
        np.subtract(1, work2_t, out=work1_t)
        np.multiply(da_h_3_t, work1_t, out=da_h_3_t)
        # do[t] = dh[t]*tanh_a_h_3[t]
        da_o_6_t = da_o_6[at_0[t] : at_0[t] + n]
        np.multiply(dh_t, tanh_a_h_3_t, out=da_o_6_t)
        # dsqrt_a_h_2_each[t] = -centred_c[t]*da_h_3[t]*a_c/sqrt_a_h_2[t]**2
        dsqrt_a_h_2_each_t = dsqrt_a_h_2_each[:n]
        np.multiply(centred_c_t, da_h_3_t, out=dsqrt_a_h_2_each_t)
        np.multiply(dsqrt_a_h_2_each_t, a_c, out=dsqrt_a_h_2_each_t)
        np.square(sqrt_a_h_2_t, out=work1_t)
        np.divide(dsqrt_a_h_2_each_t, work1_t, out=dsqrt_a_h_2_each_t)
        np.negative(dsqrt_a_h_2_each_t, out=dsqrt_a_h_2_each_t)
        # da_o_6[t] = do[t]*o[t]*(1 - o[t])
        np.subtract(1, o_t, out=work1_t)
        np.multiply(da_o_6_t, work1_t, out=da_o_6_t)
        np.multiply(da_o_6_t, o_t, out=da_o_6_t)
        # dsqrt_a_h_2_sum[t] = sum(dsqrt_a_h_2_each[t])
        dsum_a_h_t = dsum_a_h[:n]
        np.add.reduce(dsqrt_a_h_2_each_t, axis=1, keepdims=True, out=dsum_a_h_t)
        # dsqrt_a_o_3_each[t] = -centred_U_o_h[t]*da_o_6[t]*d_o/sqrt_a_o_3[t]**2
        dsqrt_a_o_3_each_t = dsqrt_a_o_3_each[:n]
        np.multiply(centred_U_o_h_t, da_o_6_t, out=dsqrt_a_o_3_each_t)
        np.multiply(dsqrt_a_o_3_each_t, d_o, out=dsqrt_a_o_3_each_t)
        np.square(sqrt_a_o_3_t, out=work1_t)
        np.divide(dsqrt_a_o_3_each_t, work1_t, out=dsqrt_a_o_3_each_t)
        np.negative(dsqrt_a_o_3_each_t, out=dsqrt_a_o_3_each_t)
        # da_h_2[t] = dsqrt_a_h_2_sum[t]/(2*sqrt_a_h_2[t])
        np.divide(dsum_a_h_t, sqrt_a_h_2_t, out=dsum_a_h_t)
        np.divide(dsum_a_h_t, 2, out=dsum_a_h_t)
        # dsqrt_a_o_3_sum[t] = sum(dsqrt_a_o_3_each[t])
        dsum_a_o_2_t = dsum_a_o_2[:n]
        np.add.reduce(dsqrt_a_o_3_each_t, axis=1, keepdims=True, out=dsum_a_o_2_t)
        # dsum_a_h[t] = da_h_2[t]/H
        np.divide(dsum_a_h_t, H, out=dsum_a_h_t)
        # da_o_3[t] = dsqrt_a_o_3_sum[t]/(2*sqrt_a_o_3[t])
        np.divide(dsum_a_o_2_t, sqrt_a_o_3_t, out=dsum_a_o_2_t)
        np.divide(dsum_a_o_2_t, 2, out=dsum_a_o_2_t)
        # da_h[t] = dsum_a_h[t]
        dcentred_c_t = dcentred_c[:n]
        np.copyto(dcentred_c_t, dsum_a_h_t)
        # dsum_a_o_2[t] = da_o_3[t]/H
        np.divide(dsum_a_o_2_t, H, out=dsum_a_o_2_t)
        # dcentred_c[t] = 2*centred_c[t]*da_h[t] + da_h_3[t]*a_c/sqrt_a_h_2[t]
        np.multiply(dcentred_c_t, centred_c_t, out=dcentred_c_t)
        np.multiply(dcentred_c_t, 2, out=dcentred_c_t)
        np.multiply(da_h_3_t, a_c, out=work1_t)
        np.divide(work1_t, sqrt_a_h_2_t, out=work1_t)
        np.add(dcentred_c_t, work1_t, out=dcentred_c_t)
        # da_o_2[t] = dsum_a_o_2[t]
        dcentred_U_o_h_t = dcentred_U_o_h[:n]
        np.copyto(dcentred_U_o_h_t, dsum_a_o_2_t)
        # dsum_c_each[t] = -dcentred_c[t]/H
        dsum_c_each_t = dsum_c_each[:n]
        np.divide(dcentred_c_t, H, out=dsum_c_each_t)
        np.negative(dsum_c_each_t, out=dsum_c_each_t)
        # dcentred_U_o_h[t] = 2*centred_U_o_h[t]*da_o_2[t] + da_o_6[t]*d_o/sqrt_a_o_3[t]
        np.multiply(dcentred_U_o_h_t, centred_U_o_h_t, out=dcentred_U_o_h_t)
        np.multiply(dcentred_U_o_h_t, 2, out=dcentred_U_o_h_t)
        np.multiply(da_o_6_t, d_o, out=work1_t)
        np.divide(work1_t, sqrt_a_o_3_t, out=work1_t)
        np.add(dcentred_U_o_h_t, work1_t, out=dcentred_U_o_h_t)
        # dsum_c_sum[t] = sum(dsum_c_each[t])
        dsum_c_sum_t = dsum_c_sum[:n]
        np.add.reduce(dsum_c_each_t, axis=1, keepdims=True, out=dsum_c_sum_t)
        # dsum_U_o_h_each[t] = -dcentred_U_o_h[t]/H
        dsum_U_o_h_each_t = dsum_U_o_h_each[:n]
        np.divide(dcentred_U_o_h_t, H, out=dsum_U_o_h_each_t)
        np.negative(dsum_U_o_h_each_t, out=dsum_U_o_h_each_t)
        # dc[t] = dc_via[t+1] + dcentred_c[t] + dsum_c_sum[t]
        dc_t = dc[:n]
        dc_via_next = dc_via[ring_1[t + 1] : ring_1[t + 1] + n]
        np.add(dc_via_next, dcentred_c_t, out=dc_t)
        np.add(dc_t, dsum_c_sum_t, out=dc_t)
        # dsum_U_o_h_sum[t] = sum(dsum_U_o_h_each[t])
        dsum_U_o_h_sum_t = dsum_U_o_h_sum[:n]
        np.add.reduce(dsum_U_o_h_each_t, axis=1, keepdims=True, out=dsum_U_o_h_sum_t)
        # dg[t] = dc[t]*i[t]
        da_g_6_t = da_g_6[at_0[t] : at_0[t] + n]
        np.multiply(dc_t, i_t, out=da_g_6_t)
        # df[t] = c[t-1]*dc[t]
        da_f_6_t = da_f_6[at_0[t] : at_0[t] + n]
        c_t1 = c_rows[at_1[t] : at_1[t] + n]
        np.multiply(c_t1, dc_t, out=da_f_6_t)
        # di[t] = dc[t]*g[t]
        da_i_6_t = da_i_6[at_0[t] : at_0[t] + n]
        np.multiply(dc_t, g_t, out=da_i_6_t)
        # dc_via[t] = dc[t]*f[t]
        dc_via_t = dc_via[ring_1[t] : ring_1[t] + n]
        np.multiply(dc_t, f_t, out=dc_via_t)
        # dU_o_h[t] = dcentred_U_o_h[t] + dsum_U_o_h_sum[t]
        dU_i_h_to_dU_o_h_t = dU_i_h_to_dU_o_h[at_0[t] : at_0[t] + n]
        dU_o_h_t = dU_i_h_to_dU_o_h_t[:, 3*H :]
        np.add(dcentred_U_o_h_t, dsum_U_o_h_sum_t, out=dU_o_h_t)
        # da_g_6[t] = dg[t]*(1 - g[t]**2)
        np.square(g_t, out=work2_t)
        np.subtract(1, work2_t, out=work1_t)
        np.multiply(da_g_6_t, work1_t, out=da_g_6_t)
        # da_f_6[t] = df[t]*f[t]*(1 - f[t])
        np.subtract(1, f_t, out=work1_t)
        np.multiply(da_f_6_t, work1_t, out=da_f_6_t)
        np.multiply(da_f_6_t, f_t, out=da_f_6_t)
        # da_i_6[t] = di[t]*i[t]*(1 - i[t])
        np.subtract(1, i_t, out=work1_t)
        np.multiply(da_i_6_t, work1_t, out=da_i_6_t)
        np.multiply(da_i_6_t, i_t, out=da_i_6_t)
        # dsqrt_a_g_3_each[t] = -centred_U_g_h[t]*da_g_6[t]*d_g/sqrt_a_g_3[t]**2
        dsqrt_a_g_3_each_t = dsqrt_a_g_3_each[:n]
        np.multiply(centred_U_g_h_t, da_g_6_t, out=dsqrt_a_g_3_each_t)
        np.multiply(dsqrt_a_g_3_each_t, d_g, out=dsqrt_a_g_3_each_t)
        np.square(sqrt_a_g_3_t, out=work1_t)
        np.divide(dsqrt_a_g_3_each_t, work1_t, out=dsqrt_a_g_3_each_t)
        np.negative(dsqrt_a_g_3_each_t, out=dsqrt_a_g_3_each_t)
        # dsqrt_a_f_3_each[t] = -centred_U_f_h[t]*da_f_6[t]*d_f/sqrt_a_f_3[t]**2
        dsqrt_a_f_3_each_t = dsqrt_a_f_3_each[:n]
        np.multiply(centred_U_f_h_t, da_f_6_t, out=dsqrt_a_f_3_each_t)
        np.multiply(dsqrt_a_f_3_each_t, d_f, out=dsqrt_a_f_3_each_t)
        np.square(sqrt_a_f_3_t, out=work1_t)
        np.divide(dsqrt_a_f_3_each_t, work1_t, out=dsqrt_a_f_3_each_t)
        np.negative(dsqrt_a_f_3_each_t, out=dsqrt_a_f_3_each_t)
        # dsqrt_a_i_3_each[t] = -centred_U_i_h[t]*da_i_6[t]*d_i/sqrt_a_i_3[t]**2
        dsqrt_a_i_3_each_t = dsqrt_a_i_3_each[:n]
        np.multiply(centred_U_i_h_t, da_i_6_t, out=dsqrt_a_i_3_each_t)
        np.multiply(dsqrt_a_i_3_each_t, d_i, out=dsqrt_a_i_3_each_t)
        np.square(sqrt_a_i_3_t, out=work1_t)
        np.divide(dsqrt_a_i_3_each_t, work1_t, out=dsqrt_a_i_3_each_t)
        np.negative(dsqrt_a_i_3_each_t, out=dsqrt_a_i_3_each_t)
        # dsqrt_a_g_3_sum[t] = sum(dsqrt_a_g_3_each[t])
        dsum_a_g_2_t = dsum_a_g_2[:n]
        np.add.reduce(dsqrt_a_g_3_each_t, axis=1, keepdims=True, out=dsum_a_g_2_t)
        # dsqrt_a_f_3_sum[t] = sum(dsqrt_a_f_3_each[t])
        dsum_a_f_2_t = dsum_a_f_2[:n]
        np.add.reduce(dsqrt_a_f_3_each_t, axis=1, keepdims=True, out=dsum_a_f_2_t)
        # dsqrt_a_i_3_sum[t] = sum(dsqrt_a_i_3_each[t])
        dsum_a_i_2_t = dsum_a_i_2[:n]
        np.add.reduce(dsqrt_a_i_3_each_t, axis=1, keepdims=True, out=dsum_a_i_2_t)
        # da_g_3[t] = dsqrt_a_g_3_sum[t]/(2*sqrt_a_g_3[t])
        np.divide(dsum_a_g_2_t, sqrt_a_g_3_t, out=dsum_a_g_2_t)
        np.divide(dsum_a_g_2_t, 2, out=dsum_a_g_2_t)
        # da_f_3[t] = dsqrt_a_f_3_sum[t]/(2*sqrt_a_f_3[t])
        np.divide(dsum_a_f_2_t, sqrt_a_f_3_t, out=dsum_a_f_2_t)
        np.divide(dsum_a_f_2_t, 2, out=dsum_a_f_2_t)
        # da_i_3[t] = dsqrt_a_i_3_sum[t]/(2*sqrt_a_i_3[t])
        np.divide(dsum_a_i_2_t, sqrt_a_i_3_t, out=dsum_a_i_2_t)
        np.divide(dsum_a_i_2_t, 2, out=dsum_a_i_2_t)
        # dsum_a_g_2[t] = da_g_3[t]/H
        np.divide(dsum_a_g_2_t, H, out=dsum_a_g_2_t)
        # dsum_a_f_2[t] = da_f_3[t]/H
        np.divide(dsum_a_f_2_t, H, out=dsum_a_f_2_t)
        # dsum_a_i_2[t] = da_i_3[t]/H
        np.divide(dsum_a_i_2_t, H, out=dsum_a_i_2_t)
        # da_g_2[t] = dsum_a_g_2[t]
        dcentred_U_g_h_t = dcentred_U_g_h[:n]
        np.copyto(dcentred_U_g_h_t, dsum_a_g_2_t)
        # da_f_2[t] = dsum_a_f_2[t]
        dcentred_U_f_h_t = dcentred_U_f_h[:n]
        np.copyto(dcentred_U_f_h_t, dsum_a_f_2_t)
        # da_i_2[t] = dsum_a_i_2[t]
        dcentred_U_i_h_t = dcentred_U_i_h[:n]
        np.copyto(dcentred_U_i_h_t, dsum_a_i_2_t)
        # dcentred_U_g_h[t] = 2*centred_U_g_h[t]*da_g_2[t] + da_g_6[t]*d_g/sqrt_a_g_3[t]
        np.multiply(dcentred_U_g_h_t, centred_U_g_h_t, out=dcentred_U_g_h_t)
        np.multiply(dcentred_U_g_h_t, 2, out=dcentred_U_g_h_t)
        np.multiply(da_g_6_t, d_g, out=work1_t)
        np.divide(work1_t, sqrt_a_g_3_t, out=work1_t)
        np.add(dcentred_U_g_h_t, work1_t, out=dcentred_U_g_h_t)
        # dcentred_U_f_h[t] = 2*centred_U_f_h[t]*da_f_2[t] + da_f_6[t]*d_f/sqrt_a_f_3[t]
        np.multiply(dcentred_U_f_h_t, centred_U_f_h_t, out=dcentred_U_f_h_t)
        np.multiply(dcentred_U_f_h_t, 2, out=dcentred_U_f_h_t)
        np.multiply(da_f_6_t, d_f, out=work1_t)
        np.divide(work1_t, sqrt_a_f_3_t, out=work1_t)
        np.add(dcentred_U_f_h_t, work1_t, out=dcentred_U_f_h_t)
        # dcentred_U_i_h[t] = 2*centred_U_i_h[t]*da_i_2[t] + da_i_6[t]*d_i/sqrt_a_i_3[t]
        np.multiply(dcentred_U_i_h_t, centred_U_i_h_t, out=dcentred_U_i_h_t)
        np.multiply(dcentred_U_i_h_t, 2, out=dcentred_U_i_h_t)
        np.multiply(da_i_6_t, d_i, out=work1_t)
        np.divide(work1_t, sqrt_a_i_3_t, out=work1_t)
        np.add(dcentred_U_i_h_t, work1_t, out=dcentred_U_i_h_t)
        # dsum_U_g_h_each[t] = -dcentred_U_g_h[t]/H
        dsum_U_g_h_each_t = dsum_U_g_h_each[:n]
        np.divide(dcentred_U_g_h_t, H, out=dsum_U_g_h_each_t)
        np.negative(dsum_U_g_h_each_t, out=dsum_U_g_h_each_t)
        # dsum_U_f_h_each[t] = -dcentred_U_f_h[t]/H
        dsum_U_f_h_each_t = dsum_U_f_h_each[:n]
        np.divide(dcentred_U_f_h_t, H, out=dsum_U_f_h_each_t)
        np.negative(dsum_U_f_h_each_t, out=dsum_U_f_h_each_t)
        # dsum_U_i_h_each[t] = -dcentred_U_i_h[t]/H
        dsum_U_i_h_each_t = dsum_U_i_h_each[:n]
        np.divide(dcentred_U_i_h_t, H, out=dsum_U_i_h_each_t)
        np.negative(dsum_U_i_h_each_t, out=dsum_U_i_h_each_t)
        # dsum_U_g_h_sum[t] = sum(dsum_U_g_h_each[t])
        dsum_U_g_h_sum_t = dsum_U_g_h_sum[:n]
        np.add.reduce(dsum_U_g_h_each_t, axis=1, keepdims=True, out=dsum_U_g_h_sum_t)
        # dsum_U_f_h_sum[t] = sum(dsum_U_f_h_each[t])
        dsum_U_f_h_sum_t = dsum_U_f_h_sum[:n]
        np.add.reduce(dsum_U_f_h_each_t, axis=1, keepdims=True, out=dsum_U_f_h_sum_t)
        # dsum_U_i_h_sum[t] = sum(dsum_U_i_h_each[t])
        dsum_U_i_h_sum_t = dsum_U_i_h_sum[:n]
        np.add.reduce(dsum_U_i_h_each_t, axis=1, keepdims=True, out=dsum_U_i_h_sum_t)
        # dU_g_h[t] = dcentred_U_g_h[t] + dsum_U_g_h_sum[t]
        dU_g_h_t = dU_i_h_to_dU_o_h_t[:, 2*H : 3*H]
        np.add(dcentred_U_g_h_t, dsum_U_g_h_sum_t, out=dU_g_h_t)
        # dU_f_h[t] = dcentred_U_f_h[t] + dsum_U_f_h_sum[t]
        dU_f_h_t = dU_i_h_to_dU_o_h_t[:, H : 2*H]
        np.add(dcentred_U_f_h_t, dsum_U_f_h_sum_t, out=dU_f_h_t)
        # dU_i_h[t] = dcentred_U_i_h[t] + dsum_U_i_h_sum[t]
        dU_i_h_t = dU_i_h_to_dU_o_h_t[:, : H]
        np.add(dcentred_U_i_h_t, dsum_U_i_h_sum_t, out=dU_i_h_t)
        # dh_back[t] = U_i.T @ dU_i_h[t] + U_f.T @ dU_f_h[t] + U_g.T @ dU_g_h[t] + U_o.T @ dU_o_h[t]
        dh_back_t = dh_back[ring_1[t] : ring_1[t] + n]
        np.matmul(dU_i_h_to_dU_o_h_t, U_i_to_U_o, out=dh_back_t)

    # dsqrt_a_o_5_each[t] = -centred_W_o_x[t]*da_o_6[t]*a_o/sqrt_a_o_5[t]**2
    np.multiply(centred_W_o_x_rows, da_o_6, out=dsqrt_a_o_5_each)
    np.multiply(dsqrt_a_o_5_each, a_o, out=dsqrt_a_o_5_each)
    np.square(sqrt_a_o_5_rows, out=work1_)
    np.divide(dsqrt_a_o_5_each, work1_, out=dsqrt_a_o_5_each)
    np.negative(dsqrt_a_o_5_each, out=dsqrt_a_o_5_each)
    # dsqrt_a_g_5_each[t] = -centred_W_g_x[t]*da_g_6[t]*a_g/sqrt_a_g_5[t]**2
    np.multiply(centred_W_g_x_rows, da_g_6, out=dsqrt_a_g_5_each)
    np.multiply(dsqrt_a_g_5_each, a_g, out=dsqrt_a_g_5_each)
    np.square(sqrt_a_g_5_rows, out=work1_)
    np.divide(dsqrt_a_g_5_each, work1_, out=dsqrt_a_g_5_each)
    np.negative(dsqrt_a_g_5_each, out=dsqrt_a_g_5_each)
    # dsqrt_a_f_5_each[t] = -centred_W_f_x[t]*da_f_6[t]*a_f/sqrt_a_f_5[t]**2
    np.multiply(centred_W_f_x_rows, da_f_6, out=dsqrt_a_f_5_each)
    np.multiply(dsqrt_a_f_5_each, a_f, out=dsqrt_a_f_5_each)
    np.square(sqrt_a_f_5_rows, out=work1_)
    np.divide(dsqrt_a_f_5_each, work1_, out=dsqrt_a_f_5_each)
    np.negative(dsqrt_a_f_5_each, out=dsqrt_a_f_5_each)
    # dsqrt_a_i_5_each[t] = -centred_W_i_x[t]*da_i_6[t]*a_i/sqrt_a_i_5[t]**2
    np.multiply(centred_W_i_x_rows, da_i_6, out=dsqrt_a_i_5_each)
    np.multiply(dsqrt_a_i_5_each, a_i, out=dsqrt_a_i_5_each)
    np.square(sqrt_a_i_5_rows, out=work1_)
    np.divide(dsqrt_a_i_5_each, work1_, out=dsqrt_a_i_5_each)
    np.negative(dsqrt_a_i_5_each, out=dsqrt_a_i_5_each)
    # da_i_each[t] = centred_W_i_x[t]*da_i_6[t]/sqrt_a_i_5[t]
    np.multiply(centred_W_i_x_rows, da_i_6, out=da_i_each)
    np.divide(da_i_each, sqrt_a_i_5_rows, out=da_i_each)
    # dd_i_each[t] = centred_U_i_h[t]*da_i_6[t]/sqrt_a_i_3[t]
    np.multiply(centred_U_i_h_rows, da_i_6, out=dd_i_each)
    np.divide(dd_i_each, sqrt_a_i_3_rows, out=dd_i_each)
    # da_f_each[t] = centred_W_f_x[t]*da_f_6[t]/sqrt_a_f_5[t]
    np.multiply(centred_W_f_x_rows, da_f_6, out=da_f_each)
    np.divide(da_f_each, sqrt_a_f_5_rows, out=da_f_each)
    # dd_f_each[t] = centred_U_f_h[t]*da_f_6[t]/sqrt_a_f_3[t]
    np.multiply(centred_U_f_h_rows, da_f_6, out=dd_f_each)
    np.divide(dd_f_each, sqrt_a_f_3_rows, out=dd_f_each)
    # da_g_each[t] = centred_W_g_x[t]*da_g_6[t]/sqrt_a_g_5[t]
    np.multiply(centred_W_g_x_rows, da_g_6, out=da_g_each)
    np.divide(da_g_each, sqrt_a_g_5_rows, out=da_g_each)
    # dd_g_each[t] = centred_U_g_h[t]*da_g_6[t]/sqrt_a_g_3[t]
    np.multiply(centred_U_g_h_rows, da_g_6, out=dd_g_each)
    np.divide(dd_g_each, sqrt_a_g_3_rows, out=dd_g_each)
    # da_o_each[t] = centred_W_o_x[t]*da_o_6[t]/sqrt_a_o_5[t]
    np.multiply(centred_W_o_x_rows, da_o_6, out=da_o_each)
    np.divide(da_o_each, sqrt_a_o_5_rows, out=da_o_each)
    # dd_o_each[t] = centred_U_o_h[t]*da_o_6[t]/sqrt_a_o_3[t]
    np.multiply(centred_U_o_h_rows, da_o_6, out=dd_o_each)
    np.divide(dd_o_each, sqrt_a_o_3_rows, out=dd_o_each)
    # da_c_each[t] = centred_c[t]*da_h_3[t]/sqrt_a_h_2[t]
    np.multiply(centred_c, da_h_3, out=da_c_each)
    np.divide(da_c_each, sqrt_a_h_2_rows, out=da_c_each)
    # dsqrt_a_o_5_sum[t] = sum(dsqrt_a_o_5_each[t])
    np.add.reduce(dsqrt_a_o_5_each, axis=1, keepdims=True, out=dsum_a_o_4)
    # dsqrt_a_g_5_sum[t] = sum(dsqrt_a_g_5_each[t])
    np.add.reduce(dsqrt_a_g_5_each, axis=1, keepdims=True, out=dsum_a_g_4)
    # dsqrt_a_f_5_sum[t] = sum(dsqrt_a_f_5_each[t])
    np.add.reduce(dsqrt_a_f_5_each, axis=1, keepdims=True, out=dsum_a_f_4)
    # dsqrt_a_i_5_sum[t] = sum(dsqrt_a_i_5_each[t])
    np.add.reduce(dsqrt_a_i_5_each, axis=1, keepdims=True, out=dsum_a_i_4)
    # da_o_5[t] = dsqrt_a_o_5_sum[t]/(2*sqrt_a_o_5[t])
    np.divide(dsum_a_o_4, sqrt_a_o_5_rows, out=dsum_a_o_4)
    np.divide(dsum_a_o_4, 2, out=dsum_a_o_4)
    # da_g_5[t] = dsqrt_a_g_5_sum[t]/(2*sqrt_a_g_5[t])
    np.divide(dsum_a_g_4, sqrt_a_g_5_rows, out=dsum_a_g_4)
    np.divide(dsum_a_g_4, 2, out=dsum_a_g_4)
    # da_f_5[t] = dsqrt_a_f_5_sum[t]/(2*sqrt_a_f_5[t])
    np.divide(dsum_a_f_4, sqrt_a_f_5_rows, out=dsum_a_f_4)
    np.divide(dsum_a_f_4, 2, out=dsum_a_f_4)
    # da_i_5[t] = dsqrt_a_i_5_sum[t]/(2*sqrt_a_i_5[t])
    np.divide(dsum_a_i_4, sqrt_a_i_5_rows, out=dsum_a_i_4)
    np.divide(dsum_a_i_4, 2, out=dsum_a_i_4)
    # dsum_a_o_4[t] = da_o_5[t]/H
    np.divide(dsum_a_o_4, H, out=dsum_a_o_4)
    # dsum_a_g_4[t] = da_g_5[t]/H
    np.divide(dsum_a_g_4, H, out=dsum_a_g_4)
    # dsum_a_f_4[t] = da_f_5[t]/H
    np.divide(dsum_a_f_4, H, out=dsum_a_f_4)
    # dsum_a_i_4[t] = da_i_5[t]/H
    np.divide(dsum_a_i_4, H, out=dsum_a_i_4)
    # da_o_4[t] = dsum_a_o_4[t]
    np.copyto(dcentred_W_o_x, dsum_a_o_4)
    # da_g_4[t] = dsum_a_g_4[t]
    np.copyto(dcentred_W_g_x, dsum_a_g_4)
    # da_f_4[t] = dsum_a_f_4[t]
    np.copyto(dcentred_W_f_x, dsum_a_f_4)
    # da_i_4[t] = dsum_a_i_4[t]
    np.copyto(dcentred_W_i_x, dsum_a_i_4)
    # dcentred_W_o_x[t] = 2*centred_W_o_x[t]*da_o_4[t] + da_o_6[t]*a_o/sqrt_a_o_5[t]
    np.multiply(dcentred_W_o_x, centred_W_o_x_rows, out=dcentred_W_o_x)
    np.multiply(dcentred_W_o_x, 2, out=dcentred_W_o_x)
    np.multiply(da_o_6, a_o, out=work1_)
    np.divide(work1_, sqrt_a_o_5_rows, out=work1_)
    np.add(dcentred_W_o_x, work1_, out=dcentred_W_o_x)
    # dcentred_W_g_x[t] = 2*centred_W_g_x[t]*da_g_4[t] + da_g_6[t]*a_g/sqrt_a_g_5[t]
    np.multiply(dcentred_W_g_x, centred_W_g_x_rows, out=dcentred_W_g_x)
    np.multiply(dcentred_W_g_x, 2, out=dcentred_W_g_x)
    np.multiply(da_g_6, a_g, out=work1_)
    np.divide(work1_, sqrt_a_g_5_rows, out=work1_)
    np.add(dcentred_W_g_x, work1_, out=dcentred_W_g_x)
    # dcentred_W_f_x[t] = 2*centred_W_f_x[t]*da_f_4[t] + da_f_6[t]*a_f/sqrt_a_f_5[t]
    np.multiply(dcentred_W_f_x, centred_W_f_x_rows, out=dcentred_W_f_x)
    np.multiply(dcentred_W_f_x, 2, out=dcentred_W_f_x)
    np.multiply(da_f_6, a_f, out=work1_)
    np.divide(work1_, sqrt_a_f_5_rows, out=work1_)
    np.add(dcentred_W_f_x, work1_, out=dcentred_W_f_x)
    # dcentred_W_i_x[t] = 2*centred_W_i_x[t]*da_i_4[t] + da_i_6[t]*a_i/sqrt_a_i_5[t]
    np.multiply(dcentred_W_i_x, centred_W_i_x_rows, out=dcentred_W_i_x)
    np.multiply(dcentred_W_i_x, 2, out=dcentred_W_i_x)
    np.multiply(da_i_6, a_i, out=work1_)
    np.divide(work1_, sqrt_a_i_5_rows, out=work1_)
    np.add(dcentred_W_i_x, work1_, out=dcentred_W_i_x)
    # dsum_W_o_x_each[t] = -dcentred_W_o_x[t]/H
    np.divide(dcentred_W_o_x, H, out=dsum_W_o_x_each)
    np.negative(dsum_W_o_x_each, out=dsum_W_o_x_each)
    # dsum_W_g_x_each[t] = -dcentred_W_g_x[t]/H
    np.divide(dcentred_W_g_x, H, out=dsum_W_g_x_each)
    np.negative(dsum_W_g_x_each, out=dsum_W_g_x_each)
    # dsum_W_f_x_each[t] = -dcentred_W_f_x[t]/H
    np.divide(dcentred_W_f_x, H, out=dsum_W_f_x_each)
    np.negative(dsum_W_f_x_each, out=dsum_W_f_x_each)
    # dsum_W_i_x_each[t] = -dcentred_W_i_x[t]/H
    np.divide(dcentred_W_i_x, H, out=dsum_W_i_x_each)
    np.negative(dsum_W_i_x_each, out=dsum_W_i_x_each)
    # dsum_W_o_x_sum[t] = sum(dsum_W_o_x_each[t])
    np.add.reduce(dsum_W_o_x_each, axis=1, keepdims=True, out=dsum_W_o_x_sum)
    # dsum_W_g_x_sum[t] = sum(dsum_W_g_x_each[t])
    np.add.reduce(dsum_W_g_x_each, axis=1, keepdims=True, out=dsum_W_g_x_sum)
    # dsum_W_f_x_sum[t] = sum(dsum_W_f_x_each[t])
    np.add.reduce(dsum_W_f_x_each, axis=1, keepdims=True, out=dsum_W_f_x_sum)
    # dsum_W_i_x_sum[t] = sum(dsum_W_i_x_each[t])
    np.add.reduce(dsum_W_i_x_each, axis=1, keepdims=True, out=dsum_W_i_x_sum)
    # dW_o_x[t] = dcentred_W_o_x[t] + dsum_W_o_x_sum[t]
    dW_o_x = dW_i_x_to_dW_o_x[:, 3*H :]
    np.add(dcentred_W_o_x, dsum_W_o_x_sum, out=dW_o_x)
    # dW_g_x[t] = dcentred_W_g_x[t] + dsum_W_g_x_sum[t]
    dW_g_x = dW_i_x_to_dW_o_x[:, 2*H : 3*H]
    np.add(dcentred_W_g_x, dsum_W_g_x_sum, out=dW_g_x)
    # dW_f_x[t] = dcentred_W_f_x[t] + dsum_W_f_x_sum[t]
    dW_f_x = dW_i_x_to_dW_o_x[:, H : 2*H]
    np.add(dcentred_W_f_x, dsum_W_f_x_sum, out=dW_f_x)
    # dW_i_x[t] = dcentred_W_i_x[t] + dsum_W_i_x_sum[t]
    dW_i_x = dW_i_x_to_dW_o_x[:, : H]
    np.add(dcentred_W_i_x, dsum_W_i_x_sum, out=dW_i_x)
    # dx[t] = W_i.T @ dW_i_x[t] + W_f.T @ dW_f_x[t] + W_g.T @ dW_g_x[t] + W_o.T @ dW_o_x[t]
    np.matmul(dW_i_x_to_dW_o_x, W_i_to_W_o, out=dx_)

    # dW_i = sum of dW_i_x[t] ⊗ x[t]
    # dW_f = sum of dW_f_x[t] ⊗ x[t]
    # dW_g = sum of dW_g_x[t] ⊗ x[t]
    # dW_o = sum of dW_o_x[t] ⊗ x[t]
    dW_i_to_dW_o = grads.stack("W_i", "W_o")
    np.matmul(dW_i_x_to_dW_o_x.T, x_rows, out=dW_i_to_dW_o)
    # dU_i = sum of dU_i_h[t] ⊗ h[t-1]
    # dU_f = sum of dU_f_h[t] ⊗ h[t-1]
    # dU_g = sum of dU_g_h[t] ⊗ h[t-1]
    # dU_o = sum of dU_o_h[t] ⊗ h[t-1]
    h_t1 = h_rows[pack.past(1, 1)]
    dU_i_to_dU_o = grads.stack("U_i", "U_o")
    np.matmul(dU_i_h_to_dU_o_h.T, h_t1, out=dU_i_to_dU_o)
    # da_i = sum of da_i_each[t]
    da_i = grads.stack("a_i", "a_i")
    np.matmul(ones, da_i_each, out=da_i.reshape(1, -1))
    # dd_i = sum of dd_i_each[t]
    dd_i = grads.stack("d_i", "d_i")
    np.matmul(ones, dd_i_each, out=dd_i.reshape(1, -1))
    # db_i = sum of da_i_6[t]
    db_i = grads.stack("b_i", "b_i")
    np.matmul(ones, da_i_6, out=db_i.reshape(1, -1))
    # da_f = sum of da_f_each[t]
    da_f = grads.stack("a_f", "a_f")
    np.matmul(ones, da_f_each, out=da_f.reshape(1, -1))
    # dd_f = sum of dd_f_each[t]
    dd_f = grads.stack("d_f", "d_f")
    np.matmul(ones, dd_f_each, out=dd_f.reshape(1, -1))
    # db_f = sum of da_f_6[t]
    db_f = grads.stack("b_f", "b_f")
    np.matmul(ones, da_f_6, out=db_f.reshape(1, -1))
    # da_g = sum of da_g_each[t]
    da_g = grads.stack("a_g", "a_g")
    np.matmul(ones, da_g_each, out=da_g.reshape(1, -1))
    # dd_g = sum of dd_g_each[t]
    dd_g = grads.stack("d_g", "d_g")
    np.matmul(ones, dd_g_each, out=dd_g.reshape(1, -1))
    # db_g = sum of da_g_6[t]
    db_g = grads.stack("b_g", "b_g")
    np.matmul(ones, da_g_6, out=db_g.reshape(1, -1))
    # da_o = sum of da_o_each[t]
    da_o = grads.stack("a_o", "a_o")
    np.matmul(ones, da_o_each, out=da_o.reshape(1, -1))
    # dd_o = sum of dd_o_each[t]
    dd_o = grads.stack("d_o", "d_o")
    np.matmul(ones, dd_o_each, out=dd_o.reshape(1, -1))
    # db_o = sum of da_o_6[t]
    db_o = grads.stack("b_o", "b_o")
    np.matmul(ones, da_o_6, out=db_o.reshape(1, -1))
    # da_c = sum of da_c_each[t]
    da_c = grads.stack("a_c", "a_c")
    np.matmul(ones, da_c_each, out=da_c.reshape(1, -1))
    # db_c = sum of da_h_3[t]
    db_c = grads.stack("b_c", "b_c")
    np.matmul(ones, da_h_3, out=db_c.reshape(1, -1))

    start = {name: np.zeros(_steps_shape(name, batch, params.sizes), dtype) for name in STATES}
    start["h"][0 :] += dh_back[pack.first(ring_1, 1)]
    start["c"][0 :] += dc_via[pack.first(ring_1, 1)]
    for name in tape.start_learned:
        grads[LEARNED[name]] += start[name].sum(axis=(0, 1))
    dstate = {name: _state_of(name, value, pack) for name, value in start.items()}
    dx = {
        "x": pack.sequence(dx_),
    }
    return Grads(grads, _like_x(dx), dstate)


def step(params: Mapping[str, Any], x_t: Any, state: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
    """One step: x_t (B, size), by name where there are several inputs, and a state as ``forward`` takes it; returns y_t (B, size) and the next state."""
    inputs = {key: (name.replace("x", "x_t", 1), value) for key, (name, value) in _inputs(x_t).items()}
    for name, value in inputs.values():
        _array(name, value, ("B", "size"), None)
    y, last, _ = forward(params, {key: value[None] for key, (_, value) in inputs.items()}, state, keep_tape=False)
    return y[0], last


def _like_x(values: dict[str, Any]) -> Any:
    """Values by input name, or the only one."""
    return values if len(values) > 1 else next(iter(values.values()))


def _steps_of(state: Any) -> Any:
    """A state as (k, B, n)."""
    return state if state.ndim == 3 else state[None]


def _steps_shape(name: str, batch: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    shape = _state_shape(name, batch, sizes)
    return shape if len(shape) == 3 else (1, *shape)


def _start_of(name: str, given: Mapping[str, Any], params: Params, pack: Packing) -> Any:
    """The state before the first step in the order of the rows, (k, B, n) or what broadcasts to it: given, learned or zero."""
    if name in given:
        return pack.sort(_steps_of(given[name]))
    if name in LEARNED:
        return params[LEARNED[name]].reshape(1, 1, -1)
    return np.zeros((1, 1, 1), params.flat.dtype)


def _state_of(name: str, rows: Any, pack: Packing) -> Any:
    """(k, B, n) in the order of the rows as the caller's (B, n) or (k, B, n)."""
    state = pack.unsort(rows)
    return state if len(STATES[name]) == 2 else state[0]


def _float_type(name: str, dtype: Any) -> Any:
    """float32 or float64 as a NumPy type; a TypeError that names the argument for anything else."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind not in (np.dtype("float32"), np.dtype("float64")):
        raise TypeError(f"{name}: expected float32 or float64, got {dtype if kind is None else kind}")
    return kind


def _array(name: str, value: Any, shape: tuple[int | str, ...], dtype: Any) -> Any:
    """``value`` if it is an array of this shape (a name in it stands for any length) and type."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(value).__name__}")
    fits = len(value.shape) == len(shape) and all(isinstance(w, str) or w == n for n, w in zip(value.shape, shape, strict=True))
    if not fits:
        raise ValueError(f"{name}: expected the shape ({', '.join(map(str, shape))}), got {tuple(value.shape)}")
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


def _params(params: Any, like: Mapping[str, Any], known: Mapping[str, int]) -> Params:
    """``params`` as :class:`Params`: itself, or a checked copy of any mapping from names to arrays.

    Sizes are those ``known``, or come from the parameters and the inputs ``like``.
    """
    if isinstance(params, Params):
        return params
    _mapping("params", params, PARAMS, True)
    arrays = {f'params["{name}"]': (params[name], shape) for name, shape in PARAMS.items()}
    arrays |= {name: (value, ("T", "B", *INPUTS[key])) for key, (name, value) in like.items()}
    sizes = dict(known)
    for name, (value, shape) in arrays.items():
        _array(name, value, shape, None)
        for size, n in zip(shape, value.shape, strict=True):
            if size in SIZES and sizes.setdefault(size, int(n)) != n:
                raise ValueError(f"{name}: expected {size} = {sizes[size]} as in the arrays before it, got {tuple(value.shape)}")
    kinds = {_float_type(f'params["{name}"]', params[name].dtype) for name in PARAMS}
    if len(kinds) > 1:
        raise TypeError(f"params: expected arrays of one type, got {', '.join(sorted(map(str, kinds)))}")
    kinds |= set() if kinds else {_float_type(name, value.dtype) for name, value in like.values()}
    kind = kinds.pop() if kinds else np.dtype("float32")
    count = sum(math.prod(_length(size, sizes) for size in shape) for shape in PARAMS.values())
    packed = Params(np.empty(count, kind), sizes)
    for name, view in packed.items():
        packed[name] = _array(f'params["{name}"]', params[name], view.shape, kind)
    return packed


def _inputs(x: Any) -> dict[str, tuple[str, Any]]:
    """The inputs by name, each with what to call it in an error."""
    if len(INPUTS) == 1 and not isinstance(x, Mapping):
        (name,) = INPUTS
        return {name: ("x", x)}
    _mapping("x", x, INPUTS, True)
    return {name: (f'x["{name}"]', x[name]) for name in INPUTS}


def _check_inputs(params: Params, inputs: Mapping[str, tuple[str, Any]]) -> tuple[int, int]:
    """Steps and batch of the inputs, once each has been found to fit."""
    lead: tuple[Any, ...] = ("T", "B")
    for key, (name, value) in inputs.items():
        shape = tuple(_length(size, params.sizes) for size in INPUTS[key])
        _array(name, value, (*lead, *shape), params.flat.dtype)
        lead = tuple(value.shape[:2])
    return int(lead[0]), int(lead[1])


def _state_shape(name: str, batch: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """(B, n), or (k, B, n) for a state of k lags."""
    *lags, size = STATES[name]
    return (*lags, batch, _length(size, sizes))


def _check_state(argument: str, state: Any, batch: int, params: Params) -> dict[str, Any]:
    """The given states by name: every key known, every shape right."""
    if state is None:
        return {}
    _mapping(argument, state, STATES, False)
    return {
        name: _array(f'{argument}["{name}"]', value, _state_shape(name, batch, params.sizes), params.flat.dtype)
        for name, value in state.items()
    }


def _check_lengths(lengths: Any, steps: int, batch: int) -> np.ndarray | None:
    """``lengths`` as integers (B,) between 0 and T; None where every sequence is T long."""
    if lengths is None:
        return None
    found = np.asarray(lengths)
    if found.shape != (batch,) or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"lengths: expected {batch} integers, got {found.dtype} of shape {found.shape}")
    found = found.astype(int)
    if found.size and (found.min() < 0 or found.max() > steps):
        raise ValueError(f"lengths: expected numbers from 0 to T = {steps}, got {found.min()} to {found.max()}")
    return None if (found == steps).all() else found
