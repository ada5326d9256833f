"""A cell in textbook form is the same cell; what its composites send back is what the adjoint says."""

import mpmath
import numpy as np
import pytest

from symcell.derivation import composites, lemmas
from symcell.derivation.check.sequence import Sequence
from symcell.derivation.forward import read_forward
from symcell.derivation.nodes import Bar, Pullback
from symcell.equivalence import Equivalence, compare
from symcell.interpret import EXACT, run
from symcell.language import load, names, parse
from symcell.pipeline import graphs
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Minus
from symcell.transforms import textbook
from symcell.transforms.textbook import sample

COMPOSED = {"deltanet", "gated_deltanet", "gla", "layernorm_lstm", "ligru", "mamba", "mlstm", "retnet", "slstm"}
SEVERAL = parse(
    "u[t] = W @ x[t] + layernorm(h[t-1])\nv[t] = layernorm(h[t-1], gain)\n"
    "h[t] = softmax(u[t]) * norm(v[t]) + softmax(u[t]) * var(u[t] + v[t]) + norm(gain) * rmsnorm(h[t-1])",
    name="several",
)


def test_which_cells_have_a_textbook_form_of_their_own():
    assert {n for n in names() if textbook(load(n)).occurrences} == COMPOSED


@pytest.mark.parametrize("name", ["gated_deltanet", "ligru", *(
    pytest.param(n, marks=pytest.mark.whole) for n in sorted(COMPOSED - {"gated_deltanet", "ligru"}))])  # fmt: skip
def test_a_textbook_form_is_the_same_cell(name):
    cell = load(name)
    assert isinstance(compare(cell, textbook(cell).cell), Equivalence)


def test_equal_composites_are_one_and_fixed_ones_stay():
    book = textbook(SEVERAL)
    assert [(str(o.applied), o.signal, o.plain) for o in book.occurrences] == [
        ("layernorm(h_read[t])", "u", True),
        ("softmax(u_read[t])", "h", True),
        ("norm(v_read[t])", "h", True),
        ("var(a_h[t])", "h", False),
        ("rmsnorm(h_read_2[t])", "h", True),
    ]
    assert "norm(gain)" in str(book.cell)
    assert isinstance(compare(SEVERAL, book.cell), Equivalence)


def test_values_are_called_what_a_person_would_call_them():
    book = textbook(load("layernorm_lstm"))
    shown = read_forward(book, graphs(book.cell)[0]).display_names()
    found = {shown.get(o.value, o.value) for o in book.occurrences}
    assert found == {"ĉ", *(f"{letter}_{gate}" for letter in "ŵû" for gate in "ifgo")}
    assert {shown[n] for n in shown if n.endswith(("_in_i", "_in_g"))} == {"z_i", "z_g"}


@pytest.mark.parametrize("kind", composites.OVER_UNITS)
def test_closing_forms_are_the_adjoint_at_50_digits(kind):
    cell = sample(kind)
    graph, back = graphs(cell)
    rng = np.random.default_rng(3)
    with mpmath.workdps(50):
        for units in (2, 5):
            given = {("u", 0): EXACT.array(rng.uniform(-1, 1, (2, units)))}
            seed = EXACT.array(rng.uniform(-1, 1, (2, 1 if kind.to_one else units)))
            sizes = {"steps": 1, "batch": 2, "sizes": {"N": units}}
            forward = run(graph, given, {}, {}, **sizes)
            held = {**forward.varying, (back.seeds["v"], 0): seed}
            truth = run(back.graph, held, dict(forward.fixed), {}, **sizes).varying[back.gradients["u"], 0]
            shown = Sequence(forward, 1, {"N": units}, {("v", 0): seed}, {}, {})
            count = Count(graph.shape("u")[0])
            found = shown.value(Pullback(kind(At("u")), At("v"), Bar("v"), count), 0)
            assert np.max(np.abs(found - truth)) < mpmath.mpf(10) ** -47


@pytest.mark.parametrize("kind", composites.OVER_UNITS)
def test_a_lemma_is_derived_and_proved(kind):
    found = lemmas.lemma(cell := sample(kind), *graphs(cell))
    assert found.pullback[-1].left == lemmas.DeltaOf(found.argument)
    assert found.definition[-1].left in (found.value, lemmas._square(found.value))


@pytest.mark.parametrize("broken", ["layernorm_back", "softmax_back", "var_back"])
def test_a_wrong_closing_form_is_no_lemma(broken, monkeypatch):
    kind = {"layernorm_back": fn.LayerNorm, "softmax_back": fn.Softmax, "var_back": fn.UnitVar}[broken]
    right = getattr(composites, broken)
    monkeypatch.setattr(composites, broken, lambda *args: Minus(right(*args)))
    with pytest.raises(AssertionError, match=kind.text):
        lemmas.lemma(cell := sample(kind), *graphs(cell))
