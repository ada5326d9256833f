"""The code of the site's pages runs, page by page, as a reader would paste it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from symcell.cli import app

SITE = Path(__file__).parents[2] / "docs" / "site"
PAGES = [SITE / "start.md", *sorted((SITE / "recipes").glob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=lambda page: page.stem)
def test_code_of_a_page_runs(tmp_path, monkeypatch, page):
    """Files are written, commands run, and the Python blocks are one program."""
    monkeypatch.chdir(tmp_path)
    program = []
    for block in BLOCK.finditer(page.read_text("utf-8")):
        kind, _, said = (block["mark"] or "").partition(": ")
        if kind == "file":
            (tmp_path / said).write_text(block["text"], "utf-8")
        elif block["language"] == "sh" and not kind:
            for line in block["text"].splitlines():
                done = CliRunner().invoke(app, line.partition("#")[0].split()[1:])
                assert done.exit_code == 0, done.output
        elif block["language"] == "python" and (not kind or importlib.util.find_spec(said)):
            program.append(block["text"])
    if program:
        command, one = [sys.executable, "-c", "\n".join(program)], os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=one, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
