"""``cupy.cuda`` on the host: devices on which everything has happened when a call returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from symcell.emulate import versions
from symcell.emulate.array import MemoryPointer
from symcell.emulate.blas import HANDLE
from symcell.emulate.device import Device as Model
from symcell.emulate.graphs import Graph
from symcell.emulate.memory import MEMORY, current
from symcell.emulate.place import Place
from symcell.emulate.streams import Event, Stream, current_stream, elapsed, everywhere
from symcell.emulate.versions import CUDARuntimeError


class Memory:
    """Memory of a device that is no part of the pool: ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._host = np.full(size, 0xFF, np.uint8)
        MEMORY.device(self._host)

    @property
    def ptr(self) -> int:
        """Its address."""
        return int(self._host.ctypes.data)


def pointer(mem: Any, offset: int) -> MemoryPointer:
    """A place in the memory of an array, or in memory of its own."""
    return MemoryPointer(mem._host if isinstance(mem, Memory) else mem, offset)


def names(model: Model) -> dict[str, Any]:
    """What ``cupy.cuda`` has, with the devices that are emulated; ``driver`` and ``runtime`` are modules of it."""

    class Device(Place):
        """One of the emulated devices, which are all alike; the current one where no number is given."""

        cublas_handle = HANDLE
        compute_capability = "".join(map(str, model.capability))

        def __init__(self, device: int | Place | None = None) -> None:
            versions.check(model)
            number = current.device if device is None else int(device)
            if not 0 <= number < model.count:
                raise ValueError(f"there are {model.count} emulated devices, and none has the number {number}")
            super().__init__(number)

        @property
        def attributes(self) -> dict[str, int]:
            """Its limits."""
            return model.attributes

        @property
        def mem_info(self) -> tuple[int, int]:
            """Bytes of memory that are free, and all."""
            return model.memory - MEMORY.used, model.memory

    return {
        "Device": Device,
        "Event": Event,
        "Graph": Graph,
        "Memory": Memory,
        "MemoryPointer": pointer,
        "Stream": Stream,
        "get_current_stream": current_stream,
        "get_elapsed_time": elapsed,
        "is_available": lambda: versions.available(model),
    }


def runtime(model: Model) -> dict[str, Any]:
    """What ``cupy.cuda.runtime`` has."""

    def asked(answer: Any) -> Any:
        """``answer``, of a machine that has a device and a driver for it."""
        versions.check(model)
        return answer

    def wait() -> None:
        asked(None)
        everywhere()

    return {
        "CUDARuntimeError": CUDARuntimeError,
        "deviceSynchronize": wait,
        "driverGetVersion": lambda: model.driver,
        "getDevice": lambda: asked(current.device),
        "getDeviceCount": lambda: asked(model.count),
        "getDeviceProperties": lambda device: asked(model.properties),
        "runtimeGetVersion": lambda: model.toolkit,
    }
