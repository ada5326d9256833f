"""Files that are whole at any time: a process that is killed leaves the old contents or the new, nothing between."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of ``path``, by way of a temporary file beside it. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with _told_about(path):
        _fill(temporary, data)
        try:
            os.replace(temporary, path)  # noqa: PTH105
        finally:
            temporary.unlink(missing_ok=True)


def create(path: Path, data: bytes) -> None:
    """A new file; FileExistsError where there is one, which is left alone."""
    with _told_about(path):
        _fill(path, data)


@contextlib.contextmanager
def _told_about(path: Path) -> Iterator[None]:
    """An error names the file that was meant."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_if_changed(path: Path, data: bytes) -> bool:
    """Whether the file was anything else, and has been written."""
    if read(path) == data:
        return False
    write(path, data)
    return True


def read(path: Path) -> bytes | None:
    """The contents, None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _fill(path: Path, data: bytes) -> None:
    """A new file with these contents, on the disk, or none."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def sweep(directory: Path, names: Iterable[str]) -> None:
    """Remove the temporary files that a killed process left behind; only under :func:`locked`."""
    for name in names:
        for left in directory.glob(f".{name}.{'[0-9a-f]' * 8}.tmp"):
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One process at a time in a directory; what it renamed there is on the disk at the end."""
    try:
        import fcntl
    except ImportError:  # Windows: no locks on directories
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
