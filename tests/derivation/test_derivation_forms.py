"""Forms on a small document that has every block, whatever the cells' own documents hold."""

import re

import pytest
import sympy
from derivation_documents import HOSTILE, every_block

from symcell.derivation.forms import FORMS, Options, render
from symcell.derivation.forms.base import cited, label
from symcell.derivation.forms.latex import shares
from symcell.derivation.forms.markdown import safe
from symcell.derivation.forms.terminal import table, wrapped
from symcell.derivation.forms.text import Text
from symcell.derivation.model import say
from symcell.derivation.tex import TexPrinter
from symcell.derivation.text import width
from symcell.derivation.words import LANGUAGES, braces, catalogue


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", FORMS)
def test_every_block_in_every_form(form, language):
    page = render(every_block(), form, language)
    words = catalogue(language)
    for key in ("chain.title", "cost.quantity", "algorithm.bptt", "loss.column"):
        assert words[key] in page
    assert words["form.figure"].format(number=1) in page or form == "latex"  # LaTeX counts figures itself
    assert "{" + "value}" not in page


def test_a_chain_of_equalities_is_one_formula():
    assert re.search(r"\(2\) +c\[t\] = f\[t\]\n +(.+\n +)?= 1", render(every_block(), "text"))
    assert "\\symcellright{= f_{t}}{}\\notag \\\\*\n& \\symcellright{= 1}" in render(every_block(), "latex")
    assert "&= f_{t} \\cr\n&= 1" in render(every_block(), "markdown")


@pytest.mark.parametrize("columns", [40, 60, 80, 111])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_is_wider_than_the_terminal(columns, language):
    page = render(every_block("a" * 64, HOSTILE), "text", language, Options(width=columns))
    assert max(map(width, page.splitlines())) <= columns


def test_catalogues_have_the_same_entries_and_places():
    english = dict(catalogue("en"))
    korean = {k: v for k, v in catalogue("ko").items() if not k.startswith("labels.")}
    assert english.keys() == korean.keys()
    assert {k: braces(v) for k, v in english.items()} == {k: braces(v) for k, v in korean.items()}
    for sentence in (*english.values(), *korean.values()):
        assert sentence.count("`") % 2 == 0
        formulas, prose = ("".join(sentence.split("`")[k::2]) for k in (1, 0))
        assert TexPrinter({}, False).written(formulas).isascii(), sentence
        assert re.fullmatch("[\x20-\x7e–…½\uac00-\ud7a3]*", prose), sentence


def test_a_formula_of_the_catalogue_is_mathematics():
    form = FORMS["latex"](every_block(), "en", Options())
    u, v, k = sympy.symbols("u v k")
    assert r"$k \ge  0$" in form.say(say("chain.reads", value=v, reader=u, back=k))
    with pytest.raises(KeyError, match="reader"):
        form.say(say("chain.reads", value=v, back=k))


def test_markdown_holds_nothing_that_github_takes_away():
    assert safe(r"\bar{h}_{t}\, \left\{[a; b]\right\} < \operatorname{relu}(x)") == (
        r"\bar{h}_ {t}\thinspace \left\lbrace \lbrack a; b\rbrack \right\rbrace \lt \mathrm{relu}(x)"
    )
    page = render(every_block(), "markdown")
    for formula in re.findall(r"\$\$\n(.*?)\n\$\$", page, re.S) + re.findall(r"(?<!\$)\$([^$\n]+)\$(?!\$)", page):
        assert not re.search(r"\\[^A-Za-z]|\}_\S|[<>*|]|\\operatorname", formula), formula
        assert not re.search(r"^ *[-+=#>]", formula, re.M), formula
    assert "(#eq-every-1)" in page
    assert '<a id="eq-every-1"></a>' in page


def test_labels_are_letters():
    assert label("lstm_2") == "lstm_2"
    assert label("변 b") == "ubcc0u20b"


def test_numbers_in_runs():
    assert cited((1, 2, 3, 5, 7, 8)) == [(1, 2, 3), (5,), (7,), (8,)]
    assert Text(every_block(), "en").reference((1, 2, 3, 5)) == "(1)–(3), (5)"


def test_terminal_text():
    assert wrapped("aa bbb cc", 6, indent="  ") == ["aa bbb", "  cc"]
    assert wrapped("가나다라 마", 8) == ["가나다라", "마"]
    assert wrapped("x" * 9, 4) == ["xxxx", "xxxx", "x"]
    assert table([("a", "bb"), ("ccc", "d e")], 8, head=True) == ["a    bb", "──   ───", "cc   d e", "c"]
    assert all(width(line) <= 9 for line in table([("a" * 20, "b" * 3)], 9, head=False))


def test_columns_share_a_line():
    assert shares([10, 20], 88, 88) == (0.114, 0.227)
    narrow, wide, wider = shares([10, 200, 300], 70, 88)
    assert (narrow, wide) == (0.114, wider)


@pytest.mark.parametrize("form", ["pdf", "docx", ""])
def test_an_unknown_form_is_an_error(form):
    with pytest.raises(ValueError, match=re.escape(repr(form))):
        render(every_block(), form)


def test_text_has_no_fragments():
    with pytest.raises(ValueError, match="fragment"):
        render(every_block(), "text", options=Options(fragment=True))
    fragment = render(every_block(), "latex", options=Options(fragment=True))
    assert r"\documentclass" not in fragment
    assert r"\usepackage{amsmath,amssymb,array,booktabs,longtable,tikz}" in fragment
