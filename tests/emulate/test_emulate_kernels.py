"""Kernels compute what CUDA says they do: indices, reductions, warps, shared memory, atomics, math."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from cuda_sources import ADD, ARRIVAL, DYNAMIC, GRID, INDEX_2D, MATH, REDUCE, REDUCE_WITHOUT_BARRIERS, SPIN, WARP

ORDERS = ["forward", "reversed"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 31, 257, 1000])
def test_adds_vectors(kernel: Any, dtype: str, n: int) -> None:
    add = kernel(ADD.replace("REAL", {"float32": "float", "float64": "double"}[dtype]), "add")
    x, y = np.arange(n, dtype=dtype), np.full(n, 0.1, dtype)
    z = np.full(n + 1, -1, dtype)
    add(((n + 255) // 256,), (256,), (x, y, z, n))
    np.testing.assert_array_equal(z[:-1], x + y)
    assert z[-1] == -1


def test_a_type_may_come_from_an_option(kernel: Any) -> None:
    add = kernel(ADD, "add", options=("-DREAL=double",))
    z = np.zeros(3)
    add((1,), (32,), (np.ones(3), np.ones(3), z, 3))
    np.testing.assert_array_equal(z, 2)


@pytest.mark.parametrize("order", ORDERS)
def test_indices_in_two_dimensions(kernel: Any, order: str) -> None:
    rows, columns, block = 7, 13, (4, 2)
    out = np.full((rows, columns), -1, np.int32)
    kernel(INDEX_2D, "number", order)((4, 4), block, (out, np.int32(rows), np.int32(columns)))
    row, column = np.indices((rows, columns))
    thread = row % block[1] * block[0] + column % block[0]
    np.testing.assert_array_equal(out, 1000 * thread + row // block[1] * 4 + column // block[0])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [1, 31, 32, 33, 255, 256, 1000])
def test_reduces_a_block(kernel: Any, n: int, order: str) -> None:
    x, out = np.arange(n, dtype=np.float32), np.zeros(3, np.float32)
    kernel(REDUCE, "total", order)((3,), (256,), (x, out, n))
    np.testing.assert_array_equal(out, x.sum())


@pytest.mark.parametrize(("order", "step"), [("forward", 1), ("reversed", -1)])
def test_threads_run_in_the_order_asked_for(kernel: Any, order: str, step: int) -> None:
    counter, before, after = np.zeros(2, np.int32), np.zeros(12, np.int32), np.zeros(12, np.int32)
    kernel(ARRIVAL, "arrive", order)((3,), (4,), (counter, before, after))
    np.testing.assert_array_equal(before, np.arange(12)[::step])
    np.testing.assert_array_equal(after, np.arange(12)[::step])


def test_a_missing_barrier_shows_in_one_of_the_orders(kernel: Any) -> None:
    x = np.ones(256, np.float32)
    sums = []
    for order in ORDERS:
        out = np.zeros(1, np.float32)
        kernel(REDUCE_WITHOUT_BARRIERS, "total", order)((1,), (256,), (x, out, 256))
        sums.append(float(out[0]))
    assert sums != [256.0, 256.0]


@pytest.mark.parametrize("order", ORDERS)
def test_warp_shuffles_and_votes(kernel: Any, order: str) -> None:
    x = np.arange(64, dtype=np.float32)
    down, up, flip, source = (np.zeros(64, np.float32) for _ in range(4))
    votes = np.zeros(64, np.int32)
    kernel(WARP, "lanes", order)((1,), (64,), (x, down, up, flip, source, votes))
    lane = np.arange(64) % 32
    np.testing.assert_array_equal(down, np.where(lane + 3 < 32, x + 3, x))
    np.testing.assert_array_equal(up, np.where(lane % 16 >= 3, x - 3, x))
    np.testing.assert_array_equal(flip, np.arange(64) ^ 5)
    np.testing.assert_array_equal(source, np.arange(64) // 8 * 8 + 7)
    np.testing.assert_array_equal(votes[:32], 32 + 1000)
    np.testing.assert_array_equal(votes[32:], 8 + 100)


def test_shuffles_move_doubles(kernel: Any) -> None:
    x = np.linspace(0, 1, 64)
    sums = x.reshape(2, 32).sum(axis=1)
    kernel(WARP, "doubles")((1,), (64,), (x,))
    np.testing.assert_allclose(x[[0, 32]], sums, rtol=1e-15)


def test_a_lane_that_is_not_there_gives_nan(kernel: Any) -> None:
    x, n = np.ones(64), 40
    kernel(WARP, "doubles")((1,), (n,), (x,))
    assert x[0] == 32
    assert np.isnan(x[32])


@pytest.mark.parametrize("order", ORDERS)
def test_dynamic_shared_memory(kernel: Any, order: str) -> None:
    x = np.arange(96.0)
    kernel(DYNAMIC, "reverse", order)((3,), (32,), (x,), shared_mem=32 * 8)
    np.testing.assert_array_equal(x, np.arange(96.0).reshape(3, 32)[:, ::-1].ravel())


def test_unwritten_shared_memory_is_nan_in_every_launch(kernel: Any) -> None:
    unwritten = kernel(DYNAMIC, "unwritten")
    for _ in range(2):
        out = np.zeros((8, 2), np.float32)
        unwritten((2,), (8,), (out,), shared_mem=32)
        np.testing.assert_array_equal(out[0], [1, 2])
        assert np.isnan(out[1:]).all()


@pytest.mark.parametrize("order", ORDERS)
def test_grid_sync(kernel: Any, order: str) -> None:
    rotate = kernel(GRID, "rotate", order, enable_cooperative_groups=True)
    x, out = np.arange(12, dtype=np.float32), np.zeros(12, np.float32)
    rotate((4,), (3,), (x, out, 5))
    np.testing.assert_array_equal(out, np.roll(np.arange(12), -5) + np.repeat([0, 100, 200, 300], 3))


@pytest.mark.parametrize("order", ORDERS)
def test_blocks_may_wait_for_each_other_by_spinning(kernel: Any, order: str) -> None:
    counter, out = np.zeros(1, np.int32), np.zeros(12, np.int32)
    kernel(SPIN, "spin", order, enable_cooperative_groups=True)((3,), (4,), (counter, out))
    np.testing.assert_array_equal(out, 3)


def test_math_of_single_precision(kernel: Any) -> None:
    out = np.zeros(16, np.float32)
    kernel(MATH, "singles")((1,), (1,), (np.full(1, 0.5, np.float32), out))
    np.testing.assert_array_equal(out, [0, 0, 0, 0.5, 0.5, 1, 0, 0.5, 4, np.nan, 2, 1, 0.25, 0, 10, -1])


def test_atomics(kernel: Any) -> None:
    total, double, most = np.zeros(1, np.float32), np.zeros(1), np.zeros(1, np.int32)
    bits, last = np.zeros(1, np.uint32), np.zeros(2, np.uint64)
    kernel(MATH, "atomics")((1,), (32,), (total, double, most, bits, last))
    assert (total[0], double[0], most[0], bits[0], *last) == (16, 8, 31, 2**32 - 1, 7, 31)


def test_threads_of_python_may_launch_at_once(kernel: Any) -> None:
    wrong = []

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).integers(0, 9, 1000).astype(np.float32)
        for _ in range(20):
            out = np.zeros(8, np.float32)
            kernel(REDUCE, "total")((8,), (256,), (x, out, x.size))
            if not (out == x.sum()).all():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
