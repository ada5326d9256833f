"""What a checkpoint says of itself: the cell's equations with their fingerprint, sizes, and how its module was made.

All of it is text in the metadata of a safetensors file, and none of it is trusted: equations are parsed, never
executed, and everything else is checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from symcell.cell import Cell, CellError
from symcell.language import parse

VERSION = "1"
"""Of what the metadata holds."""
LARGEST = 2**40
"""No size is larger than this."""


def lines(cell: Cell) -> dict[str, str]:
    """What makes a cell the function that it is, by name: equations, shapes, constants and starts, as text.

    Where parameters start, labels, comments and the order of equations are no part of it.
    """
    found = {eq.lhs.signal: f"{eq.lhs} = {eq.rhs}" for eq in cell.equations}
    shaped = {**cell.signals, **cell.inputs, **{n: p.shape for n, p in cell.parameters.items()}, **cell.arrays}
    found |= {f"{n}: ": f"{n}: ({', '.join(map(str, shape))})" for n, shape in shaped.items()}
    found |= {f"{n} = ": f"{n}: const = {value!r}" for n, value in cell.constants.items()}
    found |= {f"{n}[0]": f"{n}[0] = {start}" for n, start in cell.initial.items()}
    return found | {"output": f"output: {cell.output}"}


def fingerprint(cell: Cell) -> str:
    """64 hexadecimal digits that are the same for the same equations under the same names."""
    return hashlib.sha256("\n".join(sorted(lines(cell).values())).encode()).hexdigest()


def difference(one: Cell, other: Cell) -> str:
    """The first thing that two cells say differently, or ""."""
    here, there = lines(one), lines(other)
    for name in (*here, *(n for n in there if n not in here)):
        if here.get(name) != there.get(name):
            return f"{here.get(name, 'nothing')!r} and {there.get(name, 'nothing')!r}"
    return ""


@dataclass(frozen=True)
class Header:
    """``arguments``: what the module was made with, as JSON can hold it; empty for an emitted module."""

    cell: Cell
    sizes: Mapping[str, int]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """As it stands in the file."""
        return {
            "format": "pt" if self.arguments else "np",
            "symcell": VERSION,
            "cell": self.cell.name,
            "equations": self.cell.text,
            "fingerprint": fingerprint(self.cell),
            "sizes": json.dumps(dict(self.sizes)),
            "arguments": json.dumps(dict(self.arguments)),
        }


def header_of(metadata: Mapping[str, str] | None) -> Header:
    """The header out of a file's metadata. Raises ValueError for what is none."""
    metadata = metadata or {}
    if "symcell" not in metadata:
        raise ValueError("expected a checkpoint of symcell; its metadata has no key 'symcell'")
    if metadata["symcell"] != VERSION:
        raise ValueError(
            f"expected version {VERSION} of the format, got {metadata['symcell'][:20]!r}: it was written by another "
            "version of symcell, with which to load it"
        )
    missing = [key for key in ("cell", "equations", "fingerprint", "sizes", "arguments") if key not in metadata]
    if missing:
        raise ValueError(f"its metadata has no {', '.join(missing)}")
    try:
        cell = parse(metadata["equations"], name=metadata["cell"])
    except CellError as error:
        raise ValueError(f"its equations cannot be read: {error}") from error
    if fingerprint(cell) != metadata["fingerprint"]:
        raise ValueError(
            "its equations are not those that its fingerprint was made of: the file was edited or damaged; restore it, "
            "or save the parameters again"
        )
    sizes = _json("sizes", metadata["sizes"])
    if set(sizes) != set(cell.sizes):
        raise ValueError(f"sizes: expected {', '.join(cell.sizes)}, got {', '.join(sizes)}")
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST:
            raise ValueError(f"sizes: {name}: expected an integer from 1 to 2**40, got {str(size)[:40]}")
    return Header(cell, sizes, _json("arguments", metadata["arguments"]))


def _json(key: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{key}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{key}: expected a JSON object, got {type(found).__name__}")
    return found
