"""A comparison as a page: one HTML file, a column for each cell where there is room; and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from symcell.compare.model import Comparison, Equation, GateUse, Path, Profile, Shown
from symcell.compare.text import TIED, footnote, parameters_in_proportion, path_text, rows
from symcell.derivation.escape import markdown_text
from symcell.pages import Mathematics, page_style, scoped_style, sides_style, text
from symcell.templating import environment


@dataclass(frozen=True)
class Column:
    """One cell; all of it is HTML."""

    name: str
    title: str
    equations: tuple[str, ...]
    gates: tuple[str, ...]
    paths: tuple[tuple[str, str], ...]
    """The kind of each way, and what it is."""


@dataclass(frozen=True)
class View:
    """What ``compare.html.j2`` reads."""

    title: str
    style: str
    whole: bool
    proportion: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    footnote: str
    notes: tuple[str, ...]


def page(comparison: Comparison) -> str:
    """A page of its own."""
    return _rendered(comparison, whole=True)


def fragment(comparison: Comparison) -> str:
    """What stands inside another page, its styles kept to itself."""
    return _rendered(comparison, whole=False)


def _rendered(comparison: Comparison, *, whole: bool) -> str:
    profiles, mathematics = comparison.profiles, Mathematics()
    view = View(
        title=text(" · ".join(p.cell.name for p in profiles)),
        style=(page_style() if whole else scoped_style()) + "\n" + sides_style(),
        whole=whole,
        proportion=text(parameters_in_proportion(comparison)) if len(profiles) > 1 else "",
        columns=tuple(_column(profile, mathematics) for profile in profiles),
        rows=tuple((text(what), tuple(map(text, cells))) for what, cells in rows(comparison)),
        footnote=text(footnote(comparison)),
        notes=tuple(map(text, comparison.notes)),
    )
    values = {f.name: getattr(view, f.name) for f in fields(view)}
    return environment("pages").get_template("pages/compare.html.j2").render(values)


def _column(profile: Profile, mathematics: Mathematics) -> Column:
    def math(shown: Shown) -> str:
        return mathematics.inline(shown.tex)

    def equation(e: Equation) -> str:
        return mathematics.inline(f"{e.left.tex} = {e.right.tex}", display=True)

    def gate(g: GateUse) -> str:
        return f"{math(g.factor)} multiplies {math(g.gated)}, in {text(g.signal)}"

    def path(p: Path) -> str:
        ends = f"{math(p.target)} ← {math(p.source)}"
        return f"{ends}: {math(p.factor) if p.factor is not None else text(path_text(p))}"

    return Column(
        text(profile.cell.name),
        text(profile.cell.title),
        tuple(map(equation, profile.equations)),
        tuple(map(gate, profile.gates)),
        tuple((p.kind, path(p)) for p in profile.paths),
    )


# Markdown


def markdown(comparison: Comparison) -> str:
    """Equations and ways as mathematics, the rest as a table."""
    return "\n".join(_markdown(comparison)) + "\n"


def _markdown(comparison: Comparison) -> Iterator[str]:
    profiles = comparison.profiles
    yield f"# {markdown_text(' · '.join(p.cell.name for p in profiles))}"
    for profile in profiles:
        yield from ("", f"## {markdown_text(profile.cell.name)}", "", markdown_text(profile.cell.title), "")
        yield from (f"- {_dollars(f'{e.left.tex} = {e.right.tex}')}" for e in profile.equations)
        yield ""
        for p in profile.paths:
            what = _dollars(p.factor.tex) if p.factor is not None else markdown_text(path_text(p))
            ends = _dollars(rf"{p.target.tex} \leftarrow {p.source.tex}")
            yield f"- {ends}: {p.kind}, {what}"
    yield from ("", "## Side by side", "")
    yield f"| | {' | '.join(markdown_text(p.cell.name) for p in profiles)} |"
    yield "|---" * (len(profiles) + 1) + "|"
    for what, cells in rows(comparison):
        yield f"| {what} | {' | '.join(markdown_text(cell.replace(TIED, ' ')) for cell in cells)} |"
    yield from ("", markdown_text(footnote(comparison)))


def _dollars(tex: str) -> str:
    """As GitHub and Jupyter read mathematics within a line, whatever Markdown would make of its signs."""
    return f"$`{tex}`$"
