"""What stays within the rows of a matrix: which steps that are, what is one pass, and what a loop draws in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import symcell
from symcell.pipeline import graphs, plan
from symcell.plan.matrix_rows import spaces, turns
from symcell.plan.phases import KernelPlan, kernel_plans
from symcell.plan.schedule import schedule
from symcell.plan.stages import Fused, Step
from symcell.program.model import Kernel, Phase, Program
from symcell.program.rules import problems
from symcell.symbolic.nodes import At

DELTA = "C: (H, K)\nx: H\nz: K\ne[t] = x[t] - C[t-1] @ z[t]\nC[t] = C[t-1] + outer(e[t], z[t])\nh[t] = C[t] @ z[t]"
"""A state corrected by what a product with it finds, and a product with the corrected one."""

MATRICES = ("mlstm", "deltanet", "gated_deltanet", "gla", "mamba")
"""Shipped cells with a matrix state whose loops go over it row by row."""


def loop(text: str) -> tuple[tuple[Step, ...], KernelPlan]:
    """The steps of a cell's loop, forward, and their kernel."""
    graph, _ = graphs(symcell.parse(text, name="cell"))
    stage = next(s for s in schedule(graph).stages["loop"] if isinstance(s, Fused))
    (kernel,) = kernel_plans(stage.steps, graph, by_rows=True)
    return stage.steps, kernel


def made_with(text: str) -> set[str]:
    """The steps of a cell's loop that stay within rows."""
    graph, _ = graphs(symcell.parse(text, name="cell"))
    return set(spaces(loop(text)[0], graph))


def over_matrices(program: Program) -> list[Phase]:
    """The phases of a program's loops that go over a matrix, row by row or otherwise."""
    kernels = (s for r in program.regions if r.kind == "steps" for s in r.stages if isinstance(s, Kernel))
    return [phase for kernel in kernels for phase in kernel.phases if len(phase.span) == 2]


def test_one_pass_over_the_rows() -> None:
    """The product, the error, the correction and the second product: two loops over the columns of a row."""
    steps, kernel = loop(DELTA)
    (phase,) = kernel.phases
    assert dict(zip((op.out for op in phase.body), phase.turns, strict=True)) == turns(steps)
    assert turns(steps) == {"C_z": 0, "e": 1, "C": 1, "h": 1}
    assert not phase.barrier
    assert "C" not in kernel.crossing, "each element is in a register when it is needed"


def test_what_a_later_loop_over_columns_reads_lies_in_memory() -> None:
    _, kernel = loop("C: (H, K)\nx: H\nz: K\nC[t] = tanh(C[t-1] + outer(x[t], z[t]))\ns[t] = C[t] @ z[t]\n"
                     "E: (H, K)\nE[t] = diag(s[t]) @ C[t] + E[t-1]\nh[t] = E[t] @ z[t]")  # fmt: skip
    (phase,) = kernel.phases
    assert sorted(set(phase.turns)) == [0, 1]
    assert kernel.crossing == {"C"}


def test_what_is_laid_along_columns_does_not_stay_in_a_row() -> None:
    """Of a square matrix both axes have the same length; the shape alone says nothing."""
    own = "C: (H, H)\nx: H\nu: H\nu[t] = tanh(x[t] + h[t-1])\nC[t] = C[t-1] + outer({}, {})\nh[t] = C[t] @ x[t]"
    assert "u" in made_with(own.format("u[t]", "x[t]"))
    assert "u" not in made_with(own.format("x[t]", "x[t] * 2") + "*sum(u[t])")
    _, kernel = loop(own.format("u[t]", "u[t]"))
    first, second = (next(k for k, p in enumerate(kernel.phases) if n in [op.out for op in p.body]) for n in ("u", "C"))
    assert first < second
    assert kernel.phases[second].barrier


def test_totals_along_columns_wait_for_all_rows() -> None:
    _, kernel = loop("C: (H, K)\nx: K\ny: H\nC[t] = C[t-1] + outer(y[t], h[t-1] + x[t])\nh[t] = C[t].T @ y[t]")
    assert [bool(phase.turns) for phase in kernel.phases] == [False] * len(kernel.phases)
    assert kernel.phases[-1].barrier


@pytest.mark.parametrize("name", MATRICES)
def test_a_loop_goes_over_a_matrix_once(name: str) -> None:
    """Forward and backward: each matrix is made, stored and totalled in one phase."""
    for program in plan(name, "cupy").programs.values():
        assert len(over_matrices(program)) == 1
    backward = plan(name, "cupy").backward
    assert over_matrices(backward)[0].turns


def rows_of(**fields: Any) -> list[str]:
    """What is wrong with a backward sweep, with fields of the phase changed that goes over its matrix row by row."""
    program = plan("deltanet", "cupy").backward
    regions = list(program.regions)
    k, region = next((k, r) for k, r in enumerate(regions) if r.kind == "steps")
    (kernel,) = region.stages
    assert isinstance(kernel, Kernel)
    phases = tuple(replace(p, **fields) if p.turns else p for p in kernel.phases)
    regions[k] = replace(region, stages=(replace(kernel, phases=phases),))
    return list(problems(replace(program, regions=tuple(regions))))


def test_rules_know_rows() -> None:
    """What is in whose registers, and when; and that other threads' numbers wait for a barrier."""
    (phase,) = over_matrices(plan("deltanet", "cupy").backward)
    assert rows_of() == []
    bare = tuple(replace(s, reads={o: r for o, r in s.reads.items() if o != At("dS")}) for s in phase.body)
    assert any("dS_via reads dS[t], which is in no register of its thread" in p for p in rows_of(body=bare))
    assert any("where another unit writes" in p for p in rows_of(barrier=False))
    assert any("4 turns of 5 statements" in p for p in rows_of(turns=phase.turns[1:]))


@pytest.mark.parametrize("target", ["numpy", "c"])
def test_other_targets_have_no_passes(target: str) -> None:
    phases = [p for program in plan("deltanet", target).programs.values() for _, stage in program.stages()
              if isinstance(stage, Kernel) for p in stage.phases]  # fmt: skip
    assert not any(phase.turns for phase in phases)


# what runs in the loop since it reads a matrix that is made there


@pytest.mark.parametrize(("name", "matrix"), [("mlstm", "C"), ("deltanet", "S"), ("gated_deltanet", "S")])
def test_inference_holds_no_matrix_of_every_step(name: str, matrix: str) -> None:
    """Behind the loop nothing reads it, so that two steps of it are enough without a tape."""
    forward = plan(name, "cupy").forward
    kept = {b.name: b.extent for b in forward.buffers.values() if any(len(m.shape) == 2 for m in b.members)}
    assert {n for n, extent in kept.items() if extent == "whole"} == set()
    assert kept[matrix] == "tape"


@pytest.mark.parametrize("name", ["mlstm", "deltanet", "gated_deltanet", "gla"])
def test_cotangents_of_matrices_last_a_step(name: str) -> None:
    """Only the tape has a matrix for every step in a backward sweep."""
    backward = plan(name, "cupy").backward
    wide = [b for b in backward.buffers.values() if any(len(m.shape) == 2 for m in b.members)]
    assert {b.origin for b in wide if b.extent == "whole"} <= {"tape"}


def behind(text: str) -> set[str]:
    """What runs behind a cell's loop."""
    graph, _ = graphs(symcell.parse(text, name="cell"))
    found = schedule(graph).region
    return {name for name, region in found.items() if region == "after"}


READ = "C: (H, K)\nx: H\nz: K\nm: 1\nm[t] = tanh(sum(x[t]) + m[t-1])\nC[t] = m[t] * C[t-1] + outer(x[t], z[t])\n"


def test_the_loop_draws_in_what_reads_its_matrix() -> None:
    text = READ + "s[t] = C[t] @ z[t]\nh[t] = tanh(s[t])"
    assert behind(text) == {"h"}


def test_what_it_needs_comes_along() -> None:
    """But for products with fixed matrices, which are cheaper over all steps at once."""
    assert behind(READ + "u[t] = tanh(z[t] + m[t])\nh[t] = C[t] @ u[t]") == set()
    assert {"u", "h"} <= behind(READ + "W: (K, 1)\nu[t] = tanh(W @ m[t])\nh[t] = C[t] @ u[t]")


def test_units_that_do_not_meet_stay_apart() -> None:
    """Blocks share the units of such a matrix; a total would make one of them do all of a sample."""
    text = "C: (H, K)\nx: H\nz: K\nC[t] = C[t-1] + outer(x[t], z[t])\nh[t] = C[t] @ z[t]"
    assert behind(text) == {"h"}
