"""Kernels of small programs, made by hand, as CUDA: they run in the emulator and compile with NVIDIA's own compiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from symcell.cell import ONE, Size
from symcell.emit.cupy.source import functions, kernels_of, launches
from symcell.emulate import nvrtc
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages
from symcell.graph import Contraction, Graph, Matrix, Operand, Pointwise, Reduce
from symcell.program.model import Buffer, Kernel, Member, Phase, Profile, Program, Ref, Region, Statement
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param

H, K = Size.of("H"), Size.of("K")
B = 5  # samples
PROFILE = Profile("cupy", registers=True)


def buffer(name: str, *members: tuple[str, tuple[Size, ...]], extent: Any = "whole", depth: int = 0) -> Buffer:
    return Buffer(name, tuple(Member(*m) for m in members), extent, depth)


def program(buffers: tuple[Buffer, ...], made: Kernel, kind: Any = "steps", labels: Mapping[str, str] = {}) -> Program:
    graph = Graph("by hand", {}, (), (), (), ())
    regions = (Region(kind, (made,)),)
    return Program("forward", PROFILE, graph, {b.name: b for b in buffers}, regions, (), (), {}, (), labels)


def source(made: Program) -> str:
    """The CUDA source of a program's kernels, each with its launch."""
    kernels = kernels_of([made])
    return functions(kernels) + launches(kernels)


def pointwise(name: str, body: Any, shape: Any, out: Ref | None, **reads: Ref) -> Statement:
    """A statement; ``reads`` by the names of its operands, each read where the body reads it."""
    operands: dict[Operand, Ref] = {o: reads[o.signal] for o in body.atoms(At, Param) if o.signal in reads}
    return Statement((Pointwise(name, body),), shape, out, operands)


def launch(made: Program, order: Any, grid: tuple[int, ...], block: tuple[int, ...], *args: Any) -> None:
    """Run the program's kernel once; what it writes is found in the arrays among ``args`` afterwards."""
    cupy: Any = packages(Settings(order=order))["cupy"]
    code = f"typedef double real;\n{source(made)}"
    kernel = cupy.RawModule(code=code, options=("--std=c++17",)).get_function("forward_1")
    arrays = {id(a): cupy.asarray(a) for a in args if isinstance(a, np.ndarray)}
    kernel(grid, block, tuple(arrays.get(id(a), a) for a in args))
    for a in args:
        if isinstance(a, np.ndarray):
            a[...] = cupy.asnumpy(arrays[id(a)])


def lstm() -> Program:
    """The memory of a long short-term memory: c = f * c[t-1] + i * g, h = o * tanh(c)."""
    gates = buffer("gates", ("i", (H,)), ("f", (H,)), ("g", (H,)), ("o", (H,)))
    place = {name: Ref("gates", k) for k, name in enumerate("ifgo")}
    i, f, g, o, c = (At(n) for n in "ifgoc")
    one = pointwise(
        "c", f * At("c", 1) + i * g, (H,), Ref("c", shift=1), f=place["f"], i=place["i"], g=place["g"], c=Ref("c")
    )
    two = pointwise("h", o * fn.Tanh(c), (H,), Ref("h"), o=place["o"])
    buffers = (gates, buffer("c", ("c", (H,)), depth=1), buffer("h", ("h", (H,)), extent="local"))
    return program(buffers, Kernel("forward_1", (Phase((H,), body=(one, two)),), False), labels={"c": "cell state"})


def layernorm() -> Program:
    """y = gain * (v - mean(v)) / sqrt(var(v) + eps) + sum(v[t-1]): two reductions, what crosses phases being stored."""
    buffers = (
        buffer("v", ("v", (H,)), depth=1),
        buffer("d", ("d", (H,)), extent="local"),
        buffer("y", ("y", (H,)), ("s", (ONE,))),
        Buffer("params", (Member("gain", (H,)),), "fixed", origin="params"),
    )
    v, d = At("v"), At("d")
    count, eps = Count(H), Constant("eps", 1e-3)
    total = Statement((Reduce("total", "sum", v),), (), None, {v: Ref("v", shift=1)})
    lag = Statement((Reduce("lag", "max", At("v", 1)),), (), None, {At("v", 1): Ref("v")})
    mean = pointwise("mean", At("total") / count, (), None)
    centred = pointwise("d", v - At("mean"), (H,), Ref("d"), v=Ref("v", shift=1))
    square = pointwise("d2", d**2, (H,), None)
    squares = Statement((Reduce("squares", "sum", At("d2")),), (), None, {})
    scale = pointwise("s", fn.Sqrt(At("squares") / count + eps), (), Ref("y", 1))
    result = pointwise("y", Param("gain") * d / At("s") + At("lag"), (H,), Ref("y"), gain=Ref("params"), d=Ref("d"))
    phases = (
        Phase((H,), reductions=(total, lag)),
        Phase((H,), (mean,), (centred, square), (squares,)),
        Phase((H,), (scale,), (result,)),
    )
    return program(buffers, Kernel("forward_1", phases, True))


def memory() -> Program:
    """C = f * C[t-1] + outer(v, k), s = C @ q + Σ over rows of C: a matrix, then what walks over it."""
    buffers = (
        buffer("C", ("C", (H, K)), depth=1),
        buffer("vk", ("f", (ONE,)), ("v", (H,)), ("k", (K,)), ("q", (K,))),
        buffer("s", ("s", (H,)), ("z", (K,))),
    )
    c, q = At("C"), At("q")
    body = At("f") * At("C", 1) + At("v", axis=0) * At("k", axis=1)
    grown = pointwise("C", body, (H, K), Ref("C", shift=1), f=Ref("vk"), C=Ref("C"), v=Ref("vk", 1), k=Ref("vk", 2))
    product = Statement((Contraction("u", ((Matrix(c), q),)),), (H,), None, {c: Ref("C", shift=1), q: Ref("vk", 3)})
    largest = Statement((Reduce("m", "max", c, 1),), (H,), None, {c: Ref("C", shift=1)})
    s = pointwise("s", At("u") - At("m"), (H,), Ref("s"))
    back = Statement(
        (Contraction("w", ((Matrix(c, True), At("v")),)),), (K,), None, {c: Ref("C", shift=1), At("v"): Ref("vk", 1)}
    )
    column = Statement((Reduce("n", "sum", c, 0),), (K,), None, {c: Ref("C", shift=1)})
    z = pointwise("z", At("w") + At("n"), (K,), Ref("s", 1))
    phases = (
        Phase((H, K), body=(grown,)),
        Phase((H,), body=(product, largest, s), barrier=True),
        Phase((K,), body=(back, column, z)),
    )
    return program(buffers, Kernel("forward_1", phases, True))


def reading() -> Program:
    """s = 2 C @ q, every row of C by itself."""
    buffers = (buffer("C", ("C", (H, K))), buffer("q", ("q", (K,))), buffer("s", ("s", (H,)), extent="local"))
    c, q = At("C"), At("q")
    product = Statement((Contraction("u", ((Matrix(c), q),)),), (H,), None, {c: Ref("C"), q: Ref("q")})
    twice = pointwise("s", 2 * At("u"), (H,), Ref("s"))
    return program(buffers, Kernel("forward_1", (Phase((H,), body=(product, twice)),), False))


ORDERS = ["forward", "reversed"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("h", [1, 3, 32, 300])
def test_units_by_themselves(h: int, order: str) -> None:
    """Blocks of several rows, of part of a row, and a start that is not the first row."""
    rng = np.random.default_rng(0)
    gates, c, out = rng.normal(size=(2 * B, 4, h)), rng.normal(size=(3 * B, h)), np.full((B, h), np.nan)
    before, now = c[B : 2 * B].copy(), gates[B:]
    wide = min(h, 256)
    grid, block = (B, -(-h // wide)), (wide, 256 // wide)
    launch(lstm(), order, grid, block, B, h, c, B, gates, B, c, 2 * B, out)
    expected = now[:, 1] * before + now[:, 0] * now[:, 2]
    np.testing.assert_allclose(c[2 * B :], expected, rtol=1e-14)
    np.testing.assert_allclose(out, now[:, 3] * np.tanh(expected), rtol=1e-14)
    np.testing.assert_array_equal(c[B : 2 * B], before)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("h", "threads"), [(1, 32), (33, 64), (300, 256)])
def test_units_of_a_row_meet(h: int, threads: int, order: str) -> None:
    rng = np.random.default_rng(0)
    v, d, y, gain = rng.normal(size=(2 * B, h)), np.empty((B, h)), np.empty((B, h + 1)), rng.normal(size=h)
    launch(layernorm(), order, (B,), (threads,), h, v, B, v, 0, d, y, 0, gain)
    scale = np.sqrt(v[B:].var(1, keepdims=True) + 1e-3)
    expected = gain * (v[B:] - v[B:].mean(1, keepdims=True)) / scale + v[:B].max(1, keepdims=True)
    np.testing.assert_allclose(y[:, :h], expected, rtol=1e-9)
    np.testing.assert_allclose(y[:, h:], scale, rtol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("h", "k"), [(1, 1), (7, 40), (40, 7)])
def test_matrices(h: int, k: int, order: str) -> None:
    """A matrix grown by an outer product, and products and reductions along both axes that read it back."""
    rng = np.random.default_rng(0)
    c, vk, s = rng.normal(size=(2 * B, h, k)), rng.normal(size=(B, 1 + h + 2 * k)), np.empty((B, h + k))
    f, v, key, q = np.split(vk, [1, 1 + h, 1 + h + k], 1)
    expected = f[:, :, None] * c[:B] + v[:, :, None] * key[:, None, :]
    launch(memory(), order, (B,), (64,), h, k, c, 0, vk, 0, c, B, s, 0)
    np.testing.assert_allclose(c[B:], expected, rtol=1e-12)
    read = np.einsum("bhk,bk->bh", expected, q) - expected.max(2)
    back = np.einsum("bhk,bh->bk", expected, v) + expected.sum(1)
    np.testing.assert_allclose(s, np.concatenate([read, back], 1), rtol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("h", "k"), [(1, 1), (7, 40), (40, 7)])
def test_a_warp_walks_along_a_row(h: int, k: int, order: str) -> None:
    """Where every unit is by itself, too, though its row's threads work together."""
    rng = np.random.default_rng(0)
    c, vk, s = rng.normal(size=(B, h, k)), rng.normal(size=(B, k)), np.full((B, h), np.nan)
    wide = min(32 * h, 256)
    tall = 256 // wide
    launch(reading(), order, (-(-B // tall), -(-32 * h // wide)), (wide, tall), B, h, k, c, 0, vk, 0, s)
    np.testing.assert_allclose(s, 2 * np.einsum("bhk,bk->bh", c, vk), rtol=1e-9)


@pytest.mark.skipif(not nvrtc.available(), reason=nvrtc.unavailable() or "")
@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("made", [lstm, layernorm, memory, reading])
def test_compiles(made: Any, arch: str, real: str) -> None:
    """With NVIDIA's compiler; a float kernel nowhere computes in double, and none divides long integers."""
    ptx = nvrtc.compile_ptx(f"typedef {real} real;\n{source(made())}", arch)
    assert b".entry forward_1" in ptx
    assert (b".f64" in ptx) == (real == "double")
    assert not [op for op in (b"div.s64", b"rem.s64", b"div.u64", b"rem.u64") if op in ptx]


@pytest.mark.parametrize("made", [lstm, layernorm, memory, reading])
def test_lines_fit_a_page(made: Any) -> None:
    assert max(map(len, source(made()).splitlines())) <= 120


def test_what_is_only_read_is_const_and_unaliased() -> None:
    """The cell state is read at one step and written at the next: nothing is promised of its pointer."""
    text = source(lstm())
    assert "const real* __restrict__ gates_t_rows," in text
    assert "    const real* c_t1_rows," in text
    assert "    real* c_t_rows," in text
    assert "real* __restrict__ h_t_rows)" in text


def turning() -> Program:
    """u = C @ q, by warps; then by threads s = u * max(q), where nothing but the change of hands separates the two."""
    buffers = (
        buffer("C", ("C", (H, K))),
        buffer("q", ("q", (K,))),
        buffer("s", ("u", (H,)), ("s", (H,)), extent="local"),
    )
    c, q = At("C"), At("q")
    largest = Statement((Reduce("m", "max", q),), (), None, {q: Ref("q")})
    product = Statement((Contraction("u", ((Matrix(c), q),)),), (H,), Ref("s"), {c: Ref("C"), q: Ref("q")})
    scaled = pointwise("s", At("u") * At("m"), (H,), Ref("s", 1), u=Ref("s"))
    phases = (Phase((K,), reductions=(largest,)), Phase((H,), body=(product,)), Phase((H,), body=(scaled,)))
    return program(buffers, Kernel("forward_1", phases, True))


@pytest.mark.parametrize("order", ORDERS)
def test_threads_wait_for_warps(order: str) -> None:
    rng = np.random.default_rng(0)
    h, k = 9, 5
    c, q, s = rng.normal(size=(B, h, k)), rng.normal(size=(B, k)), np.full((B, 2 * h), np.nan)
    launch(turning(), order, (B,), (64,), h, k, q, 0, c, 0, s)
    np.testing.assert_allclose(s[:, h:], np.einsum("bhk,bk->bh", c, q) * q.max(1, keepdims=True), rtol=1e-9)
