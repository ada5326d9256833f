"""Lines of C that are too long, broken; blank lines where they belong."""

from __future__ import annotations

import re
import textwrap

WIDTH = 120


def broken(line: str, indent: int) -> list[str]:
    """``line``, ``indent`` blanks in, as lines no wider than a page; what goes on stands further in."""
    first, comment = " " * indent, line.startswith("//")
    head, assigned, rest = line.partition(" = ")
    if len(first + line) > WIDTH >= len(first + rest) + 4 and assigned and not comment:
        return [f"{first}{head} =", f"{first}    {rest}"]
    return textwrap.wrap(
        line,
        WIDTH,
        initial_indent=first,
        subsequent_indent=f"{first}//     " if comment else f"{first}    ",
        break_long_words=comment,
        break_on_hyphens=False,
    )


def tidy(source: str) -> str:
    """Source with at most one blank line in a row, and none inside a function."""
    source = re.sub(r"[ \t]+$", "", source, flags=re.MULTILINE)
    source = re.sub(r"\n{2,}(?=[ \t}])", "\n", source)
    return re.sub(r"\n{3,}", "\n\n", source).strip("\n") + "\n"
