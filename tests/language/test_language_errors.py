"""Every mistake is one CellError that says where it is, what is wrong, and what to write instead."""

import time

import pytest
import sympy

from symcell.cell import CellError
from symcell.language import parse

# text, line, column, a phrase of the message, a phrase of the advice
BAD = [
    # the text as a whole
    ("", 1, 1, "no equation", "h[t] = "),
    ("# only a comment", 1, 1, "no equation", ""),
    ('"""Title"""\n', 1, 1, "no equation", ""),
    ("h[t] = x[t]\0", 1, 12, "U+0000", "delete it"),
    ("h[t] = x[t]  # \x1b[31m", 1, 16, "U+001B", ""),
    ("h[t] = x[t] + \ud800", 1, 15, "U+D800", ""),
    ("h[t] = tanh(W @ x[t]", 1, 12, "this ( is never closed", "missing )"),
    ("h[t] = (x[t]\nc[t] = x[t]", 1, 8, "this ( is never closed", ""),
    ("h[t] = x[t])", 1, 12, "nothing opened this )", ""),
    ("h[t] = tanh(x[t])]", 1, 18, "nothing opened this ]", ""),
    ("h[t] = tanh(x[t]]", 1, 17, "] does not close the ( of line 1, column 12", ""),
    ("h[t] = 'text'", 1, 8, "a string has no meaning", "docstring"),
    ("h[t] = f'{x}' + x[t]", 1, 8, "a string has no meaning", ""),
    ('h[t] = x[t]\n"""late"""', 2, 1, "a string has no meaning", ""),
    ('"""never closed\nh[t] = x[t]', 1, 1, "never closed", '"""'),
    ('"""doc""" + h[t]\nh[t] = x[t]', 1, 11, "docstring stands alone", ""),
    ("h[t] = " + "a" * 65 + "[t]", 1, 8, "65 characters", ""),
    # statements
    ("import os\nh[t] = x[t]", 1, 1, "import has no place in a cell", "equation"),
    ("from os import path\nh[t] = x[t]", 1, 1, "from has no place", ""),
    ("__import__('os')", 1, 12, "a string has no meaning", ""),
    ("__import__(os)", 1, 1, "neither an equation nor a declaration", ""),
    ("for i in x: pass", 1, 1, "for has no place", ""),
    ("def f(x): return x", 1, 1, "def has no place", ""),
    ("h[t] = x[t]\nx[t] + 1", 2, 1, "neither an equation", ""),
    ("h[t] == x[t]", 1, 1, "== compares", "write ="),
    ("h[t] += x[t]", 1, 1, "once and for all", ""),
    ("a[t] = b[t] = x[t]", 1, 8, "two equal signs", ""),
    ("a[t], b[t] = x[t], x[t]", 1, 1, "one name", ""),
    ("h = x[t]", 1, 1, "without its time", "h[t]"),
    ("eps = 0.5", 1, 1, "without its time", "const"),
    ("h[t+1] = x[t]", 1, 1, "defines its name at t", "t-1"),
    ("h[t-1] = x[t]", 1, 1, "defines its name at t", ""),
    ("h[t]: H = x[t]", 1, 1, "only a bare name", "name: shape"),
    ("in[t] = x[t]", 1, 1, "in is a word of Python", "in_"),
    ("h[t] = x[t] +\n", 1, 14, "the line ends", "brackets"),
    ("h[t] = x[t] x[t]", 1, 13, "an operator is missing", "@"),
    ("h[t] = tanh(W_i x[t])", 1, 17, "an operator is missing", "@"),
    ("h[t] = x[t] $ 2", 1, 13, "cannot be read", ""),
    # signs of printed mathematics
    ("h[t] = σ(W @ x[t])", 1, 8, "σ is no function", "sigmoid(v)"),
    ("h[t] = σ_g(W @ x[t])", 1, 8, "σ_g is no function", "sigmoid(v), tanh(v)"),
    ("h[t] = f[t] ⊙ x[t]", 1, 13, "⊙ is no sign of the language", "* for a product of units, @"),
    ("h[t] = f[t] × x[t]", 1, 13, "× is no sign", "*"),
    ("h[t] = f[t]·x[t]", 1, 12, "· is no sign", "*"),
    ("h[t] = (1 − f[t])\\\n* x[t]", 1, 11, "− is no sign", "write -"),
    ("h[t] = (x[t]\n + x[t]²)", 2, 8, "² is no sign", "**"),
    ("h[t] = Wᵀ @ x[t]", 1, 9, "ᵀ is no sign", "W.T"),
    ("hₜ = x[t]", 1, 2, "ₜ is no sign", "h[t-1]"),
    ("h[t] = h₁[t]", 1, 9, "₁ is no sign", "h_1"),
    ("h[t] = where(x[t] ≤ 1, 1, 0)", 1, 19, "≤ is no sign", "<="),
    ("h[t] = √(x[t])", 1, 8, "√ is no sign", "sqrt"),
    ("h[t] = |x[t]|", 1, 8, "| has no meaning", "abs(v)"),
    ("h[t] = ln(x[t])", 1, 8, "ln is no function", "log(v)"),
    ("h[t] = tanh\u2061(x[t])", 1, 12, "cannot be seen (U+2061)", "delete it"),
    ("h[t] =\u00a0x[t]", 1, 7, "cannot be seen (U+00A0)", "space"),
    ("h[t] = x[t] ⋆ 2", 1, 13, "⋆ (U+22C6) is no sign", "operators are"),
    ("h[t] = π * x[t]", 1, 8, "π is no name: the number", "write pi"),
    ("f(x)[t] = x[t]", 1, 1, "cannot stand left of =", ""),
    ("tanh[t] = x[t]", 1, 1, "tanh is a function's name", "tanh_"),
    ("t[t] = x[t]", 1, 1, "t is the time index", ""),
    ("pi[t] = x[t]", 1, 1, "pi is the number", ""),
    # expressions
    ("h[t] = sigmoud(x[t])", 1, 8, "sigmoud is no function", "did you mean sigmoid?"),
    ("h[t] = Tanh(x[t])", 1, 8, "Tanh is no function", "did you mean tanh?"),
    ("h[t] = np.tanh(x[t])", 1, 8, "without a module", "write tanh(...)"),
    ("h[t] = os.system(x[t])", 1, 8, "has no meaning", ""),
    ("h[t] = tanh(h(t-1) + x[t])", 1, 13, "h is called like a function", "h[t]"),
    ("h[t] = x[t].shape", 1, 8, ".shape has no meaning", "W.T"),
    ("h[t] = W.T + x[t]", 1, 8, "only left of @", "W.T @ v"),
    ("h[t] = x[t+1]", 1, 10, "the future", "x[t-1]"),
    ("h[t] = x[t-0]", 1, 10, "positive whole number", ""),
    ("h[t] = x[t-k]", 1, 10, "positive whole number", ""),
    ("h[t] = x[t-1.0]", 1, 10, "positive whole number", ""),
    ("h[t] = x[t-65]", 1, 10, "64 steps", ""),
    ("h[t] = x[t-10**12]", 1, 10, "positive whole number", ""),
    ("h[t] = x[t-1000000000000]", 1, 10, "64 steps", ""),
    ("h[t] = x[1]", 1, 10, "the index of a name is t", "units are not indexed"),
    ("h[t] = x[t, 1]", 1, 10, "the index of a name is t", ""),
    ("h[t] = x[0:2]", 1, 10, "the index of a name is t", ""),
    ("h[t] = clip(x[t])", 1, 8, "clip takes 3 arguments, not 1", "clip(v, low, high)"),
    ("h[t] = maximum(x[t])", 1, 8, "maximum takes 2", "maximum(u, v)"),
    ("h[t] = max(x[t], 1)", 1, 8, "max takes 1 argument, not 2", "maximum"),
    ("h[t] = layernorm()", 1, 8, "layernorm takes 1 to 3", ""),
    ("h[t] = tanh(v=x[t])", 1, 15, "arguments have no names", "tanh(v)"),
    ("h[t] = tanh(*x[t])", 1, 13, "* before a value", ""),
    ("h[t] = where(x[t], 1, 0)", 1, 14, "the condition of where is a comparison", ""),
    ("h[t] = where(0 < x[t] < 1, 1, 0)", 1, 14, "one comparison at a time", "nest"),
    ("h[t] = where(x[t] > 0 and x[t] < 1, 1, 0)", 1, 14, "and, or", "nest"),
    ("h[t] = where(not x[t] > 0, 1, 0)", 1, 14, "not has no meaning", ""),
    ("h[t] = where(x[t] is 0, 1, 0)", 1, 14, "no comparison of numbers", ""),
    ("h[t] = x[t] > 0", 1, 8, "only in where", ""),
    ("h[t] = x[t] if 1 else 0", 1, 8, "if ... else", "where"),
    ("h[t] = (lambda: 0) + x[t]", 1, 9, "lambda", ""),
    ("h[t] = (a := x[t])", 1, 9, ":=", "equation of its own"),
    ("h[t] = x[t] ^ 2", 1, 8, "^ has no meaning", "**"),
    ("h[t] = x[t] // 2", 1, 8, "// has no meaning", ""),
    ("h[t] = x[t] % 2", 1, 8, "% has no meaning", ""),
    ("h[t] = x[t], 1", 1, 8, "a comma", ""),
    ("h[t] = [x[t], x[t]]", 1, 8, "only right of @", ""),
    ("h[t] = {x: 1}", 1, 8, "no meaning", ""),
    # matrices
    ("h[t] = x[t] @ W", 1, 8, "x[t] is a vector; left of @", "W @ x[t]"),
    ("h[t] = 2 @ x[t]", 1, 8, "2 is a number", ""),
    ("h[t] = a[t] * W @ x[t]", 1, 8, "only by one value", "a[t] * (W @ x[t])"),
    ("h[t] = (W @ U + V) @ x[t]", 1, 9, "has to reach a vector", ""),
    ("h[t] = tanh(W) @ x[t]", 1, 8, "no matrix", ""),
    ("h[t] = (0*W) @ x[t]", 1, 9, "zero", ""),
    ("h[t] = (W - W) @ x[t]", 1, 9, "zero", ""),
    ("h[t] = W @ []", 1, 12, "nothing is joined", ""),
    ("h[t] = W @ 2 + x[t]", 1, 12, "right of @ stands a vector", ""),
    ("h[t] = W @ x[t] + W", 1, 19, "W is a matrix beside the vector W @ x[t]", "diag(W @ x[t]) @ W"),
    ("h[t] = x[t] + W @ W", 1, 19, "W is a matrix", ""),
    # numbers
    ("h[t] = x[t] + 1e999", 1, 15, "not finite", ""),
    ("h[t] = x[t] + 1j", 1, 15, "imaginary", ""),
    ("h[t] = x[t] + True", 1, 15, "not a number", ""),
    ("h[t] = x[t] * log(-1)", 1, 15, "not a real number", ""),
    ("h[t] = x[t] / 0", 1, 15, "divides by zero", ""),
    ("h[t] = x[t] / (1 - 1)", 1, 16, "divides by zero", ""),
    ("h[t] = x[t] * 0**-1", 1, 15, "divides by zero", ""),
    ("h[t] = x[t] + (-8)**(1/3)", 1, 15, "not a real number", ""),
    ("h[t] = x[t] + 9**9**9**9", 1, 18, "larger than any double", ""),
    ("h[t] = x[t] + exp(1000)", 1, 15, "larger than any double", ""),
    ("h[t] = x[t] ** 0", 1, 16, "the power 0", ""),
    # declarations
    ("a: const = x\nh[t] = a * x[t]", 1, 12, "no number", ""),
    ("a: const\nh[t] = a * x[t]", 1, 1, "no value", ""),
    ("a: const = 1\nh[t] = x[t]", 1, 1, "nothing uses the constant a", ""),
    ("a: const = 1\nh[t] = a[t] + x[t]", 2, 8, "a is a constant and has no time", ""),
    ("q: H\nh[t] = x[t]", 1, 1, "nothing uses q", ""),
    ("gain_a: H\nh[t] = gain_b * x[t]", 1, 1, "nothing uses gain_a", "did you mean gain_b?"),
    ("h: H\nh: K\nh[t] = x[t]", 2, 1, "already declared in line 1", ""),
    ("h[t] = x[t]\nh[t] = x[t]", 2, 1, "already defined in line 1", ""),
    ("h: 0\nh[t] = x[t]", 1, 4, "no shape", ""),
    ("h: 1.5\nh[t] = x[t]", 1, 4, "no shape", ""),
    ("h: seed\nh[t] = x[t]", 1, 4, "cannot be called seed", ""),
    ("h: dtype\nh[t] = x[t]", 1, 4, "cannot be called dtype", ""),
    ("dtype: const(H)\nh[t] = dtype * x[t]", 1, 1, "a constant array cannot be called dtype", ""),
    ("D: const(H)\nh[t] = D * h[t-1] + W @ x[t]", 1, 1, "D is a constant array and a size", "rename one"),
    ("W: (H, D, K)\nh[t] = W @ x[t]", 1, 4, "one size or two", ""),
    ("W: (H, D) = orthogonl\nh[t] = W @ x[t]", 1, 13, "orthogonl is no start", "orthogonal?"),
    ("b: H = orthogonal\nh[t] = b * x[t]", 1, 8, "needs a matrix", ""),
    ("b: H = 1e999\nh[t] = b * x[t]", 1, 8, "not finite", ""),
    ("h: H = 1\nh[t] = x[t]", 1, 1, "has no start", "h[0] = h_0"),
    ("h: scalar\nh[t] = x[t]", 1, 1, "scalar is for parameters", "h: 1"),
    ("C: (H, K)\nC[t] = x[t]\noutput: C", 2, 8, "but C is a matrix, H×K, in line 1", "outer"),
    ("a: scalar\nh[t] = a @ x[t]", 2, 8, "declared a scalar in line 1", "*"),
    ("W: (H, D)\nh[t] = W * x[t]", 2, 12, "x[t] is a vector beside the matrix W", "diag(x[t]) @ W"),
    ("h[0] = 0\nh[t] = x[t] + h[t-1]", 1, 8, "a new parameter", "h_0"),
    ("h[0] = b\nh[t] = x[t] + b * h[t-1]", 1, 8, "already has a meaning in line 2", ""),
    ("h[0] = h_0\nh[t] = x[t]", 1, 1, "h is no state", ""),
    ("h_0: scalar\nh[0] = h_0\nh[t] = x[t] + h[t-1]", 1, 1, "no scalar", "h_0: H"),
    # roles
    ("h[t] = x[t] + x", 1, 15, "x stands here without a time, but with one in line 1", "x[t]"),
    ("g[t] = x[t]", 1, 1, "nothing says which", "output: g"),
    ("output: q\ng[t] = x[t]", 1, 9, "no equation defines q", ""),
    ("h[t] = b", 1, 1, "no input", ""),
    ("h[t] = h[t] + x[t]", 1, 8, "h[t] needs itself", "h[t-1]"),
    ("a[t] = b[t]\nb[t] = x[t] + a[t]\nh[t] = a[t]", 1, 8, "a[t] → b[t] → a[t]", ""),
    ("gates[t] = x[t]\nh[t] = gaets[t] + x[t]", 2, 8, "no equation defines gaets", "did you mean gates?"),
    # sizes
    ("y[t] = W @ h[t]\nh[t] = U @ x[t]", 2, 1, "2 sizes are open", "declare h: K"),
    ("h[t] = W @ x[t] + U @ z[t]", 1, 23, "the size of the input z is open", "z: E"),
    ("x: D\nh: H\nh[t] = x[t] + h[t-1]", 3, 15, "h[t-1] is H long (line 2), but x[t] is D long (line 1)", ""),
    ("x: D\nh: H\nh[t] = tanh(x[t])", 3, 8, "the right side is D long in line 3, but h is H long in line 2", ""),
    ("h: H\nx: 4\nh[t] = W @ h[t-1] + W @ x[t]", 3, 25, "W is H×4 in line 3 but H×H in line 3", ""),
    ("W: (H, K)\nx: D\nh[t] = W @ x[t]", 3, 12, "W is H×D in line 3 but H×K in line 1", ""),
    ("W: (H, 3)\nx: D\nh: H\nh[t] = W @ [h[t-1], x[t]]", 4, 13, "W is H×D+H in line 4 but H×3 in line 1", ""),
    ("h[t] = sum(2) * x[t]", 1, 12, "over the units of a vector", ""),
    ("x: D\nh: H\nh[t] = dot(x[t], h[t-1]) + h[t-1]", 3, 18, "h[t-1] is H long", ""),
    ("y: 1\nh[t] = W @ x[t] + h[t-1]\ny[t] = b * h[t]\nh: H", 3, 8, "the right side is H long", ""),
    ("y: H\ny[t] = W @ x[t] + U @ h[t]\nh[t] = V @ x[t]", 3, 1, "the size of h", "h: K"),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "advice"), BAD)
def test_mistake_is_found_where_it_is(text, line, column, message, advice):
    """Protects position, wording and advice of every diagnostic, and that each is quick."""
    start = time.process_time()
    with pytest.raises(CellError) as caught:
        parse(text)
    assert time.process_time() - start < 1
    found = [d for d in caught.value.diagnostics if (d.line, d.column) == (line, column)]
    assert found, f"nothing at {line}:{column}; the error is\n{caught.value}"
    assert message in found[0].message
    assert advice in found[0].advice
    assert f"cell.cell:{line}:{column}: " in str(caught.value)


HOSTILE = {
    "parentheses": "h[t] = " + "(" * 5000 + "x[t]" + ")" * 5000,
    "only opening": "(" * (1 << 20),
    "pairs": "()" * (1 << 19),
    "long sum": "h[t] = " + " + ".join(["x[t]"] * 5000),
    "long product": "h[t] = " + "*".join(["x[t]"] * 5000),
    "long quotient": "h[t] = " + "/".join(["x[t]"] * 900),
    "power tower": "h[t] = x[t]" + "**x[t]" * 5000,
    "short power tower": "h[t] = x[t]" + "**x[t]" * 150,
    "matrix chain": "h[t] = " + "W @ " * 900 + "x[t]",
    "transposes": "h[t] = W" + ".T" * 900 + " @ x[t]",
    "calls": "h[t] = x" + "()" * 5000,
    "conditions": "h[t] = " + "x[t] if a else " * 5000 + "x[t]",
    "digits": "h[t] = x[t] + " + "1" * 60000,
    "hexadecimal": "h[t] = x[t] + 0x" + "f" * 60000,
    "tower of numbers": "h[t] = x[t] + " + "9**" * 90 + "9",
    "product of numbers": "h[t] = x[t] + " + "*".join(["999999999"] * 2000),
    "long name": "h[t] = " + "a" * 200_000 + "[t]",
    "NUL": "\0" * (1 << 20),
    "quotes": "'" * (1 << 20),
    "triple quotes": '"""' * (1 << 18),
    "backslashes": '"""' + "\\" * (1 << 19) + '"' * 4,
    "escaped quotes": '"""' + '\\"' * (1 << 19),
    "names": "a " * (1 << 19),
    "statements": "a;" * (1 << 19),
    "equations": "a[t]=x[t]\n" * 100_000,
    "brackets in lines": "[\n" * (1 << 19),
    "comments in brackets": "(" + "#\n" * (1 << 18),
    "too large": "#" * ((1 << 20) + 1),
    "too large in UTF-8": "가" * (1 << 19),
    "a million characters": "h[t] = €§%&/()=?`´*+~#'-_.:,;<>|" * 30_000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_text_is_refused_quickly(case):
    """Protects the limits: whatever the text, the answer is a CellError within a second."""
    start = time.process_time()
    with pytest.raises(CellError):
        parse(HOSTILE[case])
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "text",
    [
        "h[t] = " + " + ".join(["x[t]"] * 900),
        "h[t] = " + "*".join(["x[t]"] * 900),
        "h[t] = " + "- " * 900 + "x[t]",
        "h[t] = " + "sigmoid(" * 98 + "x[t]" + ")" * 98,
        "h[t] = " + "(" * 98 + "x[t]" + ")" * 98,
        "h[t] = " + "W @ " * 90 + "h[t-1] + x[t]",
    ],
    ids=["sum", "product", "signs", "functions", "brackets", "matrices"],
)
def test_long_and_deep_expressions_within_the_limits_work(text):
    """Protects against limits that bite earlier than they say, also in what prints the equations."""
    start = time.process_time()
    cell = parse(text)
    assert str(cell.equations[0].rhs)
    assert sympy.latex(cell.equations[0].rhs)
    assert time.process_time() - start < 1


def test_a_thousand_equations_take_less_than_two_seconds():
    """Protects every stage from quadratic time in the number of equations."""
    lines = [f"a{k}[t] = tanh(a{k - 1}[t]) + w{k} * a{k}[t-1]" for k in range(1000, 0, -1)]
    start = time.process_time()
    cell = parse("\n".join([*lines, "a0[t] = x[t]", "output: a1000"]))
    assert cell.order[0] == "a0"
    assert time.process_time() - start < 2


def test_mistakes_are_reported_together():
    """Protects recovery: one broken line does not hide the others."""
    with pytest.raises(CellError) as caught:
        parse("h[t] = sigmoud(x[t])\nc[t] = (x[t]\nb: H = orthogonl\ng[t] = x[t+1] + y[1]\n")
    assert [(d.line, d.column) for d in caught.value.diagnostics] == [(1, 8), (2, 8), (3, 8), (4, 10), (4, 19)]


def test_twenty_mistakes_are_shown_and_the_rest_counted():
    """Protects the terminal from a file that is wrong in every line."""
    with pytest.raises(CellError) as caught:
        parse("\n".join(f"h{k}[t] = x[1]" for k in range(30)))
    assert str(caught.value).count("units are not indexed") == 20
    assert str(caught.value).endswith("... and 10 more")
    assert len(caught.value.diagnostics) == 30
