"""NVIDIA's runtime compiler, which needs no GPU: does a kernel compile for an architecture?

It is the compiler that CuPy uses; ``pip install nvidia-cuda-nvrtc`` brings it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
# What CuPy 14 adds to a RawModule's options (cupy/cuda/compiler.py). Mind that float32 denormals become 0.
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")


class NvrtcError(RuntimeError):
    """NVRTC is missing or refused a source; the message holds its log."""


def _candidates() -> list[str]:
    """Paths and names of libnvrtc, the newest first: the package from PyPI, then the system's."""
    found = [path for folder in _folders("nvidia") for path in folder.glob("*/lib/libnvrtc.so.1[23]")]
    system = ["libnvrtc.so.13", "libnvrtc.so.12", ctypes.util.find_library("nvrtc")]
    return [str(path) for path in sorted(found, key=lambda path: path.name, reverse=True)] + [x for x in system if x]


def _folders(package: str) -> list[Path]:
    """Where an installed package lies; it is found without importing it."""
    found = importlib.util.find_spec(package)
    return [Path(folder) for folder in (found.submodule_search_locations if found else None) or ()]


def include_folders() -> list[Path]:
    """Folders with CUDA's headers, for ``#include <cooperative_groups.h>``; empty where they are not installed.

    They are in PyPI's nvidia-cuda-runtime and need CCCL's, which CuPy brings; CuPy searches the same folders.
    """
    toolkit = [path.parent for folder in _folders("nvidia") for path in folder.glob("*/include/cooperative_groups.h")]
    cccl = [path for folder in _folders("cupy") for path in sorted(folder.glob("_core/include/cupy/_cccl/*/"))]
    return cccl + toolkit if toolkit else []


@functools.cache
def _library() -> ctypes.CDLL:
    """The loaded library; raises NvrtcError with the reason where there is none."""
    reasons = []
    for name in _candidates():
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            reasons.append(str(error))
    raise NvrtcError(f"no NVRTC (pip install nvidia-cuda-nvrtc): {'; '.join(reasons) or 'none found'}")


def unavailable() -> str | None:
    """Why NVRTC cannot be used, or None where it can: the reason for a skipped test."""
    try:
        _library()
    except NvrtcError as error:
        return str(error)
    return None


def available() -> bool:
    """Whether NVRTC can be used here."""
    return unavailable() is None


def version() -> tuple[int, int]:
    """NVRTC's version, such as (13, 0)."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


def _check(code: int, log: str = "") -> None:
    if code:
        describe = _library().nvrtcGetErrorString
        describe.restype = ctypes.c_char_p
        raise NvrtcError(f"{describe(code).decode()}\n{log}".strip())


def _text(program: ctypes.c_void_p, what: str) -> bytes:
    """One of the results of a compilation: "PTX", "CUBIN" or "ProgramLog"."""
    library, size = _library(), ctypes.c_size_t()
    _check(library[f"nvrtcGet{what}Size"](program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(max(1, size.value))
    _check(library[f"nvrtcGet{what}"](program, buffer))
    return buffer.raw[: size.value]


def _with_defaults(options: Sequence[str]) -> list[str]:
    """The options with those that CuPy adds: C++17 unless a standard is given, and CUDA's headers where installed."""
    standard = [] if any("-std=" in option for option in options) else ["--std=c++17"]
    return [*options, *standard, *CUPY_OPTIONS, *(f"-I{folder}" for folder in include_folders())]


def _compile(source: str, arch: str, options: Sequence[str], *results: str) -> list[bytes]:
    library, program = _library(), ctypes.c_void_p()
    _check(library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None))
    try:
        flags = [f"--gpu-architecture={arch}", *_with_defaults(options)]
        array = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
        code = library.nvrtcCompileProgram(program, len(flags), array)
        log = _text(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
        _check(code, f"{arch}: {log}")
        return [_text(program, result) for result in results]
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def compile_ptx(source: str, arch: str = "sm_90", options: Sequence[str] = ()) -> bytes:
    """PTX of a CUDA source text, compiled as CuPy does, for ``arch`` as in ARCHITECTURES or ``compute_90``.

    A real architecture (``sm_``) also runs the assembler, so too much shared memory, say, is an error. Raises
    NvrtcError with the compiler's log.
    """
    (ptx,) = _compile(source, arch, options, "PTX")
    return ptx.rstrip(b"\0")


def assembled(source: str, arch: str = "sm_90", options: Sequence[str] = ()) -> tuple[bytes, str]:
    """As :func:`compile_ptx`, with what the assembler says of each kernel: its registers, what it spills, its shared
    memory. For a real architecture (``sm_``)."""
    ptx, log = _compile(source, arch, [*options, "--ptxas-options=-v"], "PTX", "ProgramLog")
    return ptx.rstrip(b"\0"), log.rstrip(b"\0").decode(errors="replace")


@dataclass(frozen=True)
class Usage:
    """What the assembler gives to a kernel: ``registers`` of a thread; bytes of its local memory that are ``spilled``
    registers, stores and loads together; bytes of ``static`` shared memory of a block."""

    registers: int
    spilled: int
    static: int


_ENTRY = re.compile(r"Compiling entry function '(\w+)'(.*?)(?=Compiling entry function|\Z)", re.DOTALL)


def usage(source: str, arch: str = "sm_90", options: Sequence[str] = ()) -> dict[str, Usage]:
    """What each kernel of a CUDA source text takes on a real architecture (``sm_``), by its name.

    Raises NvrtcError with the compiler's log.
    """
    _, log = assembled(source, arch, options)
    return {name: _usage(text) for name, text in _ENTRY.findall(log)}


def _usage(text: str) -> Usage:
    def number(pattern: str) -> int:
        return sum(int(n) for n in re.findall(pattern, text))

    return Usage(
        number(r"Used (\d+) registers"), number(r"(\d+) bytes spill (?:stores|loads)"), number(r"(\d+) bytes smem")
    )


def compile_cubin(source: str, arch: str = "sm_90", options: Sequence[str] = ()) -> bytes:
    """Machine code for a real architecture (``sm_``); raises NvrtcError with the compiler's log."""
    (cubin,) = _compile(source, arch, options, "CUBIN")
    return cubin
