"""Numbers of 16 bits: what a caller passes and gets is of their type, what is computed between is float32, and what is
rounded where is one rule for all targets (the section "Numbers of 16 bits" of docs/design.md)."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import build
from feature_cells import FEATURES
from hypothesis import given, settings, strategies as st

import symcell
from symcell import shipped
from symcell.cell import Cell
from symcell.verify.case import Case, Result
from symcell.verify.cases import KINDS, Kind, random_case
from symcell.verify.halves import HALVES, alike, number_type, rounded
from symcell.verify.reference import reference
from symcell.verify.targets import forward, outside, run, to_device, to_host
from symcell.verify.tolerances import TOLERANCES, error, real, scale_of

pytest.importorskip("ml_dtypes")
pytestmark = pytest.mark.usefixtures("soon")  # test_c_halves.py has C as it is by default

READY = ("numpy", "c", "cupy-emulated")
"""The ways that have numbers of 16 bits."""

FEATURED = ("learned_lags", "matrix_lags", "constant_arrays", "joined_twice")

Array = Any


@pytest.fixture(params=[*READY, pytest.param("cupy", marks=pytest.mark.gpu)])
def way(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=HALVES)
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@functools.cache
def cell_of(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


@functools.cache
def parsed(text: str) -> Cell:
    return symcell.parse(text, name="test")


def half_case(cell: Cell, kind: Kind, dtype: str, seed: int = 0) -> Case:
    return rounded(random_case(cell, kind, seed), dtype)


def within(found: Result, wanted: Result, dtype: str, times: float = 1) -> None:
    """Both groups of tensors within the tolerance that ``symcell verify`` has."""
    allowed = TOLERANCES[dtype]
    pairs = ((found.values(), wanted.values()), (found.gradients(), wanted.gradients()))
    for values, exact in pairs:
        assert values.keys() == exact.keys()
        for name, value in values.items():
            scale = scale_of(exact[name], exact, allowed.small)
            apart = error(value, exact[name], scale) / allowed.spacing
            assert apart <= allowed.limit * times, (name, apart)


def exactly(cell: Cell, case: Case) -> Result:
    """The reference as float64."""
    found = reference(cell, case)
    reals = [{k: real(v) for k, v in group.items()} for group in (found.last, found.params, found.x, found.state)]
    return Result(real(found.y), *reals)


# numbers


@pytest.mark.parametrize("name", ["lstm", "gru", *FEATURED])
def test_every_number_is_near_the_reference(way: str, dtype: str, name: str) -> None:
    cell = cell_of(name)
    module = build(cell, way)
    for kind in KINDS:
        case = half_case(cell, kind, dtype)
        within(run(module, case, dtype), exactly(cell, case), dtype)


@pytest.mark.whole
@pytest.mark.parametrize("name", [*shipped.names(), *FEATURES])
def test_every_cell_is_near_itself_in_float64(way: str, dtype: str, name: str) -> None:
    cell = cell_of(name)
    module = build(cell, way)
    for kind in KINDS:
        case = half_case(cell, kind, dtype)
        exact = run(build(cell, "numpy"), case, "float64")
        if all(np.isfinite(v).all() and np.abs(v).max(initial=0) < 1e3 for v in exact.tensors().values()):
            within(run(module, case, dtype), exact, dtype)


@pytest.mark.parametrize("name", [n if n in ("lstm", "gru_original", "mlstm", "layernorm_lstm")
                                  else pytest.param(n, marks=pytest.mark.whole) for n in shipped.names()])  # fmt: skip
def test_targets_agree(dtype: str, name: str) -> None:
    """Bit by bit, but where sums in another order fall on the other side of a boundary between two numbers."""
    cell = cell_of(name)
    case = rounded(random_case(cell, Kind("lengths", 6, 5, lengths=(6, 5, 3, 6, 1)), scale=0.5), dtype)
    first, *others = (run(build(cell, ready), case, dtype) for ready in READY)
    for other in others:
        found = alike(other, first)
        assert found.differ <= found.total / (500 if name in SAME else 40), found


SAME = ("lstm", "gru_original", "mlstm")
"""Cells whose kernels compute little besides sums and gates: at most one number in 500 differs."""


# types and shapes


def arrays_of(grads: Any) -> list[Array]:
    dx = grads.x if isinstance(grads.x, dict) else {"x": grads.x}
    return [grads.params.flat, *grads.params.values(), *dx.values(), *grads.state.values()]


@pytest.mark.parametrize("name", ["gru", "two_inputs", "matrix_lags", "matrix_start", "constant_arrays"])
@pytest.mark.parametrize("kind", [*KINDS, Kind("no steps", 0, 2), Kind("no samples", 3, 0)], ids=lambda k: k.title)
@pytest.mark.parametrize("checkpoint", [None, 2])
def test_everything_is_of_the_type_and_shape_of_what_comes(
    way: str, dtype: str, name: str, kind: Kind, checkpoint: int | None
) -> None:
    cell = cell_of(name)
    module = build(cell, way)
    case = half_case(cell, kind, dtype)
    params, y, last, tape = forward(module, case, dtype, checkpoint=checkpoint)
    dlast = {k: to_device(module, outside(v), dtype) for k, v in case.dlast.items()}
    grads = module.backward(params, tape, to_device(module, case.dy, dtype), dlast)
    assert {str(a.dtype) for a in (params.flat, y, *last.values(), *arrays_of(grads))} == {dtype}
    wide_params, wide_y, wide_last, wide_tape = forward(module, case, "float32", checkpoint=checkpoint)
    dlast = {k: to_device(module, outside(v), "float32") for k, v in case.dlast.items()}
    wide = module.backward(wide_params, wide_tape, to_device(module, case.dy, "float32"), dlast)
    shapes = [[a.shape for a in (y_, *last_.values(), *arrays_of(g))]
              for y_, last_, g in ((y, last, grads), (wide_y, wide_last, wide))]  # fmt: skip
    assert shapes[0] == shapes[1]


def test_packed_rows_are_the_same_bits(way: str, dtype: str) -> None:
    cell = cell_of("gru")
    module = build(cell, way)
    lengths = np.array([4, 2, 1])
    case = half_case(cell, Kind("case", 4, 3), dtype)
    send = functools.partial(to_device, module, dtype=dtype)
    params, y, last, _ = forward(module, replace(case, lengths=lengths), dtype)
    rows = [(t, b) for t in range(4) for b in range(3) if t < lengths[b]]
    pick = tuple(np.array(rows).T)
    state = {k: send(outside(v)) for k, v in case.state.items()}
    packed, packed_last, _ = module.forward(params, send(case.x["x"][pick]), state, lengths, packed=True)
    assert str(packed.dtype) == dtype
    assert to_host(module, packed).tobytes() == to_host(module, y)[pick].tobytes()
    assert all(to_host(module, packed_last[k]).tobytes() == to_host(module, v).tobytes() for k, v in last.items())


@given(
    steps=st.integers(0, 5), batch=st.integers(0, 3), every=st.integers(1, 6) | st.none(), data=st.data(),
    dtype=st.sampled_from(HALVES), name=st.sampled_from(["lstm", "learned_lags", "read_out"]),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("ready", READY)
def test_pieces_and_lengths_of_any_kind(
    ready: str, steps: int, batch: int, every: int | None, dtype: str, data: Any, name: str
) -> None:
    """What pieces give is what the whole gives, and that is what float32 gives, up to rounding to 16 bits."""
    cell = cell_of(name)
    module = build(cell, ready)
    lengths = data.draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch).map(tuple))
    case = half_case(cell, Kind("case", steps, batch, lengths=lengths), dtype)
    within(trained(module, case, dtype, every), run(module, case, "float32"), dtype)


def trained(module: types.ModuleType, case: Case, dtype: str, checkpoint: int | None) -> Result:
    """Forward and backward, perhaps in pieces."""
    send = functools.partial(to_device, module, dtype=dtype)
    params, y, last, tape = forward(module, case, dtype, checkpoint=checkpoint)
    dlast = {k: send(outside(v)) for k, v in case.dlast.items()}
    grads = module.backward(params, tape, send(case.dy), dlast)
    dx = grads.x if len(module.INPUTS) > 1 else dict.fromkeys(module.INPUTS, grads.x)

    def host(group: dict[str, Any], states: bool = False) -> dict[str, Any]:
        return {k: to_host(module, v[None] if states and k not in module.LAGS else v) for k, v in group.items()}

    return Result(to_host(module, y), host(last, True), host(grads.params), host(dx), host(grads.state, True))


# what is rounded, and what is not


def call(module: types.ModuleType, dtype: str, arrays: dict[str, Any], x: Any, **given: Any) -> Any:
    """The parameters, and what ``forward`` gives, for numbers as they are written here."""
    send = functools.partial(to_device, module, dtype=dtype)
    params = module.init_params(dtype=dtype, **dict.fromkeys(module.SIZES, np.shape(x)[-1]))
    if arrays:
        params = module.Params.from_dict({k: send(v) for k, v in arrays.items()})
    state = {k: send(v) for k, v in given.pop("state", {}).items()}
    return params, *module.forward(params, send(x), state, **given)


SUM = "x: H\nh: H\nc: H\nc[t] = c[t-1] + x[t]\nh[t] = 1 * c[t]"
"""A state that is carried, beside a result that is not."""


@pytest.mark.parametrize("checkpoint", [None, 1, 3])
def test_what_is_carried_is_not_rounded_from_step_to_step(way: str, checkpoint: int | None) -> None:
    """Beside 256 a bfloat16 has no halves: eight are 4, but one by one they are nothing. So it is with gradients."""
    module = build(parsed(SUM), way)
    send = functools.partial(to_device, module, dtype="bfloat16")
    start, halves = np.full((1, 2), 256.0), np.full((8, 1, 2), 0.5)
    params, y, last, tape = call(module, "bfloat16", {}, halves, state={"c": start}, checkpoint=checkpoint)
    assert to_host(module, last["c"]).astype(float).tolist() == [[260, 260]]
    # between even numbers to the one whose last bit is zero
    assert to_host(module, y)[:, 0, 0].astype(float).tolist() == [256, 256, 258, 258, 258, 260, 260, 260]
    grads = module.backward(params, tape, send(halves), {"c": send(start)})
    assert to_host(module, grads.state["c"]).astype(float).tolist() == [[260, 260]]


@pytest.mark.parametrize("checkpoint", [None, 1, 100])
def test_gradients_are_added_up_before_they_are_rounded(way: str, checkpoint: int | None) -> None:
    """In bfloat16 such a sum ends at 256, where the next number is 258; rounded by hundreds, it is 608."""
    module = build(parsed("x: H\nh: H\nb: H\nh[t] = x[t] + b"), way)
    ones = np.full((600, 1, 2), 1 + 2.0**-7)
    params, _, _, tape = call(module, "bfloat16", {"b": np.ones(2)}, ones, checkpoint=checkpoint)
    grads = module.backward(params, tape, to_device(module, ones, "bfloat16"))
    assert to_host(module, grads.params["b"]).astype(float).tolist() == [604, 604]


def test_operands_of_products_are_rounded(way: str, dtype: str) -> None:
    """(1 + ε)² - (1 + 2ε) is ε², and 0 once the square is rounded; so is the sum of the gradients by b."""
    module = build(parsed("x: H\nu: H\nb: H\nu[t] = x[t] * x[t] + b\nh: K\nW: (K, H)\nh[t] = W @ u[t]"), way)
    e = TOLERANCES[dtype].spacing
    x = np.array([[[1 + e, 0.0]]])
    arrays = {"b": np.array([0.0, 1 + 2 * e]), "W": np.array([[1.0, -1.0]])}
    _, y, _, _ = call(module, dtype, arrays, x)
    assert to_host(module, y).astype(float).tolist() == [[[0]]]
    assert float(call(module, "float32", arrays, x)[1][0, 0, 0]) != 0


def test_cotangents_of_all_steps_are_rounded(way: str, dtype: str) -> None:
    """What is added up over the steps is the rounded (1 + ε)², which -(1 + 2ε) cancels."""
    module = build(parsed("x: H\nh: H\nb: H\nu: H\nu[t] = x[t] * (h[t-1] + b)\nh[t] = x[t] * u[t]"), way)
    e = TOLERANCES[dtype].spacing
    x = np.array([[[1 + e]], [[0.0]]])
    params, _, _, tape = call(module, dtype, {"b": np.ones(1)}, x)
    grads = module.backward(params, tape, to_device(module, np.ones((2, 1, 1)), dtype))
    assert to_host(module, grads.params["b"]).astype(float).tolist() == [1 + 2 * e]


def test_cotangents_are_rounded_before_a_kernel_reads_them(way: str) -> None:
    """257 is 256 in bfloat16: 1.5 times that is 384, where 385.5 would be 386."""
    module = build(parsed("x: H\nh: H\na: H\nb: H\nh[t] = b * h[t-1] + a * x[t]"), way)
    arrays = {"a": np.full(1, 1.5), "b": np.ones(1)}
    params, _, _, tape = call(module, "bfloat16", arrays, np.ones((2, 1, 1)))
    grads = module.backward(params, tape, to_device(module, np.array([[[1.0]], [[256.0]]]), "bfloat16"))
    assert to_host(module, grads.x)[:, 0, 0].astype(float).tolist() == [384, 384]


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_tape_is_held_in_16_bits_but_for_carries(way: str, dtype: str, name: str) -> None:
    cell = cell_of(name)
    module = build(cell, way)
    _, _, _, tape = forward(module, half_case(cell, KINDS[0], dtype), dtype)
    wide = {k for k, v in tape.arrays.items() if str(v.dtype) == "float32"}
    assert wide == ({"c"} if name == "lstm" else {"h"})
    assert {str(v.dtype) for k, v in tape.arrays.items() if k not in wide} == {dtype}


def test_the_last_states_are_rounded_and_the_next_call_begins_there(way: str, dtype: str) -> None:
    cell = cell_of("gru")
    module = build(cell, way)
    case = half_case(cell, KINDS[0], dtype)
    params, y, last, _ = forward(module, case, dtype)
    assert to_host(module, last["h"]).tobytes() == to_host(module, y[-1]).tobytes()
    x = to_device(module, case.x["x"], dtype)
    again, _, _ = module.forward(params, x[:1], last)
    stepped, state = module.step(params, x[0], last)
    assert str(stepped.dtype) == str(state["h"].dtype) == dtype
    spacing = TOLERANCES[dtype].spacing
    assert error(to_host(module, stepped).astype(float), to_host(module, again)[0].astype(float), 1) <= spacing


def test_step_reads_parameters_and_constants_that_change_in_place(way: str, dtype: str) -> None:
    cell = cell_of("constant_arrays")
    module = build(cell, way)
    case = half_case(cell, KINDS[0], dtype)
    params, *_ = forward(module, case, dtype)
    x = to_device(module, case.x["x"], dtype)[0]
    state = {k: to_device(module, outside(v), dtype) for k, v in case.state.items()}
    for _ in range(2):
        before, _ = module.step(params, x, state)
        params.flat[...] = params.flat * 2
        params["A"][...] = params["A"] * 2
        after, _ = module.step(params, x, state)
        fresh, _ = module.step(params.copy(), x, state)
        assert to_host(module, after).tobytes() == to_host(module, fresh).tobytes() != to_host(module, before).tobytes()


# too large, and no numbers


def test_what_is_too_large_is_infinite(way: str) -> None:
    module = build(parsed("x: H\nh: H\na: H\nh[t] = a * x[t]"), way)
    x = np.array([[[300.0, -300.0, 1.0]]])
    params, y, _, tape = call(module, "float16", {"a": np.array([300.0, 300.0, 300.0])}, x)
    assert to_host(module, y).astype(float).tolist() == [[[np.inf, -np.inf, 300]]]
    grads = module.backward(params, tape, to_device(module, np.full((1, 1, 3), 250.0), "float16"))
    assert to_host(module, grads.x).astype(float).tolist() == [[[np.inf, np.inf, np.inf]]]
    assert to_host(module, grads.params["a"]).astype(float).tolist() == [np.inf, -np.inf, 250]


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_no_number_reaches_every_gradient(way: str, dtype: str, value: float) -> None:
    """A loss whose scale was too much has to show, in parts of a run as in the whole."""
    cell = cell_of("lstm")
    module = build(cell, way)
    case = half_case(cell, KINDS[0], dtype)
    case.dy[-1, 0] = value
    for checkpoint in (None, 1):
        found = trained(module, case, dtype, checkpoint)
        assert not any(np.isfinite(v.astype(float)).all() for v in found.gradients().values())


# what does not fit


def test_types_are_not_mixed(way: str, dtype: str) -> None:
    cell = cell_of("lstm")
    module = build(cell, way)
    case = half_case(cell, KINDS[0], dtype)
    params, _, _, tape = forward(module, case, dtype)
    other = next(half for half in HALVES if half != dtype)
    for wrong in ("float32", other):
        wide = functools.partial(to_device, module, dtype=wrong)
        message = f"expected {dtype}, the type of the parameters, got {wrong}"
        with pytest.raises(TypeError, match=f"x: {message}"):
            module.forward(params, wide(case.x["x"]))
        with pytest.raises(TypeError, match=f"dy: {message}"):
            module.backward(params, tape, wide(case.dy))
        with pytest.raises(TypeError, match=rf'state\["c"\]: {message}'):
            module.step(params, to_device(module, case.x["x"], dtype)[0], {"c": wide(outside(case.state["c"]))})
        with pytest.raises(TypeError, match="params: expected arrays of one type"):
            module.Params.from_dict({**params, "b_i": wide(case.params["b_i"])})


@pytest.mark.parametrize("kind", [">f2", "float8_e4m3fn", "int16"])
def test_other_types_of_few_bits_are_refused(way: str, kind: str) -> None:
    import ml_dtypes

    module = build(cell_of("lstm"), way)
    with pytest.raises(TypeError, match="dtype: expected float32, float64, float16 or bfloat16, got"):
        module.init_params(D=3, H=4, dtype=getattr(ml_dtypes, kind, kind))


def test_a_missing_package_is_named(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else needs it."""
    module = build(cell_of("lstm"), way)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match="dtype: bfloat16 needs the package ml_dtypes: pip install ml_dtypes"):
        module.init_params(D=3, H=4, dtype="bfloat16")
    params = module.init_params(D=3, H=4, dtype="float16")
    y, _, _ = module.forward(params, to_device(module, np.zeros((2, 1, 3)), "float16"))
    assert str(y.dtype) == "float16"


@pytest.mark.parametrize("kind", ["bfloat16", number_type("bfloat16"), number_type("bfloat16").type])
def test_the_type_has_three_names(way: str, kind: Any) -> None:
    """So has what it makes, in a copy and from a dict."""
    module = build(cell_of("lstm"), way)
    params = module.init_params(seed=1, D=3, H=4, dtype=kind)
    same = [params, params.copy(), module.Params.from_dict(dict(params))]
    assert {(str(p.flat.dtype), to_host(module, p.flat).tobytes()) for p in same} == {
        ("bfloat16", to_host(module, params.flat).tobytes())
    }
    wide = to_host(module, module.init_params(seed=1, D=3, H=4).flat)
    assert wide.astype(number_type("bfloat16")).tobytes() == to_host(module, params.flat).tobytes()


# second derivatives, and what is not of 16 bits


@pytest.mark.parametrize("name", ["lstm", "learned_lags"])
def test_second_derivatives(way: str, dtype: str, name: str) -> None:
    from symcell.verify import second

    cell = cell_of(name)
    module = build(cell, way, 2)
    for kind in (KINDS[0], KINDS[-1]):
        case = half_case(cell, kind, dtype)
        towards = second.random_direction(case)
        moved = rounded(replace(case, params=towards.params, x=towards.x, state=towards.state), dtype)
        towards = second.Direction(moved.params, moved.x, moved.state)
        found, _ = second.run(module, case, towards, dtype)
        exact, _ = second.run(build(cell, "numpy", 2), case, towards, "float64")
        assert {str(v.dtype) for v in found.tensors().values()} == {dtype}
        within(found, exact, dtype, 2)


LEARNED = "x: H\nh: H\nc: H\nb: H\nc[0] = b\nc[t] = c[t-1] + x[t]\nh[t] = 1 * c[t]"


def test_what_starts_a_tangent_is_added_in_float32(way: str) -> None:
    """In bfloat16 256 + 1 is 256, and so is that + 1."""
    module = build(parsed(LEARNED), way, 2)
    ones, much = np.ones((1, 1, 2)), np.full((1, 2), 256.0)
    params, *_ = call(module, "bfloat16", {"b": np.ones(2)}, ones)
    send = functools.partial(to_device, module, dtype="bfloat16")
    _, _, y_dot, _, _ = module.jvp(params, send(ones), params_dot=params, x_dot=send(ones), state_dot={"c": send(much)})
    assert to_host(module, y_dot).astype(float).tolist() == [[[258, 258]]]


def test_products_of_whole_numbers_are_numpys_own() -> None:
    """Whatever 16 bits take costs nothing where they are not used."""
    module: Callable[..., Any] = build(cell_of("lstm"), "numpy")  # type: ignore[assignment]
    for kind in map(np.dtype, ("float32", "float64")):
        assert module._products(kind) is np.matmul  # type: ignore[attr-defined]
        array = np.zeros(3, kind)
        assert module._as(array, kind) is module._rounded(array, kind) is array  # type: ignore[attr-defined]
