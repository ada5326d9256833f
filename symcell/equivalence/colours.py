"""Names told apart by what they are and where they stand, never by how they are spelled.

A colour is a number; names of two cells that have different colours cannot stand for each other. Colours are refined
together for both cells, from what a name's equation is made of and from the places in which it is read, until no round
tells more apart (as in the Weisfeiler-Leman test).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

from symcell.cell import Shape, Size
from symcell.equivalence.biases import reached
from symcell.equivalence.forms import Bracket, Call, Forms, Leaf, Number, Product, Reduced, Total, View

Name = tuple[str, str]
"""What a name is (parameter, array, input, state, size), and the name."""
Colours = Mapping[Name, int]


class Labels:
    """Numbers for what is equal: the same for equal things of both cells."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def __call__(self, *what: Hashable) -> int:
        return self._known.setdefault(what, len(self._known))


def named(forms: Forms) -> dict[Name, Shape]:
    """All names that must be matched, with their shapes; those of sizes are empty."""
    cell = forms.cell
    names: dict[Name, Shape] = {("state", n): cell.shape_of(n) for n in cell.states if n in cell.signals}
    names |= {("input", n): shape for n, shape in cell.inputs.items()}
    names |= {("parameter", n): p.shape for n, p in cell.parameters.items() if n not in forms.pieces}
    names |= {("parameter", piece.name): piece.shape for several in forms.pieces.values() for piece in several}
    names |= {("array", n): shape for n, shape in cell.arrays.items()}
    return names | {("size", n): () for n in cell.sizes}


class Painter:
    """Colours of one cell's names. ``unread``: parameters that do not count."""

    def __init__(self, forms: Forms, label: Labels, unread: frozenset[str]) -> None:
        self.forms, self.label = forms, label
        self.names = {n: s for n, s in named(forms).items() if n[0] != "parameter" or n[1] not in unread}
        self.numbers = reached(forms)

    def first(self) -> dict[Name, int]:
        """Colours by what can be seen of a name alone."""
        cell = self.forms.cell
        return {
            (kind, name): self.label(kind, len(shape), cell.states.get(name, 0), name in cell.initial)
            for (kind, name), shape in self.names.items()
        }

    def refined(self, colours: Colours) -> dict[Name, int]:
        """Colours by all that the names so coloured say."""
        up = self.made_of(colours)
        seen = self._places(up, colours)
        cell = self.forms.cell
        new: dict[Name, int] = {}
        for (kind, name), shape in self.names.items():
            start = cell.initial.get(name) if kind in ("state", "input") else None
            new[kind, name] = self.label(
                colours[kind, name],
                self.shape(shape, colours),
                up[self.forms.states[name]] if kind == "state" else -1,
                colours["parameter", start] if start else -1,
                tuple(sorted(seen.get((kind, name), ()))),
            )
        for state, start in cell.initial.items():
            kind = "state" if state in cell.signals else "input"
            new["parameter", start] = self.label(new["parameter", start], "start of", colours[kind, state])
        return new

    def output(self, colours: Colours) -> int:
        """The label of the output."""
        return self.made_of(colours)[self.forms.output]

    def shape(self, shape: Shape, colours: Colours) -> int:
        return self.label("shape", *(self.size(s, colours) for s in shape))

    def size(self, size: Size, colours: Colours) -> int:
        terms = (self.label(k, *sorted(colours["size", n] for n in names)) for names, k in size.terms)
        return self.label("length", *sorted(terms))

    def made_of(self, colours: Colours, whole: bool = False) -> dict[int, int]:
        """A label for each node: equal where nodes are made of the same, names counting by their colours. ``whole``: of
        all nodes, those that nothing depends on too, in which a name may have no colour."""
        found: dict[int, int] = {}
        for number in range(len(self.forms.nodes)) if whole else self.numbers:
            found[number] = self._label(number, found, colours)
        return found

    def _label(self, number: int, up: Mapping[int, int], colours: Colours) -> int:
        label = self.label
        match self.forms.nodes[number]:
            case Leaf(kind, name, lag):
                return label("leaf", colours.get((kind, name), name), lag)
            case Number(value):
                return label("number", self.size(value, colours) if isinstance(value, Size) else value)
            case View(of, how, start, width):
                cut = (self.size(s, colours) for s in (start, width) if s is not None)
                return label("view", up[of], how, *cut)
            case Call(function, args, exponent):
                return label("call", function, exponent, *(up[a] for a in args))
            case Product(matrix, vector):
                return label("product", up[matrix], up[vector])
            case Reduced(kind, axis, shape, arg):
                return label("reduced", kind, axis, self.shape(shape, colours), up[arg])
            case Bracket(total):
                return label("bracket", up[total])
            case Total(terms):
                return label("total", *sorted(self._term(m, c, up) for m, c in terms))

    def _term(self, monomial: Any, coefficient: Any, up: Mapping[int, int]) -> int:
        return self.label("term", coefficient, *sorted((up[f], e) for f, e in monomial))

    def _places(self, up: Mapping[int, int], colours: Colours) -> dict[Name, list[int]]:
        """A label for each place in which a name is read: of the way from there to the output and the states."""
        above: dict[int, list[int]] = {}
        for (what, name), number in self.forms.roots().items():
            above.setdefault(number, []).append(self.label(what, colours["state", name] if name else -1))
        found: dict[Name, list[int]] = {}
        for number in reversed(self.numbers):
            here = self.label("place", up[number], *sorted(above.get(number, ())))
            node = self.forms.nodes[number]
            if isinstance(node, Leaf):
                found.setdefault((node.kind, node.name), []).append(here)
            for part, role in self._roles(node, up):
                above.setdefault(part, []).append(self.label("within", here, role))
            for size, use in self._sizes(node):
                found.setdefault(("size", size), []).append(self.label("size in", here, use))
        for owner, shape in self.names.items():
            for axis, length in enumerate(shape):
                for term in length.terms:
                    use = self.label("axis", colours[owner], axis, self.size(Size((term,)), colours))
                    for size in term[0]:
                        found.setdefault(("size", size), []).append(use)
        return found

    def _roles(self, node: Any, up: Mapping[int, int]) -> list[tuple[int, Hashable]]:
        """The parts of a node, each with what it is in there."""
        match node:
            case Total(terms):
                return [(f, (self._term(m, c, up), e)) for m, c in terms for f, e in m]
            case View(of) | Bracket(of):
                return [(of, "of")]
            case Call(args=args):
                return list(zip(args, range(len(args)), strict=True))
            case Product(matrix, vector):
                return [(matrix, "matrix"), (vector, "vector")]
            case Reduced(arg=arg):
                return [(arg, "arg")]
        return []

    @staticmethod
    def _sizes(node: Any) -> list[tuple[str, Hashable]]:
        match node:
            case Number(value) if isinstance(value, Size):
                return [(name, "count") for name in value.names]
            case View(start=Size() as start, width=Size() as width):
                return [(name, k) for k, size in enumerate((start, width)) for name in size.names]
            case Reduced(shape=shape):
                return [(name, axis) for axis, size in enumerate(shape) for name in size.names]
        return []


def counted(colours: Colours) -> Counter[int]:
    return Counter(colours.values())
