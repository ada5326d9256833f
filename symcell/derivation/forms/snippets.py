"""Lines of emitted code as HTML: beside each formula, and all together, with links both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from symcell.derivation.kernels import Kernel, Listing, cited, stretches
from symcell.pages import text

_NUMBER = re.compile(r"\((\d+)\)$")
MOST = 8
"""Kernels beside one formula."""
LINES = 10
"""Lines of each."""
BETWEEN = 3
"""So few lines between two kernels are shown with them."""
TARGETS: Mapping[str, str] = {"numpy": "NumPy", "c": "C", "cupy": "CUDA"}


@dataclass(frozen=True)
class CodeLine:
    """``anchor``: where a link leads; empty beside a formula, whose lines lead there."""

    number: int
    code: str
    anchor: str


@dataclass(frozen=True)
class CodeView:
    """``parts``: stretches of lines with others left out between them; ``href``: where the lines stand in the whole."""

    target: str
    title: str
    parts: tuple[tuple[CodeLine, ...], ...]
    href: str


class Snippets:
    """``name``: of the document, in letters that an anchor may have."""

    def __init__(self, listings: Sequence[Listing], name: str) -> None:
        self.shown, self.name = [listing for listing in listings if listing.kernels], name
        self.targets = tuple((listing.target, _title(listing.target)) for listing in self.shown)

    def of(self, number: int) -> tuple[CodeView, ...]:
        """What computes a formula, in each target that does."""
        return tuple(
            CodeView(listing.target, _title(listing.target), tuple(self.beside(listing, kernels[:MOST], number)),
                     self.anchor(listing.target, listing.said(kernels[0], number)))
            for listing in self.shown
            if (kernels := listing.by_number.get(number, ()))
        )  # fmt: skip

    def beside(self, listing: Listing, kernels: Sequence[Kernel], number: int) -> Iterator[tuple[CodeLine, ...]]:
        """The lines of some kernels, of the comments those that say this formula; neighbours stand together."""
        last = 0
        shown: list[CodeLine] = []
        for kernel in kernels:
            lines = _dedented(listing.lines[kernel.first - 1 : kernel.last])
            told = [(k, line) for k, line in enumerate(lines, kernel.first) if cited(line) in (None, number)]
            if shown and kernel.first > last + 1:
                yield tuple(shown)
                shown = []
            shown += [CodeLine(k, self.code(line, number), "") for k, line in told[:LINES]]
            last = kernel.last
        yield tuple(shown)

    def listings(self) -> tuple[CodeView, ...]:
        """All kernels of all targets."""
        return tuple(CodeView(listing.target, _title(listing.target), tuple(self.parts(listing)), "")
                     for listing in self.shown)  # fmt: skip

    def parts(self, listing: Listing) -> Iterator[tuple[CodeLine, ...]]:
        """The stretches of lines that hold kernels, each as far to the left as it goes."""
        for first, last in stretches(listing.kernels, BETWEEN):
            lines = enumerate(_dedented(listing.lines[first - 1 : last]), first)
            yield tuple(CodeLine(k, self.code(line), self.anchor(listing.target, k)) for k, line in lines)

    def anchor(self, target: str, line: int) -> str:
        return f"code-{self.name}-{target}-{line}"

    def code(self, line: str, own: int | None = None) -> str:
        """A line with the number that it cites as a link; ``own``: beside this formula, which is no place to go to."""
        number = cited(line)
        if number is None:
            return text(line)
        shown = f"({number})"
        link = shown if number == own else f'<a href="#eq-{self.name}-{number}">{shown}</a>'
        return f"<i>{text(_NUMBER.sub('', line))}{link}</i>"


def _title(target: str) -> str:
    return TARGETS.get(target, target)


def _dedented(lines: Sequence[str]) -> list[str]:
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[indent:] for line in lines]
