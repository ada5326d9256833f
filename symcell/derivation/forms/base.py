"""A form of the document: what all have in common, from a document to the views that a template reads."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

from sympy import Expr

from symcell.derivation.breaking import broken
from symcell.derivation.forms.views import (
    AlgorithmView,
    BlockView,
    DisplayView,
    FigureView,
    GroupView,
    Line,
    LineView,
    PageView,
    ParagraphView,
    Row,
    SectionView,
    SymbolsView,
    SymbolView,
    TableView,
)
from symcell.derivation.model import (
    Algorithm,
    Block,
    Display,
    Do,
    Document,
    Figure,
    Formula,
    Group,
    Loop,
    Meaning,
    Paragraph,
    Quoted,
    Ref,
    Section,
    Symbols,
    Table,
)
from symcell.derivation.tex import TexPrinter
from symcell.derivation.text import TextPrinter
from symcell.derivation.words import Ready, Speech


class Form(Speech):
    """One form in one language; subclasses say how formulas, figures and text look there."""

    def __init__(self, document: Document, language: str, printer: TextPrinter | TexPrinter) -> None:
        super().__init__(language)
        self.document, self.printer = document, printer
        self.printer.cases = self.catalogue["form.if"], self.catalogue["form.otherwise"]
        self.counts = {"figure": 0, "algorithm": 0}

    def page(self) -> PageView:
        sections = (self.section(k, s) for k, s in enumerate(self.document.sections, 1))
        title, subtitle = self.label(self.document.title), self.tell("form.subtitle")
        return PageView(title, subtitle, label(self.document.name), self.language, tuple(sections))

    def section(self, number: int, section: Section) -> SectionView:
        return SectionView(number, section.key, self.say(section.title), tuple(map(self.group, section.groups)))

    def group(self, group: Group) -> GroupView:
        heading = "" if group.heading is None else self.say(group.heading)
        return GroupView(heading, tuple(map(self.block, group.blocks)))

    def block(self, block: Block) -> BlockView:
        match block:
            case Paragraph():
                return self.paragraph(self.say(block.words))
            case Quoted():
                return self.paragraph(self.literal(block.text))
            case Display():
                return self.display(block.formulas)
            case Symbols():
                return self.symbol_table(tuple(map(self.meaning, block.rows)))
            case Figure():
                return self.captioned(self.counted("figure"), self.figure(block), self.say(block.caption))
            case Algorithm():
                return self.algorithm(self.counted("algorithm"), self.say(block.title), tuple(self.lines(block.lines)))
            case Table():
                rows = (tuple(map(self.value, row)) for row in block.rows)
                return self.table(tuple(map(self.say, block.head)), tuple(rows))

    def counted(self, kind: str) -> str:
        """``Figure 1`` and so on."""
        self.counts[kind] += 1
        return self.tell(f"form.{kind}", number=Ready(str(self.counts[kind])))

    def paragraph(self, text: str) -> BlockView:
        return ParagraphView(text)

    def display(self, formulas: Sequence[Formula]) -> BlockView:
        return DisplayView(self.rows(formulas))

    def symbol_table(self, rows: tuple[SymbolView, ...]) -> BlockView:
        return SymbolsView(self.heads(), rows)

    def heads(self) -> tuple[str, str, str]:
        """What stands over the columns of a table of symbols."""
        return self.tell("form.symbol"), self.tell("form.shape"), self.tell("form.meaning")

    def captioned(self, label: str, drawing: str, caption: str) -> BlockView:
        return FigureView(label, drawing, caption)

    def algorithm(self, label: str, title: str, lines: tuple[LineView, ...]) -> BlockView:
        return AlgorithmView(label, title, lines)

    def table(self, head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> BlockView:
        return TableView(head, rows)

    def lines(self, lines: Sequence[Do | Loop], depth: int = 0) -> Iterator[LineView]:
        for line in lines:
            if isinstance(line, Do):
                yield LineView(depth, self.say(line.words), False)
            else:
                yield LineView(depth, self.say(line.head), True)
                yield from self.lines(line.body, depth + 1)

    def meaning(self, row: Meaning) -> SymbolView:
        names = [self.printer.timed(n, 0) if row.varying else self.printer.name(n) for n in row.names]
        meaning = "" if row.meaning is None else self.value(row.meaning)
        return SymbolView(self.names(names), self.shape(self.extents(row)), meaning)

    def extents(self, row: Meaning) -> list[str]:
        sizes = [self.printer.size(s) for s in row.shape]
        return [f"({s})" if "+" in s and len(sizes) > 1 else s for s in sizes]

    def remarks(self, formula: Formula) -> list[str]:
        """What is said about a formula: its label, the derivation's note, when it holds, where it came from."""
        said = [self.label(formula.label), "" if formula.note is None else self.say(formula.note)]
        if (condition := formula.condition) is not None:
            when = self.inline(self.printer.condition(condition.end, condition.depth))
            said.append(self.tell("form.for", when=Ready(when)))
        if formula.cites:
            said.append(self.tell("form.from", numbers=Ref(formula.cites)))
        return [text for text in said if text]

    def remark(self, formula: Formula) -> str:
        return self.plain(self.catalogue["form.comma"]).join(self.remarks(formula))

    def right(self, formula: Formula, room: float, measure: Callable[[str], float]) -> Iterator[Line]:
        """The lines of the right side, those of a chain of equalities one below the other."""
        for part in (*formula.via, formula.right):
            for k, text in enumerate(broken(self.printer.print(part), room, measure)):
                yield Line(text, k == 0)

    def mathematics(self, expr: Expr) -> str:
        return self.inline(self.printer.small(expr))

    def symbols(self, parts: list[str | Expr]) -> str:
        printer = self.printer
        return self.inline("".join(printer.written(p) if isinstance(p, str) else printer.small(p) for p in parts))

    @abstractmethod
    def inline(self, formula: str) -> str:
        """A printed formula inside a line of text."""

    def rows(self, formulas: Sequence[Formula]) -> tuple[Row, ...]:
        """Formulas that stand one below the other; a form that lays displays out as lines has no need of it."""
        raise NotImplementedError

    @abstractmethod
    def names(self, names: Sequence[str]) -> str:
        """Printed names one after the other."""

    @abstractmethod
    def shape(self, extents: Sequence[str]) -> str:
        """The shape of a value, from its printed sizes."""

    @abstractmethod
    def figure(self, figure: Figure) -> str:
        """A picture in the form's own language."""


def label(name: str) -> str:
    """A cell's name in the letters that LaTeX, Markdown and HTML allow in a label."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda c: f"u{ord(c[0]):x}", name)


def cited(numbers: Sequence[int]) -> list[tuple[int, ...]]:
    """Numbers in runs: three in a row and more are one, written as a range."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [tuple(part) for run in runs for part in ([run] if len(run) > 2 else [[n] for n in run])]
