"""Kernels of all steps where blocks may not wait for each other, or for too long: emulated."""

from __future__ import annotations

import functools
import types
import warnings
from typing import Any

import pytest
import steps_kernels
from test_cupy_steps import CELLS, DEVICES, LIMITS, SHARINGS, agree, module, run, same, text, wanted

from symcell.emulate import Device, load, nvrtc
from symcell.verify import targets

REASON = targets.emulator_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


def fresh(
    name: str = "lstm", strategy: str = "persistent", device: Device | None = None, **how: Any
) -> types.ModuleType:
    """A module whose settings a test may change."""
    made = load(text(name), name, device=device or DEVICES[strategy], **how)
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    return made


# several launches


def launched(made: types.ModuleType) -> list[tuple[str, int, int]]:
    """A list of the launches to come: the kernel, the steps that are over, and those that it goes on to."""
    found = []
    compiled = made._steps_kernel

    def watched(name: str, *given: Any) -> tuple[Any, int]:
        kernel, shared = compiled(name, *given)

        def call(grid: Any, block: Any, args: Any, **how: Any) -> None:
            found.append((name, *args[2:4]))
            kernel(grid, block, args, **how)

        return call, shared

    made._steps_kernel = watched  # type: ignore[attr-defined]
    return found


SOME = ("lstm", "layernorm_lstm", "deltanet", "lmu")


@pytest.mark.parametrize(
    "name", [*SOME, *(pytest.param(name, marks=pytest.mark.whole) for name in CELLS if name not in SOME)]
)
def test_a_launch_goes_on_where_the_one_before_stopped(name: str) -> None:
    """To the last bit, whatever a block keeps by itself from step to step; nor does anything race."""
    for kind in ("few", "many"):
        case, _ = wanted(name, kind)
        made = fresh(name, races=kind == "few" and name == "lstm")
        made.LAUNCH_SECONDS = 1e-12  # type: ignore[attr-defined]
        same(run(made, case), run(module(name, "persistent"), case))


@pytest.mark.parametrize("strategy", SHARINGS)
def test_no_launch_is_expected_to_take_longer_than_it_may(strategy: str) -> None:
    case, _ = wanted("lstm", "few")
    made = fresh("lstm", strategy)
    found = launched(made)
    whole = run(made, case)
    assert found == [("forward_steps", 0, 4), ("backward_steps", 0, 4)]
    found.clear()
    step = made._work("forward_steps", case.sizes)
    each = made._shares(strategy, step, case.batch, "float64", 0).expected / 1e6
    made.LAUNCH_SECONDS = 3.5 * each  # type: ignore[attr-defined]
    same(run(made, case), whole)
    assert found[:2] == [("forward_steps", 0, 3), ("forward_steps", 3, 4)]
    assert [name for name, *_ in found[2:]] == ["backward_steps"] * 2


# debug builds


def debugged(steps: str, fault: str, name: str = "lstm", **limits: Any) -> types.ModuleType:
    """A debug build in which a block does something else at the beginning of a step."""
    made = fresh(name, device=Device(**{"multiprocessors": 2, "capability": (8, 0), **limits}))
    made.DEBUG, made.PATIENCE = True, 500  # type: ignore[attr-defined]
    before = made.STEPS[steps]
    made.STEPS[steps] = before.replace(
        "        const long long last =", f"        {fault}\n        const long long last ="
    )
    assert made.STEPS[steps].count(fault) == 1
    return made


def test_a_block_that_never_comes_is_named() -> None:
    case, _ = wanted("lstm", "few")
    words = r"^kernel {}_steps: block {} of the 2 of group {} never came to meeting {} of {} in step {}, counted from 0"
    made = debugged("forward_steps", "if (me.number == 1 && t == 2) return;")
    with pytest.raises(RuntimeError, match=words.format("forward", 1, 0, 1, 1, 2)):
        targets.run(made, case, "float64")
    made = debugged("backward_steps", "if (me.number == 0 && t == 2) return;")
    with pytest.raises(RuntimeError, match=words.format("backward", 0, 0, 1, 1, 1)):
        targets.run(made, case, "float64")


def test_the_group_and_the_launch_are_counted() -> None:
    """Blocks that wait for another group's are no part of it; a step is counted from the first launch on."""
    case, _ = wanted("lstm", "few")
    made = debugged("forward_steps", "if (blockIdx.x == 1 && me.number == 1 && t == 2) return;", multiprocessors=4)
    made.LAUNCH_SECONDS = 1e-12  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"block 1 of the 2 of group 1 never came to meeting 1 of 1 in step 2"):
        targets.run(made, case, "float64")


def test_one_of_two_sweeps_is_named() -> None:
    case, _ = wanted("lstm", "few")
    made = debugged("forward_steps", "if (blockIdx.z == 1 && me.number == 1 && t == 1) return;", multiprocessors=4)
    params = targets.parameters(made, case, "float64")
    x = targets.to_device(made, case.x["x"], "float64")
    words = "block 1 of the 2 of group 0 of sweep 1 never came to meeting 1 of 1 in step 1"
    with pytest.raises(RuntimeError, match=words):
        made.forward_both((params, params), (x, x))


def test_several_meetings_of_a_step_are_counted() -> None:
    case, _ = wanted("highway", "few")
    made = debugged("forward_steps", "if (me.number == 1 && t == 1) return;", "highway")
    meetings = made._work("forward_steps", case.sizes).meetings
    assert meetings > 1
    with pytest.raises(RuntimeError, match=rf"never came to meeting 1 of {meetings} in step 1"):
        targets.run(made, case, "float64")


def test_a_debug_build_is_as_others_are() -> None:
    """Even where others wait in clusters, for which nobody can stop waiting."""
    case, _ = wanted("lstm", "few")
    device = Device(multiprocessors=4, capability=(9, 0))
    made = fresh(device=device)
    made.DEBUG = True  # type: ignore[attr-defined]
    same(run(made, case), run(module("lstm", "persistent", device), case))
    step = made._work("forward_steps", case.sizes)
    assert made._shares("persistent", step, case.batch, "float64", 0).waits == "grid"
    assert module("lstm", "persistent", device)._shares("persistent", step, case.batch, "float64", 0).waits == "cluster"


def test_builds_are_for_debugging_only_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not fresh().DEBUG
    monkeypatch.setenv("SYMCELL_DEBUG", "1")
    assert fresh().DEBUG


def test_debug_builds_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NVRTC; other builds have nothing of that in their kernels."""
    if nvrtc.unavailable():
        pytest.skip(nvrtc.unavailable())
    of_device = functools.partial(steps_kernels.launched, "lstm", 32, 4, "float32", steps_kernels.DEVICES["sm_90"])
    assert "#define DEBUG" not in of_device()[0].code
    monkeypatch.setenv("SYMCELL_DEBUG", "1")
    kernel, _ = of_device()
    ptx = nvrtc.compile_ptx(kernel.code, "sm_90")
    assert (b"atom." in ptx, b"barrier.cluster" in ptx, kernel.cooperative) == (True, False, True)


# blocks that the device does not hold at once


@pytest.mark.parametrize("limits", [{"free": 1}, {"blocks": 0}])
def test_a_refused_launch_is_another_way_and_said_once(limits: dict[str, int]) -> None:
    """Whether the driver refuses, which knows of other processes, or CuPy, which asks how many blocks it holds."""
    case, expected = wanted("lstm", "few")
    made = fresh(strategy="auto", device=Device(multiprocessors=2, capability=(8, 0), **limits))
    chosen = made._shares

    def persistent(_: str, *given: Any, held: int | None = None) -> Any:
        return chosen("persistent" if held is None else "plain", *given, held=held)

    made._shares = persistent  # type: ignore[attr-defined]
    with pytest.warns(RuntimeWarning) as said:
        found = targets.run(made, case, "float64")
    assert [str(warning.message).partition(", which")[0] for warning in said] == [
        "kernel forward_steps: device 0 has no room for 2 blocks at the same time, as others share it; from now on "
        "none wait for each other"
    ]
    agree(found, expected, LIMITS["float64"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(targets.run(made, case, "float64"), found)


def test_fewer_blocks_wait_where_more_are_refused() -> None:
    case, expected = wanted("lstm", "few")
    made = fresh(strategy="auto", device=Device(multiprocessors=4, capability=(8, 0), free=2))
    chosen = made._shares
    made._shares = lambda _, *given, **how: chosen("persistent", *given, **how)  # type: ignore[attr-defined]
    with pytest.warns(RuntimeWarning, match=r"no room for 4 blocks .* from now on 2 wait for each other"):
        agree(targets.run(made, case, "float64"), expected, LIMITS["float64"])
    assert made._HELD == {0: 2}


def test_clusters_that_have_no_room_are_another_way() -> None:
    case, expected = wanted("lstm", "few")
    made = fresh(strategy="auto", device=Device(multiprocessors=2, free=1))
    chosen = made._shares
    made._shares = lambda _, *given, **how: chosen("persistent" if not made._HELD else "block", *given, **how)  # type: ignore[attr-defined]
    with pytest.warns(RuntimeWarning, match=r"no room for 2 blocks .* \(CUDA_ERROR_INVALID_CLUSTER_SIZE"):
        agree(targets.run(made, case, "float64"), expected, LIMITS["float64"])


def test_a_strategy_that_was_asked_for_is_no_other() -> None:
    case, _ = wanted("lstm", "few")
    made = fresh(device=Device(multiprocessors=2, capability=(8, 0), free=1))
    with pytest.raises(
        RuntimeError, match=r"^STRATEGY: persistent needs 2 blocks that run at the same time, .*TOO_LARGE"
    ):
        targets.run(made, case, "float64")


def test_without_room_for_two_blocks_each_is_for_itself() -> None:
    made = module("lstm", "auto", Device(multiprocessors=2, capability=(8, 0)))
    step = made._work("forward_steps", {"D": 3, "H": 4})
    for held, parts in ((0, {1}), (1, {1}), (None, {1, 2})):
        shares = made._shares("auto", step, 2, "float64", 0, held=held)
        assert shares is None or shares.parts in parts
    with pytest.raises(RuntimeError, match="STRATEGY: persistent needs"):
        made._shares("persistent", step, 2, "float64", 0, held=0)
