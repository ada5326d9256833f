"""Matrices that vary in time, and constant arrays: what each form becomes, and what is said where it does not fit."""

import pytest
import sympy

from symcell.cell import ONE, CellError, Parameter, Size, Start
from symcell.language import from_equations, parse
from symcell.symbolic.functions import Exp, Tanh
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Constant,
    Flipped,
    Hadamard,
    MatVec,
    Minus,
    OuterProduct,
    Param,
    RowScaled,
    Sum,
)

H, K, D = (Size.of(name) for name in "HKD")
C, L, U, V, X = At("C"), At("L"), At("u"), At("v"), At("x")
FIELDS = ("equations", "inputs", "signals", "states", "parameters", "arrays", "sizes", "constants")

MEMORY = """x: K
C: (H, K)
L: (H, K)
u: H
s: 1
g: scalar
eps: const = 1e-5
N: const(H, K)
u[t] = W @ x[t]
s[t] = mean(x[t])
"""


def matrix(text):
    """The right side of an equation for a matrix beside some names that are declared."""
    uses = "p[t] = C[t-1] @ x[t] + L[t] @ x[t] + N @ x[t] + g * eps * u[t]\noutput: p\n"
    return parse(MEMORY + uses + f"C[t] = {text}").equations[-1].rhs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("outer(u[t], x[t])", OuterProduct(U, X)),
        ("C[t-1] + outer(u[t], x[t])", Sum(At("C", 1), OuterProduct(U, X))),
        ("s[t] * C[t-1] - C[t-3]", Sum(Hadamard(At("s"), At("C", 1)), Minus(At("C", 3)))),
        ("diag(u[t]) @ C[t-1]", RowScaled(U, At("C", 1))),
        ("-diag(u[t]) @ C[t-1]", Minus(RowScaled(U, At("C", 1)))),
        ("C[t-1] @ diag(x[t])", ColumnScaled(At("C", 1), X)),
        ("diag(u[t]) @ C[t-1] @ diag(x[t])", RowScaled(U, ColumnScaled(At("C", 1), X))),
        ("L[t] @ diag(x[t]) @ diag(x[t])", ColumnScaled(ColumnScaled(L, X), X)),
        ("-L[t] @ diag(x[t])", Minus(ColumnScaled(L, X))),
        ("(L[t] - C[t-1]) @ diag(x[t])", ColumnScaled(Sum(L, Minus(At("C", 1))), X)),
        ("tanh(diag(u[t]) @ A) * L[t]", Hadamard(Tanh(RowScaled(U, Param("A"))), L)),
        ("diag(u[t]) @ exp(A)", RowScaled(U, Exp(Param("A")))),
        ("diag(b) @ A @ diag(x[t]) + L[t]", Sum(RowScaled(Param("b"), ColumnScaled(Param("A"), X)), L)),
        ("A * L[t] + N * g", Sum(Hadamard(Param("A"), L), Hadamard(Param("N"), Param("g")))),
        ("C[t-1] * eps + 1", Sum(Hadamard(At("C", 1), Constant("eps", 1e-5)), 1)),
    ],
)
def test_matrices_stay_as_written(text, expected):
    """Protects which node each form of a matrix becomes."""
    assert matrix(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C[t] @ x[t]", MatVec(C, X)),
        ("V @ C[t].T @ u[t]", MatVec(sympy.MatrixSymbol("V", H.symbol(), K.symbol()), MatVec(Flipped(C), U))),
        ("C[t].T.T @ x[t]", MatVec(C, X)),
        ("(C[t] + outer(u[t], x[t])) @ x[t]", MatVec(Sum(C, OuterProduct(U, X)), X)),
        ("-C[t] @ x[t]", Minus(MatVec(C, X))),
        ("s[t] * C[t] @ x[t]", MatVec(Hadamard(At("s"), C), X)),
        ("(C[t] + A) @ x[t]", MatVec(Sum(C, Param("A")), X)),
        ("diag(u[t]) @ C[t] @ x[t]", Hadamard(U, MatVec(C, X))),
        ("diag(-u[t] * u[t]) @ C[t] @ x[t]", Minus(Hadamard(U, U, MatVec(C, X)))),
        ("C[t] @ diag(x[t]) @ k[t]", MatVec(C, Hadamard(X, At("k")))),
    ],
)
def test_products_with_a_matrix_that_varies(text, expected):
    """Protects what stands left of @, and that a chain of products goes from right to left."""
    cell = parse(f"C: (H, K)\nx: K\nk: K\nu: H\ns: 1\nu[t] = W @ x[t]\ny[t] = {text} + s[t] * (k_0 @ k[t])\ny: H")
    assert cell.equations[-1].rhs.args[0] == expected


def test_roles_and_shapes_of_a_memory():
    """Protects the shapes of a cell with a matrix for a state: declared sizes, inferred ones, and its output."""
    cell = parse("n: K\nC[t] = f[t] * C[t-1] + outer(v[t], n[t])\nv[t] = W @ x[t]\nf: 1\nf[t] = w @ x[t]\n"
                 "n[t] = U @ x[t]\noutput: C\nC[0] = C_0\nM[t] = A + C[t-2]")  # fmt: skip
    assert cell.signals["C"] == cell.signals["M"] == (H, K)
    assert dict(cell.states) == {"C": 2}
    assert cell.parameters["C_0"].shape == cell.parameters["A"].shape == (H, K)
    assert cell.parameters["w"].shape == (ONE, D)
    assert (cell.output, cell.sizes) == ("C", ("D", "H", "K"))


def test_what_a_scalar_is_made_of_is_one_value():
    """Protects gates of a memory: nothing but the stabiliser declares that they are of size 1."""
    cell = parse("m: 1\nn: K\nC: (H, K)\na[t] = w @ x[t] + b\nm[t] = maximum(m[t-1], a[t])\ni[t] = exp(a[t] - m[t])\n"
                 "n[t] = i[t] * (W @ x[t])\nC[t] = i[t] * outer(V @ x[t], n[t])\noutput: C")  # fmt: skip
    assert cell.signals["a"] == cell.signals["i"] == (ONE,)
    assert cell.parameters["b"].shape == (ONE,)


def test_a_parameter_may_stand_left_of_a_vector_and_beside_a_matrix():
    """Protects both uses of one matrix."""
    cell = parse("x: H\nC[t] = W * C[t-1] + outer(x[t], W @ x[t])\noutput: C")
    assert cell.parameters["W"].shape == (H, H)
    assert cell.equations[0].rhs.args[0] == Hadamard(Param("W"), At("C", 1))


def test_constant_arrays():
    """Protects that arrays of the caller's have shapes, are no parameters, and are read like these."""
    cell = parse("A: const(N, N)\nB: const(N)\nh[t] = A @ h[t-1] + B * u[t] + x[t]\nu: 1\nu[t] = mean(x[t])")
    n = Size.of("N")
    assert dict(cell.arrays) == {"A": (n, n), "B": (n,)}
    assert not cell.parameters
    assert cell.equations[0].rhs.args[1] == Hadamard(Param("B"), At("u"))


def test_starts():
    """Protects every start that a declaration may name."""
    starts = ["identity", "normal(0.02)", "uniform(1/4)", "uniform", "glorot", "0.5"]
    lines = [f"W{k}: (H, H) = {start}" for k, start in enumerate(starts)]
    terms = " + ".join(f"W{k} @ h[t-1]" for k in range(len(starts)))
    found = parse("\n".join([*lines, f"h[t] = x[t] + {terms}"])).parameters
    expected = [Start("identity"), Start("normal", 0.02), Start("uniform", 0.25), Start(), Start("glorot"), 0.5]
    assert [found[f"W{k}"] for k in range(len(starts))] == [Parameter((H, H), start) for start in expected]
    assert [str(start) for start in expected[:4]] == ["identity", "normal(0.02)", "uniform(0.25)", "uniform"]


BAD = [
    ("C[t] = u[t] * C[t-1]", 15, "C[t-1] is a matrix beside the vector u[t]", "diag(u[t]) @ C[t-1]"),
    ("C[t] = C[t-1] + u[t]", 17, "u[t] is a vector beside the matrix C[t-1]", "C[t-1] @ diag(u[t])"),
    ("C[t] = C[t-1] @ L[t]", 17, "L[t] is a matrix; right of @ stands a vector", "C[t-1] @ (L[t] @ v)"),
    ("C[t] = C[t-1] @ outer(x[t], x[t])", 17, "right of @ stands a vector", "outer(C[t-1] @ x[t], x[t])"),
    ("C[t] = outer(u[t], u[t]) @ C[t-1]", 28, "right of @ stands a vector", "outer(u[t], C[t-1].T @ u[t])"),
    ("C[t] = W @ outer(x[t], x[t])", 12, "right of @ stands a vector", "outer(W @ x[t], x[t])"),
    ("C[t] = C[t-1] * sum(C[t-1])", 21, "sum is taken over the units of a vector", "sum(M @ v)"),
    ("C[t] = softmax(C[t-1])", 16, "softmax is taken over the units of a vector", "softmax(M @ v)"),
    ("C[t] = C[t-1] * dot(x[t], L[t])", 27, "dot is taken over the units of a vector", "dot(u, M @ v)"),
    ("C[t] = diag(L[t]) @ C[t-1]", 13, "diag takes a vector, and L[t] is a matrix", "diag(v) @ M"),
    ("C[t] = diag(x[t]) @ C[t-1]", 8, "x[t] is K long, but C[t-1] has H rows", "scales its rows"),
    ("C[t] = C[t-1] @ diag(u[t])", 17, "u[t] is H long, but C[t-1] has K columns", "columns"),
    ("C[t] = C[t-1] + diag(u[t])", 17, "diag stands only beside @", "diag(v) @ M"),
    ("C[t] = diag(u[t]) @ diag(u[t])", 8, "diag stands beside a matrix", "diag(u * v) @ M"),
    ("C[t] = diag(u[t], 2) @ L[t]", 8, "diag takes one vector", "diag(v) @ M"),
    ("C[t] = diag(u[t]) @ 2", 21, "diag scales a matrix, and 2 is one value", ""),
    ("C[t] = x[t] @ diag(x[t])", 8, "diag scales a matrix, and x[t] is a vector", ""),
    ("C[t] = C[t-1] + outer(x[t], u[t])", 17, "outer(x[t], u[t]) is K×H", "one shape"),
    ("C[t] = C[t-1] + outer(u[t], L[t])", 29, "outer takes two vectors", "M @ v"),
    ("C[t] = C[t-1] + outer(2, x[t])", 23, "outer takes two vectors", ""),
    ("C[t] = C[t-1] + outer(u[t])", 17, "outer takes 2 arguments, not 1", "outer(u, v)"),
    ("C[t] = C[t-1] + L[t].T", 17, "a transposed matrix stands only left of @", "C[t] @ v"),
    ("C[t] = u[t]", 8, "the right side is a vector, H long, but C is a matrix, H×K, in line 2", "outer(u, v)"),
    ("q[t] = C[t] @ x[t]\nq: K\nC[t] = L[t]", 8, "the right side is H long in line 7, but q is K long", ""),
    ("q[t] = C[t] @ u[t]\nC[t] = L[t]", 15, "C[t] is H×K, but u[t] is H long", "C[t].T @ u[t]"),
    ("q[t] = C[t].T @ x[t]\nC[t] = L[t]", 17, "C[t].T is K×H, but x[t] is K long", "C[t] @ x[t]"),
    ("q[t] = C[t] @ [u[t], x[t]]\nC[t] = L[t]", 15, "vectors are joined only right of", "C[t] @ u + M[t] @ v"),
    ("q[t] = u[t] @ x[t]\nC[t] = L[t]", 8, "u[t] is a vector; left of @ stands a matrix", "x[t] @ u[t]"),
    ("q[t] = z[t] @ x[t]\nC[t] = L[t]", 8, "z[t] is a vector; left of @ stands a matrix", "declare z: (H, K)"),
    ("q[t] = C[t]\nq: H\nC[t] = L[t]", 8, "the right side is a matrix, H×K, but q is a vector, H long,", "M @ v"),
    ("C[t] = L[t]\nC[0] = x_0\nx_0: K", 8, "x_0 is K long, but C is H×K", "one shape"),
    ("C[t] = layernorm(x[t], L[t]) * C[t-1]", 24, "gain and bias of layernorm are vectors", ""),
    # constant arrays
    ("C[t] = L[t] + N[t]\nN: const(H, K)", 15, "N is a constant and has no time", "write N"),
    ("C[t] = L[t] * N\nN: const(K)", 15, "N is a vector beside the matrix L[t]", ""),
    ("C[t] = L[t] * sum(N @ x[t])\nN: const(K)", 19, "N is declared a vector in line 8", "N: const(H, D)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "column", "message", "advice"), BAD)
def test_what_does_not_fit(text, column, message, advice):
    """Protects place, wording and advice of what is wrong with matrices."""
    declared = "x: K\nC: (H, K)\nL: (H, K)\nu: H\nu[t] = W @ x[t] + V @ u[t-1]\noutput: u\n"
    with pytest.raises(CellError) as caught:
        parse(declared + text + "\np[t] = C[t-1] @ x[t] + L[t] @ x[t]")
    found = [d for d in caught.value.diagnostics if (d.line, d.column) == (7, column) or "x_0" in message]
    assert found, str(caught.value)
    assert message in found[0].message
    assert advice in found[0].advice


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("h[t] = A @ x[t]\nA: const(N, N) = 3", 2, 18, "A is an array that the caller sets"),
        ("h[t] = A @ x[t]\nA: const(N, N, N)", 2, 4, "one size or two"),
        ("h[t] = A @ x[t]\nA: const()", 2, 4, "one size or two"),
        ("h[t] = A * x[t]\nA: const(scalar)", 2, 10, "scalar is no size"),
        ("h[t] = b * x[t]\nb: const = A\nA: const(N, N)", 2, 12, "the constant b is no number"),
        ("h[t] = x[t]\nA: const(N)", 2, 1, "nothing uses A"),
        ("A: const(N)\nA[t] = x[t]\nh[t] = 2 * A * x[t]", 3, 12, "A stands here without a time"),
        ("h[t] = h[t-1] + x[t]\nh[0] = A\nA: const(N)", 2, 8, "A is a constant array"),
        ("W: (H, D) = uniform(-1)\nh[t] = W @ x[t]", 1, 21, "positive"),
        ("W: (H, D) = identity\nh[t] = W @ x[t]", 1, 13, "square"),
        ("b: H = identity\nh[t] = b * x[t]", 1, 8, "needs a matrix"),
        ("b: H = normal(x)\nh[t] = b * x[t]", 1, 15, "one number"),
        ("b: H = normal()\nh[t] = b * x[t]", 1, 8, "one number"),
        ("b: H = zeros(2)\nh[t] = b * x[t]", 1, 8, "no argument"),
        ("b: H*\nh[t] = b * x[t]", 1, 6, "the line ends"),
        ("b: H**2\nh[t] = b * x[t]", 1, 4, "no shape"),
        ("outer[t] = x[t]\noutput: outer", 1, 1, "a function's name"),
        ("h[t] = diag * x[t]", 1, 8, "a function's name"),
    ],
)
def test_misused_declarations(text, line, column, message):
    """Protects place and wording of what is wrong with constant arrays, starts and the words outer and diag."""
    with pytest.raises(CellError) as caught:
        parse(text)
    found = [d for d in caught.value.diagnostics if (d.line, d.column) == (line, column)]
    assert found, str(caught.value)
    assert message in found[0].message


def test_matrices_survive_the_way_through_sympy():
    """Protects the printer on every node that makes or takes a matrix that varies, and on constants."""
    text = MEMORY + (
        "C[t] = diag(u[t]) @ (C[t-1] - L[t]) @ diag(x[t]) + s[t] * outer(u[t], x[t]) / (1 + eps)\n"
        "M[t] = L[t] - exp(-(diag(u[t]) @ A))\n"
        "p[t] = (-C[t] * g + L[t] - N) @ x[t]\n"
        "y[t] = 2 * (diag(u[t]) @ A) * C[t] + 0.7*0.06*eps\n"
        "y: (H, K)\n"
        "h: H\n"
        "h[t] = (eps*Q - Q) @ p[t] + sqrt(2) ** eps\n"
    )
    cell = parse(text)
    declared = {line.split(":")[0]: line.split(": ")[1] for line in MEMORY.split("\n") if ":" in line}
    del declared["eps"]
    again = from_equations("cell", cell.equations, declarations={**declared, "y": "(H, K)", "h": "H"})
    for field in FIELDS:
        assert getattr(cell, field) == getattr(again, field), field


def test_transposes_survive_the_way_through_sympy():
    """Protects ``.T`` of a matrix that varies."""
    cell = parse("C: (H, K)\nx: H\nh[t] = (C[t] + outer(x[t], W @ x[t])).T @ x[t]")
    assert from_equations("cell", cell.equations, declarations={"C": "(H, K)", "x": "H"}).equations == cell.equations


def test_what_has_an_axis_has_no_word():
    """Protects against printing a vector laid along an axis of a matrix as the vector."""
    with pytest.raises(CellError, match="no word for"):
        from_equations("cell", [sympy.Eq(At("C"), At("x", 0, 1), evaluate=False)])


@pytest.mark.parametrize(
    ("text", "plain", "tex"),
    [
        ("(C[t] + L[t]) @ x[t]", "(C[t] + L[t]) @ x[t]", r"(C_{t} + L_{t})\, x_{t}"),
        ("(C[t] * L[t]).T @ u[t]", "(C[t]*L[t]).T @ u[t]", r"(C_{t} \odot L_{t})^{\top}\, u_{t}"),
        ("u[t] * (C[t] @ x[t])", "u[t]*(C[t] @ x[t])", r"u_{t} \odot (C_{t}\, x_{t})"),
        ("k * u[t] * 2 + 0.7*0.06", "k*u[t]*2 + 0.7*0.06", r"k\, u_{t} \cdot 2 + 0.7 \cdot 0.06"),
        ("sqrt(2) * u[t]", "sqrt(2)*u[t]", r"\sqrt{2}\, u_{t}"),
    ],
)
def test_how_equations_read(text, plain, tex):
    """Protects brackets where a product of matrices meets other operators, and constants as they are written."""
    declared = "x: K\nu: H\nC: (H, K)\nL: (H, K)\nk: const = 3\noutput: d\n"
    uses = "d[t] = k * x[t] + C[t].T @ u[t] + L[t].T @ u[t]\n"
    right = parse(f"{declared}{uses}p[t] = {text}").equations[-1].rhs
    assert (str(right), sympy.latex(right)) == (plain, tex)


def test_quoted_operands_keep_their_brackets():
    """Protects what messages and advice quote: text that can be pasted back."""
    text = "C: (H, K)\nx: K\nh[t] = (C[t] * C[t]) @ x[t] + (C[t] + 1).T @ (h[t-1] + h[t-2])"
    with pytest.raises(CellError) as caught:
        parse(text)
    assert "(C[t] + 1).T @ (h[t-1] + h[t-2]) is K long" in str(caught.value)
    assert "(C[t] * C[t]) @ x[t] is H long" in str(caught.value)
