"""What a cell's text declares, so that another cell can be made with the same declarations."""

from __future__ import annotations

from symcell.cell import Cell
from symcell.language.problems import Problems
from symcell.language.scan import scan
from symcell.language.source import read_source
from symcell.language.statements import Annotation, Initial, read_statements


def declarations_of(cell: Cell) -> dict[str, str]:
    """The declarations of a cell's text, as :func:`symcell.from_equations` takes them."""
    source = read_source(cell.text, f"{cell.name}.cell")
    problems = Problems(source)
    found = {}
    for statement in read_statements(scan(source, problems).chunks, problems):
        match statement:
            case Annotation(name=name, what=what, value=None, place=place):
                found[name] = place.text(what)
            case Annotation(name=name, what=what, value=value, place=place) if value is not None:
                found[name] = f"{place.text(what)} = {place.text(value)}"
            case Initial(name=name, value=value, place=place):
                found[f"{name}[0]"] = place.text(value)
    return found
