"""Gradients by brute force: SymPy differentiates scalar expressions of the unrolled cell.

``direct``: the whole loss as one expression of one unknown, differentiated and evaluated. ``recurrent``: every scalar
equation of a step differentiated by everything it reads, the tangents carried forward through time (Williams & Zipser
1989) for all unknowns at once; it never sweeps back.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import mpmath
import numpy as np
import sympy
from unrolled import Array, Walker

from symcell.cell import Cell, Shape
from symcell.symbolic.nodes import At, Constant
from symcell.verify.case import Case, lengths_of

DIGITS = 40
Entry = tuple[str, tuple[int, ...]]
"""A gradient's name and an index into it."""


def _number(value: float) -> sympy.Float:
    return sympy.Float(float(value), DIGITS)


def _start(cell: Cell, case: Case, name: str, j: int) -> tuple[str, tuple[int, ...]] | None:
    """Where the state ``j`` (0: the oldest) before the first step comes from: a tensor and where in it."""
    if name in case.state:
        return f"d{name}[0]", (j, 0)
    if name in cell.initial:
        return f"d{cell.initial[name]}", ()
    return None


def direct(cell: Cell, case: Case, entry: Entry) -> Any:
    """∂loss/∂entry of a case with one sample, by differentiating the loss as it stands."""
    theta = sympy.Symbol("theta", real=True)
    exact = np.vectorize(_number, otypes=[object])
    tensors = {k: np.asarray(exact(v)) for k, v in {**case.tensors(), **_arrays(case)}.items()}
    name, index = entry
    value = tensors[name][index]
    tensors[name][index] = theta

    signals: dict[tuple[str, int], Array] = {}

    def read(at: At, t: int) -> Array:
        s = t - at.lag
        if (at.signal, s) in signals:
            return signals[at.signal, s]
        if at.signal in case.x and s >= 0:
            return tensors[f"d{at.signal}"][s, 0]
        found = _start(cell, case, at.signal, s + cell.states[at.signal])
        shape = lengths_of(cell.shape_of(at.signal), case.sizes)
        return np.full(shape, sympy.Integer(0)) if found is None else tensors[found[0]][found[1]]

    for t in range(case.steps):
        walker = Walker(partial(read, t=t), lambda of: tensors[f"d{of}"])
        for signal in cell.order:
            shape = lengths_of(cell.signals[signal], case.sizes)
            signals[signal, t] = np.broadcast_to(walker.value(cell.equation(signal).rhs), shape)
    total = sympy.Integer(0)
    for t in range(case.steps):
        total += _weighted(case.dy[t, 0], signals[cell.output, t])
    for state, dlast in case.dlast.items():
        for j, part in enumerate(dlast[:, 0]):
            total += _weighted(part, read(At(state, 0), case.steps - len(dlast) + j))
    return sympy.diff(total, theta).xreplace({theta: value}).evalf(DIGITS)


def _arrays(case: Case) -> dict[str, Array]:
    """Constant arrays, named as the tensors are."""
    return {f"d{name}": value for name, value in case.arrays.items()}


def _weighted(weights: Array, values: Array) -> Any:
    return sympy.Add(*(_number(w) * v for w, v in zip(np.ravel(weights), np.ravel(values), strict=True)))


class Recurrent:
    """A cell's scalar equations and their partial derivatives, compiled for mpmath once per equation."""

    def __init__(self, cell: Cell, sizes: dict[str, int]) -> None:
        self.cell, self.sizes = cell, sizes
        self.equations = {signal: self._equation(signal) for signal in cell.order}

    def _equation(self, signal: str) -> tuple[list[tuple[Any, tuple[int, ...]]], Any]:
        """What an equation reads, and a function giving its units and all their partial derivatives."""
        symbols: dict[tuple[Any, tuple[int, ...]], sympy.Symbol] = {}

        def array(of: Any, shape: Shape) -> Array:
            out = np.empty(lengths_of(shape, self.sizes), object)
            for index in np.ndindex(out.shape):
                out[index] = symbols.setdefault((of, index), sympy.Symbol(f"v{len(symbols)}", real=True))
            return out

        def fixed(name: str) -> Array:
            known = {k: v.shape for k, v in self.cell.parameters.items()} | dict(self.cell.arrays)
            return array(name, known[name])

        walker = Walker(lambda at: array(at, self.cell.shape_of(at.signal)), fixed)
        shape = lengths_of(self.cell.signals[signal], self.sizes)
        named = {c: c.value for c in self.cell.equation(signal).rhs.atoms(Constant)}
        entries = np.ravel(np.broadcast_to(walker.value(self.cell.equation(signal).rhs), shape)).tolist()
        units = [sympy.sympify(entry).xreplace(named) for entry in entries]
        partials = [[sympy.diff(u, s) for s in symbols.values()] for u in units]
        return list(symbols), sympy.lambdify(
            list(symbols.values()), [units, partials], [{"whole": mpmath.floor}, "mpmath"], cse=True
        )

    def gradients(self, case: Case) -> dict[str, Any]:
        """All gradients of a case with one sample."""
        cell = self.cell
        tensors = case.tensors()
        offsets = dict(zip(tensors, np.cumsum([0, *(np.size(v) for v in tensors.values())]).tolist(), strict=False))
        count = sum(np.size(v) for v in tensors.values())
        constants = _arrays(case)

        def leaf(name: str, index: tuple[int, ...]) -> tuple[Any, Any]:
            """An entry of a tensor and its tangent."""
            tangent = np.zeros(count, object)
            if name in constants:
                return mpmath.mpf(float(constants[name][index])), tangent
            place = int(np.ravel_multi_index(index, np.shape(tensors[name]))) if index else 0
            tangent[offsets[name] + place] = mpmath.mpf(1)
            return mpmath.mpf(float(tensors[name][index])), tangent

        values: dict[tuple[str, int], Array] = {}

        def at(name: str, t: int, index: tuple[int, ...]) -> tuple[Any, Any]:
            if (name, t) in values:
                return values[name, t][index]
            if name in case.x and t >= 0:
                return leaf(f"d{name}", (t, 0, *index))
            found = _start(cell, case, name, t + cell.states[name])
            if found is None:
                return mpmath.mpf(0), np.zeros(count, object)
            tensor, before = found
            return leaf(tensor, (*before, *(index if np.ndim(tensors[tensor]) else ())))

        for t in range(case.steps):
            for signal, (reads, compiled) in self.equations.items():
                operands = [
                    at(of.signal, t - of.lag, index) if isinstance(of, At) else leaf(f"d{of}", index)
                    for of, index in reads
                ]
                units, partials = compiled(*(v for v, _ in operands))
                found = np.empty(lengths_of(cell.signals[signal], self.sizes), object)
                for index, unit, mine in zip(np.ndindex(found.shape), units, partials, strict=True):
                    sent = (p * d for p, (_, d) in zip(mine, operands, strict=True))
                    found[index] = mpmath.mpf(unit), sum(sent, np.zeros(count, object))
                values[signal, t] = found
        total = np.zeros(count, object)
        for t in range(case.steps):
            for index, weight in np.ndenumerate(case.dy[t, 0]):
                total = total + float(weight) * values[cell.output, t][index][1]
        for state, dlast in case.dlast.items():
            for (j, *entry), weight in np.ndenumerate(dlast[:, 0]):
                total = total + float(weight) * at(state, case.steps - len(dlast) + j, tuple(entry))[1]
        return {k: total[offsets[k] : offsets[k] + np.size(v)].reshape(np.shape(v)) for k, v in tensors.items()}
