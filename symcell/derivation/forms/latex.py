"""A derivation in LaTeX, for pdflatex and lualatex: an article, or a fragment of the reader's own document."""

from __future__ import annotations

import re
from collections.abc import Sequence

from symcell.derivation import escape
from symcell.derivation.figures import draw_tikz
from symcell.derivation.forms.tex import Tex
from symcell.derivation.forms.views import BlockView, LatexView, Line, PageView, Row, SymbolView, TableView
from symcell.derivation.model import Document, Figure, Formula
from symcell.derivation.tex import measure

WIDTH = 78.0
"""What a line of a display holds beside its number, in widths of a digit."""
FRAGMENT = 58.0
"""The same for the widest margins that LaTeX's own classes have."""
NOTE = 0.9
"""How wide a note is, set small, against what :func:`measure` says."""
GAP = 4.0
LEFT = 28.0
"""A left side up to this width stands before the equals sign, a wider one above it."""
LINE = {False: 88.0, True: 64.0}
"""What a line of text holds, in an article and in a fragment."""
_PLAIN = str.maketrans({"–": "--", "…": r"\dots{}", "%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_"})
EM = 0.5
"""A digit's width."""


class Latex(Tex):
    def __init__(self, document: Document, language: str, fragment: bool = False) -> None:
        hangul = language == "ko"
        super().__init__(document, language, False, lambda text: escape.latex_text(text, hangul))
        self.fragment, self.width = fragment, FRAGMENT if fragment else WIDTH

    def page(self) -> PageView:
        page = super().page()
        kinds = {block.kind for section in page.sections for group in section.groups for block in group.blocks}
        packages = ["amsmath", "amssymb"]
        packages += ["array", "booktabs", "longtable"] if kinds & {"symbols", "table"} else []
        packages += ["tikz"] if "figure" in kinds else []
        title = self.document.title
        head = self.label(shortened(title))
        mark = re.sub("[^A-Za-z0-9 .,:;()/+\uac00-\ud7a3-]", "", self.catalogue.get(f"labels.{title}", title))
        return LatexView(**vars(page), head=head, bookmark=mark, fragment=self.fragment, packages=tuple(packages))

    def plain(self, text: str) -> str:
        return text.translate(_PLAIN)

    def numbered(self, number: int) -> str:
        return rf"\eqref{{eq:{self.name}:{number}}}"

    def rows(self, formulas: Sequence[Formula]) -> tuple[Row, ...]:
        lefts = [self.printer.plain(f.left) for f in formulas]
        align = max((w for w in map(measure, lefts) if w <= LEFT), default=2.0)
        return tuple(self.row(f, left, align) for f, left in zip(formulas, lefts, strict=True))

    def row(self, formula: Formula, left: str, align: float) -> Row:
        """A formula with its remark at the right edge: of its last line, or of one more; above it where it is wider
        than a line."""
        lines = list(self.right(formula, self.width - align, measure))
        if alone := measure(left) > LEFT:
            lines.insert(0, Line("", False))
        remark = self.remark(formula)
        room = self.width - align - measured(remark) * NOTE
        fits = room > 0
        if remark and fits and room < measure(lines[-1].text) + GAP:
            lines.append(Line("", False))
        put = rf"\rlap{{$\displaystyle {left}$}}" if alone else left
        note, above = (remark, "") if fits else ("", remark)
        return Row(formula.number, put, tuple(lines), note, above, round(EM * align + 0.5, 1))

    def figure(self, figure: Figure) -> str:
        return draw_tikz(figure.kind, figure.graph, self.printer)

    def symbol_table(self, rows: tuple[SymbolView, ...]) -> BlockView:
        return self.table(self.heads(), tuple(r.cells for r in rows))

    def table(self, head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> BlockView:
        natural = [max(map(measured, column)) + 1 for column in zip(head, *rows, strict=True)]
        return TableView(head, rows, shares(natural, LINE[self.fragment] - 3 * len(natural), LINE[self.fragment]))


def measured(text: str) -> float:
    """About how wide a text with mathematics is, in widths of a digit."""
    return measure(re.sub(r"\\eqref\{[^}]*:(\d+)\}", r"(\1)", text).replace("$", "").replace(" ", "."))


def shares(natural: Sequence[float], room: float, line: float) -> tuple[float, ...]:
    """Widths of columns in ``room`` as parts of a line: narrow ones keep their width, wide ones share what is left."""
    widths, open_ = list(natural), set(range(len(natural)))
    while sum(widths) > room:
        fair = (room - sum(w for k, w in enumerate(widths) if k not in open_)) / len(open_)
        narrow = {k for k in open_ if natural[k] <= fair}
        if not narrow:
            widths = [fair if k in open_ else w for k, w in enumerate(widths)]
            break
        open_ -= narrow
    return tuple(round(w / line, 3) for w in widths)


def shortened(title: str, most: int = 60) -> str:
    return title if len(title) <= most else title[: most - 1] + "…"
