"""The emulated device says what it has, and holds no more blocks of a cooperative launch than that."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
from grid_sources import FENCED

from symcell.emulate import CooperativeLaunchError, Device, KernelError, LaunchError, load
from symcell.emulate.kernels import find_kernels
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages

SHARED = r"""
__device__ float other(float x) { __shared__ float spare[8]; spare[threadIdx.x % 8] = x; return spare[0]; }
extern "C" __global__ void __launch_bounds__(256, 1) small(float* x) {
    __shared__ float part[4];
    part[threadIdx.x % 4] = x[0];
    x[1] = part[0];
}
extern "C" __global__ void __launch_bounds__(128, 4) large(float* x) {
    __shared__ double part[100];
    part[threadIdx.x % 4] = other(x[0]);
    x[1] = part[0];
}
"""


def cupy(**limits: Any) -> Any:
    """The stand-in with a device of these limits."""
    return packages(Settings(device=Device(**limits)))["cupy"]


def test_attributes() -> None:
    attributes = cupy().cuda.Device().attributes
    expected = {"MultiProcessorCount": 8, "MaxSharedMemoryPerBlockOptin": 232448, "CooperativeLaunch": 1,
                "MaxRegistersPerMultiprocessor": 65536}  # fmt: skip
    assert {name: attributes[name] for name in expected} == expected
    assert cupy(multiprocessors=3).cuda.Device().attributes["MultiProcessorCount"] == 3
    assert cupy(multiprocessors=3).cuda.runtime.getDeviceProperties(0)["multiProcessorCount"] == 3
    assert cupy(capability=(8, 0)).cuda.Device().compute_capability == "80"


def test_a_module_may_be_given_another_device() -> None:
    module = load("import cupy as cp\ncount = cp.cuda.Device().attributes['MultiProcessorCount']", "m",
                  device=Device(multiprocessors=5))  # fmt: skip
    assert module.count == 5


def test_launch_bounds() -> None:
    bounds = {k.name: (k.most_threads, k.least_blocks, k.registers) for k in find_kernels(SHARED).values()}
    assert bounds == {"small": (256, 1, 255), "large": (128, 4, 128)}
    (unknown,) = find_kernels('extern "C" __global__ void __launch_bounds__(THREADS) k() {}').values()
    assert (unknown.most_threads, unknown.registers) == (1024, 64)


def test_attributes_of_a_kernel() -> None:
    module = cupy().RawModule(code=SHARED)
    small, large = module.get_function("small"), module.get_function("large")
    assert (small.shared_size_bytes, large.shared_size_bytes) == (16 + 32, 800 + 32)  # and those of a function of both
    assert small.attributes == {
        "max_threads_per_block": 256, "shared_size_bytes": 48, "const_size_bytes": 0, "local_size_bytes": 0,
        "num_regs": 255, "max_dynamic_shared_size_bytes": 48 << 10, "preferred_shared_memory_carveout": -1,
    }  # fmt: skip
    small.preferred_shared_memory_carveout = 100
    assert small.preferred_shared_memory_carveout == 100
    with pytest.raises(LaunchError, match="percentage"):
        small.preferred_shared_memory_carveout = 101


def test_static_and_dynamic_memory_share_a_limit() -> None:
    large = cupy().RawModule(code=SHARED).get_function("large")
    with pytest.raises(LaunchError, match=r"at most 231616 on this device, besides 832 bytes of static"):
        large.max_dynamic_shared_size_bytes = 232448
    large.max_dynamic_shared_size_bytes = 231616
    large((1,), (32,), (cupy().zeros(2, np.float32),), shared_mem=231616)


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "blocks"),
    [
        (1024, 32, 0, 2),  # 2048 threads
        (64, 16, 0, 32),  # 32 blocks
        (256, 255, 0, 1),  # 65536 registers
        (256, 128, 0, 2),
        (33, 16, 0, 32),  # whole warps
        (256, 32, 100_000, 2),  # 233472 bytes, 1024 of each block for the driver
        (256, 32, 115_712, 2),
        (256, 32, 115_713, 1),
        (256, 32, 232_448, 1),
        (256, 32, 232_449, 0),
        (1024, 128, 0, 0),
        (1056, 16, 0, 0),
    ],
)
def test_blocks_of_a_multiprocessor(threads: int, registers: int, shared: int, blocks: int) -> None:
    assert Device().resident(threads, registers, shared) == blocks


def test_the_drivers_question() -> None:
    cp = cupy()
    large = cp.RawModule(code=SHARED).get_function("large")
    ask = cp.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor
    assert ask(large.kernel.ptr, 128, 0) == 4  # as its __launch_bounds__ demand
    assert ask(large.kernel.ptr, 128, 100_000) == 2


def test_a_grid_that_does_not_fit() -> None:
    """CuPy makes one of one axis smaller, with a warning, and refuses others."""
    cp = cupy(multiprocessors=2)
    patient = cp.RawModule(code=FENCED, enable_cooperative_groups=True).get_function("patient")
    assert cp.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(patient.kernel.ptr, 1024, 0) == 1
    out = cp.zeros(8, np.int32)
    with pytest.warns(UserWarning, match=r"^The grid size will be reduced from 5 to 2, as the specified grid size"):
        patient((5,), (1024,), (out,))
    assert out.tolist() == [1, 1] + 6 * [0]
    with pytest.raises(ValueError, match=r"grid size \(1 \* 3 \* 1\) exceeds the limit \(2\): kernel patient has 1"):
        patient((1, 3), (1024,), (out,))
    patient.max_dynamic_shared_size_bytes = 232448
    with pytest.raises(CooperativeLaunchError, match="cudaErrorCooperativeLaunchTooLarge"):
        patient((1, 3), (1,), (out,), shared_mem=232448)


def test_a_device_without_cooperative_launches() -> None:
    cp = packages(Settings(device=dataclasses.replace(Device(), cooperative=False)))["cupy"]
    patient = cp.RawModule(code=FENCED, enable_cooperative_groups=True).get_function("patient")
    with pytest.raises(LaunchError, match="cudaErrorNotSupported"):
        patient((1,), (1,), (cp.zeros(1, np.int32),))


def test_arrays_know_their_device() -> None:
    """A new one lies on the current device, which each thread has for itself, and a view where its memory is."""
    cp = cupy(count=2)
    with cp.cuda.Device(1):
        x = cp.zeros(4, "float32")
        assert cp.cuda.runtime.getDevice() == cp.cuda.Device().id == 1
        assert (x + x).device == x.device == cp.cuda.Device(1)
    assert x[1:].device.id == 1
    assert cp.asarray(x).device.id == cp.cuda.Device().id == 0
    with pytest.raises(ValueError, match="array device = 1 while current = 0"):
        x + x
    with pytest.raises(KernelError, match="kernel small: x lies on device 1, and the kernel runs on device 0"):
        cp.RawModule(code=SHARED).get_function("small")((1,), (1,), (x,))
    with pytest.raises(ValueError, match="there are 2 emulated devices, and none has the number 2"):
        cp.cuda.Device(2)


def test_no_device_is_an_error_of_cudas() -> None:
    for limits, status in (({"count": 0}, 100), ({"driver": 0}, 35), ({"driver": 12040}, 35)):
        cp = cupy(**limits)
        assert not cp.cuda.is_available()
        for call in (cp.cuda.Device, cp.cuda.runtime.getDevice, functools.partial(cp.zeros, 3)):
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError) as error:
                call()
            assert error.value.status == status
    assert cupy(driver=0).cuda.runtime.driverGetVersion() == 0
    assert cupy(driver=13020, toolkit=13010).cuda.is_available()


def test_memory_has_a_limit() -> None:
    """As much as is used and a little: what goes out of scope gives way."""
    cp = cupy()
    pool = cp.get_default_memory_pool()
    before = pool.used_bytes()
    x = cp.zeros(100)
    assert pool.used_bytes() == before + x.nbytes
    view = x[1:]
    del x
    assert pool.used_bytes() == before + 800
    pool.set_limit(before + 2000)
    try:
        with pytest.raises(
            cp.cuda.memory.OutOfMemoryError, match=r"Out of memory allocating 1,600 bytes \(allocated so"
        ):
            cp.zeros(200)
        with pytest.raises(MemoryError):
            cp.concatenate([view, view])
        del view
        assert cp.zeros(200).nbytes == 1600
    finally:
        pool.set_limit(0)


def test_the_driver_refuses_blocks_that_it_has_no_room_for() -> None:
    """Under MPS, say: the device's own numbers allow them."""
    cp = cupy(free=1)
    kernel = cp.RawModule(code=SHARED, enable_cooperative_groups=True).get_function("small")
    x = cp.zeros(2, "float32")
    kernel((1, 1), (256,), (x,))
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE") as error:
        kernel((1, 2), (256,), (x,))
    assert error.value.status == 720
    code = SHARED.replace("void __launch_bounds__(256, 1) small", "void __cluster_dims__(1, 2, 1) small")
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="CUDA_ERROR_INVALID_CLUSTER_SIZE") as error:
        cp.RawModule(code=code).get_function("small")((1, 2), (256,), (x,))
    assert error.value.status == 912


def test_a_stream_is_one_of_its_device() -> None:
    cp = cupy(count=2)
    with cp.cuda.Device(1), cp.cuda.Stream() as stream:
        assert cp.cuda.get_current_stream() is stream
    for enter in (stream.use, stream.__enter__):
        with pytest.raises(RuntimeError, match=r"created on \(1\) does not match with the current device \(0\)"):
            enter()
