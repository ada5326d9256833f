"""Which ways lead from a state before a step to a state behind it: what gradients meet on their way through time.

A way is *additive* (the state itself), *scaled* (by numbers that are the same at all steps), *gated* (unit by unit, by
values of the step), *elementwise* (unit by unit, through a function of the state), or goes through a *matrix*, where
units mix.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from sympy import Expr, Integer

from symcell.cell import Cell
from symcell.graph import Graph
from symcell.jacobian.local import Applied, Edge, Folded, Multiplied, Scaled, is_fixed
from symcell.jacobian.walk import Between, between, recurrent
from symcell.language import as_cell
from symcell.lower import lower
from symcell.symbolic.nodes import At

LONGEST = 60
"""A factor of more operations than these is left out: it says nothing to a reader."""


class Kind(enum.IntEnum):
    """What a way meets at most, from nothing to a mixing of units."""

    ADDITIVE = 0
    SCALED = 1
    GATED = 2
    ELEMENTWISE = 3
    MATRIX = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Way:
    """All ways of one kind from ``source`` (a state at an earlier step) to the state ``target`` at this step.

    ``factor``: their sum as an expression of values of the step, unit by unit (1: the identity); None for those through
    a matrix, and where it would be very long. ``matrices``: the names of the matrices on the way, in the order of the
    text, fixed or varying; empty where units mix by a reduction alone.
    """

    target: str
    source: At
    kind: Kind
    factor: Expr | None
    matrices: tuple[str, ...]


def paths(cell: Cell | str | FilePath) -> tuple[Way, ...]:
    """The ways from the states before a step to those behind it: by target, source and kind, in the order of the text.

    Raises CellError for what is no cell.
    """
    cell = as_cell(cell)
    return paths_of(cell, lower(cell))


def paths_of(cell: Cell, graph: Graph, folded: Mapping[str, Folded] | None = None) -> tuple[Way, ...]:
    """The same of a cell that is lowered already. ``folded``: values whose steps are taken for one."""
    found = {part.source: _ways(part) for part in between(cell, graph, folded)}
    return tuple(
        Way(target, source, kind, way.factor, tuple(name for name in graph.values if name in way.matrices))
        for target in recurrent(cell)
        for source, ways in found.items()
        for kind, way in sorted(ways.get(target, {}).items())
    )


@dataclass(frozen=True)
class _Ways:
    """The sum of all ways of one kind so far."""

    factor: Expr | None
    matrices: frozenset[str] = frozenset()


def _ways(part: Between) -> dict[str, dict[Kind, _Ways]]:
    found: dict[str, dict[Kind, _Ways]] = {}
    for name, into in part.into.items():
        mine: dict[Kind, list[_Ways]] = {}
        for edge in into:
            start = edge.operand == part.source
            before = {Kind.ADDITIVE: _Ways(Integer(1))} if start else found[edge.operand.signal]
            for kind, ways in before.items():
                met = max(kind, kind_of(edge))
                mine.setdefault(met, []).append(_on(ways, edge, met))
        found[name] = {kind: _sum(ways) for kind, ways in mine.items()}
    return found


def kind_of(edge: Edge) -> Kind:
    """What one local derivative does."""
    factor = edge.factor
    if isinstance(factor, Folded) and factor.unitwise:
        return Kind.ELEMENTWISE
    if edge.mixes or not isinstance(factor, Scaled):
        return Kind.MATRIX
    if factor.is_identity:
        return Kind.ADDITIVE
    if factor.nonlinear:
        return Kind.ELEMENTWISE
    return Kind.SCALED if is_fixed(factor.slope) else Kind.GATED


def _on(ways: _Ways, edge: Edge, kind: Kind) -> _Ways:
    factor = edge.factor
    if kind < Kind.MATRIX and isinstance(factor, Scaled) and ways.factor is not None:
        return _Ways(_short(factor.slope * ways.factor))
    met = {factor.matrix.name} if isinstance(factor, Multiplied) else set()
    met |= {edge.operand.signal} if isinstance(factor, Applied) else set()
    return _Ways(None, ways.matrices | met)


def _sum(ways: Iterable[_Ways]) -> _Ways:
    ways = list(ways)
    factors = [w.factor for w in ways]
    matrices = frozenset().union(*(w.matrices for w in ways))
    if any(f is None for f in factors):
        return _Ways(None, matrices)
    return _Ways(_short(sum(factors[1:], factors[0])), matrices)  # type: ignore[arg-type]


def _short(expr: Expr) -> Expr | None:
    return expr if expr.count_ops() <= LONGEST else None
