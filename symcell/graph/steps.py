"""One step of a sweep as a list of assignments: what depends on what, at which distance in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import networkx as nx

from symcell.cell import Shape, Size
from symcell.graph.kinds import Edge, Entry, Exit, Matrix, Op, Total, Value, lag_of, name_of
from symcell.notebook import Lines


def alive(steps: Iterable[Op], wanted: Iterable[str]) -> list[Op]:
    """The steps that ``wanted`` values depend on, at whatever distance in time."""
    steps = list(steps)
    made = {op.out: op for op in steps}
    found = set(wanted)
    pending = list(found)
    while pending:
        op = made.get(pending.pop())
        for operand in op.operands() if op else ():
            if name_of(operand) not in found:
                found.add(name_of(operand))
                pending.append(name_of(operand))
    return [op for op in steps if op.out in found]


@dataclass(frozen=True)
class Component:
    """Steps that depend on each other through time (``cyclic``), or a single step that does not."""

    steps: tuple[Op, ...]
    cyclic: bool


@dataclass(frozen=True, eq=False)
class Steps(Lines):
    """One step of a sweep over time, not held to the rules yet: see :class:`symcell.graph.Graph`.

    ``given``: varying values that come from outside, each with how far back it is read (0: only at t).
    ``fixed``: fixed values that come from outside (parameters, constant arrays).
    ``entries``, ``exits``: the boundary, what enters before the first step and leaves after the last.
    ``carried``: computed values that are read at another step or at the boundary, each with its largest distance.
    ``direction``: +1 where the sweep runs from the first step to the last, -1 where it runs back (an adjoint).
    """

    name: str
    values: Mapping[str, Value]
    given: Mapping[str, int]
    fixed: tuple[str, ...]
    steps: tuple[Op, ...]
    outputs: tuple[str, ...]
    direction: Literal[1, -1] = 1
    entries: tuple[Entry, ...] = ()
    exits: tuple[Exit, ...] = ()
    carried: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        made = {op.out for op in self.steps}
        depth: dict[str, int] = {}
        for entry in self.entries:
            if entry.value in made:
                depth[entry.value] = max(entry.depth, depth.get(entry.value, 0))
        for leaving in self.exits:
            for value, reach in zip(leaving.values, leaving.depths, strict=False):
                if value in made:
                    depth[value] = max(reach, depth.get(value, 0))
        for op in self.steps:
            for operand in op.operands():
                name, lag = name_of(operand), abs(lag_of(operand))
                if lag and name in made:
                    depth[name] = max(lag, depth.get(name, 0))
        object.__setattr__(self, "carried", {op.out: depth[op.out] for op in self.steps if op.out in depth})

    def __str__(self) -> str:
        arrow = "t = 1 … T" if self.direction > 0 else "t = T … 1"
        width = max((len(op.out) for op in self.steps), default=0)
        lines = [f"{op.out:>{width}}{str(op)[len(op.out) :]}" for op in self.steps]
        return "\n".join([f"graph {self.name} ({arrow})", f"given {', '.join((*self.given, *self.fixed))}", *lines,
                          f"outputs {', '.join(self.outputs)}"])  # fmt: skip

    def producer(self) -> dict[str, Op]:
        """Each computed value's step."""
        return {op.out: op for op in self.steps}

    def shape(self, name: str) -> Shape:
        return self.values[name].shape

    def depth(self, leaving: Exit, name: str) -> int:
        """How many steps of a value leave there."""
        return min(leaving.depth, self.carried.get(name) or self.given.get(name) or leaving.depth)

    def dependencies(self) -> nx.DiGraph:
        """An edge from each computed value to each value computed from it, at whatever distance in time."""
        graph = nx.DiGraph()
        made = self.producer()
        graph.add_nodes_from(made)
        leaving = {e.name: e.values for e in self.exits}
        for op in self.steps:
            edge = leaving[op.arg.name] if isinstance(op, Total) and isinstance(op.arg, Edge) else ()
            read = (*map(name_of, op.operands()), *edge)
            graph.add_edges_from((name, op.out) for name in read if name in made)
        graph.add_edges_from((e.start, e.value) for e in self.entries if e.start in made and e.value in made)
        return graph

    def components(self) -> tuple[Component, ...]:
        """The steps grouped by mutual dependence through time, in an order in which whole sweeps can be run."""
        return self._components

    @cached_property
    def _components(self) -> tuple[Component, ...]:
        position = {op.out: k for k, op in enumerate(self.steps)}
        deps = self.dependencies()
        condensed = nx.condensation(deps)
        members = {n: sorted(condensed.nodes[n]["members"], key=position.__getitem__) for n in condensed}
        order = nx.lexicographical_topological_sort(condensed, key=lambda n: position[members[n][0]])
        return tuple(
            Component(tuple(self.steps[position[m]] for m in members[n]),
                      len(members[n]) > 1 or deps.has_edge(members[n][0], members[n][0]))
            for n in order
        )  # fmt: skip

    def matrix_shape(self, matrix: Matrix) -> tuple[Size, Size]:
        """Rows and columns of a matrix as it is read."""
        rows, columns = self.values[matrix.name].shape
        if matrix.block is not None:
            columns = matrix.block.width
        return (columns, rows) if matrix.transposed else (rows, columns)
