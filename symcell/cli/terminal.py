"""What commands print with: colour and width on a terminal, plain lines in a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int, int], None]
WIDE = 10_000
"""Columns of a pipe: a line stays a line there."""
PAGE = 80
"""Columns of what is laid out by itself (a table that goes on below, a paragraph), where there is no terminal."""
_BLANKS = re.compile(r"[ ]+((?:\x1b\[[0-9;]*m)*)$")


def console() -> Console:
    """A console that prints text as it stands. Colours follow the terminal and NO_COLOR."""
    from rich.console import Console

    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = WIDE
    return made


def width(default: int = PAGE) -> int:
    """How many columns there are to fill: the terminal's, else what COLUMNS says, else ``default``."""
    to = console()
    if to.is_terminal:
        return to.width
    said = os.environ.get("COLUMNS", "")
    return int(said) if said.isascii() and said.isdecimal() and int(said) else default


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = (), wrap: str = "") -> None:
    """A table; on a terminal the column ``wrap`` goes on in the next line where there is too little room, and others
    only where that is not enough; in a pipe a row is a line.

    ``right``: columns that are flush right.
    """
    from rich import box
    from rich.table import Table

    to = console()
    table = Table(box=box.SIMPLE_HEAD if to.is_terminal else None, show_edge=False, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for column in table.columns if _fits(heads, rows, wrap, to.width) else ():
        column.no_wrap = column.header != wrap
    for row in rows:
        table.add_row(*map(_text, row))
    print_rich(table)


def print_rich(renderable: Any) -> None:
    """Whatever rich can draw, without blanks at the ends of lines or blank lines around it."""
    to = console()
    with to.capture() as captured:
        to.print(renderable)
    for text in captured.get().strip("\n").splitlines():
        click.echo(_BLANKS.sub(r"\1", text), color=to.is_terminal)


def _fits(heads: Sequence[str], rows: Sequence[Sequence[str]], wrap: str, columns: int) -> bool:
    """Whether a table fits with one column as narrow as its longest word."""
    from rich.cells import cell_len

    def least(head: str, text: str) -> int:
        return max(map(cell_len, text.split()), default=0) if head == wrap else cell_len(text)

    wide = (max(least(head, row[k]) for row in (heads, *rows)) for k, head in enumerate(heads))
    return sum(wide) + 3 * len(heads) <= columns


def print_json(data: Any) -> None:
    """Data as JSON, indented; letters beyond ASCII as they are where the stream can hold them all."""
    plain = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") != "utf8"
    click.echo(json.dumps(data, indent=2, ensure_ascii=plain, allow_nan=False))


def _text(text: str) -> Any:
    from rich.text import Text

    return Text(visible(text), overflow="fold")


def visible(text: str) -> str:
    """The text without what a terminal would obey: control characters as escapes."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)


def line(text: str, style: str = "") -> None:
    """One line, as long as it is, coloured where that is wanted."""
    from rich.text import Text

    console().print(Text(text, style=style), soft_wrap=True)


@contextlib.contextmanager
def progress(doing: str, *, shown: bool = True) -> Iterator[Progress]:
    """A bar while long work runs, on a terminal only; gone when it is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    to = console()
    if not (shown and to.is_terminal):
        yield lambda name, done, total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=to, transient=True) as bar:
        task = bar.add_task(doing, total=None)

        def advance(name: str, done: int, total: int) -> None:
            bar.update(task, description=f"{doing} {name}".rstrip(), completed=done, total=total)

        yield advance
