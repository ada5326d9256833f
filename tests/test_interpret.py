"""The interpreter: every function to 40 digits against its definition, every kind of step, complex numbers."""

from __future__ import annotations

import cmath
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from feature_cells import FEATURES

import symcell
from symcell.adjoint import adjoint
from symcell.cell import ONE, Size
from symcell.graph import (
    Block,
    Combine,
    Contraction,
    Entry,
    Exit,
    Graph,
    Matrix,
    Op,
    Outer,
    Pointwise,
    Reduce,
    Term,
    Total,
    Value,
    name_of,
)
from symcell.interpret import EXACT, Arithmetic, Run, run
from symcell.lower import lower
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param

D, H = Size.of("D"), Size.of("H")
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
    varies = set(given)
    for op in ops:
        if not isinstance(op, Total | Combine) and any(name_of(o) in varies for o in op.operands()):
            varies.add(op.out)
    values = {n: Value(n, shape, n not in varies) for n, shape in shapes.items()}
    graph = Graph("steps", values, dict.fromkeys(given, 0), tuple(fixed), ops, ()).check()
    varying = {(n, t): EXACT.array(v) for n, array in given.items() for t, v in enumerate(array)}
    count, batch = next(iter(given.values())).shape[:2]
    fixed = {n: EXACT.array(v) for n, v in fixed.items()}
    return run(graph, varying, fixed, {}, steps=count, batch=batch, sizes=sizes)


def compare(found: Run, name: str, wanted: Any) -> None:
    got = found.fixed[name] if name in found.fixed else np.array([found.varying[name, t] for t in range(len(wanted))])
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got.astype(float), wanted, rtol=1e-12, atol=1e-12)


def test_every_kind_of_step_against_numpy() -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    W, U, b = rng.normal(size=(4, 3)), rng.normal(size=(4, 7)), rng.normal(size=4)
    early, later = (Matrix(Param("U"), block=b) for b in (Block(Size(), H), Block(H, D)))
    ops: tuple[tuple[Any, Op], ...] = (
        ((H,), Contraction("p", ((Matrix(Param("W")), At("x")), (early, At("z"))))),
        ((D,), Contraction("q", ((later.T, At("z")),))),
        ((), Reduce("s", "sum", At("p"))),
        ((), Reduce("m", "max", At("p"))),
        ((H,), Pointwise("r", At("p") * Param("b") + At("s") / Count(H) - At("m"))),
        ((H, D), Outer("O", At("r"), At("q"))),
        ((H, D), Total("S", At("O"))),
        ((H,), Total("t", At("r"))),
        ((H, D), Pointwise("M", At("r").along(0) * At("x").along(1) + At("s") * Param("W"))),
        ((H,), Contraction("u", ((Matrix(At("M")), At("x")), (Matrix(Param("W")), At("q"))))),
        ((D,), Contraction("v", ((Matrix(At("M"), True), At("r")),))),
        ((D,), Reduce("c", "sum", At("M"), 0)),
        ((H,), Reduce("e", "max", At("M"), 1)),
        ((), Reduce("a", "sum", At("M"))),
        ((H, H + D), Combine("C", (Term(sympy.Integer(2), Matrix(Param("W")), Block(H, D)),
                                   Term(sympy.Integer(-1), Matrix(Param("U")))))),
        ((), Reduce("k", "max", Param("b"))),
        ((H, D), Outer("L", Param("b"), Param("w"))),
        ((H, D), Pointwise("N", Param("b", 0) * Param("w", 1) / Param("k") + Constant("eps", 3))),
    )  # fmt: skip
    w = rng.normal(size=3)
    shapes = {"x": (D,), "z": (H,), "W": (H, D), "U": (H, H + D), "b": (H,), "w": (D,)}
    found = steps(*(op for _, op in ops), sizes={"D": 3, "H": 4}, given={"x": x, "z": z},
                  fixed={"W": W, "U": U, "b": b, "w": w}, shapes=shapes | {op.out: s for s, op in ops})  # fmt: skip
    p = x @ W.T + z @ U[:, :4].T
    q = z @ U[:, 4:]
    s, m = p.sum(2), p.max(2)
    r = p * b + s[..., None] / 4 - m[..., None]
    O = np.einsum("tbi,tbj->tbij", r, q)  # noqa: E741
    M = r[..., :, None] * x[..., None, :] + s[..., None, None] * W
    C = -U.copy()
    C[:, 4:] += 2 * W
    wanted = {"p": p, "q": q, "s": s, "m": m, "r": r, "O": O, "S": O.sum((0, 1)), "t": r.sum((0, 1)), "M": M, "C": C,
              "u": np.einsum("tbij,tbj->tbi", M, x) + q @ W.T, "v": np.einsum("tbij,tbi->tbj", M, r),
              "c": M.sum(2), "e": M.max(3), "a": M.sum((2, 3)), "k": b.max(), "L": np.outer(b, w),
              "N": np.outer(b, w) / b.max() + 3}  # fmt: skip
    for name, value in wanted.items():
        compare(found, name, value)


def scalar(value: float) -> Any:
    return EXACT.array([[value]])


def test_directions_and_boundaries() -> None:
    values = {"x": Value("x", (ONE,)), "h": Value("h", (ONE,))}
    x = {("x", t): scalar(t + 1.0) for t in range(4)}
    body = At("x") + 10 * At("h", 2)
    edges = {"entries": (Entry("h", "first", 2),), "exits": (Exit("last", ("h",), 2),)}
    ahead = Graph("ahead", values, {"x": 0}, (), (Pointwise("h", body),), ("h",), **edges)
    found = run(ahead, x, {}, {"first": EXACT.array([[[7.0]], [[0.0]]])}, steps=4, batch=1, sizes={})
    assert [float(found.varying["h", t][0, 0]) for t in range(4)] == [71, 2, 713, 24]
    assert [float(v[0, 0]) for v in found.edges["last"]] == [713, 24]
    edges = {"entries": (Entry("h", "last", 1),), "exits": (Exit("first", ("h",), 1),)}
    back = Graph("back", values, {"x": 0}, (), (Pointwise("h", At("x") + 10 * At("h", -1)),), ("h",), -1, **edges)
    found = run(back, x, {}, {"last": EXACT.array([[[5.0]]])}, steps=4, batch=1, sizes={})
    assert [float(found.varying["h", t][0, 0]) for t in range(4)] == [54321, 5432, 543, 54]
    assert [float(v[0, 0]) for v in found.edges["first"]] == [54321]


def test_what_leaves_is_the_sum_of_last_steps() -> None:
    """Values carried less far fill the places next to the sequence; one longer than the sequence keeps what entered."""
    values = {n: Value(n, (ONE,)) for n in "xab"}
    ops = (Pointwise("a", At("x") + At("a", -1)), Pointwise("b", 100 * At("x") + At("b", -3)))
    graph = Graph("back", values, {"x": 0}, (), ops, ("a",), -1, (Entry("b", "last", 3),), (Exit("e", ("a", "b"), 3),))
    x = {("x", t): scalar(t + 1.0) for t in range(2)}
    last = EXACT.array([[[1000.0]], [[2000.0]], [[4000.0]]])
    found = run(graph.check(), x, {}, {"last": last}, steps=2, batch=1, sizes={})
    assert [float(v[0, 0]) for v in found.edges["e"]] == [2100, 4200, 1000 + 3]


@pytest.mark.parametrize(("passed", "wanted"), [(True, 3.0), (False, 10.0)])
def test_a_start_stands_where_nothing_is_passed(passed: bool, wanted: float) -> None:
    values = {"x": Value("x", (ONE,)), "h": Value("h", (ONE,)), "s": Value("s", (ONE,), fixed=True)}
    graph = Graph("start", values, {"x": 0}, ("s",), (Pointwise("h", At("x") + At("h", 1)),), ("h",),
                  entries=(Entry("h", "first", 1, "s"),)).check()  # fmt: skip
    boundary = {"first": EXACT.array([[[2.0]]])} if passed else {}
    found = run(graph, {("x", 0): scalar(1.0)}, {"s": EXACT.array([9.0])}, boundary, steps=1, batch=1, sizes={})
    assert float(found.varying["h", 0][0, 0]) == wanted


def test_complex_comparisons_look_at_the_real_part() -> None:
    assert value_of(fn.Relu(At("v")), v=mpmath.mpc(2, 1)) == mpmath.mpc(2, 1)
    assert value_of(fn.Relu(At("v")), v=mpmath.mpc(-2, 1)) == 0
    assert complex(value_of(fn.Exp(At("v")), v=mpmath.mpc(0, 1))) == pytest.approx(cmath.exp(1j))


FUNCTIONS = {fn.Sigmoid: lambda v: 1 / (1 + np.exp(-v)), fn.Tanh: np.tanh, fn.Power: lambda u, v: u**v}


@pytest.mark.parametrize("name", ["matrix_memory", "matrix_lags", "learned_lags"])
def test_double_and_complex_numbers(name: str) -> None:
    """Gradients in float64 against a complex step of the forward sweep in complex128."""
    graph = lower(symcell.parse(FEATURES[name], name=name))
    derived = adjoint(graph)
    rng = np.random.default_rng(3)
    sizes, steps, batch = {"D": 2, "H": 3, "K": 2}, 4, 2

    def normal(of: str, *lead: int) -> Any:
        return rng.normal(size=(*lead, *(s.value(sizes) for s in graph.shape(of)))) / 2

    given = {(n, t): normal(n, batch) for n in graph.given for t in range(steps)}
    fixed = {n: normal(n) for n in graph.fixed}
    direction = {n: normal(n) for n in graph.fixed}
    weights = [normal(graph.outputs[0], batch) for _ in range(steps)]

    def sweep(of: Graph, values: Any, params: Any, kind: type) -> Run:
        arithmetic = Arithmetic(kind, FUNCTIONS, kind)
        return run(of, values, params, {}, steps=steps, batch=batch, sizes=sizes, arithmetic=arithmetic)

    stepped = sweep(graph, given, {n: v + 1e-30j * direction[n] for n, v in fixed.items()}, complex)
    wanted = sum(np.sum(w * stepped.varying[graph.outputs[0], t]) for t, w in enumerate(weights)).imag / 1e-30
    forward = sweep(graph, given, fixed, float)
    seeds = {(derived.seeds[graph.outputs[0]], t): w for t, w in enumerate(weights)}
    back = sweep(derived.graph, {**forward.varying, **seeds}, forward.fixed, float)
    found = sum(np.sum(back.fixed[derived.gradients[n]] * direction[n]) for n in graph.fixed)
    assert found == pytest.approx(wanted, rel=1e-12)
