"""TeX → MathML: one element a word, brackets that know their sides, symbols that carry what they are."""

import re

import pytest

from symcell.pages import Mathematics, text


def inner(tex):
    found = Mathematics().inline(tex)
    return re.sub(r"</?math[^>]*>|</?mrow>", "", found)


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\mathit{beta}_{\mathrm{xy}}", '<msub><mi style="font-style:italic">beta</mi><mi>xy</mi></msub>'),
        (r"\operatorname{log\_softmax}", "<mi>log_softmax</mi>"),
        (r"\mathbf{1}", "<mn>𝟏</mn>"),
        (r"-1", '<mo form="prefix">−</mo><mn>1</mn>'),
        (r"a - b", "<mi>a</mi><mo>−</mo><mi>b</mi>"),
        (r"a \lt b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (r"\odot", "<mi>⊙</mi>"),
        (r"\text{만약 x}", "<mtext>만약\u00a0x</mtext>"),
        (r"\bar{h}", '<mover accent="true"><mi>h</mi><mo stretchy="false">‾</mo></mover>'),
    ],
)  # fmt: skip
def test_what_latex2mathml_leaves_to_us(tex, expected):
    assert inner(tex) == expected


def test_bars_open_and_close():
    found = inner(r"\lvert x \rvert + \lVert y \rVert + [\![z]\!]")
    forms = re.findall(r'<mo form="(prefix|postfix)"[^>]*>([^<]+)</mo>', found)
    assert [form for form, _ in forms] == ["prefix", "postfix"] * 3
    assert "".join(sign for _, sign in forms) == "||‖‖⟦⟧"


def test_an_exponent_belongs_to_the_whole_bracket():
    found = Mathematics().inline(r"a + (b + c)^{2}")
    assert re.search(
        r"<msup><mrow><mo[^>]*>\(</mo><mi>b</mi><mo>\+</mo><mi>c</mi><mo[^>]*>\)</mo></mrow><mn>2</mn>", found
    )


def test_a_symbol_keeps_what_it_carries():
    mathematics = Mathematics()
    mark = mathematics.mark(r"h_{t-1}", **{"data-s": "7"})
    assert mathematics.mark(r"h_{t-1}", **{"data-s": "7"}) == mark
    assert mathematics.expanded(f"x {mark}") == "x h_{t-1}"
    assert mathematics.inline(mark).startswith('<math><msub data-s="7"><mi>h</mi>')
    assert '<msubsup data-s="7"><mi>h</mi>' in mathematics.inline(rf"W {mark}^{{\top}}")


def test_text_of_the_user_is_text():
    assert text('<b a="1">&\x00\x1b\n') == "&lt;b a=&quot;1&quot;&gt;&amp;\n"
