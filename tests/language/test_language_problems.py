"""How a mistake is shown: file, line, column, the line with a caret, and advice."""

import pytest

from symcell.cell import CellError, Diagnostic
from symcell.language import parse
from symcell.language.problems import did_you_mean, listed, one_edit_apart


def shown(text, **options):
    with pytest.raises(CellError) as caught:
        parse(text, **options)
    return str(caught.value).split("\n")


def test_a_matrix_at_a_state_and_then_at_an_input_says_the_same_the_other_way_round():
    """Protects the advice of the same slip where the input comes first."""
    assert shown("h[t] = tanh(U @ x[t] + U @ h[t-1])") == [
        "cell.cell:1:28: U is H×H in line 1 but H×D in line 1",
        "    h[t] = tanh(U @ x[t] + U @ h[t-1])",
        "                               ^^^^^^",
        "    a matrix has one shape: rename one of them, or read x[t] here; if x is as long as h, declare x: H",
    ]


def test_diagnostics_are_on_the_error():
    """Protects editors and other programs, which read the mistakes one by one."""
    with pytest.raises(CellError) as caught:
        parse("h[t] = x[t] ^ 2")
    advice = "a power is written **, a transposed matrix W.T"
    assert caught.value.diagnostics == (Diagnostic(1, 8, "^ has no meaning here", advice),)


def test_columns_count_characters():
    """Protects columns behind text that is longer in UTF-8 than in characters, over line ends too."""
    assert shown("상태[t] = 입력[t+1]")[0].startswith("cell.cell:1:12: ")
    assert shown("h[t] = (가 * x[t] +  # 한글\n  나 * y[1])")[0].startswith("cell.cell:2:9: ")


def test_caret_stands_under_wide_characters():
    """Protects the caret where a terminal draws a character two columns wide."""
    lines = shown("가[t] = x[1]")
    assert lines[2].index("^") == 4 + len("가[t] = x[") + 1


def test_long_lines_are_clipped_around_the_caret():
    """Protects the terminal from lines of thousands of characters."""
    lines = shown("h[t] = " + "x[t] + " * 300 + "x[1]" + " + x[t]" * 300)
    assert len(lines[1]) < 120
    assert lines[1][lines[2].index("^")] == "1"


def test_control_characters_are_not_printed():
    """Protects the terminal from escape sequences in a file, also in its name."""
    lines = shown("h[t] = x[1]  # \u202e\u2028", filename="a\x1b[31m.cell")
    assert "\x1b" not in "".join(lines)
    assert "\u202e" not in "".join(lines)
    assert lines[1].endswith(r"\u202e\u2028")


def test_quoted_text_is_short():
    """Protects messages that quote the text."""
    lines = shown("h[t] = (" + "x[t] + " * 50 + "b) @ x[t]")
    assert len(lines[0]) < 150


@pytest.mark.parametrize(
    ("a", "b", "close"),
    [
        ("gates", "gate", True),
        ("gate", "gates", True),
        ("gaet", "gate", True),
        ("gate", "gats", True),
        ("gate", "gate", False),
        ("gate", "gets", False),
        ("gate", "gateau", False),
        ("", "a", True),
        ("ab", "ba", True),
        ("abc", "bca", False),
    ],
)
def test_one_edit_apart(a, b, close):
    """Protects the test for typing errors."""
    assert one_edit_apart(a, b) is close


def test_sentences():
    """Protects lists and suggestions in messages."""
    assert listed(["a"]) == "a"
    assert listed("abc") == "a, b and c"
    assert listed("abcdefgh") == "a, b, c, d, e, f and others"
    assert did_you_mean("sigmiod", ["sigmoid", "tanh"]) == "did you mean sigmoid?"
    assert did_you_mean("zzz", ["sigmoid"]) == ""
