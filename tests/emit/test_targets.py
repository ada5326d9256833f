"""The contract of an emitted module, on every target.

Without ``--whole``: every shipped cell computes what the reference does in float64, and says of itself what it is; all
else is tried on a sample, which has every kind of cell."""

from __future__ import annotations

import ast
import functools
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sampled import SAMPLE, sampled

import symcell
from symcell.cell import Cell, Shape, Start
from symcell.pipeline import TARGETS
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, random_case
from symcell.verify.reference import reference
from symcell.verify.targets import forward, outside, run, to_device, to_host
from symcell.verify.tolerances import FLOAT32_ULP, TOLERANCES, error, largest, real, scale_of

Shipped = Callable[[str], tuple[Cell, types.ModuleType]]
LIMIT = {"float64": TOLERANCES["float64"].limit, "float32": TOLERANCES["float32"].limit * FLOAT32_ULP}

KINDS = {
    "given": Kind("given", 4, 3),
    "own start": Kind("own start", 4, 2, given=False),
    "one step": Kind("one step", 1, 2),
    "one sample": Kind("one sample", 5, 1),
    "lengths": Kind("lengths", 5, 4, lengths=(2, 5, 0, 3)),
    "lengths, own start": Kind("lengths, own start", 4, 3, given=False, lengths=(1, 4, 3)),
    "equal lengths": Kind("equal lengths", 4, 2, lengths=(3, 3)),
    "zero lengths": Kind("zero lengths", 3, 2, lengths=(0, 0)),
}

every_cell = pytest.mark.parametrize("name", symcell.names())
cells = pytest.mark.parametrize("name", sampled())


@functools.cache
def wanted(name: str, kind: str) -> tuple[Case, Result]:
    cell = symcell.load(name)
    case = random_case(cell, KINDS[kind])
    return case, reference(cell, case)


def agree(found: Result, exact: Result, limit: float) -> None:
    """Every tensor of a result equals the reference's."""
    for group, values in ((exact.values(), found.values()), (exact.gradients(), found.gradients())):
        reals = {k: real(v) for k, v in group.items()}
        assert set(values) == set(reals)
        for tensor, value in values.items():
            apart = error(value, reals[tensor], scale_of(reals[tensor], reals))
            assert apart <= limit, f"{tensor}: {apart:.1e} off\n{value}\nwanted\n{reals[tensor]}"


def constants(module: types.ModuleType, sizes: dict[str, int]) -> dict[str, Any]:
    """Constant arrays for a module."""
    return {k: to_device(module, np.ones([sizes.get(n, n) for n in s])) for k, s in module.CONSTANTS.items()}


def same(one: Result, other: Result, limit: float = 0.0) -> None:
    """Two results are equal, to the last bit where no limit is given."""
    for tensor, value in other.tensors().items():
        if limit:
            assert error(one.tensors()[tensor], value, scale_of(value, other.tensors())) <= limit, tensor
        else:
            assert_array_equal(one.tensors()[tensor], value, err_msg=tensor)


def near(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are the same but for the order of sums."""
    return error(one, other, max(1.0, largest(other))) < 1e-13


# numbers


@pytest.mark.parametrize(("name", "dtype"), [
    pytest.param(name, dtype, marks=() if dtype == "float64" or name in SAMPLE else pytest.mark.whole)
    for name in symcell.names() for dtype in LIMIT
])  # fmt: skip
def test_equals_the_reference(shipped: Shipped, name: str, dtype: str) -> None:
    _, module = shipped(name)
    for kind in KINDS:
        case, exact = wanted(name, kind)
        found = run(module, case, dtype)
        assert {v.dtype for v in found.tensors().values()} == {np.dtype(dtype)}
        agree(found, exact, LIMIT[dtype])


@pytest.mark.parametrize("dtype", LIMIT)
@cells
def test_sizes_of_one(shipped: Shipped, name: str, dtype: str) -> None:
    """Every value one column wide, rows as far apart as its neighbours make them: where NumPy's loops are at their
    worst (2.1 to 2.4 negate such columns wrongly in place)."""
    cell, module = shipped(name)
    case = random_case(cell, Kind("one unit", 3, 8), sizes=dict.fromkeys(cell.sizes, 1))
    # a norm over one unit leaves nothing but rounding errors to its gradient
    agree(run(module, case, dtype), reference(cell, case, digits=25), 10 * LIMIT[dtype])


@cells
def test_padding_is_zero_in_and_never_seen(shipped: Shipped, name: str) -> None:
    _, module = shipped(name)
    case, _ = wanted(name, "lengths")
    padding = np.arange(case.steps)[:, None] >= case.lengths

    def filled(value: Any) -> Any:
        return np.where(padding.reshape(*padding.shape, *[1] * (value.ndim - 2)), np.nan, value)

    poisoned = replace(case, x={k: filled(v) for k, v in case.x.items()}, dy=filled(case.dy))
    found = run(module, poisoned, "float64")
    same(found, run(module, case, "float64"))
    for sequence in (found.y, *found.x.values()):
        assert not sequence[padding].any()
        assert np.isfinite(sequence).all()


@cells
def test_full_lengths_change_nothing(shipped: Shipped, name: str) -> None:
    _, module = shipped(name)
    case, _ = wanted(name, "given")
    same(run(module, replace(case, lengths=np.full(case.batch, case.steps)), "float64"), run(module, case, "float64"))


@cells
def test_without_a_tape(shipped: Shipped, name: str) -> None:
    _, module = shipped(name)
    for kind in ("given", "lengths", "own start"):
        case, _ = wanted(name, kind)
        _, y, last, tape = forward(module, case, "float64", keep_tape=False)
        assert tape is None
        _, y_taped, last_taped, tape = forward(module, case, "float64")
        assert tape.nbytes > 0
        assert_array_equal(to_host(module, y), to_host(module, y_taped))
        assert set(last) == set(last_taped)
        for state in last:
            assert_array_equal(to_host(module, last[state]), to_host(module, last_taped[state]))


@cells
def test_steps_equal_forward(shipped: Shipped, name: str) -> None:
    _, module = shipped(name)
    for kind in ("given", "own start"):
        case, _ = wanted(name, kind)
        params, y, last, _ = forward(module, case, "float64")
        state = {k: to_device(module, outside(v)) for k, v in case.state.items()} or None
        for t in range(case.steps):
            x_t = {k: to_device(module, v[t]) for k, v in case.x.items()}
            y_t, state = module.step(params, x_t if len(x_t) > 1 else next(iter(x_t.values())), state)
            assert near(to_host(module, y_t), to_host(module, y)[t])
        assert set(state) == set(last)
        for s in last:
            assert near(to_host(module, state[s]), to_host(module, last[s]))


@cells
def test_a_step_hands_out_arrays_of_its_own(shipped: Shipped, name: str) -> None:
    """What ``step`` returns may be written to: neither the other results nor the arguments change."""
    _, module = shipped(name)
    case, _ = wanted(name, "given")
    params = module.init_params(dtype="float64", **case.sizes, **constants(module, dict(case.sizes)))
    state = {k: to_device(module, outside(v)) for k, v in case.state.items()}
    x_t = {k: to_device(module, v[0]) for k, v in case.x.items()}
    given = x_t if len(x_t) > 1 else next(iter(x_t.values()))
    arguments = [*state.values(), *x_t.values()]
    before = [to_host(module, v).copy() for v in arguments]
    results = [y := module.step(params, given, state)[0], *module.step(params, given, state)[1].values()]
    assert y is results[0]
    for k, array in enumerate(results):
        others = [to_host(module, v).copy() for v in results[k + 1 :]]
        array[...] = 7.0
        for value, other in zip(results[k + 1 :], others, strict=True):
            assert_array_equal(to_host(module, value), other)
    for array, value in zip(arguments, before, strict=True):
        assert_array_equal(to_host(module, array), value)


@cells
def test_a_sequence_in_two_pieces(shipped: Shipped, name: str) -> None:
    """States and their gradients passed on make two pieces equal the whole."""
    _, module = shipped(name)
    case, _ = wanted(name, "given")
    whole = run(module, case, "float64")
    ahead = replace(case, x={k: v[:3] for k, v in case.x.items()}, dy=case.dy[:3], dlast={})
    middle = run(module, ahead, "float64").last
    behind = replace(case, x={k: v[3:] for k, v in case.x.items()}, dy=case.dy[3:], state=middle)
    second = run(module, behind, "float64")
    first = run(module, replace(ahead, dlast=second.state), "float64")
    joined = Result(
        np.concatenate([first.y, second.y]),
        second.last,
        {k: v + second.params[k] for k, v in first.params.items()},
        {k: np.concatenate([v, second.x[k]]) for k, v in first.x.items()},
        first.state,
    )
    same(joined, whole, 1e-13)


@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (3, 0), (0, 0)])
@cells
def test_nothing_to_do(shipped: Shipped, name: str, steps: int, batch: int) -> None:
    cell, module = shipped(name)
    for given in (True, False):
        case = random_case(cell, Kind("nothing", steps, batch, given))
        found = run(module, case, "float64")
        assert found.y.shape == (steps, batch, *case.dy.shape[2:])
        assert {k: v.shape for k, v in found.gradients().items() if k in case.tensors()} == {
            k: np.shape(v) for k, v in case.tensors().items()
        }
        assert not any(v.any() for v in found.params.values())
        for state, value in found.last.items():
            assert_array_equal(value, case.state.get(state, np.zeros_like(value)))
            assert_array_equal(found.state[state], case.dlast.get(state, np.zeros_like(value)))


@cells
def test_nan_in_nan_out(shipped: Shipped, name: str) -> None:
    _, module = shipped(name)
    case, _ = wanted(name, "given")
    x = {k: v.copy() for k, v in case.x.items()}
    for v in x.values():
        v[(1, 0, *[0] * (v.ndim - 2))] = np.nan
    found, clean = run(module, replace(case, x=x), "float64"), run(module, case, "float64")
    assert np.isfinite(found.y[0]).all()
    assert np.isnan(found.y[1:, 0]).reshape(case.steps - 1, -1).any(axis=1).all()
    assert_array_equal(found.y[:, 1:], clean.y[:, 1:])
    assert any(np.isnan(v).any() for v in found.params.values())


# arrays


@cells
def test_inputs_may_lie_anywhere_and_are_left_alone(shipped: Shipped, name: str) -> None:
    _, module = shipped(name)
    case, _ = wanted(name, "given")
    params, y, _, tape = forward(module, case, "float64")
    dlast = {k: to_device(module, outside(v)) for k, v in case.dlast.items()}
    grads = module.backward(params, tape, to_device(module, case.dy), dlast)

    def scattered(value: Any) -> Any:
        """The same array with its axes in another order in memory, and gaps in between."""
        wide = np.full((*value.shape[::-1], 2), np.nan)
        wide[..., 0] = value.T
        return to_device(module, wide)[..., 0].T

    def check(array: Any, value: Any) -> None:
        assert_array_equal(to_host(module, array), value)

    x = {k: scattered(v) for k, v in case.x.items()}
    state = {k: scattered(outside(v)) for k, v in case.state.items()}
    dy, dlast = scattered(case.dy), {k: scattered(outside(v)) for k, v in case.dlast.items()}
    for array in (*x.values(), *state.values(), dy, *dlast.values()) if isinstance(y, np.ndarray) else ():
        array.flags.writeable = False
    before = to_host(module, params.flat).copy()
    given = x if len(x) > 1 else next(iter(x.values()))
    y_again, _, tape = module.forward(params, given, state)
    again = module.backward(params, tape, dy, dlast)
    assert error(to_host(module, y_again), to_host(module, y), 1) < 1e-13
    assert error(to_host(module, again.params.flat), to_host(module, grads.params.flat), 1) < 1e-12
    check(params.flat, before)
    check(dy, case.dy)
    for arrays, values in ((x, case.x), (state, case.state), (dlast, case.dlast)):
        for key, value in values.items():
            check(arrays[key], value if arrays is x else outside(value))


@cells
def test_a_plain_dict_of_parameters(shipped: Shipped, name: str) -> None:
    _, module = shipped(name)
    case, _ = wanted(name, "given")
    wanted_grads = run(module, case, "float32")
    params = {k: to_device(module, v, "float32") for k, v in (*case.params.items(), *case.arrays.items())}
    x = {k: to_device(module, v, "float32") for k, v in case.x.items()}
    state = {k: to_device(module, outside(v), "float32") for k, v in case.state.items()}
    _, _, tape = module.forward(params, x if len(x) > 1 else next(iter(x.values())), state)
    dlast = {k: to_device(module, outside(v), "float32") for k, v in case.dlast.items()}
    grads = module.backward(params, tape, to_device(module, case.dy, "float32"), dlast)
    for key, value in wanted_grads.params.items():
        assert_array_equal(to_host(module, grads.params[key]), value)


@cells
def test_one_tape_serves_twice(shipped: Shipped, name: str) -> None:
    _, module = shipped(name)
    for kind in ("given", "lengths"):
        case, _ = wanted(name, kind)
        params, _, _, tape = forward(module, case, "float64")
        first, second = (module.backward(params, tape, to_device(module, case.dy)) for _ in range(2))
        assert_array_equal(to_host(module, first.params.flat), to_host(module, second.params.flat))
        zero = module.backward(params, tape, None)
        assert not to_host(module, zero.params.flat).any()


@cells
def test_threads_do_not_meet(shipped: Shipped, name: str) -> None:
    cell, module = shipped(name)
    cases = [random_case(cell, Kind("thread", 4, 2 + k % 2), seed=k) for k in range(8)]
    alone = [run(module, case, "float64") for case in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda case: run(module, case, "float64"), cases))
    for one, other in zip(together, alone, strict=True):
        same(one, other)


@cells
def test_parameters_are_views_of_one_buffer(shipped: Shipped, name: str) -> None:
    cell, module = shipped(name)
    sizes = {s: 3 + k for k, s in enumerate(module.SIZES)}
    params = module.init_params(seed=1, dtype="float64", **sizes, **constants(module, sizes))
    assert tuple(params) == (*module.PARAMS, *module.CONSTANTS)
    assert set(module.PARAMS) == set(cell.parameters)
    views = {key: params[key] for key in module.PARAMS}
    assert params.flat.ndim == 1
    assert params.flat.size == sum(v.size for v in views.values())
    params.flat[...] = to_device(module, np.arange(params.flat.size, dtype=float))
    assert_array_equal(
        np.concatenate([to_host(module, v).reshape(-1) for v in views.values()]), np.arange(params.flat.size)
    )
    for key, value in views.items():
        assert value.shape == tuple(s.value(sizes) for s in cell.parameters[key].shape)
        value[...] = 1
    assert (to_host(module, params.flat) == 1).all()
    case = random_case(cell, Kind("views", 2, 1))
    params, _, _, tape = forward(module, case, "float32")
    grads = module.backward(params, tape, to_device(module, case.dy, "float32"))
    assert type(grads.params) is type(params)
    assert tuple(grads.params) == tuple(module.PARAMS)
    assert grads.params.flat.shape == params.flat.shape
    assert_array_equal(
        np.concatenate([to_host(module, v).reshape(-1) for v in grads.params.values()]),
        to_host(module, grads.params.flat),
    )


@every_cell
def test_parameters_start_as_declared(shipped: Shipped, name: str) -> None:
    cell, module = shipped(name)
    sizes = dict.fromkeys(module.SIZES, 16)
    one, same_seed, other = (module.init_params(seed=s, **sizes, **constants(module, sizes)) for s in (0, 0, 1))
    assert one.flat.dtype == np.float32
    assert_array_equal(to_host(module, one.flat), to_host(module, same_seed.flat))
    for key, parameter in cell.parameters.items():
        value = to_host(module, one[key])
        if not isinstance(parameter.start, Start):
            assert (value == np.float32(parameter.start)).all()
        elif parameter.start.kind in ("uniform", "normal", "orthogonal", "glorot"):
            assert (value != to_host(module, other[key])).any()
        if parameter.start == Start("uniform"):
            assert 0.0 < np.abs(value).max() <= 0.25


@every_cell
def test_what_a_module_says_about_itself(shipped: Shipped, name: str) -> None:
    cell, module = shipped(name)

    def numbers(shape: Shape) -> tuple[str | int, ...]:
        return tuple(size.plain() for size in shape)

    assert cell.sizes == module.SIZES
    assert {k: numbers(p.shape) for k, p in cell.parameters.items()} == module.PARAMS
    assert {k: numbers(shape) for k, shape in cell.inputs.items()} == module.INPUTS
    assert {k: numbers(cell.shape_of(k)) for k in cell.states} == module.STATES
    assert {k: numbers(shape) for k, shape in cell.arrays.items()} == module.CONSTANTS
    assert {k: lags for k, lags in cell.states.items() if lags > 1} == module.LAGS
    assert cell.output == module.OUTPUT
    assert symcell.parse(module.EQUATIONS, name=name).text == cell.text
    assert len(module.STAMP) == 16


@pytest.mark.parametrize("target", TARGETS)
@cells
def test_a_module_stands_alone(name: str, target: str) -> None:
    """It imports the standard library, its array package, and ml_dtypes late; nothing of symcell."""
    tree = ast.parse(files("symcell.generated").joinpath(f"{name}_{target}.py").read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    found = {n.module if isinstance(n, ast.ImportFrom) else alias.name for n in imports for alias in n.names}
    assert found
    late = {alias.name for n in imports if n.col_offset for alias in n.names}
    assert late == {"ml_dtypes"}
    assert {str(module).split(".")[0] for module in found - late} <= {*sys.stdlib_module_names, "numpy", "cupy"}
