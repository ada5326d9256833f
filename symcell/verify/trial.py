"""What is put on trial: a cell, of which modules are emitted, or the file of a module as it stands."""

from __future__ import annotations

import ast
import builtins
import difflib
import linecache
import os
import re
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from symcell.cell import Cell, CellError
from symcell.generate import embedded
from symcell.language import as_cell, parse
from symcell.pipeline import TARGETS, source
from symcell.verify.targets import Target, compiler_missing, emulator_missing, gpu_missing, targets


@dataclass(frozen=True)
class Subject:
    """A cell and the modules that are to compute it. ``fresh``: they are emitted now, so that their programs are on
    trial too. ``notes``: what to know of a file besides its numbers. ``order``: 2 where second derivatives are tried
    too."""

    cell: Cell
    title: str
    targets: tuple[Target, ...]
    fresh: bool = True
    notes: tuple[str, ...] = ()
    order: int = 1


def subject(of: Cell | str | os.PathLike[str], names: Sequence[str] = ()) -> Subject:
    """A cell, a name or a path; the path of a ``.py`` file means the module in it. ``names``: of the targets that are
    tried, where not all are. Raises CellError."""
    if not isinstance(of, Cell) and str(of).endswith(".py"):
        return _file(Path(of), names)
    cell = as_cell(of)
    chosen = tuple(target for target in targets() if not names or target.name in names)
    if all(target.missing for target in chosen):
        raise CellError("; ".join(f"the target {target.name} cannot run here: {target.missing}" for target in chosen))
    return Subject(cell, cell.name, tuple(sorted(chosen, key=lambda target: bool(target.missing))))


def _file(path: Path, names: Sequence[str]) -> Subject:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise CellError(f"{str(path)!r} cannot be read: {reason}") from error
    imported = _imported(path, text)
    found = embedded.read(text.encode())
    if found is None:
        raise CellError(f"{str(path)!r} has no EQUATIONS and STAMP as an emitted module has")
    target = "cupy" if "cupy" in imported else "c" if "ctypes" in imported else "numpy"
    if names and target not in names:
        raise CellError(f"{str(path)!r} is a module of the target {target}, and {', '.join(names)} was asked for")
    said = re.search(r"^The cell (\w+) as ", text, re.MULTILINE)
    stem = path.stem.removesuffix(f"_{target}")
    name = said[1] if said else stem if stem.isidentifier() else "cell"
    cell = parse(found.equations, name=name, filename=f"{path} (EQUATIONS)")
    missing, how = _runs(target)
    if missing:
        raise CellError(f"{str(path)!r} cannot run here: {missing}")
    module = _load(path, text, how)
    ready = Target(target, f"{path.name} {how}".strip(), lambda _: module)
    order = 2 if re.search(r"^def jvp\(", text, re.MULTILINE) else 1
    return Subject(cell, str(path), (ready,), False, _differences(cell, target, order, text, found.stamp), order)


def _imported(path: Path, text: str) -> set[str]:
    """The packages that a source text imports."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        raise CellError(f"{str(path)!r} is no Python: {line}{getattr(error, 'msg', error)}") from error
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [
        n for node in nodes for n in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module])
    ]
    return {name.partition(".")[0] for name in names if name}


def _runs(target: str) -> tuple[str, str]:
    """Why a target cannot run here, if so, and how it runs."""
    if target == "c":
        return compiler_missing() or "", ""
    if target != "cupy":
        return "", ""
    if gpu_missing() is None:
        return "", "(GPU)"
    return emulator_missing() or "", "(emulated)"


def _load(path: Path, text: str, how: str) -> types.ModuleType:
    """The module that the text is, its code run."""
    try:
        if how == "(emulated)":
            from symcell.emulate import load

            return load(text, path.stem)
        module = types.ModuleType(path.stem)
        module.__file__ = str(path)
        linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
        exec(builtins.compile(text, str(path), "exec", dont_inherit=True), module.__dict__)
        return module
    except Exception as error:
        raise CellError(f"{str(path)!r} does not import: {type(error).__name__}: {error}") from error


def _differences(cell: Cell, target: str, order: int, text: str, stamp: str) -> tuple[str, ...]:
    """How a file differs from what would be generated now, in a sentence; nothing where it does not."""
    assert target in TARGETS
    now = source(cell, target, order=order).splitlines()
    lines = text.splitlines()
    if lines == now:
        return ()
    blocks = difflib.SequenceMatcher(None, now, lines, autojunk=False).get_opcodes()
    changed = [(start, stop) for kind, _, _, start, stop in blocks if kind != "equal"]
    count = sum(max(1, stop - start) for start, stop in changed)
    first = changed[0][0]
    shown = lines[first].strip() if first < len(lines) else "the end"
    cause = "it was edited" if f'STAMP = "{stamp}"' in now else "it was generated by another version, or edited"
    what = f"in {count} line{'s' * (count > 1)}, the first of them line {first + 1}: {shown}"
    return (f"the file differs from what would be generated now ({cause}) {what}",)
