"""A state's own way from one step to the next: the diagonal of its Jacobian block without what mixes units."""

from __future__ import annotations

from typing import Any

import numpy as np

from symcell.cell import Cell
from symcell.graph import Graph
from symcell.jacobian.local import Scaled
from symcell.jacobian.paths import Kind, kind_of, paths_of
from symcell.jacobian.values import Values
from symcell.jacobian.walk import between
from symcell.symbolic.nodes import At

Array = Any


def own_kind(cell: Cell, graph: Graph, state: str) -> Kind | None:
    """The most that the state's own ways from the step before meet: ``gated`` and less where there is such a way, else
    ``elementwise``; None where only matrices lead back."""
    kinds = [w.kind for w in paths_of(cell, graph) if w.target == state and w.source == At(state, 1)]
    plain = [kind for kind in kinds if kind <= Kind.GATED]
    return max(plain) if plain else Kind.ELEMENTWISE if Kind.ELEMENTWISE in kinds else None


def diagonal(cell: Cell, values: Values, state: str) -> Array:
    """The sum of the state's own ways of :func:`own_kind` and less, at every step: (T or 1, B or 1, *shape)."""
    most = own_kind(cell, values.graph, state)
    assert most is not None
    part = next(p for p in between(cell, values.graph) if p.source == At(state, 1))
    found: dict[str, Array] = {}
    for name, into in part.into.items():
        terms = []
        for edge in into:
            before = 1.0 if edge.operand == part.source else found.get(edge.operand.signal)
            if before is not None and kind_of(edge) <= max(most, Kind.GATED) and isinstance(edge.factor, Scaled):
                terms.append(values.evaluate(edge.factor.slope, len(edge.shape)) * before)
        if terms:
            found[name] = sum(terms[1:], terms[0])
    own = found[state]
    return np.broadcast_to(own, (*own.shape[:2], *values.shape(state)))
