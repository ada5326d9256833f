"""The memory of emulated devices: on which of them an array lies, and how much all arrays hold of the pool's limit.

As in CuPy there is one pool for all modules, and each thread has a device that is its current one.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, NamedTuple

import numpy as np

Host = np.ndarray[Any, Any]


class OutOfMemoryError(MemoryError):
    """``cupy.cuda.memory.OutOfMemoryError``: an array is larger than what the pool's limit leaves."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        limited = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{limited}).")


class _Thread(threading.local):
    """What each thread has of its own."""

    device = 0


current = _Thread()
"""``device``: the number of the current one."""


class _Held(NamedTuple):
    """Memory of an array that is no view; ``owner`` keeps none of it alive."""

    owner: weakref.ref[Host]
    device: int
    nbytes: int


class Memory:
    """What arrays hold, by the array of NumPy's that owns it. ``limit``: of all of them in bytes, 0 for none."""

    def __init__(self) -> None:
        self.limit = 0
        self._held: dict[int, _Held] = {}

    @property
    def used(self) -> int:
        """Bytes in use."""
        return sum(held.nbytes for held in list(self._held.values()))

    def device(self, array: Host) -> int:
        """The device that an array lies on: the current one where it is new. Raises OutOfMemoryError where there is no
        room for it."""
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        held = self._held.get(id(owner))
        if held is None:
            held = self._take(owner)
        return held.device

    def holding(self, address: int) -> Host | None:
        """The array that owns the memory at an address, if one does."""
        for held in list(self._held.values()):
            owner = held.owner()
            if owner is not None and 0 <= address - owner.ctypes.data < owner.nbytes:
                return owner
        return None

    def _take(self, owner: Host) -> _Held:
        if self.limit and self.used + owner.nbytes > self.limit:
            raise OutOfMemoryError(owner.nbytes, self.used, self.limit)
        key = id(owner)
        made = _Held(weakref.ref(owner, lambda _: self._held.pop(key, None)), current.device, owner.nbytes)
        self._held[key] = made
        return made


MEMORY = Memory()


class MemoryPool:
    """``cupy.get_default_memory_pool()``: there is one."""

    def used_bytes(self) -> int:
        """What arrays hold."""
        return MEMORY.used

    total_bytes = used_bytes

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """Sets the bytes that arrays may hold; None or 0 for any number."""
        if fraction is not None:
            raise NotImplementedError("the emulator takes a size, not a fraction")
        MEMORY.limit = size or 0

    def get_limit(self) -> int:
        """The bytes that arrays may hold, 0 for any number."""
        return MEMORY.limit

    def free_all_blocks(self, stream: object = None) -> None:
        """Returns at once."""
