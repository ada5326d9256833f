"""``cupy.cuda`` on the host: one device, on which everything has happened when a call returns."""

from __future__ import annotations

import time
from typing import Any

from symcell.emulate.array import MemoryPointer
from symcell.emulate.device import Device as Model


class Stream:
    """A stream: kernels run at once, so there is nothing to wait for."""

    ptr = 0
    null: Any

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        self.id = id(self)

    def synchronize(self) -> None:
        """Returns at once."""

    def use(self) -> Stream:
        """The stream itself."""
        return self

    def record(self, event: Any = None) -> Any:
        """An event of now."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Any) -> None:
        """Returns at once."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


Stream.null = Stream(null=True)


class Event:
    """A point in time."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        """Now."""
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """Returns at once."""


class MemoryPool:
    """A pool that holds nothing."""

    def used_bytes(self) -> int:
        """0."""
        return 0

    total_bytes = used_bytes

    def free_all_blocks(self, stream: object = None) -> None:
        """Returns at once."""


def elapsed(start_event: Event, end_event: Event) -> float:
    """Milliseconds from one event to another."""
    return 1e3 * (end_event.time - start_event.time)


def names(model: Model) -> dict[str, Any]:
    """What ``cupy.cuda`` has, with the one device that is emulated; ``driver`` and ``runtime`` are modules of it."""

    class Device:
        """The one emulated device."""

        id = 0
        compute_capability = "".join(map(str, model.capability))

        def __init__(self, device: int | None = None) -> None:
            if device not in (None, 0):
                raise ValueError(f"there is one emulated device, 0; not {device}")

        @property
        def attributes(self) -> dict[str, int]:
            """Its limits."""
            return model.attributes

        def synchronize(self) -> None:
            """Returns at once."""

        def use(self) -> None:
            """There is no other."""

        def __enter__(self) -> Device:
            return self

        def __exit__(self, *exception: object) -> None:
            return None

    return {
        "Device": Device,
        "Event": Event,
        "MemoryPointer": MemoryPointer,
        "Stream": Stream,
        "get_current_stream": lambda device_id=-1: Stream.null,
        "get_elapsed_time": elapsed,
        "is_available": lambda: True,
    }


def runtime(model: Model) -> dict[str, Any]:
    """What ``cupy.cuda.runtime`` has."""
    return {
        "deviceSynchronize": lambda: None,
        "getDevice": lambda: 0,
        "getDeviceCount": lambda: 1,
        "getDeviceProperties": lambda device: model.properties,
    }
