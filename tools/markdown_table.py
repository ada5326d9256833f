"""Tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: int = 1) -> str:
    """A Markdown table; the columns from ``right`` on are flush right."""
    marks = ("---" if k < right else "--:" for k in range(len(heads)))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, tuple(marks), *rows))
