"""The forward step as a reader wants to see it: a name for what deserves one, everything else in its place.

Lowering gives every product, reduction and function application a name; here products, reductions, combined matrices
and short expressions go back to where they are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr

from symcell.cell import Cell
from symcell.derivation.arrange import Ranks, names_in
from symcell.derivation.matrices import assembled, laid
from symcell.derivation.nodes import Columns, shifted
from symcell.derivation.sizes import dims_of
from symcell.fresh import Names
from symcell.graph import Combine, Contraction, Graph, Matrix, Op, Operand, Pointwise, Reduce, Term, lag_of, name_of
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Flipped, MatVec, Param

_NUMBERED = re.compile(r"(.+)_\d+")

SHORT = 6
"""An intermediate of at most so many operations may stand in place of its name."""


@dataclass(frozen=True, eq=False)
class Forward:
    """``named``: the values with a name, in order of computation, each with its body; ``inlined``: the others."""

    cell: Cell
    graph: Graph
    named: Mapping[str, Expr]
    inlined: Mapping[str, Expr]
    matrices: Mapping[str, sympy.MatrixExpr]
    owner: Mapping[str, str]
    """For each value made by a step, the signal whose equation it came from."""

    def read(self, operand: Operand) -> Expr:
        """An operand as it is displayed: itself, or what stands in place of it."""
        name = name_of(operand)
        plain = operand.along(None)
        return laid(shifted(self.inlined[name], lag_of(operand)) if name in self.inlined else plain, operand)

    def matrix(self, matrix: Matrix) -> Expr:
        """A matrix as it stands left of a vector: SymPy's where it is fixed, elementwise where it varies."""
        if isinstance(matrix.of, At):
            varying = self.read(matrix.of)
            return Flipped(varying) if matrix.transposed else varying
        expr = self.matrices[matrix.name]
        if matrix.block is not None:
            expr = Columns.of(expr, matrix.block.start, matrix.block.width)
        return sympy.Transpose(expr) if matrix.transposed else expr

    def ranks(self, signal: str) -> Ranks:
        """Where names stand: in the equation of ``signal`` first (an intermediate where its body begins), then in the
        order of the graph.
        """
        order = [*names_in(self.cell.equation(signal).rhs), *self.graph.values]
        ranks = {name: k for k, name in enumerate(dict.fromkeys(order))}
        for name, body in self.named.items():
            if name != signal and self.owner[name] == signal:
                ranks[name] = min((ranks[n] for n in names_in(body)), default=ranks[name])
        return ranks

    def display_names(self) -> dict[str, str]:
        """For intermediates with a number in their name a lower one, where the plainer name is not shown."""
        cell = self.cell
        taken = {*cell.signals, *cell.inputs, *cell.parameters, *cell.constants, *cell.sizes}
        names = Names(taken | {n for n in self.named if n not in cell.signals and not _NUMBERED.fullmatch(n)})
        found: dict[str, str] = {}
        for name in self.named:
            numbered = _NUMBERED.fullmatch(name)
            if name not in cell.signals and numbered and numbered[1] in self.graph.values:
                found[name] = names.fresh(numbered[1])
        return found


def read_forward(cell: Cell, graph: Graph, keep: frozenset[str] = frozenset()) -> Forward:
    """The displayed forward step; the intermediates in ``keep`` have a name whatever they are."""
    builder = _Reader(cell, graph, keep)
    for op in graph.steps:
        builder.visit(op)
    return builder.result


def weight(expr: Expr) -> int:
    """How many operations an expression writes down."""
    if isinstance(expr, sympy.MatrixExpr) or not expr.args:
        return 0
    inner = sum(weight(a) for a in expr.args)
    return inner + (len(expr.args) - 1 if isinstance(expr, sympy.Add | sympy.Mul) else 1)


class _Reader:
    def __init__(self, cell: Cell, graph: Graph, keep: frozenset[str]) -> None:
        self.keep = keep
        self.named: dict[str, Expr] = {}
        self.inlined: dict[str, Expr] = {}
        self.matrices: dict[str, sympy.MatrixExpr] = {
            name: sympy.MatrixSymbol(name, *(s.symbol() for s in value.shape))
            for name, value in graph.values.items()
            if len(value.shape) == 2 and name in graph.fixed
        }
        self.result = Forward(cell, graph, self.named, self.inlined, self.matrices, _owners(cell, graph))

    def visit(self, op: Op) -> None:
        if isinstance(op, Combine):
            self.matrices[op.out] = sympy.MatAdd(*(self.term(t) for t in op.terms), evaluate=False)
            return
        body = self.body(op)
        inline = op.out not in self.result.cell.signals and op.out not in self.keep and self.short(op, body)
        (self.inlined if inline else self.named)[op.out] = body

    def body(self, op: Op) -> Expr:
        match op:
            case Pointwise():
                body = op.body.xreplace({o: self.result.read(o) for o in op.operands()})
                return assembled(body, lambda e: dims_of(self.result.graph, e))
            case Contraction():
                return sympy.Add(*(MatVec(self.result.matrix(m), self.result.read(v)) for m, v in op.terms))
            case Reduce():
                return (fn.UnitSum if op.kind == "sum" else fn.UnitMax)(self.result.read(op.arg))
        raise NotImplementedError(f"a forward step of kind {type(op).__name__}")

    def short(self, op: Op, body: Expr) -> bool:
        if isinstance(op, Contraction | Reduce):
            return True
        return not isinstance(body, sympy.Add) and weight(body) <= SHORT

    def term(self, term: Term) -> sympy.MatrixExpr:
        matrix = self.result.matrix(term.matrix)
        return matrix if term.factor == 1 else sympy.MatMul(term.factor, matrix, evaluate=False)


def _owners(cell: Cell, graph: Graph) -> dict[str, str]:
    owners: dict[str, str] = {}
    waiting: list[str] = []
    for op in graph.steps:
        waiting.append(op.out)
        if op.out in cell.signals:
            owners |= dict.fromkeys(waiting, op.out)
            waiting.clear()
    return owners


def symbol_of(graph: Graph, name: str) -> Operand:
    """A value at this step as an operand."""
    return Param(name) if graph.values[name].fixed else At(name)
