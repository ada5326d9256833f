"""The page on the language says what the tool does: its samples, its declarations, its list of functions."""

import re
from pathlib import Path

import pytest

import symcell
from symcell.cell import CellError
from symcell.language import load, parse
from symcell.language.advice import arity
from symcell.symbolic.functions import ELEMENTWISE, OVER_UNITS

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")


def section(title):
    return PAGE.split(f"## {title}")[1].split("\n## ")[0]


def test_the_cell_that_opens_the_page_is_the_shipped_one():
    """Protects the example that everybody reads first."""
    assert load("lstm").text in PAGE


def test_the_error_that_closes_the_page_is_what_the_tool_prints():
    """Protects the sample of an error, letter by letter."""
    sample = section("Errors").split("```")[1].strip().split("\n")
    text = f"f[t] = sigmoid(W_f @ x[t] + U_f @ h[t-1])\n{sample[1].strip()}\nh[t] = f[t] * h[t-1] + g[t]\n"
    with pytest.raises(CellError) as caught:
        parse('"""A slip"""\n' + text, name=sample[0].split(".")[0])
    assert str(caught.value).split("\n") == sample


def test_the_example_from_sympy_prints_what_the_page_says(capsys):
    """Protects that ``symcell`` and SymPy are all that a cell without a text needs."""
    example, printed = re.findall(r"```python\n(.*?)```", section("From SymPy"), re.DOTALL)
    exec(example, {})
    assert capsys.readouterr().out == printed


def test_names_for_sympy_are_at_hand():
    """Protects the table of what mixes units: each row can be imported as the page says."""
    names = set(re.findall(r"`(?:MatVec\()?([A-Z]\w+)\(", section("From SymPy")))
    assert names >= {"At", "Constant", "MatVec", "OuterProduct", "RowScaled", "ColumnScaled", "Flipped"}
    assert names <= set(symcell.__all__)


def mistakes(text):
    try:
        parse(text)
    except CellError as error:
        return error.diagnostics
    return ()


def declarations():
    rows = [line for line in section("Declarations").split("\n") if line.startswith("| `")]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row.split("|")[1])]


@pytest.mark.parametrize("line", declarations())
def test_every_declaration_of_the_page_can_be_written(line):
    """Protects the table of declarations; a line that the cell makes no use of is all that may be wrong."""
    wrong = [d.message for d in mistakes(f"{line}\nq[t] = x[t]\noutput: q")]
    assert all(re.match("nothing uses|h is no state", message) for message in wrong), wrong


def test_every_start_of_the_page_can_be_written():
    """Protects the list of starts."""
    row = next(line for line in section("Declarations").split("\n") if "orthogonal`;" in line)
    starts = re.findall(r"`([^`]+)`", row.split("|")[2])
    assert len(starts) == 8
    for start in starts:
        found = parse(f"W: (H, H) = {start}\nh[t] = x[t] + W @ h[t-1]").parameters["W"].start
        assert str(found) == start


def test_the_functions_of_the_page_are_those_of_the_language():
    """Protects the lists of functions: one row of the table each, one word here."""
    text = section("Expressions")
    elementwise = text.split("- Elementwise: `")[1].split("`")[0].split()
    assert sorted(elementwise) == sorted(ELEMENTWISE)
    over_units = text.split("- Over the units of one sample: ")[1].split(",\n")[0]
    names = [
        word.split("(")[0]
        for code in re.findall(r"`([^`]+)`", over_units)
        for word in re.split(r" (?![a-z]+[,)])", code)
    ]
    assert sorted(names) == sorted(OVER_UNITS)


@pytest.mark.parametrize("name", sorted({*ELEMENTWISE, *OVER_UNITS, "outer"}))
def test_every_function_can_be_written_with_its_fewest_arguments(name):
    """Protects signatures in advice, and each function from being known to one part of the language only."""
    fewest, most, signature = arity(name)
    arguments = ["x[t] > 0" if name == "where" else "x[t]", "h[t-1]", "b"][:fewest]
    cell = parse(f"x: H\nh: H\nh[t] = h[t-1] + x[t]\ny[t] = {name}({', '.join(arguments)})")
    assert str(cell.equations[-1].rhs)
    assert signature.startswith(f"{name}(")
    assert most >= fewest
