"""Back-propagation as derived equals SymPy's own differentiation of the unrolled cell, to 20 digits and more."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from brute_force import DIGITS, Recurrent, direct
from feature_cells import AT_A_POLE, FEATURES

import symcell
from symcell.cell import Cell
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case
from symcell.verify.reference import reference

DIRECT = ("antisymmetric", "fastgrnn", "indrnn", "narx", "rnn", "ugrnn")
"""Cells whose unrolled loss SymPy differentiates as one expression within a few seconds."""

ROUNDED = ("constants_in_every_place", "named_constants")
"""Cells with functions and products of constants, which lowering folds in double precision: 20 digits cannot agree."""

PLAIN = [name for name in FEATURES if name not in ("unread_input", *ROUNDED, *AT_A_POLE)]


def tiny(cell: Cell, *, given: bool = True) -> tuple[Case, dict[str, Any]]:
    """A small case and its gradients; of a few, one where most are alive (of two rectified units both may be dead)."""
    sizes = {name: 2 if name == "H" else 3 for name in cell.sizes}
    best: tuple[Case, dict[str, Any]] | None = None
    for seed in range(4):
        case = random_case(cell, Kind("tiny", 3, 1, given), seed, sizes=sizes)
        found = case, reference(cell, case).gradients()
        if best is None or alive(found[1]) > alive(best[1]):
            best = found
        if alive(best[1]) == len(best[1]):
            break
    assert best is not None
    return best


def alive(gradients: dict[str, Any]) -> int:
    """How many gradients are not zero throughout."""
    return sum(any(np.ravel(g) != 0) for g in gradients.values())


LONG = ("gla", "layernorm_lstm", "ligru", "mi_lstm", "phased_lstm", "projected_lstm", "nas", "mlstm", "peephole_lstm",
        "gated_deltanet", "retnet")  # fmt: skip
"""Cells with thousands of partial derivatives. What they are made of is in others: ``normalised`` and
``matrix_memory`` of PLAIN have their norms and matrices, ``lstm`` their gates."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.whole) if n in LONG else n
                                  for n in (*symcell.names(), *PLAIN)])  # fmt: skip
def test_every_gradient(name: str) -> None:
    cell = symcell.load(name) if name not in FEATURES else symcell.parse(FEATURES[name], name=name)
    cases = [tiny(cell, given=given) for given in ((True, False) if cell.initial else (True,))]
    assert alive(cases[0][1]) > 1
    compiled = Recurrent(cell, dict(cases[0][0].sizes))
    for one, wanted in cases:
        with mpmath.workdps(DIGITS):
            found = compiled.gradients(one)
            assert set(found) <= set(wanted)
            for tensor, gradient in found.items():
                apart = np.max(np.abs(gradient - wanted[tensor]), initial=0)
                assert apart < mpmath.mpf(10) ** -20 * (1 + np.max(np.abs(gradient), initial=0)), f"{tensor} {apart}"


@pytest.mark.parametrize("name", [*DIRECT, *(pytest.param(name, marks=pytest.mark.whole) for name in ("gru", "lstm"))])
def test_the_whole_loss_as_one_expression(name: str) -> None:
    cell = symcell.load(name)
    case, wanted = tiny(cell)
    entries = ((t, i) for t in case.tensors() for i in np.ndindex(wanted[t].shape) if wanted[t][i] != 0)
    tensor, index = next(entries)
    found = direct(cell, case, (tensor, index))
    with mpmath.workdps(DIGITS):
        apart = mpmath.mpmathify(found._to_mpmath(mpmath.mp.prec)) - wanted[tensor][index]
        assert abs(apart) < mpmath.mpf(10) ** -20
