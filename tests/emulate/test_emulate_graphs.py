"""Streams, events and graphs of the stand-in: what is captured, and what CuPy or CUDA refuse meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from symcell.emulate import EmulatorError, KernelError, streams
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages

ADD = """
extern "C" __global__ void add(double* x, const double* y, long long n) { for (int k = 0; k < n; k++) x[k] += y[k]; }
"""

cp: Any = packages(Settings())["cupy"]
Refused: type[Exception] = cp.cuda.runtime.CUDARuntimeError


@pytest.fixture
def add() -> Any:
    return cp.RawModule(code=ADD).get_function("add")


@pytest.fixture
def stream() -> Iterator[Any]:
    """A stream that captures; what a test leaves open is closed."""
    made = cp.cuda.Stream(non_blocking=True)
    with made:
        made.begin_capture()
        yield made
        if made.is_capturing():
            made.capture.spoilt = False
            made.end_capture()
    assert not streams._capturing


def test_captured_launches_run_when_the_graph_does(add: Any) -> None:
    """As often as it does, with the arguments that they had, on the numbers that are there by then."""
    x, y = cp.zeros(3), cp.ones(3)
    stream = cp.cuda.Stream(non_blocking=True)
    count = 2
    with stream:
        stream.begin_capture()
        add((1,), (1,), (x, y, count))
        count = 3
        add((1,), (1,), (x, y, count))
        graph = stream.end_capture()
    assert x.tolist() == [0, 0, 0]
    graph.upload()
    graph.launch()
    y[...] = 10.0
    graph.launch(stream)
    assert x.tolist() == [22, 22, 11]


def test_what_is_launched_into_a_capture_is_part_of_it(add: Any) -> None:
    x, y = cp.zeros(1), cp.ones(1)
    stream = cp.cuda.Stream(non_blocking=True)
    graphs = []
    for _ in range(2):
        with stream:
            stream.begin_capture()
            for inner in graphs:
                inner.launch()
            add((1,), (1,), (x, y, 1))
            graphs.append(stream.end_capture())
    graphs[1].launch()
    assert x.tolist() == [2]


def test_memory_that_is_given_back_while_a_graph_uses_it(add: Any, stream: Any) -> None:
    """CuPy's pool would hand it to somebody else. Memory of its own, outside the pool, stays as long as its pointer."""
    x, y = cp.empty(2), cp.empty(2)
    held = cp.ndarray((2,), np.float64, cp.cuda.MemoryPointer(cp.cuda.Memory(16), 0))
    add((1,), (1,), (x[1:], held, 1))
    add((1,), (1,), (x, y, 1))
    graph = stream.end_capture()
    del y
    with pytest.raises(KernelError, match="kernel add: the memory of y was given back"):
        graph.launch(cp.cuda.Stream.null)


REFUSED: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "a copy to the host": (lambda x: x.get(), Refused, "cudaErrorStreamCaptureUnsupported"),
    "another": (lambda x: cp.asnumpy(x), Refused, "cudaErrorStreamCaptureUnsupported"),
    "one number": (lambda x: bool(x[0]), Refused, "cudaErrorStreamCaptureUnsupported"),
    "a copy from the host": (lambda x: cp.asarray(np.ones(2)), Refused, "cudaErrorStreamCaptureUnsupported"),
    "waiting": (lambda x: cp.cuda.get_current_stream().synchronize(), Refused, "cudaErrorStreamCaptureUnsupported"),
    "waiting for all": (lambda x: cp.cuda.runtime.deviceSynchronize(), Refused, "cudaErrorStreamCaptureUnsupported"),
    "an event outside": (
        lambda x: cp.cuda.get_current_stream().wait_event(cp.cuda.Stream.null.record()),
        Refused, "cudaErrorStreamCaptureIsolation",
    ),
    "cuBLAS": (lambda x: cp.matmul(x, x), NotImplementedError, "calling cuBLAS API during stream capture"),
    "what CuPy launches": (lambda x: x + x, EmulatorError, "captures launches of RawKernel alone, not add"),
    "capturing twice": (
        lambda x: cp.cuda.get_current_stream().begin_capture(), Refused, "cudaErrorIllegalState",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_while_a_stream_captures(stream: Any, name: str) -> None:
    """What CUDA itself refuses spoils the capture; what CuPy or the stand-in refuse does not."""
    does, error, message = REFUSED[name]
    with cp.cuda.Stream.null:
        x = cp.ones(2)
    with pytest.raises(error, match=message):
        does(x)
    if "Capture" in message:
        with pytest.raises(Refused, match="cudaErrorStreamCaptureInvalidated"):
            stream.end_capture()


def test_what_is_allowed_while_a_stream_captures(stream: Any) -> None:
    """Memory from the pool, views, and events of the capture's own."""
    assert stream.is_capturing()
    x = cp.empty((2, 3))
    assert x[1:].reshape(3).T.shape == (3,)
    event = stream.record()
    stream.wait_event(event)
    with pytest.raises(Refused, match="cudaErrorCapturedEvent"):
        event.synchronize()
    with cp.cuda.Stream.null:
        assert cp.ones(2).sum().get() == 2


def test_the_null_stream_captures_nothing() -> None:
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cp.cuda.Stream.null.begin_capture()
    with pytest.raises(Refused, match="cudaErrorIllegalState"):
        cp.cuda.Stream(non_blocking=True).end_capture()
    with pytest.raises(NotImplementedError, match="cannot be initiated"):
        cp.cuda.Graph()


def test_the_null_stream_waits_for_a_stream_that_blocks(add: Any) -> None:
    """So nothing can be launched there while that one captures; streams that do not block are no matter."""
    x, y = cp.zeros(1), cp.ones(1)
    for non_blocking in (True, False):
        stream = cp.cuda.Stream(non_blocking=non_blocking)
        stream.begin_capture()
        if non_blocking:
            add((1,), (1,), (x, y, 1))
            stream.end_capture()
        else:
            with pytest.raises(Refused, match="cudaErrorStreamCaptureImplicit"):
                add((1,), (1,), (x, y, 1))
            with pytest.raises(Refused, match="cudaErrorStreamCaptureInvalidated"):
                stream.end_capture()
    assert x.tolist() == [1]


def test_every_thread_has_a_current_stream_of_its_own(stream: Any) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(cp.cuda.get_current_stream()))
    thread.start()
    thread.join()
    assert found == [cp.cuda.Stream.null]
    assert cp.cuda.get_current_stream() == stream != cp.cuda.Stream.null
