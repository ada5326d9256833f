"""The cost report says what the program holds, by counts and formulas that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from small_programs import D, H, OutputOnly, changed, normalising, restaged, rnn_backward, rnn_forward

from symcell.cell import Parameter
from symcell.program.model import Gemm, Plan, Ref
from symcell.program.report import NOMINAL, allocated, counts, peak_memory, report, rows

SIZES = {"D": 3, "H": 5}
STEPS, BATCH = 7, 2
ROWS = STEPS * BATCH


@pytest.fixture
def priced(plan: Plan) -> Plan:
    """The small plan with what the report asks of its cell."""
    cell: Any = OutputOnly("h")
    cell.name, cell.sizes, cell.inputs = "rnn", ("D", "H"), {"x": (D,)}
    cell.shape_of = lambda name: (H,)
    cell.parameters = {"b": Parameter((H,)), "W": Parameter((H, D)), "U": Parameter((H, H))}
    return replace(plan, cell=cell)


def test_launches_and_products() -> None:
    """Forward: a product and two calls (add, tanh) at every step. Backward: four calls and a product; and four over the
    whole sequence."""
    forward, backward = counts(rnn_forward()), counts(rnn_backward())
    assert (forward.launches, forward.products) == ((3, 2), (1, 1))
    assert (backward.launches, backward.products) == ((5, 4), (1, 4))
    assert counts(normalising()).launches == (0, 1)


def test_a_product_that_adds_is_two_calls() -> None:
    program = rnn_forward()
    stage = program.regions[1].stages[0]
    assert isinstance(stage, Gemm)
    adding = restaged(program, 1, 0, replace(stage, accumulate=True, work=Ref("a_in")))
    assert counts(adding).launches == (4, 2)


def test_memory_of_one_slot_is_counted_once() -> None:
    program = rnn_backward()
    alone = allocated(program, SIZES, STEPS, BATCH, 4)
    assert alone == 4 * (ROWS * 5 + 2 * BATCH * 5 + BATCH * 5 + ROWS * 3)
    shared = changed(changed(program, "work", slot="one"), "dx", slot="one")
    assert alone - allocated(shared, SIZES, STEPS, BATCH, 4) == 4 * BATCH * 5
    assert counts(shared).buffers == counts(program).buffers - 1


def test_no_tape_no_rows() -> None:
    """A tape of depth 1 that is not kept is a ring of two slots; a condition takes one byte."""
    program = changed(rnn_forward(), "h", extent="tape")
    saved = allocated(program, SIZES, STEPS, BATCH, 4) - allocated(program, SIZES, STEPS, BATCH, 4, kept=False)
    assert saved == 4 * (STEPS - 1) * BATCH * 5
    masked = changed(program, "a_in", storage="bool")
    assert allocated(program, SIZES, STEPS, BATCH, 8) - allocated(masked, SIZES, STEPS, BATCH, 8) == 7 * ROWS * 5


def test_peak_memory(priced: Plan) -> None:
    """The end of the backward pass: h on the tape, y, the last state, da, dh_back, work and dx, the gradients by the
    parameters, the gradient by the first state."""
    numbers = (ROWS + BATCH) * 5 + ROWS * 5 + BATCH * 5 + (ROWS * 5 + 2 * BATCH * 5 + BATCH * 5 + ROWS * 3)
    numbers += (5 + 15 + 25) + BATCH * 5
    assert peak_memory(priced, SIZES, STEPS, BATCH, 8) == 8 * numbers


def test_report(priced: Plan) -> None:
    text = report(priced)
    assert str(priced) == text
    assert max(map(len, text.splitlines())) <= 80
    assert "rnn: 3 parameters of D H + H² + H numbers, 131,328 at D = H = 256" in text
    assert "each step  product  U @ h" in text
    assert "3 calls per step and 2 besides" in " ".join(text.split())
    assert "stash     H numbers per step and sample: h" in text
    assert f"{peak_memory(priced, dict.fromkeys('DH', NOMINAL), 100, 32, 4) / 1e6:,.1f} MB" in text
    few = priced.memory(100, 32, checkpoint="sqrt", D=NOMINAL, H=NOMINAL)
    assert f'{few.peak / 1e6:,.1f} MB with checkpoint="sqrt", states kept every 10 steps' in " ".join(text.split())


def test_rows_hold_every_launch(plan: Plan) -> None:
    """Neighbours that the table shows as one cost as much as they do one by one."""
    for program in plan.programs.values():
        assert sum(row.cost.launches for row in rows(program)) == sum(counts(program).launches)
