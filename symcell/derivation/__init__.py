"""The derivation of a cell: its equations, local derivatives, the adjoint recursion and the parameter gradients."""

from __future__ import annotations

from pathlib import Path

from symcell.cell import Cell
from symcell.derivation.build import document
from symcell.derivation.model import Condition, Document, Formula, Group, Section
from symcell.derivation.render import Format, render
from symcell.language import as_cell


class Derivation(Document):
    """A derivation that can be printed: ``str()`` is the text."""

    def render(self, format: Format = "text") -> str:
        """As ``text``, as a ``latex`` document, or as ``markdown``."""
        return render(self, format)

    def __str__(self) -> str:
        return self.render("text")

    def _repr_markdown_(self) -> str:
        return self.render("markdown")


def derive(cell: Cell | str | Path) -> Derivation:
    """Derive back-propagation through time for ``cell`` (a Cell, a name or a path), every formula numbered."""
    made = document(as_cell(cell))
    return Derivation(made.title, made.name, made.description, made.output, made.names, made.shapes, made.sections)


__all__ = ["Condition", "Derivation", "Document", "Formula", "Group", "Section", "derive"]
