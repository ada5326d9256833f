"""Cells → modules in a directory: only what changed is written, each file whole, the manifest last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from symcell import __version__
from symcell.cell import Cell, CellError
from symcell.emit.python.stamp import stamp
from symcell.generate import files, manifest
from symcell.generate.manifest import Entry, Manifest, ManifestError
from symcell.generate.sources import Found, NoSourceError, cell_name, recorded, resolve
from symcell.pipeline import TARGETS, emitter, plans

PACKAGE = b'"""Modules emitted from the equations of cells: each stands alone and can be copied into a project."""\n'

Progress = Callable[[str, int, int], None]
"""Called with a cell's name, how many are done and how many there are."""


@dataclass(frozen=True)
class Module:
    """An emitted module that has not been written."""

    file: str
    cell: str
    target: str
    data: bytes
    stamp: str

    def entry(self, source: str | None) -> Entry:
        return Entry(self.cell, self.target, source, manifest.digest(self.data), self.stamp, __version__)


@dataclass(frozen=True)
class Written:
    """What became of a file: ``written``, ``unchanged``, or ``forgotten`` (gone, and never to be made again)."""

    path: Path
    state: str


def modules(cell: Cell, targets: Iterable[str]) -> list[Module]:
    """The modules of a cell for some targets; they share its graphs."""
    return [
        Module(f"{cell.name}_{target}.py", cell.name, target, emitter(target).emit(plan).encode(), stamp(plan))
        for target, plan in plans(cell, targets).items()
    ]


def generate(
    cells: Sequence[Found], directory: Path, targets: Sequence[str] = TARGETS, progress: Progress | None = None
) -> list[Written]:
    """Write the modules of some cells; what else the directory holds stays as it is, and in the manifest.

    Nothing is written before every module has been made. Raises ValueError for an unknown target, CellError for two
    different cells of one name, OSError.
    """
    for target in targets:
        emitter(target)
    chosen = _by_name(cells)
    made: list[tuple[Module, str | None]] = []
    for done, found in enumerate(chosen):
        if progress:
            progress(found.cell.name, done, len(chosen))
        made += [(m, recorded(found, directory)) for m in modules(found.cell, dict.fromkeys(targets))]
    if progress:
        progress("", len(chosen), len(chosen))
    directory.mkdir(parents=True, exist_ok=True)
    with files.locked(directory):
        return _write(made, directory)


def _by_name(cells: Sequence[Found]) -> list[Found]:
    chosen: dict[str, Found] = {}
    for found in cells:
        other = chosen.setdefault(found.cell.name, found)
        if other.cell.text != found.cell.text:
            raise CellError(
                f"{other.argument!r} and {found.argument!r} are both called {found.cell.name}, and differ\n"
                "    rename one of the files, or write them to different directories"
            )
    return list(chosen.values())


def _write(made: Sequence[tuple[Module, str | None]], directory: Path) -> list[Written]:
    try:
        before = manifest.read(directory)
    except ManifestError:
        before = None
    shared = before.shared if before else any(_foreign(path.name) for path in directory.iterdir())
    package = directory / "__init__.py"
    files.sweep(directory, [*(m.file for m, _ in made), package.name, manifest.NAME])
    done = []
    for module, _ in made:
        path = directory / module.file
        done.append(Written(path, "written" if files.write_if_changed(path, module.data) else "unchanged"))
    if not shared and not package.exists():
        files.write(package, PACKAGE)
        done.append(Written(package, "written"))
    known = dict(before.files) if before else {}
    known |= {m.file: m.entry(source) for m, source in made}
    lost = _lost(Manifest(known), directory)
    done += [Written(directory / file, "forgotten") for file in lost]
    kept = {file: entry for file, entry in known.items() if file not in lost}
    path = directory / manifest.NAME
    changed = files.write_if_changed(path, Manifest(kept, shared).encode())
    return [*done, Written(path, "written" if changed else "unchanged")]


def _foreign(name: str) -> bool:
    """Whether a file is none of ours, so that its directory is not ours alone."""
    ours = name in (manifest.NAME, "__init__.py", "__pycache__") or name.startswith(".")
    return not ours and cell_name(name) is None


def _lost(known: Manifest, directory: Path) -> list[str]:
    """Files that are gone, and could not be made again: their cells have no equations any more."""
    lost = []
    for file, entry in known.files.items():
        if not (directory / file).exists():
            try:
                resolve(entry.cell, known, directory)
            except NoSourceError:
                lost.append(file)
            except CellError:
                pass
    return lost
