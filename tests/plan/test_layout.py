"""Where things lie: what is multiplied together lies together."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings, strategies as st
from planned import CELLS, load

import symcell
from symcell.plan.consecutive import chains
from symcell.plan.places import GRADS, PARAMS
from symcell.program.model import Copy, Gemm, Gradient, Plan, Sums


@functools.cache
def plan(name: str) -> Plan:
    return symcell.plan(load(name))


def side_by_side(group: frozenset[str], row: list[str] | tuple[str, ...]) -> bool:
    places = sorted(row.index(g) for g in group) if group <= set(row) else []
    return bool(places) and places == list(range(places[0], places[0] + len(places)))


def place(name: str) -> tuple[int, int]:
    return (0, ord(name))


GROUPS = st.lists(st.frozensets(st.sampled_from("abcde"), min_size=2), min_size=1, max_size=4)
SETTINGS = settings(max_examples=300, derandomize=True, deadline=None, database=None)


@SETTINGS
@given(GROUPS)
def test_chains_hold_each_member_once(groups: list[frozenset[str]]) -> None:
    made = chains(groups, place)
    names = [n for chain in made for n in chain]
    assert len(names) == len(set(names))
    assert set(names) <= frozenset().union(*groups)
    assert any(side_by_side(groups[0], chain) for chain in made), "the first group always fits"


@SETTINGS
@given(GROUPS)
def test_two_groups_always_fit(groups: list[frozenset[str]]) -> None:
    """Any two groups can both be consecutive; so they are."""
    made = chains(groups[:2], place)
    assert all(any(side_by_side(g, chain) for chain in made) for g in groups[:2])


def test_a_chain_in_the_key_s_order() -> None:
    assert chains([frozenset("cab")], lambda n: (0, -ord(n))) == [["c", "b", "a"]]
    assert chains([frozenset("ab"), frozenset("cd")], place) == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("name", CELLS)
def test_parameters_are_ordered_completely(name: str) -> None:
    found = plan(name)
    assert sorted(found.parameters) == sorted(found.cell.parameters)
    for program in found.programs.values():
        flat = [b for b in program.buffers.values() if b.name in (PARAMS, GRADS)]
        assert flat or not found.parameters
        for buffer in flat:
            assert tuple(m.name for m in buffer.members) == found.parameters


@pytest.mark.parametrize("name", CELLS)
def test_stacked_matrices_are_of_one_width(name: str) -> None:
    for program in plan(name).programs.values():
        for stage in (s for _, s in program.stages() if isinstance(s, Gemm)):
            assert len({m.shape[1] for m in program.window(stage.matrix)}) == 1


@pytest.mark.parametrize("name", symcell.names())
def test_gradients_go_straight_to_their_places(name: str) -> None:
    """Products and sums write into the flat buffer; nothing is copied there."""
    program = plan(name).backward
    stages = [stage for _, stage in program.stages()]
    assert GRADS in {stage.out.buffer for stage in stages if isinstance(stage, Gradient | Sums)}
    assert not [stage for stage in stages if isinstance(stage, Copy) and stage.out.buffer == GRADS]


@pytest.mark.parametrize(("name", "stacks"), [("lstm", 2), ("gru", 2), ("rnn", 2), ("peephole_lstm", 2)])
def test_as_few_products_as_can_be(name: str, stacks: int) -> None:
    """All gates of one operand are one product: forward, backward and for the gradients."""
    found = plan(name)
    counts = [
        sum(isinstance(stage, kind) for _, stage in program.stages())
        for program, kind in ((found.forward, Gemm), (found.backward, Gemm), (found.backward, Gradient))
    ]
    assert counts == [stacks] * 3
