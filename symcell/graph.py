"""The graph: one time step as a flat list of single assignments of a few typed kinds.

A value is either *varying* (one per time and sample) or *fixed* (one per cell: a parameter, or computed from
parameters). Bodies are SymPy expressions over ``At(name, lag)`` for varying values and ``Param(name)`` for fixed ones.
Passes return new graphs; :meth:`Graph.check` holds each to its rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import networkx as nx
import sympy

from symcell.cell import ONE, Shape, Size
from symcell.symbolic.nodes import At, Param

Operand = At | Param


class GraphError(AssertionError):
    """A graph breaks a rule: a fault of the pass that made it, never of the user's cell."""


@dataclass(frozen=True)
class Value:
    """A named array of one step. ``shape`` is ``(n,)`` or ``(n, m)``; a scalar has the shape ``(ONE,)``."""

    name: str
    shape: Shape
    fixed: bool = False

    @property
    def size(self) -> Size:
        return self.shape[0]


@dataclass(frozen=True)
class Block:
    """The columns ``[start, start + width)`` of a matrix: one part of ``W @ [u, v]``."""

    start: Size
    width: Size


@dataclass(frozen=True)
class Matrix:
    """A fixed matrix as it is read: some of its columns perhaps, and perhaps transposed (after taking the columns)."""

    name: str
    transposed: bool = False
    block: Block | None = None

    @property
    def T(self) -> Matrix:  # noqa: N802 (NumPy's name)
        return Matrix(self.name, not self.transposed, self.block)

    def __str__(self) -> str:
        block = "" if self.block is None else f"[:, {self.block.start}:+{self.block.width}]"
        return f"{self.name}{block}{'.T' if self.transposed else ''}"


@dataclass(frozen=True)
class Pointwise:
    """``out = body``, unit by unit; operands of size 1 broadcast."""

    out: str
    body: sympy.Expr

    def operands(self) -> tuple[Operand, ...]:
        atoms = self.body.atoms(At, Param)
        return tuple(sorted(atoms, key=lambda a: a.name))

    def __str__(self) -> str:
        return f"{self.out} = {self.body}"


@dataclass(frozen=True)
class Product:
    """``out = Σ matrix @ vector`` over the terms."""

    out: str
    terms: tuple[tuple[Matrix, Operand], ...]

    def operands(self) -> tuple[Operand, ...]:
        return tuple(v for _, v in self.terms) + tuple(Param(m.name) for m, _ in self.terms)

    def __str__(self) -> str:
        return f"{self.out} = {' + '.join(f'{m} @ {v}' for m, v in self.terms)}"


@dataclass(frozen=True)
class Reduce:
    """``out = kind(arg)`` over the units of one sample (or of one fixed vector)."""

    out: str
    kind: Literal["sum", "max"]
    arg: Operand

    def operands(self) -> tuple[Operand, ...]:
        return (self.arg,)

    def __str__(self) -> str:
        return f"{self.out} = {self.kind}({self.arg})"


@dataclass(frozen=True)
class Outer:
    """``out = left ⊗ right``, summed over all steps and samples where the operands vary."""

    out: str
    left: Operand
    right: Operand

    def operands(self) -> tuple[Operand, ...]:
        return (self.left, self.right)

    def __str__(self) -> str:
        return f"{self.out} = total(outer({self.left}, {self.right}))"


@dataclass(frozen=True)
class Total:
    """``out = arg`` summed over all steps and samples."""

    out: str
    arg: At

    def operands(self) -> tuple[Operand, ...]:
        return (self.arg,)

    def __str__(self) -> str:
        return f"{self.out} = total({self.arg})"


@dataclass(frozen=True)
class Term:
    """``factor * matrix``, added into the columns ``into`` of the result (all of them where None)."""

    factor: sympy.Expr
    matrix: Matrix
    into: Block | None = None

    def __str__(self) -> str:
        into = "" if self.into is None else f" into [:, {self.into.start}:+{self.into.width}]"
        return f"{'' if self.factor == 1 else f'{self.factor}*'}{self.matrix}{into}"


@dataclass(frozen=True)
class Combine:
    """``out = Σ factor * matrix``: a linear combination of fixed matrices (``W - W.T``, a gradient of two uses)."""

    out: str
    terms: tuple[Term, ...]

    def operands(self) -> tuple[Operand, ...]:
        return tuple(Param(t.matrix.name) for t in self.terms)

    def __str__(self) -> str:
        return f"{self.out} = {' + '.join(str(t) for t in self.terms)}"


Op = Pointwise | Product | Reduce | Outer | Total | Combine


def name_of(operand: Operand) -> str:
    return operand.signal if isinstance(operand, At) else operand.name


def lag_of(operand: Operand) -> int:
    return operand.lag if isinstance(operand, At) else 0


@dataclass(frozen=True)
class Component:
    """Steps that depend on each other through time (``cyclic``), or a single step that does not."""

    steps: tuple[Op, ...]
    cyclic: bool


@dataclass(frozen=True, eq=False)
class Graph:
    """One step of a sweep over time.

    ``given``: varying values that come from outside, each with how far back it is read (0: only at t).
    ``fixed``: fixed values that come from outside (the parameters).
    ``carried``: computed values that are read at another step, each with its largest distance.
    ``states``: values that callers pass in and get back at the ends of the sequence, each with how many steps of it.
    ``direction``: +1 where the sweep runs from the first step to the last, -1 where it runs back (an adjoint).
    """

    name: str
    values: Mapping[str, Value]
    given: Mapping[str, int]
    fixed: tuple[str, ...]
    steps: tuple[Op, ...]
    outputs: tuple[str, ...]
    direction: Literal[1, -1] = 1
    states: Mapping[str, int] = field(default_factory=dict)
    carried: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        made = {op.out for op in self.steps}
        depth = {name: steps for name, steps in self.states.items() if name in made}
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

    def size(self, name: str) -> Size:
        return self.values[name].size

    def is_fixed(self, operand: Operand) -> bool:
        return isinstance(operand, Param)

    def dependencies(self) -> nx.DiGraph:
        """An edge from each computed value to each value computed from it, at whatever distance in time."""
        graph = nx.DiGraph()
        made = self.producer()
        graph.add_nodes_from(made)
        for op in self.steps:
            graph.add_edges_from((name_of(o), op.out) for o in op.operands() if name_of(o) in made)
        return graph

    def components(self) -> tuple[Component, ...]:
        """The steps grouped by mutual dependence through time, in an order in which whole sweeps can be run."""
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

    def check(self) -> Graph:
        """This graph, if it keeps the rules; else GraphError naming the step."""
        for problem in self._problems():
            raise GraphError(f"{self.name}: {problem}")
        return self

    def _problems(self) -> Iterator[str]:
        known = {*self.given, *self.fixed}
        made = self.producer()
        if len(made) != len(self.steps) or known & set(made):
            yield "a value is assigned twice"
        for op in self.steps:
            for operand in op.operands():
                name, lag = name_of(operand), lag_of(operand)
                if name not in self.values or (name not in known and name not in made):
                    yield f"{op}: nothing makes {name}"
                elif self.values[name].fixed != self.is_fixed(operand):
                    yield f"{op}: {name} is read as {'fixed' if self.is_fixed(operand) else 'varying'}"
                elif name in self.given and lag and not abs(lag) <= self.given[name]:
                    yield f"{op}: {operand} reaches further back than the {self.given[name]} steps given"
                elif name in made and not lag and name not in known:
                    yield f"{op}: {name} is read before it is made"
            known.add(op.out)
            yield from self._misshapen(op)
        for output in self.outputs:
            if output not in known:
                yield f"nothing makes the output {output}"
        for part in self.components():
            inside = {op.out for op in part.steps}
            for op in part.steps:
                for operand in op.operands():
                    if part.cyclic and name_of(operand) in inside and lag_of(operand) * self.direction < 0:
                        yield f"{op}: {operand} lies ahead of the sweep"

    def _misshapen(self, op: Op) -> Iterator[str]:
        out = self.values[op.out]
        varying = any(not self.is_fixed(o) for o in op.operands())
        if isinstance(op, Outer | Total | Combine):
            if not out.fixed:
                yield f"{op}: {op.out} must be fixed"
        elif out.fixed and varying:
            yield f"{op}: {op.out} must be varying"
        match op:
            case Pointwise() | Reduce():
                if len(out.shape) != 1 or any(len(self.values[name_of(o)].shape) != 1 for o in op.operands()):
                    yield f"{op}: a matrix where a vector belongs"
                elif isinstance(op, Reduce) and out.size != ONE:
                    yield f"{op}: a reduction has size 1"
                elif isinstance(op, Pointwise):
                    sizes = {self.size(name_of(o)) for o in op.operands()} - {ONE, out.size}
                    if sizes:
                        yield f"{op}: {op.out} has size {out.size}, its operands {', '.join(map(str, sizes))}"
            case Product():
                for matrix, vector in op.terms:
                    yield from self._beyond(op, matrix.name, matrix.block)
                    rows, columns = self.matrix_shape(matrix)
                    if (rows, columns) != (out.size, self.size(name_of(vector))):
                        yield f"{op}: {matrix} is {rows}×{columns}, {vector} is {self.size(name_of(vector))}"
            case Outer():
                if out.shape != (self.size(name_of(op.left)), self.size(name_of(op.right))):
                    yield f"{op}: {op.out} has the wrong shape"
            case Total():
                if out.shape != self.values[name_of(op.arg)].shape:
                    yield f"{op}: {op.out} has the wrong shape"
            case Combine():
                for term in op.terms:
                    yield from self._beyond(op, term.matrix.name, term.matrix.block)
                    yield from self._beyond(op, op.out, term.into)
                    wanted = out.shape if term.into is None else (out.shape[0], term.into.width)
                    if self.matrix_shape(term.matrix) != wanted:
                        yield f"{op}: {term} does not fit"

    def _beyond(self, op: Op, name: str, block: Block | None) -> Iterator[str]:
        columns = self.values[name].shape[1]
        if block is not None and not (block.start + block.width).within(columns):
            yield f"{op}: {name} has {columns} columns, and those from {block.start} for {block.width} are read"

    def matrix_shape(self, matrix: Matrix) -> tuple[Size, Size]:
        """Rows and columns of a matrix as it is read."""
        rows, columns = self.values[matrix.name].shape
        if matrix.block is not None:
            columns = matrix.block.width
        return (columns, rows) if matrix.transposed else (rows, columns)
