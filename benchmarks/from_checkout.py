"""symcell straight from a checkout, not installed: importing this, also as ``pytest -p from_checkout``, makes it whole.

An installed symcell has ``symcell.templates`` and ``symcell.generated``, which lie beside the package here.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def complete() -> None:
    """Let symcell find its templates and generated modules in the checkout, where it finds them nowhere else."""
    if importlib.util.find_spec("symcell") is None:
        sys.path.insert(0, str(ROOT))
    import symcell

    if importlib.util.find_spec("symcell.templates") is None:
        symcell.__path__.append(str(ROOT))


complete()
