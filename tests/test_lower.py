"""Cells become graphs: what is shared, what is expanded, and how it reads."""

from __future__ import annotations

import pytest
from feature_cells import FEATURES

import symcell
from symcell.cell import CellError
from symcell.graph import Combine, Graph, Pointwise, Product, Reduce
from symcell.lower import lower
from symcell.symbolic import functions as fn


def lowered(text: str) -> Graph:
    return lower(symcell.parse(text, name="cell"))


def steps(text: str) -> list[str]:
    return [str(op) for op in lowered(text).steps]


def test_the_simple_network() -> None:
    assert steps("h[t] = tanh(W @ x[t] + U @ h[t-1] + b)") == [
        "U_h = U @ h[t-1]",
        "W_x = W @ x[t]",
        "a_h = U_h[t] + W_x[t] + b",
        "h = tanh(a_h[t])",
    ]


def test_equal_expressions_are_computed_once() -> None:
    made = steps("h[t] = tanh(W @ x[t]) * sigmoid(W @ x[t]) + tanh(W @ x[t]) * h[t-1]")
    assert sum("@" in s for s in made) == 1
    assert sum("tanh" in s for s in made if "tanh(" in s) == 1


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
    products = [op for op in graph.steps if isinstance(op, Product)]
    assert [str(op) for op in products] == ["W_h = W[:, 0:+H] @ h[t-1]", "W_x = W[:, H:+D] @ x[t]"]


def test_combined_matrices_are_made_once() -> None:
    graph = lowered("h[t] = tanh((W - W.T) @ h[t-1]) + sigmoid((W - W.T) @ h[t-1]) + V @ x[t]")
    combined = [op for op in graph.steps if isinstance(op, Combine)]
    assert [str(op) for op in combined] == ["combined_W = -1*W.T + W"]


def test_a_fixed_part_is_fixed() -> None:
    graph = lowered("h[t] = x[t] + W @ (norm(v)*v)\nv: K\nx: H")
    assert any(isinstance(op, Product) and graph.values[op.out].fixed for op in graph.steps)
    assert all(graph.values[op.out].fixed for op in graph.steps if "x" not in str(op))


@pytest.mark.parametrize("name", [*symcell.names(), *FEATURES])
def test_rules_names_and_outputs(name: str) -> None:
    cell = symcell.load(name) if name not in FEATURES else symcell.parse(FEATURES[name], name=name)
    graph = lower(cell).check()
    assert graph.outputs == (cell.output,)
    assert set(graph.given) == set(cell.inputs)
    assert set(graph.fixed) == set(cell.parameters)
    assert {op.out for op in graph.steps} >= set(cell.signals)
    for signal, size in cell.signals.items():
        assert graph.size(signal) == size
    assert {n: k for n, k in {**graph.given, **graph.carried}.items() if k} == dict(cell.states)
    assert str(lower(cell)) == str(graph)


def test_a_function_over_units_of_a_constant_is_refused() -> None:
    """Its number of units is gone with the values that cancelled: softmax would not know what to divide by."""
    cell = symcell.parse("h[t] = tanh(W @ x[t])\ny[t] = h[t] + softmax(h[t] - h[t])", name="mine")
    with pytest.raises(CellError, match=r"mine.cell:2:1: softmax is taken of what is always 0"):
        lower(cell)
