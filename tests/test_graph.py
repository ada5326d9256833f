"""A graph that breaks a rule is refused, and says which step broke it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sympy

import symcell
from symcell.adjoint import adjoint
from symcell.cell import ONE, Size
from symcell.graph import (
    Block,
    Combine,
    Contraction,
    Edge,
    Entry,
    Exit,
    Graph,
    GraphError,
    Matrix,
    Outer,
    Pointwise,
    Reduce,
    Term,
    Total,
    Value,
)
from symcell.lower import lower
from symcell.symbolic.functions import Tanh
from symcell.symbolic.nodes import At, Param

D, H = Size.of("D"), Size.of("H")
ZERO, UNIT = sympy.Integer(0), sympy.Integer(1)


def param(name: str, *, transposed: bool = False, block: Block | None = None) -> Matrix:
    return Matrix(Param(name), transposed, block)


def product(out: str, *terms: Any) -> Contraction:
    return Contraction(out, terms)


def graph(*steps: Any, outputs: tuple[str, ...] = ("h",), direction: int = 1, entries: Any = (), exits: Any = (),
          **values: Value) -> Graph:  # fmt: skip
    """A graph over x (D, given at t and t-1), C (H×D, given), W (H×D), U (H×H), b (H), with further values."""
    known = {
        "x": Value("x", (D,)),
        "C": Value("C", (H, D)),
        "h": Value("h", (H,)),
        "p": Value("p", (H,)),
        "s": Value("s", ()),
        "W": Value("W", (H, D), fixed=True),
        "U": Value("U", (H, H), fixed=True),
        "b": Value("b", (H,), fixed=True),
        "O": Value("O", (H, D)),
        "G": Value("G", (H, D), fixed=True),
        **values,
    }
    fixed = ("W", "U", "b", *(n for n in ("V",) if n in values and not any(s.out == n for s in steps)))
    given = {"x": 1, "C": 0}
    return Graph("test", known, given, fixed, steps, outputs, direction, entries, exits)  # type: ignore[arg-type]


WX = product("p", (param("W"), At("x")))
TANH = Pointwise("h", Tanh(At("p")))
STATE = product("p", (param("W"), At("x")), (param("U"), At("h", 1)))
FIRST, LAST = Entry("h", "h_first", 1, "b"), Exit("h_last", ("h",), 1)

GOOD = {
    "a layer": graph(WX, TANH),
    "a state": graph(STATE, TANH),
    "a boundary": graph(STATE, TANH, entries=(FIRST,), exits=(LAST,)),
    "a total of what leaves": graph(
        STATE, TANH, Total("t", Edge("h_last")), entries=(FIRST,), exits=(LAST,), t=Value("t", (H,), fixed=True)
    ),
    "an earlier input": graph(product("p", (param("W"), At("x", 1))), TANH),
    "a scalar": graph(WX, Reduce("s", "sum", At("p")), Pointwise("h", At("p") * At("s") + Param("b"))),
    "one unit": graph(Pointwise("o", UNIT), WX, Pointwise("h", At("p") * At("o")), o=Value("o", (ONE,))),
    "a gradient": graph(WX, TANH, Outer("O", At("h"), At("x")), Total("G", At("O"))),
    "a matrix that varies": graph(
        WX,
        Pointwise("O", At("p", 0, 0) * At("x", 0, 1) - Param("b", 0) * At("C")),
        product("h", (Matrix(At("O")), At("x"))),
    ),
    "a reduction along an axis": graph(Reduce("h", "sum", At("C"), 1)),
    "backwards": graph(WX, Pointwise("h", At("p") + At("h", -1)), direction=-1),
    "ahead, outside of any cycle": graph(WX, Pointwise("h", At("p", -1))),
}

BAD = {
    "is assigned twice": graph(WX, WX, TANH),
    "a value is assigned twice": graph(Pointwise("x", ZERO), WX, TANH),
    "nothing makes q": graph(Pointwise("h", At("q")), q=Value("q", (H,))),
    "nothing makes z": graph(Pointwise("h", At("z"))),
    "b is read as varying": graph(Pointwise("h", At("b"))),
    "W is read as varying": graph(product("h", (Matrix(At("W")), At("x")))),
    "p is read as fixed": graph(WX, Pointwise("h", Param("p"))),
    "reaches further back than the 1 steps given": graph(product("p", (param("W"), At("x", 2))), TANH),
    "p is read before it is made": graph(TANH, WX),
    "nothing makes the output y": graph(WX, TANH, outputs=("y",)),
    "lies ahead of the sweep": graph(WX, Pointwise("h", At("p") + At("h", -1))),
    "lies ahead of the sweep ": graph(WX, Pointwise("h", At("p") + At("h", 1)), direction=-1),
    "G must be fixed": graph(WX, TANH, Total("G", At("C")), G=Value("G", (H, D))),
    "t must be fixed": graph(WX, TANH, Total("t", At("h")), t=Value("t", (H,))),
    "v must be varying": graph(WX, TANH, Pointwise("v", At("h")), v=Value("v", (H,), fixed=True)),
    "O must be varying": graph(WX, TANH, Outer("O", At("h"), At("x")), O=Value("O", (H, D), fixed=True)),
    "h is H, U is H×H": graph(Pointwise("h", Param("U"))),
    "O is H×D, p[t] is H": graph(WX, TANH, Pointwise("O", At("p"))),
    "O is H×D, x[t][:,None] is D": graph(WX, TANH, Pointwise("O", At("x", 0, 0))),
    "h is H, p[t][:,None] is H": graph(WX, Pointwise("h", At("p", 0, 0))),
    "only a pointwise step lays a vector along an axis": graph(WX, TANH, Reduce("s", "sum", At("p", 0, 0))),
    "a reduction over all units is a scalar": graph(WX, TANH, Reduce("m", "max", At("p")), m=Value("m", (H,))),
    "h is H, C[t] is H×D": graph(Reduce("h", "sum", At("C"), 0)),
    "h is H, x[t] is D": graph(Pointwise("h", At("x"))),
    "W is H×D, h[t-1] is H": graph(product("p", (param("W"), At("h", 1))), TANH),
    "W.T is D×H, x[t] is D": graph(product("p", (param("W", transposed=True), At("x"))), TANH),
    "b is no matrix": graph(product("p", (param("b"), At("x"))), TANH),
    "a block of C, which varies": graph(product("h", (Matrix(At("C"), False, Block(Size(), D)), At("x")))),
    "is H×D, h[t-1] is H": graph(
        product("p", (param("V", block=Block(Size(), D)), At("h", 1))), TANH, V=Value("V", (H, D + H), fixed=True)
    ),
    "U has H columns, and those from 0 for D are read": graph(
        product("p", (param("U", block=Block(Size(), D)), At("x"))), TANH
    ),
    "U has H columns, and those from H for H are read": graph(
        product("p", (param("U", block=Block(H, H)), At("h", 1))), TANH
    ),
    "O has the wrong shape": graph(WX, TANH, Outer("O", At("x"), At("h"))),
    "t has the wrong shape": graph(WX, TANH, Total("t", At("h")), t=Value("t", (D,), fixed=True)),
    "only fixed matrices are combined": graph(WX, TANH, Combine("G", (Term(UNIT, Matrix(At("C"))),))),
    "U does not fit": graph(WX, TANH, Combine("G", (Term(UNIT, param("U")),))),
    "W.T does not fit": graph(WX, TANH, Combine("G", (Term(UNIT, param("W", transposed=True)),))),
    "G has D columns, and those from 0 for H are read": graph(
        WX, TANH, Combine("G", (Term(UNIT, param("U"), Block(Size(), H)),))
    ),
    "does not fit": graph(
        WX, TANH, Combine("V", (Term(UNIT, param("U"), Block(Size(), D)),)), V=Value("V", (H, D + H), fixed=True)
    ),
    "nothing leaves as h_last": graph(STATE, TANH, Total("t", Edge("h_last")), t=Value("t", (H,), fixed=True)),
    "h_first: its start W has the wrong shape": graph(STATE, TANH, entries=(replace(FIRST, start="W"),)),
    "h_first: its start p is no fixed value": graph(STATE, TANH, entries=(replace(FIRST, start="p"),)),
    "h: a boundary value has a name of its own": graph(STATE, TANH, exits=(replace(LAST, name="h"),)),
    "a boundary value is named twice": graph(STATE, TANH, entries=(FIRST,), exits=(replace(LAST, name="h_first"),)),
    "h_last: a boundary value has a step at least": graph(STATE, TANH, exits=(replace(LAST, depth=0),)),
    "h_last: only values that vary cross the boundary": graph(STATE, TANH, exits=(replace(LAST, values=("b",)),)),
    "h_last: values of different shapes": graph(STATE, TANH, exits=(replace(LAST, values=("h", "x")),)),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_graphs(name: str) -> None:
    assert GOOD[name].check() is GOOD[name]


@pytest.mark.parametrize("message", BAD)
def test_broken_rules(message: str) -> None:
    with pytest.raises(GraphError) as caught:
        BAD[message].check()
    assert message.strip() in str(caught.value)
    assert str(caught.value).startswith("test: ")


@pytest.mark.parametrize("name", symcell.names())
def test_a_step_less_is_noticed(name: str) -> None:
    """Every step of a lowered cell and of its adjoint is either read or an output."""
    for whole in (lower(symcell.load(name)), adjoint(lower(symcell.load(name))).graph):
        carried = set(whole.carried)
        for op in whole.steps:
            less = replace(whole, steps=tuple(s for s in whole.steps if s is not op))
            if op.out in whole.outputs or op.out not in carried:
                with pytest.raises(GraphError):
                    less.check()


def test_text() -> None:
    text = str(GOOD["a state"])
    assert text.splitlines() == [
        "graph test (t = 1 … T)",
        "given x, C, W, U, b",
        "p = W @ x[t] + U @ h[t-1]",
        "h = tanh(p[t])",
        "outputs h",
    ]
    assert "t = T … 1" in str(GOOD["backwards"])


def test_carried_values_and_components() -> None:
    lagged = graph(product("p", (param("U"), At("h", 3)), (param("U"), At("h", 1))), TANH)
    assert lagged.carried == {"h": 3}
    assert [(c.cyclic, [op.out for op in c.steps]) for c in lagged.components()] == [(True, ["p", "h"])]
    assert [(c.cyclic, [op.out for op in c.steps]) for c in GOOD["a layer"].components()] == [
        (False, ["p"]),
        (False, ["h"]),
    ]


def test_a_graph_is_not_changed_by_passes() -> None:
    forward = lower(symcell.load("lstm"))
    before = str(forward)
    adjoint(forward)
    assert str(forward) == before
    with pytest.raises(AttributeError):
        forward.name = "other"  # type: ignore[misc]
