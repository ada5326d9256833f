"""Every kind of fault that is planted in a program is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from small_programs import changed, normalising, restaged, rnn, rnn_backward, rnn_forward
from sympy import Integer

from symcell.cell import Size
from symcell.graph import Block
from symcell.program.model import Call, Enter, Kernel, Mask, Out, Program, Ref, Temp
from symcell.program.order import handed_over
from symcell.program.rules import ProgramError, check, check_plan, problems
from symcell.symbolic.nodes import At, Param


@pytest.mark.parametrize("make", [rnn_forward, rnn_backward, normalising])
def test_sound_programs_pass(make: Callable[[], Program]) -> None:
    program = make()
    assert list(problems(program)) == []
    assert check(program) is program


def rephased(program: Program, region: int, position: int, number: int, **fields: Any) -> Program:
    """The program with fields of one phase of a kernel changed."""
    kernel = program.regions[region].stages[position]
    assert isinstance(kernel, Kernel)
    phases = list(kernel.phases)
    phases[number] = replace(phases[number], **fields)
    return restaged(program, region, position, replace(kernel, phases=tuple(phases)))


def restated(program: Program, region: int, position: int, **fields: Any) -> Program:
    """The program with fields of a kernel's only statement changed."""
    (statement,) = program.regions[region].stages[position].statements()  # type: ignore[union-attr]
    return rephased(program, region, position, 0, body=(replace(statement, **fields),))


def refilled(program: Program, region: int, position: int, **fields: Any) -> Program:
    """The program with fields of one stage changed."""
    return restaged(program, region, position, replace(program.regions[region].stages[position], **fields))


FORWARD, BACKWARD, NORM = rnn_forward(), rnn_backward(), normalising()
STEP = {At("Uh"): Ref("h", shift=1), At("a_in"): Ref("a_in")}

FAULTS: dict[str, tuple[Program, str]] = {
    "no such buffer": (refilled(FORWARD, 0, 0, left=Ref("z")), "there is no buffer z"),
    "no such member": (refilled(FORWARD, 0, 0, matrix=Ref("params", 3)), "params has 3 members, not those from 3 to 3"),
    "too many members": (refilled(FORWARD, 0, 0, out=Ref("a_in", 0, 2)), "not those from 0 to 1"),
    "a shift beyond the depth": (refilled(FORWARD, 1, 0, out=Ref("h", shift=2)), "h at shift 2, but its depth is 1"),
    "a negative shift": (refilled(FORWARD, 1, 0, left=Ref("h", shift=-1)), "h at shift -1"),
    "slots of one step": (changed(FORWARD, "a_in", extent="local", depth=1), "a local one has no slots"),
    "more enters than is kept": (replace(FORWARD, enters=(Enter("h", "h", 2),)), "2 steps enter h"),
    "a tape of what is not kept": (replace(FORWARD, tape=("h", "w")), "the tape: there is no buffer w"),
    "a tape of a ring": (changed(FORWARD, "h", extent="ring"), "the tape: h has no rows for every step"),
    "a sequence over one step": (changed(FORWARD, "a_in", extent="local"), "a_in has no rows for every step"),
    "a parameter that varies": (
        restated(FORWARD, 0, 1, reads={At("Wx"): Ref("a_in"), Param("b"): Ref("a_in")}),
        "b is read from a_in, which is whole",
    ),
    "a gradient in a row": (refilled(BACKWARD, 1, 3, out=Ref("da")), "written to da, which is whole"),
    "numbers in a mask": (changed(BACKWARD, "work", storage="bool"), "work holds bool numbers"),
    "a product of the wrong columns": (
        refilled(FORWARD, 0, 0, columns=Block(Size.of(0), Size.of("H"))), "x of D where the product has H",
    ),
    "a product of the wrong matrix": (
        refilled(FORWARD, 0, 0, matrix=Ref("params", 2)), "x of D where the product has H",
    ),
    "a gradient of the wrong width": (refilled(BACKWARD, 1, 1, out=Ref("grads", 2)), "grads of H*H where"),
    "an operand of the wrong width": (
        restated(FORWARD, 1, 1, reads={**STEP, At("a_in"): Ref("x")}), "a_in[t] of H is read from x of D",
    ),
    "no calls": (restated(FORWARD, 1, 1, calls=()), "h has no calls"),
    "calls beside registers": (replace(FORWARD, profile=NORM.profile), "h has calls"),
    "a temporary too many": (restated(BACKWARD, 0, 1, work=()), "uses temporary 0 of 0"),
    "no room for a condition": (
        restated(FORWARD, 0, 1, calls=(Call("copy", (At("Wx"),), Mask()),)), "has no room for mask",
    ),
    "a temporary in an operand's place": (
        restated(BACKWARD, 0, 1, work=(Ref("da"),)), "dh[t] is read when Temp(number=0) stands there",
    ),
    "a temporary before it is there": (
        restated(BACKWARD, 0, 1, calls=(Call("subtract", (Integer(1), Temp(0)), Out()),)),
        "Temp(number=0) is read where something else stands",
    ),
    "calls without a result": (
        restated(BACKWARD, 0, 1, calls=(Call("square", (At("h"),), Temp(0)),)), "do not leave the result",
    ),
    "read before it is written": (restaged(FORWARD, 0, 0, None), "a_in, member 0, is read before it is written"),
    "read before its step": (
        replace(FORWARD, regions=(FORWARD.regions[0], replace(FORWARD.regions[1], direction=-1))),
        "h is read 1 steps ahead of the sweep",
    ),
    "read at another lag": (refilled(BACKWARD, 1, 2, right=Ref("h", shift=1)), "h[t-1] is read 0 steps back"),
    "nothing enters": (replace(FORWARD, enters=()), "h is read 1 steps outside the sequence, where nothing enters"),
    "another value": (
        restated(FORWARD, 1, 1, reads={**STEP, At("a_in"): Ref("h")}), "h holds h where a_in is read",
    ),
    "a result that is another value": (replace(FORWARD, results={"h": Ref("a_in")}), "a_in holds a_in where h is read"),
    "a product in place": (refilled(FORWARD, 1, 0, left=Ref("h", shift=1)), "writes to h while it reads there"),
    "one step's row beside another's": (
        replace(FORWARD, regions=(*FORWARD.regions, replace(FORWARD.regions[1], kind="sequence"))),
        "h is read at one step while it is written at another",
    ),
    "two at one time": (
        changed(changed(BACKWARD, "work", slot="m"), "da", slot="m"), "da and work share the memory m at one time",
    ),
    "a result that is overwritten": (
        changed(changed(FORWARD, "a_in", slot="m"), "h", slot="m"), "a_in and h share the memory m at one time",
    ),
    "another thread's register": (
        rephased(NORM, 0, 0, 1, scalars=()), "centred reads mean[t], which is in no register of its thread",
    ),
    "a register of another phase": (
        rephased(NORM, 0, 0, 2, scalars=NORM.regions[0].stages[0].phases[2].scalars,  # type: ignore[union-attr]
                 body=(replace(NORM.regions[0].stages[0].phases[2].body[0], reads={}),)),  # type: ignore[union-attr]
        "y reads centred[t], which is in no register of its thread",
    ),
    "a scalar in a body": (rephased(NORM, 0, 0, 1, span=(Size.of("D"),)), "centred has not the units of its phase"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault: str) -> None:
    program, message = FAULTS[fault]
    found = list(problems(program))
    assert any(message in problem for problem in found), found
    with pytest.raises(ProgramError, match=r"^(forward|backward): "):
        check(program)


def neighbours(barrier: bool) -> Program:
    """The kernel that normalises, its last phase reading the sum of what the threads of the row have stored."""
    kernel = NORM.regions[0].stages[0]
    assert isinstance(kernel, Kernel)
    spread = kernel.phases[1].reductions[0]
    again = replace(spread, reads={At("square"): Ref("centred")})
    phases = (*kernel.phases[:2], replace(kernel.phases[2], reductions=(again,), barrier=barrier))
    return restaged(NORM, 0, 0, replace(kernel, phases=phases))


def racing(program: Program) -> list[str]:
    return [p for p in problems(program) if "another unit writes" in p]


def test_a_race_needs_a_barrier() -> None:
    """What other threads stored is there after a barrier only."""
    (found,) = racing(neighbours(barrier=False))
    assert "square[t] is read in centred, where another unit writes centred" in found
    assert racing(neighbours(barrier=True)) == []


def test_own_units_need_no_barrier() -> None:
    """A thread reads what it has stored itself."""
    assert racing(NORM) == []


def test_units_that_do_not_meet_have_one_phase() -> None:
    kernel = replace(NORM.regions[0].stages[0], rowwise=False)  # type: ignore[call-arg]
    assert any("cannot have phases" in p for p in problems(restaged(NORM, 0, 0, kernel)))


def test_the_tape_holds_what_is_read() -> None:
    plan = rnn()
    assert check_plan(plan) is plan
    other = changed(FORWARD, "h", members=(replace(FORWARD.buffers["h"].members[0], name="g"),))
    backward = changed(BACKWARD, "h", members=other.buffers["h"].members)
    assert next(iter(handed_over(FORWARD, backward))).endswith("the tape does not hold g")
