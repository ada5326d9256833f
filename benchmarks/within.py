"""A command that may take only so long, its own children included: none of them runs on beside what is measured."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """``status``: the exit status, None where the time was up; ``text``: all that was written, errors included."""

    status: int | None
    text: str


def within(
    seconds: float, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Done:
    """Run a command in a session of its own, and end all of it when the time is up. Raises OSError if none starts."""
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        text, _ = process.communicate(timeout=seconds)
        return Done(process.returncode, text)
    except subprocess.TimeoutExpired:
        _end(process)
        return Done(None, process.communicate()[0])
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
