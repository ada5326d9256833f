"""What is rounded to 16 bits where the parameters have so many: everything that is kept, but for carries."""

from __future__ import annotations

from dataclasses import replace

import pytest

import symcell
from symcell.program.model import Plan, Storage
from symcell.program.rules import ProgramError, check, check_plan

TARGETS = ("numpy", "c", "cupy")


def storages(plan: Plan, role: str, *extents: str) -> dict[str, Storage]:
    """By value, of buffers of some extents."""
    buffers = [b for b in plan.programs[role].buffers.values() if b.origin in ("own", "tape")]  # type: ignore[index]
    return {m.name: b.storage for b in buffers for m in b.members if b.extent in extents}


@pytest.mark.parametrize("target", TARGETS)
def test_an_lstm_carries_its_cell_state(target: str) -> None:
    """h is read at the step before by products alone, which round what they read."""
    plan = symcell.plan("lstm", target)
    forward, backward = (storages(plan, role, "tape", "whole") for role in ("forward", "backward"))
    for found in (forward, backward):
        assert {name for name, storage in found.items() if storage == "real"} == {"c"}
        assert {"i", "f", "o", "g", "h"} <= found.keys()
    assert storages(plan, "backward", "ring") == {"dh_back": "real", "dc_via": "real"}


@pytest.mark.parametrize("target", TARGETS)
def test_a_gru_carries_its_output(target: str) -> None:
    plan = symcell.plan("gru", target)
    found = storages(plan, "forward", "tape", "whole")
    assert {name for name, storage in found.items() if storage == "real"} == {"h"}


def test_a_matrix_state_is_carried_for_a_product_with_a_vector_is_no_product_of_rows() -> None:
    text = "C: (H, K)\nk: K\nk[t] = W @ x[t]\nC[t] = outer(h[t], k[t])\nh[t] = tanh(C[t-1] @ k[t])\nh: H"
    plan = symcell.plan(symcell.parse(text, name="matrix"), "cupy")
    assert storages(plan, "forward", "tape", "whole")["C"] == "real"


def test_what_callers_hand_in_is_stored_and_gradients_are_added_up_first() -> None:
    plan = symcell.plan(symcell.parse("A: const(H, H)\nx: H\nh: H\nh[t] = A @ h[t-1] + (W - W.T) @ x[t-1]", name="a"))
    kinds = {b.origin: b.storage for b in plan.backward.buffers.values() if b.origin not in ("own", "tape")}
    assert kinds == {"seed": "stored", "params": "stored", "constant": "stored", "grads": "real"}
    fixed = {b.name: b.storage for p in plan.programs.values() for b in p.buffers.values()
             if b.extent == "fixed" and b.origin == "own"}  # fmt: skip
    assert sorted(fixed.values()) == ["real", "stored"]  # the gradient by W - W.T, and that matrix


def test_a_carry_that_is_rounded_is_a_fault() -> None:
    program = symcell.plan("lstm").forward
    changed = {**program.buffers, "c": replace(program.buffers["c"], storage="stored")}
    with pytest.raises(ProgramError, match="buffer c: it is stored, where real numbers are expected"):
        check(replace(program, buffers=changed))


def test_a_tape_of_two_kinds_is_a_fault() -> None:
    plan = symcell.plan("lstm")
    changed = {**plan.backward.buffers, "c": replace(plan.backward.buffers["c"], storage="stored")}
    programs = {**plan.programs, "backward": replace(plan.backward, buffers=changed)}
    with pytest.raises(ProgramError, match="the tape: c is real where it is made and not where it is read"):
        check_plan(replace(plan, programs=programs))


@pytest.mark.parametrize("target", TARGETS)
def test_half_the_bytes_but_for_carries(target: str) -> None:
    """Of a tape; float32 is what it was."""
    plan = symcell.plan("lstm", target)
    tape = {size: plan.memory(100, 8, itemsize=size, D=16, H=32).tape for size in (2, 4, 8)}
    assert tape[8] == 2 * tape[4]
    assert tape[4] - tape[2] == 2 * 8 * (100 * 4 * 32 + 101 * 32)
