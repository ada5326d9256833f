"""How many threads the emitted C modules run on."""

from __future__ import annotations

import operator
import os

VARIABLE = "SYMCELL_NUM_THREADS"


def set_threads(n: int | None) -> None:
    """Lets every C module of this process, and of those that it starts from now on, run on ``n`` threads a call.

    The modules read the environment variable ``SYMCELL_NUM_THREADS`` at each call, and this sets it. ``None`` removes
    it: then ``OMP_NUM_THREADS`` counts, and where that is not set either, the number of processors that the process
    may use.

    Raises TypeError for what is no integer (True and False are none), ValueError for less than 1.
    """
    if n is None:
        os.environ.pop(VARIABLE, None)
        return
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n is {n!r}, expected a number of threads, or None for the system's")
    if operator.index(n) < 1:
        raise ValueError(f"n is {n!r}, expected 1 thread or more")
    os.environ[VARIABLE] = str(operator.index(n))
