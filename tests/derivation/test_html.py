"""The page of a derivation: links that lead somewhere, symbols that are defined, text that stays text, code."""

import re
from html.parser import HTMLParser

import pytest
from large_cell import large

from symcell.derivation.kernels import cited, listing
from symcell.language import load, names, parse
from symcell.pipeline import derive

SAMPLE = ("deltanet", "lstm", "narx")
EVERY = [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in names()]
HOSTILE = """it's </title></script><script>alert(1)</script><img src=x onerror=alert(2)> &amp; {{ x }} $a$ "q" 変"""


class Read(HTMLParser):
    """What a page holds, by what a test asks for."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.targets, self.keys, self.said, self.tags, self.outside = [], [], set(), set(), [], []
        self.open, self.words = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.targets += [given["href"][1:]] if given.get("href", "").startswith("#") else []
        self.outside += [v for k, v in attrs if k in ("src", "href", "action") and not v.startswith(("#", "data:,"))]
        self.outside += [k for k, _ in attrs if k.startswith("on")]
        self.keys |= {given["data-s"]} if "data-s" in given else set()
        self.said |= {given["data-d"]} if "data-d" in given else set()
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words += data


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("lang", ["en", pytest.param("ko", marks=pytest.mark.whole)])
def test_a_page_is_whole(name, lang):
    derivation = derive(name)
    page = Read(derivation.render("html", lang))
    assert not page.open
    assert not page.outside
    assert len(page.ids) == len(set(page.ids))
    assert set(page.targets) <= set(page.ids)
    assert page.keys
    assert page.keys <= page.said
    for formula in derivation.formulas():
        assert f"eq-{derivation.name}-{formula.number}" in page.ids
    assert page.tags.count("script") == page.tags.count("style") == 1


def test_formulas_and_code_lead_to_each_other():
    derivation = derive("lstm")
    page = derivation.render("html")
    number = derivation.values["c"]
    beside = re.search(rf'id="eq-lstm-{number}">.*?(?=<div class="eq")', page, re.S)[0]
    for listing_ in derivation.kernels():
        lines = [k for k, line in enumerate(listing_.lines, 1) if cited(line) == number]
        assert f'href="#code-lstm-{listing_.target}-{lines[0]}"' in beside
        line = re.search(rf'id="code-lstm-{listing_.target}-{lines[0]}"><b>\d+</b>.*?</span>', page)[0]
        assert f'c[t] = f[t]*c[t-1] + i[t]*g[t] (cell state) <a href="#eq-lstm-{number}">({number})</a>' in line


def test_kernels_are_read_from_comments():
    code = ["x = 1", "# a[t] = b (3)", "# c[t] = d (4)", "run()", "run(2)", "", "    // e = f (3)", "    g;", "}"]
    found = listing("numpy", "\n".join([*code, "# a[t] = b (3)", "z"]))
    assert [(k.numbers, k.first, k.last) for k in found.kernels] == [((3, 4), 2, 5), ((3,), 7, 8), ((3,), 10, 11)]
    assert [k.first for k in found.by_number[3]] == [2, 7]
    assert cited("# a[t] = b (label (7))") is None
    assert cited("x = f(3)") is None


def test_text_of_the_user_comes_out_as_text():
    label = HOSTILE.replace('"', "'")
    cell = parse(f'"""{label}\n\n{label}\n"""\nh[t] = tanh(W @ x[t] + U @ h[t-1])   # {label}\n', name="hostile")
    page = Read(derive(cell).render("html"))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not page.outside
    assert page.words.count(label) >= 4


def test_a_notebook_gets_the_document_without_a_page():
    part = derive("rnn")._repr_html_()
    assert "<body" not in part
    assert "<html" not in part
    assert not re.search(r"^(?:body|html|:root)", part, re.M)
    assert Read(part).tags[0] == "div"


@pytest.mark.whole
def test_a_cell_of_400_equations_has_a_page():
    page = derive(parse(large(400), name="large")).render("html")
    assert len(page) < 10_000_000
    assert "code-large-c-" not in page
    assert page.count('class="eq"') > 1000


def test_a_large_cell_has_kernels_of_one_target():
    assert [found.target for found in derive(parse(large(101), name="large")).kernels()] == ["numpy"]
    assert [found.target for found in derive(load("rnn")).kernels()] == ["numpy", "c", "cupy"]
