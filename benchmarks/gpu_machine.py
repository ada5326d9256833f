"""What a GPU and its driver take for the parts that a recurrent step consists of, measured before any cell."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np
from gpu_kernels import CUDA, NAMES, OPTIONS
from gpu_timing import DeviceClock

from symcell.bench.machine import this_machine

THREADS = 256
ROUNDS = 2000
REPEATS = 7
ATTRIBUTES = ("MultiProcessorCount", "MaxSharedMemoryPerBlockOptin", "MaxSharedMemoryPerMultiprocessor", "L2CacheSize",
              "MaxRegistersPerMultiprocessor", "CooperativeLaunch", "ClockRate", "MemoryClockRate",
              "GlobalMemoryBusWidth")  # fmt: skip
LIBRARIES = ("cupy-cuda13x", "cupy-cuda12x", "torch", "triton", "nvidia-cudnn-cu13", "nvidia-cublas")


@dataclass(frozen=True)
class Found:
    """One number: ``value`` is the median, ``least`` and ``most`` the spread; or why there is none."""

    what: str
    unit: str
    value: float | None = None
    least: float | None = None
    most: float | None = None
    error: str | None = None

    def data(self) -> dict[str, Any]:
        return {k: (float(f"{v:.5g}") if isinstance(v, float) else v) for k, v in asdict(self).items() if v is not None}

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.what}: {self.error}"
        return f"{self.what}: {self.value:.4g} {self.unit}  ({self.least:.4g} … {self.most:.4g})"


Measured = Callable[[], Sequence[float]]
"""Some samples of one number."""


def device() -> dict[str, Any]:
    """The GPU, its driver, and the versions of what runs on it."""
    import cupy as cp

    runtime, this = cp.cuda.runtime, cp.cuda.Device()
    properties, attributes = runtime.getDeviceProperties(this.id), this.attributes
    return {
        "name": properties["name"].decode(),
        "compute": this.compute_capability,
        "memory": int(properties["totalGlobalMem"]),
        "attributes": {name: attributes[name] for name in ATTRIBUTES if name in attributes},
        "driver": _driver(),
        "cuda": {"driver": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion()},
        "nvrtc": list(cp.cuda.nvrtc.getVersion()),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "host": this_machine(),
    }


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,clocks.max.mem", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def basics(*, quick: bool = False) -> Iterator[Found]:
    """All of it, one number after the other; what fails says why."""
    _warm()
    for what, unit, measure in _list(quick):
        try:
            samples = list(measure())
            yield Found(what, unit, statistics.median(samples), min(samples), max(samples))
        except Exception as problem:
            yield Found(what, unit, error=f"{type(problem).__name__}: {str(problem).strip()[:200]}")


def _list(quick: bool) -> Iterator[tuple[str, str, Measured]]:
    import cupy as cp

    processors = cp.cuda.Device().attributes["MultiProcessorCount"]
    for blocks in sorted({8, 32, processors // 2, processors}):
        yield f"grid barrier, {blocks} blocks", "µs", lambda n=blocks: _barrier(n)
    for blocks, floats in ((processors // 2, 8192), (processors, 1024), (processors, 16384), (processors, 65536)):
        yield f"exchange of {floats} floats, {blocks} blocks", "µs", lambda n=blocks, f=floats: _exchange(n, f)
    for blocks in (1, processors):
        yield f"graph node, {blocks} blocks", "µs", lambda n=blocks: _graph(n)
    yield "host: matmul (32,512)x(512,2048)", "µs", _host_matmul
    yield "host: RawKernel, 10 arguments", "µs", _host_kernel
    yield "host: elementwise a + b", "µs", _host_add
    yield "device: matmul (32,512)x(512,2048)", "µs", _device_matmul
    yield "L2 round trip", "ns", _chase
    yield "L2 bandwidth, all blocks read 4 MB", "GB/s", lambda: _reads(1 << 22)
    yield "L2 bandwidth, all blocks read 64 KB", "GB/s", lambda: _reads(1 << 16)
    yield "device memory copy, read + written", "GB/s", _copy
    width = 4096 if quick else 8192
    for dtype in ("float32", "tf32", "float16", "bfloat16"):
        yield f"matmul {width}³ {dtype}", "TFLOP/s", lambda d=dtype, w=width: _product(w, d)


def _warm() -> None:
    """Half a second of work, after which the clocks are up."""
    import cupy as cp

    a = cp.asarray(np.random.default_rng(0).standard_normal((2048, 2048), np.float32))
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        cp.matmul(a, a)
        cp.cuda.Device().synchronize()


_kernels: dict[tuple[str, bool], Any] = {}


def _kernel(name: str, *, cooperative: bool = False) -> Any:
    import cupy as cp

    assert name in NAMES
    if (name, cooperative) not in _kernels:
        _kernels[name, cooperative] = cp.RawKernel(CUDA, name, OPTIONS, enable_cooperative_groups=cooperative)
    return _kernels[name, cooperative]


def _spent(run: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Seconds on the device, of each run after the first."""
    clock = DeviceClock()
    run()
    found = []
    for _ in range(repeats):
        start = clock()
        run()
        found.append(clock() - start)
    return found


def _each_round(run: Callable[[int], object]) -> list[float]:
    """µs of one round of a kernel that takes their number: what more rounds take more."""
    none = statistics.median(_spent(lambda: run(1)))
    return [1e6 * (spent - none) / (ROUNDS - 1) for spent in _spent(lambda: run(ROUNDS))]


def _barrier(blocks: int) -> list[float]:
    import cupy as cp

    kernel, counter = _kernel("barriers", cooperative=True), cp.zeros(1, cp.uint32)

    def run(rounds: int) -> None:
        counter.fill(0)
        kernel((1, blocks), (THREADS,), (counter, rounds))

    return _each_round(run)


def _exchange(blocks: int, floats: int) -> list[float]:
    import cupy as cp

    kernel, counter = _kernel("exchanges", cooperative=True), cp.zeros(1, cp.uint32)
    state, out = cp.ones(2 * floats, cp.float32), cp.zeros(blocks * THREADS, cp.float32)

    def run(rounds: int) -> None:
        counter.fill(0)
        kernel((1, blocks), (THREADS,), (counter, state, out, floats // 4, rounds))

    return _each_round(run)


def _small(blocks: int) -> Callable[[], None]:
    import cupy as cp

    kernel, a = _kernel("small"), cp.ones(blocks * THREADS, cp.float32)
    return lambda: kernel((blocks,), (THREADS,), (blocks, THREADS, a, 0, a, a, a, a, 0, 0))


def _graph(blocks: int) -> list[float]:
    import cupy as cp

    nodes, launch = 200, _small(blocks)
    launch()
    cp.cuda.Device().synchronize()
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for _ in range(nodes):
            launch()
        graph = stream.end_capture()
        graph.launch(stream)
        stream.synchronize()
        return [1e6 * spent / nodes for spent in _spent(lambda: graph.launch(stream))]


def _on_host(call: Callable[[], object], calls: int = 200) -> list[float]:
    """µs of the host's for a call, while the device's queue has room for all."""
    import cupy as cp

    found = []
    for _ in range(REPEATS):
        call()
        cp.cuda.Device().synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        found.append(1e6 * (time.perf_counter() - start) / calls)
    cp.cuda.Device().synchronize()
    return found


def _product_of_a_step() -> Callable[[], object]:
    import cupy as cp

    a, b = (cp.asarray(np.random.default_rng(0).standard_normal(s, np.float32)) for s in ((32, 512), (2048, 512)))
    out = cp.empty((32, 2048), cp.float32)
    return lambda: cp.matmul(a, b.T, out=out)


def _host_matmul() -> list[float]:
    return _on_host(_product_of_a_step())


def _device_matmul() -> list[float]:
    """In a row, so that the slower of host and device shows."""
    call = _product_of_a_step()

    def several() -> None:
        for _ in range(200):
            call()

    return [1e6 * spent / 200 for spent in _spent(several)]


def _host_kernel() -> list[float]:
    return _on_host(_small(32))


def _host_add() -> list[float]:
    import cupy as cp

    a, out = cp.ones(4096, cp.float32), cp.empty(4096, cp.float32)
    return _on_host(lambda: cp.add(a, a, out=out))


def _chase() -> list[float]:
    import cupy as cp

    lines, stride, hops = 1 << 15, 32, 20_000
    order = np.random.default_rng(0).permutation(lines)
    path = np.zeros(lines * stride, np.uint32)
    path[order * stride] = np.roll(order, -1) * stride
    steps, out = cp.asarray(path), cp.zeros(1, cp.uint32)
    kernel = _kernel("chase")
    kernel((1,), (1,), (steps, out, 2 * lines))
    return [1e9 * spent / hops for spent in _spent(lambda: kernel((1,), (1,), (steps, out, hops)))]


def _reads(size: int) -> list[float]:
    import cupy as cp

    blocks = 2 * cp.cuda.Device().attributes["MultiProcessorCount"]
    data, out = cp.ones(size // 4, cp.float32), cp.zeros(blocks * 512, cp.float32)
    kernel, rounds = _kernel("reads"), max(1, (1 << 23) // size)
    spent = _spent(lambda: kernel((blocks,), (512,), (data, out, size // 16, rounds)))
    return [size * blocks * rounds / s / 1e9 for s in spent]


def _copy() -> list[float]:
    import cupy as cp

    source = cp.ones(1 << 28, cp.float32)
    out = cp.empty_like(source)
    return [2 * source.nbytes / spent / 1e9 for spent in _spent(lambda: cp.copyto(out, source))]


def _product(width: int, dtype: str) -> list[float]:
    import torch
    from gpu_contenders import use_tf32

    kind = torch.float32 if dtype in ("float32", "tf32") else getattr(torch, dtype)
    a, b = (torch.randn(width, width, device="cuda").to(kind) for _ in range(2))
    use_tf32(dtype == "tf32")
    try:
        return [2 * width**3 / spent / 1e12 for spent in _spent(lambda: torch.matmul(a, b), 5)]
    finally:
        use_tf32(False)
