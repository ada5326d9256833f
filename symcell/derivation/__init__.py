"""The derivation of a cell: its equations, local derivatives, the adjoint recursion and the parameter gradients."""

from __future__ import annotations

from dataclasses import fields

from symcell.derivation.build import Steps, citations, document
from symcell.derivation.forms import Format, Options, render
from symcell.derivation.model import Condition, Document, Formula, Group, Section
from symcell.derivation.pdf import TexError, typeset
from symcell.derivation.tex import TexPrinter


class Derivation(Document):
    """A derivation that can be printed: ``str()`` is the text."""

    def render(
        self, format: Format = "text", lang: str = "en", *, fragment: bool = False, width: int | None = None
    ) -> str:
        """As ``text``, ``markdown``, a ``latex`` document or an ``html`` page, in English (``en``) or Korean (``ko``).

        ``fragment``: LaTeX or HTML to be read into another document; ``width``: of the text's lines, in columns (80).
        Raises ValueError for an unknown form or language.
        """
        return render(self, format, lang, Options(fragment, width))

    def pdf(self, lang: str = "en") -> bytes:
        """On paper. Raises TexError where there is no TeX, or it fails."""
        return typeset(self.render("latex", lang))

    @classmethod
    def of(cls, document: Document) -> Derivation:
        return cls(**{f.name: getattr(document, f.name) for f in fields(document)})

    def __str__(self) -> str:
        return self.render("text")

    def _repr_latex_(self) -> str:
        """The formulas alone, numbered."""
        printer = TexPrinter(self.names, True, self.sample)
        rows = (rf"{printer.plain(f.left)} &= {printer.plain(f.right)} & ({f.number})" for f in self.formulas())
        return r"$\begin{array}{rll}" + r" \\ ".join(rows).replace("&=", "& =") + r"\end{array}$"

    def _repr_markdown_(self) -> str:
        return self.render("markdown")

    def _repr_html_(self) -> str:
        """For notebooks: the document without a page around it."""
        return render(self, "html", options=Options(fragment=True))


__all__ = ["Condition", "Derivation", "Document", "Formula", "Group", "Section", "Steps", "TexError", "citations",
           "document"]  # fmt: skip
