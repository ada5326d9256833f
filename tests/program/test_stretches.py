"""Sweeps in stretches: which rows a plan gives up once a stretch is over, and which it must not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planned_cells import CELLS, planned

import symcell
from symcell.pipeline import plan
from symcell.program.access import reads
from symcell.program.stretches import ROWS, steps_of


def test_what_only_the_loop_and_its_sums_read_is_kept_for_a_stretch() -> None:
    """The products by inputs, and the gradients by the gates; not what is on the tape or goes to the caller."""
    found = planned("lstm", "c")
    ahead, back = found.forward.stretches, found.backward.stretches
    assert ahead is not None
    assert back is not None
    assert ahead.buffers == {"a_i_in_to_a_g_in"}
    assert back.buffers == {"da_i_da_f_da_o_da_g"}
    assert planned("lstm", "numpy").backward.stretches is None


def test_rows_that_another_step_reads_outlast_their_stretch() -> None:
    cell = symcell.parse("u[t] = tanh(W @ x[t])\nh[t] = tanh(V @ u[t-1] + u[t] + U @ h[t-1])", name="lagged")
    forward = plan(cell, "c").forward
    assert any(ref.buffer == "u" and ref.shift == 0 for _, stage in forward.stages() for ref in reads(stage))
    assert forward.stretches is None or "u" not in forward.stretches.buffers


@pytest.mark.parametrize("name", CELLS)
def test_a_stretch_touches_no_sum_that_is_not_complete(name: str) -> None:
    """What is summed over all steps, stages of a stretch add to and never read; and no memory of theirs that holds all
    steps is another's in the meantime."""
    for program in planned(name, "c").programs.values():
        found = program.stretches
        if found is None:
            continue
        stages = [stage for k, (_, stage) in enumerate(program.stages()) if found.has(k)]
        sums = {(s.out.buffer, s.out.first) for s in stages if type(s).__name__ in ("Gradient", "Sums")}
        assert not sums & {(ref.buffer, ref.first) for stage in stages for ref in reads(stage)}
        used = {ref.buffer for stage in stages for ref in reads(stage)}
        slots = [b.slot for n, b in program.buffers.items() if n in used and b.extent == "whole" and b.origin == "own"]
        assert len(slots) == len(set(slots))


def test_a_profile_asks_for_stretches() -> None:
    program = planned("lstm", "c").backward
    assert replace(program, profile=replace(program.profile, stretches=False)).stretches is None


def test_how_long_a_stretch_is() -> None:
    assert [steps_of(steps, 32) for steps in (0, 5, 1000)] == [0, 5, ROWS // 32]
    assert [steps_of(7, batch) for batch in (0, ROWS, 10 * ROWS)] == [7, 1, 1]
