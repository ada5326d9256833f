"""A chain of local derivatives as a product of operators, gathered from its source up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sympy import Expr, Integer, Mul

from symcell.adjoint.matrices import split
from symcell.cell import is_one
from symcell.derivation.composites import gradient_row
from symcell.derivation.nodes import ONES, Diagonal, Prime, Vec
from symcell.derivation.operators import Arrange, Factor, kronecker, merged, written
from symcell.graph import Graph, Matrix, Operand, name_of
from symcell.jacobian.local import Applied, Edge, Folded, Multiplied, Picked, Scaled, Summed
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Param

Side = Literal["rows", "columns"]


@dataclass
class Product:
    """What acts on a vector, or on the rows and on the columns of a matrix; ``side`` is where a vector comes from.

    ``shown``: an expression of the graph's values over displayed ones. ``matrix``: a matrix as it stands in a product.
    ``mixed``: whether a matrix has been met since ``done`` was added to.
    """

    graph: Graph
    shown: Callable[[Expr], Expr]
    matrix: Callable[[Matrix], Expr]
    arrange: Arrange
    scale: list[Expr] = field(default_factory=list)
    done: list[Expr] = field(default_factory=list)
    sides: dict[Side, list[Factor]] = field(default_factory=lambda: {"rows": [], "columns": []})
    side: Side = "rows"
    mixed: bool = False

    def meet(self, edge: Edge) -> None:
        """One more factor, on the left."""
        rank, inner = len(edge.shape), len(edge.inner)
        self.mixed |= rank == 2 or inner == 2
        match edge.factor:
            case Scaled() as factor if rank == 2:
                self.spread(factor, edge)
            case Scaled() as factor:
                self.scaled(factor, edge)
            case Multiplied():
                self.put(self.side, Factor("matrix", (self.matrix(edge.factor.matrix),)))
            case Applied():
                self.side = "columns" if edge.factor.transposed else "rows"
                other: Side = "rows" if edge.factor.transposed else "columns"
                self.put(other, Factor("row", (self.shown(edge.factor.vector),)))
            case Folded() as folded:
                self.folded(folded, edge)
            case Summed(axis=None) if inner < 2:
                self.put(self.side, Factor("row", (ONES,)))
            case Picked() if inner < 2:
                step = edge.factor.step
                attains = fn.Equal(self.shown(step.arg), self.shown(At(step.out)))
                self.put(self.side, Factor("row", (attains / fn.UnitSum(attains),)))
            case _:
                raise NotImplementedError(f"a reduction of a matrix within a step: {edge.out}")

    def put(self, side: Side, factor: Factor) -> None:
        self.sides[side].insert(0, factor)

    def scaled(self, factor: Scaled, edge: Edge) -> None:
        """From a vector or a number to a vector or a number."""
        number, slope = factor.slope.as_coeff_Mul()
        if self.is_number(slope):
            number, slope = factor.slope, Integer(1)
        self.scale.append(self.shown(number))
        if edge.mixes or slope != 1:
            met = self.shown(slope) if slope != 1 else ONES
            self.put(self.side, Factor("column" if edge.mixes else "diagonal", (met,)))

    def folded(self, factor: Folded, edge: Edge) -> None:
        """Through a composite: its derivative by its name, a row where its result is one number."""
        applied = self.shown(factor.applied)
        if not factor.unitwise:
            row = gradient_row(applied, Count(edge.inner[0]))
            self.put(self.side, Factor("matrix", (Prime(applied),)) if row is None else Factor("row", (row,)))
        elif is_one(edge.shape):
            self.scale.append(Prime(applied))
        else:
            self.put(self.side, Factor("diagonal", (Prime(applied),)))

    def spread(self, factor: Scaled, edge: Edge) -> None:
        """To a matrix: from one, from a vector laid along an axis, or from a number."""
        found = split(factor.slope, (), self.is_one)
        self.scale += [self.shown(s) for s in found.scalars if s != 1]
        rows, columns = (None if not v else self.shown(Mul(*v)) for v in found.vectors)
        if len(edge.inner) == 2:
            self.onto("rows", "diagonal", rows)
            self.onto("columns", "diagonal", columns)
        elif factor.axis is None and found.inner != 1 and rows is columns is None:
            self.flush()
            self.done.insert(0, Vec(self.arrange(self.shown(found.inner))))
            return
        elif factor.axis is None:
            self.onto("rows", "column", rows or ONES)
            self.onto("columns", "column", columns or ONES)
        else:
            own: Side = "rows" if factor.axis == 0 else "columns"
            self.turn(own)
            self.mixed = True
            self.onto("rows", "diagonal" if own == "rows" else "column", rows or (None if own == "rows" else ONES))
            across = columns or (ONES if own == "rows" else None)
            self.onto("columns", "column" if own == "rows" else "diagonal", across)
        if found.inner != 1:
            self.flush()
            self.done.insert(0, Diagonal(Vec(self.arrange(self.shown(found.inner)))))
            self.mixed = True

    def onto(self, side: Side, kind: Literal["diagonal", "column"], expr: Expr | None) -> None:
        if expr is not None:
            self.put(side, Factor(kind, (expr,)))

    def turn(self, own: Side) -> None:
        """A vector that is laid along the other side than it came from."""
        if self.side == own:
            return
        if self.sides[own]:
            self.flush()
        else:
            self.sides = {own: self.sides[self.side], self.side: []}
        self.side = own

    def flush(self) -> None:
        """Finish what has been gathered, and begin anew."""
        gathered = {side: merged(factors) for side, factors in self.sides.items()}
        for scale, _ in gathered.values():
            self.scale += scale
        if self.mixed:
            whole = kronecker(gathered["columns"][1], gathered["rows"][1], self.arrange)
            self.done[:0] = [] if whole is None else [whole]
        else:
            self.done[:0] = written(gathered[self.side][1], self.arrange)
        self.sides, self.mixed = {"rows": [], "columns": []}, False

    def is_one(self, operand: Operand) -> bool:
        return operand.axis is None and all(size.value({}) == 1 if not size.names else False
                                            for size in self.graph.shape(name_of(operand)))  # fmt: skip

    def is_number(self, expr: Expr) -> bool:
        """Whether an expression of graph values is one number for all units."""
        return all(self.is_one(o) for o in expr.atoms(At, Param))
