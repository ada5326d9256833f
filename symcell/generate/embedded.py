"""What an emitted module says about itself, read without running it."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass

MAX_BYTES = 1 << 24


@dataclass(frozen=True)
class Embedded:
    """The module's constants ``EQUATIONS`` and ``STAMP``."""

    equations: str
    stamp: str


def read(data: bytes) -> Embedded | None:
    """The constants of an emitted module; None if these bytes are none."""
    if len(data) > MAX_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(data).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found: dict[str, str] = {}
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                found[name] = text
    if not found.keys() >= {"EQUATIONS", "STAMP"}:
        return None
    return Embedded(found["EQUATIONS"], found["STAMP"])
