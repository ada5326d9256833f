"""Numbers of 16 bits in C: rounded at the same places as in NumPy, so that hardly a bit differs. What a module promises
for them is in test_halves.py, for all targets."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import build
from feature_cells import FEATURES

import symcell
from symcell import shipped
from symcell.cell import Cell
from symcell.verify.case import Result
from symcell.verify.cases import Kind, random_case
from symcell.verify.halves import HALVES, rounded
from symcell.verify.targets import run
from symcell.verify.tolerances import TOLERANCES, error, scale_of

KINDS = (Kind("given", 12, 3), Kind("lengths", 12, 3, given=False, lengths=(2, 12, 0)))
FEW = ("lstm", "gru", "layernorm_lstm", "deltanet")


def cell_of(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


def apart(found: Result, wanted: Result, dtype: str) -> tuple[float, float]:
    """The largest distance, in units of the type's, and the part of the numbers that are not the same."""
    allowed = TOLERANCES[dtype]
    worst, others = 0.0, []
    for values, exact in ((found.values(), wanted.values()), (found.gradients(), wanted.gradients())):
        wide = {name: value.astype(float) for name, value in exact.items()}
        for name, value in values.items():
            scale = scale_of(wide[name], wide, allowed.small)
            worst = max(worst, error(value.astype(float), wide[name], scale) / allowed.spacing)
            others += [~((value == exact[name]) | (np.isnan(value) & np.isnan(exact[name]))).ravel()]
    return worst, float(np.concatenate(others).mean())


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in FEW else [pytest.mark.whole]) for name in (*shipped.names(), *FEATURES)
])  # fmt: skip
@pytest.mark.parametrize("dtype", HALVES)
def test_c_rounds_where_numpy_does(name: str, dtype: str) -> None:
    """A rounding more or less would be seen in a tenth of the numbers or more. Where float32 differs in a last bit one
    number of float16 among thousands is rounded the other way, which then moves others a little."""
    cell = cell_of(name)
    for kind in KINDS:
        case = rounded(random_case(cell, kind), dtype)
        worst, differ = apart(run(build(cell, "c"), case, dtype), run(build(cell, "numpy"), case, dtype), dtype)
        assert worst <= 2
        assert differ <= {"float16": 0.2, "bfloat16": 0.06}[dtype]
