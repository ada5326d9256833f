"""What a CuPy module says where a device, its driver, its memory or an array is not what it takes: emulated."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import symcell
from symcell.emulate import Device, load
from symcell.emulate.errors import CUDADriverError
from symcell.pipeline import source
from symcell.verify import targets

REASON = targets.emulator_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

STEPS, BATCH, SIZES = 30, 20, {"D": 3, "H": 8}
text = functools.cache(lambda name: source(symcell.load(name), "cupy"))


@functools.cache
def module(name: str = "lstm", **limits: Any) -> types.ModuleType:
    made = load(text(name), name, device=Device(**{"multiprocessors": 2, "count": 2, **limits}))
    made.STRATEGY = "plain"  # type: ignore[attr-defined]
    return made


def arrays(made: types.ModuleType, device: int = 0) -> tuple[Any, Any]:
    """Parameters and an input on a device."""
    x = np.random.default_rng(0).standard_normal((STEPS, BATCH, SIZES["D"]))
    with made.cp.cuda.Device(device):
        return made.init_params(**SIZES), made.cp.asarray(x, "float32")


# arrays on another device


def there(name: str, here: int, found: int) -> str:
    """What is said of an argument."""
    return (
        rf'^{name}: expected an array on the current device, {here}, got one on device {found}; call this within "with '
        rf'cp\.cuda\.Device\({found}\):", or copy the array by cp\.asarray within "with cp\.cuda\.Device\({here}\):"$'
    )


def test_every_argument_is_looked_for_on_the_current_device() -> None:
    made = module()
    params, x = arrays(made)
    h = made.cp.zeros((BATCH, 8), "float32")
    y, _, tape = made.forward(params, x, {"h": h})
    with made.cp.cuda.Device(1):
        params_1, x_1, h_1, y_1 = (*arrays(made, 1), made.cp.asarray(h), made.cp.asarray(y))
    wrong: dict[str, Callable[[], object]] = {
        "params": lambda: made.forward(params_1, x),
        r'params\["W_i"\]': lambda: made.forward(dict(params_1), x),
        "x": lambda: made.forward(params, x_1),
        r'state\["h"\]': lambda: made.forward(params, x, {"h": h_1}),
        "x_t": lambda: made.step(params, x_1[0]),
        "dy": lambda: made.backward(params, tape, y_1),
        r'dlast\["c"\]': lambda: made.backward(params, tape, y, {"c": h_1}),
    }
    for name, call in wrong.items():
        with pytest.raises(ValueError, match=there(name, 0, 1)):
            call()
    with made.cp.cuda.Device(1), pytest.raises(ValueError, match=there("tape", 1, 0)):
        made.backward(params_1, tape, y_1)


def test_constant_arrays_are_looked_for_there_too() -> None:
    made = module("lmu")
    with made.cp.cuda.Device(1):
        cell = symcell.load("lmu")
        sizes = dict.fromkeys(cell.sizes, 3)
        given = {name: made.cp.zeros(made._shape(shape, sizes)) for name, shape in made.CONSTANTS.items()}
        params = made.init_params(**sizes, **given)
    params.flat = made.cp.asarray(params.flat)
    with pytest.raises(ValueError, match=there(rf'params\["{next(iter(given))}"\]', 0, 1)):
        made.forward(params, made.cp.zeros((2, 2, 3), "float32"))


def test_on_another_device_all_is_as_on_the_first() -> None:
    made = module()
    results = []
    for device in (0, 1):
        with made.cp.cuda.Device(device):
            params, x = arrays(made, device)
            y, _, tape = made.forward(params, x)
            grads = made.backward(params, tape, y)
            assert {v.device.id for v in (y, grads.params.flat, grads.x)} == {device}
            results.append([targets.to_host(made, v) for v in (y, grads.params.flat, grads.x)])
    for one, other in zip(*results, strict=True):
        assert_array_equal(one, other)


# arrays of another package


def test_arrays_of_another_package_are_refused_by_name() -> None:
    cupy, numpy = module(), symcell.compile("lstm", "numpy")
    params, x = arrays(cupy)
    for made, own, other in ((cupy, cupy.cp.asarray, np.asarray), (numpy, np.asarray, cupy.cp.asarray)):
        mine = made.init_params(**SIZES)
        given = own(np.zeros((STEPS, BATCH, 3), "float32"))
        foreign = other(np.zeros((STEPS, BATCH, 3), "float32"))
        state = other(np.zeros((BATCH, 8), "float32"))
        y, _, tape = made.forward(mine, given)
        wrong: dict[str, Callable[[], object]] = {
            r'params\["W_i"\]': functools.partial(made.forward, dict(mine) | {"W_i": other(np.zeros((8, 3)))}, given),
            "x": functools.partial(made.forward, mine, foreign),
            r'state\["c"\]': functools.partial(made.forward, mine, given, {"c": state}),
            "dy": functools.partial(made.backward, mine, tape, other(np.zeros(y.shape, "float32"))),
            r'dlast\["h"\]': functools.partial(made.backward, mine, tape, y, {"h": state}),
        }
        kind = type(foreign).__module__.partition(".")[0]
        for name, call in wrong.items():
            with pytest.raises(TypeError, match=rf"^{name}: expected a .*array.*, got {kind}\.ndarray$"):
                call()
    with pytest.raises(TypeError, match=r'^params\["b_i"\]: expected a CuPy array \(cp.asarray makes one\), got numpy'):
        params["b_i"] = np.zeros(8)
    params["b_i"] = 0
    lengths = cupy.cp.asarray(np.full(BATCH, 2))
    with pytest.raises(TypeError, match=r"^lengths: expected integers, got cupy\.ndarray"):
        numpy.forward(numpy.init_params(**SIZES), np.zeros((STEPS, BATCH, 3), "float32"), lengths=lengths)
    one, other = (cupy.forward(params, x, lengths=found)[0] for found in (lengths, np.full(BATCH, 2)))
    assert_array_equal(targets.to_host(cupy, one), targets.to_host(cupy, other))


# no device


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"count": 0}, "got none: none is visible; see what nvidia-smi lists, and CUDA_VISIBLE_DEVICES. cudaErrorNo"),
        ({"driver": 0}, "got none: there is no driver of NVIDIA's; without one, the modules of this cell for NumPy"),
        ({"driver": 12080}, "got none: the driver is for CUDA 12.8, and this CuPy for 13.0; update the driver, or "
                            "install cupy-cuda12x in its place. cudaErrorInsufficientDriver"),
        ({"capability": (6, 1)}, "device 0: expected compute capability 7.0, got 6.1; work on another device"),
    ],
)  # fmt: skip
def test_a_device_that_cannot_run_anything(limits: dict[str, Any], message: str) -> None:
    """A module can be imported all the same."""
    made = module(**limits)
    with pytest.raises(RuntimeError) as error:
        made.init_params(**SIZES)
    assert message in str(error.value)


def test_a_newer_driver_serves() -> None:
    """And an older one of the same major version."""
    for driver in (13000, 13020, 14000):
        module(driver=driver, toolkit=13010).init_params(**SIZES)


# memory


@pytest.fixture
def limited() -> Iterator[Callable[[int], Any]]:
    """Leaves so many bytes of memory besides what is in use."""
    pool = module().cp.get_default_memory_pool()

    def leave(size: int) -> Any:
        pool.set_limit(pool.used_bytes() + size)
        return pool

    yield leave
    pool.set_limit(0)


def test_too_little_memory_says_what_needs_less(limited: Any) -> None:
    """And keeps nothing: a call that needs less may follow within ``except``, and what was there is as it was."""
    made = module()
    params, x = arrays(made)
    flat = targets.to_host(made, params.flat)
    y, _, tape = made.forward(params, x)
    grads = made.backward(params, tape, y)
    whole, pieces = (made._need(every, params, STEPS, BATCH, False, True) for every in (None, 6))
    words = (
        rf"expected {whole:,} bytes of memory besides what goes in and comes out, for T = 30 and B = 20; "
        rf'checkpoint="sqrt" makes that {pieces:,}, and budget= keeps it below the bytes that you name\. Out of memory'
    )
    pool = limited(pieces + 2 * y.nbytes)
    before = pool.used_bytes()
    with pytest.raises(MemoryError, match=rf"^forward: {words}") as error:
        made.forward(params, x)
    assert type(error.value.__cause__).__name__ == "OutOfMemoryError"
    assert pool.used_bytes() == before
    again = made.forward(params, x, checkpoint="sqrt")[0]
    assert_array_equal(targets.to_host(made, again), targets.to_host(made, y))
    del again
    pool = limited(3 * y.nbytes)
    with pytest.raises(MemoryError, match=rf"^backward: {words}"):
        made.backward(params, tape, y)
    assert pool.used_bytes() == before
    pool.set_limit(0)
    assert_array_equal(targets.to_host(made, params.flat), flat)
    repeated = made.backward(params, tape, y)
    assert_array_equal(targets.to_host(made, repeated.params.flat), targets.to_host(made, grads.params.flat))


def test_too_little_memory_leaves_no_graph_behind(limited: Any) -> None:
    """In the midst of a sweep that a graph runs: the same call is right where there is room."""
    made = load(text("lstm"), "lstm", device=Device(multiprocessors=2))
    made.STRATEGY = "graph"  # type: ignore[attr-defined]
    params, x = arrays(made)
    expected = targets.to_host(made, made.forward(params, x)[0])
    before = limited(0).used_bytes()
    said: list[str] = []
    for size in range(10_000, 800_000, 10_000):  # wherever it is that memory runs out
        pool = limited(size)
        try:
            made.forward(params, x)
        except MemoryError as problem:
            said.append(str(problem))
        else:
            break
        assert pool.used_bytes() == before
    assert len(said) > 10
    assert all(words.startswith("forward: expected") for words in said)
    pool.set_limit(0)
    assert_array_equal(targets.to_host(made, made.forward(params, x)[0]), expected)


def test_what_the_driver_has_no_memory_for_is_said_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """To load a kernel, say; other errors of the driver's stay what they are."""
    made = module()
    params, x = arrays(made)

    def loading(status: int, text: str) -> Callable[..., None]:
        def load(*_: object) -> None:
            raise CUDADriverError(status, text)

        return load

    for name in ("_run_steps", "_kernels"):
        with monkeypatch.context() as patch:
            patch.setattr(made, name, loading(2, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"))
            with pytest.raises(MemoryError, match=r"^forward: expected .* CUDA_ERROR_OUT_OF_MEMORY: out of memory$"):
                made.forward(params, x)
            patch.setattr(made, name, loading(700, "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access"))
            with pytest.raises(CUDADriverError, match=r"^CUDA_ERROR_ILLEGAL_ADDRESS") as error:
                made.forward(params, x)
            assert error.value.__cause__ is None


def test_second_derivatives_say_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = symcell.compile("rnn", "numpy", order=2)
    params, x = made.init_params(**SIZES), np.zeros((STEPS, BATCH, 3), "float32")
    y, *_, tape = made.jvp(params, x, keep_tape=True)

    def full(*_: object) -> None:
        raise MemoryError("Unable to allocate 1 GiB")

    monkeypatch.setattr(made, "_jvp_sweep", full)
    monkeypatch.setattr(made, "_second_sweep", full)
    calls: dict[str, Callable[[], object]] = {
        "jvp": lambda: made.jvp(params, x),
        "second": lambda: made.second(params, tape, y),
    }
    for name, call in calls.items():
        with pytest.raises(MemoryError, match=rf"^{name}: memory ran out; fewer samples or steps .*\. Unable to"):
            call()


def test_numpy_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = symcell.compile("lstm", "numpy")
    params, x = made.init_params(**SIZES), np.zeros((STEPS, BATCH, 3), "float32")

    def full(*_: object) -> None:
        raise MemoryError("Unable to allocate 1 GiB")

    monkeypatch.setattr(made, "_forward_sweep", full)
    with pytest.raises(MemoryError, match=r'^forward: expected [\d,]+ bytes .*checkpoint="sqrt".*Unable to allocate'):
        made.forward(params, x)
    with pytest.raises(MemoryError, match=r"; fewer samples or steps at once need less\. Unable to allocate"):
        made.forward(params, x, checkpoint="sqrt")
