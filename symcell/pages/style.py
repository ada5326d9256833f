"""The style sheet and the script of the pages: files of ``symcell.templates``, put into each page whole."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def _file(name: str) -> str:
    return files("symcell.templates").joinpath("pages", name).read_text("utf-8").strip()


def page_style() -> str:
    """The style sheet of a page of its own: light and dark, narrow and wide, printed."""
    return _file("page.css") + "\n" + scoped_style()


def scoped_style() -> str:
    """The rules for what stands inside ``.symcell``, a document or a part of one; they touch nothing around it."""
    return _file("document.css")


def page_script() -> str:
    """What shows the definition of a symbol that is pointed at, tapped or focused; a page is whole without it."""
    return _file("document.js")


def sides_style() -> str:
    """More rules, for pages that set two things or more beside each other; within ``.symcell`` too."""
    return _file("sides.css")
