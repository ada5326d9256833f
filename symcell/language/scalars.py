"""Which names are one value for all units whatever else is decided.

Reductions are, and what is made of them alone; and so is all that a signal declared to be of size 1 is made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from symcell.cell import ONE, Size
from symcell.language.declarations import Declared
from symcell.language.tree import (
    Apply,
    Diagonal,
    MatrixName,
    MatrixTotal,
    Multiplied,
    Name,
    Outer,
    Read,
    Transposed,
    Tree,
)
from symcell.symbolic.functions import OVER_UNITS

REDUCTIONS = frozenset(name for name, function in OVER_UNITS.items() if function.to_one)
"""Functions over the units whose result is one value."""

VECTOR = ""
"""Stands among names for something that is a vector or a matrix."""


def scalar_names(trees: Mapping[str, Tree], shapes: Mapping[str, Declared]) -> frozenset[str]:
    """The names, undeclared or declared so, that are of size 1; ``trees`` are the right sides by signal."""
    hang_on = {name: set(_leaves(tree, shapes)) for name, tree in trees.items()}
    forced = _forced(hang_on, shapes)
    return forced | _scalar_signals(hang_on, shapes, forced)


def _forced(hang_on: Mapping[str, set[str]], shapes: Mapping[str, Declared]) -> frozenset[str]:
    """What signals of size 1 are made of."""
    ready = [name for name in hang_on if name in shapes and shapes[name].shape == (ONE,)]
    found: set[str] = set()
    while ready:
        new = hang_on.get(ready.pop(), set()) - found - {VECTOR}
        found |= new
        ready += new
    return frozenset(found)


def _scalar_signals(
    hang_on: Mapping[str, set[str]], shapes: Mapping[str, Declared], forced: frozenset[str]
) -> frozenset[str]:
    """The signals that are of size 1 because every leaf of their equations is, starting from none of them."""
    readers: dict[str, set[str]] = {}
    missing: dict[str, int] = {}
    for name, every in hang_on.items():
        leaves = every - forced
        if VECTOR in leaves or (name in shapes and shapes[name].shape != (ONE,)):
            continue
        missing[name] = len(leaves)
        for leaf in leaves:
            readers.setdefault(leaf, set()).add(name)
    ready = [name for name, count in missing.items() if not count]
    found = set(ready)
    while ready:
        for reader in readers.get(ready.pop(), ()):
            missing[reader] -= 1
            if not missing[reader]:
                found.add(reader)
                ready.append(reader)
    return frozenset(found)


def _leaves(tree: Tree, shapes: Mapping[str, Declared]) -> Iterator[str]:
    """The undeclared names that the size of an expression hangs on; VECTOR where something else makes it no scalar."""
    match tree:
        case Apply(function=function) if function in REDUCTIONS:
            return
        case Multiplied(left=left, right=right):
            if isinstance(left, Diagonal) or isinstance(right, Diagonal) or not is_one_row(left, shapes):
                yield VECTOR
            return
        case Outer():
            yield VECTOR
            return
        case Read(name=name) | Name(name=name):
            declared = shapes.get(name)
            if declared is None:
                yield name
            elif declared.shape not in ((), (ONE,)):
                yield VECTOR
    for part in tree.parts:
        yield from _leaves(part, shapes)


def is_one_row(matrix: Tree, shapes: Mapping[str, Declared]) -> bool:
    """Whether a matrix is declared to have one row, so that its products are one value."""
    return _declared(matrix, shapes, 0) == ONE


def _declared(matrix: Tree, shapes: Mapping[str, Declared], axis: int) -> Size | None:
    """A declared size of a matrix."""
    match matrix:
        case MatrixName(name=name) | Read(name=name) if name in shapes and len(shapes[name].shape) == 2:
            return shapes[name].shape[axis]
        case Transposed(argument=argument):
            return _declared(argument, shapes, 1 - axis)
        case MatrixTotal(terms=terms):
            return next((size for _, m in terms if (size := _declared(m, shapes, axis)) is not None), None)
    return None
