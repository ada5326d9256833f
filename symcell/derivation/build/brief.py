"""A derivation without its intermediate steps; every formula keeps its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from symcell.derivation.model import (
    Algorithm,
    Block,
    Display,
    Do,
    Formula,
    Group,
    Literal,
    Loop,
    Paragraph,
    Ref,
    Section,
    Table,
    Value,
    Words,
    say,
)

Known = Mapping[int, tuple[int, ...]]
"""For the number of each formula those that are cited in its place: itself, or what a formula left out came from."""


def shortened(sections: Iterable[Section]) -> tuple[Section, ...]:
    """The sections without details; what cites a formula that is left out cites what that one came from."""
    sections = tuple(sections)
    known: dict[int, tuple[int, ...]] = {}
    for formula in (f for section in sections for f in section.formulas):
        known[formula.number] = _known(known, formula.cites) if formula.detail else (formula.number,)
    found = (replace(s, groups=tuple(_groups(s, known))) for s in sections)
    return tuple(s for s in found if s.groups)


def _known(known: Known, numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({k for number in numbers for k in known[number]}))


def _groups(section: Section, known: Known) -> Iterator[Group]:
    for group in section.groups:
        blocks = tuple(b for block in group.blocks if (b := _block(block, known)) is not None)
        if blocks:
            yield replace(group, blocks=blocks)
        elif group.formulas:
            yield replace(group, blocks=(Paragraph(_omitted(group.formulas)),))


def _omitted(formulas: tuple[Formula, ...]) -> Words:
    """The numbers of formulas that follow each other and are left out."""
    first, last = formulas[0].number, formulas[-1].number
    return say("brief.omitted", numbers=Literal(f"({first})" if first == last else f"({first})–({last})"))


def _block(block: Block, known: Known) -> Block | None:
    match block:
        case Display():
            kept = tuple(_formula(f, known) for f in block.formulas if not f.detail)
            return Display(kept) if kept else None
        case Paragraph():
            return None if block.detail else Paragraph(_words(block.words, known))
        case Algorithm():
            return Algorithm(_words(block.title, known), tuple(_line(line, known) for line in block.lines))
        case Table():
            return replace(block, rows=tuple(tuple(_value(v, known) for v in row) for row in block.rows))
    return block


def _formula(formula: Formula, known: Known) -> Formula:
    note = None if formula.note is None else _words(formula.note, known)
    return replace(formula, note=note, cites=_known(known, formula.cites))


def _line(line: Do | Loop, known: Known) -> Do | Loop:
    if isinstance(line, Do):
        return Do(_words(line.words, known))
    return Loop(_words(line.head, known), tuple(_line(inner, known) for inner in line.body))


def _words(words: Words, known: Known) -> Words:
    return Words(words.key, {name: _value(value, known) for name, value in words.values.items()})


def _value(value: Value, known: Known) -> Value:
    match value:
        case Ref():
            return Ref(_known(known, value.numbers))
        case Words():
            return _words(value, known)
        case tuple():
            return tuple(_value(v, known) for v in value)
    return value
