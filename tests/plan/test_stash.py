"""What is stored for the backward sweep: the cheapest set from which everything else can be computed again."""

from __future__ import annotations

from itertools import combinations

import check_random_cells
import pytest
from planned import CELLS, load

import symcell
from symcell.adjoint import Adjoint
from symcell.cell import Size
from symcell.graph import Pointwise, lag_of, name_of
from symcell.lower import lower
from symcell.pipeline import graphs
from symcell.plan.prices import price
from symcell.plan.stash import stash, with_recomputation
from symcell.symbolic.functions import Equal
from symcell.symbolic.nodes import At
from symcell.tangent import second, tangent


def derived(text: str) -> Adjoint:
    return graphs(symcell.parse(text, name="cell"))[1]


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
    plan = symcell.plan(name)
    assert set(plan.stash) == stored
    assert plan.stash == tuple(op.out for op in graphs(name)[0].steps if op.out in stored)


def test_what_the_lstm_computes_again() -> None:
    found = graphs("lstm")[1]
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
    assert "norm_h" in stored
    assert found.forward.shape("norm_h") == ()


def test_prices() -> None:
    H, D = Size.of("H"), Size.of("D")
    assert price((H,)) == price((D,)) > price(()) == price((Size.of(1),)) == 1
    assert price((H + D,)) == 2 * price((H,))
    assert price((H, D)) == price((H,)) * price((D,))


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


def cheapest(found: Adjoint, free: list[str]) -> int:
    """The least price of any set of these that suffices, by trying all."""
    must = frozenset(forced(found))
    prices = {n: price(found.forward.shape(n)) for n in free}
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
    return sum(price(found.forward.shape(n)) for n in stash(found) if n not in forced(found))


def unforced_past(found: Adjoint) -> bool:
    """Whether a value is read at an earlier step by formulas that could be computed again, but not by the adjoint."""
    made = found.forward.producer()
    return any(
        lag_of(o) and name_of(o) in made and name_of(o) not in forced(found)
        for n in _reached(found)
        for o in made[n].operands()
    )


def test_no_set_is_cheaper() -> None:
    """Of random cells with few values to choose from: every set is tried."""
    compared = 0
    for seed in range(120):
        found = graphs(check_random_cells.parse(seed))[1]
        assert suffices(found, frozenset(stash(found))), f"seed {seed}"
        free = [n for n in _reached(found) if n not in forced(found) and not found.forward.values[n].fixed]
        if not unforced_past(found) and 0 < len(free) <= 10:
            assert cost(found) == cheapest(found, free), f"seed {seed}"
            compared += 1
    assert compared > 25


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str) -> None:
    found = graphs(load(name))[1]
    stored = stash(found)
    assert suffices(found, frozenset(stored))
    for one in stored:
        assert one in forced(found) or not suffices(found, frozenset(stored) - {one}), f"{one} is stored for nothing"
    graph, again = with_recomputation(found, stored)
    assert not again & set(stored)
    assert set(graph.given) & set(found.forward.producer()) <= set(stored)


def test_what_a_tangent_tests_for_equality_is_not_computed_again() -> None:
    """Here nothing but the tangent compares: the maximum is not differentiated twice."""
    cell = symcell.parse("h[t] = tanh(W @ x[t] + U @ h[t-1])\ny: 1\ny[t] = max(sigmoid(h[t]))", name="largest")
    found = second(tangent(lower(cell)))
    kept = stash(found)
    _, again = with_recomputation(found, kept)
    assert "attains_max_sigmoid_h" in again
    assert {"sigmoid_h", "max_sigmoid_h"} <= set(kept)
