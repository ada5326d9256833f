"""Whether the files of a directory are what would be written now, and if not, why, and what to do."""

from __future__ import annotations

import contextlib
import difflib
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from symcell import __version__
from symcell.cell import CellError
from symcell.generate import embedded, files, manifest
from symcell.generate.manifest import Entry, Manifest, ManifestError
from symcell.generate.sources import Found, NoSourceError, cell_name, find, resolve
from symcell.generate.writing import Module, Progress, modules
from symcell.language import names
from symcell.pipeline import TARGETS

CONTEXT = 2
EDITED = "it was edited by hand; lines with - would be lost (change the equations instead)"


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file. ``diff``: from what it is to what it would be.

    ``kind``: missing, edited, stale, unknown, equations (they have a mistake) or manifest.
    """

    path: Path
    kind: str
    message: str
    diff: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """``commands`` mend what can be mended; ``notes`` say what to know even where all is well."""

    directory: Path
    checked: int
    problems: tuple[Problem, ...] = ()
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def check(directory: Path, progress: Progress | None = None) -> Report:
    """Compare every file of a directory of emitted modules with what would be written now. Raises OSError."""
    if not directory.exists():
        problem = Problem(directory, "missing", "there is no such directory")
        return Report(directory, 0, (problem,), (_command((), (), directory),))
    try:
        known = manifest.read(directory)
    except ManifestError as error:
        return _without_manifest(directory, f"this manifest cannot be read: {error}")
    if known is None:
        return _without_manifest(directory, "there is no manifest here")
    return _Check(directory, known).run(progress)


def _without_manifest(directory: Path, message: str) -> Report:
    """Nothing can be said about the files but which cells they seem to be of: a new manifest says the rest."""
    commands = _commands(_arguments(_emitted(directory), directory), directory)
    problem = Problem(directory / manifest.NAME, "manifest", message)
    return Report(directory, 0, (problem,), tuple(commands or [_command((), (), directory)]))


def _emitted(directory: Path) -> list[str]:
    """The emitted modules of a directory, by their names and constants."""
    return [f for f in _python(directory) if cell_name(f) and embedded.read(files.read(directory / f) or b"")]


def _arguments(modules: Iterable[str], directory: Path) -> dict[str, set[str]]:
    """What to type to generate modules again that no manifest knows, and for which targets; no equations get lost."""
    first: dict[tuple[str, str], str] = {}
    mend: dict[str, set[str]] = {}
    for file in modules:
        name, inside = cell_name(file) or "", embedded.read(files.read(directory / file) or b"")
        text = inside.equations if inside else ""
        argument = first.setdefault((name, text), _argument(name, text) or str(directory / file))
        mend.setdefault(argument, set()).add(file.removesuffix(".py").removeprefix(f"{name}_"))
    return mend


def _argument(name: str, text: str) -> str | None:
    """The cell's own name where it means these equations, or a file that is being edited."""
    with contextlib.suppress(CellError):
        if Path(f"{name}.cell").is_file() or find(name).cell.text == text:
            return name
    return None


class _Check:
    def __init__(self, directory: Path, known: Manifest) -> None:
        self.directory, self.known = directory, known
        self.problems: list[Problem] = []
        self.mend: dict[str, set[str]] = {}
        self.notes: list[str] = []

    def run(self, progress: Progress | None) -> Report:
        cells = sorted({entry.cell for entry in self.known.files.values()})
        for done, name in enumerate(cells):
            if progress:
                progress(name, done, len(cells))
            self.cell(name, {f: e for f, e in sorted(self.known.files.items()) if e.cell == name})
        if progress:
            progress("", len(cells), len(cells))
        self.strangers()
        if not self.problems:
            self.manifest()
        commands = _commands(self.mend, self.directory)
        return Report(self.directory, len(self.known.files), tuple(self.problems), tuple(commands), tuple(self.notes))

    def report(self, file: str, kind: str, message: str, diff: Iterable[str] = ()) -> None:
        self.problems.append(Problem(self.directory / file, kind, message, tuple(diff)))

    def cell(self, name: str, entries: dict[str, Entry]) -> None:
        try:
            found = resolve(name, self.known, self.directory)
        except NoSourceError as error:
            for file in entries:
                gone = not (self.directory / file).exists()
                advice = "; the next `symcell generate` here forgets it" if gone else ""
                self.report(file, "missing" if gone else "edited", f"{error}{advice}")
            return
        except CellError as error:
            self.report(next(iter(entries)), "equations", f"the equations of {name} have a mistake\n{error}")
            return
        if found.module:
            self.notes.append(f"{name}: no {name}.cell at hand, so the equations in {found.file} are what counts")
        made = {m.file: m for m in modules(found.cell, [e.target for e in entries.values() if e.target in TARGETS])}
        for file, entry in entries.items():
            if file not in made:
                self.report(file, "unknown", f"symcell {__version__} has no target {entry.target!r}")
            elif self.file(made[file], entry, found):
                self.mend.setdefault(found.argument, set()).update(e.target for f, e in entries.items() if f in made)

    def file(self, module: Module, entry: Entry, found: Found) -> bool:
        """Whether the file has to be written again."""
        path = self.directory / module.file
        if path.is_dir():
            self.report(module.file, "unknown", "this is a directory, where a module should be")
            return False
        data = files.read(path)
        if data is None:
            self.report(module.file, "missing", "it is listed in the manifest, and not there")
        elif data != module.data:
            edited = manifest.digest(data) != entry.sha256
            kind, message = ("edited", EDITED) if edited else ("stale", _reason(data, entry, found))
            self.report(module.file, kind, message, _diff(path, data, module.data))
        elif manifest.digest(data) != entry.sha256 or entry.stamp != module.stamp or entry.version != __version__:
            self.report(manifest.NAME, "manifest", f"its entry for {module.file} is not about the file that is there")
        else:
            return False
        return True

    def strangers(self) -> None:
        """Python files that the manifest does not know; in a shared directory only those that symcell wrote."""
        emitted = [file for file in _emitted(self.directory) if file not in self.known.files]
        for argument, targets in _arguments(emitted, self.directory).items():
            self.mend.setdefault(argument, set()).update(targets)
        for file in _python(self.directory):
            if file in emitted:
                self.report(file, "unknown", "the manifest does not list it: generate it again, or delete it")
            elif file not in self.known.files and file != "__init__.py" and not self.known.shared:
                self.report(file, "unknown", "the manifest does not list it: only emitted modules belong here; move it")
        if not self.known.shared and not (self.directory / "__init__.py").exists():
            self.report("__init__.py", "missing", "without it the directory is no package")
            self.mend_any()

    def manifest(self) -> None:
        """The manifest's own bytes, once all that it says has been found right."""
        if files.read(self.directory / manifest.NAME) != self.known.encode():
            self.report(manifest.NAME, "manifest", "it says the right things, but was edited by hand")
            self.mend_any()

    def mend_any(self) -> None:
        """Generating any cell writes the manifest and the package file too."""
        for name in sorted({entry.cell for entry in self.known.files.values()})[:1]:
            try:
                argument = resolve(name, self.known, self.directory).argument
            except CellError:
                continue
            self.mend.setdefault(argument, set()).update(e.target for e in self.known.files.values() if e.cell == name)


def _python(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix == ".py" and path.is_file())


def _reason(data: bytes, entry: Entry, found: Found) -> str:
    """Why a file that nobody edited is out of date."""
    inside = embedded.read(data)
    if inside and inside.equations != found.cell.text:
        return f"the equations have changed since ({'shipped' if found.file is None else found.file})"
    if entry.version != __version__:
        return f"it was written by symcell {entry.version}; this is {__version__}"
    return "symcell's plan, templates or emitter have changed since"


def _diff(path: Path, now: bytes, then: bytes) -> list[str]:
    a, b = (data.decode("utf-8", "backslashreplace").splitlines() for data in (now, then))
    lines = difflib.unified_diff(a, b, str(path), f"{path} as generated now", n=CONTEXT, lineterm="")
    return list(lines) or ["(only the ends of lines differ)"]


def _commands(mend: dict[str, set[str]], directory: Path) -> list[str]:
    """The commands that write these cells again, cells with the same targets in one."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for argument, targets in mend.items():
        groups.setdefault(tuple(t for t in TARGETS if t in targets), []).append(argument)
    return [_command(sorted(arguments), targets, directory) for targets, arguments in sorted(groups.items())]


def _command(arguments: Sequence[str], targets: Sequence[str], directory: Path) -> str:
    words = ["symcell", "generate"]
    if {*arguments} != {*names()}:
        words += arguments
    for target in targets if len(targets) < len(TARGETS) else ():
        words += ["--target", target]
    if os.fspath(directory) != "generated":
        words += ["--out", os.fspath(directory)]
    return shlex.join(words)
