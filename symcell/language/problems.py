"""Mistakes are collected while a stage reads on, and raised together as one CellError."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

from symcell.cell import CellError, Diagnostic
from symcell.language.source import Source, Span, visible

SHOWN = 20
"""How many mistakes one error prints."""
ENOUGH = 200
"""How many mistakes are collected before reading on is pointless."""
WIDTH = 100
MANY = 200
"""Among how many names a similar one is looked for."""


class Problems:
    """The mistakes found so far in one text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._found: dict[tuple[int, int], tuple[Span, Diagnostic]] = {}

    def add(self, span: Span, message: str, advice: str = "") -> None:
        """Notes a mistake, one for each place; raises CellError once there are so many that more would not help."""
        place = (span.line, span.column)
        self._found.setdefault(place, (span, Diagnostic(span.line, span.column, message, advice)))
        if len(self._found) >= ENOUGH:
            self.stop(more="at least ")

    def stop(self, more: str = "") -> None:
        """Raises CellError if any mistake has been found."""
        if not self._found:
            return
        found = [self._found[place] for place in sorted(self._found)]
        parts = [_render(self.source, span, diagnostic) for span, diagnostic in found[:SHOWN]]
        if len(found) > SHOWN:
            parts.append(f"... and {more}{len(found) - SHOWN} more")
        raise CellError("\n".join(parts), (diagnostic for _, diagnostic in found))


def _render(source: Source, span: Span, diagnostic: Diagnostic) -> str:
    head = f"{visible(source.filename)}:{diagnostic.line}:{diagnostic.column}: {diagnostic.message}"
    line = source.lines[span.line - 1]
    start = min(span.column - 1, len(line))
    end = min(span.end_column - 1, len(line)) if span.end_line == span.line else len(line)
    first = max(0, start - WIDTH // 2) if len(line) > WIDTH else 0
    before, marked = visible(line[first:start]), visible(line[start : min(end, first + WIDTH)])
    after = visible(line[start + len(line[start : min(end, first + WIDTH)]) : first + WIDTH])
    before = ("…" if first else "") + before
    shown = before + marked + after + ("…" if len(line) > first + WIDTH else "")
    caret = " " * _width(before) + "^" * max(1, _width(marked))
    return "\n".join([head, f"    {shown}", f"    {caret}", *(f"    {a}" for a in [diagnostic.advice] if a)])


def _width(text: str) -> int:
    """How many columns a terminal takes for the text: Korean syllables take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"did you mean sigmoid?"`` if a known name is close, else the empty string."""
    candidates = sorted(set(known) - {name})[:MANY]
    close = difflib.get_close_matches(name[:64], candidates, n=2, cutoff=0.7)
    return f"did you mean {' or '.join(close)}?" if close else ""


def one_edit_apart(a: str, b: str) -> bool:
    """Whether one letter inserted, dropped, changed or swapped with its neighbour turns ``a`` into ``b``."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    short, long = sorted((a, b), key=len)
    at = next((k for k, c in enumerate(short) if c != long[k]), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    swapped = short[at + 1 : at + 2] + short[at] + short[at + 2 :]
    return short[at + 1 :] == long[at + 1 :] or swapped == long[at:]


def listed(names: Iterable[str], limit: int = 6) -> str:
    """``a, b and c``: names in a sentence, cut after ``limit``."""
    items = list(names)
    if len(items) > limit:
        items = [*items[:limit], "others"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
