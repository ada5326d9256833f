"""The Jinja environment of all templates: strict, and loaded from the installed package ``symcell.templates``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import jinja2


def _load(name: str) -> str | None:
    """The text of the template ``kind/name.j2``; None (Jinja's "not found") where there is none."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return None
    source = files("symcell.templates").joinpath(*parts)
    return source.read_text(encoding="utf-8") if source.is_file() else None


@cache
def environment(kind: str) -> jinja2.Environment:
    """The environment for the templates of one kind: a folder of ``templates/``.

    Template names start at ``templates/`` (``numpy/module.py.j2``), so that one may include another's
    ``shared/params.j2``. Raises LookupError for a folder that does not exist.
    """
    if not files("symcell.templates").joinpath(kind).is_dir():
        raise LookupError(f"there are no templates for {kind!r}")
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_load),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
