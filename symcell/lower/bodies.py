"""Expressions as bodies over named values: steps, their names, and the order in which operands are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sympy import Expr
from sympy.core.numbers import ComplexInfinity, Infinity, NaN, NegativeInfinity

from symcell.cell import Cell, CellError, Diagnostic, Shape, is_one
from symcell.fresh import Names
from symcell.graph import Op, Operand, Pointwise, Value, lag_of, name_of
from symcell.lower.shapes import Shapes, broadcast
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Param

_INFINITE = (ComplexInfinity, Infinity, NaN, NegativeInfinity)
"""What SymPy makes of a division by zero."""


class Bodies:
    """Collects the steps of a cell's graph.

    Methods that take *written* expressions know what shape the text gives them; *bodies* are SymPy's own expressions
    over operands, in which equal parts may have cancelled.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.values = {n: Value(n, shape) for n, shape in (*cell.inputs.items(), *cell.signals.items())}
        self.values |= {n: Value(n, p.shape, fixed=True) for n, p in cell.parameters.items()}
        self.values |= {n: Value(n, shape, fixed=True, constant=True) for n, shape in cell.arrays.items()}
        self.shapes = Shapes({n: v.shape for n, v in self.values.items()})
        self.names = Names({*self.values, *cell.constants, *cell.sizes})
        self.steps: list[Op] = []
        self.seen: dict[object, Operand] = {}
        self.signal = ""
        self.met: dict[Operand, None] = {}

    # steps

    def assign(
        self, hints: tuple[str, ...], shape: Shape, make: Callable[[str], Op], key: object, fixed: bool
    ) -> Operand:
        """The value that ``key`` describes, made by a new step unless an equal one stands already."""
        if key not in self.seen:
            name = self.names.fresh(*hints)
            self.values[name] = Value(name, shape, fixed)
            self.shapes.names[name] = shape
            self.steps.append(make(name))
            self.seen[key] = Param(name) if fixed else At(name)
        self.met[self.seen[key]] = None
        return self.seen[key]

    def rename(self, made: At, signal: str) -> bool:
        """Let the last step make the signal itself where it is made for it alone, and has its shape."""
        last = self.steps[-1]
        if last.out != made.signal or made.lag or made.axis is not None or last.out in self.cell.signals:
            return False
        if self.values[last.out] != replace(self.values[signal], name=last.out):
            return False
        key = next(k for k, operand in reversed(self.seen.items()) if operand == made)
        self.seen[key] = At(signal)
        self.steps[-1] = replace(last, out=signal)
        del self.values[last.out]
        return True

    def pointwise(self, hints: tuple[str, ...], shape: Shape, body: Expr, order: tuple[Operand, ...]) -> Operand:
        fixed = not any(isinstance(o, At) for o in order)
        return self.assign(hints, shape, lambda out: Pointwise(out, body, order), (body, shape), fixed)

    # bodies

    @contextmanager
    def _meeting(self) -> Iterator[dict[Operand, None]]:
        outside, self.met = self.met, {}
        try:
            yield self.met
        finally:
            self.met = outside

    def body(self, expr: Expr, how: Callable[[Expr], Expr] | None = None) -> tuple[Expr, tuple[Operand, ...]]:
        """A written expression over operands only, and the operands in the order in which they are written."""
        with self._meeting() as met:
            body = (how or self.deep)(expr)
        found = body.atoms(At, Param, *_INFINITE)
        if any(isinstance(a, _INFINITE) for a in found):
            raise self.error("this divides by what is always 0, once equal parts have cancelled")
        return body, tuple(o for o in met if o in found)

    def shape(self, body: Expr, expr: Expr) -> Shape:
        """The shape of a body: the written one, but that of its operands where all of these have one unit."""
        own = broadcast(self.values[name_of(o)].shape for o in body.atoms(At, Param))
        return own if is_one(own) else self.shapes.of(expr)

    def atom(self, expr: Expr, *hints: str) -> Expr:
        """``expr`` as an operand, given a name of its own where it has none; or what is constant."""
        body, order = self.body(expr)
        if isinstance(body, At | Param):
            self.met[body] = None
            return body
        return self.pointwise(hints, self.shape(body, expr), body, order) if order else body

    def full(self, expr: Expr, shape: Shape, *hints: str) -> Operand:
        """``expr`` as an operand of just this shape."""
        body = self.atom(expr, *hints)
        if isinstance(body, At | Param) and self.values[name_of(body)].shape == shape:
            return body
        order = (body,) if isinstance(body, At | Param) else ()
        names = (f"wide_{name_of(body)}",) if order else ("constant", f"constant_in_{self.signal}")
        return self.pointwise(names, shape, body, order)

    def laid(self, expr: Expr, axis: int, role: str) -> Expr:
        """A vector as an operand that lies along an axis of a matrix; what has one unit, as it is."""
        operand = self.atom(expr, *self.argument(role))
        if isinstance(operand, At | Param) and not is_one(self.values[name_of(operand)].shape):
            operand = operand.along(axis)
            self.met[operand] = None
        return operand

    def argument(self, function: str) -> tuple[str, str]:
        """Names for what a function is taken of."""
        return (f"a_{self.signal}", f"{function}_in_{self.signal}")

    def applied(self, expr: Any) -> Expr:
        args = [self.applied(a) if isinstance(a, fn.Predicate) else self.atom(a, *self.argument(expr.text))
                for a in expr.args]  # fmt: skip
        return expr.func(*args)

    def deep(self, expr: Expr) -> Expr:
        """``expr`` over operands only: what is not arithmetic becomes a step of its own."""
        raise NotImplementedError

    def called(self, expr: Any, *hints: str) -> Expr:
        """A function's value as a step of its own; of constants, as it is."""
        body, order = self.body(expr, self.applied)
        if not order:
            return body
        lag = f"_lag{lag_of(order[0])}" if lag_of(order[0]) else ""
        hints = hints or (f"{expr.text}_{name_of(order[0])}", f"{expr.text}_{name_of(order[0])}{lag}")
        return self.pointwise(hints, self.shape(body, expr), body, order)

    def error(self, message: str, advice: str = "", at: str = "") -> CellError:
        """A mistake in the equation at hand: where its text has ``at``, if in one place, else where it begins."""
        line = self.cell.lines.get(self.signal, 1)
        lines = self.cell.text.splitlines()
        text = lines[line - 1] if line <= len(lines) else ""
        column, mark = (text.index(at) + 1, at) if at and text.count(at) == 1 else (1, text)
        shown = [text, " " * (column - 1) + "^" * len(mark)] if text else []
        more = "".join(f"\n    {part}" for part in [*shown, advice] if part)
        head = f"{self.cell.name}.cell:{line}:{column}: {message}"
        return CellError(head + more, [Diagnostic(line, column, message, advice)])
