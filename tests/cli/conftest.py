"""A command line in a directory of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from symcell.cli import app

ROOT = Path(__file__).parents[2]
Symcell = Callable[..., Result]


@pytest.fixture
def symcell(tmp_path, monkeypatch) -> Symcell:
    """Runs a command in ``tmp_path``; a failure that the test does not expect is shown."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments), prog_name="symcell")
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


@pytest.fixture
def terminal(tmp_path) -> Callable[..., str]:
    """Runs a command in ``tmp_path`` on a terminal of so many columns: what it shows, without colours."""
    import fcntl
    import pty
    import struct
    import termios

    def run(columns: int, *arguments: str) -> str:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, "-m", "symcell", *arguments]
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs) as running:
            os.close(theirs)
            shown = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
        assert running.returncode == 0, shown
        text = shown.decode().replace("\r\n", "\n")
        bars = re.sub(r"\r[^\n]*\x1b\[2K", "", text)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", bars)

    return run


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so where the other end is closed
        return b""


@pytest.fixture
def process(tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``python ...`` in ``tmp_path``, with symcell importable."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    return run
