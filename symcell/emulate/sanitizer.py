"""AddressSanitizer and UBSan for emulated kernels: their runtime must be in the process from its start."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from symcell.emulate import toolchain
from symcell.emulate.errors import SanitizerError

# Python keeps memory until it exits, which is no leak of ours.
_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def _file(name: str) -> Path | None:
    """The full path of a library that the compiler knows by name."""
    command = [*toolchain.find_compiler(), f"-print-file-name={name}"]
    path = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    return path.resolve() if path.is_absolute() and path.exists() else None


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables for a Python process that may load modules with ``sanitize=True``.

    ``base`` defaults to this process's own. Raises SanitizerError where the compiler has no shared ASan runtime.
    """
    clang = [f"libclang_rt.asan-{machine}.so" for machine in ("x86_64", "aarch64")]
    names = clang if toolchain.is_clang(toolchain.find_compiler()) else ["libasan.so"]  # clang finds GCC's as well
    asan = next(filter(None, map(_file, names)), None)
    if asan is None:
        raise SanitizerError("the C++ compiler has no shared AddressSanitizer runtime (Debian: apt install libasan8)")
    # libstdc++ too: ASan looks for its exception functions once, at the start.
    found = [str(path) for path in (asan, _file("libstdc++.so.6")) if path]
    variables = dict(os.environ if base is None else base)
    if variables.get("LD_PRELOAD"):
        found.append(variables["LD_PRELOAD"])
    return {**_OPTIONS, **variables, "LD_PRELOAD": ":".join(found)}


def require() -> None:
    """Raises SanitizerError unless this process started with ASan; loading a library would end the process."""
    if not hasattr(ctypes.CDLL(None), "__asan_init"):
        raise SanitizerError(
            "sanitize=True needs AddressSanitizer in the process from its start: run it as `python -m symcell.emulate "
            "SCRIPT ...`, or with the environment that symcell.emulate.sanitizer.environment() returns"
        )
