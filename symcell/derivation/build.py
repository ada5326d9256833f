"""Cell → derivation: the four sections, numbered, each formula with the numbers of those it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sympy
from sympy import Expr

from symcell.cell import ONE, Cell, units
from symcell.derivation.arrange import Ranks, arranged, names_in
from symcell.derivation.backward import Backward, read_backward
from symcell.derivation.forward import read_forward, symbol_of
from symcell.derivation.jacobian import Jacobians
from symcell.derivation.model import Condition, Document, Formula, Group, Section, ShapeLine
from symcell.derivation.nodes import Cotangent, Delta, Gradient, GradientOf, InitialTotal, Partial
from symcell.pipeline import graphs
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Param, written


def document(cell: Cell) -> Document:
    """The derivation of ``cell`` as data."""
    graph, derived = graphs(cell)
    builder = _Builder(cell, read_backward(read_forward(cell, graph), derived))
    return Document(
        title=cell.title or cell.name,
        name=cell.name,
        description=cell.description,
        output=cell.output,
        names=builder.forward.display_names(),
        shapes=tuple(_shapes(cell)),
        sections=(builder.forward_section(), builder.local_section(), builder.recursion_section(),
                  builder.parameter_section()),
    )  # fmt: skip


def _shapes(cell: Cell) -> Iterator[ShapeLine]:
    groups: dict[tuple[bool, tuple[Expr, ...]], list[str]] = {}
    for name, of in {**cell.inputs, **cell.signals}.items():
        groups.setdefault((True, tuple(s.symbol() for s in of)), []).append(name)
    for name, parameter in cell.parameters.items():
        groups.setdefault((False, tuple(s.symbol() for s in parameter.shape) or (sympy.Integer(1),)), []).append(name)
    for name, of in cell.arrays.items():
        groups.setdefault((False, tuple(s.symbol() for s in of)), []).append(name)
    for (varying, shape), names in groups.items():
        yield ShapeLine(tuple(names), shape, varying)


class _Builder:
    """Numbers formulas as they come and remembers which number says what."""

    def __init__(self, cell: Cell, backward: Backward) -> None:
        self.cell, self.backward, self.forward = cell, backward, backward.forward
        self.graph = self.forward.graph
        self.count = 0
        self.defined: dict[str, int] = {}
        self.locals: dict[str, list[int]] = {}
        self.deltas: dict[str, int] = {}
        self.initials: dict[str, int] = {}
        self.gradients: dict[str, int] = {}
        names = (*self.graph.given, *self.forward.named, *self.graph.values)
        self.ranks: Ranks = {name: k for k, name in enumerate(dict.fromkeys(names))}

    def formula(self, left: Expr, right: Expr, cites: tuple[int, ...] = (), label: str = "",
                condition: Condition | None = None) -> Formula:  # fmt: skip
        self.count += 1
        return Formula(self.count, left, right, label, tuple(sorted(set(cites))), condition)

    # 1

    def forward_section(self) -> Section:
        groups = (
            Group("Equations", tuple(self.equations())),
            Group("Initial states", tuple(self.initial_states())),
            Group("Intermediate values", tuple(self.intermediates())),
        )
        return Section("forward", "Forward step", _filled(groups))

    def equations(self) -> Iterator[Formula]:
        for equation in self.cell.equations:
            signal = equation.lhs.signal
            right = arranged(equation.rhs, self.forward.ranks(signal))
            formula = self.formula(equation.lhs, right, label=self.cell.labels.get(signal, ""))
            self.defined[signal] = formula.number
            yield formula

    def initial_states(self) -> Iterator[Formula]:
        for state, depth in self.cell.states.items():
            learned = self.cell.initial.get(state)
            right = sympy.Integer(0) if learned is None else Param(learned)
            yield self.formula(At(state), right, condition=Condition("first", depth))

    def intermediates(self) -> Iterator[Formula]:
        for name, body in self.forward.named.items():
            owner = self.forward.owner[name]
            if name == owner and written(self.cell.equation(name).rhs) == body:
                continue
            cites = (self.defined[owner],)
            formula = self.formula(symbol_of(self.graph, name), arranged(body, self.forward.ranks(owner)), cites)
            self.defined[name] = formula.number
            yield formula

    # 2

    def local_section(self) -> Section:
        groups = (Group("", tuple(self.local_derivatives())),)
        return Section("local", "Local derivatives", _filled(groups))

    def local_derivatives(self) -> Iterator[Formula]:
        applied = {n: b for n, b in self.forward.named.items() if isinstance(b, fn.Elementwise)}
        outputs: Mapping[Expr, Expr] = {b: symbol_of(self.graph, n) for n, b in applied.items()}
        jacobians = Jacobians(self.graph, outputs)
        for name, body in self.forward.named.items():
            if name not in self.backward.deltas:
                continue
            ranks = self.forward.ranks(self.forward.owner[name])
            for by in sorted(body.atoms(At), key=lambda a: (ranks[a.signal], a.lag)):
                right = jacobians.of(body, by, ranks)
                if right is not None and by.signal in self.backward.deltas:
                    formula = self.formula(Partial(At(name), by), right, (self.defined[name],))
                    self.locals.setdefault(by.signal, []).append(formula.number)
                    yield formula

    # 3

    def recursion_section(self) -> Section:
        inputs = {n: b for n, b in self.backward.deltas.items() if n in self.graph.given}
        values = {n: b for n, b in self.backward.deltas.items() if n not in inputs}
        groups = (
            Group("For t = T, ..., 1", tuple(self.recursion(values))),
            Group("Inputs", tuple(self.recursion(inputs))),
            Group("At the last step", tuple(self.last_steps())),
            Group("Before the first step", tuple(self.first_steps())),
        )
        return Section("recursion", "Adjoint recursion", _filled(groups))

    def recursion(self, bodies: Mapping[str, Expr]) -> Iterator[Formula]:
        for name, body in bodies.items():
            formula = self.formula(Delta(name), arranged(body, self.ranks), tuple(self.locals.get(name, ())))
            self.deltas[name] = formula.number
            yield formula

    def last_steps(self) -> Iterator[Formula]:
        for end in self.backward.ends:
            cites = (self.deltas[end.value],)
            condition = Condition("last", end.depth)
            yield self.formula(Delta(end.value), arranged(end.last, self.ranks), cites, condition=condition)

    def first_steps(self) -> Iterator[Formula]:
        for end in self.backward.ends:
            cites = (self.deltas[end.value],)
            condition = Condition("first", end.depth)
            formula = self.formula(Delta(end.value), arranged(end.initial, self.ranks), cites, condition=condition)
            self.initials[end.value] = formula.number
            yield formula

    # 4

    def parameter_section(self) -> Section:
        groups = (
            Group("", tuple(self.parameter_gradients())),
            Group("Learned initial states", tuple(self.initial_gradients())),
            Group("Without influence on the output", tuple(self.missing_gradients())),
        )
        return Section("parameters", "Parameter gradients", _filled(groups))

    def parameter_gradients(self) -> Iterator[Formula]:
        for name, body in self.backward.gradients.items():
            left = self.backward.gradient_symbol(name)
            formula = self.formula(left, arranged(body, self.ranks), self.sources(name, body))
            self.gradients[name] = formula.number
            yield formula

    def sources(self, name: str, body: Expr) -> tuple[int, ...]:
        """The definitions that read a parameter, and the cotangents and gradients in its gradient."""
        matrix = self.forward.matrices.get(name)
        readers = [self.defined[n] for n, b in self.forward.named.items()
                   if name in names_in(b) or (matrix is not None and b.has(matrix))]  # fmt: skip
        parts = [self.deltas[a.value] for a in body.atoms(Cotangent) if a.value in self.deltas]
        parts += [self.gradients[a.value] for a in body.atoms(Gradient) if a.value in self.gradients]
        matrices = {e: n for n, e in self.forward.matrices.items() if n in self.gradients}
        parts += [self.gradients[matrices[a.args[0]]] for a in body.atoms(GradientOf) if a.args[0] in matrices]
        return (*readers, *parts)

    def initial_gradients(self) -> Iterator[Formula]:
        for state, name in self.cell.initial.items():
            if state not in self.initials:
                continue
            inner: Expr = Delta(state)
            if units(self.graph.shape(name)) == ONE != units(self.graph.shape(state)):
                inner = fn.UnitSum(inner)
            yield self.formula(Gradient(name), InitialTotal(inner), (self.initials[state],))

    def missing_gradients(self) -> Iterator[Formula]:
        learned = {name for state, name in self.cell.initial.items() if state in self.initials}
        for name in self.cell.parameters:
            if name not in self.backward.gradients and name not in learned:
                yield self.formula(Gradient(name), sympy.Integer(0))


def _filled(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    return tuple(g for g in groups if g.formulas)
