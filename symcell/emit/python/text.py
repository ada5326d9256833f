"""A user's words inside emitted code: always text, never code."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator

WIDTH = 120
"""No line of emitted code is longer."""

SHORT = 100
"""No dict on one line is longer."""


def docstring(text: str, before: int = 0) -> str:
    """``text`` as the inside of a triple-quoted docstring, ``before`` characters into its line; long lines go on behind
    a backslash, which is no break."""
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    text = text[:-1] + '\\"' if text.endswith('"') and not text.endswith('\\"') else text
    return "\n".join("\\\n".join(_pieces(line, WIDTH - before)) for line in text.split("\n"))


def _pieces(line: str, width: int) -> Iterator[str]:
    """A line in pieces no wider than this, cut behind blanks where it has any, never inside an escape; there is room
    for a character behind all but the last."""
    while len(line) > width:
        end = line.rfind(" ", width // 2, width - 1) + 1 or width - 1
        # an odd backslash belongs to what follows it
        end -= (end - len(line[:end].rstrip("\\"))) % 2
        yield line[:end]
        line = line[end:]
    yield line


def string_lines(text: str) -> list[str]:
    """``text`` as Python string literals, one per line or several for a long one, to stand between parentheses."""
    lines = [literal(piece) for line in text.splitlines(keepends=True) for piece in _parts(line, WIDTH - 4)]
    return lines or ['""']


def _parts(line: str, width: int) -> Iterator[str]:
    """A line in pieces whose literals are no wider than this, cut behind blanks where it has any."""
    while len(literal(line)) > width:
        end = width - 2
        while len(literal(line[:end])) > width:
            end -= max((len(literal(line[:end])) - width) // 6, 1)
        end = line.rfind(" ", end // 2, end) + 1 or end
        yield line[:end]
        line = line[end:]
    yield line


def literal(value: object) -> str:
    """A string, number, None or tuple of these as Python code, strings in double quotes."""
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if not isinstance(value, str) or ('"' in value and "'" not in value):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def mapping(items: Iterable[tuple[str, str]], before: int) -> str:
    """A dict of names and code, on one line if that is short, ``before`` characters into it."""
    pairs = [f"{name}: {code}" for name, code in items]
    line = f"{{{', '.join(pairs)}}}"
    return line if len(line) + before <= SHORT else "{\n" + "".join(f"    {pair},\n" for pair in pairs) + "}"


def comment_lines(text: str, indent: int) -> list[str]:
    """A comment in lines that fit, the ``# `` of the first left to whoever writes it."""
    return textwrap.wrap(text, WIDTH - indent - 2, subsequent_indent="    ") or [""]


def code_lines(line: str, indent: int) -> list[str]:
    """A line of code in lines that fit: arguments and indices on lines of their own where it is too long."""
    if len(line) + indent <= WIDTH:
        return [line]
    blanks = " " * (len(line) - len(line.lstrip()))
    depth, opened = 0, -1
    commas: list[int] = []
    for k, c in enumerate(line):
        if c in "([":
            opened = k if depth == 0 and opened < 0 else opened
            depth += 1
        elif c in ")]":
            depth -= 1
            if depth == 0 and opened >= 0:
                return _broken(line, blanks, opened, commas, k, indent)
        elif c == "," and depth == 1:
            commas.append(k)
    return [line]


def _broken(line: str, blanks: str, opened: int, commas: list[int], closed: int, indent: int) -> list[str]:
    """A line broken behind its first bracket, behind the commas in that, and before it closes."""
    ends = [*commas, closed]
    starts = [opened + 1, *(k + 1 for k in commas)]
    made = [line[: opened + 1]]
    for start, end in zip(starts, ends, strict=True):
        part = line[start:end].strip()
        if part:
            made += code_lines(f"{blanks}    {part}{',' if end != closed else ''}", indent)
    return [*made, *code_lines(blanks + line[closed:], indent)]


def tidy(source: str) -> str:
    """Source without trailing blanks, with at most two blank lines between definitions and one inside them, and none
    behind a line that opens a block."""
    made: list[str] = []
    blank = 0
    for line in source.split("\n"):
        line = line.rstrip(" \t")
        if not line:
            blank += 1
            continue
        most = 2 if line[0] not in " \t" else 0 if made and made[-1].endswith(":") else 1
        made += [""] * min(blank, most if made else 0)
        made.append(line)
        blank = 0
    return "\n".join(made) + "\n"
