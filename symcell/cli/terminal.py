"""What commands print with: colour and width on a terminal, plain lines in a pipe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int, int], None]
WIDE = 10_000
"""Columns of a pipe: nothing is wrapped there."""


def console() -> Console:
    """A console that prints text as it stands. Colours follow the terminal and NO_COLOR."""
    from rich.console import Console

    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = WIDE
    return made


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = (), cut: str = "") -> None:
    """A table; on a terminal the column ``cut`` gives way where there is too little room, in a pipe nothing does.

    ``right``: columns that are flush right.
    """
    from rich import box
    from rich.table import Table

    to = console()
    table = Table(box=box.SIMPLE_HEAD if to.is_terminal else None, show_edge=False, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", no_wrap=head != cut)
    for row in rows:
        table.add_row(*map(_text, row))
    print_rich(table)


def print_rich(renderable: Any) -> None:
    """Whatever rich can draw, without blanks at the ends of lines or blank lines around it."""
    to = console()
    with to.capture() as captured:
        to.print(renderable)
    for text in captured.get().strip("\n").splitlines():
        click.echo(text.rstrip(), color=to.is_terminal)


def _text(text: str) -> Any:
    from rich.text import Text

    return Text(visible(text), no_wrap=True, overflow="ellipsis")


def visible(text: str) -> str:
    """The text without what a terminal would obey: control characters as escapes."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)


def line(text: str, style: str = "") -> None:
    """One line, as long as it is, coloured where that is wanted."""
    from rich.text import Text

    console().print(Text(text, style=style), soft_wrap=True)


@contextlib.contextmanager
def progress(doing: str) -> Iterator[Progress]:
    """A bar while long work runs, on a terminal only; gone when it is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    to = console()
    if not to.is_terminal:
        yield lambda name, done, total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=to, transient=True) as bar:
        task = bar.add_task(doing, total=None)

        def advance(name: str, done: int, total: int) -> None:
            bar.update(task, description=f"{doing} {name}".rstrip(), completed=done, total=total)

        yield advance
