"""``new``: a file to edit, and never one lost."""

from __future__ import annotations

import pytest

import symcell as library
from symcell.cli.new import titled


def test_the_starter_is_a_cell_that_works(symcell, tmp_path):
    output = symcell("new", "mycell").output
    cell = library.load(tmp_path / "mycell.cell")
    assert (cell.title, cell.output, dict(cell.states)) == ("mycell", "h", {"h": 1})
    for command in ("edit mycell.cell", "symcell show mycell", "symcell generate mycell", "symcell verify mycell"):
        assert command in output


@pytest.mark.parametrize("name", library.names())
def test_from_keeps_every_byte_but_the_title(symcell, tmp_path, name):
    symcell("new", "mycell", "--from", name)
    text, before = (tmp_path / "mycell.cell").read_bytes().decode(), library.load(name).text
    assert text == before.replace('"""', '"""mycell, after ', 1)
    assert library.load(tmp_path / "mycell.cell").title == f"mycell, after {library.load(name).title}"


def test_from_a_file_keeps_its_ends_of_lines(symcell, tmp_path):
    text = b'\xef\xbb\xbf# (c) me\r\n\r\n"""\r\n  A title\r\n"""\r\nh[t] = tanh(U @ h[t-1] + x[t])\t # x \r\n\r\n'
    (tmp_path / "old.cell").write_bytes(text)
    symcell("new", "fresh", "--from", "old")
    assert (tmp_path / "fresh.cell").read_bytes() == text.replace(b"A title", b"fresh, after A title")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("h[t] = x[t]\n", '"""new"""\nh[t] = x[t]\n'),
        ("# a\n'Title'\nh[t] = x[t]\n", "# a\n'new, after Title'\nh[t] = x[t]\n"),
        ('""""""\nh[t] = x[t]\n', '"""new"""\nh[t] = x[t]\n'),
        ('"""  \n"""\nh[t] = x[t]\n', '"""new  \n"""\nh[t] = x[t]\n'),
        ('""\nh[t] = x[t]\n', '"new"\nh[t] = x[t]\n'),
    ],
)
def test_titles(before, after):
    assert titled(before, "new") == after
    assert library.parse(after).title.startswith("new")


def test_an_existing_file_stays_as_it_is(symcell, tmp_path):
    (tmp_path / "mycell.cell").write_text("work of a week")
    assert "exists already" in symcell("new", "mycell", status=2).stderr
    assert (tmp_path / "mycell.cell").read_text() == "work of a week"


@pytest.mark.parametrize("name", ["class", "None", "1a", "a-b", "a/b", "../x", "", "a b", "a.cell", "x" * 65])
def test_names_that_no_cell_can_have(symcell, tmp_path, name):
    assert "cannot be a cell's name" in symcell("new", name, status=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_broken_source_writes_nothing(symcell, tmp_path):
    (tmp_path / "bad.cell").write_text("h[t] = 1 +\n")
    symcell("new", "mycell", "--from", "bad", status=2)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.cell"]


def test_the_name_of_a_shipped_cell_is_pointed_out(symcell):
    assert "also a shipped cell" in symcell("new", "lstm", "--from", "lstm").output
