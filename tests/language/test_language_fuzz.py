"""Whatever the text: a Cell or a CellError, and nothing else."""

import contextlib
import string

from hypothesis import given, settings, strategies as st

from symcell.cell import Cell, CellError
from symcell.language import load, names, parse

FRAGMENTS = [
    "h[t]",
    "x[t]",
    "x[t-1]",
    "h[t-1]",
    " = ",
    "\n",
    "W @ ",
    "W.T @ ",
    "C[t] @ ",
    "C[t-1].T @ ",
    "C: (H, K)\n",
    "diag(x[t])",
    "outer(x[t], ",
    "A: const(N, N)\n",
    "k: const = 2\n",
    "A",
    "k",
    ".T",
    " @ ",
    "normal(0.1)",
    "tanh(",
    "where(",
    ")",
    "(",
    "[",
    "]",
    ", ",
    " + ",
    " - ",
    "*",
    "/",
    "**",
    "0",
    "1e999",
    "2",
    ": ",
    "H",
    "(H, D)",
    "const",
    "scalar",
    "output",
    "h[0] = h_0",
    "sum(",
    "layernorm(",
    "b",
    "#",
    '"""',
    "'",
    "\\",
    ";",
    "if ",
    " else ",
    "lambda ",
    "for ",
    " in ",
    "import ",
    "==",
    ">",
    "가",
    "é",
    "\t",
    "@",
    ".",
    "t",
]


def check(text):
    with contextlib.suppress(CellError):
        cell = parse(text)
        assert isinstance(cell, Cell)
        assert set(cell.order) == set(cell.signals)
        assert str(cell.equations)


@settings(max_examples=120, deadline=None)
@given(st.text())
def test_any_text(text):
    """Protects from exceptions of Python's parser, encodings and newlines."""
    check(text)
    check(f"h[t] = {text}")


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_text_of_the_languages_own_pieces(text):
    """Protects the stages behind the scanner: pieces of the language in any order."""
    check(text)
    check(f"h[t] = x[t] + {text}")


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_shipped_cells_with_mistakes(data):
    """Protects from the mistakes people make: characters lost, doubled or mistyped in a cell that was right."""
    text = load(data.draw(st.sampled_from(names()))).text
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        if data.draw(st.booleans()):
            text = text[:at] + text[at + data.draw(st.integers(1, 8)) :]
        else:
            text = (
                text[:at] + data.draw(st.sampled_from([*string.punctuation, "t", "0", "\n", " ", "x[t]"])) + text[at:]
            )
    check(text)
