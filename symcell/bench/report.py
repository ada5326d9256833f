"""What a benchmark found."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symcell.generate import files
from symcell.pipeline import TARGETS

TITLES = {
    "train": "train step (forward + backward)",
    "inference": "inference (nothing kept)",
    "step": "one step of a stream",
    "memory": "peak memory of a train step",
}
"""The measures, and what each is."""


@dataclass(frozen=True)
class Row:
    """One measure of a cell at one size: a value for each contender, in milliseconds, ``memory`` in MB (10⁶ bytes).

    ``inputs``, ``hidden``: D and H. ``samples``: of each round, of which the values are medians.
    """

    cell: str
    measure: str
    steps: int
    batch: int
    inputs: int
    hidden: int
    values: Mapping[str, float]
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        return "MB" if self.measure == "memory" else "ms"

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """T, B, D, H."""
        return self.steps, self.batch, self.inputs, self.hidden

    @property
    def ours(self) -> str | None:
        """The emitted module that does best; None where none was measured."""
        return min((t for t in TARGETS if t in self.values), key=self.values.__getitem__, default=None)

    def ratio(self, over: str, of: str | None = None) -> float | None:
        """The value of a contender (None: of :attr:`ours`) in terms of another's; None where either is missing."""
        value, base = self.values.get(of or self.ours or ""), self.values.get(over)
        return value / base if value is not None and base else None

    def data(self) -> dict[str, Any]:
        samples = {name: [_rounded(v) for v in several] for name, several in self.samples.items()}
        values = {name: _rounded(v) for name, v in self.values.items()}
        return {
            **{name: getattr(self, name) for name in ("cell", "measure", "steps", "batch", "inputs", "hidden", "unit")},
            "values": values,
            "samples": samples,
        }

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Row:
        return cls(**{name: value for name, value in data.items() if name != "unit"})


@dataclass(frozen=True)
class Report:
    """All rows, the machine that they were taken on (:func:`symcell.bench.machine.machine`), and what was left out."""

    rows: tuple[Row, ...]
    machine: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def save(self, path: Path, **more: Any) -> None:
        """Write it as JSON, the whole file or nothing. Raises OSError."""
        found = self.data()
        save(path, {"machine": found.pop("machine"), **more, **found})

    def data(self) -> dict[str, Any]:
        """As JSON has it: what ``symcell bench --json`` prints and :meth:`save` writes."""
        return {"machine": self.machine, "notes": self.notes, "rows": [row.data() for row in self.rows]}

    @classmethod
    def load(cls, path: Path) -> Report:
        """What :meth:`save` wrote."""
        data = json.loads(path.read_text("utf-8"))
        return cls(tuple(map(Row.read, data["rows"])), data["machine"], tuple(data["notes"]))

    def render(self) -> Any:
        """A rich renderable: a table for each cell and measure, at most 80 columns wide."""
        from symcell.bench.table import render

        return render(self)


def save(path: Path, data: Mapping[str, Any]) -> None:
    """Write results as JSON, the whole file or nothing. Raises OSError."""
    files.write(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())


def mean(ratios: Iterable[float | None]) -> float | None:
    """The geometric mean of those that are there."""
    found = [r for r in ratios if r]
    return statistics.geometric_mean(found) if found else None


def _rounded(value: float) -> float:
    """Four digits: the rest is noise."""
    return float(f"{value:.4g}")
