"""Formulas of a derivation in numbers, one kind after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sympy import Expr

from symcell.derivation import nodes as nd
from symcell.derivation.check.case import BATCH, STEP, Case
from symcell.derivation.check.composite import Lemma
from symcell.derivation.check.onestep import OneStep
from symcell.derivation.check.operators import Operators
from symcell.derivation.model import Formula
from symcell.interpret import EXACT
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, MatVec, Sum, written

Array = Any
Pair = tuple[Array, Array]
"""What a formula says, and what it should."""

_WITNESS = {
    "equation": "forward", "value": "forward", "start": "forward", "stacked": "forward", "definition": "function",
    "slope": "differences", "local": "differences", "lemma": "differences", "jacobian": "differences",
    "delta": "adjoint", "last": "adjoint", "first": "adjoint", "gradient": "adjoint", "rows": "adjoint",
}  # fmt: skip


class Formulas:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.t = case.steps - 1
        self.shown = case.sequence()
        self.within = case.sequence()  # where what stands before the first step on a right side is zero
        self.within.deltas = {k: v for k, v in case.deltas.items() if k[1] >= 0}
        self.bodies: dict[str, Expr] = {}
        self.locals: dict[tuple[str, str, int], Formula] = {}
        self.lemmas: dict[str, Lemma] = {}
        self.blocks = OneStep(case)
        self.checks: dict[str, Callable[[Formula], Iterator[Pair]]] = {
            "equation": self.value, "value": self.value, "start": self.start, "definition": self.definition,
            "slope": self.slope, "lemma": self.lemma, "local": self.local, "delta": self.delta, "last": self.delta,
            "first": self.delta, "gradient": self.gradient, "rows": self.gradient, "stacked": self.stacked,
            "jacobian": self.block,
        }  # fmt: skip

    def witness(self, formula: Formula) -> Any:
        return _WITNESS[formula.key[0]]

    def compared(self, formula: Formula) -> Iterator[Pair]:
        """Pairs for each part of a formula that has numbers."""
        yield from self.checks[formula.key[0]](formula)

    # forward

    def value(self, formula: Formula) -> Iterator[Pair]:
        name = formula.key[1]
        self.bodies[name] = formula.right
        if name in self.case.forward.fixed:
            yield self.shown.value(formula.right, None)[0], self.case.forward.fixed[name]
            return
        for t in range(self.case.steps):
            yield self.case.shaped(name, self.shown.value(formula.right, t)), self.case.forward.varying[name, t]

    def start(self, formula: Formula) -> Iterator[Pair]:
        """Of a sequence whose caller gives no states."""
        case = self.case
        bare = case.forward_of(case.graph, case.fixed, case.given, {}).varying
        state = formula.key[1]
        found = bare.get((state, -1), case.shaped(state, None))
        yield case.shaped(state, self.shown.value(formula.right, None)), found

    # functions

    def definition(self, formula: Formula) -> Iterator[Pair]:
        call = formula.left
        for point in range(4):
            values = self.points(call, point)
            yield self.at(formula.right, call, values), EXACT.functions[type(call)](*values)

    def slope(self, formula: Formula) -> Iterator[Pair]:
        call, k = formula.left.args[0], int(formula.key[2]) if len(formula.key) > 2 else 0
        for point in range(4):
            values = self.points(call, point)

            def moved(by: Any, values: list[Array] = values) -> Array:
                return EXACT.functions[type(call)](*(v + by if j == k else v for j, v in enumerate(values)))

            wanted = (moved(STEP) - moved(-STEP)) / (2 * STEP)
            for side in (*formula.via, formula.right):
                yield self.at(side, call, values), wanted

    def points(self, call: Any, point: int) -> list[Array]:
        """Arguments away from kinks; positive where the function takes no others."""
        drawn = [self.case.draw(f"{call} {k} {point}", 1) * (3 if not point % 2 else 1) for k in range(len(call.args))]
        if isinstance(call, fn.Log | fn.Sqrt | fn.Power):
            drawn = [abs(v) + STEP**0 / 10 for v in drawn]
        return drawn

    def at(self, expr: Expr, call: Any, values: list[Array]) -> Array:
        with_letters = self.case.sequence()
        with_letters.letters = dict(zip(call.args, values, strict=True))
        return with_letters.value(expr, None)

    # composites

    def lemma(self, formula: Formula) -> Iterator[Pair]:
        """Line by line; the last one against differences of the function itself."""
        text = formula.key[1]
        yield from self.lemmas.setdefault(text, Lemma(self.case, text)).line(formula)

    # local derivatives

    def local(self, formula: Formula) -> Iterator[Pair]:
        _, target, source, lag = formula.key
        self.locals[target, source, int(lag)] = formula
        wanted = self.differences(target, At(source, int(lag)))
        yield self.jacobian(formula, self.t), wanted

    def jacobian(self, formula: Formula, t: int) -> Array:
        """A local derivative as a matrix, (B, units, units): one written unit by unit is a diagonal."""
        operators = Operators(self.shown, self.case.graph, t)
        rows, columns = map(operators.units, formula.left.args)
        found = np.asarray(operators.of(formula.right, rows, columns))
        if found.shape[-1] == 1 != columns and rows == columns:
            found = found * np.eye(rows)
        return np.broadcast_to(found, (BATCH, rows, columns))

    def differences(self, target: str, source: At) -> Array:
        """``∂target/∂source`` of the formula of the target alone, (B, units, units)."""
        varying, at = self.case.forward.varying, (source.signal, self.t - source.lag)
        held = varying[at]

        def moved(unit: int, by: Any) -> Array:
            array = held.copy()
            array.reshape(BATCH, -1)[:, unit] += by
            sequence = self.case.sequence({**varying, at: array})
            return self.case.shaped(target, sequence.value(self.bodies[target], self.t)).reshape(BATCH, -1)

        units = range(held.reshape(BATCH, -1).shape[1])
        return np.stack([(moved(u, STEP) - moved(u, -STEP)) / (2 * STEP) for u in units], axis=2)

    # error signals

    def delta(self, formula: Formula) -> Iterator[Pair]:
        name = formula.key[1]
        shown = self.within if formula.key[0] == "first" else self.shown
        for t in self.moments(formula):
            yield self.case.shaped(name, shown.value(formula.right, t)), self.case.deltas[name, t]
        for collected in formula.via:
            reach = max((-d.lag for d in collected.atoms(nd.Delta)), default=0)
            t = min(self.t - reach, *list(self.moments(formula))[-1:])
            yield self.collected(collected, name, t), self.case.deltas[name, t].reshape(BATCH, -1)

    def collected(self, total: Expr, name: str, t: int) -> Array:
        """``Σ (∂u/∂v)ᵀ δu`` with the local derivatives as they are displayed."""
        out = EXACT.array(np.zeros((BATCH, 1)))
        for term in total.args if isinstance(total, Sum) else (total,):
            if isinstance(term, nd.Bar):
                out = out + self.shown.of(term, t).reshape(BATCH, -1)
                continue
            delta = term.args[1]
            local = self.locals[delta.value, name, -delta.lag]
            back = self.jacobian(local, t - delta.lag).swapaxes(1, 2)
            out = out + (back @ self.shown.of(delta, t).reshape(BATCH, -1, 1))[:, :, 0]
        return out

    def moments(self, formula: Formula) -> Iterator[int]:
        steps, condition = self.case.steps, formula.condition
        if isinstance(formula.left, nd.When):
            yield steps - 1 if formula.key[0] == "last" else -1
        elif condition is None:
            yield from range(steps)
        elif condition.end == "last":
            yield from range(steps - condition.depth, steps)
        elif condition.end == "inner":
            yield from range(steps - condition.depth)
        else:
            yield from range(-condition.depth, 0)

    # gradients

    def gradient(self, formula: Formula) -> Iterator[Pair]:
        name = formula.key[1]
        found = self.shown.value(formula.right, None)
        wanted = self.known(name, formula.left)
        if wanted is None:
            wanted = EXACT.array(np.zeros(self.case.shape(name)))
        wanted, found = np.asarray(wanted), np.asarray(found)
        found = found.reshape(wanted.shape) if found.size == wanted.size else np.broadcast_to(found[0], wanted.shape)
        self.shown.gradients[written(formula.left)] = self.shown.gradients[formula.left] = found
        yield found, wanted

    def known(self, name: str, left: Expr) -> Array | None:
        if name in self.case.emitted_gradients:
            return self.case.emitted_gradients[name]
        operand = self.case.backward.adjoint.cotangents.get(name)
        return None if operand is None else self.case.reverse.fixed.get(operand.signal)

    def stacked(self, formula: Formula) -> Iterator[Pair]:
        if len(formula.key) == 2:
            for t in range(self.case.steps):
                left = [self.shown.value(v, t).reshape(BATCH, -1) for v in formula.left.args[1:]]
                lengths = [part.shape[1] for part in left]
                yield self.column(formula.right, t, lengths), np.concatenate(left, axis=1)
            return
        blocks = formula.left.args[0]
        rows = blocks.rows if isinstance(blocks, nd.Blocks) else ((blocks,),)
        wanted = np.concatenate([np.concatenate([self.case.emitted_gradients[str(m.name)] for m in row], axis=1)
                                 for row in rows])  # fmt: skip
        yield self.shown.value(formula.right, None)[0], wanted

    def column(self, expr: Expr, t: int, lengths: list[int]) -> Array:
        """A sum of columns, of these lengths, and of products of blocks with columns, (B, units)."""
        if isinstance(expr, Sum):
            first, second = (self.column(a, t, lengths) for a in expr.args)
            return first + second
        if isinstance(expr, MatVec):
            matrix, vector = (self.shown.factor(written(a), t) for a in expr.args)
            vector = vector if isinstance(expr.args[1], nd.Blocks) else vector[:, :, None]
            return (matrix @ vector)[:, :, 0]
        parts = [self.shown.value(a, t).reshape(-1, 1) if self.shown.value(a, t).ndim == 1 else self.shown.value(a, t)
                 for a in expr.args[1:]]  # fmt: skip
        return np.concatenate([np.broadcast_to(p, (BATCH, n)) for p, n in zip(parts, lengths, strict=True)], axis=1)

    # the Jacobian of one step

    def block(self, formula: Formula) -> Iterator[Pair]:
        yield from self.blocks.product() if formula.key == ("jacobian", "product") else self.blocks.block(formula)


def is_general(formula: Formula) -> bool:
    """Whether a formula is about any value, and so has instances, or says what a symbol means."""
    return formula.key[0] in ("loss", "outside", "arriving", "meaning", "chain", "states", "rule") or (
        formula.key == ("jacobian",)
    )
