"""What is printed: every cell in every format, numbers that exist, text that stays text, the same bytes every time."""

import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from derivation_cells import TEXTS

from symcell.derivation import escape
from symcell.derivation.breaking import broken
from symcell.derivation.names import tex_symbol
from symcell.derivation.nodes import Delta
from symcell.derivation.tex import TexPrinter, measure
from symcell.derivation.text import width
from symcell.language import load, names, parse
from symcell.pipeline import derive

HERE = Path(__file__).parent
CELLS = {**{n: lambda n=n: load(n) for n in names()}, **{n: lambda n=n: parse(TEXTS[n], name=n) for n in TEXTS}}
SAMPLE = ("deltanet", "layernorm_lstm", "nas", "phased_lstm", "joined_twice", "kinks", "reductions")


def test_golden_lstm():
    expected, actual = (HERE / "lstm.txt").read_text("utf-8"), str(derive(load("lstm")))
    lines = difflib.unified_diff(expected.splitlines(), actual.splitlines(), "lstm.txt", "derived", lineterm="")
    diff = "\n".join(lines)
    assert not diff, f"{diff}\n\nto accept: symcell derive lstm > tests/derivation/lstm.txt"


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in CELLS])
def test_every_cell_in_every_format(name):
    derivation = derive(CELLS[name]())
    formulas = list(derivation.formulas())
    numbers = [f.number for f in formulas]
    assert numbers == sorted(set(numbers))
    for formula in formulas:
        assert all(1 <= n < formula.number for n in formula.cites)
    pages = {form: derivation.render(form) for form in ("text", "latex", "markdown")}
    assert re.findall(r"^ *\((\d+)\)  ", pages["text"], re.M) == list(map(str, numbers))
    for form in ("latex", "markdown"):
        assert re.findall(r"\\tag\{(\d+)\}", pages[form]) == list(map(str, numbers))
    for form, page in pages.items():
        assert not re.search(r"[\x00-\x09\x0b-\x1f\u00a0]", page)
        assert page.count("\n\n\n\n") == 0
        assert form != "text" or max(map(width, page.splitlines())) <= 80


@pytest.mark.parametrize("name", ["lstm", pytest.param("nas", marks=pytest.mark.whole)])
def test_a_narrow_terminal(name):
    for language in ("en", "ko"):
        page = derive(CELLS[name]()).render("text", language, width=60)
        assert max(map(width, page.splitlines())) <= 60


def test_a_label_in_latex_is_that_of_its_cell():
    pages = {n: derive(load(n)).render("latex", fragment=True) for n in ("rnn", "mgu")}
    labels = {n: re.findall(r"\\label\{(\S+?)\}", page) for n, page in pages.items()}
    assert len(set(labels["rnn"]) | set(labels["mgu"])) == len(labels["rnn"]) + len(labels["mgu"])
    for name, page in pages.items():
        assert set(re.findall(r"\\eqref\{(eq:\w+:\d+)\}", page)) <= set(labels[name])


def test_an_unknown_format_is_an_error():
    with pytest.raises(ValueError, match="text, latex, markdown, html"):
        derive(load("rnn")).render("docx")
    with pytest.raises(ValueError, match="en, ko"):
        derive(load("rnn")).render("text", "fr")


@pytest.mark.parametrize(("text", "tex", "markdown"), [
    ("plain words", "plain words", "plain words"),
    (r"\write18", r"\textbackslash{}write18", "&#92;write18"),
    ("50 % of $x_1$ & #2", r"50 \% of \$x\_1\$ \& \#2", "50 % of &#36;x&#95;1&#36; &#38; &#35;2"),
    ("{{ a }}", r"\{\{ a \}\}", "&#123;&#123; a &#125;&#125;"),
    ("<b>`q`</b>", r"\textless{}b\textgreater{}\textasciigrave{}q\textasciigrave{}\textless{}/b\textgreater{}",
     "&#60;b&#62;&#96;q&#96;&#60;/b&#62;"),
    ("Tiňo", r"Ti\v{n}o", "Tiňo"),
    ("変", r"\texttt{{[}U+5909{]}}", "変"),
    ("a\nb\tc\x00d", "a b c d", "a b c d"),
    ("1. first", "1. first", "1&#46; first"),
    ("- item", "-{} item", "&#45; item"),
])  # fmt: skip
def test_text_stays_text(text, tex, markdown):
    assert escape.latex_text(text) == tex
    assert escape.markdown_text(text) == markdown


@pytest.mark.parametrize(("name", "symbol", "subscripts"), [
    ("W_i", "W", ("i",)), ("alpha", r"\alpha", ()), ("dt", r"\mathit{dt}", ()), ("W_ab_2", "W", (r"\mathrm{ab}", "2")),
    ("_h", r"\_h", ()), ("_", r"\_", ()), ("α_t", r"{\alpha}", (r"\mathrm{t}",)), ("é", r"{\acute{e}}", ()),
    ("変", r"{\mathtt{[U\mbox{+}5909]}}", ()),
])  # fmt: skip
def test_names_in_latex(name, symbol, subscripts):
    assert tex_symbol(name, native=False) == (symbol, subscripts)


def test_different_names_look_different():
    printer = TexPrinter({}, False)
    tried = ["W1", "W_1", "_W", "W", "W_", "W__1", "w1", "α", "alpha_1", "a_bc", "a_b_c", "変", "変_1"]
    assert len({printer.name(n) for n in tried}) == len(tried)


def test_long_formulas_are_broken_outside_parentheses_first():
    collected = next(f for f in derive(load("lstm")).formulas() if str(f.left) == str(Delta("h")))
    printed = TexPrinter({}, False).print(collected.right)
    lines = broken(printed, 30, measure)
    assert len(lines) > 1
    assert all(line.startswith("+ U") for line in lines[1:])


def test_the_same_bytes_for_every_hash_seed():
    code = ("import sys; from symcell.pipeline import derive; from symcell.language import load\n"
            "for n in ('gru', 'antisymmetric'):\n"
            "    for f in ('text', 'latex', 'markdown'): sys.stdout.buffer.write(derive(load(n)).render(f).encode())")
    seed = "0" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
                         capture_output=True)  # fmt: skip
    here = [derive(load(n)).render(f) for n in ("gru", "antisymmetric") for f in ("text", "latex", "markdown")]
    assert run.stdout == "".join(here).encode()
    assert len(run.stdout) > 10_000
