"""Size inference: each equation says which lengths have to agree."""

from __future__ import annotations

from collections.abc import Callable

from symcell.language.conflicts import Conflicts
from symcell.language.problems import Problems
from symcell.language.roles import Roles
from symcell.language.scalars import REDUCTIONS, is_one_row
from symcell.language.sizes import SCALAR, Sizes, start_sizes
from symcell.language.tree import (
    Apply,
    Joined,
    MatrixName,
    MatrixTotal,
    Multiplied,
    Name,
    Number,
    Read,
    Transposed,
    Tree,
    walk,
)
from symcell.language.unify import Length
from symcell.symbolic.functions import OVER_UNITS


def infer_sizes(roles: Roles, problems: Problems) -> Sizes:
    """What the declarations and equations say about sizes; contradictions go to ``problems``."""
    sizes = start_sizes(roles, problems)
    inference = _Inference(sizes)
    for name, definition in roles.definitions.items():
        inference.equation(name, definition.tree)
        sizes.first.setdefault(name, definition.span)
    for state, (_, parameter, place) in roles.declarations.initial.items():
        mine, wanted = sizes.vectors[parameter], sizes.vectors[state]
        if not sizes.unify(mine, wanted, place):
            message = f"{parameter} is {sizes.shown(mine)} long, but {state} is {sizes.shown(wanted)} long"
            problems.add(place, message, "a state and its first value have one size: correct a declaration")
    sizes.retry()
    for report in sizes.conflicts:
        report()
    return sizes


class _Inference:
    """Walks expressions. A length of None is one value for all units: it goes with any size."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.conflicts = sizes, Conflicts(sizes)

    def later(self, report: Callable[..., None], *arguments: object) -> None:
        self.sizes.conflicts.append(lambda: report(*arguments))

    def equation(self, name: str, tree: Tree) -> None:
        length = self.length(tree)
        mine = self.sizes.vectors[name]
        if length is not None and not self.sizes.unify(mine, length, tree.span):
            self.later(self.conflicts.result, name, tree, length, mine)

    def length(self, tree: Tree) -> Length | None:
        match tree:
            case Number():
                return None
            case Read(name=name) | Name(name=name):
                if self.sizes.is_one(name):
                    return None
                self.sizes.first.setdefault(name, tree.span)
                return self.sizes.vectors[name]
            case Multiplied():
                return self.multiplied(tree)
            case Apply(function=function) if function in REDUCTIONS:
                self.reduced(tree)
                return None
            case Apply(function=function) if function in OVER_UNITS:
                return self.normalised(tree)
        return self.agreed(tree.parts)

    def agreed(self, trees: tuple[Tree, ...]) -> Length | None:
        """The one length of elementwise operands; those of one value go with any."""
        leader: tuple[Tree, Length] | None = None
        for tree in trees:
            length = self.length(tree)
            if length is None:
                continue
            if leader is None:
                leader = (tree, length)
            elif not self.sizes.unify(leader[1], length, tree.span):
                self.later(self.conflicts.elementwise, *leader, tree, length)
        return leader[1] if leader else None

    def reduced(self, tree: Apply) -> None:
        """A reduction is one value; the two sides of a dot product have one size."""
        for argument in tree.arguments:
            self.conflicts.need_units(argument, f"{tree.function} is taken over the units of a vector")
        (leader, first), *others = [(a, self.length(a) or SCALAR) for a in tree.arguments]
        for other, length in others:
            if not self.sizes.unify(first, length, other.span):
                self.later(self.conflicts.elementwise, leader, first, other, length)

    def normalised(self, tree: Apply) -> Length | None:
        """softmax, layernorm and rmsnorm keep the size; gain and bias have it too, or are one value."""
        value, *others = tree.arguments
        self.conflicts.need_units(value, f"{tree.function} is taken over the units of a vector")
        length = self.length(value)
        for other in others:
            theirs = self.length(other)
            if theirs is not None and not self.sizes.unify(length or SCALAR, theirs, other.span):
                self.later(self.conflicts.elementwise, value, length or SCALAR, other, theirs)
        return length

    def multiplied(self, tree: Multiplied) -> Length | None:
        rows, columns = self.matrix(tree.matrix)
        wanted = self.operand(tree.vector)
        if not self.sizes.unify(columns, wanted, tree.vector.span):
            self.later(self.conflicts.product, tree, rows, columns, wanted)
        for part in walk(tree.matrix):
            if isinstance(part, MatrixName):
                self.sizes.first.setdefault(part.name, part.span)
        return None if is_one_row(tree.matrix, self.sizes.roles.shapes) else rows

    def operand(self, tree: Tree) -> Length:
        """The length of what stands right of @."""
        if not isinstance(tree, Joined):
            self.conflicts.need_units(tree, "right of @ stands a vector")
            return self.length(tree) or SCALAR
        total = Length()
        for part in tree.vectors:
            self.conflicts.need_units(part, "only vectors are joined")
            total = total + (self.length(part) or SCALAR)
        return total

    def matrix(self, tree: Tree) -> tuple[Length, Length]:
        match tree:
            case MatrixName(name=name):
                return self.sizes.matrices[name]
            case Transposed(argument=argument):
                rows, columns = self.matrix(argument)
                return columns, rows
            case MatrixTotal(terms=((_, first), *others)):
                shape = self.matrix(first)
                for _, other in others:
                    theirs = self.matrix(other)
                    if not all(self.sizes.unify(a, b, other.span) for a, b in zip(shape, theirs, strict=True)):
                        self.later(self.conflicts.addition, first, shape, other, theirs)
                return shape
        raise TypeError(f"{type(tree).__name__} is no matrix")
