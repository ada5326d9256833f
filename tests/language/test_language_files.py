"""Cells by name and by path."""

import pytest

from symcell.cell import CellError
from symcell.language import load, names

SHIPPED = {
    "antisymmetric",
    "cifg_lstm",
    "fastgrnn",
    "gru",
    "gru_original",
    "highway",
    "indrnn",
    "layernorm_lstm",
    "lstm",
    "mgu",
    "narx",
    "peephole_lstm",
    "projected_lstm",
    "rnn",
    "rnn_relu",
    "ugrnn",
}


def test_names_are_sorted_and_complete():
    """Protects the list of cells that come with symcell."""
    assert names() == tuple(sorted(names()))
    assert set(names()) >= SHIPPED


@pytest.mark.parametrize("name", names())
def test_shipped_cell_is_documented(name):
    """Protects what the command line and derivations print: title, citation, a label for each equation."""
    cell = load(name)
    assert cell.name == name
    assert cell.title
    assert any(char.isdigit() for char in cell.description), "the docstring cites no year"
    assert set(cell.labels) == set(cell.signals)
    assert cell.states


@pytest.mark.parametrize(
    ("name", "size"),
    [("lstm", ("D", "H")), ("projected_lstm", ("D", "H", "P")), ("narx", ("D", "H")), ("fastgrnn", ("D", "H"))],
)
def test_shipped_sizes(name, size):
    """Protects ``init_params(D=..., H=...)`` of the shipped cells."""
    assert load(name).sizes == size


def test_paths(tmp_path, monkeypatch):
    """Protects the rules: a path, a name in the current directory, a shipped name, in this order."""
    (tmp_path / "mine.cell").write_text("h[t] = tanh(x[t] * w)", encoding="utf-8")
    (tmp_path / "lstm.cell").write_text("h[t] = x[t]  # local", encoding="utf-8")
    assert load(tmp_path / "mine.cell").name == "mine"
    assert load(str(tmp_path / "mine.cell")).name == "mine"
    assert load("lstm").labels["h"] == "hidden state"
    monkeypatch.chdir(tmp_path)
    assert load("mine").name == load("./mine.cell").name == load("mine.cell").name == "mine"
    assert load("lstm").labels["h"] == "local"


def test_error_names_the_file(tmp_path):
    """Protects the first word of a diagnostic, which editors jump to."""
    path = tmp_path / "wrong.cell"
    path.write_text("h[t] = x[1]", encoding="utf-8")
    with pytest.raises(CellError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:1:10: ")


def test_unknown_name():
    """Protects the hint that finds a typing error."""
    with pytest.raises(CellError, match="did you mean lstm"):
        load("lsmt")
    with pytest.raises(CellError, match="cells that come with symcell: antisymmetric"):
        load("something else")


@pytest.mark.parametrize(
    "name", ["", "\0", "a\0b.cell", "../lstm", "/", ".", "..", ".cell", "no/such.cell", "x" * 5000]
)
def test_names_that_are_no_cell(name):
    """Protects the file system and the reader from odd names."""
    with pytest.raises(CellError):
        load(name)


@pytest.mark.parametrize("name", [None, 3, b"lstm", ["lstm"]])
def test_names_that_are_no_text(name):
    """Protects callers from an AttributeError deep inside."""
    with pytest.raises(CellError):
        load(name)


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("a.cell", b"h[t] = x[t]\n# \xff\xfe", "no UTF-8 text: byte 0xff in line 2"),
        ("a.cell", "h[t] = x[t]".encode("utf-16"), "no UTF-8 text"),
        ("a.cell", b"#" * (2**20 + 1), "larger than 1 MiB"),
        ("my-cell.cell", b"h[t] = x[t]", "cannot be a cell's name"),
        ("class.cell", b"h[t] = x[t]", "cannot be a cell's name"),
    ],
)
def test_files_that_are_no_cell(tmp_path, file, data, message):
    """Protects from bytes that are no text, files that are too large, and names that code cannot have."""
    (tmp_path / file).write_bytes(data)
    with pytest.raises(CellError, match=message):
        load(tmp_path / file)


def test_directories_are_no_cell(tmp_path):
    """Protects from an IsADirectoryError."""
    (tmp_path / "a.cell").mkdir()
    with pytest.raises(CellError, match="directory"):
        load(tmp_path / "a.cell")
