"""Which signals are one value for all units whatever else is decided: reductions, and what is made of them alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from symcell.cell import ONE, Size
from symcell.language.declarations import Declared
from symcell.language.roles import Roles
from symcell.language.tree import Apply, MatrixName, MatrixTotal, Multiplied, Name, Read, Transposed, Tree

REDUCTIONS = frozenset({"sum", "mean", "var", "max", "norm", "dot"})
"""Functions over the units whose result is one value."""


def scalar_signals(roles: Roles) -> frozenset[str]:
    """The signals that are of size 1 because every leaf of their equations is, starting from none of them."""
    readers: dict[str, set[str]] = {name: set() for name in roles.definitions}
    missing: dict[str, int] = {}
    for name, definition in roles.definitions.items():
        declared = roles.shapes.get(name)
        leaves = set(_leaves(definition.tree, roles))
        if "" in leaves or (declared is not None and declared.shape != (ONE,)):
            continue
        missing[name] = len(leaves)
        for leaf in leaves:
            readers[leaf].add(name)
    ready = [name for name, count in missing.items() if not count]
    found = set(ready)
    while ready:
        for reader in readers[ready.pop()]:
            missing[reader] -= 1
            if not missing[reader]:
                found.add(reader)
                ready.append(reader)
    return frozenset(found)


def _leaves(tree: Tree, roles: Roles) -> Iterator[str]:
    """The undeclared signals that the size of an expression hangs on; "" where a vector makes it a vector."""
    match tree:
        case Apply(function=function) if function in REDUCTIONS:
            return
        case Multiplied():
            if not is_one_row(tree.matrix, roles.shapes):
                yield ""
            return
        case Read(name=name) | Name(name=name):
            declared = roles.shapes.get(name)
            if declared is None:
                yield name if name in roles.definitions else ""
            elif declared.shape not in ((), (ONE,)):
                yield ""
    for part in tree.parts:
        yield from _leaves(part, roles)


def is_one_row(matrix: Tree, shapes: Mapping[str, Declared]) -> bool:
    """Whether a matrix is declared to have one row, so that its products are one value."""
    return _declared(matrix, shapes, 0) == ONE


def _declared(matrix: Tree, shapes: Mapping[str, Declared], axis: int) -> Size | None:
    """A declared size of a matrix."""
    match matrix:
        case MatrixName(name=name) if name in shapes:
            return shapes[name].shape[axis]
        case Transposed(argument=argument):
            return _declared(argument, shapes, 1 - axis)
        case MatrixTotal(terms=terms):
            return next((size for _, m in terms if (size := _declared(m, shapes, axis)) is not None), None)
    return None
