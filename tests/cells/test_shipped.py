"""Every shipped text: who it is by, what its equations are called, and that its numbers stay finite."""

from __future__ import annotations

import re

import numpy as np
import pytest
from references import REFERENCES, delay_network

import symcell

SIZES = {"D": 6, "H": 8, "P": 5, "K": 7, "N": 4, "R": 3}
STEPS, BATCH = 100, 2


def test_there_are_36_and_no_reference_is_left_over():
    assert len(symcell.names()) == 36
    assert set(REFERENCES) <= set(symcell.names())


@pytest.mark.parametrize("name", symcell.names())
def test_it_has_a_title_a_citation_and_a_label_for_each_equation(name):
    cell = symcell.load(name)
    assert cell.title
    assert not cell.title.endswith(".")
    assert re.search(r"[A-ZŚ]\w+.*\((19|20)\d\d\)", cell.description), "names and the year of the publication"
    assert all(cell.labels.get(eq.lhs.signal) for eq in cell.equations)
    assert len(set(cell.labels.values())) == len(cell.equations), "no two equations are called the same"
    assert max(len(line) for line in cell.text.splitlines()) <= 120


@pytest.mark.parametrize("name", symcell.names())
def test_it_stays_finite_from_its_default_start_over_100_steps(name):
    cell = symcell.load(name)
    module = symcell.compile(cell)
    sizes = {size: SIZES[size] for size in cell.sizes}
    constants = dict(zip("AB", delay_network(sizes["N"], 20.0), strict=True)) if cell.arrays else {}
    params = module.init_params(**sizes, seed=0, dtype="float32", **constants)
    random = np.random.default_rng(0)
    x = {
        n: random.standard_normal((STEPS, BATCH, *(size.value(sizes) for size in shape))).astype("float32")
        for n, shape in cell.inputs.items()
    }
    y, last, tape = module.forward(params, x if len(x) > 1 else next(iter(x.values())))
    grads = module.backward(params, tape, np.ones_like(y))
    assert np.isfinite(y).all()
    assert all(np.isfinite(s).all() for s in last.values())
    assert all(np.isfinite(grads.params[n]).all() for n in cell.parameters)
    assert 1e-4 < np.abs(y).max() < 1e4
    assert np.abs(grads.params.flat).max() < 1e6
