"""Which names are matrices: by declaration, by standing left of @, or by what they are combined with unit by unit."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from symcell.cell import ONE
from symcell.language.declarations import Declared
from symcell.language.scalars import REDUCTIONS
from symcell.language.tree import (
    Apply,
    Diagonal,
    Joined,
    MatrixName,
    Multiplied,
    Name,
    Outer,
    Read,
    Tree,
    is_fixed_matrix,
    walk,
)
from symcell.symbolic.functions import OVER_UNITS


def leaves(tree: Tree) -> Iterator[Tree]:
    """What an expression combines unit by unit: names, and what makes a vector, a matrix or one value of others."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        match node:
            case Multiplied(left=Diagonal(), right=right):
                waiting.append(right)
            case Multiplied(left=left, right=Diagonal()):
                waiting.append(left)
            case Multiplied() | Outer() | Joined() | Read() | Name() | MatrixName():
                yield node
            case Apply(function=function) if function in OVER_UNITS:
                yield node
            case _:
                waiting.extend(reversed(node.parts))


def is_matrix(tree: Tree, matrices: Container[str]) -> bool:
    """Whether an expression is a matrix, where the names of matrices are known."""
    return any(
        isinstance(leaf, Outer) or (isinstance(leaf, Read | Name | MatrixName) and leaf.name in matrices)
        for leaf in leaves(tree)
    )


@dataclass
class _Group:
    """Names combined unit by unit: if it is ``known`` or one of them is a matrix, so are the followers."""

    names: set[str]
    followers: set[str]
    known: bool = False


def find_matrices(trees: Mapping[str, Tree], shapes: Mapping[str, Declared], scalars: Container[str]) -> set[str]:
    """The names of all matrices; ``trees`` are the right sides, ``scalars`` names of one value."""
    found = {name for name, declared in shapes.items() if len(declared.shape) == 2}
    groups = []
    for name, tree in trees.items():
        root = _group(tree, shapes, scalars)
        if name in shapes:
            root.names.add(name)
        elif name not in scalars:
            root.followers.add(name)
        groups.append(root)
        for part in walk(tree):
            if isinstance(part, MatrixName) and part.name not in shapes:
                found.add(part.name)
            elif isinstance(part, Multiplied) and (side := _matrix_side(part, shapes, scalars)) is not None:
                group = _group(side, shapes, scalars)
                group.known = True
                groups.append(group)
    return _spread(found, groups)


def _group(tree: Tree, shapes: Mapping[str, Declared], scalars: Container[str]) -> _Group:
    """The group of an expression: parameters that nothing declares follow."""
    names, followers, known = set(), set(), False
    for leaf in leaves(tree):
        known = known or isinstance(leaf, Outer)
        if isinstance(leaf, Read | Name):
            names.add(leaf.name)
        if isinstance(leaf, Name) and leaf.name not in shapes and leaf.name not in scalars:
            followers.add(leaf.name)
    return _Group(names, followers, known)


def _matrix_side(tree: Multiplied, shapes: Mapping[str, Declared], scalars: Container[str]) -> Tree | None:
    """The side of @ that has to be a matrix, where it is no sum of parameters alone."""
    if isinstance(tree.left, Diagonal):
        right = list(leaves(tree.right))
        names = [leaf for leaf in right if isinstance(leaf, Name) and leaf.name not in shapes]
        plain = all(isinstance(leaf, Name) or _is_one(leaf, shapes, scalars) for leaf in right)
        return tree.right if names and plain else None
    return None if is_fixed_matrix(tree.left) else tree.left


def _is_one(leaf: Tree, shapes: Mapping[str, Declared], scalars: Container[str]) -> bool:
    if isinstance(leaf, Read):
        return leaf.name in scalars or (leaf.name in shapes and shapes[leaf.name].shape == (ONE,))
    return isinstance(leaf, Apply) and leaf.function in REDUCTIONS


def _spread(found: set[str], groups: list[_Group]) -> set[str]:
    """``found`` and all that follow it, group by group."""
    members: dict[str, list[_Group]] = {}
    for group in groups:
        for name in group.names:
            members.setdefault(name, []).append(group)
    ready = [group for group in groups if group.known or not group.names.isdisjoint(found)]
    while ready:
        for name in ready.pop().followers - found:
            found.add(name)
            ready += members.get(name, [])
    return found
