"""A cell as a value: sizes that add and multiply, cells that print, pickle and compare; what symcell offers."""

import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

import symcell
from symcell.cell import ONE, CellError, Size, units
from symcell.language import as_cell, load, names, parse

sizes = st.recursive(
    st.one_of(st.sampled_from("DHK"), st.integers(0, 4)).map(Size.of),
    lambda inner: st.one_of(st.builds(Size.__add__, inner, inner), st.builds(Size.__mul__, inner, inner)),
    max_leaves=5,
)
VALUES = {"D": 3, "H": 5, "K": 7}


@given(sizes, sizes)
def test_sizes_add_and_multiply_as_their_values_do(one, other):
    """Protects the arithmetic of sizes, and that equal ones compare equal whatever the order."""
    assert (one + other).value(VALUES) == one.value(VALUES) + other.value(VALUES)
    assert (one * other).value(VALUES) == one.value(VALUES) * other.value(VALUES)
    assert one + other == other + one
    assert one * other == other * one
    assert hash(one + other) == hash(other + one)
    symbol = one.symbol()
    assert symbol.subs({s: VALUES[s.name] for s in symbol.free_symbols}) == one.value(VALUES)


@pytest.mark.parametrize(
    ("size", "text", "plain"),
    [
        (Size.of("H"), "H", "H"),
        (Size.of(4), "4", 4),
        (Size(), "0", 0),
        (Size.of("H") + Size.of("D"), "D+H", "D+H"),
        (Size.of("H") * Size.of(4) + Size.of(1), "4*H+1", "4*H+1"),
        (Size.of("K") * Size.of("H") + Size.of("H"), "H+H*K", "H+H*K"),
    ],
)
def test_sizes_are_written_plainly(size, text, plain):
    """Protects what messages and emitted modules say of a size."""
    assert (str(size), size.plain()) == (text, plain)


def test_units_of_a_shape():
    """Protects the count of numbers in an array."""
    assert units(()) == ONE
    assert units((Size.of("H"), Size.of("K"))) == Size.of("H") * Size.of("K")


def test_a_cell_prints_as_its_equations():
    """Protects ``print(cell)``: what the text says behind its docstring; and a short ``repr``."""
    cell = load("lstm")
    assert str(cell).split("\n")[0] == "i[t] = sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)   # input gate"
    assert str(cell).split("\n")[-1] == "h[t] = o[t] * tanh(c[t])                          # hidden state"
    assert repr(cell) == "<Cell lstm: 6 equations, sizes D, H>"
    assert str(parse("# gates\nx: H\nh[t] = x[t]\n")) == "# gates\nx: H\nh[t] = x[t]"
    assert repr(parse("x: 2\nh[t] = x[t]")) == "<Cell cell: 1 equation, no open sizes>"


@pytest.mark.parametrize("name", names())
def test_cells_pickle_and_deepcopy(name):
    """Protects parallel runs and caches: a cell out of a pickle is the cell, field by field."""
    cell = load(name)
    again = pickle.loads(pickle.dumps(cell))
    assert again == cell
    assert hash(again) == hash(cell)
    for field in ("equations", "order", "inputs", "signals", "states", "parameters", "arrays", "constants", "labels"):
        assert getattr(again, field) == getattr(cell, field), field
    assert copy.deepcopy(cell) == copy.copy(cell) == cell


def test_cells_compare_by_name_and_text():
    """Protects cells as keys: equal where name and text are."""
    text = "h[t] = x[t]"
    assert parse(text) == parse(text)
    assert parse(text) != parse(text, name="other")
    assert parse(text) != parse(text + "  # a label")
    assert parse(text) != text
    assert len({parse(text), parse(text), parse(text, name="other")}) == 2


def test_a_cell_cannot_be_changed():
    """Protects what is shared from its readers."""
    with pytest.raises(TypeError):
        load("lstm").signals["h"] = ()
    with pytest.raises(AttributeError):
        load("lstm").name = "other"


def test_a_name_or_a_path_is_as_good_as_a_cell(tmp_path):
    """Protects what every function that takes a cell accepts."""
    cell = load("gru")
    assert as_cell(cell) is cell
    assert as_cell("gru") == cell
    path = tmp_path / "mine.cell"
    path.write_text("h[t] = x[t]", encoding="utf-8")
    assert as_cell(path) == as_cell(str(path)) == parse("h[t] = x[t]", name="mine")
    with pytest.raises(CellError, match="not int"):
        as_cell(3)


def test_what_symcell_offers_is_callable_also_where_a_package_has_its_name():
    """Protects ``symcell.verify`` and ``symcell.plan``, functions and packages both, in any order of imports."""
    code = "import symcell; assert callable(symcell.{0}); import symcell.{0} as m; assert callable(symcell.{0}), m"
    other = "import symcell.{0}, symcell; assert callable(symcell.{0}); from symcell.{0} import __doc__"
    for name in ("verify", "plan"):
        for text in (code, other):
            subprocess.run([sys.executable, "-c", text.format(name)], check=True)
    assert set(symcell.__all__) <= set(dir(symcell))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        symcell.nothing  # noqa: B018
