"""A user's words inside emitted code: always text, never code."""

from __future__ import annotations

import json
import re


def comment(text: str) -> str:
    """``text`` on one line that is safe behind ``#`` or ``//``, and inside a raw triple-quoted string."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line.replace('"""', "''" + "'")
    return line + " ." if line.endswith(("\\", '"')) else line


def docstring(text: str) -> str:
    """``text`` as the inside of a triple-quoted docstring."""
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return text[:-1] + '\\"' if text.endswith('"') and not text.endswith('\\"') else text


def string_lines(text: str) -> list[str]:
    """``text`` as Python string literals, one per line, to stand between parentheses."""
    return [literal(line) for line in text.splitlines(keepends=True)] or ['""']


def literal(value: object) -> str:
    """A string, number, None or tuple of these as Python code, strings in double quotes."""
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if not isinstance(value, str) or ('"' in value and "'" not in value):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def tidy(source: str) -> str:
    """Python source without trailing blanks, with two blank lines between definitions and at most one inside them."""
    source = re.sub(r"[ \t]+$", "", source, flags=re.MULTILINE)
    source = re.sub(r"\n{2,}(?=[ \t])", "\n\n", source)
    source = re.sub(r":\n\n+(?=[ \t])", ":\n", source)
    return re.sub(r"\n{4,}", "\n\n\n", source).strip("\n") + "\n"


def tidy_c(source: str) -> str:
    """C source with at most one blank line in a row, and none before a closing brace or behind an opening one."""
    source = re.sub(r"[ \t]+$", "", source, flags=re.MULTILINE)
    source = re.sub(r"\n{2,}(?=[ \t]*\})", "\n", source)
    source = re.sub(r"\{\n\n+", "{\n", source)
    return re.sub(r"\n{3,}", "\n\n", source).strip("\n") + "\n"
