"""Cells in files: those that come with symcell, and the reader's own."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

from symcell.cell import Cell, CellError
from symcell.language.names import is_identifier
from symcell.language.parsing import parse
from symcell.language.problems import did_you_mean
from symcell.language.source import MAX_BYTES
from symcell.shipped import SUFFIX, names as names, text


def load(name_or_path: str | os.PathLike[str]) -> Cell:
    """A cell by name, or from a file.

    A path is what has a separator or ends in ``.cell``. A bare name is ``NAME.cell`` in the current directory if there
    is such a file, else one of :func:`names`. Raises CellError where there is no such cell, the file cannot be read as
    UTF-8 text of at most 1 MiB, or its text is wrong.
    """
    try:
        given = os.fspath(name_or_path)
    except TypeError as error:
        raise CellError(f"a cell is loaded by name or path, not {type(name_or_path).__name__}") from error
    if not isinstance(given, str) or "\0" in given:
        raise CellError(f"{given!r} is neither a cell's name nor a path")
    if not isinstance(name_or_path, str) or given.endswith(SUFFIX) or os.sep in given or "/" in given:
        return _from_file(Path(given))
    local = Path(given + SUFFIX)
    if is_identifier(given) and local.is_file():
        return _from_file(local)
    if given not in names():
        raise CellError(_unknown(given))
    return parse(text(given), name=given)


def as_cell(cell: Cell | str | os.PathLike[str]) -> Cell:
    """A cell as it is, or the one that a name or path names, as :func:`load` finds it; raises CellError like it."""
    return cell if isinstance(cell, Cell) else load(cell)


def _unknown(name: str) -> str:
    said = f"no cell is called {name[:80]!r}"
    path = "a file is given by its path, such as ./mine.cell"
    if hint := _hint(name):
        return f"{said}; {hint}\n    `symcell list` names them all; {path}"
    known = f"cells that come with symcell: {', '.join(names())}; {path}"
    return "\n".join([said, *textwrap.wrap(known, 76, initial_indent="    ", subsequent_indent="    ")])


def _hint(name: str) -> str:
    """What may have been meant: names are in small letters, with _ between words."""
    here = (path.stem for path in Path().glob("*.cell") if path.is_file())
    known = {n.lower(): n for n in (*names(), *here) if is_identifier(n)}
    plain = re.sub(r"[\s-]+", "_", name[:80].strip()).lower()
    if plain in known:
        return f"did you mean {known[plain]}?"
    return did_you_mean(plain, known.values())


def _from_file(path: Path) -> Cell:
    name = path.name.removesuffix(SUFFIX)
    if not is_identifier(name):
        advice = "rename the file: letters, digits and _, not a word of Python"
        raise CellError(f"{str(path)!r}: {name[:80]!r} cannot be a cell's name; {advice}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = "this is a directory" if path.is_dir() else getattr(error, "strerror", None) or str(error)
        raise CellError(f"{str(path)!r} cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise CellError(f"{str(path)!r} is larger than 1 MiB; a cell is a page of equations")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CellError(f"{str(path)!r} is no UTF-8 text: byte 0x{data[error.start]:02x} in line {line}") from error
    return parse(text, name=name, filename=str(path))
