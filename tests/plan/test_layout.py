"""Where things lie: what is multiplied together lies together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from feature_cells import FEATURES
from hypothesis import given, settings, strategies as st

import symcell
from symcell.cell import Cell
from symcell.graph import name_of
from symcell.pipeline import plan_of
from symcell.plan import Plan
from symcell.plan.layout import chains
from symcell.plan.schedule import Gemm, Gradient, Sums

CELLS = [*symcell.names(), *FEATURES]


def load(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


def plan(name: str) -> Plan:
    return plan_of(load(name))


def side_by_side(group: frozenset[str], row: list[str] | tuple[str, ...]) -> bool:
    places = sorted(row.index(g) for g in group) if group <= set(row) else []
    return bool(places) and places == list(range(places[0], places[0] + len(places)))


GROUPS = st.lists(st.frozensets(st.sampled_from("abcde"), min_size=2), min_size=1, max_size=4)
SETTINGS = settings(max_examples=300, derandomize=True, deadline=None, database=None)


@SETTINGS
@given(GROUPS)
def test_chains_hold_each_member_once(groups: list[frozenset[str]]) -> None:
    made = chains(groups, key=lambda n: n)
    names = [n for chain in made for n in chain]
    assert len(names) == len(set(names))
    assert set(names) <= frozenset().union(*groups)
    assert any(side_by_side(groups[0], chain) for chain in made), "the first group always fits"


@SETTINGS
@given(GROUPS)
def test_two_groups_always_fit(groups: list[frozenset[str]]) -> None:
    """Any two groups can both be consecutive; so they are."""
    made = chains(groups[:2], key=lambda n: n)
    assert all(any(side_by_side(g, chain) for chain in made) for g in groups[:2])


def test_a_chain_in_the_key_s_order() -> None:
    assert chains([frozenset("cab")], key=lambda n: -ord(n)) == [["c", "b", "a"]]
    assert chains([frozenset("abcd"), frozenset("bc"), frozenset("cd")], key=lambda n: n) == [["a", "d", "c", "b"]]
    assert chains([frozenset("ab"), frozenset("cd")], key=lambda n: n) == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("name", CELLS)
def test_parameters_are_ordered_completely(name: str) -> None:
    found = plan(name)
    assert sorted(found.parameters) == sorted(found.cell.parameters)


@pytest.mark.parametrize("name", CELLS)
def test_stacked_matrices_lie_one_below_the_other(name: str) -> None:
    found = plan(name)
    place = {p: k for k, p in enumerate(found.parameters)}
    for sweep in (found.forward, found.backward):
        for _, stage in sweep.stages():
            if isinstance(stage, Gemm) and len(stage.matrices) > 1:
                places = [place[m.name] for m in stage.matrices]
                assert places == list(range(places[0], places[0] + len(places)))
                assert len({(m.transposed, m.block) for m in stage.matrices}) == 1


@pytest.mark.parametrize("name", CELLS)
def test_stacked_vectors_lie_side_by_side(name: str) -> None:
    found = plan(name)
    for sweep, homes in ((found.forward, found.forward_homes), (found.backward, found.backward_homes)):
        for _, stage in sweep.stages():
            groups: list[tuple[str, ...]] = []
            if isinstance(stage, Gemm):
                groups = [stage.outs, tuple(name_of(o) for o in stage.operands)]
            elif isinstance(stage, Gradient):
                groups = [tuple(name_of(o) for o in stage.lefts)]
            elif isinstance(stage, Sums):
                groups = [tuple(name_of(o) for o in stage.args)]
            for group in groups:
                if len(group) < 2:
                    continue
                buffers = {homes.of[g].buffer for g in group}
                assert len(buffers) == 1, f"{name}: {group}"
                for one, other in pairwise(group):
                    assert homes.of[other].column == homes.of[one].column + sweep.graph.size(one)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_go_straight_to_their_places(name: str) -> None:
    """Stacked gradients lie in the flat buffer in the order of their parameters."""
    found = plan(name)
    place = {p: k for k, p in enumerate(found.parameters)}
    for _, stage in found.backward.stages():
        if isinstance(stage, Gradient | Sums) and len(stage.outs) > 1:
            places = [place[found.owner[o]] for o in stage.outs]
            assert places == list(range(places[0], places[0] + len(places)))


@pytest.mark.parametrize(("name", "stacks"), [("lstm", 2), ("gru", 2), ("rnn", 2), ("peephole_lstm", 2)])
def test_as_few_products_as_can_be(name: str, stacks: int) -> None:
    """All gates of one operand are one product: forward, backward and for the gradients."""
    found = plan(name)
    assert sum(isinstance(s, Gemm) for _, s in found.forward.stages()) == stacks
    assert sum(isinstance(s, Gemm) for _, s in found.backward.stages()) == stacks
    assert sum(isinstance(s, Gradient) for _, s in found.backward.stages()) == stacks
