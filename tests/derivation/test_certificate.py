"""Every formula of every derivation, evaluated as it stands, is what it claims to be; a wrong one is caught."""

from dataclasses import replace
from functools import cache

import pytest
from derivation_cells import TEXTS

from symcell.derivation import document
from symcell.derivation.check import Case, certified
from symcell.derivation.model import Display
from symcell.derivation.nodes import Chain, When
from symcell.language import load, names, parse
from symcell.pipeline import certificate, derive, records
from symcell.symbolic.nodes import Hadamard

SAMPLE = ("deltanet", "lstm", "mamba", "narx", "combined", "joined_twice", "kinks", "reductions", "scalars")
CELLS = {**{n: lambda n=n: load(n) for n in names()}, **{n: lambda n=n: parse(TEXTS[n], name=n) for n in TEXTS}}
EXACT = 1e-15
"""Of decimals in a cell's text, which a formula may multiply out; all else is exact to twice as many digits."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in CELLS])
def test_every_formula_is_what_it_claims_to_be(name: str) -> None:
    cell = CELLS[name]()
    found, formulas = certificate(cell), list(derive(cell, "full").formulas())
    assert [row.number for row in found.rows] == [f.number for f in formulas]
    assert found.worst.error < EXACT, next(f.key for f in formulas if f.number == found.worst.number)
    assert found.direction < EXACT


OPEN_SIDES = {
    "ones times a row": "h[t] = tanh(h[t-3] @ diag(h[t-2].T @ m[t]))\nm[t] = tanh(W @ x[t])\nh: (P, H)\nm: P",
    "two multiples of I": "C[t] = 0.5*C[t-1] + diag(W @ h[t-1]) @ (C[t-3]*g + C[t-3])\nh[t] = tanh(C[t] @ b + x[t])\n"
    "C: (P, H)\ng: const = 0.1\nW: (P, P)\nh: P\noutput: C",
    "a matrix in its own factor": "h[t] = tanh(diag(h[t-2] @ s[t-1]) @ h[t-2])\ns[t] = 0.5*s[t-1] + x[t]\n"
    "h: (P, H)\nx: H",
}


@pytest.mark.parametrize("name", OPEN_SIDES)
def test_the_sides_of_an_identity_follow_from_what_stands_beside_it(name: str) -> None:
    found = certificate(parse(OPEN_SIDES[name], name="open"))
    assert found.worst.error < EXACT


MUTANTS = [("equation", "c"), ("definition", "sigmoid"), ("slope", "tanh"), ("local", "c", "f", "0"), ("delta", "c"),
           ("last", "c"), ("first", "h"), ("gradient", "U_f"), ("rows", "W_i"), ("stacked", "a_i", "gradient"),
           ("jacobian", "c", "h", "1"), ("jacobian", "h", "c", "1")]  # fmt: skip


@pytest.mark.parametrize("key", MUTANTS, ids=" ".join)
def test_a_wrong_factor_is_caught(key: tuple[str, ...]) -> None:
    made, case = _lstm()
    (wrong,) = [f for f in made.formulas() if f.key == key]
    right = wrong.right
    doubled = When(Hadamard(2, right.args[0]), right.args[1].name) if isinstance(right, When) else _twice(key, right)
    rows = certified(_with(made, replace(wrong, right=doubled)), case).rows
    failed = [row.number for row in rows if row.witness != "instances" and row.error > 0.1]
    assert wrong.number in failed
    assert len(failed) <= 6  # and what is made from it


@cache
def _lstm():
    kept = records(load("lstm"))
    return document(kept), Case(kept.displayed(), kept.emitted)


def _twice(key, right):
    return Chain(2, right) if key[0] == "jacobian" else Hadamard(2, right)


def _with(made, formula):
    def block(b):
        kept = tuple(formula if f.number == formula.number else f for f in b.formulas) if isinstance(b, Display) else ()
        return replace(b, formulas=kept) if kept else b

    def group(g):
        return replace(g, blocks=tuple(map(block, g.blocks)))

    return replace(made, sections=tuple(replace(s, groups=tuple(map(group, s.groups))) for s in made.sections))


def test_a_derivation_ends_with_its_certificate() -> None:
    made = derive("rnn", check=True)
    assert made.sections[-1].key == "check"
    assert "differs from central differences by" in made.render("text")
