"""A derivation in text, LaTeX and Markdown: what each template may see, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from symcell.derivation import escape, text
from symcell.derivation.breaking import broken
from symcell.derivation.model import Document, Formula, ShapeLine
from symcell.derivation.nodes import Columns
from symcell.derivation.tex import TexPrinter, measure
from symcell.derivation.text import TextPrinter
from symcell.templating import environment

Format = Literal["text", "latex", "markdown"]
_TEXT_WIDTH = 112
_TEX_WIDTH = 86.0
_NOTE_WIDTH = 30.0


@dataclass(frozen=True)
class Row:
    """One formula: ``left = lines[0]``, further lines below; ``note`` stands beside it, ``above`` over it."""

    number: int
    left: str
    lines: tuple[str, ...]
    note: str
    above: str


@dataclass(frozen=True)
class GroupView:
    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class ShapeView:
    members: str
    shape: str


@dataclass(frozen=True)
class View:
    """All that a template sees; every text in it is escaped for the format already."""

    title: str
    rule: str
    name: str
    description: tuple[str, ...]
    output_gradient: str
    output: str
    columns: bool
    shapes: tuple[ShapeView, ...]
    forward: tuple[GroupView, ...]
    local: tuple[GroupView, ...]
    recursion: tuple[GroupView, ...]
    parameters: tuple[GroupView, ...]


def render(document: Document, format: Format) -> str:
    """The document in one format; ValueError for a format that there is none of."""
    if format not in _STYLES:
        raise ValueError(f"format is one of {', '.join(_STYLES)}, not {format!r}")
    view = _view(document, _STYLES[format](document.names))
    values = {f.name: getattr(view, f.name) for f in fields(view)}
    return environment("derivation").get_template(f"derivation/{format}.j2").render(values).rstrip("\n") + "\n"


class _Style:
    """What differs between formats: the printer, how text is escaped, how rows are laid out."""

    def __init__(self, printer: TextPrinter | TexPrinter, escaped: Callable[[str], str]) -> None:
        self.printer, self.escaped = printer, escaped

    def rows(self, formulas: Sequence[Formula]) -> tuple[Row, ...]:
        raise NotImplementedError

    def shape(self, line: ShapeLine) -> ShapeView:
        raise NotImplementedError

    def extents(self, line: ShapeLine) -> list[str]:
        sizes = [self.printer.size(s) for s in line.shape]
        return [f"({s})" if "+" in s and len(sizes) > 1 else s for s in sizes]

    def condition(self, formula: Formula) -> str:
        condition = formula.condition
        return "" if condition is None else self.printer.condition(condition.end, condition.depth)


class _Text(_Style):
    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(TextPrinter(names), escape.one_line)

    def rows(self, formulas: Sequence[Formula]) -> tuple[Row, ...]:
        lefts = [self.printer.plain(f.left) for f in formulas]
        align = max(map(text.width, lefts), default=0)
        room = _TEXT_WIDTH - align - 10
        lines = [broken(self.printer.print(f.right), room, text.width) for f in formulas]
        notes = [", ".join(filter(None, (self.escaped(f.label), self.condition(f), cited(f.cites)))) for f in formulas]
        beside = max((text.width(r[-1]) for r, n in zip(lines, notes, strict=True) if n), default=0)
        rows = []
        for formula, left, right, note in zip(formulas, lefts, lines, notes, strict=True):
            last = right[-1] + " " * (beside - text.width(right[-1]) + 3) + note if note else right[-1]
            padded = " " * (align - text.width(left)) + left
            indent = tuple(" " * (align + 11) + r for r in [*right[1:-1], *([last] if len(right) > 1 else [])])
            first = right[0] if len(right) > 1 else last
            rows.append(Row(formula.number, padded, (first, *indent), "", ""))
        return tuple(rows)

    def shape(self, line: ShapeLine) -> ShapeView:
        names = (self.printer.timed(n, 0) if line.varying else n for n in line.names)
        return ShapeView(", ".join(names), "×".join(self.extents(line)))


class _Tex(_Style):
    def __init__(self, names: Mapping[str, str], native: bool, escaped: Callable[[str], str]) -> None:
        super().__init__(TexPrinter(names, native), escaped)

    def note(self, formula: Formula) -> tuple[str, float]:
        """What stands beside a formula, and its width."""
        condition, numbers = self.condition(formula), cited(formula.cites)
        label = self.escaped(formula.label)
        texts = (f"{label}", f"for ${condition}$" if condition else "", numbers)
        parts = [rf"\text{{{part}}}" for part in texts if part]
        return r",\ ".join(parts), len(escape.one_line(formula.label)) + measure(condition) + len(numbers)

    def shape(self, line: ShapeLine) -> ShapeView:
        names = (self.printer.timed(n, 0) if line.varying else self.printer.name(n) for n in line.names)
        shape = r" \times ".join(self.extents(line))
        return ShapeView(", ".join(f"${n}$" for n in names), rf"$\mathbb{{R}}^{{{shape}}}$")


class _Latex(_Tex):
    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names, False, escape.latex_text)

    def rows(self, formulas: Sequence[Formula]) -> tuple[Row, ...]:
        """Notes that are short stand beside their formulas, in a column of their own; long ones stand above."""
        lefts = [self.printer.plain(f.left) for f in formulas]
        notes = [self.note(f) for f in formulas]
        beside = max((w for _, w in notes if w <= _NOTE_WIDTH), default=0.0)
        room = _TEX_WIDTH - max(map(measure, lefts), default=0.0) - beside
        rows = []
        for formula, left, (note, width) in zip(formulas, lefts, notes, strict=True):
            lines = broken(self.printer.print(formula.right), room, measure)
            short = width <= _NOTE_WIDTH
            above = "" if short else _above(self.escaped(formula.label), self.condition(formula), cited(formula.cites))
            rows.append(Row(formula.number, left, tuple(lines), note if short else "", above))
        return tuple(rows)


def _above(label: str, condition: str, numbers: str) -> str:
    return ", ".join(filter(None, (label, f"for ${condition}$" if condition else "", numbers)))


class _Markdown(_Tex):
    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names, True, escape.markdown_text)

    def rows(self, formulas: Sequence[Formula]) -> tuple[Row, ...]:
        rows = []
        for formula in formulas:
            left = self.printer.plain(formula.left)
            lines = broken(self.printer.print(formula.right), _TEX_WIDTH - measure(left), measure)
            above = _above(self.escaped(formula.label), self.condition(formula), cited(formula.cites))
            rows.append(Row(formula.number, left, tuple(lines), "", above))
        return tuple(rows)


_STYLES: dict[str, Callable[[Mapping[str, str]], _Style]] = {"text": _Text, "latex": _Latex, "markdown": _Markdown}


def cited(numbers: Sequence[int]) -> str:
    """``from (3), (5)-(8)``: three in a row and more become a range."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"({r[0]})-({r[-1]})" if len(r) > 2 else ", ".join(f"({n})" for n in r) for r in runs]
    return f"from {', '.join(parts)}" if parts else ""


def _view(document: Document, style: _Style) -> View:
    def groups(key: str) -> tuple[GroupView, ...]:
        return tuple(GroupView(g.heading, style.rows(g.formulas)) for g in document.section(key).groups)

    title = style.escaped(document.title)
    return View(
        title=title,
        rule="=" * text.width(title),
        name=style.escaped(document.name),
        description=tuple(map(style.escaped, escape.paragraphs(document.description))),
        output_gradient=style.printer.bar(document.output, 0),
        output=style.printer.timed(document.output, 0),
        columns=any(_has_columns(f.right) for f in document.formulas()),
        shapes=tuple(map(style.shape, document.shapes)),
        forward=groups("forward"),
        local=groups("local"),
        recursion=groups("recursion"),
        parameters=groups("parameters"),
    )


def _has_columns(expr: Any) -> bool:
    return bool(expr.has(Columns))


