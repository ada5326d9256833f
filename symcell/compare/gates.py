"""The gates of a cell, by what they do.

A **gate** is a value that varies in time, lies in [0, 1] whatever the parameters are (the range of its expression says
so: a sigmoid, a softmax, ``1 - z``, ``exp(-softplus(v))``), and multiplies another value that varies, unit by unit. So
neither a name nor a function makes a gate: a sigmoid that is the state itself is none, and a tanh that multiplies is
none either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy
from sympy import Expr

from symcell.cell import Cell
from symcell.compare.ranges import Ranges
from symcell.symbolic.nodes import At, ColumnScaled, Hadamard, RowScaled


@dataclass(frozen=True)
class Gate:
    """``factor`` multiplies ``gated`` in the equation of ``signal``; ``name``: of the gate, where it is one signal, or
    is computed of one that lies in [0, 1] itself (``1 - z[t]``), else empty."""

    name: str
    factor: Expr
    gated: Expr
    signal: str


def gates(cell: Cell) -> tuple[Gate, ...]:
    """All gates of a cell, in the order of the equations that they stand in."""
    ranges = Ranges(cell)
    return tuple(gate for e in cell.equations for gate in _in(e.lhs.signal, e.rhs, ranges))


def names(found: tuple[Gate, ...]) -> tuple[str, ...]:
    """The gates that have a name, each once, in the order of the cell's equations."""
    return tuple(dict.fromkeys(gate.name for gate in found if gate.name))


def _in(signal: str, expr: Any, ranges: Ranges) -> Iterator[Gate]:
    if isinstance(expr, Hadamard | sympy.Mul | RowScaled | ColumnScaled):
        for k, factor in enumerate(expr.args):
            others = [a for n, a in enumerate(expr.args) if n != k]
            if _varies(factor) and any(map(_varies, others)) and ranges.is_share(factor):
                gated = others[0] if len(others) == 1 else Hadamard(*others)
                yield Gate(_name(factor, ranges), factor, gated, signal)
    for part in getattr(expr, "args", ()):
        if not isinstance(part, sympy.MatrixExpr):
            yield from _in(signal, part, ranges)


def _varies(expr: Any) -> bool:
    return bool(expr.has(At))


def _name(factor: Expr, ranges: Ranges) -> str:
    read = sorted(factor.atoms(At), key=str)
    return read[0].signal if len(read) == 1 and ranges.is_share(read[0]) else ""
