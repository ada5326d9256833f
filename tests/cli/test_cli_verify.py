"""``verify``: a thin command over :mod:`symcell.verify`."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

import symcell as library
from symcell import verify
from symcell.verify import CellReport, Report


@pytest.fixture
def asked(monkeypatch):
    """Which cells were to be verified, by a stand-in whose verdict depends on the name."""
    seen: list[str] = []

    def stand_in(cells, *, targets=(), seed=0, dtypes=(), progress=None):
        for cell in cells:
            progress(cell)
            seen.append(cell)
        return Report(tuple(CellReport(c, (), (), ("it is wrong",) if c == "gru" else ()) for c in cells))

    monkeypatch.setattr(verify, "verify", stand_in)
    return seen


def test_all_shipped_cells_are_verified_where_none_is_named(symcell, asked):
    assert "it is wrong" in symcell("verify", status=1).output
    assert asked == list(library.names())


def test_the_status_follows_the_verdict(symcell, asked):
    assert "1 of 1 cells verified" in symcell("verify", "lstm").output
    assert "1 of 2 cells verified" in symcell("verify", "lstm", "gru", status=1).output
    assert asked == ["lstm", "lstm", "gru"]


def test_quiet_says_nothing_of_what_is_right(symcell, asked):
    assert symcell("verify", "lstm", "--quiet").output == ""
    output = symcell("verify", "lstm", "gru", "-q", status=1).output
    assert "gru: it is wrong" in output
    assert "lstm" not in output


def test_options_are_handed_on(symcell, monkeypatch):
    seen = {}
    monkeypatch.setattr(verify, "verify", lambda cells, **options: seen.update(options) or Report(()))
    symcell("verify", "lstm", "--seed", "5", "--target", "c", "--target", "numpy", "--dtype", "bfloat16")
    assert (seen["seed"], seen["targets"], seen["dtypes"]) == (5, ("numpy", "c"), ("bfloat16",))
    assert "'fortran' is none of numpy, c, cupy" in symcell("verify", "--target", "fortran", status=2).stderr
    assert "'int8' is none of float16, bfloat16" in symcell("verify", "--dtype", "int8", status=2).stderr


def test_json_is_data_whatever_the_verdict(symcell, asked):
    data = json.loads(symcell("verify", "lstm", "gru", "--json", status=1).stdout)
    assert (data["ok"], [cell["ok"] for cell in data["cells"]]) == (False, [True, False])
    assert data["cells"][1]["problems"] == ["it is wrong"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_on_a_terminal_nothing_is_cut(terminal):
    """Protects the last columns of a table from a terminal's right edge."""
    shown = terminal(80, "verify", "rnn", "--target", "numpy", "--legend")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in shown
    numbers = [word for line in lines if line.startswith("dW ") for word in line.split()[1:]]
    torch = importlib.util.find_spec("torch") is not None
    assert len(numbers) == len(("f64", "f32", "program", "adjoint", "step", "diff")) + torch
    assert "numpy and its own central difference" in " ".join(shown.split())


def test_a_file_is_tried_as_it_stands(symcell, tmp_path):
    symcell("generate", "rnn", "--target", "numpy", "--out", "some")
    assert "1 of 1 cells verified" in symcell("verify", "some/rnn_numpy.py").output
    path = tmp_path / "some" / "rnn_numpy.py"
    path.write_text(path.read_text().replace("np.tanh(", "np.sin("))
    output = symcell("verify", "some/rnn_numpy.py", status=1).output
    assert "differs from what would be generated now" in output
    assert "0 of 1 cells verified" in output


def test_what_is_no_module_is_told_without_a_traceback(symcell, tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    for name, what in (("mine.py", "has no EQUATIONS"), ("gone.py", "cannot be read")):
        assert what in symcell("verify", name, status=2).stderr
