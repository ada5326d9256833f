"""Which names of one cell stand for which of another, so that both are the same equations in normal form.

What colours tell apart is matched at once; where several names have one colour (parts of a cell that are alike), one is
tried after the other, at most :data:`TRIES` times. A match is accepted only when the forms are equal under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from symcell.cell import Cell
from symcell.equivalence.biases import sums
from symcell.equivalence.colours import Colours, Labels, Name, Painter, counted
from symcell.equivalence.forms import Forms, forms

TRIES = 500
"""How often colours are refined before a pair of cells is given up."""

LONGEST = 160
"""Of an equation that is shown, in characters."""


@dataclass(frozen=True)
class Difference:
    """Why two cells are not known to be the same function: the first thing that was found."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Match:
    """``names``: of each name of one cell, by what it is, that of the other; ``sums``: the parameters of each cell that
    count by their sum, by the first of each group, which stands in ``names``."""

    names: Mapping[Name, Name]
    sums: tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]


class Side:
    """One cell, ready to be compared; ``without``: parameters that are zero."""

    def __init__(self, given: Forms, without: frozenset[str] = frozenset()) -> None:
        self.cell = given.cell
        self.sums = sums(given)
        self.hidden = without | {name for group in self.sums.values() for name in group[1:]}
        self.forms = forms(self.cell, self.hidden) if self.hidden else given


def side(cell: Cell, without: frozenset[str] = frozenset()) -> Side:
    """A cell, ready to be compared. Raises CellError where it has no graph."""
    return Side(forms(cell, without), without)


def match(one: Side, other: Side) -> Match | Difference:
    """How the names of one cell stand for those of the other."""
    return _Search(one, other).run()


class _Search:
    def __init__(self, one: Side, other: Side) -> None:
        self.sides = (one, other)
        self.label = Labels()
        self.painters = tuple(Painter(s.forms, self.label, s.hidden) for s in self.sides)
        self.tries = 0
        self.difference: Difference | None = None

    def run(self) -> Match | Difference:
        first, second = (p.first() for p in self.painters)
        found = self.matched(first, second)
        if found is None:
            return self.difference or Difference("the equations differ")
        return Match(found, (self.sides[0].sums, self.sides[1].sums))

    def matched(self, one: Colours, other: Colours) -> dict[Name, Name] | None:
        refined = self.refined(one, other)
        if refined is None:
            return None
        one, other = refined
        classes: dict[int, tuple[list[Name], list[Name]]] = {}
        for k, colours in enumerate((one, other)):
            for name, colour in colours.items():
                classes.setdefault(colour, ([], []))[k].append(name)
        open_ones = sorted((len(left), left, right) for left, right in classes.values() if len(left) > 1)
        if not open_ones:
            return self.proved(one, other, {left[0]: right[0] for left, right in classes.values()})
        _, (chosen, *_), candidates = open_ones[0]
        for candidate in candidates:
            mark = self.label("chosen", self.tries, one[chosen])
            found = self.matched({**one, chosen: mark}, {**other, candidate: mark})
            if found is not None or self.tries > TRIES:
                return found
        return None

    def refined(self, one: Colours, other: Colours) -> tuple[Colours, Colours] | None:
        """Colours until they tell no more apart; None where the cells differ, or where it has taken too long."""
        if counted(one) != counted(other):
            self.differ(_numbers(one, other, *(s.cell for s in self.sides)))
            return None
        while self.tries < TRIES:
            self.tries += 1
            finer = [p.refined(c) for p, c in zip(self.painters, (one, other), strict=True)]
            first, second = (p.output(c) for p, c in zip(self.painters, (one, other), strict=True))
            if first != second or counted(finer[0]) != counted(finer[1]):
                self.differ(self.reason(one, other))
                return None
            if len(set(finer[0].values())) == len(set(one.values())):
                return finer[0], finer[1]
            one, other = finer
        self.difference = Difference(f"too many of their names are alike: given up after {TRIES} tries")
        return None

    def proved(self, one: Colours, other: Colours, names: dict[Name, Name]) -> dict[Name, Name] | None:
        """The match, if all that counts is made of the same under it."""
        first, second = self.painters
        up, there = first.made_of(one), second.made_of(other)
        roots, others = first.forms.roots(), second.forms.roots()
        for (what, name), number in roots.items():
            counterpart = (what, names["state", name][1] if name else "")
            if counterpart not in others or up[number] != there[others[counterpart]]:
                return None
        return names

    # what differs

    def differ(self, reason: str) -> None:
        """Keep the first reason."""
        self.difference = self.difference or Difference(reason)

    def reason(self, one: Colours, other: Colours) -> str:
        """What differs where names are told apart this far: an equation of a state, the output, or where a name is
        read."""
        made = [p.made_of(c) for p, c in zip(self.painters, (one, other), strict=True)]
        states = [
            {("state", n): self.label(c["state", n], up[k]) for n, k in s.forms.states.items()}
            for s, c, up in zip(self.sides, (one, other), made, strict=True)
        ]
        finer = [p.refined(c) for p, c in zip(self.painters, (one, other), strict=True)]
        if counted(states[0]) != counted(states[1]):
            return self.lacking(*states)
        if made[0][self.sides[0].forms.output] == made[1][self.sides[1].forms.output]:
            return self.lacking(*finer)
        texts = (f"{_written(s.cell, s.cell.output)} ({s.cell.name})" for s in self.sides)
        return f"the outputs are computed differently: {' and '.join(texts)}"

    def lacking(self, one: Colours, other: Colours) -> str:
        """The first name that has no counterpart, among states by the order in which they are computed."""
        for colours, others, here, there in ((one, other, *self.sides), (other, one, *self.sides[::-1])):
            extra = counted(colours) - counted(others)
            names = [name for name, colour in colours.items() if colour in extra]
            if names:
                made, last = here.forms.states, len(here.forms.nodes)
                kind, name = min(names, key=lambda n: made.get(n[1], last))
                equation = f": {_written(here.cell, name)}" if kind == "state" else ""
                return f"the {kind} {name} of {here.cell.name} has no counterpart in {there.cell.name}{equation}"
        return "their names are used differently"


def _numbers(one: Colours, other: Colours, here: Cell, there: Cell) -> str:
    """What the cells have a different number of, by what can be seen of the names alone."""
    for kind in ("input", "state", "array", "parameter", "size"):
        mine, theirs = ([n for k, n in colours if k == kind] for colours in (one, other))
        if len(mine) != len(theirs):
            texts = [f"{len(n)} {kind}{'' if len(n) == 1 else 's'} ({', '.join(n)})" for n in (mine, theirs)]
            return f"{here.name} has {texts[0]}, {there.name} has {texts[1]}"
    extra = counted(one) - counted(other)
    kind, name = next(name for name, colour in one.items() if colour in extra)
    return f"the {kind} {name} of {here.name} has no counterpart in {there.name}: its axes, lags or start differ"


def _written(cell: Cell, signal: str) -> str:
    equation = cell.equation(signal)
    text = f"{equation.lhs} = {equation.rhs}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
