"""The forward step as a reader wants to see it: a name for what deserves one, everything else in its place.

Lowering gives every product, reduction and function application a name; here products, reductions, combined matrices
and short expressions go back to where they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy
from sympy import Expr

from symcell.cell import Cell
from symcell.derivation.arrange import Ranks, names_in
from symcell.derivation.composites import is_composed
from symcell.derivation.matrices import assembled, laid
from symcell.derivation.nodes import Columns, shifted
from symcell.derivation.sizes import dims_of
from symcell.derivation.textbook import Occurrence, Textbook, letters, lower_case
from symcell.fresh import Names
from symcell.graph import Combine, Contraction, Graph, Matrix, Op, Operand, Pointwise, Reduce, Term, lag_of, name_of
from symcell.jacobian.local import Folded
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Flipped, MatVec, Param

SHORT = 6
"""An intermediate of at most so many operations may stand in place of its name."""


@dataclass(frozen=True, eq=False)
class Forward:
    """``named``: the values with a name, in order of computation, each with its body; ``inlined``: the others, but for
    those that a composite is made of.
    """

    textbook: Textbook
    graph: Graph
    named: Mapping[str, Expr]
    inlined: Mapping[str, Expr]
    matrices: Mapping[str, sympy.MatrixExpr]
    owner: Mapping[str, str]
    """For each value made by a step, the signal whose equation it came from."""
    _ranks: dict[str, Ranks] = field(default_factory=dict)

    @property
    def cell(self) -> Cell:
        """The cell in textbook form, whose graph this is."""
        return self.textbook.cell

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
        if signal not in self._ranks:
            self._ranks[signal] = self._ranks_in(signal)
        return self._ranks[signal]

    def _ranks_in(self, signal: str) -> Ranks:
        within = {o.value: o.argument for o in self.textbook.occurrences if o.inside}
        order = [*(within.get(n, n) for n in names_in(self.cell.equation(signal).rhs)), *self.graph.values]
        ranks = Ranks.of(order, self.graph, text=True)
        for name, body in self.named.items():
            if name != signal and self.owner[name] == signal:
                ranks[name] = min((ranks[n] for n in names_in(body)), default=ranks[name])
        return ranks

    def folded(self) -> dict[str, Folded]:
        """The composites, whose inner steps no reader sees."""
        found = {}
        for of in self.textbook.occurrences:
            members = (n for n, owner in self.owner.items() if owner == of.value and n != of.value)
            found[of.value] = Folded(of.argument, of.applied, frozenset(members), is_composed(of.applied))
        return found

    def all_ranks(self) -> Ranks:
        """Where names stand in the order of computation."""
        return Ranks.of([*self.graph.given, *self.named, *self.graph.values], self.graph)

    def taken(self) -> list[str]:
        """Names of the cell that mean something else in a derivation: how many steps there are, and the loss."""
        cell = self.textbook.source
        own = {*cell.signals, *cell.inputs, *cell.parameters, *cell.arrays, *cell.constants}
        return [name for name in ("T", "L") if name in own]

    def display_names(self) -> dict[str, str]:
        """What intermediate values are called in print: ``w_i`` for what ``W_i`` makes, ``a_i`` for what is in i."""
        source, cell = self.textbook.source, self.cell
        names = Names({*cell.signals, *cell.inputs, *cell.parameters, *cell.arrays, *cell.constants, *cell.sizes})
        found = dict(self.textbook.names)
        found |= {name: names.fresh(f"{name}_cell", f"{name}_own") for name in self.taken()}
        free = letters(source) or ["aux"]
        for name, body in self.named.items():
            if name not in cell.signals and not self.graph.values[name].fixed:
                hints = list(lower_case(str(body.args[0].name))) if _is_product(body) else []
                owner = self.textbook.origin(self.owner[name])
                matrix = len(self.graph.shape(name)) == 2
                found[name] = names.fresh(*hints, *(f"{x.upper() if matrix else x}_{owner}" for x in free))
        return found


def _is_product(body: Expr) -> bool:
    return isinstance(body, MatVec) and isinstance(body.args[0], sympy.MatrixSymbol)


def read_forward(of: Cell | Textbook, graph: Graph, keep: frozenset[str] = frozenset()) -> Forward:
    """The displayed forward step of ``graph``, that of a cell in textbook form; or of a cell as it stands.

    The intermediates in ``keep`` have a name whatever they are.
    """
    builder = _Reader(Textbook(of, of) if isinstance(of, Cell) else of, graph, keep)
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
    def __init__(self, book: Textbook, graph: Graph, keep: frozenset[str]) -> None:
        self.keep = keep
        self.composites = {o.value: o for o in book.occurrences}
        self.plain = {o.argument for o in book.occurrences if o.plain}
        self.named: dict[str, Expr] = {}
        self.inlined: dict[str, Expr] = {}
        self.matrices: dict[str, sympy.MatrixExpr] = {
            name: sympy.MatrixSymbol(name, *(s.symbol() for s in value.shape))
            for name, value in graph.values.items()
            if len(value.shape) == 2 and name in graph.fixed
        }
        self.result = Forward(book, graph, self.named, self.inlined, self.matrices, _owners(book.cell, graph))

    def visit(self, op: Op) -> None:
        if isinstance(op, Combine):
            self.matrices[op.out] = sympy.MatAdd(*(self.term(t) for t in op.terms), evaluate=False)
            return
        composite = self.composites.get(self.result.owner[op.out])
        if composite is not None and op.out != composite.value:
            return
        body = self.body(op) if composite is None else self.applied(composite)
        inside = op.out in self.plain or (composite is not None and composite.inside)
        inline = op.out not in self.result.cell.signals and op.out not in self.keep and self.short(op, body)
        (self.inlined if inside or inline else self.named)[op.out] = body

    def applied(self, of: Occurrence) -> Expr:
        return of.applied.xreplace({At(of.argument): self.result.read(At(of.argument))})

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
