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
from graph_points import Trial, entry_names
from work import calls_of

import symcell
from symcell.adjoint import adjoint
from symcell.cell import ONE, Cell, Size
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
    lag_of,
    name_of,
)
from symcell.interpret import run
from symcell.lower import lower
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Param
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case
from symcell.verify.reference import reference

D, H = Size.of("D"), Size.of("H")
SIZES = {"D": 2, "H": 3}

# one rule at a time, against central differences


def param(name: str, *, transposed: bool = False, block: Block | None = None) -> Matrix:
    return Matrix(Param(name), transposed, block)


def outer(left: At | Param, right: At | Param) -> sympy.Expr:
    return left.along(0) * right.along(1)


SHAPES = {"x": (D,), "z": (H,), "o": (ONE,), "s": (), "C": (H, D), "Q": (H, H)}
FIXED = {"W": (H, D), "U": (H, H), "V": (H, D + H), "b": (H,), "c": (D,), "k": (ONE,), "l": ()}
LAST = (Pointwise("y", At("r") * At("z")),)
ONCE = sympy.Integer(1)

RULES: dict[str, tuple[Op, ...]] = {
    "pointwise": (Pointwise("r", fn.Tanh(At("z") * Param("b")) + At("o") ** 2),),
    "pointwise of one unit": (Pointwise("r", At("o") * Param("k") + Param("l") * At("s") ** 2),),
    "pointwise, earlier": (
        Pointwise("q", At("z") * Param("b")),
        Pointwise("r", At("q", 1) + fn.Sin(At("q", 2)) + At("z", 1)),
    ),
    "pointwise, carried": (Pointwise("r", fn.Tanh(At("r", 1) * Param("b") + At("z")) + At("r", 2) / 3),),
    "pointwise with a count": (Pointwise("r", At("z") / Count(H)),),
    "contraction": (Contraction("r", ((param("W"), At("x")), (param("U"), At("z")))),),
    "contraction, transposed": (Contraction("r", ((param("U", transposed=True), At("z")),)),),
    "contraction, a block": (
        Contraction("r", ((param("V", block=Block(D, H)), At("z")), (param("V", block=Block(Size(), D)), At("x")))),
    ),
    "contraction, a block transposed": (
        Contraction("q", ((param("V", transposed=True, block=Block(Size(), D)), At("z")),)),
        Contraction("r", ((param("W"), At("q")),)),
    ),
    "contraction, carried": (
        Contraction("q", ((param("U"), At("r", 1)), (param("U"), At("r", 3)))),
        Pointwise("r", fn.Tanh(At("q") + At("z"))),
    ),
    "contraction, the same twice": (Contraction("r", ((param("U"), At("z")), (param("U", transposed=True), At("z")))),),
    "contraction, fixed": (Contraction("f", ((param("W"), Param("c")),)), Pointwise("r", Param("f") * At("z"))),
    "contraction, a fixed vector beside one that varies": (
        Contraction("q", ((param("W"), Param("c")), (param("U"), At("z")))),
        Contraction("f", ((param("W"), Param("c")),)),
        Pointwise("r", At("q") * Param("f")),
    ),
    "contraction, a matrix that varies": (Contraction("r", ((Matrix(At("C")), At("x")), (param("U"), At("z")))),),
    "contraction, a matrix that varies, transposed": (
        Contraction("q", ((Matrix(At("C"), True), At("z")),)),
        Contraction("r", ((Matrix(At("C")), At("q")), (Matrix(At("C"), True).T, At("x")))),
    ),
    "contraction, a matrix that varies and a fixed vector": (Contraction("r", ((Matrix(At("C")), Param("c")),)),),
    "contraction, a matrix of one step ago": (
        Pointwise("M", outer(At("z"), At("x")) + At("M", 1) / 2 + At("C", 1)),
        Contraction("r", ((Matrix(At("M", 1)), At("x", 1)),)),
    ),
    "sum": (Reduce("s", "sum", At("z")), Pointwise("r", At("s") ** 2 + Param("b"))),
    "maximum": (Reduce("s", "max", At("z")), Pointwise("r", At("s") ** 2 + Param("b"))),
    "sum, fixed": (Reduce("s", "sum", Param("b")), Pointwise("r", Param("s") ** 2 * At("z"))),
    "maximum, fixed": (Reduce("s", "max", Param("b")), Pointwise("r", Param("s") ** 2 * At("z"))),
    "sum of a matrix": (Reduce("s", "sum", At("C")), Pointwise("r", At("s") ** 2 + Param("b"))),
    "maximum of a matrix": (Reduce("s", "max", At("C")), Pointwise("r", At("s") ** 2 + Param("b"))),
    "sum over columns": (Reduce("r", "sum", At("C"), 1),),
    "sum over rows": (Reduce("q", "sum", At("C"), 0), Contraction("r", ((param("W"), At("q")),))),
    "maximum over columns": (Reduce("r", "max", At("C"), 1),),
    "maximum over rows": (Reduce("q", "max", At("C"), 0), Contraction("r", ((param("W"), At("q")),))),
    "sum of a fixed matrix over rows": (Reduce("f", "sum", Param("U"), 0), Pointwise("r", Param("f") * At("z"))),
    "fixed pointwise": (Pointwise("f", fn.Exp(Param("b")) * Param("k")), Pointwise("r", Param("f") * At("z"))),
    "matrix of two vectors": (
        Pointwise("M", At("o") * Param("l") * outer(At("z"), At("x")) * outer(Param("b"), Param("c"))),
        Contraction("r", ((Matrix(At("M")), At("x")),)),
    ),
    "matrix with scaled rows": (
        Pointwise("M", At("z", 0, 0) * At("C") + Param("c", 1) * Param("W") * At("s") - At("o")),
        Contraction("r", ((Matrix(At("M")), At("x")),)),
    ),
    "matrix of functions": (
        Pointwise("M", fn.Tanh(At("C") * Param("W") + At("z", 0, 0) / (1 + At("x", 0, 1) ** 2))),
        Contraction("r", ((Matrix(At("M")), At("x")),)),
    ),
    "matrix, carried": (
        Pointwise("M", At("s") * At("M", 1) + outer(At("z", 1), At("x")) - At("M", 2) * Param("b", 0)),
        Contraction("r", ((Matrix(At("M")), At("x")),)),
    ),
    "square matrix both ways": (
        Pointwise("M", At("Q") + outer(At("z"), At("z"))),
        Contraction("r", ((Matrix(At("M")), At("z")), (Matrix(At("M"), True), At("z", 1)))),
    ),
    "fixed matrix, pointwise": (
        Pointwise("G", fn.Tanh(Param("W")) * outer(Param("b"), Param("c")) + Param("k")),
        Contraction("r", ((param("G"), At("x")), (param("W"), At("x")))),
    ),
    "outer": (Outer("M", At("z"), At("x")), Contraction("r", ((Matrix(At("M")), At("x")),))),
    "outer, fixed": (Outer("G", Param("b"), Param("c")), Contraction("r", ((param("G"), At("x")),))),
    "outer, total": (Outer("M", At("z"), At("x", 1)), Total("G", At("M")), Contraction("r", ((param("G"), At("x")),))),
    "total": (Total("f", At("z")), Pointwise("r", Param("f") ** 2 * At("z"))),
    "combine": (
        Combine("G", (Term(2 * ONCE, param("U")), Term(-ONCE, param("U", transposed=True)))),
        Contraction("r", ((param("G"), At("z")),)),
    ),
    "combine into columns": (
        Combine("G", (Term(3 * ONCE, param("U"), Block(D, H)), Term(ONCE, param("W"), Block(Size(), D)),
                      Term(ONCE / 2, param("V")))),
        Contraction("r", ((param("G", block=Block(D, H)), At("z")), (param("G", block=Block(Size(), D)), At("x")))),
    ),
    "combine a block": (
        Combine("G", (Term(ONCE, param("V", block=Block(Size(), D))),)),
        Contraction("r", ((param("G"), At("x")),)),
    ),
}  # fmt: skip
MADE = {"r": (H,), "q": (H,), "s": (), "f": (H,), "y": (H,), "G": (H, D), "M": (H, D)}
OTHER_SHAPES = {
    "combine": {"G": (H, H)},
    "combine into columns": {"G": FIXED["V"]},
    "contraction, a block transposed": {"q": (D,)},
    "contraction, a matrix that varies, transposed": {"q": (D,)},
    "sum over rows": {"q": (D,)},
    "maximum over rows": {"q": (D,)},
    "square matrix both ways": {"M": (H, H)},
}


def rule_graph(name: str, *, entered: bool = False, constant: tuple[str, ...] = ()) -> Graph:
    """The graph of a rule. ``entered``: with a boundary for all that is carried; else values are zero outside, and
    those that are given are given there too."""
    ops = (*RULES[name], *LAST)
    values = {n: Value(n, s) for n, s in SHAPES.items()}
    values |= {n: Value(n, s, True, n in constant) for n, s in FIXED.items()}
    made = {op.out for op in ops}
    for op in ops:
        fixed = isinstance(op, Total | Combine) or not any(isinstance(o, At) for o in op.operands())
        values[op.out] = Value(op.out, {**MADE, **OTHER_SHAPES.get(name, {})}[op.out], fixed)
    depth: dict[str, int] = {}
    for operand in (o for op in ops for o in op.operands() if lag_of(o)):
        depth[name_of(operand)] = max(depth.get(name_of(operand), 0), lag_of(operand))
    given = {n: depth.get(n, 0) for n in SHAPES if n not in made}
    start = {"M": "W", "r": "b", "q": "k", "z": "l"}
    entries = tuple(Entry(n, f"{n}_first", k, start.get(n)) for n, k in depth.items() if entered)
    exits = tuple(Exit(f"{n}_last", (n,), k) for n, k in depth.items() if entered)
    return Graph("rule", values, given, tuple(FIXED), ops, ("y",), entries=entries, exits=exits).check()


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    graph = rule_graph(name)
    trial = Trial(graph, SIZES)
    trial.check()
    read = {name_of(o) for op in graph.steps for o in op.operands()}
    assert {n for n in graph.fixed if n in trial.derived.gradients} == {n for n in graph.fixed if n in read}


@pytest.mark.parametrize("passed", [True, False])
@pytest.mark.parametrize("name", [n for n in RULES if rule_graph(n, entered=True).entries])
def test_rules_at_the_boundary(name: str, passed: bool) -> None:
    """What arrives at the last steps, what leaves at the first ones, and starts that are learned."""
    graph = rule_graph(name, entered=True)
    trial = Trial(graph, SIZES, steps=2, unpassed=() if passed else entry_names(graph.entries))
    trial.check()
    assert set(trial.derived.entering) == {e.name for e in graph.exits}
    assert set(trial.derived.leaving) == {e.name for e in graph.entries}


@pytest.mark.parametrize("name", [n for n in RULES if "maximum" not in n])
def test_rules_twice(name: str) -> None:
    """The adjoint of a rule's adjoint; the shares of a maximum have no derivative."""
    Trial(rule_graph(name, entered=True), SIZES, steps=2).twice().check()


@pytest.mark.parametrize("name", RULES)
def test_nothing_is_differentiated_by_constants(name: str) -> None:
    trial = Trial(rule_graph(name, constant=("W", "U", "b", "k")), SIZES)
    trial.check()
    assert not {"W", "U", "b", "k"} & set(trial.derived.gradients)
    assert not any(op.out.startswith(("dW", "dU", "db")) for op in trial.derived.graph.steps)


def test_a_matrix_of_vectors_is_not_summed_as_a_matrix() -> None:
    """The gradient by u in u vᵀ is G v: no product of matrices' shape stands in between."""
    derived = adjoint(rule_graph("matrix of two vectors"))
    matrices = [op.out for op in derived.graph.steps if len(derived.graph.shape(op.out)) == 2]
    assert matrices == ["dM"]


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
    "power of zero to zero": ("u**v", {"u": 0, "v": 0}, {"u": 0, "v": 0}),
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


def parallel(n: int) -> str:
    gates = "".join(f"g{k}[t] = sigmoid(a{k}*x[t] + u{k}*h[t-1] + b{k})\n" for k in range(n))
    return f"x: H\n{gates}h[t] = tanh({' + '.join(f'g{k}[t]*g{(k + 1) % n}[t]' for k in range(n))})"


def chain(n: int) -> str:
    links = "".join(f"g{k}[t] = tanh(a{k}*g{k - 1}[t]) * g{k - 1}[t] + b{k}\n" for k in range(1, n))
    return f"g0[t] = tanh(W @ x[t] + U @ h[t-1])\n{links}h[t] = g{n - 1}[t]"


def many_states(n: int) -> str:
    states = "".join(f"s{k}[t] = tanh(a{k}*s{k}[t-1] + b{k}*s{(k + 1) % n}[t-1] + x[t])\n" for k in range(n))
    return f"x: H\n{states}h[t] = {' + '.join(f's{k}[t]' for k in range(n))}"


@pytest.mark.parametrize("text", [parallel, chain, many_states])
def test_work_grows_with_the_number_of_equations(text: Callable[[int], str]) -> None:
    """Ten times the equations are about ten times the work to lower and differentiate, not a hundred."""

    def work(n: int) -> int:
        cell = symcell.parse(text(n), name="large")
        return calls_of(lambda: adjoint(lower(cell)))

    assert len(adjoint(lower(symcell.parse(text(10), name="large"))).gradients) > 10
    assert work(300) < 13 * work(30)
