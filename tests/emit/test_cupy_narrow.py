"""CuPy's modules with parameters of 16 bits, emulated: against NumPy's model of them, in every way that steps run."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import random_cells
from numpy.testing import assert_array_equal

import symcell
from symcell.cell import Cell
from symcell.emulate import Device, EmulatorError, load, sanitizer
from symcell.emulate.errors import CompilerNotFoundError, SanitizerError
from symcell.pipeline import source
from symcell.verify import targets
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case
from symcell.verify.halves import alike
from symcell.verify.tolerances import error, scale_of

REASON = targets.emulator_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

TYPES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
ULPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The spacing of numbers at 1."""
DEVICES = {
    "plain": Device(), "block": Device(multiprocessors=1), "persistent": Device(multiprocessors=2, capability=(8, 0)),
    "graph": Device(multiprocessors=2),
}  # fmt: skip
KINDS = {
    "lengths": Kind("lengths", 4, 5, lengths=(4, 1, 2, 0, 3)),
    "own start": Kind("own start", 3, 5, given=False),
}
SAMPLED = [
    ("lstm", "persistent", "bfloat16", "lengths"), ("gru", "block", "float16", "lengths"),
    ("layernorm_lstm", "plain", "bfloat16", "own start"), ("mlstm", "plain", "float16", "lengths"),
    ("deltanet", "persistent", "bfloat16", "lengths"), ("gru", "graph", "bfloat16", "own start"),
    ("antisymmetric", "plain", "bfloat16", "lengths"),
]  # fmt: skip
"""Between them: carried and rounded states, states that are matrices, sums over rows, fixed values, each strategy."""
ALL = [(n, s, d, k) for n in symcell.names() for s in DEVICES for d in TYPES for k in KINDS]
WAYS = [pytest.param(*way, marks=[] if way in SAMPLED else pytest.mark.whole) for way in ALL]

text = functools.cache(lambda name: source(symcell.load(name), "cupy"))


@functools.cache
def module(name: str, strategy: str) -> types.ModuleType:
    made = load(text(name), name, device=DEVICES[strategy])
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    return made


def wide(result: Result) -> Result:
    """The numbers of a result as float64."""
    def of(group: Any) -> Any:
        return {name: np.asarray(value, np.float64) for name, value in group.items()}

    y = np.asarray(result.y, np.float64)
    return Result(y, of(result.last), of(result.params), of(result.x), of(result.state))


def rounded(cell: Cell, kind: Kind, dtype: str) -> Case:
    """A case whose numbers are of 16 bits, and so small that none of a cell's divisions makes roundings large."""
    def of(group: Any) -> Any:
        return {name: np.float64(np.asarray(value).astype(TYPES[dtype])) for name, value in group.items()}

    case = random_case(cell, kind, scale=0.125)
    fields = {name: of(getattr(case, name)) for name in ("params", "x", "state", "dlast", "arrays")}
    return type(case)(**{**vars(case), **fields, "dy": np.float64(case.dy.astype(TYPES[dtype]))})


@functools.cache
def wanted(name: str, kind: str, dtype: str) -> tuple[Case, Result]:
    case = rounded(symcell.load(name), KINDS[kind], dtype)
    return case, wide(targets.run(symcell.compile(name, "numpy"), case, dtype))


def apart(found: Result, expected: Result) -> tuple[float, str]:
    """The tensor that is farthest from what is expected, and how far it is."""
    worst = (0.0, "")
    for group, values in ((expected.values(), found.values()), (expected.gradients(), found.gradients())):
        assert values.keys() == group.keys()
        for tensor, value in group.items():
            worst = max(worst, (error(values[tensor], value, scale_of(value, group)), tensor))
    return worst


@pytest.mark.parametrize(("name", "strategy", "dtype", "kind"), WAYS)
def test_equals_numpys_model(name: str, strategy: str, dtype: str, kind: str) -> None:
    """Forward and backward: results are of the type, and few numbers differ, by few roundings."""
    case, expected = wanted(name, kind, dtype)
    found = targets.run(module(name, strategy), case, dtype)
    assert {value.dtype for value in found.tensors().values()} == {TYPES[dtype]}
    off, tensor = apart(wide(found), expected)
    assert off <= 2 * ULPS[dtype], f"{tensor} is {off / ULPS[dtype]:.1f} roundings off"
    bits = alike(found, targets.run(symcell.compile(name, "numpy"), case, dtype))
    assert bits.differ <= bits.total / 40, bits


def own(seed: int) -> Cell:
    """A random cell, or of no seed one whose values are called what kernels call their own things."""
    named = "rounded[t] = widened @ real[t]\nstored[t] = rounded[t] + tanh(narrowed @ stored[t-1])\noutput: stored"
    return symcell.parse(named if seed < 0 else random_cells.cell(seed), name="own")


@pytest.mark.parametrize("strategy", ["plain", "persistent"])
@pytest.mark.parametrize("seed", [-1, 8, *(pytest.param(seed, marks=pytest.mark.whole) for seed in (2, 3, 5, 9, 10))])
def test_other_cells(seed: int, strategy: str) -> None:
    cell = own(seed)
    case = rounded(cell, KINDS["lengths"], "bfloat16")
    made = load(source(cell, "cupy"), "own", device=DEVICES[strategy])
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    expected = wide(targets.run(symcell.compile(cell, "numpy"), case, "bfloat16"))
    off, tensor = apart(wide(targets.run(made, case, "bfloat16")), expected)
    assert off <= 8 * ULPS["bfloat16"], tensor


# what else forward and backward may be asked for


PIECES = [("gru", "persistent", "bfloat16", "h"), ("lstm", "plain", "float16", "c")]


@pytest.mark.parametrize(("name", "strategy", "dtype", "carried"), PIECES)
def test_without_a_tape_and_in_pieces(name: str, strategy: str, dtype: str, carried: str) -> None:
    """Without a tape the numbers are the same; pieces begin with carried states in float32."""
    made, (case, expected) = module(name, strategy), wanted(name, "own start", dtype)
    _, y, last, _ = targets.forward(made, case, dtype)
    _, untaped, last_untaped, tape = targets.forward(made, case, dtype, keep_tape=False)
    assert tape is None
    assert_array_equal(targets.to_host(made, untaped), targets.to_host(made, y))
    for state in last:
        assert_array_equal(targets.to_host(made, last_untaped[state]), targets.to_host(made, last[state]))
    params, pieces, _, tape = targets.forward(made, case, dtype, checkpoint=1)
    assert_array_equal(targets.to_host(made, pieces), targets.to_host(made, y))
    assert {start[carried].dtype for start in tape.starts[1:]} == {np.dtype(np.float32)}
    grads = made.backward(params, tape, targets.to_device(made, case.dy, dtype))
    assert grads.params.flat.dtype == TYPES[dtype]
    for parameter, value in expected.params.items():
        found = np.float64(targets.to_host(made, grads.params[parameter]))
        off = error(found, value, scale_of(value, expected.gradients()))
        assert off <= 8 * ULPS[dtype], parameter


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["lstm", "gru", "lmu"])
def test_one_step(name: str, dtype: str) -> None:
    case, _ = wanted(name, "lengths", dtype)
    found, expected = (one_step(made, case, dtype) for made in (module(name, "plain"), symcell.compile(name, "numpy")))
    assert found.keys() == expected.keys()
    for tensor, value in expected.items():
        assert found[tensor].dtype == value.dtype == TYPES[dtype]
        value = np.float64(value)
        assert error(np.float64(found[tensor]), value, scale_of(value, {})) <= 2 * ULPS[dtype], tensor


def one_step(made: types.ModuleType, case: Case, dtype: str) -> dict[str, Any]:
    """What ``step`` makes of a case's first inputs."""
    send = functools.partial(targets.to_device, made, dtype=dtype)
    (x,) = case.x.values()
    state = {name: send(targets.outside(value)) for name, value in case.state.items()}
    y, after = made.step(targets.parameters(made, case, dtype), send(x[0]), state)
    return {"y": targets.to_host(made, y), **{name: targets.to_host(made, value) for name, value in after.items()}}


def test_second_derivatives() -> None:
    """``jvp`` and ``second`` give what NumPy's model of them does."""
    found, expected = (both(symcell.compile("lstm", target, order=2, **how)) for target, how in SECOND)
    for tensor, value in expected.items():
        assert found[tensor].dtype == value.dtype == np.float16
        value = np.float64(value)
        assert error(np.float64(found[tensor]), value, scale_of(value, {})) <= 8 * ULPS["float16"], tensor


SECOND: tuple[tuple[str, dict[str, Any]], ...] = (("cupy", {"emulate": True, "strategy": "plain"}), ("numpy", {}))


def both(made: types.ModuleType) -> dict[str, Any]:
    """The tangents of a run along its own parameters, and second derivatives."""
    send = functools.partial(targets.to_device, made, dtype="float16")
    params = made.init_params(dtype="float16", D=3, H=4)
    rng = np.random.default_rng(0)
    x, dy = send(rng.standard_normal((3, 2, 3))), send(rng.standard_normal((3, 2, 4)))
    y, _, y_dot, last_dot, tape = made.jvp(params, x, params_dot=params, x_dot=x, keep_tape=True)
    grads = made.second(params, tape, dy)
    tensors = {"y": y, "y_dot": y_dot, **{f"{k}_dot": v for k, v in last_dot.items()}, "params": grads.params.flat}
    return {name: targets.to_host(made, value) for name, value in tensors.items()}


@pytest.mark.parametrize("strategy", ["plain", "persistent"])
@pytest.mark.parametrize("name", ["lstm", "gru", "deltanet"])
def test_nothing_crosses_to_the_host(name: str, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, made = wanted(name, "own start", "bfloat16")[0], module(name, strategy)
    params, *_ = targets.forward(made, case, "bfloat16")
    (x,), dy = case.x.values(), targets.to_device(made, case.dy, "bfloat16")
    x = targets.to_device(made, x, "bfloat16")

    def refused(*_: object, **__: object) -> None:
        pytest.fail("a copy between host and device")

    for function in ("array", "asarray", "asnumpy"):
        monkeypatch.setattr(made.cp, function, refused)
    for method in ("get", "set", "item", "__float__", "__int__", "__bool__"):
        monkeypatch.setattr(made.cp.ndarray, method, refused)
    _, _, tape = made.forward(params, x)
    made.backward(params, tape, dy)


@pytest.mark.parametrize("name", ["lstm", "narx"])
def test_windows_are_not_copied(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays rounded is multiplied where it lies: nothing is converted at every step."""
    made, conversions = module(name, "plain"), []
    convert = made.cp.ndarray.astype

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        conversions[-1] += 1
        return convert(self, *arguments, **options)

    monkeypatch.setattr(made.cp.ndarray, "astype", counted)
    for steps in (3, 6):
        conversions.append(0)
        targets.run(made, rounded(symcell.load(name), Kind("windows", steps, 2), "float16"), "float16")
    assert conversions[0] == conversions[1]


SCRIPT = """
import pathlib, sys
import test_cupy_narrow as tests
for path in sys.argv[1:]:
    for dtype in tests.TYPES:
        tests.sanitized(pathlib.Path(path), dtype)
print("clean")
"""
SANITIZED = (("lstm", "persistent"), ("gru", "block"), ("layernorm_lstm", "plain"), ("deltanet", "persistent"))


def sanitized(path: Path, dtype: str) -> None:
    """A run of the module at ``path``, whose name says how its steps run, under AddressSanitizer and UBSan."""
    name, strategy = path.stem.split("-")
    made = load(path.read_text(encoding="utf-8"), name, sanitize=True, device=DEVICES[strategy])
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    targets.run(made, rounded(symcell.load(name), KINDS["lengths"], dtype), dtype)


@pytest.mark.whole
def test_no_kernel_leaves_its_arrays(tmp_path: Path) -> None:
    try:
        sanitizer.environment()
    except (SanitizerError, CompilerNotFoundError) as problem:
        pytest.skip(str(problem))
    paths = []
    for name, strategy in SANITIZED:
        paths.append(tmp_path / f"{name}-{strategy}.py")
        paths[-1].write_text(text(name), encoding="utf-8")
    script = tmp_path / "run.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{SCRIPT}", encoding="utf-8")
    command = [sys.executable, "-m", "symcell.emulate", str(script), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "clean"), done.stderr


def test_infinite_and_missing_numbers_go_on() -> None:
    """A loss scaled by too much shows in the gradients, in every way that steps run."""
    case = rounded(symcell.load("lstm"), KINDS["own start"], "float16")
    dy = np.full_like(case.dy, 60000)
    for strategy in DEVICES:
        made = module("lstm", strategy)
        found = targets.run(made, type(case)(**{**vars(case), "dy": dy}), "float16")
        assert any(np.isinf(value).any() for value in found.params.values())
        state = {"h": np.full((1, 5, case.sizes["H"]), np.nan)}
        spoiled = targets.run(made, type(case)(**{**vars(case), "state": state}), "float16")
        assert np.isnan(spoiled.y).all()
        assert np.isnan(spoiled.params["U_i"]).all()


# one rounding at a time: numbers are chosen so that every other rounding is exact

CARRIED = """
h[t] = h[t-1] + {small} * x[t] + {large} * (U @ h[t-1] - h[t-1])
"""
SMALL = {"float16": 2.0**-12, "bfloat16": 2.0**-9}
"""Lost where it is added to 1 in 16 bits."""


def carried(dtype: str) -> Cell:
    return symcell.parse(CARRIED.format(small=SMALL[dtype], large=1 / SMALL[dtype]))


Change = Callable[[str], str]


@functools.cache
def carried_module(strategy: str, dtype: str, *, old: bool = False, change: Change = lambda code: code) -> Any:
    """``old``: the device's matrix units have no bfloat16."""
    code = source(carried(dtype), "cupy")
    device = replace(DEVICES[strategy], capability=(7, 5)) if old else DEVICES[strategy]
    made = load(change(code), "carried", device=device)
    made.STRATEGY = strategy  # type: ignore[attr-defined]
    return made


def loses(made: types.ModuleType, dtype: str) -> Any:
    """The states after two steps from 1, with a little more added in each, and what a product loses of it."""
    ones = functools.partial(np.ones, dtype=TYPES[dtype])
    cp, size = made.cp, 5
    params = made.init_params(dtype=dtype, **dict.fromkeys(made.SIZES, size))
    params["U"] = cp.asarray(np.eye(size, dtype=TYPES[dtype]))
    state = {"h": cp.asarray(ones((2, size)))}
    y, *_ = made.forward(params, cp.asarray(ones((2, 2, size))), state)
    return np.float64(cp.asnumpy(y))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("strategy", "old"), [*((strategy, False) for strategy in DEVICES), ("persistent", True)])
def test_states_are_carried_in_float32_and_products_round_them(strategy: str, old: bool, dtype: str) -> None:
    """In the second step h is 1 and a little more, of which the product sees 1."""
    y = loses(carried_module(strategy, dtype, old=old), dtype)
    assert_array_equal(y[0], 1)
    assert_array_equal(y[1], 2 * SMALL[dtype])


def unrounded(code: str) -> str:
    """A module whose kernels hand numbers to products as they are computed."""
    changed = code.replace("return widened(narrowed(x));", "return x;")
    assert changed != code
    return changed


@pytest.mark.parametrize("strategy", ["block", "persistent"])
def test_a_missing_rounding_is_noticed(strategy: str) -> None:
    y = loses(carried_module(strategy, "bfloat16", old=True, change=unrounded), "bfloat16")
    assert_array_equal(y, 1)


def test_a_missing_rounding_outside_of_kernels_is_refused() -> None:
    """cuBLAS would take float32 for numbers of 16 bits."""
    code = source(carried("bfloat16"), "cupy")
    changed = re.sub(r"matrix if matrix.dtype == dtype else matrix.astype\(dtype\)", "matrix", code)
    assert changed != code
    made = load(changed, "carried")
    made.STRATEGY = "plain"  # type: ignore[attr-defined]
    with pytest.raises(EmulatorError, match="lies in an array of float32"):
        loses(made, "bfloat16")
