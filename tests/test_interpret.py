"""The interpreter: every function to 40 digits against its definition, every kind of step, complex numbers."""

from __future__ import annotations

import cmath
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from symcell.cell import ONE, Size
from symcell.graph import Block, Combine, Graph, Matrix, Op, Outer, Pointwise, Product, Reduce, Term, Total, Value
from symcell.interpret import EXACT, Run, run
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Param

D, H = Size(("D",)), Size(("H",))
POINTS = ("-3.7", "-1", "-0.4", "-1e-12", "0", "0.25", "1", "2.9", "11")

DEFINITIONS: dict[Any, Any] = {
    fn.Sigmoid: lambda v: mpmath.e**v / (1 + mpmath.e**v),
    fn.Tanh: lambda v: (mpmath.e ** (2 * v) - 1) / (mpmath.e ** (2 * v) + 1),
    fn.Relu: lambda v: (v + abs(v)) / 2,
    fn.Exp: lambda v: mpmath.e**v,
    fn.Abs: lambda v: mpmath.sqrt(v**2),
    fn.Sin: lambda v: mpmath.expj(v).imag,
    fn.Cos: lambda v: mpmath.expj(v).real,
    fn.Erf: lambda v: 2 / mpmath.sqrt(mpmath.pi) * mpmath.quad(lambda u: mpmath.exp(-u * u), mpmath.linspace(0, v, 9)),
    fn.NormalCdf: lambda v: (1 + mpmath.erf(v / mpmath.sqrt(2))) / 2,
    fn.Softplus: lambda v: mpmath.log(1 + mpmath.e**v),
    fn.Elu: lambda v: v if v > 0 else mpmath.e**v - 1,
    fn.Softsign: lambda v: v / (1 + abs(v)),
    fn.HardSigmoid: lambda v: min(max(v / 6 + mpmath.mpf(1) / 2, 0), 1),
    fn.HardTanh: lambda v: min(max(v, -1), 1),
    fn.Sign: lambda v: mpmath.sign(v),
    fn.Detached: lambda v: v,
}


def value_of(expr: sympy.Expr, **operands: Any) -> Any:
    """A body at one point."""
    names = {n: Value(n, (ONE,)) for n in (*operands, "h")}
    graph = Graph("one", names, dict.fromkeys(operands, 0), (), (Pointwise("h", expr),), ("h",))
    given = {(n, 0): np.array([[v]], object) for n, v in operands.items()}
    return run(graph, given, {}, {}, steps=1, batch=1, sizes={}).varying["h", 0][0, 0]


@pytest.mark.parametrize("function", DEFINITIONS)
def test_functions_of_one_argument(function: Any) -> None:
    with mpmath.workdps(50):
        for point in map(mpmath.mpf, POINTS):
            found, wanted = value_of(function(At("v")), v=point), DEFINITIONS[function](point)
            assert abs(found - wanted) <= mpmath.mpf(10) ** -40 * max(1, abs(wanted)), point


def test_functions_of_several_arguments() -> None:
    u, v, w = At("u"), At("v"), At("w")
    with mpmath.workdps(50):
        for a in map(mpmath.mpf, POINTS):
            for b in map(mpmath.mpf, POINTS):
                assert value_of(fn.Maximum(u, v), u=a, v=b) == max(a, b)
                assert value_of(fn.Minimum(u, v), u=a, v=b) == min(a, b)
                assert value_of(fn.Greater(u, v), u=a, v=b) == (a > b)
                assert value_of(fn.GreaterEqual(u, v), u=a, v=b) == (a >= b)
                assert value_of(fn.Equal(u, v), u=a, v=b) == (a == b)
                assert value_of(fn.NotEqual(u, v), u=a, v=b) == (a != b)
                assert value_of(fn.Where(fn.Greater(u, v), u, v), u=a, v=b) == max(a, b)
                assert value_of(fn.Clip(u, v, w), u=a, v=b, w=b + 1) == min(max(a, b), b + 1)
        assert value_of(fn.Power(u, v), u=mpmath.mpf(2), v=mpmath.mpf("0.5")) == mpmath.sqrt(2)
        assert value_of(fn.Log(u), u=mpmath.mpf(2)) == mpmath.log(2)
        assert value_of(fn.Sqrt(u), u=mpmath.mpf(2)) == mpmath.sqrt(2)
        third = value_of(sympy.pi * u + sympy.Rational(1, 3), u=mpmath.mpf(3)) - mpmath.pi * 3
        assert abs(third - mpmath.mpf(1) / 3) < mpmath.mpf(10) ** -48


def test_what_is_not_a_number_is_nan() -> None:
    for expr in (1 / At("v"), fn.Log(At("v"))):
        assert mpmath.isnan(value_of(expr, v=mpmath.mpf(0))) or mpmath.isinf(value_of(expr, v=mpmath.mpf(0)))


@pytest.mark.parametrize("function", [f for f in DEFINITIONS if f not in (fn.Sign, fn.Detached)])
def test_a_complex_step_gives_the_derivative(function: Any) -> None:
    with mpmath.workdps(50):
        for point in map(mpmath.mpf, ("-3.7", "-0.4", "0.25", "1.5")):
            stepped = mpmath.mpmathify(value_of(function(At("v")), v=mpmath.mpc(point, "1e-30"))).imag / mpmath.mpf(
                "1e-30"
            )
            derivative = value_of(function(At("v")).diff(At("v")), v=point)
            assert abs(stepped - derivative) < mpmath.mpf(10) ** -30, point


def steps(*ops: Op, sizes: dict[str, int], given: dict[str, Any], fixed: dict[str, Any], shapes: dict[str, Any]) -> Run:
    values = {
        n: Value(n, shape, n in fixed or isinstance(op, Outer | Total | Combine)) for n, (shape, op) in shapes.items()
    }
    graph = Graph("steps", values, dict.fromkeys(given, 0), tuple(fixed), ops, ())
    varying = {(n, t): EXACT.array(v) for n, array in given.items() for t, v in enumerate(array)}
    count = len(next(iter(given.values())))
    fixed = {n: EXACT.array(np.reshape(v, (1, -1)) if np.ndim(v) == 1 else v) for n, v in fixed.items()}
    return run(graph, varying, fixed, {}, steps=count, batch=len(next(iter(given.values()))[0]), sizes=sizes)


def test_every_kind_of_step_against_numpy() -> None:
    rng = np.random.default_rng(0)
    sizes = {"D": 3, "H": 4}
    x, z = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    W, U, b = rng.normal(size=(4, 3)), rng.normal(size=(4, 7)), rng.normal(size=4)
    start, width = Size(("H",)), Size(("D",))
    ops: dict[str, tuple[Any, Op]] = {
        "p": ((H,), Product("p", ((Matrix("W"), At("x")), (Matrix("U", block=Block(Size(), H)), At("z"))))),
        "q": ((D,), Product("q", ((Matrix("U", True, Block(start, width)), At("z")),))),
        "s": ((ONE,), Reduce("s", "sum", At("p"))),
        "m": ((ONE,), Reduce("m", "max", At("p"))),
        "r": ((H,), Pointwise("r", At("p") * Param("b") + At("s") / Count(H) - At("m"))),
        "O": ((H, D), Outer("O", At("r"), At("q"))),
        "t": ((H,), Total("t", At("r"))),
        "C": ((H, Size(("D", "H"))), Combine("C", (Term(sympy.Integer(2), Matrix("W"), Block(start, width)),
                                                   Term(sympy.Integer(-1), Matrix("U"))))),
    }  # fmt: skip
    shapes = {
        "x": ((D,), None),
        "z": ((H,), None),
        "W": ((H, D), None),
        "U": ((H, Size(("D", "H"))), None),
        "b": ((H,), None),
        **ops,
    }
    found = steps(
        *(op for _, op in ops.values()),
        sizes=sizes,
        given={"x": x, "z": z},
        fixed={"W": W, "U": U, "b": b},
        shapes=shapes,
    )
    p = x @ W.T + z @ U[:, :4].T
    q = z @ U[:, 4:]
    r = p * b + p.sum(2, keepdims=True) / 4 - p.max(2, keepdims=True)
    C = -U.copy()
    C[:, 4:] += 2 * W
    wanted = {"p": p, "q": q, "s": p.sum(2, keepdims=True), "m": p.max(2, keepdims=True), "r": r}
    for name, value in wanted.items():
        got = np.array([found.varying[name, t] for t in range(5)], float)
        np.testing.assert_allclose(got, value, rtol=1e-13, atol=1e-13)
    for name, value in {"O": np.einsum("tbi,tbj->ij", r, q), "t": r.sum((0, 1))[None], "C": C}.items():
        np.testing.assert_allclose(found.fixed[name].astype(float), value, rtol=1e-12, atol=1e-12)


def test_directions_and_boundaries() -> None:
    values = {"x": Value("x", (ONE,)), "h": Value("h", (ONE,))}
    x = {("x", t): EXACT.array([[t + 1.0]]) for t in range(4)}
    ahead = Graph("ahead", values, {"x": 0}, (), (Pointwise("h", At("x") + 10 * At("h", 2)),), ("h",))
    found = run(ahead, x, {}, {("h", -2): EXACT.array([[7.0]])}, steps=4, batch=1, sizes={})
    assert [float(found.varying["h", t][0, 0]) for t in range(4)] == [71, 2, 713, 24]
    back = Graph("back", values, {"x": 0}, (), (Pointwise("h", At("x") + 10 * At("h", -1)),), ("h",), -1)
    found = run(back, x, {}, {("h", 4): EXACT.array([[5.0]])}, steps=4, batch=1, sizes={})
    assert [float(found.varying["h", t][0, 0]) for t in range(4)] == [54321, 5432, 543, 54]


def test_complex_comparisons_look_at_the_real_part() -> None:
    assert value_of(fn.Relu(At("v")), v=mpmath.mpc(2, 1)) == mpmath.mpc(2, 1)
    assert value_of(fn.Relu(At("v")), v=mpmath.mpc(-2, 1)) == 0
    assert complex(value_of(fn.Exp(At("v")), v=mpmath.mpc(0, 1))) == pytest.approx(cmath.exp(1j))
