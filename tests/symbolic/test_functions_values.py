"""Every row's derivative against its value, and both against PyTorch, kinks and extremes included."""

from __future__ import annotations

import function_cases as cases
import mpmath
import numpy as np
import pytest
import sympy

from symcell.symbolic import functions as fn

every = pytest.mark.parametrize("function", fn.FUNCTIONS, ids=cases.name)


def _symbols(function):
    return sympy.symbols(f"v:{cases.arity(function)}", real=True)


def _derivative(function, k, point):
    """The table's derivative by argument ``k`` at a point, its functions computed by their rows."""
    symbols = _symbols(function)
    body = sympy.sympify(function(*symbols).derivative(k))
    with mpmath.workdps(cases.DIGITS):
        return cases.value(body, dict(zip(symbols, map(mpmath.mpf, point), strict=True)))


@every
def test_derivatives_agree_with_differences_of_the_value(function):
    """Protects against a derivative that is not the value's; a detached value has none by design."""
    if function is fn.Detached:
        assert function(sympy.Symbol("v")).derivative(0) == 0
        return
    for point in cases.points(function, cases.ORDINARY):
        for k in range(cases.arity(function)):
            with mpmath.workdps(3 * cases.DIGITS):
                values = [mpmath.mpf(v) for v in point]
                step = mpmath.mpf(10) ** -60

                def moved(by, values=values, k=k):
                    return function.row.exact(*(v + by * (j == k) for j, v in enumerate(values)))

                difference = (moved(step) - moved(-step)) / (2 * step)
                if abs(difference) > 1e30 or len(set(point)) < len(point):
                    continue  # a jump between the two sides, or a tie: kinks have their own test
                found = _derivative(function, k, point)
                assert abs(found - difference) <= 1e-25 * max(1, abs(difference)), (point, k)


@every
def test_composed_forms_are_the_value(function):
    """Protects against a composition that is another function than the row's value."""
    symbols = _symbols(function)
    body = fn.expand(function(*symbols))
    assert fn.expand(body) == body
    with mpmath.workdps(cases.DIGITS):
        for point in cases.points(function, cases.ORDINARY):
            found = cases.value(body, dict(zip(symbols, map(mpmath.mpf, point), strict=True)))
            assert mpmath.almosteq(found, cases.exact(function, point), rel_eps=1e-30, abs_eps=0), point


def _torch(function, point):
    """Value and derivatives by PyTorch's autograd; a leaf that nothing depends on has derivative 0."""
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in point]
    names = {f"v{k}": leaf for k, leaf in enumerate(leaves)}
    found = eval(function.row.torch.format(*names), {"torch": torch, **names})
    if not found.requires_grad:
        return float(found), [0.0] * len(leaves)
    slopes = torch.autograd.grad(found, leaves, allow_unused=True, materialize_grads=True)
    return float(found.detach()), [float(s) for s in slopes]


@every
def test_pytorch_agrees(function):
    """Protects the name of PyTorch's counterpart, and the table's value and derivative, at ordinary arguments."""
    for point in cases.points(function, cases.ORDINARY):
        value, slopes = _torch(function, point)
        scale = max(map(abs, point))  # PyTorch's own gelu and logsigmoid lose the tail to cancellation
        assert value == pytest.approx(float(cases.exact(function, point)), rel=1e-13, abs=1e-15 * scale), point
        for k, slope in enumerate(slopes):
            wanted = float(_derivative(function, k, point))
            assert wanted == pytest.approx(slope, rel=1e-12, abs=1e-13), (point, k)


@every
def test_kinks_are_pytorchs(function):
    """Protects the derivative that is taken where there is none: PyTorch's, ties and 0**0 included."""
    for point in cases.points(function, cases.KINKS):
        _, slopes = _torch(function, point)
        for k, slope in enumerate(slopes):
            if not np.isfinite(slope):
                continue
            if function is fn.EuclideanRoot and point == (0.0,):
                slope = 0.0  # torch.linalg.vector_norm's, not the square root's
            assert float(_derivative(function, k, point)) == pytest.approx(slope, rel=1e-14), (point, k)


@every
def test_a_step_along_the_imaginary_axis_is_the_derivative(function):
    """Protects complex-step differentiation: at kinks too the imaginary part is what the language takes."""
    if function is fn.Detached:
        return
    value = function.row.stepped or function.row.exact
    for point in cases.points(function, (*cases.KINKS, *cases.ORDINARY[::4])):
        for k in range(cases.arity(function)):
            with mpmath.workdps(cases.DIGITS):
                step = mpmath.mpc(0, mpmath.mpf(10) ** -40)
                try:
                    moved = value(*(mpmath.mpf(v) + step * (j == k) for j, v in enumerate(point)))
                    wanted = _derivative(function, k, point)
                except ZeroDivisionError:
                    continue  # an edge of the domain
                if (function is fn.Power and point[0] == 0) or not mpmath.isfinite(wanted):
                    continue
                assert mpmath.almosteq(mpmath.im(moved) / step.imag, wanted, rel_eps=1e-30, abs_eps=1e-30), (point, k)
