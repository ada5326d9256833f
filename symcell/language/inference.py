"""Size inference: each equation says which lengths have to agree."""

from __future__ import annotations

from symcell.language.conflicts import Conflicts
from symcell.language.problems import Problems
from symcell.language.products import Products
from symcell.language.roles import Roles
from symcell.language.scalars import REDUCTIONS
from symcell.language.sizes import SCALAR, Extents, Sizes, start_sizes
from symcell.language.source import Span
from symcell.language.tree import Apply, Broken, Multiplied, Name, Number, Outer, Read, Tree
from symcell.symbolic.functions import OVER_UNITS


def infer_sizes(roles: Roles, problems: Problems) -> Sizes:
    """What the declarations and equations say about sizes; contradictions go to ``problems``."""
    sizes = start_sizes(roles, problems)
    inference = _Inference(sizes)
    for name, definition in roles.definitions.items():
        inference.equation(name, definition.tree)
        sizes.first.setdefault(name, definition.span)
    for state, (_, parameter, place) in roles.declarations.initial.items():
        inference.initial(state, parameter, place)
    sizes.retry()
    inference.products.settle()
    sizes.retry()
    for report in sizes.conflicts:
        report()
    return sizes


class _Inference:
    """Walks expressions. Extents of no axis are one value for all units: it goes with any shape."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.conflicts = sizes, Conflicts(sizes)
        self.products = Products(sizes, self.conflicts, self.extents)

    def equation(self, name: str, tree: Tree) -> None:
        have, mine = self.extents(tree), self.sizes.extents[name]
        if have and len(have) != len(mine):
            self.sizes.later(self.conflicts.result_rank, name, tree, have, mine)
        elif have and not self.sizes.unify_all(mine, have, tree.span):
            self.sizes.later(self.conflicts.result, name, tree, have, mine)

    def initial(self, state: str, parameter: str, place: Span) -> None:
        mine, wanted = self.sizes.extents[parameter], self.sizes.extents[state]
        if len(mine) != len(wanted) or not self.sizes.unify_all(mine, wanted, place):
            message = f"{parameter} is {self.sizes.described(mine)}, but {state} is {self.sizes.described(wanted)}"
            self.sizes.problems.add(place, message, "a state and its first value have one shape: correct a declaration")

    def extents(self, tree: Tree, left_of: Multiplied | None = None) -> Extents:
        """The lengths of an expression, axis by axis; ``left_of``: the product whose left side it is."""
        match tree:
            case Number() | Broken():
                return ()
            case Read(name=name) | Name(name=name):
                if self.sizes.is_one(name):
                    return ()
                self.sizes.first.setdefault(name, tree.span)
                return self.sizes.extents[name]
            case Multiplied():
                return self.products.multiplied(tree)
            case Outer():
                return self.products.outer(tree)
            case Apply(function=function) if function in REDUCTIONS:
                self.reduced(tree)
                return ()
            case Apply(function=function) if function in OVER_UNITS:
                return self.normalised(tree)
        return self.agreed(tree.parts, left_of)

    def agreed(self, trees: tuple[Tree, ...], left_of: Multiplied | None) -> Extents:
        """The one shape of elementwise operands; those of one value go with any."""
        leader: tuple[Tree, Extents] | None = None
        for tree in trees:
            extents = self.extents(tree)
            if not extents:
                continue
            if leader is None:
                leader = (tree, extents)
            elif len(extents) != len(leader[1]):
                self.sizes.later(self.conflicts.beside, *leader, tree, extents, left_of)
                leader = leader if len(leader[1]) == 2 else (tree, extents)
            elif not self.sizes.unify_all(leader[1], extents, tree.span):
                self.sizes.later(self.conflicts.elementwise, *leader, tree, extents)
        return leader[1] if leader else ()

    def reduced(self, tree: Apply) -> None:
        """A reduction is one value; the two sides of a dot product have one size."""
        read = [(argument, self.units(tree, argument)) for argument in tree.arguments]
        (leader, first), *others = read
        for other, length in others:
            if not self.sizes.unify_all(first, length, other.span):
                self.sizes.later(self.conflicts.elementwise, leader, first, other, length)

    def units(self, tree: Apply, argument: Tree) -> Extents:
        """The length of what a function over units is taken of."""
        self.conflicts.need_units(argument, f"{tree.function} is taken over the units of a vector")
        extents = self.extents(argument)
        if len(extents) == 2:
            self.sizes.later(self.conflicts.reduction, tree, argument)
        return extents if len(extents) == 1 else (SCALAR,)

    def normalised(self, tree: Apply) -> Extents:
        """softmax, layernorm and rmsnorm keep the size; gain and bias have it too, or are one value."""
        value, *others = tree.arguments
        length = self.units(tree, value)
        for other in others:
            theirs = self.extents(other)
            if len(theirs) == 2:
                self.sizes.later(self.conflicts.no_vector, other, f"gain and bias of {tree.function} are vectors")
            elif theirs and not self.sizes.unify_all(length, theirs, other.span):
                self.sizes.later(self.conflicts.elementwise, value, length, other, theirs)
        return length
