"""Which ways lead through a step, of cells whose ways anyone can read off their equations."""

from __future__ import annotations

import pytest

import symcell
from symcell.jacobian import Kind, paths


def ways(cell: object) -> set[tuple[str, str, str, str]]:
    return {(w.target, str(w.source), w.kind.word, str(w.factor or ", ".join(w.matrices))) for w in paths(cell)}


@pytest.mark.parametrize(("name", "expected"), [
    ("rnn", {("h", "h[t-1]", "matrix", "U")}),
    ("gru", {("h", "h[t-1]", "gated", "z[t]"), ("h", "h[t-1]", "matrix", "U_r, U_z, U_n")}),
    ("lstm", {("h", "h[t-1]", "matrix", "U_i, U_f, U_g, U_o"),
              ("h", "c[t-1]", "elementwise", "f[t]*o[t]*(1 - tanh_c[t]**2)"),
              ("c", "h[t-1]", "matrix", "U_i, U_f, U_g"), ("c", "c[t-1]", "gated", "f[t]")}),
    ("narx", {("h", "h[t-1]", "matrix", "U_1"), ("h", "h[t-3]", "matrix", "U_3")}),
    ("retnet", {("S", "S[t-1]", "scaled", "gamma")}),
    ("deltanet", {("S", "S[t-1]", "additive", "1"), ("S", "S[t-1]", "matrix", "S")}),
    ("qrnn", {("c", "c[t-1]", "gated", "f[t]")}),
])  # fmt: skip
def test_ways(name: str, expected: set[tuple[str, str, str, str]]) -> None:
    assert ways(name) == expected


def test_kinds_of_one_cell_side_by_side() -> None:
    text = "h[t] = p[t-1] + a*q[t-1] + g[t]*h[t-1] + tanh(h[t-1]) + U @ h[t-1]\ng[t] = sigmoid(x[t])"
    text += "\np[t] = h[t]\nq[t] = h[t]"
    found = {(w.source.signal, w.kind) for w in paths(symcell.parse(text, name="all")) if w.target == "h"}
    assert found == {("p", Kind.ADDITIVE), ("q", Kind.SCALED), *(("h", kind) for kind in list(Kind)[2:])}


def test_a_mean_mixes_units_without_a_matrix() -> None:
    (way,) = paths(symcell.parse("h[t] = tanh(x[t] + mean(h[t-1]))\nx: H", name="mean"))
    assert way.kind is Kind.MATRIX
    assert not way.matrices
