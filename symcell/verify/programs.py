"""A target's programs as a witness, run by the program interpreter: between the graph and the printed source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from symcell.program import interpret
from symcell.program.model import Plan
from symcell.verify.case import Array, Case, Result, state_shape


def run(plan: Plan, case: Case) -> Result:
    """A case forward and backward through a plan's programs, in float64."""
    lengths = None if case.lengths is None else case.lengths.tolist()
    fixed = {**case.params, **case.arrays}
    found = interpret.run(plan, fixed, case.x, case.state, lengths, case.dy, case.dlast, sizes=case.sizes)
    assert found.grads is not None

    def states(group: Mapping[str, Array]) -> dict[str, Array]:
        return {k: np.reshape(v, state_shape(plan.cell, k, case.batch, case.sizes)) for k, v in group.items()}

    return Result(found.y, states(found.last), found.grads.params, found.grads.x, states(found.grads.state))
