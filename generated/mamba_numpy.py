"""Mamba: a selective state space

Gu & Dao (2023), Mamba: linear-time sequence modeling with selective state spaces, equation 2 and algorithm 2. Each of
H channels has N states, which decay at the rates exp(A_log); step size, B and C depend on the input. A is discretised
by a zero-order hold and B by Euler's method, as in the published code; the step size passes a bottleneck of R units.
One block without its convolution.

The cell mamba as NumPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive mamba``.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

SIZES = ("D", "H", "N", "R")
PARAMS = {
    "W_z": ("H", "D"),
    "W_u": ("H", "D"),
    "W_B": ("N", "H"),
    "W_C": ("N", "H"),
    "W_dt": ("R", "H"),
    "b_dt": ("H",),
    "skip": ("H",),
    "V_dt": ("H", "R"),
    "A_log": ("H", "N"),
    "W_y": ("D", "H"),
}
CONSTANTS = {}
START = {
    "W_z": "uniform",
    "W_u": "uniform",
    "W_B": "uniform",
    "W_C": "uniform",
    "W_dt": "uniform",
    "b_dt": -4.6,
    "skip": 1.0,
    "V_dt": "uniform",
    "A_log": ("uniform", 1.0),
    "W_y": "uniform",
}
INPUTS = {"x": ("D",)}
STATES = {"S": ("H", "N")}
LAGS = {}
OUTPUT = "y"
EQUATIONS = (
    '"""Mamba: a selective state space\n'
    "\n"
    "Gu & Dao (2023), Mamba: linear-time sequence modeling with selective state spaces, equation 2 and algorithm 2. "
    "Each of\n"
    "H channels has N states, which decay at the rates exp(A_log); step size, B and C depend on the input. A is "
    "discretised\n"
    "by a zero-order hold and B by Euler's method, as in the published code; the step size passes a bottleneck of R "
    "units.\n"
    "One block without its convolution.\n"
    '"""\n'
    "S: (H, N)\n"
    "W_dt: (R, H)\n"
    "u[t] = silu(W_u @ x[t])                                                        # channels\n"
    "B[t] = W_B @ u[t]                                                              # what enters each state\n"
    "C[t] = W_C @ u[t]                                                              # what is read of each state\n"
    "dt[t] = softplus(V_dt @ (W_dt @ u[t]) + b_dt)                                  # step size\n"
    "S[t] = exp(-(diag(dt[t]) @ exp(A_log))) * S[t-1] + outer(dt[t] * u[t], B[t])   # states\n"
    "s[t] = S[t] @ C[t] + skip * u[t]                                               # read states\n"
    "y[t] = W_y @ (s[t] * silu(W_z @ x[t]))                                         # gated output\n"
    "y: D\n"
    "A_log: (H, N) = uniform(1)\n"
    "b_dt: H = -4.6\n"
    "skip: H = 1\n"
)
STAMP = "3049cff8a6998925"


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
    if isinstance(start, tuple) and start[0] == "uniform":
        return rng.uniform(-start[1], start[1], shape)
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
    N = params.sizes["N"]
    R = params.sizes["R"]
    at_0 = pack.slots(0, 0, True)
    at_1_0 = pack.slots(1, 0, True)
    at_1 = pack.slots(1, 1, True)

    x_rows = _as(pack.rows(inputs["x"]), real)
    W_z_x_W_u_x = np.empty((pack.size, 2*H), real)
    B_C_W_dt_u = np.empty((pack.size, 2*N + R), real)
    sigmoid_W_z_x = np.empty((pack.size, H), real)
    u = np.empty((pack.size, H), real)
    a_dt = np.empty((pack.size, H), real)
    dt = np.empty((pack.size, H), real)
    left_in_S = np.empty((pack.size, H), real)
    memory = np.empty(max(pack.size * H*N, pack.size * H), real)
    exp_a_S = memory[: pack.size * H*N].reshape(pack.size, H*N)
    s = np.empty((pack.size, H), real)
    a_y = memory[: pack.size * H].reshape(pack.size, H)
    S = np.empty((pack.size + batch, H*N), real)
    y = np.empty((pack.size, D), real)
    exp_A_log = np.empty((H, N), real)
    work1 = np.empty((batch, H*N), real)
    work1_ = memory[: pack.size * H].reshape(pack.size, H)
    A_log = params.stack("A_log", "A_log")
    b_dt = params.stack("b_dt", "b_dt")
    skip = params.stack("skip", "skip")
    S[pack.first(1)] = pack.sort(given["S"]) if "S" in given else 0
    W_z_to_W_u_T = params.stack("W_z", "W_u").T
    narrow = dtype.itemsize == 2
    W_B_to_W_dt_T = params.stack("W_B", "W_dt").T
    matmul = _products(dtype)
    V_dt_T = params.stack("V_dt", "V_dt").T
    exp_a_S_HxN = exp_a_S.reshape(-1, H, N)
    S_HxN = S.reshape(-1, H, N)
    left_in_S_Hx1 = left_in_S.reshape(-1, H, 1)
    B_1xN = B_C_W_dt_u[:, : N].reshape(-1, 1, N)
    W_y_T = params.stack("W_y", "W_y").T

    # exp_A_log = exp(A_log) (20)
    np.exp(A_log, out=exp_A_log)
    # W_z_x[t] = W_z @ x[t] (22)
    # W_u_x[t] = W_u @ x[t] (16)
    W_z_x_to_W_u_x = W_z_x_W_u_x
    np.matmul(x_rows, W_z_to_W_u_T, out=W_z_x_to_W_u_x)
    if narrow:
        _round(W_z_x_to_W_u_x, dtype)
    # sigmoid_W_u_x[t] = sigmoid(W_u_x[t]) (16)
    W_u_x = W_z_x_W_u_x[:, H :]
    sigmoid_W_u_x = u
    np.subtract(0, W_u_x, out=sigmoid_W_u_x)
    np.exp(sigmoid_W_u_x, out=sigmoid_W_u_x)
    np.add(sigmoid_W_u_x, 1, out=sigmoid_W_u_x)
    np.divide(1, sigmoid_W_u_x, out=sigmoid_W_u_x)
    # sigmoid_W_z_x[t] = sigmoid(W_z_x[t]) (22)
    W_z_x = W_z_x_W_u_x[:, : H]
    np.subtract(0, W_z_x, out=sigmoid_W_z_x)
    np.exp(sigmoid_W_z_x, out=sigmoid_W_z_x)
    np.add(sigmoid_W_z_x, 1, out=sigmoid_W_z_x)
    np.divide(1, sigmoid_W_z_x, out=sigmoid_W_z_x)
    if narrow:
        _round(sigmoid_W_z_x, dtype)
    # u[t] = W_u_x[t]*sigmoid_W_u_x[t] (channels) (16)
    u_ = sigmoid_W_u_x
    np.multiply(W_u_x, sigmoid_W_u_x, out=u_)
    if narrow:
        _round(u_, dtype)
    # B[t] = W_B @ u[t] (what enters each state) (6)
    # C[t] = W_C @ u[t] (what is read of each state) (7)
    # W_dt_u[t] = W_dt @ u[t] (18)
    B_to_W_dt_u = B_C_W_dt_u
    matmul(u_, W_B_to_W_dt_T, out=B_to_W_dt_u)
    if narrow:
        _round(B_to_W_dt_u, dtype)
    # V_dt_W_dt_u[t] = V_dt @ W_dt_u[t] (18)
    W_dt_u = B_C_W_dt_u[:, 2*N :]
    V_dt_W_dt_u = a_dt
    matmul(W_dt_u, V_dt_T, out=V_dt_W_dt_u)
    if narrow:
        _round(V_dt_W_dt_u, dtype)
    # a_dt[t] = V_dt_W_dt_u[t] + b_dt (18)
    a_dt_ = V_dt_W_dt_u
    np.add(V_dt_W_dt_u, b_dt, out=a_dt_)
    # dt[t] = softplus(a_dt[t]) (step size) (18)
    _in_parts(_softplus, a_dt_, dt)
    if narrow:
        _round(a_dt_, dtype)
    # left_in_S[t] = dt[t]*u[t] (20)
    np.multiply(dt, u_, out=left_in_S)
    if narrow:
        _round(dt, dtype)
        _round(left_in_S, dtype)
    # a_S[t] = -dt[t][:,None]*exp_A_log (20)
    dt_ = dt.reshape(-1, H, 1)
    a_S = exp_a_S.reshape(-1, H, N)
    np.multiply(dt_, exp_A_log.reshape(H, N), out=a_S)
    np.multiply(a_S, -1, out=a_S)
    # exp_a_S[t] = exp(a_S[t]) (20)
    a_S_ = exp_a_S
    exp_a_S_ = a_S_
    np.exp(a_S_, out=exp_a_S_)
    if narrow:
        _round(exp_a_S_, dtype)

    samples = -1
    for t, n in enumerate(pack.counts):
        if n != samples:
            samples = n
            work1_t = work1[:n].reshape(-1, H, N)
        # S[t] = exp_a_S[t]*S[t-1] + left_in_S[t][:,None]*B[t][None,:] (states) (20)
        exp_a_S_t = exp_a_S_HxN[at_0[t]]
        S_t1 = S_HxN[at_1_0[t]]
        left_in_S_t = left_in_S_Hx1[at_0[t]]
        B_t = B_1xN[at_0[t]]
        S_t = S_HxN[at_1[t]]
        np.multiply(exp_a_S_t, S_t1, out=S_t)
        np.multiply(left_in_S_t, B_t, out=work1_t)
        np.add(S_t, work1_t, out=S_t)

    # S_C[t] = S[t] @ C[t] (10)
    S_C = s.reshape(-1, H, 1)
    S_ = S[batch :].reshape(-1, H, N)
    C = B_C_W_dt_u[:, N : 2*N].reshape(-1, N, 1)
    np.matmul(S_, C, out=S_C)
    # s[t] = S_C[t] + skip*u[t] (read states) (10)
    S_C_ = s
    s_ = S_C_
    np.multiply(skip, u, out=work1_)
    np.add(S_C_, work1_, out=s_)
    # a_y[t] = s[t]*W_z_x[t]*sigmoid_W_z_x[t] (22)
    W_z_x_ = W_z_x_W_u_x[:, : H]
    np.multiply(s_, sigmoid_W_z_x, out=a_y)
    np.multiply(W_z_x_, a_y, out=a_y)
    if narrow:
        _round(a_y, dtype)
        _round(s_, dtype)
    # y[t] = W_y @ a_y[t] (gated output) (22)
    matmul(a_y, W_y_T, out=y)
    if narrow:
        _round(y, dtype)

    S_last = S[pack.last(1, 1, True)]

    last = {
        "S": pack.unsort(S_last).reshape(batch, H, N),
    }
    tape = None
    if keep_tape:
        arrays = {
            "B_C_W_dt_u": _as(B_C_W_dt_u, dtype),
            "S": S,
            "W_z_x_W_u_x": _as(W_z_x_W_u_x, dtype),
            "a_dt": _as(a_dt, dtype),
            "s": _as(s, dtype),
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
    N = params.sizes["N"]
    R = params.sizes["R"]
    at_0 = pack.slots(0, 0, True)
    ring_1_0 = pack.slots(1, 0, False)
    ring_1 = pack.slots(1, 1, False)
    at_1_0 = pack.slots(1, 0, True)

    dy_rows = _as(pack.rows(dy), real)
    B_C_W_dt_u = _as(tape.arrays["B_C_W_dt_u"], real)
    S = tape.arrays["S"]
    W_z_x_W_u_x = _as(tape.arrays["W_z_x_W_u_x"], real)
    a_dt = _as(tape.arrays["a_dt"], real)
    s = _as(tape.arrays["s"], real)
    x_ = _as(tape.arrays["x_rows"], real)
    dB_along_dC_dW_dt_u = np.empty((pack.size, 2*N + R), real)
    dW_z_x_dW_u_x = np.empty((pack.size, 2*H), real)
    sigmoid_W_u_x_to_sigmoid_W_z_x = np.empty((pack.size, 2*H), real)
    u = np.empty((pack.size, H), real)
    a_y = np.empty((pack.size, H), real)
    ds = np.empty((pack.size, H), real)
    dskip_each = np.empty((pack.size, H), real)
    dt = np.empty((pack.size, H), real)
    dS = np.empty((batch, H*N), real)
    left_in_S = np.empty((batch, H), real)
    exp_a_S = np.empty((batch, H*N), real)
    da_S = np.empty((batch, H*N), real)
    memory = np.empty(max(pack.size * H*N, pack.size * H), real)
    dexp_A_log_each = memory[: pack.size * H*N].reshape(pack.size, H*N)
    ddt_each = dS
    ddt_along = np.empty((pack.size, H), real)
    da_dt = memory[: pack.size * H].reshape(pack.size, H)
    du = memory[: pack.size * H].reshape(pack.size, H)
    da_y = memory[: pack.size * H].reshape(pack.size, H)
    dleft_in_S_along = np.empty((pack.size, H), real)
    dx_ = np.empty((pack.size, D), real)
    dS_via = np.zeros((2 * batch, H*N), real)
    exp_A_log = np.empty((H, N), real)
    dexp_A_log = np.empty((H, N), real)
    work1 = dskip_each
    A_log = params.stack("A_log", "A_log")
    W_y = params.stack("W_y", "W_y")
    dW_y = grads.stack("W_y", "W_y")
    dskip = grads.stack("skip", "skip")
    dA_log = grads.stack("A_log", "A_log")
    dV_dt = grads.stack("V_dt", "V_dt")
    db_dt = grads.stack("b_dt", "b_dt")
    V_dt = params.stack("V_dt", "V_dt")
    dW_B_to_dW_dt = grads.stack("W_B", "W_dt")
    W_B_to_W_dt = params.stack("W_B", "W_dt")
    skip = params.stack("skip", "skip")
    W_z_to_W_u = params.stack("W_z", "W_u")
    dW_z_to_dW_u = grads.stack("W_z", "W_u")
    dS_via[pack.last(1, 1, False)] = pack.sort(given["S"]) if "S" in given else 0
    narrow = dtype.itemsize == 2
    ds_Hx1 = ds.reshape(-1, H, 1)
    C_1xN = B_C_W_dt_u[:, N : 2*N].reshape(-1, 1, N)
    dS_via_HxN = dS_via.reshape(-1, H, N)
    dt_Hx1 = dt.reshape(-1, H, 1)
    dleft_in_S_along_Hx1 = dleft_in_S_along.reshape(-1, H, 1)
    B_Nx1 = B_C_W_dt_u[:, : N].reshape(-1, N, 1)
    dB_along_Nx1 = dB_along_dC_dW_dt_u[:, : N].reshape(-1, N, 1)
    dB_along = dB_along_dC_dW_dt_u[:, : N]
    dexp_A_log_each_HxN = dexp_A_log_each.reshape(-1, H, N)
    ones = np.ones((1, pack.size), real)
    matmul = _products(dtype)

    # exp_A_log = exp(A_log) (20)
    np.exp(A_log, out=exp_A_log)
    # sigmoid_W_u_x[t] = sigmoid(W_u_x[t]) (16)
    W_u_x = W_z_x_W_u_x[:, H :]
    sigmoid_W_u_x = sigmoid_W_u_x_to_sigmoid_W_z_x[:, : H]
    np.subtract(0, W_u_x, out=sigmoid_W_u_x)
    np.exp(sigmoid_W_u_x, out=sigmoid_W_u_x)
    np.add(sigmoid_W_u_x, 1, out=sigmoid_W_u_x)
    np.divide(1, sigmoid_W_u_x, out=sigmoid_W_u_x)
    # sigmoid_W_z_x[t] = sigmoid(W_z_x[t]) (22)
    W_z_x = W_z_x_W_u_x[:, : H]
    sigmoid_W_z_x = sigmoid_W_u_x_to_sigmoid_W_z_x[:, H :]
    np.subtract(0, W_z_x, out=sigmoid_W_z_x)
    np.exp(sigmoid_W_z_x, out=sigmoid_W_z_x)
    np.add(sigmoid_W_z_x, 1, out=sigmoid_W_z_x)
    np.divide(1, sigmoid_W_z_x, out=sigmoid_W_z_x)
    # u[t] = W_u_x[t]*sigmoid_W_u_x[t] (channels) (16)
    np.multiply(W_u_x, sigmoid_W_u_x, out=u)
    if narrow:
        _round(sigmoid_W_u_x, dtype)
        _round(u, dtype)
    # a_y[t] = s[t]*W_z_x[t]*sigmoid_W_z_x[t] (22)
    np.multiply(s, W_z_x, out=a_y)
    np.multiply(a_y, sigmoid_W_z_x, out=a_y)
    if narrow:
        _round(a_y, dtype)
        _round(sigmoid_W_z_x, dtype)
    # da_y[t] = W_y.T @ dy[t] (42)
    np.matmul(dy_rows, W_y, out=da_y)
    if narrow:
        _round(da_y, dtype)
    # dsigmoid_W_z_x[t] = da_y[t]*s[t]*W_z_x[t] (52)
    dsigmoid_W_z_x = dW_z_x_dW_u_x[:, : H]
    np.multiply(da_y, s, out=dsigmoid_W_z_x)
    np.multiply(dsigmoid_W_z_x, W_z_x, out=dsigmoid_W_z_x)
    # ds[t] = da_y[t]*W_z_x[t]*sigmoid_W_z_x[t] (42)
    np.multiply(da_y, W_z_x, out=ds)
    np.multiply(ds, sigmoid_W_z_x, out=ds)
    # dW_z_x[t] = dsigmoid_W_z_x[t]*sigmoid_W_z_x[t]*(1 - sigmoid_W_z_x[t]) + da_y[t]*sigmoid_W_z_x[t]*s[t] (52)
    dW_z_x = dsigmoid_W_z_x
    np.multiply(dsigmoid_W_z_x, sigmoid_W_z_x, out=dW_z_x)
    np.subtract(1, sigmoid_W_z_x, out=work1)
    np.multiply(dW_z_x, work1, out=dW_z_x)
    np.multiply(da_y, sigmoid_W_z_x, out=work1)
    np.multiply(work1, s, out=work1)
    np.add(dW_z_x, work1, out=dW_z_x)
    if narrow:
        _round(dW_z_x, dtype)
    # dskip_each[t] = ds[t]*u[t] (66)
    np.multiply(ds, u, out=dskip_each)
    if narrow:
        _round(ds, dtype)
        _round(dskip_each, dtype)
    # dC[t] = S[t].T @ ds[t] (48)
    dC = dB_along_dC_dW_dt_u[:, N : 2*N].reshape(-1, N, 1)
    S_ = S[batch :].reshape(-1, H, N)
    ds_ = ds.reshape(-1, H, 1)
    np.matmul(S_.transpose(0, 2, 1), ds_, out=dC)
    if narrow:
        dC_ = dB_along_dC_dW_dt_u[:, N : 2*N]
        _round(dC_, dtype)

    samples = -1
    for t, n in reversed(list(enumerate(pack.counts))):
        if n != samples:
            samples = n
            dS_t = dS[:n].reshape(-1, H, N)
            left_in_S_t = left_in_S[:n]
            a_S_t = exp_a_S[:n].reshape(-1, H, N)
            dS_t_ = dS[:n]
            dexp_a_S_t = da_S[:n]
            a_S_t_ = exp_a_S[:n]
            exp_a_S_t = a_S_t_
            left_in_S_t_ = left_in_S[:n].reshape(-1, H, 1)
            da_S_t = dexp_a_S_t
            da_S_t_ = da_S[:n].reshape(-1, H, N)
            ddt_each_t = ddt_each[:n]
            ddt_each_t_ = ddt_each[:n].reshape(-1, H, N)
        # dt[t] = softplus(a_dt[t]) (step size) (18)
        a_dt_t = a_dt[at_0[t]]
        dt_t = dt[at_0[t]]
        _in_parts(_softplus, a_dt_t, dt_t)
        # dS[t] = ds[t][:,None]*C[t][None,:] + dS_via[t+1] (44)
        ds_t = ds_Hx1[at_0[t]]
        C_t = C_1xN[at_0[t]]
        dS_via_next = dS_via_HxN[ring_1[t]]
        np.multiply(ds_t, C_t, out=dS_t)
        np.add(dS_t, dS_via_next, out=dS_t)
        # left_in_S[t] = dt[t]*u[t] (20)
        u_t = u[at_0[t]]
        np.multiply(dt_t, u_t, out=left_in_S_t)
        if narrow:
            _round(dt_t, dtype)
        # a_S[t] = -dt[t][:,None]*exp_A_log (20)
        dt_t_ = dt_Hx1[at_0[t]]
        np.multiply(dt_t_, exp_A_log.reshape(H, N), out=a_S_t)
        np.multiply(a_S_t, -1, out=a_S_t)
        # dexp_a_S[t] = dS[t]*S[t-1] (46)
        S_t1 = S[at_1_0[t]]
        np.multiply(dS_t_, S_t1, out=dexp_a_S_t)
        # dleft_in_S_along[t] = dS[t] @ B[t] (46)
        dleft_in_S_along_t = dleft_in_S_along_Hx1[at_0[t]]
        B_t = B_Nx1[at_0[t]]
        np.matmul(dS_t, B_t, out=dleft_in_S_along_t)
        if narrow:
            dleft_in_S_along_t_ = dleft_in_S_along[at_0[t]]
            _round(dleft_in_S_along_t_, dtype)
        # exp_a_S[t] = exp(a_S[t]) (20)
        np.exp(a_S_t_, out=exp_a_S_t)
        # dB_along[t] = dS[t].T @ left_in_S[t] (49)
        dB_along_t = dB_along_Nx1[at_0[t]]
        np.matmul(dS_t.transpose(0, 2, 1), left_in_S_t_, out=dB_along_t)
        if narrow:
            dB_along_t_ = dB_along[at_0[t]]
            _round(dB_along_t_, dtype)
        # da_S[t] = dexp_a_S[t]*exp_a_S[t] (46)
        np.multiply(dexp_a_S_t, exp_a_S_t, out=da_S_t)
        # dS_via[t] = dS[t]*exp_a_S[t] (44)
        dS_via_t = dS_via[ring_1_0[t]]
        np.multiply(dS_t_, exp_a_S_t, out=dS_via_t)
        # dexp_A_log_each[t] = -da_S[t]*dt[t][:,None] (65)
        dexp_A_log_each_t = dexp_A_log_each_HxN[at_0[t]]
        np.multiply(da_S_t_, dt_t_, out=dexp_A_log_each_t)
        np.multiply(dexp_A_log_each_t, -1, out=dexp_A_log_each_t)
        if narrow:
            dexp_A_log_each_t_ = dexp_A_log_each[at_0[t]]
            _round(dexp_A_log_each_t_, dtype)
        # ddt_each[t] = da_S[t]*exp_A_log (46)
        np.multiply(da_S_t, exp_A_log.reshape(-1), out=ddt_each_t)
        # ddt_along[t] = sum(ddt_each[t], axis=1) (46)
        ddt_along_t = ddt_along[at_0[t]]
        np.add.reduce(ddt_each_t_, axis=2, out=ddt_along_t)
        if narrow:
            _round(ddt_along_t, dtype)

    # dW_y = sum of outer(dy[t], a_y[t]) (68)
    np.matmul(dy_rows.T, _rounded(a_y, dtype), out=dW_y)
    # dskip = sum of dskip_each[t] (66)
    np.matmul(ones, _rounded(dskip_each, dtype), out=dskip.reshape(1, -1))
    # dexp_A_log = sum of dexp_A_log_each[t] (65)
    np.matmul(ones, dexp_A_log_each, out=dexp_A_log.reshape(1, -1))
    # dA_log = dexp_A_log*exp_A_log (65)
    np.multiply(dexp_A_log, exp_A_log, out=dA_log)
    # ddt[t] = -ddt_along[t] + dleft_in_S_along[t]*u[t] (46)
    ddt = da_dt
    np.multiply(dleft_in_S_along, u, out=ddt)
    np.subtract(ddt, ddt_along, out=ddt)
    # da_dt[t] = ddt[t]*sigmoid(a_dt[t]) (64)
    da_dt_ = ddt
    np.subtract(0, a_dt, out=work1)
    np.exp(work1, out=work1)
    np.add(work1, 1, out=work1)
    np.divide(1, work1, out=work1)
    np.multiply(ddt, work1, out=da_dt_)
    if narrow:
        _round(da_dt_, dtype)
    # dV_dt = sum of outer(da_dt[t], W_dt_u[t]) (62)
    W_dt_u = B_C_W_dt_u[:, 2*N :]
    matmul(da_dt_.T, W_dt_u, out=dV_dt)
    # db_dt = sum of da_dt[t] (64)
    np.matmul(ones, _rounded(da_dt_, dtype), out=db_dt.reshape(1, -1))
    # dW_dt_u[t] = V_dt.T @ da_dt[t] (50)
    dW_dt_u = dB_along_dC_dW_dt_u[:, 2*N :]
    matmul(da_dt_, V_dt, out=dW_dt_u)
    if narrow:
        _round(dW_dt_u, dtype)
    # dW_B = sum of outer(dB_along[t], u[t]) (60)
    # dW_C = sum of outer(dC[t], u[t]) (61)
    # dW_dt = sum of outer(dW_dt_u[t], u[t]) (63)
    dB_along_to_dW_dt_u = dB_along_dC_dW_dt_u
    matmul(dB_along_to_dW_dt_u.T, _rounded(u, dtype), out=dW_B_to_dW_dt)
    # du_back[t] = W_B.T @ dB_along[t] + W_C.T @ dC[t] + W_dt.T @ dW_dt_u[t] (50)
    du_back = du
    matmul(dB_along_to_dW_dt_u, W_B_to_W_dt, out=du_back)
    if narrow:
        _round(du_back, dtype)
    # du[t] = dleft_in_S_along[t]*dt[t] + ds[t]*skip + du_back[t] (50)
    du_ = du_back
    np.multiply(dleft_in_S_along, dt, out=work1)
    np.add(work1, du_back, out=du_)
    np.multiply(ds, skip, out=work1)
    np.add(work1, du_, out=du_)
    # dsigmoid_W_u_x[t] = du[t]*W_u_x[t] (52)
    W_u_x_ = W_z_x_W_u_x[:, H :]
    dsigmoid_W_u_x = dW_z_x_dW_u_x[:, H :]
    np.multiply(du_, W_u_x_, out=dsigmoid_W_u_x)
    # dW_u_x[t] = dsigmoid_W_u_x[t]*sigmoid_W_u_x[t]*(1 - sigmoid_W_u_x[t]) + du[t]*sigmoid_W_u_x[t] (52)
    sigmoid_W_u_x_ = sigmoid_W_u_x_to_sigmoid_W_z_x[:, : H]
    dW_u_x = dsigmoid_W_u_x
    np.multiply(dsigmoid_W_u_x, sigmoid_W_u_x_, out=dW_u_x)
    np.subtract(1, sigmoid_W_u_x_, out=work1)
    np.multiply(dW_u_x, work1, out=dW_u_x)
    np.multiply(du_, sigmoid_W_u_x_, out=work1)
    np.add(dW_u_x, work1, out=dW_u_x)
    if narrow:
        _round(dW_u_x, dtype)
    if need_x:
        # dx[t] = W_u.T @ dW_u_x[t] + W_z.T @ dW_z_x[t] (52)
        dW_z_x_to_dW_u_x = dW_z_x_dW_u_x
        matmul(dW_z_x_to_dW_u_x, W_z_to_W_u, out=dx_)
        if narrow:
            _round(dx_, dtype)
    # dW_z = sum of outer(dW_z_x[t], x[t]) (67)
    # dW_u = sum of outer(dW_u_x[t], x[t]) (59)
    dW_z_x_to_dW_u_x_ = dW_z_x_dW_u_x
    matmul(dW_z_x_to_dW_u_x_.T, x_, out=dW_z_to_dW_u)

    dS_first = dS_via[pack.first(1)]

    dstate = {
        "S": pack.unsort(dS_first).reshape(batch, H, N),
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
    N = params.sizes["N"]
    R = params.sizes["R"]

    x_t_ = np.empty((batch, D), real)
    W_z_x_W_u_x = np.empty((batch, 2*H), real)
    B_C_W_dt_u = np.empty((batch, 2*N + R), real)
    sigmoid_W_z_x = np.empty((batch, H), real)
    u = np.empty((batch, H), real)
    a_dt = np.empty((batch, H), real)
    dt = np.empty((batch, H), real)
    left_in_S = np.empty((batch, H), real)
    exp_a_S = np.empty((batch, H*N), real)
    s = np.empty((batch, H), real)
    a_y = np.empty((batch, H), real)
    S = np.empty((batch, H*N), real)
    y = np.empty((batch, D), real)
    exp_A_log = np.empty((H, N), real)
    work1 = np.empty((batch, H*N), real)
    work1_ = np.empty((batch, H), real)
    A_log = params.stack("A_log", "A_log")
    b_dt = params.stack("b_dt", "b_dt")
    skip = params.stack("skip", "skip")
    S_before = np.empty((1, batch, H*N), real)
    W_z_to_W_u_T = params.stack("W_z", "W_u").T
    narrow = dtype.itemsize == 2
    W_B_to_W_dt_T = params.stack("W_B", "W_dt").T
    matmul = _products(dtype)
    V_dt_T = params.stack("V_dt", "V_dt").T
    S_t1 = S_before[0]
    W_y_T = params.stack("W_y", "W_y").T

    @np.errstate(all="ignore")
    def run() -> tuple[Any, dict[str, Any]]:
        # exp_A_log = exp(A_log) (20)
        np.exp(A_log, out=exp_A_log)
        # W_z_x[t] = W_z @ x[t] (22)
        # W_u_x[t] = W_u @ x[t] (16)
        W_z_x_to_W_u_x_t = W_z_x_W_u_x
        np.matmul(x_t_, W_z_to_W_u_T, out=W_z_x_to_W_u_x_t)
        if narrow:
            _round(W_z_x_to_W_u_x_t, dtype)
        # sigmoid_W_u_x[t] = sigmoid(W_u_x[t]) (16)
        W_u_x_t = W_z_x_W_u_x[:, H :]
        sigmoid_W_u_x_t = u
        np.subtract(0, W_u_x_t, out=sigmoid_W_u_x_t)
        np.exp(sigmoid_W_u_x_t, out=sigmoid_W_u_x_t)
        np.add(sigmoid_W_u_x_t, 1, out=sigmoid_W_u_x_t)
        np.divide(1, sigmoid_W_u_x_t, out=sigmoid_W_u_x_t)
        # sigmoid_W_z_x[t] = sigmoid(W_z_x[t]) (22)
        W_z_x_t = W_z_x_W_u_x[:, : H]
        np.subtract(0, W_z_x_t, out=sigmoid_W_z_x)
        np.exp(sigmoid_W_z_x, out=sigmoid_W_z_x)
        np.add(sigmoid_W_z_x, 1, out=sigmoid_W_z_x)
        np.divide(1, sigmoid_W_z_x, out=sigmoid_W_z_x)
        if narrow:
            _round(sigmoid_W_z_x, dtype)
        # u[t] = W_u_x[t]*sigmoid_W_u_x[t] (channels) (16)
        u_t = sigmoid_W_u_x_t
        np.multiply(W_u_x_t, sigmoid_W_u_x_t, out=u_t)
        if narrow:
            _round(u_t, dtype)
        # B[t] = W_B @ u[t] (what enters each state) (6)
        # C[t] = W_C @ u[t] (what is read of each state) (7)
        # W_dt_u[t] = W_dt @ u[t] (18)
        B_to_W_dt_u_t = B_C_W_dt_u
        matmul(u_t, W_B_to_W_dt_T, out=B_to_W_dt_u_t)
        if narrow:
            _round(B_to_W_dt_u_t, dtype)
        # V_dt_W_dt_u[t] = V_dt @ W_dt_u[t] (18)
        W_dt_u_t = B_C_W_dt_u[:, 2*N :]
        V_dt_W_dt_u_t = a_dt
        matmul(W_dt_u_t, V_dt_T, out=V_dt_W_dt_u_t)
        if narrow:
            _round(V_dt_W_dt_u_t, dtype)
        # a_dt[t] = V_dt_W_dt_u[t] + b_dt (18)
        a_dt_t = V_dt_W_dt_u_t
        np.add(V_dt_W_dt_u_t, b_dt, out=a_dt_t)
        # dt[t] = softplus(a_dt[t]) (step size) (18)
        _in_parts(_softplus, a_dt_t, dt)
        if narrow:
            _round(a_dt_t, dtype)
        # left_in_S[t] = dt[t]*u[t] (20)
        np.multiply(dt, u_t, out=left_in_S)
        if narrow:
            _round(dt, dtype)
            _round(left_in_S, dtype)
        # a_S[t] = -dt[t][:,None]*exp_A_log (20)
        dt_t = dt.reshape(-1, H, 1)
        a_S_t = exp_a_S.reshape(-1, H, N)
        np.multiply(dt_t, exp_A_log.reshape(H, N), out=a_S_t)
        np.multiply(a_S_t, -1, out=a_S_t)
        # exp_a_S[t] = exp(a_S[t]) (20)
        a_S_t_ = exp_a_S
        exp_a_S_t = a_S_t_
        np.exp(a_S_t_, out=exp_a_S_t)
        if narrow:
            _round(exp_a_S_t, dtype)
        # S[t] = exp_a_S[t]*S[t-1] + left_in_S[t][:,None]*B[t][None,:] (states) (20)
        exp_a_S_t_ = a_S_t
        S_t1_ = S_t1.reshape(-1, H, N)
        left_in_S_t = left_in_S.reshape(-1, H, 1)
        B_t = B_C_W_dt_u[:, : N].reshape(-1, 1, N)
        work1_t = work1.reshape(-1, H, N)
        S_t = S.reshape(-1, H, N)
        np.multiply(exp_a_S_t_, S_t1_, out=S_t)
        np.multiply(left_in_S_t, B_t, out=work1_t)
        np.add(S_t, work1_t, out=S_t)
        # S_C[t] = S[t] @ C[t] (10)
        S_C_t = s.reshape(-1, H, 1)
        C_t = B_C_W_dt_u[:, N : 2*N].reshape(-1, N, 1)
        np.matmul(S_t, C_t, out=S_C_t)
        # s[t] = S_C[t] + skip*u[t] (read states) (10)
        S_C_t_ = s
        s_t = S_C_t_
        np.multiply(skip, u_t, out=work1_)
        np.add(S_C_t_, work1_, out=s_t)
        # a_y[t] = s[t]*W_z_x[t]*sigmoid_W_z_x[t] (22)
        np.multiply(s_t, sigmoid_W_z_x, out=a_y)
        np.multiply(W_z_x_t, a_y, out=a_y)
        if narrow:
            _round(a_y, dtype)
            _round(s_t, dtype)
        # y[t] = W_y @ a_y[t] (gated output) (22)
        matmul(a_y, W_y_T, out=y)
        if narrow:
            _round(y, dtype)

        state = {
            "S": S.reshape(batch, H, N).copy(),
        }
        return y.copy(), state

    inputs = [
        ("x", x_t_),
    ]
    states = [
        ("S", S_before.reshape(batch, H, N), 0),
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
    N = sizes["N"]
    R = sizes["R"]
    rows = steps * batch
    untaped = real * (rows * (8*H + 2*H*N + 2*N + R) + batch * 2*H*N) + 488 * steps
    untaped += real * (H*N)
    taped = real * (rows * (8*H + 2*H*N + 2*N + R) + batch * 2*H*N) + 488 * steps
    taped += real * (H*N)
    back = item * (rows * (4*H + 2*N + R)) + 880 * steps
    back += real * (rows * (11*H + 2*H*N + 2*N + R + 1) + batch * (H + 6*H*N))
    back += real * (2*H*N)
    if item < 4:
        untaped += real * (rows * 2*D)
        untaped += real * (3*D*H + 2*H + 3*H*N + 2*H*R)
        untaped += real * rows * max(2*H, 2*R)
        untaped += item * rows * max(2*H, 2*N + R, H*N, D)
        taped += item * (rows * (D + 4*H + 2*N + R))
        taped += real * (rows * 2*D)
        taped += real * (3*D*H + 2*H + 3*H*N + 2*H*R)
        taped += real * rows * max(2*H, 2*R)
        taped += item * rows * max(2*H, 2*N + R, H*N, D)
        back += real * (rows * (3*D + 4*H + 2*N + R))
        back += real * (6*D*H + 4*H + 6*H*N + 4*H*R)
        back += real * rows * max(4*N + 2*R, 4*H)
        back += item * rows * max(H, N, R, D)
    if uneven:
        untaped += rows * (real * 2*D + 8)
        taped += rows * (real * 2*D + 8)
        back += rows * (real * 3*D + 8)
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
