"""LSTM with layer normalisation

Ba, Kiros & Hinton (2016), Layer normalization (supplementary material): the input and the recurrent product of each
gate are normalised by themselves, and so is the cell state on its way out.

The cell layernorm_lstm as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``. Written by symcell 0.1.0 from the
equations in ``EQUATIONS``; change those and generate it again rather than edit it here.
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
    return Params(cp.asarray(flat.astype(kind)), sizes)


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
            self.order, self.back = cp.asarray(order), cp.asarray(np.argsort(order, kind="stable"))
            rows = [t * batch + order[:n] for t, n in enumerate(counts)]
            self.index = cp.asarray(np.concatenate([np.zeros(0, int), *rows]))
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
        return cp.asarray(np.concatenate([np.zeros(0, int), *rows]))

    def rows(self, x: Any) -> Any:
        """(T, B, n) as rows, padding left out."""
        flat = x.reshape(self.steps * self.batch, x.shape[2])
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
        """(…, B, n) with the samples in the order of their rows."""
        return state if self.order is None else state[..., self.order, :]

    def unsort(self, state: Any) -> Any:
        return state if self.back is None else state[..., self.back, :]

    def first(self, starts: list[int], depth: int) -> Any:
        """The rows of the ``depth`` steps before the sequence, as an index (depth, B)."""
        return cp.asarray(np.array(starts[:depth])[:, None] + np.arange(self.batch))

    def last(self, starts: list[int], depth: int) -> Any:
        """The rows of each sample's own last ``depth`` steps (of a buffer shifted by ``depth``), as an index (depth, B)."""
        step = self.ends + np.arange(depth)[:, None]
        return cp.asarray(np.array(starts)[step] + np.arange(self.batch))


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
    W_i_x_W_f_x_W_g_x_W_o_x = cp.empty((pack.room(0, True), 4*H), dtype)
    U_i_h_U_f_h_U_g_h_U_o_h = cp.empty((pack.room(0, False), 4*H), dtype)
    centred_U_i_h = cp.empty((pack.room(0, keep_tape), H), dtype)
    sqrt_a_i_3 = cp.empty((pack.room(0, keep_tape), 1), dtype)
    centred_W_i_x = cp.empty((pack.room(0, True), H), dtype)
    sqrt_a_i_5 = cp.empty((pack.room(0, True), 1), dtype)
    a_i_6_in = cp.empty((pack.room(0, True), H), dtype)
    centred_U_f_h = cp.empty((pack.room(0, keep_tape), H), dtype)
    sqrt_a_f_3 = cp.empty((pack.room(0, keep_tape), 1), dtype)
    centred_W_f_x = cp.empty((pack.room(0, True), H), dtype)
    sqrt_a_f_5 = cp.empty((pack.room(0, True), 1), dtype)
    a_f_6_in = cp.empty((pack.room(0, True), H), dtype)
    c = cp.empty((pack.room(1, keep_tape), H), dtype)
    centred_U_g_h = cp.empty((pack.room(0, keep_tape), H), dtype)
    sqrt_a_g_3 = cp.empty((pack.room(0, keep_tape), 1), dtype)
    centred_W_g_x = cp.empty((pack.room(0, True), H), dtype)
    sqrt_a_g_5 = cp.empty((pack.room(0, True), 1), dtype)
    a_g_6_in = cp.empty((pack.room(0, True), H), dtype)
    centred_U_o_h = cp.empty((pack.room(0, keep_tape), H), dtype)
    sqrt_a_o_3 = cp.empty((pack.room(0, keep_tape), 1), dtype)
    centred_W_o_x = cp.empty((pack.room(0, True), H), dtype)
    sqrt_a_o_5 = cp.empty((pack.room(0, True), 1), dtype)
    a_o_6_in = cp.empty((pack.room(0, True), H), dtype)
    h = cp.empty((pack.room(1, True), H), dtype)
    sum_c = cp.empty((pack.room(0, keep_tape), 1), dtype)
    centred_c = cp.empty((pack.room(0, False), H), dtype)
    sqrt_a_h_2 = cp.empty((pack.room(0, keep_tape), 1), dtype)
    h[pack.first(at_1, 1)] = _start_of("h", given, params, pack)
    c[pack.first(kept_1, 1)] = _start_of("c", given, params, pack)
    kernels = _kernels(dtype)
    W_i_to_W_o = params.stack("W_i", "W_o")
    a_i = params.stack("a_i", "a_i")
    b_i = params.stack("b_i", "b_i")
    a_f = params.stack("a_f", "a_f")
    b_f = params.stack("b_f", "b_f")
    a_g = params.stack("a_g", "a_g")
    b_g = params.stack("b_g", "b_g")
    a_o = params.stack("a_o", "a_o")
    b_o = params.stack("b_o", "b_o")
    U_i_to_U_o = params.stack("U_i", "U_o")
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
    cp.matmul(x_rows, W_i_to_W_o.T, out=W_i_x_W_f_x_W_g_x_W_o_x)
    # sum_W_i_x[t] = sum(W_i_x[t])
    # sum_W_f_x[t] = sum(W_f_x[t])
    # sum_W_g_x[t] = sum(W_g_x[t])
    # sum_W_o_x[t] = sum(W_o_x[t])
    # centred_W_i_x[t] = W_i_x[t] - sum_W_i_x[t]/H
    # centred_W_f_x[t] = W_f_x[t] - sum_W_f_x[t]/H
    # centred_W_g_x[t] = W_g_x[t] - sum_W_g_x[t]/H
    # centred_W_o_x[t] = W_o_x[t] - sum_W_o_x[t]/H
    # a_i_4[t] = centred_W_i_x[t]**2
    # a_f_4[t] = centred_W_f_x[t]**2
    # a_g_4[t] = centred_W_g_x[t]**2
    # a_o_4[t] = centred_W_o_x[t]**2
    # sum_a_i_4[t] = sum(a_i_4[t])
    # sum_a_f_4[t] = sum(a_f_4[t])
    # sum_a_g_4[t] = sum(a_g_4[t])
    # sum_a_o_4[t] = sum(a_o_4[t])
    # a_i_5[t] = sum_a_i_4[t]/H + 1.0e-5
    # a_f_5[t] = sum_a_f_4[t]/H + 1.0e-5
    # a_g_5[t] = sum_a_g_4[t]/H + 1.0e-5
    # a_o_5[t] = sum_a_o_4[t]/H + 1.0e-5
    # sqrt_a_i_5[t] = sqrt(a_i_5[t])
    # sqrt_a_f_5[t] = sqrt(a_f_5[t])
    # sqrt_a_g_5[t] = sqrt(a_g_5[t])
    # sqrt_a_o_5[t] = sqrt(a_o_5[t])
    # a_i_6_in[t] = centred_W_i_x[t]*a_i/sqrt_a_i_5[t] + b_i
    # a_f_6_in[t] = centred_W_f_x[t]*a_f/sqrt_a_f_5[t] + b_f
    # a_g_6_in[t] = centred_W_g_x[t]*a_g/sqrt_a_g_5[t] + b_g
    # a_o_6_in[t] = centred_W_o_x[t]*a_o/sqrt_a_o_5[t] + b_o
    _launch_rows(kernels.forward_1, pack.size, H, W_i_x_W_f_x_W_g_x_W_o_x, 0, H, centred_W_i_x, 0, centred_W_f_x, 0, centred_W_g_x, 0, centred_W_o_x, 0, sqrt_a_i_5, 0, sqrt_a_f_5, 0, sqrt_a_g_5, 0, sqrt_a_o_5, 0, a_i, b_i, a_f, b_f, a_g, b_g, a_o, b_o, a_i_6_in, 0, a_f_6_in, 0, a_g_6_in, 0, a_o_6_in, 0)

    for t, n in enumerate(pack.counts):
        # U_i_h[t] = U_i @ h[t-1]
        # U_f_h[t] = U_f @ h[t-1]
        # U_g_h[t] = U_g @ h[t-1]
        # U_o_h[t] = U_o @ h[t-1]
        h_t1 = h[at_1[t] : at_1[t] + n]
        U_i_h_U_f_h_U_g_h_U_o_h_t = U_i_h_U_f_h_U_g_h_U_o_h[:n]
        cp.matmul(h_t1, U_i_to_U_o.T, out=U_i_h_U_f_h_U_g_h_U_o_h_t)
        # sum_U_i_h[t] = sum(U_i_h[t])
        # sum_U_f_h[t] = sum(U_f_h[t])
        # sum_U_g_h[t] = sum(U_g_h[t])
        # sum_U_o_h[t] = sum(U_o_h[t])
        # centred_U_i_h[t] = U_i_h[t] - sum_U_i_h[t]/H
        # centred_U_f_h[t] = U_f_h[t] - sum_U_f_h[t]/H
        # centred_U_g_h[t] = U_g_h[t] - sum_U_g_h[t]/H
        # centred_U_o_h[t] = U_o_h[t] - sum_U_o_h[t]/H
        # a_i_2[t] = centred_U_i_h[t]**2
        # a_f_2[t] = centred_U_f_h[t]**2
        # a_g_2[t] = centred_U_g_h[t]**2
        # a_o_2[t] = centred_U_o_h[t]**2
        # sum_a_i_2[t] = sum(a_i_2[t])
        # sum_a_f_2[t] = sum(a_f_2[t])
        # sum_a_g_2[t] = sum(a_g_2[t])
        # sum_a_o_2[t] = sum(a_o_2[t])
        # a_i_3[t] = sum_a_i_2[t]/H + 1.0e-5
        # a_f_3[t] = sum_a_f_2[t]/H + 1.0e-5
        # a_g_3[t] = sum_a_g_2[t]/H + 1.0e-5
        # a_o_3[t] = sum_a_o_2[t]/H + 1.0e-5
        # sqrt_a_i_3[t] = sqrt(a_i_3[t])
        # sqrt_a_f_3[t] = sqrt(a_f_3[t])
        # sqrt_a_g_3[t] = sqrt(a_g_3[t])
        # sqrt_a_o_3[t] = sqrt(a_o_3[t])
        # a_i_6[t] = a_i_6_in[t] + centred_U_i_h[t]*d_i/sqrt_a_i_3[t]
        # a_f_6[t] = a_f_6_in[t] + centred_U_f_h[t]*d_f/sqrt_a_f_3[t]
        # a_g_6[t] = a_g_6_in[t] + centred_U_g_h[t]*d_g/sqrt_a_g_3[t]
        # a_o_6[t] = a_o_6_in[t] + centred_U_o_h[t]*d_o/sqrt_a_o_3[t]
        # i[t] = sigmoid(a_i_6[t]) (input gate)
        # f[t] = sigmoid(a_f_6[t]) (forget gate)
        # g[t] = tanh(a_g_6[t]) (candidate)
        # o[t] = sigmoid(a_o_6[t]) (output gate)
        # c[t] = c[t-1]*f[t] + g[t]*i[t] (cell state)
        # sum_c[t] = sum(c[t])
        # centred_c[t] = c[t] - sum_c[t]/H
        # a_h[t] = centred_c[t]**2
        # sum_a_h[t] = sum(a_h[t])
        # a_h_2[t] = sum_a_h[t]/H + 1.0e-5
        # sqrt_a_h_2[t] = sqrt(a_h_2[t])
        # a_h_3[t] = centred_c[t]*a_c/sqrt_a_h_2[t] + b_c
        # tanh_a_h_3[t] = tanh(a_h_3[t])
        # h[t] = o[t]*tanh_a_h_3[t] (hidden state)
        _launch_rows(kernels.forward_2, n, H, U_i_h_U_f_h_U_g_h_U_o_h, 0, H, centred_U_i_h, kept_0[t], centred_U_f_h, kept_0[t], centred_U_g_h, kept_0[t], centred_U_o_h, kept_0[t], sqrt_a_i_3, kept_0[t], sqrt_a_f_3, kept_0[t], sqrt_a_g_3, kept_0[t], sqrt_a_o_3, kept_0[t], d_i, a_i_6_in, at_0[t], d_f, a_f_6_in, at_0[t], d_g, a_g_6_in, at_0[t], d_o, a_o_6_in, at_0[t], c, kept_1[t], h, at_1[t + 1], c, kept_1[t + 1], sum_c, kept_0[t], centred_c, 0, sqrt_a_h_2, kept_0[t], a_c, b_c)

    h_all = h[1 * batch :]

    last = {
        "h": _state_of("h", h[pack.last(at_1, 1)], pack),
        "c": _state_of("c", c[pack.last(kept_1, 1)], pack),
    }
    learned = tuple(name for name in LEARNED if name not in given)
    tape = Tape(pack, params.sizes, dtype, learned, (c, centred_U_f_h, centred_U_g_h, centred_U_i_h, centred_U_o_h, centred_W_f_x, centred_W_g_x, centred_W_i_x, centred_W_o_x, h, sqrt_a_f_3, sqrt_a_f_5, sqrt_a_g_3, sqrt_a_g_5, sqrt_a_h_2, sqrt_a_i_3, sqrt_a_i_5, sqrt_a_o_3, sqrt_a_o_5, sum_c, x_rows,)) if keep_tape else None
    return pack.sequence(h_all), last, tape


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
    dy = cp.zeros((steps, batch, size), dtype) if dy is None else _array("dy", dy, (steps, batch, size), dtype)
    given = _check_state("dlast", dlast, batch, params)
    grads = Params(cp.zeros(params.flat.shape, dtype), params.sizes)
    D = params.sizes["D"]
    H = params.sizes["H"]
    ring_0 = pack.starts(0, False)
    at_0 = pack.starts(0, True)
    ring_1 = pack.starts(1, False)
    at_1 = pack.starts(1, True)

    dy_rows = pack.rows(dy)
    (c_rows, centred_U_f_h_rows, centred_U_g_h_rows, centred_U_i_h_rows, centred_U_o_h_rows, centred_W_f_x_rows, centred_W_g_x_rows, centred_W_i_x_rows, centred_W_o_x_rows, h_rows, sqrt_a_f_3_rows, sqrt_a_f_5_rows, sqrt_a_g_3_rows, sqrt_a_g_5_rows, sqrt_a_h_2_rows, sqrt_a_i_3_rows, sqrt_a_i_5_rows, sqrt_a_o_3_rows, sqrt_a_o_5_rows, sum_c_rows, x_rows,) = tape.arrays
    i = cp.zeros((pack.room(0, False), H), dtype)
    g = cp.zeros((pack.room(0, False), H), dtype)
    centred_c = cp.zeros((pack.room(0, True), H), dtype)
    dU_i_h_to_dU_o_h = cp.zeros((pack.room(0, True), 4*H), dtype)
    dW_i_x_to_dW_o_x = cp.zeros((pack.room(0, True), 4*H), dtype)
    f = cp.zeros((pack.room(0, False), H), dtype)
    da_h_3 = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_c = cp.zeros((pack.room(0, False), H), dtype)
    da_o_6 = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_W_o_x = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_U_o_h = cp.zeros((pack.room(0, False), H), dtype)
    da_g_6 = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_W_g_x = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_U_g_h = cp.zeros((pack.room(0, False), H), dtype)
    da_f_6 = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_W_f_x = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_U_f_h = cp.zeros((pack.room(0, False), H), dtype)
    da_i_6 = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_W_i_x = cp.zeros((pack.room(0, True), H), dtype)
    dcentred_U_i_h = cp.zeros((pack.room(0, False), H), dtype)
    dx_ = cp.zeros((pack.room(0, True), D), dtype)
    da_i_each = cp.zeros((pack.room(0, True), H), dtype)
    dd_i_each = cp.zeros((pack.room(0, True), H), dtype)
    da_f_each = cp.zeros((pack.room(0, True), H), dtype)
    dd_f_each = cp.zeros((pack.room(0, True), H), dtype)
    da_g_each = cp.zeros((pack.room(0, True), H), dtype)
    dd_g_each = cp.zeros((pack.room(0, True), H), dtype)
    da_o_each = cp.zeros((pack.room(0, True), H), dtype)
    dd_o_each = cp.zeros((pack.room(0, True), H), dtype)
    da_c_each = cp.zeros((pack.room(0, True), H), dtype)
    dh_back = cp.zeros((pack.room(1, False), H), dtype)
    dc_via = cp.zeros((pack.room(1, False), H), dtype)
    if "h" in given:
        dh_back[pack.last(ring_1, 1)] = pack.sort(_steps_of(given["h"]))
    if "c" in given:
        dc_via[pack.last(ring_1, 1)] = pack.sort(_steps_of(given["c"]))
    kernels = _kernels(dtype)
    d_i = params.stack("d_i", "d_i")
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
    U_i_to_U_o = params.stack("U_i", "U_o")
    W_i_to_W_o = params.stack("W_i", "W_o")
    ones = cp.ones((1, pack.size), dtype)

    for t, n in reversed(list(enumerate(pack.counts))):
        # a_i_6[t] = centred_U_i_h[t]*d_i/sqrt_a_i_3[t] + centred_W_i_x[t]*a_i/sqrt_a_i_5[t] + b_i
        # a_f_6[t] = centred_U_f_h[t]*d_f/sqrt_a_f_3[t] + centred_W_f_x[t]*a_f/sqrt_a_f_5[t] + b_f
        # a_g_6[t] = centred_U_g_h[t]*d_g/sqrt_a_g_3[t] + centred_W_g_x[t]*a_g/sqrt_a_g_5[t] + b_g
        # a_o_6[t] = centred_U_o_h[t]*d_o/sqrt_a_o_3[t] + centred_W_o_x[t]*a_o/sqrt_a_o_5[t] + b_o
        # centred_c[t] = c[t] - sum_c[t]/H
        # dh[t] = dh_back[t+1] + dy[t]
        # i[t] = sigmoid(a_i_6[t]) (input gate)
        # f[t] = sigmoid(a_f_6[t]) (forget gate)
        # g[t] = tanh(a_g_6[t]) (candidate)
        # o[t] = sigmoid(a_o_6[t]) (output gate)
        # a_h_3[t] = centred_c[t]*a_c/sqrt_a_h_2[t] + b_c
        # tanh_a_h_3[t] = tanh(a_h_3[t])
        # dtanh_a_h_3[t] = dh[t]*o[t]
        # da_h_3[t] = dtanh_a_h_3[t]*(1 - tanh_a_h_3[t]**2)
        # do[t] = dh[t]*tanh_a_h_3[t]
        # dsqrt_a_h_2_each[t] = -centred_c[t]*da_h_3[t]*a_c/sqrt_a_h_2[t]**2
        # da_o_6[t] = do[t]*o[t]*(1 - o[t])
        # dsqrt_a_h_2_sum[t] = sum(dsqrt_a_h_2_each[t])
        # dsqrt_a_o_3_each[t] = -centred_U_o_h[t]*da_o_6[t]*d_o/sqrt_a_o_3[t]**2
        # da_h_2[t] = dsqrt_a_h_2_sum[t]/(2*sqrt_a_h_2[t])
        # dsqrt_a_o_3_sum[t] = sum(dsqrt_a_o_3_each[t])
        # dsum_a_h[t] = da_h_2[t]/H
        # da_o_3[t] = dsqrt_a_o_3_sum[t]/(2*sqrt_a_o_3[t])
        # da_h[t] = dsum_a_h[t]
        # dsum_a_o_2[t] = da_o_3[t]/H
        # dcentred_c[t] = 2*centred_c[t]*da_h[t] + da_h_3[t]*a_c/sqrt_a_h_2[t]
        # da_o_2[t] = dsum_a_o_2[t]
        # dsum_c_each[t] = -dcentred_c[t]/H
        # dcentred_U_o_h[t] = 2*centred_U_o_h[t]*da_o_2[t] + da_o_6[t]*d_o/sqrt_a_o_3[t]
        # dsum_c_sum[t] = sum(dsum_c_each[t])
        # dsum_U_o_h_each[t] = -dcentred_U_o_h[t]/H
        # dc[t] = dc_via[t+1] + dcentred_c[t] + dsum_c_sum[t]
        # dsum_U_o_h_sum[t] = sum(dsum_U_o_h_each[t])
        # dU_o_h[t] = dcentred_U_o_h[t] + dsum_U_o_h_sum[t]
        # dg[t] = dc[t]*i[t]
        # df[t] = c[t-1]*dc[t]
        # di[t] = dc[t]*g[t]
        # dc_via[t] = dc[t]*f[t]
        # da_g_6[t] = dg[t]*(1 - g[t]**2)
        # da_f_6[t] = df[t]*f[t]*(1 - f[t])
        # da_i_6[t] = di[t]*i[t]*(1 - i[t])
        # dsqrt_a_g_3_each[t] = -centred_U_g_h[t]*da_g_6[t]*d_g/sqrt_a_g_3[t]**2
        # dsqrt_a_f_3_each[t] = -centred_U_f_h[t]*da_f_6[t]*d_f/sqrt_a_f_3[t]**2
        # dsqrt_a_i_3_each[t] = -centred_U_i_h[t]*da_i_6[t]*d_i/sqrt_a_i_3[t]**2
        # dsqrt_a_g_3_sum[t] = sum(dsqrt_a_g_3_each[t])
        # dsqrt_a_f_3_sum[t] = sum(dsqrt_a_f_3_each[t])
        # dsqrt_a_i_3_sum[t] = sum(dsqrt_a_i_3_each[t])
        # da_g_3[t] = dsqrt_a_g_3_sum[t]/(2*sqrt_a_g_3[t])
        # da_f_3[t] = dsqrt_a_f_3_sum[t]/(2*sqrt_a_f_3[t])
        # da_i_3[t] = dsqrt_a_i_3_sum[t]/(2*sqrt_a_i_3[t])
        # dsum_a_g_2[t] = da_g_3[t]/H
        # dsum_a_f_2[t] = da_f_3[t]/H
        # dsum_a_i_2[t] = da_i_3[t]/H
        # da_g_2[t] = dsum_a_g_2[t]
        # da_f_2[t] = dsum_a_f_2[t]
        # da_i_2[t] = dsum_a_i_2[t]
        # dcentred_U_g_h[t] = 2*centred_U_g_h[t]*da_g_2[t] + da_g_6[t]*d_g/sqrt_a_g_3[t]
        # dcentred_U_f_h[t] = 2*centred_U_f_h[t]*da_f_2[t] + da_f_6[t]*d_f/sqrt_a_f_3[t]
        # dcentred_U_i_h[t] = 2*centred_U_i_h[t]*da_i_2[t] + da_i_6[t]*d_i/sqrt_a_i_3[t]
        # dsum_U_g_h_each[t] = -dcentred_U_g_h[t]/H
        # dsum_U_f_h_each[t] = -dcentred_U_f_h[t]/H
        # dsum_U_i_h_each[t] = -dcentred_U_i_h[t]/H
        # dsum_U_g_h_sum[t] = sum(dsum_U_g_h_each[t])
        # dsum_U_f_h_sum[t] = sum(dsum_U_f_h_each[t])
        # dsum_U_i_h_sum[t] = sum(dsum_U_i_h_each[t])
        # dU_g_h[t] = dcentred_U_g_h[t] + dsum_U_g_h_sum[t]
        # dU_f_h[t] = dcentred_U_f_h[t] + dsum_U_f_h_sum[t]
        # dU_i_h[t] = dcentred_U_i_h[t] + dsum_U_i_h_sum[t]
        _launch_rows(kernels.backward_1, n, H, centred_U_i_h_rows, at_0[t], H, d_i, sqrt_a_i_3_rows, at_0[t], centred_W_i_x_rows, at_0[t], a_i, sqrt_a_i_5_rows, at_0[t], b_i, centred_U_f_h_rows, at_0[t], d_f, sqrt_a_f_3_rows, at_0[t], centred_W_f_x_rows, at_0[t], a_f, sqrt_a_f_5_rows, at_0[t], b_f, centred_U_g_h_rows, at_0[t], d_g, sqrt_a_g_3_rows, at_0[t], centred_W_g_x_rows, at_0[t], a_g, sqrt_a_g_5_rows, at_0[t], b_g, centred_U_o_h_rows, at_0[t], d_o, sqrt_a_o_3_rows, at_0[t], centred_W_o_x_rows, at_0[t], a_o, sqrt_a_o_5_rows, at_0[t], b_o, c_rows, at_1[t + 1], sum_c_rows, at_0[t], dh_back, ring_1[t + 1], dy_rows, at_0[t], a_c, sqrt_a_h_2_rows, at_0[t], b_c, centred_c, at_0[t], i, 0, f, 0, g, 0, da_h_3, at_0[t], da_o_6, at_0[t], dcentred_c, 0, dcentred_U_o_h, 0, dc_via, ring_1[t + 1], c_rows, at_1[t], dU_i_h_to_dU_o_h, at_0[t], dc_via, ring_1[t], da_g_6, at_0[t], da_f_6, at_0[t], da_i_6, at_0[t], dcentred_U_g_h, 0, dcentred_U_f_h, 0, dcentred_U_i_h, 0)
        # dh_back[t] = U_i.T @ dU_i_h[t] + U_f.T @ dU_f_h[t] + U_g.T @ dU_g_h[t] + U_o.T @ dU_o_h[t]
        dU_i_h_to_dU_o_h_t = dU_i_h_to_dU_o_h[at_0[t] : at_0[t] + n]
        dh_back_t = dh_back[ring_1[t] : ring_1[t] + n]
        cp.matmul(dU_i_h_to_dU_o_h_t, U_i_to_U_o, out=dh_back_t)

    # dsqrt_a_o_5_each[t] = -centred_W_o_x[t]*da_o_6[t]*a_o/sqrt_a_o_5[t]**2
    # dsqrt_a_g_5_each[t] = -centred_W_g_x[t]*da_g_6[t]*a_g/sqrt_a_g_5[t]**2
    # dsqrt_a_f_5_each[t] = -centred_W_f_x[t]*da_f_6[t]*a_f/sqrt_a_f_5[t]**2
    # dsqrt_a_i_5_each[t] = -centred_W_i_x[t]*da_i_6[t]*a_i/sqrt_a_i_5[t]**2
    # da_i_each[t] = centred_W_i_x[t]*da_i_6[t]/sqrt_a_i_5[t]
    # dd_i_each[t] = centred_U_i_h[t]*da_i_6[t]/sqrt_a_i_3[t]
    # da_f_each[t] = centred_W_f_x[t]*da_f_6[t]/sqrt_a_f_5[t]
    # dd_f_each[t] = centred_U_f_h[t]*da_f_6[t]/sqrt_a_f_3[t]
    # da_g_each[t] = centred_W_g_x[t]*da_g_6[t]/sqrt_a_g_5[t]
    # dd_g_each[t] = centred_U_g_h[t]*da_g_6[t]/sqrt_a_g_3[t]
    # da_o_each[t] = centred_W_o_x[t]*da_o_6[t]/sqrt_a_o_5[t]
    # dd_o_each[t] = centred_U_o_h[t]*da_o_6[t]/sqrt_a_o_3[t]
    # da_c_each[t] = centred_c[t]*da_h_3[t]/sqrt_a_h_2[t]
    # dsqrt_a_o_5_sum[t] = sum(dsqrt_a_o_5_each[t])
    # dsqrt_a_g_5_sum[t] = sum(dsqrt_a_g_5_each[t])
    # dsqrt_a_f_5_sum[t] = sum(dsqrt_a_f_5_each[t])
    # dsqrt_a_i_5_sum[t] = sum(dsqrt_a_i_5_each[t])
    # da_o_5[t] = dsqrt_a_o_5_sum[t]/(2*sqrt_a_o_5[t])
    # da_g_5[t] = dsqrt_a_g_5_sum[t]/(2*sqrt_a_g_5[t])
    # da_f_5[t] = dsqrt_a_f_5_sum[t]/(2*sqrt_a_f_5[t])
    # da_i_5[t] = dsqrt_a_i_5_sum[t]/(2*sqrt_a_i_5[t])
    # dsum_a_o_4[t] = da_o_5[t]/H
    # dsum_a_g_4[t] = da_g_5[t]/H
    # dsum_a_f_4[t] = da_f_5[t]/H
    # dsum_a_i_4[t] = da_i_5[t]/H
    # da_o_4[t] = dsum_a_o_4[t]
    # da_g_4[t] = dsum_a_g_4[t]
    # da_f_4[t] = dsum_a_f_4[t]
    # da_i_4[t] = dsum_a_i_4[t]
    # dcentred_W_o_x[t] = 2*centred_W_o_x[t]*da_o_4[t] + da_o_6[t]*a_o/sqrt_a_o_5[t]
    # dcentred_W_g_x[t] = 2*centred_W_g_x[t]*da_g_4[t] + da_g_6[t]*a_g/sqrt_a_g_5[t]
    # dcentred_W_f_x[t] = 2*centred_W_f_x[t]*da_f_4[t] + da_f_6[t]*a_f/sqrt_a_f_5[t]
    # dcentred_W_i_x[t] = 2*centred_W_i_x[t]*da_i_4[t] + da_i_6[t]*a_i/sqrt_a_i_5[t]
    # dsum_W_o_x_each[t] = -dcentred_W_o_x[t]/H
    # dsum_W_g_x_each[t] = -dcentred_W_g_x[t]/H
    # dsum_W_f_x_each[t] = -dcentred_W_f_x[t]/H
    # dsum_W_i_x_each[t] = -dcentred_W_i_x[t]/H
    # dsum_W_o_x_sum[t] = sum(dsum_W_o_x_each[t])
    # dsum_W_g_x_sum[t] = sum(dsum_W_g_x_each[t])
    # dsum_W_f_x_sum[t] = sum(dsum_W_f_x_each[t])
    # dsum_W_i_x_sum[t] = sum(dsum_W_i_x_each[t])
    # dW_o_x[t] = dcentred_W_o_x[t] + dsum_W_o_x_sum[t]
    # dW_g_x[t] = dcentred_W_g_x[t] + dsum_W_g_x_sum[t]
    # dW_f_x[t] = dcentred_W_f_x[t] + dsum_W_f_x_sum[t]
    # dW_i_x[t] = dcentred_W_i_x[t] + dsum_W_i_x_sum[t]
    _launch_rows(kernels.backward_2, pack.size, H, centred_W_o_x_rows, 0, H, da_o_6, 0, a_o, sqrt_a_o_5_rows, 0, centred_W_g_x_rows, 0, da_g_6, 0, a_g, sqrt_a_g_5_rows, 0, centred_W_f_x_rows, 0, da_f_6, 0, a_f, sqrt_a_f_5_rows, 0, centred_W_i_x_rows, 0, da_i_6, 0, a_i, sqrt_a_i_5_rows, 0, centred_U_i_h_rows, 0, sqrt_a_i_3_rows, 0, centred_U_f_h_rows, 0, sqrt_a_f_3_rows, 0, centred_U_g_h_rows, 0, sqrt_a_g_3_rows, 0, centred_U_o_h_rows, 0, sqrt_a_o_3_rows, 0, centred_c, 0, da_h_3, 0, sqrt_a_h_2_rows, 0, da_i_each, 0, dd_i_each, 0, da_f_each, 0, dd_f_each, 0, da_g_each, 0, dd_g_each, 0, da_o_each, 0, dd_o_each, 0, da_c_each, 0, dcentred_W_o_x, 0, dcentred_W_g_x, 0, dcentred_W_f_x, 0, dcentred_W_i_x, 0, dW_i_x_to_dW_o_x, 0)
    # dx[t] = W_i.T @ dW_i_x[t] + W_f.T @ dW_f_x[t] + W_g.T @ dW_g_x[t] + W_o.T @ dW_o_x[t]
    cp.matmul(dW_i_x_to_dW_o_x, W_i_to_W_o, out=dx_)

    # dW_i = sum of dW_i_x[t] ⊗ x[t]
    # dW_f = sum of dW_f_x[t] ⊗ x[t]
    # dW_g = sum of dW_g_x[t] ⊗ x[t]
    # dW_o = sum of dW_o_x[t] ⊗ x[t]
    dW_i_to_dW_o = grads.stack("W_i", "W_o")
    cp.matmul(dW_i_x_to_dW_o_x.T, x_rows, out=dW_i_to_dW_o)
    # dU_i = sum of dU_i_h[t] ⊗ h[t-1]
    # dU_f = sum of dU_f_h[t] ⊗ h[t-1]
    # dU_g = sum of dU_g_h[t] ⊗ h[t-1]
    # dU_o = sum of dU_o_h[t] ⊗ h[t-1]
    h_t1 = h_rows[pack.past(1, 1)]
    dU_i_to_dU_o = grads.stack("U_i", "U_o")
    cp.matmul(dU_i_h_to_dU_o_h.T, h_t1, out=dU_i_to_dU_o)
    # da_i = sum of da_i_each[t]
    da_i = grads.stack("a_i", "a_i")
    cp.matmul(ones, da_i_each, out=da_i.reshape(1, -1))
    # dd_i = sum of dd_i_each[t]
    dd_i = grads.stack("d_i", "d_i")
    cp.matmul(ones, dd_i_each, out=dd_i.reshape(1, -1))
    # db_i = sum of da_i_6[t]
    db_i = grads.stack("b_i", "b_i")
    cp.matmul(ones, da_i_6, out=db_i.reshape(1, -1))
    # da_f = sum of da_f_each[t]
    da_f = grads.stack("a_f", "a_f")
    cp.matmul(ones, da_f_each, out=da_f.reshape(1, -1))
    # dd_f = sum of dd_f_each[t]
    dd_f = grads.stack("d_f", "d_f")
    cp.matmul(ones, dd_f_each, out=dd_f.reshape(1, -1))
    # db_f = sum of da_f_6[t]
    db_f = grads.stack("b_f", "b_f")
    cp.matmul(ones, da_f_6, out=db_f.reshape(1, -1))
    # da_g = sum of da_g_each[t]
    da_g = grads.stack("a_g", "a_g")
    cp.matmul(ones, da_g_each, out=da_g.reshape(1, -1))
    # dd_g = sum of dd_g_each[t]
    dd_g = grads.stack("d_g", "d_g")
    cp.matmul(ones, dd_g_each, out=dd_g.reshape(1, -1))
    # db_g = sum of da_g_6[t]
    db_g = grads.stack("b_g", "b_g")
    cp.matmul(ones, da_g_6, out=db_g.reshape(1, -1))
    # da_o = sum of da_o_each[t]
    da_o = grads.stack("a_o", "a_o")
    cp.matmul(ones, da_o_each, out=da_o.reshape(1, -1))
    # dd_o = sum of dd_o_each[t]
    dd_o = grads.stack("d_o", "d_o")
    cp.matmul(ones, dd_o_each, out=dd_o.reshape(1, -1))
    # db_o = sum of da_o_6[t]
    db_o = grads.stack("b_o", "b_o")
    cp.matmul(ones, da_o_6, out=db_o.reshape(1, -1))
    # da_c = sum of da_c_each[t]
    da_c = grads.stack("a_c", "a_c")
    cp.matmul(ones, da_c_each, out=da_c.reshape(1, -1))
    # db_c = sum of da_h_3[t]
    db_c = grads.stack("b_c", "b_c")
    cp.matmul(ones, da_h_3, out=db_c.reshape(1, -1))

    start = {name: cp.zeros(_steps_shape(name, batch, params.sizes), dtype) for name in STATES}
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
    return cp.zeros((1, 1, 1), params.flat.dtype)


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
    if not isinstance(value, cp.ndarray):
        raise TypeError(f"{name}: expected a CuPy array (cp.asarray makes one), got {type(value).__name__}")
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
    packed = Params(cp.empty(count, kind), sizes)
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
    found = cp.asnumpy(lengths)
    if found.shape != (batch,) or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"lengths: expected {batch} integers, got {found.dtype} of shape {found.shape}")
    found = found.astype(int)
    if found.size and (found.min() < 0 or found.max() > steps):
        raise ValueError(f"lengths: expected numbers from 0 to T = {steps}, got {found.min()} to {found.max()}")
    return None if (found == steps).all() else found


KERNELS = ("forward_1", "forward_2", "backward_1", "backward_2")
CUDA = r"""
// Neither form of the sigmoid overflows into NaN: exp(-v) may be infinite, then the result is 0.
__device__ inline real sigmoid(real v) { return 1 / (1 + exp(-v)); }
// The sum over a block of one value per thread, known to every thread; the block is a power of two wide.
__device__ inline real block_sum(real value) {
    __shared__ real shared[256];
    shared[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    const real result = shared[0];
    __syncthreads();
    return result;
}

extern "C" __global__ void forward_1(
    long long rows,
    real* W_i_x_W_f_x_W_g_x_W_o_x_t,
    long long W_i_x_W_f_x_W_g_x_W_o_x_t_at,
    long long H,
    real* centred_W_i_x_t,
    long long centred_W_i_x_t_at,
    real* centred_W_f_x_t,
    long long centred_W_f_x_t_at,
    real* centred_W_g_x_t,
    long long centred_W_g_x_t_at,
    real* centred_W_o_x_t,
    long long centred_W_o_x_t_at,
    real* sqrt_a_i_5_t,
    long long sqrt_a_i_5_t_at,
    real* sqrt_a_f_5_t,
    long long sqrt_a_f_5_t_at,
    real* sqrt_a_g_5_t,
    long long sqrt_a_g_5_t_at,
    real* sqrt_a_o_5_t,
    long long sqrt_a_o_5_t_at,
    const real* a_i,
    const real* b_i,
    const real* a_f,
    const real* b_f,
    const real* a_g,
    const real* b_g,
    const real* a_o,
    const real* b_o,
    real* a_i_6_in_t,
    long long a_i_6_in_t_at,
    real* a_f_6_in_t,
    long long a_f_6_in_t_at,
    real* a_g_6_in_t,
    long long a_g_6_in_t_at,
    real* a_o_6_in_t,
    long long a_o_6_in_t_at) {
    const long long row = blockIdx.x;
    real* W_i_x_W_f_x_W_g_x_W_o_x_t_row = W_i_x_W_f_x_W_g_x_W_o_x_t + (W_i_x_W_f_x_W_g_x_W_o_x_t_at + row) * (4*H);
    real* centred_W_i_x_t_row = centred_W_i_x_t + (centred_W_i_x_t_at + row) * H;
    real* centred_W_f_x_t_row = centred_W_f_x_t + (centred_W_f_x_t_at + row) * H;
    real* centred_W_g_x_t_row = centred_W_g_x_t + (centred_W_g_x_t_at + row) * H;
    real* centred_W_o_x_t_row = centred_W_o_x_t + (centred_W_o_x_t_at + row) * H;
    real* sqrt_a_i_5_t_row = sqrt_a_i_5_t + (sqrt_a_i_5_t_at + row) * 1;
    real* sqrt_a_f_5_t_row = sqrt_a_f_5_t + (sqrt_a_f_5_t_at + row) * 1;
    real* sqrt_a_g_5_t_row = sqrt_a_g_5_t + (sqrt_a_g_5_t_at + row) * 1;
    real* sqrt_a_o_5_t_row = sqrt_a_o_5_t + (sqrt_a_o_5_t_at + row) * 1;
    real* a_i_6_in_t_row = a_i_6_in_t + (a_i_6_in_t_at + row) * H;
    real* a_f_6_in_t_row = a_f_6_in_t + (a_f_6_in_t_at + row) * H;
    real* a_g_6_in_t_row = a_g_6_in_t + (a_g_6_in_t_at + row) * H;
    real* a_o_6_in_t_row = a_o_6_in_t + (a_o_6_in_t_at + row) * H;

    real partial_sum_W_i_x = 0;
    real partial_sum_W_f_x = 0;
    real partial_sum_W_g_x = 0;
    real partial_sum_W_o_x = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        partial_sum_W_i_x = partial_sum_W_i_x + W_i_x_W_f_x_W_g_x_W_o_x_t_row[unit];
        partial_sum_W_f_x = partial_sum_W_f_x + W_i_x_W_f_x_W_g_x_W_o_x_t_row[H + unit];
        partial_sum_W_g_x = partial_sum_W_g_x + W_i_x_W_f_x_W_g_x_W_o_x_t_row[2*H + unit];
        partial_sum_W_o_x = partial_sum_W_o_x + W_i_x_W_f_x_W_g_x_W_o_x_t_row[3*H + unit];
    }
    // sum_W_i_x[t] = sum(W_i_x[t])
    const real sum_W_i_x = block_sum(partial_sum_W_i_x);
    // sum_W_f_x[t] = sum(W_f_x[t])
    const real sum_W_f_x = block_sum(partial_sum_W_f_x);
    // sum_W_g_x[t] = sum(W_g_x[t])
    const real sum_W_g_x = block_sum(partial_sum_W_g_x);
    // sum_W_o_x[t] = sum(W_o_x[t])
    const real sum_W_o_x = block_sum(partial_sum_W_o_x);

    real partial_sum_a_i_4 = 0;
    real partial_sum_a_f_4 = 0;
    real partial_sum_a_g_4 = 0;
    real partial_sum_a_o_4 = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // centred_W_i_x[t] = W_i_x[t] - sum_W_i_x[t]/H
        const real centred_W_i_x = W_i_x_W_f_x_W_g_x_W_o_x_t_row[unit] - sum_W_i_x / (real)(H);
        // centred_W_f_x[t] = W_f_x[t] - sum_W_f_x[t]/H
        const real centred_W_f_x = W_i_x_W_f_x_W_g_x_W_o_x_t_row[H + unit] - sum_W_f_x / (real)(H);
        // centred_W_g_x[t] = W_g_x[t] - sum_W_g_x[t]/H
        const real centred_W_g_x = W_i_x_W_f_x_W_g_x_W_o_x_t_row[2*H + unit] - sum_W_g_x / (real)(H);
        // centred_W_o_x[t] = W_o_x[t] - sum_W_o_x[t]/H
        const real centred_W_o_x = W_i_x_W_f_x_W_g_x_W_o_x_t_row[3*H + unit] - sum_W_o_x / (real)(H);
        // a_i_4[t] = centred_W_i_x[t]**2
        const real a_i_4 = centred_W_i_x * centred_W_i_x;
        // a_f_4[t] = centred_W_f_x[t]**2
        const real a_f_4 = centred_W_f_x * centred_W_f_x;
        // a_g_4[t] = centred_W_g_x[t]**2
        const real a_g_4 = centred_W_g_x * centred_W_g_x;
        // a_o_4[t] = centred_W_o_x[t]**2
        const real a_o_4 = centred_W_o_x * centred_W_o_x;
        centred_W_i_x_t_row[unit] = centred_W_i_x;
        centred_W_f_x_t_row[unit] = centred_W_f_x;
        centred_W_g_x_t_row[unit] = centred_W_g_x;
        centred_W_o_x_t_row[unit] = centred_W_o_x;
        partial_sum_a_i_4 = partial_sum_a_i_4 + a_i_4;
        partial_sum_a_f_4 = partial_sum_a_f_4 + a_f_4;
        partial_sum_a_g_4 = partial_sum_a_g_4 + a_g_4;
        partial_sum_a_o_4 = partial_sum_a_o_4 + a_o_4;
    }
    // sum_a_i_4[t] = sum(a_i_4[t])
    const real sum_a_i_4 = block_sum(partial_sum_a_i_4);
    // sum_a_f_4[t] = sum(a_f_4[t])
    const real sum_a_f_4 = block_sum(partial_sum_a_f_4);
    // sum_a_g_4[t] = sum(a_g_4[t])
    const real sum_a_g_4 = block_sum(partial_sum_a_g_4);
    // sum_a_o_4[t] = sum(a_o_4[t])
    const real sum_a_o_4 = block_sum(partial_sum_a_o_4);

    // a_i_5[t] = sum_a_i_4[t]/H + 1.0e-5
    const real a_i_5 = (real)1e-05 + sum_a_i_4 / (real)(H);
    // a_f_5[t] = sum_a_f_4[t]/H + 1.0e-5
    const real a_f_5 = (real)1e-05 + sum_a_f_4 / (real)(H);
    // a_g_5[t] = sum_a_g_4[t]/H + 1.0e-5
    const real a_g_5 = (real)1e-05 + sum_a_g_4 / (real)(H);
    // a_o_5[t] = sum_a_o_4[t]/H + 1.0e-5
    const real a_o_5 = (real)1e-05 + sum_a_o_4 / (real)(H);
    // sqrt_a_i_5[t] = sqrt(a_i_5[t])
    const real sqrt_a_i_5 = sqrt(a_i_5);
    // sqrt_a_f_5[t] = sqrt(a_f_5[t])
    const real sqrt_a_f_5 = sqrt(a_f_5);
    // sqrt_a_g_5[t] = sqrt(a_g_5[t])
    const real sqrt_a_g_5 = sqrt(a_g_5);
    // sqrt_a_o_5[t] = sqrt(a_o_5[t])
    const real sqrt_a_o_5 = sqrt(a_o_5);
    __syncthreads();
    if (threadIdx.x == 0) sqrt_a_i_5_t_row[0] = sqrt_a_i_5;
    if (threadIdx.x == 0) sqrt_a_f_5_t_row[0] = sqrt_a_f_5;
    if (threadIdx.x == 0) sqrt_a_g_5_t_row[0] = sqrt_a_g_5;
    if (threadIdx.x == 0) sqrt_a_o_5_t_row[0] = sqrt_a_o_5;

    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // a_i_6_in[t] = centred_W_i_x[t]*a_i/sqrt_a_i_5[t] + b_i
        const real a_i_6_in = centred_W_i_x_t_row[unit] * a_i[unit] / sqrt_a_i_5 + b_i[unit];
        // a_f_6_in[t] = centred_W_f_x[t]*a_f/sqrt_a_f_5[t] + b_f
        const real a_f_6_in = centred_W_f_x_t_row[unit] * a_f[unit] / sqrt_a_f_5 + b_f[unit];
        // a_g_6_in[t] = centred_W_g_x[t]*a_g/sqrt_a_g_5[t] + b_g
        const real a_g_6_in = centred_W_g_x_t_row[unit] * a_g[unit] / sqrt_a_g_5 + b_g[unit];
        // a_o_6_in[t] = centred_W_o_x[t]*a_o/sqrt_a_o_5[t] + b_o
        const real a_o_6_in = centred_W_o_x_t_row[unit] * a_o[unit] / sqrt_a_o_5 + b_o[unit];
        a_i_6_in_t_row[unit] = a_i_6_in;
        a_f_6_in_t_row[unit] = a_f_6_in;
        a_g_6_in_t_row[unit] = a_g_6_in;
        a_o_6_in_t_row[unit] = a_o_6_in;
    }
}

extern "C" __global__ void forward_2(
    long long rows,
    real* U_i_h_U_f_h_U_g_h_U_o_h_t,
    long long U_i_h_U_f_h_U_g_h_U_o_h_t_at,
    long long H,
    real* centred_U_i_h_t,
    long long centred_U_i_h_t_at,
    real* centred_U_f_h_t,
    long long centred_U_f_h_t_at,
    real* centred_U_g_h_t,
    long long centred_U_g_h_t_at,
    real* centred_U_o_h_t,
    long long centred_U_o_h_t_at,
    real* sqrt_a_i_3_t,
    long long sqrt_a_i_3_t_at,
    real* sqrt_a_f_3_t,
    long long sqrt_a_f_3_t_at,
    real* sqrt_a_g_3_t,
    long long sqrt_a_g_3_t_at,
    real* sqrt_a_o_3_t,
    long long sqrt_a_o_3_t_at,
    const real* d_i,
    real* a_i_6_in_t,
    long long a_i_6_in_t_at,
    const real* d_f,
    real* a_f_6_in_t,
    long long a_f_6_in_t_at,
    const real* d_g,
    real* a_g_6_in_t,
    long long a_g_6_in_t_at,
    const real* d_o,
    real* a_o_6_in_t,
    long long a_o_6_in_t_at,
    real* c_t1,
    long long c_t1_at,
    real* h_t,
    long long h_t_at,
    real* c_t,
    long long c_t_at,
    real* sum_c_t,
    long long sum_c_t_at,
    real* centred_c_t,
    long long centred_c_t_at,
    real* sqrt_a_h_2_t,
    long long sqrt_a_h_2_t_at,
    const real* a_c,
    const real* b_c) {
    const long long row = blockIdx.x;
    real* U_i_h_U_f_h_U_g_h_U_o_h_t_row = U_i_h_U_f_h_U_g_h_U_o_h_t + (U_i_h_U_f_h_U_g_h_U_o_h_t_at + row) * (4*H);
    real* centred_U_i_h_t_row = centred_U_i_h_t + (centred_U_i_h_t_at + row) * H;
    real* centred_U_f_h_t_row = centred_U_f_h_t + (centred_U_f_h_t_at + row) * H;
    real* centred_U_g_h_t_row = centred_U_g_h_t + (centred_U_g_h_t_at + row) * H;
    real* centred_U_o_h_t_row = centred_U_o_h_t + (centred_U_o_h_t_at + row) * H;
    real* sqrt_a_i_3_t_row = sqrt_a_i_3_t + (sqrt_a_i_3_t_at + row) * 1;
    real* sqrt_a_f_3_t_row = sqrt_a_f_3_t + (sqrt_a_f_3_t_at + row) * 1;
    real* sqrt_a_g_3_t_row = sqrt_a_g_3_t + (sqrt_a_g_3_t_at + row) * 1;
    real* sqrt_a_o_3_t_row = sqrt_a_o_3_t + (sqrt_a_o_3_t_at + row) * 1;
    real* a_i_6_in_t_row = a_i_6_in_t + (a_i_6_in_t_at + row) * H;
    real* a_f_6_in_t_row = a_f_6_in_t + (a_f_6_in_t_at + row) * H;
    real* a_g_6_in_t_row = a_g_6_in_t + (a_g_6_in_t_at + row) * H;
    real* a_o_6_in_t_row = a_o_6_in_t + (a_o_6_in_t_at + row) * H;
    real* c_t1_row = c_t1 + (c_t1_at + row) * H;
    real* h_t_row = h_t + (h_t_at + row) * H;
    real* c_t_row = c_t + (c_t_at + row) * H;
    real* sum_c_t_row = sum_c_t + (sum_c_t_at + row) * 1;
    real* centred_c_t_row = centred_c_t + (centred_c_t_at + row) * H;
    real* sqrt_a_h_2_t_row = sqrt_a_h_2_t + (sqrt_a_h_2_t_at + row) * 1;

    real partial_sum_U_i_h = 0;
    real partial_sum_U_f_h = 0;
    real partial_sum_U_g_h = 0;
    real partial_sum_U_o_h = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        partial_sum_U_i_h = partial_sum_U_i_h + U_i_h_U_f_h_U_g_h_U_o_h_t_row[unit];
        partial_sum_U_f_h = partial_sum_U_f_h + U_i_h_U_f_h_U_g_h_U_o_h_t_row[H + unit];
        partial_sum_U_g_h = partial_sum_U_g_h + U_i_h_U_f_h_U_g_h_U_o_h_t_row[2*H + unit];
        partial_sum_U_o_h = partial_sum_U_o_h + U_i_h_U_f_h_U_g_h_U_o_h_t_row[3*H + unit];
    }
    // sum_U_i_h[t] = sum(U_i_h[t])
    const real sum_U_i_h = block_sum(partial_sum_U_i_h);
    // sum_U_f_h[t] = sum(U_f_h[t])
    const real sum_U_f_h = block_sum(partial_sum_U_f_h);
    // sum_U_g_h[t] = sum(U_g_h[t])
    const real sum_U_g_h = block_sum(partial_sum_U_g_h);
    // sum_U_o_h[t] = sum(U_o_h[t])
    const real sum_U_o_h = block_sum(partial_sum_U_o_h);

    real partial_sum_a_i_2 = 0;
    real partial_sum_a_f_2 = 0;
    real partial_sum_a_g_2 = 0;
    real partial_sum_a_o_2 = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // centred_U_i_h[t] = U_i_h[t] - sum_U_i_h[t]/H
        const real centred_U_i_h = U_i_h_U_f_h_U_g_h_U_o_h_t_row[unit] - sum_U_i_h / (real)(H);
        // centred_U_f_h[t] = U_f_h[t] - sum_U_f_h[t]/H
        const real centred_U_f_h = U_i_h_U_f_h_U_g_h_U_o_h_t_row[H + unit] - sum_U_f_h / (real)(H);
        // centred_U_g_h[t] = U_g_h[t] - sum_U_g_h[t]/H
        const real centred_U_g_h = U_i_h_U_f_h_U_g_h_U_o_h_t_row[2*H + unit] - sum_U_g_h / (real)(H);
        // centred_U_o_h[t] = U_o_h[t] - sum_U_o_h[t]/H
        const real centred_U_o_h = U_i_h_U_f_h_U_g_h_U_o_h_t_row[3*H + unit] - sum_U_o_h / (real)(H);
        // a_i_2[t] = centred_U_i_h[t]**2
        const real a_i_2 = centred_U_i_h * centred_U_i_h;
        // a_f_2[t] = centred_U_f_h[t]**2
        const real a_f_2 = centred_U_f_h * centred_U_f_h;
        // a_g_2[t] = centred_U_g_h[t]**2
        const real a_g_2 = centred_U_g_h * centred_U_g_h;
        // a_o_2[t] = centred_U_o_h[t]**2
        const real a_o_2 = centred_U_o_h * centred_U_o_h;
        centred_U_i_h_t_row[unit] = centred_U_i_h;
        centred_U_f_h_t_row[unit] = centred_U_f_h;
        centred_U_g_h_t_row[unit] = centred_U_g_h;
        centred_U_o_h_t_row[unit] = centred_U_o_h;
        partial_sum_a_i_2 = partial_sum_a_i_2 + a_i_2;
        partial_sum_a_f_2 = partial_sum_a_f_2 + a_f_2;
        partial_sum_a_g_2 = partial_sum_a_g_2 + a_g_2;
        partial_sum_a_o_2 = partial_sum_a_o_2 + a_o_2;
    }
    // sum_a_i_2[t] = sum(a_i_2[t])
    const real sum_a_i_2 = block_sum(partial_sum_a_i_2);
    // sum_a_f_2[t] = sum(a_f_2[t])
    const real sum_a_f_2 = block_sum(partial_sum_a_f_2);
    // sum_a_g_2[t] = sum(a_g_2[t])
    const real sum_a_g_2 = block_sum(partial_sum_a_g_2);
    // sum_a_o_2[t] = sum(a_o_2[t])
    const real sum_a_o_2 = block_sum(partial_sum_a_o_2);

    // a_i_3[t] = sum_a_i_2[t]/H + 1.0e-5
    const real a_i_3 = (real)1e-05 + sum_a_i_2 / (real)(H);
    // a_f_3[t] = sum_a_f_2[t]/H + 1.0e-5
    const real a_f_3 = (real)1e-05 + sum_a_f_2 / (real)(H);
    // a_g_3[t] = sum_a_g_2[t]/H + 1.0e-5
    const real a_g_3 = (real)1e-05 + sum_a_g_2 / (real)(H);
    // a_o_3[t] = sum_a_o_2[t]/H + 1.0e-5
    const real a_o_3 = (real)1e-05 + sum_a_o_2 / (real)(H);
    // sqrt_a_i_3[t] = sqrt(a_i_3[t])
    const real sqrt_a_i_3 = sqrt(a_i_3);
    // sqrt_a_f_3[t] = sqrt(a_f_3[t])
    const real sqrt_a_f_3 = sqrt(a_f_3);
    // sqrt_a_g_3[t] = sqrt(a_g_3[t])
    const real sqrt_a_g_3 = sqrt(a_g_3);
    // sqrt_a_o_3[t] = sqrt(a_o_3[t])
    const real sqrt_a_o_3 = sqrt(a_o_3);
    __syncthreads();
    if (threadIdx.x == 0) sqrt_a_i_3_t_row[0] = sqrt_a_i_3;
    if (threadIdx.x == 0) sqrt_a_f_3_t_row[0] = sqrt_a_f_3;
    if (threadIdx.x == 0) sqrt_a_g_3_t_row[0] = sqrt_a_g_3;
    if (threadIdx.x == 0) sqrt_a_o_3_t_row[0] = sqrt_a_o_3;

    real partial_sum_c = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // a_i_6[t] = a_i_6_in[t] + centred_U_i_h[t]*d_i/sqrt_a_i_3[t]
        const real a_i_6 = centred_U_i_h_t_row[unit] * d_i[unit] / sqrt_a_i_3 + a_i_6_in_t_row[unit];
        // a_f_6[t] = a_f_6_in[t] + centred_U_f_h[t]*d_f/sqrt_a_f_3[t]
        const real a_f_6 = centred_U_f_h_t_row[unit] * d_f[unit] / sqrt_a_f_3 + a_f_6_in_t_row[unit];
        // a_g_6[t] = a_g_6_in[t] + centred_U_g_h[t]*d_g/sqrt_a_g_3[t]
        const real a_g_6 = centred_U_g_h_t_row[unit] * d_g[unit] / sqrt_a_g_3 + a_g_6_in_t_row[unit];
        // a_o_6[t] = a_o_6_in[t] + centred_U_o_h[t]*d_o/sqrt_a_o_3[t]
        const real a_o_6 = centred_U_o_h_t_row[unit] * d_o[unit] / sqrt_a_o_3 + a_o_6_in_t_row[unit];
        // i[t] = sigmoid(a_i_6[t]) (input gate)
        const real i = sigmoid(a_i_6);
        // f[t] = sigmoid(a_f_6[t]) (forget gate)
        const real f = sigmoid(a_f_6);
        // g[t] = tanh(a_g_6[t]) (candidate)
        const real g = tanh(a_g_6);
        // o[t] = sigmoid(a_o_6[t]) (output gate)
        const real o = sigmoid(a_o_6);
        // c[t] = c[t-1]*f[t] + g[t]*i[t] (cell state)
        const real c = c_t1_row[unit] * f + g * i;
        h_t_row[unit] = o;
        c_t_row[unit] = c;
        partial_sum_c = partial_sum_c + c;
    }
    // sum_c[t] = sum(c[t])
    const real sum_c = block_sum(partial_sum_c);
    if (threadIdx.x == 0) sum_c_t_row[0] = sum_c;

    real partial_sum_a_h = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // centred_c[t] = c[t] - sum_c[t]/H
        const real centred_c = c_t_row[unit] - sum_c / (real)(H);
        // a_h[t] = centred_c[t]**2
        const real a_h = centred_c * centred_c;
        centred_c_t_row[unit] = centred_c;
        partial_sum_a_h = partial_sum_a_h + a_h;
    }
    // sum_a_h[t] = sum(a_h[t])
    const real sum_a_h = block_sum(partial_sum_a_h);

    // a_h_2[t] = sum_a_h[t]/H + 1.0e-5
    const real a_h_2 = (real)1e-05 + sum_a_h / (real)(H);
    // sqrt_a_h_2[t] = sqrt(a_h_2[t])
    const real sqrt_a_h_2 = sqrt(a_h_2);
    __syncthreads();
    if (threadIdx.x == 0) sqrt_a_h_2_t_row[0] = sqrt_a_h_2;

    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // a_h_3[t] = centred_c[t]*a_c/sqrt_a_h_2[t] + b_c
        const real a_h_3 = centred_c_t_row[unit] * a_c[unit] / sqrt_a_h_2 + b_c[unit];
        // tanh_a_h_3[t] = tanh(a_h_3[t])
        const real tanh_a_h_3 = tanh(a_h_3);
        // h[t] = o[t]*tanh_a_h_3[t] (hidden state)
        const real h = h_t_row[unit] * tanh_a_h_3;
        h_t_row[unit] = h;
    }
}

extern "C" __global__ void backward_1(
    long long rows,
    real* centred_U_i_h_t,
    long long centred_U_i_h_t_at,
    long long H,
    const real* d_i,
    real* sqrt_a_i_3_t,
    long long sqrt_a_i_3_t_at,
    real* centred_W_i_x_t,
    long long centred_W_i_x_t_at,
    const real* a_i,
    real* sqrt_a_i_5_t,
    long long sqrt_a_i_5_t_at,
    const real* b_i,
    real* centred_U_f_h_t,
    long long centred_U_f_h_t_at,
    const real* d_f,
    real* sqrt_a_f_3_t,
    long long sqrt_a_f_3_t_at,
    real* centred_W_f_x_t,
    long long centred_W_f_x_t_at,
    const real* a_f,
    real* sqrt_a_f_5_t,
    long long sqrt_a_f_5_t_at,
    const real* b_f,
    real* centred_U_g_h_t,
    long long centred_U_g_h_t_at,
    const real* d_g,
    real* sqrt_a_g_3_t,
    long long sqrt_a_g_3_t_at,
    real* centred_W_g_x_t,
    long long centred_W_g_x_t_at,
    const real* a_g,
    real* sqrt_a_g_5_t,
    long long sqrt_a_g_5_t_at,
    const real* b_g,
    real* centred_U_o_h_t,
    long long centred_U_o_h_t_at,
    const real* d_o,
    real* sqrt_a_o_3_t,
    long long sqrt_a_o_3_t_at,
    real* centred_W_o_x_t,
    long long centred_W_o_x_t_at,
    const real* a_o,
    real* sqrt_a_o_5_t,
    long long sqrt_a_o_5_t_at,
    const real* b_o,
    real* c_t,
    long long c_t_at,
    real* sum_c_t,
    long long sum_c_t_at,
    real* dh_back_next,
    long long dh_back_next_at,
    real* dy_t,
    long long dy_t_at,
    const real* a_c,
    real* sqrt_a_h_2_t,
    long long sqrt_a_h_2_t_at,
    const real* b_c,
    real* centred_c_t,
    long long centred_c_t_at,
    real* i_t,
    long long i_t_at,
    real* f_t,
    long long f_t_at,
    real* g_t,
    long long g_t_at,
    real* da_h_3_t,
    long long da_h_3_t_at,
    real* da_o_6_t,
    long long da_o_6_t_at,
    real* dcentred_c_t,
    long long dcentred_c_t_at,
    real* dcentred_U_o_h_t,
    long long dcentred_U_o_h_t_at,
    real* dc_via_next,
    long long dc_via_next_at,
    real* c_t1,
    long long c_t1_at,
    real* dU_i_h_to_dU_o_h_t,
    long long dU_i_h_to_dU_o_h_t_at,
    real* dc_via_t,
    long long dc_via_t_at,
    real* da_g_6_t,
    long long da_g_6_t_at,
    real* da_f_6_t,
    long long da_f_6_t_at,
    real* da_i_6_t,
    long long da_i_6_t_at,
    real* dcentred_U_g_h_t,
    long long dcentred_U_g_h_t_at,
    real* dcentred_U_f_h_t,
    long long dcentred_U_f_h_t_at,
    real* dcentred_U_i_h_t,
    long long dcentred_U_i_h_t_at) {
    const long long row = blockIdx.x;
    real* centred_U_i_h_t_row = centred_U_i_h_t + (centred_U_i_h_t_at + row) * H;
    real* sqrt_a_i_3_t_row = sqrt_a_i_3_t + (sqrt_a_i_3_t_at + row) * 1;
    real* centred_W_i_x_t_row = centred_W_i_x_t + (centred_W_i_x_t_at + row) * H;
    real* sqrt_a_i_5_t_row = sqrt_a_i_5_t + (sqrt_a_i_5_t_at + row) * 1;
    real* centred_U_f_h_t_row = centred_U_f_h_t + (centred_U_f_h_t_at + row) * H;
    real* sqrt_a_f_3_t_row = sqrt_a_f_3_t + (sqrt_a_f_3_t_at + row) * 1;
    real* centred_W_f_x_t_row = centred_W_f_x_t + (centred_W_f_x_t_at + row) * H;
    real* sqrt_a_f_5_t_row = sqrt_a_f_5_t + (sqrt_a_f_5_t_at + row) * 1;
    real* centred_U_g_h_t_row = centred_U_g_h_t + (centred_U_g_h_t_at + row) * H;
    real* sqrt_a_g_3_t_row = sqrt_a_g_3_t + (sqrt_a_g_3_t_at + row) * 1;
    real* centred_W_g_x_t_row = centred_W_g_x_t + (centred_W_g_x_t_at + row) * H;
    real* sqrt_a_g_5_t_row = sqrt_a_g_5_t + (sqrt_a_g_5_t_at + row) * 1;
    real* centred_U_o_h_t_row = centred_U_o_h_t + (centred_U_o_h_t_at + row) * H;
    real* sqrt_a_o_3_t_row = sqrt_a_o_3_t + (sqrt_a_o_3_t_at + row) * 1;
    real* centred_W_o_x_t_row = centred_W_o_x_t + (centred_W_o_x_t_at + row) * H;
    real* sqrt_a_o_5_t_row = sqrt_a_o_5_t + (sqrt_a_o_5_t_at + row) * 1;
    real* c_t_row = c_t + (c_t_at + row) * H;
    real* sum_c_t_row = sum_c_t + (sum_c_t_at + row) * 1;
    real* dh_back_next_row = dh_back_next + (dh_back_next_at + row) * H;
    real* dy_t_row = dy_t + (dy_t_at + row) * H;
    real* sqrt_a_h_2_t_row = sqrt_a_h_2_t + (sqrt_a_h_2_t_at + row) * 1;
    real* centred_c_t_row = centred_c_t + (centred_c_t_at + row) * H;
    real* i_t_row = i_t + (i_t_at + row) * H;
    real* f_t_row = f_t + (f_t_at + row) * H;
    real* g_t_row = g_t + (g_t_at + row) * H;
    real* da_h_3_t_row = da_h_3_t + (da_h_3_t_at + row) * H;
    real* da_o_6_t_row = da_o_6_t + (da_o_6_t_at + row) * H;
    real* dcentred_c_t_row = dcentred_c_t + (dcentred_c_t_at + row) * H;
    real* dcentred_U_o_h_t_row = dcentred_U_o_h_t + (dcentred_U_o_h_t_at + row) * H;
    real* dc_via_next_row = dc_via_next + (dc_via_next_at + row) * H;
    real* c_t1_row = c_t1 + (c_t1_at + row) * H;
    real* dU_i_h_to_dU_o_h_t_row = dU_i_h_to_dU_o_h_t + (dU_i_h_to_dU_o_h_t_at + row) * (4*H);
    real* dc_via_t_row = dc_via_t + (dc_via_t_at + row) * H;
    real* da_g_6_t_row = da_g_6_t + (da_g_6_t_at + row) * H;
    real* da_f_6_t_row = da_f_6_t + (da_f_6_t_at + row) * H;
    real* da_i_6_t_row = da_i_6_t + (da_i_6_t_at + row) * H;
    real* dcentred_U_g_h_t_row = dcentred_U_g_h_t + (dcentred_U_g_h_t_at + row) * H;
    real* dcentred_U_f_h_t_row = dcentred_U_f_h_t + (dcentred_U_f_h_t_at + row) * H;
    real* dcentred_U_i_h_t_row = dcentred_U_i_h_t + (dcentred_U_i_h_t_at + row) * H;

    real partial_dsqrt_a_h_2_sum = 0;
    real partial_dsqrt_a_o_3_sum = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // a_i_6[t] = centred_U_i_h[t]*d_i/sqrt_a_i_3[t] + centred_W_i_x[t]*a_i/sqrt_a_i_5[t] + b_i
        const real a_i_6 = centred_U_i_h_t_row[unit] * d_i[unit] / sqrt_a_i_3_t_row[0] + centred_W_i_x_t_row[unit] * a_i[unit] / sqrt_a_i_5_t_row[0] + b_i[unit];
        // a_f_6[t] = centred_U_f_h[t]*d_f/sqrt_a_f_3[t] + centred_W_f_x[t]*a_f/sqrt_a_f_5[t] + b_f
        const real a_f_6 = centred_U_f_h_t_row[unit] * d_f[unit] / sqrt_a_f_3_t_row[0] + centred_W_f_x_t_row[unit] * a_f[unit] / sqrt_a_f_5_t_row[0] + b_f[unit];
        // a_g_6[t] = centred_U_g_h[t]*d_g/sqrt_a_g_3[t] + centred_W_g_x[t]*a_g/sqrt_a_g_5[t] + b_g
        const real a_g_6 = centred_U_g_h_t_row[unit] * d_g[unit] / sqrt_a_g_3_t_row[0] + centred_W_g_x_t_row[unit] * a_g[unit] / sqrt_a_g_5_t_row[0] + b_g[unit];
        // a_o_6[t] = centred_U_o_h[t]*d_o/sqrt_a_o_3[t] + centred_W_o_x[t]*a_o/sqrt_a_o_5[t] + b_o
        const real a_o_6 = centred_U_o_h_t_row[unit] * d_o[unit] / sqrt_a_o_3_t_row[0] + centred_W_o_x_t_row[unit] * a_o[unit] / sqrt_a_o_5_t_row[0] + b_o[unit];
        // centred_c[t] = c[t] - sum_c[t]/H
        const real centred_c = c_t_row[unit] - sum_c_t_row[0] / (real)(H);
        // dh[t] = dh_back[t+1] + dy[t]
        const real dh = dh_back_next_row[unit] + dy_t_row[unit];
        // i[t] = sigmoid(a_i_6[t]) (input gate)
        const real i = sigmoid(a_i_6);
        // f[t] = sigmoid(a_f_6[t]) (forget gate)
        const real f = sigmoid(a_f_6);
        // g[t] = tanh(a_g_6[t]) (candidate)
        const real g = tanh(a_g_6);
        // o[t] = sigmoid(a_o_6[t]) (output gate)
        const real o = sigmoid(a_o_6);
        // a_h_3[t] = centred_c[t]*a_c/sqrt_a_h_2[t] + b_c
        const real a_h_3 = centred_c * a_c[unit] / sqrt_a_h_2_t_row[0] + b_c[unit];
        // tanh_a_h_3[t] = tanh(a_h_3[t])
        const real tanh_a_h_3 = tanh(a_h_3);
        // dtanh_a_h_3[t] = dh[t]*o[t]
        const real dtanh_a_h_3 = dh * o;
        // da_h_3[t] = dtanh_a_h_3[t]*(1 - tanh_a_h_3[t]**2)
        const real da_h_3 = (1 - tanh_a_h_3 * tanh_a_h_3) * dtanh_a_h_3;
        // do[t] = dh[t]*tanh_a_h_3[t]
        const real do_ = dh * tanh_a_h_3;
        // dsqrt_a_h_2_each[t] = -centred_c[t]*da_h_3[t]*a_c/sqrt_a_h_2[t]**2
        const real dsqrt_a_h_2_each = -centred_c * da_h_3 * a_c[unit] / (sqrt_a_h_2_t_row[0] * sqrt_a_h_2_t_row[0]);
        // da_o_6[t] = do[t]*o[t]*(1 - o[t])
        const real da_o_6 = (1 - o) * do_ * o;
        // dsqrt_a_o_3_each[t] = -centred_U_o_h[t]*da_o_6[t]*d_o/sqrt_a_o_3[t]**2
        const real dsqrt_a_o_3_each = -centred_U_o_h_t_row[unit] * da_o_6 * d_o[unit] / (sqrt_a_o_3_t_row[0] * sqrt_a_o_3_t_row[0]);
        centred_c_t_row[unit] = centred_c;
        i_t_row[unit] = i;
        f_t_row[unit] = f;
        g_t_row[unit] = g;
        da_h_3_t_row[unit] = da_h_3;
        da_o_6_t_row[unit] = da_o_6;
        partial_dsqrt_a_h_2_sum = partial_dsqrt_a_h_2_sum + dsqrt_a_h_2_each;
        partial_dsqrt_a_o_3_sum = partial_dsqrt_a_o_3_sum + dsqrt_a_o_3_each;
    }
    // dsqrt_a_h_2_sum[t] = sum(dsqrt_a_h_2_each[t])
    const real dsqrt_a_h_2_sum = block_sum(partial_dsqrt_a_h_2_sum);
    // dsqrt_a_o_3_sum[t] = sum(dsqrt_a_o_3_each[t])
    const real dsqrt_a_o_3_sum = block_sum(partial_dsqrt_a_o_3_sum);

    // da_h_2[t] = dsqrt_a_h_2_sum[t]/(2*sqrt_a_h_2[t])
    const real da_h_2 = dsqrt_a_h_2_sum / sqrt_a_h_2_t_row[0] / 2;
    // dsum_a_h[t] = da_h_2[t]/H
    const real dsum_a_h = da_h_2 / (real)(H);
    // da_o_3[t] = dsqrt_a_o_3_sum[t]/(2*sqrt_a_o_3[t])
    const real da_o_3 = dsqrt_a_o_3_sum / sqrt_a_o_3_t_row[0] / 2;
    // dsum_a_o_2[t] = da_o_3[t]/H
    const real dsum_a_o_2 = da_o_3 / (real)(H);

    real partial_dsum_c_sum = 0;
    real partial_dsum_U_o_h_sum = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // da_h[t] = dsum_a_h[t]
        const real da_h = dsum_a_h;
        // dcentred_c[t] = 2*centred_c[t]*da_h[t] + da_h_3[t]*a_c/sqrt_a_h_2[t]
        const real dcentred_c = 2 * centred_c_t_row[unit] * da_h + da_h_3_t_row[unit] * a_c[unit] / sqrt_a_h_2_t_row[0];
        // da_o_2[t] = dsum_a_o_2[t]
        const real da_o_2 = dsum_a_o_2;
        // dsum_c_each[t] = -dcentred_c[t]/H
        const real dsum_c_each = -dcentred_c / (real)(H);
        // dcentred_U_o_h[t] = 2*centred_U_o_h[t]*da_o_2[t] + da_o_6[t]*d_o/sqrt_a_o_3[t]
        const real dcentred_U_o_h = 2 * centred_U_o_h_t_row[unit] * da_o_2 + da_o_6_t_row[unit] * d_o[unit] / sqrt_a_o_3_t_row[0];
        // dsum_U_o_h_each[t] = -dcentred_U_o_h[t]/H
        const real dsum_U_o_h_each = -dcentred_U_o_h / (real)(H);
        dcentred_c_t_row[unit] = dcentred_c;
        dcentred_U_o_h_t_row[unit] = dcentred_U_o_h;
        partial_dsum_c_sum = partial_dsum_c_sum + dsum_c_each;
        partial_dsum_U_o_h_sum = partial_dsum_U_o_h_sum + dsum_U_o_h_each;
    }
    // dsum_c_sum[t] = sum(dsum_c_each[t])
    const real dsum_c_sum = block_sum(partial_dsum_c_sum);
    // dsum_U_o_h_sum[t] = sum(dsum_U_o_h_each[t])
    const real dsum_U_o_h_sum = block_sum(partial_dsum_U_o_h_sum);

    real partial_dsqrt_a_g_3_sum = 0;
    real partial_dsqrt_a_f_3_sum = 0;
    real partial_dsqrt_a_i_3_sum = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // dc[t] = dc_via[t+1] + dcentred_c[t] + dsum_c_sum[t]
        const real dc = dc_via_next_row[unit] + dcentred_c_t_row[unit] + dsum_c_sum;
        // dU_o_h[t] = dcentred_U_o_h[t] + dsum_U_o_h_sum[t]
        const real dU_o_h = dcentred_U_o_h_t_row[unit] + dsum_U_o_h_sum;
        // dg[t] = dc[t]*i[t]
        const real dg = dc * i_t_row[unit];
        // df[t] = c[t-1]*dc[t]
        const real df = c_t1_row[unit] * dc;
        // di[t] = dc[t]*g[t]
        const real di = dc * g_t_row[unit];
        // dc_via[t] = dc[t]*f[t]
        const real dc_via = dc * f_t_row[unit];
        // da_g_6[t] = dg[t]*(1 - g[t]**2)
        const real da_g_6 = (1 - g_t_row[unit] * g_t_row[unit]) * dg;
        // da_f_6[t] = df[t]*f[t]*(1 - f[t])
        const real da_f_6 = (1 - f_t_row[unit]) * df * f_t_row[unit];
        // da_i_6[t] = di[t]*i[t]*(1 - i[t])
        const real da_i_6 = (1 - i_t_row[unit]) * di * i_t_row[unit];
        // dsqrt_a_g_3_each[t] = -centred_U_g_h[t]*da_g_6[t]*d_g/sqrt_a_g_3[t]**2
        const real dsqrt_a_g_3_each = -centred_U_g_h_t_row[unit] * da_g_6 * d_g[unit] / (sqrt_a_g_3_t_row[0] * sqrt_a_g_3_t_row[0]);
        // dsqrt_a_f_3_each[t] = -centred_U_f_h[t]*da_f_6[t]*d_f/sqrt_a_f_3[t]**2
        const real dsqrt_a_f_3_each = -centred_U_f_h_t_row[unit] * da_f_6 * d_f[unit] / (sqrt_a_f_3_t_row[0] * sqrt_a_f_3_t_row[0]);
        // dsqrt_a_i_3_each[t] = -centred_U_i_h[t]*da_i_6[t]*d_i/sqrt_a_i_3[t]**2
        const real dsqrt_a_i_3_each = -centred_U_i_h_t_row[unit] * da_i_6 * d_i[unit] / (sqrt_a_i_3_t_row[0] * sqrt_a_i_3_t_row[0]);
        dU_i_h_to_dU_o_h_t_row[3*H + unit] = dU_o_h;
        dc_via_t_row[unit] = dc_via;
        da_g_6_t_row[unit] = da_g_6;
        da_f_6_t_row[unit] = da_f_6;
        da_i_6_t_row[unit] = da_i_6;
        partial_dsqrt_a_g_3_sum = partial_dsqrt_a_g_3_sum + dsqrt_a_g_3_each;
        partial_dsqrt_a_f_3_sum = partial_dsqrt_a_f_3_sum + dsqrt_a_f_3_each;
        partial_dsqrt_a_i_3_sum = partial_dsqrt_a_i_3_sum + dsqrt_a_i_3_each;
    }
    // dsqrt_a_g_3_sum[t] = sum(dsqrt_a_g_3_each[t])
    const real dsqrt_a_g_3_sum = block_sum(partial_dsqrt_a_g_3_sum);
    // dsqrt_a_f_3_sum[t] = sum(dsqrt_a_f_3_each[t])
    const real dsqrt_a_f_3_sum = block_sum(partial_dsqrt_a_f_3_sum);
    // dsqrt_a_i_3_sum[t] = sum(dsqrt_a_i_3_each[t])
    const real dsqrt_a_i_3_sum = block_sum(partial_dsqrt_a_i_3_sum);

    // da_g_3[t] = dsqrt_a_g_3_sum[t]/(2*sqrt_a_g_3[t])
    const real da_g_3 = dsqrt_a_g_3_sum / sqrt_a_g_3_t_row[0] / 2;
    // da_f_3[t] = dsqrt_a_f_3_sum[t]/(2*sqrt_a_f_3[t])
    const real da_f_3 = dsqrt_a_f_3_sum / sqrt_a_f_3_t_row[0] / 2;
    // da_i_3[t] = dsqrt_a_i_3_sum[t]/(2*sqrt_a_i_3[t])
    const real da_i_3 = dsqrt_a_i_3_sum / sqrt_a_i_3_t_row[0] / 2;
    // dsum_a_g_2[t] = da_g_3[t]/H
    const real dsum_a_g_2 = da_g_3 / (real)(H);
    // dsum_a_f_2[t] = da_f_3[t]/H
    const real dsum_a_f_2 = da_f_3 / (real)(H);
    // dsum_a_i_2[t] = da_i_3[t]/H
    const real dsum_a_i_2 = da_i_3 / (real)(H);

    real partial_dsum_U_g_h_sum = 0;
    real partial_dsum_U_f_h_sum = 0;
    real partial_dsum_U_i_h_sum = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // da_g_2[t] = dsum_a_g_2[t]
        const real da_g_2 = dsum_a_g_2;
        // da_f_2[t] = dsum_a_f_2[t]
        const real da_f_2 = dsum_a_f_2;
        // da_i_2[t] = dsum_a_i_2[t]
        const real da_i_2 = dsum_a_i_2;
        // dcentred_U_g_h[t] = 2*centred_U_g_h[t]*da_g_2[t] + da_g_6[t]*d_g/sqrt_a_g_3[t]
        const real dcentred_U_g_h = 2 * centred_U_g_h_t_row[unit] * da_g_2 + da_g_6_t_row[unit] * d_g[unit] / sqrt_a_g_3_t_row[0];
        // dcentred_U_f_h[t] = 2*centred_U_f_h[t]*da_f_2[t] + da_f_6[t]*d_f/sqrt_a_f_3[t]
        const real dcentred_U_f_h = 2 * centred_U_f_h_t_row[unit] * da_f_2 + da_f_6_t_row[unit] * d_f[unit] / sqrt_a_f_3_t_row[0];
        // dcentred_U_i_h[t] = 2*centred_U_i_h[t]*da_i_2[t] + da_i_6[t]*d_i/sqrt_a_i_3[t]
        const real dcentred_U_i_h = 2 * centred_U_i_h_t_row[unit] * da_i_2 + da_i_6_t_row[unit] * d_i[unit] / sqrt_a_i_3_t_row[0];
        // dsum_U_g_h_each[t] = -dcentred_U_g_h[t]/H
        const real dsum_U_g_h_each = -dcentred_U_g_h / (real)(H);
        // dsum_U_f_h_each[t] = -dcentred_U_f_h[t]/H
        const real dsum_U_f_h_each = -dcentred_U_f_h / (real)(H);
        // dsum_U_i_h_each[t] = -dcentred_U_i_h[t]/H
        const real dsum_U_i_h_each = -dcentred_U_i_h / (real)(H);
        dcentred_U_g_h_t_row[unit] = dcentred_U_g_h;
        dcentred_U_f_h_t_row[unit] = dcentred_U_f_h;
        dcentred_U_i_h_t_row[unit] = dcentred_U_i_h;
        partial_dsum_U_g_h_sum = partial_dsum_U_g_h_sum + dsum_U_g_h_each;
        partial_dsum_U_f_h_sum = partial_dsum_U_f_h_sum + dsum_U_f_h_each;
        partial_dsum_U_i_h_sum = partial_dsum_U_i_h_sum + dsum_U_i_h_each;
    }
    // dsum_U_g_h_sum[t] = sum(dsum_U_g_h_each[t])
    const real dsum_U_g_h_sum = block_sum(partial_dsum_U_g_h_sum);
    // dsum_U_f_h_sum[t] = sum(dsum_U_f_h_each[t])
    const real dsum_U_f_h_sum = block_sum(partial_dsum_U_f_h_sum);
    // dsum_U_i_h_sum[t] = sum(dsum_U_i_h_each[t])
    const real dsum_U_i_h_sum = block_sum(partial_dsum_U_i_h_sum);

    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // dU_g_h[t] = dcentred_U_g_h[t] + dsum_U_g_h_sum[t]
        const real dU_g_h = dcentred_U_g_h_t_row[unit] + dsum_U_g_h_sum;
        // dU_f_h[t] = dcentred_U_f_h[t] + dsum_U_f_h_sum[t]
        const real dU_f_h = dcentred_U_f_h_t_row[unit] + dsum_U_f_h_sum;
        // dU_i_h[t] = dcentred_U_i_h[t] + dsum_U_i_h_sum[t]
        const real dU_i_h = dcentred_U_i_h_t_row[unit] + dsum_U_i_h_sum;
        dU_i_h_to_dU_o_h_t_row[2*H + unit] = dU_g_h;
        dU_i_h_to_dU_o_h_t_row[H + unit] = dU_f_h;
        dU_i_h_to_dU_o_h_t_row[unit] = dU_i_h;
    }
}

extern "C" __global__ void backward_2(
    long long rows,
    real* centred_W_o_x_t,
    long long centred_W_o_x_t_at,
    long long H,
    real* da_o_6_t,
    long long da_o_6_t_at,
    const real* a_o,
    real* sqrt_a_o_5_t,
    long long sqrt_a_o_5_t_at,
    real* centred_W_g_x_t,
    long long centred_W_g_x_t_at,
    real* da_g_6_t,
    long long da_g_6_t_at,
    const real* a_g,
    real* sqrt_a_g_5_t,
    long long sqrt_a_g_5_t_at,
    real* centred_W_f_x_t,
    long long centred_W_f_x_t_at,
    real* da_f_6_t,
    long long da_f_6_t_at,
    const real* a_f,
    real* sqrt_a_f_5_t,
    long long sqrt_a_f_5_t_at,
    real* centred_W_i_x_t,
    long long centred_W_i_x_t_at,
    real* da_i_6_t,
    long long da_i_6_t_at,
    const real* a_i,
    real* sqrt_a_i_5_t,
    long long sqrt_a_i_5_t_at,
    real* centred_U_i_h_t,
    long long centred_U_i_h_t_at,
    real* sqrt_a_i_3_t,
    long long sqrt_a_i_3_t_at,
    real* centred_U_f_h_t,
    long long centred_U_f_h_t_at,
    real* sqrt_a_f_3_t,
    long long sqrt_a_f_3_t_at,
    real* centred_U_g_h_t,
    long long centred_U_g_h_t_at,
    real* sqrt_a_g_3_t,
    long long sqrt_a_g_3_t_at,
    real* centred_U_o_h_t,
    long long centred_U_o_h_t_at,
    real* sqrt_a_o_3_t,
    long long sqrt_a_o_3_t_at,
    real* centred_c_t,
    long long centred_c_t_at,
    real* da_h_3_t,
    long long da_h_3_t_at,
    real* sqrt_a_h_2_t,
    long long sqrt_a_h_2_t_at,
    real* da_i_each_t,
    long long da_i_each_t_at,
    real* dd_i_each_t,
    long long dd_i_each_t_at,
    real* da_f_each_t,
    long long da_f_each_t_at,
    real* dd_f_each_t,
    long long dd_f_each_t_at,
    real* da_g_each_t,
    long long da_g_each_t_at,
    real* dd_g_each_t,
    long long dd_g_each_t_at,
    real* da_o_each_t,
    long long da_o_each_t_at,
    real* dd_o_each_t,
    long long dd_o_each_t_at,
    real* da_c_each_t,
    long long da_c_each_t_at,
    real* dcentred_W_o_x_t,
    long long dcentred_W_o_x_t_at,
    real* dcentred_W_g_x_t,
    long long dcentred_W_g_x_t_at,
    real* dcentred_W_f_x_t,
    long long dcentred_W_f_x_t_at,
    real* dcentred_W_i_x_t,
    long long dcentred_W_i_x_t_at,
    real* dW_i_x_to_dW_o_x_t,
    long long dW_i_x_to_dW_o_x_t_at) {
    const long long row = blockIdx.x;
    real* centred_W_o_x_t_row = centred_W_o_x_t + (centred_W_o_x_t_at + row) * H;
    real* da_o_6_t_row = da_o_6_t + (da_o_6_t_at + row) * H;
    real* sqrt_a_o_5_t_row = sqrt_a_o_5_t + (sqrt_a_o_5_t_at + row) * 1;
    real* centred_W_g_x_t_row = centred_W_g_x_t + (centred_W_g_x_t_at + row) * H;
    real* da_g_6_t_row = da_g_6_t + (da_g_6_t_at + row) * H;
    real* sqrt_a_g_5_t_row = sqrt_a_g_5_t + (sqrt_a_g_5_t_at + row) * 1;
    real* centred_W_f_x_t_row = centred_W_f_x_t + (centred_W_f_x_t_at + row) * H;
    real* da_f_6_t_row = da_f_6_t + (da_f_6_t_at + row) * H;
    real* sqrt_a_f_5_t_row = sqrt_a_f_5_t + (sqrt_a_f_5_t_at + row) * 1;
    real* centred_W_i_x_t_row = centred_W_i_x_t + (centred_W_i_x_t_at + row) * H;
    real* da_i_6_t_row = da_i_6_t + (da_i_6_t_at + row) * H;
    real* sqrt_a_i_5_t_row = sqrt_a_i_5_t + (sqrt_a_i_5_t_at + row) * 1;
    real* centred_U_i_h_t_row = centred_U_i_h_t + (centred_U_i_h_t_at + row) * H;
    real* sqrt_a_i_3_t_row = sqrt_a_i_3_t + (sqrt_a_i_3_t_at + row) * 1;
    real* centred_U_f_h_t_row = centred_U_f_h_t + (centred_U_f_h_t_at + row) * H;
    real* sqrt_a_f_3_t_row = sqrt_a_f_3_t + (sqrt_a_f_3_t_at + row) * 1;
    real* centred_U_g_h_t_row = centred_U_g_h_t + (centred_U_g_h_t_at + row) * H;
    real* sqrt_a_g_3_t_row = sqrt_a_g_3_t + (sqrt_a_g_3_t_at + row) * 1;
    real* centred_U_o_h_t_row = centred_U_o_h_t + (centred_U_o_h_t_at + row) * H;
    real* sqrt_a_o_3_t_row = sqrt_a_o_3_t + (sqrt_a_o_3_t_at + row) * 1;
    real* centred_c_t_row = centred_c_t + (centred_c_t_at + row) * H;
    real* da_h_3_t_row = da_h_3_t + (da_h_3_t_at + row) * H;
    real* sqrt_a_h_2_t_row = sqrt_a_h_2_t + (sqrt_a_h_2_t_at + row) * 1;
    real* da_i_each_t_row = da_i_each_t + (da_i_each_t_at + row) * H;
    real* dd_i_each_t_row = dd_i_each_t + (dd_i_each_t_at + row) * H;
    real* da_f_each_t_row = da_f_each_t + (da_f_each_t_at + row) * H;
    real* dd_f_each_t_row = dd_f_each_t + (dd_f_each_t_at + row) * H;
    real* da_g_each_t_row = da_g_each_t + (da_g_each_t_at + row) * H;
    real* dd_g_each_t_row = dd_g_each_t + (dd_g_each_t_at + row) * H;
    real* da_o_each_t_row = da_o_each_t + (da_o_each_t_at + row) * H;
    real* dd_o_each_t_row = dd_o_each_t + (dd_o_each_t_at + row) * H;
    real* da_c_each_t_row = da_c_each_t + (da_c_each_t_at + row) * H;
    real* dcentred_W_o_x_t_row = dcentred_W_o_x_t + (dcentred_W_o_x_t_at + row) * H;
    real* dcentred_W_g_x_t_row = dcentred_W_g_x_t + (dcentred_W_g_x_t_at + row) * H;
    real* dcentred_W_f_x_t_row = dcentred_W_f_x_t + (dcentred_W_f_x_t_at + row) * H;
    real* dcentred_W_i_x_t_row = dcentred_W_i_x_t + (dcentred_W_i_x_t_at + row) * H;
    real* dW_i_x_to_dW_o_x_t_row = dW_i_x_to_dW_o_x_t + (dW_i_x_to_dW_o_x_t_at + row) * (4*H);

    real partial_dsqrt_a_o_5_sum = 0;
    real partial_dsqrt_a_g_5_sum = 0;
    real partial_dsqrt_a_f_5_sum = 0;
    real partial_dsqrt_a_i_5_sum = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // dsqrt_a_o_5_each[t] = -centred_W_o_x[t]*da_o_6[t]*a_o/sqrt_a_o_5[t]**2
        const real dsqrt_a_o_5_each = -centred_W_o_x_t_row[unit] * da_o_6_t_row[unit] * a_o[unit] / (sqrt_a_o_5_t_row[0] * sqrt_a_o_5_t_row[0]);
        // dsqrt_a_g_5_each[t] = -centred_W_g_x[t]*da_g_6[t]*a_g/sqrt_a_g_5[t]**2
        const real dsqrt_a_g_5_each = -centred_W_g_x_t_row[unit] * da_g_6_t_row[unit] * a_g[unit] / (sqrt_a_g_5_t_row[0] * sqrt_a_g_5_t_row[0]);
        // dsqrt_a_f_5_each[t] = -centred_W_f_x[t]*da_f_6[t]*a_f/sqrt_a_f_5[t]**2
        const real dsqrt_a_f_5_each = -centred_W_f_x_t_row[unit] * da_f_6_t_row[unit] * a_f[unit] / (sqrt_a_f_5_t_row[0] * sqrt_a_f_5_t_row[0]);
        // dsqrt_a_i_5_each[t] = -centred_W_i_x[t]*da_i_6[t]*a_i/sqrt_a_i_5[t]**2
        const real dsqrt_a_i_5_each = -centred_W_i_x_t_row[unit] * da_i_6_t_row[unit] * a_i[unit] / (sqrt_a_i_5_t_row[0] * sqrt_a_i_5_t_row[0]);
        // da_i_each[t] = centred_W_i_x[t]*da_i_6[t]/sqrt_a_i_5[t]
        const real da_i_each = centred_W_i_x_t_row[unit] * da_i_6_t_row[unit] / sqrt_a_i_5_t_row[0];
        // dd_i_each[t] = centred_U_i_h[t]*da_i_6[t]/sqrt_a_i_3[t]
        const real dd_i_each = centred_U_i_h_t_row[unit] * da_i_6_t_row[unit] / sqrt_a_i_3_t_row[0];
        // da_f_each[t] = centred_W_f_x[t]*da_f_6[t]/sqrt_a_f_5[t]
        const real da_f_each = centred_W_f_x_t_row[unit] * da_f_6_t_row[unit] / sqrt_a_f_5_t_row[0];
        // dd_f_each[t] = centred_U_f_h[t]*da_f_6[t]/sqrt_a_f_3[t]
        const real dd_f_each = centred_U_f_h_t_row[unit] * da_f_6_t_row[unit] / sqrt_a_f_3_t_row[0];
        // da_g_each[t] = centred_W_g_x[t]*da_g_6[t]/sqrt_a_g_5[t]
        const real da_g_each = centred_W_g_x_t_row[unit] * da_g_6_t_row[unit] / sqrt_a_g_5_t_row[0];
        // dd_g_each[t] = centred_U_g_h[t]*da_g_6[t]/sqrt_a_g_3[t]
        const real dd_g_each = centred_U_g_h_t_row[unit] * da_g_6_t_row[unit] / sqrt_a_g_3_t_row[0];
        // da_o_each[t] = centred_W_o_x[t]*da_o_6[t]/sqrt_a_o_5[t]
        const real da_o_each = centred_W_o_x_t_row[unit] * da_o_6_t_row[unit] / sqrt_a_o_5_t_row[0];
        // dd_o_each[t] = centred_U_o_h[t]*da_o_6[t]/sqrt_a_o_3[t]
        const real dd_o_each = centred_U_o_h_t_row[unit] * da_o_6_t_row[unit] / sqrt_a_o_3_t_row[0];
        // da_c_each[t] = centred_c[t]*da_h_3[t]/sqrt_a_h_2[t]
        const real da_c_each = centred_c_t_row[unit] * da_h_3_t_row[unit] / sqrt_a_h_2_t_row[0];
        da_i_each_t_row[unit] = da_i_each;
        dd_i_each_t_row[unit] = dd_i_each;
        da_f_each_t_row[unit] = da_f_each;
        dd_f_each_t_row[unit] = dd_f_each;
        da_g_each_t_row[unit] = da_g_each;
        dd_g_each_t_row[unit] = dd_g_each;
        da_o_each_t_row[unit] = da_o_each;
        dd_o_each_t_row[unit] = dd_o_each;
        da_c_each_t_row[unit] = da_c_each;
        partial_dsqrt_a_o_5_sum = partial_dsqrt_a_o_5_sum + dsqrt_a_o_5_each;
        partial_dsqrt_a_g_5_sum = partial_dsqrt_a_g_5_sum + dsqrt_a_g_5_each;
        partial_dsqrt_a_f_5_sum = partial_dsqrt_a_f_5_sum + dsqrt_a_f_5_each;
        partial_dsqrt_a_i_5_sum = partial_dsqrt_a_i_5_sum + dsqrt_a_i_5_each;
    }
    // dsqrt_a_o_5_sum[t] = sum(dsqrt_a_o_5_each[t])
    const real dsqrt_a_o_5_sum = block_sum(partial_dsqrt_a_o_5_sum);
    // dsqrt_a_g_5_sum[t] = sum(dsqrt_a_g_5_each[t])
    const real dsqrt_a_g_5_sum = block_sum(partial_dsqrt_a_g_5_sum);
    // dsqrt_a_f_5_sum[t] = sum(dsqrt_a_f_5_each[t])
    const real dsqrt_a_f_5_sum = block_sum(partial_dsqrt_a_f_5_sum);
    // dsqrt_a_i_5_sum[t] = sum(dsqrt_a_i_5_each[t])
    const real dsqrt_a_i_5_sum = block_sum(partial_dsqrt_a_i_5_sum);

    // da_o_5[t] = dsqrt_a_o_5_sum[t]/(2*sqrt_a_o_5[t])
    const real da_o_5 = dsqrt_a_o_5_sum / sqrt_a_o_5_t_row[0] / 2;
    // da_g_5[t] = dsqrt_a_g_5_sum[t]/(2*sqrt_a_g_5[t])
    const real da_g_5 = dsqrt_a_g_5_sum / sqrt_a_g_5_t_row[0] / 2;
    // da_f_5[t] = dsqrt_a_f_5_sum[t]/(2*sqrt_a_f_5[t])
    const real da_f_5 = dsqrt_a_f_5_sum / sqrt_a_f_5_t_row[0] / 2;
    // da_i_5[t] = dsqrt_a_i_5_sum[t]/(2*sqrt_a_i_5[t])
    const real da_i_5 = dsqrt_a_i_5_sum / sqrt_a_i_5_t_row[0] / 2;
    // dsum_a_o_4[t] = da_o_5[t]/H
    const real dsum_a_o_4 = da_o_5 / (real)(H);
    // dsum_a_g_4[t] = da_g_5[t]/H
    const real dsum_a_g_4 = da_g_5 / (real)(H);
    // dsum_a_f_4[t] = da_f_5[t]/H
    const real dsum_a_f_4 = da_f_5 / (real)(H);
    // dsum_a_i_4[t] = da_i_5[t]/H
    const real dsum_a_i_4 = da_i_5 / (real)(H);

    real partial_dsum_W_o_x_sum = 0;
    real partial_dsum_W_g_x_sum = 0;
    real partial_dsum_W_f_x_sum = 0;
    real partial_dsum_W_i_x_sum = 0;
    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // da_o_4[t] = dsum_a_o_4[t]
        const real da_o_4 = dsum_a_o_4;
        // da_g_4[t] = dsum_a_g_4[t]
        const real da_g_4 = dsum_a_g_4;
        // da_f_4[t] = dsum_a_f_4[t]
        const real da_f_4 = dsum_a_f_4;
        // da_i_4[t] = dsum_a_i_4[t]
        const real da_i_4 = dsum_a_i_4;
        // dcentred_W_o_x[t] = 2*centred_W_o_x[t]*da_o_4[t] + da_o_6[t]*a_o/sqrt_a_o_5[t]
        const real dcentred_W_o_x = 2 * centred_W_o_x_t_row[unit] * da_o_4 + da_o_6_t_row[unit] * a_o[unit] / sqrt_a_o_5_t_row[0];
        // dcentred_W_g_x[t] = 2*centred_W_g_x[t]*da_g_4[t] + da_g_6[t]*a_g/sqrt_a_g_5[t]
        const real dcentred_W_g_x = 2 * centred_W_g_x_t_row[unit] * da_g_4 + da_g_6_t_row[unit] * a_g[unit] / sqrt_a_g_5_t_row[0];
        // dcentred_W_f_x[t] = 2*centred_W_f_x[t]*da_f_4[t] + da_f_6[t]*a_f/sqrt_a_f_5[t]
        const real dcentred_W_f_x = 2 * centred_W_f_x_t_row[unit] * da_f_4 + da_f_6_t_row[unit] * a_f[unit] / sqrt_a_f_5_t_row[0];
        // dcentred_W_i_x[t] = 2*centred_W_i_x[t]*da_i_4[t] + da_i_6[t]*a_i/sqrt_a_i_5[t]
        const real dcentred_W_i_x = 2 * centred_W_i_x_t_row[unit] * da_i_4 + da_i_6_t_row[unit] * a_i[unit] / sqrt_a_i_5_t_row[0];
        // dsum_W_o_x_each[t] = -dcentred_W_o_x[t]/H
        const real dsum_W_o_x_each = -dcentred_W_o_x / (real)(H);
        // dsum_W_g_x_each[t] = -dcentred_W_g_x[t]/H
        const real dsum_W_g_x_each = -dcentred_W_g_x / (real)(H);
        // dsum_W_f_x_each[t] = -dcentred_W_f_x[t]/H
        const real dsum_W_f_x_each = -dcentred_W_f_x / (real)(H);
        // dsum_W_i_x_each[t] = -dcentred_W_i_x[t]/H
        const real dsum_W_i_x_each = -dcentred_W_i_x / (real)(H);
        dcentred_W_o_x_t_row[unit] = dcentred_W_o_x;
        dcentred_W_g_x_t_row[unit] = dcentred_W_g_x;
        dcentred_W_f_x_t_row[unit] = dcentred_W_f_x;
        dcentred_W_i_x_t_row[unit] = dcentred_W_i_x;
        partial_dsum_W_o_x_sum = partial_dsum_W_o_x_sum + dsum_W_o_x_each;
        partial_dsum_W_g_x_sum = partial_dsum_W_g_x_sum + dsum_W_g_x_each;
        partial_dsum_W_f_x_sum = partial_dsum_W_f_x_sum + dsum_W_f_x_each;
        partial_dsum_W_i_x_sum = partial_dsum_W_i_x_sum + dsum_W_i_x_each;
    }
    // dsum_W_o_x_sum[t] = sum(dsum_W_o_x_each[t])
    const real dsum_W_o_x_sum = block_sum(partial_dsum_W_o_x_sum);
    // dsum_W_g_x_sum[t] = sum(dsum_W_g_x_each[t])
    const real dsum_W_g_x_sum = block_sum(partial_dsum_W_g_x_sum);
    // dsum_W_f_x_sum[t] = sum(dsum_W_f_x_each[t])
    const real dsum_W_f_x_sum = block_sum(partial_dsum_W_f_x_sum);
    // dsum_W_i_x_sum[t] = sum(dsum_W_i_x_each[t])
    const real dsum_W_i_x_sum = block_sum(partial_dsum_W_i_x_sum);

    for (long long unit = threadIdx.x; unit < H; unit += blockDim.x) {
        // dW_o_x[t] = dcentred_W_o_x[t] + dsum_W_o_x_sum[t]
        const real dW_o_x = dcentred_W_o_x_t_row[unit] + dsum_W_o_x_sum;
        // dW_g_x[t] = dcentred_W_g_x[t] + dsum_W_g_x_sum[t]
        const real dW_g_x = dcentred_W_g_x_t_row[unit] + dsum_W_g_x_sum;
        // dW_f_x[t] = dcentred_W_f_x[t] + dsum_W_f_x_sum[t]
        const real dW_f_x = dcentred_W_f_x_t_row[unit] + dsum_W_f_x_sum;
        // dW_i_x[t] = dcentred_W_i_x[t] + dsum_W_i_x_sum[t]
        const real dW_i_x = dcentred_W_i_x_t_row[unit] + dsum_W_i_x_sum;
        dW_i_x_to_dW_o_x_t_row[3*H + unit] = dW_o_x;
        dW_i_x_to_dW_o_x_t_row[2*H + unit] = dW_g_x;
        dW_i_x_to_dW_o_x_t_row[H + unit] = dW_f_x;
        dW_i_x_to_dW_o_x_t_row[unit] = dW_i_x;
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


def _launch_units(kernel: Any, rows: int, width: int, *args: Any) -> None:
    """One thread per unit of every row."""
    if rows:
        kernel((-(-rows * width // 256),), (256,), (rows, *args))


def _launch_rows(kernel: Any, rows: int, width: int, *args: Any) -> None:
    """One block per row, a power of two wide."""
    if rows:
        kernel((rows,), (min(256, max(32, 1 << (width - 1).bit_length())),), (rows, *args))
