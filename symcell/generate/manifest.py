"""MANIFEST.json: what lies in a directory of emitted modules, and what each was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from symcell.generate import files

NAME = "MANIFEST.json"
FORMAT = 1
SHIPPED = "shipped"
"""The source of a cell that comes with symcell."""


class ManifestError(ValueError):
    """A manifest that cannot be read: the message says why, and holds no name of a file."""


@dataclass(frozen=True)
class Entry:
    """One emitted module. ``source``: :data:`SHIPPED`, the ``.cell`` file seen from the manifest's directory, or None.

    No time, no machine, no absolute path: the same equations give the same manifest everywhere.
    """

    cell: str
    target: str
    source: str | None
    sha256: str
    stamp: str
    version: str


@dataclass(frozen=True)
class Manifest:
    """``shared``: the directory holds other people's files too, which are none of our business."""

    files: Mapping[str, Entry] = field(default_factory=dict)
    shared: bool = False

    def encode(self) -> bytes:
        """The file's contents: sorted, one entry in a block of lines, so that it merges and differs well."""
        entries = {name: asdict(entry) for name, entry in self.files.items()}
        data = {"files": entries, "format": FORMAT, "shared": self.shared}
        return (json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(directory: Path) -> Manifest | None:
    """The manifest of a directory, None where it has none. Raises ManifestError for one that is damaged, OSError."""
    data = files.read(directory / NAME)
    return None if data is None else decode(data)


def decode(data: bytes) -> Manifest:
    """The manifest in these bytes. Raises ManifestError."""
    try:
        found = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ManifestError("its brackets nest too deep") from None
    except ValueError as error:
        reason = "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"it is no JSON ({error})"
        raise ManifestError(reason) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ManifestError(f'expected "format": {FORMAT}')
    if set(found) != {"files", "format", "shared"} or not isinstance(found["shared"], bool):
        raise ManifestError('expected the keys "files", "format" and "shared"')
    if not isinstance(found["files"], dict):
        raise ManifestError('"files" is not an object')
    return Manifest({name: _entry(name, value) for name, value in found["files"].items()}, found["shared"])


def _entry(name: str, value: Any) -> Entry:
    keys = {f.name for f in fields(Entry)}
    if not isinstance(value, dict) or set(value) != keys:
        raise ManifestError(f"the entry {name!r} should have the keys {', '.join(sorted(keys))}")
    if any(not isinstance(v, str) and not (k == "source" and v is None) for k, v in value.items()):
        raise ManifestError(f"the entry {name!r} holds what is no text")
    entry = Entry(**value)
    if name != f"{entry.cell}_{entry.target}.py" or not name.removesuffix(".py").isidentifier():
        raise ManifestError(f"the entry {name!r} cannot be the cell {entry.cell!r} for the target {entry.target!r}")
    return entry
