"""What a template of a form sees: a document in which everything is text of that form already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from symcell.derivation.forms.snippets import CodeView


@dataclass(frozen=True)
class ParagraphView:
    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class LinesView:
    """A block that has been laid out line by line, for a terminal."""

    kind: ClassVar[str] = "lines"
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A line of a formula: what stands after an equals sign (``begins``), or what goes on from the line above.

    A first line of nothing leaves the left side alone on it.
    """

    text: str
    begins: bool


@dataclass(frozen=True)
class Row:
    """One formula: its left side, then line by line what it is equal to; ``note`` stands beside it, ``above`` over
    it; ``align``: how wide the left sides of a display are, where the form has to know."""

    number: int
    left: str
    lines: tuple[Line, ...]
    note: str
    above: str
    align: float = 0.0


@dataclass(frozen=True)
class HtmlRow(Row):
    """``codes``: the emitted lines that compute the formula, one for each target."""

    codes: tuple[CodeView, ...] = ()


@dataclass(frozen=True)
class DisplayView:
    kind: ClassVar[str] = "display"
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class SymbolView:
    members: str
    shape: str
    meaning: str

    @property
    def cells(self) -> tuple[str, str, str]:
        return self.members, self.shape, self.meaning


@dataclass(frozen=True)
class SymbolsView:
    kind: ClassVar[str] = "symbols"
    head: tuple[str, str, str]
    rows: tuple[SymbolView, ...]


@dataclass(frozen=True)
class FigureView:
    """``drawing``: the picture in the form's own language; ``label``: ``Figure 1``."""

    kind: ClassVar[str] = "figure"
    label: str
    drawing: str
    caption: str


@dataclass(frozen=True)
class LineView:
    """A line of an algorithm, ``depth`` loops deep; ``loop``: it is the head of one."""

    depth: int
    text: str
    loop: bool


@dataclass(frozen=True)
class AlgorithmView:
    kind: ClassVar[str] = "algorithm"
    label: str
    title: str
    lines: tuple[LineView, ...]


@dataclass(frozen=True)
class TableView:
    """``widths``: of the columns, as parts of a line, where the form has to know."""

    kind: ClassVar[str] = "table"
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...] = ()


BlockView: TypeAlias = (
    LinesView | ParagraphView | DisplayView | SymbolsView | FigureView | AlgorithmView | TableView
)


@dataclass(frozen=True)
class GroupView:
    heading: str
    blocks: tuple[BlockView, ...]


@dataclass(frozen=True)
class SectionView:
    number: int
    key: str
    title: str
    groups: tuple[GroupView, ...]


@dataclass(frozen=True)
class PageView:
    """``name``: the cell's, in letters that a label may have; ``language``: ``en`` or ``ko``."""

    title: str
    subtitle: str
    name: str
    language: str
    sections: tuple[SectionView, ...]


@dataclass(frozen=True)
class LatexView(PageView):
    """``head``: what stands at the top of each page; ``bookmark``: the title in letters that any PDF may have;
    ``packages``: those that the document needs."""

    head: str
    bookmark: str
    fragment: bool
    packages: tuple[str, ...]


@dataclass(frozen=True)
class HtmlView(PageView):
    """``whole``: a page of its own; ``words``: what it says beside the document; ``definitions``: by the key that
    symbols carry; ``listings``: kernels by target."""

    whole: bool
    style: str
    script: str
    words: Mapping[str, str]
    definitions: tuple[tuple[str, str], ...]
    listings: tuple[CodeView, ...]
    targets: tuple[tuple[str, str], ...]
