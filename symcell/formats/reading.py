"""Layouts out of the TOML files beside the cells, checked: a slip there is an error that names the file's entry."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from symcell.cell import CellError
from symcell.formats.layouts import ForeignModule, Library, Stack

SUFFIX = ".toml"


class LayoutError(ValueError):
    """A layout file says what cannot be; the message names the file's entry."""


def _folder() -> Any:
    return resources.files("symcell").joinpath("cells", "layouts")


LIBRARIES = tuple(sorted(f.name.removesuffix(SUFFIX) for f in _folder().iterdir() if f.name.endswith(SUFFIX)))
"""The libraries whose layers are known."""


@functools.cache
def library(name: str) -> Library:
    """The layers of a library. Raises ValueError for one that is not known."""
    if name not in LIBRARIES:
        raise ValueError(f"library: expected one of {', '.join(LIBRARIES)}, got {name!r}")
    return read(_folder().joinpath(name + SUFFIX).read_text(encoding="utf-8"), name + SUFFIX)


def read(text: str, filename: str) -> Library:
    """A layout file's text. Raises LayoutError (a ValueError)."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LayoutError(f"{filename}: {error}") from error
    entry = _Entry(filename, data)
    name = entry.take("library", str)
    array, directions = entry.take("array", str, "{array}"), tuple(entry.take("directions", list, [""]))
    together = entry.take("together", bool, False)
    modules = tuple(
        _module(name, _Entry(f"{filename}: module {k}", m)) for k, m in enumerate(entry.take("module", list))
    )
    entry.finish()
    return Library(name, modules, array, directions, together)


class _Entry:
    """A table of the file, of which every key is asked for once."""

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self.where, self.data = where, dict(data)

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        value = self.data.pop(key, default)
        if not isinstance(value, kind):
            raise self.error(f"{key}: expected {kind.__name__}, got {value!r}")
        return value

    def finish(self) -> None:
        if self.data:
            raise self.error(f"unknown: {', '.join(self.data)}")

    def error(self, message: str) -> LayoutError:
        return LayoutError(f"{self.where}: {message}")


def _module(library: str, entry: _Entry) -> ForeignModule:
    name = entry.take("name", str)
    entry.where = f"{entry.where} ({name})"
    module = ForeignModule(
        library,
        name,
        entry.take("cell", str),
        entry.take("equations", str),
        {k: _stack(v, k, entry) for k, v in entry.take("arrays", dict).items()},
        tuple(entry.take("states", list)),
        entry.take("sizes", dict),
        {k: tuple(v) if isinstance(v, list) else v for k, v in entry.take("options", dict, {}).items()},
        {k: tuple(v) for k, v in entry.take("optional", dict, {}).items()},
    )
    entry.finish()
    _check(module, entry)
    return module


def _stack(given: Any, array: str, entry: _Entry) -> Stack:
    if not isinstance(given, dict) or list(given) not in (["rows"], ["columns"]):
        raise entry.error(f"{array}: expected {{ rows = [names] }} or {{ columns = [names] }}, got {given!r}")
    ((key, parts),) = given.items()
    several = bool(parts) and isinstance(parts[0], list)
    blocks = tuple(map(tuple, parts)) if several else (tuple(parts),)
    if not all(blocks) or len({len(b) for b in blocks}) > 1 or not all(isinstance(n, str) for b in blocks for n in b):
        raise entry.error(f"{array}: expected names, or lists of names of one length, got {parts!r}")
    return Stack(blocks, several, key == "columns")


def _check(module: ForeignModule, entry: _Entry) -> None:
    try:
        cell = module.cell
    except CellError as error:
        raise entry.error(str(error)) from error
    for array, stack in module.arrays.items():
        for name in stack.names:
            if name not in cell.parameters:
                raise entry.error(f"{array}: {name} is no parameter of the equations")
        if len({module.shape(name) for name in stack.names}) > 1:
            raise entry.error(f"{array}: what is stacked has one shape")
    placed = {name for stack in module.arrays.values() for name in stack.names}
    if placed != cell.parameters.keys():
        raise entry.error(f"no array holds {', '.join(sorted(cell.parameters.keys() - placed))}")
    if sorted(module.states) != sorted(cell.states):
        raise entry.error(f"states: expected {', '.join(cell.states)} in some order, got {', '.join(module.states)}")
    if unknown := set(module.sizes.values()) - set(cell.sizes):
        raise entry.error(f"sizes: {', '.join(sorted(unknown))}: the equations have {', '.join(cell.sizes)}")
    if absent := module.missing - module.arrays.keys():
        raise entry.error(f"optional: {', '.join(sorted(absent))}: no such array")
