"""Steps that graphs launch, emulated: against NumPy's module and the kernel that runs all steps; and what a module
keeps of graphs from call to call."""

from __future__ import annotations

import functools
import gc
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import symcell
from symcell.emulate import Device, graphs, load, raw, streams
from symcell.pipeline import source
from symcell.predict import device
from symcell.verify import targets
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case
from symcell.verify.tolerances import FLOAT32_ULP, TOLERANCES, error, scale_of

REASON = targets.emulator_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

PARTS = 3
"""Blocks that share units: more than a rule made for many units would have."""
DEVICES = {count: Device(multiprocessors=count, cooperative=False, capability=(8, 0)) for count in (2, 6)}
"""Where no kernel may wait for another block: two multiprocessors for three blocks, and six for two groups of these."""
CELLS = ("lstm", "gru", "gru_original", "layernorm_lstm", "mlstm")
"""One launch a step and two; the last part of a step with the next one's first, or not; kernels that share rows."""
OTHERS = tuple(name for name in symcell.names() if name not in CELLS)
KINDS = {
    "many": Kind("many", 3, 18, lengths=tuple(k % 4 for k in range(18))),
    "few": Kind("few", 4, 5, lengths=(4, 1, 2, 0, 3)),
}

text = functools.cache(lambda name: source(symcell.load(name), "cupy"))
numpy_module = functools.cache(lambda name: symcell.compile(name, "numpy"))


def fresh(name: str, count: int = 2, parts: int = PARTS, **how: Any) -> types.ModuleType:
    """A cell's emulated module on so many multiprocessors; ``how`` it is loaded."""
    made: Any = load(text(name), name, **{"device": DEVICES[count], **how})
    made.STRATEGY = "graph"
    made._in_graph = lambda *given: made._by_nodes(parts, *given)
    return made  # type: ignore[no-any-return]


module = functools.cache(fresh)


@functools.cache
def persistent(name: str) -> types.ModuleType:
    """The module that runs all steps in one launch, of as many parts."""
    made = load(text(name), name, device=Device(multiprocessors=PARTS, capability=(8, 0)))
    made._shared_by = functools.partial(only, made._shared_by)  # type: ignore[attr-defined]
    made.STRATEGY = "persistent"  # type: ignore[attr-defined]
    return made


def only(shared_by: Callable[..., Iterator[Any]], parts: int, *given: Any) -> Iterator[Any]:
    yield from shared_by(parts, *given) if parts == PARTS else ()


@functools.cache
def wanted(name: str, kind: Kind) -> tuple[Case, Result]:
    case = random_case(symcell.load(name), kind)
    return case, targets.run(numpy_module(name), case, "float64")


def agree(found: Result, expected: Result, limit: float = TOLERANCES["float64"].limit) -> None:
    for group, values in ((expected.values(), found.values()), (expected.gradients(), found.gradients())):
        for tensor, value in group.items():
            apart = error(values[tensor], value, scale_of(value, group))
            assert apart <= limit, f"{tensor}: {apart:.1e} off"


def same(found: Result, expected: Result) -> None:
    for tensor, value in expected.tensors().items():
        assert_array_equal(found.tensors()[tensor], value, err_msg=tensor)


@pytest.fixture
def lstm() -> types.ModuleType:
    """A module without graphs; its kernels are compiled once for all tests that ask for few samples."""
    return fresh("lstm")


# numbers


@pytest.mark.parametrize(("kind", "count"), [("many", 6), ("few", 2)])
@pytest.mark.parametrize("name", [*CELLS, *(pytest.param(name, marks=pytest.mark.whole) for name in OTHERS)])
def test_equals_numpy(name: str, kind: str, count: int) -> None:
    case, expected = wanted(name, KINDS[kind])
    agree(targets.run(module(name, count), case, "float64"), expected)


@pytest.mark.parametrize("name", ["lstm", "layernorm_lstm"])
def test_equals_the_one_launch_to_the_last_bit(name: str) -> None:
    """Blocks sum in the same order wherever their weights lie."""
    case, _ = wanted(name, KINDS["few"])
    once = persistent(name)
    same(targets.run(module(name), case, "float64"), targets.run(once, case, "float64"))


def test_float32(lstm: types.ModuleType) -> None:
    case, expected = wanted("lstm", KINDS["few"])
    found = targets.run(lstm, case, "float32")
    assert {value.dtype for value in found.tensors().values()} == {np.dtype("float32")}
    agree(found, expected, TOLERANCES["float32"].limit * FLOAT32_ULP)


def test_16_bits(lstm: types.ModuleType) -> None:
    """Weights are rounded once, and held as they are computed with: the bits are those of the one launch."""
    pytest.importorskip("ml_dtypes")
    case, _ = wanted("lstm", KINDS["few"])
    once = persistent("lstm")
    found = targets.run(lstm, case, "bfloat16")
    assert {value.dtype.name for value in found.tensors().values()} == {"bfloat16"}
    same(found, targets.run(once, case, "bfloat16"))


def test_products_on_matrix_units(lstm: types.ModuleType) -> None:
    """Blocks then have rounded weights in memory: results are near, and not as near as without."""
    case, expected = wanted("lstm", KINDS["few"])
    lstm.TF32 = True  # type: ignore[attr-defined]
    found = targets.run(lstm, case, "float32")
    agree(found, expected, 1e-2)
    with pytest.raises(AssertionError, match="off"):
        agree(found, expected, TOLERANCES["float32"].limit * FLOAT32_ULP)


@pytest.mark.parametrize("name", ["lstm", "layernorm_lstm"])
def test_nothing_races_within_a_launch(name: str) -> None:
    targets.run(module(name, 2, races=True), wanted(name, KINDS["few"])[0], "float64")


# one graph for all


class Counts:
    """What the host launches: kernels by name, and graphs."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.kernels: list[str] = []
        self.graphs = 0
        launch, call = graphs.Graph.launch, raw.RawKernel.__call__

        def launched(graph: graphs.Graph, stream: Any = None) -> None:
            self.graphs += 1
            launch(graph, stream)

        def called(kernel: raw.RawKernel, *args: Any, **more: Any) -> None:
            if "_steps" in kernel.name:
                self.kernels.append(kernel.name)
            call(kernel, *args, **more)

        patch.setattr(graphs.Graph, "launch", launched)
        patch.setattr(raw.RawKernel, "__call__", called)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    return Counts(monkeypatch)


def test_one_graph_serves_all_lengths_and_addresses(lstm: types.ModuleType, counts: Counts) -> None:
    """Also fewer steps than it has, as many and more; and other numbers, at other places, every time."""
    for steps in (20, 1, 16, 3, 17, 20):
        agree(*reversed(run_and_wanted(lstm, Kind("steps", steps, 5))))
    captured = [name for name in counts.kernels if not name.endswith("_begin")]
    once = ["forward_steps_leg_1"] * 16 + ["forward_steps_end"]
    assert captured == once + [name.replace("forward", "backward") for name in once]


def run_and_wanted(made: types.ModuleType, kind: Kind) -> tuple[Result, Result]:
    case = random_case(symcell.load("lstm"), kind)
    return targets.run(numpy_module("lstm"), case, "float64"), targets.run(made, case, "float64")


def test_the_host_launches_little(lstm: types.ModuleType, counts: Counts) -> None:
    """A kernel that says what the call is about, and a graph for 16 steps; of backward there is one turn more."""
    run_and_wanted(lstm, Kind("steps", 3, 5))
    counts.kernels, counts.graphs = [], 0
    for steps, launches in ((16, 1 + 2), (32, 2 + 3), (33, 3 + 3)):
        run_and_wanted(lstm, Kind("steps", steps, 5))
        assert (counts.kernels, counts.graphs) == (["forward_steps_begin", "backward_steps_begin"], launches)
        counts.kernels, counts.graphs = [], 0


def test_nothing_crosses_to_the_host(lstm: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(symcell.load("lstm"), Kind("few", 4, 5))
    params, _, _, _ = targets.forward(lstm, case, "float64")
    x, dy = targets.to_device(lstm, case.x["x"]), targets.to_device(lstm, case.dy)

    def refused(*_: object, **__: object) -> None:
        pytest.fail("a copy between host and device")

    for function in ("array", "asarray", "asnumpy"):
        monkeypatch.setattr(lstm.cp, function, refused)
    _, _, tape = lstm.forward(params, x)
    lstm.backward(params, tape, dy)


FAULTS = {
    "steps are not counted": ("call->done += turns;", ""),
    "all blocks have the first one's weights": ("const weights = call->packed + (long long)me.number * PACKED;",
                                                "const weights = call->packed;"),
    "a step's last part is that of another": ("steps - 1 - (done - 1)", "steps - 1 - (done > 1 ? done - 2 : 0)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_noticed(lstm: types.ModuleType, fault: str) -> None:
    case = random_case(symcell.load("lstm"), Kind("steps", 18, 5))
    expected = targets.run(numpy_module("lstm"), case, "float64")
    right, wrong = FAULTS[fault]
    assert any(right in source for source in lstm.GRAPHS.values())
    lstm.GRAPHS = {name: source.replace(right, wrong) for name, source in lstm.GRAPHS.items()}  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="off"):
        agree(targets.run(lstm, case, "float64"), expected)


# what is kept of graphs


def test_two_threads_have_graphs_of_their_own(lstm: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has written what its call is about before one of them launches a graph."""
    kinds = [Kind("steps", steps, 5) for steps in (7, 20)]
    cases = [random_case(symcell.load("lstm"), kind) for kind in kinds]
    expected = [targets.run(numpy_module("lstm"), case, "float64") for case in cases]
    together = threading.Barrier(2)
    launch = graphs.Graph.launch
    here = threading.local()

    def met(graph: graphs.Graph, stream: Any = None) -> None:
        if id(graph) not in here.__dict__.setdefault("seen", set()):
            here.seen.add(id(graph))
            together.wait(60)
        launch(graph, stream)

    monkeypatch.setattr(graphs.Graph, "launch", met)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda case: targets.run(lstm, case, "float64"), cases))
    for one, other in zip(found, expected, strict=True):
        agree(one, other)
    monkeypatch.setattr(graphs.Graph, "launch", launch)
    recorded = kept(lstm)
    assert sorted(recorded) == [2, 2]
    agree(targets.run(lstm, cases[0], "float64"), expected[0])
    assert kept(lstm) == recorded


def kept(made: types.ModuleType) -> list[int]:
    """How many graphs wait for a call, by sweep of five samples."""
    found = []
    for name in ("forward_steps", "backward_steps"):
        work = made._work(name, random_case(symcell.load("lstm"), KINDS["few"]).sizes)
        shares = made._shares("graph", work, 5, "float64", 0)
        found.append(len(made._recorded(name, shares, "float64", 0)))
    return found


def test_a_graph_waits_for_who_had_it_before(lstm: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever stream that was: calls are ordered by an event."""
    waited = []
    wait = streams.Stream.wait_event

    def watched(stream: streams.Stream, event: streams.Event) -> None:
        waited.append((stream, event))
        wait(stream, event)

    monkeypatch.setattr(streams.Stream, "wait_event", watched)
    case, expected = wanted("lstm", KINDS["few"])
    other = lstm.cp.cuda.Stream(non_blocking=True)
    agree(targets.run(lstm, case, "float64"), expected)
    with other:
        agree(targets.run(lstm, case, "float64"), expected)
    assert [stream for stream, _ in waited] == [streams.Stream.null] * 2 + [other] * 2
    assert [event for _, event in waited[:2]] == [event for _, event in waited[2:]]
    assert all(event.time > 0 for _, event in waited)


def test_what_is_kept_is_bounded(lstm: types.ModuleType) -> None:
    """By sweep, sizes, type and device; and, of one of these, for as many calls at a time."""

    class Recorded:
        pass

    first = Recorded()
    lstm._recorded("first", None, "float32", 0).append(first)
    gone = weakref.ref(first)
    del first
    for k in range(40):
        unused = lstm._recorded(str(k), None, "float32", 0)
        unused.extend(Recorded() for _ in range(10))
        assert len(unused) == 4
    assert lstm._recorded.cache_info().currsize == 16
    gc.collect()
    assert gone() is None


@pytest.fixture
def nothing_captures() -> Iterator[None]:
    yield
    assert not streams._capturing


@pytest.mark.usefixtures("nothing_captures")
@pytest.mark.parametrize("place", ["structure", "capture", "graph", "weights"])
def test_out_of_memory_leaves_a_usable_module(
    lstm: types.ModuleType, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Wherever it happens: no graph that is half of one is kept, and no stream captures on."""
    case, expected = wanted("lstm", KINDS["few"])
    call, calls = raw.RawKernel.__call__, []
    if place == "weights":  # with a graph in hand, which is dropped
        targets.run(lstm, case, "float64")

    def out(*_: Any, **__: Any) -> Any:
        raise lstm.cp.cuda.memory.OutOfMemoryError(1, 2)

    def third(kernel: raw.RawKernel, *args: Any, **more: Any) -> None:
        calls.extend([kernel] if streams.current_stream().is_capturing() else [])
        out() if len(calls) == 3 else call(kernel, *args, **more)

    where = {"structure": (lstm.cp.cuda, "Memory", out), "capture": (raw.RawKernel, "__call__", third),
             "graph": (graphs.Graph, "of", out), "weights": (lstm, "_image", out)}  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(*where[place])
        with pytest.raises(MemoryError, match="Out of memory allocating"):
            targets.run(lstm, case, "float64")
    assert kept(lstm) == [0, int(place == "weights")]
    agree(targets.run(lstm, case, "float64"), expected)
    assert kept(lstm) == [1, 1]


# when


@pytest.mark.parametrize(("name", "batch", "units", "waits"), [
    ("gru_original", 1, 2048, "graph"), ("lstm", 16, 512, "grid"), ("lstm", 64, 2048, None),
])  # fmt: skip
def test_auto_takes_graphs_where_launches_one_by_one_are_slow(
    name: str, batch: int, units: int, waits: str | None
) -> None:
    """On an H100: what does not fit on chip and has many launches; not what one kernel does, nor large products."""
    made = load(text(name), name, device=device("h100").stand_in())
    work = made._work("forward_steps", dict.fromkeys(made.SIZES, units))
    shares = made._shares("auto", work, batch, "float32", 0)
    assert (shares and shares.waits) == waits


def test_a_device_without_room_says_so() -> None:
    case, _ = wanted("lstm", KINDS["few"])
    small = load(text("lstm"), "lstm", device=Device(shared_per_block_optin=600))
    small.STRATEGY = "graph"  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="STRATEGY: graph needs more bytes of shared memory than a block has, 600"):
        targets.run(small, case, "float64")


def test_no_steps_and_no_samples(lstm: types.ModuleType) -> None:
    """Are no graph."""
    for kind in (Kind("no steps", 0, 2), Kind("no samples", 3, 0), Kind("all", 2, 2, lengths=(0, 0))):
        case = random_case(symcell.load("lstm"), kind)
        same(targets.run(lstm, case, "float64"), targets.run(numpy_module("lstm"), case, "float64"))
    assert lstm._recorded.cache_info().misses == 0
