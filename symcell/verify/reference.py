"""The reference: the graph and its adjoint, interpreted with mpmath. No plan and no emitted code takes part."""

from __future__ import annotations

import mpmath
import numpy as np

from symcell.adjoint import Adjoint, adjoint
from symcell.cell import Cell
from symcell.graph import Graph
from symcell.interpret import EXACT, Arithmetic, Run, run
from symcell.lower import lower
from symcell.verify.case import Array, Case, Result, each_alone, state_shape

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


def run_forward(cell: Cell, case: Case, graph: Graph, arithmetic: Arithmetic) -> Run:
    """The forward sweep of a case (without ``lengths``)."""
    given = {(x, t): arithmetic.array(v) for x, array in case.x.items() for t, v in enumerate(array)}
    fixed = {name: arithmetic.array(v) for name, v in {**case.params, **case.arrays}.items()}
    return run(
        graph, given, fixed, _passed(case, graph, arithmetic),
        steps=case.steps, batch=case.batch, sizes=case.sizes, arithmetic=arithmetic,
    )  # fmt: skip


def _passed(case: Case, graph: Graph, arithmetic: Arithmetic) -> dict[str, Array]:
    """The states that the caller passes, by the names of the forward graph's entries."""
    return {e.name: arithmetic.array(case.state[e.value]) for e in graph.entries if e.value in case.state}


def _exits(graph: Graph) -> dict[str, str]:
    """The name by which each state leaves the forward graph."""
    return {leaving.values[0]: leaving.name for leaving in graph.exits}


def last_states(cell: Cell, graph: Graph, forward: Run) -> dict[str, Array]:
    """Each state after the last step, (k, B, *shape)."""
    exits = _exits(graph)
    return {name: forward.edges[exits[name]] for name in cell.states}


def outputs(cell: Cell, case: Case, forward: Run) -> Array:
    """y, (T, B, *shape)."""
    return _stacked([forward.varying[cell.output, t] for t in range(case.steps)], case.dy.shape)


def _stacked(arrays: list[Array], shape: tuple[int, ...]) -> Array:
    return np.stack(arrays) if arrays else np.zeros(shape)


def run_backward(cell: Cell, case: Case, forward: Run, derived: Adjoint, arithmetic: Arithmetic = EXACT) -> Result:
    """The backward sweep of a case (without ``lengths``) behind its forward sweep in the same arithmetic."""
    graph = derived.forward
    given = dict(forward.varying)
    given |= {(derived.seeds[cell.output], t): arithmetic.array(dy) for t, dy in enumerate(case.dy)}
    exits = _exits(graph)
    arriving = {derived.entering[exits[name]]: arithmetic.array(value) for name, value in case.dlast.items()}
    back = run(
        derived.graph, given, forward.fixed, {**_passed(case, graph, arithmetic), **arriving},
        steps=case.steps, batch=case.batch, sizes=case.sizes, arithmetic=arithmetic,
    )  # fmt: skip

    def zeros(shape: tuple[int, ...]) -> Array:
        return arithmetic.array(np.zeros(shape))

    found = derived.gradients
    params = {n: back.fixed[found[n]] if n in found else zeros(np.shape(v)) for n, v in case.params.items()}
    x = {
        name: _stacked([back.varying[found[name], t] for t in range(case.steps)], value.shape)
        if name in found
        else zeros(value.shape)
        for name, value in case.x.items()
    }
    state = {name: zeros(state_shape(cell, name, case.batch, case.sizes)) for name in cell.states}
    leaving = {e.value: derived.leaving[e.name] for e in graph.entries if e.name in derived.leaving}
    state |= {name: back.edges[edge] for name, edge in leaving.items()}
    return Result(outputs(cell, case, forward), last_states(cell, graph, forward), params, x, state)
