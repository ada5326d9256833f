"""The programs of second derivatives keep the rules, and compute what differences of the graph's gradients say."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from feature_cells import AT_A_POLE
from numpy.testing import assert_allclose
from planned_cells import CELLS, cell

from symcell.adjoint import adjoint
from symcell.lower import lower
from symcell.pipeline import TARGETS, plans
from symcell.program.model import Plan
from symcell.program.rules import check_plan
from symcell.verify import second
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case, sizes_of
from symcell.verify.second import Direction

SAMPLE = ("lstm", "learned_lags", "input_lags", "matrix_memory", "kinks", "constant_arrays", "no_parameters",
          "fixed_values", "idle_output", "normalised", "joined_gates")  # fmt: skip
NAMES = [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in CELLS if n not in AT_A_POLE]


@cache
def planned(name: str) -> dict[str, Plan]:
    return plans(cell(name), TARGETS, order=2)


@cache
def witness(name: str) -> tuple[Case, Direction, Result]:
    case = random_case(cell(name), Kind("short", 3, 2, lengths=(2, 3)), sizes=sizes_of(cell(name), 2))
    towards = second.random_direction(case)
    return case, towards, second.differenced(cell(name), case, adjoint(lower(cell(name))), towards)


@pytest.mark.parametrize("name", NAMES)
def test_programs_of_second_derivatives(name: str) -> None:
    case, towards, expected = witness(name)
    for target, plan in planned(name).items():
        check_plan(plan)
        found, _ = second.interpreted(plan, case, towards)
        tensors: dict[str, Any] = {k: np.array(v, float) for k, v in expected.tensors().items()}
        assert found.tensors().keys() == tensors.keys()
        for key, value in tensors.items():
            scale = max(1.0, abs(value).max(initial=0))
            assert_allclose(found.tensors()[key] / scale, value / scale, rtol=0, atol=1e-10, err_msg=f"{target} {key}")
