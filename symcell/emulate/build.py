"""Compiles kernel sources to shared libraries, and keeps them in a per-user cache.

The key of a library is everything that it depends on, so nothing in the cache is ever out of date. Files are written
beside their place and renamed, so several processes and threads may build the same one at the same time.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from symcell.emulate import sanitizer, toolchain
from symcell.emulate.errors import CompileError, EmulatorError
from symcell.emulate.toolchain import Watch

_loaded: dict[Path, ctypes.CDLL] = {}
_lock = threading.Lock()


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/symcell`` or ``~/.cache/symcell``, made with mode 0700.

    Code is loaded from it, so a folder of somebody else's raises EmulatorError.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser() / "symcell"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise EmulatorError(f"{folder} holds compiled code, and others can write to it; set XDG_CACHE_HOME")
    return folder


@functools.cache
def _headers() -> bytes:
    """The text of everything that a kernel library is made from besides the kernel."""
    return b"".join(path.name.encode() + path.read_bytes() for path in sorted(toolchain.INCLUDE.iterdir()))


def _digest(*parts: str | bytes) -> str:
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()[:32]


def _run(command: Sequence[str], source: str) -> None:
    """Runs the compiler on ``source`` as standard input; raises CompileError with its log."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}  # no ASan in the compiler
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise CompileError(f"the host compiler refused the CUDA source:\n{done.stderr.strip()}")


def _make(target: Path, command: Sequence[str], source: str) -> Path:
    """Compiles ``source`` to ``target`` unless it is there; the rename makes it appear complete or not at all."""
    if not target.exists():
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.stem, suffix=".tmp")
        os.close(handle)
        try:
            _run([*command, "-o", name], source)
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    return target


def shared_object(source: str, options: Sequence[str] = (), *, watch: Watch = "nothing") -> Path:
    """The shared library for a host translation unit, compiled now or before.

    Raises CompilerNotFoundError, CompileError, ValueError for an unknown option.
    """
    compiler = toolchain.find_compiler()
    base = [*compiler, *toolchain.BASE_FLAGS]
    flags, runtime_flags = toolchain.kernel_flags(compiler, watch), toolchain.RUNTIME_FLAGS[watch]
    link_flags = toolchain.LINK_FLAGS[watch]
    user_flags = toolchain.host_flags(options)
    common = (_headers(), toolchain.version(tuple(compiler)), " ".join([*base, *flags, *runtime_flags, *link_flags]))
    folder = cache_folder()
    cpp = [f"-I{toolchain.INCLUDE}", "-x", "c++", "-c"]
    runtime_text = (toolchain.INCLUDE / "runtime.cpp").read_text()
    runtime = _make(folder / f"{_digest('runtime', *common)}.o", [*base, *runtime_flags, *cpp, "-"], runtime_text)
    target = folder / f"{_digest('kernel', *common, ' '.join(user_flags), source)}.so"
    kernel = ["-nostdinc++", f"-I{toolchain.INCLUDE}", *user_flags, "-fvisibility=hidden", "-x", "c++", "-"]
    link = ["-x", "none", str(runtime), "-shared", "-lm", "-lpthread", *link_flags]
    return _make(target, [*base, *flags, *kernel, *link], source)


def load_library(source: str, options: Sequence[str] = (), *, watch: Watch = "nothing") -> ctypes.CDLL:
    """The compiled library, in this process. ctypes releases the interpreter's lock during calls into it."""
    if watch == "memory":
        sanitizer.require()
    path = shared_object(source, options, watch=watch)
    with _lock:
        if path not in _loaded:
            _loaded[path] = ctypes.CDLL(str(path))
        return _loaded[path]
