"""No mistake in a derived backward sweep gets past the complex-step witness."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from feature_cells import FEATURES
from float64 import FLOAT64
from mutants import Mutant, mutants

import symcell
from symcell.adjoint import Adjoint, adjoint
from symcell.cell import Cell
from symcell.graph import GraphError, name_of
from symcell.lower import lower
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case
from symcell.verify.differences import complex_step, direction
from symcell.verify.reference import run_backward, run_forward
from symcell.verify.tolerances import error

CELLS = ("lstm", "gru", "narx", "layernorm_lstm", "indrnn", "antisymmetric", "projected_lstm", "over_units", "scalars",
         "joined_gates", "learned_lags", "normalised", "matrix_memory", "matrix_start", "scaled_rows_and_columns",
         "matrix_scalars", "constant_arrays")  # fmt: skip
LONG = ("layernorm_lstm", "projected_lstm")
"""Their gates are lstm's, the norms those of over_units and normalised, the projection a product as in matrix_scalars:
without ``--whole`` these stand for them."""
EQUIVALENT = {
    ("indrnn", "operand replaced: da_h = dh[t]*greater(h[t], 0)"): "relu(a) > 0 exactly where a > 0",
    ("matrix_scalars", "operand replaced: da_C = drelu_a_C[t]*greater(relu_a_C[t], 0)"): "the same",
    ("over_units", "operand replaced: dcentred_x = 2*dsum_square_x[t]*x[t]"): "the mean is taken off further down",
    ("over_units", "sign flipped: attains_max_h = -equal(h[t-1], max_h[t])"): "divided by their own sum",
    ("over_units", "sum and maximum swapped: count_max_h = max(attains_max_h[t])"): "one but for ties",
    ("over_units", "factor dropped: dh_via = attains_max_h[t]*dmax_h[t] + 2*dsum_square_h[t]*h[t-1]"): "the same",
}  # fmt: skip
"""Mutants that compute the same function (away from ties), and why."""
IDLE = {"dsum_x": "the gradient of a variance sums to zero over the units", "dsum_x_sum": "the same"}
"""Steps that are zero for every input, of the cell over_units."""
NOISE = 1e-9
"""What a derivative at 15 digits may be off by."""


class Witness:
    """The complex-step derivatives of one case, and whether a backward sweep agrees with them."""

    def __init__(self, cell: Cell, derived: Adjoint) -> None:
        self.cell = cell
        self.case = self._case()
        self.forward = run_forward(cell, self.case, derived.forward, FLOAT64)
        self.derivatives = {n: float(complex_step(cell, self.case, derived.forward, n)) for n in self.case.tensors()}

    def _case(self) -> Case:
        sizes = dict(zip(sorted(self.cell.sizes, reverse=True), (3, 2, 4, 5), strict=False))
        steps = 5 if max(self.cell.states.values()) > 1 else 2
        return random_case(self.cell, Kind("mutants", steps, 2), seed=3, sizes=sizes)

    def accepts(self, derived: Adjoint) -> bool:
        """Whether all gradients agree along all directions; a sweep that cannot run is no match."""
        try:
            derived.graph.check()
            with np.errstate(all="ignore"):
                found = run_backward(self.cell, self.case, self.forward, derived, FLOAT64).gradients()
        except (GraphError, KeyError, ValueError):
            return False
        along = {n: np.sum(found[n] * direction(self.case, n)) for n in self.derivatives}
        return all(error(along[n], wanted, 1 + abs(wanted)) < NOISE for n, wanted in self.derivatives.items())


def load(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


def needed(derived: Adjoint) -> set[str]:
    """The values that some gradient or carried value is made from."""
    made = derived.graph.producer()
    pending = [*derived.graph.outputs, *derived.carries, *(v for e in derived.graph.exits for v in e.values)]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in made and name not in found:
            found.add(name)
            pending += [name_of(o) for o in made[name].operands()]
    return found


def explained(name: str, mutant: Mutant) -> bool:
    if (name, str(mutant)) in EQUIVALENT:
        return True
    kept = all(term in str(mutant) for term in ("dx = dcentred_x[t] ", "+ dx_back[t]"))
    return name == "over_units" and (mutant.out in IDLE or kept)


@pytest.mark.parametrize("name", [pytest.param(c, marks=pytest.mark.whole) if c in LONG else c for c in CELLS])
def test_every_mutant_is_caught(name: str) -> None:
    cell = load(name)
    derived = adjoint(lower(cell))
    useful = needed(derived)
    found = [m for m in mutants(derived.graph) if m.out in useful]
    assert len(found) > len(derived.graph.steps)
    assert {"nothing enters"} <= {m.what for m in found}, "the boundary is on trial too"
    with mpmath.workdps(15):
        witness = Witness(cell, derived)
        assert witness.accepts(derived)
        survivors = [m for m in found if witness.accepts(m.inside(derived))]
    assert [str(m) for m in survivors if not explained(name, m)] == []
    assert {key for key in EQUIVALENT if key[0] == name} <= {(name, str(m)) for m in survivors}


def test_the_witness_sees_a_wrong_forward_sweep_too() -> None:
    """The gradients of another cell with the same parameters do not pass."""
    one = symcell.parse("h[t] = tanh(W @ x[t] + U @ h[t-1])", name="one")
    other = symcell.parse("h[t] = sigmoid(W @ x[t] + U @ h[t-1])", name="other")
    with mpmath.workdps(15):
        witness = Witness(one, adjoint(lower(one)))
        assert not witness.accepts(adjoint(lower(other)))
