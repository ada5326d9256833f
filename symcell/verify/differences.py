"""Derivatives without an adjoint: the forward sweep alone, differenced along random directions.

The loss of a case is moved along one random direction per tensor. In mpmath numbers the derivative is the imaginary
part of a step along the imaginary axis (Squire & Trapp 1998), exact to the working precision; at a kink that the
functions below do not settle, a central difference. In float64 it is a central difference of an emitted module itself.
"""

from __future__ import annotations

import types
from typing import Any

import mpmath
import numpy as np

from symcell.cell import Cell
from symcell.graph import Graph
from symcell.interpret import EXACT, Arithmetic
from symcell.symbolic import functions as fn
from symcell.verify import targets
from symcell.verify.case import Array, Case, loss
from symcell.verify.reference import DIGITS, last_states, outputs, run_forward

IMAGINARY_STEP = "1e-30"
CENTRAL_STEP = "1e-25"
FLOAT64_STEP = 1e-5


def direction(case: Case, name: str) -> Array:
    """A random direction of length 1 in the space of one tensor; zero where the tensor is empty."""
    rng = np.random.default_rng([ord(c) for c in name])
    found = np.asarray(rng.standard_normal(np.shape(case.tensors()[name])))
    return found / (np.linalg.norm(found) or 1)


def exact_loss(cell: Cell, case: Case, graph: Graph, arithmetic: Arithmetic) -> Any:
    """The loss of a case by the forward sweep alone; sequences of different lengths one by one."""
    if case.lengths is not None:
        return sum(exact_loss(cell, case.alone(k), graph, arithmetic) for k in range(case.batch))
    forward = run_forward(cell, case, graph, arithmetic)
    return loss(case, outputs(cell, case, forward), last_states(cell, graph, forward))


def complex_step(cell: Cell, case: Case, graph: Graph, name: str) -> Any:
    """The derivative of the loss along the direction of one tensor."""
    with mpmath.workdps(DIGITS):
        step = mpmath.mpf(IMAGINARY_STEP)
        moved = case.moved(name, _exact(direction(case, name)) * mpmath.mpc(0, step))
        return mpmath.mpmathify(exact_loss(cell, moved, graph, COMPLEX)).imag / step


def central_difference(cell: Cell, case: Case, graph: Graph, name: str) -> Any:
    """The same from both sides, with digits to spare: half the sum of the one-sided derivatives at a kink."""
    with mpmath.workdps(2 * DIGITS):
        by = _exact(direction(case, name)) * mpmath.mpf(CENTRAL_STEP)
        ahead, behind = (exact_loss(cell, case.moved(name, d), graph, EXACT) for d in (by, -by))
        return (ahead - behind) / (2 * mpmath.mpf(CENTRAL_STEP))


def kernel_difference(module: types.ModuleType, case: Case, name: str) -> float:
    """The central difference of an emitted module's own forward pass, in float64."""
    by = direction(case, name) * FLOAT64_STEP
    losses = []
    for moved in (case.moved(name, by), case.moved(name, -by)):
        _, y, last, _ = targets.forward(module, moved, "float64", keep_tape=False)
        host = {name: targets.to_host(module, value) for name, value in last.items()}
        losses.append(loss(case, targets.to_host(module, y), host))
    return float(losses[0] - losses[1]) / (2 * FLOAT64_STEP)


def along(gradient: Array, case: Case, name: str) -> Any:
    """⟨gradient, direction⟩, at the working precision of mpmath where the gradient is made of its numbers."""
    with mpmath.workdps(DIGITS):
        return np.sum(gradient * direction(case, name))


def _exact(array: Array) -> Array:
    return np.asarray(array, object)


AT_KINKS = {f: np.frompyfunc(f.row.stepped, max(f.nargs), 1) for f in fn.FUNCTIONS if f.row.stepped is not None}
"""Functions whose derivative at a kink lies between those of its two sides, so that neither side's formula gives it."""

COMPLEX = Arithmetic(EXACT.number, {**EXACT.functions, **AT_KINKS}, object)
"""mpmath's complex numbers, with the derivatives that the language takes at kinks."""
