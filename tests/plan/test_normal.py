"""The forms that stages are made of: products part by what their matrices are, and no outer product is read."""

from __future__ import annotations

import pytest
from planned import CELLS, load, sweeps

from symcell.graph import Contraction, Graph, Outer, Pointwise, Total, name_of
from symcell.pipeline import graphs
from symcell.plan.normal import normal
from symcell.plan.stages import Fused, Stack, outs_of
from symcell.symbolic.nodes import At, Param

MIXED = "constant_matrix_elementwise"
"""A cell whose adjoint sums a fixed matrix times a vector and a varying one times another."""


def both(name: str) -> list[Graph]:
    forward, derived = graphs(load(name))
    return [normal(forward), normal(derived.graph)]


@pytest.mark.parametrize("name", CELLS)
def test_each_product_is_with_matrices_of_one_kind(name: str) -> None:
    for graph in both(name):
        for op in graph.steps:
            if isinstance(op, Contraction) and not graph.values[op.out].fixed:
                assert len({type(matrix.of) for matrix, _ in op.terms}) == 1, op


@pytest.mark.parametrize("name", CELLS)
def test_only_totals_read_outer_products(name: str) -> None:
    """A total of one is a product over the whole sequence; read otherwise it is a step of a kernel."""
    for graph in both(name):
        outer = {op.out for op in graph.steps if isinstance(op, Outer) and not graph.values[op.out].fixed}
        read = {name_of(o) for op in graph.steps if not isinstance(op, Total) for o in op.operands()}
        assert not outer & (read | set(graph.outputs) | set(graph.carried))


def test_a_mixed_sum_is_two_products_and_an_addition() -> None:
    before = graphs(load(MIXED))[1].graph
    (mixed,) = [op for op in before.steps if isinstance(op, Contraction) and len({type(m.of) for m, _ in op.terms}) > 1]
    made = normal(before).producer()
    added = made[mixed.out]
    assert isinstance(added, Pointwise)
    assert added.body.is_Add
    parts = [made[name_of(o)] for o in added.operands()]
    assert all(isinstance(op, Contraction) for op in parts)
    assert [[type(m.of) for m, _ in op.terms] for op in parts if isinstance(op, Contraction)] == [[Param], [At]]
    assert {str(t) for op in parts if isinstance(op, Contraction) for t in op.terms} == set(map(str, mixed.terms))


def test_the_fixed_part_is_one_product_and_the_varying_one_a_step_of_a_kernel() -> None:
    _, backward = sweeps(MIXED)
    kinds = {out: type(stage) for _, stage in backward.all() for out in outs_of(stage)}
    (fixed,), (varying,) = ([n for n in kinds if n.endswith(end)] for end in ("_fixed", "_varying"))
    assert (kinds[fixed], kinds[varying]) == (Stack, Fused)


@pytest.mark.parametrize("name", CELLS)
def test_what_is_normal_stays(name: str) -> None:
    for graph in both(name):
        assert normal(graph).steps == graph.steps
