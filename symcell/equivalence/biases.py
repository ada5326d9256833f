"""Parameters that a cell reads only as their sum: two biases beside each other are one."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from symcell.equivalence.forms import Bracket, Call, Forms, Leaf, Monomial, Product, Reduced, Total, View


class Place(NamedTuple):
    """Where a parameter stands: in which sum, beside which factors, and how it is looked at."""

    total: int
    beside: Monomial
    coefficient: Fraction
    exponent: int
    how: tuple[object, ...]


def sums(forms: Forms) -> dict[str, tuple[str, ...]]:
    """Groups of parameters that occur as one sum everywhere, by the first of each group."""
    places: dict[str, set[Place]] = {}
    for number in reached(forms):
        node = forms.nodes[number]
        for monomial, coefficient in node.terms if isinstance(node, Total) else ():
            for k, (factor, exponent) in enumerate(monomial):
                name, how = _parameter(forms, factor)
                if name:
                    place = Place(number, monomial[:k] + monomial[k + 1 :], coefficient, exponent, how)
                    places.setdefault(name, set()).add(place)
    return {group[0]: group for group in _groups(forms, places) if len(group) > 1}


def _groups(forms: Forms, places: dict[str, set[Place]]) -> Iterator[tuple[str, ...]]:
    parameters = forms.cell.parameters
    linear = {name for name, found in places.items() if all(place.exponent == 1 for place in found)}
    together: dict[object, list[str]] = {}
    for name in parameters:
        if name in linear:
            together.setdefault((frozenset(places[name]), parameters[name].shape), []).append(name)
    yield from map(tuple, together.values())


def _parameter(forms: Forms, number: int) -> tuple[str, tuple[object, ...]]:
    """The parameter that a factor is, and how it is looked at; "" for any other factor."""
    how: list[object] = []
    node = forms.nodes[number]
    while isinstance(node, View):
        how.append(node[1:])
        node = forms.nodes[node.of]
    return (node.name, tuple(how)) if isinstance(node, Leaf) and node.kind == "parameter" else ("", ())


def reached(forms: Forms) -> list[int]:
    """The numbers of all that the output and the states are made of, in order."""
    found: set[int] = set()
    waiting = list(forms.roots().values())
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += parts(forms, number)
    return sorted(found)


def parts(forms: Forms, number: int) -> list[int]:
    """What a node is made of."""
    match forms.nodes[number]:
        case Total(terms):
            return [factor for monomial, _ in terms for factor, _ in monomial]
        case View(of=of) | Bracket(of):
            return [of]
        case Call(args=args):
            return list(args)
        case Product(matrix, vector):
            return [matrix, vector]
        case Reduced(arg=arg):
            return [arg]
    return []
