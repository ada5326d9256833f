"""The limits of a CUDA launch, and what CuPy makes of a grid and a block before it launches."""

from __future__ import annotations

import ctypes
import operator
from dataclasses import dataclass

from symcell.emulate.errors import LaunchError

GRID_LIMITS = (2**31 - 1, 65535, 65535)
BLOCK_LIMITS = (1024, 1024, 64)
SHARED_DEFAULT = 48 << 10  # bytes; more needs max_dynamic_shared_size_bytes
SHARED_LIMIT = 227 << 10  # bytes of a block on sm_90 and sm_100; sm_75 has 64 KiB, sm_120 has 99 KiB


class CLaunch(ctypes.Structure):
    """``struct Launch`` of cuda_host.h."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_ulonglong),
        ("cooperative", ctypes.c_int),
        ("reversed", ctypes.c_int),
    ]


@dataclass(frozen=True)
class Launch:
    """A launch that is within CUDA's limits."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int

    def as_c(self, *, cooperative: bool, reverse: bool) -> CLaunch:
        """The same for the runtime."""
        grid, block = (ctypes.c_uint * 3)(*self.grid), (ctypes.c_uint * 3)(*self.block)
        return CLaunch(grid, block, self.shared_bytes, cooperative, reverse)


def _dimensions(what: str, value: object) -> tuple[int, int, int]:
    """Three sizes as CuPy makes them: a tuple, filled up with ones, and **0 becomes 1** (``max(1, n)``)."""
    if not isinstance(value, tuple):
        raise TypeError(f"{what} must be a tuple of ints, not {type(value).__name__}")
    x, y, z = (max(1, operator.index(n)) for n in (*value, 1, 1)[:3])
    return x, y, z


def _within(what: str, value: tuple[int, int, int], limits: tuple[int, int, int]) -> None:
    if any(n > limit for n, limit in zip(value, limits, strict=True)):
        raise LaunchError(f"{what} {value} is over CUDA's limits {limits} (cudaErrorInvalidValue)")


def checked(kernel: str, grid: object, block: object, shared_bytes: int, most_threads: int, most_shared: int) -> Launch:
    """The launch, or LaunchError where CUDA would refuse it; TypeError where CuPy would.

    ``most_threads`` is the kernel's ``__launch_bounds__``; ``most_shared`` its max_dynamic_shared_size_bytes.
    """
    sizes, threads = _dimensions("grid", grid), _dimensions("block", block)
    _within(f"kernel {kernel}: grid", sizes, GRID_LIMITS)
    _within(f"kernel {kernel}: block", threads, BLOCK_LIMITS)
    count = threads[0] * threads[1] * threads[2]
    limit, reason = min((most_threads, "its __launch_bounds__ allows"), (1024, "a block may have"))
    if count > limit:
        raise LaunchError(f"kernel {kernel}: {count} threads, and {reason} {limit} (cudaErrorInvalidValue)")
    if not 0 <= shared_bytes <= most_shared:
        raise LaunchError(
            f"kernel {kernel}: {shared_bytes} bytes of dynamic shared memory, and the limit is {most_shared}; up to "
            f"{SHARED_LIMIT} on sm_90 once kernel.max_dynamic_shared_size_bytes is set (cudaErrorInvalidValue)"
        )
    return Launch(sizes, threads, shared_bytes)
