"""The texts of the cells that come with symcell, without reading them: nothing heavy is imported here."""

from __future__ import annotations

from importlib import resources

SUFFIX = ".cell"


def names() -> tuple[str, ...]:
    """The names of the cells that come with symcell."""
    files = resources.files("symcell").joinpath("cells").iterdir()
    return tuple(sorted(file.name.removesuffix(SUFFIX) for file in files if file.name.endswith(SUFFIX)))


def text(name: str) -> str:
    """The text of one of :func:`names`."""
    return resources.files("symcell").joinpath("cells", name + SUFFIX).read_text(encoding="utf-8")
