"""Parameters out of files, and results into them: each file appears whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from symcell.cell import Cell
from symcell.flow.report import Report
from symcell.generate import files
from symcell.pipeline import compile


def read(path: Path, cell: Cell) -> Mapping[str, Any]:
    """A cell's parameters (and constant arrays) by name, out of an ``.npz`` or a file of :mod:`symcell.checkpoint`.

    Raises OSError for a file that cannot be read, ValueError for one that is of another kind or another cell,
    ImportError for a checkpoint without safetensors.
    """
    if path.suffix.lower() != ".npz":
        from symcell import checkpoint

        held = checkpoint.load(path, compile(cell))
        return {name: np.asarray(held[name]) for name in (*cell.parameters, *cell.arrays)}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (BadZipFile, EOFError, ValueError) as error:
        raise ValueError(f"{path}: no .npz of arrays: {error}") from error


def save(report: Report, directory: Path, *, plot: bool = True) -> Iterator[Path]:
    """Write ``flow.json``, ``flow.csv`` and, with ``plot``, the pictures of :mod:`symcell.flow.plots`; yields what is
    written. Raises OSError; ImportError for plots without matplotlib."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in _parts(report, plot):
        files.write(directory / name, data)
        yield directory / name


def _parts(report: Report, plot: bool) -> Iterator[tuple[str, bytes]]:
    yield "flow.json", report.json().encode()
    yield "flow.csv", report.csv().encode()
    if plot:
        from symcell.flow.plots import pictures

        yield from pictures(report)
