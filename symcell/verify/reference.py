"""The reference: the graph and its adjoint, interpreted with mpmath. No plan and no emitted code takes part."""

from __future__ import annotations

from collections.abc import Mapping

import mpmath
import numpy as np

from symcell.adjoint import Adjoint, adjoint
from symcell.cell import Cell
from symcell.graph import Graph
from symcell.interpret import EXACT, Arithmetic, Run, run
from symcell.lower import lower
from symcell.verify.case import Array, Case, Result, each_alone

DIGITS = 50


def reference(
    cell: Cell, case: Case, *, digits: int = DIGITS, graph: Graph | None = None, derived: Adjoint | None = None
) -> Result:
    """Run ``cell`` forward and backward on ``case`` at ``digits`` decimal digits; arrays of mpmath numbers.

    With ``lengths``, each sequence is run alone.
    """
    graph = graph or lower(cell)
    derived = derived or adjoint(graph)
    with mpmath.workdps(digits):
        if case.lengths is not None:
            return each_alone(case, lambda one: reference(cell, one, digits=digits, graph=graph, derived=derived))
        forward = run_forward(cell, case, graph, EXACT)
        return run_backward(cell, case, forward, derived)


def _steps_first(array: Array) -> Array:
    return array if array.ndim == 3 else array[None]


def run_forward(cell: Cell, case: Case, graph: Graph, arithmetic: Arithmetic) -> Run:
    """The forward sweep of a case; carried states stand in ``varying`` at negative times too."""
    given = {(x, t): arithmetic.array(v) for x, array in case.x.items() for t, v in enumerate(array)}
    fixed = {p: arithmetic.array(np.reshape(v, (1, -1)) if np.ndim(v) < 2 else v) for p, v in case.params.items()}
    boundary = {}
    for name, depth in cell.states.items():
        for j in range(depth):
            value = _initial(cell, case, name, j, arithmetic)
            if value is not None:
                boundary[name, j - depth] = value
    return run(
        graph, given, fixed, boundary, steps=case.steps, batch=case.batch, sizes=case.sizes, arithmetic=arithmetic
    )


def _initial(cell: Cell, case: Case, name: str, j: int, arithmetic: Arithmetic) -> Array | None:
    if name in case.state:
        return arithmetic.array(_steps_first(case.state[name])[j])
    if name in cell.initial:
        value = np.reshape(case.params[cell.initial[name]], (1, -1))
        return arithmetic.array(np.repeat(value, case.batch, axis=0))
    return None


def state_at(cell: Cell, case: Case, forward: Run, name: str, t: int, arithmetic: Arithmetic = EXACT) -> Array:
    """A state at step ``t``, before the sequence too."""
    if (name, t) in forward.varying:
        return forward.varying[name, t]
    value = _initial(cell, case, name, t + cell.states[name], arithmetic)
    width = cell.size_of(name).value(case.sizes)
    return arithmetic.array(np.zeros((case.batch, width))) if value is None else value


def last_states(cell: Cell, case: Case, forward: Run, arithmetic: Arithmetic = EXACT) -> dict[str, Array]:
    """Each state after the last step, (B, n) or (k, B, n)."""
    last = {}
    for name, depth in cell.states.items():
        steps = [state_at(cell, case, forward, name, case.steps - depth + j, arithmetic) for j in range(depth)]
        last[name] = np.stack(steps) if depth > 1 else steps[0]
    return last


def _stacked(arrays: list[Array], batch: int, width: int) -> Array:
    return np.stack(arrays) if arrays else np.zeros((0, batch, width))


def run_backward(cell: Cell, case: Case, forward: Run, derived: Adjoint, arithmetic: Arithmetic = EXACT) -> Result:
    """The backward sweep of a case (without ``lengths``) behind its forward sweep in the same arithmetic."""
    graph = derived.graph
    steps = range(case.steps)
    given = dict(forward.varying)
    for name, depth in cell.states.items():
        for t in range(-depth, 0):
            given[name, t] = state_at(cell, case, forward, name, t, arithmetic)
    given |= {(derived.seeds[cell.output], t): arithmetic.array(case.dy[t]) for t in steps}
    boundary = _arriving(cell, case, derived, arithmetic)
    back = run(graph, given, forward.fixed, boundary, steps=case.steps, batch=case.batch, sizes=case.sizes,
               arithmetic=arithmetic)  # fmt: skip
    state = _leaving(cell, case, derived, back, boundary, arithmetic)
    params = {}
    for name, value in case.params.items():
        found = derived.gradients.get(name)
        gradient = (
            arithmetic.array(np.zeros(np.shape(value))) if found is None else back.fixed[found].reshape(np.shape(value))
        )
        for of, learned in cell.initial.items():
            if learned == name and of not in case.state:
                gradient = gradient + _steps_first(state[of]).sum(axis=(0, 1)).reshape(np.shape(value))
        params[name] = gradient
    x = {}
    for name in cell.inputs:
        found = derived.gradients.get(name)
        width = cell.inputs[name].value(case.sizes)
        zero = arithmetic.array(np.zeros((case.batch, width)))
        x[name] = _stacked([zero if found is None else back.varying[found, t] for t in steps], case.batch, width)
    y = _stacked(
        [forward.varying[cell.output, t] for t in steps], case.batch, cell.size_of(cell.output).value(case.sizes)
    )
    return Result(y, last_states(cell, case, forward, arithmetic), params, x, state)


def _arriving(cell: Cell, case: Case, derived: Adjoint, arithmetic: Arithmetic) -> dict[tuple[str, int], Array]:
    """The gradients by the last states, where the adjoint reads them: as what the steps beyond the end would send."""
    boundary = {}
    entered = set()
    for out, carry in derived.carries.items():
        depth = cell.states[carry.value]
        if carry.lag == depth and carry.value not in entered and carry.value in case.dlast:
            entered.add(carry.value)
            for j, value in enumerate(_steps_first(case.dlast[carry.value])):
                boundary[out, case.steps + j] = arithmetic.array(value)
    return boundary


def _leaving(
    cell: Cell,
    case: Case,
    derived: Adjoint,
    back: Run,
    boundary: Mapping[tuple[str, int], Array],
    arithmetic: Arithmetic,
) -> dict[str, Array]:
    """The gradients by the initial states: what the first steps send to the steps before them."""
    state = {}
    for name, depth in cell.states.items():
        width = cell.size_of(name).value(case.sizes)
        parts = [arithmetic.array(np.zeros((case.batch, width))) for _ in range(depth)]
        for out, carry in derived.carries.items():
            for s in range(-carry.lag, 0) if carry.value == name else ():
                sent = back.varying.get((out, s + carry.lag), boundary.get((out, s + carry.lag)))
                if sent is not None:
                    parts[depth + s] = parts[depth + s] + sent
        state[name] = np.stack(parts) if depth > 1 else parts[0]
    return state
