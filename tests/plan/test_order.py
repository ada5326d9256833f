"""Stages of whole sequences: an order that needs little memory, and results where nothing is read any more."""

from __future__ import annotations

import pytest
from planned import load

from symcell.cell import Size
from symcell.pipeline import plan
from symcell.plan.order import in_order
from symcell.plan.overwriting import overwriting
from symcell.program.model import Buffer, Copy, Gradient, Kernel, Member, Ref, Sums
from symcell.program.report import peak_memory

H = Size.of("H")


def copy(pair: str) -> Copy:
    """``"a<b"``: a is made from b."""
    out, source = pair.split("<")
    return Copy(Ref(out), Ref(source))


def buffers(names: str) -> dict[str, Buffer]:
    return {n: Buffer(n, (Member(n, (H,)),), "whole") for n in names}


def ordered(pairs: str, lasting: str) -> list[str]:
    stages = [copy(p) for p in pairs.split()]
    return [f"{s.out.buffer}<{s.source.buffer}" for s in in_order(stages, buffers("abcdxyz"), lasting)
            if isinstance(s, Copy)]  # fmt: skip


def test_what_frees_memory_runs_as_soon_as_it_can() -> None:
    """b and c are each used up by what lasts: never are both alive."""
    assert ordered("b<a c<a x<b y<c", "axy") == ["b<a", "x<b", "c<a", "y<c"]


def test_what_is_read_is_made_first_and_what_is_overwritten_is_read_first() -> None:
    assert ordered("b<a x<b b<c y<b", "axyc") == ["b<a", "x<b", "b<c", "y<b"]


@pytest.mark.parametrize("name", ["layernorm_lstm", "gru"])
def test_sums_follow_what_they_sum(name: str) -> None:
    """A value that is only summed is not kept beside all others of its kind."""
    stages = plan(load(name), "numpy").backward.regions[-1].stages
    made: dict[str, int] = {}
    for k, stage in enumerate(stages):
        for statement in stage.statements() if isinstance(stage, Kernel) else ():
            if statement.out is not None:
                made[statement.out.buffer] = k
        if isinstance(stage, Sums) and stage.arg.buffer in made:
            between = stages[made[stage.arg.buffer] + 1 : k]
            assert all(isinstance(s, Sums | Gradient) for s in between), stage.ops


def test_layer_normalisation_overwrites_its_cotangents() -> None:
    """The gradient of a normalised product is computed where the centred value's was: both are never alive."""
    program = plan(load("layernorm_lstm"), "numpy").backward
    slot = {b.members[0].name: b.slot for b in program.buffers.values() if b.extent == "whole"}
    assert slot["dW_i_x"] == slot["dcentred_W_i_x"]


def test_kernels_with_registers_overwrite_nothing() -> None:
    program = plan(load("layernorm_lstm"), "cupy").backward
    regions, moves = overwriting(program.regions, program.buffers, ())
    assert not moves
    assert regions == program.regions


def test_memory_of_a_normalised_lstm() -> None:
    """Some thirteen buffers of H numbers a step besides the tape: half as many as without the order."""
    sizes = {"D": 64, "H": 64}
    peak = peak_memory(plan(load("layernorm_lstm"), "numpy"), sizes, 100, 32, 4)
    assert peak < 27 * 100 * 32 * 64 * 4
