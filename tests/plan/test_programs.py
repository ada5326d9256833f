"""What the planner finishes into programs: memory that is shared, values sent on, and stages that inputs alone need."""

from __future__ import annotations

import pytest
from planned import CELLS, load

from symcell.cell import Size
from symcell.graph import Op, name_of
from symcell.pipeline import TARGETS, plan
from symcell.plan.lifetimes import with_slots
from symcell.program.model import (
    Buffer,
    Copy,
    Extent,
    Gemm,
    Gradient,
    Kernel,
    Member,
    Phase,
    Program,
    Ref,
    Region,
    Stage,
    Sums,
)

H = Size.of("H")


def whole(name: str, extent: Extent = "whole") -> Buffer:
    return Buffer(name, (Member(name, (H,)),), extent)


def copies(*pairs: str) -> tuple[Copy, ...]:
    """``"a<b"``: a is made from b."""
    return tuple(Copy(Ref(out), Ref(source)) for out, source in (p.split("<") for p in pairs))


def slots(
    buffers: list[Buffer], regions: tuple[Region, ...], lasting: str = "", paced: bool = False
) -> dict[str, str]:
    return {n: b.slot for n, b in with_slots({b.name: b for b in buffers}, regions, lasting, {}, paced).items()}


def test_lifetimes_that_do_not_meet_share_a_slot() -> None:
    buffers = [whole(n) for n in "abcd"]
    found = slots(buffers, (Region("sequence", copies("b<a", "c<b", "d<c")),))
    assert found["a"] == found["c"]
    assert found["b"] == found["d"]
    assert found["a"] != found["b"], "one is read while the other is written"


def test_what_lasts_or_differs_in_extent_has_a_slot_of_its_own() -> None:
    buffers = [whole("a"), whole("b"), whole("c"), whole("d", "local")]
    found = slots(buffers, (Region("sequence", copies("b<a", "c<b", "d<c")),), lasting="a")
    assert len(set(found.values())) == 4


def test_what_a_loop_reads_from_before_lives_as_long_as_the_loop() -> None:
    """a is read at the loop's first stage of every step: nothing in the loop may take its place."""
    buffers = [whole(n) for n in "abc"]
    found = slots(buffers, (Region("sequence", copies("a<b")), Region("steps", copies("b<a", "c<b"))))
    assert found["a"] != found["c"]


def test_within_a_step_locals_share() -> None:
    buffers = [whole(n, "local") for n in "abcd"]
    found = slots(buffers, (Region("steps", copies("b<a", "c<b", "d<c")),))
    assert len(set(found.values())) == 2


def test_where_samples_go_at_their_own_pace_locals_of_one_width_share() -> None:
    """One sample's narrow row must not lie where another sample still has a wide one."""
    wide = [Buffer(n, (Member(n, (H,)), Member(f"{n}2", (H,))), "local") for n in "bd"]
    buffers = [whole("a", "local"), wide[0], whole("c", "local"), wide[1], whole("e", "local")]
    regions = (Region("steps", copies("b<a", "c<b", "d<c", "e<d")),)
    together, apart = slots(buffers, regions), slots(buffers, regions, paced=True)
    assert len(set(together.values())) == 2
    assert {frozenset(n for n in apart if apart[n] == slot) for slot in apart.values()} == {
        frozenset("ace"), frozenset("bd"),
    }  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_carried_value_that_is_no_run_of_rows_is_sent(target: str) -> None:
    """A gradient that one matrix sends on a step from the whole sequence: computed apart, then copied to its slots."""
    program = plan(load("sent_on_from_one_step"), target).backward
    found = [(k, stage) for region in program.regions for k, stage in enumerate(region.stages)
             if isinstance(stage, Copy) and program.buffers[stage.out.buffer].extent != "fixed"]  # fmt: skip
    for _, copy in found:
        assert program.buffers[copy.source.buffer].extent == "whole"
        assert program.buffers[copy.source.buffer].depth == 0
        assert copy.out.shift != program.buffers[copy.out.buffer].depth
        assert program.window(copy.source) == program.window(copy.out)


def sends(program: Program) -> int:
    return sum(isinstance(s, Copy) and program.buffers[s.out.buffer].extent != "fixed" for _, s in program.stages())


def test_there_is_a_cell_that_sends() -> None:
    assert any(sends(plan(load(name), "numpy").backward) for name in CELLS)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", CELLS)
def test_what_only_inputs_need_is_marked(name: str, target: str) -> None:
    """Without these stages every gradient by a parameter, and every state that leaves, is still computed: neither is
    made, over however many steps, from a value that they make."""
    program = plan(load(name), target).backward
    graph = program.graph
    spoilt: set[str] = set()
    for region in program.regions:
        for k in region.inputs_only:
            assert region.kind == "sequence"
            assert not isinstance(region.stages[k], Gradient | Sums)
            spoilt |= {op.out for op in _ops(region.stages[k])}
    for _ in graph.steps:  # a chain is no longer than there are steps
        spoilt |= {op.out for op in graph.steps if spoilt & {name_of(o) for o in op.operands()}}
    assert not [n for n in sorted(spoilt) if graph.values[n].fixed]
    assert not spoilt & {v for e in graph.exits for v in e.values}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", CELLS)
def test_what_runs_without_them_reads_nothing_of_theirs(name: str, target: str) -> None:
    """A kernel that serves inputs and parameters runs whole: nothing that it reads may have been left out."""
    program = plan(load(name), target).backward
    skipped = {op.out for r in program.regions for k in r.inputs_only for op in _ops(r.stages[k])}
    for region in program.regions:
        for k, stage in enumerate(region.stages):
            for statement in stage.statements() if isinstance(stage, Kernel) and k not in region.inputs_only else ():
                read = {name_of(o) for op in statement.ops for o in op.operands()}
                assert not read & skipped, f"{statement.op.out} reads {sorted(read & skipped)}"


def _ops(stage: Stage) -> list[Op]:
    """The equations that a stage computes; a copy moves what another stage has computed."""
    if isinstance(stage, Kernel):
        return [op for s in stage.statements() for op in s.ops]
    return list(stage.ops) if isinstance(stage, Gemm) else []


def test_the_lstm_leaves_out_one_product() -> None:
    """dx = Wᵀ da over the whole sequence is all that gradients by inputs need besides."""
    program = plan("lstm", "numpy").backward
    (skipped,) = [r.stages[k] for r in program.regions for k in r.inputs_only]
    assert isinstance(skipped, Gemm)
    assert skipped.transposed


def test_a_kernel_is_a_phase_for_each_part() -> None:
    """A profile without registers has one statement in each kernel."""
    for _, stage in plan("gru", "numpy").forward.stages():
        if isinstance(stage, Kernel):
            (phase,) = stage.phases
            assert isinstance(phase, Phase)
            assert len(phase.body) == 1
            assert not phase.scalars + phase.reductions
