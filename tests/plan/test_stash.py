"""What is stored for the backward sweep: the cheapest set from which everything else can be computed again."""

from __future__ import annotations

from itertools import combinations

import pytest
from feature_cells import FEATURES
from hypothesis import HealthCheck, assume, given, note, settings
from random_cells import cells

import symcell
from symcell.adjoint import Adjoint, adjoint
from symcell.cell import Cell, Size
from symcell.graph import Pointwise, lag_of, name_of
from symcell.lower import lower
from symcell.pipeline import plan_of
from symcell.plan.stash import price, stash, with_recomputation
from symcell.symbolic.functions import Equal
from symcell.symbolic.nodes import At


def derived(text: str) -> Adjoint:
    return adjoint(lower(symcell.parse(text, name="cell")))


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("lstm", {"i", "f", "g", "o", "c", "h"}),
        ("gru", {"r", "z", "n", "U_n_h", "h"}),
        ("rnn", {"h"}),
        ("rnn_relu", {"a_h", "h"}),
        ("cifg_lstm", {"f", "g", "o", "c", "h"}),
        ("fastgrnn", {"p", "h"}),
    ],
)
def test_shipped_cells(name: str, stored: set[str]) -> None:
    plan = plan_of(symcell.load(name))
    assert set(plan.stash) == stored
    assert plan.stash == tuple(op.out for op in plan.adjoint.forward.steps if op.out in stored)


def test_what_the_lstm_computes_again() -> None:
    found = adjoint(lower(symcell.load("lstm")))
    graph, again = with_recomputation(found, stash(found))
    assert again == {"tanh_c"}
    assert [str(op) for op in graph.steps if op.out in again] == ["tanh_c = tanh(c[t])"]
    assert "tanh_c" not in graph.given


def test_one_value_in_place_of_four() -> None:
    """Four functions of one value: the value is stored, and they are computed again."""
    text = "p[t] = W @ x[t] + U @ h[t-1]\nh[t] = sin(p[t]) * tanh(p[t]) * sigmoid(p[t]) + cos(p[t])"
    assert set(stash(derived(text))) == {"p", "h"}


def test_one_function_in_place_of_three_operands() -> None:
    """A function of a sum of three products: its own value is stored, not they."""
    found = stash(derived("h[t] = tanh(W @ x[t] + U @ h[t-1] + V @ sin(h[t-2]))"))
    assert set(found) == {"h"}


def test_small_values_are_cheap() -> None:
    """A norm is one number: it is stored, though the vector that it is made from is stored too."""
    found = derived("h[t] = tanh(W @ x[t]) * norm(h[t-1])")
    stored = stash(found)
    reduced = [
        op.out for op in found.forward.steps if not isinstance(op, Pointwise) and found.forward.size(op.out).fixed == 1
    ]
    assert set(reduced) <= set(stored) or any(found.forward.size(s).fixed == 1 for s in stored)


def test_prices() -> None:
    assert price(Size(("H",))) == price(Size(("D",))) > price(Size((), 1))
    assert price(Size(("D", "H"))) == 2 * price(Size(("H",)))


def forced(found: Adjoint) -> set[str]:
    """Values that are read at an earlier step, or compared for equality: no choice."""
    made = found.forward.producer()
    compared = {
        a for op in found.graph.steps if isinstance(op, Pointwise) for e in op.body.atoms(Equal) for a in e.atoms(At)
    }
    return {n for n, depth in found.graph.given.items() if depth and n in made} | {
        a.signal for a in compared if a.signal in made
    }


def suffices(found: Adjoint, stored: frozenset[str]) -> bool:
    """Whether all that the adjoint reads can be computed from ``stored``, from inputs and from fixed values."""
    made = found.forward.producer()
    known: dict[str, bool] = {}

    def available(name: str) -> bool:
        if name not in known:
            op = made.get(name)
            known[name] = name in stored or (
                isinstance(op, Pointwise)
                and all(
                    name_of(o) not in made or (name_of(o) in stored if lag_of(o) else available(name_of(o)))
                    for o in op.operands()
                    if isinstance(o, At)
                )
            )
        return known[name]

    return forced(found) <= stored and all(available(n) for n in found.graph.given if n in made)


def cheapest(found: Adjoint) -> int:
    """The least price of any set that suffices, by trying all."""
    made = found.forward.producer()
    must = forced(found)
    free = [n for n in _reached(found) if n not in must and not found.forward.values[n].fixed]
    assume(len(free) <= 11)
    prices = {n: price(found.forward.size(n)) for n in free}
    assert set(free) <= set(made)
    sets = (frozenset(s) for k in range(len(free) + 1) for s in combinations(free, k))
    return min(sum(prices[n] for n in s) for s in sets if suffices(found, must | s))


def _reached(found: Adjoint) -> list[str]:
    made = found.forward.producer()
    pending, seen = [n for n in found.graph.given if n in made], dict[str, None]()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen[name] = None
        if isinstance(made[name], Pointwise):
            pending += [name_of(o) for o in made[name].operands() if isinstance(o, At) and name_of(o) in made]
    return list(seen)


def cost(found: Adjoint) -> int:
    return sum(price(found.forward.size(n)) for n in stash(found) if n not in forced(found))


def unforced_past(found: Adjoint) -> bool:
    """Whether a value is read at an earlier step by formulas that could be computed again, but not by the adjoint."""
    made = found.forward.producer()
    return any(
        lag_of(o) and name_of(o) in made and name_of(o) not in forced(found)
        for n in _reached(found)
        for o in made[n].operands()
    )


@settings(max_examples=150, derandomize=True, deadline=None, database=None,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])  # fmt: skip
@given(text=cells())
def test_no_set_is_cheaper(text: str) -> None:
    note(text)
    found = derived(text)
    assert suffices(found, frozenset(stash(found)))
    if not unforced_past(found):
        assert cost(found) == cheapest(found)


def load(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


@pytest.mark.parametrize("name", [*symcell.names(), *FEATURES])
def test_every_cell(name: str) -> None:
    found = adjoint(lower(load(name)))
    stored = stash(found)
    assert suffices(found, frozenset(stored))
    for one in stored:
        assert one in forced(found) or not suffices(found, frozenset(stored) - {one}), f"{one} is stored for nothing"
    graph, again = with_recomputation(found, stored)
    assert not again & set(stored)
    assert set(graph.given) & set(found.forward.producer()) <= set(stored)
