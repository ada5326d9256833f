"""Cell → Graph: each matrix product, reduction and function application becomes an assignment of its own."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Expr, Float

from symcell.cell import ONE, Cell, CellError, Shape, Size
from symcell.fresh import Names
from symcell.graph import Block, Combine, Graph, Matrix, Op, Operand, Pointwise, Product, Reduce, Term, Value, name_of
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Join, MatVec, Param, written


def lower(cell: Cell) -> Graph:
    """The graph of one step of ``cell``; its outputs are the cell's output signal."""
    builder = _Builder(cell)
    for signal in cell.order:
        builder.define(signal, written(cell.equation(signal).rhs))
    return builder.graph()


class _Builder:
    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.values: dict[str, Value] = {}
        for name, size in {**cell.inputs, **cell.signals}.items():
            self.values[name] = Value(name, (size,))
        for name, parameter in cell.parameters.items():
            self.values[name] = Value(name, parameter.shape or (ONE,), fixed=True)
        self.names = Names({*self.values, *cell.constants, *cell.sizes})
        self.steps: list[Op] = []
        self.seen: dict[object, Operand] = {}
        self.signal = ""

    def graph(self) -> Graph:
        given = {name: self.cell.states.get(name, 0) for name in self.cell.inputs}
        return Graph(self.cell.name, self.values, given, tuple(self.cell.parameters), tuple(self.steps),
                     (self.cell.output,), states=self.cell.states).check()  # fmt: skip

    def define(self, signal: str, expr: Expr) -> None:
        self.signal = signal
        body = self.shallow(expr)
        if isinstance(body, fn.Elementwise) and body not in self.seen and self.size(body) == self.values[signal].size:
            self.seen[body] = At(signal)
        self.steps.append(Pointwise(signal, body))

    def assign(self, hint: str, shape: Shape, make: Callable[[str], Op], key: object, fixed: bool) -> Operand:
        """The value that ``key`` describes, made by a new step unless an equal one stands already."""
        if key in self.seen:
            return self.seen[key]
        name = self.names.fresh(hint)
        self.values[name] = Value(name, shape, fixed)
        self.steps.append(make(name))
        self.seen[key] = Param(name) if fixed else At(name)
        return self.seen[key]

    def size(self, expr: Expr) -> Size:
        sizes = [self.values[name_of(a)].size for a in sorted(expr.atoms(At, Param), key=lambda a: a.name)]
        return next((s for s in sizes if s != ONE), ONE)

    def atom(self, expr: Expr, hint: str) -> Expr:
        """``expr`` as an operand or a number: given a name of its own where it has none."""
        expr = self.deep(expr)
        if isinstance(expr, At | Param) or expr.is_number:
            return expr
        return self.assign(hint, (self.size(expr),), lambda out: Pointwise(out, expr), expr, not expr.atoms(At))

    def shallow(self, expr: Expr) -> Expr:
        """``expr`` over operands only, but for a function at its root."""
        expr = fn.expand(expr)
        if isinstance(expr, fn.Elementwise):
            return self.applied(expr)
        return self.deep(expr)

    def applied(self, expr: fn.Elementwise) -> Expr:
        hint = f"a_{self.signal}"
        args = [self.applied(a) if isinstance(a, fn.Predicate) else self.atom(a, hint) for a in expr.args]
        return expr.func(*args)

    def deep(self, expr: Expr) -> Expr:
        """``expr`` over operands only: what is not arithmetic becomes a step of its own."""
        expr = fn.expand(expr)
        if not expr.args or isinstance(expr, At | Param):
            return expr
        if isinstance(expr, MatVec):
            return self.matvec(*expr.args)
        if isinstance(expr, fn.OverUnits):
            return self.deep(self.over_units(expr))
        if isinstance(expr, fn.Predicate):
            return self.applied(expr)
        if isinstance(expr, fn.Elementwise):
            body = self.applied(expr)
            if body.is_number or not body.atoms(At, Param):
                return body
            arg = next(a for a in sympy.preorder_traversal(body) if isinstance(a, At | Param))
            hint = f"{expr.text}_{name_of(arg)}"
            return self.assign(hint, (self.size(body),), lambda out: Pointwise(out, body), body, not body.atoms(At))
        return expr.func(*(self.deep(a) for a in expr.args))

    def over_units(self, expr: Expr) -> Expr:
        """A function over units by sums and maxima over units; the language's definition of each."""
        value = self.atom(expr.args[0], f"a_{self.signal}")
        if value.is_number and not expr.args[0].atoms(At, Param):
            where = f"{self.cell.name}.cell:{self.cell.lines.get(self.signal, 1)}:1"
            raise CellError(f"{where}: {expr.text} is taken of what is always {value}; write the result in its place")
        rest = expr.args[1:]
        match expr:
            case fn.UnitSum():
                return self.reduce("sum", value)
            case fn.UnitMax():
                return self.reduce("max", value)
            case fn.UnitMean():
                return self.mean(value)
            case fn.UnitVar():
                return self.mean(self.centred(value) ** 2)
            case fn.UnitNorm():
                return fn.EuclideanRoot(self.reduce("sum", value**2))
            case fn.Dot():
                return self.reduce("sum", value * self.deep(rest[0]))
            case fn.Softmax():
                weight = self.atom(fn.Exp(value - fn.Detached(self.reduce("max", value))), f"exp_{self.signal}")
                return weight / self.reduce("sum", weight)
            case fn.LayerNorm():
                centred = self.centred(value)
                normal = centred / fn.Sqrt(self.mean(centred**2) + Float(fn.NORM_EPSILON))
            case fn.RmsNorm():
                normal = value / fn.Sqrt(self.mean(value**2) + Float(fn.NORM_EPSILON))
            case _:
                raise NotImplementedError(f"no definition of {expr.text}")
        gained = normal * rest[0] if rest else normal
        return gained + rest[1] if len(rest) > 1 else gained

    def reduce(self, kind: str, expr: Expr) -> Expr:
        value = self.atom(expr, f"a_{self.signal}")
        if self.size(value) == ONE:
            return value
        key = (kind, value)
        make = lambda out: Reduce(out, "max" if kind == "max" else "sum", value)  # noqa: E731
        return self.assign(f"{kind}_{name_of(value)}", (ONE,), make, key, isinstance(value, Param))

    def mean(self, expr: Expr) -> Expr:
        value = self.atom(expr, f"a_{self.signal}")
        if self.size(value) == ONE:
            return value
        return self.reduce("sum", value) / Count(self.size(value))

    def centred(self, value: Expr) -> Expr:
        return self.atom(value - self.mean(value), f"centred_{name_of(value)}")

    def matvec(self, matrix: sympy.MatrixExpr, vector: Expr) -> Expr:
        read = self.matrix(matrix)
        if not isinstance(vector, Join):
            return self.product(read, vector)
        total, start = sympy.Integer(0), Size()
        for part in vector.args:
            operand = self.atom(part, f"a_{self.signal}")
            width = self.size(operand)
            if read.transposed:
                read = self.settled(read)
            total += self.product(Matrix(read.name, False, Block(start, width)), operand)
            start = start + width
        return total

    def product(self, matrix: Matrix, vector: Expr) -> Expr:
        rows, columns = self.values[matrix.name].shape[:: -1 if matrix.transposed else 1]
        operand = self.atom(vector, f"a_{self.signal}")
        if operand.is_number:
            columns = columns if matrix.block is None else matrix.block.width
            key = ("constant", operand, columns)
            operand = self.assign("constant", (columns,), lambda out: Pointwise(out, vector), key, fixed=True)
        hint = f"{matrix.name}_{name_of(operand)}"
        return self.assign(hint, (rows,), lambda out: Product(out, ((matrix, operand),)), (matrix, operand),
                           isinstance(operand, Param))  # fmt: skip

    def matrix(self, expr: sympy.MatrixExpr) -> Matrix:
        """A matrix expression as something a product can read; a combination is computed once, as a fixed matrix."""
        if isinstance(expr, sympy.MatrixSymbol):
            return Matrix(expr.name)
        if isinstance(expr, sympy.Transpose):
            return self.matrix(expr.arg).T
        terms = tuple(self.term(a) for a in (expr.args if isinstance(expr, sympy.MatAdd) else (expr,)))
        return self.combined(terms)

    def settled(self, matrix: Matrix) -> Matrix:
        """A transposed matrix as a matrix of its own, so that columns can be taken of it."""
        return self.combined((Term(sympy.Integer(1), matrix),))

    def combined(self, terms: tuple[Term, ...]) -> Matrix:
        shape = self.values[terms[0].matrix.name].shape
        shape = shape[::-1] if terms[0].matrix.transposed else shape
        hint = f"combined_{terms[0].matrix.name}"
        return Matrix(name_of(self.assign(hint, shape, lambda out: Combine(out, terms), terms, fixed=True)))

    def term(self, expr: sympy.MatrixExpr) -> Term:
        if isinstance(expr, sympy.MatMul):
            factor, (rest,) = expr.as_coeff_matrices()
            inner = self.term(rest)
            return Term(factor * inner.factor, inner.matrix)
        return Term(sympy.Integer(1), self.matrix(expr))
