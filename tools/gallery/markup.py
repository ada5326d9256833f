"""Pieces of HTML and of MyST Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

import sympy

Cell = str | tuple[str, object]
"""What a table shows, as HTML; with what it is sorted by, where that is another thing."""


def text(raw: str) -> str:
    """Text as HTML."""
    return html.escape(raw)


def heading(raw: str) -> str:
    """Text as it may stand in a heading of Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+.!<>&$|~^-])", r"\\\1", " ".join(raw.split()))


def raw(markup: str) -> str:
    """HTML as a block of Markdown, which leaves it alone."""
    fence = "`" * max(4, 1 + max(map(len, re.findall("`+", markup)), default=0))
    return f"{fence}{{raw}} html\n{markup.rstrip()}\n{fence}\n\n"


def code(source: str, language: str) -> str:
    """Source text as a block of Markdown."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
    return f"{fence}{language}\n{source.rstrip()}\n{fence}\n\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], numbers: Sequence[int] = (), kind: str = "") -> str:
    """A table of HTML cells that scrolls by itself where it is too wide. ``numbers``: columns that are flush right.
    """

    def cell(k: int, entry: Cell, tag: str) -> str:
        shown, value = entry if isinstance(entry, tuple) else (entry, None)
        flush = ' class="number"' if k in numbers else ""
        sort = f' data-value="{value}"' if value is not None else ""
        return f"<{tag}{flush}{sort}>{shown}</{tag}>"

    head = "".join(cell(k, entry, "th") for k, entry in enumerate(heads))
    body = "\n".join(f"<tr>{''.join(cell(k, e, 'td') for k, e in enumerate(row))}</tr>" for row in rows)
    named = f' class="{kind}"' if kind else ""
    inner = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="wide" tabindex="0"><table{named}>{inner}</table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they are, both HTML."""
    body = "\n".join(f"<tr><th>{name}</th><td>{what}</td></tr>" for name, what in rows)
    return f'<table class="facts"><tbody>\n{body}\n</tbody></table>'


def formula(expr: sympy.Expr | str) -> str:
    """A polynomial in the sizes: ``4 D H + 4 H²``, as HTML; a term stays on its line."""
    written = str(expr).replace("**2", "²").replace("**3", "³").replace("*", "\N{NO-BREAK SPACE}")
    return re.sub(r"([A-Z])", r"<i>\1</i>", text(written))
