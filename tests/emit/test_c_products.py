"""The matrix products of the emitted C, by themselves: against NumPy in float64, for every width of vector and every
compiler and processor that there is."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from c_modules import module
from machines import MACHINES, PROGRAM, SHARED, Emulated, Machine
from sixteen import SIXTEEN, rounded

TEMPLATES = Path(__file__).parents[2] / "templates" / "c"
REAL = {"float": np.float32, "double": np.float64}
# the functions, and their arguments: l a count or stride, p an array (or None), i a flag
INTERFACE = {
    "panels": "l",
    "packed_size": "ll",
    "pack": "ppllllll",
    "multiply": "plplpllli",
    "multiply_plain": "plplpllllli",
    "gradient_scratch": "ll",
    "gradient": "plplplplpllllilp",
    "sums": "pplplllli",
}
ARGUMENT = {"p": ctypes.c_void_p, "l": ctypes.c_longlong, "i": ctypes.c_int}
FEW = (("float16", "native"), ("bfloat16", "x86-64"))
# kinds of 16 bits with compilers and processors
SOME_WHOLE = [
    pytest.param(pair, id="-".join(pair), marks=[] if pair in FEW else [pytest.mark.whole])
    for pair in itertools.product(SIXTEEN, MACHINES)
]
GUARD = 0.75  # what stands in and around an output before
SIZES = (0, 1, 2, 3, 5, 8, 13, 31, 64, 100, 257)
ROWS = (*range(1, 18), 25, 97, 200)


PARTS = ("vectors", "rounding", "products", "plain", "gradients")


def text(real: str) -> str:
    """The products as a file of their own: its static functions stand in a table, the one thing that it exports."""
    parts = [(TEMPLATES / f"{name}.c.j2").read_text() for name in PARTS]
    table = f"void *const exported[] = {{{', '.join(INTERFACE)}}};\n"
    return "\n".join([f"{module()._TYPES[real]}#include <stdint.h>\n#include <string.h>", *parts, table])


class Library(NamedTuple):
    """The functions as compiled for one type and one kind of processor."""

    real: type[np.floating[Any]]
    call: Callable[..., int]

    def __call__(self, name: str, *arguments: Any) -> int:
        return self.call(name, *arguments)

    def normal(self, *shape: int, extra: int = 0, seed: int = 0) -> np.ndarray:
        """Random numbers, at an odd address; rows are `extra` further apart, NaN between them and around."""
        rng = np.random.default_rng((seed, *shape))
        _, inside = self.area(*shape, extra=extra, value=np.nan)
        inside[...] = rng.standard_normal(shape)
        return inside

    def area(self, rows: int, columns: int, extra: int = 0, value: float = GUARD) -> tuple[np.ndarray, np.ndarray]:
        """Memory full of a value, and a view of rows x columns inside it."""
        stride = columns + extra
        memory = np.full(rows * stride + 65, value, self.real)
        return memory, np.ndarray((rows, columns), self.real, memory, 33 * memory.itemsize,
                                  (stride * memory.itemsize, memory.itemsize))  # fmt: skip

    def aligned(self, size: int) -> np.ndarray:
        """Memory on a 64-byte boundary, full of NaN."""
        memory = np.full(size + 64, np.nan, self.real)
        start = -memory.ctypes.data % 64 // memory.itemsize
        return memory[start : start + size]

    def packed(self, matrix: np.ndarray) -> np.ndarray:
        """matrix (inner, columns; any strides), packed in two goes as two threads would."""
        inner, columns = matrix.shape
        to = self.aligned(self("packed_size", inner, columns))
        count = self("panels", columns)
        for first, last in ((0, count // 2), (count // 2, count)):
            self("pack", to, matrix, *strides(matrix), inner, columns, first, last)
        return to

    def multiply(self, out: np.ndarray, left: np.ndarray, right: np.ndarray, accumulate: bool, packed: bool) -> None:
        rows, inner, columns = *left.shape, right.shape[1]
        where = (self.packed(right),) if packed else (right, *strides(right))
        name = "multiply" if packed else "multiply_plain"
        self(name, out, strides(out)[0], left, strides(left)[0], *where, rows, inner, columns, accumulate)

    def gradient(
        self, left: np.ndarray, right: np.ndarray, index: tuple[Any, Any], rows: int, *cuts: int, begins: Any = (0,)
    ) -> Any:
        """``cuts``: of the result. ``begins``: of stretches of rows, whose sums are added."""
        memory, out = self.area(left.shape[1], right.shape[1], extra=3)
        for first, last in itertools.pairwise((0, *cuts, left.shape[1])):
            scratch = self.aligned(self("gradient_scratch", last - first, right.shape[1]))
            for begin, end in itertools.pairwise((*begins, rows)):
                self("gradient", out, strides(out)[0], left, strides(left)[0], index[0], begin, right,
                     strides(right)[0], index[1], begin, end - begin, first, last, begin > 0, right.shape[1],
                     scratch)  # fmt: skip
        return untouched(memory, out)


def strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


def untouched(memory: np.ndarray, out: np.ndarray) -> np.ndarray:
    """What was written, after the check that nothing was written around it."""
    written = out.copy()
    out[...] = GUARD
    assert np.all(memory == GUARD)
    return written


@pytest.fixture(scope="module", params=itertools.product(REAL, MACHINES), ids="-".join)
def library(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    real, name = request.param
    with compiled(MACHINES[name].or_skip(), real, tmp_path_factory.mktemp("products")) as made:
        yield made


@contextlib.contextmanager
def compiled(machine: Machine, real: str, folder: Path) -> Iterator[Library]:
    kind = REAL.get(real, np.float32)
    if machine.emulator:
        with contextlib.closing(Emulated(machine, text(real), [*INTERFACE], folder, *PROGRAM)) as emulated:
            yield Library(kind, emulated.call)
    else:
        machine.compile(text(real), folder / "products.so", *SHARED)
        yield Library(kind, loaded(folder / "products.so"))


def loaded(path: Path) -> Callable[..., int]:
    library = ctypes.CDLL(str(path))
    addresses = (ctypes.c_void_p * len(INTERFACE)).in_dll(library, "exported")
    functions = {
        name: ctypes.CFUNCTYPE(ctypes.c_longlong, *(ARGUMENT[a] for a in arguments))(address)
        for (name, arguments), address in zip(INTERFACE.items(), addresses, strict=True)
    }

    def call(name: str, *arguments: Any) -> int:
        return functions[name](*(a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments))

    return call


def close(actual: np.ndarray, expected: np.ndarray, terms: int) -> None:
    """As near as a plain sum of that many products of normal numbers comes."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=8 * np.finfo(actual.dtype).eps * (terms + 4))


def laid_out(library: Library, inner: int, columns: int, way: str) -> np.ndarray:
    """A matrix inner x columns: terms side by side, columns side by side, or neither."""
    if way == "columns":
        return library.normal(inner, columns, extra=5, seed=2)
    if way == "terms":
        return library.normal(columns, inner, extra=5, seed=2).T
    return library.normal(inner, 3 * columns + 1, seed=2)[:, : 3 * columns : 3]


@pytest.mark.parametrize("way", ["columns", "terms", "neither"])
@pytest.mark.parametrize("packed", [True, False])
def test_multiply(library: Library, way: str, packed: bool) -> None:
    """Every height of tile, ragged panels, more than one block of terms and chunk of rows; both ways to end a sum."""
    rng = np.random.default_rng(1)
    sizes = [(rows, *rng.choice(SIZES, 2)) for rows in (0, *ROWS)] + [(r, 600, c) for r in (1, 3, 14) for c in (64, 9)]
    for (rows, inner, columns), accumulate in itertools.product(sizes, (False, True)):
        left, right = library.normal(rows, inner, extra=1, seed=1), laid_out(library, inner, columns, way)
        memory, out = library.area(rows, columns, extra=7)
        library.multiply(out, left, right, accumulate, packed)
        result = untouched(memory, out)
        close(result, left.astype(float) @ right.astype(float) + GUARD * accumulate, inner)


@pytest.mark.parametrize("way", ["columns", "terms", "neither"])
@pytest.mark.parametrize("packed", [True, False])
def test_rows_may_be_cut_anywhere(library: Library, way: str, packed: bool) -> None:
    """Threads share rows out; what a row gives must not depend on how, to the last bit."""
    left, right = library.normal(120, 301, seed=3), laid_out(library, 301, 151, way)
    whole = np.empty((120, 151), library.real)
    library.multiply(whole, left, right, False, packed)
    for size in (1, 2, 3, 4, 7, 11, 12, 50, 96, 119):
        parts = np.empty_like(whole)
        for first in range(0, 120, size):
            library.multiply(parts[first : first + size], left[first : first + size], right, False, packed)
        assert np.array_equal(parts, whole), size


@pytest.mark.parametrize("indexed", [False, True])
def test_gradient(library: Library, indexed: bool) -> None:
    """Rows taken in order or through an index, in ragged blocks and tiles; and cut as threads would: the same bits."""
    rng = np.random.default_rng(5)
    for rows, count, columns in [(0, 5, 7), (1, 1, 1), (3, 0, 4), (100, 30, 70), (256, 64, 32), (700, 50, 45)]:
        left, right = library.normal(rows + 2, count, extra=2, seed=6), library.normal(rows + 2, columns, seed=7)
        chosen = [rng.integers(0, rows + 2, rows) if indexed else np.arange(rows) for _ in range(2)]
        index = tuple(chosen) if indexed else (None, None)
        result = library.gradient(left, right, index, rows)
        close(result, left[chosen[0]].astype(float).T @ right[chosen[1]].astype(float), rows)
        for cuts in ((count // 2,), (1, count // 3 + 1), (count // 2, count // 2)):
            if sorted(cuts)[-1] <= count:
                assert np.array_equal(library.gradient(left, right, index, rows, *cuts), result)
        if rows > 256:  # stretches of whole blocks change nothing, others the order of a sum
            assert np.array_equal(library.gradient(left, right, index, rows, begins=(0, 256, 512)), result)
            close(library.gradient(left, right, index, rows, begins=(0, 1, 300)), result.astype(float), rows)


@pytest.mark.parametrize("indexed", [False, True])
def test_sums(library: Library, indexed: bool) -> None:
    """Any number of rows and columns, in order or through an index, cut anywhere: the same bits."""
    for rows, columns in itertools.product((0, 1, 255, 256, 600), (1, 7, 64, 301)):
        arg = library.normal(rows + 1, columns, extra=1, seed=8)
        chosen = np.random.default_rng(rows).integers(0, rows + 1, rows) if indexed else np.arange(rows)
        index = chosen if indexed else None
        results = []
        stretches = (0, 256) if rows > 256 else (0,)
        for cuts, begins in (((0, columns), (0,)), ((0, 1, columns // 2 + 1, columns), stretches)):
            memory, out = library.area(1, columns)
            for first, last in itertools.pairwise(sorted({*cuts})):
                for begin, end in itertools.pairwise((*begins, rows)):
                    library("sums", out, arg, strides(arg)[0], index, begin, end - begin, first, last, begin > 0)
            results.append(untouched(memory, out)[0])
        close(results[0], arg[chosen].astype(float).sum(axis=0), rows)
        assert np.array_equal(*results)


@pytest.fixture(scope="module", params=SOME_WHOLE)
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Library, Library]]:
    """The functions where arrays are of a type of 16 bits, and those of float."""
    stored, name = request.param
    machine, folders = MACHINES[name].or_skip(), [tmp_path_factory.mktemp(real) for real in (stored, "float")]
    with compiled(machine, stored, folders[0]) as one, compiled(machine, "float", folders[1]) as other:
        yield stored, one, other


@pytest.mark.parametrize("way", ["packed", "columns", "terms"])
def test_operands_are_rounded_to_16_bits(pair: tuple[str, Library, Library], way: str) -> None:
    """The left side alone, as matrices are of such numbers already; the sums are those of float, to the last bit."""
    stored, library, plain = pair
    for rows, inner, columns in [(1, 40, 33), (3, 300, 70), (5, 31, 8), (40, 7, 100), (100, 257, 9)]:
        left, right = library.normal(rows, inner, extra=1, seed=1), laid_out(library, inner, columns, way)
        outs = [np.empty((rows, columns), np.float32) for _ in range(2)]
        library.multiply(outs[0], left, right, False, way == "packed")
        plain.multiply(outs[1], rounded(left, stored), right, False, way == "packed")
        if way == "terms" and inner > 256:  # in blocks here
            np.testing.assert_allclose(*outs, rtol=0, atol=1e-4)
        else:
            assert np.array_equal(*outs), (rows, inner, columns)


def test_gradients_and_sums_round_to_16_bits(pair: tuple[str, Library, Library]) -> None:
    """Both sides of a gradient, and what is summed, in order or through an index."""
    stored, library, plain = pair
    index = np.random.default_rng(3).integers(0, 300, 300)
    for (count, columns), chosen in itertools.product([(5, 7), (30, 70)], (None, index)):
        sides = library.normal(300, count, extra=2, seed=6), library.normal(300, columns, seed=7)
        exact = [rounded(side, stored) for side in sides]
        results = [lib.gradient(*some, (chosen, None), 300) for lib, some in ((library, sides), (plain, exact))]
        assert np.array_equal(*results)
        for lib, arg, out in zip((library, plain), (sides[1], exact[1]), results, strict=True):
            lib("sums", out, arg, strides(arg)[0], chosen, 0, 300, 0, columns, 0)
        assert np.array_equal(results[0][0], results[1][0])
