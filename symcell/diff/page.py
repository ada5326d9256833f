"""A difference as a page: one HTML file, mathematics as MathML; and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from symcell.diff.model import Both, Costs, Difference, Fact, Formulas, Shown, Stage
from symcell.diff.text import (
    VERDICTS,
    Facts,
    changes,
    cost_head,
    count,
    facts_together,
    merged,
    named,
    numbers,
    renaming,
    text as plain,
)
from symcell.pages import Mathematics, page_style, scoped_style, sides_style, text
from symcell.program.report import formula
from symcell.templating import environment

KINDS = {"-": "removed", "+": "added", "~": "changed"}


@dataclass(frozen=True)
class Row:
    """A line with a sign; ``body``: HTML."""

    sign: str
    body: str
    number: str = ""

    @property
    def kind(self) -> str:
        return KINDS[self.sign]


@dataclass(frozen=True)
class TableRow:
    """``kind``: changed or same."""

    kind: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """Changes, each of one row or two, or a table."""

    title: str
    count: str
    changes: tuple[tuple[Row, ...], ...] = ()
    note: str = ""
    heads: tuple[str, ...] = ()
    rows: tuple[TableRow, ...] = ()


@dataclass(frozen=True)
class View:
    """What ``diff.html.j2`` reads."""

    title: str
    style: str
    whole: bool
    verdict: str
    said: str
    paragraphs: tuple[str, ...]
    sections: tuple[Section, ...]


def page(difference: Difference) -> str:
    """A page of its own."""
    return _rendered(difference, whole=True)


def fragment(difference: Difference) -> str:
    """What stands inside another page, its styles kept to itself."""
    return _rendered(difference, whole=False)


def markdown(difference: Difference) -> str:
    """A block of the language ``diff``, which GitHub colours."""
    said = plain(difference)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", said)), default=0))
    return f"{fence}diff\n{said}\n{fence}\n"


def _rendered(difference: Difference, *, whole: bool) -> str:
    view = View(
        title=text(f"{difference.old.name} → {difference.new.name}"),
        style=(page_style() if whole else scoped_style()) + "\n" + sides_style(),
        whole=whole,
        verdict=difference.verdict,
        said=text(VERDICTS[difference.verdict]),
        paragraphs=tuple(map(text, filter(None, (difference.reason, renaming(difference))))),
        sections=tuple(_sections(difference)),
    )
    values = {f.name: getattr(view, f.name) for f in fields(view)}
    return environment("pages").get_template("pages/diff.html.j2").render(values)


def _sections(difference: Difference) -> Iterator[Section]:
    mathematics = Mathematics()
    yield from _formulas((difference.equations,), mathematics)
    if difference.facts:
        groups = facts_together(difference.facts)
        yield Section("shapes and starts", "", tuple(map(_facts, groups)))
    yield from _formulas(difference.gradients, mathematics)
    yield from _costs(difference)
    for stages, targets in merged(difference.stages):
        rows = tuple(map(_stage, stages.changes))
        yield Section(text(f"stages of {', '.join(targets)}"), count(stages.changes, stages.unchanged), rows)
    if difference.notes:
        rows = tuple(tuple(_fact(note)) for note in difference.notes)
        yield Section("text that nothing is computed from", "", rows)


def _formulas(several: Sequence[Formulas], mathematics: Mathematics) -> Iterator[Section]:
    for formulas in several:
        if formulas.changes:
            rows = tuple(tuple(_formula(s, f, mathematics) for s, f in both.sides()) for both in formulas.changes)
            yield Section(text(formulas.title), count(formulas.changes, formulas.unchanged), rows)


def _formula(sign: str, shown: Shown, mathematics: Mathematics) -> Row:
    body = mathematics.inline(shown.tex, display=True)
    when = f"&emsp;for {mathematics.inline(shown.when)}" if shown.when else ""
    return Row(sign, body + when, "" if shown.number is None else f"({shown.number})")


def _facts(group: Facts) -> tuple[Row, ...]:
    return tuple(Row(sign, text(f"{group.head}: {said}")) for sign, said in group.texts.sides())


def _fact(note: Fact) -> Iterator[Row]:
    head = f"{note.what} {note.name}".rstrip()
    return (Row(sign, text(f"{head}: {said}")) for sign, said in note.texts.sides())


def _costs(difference: Difference) -> Iterator[Section]:
    if difference.costs:
        number = sum(c.changed for c in difference.costs)
        heads = ("", "targets", "number", "formula")
        yield Section("cost", f"{number} changed" if number else "unchanged", (), text(cost_head(difference)), heads,
                      tuple(map(_cost, difference.costs)))  # fmt: skip


def _cost(cost: Costs) -> TableRow:
    amounts = [a for a in (cost.amounts.old, cost.amounts.new) if a is not None]
    written = list(dict.fromkeys(map(formula, amounts))) if any(a.free_symbols for a in amounts) else []
    cells = (cost.what, ", ".join(cost.targets), numbers(cost), " → ".join(written))
    return TableRow("changed" if cost.changed else "same", tuple(map(text, cells)))


def _stage(both: Both[Stage]) -> tuple[Row, ...]:
    if both.old is None or both.new is None:
        return tuple(Row(sign, text(named(stage))) for sign, stage in both.sides())
    said = "".join(f"<br>{text(what)}" for what in changes(both.old, both.new))
    return (Row("~", text(named(both.old)) + said),)
