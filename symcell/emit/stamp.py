"""The fingerprint of an emitted module: equations, plan, templates and version."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

from symcell.plan import Plan
from symcell.version import __version__


def stamp(plan: Plan) -> str:
    """16 hexadecimal digits that change whenever what is emitted may change."""
    parts = (__version__, plan.cell.name, plan.cell.text, str(plan.adjoint.forward), str(plan.adjoint.graph),
             repr(plan.parameters), repr(plan.stash), templates_digest())  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@functools.cache
def templates_digest() -> str:
    """A digest of all templates."""
    digest = hashlib.sha256()
    for path, text in sorted(_walk(files("symcell.templates"), "")):
        digest.update(f"{path}\0{text}\0".encode())
    return digest.hexdigest()


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _walk(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".j2"):
            found.append((prefix + item.name, item.read_text(encoding="utf-8")))
    return found
