"""Formulas of two cells side by side, by their left sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import TypeVar

from sympy import Expr

from symcell.cell import Cell
from symcell.derivation import Derivation
from symcell.derivation.model import Formula
from symcell.derivation.nodes import Delta, Gradient, GradientOf, Partial, When
from symcell.derivation.tex import TexPrinter
from symcell.derivation.text import TextPrinter
from symcell.diff.model import Both, Formulas, Shown
from symcell.diff.pairing import kinds
from symcell.symbolic.nodes import At

_V = TypeVar("_V")

TITLES = {
    "forward": "intermediate values and initial states",
    "recursion": "error signals δ",
    "parameters": "parameter gradients",
    "jacobian": "one-step Jacobian",
}
"""The sections of a derivation that are about the cell in hand, and what their formulas are."""


def equations(old: Cell, new: Cell) -> Formulas:
    """The cells' own equations."""
    return matched("equations", *([_equation(e.lhs, e.rhs) for e in cell.equations] for cell in (old, new)))


def gradients(old: tuple[Cell, Derivation], new: tuple[Cell, Derivation]) -> tuple[Formulas, ...]:
    """What has been derived of them."""
    sample = _sample(old, new)
    sides = [_by_section(*side, sample) for side in (old, new)]
    return tuple(matched(title, *(side.get(key, []) for side in sides)) for key, title in TITLES.items())


def paired(
    old: Sequence[_V], new: Sequence[_V], key: Callable[[_V], object], text: Callable[[_V], str]
) -> list[Both[_V]]:
    """What two sequences have of one key, in their order, gone over what is equal first; equal pairs are among them."""
    keys = list(dict.fromkeys(map(key, (*old, *new))))
    groups: dict[object, tuple[list[_V], list[_V]]] = {k: ([], []) for k in keys}
    for side, several in enumerate((old, new)):
        for one in several:
            groups[key(one)][side].append(one)
    return [both for left, right in groups.values() for both in _aligned(left, right, text)]


def _aligned(old: list[_V], new: list[_V], text: Callable[[_V], str]) -> Iterable[Both[_V]]:
    matcher = SequenceMatcher(None, [text(v) for v in old], [text(v) for v in new], autojunk=False)
    for _, i, end, j, last in matcher.get_opcodes():
        count = max(end - i, last - j)
        mine: list[_V | None] = [*old[i:end], *[None] * count][:count]
        theirs: list[_V | None] = [*new[j:last], *[None] * count][:count]
        yield from (Both(a, b) for a, b in zip(mine, theirs, strict=True))


def matched(title: str, old: Sequence[Shown], new: Sequence[Shown]) -> Formulas:
    """Formulas by what stands on their left."""
    both = paired(old, new, lambda f: (f.left, f.condition), lambda f: f.text)
    changed = tuple(b for b in both if b.old is None or b.new is None or b.old.text != b.new.text)
    return Formulas(title, changed, len(both) - len(changed))


def _equation(left: Expr, right: Expr) -> Shown:
    text, tex = TextPrinter({}), TexPrinter({}, native=True)
    return Shown(text.plain(left), text.print(right), f"{tex.plain(left)} = {tex.plain(right)}")


def _sample(*sides: tuple[Cell, Derivation]) -> str:
    """One letter for the samples of both: two would be a difference."""
    heads = {name.split("_")[0] for cell, _ in sides for name in kinds(cell)}
    return next((d.sample for _, d in sides if d.sample not in heads), "sample")


def _by_section(cell: Cell, derivation: Derivation, sample: str) -> dict[str, list[Shown]]:
    """Derived formulas about the cell; its own equations are none of them."""
    text, tex = TextPrinter(derivation.names, sample), TexPrinter(derivation.names, native=True, sample=sample)
    own = {equation.lhs for equation in cell.equations}
    found: dict[str, list[Shown]] = {}
    for section in derivation.sections:
        for formula in section.formulas:
            if formula.left not in own and _is_about(cell, section.key, formula.left):
                found.setdefault(section.key, []).append(_formula(formula, text, tex))
    return found


def _is_about(cell: Cell, section: str, left: Expr) -> bool:
    """Whether a formula is about a value of the cell: not about any v, or θ, or what a function is."""
    value = left.args[0] if isinstance(left, When) else left
    match section:
        case "forward":
            return isinstance(value, At)
        case "recursion":
            return isinstance(value, Delta)
        case "parameters":
            return isinstance(value, GradientOf) or (isinstance(value, Gradient) and value.value in cell.parameters)
        case "jacobian":
            return isinstance(value, Partial) and not value.has(When)
    return False


def _formula(formula: Formula, text: TextPrinter, tex: TexPrinter) -> Shown:
    when = formula.condition
    texts = [text.print(e) for e in (*formula.via, formula.right)]
    texs = [tex.plain(e) for e in (formula.left, *formula.via, formula.right)]
    return Shown(
        text.plain(formula.left), " = ".join(texts), " = ".join(texs), formula.number,
        *((text.condition(when.end, when.depth), tex.condition(when.end, when.depth)) if when else ()),
    )  # fmt: skip
