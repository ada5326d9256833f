"""The graph: one time step as a flat list of single assignments of six typed kinds.

A value is either *varying* (one per time and sample) or *fixed* (one per cell: a parameter, or computed from
parameters). Bodies are SymPy expressions over ``At(name, lag, axis)`` for varying values, ``Param(name, axis)`` for
fixed ones, ``Count(size)`` for the number of units and ``Constant`` for named numbers. Passes return new graphs;
:meth:`Graph.check` holds each to its rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from symcell.graph.kinds import (
    Block,
    Combine,
    Contraction,
    Edge,
    Entry,
    Exit,
    Matrix,
    Op,
    Operand,
    Outer,
    Pointwise,
    Reduce,
    Term,
    Total,
    Value,
    lag_of,
    name_of,
)
from symcell.graph.rules import problems
from symcell.graph.steps import Component, Steps, alive

__all__ = [
    "Block",
    "Combine",
    "Component",
    "Contraction",
    "Edge",
    "Entry",
    "Exit",
    "Graph",
    "GraphError",
    "Matrix",
    "Op",
    "Operand",
    "Outer",
    "Pointwise",
    "Reduce",
    "Term",
    "Total",
    "Value",
    "alive",
    "lag_of",
    "name_of",
]


class GraphError(AssertionError):
    """A graph breaks a rule: a fault of the pass that made it, never of the user's cell."""


@dataclass(frozen=True, eq=False)
class Graph(Steps):
    """One step of a sweep over time; its parts are those of :class:`Steps`."""

    def check(self) -> Graph:
        """This graph, if it keeps the rules; else GraphError naming the step."""
        for problem in problems(self):
            raise GraphError(f"{self.name}: {problem}")
        return self
