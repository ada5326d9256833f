"""The rules of differentiation, one kind of step at a time; kinks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from feature_cells import FEATURES

import symcell
from symcell.adjoint import Adjoint, adjoint
from symcell.cell import ONE, Cell, Size
from symcell.graph import (
    Block,
    Combine,
    Graph,
    Matrix,
    Op,
    Outer,
    Pointwise,
    Product,
    Reduce,
    Term,
    Total,
    Value,
    name_of,
)
from symcell.interpret import EXACT, Run, run
from symcell.lower import lower
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Param
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case
from symcell.verify.reference import reference

D, H = Size(("D",)), Size(("H",))
SIZES = {"D": 2, "H": 3}
STEPS, BATCH = 3, 2

# one rule at a time, against central differences


SHAPES = {"x": (D,), "z": (H,), "o": (ONE,)}
FIXED = {"W": (H, D), "U": (H, H), "V": (H, Size(("D", "H"))), "b": (H,), "c": (D,), "k": (ONE,)}
LAST = (Pointwise("y", At("r") * At("z")),)

RULES: dict[str, tuple[Op, ...]] = {
    "pointwise": (Pointwise("r", fn.Tanh(At("z") * Param("b")) + At("o") ** 2),),
    "pointwise of one unit": (Pointwise("r", At("o") * Param("k")),),
    "pointwise, earlier": (
        Pointwise("q", At("z") * Param("b")),
        Pointwise("r", At("q", 1) + fn.Sin(At("q", 2)) + At("z", 1)),
    ),
    "pointwise, carried": (Pointwise("r", fn.Tanh(At("r", 1) * Param("b") + At("z")) + At("r", 2) / 3),),
    "pointwise with a count": (Pointwise("r", At("z") / Count(H)),),
    "product": (Product("r", ((Matrix("W"), At("x")), (Matrix("U"), At("z")))),),
    "product, transposed": (Product("r", ((Matrix("U", True), At("z")),)),),
    "product, a block": (
        Product("r", ((Matrix("V", block=Block(D, H)), At("z")), (Matrix("V", block=Block(Size(), D)), At("x")))),
    ),
    "product, a block transposed": (
        Product("q", ((Matrix("V", True, Block(Size(), D)), At("z")),)),
        Product("r", ((Matrix("W"), At("q")),)),
    ),
    "product, carried": (
        Product("q", ((Matrix("U"), At("r", 1)), (Matrix("U"), At("r", 3)))),
        Pointwise("r", fn.Tanh(At("q") + At("z"))),
    ),
    "product, the same twice": (Product("r", ((Matrix("U"), At("z")), (Matrix("U", True), At("z")))),),
    "product, fixed": (Product("f", ((Matrix("W"), Param("c")),)), Pointwise("r", Param("f") * At("z"))),
    "sum": (Reduce("s", "sum", At("z")), Pointwise("r", At("s") ** 2 + Param("b"))),
    "maximum": (Reduce("s", "max", At("z")), Pointwise("r", At("s") ** 2 + Param("b"))),
    "sum, fixed": (Reduce("s", "sum", Param("b")), Pointwise("r", Param("s") ** 2 * At("z"))),
    "maximum, fixed": (Reduce("s", "max", Param("b")), Pointwise("r", Param("s") ** 2 * At("z"))),
    "fixed pointwise": (Pointwise("f", fn.Exp(Param("b")) * Param("k")), Pointwise("r", Param("f") * At("z"))),
    "outer": (Outer("G", At("z"), At("x")), Product("r", ((Matrix("G"), At("x")),))),
    "outer, fixed": (Outer("G", Param("b"), Param("c")), Product("r", ((Matrix("G"), At("x")),))),
    "outer, earlier": (Outer("G", At("z"), At("x", 1)), Product("r", ((Matrix("G"), At("x")),))),
    "total": (Total("f", At("z")), Pointwise("r", Param("f") ** 2 * At("z"))),
    "combine": (
        Combine("G", (Term(sympy.Integer(2), Matrix("U")), Term(sympy.Integer(-1), Matrix("U", True)))),
        Product("r", ((Matrix("G"), At("z")),)),
    ),
    "combine into columns": (
        Combine(
            "G",
            (
                Term(sympy.Integer(3), Matrix("U"), Block(D, H)),
                Term(sympy.Integer(1), Matrix("W"), Block(Size(), D)),
                Term(sympy.Rational(1, 2), Matrix("V")),
            ),
        ),
        Product("r", ((Matrix("G", block=Block(D, H)), At("z")), (Matrix("G", block=Block(Size(), D)), At("x")))),
    ),
    "combine a block": (
        Combine("G", (Term(sympy.Integer(1), Matrix("V", block=Block(Size(), D))),)),
        Product("r", ((Matrix("G"), At("x")),)),
    ),
}
MADE = {"r": (H,), "q": (H,), "s": (ONE,), "f": (H,), "y": (H,), "G": (H, D)}
OTHER_SHAPES = {
    "combine": {"G": (H, H)},
    "combine into columns": {"G": FIXED["V"]},
    "product, a block transposed": {"q": (D,)},
}


def rule_graph(name: str) -> Graph:
    ops = (*RULES[name], *LAST)
    made = {**MADE, **OTHER_SHAPES.get(name, {})}
    values = {n: Value(n, s) for n, s in SHAPES.items()} | {n: Value(n, s, True) for n, s in FIXED.items()}
    for op in ops:
        fixed = isinstance(op, Outer | Total | Combine) or not any(isinstance(o, At) for o in op.operands())
        values[op.out] = Value(op.out, made[op.out], fixed)
    return Graph("rule", values, {"x": 1, "z": 1, "o": 0}, tuple(FIXED), ops, ("y",)).check()


class Point:
    """Random values of everything given, and sweeps from there."""

    def __init__(self, graph: Graph, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)

        def normal(*shape: int) -> Any:
            return EXACT.array(rng.normal(size=shape))

        self.graph = graph
        width = {n: v.size.value(SIZES) for n, v in graph.values.items()}
        self.given = {(n, t): normal(BATCH, width[n]) for n in graph.given for t in range(STEPS)}
        self.fixed = {n: normal(*(s.value(SIZES) for s in graph.values[n].shape)) for n in graph.fixed}
        self.fixed = {n: v.reshape(1, -1) if v.ndim == 1 else v for n, v in self.fixed.items()}
        self.seed = {("y", t): normal(BATCH, 3) for t in range(STEPS)}

    def forward(self, given: Any = None, fixed: Any = None) -> Run:
        return run(self.graph, given or self.given, fixed or self.fixed, {}, steps=STEPS, batch=BATCH, sizes=SIZES)

    def loss(self, given: Any = None, fixed: Any = None) -> Any:
        found = self.forward(given, fixed)
        return sum((found.varying[key] * seed).sum() for key, seed in self.seed.items())

    def backward(self, derived: Adjoint) -> Run:
        found = self.forward()
        given = {**self.given, **found.varying} | {(derived.seeds["y"], t): self.seed["y", t] for t in range(STEPS)}
        return run(derived.graph, given, found.fixed, {}, steps=STEPS, batch=BATCH, sizes=SIZES)


def difference(loss: Callable[[Any], Any], value: Any, direction: Any) -> Any:
    step = mpmath.mpf("1e-15")
    return (loss(value + direction * step) - loss(value - direction * step)) / (2 * step)


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    graph = rule_graph(name)
    derived = adjoint(graph)
    rng = np.random.default_rng(1)
    with mpmath.workdps(50):
        point = Point(graph)
        found = point.backward(derived)
        read = {name_of(o) for op in graph.steps for o in op.operands()}
        for of in graph.fixed:
            direction = EXACT.array(rng.normal(size=point.fixed[of].shape))
            wanted = difference(lambda v, n=of: point.loss(fixed={**point.fixed, n: v}), point.fixed[of], direction)
            assert (of in derived.gradients) == (of in read)
            got = (found.fixed[derived.gradients[of]] * direction).sum() if of in read else 0
            assert abs(got - wanted) < 1e-25, of
        for of in graph.given:
            for t in range(STEPS):
                direction = EXACT.array(rng.normal(size=point.given[of, t].shape))
                wanted = difference(
                    lambda v, k=(of, t): point.loss(given={**point.given, k: v}), point.given[of, t], direction
                )
                got = (found.varying[derived.gradients[of], t] * direction).sum() if of in derived.gradients else 0
                assert abs(got - wanted) < 1e-25, (of, t)


# elementwise functions


SMOOTH = {
    fn.Sigmoid: 1, fn.Tanh: 1, fn.Exp: 1, fn.Log: 1, fn.Sqrt: 1, fn.EuclideanRoot: 1, fn.Sin: 1, fn.Cos: 1, fn.Erf: 1,
    fn.NormalCdf: 1, fn.Softplus: 1, fn.Relu: 1, fn.Abs: 1, fn.Elu: 1, fn.Softsign: 1, fn.HardSigmoid: 1,
    fn.HardTanh: 1, fn.Maximum: 2, fn.Minimum: 2, fn.Clip: 3, fn.Power: 2,
}  # fmt: skip


def at_point(expr: sympy.Expr, values: dict[Any, Any]) -> Any:
    """A body's value where its operands have these."""
    graph = Graph(
        "one",
        {n: Value(n, (ONE,)) for n in ("u", "v", "w", "h")},
        {"u": 0, "v": 0, "w": 0},
        (),
        (Pointwise("h", expr),),
        ("h",),
    )
    given = {(a.signal, 0): np.array([[values.get(a, mpmath.mpf(0))]], object) for a in (At("u"), At("v"), At("w"))}
    return run(graph, given, {}, {}, steps=1, batch=1, sizes={}).varying["h", 0][0, 0]


@pytest.mark.parametrize("function", SMOOTH)
def test_partial_derivatives(function: Any) -> None:
    atoms = (At("u"), At("v"), At("w"))[: SMOOTH[function]]
    expr = function(*atoms)
    positive = function in (fn.Log, fn.Sqrt, fn.EuclideanRoot, fn.Power)
    with mpmath.workdps(50):
        for row in (
            "0.3 1.7 2.5",
            "1.2 0.4 0.6",
            "2.1 2.2 0.1",
            "0.8 -1.5 2.4",
            "-0.7 -1.1 1.9",
            "-4.2 -5 -1",
            "3.5 -2 1",
        ):
            values = dict(zip(atoms, map(mpmath.mpf, row.split()), strict=False))
            if positive and min(values.values()) < 0:
                continue
            for atom in atoms:
                step = mpmath.mpf("1e-15")
                ahead, behind = (at_point(expr, {**values, atom: values[atom] + d}) for d in (step, -step))
                assert abs(at_point(sympy.diff(expr, atom), values) - (ahead - behind) / (2 * step)) < 1e-25, row


KINKS: dict[str, tuple[str, dict[str, float], dict[str, float]]] = {
    "relu": ("relu(u)", {"u": 0}, {"u": 0}),
    "abs": ("abs(u)", {"u": 0}, {"u": 0}),
    "sign": ("sign(u)", {"u": 0}, {"u": 0}),
    "maximum, a tie": ("maximum(u, v)", {"u": 2, "v": 2}, {"u": 0.5, "v": 0.5}),
    "minimum, a tie": ("minimum(u, v)", {"u": 2, "v": 2}, {"u": 0.5, "v": 0.5}),
    "maximum of itself": ("maximum(u, u)", {"u": 2}, {"u": 1}),
    "clip, lower bound": ("clip(u, -1, 1)", {"u": -1}, {"u": 1}),
    "clip, upper bound": ("clip(u, -1, 1)", {"u": 1}, {"u": 1}),
    "clip, outside": ("clip(u, -1, 1)", {"u": 1.5}, {"u": 0}),
    "clip by signals": ("clip(u, v, w)", {"u": 0.0, "v": 1.0, "w": 2.0}, {"u": 0, "v": 1, "w": 0}),
    "clip by crossed signals": ("clip(u, v, w)", {"u": 0.0, "v": 2.0, "w": 1.0}, {"u": 0, "v": 0, "w": 1}),
    "hard_tanh, lower corner": ("hard_tanh(u)", {"u": -1}, {"u": 0}),
    "hard_tanh, upper corner": ("hard_tanh(u)", {"u": 1}, {"u": 0}),
    "hard_sigmoid, lower corner": ("hard_sigmoid(u)", {"u": -3}, {"u": 0}),
    "hard_sigmoid, upper corner": ("hard_sigmoid(u)", {"u": 3}, {"u": 0}),
    "hard_sigmoid, between": ("hard_sigmoid(u)", {"u": 1}, {"u": 1 / 6}),
    "leaky_relu": ("leaky_relu(u)", {"u": 0}, {"u": 0.01}),
    "leaky_relu with a slope": ("leaky_relu(u, 0.3)", {"u": 0}, {"u": 0.3}),
    "elu": ("elu(u)", {"u": 0}, {"u": 1}),
    "softsign": ("softsign(u)", {"u": 0}, {"u": 1}),
    "norm": ("norm(u)", {"u": 0}, {"u": 0}),
    "square": ("u**2", {"u": 0}, {"u": 0}),
    "cube": ("u**3", {"u": 0}, {"u": 0}),
    "first power": ("u**1", {"u": 0}, {"u": 1}),
    "power zero": ("u**v", {"u": 2, "v": 0}, {"u": 0, "v": float(np.log(2))}),
    "power of zero": ("u**v", {"u": 0, "v": 2}, {"u": 0, "v": 0}),
    "power of zero to one": ("u**v", {"u": 0, "v": 1}, {"u": 1, "v": 0}),
    "where": ("where(u > v, u, w)", {"u": 1, "v": 1, "w": 3}, {"u": 0, "v": 0, "w": 1}),
    "where, at least": ("where(u >= v, u, w)", {"u": 1, "v": 1, "w": 3}, {"u": 1, "v": 0, "w": 0}),
    "silu": ("silu(u)", {"u": 0}, {"u": 0.5}),
    "gelu": ("gelu(u)", {"u": 0}, {"u": 0.5}),
}
"""A formula, a point, and the derivatives that PyTorch documents there (and a test below asks it for)."""


def kink(text: str, point: dict[str, float]) -> tuple[Cell, Case]:
    """The formula as a cell with the inputs u, v, w of two units, at one step."""
    names = [n for n in "uvw" if n in point]
    timed = re.sub(r"\b([uvw])\b", r"\1[t]", text)
    cell = symcell.parse("".join(f"{n}: 1\n" for n in names) + f"y: 1\ny[t] = {timed}", name="kink")
    x = {n: np.full((1, 1, 1), float(point[n])) for n in names}
    return cell, Case({}, {}, x, {}, np.ones((1, 1, 1)), {})


@pytest.mark.parametrize("name", KINKS)
def test_derivatives_at_kinks(name: str) -> None:
    text, point, wanted = KINKS[name]
    found = reference(*kink(text, point)).x
    assert {n: float(v[0, 0, 0]) for n, v in found.items()} == pytest.approx(wanted, abs=1e-15)


@pytest.mark.parametrize("name", KINKS)
def test_pytorch_takes_the_same(name: str) -> None:
    pytest.importorskip("torch")
    from symcell.verify import pytorch

    text, point, wanted = KINKS[name]
    found = pytorch.run(*kink(text, point)).x
    assert {n: float(v[0, 0, 0]) for n, v in found.items()} == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("units", "wanted"), [((1, 3, 2), (0, 1, 0)), ((3, 1, 3), (0.5, 0, 0.5)), ((2, 2, 2), (1 / 3, 1 / 3, 1 / 3))]
)
def test_a_maximum_shares_its_gradient_among_ties(units: tuple[float, ...], wanted: tuple[float, ...]) -> None:
    cell = symcell.parse("y: 1\ny[t] = max(x[t])", name="ties")
    case = Case({"D": 3}, {}, {"x": np.array([[units]], float)}, {}, np.ones((1, 1, 1)), {})
    assert [float(v) for v in reference(cell, case).x["x"][0, 0]] == pytest.approx(wanted)
    pytest.importorskip("torch")
    from symcell.verify import pytorch

    assert pytorch.run(cell, case).x["x"][0, 0].tolist() == pytest.approx(wanted)


# the derived sweep as a whole


@pytest.mark.parametrize("name", [*symcell.names(), *FEATURES])
def test_stable_forms_and_complete_gradients(name: str) -> None:
    cell = symcell.load(name) if name not in FEATURES else symcell.parse(FEATURES[name], name=name)
    derived = adjoint(lower(cell))
    assert derived.graph.check().direction == -1
    assert set(derived.seeds) == {cell.output}
    assert {c.value for c in derived.carries.values()} == set(cell.states)
    for state, depth in cell.states.items():
        assert max(c.lag for c in derived.carries.values() if c.value == state) == depth
    for parameter, found in derived.gradients.items():
        assert derived.graph.values[found].shape == derived.forward.values[parameter].shape
    called = {
        type(f) for op in derived.graph.steps if isinstance(op, Pointwise) for f in op.body.atoms(fn.UnitFunction)
    }
    allowed = {fn.Sigmoid} if "softplus" in cell.text or "log_sigmoid" in cell.text else set()
    assert not called & {fn.Sigmoid, fn.Tanh} - allowed, "written through the outputs of the forward sweep"


def test_no_dead_steps() -> None:
    for name in FEATURES:
        derived = adjoint(lower(symcell.parse(FEATURES[name], name=name)))
        read = {name_of(o) for op in derived.graph.steps for o in op.operands()}
        for op in derived.graph.steps:
            assert op.out in read or op.out in derived.graph.outputs or op.out in derived.carries, f"{name}: {op}"


def test_what_the_output_does_not_depend_on_has_no_gradient() -> None:
    cell = symcell.parse("u: H\nh: H\nu[t] = V @ x[t] + u[t-1]\nh[t] = tanh(W @ x[t])", name="idle")
    derived = adjoint(lower(cell))
    assert "W" in derived.gradients
    case = random_case(cell, Kind("idle", 3, 2))
    assert any(v != 0 for v in np.ravel(reference(cell, case).params["V"])), "through the last state alone"


# the adjoint of the adjoint
