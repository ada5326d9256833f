"""When each step runs: every step once, after what it reads, and outside the loop where it can."""

from __future__ import annotations

import pytest
from feature_cells import FEATURES

import symcell
from symcell.cell import Cell
from symcell.graph import Graph, Outer, Pointwise, Product, Reduce, Total, lag_of, name_of
from symcell.lower import lower
from symcell.pipeline import plan_of
from symcell.plan.schedule import (
    Fused,
    Gemm,
    Gradient,
    Once,
    Schedule,
    Stage,
    Sums,
    hoist,
    operands_of,
    outs_of,
    schedule,
)
from symcell.symbolic.nodes import At

CELLS = [*symcell.names(), *FEATURES]


def load(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


def sweeps(name: str) -> tuple[Schedule, Schedule]:
    plan = plan_of(load(name))
    return plan.forward, plan.backward


@pytest.mark.parametrize("name", CELLS)
def test_every_step_runs_once(name: str) -> None:
    for sweep in sweeps(name):
        outs = [
            o
            for _, stage in sweep.stages()
            for o in outs_of(stage)
            if not (isinstance(stage, Gemm) and stage.accumulate)
        ]
        assert sorted(outs) == sorted(op.out for op in sweep.graph.steps)


@pytest.mark.parametrize("name", CELLS)
def test_products_keep_all_their_terms(name: str) -> None:
    for sweep in sweeps(name):
        terms: dict[str, list[str]] = {}
        for _, stage in sweep.stages():
            if isinstance(stage, Gemm):
                for out in stage.outs:
                    many = len(stage.outs) > 1
                    mine = stage.matrices[stage.outs.index(out)] if many else None
                    pairs = (
                        [(mine, stage.operands[0])] if many else list(zip(stage.matrices, stage.operands, strict=True))
                    )
                    terms.setdefault(out, []).extend(f"{m} @ {v}" for m, v in pairs)
        for op in sweep.graph.steps:
            if isinstance(op, Product) and not sweep.graph.values[op.out].fixed:
                assert sorted(terms[op.out]) == sorted(f"{m} @ {v}" for m, v in op.terms)


def reads(stage: Stage, graph: Graph) -> list[tuple[str, int]]:
    """What a stage reads from outside of itself, each with its distance in the direction of the sweep."""
    inside = set(outs_of(stage))
    return [
        (name_of(o), lag_of(o) * graph.direction)
        for o in operands_of(stage)
        if not (name_of(o) in inside and not lag_of(o))
    ]


@pytest.mark.parametrize("name", CELLS)
def test_nothing_is_read_before_it_is_made(name: str) -> None:
    for sweep in sweeps(name):
        made = {op.out for op in sweep.graph.steps}
        whole: set[str] = set()
        for region in ("once", "before"):
            for stage in getattr(sweep, region):
                assert {n for n, _ in reads(stage, sweep.graph)} & made <= whole, f"{name}: {stage}"
                whole |= set(outs_of(stage))
        loop = {o for stage in sweep.loop for o in outs_of(stage)}
        now: set[str] = set()
        for stage in sweep.loop:
            for read, lag in reads(stage, sweep.graph):
                ready = read in whole | now or read not in made or (read in loop and lag > 0)
                assert ready, f"{name}: {stage} reads {read} at {lag}"
            now |= set(outs_of(stage))
        whole |= loop
        for region in ("after", "finish"):
            for stage in getattr(sweep, region):
                assert {n for n, _ in reads(stage, sweep.graph)} & made <= whole, f"{name}: {stage}"
                whole |= set(outs_of(stage))


@pytest.mark.parametrize("name", CELLS)
def test_fused_steps_are_in_order(name: str) -> None:
    for sweep in sweeps(name):
        for region, stage in sweep.stages():
            if isinstance(stage, Fused):
                inside = {op.out for op in stage.steps}
                done: set[str] = set()
                for op in stage.steps:
                    for o in op.operands():
                        assert name_of(o) not in inside or name_of(o) in done or (lag_of(o) and region == "loop")
                    done.add(op.out)


@pytest.mark.parametrize("name", CELLS)
def test_only_what_a_cycle_needs_is_in_the_loop(name: str) -> None:
    """In the loop: steps that read, and are read by, values carried around it."""
    for sweep in sweeps(name):
        graph = sweep.graph
        cyclic = {op.out for part in graph.components() if part.cyclic for op in part.steps}
        edges = graph.dependencies()
        import networkx as nx

        for stage in sweep.loop:
            for out in outs_of(stage):
                behind, ahead = nx.ancestors(edges, out) | {out}, nx.descendants(edges, out) | {out}
                assert ahead & cyclic, f"{name}: {out} could run after the loop"
                assert behind & cyclic or sweep.region[out] == "loop", f"{name}: {out}"


def test_the_lstm() -> None:
    forward, backward = sweeps("lstm")
    kinds = [(region, type(stage), len(outs_of(stage))) for region, stage in forward.stages()]
    assert kinds == [("before", Gemm, 4), ("before", Fused, 4), ("loop", Gemm, 4), ("loop", Fused, 11)]
    kinds = [(region, type(stage)) for region, stage in backward.stages()]
    assert kinds == [
        ("loop", Fused),
        ("loop", Gemm),
        ("after", Gemm),
        ("finish", Gradient),
        ("finish", Gradient),
        ("finish", Sums),
    ]
    assert [len(s.operands) for _, s in backward.stages() if isinstance(s, Gemm)] == [4, 4]


@pytest.mark.parametrize(
    ("name", "products"), [("lstm", 1), ("gru", 1), ("rnn", 1), ("indrnn", 0), ("mgu", 2), ("highway", 3), ("narx", 1)]
)
def test_products_in_the_loop(name: str, products: int) -> None:
    """One product per step and value that it multiplies, forward and backward."""
    for sweep in sweeps(name):
        found = sum(isinstance(stage, Gemm) for stage in sweep.loop)
        assert found <= products + (name == "narx")


def test_a_cell_without_states_has_no_loop() -> None:
    for sweep in sweeps("feed_forward"):
        assert not sweep.loop


def test_hoisting_splits_sums() -> None:
    graph = lower(symcell.load("rnn"))
    hoisted = hoist(graph)
    assert [str(op) for op in hoisted.steps if isinstance(op, Pointwise)] == [
        "a_h_in = W_x[t] + b",
        "a_h = U_h[t] + a_h_in[t]",
        "h = tanh(a_h[t])",
    ]
    assert schedule(hoisted).region["a_h_in"] == "before"
    assert schedule(graph).region["a_h"] == "loop"
    assert "a_h_in" not in graph.values


def test_gradients_of_parameters_are_summed_after_everything() -> None:
    for name in CELLS:
        _, backward = sweeps(name)
        for region, stage in backward.stages():
            ops = [op for op in backward.graph.steps if op.out in outs_of(stage)]
            summed = any(isinstance(op, Outer | Total) and any(isinstance(o, At) for o in op.operands()) for op in ops)
            assert not summed or region == "finish"


def test_stages_say_what_they_read_and_make() -> None:
    for name in CELLS:
        for sweep in sweeps(name):
            for _, stage in sweep.stages():
                assert outs_of(stage)
                assert isinstance(stage, Fused | Gemm | Gradient | Sums | Once)
                if isinstance(stage, Fused):
                    assert all(isinstance(op, Pointwise | Reduce) for op in stage.steps)
