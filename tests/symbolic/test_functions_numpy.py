"""The NumPy calls of every row: accurate in both types, at extremes too, whatever the memory looks like."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

import function_cases as cases
import mpmath
import numpy as np
import pytest
import sympy

from symcell.symbolic import functions as fn

BASIC = [f for f in fn.FUNCTIONS if f.row.numpy]
COMPOSED = [f for f in fn.FUNCTIONS if not f.row.numpy]
ULPS = 6

basic = pytest.mark.parametrize("function", BASIC, ids=cases.name)
both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def run(function, arguments, out, mask=None):
    """What an emitted module does: the helpers defined, then the calls."""
    mask = np.empty(out.shape, bool) if mask is None else mask
    names: dict[str, Any] = {f"a{k}": v for k, v in enumerate(arguments)}
    lines = fn.calls(function, list(names), "out", "mask")
    scope = {"np": np, "Any": Any, **names, "out": out, "mask": mask}
    with np.errstate(all="ignore"):
        exec("\n".join((*fn.python_helpers([function]), *lines)), scope)
    return out


def columns(function, values, dtype):
    """Points where the function is defined, and their coordinates as arrays."""
    points = cases.points(function, values, dtype)
    return points, [np.array(c, dtype) for c in zip(*points, strict=True)]


@basic
@both_types
@pytest.mark.parametrize("values", [cases.ORDINARY, cases.EXTREME, cases.KINKS], ids=["ordinary", "extreme", "kinks"])
def test_values_are_right_to_a_few_units_in_the_last_place(function, dtype, values):
    """Protects every stable form: no cancellation, no overflow on the way, no tail that is lost."""
    points, arguments = columns(function, values, dtype)
    found = run(function, arguments, np.empty(len(points), dtype))
    off = cases.ulps(found, [cases.exact(function, p) for p in points], dtype)
    assert off.max() <= ULPS, (points[int(off.argmax())], off.max())


def _with_numpy(expr, at, dtype):
    """A body by NumPy, one operation at a time."""
    if expr in at:
        return at[expr]
    if expr.is_number:
        return dtype(float(expr))
    if expr.is_Mul and (below := sympy.fraction(expr)[1]) != 1:
        return _with_numpy(sympy.fraction(expr)[0], at, dtype) / _with_numpy(below, at, dtype)
    if expr.is_Pow and expr.exp.is_number:
        return _with_numpy(expr.base, at, dtype) ** dtype(float(expr.exp))
    arguments = [_with_numpy(a, at, dtype) for a in expr.args]
    if isinstance(expr, fn.Elementwise):
        arrays = np.broadcast_arrays(*arguments)
        return run(type(expr), [a.copy() for a in arrays], np.empty(arrays[0].shape, dtype))
    return reduce(operator.add if expr.is_Add else operator.mul, arguments)


@pytest.mark.parametrize("function", COMPOSED, ids=cases.name)
@both_types
@pytest.mark.parametrize("values", [cases.ORDINARY, cases.EXTREME], ids=["ordinary", "extreme"])
def test_composed_functions_are_as_accurate(function, dtype, values):
    """Protects against a composition that cancels where a form of its own would not."""
    points, arguments = columns(function, values, dtype)
    symbols = sympy.symbols(f"v:{cases.arity(function)}")
    with np.errstate(all="ignore"):
        found = _with_numpy(fn.expand(function(*symbols)), dict(zip(symbols, arguments, strict=True)), dtype)
    wanted = [cases.exact(function, p) for p in points]
    off = cases.ulps(found, wanted, dtype)
    normal = np.array(
        [abs(w) >= float(np.finfo(dtype).tiny) for w in wanted]
    )  # below, v times a rounded 0 is all there is
    off = np.where(normal, off, off / np.maximum(1, np.abs(arguments[0])))
    assert off.max() <= ULPS + 2, (points[int(off.argmax())], off.max())


@pytest.mark.parametrize("function", fn.FUNCTIONS, ids=cases.name)
@both_types
@pytest.mark.parametrize("values", [cases.ORDINARY, cases.EXTREME, cases.KINKS], ids=["ordinary", "extreme", "kinks"])
def test_derivatives_neither_overflow_nor_cancel(function, dtype, values):
    """Protects every derivative as a formula: it has no NaN on the way, and no error larger than rounding is at 1."""
    if function is fn.Power and values == cases.EXTREME:
        return  # v * u**(v - 1) overflows beside 0, as PyTorch's does
    points, arguments = columns(function, values, dtype)
    symbols = sympy.symbols(f"v:{cases.arity(function)}")
    at = dict(zip(symbols, arguments, strict=True))
    for k in range(cases.arity(function)):
        body = sympy.sympify(function(*symbols).derivative(k))
        with np.errstate(all="ignore"):
            found = np.broadcast_to(_with_numpy(body, at, dtype), len(points))
        for point, got in zip(points, found.tolist(), strict=True):
            with mpmath.workdps(cases.DIGITS):
                try:
                    wanted = cases.value(body, dict(zip(symbols, map(mpmath.mpf, point), strict=True)))
                except ZeroDivisionError:
                    wanted = mpmath.inf
            if not abs(wanted) < float(np.finfo(dtype).max):
                continue  # an infinite slope
            bound = 1000 if function is fn.Power else 16  # a power magnifies the rounding of its exponent
            assert abs(got - float(wanted)) <= bound * np.finfo(dtype).eps * max(1, abs(wanted)), (
                point,
                k,
                got,
                wanted,
            )


def _operands(function, shape, dtype):
    values = np.random.default_rng(0).uniform(0.1, 2, (cases.arity(function), *shape)).astype(dtype)
    if function is fn.Where:
        values[0] = values[0] > 1
    return list(values)


@basic
@both_types
def test_the_result_may_take_an_arguments_place(function, dtype):
    """Protects ``overwrites``: what a row allows is right, for arrays of one part and of several."""
    for shape in ((5, 7), (300, 80)):
        wanted = run(function, _operands(function, shape, dtype), np.empty(shape, dtype))
        for k in function.row.overwrites:
            arguments = _operands(function, shape, dtype)
            assert np.array_equal(run(function, arguments, arguments[k]), wanted), k


@basic
@both_types
@pytest.mark.parametrize("width", [1, 2, 3])
def test_views_of_any_stride_are_right(function, dtype, width):
    """Protects against ufuncs that NumPy gets wrong on columns of a wider array.

    np.negative is: NumPy 2.1 to 2.4, one column of float32 (float64) whose rows lie 16 (64) bytes apart.
    """
    rows = 33
    wanted = run(function, _operands(function, (rows, width), dtype), np.empty((rows, width), dtype))
    for apart in range(width, 20):
        for k in (None, *function.row.overwrites):
            arguments = _operands(function, (rows, width), dtype)
            wide = np.full((1 + len(arguments), rows, apart), 7, dtype)
            for room, argument in zip(wide, arguments, strict=False):
                room[:, :width] = argument
            views = [room[:, :width] for room in wide[:-1]]
            mask = np.empty((rows, apart), bool)[:, :width]
            out = wide[-1][:, :width] if k is None else views[k]
            run(function, views, out, mask)
            assert np.allclose(out, wanted, rtol=8 * np.finfo(dtype).eps), (apart, k)
            assert (wide[:, :, width:] == 7).all()


@basic
@both_types
def test_scalars_broadcast(function, dtype):
    """Protects numbers, and parameters of one number, as arguments."""
    for shape in ((), (1,), (2, 3)):
        arguments = _operands(function, (), dtype)
        wanted = run(function, _operands(function, (1,), dtype), np.empty(1, dtype))
        found = run(function, [float(a) for a in arguments], np.empty(shape, dtype))
        assert np.allclose(found, wanted, rtol=8 * np.finfo(dtype).eps)
        again = run(function, arguments, np.empty(shape, dtype))
        assert np.allclose(again, wanted, rtol=8 * np.finfo(dtype).eps)


@basic
@both_types
def test_nan_passes_through(function, dtype):
    """Protects a NaN from being clipped, compared or chosen away, where it is a value."""
    if issubclass(function, fn.Predicate):
        return
    for k in range(function is fn.Where, cases.arity(function)):
        arguments = _operands(function, (40,), dtype)
        if function is fn.Where:
            arguments[0][:] = k == 1
        arguments[k][3] = np.nan
        found = run(function, arguments, np.empty(40, dtype))
        assert np.isnan(found[3])
        assert np.isfinite(np.delete(found, 3)).all()


@basic
def test_cupy_takes_the_same_text(function):
    """Protects the other package from being left with a name of this one."""
    texts = (*fn.python_helpers([function], "cp"), *fn.calls(function, ["a", "b", "c"], "o", "m", "cp"))
    assert not any("np." in text for text in texts)
    assert "negative" not in " ".join(texts)
