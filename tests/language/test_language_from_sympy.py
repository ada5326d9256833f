"""SymPy equations as a cell: printed in the language and read back."""

import pytest
import sympy
from hypothesis import given, settings, strategies as st

import symcell
from symcell.cell import CellError, Size
from symcell.language import from_equations, load, names, parse
from symcell.symbolic.functions import Greater, NormalCdf, Sigmoid, Where
from symcell.symbolic.nodes import At, Constant, Hadamard, Join, MatVec, Minus, Param, Quotient, Sum

t = sympy.Symbol("t")
h, x, g = sympy.Function("h"), sympy.Function("x"), sympy.Function("g")
b, c = sympy.symbols("b c")
W = sympy.MatrixSymbol("W", 3, 3)


def declarations(cell):
    """What stands behind the colons of a cell, all of it."""
    shapes = {
        name: (f"({', '.join(map(str, p.shape))},)" if p.shape else "scalar") + f" = {p.start}"
        for name, p in cell.parameters.items()
    }
    arrays = {name: f"const({', '.join(map(str, shape))})" for name, shape in cell.arrays.items()}
    initial = {f"{state}[0]": parameter for state, parameter in cell.initial.items()}
    sizes = {name: f"({', '.join(map(str, shape))},)" for name, shape in {**cell.inputs, **cell.signals}.items()}
    return {**shapes, **arrays, **sizes, **initial, "output": cell.output}


FIELDS = (
    "equations",
    "order",
    "inputs",
    "signals",
    "states",
    "parameters",
    "arrays",
    "constants",
    "output",
    "sizes",
    "labels",
    "initial",
)


def assert_same(one, other):
    for field in FIELDS:
        assert getattr(one, field) == getattr(other, field), field
        if hasattr(getattr(one, field), "keys"):
            assert list(getattr(one, field)) == list(getattr(other, field)), field


@pytest.mark.parametrize("name", names())
def test_shipped_cells_survive_the_way_through_sympy(name):
    """Protects that text and equations say the same: printing what was parsed and parsing it changes nothing."""
    cell = load(name)
    again = from_equations(name, cell.equations, declarations=declarations(cell), labels=cell.labels, title=cell.title)
    assert_same(cell, again)
    assert again.title == cell.title


def test_lstm_needs_nothing_but_its_equations():
    """Protects the plainest use, through ``symcell.from_equations``."""
    cell = load("lstm")
    again = symcell.from_equations("mine", cell.equations)
    for field in set(FIELDS) - {"labels"}:
        assert getattr(cell, field) == getattr(again, field), field


ATOMS = ["x[t]", "h[t-1]", "x[t-3]", "b", "a", "2", "0.1", "-3", "1/3", "pi", "1e-7", "(W @ x[t])", "mean(x[t])"]
WRAPS = [
    "({} + {})",
    "({} - {})",
    "({} * {})",
    "({} / {})",
    "(-{} * {})",
    "{} ** {}",
    "(-{}) ** {}",
    "({} - -{})",
    "tanh({} + {})",
    "where({} > {}, 1, b)",
    "where({} <= {}, x[t], 2)",
    "maximum({}, {})",
    "leaky_relu({}) + {}",
    "clip({}, -1, {})",
    "(W - 2*W.T) @ (x[t] * {}) * {}",
    "U @ [x[t] + {}, b * {}]",
    "-{} - {}",
    "{} * -{}",
    "W @ W @ (x[t] + {}) + {}",
    "sum(x[t] + {}) * {}",
    "layernorm(x[t] - {}, b) / {}",
    "gelu({}) - ({} + b) - (x[t] - 1)",
    "2*pi*{} + {}",
]


@st.composite
def expressions(draw, depth=3):
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(ATOMS))
    inner = (draw(expressions(depth=depth - 1)) for _ in range(2))
    return "(" + draw(st.sampled_from(WRAPS)).format(*inner) + ")"


@settings(max_examples=100, deadline=None)
@given(expressions())
def test_any_expression_survives_the_way_through_sympy(text):
    """Protects the printer's brackets and signs over the whole language."""
    try:
        cell = parse(f"h[t] = {text} + x[t]\na: scalar")
    except CellError:
        return
    assert_same(cell, from_equations("again", cell.equations, declarations=declarations(cell)))
    assert sympy.latex(cell.equations[0])


@pytest.mark.parametrize(
    ("right", "text"),
    [
        (sympy.tanh(b * x(t)), "tanh(b * x[t])"),
        (sympy.exp(-x(t)) / (1 + c), "exp(-x[t]) / (c + 1)"),
        (b - 2 * x(t - 1), "b - 2 * x[t-1]"),
        (-b * x(t), "-b * x[t]"),
        (b * x(t) / 3, "1/3 * b * x[t]"),
        (sympy.sqrt(x(t)), "x[t] ** (1/2)"),
        (sympy.Max(x(t), 0), "maximum(0, x[t])"),
        (sympy.Min(x(t), b, c), "minimum(minimum(b, c), x[t])"),
        (sympy.Abs(x(t)) + sympy.sign(x(t)) + sympy.erf(x(t)), "sign(x[t]) + abs(x[t]) + erf(x[t])"),
        (
            sympy.Piecewise((b, x(t) > 0), (c, sympy.Eq(x(t), 0)), (1, True)),
            "where(x[t] > 0, b, where(x[t] == 0, c, 1))",
        ),
        (sympy.Function("sigmoid")(x(t)), "sigmoid(x[t])"),
        (Sigmoid(x(t)) * sympy.Rational(1, 2), "1/2 * sigmoid(x[t])"),
        (sympy.pi * x(t) + sympy.Float(0.1), "0.1 + pi * x[t]"),
        (sympy.IndexedBase("x")[t] + sympy.IndexedBase("x")[t - 2], "x[t] + x[t-2]"),
        (x(t) + MatVec(W - W.T, h(t - 1)), "x[t] + (W - W.T) @ h[t-1]"),
        (MatVec(W * W.T, x(t)), "W @ (W.T @ x[t])"),
        (MatVec(W, Join(x(t), h(t - 1))), "W @ [x[t], h[t-1]]"),
        (x(sympy.Symbol("t", integer=True)), "x[t]"),
        (Sum(x(t), Minus(Minus(b))), "x[t] + b"),
        (Hadamard(2, sympy.pi, x(t)), "2 * pi * x[t]"),
        (Quotient(Hadamard(x(t), b), Hadamard(b, c)), "x[t] * b / (b * c)"),
        (Where(Greater(x(t), 0), Minus(2), Param("b")), "where(x[t] > 0, -2, b)"),
        (sympy.E * x(t), "2.718281828459045 * x[t]"),
        (sympy.sqrt(2) * x(t), "1.4142135623730951 * x[t]"),
    ],
)
def test_plain_sympy(right, text):
    """Protects what plain SymPy means in the language."""
    cell = from_equations("mine", [sympy.Eq(h(t), right)])
    expected = parse(f"h[t] = {text}")
    difference = sympy.simplify(native(cell) - native(expected)) if not right.has(MatVec) else 0
    assert difference == 0 or cell.equations == expected.equations
    if right.has(MatVec):
        assert cell.equations == expected.equations


def native(cell):
    """The right side in SymPy's own sums and products, to compare what was written in another order."""
    from symcell.symbolic.nodes import written

    return written(cell.equations[0].rhs)


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        (sympy.Eq(h(t), sympy.gamma(x(t))), r"no word for gamma\(x\(t\)\)"),
        (sympy.Eq(h(t), NormalCdf(x(t))), "no word for normal_cdf"),
        (sympy.Eq(h(t), x(t) * sympy.I), "no word for I"),
        (sympy.Eq(h(t), x(t) + sympy.oo * b), "no word for oo"),
        (sympy.Eq(h(t), x(t + 1)), "reads the future"),
        (sympy.Eq(h(t), At("x", -1)), "reads the future"),
        (sympy.Eq(h(t - 1), x(t)), "left of an equation"),
        (sympy.Eq(h(t), x(2 * t)), "the index of a name is t"),
        (sympy.Eq(h(t), x(c)), "the index of a name is t"),
        (sympy.Eq(h(t), x(t, b)), "no word for x"),
        (sympy.Eq(h(t), sympy.Derivative(x(t), t)), "no word for Derivative"),
        (sympy.Eq(h(t), sympy.Symbol("b'") * x(t)), "cannot be a name"),
        (sympy.Eq(h(t), sympy.Symbol("t") * x(t)), "t is the time index"),
        (sympy.Eq(h(t), sympy.Symbol("tanh") * x(t)), "function's name"),
        (sympy.Eq(h(t), sympy.Integer(10) ** 5000 * x(t)), "no double|larger"),
        (sympy.Eq(h(t), Greater(x(t), 0)), "no word for greater"),
        (sympy.Eq(h(t), Where(Greater(x(t), 0) * Greater(b, 0), 1, 0)), "no word for"),
        (sympy.Eq(h(t), sympy.Piecewise((b, x(t) > 0))), "says nothing for the remaining"),
        (sympy.Eq(h(t), sympy.Piecewise((b, (x(t) > 0) & (c > 0)), (c, True))), "no word for"),
        (sympy.Eq(h(t), MatVec(W.inv(), x(t))), "no word for"),
        (sympy.Eq(b, x(t)), "no word for b"),
        (x(t), "an equation is sympy.Eq"),
        (sympy.Eq(1, 1), "SymPy made True of an equation"),
        (sympy.Eq(h(t), W * x(t)), r"SymPy made False .*MatVec\(W, v\)"),
        (sympy.Eq(h(t), W * x(t), evaluate=False), r"no word for .*MatVec\(W, v\)"),
    ],
)
def test_what_the_language_has_no_word_for(equation, message):
    """Protects against silently printing something else: the error names the part."""
    with pytest.raises(CellError, match=message):
        from_equations("mine", [equation])


@pytest.mark.parametrize(
    "extra",
    [
        {"declarations": {"h": "H\nz[t] = x[t]"}},
        {"labels": {"h": "a\nz[t] = x[t]"}},
        {"labels": {"q": "unknown"}},
        {"title": "'''\"\"\""},
    ],
)
def test_text_around_the_equations_cannot_add_equations(extra):
    """Protects the text from line ends in what is printed into it."""
    with pytest.raises(CellError):
        from_equations("mine", [sympy.Eq(h(t), x(t))], **extra)


def test_declarations_labels_and_title():
    """Protects what equations cannot carry."""
    cell = from_equations(
        "mine",
        [sympy.Eq(g(t), MatVec(W, x(t)) + g(t - 1))],
        declarations={"g": "P", "output": "g", "g[0]": "g_0"},
        labels={"g": "state # 1"},
        title='say "hi"',
    )
    assert (cell.signals["g"], cell.output, dict(cell.initial)) == ((Size.of("P"),), "g", {"g": "g_0"})
    assert (cell.labels["g"], cell.title) == ("state # 1", 'say "hi"')


def test_constants_declare_themselves():
    """Protects named numbers: each with its one value, also where the caller declares it."""
    k = Constant("k", sympy.Rational(1, 3))
    assert dict(from_equations("mine", [sympy.Eq(h(t), k * x(t))]).constants) == {"k": 1 / 3}
    cell = from_equations("mine", [sympy.Eq(h(t), k * x(t))], declarations={"k": "const = 2"})
    assert dict(cell.constants) == {"k": 2.0}
    with pytest.raises(CellError, match="k is 1/3 and 5 at once"):
        from_equations("mine", [sympy.Eq(h(t), k * x(t)), sympy.Eq(g(t), Constant("k", 5) + x(t))])
