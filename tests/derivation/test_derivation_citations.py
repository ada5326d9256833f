"""Nothing stands in a formula that is not known there; a formula says which others it comes from."""

import pytest
from derivation_cells import TEXTS

from symcell.derivation import nodes as nd
from symcell.language import load, names, parse
from symcell.pipeline import derive
from symcell.symbolic.nodes import At

CELLS = {**{n: lambda n=n: load(n) for n in names()}, **{n: lambda n=n: parse(TEXTS[n], name=n) for n in TEXTS}}
SAMPLE = ("cornn", "deltanet", "layernorm_lstm", "mlstm", "narx", "nas", "joined_twice", "reductions", "unchanged")
SWEEP = [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in CELLS]


def _plain(expr):
    """Without the moment at which it is read."""
    return expr.args[0] if isinstance(expr, nd.When) else expr


@pytest.mark.parametrize("name", SWEEP)
def test_citations(name):
    cell = CELLS[name]()
    derivation = derive(cell, "full")
    formulas = list(derivation.formulas())
    by_number = {f.number: f for f in formulas}
    assert all(k < f.number for f in formulas for k in f.cites)
    _values_are_known(cell, derivation)
    _error_signals_are_known(derivation, by_number)
    _gradients_say_what_they_use(derivation, by_number)


def _values_are_known(cell, derivation):
    """A value is given, or an equation defines it, or a formula before the one that reads it."""
    known = {*cell.inputs, *cell.signals}
    for formula in derivation.section("forward").formulas:
        assert {a.signal for a in _plain(formula.right).atoms(At)} <= known, formula.number
        known |= {a.signal for a in _plain(formula.left).atoms(At)}
    for key in ("recursion", "parameters"):
        general = {"chain"} if key == "recursion" else {f.number for f in derivation.section(key).formulas[:6]}
        for formula in derivation.section(key).formulas if key in [s.key for s in derivation.sections] else ():
            if formula.number not in general:
                assert {a.signal for a in formula.right.atoms(At)} <= known, formula.number


def _error_signals_are_known(derivation, by_number):
    """δ of this step stands above; and each δ on the right came through a formula that is cited, but for one of a later
    step that stands in place of an equal one whose formula is yet to come."""
    known = set()
    for formula in derivation.section("recursion").formulas:
        own, right = _plain(formula.left), _plain(formula.right)
        cited = [by_number[k] for k in formula.cites]
        for delta in right.atoms(nd.Delta):
            late = isinstance(formula.left, nd.When) and formula.left.args[1].name == "0"
            assert delta.lag < 0 or late or delta.value in known, (formula.number, delta)
            ahead = any(f.number > formula.number and _brings(f, delta) for f in by_number.values())
            assert any(_brings(f, delta) for f in cited) or (delta.lag and ahead), (formula.number, delta)
        known.add(own.value)


def _brings(formula, delta):
    """Whether a cited formula is that of the value whose δ it is, or says what is equal to it."""
    left = formula.left.args[0] if isinstance(formula.left, nd.Partial) else _plain(formula.left)
    if isinstance(left, At):
        return left.signal == delta.value
    return isinstance(left, nd.Delta) and delta.value in {left.value, *(d.value for d in formula.right.atoms(nd.Delta))}


def _gradients_say_what_they_use(derivation, by_number):
    if "parameters" not in [s.key for s in derivation.sections]:
        return
    deltas = {f.left.value: f.number for f in derivation.section("recursion").formulas if isinstance(f.left, nd.Delta)}
    for formula in derivation.section("parameters").formulas:
        if isinstance(formula.left, nd.Gradient) and not formula.right.has(nd.Rows, nd.Samples, nd.InitialTotal):
            used = {deltas[d.value] for d in formula.right.atoms(nd.Delta) if d.value in deltas}
            assert used <= set(formula.cites), formula.number


def test_a_gradient_cites_what_stands_between():
    """δe stands for δv in the gradient of W_v, and σ′ in that of w_beta: both come from a formula of their own."""
    found = {f.key: f for f in derive("deltanet", "full").formulas()}
    assert found["delta", "v"].number in found["gradient", "W_v"].cites
    assert found["slope", "sigmoid"].number in found["gradient", "w_beta"].cites
