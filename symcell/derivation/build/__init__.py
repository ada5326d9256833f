"""Cell → derivation: a section each for what a reader asks in turn, every formula numbered once.

Numbers are those of the full derivation; a brief one leaves out details and keeps the numbers of what remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from symcell.derivation.build.algorithm import algorithm_section
from symcell.derivation.build.brief import shortened
from symcell.derivation.build.chain import chain_section
from symcell.derivation.build.cost import cost_section
from symcell.derivation.build.functions import functions_section
from symcell.derivation.build.loss import loss_section
from symcell.derivation.build.notation import notation_section
from symcell.derivation.build.numbering import Numbering
from symcell.derivation.build.onestep import jacobian_section
from symcell.derivation.build.parameters import parameters_section
from symcell.derivation.build.picture import graph_section
from symcell.derivation.build.recursion import recursion_section
from symcell.derivation.build.source import Source, letters
from symcell.derivation.build.step import forward_section
from symcell.derivation.build.values import values
from symcell.derivation.model import Document, Section
from symcell.derivation.records import Records
from symcell.program.report import Totals

Steps = Literal["brief", "full"]

SECTIONS = ("notation", "loss", "forward", "graph", "chain", "functions", "recursion", "parameters", "jacobian",
            "algorithm", "cost")  # fmt: skip


def document(records: Records, steps: Steps = "full", totals: Totals | None = None) -> Document:
    """The derivation of a cell.

    ``steps``: ``full`` with every local derivative and intermediate equality, ``brief`` without. ``totals``: what the
    cell costs, for a section on it. Raises ValueError for other steps.
    """
    if steps not in ("brief", "full"):
        raise ValueError(f"steps: expected brief or full, got {steps!r}")
    cell, source, numbering = records.book.source, _source(records, steps), Numbering()
    sections = tuple(_sections(source, numbering, totals))
    return Document(
        title=cell.title or cell.name,
        name=cell.name,
        description=cell.description,
        output=cell.output,
        names=source.forward.display_names(),
        sample=source.letters.sample,
        sections=sections if source.full else shortened(sections),
        values=values(source.backward, numbering, records.emitted),
    )


def citations(records: Records) -> Mapping[str, int]:
    """:attr:`Document.values` of the derivation of a cell, whose sections behind the gradients are not built for it."""
    source, numbering = _source(records, "full"), Numbering()
    for section in _sections(source, numbering, None):
        if section.key == "parameters":
            break
    return values(source.backward, numbering, records.emitted)


def _source(records: Records, steps: Steps) -> Source:
    backward = records.displayed()
    spoken = letters(records.book.source, backward.forward.display_names().values())
    return Source(backward, spoken, steps == "full", records.lemmas)


def _sections(source: Source, numbering: Numbering, totals: Totals | None) -> Iterator[Section]:
    yield notation_section(source)
    yield loss_section(source, numbering)
    yield forward_section(source, numbering)
    yield graph_section(source)
    yield chain_section(source, numbering)
    for build in (functions_section, recursion_section, parameters_section, jacobian_section):
        if (section := build(source, numbering)) is not None:
            yield section
    yield algorithm_section(source, numbering)
    if totals is not None:
        yield cost_section(source, totals)
