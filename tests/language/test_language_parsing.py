"""What a text becomes: roles, order, labels, docstring, and expressions as they were written."""

import pickle

import pytest
import sympy
from hypothesis import given, settings, strategies as st

from symcell.cell import CellError, Parameter, Size, Start
from symcell.language import load, parse
from symcell.symbolic.functions import Clip, Greater, LeakyRelu, Less, LessEqual, Power, Sqrt, Where
from symcell.symbolic.nodes import At, Constant, Hadamard, Join, MatVec, Minus, Param, Quotient, Sum

H = sympy.Symbol("H", integer=True, positive=True)
D = sympy.Symbol("D", integer=True, positive=True)
X, B = At("x"), Param("b")


def right(expression, declarations=""):
    return parse(f"{declarations}\nh[t] = {expression}").equations[-1].rhs


def test_lstm_has_the_roles_that_its_equations_give_it():
    """Protects the table of roles in LANGUAGE.md on the cell that everybody knows."""
    cell = load("lstm")
    assert dict(cell.inputs) == {"x": (Size.of("D"),)}
    assert dict(cell.signals) == dict.fromkeys(["i", "f", "g", "o", "c", "h"], (Size.of("H"),))
    assert dict(cell.states) == {"h": 1, "c": 1}
    assert list(cell.parameters)[:4] == ["W_i", "U_i", "b_i", "W_f"]
    assert cell.parameters["W_i"] == Parameter((Size.of("H"), Size.of("D")))
    assert (cell.output, cell.sizes, cell.name) == ("h", ("D", "H"), "lstm")
    assert cell.title == "Long short-term memory"
    assert cell.description.startswith("Hochreiter & Schmidhuber (1997)")
    assert cell.labels["c"] == "cell state"
    assert cell.lines["i"] == 5
    assert cell.text.startswith('"""Long short-term memory\n')


def test_lstm_in_latex_is_the_textbook():
    """Protects what a derivation prints: the written order and the elementwise product."""
    tex = {eq.lhs.signal: sympy.latex(eq) for eq in load("lstm").equations}
    assert tex["c"] == r"c_{t} = f_{t} \odot c_{t-1} + i_{t} \odot g_{t}"
    assert tex["i"] == r"i_{t} = \sigma(W_{i}\, x_{t} + U_{i}\, h_{t-1} + b_{i})"
    assert tex["h"] == r"h_{t} = o_{t} \odot \tanh(c_{t})"


W = sympy.MatrixSymbol("W", H, H)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x[t] - b", Sum(X, Minus(B))),
        ("x[t] + b - x[t-2] + 1", Sum(X, B, Minus(At("x", 2)), 1)),
        ("x[t] - (b - 1)", Sum(X, Minus(Sum(B, Minus(1))))),
        ("x[t] + -b", Sum(X, Minus(B))),
        ("x[t] - -b", Sum(X, B)),
        ("x[t] + -2", Sum(X, Minus(2))),
        ("-x[t] * b", Minus(Hadamard(X, B))),
        ("-2 * x[t]", Minus(Hadamard(2, X))),
        ("-(-2 * x[t])", Hadamard(2, X)),
        ("-1/3 * x[t]", Minus(Hadamard(sympy.Rational(1, 3), X))),
        ("-2 / x[t]", Minus(Quotient(sympy.Integer(2), X))),
        ("x[t] * -2", Hadamard(X, -2)),
        ("-x[t] / b", Minus(Quotient(X, B))),
        ("- - x[t]", X),
        ("+x[t]", X),
        ("x[t] * b * 2", Hadamard(X, B, 2)),
        ("2 * 3 * x[t]", Hadamard(6, X)),
        ("2 * pi * x[t]", Hadamard(2 * sympy.pi, X)),
        ("x[t] * b / 2", Quotient(Hadamard(X, B), 2)),
        ("x[t] / b * 2", Hadamard(Quotient(X, B), 2)),
        ("x[t] ** 2", X**2),
        ("x[t] ** 2.0", X**2),
        ("x[t] ** -1", X**-1),
        ("x[t] ** (1/2)", sympy.sqrt(X)),
        ("x[t] ** b", Power(X, B)),
        ("2 ** x[t]", Power(sympy.Integer(2), X)),
        ("(x[t] ** 2) ** 0.5", Power(X**2, sympy.Float(0.5))),
        ("(x[t] ** 0.5) ** 2", Power(X ** sympy.Float(0.5), sympy.Integer(2))),
        ("x[t] * 0.1", Hadamard(X, sympy.Float(0.1))),
        ("x[t] * (1/3)", Hadamard(X, sympy.Rational(1, 3))),
        ("x[t] * sqrt(4)", Hadamard(X, Sqrt(sympy.Integer(4)))),
        ("sqrt(x[t])", Sqrt(X)),
        ("leaky_relu(x[t])", LeakyRelu(X, sympy.Float(0.01))),
        ("leaky_relu(x[t], 0.2)", LeakyRelu(X, sympy.Float(0.2))),
        ("clip(x[t], -1, 1)", Clip(X, -1, 1)),
        ("where(x[t] < 0, b, 1)", Where(Less(X, 0), B, 1)),
        ("where(0 <= x[t], b, 1)", Where(LessEqual(0, X), B, 1)),
        ("where(x[t] > 0, b, 1)", Where(Greater(X, 0), B, 1)),
        ("x[t] + W @ h[t-1]", Sum(X, MatVec(W, At("h", 1)))),
        ("x[t] + W.T @ h[t-1]", Sum(X, MatVec(W.T, At("h", 1)))),
        ("x[t] + (W - W.T) @ h[t-1]", Sum(X, MatVec(W - W.T, At("h", 1)))),
        ("x[t] + (2*W) @ h[t-1]", Sum(X, MatVec(2 * W, At("h", 1)))),
        ("x[t] + (W/2) @ h[t-1]", Sum(X, MatVec(W / 2, At("h", 1)))),
        ("x[t] + -W @ h[t-1]", Sum(X, Minus(MatVec(W, At("h", 1))))),
        ("x[t] + W @ W @ h[t-1]", Sum(X, MatVec(W, MatVec(W, At("h", 1))))),
    ],
)
def test_expressions_stay_as_written(text, expected):
    """Protects the written order, exact constants, and which SymPy node each form becomes."""
    assert right(text) == expected


def test_joined_vectors_make_a_wider_matrix():
    """Protects ``W @ [h, x]``: the columns of W are a sum of sizes."""
    cell = parse("h[t] = tanh(W @ [h[t-1], x[t]] + b)", name="joined")
    product = cell.equations[0].rhs.args[0].args[0]
    assert product == MatVec(sympy.MatrixSymbol("W", H, D + H), Join(At("h", 1), X))
    assert cell.parameters["W"].shape == (Size.of("H"), Size.of("D") + Size.of("H"))


def test_constants_keep_their_names_in_the_equations():
    """Protects what derivations print of a constant, whatever the order of the lines; it is no parameter."""
    cell = parse("h[t] = x[t] * b_2\na: const = 1/4\nb_2: const = 2*a")
    assert cell.equations[0].rhs == Hadamard(X, Constant("b_2", sympy.Rational(1, 2)))
    assert dict(cell.constants) == {"a": 0.25, "b_2": 0.5}
    assert not cell.parameters


def test_parameters_know_where_they_start():
    """Protects declared starts and scalars."""
    cell = parse("h[t] = a * x[t] + b * c + d\na: scalar = 1/2\nb: D = zeros\nd: D = -1")
    assert cell.parameters["a"] == Parameter((), 0.5)
    assert cell.parameters["b"] == Parameter((Size.of("D"),), Start("zeros"))
    assert cell.parameters["c"] == Parameter((Size.of("D"),), Start("uniform"))
    assert cell.parameters["d"].start == -1.0


def test_learned_initial_state_is_a_parameter_of_the_states_size():
    """Protects ``h[0] = h_0``."""
    cell = parse("h[t] = tanh(W @ x[t] + h[t-1])\nh[0] = h_0\nh_0: H = 0.5")
    assert dict(cell.initial) == {"h": "h_0"}
    assert cell.parameters["h_0"] == Parameter((Size.of("H"),), 0.5)


def test_states_have_the_depth_of_their_largest_lag_and_inputs_can_be_states():
    """Protects lags: the largest counts, and an input that is read later is a state under its own name."""
    cell = parse("h[t] = W @ x[t-2] + h[t-1] * h[t-3] + V @ x[t]")
    assert dict(cell.states) == {"x": 2, "h": 3}
    assert list(cell.inputs) == ["x"]


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("h[t] = x[t]\ny[t] = h[t]", "y"),
        ("h[t] = x[t]\ny[t] = h[t]\noutput: h", "h"),
        ("output: g\nh[t] = x[t]\ng[t] = h[t]", "g"),
        ("output[t] = x[t]\noutput: output", "output"),
        ("output: K\noutput[t] = W @ x[t]\ny[t] = output[t]", "y"),
    ],
)
def test_output(text, output):
    """Protects the rule for the output, also where ``output`` itself is a value's name."""
    assert parse(text).output == output


def test_equations_in_any_order_are_sorted_stably():
    """Protects ``order``: each signal after what it reads, else as written; equations keep the written order."""
    cell = parse("h[t] = c[t] * a[t]\nc[t] = b[t] + h[t-1]\na[t] = x[t]\nb[t] = x[t]")
    assert cell.order == ("a", "b", "c", "h")
    assert [eq.lhs.signal for eq in cell.equations] == ["h", "c", "a", "b"]


def test_ordinary_words_are_ordinary_names():
    """Protects names that mean something to a target language or a library."""
    names = ["np", "T", "B", "S", "E", "I", "Q", "N", "params", "self", "int", "double", "threadIdx", "output", "const"]
    names += ["scalar", "zeros", "match", "type", "lambda_", "상태"]
    text = "\n".join(f"{name}[t] = x[t] * {name}_w" for name in names)
    cell = parse(text + "\noutput: np")
    assert list(cell.signals) == names


def test_text_that_is_not_code_is_kept_as_it_is():
    """Protects docstring and labels from escape processing: what TeX or HTML would obey stays text."""
    text = '"""\\write18{x} \\x \\N{no}\n\n  \\times "quoted"\n    more\n"""\n'
    text += 'h[t] = x[t]  # */ {{ 1 }} <script> \\x "\n'
    cell = parse(text)
    assert cell.title == r"\write18{x} \x \N{no}"
    assert cell.description == '\\times "quoted"\n  more'
    assert cell.labels["h"] == '*/ {{ 1 }} <script> \\x "'


@pytest.mark.parametrize("doc", ['"""a"""', "'''a'''", "'a'", 'r"""a"""', '"""\n\na\n"""', '# first\n"""a"""  # note'])
def test_docstring_forms(doc):
    """Protects the ways to write a docstring."""
    assert parse(f"{doc}\nh[t] = x[t]").title == "a"


def test_equations_over_several_lines():
    """Protects brackets and backslashes over line ends; the label is the comment of the last line."""
    cell = parse("h[t] = (x[t]  # not this\n   + # nor this\n b)  # this\nc[t] = x[t] \\\n  + h[t]; d[t] = c[t]")
    assert cell.equations[0].rhs == Sum(X, B)
    assert dict(cell.labels) == {"h": "this"}
    assert dict(cell.lines) == {"h": 1, "c": 4, "d": 5}


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_newlines_of_other_systems(newline):
    """Protects line numbers and ``text`` on files from elsewhere, with a byte order mark."""
    cell = parse(f"\ufeff# a{newline}h[t] = x[t]  # label{newline}")
    assert (cell.lines["h"], cell.labels["h"], cell.text) == (2, "label", "# a\nh[t] = x[t]  # label\n")


@pytest.mark.parametrize("name", ["", "1a", "a-b", "class", "a.b", "../x", "a" * 65, "x\n"])
def test_cells_name_is_an_identifier(name):
    """Protects generated file and function names."""
    with pytest.raises(CellError, match="cannot be a cell's name"):
        parse("h[t] = x[t]", name=name)


def test_text_must_be_text():
    """Protects against bytes and None."""
    with pytest.raises(CellError, match="not bytes"):
        parse(b"h[t] = x[t]")


def test_equations_and_errors_survive_pickling():
    """Protects parallel test runs and caches, which send both between processes."""
    equations = load("peephole_lstm").equations
    assert pickle.loads(pickle.dumps(equations)) == equations
    with pytest.raises(CellError) as caught:
        parse("h[t] = x[1]")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.diagnostics) == (str(caught.value), caught.value.diagnostics)


LSTM = load("lstm")


@settings(max_examples=30)
@given(st.permutations(list(range(6))))
def test_the_order_of_lines_does_not_matter(order):
    """Protects roles, sizes and order from the order in which a text is written."""
    lines = [line for line in LSTM.text.splitlines() if "[t] =" in line]
    cell, lstm = parse("\n".join(lines[k] for k in order)), LSTM
    assert dict(cell.signals) == dict(lstm.signals)
    assert dict(cell.parameters) == dict(lstm.parameters)
    assert dict(cell.states) == dict(lstm.states)
    assert cell.order.index("c") > max(cell.order.index(name) for name in "ifg")
