"""Cells become graphs: what is shared, what is expanded, and how it reads."""

from __future__ import annotations

import numpy as np
import pytest
from feature_cells import FEATURES

import symcell
from symcell.adjoint import adjoint
from symcell.cell import CellError
from symcell.graph import Combine, Contraction, Graph, Pointwise, Reduce
from symcell.interpret import EXACT, run
from symcell.lower import lower
from symcell.symbolic import functions as fn


def lowered(text: str) -> Graph:
    return lower(symcell.parse(text, name="cell"))


def steps(text: str) -> list[str]:
    return [str(op) for op in lowered(text).steps]


def test_the_simple_network() -> None:
    assert steps("h[t] = tanh(W @ x[t] + U @ h[t-1] + b)") == [
        "W_x = W @ x[t]",
        "U_h = U @ h[t-1]",
        "a_h = W_x[t] + U_h[t] + b",
        "h = tanh(a_h[t])",
    ]


def test_equal_expressions_are_computed_once() -> None:
    made = steps("h[t] = tanh(W @ x[t]) * sigmoid(W @ x[t]) + tanh(W @ x[t]) * h[t-1]")
    assert sum("@" in s for s in made) == 1
    assert sum("tanh" in s for s in made if "tanh(" in s) == 1


def test_a_signal_that_is_one_step_is_that_step() -> None:
    """No copy stands between a product and the signal that it is; other readers of the product read the signal."""
    made = steps("q[t] = W @ x[t]\nk[t] = W @ x[t]\nh[t] = tanh(W @ x[t] + q[t] + U @ h[t-1])")
    assert made == [
        "q = W @ x[t]",
        "k = q[t]",
        "U_h = U @ h[t-1]",
        "a_h = 2*q[t] + U_h[t]",
        "h = tanh(a_h[t])",
    ]


def test_a_signal_is_reused_where_its_formula_comes_again() -> None:
    made = steps("p[t] = sigmoid(a * x[t])\nh[t] = sigmoid(a * x[t]) + h[t-1]\nx: H")
    assert sum("sigmoid(" in s for s in made) == 1


@pytest.mark.parametrize("text", ["silu(v)", "gelu(v)", "log_sigmoid(v)", "leaky_relu(v)"])
def test_composed_functions_are_expanded(text: str) -> None:
    graph = lowered(f"h[t] = {text.replace('v', 'h[t-1]')} + W @ x[t]")
    found = {type(f) for op in graph.steps if isinstance(op, Pointwise) for f in op.body.atoms(fn.UnitFunction)}
    assert found
    assert not found & {fn.Silu, fn.Gelu, fn.LogSigmoid, fn.LeakyRelu}


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "norm", "softmax", "layernorm", "rmsnorm"])
def test_functions_over_units_are_sums_and_maxima(name: str) -> None:
    graph = lowered(f"h[t] = {name}(h[t-1]) + W @ x[t]")
    assert any(isinstance(op, Reduce) for op in graph.steps)
    assert not any(op.body.has(fn.OverUnits) for op in graph.steps if isinstance(op, Pointwise))


def test_softmax_is_shifted_by_its_largest() -> None:
    made = steps("h[t] = softmax(h[t-1]) + W @ x[t]")
    assert any("max(" in s for s in made)


def test_a_joined_product_is_read_in_blocks() -> None:
    graph = lowered("h[t] = tanh(W @ [h[t-1], x[t]])")
    products = [op for op in graph.steps if isinstance(op, Contraction)]
    assert [str(op) for op in products] == ["W_h = W[:, 0:H] @ h[t-1]", "W_x = W[:, H:D+H] @ x[t]"]


def test_combined_matrices_are_made_once() -> None:
    graph = lowered("h[t] = tanh((W - W.T) @ h[t-1]) + sigmoid((W - W.T) @ h[t-1]) + V @ x[t]")
    combined = [op for op in graph.steps if isinstance(op, Combine)]
    assert [str(op) for op in combined] == ["combined_W = -1*W.T + W"]


def test_a_fixed_part_is_fixed() -> None:
    graph = lowered("h[t] = x[t] + W @ (norm(v)*v)\nv: K\nx: H")
    assert any(isinstance(op, Contraction) and graph.values[op.out].fixed for op in graph.steps)
    assert all(graph.values[op.out].fixed for op in graph.steps if "x" not in str(op))


@pytest.mark.parametrize("name", [*symcell.names(), *FEATURES])
def test_rules_names_and_outputs(name: str) -> None:
    cell = symcell.load(name) if name not in FEATURES else symcell.parse(FEATURES[name], name=name)
    graph = lower(cell).check()
    assert graph.outputs == (cell.output,)
    assert set(graph.given) == set(cell.inputs)
    assert graph.fixed == (*cell.parameters, *cell.arrays)
    assert {op.out for op in graph.steps} >= set(cell.signals)
    for signal, shape in cell.signals.items():
        assert graph.shape(signal) == shape
    assert {n: k for n, k in {**graph.given, **graph.carried}.items() if k} == dict(cell.states)
    assert {e.value: (e.depth, e.start) for e in graph.entries} == {
        n: (k, cell.initial.get(n)) for n, k in cell.states.items()
    }
    assert {e.values: e.depth for e in graph.exits} == {(n,): k for n, k in cell.states.items()}
    assert str(lower(cell)) == str(graph)


def test_a_function_over_units_of_a_constant_is_refused() -> None:
    """Its number of units is gone with the values that cancelled: softmax would not know what to divide by."""
    cell = symcell.parse("h[t] = tanh(W @ x[t])\ny[t] = h[t] + softmax(h[t] - h[t])", name="mine")
    with pytest.raises(CellError, match=r"mine.cell:2:15: softmax is taken of what is always 0") as caught:
        lower(cell)
    assert str(caught.value).splitlines()[1:] == [
        "    y[t] = h[t] + softmax(h[t] - h[t])",
        "                  ^^^^^^^^",
        "    write the result in its place",
    ]
    assert [(d.line, d.column) for d in caught.value.diagnostics] == [(2, 15)]


def test_an_error_of_lowering_has_no_name_of_the_lowering_in_it() -> None:
    """What a product with zeros is has no name in the text."""
    cell = symcell.parse("h[t] = tanh(norm(A @ (h[t-1] - h[t-1]))) + W @ x[t]\nA: (H, H)\n", name="mine")
    with pytest.raises(CellError, match=r"mine.cell:1:13: norm is taken of what is always the same"):
        lower(cell)


def test_a_division_by_what_cancels_to_zero_is_refused() -> None:
    cell = symcell.parse("x: 1\nh: 1\nh[t] = x[t]/var(x[t])", name="mine")
    with pytest.raises(CellError, match=r"mine.cell:3:1: this divides by what is always 0"):
        lower(cell)


# the shape of an expression is what the text says, before anything cancels


WRITTEN = {
    "s: scalar\ny: 1\ny[t] = sum(s + 0*x[t])": [6.0],
    "s: scalar\ny: 1\ny[t] = norm(s*x[t]/x[t])": [3.0],
    "s: scalar\ny: 1\ny[t] = dot(s + 0*x[t], s + x[t] - x[t])": [9.0],
    "s: scalar\ny: 1\ny[t] = mean(s + 0*x[t]) + max(s + 0*x[t]) + var(s + 0*x[t])": [3.0],
    "s: scalar\ny[t] = softmax(s*x[t]/x[t])": [0.25] * 4,
    "s: scalar\ny[t] = layernorm(s + 0*x[t], g, b)": [1.0, 2.0, 3.0, 4.0],
    "s: scalar\ny: K\ny[t] = W @ (s*x[t]/x[t])": [15.0, 1.5],
    "y: K\ny[t] = V @ [x[t]/x[t], x[t]]": [20.0, 4.0],
    "s: scalar\ny: K\nC: (K, D)\nC[t] = outer(s + 0*(W @ x[t]), s*x[t]/x[t])\ny[t] = C[t] @ x[t]": [22.5, 22.5],
    "s: scalar\ny: D\ny[t] = outer(x[t], s + 0*x[t]) @ x[t]": [15.0, 30.0, 45.0, 60.0],
    "z: 1\ny: K\ny[t] = U @ softmax(z[t])": [5.0, 7.0],
    "z: 1\ny: 1\ny[t] = layernorm(softmax(z[t]), o, o) + z[t]/(1 + var(z[t]))": [4.0],
}
ARRAYS = {
    "x": [1, 2, 3, 4], "z": [3], "s": 1.5, "g": [1, 1, 1, 1], "b": [1, 2, 3, 4], "U": [[5], [7]], "o": [1],
    "W": [[1, 2, 3, 4], [0, 0, 0, 1]], "V": [[1, 2, 3, 4, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1]],
}  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN)
def test_shapes_are_what_is_written(text: str) -> None:
    cell = symcell.parse(text, name="mine")
    graph = lower(cell)
    fixed = {n: EXACT.array(np.array(ARRAYS[n], float)) for n in graph.fixed}
    given = {(n, 0): EXACT.array(np.array([ARRAYS[n]], float)) for n in graph.given}
    found = run(graph, given, fixed, {}, steps=1, batch=1, sizes={"D": 4, "K": 2, "H": 4}).varying[cell.output, 0]
    assert found[0].astype(float).tolist() == pytest.approx(WRITTEN[text])
    adjoint(adjoint(graph).graph)


# matrices that vary


def test_a_memory_of_outer_products() -> None:
    made = steps(
        "x: H\nC: (H, H)\nf: scalar\nC[t] = f*C[t-1] + outer(W @ x[t], x[t])\nh[t] = C[t] @ x[t] + C[t].T @ x[t]"
    )
    assert made == [
        "W_x = W @ x[t]",
        "C = f*C[t-1] + W_x[t][:,None]*x[t][None,:]",
        "C_x = C[t] @ x[t]",
        "CT_x = C[t].T @ x[t]",
        "h = C_x[t] + CT_x[t]",
    ]


PRODUCTS = {
    "outer(x[t], u) @ x[t]": ["product_u = u*x[t]", "dot_u = sum(product_u[t])", "y = x[t]*dot_u[t]"],
    "(diag(u) @ C[t-1]) @ x[t]": ["C_x = C[t-1] @ x[t]", "y = u*C_x[t]"],
    "(C[t-1] @ diag(u)) @ x[t]": ["a_y = u*x[t]", "y = C[t-1] @ a_y[t]"],
    "(C[t-1] + outer(x[t], u)).T @ x[t]": [
        "C_x = C[t-1].T @ x[t]",
        "product_x = x[t]**2",
        "dot_x = sum(product_x[t])",
        "y = C_x[t] + u*dot_x[t]",
    ],
    "(dot(u, u)*C[t-1]) @ x[t]": [
        "product_u = u**2",
        "dot_u = sum(product_u)",
        "C_x = C[t-1] @ x[t]",
        "y = dot_u*C_x[t]",
    ],
}


@pytest.mark.parametrize("product", PRODUCTS)
def test_no_matrix_is_formed_that_need_not_be(product: str) -> None:
    made = steps(f"C: (H, H)\nx: H\ny: H\nu: H\ny[t] = {product}\nC[t] = outer(x[t], x[t])")
    assert [s for s in made if not s.startswith("C = ")] == PRODUCTS[product]


def test_constant_arrays_are_fixed_and_constant() -> None:
    graph = lowered("A: const(H, H)\nh[t] = tanh(A @ h[t-1] + W @ x[t])")
    assert graph.fixed == ("W", "A")
    assert [v.name for v in graph.values.values() if v.constant] == ["A"]


# names


def test_names_of_intermediate_values_say_what_they_are() -> None:
    """None looks like one that the cell's author would have numbered."""
    made = steps("h[t] = layernorm(W @ x[t], a, b) + tanh(a*h[t-1]) * sigmoid(b*h[t-1]) + softmax(h[t-1]) + exp(x[t])")
    names = [s.split(" = ")[0] for s in made]
    assert not [n for n in names if n.rpartition("_")[2].isdigit()]
    assert {"centred_W_x", "std_W_x", "sigmoid_in_h", "exp_h"} < set(names)


def test_names_of_the_cell_are_not_taken() -> None:
    text = "a_h[t] = W @ x[t]\nU_h[t] = tanh(a_h[t] + h_first)\nh[t] = tanh(U @ h[t-1] + U_h[t])"
    graph = lowered(text)
    made = [op.out for op in graph.steps]
    assert len(set(made)) == len(made)
    assert not {e.name for e in graph.entries} & set(graph.values)
