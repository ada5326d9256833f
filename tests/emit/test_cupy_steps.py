"""Kernels that run all steps of a sweep, emulated: against NumPy's module, in every way that blocks share a step."""

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

import symcell
from symcell.emulate import Device, KernelError, load
from symcell.pipeline import source
from symcell.verify import targets
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case
from symcell.verify.tolerances import FLOAT32_ULP, TOLERANCES, error, scale_of

REASON = targets.emulator_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

SHARINGS = ("block", "persistent")
DEVICES = {"block": Device(multiprocessors=1), "persistent": Device(multiprocessors=2, capability=(8, 0))}
"""One block has all samples; two have a part of the units each, and wait for each other through memory."""
CELLS = (
    "lstm", "gru_original", "highway", "projected_lstm", "layernorm_lstm", "narx", "deltanet", "mamba", "qrnn", "lmu",
)  # fmt: skip
"""Between them: one product to several a step, of one width or several, added to; kernels by units, by rows, walking;
steps without products; values that go back several steps; constant arrays."""
MANY, FEW = 18, 5
"""More samples than the 16 that a block multiplies with at once; and so few that products are handed on from step to
step in shared memory. Cases of as many samples share their kernels."""
KINDS = {
    "many": Kind("many", 3, MANY, lengths=tuple(k % 4 for k in range(MANY))),
    "many, own start": Kind("many, own start", 2, MANY, given=False),
    "few": Kind("few", 4, FEW, lengths=(4, 1, 2, 0, 3)),
    "one step": Kind("one step", 1, FEW),
}
WAYS = [*(("persistent", kind) for kind in KINDS), ("block", "many"), ("block", "many, own start")]
LIMITS = {"float64": TOLERANCES["float64"].limit, "float32": TOLERANCES["float32"].limit * FLOAT32_ULP}

text = functools.cache(lambda name: source(symcell.load(name), "cupy"))
numpy_module = functools.cache(lambda name: symcell.compile(name, "numpy"))


@functools.cache
def module(name: str, strategy: str, device: Device | None = None, **how: Any) -> types.ModuleType:
    """A cell's emulated module with a strategy of its own. ``how`` it is loaded: ``order``, ``races``."""
    made = load(text(name), name, device=device or DEVICES[strategy], **how)
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    return made


@functools.cache
def wanted(name: str, kind: str) -> tuple[Case, Result]:
    case = random_case(symcell.load(name), KINDS[kind])
    return case, targets.run(numpy_module(name), case, "float64")


def agree(found: Result, expected: Result, limit: float) -> None:
    """Every tensor of two results, outputs, last states and gradients."""
    for group, values in ((expected.values(), found.values()), (expected.gradients(), found.gradients())):
        assert values.keys() == group.keys()
        for tensor, value in group.items():
            apart = error(values[tensor], value, scale_of(value, group))
            assert apart <= limit, f"{tensor}: {apart:.1e} off\n{values[tensor]}\nwanted\n{value}"


def same(found: Result, expected: Result) -> None:
    for tensor, value in expected.tensors().items():
        assert_array_equal(found.tensors()[tensor], value, err_msg=tensor)


def run(made: types.ModuleType, case: Case, dtype: str = "float64") -> Result:
    """A case forward and backward; no stage of a step may be a launch of its own."""
    asked = []
    ask = made._run_steps

    def watched(name: str, *arguments: Any) -> list[int]:
        left: list[int] = ask(name, *arguments)
        asked.append((name, left))
        return left

    made._run_steps = watched  # type: ignore[attr-defined]
    try:
        return targets.run(made, case, dtype)
    finally:
        made._run_steps = ask  # type: ignore[attr-defined]
        assert asked == [("forward_steps", []), ("backward_steps", [])]


# numbers


@pytest.mark.parametrize(("strategy", "kind"), WAYS)
@pytest.mark.parametrize("name", CELLS)
def test_equals_numpy(name: str, strategy: str, kind: str) -> None:
    case, expected = wanted(name, kind)
    agree(run(module(name, strategy), case), expected, LIMITS["float64"])


@pytest.mark.parametrize("name", CELLS)
def test_nothing_crosses_to_the_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without lengths nothing is copied between host and device inside a sweep: the host would wait."""
    case, made = wanted(name, "one step")[0], module(name, "persistent")
    send = functools.partial(targets.to_device, made, dtype="float64")
    params, *_ = targets.forward(made, case, "float64")
    x = {input_: send(value) for input_, value in case.x.items()}
    state = {carried: send(targets.outside(value)) for carried, value in case.state.items()}
    dlast = {carried: send(targets.outside(value)) for carried, value in case.dlast.items()}
    dy = send(case.dy)

    def refused(*_: object, **__: object) -> None:
        pytest.fail("a copy between host and device")

    for function in ("array", "asarray", "asnumpy"):
        monkeypatch.setattr(made.cp, function, refused)
    _, _, tape = made.forward(params, x if len(x) > 1 else next(iter(x.values())), state)
    made.backward(params, tape, dy, dlast)


@pytest.mark.parametrize("strategy", SHARINGS)
@pytest.mark.parametrize("name", ["lstm", "layernorm_lstm"])
def test_float32(name: str, strategy: str) -> None:
    case, expected = wanted(name, "many")
    found = run(module(name, strategy), case, "float32")
    assert {v.dtype for v in found.tensors().values()} == {np.dtype("float32")}
    agree(found, expected, LIMITS["float32"])


@pytest.mark.parametrize("sizes", [1, 4, 33])
def test_sizes(sizes: int) -> None:
    """Fewer units than blocks; rows that begin where four numbers can be read at once, or do not; a last part that is
    smaller; more to sum over than the lanes of a warp read at once."""
    cell = symcell.load("projected_lstm")
    case = random_case(cell, Kind("sizes", 2, 2), sizes=dict.fromkeys(cell.sizes, sizes), scale=0.5)
    made = module(cell.name, "persistent", Device(multiprocessors=3))
    agree(run(made, case), targets.run(numpy_module(cell.name), case, "float64"), 1e-11)


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-11), ("float32", 1e-4)])
def test_weights_in_registers(dtype: str, limit: float) -> None:
    """Where shared memory has no room for all of a slice."""
    cell = symcell.load("rnn")
    case = random_case(cell, Kind("registers", 3, 5, lengths=(3, 1, 2, 0, 3)), sizes={"D": 4, "H": 96}, scale=0.2)
    made = module("rnn", "persistent", replace(DEVICES["persistent"], shared_per_block_optin=20000))
    for sweep in made.STEPS:
        (product,) = made._shares("persistent", made._work(sweep, case.sizes), 5, dtype, 0).products
        assert product.held > 0
    agree(run(made, case, dtype), targets.run(numpy_module("rnn"), case, "float64"), limit)


@pytest.mark.parametrize(("name", "batch"), [("lstm", 1), ("lstm", 3), ("lmu", 5)])
def test_groups_of_samples(name: str, batch: int) -> None:
    """Up to two groups of blocks, each with samples of its own, in clusters; lanes share samples in several ways."""
    case = random_case(symcell.load(name), Kind("groups", 3, batch, lengths=(3, 1, 2, 0, 3)[:batch]))
    found = run(module(name, "persistent", Device(multiprocessors=4)), case)
    agree(found, targets.run(numpy_module(name), case, "float64"), LIMITS["float64"])


def test_samples_of_the_last_group() -> None:
    """Of four blocks for five samples three are enough: with two, two and one."""
    case = random_case(symcell.load("lstm"), Kind("groups", 3, 5))
    found = run(module("lstm", "block", Device(multiprocessors=4)), case)
    agree(found, targets.run(numpy_module("lstm"), case, "float64"), LIMITS["float64"])


@pytest.mark.parametrize("name", ["lstm", "lmu"])
def test_products_on_matrix_units(name: str) -> None:
    """Numbers are rounded to 10 bits of fraction: results are near, and not as near as without."""
    case, expected = wanted(name, "few")
    made = load(text(name), name, device=DEVICES["persistent"])
    made.STRATEGY, made.TF32 = "persistent", True  # type: ignore[attr-defined]
    found = run(made, case, "float32")
    agree(found, expected, 1e-2)
    with pytest.raises(AssertionError, match="off"):
        agree(found, expected, LIMITS["float32"])
    agree(run(made, case, "float64"), expected, LIMITS["float64"])


# order


@pytest.mark.parametrize(("name", "kind"), [*((name, "few") for name in CELLS), ("layernorm_lstm", "many")])
def test_nothing_races(name: str, kind: str) -> None:
    """Whatever runs first: accesses that nothing orders are an error of the emulator."""
    run(module(name, "persistent", races=True), wanted(name, kind)[0])


@pytest.mark.parametrize("name", ["lstm", "layernorm_lstm", "lmu", "deltanet"])
def test_results_depend_on_no_order(name: str) -> None:
    """To the last bit: run again, and with threads and blocks started otherwise."""
    case, _ = wanted(name, "many")
    first = run(module(name, "persistent"), case)
    for order in ("forward", "reversed", 0):
        same(run(module(name, "persistent", order=order), case), first)


def test_kernels_are_compiled_once_for_all_lengths() -> None:
    made = module("lstm", "persistent")
    run(made, wanted("lstm", "one step")[0])
    run(made, wanted("lstm", "many")[0])
    before = made._steps_kernel.cache_info().misses
    for kind in KINDS:
        run(made, wanted("lstm", kind)[0])
    assert made._steps_kernel.cache_info().misses == before


# what forward and backward may leave out


@pytest.mark.parametrize("strategy", SHARINGS)
@pytest.mark.parametrize("name", ["lstm", "layernorm_lstm", "narx", "deltanet"])
def test_without_a_tape(name: str, strategy: str) -> None:
    made = module(name, strategy)
    case, _ = wanted(name, "many")
    _, y, last, tape = targets.forward(made, case, "float64", keep_tape=False)
    _, y_taped, last_taped, _ = targets.forward(made, case, "float64")
    assert tape is None
    assert_array_equal(targets.to_host(made, y), targets.to_host(made, y_taped))
    for state in last:
        assert_array_equal(targets.to_host(made, last[state]), targets.to_host(made, last_taped[state]))


@pytest.mark.parametrize("strategy", SHARINGS)
@pytest.mark.parametrize("name", ["lstm", "lmu"])
def test_gradients_by_inputs_may_be_left_out(name: str, strategy: str) -> None:
    made = module(name, strategy)
    case, _ = wanted(name, "many")
    params, _, _, tape = targets.forward(made, case, "float64")
    dy = targets.to_device(made, case.dy)
    every, some = made.backward(params, tape, dy), made.backward(params, tape, dy, need_x=False)
    assert some.x is None
    assert_array_equal(targets.to_host(made, some.params.flat), targets.to_host(made, every.params.flat))
    for state, value in every.state.items():
        assert_array_equal(targets.to_host(made, some.state[state]), targets.to_host(made, value))


@pytest.mark.parametrize("kind", [Kind("no steps", 0, 2), Kind("no samples", 3, 0), Kind("all", 2, 2, lengths=(0, 0))])
@pytest.mark.parametrize("strategy", SHARINGS)
def test_nothing_to_do_is_no_launch(strategy: str, kind: Kind) -> None:
    """Nor is there anything to compile a kernel for."""
    case = random_case(symcell.load("lstm"), kind)
    made = load(text("lstm"), "lstm", device=DEVICES[strategy])
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    same(targets.run(made, case, "float64"), targets.run(numpy_module("lstm"), case, "float64"))
    assert made._steps_kernel.cache_info().misses == 0


# how a strategy is chosen


@pytest.mark.parametrize("strategy", SHARINGS)
def test_a_device_without_room_says_so(strategy: str) -> None:
    case, _ = wanted("lstm", "one step")
    small = replace(DEVICES[strategy], shared_per_block_optin=1000)
    message = rf"STRATEGY: {strategy} needs \d+ bytes of shared memory in a block, which has \d+"
    with pytest.raises(RuntimeError, match=message):
        targets.run(module("lstm", strategy, small), case, "float64")


def test_room_for_what_sums_over_a_row_take() -> None:
    """Threads that meet over a row have shared memory of their own, besides what a launch asks for."""
    case, expected = wanted("layernorm_lstm", "one step")

    def with_room(size: int) -> types.ModuleType:
        return module("layernorm_lstm", "block", replace(DEVICES["block"], shared_per_block_optin=size))

    with pytest.raises(RuntimeError, match="STRATEGY: block needs") as refused:
        targets.run(with_room(1000), case, "float64")
    needed = int(re.findall(r"needs (\d+) bytes", str(refused.value))[0])
    with pytest.raises(RuntimeError, match=f"needs {needed} bytes of shared memory in a block, which has {needed - 1}"):
        targets.run(with_room(needed - 1), case, "float64")
    agree(run(with_room(needed), case), expected, LIMITS["float64"])


def test_blocks_that_cannot_wait_for_each_other_are_no_strategy() -> None:
    case, _ = wanted("lstm", "one step")
    with pytest.raises(RuntimeError, match="STRATEGY: persistent"):
        targets.run(module("lstm", "persistent", Device(cooperative=False, capability=(7, 5))), case, "float64")


def test_an_unknown_strategy() -> None:
    case, _ = wanted("lstm", "one step")
    made = load(text("lstm"), "lstm")
    made.STRATEGY = "quick"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"STRATEGY: expected one of auto, plain, .*, graph, got 'quick'"):
        targets.run(made, case, "float64")


def test_compile_sets_a_strategy() -> None:
    made = symcell.compile("lstm", "cupy", emulate=True, strategy="persistent")
    assert made.STRATEGY == "persistent"
    assert symcell.compile("lstm", "cupy", emulate=True).STRATEGY == "auto"
    with pytest.raises(ValueError, match=r"strategy: expected one of auto, plain, .*, graph, got 'quick'"):
        symcell.compile("lstm", "cupy", emulate=True, strategy="quick")
    for target in ("numpy", "c"):
        with pytest.raises(ValueError, match=f"strategy: only modules of the target cupy have one, got '{target}'"):
            symcell.compile("lstm", target, strategy="plain")


def launches(made: types.ModuleType, case: Case) -> int:
    """How many kernels of all steps a case is run by."""
    before = made._steps_kernel.cache_info()
    targets.run(made, case, "float64")
    after = made._steps_kernel.cache_info()
    return int(after.hits + after.misses - before.hits - before.misses)


def test_auto_takes_one_launch_where_it_can() -> None:
    """Stage by stage where blocks cannot wait for each other and a block alone has no room."""
    case, expected = wanted("lstm", "one step")
    small = Device(cooperative=False, shared_per_block_optin=1000)
    for device, count in ((Device(multiprocessors=2), 2), (small, 0)):
        made = module("lstm", "auto", device)
        assert launches(made, case) == count
        agree(targets.run(made, case, "float64"), expected, LIMITS["float64"])


def test_plain_is_never_one_launch() -> None:
    assert launches(module("lstm", "plain", DEVICES["persistent"]), wanted("lstm", "one step")[0]) == 0


# faults: each is a race, or else gives wrong results


def noticed(name: str, part: str, fault: Callable[[str], str], kind: str = "few") -> bool:
    """Whether the emulator complains, or results are wrong. ``part``: what of the module's CUDA has the fault: a
    kernel, or what all of them call."""
    case, expected = wanted(name, kind)
    made = load(text(name), name, device=DEVICES["persistent"], races=True)
    made.STRATEGY = "persistent"  # type: ignore[attr-defined]
    before = made.SHARING if part == "SHARING" else made.STEPS[part]
    after = fault(before)
    assert after != before
    if part == "SHARING":
        made.SHARING = after  # type: ignore[attr-defined]
    else:
        made.STEPS[part] = after
    try:
        agree(run(made, case), expected, LIMITS["float64"])
    except (AssertionError, KernelError):
        return True
    return False


def without(code: str, what: str) -> list[Callable[[str], str]]:
    """Faults: each leaves out one of the places where ``what`` stands in a kernel."""
    spans = [found.span() for found in re.finditer(re.escape(what), code)]
    return [lambda text, start=start, stop=stop: text[:start] + text[stop:] for start, stop in spans]


@pytest.mark.parametrize("sweep", ["forward_steps", "backward_steps"])
def test_every_meeting_is_needed(sweep: str) -> None:
    faults = without(module("highway", "persistent").STEPS[sweep], "meet(meeting, goal);")
    assert len(faults) == 3
    for k, fault in enumerate(faults):
        assert noticed("highway", sweep, fault), k


@pytest.mark.parametrize("sweep", ["forward_steps", "backward_steps"])
def test_sums_wait_for_all_warps(sweep: str) -> None:
    """Behind a product, threads add up what other warps have."""
    product = r"(PRODUCT_\d+::multiply\([^;]*;\n) *__syncthreads\(\);"
    for name in ("lstm", "projected_lstm"):
        assert noticed(name, sweep, lambda code: re.sub(product, r"\1", code, count=1)), name


def test_weights_wait_for_all_threads() -> None:
    """Before the first step, in which a product comes first."""
    loop = re.compile(r"^    __syncthreads\(\);\n((?:    //.*\n)*    for)", re.MULTILINE)
    assert noticed("lstm", "forward_steps", lambda code: loop.sub(r"\1", code))


@pytest.mark.parametrize("name", ["lstm", "gru_original", "lmu"])
def test_a_part_is_not_one_unit_wider(name: str) -> None:
    """Units would be computed twice, by blocks that do not wait for each other."""
    end = "(number + 1) * part_of(units), units"
    assert noticed(name, "SHARING", lambda code: code.replace(end, end.replace(",", " + 1,")))


def test_no_fault_is_not_noticed() -> None:
    assert not noticed("lstm", "forward_steps", lambda code: code + "\n")
