"""Nodes are SymPy expressions: what makes two of them the same."""

from __future__ import annotations

from sympy import Symbol, diff

from symcell.symbolic.nodes import Constant


def test_one_name_for_two_numbers_is_two_constants():
    """SymPy keeps results by equality: a cell's derivative must not come back with another cell's number."""
    x = Symbol("x")
    assert Constant("eps", 0.01) != Constant("eps", 4.7)
    assert Constant("eps", 0.01) == Constant("eps", 0.01)
    for value in (0.01, 4.7):
        assert [c.value for c in diff(Constant("eps", value) * x**2, x).atoms(Constant)] == [value]
