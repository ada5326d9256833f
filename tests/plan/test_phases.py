"""Kernels of a target with registers: where the units of a row meet, and what of a kernel lies in memory."""

from __future__ import annotations

import pytest
from planned import CELLS, sweeps

import symcell
from symcell.cell import ONE, units
from symcell.graph import Pointwise, Reduce, lag_of, name_of
from symcell.pipeline import graphs, plan
from symcell.plan.phases import KernelPlan, kernel_plans
from symcell.plan.schedule import schedule
from symcell.plan.stages import Fused, RegionName, Schedule
from symcell.program.model import Kernel


def kernels(what: Schedule) -> list[KernelPlan]:
    return [k for _, stage in what.all() if isinstance(stage, Fused) for k in kernel_plans(stage.steps, what.graph)]


def planned(text: str, region: RegionName = "loop") -> list[KernelPlan]:
    """The kernels of the first fused stage of a region, of a cell's forward sweep."""
    graph, _ = graphs(symcell.parse(text, name="cell"))
    stage = next(s for s in schedule(graph).stages[region] if isinstance(s, Fused))
    return kernel_plans(stage.steps, graph)


def test_unit_by_unit_is_one_phase() -> None:
    (found,) = planned("h[t] = tanh(x[t] + a*h[t-1])")
    assert not found.rowwise
    assert len(found.phases) == 1
    assert not found.crossing


def test_a_reduction_ends_a_phase_and_is_known_to_every_thread() -> None:
    """No barrier stands before the phase that reads it: the reduction itself is one."""
    (found,) = planned("u: H\nu[t] = tanh(x[t] + h[t-1])\nh[t] = u[t] / (1 + sum(u[t]))")
    first, second = found.phases
    assert found.rowwise
    assert [op.out for op in first.body] == ["a_u", "u"]
    assert [type(op) for op in first.reductions] == [Reduce]
    assert "h" in [op.out for op in second.body]
    assert not first.barrier
    assert not second.barrier
    assert found.crossing == {"u"}, "a register holds it no longer in the next phase"


def test_what_other_units_wrote_waits_for_a_barrier() -> None:
    (found,) = planned(
        "C: (H, K)\nx: H\nz: K\nC[t] = tanh(0.5*C[t-1]*sum(h[t-1]) + outer(x[t], z[t]))\nh[t] = tanh(C[t] @ z[t])"
    )
    assert found.rowwise
    writes = next(k for k, p in enumerate(found.phases) if "C" in [op.out for op in p.body])
    reads = next(k for k, p in enumerate(found.phases) if "C_z" in [op.out for op in p.body])
    assert writes < reads
    assert found.phases[reads].barrier
    assert not found.phases[0].barrier
    assert "C" in found.crossing
    assert "a_C" not in found.crossing, "read by the unit that computed it"


def test_shapes_that_do_not_meet_are_kernels_of_their_own() -> None:
    text = "s: K\nz: K\nx: H\ns[t] = tanh(z[t]) + s[t-1]\nh[t] = tanh(x[t]) + h[t-1]"
    found = planned(text)
    assert [[op.out for op in k.steps] for k in found] == [["s"], ["h"]]
    assert not any(k.rowwise for k in found)


@pytest.mark.parametrize("name", CELLS)
def test_phases_are_in_order(name: str) -> None:
    """Whatever a step reads of its own kernel is in a register of this phase, known to all threads, or in memory."""
    for sweep in sweeps(name):
        graph = sweep.graph
        for kernel in kernels(sweep):
            inside = {op.out for op in kernel.steps}
            done: set[str] = set()
            known: set[str] = set()
            for phase in kernel.phases:
                here: set[str] = set()
                for op in (*phase.scalars, *phase.body, *phase.reductions):
                    for name_ in (name_of(o) for o in op.operands() if name_of(o) in inside and not lag_of(o)):
                        assert name_ in here | known or (name_ in done and name_ in kernel.crossing), f"{op}: {name_}"
                    here.add(op.out)
                known |= {op.out for op in phase.reductions}
                known |= {op.out for op in phase.scalars if units(graph.shape(op.out)) == ONE}
                done |= here


@pytest.mark.parametrize("name", ["lstm", "gru", "layernorm_lstm", "mlstm"])
def test_registers_are_left_only_by_what_is_read_elsewhere(name: str) -> None:
    """On a target with registers the LSTM's kernel stores its stash and its last state, not every equation."""
    found = plan(name, "cupy")
    program = found.forward
    wanted = {*found.stash, *program.graph.outputs, *(v for e in program.graph.exits for v in e.values)}
    for region, stage in program.stages():
        if isinstance(stage, Kernel) and not stage.rowwise and region.kind == "steps":
            left = {op.out for s in stage.statements() if s.out for op in s.ops}
            elsewhere = {
                name_of(o) for _, other in program.stages() if other is not stage and isinstance(other, Kernel)
                for s in other.statements() for op in s.ops for o in op.operands()
            }  # fmt: skip
            assert left <= wanted | elsewhere | set(program.graph.carried)
            assert any(s.out is None for s in stage.statements() if isinstance(s.op, Pointwise))


def test_without_registers_every_equation_is_written() -> None:
    for program in plan("lstm", "numpy").programs.values():
        assert all(s.out for _, k in program.stages() if isinstance(k, Kernel) for s in k.statements())
