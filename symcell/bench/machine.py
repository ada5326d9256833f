"""The machine that numbers were taken on, and the versions of what ran."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from symcell.version import __version__

LIBRARIES = ("numpy", "torch", "jax")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def this_machine() -> dict[str, Any]:
    """The processor, how many cores this process may use and which vector units they have; the date; versions (of what
    is installed); and the threads that the environment asks for, if it does: nothing is set here."""
    info = _cpuinfo()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags = info.get("flags", "").split()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": cores,
        "vector": [name for name, flag in (("AVX2", "avx2"), ("AVX-512", "avx512f")) if flag in flags],
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), "symcell": __version__, **_versions()},
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
    }


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
