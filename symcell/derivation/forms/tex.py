"""What LaTeX and Markdown share: mathematics in TeX between dollars."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

from symcell.derivation.breaking import unmarked
from symcell.derivation.forms.base import Form, cited, label
from symcell.derivation.model import Document
from symcell.derivation.tex import TexPrinter


class Tex(Form):
    printer: TexPrinter

    def __init__(self, document: Document, language: str, native: bool, escaped: Callable[[str], str]) -> None:
        """``native``: characters outside pdflatex's fonts may stand as they are."""
        super().__init__(document, language, TexPrinter(document.names, native, document.sample))
        self.escaped, self.name = escaped, label(document.name)

    def literal(self, text: str) -> str:
        return self.escaped(text)

    def inline(self, formula: str) -> str:
        return f"${unmarked(formula)}$"

    def reference(self, numbers: tuple[int, ...]) -> str:
        parts = []
        for run in cited(numbers):
            first, last = self.numbered(run[0]), self.numbered(run[-1])
            between = self.plain(self.catalogue["form.range"])
            parts.append(first if len(run) == 1 else between.format(first=first, last=last))
        return ", ".join(parts)

    @abstractmethod
    def numbered(self, number: int) -> str:
        """The number of a formula, as a link."""

    def names(self, names: Sequence[str]) -> str:
        return ", ".join(f"${n}$" for n in names)

    def shape(self, extents: Sequence[str]) -> str:
        product = r" \times ".join(extents)
        return rf"$\mathbb{{R}}^{{{product}}}$" if product not in ("", "1") else r"$\mathbb{R}$"
