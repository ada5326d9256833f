"""The limits of a CUDA launch, and what CuPy makes of a grid and a block before it launches."""

from __future__ import annotations

import ctypes
import operator
import warnings
from dataclasses import dataclass
from typing import Literal

from symcell.emulate.device import Device
from symcell.emulate.errors import CooperativeLaunchError, CUDADriverError, LaunchError

CLUSTER_LIMIT = 8
COOPERATIVE_TOO_LARGE, INVALID_CLUSTER_SIZE = 720, 912

Order = Literal["forward", "reversed"] | int
"""In which order threads and blocks run: by their numbers, against them, or at random, drawn from a seed."""
GRID_LIMITS = (2**31 - 1, 65535, 65535)
BLOCK_LIMITS = (1024, 1024, 64)


class CLaunch(ctypes.Structure):
    """``struct Launch`` of cuda_host.h."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("cluster", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_ulonglong),
        ("seed", ctypes.c_ulonglong),
        ("patience", ctypes.c_ulonglong),
        ("cooperative", ctypes.c_int),
        ("order", ctypes.c_int),
    ]


@dataclass(frozen=True)
class Limits:
    """What a launch of one kernel must keep to.

    ``threads``: its ``__launch_bounds__``; ``dynamic``: its max_dynamic_shared_size_bytes; ``static``: the bytes of its
    own shared variables; ``registers``: of a thread; ``cooperative``: whether blocks may wait for each other;
    ``cluster``: of what blocks those of a plain launch may.
    """

    kernel: str
    device: Device
    threads: int
    dynamic: int
    static: int
    registers: int
    cooperative: bool
    cluster: tuple[int, int, int]


@dataclass(frozen=True)
class Launch:
    """A launch that is within CUDA's limits."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    cluster: tuple[int, int, int]
    shared_bytes: int
    cooperative: bool

    def as_c(self, order: Order, patience: int) -> CLaunch:
        """The same for the runtime; threads and blocks start in ``order``, and ``patience`` as in ``raw.Settings``."""
        grid, block, cluster = ((ctypes.c_uint * 3)(*sizes) for sizes in (self.grid, self.block, self.cluster))
        seed, number = (order, 2) if isinstance(order, int) else (0, ("forward", "reversed").index(order))
        return CLaunch(grid, block, cluster, self.shared_bytes, seed, patience, self.cooperative, number)


def _dimensions(what: str, value: object) -> tuple[int, int, int]:
    """Three sizes as CuPy makes them: a tuple, filled up with ones, and **0 becomes 1** (``max(1, n)``)."""
    if not isinstance(value, tuple):
        raise TypeError(f"{what} must be a tuple of ints, not {type(value).__name__}")
    x, y, z = (max(1, operator.index(n)) for n in (*value, 1, 1)[:3])
    return x, y, z


def _within(what: str, value: tuple[int, int, int], limits: tuple[int, int, int]) -> None:
    if any(n > limit for n, limit in zip(value, limits, strict=True)):
        raise LaunchError(f"{what} {value} is over CUDA's limits {limits} (cudaErrorInvalidValue)")


def checked(limits: Limits, grid: object, block: object, shared_bytes: int) -> Launch:
    """The launch, or LaunchError where CUDA would refuse it; TypeError where CuPy would.

    A cooperative launch whose grid has one axis and does not fit is made smaller with a warning, as by CuPy 14.
    """
    sizes, threads = _dimensions("grid", grid), _dimensions("block", block)
    _within(f"kernel {limits.kernel}: grid", sizes, GRID_LIMITS)
    _within(f"kernel {limits.kernel}: block", threads, BLOCK_LIMITS)
    count = threads[0] * threads[1] * threads[2]
    limit, reason = min((limits.threads, "its __launch_bounds__ allows"), (1024, "a block may have"))
    if count > limit:
        raise LaunchError(f"kernel {limits.kernel}: {count} threads, and {reason} {limit} (cudaErrorInvalidValue)")
    _check_shared(limits, shared_bytes)
    if limits.cooperative:
        sizes = _resident(limits, sizes, count, shared_bytes)
    _check_cluster(limits, sizes)
    return Launch(sizes, threads, limits.cluster, shared_bytes, limits.cooperative)


def _check_shared(limits: Limits, dynamic: int) -> None:
    most = limits.device.shared_per_block_optin
    if not 0 <= dynamic <= limits.dynamic:
        raise LaunchError(
            f"kernel {limits.kernel}: {dynamic} bytes of dynamic shared memory, and the limit is {limits.dynamic}; up "
            f"to {most} on this device once kernel.max_dynamic_shared_size_bytes is set (cudaErrorInvalidValue)"
        )
    if dynamic + limits.static > most:
        raise LaunchError(
            f"kernel {limits.kernel}: {dynamic} bytes of dynamic and {limits.static} of static shared memory, and a "
            f"block has at most {most} (cudaErrorInvalidValue)"
        )


def _check_cluster(limits: Limits, grid: tuple[int, int, int]) -> None:
    count = limits.cluster[0] * limits.cluster[1] * limits.cluster[2]
    if count == 1:
        return
    if limits.device.capability < (9, 0):
        raise LaunchError(f"kernel {limits.kernel}: clusters need compute capability 9.0 (cudaErrorNotSupported)")
    if count > CLUSTER_LIMIT:
        raise LaunchError(
            f"kernel {limits.kernel}: a cluster of {count} blocks, and {CLUSTER_LIMIT} is what every device has "
            "(cudaErrorInvalidClusterSize)"
        )
    if limits.device.free is not None and count > limits.device.free:
        raise CUDADriverError(INVALID_CLUSTER_SIZE, "CUDA_ERROR_INVALID_CLUSTER_SIZE: invalid cluster size")
    if any(n % size for n, size in zip(grid, limits.cluster, strict=True)):
        raise LaunchError(
            f"kernel {limits.kernel}: a grid of {grid} blocks is not made of clusters of {limits.cluster} "
            "(cudaErrorInvalidValue)"
        )


def _resident(limits: Limits, grid: tuple[int, int, int], threads: int, shared: int) -> tuple[int, int, int]:
    """The grid of a cooperative launch: CuPy's own check, which comes before the driver's."""
    if not limits.device.cooperative:
        raise LaunchError(f"kernel {limits.kernel}: the device has no cooperative launches (cudaErrorNotSupported)")
    each = limits.device.resident(threads, limits.registers, limits.static + shared)
    most, count = each * limits.device.multiprocessors, grid[0] * grid[1] * grid[2]
    if count <= most:
        _free(limits, each, count)
        return grid
    if grid[1:] != (1, 1) or most == 0:
        raise CooperativeLaunchError(
            f"The specified grid size ({grid[0]} * {grid[1]} * {grid[2]}) exceeds the limit ({most}): kernel "
            f"{limits.kernel} has {each} blocks of {threads} threads on each of {limits.device.multiprocessors} "
            "multiprocessors (cudaErrorCooperativeLaunchTooLarge)"
        )
    text = f"The grid size will be reduced from {grid[0]} to {most}, as the specified grid size exceeds the limit."
    warnings.warn(text, stacklevel=4)
    _free(limits, each, most)
    return most, 1, 1


def _free(limits: Limits, each: int, blocks: int) -> None:
    """The driver's own check, which knows what others have of the device."""
    if limits.device.free is not None and blocks > each * limits.device.free:
        raise CUDADriverError(
            COOPERATIVE_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE: too many blocks in cooperative launch"
        )
