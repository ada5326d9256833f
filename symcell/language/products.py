"""Sizes around @ and of outer products: what is multiplied fits, and what a matrix is applied to has one size."""

from __future__ import annotations

from collections.abc import Callable

from symcell.language.conflicts import Conflicts
from symcell.language.scalars import is_one_row
from symcell.language.sizes import SCALAR, Extents, Sizes
from symcell.language.tree import (
    Diagonal,
    Joined,
    MatrixName,
    MatrixTotal,
    Multiplied,
    Outer,
    Transposed,
    Tree,
    is_fixed_matrix,
    walk,
)
from symcell.language.unify import NOTHING, Length


class Products:
    """Infers the shapes of products; ``extents`` gives those of an expression."""

    def __init__(self, sizes: Sizes, conflicts: Conflicts, extents: Callable[..., Extents]) -> None:
        self.sizes, self.conflicts, self.extents = sizes, conflicts, extents
        self.applied: set[str] = set()
        self.again: list[tuple[Multiplied, Extents, Length]] = []
        """Uses of a matrix that has been applied to something else before."""

    def multiplied(self, tree: Multiplied) -> Extents:
        if isinstance(tree.left, Diagonal):
            return self.scaled(tree, tree.left, tree.right, axis=0)
        if isinstance(tree.right, Diagonal):
            return self.scaled(tree, tree.right, tree.left, axis=1)
        matrix = self.matrix(tree)
        wanted = self.operand(tree)
        if len(matrix) != 2 or wanted is None:
            return ()
        self.apply(tree, matrix, wanted)
        for part in walk(tree.left):
            if isinstance(part, MatrixName):
                self.sizes.first.setdefault(part.name, part.span)
        return () if is_one_row(tree.left, self.sizes.roles.shapes) else matrix[:1]

    def matrix(self, tree: Multiplied) -> Extents:
        """The shape of what stands left of @; a vector or one value there is reported."""
        left = tree.left
        if is_fixed_matrix(left):
            return self.fixed(left)
        inner = left.argument if isinstance(left, Transposed) else left
        extents: Extents = self.extents(inner, tree)
        if len(extents) != 2:
            self.sizes.later(self.conflicts.no_matrix, tree, inner, extents)
        return extents[::-1] if isinstance(left, Transposed) else extents

    def operand(self, tree: Multiplied) -> Length | None:
        """The length of what stands right of @; None for a matrix, which is reported."""
        right = tree.right
        if not isinstance(right, Joined):
            return self.vector(right, "right of @ stands a vector", lambda: self.conflicts.matrices(tree))
        total = Length()
        for part in right.vectors:
            length = self.vector(part, "only vectors are joined", None)
            total = total + (length or SCALAR)
        return total

    def vector(self, tree: Tree, why: str, report: Callable[[], None] | None) -> Length | None:
        """The length of an expression that has to be a vector; None for a matrix, which is reported."""
        self.conflicts.need_units(tree, why)
        extents: Extents = self.extents(tree)
        if len(extents) == 2:
            self.sizes.later(report or (lambda: self.conflicts.no_vector(tree, why)))
            return None
        return extents[0] if extents else SCALAR

    def apply(self, tree: Multiplied, matrix: Extents, wanted: Length) -> None:
        """The columns of a matrix are as many as what it is applied to is long."""
        named = tree.left.argument if isinstance(tree.left, Transposed) else tree.left
        if isinstance(named, MatrixName) and named.name not in self.sizes.roles.shapes:
            if named.name in self.applied:
                self.again.append((tree, matrix, wanted))
                return
            self.applied.add(named.name)
        if not self.sizes.unify(matrix[1], wanted, tree.right.span):
            self.sizes.later(self.conflicts.product, tree, matrix, wanted)

    def settle(self) -> None:
        """Unifies what is left once all else is known; an input of open size and a state under one matrix is a slip."""
        kinds = _Kinds(self.sizes)
        for tree, matrix, wanted in self.again:
            if kinds.slip(matrix[1], wanted):
                self.sizes.slips.append((tree, matrix, wanted))
                continue
            marks = kinds.marks(matrix[1], wanted)
            if not self.sizes.unify(matrix[1], wanted, tree.right.span):
                self.sizes.later(self.conflicts.product, tree, matrix, wanted)
            for kind in marks:
                kind.add(self.sizes.lengths.resolve(wanted))

    def scaled(self, tree: Multiplied, diagonal: Diagonal, scaled: Tree, axis: int) -> Extents:
        """``diag(v) @ M`` and ``M @ diag(v)`` have the shape of M."""
        why = "diag takes a vector"
        length = self.vector(diagonal.vector, why, lambda: self.conflicts.diagonal(diagonal.vector))
        extents: Extents = self.extents(scaled)
        if not extents or (axis == 1 and len(extents) == 1):
            self.sizes.later(self.conflicts.not_scaled, tree, diagonal, scaled, extents)
        elif length is not None and not self.sizes.unify(length, extents[axis], diagonal.span):
            self.sizes.later(self.conflicts.scaled, diagonal, length, scaled, extents, axis)
        return extents

    def outer(self, tree: Outer) -> Extents:
        sides = (self.vector(side, "outer takes two vectors", None) for side in (tree.left, tree.right))
        return tuple(side or SCALAR for side in sides)

    def fixed(self, tree: Tree) -> Extents:
        match tree:
            case MatrixName(name=name):
                return self.sizes.extents[name]
            case Transposed(argument=argument):
                return self.fixed(argument)[::-1]
            case MatrixTotal(terms=((_, first), *others)):
                shape = self.fixed(first)
                for _, other in others:
                    theirs = self.fixed(other)
                    if not self.sizes.unify_all(shape, theirs, other.span):
                        self.sizes.later(self.conflicts.addition, first, shape, other, theirs)
                return shape
        raise TypeError(f"{type(tree).__name__} is no fixed matrix")


class _Kinds:
    """Which lengths are open and an input's, and which are a state's."""

    def __init__(self, sizes: Sizes) -> None:
        self.lengths, roles = sizes.lengths, sizes.roles
        resolve = sizes.lengths.resolve
        self.inputs = {resolve(n) for i in roles.inputs for n in sizes.extents[i]}
        self.states = {resolve(n) for s in roles.states if s in roles.definitions for n in sizes.extents[s]}

    def slip(self, one: Length, other: Length) -> bool:
        """Whether two lengths are an input's that is open and a state's."""
        one, other = self.lengths.resolve(one), self.lengths.resolve(other)
        return one != other and (self._between(one, other) or self._between(other, one))

    def _between(self, one: Length, other: Length) -> bool:
        is_open = len(one.unknown) == 1 and one.known == NOTHING
        return is_open and one in self.inputs and one not in self.states and other in self.states

    def marks(self, *lengths: Length) -> list[set[Length]]:
        """The kinds that lengths are of, which are about to be made equal."""
        known = [self.lengths.resolve(length) for length in lengths]
        return [kind for kind in (self.inputs, self.states) if not kind.isdisjoint(known)]
