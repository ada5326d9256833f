"""Gradients by brute force: SymPy differentiates scalar expressions of the unrolled cell.

``direct``: the whole loss as one expression of one unknown, differentiated and evaluated. ``recurrent``: every scalar
equation of a step differentiated by everything it reads, the tangents carried forward through time (Williams & Zipser
1989) for all unknowns at once; it never sweeps back.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import sympy
from unrolled import Units, Walker

from symcell.cell import Cell
from symcell.symbolic.nodes import At
from symcell.verify.case import Case

DIGITS = 40
Entry = tuple[str, tuple[int, ...]]
"""A gradient's name and an index into it."""


def _number(value: float) -> sympy.Float:
    return sympy.Float(float(value), DIGITS)


def _start(cell: Cell, case: Case, name: str, j: int) -> tuple[str, Any] | None:
    """Where the state ``j`` (0: the oldest) before the first step comes from: a tensor and where in it."""
    if name in case.state:
        return f"d{name}[0]", (j, 0) if cell.states[name] > 1 else (0,)
    if name in cell.initial:
        return f"d{cell.initial[name]}", ()
    return None


def direct(cell: Cell, case: Case, entry: Entry) -> Any:
    """∂loss/∂entry of a case with one sample, by differentiating the loss as it stands."""
    theta = sympy.Symbol("theta", real=True)
    tensors = {k: np.asarray(np.vectorize(_number, otypes=[object])(v)) for k, v in case.tensors().items()}
    name, index = entry
    value = tensors[name][index]
    tensors[name][index] = theta

    signals: dict[tuple[str, int], Units] = {}

    def parameter(of: str) -> Any:
        array = tensors[f"d{of}"]
        return [list(row) for row in array] if array.ndim == 2 else list(np.ravel(array))

    def read(at: At, t: int) -> Units:
        s = t - at.lag
        if (at.signal, s) in signals:
            return signals[at.signal, s]
        if at.signal in case.x and s >= 0:
            return list(tensors[f"d{at.signal}"][s, 0])
        found = _start(cell, case, at.signal, s + cell.states[at.signal])
        width = cell.size_of(at.signal).value(case.sizes)
        return [sympy.Integer(0)] * width if found is None else list(np.ravel(tensors[found[0]][found[1]]))

    for t in range(case.steps):
        walker = Walker(lambda at, t=t: read(at, t), parameter)
        for signal in cell.order:
            units = walker.units(cell.equation(signal).rhs)
            width = cell.signals[signal].value(case.sizes)
            signals[signal, t] = units * (width // len(units))
    total = sympy.Integer(0)
    for t in range(case.steps):
        total += sympy.Add(*map(sympy.Mul, map(_number, case.dy[t, 0]), signals[cell.output, t]))
    for state, dlast in case.dlast.items():
        depth = cell.states[state]
        for j, row in enumerate(np.reshape(dlast, (depth, -1))):
            units = read(At(state, 0), case.steps - depth + j)
            total += sympy.Add(*map(sympy.Mul, map(_number, row), units))
    return sympy.diff(total, theta).xreplace({theta: value}).evalf(DIGITS)


class Recurrent:
    """A cell's scalar equations and their partial derivatives, compiled for mpmath once per equation."""

    def __init__(self, cell: Cell, sizes: dict[str, int]) -> None:
        self.cell, self.sizes = cell, sizes
        self.equations = {signal: self._equation(signal) for signal in cell.order}

    def _equation(self, signal: str) -> tuple[list[tuple[Any, tuple[int, ...]]], Any, int]:
        """What an equation reads, and a function giving its units and all their partial derivatives."""
        symbols: dict[tuple[Any, tuple[int, ...]], sympy.Symbol] = {}

        def symbol(of: Any, *index: int) -> sympy.Symbol:
            return symbols.setdefault((of, index), sympy.Symbol(f"v{len(symbols)}", real=True))

        def parameter(name: str) -> Any:
            shape = [s.value(self.sizes) for s in self.cell.parameters[name].shape]
            if len(shape) == 2:
                return [[symbol(name, j, k) for k in range(shape[1])] for j in range(shape[0])]
            return [symbol(name, j) for j in range(shape[0])] if shape else [symbol(name)]

        def read(at: At) -> Units:
            return [symbol(at, j) for j in range(self.cell.size_of(at.signal).value(self.sizes))]

        units = Walker(read, parameter).units(self.cell.equation(signal).rhs)
        partials = [[sympy.diff(u, s) for s in symbols.values()] for u in units]
        compiled = sympy.lambdify(list(symbols.values()), [units, partials], "mpmath", cse=True)
        return list(symbols), compiled, len(units)

    def gradients(self, case: Case) -> dict[str, Any]:
        """All gradients of a case with one sample."""
        cell = self.cell
        tensors = case.tensors()
        offsets = dict(zip(tensors, np.cumsum([0, *(np.size(v) for v in tensors.values())]).tolist(), strict=False))
        count = sum(np.size(v) for v in tensors.values())

        def leaf(name: str, index: tuple[int, ...]) -> tuple[Any, Any]:
            """An entry of a tensor and its tangent."""
            tangent = np.zeros(count, object)
            tangent[offsets[name] + int(np.ravel_multi_index(index, np.shape(tensors[name])) if index else 0)] = (
                mpmath.mpf(1)
            )
            return mpmath.mpf(float(tensors[name][index] if index else tensors[name])), tangent

        values: dict[tuple[str, int, int], tuple[Any, Any]] = {}

        def at(name: str, t: int, j: int) -> tuple[Any, Any]:
            if (name, t, j) in values:
                return values[name, t, j]
            if name in case.x and t >= 0:
                return leaf(f"d{name}", (t, 0, j))
            found = _start(cell, case, name, t + cell.states[name])
            if found is None:
                return mpmath.mpf(0), np.zeros(count, object)
            tensor, index = found
            return leaf(tensor, (*index, j) if np.ndim(tensors[tensor]) else ())

        for t in range(case.steps):
            for signal, (reads, compiled, _) in self.equations.items():
                operands = [
                    at(of.signal, t - of.lag, index[0]) if isinstance(of, At) else leaf(f"d{of}", index)
                    for of, index in reads
                ]
                units, partials = compiled(*(v for v, _ in operands))
                width = cell.signals[signal].value(self.sizes)
                for j in range(width):
                    k = j if len(units) > 1 else 0
                    tangent = sum(
                        (p * d for p, (_, d) in zip(partials[k], operands, strict=True)), np.zeros(count, object)
                    )
                    values[signal, t, j] = mpmath.mpf(units[k]), tangent
        total = np.zeros(count, object)
        for t in range(case.steps):
            for j, weight in enumerate(case.dy[t, 0]):
                total = total + float(weight) * values[cell.output, t, j][1]
        for state, dlast in case.dlast.items():
            depth = cell.states[state]
            for lag, row in enumerate(np.reshape(dlast, (depth, -1))):
                for j, weight in enumerate(row):
                    total = total + float(weight) * at(state, case.steps - depth + lag, j)[1]
        return {k: total[offsets[k] : offsets[k] + np.size(v)].reshape(np.shape(v)) for k, v in tensors.items()}
