"""What a terminal needs: text in lines no wider than it, tables and boxes, in columns as they are seen."""

from __future__ import annotations

from collections.abc import Sequence

from symcell.derivation.text import width

KEPT = "\u00a0"
"""A space at which a line is not broken, unless there is no other; it is printed as a space."""


def chopped(word: str, room: int) -> list[str]:
    """A word that is wider than a line, cut into pieces that are not."""
    pieces, current = [], ""
    for char in word:
        if current and width(current + char) > room:
            pieces.append(current)
            current = ""
        current += char
    return [*pieces, current]


def _words(text: str, room: int) -> list[str]:
    found = []
    for word in text.split(" "):
        if width(word) <= room:
            found.append(word)
        else:
            found += [piece for part in word.split(KEPT) for piece in chopped(part, room)]
    return [word for word in found if word]


def wrapped(text: str, room: int, indent: str = "") -> list[str]:
    """A text in lines of at most ``room`` columns; all but the first are indented."""
    room = max(room, 1)
    lines = [""]
    for word in _words(text, room - width(indent)):
        if lines[-1].strip(" ") and width(lines[-1]) + 1 + width(word) > room:
            lines.append(indent + word)
        else:
            lines[-1] += f" {word}" if lines[-1].strip(" ") else word
    return [line.replace(KEPT, " ") for line in lines]


def padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def underlined(text: str, rule: str, room: int) -> list[str]:
    """A heading with a line under it."""
    lines = wrapped(text, room)
    return [*lines, rule * max(map(width, lines))]


def columns_of(rows: Sequence[Sequence[str]], room: int, gap: int) -> list[int]:
    """How wide each column of a table is: as wide as its widest cell, the widest ones narrower where that is too
    much."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + gap * (len(widths) - 1) > room and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


def table(rows: Sequence[Sequence[str]], room: int, head: bool, gap: int = 3) -> list[str]:
    """Cells in columns, long ones on several lines; under a head there is a rule."""
    widths = columns_of(rows, room, gap)
    lines = []
    for k, row in enumerate(rows):
        cells = [wrapped(cell, w) for cell, w in zip(row, widths, strict=True)]
        for n in range(max(map(len, cells))):
            line = (padded(c[n] if n < len(c) else "", w) for c, w in zip(cells, widths, strict=True))
            lines.append((" " * gap).join(line).rstrip())
        if head and k == 0:
            lines.append((" " * gap).join("─" * w for w in widths))
    return lines


def box(title: str, lines: Sequence[str], room: int) -> list[str]:
    """Lines in a frame with a title, which are as wide as they need to be."""
    titles = wrapped(title, room - 4)
    inner = max(width(line) for line in (*titles, *lines))
    framed = [f"│ {padded(line, inner)} │" for line in lines]
    heads = [f"│ {padded(line, inner)} │" for line in titles]
    rule = "─" * (inner + 2)
    return [f"┌{rule}┐", *heads, f"├{rule}┤", *framed, f"└{rule}┘"]
