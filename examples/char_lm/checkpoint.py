"""All that a run needs to go on as if it had never stopped, in one file that is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

NAME = "checkpoint.pt"
VERSION = 1


class CheckpointError(Exception):
    """A checkpoint that this run cannot go on from; the message says why and what to do."""


def save(file: Path, content: Mapping[str, Any]) -> None:
    """Write beside the file, wait for the disk, then take its place: a kill leaves the old one or the new one."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with beside.open("wb") as stream:
            torch.save({"version": VERSION, **content}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    _to_disk(file.parent)


def _to_disk(directory: Path) -> None:
    """The new name of a file is on the disk when its directory is. Windows cannot open one, and needs it not."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load(file: Path) -> dict[str, Any]:
    """What :func:`save` wrote. The file is data: nothing in it is executed. Raises CheckpointError."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises several kinds for a file that is cut off or is none of its own
        raise CheckpointError(f"{file} is no checkpoint that can be read: {error}") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        version = content.get("version") if isinstance(content, dict) else None
        raise CheckpointError(f"{file} has version {version!r}, and this program reads {VERSION}: begin anew elsewhere")
    return content
