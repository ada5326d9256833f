"""Predictions are the emitted module's own, on the device that is described, and near what was measured."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from statistics import median
from types import ModuleType

import pytest

import symcell
from symcell import emulate
from symcell.predict import (
    CONSTANTS,
    DEVICES,
    STRATEGIES,
    TYPES,
    Forecast,
    Loop,
    Whole,
    device,
    forecasts,
    parts,
    values,
    whole,
)
from symcell.predict.devices import Device
from symcell.predict.report import report
from symcell.program.model import Plan
from symcell.program.partition import runs

H100 = device("h100")


@pytest.fixture(scope="module")
def lstm() -> Plan:
    return symcell.plan("lstm", "cupy")


def sizes(plan: Plan, units: int) -> dict[str, int]:
    return dict.fromkeys(plan.cell.sizes, units)


def forward(plan: Plan, units: int, batch: int, gpu: Device = H100, dtype: str = "float32") -> Forecast:
    return forecasts(plan, gpu, sizes(plan, units), steps=100, batch=batch, dtype=dtype)["forward"]


def loop_of(plan: Plan, units: int, batch: int, gpu: Device = H100) -> Loop:
    (loop,) = forward(plan, units, batch, gpu).loops
    return loop


def module(name: str, gpu: Device = H100) -> ModuleType:
    """An emitted module on a device."""
    return emulate.load(symcell.source(name, "cupy"), name, device=gpu.stand_in())


# what is predicted is what the module does


@pytest.mark.parametrize(("gpu", "batch", "units"), [("h100", 16, 128), ("a100", 64, 512), ("rtx4090", 256, 1024)])
def test_the_module_does_what_is_predicted(lstm: Plan, gpu: str, batch: int, units: int) -> None:
    """Its rule is asked again, for the device that it would find."""
    made = module("lstm", DEVICES[gpu])
    for role, forecast in forecasts(lstm, DEVICES[gpu], sizes(lstm, units), steps=10, batch=batch).items():
        (loop,) = forecast.loops
        work = made._work(f"{role}_steps", sizes(lstm, units))
        shares = made._shares("auto", work, batch, "float32", 0)
        assert loop.work == work
        taken = loop.ways[loop.chosen]
        if shares is None:
            assert loop.chosen == "plain"
        else:
            assert (taken.groups, taken.parts, taken.waits) == (shares.groups, shares.parts, shares.waits)
            shared = made._image(shares, 4)[3] if loop.chosen == "graph" else shares.places(4)[1]
            assert taken.shared == shared <= DEVICES[gpu].shared
        measured = (way for name, way in loop.ways.items() if name != "graph" or name == loop.chosen)
        assert taken.step == min(way.step for way in measured if way.step is not None)


def test_devices_differ_in_what_they_can_do(lstm: Plan) -> None:
    """Clusters from 9.0 on; a small shared memory takes more blocks; without cooperation none share units."""
    assert loop_of(lstm, 128, 16).ways["persistent"].waits == "cluster"
    assert loop_of(lstm, 128, 16, DEVICES["a100"]).ways["persistent"].waits == "grid"
    parts = [loop_of(lstm, 768, 256, gpu).ways["persistent"].parts for gpu in (H100, replace(H100, shared=99 << 10))]
    assert 0 < parts[0] < parts[1]
    alone = loop_of(lstm, 512, 16, replace(H100, cooperative=False))
    assert alone.chosen == "graph"
    assert alone.ways["persistent"].refused == "persistent needs a device of cooperative launches"


def test_why_a_strategy_does_not_fit(lstm: Plan) -> None:
    ways = loop_of(lstm, 2048, 16, DEVICES["rtx4090"]).ways
    assert ways["persistent"].step is None
    assert re.fullmatch(r"persistent needs 3\d{5} bytes of shared memory in a block, which has 101376",
                        ways["persistent"].refused)  # fmt: skip
    assert loop_of(lstm, 2048, 16).ways["block"].refused == "block needs more registers than a block has"
    assert forward(lstm, 2048, 16, DEVICES["rtx4090"]).total("persistent") is None


@pytest.mark.parametrize(
    ("text", "meetings"),
    [
        ("h[t] = tanh(W @ x[t] + U @ h[t-1])", 1),
        ("r[t] = sigmoid(V @ h[t-1])\nh[t] = tanh(W @ x[t] + U @ (r[t] * h[t-1]))", 2),
        ("h[t] = tanh(W @ x[t] + u * h[t-1])", 0),
    ],
    ids=["one product", "a gate before the product", "elementwise"],
)
def test_blocks_meet_where_the_partition_says(text: str, meetings: int) -> None:
    plan = symcell.plan(symcell.parse(text, name="small"), "cupy")
    (region,) = [region for region in plan.forward.regions if region.kind == "steps"]
    assert loop_of(plan, 8, 4).work.meetings == meetings == sum(run.meets for run in runs(plan.forward, region))


def test_a_layer_norm_meets_twice_and_takes_its_phases() -> None:
    work = loop_of(symcell.plan("layernorm_lstm", "cupy"), 512, 16).work
    assert (work.meetings, work.launches) == (2, 2)
    assert work.rows == ((512, 1),) * 5, "the row is gone over five times, for its sums"


# the rule


MEASURED = {
    ("lstm", 16, 128): (2.23, 2.55),
    ("lstm", 16, 256): (3.24, 3.29),
    ("lstm", 1, 512): (3.04, 3.77),
    ("lstm", 16, 512): (4.60, 5.63),
    ("lstm", 64, 512): (9.27, 9.03),
    ("lstm", 16, 1024): (9.49, 10.46),
    ("lstm", 256, 512): (33.13, 35.01),
    ("gru", 16, 512): (4.28, 4.37),
    ("rnn", 64, 1024): (8.91, 9.71),
    ("gru_original", 16, 512): (7.3, 6.9),
    ("layernorm_lstm", 16, 512): (14.8, 21.4),
}
"""Microseconds of a step on an H100, forward and backward, in one launch; by cell, B, H."""


def test_the_rule_is_near_what_was_measured() -> None:
    off = {}
    for (name, batch, units), times in MEASURED.items():
        plan = symcell.plan(name, "cupy")
        found = forecasts(plan, H100, sizes(plan, units), steps=1, batch=batch)
        for (role, forecast), time in zip(found.items(), times, strict=True):
            step = forecast.step()
            assert step is not None
            assert forecast.loops[0].chosen != "plain"
            off[name, batch, units, role] = abs(step / time - 1)
    assert median(off.values()) < 0.1, off
    assert max(off.values()) < 0.4, off


@pytest.mark.parametrize(
    ("batch", "units", "times"), [(16, 128, (40, 45)), (256, 1024, (115, 190)), (16, 2048, (80, 85))]
)
def test_launches_are_near_what_was_measured(lstm: Plan, batch: int, units: int, times: tuple[float, float]) -> None:
    found = forecasts(lstm, H100, sizes(lstm, units), steps=1, batch=batch)
    for forecast, time in zip(found.values(), times, strict=True):
        assert forecast.step("plain") == pytest.approx(time, rel=0.2)


def test_more_work_takes_longer(lstm: Plan) -> None:
    for dtype in TYPES:
        for several in ([forward(lstm, 512, batch, dtype=dtype).step() for batch in (1, 16, 64, 256)],
                        [forward(lstm, units, 64, dtype=dtype).step() for units in (256, 512, 768, 1024)]):  # fmt: skip
            assert all(one < other for one, other in pairwise(several) if one and other)
    assert forward(lstm, 512, 64).step() < forward(lstm, 512, 64, dtype="float64").step()


# what runs beside, errors, all cells


def test_the_whole_sequence(lstm: Plan) -> None:
    found = whole(lstm.forward, {"D": 8, "H": 16})
    assert found.flops == 8 * 8 * 16 + 4 * 16, "W @ x of all gates, and their biases"
    assert found.launches == 2
    forecast = forward(lstm, 256, 16)
    assert forecast.total() == pytest.approx((100 * forecast.step() + forecast.besides) / 1e3)
    assert forecast.besides < forward(lstm, 256, 64).besides


def test_16_bits(lstm: Plan) -> None:
    """A step and what runs besides are quicker; what slices of 2048 units take has room on chip; each assumption is
    named."""
    narrow, single = forward(lstm, 768, 16, dtype="float16"), forward(lstm, 768, 16)
    assert narrow.step() < single.step()
    assert narrow.besides < single.besides
    found = forecasts(lstm, H100, sizes(lstm, 2048), steps=1, batch=16, dtype="bfloat16")
    assert {loop.chosen for forecast in found.values() for loop in forecast.loops} == {"persistent"}
    assert "In 16 bits nothing was fitted" in " ".join(
        report(lstm, H100, sizes(lstm, 768), steps=1, batch=16, dtype="float16").split()
    )


def test_what_a_step_does(lstm: Plan) -> None:
    """FLOPs and bytes for all samples, and what all blocks read of the cache, as the report says them."""
    found = forward(lstm, 256, 16, dtype="float16")
    assert found.work.flops == 8 * 256**2 + 58 * 256
    assert found.work.size(4) == 4 * (20 + 60) * 256 // 4
    way = found.loops[0].ways["persistent"]
    assert way.cache == 16 * way.parts * 256 * 2
    text = " ".join(report(lstm, H100, sizes(lstm, 256), steps=1, batch=16, dtype="float16").split())
    assert f"a step: {16 * found.work.flops / 1e6:.3g} MFLOP; {16 * found.work.size(2) / 1e6:.3g} MB read" in text
    assert f"{way.cache / 1e6:.3g} MB read of the cache" in text


@pytest.mark.parametrize(("name", "dtype"), [("lstm", "float32"), ("lstm", "float16"), ("mlstm", "float32")])
def test_what_a_step_is_made_of(name: str, dtype: str) -> None:
    """Each constant's part of it adds up to the step, and those that it does not depend on have none."""
    plan = symcell.plan(name, "cupy")
    found = parts(plan, H100, "forward_steps", sizes(plan, 256), batch=16, dtype=dtype)
    forecast = forecasts(plan, H100, sizes(plan, 256), steps=1, batch=16, dtype=dtype)["forward"]
    assert sum(found.values()) == pytest.approx(forecast.step())
    assert ("PHASE" in found) == (name == "mlstm")
    assert ("UNIT_PRODUCT" in found, "PRODUCT" in found) == (dtype == "float16", (name, dtype) == ("lstm", "float32"))


def test_what_is_not_one_launch_has_no_parts(lstm: Plan) -> None:
    assert parts(lstm, H100, "forward_steps", sizes(lstm, 2048), batch=256, dtype="float32") == {}
    assert values(lstm, H100).keys() == CONSTANTS.keys()


def test_the_goal_of_a_step(lstm: Plan) -> None:
    """Of 16 samples and 768 units in 16 bits: 3 µs on an H100."""
    assert forward(lstm, 768, 16, dtype="float16").step() <= 3


def test_what_stays_wide(lstm: Plan) -> None:
    """Numbers of buffers that are never of 16 bits count as such: half a float32 program's bytes are not enough."""
    made = Whole(flops=0, numbers=10, launches=0, wide=5)
    narrow, single = (made.time(H100, steps=1000, batch=1000, itemsize=n) for n in (2, 4))
    assert narrow / single == pytest.approx((10 * 2 + 5 * 4) / (15 * 4))
    program = symcell.plan("gru", "cupy").programs["backward"]
    found = whole(program, {"D": 8, "H": 16})
    assert found.numbers > 0


def test_what_cannot_be(lstm: Plan) -> None:
    with pytest.raises(ValueError, match=r"device: expected one of t4, a100, .*, got 'h42'"):
        device("h42")
    with pytest.raises(ValueError, match=r"dtype: expected one of float16, bfloat16, float32, float64, got 'int8'"):
        forecasts(lstm, H100, {"D": 1, "H": 1}, steps=1, batch=1, dtype="int8")
    with pytest.raises(ValueError, match="sizes: expected D, H, got H"):
        forecasts(lstm, H100, {"H": 1}, steps=1, batch=1)
    with pytest.raises(ValueError, match="strategy: expected one of auto, plain, block, persistent, graph, got 'fast'"):
        report(lstm, H100, sizes(lstm, 8), steps=1, batch=1, strategy="fast")
    with pytest.raises(RuntimeError, match=r"forward on H100 SXM5 80 GB: persistent needs 3\d{5} bytes"):
        report(lstm, H100, sizes(lstm, 2048), steps=1, batch=16, strategy="persistent")


@pytest.mark.parametrize("name", DEVICES)
def test_every_number_of_a_device_has_a_source(name: str) -> None:
    gpu = DEVICES[name]
    assert set(gpu.sources) == set(Device.__dataclass_fields__) - {"name", "title", "sources"}
    assert all(gpu.sources.values())


@pytest.mark.parametrize("name", symcell.names())
def test_every_cell_has_a_forecast(name: str) -> None:
    plan = symcell.plan(name, "cupy")
    text = report(plan, H100, sizes(plan, 64), steps=100, batch=16)
    assert max(map(len, text.splitlines())) <= 80
    for forecast in forecasts(plan, H100, sizes(plan, 64), steps=100, batch=16).values():
        for loop in forecast.loops:
            assert set(loop.ways) == set(STRATEGIES)
        assert 0 < forecast.total() <= forecast.total("plain")
