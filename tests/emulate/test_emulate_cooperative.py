"""Blocks of a cooperative launch run at the same time and wait for each other; what never comes is an error."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from grid_sources import FENCED, LOCK, LOOP

from symcell.emulate import KernelError
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages

ORDERS = ["forward", "reversed", 0, 1, 2]


def states(kernel: Any, blocks: int, H: int = 24, T: int = 5) -> tuple[Any, Any]:
    """What the kernel makes of T steps, and NumPy of the same."""
    rng = np.random.default_rng(0)
    U = rng.standard_normal((H, H)).astype(np.float32) / 5
    h = np.full((T + 1, H), np.nan, np.float32)
    h[0] = rng.standard_normal(H)
    expected = [h[0]]
    for _ in range(T):
        expected.append(np.tanh(U @ expected[-1]))
    kernel((1, blocks), (64,), (U, h, np.zeros(1, np.uint32), np.int32(T), np.int32(H)), shared_mem=4 * H)
    return h, np.stack(expected)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("blocks", [1, 4, 8])
def test_a_loop_over_time_in_one_launch(kernel: Any, order: Any, blocks: int) -> None:
    found, expected = states(kernel(LOOP, "loop", order, enable_cooperative_groups=True), blocks)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_missing_grid_barrier_shows(kernel: Any) -> None:
    """In some order a block reads what another has not yet written: NaN, as it was never written at all."""
    code = LOOP.replace("grid_barrier(counter, (t + 1) * gridDim.y);", "__syncthreads();")
    for order in ("forward", "reversed"):
        found, _ = states(kernel(code, "loop", order, enable_cooperative_groups=True), 4)
        assert np.isnan(found).any()


def test_a_plain_launch_of_waiting_blocks_is_a_deadlock(kernel: Any) -> None:
    with pytest.raises(KernelError) as error:
        states(kernel(LOOP, "loop"), 4)
    assert str(error.value).startswith(
        "kernel loop: deadlock: thread (0, 0, 0) of block 0 spins in line 15, where counter[0] stays 1, while nothing "
        "else can run; the blocks of a plain launch run one after another"
    )
    found, expected = states(kernel(LOOP, "loop"), 1)  # one block waits for nobody
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_fences_and_relaxed_atomics(kernel: Any, order: Any) -> None:
    out = np.zeros(4, np.int32)
    sums = kernel(FENCED, "sums", order, enable_cooperative_groups=True)
    sums((4,), (32,), (np.zeros(1, np.uint32), np.zeros(4, np.int32), out))
    np.testing.assert_array_equal(out, 10)


@pytest.mark.parametrize("order", ORDERS)
def test_a_block_that_never_arrives(kernel: Any, order: Any) -> None:
    leaves = kernel(FENCED, "one_leaves", order, enable_cooperative_groups=True)
    message = r"thread \(0, 0, 0\) of block 0 spins in line 17, where counter\[0\] stays 3, while nothing else"
    for _ in range(2):  # and the library stays usable
        with pytest.raises(KernelError, match=rf"{message} can run, and 1 of the 4 blocks have finished"):
            leaves((4,), (1,), (np.zeros(1, np.uint32),))


@pytest.mark.parametrize("order", ORDERS)
def test_a_barrier_that_one_block_leaves_out(kernel: Any, order: Any) -> None:
    code = LOOP.replace("        grid_barrier(", "        if (t != 1 || blockIdx.y != 2) grid_barrier(")
    with pytest.raises(KernelError, match=r"deadlock: .* spins in line 15, where counter\[0\] stays 11, while nothing"):
        states(kernel(code, "loop", order, enable_cooperative_groups=True), 4)


def test_waiting_for_a_time_ends(kernel: Any) -> None:
    for cooperative in (False, True):
        out = np.zeros(3, np.int32)
        kernel(FENCED, "patient", enable_cooperative_groups=cooperative)((3,), (2,), (out,))
        np.testing.assert_array_equal(out, 1)
        with pytest.raises(KernelError, match=r"block 0 spins in line 26, while nothing else can run"):
            kernel(FENCED, "sleeps", enable_cooperative_groups=cooperative)((2,), (2,), (out * 0,))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cooperative", [False, True])
def test_a_lock(kernel: Any, order: Any, cooperative: bool) -> None:
    """Also within a plain launch, and between the threads of a warp."""
    total = np.zeros(1, np.int32)
    add = kernel(LOCK, "add", order, enable_cooperative_groups=cooperative)
    add((3,), (40,), (np.zeros(1, np.int32), total))
    assert total[0] == 120


@pytest.mark.skipif(sys.platform != "linux", reason="the timer is Linux's")
def test_a_loop_that_never_ends() -> None:
    """Of a volatile number the emulator does not know that it is read, so that others might run meanwhile."""
    code = r"""
    extern "C" __global__ void waits(volatile int* flag) {
        if (blockIdx.x == 1) flag[0] = 1;
        while (threadIdx.x == 1 && flag[0] == 0) {}
        __syncthreads();
    }"""
    cupy: Any = packages(Settings(patience=1))["cupy"]
    kernel = cupy.RawModule(code=code, enable_cooperative_groups=True).get_function("waits")
    with pytest.raises(KernelError, match=r"thread \(1, 0, 0\) of block 0 has run for 1 s: its loop has no end, or"):
        kernel((2,), (4,), (cupy.zeros(2, np.int32),))
    kernel((2,), (1,), (cupy.zeros(2, np.int32),))  # and the library stays usable


def test_a_random_order_is_another_for_each_seed_and_the_same_for_one() -> None:
    code = r"""extern "C" __global__ void arrive(int* next, int* who) {
        who[atomicAdd(next, 1)] = blockIdx.x * blockDim.x + threadIdx.x;
        __syncthreads();
        who[atomicAdd(next, 1)] = blockIdx.x * blockDim.x + threadIdx.x;
    }"""

    def arrivals(seed: int) -> tuple[int, ...]:
        cupy: Any = packages(Settings(order=seed))["cupy"]
        who = cupy.zeros(48, np.int32)
        cupy.RawModule(code=code).get_function("arrive")((4,), (6,), (cupy.zeros(1, np.int32), who))
        return tuple(who.tolist())

    found = [arrivals(seed) for seed in (*range(6), *range(6))]
    assert found[:6] == found[6:]
    assert len(set(found)) == 6
    for each in found:
        assert sorted(each) == sorted([*range(24), *range(24)])
