"""What a derivation says: numbers, citations, the order of the story, the words of the catalogue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from derivation_cells import TEXTS
from sympy import Symbol

from symcell.cell import Cell
from symcell.derivation.build import SECTIONS
from symcell.derivation.build.source import letters
from symcell.derivation.model import Formula, Ref, Table, Words
from symcell.derivation.nodes import Delta, Entry
from symcell.derivation.tex import TexPrinter
from symcell.derivation.text import TextPrinter
from symcell.derivation.words import braces, catalogue
from symcell.language import load, names, parse
from symcell.pipeline import compile, derive
from symcell.symbolic.nodes import Param, written

CELLS = {**{n: lambda n=n: load(n) for n in names()}, **{n: lambda n=n: parse(TEXTS[n], name=n) for n in TEXTS}}
SAMPLE = ("gru", "layernorm_lstm", "mamba", "narx", "kinks", "scalars", "without_output")
SOME = [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in CELLS]


def parts(value: Any) -> Iterator[Any]:
    """All that a document is made of."""
    yield value
    if isinstance(value, Words):
        value = tuple(value.values.values())
    if isinstance(value, tuple):
        for inner in value:
            yield from parts(inner)
    elif is_dataclass(value):
        for f in fields(value):
            if not isinstance(getattr(value, f.name), Mapping):
                yield from parts(getattr(value, f.name))


@pytest.mark.parametrize("name", SOME)
def test_formulas_are_numbered_once_and_cite_what_stands_above(name: str) -> None:
    full = derive(CELLS[name](), "full")
    formulas = list(full.formulas())
    assert [f.number for f in formulas] == list(range(1, len(formulas) + 1))
    assert len({f.key for f in formulas}) == len(formulas)
    assert all(n < f.number for f in formulas for n in f.cites)
    assert [s.key for s in full.sections] == [key for key in SECTIONS if key in {s.key for s in full.sections}]
    brief = derive(CELLS[name](), "brief")
    kept = {f.number: f for f in brief.formulas()}
    assert all(n in kept for part in parts(brief.sections) if isinstance(part, Ref) for n in part.numbers)
    assert all(n in kept for f in kept.values() for n in f.cites)
    assert {n: f.right for n, f in kept.items()} == {f.number: f.right for f in formulas if f.number in kept}


@pytest.mark.whole
def test_what_a_cell_says_is_in_the_catalogue_and_all_of_that_is_said() -> None:
    said = {w.key: w for name in CELLS for w in parts(derive(CELLS[name](), check=name == "kinks").sections)
            if isinstance(w, Words)}  # fmt: skip
    said |= {w.key: w for w in parts(derive("lstm", "full").sections) if isinstance(w, Words)}
    english = {key: text for key, text in catalogue("en").items() if key.split(".")[0] not in ("form", "lists", "page")}
    assert {key: frozenset(w.values) for key, w in said.items()} == {
        key: braces(text) for key, text in english.items() if key in said}  # fmt: skip
    assert english.keys() - said.keys() == {"jacobian.many"}


def _text(name: str, steps: str = "brief") -> dict[tuple[str, ...], tuple[str, Formula]]:
    made = derive(name, steps)
    printer = TextPrinter(made.names, made.sample)
    return {f.key: (f"{printer.plain(f.left)} = {printer.plain(f.right)}", f) for f in made.formulas()}


def test_the_last_step_is_derived_before_those_behind_it() -> None:
    found = _text("lstm")
    assert found["loss",][0] == "L = Σ_t Σ_n ℓ[t](h[t]) + Σ_n ℓˡᵃˢᵗ(h[T], c[T])"
    assert found["last", "h"][0] == "δh[T] = h̄[T] + δhˡᵃˢᵗ"
    assert found["last", "c"][0] == "δc[T] = δh[T] ⊙ o[T] ⊙ (1 - tanh(c[T])²) + δcˡᵃˢᵗ"
    assert found["delta", "c"][0] == "δc[t] = δh[t] ⊙ o[t] ⊙ (1 - tanh(c[t])²) + δc[t+1] ⊙ f[t+1]"
    assert found["delta", "c"][1].condition.end == "inner"
    assert found["first", "c"][0] == "δc[0] = δc[1] ⊙ f[1]"
    order = [key for key in found if key[0] in ("last", "delta")]
    assert order[:4] == [("last", "h"), ("delta", "h"), ("last", "c"), ("delta", "c")]


def test_a_formula_cites_all_that_it_uses() -> None:
    """δa of s3 is written with δ of a_h, which stands for that of s3."""
    found = _text("nas", "full")
    text, formula = found["delta", "a_s3"]
    assert text == "δa_s3[t] = δa_h[t] ⊙ s3[t] ⊙ (1 - s3[t])"
    assert {found["delta", "s3"][1].number, found["local", "s3", "a_s3", "0"][1].number} <= set(formula.cites)
    for key, (_, formula) in found.items():
        if key[0] == "delta":
            used = {found["delta", d.value][1].number for d in formula.right.atoms(Delta) if not d.lag}
            near = {n for c in formula.cites for n in (c, *(f.number for _, f in found.values() if c == f.number))}
            assert used & near or not used or all(n < formula.number for n in used)


def test_letters_that_a_cell_uses_mean_nothing_else() -> None:
    assert derive("gru").sample == "s"
    assert "Σ_n" in str(derive("lstm"))
    assert "has M samples" in str(derive("mamba"))


ALL_LETTERS = "".join(f"{c}[t] = tanh({c}[t-1] + x[t])\n" for c in "abcdefghijklmnopqrsuvwyz")
"""A cell that leaves no small letter but t, which counts steps."""


@pytest.mark.parametrize("cell", [load("lstm"), load("mlstm"), parse(ALL_LETTERS, name="all")], ids=lambda c: c.name)
def test_an_entry_of_a_matrix_has_two_letters_of_its_own(cell: Cell) -> None:
    found = letters(cell, [f"{c}_h" for c in "esz"])
    assert len(found.row) == len(found.column) == 1
    assert not {found.row, found.column} & {"t", found.sample, found.reader, found.value, *cell.signals, *cell.inputs}
    entry = Entry(Param("M"), Symbol("p"), Symbol("j"))
    assert TextPrinter({}).plain(entry) == "M_pj"
    assert TexPrinter({}, native=False).plain(entry) == "M_{p j}"


def test_a_block_cites_the_derivatives_of_functions_that_its_ways_pass() -> None:
    made = {f.key: f for f in derive("lstm").formulas()}
    slope = {name: made["slope", name].number for name in ("sigmoid", "tanh")}
    assert slope["tanh"] in made["jacobian", "h", "c", "1"].cites
    assert slope["sigmoid"] not in made["jacobian", "h", "c", "1"].cites
    assert {*slope.values()} <= {*made["jacobian", "c", "h", "1"].cites}


def test_blocks_that_only_hand_on_are_told_where_there_are_any() -> None:
    assert "several lags" in derive("narx").render("text")
    assert "several lags" not in derive("lstm").render("text")


def test_a_function_over_units_is_told_of_where_it_is_first_met() -> None:
    text = derive("layernorm_lstm").render("text")
    assert 0 < text.index("layernorm(u) takes all units") < text.index("Intermediate values")
    assert "A second argument of such a function" in text
    softmax = derive(parse("h[t] = softmax(W @ x[t] + U @ h[t-1])", name="soft")).render("text")
    assert "softmax(u) takes all units" in softmax
    assert "A second argument" not in softmax
    assert "takes all units" not in derive("lstm").render("text")


def test_the_number_of_steps_and_the_loss_are_no_values_of_the_cell() -> None:
    made = derive(parse("T[t] = tanh(L @ x[t] + b*T[t-1])\noutput: T", name="taken"))
    text = made.render("text")
    assert "T_cell[T]" in text
    assert "∂L/∂L_cell = " in text
    assert "calls T is written T_cell here" in text
    assert r"\partial L_{\mathrm{cell}}" in made.render("latex")
    assert "_cell" not in derive("lstm").render("text")


def test_what_is_kept_is_said_in_names_that_the_document_has() -> None:
    text = derive("mlstm").render("text")
    kept = text[text.index("Kept from") :]
    assert "a_l[t]" not in kept
    assert "beside intermediate values" in kept
    assert "beside" not in derive("lstm").render("text").split("Kept from")[1]


def test_peepholes_and_gates_stack() -> None:
    assert _text("lstm")["stacked", "a_i", "gradient"][0] == (
        "∂L/∂[W_i  U_i; W_f  U_f; W_g  U_g; W_o  U_o] = ⟦[δa_i[t]; δa_f[t]; δa_g[t]; δa_o[t]]⟧ᵀ ⟦[x[t]; h[t-1]]⟧")
    assert "p_i ⊙ c[t-1] + b_i" in _text("peephole_lstm")["stacked", "a_i"][0]


def test_emitted_values_know_their_formulas() -> None:
    made, found = derive("layernorm_lstm"), _text("layernorm_lstm")
    assert made.values["c"] == found["equation", "c"][1].number
    assert made.values["dc"] == found["delta", "c"][1].number
    assert made.values["dU_i"] == found["gradient", "U_i"][1].number


def test_the_count_of_parameters_is_theirs() -> None:
    for name in ("lstm", "deltanet"):
        module, sizes = compile(name), {"D": 3, "H": 5, "K": 2}
        params = module.init_params(**{s: sizes[s] for s in module.SIZES})
        table = next(b for b in derive(name).section("cost").groups[0].blocks if isinstance(b, Table))
        count = next(row[1] for row in table.rows if row[0].key == "cost.parameters")
        assert written(count).subs({s: sizes[s.name] for s in count.free_symbols}) == params.flat.size


@pytest.mark.whole
@pytest.mark.parametrize("before", ["y[t-1]", "h{k}[t-1]"])
def test_a_cell_of_four_hundred_equations(before: str) -> None:
    gates = (f"sigmoid(W{k} @ h{k - 1}[t] + U{k} @ {before.format(k=k)} + b{k})" for k in range(1, 400))
    lines = [f"h{k}[t] = {gate} * h{k - 1}[t] + h{max(k - 3, 0)}[t]" for k, gate in enumerate(gates, 1)]
    first = "h0[t] = tanh(W @ x[t] + U @ y[t-1] + b)"
    cell = parse("\n".join([first, *lines, "y[t] = h399[t]", "y: H", "h0: H"]), name="big")
    start = time.process_time()
    text = str(derive(cell))
    assert time.process_time() - start < 30
    assert text.count("\n") > 2000
