"""What a GPU would corrupt, hang on or refuse is an error here, and its message says what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_sources import ADD, DIVERGENT, DYNAMIC, GRID, KINDS, REDUCE

from symcell.emulate import CompileError, EmulatorError, KernelError, LaunchError

FLOATS = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "half",
            r"divergent __syncthreads\(\) in line 4: 32 of the 64 threads of block 0 wait there, 32 have",
        ),
        ("branches", r"wait at different barriers, in lines 11 and 9"),
        ("lane", r"divergent __syncthreads\(\) in line 16: 33 of the 64"),
    ],
)
def test_a_divergent_barrier(kernel: Any, name: str, message: str) -> None:
    divergent, x = kernel(DIVERGENT, name), np.zeros(64, np.float32)
    for _ in range(2):  # a failed launch leaves the library usable
        with pytest.raises(KernelError, match=message):
            divergent((2,), (64,), (x,))
    out = np.zeros(64, np.int32)
    kernel(DIVERGENT, "counts")((1,), (64,), (out,))
    np.testing.assert_array_equal(out, 10 + 100)


def test_a_divergent_grid_barrier(kernel: Any) -> None:
    with pytest.raises(KernelError, match=r"divergent grid.sync\(\) in line 18: block 0 waits there and block 1 has"):
        kernel(GRID, "some_blocks", enable_cooperative_groups=True)((2,), (1,), (FLOATS,))


def test_a_grid_barrier_needs_a_cooperative_launch(kernel: Any) -> None:
    with pytest.raises(KernelError, match="enable_cooperative_groups"):
        kernel(GRID, "some_blocks")((2,), (1,), (FLOATS,))


GOOD = {
    "x": FLOATS,
    "y": np.zeros(1),
    "n": np.int32(1),
    "m": 2,
    "a": np.float32(3),
    "b": 4.0,
    "flag": True,
    "u": np.uint32(5),
}


def test_arguments_of_every_kind(kernel: Any) -> None:
    y = np.zeros(1)
    kernel(KINDS, "kinds")((1,), (1,), tuple({**GOOD, "y": y}.values()))
    assert y[0] == 1 + 1 + 2 + 3 + 4 + 1 + 5
    kernel(KINDS, "nothing")((1,), (1,), ())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", np.ones(1), r"argument 0 of kernel kinds \(pointer to float32 x\) is an array of float64"),
        ("x", np.ones(1, np.int32), r"pointer to float32 x\) is an array of int32"),
        ("y", FLOATS, r"pointer to float64 y\) is an array of float32"),
        ("x", 1.0, r"pointer to float32 x\) is a float, which is passed as float64"),
        ("x", [1.0], "has the type list"),
        ("n", 1, r"argument 2 of kernel kinds \(int32 n\) is a int, which is passed as int64"),
        ("n", np.float32(1), r"int32 n\) is a float32"),
        ("m", np.int32(1), r"int64 m\) is a int32"),
        ("m", FLOATS, r"int64 m\) is an array of float32, which is passed as a pointer"),
        ("m", None, "passed as a null pointer"),
        ("a", 1.0, r"float32 a\) is a float, which is passed as float64"),
        ("b", np.float32(1), r"float64 b\) is a float32"),
        ("flag", 1, r"bool flag\) is a int"),
        ("u", True, r"uint32 u\) is a bool"),
    ],
)
def test_an_argument_of_a_wrong_type(kernel: Any, name: str, value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        kernel(KINDS, "kinds")((1,), (1,), tuple({**GOOD, name: value}.values()))


def test_a_read_only_array_is_not_written(kernel: Any) -> None:
    y = np.zeros(1)
    y.flags.writeable = False
    with pytest.raises(TypeError, match=r"pointer to float64 y\) may be written, and the array is read-only"):
        kernel(KINDS, "kinds")((1,), (1,), tuple({**GOOD, "y": y}.values()))


@pytest.mark.parametrize("count", [0, 7, 9])
def test_a_wrong_number_of_arguments(kernel: Any, count: int) -> None:
    with pytest.raises(TypeError, match=f"kinds takes 8 arguments, not {count}"):
        kernel(KINDS, "kinds")((1,), (1,), (*GOOD.values(), 1)[:count])


@pytest.mark.parametrize(
    ("grid", "block", "shared", "message"),
    [
        ((1,), (257,), 0, "257 threads, and its __launch_bounds__ allows 256"),
        ((1,), (1, 1, 65), 0, "block .* over CUDA's limits"),
        ((1, 65536), (1,), 0, "grid .* over CUDA's limits"),
        ((2**31,), (1,), 0, "grid .* over CUDA's limits"),
        ((1,), (1,), 49153, "49153 bytes of dynamic shared memory, and the limit is 49152"),
    ],
)
def test_a_launch_over_the_limits(kernel: Any, grid: Any, block: Any, shared: int, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        kernel(REDUCE, "total")(grid, block, (FLOATS, FLOATS, 4), shared_mem=shared)


def test_more_than_1024_threads(kernel: Any) -> None:
    with pytest.raises(LaunchError, match="1056 threads, and a block may have 1024"):
        kernel(DYNAMIC, "reverse")((1,), (33, 32), (np.ones(9),))


def test_more_shared_memory_after_opting_in(kernel: Any) -> None:
    reverse, x = kernel(DYNAMIC, "reverse"), np.arange(4.0)
    reverse.max_dynamic_shared_size_bytes = 100_000
    reverse((1,), (4,), (x,), shared_mem=100_000)
    np.testing.assert_array_equal(x, [3, 2, 1, 0])
    with pytest.raises(LaunchError, match="at most 232448 on this device, besides 0 bytes"):
        reverse.max_dynamic_shared_size_bytes = 300_000


def test_a_grid_of_zero_is_launched_as_one_like_cupy(kernel: Any) -> None:
    out = np.zeros(1, np.float32)
    kernel(REDUCE, "total")((0,), (256,), (FLOATS, out, 4))
    assert out[0] == 4


@pytest.mark.parametrize("grid", [1, [1], (1.0,), (2.5,)])
def test_a_grid_that_is_not_a_tuple_of_ints(kernel: Any, grid: Any) -> None:
    with pytest.raises(TypeError):
        kernel(REDUCE, "total")(grid, (256,), (FLOATS, FLOATS, 4))


def test_a_source_that_does_not_compile(kernel: Any) -> None:
    with pytest.raises(CompileError, match=r"kernel.cu:2.*undeclared_name"):
        kernel('extern "C" __global__ void k(float* x) {\n x[0] = undeclared_name; }', "k")


def test_a_kernel_that_cupy_would_not_find(kernel: Any) -> None:
    with pytest.raises(EmulatorError, match="no kernel 'missing'; it has total"):
        kernel(REDUCE, "missing")
    with pytest.raises(EmulatorError, match='not extern "C"'):
        kernel(ADD.replace("REAL", "float").replace('extern "C"', ""), "add")


def test_an_unknown_option(kernel: Any) -> None:
    with pytest.raises(ValueError, match="--turbo"):
        kernel(REDUCE, "total", options=("--turbo",))
    with pytest.raises(TypeError, match="tuple of str"):
        kernel(REDUCE, "total", options=["-DX"])
