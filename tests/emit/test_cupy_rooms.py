"""What stays in shared memory while one kernel runs all steps: it gives the same bits as memory does, and nothing that
is there is read from memory again."""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from steps_kernels import DEVICES, Launched, launched, taken

import symcell
from symcell.emit.cupy.rooms import rooms
from symcell.emulate import Device, KernelError, load
from symcell.pipeline import plan, source
from symcell.program.partition import runs
from symcell.verify import targets
from symcell.verify.case import Result
from symcell.verify.cases import Kind, random_case

REASON = targets.emulator_missing()
emulated = pytest.mark.skipif(REASON is not None, reason=REASON or "")

ONE, TWO = Device(multiprocessors=1), Device(multiprocessors=2, capability=(8, 0))
RAGGED = Kind("ragged", 4, 5, lengths=(4, 1, 2, 0, 3))

text = functools.cache(lambda name: source(symcell.load(name), "cupy"))
case_of = functools.cache(lambda name: random_case(symcell.load(name), RAGGED))


def module(name: str, device: Device, least: int | None = 0, most: int | None = None, **how: Any) -> types.ModuleType:
    """A cell's emulated module, all steps in one launch, in which only rooms ``least`` … ``most - 1`` are given."""
    made = load(text(name), name, device=device, **how)
    made.STRATEGY = "block" if device.multiprocessors == 1 else "persistent"  # type: ignore[attr-defined]
    give = made._with_rooms

    def some(shares: Any, *others: Any) -> Any:
        found = give(shares, *others)
        assert all(found.rooms), "there is room for all"
        return found._replace(rooms=tuple(n if k in range(100)[least:most] else 0 for k, n in enumerate(found.rooms)))

    made._with_rooms = some  # type: ignore[attr-defined]
    return made


def run(made: types.ModuleType, name: str, dtype: str = "float64") -> Result:
    return targets.run(made, case_of(name), dtype)


def same(found: Result, expected: Result) -> None:
    for tensor, value in expected.tensors().items():
        assert_array_equal(found.tensors()[tensor], value, err_msg=tensor)


# which values may have room


@functools.cache
def rooms_of(name: str, role: str) -> dict[str, str]:
    """By slot, whether it goes from step to step (how many copies of it), is given, or made."""
    program = plan(symcell.load(name), "cupy").programs[role]  # type: ignore[index]
    region = next(region for region in program.regions if region.kind == "steps")
    found = rooms(program, region, runs(program, region))
    kinds = ("given" if room.given else "made" if room.old is None else str(room.copies) for room in found)
    return {f"{room.now.buffer} {room.now.shift}": kind for room, kind in zip(found, kinds, strict=True)}


def test_states_come_first() -> None:
    """A matrix is updated where it lies; what all threads read and one writes, not."""
    found = rooms_of("mlstm", "forward")
    assert list(found)[:3] == ["m 1", "C 1", "n 1"]
    assert (found["C 1"], found["n 1"], found["m 1"]) == ("1", "1", "2")


def test_cotangents_what_is_given_and_what_is_made() -> None:
    found = rooms_of("mlstm", "backward")
    assert list(found.values()) == ["1", "1", "2", *["given"] * 10, "made"]
    assert found["dC_via 0"] == "1"
    assert (found["C 0"], found["dC 0"]) == ("given", "made")


def test_what_other_blocks_write_has_none() -> None:
    """Products are shared by units, so all blocks write what they give."""
    assert "U_i_h_U_f_h_U_g_h_U_o_h 0" not in rooms_of("layernorm_lstm", "forward")
    assert rooms_of("lmu", "backward") == {}


# the same numbers


@emulated
@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("lstm", TWO), ("deltanet", ONE), ("layernorm_lstm", TWO),
        *(pytest.param(name, device, marks=pytest.mark.whole)
          for name in ("gru", "highway", "projected_lstm", "mamba", "narx", "mlstm", "slstm") for device in (ONE, TWO)),
    ],
)  # fmt: skip
def test_the_same_bits(name: str, device: Device) -> None:
    """With room for all, for none and for some; sequences end at different steps. Nothing races."""
    expected = run(module(name, device, most=0), name)
    same(run(module(name, device, races=True), name), expected)
    same(run(module(name, device, least=1, most=3), name), expected)


@emulated
@pytest.mark.parametrize("name", ["deltanet", "lstm"])
def test_several_launches(name: str) -> None:
    """What one leaves at its end the next one finds, with a tape and without one."""
    whole, made = module(name, ONE), module(name, ONE)
    made.LAUNCH_SECONDS = 0  # type: ignore[attr-defined]
    same(run(made, name), run(whole, name))
    found, expected = _results(made, name, "forward_steps"), _results(whole, name, "forward_steps")
    for tensor, value in expected.items():
        assert_array_equal(found[tensor], value, err_msg=tensor)


@emulated
def test_little_room() -> None:
    """Buffers have room one by one as long as there is any."""
    made = load(text("deltanet"), "deltanet", device=replace(ONE, shared_per_block_optin=2500))
    made.STRATEGY = "block"  # type: ignore[attr-defined]
    case = case_of("deltanet")
    shares = made._shares("block", made._work("backward_steps", case.sizes), 5, "float64", 0)
    assert 0 < sum(map(bool, shares.rooms)) < len(shares.rooms)
    assert shares.places(8)[1] <= 2500
    same(run(made, "deltanet"), run(module("deltanet", ONE, most=0), "deltanet"))


# memory is not read again

SPOILED = {
    "lstm, c": ("lstm", "forward_steps", "c", "kept(1, t + 1, keep_tape)", "H"),
    "lstm, its cotangent": ("lstm", "backward_steps", "dc_via", "ring(1, t)", "H"),
    "deltanet, cotangent of a matrix": ("deltanet", "backward_steps", "dS_via", "ring(1, t)", "H * K"),
}


def spoiled(made: types.ModuleType, sweep: str, buffer: str, slot: str, width: str) -> None:
    """After every step but the last, memory loses what the step has left for the next one."""
    step = "        before = last - me.first;\n"
    assert step in made.STEPS[sweep]
    loss = (
        f"        __syncthreads();\n"
        f"        const long long lost = next == t ? 0 : following < last ? following : last;\n"
        f"        for (long long k = threadIdx.x; k < lost * {width}; k += THREADS)\n"
        f"            {buffer}[sequence.{slot} * {width} + k] = 0 / (real)0;\n        __syncthreads();\n"
    )
    made.STEPS[sweep] = made.STEPS[sweep].replace(step, step + loss)


@emulated
@pytest.mark.parametrize("what", SPOILED)
def test_a_state_is_not_read_back(what: str) -> None:
    """Neither in a forward sweep without tape, nor in a backward one; without room it would be."""
    name, sweep, *where = SPOILED[what]
    expected = _results(module(name, ONE), name, sweep)
    for most, holds in ((None, True), (0, False)):
        made = module(name, ONE, most=most)
        spoiled(made, sweep, *where)
        found = _results(made, name, sweep)
        assert all(np.array_equal(found[tensor], value) for tensor, value in expected.items()) == holds


def _results(made: types.ModuleType, name: str, sweep: str) -> dict[str, Any]:
    if sweep == "backward_steps":
        return dict(run(made, name).gradients())
    _, y, last, _ = targets.forward(made, case_of(name), "float64", keep_tape=False)
    return {"y": targets.to_host(made, y)} | {state: targets.to_host(made, value) for state, value in last.items()}


# faults


@emulated
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("deltanet", lambda code: re.sub(r"( *arrived\(\);\n) *__syncthreads\(\);", r"\1", code)),
        ("deltanet", lambda code: code.replace("me, before, rows", "me, rows, rows")),
        ("deltanet", lambda code: code.replace("me, ahead, rows", "me, rows, rows")),
        ("deltanet", lambda code: code.replace("next % 2", "t % 2")),
        ("lstm", lambda code: code.replace("sample < before", "true")),
        ("lstm", lambda code: code.replace(" || next == t", "")),
    ],
    ids=["no meeting", "no first rows", "no last rows", "too early", "no first state", "no last state"],
)
def test_faults_are_noticed(name: str, fault: Callable[[str], str]) -> None:
    made = module(name, ONE, races=True)
    code = fault(made.STEPS["backward_steps"])
    assert code != made.STEPS["backward_steps"]
    made.STEPS["backward_steps"] = code
    expected = _expected(name)
    try:
        found = run(made, name)
    except KernelError:
        return
    with pytest.raises(AssertionError):
        same(found, expected)


@functools.cache
def _expected(name: str) -> Result:
    return run(module(name, ONE, most=0), name)


# what NVIDIA's compiler makes of it


def loads(kernel: Launched, arch: str) -> int:
    """How many instructions read memory of the device; it is known of each what it reads."""
    found = taken(kernel, arch)
    assert found.spilled == 0
    assert not re.search(rb"\b(ld|st)\.[fb]32", found.ptx), "an address of any memory"
    return len(re.findall(rb"\bld\.global", found.ptx))


@pytest.mark.parametrize("name", ["deltanet", pytest.param("mlstm", marks=pytest.mark.whole)])
def test_less_is_read(name: str) -> None:
    """Of an H100's memory, at sizes that fill its shared memory, without spills."""
    for kernel in launched(name, 128, 16, "float32", DEVICES["sm_90"], "auto"):
        nowhere = re.sub(r"#define (ROOM_\d+) \d+", r"#define \1 -1", kernel.code).replace("ROOMS 1", "ROOMS 0")
        assert nowhere != kernel.code
        assert loads(kernel, "sm_90") < loads(replace(kernel, code=nowhere), "sm_90")
