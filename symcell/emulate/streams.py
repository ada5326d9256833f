"""``cupy.cuda.Stream`` and ``Event`` on the host: everything has happened when a call returns, unless it is captured.

What a stream captures are launches of kernels; see ``graphs``. What CuPy or CUDA refuse meanwhile is refused, and as
there, what CUDA refuses spoils the capture.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, NoReturn

from symcell.emulate.errors import EmulatorError
from symcell.emulate.graphs import Capture, Graph
from symcell.emulate.memory import current as thread
from symcell.emulate.versions import CUDARuntimeError

UNSUPPORTED, INVALIDATED, MERGE, ISOLATION, IMPLICIT, CAPTURED, ILLEGAL = 900, 901, 902, 905, 906, 907, 401
"""CUDA's numbers of what goes wrong."""
_numbers = itertools.count(0x1000)
_capturing: list[Stream] = []


class Stream:
    """A stream. ``ptr``: 0 of the null stream; ``capture``: what it captures just now."""

    null: Any

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        if ptds:
            raise NotImplementedError("the emulator has no default stream per thread")
        self.ptr = 0 if null else next(_numbers)
        self.device_id = -1 if null else thread.device
        self.is_non_blocking = non_blocking
        self.capture: Capture | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return self.ptr

    @property
    def done(self) -> bool:
        """True."""
        self.synchronize()
        return True

    def synchronize(self) -> None:
        """Returns at once."""
        if self.capture:
            spoil(self, UNSUPPORTED)

    def use(self) -> Stream:
        """Makes it the current one of this thread."""
        self._check_device()
        _here.stack[-1] = self
        return self

    def record(self, event: Any = None) -> Any:
        """An event of now."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Any) -> None:
        """Returns at once. A stream that captures may wait for what it has captured alone."""
        if self.capture and event.capture is not self.capture:
            spoil(self, MERGE if event.capture else ISOLATION)
        if event.capture and not self.capture:
            raise EmulatorError("the emulator captures one stream at a time: another one waits for its event")

    def begin_capture(self, mode: int | None = None) -> None:
        """Writes launches down from now on, and runs none."""
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.capture:
            raise CUDARuntimeError(ILLEGAL)
        self.capture = Capture()
        _capturing.append(self)

    def end_capture(self) -> Graph:
        """What has been written down."""
        if self.capture is None:
            raise CUDARuntimeError(ILLEGAL)
        capture, self.capture = self.capture, None
        _capturing.remove(self)
        if capture.spoilt:
            raise CUDARuntimeError(INVALIDATED)
        return Graph.of(capture)

    def is_capturing(self) -> bool:
        """Whether it captures."""
        return self.capture is not None

    def _check_device(self) -> None:
        if self.device_id not in (-1, thread.device):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with the current device "
                f"({thread.device})"
            )

    def __enter__(self) -> Stream:
        self._check_device()
        _here.stack.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _here.stack.pop()


Stream.null = Stream(null=True)


class _Here(threading.local):
    """The streams that a thread has made its current one, in ``with`` statements."""

    def __init__(self) -> None:
        self.stack: list[Stream] = [Stream.null]


_here = _Here()


def current_stream(device_id: int = -1) -> Stream:
    """This thread's current stream."""
    return _here.stack[-1]


def spoil(stream: Stream, status: int) -> NoReturn:
    """The error of what is not permitted while a stream captures, which is then of no use any more."""
    if stream.capture:
        stream.capture.spoilt = True
    raise CUDARuntimeError(status)


def to_host() -> None:
    """CUDARuntimeError for a copy between host and device in a stream that captures."""
    if current_stream().capture:
        spoil(current_stream(), UNSUPPORTED)


def no_kernel(name: str) -> None:
    """EmulatorError where a stream captures: it writes launches of RawKernel down, not those of CuPy's own."""
    if current_stream().capture:
        raise EmulatorError(f"the emulator captures launches of RawKernel alone, not {name}")


def everywhere() -> None:
    """CUDARuntimeError for waiting for a device of which a stream captures."""
    for stream in _capturing:
        spoil(stream, UNSUPPORTED)


def launching(stream: Stream | None = None) -> Capture | None:
    """Where a launch in a stream, or else the current one, must be written down; None where it runs."""
    stream = stream or current_stream()
    if stream.capture and stream.capture.spoilt:
        raise CUDARuntimeError(INVALIDATED)
    if stream.ptr == 0:
        for other in _capturing:
            if not other.is_non_blocking:  # which the null stream waits for
                spoil(other, IMPLICIT)
    return stream.capture


class Event:
    """A point in time. ``capture``: what it is a point of, where it was recorded in a stream that captured."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        if interprocess and not disable_timing:
            raise ValueError("Timing must be disabled for interprocess events")
        self.time = 0.0
        self.capture: Capture | None = None

    @property
    def done(self) -> bool:
        """True."""
        self.synchronize()
        return True

    def record(self, stream: Any = None) -> None:
        """Now."""
        self.time, self.capture = time.perf_counter(), (stream or current_stream()).capture

    def synchronize(self) -> None:
        """Returns at once."""
        if self.capture:
            raise CUDARuntimeError(CAPTURED)


def elapsed(start_event: Event, end_event: Event) -> float:
    """Milliseconds from one event to another."""
    return 1e3 * (end_event.time - start_event.time)
