"""The text of a cell and places in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from symcell.cell import CellError

MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the text: lines and columns count characters from 1, ``end_column`` is one past the last."""

    line: int
    column: int
    end_line: int
    end_column: int


class Source:
    """A cell's text with newlines as ``\\n``, and the line and column of every offset in it."""

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        self.filename = filename
        self.lines = text.split("\n")
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def position(self, offset: int) -> tuple[int, int]:
        line = min(bisect_right(self._starts, offset), len(self.lines))
        return line, offset - self._starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        return Span(*self.position(start), *self.position(max(end, start + 1)))

    def excerpt(self, span: Span, limit: int = 40) -> str:
        """The text of a span, on one line and at most ``limit`` characters long, to be quoted in a message.

        Python counts no brackets around an operand to it, so those at its ends are added where they are missing.
        """
        end = span.end_column - 1 if span.end_line == span.line else None
        text = self.lines[span.line - 1][span.column - 1 : end].strip()
        if len(text) > limit or end is None:
            return visible(text[: limit - 1] + "…")
        missing = text.count(")") - text.count("(")
        return visible("(" * missing + text + ")" * -missing)


def read_source(text: str, filename: str) -> Source:
    """The source of a cell's text; CellError if it is no text, too large or holds what no text file should."""
    if not isinstance(text, str):
        raise CellError(f"{filename}: a cell's text is a str, not {type(text).__name__}")
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise CellError(f"{filename}: the text is larger than 1 MiB; a cell is a page of equations")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return Source(text, filename)


def visible(text: str) -> str:
    """The text with tabs as spaces and other characters that a terminal would obey or hide as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c == "\t" else c.encode("unicode_escape").decode() for c in text)
