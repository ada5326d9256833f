"""``list``, ``show``, ``derive`` and ``source``: what they say about cells."""

from __future__ import annotations

import json
import re
import sys

import pytest

import symcell as library
from symcell.derivation.text import width


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


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_list_cuts_nothing_on_a_terminal(terminal):
    shown = terminal(80, "list")
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    words = shown.split()
    for name in library.names():
        assert name in words
        assert set(library.load(name).title.split()) <= set(words)


@pytest.mark.parametrize("name", ["lstm", "phased_lstm", "mlstm", "deltanet"])
def test_show_keeps_within_80_columns(symcell, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    output = symcell("show", name).output
    assert max(map(width, output.splitlines())) <= 80
    for label in library.load(name).labels.values():
        assert label in output


def test_a_comparison_is_shown_as_it_is_written(symcell):
    shown = " ".join(symcell("show", "phased_lstm").output.split())  # wherever its lines are broken
    assert "if phi[t] < r_on / 2; j[t] otherwise" in shown


@pytest.mark.parametrize("written", ["LSTM", "Lstm", "lstn", "layernorm-lstm", "LayerNorm LSTM"])
def test_near_misses_are_told(symcell, written):
    wanted = "layernorm_lstm" if "orm" in written else "lstm"
    assert f"did you mean {wanted}?" in symcell("show", written, status=2).stderr.replace(" or slstm", "")


def test_a_directory_is_no_near_miss(symcell, tmp_path):
    (tmp_path / "mygate.cell").mkdir()
    assert "did you mean" not in symcell("show", "mygate", status=2).stderr


def test_near_misses_know_the_files_here(symcell, tmp_path):
    (tmp_path / "MyGate.cell").write_text("h[t] = x[t]\n")
    assert "did you mean MyGate?" in symcell("show", "mygate", status=2).stderr


def test_list_as_json(symcell, tmp_path):
    (tmp_path / "bad.cell").write_text("h[t] = 1 +\n")
    cells = {cell["name"]: cell for cell in json.loads(symcell("list", "--json").stdout)["cells"]}
    assert cells["lstm"] == {
        "name": "lstm",
        "file": None,
        "title": "Long short-term memory",
        "states": {"h": 1, "c": 1},
        "sizes": ["D", "H"],
        "at": {"D": 256, "H": 256},
        "count": {"formula": "4*D*H + 4*H**2 + 4*H", "value": 525312},
    }
    assert set(cells["bad"]) == {"name", "file", "error"}
    assert cells["bad"]["file"] == "bad.cell"
    assert set(library.names()) < set(cells)


@pytest.mark.parametrize("name", ["narx", "deltanet", "lmu"])
def test_show_as_json(symcell, name):
    data = json.loads(symcell("show", name, "--json", "--size", "D=8").stdout)
    cell, plan = library.load(name), library.plan(name, "cupy")
    assert (data["title"], data["labels"], data["output"]) == (cell.title, dict(cell.labels), cell.output)
    assert data["at"] == {size: 8 if size == "D" else 256 for size in cell.sizes}
    assert data["count"]["value"] == eval(data["count"]["formula"], dict(data["at"]))
    assert {name: state["lags"] for name, state in data["states"].items()} == dict(cell.states)
    assert list(data["parameters"]) == list(cell.parameters)
    assert list(data["arrays"]) == list(cell.arrays)
    assert data["constants"] == dict(cell.constants)
    cost = data["cost"]
    assert (cost["target"], cost["stash"]["recomputed"]) == ("cupy", list(plan.again))
    for program in cost["programs"].values():
        for what in ("flops", "bytes"):
            assert program[what]["value"] == sum(stage[what]["value"] for stage in program["stages"]) > 0


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


@pytest.mark.parametrize(
    ("style", "file", "start"),
    [("text", "gru.txt", "Gated"), ("latex", "gru.tex", "\\documentclass"), ("markdown", "gru.md", "# Gated")],
)
def test_derive_prints_and_writes_the_same(symcell, tmp_path, style, file, start):
    printed = symcell("derive", "gru", "--format", style).stdout
    assert printed.startswith(start)
    assert symcell("derive", "gru", "--format", style, "--out", file).output == f"written: {file}\n"
    assert (tmp_path / file).read_text("utf-8") == printed
    assert symcell("derive", "gru", "--format", style, "--out", file).output == f"unchanged: {file}\n"
    assert [p.name for p in tmp_path.iterdir()] == [file]


def test_derive_follows_the_suffix(symcell, tmp_path):
    symcell("derive", "rnn", "--out", "rnn.tex")
    symcell("derive", "rnn", "--out", "rnn.md")
    assert (tmp_path / "rnn.tex").read_text("utf-8") == symcell("derive", "rnn", "--format", "latex").stdout
    assert (tmp_path / "rnn.md").read_text("utf-8") == symcell("derive", "rnn", "--format", "markdown").stdout


@pytest.mark.parametrize(("arguments", "said"), [
    (("--out", "rnn.foo"), "expected a name that ends in .txt, .html, .htm, .tex, .md, .pdf"),
    (("--out", "rnn.tex", "--format", "text"), "in the format latex, and --format says text"),
    (("--format", "pdf"), "expected --out NAME.pdf"),
    (("--fragment",), "latex and html have fragments, and the format is text"),
    (("--lang", "fr"), "'en', 'ko'"),
    (("--steps", "some"), "'brief', 'full'"),
])  # fmt: skip
def test_derive_says_what_it_expected(symcell, tmp_path, arguments, said):
    wrapped = symcell("derive", "rnn", *arguments, status=2).stderr
    assert said in re.sub(r"\s+", " ", wrapped)
    assert not list(tmp_path.iterdir())


def test_derive_in_its_variants(symcell):
    brief = symcell("derive", "rnn", "--out", "-").stdout
    full = symcell("derive", "rnn", "--steps", "full", "--check").stdout
    assert "Numeric certificate" not in brief
    assert "Numeric certificate" in full
    assert len(full) > len(brief)
    assert "은닉 상태" in symcell("derive", "rnn", "--lang", "ko").stdout
    assert r"\documentclass" not in symcell("derive", "rnn", "--fragment", "--format", "latex").stdout


def test_derive_without_a_tex(symcell, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "none of pdflatex, lualatex" in symcell("derive", "rnn", "--out", "rnn.pdf", status=1).stderr
    assert not list(tmp_path.iterdir())


def test_source_prints_and_writes_one_module(symcell):
    printed = symcell("source", "rnn", "--target", "c").stdout
    assert printed == library.pipeline.source("rnn", "c")
    twice = symcell("source", "rnn", "--order", "2").stdout
    assert twice == library.pipeline.source("rnn", "numpy", order=2)
    assert symcell("source", "rnn", "--order", "2", "--out", "two.py").output == "written: two.py\n"
    assert symcell("source", "rnn", "--order", "2", "--out", "two.py").output == "unchanged: two.py\n"
    assert "--order" in symcell("source", "rnn", "--order", "3", status=2).stderr
    assert "--target" in symcell("source", "rnn", "--target", "fortran", status=2).stderr
