"""Breaking a long formula into lines: at sums before products, outside parentheses before inside."""

from __future__ import annotations

from collections.abc import Callable

SUM_BREAK, PRODUCT_BREAK, OPEN, CLOSE, LAST_BREAK = "\x01", "\x02", "\x03", "\x04", "\x05"
"""Marks in a printed formula: a line may be broken before a sign; brackets open and close; a line may be broken inside
a matrix product or a list, too, where there is no better place."""

_SOLID = str.maketrans("", "", SUM_BREAK + PRODUCT_BREAK + OPEN + CLOSE + LAST_BREAK)
_BADNESS = {SUM_BREAK: 0, PRODUCT_BREAK: 1, LAST_BREAK: 20}


def unmarked(text: str) -> str:
    """A formula without its marks: as it is printed on one line, or inside something that cannot be broken."""
    return text.translate(_SOLID)


def _pieces(text: str) -> list[tuple[int, str]]:
    """The parts between possible breaks, each with how bad a break before it is."""
    pieces: list[tuple[int, str]] = [(0, "")]
    depth = 0
    for char in text:
        if char == OPEN:
            depth += 1
        elif char == CLOSE:
            depth -= 1
        elif char in _BADNESS:
            pieces.append((2 * depth + _BADNESS[char], ""))
        else:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + char)
    return pieces


def broken(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """A marked formula as lines no wider than ``width`` where that can be done."""
    pieces = _pieces(text)
    lines: list[str] = []
    while pieces:
        end = _end(pieces, width, measure)
        lines.append("".join(p for _, p in pieces[:end]).strip())
        pieces = pieces[end:]
    return lines


def _end(pieces: list[tuple[int, str]], width: float, measure: Callable[[str], float]) -> int:
    """How many pieces go on the first line: up to the least bad break that fills a good part of it."""
    so_far = _measured(pieces, width, measure)
    if len(so_far) == len(pieces):
        return len(pieces)
    fitting = list(range(1, len(so_far) + 1)) or [1]
    good = [k for k in fitting if k <= len(so_far) and so_far[k - 1] >= 0.4 * width] or fitting
    best = min(pieces[k][0] for k in good)
    return max(k for k in good if pieces[k][0] == best)


def _measured(pieces: list[tuple[int, str]], width: float, measure: Callable[[str], float]) -> list[float]:
    """How wide the first piece is, the first two together and so on, as long as they fit; a lone piece always does."""
    text, so_far = "", list[float]()
    for _, piece in pieces:
        text += piece
        wide = measure(text)
        if wide > width and len(pieces) > 1:
            break
        so_far.append(wide)
    return so_far
