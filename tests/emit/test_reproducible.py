"""The same cell gives the same text, whatever the hash seed and the order in which cells are emitted.

Without ``--whole`` of the cells in SAMPLE, which are of every kind; tests/test_generated.py emits all of them, with the
hash seed that Python draws for a process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.resources import files

import pytest

import symcell
from symcell.pipeline import TARGETS, source

SAMPLE = ["gated_deltanet", "layernorm_lstm", "lmu", "lstm", "mamba", "narx"]
PROGRAM = """
import hashlib, symcell, sys
from symcell.pipeline import TARGETS, source
for name in sorted(sys.argv[1:], reverse=True):
    for target in reversed(TARGETS):
        text = source(symcell.load(name), target)
        print(f"{name}_{target}.py", hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.mark.parametrize("names", [SAMPLE, pytest.param(symcell.names(), marks=pytest.mark.whole)], ids=["some", "all"])
def test_hash_seed_and_order(names: list[str]) -> None:
    """Against the committed files, which came from another process, and in the other order."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    emitted = dict(line.split() for line in done.stdout.splitlines())
    folder = files("symcell.generated")
    committed = {
        name: hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest()
        for name in (f"{cell}_{target}.py" for cell in names for target in TARGETS)
    }
    assert emitted == committed


def test_twice_in_one_process() -> None:
    for target in TARGETS:
        assert source(symcell.load("layernorm_lstm"), target) == source(symcell.load("layernorm_lstm"), target)
