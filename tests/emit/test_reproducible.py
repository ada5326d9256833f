"""The same cell gives the same text, whatever the hash seed and the order in which cells are emitted."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.resources import files

import symcell
from symcell.pipeline import TARGETS, source

PROGRAM = """
import hashlib, symcell
from symcell.pipeline import TARGETS, source
for name in sorted(symcell.names(), reverse=True):
    for target in reversed(TARGETS):
        text = source(symcell.load(name), target)
        print(f"{name}_{target}.py", hashlib.sha256(text.encode()).hexdigest())
"""


def test_hash_seed_and_order() -> None:
    """Against the committed files, which came from another process, and in the other order."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    emitted = dict(line.split() for line in done.stdout.splitlines())
    folder = files("symcell.generated")
    committed = {
        name: hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest()
        for name in (f"{cell}_{target}.py" for cell in symcell.names() for target in TARGETS)
    }
    assert emitted == committed


def test_twice_in_one_process() -> None:
    for target in TARGETS:
        assert source(symcell.load("layernorm_lstm"), target) == source(symcell.load("layernorm_lstm"), target)
