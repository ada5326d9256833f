"""Second derivatives: witnesses to what modules of order 2 give.

The reference knows of no tangent: it is the central difference of the values and gradients that the graph and its
adjoint have at 50 digits. As second derivatives are symmetric, how ``backward``'s gradients move in a direction is
what ``second`` gives for ``jvp``'s tape in that direction.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import mpmath
import numpy as np

from symcell.adjoint import Adjoint
from symcell.cell import Cell
from symcell.program import interpret
from symcell.program.model import Plan
from symcell.verify.case import Array, Case, Result, state_shape
from symcell.verify.reference import DIGITS, reference
from symcell.verify.targets import outside, parameters, to_device, to_host

STEP = "1e-15"
"""Of a difference: its square, and 50 digits over it, are both far below float64's precision."""


@dataclass(frozen=True)
class Direction:
    """A direction for each parameter, input and passed state of a case."""

    params: Mapping[str, Array]
    x: Mapping[str, Array]
    state: Mapping[str, Array]


def random_direction(case: Case, seed: int = 0) -> Direction:
    """Normal random numbers, which float32 holds exactly."""
    rng = np.random.default_rng([seed, 2])

    def like(group: Mapping[str, Array]) -> dict[str, Array]:
        return {name: np.float64(np.float32(rng.standard_normal(np.shape(v)))) for name, v in group.items()}

    return Direction(like(case.params), like(case.x), like(case.state))


def differenced(cell: Cell, case: Case, derived: Adjoint, direction: Direction) -> Result:
    """How values and gradients of a case move in a direction: ``y`` and ``last`` are those of ``jvp``, the gradients
    those of ``second``; arrays of mpmath numbers."""
    with mpmath.workdps(DIGITS):
        step = mpmath.mpf(STEP)
        run = partial(reference, cell, graph=derived.forward, derived=derived)
        ahead, behind = (run(_moved(case, direction, by)) for by in (step, -step))

        def slope(one: Array, other: Array) -> Array:
            return (np.asarray(one, object) - other) / (2 * step)

        def each(of: Callable[[Result], Mapping[str, Array]]) -> dict[str, Array]:
            return {name: slope(value, of(behind)[name]) for name, value in of(ahead).items()}

        groups = (each(lambda r: r.last), each(lambda r: r.params), each(lambda r: r.x), each(lambda r: r.state))
        return Result(slope(ahead.y, behind.y), *groups)


def _moved(case: Case, direction: Direction, by: object) -> Case:
    def along(group: Mapping[str, Array], slopes: Mapping[str, Array]) -> dict[str, Array]:
        return {name: np.asarray(value, object) + by * slopes[name] for name, value in group.items()}

    return replace(
        case,
        params=along(case.params, direction.params),
        x=along(case.x, direction.x),
        state=along(case.state, direction.state),
    )


def interpreted(plan: Plan, case: Case, direction: Direction) -> tuple[Result, Result]:
    """The same by a plan's programs; and the values that they give beside (with the same gradients)."""
    lengths = None if case.lengths is None else case.lengths.tolist()
    dots = (direction.params, direction.x, direction.state)
    fixed = {**case.params, **case.arrays}
    found = interpret.run_twice(
        plan, fixed, case.x, case.state, dots, lengths, case.dy, case.dlast, sizes=case.sizes
    )  # fmt: skip

    def states(group: Mapping[str, Array]) -> dict[str, Array]:
        return {k: np.reshape(v, state_shape(plan.cell, k, case.batch, case.sizes)) for k, v in group.items()}

    grads = (found.grads.params, found.grads.x, states(found.grads.state))
    return Result(found.y_dot, states(found.last_dot), *grads), Result(found.y, states(found.last), *grads)


def run(module: types.ModuleType, case: Case, direction: Direction, dtype: str) -> tuple[Result, Result]:
    """The same by an emitted module; NumPy arrays."""
    send = partial(to_device, module, dtype=dtype)
    params = parameters(module, case, dtype)

    def inputs(group: Mapping[str, Array]) -> Array:
        found = {name: send(value) for name, value in group.items()}
        return found if len(found) > 1 else next(iter(found.values()))

    def given(group: Mapping[str, Array]) -> dict[str, Array]:
        return {name: send(outside(value)) for name, value in group.items()}

    y, last, y_dot, last_dot, tape = module.jvp(
        params, inputs(case.x), given(case.state), case.lengths,
        params_dot={name: send(value) for name, value in direction.params.items()},
        x_dot=inputs(direction.x), state_dot=given(direction.state), keep_tape=True,
    )  # fmt: skip
    grads = module.second(params, tape, send(case.dy), given(case.dlast))
    dx = grads.x if len(case.x) > 1 else {next(iter(case.x)): grads.x}

    def host(group: Mapping[str, Array]) -> dict[str, Array]:
        return {k: to_host(module, v) for k, v in group.items()}

    def states(group: Mapping[str, Array]) -> dict[str, Array]:
        return host({k: v if k in module.LAGS else v[None] for k, v in group.items()})

    found = (host(grads.params), host(dx), states(grads.state))
    return Result(to_host(module, y_dot), states(last_dot), *found), Result(to_host(module, y), states(last), *found)
