"""DeltaNet

Schlag, Irie & Schmidhuber (2021), Linear transformers are secretly fast weight programmers, section 4: the memory S
is corrected towards the value that its key should recall. Features and normalisation as in Yang, Wang, Zhang, Shen &
Kim (2024), Parallelizing linear transformers with the delta rule over sequence length: SiLU, then length 1. One head,
without short convolutions, output norm and output projection; the query is not scaled.

The cell deltanet as NumPy code: ``init_params``, ``forward``, ``backward`` and ``step``.
Written by symcell 0.1.0 from the equations in ``EQUATIONS``; change those and generate it again rather than
edit it here. A number behind a comment is that of a formula of the derivation, ``symcell derive deltanet``.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

SIZES = ("D", "K", "H")
PARAMS = {"W_v": ("H", "D"), "w_beta": (1, "D"), "W_q": ("K", "D"), "W_k": ("K", "D")}
CONSTANTS = {}
START = {"W_v": "uniform", "w_beta": "uniform", "W_q": "uniform", "W_k": "uniform"}
INPUTS = {"x": ("D",)}
STATES = {"S": ("H", "K")}
LAGS = {}
OUTPUT = "y"
EQUATIONS = (
    '"""DeltaNet\n'
    "\n"
    "Schlag, Irie & Schmidhuber (2021), Linear transformers are secretly fast weight programmers, section 4: the "
    "memory S\n"
    "is corrected towards the value that its key should recall. Features and normalisation as in Yang, Wang, Zhang, "
    "Shen &\n"
    "Kim (2024), Parallelizing linear transformers with the delta rule over sequence length: SiLU, then length 1. One "
    "head,\n"
    "without short convolutions, output norm and output projection; the query is not scaled.\n"
    '"""\n'
    "eps: const = 1e-6\n"
    "S: (H, K)\n"
    "beta: 1\n"
    "a[t] = silu(W_q @ x[t])                       # features of the query\n"
    "b[t] = silu(W_k @ x[t])                       # features of the key\n"
    "q[t] = a[t] / sqrt(dot(a[t], a[t]) + eps)     # query\n"
    "k[t] = b[t] / sqrt(dot(b[t], b[t]) + eps)     # key\n"
    "v[t] = W_v @ x[t]                             # value\n"
    "beta[t] = sigmoid(w_beta @ x[t])              # writing strength\n"
    "e[t] = v[t] - S[t-1] @ k[t]                   # error of the recalled value\n"
    "S[t] = S[t-1] + beta[t] * outer(e[t], k[t])   # memory\n"
    "y[t] = S[t] @ q[t]                            # output\n"
)
STAMP = "0d5c551da5f0e4ad"


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
    kept_0 = pack.slots(0, 0, keep_tape)
    kept_1_0 = pack.slots(1, 0, keep_tape)
    kept_1 = pack.slots(1, 1, keep_tape)

    x_rows = _as(pack.rows(inputs["x"]), real)
    v_beta_W_q_x_W_k_x = np.empty((pack.size, H + 2*K + 1), real)
    a_b = np.empty((pack.size, 2*K), real)
    product_a_product_b = np.empty((pack.size, 2*K), real)
    sqrt_a_q_sqrt_a_k = np.empty((pack.size, 2), real)
    q_k = a_b
    e = np.empty((pack.size if keep_tape else batch, H), real)
    S = np.empty((pack.size + batch if keep_tape else 2 * batch, H*K), real)
    y = np.empty((pack.size, H), real)
    S[pack.first(1)] = pack.sort(given["S"]) if "S" in given else 0
    W_v_to_W_k_T = params.stack("W_v", "W_k").T
    narrow = dtype.itemsize == 2
    eps = 1e-06
    e_Hx1 = e.reshape(-1, H, 1)
    S_HxK = S.reshape(-1, H, K)
    k_Kx1 = q_k[:, K :].reshape(-1, K, 1)
    v = v_beta_W_q_x_W_k_x[:, : H]
    beta_1x1 = v_beta_W_q_x_W_k_x[:, H : H + 1].reshape(-1, 1, 1)
    k_1xK = q_k[:, K :].reshape(-1, 1, K)
    y_Hx1 = y.reshape(-1, H, 1)
    q_Kx1 = q_k[:, : K].reshape(-1, K, 1)

    # v[t] = W_v @ x[t] (value) (9)
    # w_beta_x[t] = w_beta @ x[t] (10)
    # W_q_x[t] = W_q @ x[t] (18)
    # W_k_x[t] = W_k @ x[t] (20)
    v_to_W_k_x = v_beta_W_q_x_W_k_x
    np.matmul(x_rows, W_v_to_W_k_T, out=v_to_W_k_x)
    if narrow:
        _round(v_to_W_k_x, dtype)
    # beta[t] = sigmoid(w_beta_x[t]) (writing strength) (10)
    w_beta_x = v_beta_W_q_x_W_k_x[:, H : H + 1]
    beta = w_beta_x
    np.subtract(0, w_beta_x, out=beta)
    np.exp(beta, out=beta)
    np.add(beta, 1, out=beta)
    np.divide(1, beta, out=beta)
    if narrow:
        _round(beta, dtype)
    # sigmoid_W_q_x[t] = sigmoid(W_q_x[t]) (18)
    # sigmoid_W_k_x[t] = sigmoid(W_k_x[t]) (20)
    W_q_x_to_W_k_x = v_beta_W_q_x_W_k_x[:, H + 1 :]
    sigmoid_W_q_x_to_sigmoid_W_k_x = a_b
    np.subtract(0, W_q_x_to_W_k_x, out=sigmoid_W_q_x_to_sigmoid_W_k_x)
    np.exp(sigmoid_W_q_x_to_sigmoid_W_k_x, out=sigmoid_W_q_x_to_sigmoid_W_k_x)
    np.add(sigmoid_W_q_x_to_sigmoid_W_k_x, 1, out=sigmoid_W_q_x_to_sigmoid_W_k_x)
    np.divide(1, sigmoid_W_q_x_to_sigmoid_W_k_x, out=sigmoid_W_q_x_to_sigmoid_W_k_x)
    # a[t] = W_q_x[t]*sigmoid_W_q_x[t] (features of the query) (18)
    # b[t] = W_k_x[t]*sigmoid_W_k_x[t] (features of the key) (20)
    a_to_b = sigmoid_W_q_x_to_sigmoid_W_k_x
    np.multiply(W_q_x_to_W_k_x, sigmoid_W_q_x_to_sigmoid_W_k_x, out=a_to_b)
    # product_a[t] = a[t]**2 (22)
    # product_b[t] = b[t]**2 (24)
    product_a_to_product_b = product_a_product_b
    np.square(a_to_b, out=product_a_to_product_b)
    if narrow:
        _round(a_to_b, dtype)
    # dot_a[t] = sum(product_a[t]) (22)
    # dot_b[t] = sum(product_b[t]) (24)
    dot_a_to_dot_b = sqrt_a_q_sqrt_a_k
    product_a_to_product_b_ = product_a_product_b.reshape(-1, 2, K)
    np.add.reduce(product_a_to_product_b_, axis=2, out=dot_a_to_dot_b)
    # a_q[t] = dot_a[t] + eps (22)
    # a_k[t] = dot_b[t] + eps (24)
    a_q_to_a_k = dot_a_to_dot_b
    np.add(dot_a_to_dot_b, eps, out=a_q_to_a_k)
    # sqrt_a_q[t] = sqrt(a_q[t]) (22)
    # sqrt_a_k[t] = sqrt(a_k[t]) (24)
    sqrt_a_q_to_sqrt_a_k = dot_a_to_dot_b
    np.sqrt(a_q_to_a_k, out=sqrt_a_q_to_sqrt_a_k)
    # q[t] = a[t]/sqrt_a_q[t] (query) (22)
    # k[t] = b[t]/sqrt_a_k[t] (key) (24)
    a_to_b_ = a_b.reshape(-1, 2, K)
    sqrt_a_q_to_sqrt_a_k_ = sqrt_a_q_sqrt_a_k.reshape(-1, 2, 1)
    q_to_k = q_k.reshape(-1, 2, K)
    np.divide(a_to_b_, sqrt_a_q_to_sqrt_a_k_, out=q_to_k)
    if narrow:
        q_to_k_ = q_k
        _round(q_to_k_, dtype)
        _round(sqrt_a_q_to_sqrt_a_k, dtype)

    for t in range(len(pack.counts)):
        # S_k[t] = S[t-1] @ k[t] (11)
        S_k_t = e_Hx1[kept_0[t]]
        S_t1 = S_HxK[kept_1_0[t]]
        k_t = k_Kx1[at_0[t]]
        np.matmul(S_t1, k_t, out=S_k_t)
        # e[t] = v[t] - S_k[t] (error of the recalled value) (11)
        v_t = v[at_0[t]]
        S_k_t_ = e[kept_0[t]]
        e_t = S_k_t_
        np.subtract(v_t, S_k_t_, out=e_t)
        if narrow:
            _round(e_t, dtype)
        # S[t] = S[t-1] + beta[t]*e[t][:,None]*k[t][None,:] (memory) (12)
        beta_t = beta_1x1[at_0[t]]
        e_t_ = S_k_t
        k_t_ = k_1xK[at_0[t]]
        S_t = S_HxK[kept_1[t]]
        np.multiply(beta_t, e_t_, out=S_t)
        np.multiply(S_t, k_t_, out=S_t)
        np.add(S_t1, S_t, out=S_t)
        # y[t] = S[t] @ q[t] (output) (13)
        y_t = y_Hx1[at_0[t]]
        q_t = q_Kx1[at_0[t]]
        np.matmul(S_t, q_t, out=y_t)
        if narrow:
            y_t_ = y[at_0[t]]
            _round(y_t_, dtype)

    S_last = S[pack.last(1, 1, keep_tape)]

    last = {
        "S": pack.unsort(S_last).reshape(batch, H, K),
    }
    tape = None
    if keep_tape:
        arrays = {
            "S": S,
            "v_beta_W_q_x_W_k_x": _as(v_beta_W_q_x_W_k_x, dtype),
            "e": _as(e, dtype),
            "sqrt_a_q_sqrt_a_k": _as(sqrt_a_q_sqrt_a_k, dtype),
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

    dy_rows = _as(pack.rows(dy), real)
    S = tape.arrays["S"]
    v_beta_W_q_x_W_k_x = _as(tape.arrays["v_beta_W_q_x_W_k_x"], real)
    e = _as(tape.arrays["e"], real)
    sqrt_a_q_sqrt_a_k = _as(tape.arrays["sqrt_a_q_sqrt_a_k"], real)
    x_ = _as(tape.arrays["x_rows"], real)
    memory = np.empty(max(pack.size * (H + 2*K + 1), pack.size * K), real)
    de_to_dW_k_x = memory[: pack.size * (H + 2*K + 1)].reshape(pack.size, H + 2*K + 1)
    sigmoid_W_q_x = np.empty((pack.size, K), real)
    memory_ = np.empty(max(pack.size * K, pack.size * H), real)
    a = memory_[: pack.size * K].reshape(pack.size, K)
    dsqrt_a_q_each = memory[: pack.size * K].reshape(pack.size, K)
    memory_2 = np.empty(max(pack.size, pack.size * H), real)
    da_q = memory_2[: pack.size].reshape(pack.size, 1)
    da = np.empty((pack.size, K), real)
    sigmoid_W_k_x = sigmoid_W_q_x
    q_k_2 = np.empty((batch, 2*K), real)
    b = da
    dS = np.empty((batch, H*K), real)
    memory_3 = np.empty(max(pack.size * H, pack.size * K, pack.size), real)
    dS_k = memory_3[: pack.size * H].reshape(pack.size, H)
    dbeta_each = memory_[: pack.size * H].reshape(pack.size, H)
    dbeta_sum = memory_2[: pack.size].reshape(pack.size, 1)
    dk = memory_[: pack.size * K].reshape(pack.size, K)
    dsqrt_a_k_each = memory_3[: pack.size * K].reshape(pack.size, K)
    da_k = memory_2[: pack.size].reshape(pack.size, 1)
    db = memory_[: pack.size * K].reshape(pack.size, K)
    de_along = memory_2[: pack.size * H].reshape(pack.size, H)
    dk_along = np.empty((pack.size, K), real)
    dq = da
    dx_ = np.empty((pack.size, D), real)
    dS_via = np.zeros((2 * batch, H*K), real)
    work1 = memory_3[: pack.size].reshape(pack.size, 1)
    work1_ = memory_3[: pack.size * K].reshape(pack.size, K)
    W_v_to_W_k = params.stack("W_v", "W_k")
    dW_v_to_dW_k = grads.stack("W_v", "W_k")
    dS_via[pack.last(1, 1, False)] = pack.sort(given["S"]) if "S" in given else 0
    narrow = dtype.itemsize == 2
    W_k_x = v_beta_W_q_x_W_k_x[:, H + K + 1 :]
    sqrt_a_q_ = sqrt_a_q_sqrt_a_k[:, : 1]
    dy_Hx1 = dy_rows.reshape(-1, H, 1)
    dS_via_HxK = dS_via.reshape(-1, H, K)
    sqrt_a_k = sqrt_a_q_sqrt_a_k[:, 1 :]
    dk_along_Kx1 = dk_along.reshape(-1, K, 1)
    e_Hx1 = e.reshape(-1, H, 1)
    de_along_Hx1 = de_along.reshape(-1, H, 1)
    beta = v_beta_W_q_x_W_k_x[:, H : H + 1]
    de = de_to_dW_k_x[:, : H]
    dS_k_Hx1 = dS_k.reshape(-1, H, 1)
    matmul = _products(dtype)

    # sigmoid_W_q_x[t] = sigmoid(W_q_x[t]) (18)
    W_q_x = v_beta_W_q_x_W_k_x[:, H + 1 : H + K + 1]
    np.subtract(0, W_q_x, out=sigmoid_W_q_x)
    np.exp(sigmoid_W_q_x, out=sigmoid_W_q_x)
    np.add(sigmoid_W_q_x, 1, out=sigmoid_W_q_x)
    np.divide(1, sigmoid_W_q_x, out=sigmoid_W_q_x)
    # a[t] = W_q_x[t]*sigmoid_W_q_x[t] (features of the query) (18)
    np.multiply(W_q_x, sigmoid_W_q_x, out=a)
    if narrow:
        _round(sigmoid_W_q_x, dtype)
    # dq[t] = S[t].T @ dy[t] (53)
    dq_ = dq.reshape(-1, K, 1)
    S_ = S[batch :].reshape(-1, H, K)
    dy_ = dy_rows.reshape(-1, H, 1)
    np.matmul(S_.transpose(0, 2, 1), dy_, out=dq_)
    # dsqrt_a_q_each[t] = dq[t]*a[t] (57)
    np.multiply(dq, a, out=dsqrt_a_q_each)
    if narrow:
        _round(a, dtype)
        _round(dq, dtype)
    # dsqrt_a_q_sum[t] = sum(dsqrt_a_q_each[t]) (57)
    dsqrt_a_q_sum = da_q
    np.add.reduce(dsqrt_a_q_each, axis=1, keepdims=True, out=dsqrt_a_q_sum)
    # dsqrt_a_q[t] = -dsqrt_a_q_sum[t]/sqrt_a_q[t]**2 (57)
    sqrt_a_q = sqrt_a_q_sqrt_a_k[:, : 1]
    dsqrt_a_q = dsqrt_a_q_sum
    np.square(sqrt_a_q, out=work1)
    np.divide(dsqrt_a_q_sum, work1, out=dsqrt_a_q)
    np.multiply(dsqrt_a_q, -1, out=dsqrt_a_q)
    # da_q[t] = dsqrt_a_q[t]/(2*sqrt_a_q[t]) (57)
    da_q_ = dsqrt_a_q_sum
    np.divide(dsqrt_a_q, sqrt_a_q, out=da_q_)
    np.divide(da_q_, 2, out=da_q_)
    # da[t] = 2*da_q[t]*a[t] + dq[t]/sqrt_a_q[t] (57)
    np.divide(dq, sqrt_a_q, out=da)
    np.multiply(2, da_q_, out=work1_)
    np.multiply(work1_, a, out=work1_)
    np.add(work1_, da, out=da)
    # dsigmoid_W_q_x[t] = da[t]*W_q_x[t] (59)
    dsigmoid_W_q_x = de_to_dW_k_x[:, H + 1 : H + K + 1]
    np.multiply(da, W_q_x, out=dsigmoid_W_q_x)
    # dW_q_x[t] = dsigmoid_W_q_x[t]*sigmoid_W_q_x[t]*(1 - sigmoid_W_q_x[t]) + da[t]*sigmoid_W_q_x[t] (59)
    dW_q_x = dsigmoid_W_q_x
    np.multiply(dsigmoid_W_q_x, sigmoid_W_q_x, out=dW_q_x)
    np.subtract(1, sigmoid_W_q_x, out=work1_)
    np.multiply(dW_q_x, work1_, out=dW_q_x)
    np.multiply(da, sigmoid_W_q_x, out=work1_)
    np.add(dW_q_x, work1_, out=dW_q_x)
    if narrow:
        _round(dW_q_x, dtype)

    samples = -1
    for t, n in reversed(list(enumerate(pack.counts))):
        if n != samples:
            samples = n
            q_t = q_k_2[:n, : K]
            q_t_ = q_k_2[:n, : K].reshape(-1, 1, K)
            dS_t = dS[:n].reshape(-1, H, K)
            k_t = q_k_2[:n, K :]
            k_t_ = q_k_2[:n, K :].reshape(-1, K, 1)
            k_t_2 = q_k_2[:n, K :].reshape(-1, 1, K)
        # sigmoid_W_k_x[t] = sigmoid(W_k_x[t]) (20)
        W_k_x_t = W_k_x[at_0[t]]
        sigmoid_W_k_x_t = sigmoid_W_k_x[at_0[t]]
        np.subtract(0, W_k_x_t, out=sigmoid_W_k_x_t)
        np.exp(sigmoid_W_k_x_t, out=sigmoid_W_k_x_t)
        np.add(sigmoid_W_k_x_t, 1, out=sigmoid_W_k_x_t)
        np.divide(1, sigmoid_W_k_x_t, out=sigmoid_W_k_x_t)
        # q[t] = a[t]/sqrt_a_q[t] (query) (22)
        a_t = a[at_0[t]]
        sqrt_a_q_t = sqrt_a_q_[at_0[t]]
        np.divide(a_t, sqrt_a_q_t, out=q_t)
        # b[t] = W_k_x[t]*sigmoid_W_k_x[t] (features of the key) (20)
        b_t = b[at_0[t]]
        np.multiply(W_k_x_t, sigmoid_W_k_x_t, out=b_t)
        if narrow:
            _round(sigmoid_W_k_x_t, dtype)
        # dS[t] = dy[t][:,None]*q[t][None,:] + dS_via[t+1] (47)
        dy_t = dy_Hx1[at_0[t]]
        dS_via_next = dS_via_HxK[ring_1[t]]
        np.multiply(dy_t, q_t_, out=dS_t)
        np.add(dS_t, dS_via_next, out=dS_t)
        # k[t] = b[t]/sqrt_a_k[t] (key) (24)
        sqrt_a_k_t = sqrt_a_k[at_0[t]]
        np.divide(b_t, sqrt_a_k_t, out=k_t)
        if narrow:
            _round(b_t, dtype)
        # dk_along[t] = dS[t].T @ e[t] (51)
        dk_along_t = dk_along_Kx1[at_0[t]]
        e_t = e_Hx1[at_0[t]]
        np.matmul(dS_t.transpose(0, 2, 1), e_t, out=dk_along_t)
        if narrow:
            dk_along_t_ = dk_along[at_0[t]]
            _round(dk_along_t_, dtype)
        # de_along[t] = dS[t] @ k[t] (48)
        de_along_t = de_along_Hx1[at_0[t]]
        np.matmul(dS_t, k_t_, out=de_along_t)
        # de[t] = de_along[t]*beta[t] (48)
        de_along_t_ = de_along[at_0[t]]
        beta_t = beta[at_0[t]]
        de_t = de[at_0[t]]
        np.multiply(de_along_t_, beta_t, out=de_t)
        if narrow:
            _round(de_along_t_, dtype)
        # dS_k[t] = -de[t] (47)
        dS_k_t = dS_k[at_0[t]]
        np.multiply(de_t, -1, out=dS_k_t)
        if narrow:
            _round(dS_k_t, dtype)
            _round(de_t, dtype)
        # dS_via[t] = dS_k[t][:,None]*k[t][None,:] + dS[t] (47)
        dS_k_t_ = dS_k_Hx1[at_0[t]]
        dS_via_t = dS_via_HxK[ring_1_0[t]]
        np.multiply(dS_k_t_, k_t_2, out=dS_via_t)
        np.add(dS_via_t, dS_t, out=dS_via_t)

    # dbeta_each[t] = de_along[t]*e[t] (49)
    np.multiply(de_along, e, out=dbeta_each)
    # dbeta_sum[t] = sum(dbeta_each[t]) (49)
    np.add.reduce(dbeta_each, axis=1, keepdims=True, out=dbeta_sum)
    # dk_back[t] = S[t-1].T @ dS_k[t] (51)
    dk_back = dk.reshape(-1, K, 1)
    S_t1 = S[pack.past(1, 0)]
    S_t1_ = S_t1.reshape(-1, H, K)
    dS_k_ = dS_k.reshape(-1, H, 1)
    np.matmul(S_t1_.transpose(0, 2, 1), dS_k_, out=dk_back)
    # dk[t] = dk_along[t]*beta[t] + dk_back[t] (51)
    dk_back_ = dk
    beta_ = v_beta_W_q_x_W_k_x[:, H : H + 1]
    dk_ = dk_back_
    np.multiply(dk_along, beta_, out=work1_)
    np.add(work1_, dk_back_, out=dk_)
    # dw_beta_x[t] = dbeta_sum[t]*beta[t]*(1 - beta[t]) (59)
    dw_beta_x = de_to_dW_k_x[:, H : H + 1]
    np.multiply(dbeta_sum, beta_, out=dw_beta_x)
    np.subtract(1, beta_, out=work1)
    np.multiply(dw_beta_x, work1, out=dw_beta_x)
    if narrow:
        _round(dw_beta_x, dtype)
    # dsqrt_a_k_each[t] = dk[t]*b[t] (55)
    np.multiply(dk_, b, out=dsqrt_a_k_each)
    if narrow:
        _round(dk_, dtype)
    # dsqrt_a_k_sum[t] = sum(dsqrt_a_k_each[t]) (55)
    dsqrt_a_k_sum = da_k
    np.add.reduce(dsqrt_a_k_each, axis=1, keepdims=True, out=dsqrt_a_k_sum)
    # dsqrt_a_k[t] = -dsqrt_a_k_sum[t]/sqrt_a_k[t]**2 (55)
    sqrt_a_k_ = sqrt_a_q_sqrt_a_k[:, 1 :]
    dsqrt_a_k = dsqrt_a_k_sum
    np.square(sqrt_a_k_, out=work1)
    np.divide(dsqrt_a_k_sum, work1, out=dsqrt_a_k)
    np.multiply(dsqrt_a_k, -1, out=dsqrt_a_k)
    # da_k[t] = dsqrt_a_k[t]/(2*sqrt_a_k[t]) (55)
    da_k_ = dsqrt_a_k_sum
    np.divide(dsqrt_a_k, sqrt_a_k_, out=da_k_)
    np.divide(da_k_, 2, out=da_k_)
    # db[t] = 2*da_k[t]*b[t] + dk[t]/sqrt_a_k[t] (55)
    np.divide(dk_, sqrt_a_k_, out=db)
    np.multiply(2, da_k_, out=work1_)
    np.multiply(work1_, b, out=work1_)
    np.add(work1_, db, out=db)
    # dsigmoid_W_k_x[t] = db[t]*W_k_x[t] (59)
    W_k_x_ = v_beta_W_q_x_W_k_x[:, H + K + 1 :]
    dsigmoid_W_k_x = de_to_dW_k_x[:, H + K + 1 :]
    np.multiply(db, W_k_x_, out=dsigmoid_W_k_x)
    # dW_k_x[t] = dsigmoid_W_k_x[t]*sigmoid_W_k_x[t]*(1 - sigmoid_W_k_x[t]) + db[t]*sigmoid_W_k_x[t] (59)
    dW_k_x = dsigmoid_W_k_x
    np.multiply(dsigmoid_W_k_x, sigmoid_W_k_x, out=dW_k_x)
    np.subtract(1, sigmoid_W_k_x, out=work1_)
    np.multiply(dW_k_x, work1_, out=dW_k_x)
    np.multiply(db, sigmoid_W_k_x, out=work1_)
    np.add(dW_k_x, work1_, out=dW_k_x)
    if narrow:
        _round(dW_k_x, dtype)
    if need_x:
        # dx[t] = W_q.T @ dW_q_x[t] + W_k.T @ dW_k_x[t] + W_v.T @ de[t] + w_beta.T @ dw_beta_x[t] (59)
        matmul(de_to_dW_k_x, W_v_to_W_k, out=dx_)
        if narrow:
            _round(dx_, dtype)
    # dW_v = sum of outer(de[t], x[t]) (68)
    # dw_beta = sum of outer(dw_beta_x[t], x[t]) (69)
    # dW_q = sum of outer(dW_q_x[t], x[t]) (66)
    # dW_k = sum of outer(dW_k_x[t], x[t]) (67)
    matmul(de_to_dW_k_x.T, x_, out=dW_v_to_dW_k)

    dS_first = dS_via[pack.first(1)]

    dstate = {
        "S": pack.unsort(dS_first).reshape(batch, H, K),
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
    v_beta_W_q_x_W_k_x = np.empty((batch, H + 2*K + 1), real)
    a_b = np.empty((batch, 2*K), real)
    product_a_product_b = np.empty((batch, 2*K), real)
    sqrt_a_q_sqrt_a_k = np.empty((batch, 2), real)
    q_k = np.empty((batch, 2*K), real)
    e = np.empty((batch, H), real)
    S = np.empty((batch, H*K), real)
    y = np.empty((batch, H), real)
    S_before = np.empty((1, batch, H*K), real)
    W_v_to_W_k_T = params.stack("W_v", "W_k").T
    narrow = dtype.itemsize == 2
    eps = 1e-06
    S_t1 = S_before[0]

    @np.errstate(all="ignore")
    def run() -> tuple[Any, dict[str, Any]]:
        # v[t] = W_v @ x[t] (value) (9)
        # w_beta_x[t] = w_beta @ x[t] (10)
        # W_q_x[t] = W_q @ x[t] (18)
        # W_k_x[t] = W_k @ x[t] (20)
        v_to_W_k_x_t = v_beta_W_q_x_W_k_x
        np.matmul(x_t_, W_v_to_W_k_T, out=v_to_W_k_x_t)
        if narrow:
            _round(v_to_W_k_x_t, dtype)
        # beta[t] = sigmoid(w_beta_x[t]) (writing strength) (10)
        w_beta_x_t = v_beta_W_q_x_W_k_x[:, H : H + 1]
        beta_t = w_beta_x_t
        np.subtract(0, w_beta_x_t, out=beta_t)
        np.exp(beta_t, out=beta_t)
        np.add(beta_t, 1, out=beta_t)
        np.divide(1, beta_t, out=beta_t)
        if narrow:
            _round(beta_t, dtype)
        # sigmoid_W_q_x[t] = sigmoid(W_q_x[t]) (18)
        # sigmoid_W_k_x[t] = sigmoid(W_k_x[t]) (20)
        W_q_x_to_W_k_x_t = v_beta_W_q_x_W_k_x[:, H + 1 :]
        sigmoid_W_q_x_to_sigmoid_W_k_x_t = a_b
        np.subtract(0, W_q_x_to_W_k_x_t, out=sigmoid_W_q_x_to_sigmoid_W_k_x_t)
        np.exp(sigmoid_W_q_x_to_sigmoid_W_k_x_t, out=sigmoid_W_q_x_to_sigmoid_W_k_x_t)
        np.add(sigmoid_W_q_x_to_sigmoid_W_k_x_t, 1, out=sigmoid_W_q_x_to_sigmoid_W_k_x_t)
        np.divide(1, sigmoid_W_q_x_to_sigmoid_W_k_x_t, out=sigmoid_W_q_x_to_sigmoid_W_k_x_t)
        # a[t] = W_q_x[t]*sigmoid_W_q_x[t] (features of the query) (18)
        # b[t] = W_k_x[t]*sigmoid_W_k_x[t] (features of the key) (20)
        a_to_b_t = sigmoid_W_q_x_to_sigmoid_W_k_x_t
        np.multiply(W_q_x_to_W_k_x_t, sigmoid_W_q_x_to_sigmoid_W_k_x_t, out=a_to_b_t)
        # product_a[t] = a[t]**2 (22)
        # product_b[t] = b[t]**2 (24)
        product_a_to_product_b_t = product_a_product_b
        np.square(a_to_b_t, out=product_a_to_product_b_t)
        if narrow:
            _round(a_to_b_t, dtype)
        # dot_a[t] = sum(product_a[t]) (22)
        # dot_b[t] = sum(product_b[t]) (24)
        dot_a_to_dot_b_t = sqrt_a_q_sqrt_a_k
        product_a_to_product_b_t_ = product_a_product_b.reshape(-1, 2, K)
        np.add.reduce(product_a_to_product_b_t_, axis=2, out=dot_a_to_dot_b_t)
        # a_q[t] = dot_a[t] + eps (22)
        # a_k[t] = dot_b[t] + eps (24)
        a_q_to_a_k_t = dot_a_to_dot_b_t
        np.add(dot_a_to_dot_b_t, eps, out=a_q_to_a_k_t)
        # sqrt_a_q[t] = sqrt(a_q[t]) (22)
        # sqrt_a_k[t] = sqrt(a_k[t]) (24)
        sqrt_a_q_to_sqrt_a_k_t = dot_a_to_dot_b_t
        np.sqrt(a_q_to_a_k_t, out=sqrt_a_q_to_sqrt_a_k_t)
        # q[t] = a[t]/sqrt_a_q[t] (query) (22)
        # k[t] = b[t]/sqrt_a_k[t] (key) (24)
        a_to_b_t_ = a_b.reshape(-1, 2, K)
        sqrt_a_q_to_sqrt_a_k_t_ = sqrt_a_q_sqrt_a_k.reshape(-1, 2, 1)
        q_to_k_t = q_k.reshape(-1, 2, K)
        np.divide(a_to_b_t_, sqrt_a_q_to_sqrt_a_k_t_, out=q_to_k_t)
        if narrow:
            q_to_k_t_ = q_k
            _round(q_to_k_t_, dtype)
            _round(sqrt_a_q_to_sqrt_a_k_t, dtype)
        # S_k[t] = S[t-1] @ k[t] (11)
        S_k_t = e.reshape(-1, H, 1)
        S_t1_ = S_t1.reshape(-1, H, K)
        k_t = q_k[:, K :].reshape(-1, K, 1)
        np.matmul(S_t1_, k_t, out=S_k_t)
        # e[t] = v[t] - S_k[t] (error of the recalled value) (11)
        v_t = v_beta_W_q_x_W_k_x[:, : H]
        S_k_t_ = e
        e_t = S_k_t_
        np.subtract(v_t, S_k_t_, out=e_t)
        if narrow:
            _round(e_t, dtype)
        # S[t] = S[t-1] + beta[t]*e[t][:,None]*k[t][None,:] (memory) (12)
        beta_t_ = v_beta_W_q_x_W_k_x[:, H : H + 1].reshape(-1, 1, 1)
        e_t_ = S_k_t
        k_t_ = q_k[:, K :].reshape(-1, 1, K)
        S_t = S.reshape(-1, H, K)
        np.multiply(beta_t_, e_t_, out=S_t)
        np.multiply(S_t, k_t_, out=S_t)
        np.add(S_t1_, S_t, out=S_t)
        # y[t] = S[t] @ q[t] (output) (13)
        y_t = y.reshape(-1, H, 1)
        q_t = q_k[:, : K].reshape(-1, K, 1)
        np.matmul(S_t, q_t, out=y_t)
        if narrow:
            _round(y, dtype)

        state = {
            "S": S.reshape(batch, H, K).copy(),
        }
        return y.copy(), state

    inputs = [
        ("x", x_t_),
    ]
    states = [
        ("S", S_before.reshape(batch, H, K), 0),
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
    untaped = real * (rows * (H + 6*K + 3) + batch * (H + 2*H*K)) + 488 * steps
    taped = real * (rows * (2*H + H*K + 6*K + 3) + batch * H*K) + 488 * steps
    back = item * (rows * (2*H + 2*K + 3)) + 744 * steps
    back += real * (rows * (2*H + H*K + 5*K + 1) + batch * (4*H*K + 2*K))
    back += real * rows * max(K, H)
    back += real * rows * max(H, K)
    if item < 4:
        untaped += item * (rows * (H + 2*K + 1))
        untaped += real * (rows * (D + H))
        untaped += real * (D + D*H + 2*D*K)
        taped += item * (rows * (D + 3*H + 4*K + 4))
        taped += real * (rows * (D + H))
        taped += real * (D + D*H + 2*D*K)
        back += real * (rows * (2*D + 5*H + 6*K + 5))
        back += real * (2*D + 2*D*H + 4*D*K)
        back += item * rows * max(K, D)
    if uneven:
        untaped += rows * (real * (D + H) + 8)
        taped += rows * (real * (D + H) + 8)
        back += rows * (real * (2*D + H + H*K) + 16)
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
