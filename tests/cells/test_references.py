"""The shipped texts against the papers' recurrences in NumPy: the graph as it stands, and the emitted module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from references import REFERENCES, delay_network

import symcell
from symcell.cell import Cell, Shape
from symcell.interpret import run
from symcell.lower import lower

SIZES = {"D": 3, "H": 4, "K": 5, "N": 6, "R": 2}
STEPS, BATCH = 8, 2

DRAWN_OTHERWISE = {
    ("phased_lstm", "time"): lambda random, shape: np.cumsum(random.uniform(0, 0.1, shape), axis=0),
    ("zoneout_lstm", "z_c"): lambda random, shape: random.integers(0, 2, shape).astype(float),
    ("zoneout_lstm", "z_h"): lambda random, shape: random.integers(0, 2, shape).astype(float),
}
"""Inputs that are no numbers of any sign: clocks and masks."""


def _case(cell: Cell) -> tuple[dict[str, int], dict[str, Any], dict[str, Any]]:
    """Sizes, parameters and constants by name, inputs by name."""
    sizes = {name: SIZES[name] for name in cell.sizes}
    random = np.random.default_rng(1)

    def drawn(shape: Shape) -> Any:
        return random.standard_normal([size.value(sizes) for size in shape]) * 0.7

    params: dict[str, Any] = {name: drawn(parameter.shape) for name, parameter in cell.parameters.items()}
    if cell.arrays:
        params |= dict(zip(cell.arrays, delay_network(sizes["N"], 6.0), strict=True))
    inputs = {}
    for name, shape in cell.inputs.items():
        draw = DRAWN_OTHERWISE.get((cell.name, name), lambda random, shape: random.standard_normal(shape))
        inputs[name] = draw(random, (STEPS, BATCH, *(size.value(sizes) for size in shape)))
    return sizes, params, inputs


@pytest.mark.parametrize("name", REFERENCES)
def test_the_graph_gives_what_the_paper_says(name):
    cell = symcell.load(name)
    sizes, params, inputs = _case(cell)
    given = {(n, t): x[t] for n, x in inputs.items() for t in range(STEPS)}
    out = run(lower(cell), given, params, {}, steps=STEPS, batch=BATCH, sizes=sizes)
    y = np.array([out.varying[cell.output, t] for t in range(STEPS)], dtype=float)
    np.testing.assert_allclose(y, REFERENCES[name](params, inputs), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_emitted_module_gives_what_the_paper_says(name):
    cell = symcell.load(name)
    sizes, arrays, inputs = _case(cell)
    module = symcell.compile(cell)
    params = module.init_params(**sizes, dtype="float64", **{n: arrays[n] for n in cell.arrays})
    for n in cell.parameters:
        params[n][...] = arrays[n]
    y, _, _ = module.forward(params, inputs if len(inputs) > 1 else inputs["x"])
    np.testing.assert_allclose(y, REFERENCES[name](arrays, inputs), rtol=1e-11, atol=1e-12)


def test_every_branch_of_the_time_gate_is_taken():
    """The reference of the phased LSTM says little unless its gate opens, closes and leaks in the case above."""
    _, params, inputs = _case(symcell.load("phased_lstm"))
    period = np.exp(params["rho"])
    phase = ((inputs["time"] - params["s"]) % period) / period
    for low, high in ((0, 0.025), (0.025, 0.05), (0.05, 1)):
        assert ((low <= phase) & (phase < high)).any()


def test_the_delay_network_delays():
    """Memory read at the far end of the window (all Legendre polynomials 1) is the signal theta steps ago."""
    theta, order = 50, 8
    a, b = delay_network(order, theta)
    signal = np.sin(np.arange(400) * 0.05)
    memory, read = np.zeros(order), []
    for u in signal:
        memory = a @ memory + b * u
        read.append(memory.sum())
    np.testing.assert_allclose(read[200:], signal[200 - theta : -theta], atol=0.05)
