"""What is printed: every cell in every format, numbers that exist, text that stays text, the same bytes every time."""

import difflib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from derivation_cells import TEXTS

from symcell.derivation import derive, escape
from symcell.derivation.breaking import broken
from symcell.derivation.names import tex_symbol
from symcell.derivation.render import cited
from symcell.derivation.tex import TexPrinter, measure
from symcell.language import load, names, parse

HERE = Path(__file__).parent
CELLS = {**{n: lambda n=n: load(n) for n in names()}, **{n: lambda n=n: parse(TEXTS[n], name=n) for n in TEXTS}}
HOSTILE = (
    r"""it's "so" */ {{ x }} {% y %} <script>alert(1)</script> \write18{ls} $a_b$ 100% #1 & ~^ `code` [a](b) """
    "変 ẞ é ∑ 🙂 -- ,, ?` \\end{document}"
)


def test_golden_lstm():
    expected, actual = (HERE / "lstm.txt").read_text("utf-8"), str(derive(load("lstm")))
    lines = difflib.unified_diff(expected.splitlines(), actual.splitlines(), "lstm.txt", "derived", lineterm="")
    diff = "\n".join(lines)
    assert not diff, f"{diff}\n\nto accept: symcell derive lstm > tests/derivation/lstm.txt"


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_in_every_format(name):
    derivation = derive(CELLS[name]())
    formulas = list(derivation.formulas())
    assert [f.number for f in formulas] == list(range(1, len(formulas) + 1))
    for formula in formulas:
        assert all(1 <= n < formula.number for n in formula.cites)
    assert [s.key for s in derivation.sections] == ["forward", "local", "recursion", "parameters"]
    assert re.findall(r"^ *\((\d+)\)  ", derivation.render("text"), re.M) == [str(f.number) for f in formulas]
    for format in ("latex", "markdown"):
        assert re.findall(r"\\tag\{(\d+)\}", derivation.render(format)) == [str(f.number) for f in formulas]
    for format in ("text", "latex", "markdown"):
        text = derivation.render(format)
        assert not re.search(r"[\x00-\x09\x0b-\x1f]| $", text, re.M)
        assert text.count("\n\n\n\n") == 0
    assert derivation._repr_markdown_() == derivation.render("markdown")


def test_sections_three_and_four_use_what_section_two_derived():
    derivation = derive(load("lstm"))
    local = {f.number for f in derivation.section("local").formulas}
    used = {n for f in derivation.section("recursion").formulas for n in f.cites}
    assert local <= used


def test_an_unknown_format_is_an_error():
    with pytest.raises(ValueError, match="text, latex, markdown"):
        derive(load("rnn")).render("html")


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
    ("_h", r"\_h", ()), ("_", r"\_", ()), ("α_t", r"{\alpha}", (r"\mathrm{t}",)), ("é", r"{\acute{\mathit{e}}}", ()),
    ("変", r"{\mathtt{[U\mbox{+}5909]}}", ()),
])  # fmt: skip
def test_names_in_latex(name, symbol, subscripts):
    assert tex_symbol(name, native=False) == (symbol, subscripts)


def test_different_names_look_different():
    printer = TexPrinter({}, False)
    tried = ["W1", "W_1", "_W", "W", "W_", "W__1", "w1", "α", "alpha_1", "a_bc", "a_b_c", "変", "変_1"]
    assert len({printer.name(n) for n in tried}) == len(tried)


def test_citations():
    assert cited((1, 2, 3, 5, 7, 8)) == "from (1)-(3), (5), (7), (8)"
    assert cited(()) == ""


def test_long_formulas_are_broken_outside_parentheses_first():
    printed = TexPrinter({}, False).print(next(f.right for f in derive(load("lstm")).formulas() if f.number == 35))
    lines = broken(printed, 30, measure)
    assert len(lines) > 1
    assert all(line.startswith("+ U") for line in lines[1:])


def test_the_same_bytes_for_every_hash_seed():
    code = ("import sys; from symcell.derivation import derive; from symcell.language import load\n"
            "for n in ('gru', 'antisymmetric'):\n"
            "    for f in ('text', 'latex', 'markdown'): sys.stdout.buffer.write(derive(load(n)).render(f).encode())")
    seed = "0" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
                         capture_output=True)  # fmt: skip
    here = [derive(load(n)).render(f) for n in ("gru", "antisymmetric") for f in ("text", "latex", "markdown")]
    assert run.stdout == "".join(here).encode()
    assert len(run.stdout) > 10_000


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    cell = parse("_h[t] = tanh(変数_1 @ x[t] + γ_é @ _h[t-1] + __b_t) * λ\noutput: _h\nλ: scalar", name="odd")
    odd = replace(cell, title=HOSTILE, description=f"{HOSTILE}\n\n{HOSTILE}", labels={"_h": HOSTILE})
    documents = {"odd": odd, **{n: CELLS[n]() for n in ("kinks", "joined_twice", "reductions", "layernorm_lstm")}}
    for name, made in documents.items():
        (tmp_path / f"{name}.tex").write_text(derive(made).render("latex"), "utf-8")
        subprocess.run(["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"],
                       cwd=tmp_path, check=True, capture_output=True)  # fmt: skip
        log = (tmp_path / f"{name}.log").read_text("utf-8", errors="replace")
        assert not re.findall(r"Overfull.*|Missing character.*", log)
