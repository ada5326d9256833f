"""The result of a study, as JSON, as rows, and as text."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from symcell.flow.model import CellFlow

HEADS = ("cell", "stage", "measure", "name", "at", "value", "low", "high")
"""The columns of :meth:`Report.csv`."""


@dataclass(frozen=True)
class Report:
    """What :func:`symcell.flow.flow` returns. ``str()`` is the text at 80 columns."""

    cells: tuple[CellFlow, ...]
    steps: int
    batch: int
    seed: int

    def __str__(self) -> str:
        from symcell.flow.text import text

        return text(self)

    def json(self) -> str:
        """Everything, as JSON; numbers that are not finite are null."""
        return json.dumps(_finite(asdict(self)), indent=1, ensure_ascii=False) + "\n"

    def csv(self) -> str:
        """One number a row: ``measure`` is ``gradient`` (of a state, ``whole`` for all), ``predicted``, ``singular``,
        or what a sweep gives; ``at`` the lag, or the sweep's value; ``low`` and ``high`` the middle 80 %."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(HEADS)
        writer.writerows(row for cell in self.cells for row in _rows(cell))
        return out.getvalue()


def _rows(cell: CellFlow) -> Iterator[tuple[object, ...]]:
    for stage in cell.stages:
        for name, curve in {**stage.states, "whole": stage.whole}.items():
            for values in zip(stage.lags, curve.middle, curve.low, curve.high, strict=True):
                yield (cell.name, stage.name, "gradient", name, *values)
        for claim in stage.claims:
            for lag, value in zip(stage.lags, claim.predicted, strict=True):
                yield (cell.name, stage.name, "predicted", claim.state, lag, value, "", "")
        for product in stage.singular:
            for k, value in enumerate(product.values, 1):
                yield (cell.name, stage.name, "singular", k, product.lag, value, "", "")
    for sweep in cell.sweeps:
        for setting in sweep.settings:
            for measure in ("rate", "predicted", "radius", "spread", "memory"):
                value = getattr(setting, measure)
                row = (setting.value, "" if value is None else value, "", "")
                yield (cell.name, f"over {sweep.kind}", measure, sweep.state, *row)
            for lag, value in enumerate(setting.norms, 1):
                yield (cell.name, f"over {sweep.kind}: {setting.value:g}", "gradient", "whole", lag, value, "", "")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
