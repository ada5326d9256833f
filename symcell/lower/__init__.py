"""Cell → Graph: each matrix product, reduction and function application becomes an assignment of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sympy
from sympy import Expr, Integer

from symcell.cell import Cell, Size
from symcell.graph import (
    Block,
    Combine,
    Contraction,
    Entry,
    Exit,
    Graph,
    Matrix,
    Pointwise,
    Term,
    alive,
    lag_of,
    name_of,
)
from symcell.lower.bodies import Bodies
from symcell.lower.unfolding import unfolded
from symcell.lower.units import over_units
from symcell.symbolic import functions as fn
from symcell.symbolic.constants import settled
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Flipped,
    Join,
    MatVec,
    OuterProduct,
    Param,
    RowScaled,
)


def lower(cell: Cell) -> Graph:
    """The graph of one step of ``cell``; its outputs are the cell's output signal.

    Raises CellError where an expression has no meaning once its equal parts have cancelled.
    """
    builder = Lowering(cell)
    for signal in cell.order:
        builder.define(signal, settled(cell.equation(signal).rhs))
    return builder.graph()


class Lowering(Bodies):
    """Takes the equations apart, one after the other."""

    def graph(self) -> Graph:
        cell = self.cell
        given = {name: cell.states.get(name, 0) for name in cell.inputs}
        entries = tuple(
            Entry(s, self.names.fresh(f"{s}_first"), k, cell.initial.get(s)) for s, k in cell.states.items()
        )
        exits = tuple(Exit(self.names.fresh(f"{s}_last"), (s,), k) for s, k in cell.states.items())
        steps = tuple(alive(self.steps, cell.signals))
        kept = {*given, *cell.parameters, *cell.arrays, *(op.out for op in steps)}
        values = {n: v for n, v in self.values.items() if n in kept}
        return Graph(cell.name, values, given, (*cell.parameters, *cell.arrays), steps, (cell.output,),
                     entries=entries, exits=exits).check()  # fmt: skip

    def define(self, signal: str, expr: Expr) -> None:
        self.signal = signal
        before = len(self.steps)
        body, order = self.body(expr, self.shallow)
        shape = self.values[signal].shape
        if isinstance(body, At) and len(self.steps) > before and self.rename(body, signal):
            return
        key = (body, shape)
        if isinstance(body, fn.Elementwise) and key not in self.seen and self.shape(body, expr) == shape:
            self.seen[key] = At(signal)
        self.steps.append(Pointwise(signal, body, order))

    def expanded(self, expr: Expr) -> Expr:
        """A composed function in terms of others, what it is taken of computed once."""
        if fn.expand(expr) is expr:
            return expr
        marks = [sympy.Dummy() for _ in expr.args]
        used = Counter(sympy.preorder_traversal(fn.expand(expr.func(*marks))))
        hints = self.argument(expr.text)
        args = [self.atom(a, *hints) if used[m] > 1 else a for a, m in zip(expr.args, marks, strict=True)]
        return fn.expand(expr.func(*args))

    def shallow(self, expr: Expr) -> Expr:
        """``expr`` over operands only, but for a function at its root."""
        expr = self.expanded(expr)
        return self.applied(expr) if isinstance(expr, fn.Elementwise) else self.deep(expr)

    def deep(self, expr: Expr) -> Expr:
        """``expr`` over operands only: what is not arithmetic becomes a step of its own."""
        expr = self.expanded(expr)
        match expr:
            case At() | Param():
                self.met[expr] = None
                return expr
            case sympy.MatrixSymbol():
                return self.deep(Param(str(expr.name)))
            case MatVec():
                return self.matvec(*expr.args)
            case OuterProduct():
                return self.laid(expr.args[0], 0, "left") * self.laid(expr.args[1], 1, "right")
            case RowScaled():
                return self.laid(expr.args[0], 0, "rows") * self.deep(expr.args[1])
            case ColumnScaled():
                return self.deep(expr.args[0]) * self.laid(expr.args[1], 1, "columns")
            case Flipped() | Join():
                what = "a transpose" if isinstance(expr, Flipped) else "a vector of joined parts"
                raise self.error(f"{what} has a meaning only beside @")
            case fn.OverUnits():
                return self.deep(over_units(self, expr))
            case fn.Predicate() | fn.Detached():
                return self.applied(expr)
            case fn.Elementwise():
                return self.called(expr)
        if not expr.args:
            return expr
        rebuilt = expr.func(*(self.deep(a) for a in expr.args))
        return rebuilt.native() if hasattr(rebuilt, "native") else rebuilt

    # matrices

    def matvec(self, matrix: Any, vector: Expr) -> Expr:
        if isinstance(matrix, sympy.MatrixExpr):
            return self.product(self.matrix(matrix), vector)
        simple = unfolded(self.shapes, matrix, vector)
        if not isinstance(simple, MatVec):
            return self.deep(simple)
        leaf, vector = simple.args
        turned = isinstance(leaf, Flipped)
        hints = (f"matrix_in_{self.signal}",)
        shape = self.shapes.of(leaf)
        operand = self.full(leaf.args[0] if turned else leaf, shape[::-1] if turned else shape, *hints)
        return self.product(Matrix(operand, turned), vector)

    def product(self, read: Matrix, vector: Expr) -> Expr:
        if not isinstance(vector, Join):
            return self.contraction(read, vector)
        if isinstance(read.of, At):
            advice = "write the product with each part, by a matrix of its own"
            raise self.error("a matrix that varies is applied to one vector, not to joined ones", advice)
        if read.transposed:
            read = self.combined((Term(Integer(1), read),))
        total, start = [], Size()
        for part in vector.args:
            width = self.shapes.length(part)
            total.append(self.contraction(Matrix(read.of, False, Block(start, width)), part))
            start = start + width
        return sympy.Add(*total)

    def contraction(self, matrix: Matrix, vector: Expr) -> Expr:
        rows, columns = self.values[matrix.name].shape[:: -1 if matrix.transposed else 1]
        columns = matrix.block.width if matrix.block else columns
        operand = self.full(vector, (columns,), *self.argument("matrix"))
        hint = f"{matrix.name}_{name_of(operand)}"
        lag = f"_lag{lag_of(operand)}" if lag_of(operand) else ""
        hints = (
            hint,
            f"{hint}{lag}",
            f"{matrix.name}T_{name_of(operand)}{lag}" if matrix.transposed else f"{hint}{lag}",
        )
        fixed = isinstance(operand, Param) and isinstance(matrix.of, Param)
        return self.assign(hints, (rows,), lambda out: Contraction(out, ((matrix, operand),)), (matrix, operand), fixed)

    def matrix(self, expr: sympy.MatrixExpr) -> Matrix:
        """A fixed matrix as a contraction reads it; a combination is computed once, as a matrix of its own."""
        if isinstance(expr, sympy.MatrixSymbol):
            return Matrix(Param(str(expr.name)))
        if isinstance(expr, sympy.Transpose):
            return self.matrix(expr.arg).T
        return self.combined(tuple(self.term(a) for a in (expr.args if isinstance(expr, sympy.MatAdd) else (expr,))))

    def combined(self, terms: tuple[Term, ...]) -> Matrix:
        shape = self.values[terms[0].matrix.name].shape[:: -1 if terms[0].matrix.transposed else 1]
        hint = f"combined_{terms[0].matrix.name}"
        return Matrix(self.assign((hint,), shape, lambda out: Combine(out, terms), terms, fixed=True))

    def term(self, expr: sympy.MatrixExpr) -> Term:
        if isinstance(expr, sympy.MatMul):
            factor, (rest,) = expr.as_coeff_matrices()
            inner = self.term(rest)
            return Term(factor * inner.factor, inner.matrix)
        return Term(Integer(1), self.matrix(expr))
