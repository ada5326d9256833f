"""``cupy.cuda.driver`` on the host."""

from __future__ import annotations

from typing import Any

from symcell.emulate.errors import CUDADriverError
from symcell.emulate.raw import functions


def resident_blocks(func: int, blockSize: int, dynamicSMemSize: int) -> int:
    """``occupancyMaxActiveBlocksPerMultiprocessor``: blocks that a multiprocessor holds at once."""
    kernel = functions[func]
    shared = kernel.shared_size_bytes + dynamicSMemSize
    return kernel._device.resident(blockSize, kernel.num_regs, shared)


def names() -> dict[str, Any]:
    """What ``cupy.cuda.driver`` has."""
    return {"CUDADriverError": CUDADriverError, "occupancyMaxActiveBlocksPerMultiprocessor": resident_blocks}
