"""Independently recurrent network

Li, Li, Cook, Zhu & Gao (2018), Independently recurrent neural network (IndRNN): building a longer and deeper RNN. Each
unit sees only its own past.

The cell indrnn as CuPy code: ``init_params``, ``forward``, ``backward`` and ``step``. Written by symcell 0.1.0 from the
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
    "u": ("H",),
    "b": ("H",),
    "W": ("H", "D"),
}
START = {
    "u": "uniform",
    "b": 0.0,
    "W": "uniform",
}
INPUTS = {"x": ("D",)}
STATES = {"h": ("H",)}
LEARNED = {}
OUTPUT = "h"
EQUATIONS = (
    '"""Independently recurrent network\n'
    "\n"
    "Li, Li, Cook, Zhu & Gao (2018), Independently recurrent neural network (IndRNN): building a longer and deeper RNN. Each\n"
    "unit sees only its own past.\n"
    '"""\n'
    "h[t] = relu(W @ x[t] + u * h[t-1] + b)   # hidden state\n"
    "u: H = uniform\n"
    "b: H = 0\n"
)
STAMP = "c18aa031f375198e"


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
    at_0 = pack.starts(0, True)
    kept_0 = pack.starts(0, keep_tape)
    at_1 = pack.starts(1, True)

    x_rows = pack.rows(inputs["x"][1])
    a_h_in = cp.empty((pack.room(0, True), H), dtype)
    a_h = cp.empty((pack.room(0, keep_tape), H), dtype)
    h = cp.empty((pack.room(1, True), H), dtype)
    h[pack.first(at_1, 1)] = _start_of("h", given, params, pack)
    kernels = _kernels(dtype)
    W = params.stack("W", "W")
    b = params.stack("b", "b")
    u = params.stack("u", "u")

    # W_x[t] = W @ x[t]
    cp.matmul(x_rows, W.T, out=a_h_in)
    # a_h_in[t] = W_x[t] + b
    _launch_units(kernels.forward_1, pack.size, H, H, a_h_in, 0, b)

    for t, n in enumerate(pack.counts):
        # a_h[t] = a_h_in[t] + h[t-1]*u
        # h[t] = relu(a_h[t]) (hidden state)
        _launch_units(kernels.forward_2, n, H, H, h, at_1[t], u, a_h_in, at_0[t], a_h, kept_0[t], h, at_1[t + 1])

    h_all = h[1 * batch :]

    last = {
        "h": _state_of("h", h[pack.last(at_1, 1)], pack),
    }
    learned = tuple(name for name in LEARNED if name not in given)
    tape = Tape(pack, params.sizes, dtype, learned, (a_h, h, x_rows,)) if keep_tape else None
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
    at_0 = pack.starts(0, True)
    ring_1 = pack.starts(1, False)
    at_1 = pack.starts(1, True)

    dy_rows = pack.rows(dy)
    (a_h_rows, h_rows, x_rows,) = tape.arrays
    da_h = cp.zeros((pack.room(0, True), H), dtype)
    dx_ = cp.zeros((pack.room(0, True), D), dtype)
    du_each = cp.zeros((pack.room(0, True), H), dtype)
    dh_via = cp.zeros((pack.room(1, False), H), dtype)
    if "h" in given:
        dh_via[pack.last(ring_1, 1)] = pack.sort(_steps_of(given["h"]))
    kernels = _kernels(dtype)
    u = params.stack("u", "u")
    W = params.stack("W", "W")
    ones = cp.ones((1, pack.size), dtype)

    for t, n in reversed(list(enumerate(pack.counts))):
        # dh[t] = dh_via[t+1] + dy[t]
        # da_h[t] = dh[t]*greater(a_h[t], 0)
        # dh_via[t] = da_h[t]*u
        _launch_units(kernels.backward_1, n, H, H, dh_via, ring_1[t + 1], dy_rows, at_0[t], a_h_rows, at_0[t], u, da_h, at_0[t], dh_via, ring_1[t])

    # du_each[t] = da_h[t]*h[t-1]
    h_t1 = h_rows[pack.past(1, 1)]
    _launch_units(kernels.backward_2, pack.size, H, H, da_h, 0, h_t1, 0, du_each, 0)
    # dx[t] = W.T @ da_h[t]
    cp.matmul(da_h, W, out=dx_)

    # dW = sum of da_h[t] ⊗ x[t]
    dW = grads.stack("W", "W")
    cp.matmul(da_h.T, x_rows, out=dW)
    # du = sum of du_each[t]
    du = grads.stack("u", "u")
    cp.matmul(ones, du_each, out=du.reshape(1, -1))
    # db = sum of da_h[t]
    db = grads.stack("b", "b")
    cp.matmul(ones, da_h, out=db.reshape(1, -1))

    start = {name: cp.zeros(_steps_shape(name, batch, params.sizes), dtype) for name in STATES}
    start["h"][0 :] += dh_via[pack.first(ring_1, 1)]
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
__device__ inline real relu(real v) { return v < 0 ? 0 : v; }
__device__ inline real elu(real v) { return v > 0 ? v : expm1(v); }

extern "C" __global__ void forward_1(
    long long rows,
    long long H,
    real* a_h_in_t,
    long long a_h_in_t_at,
    const real* b) {
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= rows * H) return;
    const long long row = index / H;
    const long long unit = index % H;
    real* a_h_in_t_row = a_h_in_t + (a_h_in_t_at + row) * H;
    // a_h_in[t] = W_x[t] + b
    const real a_h_in = a_h_in_t_row[unit] + b[unit];
    a_h_in_t_row[unit] = a_h_in;
}

extern "C" __global__ void forward_2(
    long long rows,
    long long H,
    real* h_t1,
    long long h_t1_at,
    const real* u,
    real* a_h_in_t,
    long long a_h_in_t_at,
    real* a_h_t,
    long long a_h_t_at,
    real* h_t,
    long long h_t_at) {
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= rows * H) return;
    const long long row = index / H;
    const long long unit = index % H;
    real* h_t1_row = h_t1 + (h_t1_at + row) * H;
    real* a_h_in_t_row = a_h_in_t + (a_h_in_t_at + row) * H;
    real* a_h_t_row = a_h_t + (a_h_t_at + row) * H;
    real* h_t_row = h_t + (h_t_at + row) * H;
    // a_h[t] = a_h_in[t] + h[t-1]*u
    const real a_h = h_t1_row[unit] * u[unit] + a_h_in_t_row[unit];
    // h[t] = relu(a_h[t]) (hidden state)
    const real h = relu(a_h);
    a_h_t_row[unit] = a_h;
    h_t_row[unit] = h;
}

extern "C" __global__ void backward_1(
    long long rows,
    long long H,
    real* dh_via_next,
    long long dh_via_next_at,
    real* dy_t,
    long long dy_t_at,
    real* a_h_t,
    long long a_h_t_at,
    const real* u,
    real* da_h_t,
    long long da_h_t_at,
    real* dh_via_t,
    long long dh_via_t_at) {
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= rows * H) return;
    const long long row = index / H;
    const long long unit = index % H;
    real* dh_via_next_row = dh_via_next + (dh_via_next_at + row) * H;
    real* dy_t_row = dy_t + (dy_t_at + row) * H;
    real* a_h_t_row = a_h_t + (a_h_t_at + row) * H;
    real* da_h_t_row = da_h_t + (da_h_t_at + row) * H;
    real* dh_via_t_row = dh_via_t + (dh_via_t_at + row) * H;
    // dh[t] = dh_via[t+1] + dy[t]
    const real dh = dh_via_next_row[unit] + dy_t_row[unit];
    // da_h[t] = dh[t]*greater(a_h[t], 0)
    const real da_h = dh * (real)(a_h_t_row[unit] > 0);
    // dh_via[t] = da_h[t]*u
    const real dh_via = da_h * u[unit];
    da_h_t_row[unit] = da_h;
    dh_via_t_row[unit] = dh_via;
}

extern "C" __global__ void backward_2(
    long long rows,
    long long H,
    real* da_h_t,
    long long da_h_t_at,
    real* h_t1,
    long long h_t1_at,
    real* du_each_t,
    long long du_each_t_at) {
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= rows * H) return;
    const long long row = index / H;
    const long long unit = index % H;
    real* da_h_t_row = da_h_t + (da_h_t_at + row) * H;
    real* h_t1_row = h_t1 + (h_t1_at + row) * H;
    real* du_each_t_row = du_each_t + (du_each_t_at + row) * H;
    // du_each[t] = da_h[t]*h[t-1]
    const real du_each = da_h_t_row[unit] * h_t1_row[unit];
    du_each_t_row[unit] = du_each;
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
