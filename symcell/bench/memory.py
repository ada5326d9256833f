"""How much memory a train step takes at most: by how much a process of its own grows."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from symcell.bench.contenders import Contender
from symcell.bench.work import Work, numbers

STATUS = Path("/proc/self/status")


def missing() -> str | None:
    """Why memory cannot be measured here, or None where it can."""
    return None if STATUS.exists() else "peak memory is measured on Linux only"


def peak(contender: Contender, work: Work) -> int:
    """The bytes by which a fresh process has grown at most during one train step, parameters and inputs left out.

    Raises what the contender raises.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(growth, contender, work).result()


def growth(contender: Contender, work: Work) -> int:
    """By how much this process grows in one train step. A short one runs first: what is loaded when it is first used
    is no part of a step."""
    small = work.over(2, 1)
    contender.make(small, "train", numbers(small))()
    run = contender.make(work, "train", numbers(work))
    before = mark()
    result = run()
    grown = highest() - before
    del result
    return max(grown, 0)


def mark() -> int:
    """Bytes in use now, from which the high-water mark rises; memory that was freed is given back before. On Linux."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the mark falls to what is in use
    except OSError:
        return _status("VmHWM")
    return _status("VmRSS")


def highest() -> int:
    """The most bytes that this process has had in use since :func:`mark`. On Linux."""
    return _status("VmHWM")


def _status(name: str) -> int:
    """A number of bytes that Linux keeps of this process."""
    line = next(line for line in STATUS.read_text("utf-8").splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
