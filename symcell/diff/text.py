"""A difference in a terminal: lines with a sign in front, as wide as there is room."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import sympy

from symcell.derivation.breaking import broken
from symcell.derivation.escape import one_line
from symcell.derivation.text import width as width_of
from symcell.diff.model import Both, Costs, Difference, Fact, Formulas, Shown, Stage, Stages
from symcell.program.report import BATCH, NOMINAL, STEPS, formula

_V = TypeVar("_V")
Style = Literal["", "head", "added", "removed", "changed", "soft"]
WIDTH, NARROWEST = 80, 40
SIGNS: dict[str, Style] = {"-": "removed", "+": "added", "~": "changed"}

VERDICTS = {
    "equal": "the same equations",
    "renamed": "the same cell, names aside",
    "rewritten": "the same function, written in other equations",
    "different": "different",
}
"""What a verdict says."""


@dataclass(frozen=True)
class Line:
    """``style``: what it says, for whoever colours it."""

    text: str
    style: Style = ""


def text(difference: Difference, width: int = WIDTH) -> str:
    """All of it as plain text."""
    return "\n".join(line.text for line in lines(difference, width))


def lines(difference: Difference, width: int = WIDTH) -> Iterator[Line]:
    """All of it, no line wider than ``width`` (of 40 at least) but where a formula has no place to be broken at."""
    width = max(width, NARROWEST)
    yield from _heading(difference, width)
    yield from _formulas(difference.equations, width)
    for group in facts_together(difference.facts):
        yield from group.lines(width)
    for formulas in difference.gradients:
        yield from _formulas(formulas, width)
    yield from _costs(difference, width)
    for stages, targets in merged(difference.stages):
        yield from _stages(stages, targets, width)
    yield from _notes(difference.notes, width)


def _heading(difference: Difference, width: int) -> Iterator[Line]:
    old, new = difference.old.name, difference.new.name
    yield from _wrapped(f"{old} → {new}: {VERDICTS[difference.verdict]}", width, style="head")
    if difference.reason:
        yield from _wrapped(difference.reason, width, indent=2)
    if difference.names:
        yield from _wrapped(renaming(difference), width, indent=2)


def renaming(difference: Difference) -> str:
    """What is called otherwise; empty where nothing is."""
    told = ", ".join(f"{there} is {name}" for name, there in difference.names.items())
    return f"{told}; what follows is in the names of {difference.old.name}" if told else ""


def count(changes: Sequence[Both[_V]], unchanged: int) -> str:
    """``2 changed, 1 added, 5 unchanged``."""
    kinds = [b.kind for b in changes]
    numbers = {kind: kinds.count(kind) for kind in ("changed", "added", "removed")} | {"unchanged": unchanged}
    return ", ".join(f"{number} {kind}" for kind, number in numbers.items() if number) or "none"


def _formulas(formulas: Formulas, width: int) -> Iterator[Line]:
    if not formulas.changes:
        return
    yield Line("")
    yield from _wrapped(f"{formulas.title}: {count(formulas.changes, formulas.unchanged)}", width, style="head")
    for both in formulas.changes:
        for sign, shown in both.sides():
            yield from (Line(line, SIGNS[sign]) for line in _formula(sign, shown, width))


def _formula(sign: str, shown: Shown, width: int) -> Iterator[str]:
    number = "" if shown.number is None else f"({shown.number}) "
    start = f"{sign} {number}{shown.left} = "
    indent = min(width_of(start), width // 3)
    first, *rest = broken(shown.text, max(width - width_of(start), NARROWEST // 2), width_of)
    *most, last = [start + first, *(" " * indent + line for line in rest)]
    yield from most
    when = f"   for {shown.condition}" if shown.condition else ""
    if width_of(last + when) <= width:
        yield last + when
    else:
        yield from (last, when.rjust(width))


# facts


@dataclass(frozen=True)
class Facts:
    """Facts of one kind and of one text: ``W_r, W_z: H×D``."""

    what: str
    names: tuple[str, ...]
    texts: Both[str]

    @property
    def head(self) -> str:
        many = "s" if len(self.names) > 1 else ""
        return f"{self.what}{many} {', '.join(self.names)}".rstrip()

    def lines(self, width: int) -> Iterator[Line]:
        yield Line("")
        yield from _wrapped(f"{self.head}: {self.texts.kind}", width, style="head")
        yield from _sides(self.texts, width)


def facts_together(facts: Iterable[Fact]) -> list[Facts]:
    """Facts of one text together."""
    groups: dict[tuple[str, Both[str]], list[str]] = {}
    for fact in facts:
        groups.setdefault((fact.what, fact.texts), []).append(fact.name)
    return [Facts(what, tuple(names), texts) for (what, texts), names in groups.items()]


def _sides(texts: Both[str], width: int) -> Iterator[Line]:
    for sign, said in texts.sides():
        yield from _wrapped(f"{sign} {one_line(said)}", width, style=SIGNS[sign], hang=2)


def _notes(notes: Sequence[Fact], width: int) -> Iterator[Line]:
    if notes:
        yield from (Line(""), *_wrapped("text that nothing is computed from", width, style="head"))
    for note in notes:
        head = f"{note.what} {note.name}".rstrip()
        both = " → ".join(one_line(text) or "none" for text in (note.texts.old or "", note.texts.new or ""))
        yield from _wrapped(f"~ {head}: {both}", width, style="changed", hang=4)


# costs


def _costs(difference: Difference, width: int) -> Iterator[Line]:
    if not difference.costs:
        return
    changed = [c for c in difference.costs if c.changed]
    head = cost_head(difference) if changed else "unchanged"
    yield from (Line(""), *_wrapped(f"cost: {head}", width, style="head"))
    for cost in changed:
        yield from _cost(cost, width)
    same: dict[str, list[str]] = {}
    for cost in difference.costs if changed else ():
        if not cost.changed:
            same.setdefault(cost.what, []).extend(cost.targets)
    if same:
        told = ", ".join(what + (f" ({', '.join(targets)})" if targets else "") for what, targets in same.items())
        yield from _wrapped(f"unchanged: {told}", width, indent=2)


def cost_head(difference: Difference) -> str:
    """For what the numbers are."""
    sizes = " = ".join(dict.fromkeys((*difference.old.sizes, *difference.new.sizes)))
    at = f" at {sizes} = {NOMINAL}" if sizes else ""
    return f"of one step and sample{at}; peak memory at T = {STEPS}, B = {BATCH}"


def title(cost: Costs) -> str:
    """What is counted, and of which targets."""
    return cost.what + (f" ({', '.join(cost.targets)})" if cost.targets else "")


def _cost(cost: Costs, width: int) -> Iterator[Line]:
    yield from _wrapped(f"~ {title(cost)}: {numbers(cost)}", width, style="changed", hang=4)
    formulas = [formula(a) for a in (cost.amounts.old, cost.amounts.new) if a is not None]
    if any(a is not None and a.free_symbols for a in (cost.amounts.old, cost.amounts.new)):
        yield from _wrapped(" → ".join(formulas), width, indent=4)


def numbers(cost: Costs) -> str:
    """``525,312 → 394,240 (-25.0 %)``."""
    texts = ["none" if a is None else f"{n:,}" for a, n in zip(_sides_of(cost), cost.numbers(), strict=True)]
    old, new = cost.numbers()
    return " → ".join(dict.fromkeys(texts)) + (f" ({(new - old) / old:+.1%})" if old and new and old != new else "")


def _sides_of(cost: Costs) -> tuple[sympy.Expr | None, sympy.Expr | None]:
    return cost.amounts.old, cost.amounts.new


# stages


def merged(several: Iterable[Stages]) -> list[tuple[Stages, tuple[str, ...]]]:
    """Targets whose stages change alike together."""
    groups: list[tuple[Stages, tuple[str, ...]]] = []
    for stages in several:
        like = next((k for k, (s, _) in enumerate(groups) if s.alike(stages)), None)
        if like is None:
            groups.append((stages, (stages.target,)))
        else:
            groups[like] = groups[like][0], (*groups[like][1], stages.target)
    return groups


def _stages(stages: Stages, targets: tuple[str, ...], width: int) -> Iterator[Line]:
    head = f"stages of {', '.join(targets)}: {count(stages.changes, stages.unchanged)}"
    yield from (Line(""), *_wrapped(head, width, style="head"))
    for both in stages.changes:
        if both.old is None or both.new is None:
            for sign, stage in both.sides():
                yield from _wrapped(f"{sign} {named(stage)}", width, style=SIGNS[sign], hang=4)
        else:
            yield from _wrapped(f"~ {named(both.old)}", width, style="changed", hang=4)
            for said in changes(both.old, both.new):
                yield from _wrapped(said, width, indent=4, hang=6)


def named(stage: Stage) -> str:
    """Where a stage runs, what it is, and the values that it computes."""
    return f"{stage.sweep}, {stage.where}, {stage.kind}: {', '.join(stage.made)}"


def changes(old: Stage, new: Stage) -> list[str]:
    """What else a stage does now, and what no longer."""
    again = [name for name, made in new.made.items() if old.made.get(name, made) != made]
    groups = {
        "computed here now": [n for n in new.made if n not in old.made],
        "no longer computed here": [n for n in old.made if n not in new.made],
        "computed otherwise": again,
    }
    said = [f"{what}: {', '.join(names)}" for what, names in groups.items() if names]
    if (old.where, old.sweep) != (new.where, new.sweep):
        said.append(f"runs {new.where}, in {new.sweep}")
    return said or ["its values in another order"]


# lines


def _wrapped(said: str, width: int, *, style: Style = "", indent: int = 0, hang: int = 2) -> Iterator[Line]:
    start, more = " " * indent, " " * (indent + hang)
    for line in textwrap.wrap(said, width, initial_indent=start, subsequent_indent=more, break_on_hyphens=False):
        yield Line(line, style)
