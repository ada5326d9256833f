"""``symcell watch``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from symcell.cli import arguments, pages
from symcell.cli.terminal import line, print_rich, width
from symcell.cli.watching import File, saves

if TYPE_CHECKING:
    from symcell.cell import Cell

SUFFIX = ".cell"
INTERVAL = 0.25
"""Seconds between two looks at the file."""


@click.command(short_help="Say on every save of a cell what is wrong or what has changed.")
@click.argument("cell", metavar="FILE.cell", shell_complete=arguments.complete_cell)
@arguments.targets
@click.option("--out", "directory", type=arguments.DIRECTORY, help="Write the modules here on every save.")
@click.option("--verify/--no-verify", "verified", default=True, help="Verify on every save (default: yes).")
@click.option("--once", is_flag=True, help="Look at the file as it is now, and end.")
def watch(cell: str, targets: tuple[str, ...], directory: Path | None, verified: bool, once: bool) -> None:
    """Tell, on every save of a cell, what is wrong with it or what has changed.

    A cell that is right is compared with the last one that was (at first with nothing), its modules are written where
    --out says so, and it is verified: the NumPy module, or those of --target. Ctrl-C ends it. With --once, exit status
    1 if something is wrong.
    """
    path = file_of(cell)
    named = click.get_current_context().get_parameter_source("targets") is not click.core.ParameterSource.DEFAULT
    watcher = Watcher(path, directory, targets, (targets if named else ("numpy",)) if verified else ())
    with _until_interrupted():
        for contents in saves(File(path), lambda: time.sleep(0 if once else INTERVAL)):
            good = watcher.saved(contents)
            if once:
                raise SystemExit(0 if good else 1)
            line(f"watching {path}; Ctrl-C ends", "dim")


def file_of(argument: str) -> Path:
    """The file that is meant; a name is one in this directory. Raises click.BadParameter where there is none."""
    path = Path(argument if argument.endswith(SUFFIX) else argument + SUFFIX)
    if not path.is_file():
        raise click.BadParameter(
            f"there is no file {str(path)!r}: expected the path of a .cell file (`symcell new` makes one)",
            param_hint="FILE.cell",
        )
    return path


@contextlib.contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo()


class Watcher:
    """``last``: the cell as it was when nothing was wrong with it."""

    def __init__(self, path: Path, directory: Path | None, targets: tuple[str, ...], verified: tuple[str, ...]) -> None:
        self.path, self.directory, self.targets, self.verified = path, directory, targets, verified
        self.last: Cell | None = None

    def saved(self, contents: bytes | None) -> bool:
        """Tell about what has been saved; whether it is right."""
        line(f"{time.strftime('%H:%M:%S')} {self.path}", "bold")
        if contents is None:
            line("the file is gone; waiting for it", "yellow")
            return False
        from symcell.cell import CellError

        try:
            from symcell.language import load

            cell = load(self.path)
            self.tell(cell)
            self.last = cell
            self.write(cell)
            right = self.verify(cell)
        except CellError as error:
            line(str(error), "red")
            return False
        except OSError as error:
            line(f"{error.filename or self.path}: {error.strerror or error}", "red")
            return False
        except Exception as error:  # of symcell's own: the next save may be well
            line(f"symcell failed on this cell: {type(error).__name__}: {error}", "red")
            return False
        return right

    def tell(self, cell: Cell) -> None:
        if self.last is None:
            line(f"{cell.name}: nothing wrong, {len(cell.equations)} equations", "green")
            return
        from symcell.diff import diff
        from symcell.diff.text import lines

        pages.coloured(lines(diff(self.last, cell, targets=self.targets), width()))

    def write(self, cell: Cell) -> None:
        """Modules are made before any is written, and each is whole at any time."""
        if self.directory is None:
            return
        from symcell.generate import Found, generate

        for written in generate([Found(cell, str(self.path), self.path)], self.directory, self.targets):
            if written.state != "unchanged":
                line(f"{written.state + ':':<10} {written.path}", "green")

    def verify(self, cell: Cell) -> bool:
        if not self.verified:
            return True
        from symcell.verify import verify

        report = verify(cell, targets=self.verified)
        if report.ok:
            line(f"verified: {', '.join(self.verified)}", "green")
        else:
            print_rich(report.render(width()))
        return report.ok
