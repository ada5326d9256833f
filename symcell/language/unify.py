"""Sizes that are not known yet: sums of unknown lengths, names and numbers, and how two are made equal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto

from symcell.cell import Size

NOTHING = Size()


@dataclass(frozen=True, slots=True)
class Length:
    """A sum of unknown lengths (by number) and a known size. All lengths are positive."""

    unknown: tuple[int, ...] = ()
    known: Size = NOTHING

    def __add__(self, other: Length) -> Length:
        known = self.known if not other.known.terms else other.known + self.known if self.known.terms else other.known
        return Length(tuple(sorted(self.unknown + other.unknown)), known)

    def __str__(self) -> str:
        parts = [] if self.unknown and self.known == NOTHING else [str(self.known)]
        return "+".join(parts + ["?"] * len(self.unknown))


class Outcome(Enum):
    """What became of an attempt to make two lengths equal; OPEN: more has to be known first."""

    EQUAL = auto()
    CONFLICT = auto()
    OPEN = auto()


class Lengths:
    """The unknown lengths of one cell and what is known of them."""

    def __init__(self) -> None:
        self._values: list[Length | None] = []

    def new(self) -> Length:
        self._values.append(None)
        return Length((len(self._values) - 1,))

    def resolve(self, length: Length) -> Length:
        """The length with everything put in that is known by now."""
        if all(self._values[k] is None for k in length.unknown):
            return length
        total = Length((), length.known)
        for k in length.unknown:
            total = total + self._value(k)
        return total

    def _value(self, k: int) -> Length:
        value = self._values[k]
        chain = []
        while value is not None and len(value.unknown) == 1 and value.known == NOTHING:
            chain.append(k)
            k = value.unknown[0]
            value = self._values[k]
        result = Length((k,)) if value is None else self.resolve(value)
        for link in chain:
            self._values[link] = result
        if value is not None:
            self._values[k] = result
        return result

    def unify(self, one: Length, other: Length) -> Outcome:
        """Makes two lengths equal by fixing an unknown one, if that can be done in only one way."""
        left, right = _cancel(self.resolve(one), self.resolve(other))
        nothing = Length()
        if left == right:
            return Outcome.EQUAL
        if nothing in (left, right):
            return Outcome.CONFLICT
        for alone, rest in ((right, left), (left, right)):
            if len(alone.unknown) == 1 and alone.known == NOTHING:
                self._values[alone.unknown[0]] = rest
                return Outcome.EQUAL
        return Outcome.OPEN if left.unknown or right.unknown else Outcome.CONFLICT


def _cancel(left: Length, right: Length) -> tuple[Length, Length]:
    """Both sides without what they have in common."""
    unknown = Counter(left.unknown) & Counter(right.unknown)
    theirs = dict(right.known.terms)
    common = Size(tuple((names, min(k, theirs[names])) for names, k in left.known.terms if names in theirs))

    def rest(side: Length) -> Length:
        numbers = Counter(side.unknown) - unknown
        shared = dict(common.terms)
        kept = ((names, k - shared.get(names, 0)) for names, k in side.known.terms)
        return Length(tuple(sorted(numbers.elements())), Size(tuple(term for term in kept if term[1])))

    return rest(left), rest(right)
