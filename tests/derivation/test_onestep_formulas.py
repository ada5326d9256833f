"""The printed blocks of the one-step Jacobian, evaluated as they stand, are those in numbers; and they are short."""

from __future__ import annotations

import time

import mpmath
import numpy as np
import pytest

from symcell.derivation.check.operators import Operators, by_columns
from symcell.derivation.check.sequence import Sequence
from symcell.derivation.forward import read_forward
from symcell.derivation.onestep import block_formulas
from symcell.derivation.text import TextPrinter
from symcell.interpret import EXACT, Run
from symcell.jacobian import one_step
from symcell.jacobian.numbers import Numbers
from symcell.jacobian.values import forward_values
from symcell.language import load, names, parse
from symcell.lower import lower
from symcell.transforms import textbook

SAMPLE = ("deltanet", "gru", "layernorm_lstm", "lmu", "lstm", "mlstm", "narx", "slstm")
CELLS = [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in names()]
TEXTS = {
    "matrices": "C: (H, K)\nk: K\nv: H\nk[t] = A @ x[t]\nv[t] = tanh(B @ x[t] + C[t-1] @ k[t-1])\n"
    "C[t] = diag(sigmoid(v[t])) @ C[t-1] @ diag(k[t]) + outer(v[t], C[t-1].T @ v[t]) + tanh(C[t-1])\n"
    "y[t] = C[t] @ k[t]",
    "composites": "h[t] = layernorm(h[t-1], g) * norm(h[t-1]) + softmax(U @ h[t-1]) * silu(x[t] + h[t-1])"
    " + var(h[t-1]) * rmsnorm(h[t-1] * c[t-1])\nc[t] = silu(c[t-1]) + rmsnorm(V @ h[t])",
    "mixing": "s: 1\nh: H\ns[t] = 0.9*s[t-1] + sum(h[t-1])*alpha\nalpha: scalar\nh[t] = tanh(W @ x[t] + s[t]*b)"
    " * max(h[t-1]) + norm(h[t-1])*a - mean(h[t-1])",
}
STEPS, BATCH = 3, 2


@pytest.mark.parametrize("name", CELLS)
def test_formulas_are_what_the_numbers_are(name: str) -> None:
    _check(load(name))


@pytest.mark.parametrize("name", TEXTS)
def test_what_no_shipped_cell_has(name: str) -> None:
    _check(parse(TEXTS[name], name=name))


def _check(source) -> None:
    book = textbook(source)
    cell, graph = book.cell, lower(book.cell)
    forward = read_forward(book, graph)
    step = one_step(cell, graph, shown=forward.named, folded=forward.folded())
    whole = one_step(cell, graph, shown=forward.named)
    rng = np.random.default_rng(1)
    sizes = {name: k for k, name in enumerate(cell.sizes, 2)}

    def draw(shape, *lead):
        return 0.7 * rng.normal(size=(*lead, *(s.value(sizes) for s in shape)))

    fixed = {n: draw(p.shape) for n, p in cell.parameters.items()} | {n: draw(s) for n, s in cell.arrays.items()}
    x = {n: draw(shape, STEPS, BATCH) for n, shape in cell.inputs.items()}
    state = {n: draw(cell.shape_of(n), depth, BATCH) for n, depth in cell.states.items()}
    values = forward_values(graph, x, fixed, sizes, state)
    numbers, t = Numbers(whole, values), 1
    with mpmath.workprec(53):
        sequence = _sequence(values)
        operators = Operators(sequence, graph, t)
        for formula in block_formulas(forward, step):
            found = operators.define(formula.left, formula.right)
            block = formula.block
            wanted = numbers.block(block.target, block.source, t)
            wanted = by_columns(wanted, values.shape(block.target), values.shape(block.source.signal))
            found = np.broadcast_to(found, wanted.shape).astype(float)
            np.testing.assert_allclose(found, wanted, atol=1e-12, err_msg=str(formula.left))


def _sequence(values) -> Sequence:
    held = {(n, t - values.depth): EXACT.array(a) for n, array in values.varying.items() for t, a in enumerate(array)}
    run = Run({k: v for k, v in held.items() if k[1] >= 0}, {n: EXACT.array(a) for n, a in values.fixed.items()}, {})
    before = {k: v for k, v in held.items() if k[1] < 0}
    zeros = {n: EXACT.array(np.zeros(a.shape[1:])) for n, a in values.varying.items()}
    return Sequence(run, values.steps, dict(values.sizes), {}, before, zeros)


def _text(name: str) -> dict[str, str]:
    cell = load(name)
    forward = read_forward(cell, lower(cell))
    printer = TextPrinter(forward.display_names())
    return {printer.plain(f.left): printer.plain(f.right) for f in block_formulas(forward)}


def test_what_a_person_would_write() -> None:
    assert _text("lstm") == {
        "∂c[t]/∂h[t-1]": "diag(c[t-1] ⊙ f[t] ⊙ (1 - f[t])) U_f + diag(g[t] ⊙ i[t] ⊙ (1 - i[t])) U_i "
        "+ diag(i[t] ⊙ (1 - g[t]²)) U_g",
        "∂h[t]/∂h[t-1]": "diag(o[t] ⊙ (1 - tanh(c[t])²)) (∂c[t]/∂h[t-1]) + diag(tanh(c[t]) ⊙ o[t] ⊙ (1 - o[t])) U_o",
        "∂c[t]/∂c[t-1]": "diag(f[t])",
        "∂h[t]/∂c[t-1]": "diag(o[t] ⊙ (1 - tanh(c[t])²)) (∂c[t]/∂c[t-1])",
    }
    assert _text("deltanet") == {"∂vec(S[t])/∂vec(S[t-1])": "I - beta[t] (k[t] k[t]ᵀ ⊗ I)"}
    assert _text("rnn") == {"∂h[t]/∂h[t-1]": "diag(1 - h[t]²) U"}


def test_a_cell_of_hundreds_of_equations_is_quick_and_short() -> None:
    """Ways double with each layer; formulas do not."""
    layers = [f"s{k}[t] = tanh(U{k} @ s{k - 1}[t]) * sigmoid(V{k} @ s{k - 1}[t] + s{k - 1}[t])" for k in range(1, 200)]
    text = "\n".join(["s0[t] = tanh(W @ x[t] + U @ h[t-1])", *layers, "h[t] = s199[t] + h[t-1]", *(
        f"s{k}: H" for k in range(200))])  # fmt: skip
    cell = parse(text, name="deep")
    forward = read_forward(cell, lower(cell))
    start = time.perf_counter()
    formulas = block_formulas(forward)
    assert time.perf_counter() - start < 10
    assert len(formulas) <= 201
    assert max(len(TextPrinter({}).plain(f.right)) for f in formulas) < 500
