"""A run's log: a CSV file whose lines stay, whatever becomes of the process."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import astuple, dataclass, fields
from pathlib import Path

NAME = "log.csv"


@dataclass(frozen=True)
class Line:
    """``update``: the last of some; ``bits``: of a character of the text that they were made on, a mean over them;
    ``valid``: of the held-out text, where it was measured, else None. ``gradient``: the norm before clipping, a mean.
    ``rate``: of the last. ``seconds``: of training so far, validation left out; ``memory``: the most bytes that the
    process has held since it began to train, beyond those it held then; None where that is not known."""

    update: int
    bits: float
    valid: float | None
    gradient: float
    rate: float
    seconds: float
    memory: int | None


CURVE = ("update", "bits", "valid", "gradient", "rate")
"""What does not depend on the machine's mood: a run that was killed has the same."""

NAMES = [field.name for field in fields(Line)]


class Log:
    """Lines are on their way to the disk when :meth:`add` returns."""

    def __init__(self, file: Path, done: int) -> None:
        """Goes on after update ``done``: what a killed process logged beyond its last checkpoint is computed again."""
        kept = [line for line in read(file) if line.update <= done] if done else []
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([NAMES, *map(astuple, kept)])
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        beside.write_text(text.getvalue(), "utf-8")
        beside.replace(file)
        self._stream = file.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")

    def add(self, line: Line) -> None:
        self._writer.writerow(astuple(line))
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def read(file: Path) -> list[Line]:
    """The lines of a log; one that a kill cut off is left out, and so is the rest of what is no line."""
    with file.open(encoding="utf-8", newline="") as stream:
        return [line for row in csv.DictReader(stream) if (line := _line(row)) is not None]


def _line(row: dict[str, str]) -> Line | None:
    try:
        return Line(
            int(row["update"]), float(row["bits"]), float(row["valid"]) if row["valid"] else None,
            float(row["gradient"]), float(row["rate"]), float(row["seconds"]),
            int(row["memory"]) if row["memory"] else None,
        )  # fmt: skip
    except (TypeError, ValueError):
        return None
