"""Safetensors files: written whole or not at all, and read with nothing believed that they say."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from symcell.checkpoint.header import Header, header_of

Framework = Literal["np", "pt"]
Place = str | os.PathLike[str]


def write(path: Place, tensors: Mapping[str, Any], header: Header, framework: Framework) -> None:
    """Save tensors; the file appears under its name only when it is complete.

    Raises OSError where it cannot be written, ImportError without safetensors.
    """
    library = _library("numpy" if framework == "np" else "torch")
    target = Path(path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    part.touch(exist_ok=False)
    mode = part.stat().st_mode  # what other files get; safetensors makes one of its own that is private
    try:
        library.save_file(dict(tensors), part, metadata=header.metadata())
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(mode)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class File:
    """An open file: its header, and the shape and type of each tensor; ``handle`` reads them."""

    path: Place
    header: Header
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    handle: Any

    def read(self, expected: Mapping[str, tuple[int, ...]], types: tuple[str, ...]) -> dict[str, Any]:
        """All tensors, which must be those that are expected, of one of these types. Raises ValueError."""
        missing = [n for n in expected if n not in self.shapes]
        unknown = [n for n in self.shapes if n not in expected]
        if missing:
            raise ValueError(f"{self.path}: {', '.join(missing[:8])}: missing; it has {', '.join([*self.shapes][:40])}")
        if unknown:
            raise ValueError(f"{self.path}: {', '.join(unknown[:8])}: unknown; expected {', '.join([*expected][:40])}")
        for name, shape in expected.items():
            if self.shapes[name] != shape:
                raise ValueError(f"{self.path}: {name}: expected the shape {shape}, got {self.shapes[name]}")
            if self.types[name] not in types:
                raise ValueError(f"{self.path}: {name}: expected {' or '.join(types)}, got {self.types[name]}")
        if len(set(self.types.values())) > 1:
            raise ValueError(
                f"{self.path}: expected tensors of one type, got {', '.join(sorted({*self.types.values()}))}"
            )
        return {name: self.handle.get_tensor(name) for name in expected}


@contextlib.contextmanager
def opened(path: Place, framework: Framework) -> Iterator[File]:
    """A checkpoint, its header read and checked.

    Raises ValueError, naming the file, for one that is no checkpoint, OSError where it cannot be read, ImportError
    without safetensors.
    """
    error_type = _library().SafetensorError
    with open(path, "rb"):  # noqa: PTH123  safetensors' own errors say less
        pass
    try:
        with _library().safe_open(os.fspath(path), framework) as handle:
            yield _file(path, handle)
    except error_type as error:
        raise ValueError(f"{path}: this is no safetensors file, or it is damaged: {error}") from error


def _file(path: Place, handle: Any) -> File:
    try:
        header = header_of(handle.metadata())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    slices = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118  a handle is no mapping
    shapes = {name: tuple(found.get_shape()) for name, found in slices.items()}
    return File(path, header, shapes, {name: found.get_dtype() for name, found in slices.items()}, handle)


def _library(part: str = "") -> ModuleType:
    """safetensors, or what it has for one kind of arrays."""
    try:
        import safetensors
    except ImportError as error:
        raise ImportError("checkpoints need safetensors: pip install 'symcell[checkpoint]'") from error
    return import_module(f"safetensors.{part}") if part else safetensors
