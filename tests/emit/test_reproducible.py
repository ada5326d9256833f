"""The same cell gives the same text, whatever the hash seed and the order in which cells are emitted."""

from __future__ import annotations

import os
import subprocess
import sys

import symcell
from symcell.pipeline import TARGETS, source

PROGRAM = """
import hashlib, sys, symcell
from symcell.pipeline import TARGETS, source
for name in sorted(symcell.names(), reverse=sys.argv[1] == "reversed"):
    for target in TARGETS:
        print(name, target, hashlib.sha256(source(symcell.load(name), target).encode()).hexdigest())
"""


def digests(seed: str, order: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, order], env=environment, capture_output=True, text=True, check=True
    )
    return sorted(done.stdout.splitlines())


def test_hash_seed_and_order() -> None:
    first = digests("0", "forward")
    assert len(first) == len(symcell.names()) * len(TARGETS)
    assert digests("1", "reversed") == first


def test_twice_in_one_process() -> None:
    for target in TARGETS:
        assert source(symcell.load("layernorm_lstm"), target) == source(symcell.load("layernorm_lstm"), target)
