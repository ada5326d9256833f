"""A derivation for a terminal: Unicode, formulas aligned at their equals signs, no line wider than it may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, repeat

from symcell.derivation import escape
from symcell.derivation.figures import draw_text
from symcell.derivation.forms.base import Form, cited
from symcell.derivation.forms.terminal import KEPT, box, chopped, table, underlined, wrapped
from symcell.derivation.forms.views import (
    BlockView,
    GroupView,
    Line,
    LinesView,
    LineView,
    PageView,
    SectionView,
    SymbolView,
)
from symcell.derivation.model import Document, Figure, Formula, Group, Section
from symcell.derivation.text import TextPrinter, width

WIDTH = 80
SHORT = 28
"""A formula inside a line of text is kept together up to this width."""


class Text(Form):
    printer: TextPrinter

    def __init__(self, document: Document, language: str, width: int = WIDTH) -> None:
        """``width``: of the terminal, in columns; at least 40 are used."""
        super().__init__(document, language, TextPrinter(document.names, document.sample))
        self.width = max(width, 40)
        last = max((f.number for f in document.formulas()), default=0)
        self.margin = len(f"({last})") + 3

    def plain(self, text: str) -> str:
        return text

    def literal(self, text: str) -> str:
        return escape.one_line(text)

    def inline(self, formula: str) -> str:
        return formula.replace(" ", KEPT) if width(formula) <= SHORT else formula

    def reference(self, numbers: tuple[int, ...]) -> str:
        ranges = [(f"({r[0]})", f"({r[-1]})") for r in cited(numbers)]
        return ", ".join(a if a == b else self.catalogue["form.range"].format(first=a, last=b) for a, b in ranges)

    def page(self) -> PageView:
        page = super().page()
        return replace(page, title="\n".join(underlined(page.title, "═", self.width)))

    def section(self, number: int, section: Section) -> SectionView:
        view = super().section(number, section)
        return replace(view, title="\n".join(underlined(f"{number}. {view.title}", "─", self.width)))

    def group(self, group: Group) -> GroupView:
        view = super().group(group)
        return replace(view, heading="\n".join(wrapped(view.heading, self.width)))

    def paragraph(self, text: str) -> BlockView:
        return LinesView(tuple(wrapped(text, self.width)))

    def display(self, formulas: Sequence[Formula]) -> BlockView:
        lefts = [self.printer.plain(f.left) for f in formulas]
        limit = (self.width - self.margin) * 2 // 5
        align = max((w for w in map(width, lefts) if w <= limit), default=4)
        room = self.width - self.margin - align - 3
        rights = [list(self.right(f, room, width)) for f in formulas]
        remarks = [self.remark(f).replace(KEPT, " ") for f in formulas]
        lines = [self.put(left, right, align) for left, right in zip(lefts, rights, strict=True)]
        column = self.column([(width(put[-1]), width(r)) for put, r in zip(lines, remarks, strict=True) if r])
        block = []
        for formula, put, remark in zip(formulas, lines, remarks, strict=True):
            numbers = chain([f" ({formula.number})".rjust(self.margin - 2) + "  "], repeat(" " * self.margin))
            whole = (*put[:-1], *self.beside(put[-1], remark, column, align + 3))
            block += [number + text for number, text in zip(numbers, whole, strict=False)]
        return LinesView(tuple(block))

    @property
    def inner(self) -> int:
        """The columns that formulas have, right of their numbers."""
        return self.width - self.margin

    def column(self, noted: Sequence[tuple[int, int]]) -> int:
        """Where remarks begin, from the widths of formulas and their remarks: behind as many formulas as can be without
        driving a remark out of the line that would fit behind its own formula."""
        found = widest = 0
        for formula, remark in sorted((f, r) for f, r in noted if f + 3 + r <= self.inner):
            widest = max(widest, remark)
            if formula + 3 + widest <= self.inner:
                found = formula
        return found

    def put(self, left: str, right: Sequence[Line], align: int) -> list[str]:
        """A formula in lines: the left side up to ``align``, on a line of its own where it is wider."""
        gap = " " * (align - width(left))
        whole = [f"{' ' * align} {'=' if line.begins else ' '} {line.text}" for line in right]
        if width(left) <= align:
            whole[0] = gap + left + whole[0][align:]
        else:
            whole.insert(0, left)
        indent = " " * (align + 3)
        return [piece for line in whole for piece in self.cut(line, indent)]

    def cut(self, line: str, indent: str) -> list[str]:
        """A line that nothing could break, such as a name that is wider than the terminal."""
        if width(line) <= self.inner:
            return [line]
        first, *rest = chopped(line, self.inner)
        return [first, *(indent + p for p in chopped("".join(rest), self.inner - len(indent)))]

    def beside(self, line: str, remark: str, column: int, indent: int) -> list[str]:
        """The last line of a formula with its remark: in their common column, at the right edge, or below."""
        if not remark:
            return [line]
        if width(line) <= column and column + 3 + width(remark) <= self.inner:
            return [line + " " * (column - width(line) + 3) + remark]
        if width(line) + 3 + width(remark) <= self.inner:
            return [line + " " * (self.inner - width(line) - width(remark)) + remark]
        if indent + width(remark) <= self.inner:
            return [line, " " * (self.inner - width(remark)) + remark]
        return [line, *(" " * indent + part for part in wrapped(remark, self.inner - indent))]

    def algorithm(self, label: str, title: str, lines: tuple[LineView, ...]) -> BlockView:
        room = self.width - 8
        put = [" " * 3 * line.depth + part for line in lines
               for part in wrapped(line.text, room - 3 * line.depth, indent="    ")]  # fmt: skip
        return self.indented(box(f"{label}. {title}", put, self.width - 4))

    def table(self, head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> BlockView:
        return self.indented(table([head, *rows], self.width - 2, head=True))

    def symbol_table(self, rows: tuple[SymbolView, ...]) -> BlockView:
        return self.indented(table([r.cells for r in rows], self.width - 2, head=False))

    def captioned(self, label: str, drawing: str, caption: str) -> BlockView:
        return LinesView((*drawing.splitlines(), "", *wrapped(f"{label}. {caption}", self.width)))

    def indented(self, lines: Sequence[str]) -> BlockView:
        return LinesView(tuple(f"  {line}" for line in lines))

    def names(self, names: Sequence[str]) -> str:
        return ", ".join(names)

    def shape(self, extents: Sequence[str]) -> str:
        return "×".join(extents) if extents else "1"

    def figure(self, figure: Figure) -> str:
        return draw_text(figure.kind, figure.graph, self.printer, self.width)
