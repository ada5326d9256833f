"""The adjoint of a graph: back-propagation through time as a graph of the same kinds, swept the other way.

One rule per kind of step (the table :data:`RULES`), each turning the cotangent of a step's result into contributions to
the cotangents of its operands. What a step sends to a value ``k`` steps back is carried: the adjoint of ``h[t-1]`` is
read by the adjoint of ``h`` one step later in the backward sweep, at ``t+1`` (Werbos 1990).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy
from sympy import Expr

from symcell.cell import ONE, Size
from symcell.fresh import Names
from symcell.graph import (
    Combine,
    Graph,
    Matrix,
    Op,
    Operand,
    Outer,
    Pointwise,
    Product,
    Reduce,
    Term,
    Total,
    Value,
    lag_of,
    name_of,
)
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Carry:
    """What a step sends to the cotangent of ``value`` at ``t - lag``."""

    value: str
    lag: int


@dataclass(frozen=True, eq=False)
class Adjoint:
    """The backward sweep of ``forward``.

    ``seeds``: for each output the given value that holds its incoming cotangent. ``carries``: the carried values and
    where they go. ``gradients``: for each parameter and each given value of the forward graph the value that holds its
    gradient; one that no output depends on is missing. ``cotangents``: the same for every value, as it is read.
    """

    forward: Graph
    graph: Graph
    seeds: Mapping[str, str]
    carries: Mapping[str, Carry]
    gradients: Mapping[str, str]
    cotangents: Mapping[str, Operand]


def adjoint(forward: Graph) -> Adjoint:
    """Differentiate a graph: the derived backward sweep, checked."""
    absent: frozenset[tuple[str, int, str]] = frozenset()
    while True:
        builder = _Builder(forward, absent)
        result = builder.build()
        if builder.unused <= absent:
            return result
        absent |= builder.unused


Key = tuple[str, int]


class _Builder:
    """Walks the steps backwards, collecting per operand what flows to its cotangent."""

    def __init__(self, forward: Graph, absent: frozenset[tuple[str, int, str]]) -> None:
        self.forward = forward
        self.values: dict[str, Value] = dict(forward.values)
        self.names = Names(set(self.values))
        self.steps: list[Op] = []
        self.pointwise: dict[Key, list[tuple[Size, Expr]]] = {}
        self.products: dict[Key, list[tuple[Matrix, Operand]]] = {}
        self.matrices: dict[str, list[Term]] = {}
        self.outputs_of: dict[Expr, Operand] = {
            op.body: Param(op.out) if forward.values[op.out].fixed else At(op.out)
            for op in forward.steps
            if isinstance(op, Pointwise) and isinstance(op.body, fn.Elementwise)
        }
        self.seeds = {o: self._seed(forward.values[o]) for o in forward.outputs}
        self.carry = self._declare_carries(absent)
        self.cotangents: dict[str, Operand] = {}
        self.assigned: dict[tuple[Expr, Size, bool], Operand] = {}

    @property
    def unused(self) -> frozenset[tuple[str, int, str]]:
        """Carried contributions that turned out to be identically zero.

        One of the longest reach stays for each state: gradients that arrive at the last state enter through it.
        """
        anchors = {
            name: max((k for k in self.carry if k[0] == name), key=lambda k: abs(k[1])) for name, _, _ in self.carry
        }
        return frozenset(
            (name, lag, kind)
            for name, lag, kind in self.carry
            if not (self.pointwise if kind == "pointwise" else self.products).get((name, lag))
            and (name, lag, kind) != anchors[name]
        )

    def _seed(self, output: Value) -> str:
        name = self.names.fresh("dy" if len(self.forward.outputs) == 1 else f"dy_{output.name}")
        self.values[name] = Value(name, output.shape, output.fixed)
        return name

    def _declare(self, hint: str, size: Size, fixed: bool = False) -> str:
        name = self.names.fresh(hint)
        self.values[name] = Value(name, (size,), fixed)
        return name

    def _declare_carries(self, absent: frozenset[tuple[str, int, str]]) -> dict[tuple[str, int, str], str]:
        """A carried value for each value read at another step: one for what products send, one for the rest."""
        wanted: dict[tuple[str, int, str], None] = {}
        for op in self.forward.steps:
            for operand in op.operands():
                if lag_of(operand):
                    kind = "product" if isinstance(op, Product | Outer) else "pointwise"
                    wanted[(name_of(operand), lag_of(operand), kind)] = None
        for name, depth in self.forward.states.items():
            if not any(of == name and abs(lag) == depth for of, lag, _ in wanted):
                wanted[(name, depth * self.forward.direction, "pointwise")] = None
        hints = {"product": "back", "pointwise": "via"}
        return {
            key: self._declare(
                f"d{key[0]}_{hints[key[2]]}{abs(key[1]) if abs(key[1]) > 1 else ''}", self.values[key[0]].size
            )
            for key in wanted
            if key not in absent
        }

    def build(self) -> Adjoint:
        for op in reversed(self.forward.steps):
            cotangent = self.cotangent(op.out)
            if cotangent is not None:
                RULES[type(op)](self, op, cotangent)
        gradients = {name: c for name in (*self.forward.given, *self.forward.fixed)
                     if (c := self.cotangent(name)) is not None}  # fmt: skip
        for (name, lag, kind), out in self.carry.items():
            self._finish_carry(out, (name, lag), kind)
        computed = {name_of(c) for c in gradients.values()}
        self.steps = _alive(self.steps, {*computed, *self.carry.values()})
        graph = Graph(
            f"adjoint of {self.forward.name}",
            self._kept_values(),
            self._given(),
            self._fixed(),
            tuple(self.steps),
            tuple(sorted(computed)),
            -1 if self.forward.direction > 0 else 1,
            {out: abs(lag) for (_, lag, _), out in self.carry.items()},
        )
        carries = {out: Carry(name, lag) for (name, lag, _), out in self.carry.items()}
        return Adjoint(self.forward, graph.check(), self.seeds, carries, {k: name_of(v) for k, v in gradients.items()},
                       {k: v for k, v in self.cotangents.items() if name_of(v) in graph.values})  # fmt: skip

    # what flows to a value

    def send(self, operand: Operand, raw: Size, expr: Expr) -> None:
        """A contribution of ``raw`` units to an operand; it is summed over units where the operand has one."""
        if expr != 0:
            self.pointwise.setdefault((name_of(operand), lag_of(operand)), []).append((raw, expr))

    def send_product(self, operand: Operand, matrix: Matrix, vector: Operand) -> None:
        self.products.setdefault((name_of(operand), lag_of(operand)), []).append((matrix, vector))

    def cotangent(self, name: str) -> Operand | None:
        """The cotangent of a value once all its readers are done; None where no output depends on it."""
        if name not in self.cotangents:
            made = self._gather_matrix(name) if len(self.values[name].shape) == 2 else self._gather(name)
            if made is None:
                return None
            self.cotangents[name] = made
        return self.cotangents[name]

    def _gather(self, name: str) -> Operand | None:
        value = self.values[name]
        parts = list(self.pointwise.get((name, 0), ()))
        if name in self.seeds:
            parts.insert(0, (value.size, Param(self.seeds[name]) if value.fixed else At(self.seeds[name])))
        parts += [(value.size, At(out, -lag)) for (of, lag, _), out in self.carry.items() if of == name]
        terms = self.products.get((name, 0), ())
        if terms:
            parts.append((value.size, self._product(f"d{name}" if not parts else f"d{name}_back", value, terms)))
        return self._sum(f"d{name}", value, parts) if parts else None

    def _gather_matrix(self, name: str) -> Operand | None:
        terms = list(self.matrices.get(name, ()))
        if name in self.seeds:
            terms.insert(0, Term(sympy.Integer(1), Matrix(self.seeds[name])))
        if not terms:
            return None
        first = terms[0]
        if len(terms) == 1 and first == Term(sympy.Integer(1), Matrix(first.matrix.name)):
            return Param(first.matrix.name)
        out = self.names.fresh(f"d{name}")
        self.values[out] = Value(out, self.values[name].shape, fixed=True)
        self.steps.append(Combine(out, tuple(terms)))
        return Param(out)

    def _product(self, hint: str, value: Value, terms: Any) -> Operand:
        out = self._declare(hint, value.size, value.fixed)
        self.steps.append(Product(out, tuple(terms)))
        return Param(out) if value.fixed else At(out)

    def _sum(self, hint: str, value: Value, parts: list[tuple[Size, Expr]]) -> Operand:
        """The sum of contributions, each first brought to the value's own size, as one operand."""
        if value.fixed:
            exprs = [self._fixed_part(hint, value, raw, expr) for raw, expr in parts]
        else:
            exprs = self._narrowed(hint, value.size, parts)
        total = sympy.Add(*exprs)
        if isinstance(total, At | Param) and not lag_of(total) and self.values[name_of(total)].size == value.size:
            return total
        return self._assign(hint, total, value.size, value.fixed)

    def _fixed_part(self, hint: str, value: Value, raw: Size, expr: Expr) -> Expr:
        """A contribution to a fixed value, summed over steps and samples where it varies."""
        operand = self.operand(f"{hint}_each", expr, raw, not expr.atoms(At))
        if isinstance(operand, At):
            out = self._declare(f"{hint}_total" if raw != value.size else hint, raw, fixed=True)
            self.steps.append(Total(out, operand))
            operand = Param(out)
        return operand if raw == value.size else self._reduced(hint, operand, raw, True)

    def _narrowed(self, hint: str, size: Size, parts: list[tuple[Size, Expr]]) -> list[Expr]:
        """Varying contributions to a value of ``size``: wider ones are added up and summed over their units."""
        wide: dict[Size, Expr] = {}
        for raw, expr in parts:
            if raw not in (size, ONE):
                wide[raw] = wide.get(raw, sympy.Integer(0)) + expr
        narrow = [expr for raw, expr in parts if raw in (size, ONE)]
        return narrow + [self._reduced(hint, expr, raw, False) for raw, expr in wide.items()]

    def _reduced(self, hint: str, expr: Expr, raw: Size, fixed: bool) -> Operand:
        operand = self.operand(f"{hint}_each", expr, raw, fixed)
        out = self._declare(f"{hint}_sum", ONE, fixed)
        self.steps.append(Reduce(out, "sum", operand))
        return Param(out) if fixed else At(out)

    def operand(self, hint: str, expr: Expr, size: Size, fixed: bool) -> Operand:
        """``expr`` as an operand of ``size`` units: itself where it is one, else a value of its own."""
        if isinstance(expr, At | Param) and self.values[name_of(expr)].size == size:
            return expr
        return self._assign(hint, expr, size, fixed)

    def _assign(self, hint: str, expr: Expr, size: Size, fixed: bool) -> Operand:
        """A step that computes ``expr``, or the one that does already."""
        key = (expr, size, fixed)
        if key not in self.assigned:
            out = self._declare(hint, size, fixed)
            self.steps.append(Pointwise(out, expr))
            self.assigned[key] = Param(out) if fixed else At(out)
        return self.assigned[key]

    # what the graph is made of

    def _finish_carry(self, out: str, key: Key, kind: str) -> None:
        value = self.values[out]
        if kind == "product" and key in self.products:
            self.steps.append(Product(out, tuple(self.products[key])))
        elif kind == "pointwise" and key in self.pointwise:
            exprs = self._narrowed(out, value.size, self.pointwise[key])
            self.steps.append(Pointwise(out, sympy.Add(*exprs)))
        else:
            self.steps.append(Pointwise(out, sympy.Integer(0)))

    def _read(self) -> dict[str, int]:
        depth: dict[str, int] = {}
        for op in self.steps:
            for operand in op.operands():
                depth[name_of(operand)] = max(abs(lag_of(operand)), depth.get(name_of(operand), 0))
        return depth

    def _given(self) -> dict[str, int]:
        made = {op.out for op in self.steps}
        reads = {n: d for n, d in self._read().items() if n not in made and not self.values[n].fixed}
        return {**dict.fromkeys(self.seeds.values(), 0), **dict(sorted(reads.items()))}

    def _fixed(self) -> tuple[str, ...]:
        made = {op.out for op in self.steps}
        return tuple(sorted(n for n in self._read() if n not in made and self.values[n].fixed))

    def _kept_values(self) -> dict[str, Value]:
        names = {*self._read(), *(op.out for op in self.steps), *self.seeds.values()}
        return {n: v for n, v in self.values.items() if n in names}


def _alive(steps: list[Op], wanted: set[str]) -> list[Op]:
    """The steps that ``wanted`` values depend on, at whatever distance in time."""
    made = {op.out: op for op in steps}
    pending, alive = list(wanted), set(wanted)
    while pending:
        op = made.get(pending.pop())
        for operand in op.operands() if op else ():
            if name_of(operand) not in alive:
                alive.add(name_of(operand))
                pending.append(name_of(operand))
    return [op for op in steps if op.out in alive]


def _pointwise(builder: _Builder, op: Pointwise, cotangent: Operand) -> None:
    """δu += δout ∂body/∂u, the derivative written through values that the forward sweep has computed."""
    size = builder.values[op.out].size
    for operand in op.operands():
        partial = sympy.diff(op.body, operand).xreplace(builder.outputs_of)
        builder.send(operand, size, cotangent * partial)


def _product(builder: _Builder, op: Product, cotangent: Operand) -> None:
    """δv += Mᵀ δout and δM += δout ⊗ v."""
    for matrix, vector in op.terms:
        builder.send_product(vector, matrix.T, cotangent)
        left, right = (vector, cotangent) if matrix.transposed else (cotangent, vector)
        rows = builder.values[matrix.name].shape[0]
        columns = builder.values[matrix.name].shape[1] if matrix.block is None else matrix.block.width
        out = builder.names.fresh(f"d{matrix.name}")
        builder.values[out] = Value(out, (rows, columns), fixed=True)
        builder.steps.append(Outer(out, left, right))
        builder.matrices.setdefault(matrix.name, []).append(Term(sympy.Integer(1), Matrix(out), matrix.block))


def _reduce(builder: _Builder, op: Reduce, cotangent: Operand) -> None:
    """A sum passes its cotangent to every unit; a maximum shares it among the units that attain it (torch.amax)."""
    size = builder.values[name_of(op.arg)].size
    if op.kind == "sum":
        builder.send(op.arg, size, cotangent)
        return
    fixed = isinstance(op.arg, Param)
    out = Param(op.out) if fixed else At(op.out)
    attains = builder.operand(f"attains_{op.out}", fn.Equal(op.arg, out), size, fixed)
    count = builder._reduced(f"count_{op.out}", attains, size, fixed)
    builder.send(op.arg, size, cotangent * attains / count)


def _outer(builder: _Builder, op: Outer, cotangent: Operand) -> None:
    """δleft += G right and δright += Gᵀ left, G being the cotangent of the outer product."""
    matrix = Matrix(name_of(cotangent))
    builder.send_product(op.left, matrix, op.right)
    builder.send_product(op.right, matrix.T, op.left)


def _total(builder: _Builder, op: Total, cotangent: Operand) -> None:
    builder.send(op.arg, builder.values[op.out].size, cotangent)


def _combine(builder: _Builder, op: Combine, cotangent: Operand) -> None:
    """δM += factor * G or factor * Gᵀ: the columns of G that M was added into, into the columns of M that were read."""
    for term in op.terms:
        source = Matrix(name_of(cotangent), False, term.into)
        if term.matrix.transposed:
            source = source.T
        builder.matrices.setdefault(term.matrix.name, []).append(Term(term.factor, source, term.matrix.block))


RULES: dict[type[Any], Callable[[_Builder, Any, Operand], None]] = {
    Pointwise: _pointwise,
    Product: _product,
    Reduce: _reduce,
    Outer: _outer,
    Total: _total,
    Combine: _combine,
}
