"""LaTeX through a TeX, as it stands: no error, no warning, no box too full, numbers that are the document's."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from derivation_cells import TEXTS
from derivation_documents import HOSTILE, every_block

from symcell.derivation import TexError, pdf
from symcell.derivation.forms import render
from symcell.language import load, names, parse
from symcell.pipeline import derive

OPTIONS = ("-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error")
BAD = r"^!.*|.*Warning.*|Overfull.*|Underfull.*|Missing character.*"
SAMPLE = ("layernorm_lstm", "kinks")
CELLS = {**{n: lambda n=n: load(n) for n in names()}, **{n: lambda n=n: parse(TEXTS[n], name=n) for n in TEXTS}}
korean = pytest.mark.skipif(
    not (shutil.which("kpsewhich") and subprocess.run(["kpsewhich", "kotex.sty"], capture_output=True).stdout),
    reason="TeX has no kotex.sty",
)


def needs(engine):
    return pytest.mark.skipif(shutil.which(engine) is None, reason=f"{engine} is not installed")


def complaints(engine, folder, source):
    """What TeX has to say after two runs, or three where it asks for one more."""
    (folder / "page.tex").write_text(source, "utf-8")
    for run in range(3):
        subprocess.run([engine, *OPTIONS, "page.tex"], cwd=folder, check=False, capture_output=True, timeout=120)
        log = (folder / "page.log").read_text("utf-8", errors="replace")
        if run and "Rerun" not in log:
            break
    return re.findall(BAD, log, re.M)


@needs("pdflatex")
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in CELLS])
def test_pdflatex_has_nothing_to_say(tmp_path, name):
    assert not complaints("pdflatex", tmp_path, derive(CELLS[name]()).render("latex"))


@needs("lualatex")
def test_lualatex_has_nothing_to_say(tmp_path):
    assert not complaints("lualatex", tmp_path, render(every_block(), "latex"))


@korean
@needs("pdflatex")
def test_korean_in_pdflatex(tmp_path):
    assert not complaints("pdflatex", tmp_path, render(every_block(), "latex", "ko"))


@needs("pdflatex")
def test_the_user_s_text_is_text(tmp_path):
    cell = parse("_h[t] = tanh(変数_1 @ x[t] + γ_é @ _h[t-1] + __b_t) * λ\noutput: _h\nλ: scalar", name="odd")
    odd = replace(cell, title=HOSTILE, description=f"{HOSTILE}\n\n{HOSTILE}", labels={"_h": HOSTILE})
    assert not complaints("pdflatex", tmp_path, derive(odd).render("latex"))


@needs("pdflatex")
def test_two_fragments_in_a_document_of_the_reader(tmp_path):
    for name in ("rnn", "gru"):
        (tmp_path / f"{name}.tex").write_text(derive(load(name)).render("latex", fragment=True), "utf-8")
    source = r"""\documentclass[11pt]{report}
        \usepackage[T1]{fontenc}\usepackage{lmodern,amsmath,amssymb,array,booktabs,longtable,tikz}
        \usepackage[hidelinks]{hyperref}\newcommand{\symcelltag}[1]{A.#1}
        \begin{document}\typeout{}\chapter{Appendix}\eqref{eq:rnn:5} \eqref{eq:gru:3}
        \input{rnn}\input{gru}\end{document}"""
    assert not complaints("pdflatex", tmp_path, source)
    labels = (tmp_path / "page.aux").read_text()
    for name, number in (("rnn", 5), ("gru", 3)):
        assert rf"\newlabel{{eq:{name}:{number}}}{{{{{{A.{number}}}}}" in labels


@needs("pdflatex")
def test_the_same_pdf_every_time_and_its_log_when_it_fails():
    source = r"\documentclass{article}\begin{document}a\end{document}"
    made = pdf.typeset(source)
    assert made.startswith(b"%PDF")
    assert pdf.typeset(source) == made
    with pytest.raises(TexError, match=r"Undefined control sequence.*\\nosuchthing") as caught:
        pdf.typeset(source.replace("a\\", "\\nosuchthing\\"))
    assert "Undefined control sequence" in caught.value.log.read_text("utf-8")
    shutil.rmtree(caught.value.log.parent)
    with pytest.raises(TexError, match=r"nosuch\.sty is not installed") as caught:
        pdf.typeset(source.replace(r"\begin", r"\usepackage{nosuch}\begin", 1))
    shutil.rmtree(caught.value.log.parent)


def test_without_a_tex_the_message_says_what_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TexError, match="none of pdflatex, lualatex is on the path"):
        derive(load("rnn")).pdf()
