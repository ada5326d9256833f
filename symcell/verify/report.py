"""What a verification found: one error per tensor and witness."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from symcell.verify.tolerances import TOLERANCES, Tolerance


@dataclass(frozen=True)
class Column:
    """A comparison of two witnesses. ``head``: its two lines in a table; ``kind``: its entry in the table of
    tolerances; ``missing``: why it was not made."""

    title: str
    head: tuple[str, str]
    kind: str
    missing: str = ""

    @property
    def tolerance(self) -> Tolerance:
        return TOLERANCES[self.kind]

    @property
    def name(self) -> str:
        """Its head on one line: ``numpy f32 ULP``, ``c-numpy``."""
        return " ".join(self.head).replace(" –", "-")

    def data(self) -> dict[str, Any]:
        """As JSON has it: ``left_out`` is the reason, or null."""
        tolerance = {"limit": self.tolerance.limit, "unit": self.tolerance.unit, "reason": self.tolerance.reason}
        return {"name": self.name, "compares": self.title, "tolerance": tolerance, "left_out": self.missing or None}


@dataclass(frozen=True)
class Row:
    """A tensor and the worst error of each comparison that has something to say about it, by the column's title."""

    tensor: str
    errors: Mapping[str, float]


@dataclass(frozen=True)
class CellReport:
    """One cell. ``problems``: what went wrong before numbers could be compared; ``notes``: what else to know."""

    cell: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems and not self.failures()

    def failures(self) -> tuple[tuple[Row, Column], ...]:
        """The errors beyond their tolerance."""
        return tuple(
            (row, column)
            for row in self.rows
            for column in self.columns
            if not row.errors.get(column.title, 0.0) <= column.tolerance.limit
        )

    def worst(self, column: Column) -> float | None:
        """The largest error of a comparison; None where it was not made."""
        return max((row.errors[column.title] for row in self.rows if column.title in row.errors), default=None)

    def data(self) -> dict[str, Any]:
        """As JSON has it: an error that is no finite number is null."""
        return {
            "cell": self.cell,
            "ok": self.ok,
            "summary": self.summary(),
            "problems": self.problems,
            "notes": self.notes,
            "columns": [column.data() for column in self.columns],
            "tensors": [{"name": row.tensor, "errors": self._errors(row)} for row in self.rows],
        }

    def _errors(self, row: Row) -> dict[str, float | None]:
        found = {c.name: row.errors[c.title] for c in self.columns if c.title in row.errors}
        return {name: value if math.isfinite(value) else None for name, value in found.items()}

    def summary(self) -> str:
        """One line: that all is well, or what is not."""
        if self.problems:
            return "; ".join(self.problems)
        beyond = [
            f"{row.tensor}: {c.title} are {c.tolerance.text(row.errors[c.title])} apart, {c.tolerance.text()} allowed"
            for row, c in self.failures()
        ]
        more = f"; and {len(beyond) - 3} more" if len(beyond) > 3 else ""
        return "; ".join(beyond[:3]) + more if beyond else f"all {len(self.rows)} tensors within tolerance"


@dataclass(frozen=True)
class Report:
    """A verification of several cells."""

    cells: tuple[CellReport, ...]

    @property
    def ok(self) -> bool:
        return all(cell.ok for cell in self.cells)

    def render(self, width: int = 80, *, legend: bool = False) -> Any:
        """A rich renderable: tables per cell, rows tensors, columns witnesses; ``legend``: what these compare, too."""
        from symcell.verify.table import render

        return render(self, width, legend)

    def data(self) -> dict[str, Any]:
        """As JSON has it: what ``symcell verify --json`` prints."""
        return {"ok": self.ok, "cells": [cell.data() for cell in self.cells]}

    def __str__(self) -> str:
        lines = ((f"{cell.cell}: {cell.summary()}", *(f"  {note}" for note in cell.notes)) for cell in self.cells)
        return "\n".join(line for several in lines for line in several)
