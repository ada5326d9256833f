"""A derivation as an HTML page: mathematics as MathML, symbols that know their definitions, kernels beside formulas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from symcell.derivation import escape
from symcell.derivation.breaking import unmarked
from symcell.derivation.figures import draw_svg
from symcell.derivation.forms.base import Form, cited, label
from symcell.derivation.forms.definitions import Definitions, Key, MarkingPrinter
from symcell.derivation.forms.snippets import Snippets
from symcell.derivation.forms.views import BlockView, DisplayView, HtmlRow, HtmlView, Line
from symcell.derivation.model import Document, Figure, Formula, Meaning, Words
from symcell.derivation.tex import measure
from symcell.derivation.words import Ready
from symcell.pages import Mathematics, page_script, page_style, scoped_style, text

_BEHIND = re.compile("(<math(?:(?!</math>).)*</math>[,.;:)]+)")
WIDTH = 78.0
"""What a line of a formula holds, in widths of a digit; a narrower window scrolls."""
EM = 0.55
"""A digit's width."""
LEFT = 24.0
"""A left side up to this width is aligned with the others."""


class Html(Form):
    printer: MarkingPrinter

    def __init__(self, document: Document, language: str, *, page: bool = True) -> None:
        """``page``: a page of its own; otherwise what stands inside another one, its styles kept to itself."""
        self.mathematical = Mathematics()
        self.definitions = Definitions(document)
        super().__init__(document, language, MarkingPrinter(document, self.mathematical, self.definitions.keys))
        self.name, self.whole = label(document.name), page
        self.snippets = Snippets(document.kernels(), self.name)

    def page(self) -> HtmlView:
        view = super().page()
        style = page_style() if self.whole else scoped_style()
        return HtmlView(
            **vars(view),
            whole=self.whole,
            style=style,
            script=page_script(),
            words={key: self.tell(f"page.{key}") for key in ("contents", "kernels", "beside", "none")},
            definitions=tuple(self.defined()),
            listings=self.snippets.listings(),
            targets=self.snippets.targets,
        )

    def say(self, words: Words) -> str:
        """The sentence; a line does not end between a formula and the sign behind it."""
        return _BEHIND.sub(r'<span class="nb">\1</span>', super().say(words))

    def plain(self, text_: str) -> str:
        return text(text_)

    def literal(self, text_: str) -> str:
        return text(escape.one_line(text_))

    def inline(self, formula: str) -> str:
        return self.mathematical.inline(unmarked(formula))

    def display_math(self, formula: str) -> str:
        return self.mathematical.inline(unmarked(formula), display=True)

    def measured(self, formula: str) -> float:
        return measure(self.mathematical.expanded(formula))

    def reference(self, numbers: tuple[int, ...]) -> str:
        between = self.plain(self.catalogue["form.range"])
        runs = [[self.numbered(n) for n in (run[0], run[-1])] for run in cited(numbers)]
        return ", ".join(a if a == b else between.format(first=a, last=b) for a, b in runs)

    def numbered(self, number: int) -> str:
        return f'<a href="#{self.anchor(number)}">({number})</a>'

    def anchor(self, number: int) -> str:
        return f"eq-{self.name}-{number}"

    def names(self, names: Sequence[str]) -> str:
        return ", ".join(map(self.inline, names))

    def shape(self, extents: Sequence[str]) -> str:
        product = r" \times ".join(extents)
        return self.inline(rf"\mathbb{{R}}^{{{product}}}" if product not in ("", "1") else r"\mathbb{R}")

    def figure(self, figure: Figure) -> str:
        ident = f"{self.name}-{figure.kind}"
        return draw_svg(figure.kind, figure.graph, self.document.names, self.document.name, ident)

    def display(self, formulas: Sequence[Formula]) -> BlockView:
        lefts = [self.printer.plain(f.left) for f in formulas]
        align = max((w for w in map(self.measured, lefts) if w <= LEFT), default=0.0)
        return DisplayView(tuple(self.row(f, left, align) for f, left in zip(formulas, lefts, strict=True)))

    def row(self, formula: Formula, left: str, align: float) -> HtmlRow:
        room = WIDTH - max(align, self.measured(left))
        lines = tuple(self.line(line) for line in self.right(formula, room, self.measured))
        return HtmlRow(formula.number, self.display_math(left), lines, self.remark(formula), "", round(EM * align, 1),
                       self.snippets.of(formula.number))  # fmt: skip

    def line(self, line: Line) -> Line:
        before = "= " if line.begins else "{} "  # a sign that begins a line goes on with the one above
        return Line(self.display_math(before + line.text), line.begins)

    # definitions of symbols

    def defined(self) -> Iterator[tuple[str, str]]:
        """For each symbol that stands in the document its key and what is said about it, which may name others."""
        done: set[Key] = set()
        while waiting := [key for key in self.printer.used if key not in done]:
            done.update(waiting)
            yield from ((self.definitions.keys[key], self.told(*key)) for key in waiting)

    def told(self, kind: str, name: str) -> str:
        number = self.definitions.number(kind, name)
        parts = [self.what(kind, name), "" if number is None else self.numbered(number)]
        return " ".join(part for part in parts if part)

    def what(self, kind: str, name: str) -> str:
        """A symbol, what it is and its shape."""
        of = self.definitions.symbol("value", name)
        if kind != "value":
            inner = self.inline(self.printer.print(of))
            return f"{self.inline(self.printer.print(self.definitions.symbol(kind, name)))}: " + self.tell(
                f"page.{kind}", value=Ready(inner)
            )
        row = self.definitions.meanings.get(name)
        said = self.inline(self.printer.print(of))
        if row is None:
            return said
        shape = self.shape(self.extents(row))
        return f"{said} ∈ {shape}" + (f": {self.meaning_of(row)}" if row.meaning is not None else "")

    def meaning_of(self, row: Meaning) -> str:
        return "" if row.meaning is None else self.value(row.meaning)
