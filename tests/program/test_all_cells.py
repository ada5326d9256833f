"""The programs of all cells keep the rules, and compute what the graph says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from planned_cells import PLANS, cell, planned

from symcell.program.interpret import run
from symcell.program.rules import check_plan
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case, sizes_of
from symcell.verify.reference import reference

SHORT = Kind("short", 3, 2, lengths=(2, 3))


@pytest.mark.parametrize(("name", "target"), PLANS)
def test_rules_hold(name: str, target: str) -> None:
    check_plan(planned(name, target))


@cache
def witness(name: str) -> tuple[Case, Result]:
    """A small case and what the graph makes of it, at little more than float64's digits."""
    case = random_case(cell(name), SHORT, sizes=sizes_of(cell(name), 2))
    return case, reference(cell(name), case, digits=20)


@pytest.mark.parametrize(("name", "target"), PLANS)
def test_programs_compute_what_the_graph_says(name: str, target: str) -> None:
    case, expected = witness(name)
    plan, arrays = planned(name, target), {**case.params, **case.arrays}
    found = run(plan, arrays, case.x, case.state, case.lengths, case.dy, case.dlast, sizes=case.sizes)
    untaped = run(plan, arrays, case.x, case.state, case.lengths, sizes=case.sizes, keep_tape=False)
    np.testing.assert_array_equal(untaped.y, found.y)
    assert found.grads is not None
    tensors = {"y": found.y, **{f"last {n}": v for n, v in found.last.items()}}
    tensors |= {f"d{n}": v for n, v in {**found.grads.params, **found.grads.x}.items()}
    tensors |= {f"d{n}[0]": v for n, v in found.grads.state.items()}
    wanted = {name: np.array(value, float) for name, value in expected.tensors().items()}
    assert tensors.keys() == wanted.keys()
    for key, value in wanted.items():
        scale = max(1.0, abs(value).max(initial=0))
        np.testing.assert_allclose(
            tensors[key].reshape(value.shape) / scale, value / scale, rtol=0, atol=1e-11, err_msg=key
        )
