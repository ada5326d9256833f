"""Where a cell's text is: among the shipped ones, in a ``.cell`` file, or in a module that was emitted from it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from symcell.cell import Cell, CellError
from symcell.generate import embedded, files
from symcell.generate.manifest import SHIPPED, Entry, Manifest, digest
from symcell.language import load, names, parse
from symcell.pipeline import TARGETS

SUFFIX = ".cell"


@dataclass(frozen=True)
class Found:
    """A cell, and where it was found. ``argument`` is what one types to mean it; no ``file``: it is a shipped one."""

    cell: Cell
    argument: str
    file: Path | None = None

    @property
    def module(self) -> bool:
        """Whether the text was taken out of an emitted module."""
        return self.file is not None and self.file.suffix == ".py"


def find(argument: str) -> Found:
    """A cell by name, by the path of its ``.cell`` file, or by the path of a module emitted from it.

    A bare name is ``NAME.cell`` in the current directory if there is one, else a shipped cell. Raises CellError.
    """
    if argument.endswith(".py"):
        return _from_module(Path(argument))
    cell = load(argument)
    if argument.endswith(SUFFIX) or "/" in argument or os.sep in argument:
        return Found(cell, argument, Path(argument))
    local = Path(argument + SUFFIX)
    return Found(cell, argument, local if local.is_file() else None)


def shipped() -> list[Found]:
    """Every shipped cell; a ``.cell`` file of the same name in the current directory stands in for it."""
    return [find(name) for name in names()]


def cell_name(module: str) -> str | None:
    """``lstm`` for the file ``lstm_cupy.py``; None for a file that is called otherwise."""
    ends = (f"_{target}.py" for target in TARGETS)
    return next((module.removesuffix(end) for end in ends if module.endswith(end)), None) or None


def _from_module(path: Path) -> Found:
    name = cell_name(path.name)
    if name is None:
        raise CellError(f"{str(path)!r} is no NAME_TARGET.py, as emitted modules are: give a name or a .cell file")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise CellError(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found = embedded.read(data)
    if found is None:
        raise CellError(f"{str(path)!r} has no EQUATIONS and STAMP as an emitted module has")
    return Found(parse(found.equations, name=name, filename=f"{path} (EQUATIONS)"), str(path), path)


def recorded(found: Found, directory: Path) -> str | None:
    """The source that a manifest in ``directory`` names: a path only where both lie below the current directory."""
    if found.file is None:
        return SHIPPED
    here, home, file = Path.cwd().resolve(), directory.resolve(), found.file.resolve()
    if found.module or not (home.is_relative_to(here) and file.is_relative_to(here)):
        return None
    return Path(os.path.relpath(file, home)).as_posix()


def resolve(name: str, manifest: Manifest, directory: Path) -> Found:
    """The cell that entries of a manifest were made from, as it is now.

    The ``.cell`` file that the manifest names; else what ``name`` means here; else the equations that the modules
    themselves hold, an unedited one first. Raises CellError where the equations are wrong, or nowhere to be found.
    """
    entries = {file: entry for file, entry in sorted(manifest.files.items()) if entry.cell == name}
    sources = [entry.source for entry in entries.values() if entry.source]
    for source in sources:
        path = directory.resolve() / source
        if path.name == name + SUFFIX and path.is_file():
            return _nearest(name, path)
    if Path(name + SUFFIX).is_file() or (SHIPPED in sources and name in names()):
        return find(name)
    for file in _trusted_first(entries, directory):
        data = files.read(directory / file)
        if data is not None and embedded.read(data):
            return _from_module(directory / file)
    raise NoSourceError(f"the equations of {name} are nowhere to be found: no {name}.cell, no module that holds them")


class NoSourceError(CellError):
    """There is no text of a cell any more."""


def _nearest(name: str, path: Path) -> Found:
    local = Path(name + SUFFIX)
    return find(name if local.is_file() and local.samefile(path) else os.path.relpath(path))


def _trusted_first(entries: dict[str, Entry], directory: Path) -> Iterable[str]:
    def edited(file: str) -> bool:
        return digest(files.read(directory / file) or b"") != entries[file].sha256

    return sorted(entries, key=edited)
