"""The emulated device: what it says of itself, and how many blocks of a kernel it holds at once.

Its numbers are those of an H100, of which it has 8 multiprocessors: blocks of a cooperative launch are all emulated at
once, and a kernel that relies on 132 of them must run on fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Device:
    """A device's limits. Memory is in bytes; ``reserved`` is what the driver keeps of a block's shared memory.

    ``free``: multiprocessors that the driver leaves blocks that wait for each other, where the device says that it has
    more, as under MPS. ``count``: how many such devices there are. ``driver``: the version of CUDA that the driver
    supports, 0 where there is none; ``toolkit``: the one that CuPy was built for.

    ``load(..., device=Device(multiprocessors=2))`` gives a module another one.
    """

    multiprocessors: int = 8
    threads: int = 2048
    blocks: int = 32
    registers: int = 65536
    shared: int = 228 << 10
    shared_per_block: int = 48 << 10
    shared_per_block_optin: int = 227 << 10
    reserved: int = 1 << 10
    cooperative: bool = True
    capability: tuple[int, int] = (9, 0)
    free: int | None = None
    memory: int = 80 << 30
    count: int = 1
    driver: int = 13000
    toolkit: int = 13000

    @property
    def attributes(self) -> dict[str, int]:
        """``cupy.cuda.Device().attributes``: those that a plan of launches asks for."""
        return {
            "CooperativeLaunch": int(self.cooperative),
            "L2CacheSize": 50 << 20,
            "MaxBlockDimX": 1024,
            "MaxBlockDimY": 1024,
            "MaxBlockDimZ": 64,
            "MaxBlocksPerMultiprocessor": self.blocks,
            "MaxGridDimX": 2**31 - 1,
            "MaxGridDimY": 65535,
            "MaxGridDimZ": 65535,
            "MaxRegistersPerBlock": self.registers,
            "MaxRegistersPerMultiprocessor": self.registers,
            "MaxSharedMemoryPerBlock": self.shared_per_block,
            "MaxSharedMemoryPerBlockOptin": self.shared_per_block_optin,
            "MaxSharedMemoryPerMultiprocessor": self.shared,
            "MaxThreadsPerBlock": 1024,
            "MaxThreadsPerMultiProcessor": self.threads,
            "MultiProcessorCount": self.multiprocessors,
            "ReservedSharedMemoryPerBlock": self.reserved,
            "WarpSize": 32,
        }

    @property
    def properties(self) -> dict[str, Any]:
        """``cupy.cuda.runtime.getDeviceProperties(0)``."""
        return {
            "name": b"symcell.emulate",
            "major": self.capability[0],
            "minor": self.capability[1],
            "multiProcessorCount": self.multiprocessors,
            "cooperativeLaunch": int(self.cooperative),
            "l2CacheSize": 50 << 20,
            "maxThreadsPerBlock": 1024,
            "maxThreadsDim": (1024, 1024, 64),
            "maxGridSize": (2**31 - 1, 65535, 65535),
            "maxThreadsPerMultiProcessor": self.threads,
            "maxBlocksPerMultiProcessor": self.blocks,
            "regsPerBlock": self.registers,
            "regsPerMultiprocessor": self.registers,
            "sharedMemPerBlock": self.shared_per_block,
            "sharedMemPerBlockOptin": self.shared_per_block_optin,
            "sharedMemPerMultiprocessor": self.shared,
            "reservedSharedMemPerBlock": self.reserved,
            "warpSize": 32,
        }

    def resident(self, threads: int, registers: int, shared: int) -> int:
        """How many blocks a multiprocessor holds at once, of so many threads, registers a thread, bytes of shared
        memory (static and dynamic); 0 where it holds none."""
        warps = -(-threads // 32)
        each = -(-registers // 8) * 8 * 32 * warps
        if threads > 1024 or shared > self.shared_per_block_optin or each > self.registers:
            return 0
        by_memory = self.shared // (shared + self.reserved)
        return min(self.blocks, self.threads // (32 * warps), self.registers // each, by_memory)


DEVICE = Device()
