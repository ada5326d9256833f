"""``symcell check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from symcell.cli import arguments
from symcell.cli.terminal import line, progress, visible

if TYPE_CHECKING:
    from symcell.generate import Problem

LINES = 16
"""How many lines of a diff are shown."""
DIFFS = 3
"""How many diffs are shown."""
STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


@click.command()
@click.argument("directory", type=arguments.DIRECTORY, default="generated")
@click.option("--full", is_flag=True, help="Show every diff to its end.")
def check(directory: Path, full: bool) -> None:
    """Check that generated files are what would be generated now.

    Exit status 1 if any is stale, missing, edited by hand or unknown; then the command that mends it is shown.
    DIRECTORY is `generated` unless given.
    """
    from symcell.generate import check as check_

    with progress("checking") as advance:
        report = check_(directory, advance)
    for note in report.notes:
        line(f"note: {visible(note)}", "dim")
    if report.ok:
        line(f"{directory}: {report.checked} files are what would be generated now", "green")
        return
    _show(report.problems, full)
    count = len(report.problems)
    line(f"{directory}: {count} {'problem' if count == 1 else 'problems'}, {report.checked} files checked", "bold red")
    for command in report.commands:
        line(f"to mend: {command}", "bold")
    raise SystemExit(1)


def _show(problems: Sequence[Problem], full: bool) -> None:
    shown = hidden = 0
    for problem in problems:
        first, *more = problem.message.splitlines()
        line(f"{problem.kind}: {problem.path}: {visible(first)}", "bold")
        for text in more:
            line(visible(text))
        if problem.diff and (full or shown < DIFFS):
            shown += 1
            _diff(problem.diff, len(problem.diff) if full else LINES)
        elif problem.diff:
            hidden += 1
    if hidden:
        line(f"({hidden} more diffs; --full shows them)", "dim")


def _diff(diff: Sequence[str], limit: int) -> None:
    for text in diff[:limit]:
        line(f"    {visible(text)}", next((style for start, style in STYLES.items() if text.startswith(start)), ""))
    if len(diff) > limit:
        line(f"    ... {len(diff) - limit} more lines; --full shows them", "dim")
    line("")
