"""A file that is being edited: its contents each time it has been saved.

The file is looked at, not subscribed to: that needs nothing of the system, and works where editors write a new file and
put it in the place of the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

Look = Callable[[], bytes | None]
"""The file's contents now; None while there is no such file."""


def saves(look: Look, wait: Callable[[], None]) -> Iterator[bytes | None]:
    """What the file holds, at first and whenever that is something else; None once it is gone.

    ``wait``: until the next look. Contents count once two looks in a row have found the same, so that neither a file
    that is half written nor the moment between two files is taken for a save.
    """
    told: object = object()
    before: object = object()
    while True:
        now = look()
        if now == before and now != told:
            told = now
            yield now
        before = now
        wait()


class File:
    """Looks at a file, and reads it only where its size, its time or the file itself is another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mark: tuple[int, int, int] | None = None
        self.contents: bytes | None = None

    def __call__(self) -> bytes | None:
        try:
            status = self.path.stat()
            mark = (status.st_mtime_ns, status.st_size, status.st_ino)
            if mark != self.mark:
                self.contents, self.mark = self.path.read_bytes(), mark
        except OSError:  # gone, or being replaced just now
            self.contents = self.mark = None
        return self.contents
