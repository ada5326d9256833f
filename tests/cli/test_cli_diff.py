"""The commands diff, compare and watch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from symcell.cli.watch import Watcher
from symcell.cli.watching import File, saves

RNN = "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)\n"


def test_diff_ends_as_diff_does(symcell, tmp_path) -> None:
    (tmp_path / "mine.cell").write_text(RNN.replace("b)", "c)"))
    assert "the same cell, names aside" in symcell("diff", "rnn", "mine").output
    (tmp_path / "mine.cell").write_text(RNN.replace("tanh", "sigmoid"))
    assert "+ h[t] = σ(W x[t]" in symcell("diff", "rnn", "mine.cell", status=1).output
    assert json.loads(symcell("diff", "rnn", "mine", "--json", status=1).output)["verdict"] == "different"
    assert "written: changes.html" in symcell("diff", "rnn", "mine", "--out", "changes.html", status=1).output
    page = (tmp_path / "changes.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<math" in page
    assert "http" not in page
    symcell("diff", "rnn", "nothing", status=2)
    symcell("diff", "rnn", "mine", "--out", "changes.docx", status=2)
    (tmp_path / "mine.cell").write_text("")
    assert "there is no equation here" in symcell("diff", "rnn", "mine", status=2).output


def test_compare(symcell, tmp_path) -> None:
    shown = symcell("compare", "rnn", "gru", "lstm", "--no-measure").output
    assert "are as 1 : 3 : 4." in shown
    assert "measured" not in shown
    symcell("compare", "rnn", "gru", "--no-measure", "--out", "page.html")
    assert (tmp_path / "page.html").read_text().count("<math") > 5
    symcell("compare", status=2)


def played(contents: list[bytes | None]) -> Iterator[bytes | None]:
    """Saves seen by one who finds these contents, look by look."""
    looks = iter(contents)

    class EndError(Exception):
        pass

    def look() -> bytes | None:
        try:
            return next(looks)
        except StopIteration:
            raise EndError from None

    try:
        yield from saves(look, lambda: None)
    except EndError:
        return


def test_a_save_is_told_once_and_when_it_is_whole() -> None:
    a, b = b"one", b"two"
    assert list(played([a, a, a])) == [a]
    assert list(played([a, a, b, b, b, a, a])) == [a, b, a]
    assert list(played([a, a, b"tw", b, b])) == [a, b], "half written"
    assert list(played([a, a, None, b, b])) == [a, b], "replaced by another file"
    assert list(played([a, a, b"", a, a])) == [a], "truncated and written again"
    assert list(played([a, a, None, None, a, a])) == [a, None, a], "gone, and back"


def test_a_file_is_read_when_it_is_another(tmp_path) -> None:
    path = tmp_path / "mine.cell"
    look = File(path)
    assert look() is None
    path.write_bytes(b"one")
    assert look() == b"one"
    other = tmp_path / "other"
    other.write_bytes(b"two")
    other.replace(path)
    assert look() == b"two"
    path.unlink()
    assert look() is None


def test_watch_tells_errors_and_changes_and_writes_what_is_right(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("mine.cell")
    watcher = Watcher(path, Path("out"), ("numpy",), ())

    def saved(text: str) -> tuple[bool, str]:
        path.write_text(text)
        right = watcher.saved(text.encode())
        return right, capsys.readouterr().out

    assert saved(RNN)[0]
    module = Path("out/mine_numpy.py")
    first = module.read_text()
    right, told = saved("h[t] = tanh(W @ x[t] + U @ h[t-1]")
    assert not right
    assert "mine.cell:1:" in told
    assert module.read_text() == first
    right, told = saved(RNN.replace("tanh", "sigmoid"))
    assert right
    assert "- h[t] = tanh(" in told, "compared with the last cell that was right"
    assert "+ h[t] = σ(" in told
    assert module.read_text() != first
    assert not watcher.saved(None)


def test_watch_verifies_and_tells_by_its_status(symcell, tmp_path, monkeypatch) -> None:
    from symcell.verify import Report

    tried = []
    monkeypatch.setattr("symcell.verify.verify", lambda cell, targets: tried.append((cell.name, targets)) or Report(()))
    (tmp_path / "mine.cell").write_text(RNN)
    assert "verified: numpy" in symcell("watch", "mine", "--once").output
    assert tried == [("mine", ("numpy",))]
    (tmp_path / "mine.cell").write_text("h[t] = ")
    symcell("watch", "mine.cell", "--once", status=1)
    symcell("watch", "rnn", "--once", status=2)


@pytest.mark.parametrize("command", [("diff", "gru", "lstm"), ("compare", "rnn", "mamba", "nas", "--no-measure")])
def test_on_80_columns_nothing_is_wider(symcell, command: tuple[str, ...]) -> None:
    status = int(command[0] == "diff")
    assert max(map(len, symcell(*command, status=status).output.splitlines())) <= 80


@pytest.mark.parametrize("beside", [("--out", "page.html"), ("--format", "html")])
@pytest.mark.parametrize("command", [("diff", "rnn", "rnn"), ("compare", "rnn")])
def test_json_beside_a_page_is_refused(symcell, tmp_path, command, beside):
    """Else a file that is asked for would not be written, and nobody told."""
    assert "--json" in symcell(*command, "--json", *beside, status=2).stderr
    assert list(tmp_path.iterdir()) == []
