"""Fixtures of the whole suite live beside the tests that use them."""

import os
from pathlib import Path

# compiled C modules are kept from run to run, and shared by the processes of one
os.environ.setdefault("SYMCELL_CACHE", str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "compiled"))
