"""``python -m symcell.emulate ARGS``: runs ``python ARGS`` with AddressSanitizer loaded, for ``sanitize=True``."""

from __future__ import annotations

import os
import sys

from symcell.emulate.sanitizer import environment

if __name__ == "__main__":
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], environment())
