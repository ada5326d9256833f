"""When each step runs: every step once, after what it reads, and outside the loop where it can."""

from __future__ import annotations

import networkx as nx
import pytest
from planned import CELLS, load, sweeps

import symcell
from symcell.graph import Contraction, Graph, Outer, Pointwise, Total, lag_of, name_of
from symcell.pipeline import graphs
from symcell.plan.normal import hoisted, normal
from symcell.plan.schedule import schedule
from symcell.plan.stages import Fused, Gradients, Schedule, Stack, Stage, Totals, operands_of, outs_of
from symcell.symbolic.nodes import At


@pytest.mark.parametrize("name", CELLS)
def test_every_step_runs_once(name: str) -> None:
    """But for outer products that a gradient sums as it makes them."""
    for sweep in sweeps(name):
        stages = [stage for _, stage in sweep.all()]
        outs = [o for s in stages for o in outs_of(s) if not (isinstance(s, Stack) and s.accumulate)]
        summed = [outer.out for s in stages if isinstance(s, Gradients) for outer in s.outers]
        assert sorted((*outs, *summed)) == sorted(op.out for op in sweep.graph.steps)


@pytest.mark.parametrize("name", CELLS)
def test_products_keep_all_their_terms(name: str) -> None:
    for sweep in sweeps(name):
        terms: dict[str, list[str]] = {}
        for stage in (s for _, s in sweep.all() if isinstance(s, Stack)):
            pairs = list(
                zip(stage.matrices, stage.operands * (len(stage.matrices) // len(stage.operands)), strict=True)
            )
            for k, op in enumerate(stage.ops):
                mine = pairs[k : k + 1] if len(stage.ops) > 1 else pairs
                terms.setdefault(op.out, []).extend(f"{m} @ {v}" for m, v in mine)
        for whole in sweep.graph.steps:
            if whole.out in terms:
                assert isinstance(whole, Contraction)
                assert sorted(terms[whole.out]) == sorted(f"{m} @ {v}" for m, v in whole.terms)


def reads(stage: Stage, graph: Graph) -> list[tuple[str, int]]:
    """What a stage reads from outside of itself, each with its distance in the direction of the sweep."""
    inside = set(outs_of(stage)) - ({stage.ops[0].out} if isinstance(stage, Stack) and stage.accumulate else set())
    return [
        (name_of(o), lag_of(o) * graph.direction)
        for o in operands_of(stage)
        if not (name_of(o) in inside and not lag_of(o))
    ]


@pytest.mark.parametrize("name", CELLS)
def test_nothing_is_read_before_it_is_made(name: str) -> None:
    for sweep in sweeps(name):
        made = {op.out for op in sweep.graph.steps}
        loop = {o for stage in sweep.stages.get("loop", ()) for o in outs_of(stage)}
        whole: set[str] = set()
        for region, stage in sweep.all():
            now = whole | (loop if region in ("after", "finish") else set())
            for read, lag in reads(stage, sweep.graph):
                late = region == "loop" and read in loop and lag > 0
                assert read not in made or read in now or late, f"{name}: {stage} reads {read} at {lag}"
            whole |= set(outs_of(stage))


@pytest.mark.parametrize("name", CELLS)
def test_fused_steps_are_in_order(name: str) -> None:
    """Within a step of time; what another step of time made is there in the loop alone."""
    for sweep in sweeps(name):
        for region, stage in sweep.all():
            if not isinstance(stage, Fused):
                continue
            inside, done = set(outs_of(stage)), set[str]()
            for op in stage.steps:
                for o in op.operands():
                    earlier = lag_of(o) * sweep.graph.direction > 0 and region == "loop"
                    assert name_of(o) not in inside or name_of(o) in done or earlier, f"{name}: {op} in {region}"
                done.add(op.out)


@pytest.mark.parametrize("name", CELLS)
def test_only_what_a_cycle_needs_is_in_the_loop(name: str) -> None:
    """In the loop: steps that are read by values carried around it; and read some, or what is computed again. And those
    that read a matrix which is made there, or are read by such."""
    for sweep in sweeps(name):
        graph = sweep.graph
        cyclic = {op.out for part in graph.components() if part.cyclic for op in part.steps}
        edges = graph.dependencies()
        matrices = {n for n, region in sweep.region.items() if region == "loop" and len(graph.shape(n)) == 2}
        near = {op.out for op in graph.steps if sweep.region[op.out] == "loop"
                and any(name_of(o) in matrices for o in op.operands())}  # fmt: skip
        for stage in sweep.stages.get("loop", ()):
            for out in outs_of(stage):
                ahead = nx.descendants(edges, out) | {out}
                assert ahead & (cyclic | near), f"{name}: {out} could run after the loop"
                if graph.direction > 0:
                    assert (nx.ancestors(edges, out) | {out}) & cyclic, f"{name}: {out} could run before the loop"


def kinds(sweep: Schedule) -> list[tuple[str, type[Stage]]]:
    return [(region, type(stage)) for region, stage in sweep.all()]


def test_the_lstm() -> None:
    forward, backward = sweeps("lstm")
    found = [(region, type(stage), len(outs_of(stage))) for region, stage in forward.all()]
    assert found == [("before", Stack, 4), ("before", Fused, 4), ("loop", Stack, 4), ("loop", Fused, 11)]
    assert kinds(backward) == [
        ("loop", Fused), ("loop", Stack), ("after", Stack), ("finish", Gradients), ("finish", Gradients),
        ("finish", Totals),
    ]  # fmt: skip
    assert [len(s.operands) for _, s in backward.all() if isinstance(s, Stack)] == [4, 4]


@pytest.mark.parametrize(
    ("name", "products"), [("lstm", 1), ("gru", 1), ("rnn", 1), ("indrnn", 0), ("mgu", 2), ("highway", 3), ("narx", 1)]
)
def test_products_in_the_loop(name: str, products: int) -> None:
    """One product per step and value that it multiplies, forward and backward."""
    for sweep in sweeps(name):
        found = sum(isinstance(stage, Stack) for stage in sweep.stages.get("loop", ()))
        assert found <= products + (name == "narx")
        assert found or not products


def test_a_cell_without_states_has_no_loop() -> None:
    for sweep in sweeps("feed_forward"):
        assert not sweep.stages.get("loop")
        assert sweep.all()


def test_hoisting_splits_sums() -> None:
    graph = normal(graphs("rnn")[0])
    split = hoisted(graph)
    assert [str(op) for op in split.steps if isinstance(op, Pointwise)] == [
        "a_h_in = W_x[t] + b", "a_h = U_h[t] + a_h_in[t]", "h = tanh(a_h[t])",
    ]  # fmt: skip
    assert schedule(split).region["a_h_in"] == "before"
    assert schedule(graph).region["a_h"] == "loop"
    assert "a_h_in" not in graph.values


@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_parameters_are_summed_after_everything(name: str) -> None:
    """A product over the whole sequence; an outer product for every step only where a matrix is read by itself."""
    _, backward = sweeps(name)
    totals = {op.out: op for op in backward.graph.steps if isinstance(op, Total)}
    outers = {op.out for op in backward.graph.steps if isinstance(op, Outer)}
    found = {o: region for region, stage in backward.all() for o in outs_of(stage) if o in totals}
    assert found.keys() == totals.keys()
    assert set(found.values()) <= {"finish"}
    by_product = {op.out for _, s in backward.all() if isinstance(s, Gradients) for op in s.totals}
    assert by_product == {n for n, op in totals.items() if isinstance(op.arg, At) and op.arg.signal in outers}


def test_there_are_cells_of_every_kind() -> None:
    """What the tests here run over: no kind of stage is missing."""
    stages = {type(stage) for name in CELLS for sweep in sweeps(name) for _, stage in sweep.all()}
    assert stages == set(Stage.__args__)
    assert len(CELLS) > len(symcell.names()) > 30
    assert load("lstm") == symcell.load("lstm")
