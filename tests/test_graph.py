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
    Graph,
    GraphError,
    Matrix,
    Outer,
    Pointwise,
    Product,
    Reduce,
    Term,
    Total,
    Value,
)
from symcell.lower import lower
from symcell.symbolic.functions import Tanh
from symcell.symbolic.nodes import At, Param

D, H = Size(("D",)), Size(("H",))
ZERO = sympy.Integer(0)


def graph(*steps: Any, outputs: tuple[str, ...] = ("h",), direction: int = 1, **values: Value) -> Graph:
    """A graph over x (D, given at t and t-1), W (H×D), U (H×H), b (H), with further values."""
    known = {
        "x": Value("x", (D,)),
        "h": Value("h", (H,)),
        "p": Value("p", (H,)),
        "s": Value("s", (ONE,)),
        "W": Value("W", (H, D), fixed=True),
        "U": Value("U", (H, H), fixed=True),
        "b": Value("b", (H,), fixed=True),
        "G": Value("G", (H, D), fixed=True),
        **values,
    }
    fixed = ("W", "U", "b", *(n for n in ("V",) if n in values and not any(s.out == n for s in steps)))
    return Graph("test", known, {"x": 1}, fixed, steps, outputs, direction)  # type: ignore[arg-type]


WX = Product("p", ((Matrix("W"), At("x")),))
TANH = Pointwise("h", Tanh(At("p")))

GOOD = {
    "a layer": graph(WX, TANH),
    "a state": graph(Product("p", ((Matrix("W"), At("x")), (Matrix("U"), At("h", 1)))), TANH),
    "an earlier input": graph(Product("p", ((Matrix("W"), At("x", 1)),)), TANH),
    "a scalar": graph(WX, Reduce("s", "sum", At("p")), Pointwise("h", At("p") * At("s") + Param("b"))),
    "a gradient": graph(WX, TANH, Outer("G", At("h"), At("x"))),
    "backwards": graph(WX, Pointwise("h", At("p") + At("h", -1)), direction=-1),
    "ahead, outside of any cycle": graph(WX, Pointwise("h", At("p", -1))),
}

BAD = {
    "is assigned twice": graph(WX, WX, TANH),
    "a value is assigned twice": graph(Pointwise("x", ZERO), WX, TANH),
    "nothing makes q": graph(Pointwise("h", At("q")), q=Value("q", (H,))),
    "nothing makes z": graph(Pointwise("h", At("z"))),
    "b is read as varying": graph(Pointwise("h", At("b"))),
    "p is read as fixed": graph(WX, Pointwise("h", Param("p"))),
    "reaches further back than the 1 steps given": graph(Product("p", ((Matrix("W"), At("x", 2)),)), TANH),
    "p is read before it is made": graph(TANH, WX),
    "nothing makes the output y": graph(WX, TANH, outputs=("y",)),
    "lies ahead of the sweep": graph(WX, Pointwise("h", At("p") + At("h", -1))),
    "lies ahead of the sweep ": graph(WX, Pointwise("h", At("p") + At("h", 1)), direction=-1),
    "G must be fixed": graph(WX, TANH, Outer("G", At("h"), At("x")), G=Value("G", (H, D))),
    "t must be fixed": graph(WX, TANH, Total("t", At("h")), t=Value("t", (H,))),
    "v must be varying": graph(WX, TANH, Pointwise("v", At("h")), v=Value("v", (H,), fixed=True)),
    "a matrix where a vector belongs": graph(Pointwise("h", Param("U"))),
    "a matrix where a vector belongs ": graph(
        WX, TANH, Reduce("m", "sum", Param("U")), m=Value("m", (H, H), fixed=True)
    ),
    "a reduction has size 1": graph(WX, TANH, Reduce("m", "max", At("p")), m=Value("m", (H,))),
    "h has size H, its operands D": graph(Pointwise("h", At("x"))),
    "W is H×D, h[t-1] is H": graph(Product("p", ((Matrix("W"), At("h", 1)),)), TANH),
    "W.T is D×H, x[t] is D": graph(Product("p", ((Matrix("W", transposed=True), At("x")),)), TANH),
    "is H×D, h[t-1] is H": graph(
        Product("p", ((Matrix("V", block=Block(Size(), D)), At("h", 1)),)), TANH, V=Value("V", (H, D + H), fixed=True)
    ),
    "U has H columns, and those from 0 for D are read": graph(
        Product("p", ((Matrix("U", block=Block(Size(), D)), At("x")),)), TANH
    ),
    "U has H columns, and those from H for H are read": graph(
        Product("p", ((Matrix("U", block=Block(H, H)), At("h", 1)),)), TANH
    ),
    "G has the wrong shape": graph(WX, TANH, Outer("G", At("x"), At("h"))),
    "t has the wrong shape": graph(WX, TANH, Total("t", At("h")), t=Value("t", (D,), fixed=True)),
    "U does not fit": graph(WX, TANH, Combine("G", (Term(sympy.Integer(1), Matrix("U")),))),
    "W.T does not fit": graph(WX, TANH, Combine("G", (Term(sympy.Integer(1), Matrix("W", transposed=True)),))),
    "G has D columns, and those from 0 for H are read": graph(
        WX, TANH, Combine("G", (Term(sympy.Integer(1), Matrix("U"), Block(Size(), H)),))
    ),
    "does not fit": graph(
        WX,
        TANH,
        Combine("V", (Term(sympy.Integer(1), Matrix("U"), Block(Size(), D)),)),
        V=Value("V", (H, D + H), fixed=True),
    ),
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
        "given x, W, U, b",
        "p = W @ x[t] + U @ h[t-1]",
        "h = tanh(p[t])",
        "outputs h",
    ]
    assert "t = T … 1" in str(GOOD["backwards"])


def test_carried_values_and_components() -> None:
    lagged = graph(Product("p", ((Matrix("U"), At("h", 3)), (Matrix("U"), At("h", 1)))), TANH)
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
