"""Keeps README.md true: parts of it are the output of a command, and its examples are run.

    python tools/readme.py README.md            show what is stale (exit status 1 if anything is)
    python tools/readme.py --write README.md    write the stale parts anew

Comments in the page say what the block below them is:

    <!-- generated: COMMAND -->                          its output
    <!-- generated: COMMAND | from START to END -->      its lines from the first with START to the next with END
    <!-- sample: COMMAND | from START to END -->         the same, with numbers that differ from machine to machine
    <!-- file: NAME -->                                  a file that the examples after it use
    <!-- not run: REASON -->                             an example that is not run

Such a block is a fenced one, or ends with <!-- end -->. Every other ``sh`` and ``python`` block is an example.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PART = re.compile(
    r"^<!-- (?P<kind>generated|sample): (?P<command>[^\n]+?)(?: \| from (?P<first>[^\n]+?) to (?P<last>[^\n]+?))? -->\n"
    r"(?P<body>(?P<fence>```)?(?:(?!^<!-- (?:generated|sample): ).)*?^)(?P<end>(?(fence)```|<!-- end -->))$",
    re.MULTILINE | re.DOTALL,
)
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Part:
    """A block that is a command's output: what stands there, and what the command writes now."""

    kind: str
    command: str
    first: str | None
    last: str | None
    body: str

    def fresh(self) -> str:
        output = run(["sh", "-c", self.command], ROOT)
        lines = textwrap.dedent("\n".join(_between(output.splitlines(), self.first, self.last))).strip("\n") + "\n"
        return f"{self.body.partition(chr(10))[0]}\n{lines}" if self.body.startswith("```") else f"\n{lines}\n"

    def stale(self, fresh: str) -> bool:
        """A sample is stale if the first words of its lines are not those of the output."""
        return fresh != self.body if self.kind == "generated" else _first_words(fresh) != _first_words(self.body)


@dataclass(frozen=True)
class Example:
    """``kind``: ``sh``, ``python``, or ``file`` with a name."""

    kind: str
    name: str
    text: str


def parts(page: str) -> list[Part]:
    return [_part(match) for match in PART.finditer(page)]


def _part(match: re.Match[str]) -> Part:
    return Part(match["kind"], match["command"], match["first"], match["last"], match["body"])


def refreshed(page: str) -> str:
    """The page with its stale parts written anew."""

    def replace(match: re.Match[str]) -> str:
        part = _part(match)
        fresh = part.fresh()
        if not part.stale(fresh):
            return match[0]
        start, stop = (place - match.start() for place in match.span("body"))
        return match[0][:start] + fresh + match[0][stop:]

    return PART.sub(replace, page)


def examples(page: str) -> Iterator[Example]:
    """Files, commands and programs in the order of the page."""
    for match in FENCE.finditer(page):
        kind, _, name = (match["mark"] or "").partition(": ")
        if kind == "file":
            yield Example("file", name, match["text"])
        elif not kind and match["language"] in ("sh", "python"):
            yield Example(match["language"], "", match["text"])


def execute(example: Example, directory: Path) -> None:
    """Write a file, or run commands or a program in ``directory``."""
    if example.kind == "file":
        (directory / example.name).write_text(example.text, "utf-8")
    elif example.kind == "sh":
        run(["sh", "-euc", example.text], directory)
    else:
        run([sys.executable, "-c", example.text], directory)


def run(command: list[str], directory: Path) -> str:
    """What a command writes. Raises AssertionError, with all that it wrote, if it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    env = os.environ | {"PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _between(lines: list[str], first: str | None, last: str | None) -> list[str]:
    if first is None or last is None:
        return lines
    start = next((n for n, line in enumerate(lines) if first in line), None)
    assert start is not None, f"no line with {first!r}"
    stop = next((n for n, line in enumerate(lines[start:], start) if last in line), None)
    assert stop is not None, f"no line with {last!r} after the one with {first!r}"
    return lines[start : stop + 1]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the generated parts of a page, or write them anew.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    old = arguments.page.read_text("utf-8")
    new = refreshed(old)
    if arguments.write and new != old:
        arguments.page.write_text(new, "utf-8")
    elif new != old:
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "README.md", "now"))
    return int(new != old and not arguments.write)


if __name__ == "__main__":
    sys.exit(main())
