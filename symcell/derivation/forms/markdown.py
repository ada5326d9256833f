"""A derivation in Markdown, whose mathematics GitHub and Jupyter show.

GitHub reads Markdown before mathematics: a backslash before a sign is taken away, an underscore between two signs may
begin emphasis, brackets may be a link. So what is printed here has none of these (:func:`safe`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from symcell.derivation import escape
from symcell.derivation.breaking import unmarked
from symcell.derivation.figures import draw_mermaid
from symcell.derivation.forms.tex import Tex
from symcell.derivation.forms.views import Line, Row
from symcell.derivation.model import Document, Figure, Formula, Words
from symcell.derivation.tex import measure

WIDTH = 86.0

_SAFE = {
    r"\,": r"\thinspace ", r"\;": r"\thickspace ", r"\{": r"\lbrace ", r"\}": r"\rbrace ",
    r"\!": r"\negthinspace ", r"\_": r"\underline{\enspace}", r"\\": r"\cr ", "[": r"\lbrack ", "]": r"\rbrack ",
    "<": r"\lt ", ">": r"\gt ", "|": r"\vert ", "*": r"\ast ",
}  # fmt: skip
_UNSAFE = re.compile(r"\\[^A-Za-z]|[][<>|*]")
_HANGUL = re.compile("(?<=\\$)(?=[\uac00-\ud7a3])")


def safe(formula: str) -> str:
    """TeX that means the same after Markdown has read it, and without what GitHub does not allow."""
    named = re.sub(r"\\operatorname\{", r"\\mathrm{", formula)
    without = _UNSAFE.sub(lambda found: _SAFE[found[0]], named)
    return re.sub(" +", " ", without.replace("}_", "}_ ")).strip()


class Markdown(Tex):
    def __init__(self, document: Document, language: str) -> None:
        super().__init__(document, language, True, escape.markdown_text)

    def plain(self, text: str) -> str:
        return text

    def say(self, words: Words) -> str:
        """GitHub knows a formula by its dollars only where no letter touches them: a particle follows at no width."""
        return _HANGUL.sub("&#8203;", super().say(words))

    def inline(self, formula: str) -> str:
        return f"${safe(unmarked(formula))}$"

    def names(self, names: Sequence[str]) -> str:
        return ", ".join(map(self.inline, names))

    def numbered(self, number: int) -> str:
        return f"[({number})](#{self.anchor(number)})"

    def anchor(self, number: int) -> str:
        return f"eq-{self.name}-{number}"

    def figure(self, figure: Figure) -> str:
        return draw_mermaid(figure.kind, figure.graph, self.printer.names)

    def rows(self, formulas: Sequence[Formula]) -> tuple[Row, ...]:
        rows = []
        for formula in formulas:
            left = self.printer.plain(formula.left)
            lines = tuple(Line(safe(line.text), line.begins)
                          for line in self.right(formula, WIDTH - measure(left), measure))  # fmt: skip
            rows.append(Row(formula.number, safe(left), lines, "", self.remark(formula)))
        return tuple(rows)
