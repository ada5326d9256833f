"""The command line. It starts fast: a command imports what it needs when it runs."""

from __future__ import annotations

import contextlib
import errno
import io
import sys
from typing import Any

import click

from symcell import __version__
from symcell.cli import (
    bench,
    check,
    compare,
    derive,
    diff,
    flow,
    generate,
    listing,
    new,
    plan,
    show,
    source,
    verify,
    watch,
)


class _Failure(click.ClickException):
    """A mistake of the user's, told without a traceback."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file=file, err=file is None)


class _Commands(click.Group):
    """Commands in the order of a day's work; what a cell or a file has wrong with it is a message and exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            named = f"{error.filename}: " if error.filename else ""
            raise _Failure(f"symcell: {named}{error.strerror or error}") from error
        except ValueError as error:
            cell = sys.modules.get("symcell.cell")
            if cell and isinstance(error, cell.CellError):
                raise _Failure(str(error)) from error
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="symcell", message="%(prog)s %(version)s")
def app() -> None:
    """Equations of recurrent cells in, derivations and fast kernels out.

    A CELL is the name of a shipped cell, the NAME of a NAME.cell in the current directory (which comes first), the
    path of a .cell file, or the path of a module that was generated from one.
    """


for _command in (
    listing.list_,
    show.show,
    new.new,
    derive.derive,
    diff.diff,
    compare.compare,
    watch.watch,
    generate.generate,
    source.source,
    check.check,
    verify.verify,
    flow.flow,
    bench.bench,
    plan.plan,
):
    app.add_command(_command)


def main() -> None:
    """The entry point ``symcell``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors="backslashreplace")
    app(prog_name="symcell")
