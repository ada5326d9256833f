"""The steps of a derived graph as they are made: slopes of bodies, names, and equal expressions assigned once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sympy import Expr, Symbol

from symcell.cell import Shape
from symcell.fresh import Names
from symcell.graph import Graph, Op, Operand, Pointwise, Reduce, Total, Value, name_of
from symcell.symbolic import functions as fn
from symcell.symbolic.derivatives import partials
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Part:
    """A contribution as a step of ``shape`` sends it, to an operand that is laid along ``axis`` there."""

    shape: Shape
    expr: Expr
    order: tuple[Operand, ...]
    axis: int | None = None


class Making:
    """The values and steps made so far, beside those of the graph that is differentiated.

    ``producers``: the step of each of that graph's values. ``partials``: by value, the derivatives of a pointwise body
    by its operands, but for those that are zero.
    """

    def __init__(self, forward: Graph, taken: Iterable[str]) -> None:
        self.forward = forward
        self.values: dict[str, Value] = dict(forward.values)
        self.names = Names({*self.values, *taken})
        self.steps: list[Op] = []
        self.producers = forward.producer()
        pointwise = [op for op in forward.steps if isinstance(op, Pointwise)]
        self.partials: dict[str, dict[Symbol, Expr]] = {op.out: partials(op.body) for op in pointwise}
        self._outputs: dict[Expr, Operand] = {
            op.body: Param(op.out) if forward.values[op.out].fixed else At(op.out)
            for op in pointwise
            if isinstance(op.body, fn.Elementwise)
        }
        self._made: dict[object, Operand] = {}

    def slope(self, op: Pointwise, operand: Operand) -> Expr:
        """The derivative of a body by an operand, written through values that the graph has computed: σ(1 - σ)."""
        return self.partials[op.out][operand].xreplace(self._outputs)

    def attaining(self, op: Reduce) -> tuple[Operand, Operand]:
        """Which units attain a maximum, one or zero, and how many do: they share what flows through it (torch.amax)."""
        fixed, axis = isinstance(op.arg, Param), None if op.axis is None else 1 - op.axis
        out = Param(op.out, axis) if fixed else At(op.out, 0, axis)
        shape = self.values[name_of(op.arg)].shape
        attains = self.assign(f"attains_{op.out}", fn.Equal(op.arg, out), shape, fixed, (op.arg, out))
        return attains, self.reduce(f"count_{op.out}", attains, op.axis)

    def declare(self, hint: str, shape: Shape, fixed: bool = False) -> str:
        name = self.names.fresh(hint)
        self.values[name] = Value(name, shape, fixed)
        return name

    def step(self, hint: str, op: Op, shape: Shape, fixed: bool) -> Operand:
        """The value of a step (whose ``out`` is still open), or the one that an equal step has made already."""
        key = (op, shape, fixed)
        if key not in self._made:
            out = self.declare(hint, shape, fixed)
            self.steps.append(replace(op, out=out))
            self._made[key] = Param(out) if fixed else At(out)
        return self._made[key]

    def assign(self, hint: str, expr: Expr, shape: Shape, fixed: bool, order: Sequence[Operand]) -> Operand:
        """A step that computes ``expr``, or the one that does already."""
        key = (expr, shape, fixed)
        if key not in self._made:
            out = self.declare(hint, shape, fixed)
            self.steps.append(Pointwise(out, expr, tuple(order)))
            self._made[key] = Param(out) if fixed else At(out)
        return self._made[key]

    def operand(self, hint: str, part: Part) -> Operand:
        """A contribution as an operand: itself where it is one, else a value of its own."""
        expr, fixed = part.expr, not any(isinstance(o, At) for o in part.order)
        if isinstance(expr, At | Param) and expr.axis is None and self.values[name_of(expr)].shape == part.shape:
            return expr
        return self.assign(hint, expr, part.shape, fixed, part.order)

    def reduce(self, hint: str, operand: Operand, axis: int | None = None) -> Operand:
        shape = self.values[name_of(operand)].shape
        result = () if axis is None else (shape[1 - axis],)
        return self.step(hint, Reduce("", "sum", operand, axis), result, isinstance(operand, Param))

    def total(self, hint: str, operand: Operand) -> Operand:
        """A value summed over steps and samples; one that is fixed, as it is."""
        if isinstance(operand, Param):
            return operand
        return self.step(hint, Total("", operand), self.values[name_of(operand)].shape, True)
