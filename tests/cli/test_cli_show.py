"""``list``, ``show``, ``derive`` and ``source``: what they say about cells."""

from __future__ import annotations

import pytest

import symcell as library


def test_list_has_a_line_for_every_cell(symcell):
    lines = symcell("list").output.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(library.names())
    (lstm,) = [line for line in lines if line.startswith("lstm ")]
    assert [part.strip() for part in lstm.split("  ") if part] == [
        "lstm", "Long short-term memory", "h, c", "D, H", "4 D H + 4 H² + 4 H", "525,312"]  # fmt: skip
    assert all(line == line.rstrip() for line in lines)


def test_list_shows_cells_here_first_and_their_mistakes(symcell, tmp_path):
    (tmp_path / "rnn.cell").write_text('"""Mine [bold]"""\nh[t] = tanh(U @ h[t-1] + x[t])\n')
    (tmp_path / "bad.cell").write_text("h[t] = 1 +\n")
    (tmp_path / "folder.cell").mkdir()
    lines = symcell("list").output.splitlines()
    assert lines[1].startswith("bad.cell")
    assert "(a mistake: bad.cell:1:" in lines[1]
    assert lines[2].split()[:3] == ["rnn.cell", "Mine", "[bold]"]
    assert not any(line.startswith("rnn ") for line in lines), "it is hidden by the file"


def test_show_counts_parameters_at_given_sizes(symcell):
    assert "4 D H + 4 H² + 4 H = 525,312 at D = H = 256" in symcell("show", "lstm").output
    assert "= 18,688 at D = 8, H = 64" in symcell("show", "lstm", "--size", "D=8", "--size", "H=64").output


@pytest.mark.parametrize("size", ["Q=3", "H", "H=0", "H=-1", "H=x", "=3", "H=1e3", "H=" + "9" * 5000])
def test_show_refuses_sizes_that_are_none(symcell, size):
    assert "--size" in symcell("show", "lstm", "--size", size, status=2).stderr


@pytest.mark.parametrize("name", library.names())
def test_show_has_every_name_of_the_cell(symcell, name):
    cell, output = library.load(name), symcell("show", name).output
    for value in (*cell.signals, *cell.inputs, *cell.parameters, *cell.labels.values(), cell.title):
        assert value in output
    assert not set(output) & set("\x01\x02\x03\x04"), "marks of the line breaker are not for print"


def test_show_says_where_parameters_and_states_start(symcell, tmp_path):
    (tmp_path / "mine.cell").write_text(
        "eps: const = 0.5\nh[0] = h_0\nalpha: scalar = 2\nU: (H, H) = orthogonal\n"
        "h[t] = tanh(U @ h[t-1] + W @ [x[t], h[t-1]] + alpha) + eps\n"
    )
    output = symcell("show", "mine").output
    for text in ("alpha: scalar, starting at 2", "U: H×H, starting at orthogonal", "h: H, starting at h_0", "eps = 0.5",
                 "W: H×(D+H)"):  # fmt: skip
        assert text in output


def test_show_takes_paths_and_emitted_modules(symcell, tmp_path):
    symcell("generate", "gru", "--out", "some")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.cell").write_text(library.load("gru").text)
    whole = symcell("show", "gru").output
    assert symcell("show", "some/gru_numpy.py").output == whole
    assert symcell("show", "folder/mine.cell").output == whole.replace("\ngru: ", "\nmine: ")
    assert "is no NAME_TARGET.py" in symcell("show", "some/__init__.py", status=2).stderr


@pytest.mark.parametrize(("style", "start"), [("text", "Gated"), ("latex", "\\documentclass"), ("markdown", "# Gated")])
def test_derive_prints_and_writes_the_same(symcell, tmp_path, style, start):
    printed = symcell("derive", "gru", "--format", style).stdout
    assert printed.startswith(start)
    assert symcell("derive", "gru", "--format", style, "--out", "gru.txt").output == "written: gru.txt\n"
    assert (tmp_path / "gru.txt").read_text("utf-8") == printed
    assert symcell("derive", "gru", "--format", style, "--out", "gru.txt").output == "unchanged: gru.txt\n"
    assert [p.name for p in tmp_path.iterdir()] == ["gru.txt"]


def test_derive_follows_the_suffix(symcell, tmp_path):
    symcell("derive", "rnn", "--out", "rnn.tex")
    symcell("derive", "rnn", "--out", "rnn.md")
    assert (tmp_path / "rnn.tex").read_text("utf-8") == symcell("derive", "rnn", "--format", "latex").stdout
    assert (tmp_path / "rnn.md").read_text("utf-8") == symcell("derive", "rnn", "--format", "markdown").stdout


def test_source_prints_and_writes_one_module(symcell):
    printed = symcell("source", "rnn", "--target", "c").stdout
    assert printed == library.pipeline.source("rnn", "c")
    twice = symcell("source", "rnn", "--order", "2").stdout
    assert twice == library.pipeline.source("rnn", "numpy", order=2)
    assert symcell("source", "rnn", "--order", "2", "--out", "two.py").output == "written: two.py\n"
    assert symcell("source", "rnn", "--order", "2", "--out", "two.py").output == "unchanged: two.py\n"
    assert "--order" in symcell("source", "rnn", "--order", "3", status=2).stderr
    assert "--target" in symcell("source", "rnn", "--target", "fortran", status=2).stderr
