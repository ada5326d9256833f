"""One step of a cell in normal form: sums of products, everything that is computed within the step written out.

Signals read at the same step are replaced by what they are, products are multiplied out, matrices are applied to each
term by itself. So ``(1 - z)*n + z*h`` and ``n + z*(h - n)`` are one form. Forms are numbered: equal ones have one
number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import sympy

from symcell.cell import Cell, Shape, Size, is_one
from symcell.graph import Block, Combine, Contraction, Graph, Matrix, Outer, Pointwise, Reduce
from symcell.lower import lower
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param

TERMS = 2000
"""How many terms a product may have when it is multiplied out; a longer one stays a product."""

POWER = 16
"""The largest exponent that is taken for a product."""


class Leaf(NamedTuple):
    """``kind``: parameter, array, input or state; ``name`` at ``t - lag``."""

    kind: str
    name: str
    lag: int = 0


class Number(NamedTuple):
    """A number that is no fraction (π, √2), or how many units there are (a Size)."""

    value: Any


class View(NamedTuple):
    """``of`` laid along an axis of a matrix ("0", "1"), transposed ("T"), or some of its columns ("block")."""

    of: int
    how: str
    start: Size | None = None
    width: Size | None = None


class Call(NamedTuple):
    """A function of sums, unit by unit; ``power`` with a fixed ``exponent``."""

    function: str
    args: tuple[int, ...]
    exponent: Fraction | None = None


class Product(NamedTuple):
    """One term of a matrix with one term of a vector."""

    matrix: int
    vector: int


class Reduced(NamedTuple):
    """A sum or maximum over the units of a value of this shape."""

    kind: str
    axis: int | None
    shape: Shape
    arg: int


class Bracket(NamedTuple):
    """A sum as a factor, where it is not multiplied out."""

    total: int


Monomial = tuple[tuple[int, int], ...]
"""Numbers of factors, each with its exponent, sorted."""


class Total(NamedTuple):
    """A sum: each product with its coefficient."""

    terms: frozenset[tuple[Monomial, Fraction]]


Node = Leaf | Number | View | Call | Product | Reduced | Bracket | Total
Terms = dict[Monomial, Fraction]


@dataclass(frozen=True)
class Piece:
    """Some columns of a parameter that is only read in such pieces (``W @ [h, x]``): a matrix like any other."""

    name: str
    rows: Size
    width: Size

    @property
    def shape(self) -> Shape:
        return (self.rows, self.width)


@dataclass(frozen=True)
class Forms:
    """A cell's step: ``nodes`` by number, each behind those that it is made of; the numbers of what the output, the
    states and all signals are. ``pieces``: of each parameter that is read in pieces, all its columns in order."""

    cell: Cell
    nodes: tuple[Node, ...]
    output: int
    states: Mapping[str, int]
    signals: Mapping[str, int]
    pieces: Mapping[str, tuple[Piece, ...]]

    def roots(self) -> dict[tuple[str, str], int]:
        """The numbers that say all, by (what, of which name)."""
        return {("output", ""): self.output, **{("state", name): number for name, number in self.states.items()}}


def forms(cell: Cell, without: Iterable[str] = ()) -> Forms:
    """The normal form of a cell; the parameters in ``without`` are zero."""
    return _Builder(cell, frozenset(without)).forms()


class _Builder:
    def __init__(self, cell: Cell, without: frozenset[str]) -> None:
        self.cell, self.without = cell, without
        self.graph: Graph = lower(cell)
        self.made = self.graph.producer()
        self.nodes: list[Node] = []
        self.numbers: dict[Node, int] = {}
        self.single: list[bool] = []
        """Of each node, whether it has one unit, which broadcasts."""
        self.known: dict[str, int] = {}
        self.pieces = dict(_pieces(self.graph, cell))

    def forms(self) -> Forms:
        for op in self.graph.steps:
            self.value(op.out)  # in order, so that none waits for a long line of others
        signals = {name: self.value(name) for name in self.cell.signals}
        states = {name: signals[name] for name in self.cell.states if name in signals}
        return Forms(self.cell, tuple(self.nodes), signals[self.cell.output], states, signals, self.pieces)

    # numbering

    def node(self, node: Node, single: bool) -> int:
        if node not in self.numbers:
            self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
            self.single.append(single)
        return self.numbers[node]

    def total(self, terms: Terms) -> int:
        kept = {m: c for m, c in terms.items() if c}
        return self.node(Total(frozenset(kept.items())), all(self.single[f] for m in kept for f, _ in m))

    def terms(self, total: int) -> Terms:
        node = self.nodes[total]
        assert isinstance(node, Total)
        return dict(node.terms)

    def factor(self, node: Node, single: bool) -> Terms:
        return {((self.node(node, single), 1),): Fraction(1)}

    # values

    def value(self, name: str) -> int:
        """What the graph's value ``name`` is."""
        if name not in self.known:
            self.known[name] = self.total(self.computed(name))
        return self.known[name]

    def computed(self, name: str) -> Terms:
        match self.made.get(name):
            case Pointwise() as op:
                return self.body(op.body)
            case Contraction() as op:
                return _sum(self.applied(self.matrix(m), self.read(v), m) for m, v in op.terms)
            case Outer() as op:
                return self.times(self.read(op.left.along(0)), self.read(op.right.along(1)))
            case Reduce() as op:
                arg = self.total(self.read(op.arg))
                shape = self.graph.shape(op.arg.signal)
                return self.factor(Reduced(op.kind, op.axis, shape, arg), op.axis is None) if self.terms(arg) else {}
            case Combine() as op:
                return _sum(_scaled(self.matrix(t.matrix), _fraction(t.factor)) for t in op.terms)
        kind = "array" if name in self.cell.arrays else "parameter" if name in self.cell.parameters else "input"
        return {} if name in self.without else self.factor(Leaf(kind, name), is_one(self.graph.shape(name)))

    def read(self, operand: At | Param) -> Terms:
        name, lag = operand.signal, operand.lag if isinstance(operand, At) else 0
        if lag:
            kind = "state" if name in self.cell.signals else "input"
            terms = self.factor(Leaf(kind, name, lag), is_one(self.graph.shape(name)))
        else:
            terms = self.terms(self.value(name))
        return terms if operand.axis is None else self.viewed(terms, str(operand.axis))

    def matrix(self, matrix: Matrix) -> Terms:
        if matrix.name in self.pieces and matrix.block is not None and matrix.name not in self.without:
            return self.factor(Leaf("parameter", _piece_name(matrix.name, matrix.block)), False)
        terms = self.read(matrix.of)
        if matrix.block is not None:
            terms = self.viewed(terms, "block", matrix.block.start, matrix.block.width)
        return self.viewed(terms, "T") if matrix.transposed else terms

    def applied(self, matrix: Terms, vector: Terms, read: Matrix) -> Terms:
        one = is_one(self.graph.matrix_shape(read)[:1])
        found: list[Terms] = []
        for m, c in matrix.items():
            for v, d in vector.items():
                product = Product(self.total({m: Fraction(1)}), self.total({v: Fraction(1)}))
                found.append(_scaled(self.factor(product, one), c * d))
        return _sum(found)

    # views

    def viewed(self, terms: Terms, how: str, start: Size | None = None, width: Size | None = None) -> Terms:
        """Terms looked at otherwise, factor by factor."""
        found = []
        for monomial, coefficient in terms.items():
            factors = (self.seen(f, how, start, width) for f, _ in monomial)
            powers = [(f, e) for f, (_, e) in zip(factors, monomial, strict=True)]
            found.append({_monomial(powers): coefficient})
        return _sum(found)

    def seen(self, number: int, how: str, start: Size | None, width: Size | None) -> int:
        node = self.nodes[number]

        def again(total: int) -> int:
            return self.total(self.viewed(self.terms(total), how, start, width))

        if self.single[number]:
            return number
        match node:
            case Call():
                return self.node(node._replace(args=tuple(map(again, node.args))), False)
            case Bracket():
                return self.node(Bracket(again(node.total)), False)
            case View(how="T") if how == "T":
                return node.of
            case View(how="0" | "1") if how == "T":
                return self.node(node._replace(how="10"[int(node.how)]), False)
        return self.node(View(number, how, start, width), False)

    # bodies

    def body(self, expr: sympy.Expr) -> Terms:
        match expr:
            case At() | Param():
                return self.read(expr)
            case Count():
                return self.factor(Number(expr.size), True)
            case Constant():
                return self.body(expr.value)
            case sympy.Rational() | sympy.Float():
                return {(): _fraction(expr)}
            case sympy.Add():
                return _sum(self.body(a) for a in expr.args)
            case sympy.Mul():
                product: Terms = {(): Fraction(1)}
                for a in expr.args:
                    product = self.times(product, self.body(a))
                return product
            case sympy.Pow():
                return self.power(self.body(expr.base), expr.exp)
            case fn.Less(args=(left, right)):
                return self.body(fn.Greater(right, left))
            case fn.LessEqual(args=(left, right)):
                return self.body(fn.GreaterEqual(right, left))
            case fn.Elementwise():
                args = tuple(self.total(self.body(a)) for a in expr.args)
                return self.factor(Call(expr.text, args), all(self.single[a] for a in args))
        return self.factor(Number(sympy.srepr(expr)), True)

    def power(self, base: Terms, exponent: sympy.Expr) -> Terms:
        if not exponent.is_Integer or abs(exponent) > POWER:
            args = (self.total(base),) if exponent.is_number else (self.total(base), self.total(self.body(exponent)))
            raised = _fraction(exponent) if exponent.is_number else None
            return self.factor(Call("power", args, raised), all(self.single[a] for a in args))
        count = int(exponent)
        if len(base) == 1:
            ((monomial, coefficient),) = base.items()
            return {_monomial((f, e * count) for f, e in monomial): coefficient**count}
        if count < 0:
            total = self.total(base)
            return {((self.node(Bracket(total), self.single[total]), count),): Fraction(1)}
        product: Terms = {(): Fraction(1)}
        for _ in range(count):
            product = self.times(product, base)
        return product

    def times(self, left: Terms, right: Terms) -> Terms:
        if len(left) * len(right) > TERMS:
            totals = [self.total(terms) for terms in (left, right)]
            return {_monomial((self.node(Bracket(t), self.single[t]), 1) for t in totals): Fraction(1)}
        return _sum({_monomial((*m, *n)): c * d} for m, c in left.items() for n, d in right.items())


def _pieces(graph: Graph, cell: Cell) -> Iterator[tuple[str, tuple[Piece, ...]]]:
    """The parameters that are read in pieces alone, always the same ones."""
    blocks: dict[str, set[Block | None]] = {}
    for op in graph.steps:
        terms = op.terms if isinstance(op, Contraction) else ()
        for matrix, _ in terms:
            blocks.setdefault(matrix.name, set()).add(None if matrix.transposed else matrix.block)
        whole = [v for _, v in terms] if terms else op.operands()
        for operand in whole:
            blocks.setdefault(operand.signal, set()).add(None)
    for name, several in blocks.items():
        if name in cell.parameters and None not in several:
            rows, columns = cell.parameters[name].shape
            found, start = [], Size()
            while start != columns:
                block = next((b for b in several if b and b.start == start), None)
                if block is None:
                    break
                found.append(Piece(_piece_name(name, block), rows, block.width))
                start = start + block.width
            if start == columns and len(found) == len(several):
                yield name, tuple(found)


def _piece_name(name: str, block: Block) -> str:
    return f"{name}[:, {block.start}:{block.start + block.width}]"


def _monomial(powers: Iterable[tuple[int, int]]) -> Monomial:
    """A product of powers; equal factors are one."""
    found: dict[int, int] = {}
    for factor, exponent in powers:
        found[factor] = found.get(factor, 0) + exponent
    return tuple(sorted((f, e) for f, e in found.items() if e))


def _sum(several: Iterable[Terms]) -> Terms:
    found: Terms = {}
    for terms in several:
        for monomial, coefficient in terms.items():
            found[monomial] = found.get(monomial, Fraction(0)) + coefficient
    return {m: c for m, c in found.items() if c}


def _scaled(terms: Terms, by: Fraction) -> Terms:
    return {m: c * by for m, c in terms.items()}


def _fraction(number: Any) -> Fraction:
    """A number of SymPy's exactly; one that is no fraction as the nearest float."""
    value = number.xreplace({c: c.value for c in number.atoms(Constant)})
    return Fraction(int(value.p), int(value.q)) if value.is_Rational else Fraction(float(value))
