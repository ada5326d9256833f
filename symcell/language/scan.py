"""Cuts a cell's text into statements, before Python's parser sees any of it.

One compiled expression finds what matters (comments, strings, brackets, line ends), so limits hold however large or
hostile the text is. Comments become labels, the docstring is taken as it stands, and both are blanked out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from symcell.language.problems import Problems
from symcell.language.source import Source, Span

MAX_DEPTH = 100
MAX_NAME = 64
MAX_STATEMENT = 1 << 16
MAX_STATEMENTS = 4096

_TOKEN = re.compile(
    r"""(?P<newline>\n(?:[ \t\f]*(?:\#[^\n]*)?\n)*)
      | (?P<comment>\#[^\n]*)
      | (?P<continued>\\\n)
      | (?P<end>;)
      | (?P<open>[\[({])
      | (?P<close>[\])}])
      | (?P<string>\"\"\"|\'\'\'|\"|\')""",
    re.VERBOSE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_STATEMENT = re.compile(r"[ \t\f]*[^\W\d]\w*\s*(?:\[\s*[t0]\s*\]\s*=(?!=)|:)")
_LONG_NAME = re.compile(rf"\b[^\W\d]\w{{{MAX_NAME},}}")
_PAIRS = {")": "(", "]": "[", "}": "{"}


@dataclass(slots=True)
class Chunk:
    """One statement: its code with comments blanked out, where it starts, and the comment that ends its last line."""

    code: str
    start: int
    line: int
    column: int
    label: str = ""


@dataclass
class Scan:
    """What the scanner found: the docstring, where it ends, and the statements."""

    docstring: str = ""
    body: int = 0
    chunks: list[Chunk] = field(default_factory=list)


def scan(source: Source, problems: Problems) -> Scan:
    """The statements of a text; mistakes go to ``problems``. Raises CellError at once where a limit is broken."""
    scanner = _Scanner(source, problems)
    scanner.run()
    return scanner.result


class _Scanner:
    def __init__(self, source: Source, problems: Problems) -> None:
        self.source, self.text, self.problems = source, source.text, problems
        self.result = Scan()
        self.start = 0
        self.blanks: list[tuple[int, int]] = []
        self.open: list[int] = []
        self.broken = False
        self.label = ""
        self.after_docstring = False
        self.has_docstring = False

    def run(self) -> None:
        position = 0
        if bad := _CONTROL.search(self.text):
            self.fatal(bad.start(), f"the character U+{ord(bad.group()):04X} has no place in a text", "delete it")
        while match := _TOKEN.search(self.text, position):
            position = match.end()
            kind = match.lastgroup or ""
            if kind == "string":
                position = self.string(match)
            else:
                getattr(self, f"_{kind}")(match)
            if position - self.start > MAX_STATEMENT and self.text[self.start : position].strip():
                self.fatal(self.start, "this statement is longer than 65,536 characters", "split it into equations")
        if self.open:
            self.unclosed()
        self.flush(len(self.text))

    def fatal(self, at: int, message: str, advice: str) -> None:
        self.problems.add(self.source.span(at, at + 1), message, advice)
        self.problems.stop()

    def _newline(self, match: re.Match[str]) -> None:
        if self.open and not _STATEMENT.match(self.text, match.end()):
            self.blanks.append(match.span())
            return
        if self.open:
            self.unclosed()
        self.flush(match.start())
        self.start = match.end()

    def _comment(self, match: re.Match[str]) -> None:
        self.blanks.append(match.span())
        if not self.open:
            self.label = match.group()

    def _continued(self, match: re.Match[str]) -> None:
        """A backslash at the end of a line joins it to the next, as in Python."""

    def _end(self, match: re.Match[str]) -> None:
        if self.open:
            self.unclosed()
        self.flush(match.start())
        self.start = match.end()

    def _open(self, match: re.Match[str]) -> None:
        self.open.append(match.start())
        if len(self.open) > MAX_DEPTH:
            advice = "name a part in an equation of its own"
            self.fatal(match.start(), f"brackets nest more than {MAX_DEPTH} deep", advice)

    def _close(self, match: re.Match[str]) -> None:
        span, bracket = self.source.span(*match.span()), match.group()
        if not self.open:
            self.broken = True
            self.problems.add(span, f"nothing opened this {bracket}", "delete it, or add the bracket it belongs to")
            return
        opened = self.open.pop()
        if self.text[opened] != _PAIRS[bracket]:
            self.broken = True
            line, column = self.source.position(opened)
            where = f"the {self.text[opened]} of line {line}, column {column}"
            self.problems.add(span, f"{bracket} does not close {where}", "brackets close in the order they opened")

    def string(self, match: re.Match[str]) -> int:
        """Reads a string; the first one, alone at the top, is the docstring. Returns where it ends."""
        quote, start = match.group(), match.start()
        while start > self.start and match.start() - start < 2 and self.text[start - 1].isalpha():
            start -= 1
        body = self.text.find("\n", match.end()) if len(quote) == 1 else len(self.text)
        stop = _closing(self.text, quote, match.end(), body if body >= 0 else len(self.text))
        end = stop + len(quote) if stop >= 0 else (body if body >= 0 else len(self.text))
        span = self.source.span(start, end)
        if stop < 0:
            self.problems.add(span, f"a string opened by {quote} is never closed", f"end it with {quote}")
        elif self.is_docstring(start, match.start()):
            self.result.docstring = self.text[match.end() : stop]
            self.after_docstring = self.has_docstring = True
            self.start = self.result.body = end
            return end
        else:
            advice = "only the docstring at the top is text; a comment begins with #"
            self.problems.add(span, "a string has no meaning in an equation", advice)
        self.broken = True
        self.blanks.append((start, end))
        return end

    def is_docstring(self, start: int, quote: int) -> bool:
        first = not self.result.chunks and not self.has_docstring and not self.open
        return first and not self.text[self.start : start].strip() and self.text[start:quote].lower() in ("", "r", "u")

    def unclosed(self) -> None:
        at, self.broken = self.open[-1], True
        bracket = self.text[at]
        closing = next(c for c, o in _PAIRS.items() if o == bracket)
        self.problems.add(self.source.span(at, at + 1), f"this {bracket} is never closed", f"add the missing {closing}")

    def flush(self, end: int) -> None:
        """Ends the statement that runs up to ``end``."""
        code = self.text[self.start : end]
        for first, last in self.blanks:
            blank = re.sub(r"[^\n]", " ", self.text[first:last])
            code = code[: first - self.start] + blank + code[last - self.start :]
        lead = len(code) - len(code.lstrip(" \t\f\n"))
        start = self.start + lead
        code = code[lead:].rstrip()
        if code:
            self.keep(code, start)
        self.blanks, self.open, self.broken, self.label, self.after_docstring = [], [], False, "", False

    def keep(self, code: str, start: int) -> None:
        if self.after_docstring:
            self.problems.add(self.source.span(start, start + len(code)), "the docstring stands alone on its lines")
        if long := _LONG_NAME.search(code):
            span = self.source.span(start + long.start(), start + long.end())
            self.problems.add(span, f"this name has {len(long.group())} characters, and at most {MAX_NAME} are allowed")
        elif not self.broken and not self.after_docstring:
            label = self.label.lstrip("#").strip()
            self.result.chunks.append(Chunk(code, start, *self.source.position(start), label))
        if len(self.result.chunks) > MAX_STATEMENTS:
            self.fatal(start, f"a cell has at most {MAX_STATEMENTS} statements", "")


def _closing(text: str, quote: str, start: int, end: int) -> int:
    """Where the closing quote of a string stands, as Python reads it (a backslash before it keeps it open), or -1."""
    at = text.find(quote, start, end)
    while at >= 0:
        run = at
        while run > start and text[run - 1] == "\\":
            run -= 1
        if (at - run) % 2 == 0:
            return at
        at = text.find(quote, at + 1, end)
    return -1


def span_of(chunk: Chunk, lines: list[str], first: tuple[int, int], last: tuple[int, int]) -> Span:
    """The place in the text of (line from 1, byte offset) pairs of a parsed chunk, whose code has these lines."""
    return Span(*_place(chunk, lines, *first), *_place(chunk, lines, *last))


def _place(chunk: Chunk, lines: list[str], line: int, offset: int) -> tuple[int, int]:
    text = lines[line - 1] if line <= len(lines) else ""
    column = offset if text.isascii() else len(text.encode()[:offset].decode("utf-8", "ignore"))
    return chunk.line + line - 1, column + 1 + (chunk.column - 1 if line == 1 else 0)
