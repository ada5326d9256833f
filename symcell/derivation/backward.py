"""The adjoint sweep as a reader wants to see it: the textbook recursion in δ.

Carried values are put in place with their time shifted (lag k → t+k), and every cotangent without a displayed forward
value goes where it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr

from symcell.adjoint import Adjoint
from symcell.cell import Size
from symcell.derivation.composites import is_composed
from symcell.derivation.forward import SHORT, Forward, read_forward, weight
from symcell.derivation.matrices import assembled, laid
from symcell.derivation.nodes import (
    ONES,
    Bar,
    Beside,
    Delta,
    Gradient,
    GradientOf,
    InitialTotal,
    Last,
    Outer,
    Prime,
    Pullback,
    Total,
    TransposeOf,
    shifted,
)
from symcell.derivation.sizes import dims_of, unit_sum
from symcell.derivation.textbook import Occurrence
from symcell.graph import (
    Block,
    Combine,
    Contraction,
    Edge,
    Matrix,
    Op,
    Operand,
    Outer as OuterStep,
    Pointwise,
    Reduce,
    Term,
    Total as TotalStep,
    lag_of,
    name_of,
)
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Flipped, MatVec, Param


@dataclass(frozen=True, eq=False)
class StateEnds:
    """A state's cotangent at its two ends: from the last step on, and before the first one."""

    value: str
    depth: int
    last: Expr
    initial: Expr


@dataclass(frozen=True, eq=False)
class Backward:
    """``deltas``: for each displayed value the body of its δ, in the order of the backward sweep.

    ``sources``: where the adjoint graph holds each δ, as an operand of that graph. ``gradients``: for each parameter
    (and each combined matrix or fixed value with a name, before its first reader) the body of its gradient.
    """

    forward: Forward
    adjoint: Adjoint
    deltas: Mapping[str, Expr]
    sources: Mapping[str, Operand]
    ends: tuple[StateEnds, ...]
    gradients: Mapping[str, Expr]

    def gradient_symbol(self, name: str) -> Expr:
        """``∂L/∂name`` as a left side."""
        return _gradient(self.forward, name)


def read_backward(forward: Forward, adjoint: Adjoint) -> Backward:
    """The displayed backward sweep; a long cotangent read in several places gives its forward value a name."""
    forward = read_forward(forward.textbook, forward.graph, _matrices(forward) | frozenset(forward.named))
    while True:
        reader = _Reader(forward, adjoint)
        heavy = reader.heavy()
        if not heavy:
            return reader.result()
        forward = read_forward(forward.textbook, forward.graph, heavy | frozenset(forward.named))


def _matrices(forward: Forward) -> frozenset[str]:
    """Varying matrices that are a function of others: what they send back is short by their name."""
    values = forward.graph.values
    return frozenset(n for n, body in forward.inlined.items() if len(values[n].shape) == 2 and not values[n].fixed
                     and isinstance(body, fn.Elementwise))  # fmt: skip


def _gradient(forward: Forward, name: str) -> Expr:
    combined = name in forward.matrices and name not in forward.graph.fixed
    return GradientOf(forward.matrices[name]) if combined else Gradient(name)


def cotangent_steps(adjoint: Adjoint, shown: Forward) -> dict[str, str]:
    """For each forward value whose cotangent is a step of the adjoint graph, that step's name.

    Where several values share one step (a term of a sum passes its cotangent on), the step is the first one's: the
    adjoint comes to the forward steps backwards, then to what is given; those that a composite is made of come last.
    """
    made = adjoint.graph.producer()
    used = set(adjoint.carries)
    found: dict[str, str] = {}
    backwards = [op.out for op in reversed(adjoint.forward.steps)]
    order = dict.fromkeys((*backwards, *adjoint.forward.values))
    inner = {o.argument for o in shown.textbook.occurrences if o.plain}
    inner |= {n for n in backwards if n not in shown.named and n not in shown.inlined and n not in shown.matrices}
    for value in sorted(order, key=lambda n: n in inner):
        operand = adjoint.cotangents.get(value)
        if operand is not None and name_of(operand) in made and name_of(operand) not in used:
            found[value] = name_of(operand)
            used.add(name_of(operand))
    return found


class _Reader:
    def __init__(self, forward: Forward, adjoint: Adjoint) -> None:
        self.forward, self.adjoint = forward, adjoint
        self.producer = adjoint.graph.producer()
        self.reading: dict[Operand, list[Op]] = {}
        for op in forward.graph.steps:
            for operand in dict.fromkeys(op.operands()):
                self.reading.setdefault(operand, []).append(op)
        self.outputs = {seed: output for output, seed in adjoint.seeds.items()}
        self.steps = cotangent_steps(adjoint, forward)
        self.composites = self.sent_back()
        self.carries: dict[str, dict[str, int]] = {}
        for out, carry in adjoint.carries.items():
            self.carries.setdefault(carry.value, {})[out] = carry.lag
        self.left_at = {adjoint.leaving[e.name]: e.value for e in forward.graph.entries if e.name in adjoint.leaving}
        self.shown = [*forward.named, *forward.graph.given]
        self.symbols: dict[str, tuple[str, int]] = {}
        self.bodies: dict[str, Expr] = {}
        self.readers: dict[str, int] = {}
        for value in self.shown:
            source = self.source(value)
            if isinstance(source, At):
                self.symbols[source.signal] = (value, -source.lag)

    def source(self, value: str) -> Operand | None:
        """The step that makes a value's cotangent: its own, or the one carry that is all there is."""
        fixed = self.forward.graph.values[value].fixed
        if value in self.steps:
            return Param(self.steps[value]) if fixed else At(self.steps[value])
        carries = self.carries.get(value, {})
        if len(carries) == 1 and value not in self.adjoint.seeds:
            ((out, lag),) = carries.items()
            return At(out, -lag)
        return None

    # reading

    def read(self, operand: Operand) -> Expr:
        """An operand of the adjoint's graph as it is displayed, laid along an axis where it is."""
        return laid(self.plain(operand.along(None)), operand)

    def plain(self, operand: Operand) -> Expr:
        name, lag = name_of(operand), lag_of(operand)
        if name in self.symbols:
            value, shift = self.symbols[name]
            return Delta(value, lag + shift)
        if name in self.outputs:
            return Bar(self.outputs[name], lag)
        if name in self.forward.graph.values:
            return self.forward.read(operand)
        for value in self.forward.named:
            if isinstance(operand, Param) and self.steps.get(value) == name:
                return Gradient(value)
        return shifted(self.body(name), lag)

    def body(self, name: str) -> Expr:
        if name not in self.bodies:
            of = self.composites.get(name)
            self.bodies[name] = self.compute(self.producer[name]) if of is None else self.pullback(of)
        return self.bodies[name]

    def sent_back(self) -> dict[str, Occurrence]:
        """The steps that make the cotangents of what composites are taken of."""
        found = ((self.adjoint.cotangents.get(o.argument), o) for o in self.forward.textbook.occurrences)
        return {name_of(operand): of for operand, of in found if operand is not None}

    def pullback(self, of: Occurrence) -> Expr:
        """What a composite sends back, by its own formula."""
        source = self.source(of.value)
        cotangent = self.read(self.adjoint.cotangents[of.value] if source is None else source)
        applied = of.applied.xreplace({At(of.argument): self.forward.read(At(of.argument))})
        if is_composed(applied):
            return cotangent * Prime(applied)
        units = Count(self.forward.graph.shape(of.argument)[0])
        return Pullback(applied, self.forward.read(At(of.value)), cotangent, units)

    def compute(self, op: Op) -> Expr:
        for operand in op.operands():
            self.readers[name_of(operand)] = self.readers.get(name_of(operand), 0) + 1
        match op:
            case Pointwise():
                body = op.body.xreplace({o: self.read(o) for o in op.operands()})
                return assembled(body, lambda e: dims_of(self.forward.graph, e))
            case Contraction():
                return sympy.Add(*(MatVec(self.left(m), self.read(v)) for m, v in op.terms))
            case Reduce():
                arg = self.read(op.arg)
                if op.axis is not None:
                    return MatVec(arg if op.axis == 1 else Flipped(arg), ONES)
                return unit_sum(self.forward.graph, arg) if op.kind == "sum" else fn.UnitMax(arg)
            case OuterStep():
                return Outer(self.read(op.left), self.read(op.right))
            case TotalStep(arg=Edge() as edge):
                return InitialTotal(Delta(self.left_at[edge.name]))
            case TotalStep():
                factor, rest = self.read(op.arg).as_coeff_Mul()
                return factor * Total(rest)
            case Combine():
                return self.combined(op)

    def left(self, matrix: Matrix) -> Expr:
        """What stands left of a vector: a matrix of the forward sweep, or a cotangent that is one."""
        if matrix.name in self.forward.graph.values:
            return self.forward.matrix(matrix)
        varying = self.read(matrix.of)
        return Flipped(varying) if matrix.transposed else varying

    def combined(self, op: Combine) -> Expr:
        """Whole terms are added up; blocks of columns that follow each other stand side by side."""
        whole = [self.term(t) for t in op.terms if t.into is None]
        blocks: dict[Block, Expr] = {}
        for term in op.terms:
            if term.into is not None:
                blocks[term.into] = blocks.get(term.into, sympy.Integer(0)) + self.term(term)
        return sympy.Add(*whole, *(Beside(*row) for row in _rows(blocks)))

    def term(self, term: Term) -> Expr:
        inner: Expr = self.matrix(term.matrix.name)
        if term.matrix.block is not None:
            raise NotImplementedError("columns of a gradient")
        return term.factor * (TransposeOf(inner) if term.matrix.transposed else inner)

    def matrix(self, name: str) -> Expr:
        for value, step in self.steps.items():
            if step == name and value in self.forward.matrices and value not in self.forward.graph.fixed:
                return _gradient(self.forward, value)
        return self.body(name)

    # what is shown

    def delta(self, value: str) -> Expr | None:
        """The body of a shown value's δ; None where no output depends on it."""
        source = self.source(value)
        if source is not None and not isinstance(source, Param):
            return shifted(self.body(source.signal), source.lag)
        return self.alias(value)

    def alias(self, value: str) -> Expr | None:
        """A cotangent that is another one unchanged: the adjoint has no step for it."""
        if value in self.adjoint.gradients:
            return self.read(At(self.adjoint.gradients[value]))
        if value in self.adjoint.seeds:
            return Bar(value)
        sent = [(op, c) for op in self.reading.get(At(value), ()) if (c := self.cotangent(op.out)) is not None
                and not (isinstance(op, Pointwise) and sympy.diff(op.body, At(value)) == 0)]  # fmt: skip
        if len(sent) != 1 or not isinstance(sent[0][0], Pointwise) or sympy.diff(sent[0][0].body, At(value)) != 1:
            return None
        return sent[0][1]

    def cotangent(self, value: str) -> Expr | None:
        """The cotangent of any varying value, as it is displayed."""
        source = self.source(value)
        return self.read(source) if source is not None else self.alias(value)

    def deltas(self) -> dict[str, Expr]:
        graph = self.forward.graph
        varying = [n for n in (*graph.given, *self.forward.named) if not graph.values[n].fixed]
        return {n: d for n in reversed(varying) if (d := self.delta(n)) is not None}

    def ends(self, deltas: Mapping[str, Expr]) -> Iterator[StateEnds]:
        for value in self.forward.cell.states:
            carries = self.carries.get(value)
            if not carries or value not in deltas:
                continue
            depth = max(carries.values())
            arriving = sympy.Add(*(shifted(self.body(out), -lag) for out, lag in carries.items()))
            within = deltas[value] - arriving if depth == 1 else deltas[value]
            yield StateEnds(value, depth, within + Last(value), arriving)

    def gradients(self) -> dict[str, Expr]:
        out: dict[str, Expr] = {}
        for name in reversed(tuple(self.forward.graph.values)):
            fixed = name in self.forward.named and self.forward.graph.values[name].fixed
            if (fixed or name in self.forward.matrices) and name not in self.forward.graph.fixed and name in self.steps:
                out[name] = self.body(self.steps[name])
        for name in self.forward.graph.fixed:
            held = self.adjoint.gradients.get(name)
            if held is not None and not self.starts(held):
                out[name] = self.matrix(held) if name in self.forward.matrices else self.vector(name, held)
        return out

    def starts(self, held: str) -> bool:
        """Whether a gradient is that of a learned start and nothing else: it is shown with the initial states."""
        op = self.producer.get(held)
        return isinstance(op, TotalStep) and isinstance(op.arg, Edge)

    def vector(self, name: str, held: str) -> Expr:
        return self.body(held) if self.steps.get(name) == held else self.read(Param(held))

    def heavy(self) -> frozenset[str]:
        """Intermediates that are not shown and whose long cotangents are read in several places."""
        self.deltas()
        self.gradients()
        values = {step: value for value, step in self.steps.items() if not self.forward.graph.values[value].fixed}
        return frozenset(
            values[name]
            for name, body in self.bodies.items()
            if values.get(name, self.shown[0]) not in self.shown
            and self.readers.get(name, 0) > 1
            and weight(body) > SHORT
        )

    def result(self) -> Backward:
        deltas = self.deltas()
        sources = {v: s for v in deltas if (s := self.source(v)) is not None}
        return Backward(self.forward, self.adjoint, deltas, sources, tuple(self.ends(deltas)), self.gradients())


def _rows(blocks: Mapping[Block, Expr]) -> list[list[Expr]]:
    """The blocks in rows, each beginning at the first column and going on where the one before it ended."""
    left = dict(blocks)
    rows: list[list[Expr]] = []
    while left:
        row, end = [], Size()
        while (block := next((b for b in left if b.start == end), None)) is not None:
            row.append(left.pop(block))
            end = end + block.width
        if not row:
            raise NotImplementedError("blocks of columns that do not fill a matrix")
        rows.append(row)
    return rows
